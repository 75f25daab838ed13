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
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <quarry/heap.h>
#include <quarry/pool.h>
#include <quarry/router.h>

#ifdef FRAGLAB_HAVE_DRM_MM
#include <drm/drm_mm.h>
#endif

#include "classes.h"
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

static unsigned long heap_base;	/* of the one heap that there is */
static u64 heap_flushes;		/* its flushes before the workload begins */

/* Its first block lies at its lowest place. */
static void *heap_create_with(size_t bytes, unsigned int flags, size_t front)
{
	struct quarry_heap_args args = { .flags = flags, .front = front };
	struct quarry_heap *heap = quarry_heap_create("fraglab", bytes, &args);
	struct quarry_heap_stats stats;
	void *first;

	if (IS_ERR(heap))
		return NULL;
	first = quarry_heap_alloc(heap, 1);
	heap_base = (unsigned long)first - QUARRY_HEAP_OVERHEAD;
	quarry_heap_free(heap, first);
	quarry_heap_flush(heap);
	quarry_heap_get_stats(heap, &stats);
	heap_flushes = stats.flushes;
	return heap;
}

static void *heap_create(size_t bytes)
{
	return heap_create_with(bytes, 0, 0);
}

static void *bounded_create(size_t bytes)
{
	return heap_create_with(bytes, QUARRY_HEAP_BOUNDED, 0);
}

static void *no_front_create(size_t bytes)
{
	return heap_create_with(bytes, QUARRY_HEAP_NO_FRONT, 0);
}

/* As much as kmalloc's blocks take of the traces, and made for speed: fronts have a quarter */
static void *roomy_create(size_t bytes)
{
	return heap_create_with(bytes, 0, bytes / 4);
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
		at - QUARRY_HEAP_HEADER - heap_base,
		quarry_heap_usable_size(handle, (void *)at) + QUARRY_HEAP_HEADER
	};
}

/* Consistent, and it has taken offence at nothing. */
static bool heap_verify(void *handle)
{
	struct quarry_heap_stats stats;

	quarry_heap_get_stats(handle, &stats);
	return !quarry_heap_verify(handle) && !stats.refused && !stats.corrupt;
}

static void heap_account(void *handle, struct account *account)
{
	struct quarry_heap_stats stats;

	quarry_heap_get_stats(handle, &stats);
	account->outside = stats.bytes_metadata;
	account->largest_hole = stats.largest_free + QUARRY_HEAP_HEADER;
	account->flushes = stats.flushes - heap_flushes;
}

#define HEAP(label, how, ...) {						\
	.name = label, .header = QUARRY_HEAP_HEADER, .drains = true,	\
	.create = how, .destroy = heap_destroy, .alloc = heap_alloc,	\
	.free = heap_free, .extent = heap_extent, .verify = heap_verify, \
	.account = heap_account, __VA_ARGS__				\
}

static const struct backend heap = HEAP("quarry_heap", heap_create, .places = true);
static const struct backend no_front = HEAP("quarry_heap:no-front", no_front_create,
					    .places = true);
static const struct backend bounded = HEAP("quarry_heap:bounded", bounded_create,
					   .places = true);
static const struct backend roomy = HEAP("quarry_heap:roomy", roomy_create,
					 .percent = 136);

/*
 * quarry_router with its default classes. The system is never asked; strict, each
 * request is for its own class alone, else a class that is full falls back to the
 * heap, which is counted.
 */

static void *router_create_with(size_t bytes, unsigned int flags)
{
	struct quarry_router_args args = { .flags = flags };
	struct quarry_router *router = quarry_router_create("fraglab", bytes, &args);

	return IS_ERR(router) ? NULL : router;
}

static void *router_create(size_t bytes)
{
	return router_create_with(bytes, 0);
}

static void *strict_create(size_t bytes)
{
	return router_create_with(bytes, QUARRY_ROUTER_STRICT);
}

static void router_destroy(void *handle)
{
	quarry_router_destroy(handle);
}

static size_t router_alloc(void *handle, size_t size, size_t align)
{
	void *block = align <= 8 ? quarry_router_alloc(handle, size, 0) :
		quarry_router_alloc_aligned(handle, size, align, 0);

	return block ? (size_t)block : NOWHERE;
}

static void router_free(void *handle, size_t at)
{
	quarry_router_free(handle, (void *)at);
}

