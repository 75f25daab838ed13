// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the sanitizers see of a pool's blocks: bad accesses on purpose, each of
 * which KASAN must report at that very access, and good ones next to them, which
 * it must not. And creation with every allocation failing in turn.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <quarry/bump.h>
#include <quarry/percpu_arena.h>
#include "kasan_util.h"
#include "kunit_file.h"
#include "kunit_util.h"

static void use_after_free_is_reported(struct kunit *test)
{
	struct quarry_pool *pool;
	u8 *block;

	need_kasan(test);
	pool = create_pool(test, "kasan", 64, 100, NULL);
	block = quarry_pool_alloc(pool);
	KUNIT_ASSERT_NOT_NULL(test, block);
	memset(block, 1, 64);
	expect_good(test, block);
	expect_good(test, block + 63);
	quarry_pool_free(pool, block);
	expect_bad(test, block);
	expect_bad(test, block + 63);
	KUNIT_EXPECT_PTR_EQ(test, quarry_pool_alloc(pool), (void *)block);
	expect_good(test, block);
	quarry_pool_free(pool, block);
}

static void use_before_alloc_is_reported(struct kunit *test)
{
	struct quarry_pool *pool;

	need_kasan(test);
	pool = create_pool(test, "kasan", 64, 100, NULL);
	expect_bad(test, quarry_pool_at(pool, 0));
	expect_bad(test, quarry_pool_at(pool, 99) + 32);
}

static const size_t block_sizes[] = { 1, 7, 8, 24, 63, 64, 100, 4096 };

static void size_desc(const size_t *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "size %zu", *size);
}

KUNIT_ARRAY_PARAM(block_size, block_sizes, size_desc);

/* One byte behind the block, with its neighbours live. */
static void overrun_is_reported(struct kunit *test)
{
	size_t size = *(const size_t *)test->param_value;
	struct quarry_pool *pool;
	u8 *blocks[3];
	int i;

	need_kasan(test);
	pool = create_pool(test, "kasan", size, 100, NULL);
	KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(pool, 3, (void **)blocks), 3);
	for (i = 0; i < 3; i++) {
		memset(blocks[i], 1, size);
		expect_good(test, blocks[i] + size - 1);
		expect_bad(test, blocks[i] + size);
	}
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 3, (void **)blocks), 3);
}

/* The doors beside alloc and free. */
static void bulk_and_zalloc_poison_too(struct kunit *test)
{
	struct quarry_pool *pool;
	void *blocks[4];

	need_kasan(test);
	pool = create_pool(test, "kasan", 64, 100, NULL);
	KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(pool, 4, blocks), 4);
	expect_good(test, blocks[3] + 63);
	expect_bad(test, blocks[3] + 64);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 4, blocks), 4);
	expect_bad(test, blocks[3]);
	expect_bad(test, blocks[0] + 10);
	blocks[0] = quarry_pool_zalloc(pool);
	expect_good(test, blocks[0] + 63);
	quarry_pool_free_inline(pool, blocks[0]);
	expect_bad(test, blocks[0]);
}

