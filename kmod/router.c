// SPDX-License-Identifier: GPL-2.0-only
/*
 * The router at work: which class, which owner, and what comes after a miss. Who
 * may touch which word: router.h.
 *
 * Alloc is a look at a table by size and the pool's hit path, in place; free a look
 * at a table by page and the same. A miss goes from the class to the heap, from the
 * heap to the system, as far as it is allowed.
 */
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include "router.h"

/* As in pool.c: the slow paths are called last, and find the caller themselves. */
#define CALLER	(IS_ENABLED(CONFIG_FRAME_POINTER) ? _RET_IP_ : 0)

static bool refuse_handle(struct quarry_router *router, unsigned long caller)
{
	quarry__report("not a router: %ld in place of a handle, by %pS",
		       PTR_ERR(router), (void *)caller);
	return false;
}

/* Alloc */

/* Which class for @size, 1 to the limit. */
static __always_inline struct quarry_pool *
pool_for(const struct quarry_router *router, size_t size)
{
	return router->pool[router->class_of[(size - 1) / CLASS_UNIT]];
}

/* KASAN is told of the bytes that were asked for, not of the whole block. */
static __always_inline void *sized(struct quarry_router *router, void *ptr,
				   size_t size, size_t room)
{
	if (QUARRY_KASAN)
		quarry__mem_trim(&router->region, ptr, size, room);
	return ptr;
}

/* The heap and then the system; @home: the heap is where it belongs. */
static void *beyond(struct quarry_router *router, size_t size, size_t align,
		    gfp_t gfp, bool home, unsigned long caller)
{
	bool strict = router->flags & QUARRY_ROUTER_STRICT;
	void *ptr = NULL;

	if (router->heap && (home || !strict)) {
		ptr = quarry__heap_alloc(router->heap, size, align, caller);
		if (!ptr)
			this_cpu_inc(router->cpu->heap_full);
		else if (home)
			this_cpu_inc(router->cpu->heap_home);
		else
			this_cpu_inc(router->cpu->fell_back);
	}
	if (ptr)
		return ptr;
	ptr = quarry__router_system_alloc(router, size, align,
					  gfp & ~__GFP_ZERO);
	if (ptr)
		this_cpu_inc(router->cpu->fell_back);
	else
		this_cpu_inc(router->cpu->failed);
	return ptr;
}

static void refuse_alloc(struct quarry_router *router, const char *why,
			 unsigned long caller)
{
	quarry__report("router \"%s\": alloc refused: %s, by %pS",
		       router->object.name, why, (void *)caller);
}

/* What the hit path did not serve: the class's shared lists are still to be seen. */
static noinline void *alloc_slow(struct quarry_router *router, size_t size,
				 gfp_t gfp, unsigned long caller)
{
	struct quarry_pool *pool;
	bool classed;
	void *ptr;

	if (!caller)
		caller = _RET_IP_;
	if (unlikely(not_a_router(router))) {
		refuse_handle(router, caller);
		return NULL;
	}
	if (READ_ONCE(router->closed)) {
		refuse_alloc(router, "destroyed router", caller);
		return NULL;
	}
	size = max(size, 1UL);
	classed = size <= router->limit;
	if (classed) {
		pool = pool_for(router, size);
		ptr = quarry_pool_hit_alloc(pool, caller);
		if (ptr) {
			sized(router, ptr, size, pool->size);
			goto out;
		}
		this_cpu_inc(router->cpu->class_full);
	}
	ptr = beyond(router, size, CLASS_UNIT, gfp, !classed, caller);
out:
	if (ptr && (gfp & __GFP_ZERO))
		memset(ptr, 0, size);
	return ptr;
}

