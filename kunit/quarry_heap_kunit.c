// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heap's rules: sizes, alignment, coalescing, realloc, refusals, regions,
 * figures.
 */
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <quarry/heap.h>
#include "heap_util.h"

/* Everything is given back: one free block a region, and nothing in use. */
static void expect_whole(struct kunit *test, struct quarry_heap *heap)
{
	struct quarry_heap_stats stats;

	quarry_heap_flush(heap);
	stats = heap_stats_of(heap);
	KUNIT_EXPECT_EQ(test, stats.live, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.bytes_in_use, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.cached, 0ULL);
	if (stats.regions == 1)
		KUNIT_EXPECT_EQ(test, stats.fragmentation, 0ULL);
	expect_heap_verified(test, heap);
}

static void heap_alloc_gives_aligned_memory(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "plain", SZ_64K, NULL);
	size_t size;

	for (size = 0; size < 2000; size = size * 2 + 1) {
		u8 *ptr = quarry_heap_alloc(heap, size);

		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, QUARRY_HEAP_ALIGN));
		memset(ptr, 0xa5, size);
		KUNIT_EXPECT_GE(test, quarry_heap_usable_size(heap, ptr), size);
		KUNIT_EXPECT_TRUE(test, quarry_heap_owns(heap, ptr));
		quarry_heap_free(heap, ptr);
	}
	expect_whole(test, heap);
}

static void heap_smallest_block_is_16_bytes(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_NO_FRONT };
	struct quarry_heap *heap = create_heap(test, "small", SZ_4K, &args);
	void **ptr = new_table(test, SZ_4K / 16);
	size_t nr = 0, i;

	while (nr < SZ_4K / 16 && (ptr[nr] = quarry_heap_alloc(heap, 8)))
		nr++;
	KUNIT_EXPECT_EQ(test, nr, (SZ_4K - QUARRY_HEAP_OVERHEAD) / 16);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).exhausted, 1ULL);
	for (i = 0; i < nr; i++)
		quarry_heap_free(heap, ptr[i]);
	kvfree(ptr);
	expect_whole(test, heap);
}

/* Freed in either order, or the middle last, three neighbours are one again. */
static void heap_coalesces_with_both_sides(struct kunit *test)
{
	static const u8 orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 },
		{ 2, 1, 0 },
	};
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_NO_FRONT };
	struct quarry_heap *heap = create_heap(test, "merge", SZ_4K, &args);
	size_t whole = quarry_heap_largest_free(heap), size, i;
	void *ptr[3];

	for (size = 8; size < 1000; size += 16) {
		for (i = 0; i < ARRAY_SIZE(orders); i++) {
			ptr[0] = quarry_heap_alloc(heap, size);
			ptr[1] = quarry_heap_alloc(heap, 8);
			ptr[2] = quarry_heap_alloc(heap, size);
			KUNIT_ASSERT_NOT_NULL(test, ptr[2]);
			quarry_heap_free(heap, ptr[orders[i][0]]);
			expect_heap_verified(test, heap);
			quarry_heap_free(heap, ptr[orders[i][1]]);
			expect_heap_verified(test, heap);
			quarry_heap_free(heap, ptr[orders[i][2]]);
			KUNIT_EXPECT_EQ(test, quarry_heap_largest_free(heap), whole);
			expect_heap_verified(test, heap);
		}
	}
}

static void heap_aligned_alloc_is_aligned(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "aligned", SZ_2M, NULL);
	size_t align, size;

	for (align = 1; align <= QUARRY_HEAP_MAX_ALIGN; align *= 2) {
		for (size = 1; size < 5000; size = size * 3 + 1) {
			void *odd = quarry_heap_alloc(heap, size);
			void *ptr = quarry_heap_alloc_aligned(heap, size, align);

			KUNIT_ASSERT_NOT_NULL(test, ptr);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, align));
			memset(ptr, 1, size);
			expect_heap_verified(test, heap);
			quarry_heap_free(heap, odd);
			quarry_heap_free(heap, ptr);
		}
	}
	expect_whole(test, heap);
}

static void heap_bad_alignment_is_reported(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "badalign", SZ_64K, NULL);

	KUNIT_EXPECT_NULL(test, quarry_heap_alloc_aligned(heap, 8, 24));
	expect_reports(test, 1, "bad align 24");
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc_aligned(heap, 8, 2 * QUARRY_HEAP_MAX_ALIGN));
	expect_reports(test, 1, "bad align");
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc_aligned(heap, 8, 3));
	expect_reports(test, 1, "bad align 3");
}

static void heap_zalloc_clears(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "zero", SZ_64K, NULL);
	void *ptr = quarry_heap_alloc(heap, 100);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0xff, 100);
	quarry_heap_free(heap, ptr);
	ptr = quarry_heap_zalloc(heap, 100);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0, 100));
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_NULL(test, quarry_heap_zalloc(heap, SZ_64K));
}

