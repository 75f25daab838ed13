// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heap: fronts, the lock, contexts. heap.h says who may touch what,
 * heap_core.c has the algorithm.
 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include "heap.h"
#include "heap_ops.h"

/* Frees done in one hold of the lock while the fronts are given back. */
#define FLUSH_BATCH	8

static __always_inline void *payload(u64 *at)
{
	return at + 1;
}

/* The lock. Sparse, which cannot follow one that is had or not, is told of none. */

/* False in NMI when somebody has it. */
static __always_inline bool lock_heap(struct quarry_heap *heap,
				      unsigned long *flags)
{
	if (unlikely(in_nmi())) {
		*flags = 0;
		if (!raw_spin_trylock(&heap->lock))
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

bool quarry__heap_lock(struct quarry_heap *heap, unsigned long *flags)
{
	return lock_heap(heap, flags);
}

/* Before the lock is dropped: what the cores have found wrong is said after. */
static __cold noinline void unlock_sick(struct quarry_heap *heap,
					unsigned long flags)
{
	struct heap_finding found[QUARRY_HEAP_MAX_REGIONS];
	u32 i, nr = 0;

	for (i = 0; i < heap->nr_regions; i++) {
		struct heap_core *core = &heap->region[i]->core;

		if (!core->sick)
			continue;
		core->sick = false;
		found[nr++] = (struct heap_finding) {
			.region = i, .what = core->fault, .at = core->fault_at,
			.front = core->fault_front,
		};
	}
	drop_lock(heap, flags);
	for (i = 0; i < nr; i++)
		quarry__heap_found(heap, &found[i]);
}

static __always_inline bool sick(const struct quarry_heap *heap)
{
	bool any = heap->region[0]->core.sick;
	u32 i;

	for (i = 1; unlikely(i < heap->nr_regions); i++)
		any |= heap->region[i]->core.sick;
	return any;
}

static __always_inline void unlock_heap(struct quarry_heap *heap,
					unsigned long flags)
{
	if (unlikely(sick(heap)))
		unlock_sick(heap, flags);
	else
		drop_lock(heap, flags);
}

void quarry__heap_unlock(struct quarry_heap *heap, unsigned long flags)
{
	unlock_heap(heap, flags);
}

/* Blocks by address */

static __always_inline u32 number(const struct heap_region *region, const u64 *at)
{
	return at - region->core.base;
}

/* Fronts take freed blocks only while there is plenty. The lock is held. */
static __always_inline void gauge(struct quarry_heap *heap)
{
	WRITE_ONCE(heap->front_units,
		   heap->used <= heap->front_limit ? heap->front_sizes : 0);
}

/* The lists of the region get a cached block. The lock is held. */
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

/* Is a block that was put away still what it was? Its region, or NULL. */
static struct heap_region *cached_region(struct quarry_heap *heap, u64 *at,
					 u32 *units)
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

/* Deferred frees */

/* The first word of the payload is the link; it is ours since the free. */
static void defer(struct quarry_heap *heap, u64 *at)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);

	quarry__mem_taken(&region->memory, payload(at), UNIT);
	atomic_long_inc(&heap->nr_deferred);
	atomic_long_inc(&heap->pending);
	llist_add(payload(at), &heap->deferred);
}

