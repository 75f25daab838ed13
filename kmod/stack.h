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
 * A word. fields = {flag, size, pad}, below 2^38, is stored as
 * fields * multiplier + address modulo 2^64. Read back, (word - address) * inverse
 * is below 2^38, which a word that was written to is by chance only: 26 bits are
 * the check. The multiplier is random, odd, and chosen such that any change
 * within one byte is found for certain.
 *
 * Who may touch what. All words but those below belong to the owner, who is the
 * caller of any operation; nothing is locked. @gate is taken by each operation
 * with a plain store after a plain look: two owners at the same instant may both
 * find it open. To make that impossible would take a locked instruction; to see
 * it now and then suffices to find the bug. A destroyed stack's gate is closed
 * for good. verify and the views read without the gate: they look twice and say
 * "busy". The views' reset asks for new peaks (@new_peaks) and moves both limits
 * to where each push goes the slow way, which takes the request; it may be late
 * by one push when both race.
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
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <quarry/stack.h>
#include "internal.h"
#include "sanitize.h"

/* A frame word's fields. */
#define PAD_BITS	12
#define SIZE_BITS	25
#define FLAG_BIT	(PAD_BITS + SIZE_BITS)
#define FIELD_BITS	(FLAG_BIT + 1)
#define PAD_MASK	(BIT(PAD_BITS) - 1)
#define SIZE_MASK	(BIT(SIZE_BITS) - 1)
#define WORD		QUARRY_STACK_WORD

static_assert(QUARRY_STACK_MAX_PUSH <= SIZE_MASK);
static_assert(QUARRY_STACK_MAX_ALIGN - 1 <= PAD_MASK);

#define GATE_HELD	BIT(0)
#define GATE_CLOSED	BIT(1)

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

/**
 * struct stack_end - one of the two stacks
 * @top: address behind the top frame (low), or of its word (high)
 * @limit: a push up to here (low) or down to here (high) is within the peak
 * @pushes: counter
 * @pops: counter
 * @released: counter
 * @mark: newest mark's block, or 0
 * @peak: high-water mark in bytes
 */
struct stack_end {
	unsigned long top;
	unsigned long limit;
	u64 pushes, pops, released;
	unsigned long mark;
	u64 peak;
};

/* What lies in a mark's frame. */
struct mark_frame {
	u64 serial;
	u64 below;	/* the mark below, or 0 */
	u64 live;	/* frames below it at this end */
};

/**
 * struct quarry_stack - a stack
 * @gate: an operation is under way, or the stack is closed
 * @new_peaks: the views' reset was asked for
 * @multiplier: of frame words; set once
 * @inverse: its inverse modulo 2^64; set once
 * @end: low, high
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
	u8 gate;
	bool new_peaks;
	u64 multiplier;
	u64 inverse;
	struct stack_end end[2];
	u64 serial;
	u64 exhausted;
	u64 largest_failed;
	atomic_long_t refused[NR_STACK_REFUSALS];
	struct quarry_object object;
	size_t capacity;
	struct quarry_region region;
	struct mutex lock;
	struct quarry_stack_stats baseline;
};

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

static inline bool frame_is_sentinel(const struct frame *f)
{
	return f->flag && !f->size;
}

/* stack.c */
bool quarry__stack_decode(const struct quarry_stack *stack, u64 word,
			  unsigned long top, bool high, struct frame *f);

/* stack_view.c */
void quarry__stack_row(struct quarry_object *object, struct quarry_row *row);
void quarry__stack_config(struct quarry_object *object, struct seq_file *seq);
void quarry__stack_stats(struct quarry_object *object, struct seq_file *seq);
void quarry__stack_map(struct quarry_object *object, struct seq_file *seq);
int quarry__stack_verify(struct quarry_object *object, char *why, size_t size);
void quarry__stack_reset(struct quarry_object *object);

#endif /* QUARRY_KMOD_STACK_H */
