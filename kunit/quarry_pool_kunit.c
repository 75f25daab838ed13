// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool's rules, one CPU at a time: sizes and every operation.
 */
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include "kunit_util.h"

/* Geometry: every size with every alignment and flag. */

static const size_t sizes[] = { 1, 7, 8, 63, 64, 65, SZ_4K, SZ_1M };
static const size_t aligns[] = { 0, 1, 8, 64, SZ_4K };
static const unsigned int kinds[] = {
	0, QUARRY_POOL_EXACT, QUARRY_POOL_STRICT, QUARRY_POOL_ZERO_ON_FREE,
	QUARRY_POOL_LEAK_TRACK, QUARRY_POOL_TRACK,
};

static void size_desc(const size_t *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "size %zu", *size);
}

KUNIT_ARRAY_PARAM(size, sizes, size_desc);

struct geometry {
	size_t size;
	size_t align;
	unsigned int flags;
};

static u8 pattern_of(u32 index)
{
	return index * 37 + 1;
}

/* A fresh block: in place, aligned, and nobody else's. */
static bool block_is_good(struct quarry_pool *pool, const struct geometry *p,
			  void *block, unsigned long *seen)
{
	long index = quarry_pool_index(pool, block);

	if (index < 0 || quarry_pool_at(pool, index) != block)
		return false;
	if (__test_and_set_bit(index, seen))
		return false;
	return IS_ALIGNED((unsigned long)block,
			  p->align ?: min_t(size_t, 8, rounddown_pow_of_two(p->size)));
}

/* Takes all there is; the number taken. */
static size_t take_all(struct kunit *test, struct quarry_pool *pool,
		       const struct geometry *p, void **blocks, size_t room)
{
	unsigned long *seen = bitmap_zalloc(room, GFP_KERNEL);
	size_t nr = 0, bad = 0;

	KUNIT_ASSERT_NOT_NULL(test, seen);
	while (nr < room && (blocks[nr] = quarry_pool_alloc(pool))) {
		if (!block_is_good(pool, p, blocks[nr], seen))
			bad++;
		memset(blocks[nr], pattern_of(quarry_pool_index(pool, blocks[nr])),
		       p->size);
		nr++;
	}
	bitmap_free(seen);
	KUNIT_EXPECT_EQ(test, bad, 0);
	return nr;
}

static size_t count_spoilt(struct quarry_pool *pool, void **blocks, size_t nr,
			   size_t size)
{
	size_t i, spoilt = 0;

	for (i = 0; i < nr; i++)
		if (memchr_inv(blocks[i],
			       pattern_of(quarry_pool_index(pool, blocks[i])),
			       size))
			spoilt++;
	return spoilt;
}

static void expect_figures(struct kunit *test, struct quarry_pool *pool,
			   u64 allocs, u64 frees)
{
	struct quarry_pool_stats stats = stats_of(pool);

	KUNIT_EXPECT_EQ(test, stats.allocs, allocs);
	KUNIT_EXPECT_EQ(test, stats.frees, frees);
	KUNIT_EXPECT_EQ(test, stats.live, allocs - frees);
	KUNIT_EXPECT_GE(test, stats.peak, stats.live);
	KUNIT_EXPECT_LE(test, stats.peak, allocs + stats.peak_slack);
	KUNIT_EXPECT_EQ(test, stats.refused, 0);
	KUNIT_EXPECT_EQ(test, stats.duplicates, 0);
	KUNIT_EXPECT_EQ(test, stats.bytes_in_use,
			stats.live * quarry_pool_block_size(pool));
}

