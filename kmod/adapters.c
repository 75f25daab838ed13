// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each kind of object as an allocator. An adapter has no state: it asks the
 * object, also for the sizes that it published, since a handle may have been
 * destroyed and serve another object by now.
 */
#include <linux/minmax.h>
#include <linux/string.h>
#include <quarry/quarry.h>
#include "allocator.h"
#include "arena.h"
#include "bump.h"
#include "heap.h"
#include "pool.h"

/* Of NULL or an error in place of a handle: the object's own calls report it. */
static struct quarry_allocator nothing(const struct quarry_allocator_ops *ops,
				       void *object)
{
	return (struct quarry_allocator) {
		.ops = ops, .object = object, .flags = QUARRY_ALLOCATOR_NMI,
		.max_align = BIT(62), .max_size = LONG_MAX,
	};
}

/* Pool */

static bool fits(const struct quarry_pool *pool, struct quarry_layout layout)
{
	return layout.size <= pool->size && layout.align <= pool->align;
}

static void *pool_alloc(const struct quarry_allocator *a,
			struct quarry_layout layout, bool zero,
			unsigned long caller)
{
	struct quarry_pool *pool = a->object;
	void *block;

	if (unlikely(not_a_pool(pool)))
		return quarry_pool_alloc_slow(pool, caller);
	if (!fits(pool, layout))
		return NULL;
	block = quarry_pool_hit_alloc(pool, caller);
	if (block && zero)
		memset(block, 0, layout.size);
	return block;
}

static void *pool_realloc(const struct quarry_allocator *a, void *ptr,
			  struct quarry_layout old, struct quarry_layout layout,
			  unsigned long caller)
{
	struct quarry_pool *pool = a->object;
	u64 index;

	if (unlikely(not_a_pool(pool)))
		return quarry_pool_alloc_slow(pool, caller);
	index = quarry_pool_hot_index(&pool->hot, ptr);
	if (index >= pool->nr ||
	    READ_ONCE(pool->hot.state[index]) == QUARRY_BLOCK_FREE) {
		quarry__pool_refuse(pool, index, caller);
		return NULL;
	}
	return fits(pool, layout) ? ptr : NULL;
}

static bool pool_free(const struct quarry_allocator *a, void *ptr,
		      struct quarry_layout layout, unsigned long caller)
{
	struct quarry_pool *pool = a->object;

	if (unlikely(not_a_pool(pool)))
		return quarry_pool_free_slow(pool, 0, caller);
	if (!fits(pool, layout)) {
		quarry__report("pool \"%s\": free refused: size %zu, align %zu do not fit, by %pS",
			       pool->object.name, layout.size, layout.align,
			       (void *)caller);
		return false;
	}
	return quarry_pool_hit_free(pool, ptr, caller);
}

static const struct quarry_allocator_ops pool_ops = {
	.name		= "pool",
	.alloc		= pool_alloc,
	.realloc	= pool_realloc,
	.free		= pool_free,
};

struct quarry_allocator quarry_pool_allocator(struct quarry_pool *pool)
{
	if (not_a_pool(pool))
		return nothing(&pool_ops, pool);
	return (struct quarry_allocator) {
		.ops = &pool_ops,
		.object = pool,
		.flags = QUARRY_ALLOCATOR_ANY_CONTEXT | QUARRY_ALLOCATOR_FREES_EACH,
		.max_align = pool->align,
		.max_size = pool->size,
	};
}
EXPORT_SYMBOL_GPL(quarry_pool_allocator);

/* Heap */

static void *heap_alloc(const struct quarry_allocator *a,
			struct quarry_layout layout, bool zero,
			unsigned long caller)
{
	void *ptr = quarry__heap_alloc(a->object, layout.size, layout.align,
				       caller);

	if (ptr && zero)
		memset(ptr, 0, layout.size);
	return ptr;
}

/* Refuses, and says so, what is no live block. */
static bool heap_free(const struct quarry_allocator *a, void *ptr,
		      struct quarry_layout layout, unsigned long caller)
{
	bool live = quarry_heap_usable_size(a->object, ptr);

	quarry__heap_free(a->object, ptr, caller);
	return live;
}

/* The heap keeps the alignment that the block has; a larger one is a new block. */
static void *heap_realloc(const struct quarry_allocator *a, void *ptr,
			  struct quarry_layout old, struct quarry_layout layout,
			  unsigned long caller)
{
	size_t room = quarry_heap_usable_size(a->object, ptr);
	void *new;

	if (!room || layout.align <= old.align)
		return quarry__heap_realloc(a->object, ptr, layout.size, caller);
	new = heap_alloc(a, layout, false, caller);
	if (!new)
		return NULL;
	memcpy(new, ptr, min3(room, old.size, layout.size));
	quarry__heap_free(a->object, ptr, caller);
	return new;
}

