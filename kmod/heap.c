// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heap: the lock, alloc and free, contexts. heap.h says who may touch what,
 * heap_core.c has the algorithm, heap_flush.c gives back to the lists what fronts hold
 * and what was deferred.
 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include "heap.h"
#include "heap_front.h"
#include "heap_lock.h"
#include "heap_ops.h"

/* The lock, for files that do not need it inline */

bool quarry__heap_lock(struct quarry_heap *heap, unsigned long *flags)
{
	return lock_heap(heap, flags);
}

/*
 * The lock is to be dropped, and there is something to be done first: some of the frees
 * that were put off, and what the cores have found wrong is said after.
 */
__cold noinline void quarry__heap_unlock_alarmed(struct quarry_heap *heap,
						 unsigned long flags)
{
	struct heap_finding found[QUARRY_HEAP_MAX_REGIONS];
	u32 i, nr = 0;

	/* Before what it tells of is looked at: quarry__heap_drain() says if not all was. */
	WRITE_ONCE(heap->alarm, false);
	quarry__heap_drain(heap);
	for (i = 0; i < heap->nr_regions; i++) {
		struct heap_core *core = &heap->region[i]->core;

		if (!core->sick)
			continue;
		core->sick = false;
		heap->changes++;	/* blocks may have been fenced off */
		found[nr++] = (struct heap_finding) {
			.region = i, .what = core->fault, .at = core->fault_at,
			.front = core->fault_front,
		};
	}
	drop_lock(heap, flags);
	for (i = 0; i < nr; i++)
		quarry__heap_found(heap, &found[i]);
}

void quarry__heap_unlock(struct quarry_heap *heap, unsigned long flags)
{
	unlock_heap(heap, flags);
}

/* Alloc */

/* A region's block at @at, of @units, is handed out; the lock is held. */
static __always_inline u64 *taken(struct quarry_heap *heap, struct heap_core *core,
				  u64 at, u64 units)
{
	heap->allocs++;
	heap->used += units;
	heap->blocks++;
	if (heap->used > heap->peak_used)
		heap->peak_used = heap->used;
	if (heap->blocks > heap->peak_blocks)
		heap->peak_blocks = heap->blocks;
	if (unlikely(heap->used > heap->front_limit))
		gauge(heap);
	return core->base + at;
}

/* From the first region that has it; the lock is held. */
static noinline u64 *take_any(struct quarry_heap *heap, u32 units, u32 align_log)
{
	u32 i, at, used;

	for (i = 0; i < heap->nr_regions; i++) {
		struct heap_core *core = &heap->region[i]->core;

		used = core->used;
		at = align_log ? heap_core_alloc_aligned(core, units, align_log) :
				 heap_core_alloc(core, units);
		if (at)
			return taken(heap, core, at, core->used - used);
	}
	return NULL;
}

/* Likewise; mostly there is one region. @aligned: @align_log is not 0. */
static __always_inline u64 *take_block(struct quarry_heap *heap, u64 units,
				       u32 align_log, bool aligned)
{
	struct heap_core *core = &heap->region[0]->core;
	u64 at, got = core->used;

	if (unlikely(core->bounded))
		return take_any(heap, units, align_log);
	if (aligned) {
		at = heap_core_alloc_aligned(core, units, align_log);
		got = core->used - got;
	} else {
		at = heap_take(core, units, &got);
	}
	if (unlikely(!at))
		return heap->nr_regions > 1 ? take_any(heap, units, align_log) : NULL;
	return taken(heap, core, at, got);
}

/* Off the lists; the lock is held. */
static __always_inline u64 *from_lists(struct quarry_heap *heap, u64 size, u32 align_log,
				       bool aligned)
{
	if (unlikely(size > heap->largest_request))
		heap->largest_request = size;
	return take_block(heap, heap_units(size), align_log, aligned);
}