static void heap_zero_on_free_clears(struct kunit *test)
{
	struct quarry_heap_args args = {
		.flags = QUARRY_HEAP_ZERO_ON_FREE | QUARRY_ZERO,
	};
	struct quarry_heap *heap = create_heap(test, "clean", SZ_64K, &args);
	void *ptr = quarry_heap_alloc(heap, 100);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0xff, quarry_heap_usable_size(heap, ptr));
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_PTR_EQ(test, quarry_heap_alloc(heap, 100), ptr);
	/* While it was free the heap had its links there. */
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr + 8, 0, 100 - 8));
	quarry_heap_free(heap, ptr);
}

static void heap_array_size_may_not_overflow(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "array", SZ_64K, NULL);
	void *ptr = quarry_heap_alloc_array(heap, 10, 100);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_GE(test, quarry_heap_usable_size(heap, ptr), 1000UL);
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc_array(heap, SIZE_MAX / 2, 3));
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc(heap, SIZE_MAX));
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).too_large, 2ULL);
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc(heap, QUARRY_HEAP_MAX_REGION));
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).exhausted, 1ULL);
}

/* One that cannot be had is as large as a region may be, and sizes do not wrap. */
static void heap_max_request_may_be_anything(struct kunit *test)
{
	struct quarry_heap_args args = { .max_request = SIZE_MAX };
	struct quarry_heap *heap = create_heap(test, "any", SZ_64K, &args);
	void *ptr = quarry_heap_alloc(heap, 100);
	int bit;

	KUNIT_EXPECT_NULL(test, quarry_heap_alloc(heap, SIZE_MAX));
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc_array(heap, SIZE_MAX, 2));
	KUNIT_EXPECT_NULL(test, quarry_heap_realloc(heap, ptr, SIZE_MAX));
	for (bit = 33; bit < 64; bit++)
		KUNIT_EXPECT_NULL(test, quarry_heap_alloc(heap, BIT_ULL(bit) + 100));
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).live, 1ULL);
	quarry_heap_free(heap, ptr);
}

/* A block from a front has no alignment but its own: it moves to any place. */
static void heap_front_forgets_the_alignment(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_64K };
	struct quarry_heap *heap = create_heap(test, "forgets", SZ_256K, &args);
	void *first = quarry_heap_alloc_aligned(heap, 64, 32768), *ptr, *behind;

	KUNIT_ASSERT_NOT_NULL(test, first);
	quarry_heap_free(heap, first);
	ptr = quarry_heap_alloc(heap, 64);
	KUNIT_EXPECT_PTR_EQ(test, ptr, first);
	/* It cannot grow, and what is left is in front of it, where none is aligned. */
	behind = quarry_heap_alloc(heap, quarry_heap_largest_free(heap));
	KUNIT_ASSERT_NOT_NULL(test, behind);
	ptr = quarry_heap_realloc(heap, ptr, 3000);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_PTR_NE(test, ptr, first);
	KUNIT_EXPECT_FALSE(test, IS_ALIGNED((unsigned long)ptr, 32768));
	quarry_heap_free(heap, ptr);
	quarry_heap_free(heap, behind);
}

static void heap_max_request_is_kept(struct kunit *test)
{
	struct quarry_heap_args args = { .max_request = 1000 };
	struct quarry_heap *heap = create_heap(test, "limit", SZ_64K, &args);
	void *ptr = quarry_heap_alloc(heap, 1000);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc(heap, 1001));
	KUNIT_EXPECT_NULL(test, quarry_heap_realloc(heap, ptr, 1001));
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).too_large, 2ULL);
	KUNIT_EXPECT_EQ(test, quarry_heap_largest_free(heap), 1000UL);
	quarry_heap_free(heap, ptr);
}

/* realloc */

static void heap_realloc_grows_in_place(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "grow", SZ_64K, NULL);
	u8 *ptr = quarry_heap_alloc(heap, 100), *same;
	size_t size;

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0x5a, 100);
	for (size = 101; size < 20000; size += 777) {
		same = quarry_heap_realloc(heap, ptr, size);
		KUNIT_EXPECT_PTR_EQ(test, same, ptr);
		KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x5a, 100));
		ptr[size - 1] = 1;
		expect_heap_verified(test, heap);
	}
	for (size = 20000; size > 8; size /= 2) {
		KUNIT_EXPECT_PTR_EQ(test, quarry_heap_realloc(heap, ptr, size), ptr);
		expect_heap_verified(test, heap);
	}
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).moved, 0ULL);
	quarry_heap_free(heap, ptr);
	expect_whole(test, heap);
}

