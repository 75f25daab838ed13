// SPDX-License-Identifier: GPL-2.0-only
/*
 * An arena's life: create, chunks that come and go, destroy.
 *
 * Locks, outer first: the registry's (the summary is called with it), tree_lock
 * (parents and children), an arena's @lock (its list of chunks).
 * No deferred call is made under any of them.
 *
 * Handles are type-stable: a destroyed arena's struct is kept and used again, so
 * that an operation on it finds a closed arena and not another type's memory.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include "arena.h"

static LIST_HEAD(retired);
static DEFINE_MUTEX(tree_lock);

#define invalid(name, fmt, ...)						\
	quarry__invalid("arena", name, fmt, ##__VA_ARGS__)

/* Chunks */

/* Own memory ends with a page: the guard is right behind, alignment is had. */
static struct quarry_chunk *chunk_map(const struct quarry_arena *arena,
				      size_t size)
{
	struct quarry_chunk *chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);

	if (!chunk)
		return ERR_PTR(-ENOMEM);
	if (quarry__region_map(&chunk->region, PAGE_ALIGN(size), arena->flags,
			       arena->node)) {
		kfree(chunk);
		return ERR_PTR(-ENOMEM);
	}
	chunk->end = (unsigned long)chunk->region.base + chunk->region.size;
	chunk->size = size;
	return chunk;
}

static void chunk_unmap(struct quarry_arena *arena, struct quarry_chunk *chunk)
{
	if (READ_ONCE(arena->object.state) != QUARRY_DEAD ||
	    !chunk->region.borrowed)
		quarry__mem_restore(&chunk->region);
	quarry__region_unmap(&chunk->region);
	kfree_rcu(chunk, rcu);
}

/* The last in the list, empty. */
static void chunk_add(struct quarry_arena *arena, struct quarry_chunk *chunk)
{
	chunk->left = chunk->size;
	quarry__mem_freed(&chunk->region, chunk->region.base,
			  chunk->region.size);
	mutex_lock(&arena->lock);
	list_add_tail_rcu(&chunk->node, &arena->chunks);
	WRITE_ONCE(arena->capacity, arena->capacity + chunk->size);
	mutex_unlock(&arena->lock);
}

/* The views let go of it before it is unmapped. */
static void chunk_remove(struct quarry_arena *arena, struct quarry_chunk *chunk)
{
	mutex_lock(&arena->lock);
	list_del_rcu(&chunk->node);
	WRITE_ONCE(arena->capacity, arena->capacity - chunk->size);
	mutex_unlock(&arena->lock);
	chunk_unmap(arena, chunk);
}

/* All are empty: the largest stays, and what is not ours to unmap. */
void quarry__arena_trim(struct quarry_arena *arena)
{
	struct quarry_chunk *chunk, *next, *largest = arena->current_chunk;

	list_for_each_entry(chunk, &arena->chunks, node)
		if (chunk->size > largest->size)
			largest = chunk;
	if (!arena->current_chunk->region.borrowed)
		quarry__arena_current(arena, largest, largest->size);
	list_for_each_entry_safe(chunk, next, &arena->chunks, node)
		if (chunk != largest && !chunk->region.borrowed)
			chunk_remove(arena, chunk);
}

/* A chunk for @need bytes at least, within the limit. The arena is taken. */
static int grow(struct quarry_arena *arena, size_t need)
{
	size_t left = arena->limit - arena->capacity, size;
	struct quarry_chunk *chunk;

	if (need > left)
		return -ENOSPC;
	chunk = list_last_entry(&arena->chunks, struct quarry_chunk, node);
	if (check_mul_overflow(chunk->size, (size_t)arena->growth, &size))
		size = left;
	chunk = chunk_map(arena, min(max(size, need), left));
	if (IS_ERR(chunk))
		return PTR_ERR(chunk);
	chunk_add(arena, chunk);
	arena_count(&arena->figures.grown);
	return 0;
}

static bool may_grow(struct quarry_arena *arena, unsigned long caller)
{
	if (quarry__may_sleep()) {
		might_sleep();
		return true;
	}
	quarry__arena_refuse(arena, ARENA_REQUEST,
			     "would sleep in a context that may not", caller);
	return false;
}

