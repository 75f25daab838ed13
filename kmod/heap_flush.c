// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a heap's lists get late: frees that were put off since the lock was not to be
 * had, and what the fronts hold.
 *
 * A deferred block hangs in a list by its payload's first word. Any context adds to it,
 * NMI too: llist_add() pairs with llist_del_all() in the drain, by whoever holds the
 * lock next, so that what the free's caller wrote there comes before what the lists do.
 *
 * A flush takes blocks out of the slots of all CPUs, without the lock, by a compare-and-
 * swap that pairs with those of put_top() and put_any(); they are its own then, and a few
 * at a time go to the lists under the lock. If that is not to be had, they are deferred.
 *
 * Either way a block was freed, so its client may have written to it since: its header is
 * looked at again, and one that is no more what it was is lost, and said to be.
 */
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/llist.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include "heap.h"
#include "heap_front.h"
#include "heap_lock.h"

/* Frees done in one hold of the lock while the fronts are given back. */
#define FLUSH_BATCH	8

/* Its header was overwritten while it lay in a slot: it is not used again. */
__cold noinline void quarry__heap_lost(struct quarry_heap *heap, u64 *at)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);
	struct heap_finding found = {
		.what = HEAP_BAD_HEADER,
		.at = region ? number(region, at) : 0,
	};

	if (!region) {
		atomic_long_inc(&heap->corrupt);
		return;
	}
	while (heap->region[found.region] != region)
		found.region++;
	quarry__heap_found(heap, &found);
}

/* Deferred frees */

/* The first word of the payload is the link; it is ours since the free. */
void quarry__heap_defer(struct quarry_heap *heap, u64 *at)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);

	quarry__mem_taken(&region->memory, payload(at), UNIT);
	atomic_long_inc(&heap->nr_deferred);
	atomic_long_inc(&heap->pending);
	llist_add(payload(at), &heap->deferred);
	/* After that, which is a full barrier: who clears it looks there afterwards. */
	WRITE_ONCE(heap->alarm, true);
}

/*
 * Up to DRAIN of them; the lock is held. If there may be more, whoever drops it next does
 * these. A link may have been overwritten.
 */
noinline void quarry__heap_drain(struct quarry_heap *heap)
{
	struct llist_node *node;
	u64 header;
	u32 i;

	lockdep_assert_held(&heap->lock);
	for (i = 0; i < DRAIN; i++) {
		struct heap_region *region;
		u64 *at;

		node = heap->draining ?: llist_del_all(&heap->deferred);
		if (!node)
			return;
		at = (u64 *)node - 1;
		region = cached_region(heap, at, &header);
		if (!region) {	/* and what lies behind is not to be found */
			WRITE_ONCE(heap->alarm, true);
			heap->draining = NULL;
			atomic_long_set(&heap->pending, 0);
			region = heap_region_of(heap, (unsigned long)at);
			if (region)
				heap_core_fault(&region->core, HEAP_BAD_HEADER,
						number(region, at), 0);
			else
				atomic_long_inc(&heap->corrupt);
			return;
		}
		heap->draining = READ_ONCE(node->next);
		quarry__mem_freed(&region->memory, node, UNIT);
		/* Of those that came while others were given up there may be none. */
		atomic_long_dec_if_positive(&heap->pending);
		give(heap, region, at, header);
	}
	WRITE_ONCE(heap->alarm, true);
}

/* What was deferred goes to the lists. True if any did. */
bool quarry__heap_drain_all(struct quarry_heap *heap)
{
	unsigned long flags;
	bool any = false;

	while (must_drain(heap)) {
		if (!lock_heap(heap, &flags))
			return any;
		/* Who drops it does them. The flag may not be set yet: by whom we interrupted. */
		WRITE_ONCE(heap->alarm, true);
		unlock_heap(heap, flags);
		any = true;
	}
	return any;
}

/* Flush */

/*
 * Up to FLUSH_BATCH blocks out of the slots, large ones first: they are more likely
 * to be what is missing. Fewer when there are no more. No lock: they are ours.
 */
static u32 gather(struct quarry_heap *heap, struct heap_flush *flush, u64 **batch)
{
	u32 all = front_slot(heap, heap->front_classes), nr = 0;
	u64 header;

	while (nr < FLUSH_BATCH && flush->cpu < nr_cpu_ids) {
		struct heap_front *front = per_cpu_ptr(heap->front, flush->cpu);
		u64 **slot = &front->slot[flush->slot - 1], *at;

		if (flush->slot == all)
			front_forget(heap, front);
		at = READ_ONCE(*slot);
		if (is_block(at) && try_cmpxchg(slot, &at, NULL)) {
			batch[nr++] = at;
			if (cached_region(heap, at, &header))
				atomic64_add(header_units(header), &front->given);
		}
		if (--flush->slot)
			continue;
		front_recount(heap, front);
		flush->cpu = cpumask_next(flush->cpu, cpu_possible_mask);
		flush->slot = all;
	}
	return nr;
}

/* A few blocks from the fronts to the lists. False when there were none, or no lock. */
bool quarry__heap_flush_some(struct quarry_heap *heap, struct heap_flush *flush)
{
	u64 *batch[FLUSH_BATCH];
	unsigned long flags;
	u32 i, nr = gather(heap, flush, batch);
	u64 header;

	if (!nr)
		return false;
	if (!lock_heap(heap, &flags)) {
		for (i = 0; i < nr; i++)
			quarry__heap_defer(heap, batch[i]);
		return false;
	}
	for (i = 0; i < nr; i++) {
		struct heap_region *region = cached_region(heap, batch[i], &header);

		if (!region)
			continue;
		give(heap, region, batch[i], header);
		batch[i] = NULL;
	}
	unlock_heap(heap, flags);
	for (i = 0; i < nr; i++)
		if (batch[i])
			quarry__heap_lost(heap, batch[i]);
	return true;
}

/* What fronts hold and what was deferred goes to the lists. */
void quarry__heap_flush(struct quarry_heap *heap)
{
	struct heap_flush flush = flush_start(heap);
	bool any = quarry__heap_drain_all(heap);

	while (heap->front_sizes && quarry__heap_flush_some(heap, &flush))
		any = true;
	if (any)
		atomic_long_inc(&heap->flushes);
}

void quarry_heap_flush(struct quarry_heap *heap)
{
	if (!not_a_heap(heap) && !READ_ONCE(heap->closed) && !in_nmi())
		quarry__heap_flush(heap);
}
EXPORT_SYMBOL_GPL(quarry_heap_flush);