/* Likewise, in NMI too. */
static noinline u64 *try_lists(struct quarry_heap *heap, u64 size, u32 align_log)
{
	unsigned long flags;
	u64 *at;

	if (!lock_heap(heap, &flags)) {
		atomic_long_inc(&heap->nmi_failed);
		return ERR_PTR(-EBUSY);
	}
	at = from_lists(heap, size, align_log, align_log);
	unlock_heap(heap, flags);
	return at;
}

static __always_inline void *hand_out(struct quarry_heap *heap, u64 *at,
				      u64 size)
{
	if (IS_ENABLED(CONFIG_KASAN_GENERIC) || IS_ENABLED(CONFIG_KMSAN))
		quarry__mem_taken(&heap_region_of(heap, (unsigned long)at)->memory,
				  payload(at), size);
	return payload(at);
}

/*
 * Nothing on the lists will do: what was deferred goes there, and what the fronts hold,
 * a few blocks at a time, until it does. A last look also when nothing was found, since
 * another CPU may have flushed meanwhile.
 */
static noinline void *alloc_short(struct quarry_heap *heap, u64 size, u32 align_log)
{
	bool more = heap->front_sizes || atomic_long_read(&heap->nr_deferred);
	struct heap_flush flush = flush_start(heap);
	bool gave = false;
	u64 *at = NULL;

	if (more && quarry__heap_drain_all(heap))
		at = try_lists(heap, size, align_log);
	while (!at && more) {
		more = heap->front_sizes && quarry__heap_flush_some(heap, &flush);
		gave |= more;
		at = try_lists(heap, size, align_log);
	}
	if (gave)
		atomic_long_inc(&heap->flushes);
	if (!at)
		atomic_long_inc(&heap->exhausted);
	return IS_ERR_OR_NULL(at) ? NULL : hand_out(heap, at, size);
}

/* Who has the lock may be whom the NMI has interrupted. */
static noinline void *alloc_in_nmi(struct quarry_heap *heap, u64 size, u32 align_log)
{
	u64 *at = try_lists(heap, size, align_log);

	if (!at)
		return alloc_short(heap, size, align_log);
	return IS_ERR(at) ? NULL : hand_out(heap, at, size);
}

/* Not a heap, a closed one, or more than it gives. */
static __cold noinline void *alloc_refused(struct quarry_heap *heap, unsigned long caller)
{
	if (not_a_heap(heap))
		quarry__heap_refuse_handle(heap, caller ? caller : _RET_IP_);
	else if (heap->closed)
		quarry__heap_refuse_closed(heap, caller ? caller : _RET_IP_);
	else
		atomic_long_inc(&heap->too_large);
	return NULL;
}

/*
 * From the lists, whatever the fronts have. Out of line, and twice: what does not know of
 * alignments needs fewer registers.
 */
static __always_inline void *take_listed(struct quarry_heap *heap, u64 size, u32 align_log,
					 bool aligned, unsigned long caller)
{
	unsigned long flags;
	u64 *at;

	/* Acquire: pairs with the release in build(). */
	if (unlikely(size >= smp_load_acquire(&heap->request_end)))
		return alloc_refused(heap, caller);
	if (unlikely(in_nmi()))
		return alloc_in_nmi(heap, size, align_log);
	flags = lock_irqsave(heap);
	at = from_lists(heap, size, align_log, aligned);
	unlock_irqrestore(heap, flags);
	if (unlikely(!at))
		return alloc_short(heap, size, align_log);
	return hand_out(heap, at, size);
}

static noinline void *alloc_listed(struct quarry_heap *heap, u64 size,
				   unsigned long caller)
{
	return take_listed(heap, size, 0, false, caller);
}

static noinline void *aligned_listed(struct quarry_heap *heap, u64 size, u32 align_log,
				     unsigned long caller)
{
	return take_listed(heap, size, align_log, true, caller);
}

/*
 * What came out of a front is the caller's, as a live block. Or its header is bad, or it
 * has fewer units.
 */