static __always_inline void *hit_alloc(struct quarry_router *router, size_t size,
				       gfp_t gfp, unsigned long caller)
{
	struct quarry_pool *pool;
	void *ptr;

	if (unlikely(not_a_router(router)) ||
	    unlikely(size - 1 >= data_race(router->limit)) || /* 0 when destroyed */
	    unlikely(gfp & __GFP_ZERO))
		return alloc_slow(router, size, gfp, caller);
	pool = pool_for(router, size);
	if (unlikely(!quarry_pool_hit_try(pool, &ptr)))
		return alloc_slow(router, size, gfp, caller);
	return sized(router, ptr, size, pool->size);
}

void *quarry_router_alloc(struct quarry_router *router, size_t size, gfp_t gfp)
{
	return hit_alloc(router, size, gfp, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_router_alloc);

void *quarry_router_zalloc(struct quarry_router *router, size_t size, gfp_t gfp)
{
	return alloc_slow(router, size, gfp | __GFP_ZERO, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_router_zalloc);

/* The smallest class for both, or NULL. */
static struct quarry_pool *pool_aligned(const struct quarry_router *router,
					size_t size, size_t align)
{
	u32 class;

	if (size > router->limit)
		return NULL;
	for (class = router->class_of[(size - 1) / CLASS_UNIT];
	     class < router->nr_classes; class++)
		if (router->pool[class]->align >= align)
			return router->pool[class];
	return NULL;
}

static void *alloc_aligned(struct quarry_router *router, size_t size,
			   size_t align, gfp_t gfp, unsigned long caller)
{
	struct quarry_pool *pool;
	void *ptr = NULL;

	if (unlikely(not_a_router(router)) || READ_ONCE(router->closed))
		return alloc_slow(router, size, gfp, caller);
	if (!is_power_of_2(align) || align > QUARRY_ROUTER_MAX_ALIGN) {
		refuse_alloc(router, "bad alignment", caller);
		return NULL;
	}
	size = max(size, 1UL);
	align = max(align, CLASS_UNIT);
	pool = pool_aligned(router, size, align);
	if (pool) {
		ptr = quarry_pool_hit_alloc(pool, caller);
		if (ptr)
			sized(router, ptr, size, pool->size);
		else
			this_cpu_inc(router->cpu->class_full);
	}
	if (!ptr)
		ptr = beyond(router, size, align, gfp, !pool, caller);
	if (ptr && (gfp & __GFP_ZERO))
		memset(ptr, 0, size);
	return ptr;
}

void *quarry_router_alloc_aligned(struct quarry_router *router, size_t size,
				  size_t align, gfp_t gfp)
{
	return alloc_aligned(router, size, align, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_router_alloc_aligned);

/* Free */

/* A pointer of no class, of no heap, and of no block of the system. */
static bool refuse(struct quarry_router *router, const void *ptr,
		   unsigned long caller)
{
	const char *kind, *name;
	long other = -1;

	if (READ_ONCE(router->closed)) {
		atomic_long_inc(&router->refused_dead);
		quarry__report("router \"%s\": free refused: destroyed router, by %pS",
			       router->object.name, (void *)caller);
		return false;
	}
	rcu_read_lock();
	other = quarry__find((unsigned long)ptr, &router->object, &kind, &name);
	if (other >= 0) {
		atomic_long_inc(&router->refused_owner);
		quarry__report("router \"%s\": free refused: pointer of %s \"%s\" %ld, by %pS",
			       router->object.name, kind, name, other,
			       (void *)caller);
	} else {
		atomic_long_inc(&router->refused_foreign);
		quarry__report("router \"%s\": free refused: foreign pointer, by %pS",
			       router->object.name, (void *)caller);
	}
	rcu_read_unlock();
	return false;
}

static bool in_heap(const struct quarry_router *router, const void *ptr)
{
	return !READ_ONCE(router->closed) && router->heap &&
	       (unsigned long)ptr - router->base < router->region.size;
}

/* What lies in no class. */
static noinline bool free_slow(struct quarry_router *router, void *ptr,
			       unsigned long caller)
{
	bool live;

	if (!ptr)
		return false;
	if (!caller)
		caller = _RET_IP_;
	if (unlikely(not_a_router(router)))
		return refuse_handle(router, caller);
	if (in_heap(router, ptr)) {
		live = quarry_heap_usable_size(router->heap, ptr);
		quarry__heap_free(router->heap, ptr, caller);	/* and refuses */
		return live;
	}
	if (!READ_ONCE(router->closed) && quarry__router_system_free(router, ptr))
		return true;
	return refuse(router, ptr, caller);
}

static __always_inline bool hit_free(struct quarry_router *router, void *ptr,
				     unsigned long caller)
{
	struct quarry_pool *pool;
	unsigned long offset;

	if (unlikely(not_a_router(router)))
		return free_slow(router, ptr, caller);
	offset = (unsigned long)ptr - router->base;
	if (unlikely(offset >= data_race(router->class_bytes))) /* 0 when destroyed */
		return free_slow(router, ptr, caller);
	pool = router->pool[router->owner[offset >> PAGE_SHIFT]];
	return quarry_pool_hit_free(pool, ptr, caller);
}

void quarry_router_free(struct quarry_router *router, void *ptr)
{
	hit_free(router, ptr, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_router_free);

/* Blocks by address */

/* The class whose part of the region @ptr lies in, or NULL. */
static struct quarry_pool *class_of_block(const struct quarry_router *router,
					  const void *ptr)
{
	unsigned long offset = (unsigned long)ptr - router->base;

	if (offset >= READ_ONCE(router->class_bytes))
		return NULL;
	return router->pool[router->owner[offset >> PAGE_SHIFT]];
}

static bool is_live(const struct quarry_pool *pool, const void *ptr)
{
	u64 index = quarry_pool_hot_index(&pool->hot, ptr);

	return index < pool->nr &&
	       READ_ONCE(pool->hot.state[index]) != QUARRY_BLOCK_FREE;
}

size_t quarry_router_usable_size(struct quarry_router *router, const void *ptr)
{
	struct quarry_pool *pool;
	struct router_slot *slot;

	if (unlikely(not_a_router(router)) || !ptr || READ_ONCE(router->closed))
		return 0;
	pool = class_of_block(router, ptr);
	if (pool && !is_live(pool, ptr))
		return 0;
	if (pool) {
		quarry__mem_taken(&router->region, ptr, pool->size);
		return pool->size;
	}
	if (in_heap(router, ptr))
		return quarry_heap_usable_size(router->heap, ptr);
	slot = quarry__router_slot(router, ptr);
	return slot ? READ_ONCE(slot->size) : 0;
}
EXPORT_SYMBOL_GPL(quarry_router_usable_size);

bool quarry_router_owns(struct quarry_router *router, const void *ptr)
{
	struct quarry_pool *pool;

	if (unlikely(not_a_router(router)) || !ptr || READ_ONCE(router->closed))
		return false;
	pool = class_of_block(router, ptr);
	if (pool)
		return quarry_pool_owns(pool, ptr);
	return in_heap(router, ptr) || quarry__router_slot(router, ptr);
}
EXPORT_SYMBOL_GPL(quarry_router_owns);

size_t quarry_router_class_size(struct quarry_router *router, size_t size)
{
	size = max(size, 1UL);
	if (unlikely(not_a_router(router)) || size > READ_ONCE(router->limit))
		return 0;
	return pool_for(router, size)->size;
}
EXPORT_SYMBOL_GPL(quarry_router_class_size);

/* Realloc */

/* In place, where the block's owner sees a way, or within the heap. */
static void *resize(struct quarry_router *router, void *ptr, size_t size,
		    size_t room, unsigned long caller)
{
	struct quarry_pool *pool = class_of_block(router, ptr);

	if (pool && size <= router->limit && pool_for(router, size) == pool)
		return sized(router, ptr, size, room);
	if (!pool && in_heap(router, ptr)) {
		void *new = quarry__heap_realloc(router->heap, ptr, size, caller);

		/* Moved there: the heap has counted an alloc and a free. */
		if (new && new != ptr)
			this_cpu_inc(router->cpu->heap_home);
		return new;
	}
	/* Of the system: half of it may lie idle. */
	if (!pool && size <= room && size > room / 2)
		return ptr;
	return NULL;
}

static void *change(struct quarry_router *router, void *ptr, size_t size,
		    gfp_t gfp, unsigned long caller)
{
	size_t room;
	void *new;

	if (!ptr || unlikely(not_a_router(router)))
		return hit_alloc(router, size, gfp, caller);
	size = max(size, 1UL);
	room = quarry_router_usable_size(router, ptr);
	if (!room) {
		hit_free(router, ptr, caller);	/* says what is wrong */
		return NULL;
	}
	new = resize(router, ptr, size, room, caller);
	if (new) {
		if (new == ptr)
			this_cpu_inc(router->cpu->resized);
		else
			this_cpu_inc(router->cpu->moved);
		return new;
	}
	new = hit_alloc(router, size, gfp & ~__GFP_ZERO, caller);
	if (!new)
		return size <= room ? ptr : NULL;
	memcpy(new, ptr, min(room, size));
	hit_free(router, ptr, caller);
	this_cpu_inc(router->cpu->moved);
	return new;
}

void *quarry_router_realloc(struct quarry_router *router, void *ptr, size_t size,
			    gfp_t gfp)
{
	return change(router, ptr, size, gfp, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_router_realloc);

/* As an allocator */

static void *router_alloc(const struct quarry_allocator *a,
			  struct quarry_layout layout, bool zero,
			  unsigned long caller)
{
	gfp_t gfp = a->gfp | (zero ? __GFP_ZERO : 0);

	if (layout.align <= CLASS_UNIT)
		return hit_alloc(a->object, layout.size, gfp, caller);
	return alloc_aligned(a->object, layout.size, layout.align, gfp, caller);
}

static bool router_free(const struct quarry_allocator *a, void *ptr,
			struct quarry_layout layout, unsigned long caller)
{
	return hit_free(a->object, ptr, caller);
}

/* Moves by itself when the alignment is more than realloc keeps. */
static void *router_realloc(const struct quarry_allocator *a, void *ptr,
			    struct quarry_layout old,
			    struct quarry_layout layout, unsigned long caller)
{
	struct quarry_router *router = a->object;
	size_t room;
	void *new;

	if (unlikely(not_a_router(router)) || layout.align <= CLASS_UNIT)
		return change(router, ptr, layout.size, a->gfp, caller);
	room = quarry_router_usable_size(router, ptr);
	if (!room) {
		hit_free(router, ptr, caller);	/* says what is wrong */
		return NULL;
	}
	if (layout.size <= room && layout.size > room / 2 &&
	    IS_ALIGNED((unsigned long)ptr, layout.align))
		return ptr;
	new = alloc_aligned(router, layout.size, layout.align, a->gfp, caller);
	if (!new)
		return NULL;
	memcpy(new, ptr, min(room, layout.size));
	hit_free(router, ptr, caller);
	return new;
}

static const struct quarry_allocator_ops router_ops = {
	.name		= "router",
	.alloc		= router_alloc,
	.realloc	= router_realloc,
	.free		= router_free,
};

struct quarry_allocator quarry_router_allocator(struct quarry_router *router,
						gfp_t gfp)
{
	return (struct quarry_allocator) {
		.ops = &router_ops,
		.object = router,
		.gfp = gfp,
		.flags = QUARRY_ALLOCATOR_THREAD_SAFE |
			 QUARRY_ALLOCATOR_FREES_EACH |
			 (gfpflags_allow_blocking(gfp) ?
			  QUARRY_ALLOCATOR_MAY_SLEEP :
			  QUARRY_ALLOCATOR_ANY_CONTEXT),
		.max_align = QUARRY_ROUTER_MAX_ALIGN,
		.max_size = LONG_MAX,
	};
}
EXPORT_SYMBOL_GPL(quarry_router_allocator);