static void lent_slab_memory_is_poisoned_and_given_back(struct kunit *test)
{
	struct quarry_pool_args args = { .memory_size = 6400 };
	struct quarry_pool *pool;
	u8 *block;

	need_kasan(test);
	args.memory = kunit_kzalloc(test, args.memory_size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	pool = create_pool(test, "kasan", 64, 100, &args);
	block = quarry_pool_alloc(pool);
	expect_good(test, block);
	quarry_pool_free(pool, block);
	expect_bad(test, block);
	destroy_pool(test, pool);
	expect_good(test, block);
	expect_good(test, args.memory + args.memory_size - 1);
}

/* Pieces of a bump: from alloc to reset, byte for byte. */
static void bump_use_after_reset_is_reported(struct kunit *test)
{
	struct quarry_bump *bump;
	u8 *a, *b;

	need_kasan(test);
	bump = quarry_bump_create("kasan", 1000, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(bump));
	a = quarry_bump_alloc(bump, 20, 4);
	b = quarry_bump_zalloc(bump, 100, 1);
	KUNIT_ASSERT_NOT_NULL(test, b);
	memset(a, 1, 20);
	expect_good(test, a + 19);
	expect_bad(test, a + 20);
	expect_good(test, b);
	expect_good(test, b + 99);
	expect_bad(test, b + 100);
	expect_bad(test, b + 500);
	quarry_bump_reset(bump);
	expect_bad(test, a);
	expect_bad(test, b + 99);
	a = quarry_bump_alloc_inline(bump, 50, 8);
	expect_good(test, a + 49);
	expect_bad(test, a + 50);
	quarry_bump_destroy(bump);
}

/* Of a per-CPU arena: also large ones, and when a grace period is over. */
static void percpu_arena_use_after_reset_is_reported(struct kunit *test)
{
	const struct quarry_percpu_arena_args args = { .chunk = 1024 };
	struct quarry_percpu_arena *arena;
	u8 *a, *b;

	need_kasan(test);
	arena = quarry_percpu_arena_create("kasan", 16384, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(arena));
	a = quarry_percpu_arena_alloc(arena, 20, 4);
	b = quarry_percpu_arena_alloc(arena, 3001, 8);
	KUNIT_ASSERT_NOT_NULL(test, b);
	expect_good(test, a + 19);
	expect_bad(test, a + 20);
	expect_good(test, b + 3000);
	expect_bad(test, b + 3001);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	expect_bad(test, a);
	expect_bad(test, b + 3000);
	a = quarry_percpu_arena_alloc_inline(arena, 40, 8);
	b = quarry_percpu_arena_zalloc(arena, 3000, 8);
	expect_good(test, a);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(arena, NULL, NULL), 0);
	rcu_barrier();
	expect_bad(test, a + 39);
	expect_bad(test, b);
	expect_bad(test, b + 2999);
	quarry_percpu_arena_destroy(arena);
}

static void bumps_give_lent_memory_back(struct kunit *test)
{
	struct quarry_percpu_arena_args arena_args = { .memory_size = 8000 };
	struct quarry_bump_args args = { .memory_size = 8000 };
	struct quarry_percpu_arena *arena;
	struct quarry_bump *bump;
	u8 *memory;

	need_kasan(test);
	memory = kunit_kzalloc(test, 8000, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, memory);
	args.memory = memory;
	arena_args.memory = memory;
	bump = quarry_bump_create("kasan", 8000, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(bump));
	expect_bad(test, memory);
	quarry_bump_destroy(bump);
	expect_good(test, memory);
	expect_good(test, memory + 7999);
	arena = quarry_percpu_arena_create("kasan", 8000, &arena_args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(arena));
	expect_bad(test, memory + 4000);
	quarry_percpu_arena_destroy(arena);
	expect_good(test, memory);
	expect_good(test, memory + 7999);
}

/* kmemleak knows each block of such a pool by itself. */
static void leak_tracking_counts_what_it_skips(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_LEAK_TRACK };
	struct quarry_pool *pool = create_pool(test, "tracked", 64, 100, &args);
	unsigned long flags;
	void *tracked, *untracked;

	if (!IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))
		kunit_skip(test, "no CONFIG_DEBUG_KMEMLEAK");
	tracked = quarry_pool_alloc(pool);
	KUNIT_EXPECT_EQ(test, stats_of(pool).untracked, 0);
	local_irq_save(flags);
	untracked = quarry_pool_alloc(pool);
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ(test, stats_of(pool).untracked, 1);
	quarry_pool_free(pool, untracked);
	/* Freed where kmemleak may not be told, and handed out again. */
	local_irq_save(flags);
	quarry_pool_free(pool, tracked);
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ(test, stats_of(pool).untracked, 2);
	KUNIT_EXPECT_PTR_EQ(test, quarry_pool_alloc(pool), tracked);
	KUNIT_EXPECT_EQ(test, stats_of(pool).untracked, 2);
	quarry_pool_free(pool, tracked);
	expect_verified(test, pool);
}

