// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which step of a router serves what, what comes after a miss, and what is refused.
 */
#include <linux/completion.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <quarry/quarry.h>
#include "kunit_file.h"
#include "irq_util.h"
#include "router_util.h"
#include "section_util.h"

#define HAVE_KASAN (IS_ENABLED(CONFIG_KASAN_GENERIC) && \
		    IS_ENABLED(CONFIG_KASAN_VMALLOC))

#define ROOM	200

static void **room(struct kunit *test)
{
	void **blocks = kunit_kcalloc(test, ROOM, sizeof(void *), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, blocks);
	return blocks;
}

/* All blocks of the class for @size; how many. */
static size_t fill(struct kunit *test, struct quarry_router *r, size_t size,
		   void **blocks, size_t room)
{
	size_t nr = 0;
	u64 full = router_stats(r).class_full;

	while (nr < room) {
		blocks[nr] = quarry_router_alloc(r, size, 0);
		if (router_stats(r).class_full > full)
			break;
		KUNIT_EXPECT_NOT_NULL(test, blocks[nr]);
		nr++;
	}
	if (nr < room)
		quarry_router_free(r, blocks[nr]);
	return nr;
}

/* Classes */

static void default_classes_waste_an_eighth_at_most(struct kunit *test)
{
	struct quarry_router *r = create_router(test, SZ_2M, NULL);
	size_t size, class;

	for (size = 1; size <= SZ_8K; size++) {
		class = quarry_router_class_size(r, size);
		KUNIT_ASSERT_GE(test, class, size);
		KUNIT_ASSERT_TRUE_MSG(test, class - size <= max(class / 8, 7UL),
				      "%zu bytes go to %zu", size, class);
	}
	KUNIT_EXPECT_EQ(test, quarry_router_class_size(r, SZ_8K), SZ_8K);
	KUNIT_EXPECT_EQ(test, quarry_router_class_size(r, SZ_8K + 1), 0);
	KUNIT_EXPECT_EQ(test, quarry_router_class_size(r, 0), 8);
	for (size = 8; size <= SZ_8K; size *= 2)
		KUNIT_EXPECT_EQ(test, quarry_router_class_size(r, size), size);
}

static void each_size_is_served_by_its_class(struct kunit *test)
{
	struct quarry_router *r = create_router(test, SZ_2M, NULL);
	size_t size, nr = 0, class;

	for (size = 1; size <= SZ_8K; size += 1 + size / 16, nr++) {
		void *ptr = quarry_router_alloc(r, size, 0);

		KUNIT_ASSERT_NOT_NULL(test, ptr);
		class = quarry_router_class_size(r, size);
		KUNIT_EXPECT_GE(test, class, size);
		KUNIT_EXPECT_EQ(test, quarry_router_class_size(r, class), class);
		KUNIT_EXPECT_EQ(test, quarry_router_usable_size(r, ptr), class);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr,
						   min(BIT(__ffs(class)), 4096UL)));
		KUNIT_EXPECT_TRUE(test, quarry_router_owns(r, ptr));
		memset(ptr, 0x5a, class);
		quarry_router_free(r, ptr);
		KUNIT_EXPECT_EQ(test, quarry_router_usable_size(r, ptr), 0);
	}
	KUNIT_EXPECT_EQ(test, router_stats(r).hits, nr);
	KUNIT_EXPECT_EQ(test, router_stats(r).allocs, nr);
	KUNIT_EXPECT_EQ(test, router_stats(r).frees, nr);
	KUNIT_EXPECT_EQ(test, router_stats(r).live, 0);
	expect_good(test, r);
}

static void larger_sizes_belong_to_the_heap(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	void *ptr = quarry_router_alloc(r, 1000, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 1, 1000);
	KUNIT_EXPECT_GE(test, quarry_router_usable_size(r, ptr), 1000);
	KUNIT_EXPECT_TRUE(test, quarry_router_owns(r, ptr));
	KUNIT_EXPECT_EQ(test, router_stats(r).hits, 1);
	KUNIT_EXPECT_EQ(test, router_stats(r).heap_live, 1);
	KUNIT_EXPECT_EQ(test, router_stats(r).fell_back, 0);
	quarry_router_free(r, ptr);
	KUNIT_EXPECT_EQ(test, router_stats(r).heap_live, 0);
	expect_good(test, r);
}