/* Up to DRAIN of them; the lock is held. A link may have been overwritten. */
static noinline void drain(struct quarry_heap *heap)
{
	struct llist_node *node;
	u32 i, units;

	lockdep_assert_held(&heap->lock);
	for (i = 0; i < DRAIN; i++) {
		struct heap_region *region;
		u64 *at;

		node = heap->draining ?: llist_del_all(&heap->deferred);
		if (!node)
			return;
		at = (u64 *)node - 1;
		region = cached_region(heap, at, &units);
		if (!region) {	/* and what lies behind is not to be found */
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
		atomic_long_dec(&heap->pending);
		give(heap, region, at, units);
	}
}

static __always_inline bool must_drain(const struct quarry_heap *heap)
{
	/* Who misses one that comes just now leaves it to the next. */
	return data_race(heap->deferred.first) || heap->draining;
}

/* Fronts */

/*
 * A cached block from this CPU's front, or NULL: of exactly @units, or from 64 units
 * on a little larger. Its address says whether its payload is aligned to 8 << @align_log
 * bytes.
 */
static __always_inline u64 *take_cached(struct quarry_heap *heap, u64 units,
					u32 align_log)
{
	u64 **slot = raw_cpu_ptr(heap->front)->slot + front_slot(units);
	u64 **end = slot + (likely(units < 16) ? 16 : 8);
	u64 *at;

	do {
		at = READ_ONCE(*slot);
		if (!at || (align_log &&
			    !IS_ALIGNED((unsigned long)payload(at), UNIT << align_log)))
			continue;
		if (likely(try_cmpxchg(slot, &at, NULL))) {
			this_cpu_inc(heap->front->hits);
			return at;
		}
	} while (++slot < end);
	return NULL;
}

static __always_inline bool put_cached(struct quarry_heap *heap, u64 *at, u64 units)
{
	u64 **slot = raw_cpu_ptr(heap->front)->slot + front_slot(units);
	u64 **end = slot + front_slots(units);
	u64 *old;

	do {
		old = READ_ONCE(*slot);
		if (!old && try_cmpxchg(slot, &old, at))
			return true;
	} while (++slot < end);
	return false;
}

/* Its header was overwritten while it lay in a slot: it is not used again. */
static __cold noinline void lost(struct quarry_heap *heap, u64 *at)
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

/* All slots of one CPU to the lists. True when there was something in them. */
static bool flush_front(struct quarry_heap *heap, struct heap_front *front)
{
	u32 i, nr = 0, units;
	unsigned long flags;
	bool any = false, locked = false;

	for (i = front_slot(MIN_UNITS); i < front_slot(heap->front_sizes); i++) {
		struct heap_region *region;
		u64 *at;

		if (!READ_ONCE(front->slot[i]))
			continue;
		if (!locked && !quarry__heap_lock(heap, &flags))
			return any;
		locked = true;
		at = xchg(&front->slot[i], NULL);
		region = at ? cached_region(heap, at, &units) : NULL;
		if (region) {
			give(heap, region, at, units);
			any = true;
		}
		if (++nr % FLUSH_BATCH == 0 || (at && !region)) {
			quarry__heap_unlock(heap, flags);
			locked = false;
		}
		if (at && !region)
			lost(heap, at);
	}
	if (locked)
		quarry__heap_unlock(heap, flags);
	return any;
}

/* What fronts hold and what was deferred goes to the lists. True if any did. */
bool quarry__heap_flush(struct quarry_heap *heap)
{
	unsigned long flags;
	unsigned int cpu;
	bool any = false;

	while (must_drain(heap)) {
		if (!quarry__heap_lock(heap, &flags))
			return any;
		drain(heap);
		quarry__heap_unlock(heap, flags);
		any = true;
	}
	if (!heap->front_sizes)
		return any;
	for_each_possible_cpu(cpu)
		any |= flush_front(heap, per_cpu_ptr(heap->front, cpu));
	if (any)
		atomic_long_inc(&heap->flushes);
	return any;
}

void quarry_heap_flush(struct quarry_heap *heap)
{
	if (!not_a_heap(heap) && !READ_ONCE(heap->closed) && !in_nmi())
		quarry__heap_flush(heap);
}
EXPORT_SYMBOL_GPL(quarry_heap_flush);

/* Alloc */

/* From the first region that has it; the lock is held. */
static __always_inline u64 *take_block(struct quarry_heap *heap, u32 units,
				       u32 align_log)
{
	u32 i, at, got;

	for (i = 0; i < heap->nr_regions; i++) {
		struct heap_core *core = &heap->region[i]->core;

		if (unlikely(align_log || core->bounded)) {
			at = align_log ? heap_core_alloc_aligned(core, units, align_log) :
					 heap_core_alloc(core, units);
			got = header_units(quarry__peek(core->base + at));
		} else {
			at = heap_take(core, units, &got);
		}
		if (unlikely(!at))
			continue;
		heap->allocs++;
		heap->changes++;
		heap->used += got;
		heap->blocks++;
		if (heap->used > heap->peak_used)
			heap->peak_used = heap->used;
		if (heap->blocks > heap->peak_blocks)
			heap->peak_blocks = heap->blocks;
		gauge(heap);
		return core->base + at;
	}
	return NULL;
}

/*
 * Off the lists: what was deferred first, a little of it; on failure, what the
 * fronts hold and all that was deferred, and once more.
 */
static __always_inline u64 *alloc_listed(struct quarry_heap *heap, u64 size,
					 u32 align_log, unsigned long caller)
{
	u64 units = heap_units(size);
	unsigned long flags;
	bool again = true;
	u64 *at;

	if (unlikely(heap->closed)) {
		quarry__heap_refuse_closed(heap, caller);
		return NULL;
	}
	if (unlikely(size > heap->max_request)) {
		atomic_long_inc(&heap->too_large);
		return NULL;
	}
	for (;;) {
		if (unlikely(!lock_heap(heap, &flags))) {
			atomic_long_inc(&heap->nmi_failed);
			return NULL;
		}
		if (unlikely(must_drain(heap)))
			drain(heap);
		if (unlikely(size > heap->largest_request))
			heap->largest_request = size;
		at = take_block(heap, units, align_log);
		unlock_heap(heap, flags);
		if (likely(at))
			return at;
		/* Once more also when another CPU has flushed meanwhile. */
		if (!again || (!quarry__heap_flush(heap) && !heap->front_sizes &&
			       !atomic_long_read(&heap->nr_deferred)))
			break;
		again = false;
	}
	atomic_long_inc(&heap->exhausted);
	return NULL;
}

static __always_inline void *hand_out(struct quarry_heap *heap, u64 *at,
				      u64 size)
{
	if (IS_ENABLED(CONFIG_KASAN_GENERIC) || IS_ENABLED(CONFIG_KMSAN))
		quarry__mem_taken(&heap_region_of(heap, (unsigned long)at)->memory,
				  payload(at), size);
	return payload(at);
}

static noinline void *alloc_slow(struct quarry_heap *heap, u64 size,
				 unsigned long caller)
{
	u64 *at;

	if (unlikely(not_a_heap(heap))) {
		quarry__heap_refuse_handle(heap, caller);
		return NULL;
	}
	at = alloc_listed(heap, size, 0, caller);
	return at ? hand_out(heap, at, size) : NULL;
}

static noinline void *alloc_slow_aligned(struct quarry_heap *heap, u64 size,
					 u32 align_log, unsigned long caller)
{
	u64 *at = alloc_listed(heap, size, align_log, caller);

	return at ? hand_out(heap, at, size) : NULL;
}

static __always_inline void *alloc_missed(struct quarry_heap *heap, u64 size,
					  u32 align_log, unsigned long caller)
{
	if (__builtin_constant_p(align_log) && !align_log)
		return alloc_slow(heap, size, caller);
	return alloc_slow_aligned(heap, size, align_log, caller);
}

/* The block at @at came out of a front with a bad header. */
static __cold noinline void *alloc_lost(struct quarry_heap *heap, u64 *at, u64 size,
					u32 align_log, unsigned long caller)
{
	this_cpu_dec(heap->front->hits);
	lost(heap, at);
	return alloc_slow_aligned(heap, size, align_log, caller);
}

/* All but the hit ends in a call that is the last: so the hit needs no frame. */
static __always_inline void *alloc(struct quarry_heap *heap, u64 size, u32 align_log,
				   unsigned long caller)
{
	u64 *at, header;

	/* Heaps that are closed, and those without fronts, have front_size 0. */
	if (likely(!not_a_heap(heap) && size < heap->front_size)) {
		/* Of nothing at all it looks at slots for 1 unit, which are empty. */
		at = take_cached(heap, (size + 2 * UNIT - 1) / UNIT, align_log);
		if (likely(at)) {
			header = quarry__peek(at);
			if (unlikely(!header_good(header, at, heap->secret) ||
				     header_state(header) != STATE_CACHED))
				return alloc_lost(heap, at, size, align_log, caller);
			quarry__flip(at, LIVE_TO_CACHED ^
				     header_change(align_log << ALIGN_SHIFT));
			return hand_out(heap, at, size);
		}
	}
	return alloc_missed(heap, size, align_log, caller);
}

static noinline void *alloc_aligned(struct quarry_heap *heap, u64 size,
				    u32 align_log, unsigned long caller)
{
	return alloc(heap, size, align_log, caller);
}

void *quarry_heap_alloc(struct quarry_heap *heap, size_t size)
{
	return alloc(heap, size, 0, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_heap_alloc);

void *quarry_heap_zalloc(struct quarry_heap *heap, size_t size)
{
	void *ptr = alloc(heap, size, 0, _RET_IP_);

	return ptr ? memset(ptr, 0, size) : NULL;
}
EXPORT_SYMBOL_GPL(quarry_heap_zalloc);

static __always_inline void *alloc_any(struct quarry_heap *heap, size_t size,
				       size_t align, unsigned long caller)
{
	if (align <= QUARRY_HEAP_ALIGN && (align == 0 || is_power_of_2(align)))
		return alloc(heap, size, 0, caller);
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

void *quarry_heap_alloc_aligned(struct quarry_heap *heap, size_t size,
				size_t align)
{
	return alloc_any(heap, size, align, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_heap_alloc_aligned);

void *quarry__heap_alloc(struct quarry_heap *heap, size_t size, size_t align,
			 unsigned long caller)
{
	return alloc_any(heap, size, align, caller);
}

/* Free */

/* Is it the header of a live block that ends before @span, from @offset? */
static __always_inline bool is_live(const struct quarry_heap *heap, const u64 *at,
				    u64 header, u64 offset, u64 span)
{
	return offset + header_units(header) * UNIT < span &&
	       header_good(header, at, heap->secret) &&
	       header_state(header) == STATE_LIVE;
}

/*
 * The header of a live block that starts at @ptr, in any region, or NULL: @ptr is to
 * be refused. All that is read lies in the heap. *header is what was found there.
 */
static u64 *live_block(const struct quarry_heap *heap, const void *ptr, u64 *header)
{
	unsigned long address = (unsigned long)ptr - UNIT;
	const struct heap_region *region;

	region = READ_ONCE(heap->closed) ? NULL : heap_region_of(heap, address);
	if (!region || address % UNIT)
		return NULL;
	*header = quarry__peek((u64 *)address);
	if (header_units(*header) < MIN_UNITS ||
	    !is_live(heap, (u64 *)address, *header,
		     address - (unsigned long)region->core.base,
		     region->core.units * UNIT))
		return NULL;
	return (u64 *)address;
}

/* All of a block's payload may be touched: it is the caller's. */
static void own_payload(struct quarry_heap *heap, u64 *at, size_t size)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);

	quarry__mem_taken(&region->memory, payload(at), size);
}

/*
 * A block that the caller has made cached goes to the lists. @header is what it was
 * then: others may since have changed what it says is in front, and nothing else.
 */
static noinline void free_listed(struct quarry_heap *heap, u64 *at, u64 header)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);
	unsigned long flags;
	u64 change;

	if (unlikely(!lock_heap(heap, &flags))) {
		defer(heap, at);
		return;
	}
	change = quarry__peek(at) ^ header;
	if (likely(change == header_change(change & FRONT_MASK)))
		give(heap, region, at, header_units(header));
	if (unlikely(must_drain(heap)))
		drain(heap);
	unlock_heap(heap, flags);
	if (unlikely(change != header_change(change & FRONT_MASK)))
		lost(heap, at);
}