static __always_inline bool make_live(struct quarry_heap *heap, u64 *at, u64 units,
				      u32 align_log)
{
	u64 header = quarry__peek(at);

	if (unlikely(!header_good(header, at, heap->secret) ||
		     header_state(header) != STATE_CACHED ||
		     header_units(header) < units))
		return false;
	quarry__flip(at, LIVE_TO_CACHED ^ header_change(align_log << ALIGN_SHIFT));
	count_hit(heap, header_units(header));
	return true;
}

/*
 * Its header is bad. Or it is not the block that was looked at before it was taken, but
 * one that others have put there since, of another size: that goes to the lists.
 */
static __cold noinline void unfit(struct quarry_heap *heap, u64 *at, u64 wanted)
{
	u64 header;
	bool sound = cached_region(heap, at, &header);

	this_cpu_sub(heap->front->over, sound ? header_units(header) : wanted);
	if (sound)
		quarry__heap_defer(heap, at);
	else
		quarry__heap_lost(heap, at);
}

/* Who called, for reports: the slow paths, called last, find it themselves; see pool.c. */
#define CALLER	(IS_ENABLED(CONFIG_FRAME_POINTER) ? _RET_IP_ : 0)

/* A block from a slot, if there is one and its header is good; or from the lists. */
static __always_inline void *alloc_found(struct quarry_heap *heap, u64 *at, u64 units,
					 u64 size, u32 align_log, unsigned long caller)
{
	if (at && likely(make_live(heap, at, units, align_log)))
		return hand_out(heap, at, size);
	if (at)
		unfit(heap, at, units);
	return align_log ? aligned_listed(heap, size, align_log, caller) :
			   alloc_listed(heap, size, caller);
}

/* Below the top there is none that will do. In the next class all are large enough. */
static noinline void *alloc_larger(struct quarry_heap *heap, u64 size,
				   unsigned long caller)
{
	u64 units = heap_units(size), class = front_class(units), *at = NULL;

	lower_top(heap, class);
	if (class + 1 < heap->front_classes)
		at = take_top(heap, class + 1, units, 0);
	return alloc_found(heap, at, units, size, 0, caller);
}

static __cold noinline void *alloc_unfit(struct quarry_heap *heap, u64 *at, u64 size,
					 unsigned long caller)
{
	unfit(heap, at, heap_units(size));
	return alloc_listed(heap, size, caller ? caller : _RET_IP_);
}

/* Of FRONT_EXACT units or more, or without fronts; it too ends in a call that is the last. */
static noinline void *alloc_large(struct quarry_heap *heap, u64 size,
				  unsigned long caller)
{
	u64 units = (size + 2 * UNIT - 1) / UNIT, *at;

	if (unlikely(not_a_heap(heap)))
		return alloc_refused(heap, caller);
	/*
	 * Acquire: pairs with the release in front_new(). A small one comes here too
	 * while the heap is opened or closed.
	 */
	if (size >= smp_load_acquire(&heap->front_size) || units < FRONT_EXACT)
		return alloc_listed(heap, size, caller);
	at = take_top(heap, large_class(units), units, 0);
	if (unlikely(!at))
		return alloc_larger(heap, size, caller);
	if (unlikely(!make_live(heap, at, units, 0)))
		return alloc_unfit(heap, at, size, caller);
	return hand_out(heap, at, size);
}

/* Some more slots are looked at: what lies wrong for one request will do for the next. */
static noinline void *aligned_near(struct quarry_heap *heap, u64 size, u32 align_log,
				   unsigned long caller)
{
	u64 units = heap_units(size), class = front_class(units);
	u64 *at = take_below(heap, class, units, align_log);

	if (!at && class >= FRONT_EXACT && class + 1 < heap->front_classes)
		at = take_top(heap, class + 1, units, align_log);
	return alloc_found(heap, at, units, size, align_log, caller);
}

static noinline void *alloc_aligned(struct quarry_heap *heap, u64 size,
				    u32 align_log, unsigned long caller)
{
	u64 units, *at;

	if (size >= smp_load_acquire(&heap->front_size))	/* of front_new() */
		return aligned_listed(heap, size, align_log, caller);
	units = heap_units(size);
	at = take_top(heap, front_class(units), units, align_log);
	if (unlikely(!at || !make_live(heap, at, units, align_log))) {
		if (at)
			unfit(heap, at, units);
		return aligned_near(heap, size, align_log, caller);
	}
	return hand_out(heap, at, size);
}