static void promised_blocks_are_there(struct kunit *test)
{
	struct quarry_router *r = small(test, QUARRY_ROUTER_STRICT, 0);
	void **blocks = room(test);
	size_t nr = 0, i;

	while (nr < ROOM && (blocks[nr] = quarry_router_alloc(r, 64, 0)))
		nr++;
	KUNIT_EXPECT_GE(test, nr, 10);
	KUNIT_EXPECT_LT(test, nr, ROOM);
	for (i = 0; i < nr; i++)
		memset(blocks[i], i, 64);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_NULL(test, memchr_inv(blocks[i], i, 64));
	free_all(r, blocks, nr);
	expect_good(test, r);
}

/* What comes after a miss */

static void full_class_falls_back_to_the_heap(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	void **blocks = room(test), *ptr;
	size_t nr = fill(test, r, 64, blocks, ROOM);
	u64 before = router_stats(r).fell_back;

	ptr = quarry_router_alloc(r, 60, 0);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 1, 60);
	KUNIT_EXPECT_EQ(test, router_stats(r).fell_back, before + 1);
	KUNIT_EXPECT_EQ(test, router_stats(r).heap_live, 1);
	KUNIT_EXPECT_EQ(test, router_stats(r).failed, 0);
	/* It goes back to the heap, though its class has room again. */
	free_all(r, blocks, nr);
	quarry_router_free(r, ptr);
	KUNIT_EXPECT_EQ(test, router_stats(r).heap_live, 0);
	expect_good(test, r);
}

static void full_heap_falls_back_to_the_system(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, PAGE_SIZE);
	struct quarry_router_stats s;
	void *ptr;

	ptr = quarry_router_alloc(r, SZ_32K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 1, SZ_32K);
	s = router_stats(r);
	KUNIT_EXPECT_EQ(test, s.heap_full, 1);
	KUNIT_EXPECT_EQ(test, s.fell_back, 1);
	KUNIT_EXPECT_EQ(test, s.system_live, 1);
	KUNIT_EXPECT_EQ(test, s.system_allocs, 1);
	KUNIT_EXPECT_EQ(test, s.bytes_system, SZ_32K);
	KUNIT_EXPECT_EQ(test, quarry_router_usable_size(r, ptr), SZ_32K);
	KUNIT_EXPECT_TRUE(test, quarry_router_owns(r, ptr));
	KUNIT_EXPECT_FALSE(test, quarry_router_owns(r, ptr + 8));
	expect_good(test, r);
	quarry_router_free(r, ptr);
	s = router_stats(r);
	KUNIT_EXPECT_EQ(test, s.system_live, 0);
	KUNIT_EXPECT_EQ(test, s.system_peak, 1);
	KUNIT_EXPECT_EQ(test, s.frees, 1);
	KUNIT_EXPECT_EQ(test, s.live, 0);
	expect_good(test, r);
}

static void no_gfp_is_no_system(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, PAGE_SIZE);

	KUNIT_EXPECT_NULL(test, quarry_router_alloc(r, SZ_32K, 0));
	KUNIT_EXPECT_EQ(test, router_stats(r).not_allowed, 1);
	KUNIT_EXPECT_EQ(test, router_stats(r).failed, 1);
	KUNIT_EXPECT_NULL(test, quarry_router_alloc(r, SZ_32K, __GFP_ZERO));
	KUNIT_EXPECT_EQ(test, router_stats(r).not_allowed, 2);
}