static struct extent router_extent(void *handle, size_t at)
{
	return (struct extent){ at, quarry_router_usable_size(handle, (void *)at) };
}

static bool router_verify(void *handle)
{
	struct quarry_router_stats stats;

	quarry_router_get_stats(handle, &stats);
	return !quarry_router_verify(handle) && !stats.refused;
}

static void router_account(void *handle, struct account *account)
{
	struct quarry_router_stats stats;

	quarry_router_get_stats(handle, &stats);
	account->outside = stats.bytes_metadata;
	account->reserved = stats.bytes_reserved;
	account->elsewhere = stats.fell_back;
}

#define ROUTER(label, how) {						\
	.name = label, .drains = true, .coarse = true, .scout = &backend_empty, \
	.create = how, .destroy = router_destroy, .alloc = router_alloc, \
	.free = router_free, .extent = router_extent,			\
	.verify = router_verify, .account = router_account,		\
}

static const struct backend router = ROUTER("quarry_router", router_create);
static const struct backend strict = ROUTER("quarry_router:strict", strict_create);

/*
 * A quarry_pool for each size class, as large as the workload needs at its peak: how
 * large that is a run that only counts has found out. Whoever frees a block knows its
 * pool: here by the top byte of its number, which of an address is all ones.
 */
#define CLASS_SHIFT	56

static size_t class_live[NR_CLASSES], class_peak[NR_CLASSES];
static struct quarry_pool *pools[NR_CLASSES];

static void *counted_create(size_t bytes)
{
	memset(class_live, 0, sizeof(class_live));
	memset(class_peak, 0, sizeof(class_peak));
	return class_live;
}

static size_t counted_alloc(void *handle, size_t size, size_t align)
{
	unsigned int class = class_aligned(size, align);

	class_live[class]++;
	class_peak[class] = max(class_peak[class], class_live[class]);
	return class;
}

static void counted_free(void *handle, size_t at)
{
	class_live[at]--;
}

static const struct backend counted = {
	.name = "counted", .unbounded = true, .any_align = true,
	.create = counted_create, .destroy = nothing_destroy,
	.alloc = counted_alloc, .free = counted_free, .extent = no_extent,
};

static void pools_destroy(void *handle)
{
	unsigned int class;

	for (class = 0; class < NR_CLASSES; class++) {
		quarry_pool_destroy(pools[class]);
		pools[class] = NULL;
	}
}

static void *pools_create(size_t bytes)
{
	struct quarry_pool_args args = {};
	struct quarry_pool *pool;
	unsigned int class;
	size_t size;

	for (class = 0; class < NR_CLASSES; class++) {
		size = class_size(class);
		args.align = min_t(size_t, size & -size, QUARRY_POOL_MAX_ALIGN);
		if (!class_peak[class])
			continue;
		pool = quarry_pool_create("fraglab", size, class_peak[class], &args);
		if (IS_ERR(pool)) {
			pools_destroy(pools);
			return NULL;
		}
		pools[class] = pool;
	}
	return pools;
}

static size_t pools_alloc(void *handle, size_t size, size_t align)
{
	unsigned int class = class_aligned(size, align);
	void *block = quarry_pool_alloc(pools[class]);

	return block ? (size_t)block ^ (size_t)class << CLASS_SHIFT : NOWHERE;
}

static unsigned int class_of(size_t at)
{
	return (u8)~(at >> CLASS_SHIFT);
}

static void pools_free(void *handle, size_t at)
{
	quarry_pool_free(pools[class_of(at)], (void *)(at | 0xfful << CLASS_SHIFT));
}

static struct extent pools_extent(void *handle, size_t at)
{
	return (struct extent){ at, quarry_pool_block_size(pools[class_of(at)]) };
}

static bool pools_verify(void *handle)
{
	struct quarry_pool_stats stats;
	unsigned int class;

	for (class = 0; class < NR_CLASSES; class++) {
		if (!pools[class])
			continue;
		quarry_pool_get_stats(pools[class], &stats);
		if (quarry_pool_verify(pools[class]) || stats.refused || stats.duplicates)
			return false;
	}
	return true;
}

static void pools_account(void *handle, struct account *account)
{
	struct quarry_pool_stats stats;
	unsigned int class;

	account->outside = 0;
	account->reserved = 0;
	for (class = 0; class < NR_CLASSES; class++) {
		if (!pools[class])
			continue;
		quarry_pool_get_stats(pools[class], &stats);
		account->outside += stats.bytes_metadata;
		account->reserved += stats.bytes_reserved;
	}
}

