// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each kind of object as an allocator. An adapter has no state: it asks the
 * object, also for the sizes that it published, since a handle may have been
 * destroyed and serve another object by now.
 */
#include <linux/string.h>
#include "allocator.h"
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
	if (index >= pool->hot.nr ||
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
