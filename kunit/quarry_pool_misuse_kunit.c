// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that a caller can do wrong to a pool: it is refused, exactly one
 * report says what it was, one counter moves, and nothing else changes.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include "kunit_util.h"
#include "race_util.h"

#define NR_BLOCKS 400

struct fixture {
	struct quarry_pool *pool;
	struct quarry_pool *other;
	void *block;
	void *kept;
};

/* One live block besides the one that is misused. */
static int misuse_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	capture_init(test);
	test->priv = f;
	f->pool = create_pool(test, "misused", 48, NR_BLOCKS, NULL);
	f->other = create_pool(test, "other", 48, NR_BLOCKS, NULL);
	f->kept = quarry_pool_alloc(f->pool);
	f->block = quarry_pool_alloc(f->pool);
	KUNIT_ASSERT_NOT_NULL(test, f->block);
	return 0;
}

static void misuse_exit(struct kunit *test)
{
	struct fixture *f = test->priv;

	if (f && f->kept)
		quarry_pool_free(f->pool, f->kept);
	capture_exit(test);
}

/* The bad free @ptr of @pool, by both doors. */
static void expect_refused(struct kunit *test, struct quarry_pool *pool,
			   void *ptr, size_t counter, const char *why)
{
	struct quarry_pool_stats before = stats_of(pool), after;

	quarry_pool_free(pool, ptr);
	expect_reports(test, 1, why);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 1, &ptr), 0);
	expect_reports(test, 1, why);
	quarry_pool_free_inline(pool, ptr);
	expect_reports(test, 1, why);

	before.refused += 3;
	*(u64 *)((void *)&before + counter) += 3;
	after = stats_of(pool);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
	expect_verified(test, pool);
}

#define COUNTER(name) offsetof(struct quarry_pool_stats, refused_##name)

static void double_free(struct kunit *test)
{
	struct fixture *f = test->priv;

	quarry_pool_free(f->pool, f->block);
	expect_refused(test, f->pool, f->block, COUNTER(double),
		       ": free refused: double free of block ");
}

static void double_free_after_another_cpu(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct bulk_job job = { f->pool, &f->block, 1 };
	int cpu = other_cpu(raw_smp_processor_id());

	if (cpu < 0) {
		quarry_pool_free(f->pool, f->block);
		kunit_skip(test, "one CPU only");
	}
	KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, free_job, &job), 1);
	expect_refused(test, f->pool, f->block, COUNTER(double), "double free");
	KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, free_job, &job), 0);
	expect_reports(test, 1, "double free");
}

static void double_free_of_block_in_depot(struct kunit *test)
{
	struct fixture *f = test->priv;
	void **blocks = new_table(test, NR_BLOCKS);
	size_t nr = quarry_pool_alloc_bulk(f->pool, NR_BLOCKS - 2, blocks);

	KUNIT_EXPECT_EQ(test, nr, NR_BLOCKS - 2);
	quarry_pool_free(f->pool, f->block);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(f->pool, nr, blocks), nr);
	KUNIT_EXPECT_GT(test, stats_of(f->pool).flushes, 0);
	expect_refused(test, f->pool, f->block, COUNTER(double), "double free");
	kvfree(blocks);
}

static void double_free_where_there_are_no_magazines(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_EXACT };
	struct quarry_pool *pool = create_pool(test, "exact", 48, 16, &args);
	struct fixture *f = test->priv;
	void *block = quarry_pool_alloc(pool);

	KUNIT_ASSERT_NOT_NULL(test, block);
	quarry_pool_free(pool, block);
	expect_refused(test, pool, block, COUNTER(double), "double free");
	quarry_pool_free(f->pool, f->block);
}

static void interior_pointer(struct kunit *test)
{
	struct fixture *f = test->priv;

	expect_refused(test, f->pool, f->block + 8, COUNTER(interior),
		       "interior pointer into block ");
	expect_refused(test, f->pool, f->block + 40, COUNTER(interior),
		       "(offset 40), ");
	quarry_pool_free(f->pool, f->block);
}