static void strict_never_falls_back(struct kunit *test)
{
	struct quarry_router *r = small(test, QUARRY_ROUTER_STRICT, SZ_64K);
	void **blocks = room(test), *ptr;
	size_t nr = fill(test, r, 64, blocks, ROOM);

	KUNIT_EXPECT_NULL(test, quarry_router_alloc(r, 64, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, router_stats(r).fell_back, 0);
	KUNIT_EXPECT_EQ(test, router_stats(r).heap_allocs, 0);
	ptr = quarry_router_alloc(r, 1000, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, ptr);
	quarry_router_free(r, ptr);
	KUNIT_EXPECT_NULL(test, quarry_router_alloc(r, SZ_1M, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, router_stats(r).fell_back, 0);
	KUNIT_EXPECT_EQ(test, router_stats(r).system_allocs, 0);
	free_all(r, blocks, nr);
	expect_good(test, r);
}

static void system_is_bounded(struct kunit *test)
{
	struct quarry_router *r = small(test, QUARRY_ROUTER_NO_HEAP, 0);
	void *blocks[20];
	int i;

	for (i = 0; i < 20; i++) {
		blocks[i] = quarry_router_alloc(r, 100 + i, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, blocks[i]);
		KUNIT_EXPECT_EQ(test, quarry_router_usable_size(r, blocks[i]), 100 + i);
	}
	KUNIT_EXPECT_NULL(test, quarry_router_alloc(r, 100, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, router_stats(r).system_full, 1);
	quarry_router_free(r, blocks[7]);
	blocks[7] = quarry_router_alloc(r, 100, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, blocks[7]);
	expect_good(test, r);
	free_all(r, blocks, 20);
	expect_good(test, r);
}

static void context_that_cannot_sleep_is_not_sent_to_sleep(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, PAGE_SIZE);
	unsigned long flags;
	void *ptr;

	local_irq_save(flags);
	ptr = quarry_router_alloc(r, SZ_32K, GFP_KERNEL);
	local_irq_restore(flags);
	KUNIT_EXPECT_NULL(test, ptr);
	KUNIT_EXPECT_EQ(test, router_stats(r).not_allowed, 1);
}

/* Misuse */

static void foreign_pointers_never_reach_kfree(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	void *slab = kmalloc(64, GFP_KERNEL);
	u64 stack[4];

	KUNIT_ASSERT_NOT_NULL(test, slab);
	quarry_router_free(r, slab);
	expect_reports(test, 1, "router \"router\": free refused: foreign pointer");
	quarry_router_free(r, stack);
	expect_reports(test, 1, "foreign pointer");
	quarry_router_free(r, (void *)8);
	expect_reports(test, 1, "foreign pointer");
	quarry_router_free(r, NULL);
	KUNIT_EXPECT_EQ(test, router_stats(r).refused_foreign, 3);
	KUNIT_EXPECT_EQ(test, router_stats(r).refused, 3);
	kfree(slab);
}

static void system_block_is_freed_once(struct kunit *test)
{
	struct quarry_router *r = small(test, QUARRY_ROUTER_NO_HEAP, 0);
	u8 *ptr = quarry_router_alloc(r, 200, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	quarry_router_free(r, ptr + 8);
	expect_reports(test, 1, "foreign pointer");
	quarry_router_free(r, ptr);
	quarry_router_free(r, ptr);
	expect_reports(test, 1, "foreign pointer");
	KUNIT_EXPECT_EQ(test, router_stats(r).system_live, 0);
	expect_good(test, r);
}

static void wrong_frees_name_the_class(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	void *ptr = quarry_router_alloc(r, 60, 0);

	quarry_router_free(r, ptr + 8);
	expect_reports(test, 1, "pool \"router.64\": free refused: misaligned pointer");
	quarry_router_free(r, ptr);
	quarry_router_free(r, ptr);
	expect_reports(test, 1, "pool \"router.64\": free refused: double free");
	KUNIT_EXPECT_EQ(test, router_stats(r).refused, 2);
	ptr = quarry_router_alloc(r, 1000, 0);
	quarry_router_free(r, ptr);
	quarry_router_free(r, ptr);
	expect_reports(test, 1, "heap \"router.heap\"");
	KUNIT_EXPECT_EQ(test, router_stats(r).refused, 3);
	expect_good(test, r);
}

static void owner_of_a_stray_pointer_is_named(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "stranger", 64, 20, NULL);
	struct quarry_router *r = small(test, 0, SZ_64K);
	void *block = quarry_pool_alloc(pool), *ptr;

	quarry_router_free(r, block);
	expect_reports(test, 1, "pointer of pool \"stranger\"");
	KUNIT_EXPECT_EQ(test, router_stats(r).refused_owner, 1);
	quarry_pool_free(pool, block);
	ptr = quarry_router_alloc(r, 60, 0);
	quarry_pool_free(pool, ptr);
	expect_reports(test, 1, "pointer of router \"router\"");
	quarry_router_free(r, ptr);
	ptr = quarry_router_alloc(r, SZ_1M, GFP_KERNEL);
	quarry_pool_free(pool, ptr);
	expect_reports(test, 1, "pointer of router \"router\"");
	quarry_router_free(r, ptr);
	ptr = quarry_router_alloc(r, 1000, 0);
	quarry_pool_free(pool, ptr);
	expect_reports(test, 1, "pointer of heap \"router.heap\"");
	quarry_router_free(r, ptr);
}

static void no_router_refuses(struct kunit *test)
{
	struct quarry_router *bad = ERR_PTR(-ENOMEM);
	u64 mine;

	KUNIT_EXPECT_NULL(test, quarry_router_alloc(NULL, 8, GFP_KERNEL));
	expect_reports(test, 1, "not a router: 0");
	KUNIT_EXPECT_NULL(test, quarry_router_zalloc(bad, 8, GFP_KERNEL));
	expect_reports(test, 1, "not a router: -12");
	KUNIT_EXPECT_NULL(test, quarry_router_alloc_aligned(bad, 8, 8, 0));
	expect_reports(test, 1, "not a router");
	KUNIT_EXPECT_NULL(test, quarry_router_realloc(bad, &mine, 8, 0));
	expect_reports(test, 1, "not a router");
	quarry_router_free(bad, &mine);
	expect_reports(test, 1, "not a router");
	quarry_router_free(bad, NULL);
	quarry_router_destroy(NULL);
	quarry_router_destroy(bad);
	KUNIT_EXPECT_EQ(test, quarry_router_usable_size(NULL, &mine), 0);
	KUNIT_EXPECT_FALSE(test, quarry_router_owns(bad, &mine));
	KUNIT_EXPECT_EQ(test, quarry_router_class_size(bad, 8), 0);
	KUNIT_EXPECT_EQ(test, quarry_router_verify(NULL), -EINVAL);
}

static void destroyed_router_refuses(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	void *ptr = quarry_router_alloc(r, 40, 0);

	quarry_router_free(r, ptr);
	destroy_router(test, r);
	KUNIT_EXPECT_NULL(test, quarry_router_alloc(r, 40, GFP_KERNEL));
	expect_reports(test, 1, "alloc refused: destroyed router");
	quarry_router_free(r, ptr);
	expect_reports(test, 1, "free refused: destroyed router");
	KUNIT_EXPECT_NULL(test, quarry_router_realloc(r, ptr, 8, 0));
	expect_reports(test, 1, "free refused: destroyed router");
	KUNIT_EXPECT_EQ(test, quarry_router_usable_size(r, ptr), 0);
	quarry_router_destroy(r);
	expect_reports(test, 1, "destroyed twice");
}

/* A pool's handle that serves a router by now is not its old owner's to destroy. */
static void class_is_not_destroyed_by_a_stale_handle(struct kunit *test)
{
	struct quarry_pool *stale = create_pool(test, "stale", 32, 10, NULL);
	struct quarry_router *r = NULL;
	void *block;
	int i;

	destroy_pool(test, stale);
	/* Handles that were retired before it are used first. */
	for (i = 0; i < 100 && !quarry_pool_at(stale, 0); i++)
		r = small(test, QUARRY_ROUTER_STRICT, 0);
	KUNIT_ASSERT_NOT_NULL(test, quarry_pool_at(stale, 0));
	quarry_pool_destroy(stale);
	expect_reports(test, 1, "destroy refused: a class of a router");
	block = quarry_router_alloc(r, quarry_pool_block_size(stale), 0);
	KUNIT_EXPECT_TRUE(test, quarry_pool_owns(stale, block));
	quarry_router_free(r, block);
	expect_good(test, r);
}

static void live_blocks_keep_the_memory(struct kunit *test)
{
	const struct quarry_router_args args = {
		.classes = two, .nr_classes = ARRAY_SIZE(two),
	};
	struct quarry_router *r = quarry_router_create("kept", SZ_64K + TWO_PAGES,
						       &args);
	u8 *one, *other, *three;

	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(r));
	one = quarry_router_alloc(r, 40, 0);
	other = quarry_router_alloc(r, 400, 0);
	three = quarry_router_alloc(r, SZ_1M, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, three);
	quarry_router_destroy(r);
	expect_reports(test, 1,
		       "destroyed with 3 live blocks, memory kept: 64: 1, heap: 1, system: 1");
	memset(one, 1, 40);
	memset(other, 2, 400);
	memset(three, 3, SZ_1M);
	quarry_router_free(r, one);
	expect_reports(test, 1, "free refused: destroyed router");
	quarry_router_destroy(r);
	expect_reports(test, 1, "destroyed twice");
}

/* Zeroes, alignment, realloc */

static void zalloc_clears(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	static const size_t sizes[] = { 1, 30, 60, 1000, SZ_1M };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *ptr = quarry_router_alloc(r, sizes[i], GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, ptr);
		memset(ptr, 0xff, sizes[i]);
		quarry_router_free(r, ptr);
		ptr = quarry_router_zalloc(r, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0, sizes[i]));
		memset(ptr, 0xff, sizes[i]);
		quarry_router_free(r, ptr);
		ptr = quarry_router_alloc(r, sizes[i], GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0, sizes[i]));
		quarry_router_free(r, ptr);
	}
}

