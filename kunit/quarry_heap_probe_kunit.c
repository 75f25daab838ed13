// SPDX-License-Identifier: GPL-2.0-only
/*
 * An interrupt at every instruction of a heap: see kunit_probe.h. Its handler allocates
 * and frees in the same heap on the same CPU, in the midst of what was interrupted, as
 * in an NMI: where that holds the lock, an alloc may give NULL and a free is deferred,
 * and nothing may wait. A table says who holds each block and a pattern fills it, so
 * that one that is lost, handed out twice or laid over another is seen; after each
 * probe nothing is left in fronts or deferred, and the heap is verified.
 *
 * The work goes over three heaps: one with fronts and two regions, one without a front
 * that clears what is freed, a bounded one; it also defers frees itself. Functions of
 * raw spinlocks cannot have probes: their callers have them on both sides of the call.
 */
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include "../kmod/heap.h"
#include "heap_util.h"
/* After each one three heaps are verified; max_probes=0 has all, in an hour. */
#define DEFAULT_PROBES	64
#include "kunit_probe.h"

#define REGION		SZ_4K
#define MAX_REGIONS	2
#define NR_IDLE		6
#define MAX_KEPT	4
/* Blocks that start in a region, by number of the unit behind the header. */
#define NR_UNITS	(2 * REGION / UNIT)	/* a bounded one has room in front */

/* Who holds a block; also what fills it. */
enum holder { NOBODY, TASK = 0x51, HANDLER = 0x68 };

/* What the handler does. */
enum handler_work { PAIRS, TAKES, GIVES, NR_HANDLER_WORKS };

struct held {
	void *block;
	size_t size;
};

/**
 * struct ground - one heap under probes
 * @heap: the heap
 * @holder: who holds each block
 * @idle: blocks that are live throughout
 * @kept: blocks that the handler took in an earlier hit
 * @nr_kept: how many
 */
struct ground {
	struct quarry_heap *heap;
	atomic_t holder[MAX_REGIONS][NR_UNITS];
	struct held idle[NR_IDLE];
	struct held kept[MAX_KEPT];
	unsigned int nr_kept;
};

static const struct quarry_heap_args shapes[] = {
	{ },
	{ .flags = QUARRY_HEAP_NO_FRONT | QUARRY_HEAP_ZERO_ON_FREE },
	{ .flags = QUARRY_HEAP_BOUNDED },
};

#define NR_GROUNDS	ARRAY_SIZE(shapes)

/**
 * struct trial - what is under probes
 * @ground: the heaps
 * @here: the one that the work goes over now
 * @work: what the handler does
 * @size: of its latest request
 * @hits: of the probe
 * @wrong: how often a block had another holder than it should, or contents
 */
static struct trial {
	struct ground ground[NR_GROUNDS];
	struct ground *here;
	enum handler_work work;
	size_t size;
	struct hits hits;
	unsigned long wrong;
} trial;

/* Blocks and their holders */

static void change_holder(struct ground *ground, void *block, enum holder from,
			  enum holder to)
{
	struct heap_region *region;
	size_t number;
	u32 i;

	for (i = 0; i < ground->heap->nr_regions; i++) {
		region = ground->heap->region[i];
		number = ((unsigned long)block - (unsigned long)region->core.base) / UNIT;
		if (number >= NR_UNITS)
			continue;
		if (atomic_cmpxchg(&ground->holder[i][number], from, to) != from)
			trial.wrong++;
		return;
	}
	trial.wrong++;
}

static struct held hold(struct ground *ground, void *block, size_t size,
			enum holder who)
{
	if (block) {
		change_holder(ground, block, NOBODY, who);
		memset(block, who, size);
	}
	return (struct held) { block, size };
}

static void let_go(struct ground *ground, struct held held, enum holder who)
{
	if (memchr_inv(held.block, who, held.size))
		trial.wrong++;
	change_holder(ground, held.block, who, NOBODY);
}

static struct held take(struct ground *ground, size_t size, size_t align,
			enum holder who)
{
	void *block;

	if (who == TASK)
		trial.size = size;
	block = align ? quarry_heap_alloc_aligned(ground->heap, size, align) :
			quarry_heap_alloc(ground->heap, size);
	if (block && align && !IS_ALIGNED((unsigned long)block, align))
		trial.wrong++;
	return hold(ground, block, size, who);
}

static void give(struct ground *ground, struct held held, enum holder who)
{
	if (!held.block)
		return;
	let_go(ground, held, who);
	quarry_heap_free(ground->heap, held.block);
}

/* The interrupt */

/* Most often of the size that the task is about to get, out of the same places. */
static struct held handler_take(struct ground *ground)
{
	size_t size = min_t(size_t, trial.size, 250);