static void expect_all_blocks(struct kunit *test, const struct geometry *p)
{
	size_t nr = p->size == SZ_1M ? 4 : p->align == SZ_4K ? 70 : max(some_of(300), 70UL);
	const struct quarry_pool_args args = {
		.align = p->align, .flags = p->flags,
	};
	struct quarry_pool *pool = create_pool(test, "geometry", p->size, nr,
					       &args);
	size_t room = nr + nr / 8 + 1, got, i;
	void **blocks = new_table(test, room);

	got = take_all(test, pool, p, blocks, room);
	KUNIT_EXPECT_GE(test, got, nr);
	KUNIT_EXPECT_LE(test, got, nr + nr / 8);
	KUNIT_EXPECT_EQ(test, stats_of(pool).exhausted, 1);
	KUNIT_EXPECT_NULL(test, quarry_pool_alloc(pool));
	KUNIT_EXPECT_EQ(test, stats_of(pool).exhausted, 2);
	KUNIT_EXPECT_EQ(test, count_spoilt(pool, blocks, got, p->size), 0);
	expect_figures(test, pool, got, 0);
	expect_verified(test, pool);
	for (i = 0; i < got; i++)
		quarry_pool_free(pool, blocks[i]);
	expect_figures(test, pool, got, got);
	expect_verified(test, pool);
	KUNIT_EXPECT_EQ(test, quarry_pool_capacity(pool), nr);
	KUNIT_EXPECT_EQ(test, quarry_pool_block_size(pool), p->size);
	destroy_pool(test, pool);
	kvfree(blocks);
}

static void alloc_of_all_blocks(struct kunit *test)
{
	struct geometry p = { .size = *(const size_t *)test->param_value };
	size_t align, kind;

	for (align = 0; align < ARRAY_SIZE(aligns); align++)
		for (kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
			p.align = aligns[align];
			p.flags = kinds[kind];
			expect_all_blocks(test, &p);
			if (test->status == KUNIT_FAILURE) {
				kunit_err(test, "align %zu flags %#x", p.align,
					  p.flags);
				return;
			}
		}
}

static void pool_of_one_block(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "one", 64, 1, NULL);
	void *block = quarry_pool_alloc(pool);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, block);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_NULL(test, quarry_pool_alloc(pool));
		quarry_pool_free(pool, block);
		KUNIT_EXPECT_PTR_EQ(test, quarry_pool_alloc(pool), block);
	}
	quarry_pool_free(pool, block);
	expect_figures(test, pool, 4, 4);
	expect_verified(test, pool);
}

/* The largest: whole blocks, and none reaches into its neighbour. */
static void pool_of_the_largest_blocks(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_EXACT };
	struct quarry_pool *pool = create_pool(test, "largest", QUARRY_POOL_MAX_SIZE,
					       2, &args);
	u8 *blocks[2];
	int i;

	KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(pool, 2, (void **)blocks), 2);
	KUNIT_EXPECT_NULL(test, quarry_pool_alloc(pool));
	KUNIT_EXPECT_GE(test, abs(blocks[1] - blocks[0]), QUARRY_POOL_MAX_SIZE);
	memset(blocks[0], 0x11, QUARRY_POOL_MAX_SIZE);
	memset(blocks[1], 0x22, QUARRY_POOL_MAX_SIZE);
	KUNIT_EXPECT_NULL(test, memchr_inv(blocks[0], 0x11, QUARRY_POOL_MAX_SIZE));
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_PTR_EQ(test, quarry_pool_at(pool, quarry_pool_index(pool, blocks[i])),
				    (void *)blocks[i]);
		quarry_pool_free(pool, blocks[i]);
	}
	expect_figures(test, pool, 2, 2);
	expect_verified(test, pool);
	quarry_pool_free(pool, blocks[0] + QUARRY_POOL_MAX_SIZE / 2);
	expect_reports(test, 1, "interior pointer into block ");
}

struct freed {
	struct quarry_pool *pool;
	u32 nr;
};

static int free_this(void *block, u32 index, void *arg)
{
	struct freed *freed = arg;

	quarry_pool_free(freed->pool, block);
	freed->nr++;
	return 0;
}

static void pool_of_a_million_blocks(struct kunit *test)
{
	const size_t million = 1000 * 1000;
	struct quarry_pool *pool;
	struct freed freed = {};
	size_t nr = 0, some;
	void *blocks[64];

	if (IS_ENABLED(CONFIG_KCSAN))
		kunit_skip(test, "one task alone, and KCSAN delays each access");
	pool = create_pool(test, "million", 8, million, NULL);
	freed.pool = pool;
	do {
		some = quarry_pool_alloc_bulk(pool, ARRAY_SIZE(blocks), blocks);
		nr += some;
	} while (some == ARRAY_SIZE(blocks));
	KUNIT_EXPECT_GE(test, nr, million);
	expect_verified(test, pool);
	KUNIT_EXPECT_EQ(test, quarry_pool_for_each_live(pool, free_this, &freed),
			0);
	KUNIT_EXPECT_EQ(test, freed.nr, nr);
	expect_figures(test, pool, nr, nr);
	expect_verified(test, pool);
}