static void misaligned_pointer(struct kunit *test)
{
	struct fixture *f = test->priv;

	expect_refused(test, f->pool, f->block + 1, COUNTER(misaligned),
		       "misaligned pointer into block ");
	expect_refused(test, f->pool, f->block - 1, COUNTER(misaligned),
		       "misaligned pointer into block ");
	quarry_pool_free(f->pool, f->block);
}

static void foreign_pointer(struct kunit *test)
{
	struct fixture *f = test->priv;
	void *slab = kunit_kzalloc(test, 48, GFP_KERNEL);
	u64 stack = 0;
	u32 end = 0;

	expect_refused(test, f->pool, slab, COUNTER(foreign), "foreign pointer");
	expect_refused(test, f->pool, &stack, COUNTER(foreign), "foreign");
	expect_refused(test, f->pool, (void *)1, COUNTER(foreign), "foreign");
	expect_refused(test, f->pool, (void *)8, COUNTER(foreign), "foreign");
	expect_refused(test, f->pool, ERR_PTR(-ENOMEM), COUNTER(foreign),
		       "foreign");
	expect_refused(test, f->pool, expect_refused, COUNTER(foreign),
		       "foreign");
	while (quarry_pool_at(f->pool, end))
		end++;
	expect_refused(test, f->pool, quarry_pool_at(f->pool, end - 1) +
		       (quarry_pool_at(f->pool, 1) - quarry_pool_at(f->pool, 0)),
		       COUNTER(foreign), "foreign");
	quarry_pool_free(f->pool, f->block);
}

static void pointer_of_another_pool(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct quarry_pool_stats before, after;
	void *theirs = quarry_pool_alloc(f->other);
	char owner[64];

	snprintf(owner, sizeof(owner), "pointer of pool \"other\" block %ld",
		 quarry_pool_index(f->other, theirs));
	before = stats_of(f->other);
	expect_refused(test, f->pool, theirs, COUNTER(owner), owner);
	expect_refused(test, f->pool, theirs + 5, COUNTER(owner), owner);
	after = stats_of(f->other);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
	quarry_pool_free(f->other, theirs);
	quarry_pool_free(f->pool, f->block);
}

static void use_after_destroy(struct kunit *test)
{
	struct fixture *f = test->priv;
	void *block = quarry_pool_alloc(f->other);
	u64 dead;

	quarry_pool_free(f->other, block);
	destroy_pool(test, f->other);
	dead = stats_of(f->other).refused_dead;
	quarry_pool_free(f->other, block);
	expect_reports(test, 1, "free refused: destroyed pool");
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(f->other, 1, &block), 0);
	expect_reports(test, 1, "free refused: destroyed pool");
	KUNIT_EXPECT_EQ(test, stats_of(f->other).refused_dead, dead + 2);
	KUNIT_EXPECT_NULL(test, quarry_pool_alloc(f->other));
	expect_reports(test, 1, "alloc refused: destroyed pool");
	KUNIT_EXPECT_NULL(test, quarry_pool_zalloc(f->other));
	expect_reports(test, 1, "alloc refused: destroyed pool");
	KUNIT_EXPECT_EQ(test, quarry_pool_alloc_bulk(f->other, 1, &block), 0);
	expect_reports(test, 1, "alloc refused: destroyed pool");
	KUNIT_EXPECT_EQ(test, quarry_pool_verify(f->other), -EINVAL);
	quarry_pool_destroy(f->other);
	expect_reports(test, 1, "destroyed twice");
	quarry_pool_free(f->pool, f->block);
}

