/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A heap's lock, and what several of its files do with blocks by address and under it:
 * inline, so that it stands in the function that has taken it, but for cached_region(), of
 * which each file has one. heap.h says what the lock
 * orders, heap_ops.h has what is done in one region.
 */
#ifndef QUARRY_KMOD_HEAP_LOCK_H
#define QUARRY_KMOD_HEAP_LOCK_H

#include <linux/compiler.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>
#include "heap.h"
#include "heap_front.h"
#include "heap_ops.h"

/* The lock. Sparse, which cannot follow one that is had or not, is told of none. */

/* False in NMI when somebody has it. */
static __always_inline bool lock_heap(struct quarry_heap *heap,
				      unsigned long *flags)
{
	if (unlikely(in_nmi())) {
		*flags = 0;
		/* Without SMP there is no lock that could be seen to be taken. */
		if (!IS_ENABLED(CONFIG_SMP) || !raw_spin_trylock(&heap->lock))
			return false;
	} else {
		raw_spin_lock_irqsave(&heap->lock, *flags);
	}
	__release(&heap->lock);
	return true;
}

static __always_inline void drop_lock(struct quarry_heap *heap, unsigned long flags)
{
	__acquire(&heap->lock);
	if (unlikely(in_nmi()))
		raw_spin_unlock(&heap->lock);
	else
		raw_spin_unlock_irqrestore(&heap->lock, flags);
}

static __always_inline void unlock_heap(struct quarry_heap *heap,
					unsigned long flags)
{
	if (unlikely(heap->alarm))
		quarry__heap_unlock_sick(heap, flags);
	else
		drop_lock(heap, flags);
}

/* Blocks by address */

static __always_inline u32 number(const struct heap_region *region, const u64 *at)
{
	return at - region->core.base;
}

/* Is a block that was put away still what it was? Its region, or NULL. */
static noinline __maybe_unused struct heap_region *
cached_region(struct quarry_heap *heap, u64 *at, u32 *units)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);
	u64 header;

	if (!region || !IS_ALIGNED((unsigned long)at, UNIT))
		return NULL;
	header = quarry__peek(at);
	*units = header_units(header);
	if (!header_sound(&region->core, number(region, at), header) ||
	    header_state(header) != STATE_CACHED)
		return NULL;
	return region;
}

/* All of a block's payload may be touched: it is the caller's. No lock. */
static inline void own_payload(struct quarry_heap *heap, u64 *at, size_t size)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);

	quarry__mem_taken(&region->memory, payload(at), size);
}

/* Under the lock */

/* Fronts take freed blocks only while there is plenty. */
static __always_inline void gauge(struct quarry_heap *heap)
{
	u32 units = heap->used <= heap->front_limit ? heap->front_sizes : 0;

	/* Its cache line is that of what hits read. */
	if (unlikely(heap->front_units != units))
		WRITE_ONCE(heap->front_units, units);
}

/* The lists of the region get a cached block. */
static __always_inline void give(struct quarry_heap *heap,
				 struct heap_region *region, u64 *at, u32 units)
{
	if (unlikely(region->core.bounded))
		heap_core_free(&region->core, number(region, at), units);
	else
		heap_give(&region->core, number(region, at), units);
	heap->blocks--;
	heap->used -= units;
	heap->changes++;
	gauge(heap);
}

/* Is there something for quarry__heap_drain()? Without the lock it is a hint. */
static __always_inline bool must_drain(const struct quarry_heap *heap)
{
	/* Who misses one that comes just now leaves it to the next. */
	return data_race(heap->deferred.first) || heap->draining;
}

#endif /* QUARRY_KMOD_HEAP_LOCK_H */
