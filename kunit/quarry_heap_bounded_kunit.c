// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bounded mode's promise: a heap of QUARRY_HEAP_SIZE() bytes serves every
 * request, as long as no more than max_live bytes are asked for at once. Played
 * against it: filling with each size alone, and adversaries that free all but the
 * blocks that hurt most before they ask for larger ones.
 */
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sort.h>
#include "heap_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random adversary (0: a new one)");

#define MAX_BLOCKS	4096

struct bound {
	size_t max_live, min, max;
};

static const struct bound bounds[] = {
	{ 4096, 8, 8 },
	{ 8192, 8, 1016 },
	{ 16384, 24, 4088 },
	{ 10000, 1, 2000 },
	{ 20000, 100, 3000 },
	{ 32768, 56, 57 },
	{ 1017 * 255, 1017, 65529 },
};

static void bound_desc(const struct bound *b, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%zu bytes of %zu to %zu", b->max_live,
		 b->min, b->max);
}

KUNIT_ARRAY_PARAM(bound, bounds, bound_desc);

/**
 * struct game - an adversary and its blocks
 * @bound: what it keeps to
 * @heap: of exactly the size that should do
 * @random: where a random adversary gets its moves
 * @piece: live blocks, with their sizes; NULL freed
 * @nr: requests, freed ones too
 * @live: bytes asked for and not freed
 * @failed: requests that were within the bound and got NULL
 * @served: the others
 * @first: where the payload of the region's first block begins
 */
struct game {
	const struct bound *bound;
	struct quarry_heap *heap;
	struct rnd_state random;
	struct piece {
		void *ptr;
		size_t size;
	} *piece;
	size_t nr, live, failed, served;
	unsigned long first;
};

static int note_first(const struct quarry_heap_block *block, void *arg)
{
	struct game *game = arg;

	game->first = (unsigned long)block->ptr;
	return 1;
}

static void start_with(struct kunit *test, struct game *game, const struct bound *b,
		       size_t bytes)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_BOUNDED };

	game->bound = b;
	game->heap = create_heap(test, "bounded", bytes, &args);
	game->piece = kunit_kcalloc(test, MAX_BLOCKS, sizeof(*game->piece), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, game->piece);
	KUNIT_ASSERT_EQ(test, quarry_heap_walk(game->heap, note_first, game), 1);
	game->nr = 0;
	game->live = 0;
	game->failed = 0;
	game->served = 0;
}

static void start(struct kunit *test, struct game *game)
{
	const struct bound *b = test->param_value;

	start_with(test, game, b, QUARRY_HEAP_SIZE(b->max_live, b->min, b->max));
}

/* False when it would be more than was agreed. */
static bool ask(struct game *game, size_t size)
{
	size = clamp(size, game->bound->min, game->bound->max);
	if (game->live + size > game->bound->max_live || game->nr == MAX_BLOCKS)
		return false;
	game->piece[game->nr].ptr = quarry_heap_alloc(game->heap, size);
	if (!game->piece[game->nr].ptr) {
		game->failed++;
		return false;
	}
	game->piece[game->nr++].size = size;
	game->live += size;
	game->served++;
	return true;
}

static void give_back(struct game *game, size_t i)
{
	if (!game->piece[i].ptr)
		return;
	quarry_heap_free(game->heap, game->piece[i].ptr);
	game->piece[i].ptr = NULL;
	game->live -= game->piece[i].size;
}

/* Freed ones leave the table. */
static void pack(struct game *game)
{
	size_t i, nr = 0;

	for (i = 0; i < game->nr; i++) {
		if (!game->piece[i].ptr)
			continue;
		game->piece[nr++] = game->piece[i];
	}
	game->nr = nr;
}

static void finish(struct kunit *test, struct game *game)
{
	size_t i;

	KUNIT_EXPECT_EQ(test, game->failed, 0UL);
	KUNIT_EXPECT_GT(test, game->served, 0UL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(game->heap).exhausted, 0ULL);
	expect_heap_verified(test, game->heap);
	for (i = 0; i < game->nr; i++)
		give_back(game, i);
	expect_heap_verified(test, game->heap);
}

static void heap_bounded_holds_each_size_alone(struct kunit *test)
{
	const struct bound *b = test->param_value;
	struct game game;
	size_t size, i;

	start(test, &game);
	for (size = b->min; size <= b->max; size += 1 + size / 2) {
		while (ask(&game, size))
			;
		for (i = 0; i < game.nr; i++)
			give_back(&game, i);
		pack(&game);
	}
	finish(test, &game);
}