static void size_zero_is_a_byte(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	void *ptr = quarry_router_alloc(r, 0, 0);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_EQ(test, quarry_router_usable_size(r, ptr), 32);
	quarry_router_free(r, ptr);
}

static void alignment_is_kept(struct kunit *test)
{
	struct quarry_router *r = create_router(test, SZ_2M, NULL);
	size_t align, size;

	for (align = 1; align <= 4096; align *= 2) {
		for (size = 1; size <= SZ_32K; size = size * 3 + 5) {
			void *ptr = quarry_router_alloc_aligned(r, size, align,
								GFP_KERNEL);

			KUNIT_ASSERT_NOT_NULL(test, ptr);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, align));
			memset(ptr, 1, size);
			quarry_router_free(r, ptr);
		}
	}
	KUNIT_EXPECT_NULL(test, quarry_router_alloc_aligned(r, 8, 8192, GFP_KERNEL));
	expect_reports(test, 1, "bad alignment");
	KUNIT_EXPECT_NULL(test, quarry_router_alloc_aligned(r, 8, 24, GFP_KERNEL));
	expect_reports(test, 1, "bad alignment");
	expect_good(test, r);
}

static u8 *grow(struct kunit *test, struct quarry_router *r, u8 *ptr, size_t old,
		size_t size)
{
	u8 *new = quarry_router_realloc(r, ptr, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, new);
	KUNIT_EXPECT_NULL(test, memchr_inv(new, 0x77, min(old, size)));
	memset(new, 0x77, size);
	return new;
}