static void heap_realloc_moves_and_keeps_alignment(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_NO_FRONT };
	struct quarry_heap *heap = create_heap(test, "move", SZ_64K, &args);
	void **wall = new_table(test, 100), *moved;
	u8 *ptr = quarry_heap_alloc_aligned(heap, 60, 512);
	size_t i, nr = 0;

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	/* Small ones go low: the last of them stands behind it. */
	do {
		wall[nr] = quarry_heap_alloc(heap, 24);
		KUNIT_ASSERT_NOT_NULL(test, wall[nr]);
	} while (nr < 99 && wall[nr++] < (void *)ptr);
	memset(ptr, 0x77, 60);
	moved = quarry_heap_realloc(heap, ptr, 6000);
	KUNIT_ASSERT_NOT_NULL(test, moved);
	KUNIT_EXPECT_PTR_NE(test, moved, (void *)ptr);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)moved, 512));
	KUNIT_EXPECT_NULL(test, memchr_inv(moved, 0x77, 60));
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).moved, 1ULL);
	quarry_heap_free(heap, moved);
	for (i = 0; i < nr; i++)
		quarry_heap_free(heap, wall[i]);
	kvfree(wall);
	expect_whole(test, heap);
}

static void heap_realloc_failure_keeps_the_block(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "fail", SZ_4K, NULL);
	u8 *ptr = quarry_heap_alloc(heap, 100);
	void *wall = quarry_heap_alloc(heap, 8);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0x33, 100);
	KUNIT_EXPECT_NULL(test, quarry_heap_realloc(heap, ptr, 4000));
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x33, 100));
	quarry_heap_free(heap, ptr);
	quarry_heap_free(heap, wall);
	expect_whole(test, heap);
}

static void heap_realloc_of_null_allocates(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "null", SZ_4K, NULL);
	void *ptr = quarry_heap_realloc(heap, NULL, 100);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_PTR_EQ(test, quarry_heap_realloc(heap, ptr, 0), ptr);
	KUNIT_EXPECT_EQ(test, quarry_heap_usable_size(heap, ptr), 8UL);
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_NULL(test, quarry_heap_realloc(heap, ptr, 100));
	expect_reports(test, 1, "double free");
}

/* Refusals */

static void heap_free_of_null_is_ignored(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "nil", SZ_4K, NULL);

	quarry_heap_free(heap, NULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).refused, 0ULL);
}

static void heap_double_free_is_refused(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "twice", SZ_64K, NULL);
	void *ptr = quarry_heap_alloc(heap, 40), *next = quarry_heap_alloc(heap, 40);

	quarry_heap_free(heap, ptr);
	quarry_heap_free(heap, ptr);
	expect_reports(test, 1, "double free of the block");
	quarry_heap_flush(heap);
	quarry_heap_free(heap, ptr);
	expect_reports(test, 1, "double free of the block");
	quarry_heap_free(heap, next);
	quarry_heap_flush(heap);
	quarry_heap_free(heap, next);		/* merged: its header is wiped */
	expect_reports(test, 1, "double free of the block");
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).refused_double, 3ULL);
	expect_whole(test, heap);
}

static void heap_wrong_pointers_are_refused(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "wrong", SZ_64K, NULL);
	struct quarry_heap *other = create_heap(test, "other", SZ_64K, NULL);
	u8 *ptr = quarry_heap_zalloc(heap, 100), *foreign = quarry_heap_alloc(other, 10);
	struct quarry_heap_stats stats;
	int local;

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_ASSERT_NOT_NULL(test, foreign);
	quarry_heap_free(heap, ptr + 3);
	expect_reports(test, 1, "misaligned pointer");
	quarry_heap_free(heap, ptr + 16);
	expect_reports(test, 1, "interior pointer");
	quarry_heap_free(heap, &local);
	expect_reports(test, 1, "foreign pointer");
	quarry_heap_free(heap, foreign);
	expect_reports(test, 1, "pointer of heap \"other\"");
	stats = heap_stats_of(heap);
	KUNIT_EXPECT_EQ(test, stats.refused_misaligned, 1ULL);
	KUNIT_EXPECT_EQ(test, stats.refused_interior, 1ULL);
	KUNIT_EXPECT_EQ(test, stats.refused_foreign, 1ULL);
	KUNIT_EXPECT_EQ(test, stats.refused_owner, 1ULL);
	KUNIT_EXPECT_EQ(test, stats.refused, 4ULL);
	KUNIT_EXPECT_EQ(test, stats.live, 1ULL);
	quarry_heap_free(heap, ptr);
	quarry_heap_free(other, foreign);
	expect_whole(test, heap);
}

static void heap_handle_may_be_an_error(struct kunit *test)
{
	struct quarry_heap *bad = ERR_PTR(-ENOMEM);

	KUNIT_EXPECT_NULL(test, quarry_heap_alloc(NULL, 8));
	expect_reports(test, 1, "not a heap: 0");
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc_aligned(bad, 8, 64));
	expect_reports(test, 1, "not a heap: -12");
	quarry_heap_free(bad, test);
	expect_reports(test, 1, "not a heap: -12");
	KUNIT_EXPECT_NULL(test, quarry_heap_realloc(bad, test, 8));
	expect_reports(test, 1, "not a heap: -12");
	KUNIT_EXPECT_EQ(test, quarry_heap_usable_size(NULL, test), 0UL);
	KUNIT_EXPECT_FALSE(test, quarry_heap_owns(bad, test));
	KUNIT_EXPECT_EQ(test, quarry_heap_largest_free(NULL), 0UL);
	quarry_heap_flush(NULL);
	quarry_heap_destroy(bad);
}

