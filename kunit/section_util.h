/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A function in each kind of section that a kernel with PREEMPT_RT makes preemptible,
 * and in those that stay raw there, where no sleeping lock may be taken.
 */
#ifndef QUARRY_SECTION_UTIL_H
#define QUARRY_SECTION_UTIL_H

#include <linux/bottom_half.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include "irq_util.h"

static inline void run_in_softirq(void (*fn)(void *arg), void *arg)
{
	run_in_timer(fn, arg, HRTIMER_MODE_REL_PINNED_SOFT);
}

static inline void run_with_softirqs_off(void (*fn)(void *arg), void *arg)
{
	local_bh_disable();
	fn(arg);
	local_bh_enable();
}

static inline void run_under_spinlock(void (*fn)(void *arg), void *arg)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	fn(arg);
	spin_unlock(&lock);
}

static inline void run_as_rcu_reader(void (*fn)(void *arg), void *arg)
{
	rcu_read_lock();
	fn(arg);
	rcu_read_unlock();
}

static inline void run_with_preemption_off(void (*fn)(void *arg), void *arg)
{
	preempt_disable();
	fn(arg);
	preempt_enable();
}

static inline void run_with_irqs_off(void (*fn)(void *arg), void *arg)
{
	unsigned long flags;

	local_irq_save(flags);
	fn(arg);
	local_irq_restore(flags);
}

struct section {
	const char *name;
	void (*run)(void (*fn)(void *arg), void *arg);
	bool raw;
};

static const struct section sections[] = {
	{ "softirq", run_in_softirq },
	{ "softirqs off", run_with_softirqs_off },
	{ "spinlock", run_under_spinlock },
	{ "RCU reader", run_as_rcu_reader },
	{ "hard irq", run_in_irq, true },
	{ "preemption off", run_with_preemption_off, true },
	{ "interrupts off", run_with_irqs_off, true },
};

static void section_desc(const struct section *section, char *desc)
{
	strscpy(desc, section->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(section, sections, section_desc);

#endif /* QUARRY_SECTION_UTIL_H */
