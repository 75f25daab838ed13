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
 * once. Under it one block is allocated, freed or resized; before it is dropped at most
 * DRAIN deferred ones are freed if @alarm says that there are such; a flush frees
 * FLUSH_BATCH blocks in a hold, a walk looks at BATCH. Nothing sleeps, prints or takes
 * another lock.
 *
 * A front is an array of slots for each CPU, by classes of sizes, up to that of a page:
 * one for each size below FRONT_EXACT units, above it 16 for each power of two. A
 * slot is NULL or the header of a cached block. Whoever changes a slot from NULL (by
 * compare-and-swap) gives it a block that it has made cached, whoever changes it
 * to NULL (likewise) owns that block. So any context on any CPU may do either,
 * that of another CPU too, with interrupts on and preemptible: the CPU's number is
 * a hint, no more.
 *
 * A class's slots are filled from the first on, and its top says how far: a hint, no
 * more. It is read and written by plain accesses, an interrupt or another CPU may come
 * in between, and then it is too high (a request that finds an empty slot below it
 * lowers it by one) or too low (what lies above waits until a free comes there and
 * raises it, or a flush). Below the first slot of each class stands a guard, which is
 * neither empty nor a block: so the slot below a top tells whether there is one to be
 * had, the slot at the top whether there is room, and a hit needs to know no more of a
 * class. Blocks of a class of larger sizes differ, so the one below the top must be large
 * enough; a request for which it is not looks at the next class, where all are. One with
 * an alignment passes over a few blocks that lie wrong for it.
 *
 * What a CPU may hold is counted in units, by this_cpu operations alone: @over is what
 * it holds over its share. A task that is moved to another CPU between the slot and the
 * count adds there what it has put here; so each CPU's count is near, and the sum of all
 * is right: that of blocks on their way, and of those whose headers were overwritten,
 * aside. A flush, which empties the slots of others, leaves what it took in @given, and
 * the slots' owner takes that off when it finds no room; one that has emptied all slots
 * of a CPU sets its count anew. A CPU that holds its share puts a block in the place of
 * one that is as large or larger, of each class in turn, and that one goes to the lists.
 *
 * A block goes from live to cached by one compare-and-swap of its header, which
 * takes off the alignment that it was asked for with: of two frees one wins. It
 * goes back to live, with its new owner's alignment, by one exclusive or, by
 * whoever has taken it out of a slot. The lock's holder changes other flags of the
 * same word, by exclusive or as well.
 *
 * Why so: two CPUs under the plain lock do 0.63 to 0.83 of what one does, as the peers'
 * heaps (0.37 to 0.67), with fronts 1.77 to 2.15 (several runs). Heaps by CPU in the
 * place of one need not wait for each other while each CPU frees its own, but a request
 * fails in one while another has room, and a block that is freed elsewhere needs the
 * other's lock. `make bench MODE=contention` has all three: quarry_heap, :no-front and
 * :split.
 *
 * Order. The compare-and-swap that fills a slot is a release (a full barrier) and
 * the one that empties it an acquire; blocks that go through the lists are
 * ordered by the lock; deferred ones by llist_add() and llist_del_all(), both of them
 * full barriers: @alarm is set after the one and cleared before the other, so that who
 * clears it for a block that came in between finds that block. Who clears it and does not
 * come to look there sets it again.
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

struct heap_flush;

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

/* Classes of sizes below this have one size; above, each power of two has as many. */
#define FRONT_EXACT	16U
#define FRONT_CLASSES	97U	/* front_class(MAX_FRONT - 1) + 1 */
/* Slots of a class of one size, and of a larger one, where memory allows. */
#define SMALL_SLOTS	32U
#define LARGE_SLOTS	12U
/* Slots from the top down that a request with an alignment looks at. */
#define FRONT_LOOKS	4U

/**
 * struct heap_front - what one CPU keeps
 * @hits: requests served from the slots; this CPU, one this_cpu operation each
 * @over: units that it holds over those that it may, so below 0 while there is room;
 *	likewise
 * @given: of those, units that flushes have taken out since this was last looked at;
 *	any CPU
 * @next: the class that the next block is taken from when there is no room: a hint
 * @top: of each class, the slot behind the last that is filled; see above
 * @slot: a guard, then those of the smallest size, a guard, and so on
 */
struct heap_front {
	u64 hits;
	s64 over;
	atomic64_t given;
	u16 next;
	u16 top[FRONT_CLASSES];
	u64 *slot[];
};

#define FRONT_GUARD	((u64 *)1)

static_assert(FRONT_CLASSES == (9 - 4) * 16 + ((MAX_FRONT - 1) >> (9 - 4)) + 1 &&
	      (MAX_FRONT - 1) >> 9 == 1);