static int by_address(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->ptr < y->ptr ? -1 : x->ptr > y->ptr;
}

/*
 * J. M. Robson's adversary for powers of two: fill with the smallest blocks, keep one
 * in each stretch of the next size, fill what may be asked for with blocks of that
 * size, and so on, each round leaving stretches that are just too small. Requests are
 * those that just miss a power of two, and so take most.
 */
static void play_robson(struct game *game)
{
	size_t size = game->bound->min, i;
	unsigned long stretch, last;

	while (size <= game->bound->max) {
		while (ask(game, size))
			;
		sort(game->piece, game->nr, sizeof(*game->piece), by_address, NULL);
		stretch = 2 * quarry_heap_buddy(size);
		last = ULONG_MAX;
		for (i = 0; i < game->nr; i++) {
			unsigned long at = ((unsigned long)game->piece[i].ptr -
					    game->first) / stretch;

			if (at == last)
				give_back(game, i);
			else
				last = at;
		}
		pack(game);
		size = quarry_heap_buddy(size) - QUARRY_HEAP_HEADER + 1;
	}
}

static void heap_bounded_withstands_robson(struct kunit *test)
{
	struct game game;

	start(test, &game);
	play_robson(&game);
	finish(test, &game);
}

/*
 * Each size costs it half of what the formula allows for, but for what the last few
 * blocks leave: a heap of somewhat less than half is broken, though it has room for all
 * live blocks three times.
 */
static void heap_bounded_robson_breaks_less(struct kunit *test)
{
	static const struct bound b = { 1017 * 255, 1017, 65529 };
	size_t most = QUARRY_HEAP_SIZE(b.max_live, b.min, b.max), i;
	struct game game;

	start_with(test, &game, &b, most / 20 * 9);
	play_robson(&game);
	KUNIT_EXPECT_GT(test, game.failed, 0UL);
	for (i = 0; i < game.nr; i++)
		give_back(&game, i);
	expect_heap_verified(test, game.heap);
}

/* Random sizes; what is freed is mostly what was asked for long ago, or just now. */
static void heap_bounded_withstands_random(struct kunit *test)
{
	ulong from = seed ?: get_random_u32();
	struct game game;
	u32 round, i;

	kunit_info(test, "seed %lu", from);
	start(test, &game);
	prandom_seed_state(&game.random, from);
	for (round = 0; round < some_of(300 / SLOWDOWN); round++) {
		u32 bits = prandom_u32_state(&game.random) %
			   (ilog2(game.bound->max) + 1);
		u32 keep = prandom_u32_state(&game.random) % 8 + 1;

		while (ask(&game, (1UL << bits) +
			   prandom_u32_state(&game.random) % (1UL << bits)))
			;
		for (i = 0; i < game.nr; i++)
			if (prandom_u32_state(&game.random) % keep)
				give_back(&game, i);
		pack(&game);
	}
	finish(test, &game);
}

/* Half of it is not enough: the formula is not idle. */
static void heap_bounded_formula_is_not_idle(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_BOUNDED };
	size_t size = QUARRY_HEAP_SIZE(8192, 8, 8) / 2;
	struct quarry_heap *heap = create_heap(test, "half", size, &args);
	void **ptr = new_table(test, 1024);
	size_t nr = 0, i;

	while (nr < 1024 && (ptr[nr] = quarry_heap_alloc(heap, 8)))
		nr++;
	KUNIT_EXPECT_LT(test, nr, 1024UL);
	for (i = 0; i < nr; i++)
		quarry_heap_free(heap, ptr[i]);
	kvfree(ptr);
}

static void heap_bounded_size_is_computed(struct kunit *test)
{
	/* 128 blocks of 16 bytes; no larger one. */
	KUNIT_EXPECT_EQ(test, QUARRY_HEAP_SIZE(1024, 8, 8),
			128 * 16 + QUARRY_HEAP_OVERHEAD);
	/* A request of 9 bytes takes 32, so 1024 take 114 blocks of 32: M. */
	KUNIT_EXPECT_EQ(test, QUARRY_HEAP_SIZE(1024, 8, 24),
			114 * 32 * 2 + QUARRY_HEAP_OVERHEAD);
	KUNIT_EXPECT_EQ(test, QUARRY_HEAP_SIZE(SIZE_MAX / 2, 1, 1000), SIZE_MAX);
	KUNIT_EXPECT_EQ(test, QUARRY_HEAP_SIZE(1024, 0, 24), QUARRY_HEAP_SIZE(1024, 1, 24));
	KUNIT_EXPECT_EQ(test, quarry_heap_buddy(0), 16UL);
	KUNIT_EXPECT_EQ(test, quarry_heap_buddy(8), 16UL);
	KUNIT_EXPECT_EQ(test, quarry_heap_buddy(9), 32UL);
	KUNIT_EXPECT_EQ(test, quarry_heap_buddy(24), 32UL);
	KUNIT_EXPECT_EQ(test, quarry_heap_buddy(1016), 1024UL);
}

