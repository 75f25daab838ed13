// SPDX-License-Identifier: GPL-2.0-only
/*
 * mode=heap: allocators of many sizes under a random workload, in instructions.
 *
 * A live set is filled and then replaced at random, one free and one alloc at a
 * time, each a sample of its own. Sizes are 17 to 4096 bytes: an octave of eight,
 * each as likely as the next (loguni) or half as likely as the one below
 * (halving), and even within it. The same sequence for every allocator.
 */
#include <linux/genalloc.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <quarry/heap.h>

#include "bench.h"

#define ARENA		SZ_32M
#define LARGE_ARENA	SZ_256M
#define REPLACEMENTS	50000
#define MAX_LIVE	100000

struct set {
	void **block;
	u32 *size;
	u32 nr;
	bool halving;
	u64 random;
	struct bench_samples alloc, free;
	u64 alloc_sum, free_sum;
	u32 alloc_clean, free_clean;
};

static u32 next_size(struct set *set)
{
	u32 random = bench_random(&set->random);
	u32 octave = set->halving ? __ffs(random | 0x80) : random & 7;

	return (16U << octave) + 1 + bench_random(&set->random) % (16U << octave);
}

static int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static void note(struct bench_samples *samples, u64 cost, u64 before, u64 *sum,
		 u32 *clean)
{
	if (bench_disturbances() != before)
		return;
	*sum += cost;
	*clean += 1;
	bench_record(samples, cost, before);
}

/*
 * One instance a kind: with functions known at compile time, their calls stand in the
 * loop.
 */
static __always_inline int run(void *handle, struct set *set, u32 replacements,
			       void *(*take)(void *handle, size_t size),
			       void (*give)(void *handle, void *block, size_t size))
{
	u32 i, pick;

	for (i = 0; i < set->nr; i++) {
		u32 size = next_size(set);

		set->size[i] = size;
		set->block[i] = take(handle, size);
		if (!set->block[i])
			return -ENOMEM;
		cond_resched();
	}
	for (i = 0; i < replacements; i++) {
		u64 before = bench_disturbances(), start, end;
		u32 size;
		void *block;

		pick = bench_random(&set->random) % set->nr;
		block = set->block[pick];
		size = set->size[pick];
		start = bench_clock();
		give(handle, block, size);
		end = bench_clock();
		note(&set->free, end - start, before, &set->free_sum,
		     &set->free_clean);
		size = next_size(set);
		set->size[pick] = size;
		before = bench_disturbances();
		start = bench_clock();
		block = take(handle, size);
		if (unlikely(!block))
			return -ENOMEM;
		end = bench_clock();
		note(&set->alloc, end - start, before, &set->alloc_sum,
		     &set->alloc_clean);
		set->block[pick] = block;
		cond_resched();
	}
	for (i = 0; i < set->nr; i++)
		give(handle, set->block[i], set->size[i]);
	return 0;
}

static noinline void *empty_alloc(void *handle, size_t size)
{
	barrier();
	return handle;
}

static noinline void empty_free(void *handle, void *block)
{
	barrier();
}

static __always_inline void empty_give(void *handle, void *block, size_t size)
{
	empty_free(handle, block);
}

static __always_inline void *heap_take(void *handle, size_t size)
{
	return quarry_heap_alloc(handle, size);
}

static __always_inline void heap_give(void *handle, void *block, size_t size)
{
	quarry_heap_free(handle, block);
}

static __always_inline void *kmalloc_take(void *handle, size_t size)
{
	return kmalloc(size, GFP_ATOMIC);
}

static __always_inline void kmalloc_give(void *handle, void *block, size_t size)
{
	kfree(block);
}

static __always_inline void *genpool_take(void *handle, size_t size)
{
	return (void *)gen_pool_alloc(handle, size);
}

static __always_inline void genpool_give(void *handle, void *block, size_t size)
{
	gen_pool_free(handle, (unsigned long)block, size);
}

static int run_empty(void *handle, struct set *set, u32 replacements)
{
	return run(handle, set, replacements, empty_alloc, empty_give);
}

static int run_heap(void *handle, struct set *set, u32 replacements)
{
	return run(handle, set, replacements, heap_take, heap_give);
}

static int run_kmalloc(void *handle, struct set *set, u32 replacements)
{
	return run(handle, set, replacements, kmalloc_take, kmalloc_give);
}

static int run_genpool(void *handle, struct set *set, u32 replacements)
{
	return run(handle, set, replacements, genpool_take, genpool_give);
}

static void *heap_create(size_t bytes, unsigned int flags)
{
	struct quarry_heap_args args = { .flags = flags };

	return quarry_heap_create("bench", bytes, &args);
}

static void heap_destroy(void *handle)
{
	struct quarry_heap_stats stats;

	quarry_heap_get_stats(handle, &stats);
	pr_info("quarry_bench:   hits %llu of %llu allocs, peak %llu bytes\n",
		stats.hits, stats.allocs, stats.bytes_peak);
	quarry_heap_destroy(handle);
}

static void *memory;

