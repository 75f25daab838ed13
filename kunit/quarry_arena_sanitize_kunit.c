// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KASAN sees of an arena's blocks: bad accesses on purpose, each of which it
 * must report at that very access, and good ones next to them, which it must not.
 * And creation and growth with every allocation failing in turn.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "arena_util.h"
#include "kasan_util.h"
#include "kunit_file.h"

static void use_after_rewind_is_reported(struct kunit *test)
{
	struct quarry_arena_mark mark;
	struct quarry_arena *arena;
	u8 *kept, *block;

	need_kasan(test);
	arena = create_arena(test, 4096, NULL);
	kept = quarry_arena_alloc(arena, 20, 4);
	mark = quarry_arena_mark(arena);
	block = quarry_arena_alloc_inline(arena, 64, 8);
	expect_good(test, block + 63);
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, mark));
	expect_bad(test, block);
	expect_bad(test, block + 63);
	expect_good(test, kept + 19);
	expect_bad(test, kept + 20);
}

static void use_after_reset_is_reported(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_64K };
	struct quarry_arena *arena;
	u8 *block;

	need_kasan(test);
	arena = create_arena(test, 4096, &args);
	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 4000, 8));
	block = quarry_arena_alloc_sleep(arena, 1000, 8);
	expect_good(test, block + 999);
	quarry_arena_reset(arena);	/* its chunk is the largest, and stays */
	expect_bad(test, block);
	expect_bad(test, block + 999);
	KUNIT_EXPECT_PTR_EQ(test, quarry_arena_alloc(arena, 10, 1), (void *)block);
	expect_good(test, block + 9);
	expect_bad(test, block + 10);
}

static void use_before_alloc_is_reported(struct kunit *test)
{
	struct quarry_arena *arena;
	u8 *block;

	need_kasan(test);
	arena = create_arena(test, 4096, NULL);
	block = quarry_arena_alloc(arena, 1, 1);
	expect_good(test, block);
	expect_bad(test, block + 1);
	expect_bad(test, block + 8);
	expect_bad(test, block + 4095);
}

static void freed_and_resized_tails_are_reported(struct kunit *test)
{
	struct quarry_arena *arena;
	u8 *block;

	need_kasan(test);
	arena = create_arena(test, 4096, NULL);
	block = quarry_arena_alloc(arena, 100, 8);
	KUNIT_EXPECT_TRUE(test, quarry_arena_resize_last(arena, block, 100, 50));
	expect_good(test, block + 49);
	expect_bad(test, block + 50);
	expect_bad(test, block + 99);
	KUNIT_EXPECT_TRUE(test, quarry_arena_resize_last(arena, block, 50, 203));
	expect_good(test, block + 202);
	expect_bad(test, block + 203);
	KUNIT_EXPECT_TRUE(test, quarry_arena_free_last(arena, block, 203));
	expect_bad(test, block);
}

static void lent_memory_is_poisoned_and_given_back(struct kunit *test)
{
	struct quarry_arena_args args = { .memory_size = 1000 };
	struct quarry_arena *arena;
	u8 *block;

	need_kasan(test);
	args.memory = kunit_kzalloc(test, 1000, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	arena = create_arena(test, 1000, &args);
	block = quarry_arena_alloc(arena, 64, 8);
	expect_good(test, block);
	expect_bad(test, block + 64);
	destroy_arena(test, arena);
	expect_good(test, block + 64);
	expect_good(test, block + 999);
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

/* Creation and growth with the k-th allocation failing, for every k there is. */
static void create_and_growth_survive_failing_allocations(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_64K };
	unsigned int k, left = 0, failed = 0;

	if (!faults_on(test))
		kunit_skip(test, "no failslab and fail_page_alloc in debugfs");
	for (k = 1; !left && k < 10000; k++) {
		struct quarry_arena *arena;
		int err = -ENOMEM;

		current->fail_nth = k;
		arena = quarry_arena_create("faulty", 64, &args);
		if (!IS_ERR(arena))
			err = quarry_arena_reserve(arena, 100);
		left = current->fail_nth;
		current->fail_nth = 0;
		failed += err == -ENOMEM;
		KUNIT_EXPECT_TRUE(test, !err || err == -ENOMEM);
		if (!IS_ERR(arena))
			expect_good_arena(test, arena);
		quarry_arena_destroy(arena);
	}
	KUNIT_EXPECT_GT(test, failed, 2);
	KUNIT_EXPECT_GT(test, left, 0);
}

#else

static void create_and_growth_survive_failing_allocations(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_FAULT_INJECTION");
}

#endif

static struct kunit_case sanitize_cases[] = {
	KUNIT_CASE(use_after_rewind_is_reported),
	KUNIT_CASE(use_after_reset_is_reported),
	KUNIT_CASE(use_before_alloc_is_reported),
	KUNIT_CASE(freed_and_resized_tails_are_reported),
	KUNIT_CASE(lent_memory_is_poisoned_and_given_back),
	KUNIT_CASE(create_and_growth_survive_failing_allocations),
	{}
};

static struct kunit_suite sanitize_suite = {
	.name = "quarry_arena_sanitize",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = sanitize_cases,
};

kunit_test_suite(sanitize_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: what KASAN sees of arenas");
MODULE_LICENSE("GPL");
