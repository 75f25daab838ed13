// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a pattern runs: in the task that loads the module, in a softirq (a
 * tasklet, at the end of a section with bottom halves off), or in a hard
 * interrupt (irq_work, a self-interrupt).
 */
#include <linux/bottom_half.h>
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>

#include "bench.h"

const char * const bench_context_names[BENCH_CONTEXTS] = {
	[BENCH_TASK] = "task",
	[BENCH_SOFTIRQ] = "softirq",
	[BENCH_HARDIRQ] = "hardirq",
};

struct trip {
	struct tasklet_struct tasklet;
	struct irq_work work;
	struct completion done;
	bench_pattern_t pattern;
	struct bench_run *run;
	int ret;
};

/* As from a place where the context is not what was asked for. */
static void run_trip(struct trip *trip, bool there)
{
	trip->ret = there ? trip->pattern(trip->run) : -ENODEV;
	complete(&trip->done);
}

static void trip_softirq(struct tasklet_struct *tasklet)
{
	run_trip(container_of(tasklet, struct trip, tasklet),
		 in_serving_softirq());
}

static void trip_hardirq(struct irq_work *work)
{
	run_trip(container_of(work, struct trip, work), in_hardirq());
}

int bench_run_in(enum bench_context context, bench_pattern_t pattern,
		 struct bench_run *run)
{
	struct trip trip = { .pattern = pattern, .run = run };

	if (context == BENCH_TASK)
		return pattern(run);
	init_completion(&trip.done);
	tasklet_setup(&trip.tasklet, trip_softirq);
	trip.work = IRQ_WORK_INIT_HARD(trip_hardirq);
	if (context == BENCH_SOFTIRQ) {
		local_bh_disable();
		tasklet_schedule(&trip.tasklet);
		local_bh_enable();
	} else {
		irq_work_queue(&trip.work);
	}
	wait_for_completion(&trip.done);
	/* They still look at what is on this stack when they have said so. */
	tasklet_kill(&trip.tasklet);
	irq_work_sync(&trip.work);
	return trip.ret;
}
