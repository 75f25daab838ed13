// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool and the CPUs: the promise of nr_blocks whatever the magazines hold,
 * frees far from the alloc, CPUs that come and go.
 */
#include <linux/cpu.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include "../kmod/pool.h"
#include "kunit_util.h"

#define NR_BLOCKS 2000

/* Each CPU's magazines hold all they can. */
static void warm_all(struct kunit *test, struct quarry_pool *pool, void **blocks)
{
	struct bulk_job job = { pool, blocks, NR_BLOCKS };
	int cpu;

	for_each_online_cpu(cpu)
		KUNIT_EXPECT_GE(test, work_on_cpu(cpu, warm_job, &job), NR_BLOCKS);
	KUNIT_EXPECT_GT(test, stats_of(pool).cached, 0);
}

/* One CPU alone gets nr_blocks, by whatever door, while all are warm. */
static void expect_promise_kept(struct kunit *test, struct quarry_pool *pool)
{
	void **blocks = new_table(test, NR_BLOCKS);
	struct bulk_job job = { pool, blocks, NR_BLOCKS };
	int cpu;

	for_each_online_cpu(cpu) {
		warm_all(test, pool, blocks);
		KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, alloc_job, &job),
				NR_BLOCKS);
		KUNIT_EXPECT_EQ(test, stats_of(pool).live, NR_BLOCKS);
		expect_verified(test, pool);
		KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, free_job, &job),
				NR_BLOCKS);
		expect_verified(test, pool);
	}
	kvfree(blocks);
}

static void promise_is_kept(struct kunit *test)
{
	expect_promise_kept(test, create_pool(test, "promise", 32, NR_BLOCKS,
					      NULL));
}

static void promise_is_kept_with_small_magazines(struct kunit *test)
{
	const struct quarry_pool_args args = { .magazine = 3 };
	struct quarry_pool *pool = create_pool(test, "promise", 32, NR_BLOCKS,
					       &args);

	KUNIT_EXPECT_LE(test, stats_of(pool).peak_slack,
			2 * 3 * num_possible_cpus());
	expect_promise_kept(test, pool);
}

static void promise_is_kept_one_by_one(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_STRICT };
	struct quarry_pool *pool = create_pool(test, "promise", 32, NR_BLOCKS,
					       &args);
	void **blocks = new_table(test, NR_BLOCKS);
	size_t nr = 0, i;

	warm_all(test, pool, blocks);
	while (nr < NR_BLOCKS && (blocks[nr] = quarry_pool_alloc(pool)))
		nr++;
	KUNIT_EXPECT_EQ(test, nr, NR_BLOCKS);
	for (i = 0; i < nr; i++)
		quarry_pool_free(pool, blocks[i]);
	expect_verified(test, pool);
	kvfree(blocks);
}

static void slack_is_an_eighth_at_most(struct kunit *test)
{
	static const size_t sizes[] = { 1, 8, 31, 32, 64, 100, 1000, 10000 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct quarry_pool *pool = create_pool(test, "slack", 32,
						       sizes[i], NULL);
		size_t total = 0;

		while (quarry_pool_at(pool, total))
			total++;
		KUNIT_EXPECT_GE(test, total, sizes[i]);
		KUNIT_EXPECT_LE(test, total, sizes[i] + sizes[i] / 8);
		KUNIT_EXPECT_EQ(test, stats_of(pool).peak_slack,
				total - sizes[i]);
		KUNIT_EXPECT_LE(test, stats_of(pool).cached,
				stats_of(pool).peak_slack);
		destroy_pool(test, pool);
	}
}

/*
 * How large magazines are is a matter of the CPUs that are online. It takes a boot with
 * many more that are possible to see that: Documentation/testing.rst.
 */
static void online_cpus_have_magazines(struct kunit *test)
{
	static const size_t sizes[] = { 100, 1000, 8192 };
	size_t i, full;
	int cpu;

	kunit_info(test, "%u CPUs online, %u possible", num_online_cpus(),
		   num_possible_cpus());
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct quarry_pool *pool = create_pool(test, "online", 32,
						       sizes[i], NULL);
		void **blocks = new_table(test, sizes[i]);
		struct bulk_job job = { pool, blocks, sizes[i] };

		full = min_t(size_t, QUARRY_POOL_MAX_MAGAZINE,
			     sizes[i] / 8 / (2 * num_online_cpus()));
		for_each_online_cpu(cpu)
			work_on_cpu(cpu, warm_job, &job);
		if (full >= 2) {
			KUNIT_EXPECT_GE(test, stats_of(pool).cached,
					full * num_online_cpus());
			KUNIT_EXPECT_EQ(test, stats_of(pool).bypass, 0);
		}
		expect_verified(test, pool);
		kvfree(blocks);
		destroy_pool(test, pool);
	}
}