/* Life */

static int stop_walk(const struct quarry_heap_block *block, void *arg)
{
	return 17;
}

static void heap_bad_arguments_are_refused(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = BIT(30) };

	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_heap_create("bad/name", SZ_4K, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_heap_create("tiny", 255, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_heap_create("huge", QUARRY_HEAP_MAX_REGION + 1,
							 NULL)), -EOVERFLOW);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_heap_create("flags", SZ_4K, &args)), -EINVAL);
	args = (struct quarry_heap_args){ .memory = test, .memory_size = 100 };
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_heap_create("small", SZ_4K, &args)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_heap_create_owned(THIS_MODULE, 1, "layout", SZ_4K,
							       NULL)), -EINVAL);
}

static void heap_regions_are_added(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_NO_FRONT };
	struct quarry_heap *heap = create_heap(test, "more", SZ_4K, &args);
	void **ptr = new_table(test, 64);
	size_t nr, i;

	KUNIT_EXPECT_EQ(test, quarry_heap_add_region(heap, 100, NULL), -EINVAL);
	for (i = 1; i < QUARRY_HEAP_MAX_REGIONS; i++)
		KUNIT_EXPECT_EQ(test, quarry_heap_add_region(heap, SZ_4K, NULL), 0);
	KUNIT_EXPECT_EQ(test, quarry_heap_add_region(heap, SZ_4K, NULL), -ENOSPC);
	for (nr = 0; nr < 64 && (ptr[nr] = quarry_heap_alloc(heap, 2000)); nr++)
		memset(ptr[nr], 1, 2000);
	KUNIT_EXPECT_EQ(test, nr, 2UL * QUARRY_HEAP_MAX_REGIONS);
	KUNIT_EXPECT_TRUE(test, quarry_heap_owns(heap, ptr[nr - 1]));
	expect_heap_verified(test, heap);
	for (i = 0; i < nr; i++)
		quarry_heap_free(heap, ptr[i]);
	kvfree(ptr);
	expect_whole(test, heap);
}

static void heap_destroyed_handle_is_refused(struct kunit *test)
{
	struct quarry_heap *heap = quarry_heap_create("gone", SZ_4K, NULL);
	void *ptr;

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(heap), 0);
	ptr = quarry_heap_alloc(heap, 24);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	quarry_heap_free(heap, ptr);
	quarry_heap_destroy(heap);
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc(heap, 24));
	expect_reports(test, 1, "alloc refused: destroyed heap");
	quarry_heap_free(heap, ptr);
	expect_reports(test, 1, "free refused: destroyed heap");
	KUNIT_EXPECT_NULL(test, quarry_heap_realloc(heap, ptr, 10));
	expect_reports(test, 1, "destroyed heap");
	KUNIT_EXPECT_FALSE(test, quarry_heap_owns(heap, ptr));
	KUNIT_EXPECT_EQ(test, quarry_heap_usable_size(heap, ptr), 0UL);
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), -EINVAL);
	KUNIT_EXPECT_EQ(test, quarry_heap_add_region(heap, SZ_4K, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).refused_dead, 3ULL);
	quarry_heap_destroy(heap);
	expect_reports(test, 1, "destroyed twice");
}

/* Lent memory is its owner's after destroy, leak or not, and is not looked at. */
static void heap_with_live_blocks_is_kept(struct kunit *test)
{
	u64 *memory = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	struct quarry_heap_args args = { .memory = memory, .memory_size = SZ_4K };
	struct quarry_heap *heap;
	void *ptr;

	KUNIT_ASSERT_NOT_NULL(test, memory);
	heap = quarry_heap_create("kept", SZ_4K, &args);
	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(heap), 0);
	ptr = quarry_heap_alloc(heap, 24);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	quarry_heap_destroy(heap);
	expect_reports(test, 1, "1 live blocks of 24 bytes, memory kept; at offset 16 (24 bytes)");
	quarry_heap_free(heap, ptr);
	expect_reports(test, 1, "destroyed heap");
	memset(memory, 0, SZ_4K);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).live, 1ULL);
	KUNIT_EXPECT_EQ(test, quarry_heap_walk(heap, stop_walk, NULL), -EINVAL);
}

static void heap_fronts_are_flushed_before_a_request_fails(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_256K };
	struct quarry_heap *heap = create_heap(test, "flush", SZ_16K, &args);
	void *ptr[32];
	size_t i;

	/* All of the region is wanted, and more of it lies in a front than is flushed at once. */
	for (i = 0; i < ARRAY_SIZE(ptr); i++) {
		ptr[i] = quarry_heap_alloc(heap, i % 2 ? 24 : 40);
		KUNIT_ASSERT_NOT_NULL(test, ptr[i]);
	}
	for (i = 0; i < ARRAY_SIZE(ptr); i++)
		quarry_heap_free(heap, ptr[i]);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, (u64)ARRAY_SIZE(ptr));
	expect_heap_verified(test, heap);
	ptr[0] = quarry_heap_alloc(heap, SZ_16K - QUARRY_HEAP_OVERHEAD - QUARRY_HEAP_HEADER);
	KUNIT_ASSERT_NOT_NULL(test, ptr[0]);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 0ULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).flushes, 1ULL);
	quarry_heap_free(heap, ptr[0]);
	expect_whole(test, heap);
}

