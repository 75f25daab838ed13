// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarry's allocators of any size: the heap, with its per-CPU fronts, without, and
 * bounded; and the router.
 */
#include <linux/err.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <quarry/quarry.h>

#include "bench.h"

/* What they take when no sizes are given. */
static size_t row_size;

/* For bench_blocks of row_size, with room to spare or exactly; or for all sizes. */
static void *make_heap(size_t size, unsigned int flags)
{
	const struct quarry_heap_args args = { .flags = flags };
	size_t each = flags & QUARRY_HEAP_BOUNDED ? quarry_heap_buddy(size) :
						    size + QUARRY_HEAP_HEADER;
	size_t bytes = 2 * bench_blocks * roundup_pow_of_two(size + 16) + SZ_1M;

	if (!size)
		bytes = bench_bytes;
	else if (bench_tight)
		bytes = bench_blocks * each + QUARRY_HEAP_OVERHEAD;
	row_size = size;
	return quarry_heap_create("bench", bytes, &args);
}

static void *heap_create(size_t size)
{
	return make_heap(size, 0);
}

static void *lists_create(size_t size)
{
	return make_heap(size, QUARRY_HEAP_NO_FRONT);
}

static void *bounded_create(size_t size)
{
	return make_heap(size, QUARRY_HEAP_BOUNDED);
}

static void heap_destroy(void *handle)
{
	quarry_heap_destroy(handle);
}

static __always_inline void heap_free(void *handle, void *block, size_t size)
{
	quarry_heap_free(handle, block);
}

#define BENCH_NAME			heap
#define BENCH_LABEL			"quarry_heap"
#define BENCH_CREATE			heap_create
#define BENCH_DESTROY			heap_destroy
#define BENCH_ALLOC(handle)		quarry_heap_alloc(handle, row_size)
#define BENCH_FREE(handle, block)	heap_free(handle, block, 0)
#define BENCH_ALLOC_SIZED(handle, size)		quarry_heap_alloc(handle, size)
#define BENCH_FREE_SIZED(handle, block, size)	heap_free(handle, block, size)
#include "template.h"

#define BENCH_NAME			heap_lists
#define BENCH_LABEL			"quarry_heap:no-front"
#define BENCH_CREATE			lists_create
#define BENCH_DESTROY			heap_destroy
#define BENCH_ALLOC(handle)		quarry_heap_alloc(handle, row_size)
#define BENCH_FREE(handle, block)	heap_free(handle, block, 0)
#define BENCH_ALLOC_SIZED(handle, size)		quarry_heap_alloc(handle, size)
#define BENCH_FREE_SIZED(handle, block, size)	heap_free(handle, block, size)
#include "template.h"

#define BENCH_NAME			heap_bounded
#define BENCH_LABEL			"quarry_heap:bounded"
#define BENCH_CREATE			bounded_create
#define BENCH_DESTROY			heap_destroy
#define BENCH_ALLOC(handle)		quarry_heap_alloc(handle, row_size)
#define BENCH_FREE(handle, block)	heap_free(handle, block, 0)
#define BENCH_ALLOC_SIZED(handle, size)		quarry_heap_alloc(handle, size)
#define BENCH_FREE_SIZED(handle, block, size)	heap_free(handle, block, size)
#include "template.h"

/*
 * What the heap might have been: one heap without a front for each CPU, which divides the
 * memory. A block goes back to where it came from.
 */
struct split {
	unsigned int nr;
	struct quarry_heap *heap[];
};

static void split_destroy(void *handle)
{
	struct split *split = handle;
	unsigned int i;

	for (i = 0; i < split->nr; i++)
		quarry_heap_destroy(split->heap[i]);
	kfree(split);
}

static void *split_create(size_t size)
{
	unsigned int nr = num_online_cpus();
	struct split *split = kzalloc(struct_size(split, heap, nr), GFP_KERNEL);
	void *heap;

	if (!split)
		return ERR_PTR(-ENOMEM);
	while (split->nr < nr) {
		heap = make_heap(size, QUARRY_HEAP_NO_FRONT);
		if (IS_ERR(heap)) {
			split_destroy(split);
			return heap;
		}
		split->heap[split->nr++] = heap;
	}
	return split;
}

static __always_inline void *split_alloc(void *handle, size_t size)
{
	struct split *split = handle;

	return quarry_heap_alloc(split->heap[raw_smp_processor_id() % split->nr], size);
}

static __always_inline void split_free(void *handle, void *block)
{
	struct split *split = handle;
	unsigned int i = raw_smp_processor_id() % split->nr;

	while (!quarry_heap_owns(split->heap[i], block))
		i = i ? i - 1 : split->nr - 1;
	quarry_heap_free(split->heap[i], block);
}

#define BENCH_NAME			heap_split
#define BENCH_LABEL			"quarry_heap:split"
#define BENCH_CREATE			split_create
#define BENCH_DESTROY			split_destroy
#define BENCH_ALLOC(handle)		split_alloc(handle, row_size)
#define BENCH_FREE(handle, block)	split_free(handle, block)
#include "template.h"

/*
 * A class for row_size, or the default ones and a heap behind, among which the region
 * is divided: twice the size. Never the system.
 */
static void *router_create(size_t size)
{
	const struct quarry_router_class class = { size, bench_blocks };
	const struct quarry_router_args args = {
		.classes = size ? &class : NULL,
		.nr_classes = size ? 1 : 0,
		.flags = QUARRY_ROUTER_STRICT,
	};

	row_size = size;
	return quarry_router_create("bench", size ? 0 : 2 * bench_bytes, &args);
}

static void router_destroy(void *handle)
{
	quarry_router_destroy(handle);
}

static __always_inline void router_free(void *handle, void *block, size_t size)
{
	quarry_router_free(handle, block);
}

#define BENCH_NAME			router
#define BENCH_LABEL			"quarry_router"
#define BENCH_CREATE			router_create
#define BENCH_DESTROY			router_destroy
#define BENCH_FINITE
#define BENCH_ALLOC(handle)		quarry_router_alloc(handle, row_size, 0)
#define BENCH_FREE(handle, block)	router_free(handle, block, 0)
#define BENCH_ALLOC_SIZED(handle, size)		quarry_router_alloc(handle, size, 0)
#define BENCH_FREE_SIZED(handle, block, size)	router_free(handle, block, size)
#include "template.h"