/* The bound on metadata: 8 bytes a block, and a few for the whole. */
static void metadata_is_eight_bytes_a_block(struct kunit *test)
{
	static const unsigned int flags[] = {
		0, QUARRY_POOL_EXACT, QUARRY_POOL_STRICT,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct quarry_pool_args args = { .flags = flags[i] };
		struct quarry_pool *pool = create_pool(test, "metadata", 8,
						       NR_BLOCKS, &args);

		KUNIT_EXPECT_LE(test, stats_of(pool).bytes_metadata,
				8 * (NR_BLOCKS + stats_of(pool).peak_slack) + 16 +
				128 * num_possible_cpus());
		KUNIT_EXPECT_GE(test, stats_of(pool).bytes_reserved,
				8 * NR_BLOCKS + stats_of(pool).bytes_metadata);
		destroy_pool(test, pool);
	}
}

static void remote_frees_are_counted(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "remote", 32, NR_BLOCKS,
					       NULL);
	int first = cpumask_first(cpu_online_mask);
	void **blocks = new_table(test, 500);
	struct bulk_job job = { pool, blocks, 500 };
	int second = other_cpu(first);

	if (second < 0) {
		kvfree(blocks);
		kunit_skip(test, "one CPU only");
	}
	KUNIT_EXPECT_EQ(test, work_on_cpu(first, alloc_job, &job), 500);
	KUNIT_EXPECT_EQ(test, work_on_cpu(first, free_job, &job), 500);
	KUNIT_EXPECT_EQ(test, stats_of(pool).remote_frees, 0);
	KUNIT_EXPECT_EQ(test, work_on_cpu(first, alloc_job, &job), 500);
	KUNIT_EXPECT_EQ(test, work_on_cpu(second, free_job, &job), 500);
	KUNIT_EXPECT_EQ(test, stats_of(pool).remote_frees, 500);
	KUNIT_EXPECT_EQ(test, stats_of(pool).frees, 1000);
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, 0);
	expect_verified(test, pool);
	kvfree(blocks);
}

static void magazine_hits_and_refills_are_counted(struct kunit *test)
{
	const struct quarry_pool_args args = { .magazine = 10 };
	struct quarry_pool *pool = create_pool(test, "hits", 32, NR_BLOCKS,
					       &args);
	void **blocks = new_table(test, 100);
	struct bulk_job job = { pool, blocks, 100 };
	struct quarry_pool_stats stats;
	int cpu = cpumask_first(cpu_online_mask);

	KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, alloc_job, &job), 100);
	stats = stats_of(pool);
	/* At most ten blocks a refill, and loose blocks come in smaller lots. */
	KUNIT_EXPECT_GE(test, stats.refills, 10);
	KUNIT_EXPECT_LE(test, stats.refills, 100);
	KUNIT_EXPECT_EQ(test, stats.hits, stats.allocs - stats.refills);
	KUNIT_EXPECT_EQ(test, stats.flushes, 0);
	KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, free_job, &job), 100);
	stats = stats_of(pool);
	KUNIT_EXPECT_GE(test, stats.flushes, 8);
	KUNIT_EXPECT_LE(test, stats.cached, 2 * 10);
	KUNIT_EXPECT_EQ(test, stats.bypass, 0);
	kvfree(blocks);
}

/* An exact pool has no magazines: all goes to the shared list. */
static void exact_pool_bypasses(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_EXACT };
	struct quarry_pool *pool = create_pool(test, "exact", 32, NR_BLOCKS,
					       &args);
	void **blocks = new_table(test, NR_BLOCKS + 1);
	struct quarry_pool_stats stats;

	KUNIT_EXPECT_EQ(test, quarry_pool_alloc_bulk(pool, NR_BLOCKS + 1, blocks),
			NR_BLOCKS);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, NR_BLOCKS, blocks),
			NR_BLOCKS);
	stats = stats_of(pool);
	KUNIT_EXPECT_EQ(test, stats.bypass, 2 * NR_BLOCKS);
	KUNIT_EXPECT_EQ(test, stats.cached, 0);
	KUNIT_EXPECT_EQ(test, stats.hits, 0);
	KUNIT_EXPECT_EQ(test, stats.exhausted, 1);
	KUNIT_EXPECT_EQ(test, stats.peak, NR_BLOCKS);
	KUNIT_EXPECT_EQ(test, stats.peak_slack, 0);
	expect_verified(test, pool);
	kvfree(blocks);
}

