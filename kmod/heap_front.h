/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A heap's fronts at work: cached blocks into slots and out of them, in any context on
 * any CPU. heap.h says who may touch what.
 */
#ifndef QUARRY_KMOD_HEAP_FRONT_H
#define QUARRY_KMOD_HEAP_FRONT_H

#include <linux/cpumask.h>
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
 * A cached block of exactly @units, which are less than FRONT_EXACT, from the slot below
 * its class's top in this CPU's front; or NULL. Who calls it counts, once the header has
 * turned out to be good.
 */
static __always_inline u64 *take_small(struct quarry_heap *heap, u64 units)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u64 top = READ_ONCE(front->top[units]);
	u64 **slot = &front->slot[top - 1], *at = READ_ONCE(*slot);

	if (unlikely(!is_block(at) || !try_cmpxchg(slot, &at, NULL)))
		return NULL;
	WRITE_ONCE(front->top[units], top - 1);
	return at;
}

/* A slot's block, if it will do. In a class of larger sizes blocks are not all alike. */
static __always_inline u64 *take_slot(u64 **slot, u64 units, u32 align_log)
{
	u64 *at = READ_ONCE(*slot);

	if (!is_block(at) ||
	    (align_log && !IS_ALIGNED((unsigned long)payload(at), UNIT << align_log)) ||
	    header_units(quarry__peek(at)) < units || !try_cmpxchg(slot, &at, NULL))
		return NULL;
	return at;
}

/* Likewise of at least @units, of any class, whose payload is aligned to 8 << @align_log. */
static __always_inline u64 *take_top(struct quarry_heap *heap, u64 class, u64 units,
				     u32 align_log)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u64 top = READ_ONCE(front->top[class]);
	u64 *at = take_slot(&front->slot[top - 1], units, align_log);

	if (likely(at))
		WRITE_ONCE(front->top[class], top - 1);
	return at;
}

/* It said that there were blocks, and the slot below it is empty: there are fewer. */
static __always_inline void lower_top(struct quarry_heap *heap, u64 class)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u64 top = READ_ONCE(front->top[class]);

	if (unlikely(!READ_ONCE(front->slot[top - 1])))
		WRITE_ONCE(front->top[class], top - 1);
}

/* From one of a few slots below the top, which is mended if nothing was passed over. */
static __always_inline u64 *take_below(struct quarry_heap *heap, u64 class, u64 units,
				       u32 align_log)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u32 i = READ_ONCE(front->top[class]), end = i - min(i, FRONT_LOOKS);
	bool passed = false;
	u64 **slot, *at;

	while (i-- > end) {
		slot = &front->slot[i];
		if (READ_ONCE(*slot) == FRONT_GUARD)
			break;
		at = take_slot(slot, units, align_log);
		passed |= !at && READ_ONCE(*slot);
		if (!passed)
			WRITE_ONCE(front->top[class], i);
		if (at)
			return at;
	}
	return NULL;
}

/* Of a block that was taken out of a slot: a hit, and there is room again. */
static __always_inline void count_hit(struct quarry_heap *heap, u64 units)
{
	this_cpu_inc(heap->front->hits);
	this_cpu_sub(heap->front->over, units);
}

/* A block into the slot at its class's top; false when that is taken, or all room is. */
static __always_inline bool put_top(struct quarry_heap *heap, u64 *at, u64 class,
				    u64 units)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u64 top = READ_ONCE(front->top[class]);
	u64 **slot = &front->slot[top], *old = READ_ONCE(*slot);

	if (unlikely(old || READ_ONCE(front->over) >= 0 || !try_cmpxchg(slot, &old, at)))
		return false;
	WRITE_ONCE(front->top[class], top + 1);
	this_cpu_add(heap->front->over, units);
	return true;
}

/* What flushes have taken out is taken off: is there room now? */
static noinline __maybe_unused bool regain_room(struct quarry_heap *heap)
{
	struct heap_front *front;
	bool room;

	preempt_disable();	/* it is this CPU's */
	front = this_cpu_ptr(heap->front);
	if (atomic64_read(&front->given))
		this_cpu_sub(heap->front->over, atomic64_xchg(&front->given, 0));
	room = READ_ONCE(front->over) < 0;
	preempt_enable();
	return room;
}

static __always_inline bool has_room(struct quarry_heap *heap)
{
	return likely(READ_ONCE(raw_cpu_ptr(heap->front)->over) < 0) || regain_room(heap);
}

/* A block into any of the class's slots from the top on, if there is one. */
static inline bool put_any(struct quarry_heap *heap, u64 *at, u64 class, u64 units)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u32 end = front_slot(heap, class + 1) - 1, i = READ_ONCE(front->top[class]);
	u64 *old;

	for (; i < end; i++) {
		old = READ_ONCE(front->slot[i]);
		if (!old && try_cmpxchg(&front->slot[i], &old, at)) {
			WRITE_ONCE(front->top[class], i + 1);
			this_cpu_add(heap->front->over, units);
			return true;
		}
	}
	WRITE_ONCE(front->top[class], end);
	return false;
}

/*
 * A block of @units or more from the top of a class, each time of the class below, but not
 * below @least; or NULL.
 */
static inline u64 *take_next(struct quarry_heap *heap, u32 least, u64 units)
{
	struct heap_front *front = raw_cpu_ptr(heap->front);
	u32 class = READ_ONCE(front->next);

	WRITE_ONCE(front->next, class > least ? class - 1 : heap->front_classes - 1);
	return class < least ? NULL : take_top(heap, class, units, 0);
}

/*
 * All slots have been emptied: what is not right about the count is put right. Another
 * CPU does it, and a few blocks that come and go meanwhile may be missed.
 */
static inline void front_recount(const struct quarry_heap *heap, struct heap_front *front)
{
	atomic64_set(&front->given, 0);
	WRITE_ONCE(front->over, -(s64)heap->front_share);
}

/* Nothing is known to be in the slots; what is there is found by who looks. */
static inline void front_forget(struct quarry_heap *heap, struct heap_front *front)
{
	u32 class;

	for (class = 0; class < heap->front_classes; class++)
		WRITE_ONCE(front->top[class],
			   class < MIN_UNITS ? 1 : front_slot(heap, class));
}

/**
 * struct heap_flush - how far the slots have been emptied
 * @cpu: whose
 * @slot: those in front of this one are still to be looked at
 */
struct heap_flush {
	unsigned int cpu;
	u32 slot;
};

static inline struct heap_flush flush_start(const struct quarry_heap *heap)
{
	return (struct heap_flush){
		.cpu = cpumask_first(cpu_possible_mask),
		.slot = front_slot(heap, heap->front_classes),
	};
}

#endif /* QUARRY_KMOD_HEAP_FRONT_H */