/*
 * kmemleak finds a pointer wherever it is left, in a stack too, so that the blocks
 * are taken by a task that then ends, and known by their numbers.
 */
struct leak {
	struct quarry_pool *pool;
	long lost;
	void **kept;
	struct completion done;
};

static int leak_thread(void *arg)
{
	struct leak *leak = arg;
	void *first = quarry_pool_alloc(leak->pool);

	/* Not the first of the region, whose address the pool itself has. */
	leak->lost = quarry_pool_index(leak->pool, quarry_pool_alloc(leak->pool));
	*leak->kept = quarry_pool_alloc(leak->pool);
	quarry_pool_free(leak->pool, first);
	complete(&leak->done);
	return 0;
}

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

/* An object is suspected when it is 5 s old and the same in two scans. */
static char *scan_for_leaks(struct kunit *test)
{
	msleep(6000);
	pr_info("quarry-expect-begin: suspected memory leak\n");
	KUNIT_EXPECT_EQ(test, write_file(test, KMEMLEAK, "scan"), 4);
	KUNIT_EXPECT_EQ(test, write_file(test, KMEMLEAK, "scan"), 4);
	pr_info("quarry-expect-end\n");
	return read_file(test, KMEMLEAK);
}

static bool is_named(struct quarry_pool *pool, u32 index, const char *leaks)
{
	char line[80];

	snprintf(line, sizeof(line), "unreferenced object 0x%08lx (size 64):",
		 (unsigned long)quarry_pool_at(pool, index));
	return strstr(leaks, line);
}

static void leaked_block_is_reported_by_itself(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_LEAK_TRACK };
	struct leak leak = { .kept = kunit_kzalloc(test, sizeof(void *), GFP_KERNEL) };
	struct task_struct *task;
	char *leaks;

	if (!IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))
		kunit_skip(test, "no CONFIG_DEBUG_KMEMLEAK");
	KUNIT_ASSERT_NOT_NULL(test, leak.kept);
	leak.pool = create_pool(test, "leaky", 64, 100, &args);
	init_completion(&leak.done);
	task = kthread_run(leak_thread, &leak, "quarry_leak");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&leak.done);
	leaks = scan_for_leaks(test);
	KUNIT_EXPECT_TRUE_MSG(test, is_named(leak.pool, leak.lost, leaks),
			      "not among the leaks:\n%s", leaks);
	KUNIT_EXPECT_FALSE(test, is_named(leak.pool, quarry_pool_index(leak.pool, *leak.kept),
					  leaks));
	quarry_pool_free(leak.pool, quarry_pool_at(leak.pool, leak.lost));
	quarry_pool_free(leak.pool, *leak.kept);
	leaks = read_file(test, KMEMLEAK);
	KUNIT_EXPECT_FALSE(test, is_named(leak.pool, leak.lost, leaks));
	expect_verified(test, leak.pool);
}

#ifdef CONFIG_FAULT_INJECTION

static bool faults_on(struct kunit *test)
{
	static const char * const settings[][2] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++)
		if (write_file(test, settings[i][0], settings[i][1]) != 1)
			return false;
	return true;
}

/* Creation with the k-th allocation failing, for every k there is. */
static void expect_create_survives(struct kunit *test, size_t size, size_t nr,
				   const struct quarry_pool_args *args)
{
	unsigned int k, left = 0, failed = 0, other = 0;

	for (k = 1; !left && k < 10000; k++) {
		struct quarry_pool *pool;

		current->fail_nth = k;
		pool = quarry_pool_create("faulty", size, nr, args);
		left = current->fail_nth;
		current->fail_nth = 0;
		if (PTR_ERR_OR_ZERO(pool) == -ENOMEM)
			failed++;
		else if (IS_ERR(pool))
			other++;
		else
			expect_verified(test, pool);
		quarry_pool_destroy(pool);
	}
	KUNIT_EXPECT_GT(test, failed, 1);
	KUNIT_EXPECT_EQ(test, other, 0);
	KUNIT_EXPECT_GT(test, left, 0);
	kunit_info(test, "%u allocations, %u of them fail the creation", k - 2,
		   failed);
}