#ifdef CONFIG_HOTPLUG_CPU

/* The CPU that can go, or -1. */
static int removable_cpu(void)
{
	int cpu = other_cpu(0);

	return cpu > 0 && cpu_online(0) ? cpu : -1;
}

static void dead_cpu_gives_its_blocks_back(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "dead", 32, NR_BLOCKS, NULL);
	void **blocks = new_table(test, NR_BLOCKS);
	struct bulk_job job = { pool, blocks, NR_BLOCKS };
	int cpu = removable_cpu(), i;
	u64 cached;

	if (cpu < 0) {
		kvfree(blocks);
		kunit_skip(test, "no CPU that can go");
	}
	for (i = 0; i < 3; i++) {
		work_on_cpu(cpu, warm_job, &job);
		cached = stats_of(pool).cached;
		KUNIT_EXPECT_GT(test, cached, 0);
		KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
		KUNIT_EXPECT_LT(test, stats_of(pool).cached, cached);
		expect_verified(test, pool);
		expect_promise_kept(test, pool);
		KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
		expect_verified(test, pool);
		expect_promise_kept(test, pool);
	}
	kvfree(blocks);
}

static void block_of_a_dead_cpu_can_be_freed(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "dead", 32, NR_BLOCKS, NULL);
	void **blocks = new_table(test, 300);
	struct bulk_job job = { pool, blocks, 300 };
	int cpu = removable_cpu();

	if (cpu < 0) {
		kvfree(blocks);
		kunit_skip(test, "no CPU that can go");
	}
	KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, alloc_job, &job), 300);
	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, 300);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 300, blocks), 300);
	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	expect_verified(test, pool);
	kvfree(blocks);
}

/* What the job takes on @cpu beside the magazine. */
static u64 bypasses(int cpu, struct bulk_job *job)
{
	u64 before = stats_of(job->pool).bypass;

	work_on_cpu(cpu, warm_job, job);
	return stats_of(job->pool).bypass - before;
}

/*
 * Made when a CPU was away, the pool has given all its slack to the others: the
 * CPU that comes needs a share of theirs.
 */
static void late_cpu_gets_a_share(struct kunit *test)
{
	void **blocks = new_table(test, NR_BLOCKS);
	struct bulk_job job = { NULL, blocks, 200 };
	struct quarry_pool *pool;
	int cpu = removable_cpu();

	if (cpu < 0) {
		kvfree(blocks);
		kunit_skip(test, "no CPU that can go");
	}
	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	pool = create_pool(test, "late", 32, NR_BLOCKS, NULL);
	job.pool = pool;
	work_on_cpu(0, warm_job, &job);
	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	/* The share is made by a worker. */
	expect_comes_true(test, !bypasses(cpu, &job));
	expect_verified(test, pool);
	expect_promise_kept(test, pool);
	kvfree(blocks);
}

/* Blocks in a magazine of a CPU that is open, or 0. */
static u32 share_of(struct quarry_pool *pool, int cpu)
{
	struct quarry_pool_hot *hot = (void *)pool;
	struct quarry_pool_cpu *c = per_cpu_ptr(hot->cpu, cpu);

	return READ_ONCE(c->gate) & QUARRY_GATE_CLOSED ? 0 : READ_ONCE(c->share);
}

/* Sooner or later, since shares are made by a worker, each CPU has what it may. */
static void expect_shares(struct kunit *test, struct quarry_pool *pool, u32 magazine)
{
	u32 share = min_t(u32, magazine, stats_of(pool).peak_slack /
					 (2 * num_online_cpus()));
	int cpu;

	for_each_online_cpu(cpu) {
		if (expect_comes_true(test, share_of(pool, cpu) == share))
			continue;
		KUNIT_EXPECT_EQ(test, share_of(pool, cpu), share);
		return;
	}
}

/* The share that was made smaller for a CPU grows again when that has gone. */
static void share_grows_when_a_cpu_goes(struct kunit *test)
{
	struct quarry_pool *pool;
	int cpu = removable_cpu();
	u32 alone;

	if (cpu < 0)
		kunit_skip(test, "no CPU that can go");
	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	pool = create_pool(test, "grows", 32, NR_BLOCKS, NULL);
	alone = share_of(pool, 0);
	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	expect_shares(test, pool, alone);
	KUNIT_EXPECT_LT(test, share_of(pool, 0), alone);
	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	expect_shares(test, pool, alone);
	KUNIT_EXPECT_EQ(test, share_of(pool, 0), alone);
	expect_verified(test, pool);
	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	expect_shares(test, pool, alone);
	expect_promise_kept(test, pool);
}

#else

