/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two CPUs free the same block at the same time, again and again.
 */
#ifndef QUARRY_KUNIT_RACE_UTIL_H
#define QUARRY_KUNIT_RACE_UTIL_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include "kunit_util.h"

#define RACE_TIME	some_of(2 * HZ)
#define MIN_ROUNDS	10

struct race {
	void *from;
	void *(*take)(void *from);
	int (*give)(void *from, void *block);	/* how often it was taken back */
	void *block;
	atomic_t round;		/* of the block that may be freed */
	atomic_t freed;		/* frees by the second, in all */
	atomic_t wins;		/* frees that were taken, in all */
	unsigned long end;	/* jiffies */
	struct completion done;
};

/* Both spin, each on its own CPU; a round is some microseconds. */
static inline bool race_wait(atomic_t *word, int value)
{
	while (atomic_read_acquire(word) < value) {
		if (kthread_should_stop())
			return false;
		cond_resched();
		cpu_relax();
	}
	return true;
}

static inline int race_park(void)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static inline int first_racer(void *arg)
{
	struct race *race = arg;
	int round;

	for (round = 1; race_goes_on(race->end, round > MIN_ROUNDS); round++) {
		void *block = race->take(race->from);

		if (!block)
			break;
		race->block = block;
		atomic_set_release(&race->round, round);
		atomic_add(race->give(race->from, block), &race->wins);
		if (!race_wait(&race->freed, round))
			break;
	}
	complete(&race->done);
	return race_park();
}

static inline int second_racer(void *arg)
{
	struct race *race = arg;
	int round;

	for (round = 1; race_wait(&race->round, round); round++) {
		void *block = race->block;

		atomic_add(race->give(race->from, block), &race->wins);
		atomic_set_release(&race->freed, round);
	}
	return race_park();
}

/* The number of rounds; frees that were taken are in @wins. */
static inline int race_frees(struct kunit *test, struct race *race)
{
	static int (* const racers[2])(void *arg) = { first_racer, second_racer };
	int cpu = cpumask_first(cpu_online_mask), i;
	struct task_struct *tasks[2];

	if (other_cpu(cpu) < 0)
		kunit_skip(test, "one CPU only");
	init_completion(&race->done);
	race->end = jiffies + RACE_TIME;
	for (i = 0; i < 2; i++) {
		tasks[i] = kthread_create(racers[i], race, "quarry_racer");
		KUNIT_ASSERT_FALSE(test, IS_ERR(tasks[i]));
		kthread_bind(tasks[i], i ? other_cpu(cpu) : cpu);
	}
	for (i = 0; i < 2; i++)
		wake_up_process(tasks[i]);
	wait_for_completion_timeout(&race->done, 2 * PATIENCE);
	for (i = 0; i < 2; i++)
		kthread_stop(tasks[i]);
	KUNIT_EXPECT_GE(test, atomic_read(&race->freed), MIN_ROUNDS);
	KUNIT_EXPECT_EQ(test, atomic_read(&race->freed), atomic_read(&race->round));
	return atomic_read(&race->freed);
}

#endif /* QUARRY_KUNIT_RACE_UTIL_H */