void *quarry_arena_alloc_sleep(struct quarry_arena *arena, size_t size,
			       size_t align)
{
	void *block = NULL;
	size_t need;

	if (IS_ERR_OR_NULL(arena) || !size || !is_power_of_2(align) ||
	    align > QUARRY_ARENA_MAX_ALIGN)		/* which says so */
		return quarry__arena_alloc_slow(arena, size, align,
						_RET_IP_);
	if (!quarry__arena_enter(arena, _RET_IP_))
		return NULL;
	if (!may_grow(arena, _RET_IP_))
		goto out;
	block = quarry__arena_take(arena, size, align);
	if (!block && size <= arena->limit) {
		/* A chunk's end is aligned: so much room has a block in it. */
		need = round_up(size, max(align, 8UL));
		if (!grow(arena, need))
			block = quarry__arena_take(arena, size, align);
	}
	if (!block)
		arena_count(&arena->figures.failures);
out:
	quarry__arena_leave(arena);
	return block;
}
EXPORT_SYMBOL_GPL(quarry_arena_alloc_sleep);

static bool has_room(struct quarry_arena *arena, size_t size)
{
	struct quarry_chunk *chunk = arena->current_chunk;

	if (round_down(arena->room, 8) >= size)
		return true;
	list_for_each_entry_continue(chunk, &arena->chunks, node)
		if (chunk->size >= size)
			return true;
	return false;
}

int quarry_arena_reserve(struct quarry_arena *arena, size_t size)
{
	int err = -EINVAL;

	if (IS_ERR_OR_NULL(arena) || !size) {
		quarry__arena_alloc_slow(arena, 0, 1, _RET_IP_);	/* says so */
		return err;
	}
	if (!quarry__arena_enter(arena, _RET_IP_))
		return err;
	if (!may_grow(arena, _RET_IP_))
		goto out;
	err = -ENOSPC;
	if (size <= arena->limit) {
		size = round_up(size, 8);
		err = has_room(arena, size) ? 0 : grow(arena, size);
	}
	if (err)
		arena_count(&arena->figures.failures);
out:
	quarry__arena_leave(arena);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_arena_reserve);

/* Create */

static const struct quarry_kind kind;

static int check_args(const char *name, size_t first,
		      const struct quarry_arena_args *args)
{
	struct quarry_placement at = quarry__placement(args);
	int err = quarry__create_check("arena", name, &at, QUARRY_ARENA_STRICT);

	if (err)
		return err;
	if (!first)
		return invalid(name, "bad first_chunk 0");
	if (args->growth > QUARRY_ARENA_MAX_GROWTH)
		return invalid(name, "bad growth %u, more than %u", args->growth,
			       QUARRY_ARENA_MAX_GROWTH);
	if (first > LONG_MAX - PAGE_SIZE || args->limit > LONG_MAX - PAGE_SIZE)
		return -EOVERFLOW;
	if (args->limit && round_down(args->limit, 8) <
			   max(round_up(first, 8), round_down(args->memory_size, 8)))
		return invalid(name, "bad limit %zu, less than the first chunk",
			       args->limit);
	if (IS_ERR(args->parent))
		return invalid(name, "bad parent: error %ld in place of an arena",
			       PTR_ERR(args->parent));
	if (args->parent && READ_ONCE(args->parent->closed))
		return invalid(name, "bad parent: it is destroyed");
	return 0;
}

static struct quarry_arena *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_arena *arena;

	arena = object ? to_arena(object) : kzalloc(sizeof(*arena), GFP_KERNEL);
	if (!arena)
		return NULL;
	/* Closed until it is built: a stale pointer to it may be in use. */
	arena->closed = true;
	memset((void *)arena + offsetofend(struct quarry_arena, busy), 0,
	       sizeof(*arena) - offsetofend(struct quarry_arena, busy));
	INIT_LIST_HEAD(&arena->chunks);
	INIT_LIST_HEAD(&arena->children);
	INIT_LIST_HEAD(&arena->sibling);
	mutex_init(&arena->lock);
	return arena;
}

