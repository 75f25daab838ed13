// SPDX-License-Identifier: GPL-2.0-only
/*
 * Torture of heap and router: every context at once, with a verdict.
 *
 * All contexts (torture.h) take blocks of many sizes and alignments, write into each
 * a pattern that tells how large it is, where and whose, and leave it in an exchange
 * array; what somebody else left there they free, or make larger or smaller first:
 * most blocks are freed by another context or CPU than the one that took them. The
 * smaller ones of the heaps run full all the time, and the router that may fall back
 * comes to the system's allocator.
 *
 * The property: nobody but the owner writes to a live block, no block has two owners
 * or a part of another in it, a realloc keeps what fits, and none is lost. It is
 * broken when a pattern is not what its first word says it must be, when the table of
 * owners says that a block starts where one does already (or is not this owner's),
 * when after the end a block is live or a heap is not one free block again, the
 * figures do not add up, verify is not content, or another number of frees was
 * refused than were meant to be. Patterns are plain accesses and the table adds no
 * ordering, so that only the heap's own orders them.
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <quarry/quarry.h>
#include "torture.h"

#define NR_GROUNDS	ARRAY_SIZE(shapes)

enum { HEAP, ROUTER };

/**
 * struct shape - what is tortured
 * @name: of the object
 * @kind: HEAP or ROUTER
 * @size: bytes of a region
 * @regions: of a heap, all of @size
 * @front: of a heap's args
 * @max_words: of a request, but of one in 64
 * @max_log_align: of a request
 * @flags: of its args
 */
struct shape {
	const char *name;
	int kind;
	size_t size;
	unsigned int regions;
	size_t front;
	unsigned int max_words, max_log_align;
	unsigned int flags;
};

static const struct shape shapes[] = {
	{ "torture-heap", HEAP, SZ_256K, 1, SZ_64K, 40, 8 },
	{ "torture-scarce", HEAP, SZ_8K, 2, SZ_1M, 24, 6 },	/* runs full */
	{ "torture-no-front", HEAP, SZ_64K, 1, 0, 40, 8, QUARRY_HEAP_NO_FRONT },
	{ "torture-bounded", HEAP, SZ_64K, 1, 0, 40, 4, QUARRY_HEAP_BOUNDED },
	{ "torture-strict", ROUTER, SZ_64K, 1, 0, 70, 6, QUARRY_ROUTER_STRICT },
	{ "torture-router", ROUTER, 48 * SZ_1K, 1, 0, 70, 6 },
};

enum {
	TORN,		/* the pattern is not the owner's */
	TWICE,		/* taken while somebody has it */
	STOLEN,		/* freed, and not the owner's any more */
	STRANGE,	/* not where blocks are, misaligned, or too small */
	DIRTY,		/* not zero, of a zalloc */
	DROPPED,	/* contents, by a realloc */
};

/**
 * struct ground - one heap or router and what goes with it
 * @heap: a heap
 * @router: or a router
 * @memory: its region, lent to it
 * @size: bytes of it
 * @whole: of a heap, the largest free block when it was new
 * @owners: cookie of each block's owner, by its address; 0 when none starts there
 * @wrong: frees that were meant to be refused
 * @exchange: blocks left for others
 */
struct ground {
	struct quarry_heap *heap;
	struct quarry_router *router;
	u8 *memory;
	size_t size, whole;
	atomic64_t *owners;
	atomic64_t wrong;
	u64 *exchange[NR_EXCHANGE];
};

static struct ground grounds[NR_GROUNDS];
static DEFINE_PER_CPU(struct hand, hands);

static const struct shape *shape_of(const struct ground *ground)
{
	return &shapes[ground - grounds];
}

/* Heap or router */

/* How a router may ask the system; it knows itself where that is not allowed. */
static gfp_t some_gfp(struct actor *actor)
{
	static const gfp_t gfps[] = { 0, GFP_ATOMIC, GFP_KERNEL, GFP_KERNEL };

	/* There lockdep takes a hard interrupt for one of PREEMPT_RT. */
	if (IS_ENABLED(CONFIG_PROVE_RAW_LOCK_NESTING) && irqs_disabled())
		return 0;
	return gfps[draw(actor) % ARRAY_SIZE(gfps)] | __GFP_NOWARN;
}