/* A handle that serves another pool by now is that pool's: its owner can tell. */
static void use_of_a_handle_that_serves_again(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct quarry_pool *stale = f->other, *pool;
	void *old = quarry_pool_alloc(stale), *block;
	int i;

	quarry_pool_free(stale, old);
	destroy_pool(test, stale);
	/* The handles that were destroyed before come first. */
	for (i = 0; i < 1000; i++) {
		pool = create_pool(test, "again", 32, 20, NULL);
		if (pool == stale)
			break;
	}
	KUNIT_ASSERT_PTR_EQ(test, pool, stale);
	quarry_pool_free(stale, old);
	expect_reports(test, 1, "free refused: ");
	block = quarry_pool_alloc(stale);
	KUNIT_EXPECT_TRUE(test, quarry_pool_owns(pool, block));
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, 1);
	KUNIT_EXPECT_EQ(test, stats_of(pool).refused, 1);
	quarry_pool_free(pool, block);
	expect_verified(test, pool);
	quarry_pool_free(f->pool, f->block);
}

static void no_pool(struct kunit *test)
{
	struct quarry_pool *none[] = { NULL, ERR_PTR(-ENOMEM) };
	struct fixture *f = test->priv;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(none); i++) {
		void *block = f->block;

		KUNIT_EXPECT_NULL(test, quarry_pool_alloc(none[i]));
		expect_reports(test, 1, "not a pool");
		KUNIT_EXPECT_NULL(test, quarry_pool_zalloc(none[i]));
		expect_reports(test, 1, "not a pool");
		quarry_pool_free(none[i], block);
		expect_reports(test, 1, "not a pool");
		KUNIT_EXPECT_EQ(test, quarry_pool_alloc_bulk(none[i], 1, &block), 0);
		expect_reports(test, 1, "not a pool");
		KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(none[i], 1, &block), 0);
		expect_reports(test, 1, "not a pool");
		quarry_pool_free(none[i], NULL);
	}
	quarry_pool_free(f->pool, f->block);
}

static void destroy_with_live_blocks(struct kunit *test)
{
	struct fixture *f = test->priv;
	u8 *block = f->block;

	memset(block, 0x5a, 48);
	destroy_pool(test, f->pool);
	expect_reports(test, 1,
		       ": destroyed with 2 live blocks, memory kept");
	KUNIT_EXPECT_NULL(test, memchr_inv(block, 0x5a, 48));
	KUNIT_EXPECT_EQ(test, stats_of(f->pool).live, 2);
	quarry_pool_free(f->pool, block);
	expect_reports(test, 1, "destroyed pool");
	KUNIT_EXPECT_EQ(test, stats_of(f->pool).live, 2);
	KUNIT_EXPECT_NULL(test, memchr_inv(block, 0x5a, 48));
	f->kept = NULL;
}

/* Each door, and the place in front of it. */

static noinline void *by_alloc(struct quarry_pool *pool)
{
	void *block = quarry_pool_alloc(pool);

	barrier();	/* a call, and no jump, which would have the caller's place */
	return block;
}

static noinline void *by_zalloc(struct quarry_pool *pool)
{
	void *block = quarry_pool_zalloc(pool);

	barrier();
	return block;
}

static noinline void *by_inline(struct quarry_pool *pool)
{
	void *block = quarry_pool_alloc_inline(pool);

	barrier();
	return block;
}

static noinline void *by_bulk(struct quarry_pool *pool)
{
	void *block = NULL;

	quarry_pool_alloc_bulk(pool, 1, &block);
	return block;
}

static void tracked_pool_tells_where(struct kunit *test)
{
	static const struct {
		void *(*take)(struct quarry_pool *pool);
		const char *name;
	} doors[] = {
		{ by_alloc, "by_alloc" }, { by_zalloc, "by_zalloc" },
		{ by_inline, "by_inline" }, { by_bulk, "by_bulk" },
	};
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_TRACK };
	struct fixture *f = test->priv;
	char says[80];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(doors); i++) {
		struct quarry_pool *pool = create_pool(test, "tracked", 48,
						       NR_BLOCKS, &args);
		void *freed = by_alloc(pool), *kept = doors[i].take(pool);

		/* A block has the place of its latest alloc. */
		quarry_pool_free(pool, kept);
		kept = doors[i].take(pool);
		snprintf(says, sizeof(says), "\": block %ld was allocated by %s+0x",
			 quarry_pool_index(pool, kept), doors[i].name);
		quarry_pool_free(pool, freed);
		expect_verified(test, pool);
		destroy_pool(test, pool);
		expect_reports(test, 2, says);
		KUNIT_EXPECT_NOT_NULL(test, strstr(capture.last, " [quarry_pool_misuse_kunit]"));
	}
	quarry_pool_free(f->pool, f->block);
}