static void realloc_keeps_the_contents(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	static const size_t sizes[] = { 33, 64, 65, 500, SZ_16K, SZ_1M, SZ_2M,
					SZ_1M, 600, 64, 3, 0 };
	u8 *ptr = quarry_router_realloc(r, NULL, 20, 0), *same;
	size_t old = 20, i;

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0x77, 20);
	same = grow(test, r, ptr, old, 32);
	KUNIT_EXPECT_PTR_EQ(test, same, ptr);
	KUNIT_EXPECT_EQ(test, router_stats(r).resized, 1);
	for (i = 0, old = 32; i < ARRAY_SIZE(sizes); old = sizes[i++]) {
		ptr = grow(test, r, ptr, old, sizes[i]);
		KUNIT_EXPECT_EQ(test, router_stats(r).live, 1);
	}
	quarry_router_free(r, ptr);
	KUNIT_EXPECT_EQ(test, router_stats(r).live, 0);
	KUNIT_EXPECT_GT(test, router_stats(r).moved, 3);
	expect_good(test, r);
}

static void failed_realloc_leaves_the_block(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, PAGE_SIZE);
	u8 *ptr = quarry_router_alloc(r, 60, 0), *large;

	memset(ptr, 0x77, 60);
	KUNIT_EXPECT_NULL(test, quarry_router_realloc(r, ptr, SZ_1M, 0));
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x77, 60));
	KUNIT_EXPECT_NULL(test, quarry_router_realloc(r, ptr, SIZE_MAX, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x77, 60));
	quarry_router_free(r, ptr);
	KUNIT_EXPECT_NULL(test, quarry_router_realloc(r, ptr, 20, 0));
	expect_reports(test, 1, "double free");
	/* To shrink never fails. */
	large = quarry_router_alloc(r, SZ_64K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, large);
	KUNIT_EXPECT_PTR_EQ(test, quarry_router_realloc(r, large, SZ_16K, 0), (void *)large);
	quarry_router_free(r, large);
}

/* KASAN */

