/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stack inside: its words, who may touch each, and what holds among them.
 *
 *	base                                                        base + size
 *	|S|block|w|pad|block|w| ...   free   ... |w|block|pad|w|block|S|
 *	                      ^ low top          ^ high top
 *
 * S are sentinels, frame words of no block, so that a pop from an empty end
 * finds a word as any other does. A frame's word w lies behind its block at the
 * low end and in front of it at the high end, next to it, aligned or not. It
 * holds size and padding, from which the top below follows.
 *
 * A word. fields = {0, extent, flag, padding} is stored as fields * multiplier +
 * top modulo 2^64, where top is the end's top with this frame on it. Read back,
 * (word - top) * inverse has its 26 bits of zeroes; in a word that was written to
 * it has by chance only. The multiplier is random, odd, and chosen such that any
 * change within one byte is found for certain.
 *
 * Who may touch what. All words but those below belong to the owner, who is the
 * caller of any operation; nothing is locked. While an operation runs, its end's
 * @top is @held, behind which lies a sentinel: another operation then finds no
 * room or no block on its hit path, goes the slow way, and is refused there. The
 * slow way marks both ends, and keeps the true tops in @top. This is a plain look
 * and then a plain store: two owners may both find an end free within the few
 * instructions between. To make that impossible would take a locked instruction;
 * to see it now and then suffices to find the bug. On a destroyed stack @held
 * points to a word of the handle, for good. verify and the views read as it is:
 * they look twice and say "busy". The views' reset asks for new peaks
 * (@new_peaks) and moves both limits to where each push goes the slow way, which
 * takes the request; it may be late by one push when both race.
 *
 * Limits. A push that stays within its end's @limit needs no look at the other
 * end; limits of the two ends never cross. The slow way moves them, and so is
 * passed at each new high-water mark: the peak is exact and costs nothing.
 *
 * The accounting equation, that verify checks for each end:
 *	frames from the top to the sentinel = pushes - pops - released
 */
#ifndef QUARRY_KMOD_STACK_H
#define QUARRY_KMOD_STACK_H

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <quarry/stack.h>
#include "internal.h"
#include "sanitize.h"

/* A frame word's fields. */
#define EXTENT_SHIFT	QUARRY_STACK_EXTENT_SHIFT
#define PAD_MASK	(QUARRY_STACK_PAD_END - 1)
#define FLAG		QUARRY_STACK_FLAG
#define WORD		QUARRY_STACK_WORD

static_assert(QUARRY_STACK_MAX_PUSH + WORD < BIT(QUARRY_STACK_EXTENT_BITS));
static_assert(QUARRY_STACK_MAX_ALIGN <= QUARRY_STACK_PAD_END);

enum stack_refusal {
	REFUSED_ORDER,
	REFUSED_DOUBLE,
	REFUSED_FOREIGN,
	REFUSED_EMPTY,
	REFUSED_MARK,
	REFUSED_SIZE,
	REFUSED_STALE,
	REFUSED_OVERRUN,
	REFUSED_ARGUMENT,
	REFUSED_OWNERS,
	REFUSED_DEAD,
	NR_STACK_REFUSALS
};

/* What lies in a mark's frame. */
struct mark_frame {
	u64 serial;
	u64 below;	/* the mark below, or 0 */
	u64 frames;	/* how many lie below it at this end, as mark_word() has it */
};

/**
 * struct quarry_stack - a stack
 * @hot: what the hit path reads; its tops are the address behind the top frame
 *	(low), or of the top frame's word (high)
 * @sentinel: what @held points to on a destroyed stack
 * @closed: destroyed, or its module is gone; set once in a life
 * @top: both ends' tops while the slow way is under way
 * @released: frames that went with release and reset, by end
 * @mark: newest mark's block or 0, by end
 * @peak: high-water marks in bytes, by end
 * @new_peaks: the views' reset was asked for
 * @serial: of the last mark
 * @exhausted: pushes that found no room
 * @largest_failed: bytes of the largest of them
 * @refused: counters by reason; anyone
 * @object: registry's part
 * @capacity: bytes between the sentinels; 0 when destroyed
 * @region: the memory
 * @lock: one reset at a time
 * @baseline: counters at the last reset; @lock
 */
struct quarry_stack {
	struct quarry_stack_hot hot;
	struct quarry_stack_word sentinel;
	bool closed;
	unsigned long top[2];
	u64 released[2];
	unsigned long mark[2];
	u64 peak[2];
	bool new_peaks;
	u64 serial;
	u64 exhausted;
	u64 largest_failed;
	atomic_long_t refused[NR_STACK_REFUSALS];
	struct quarry_object object;
	size_t capacity;
	struct quarry_region region;
	struct mutex lock;		/* reset, one at a time */
	struct quarry_stack_stats baseline;
};