/* Operations */

static void everything_null(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "null", 64, 16, NULL);
	struct quarry_pool_stats stats;

	quarry_pool_destroy(NULL);
	quarry_pool_destroy(ERR_PTR(-ENOMEM));
	quarry_pool_free(pool, NULL);
	quarry_pool_free(NULL, NULL);
	KUNIT_EXPECT_EQ(test, quarry_pool_alloc_bulk(pool, 0, NULL), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 0, NULL), 0);
	KUNIT_EXPECT_FALSE(test, quarry_pool_owns(NULL, pool));
	KUNIT_EXPECT_FALSE(test, quarry_pool_owns(pool, NULL));
	KUNIT_EXPECT_EQ(test, quarry_pool_index(NULL, pool), -EINVAL);
	KUNIT_EXPECT_NULL(test, quarry_pool_at(NULL, 0));
	KUNIT_EXPECT_EQ(test, quarry_pool_capacity(NULL), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_block_size(NULL), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_verify(NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, quarry_pool_for_each_live(NULL, free_this, NULL),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, quarry_pool_for_each_live(pool, NULL, NULL),
			-EINVAL);
	memset(&stats, 0xff, sizeof(stats));
	quarry_pool_get_stats(NULL, &stats);
	KUNIT_EXPECT_NULL(test, memchr_inv(&stats, 0, sizeof(stats)));
	expect_figures(test, pool, 0, 0);
}

static void zalloc_clears(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "zalloc", 200, 100, NULL);
	int i, dirty = 0;

	for (i = 0; i < 300; i++) {
		void *block = quarry_pool_zalloc(pool);

		KUNIT_ASSERT_NOT_NULL(test, block);
		if (memchr_inv(block, 0, 200))
			dirty++;
		memset(block, 0xff, 200);
		quarry_pool_free(pool, block);
	}
	KUNIT_EXPECT_EQ(test, dirty, 0);
}

static void zero_on_free_clears(struct kunit *test)
{
	const struct quarry_pool_args args = {
		.flags = QUARRY_ZERO | QUARRY_POOL_ZERO_ON_FREE,
	};
	struct quarry_pool *pool = create_pool(test, "zeroed", 200, 100, &args);
	int i, dirty = 0;

	for (i = 0; i < 300; i++) {
		void *block = quarry_pool_alloc(pool);

		KUNIT_ASSERT_NOT_NULL(test, block);
		if (memchr_inv(block, 0, 200))
			dirty++;
		memset(block, 0xff, 200);
		if (i % 2)
			quarry_pool_free(pool, block);
		else
			KUNIT_EXPECT_EQ(test, 1, quarry_pool_free_bulk(pool, 1,
								       &block));
	}
	KUNIT_EXPECT_EQ(test, dirty, 0);
}

static void bulk_takes_what_there_is(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "bulk", 32, 500, NULL);
	void **blocks = new_table(test, 1000);
	void *mark = &blocks;
	size_t got, i, touched = 0;

	for (i = 0; i < 1000; i++)
		blocks[i] = mark;
	got = quarry_pool_alloc_bulk(pool, 1000, blocks);
	KUNIT_EXPECT_GE(test, got, 500);
	KUNIT_EXPECT_LE(test, got, 562);
	for (i = got; i < 1000; i++)
		if (blocks[i] != mark)
			touched++;
	KUNIT_EXPECT_EQ(test, touched, 0);
	expect_verified(test, pool);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, got, blocks), got);
	expect_figures(test, pool, got, got);
	expect_verified(test, pool);
	kvfree(blocks);
}

static void bulk_skips_null_and_bad_entries(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "bulk-bad", 32, 500, NULL);
	void *blocks[64], *good[2];

	KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(pool, 64, blocks), 64);
	good[0] = blocks[10];
	good[1] = blocks[63];
	blocks[10] = NULL;
	blocks[63] += 8;
	blocks[20] = blocks[21];	/* leaves one live, and frees one twice */
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 64, blocks), 61);
	expect_reports(test, 2, "interior pointer");
	KUNIT_EXPECT_EQ(test, stats_of(pool).refused_interior, 1);
	KUNIT_EXPECT_EQ(test, stats_of(pool).refused_double, 1);
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, 3);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 2, good), 2);
	expect_verified(test, pool);
	destroy_pool(test, pool);
	expect_reports(test, 1, "destroyed with 1 live block");
}