/* None below the top. */
static noinline void *alloc_small(struct quarry_heap *heap, u64 size,
				  unsigned long caller)
{
	lower_top(heap, heap_units(size));
	return alloc_listed(heap, size, caller);
}

/* All but the hit ends in a call that is the last: so the hit needs no frame. */
static __always_inline void *alloc(struct quarry_heap *heap, u64 size,
				   unsigned long caller)
{
	u64 *at;

	/*
	 * Acquire: pairs with the release in front_new(). Heaps that are closed, and those
	 * without fronts, have small_size 0.
	 */
	if (unlikely(not_a_heap(heap) || size >= smp_load_acquire(&heap->small_size)))
		return alloc_large(heap, size, caller);
	/* Of nothing at all it looks at the top for 1 unit, below which is a guard. */
	at = take_small(heap, (size + 2 * UNIT - 1) / UNIT);
	if (unlikely(!at))
		return alloc_small(heap, size, caller);
	/* All of a small class are of its size. */
	if (unlikely(!make_live(heap, at, 0, 0)))
		return alloc_unfit(heap, at, size, caller);
	return hand_out(heap, at, size);
}

void *quarry_heap_alloc(struct quarry_heap *heap, size_t size)
{
	return alloc(heap, size, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_heap_alloc);

void *quarry_heap_zalloc(struct quarry_heap *heap, size_t size)
{
	void *ptr = alloc(heap, size, _RET_IP_);

	return ptr ? memset(ptr, 0, size) : NULL;
}
EXPORT_SYMBOL_GPL(quarry_heap_zalloc);

static __always_inline void *alloc_any(struct quarry_heap *heap, size_t size, size_t align,
				       unsigned long caller)
{
	if (align <= QUARRY_HEAP_ALIGN && (align == 0 || is_power_of_2(align)))
		return alloc(heap, size, caller);
	if (not_a_heap(heap)) {
		quarry__heap_refuse_handle(heap, caller);
		return NULL;
	}
	if (align > heap->max_align || !is_power_of_2(align)) {
		quarry__report("heap \"%s\": bad align %zu, not a power of two up to %lu, by %pS",
			       heap->object.name, align, heap->max_align,
			       (void *)caller);
		return NULL;
	}
	return alloc_aligned(heap, size, ilog2(align) - 3, caller);
}

/* For who allocates for somebody else, whom reports are to name. */
void *quarry__heap_alloc(struct quarry_heap *heap, size_t size, size_t align,
			 unsigned long caller)
{
	return alloc_any(heap, size, align, caller);
}

void *quarry_heap_alloc_aligned(struct quarry_heap *heap, size_t size,
				size_t align)
{
	return alloc_any(heap, size, align, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_heap_alloc_aligned);

/* Free */

/* Is it the header of a block that ends before @span, from @offset? */
static __always_inline bool is_sound(const struct quarry_heap *heap, const u64 *at,
				     u64 header, u64 offset, u64 span)
{
	return header_units(header) >= MIN_UNITS &&
	       offset + header_units(header) * UNIT < span &&
	       header_good(header, at, heap->secret);
}

/*
 * The header of a live block that starts at @ptr, in any region, or NULL: @ptr is to
 * be refused. All that is read lies in the heap. *header is what was found there.
 */
u64 *quarry__heap_live_block(const struct quarry_heap *heap, const void *ptr,
			     u64 *header)
{
	unsigned long address = (unsigned long)ptr - UNIT;
	const struct heap_region *region;

	region = READ_ONCE(heap->closed) ? NULL : heap_region_of(heap, address);
	if (!region || address % UNIT)
		return NULL;
	*header = quarry__peek((u64 *)address);
	if (!is_sound(heap, (u64 *)address, *header,
		      address - (unsigned long)region->core.base,
		      region->core.units * UNIT) ||
	    header_state(*header) != STATE_LIVE)
		return NULL;
	return (u64 *)address;
}

/* As free_listed(); who has the lock may be whom the NMI has interrupted. */
static noinline void free_in_nmi(struct quarry_heap *heap, u64 *at)
{
	struct heap_region *region;
	unsigned long flags;
	u64 header;

	if (!lock_heap(heap, &flags)) {
		quarry__heap_defer(heap, at);
		return;
	}
	region = cached_region(heap, at, &header);
	if (region)
		give(heap, region, at, header);
	unlock_heap(heap, flags);
	if (!region)
		quarry__heap_lost(heap, at);
}

/* Its header is no more what it was when the block was made cached. */
static __cold noinline void unlock_lost(struct quarry_heap *heap, u64 *at,
					unsigned long flags)
{
	unlock_irqrestore(heap, flags);
	quarry__heap_lost(heap, at);
}

/*
 * A block that the caller has made cached goes to the lists. @header is what it was
 * then: others may since have changed what it says is in front, and nothing else.
 */
static noinline void free_listed(struct quarry_heap *heap, u64 *at, u64 header)
{
	struct heap_region *region = heap->region[0];
	unsigned long flags;
	u64 now;

	if (unlikely(in_nmi())) {
		free_in_nmi(heap, at);
		return;
	}
	if (unlikely((unsigned long)at - heap->base >= heap->span))
		region = heap_region_of(heap, (unsigned long)at);
	flags = lock_irqsave(heap);
	now = quarry__peek(at);
	if (unlikely(now != header)) {
		if (now != (header ^ header_change(FRONT_FREE))) {
			unlock_lost(heap, at, flags);
			return;
		}
	}
	gave(heap, header_units(now));
	if (unlikely(heap->flags & QUARRY_HEAP_BOUNDED))
		heap_core_free(&region->core, number(region, at), now);
	else
		heap_give(&region->core, at - region->core.base, now);
	unlock_irqrestore(heap, flags);
}

/*
 * The CPU holds what it may: a larger block goes to the lists and this one in its place,
 * so that what a client frees now and then does not keep out what it frees all the time.
 */
static noinline void free_crowded(struct quarry_heap *heap, u64 *at, u64 header)
{
	u64 units = header_units(header), class = front_class(units);
	u64 *old = take_next(heap, class, units);

	if (!old || !put_any(heap, at, class, units))
		free_listed(heap, at, header);
	if (!old)
		return;
	if (cached_region(heap, old, &header)) {
		this_cpu_sub(heap->front->over, header_units(header));
		free_listed(heap, old, header);
	} else {
		this_cpu_sub(heap->front->over, units);
		quarry__heap_lost(heap, old);
	}
}

/* Its place in the front is taken, or seems to be: another, or the lists. */
static noinline void free_missed(struct quarry_heap *heap, u64 *at, u64 header)
{
	u64 units = header_units(header);

	if (unlikely(!has_room(heap)))
		free_crowded(heap, at, header);
	else if (!put_any(heap, at, front_class(units), units))
		free_listed(heap, at, header);
}

static noinline void free_large(struct quarry_heap *heap, u64 *at, u64 header)
{
	u64 units = header_units(header);

	if (unlikely(!put_top(heap, at, large_class(units), units)))
		free_missed(heap, at, header);
}

/* What a live block's header is to be; its alignment does not go to the next owner. */
static __always_inline u64 made_cached(u64 header)
{
	return header ^ LIVE_TO_CACHED ^ header_change(header_flags(header) & ALIGN_MASK);
}

/* A block has been made cached by the caller, with @header. */
static __always_inline void put_away(struct quarry_heap *heap, u64 *at, u64 header)
{
	u64 units = header_units(header);

	if (IS_ENABLED(CONFIG_KASAN_GENERIC) || IS_ENABLED(CONFIG_KMSAN))
		quarry__mem_freed(&heap_region_of(heap, (unsigned long)at)->memory,
				  payload(at), (u64)units * UNIT - UNIT);
	if (unlikely(units >= READ_ONCE(heap->front_units)))
		free_listed(heap, at, header);
	else if (units >= FRONT_EXACT)
		free_large(heap, at, header);
	else if (unlikely(!put_top(heap, at, units, units)))
		free_missed(heap, at, header);
}

/* Outside the first region, or wrong, or to be cleared, or changed meanwhile. */
static noinline void free_slow(struct quarry_heap *heap, void *ptr,
			       unsigned long caller)
{
	u64 *at, header;
	size_t size;

	if (!caller)
		caller = _RET_IP_;
	if (not_a_heap(heap)) {
		quarry__heap_refuse_handle(heap, caller);
		return;
	}
	if (!ptr)
		return;
	do {	/* again when what is in front has changed meanwhile */
		at = quarry__heap_live_block(heap, ptr, &header);
		if (!at) {
			quarry__heap_refuse(heap, ptr, caller);
			return;
		}
	} while (!quarry__swap(at, header, made_cached(header)));
	if (heap->flags & QUARRY_HEAP_ZERO_ON_FREE) {
		size = (size_t)header_units(header) * UNIT - UNIT;
		own_payload(heap, at, size);
		memset(ptr, 0, size);
	}
	put_away(heap, at, made_cached(header));
}

/* A block that was asked for with an alignment, live when it was looked at. */
static noinline void free_aligned(struct quarry_heap *heap, u64 *at, u64 header,
				  unsigned long caller)
{
	if (likely(quarry__swap(at, header, made_cached(header))))
		put_away(heap, at, made_cached(header));
	else
		free_slow(heap, payload(at), caller ? caller : _RET_IP_);
}

static __always_inline void free_block(struct quarry_heap *heap, void *ptr,
				       unsigned long caller)
{
	u64 *at = ptr - UNIT, header, offset, span;

	if (unlikely(not_a_heap(heap)))
		goto slow;
	span = smp_load_acquire(&heap->span);	/* of build() */
	offset = (unsigned long)at - heap->base;
	if (unlikely(offset >= span || offset % UNIT))
		goto slow;
	header = quarry__peek(at);
	if (unlikely(!is_sound(heap, at, header, offset, span)))
		goto slow;
	if (unlikely((header_flags(header) & (STATE_MASK | ALIGN_MASK)) != STATE_LIVE)) {
		if (header_state(header) != STATE_LIVE)
			goto slow;
		free_aligned(heap, at, header, caller);
		return;
	}
	if (unlikely(!quarry__swap(at, header, header ^ LIVE_TO_CACHED)))
		goto slow;
	put_away(heap, at, header ^ LIVE_TO_CACHED);
	return;
slow:
	free_slow(heap, ptr, caller);
}

void quarry_heap_free(struct quarry_heap *heap, void *ptr)
{
	free_block(heap, ptr, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_heap_free);

void quarry__heap_free(struct quarry_heap *heap, void *ptr, unsigned long caller)
{
	free_block(heap, ptr, caller);
}

/* What a heap has */

bool quarry_heap_owns(struct quarry_heap *heap, const void *ptr)
{
	return !not_a_heap(heap) && !READ_ONCE(heap->closed) &&
	       heap_region_of(heap, (unsigned long)ptr);
}
EXPORT_SYMBOL_GPL(quarry_heap_owns);

size_t quarry_heap_largest_free(struct quarry_heap *heap)
{
	unsigned long flags;
	u32 i, units = 0;

	if (not_a_heap(heap) || READ_ONCE(heap->closed) ||
	    !quarry__heap_lock(heap, &flags))
		return 0;
	for (i = 0; i < heap->nr_regions; i++)
		units = max(units, heap_core_largest(&heap->region[i]->core));
	quarry__heap_unlock(heap, flags);
	return units ? min_t(u64, heap->max_request, (u64)units * UNIT - UNIT) : 0;
}
EXPORT_SYMBOL_GPL(quarry_heap_largest_free);