static void create_survives_failing_allocations(struct kunit *test)
{
	static u8 lent[6400] __aligned(8);
	const struct quarry_pool_args tracked = {
		.flags = QUARRY_POOL_LEAK_TRACK,
	};
	const struct quarry_pool_args borrowed = {
		.memory = lent, .memory_size = sizeof(lent),
	};

	if (!faults_on(test))
		kunit_skip(test, "no failslab and fail_page_alloc in debugfs");
	expect_create_survives(test, 64, 100, NULL);
	expect_create_survives(test, 64, 100, &tracked);
	expect_create_survives(test, 64, 100, &borrowed);
}

/* Both bumps, with the k-th allocation failing. */
static void bump_creates_survive_failing_allocations(struct kunit *test)
{
	unsigned int k, kind, left, failed;

	if (!faults_on(test))
		kunit_skip(test, "no failslab and fail_page_alloc in debugfs");
	for (kind = 0; kind < 2; kind++) {
		failed = 0;
		left = 0;
		for (k = 1; !left && k < 10000; k++) {
			struct quarry_percpu_arena *arena = NULL;
			struct quarry_bump *bump = NULL;

			current->fail_nth = k;
			if (kind)
				arena = quarry_percpu_arena_create("faulty", SZ_64K, NULL);
			else
				bump = quarry_bump_create("faulty", SZ_64K, NULL);
			left = current->fail_nth;
			current->fail_nth = 0;
			failed += PTR_ERR_OR_ZERO(arena) == -ENOMEM ||
				  PTR_ERR_OR_ZERO(bump) == -ENOMEM;
			quarry_percpu_arena_destroy(arena);
			quarry_bump_destroy(bump);
		}
		KUNIT_EXPECT_GT(test, failed, 1);
		KUNIT_EXPECT_GT(test, left, 0);
	}
}

static void verify_survives_failing_allocations(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "faulty", 64, 100, NULL);
	int err;

	if (!faults_on(test))
		kunit_skip(test, "no failslab and fail_page_alloc in debugfs");
	current->fail_nth = 1;
	err = quarry_pool_verify(pool);
	current->fail_nth = 0;
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	expect_verified(test, pool);
}

#else

static void create_survives_failing_allocations(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_FAULT_INJECTION");
}

static void bump_creates_survive_failing_allocations(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_FAULT_INJECTION");
}

static void verify_survives_failing_allocations(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_FAULT_INJECTION");
}

#endif

static struct kunit_case sanitize_cases[] = {
	KUNIT_CASE(use_after_free_is_reported),
	KUNIT_CASE(use_before_alloc_is_reported),
	KUNIT_CASE_PARAM(overrun_is_reported, block_size_gen_params),
	KUNIT_CASE(bulk_and_zalloc_poison_too),
	KUNIT_CASE(lent_slab_memory_is_poisoned_and_given_back),
	KUNIT_CASE(bump_use_after_reset_is_reported),
	KUNIT_CASE(percpu_arena_use_after_reset_is_reported),
	KUNIT_CASE(bumps_give_lent_memory_back),
	KUNIT_CASE(leak_tracking_counts_what_it_skips),
	KUNIT_CASE_SLOW(leaked_block_is_reported_by_itself),
	KUNIT_CASE(create_survives_failing_allocations),
	KUNIT_CASE(bump_creates_survive_failing_allocations),
	KUNIT_CASE(verify_survives_failing_allocations),
	{}
};

static struct kunit_suite sanitize_suite = {
	.name = "quarry_sanitize",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = sanitize_cases,
};

kunit_test_suite(sanitize_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: sanitizers and failing allocations");
MODULE_LICENSE("GPL");