/* Four are told, and callers beyond those that there is room for are counted out. */
static void tracked_pool_is_brief(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_TRACK };
	struct quarry_pool *pool = create_pool(test, "tracked", 48, NR_BLOCKS, &args);
	struct fixture *f = test->priv;
	void *blocks[68];
	int i;

	for (i = 0; i < 68; i++) {
		blocks[i] = quarry_pool_alloc_slow(pool, (unsigned long)by_alloc + i);
		KUNIT_ASSERT_NOT_NULL(test, blocks[i]);
	}
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 62, blocks), 62);
	/* Six live: two that are known, four that are not. */
	destroy_pool(test, pool);
	expect_reports(test, 5, "was allocated by one of too many callers");
	quarry_pool_free(f->pool, f->block);
}

/* What a leaked pool was lent is its owner's, who may have put it to another use. */
static void leaked_pool_lays_no_claim_to_lent_memory(struct kunit *test)
{
	struct fixture *f = test->priv;
	const size_t size = quarry_pool_memory_size(48, 16, 0, true);
	const struct quarry_pool_args args = {
		.memory = kunit_kzalloc(test, size, GFP_KERNEL), .memory_size = size,
	};
	struct quarry_pool *pool;
	void *block;

	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	pool = create_pool(test, "lent", 48, 16, &args);
	block = quarry_pool_alloc(pool);
	expect_refused(test, f->pool, block, COUNTER(owner), "pool \"lent\"");
	destroy_pool(test, pool);
	expect_reports(test, 1, "destroyed with 1 live blocks");
	expect_refused(test, f->pool, block, COUNTER(foreign), "foreign pointer");
	quarry_pool_free(f->pool, f->block);
}

static void destroy_in_atomic_context(struct kunit *test)
{
	struct fixture *f = test->priv;

	preempt_disable();
	quarry_pool_destroy(f->pool);
	preempt_enable();
	expect_reports(test, 1, "destroyed in a context that may not sleep");
	quarry_pool_free(f->pool, f->block);
	KUNIT_EXPECT_PTR_EQ(test, quarry_pool_alloc(f->pool), f->block);
	quarry_pool_free(f->pool, f->block);
	expect_verified(test, f->pool);
}

/* Duplicates: two frees of one block at the same instant, forged. */

/*
 * A second free between another's look at the state and its store is the same
 * as one that finds the block live again.
 */
static void free_twice_at_once(struct quarry_pool *pool, void *block)
{
	struct quarry_pool_hot *hot = (void *)pool;
	long index = quarry_pool_index(pool, block);
	u8 live = hot->state[index];

	quarry_pool_free(pool, block);
	hot->state[index] = live;
	quarry_pool_free(pool, block);
}

/* Takes all: the duplicate is met, dropped, and no block handed out twice. */
static void expect_dropped(struct kunit *test, struct quarry_pool *pool,
			   void *live)
{
	void **blocks = new_table(test, 2 * NR_BLOCKS);
	DECLARE_BITMAP(seen, 2 * NR_BLOCKS) = { 0 };
	size_t nr = 0, i, twice = 0;

	while ((blocks[nr] = quarry_pool_alloc(pool)))
		nr++;
	for (i = 0; i < nr; i++)
		if (blocks[i] == live ||
		    __test_and_set_bit(quarry_pool_index(pool, blocks[i]), seen))
			twice++;
	KUNIT_EXPECT_EQ(test, twice, 0);
	KUNIT_EXPECT_EQ(test, stats_of(pool).duplicates, 1);
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, nr + !!live);
	expect_verified(test, pool);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, nr, blocks), nr);
	expect_verified(test, pool);
	expect_reports(test, 1, "was freed twice at");
	kvfree(blocks);
}