static int first_map(struct quarry_arena *arena, const char *name,
		     const struct quarry_arena_args *args)
{
	struct quarry_placement at = quarry__placement(args);
	struct quarry_chunk *chunk;
	int err;

	if (!args->memory) {
		if ((args->flags & QUARRY_ON_NODE) &&
		    (args->flags & QUARRY_ACCOUNT)) {
			/* Not all kernels can; region_take() says so. */
			struct quarry_region probe;

			err = quarry__region_take(&probe, "arena", name,
						  PAGE_SIZE, 8, &at);
			if (err)
				return err;
			quarry__region_unmap(&probe);
		}
		chunk = chunk_map(arena, arena->first_chunk);
		if (IS_ERR(chunk))
			return PTR_ERR(chunk);
		goto add;
	}
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	err = quarry__region_take(&chunk->region, "arena", name,
				  arena->first_chunk, 8, &at);
	if (err) {
		kfree(chunk);
		return err;
	}
	chunk->region.size = round_down(chunk->region.size, 8);
	chunk->size = chunk->region.size;
	chunk->end = (unsigned long)chunk->region.base + chunk->size;
add:
	chunk_add(arena, chunk);
	quarry__arena_current(arena, chunk, chunk->size);
	return 0;
}

static void unmap_chunks(struct quarry_arena *arena)
{
	struct quarry_chunk *chunk, *next;

	list_for_each_entry_safe(chunk, next, &arena->chunks, node)
		chunk_remove(arena, chunk);
	arena->current_chunk = NULL;
}

static void adopt(struct quarry_arena *arena, struct quarry_arena *parent)
{
	mutex_lock(&tree_lock);
	arena->parent = parent;
	if (parent)
		list_add_tail(&arena->sibling, &parent->children);
	mutex_unlock(&tree_lock);
}

struct quarry_arena *quarry_arena_create_owned(struct module *owner,
					       unsigned int layout,
					       const char *name,
					       size_t first_chunk,
					       const struct quarry_arena_args *args)
{
	static const struct quarry_arena_args defaults;
	struct quarry_arena *arena;
	int err;

	if (!args)
		args = &defaults;
	if (layout != QUARRY_ARENA_LAYOUT)
		return ERR_PTR(invalid(name, "client built for layout %u, not %u",
				       layout, QUARRY_ARENA_LAYOUT));
	err = check_args(name, first_chunk, args);
	if (err)
		return ERR_PTR(err);
	might_sleep();
	arena = handle_get();
	if (!arena)
		return ERR_PTR(-ENOMEM);
	arena->first_chunk = round_up(first_chunk, 8);
	arena->growth = args->growth ?: 2;
	arena->flags = args->flags;
	arena->node = args->node;
	arena->secret = get_random_u64();
	/* A serial is never used twice: what the last life left is stale. */
	arena->reset_serial = arena->serial;
	arena->lost_serial = 0;
	err = first_map(arena, name, args);
	if (err) {
		quarry__handle_retire(&arena->object, &retired);
		return ERR_PTR(err);
	}
	arena->limit = args->limit ? round_down(args->limit, 8) : arena->capacity;
	adopt(arena, args->parent);
	if (!arena_strict(arena))
		WRITE_ONCE(arena->hot.room, arena->room);
	/* The last store: before it, whoever holds a stale handle is refused. */
	WRITE_ONCE(arena->closed, false);
	quarry__register(&arena->object, name, &kind, owner);
	return arena;
}
EXPORT_SYMBOL_GPL(quarry_arena_create_owned);

/* Destroy */

/* From here on each operation goes the slow way and finds the arena closed. */
static void close(struct quarry_arena *arena)
{
	WRITE_ONCE(arena->closed, true);
	WRITE_ONCE(arena->hot.room, 0);
}

static void leave_parent(struct quarry_arena *arena)
{
	struct quarry_arena *child;

	mutex_lock(&tree_lock);
	list_del_init(&arena->sibling);
	arena->parent = NULL;
	list_for_each_entry(child, &arena->children, sibling)
		child->parent = NULL;
	list_del_init(&arena->children);
	mutex_unlock(&tree_lock);
}

