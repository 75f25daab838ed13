// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an arena's owner does: alloc, and the last block. Who may touch what,
 * how two owners are seen and what holds among the words: arena.h.
 */
#include <linux/instruction_pointer.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>
#include "arena.h"

static inline bool not_an_arena(const struct quarry_arena *arena)
{
	return not_a_handle(arena);
}

static noinline bool refuse_handle(const struct quarry_arena *arena,
				   unsigned long caller)
{
	quarry__report("not an arena: %ld in place of a handle, by %pS",
		       PTR_ERR(arena), (void *)caller);
	return false;
}

/* Refusals end here: one counter, one report, no change. */
void quarry__arena_refuse(struct quarry_arena *arena, enum arena_refusal why,
			  const char *what, unsigned long caller)
{
	atomic_long_inc(&arena->refused[why]);
	quarry__report("arena \"%s\": %s, by %pS", arena->object.name, what,
		       (void *)caller);
}

static noinline void refuse_owner(struct quarry_arena *arena, long busy,
				  unsigned long caller)
{
	atomic_long_inc(&arena->refused[ARENA_OWNERS]);
	quarry__report("arena \"%s\": two owners at once: task %d comes while %ld is in, by %pS",
		       arena->object.name, task_pid_nr(current), busy - 1,
		       (void *)caller);
}

/* The owner comes: from here to the leave no alloc hits. */
bool quarry__arena_enter(struct quarry_arena *arena, unsigned long caller)
{
	long busy;

	if (unlikely(not_an_arena(arena)))
		return refuse_handle(arena, caller);
	busy = atomic_long_cmpxchg_acquire(&arena->busy, 0,
					   1L + task_pid_nr(current));
	if (unlikely(busy)) {
		refuse_owner(arena, busy, caller);
		return false;
	}
	if (unlikely(arena->closed)) {
		atomic_long_set_release(&arena->busy, 0);
		quarry__arena_refuse(arena, ARENA_DEAD, "destroyed arena", caller);
		return false;
	}
	if (!arena_strict(arena)) {
		WRITE_ONCE(arena->room, arena->hot.room);
		WRITE_ONCE(arena->hot.room, 0);
	}
	return true;
}

void quarry__arena_leave(struct quarry_arena *arena)
{
	if (!arena_strict(arena))
		WRITE_ONCE(arena->hot.room, arena->room);
	/* Release: pairs with the acquire of whoever enters next. */
	atomic_long_set_release(&arena->busy, 0);
}

/* Sanitizers */

static void taken(const struct quarry_arena *arena, void *p, size_t size)
{
	quarry__mem_taken(&arena->current_chunk->region, p, size);
}

#if QUARRY_KASAN || defined(CONFIG_KMSAN)
void quarry__arena_taken(struct quarry_arena *arena, void *block, size_t size)
{
	taken(arena, block, size);
}
EXPORT_SYMBOL_GPL(quarry__arena_taken);
#endif

/* Where the arena is */

/* @chunk is the current one, with so much room; @before is the caller's. */
void quarry__arena_current(struct quarry_arena *arena,
			   struct quarry_chunk *chunk, size_t room)
{
	WRITE_ONCE(arena->current_chunk, chunk);
	WRITE_ONCE(arena->room, room);
	arena->hot.end = chunk->end;
	/* The bits of end from its lowest on; of a page-aligned one, from 4096 on. */
	arena->hot.misfit = -min(chunk->end & -chunk->end, QUARRY_ARENA_MAX_ALIGN);
}

/* Chunk whose used part holds all of [@p, @p + @size), or NULL. */
struct quarry_chunk *quarry__arena_chunk(const struct quarry_arena *arena,
					 unsigned long p, size_t size)
{
	struct quarry_chunk *chunk;

	list_for_each_entry(chunk, &arena->chunks, node) {
		size_t used = chunk->size - arena_left(arena, chunk);
		unsigned long start = chunk->end - chunk->size;

		if (p >= start && p - start < used && used - (p - start) >= size)
			return chunk;
		if (chunk == arena->current_chunk)
			break;
	}
	return NULL;
}

/* Does a block fit in the last @room bytes before @end? What is @left then. */
static bool fits(unsigned long end, size_t room, size_t size, size_t align,
		 size_t *left)
{
	size_t pad = -(end - room) & (align - 1);

	if (room < pad || room - pad < size)
		return false;
	*left = room - pad - QUARRY_ARENA_STEP(size);
	return true;
}

/*
 * A block from the current chunk, or from one behind it; the arena is taken and
 * the request good. NULL leaves all as it was.
 */
void *quarry__arena_take(struct quarry_arena *arena, size_t size, size_t align)
{
	struct quarry_chunk *chunk = arena->current_chunk;
	size_t left, room = arena->room;
	void *block;

	if (!fits(chunk->end, room, size, align, &left)) {
		do {
			chunk = list_next_entry(chunk, node);
			if (list_entry_is_head(chunk, &arena->chunks, node))
				return NULL;
		} while (!fits(chunk->end, chunk->size, size, align, &left));
		WRITE_ONCE(arena->current_chunk->left, room);
		arena->before += arena->current_chunk->size - room;
		quarry__arena_current(arena, chunk, chunk->size);
	}
	WRITE_ONCE(arena->room, left);
	block = (void *)(chunk->end - left - QUARRY_ARENA_STEP(size));
	taken(arena, block, size);
	return block;
}