static void duplicate_in_magazine(struct kunit *test)
{
	struct fixture *f = test->priv;

	free_twice_at_once(f->pool, f->block);
	KUNIT_EXPECT_NE(test, quarry_pool_verify(f->pool), 0);
	expect_reports(test, 1, "is on two lists");
	expect_dropped(test, f->pool, f->kept);
}

static void duplicate_in_depot(struct kunit *test)
{
	struct fixture *f = test->priv;
	void **blocks = new_table(test, NR_BLOCKS);
	size_t nr = quarry_pool_alloc_bulk(f->pool, NR_BLOCKS - 2, blocks);

	free_twice_at_once(f->pool, f->block);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(f->pool, nr, blocks), nr);
	expect_dropped(test, f->pool, f->kept);
	kvfree(blocks);
}

static void duplicate_in_bulk(struct kunit *test)
{
	struct fixture *f = test->priv;
	void *blocks[8];
	int i;

	free_twice_at_once(f->pool, f->block);
	KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(f->pool, 8, blocks), 8);
	for (i = 1; i < 8; i++)
		KUNIT_EXPECT_PTR_NE(test, blocks[i - 1], blocks[i]);
	KUNIT_EXPECT_EQ(test, stats_of(f->pool).duplicates, 1);
	expect_reports(test, 1, "was freed twice at");
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(f->pool, 8, blocks), 8);
	expect_verified(test, f->pool);
}

static void duplicate_on_shared_list(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_EXACT };
	struct quarry_pool *pool = create_pool(test, "exact", 48, 16, &args);
	struct fixture *f = test->priv;
	void *block = quarry_pool_alloc(pool);

	free_twice_at_once(pool, block);
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, 0);
	expect_dropped(test, pool, NULL);
	quarry_pool_free(f->pool, f->block);
}

static void duplicate_in_bulk_on_shared_list(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_EXACT };
	struct quarry_pool *pool = create_pool(test, "exact", 48, 16, &args);
	struct quarry_pool_hot *hot = (void *)pool;
	struct fixture *f = test->priv;
	void *blocks[16], *odd;
	u8 live;

	quarry_pool_free(f->pool, f->block);
	KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(pool, 16, blocks), 16);
	/* One is free already when the bulk comes to it, and looks as if it were not. */
	live = hot->state[quarry_pool_index(pool, blocks[5])];
	quarry_pool_free(pool, blocks[5]);
	hot->state[quarry_pool_index(pool, blocks[5])] = live;
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 16, blocks), 16);
	KUNIT_EXPECT_EQ(test, stats_of(pool).duplicates, 1);
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, 0);
	expect_reports(test, 1, "was freed twice at");
	expect_verified(test, pool);
	/* One is live, and on the list. */
	odd = blocks[7];
	hot->state[quarry_pool_index(pool, odd)] = live;
	KUNIT_EXPECT_EQ(test, quarry_pool_alloc_bulk(pool, 16, blocks), 15);
	KUNIT_EXPECT_EQ(test, stats_of(pool).duplicates, 2);
	expect_reports(test, 1, "was freed twice at");
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 15, blocks), 15);
	quarry_pool_free(pool, odd);
	KUNIT_EXPECT_EQ(test, stats_of(pool).live, 0);
	expect_verified(test, pool);
}

/* What is wrong among what is right, in pools that free it in several ways. */
static const unsigned int bulk_kinds[] = {
	0, QUARRY_POOL_EXACT, QUARRY_POOL_STRICT, QUARRY_POOL_STRICT | QUARRY_POOL_EXACT,
	QUARRY_POOL_ZERO_ON_FREE, QUARRY_POOL_TRACK,
};