static void heap_fronts_serve_the_same_size(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_256K };
	struct quarry_heap *heap = create_heap(test, "front", SZ_64K, &args);
	void *ptr[4];
	size_t i;

	for (i = 0; i < 4; i++)
		ptr[i] = quarry_heap_alloc(heap, 24);
	for (i = 0; i < 4; i++)
		quarry_heap_free(heap, ptr[i]);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 4ULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).live, 0ULL);
	expect_heap_verified(test, heap);
	for (i = 0; i < 4; i++)
		ptr[i] = quarry_heap_alloc(heap, 17);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).hits, 4ULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 0ULL);
	for (i = 0; i < 4; i++)
		quarry_heap_free(heap, ptr[i]);
	expect_whole(test, heap);
}

static void heap_fronts_serve_aligned_requests(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_64K };
	struct quarry_heap *heap = create_heap(test, "alignedfront", SZ_256K, &args);
	u8 *aligned = quarry_heap_alloc_aligned(heap, 64, 256), *plain[8], *ptr;
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, aligned);
	/* They fill the gap in front of it, and stand in its way. */
	for (i = 0; i < ARRAY_SIZE(plain); i++)
		plain[i] = quarry_heap_alloc(heap, 64);
	KUNIT_ASSERT_NOT_NULL(test, plain[0]);
	KUNIT_ASSERT_FALSE(test, IS_ALIGNED((unsigned long)plain[0], 256));
	/* Of the right size and at the wrong place: it stays where it is. */
	quarry_heap_free(heap, plain[0]);
	ptr = quarry_heap_alloc_aligned(heap, 64, 256);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, 256));
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).hits, 0ULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 1ULL);
	/* Behind it in the front is one that will do, and has the alignment from now on. */
	quarry_heap_free(heap, aligned);
	KUNIT_EXPECT_PTR_EQ(test, quarry_heap_alloc_aligned(heap, 64, 256), aligned);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).hits, 1ULL);
	expect_heap_verified(test, heap);
	quarry_heap_free(heap, ptr);
	ptr = quarry_heap_realloc(heap, aligned, 20000);
	KUNIT_EXPECT_PTR_NE(test, ptr, aligned);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, 256));
	quarry_heap_free(heap, ptr);
	for (i = 1; i < ARRAY_SIZE(plain); i++)
		quarry_heap_free(heap, plain[i]);
	expect_whole(test, heap);
}

/* Tops are hints: whatever they say, each block is found again, and none twice. */
static void heap_fronts_find_what_lies_below(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_64K };
	struct quarry_heap *heap = create_heap(test, "below", SZ_256K, &args);
	u8 *aligned = quarry_heap_alloc_aligned(heap, 64, 256), *plain[8];
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, aligned);
	for (i = 0; i < ARRAY_SIZE(plain); i++)
		plain[i] = quarry_heap_alloc(heap, 64);
	KUNIT_ASSERT_NOT_NULL(test, plain[7]);
	/* Taken from below the top, where it leaves a hole. */
	quarry_heap_free(heap, aligned);
	quarry_heap_free(heap, plain[0]);
	quarry_heap_free(heap, plain[1]);
	KUNIT_EXPECT_PTR_EQ(test, quarry_heap_alloc_aligned(heap, 64, 256), aligned);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 2ULL);
	KUNIT_EXPECT_PTR_EQ(test, quarry_heap_alloc(heap, 64), plain[1]);
	KUNIT_EXPECT_PTR_EQ(test, quarry_heap_alloc(heap, 64), plain[0]);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 0ULL);
	/* Full, emptied from outside, and filled again. */
	for (i = 0; i < ARRAY_SIZE(plain); i++)
		quarry_heap_free(heap, plain[i]);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 8ULL);
	quarry_heap_flush(heap);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 0ULL);
	for (i = 0; i < ARRAY_SIZE(plain); i++)
		plain[i] = quarry_heap_alloc(heap, 64);
	for (i = 0; i < ARRAY_SIZE(plain); i++)
		quarry_heap_free(heap, plain[i]);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 8ULL);
	expect_heap_verified(test, heap);
	quarry_heap_free(heap, aligned);
	expect_whole(test, heap);
}

