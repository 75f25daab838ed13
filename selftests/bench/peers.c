// SPDX-License-Identifier: GPL-2.0-only
/*
 * More of the kernel's own allocators, each as a user would set it up for the
 * row: gen_pool with the block as its granule where all sizes are the same, and
 * with 16 bytes where they differ. drm_mm keeps its nodes with the caller; here
 * they are in an array with a stack on top, 8 instructions a pair that are
 * counted to it.
 */
#include <linux/err.h>
#include <linux/genalloc.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#ifndef __CHECKER__	/* sparse has no __has_include */
#if __has_include("linux/page_frag_cache.h")
#include <linux/page_frag_cache.h>
#endif
#endif

#ifdef BENCH_HAVE_DRM_MM
#include <drm/drm_mm.h>
#endif

#include "bench.h"

/* The size is all that these need to know, and to free not even that. */
static void *size_create(size_t size)
{
	return (void *)size;
}

static void size_destroy(void *handle)
{
}

static __always_inline void *kmalloc_sized(void *handle, size_t size)
{
	return kmalloc(size, GFP_ATOMIC);
}

static __always_inline void kmalloc_free(void *handle, void *block, size_t size)
{
	kfree(block);
}

#define BENCH_NAME			kmalloc_bench
#define BENCH_LABEL			"kmalloc"
#define BENCH_CREATE			size_create
#define BENCH_DESTROY			size_destroy
#define BENCH_ALLOC(handle)		kmalloc((size_t)(handle), GFP_ATOMIC)
#define BENCH_FREE(handle, block)	kmalloc_free(handle, block, 0)
#define BENCH_ALLOC_SIZED(handle, size)		kmalloc_sized(handle, size)
#define BENCH_FREE_SIZED(handle, block, size)	kmalloc_free(handle, block, size)
#include "template.h"

/* Pages and their mapping each time: for blocks of a page and more. */
#define BENCH_NAME			vmalloc_bench
#define BENCH_LABEL			"vmalloc"
#define BENCH_LEAST			PAGE_SIZE
#define BENCH_SLOW			20
#define BENCH_TASK_ONLY
#define BENCH_CREATE			size_create
#define BENCH_DESTROY			size_destroy
#define BENCH_ALLOC(handle)		vmalloc((size_t)(handle))
#define BENCH_FREE(handle, block)	((void)(handle), vfree(block))
#include "template.h"

#define BENCH_NAME			kvmalloc_bench
#define BENCH_LABEL			"kvmalloc"
#define BENCH_LEAST			PAGE_SIZE
#define BENCH_TASK_ONLY
#define BENCH_CREATE			size_create
#define BENCH_DESTROY			size_destroy
#define BENCH_ALLOC(handle)		kvmalloc((size_t)(handle), GFP_KERNEL)
#define BENCH_FREE(handle, block)	((void)(handle), kvfree(block))
#include "template.h"

/*
 * kmem_cache that checks each free, as a strict pool does: the pointer, and whether the
 * object is free already. Making one changes others' branches for good: see bench_last.
 */
#if defined(CONFIG_SLUB_DEBUG) && defined(SLAB_CONSISTENCY_CHECKS)
static void *checked_create(size_t size)
{
	return kmem_cache_create("quarry_bench_checked", size, 0,
				 SLAB_CONSISTENCY_CHECKS, NULL) ?: ERR_PTR(-ENOMEM);
}

static void checked_destroy(void *handle)
{
	kmem_cache_destroy(handle);
}

#define BENCH_NAME			checked
#define BENCH_LABEL			"kmem_cache:checked"
#define BENCH_MOST			64
#define BENCH_CREATE			checked_create
#define BENCH_DESTROY			checked_destroy
#define BENCH_TASK_ONLY
#define BENCH_ALLOC(handle)		kmem_cache_alloc(handle, GFP_ATOMIC)
#define BENCH_FREE(handle, block)	kmem_cache_free(handle, block)
#include "template.h"

const struct bench_ops * const bench_last = &checked_ops;
#else
const struct bench_ops * const bench_last;
#endif

#ifdef BENCH_HAVE_PAGE_FRAG
struct frag {
	struct page_frag_cache cache;
	size_t size;
};

static void *frag_create(size_t size)
{
	struct frag *frag = kzalloc(sizeof(*frag), GFP_KERNEL);

	if (!frag)
		return ERR_PTR(-ENOMEM);
	frag->size = size;
	return frag;
}

static void frag_destroy(void *handle)
{
	struct frag *frag = handle;

#ifdef BENCH_HAVE_PAGE_FRAG_DRAIN
	page_frag_cache_drain(&frag->cache);
#else
	if (frag->cache.va)
		__page_frag_cache_drain(virt_to_head_page(frag->cache.va),
					frag->cache.pagecnt_bias);
#endif
	kfree(frag);
}

static __always_inline void *frag_alloc(struct frag *frag)
{
	return page_frag_alloc(&frag->cache, frag->size, GFP_ATOMIC);
}

#define BENCH_NAME			frag
#define BENCH_LABEL			"page_frag"
#define BENCH_ONE_OWNER
#define BENCH_CREATE			frag_create
#define BENCH_DESTROY			frag_destroy
#define BENCH_ALLOC(handle)		frag_alloc(handle)
#define BENCH_FREE(handle, block)	((void)(handle), page_frag_free(block))
#include "template.h"
#endif

#ifdef CONFIG_GENERIC_ALLOCATOR
struct gen {
	struct gen_pool *pool;
	void *memory;
	size_t size;
};

