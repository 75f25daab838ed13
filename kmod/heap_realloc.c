// SPDX-License-Identifier: GPL-2.0-only
/*
 * A block's size: realloc, where the block is or to another one, and the usable size.
 *
 * The caller owns the block, so its size and its payload stay as they are found; that it
 * is live is looked at first without the lock, and by resize() again under it.
 */
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include "heap.h"
#include "heap_front.h"
#include "heap_lock.h"

/*
 * True when the block has its new size where it is. What it loses is poisoned
 * before others can get it.
 */
static bool resize(struct quarry_heap *heap, u64 *at, size_t size)
{
	struct heap_region *region = heap_region_of(heap, (unsigned long)at);
	struct heap_core *core = &region->core;
	size_t keep = round_up(size, UNIT), old;
	unsigned long flags;
	u64 header;
	bool done;
	u32 used;

	if (size > heap->max_request || !lock_heap(heap, &flags))
		return false;
	header = quarry__peek(at);
	done = header_sound(core, number(region, at), header) &&
	       header_state(header) == STATE_LIVE;
	old = (size_t)header_units(header) * UNIT - UNIT;
	if (done && keep < old)
		quarry__mem_freed(&region->memory, payload(at) + keep, old - keep);
	used = core->used;
	done = done && heap_core_resize(core, number(region, at), header,
					heap_units(size));
	if (done) {
		heap->used += core->used;
		heap->used -= used;
		if (heap->used > heap->peak_used)
			heap->peak_used = heap->used;
		gauge(heap);
		heap->resized++;
		heap->changes++;
	}
	unlock_heap(heap, flags);
	return done;
}

static void *move(struct quarry_heap *heap, void *ptr, u64 header, size_t size,
		  unsigned long caller)
{
	u32 align_log = header_flags(header) >> ALIGN_SHIFT;
	size_t old = (size_t)header_units(header) * UNIT - UNIT;
	void *new = quarry__heap_alloc(heap, size, UNIT << align_log, caller);

	if (!new)
		return NULL;
	own_payload(heap, ptr - UNIT, old);
	memcpy(new, ptr, min(old, size));
	atomic_long_inc(&heap->moved);
	quarry__heap_free(heap, ptr, caller);
	return new;
}

void *quarry__heap_realloc(struct quarry_heap *heap, void *ptr, size_t size,
			   unsigned long caller)
{
	u64 *at, header;
	size_t room;

	if (!ptr)
		return quarry__heap_alloc(heap, size, 0, caller);
	if (not_a_heap(heap)) {
		quarry__heap_refuse_handle(heap, caller);
		return NULL;
	}
	at = quarry__heap_live_block(heap, ptr, &header);
	if (!at) {
		quarry__heap_refuse(heap, ptr, caller);
		return NULL;
	}
	room = (size_t)header_units(header) * UNIT - UNIT;
	if (heap->flags & QUARRY_HEAP_ZERO_ON_FREE && size < room) {
		own_payload(heap, at, room);
		memset(ptr + size, 0, room - size);
	}
	/* One that is large enough may stay so: where the lock is not to be had. */
	if (!resize(heap, at, size) && size > room) {
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

size_t quarry_heap_usable_size(struct quarry_heap *heap, const void *ptr)
{
	u64 *at, header;
	size_t size;

	if (not_a_heap(heap))
		return 0;
	at = quarry__heap_live_block(heap, ptr, &header);
	if (!at)
		return 0;
	size = (size_t)header_units(header) * UNIT - UNIT;
	own_payload(heap, (u64 *)at, size);
	return size;
}
EXPORT_SYMBOL_GPL(quarry_heap_usable_size);