/* From 16 units on a block that is larger by less than an eighth will do. */
static void heap_fronts_serve_a_little_less(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_4M };
	struct quarry_heap *heap = create_heap(test, "less", SZ_4M, &args);
	static const struct {
		size_t block, least, smaller;
	} sizes[] = {
		{ 128, 113, 120 }, { 304, 273, 296 }, { 1000, 945, 984 }, { 3000, 2801, 2936 },
	};
	void *ptr;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u64 hits = heap_stats_of(heap).hits;

		ptr = quarry_heap_alloc(heap, sizes[i].block);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		quarry_heap_free(heap, ptr);
		KUNIT_EXPECT_PTR_EQ(test, quarry_heap_alloc(heap, sizes[i].least), ptr);
		KUNIT_EXPECT_EQ(test, heap_stats_of(heap).hits, hits + 1);
		quarry_heap_free(heap, ptr);
		ptr = quarry_heap_alloc(heap, sizes[i].least - 1);
		KUNIT_EXPECT_EQ_MSG(test, heap_stats_of(heap).hits, hits + 1, "%zu",
				    sizes[i].least - 1);
		quarry_heap_free(heap, ptr);
		quarry_heap_flush(heap);
		/* Of the same class, but for the first, and too small. */
		quarry_heap_free(heap, quarry_heap_alloc(heap, sizes[i].smaller));
		ptr = quarry_heap_alloc(heap, sizes[i].block);
		KUNIT_EXPECT_EQ_MSG(test, heap_stats_of(heap).hits, hits + 1, "%zu",
				    sizes[i].smaller);
		KUNIT_EXPECT_GE(test, quarry_heap_usable_size(heap, ptr), sizes[i].block);
		quarry_heap_free(heap, ptr);
		quarry_heap_flush(heap);
	}
	expect_whole(test, heap);
}

static void heap_fronts_serve_up_to_a_page(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_4M };
	struct quarry_heap *heap = create_heap(test, "pages", SZ_4M, &args);
	u8 *ptr = quarry_heap_alloc_aligned(heap, 4096, 4096), *again;

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	quarry_heap_free(heap, ptr);
	again = quarry_heap_alloc_aligned(heap, 4096, 4096);
	KUNIT_EXPECT_PTR_EQ(test, again, ptr);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).hits, 1ULL);
	quarry_heap_free(heap, again);
	again = quarry_heap_alloc(heap, 4097);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).hits, 1ULL);
	quarry_heap_free(heap, again);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 1ULL);
	expect_whole(test, heap);
}

/*
 * A size whose top said that there were blocks, and there are none, is known to be empty:
 * what comes next is not the last block of the size below, of which all slots are full.
 */
static void heap_fronts_keep_sizes_apart(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_256K * num_online_cpus() };
	struct quarry_heap *heap = create_heap(test, "apart", SZ_64K, &args);
	u8 *less[32], *ptr[4], *more[2], *low, *aligned;
	size_t i;

	migrate_disable();
	for (i = 0; i < ARRAY_SIZE(less); i++)
		less[i] = quarry_heap_alloc(heap, 40);
	for (i = 0; i < ARRAY_SIZE(ptr); i++)
		ptr[i] = quarry_heap_alloc(heap, 48);
	/* Whatever those did to the tops, they begin anew. */
	quarry_heap_flush(heap);
	for (i = 0; i < ARRAY_SIZE(less); i++)
		quarry_heap_free(heap, less[i]);
	low = IS_ALIGNED((unsigned long)ptr[0], 16) ? ptr[0] : ptr[1];
	/* The lower slot has the one that is aligned; it is taken from there. */
	quarry_heap_free(heap, low);
	quarry_heap_free(heap, low == ptr[0] ? ptr[1] : ptr[0]);
	aligned = quarry_heap_alloc_aligned(heap, 48, 16);
	for (i = 0; i < 2; i++)
		ptr[i] = quarry_heap_alloc(heap, 48);
	/* The first would lower a top that is at its lowest, the second go by that. */
	for (i = 0; i < ARRAY_SIZE(more); i++)
		more[i] = quarry_heap_alloc(heap, 48);
	migrate_enable();
	KUNIT_EXPECT_PTR_EQ(test, aligned, low);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).hits, 2ULL);
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		KUNIT_EXPECT_GE(test, quarry_heap_usable_size(heap, more[i]), 48UL);
		quarry_heap_free(heap, more[i]);
	}
	for (i = 0; i < ARRAY_SIZE(ptr); i++)
		quarry_heap_free(heap, ptr[i]);
	quarry_heap_free(heap, aligned);
	expect_whole(test, heap);
}

/* With more than this in use nothing is held back, and with less one small block. */
static void expect_rest_at(struct kunit *test, size_t front, size_t size, size_t most)
{
	struct quarry_heap_args args = { .front = front };
	struct quarry_heap *heap = create_heap(test, "short", size, &args);
	void *big = quarry_heap_alloc(heap, most), *ptr = quarry_heap_alloc(heap, 24);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 0ULL);
	quarry_heap_free(heap, big);
	big = quarry_heap_alloc(heap, most - 2048);
	ptr = quarry_heap_alloc(heap, 24);
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 1ULL);
	quarry_heap_free(heap, big);
	expect_whole(test, heap);
}

static void heap_fronts_rest_when_memory_is_short(struct kunit *test)
{
	expect_rest_at(test, SZ_256K, SZ_64K, SZ_64K / 8 * 7);
	expect_rest_at(test, 0, SZ_512K, SZ_512K / 16 * 11);
}