static __no_sanitize_address bool poisoned(const void *p)
{
#if HAVE_KASAN
	s8 shadow = *(const s8 *)kasan_mem_to_shadow(p);

	return shadow && (s8)((unsigned long)p & 7) >= shadow;
#else
	return false;
#endif
}

static void kasan_knows_what_was_asked_for(struct kunit *test)
{
	struct quarry_router *r = create_router(test, SZ_2M, NULL);
	u8 *ptr, *big;

	if (!HAVE_KASAN)
		kunit_skip(test, "no CONFIG_KASAN_GENERIC with CONFIG_KASAN_VMALLOC");
	ptr = quarry_router_alloc(r, 117, 0);
	KUNIT_EXPECT_FALSE(test, poisoned(ptr));
	KUNIT_EXPECT_FALSE(test, poisoned(ptr + 116));
	KUNIT_EXPECT_TRUE(test, poisoned(ptr + 117));
	KUNIT_EXPECT_EQ(test, quarry_router_usable_size(r, ptr), 120);
	KUNIT_EXPECT_FALSE(test, poisoned(ptr + 119));
	quarry_router_free(r, ptr);
	KUNIT_EXPECT_TRUE(test, poisoned(ptr));
	KUNIT_EXPECT_TRUE(test, poisoned(ptr + 119));
	big = quarry_router_alloc(r, SZ_16K, 0);
	KUNIT_EXPECT_FALSE(test, poisoned(big + SZ_16K - 1));
	quarry_router_free(r, big);
	KUNIT_EXPECT_TRUE(test, poisoned(big));
}

/* Contexts */

struct irq_job {
	struct quarry_router *r;
	size_t size;
	gfp_t gfp;
	void *ptr;
};

static void alloc_here(void *arg)
{
	struct irq_job *job = arg;

	job->ptr = quarry_router_alloc(job->r, job->size, job->gfp);
}

static void free_here(void *arg)
{
	struct irq_job *job = arg;

	quarry_router_free(job->r, job->ptr);
}

static void hardirq_gets_what_gfp_allows(struct kunit *test)
{
	struct irq_job job = { .r = small(test, 0, SZ_64K), .size = 60 };

	run_in_irq(alloc_here, &job);
	KUNIT_EXPECT_NOT_NULL(test, job.ptr);
	run_in_irq(free_here, &job);
	job.size = SZ_128K;
	job.gfp = GFP_KERNEL;
	run_in_irq(alloc_here, &job);
	KUNIT_EXPECT_NULL(test, job.ptr);
	KUNIT_EXPECT_EQ(test, router_stats(job.r).not_allowed, 1);
	job.gfp = GFP_ATOMIC;
	run_in_irq(alloc_here, &job);
	KUNIT_EXPECT_EQ(test, !!job.ptr, !IS_ENABLED(CONFIG_PREEMPT_RT));
	run_in_irq(free_here, &job);
	expect_good(test, job.r);
}

/* On PREEMPT_RT those that are not raw can be preempted, and the slab be called. */
static void atomic_gfp_is_served_where_it_may_be(struct kunit *test)
{
	const struct section *section = test->param_value;
	bool served = !IS_ENABLED(CONFIG_PREEMPT_RT) || !section->raw;
	struct quarry_router *r = small(test, QUARRY_ROUTER_NO_HEAP, 0);
	struct irq_job job = { .r = r, .size = 1000, .gfp = GFP_ATOMIC };

	section->run(alloc_here, &job);
	KUNIT_EXPECT_EQ(test, !!job.ptr, served);
	KUNIT_EXPECT_EQ(test, router_stats(r).system_allocs, served);
	KUNIT_EXPECT_EQ(test, router_stats(r).not_allowed, !served);
	if (!job.ptr)
		job.ptr = quarry_router_alloc(r, 1000, GFP_KERNEL);
	section->run(free_here, &job);
	KUNIT_EXPECT_EQ(test, router_stats(r).system_live, 0);
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		KUNIT_EXPECT_EQ(test, router_stats(r).system_deferred, section->raw);
	/* What may block is asked for nowhere here. */
	job.gfp = GFP_KERNEL;
	section->run(alloc_here, &job);
	KUNIT_EXPECT_NULL(test, job.ptr);
	expect_good(test, r);
}

