// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KASAN sees of a heap's blocks: bad accesses on purpose, each of which it
 * must report at that very access, and good ones next to them, which it must not.
 * As quarry_sanitize_kunit.c does it for pools.
 */
#include <linux/module.h>
#include "heap_util.h"
#include "kasan_util.h"

static const size_t sizes[] = { 1, 8, 13, 24, 100, 3000 };

static void size_desc(const size_t *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "size %zu", *size);
}

KUNIT_ARRAY_PARAM(size, sizes, size_desc);

/* The header of the next block is its redzone, and that of the block in front. */
static void heap_overrun_and_underrun_are_reported(struct kunit *test)
{
	size_t size = *(const size_t *)test->param_value;
	struct quarry_heap *heap;
	u8 *a, *b;

	need_kasan(test);
	heap = create_heap(test, "kasan", SZ_64K, NULL);
	a = quarry_heap_alloc(heap, size);
	b = quarry_heap_alloc(heap, size);
	KUNIT_ASSERT_NOT_NULL(test, b);
	memset(a, 1, size);
	memset(b, 2, size);
	expect_good(test, a + size - 1);
	expect_bad(test, a + size);
	expect_bad(test, a - 1);
	expect_bad(test, b - 1);
	quarry_heap_free(heap, a);
	quarry_heap_free(heap, b);
}

static void heap_use_after_free_is_reported(struct kunit *test)
{
	size_t size = *(const size_t *)test->param_value;
	struct quarry_heap *heap;
	u8 *ptr;

	need_kasan(test);
	heap = create_heap(test, "kasan", SZ_64K, NULL);
	ptr = quarry_heap_alloc(heap, size);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	expect_good(test, ptr);
	quarry_heap_free(heap, ptr);
	expect_bad(test, ptr);
	expect_bad(test, ptr + size - 1);
	quarry_heap_flush(heap);
	expect_bad(test, ptr);
}

static void heap_realloc_moves_the_bounds(struct kunit *test)
{
	struct quarry_heap *heap;
	u8 *ptr;

	need_kasan(test);
	heap = create_heap(test, "kasan", SZ_64K, NULL);
	ptr = quarry_heap_alloc(heap, 100);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_ASSERT_PTR_EQ(test, quarry_heap_realloc(heap, ptr, 50), (void *)ptr);
	expect_good(test, ptr + 49);
	expect_bad(test, ptr + 50);
	expect_bad(test, ptr + 80);
	KUNIT_ASSERT_PTR_EQ(test, quarry_heap_realloc(heap, ptr, 501), (void *)ptr);
	expect_good(test, ptr + 500);
	expect_bad(test, ptr + 501);
	KUNIT_EXPECT_EQ(test, quarry_heap_usable_size(heap, ptr), 504UL);
	expect_good(test, ptr + 503);
	quarry_heap_free(heap, ptr);
}

static void heap_fresh_memory_is_poisoned(struct kunit *test)
{
	struct quarry_heap *heap;
	u8 *ptr;

	need_kasan(test);
	heap = create_heap(test, "kasan", SZ_64K, NULL);
	ptr = quarry_heap_alloc_aligned(heap, 10, 512);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	expect_good(test, ptr);
	expect_bad(test, ptr - 64);
	expect_bad(test, ptr + 5000);
	quarry_heap_free(heap, ptr);
}

/* What was lent may be used by its owner after destroy. */
static void heap_lent_memory_is_given_back_whole(struct kunit *test)
{
	struct quarry_heap_args args = { .memory_size = SZ_4K };
	struct quarry_heap *heap;

	args.memory = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	heap = quarry_heap_create("lent", SZ_4K, &args);
	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(heap), 0);
	quarry_heap_free(heap, quarry_heap_alloc(heap, 100));
	quarry_heap_destroy(heap);
	memset(args.memory, 0, SZ_4K);
}

static struct kunit_case sanitize_cases[] = {
	KUNIT_CASE_PARAM(heap_overrun_and_underrun_are_reported, size_gen_params),
	KUNIT_CASE_PARAM(heap_use_after_free_is_reported, size_gen_params),
	KUNIT_CASE(heap_realloc_moves_the_bounds),
	KUNIT_CASE(heap_fresh_memory_is_poisoned),
	KUNIT_CASE(heap_lent_memory_is_given_back_whole),
	{}
};

static struct kunit_suite sanitize_suite = {
	.name = "quarry_heap_sanitize",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = sanitize_cases,
};

kunit_test_suite(sanitize_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: what KASAN sees of a heap");
MODULE_LICENSE("GPL");