/* The hit path takes a struct quarry_stack for a struct quarry_stack_hot. */
static_assert(offsetof(struct quarry_stack, hot) == 0);

/* A frame, decoded. */
struct frame {
	unsigned long word;	/* its word's address */
	unsigned long block;
	size_t size;
	unsigned long below;	/* the top when it is gone */
	bool flag;		/* a mark, or with size 0 the sentinel */
};

static inline struct quarry_stack *to_stack(struct quarry_object *object)
{
	return container_of(object, struct quarry_stack, object);
}

static inline unsigned long first_byte(const struct quarry_stack *stack)
{
	return (unsigned long)stack->region.base + WORD;
}

static inline unsigned long last_word(const struct quarry_stack *stack)
{
	return first_byte(stack) + stack->capacity;
}

/* What a block takes: with KASAN at least a byte behind it is poisoned. */
static inline size_t span(size_t size)
{
	return QUARRY_KASAN ? round_up(size + 1, QUARRY_GRANULE) : size;
}

static inline u64 word_read(unsigned long address)
{
	return ((struct quarry_stack_word *)address)->value;
}

static inline void word_write(unsigned long address, u64 value)
{
	((struct quarry_stack_word *)address)->value = value;
}

static inline bool end_held(const struct quarry_stack *stack, bool high)
{
	return READ_ONCE(stack->hot.end[high].top) == stack->hot.end[high].held;
}

/* An end's top for those who only look. */
static inline unsigned long end_top(const struct quarry_stack *stack, bool high)
{
	return end_held(stack, high) ? READ_ONCE(stack->top[high]) :
				       READ_ONCE(stack->hot.end[high].top);
}

static inline size_t end_used(const struct quarry_stack *stack, bool high)
{
	return high ? last_word(stack) - end_top(stack, true) :
		      end_top(stack, false) - first_byte(stack);
}

/* Frames of an end; on a busy one off by what goes on, and never negative. */
static inline u64 end_live(const struct quarry_stack *stack, bool high)
{
	const struct quarry_stack_end *end = &stack->hot.end[high];
	u64 gone = READ_ONCE(end->pops) + READ_ONCE(stack->released[high]);
	u64 pushes = READ_ONCE(end->pushes);

	return pushes - min(pushes, gone);
}

/* The address as users see it: bytes from the first that can be used. */
static inline u64 offset_of(const struct quarry_stack *stack,
			    unsigned long address)
{
	return address - first_byte(stack);
}

/*
 * As a frame word is its fields: bound to the secret and to its place, and to what lies
 * beside it. A mark that was written to has more frames below it than there are: any
 * change within one byte surely, others but for one in 2^26.
 */
static inline u64 mark_word(const struct quarry_stack *stack, unsigned long at,
			    u64 serial, u64 below, u64 frames)
{
	return frames * stack->hot.multiplier + serial + below + at;
}

static inline u64 mark_frames(const struct quarry_stack *stack, unsigned long at,
			      u64 serial, u64 below, u64 word)
{
	return (word - serial - below - at) * stack->hot.inverse;
}

static inline bool frame_is_sentinel(const struct frame *f)
{
	return f->flag && !f->size;
}

/**
 * struct call - an operation, as a report names it
 * @stack: on what
 * @verb: what
 * @high: at which end
 * @caller: by whom
 */
struct call {
	struct quarry_stack *stack;
	const char *verb;
	bool high;
	unsigned long caller;
};

/* stack.c */
bool quarry__stack_decode(const struct quarry_stack *stack, u64 word,
			  unsigned long top, bool high, struct frame *f);
bool quarry__stack_enter(const struct call *c);
void quarry__stack_leave(struct quarry_stack *stack);
void quarry__stack_empty(struct quarry_stack *stack);

/* stack_misuse.c */
bool quarry__stack_refuse(const struct call *c, enum stack_refusal why);
bool quarry__stack_refuse_at(const struct call *c, enum stack_refusal why,
			     const char *first, u64 a, const char *second, u64 b);
bool quarry__stack_refuse_overrun(const struct call *c);
bool quarry__stack_refuse_pop(const struct call *c, unsigned long address,
			      const struct frame *f);

/* stack_view.c */
void quarry__stack_row(struct quarry_object *object, struct quarry_row *row);
void quarry__stack_config(struct quarry_object *object, struct seq_file *seq);
void quarry__stack_stats(struct quarry_object *object, struct seq_file *seq);
void quarry__stack_map(struct quarry_object *object, struct seq_file *seq);
int quarry__stack_verify(struct quarry_object *object, char *why, size_t size);
void quarry__stack_reset(struct quarry_object *object);

#endif /* QUARRY_KMOD_STACK_H */
