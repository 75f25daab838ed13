// SPDX-License-Identifier: GPL-2.0-only
/*
 * Torture: every context at once on a few pools, with a verdict.
 *
 * All contexts (torture.h) take blocks, write into each a pattern that tells which
 * block it is and whose, leave it in an exchange array, and take out what somebody
 * else left there: most blocks are freed by another context or CPU than the one that
 * took them.
 *
 * The property: nobody but the owner writes to a live block, no block has two
 * owners, and none is lost. It is broken when a pattern is not what its first
 * word says it must be, when the table of owners says that the block was taken
 * already (or not by this owner), when after the end a block is live, the figures
 * do not add up, verify is not content, or another number of frees was refused
 * than were meant to be. Patterns are plain accesses and the table adds no
 * ordering, so that only the pool's own orders them. That its free is a release is
 * shown by litmus tests, and by Documentation/orders_check.sh that the code has the
 * orders which they state: x86 cannot show it, nor has KCSAN been seen to.
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <quarry/quarry.h>
#include "torture.h"

#define NR_POOLS	ARRAY_SIZE(shapes)

static const struct {
	const char *name;
	size_t size, nr;
	unsigned int flags;
} shapes[] = {
	{ "torture-64", 64, 2048, 0 },
	{ "torture-scarce", 24, 96, 0 },	/* runs empty */
	{ "torture-exact", 40, 512, QUARRY_POOL_EXACT },
	{ "torture-strict", 200, 1024, QUARRY_POOL_STRICT },
	{ "torture-zero", 72, 1024, QUARRY_ZERO | QUARRY_POOL_ZERO_ON_FREE },
};

enum {
	TORN,		/* the pattern is not the owner's */
	TWICE,		/* taken while somebody has it */
	STOLEN,		/* freed, and not the owner's any more */
	STRANGE,	/* not an address of the pool, or misaligned */
	REFUSED,	/* a good free in bulk was refused */
	UNREFUSED,	/* a bad free was not */
	DIRTY,		/* not zero, from the pool that zeroes */
};

/**
 * struct ground - one pool and what goes with it
 * @pool: the pool
 * @words: 64-bit words in a block
 * @nr_owners: entries of @owners
 * @owners: cookie of each block's owner, 0 when free
 * @zero: blocks come zeroed
 * @behind: where the block behind the last would be
 * @exchange: blocks left for others
 */
struct ground {
	struct quarry_pool *pool;
	unsigned int words;
	size_t nr_owners;
	atomic64_t *owners;
	bool zero;
	u8 *behind;
	u64 *exchange[NR_EXCHANGE];
};

static struct ground grounds[NR_POOLS];
static DEFINE_PER_CPU(struct hand, hands);
static atomic64_t wrong_frees[NR_POOLS];

static const char *name_of(const struct ground *ground)
{
	return shapes[ground - grounds].name;
}

static void sign(struct ground *ground, struct actor *actor, u64 *block)
{
	long index = quarry_pool_index(ground->pool, block);
	u64 cookie = new_cookie(actor, ground->words);

	actor->took++;
	if (index < 0 || index >= ground->nr_owners) {
		trouble(STRANGE, name_of(ground), index);
		return;
	}
	if (atomic64_cmpxchg_relaxed(&ground->owners[index], 0, cookie))
		trouble(TWICE, name_of(ground), index);
	if (ground->zero && memchr_inv(block, 0, ground->words * sizeof(u64)))
		trouble(DIRTY, name_of(ground), index);
	write_words(block, index, ground->words, cookie);
}

/* Before a free: is all as its owner left it? */
static void inspect(struct ground *ground, struct actor *actor, u64 *block)
{
	long index = quarry_pool_index(ground->pool, block);
	u64 cookie;

	actor->gave++;
	if (index < 0 || index >= ground->nr_owners) {
		trouble(STRANGE, name_of(ground), index);
		return;
	}
	cookie = block[0];
	if (!words_are(block, index, ground->words, cookie))
		trouble(TORN, name_of(ground), index);
	if (atomic64_cmpxchg_relaxed(&ground->owners[index], cookie, 0) != cookie)
		trouble(STOLEN, name_of(ground), index);
}

static u64 *take(struct ground *ground, struct actor *actor)
{
	u64 *block;

	/* Inlined and called take their turns. */
	if (actor->turns & 1)
		block = quarry_pool_alloc_inline(ground->pool);
	else
		block = quarry_pool_alloc(ground->pool);
	if (block)
		sign(ground, actor, block);
	else
		actor->dry++;
	return block;
}

static void give(struct ground *ground, struct actor *actor, u64 *block)
{
	if (!block)
		return;
	inspect(ground, actor, block);
	if (actor->turns & 2)
		quarry_pool_free_inline(ground->pool, block);
	else
		quarry_pool_free(ground->pool, block);
}

/* Leave a block for somebody, free what was left for us. */
static void swap_one(struct ground *ground, struct actor *actor)
{
	u64 *block = take(ground, actor);
	u32 slot = draw(actor) % NR_EXCHANGE;

	give(ground, actor, xchg(&ground->exchange[slot], block));
}

static void swap_bulk(struct ground *ground, struct actor *actor)
{
	void *blocks[12];
	size_t nr, got, i, left = 0;

	nr = 1 + draw(actor) % ARRAY_SIZE(blocks);
	got = quarry_pool_alloc_bulk(ground->pool, nr, blocks);
	if (got < nr)
		actor->dry++;
	for (i = 0; i < got; i++) {
		u32 slot = draw(actor) % NR_EXCHANGE;

		sign(ground, actor, blocks[i]);
		blocks[i] = xchg(&ground->exchange[slot], blocks[i]);
		if (blocks[i]) {
			inspect(ground, actor, blocks[i]);
			left++;
		}
	}
	if (quarry_pool_free_bulk(ground->pool, got, blocks) != left)
		trouble(REFUSED, name_of(ground), -1);
}

