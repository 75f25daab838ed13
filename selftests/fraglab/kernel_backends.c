// SPDX-License-Identifier: GPL-2.0-only
/*
 * quarry_fraglab: the allocators. Requests in atomic context, since interrupts are off
 * while one is measured. What a peer asks its caller to remember (a size, a node) is
 * kept here, and the few instructions for it are counted to the peer.
 */
#include <linux/err.h>
#include <linux/genalloc.h>
#include <linux/log2.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <quarry/heap.h>

#ifdef FRAGLAB_HAVE_DRM_MM
#include <drm/drm_mm.h>
#endif

#include "kernel.h"

static void *nothing_create(size_t bytes)
{
	return (void *)1;
}

static void nothing_destroy(void *handle)
{
}

/* An address that nothing looks at */
static noinline size_t empty_alloc(void *handle, size_t size, size_t align)
{
	barrier();
	return 0;
}

static noinline void empty_free(void *handle, size_t at)
{
	barrier();
}

static struct extent no_extent(void *handle, size_t at)
{
	return (struct extent){ at, 0 };
}

const struct backend backend_empty = {
	.name = "empty", .unbounded = true, .any_align = true,
	.create = nothing_create, .destroy = nothing_destroy, .alloc = empty_alloc,
	.free = empty_free, .extent = no_extent,
};

/* quarry_heap: the module that the tests load, fronts and all */

static void *heap_create_with(size_t bytes, unsigned int flags, size_t front)
{
	struct quarry_heap_args args = { .flags = flags, .front = front };
	struct quarry_heap *heap = quarry_heap_create("fraglab", bytes, &args);

	return IS_ERR(heap) ? NULL : heap;
}

static void *heap_create(size_t bytes)
{
	return heap_create_with(bytes, 0, 0);
}

static void *bounded_create(size_t bytes)
{
	return heap_create_with(bytes, QUARRY_HEAP_BOUNDED, 0);
}

/* A third more than what is live, an eighth of which CPUs may keep */
static void *roomy_create(size_t bytes)
{
	return heap_create_with(bytes, 0, bytes / 8);
}

static void heap_destroy(void *handle)
{
	quarry_heap_destroy(handle);
}

static size_t heap_alloc(void *handle, size_t size, size_t align)
{
	void *block = align <= QUARRY_HEAP_ALIGN ?
		quarry_heap_alloc(handle, size) :
		quarry_heap_alloc_aligned(handle, size, align);

	return block ? (size_t)block : NOWHERE;
}

static void heap_free(void *handle, size_t at)
{
	quarry_heap_free(handle, (void *)at);
}

static struct extent heap_extent(void *handle, size_t at)
{
	return (struct extent){
		at - QUARRY_HEAP_HEADER,
		quarry_heap_usable_size(handle, (void *)at) + QUARRY_HEAP_HEADER
	};
}

static bool heap_verify(void *handle)
{
	return !quarry_heap_verify(handle);
}

#define HEAP(label, how, room) {					\
	.name = label, .header = QUARRY_HEAP_HEADER, .drains = true,	\
	.create = how, .destroy = heap_destroy, .alloc = heap_alloc,	\
	.free = heap_free, .extent = heap_extent, .verify = heap_verify, \
	.percent = room,						\
}

static const struct backend heap = HEAP("quarry_heap", heap_create, 0);
static const struct backend bounded = HEAP("quarry_heap:bounded", bounded_create, 0);
static const struct backend roomy = HEAP("quarry_heap:roomy", roomy_create, 133);

/* kmalloc: aligned to more than 8 bytes it is asked for a power of two */

static size_t kmalloc_alloc(void *handle, size_t size, size_t align)
{
	void *block;

	if (align > 8)
		size = roundup_pow_of_two(max(size, align));
	block = kmalloc(size, GFP_ATOMIC | __GFP_NOWARN);
	return block ? (size_t)block : NOWHERE;
}

static void kmalloc_free(void *handle, size_t at)
{
	kfree((void *)at);
}

static struct extent kmalloc_extent(void *handle, size_t at)
{
	return (struct extent){ at, ksize((void *)at) };
}

static const struct backend kmallocs = {
	.name = "kmalloc", .unbounded = true, .drains = true,
	.create = nothing_create, .destroy = nothing_destroy,
	.alloc = kmalloc_alloc, .free = kmalloc_free, .extent = kmalloc_extent,
};

#ifdef CONFIG_GENERIC_ALLOCATOR
/*
 * gen_pool, with a granule of 16 bytes. Best fit cannot align, first fit by a function
 * of its own. Who frees must know the size: here in an array by granule.
 */
#define GRANULE		16
#define GEN_BASE	((unsigned long)SZ_1M)	/* no memory is behind it, none is touched */

struct gen {
	struct gen_pool *pool;
	u32 *size;
	bool first;
};

static void gen_destroy(void *handle)
{
	struct gen *gen = handle;

	gen_pool_destroy(gen->pool);
	vfree(gen->size);
	kfree(gen);
}