static u64 *ground_alloc(struct ground *ground, struct actor *actor, size_t size,
			 unsigned int log_align, bool zero)
{
	gfp_t gfp;

	if (ground->heap)
		return zero ? quarry_heap_zalloc(ground->heap, size) :
		       quarry_heap_alloc_aligned(ground->heap, size, BIT(log_align));
	gfp = some_gfp(actor);
	return zero ? quarry_router_zalloc(ground->router, size, gfp) :
	       quarry_router_alloc_aligned(ground->router, size, BIT(log_align), gfp);
}

static u64 *ground_realloc(struct ground *ground, struct actor *actor, u64 *block,
			   size_t size)
{
	if (ground->heap)
		return quarry_heap_realloc(ground->heap, block, size);
	return quarry_router_realloc(ground->router, block, size, some_gfp(actor));
}

static void ground_free(struct ground *ground, void *block)
{
	if (ground->heap)
		quarry_heap_free(ground->heap, block);
	else
		quarry_router_free(ground->router, block);
}

static size_t ground_usable(struct ground *ground, const void *block)
{
	return ground->heap ? quarry_heap_usable_size(ground->heap, block) :
			      quarry_router_usable_size(ground->router, block);
}

/* Blocks and their owners */

/* By address; -1: from the system, which only one of them may ask. */
static long index_of(struct ground *ground, const u64 *block)
{
	size_t offset = (u8 *)block - ground->memory;

	return offset < ground->size ? offset / sizeof(u64) : -1;
}

static bool may_be_outside(const struct ground *ground)
{
	return ground->router && !(shape_of(ground)->flags & QUARRY_ROUTER_STRICT);
}

static void sign(struct ground *ground, struct actor *actor, u64 *block,
		 unsigned int words)
{
	long index = index_of(ground, block);
	u64 cookie = new_cookie(actor, words);

	actor->took++;
	if (index < 0 && !may_be_outside(ground)) {
		trouble(STRANGE, shape_of(ground)->name, index);
		return;
	}
	if (index >= 0 && atomic64_cmpxchg_relaxed(&ground->owners[index], 0, cookie))
		trouble(TWICE, shape_of(ground)->name, index);
	write_words(block, index, words, cookie);
}

/* Before a free: is all as its owner left it? What its first word says. */
static u64 inspect(struct ground *ground, struct actor *actor, u64 *block)
{
	size_t usable = ground_usable(ground, block);
	const char *name = shape_of(ground)->name;
	long index = index_of(ground, block);
	u64 cookie = block[0];

	actor->gave++;
	if (cookie_words(cookie) * sizeof(u64) > usable ||
	    !words_are(block, index, cookie_words(cookie), cookie)) {
		trouble(TORN, name, index);
		return 0;
	}
	if (index >= 0 &&
	    atomic64_cmpxchg_relaxed(&ground->owners[index], cookie, 0) != cookie)
		trouble(STOLEN, name, index);
	return cookie;
}

static unsigned int some_words(struct ground *ground, struct actor *actor)
{
	unsigned int most = shape_of(ground)->max_words;

	return 1 + draw(actor) % (draw(actor) % 64 ? most : 8 * most);
}

static u64 *take(struct ground *ground, struct actor *actor)
{
	unsigned int words = some_words(ground, actor), log_align = 3;
	bool zero = draw(actor) % 8 == 0;
	u64 *block;

	if (!zero && draw(actor) % 8 == 0)
		log_align += draw(actor) % (shape_of(ground)->max_log_align - 2);
	block = ground_alloc(ground, actor, words * sizeof(u64), log_align, zero);
	if (!block) {
		actor->dry++;
		return NULL;
	}
	if (!IS_ALIGNED((unsigned long)block, BIT(log_align)))
		trouble(STRANGE, shape_of(ground)->name, index_of(ground, block));
	if (zero && memchr_inv(block, 0, words * sizeof(u64)))
		trouble(DIRTY, shape_of(ground)->name, index_of(ground, block));
	sign(ground, actor, block, words);
	return block;
}

static void give(struct ground *ground, struct actor *actor, u64 *block)
{
	if (!block)
		return;
	inspect(ground, actor, block);
	ground_free(ground, block);
}

/* Larger or smaller, maybe elsewhere; what fits is as it was. */
static u64 *resize(struct ground *ground, struct actor *actor, u64 *block)
{
	u64 cookie = inspect(ground, actor, block), *moved;
	unsigned int words = some_words(ground, actor);
	long index = index_of(ground, block);

	moved = ground_realloc(ground, actor, block, words * sizeof(u64));
	if (!moved) {
		actor->dry++;
		moved = block;
		words = max(cookie_words(cookie), 1);
	}
	if (!words_are(moved, index, min(words, cookie_words(cookie)), cookie))
		trouble(DROPPED, shape_of(ground)->name, index_of(ground, moved));
	sign(ground, actor, moved, words);
	return moved;
}

