// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an arena gives back: marks and deferred calls, whose records lie among the
 * blocks, rewind and reset. How a record is checked before it is used: arena.h.
 */
#include <linux/bitops.h>
#include <linux/instruction_pointer.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include "arena.h"

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
	return quarry__arena_chunk(arena, (unsigned long)call, sizeof(*call)) &&
	       call->check == call_check(arena, call);
}

bool quarry__arena_mark_good(const struct quarry_arena *arena,
			     const struct arena_mark *mark)
{
	return quarry__arena_chunk(arena, (unsigned long)mark, sizeof(*mark)) &&
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

	if (!quarry__arena_enter(arena, _RET_IP_))
		return false;
	if (!fn || READ_ONCE(arena->object.state) != QUARRY_OK) {
		quarry__arena_refuse(arena, ARENA_REQUEST,
				     fn ? "defer on an orphan" :
					  "defer of no function", _RET_IP_);
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

	if (!quarry__arena_enter(arena, _RET_IP_))
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
	else if (mark.serial <= arena->lost_serial)
		quarry__arena_refuse(arena, ARENA_MARK_STALE,
				     "rewind refused: record of the mark, or of one above it, was overwritten",
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

/* The chain ends above a record that was overwritten; @above, if any, has @nr. */
static void drop_marks(struct quarry_arena *arena, struct arena_mark *above, u64 nr)
{
	quarry__report("arena \"%s\": record of a mark was overwritten",
		       arena->object.name);
	arena->lost_serial = above ? above->serial - 1 : arena->serial;
	WRITE_ONCE(arena->figures.marks, nr);
	if (above) {
		above->below = NULL;
		above->check = mark_check(arena, above);
	} else {
		arena->marks = NULL;
	}
}

/*
 * The record of a mark, and how many are newer. One that was overwritten ends
 * the chain: what is below it cannot be rewound to.
 */
static struct arena_mark *mark_find(struct quarry_arena *arena, u64 serial,
				    u64 *newer)
{
	struct arena_mark *mark = arena->marks, *above = NULL;

	for (*newer = 0; mark; above = mark, mark = mark->below, ++*newer) {
		if (!quarry__arena_mark_good(arena, mark)) {
			drop_marks(arena, above, *newer);
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

	arena_note_peak(arena);
	arena_freed(to, to->end - room, room - arena_left(arena, to));
	while (chunk != last) {
		chunk = list_next_entry(chunk, node);
		arena_freed(chunk, chunk->end - chunk->size,
			    chunk->size - arena_left(arena, chunk));
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
	struct arena_mark *record = NULL, found;
	u64 newer;

	if (!quarry__arena_enter(arena, _RET_IP_))
		return false;
	if (mark.arena == arena)
		record = mark_find(arena, mark.serial, &newer);
	if (record) {
		found = *record;	/* a call may overrun it */
		make_calls(arena, found.calls);
		arena->marks = found.below;
		arena->used_serial = mark.serial;
		WRITE_ONCE(arena->figures.marks,
			   arena->figures.marks - newer - 1);
		arena_count(&arena->figures.rewinds);
		give_back(arena, quarry__arena_chunk(arena, (unsigned long)record, 1),
			  found.room);
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
	arena->lost_serial = 0;
	WRITE_ONCE(arena->figures.marks, 0);
	give_back(arena, first, first->size);
}

void quarry_arena_reset(struct quarry_arena *arena)
{
	if (!quarry__arena_enter(arena, _RET_IP_))
		return;
	quarry__arena_empty(arena);
	arena_count(&arena->figures.resets);
	if (!list_is_singular(&arena->chunks) && quarry__may_sleep())
		quarry__arena_trim(arena);
	quarry__arena_leave(arena);
}
EXPORT_SYMBOL_GPL(quarry_arena_reset);