static void *genpool_create(size_t bytes, unsigned int best)
{
	struct gen_pool *pool = gen_pool_create(4, -1);

	memory = vmalloc(bytes);
	if (!pool || !memory || gen_pool_add(pool, (unsigned long)memory, bytes, -1))
		return ERR_PTR(-ENOMEM);
	if (best)
		gen_pool_set_algo(pool, gen_pool_best_fit, NULL);
	return pool;
}

static void genpool_destroy(void *handle)
{
	gen_pool_destroy(handle);
	vfree(memory);
}

static void *nothing_create(size_t bytes, unsigned int flags)
{
	return &memory;
}

static void nothing_destroy(void *handle)
{
}

struct contender {
	const char *name;
	void *(*create)(size_t bytes, unsigned int flags);
	void (*destroy)(void *handle);
	int (*run)(void *handle, struct set *set, u32 replacements);
	unsigned int flags;
	u32 replacements;
	bool any_live;		/* at 10 to 100 000 live too */
};

static const struct contender contenders[] = {
	{ "empty", nothing_create, nothing_destroy, run_empty, 0, REPLACEMENTS, true },
	{ "quarry_heap", heap_create, heap_destroy, run_heap, 0, REPLACEMENTS, true },
	{ "quarry_heap, no front", heap_create, heap_destroy, run_heap,
	  QUARRY_HEAP_NO_FRONT, REPLACEMENTS, true },
	{ "quarry_heap, bounded", heap_create, heap_destroy, run_heap,
	  QUARRY_HEAP_BOUNDED, REPLACEMENTS, true },
	{ "kmalloc", nothing_create, nothing_destroy, run_kmalloc, 0, REPLACEMENTS, false },
	{ "gen_pool, first fit", genpool_create, genpool_destroy, run_genpool, 0,
	  3000, false },
	{ "gen_pool, best fit", genpool_create, genpool_destroy, run_genpool, 1,
	  3000, false },
};

static int measure(const struct contender *c, struct set *set, u32 live,
		   bool halving, u64 *loop)
{
	void *handle = c->create(live > 10000 ? LARGE_ARENA : ARENA, c->flags);
	u32 alloc_max, free_max;
	u64 pair;
	int ret;

	if (IS_ERR(handle))
		return PTR_ERR(handle);
	set->nr = live;
	set->halving = halving;
	set->random = BENCH_SEED;
	set->alloc.nr = 0;
	set->free.nr = 0;
	set->alloc_sum = 0;
	set->free_sum = 0;
	set->alloc_clean = 0;
	set->free_clean = 0;
	ret = c->run(handle, set, c->replacements);
	c->destroy(handle);
	if (ret)
		return ret;
	sort(set->alloc.value, set->alloc.nr, sizeof(u32), compare_u32, NULL);
	sort(set->free.value, set->free.nr, sizeof(u32), compare_u32, NULL);
	alloc_max = set->alloc.value[set->alloc.nr - 1];
	free_max = set->free.value[set->free.nr - 1];
	pair = 10 * set->alloc_sum / set->alloc_clean +
	       10 * set->free_sum / set->free_clean;
	if (c->run == run_empty) {
		loop[0] = set->alloc.value[0];
		loop[1] = set->free.value[0];
	}
	pair -= 10 * (loop[0] + loop[1]);
	pr_info("quarry_bench: heap: %-22s %-7s %6u live: pair mean %llu.%llu, alloc min %llu p50 %llu p99 %llu max %llu, free min %llu p50 %llu p99 %llu max %llu\n",
		c->name, halving ? "halving" : "loguni", live, pair / 10, pair % 10,
		set->alloc.value[0] - loop[0],
		set->alloc.value[set->alloc.nr / 2] - loop[0],
		set->alloc.value[set->alloc.nr * 99 / 100] - loop[0],
		alloc_max - loop[0],
		set->free.value[0] - loop[1],
		set->free.value[set->free.nr / 2] - loop[1],
		set->free.value[set->free.nr * 99 / 100] - loop[1],
		free_max - loop[1]);
	return 0;
}

int bench_heap(void)
{
	static const u32 lives[] = { 10000, 10, 1000, 100000 };
	struct set set = {};
	u64 loop[2] = {};
	int ret = -ENOMEM;
	size_t i, j;

	set.block = vmalloc(MAX_LIVE * sizeof(void *));
	set.size = vmalloc(MAX_LIVE * sizeof(u32));
	set.alloc.max = REPLACEMENTS;
	set.free.max = REPLACEMENTS;
	set.alloc.value = vmalloc(REPLACEMENTS * sizeof(u32));
	set.free.value = vmalloc(REPLACEMENTS * sizeof(u32));
	if (!set.block || !set.size || !set.alloc.value || !set.free.value)
		goto out;
	for (j = 0; j < 2 * ARRAY_SIZE(lives); j++) {
		for (i = 0; i < ARRAY_SIZE(contenders); i++) {
			if (j > 1 && !contenders[i].any_live)
				continue;
			ret = measure(&contenders[i], &set, lives[j / 2], j % 2 == 0, loop);
			if (ret)
				pr_err("quarry_bench: %s: %d\n", contenders[i].name, ret);
		}
	}
out:
	vfree(set.block);
	vfree(set.size);
	vfree(set.alloc.value);
	vfree(set.free.value);
	return ret;
}