static void bad_ones_in_bulk(struct kunit *test)
{
	struct fixture *f = test->priv;
	int i, nr;

	for (i = 0; i < ARRAY_SIZE(bulk_kinds); i++) {
		const struct quarry_pool_args args = { .flags = bulk_kinds[i] };
		struct quarry_pool *pool = create_pool(test, "bulk", 48, NR_BLOCKS, &args);
		struct quarry_pool_stats stats;
		void *blocks[60], *lost;

		KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(pool, 50, blocks), 50);
		for (nr = 50; nr < 60; nr++)
			blocks[nr] = blocks[nr - 50];		/* twice, each */
		blocks[0] = NULL;
		lost = blocks[40];
		blocks[20] += 8;
		blocks[40] = f->kept;
		KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 60, blocks), 48);
		stats = stats_of(pool);
		KUNIT_EXPECT_EQ(test, stats.refused_double, 9);
		KUNIT_EXPECT_EQ(test, stats.refused_interior, 1);
		KUNIT_EXPECT_EQ(test, stats.refused_owner, 1);
		KUNIT_EXPECT_EQ(test, stats.frees, 48);
		KUNIT_EXPECT_EQ(test, stats.live, 2);
		expect_reports(test, 11, "double free");
		expect_verified(test, pool);
		quarry_pool_free(pool, lost);
		quarry_pool_free(pool, blocks[20] - 8);
		KUNIT_EXPECT_EQ(test, stats_of(pool).live, 0);
		destroy_pool(test, pool);
	}
	quarry_pool_free(f->pool, f->block);
}

/* Two CPUs free the same block at the same time, again and again. */

static void *race_take(void *pool)
{
	return quarry_pool_alloc(pool);
}

static int race_give(void *pool, void *block)
{
	return quarry_pool_free_bulk(pool, 1, &block);
}

static int race_give_single(void *pool, void *block)
{
	return quarry_pool_hit_free(pool, block, 0);
}

/* Several blocks a round, and both free them all. */
#define RACE_BULK	4

static void *race_take_bulk(void *pool)
{
	static void *blocks[RACE_BULK];

	return quarry_pool_alloc_bulk(pool, RACE_BULK, blocks) == RACE_BULK ?
	       blocks : NULL;
}

static int race_give_bulk(void *pool, void *blocks)
{
	return quarry_pool_free_bulk(pool, RACE_BULK, blocks);
}

/* Of two frees of a block one is taken, the other refused. */
static void expect_told_apart(struct kunit *test, unsigned int flags,
			      struct race *race, int each)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_STRICT | flags };
	struct quarry_pool *pool = create_pool(test, "strict", 48, NR_BLOCKS, &args);
	struct fixture *f = test->priv;
	struct quarry_pool_stats stats;
	int frees;

	quarry_pool_free(f->pool, f->block);
	race->from = pool;
	frees = each * race_frees(test, race);
	stats = stats_of(pool);
	KUNIT_EXPECT_EQ(test, atomic_read(&race->wins), frees);
	KUNIT_EXPECT_EQ(test, stats.refused_double, frees);
	KUNIT_EXPECT_EQ(test, stats.frees, frees);
	KUNIT_EXPECT_EQ(test, stats.duplicates, 0);
	KUNIT_EXPECT_EQ(test, stats.live, 0);
	expect_reports(test, frees, "double free");
	expect_verified(test, pool);
}

static void racing_frees_in_a_strict_pool(struct kunit *test)
{
	struct race race = { .take = race_take, .give = race_give_single };

	expect_told_apart(test, 0, &race, 1);
}

static void racing_frees_in_a_strict_and_exact_pool(struct kunit *test)
{
	struct race race = { .take = race_take, .give = race_give_single };

	expect_told_apart(test, QUARRY_POOL_EXACT, &race, 1);
}