/* By default they are for blocks that are small in relation to the heap. */
static void heap_fronts_are_for_small_blocks(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "small", SZ_1M, NULL);
	void *ptr;

	ptr = quarry_heap_alloc(heap, SZ_1M / 8192 - QUARRY_HEAP_HEADER);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 0ULL);
	ptr = quarry_heap_alloc(heap, SZ_1M / 8192 - QUARRY_HEAP_HEADER - 8);
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 1ULL);
	expect_whole(test, heap);
}

/* Frees of @nr blocks on one CPU, of sizes that have no room in one class. */
static u64 cached_of(struct quarry_heap *heap, void **ptr, size_t nr)
{
	size_t i;

	migrate_disable();
	for (i = 0; i < nr; i++)
		ptr[i] = quarry_heap_alloc(heap, 200 + 40 * i);
	for (i = 0; i < nr; i++)
		quarry_heap_free(heap, ptr[i]);
	migrate_enable();
	return heap_stats_of(heap).bytes_cached;
}

/* A CPU holds its share and one block at most; what a flush took may come again. */
static void heap_fronts_hold_what_they_may(struct kunit *test)
{
	u64 share = SZ_64K, bytes, left;
	struct quarry_heap_args args = { .front = share * num_online_cpus() };
	struct quarry_heap *heap = create_heap(test, "share", SZ_1M, &args);
	void *ptr[64], *rest[3];
	int i;

	for (i = 0; i < 3; i++) {
		bytes = cached_of(heap, ptr, ARRAY_SIZE(ptr));
		KUNIT_EXPECT_GT(test, bytes, share - SZ_4K);
		KUNIT_EXPECT_LT(test, bytes, share + SZ_4K);
		expect_heap_verified(test, heap);
		quarry_heap_flush(heap);
		KUNIT_EXPECT_EQ(test, heap_stats_of(heap).bytes_cached, 0ULL);
	}
	/* Some of it, for a request that nothing else is left for. */
	bytes = cached_of(heap, ptr, ARRAY_SIZE(ptr));
	for (i = 0; i < 2; i++)
		rest[i] = quarry_heap_alloc(heap, quarry_heap_largest_free(heap));
	rest[2] = quarry_heap_alloc(heap, 5000);
	KUNIT_EXPECT_NOT_NULL(test, rest[2]);
	left = heap_stats_of(heap).bytes_cached;
	KUNIT_EXPECT_GT(test, left, 0ULL);
	KUNIT_EXPECT_LT(test, left, bytes - 2 * SZ_4K);
	for (i = 0; i < 3; i++)
		quarry_heap_free(heap, rest[i]);
	KUNIT_EXPECT_GT(test, cached_of(heap, ptr, ARRAY_SIZE(ptr)), share - SZ_4K);
	expect_heap_verified(test, heap);
	expect_whole(test, heap);
}

/* What was freed once does not keep out what is freed all the time. */
static void heap_fronts_go_with_the_times(struct kunit *test)
{
	struct quarry_heap_args args = { .front = SZ_16K * num_online_cpus() };
	struct quarry_heap *heap = create_heap(test, "times", SZ_1M, &args);
	void *page[5];
	u64 hits;
	int i;

	migrate_disable();
	for (i = 0; i < ARRAY_SIZE(page); i++)
		page[i] = quarry_heap_alloc(heap, i < 3 ? 4000 : 3000);
	for (i = 0; i < ARRAY_SIZE(page); i++)
		quarry_heap_free(heap, page[i]);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 5ULL);
	/* A class at a time gives way. */
	for (i = 0; i < 100; i++)
		quarry_heap_free(heap, quarry_heap_alloc(heap, 24));
	hits = heap_stats_of(heap).hits;
	for (i = 0; i < 100; i++)
		quarry_heap_free(heap, quarry_heap_alloc(heap, 24));
	migrate_enable();
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).hits, hits + 100);
	KUNIT_EXPECT_LT(test, heap_stats_of(heap).bytes_cached, (u64)SZ_16K + 64);
	expect_heap_verified(test, heap);
	expect_whole(test, heap);
}

struct tally {
	size_t blocks[4], bytes;
	unsigned long last;
	bool ordered;
};

static int tally_block(const struct quarry_heap_block *block, void *arg)
{
	struct tally *tally = arg;

	tally->blocks[block->state]++;
	tally->bytes += block->size + QUARRY_HEAP_HEADER;
	tally->ordered &= (unsigned long)block->ptr > tally->last;
	tally->last = (unsigned long)block->ptr;
	return 0;
}