	if (trial.hits.nr % 8 == 7)
		size = 8 + trial.hits.nr % 5 * 24;
	return take(ground, size, trial.hits.nr % 16 ? 0 : 16, HANDLER);
}

/* Blocks are kept from one hit to the next, so that the lists differ. */
static void handler_takes(struct ground *ground)
{
	struct held held;

	if (ground->nr_kept == MAX_KEPT)
		return;
	held = handler_take(ground);
	if (held.block)
		ground->kept[ground->nr_kept++] = held;
}

static void handler_gives(struct ground *ground)
{
	if (ground->nr_kept)
		give(ground, ground->kept[--ground->nr_kept], HANDLER);
}

/* In an NMI by what the context says; arm64 does not say so of a breakpoint. */
static bool as_nmi(void)
{
	if (in_nmi())
		return false;
	__preempt_count_add(NMI_OFFSET);
	return true;
}

static void no_nmi(bool was)
{
	if (was)
		__preempt_count_sub(NMI_OFFSET);
}

static int at_instruction(struct kprobe *probe, struct pt_regs *regs)
{
	struct ground *ground = trial.here;
	bool was;

	if (!hit_counts(&trial.hits))
		return 0;
	was = as_nmi();
	if (trial.work == PAIRS)
		give(ground, handler_take(ground), HANDLER);
	else if ((trial.hits.nr + trial.work) & 1)
		handler_takes(ground);
	else
		handler_gives(ground);
	no_nmi(was);
	return 0;
}

/* The work that is interrupted: all paths, in a few thousand instructions. */

static void work_mixed(struct ground *ground)
{
	static const size_t sizes[] = { 8, 24, 8, 100, 24, 8, 8, 40, 300, 24 };
	struct held held[ARRAY_SIZE(sizes)];
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		held[i] = take(ground, sizes[i], 0, TASK);
	/* With no free neighbour, one, and two. */
	for (i = 0; i < ARRAY_SIZE(sizes); i += 2)
		give(ground, held[i], TASK);
	for (i = 1; i < ARRAY_SIZE(sizes); i += 2)
		give(ground, held[i], TASK);
}

/* More of a size than a front has slots for; and cleared ones out of it. */
static void work_many(struct ground *ground)
{
	struct held held[20];
	int i;

	for (i = 0; i < ARRAY_SIZE(held); i++)
		held[i] = take(ground, 8, 0, TASK);
	for (i = 0; i < ARRAY_SIZE(held); i++)
		give(ground, held[i], TASK);
	for (i = 0; i < 2; i++)
		held[i] = hold(ground, quarry_heap_zalloc(ground->heap, 8), 8, TASK);
	for (i = 0; i < 2; i++)
		give(ground, held[i], TASK);
	/* And one of the next size serves a little less. */
	give(ground, take(ground, 200, 0, TASK), TASK);
	give(ground, take(ground, 190, 0, TASK), TASK);
}

static struct held resized(struct ground *ground, struct held held, size_t size)
{
	void *block;

	if (!held.block)
		return held;
	let_go(ground, held, TASK);
	block = quarry_heap_realloc(ground->heap, held.block, size);
	if (block && memchr_inv(block, TASK, min(size, held.size)))
		trial.wrong++;
	return block ? hold(ground, block, size, TASK) :
		       hold(ground, held.block, held.size, TASK);
}

static void work_sizes(struct ground *ground)
{
	struct held one = take(ground, 40, 16, TASK), two, zero;

	two = take(ground, 24, 16, TASK);
	zero = hold(ground, quarry_heap_zalloc(ground->heap, 56), 56, TASK);
	one = resized(ground, one, 72);		/* elsewhere */
	one = resized(ground, one, 16);
	if (two.block && quarry_heap_usable_size(ground->heap, two.block) < 24)
		trial.wrong++;
	give(ground, two, TASK);
	one = resized(ground, one, 20);
	give(ground, one, TASK);
	give(ground, zero, TASK);
}

/* As an NMI that finds the lock taken: all of that is done by the next holders. */
static void work_deferred(struct ground *ground)
{
	struct held held[DRAIN + 4];
	unsigned long flags;
	bool was;
	int i;

	for (i = 0; i < ARRAY_SIZE(held); i++)
		held[i] = take(ground, 200, 0, TASK);
	raw_spin_lock_irqsave(&ground->heap->lock, flags);
	was = as_nmi();
	if (quarry_heap_alloc(ground->heap, 400))
		trial.wrong++;
	for (i = 0; i < ARRAY_SIZE(held); i++)
		give(ground, held[i], TASK);
	no_nmi(was);
	raw_spin_unlock_irqrestore(&ground->heap->lock, flags);
	for (i = 0; i < 2; i++)
		give(ground, take(ground, 200, 0, TASK), TASK);
}

