/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arena inside: its words, who may touch each, and what holds among them.
 *
 * One owner at a time uses an arena, in any context. The others who look are
 * the views of debugfs (in a task, under @lock) and quarry__find() (any context,
 * under RCU); they read single words and the list of chunks, and nothing that
 * lies in a chunk.
 *
 * Chunks form a list. The current one is being filled, those before it are full
 * (or were too full for what came next), those behind it are empty. The room is
 * counted back from a chunk's end, which is aligned. What holds:
 *
 *	used = sum over chunks of (size - left)
 *	     = before + (current's size - room)
 *	capacity = sum over chunks of size <= limit
 *
 * Two owners. Each operation but an alloc that hits takes the arena: @busy goes
 * from 0 to the task's number by compare-and-swap, and back. While it is taken
 * hot.room is 0 (the room is in @room), so that an alloc by anybody else comes
 * to the slow path, finds the arena taken, and is refused and reported. A strict
 * arena keeps hot.room at 0 all the time. An alloc that hits takes nothing, so
 * two that race are not seen, nor is one that has read hot.room just before
 * another takes the arena; that is the price of eight instructions, and why
 * STRICT exists. The same check stops a deferred call from using its arena.
 *
 * Marks and deferred calls are records in the arena's own memory, each kind a
 * chain from the newest to the oldest; a mark knows the newest call of its time.
 * A client may overrun a block and hit one, so that each carries a check word
 * over its contents, its address and a secret of the arena; a bad record is
 * reported, its chain is dropped, and nothing is called. A mark's serial is
 * never used again, in this life of the handle or the next, and no pointer of a
 * client's mark is followed: it is good if and only if its serial is found in
 * the chain. Rewinding takes it out of the chain, so a second use is not found.
 *
 * Locks: @lock (list of chunks: changed by the owner with it, read by the owner
 * without, by the views with, by quarry__find() under RCU; and the baseline).
 * tree_lock in arena_life.c (parents and children). The registry's lock is held
 * around orphan(), which may take tree_lock under it.
 */
#ifndef QUARRY_KMOD_ARENA_H
#define QUARRY_KMOD_ARENA_H

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <quarry/arena.h>
#include "internal.h"
#include "sanitize.h"

/* Reasons for a refusal; each has a counter. */
enum arena_refusal {
	ARENA_MARK_FOREIGN,
	ARENA_MARK_STALE,
	ARENA_MARK_USED,
	ARENA_MARK_NEWER,
	ARENA_POINTER,
	ARENA_REQUEST,
	ARENA_OWNERS,
	ARENA_DEAD,
	NR_ARENA_REFUSALS
};

/**
 * struct quarry_chunk - a chunk
 * @node: in the arena's list
 * @region: its memory
 * @end: behind its last byte; aligned to 8 at least, own memory to a page
 * @size: bytes in front of @end that are used
 * @left: bytes of them that are free; out of date while it is the current one
 * @rcu: quarry__find() may be looking at it
 */
struct quarry_chunk {
	struct list_head node;
	struct quarry_region region;
	unsigned long end;
	size_t size;
	size_t left;
	struct rcu_head rcu;
};

/* A deferred call; in the arena's memory. */
struct arena_call {
	struct arena_call *below;
	quarry_arena_fn fn;
	void *arg;
	u64 check;
};

/* A mark; in the arena's memory. */
struct arena_mark {
	struct arena_mark *below;
	struct arena_call *calls;	/* the newest when it was made */
	size_t room;			/* in its chunk, before it was made */
	u64 serial;
	u64 check;
};

static_assert(sizeof(struct arena_mark) == 40);	/* as the manual says */

/**
 * struct quarry_arena - an arena
 * @hot: what the hit path reads; owner
 * @closed: destroyed or dead: nothing is served; set once
 * @serial: of the latest mark; owner; goes on in the handle's next life
 * @busy: who is in a slow operation: task's number + 1; any context
 * @refused: counters by reason; any context
 * @room: of the current chunk, while @busy or when strict; owner
 * @before: bytes used in the chunks before the current one; owner
 * @current_chunk: the one being filled; owner
 * @chunks: list of struct quarry_chunk; @lock, RCU
 * @marks: the newest; owner
 * @calls: the newest; owner
 * @reset_serial: marks up to this one are from before a reset; owner
 * @used_serial: the mark that was rewound to last; owner
 * @lost_serial: of marks up to this one the records were overwritten, or are below one
 *	that was; owner
 * @figures: the counters and the peak, the other fields are not used; owner
 * @baseline: counters at the last reset of the figures; @lock
 * @parent: or NULL; tree_lock
 * @children: the latest last; tree_lock
 * @sibling: among the parent's children; tree_lock
 * The others are set once.
 */
struct quarry_arena {
	struct quarry_arena_hot hot;
	bool closed;
	u64 serial;
	atomic_long_t busy;
	atomic_long_t refused[NR_ARENA_REFUSALS];
	size_t room;
	size_t before;
	size_t capacity;
	struct quarry_chunk *current_chunk;
	struct list_head chunks;
	struct arena_mark *marks;
	struct arena_call *calls;
	u64 reset_serial;
	u64 used_serial;
	u64 lost_serial;
	u64 secret;
	struct quarry_arena_stats figures;
	struct quarry_arena_stats baseline;
	struct mutex lock;	/* resets of the figures, one at a time */
	struct quarry_object object;
	struct quarry_arena *parent;
	struct list_head children;
	struct list_head sibling;
	size_t first_chunk;
	size_t limit;
	unsigned int growth;
	unsigned int flags;
	int node;
};

/* The hit path takes a struct quarry_arena for a struct quarry_arena_hot. */
static_assert(offsetof(struct quarry_arena, hot) == 0);

static inline struct quarry_arena *to_arena(struct quarry_object *object)
{
	return container_of(object, struct quarry_arena, object);
}

/* A counter or a peak that a view may read meanwhile. */
static inline void arena_count(u64 *figure)
{
	WRITE_ONCE(*figure, *figure + 1);
}

static inline bool arena_strict(const struct quarry_arena *arena)
{
	return arena->flags & QUARRY_ARENA_STRICT;
}

/* Bytes left in the current chunk, whoever asks; hot.room is 0 meanwhile. */
static inline size_t arena_room(const struct quarry_arena *arena)
{
	if (arena_strict(arena) || arena->closed ||
	    atomic_long_read(&arena->busy))
		return READ_ONCE(arena->room);
	return READ_ONCE(arena->hot.room);
}

/* The owner's look; the views have their own. */
static inline size_t arena_used(const struct quarry_arena *arena)
{
	return arena->before + arena->current_chunk->size - arena_room(arena);
}

/* The owner is in; the current chunk's own figure is out of date. */
static inline size_t arena_left(const struct quarry_arena *arena,
				const struct quarry_chunk *chunk)
{
	return chunk == arena->current_chunk ? arena->room : chunk->left;
}

/* Before anything is given back. */
static inline void arena_note_peak(struct quarry_arena *arena)
{
	size_t used = arena_used(arena);

	if (used > arena->figures.peak)
		WRITE_ONCE(arena->figures.peak, used);
}

/* Poisoned again. */
static inline void arena_freed(const struct quarry_chunk *chunk,
			       unsigned long p, size_t size)
{
	if (size)
		quarry__mem_freed(&chunk->region, (void *)p, size);
}

/* arena.c */
bool quarry__arena_enter(struct quarry_arena *arena, unsigned long caller);
void quarry__arena_leave(struct quarry_arena *arena);
void quarry__arena_refuse(struct quarry_arena *arena, enum arena_refusal why,
			  const char *what, unsigned long caller);
void *quarry__arena_take(struct quarry_arena *arena, size_t size, size_t align);
struct quarry_chunk *quarry__arena_chunk(const struct quarry_arena *arena,
					 unsigned long p, size_t size);
void quarry__arena_current(struct quarry_arena *arena,
			   struct quarry_chunk *chunk, size_t room);

/* arena_mark.c */
bool quarry__arena_call_good(const struct quarry_arena *arena,
			     const struct arena_call *call);
bool quarry__arena_mark_good(const struct quarry_arena *arena,
			     const struct arena_mark *mark);
void quarry__arena_empty(struct quarry_arena *arena);

/* arena_life.c */
void quarry__arena_trim(struct quarry_arena *arena);

/* arena_view.c */
void quarry__arena_row(struct quarry_object *object, struct quarry_row *row);
void quarry__arena_config(struct quarry_object *object, struct seq_file *seq);
void quarry__arena_stats(struct quarry_object *object, struct seq_file *seq);
void quarry__arena_map(struct quarry_object *object, struct seq_file *seq);
int quarry__arena_verify(struct quarry_object *object, char *why, size_t size);
void quarry__arena_reset_figures(struct quarry_object *object);

/*
 * arena.c: as the exported ones. 1: done; 0: not the last block, or no room;
 * -EINVAL: refused and reported.
 */
int quarry__arena_free_last(struct quarry_arena *arena, void *block, size_t size,
			    unsigned long caller);
int quarry__arena_resize_last(struct quarry_arena *arena, void *block, size_t size,
			      size_t new_size, unsigned long caller);

#endif /* QUARRY_KMOD_ARENA_H */