static void gen_destroy(void *handle)
{
	struct gen *gen = handle;

	gen_pool_destroy(gen->pool);
	vfree(gen->memory);
	kfree(gen);
}

/* A size of 0: sizes will differ. */
static struct gen *gen_create(size_t size, genpool_algo_t algo)
{
	size_t bytes = size ? bench_blocks * size : bench_bytes;
	struct gen *gen = kzalloc(sizeof(*gen), GFP_KERNEL);

	if (!gen)
		return ERR_PTR(-ENOMEM);
	gen->size = size;
	gen->memory = vmalloc(bytes);
	gen->pool = gen_pool_create(size ? ilog2(size) : 4, NUMA_NO_NODE);
	if (gen->memory && gen->pool &&
	    !gen_pool_add(gen->pool, (unsigned long)gen->memory, bytes,
			  NUMA_NO_NODE)) {
		gen_pool_set_algo(gen->pool, algo, NULL);
		return gen;
	}
	if (gen->pool)
		gen_pool_destroy(gen->pool);
	vfree(gen->memory);
	kfree(gen);
	return ERR_PTR(-ENOMEM);
}

static void *first_fit_create(size_t size)
{
	return gen_create(size, gen_pool_first_fit);
}

static void *best_fit_create(size_t size)
{
	return gen_create(size, gen_pool_best_fit);
}

static __always_inline void *gen_alloc_sized(struct gen *gen, size_t size)
{
	return (void *)gen_pool_alloc(gen->pool, size);
}

static __always_inline void gen_free_sized(struct gen *gen, void *block,
					   size_t size)
{
	gen_pool_free(gen->pool, (unsigned long)block, size);
}

static __always_inline void *gen_alloc(struct gen *gen)
{
	return gen_alloc_sized(gen, gen->size);
}

static __always_inline void gen_free(struct gen *gen, void *block)
{
	gen_free_sized(gen, block, gen->size);
}

#define BENCH_NAME			first_fit
#define BENCH_LABEL			"gen_pool:first"
#define BENCH_SLOW			10
#define BENCH_FINITE
#define BENCH_CREATE			first_fit_create
#define BENCH_DESTROY			gen_destroy
#define BENCH_ALLOC(handle)		gen_alloc(handle)
#define BENCH_FREE(handle, block)	gen_free(handle, block)
#define BENCH_ALLOC_SIZED(handle, size)	gen_alloc_sized(handle, size)
#define BENCH_FREE_SIZED(handle, block, size)	\
	gen_free_sized(handle, block, size)
#include "template.h"

#define BENCH_NAME			best_fit
#define BENCH_LABEL			"gen_pool:best"
#define BENCH_SLOW			40
#define BENCH_FINITE
#define BENCH_CREATE			best_fit_create
#define BENCH_DESTROY			gen_destroy
#define BENCH_ALLOC(handle)		gen_alloc(handle)
#define BENCH_FREE(handle, block)	gen_free(handle, block)
#define BENCH_ALLOC_SIZED(handle, size)	gen_alloc_sized(handle, size)
#define BENCH_FREE_SIZED(handle, block, size)	\
	gen_free_sized(handle, block, size)
#include "template.h"
#endif

#ifdef BENCH_HAVE_DRM_MM
struct drm {
	struct drm_mm mm;
	size_t size;
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

static void *drm_create(size_t size)
{
	struct drm *drm = kzalloc(sizeof(*drm), GFP_KERNEL);

	if (!drm)
		return ERR_PTR(-ENOMEM);
	drm_mm_init(&drm->mm, 0, size ? bench_blocks * size : bench_bytes);
	drm->size = size;
	drm->nodes = vzalloc(array_size(bench_blocks, sizeof(*drm->nodes)));
	drm->stack = vzalloc(array_size(bench_blocks, sizeof(*drm->stack)));
	if (!drm->nodes || !drm->stack) {
		drm_destroy(drm);
		return ERR_PTR(-ENOMEM);
	}
	for (; drm->nr < bench_blocks; drm->nr++)
		drm->stack[drm->nr] = &drm->nodes[drm->nr];
	return drm;
}

static __always_inline void *drm_alloc_sized(struct drm *drm, size_t size)
{
	struct drm_mm_node *node;

	if (unlikely(!drm->nr))
		return NULL;
	node = drm->stack[drm->nr - 1];
	if (drm_mm_insert_node(&drm->mm, node, size))
		return NULL;
	drm->nr--;
	return node;
}

static __always_inline void drm_free(struct drm *drm, struct drm_mm_node *node)
{
	drm_mm_remove_node(node);
	drm->stack[drm->nr++] = node;
}

static __always_inline void drm_free_sized(struct drm *drm,
					   struct drm_mm_node *node,
					   size_t size)
{
	drm_free(drm, node);
}

static __always_inline void *drm_alloc(struct drm *drm)
{
	return drm_alloc_sized(drm, drm->size);
}

#define BENCH_NAME			drm
#define BENCH_LABEL			"drm_mm"
#define BENCH_SLOW			2
#define BENCH_ONE_OWNER
#define BENCH_FINITE
#define BENCH_CREATE			drm_create
#define BENCH_DESTROY			drm_destroy
#define BENCH_ALLOC(handle)		drm_alloc(handle)
#define BENCH_FREE(handle, block)	drm_free(handle, block)
#define BENCH_ALLOC_SIZED(handle, size)	drm_alloc_sized(handle, size)
#define BENCH_FREE_SIZED(handle, block, size)	\
	drm_free_sized(handle, block, size)
#include "template.h"
#endif