static void heap_walk_sees_all(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "walk", SZ_64K, NULL);
	struct tally tally = { .ordered = true };
	void *ptr[100];
	size_t i;

	for (i = 0; i < 100; i++)
		ptr[i] = quarry_heap_alloc(heap, 8 * i);
	for (i = 0; i < 100; i += 2)
		quarry_heap_free(heap, ptr[i]);
	KUNIT_EXPECT_EQ(test, quarry_heap_walk(heap, tally_block, &tally), 0);
	KUNIT_EXPECT_EQ(test, tally.blocks[QUARRY_HEAP_LIVE], 50UL);
	KUNIT_EXPECT_EQ(test, tally.blocks[QUARRY_HEAP_FENCED], 0UL);
	KUNIT_EXPECT_EQ(test, tally.bytes, SZ_64K - QUARRY_HEAP_OVERHEAD);
	KUNIT_EXPECT_TRUE(test, tally.ordered);
	KUNIT_EXPECT_EQ(test, quarry_heap_walk(heap, stop_walk, NULL), 17);
	KUNIT_EXPECT_EQ(test, quarry_heap_walk(heap, NULL, NULL), -EINVAL);
	for (i = 1; i < 100; i += 2)
		quarry_heap_free(heap, ptr[i]);
	expect_whole(test, heap);
}

/* Frees and allocates while it is walked: merges take blocks from under it. */
struct churn {
	struct quarry_heap *heap;
	void *ptr[64];
	size_t nr;
};

static int churn_block(const struct quarry_heap_block *block, void *arg)
{
	struct churn *churn = arg;
	u32 i = churn->nr++ * 7 % ARRAY_SIZE(churn->ptr);

	quarry_heap_free(churn->heap, churn->ptr[i]);
	churn->ptr[i] = quarry_heap_alloc(churn->heap, 16 + churn->nr % 300);
	return churn->nr > 1000;
}

static void heap_walk_survives_changes(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_NO_FRONT };
	struct churn churn = { .heap = create_heap(test, "churn", SZ_64K, &args) };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(churn.ptr); i++)
		churn.ptr[i] = quarry_heap_alloc(churn.heap, 40);
	for (i = 0; i < 20; i++) {
		churn.nr = 0;
		KUNIT_EXPECT_EQ(test, quarry_heap_walk(churn.heap, churn_block, &churn), 0);
		expect_heap_verified(test, churn.heap);
	}
	for (i = 0; i < ARRAY_SIZE(churn.ptr); i++)
		quarry_heap_free(churn.heap, churn.ptr[i]);
	expect_whole(test, churn.heap);
}

static struct kunit_case heap_cases[] = {
	KUNIT_CASE(heap_alloc_gives_aligned_memory),
	KUNIT_CASE(heap_smallest_block_is_16_bytes),
	KUNIT_CASE(heap_coalesces_with_both_sides),
	KUNIT_CASE(heap_aligned_alloc_is_aligned),
	KUNIT_CASE(heap_bad_alignment_is_reported),
	KUNIT_CASE(heap_zalloc_clears),
	KUNIT_CASE(heap_zero_on_free_clears),
	KUNIT_CASE(heap_array_size_may_not_overflow),
	KUNIT_CASE(heap_max_request_is_kept),
	KUNIT_CASE(heap_max_request_may_be_anything),
	KUNIT_CASE(heap_front_forgets_the_alignment),
	KUNIT_CASE(heap_realloc_grows_in_place),
	KUNIT_CASE(heap_realloc_moves_and_keeps_alignment),
	KUNIT_CASE(heap_realloc_failure_keeps_the_block),
	KUNIT_CASE(heap_realloc_of_null_allocates),
	KUNIT_CASE(heap_free_of_null_is_ignored),
	KUNIT_CASE(heap_double_free_is_refused),
	KUNIT_CASE(heap_wrong_pointers_are_refused),
	KUNIT_CASE(heap_handle_may_be_an_error),
	KUNIT_CASE(heap_bad_arguments_are_refused),
	KUNIT_CASE(heap_regions_are_added),
	KUNIT_CASE(heap_destroyed_handle_is_refused),
	KUNIT_CASE(heap_with_live_blocks_is_kept),
	KUNIT_CASE(heap_fronts_are_flushed_before_a_request_fails),
	KUNIT_CASE(heap_fronts_serve_the_same_size),
	KUNIT_CASE(heap_fronts_serve_aligned_requests),
	KUNIT_CASE(heap_fronts_find_what_lies_below),
	KUNIT_CASE(heap_fronts_serve_a_little_less),
	KUNIT_CASE(heap_fronts_serve_up_to_a_page),
	KUNIT_CASE(heap_fronts_keep_sizes_apart),
	KUNIT_CASE(heap_fronts_rest_when_memory_is_short),
	KUNIT_CASE(heap_fronts_are_for_small_blocks),
	KUNIT_CASE(heap_fronts_hold_what_they_may),
	KUNIT_CASE(heap_fronts_go_with_the_times),
	KUNIT_CASE(heap_walk_sees_all),
	KUNIT_CASE(heap_walk_survives_changes),
	{}
};

static struct kunit_suite heap_suite = {
	.name = "quarry_heap",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = heap_cases,
};

kunit_test_suite(heap_suite);
MODULE_DESCRIPTION("KUnit: quarry's heap");
MODULE_LICENSE("GPL");