/* A free that has to be refused: inside a block of ours, or behind the last. */
static void free_wrongly(struct ground *ground, struct actor *actor)
{
	u8 *block = (u8 *)take(ground, actor);
	void *wrong;

	if (!block)
		return;
	actor->wrong++;
	atomic64_inc(&wrong_frees[ground - grounds]);
	wrong = block + 1 + draw(actor) % (ground->words * 8 - 1);
	if (draw(actor) % 4 == 0)
		wrong = ground->behind;
	if (draw(actor) % 2)
		quarry_pool_free(ground->pool, wrong);
	else if (quarry_pool_free_bulk(ground->pool, 1, &wrong))
		trouble(UNREFUSED, name_of(ground),
			quarry_pool_index(ground->pool, block));
	give(ground, actor, (u64 *)block);
}

static void act(struct actor *actor, unsigned int nr)
{
	WRITE_ONCE(actor->turns, actor->turns + 1);	/* read by the timers */
	while (nr--) {
		struct ground *ground = &grounds[draw(actor) % NR_POOLS];
		u32 dice = draw(actor) % 1024;

		if (dice < 3)
			free_wrongly(ground, actor);
		else if (dice < 256)
			swap_bulk(ground, actor);
		else
			swap_one(ground, actor);
	}
}

/* Some blocks stay long: a hand of them, freed when the next hand is taken. */
static void refresh_hand(unsigned int cpu)
{
	struct actor *actor = &per_cpu_ptr(&stations, cpu)->actor[THREAD];
	u64 **hand = per_cpu(hands, cpu).block;
	unsigned int i;

	if (draw(actor) % 64)
		return;
	for (i = 0; i < NR_HAND; i++) {
		give(&grounds[0], actor, hand[i]);
		hand[i] = take(&grounds[0], actor);
	}
}

static void empty_hand(unsigned int cpu)
{
	struct actor *actor = &per_cpu_ptr(&stations, cpu)->actor[THREAD];
	int i;

	for (i = 0; i < NR_HAND; i++)
		give(&grounds[0], actor, per_cpu(hands, cpu).block[i]);
}

static void drain(void)
{
	struct actor *actor = &per_cpu_ptr(&stations, 0)->actor[THREAD];
	int i, slot;

	for (i = 0; i < NR_POOLS; i++)
		for (slot = 0; slot < NR_EXCHANGE; slot++)
			give(&grounds[i], actor,
			     xchg(&grounds[i].exchange[slot], NULL));
}

static void grounds_destroy(void)
{
	int i;

	drain();
	for (i = 0; i < NR_POOLS; i++) {
		quarry_pool_destroy(grounds[i].pool);
		vfree(grounds[i].owners);
	}
}

static u8 *end_of(struct quarry_pool *pool)
{
	u8 *first = quarry_pool_at(pool, 0), *second = quarry_pool_at(pool, 1);
	u32 nr = quarry_pool_capacity(pool);

	while (quarry_pool_at(pool, nr))
		nr++;
	return first + nr * (second - first);
}

static int grounds_create(void)
{
	int i;

	for (i = 0; i < NR_POOLS; i++) {
		struct quarry_pool_args args = { .flags = shapes[i].flags };
		struct ground *ground = &grounds[i];

		ground->words = shapes[i].size / sizeof(u64);
		ground->nr_owners = shapes[i].nr + shapes[i].nr / 8;
		ground->owners = vzalloc(array_size(ground->nr_owners,
						    sizeof(*ground->owners)));
		ground->pool = quarry_pool_create(shapes[i].name, shapes[i].size,
						  shapes[i].nr, &args);
		if (!ground->owners || IS_ERR(ground->pool))
			return -ENOMEM;
		ground->zero = shapes[i].flags & QUARRY_POOL_ZERO_ON_FREE;
		ground->behind = end_of(ground->pool);
	}
	return 0;
}

static void judge_pool(int i)
{
	const char *name = shapes[i].name;
	struct quarry_pool_stats stats;

	quarry_pool_get_stats(grounds[i].pool, &stats);
	expect(name, "live", stats.live, 0);
	expect(name, "allocs", stats.allocs, stats.frees);
	expect(name, "refused", stats.refused, atomic64_read(&wrong_frees[i]));
	expect(name, "duplicates", stats.duplicates, 0);
	expect(name, "verify", -quarry_pool_verify(grounds[i].pool), 0);
}

static void judge(void)
{
	int i;

	drain();
	for (i = 0; i < NR_POOLS; i++)
		judge_pool(i);
	expect_all_given();
}

static const struct torture torture = {
	.make		= grounds_create,
	.unmake		= grounds_destroy,
	.act		= act,
	.linger		= refresh_hand,
	.leave		= empty_hand,
	.judge		= judge,
	.troubles	= {
		[TORN]		= "torn",
		[TWICE]		= "twice",
		[STOLEN]	= "stolen",
		[STRANGE]	= "strange",
		[REFUSED]	= "refused",
		[UNREFUSED]	= "unrefused",
		[DIRTY]		= "dirty",
	},
};

MODULE_DESCRIPTION("Torture of quarry's pools in every context, with a verdict");
MODULE_LICENSE("GPL");
