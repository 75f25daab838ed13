/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The heap inside: the lock, the fronts, and who may touch what.
 *
 * A block is free (on a list of its region's core), live, or cached: freed, and
 * in a CPU's front, or deferred, or on its way to the lists. heap_core.h has the
 * rest.
 *
 * The lock orders the lists, the headers' flags that say what is in front, and
 * all of struct quarry_heap from @lock on that has no other rule. It is a raw
 * spinlock taken with interrupts off, in any context but NMI, where it is tried
 * once. Under it one block is allocated, freed or resized and at most DRAIN
 * deferred ones are freed; a flush frees FLUSH_BATCH blocks in a hold, a walk looks at
 * BATCH. Nothing sleeps, prints or takes another lock.
 *
 * A front is an array of slots for each CPU, in the order of sizes: 16 for each
 * size below 16 units, 8 below 64, 2 below 256, 1 above, up to that of a page. A
 * slot is NULL or the header of a cached block. Whoever changes a slot from NULL (by
 * compare-and-swap) gives it a block that it has made cached, whoever changes it
 * to NULL (likewise) owns that block. So any context on any CPU may do either,
 * that of another CPU too, with interrupts on and preemptible: the CPU's number is
 * a hint, no more.
 *
 * A size's slots are filled from the first on, and its top says how far: a hint, no
 * more. It is read and written by plain accesses, an interrupt or another CPU may come
 * in between, and then it is too high (a request passes over empty slots and lowers it)
 * or too low (what lies above waits until a free comes there and raises it, or a
 * flush). Below the first slot of each size stands a guard, which is neither empty nor
 * a block: so the slot below a size's top tells whether there is one to be had, the
 * slot at its top whether there is room, and a hit needs to know no more of a size. A
 * request that misses looks at larger sizes as well: from 32 units on at one, from 64
 * on at three, by which a block is larger by less than 5 %. One with an alignment passes
 * over blocks that lie wrong for it.
 *
 * A block goes from live to cached by one compare-and-swap of its header, which
 * takes off the alignment that it was asked for with: of two frees one wins. It
 * goes back to live, with its new owner's alignment, by one exclusive or, by
 * whoever has taken it out of a slot. The lock's holder changes other flags of the
 * same word, by exclusive or as well.
 *
 * Why so: two CPUs under the plain lock do 0.63 to 0.80 of what one does, as the peers'
 * heaps (0.37 to 0.67), with fronts 1.77 to 2.15 (several runs). Heaps by CPU in the
 * place of one need not wait for each other while each CPU frees its own, but a request
 * fails in one while another has room, and a block that is freed elsewhere needs the
 * other's lock. `make bench MODE=contention` has all three: quarry_heap, :no-front and
 * :split.
 *
 * Order. The compare-and-swap that fills a slot is a release (a full barrier) and
 * the one that empties it an acquire; blocks that go through the lists are
 * ordered by the lock; deferred ones by llist_add() and llist_del_all().
 *
 * Accounting: the cores' blocks = live + cached, where cached are those in slots
 * and deferred. Live is computed from it; a block on its way between the two
 * counts as live.
 */
#ifndef QUARRY_KMOD_HEAP_H
#define QUARRY_KMOD_HEAP_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/err.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <quarry/heap.h>
#include "heap_core.h"
#include "internal.h"

/* Sizes that fronts are for have fewer units than this. */
#define MAX_FRONT	514U
/* Deferred frees that a holder of the lock does besides its own. */
#define DRAIN		4U

/* Reasons for a refusal; each has a counter. */
enum heap_refusal {
	HEAP_FOREIGN,
	HEAP_OWNER,
	HEAP_MISALIGNED,
	HEAP_INTERIOR,
	HEAP_DOUBLE,
	HEAP_CORRUPT,
	HEAP_DEAD,
	NR_HEAP_REFUSALS
};

/* What was found wrong in a region; said when the lock is dropped. */
struct heap_finding {
	u32 region;
	enum heap_fault what;
	u32 at;
	u32 front;
};

/**
 * struct heap_front - what one CPU keeps
 * @hits: requests served from the slots; this CPU, one this_cpu operation each
 * @top: of each size, the slot behind the last that is filled; see above
 * @slot: a guard, then those of the smallest size, a guard, and so on
 */
struct heap_front {
	u64 hits;
	u16 top[MAX_FRONT];
	u64 *slot[];
};

#define FRONT_GUARD	((u64 *)1)

static inline u32 front_slots(u32 units)
{
	return units < 16 ? 16 : units < 64 ? 8 : units < 256 ? 2 : 1;
}

/* The first slot for blocks of @units, which are at least MIN_UNITS. */
static inline u32 front_slot(u32 units)
{
	if (units < 16)
		return 17 * (units - 2) + 1;
	if (units < 64)
		return 9 * (units - 16) + 239;
	if (units < 256)
		return 3 * (units - 64) + 671;
	return 2 * (units - 256) + 1247;
}

/* Bytes of a front for sizes below @units, with the last guard. */
static inline size_t front_memory(u32 units)
{
	return offsetof(struct heap_front, slot[front_slot(units)]);
}

static_assert(17 * (16 - 2) + 1 == 239 && 9 * (64 - 16) + 239 == 671 &&
	      3 * (256 - 64) + 671 == 1247);

/**
 * struct heap_region - memory, and the blocks in it
 * @memory: where it is; set once
 * @core: the lock
 */
struct heap_region {
	struct quarry_region memory;
	struct heap_core core;
};

/**
 * struct quarry_heap - a heap
 * @base: address of the first region's unit 0
 * @span: its bytes, 0 when nothing may be freed: closed
 * @secret: of all headers
 * @front_units: freed blocks of fewer units go to fronts; the lock: 0 while much
 *	of the heap is in use
 * @front_size: requests of fewer bytes may be served from there
 * @front: slots for @front_sizes sizes; set once, not read when that is 0
 * @nr_regions: release on add, acquire by who looks without the lock
 * @closed: destroyed or dead
 * @gone: memory that the owner lent is its own again: not to be read
 * @lock: see above
 * @allocs: requests served from the lists
 * @blocks: live or cached
 * @used: units of these
 * @peak_blocks: high-water mark since the last reset
 * @peak_used: likewise
 * @deferred: frees put off; any context
 * @draining: of these, taken off @deferred and not yet done; the lock
 * @pending: number of both; any context
 * @walking: one walk, verify, map at a time
 * The others are set once or are counters.
 */
struct quarry_heap {
	unsigned long base;
	u64 span;
	u64 secret;
	u32 front_units;
	u32 front_size;
	u32 flags;
	struct heap_front __percpu *front;
	struct heap_region *region[QUARRY_HEAP_MAX_REGIONS];
	u32 nr_regions;
	u64 max_request;
	bool closed;
	bool gone;

	raw_spinlock_t lock ____cacheline_aligned_in_smp;
	u64 allocs;
	u64 blocks;
	u64 used;
	u64 peak_blocks;
	u64 peak_used;
	u64 largest_request;
	u64 resized;
	u64 changes;
	struct llist_node *draining;

	struct llist_head deferred ____cacheline_aligned_in_smp;
	atomic_long_t pending;
	atomic_long_t exhausted;
	atomic_long_t too_large;
	atomic_long_t nmi_failed;
	atomic_long_t nr_deferred;
	atomic_long_t corrupt;
	atomic_long_t flushes;
	atomic_long_t moved;
	atomic_long_t refused[NR_HEAP_REFUSALS];

	struct quarry_object object;
	u32 front_sizes;
	u64 front_limit;
	struct mutex walking;	/* above */
	struct quarry_heap_stats baseline;
	unsigned long max_align;
	size_t front_bytes;
	int node;
};

static inline struct quarry_heap *to_heap(struct quarry_object *object)
{
	return container_of(object, struct quarry_heap, object);
}

static inline bool not_a_heap(const struct quarry_heap *heap)
{
	return not_a_handle(heap);
}

/* The region that @address lies in, or NULL. */
static inline struct heap_region *heap_region_of(const struct quarry_heap *heap,
						 unsigned long address)
{
	u32 i, nr = smp_load_acquire(&heap->nr_regions); /* of add_region() */

	for (i = 0; i < nr; i++) {
		struct heap_region *region = heap->region[i];

		if (address - (unsigned long)region->core.base <
		    region->core.units * UNIT)
			return region;
	}
	return NULL;
}

/* heap.c */
bool quarry__heap_lock(struct quarry_heap *heap, unsigned long *flags);
void quarry__heap_unlock(struct quarry_heap *heap, unsigned long flags);
void quarry__heap_flush(struct quarry_heap *heap);
/* As the exported ones, for a caller that a report is to name. */
void *quarry__heap_alloc(struct quarry_heap *heap, size_t size, size_t align,
			 unsigned long caller);
void quarry__heap_free(struct quarry_heap *heap, void *ptr, unsigned long caller);
void *quarry__heap_realloc(struct quarry_heap *heap, void *ptr, size_t size,
			   unsigned long caller);

/* heap_misuse.c */
void quarry__heap_refuse(struct quarry_heap *heap, const void *ptr,
			 unsigned long caller);
void quarry__heap_refuse_closed(struct quarry_heap *heap, unsigned long caller);
void quarry__heap_refuse_handle(struct quarry_heap *heap, unsigned long caller);
void quarry__heap_found(struct quarry_heap *heap,
			const struct heap_finding *found);

/* heap_view.c */
void quarry__heap_row(struct quarry_object *object, struct quarry_row *row);
void quarry__heap_config(struct quarry_object *object, struct seq_file *seq);
void quarry__heap_stats(struct quarry_object *object, struct seq_file *seq);
void quarry__heap_map(struct quarry_object *object, struct seq_file *seq);
void quarry__heap_reset(struct quarry_object *object);
int quarry__heap_verify(struct quarry_object *object, char *why, size_t size);

#endif /* QUARRY_KMOD_HEAP_H */
