/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites share. A suite that has capture_init() and capture_exit() runs
 * with every report of quarry counted and not printed: a report that no test
 * asked for fails the test that was running.
 */
#ifndef QUARRY_KUNIT_UTIL_H
#define QUARRY_KUNIT_UTIL_H

#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <quarry/pool.h>
#include "../kmod/report.h"

/*
 * What rounds of a long test are divided by. KASAN checks each access and KCSAN waits
 * at many, so that what takes a second elsewhere takes a minute there; every run has
 * a new seed.
 */
#define SLOWDOWN	(IS_ENABLED(CONFIG_KCSAN) ? 8 : IS_ENABLED(CONFIG_KASAN) ? 3 : 1)

/* A race finds more the longer it lasts; make check, which runs often, has it short. */
static uint percent = 100;
module_param(percent, uint, 0400);
MODULE_PARM_DESC(percent, "how much of its time a race has, and of its rounds a long test");

static inline unsigned long some_of(unsigned long whole)
{
	return DIV_ROUND_UP(whole * max(percent, 1U), 100);
}

/*
 * How long a test waits for what comes sooner or later: on a busy host a CPU stands still
 * for a second and more.
 */
#define PATIENCE	(60 * HZ)

/* And for NMIs, which the VM's monitor may send: there are none but on x86. */
#define NMI_TIME	(IS_ENABLED(CONFIG_X86) ? 10 * HZ : HZ / 2)

/* Sleeps until @condition holds, which it must sooner or later; whether it did. */
#define expect_comes_true(test, condition)					\
({										\
	unsigned long __end = jiffies + PATIENCE;				\
	bool __came;								\
										\
	while (!(__came = (condition)) && time_before(jiffies, __end))		\
		schedule_timeout_uninterruptible(1);				\
	KUNIT_EXPECT_TRUE_MSG(test, __came, "%s, in vain", #condition);		\
	__came;									\
})

/* A race goes on to its @end, and until it has @shown what it is for. */
static inline bool race_goes_on(unsigned long end, bool shown)
{
	return time_before(jiffies, end) || (!shown && time_before(jiffies, end + PATIENCE));
}

static struct quarry_capture capture;

/* For every test: its task stays on one CPU, and so finds what it has freed. */
static inline int capture_init(struct kunit *test)
{
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	quarry__capture_begin(&capture);
	return 0;
}

static inline void capture_exit(struct kunit *test)
{
	quarry__capture_end();
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&capture.nr), 0,
			    "report that nobody expected: %s", capture.last);
}

/* Exactly @nr reports since the last look; the latest says @text. */
static inline void expect_reports(struct kunit *test, int nr, const char *text)
{
	KUNIT_EXPECT_EQ_MSG(test, atomic_xchg(&capture.nr, 0), nr,
			    "last report: %s", capture.last);
	if (nr && text)
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(capture.last, text),
					  "report without \"%s\": %s", text,
					  capture.last);
}

/* One report, which says @text and names this module as the one that called. */
static inline void expect_blamed(struct kunit *test, const char *text)
{
	expect_reports(test, 1, text);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(capture.last, "[" KBUILD_MODNAME "]"),
				  "the client is not named: %s", capture.last);
}

static inline void expect_verified(struct kunit *test, struct quarry_pool *pool)
{
	KUNIT_EXPECT_EQ_MSG(test, quarry_pool_verify(pool), 0, "%s",
			    capture.last);
}

static inline struct quarry_pool_stats stats_of(struct quarry_pool *pool)
{
	struct quarry_pool_stats stats;

	quarry_pool_get_stats(pool, &stats);
	return stats;
}

KUNIT_DEFINE_ACTION_WRAPPER(destroy_action, quarry_pool_destroy,
			    struct quarry_pool *);

/* A pool that is destroyed at the end of the test, whatever the test does. */
static inline struct quarry_pool *
create_pool(struct kunit *test, const char *name, size_t size, size_t nr_blocks,
	    const struct quarry_pool_args *args)
{
	struct quarry_pool *pool;

	pool = quarry_pool_create(name, size, nr_blocks, args);
	KUNIT_ASSERT_EQ_MSG(test, PTR_ERR_OR_ZERO(pool), 0, "create %s", name);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, destroy_action,
							   pool));
	return pool;
}

/* Destroy now, and not at the end. */
static inline void destroy_pool(struct kunit *test, struct quarry_pool *pool)
{
	kunit_release_action(test, destroy_action, pool);
}

static inline void **new_table(struct kunit *test, size_t nr)
{
	void **table = kvcalloc(nr, sizeof(void *), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, table);
	return table;
}

/* An online CPU that is not this one, or -1. The caller is bound to its CPU. */
static inline int other_cpu(int this)
{
	int cpu;

	for_each_online_cpu(cpu)
		if (cpu != this)
			return cpu;
	return -1;
}

struct bulk_job {
	struct quarry_pool *pool;
	void **blocks;
	size_t nr;
};

/* For work_on_cpu(): the same on another CPU. */
static inline long alloc_job(void *arg)
{
	struct bulk_job *job = arg;

	return quarry_pool_alloc_bulk(job->pool, job->nr, job->blocks);
}

static inline long free_job(void *arg)
{
	struct bulk_job *job = arg;

	return quarry_pool_free_bulk(job->pool, job->nr, job->blocks);
}

/* Fill a CPU's magazines: after this it holds blocks back. */
static inline long warm_job(void *arg)
{
	struct bulk_job *job = arg;
	size_t nr = quarry_pool_alloc_bulk(job->pool, job->nr, job->blocks);

	return quarry_pool_free_bulk(job->pool, nr, job->blocks);
}

#endif /* QUARRY_KUNIT_UTIL_H */