/* What a live block's header is to be; its alignment does not go to the next owner. */
static __always_inline u64 made_cached(u64 header)
{
	return header ^ LIVE_TO_CACHED ^ header_change(header & ALIGN_MASK);
}

/* A block has been made cached by the caller, with @header. */
static __always_inline void put_away(struct quarry_heap *heap, u64 *at, u64 header)
{
	u64 units = header_units(header);

	if (IS_ENABLED(CONFIG_KASAN_GENERIC) || IS_ENABLED(CONFIG_KMSAN))
		quarry__mem_freed(&heap_region_of(heap, (unsigned long)at)->memory,
				  payload(at), (u64)units * UNIT - UNIT);
	if (units < READ_ONCE(heap->front_units) && put_cached(heap, at, units))
		return;
	free_listed(heap, at, header);
}

/* Outside the first region, or wrong, or to be cleared, or changed meanwhile. */
static noinline void free_slow(struct quarry_heap *heap, void *ptr,
			       unsigned long caller)
{
	u64 *at, header;
	size_t size;

	if (not_a_heap(heap)) {
		quarry__heap_refuse_handle(heap, caller);
		return;
	}
	if (!ptr)
		return;
	do {	/* again when what is in front has changed meanwhile */
		at = live_block(heap, ptr, &header);
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
		free_slow(heap, payload(at), caller);
}

static __always_inline void free_block(struct quarry_heap *heap, void *ptr,
				       unsigned long caller)
{
	u64 *at = ptr - UNIT, header, offset;

	if (unlikely(not_a_heap(heap) || heap->flags & QUARRY_HEAP_ZERO_ON_FREE))
		goto slow;
	offset = (unsigned long)at - heap->base;
	if (unlikely(offset >= heap->span || offset % UNIT))
		goto slow;
	header = quarry__peek(at);
	if (unlikely(!is_live(heap, at, header, offset, heap->span)))
		goto slow;
	if (unlikely(header & ALIGN_MASK)) {
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
	free_block(heap, ptr, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_heap_free);

void quarry__heap_free(struct quarry_heap *heap, void *ptr, unsigned long caller)
{
	free_block(heap, ptr, caller);
}

/* Realloc */

/*
 * True when the block has its new size where it is. What it loses is poisoned
 * before others can get it.
 */
static bool resize(struct quarry_heap *heap, u64 *at, size_t size)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);
	size_t keep = round_up(size, UNIT), old;
	unsigned long flags;
	bool done;
	u64 header;

	if (size > heap->max_request || !quarry__heap_lock(heap, &flags))
		return false;
	header = quarry__peek(at);
	done = header_sound(&region->core, number(region, at), header) &&
	       header_state(header) == STATE_LIVE;
	old = (size_t)header_units(header) * UNIT - UNIT;
	if (done && keep < old)
		quarry__mem_freed(&region->memory, payload(at) + keep, old - keep);
	done = done && heap_core_resize(&region->core, number(region, at),
					heap_units(size));
	if (done) {
		heap->used += header_units(quarry__peek(at));
		heap->used -= header_units(header);
		if (heap->used > heap->peak_used)
			heap->peak_used = heap->used;
		gauge(heap);
		heap->resized++;
		heap->changes++;
	}
	quarry__heap_unlock(heap, flags);
	return done;
}

static void *move(struct quarry_heap *heap, void *ptr, u64 header, size_t size,
		  unsigned long caller)
{
	u32 align_log = (header & FLAGS_MASK) >> ALIGN_SHIFT;
	size_t old = (size_t)header_units(header) * UNIT - UNIT;
	void *new = align_log ? alloc_aligned(heap, size, align_log, caller) :
				alloc(heap, size, 0, caller);

	if (!new)
		return NULL;
	own_payload(heap, ptr - UNIT, old);
	memcpy(new, ptr, min(old, size));
	atomic_long_inc(&heap->moved);
	free_block(heap, ptr, caller);
	return new;
}

void *quarry__heap_realloc(struct quarry_heap *heap, void *ptr, size_t size,
			   unsigned long caller)
{
	u64 *at, header;
	size_t room;

	if (!ptr)
		return alloc(heap, size, 0, caller);
	if (not_a_heap(heap)) {
		quarry__heap_refuse_handle(heap, caller);
		return NULL;
	}
	at = live_block(heap, ptr, &header);
	if (!at) {
		quarry__heap_refuse(heap, ptr, caller);
		return NULL;
	}
	room = (size_t)header_units(header) * UNIT - UNIT;
	if (heap->flags & QUARRY_HEAP_ZERO_ON_FREE && size < room) {
		own_payload(heap, at, room);
		memset(ptr + size, 0, room - size);
	}
	if (!resize(heap, at, size)) {
		void *new = move(heap, ptr, header, size, caller);

		/* That has flushed the fronts: maybe what is behind is free now. */
		if (new || !resize(heap, at, size))
			return new;
	}
	own_payload(heap, at, size);
	return ptr;
}

void *quarry_heap_realloc(struct quarry_heap *heap, void *ptr, size_t size)
{
	return quarry__heap_realloc(heap, ptr, size, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_heap_realloc);

/* What a block has */

size_t quarry_heap_usable_size(struct quarry_heap *heap, const void *ptr)
{
	u64 *at, header;
	size_t size;

	if (not_a_heap(heap))
		return 0;
	at = live_block(heap, ptr, &header);
	if (!at)
		return 0;
	size = (size_t)header_units(header) * UNIT - UNIT;
	own_payload(heap, (u64 *)at, size);
	return size;
}
EXPORT_SYMBOL_GPL(quarry_heap_usable_size);

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