static void heap_bounded_aligns_to_the_block(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_BOUNDED };
	struct quarry_heap *heap = create_heap(test, "natural", SZ_64K, &args);
	size_t align;

	for (align = 16; align <= PAGE_SIZE; align *= 2) {
		void *ptr = quarry_heap_alloc_aligned(heap, 8, align);

		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, align));
		quarry_heap_free(heap, ptr);
	}
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc_aligned(heap, 8, 2 * PAGE_SIZE));
	expect_reports(test, 1, "bad align");
}

static void heap_bounded_realloc_keeps_contents(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_BOUNDED };
	struct quarry_heap *heap = create_heap(test, "resize", SZ_64K, &args);
	size_t whole = quarry_heap_largest_free(heap), size;
	u8 *ptr = quarry_heap_alloc(heap, 10);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0x11, 10);
	for (size = 11; size < 16000; size += size / 2) {
		ptr = quarry_heap_realloc(heap, ptr, size);
		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x11, 10));
		expect_heap_verified(test, heap);
	}
	for (size = quarry_heap_usable_size(heap, ptr); size > 10; size /= 3) {
		KUNIT_EXPECT_PTR_EQ(test, quarry_heap_realloc(heap, ptr, size), (void *)ptr);
		expect_heap_verified(test, heap);
	}
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, quarry_heap_largest_free(heap), whole);
}

/* To shrink a block splits nothing: else as many small ones would pin all large. */
static void heap_bounded_withstands_shrinking(struct kunit *test)
{
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_BOUNDED };
	size_t size = QUARRY_HEAP_SIZE(8192, 8, 1016), nr = 0, i;
	struct quarry_heap *heap = create_heap(test, "shrink", size, &args);
	void **ptr = new_table(test, 8);

	/* 8 * 1016 bytes are live, whatever they are made to. */
	for (nr = 0; nr < 8; nr++) {
		ptr[nr] = quarry_heap_alloc(heap, 1016);
		KUNIT_ASSERT_NOT_NULL(test, ptr[nr]);
		KUNIT_EXPECT_PTR_EQ(test, quarry_heap_realloc(heap, ptr[nr], 8), ptr[nr]);
		KUNIT_EXPECT_EQ(test, quarry_heap_usable_size(heap, ptr[nr]), 1016);
	}
	for (i = 0; i < 400; i++) {
		quarry_heap_free(heap, ptr[i % 8]);
		ptr[i % 8] = quarry_heap_realloc(heap, quarry_heap_alloc(heap, 1016), 8);
		KUNIT_ASSERT_NOT_NULL(test, ptr[i % 8]);
	}
	expect_heap_verified(test, heap);
	while (nr)
		quarry_heap_free(heap, ptr[--nr]);
	kvfree(ptr);
}

static struct kunit_case bounded_cases[] = {
	KUNIT_CASE(heap_bounded_size_is_computed),
	KUNIT_CASE_PARAM(heap_bounded_holds_each_size_alone, bound_gen_params),
	KUNIT_CASE_PARAM(heap_bounded_withstands_robson, bound_gen_params),
	KUNIT_CASE_PARAM(heap_bounded_withstands_random, bound_gen_params),
	KUNIT_CASE(heap_bounded_robson_breaks_less),
	KUNIT_CASE(heap_bounded_formula_is_not_idle),
	KUNIT_CASE(heap_bounded_aligns_to_the_block),
	KUNIT_CASE(heap_bounded_realloc_keeps_contents),
	KUNIT_CASE(heap_bounded_withstands_shrinking),
	{}
};

static struct kunit_suite bounded_suite = {
	.name = "quarry_heap_bounded",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = bounded_cases,
};

kunit_test_suite(bounded_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the heap's bounded mode");
MODULE_LICENSE("GPL");