static void index_and_at_are_inverse(struct kunit *test)
{
	static const size_t odd[] = { 1, 7, 24, 64, 72, 1000 };
	size_t i, j, wrong = 0;

	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		struct quarry_pool *pool = create_pool(test, "index", odd[i],
						       100, NULL);
		u8 *first = quarry_pool_at(pool, 0);
		long stride = (u8 *)quarry_pool_at(pool, 1) - first;
		long end = 0;

		while (quarry_pool_at(pool, end))
			end++;
		/* Every byte from before the first block to behind the last. */
		for (j = 0; j < (size_t)(end * stride) + 2 * stride; j++) {
			u8 *p = first + j - stride;
			long offset = p - first;
			bool starts = offset >= 0 && offset < end * stride &&
				      offset % stride == 0;

			if (quarry_pool_owns(pool, p) != starts ||
			    quarry_pool_index(pool, p) !=
			    (starts ? offset / stride : -EINVAL))
				wrong++;
		}
		KUNIT_EXPECT_GE(test, end, 100);
		KUNIT_EXPECT_NULL(test, quarry_pool_at(pool, U32_MAX));
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

struct walk {
	unsigned long *seen;
	u32 nr;
	u32 stop;
};

static int walk_one(void *block, u32 index, void *arg)
{
	struct walk *walk = arg;

	__set_bit(index, walk->seen);
	return ++walk->nr == walk->stop ? -ECANCELED : 0;
}

static void walk_visits_the_live(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "walk", 32, 200, NULL);
	unsigned long seen[BITS_TO_LONGS(256)] = { 0 };
	struct walk walk = { .seen = seen };
	void *blocks[200];
	int i, missed = 0;

	KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(pool, 200, blocks), 200);
	for (i = 0; i < 200; i += 2)
		quarry_pool_free(pool, blocks[i]);
	KUNIT_EXPECT_EQ(test, quarry_pool_for_each_live(pool, walk_one, &walk), 0);
	KUNIT_EXPECT_EQ(test, walk.nr, 100);
	for (i = 1; i < 200; i += 2)
		if (!test_bit(quarry_pool_index(pool, blocks[i]), seen))
			missed++;
	KUNIT_EXPECT_EQ(test, missed, 0);
	walk = (struct walk){ .seen = seen, .stop = 7 };
	KUNIT_EXPECT_EQ(test, quarry_pool_for_each_live(pool, walk_one, &walk),
			-ECANCELED);
	KUNIT_EXPECT_EQ(test, walk.nr, 7);
	for (i = 1; i < 200; i += 2)
		quarry_pool_free(pool, blocks[i]);
}

struct constructed {
	u32 ctors;
	u32 dtors;
	u32 spoilt;
};

struct made {
	u64 tag;
	u64 used;
};

static void make_block(void *block, void *arg)
{
	struct constructed *count = arg;

	((struct made *)block)->tag = 0x600d600d600d600d;
	count->ctors++;
}

static void unmake_block(void *block, void *arg)
{
	struct constructed *count = arg;

	if (((struct made *)block)->tag != 0x600d600d600d600d)
		count->spoilt++;
	count->dtors++;
}

static void ctor_and_dtor_run_once_a_block(struct kunit *test)
{
	struct constructed count = { 0 };
	const struct quarry_pool_args args = {
		.ctor = make_block, .dtor = unmake_block, .arg = &count,
	};
	struct quarry_pool *pool = create_pool(test, "made", sizeof(struct made),
					       300, &args);
	u32 i, spoilt = 0, total = count.ctors;

	KUNIT_EXPECT_GE(test, total, 300);
	KUNIT_EXPECT_EQ(test, count.dtors, 0);
	for (i = 0; i < 1000; i++) {
		struct made *made = quarry_pool_alloc(pool);

		KUNIT_ASSERT_NOT_NULL(test, made);
		if (made->tag != 0x600d600d600d600d)
			spoilt++;
		made->used++;
		quarry_pool_free(pool, made);
	}
	KUNIT_EXPECT_EQ(test, spoilt, 0);
	destroy_pool(test, pool);
	KUNIT_EXPECT_EQ(test, count.ctors, total);
	KUNIT_EXPECT_EQ(test, count.dtors, total);
	KUNIT_EXPECT_EQ(test, count.spoilt, 0);
}