static void share_grows_when_a_cpu_goes(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_HOTPLUG_CPU");
}

static void dead_cpu_gives_its_blocks_back(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_HOTPLUG_CPU");
}

static void block_of_a_dead_cpu_can_be_freed(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_HOTPLUG_CPU");
}

static void late_cpu_gets_a_share(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_HOTPLUG_CPU");
}

#endif

/*
 * Who has read a head, and what lies below, must fail if others have popped and pushed
 * meanwhile, though the same block is on top again: the head has another tag.
 */
static void head_of_a_shared_list_never_comes_again(struct kunit *test)
{
	const struct quarry_pool_args exact = { .flags = QUARRY_POOL_EXACT };
	const struct quarry_pool_args small = { .magazine = 4 };
	struct quarry_pool *loose = create_pool(test, "loose", 32, NR_BLOCKS, &exact);
	struct quarry_pool *depot = create_pool(test, "depot", 32, NR_BLOCKS, &small);
	void **blocks = new_table(test, NR_BLOCKS);
	u64 old_loose = 0, old_depot = 0;
	int i;

	for (i = 0; i < 10; i++) {
		quarry_pool_free_bulk(loose, quarry_pool_alloc_bulk(loose, 1, blocks), blocks);
		KUNIT_EXPECT_NE(test, atomic64_read(&loose->loose), old_loose);
		old_loose = atomic64_read(&loose->loose);
		KUNIT_EXPECT_EQ(test, quarry_pool_alloc_bulk(depot, NR_BLOCKS, blocks),
				NR_BLOCKS);
		quarry_pool_free_bulk(depot, NR_BLOCKS, blocks);
		KUNIT_EXPECT_NE(test, atomic64_read(&depot->full), old_depot);
		old_depot = atomic64_read(&depot->full);
	}
	kvfree(blocks);
}

static unsigned long turns;

/* Takes half of the shared list and puts it back, until it is stopped. */
static int churn(void *arg)
{
	static void *blocks[NR_BLOCKS / 2];
	struct quarry_pool *pool = arg;
	size_t nr;

	while (!kthread_should_stop()) {
		WRITE_ONCE(turns, turns + 1);
		nr = quarry_pool_alloc_bulk(pool, ARRAY_SIZE(blocks), blocks);
		quarry_pool_free_bulk(pool, nr, blocks);
		cond_resched();
	}
	return 0;
}

/*
 * A walk along the one shared list meets blocks that another CPU takes meanwhile:
 * that is no fault, and verify says busy or, when it was lucky, that all is well.
 */
static void verify_tells_busy_from_wrong(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_EXACT };
	int cpu = other_cpu(raw_smp_processor_id()), i, err;
	struct quarry_pool *pool;
	struct task_struct *task;

	if (cpu < 0)
		kunit_skip(test, "one CPU only");
	pool = create_pool(test, "busy", 16, NR_BLOCKS, &args);
	task = kthread_create(churn, pool, "quarry_churn");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	kthread_bind(task, cpu);
	turns = 0;
	wake_up_process(task);
	while (!READ_ONCE(turns))
		schedule_timeout_uninterruptible(1);
	for (i = 0; i < 60; i++) {
		err = quarry_pool_verify(pool);
		KUNIT_EXPECT_GE_MSG(test, err, 0, "%s", capture.last);
	}
	kthread_stop(task);
	expect_verified(test, pool);
}

static struct kunit_case cpu_cases[] = {
	KUNIT_CASE(promise_is_kept),
	KUNIT_CASE(promise_is_kept_with_small_magazines),
	KUNIT_CASE(promise_is_kept_one_by_one),
	KUNIT_CASE(slack_is_an_eighth_at_most),
	KUNIT_CASE(online_cpus_have_magazines),
	KUNIT_CASE(metadata_is_eight_bytes_a_block),
	KUNIT_CASE(remote_frees_are_counted),
	KUNIT_CASE(magazine_hits_and_refills_are_counted),
	KUNIT_CASE(exact_pool_bypasses),
	KUNIT_CASE(head_of_a_shared_list_never_comes_again),
	KUNIT_CASE(dead_cpu_gives_its_blocks_back),
	KUNIT_CASE(block_of_a_dead_cpu_can_be_freed),
	KUNIT_CASE(late_cpu_gets_a_share),
	KUNIT_CASE(share_grows_when_a_cpu_goes),
	KUNIT_CASE(verify_tells_busy_from_wrong),
	{}
};

static struct kunit_suite cpu_suite = {
	.name = "quarry_pool_cpu",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = cpu_cases,
};

kunit_test_suite(cpu_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the pool and the CPUs");
MODULE_LICENSE("GPL");