static void *gen_create(size_t bytes, genpool_algo_t algo)
{
	struct gen *gen = kzalloc(sizeof(*gen), GFP_KERNEL);

	if (!gen)
		return NULL;
	gen->first = algo == gen_pool_first_fit;
	gen->size = vzalloc(array_size(bytes / GRANULE + 1, sizeof(u32)));
	gen->pool = gen_pool_create(ilog2(GRANULE), NUMA_NO_NODE);
	if (gen->size && gen->pool &&
	    !gen_pool_add(gen->pool, GEN_BASE, bytes, NUMA_NO_NODE)) {
		gen_pool_set_algo(gen->pool, algo, NULL);
		return gen;
	}
	if (gen->pool)
		gen_pool_destroy(gen->pool);
	vfree(gen->size);
	kfree(gen);
	return NULL;
}

static void *first_create(size_t bytes)
{
	return gen_create(bytes, gen_pool_first_fit);
}

static void *best_create(size_t bytes)
{
	return gen_create(bytes, gen_pool_best_fit);
}

static size_t gen_alloc(void *handle, size_t size, size_t align)
{
	struct genpool_data_align data = { .align = align };
	struct gen *gen = handle;
	unsigned long at;

	if (gen->first && align > GRANULE)
		at = gen_pool_alloc_algo(gen->pool, size, gen_pool_first_fit_align, &data);
	else
		at = gen_pool_alloc(gen->pool, size);
	if (!at)
		return NOWHERE;
	gen->size[(at - GEN_BASE) / GRANULE] = size;
	return at;
}

static void gen_free(void *handle, size_t at)
{
	struct gen *gen = handle;

	gen_pool_free(gen->pool, at, gen->size[(at - GEN_BASE) / GRANULE]);
}

static struct extent gen_extent(void *handle, size_t at)
{
	struct gen *gen = handle;

	return (struct extent){ at, ALIGN(gen->size[(at - GEN_BASE) / GRANULE], GRANULE) };
}

#define GEN(label, how, unaligned) {					\
	.name = label, .drains = true, .any_align = unaligned,		\
	.slow = 100000, .percent = 125, .create = how, .destroy = gen_destroy, \
	.alloc = gen_alloc, .free = gen_free, .extent = gen_extent,	\
}

static const struct backend gen_first = GEN("gen_pool:first", first_create, false);
static const struct backend gen_best = GEN("gen_pool:best", best_create, true);
#endif

#ifdef FRAGLAB_HAVE_DRM_MM
/* drm_mm, best fit; its nodes are the caller's: an array with a stack on top. */
#define NODES		SZ_512K
#define DRM_BASE	4096

struct drm {
	struct drm_mm mm;
	unsigned int nr;
	struct drm_mm_node **stack;
	struct drm_mm_node *nodes;
};

static void drm_destroy(void *handle)
{
	struct drm *drm = handle;

	drm_mm_takedown(&drm->mm);
	vfree(drm->stack);
	vfree(drm->nodes);
	kfree(drm);
}

static void *drm_create(size_t bytes)
{
	struct drm *drm = kzalloc(sizeof(*drm), GFP_KERNEL);
	unsigned int most = min_t(size_t, NODES, bytes / 8);

	if (!drm)
		return NULL;
	drm_mm_init(&drm->mm, DRM_BASE, bytes);
	drm->nodes = vzalloc(array_size(most, sizeof(*drm->nodes)));
	drm->stack = vzalloc(array_size(most, sizeof(*drm->stack)));
	if (!drm->nodes || !drm->stack) {
		drm_destroy(drm);
		return NULL;
	}
	for (; drm->nr < most; drm->nr++)
		drm->stack[drm->nr] = &drm->nodes[most - 1 - drm->nr];
	return drm;
}

/* A block's number is its node's address. */
static size_t drm_alloc(void *handle, size_t size, size_t align)
{
	struct drm *drm = handle;
	struct drm_mm_node *node;

	if (!drm->nr)
		return NOWHERE;
	node = drm->stack[drm->nr - 1];
	if (drm_mm_insert_node_generic(&drm->mm, node, ALIGN(size, 8), align, 0,
				       DRM_MM_INSERT_BEST))
		return NOWHERE;
	drm->nr--;
	return (size_t)node;
}

static void drm_free(void *handle, size_t at)
{
	struct drm *drm = handle;

	drm_mm_remove_node((struct drm_mm_node *)at);
	drm->stack[drm->nr++] = (struct drm_mm_node *)at;
}

static struct extent drm_extent(void *handle, size_t at)
{
	struct drm_mm_node *node = (struct drm_mm_node *)at;

	return (struct extent){ node->start, node->size };
}

static const struct backend drm_best = {
	.name = "drm_mm:best", .drains = true, .any_align = true,
	.create = drm_create, .destroy = drm_destroy, .alloc = drm_alloc,
	.free = drm_free, .extent = drm_extent,
};
#endif

const struct backend * const kernel_backends[] = {
	&heap, &roomy, &bounded, &kmallocs,
#ifdef FRAGLAB_HAVE_DRM_MM
	&drm_best,
#endif
#ifdef CONFIG_GENERIC_ALLOCATOR
	&gen_first, &gen_best,
#endif
};

const unsigned int nr_kernel_backends = ARRAY_SIZE(kernel_backends);