/* Alloc */

static bool good_request(struct quarry_arena *arena, size_t size, size_t align,
			 unsigned long caller)
{
	if (likely(size && is_power_of_2(align) &&
		   align <= QUARRY_ARENA_MAX_ALIGN))
		return true;
	quarry__arena_refuse(arena, ARENA_REQUEST,
			     size ? "bad alignment" : "bad size 0", caller);
	return false;
}

void *quarry__arena_alloc_slow(struct quarry_arena *arena, size_t size,
			       size_t align, unsigned long caller)
{
	void *block = NULL;

	if (!quarry__arena_enter(arena, caller))
		return NULL;
	if (good_request(arena, size, align, caller)) {
		block = quarry__arena_take(arena, size, align);
		if (!block)
			arena_count(&arena->figures.failures);
	}
	quarry__arena_leave(arena);
	return block;
}

void *quarry_arena_alloc_slow(struct quarry_arena *arena, size_t size,
			      size_t align)
{
	return quarry__arena_alloc_slow(arena, size, align, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_arena_alloc_slow);

static __always_inline void *alloc(struct quarry_arena *arena, size_t size,
				   size_t align, unsigned long caller)
{
	if (unlikely(not_an_arena(arena)))
		return quarry__arena_alloc_slow(arena, size, align, caller);
	return quarry_arena_hit_alloc(arena, size, align, caller);
}

void *quarry_arena_alloc_any(struct quarry_arena *arena, size_t size,
			     size_t align)
{
	if (unlikely(not_an_arena(arena)))
		return quarry_arena_alloc_slow(arena, size, align);
	return quarry_arena_hit_alloc(arena, size, align, 0);
}
EXPORT_SYMBOL_GPL(quarry_arena_alloc_any);

/* The caller's compiler has checked the alignment, which every end is good for. */
void *quarry_arena_alloc_const(struct quarry_arena *arena, size_t size,
			       unsigned long mask)
{
	size_t room;
	void *block;

	if (unlikely(not_an_arena(arena)))
		goto slow;
	room = arena->hot.room & mask;
	if (unlikely(size - 1 >= room))
		goto slow;
	block = (void *)(arena->hot.end - room);
	WRITE_ONCE(arena->hot.room, room - QUARRY_ARENA_STEP(size));
	quarry__arena_taken(arena, block, size);
	return block;
slow:
	return quarry_arena_alloc_slow(arena, size, -mask);
}
EXPORT_SYMBOL_GPL(quarry_arena_alloc_const);

void *quarry_arena_zalloc(struct quarry_arena *arena, size_t size, size_t align)
{
	void *block = alloc(arena, size, align, _RET_IP_);

	return block ? memset(block, 0, size) : NULL;
}
EXPORT_SYMBOL_GPL(quarry_arena_zalloc);

void *quarry_arena_memdup(struct quarry_arena *arena, const void *from,
			  size_t size)
{
	void *block = from ? alloc(arena, size, 8, _RET_IP_) : NULL;

	return block ? memcpy(block, from, size) : NULL;
}
EXPORT_SYMBOL_GPL(quarry_arena_memdup);

char *quarry_arena_strdup(struct quarry_arena *arena, const char *from)
{
	size_t size = from ? strlen(from) + 1 : 0;
	char *string = from ? alloc(arena, size, 1, _RET_IP_) : NULL;

	if (!string)
		return NULL;
	memcpy(string, from, size);
	string[size - 1] = '\0';	/* whatever @from has become */
	return string;
}
EXPORT_SYMBOL_GPL(quarry_arena_strdup);

static __printf(2, 0)
char *format(struct quarry_arena *arena, const char *fmt, va_list args,
	     unsigned long caller)
{
	va_list again;
	char *string;
	int length;

	va_copy(again, args);
	length = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	string = alloc(arena, length + 1UL, 1, caller);
	if (string)
		vsnprintf(string, length + 1UL, fmt, args);
	return string;
}

char *quarry_arena_vprintf(struct quarry_arena *arena, const char *fmt,
			   va_list args)
{
	return format(arena, fmt, args, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_arena_vprintf);

char *quarry_arena_printf(struct quarry_arena *arena, const char *fmt, ...)
{
	va_list args;
	char *string;

	va_start(args, fmt);
	string = format(arena, fmt, args, _RET_IP_);
	va_end(args);
	return string;
}
EXPORT_SYMBOL_GPL(quarry_arena_printf);

/* The last block */

static bool within(const void *p, unsigned long from, unsigned long to)
{
	return (unsigned long)p >= from && (unsigned long)p < to;
}

/* Nothing that this arena has handed out: perhaps another object's. */
static void refuse_foreign(struct quarry_arena *arena, unsigned long at,
			   unsigned long caller)
{
	const char *kind, *name;
	long other;

	rcu_read_lock();
	other = quarry__find(at, &arena->object, &kind, &name);
	if (other < 0) {
		quarry__arena_refuse(arena, ARENA_POINTER,
				     "refused: not a block of this arena", caller);
	} else {
		atomic_long_inc(&arena->refused[ARENA_POINTER]);
		quarry__report("arena \"%s\": refused: it is of %s \"%s\" block %ld, by %pS",
			       arena->object.name, kind, name, other,
			       (void *)caller);
	}
	rcu_read_unlock();
}

/*
 * Is it the last one? 0 when it is another, -EINVAL when it cannot be a block of
 * this arena, which is refused.
 */
static int is_last(struct quarry_arena *arena, void *block, size_t size,
		   unsigned long caller)
{
	unsigned long at = (unsigned long)block;
	unsigned long top = arena->current_chunk->end - arena->room;

	if (!size || !quarry__arena_chunk(arena, at, size)) {
		refuse_foreign(arena, at, caller);
		return -EINVAL;
	}
	if (top - at != QUARRY_ARENA_STEP(size))
		return 0;
	if (!within(arena->marks, at, top) && !within(arena->calls, at, top))
		return 1;
	quarry__arena_refuse(arena, ARENA_POINTER,
			     "refused: a mark or a deferred call is in the block",
			     caller);
	return -EINVAL;
}

int quarry__arena_free_last(struct quarry_arena *arena, void *block, size_t size,
			    unsigned long caller)
{
	int last;

	if (!quarry__arena_enter(arena, caller))
		return -EINVAL;
	last = is_last(arena, block, size, caller);
	if (last > 0) {
		arena_note_peak(arena);
		WRITE_ONCE(arena->room, arena->room + QUARRY_ARENA_STEP(size));
		arena_freed(arena->current_chunk, (unsigned long)block,
			    QUARRY_ARENA_STEP(size));
		arena_count(&arena->figures.freed);
	} else if (!last) {
		arena_count(&arena->figures.kept);
	}
	quarry__arena_leave(arena);
	return last;
}

bool quarry_arena_free_last(struct quarry_arena *arena, void *block, size_t size)
{
	return block && quarry__arena_free_last(arena, block, size, _RET_IP_) > 0;
}
EXPORT_SYMBOL_GPL(quarry_arena_free_last);

/* The last granule of the smaller size is whole in the larger, or in part. */
static void resize(struct quarry_arena *arena, void *block, size_t size,
		   size_t new_size)
{
	size_t from = round_down(min(size, new_size), QUARRY_GRANULE);

	if (new_size < size)
		arena_note_peak(arena);
	WRITE_ONCE(arena->room, arena->room + QUARRY_ARENA_STEP(size) -
		   QUARRY_ARENA_STEP(new_size));
	if (new_size < size)
		arena_freed(arena->current_chunk, (unsigned long)block + from,
			    QUARRY_ARENA_STEP(size) - from);
	if (new_size > from)
		taken(arena, block + from, new_size - from);
}

int quarry__arena_resize_last(struct quarry_arena *arena, void *block, size_t size,
			      size_t new_size, unsigned long caller)
{
	int done = -EINVAL;

	if (!quarry__arena_enter(arena, caller))
		return done;
	if (good_request(arena, new_size, 1, caller))
		done = is_last(arena, block, size, caller);
	if (done <= 0)
		goto out;
	done = new_size <= arena->room + QUARRY_ARENA_STEP(size);
	if (done)
		resize(arena, block, size, new_size);
	else
		arena_count(&arena->figures.failures);
out:
	quarry__arena_leave(arena);
	return done;
}

bool quarry_arena_resize_last(struct quarry_arena *arena, void *block,
			      size_t size, size_t new_size)
{
	return quarry__arena_resize_last(arena, block, size, new_size,
					 _RET_IP_) > 0;
}
EXPORT_SYMBOL_GPL(quarry_arena_resize_last);

/* Questions */

size_t quarry_arena_used(struct quarry_arena *arena)
{
	if (not_an_arena(arena) || arena->closed)
		return 0;
	return arena_used(arena);
}
EXPORT_SYMBOL_GPL(quarry_arena_used);

size_t quarry_arena_capacity(struct quarry_arena *arena)
{
	return not_an_arena(arena) ? 0 : READ_ONCE(arena->capacity);
}
EXPORT_SYMBOL_GPL(quarry_arena_capacity);

bool quarry_arena_owns(struct quarry_arena *arena, const void *ptr)
{
	bool owns;

	if (!quarry__arena_enter(arena, _RET_IP_))
		return false;
	owns = quarry__arena_chunk(arena, (unsigned long)ptr, 1);
	quarry__arena_leave(arena);
	return owns;
}
EXPORT_SYMBOL_GPL(quarry_arena_owns);