/* To the last block, and the NULL behind it, when fronts are flushed. */
static void work_exhausting(struct ground *ground)
{
	static const size_t sizes[] = { 900, 250, 100, 24 };
	static struct held held[80];
	unsigned int nr = 0, i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		while (nr < ARRAY_SIZE(held)) {
			held[nr] = take(ground, sizes[i], 0, TASK);
			if (!held[nr].block)
				break;
			nr++;
		}
	}
	while (nr--)
		give(ground, held[nr], TASK);
}

static void work_on(struct ground *ground)
{
	trial.here = ground;
	trial.hits.task = current;
	work_mixed(ground);	/* into the fronts, and out of them */
	work_mixed(ground);
	work_many(ground);
	work_sizes(ground);
	work_deferred(ground);
	work_exhausting(ground);
	quarry_heap_largest_free(ground->heap);
	heap_stats_of(ground->heap);
	quarry_heap_flush(ground->heap);
	trial.hits.task = NULL;
}

static unsigned long run_all_works(void)
{
	unsigned long hits = 0;
	int i;

	for (trial.work = 0; trial.work < NR_HANDLER_WORKS; trial.work++) {
		for (i = 0; i < NR_GROUNDS; i++) {
			trial.hits.nr = 0;
			work_on(&trial.ground[i]);
			hits += trial.hits.nr;
		}
		if (!hits)
			break;		/* the work does not come by here */
	}
	return hits;
}

/* The check */

static unsigned int held_now(const struct ground *ground)
{
	unsigned int held = 0, i;

	for (i = 0; i < MAX_REGIONS * NR_UNITS; i++)
		held += atomic_read(&ground->holder[i / NR_UNITS][i % NR_UNITS]) != NOBODY;
	return held;
}

static void expect_ground_whole(struct kunit *test, struct ground *ground,
				const char *name, unsigned long offset)
{
	struct quarry_heap_stats s;

	while (ground->nr_kept)
		handler_gives(ground);
	quarry_heap_flush(ground->heap);
	s = heap_stats_of(ground->heap);
	KUNIT_EXPECT_EQ_MSG(test, quarry_heap_verify(ground->heap), 0, "%s+%#lx: %s",
			    name, offset, capture.last);
	KUNIT_EXPECT_EQ_MSG(test, s.live, NR_IDLE, "%s+%#lx: blocks lost", name, offset);
	KUNIT_EXPECT_EQ_MSG(test, held_now(ground), NR_IDLE, "%s+%#lx", name, offset);
	KUNIT_EXPECT_EQ_MSG(test, s.allocs, s.frees + NR_IDLE, "%s+%#lx", name, offset);
	KUNIT_EXPECT_EQ_MSG(test, s.cached + s.pending, 0, "%s+%#lx: held back", name,
			    offset);
}

static void expect_whole(struct kunit *test, const char *name, unsigned long offset)
{
	int i;

	for (i = 0; i < NR_GROUNDS; i++)
		expect_ground_whole(test, &trial.ground[i], name, offset);
	KUNIT_EXPECT_EQ_MSG(test, trial.wrong, 0, "%s+%#lx: blocks with two holders",
			    name, offset);
	expect_progress(test, &trial.hits, name, offset);
	trial.wrong = 0;
}

static const struct probing probing = {
	.handler	= at_instruction,
	.run		= run_all_works,
	.check		= expect_whole,
};

/*
 * Those that the compiler may have put into their callers. Stack and router have some
 * of the same name.
 */
static const char * const functions[] = {
	"quarry:quarry_heap_alloc", "quarry:quarry_heap_zalloc",
	"quarry:quarry_heap_alloc_aligned", "quarry:quarry_heap_realloc",
	"quarry:quarry_heap_free", "quarry:quarry_heap_flush",
	"quarry:quarry_heap_usable_size", "quarry:quarry_heap_largest_free",
	"quarry:quarry_heap_get_stats", "quarry:quarry__heap_flush",
	"quarry:quarry__heap_lock", "quarry:quarry__heap_unlock",
	"quarry:quarry__heap_alloc", "quarry:quarry__heap_free",
	"quarry:quarry_heap_alloc/alloc_small",
	"quarry:quarry_heap_alloc/alloc_large",
	"quarry:quarry_heap_alloc/alloc_larger",
	"quarry:quarry_heap_alloc/alloc_listed",
	"quarry:quarry_heap_alloc/alloc_short",
	"quarry:quarry_heap_alloc/alloc_aligned",
	"quarry:quarry_heap_alloc/aligned_near",
	"quarry:quarry_heap_alloc/aligned_listed",
	"quarry:quarry_heap_alloc/take_any", "quarry:quarry_heap_alloc/try_lists",
	"quarry:quarry__heap_unlock_alarmed",
	"quarry:quarry_heap_flush/cached_region",
	"quarry:quarry__heap_live_block",
	"quarry:quarry_heap_alloc/free_listed",
	"quarry:quarry_heap_alloc/free_slow",
	"quarry:quarry_heap_alloc/free_aligned",
	"quarry:quarry_heap_alloc/free_large",
	"quarry:quarry_heap_alloc/free_missed",
	"quarry:quarry__heap_defer", "quarry:quarry__heap_drain",
	"quarry:quarry__heap_drain_all",
	"quarry:quarry_heap_flush/gather",
	"quarry:quarry__heap_flush_some",
	"quarry:quarry_heap_realloc/resize", "quarry:quarry_heap_realloc/move",
	"quarry:heap_core_alloc_aligned", "quarry:heap_core_free",
	"quarry:heap_core_resize", "quarry:heap_core_largest",
	"quarry:heap_core_alloc/buddy_alloc",
};

