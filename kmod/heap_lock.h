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

/*
 * The lock. Sparse, which cannot follow one that is had or not, is told of none.
 *
 * An alloc and a free take it by lock_irqsave() and let it go by unlock_irqrestore(), what
 * may be called in NMI too by lock_heap() and unlock_heap(). Who takes the lock itself, to
 * look at something, leaves an alarm to the next.
 */

/*
 * Not in NMI. What raw_spin_lock_irqsave() does, inline, as kernels have it that are built
 * with CONFIG_INLINE_SPIN_LOCK_IRQSAVE: the calls and what they keep in memory cost 31
 * instructions of an alloc or a free. Where locks are debugged there is more to it, and it
 * is called.
 */
static __always_inline unsigned long lock_irqsave(struct quarry_heap *heap)
{
	unsigned long flags;

	if (IS_ENABLED(CONFIG_DEBUG_SPINLOCK)) {
		raw_spin_lock_irqsave(&heap->lock, flags);
	} else {
		local_irq_save(flags);
		preempt_disable();
		do_raw_spin_lock(&heap->lock);
	}
	__release(&heap->lock);
	return flags;
}

/* Likewise. */
static __always_inline void unlock_irqrestore(struct quarry_heap *heap, unsigned long flags)
{
	/* Or the lock's address is kept from where it was taken, and spilled. */
	OPTIMIZER_HIDE_VAR(heap);
	if (unlikely(data_race(heap->alarm))) {	/* set just now, it is for the next */
		quarry__heap_unlock_alarmed(heap, flags);
		return;
	}
	__acquire(&heap->lock);
	if (IS_ENABLED(CONFIG_DEBUG_SPINLOCK)) {
		raw_spin_unlock_irqrestore(&heap->lock, flags);
	} else {
		do_raw_spin_unlock(&heap->lock);
		local_irq_restore(flags);
		preempt_enable();
	}
}

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
	if (unlikely(data_race(heap->alarm)))	/* likewise */
		quarry__heap_unlock_alarmed(heap, flags);
	else
		drop_lock(heap, flags);
}

/* Blocks by address */

static __always_inline u32 number(const struct heap_region *region, const u64 *at)
{
	return at - region->core.base;
}

/*
 * Is a block that was put away still what it was? Its region, or NULL. The header that was
 * found so is what to go on with: a second look might find another.
 */
static noinline __maybe_unused struct heap_region *
cached_region(struct quarry_heap *heap, u64 *at, u64 *header)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);

	if (!region || !IS_ALIGNED((unsigned long)at, UNIT))
		return NULL;
	*header = quarry__peek(at);
	if (!header_sound(&region->core, number(region, at), *header) ||
	    header_state(*header) != STATE_CACHED)
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
static __cold noinline __maybe_unused void gauge(struct quarry_heap *heap)
{
	u32 units = heap->used <= heap->front_limit ? heap->front_sizes : 0;

	/* Its cache line is that of what hits read. */
	if (heap->front_units != units)
		WRITE_ONCE(heap->front_units, units);
}

/* A block of @units that was in use is not any more. */
static __always_inline void gave(struct quarry_heap *heap, u32 units)
{
	heap->blocks--;
	heap->used -= units;
	if (unlikely(heap->front_units != heap->front_sizes))
		gauge(heap);
}

/* The lists of the region get a cached block, with what was found to be its header. */
static __always_inline void give(struct quarry_heap *heap, struct heap_region *region,
				 u64 *at, u64 header)
{
	heap_core_free(&region->core, number(region, at), header);
	gave(heap, header_units(header));
}

/* Is there something for quarry__heap_drain()? Without the lock it is a hint. */
static __always_inline bool must_drain(const struct quarry_heap *heap)
{
	/* Who misses one that comes just now leaves it to the next. */
	return data_race(heap->deferred.first) || data_race(heap->draining);
}

#endif /* QUARRY_KMOD_HEAP_LOCK_H */