/* The number of the last slot. */
static_assert(FRONT_EXACT * (SMALL_SLOTS + 1) + FRONT_CLASSES * (LARGE_SLOTS + 1) < U16_MAX);

/* The class of blocks of @units, FRONT_EXACT or more: 16 for each power of two. */
static __always_inline u64 large_class(u64 units)
{
	u64 log = __fls(units) - 4;

	return (log << 4) + (units >> log);
}

static __always_inline u64 front_class(u64 units)
{
	return units < FRONT_EXACT ? units : large_class(units);
}

/**
 * struct heap_region - memory, and the blocks in it
 * @core: the lock; first, so that its address is the region's
 * @memory: where it is; set once
 */
struct heap_region {
	struct heap_core core;
	struct quarry_region memory;
};

/**
 * struct quarry_heap - a heap
 * @base: address of the first region's unit 0
 * @span: its bytes, for frees without further ado; 0: closed, or blocks are cleared
 * @secret: of all headers
 * @front_units: freed blocks of fewer units go to fronts; the lock: 0 while much
 *	of the heap is in use, else @front_sizes
 * @front_size: requests of fewer bytes may be served from there
 * @small_size: and these are of fewer than FRONT_EXACT units
 * @front: slots for @front_classes classes of sizes; set once, not read when @front_sizes is 0
 * @small_slots: of a class below FRONT_EXACT; set once, as the next
 * @large_slots: of another
 * @front_share: units that a CPU may hold
 * @front_while: they take blocks while no more sixteenths of the memory are in use
 * @nr_regions: release on add, acquire by who looks without the lock
 * @request_end: requests of fewer bytes may be served; 0: closed
 * @closed: destroyed or dead
 * @gone: memory that the owner lent is its own again: not to be read
 * @lock: see above
 * @allocs: requests served from the lists
 * @blocks: live or cached
 * @used: units of these
 * @peak_blocks: high-water mark since the last reset
 * @peak_used: likewise
 * @changes: what happened besides allocs and frees, see heap_changes()
 * @alarm: before the lock is dropped there is more to do: a region's core has found
 *	something wrong, or frees were put off; set by any context
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
	u32 small_size;
	u32 flags;
	struct heap_front __percpu *front;
	struct heap_region *region[QUARRY_HEAP_MAX_REGIONS];
	u32 nr_regions;
	u64 request_end;
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
	bool alarm;
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
	u32 front_classes;
	u32 small_slots;
	u32 large_slots;
	u32 front_while;
	u32 front_share;
	u64 front_limit;
	struct mutex walking;	/* above */
	struct quarry_heap_stats baseline;
	unsigned long max_align;
	size_t front_bytes;
	int node;
};

/*
 * Differs from what it was whenever a block was handed out, given back, resized or fenced
 * off in between; the lock. Blocks given back are allocs less those that are left.
 */
static inline u64 heap_changes(const struct quarry_heap *heap)
{
	return heap->changes + 2 * heap->allocs - heap->blocks;
}

/* The first slot of a class that is 2 or above; a guard is in front of it. */
static inline u32 front_slot(const struct quarry_heap *heap, u32 class)
{
	u32 small = min(class, FRONT_EXACT) - MIN_UNITS;

	return small * (heap->small_slots + 1) +
	       (class - MIN_UNITS - small) * (heap->large_slots + 1) + 1;
}

/* Bytes of a front, with the last guard. */
static inline size_t front_memory(const struct quarry_heap *heap)
{
	return offsetof(struct heap_front, slot[front_slot(heap, heap->front_classes)]);
}

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
void __cold quarry__heap_unlock_alarmed(struct quarry_heap *heap, unsigned long flags);
u64 *quarry__heap_live_block(const struct quarry_heap *heap, const void *ptr,
			     u64 *header);
/* As the exported ones, for a caller that a report is to name. */
void *quarry__heap_alloc(struct quarry_heap *heap, size_t size, size_t align,
			 unsigned long caller);
void quarry__heap_free(struct quarry_heap *heap, void *ptr, unsigned long caller);

/* heap_flush.c */
void __cold quarry__heap_lost(struct quarry_heap *heap, u64 *at);
void quarry__heap_defer(struct quarry_heap *heap, u64 *at);
void quarry__heap_drain(struct quarry_heap *heap);
bool quarry__heap_drain_all(struct quarry_heap *heap);
bool quarry__heap_flush_some(struct quarry_heap *heap, struct heap_flush *flush);
void quarry__heap_flush(struct quarry_heap *heap);

/* heap_realloc.c */
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