static void mapped_block_is_freed_later_from_hardirq(struct kunit *test)
{
	struct irq_job job = { .r = small(test, 0, SZ_64K) };

	job.ptr = quarry_router_alloc(job.r, SZ_16M, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, job.ptr);
	KUNIT_ASSERT_TRUE(test, is_vmalloc_addr(job.ptr));
	run_in_irq(free_here, &job);
	KUNIT_EXPECT_EQ(test, router_stats(job.r).system_deferred, 1);
	KUNIT_EXPECT_EQ(test, router_stats(job.r).system_live, 0);
	expect_comes_true(test, !vmalloc_to_page(job.ptr));
}

/* Views */

static void views_show_each_step(struct kunit *test)
{
	const char *root = "/sys/kernel/debug/quarry/router/router/";
	struct quarry_router *r = small(test, 0, SZ_64K);
	void *one = quarry_router_alloc(r, 60, 0);
	void *two = quarry_router_alloc(r, SZ_1M, GFP_KERNEL);
	char path[80], *text;

	snprintf(path, sizeof(path), "%sstats", root);
	text = read_all(test, path);
	if (IS_ERR(text)) {
		quarry_router_free(r, one);
		quarry_router_free(r, two);
		kunit_skip(test, "debugfs is not mounted at /sys/kernel/debug");
	}
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "live: 2\n"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "\nhits: 1\n"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "\nfell_back: 1\n"));
	snprintf(path, sizeof(path), "%sconfig", root);
	text = read_file(test, path);
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "\nsizes: 32 64\n"));
	snprintf(path, sizeof(path), "%smap", root);
	text = read_file(test, path);
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "heap"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "|####"));
	snprintf(path, sizeof(path), "%sverify", root);
	KUNIT_EXPECT_STREQ(test, read_file(test, path), "ok\n");
	quarry_router_free(r, one);
	quarry_router_free(r, two);
	snprintf(path, sizeof(path), "%sreset", root);
	KUNIT_EXPECT_EQ(test, write_file(test, path, "1"), 1);
	KUNIT_EXPECT_EQ(test, router_stats(r).hits, 0);
	KUNIT_EXPECT_EQ(test, router_stats(r).fell_back, 0);
	KUNIT_EXPECT_EQ(test, router_stats(r).frees, 0);
	KUNIT_EXPECT_EQ(test, router_stats(r).system_peak, 0);
}

static struct kunit_case router_cases[] = {
	KUNIT_CASE(default_classes_waste_an_eighth_at_most),
	KUNIT_CASE(each_size_is_served_by_its_class),
	KUNIT_CASE(larger_sizes_belong_to_the_heap),
	KUNIT_CASE(promised_blocks_are_there),
	KUNIT_CASE(full_class_falls_back_to_the_heap),
	KUNIT_CASE(full_heap_falls_back_to_the_system),
	KUNIT_CASE(no_gfp_is_no_system),
	KUNIT_CASE(strict_never_falls_back),
	KUNIT_CASE(system_is_bounded),
	KUNIT_CASE(context_that_cannot_sleep_is_not_sent_to_sleep),
	KUNIT_CASE(foreign_pointers_never_reach_kfree),
	KUNIT_CASE(system_block_is_freed_once),
	KUNIT_CASE(wrong_frees_name_the_class),
	KUNIT_CASE(owner_of_a_stray_pointer_is_named),
	KUNIT_CASE(no_router_refuses),
	KUNIT_CASE(destroyed_router_refuses),
	KUNIT_CASE(class_is_not_destroyed_by_a_stale_handle),
	KUNIT_CASE(live_blocks_keep_the_memory),
	KUNIT_CASE(zalloc_clears),
	KUNIT_CASE(size_zero_is_a_byte),
	KUNIT_CASE(alignment_is_kept),
	KUNIT_CASE(realloc_keeps_the_contents),
	KUNIT_CASE(failed_realloc_leaves_the_block),
	KUNIT_CASE(kasan_knows_what_was_asked_for),
	KUNIT_CASE(hardirq_gets_what_gfp_allows),
	KUNIT_CASE_PARAM(atomic_gfp_is_served_where_it_may_be, section_gen_params),
	KUNIT_CASE(mapped_block_is_freed_later_from_hardirq),
	KUNIT_CASE(views_show_each_step),
	{}
};

static struct kunit_suite router_suite = {
	.name = "quarry_router",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = router_cases,
};

kunit_test_suite(router_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the router");
MODULE_LICENSE("GPL");
