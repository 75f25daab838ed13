// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap used from every context on every CPU at once: task, softirq, hard irq,
 * NMI, under a raw spinlock. Blocks of many sizes wander from one context to
 * another through an exchange array. All of a block is filled with its size and
 * address, and is cleared before the block is freed, so that a block with two
 * holders, or one that overlaps another, is seen.
 */
#include <linux/cpu.h>
#include <linux/module.h>
#include "heap_util.h"
#include "race_util.h"

/* What an actor keeps. */
struct own {
	unsigned long empty;
	unsigned long spoilt;	/* a block with wrong contents */
};

#include "context_util.h"

static uint seconds = 1;
module_param(seconds, uint, 0400);
MODULE_PARM_DESC(seconds, "how long the contexts work on each heap");

#define NR_SLOTS	64
#define MAX_WORDS	40
#define MAGIC		0x5157415252590000UL

struct block {
	u64 words;
	u64 fill[];
};

/**
 * struct shared - what the actors share
 * @heap: the heap
 * @whole: its largest free block when it was new
 * @slot: where blocks change hands
 */
static struct shared {
	struct quarry_heap *heap;
	size_t whole;
	struct block *slot[NR_SLOTS];
} shared;

static u64 fill_of(const struct block *block)
{
	return MAGIC ^ (unsigned long)block ^ block->words;
}

static void hold(struct actor *actor, struct block *block, u64 words)
{
	u64 i;

	block->words = words;
	for (i = 0; i < words; i++)
		block->fill[i] = fill_of(block);
}

static void let_go(struct actor *actor, struct block *block)
{
	u64 i;

	if (block->words > 2 * MAX_WORDS) {
		actor->own.spoilt++;
		return;
	}
	for (i = 0; i < block->words; i++)
		if (block->fill[i] != fill_of(block))
			actor->own.spoilt++;
	memset(block->fill, 0, block->words * 8);
	block->words = U64_MAX;
}

static struct block *exchange(struct actor *actor, struct block *block)
{
	return xchg(&shared.slot[next_random(actor) % NR_SLOTS], block);
}

static struct block *take(struct actor *actor)
{
	u64 words = next_random(actor) % MAX_WORDS;
	struct block *block;

	if (next_random(actor) % 8)
		block = quarry_heap_alloc(shared.heap, 8 + 8 * words);
	else
		block = quarry_heap_alloc_aligned(shared.heap, 8 + 8 * words, 64);
	if (block)
		hold(actor, block, words);
	else
		actor->own.empty++;
	return block;
}

static struct block *resize(struct actor *actor, struct block *block)
{
	u64 words = next_random(actor) % MAX_WORDS;
	struct block *moved;

	let_go(actor, block);
	moved = quarry_heap_realloc(shared.heap, block, 8 + 8 * words);
	if (moved)
		hold(actor, moved, words);
	else
		hold(actor, block, 0);
	return moved ?: block;
}