KUNIT_ARRAY_PARAM(function, functions, function_desc);

static void ground_create(struct kunit *test, struct ground *ground,
			  const struct quarry_heap_args *shape)
{
	struct quarry_heap_args args = *shape;
	int i;

	args.front = SZ_8K * num_possible_cpus();
	ground->heap = create_heap(test, "probed", REGION, &args);
	if (!args.flags)
		KUNIT_ASSERT_EQ(test, 0, quarry_heap_add_region(ground->heap, REGION, NULL));
	for (i = 0; i < NR_IDLE; i++)
		ground->idle[i] = take(ground, 16 + 40 * i, 0, TASK);
}

/* The works go all ways there are. */
static noinline void expect_all_ways(struct kunit *test)
{
	struct quarry_heap_stats s = heap_stats_of(trial.ground[0].heap);

	KUNIT_EXPECT_GT(test, s.hits, 0);
	KUNIT_EXPECT_GT(test, s.flushes, 0);
	KUNIT_EXPECT_GT(test, s.exhausted, 0);
	KUNIT_EXPECT_GT(test, s.moved, 0);
	KUNIT_EXPECT_GT(test, s.resized, 0);
	KUNIT_EXPECT_GT(test, s.nmi_failed, 0);
	KUNIT_EXPECT_GT(test, s.deferred, DRAIN);
}

static void interrupt_at_every_instruction(struct kunit *test)
{
	const char *name = *(const char * const *)test->param_value;
	unsigned long address, size;
	struct quarry_heap_stats s;
	int i, j;

	need_function(test, name, &address, &size);
	memset(&trial, 0, sizeof(trial));
	for (i = 0; i < NR_GROUNDS; i++)
		ground_create(test, &trial.ground[i], &shapes[i]);
	run_all_works();
	expect_whole(test, "no probe", 0);
	expect_all_ways(test);
	probe_function(test, &probing, name, address, size);
	for (i = 0; i < NR_GROUNDS; i++)
		for (j = 0; j < NR_IDLE; j++)
			give(&trial.ground[i], trial.ground[i].idle[j], TASK);
	s = heap_stats_of(trial.ground[1].heap);
	kunit_info(test, "without a front: NMI failed %llu, deferred %llu, of %llu",
		   s.nmi_failed, s.deferred, s.allocs);
}

/* A few by each who drops the lock, without anybody asking for a flush. */
static void deferred_frees_are_done_by_the_next_holders(struct kunit *test)
{
	const struct quarry_heap_args args = { .flags = QUARRY_HEAP_NO_FRONT };
	struct quarry_heap *heap = create_heap(test, "deferred", SZ_16K, &args);
	void *blocks[DRAIN + 1], *block;
	unsigned long flags;
	bool was;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		blocks[i] = quarry_heap_alloc(heap, 200);
	raw_spin_lock_irqsave(&heap->lock, flags);
	was = as_nmi();
	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		quarry_heap_free(heap, blocks[i]);
	no_nmi(was);
	raw_spin_unlock_irqrestore(&heap->lock, flags);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->pending), DRAIN + 1);
	block = quarry_heap_alloc(heap, 200);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->pending), 1);
	quarry_heap_free(heap, block);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->pending), 0);
	expect_heap_verified(test, heap);
}

static struct kunit_case probe_cases[] = {
	KUNIT_CASE(deferred_frees_are_done_by_the_next_holders),
	KUNIT_CASE_PARAM(interrupt_at_every_instruction, function_gen_params),
	{}
};

static struct kunit_suite probe_suite = {
	.name = "quarry_heap_probe",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = probe_cases,
};

kunit_test_suite(probe_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a heap and an interrupt at every instruction");
MODULE_LICENSE("GPL");
