// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool used from every context on every CPU at once: task, softirq, hard irq,
 * NMI, under a raw spinlock. Blocks wander from one context to another through
 * an exchange array. Who holds a block is written in a table beside it, so that
 * a block with two holders is seen at once; its contents name it, so that a
 * write to another's block is seen.
 */
#include <linux/module.h>

/* What an actor keeps. */
struct own {
	unsigned long empty;
	unsigned long stolen;	/* a block that another held */
	unsigned long spoilt;	/* a block with wrong contents */
};

#include "context_util.h"

static uint seconds = 1;
module_param(seconds, uint, 0400);
MODULE_PARM_DESC(seconds, "how long the contexts work on each pool");

#define NR_BLOCKS	600
#define NR_SLOTS	64
#define MAGIC		0x5157415252590000UL

struct block {
	u64 name;
	u64 inverse;
};

/**
 * struct shared - what the actors share
 * @pool: the pool
 * @holder: who holds each block, 0 nobody
 * @slot: where blocks change hands
 */
static struct shared {
	struct quarry_pool *pool;
	atomic_t *holder;
	struct block *slot[NR_SLOTS];
} shared;

static void hold(struct actor *actor, struct block *block)
{
	long index = quarry_pool_index(shared.pool, block);

	if (index < 0 ||
	    atomic_cmpxchg(&shared.holder[index], 0, 1 + actor->context))
		actor->own.stolen++;
	block->name = MAGIC + index;
	block->inverse = ~block->name;
}

static void let_go(struct actor *actor, struct block *block)
{
	long index = quarry_pool_index(shared.pool, block);

	if (block->name != MAGIC + index || block->inverse != ~block->name)
		actor->own.spoilt++;
	if (index < 0 || !atomic_xchg(&shared.holder[index], 0))
		actor->own.stolen++;
}

static struct block *exchange(struct actor *actor, struct block *block)
{
	return xchg(&shared.slot[next_random(actor) % NR_SLOTS], block);
}

/* Takes a block or none, swaps it for another's or none, frees that. */
static void turn(struct actor *actor)
{
	struct block *block = NULL;
	void *blocks[8];
	size_t nr, i;

	WRITE_ONCE(actor->turns, actor->turns + 1);
	if (next_random(actor) % 16 == 0) {
		nr = quarry_pool_alloc_bulk(shared.pool, ARRAY_SIZE(blocks), blocks);
		for (i = 0; i < nr; i++)
			hold(actor, blocks[i]);
		for (i = 0; i < nr; i++)
			let_go(actor, blocks[i]);
		if (quarry_pool_free_bulk(shared.pool, nr, blocks) != nr)
			actor->own.stolen++;
	}
	if (next_random(actor) % 2) {
		block = quarry_pool_alloc(shared.pool);
		if (block)
			hold(actor, block);
		else
			actor->own.empty++;
	}
	block = exchange(actor, block);
	if (block) {
		let_go(actor, block);
		quarry_pool_free(shared.pool, block);
	}
}

static const struct cast cast = {
	.turn		= turn,
	.task_turn	= locked_at_times,
	.timer_mode	= HRTIMER_MODE_REL_PINNED_HARD,
	.softirq_turns	= 8,
};

static void stage_run(struct kunit *test)
{
	unsigned long end;

	stage_begin(test);
	end = jiffies + some_of(seconds * HZ);
	while (race_goes_on(end, all_took_part()))
		schedule_timeout_uninterruptible(HZ / 10);
	stage_end();
}

/* What wanders still goes back; then the figures. */
static void stage_clear(struct kunit *test)
{
	struct actor *actor = &stage->actor[IN_TASK][0];
	int i;

	for (i = 0; i < NR_SLOTS; i++) {
		if (!shared.slot[i])
			continue;
		let_go(actor, shared.slot[i]);
		quarry_pool_free(shared.pool, shared.slot[i]);
	}
	KUNIT_EXPECT_EQ(test, stats_of(shared.pool).live, 0);
	KUNIT_EXPECT_EQ(test, stats_of(shared.pool).duplicates, 0);
	KUNIT_EXPECT_EQ(test, stats_of(shared.pool).refused, 0);
	expect_verified(test, shared.pool);
}

static void expect_no_harm(struct kunit *test)
{
	unsigned long stolen = 0, spoilt = 0;
	int context, cpu;

	for_each_possible_cpu(cpu)
		for (context = 0; context < NR_CONTEXTS; context++) {
			stolen += stage->actor[context][cpu].own.stolen;
			spoilt += stage->actor[context][cpu].own.spoilt;
		}
	KUNIT_EXPECT_EQ(test, stolen, 0);
	KUNIT_EXPECT_EQ(test, spoilt, 0);
	expect_all_took_part(test);
	tell_turns(test);
}

/* The actors of all contexts on a pool; NMIs come if somebody sends them. */
static void play(struct kunit *test, const struct quarry_pool_args *args)
{
	struct quarry_pool *pool = create_pool(test, "context",
					       sizeof(struct block), NR_BLOCKS,
					       args);

	stage_get(test, &cast);
	shared = (struct shared) { .pool = pool };
	shared.holder = kunit_kcalloc(test, 2 * NR_BLOCKS, sizeof(atomic_t),
				      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, shared.holder);
	stage_run(test);
	stage_clear(test);
	expect_no_harm(test);
}

struct staging {
	const char *what;
	struct quarry_pool_args args;
};

static const struct staging stagings[] = {
	{ "plain", { } },
	{ "small magazines", { .magazine = 2 } },
	{ "exact", { .flags = QUARRY_POOL_EXACT } },
	{ "strict", { .flags = QUARRY_POOL_STRICT } },
	{ "leak tracking", { .flags = QUARRY_POOL_LEAK_TRACK } },
	{ "tracked", { .flags = QUARRY_POOL_TRACK } },
};

static void staging_desc(const struct staging *p, char *desc)
{
	strscpy(desc, p->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(staging, stagings, staging_desc);

static void all_contexts_at_once(struct kunit *test)
{
	const struct staging *p = test->param_value;

	play(test, &p->args);
}

static void play_plain(struct kunit *test)
{
	play(test, NULL);
}

static void nmis_have_come(struct kunit *test)
{
	expect_nmis(test, play_plain);
}

static struct kunit_case context_cases[] = {
	KUNIT_CASE_PARAM(all_contexts_at_once, staging_gen_params),
	KUNIT_CASE(nmis_have_come),
	{}
};

static struct kunit_suite context_suite = {
	.name = "quarry_pool_context",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = context_cases,
};

kunit_test_suite(context_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a pool in every context at once");
MODULE_LICENSE("GPL");