/* Takes a block or none, swaps it for another's or none, frees that. */
static void turn(struct actor *actor)
{
	struct block *block = NULL;

	WRITE_ONCE(actor->turns, actor->turns + 1);
	if (next_random(actor) % 2)
		block = take(actor);
	block = exchange(actor, block);
	if (block && next_random(actor) % 4 == 0)
		block = resize(actor, block);
	if (block) {
		let_go(actor, block);
		quarry_heap_free(shared.heap, block);
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
	do {
		schedule_timeout_uninterruptible(HZ / 10);
		/* Busy, and so what holds at every instant is checked. */
		KUNIT_EXPECT_GE_MSG(test, quarry_heap_verify(shared.heap), 0, "%s",
				    capture.last);
	} while (race_goes_on(end, all_took_part()));
	stage_end();
}

/* What wanders still goes back; then the figures. */
static void stage_clear(struct kunit *test)
{
	struct actor *actor = &stage->actor[IN_TASK][0];
	struct quarry_heap_stats stats;
	int i;

	for (i = 0; i < NR_SLOTS; i++) {
		if (!shared.slot[i])
			continue;
		let_go(actor, shared.slot[i]);
		quarry_heap_free(shared.heap, shared.slot[i]);
	}
	quarry_heap_flush(shared.heap);
	stats = heap_stats_of(shared.heap);
	KUNIT_EXPECT_EQ(test, stats.live, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.cached, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.bytes_in_use, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.refused, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.corrupt, 0ULL);
	KUNIT_EXPECT_EQ(test, quarry_heap_largest_free(shared.heap), shared.whole);
	kunit_info(test, "hits %llu of %llu, deferred %llu, NMI failed %llu, exhausted %llu",
		   stats.hits, stats.allocs, stats.deferred, stats.nmi_failed,
		   stats.exhausted);
	expect_heap_verified(test, shared.heap);
}

static void expect_no_harm(struct kunit *test)
{
	unsigned long spoilt = 0;
	int context, cpu;

	for_each_possible_cpu(cpu)
		for (context = 0; context < NR_CONTEXTS; context++)
			spoilt += stage->actor[context][cpu].own.spoilt;
	KUNIT_EXPECT_EQ(test, spoilt, 0);
	expect_all_took_part(test);
	tell_turns(test);
}

struct staging {
	const char *what;
	size_t size;
	struct quarry_heap_args args;
};

static const struct staging stagings[] = {
	{ "plain", SZ_256K, { .front = SZ_64K } },
	{ "no front", SZ_256K, { .flags = QUARRY_HEAP_NO_FRONT } },
	{ "large front, short of memory", SZ_16K, { .front = SZ_1M } },
	{ "bounded", SZ_256K, { .flags = QUARRY_HEAP_BOUNDED } },
};

/* The actors of all contexts on a heap; NMIs come if somebody sends them. */
static void play(struct kunit *test, const struct staging *p)
{
	struct quarry_heap *heap = create_heap(test, "context", p->size, &p->args);

	stage_get(test, &cast);
	shared = (struct shared) {
		.heap = heap, .whole = quarry_heap_largest_free(heap),
	};
	stage_run(test);
	stage_clear(test);
	expect_no_harm(test);
}

static void staging_desc(const struct staging *p, char *desc)
{
	strscpy(desc, p->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(staging, stagings, staging_desc);

static void heap_all_contexts_at_once(struct kunit *test)
{
	play(test, test->param_value);
}

static void play_plain(struct kunit *test)
{
	play(test, &stagings[0]);
}

static void heap_nmis_have_come(struct kunit *test)
{
	expect_nmis(test, play_plain);
}

static void *race_take(void *heap)
{
	return quarry_heap_alloc(heap, 48);
}

/* The figures tell which were taken. */
static int race_give(void *heap, void *block)
{
	quarry_heap_free(heap, block);
	return 0;
}

static void heap_racing_frees_are_taken_once(struct kunit *test)
{
	const struct quarry_heap_args args = { .front = SZ_16K };
	struct quarry_heap *heap = create_heap(test, "racing", SZ_64K, &args);
	struct race race = { heap, race_take, race_give };
	int rounds = race_frees(test, &race);

	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).frees, rounds);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).refused, rounds);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).live, 0);
	KUNIT_EXPECT_EQ(test, atomic_xchg(&capture.nr, 0), rounds);
	expect_heap_verified(test, heap);
}

#ifdef CONFIG_HOTPLUG_CPU

#define NR_PUT_AWAY	36

/* For work_on_cpu(): blocks of six sizes stay in its front. */
static long fill_front(void *heap)
{
	void *blocks[NR_PUT_AWAY];
	int i;

	for (i = 0; i < NR_PUT_AWAY; i++)
		blocks[i] = quarry_heap_alloc(heap, 8 + i % 6 * 8);
	for (i = 0; i < NR_PUT_AWAY; i++)
		quarry_heap_free(heap, blocks[i]);
	return 0;
}

/* All of the heap can be had by another, while the CPU is away and after it is back. */
static void heap_front_of_a_dead_cpu_is_flushed(struct kunit *test)
{
	const struct quarry_heap_args args = { .front = SZ_4K * num_possible_cpus() };
	struct quarry_heap *heap = create_heap(test, "dead-cpu", SZ_64K, &args);
	size_t whole = quarry_heap_largest_free(heap);
	int cpu = other_cpu(0), i;
	void *block;

	if (cpu <= 0 || !cpu_online(0))
		kunit_skip(test, "no CPU that can go");
	for (i = 0; i < 2; i++) {
		work_on_cpu(cpu, fill_front, heap);
		KUNIT_EXPECT_GT(test, heap_stats_of(heap).cached, 0);
		KUNIT_EXPECT_LT(test, quarry_heap_largest_free(heap), whole);
		KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
		if (i)
			KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
		block = quarry_heap_alloc(heap, whole);
		KUNIT_EXPECT_NOT_NULL(test, block);
		KUNIT_EXPECT_EQ(test, heap_stats_of(heap).exhausted, 0);
		quarry_heap_free(heap, block);
		expect_heap_verified(test, heap);
		if (!i)
			KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	}
}

#else

static void heap_front_of_a_dead_cpu_is_flushed(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_HOTPLUG_CPU");
}

#endif

static struct kunit_case context_cases[] = {
	KUNIT_CASE_PARAM(heap_all_contexts_at_once, staging_gen_params),
	KUNIT_CASE(heap_nmis_have_come),
	KUNIT_CASE(heap_racing_frees_are_taken_once),
	KUNIT_CASE(heap_front_of_a_dead_cpu_is_flushed),
	{}
};

static struct kunit_suite context_suite = {
	.name = "quarry_heap_context",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = context_cases,
};

kunit_test_suite(context_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a heap in every context at once");
MODULE_LICENSE("GPL");
