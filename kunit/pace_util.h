/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When the next interrupt of a timer comes that interrupts a task at work. On a slow
 * host one that comes at a fixed pace leaves the task no time at all.
 */
#ifndef QUARRY_PACE_UTIL_H
#define QUARRY_PACE_UTIL_H

#include <linux/ktime.h>
#include <linux/minmax.h>

/**
 * struct pace - of one CPU's timer
 * @turns: the task's, at the interrupt before
 * @ns: from interrupt to interrupt
 */
struct pace {
	u64 turns;
	u32 ns;
};

/*
 * 100 us or a little more; twice as long after each in which the task had no turn, and half
 * as long after each in which it had one.
 */
static inline ktime_t pace_next(struct pace *pace, u64 turns, u32 random)
{
	if (pace->ns && turns == pace->turns)
		pace->ns = min_t(u32, 2 * pace->ns, 10 * NSEC_PER_MSEC);
	else
		pace->ns = max_t(u32, pace->ns / 2, 100 * NSEC_PER_USEC);
	pace->turns = turns;
	return ns_to_ktime(pace->ns + random % pace->ns);
}

#endif /* QUARRY_PACE_UTIL_H */