struct typed_block {
	u32 a;
	u64 b;
} __aligned(32);

static void macros_are_typed(struct kunit *test)
{
	struct quarry_pool *pool = QUARRY_POOL(struct typed_block, 20, NULL);
	struct typed_block *block;

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(pool), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_block_size(pool),
			sizeof(struct typed_block));
	block = quarry_pool_alloc_as(pool, struct typed_block);
	KUNIT_EXPECT_NOT_NULL(test, block);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)block, 32));
	quarry_pool_free(pool, block);
	block = quarry_pool_zalloc_as(pool, struct typed_block);
	KUNIT_EXPECT_NOT_NULL(test, block);
	KUNIT_EXPECT_NULL(test, memchr_inv(block, 0, sizeof(*block)));
	quarry_pool_free_inline(pool, block);
	KUNIT_EXPECT_PTR_EQ(test, quarry_pool_alloc_inline(pool), (void *)block);
	quarry_pool_free_inline(pool, block);
	expect_verified(test, pool);
	quarry_pool_destroy(pool);
}

/* Nothing is taken for a type that the blocks are too small for. */
static void typed_alloc_wants_blocks_that_suffice(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "narrow",
					       sizeof(struct typed_block) - 1, 20,
					       NULL);

	pr_info("quarry-expect-begin: WARNING\n");
	KUNIT_EXPECT_NULL(test, quarry_pool_alloc_as(pool, struct typed_block));
	KUNIT_EXPECT_NULL(test, quarry_pool_zalloc_as(pool, struct typed_block));
	pr_info("quarry-expect-end\n");
	expect_figures(test, pool, 0, 0);
	KUNIT_EXPECT_EQ(test, stats_of(pool).exhausted, 0);
	KUNIT_EXPECT_NULL(test, quarry_pool_alloc_as(NULL, struct typed_block));
	expect_reports(test, 1, "not a pool");
}

#ifdef QUARRY_HAS_CLEANUP
static void blocks_are_freed_at_scope_end(struct kunit *test)
{
	struct quarry_pool *pool __free(quarry_pool) =
		quarry_pool_create("scope", 64, 16, NULL);
	void *kept;

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(pool), 0);
	{
		CLASS(quarry_block, freed)(pool);
		CLASS(quarry_block, block)(pool);

		KUNIT_EXPECT_NOT_NULL(test, freed.block);
		KUNIT_EXPECT_EQ(test, stats_of(pool).live, 2);
		kept = quarry_block_keep(&block);
	}
	KUNIT_EXPECT_NOT_NULL(test, kept);
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, 1);
	quarry_pool_free(pool, kept);
}
#endif

static struct kunit_case pool_cases[] = {
	KUNIT_CASE_PARAM(alloc_of_all_blocks, size_gen_params),
	KUNIT_CASE(pool_of_one_block),
	KUNIT_CASE_SLOW(pool_of_a_million_blocks),
	KUNIT_CASE(pool_of_the_largest_blocks),
	KUNIT_CASE(everything_null),
	KUNIT_CASE(zalloc_clears),
	KUNIT_CASE(zero_on_free_clears),
	KUNIT_CASE(bulk_takes_what_there_is),
	KUNIT_CASE(bulk_skips_null_and_bad_entries),
	KUNIT_CASE(index_and_at_are_inverse),
	KUNIT_CASE(walk_visits_the_live),
	KUNIT_CASE(ctor_and_dtor_run_once_a_block),
	KUNIT_CASE(macros_are_typed),
	KUNIT_CASE(typed_alloc_wants_blocks_that_suffice),
#ifdef QUARRY_HAS_CLEANUP
	KUNIT_CASE(blocks_are_freed_at_scope_end),
#endif
	{}
};

static struct kunit_suite pool_suite = {
	.name = "quarry_pool",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = pool_cases,
};

kunit_test_suite(pool_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the pool");
MODULE_LICENSE("GPL");