static const struct backend pools_of_classes = {
	.name = "quarry_pools", .unbounded = true, .drains = true, .scout = &counted,
	.create = pools_create, .destroy = pools_destroy, .alloc = pools_alloc,
	.free = pools_free, .extent = pools_extent, .verify = pools_verify,
	.account = pools_account,
};

/*
 * kmalloc: aligned to more than 8 bytes it is asked for a power of two. Reserved is
 * what the kernel's unreclaimable slabs, large blocks included, have grown by at
 * most; to the page, with what the CPUs have not yet added to the sum.
 */
static size_t slab_before, slab_most;

static size_t slab_bytes(void)
{
	size_t pages = 0;
	int node, cpu;

	for_each_online_node(node) {
		pg_data_t *data = NODE_DATA(node);

		pages += atomic_long_read(&data->vm_stat[NR_SLAB_UNRECLAIMABLE_B]);
		for_each_online_cpu(cpu)
			pages += per_cpu_ptr(data->per_cpu_nodestats, cpu)->
				 vm_node_stat_diff[NR_SLAB_UNRECLAIMABLE_B];
	}
	return pages * PAGE_SIZE;
}

static void *kmalloc_create(size_t bytes)
{
	slab_before = slab_bytes();
	slab_most = slab_before;
	return nothing_create(bytes);
}

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
	slab_most = max(slab_most, slab_bytes());
	return (struct extent){ at, ksize((void *)at) };
}

static void kmalloc_account(void *handle, struct account *account)
{
	account->reserved = slab_most - slab_before;
}

static const struct backend kmallocs = {
	.name = "kmalloc", .unbounded = true, .drains = true,
	.account = kmalloc_account, .create = kmalloc_create, .destroy = nothing_destroy,
	.alloc = kmalloc_alloc, .free = kmalloc_free, .extent = kmalloc_extent,
};

#ifdef CONFIG_GENERIC_ALLOCATOR
/*
 * gen_pool, with a granule of 16 bytes. Best fit cannot align, first fit by a function
 * of its own. Who frees must know the size: here in an array by granule, of metadata
 * are counted 4 bytes a block.
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

static void gen_look(struct gen_pool *pool, struct gen_pool_chunk *chunk, void *data)
{
	size_t nr = (chunk->end_addr + 1 - chunk->start_addr) / GRANULE, from, to = 0;
	struct account *account = data;

	account->outside = sizeof(*pool) + struct_size(chunk, bits, BITS_TO_LONGS(nr));
	account->largest_hole = 0;
	for (;;) {
		from = find_next_zero_bit(chunk->bits, nr, to);
		if (from >= nr)
			break;
		to = find_next_bit(chunk->bits, nr, from);
		account->largest_hole = max(account->largest_hole, (to - from) * GRANULE);
	}
}

static void gen_account(void *handle, struct account *account)
{
	struct gen *gen = handle;

	gen_pool_for_each_chunk(gen->pool, gen_look, account);
}

#define GEN(label, how, unaligned) {					\
	.name = label, .drains = true, .any_align = unaligned,		\
	.node = sizeof(u32), .account = gen_account,			\
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

	return (struct extent){ node->start - DRM_BASE, node->size };
}

static void drm_account(void *handle, struct account *account)
{
	struct drm *drm = handle;
	struct drm_mm_node *node;
	u64 start, end;

	account->outside = sizeof(drm->mm);
	account->largest_hole = 0;
	drm_mm_for_each_hole(node, &drm->mm, start, end)
		account->largest_hole = max_t(size_t, account->largest_hole, end - start);
}

static const struct backend drm_best = {
	.name = "drm_mm:best", .drains = true, .any_align = true, .places = true,
	.node = sizeof(struct drm_mm_node), .account = drm_account,
	.create = drm_create, .destroy = drm_destroy, .alloc = drm_alloc,
	.free = drm_free, .extent = drm_extent,
};
#endif

const struct backend * const kernel_backends[] = {
	&heap, &no_front, &roomy, &bounded, &router, &strict, &pools_of_classes, &kmallocs,
#ifdef FRAGLAB_HAVE_DRM_MM
	&drm_best,
#endif
#ifdef CONFIG_GENERIC_ALLOCATOR
	&gen_first, &gen_best,
#endif
};

const unsigned int nr_kernel_backends = ARRAY_SIZE(kernel_backends);