/* Leave a block for somebody, free what was left for us. */
static void swap_one(struct ground *ground, struct actor *actor, bool resized)
{
	u32 slot = draw(actor) % NR_EXCHANGE;
	u64 *block = draw(actor) % 4 ? take(ground, actor) : NULL;

	block = xchg(&ground->exchange[slot], block);
	if (block && resized)
		block = resize(ground, actor, block);
	give(ground, actor, block);
}

/* A free that has to be refused: inside a block of ours, or in another's name. */
static void free_wrongly(struct ground *ground, struct actor *actor)
{
	struct ground *other = &grounds[draw(actor) % NR_GROUNDS];
	u64 *block = take(ground, actor);
	u8 *wrong = (u8 *)block;

	if (!block)
		return;
	if (other == ground)
		wrong += 1 + draw(actor) % (cookie_words(block[0]) * sizeof(u64) - 1);
	actor->wrong++;
	atomic64_inc(&other->wrong);
	ground_free(other, wrong);
	give(ground, actor, block);
}

static void act(struct actor *actor, unsigned int nr)
{
	WRITE_ONCE(actor->turns, actor->turns + 1);	/* read by the timers */
	while (nr--) {
		struct ground *ground = &grounds[draw(actor) % NR_GROUNDS];
		u32 dice = draw(actor) % 1024;

		if (dice < 3)
			free_wrongly(ground, actor);
		else
			swap_one(ground, actor, dice < 256);
	}
}

/* Some blocks stay long: a hand of them, freed when the next hand is taken. */
static void change_hand(unsigned int cpu, bool again)
{
	struct actor *actor = &per_cpu_ptr(&stations, cpu)->actor[THREAD];
	u64 **hand = per_cpu(hands, cpu).block;
	unsigned int i;

	for (i = 0; i < NR_HAND; i++) {
		struct ground *ground = &grounds[i % NR_GROUNDS];

		give(ground, actor, hand[i]);
		hand[i] = again ? take(ground, actor) : NULL;
	}
}

static void refresh_hand(unsigned int cpu)
{
	if (draw(&per_cpu_ptr(&stations, cpu)->actor[THREAD]) % 64 == 0)
		change_hand(cpu, true);
}

static void empty_hand(unsigned int cpu)
{
	change_hand(cpu, false);
}

/* Grounds */

static void drain(void)
{
	struct actor *actor = &per_cpu_ptr(&stations, 0)->actor[THREAD];
	int i, slot;

	for (i = 0; i < NR_GROUNDS; i++)
		for (slot = 0; slot < NR_EXCHANGE; slot++)
			give(&grounds[i], actor,
			     xchg(&grounds[i].exchange[slot], NULL));
}

static void grounds_destroy(void)
{
	int i;

	drain();
	for (i = 0; i < NR_GROUNDS; i++) {
		quarry_heap_destroy(grounds[i].heap);
		quarry_router_destroy(grounds[i].router);
		vfree(grounds[i].memory);
		vfree(grounds[i].owners);
	}
}

/* The regions of a heap are parts of its memory, one behind the other. */
static int heap_create(struct ground *ground, const struct shape *shape)
{
	const struct quarry_heap_args args = {
		.flags = shape->flags, .front = shape->front,
		.memory = ground->memory, .memory_size = shape->size,
	};
	struct quarry_heap *heap = quarry_heap_create(shape->name, shape->size, &args);
	unsigned int i;
	int err = 0;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	ground->heap = heap;
	for (i = 1; !err && i < shape->regions; i++)
		err = quarry_heap_add_region(heap, shape->size,
					     ground->memory + i * shape->size);
	ground->whole = quarry_heap_largest_free(heap);
	return err;
}

/* What a class has not the heap has, for a while. */
static int router_create(struct ground *ground, const struct shape *shape)
{
	static const struct quarry_router_class classes[] = {
		{ 16, 8 }, { 32, 8 }, { 64, 8 }, { 128, 8 }, { 320, 16 }, { 512, 16 },
	};
	const struct quarry_router_args args = {
		.flags = shape->flags, .memory = ground->memory,
		.memory_size = shape->size, .classes = classes,
		.nr_classes = ARRAY_SIZE(classes), .system_max = 64,
	};
	struct quarry_router *router = quarry_router_create(shape->name, shape->size,
							    &args);

	if (IS_ERR(router))
		return PTR_ERR(router);
	ground->router = router;
	return 0;
}