static const struct quarry_allocator_ops heap_ops = {
	.name		= "heap",
	.alloc		= heap_alloc,
	.realloc	= heap_realloc,
	.free		= heap_free,
};

struct quarry_allocator quarry_heap_allocator(struct quarry_heap *heap)
{
	if (IS_ERR_OR_NULL(heap))
		return nothing(&heap_ops, heap);
	return (struct quarry_allocator) {
		.ops = &heap_ops,
		.object = heap,
		.flags = QUARRY_ALLOCATOR_ANY_CONTEXT | QUARRY_ALLOCATOR_FREES_EACH,
		.max_align = heap->max_align,
		.max_size = heap->max_request,
	};
}
EXPORT_SYMBOL_GPL(quarry_heap_allocator);

/* What is freed all at once: free looks whose it is, and that is all. */

struct linear {
	struct quarry_allocator_ops ops;
	void *(*alloc)(void *object, size_t size, size_t align,
		       unsigned long caller);
	bool (*owns)(void *object, const void *ptr);
};

static const struct linear *linear_of(const struct quarry_allocator *a)
{
	return container_of(a->ops, struct linear, ops);
}

static void *linear_alloc(const struct quarry_allocator *a,
			  struct quarry_layout layout, bool zero,
			  unsigned long caller)
{
	void *ptr = linear_of(a)->alloc(a->object, layout.size, layout.align,
					caller);

	if (ptr && zero)
		memset(ptr, 0, layout.size);
	return ptr;
}

static bool linear_free(const struct quarry_allocator *a, void *ptr,
			struct quarry_layout layout, unsigned long caller)
{
	if (likely(linear_of(a)->owns(a->object, ptr)))
		return true;
	quarry__report("%s: free refused: foreign pointer, by %pS", a->ops->name,
		       (void *)caller);
	return false;
}

/* To shrink costs nothing; what grows leaves the old piece behind. */
static void *linear_realloc(const struct quarry_allocator *a, void *ptr,
			    struct quarry_layout old,
			    struct quarry_layout layout, unsigned long caller)
{
	void *new;

	if (!linear_free(a, ptr, old, caller))
		return NULL;
	if (layout.size <= old.size &&
	    IS_ALIGNED((unsigned long)ptr, layout.align))
		return ptr;
	new = linear_alloc(a, layout, false, caller);
	return new ? memcpy(new, ptr, min(old.size, layout.size)) : NULL;
}

#define LINEAR_OPS(kind)						\
	{ .name = kind, .alloc = linear_alloc, .realloc = linear_realloc, \
	  .free = linear_free }

static struct quarry_allocator linear(const struct linear *kind, void *object,
				      size_t max_align, size_t max_size)
{
	if (IS_ERR_OR_NULL(object))
		return nothing(&kind->ops, object);
	return (struct quarry_allocator) {
		.ops = &kind->ops, .object = object,
		.flags = QUARRY_ALLOCATOR_ANY_CONTEXT,
		.max_align = max_align, .max_size = max_size,
	};
}

/* Arena: the last block comes back, the others wait for a rewind or reset. */

static void *arena_alloc(const struct quarry_allocator *a,
			 struct quarry_layout layout, bool zero,
			 unsigned long caller)
{
	void *ptr = quarry__arena_alloc_slow(a->object, layout.size,
					     layout.align, caller);

	if (ptr && zero)
		memset(ptr, 0, layout.size);
	return ptr;
}

static bool arena_free(const struct quarry_allocator *a, void *ptr,
		       struct quarry_layout layout, unsigned long caller)
{
	return quarry__arena_free_last(a->object, ptr, layout.size, caller) >= 0;
}

static void *arena_realloc(const struct quarry_allocator *a, void *ptr,
			   struct quarry_layout old, struct quarry_layout layout,
			   unsigned long caller)
{
	bool aligned = IS_ALIGNED((unsigned long)ptr, layout.align);
	size_t size = aligned ? layout.size : old.size;	/* else only a look */
	int done = quarry__arena_resize_last(a->object, ptr, old.size, size, caller);
	void *new;

	if (done < 0)
		return NULL;
	if (aligned && (done || layout.size <= old.size))
		return ptr;
	new = arena_alloc(a, layout, false, caller);
	return new ? memcpy(new, ptr, min(old.size, layout.size)) : NULL;
}

static const struct quarry_allocator_ops arena_ops = {
	.name		= "arena",
	.alloc		= arena_alloc,
	.realloc	= arena_realloc,
	.free		= arena_free,
};

