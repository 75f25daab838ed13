/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that depends on the kernel's version, here and nowhere else. Each entry
 * says since when, and gives old kernels the new name.
 */
#ifndef QUARRY_COMPAT_H
#define QUARRY_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/numa.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

/* 6.16: a huge mapping on a node of choice. A macro over its _noprof name. */
#ifdef vmalloc_huge_node
#define QUARRY_HAS_HUGE_NODE	1
#else
#define QUARRY_HAS_HUGE_NODE	0
static inline void *vmalloc_huge_node(unsigned long size, gfp_t gfp, int node)
{
	return vmalloc_huge(size, gfp);
}
#endif

/* 6.13: hrtimer_setup(), also _on_stack, in place of hrtimer_init() and a store. */
#if KERNEL_VERSION(6, 13, 0) > LINUX_VERSION_CODE
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}

static inline void
hrtimer_setup_on_stack(struct hrtimer *timer,
		       enum hrtimer_restart (*function)(struct hrtimer *),
		       clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init_on_stack(timer, clock, mode);
	timer->function = function;
}
#endif

/* 7.3: one array of counts, for interrupts that have no line of their own. */
#if KERNEL_VERSION(7, 3, 0) > LINUX_VERSION_CODE
#define QUARRY_IRQ_TIMER	apic_timer_irqs
#define QUARRY_IRQ_RESCHEDULE	irq_resched_count
#define QUARRY_IRQ_CALL		irq_call_count
#else
#define QUARRY_IRQ_TIMER	counts[IRQ_COUNT_APIC_TIMER]
#define QUARRY_IRQ_RESCHEDULE	counts[IRQ_COUNT_RESCHEDULE]
#define QUARRY_IRQ_CALL		counts[IRQ_COUNT_CALL_FUNCTION]
#endif

/* 7.3: a KASAN report near the start of a vmalloc region may fault itself. */
#define QUARRY_KASAN_REPORT_FAULTS	(KERNEL_VERSION(7, 3, 0) <= LINUX_VERSION_CODE)

#endif /* QUARRY_COMPAT_H */
