// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an arena's owner does: alloc, mark, rewind, reset. Who may touch what,
 * how two owners are seen and what holds among the words: arena.h.
 */
#include <linux/bitops.h>
#include <linux/instruction_pointer.h>
#include <linux/kernel.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/string.h>
#include "arena.h"

/* In place of an arena: NULL, or an error. Kernel addresses are below errors. */
static inline bool not_an_arena(const struct quarry_arena *arena)
{
	if (IS_ENABLED(CONFIG_X86_64) || IS_ENABLED(CONFIG_ARM64))
		return (long)arena >= -MAX_ERRNO;
	return IS_ERR_OR_NULL(arena);
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
	long busy = atomic_long_cmpxchg_acquire(&arena->busy, 0,
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

static bool enter(struct quarry_arena *arena, unsigned long caller)
{
	if (unlikely(not_an_arena(arena)))
		return refuse_handle(arena, caller);
	return quarry__arena_enter(arena, caller);
}

/* Sanitizers */

static void taken(const struct quarry_arena *arena, void *p, size_t size)
{
	quarry__mem_taken(&arena->current_chunk->region, p, size);
}

static void freed(const struct quarry_chunk *chunk, unsigned long p, size_t size)
{
	if (size)
		quarry__mem_freed(&chunk->region, (void *)p, size);
}

#if QUARRY_KASAN || defined(CONFIG_KMSAN)
void quarry__arena_taken(struct quarry_arena *arena, void *block, size_t size)
{
	taken(arena, block, size);
}
EXPORT_SYMBOL_GPL(quarry__arena_taken);
#endif

/* Where the arena is */

static size_t left_of(const struct quarry_arena *arena,
		      const struct quarry_chunk *chunk)
{
	return chunk == arena->current_chunk ? arena->room : chunk->left;
}

/* Before anything is given back. */
static void note_peak(struct quarry_arena *arena)
{
	size_t used = arena_used(arena);

	if (used > arena->figures.peak)
		WRITE_ONCE(arena->figures.peak, used);
}

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
static struct quarry_chunk *chunk_of(const struct quarry_arena *arena,
				     unsigned long p, size_t size)
{
	struct quarry_chunk *chunk;

	list_for_each_entry(chunk, &arena->chunks, node) {
		size_t used = chunk->size - left_of(arena, chunk);
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

	if (!enter(arena, caller))
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

/* Records */

static u64 mix(const struct quarry_arena *arena, const void *at, u64 a, u64 b,
	       u64 c)
{
	u64 x = arena->secret ^ (unsigned long)at;

	x = (x ^ a) * 0x9e3779b97f4a7c15ULL;	/* 2^64 by the golden ratio */
	x = (ror64(x, 29) ^ b) * 0x9e3779b97f4a7c15ULL;
	return (ror64(x, 29) ^ c) * 0x9e3779b97f4a7c15ULL;
}

static u64 call_check(const struct quarry_arena *arena,
		      const struct arena_call *call)
{
	return mix(arena, call, (unsigned long)call->below,
		   (unsigned long)call->fn, (unsigned long)call->arg);
}

static u64 mark_check(const struct quarry_arena *arena,
		      const struct arena_mark *mark)
{
	return mix(arena, mark, (unsigned long)mark->below,
		   (unsigned long)mark->calls ^ ror64(mark->room, 16),
		   mark->serial);
}

/* Only what is in use is looked at, and as it was written. */
bool quarry__arena_call_good(const struct quarry_arena *arena,
			     const struct arena_call *call)
{
	return chunk_of(arena, (unsigned long)call, sizeof(*call)) &&
	       call->check == call_check(arena, call);
}

bool quarry__arena_mark_good(const struct quarry_arena *arena,
			     const struct arena_mark *mark)
{
	return chunk_of(arena, (unsigned long)mark, sizeof(*mark)) &&
	       mark->check == mark_check(arena, mark);
}

static void drop_calls(struct quarry_arena *arena)
{
	quarry__report("arena \"%s\": deferred call's record overwritten, %llu calls dropped",
		       arena->object.name, arena->figures.deferred);
	arena->figures.dropped += arena->figures.deferred;
	arena->figures.deferred = 0;
	arena->calls = NULL;
}

/*
 * The calls that are newer than @until, the latest first. The arena is taken, and
 * a call's memory is the caller's until it has returned.
 */
static void make_calls(struct quarry_arena *arena, const struct arena_call *until)
{
	while (arena->calls && arena->calls != until) {
		struct arena_call *call = arena->calls;

		if (!quarry__arena_call_good(arena, call))
			return drop_calls(arena);
		arena->calls = call->below;
		WRITE_ONCE(arena->figures.deferred, arena->figures.deferred - 1);
		arena_count(&arena->figures.called);
		call->fn(call->arg);
	}
}

bool quarry_arena_defer(struct quarry_arena *arena, quarry_arena_fn fn, void *arg)
{
	struct arena_call *call = NULL;

	if (!enter(arena, _RET_IP_))
		return false;
	if (!fn) {
		quarry__arena_refuse(arena, ARENA_REQUEST, "defer of no function",
				     _RET_IP_);
		goto out;
	}
	call = quarry__arena_take(arena, sizeof(*call), __alignof__(*call));
	if (!call) {
		arena_count(&arena->figures.failures);
		goto out;
	}
	call->below = arena->calls;
	call->fn = fn;
	call->arg = arg;
	call->check = call_check(arena, call);
	arena->calls = call;
	arena_count(&arena->figures.deferred);
out:
	quarry__arena_leave(arena);
	return call;
}
EXPORT_SYMBOL_GPL(quarry_arena_defer);

/* Mark and rewind */

struct quarry_arena_mark quarry_arena_mark(struct quarry_arena *arena)
{
	struct quarry_arena_mark value = {};
	struct quarry_chunk *before;
	struct arena_mark *mark;
	size_t room;

	if (!enter(arena, _RET_IP_))
		return value;
	before = arena->current_chunk;
	room = arena->room;
	mark = quarry__arena_take(arena, sizeof(*mark), __alignof__(*mark));
	if (mark) {
		mark->below = arena->marks;
		mark->calls = arena->calls;
		mark->room = before == arena->current_chunk ?
			     room : arena->current_chunk->size;
		mark->serial = ++arena->serial;
		mark->check = mark_check(arena, mark);
		arena->marks = mark;
		arena_count(&arena->figures.marks);
		value.arena = arena;
		value.serial = mark->serial;
	} else {
		arena_count(&arena->figures.failures);
	}
	quarry__arena_leave(arena);
	return value;
}
EXPORT_SYMBOL_GPL(quarry_arena_mark);

static void refuse_mark(struct quarry_arena *arena, struct quarry_arena_mark mark,
			unsigned long caller)
{
	if (!mark.arena)
		quarry__arena_refuse(arena, ARENA_MARK_FOREIGN,
				     "rewind refused: a mark that was not made",
				     caller);
	else if (mark.arena != arena || !mark.serial ||
		 mark.serial > arena->serial)
		quarry__arena_refuse(arena, ARENA_MARK_FOREIGN,
				     "rewind refused: mark of another arena",
				     caller);
	else if (mark.serial == arena->used_serial)
		quarry__arena_refuse(arena, ARENA_MARK_USED,
				     "rewind refused: mark used twice", caller);
	else if (mark.serial <= arena->reset_serial)
		quarry__arena_refuse(arena, ARENA_MARK_STALE,
				     "rewind refused: mark from before a reset",
				     caller);
	else if (!arena->marks || mark.serial > arena->marks->serial)
		quarry__arena_refuse(arena, ARENA_MARK_NEWER,
				     "rewind refused: mark is newer than the top",
				     caller);
	else
		quarry__arena_refuse(arena, ARENA_MARK_STALE,
				     "rewind refused: mark was used or rewound past",
				     caller);
}

/*
 * The record of a mark, and how many are newer. One that was overwritten ends
 * the chain: what is below it cannot be rewound to.
 */
static struct arena_mark *mark_find(struct quarry_arena *arena, u64 serial,
				    u64 *newer)
{
	struct arena_mark *mark = arena->marks;

	for (*newer = 0; mark; mark = mark->below, ++*newer) {
		if (!quarry__arena_mark_good(arena, mark)) {
			quarry__report("arena \"%s\": record of a mark was overwritten",
				       arena->object.name);
			return NULL;
		}
		if (mark->serial <= serial)
			return mark->serial == serial ? mark : NULL;
	}
	return NULL;
}

/* What is behind @room bytes before the end of @chunk is free again. */
static void give_back(struct quarry_arena *arena, struct quarry_chunk *chunk,
		      size_t room)
{
	struct quarry_chunk *to = chunk, *last = arena->current_chunk;

	note_peak(arena);
	freed(to, to->end - room, room - left_of(arena, to));
	while (chunk != last) {
		chunk = list_next_entry(chunk, node);
		freed(chunk, chunk->end - chunk->size,
		      chunk->size - left_of(arena, chunk));
		WRITE_ONCE(chunk->left, chunk->size);
	}
	arena->before = 0;
	list_for_each_entry(chunk, &arena->chunks, node) {
		if (chunk == to)
			break;
		arena->before += chunk->size - chunk->left;
	}
	quarry__arena_current(arena, to, room);
}

bool quarry_arena_rewind(struct quarry_arena *arena, struct quarry_arena_mark mark)
{
	struct arena_mark *record = NULL;
	u64 newer;

	if (!enter(arena, _RET_IP_))
		return false;
	if (mark.arena == arena)
		record = mark_find(arena, mark.serial, &newer);
	if (record) {
		make_calls(arena, record->calls);
		arena->marks = record->below;
		arena->used_serial = mark.serial;
		WRITE_ONCE(arena->figures.marks,
			   arena->figures.marks - newer - 1);
		arena_count(&arena->figures.rewinds);
		give_back(arena, chunk_of(arena, (unsigned long)record, 1),
			  record->room);
	} else {
		refuse_mark(arena, mark, _RET_IP_);
	}
	quarry__arena_leave(arena);
	return record;
}
EXPORT_SYMBOL_GPL(quarry_arena_rewind);

/* All calls made, all chunks empty; the arena is taken. */
void quarry__arena_empty(struct quarry_arena *arena)
{
	struct quarry_chunk *first = list_first_entry(&arena->chunks,
						      struct quarry_chunk, node);

	make_calls(arena, NULL);
	arena->marks = NULL;
	arena->reset_serial = arena->serial;
	arena->used_serial = 0;
	WRITE_ONCE(arena->figures.marks, 0);
	give_back(arena, first, first->size);
}

void quarry_arena_reset(struct quarry_arena *arena)
{
	if (!enter(arena, _RET_IP_))
		return;
	quarry__arena_empty(arena);
	arena_count(&arena->figures.resets);
	if (!list_is_singular(&arena->chunks) && quarry__may_sleep())
		quarry__arena_trim(arena);
	quarry__arena_leave(arena);
}
EXPORT_SYMBOL_GPL(quarry_arena_reset);

/* The last block */

static bool within(const void *p, unsigned long from, unsigned long to)
{
	return (unsigned long)p >= from && (unsigned long)p < to;
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

	if (!size || !chunk_of(arena, at, size)) {
		quarry__arena_refuse(arena, ARENA_POINTER,
				     "refused: not a block of this arena", caller);
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

bool quarry_arena_free_last(struct quarry_arena *arena, void *block, size_t size)
{
	int last;

	if (!block || !enter(arena, _RET_IP_))
		return false;
	last = is_last(arena, block, size, _RET_IP_);
	if (last > 0) {
		note_peak(arena);
		WRITE_ONCE(arena->room, arena->room + QUARRY_ARENA_STEP(size));
		freed(arena->current_chunk, (unsigned long)block,
		      QUARRY_ARENA_STEP(size));
		arena_count(&arena->figures.freed);
	} else if (!last) {
		arena_count(&arena->figures.kept);
	}
	quarry__arena_leave(arena);
	return last > 0;
}
EXPORT_SYMBOL_GPL(quarry_arena_free_last);

/* The last granule of the smaller size is whole in the larger, or in part. */
static void resize(struct quarry_arena *arena, void *block, size_t size,
		   size_t new_size)
{
	size_t from = round_down(min(size, new_size), QUARRY_GRANULE);

	if (new_size < size)
		note_peak(arena);
	WRITE_ONCE(arena->room, arena->room + QUARRY_ARENA_STEP(size) -
		   QUARRY_ARENA_STEP(new_size));
	if (new_size < size)
		freed(arena->current_chunk, (unsigned long)block + from,
		      QUARRY_ARENA_STEP(size) - from);
	if (new_size > from)
		taken(arena, block + from, new_size - from);
}

bool quarry_arena_resize_last(struct quarry_arena *arena, void *block,
			      size_t size, size_t new_size)
{
	bool done = false;

	if (!enter(arena, _RET_IP_))
		return false;
	if (!good_request(arena, new_size, 1, _RET_IP_) ||
	    is_last(arena, block, size, _RET_IP_) <= 0)
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

	if (!enter(arena, _RET_IP_))
		return false;
	owns = chunk_of(arena, (unsigned long)ptr, 1);
	quarry__arena_leave(arena);
	return owns;
}
EXPORT_SYMBOL_GPL(quarry_arena_owns);
