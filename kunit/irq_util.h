/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A function in a hard irq. Without PREEMPT_RT that may call the slab with
 * GFP_ATOMIC; but not, says lockdep, in an irq that would be a hard one on PREEMPT_RT
 * too. So the timer is such a one on PREEMPT_RT alone.
 */
#ifndef QUARRY_IRQ_UTIL_H
#define QUARRY_IRQ_UTIL_H

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include "../kmod/compat.h"

#define IRQ_TIMER_MODE (IS_ENABLED(CONFIG_PREEMPT_RT) ?			\
			HRTIMER_MODE_REL_PINNED_HARD : HRTIMER_MODE_REL_PINNED)

struct irq_run {
	struct hrtimer timer;
	struct completion done;
	void (*fn)(void *arg);
	void *arg;
};

static inline enum hrtimer_restart irq_run_fires(struct hrtimer *timer)
{
	struct irq_run *run = container_of(timer, struct irq_run, timer);

	run->fn(run->arg);
	complete(&run->done);
	return HRTIMER_NORESTART;
}

static inline void run_in_timer(void (*fn)(void *arg), void *arg,
				enum hrtimer_mode mode)
{
	struct irq_run run = { .fn = fn, .arg = arg };

	init_completion(&run.done);
	hrtimer_setup_on_stack(&run.timer, irq_run_fires, CLOCK_MONOTONIC,
			       mode);
	hrtimer_start(&run.timer, ns_to_ktime(1000), mode);
	wait_for_completion(&run.done);
	hrtimer_cancel(&run.timer);
	destroy_hrtimer_on_stack(&run.timer);
}

static inline void run_in_irq(void (*fn)(void *arg), void *arg)
{
	run_in_timer(fn, arg, IRQ_TIMER_MODE);
}

#endif /* QUARRY_IRQ_UTIL_H */
