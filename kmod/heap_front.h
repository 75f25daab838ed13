/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A heap's fronts at work: cached blocks into slots and out of them, in any context on
 * any CPU. heap.h says who may touch what.
 */
#ifndef QUARRY_KMOD_HEAP_FRONT_H
#define QUARRY_KMOD_HEAP_FRONT_H

#include <linux/percpu.h>
#include "heap.h"

static __always_inline void *payload(u64 *at)
{
	return at + 1;
}

static __always_inline bool is_block(const u64 *at)
{
	return (unsigned long)at > (unsigned long)FRONT_GUARD;
}

/*
 * A cached block of exactly @units from this CPU's front, from the slot below its top;
 * or NULL: then take_near() looks on.
 */
static __always_inline u64 *take_top(struct quarry_heap *heap, u64 units)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u64 top = READ_ONCE(front->top[units]);
	u64 **slot = &front->slot[top - 1], *at = READ_ONCE(*slot);

	if (unlikely(!is_block(at) || !try_cmpxchg(slot, &at, NULL)))
		return NULL;
	WRITE_ONCE(front->top[units], top - 1);
	this_cpu_inc(heap->front->hits);
	return at;
}

/* Likewise a block into the slot at its size's top. */
static __always_inline bool put_top(struct quarry_heap *heap, u64 *at, u64 units)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u64 top = READ_ONCE(front->top[units]);
	u64 **slot = &front->slot[top], *old = READ_ONCE(*slot);

	if (unlikely(old || !try_cmpxchg(slot, &old, at)))
		return false;
	WRITE_ONCE(front->top[units], top + 1);
	return true;
}

/* A slot's block, if it will do; the size's top is mended by the caller. */
static __always_inline u64 *take_slot(struct quarry_heap *heap, u64 **slot,
				      u32 align_log)
{
	u64 *at = READ_ONCE(*slot);

	if (!is_block(at) ||
	    !IS_ALIGNED((unsigned long)payload(at), UNIT << align_log) ||
	    !try_cmpxchg(slot, &at, NULL))
		return NULL;
	this_cpu_inc(heap->front->hits);
	return at;
}

/* Of @units, from any slot, and its top is mended. */
static noinline __maybe_unused u64 *take_any_slot(struct quarry_heap *heap, u32 units,
						  u32 align_log)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u32 first = front_slot(units), top = READ_ONCE(front->top[units]), i;
	u64 *at;

	for (i = top; i-- > first;) {
		at = take_slot(heap, &front->slot[i], align_log);
		if (!at)
			continue;
		/* What was passed over was empty, or lies wrong and stays. */
		if (!align_log || i == top - 1)
			WRITE_ONCE(front->top[units], i);
		return at;
	}
	if (!align_log)
		WRITE_ONCE(front->top[units], first);
	return NULL;
}

/* Of up to three sizes more than @units, from the slot below the top. */
static noinline __maybe_unused u64 *take_larger(struct quarry_heap *heap, u32 units,
						u32 align_log)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u32 end = min(units + (units < 64 ? 2 : 4), heap->front_sizes), i;
	u64 *at;

	while (++units < end) {
		i = READ_ONCE(front->top[units]) - 1;
		at = take_slot(heap, &front->slot[i], align_log);
		if (!at)
			continue;
		WRITE_ONCE(front->top[units], i);
		return at;
	}
	return NULL;
}

/*
 * After take_top(): a cached block from this CPU's front that will do, or NULL. Its
 * address says whether its payload is aligned to 8 << @align_log bytes.
 */
static __always_inline u64 *take_near(struct quarry_heap *heap, u32 units,
				      u32 align_log)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u64 *at = NULL;

	if (unlikely(READ_ONCE(front->slot[READ_ONCE(front->top[units]) - 1]) !=
		     FRONT_GUARD))
		at = take_any_slot(heap, units, align_log);
	return at || units < 32 ? at : take_larger(heap, units, align_log);
}

/* Into any of its size's slots from the top on. */
static inline bool put_cached(struct quarry_heap *heap, u64 *at, u32 units)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u32 i = READ_ONCE(front->top[units]), end = front_slot(units) + front_slots(units);
	u64 *old;

	for (; i < end; i++) {
		old = READ_ONCE(front->slot[i]);
		if (!old && try_cmpxchg(&front->slot[i], &old, at)) {
			WRITE_ONCE(front->top[units], i + 1);
			return true;
		}
	}
	WRITE_ONCE(front->top[units], end);
	return false;
}

/* Nothing is known to be in the slots; what is there is found by who looks. */
static inline void front_forget(struct quarry_heap *heap, struct heap_front *front)
{
	u32 units;

	for (units = 0; units < heap->front_sizes; units++)
		WRITE_ONCE(front->top[units], units < MIN_UNITS ? 1 : front_slot(units));
}

#endif /* QUARRY_KMOD_HEAP_FRONT_H */