/* Give all back; nobody uses the arena, and it is not in the registry. */
static void release(struct quarry_object *object)
{
	struct quarry_arena *arena = to_arena(object);

	close(arena);
	leave_parent(arena);
	unmap_chunks(arena);
	quarry__handle_retire(&arena->object, &retired);
}

/*
 * The owner's text is gone; memory that it lent too, and is not to be read. Such an
 * arena is no child any more, nor a parent: it outlives the one, and nobody is to
 * destroy the others by it.
 */
static void orphan(struct quarry_object *object)
{
	struct quarry_arena *arena = to_arena(object);
	struct quarry_chunk *chunk;

	WRITE_ONCE(arena->figures.dropped,
		   arena->figures.dropped + arena->figures.deferred);
	WRITE_ONCE(arena->figures.deferred, 0);
	arena->calls = NULL;
	chunk = list_first_entry(&arena->chunks, struct quarry_chunk, node);
	if (chunk->region.borrowed) {
		WRITE_ONCE(arena->room, arena_room(arena));
		close(arena);
		quarry__mark(object, QUARRY_DEAD);
		leave_parent(arena);
	}
}

/* The arena itself; its children are gone. */
static bool destroy_one(struct quarry_arena *arena, unsigned long caller)
{
	if (!quarry__arena_enter(arena, caller))
		return false;
	quarry__arena_empty(arena);
	close(arena);
	WRITE_ONCE(arena->room, 0);
	atomic_long_set_release(&arena->busy, 0);
	quarry__unregister(&arena->object);
	release(&arena->object);
	return true;
}

/* The latest one that is open: another is being destroyed already. */
static struct quarry_arena *last_child(struct quarry_arena *arena)
{
	struct quarry_arena *child;

	list_for_each_entry_reverse(child, &arena->children, sibling)
		if (!READ_ONCE(child->closed))
			return child;
	return NULL;
}

/* The latest of the youngest generation below @arena, or @arena. */
static struct quarry_arena *youngest(struct quarry_arena *arena)
{
	struct quarry_arena *child;

	mutex_lock(&tree_lock);
	while ((child = last_child(arena)))
		arena = child;
	mutex_unlock(&tree_lock);
	return arena;
}

void quarry_arena_destroy(struct quarry_arena *arena)
{
	struct quarry_arena *victim;

	if (IS_ERR_OR_NULL(arena))
		return;
	if (!quarry__may_sleep()) {
		quarry__arena_refuse(arena, ARENA_REQUEST,
				     "destroyed in a context that may not sleep: refused",
				     _RET_IP_);
		return;
	}
	if (READ_ONCE(arena->closed)) {
		quarry__arena_refuse(arena, ARENA_DEAD, "destroyed twice",
				     _RET_IP_);
		return;
	}
	might_sleep();
	do {
		victim = youngest(arena);
		if (!destroy_one(victim, _RET_IP_) &&
		    (victim == arena || !READ_ONCE(victim->closed)))
			return;		/* two owners */
	} while (victim != arena);
}
EXPORT_SYMBOL_GPL(quarry_arena_destroy);

/* Number of the chunk that holds @address. Under RCU: chunks come and go. */
static long find(struct quarry_object *object, unsigned long address)
{
	struct quarry_arena *arena = to_arena(object);
	struct quarry_chunk *chunk;
	long nr = 0;

	if (READ_ONCE(object->state) == QUARRY_DEAD)
		return -1;
	list_for_each_entry_rcu(chunk, &arena->chunks, node) {
		if (chunk->end - address - 1 < chunk->size)
			return nr;
		nr++;
	}
	return -1;
}

static const struct quarry_kind kind = {
	.name		= "arena",
	.row		= quarry__arena_row,
	.config		= quarry__arena_config,
	.stats		= quarry__arena_stats,
	.map		= quarry__arena_map,
	.verify		= quarry__arena_verify,
	.reset		= quarry__arena_reset_figures,
	.find		= find,
	.orphan		= orphan,
	.release	= release,
};

/* Module */

void quarry__arena_exit(void)
{
	struct quarry_arena *arena, *next;

	list_for_each_entry_safe(arena, next, &retired, object.node)
		kfree(arena);
}