struct quarry_allocator quarry_arena_allocator(struct quarry_arena *arena)
{
	if (IS_ERR_OR_NULL(arena))
		return nothing(&arena_ops, arena);
	return (struct quarry_allocator) {
		.ops = &arena_ops,
		.object = arena,
		.flags = QUARRY_ALLOCATOR_ATOMIC | QUARRY_ALLOCATOR_NMI,
		.max_align = QUARRY_ARENA_MAX_ALIGN,
		.max_size = LONG_MAX,
	};
}
EXPORT_SYMBOL_GPL(quarry_arena_allocator);

/* Bump */

static void *bump_alloc(void *object, size_t size, size_t align,
			unsigned long caller)
{
	return quarry__bump_alloc(object, size, align, caller);
}

static bool bump_owns(void *object, const void *ptr)
{
	return quarry_bump_owns(object, ptr, QUARRY_BUMP_ANY_GEN);
}

static const struct linear bump_kind = {
	LINEAR_OPS("bump"), bump_alloc, bump_owns,
};

struct quarry_allocator quarry_bump_allocator(struct quarry_bump *bump)
{
	return linear(&bump_kind, bump, QUARRY_BUMP_MAX_ALIGN,
		      QUARRY_BUMP_MAX_SIZE);
}
EXPORT_SYMBOL_GPL(quarry_bump_allocator);

/* Per-CPU arena */

static void *percpu_arena_alloc(void *object, size_t size, size_t align,
				unsigned long caller)
{
	return quarry__percpu_arena_alloc(object, size, align, caller);
}

static bool percpu_arena_owns(void *object, const void *ptr)
{
	return quarry_percpu_arena_owns(object, ptr);
}

static const struct linear percpu_arena_kind = {
	LINEAR_OPS("percpu_arena"), percpu_arena_alloc, percpu_arena_owns,
};

struct quarry_allocator
quarry_percpu_arena_allocator(struct quarry_percpu_arena *arena)
{
	return linear(&percpu_arena_kind, arena, QUARRY_PERCPU_ARENA_MAX_ALIGN,
		      QUARRY_PERCPU_ARENA_MAX_SIZE);
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_allocator);

/* Stack: the low end */

static void *stack_alloc(const struct quarry_allocator *a,
			 struct quarry_layout layout, bool zero,
			 unsigned long caller)
{
	void *ptr = quarry_stack_push_slow(a->object, layout.size, layout.align,
					   false, caller);

	if (ptr && zero)
		memset(ptr, 0, layout.size);
	return ptr;
}

static bool stack_free(const struct quarry_allocator *a, void *ptr,
		       struct quarry_layout layout, unsigned long caller)
{
	return quarry_stack_pop_slow(a->object, ptr, false, caller);
}

/*
 * The top block in place: its frame word lies behind it, so that a pop and a push
 * at the same address leave its contents alone, and the old size always fits
 * again. Pushed with the alignment that its address has, it comes to that address,
 * whatever alignment it was pushed with. A block below the top can only shrink.
 */
static void *stack_realloc(const struct quarry_allocator *a, void *ptr,
			   struct quarry_layout old,
			   struct quarry_layout layout, unsigned long caller)
{
	unsigned long at = (unsigned long)ptr;
	size_t align = min(at & -at, QUARRY_STACK_MAX_ALIGN), size = 0;
	void *top = quarry_stack_top(a->object, &size), *new;

	if (!IS_ALIGNED(at, layout.align))
		return NULL;
	if (top && top != ptr)
		return layout.size <= old.size ? ptr : NULL;
	/* With none at all the pop says what is wrong. */
	if (!stack_free(a, ptr, old, caller))
		return NULL;
	new = quarry_stack_push_slow(a->object, layout.size, align, false, caller);
	if (!new)
		quarry_stack_push_slow(a->object, size, align, false, caller);
	return new;
}

static const struct quarry_allocator_ops stack_ops = {
	.name		= "stack",
	.alloc		= stack_alloc,
	.realloc	= stack_realloc,
	.free		= stack_free,
};

struct quarry_allocator quarry_stack_allocator(struct quarry_stack *stack)
{
	if (IS_ERR_OR_NULL(stack))
		return nothing(&stack_ops, stack);
	return (struct quarry_allocator) {
		.ops = &stack_ops,
		.object = stack,
		.flags = QUARRY_ALLOCATOR_ATOMIC | QUARRY_ALLOCATOR_NMI,
		.max_align = QUARRY_STACK_MAX_ALIGN,
		.max_size = QUARRY_STACK_MAX_PUSH,
	};
}
EXPORT_SYMBOL_GPL(quarry_stack_allocator);