static void racing_bulk_frees_in_a_strict_pool(struct kunit *test)
{
	struct race race = { .take = race_take_bulk, .give = race_give_bulk };

	expect_told_apart(test, 0, &race, RACE_BULK);
}

static void racing_bulk_frees_in_a_strict_and_exact_pool(struct kunit *test)
{
	struct race race = { .take = race_take_bulk, .give = race_give_bulk };

	expect_told_apart(test, QUARRY_POOL_EXACT, &race, RACE_BULK);
}

static void racing_frees_leave_no_block_twice(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "racing", 48, NR_BLOCKS, NULL);
	struct race race = { pool, race_take, race_give };
	void **blocks = new_table(test, 4 * NR_BLOCKS);
	struct bulk_job rest = { .pool = pool, .nr = 2 * NR_BLOCKS };
	struct fixture *f = test->priv;
	struct quarry_pool_stats stats;
	int rounds, extra;
	size_t nr;

	quarry_pool_free(f->pool, f->block);
	rounds = race_frees(test, &race);
	extra = atomic_read(&race.wins) - rounds;
	KUNIT_EXPECT_GE(test, extra, 0);
	kunit_info(test, "%d of %d races let both frees in", extra, rounds);
	/* Duplicates are dropped as they are met, each CPU's own by itself. */
	nr = quarry_pool_alloc_bulk(pool, 2 * NR_BLOCKS, blocks);
	rest.blocks = blocks + nr;
	nr += work_on_cpu(other_cpu(raw_smp_processor_id()), alloc_job, &rest);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, nr, blocks), nr);
	stats = stats_of(pool);
	KUNIT_EXPECT_EQ(test, stats.refused_double, rounds - extra);
	KUNIT_EXPECT_LE(test, stats.duplicates, extra);
	KUNIT_EXPECT_EQ(test, stats.live, 0);
	expect_verified(test, pool);
	atomic_set(&capture.nr, 0);
	kvfree(blocks);
}

static struct kunit_case misuse_cases[] = {
	KUNIT_CASE(double_free),
	KUNIT_CASE(double_free_after_another_cpu),
	KUNIT_CASE(double_free_of_block_in_depot),
	KUNIT_CASE(double_free_where_there_are_no_magazines),
	KUNIT_CASE(interior_pointer),
	KUNIT_CASE(misaligned_pointer),
	KUNIT_CASE(foreign_pointer),
	KUNIT_CASE(pointer_of_another_pool),
	KUNIT_CASE(use_after_destroy),
	KUNIT_CASE(use_of_a_handle_that_serves_again),
	KUNIT_CASE(no_pool),
	KUNIT_CASE(destroy_with_live_blocks),
	KUNIT_CASE(tracked_pool_tells_where),
	KUNIT_CASE(tracked_pool_is_brief),
	KUNIT_CASE(leaked_pool_lays_no_claim_to_lent_memory),
	KUNIT_CASE(destroy_in_atomic_context),
	KUNIT_CASE(duplicate_in_magazine),
	KUNIT_CASE(duplicate_in_depot),
	KUNIT_CASE(duplicate_in_bulk),
	KUNIT_CASE(duplicate_on_shared_list),
	KUNIT_CASE(duplicate_in_bulk_on_shared_list),
	KUNIT_CASE(bad_ones_in_bulk),
	KUNIT_CASE(racing_frees_in_a_strict_pool),
	KUNIT_CASE(racing_frees_in_a_strict_and_exact_pool),
	KUNIT_CASE(racing_bulk_frees_in_a_strict_pool),
	KUNIT_CASE(racing_bulk_frees_in_a_strict_and_exact_pool),
	KUNIT_CASE(racing_frees_leave_no_block_twice),
	{}
};

static struct kunit_suite misuse_suite = {
	.name = "quarry_pool_misuse",
	.init = misuse_init,
	.exit = misuse_exit,
	.test_cases = misuse_cases,
};

kunit_test_suite(misuse_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: wrong use of a pool");
MODULE_LICENSE("GPL");