static int ground_create(struct ground *ground, const struct shape *shape)
{
	ground->size = shape->size * shape->regions;
	ground->memory = vmalloc(ground->size);
	ground->owners = vzalloc(array_size(ground->size / sizeof(u64),
					    sizeof(*ground->owners)));
	if (!ground->memory || !ground->owners)
		return -ENOMEM;
	return shape->kind == HEAP ? heap_create(ground, shape) :
				     router_create(ground, shape);
}

static int grounds_create(void)
{
	int i, err = 0;

	for (i = 0; !err && i < NR_GROUNDS; i++)
		err = ground_create(&grounds[i], &shapes[i]);
	return err;
}

/* The verdict */

static void judge_heap(struct ground *ground, const char *name)
{
	struct quarry_heap_stats s;

	quarry_heap_flush(ground->heap);
	quarry_heap_get_stats(ground->heap, &s);
	expect(name, "live", s.live, 0);
	expect(name, "allocs", s.allocs, s.frees);
	expect(name, "cached", s.cached, 0);
	expect(name, "pending", s.pending, 0);
	expect(name, "in use", s.bytes_in_use, 0);
	expect(name, "corrupt", s.corrupt + s.fenced, 0);
	expect(name, "refused", s.refused, atomic64_read(&ground->wrong));
	expect(name, "largest free", quarry_heap_largest_free(ground->heap),
	       ground->whole);
	expect(name, "verify", -quarry_heap_verify(ground->heap), 0);
}

static void judge_router(struct ground *ground, const char *name)
{
	struct quarry_router_stats s;

	quarry_router_get_stats(ground->router, &s);
	expect(name, "live", s.live, 0);
	expect(name, "allocs", s.allocs, s.frees);
	expect(name, "hits", s.hits + s.fell_back, s.allocs);
	expect(name, "system live", s.system_live + s.bytes_system, 0);
	expect(name, "in use", s.bytes_in_use, 0);
	expect(name, "refused", s.refused, atomic64_read(&ground->wrong));
	if (!may_be_outside(ground))
		expect(name, "fell back", s.fell_back + s.system_allocs, 0);
	expect(name, "verify", -quarry_router_verify(ground->router), 0);
}

static void judge(void)
{
	int i;

	drain();
	for (i = 0; i < NR_GROUNDS; i++) {
		if (grounds[i].heap)
			judge_heap(&grounds[i], shapes[i].name);
		else
			judge_router(&grounds[i], shapes[i].name);
	}
	expect_all_given();
}

/* Whether it came by where it was to come by. */
static void show(struct seq_file *seq)
{
	struct quarry_router_stats router;
	struct quarry_heap_stats all = { }, s;
	int i;

	for (i = 0; i < NR_GROUNDS; i++) {
		if (!grounds[i].heap) {		/* the last of them stays */
			quarry_router_get_stats(grounds[i].router, &router);
			continue;
		}
		quarry_heap_get_stats(grounds[i].heap, &s);
		all.hits += s.hits;
		all.exhausted += s.exhausted;
		all.flushes += s.flushes;
		all.deferred += s.deferred;
		all.nmi_failed += s.nmi_failed;
		all.resized += s.resized;
		all.moved += s.moved;
	}
	seq_printf(seq, "hits: %llu\nexhausted: %llu\nflushes: %llu\n", all.hits,
		   all.exhausted, all.flushes);
	seq_printf(seq, "deferred: %llu\nnmi_failed: %llu\n", all.deferred,
		   all.nmi_failed);
	seq_printf(seq, "resized: %llu\nmoved: %llu\n", all.resized, all.moved);
	seq_printf(seq, "class_full: %llu\nheap_full: %llu\n", router.class_full,
		   router.heap_full);
	seq_printf(seq, "system_allocs: %llu\nsystem_deferred: %llu\n",
		   router.system_allocs, router.system_deferred);
}

static const struct torture torture = {
	.make		= grounds_create,
	.unmake		= grounds_destroy,
	.act		= act,
	.linger		= refresh_hand,
	.leave		= empty_hand,
	.judge		= judge,
	.show		= show,
	.troubles	= {
		[TORN]		= "torn",
		[TWICE]		= "twice",
		[STOLEN]	= "stolen",
		[STRANGE]	= "strange",
		[DIRTY]		= "dirty",
		[DROPPED]	= "dropped",
	},
};

MODULE_DESCRIPTION("Torture of quarry's heaps and routers in every context, with a verdict");
MODULE_LICENSE("GPL");
