// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a heap says of misuse and of corruption. Cold: each ends in the funnel,
 * report.c. In any context; the owner of a stray pointer is looked up under RCU.
 * What is read of the region here may change meanwhile: it is for the report.
 */
#include <linux/kernel.h>
#include <linux/rcupdate.h>
#include "heap.h"

#define WITHIN	" of the block at offset %lu"
#define OVERRAN	"; the block in front of it, at offset %lu, most likely overran"

static enum heap_refusal reason(struct quarry_heap *heap, unsigned long address,
				struct heap_region **region, u32 *culprit)
{
	struct heap_core *core;
	bool interior;
	u64 header;
	u32 at;

	*culprit = 0;
	if (heap->closed)
		return HEAP_DEAD;
	*region = heap_region_of(heap, address - UNIT);
	if (!*region)
		return HEAP_FOREIGN;
	if (!IS_ALIGNED(address, UNIT))
		return HEAP_MISALIGNED;
	core = &(*region)->core;
	at = (u64 *)address - 1 - core->base;
	header = quarry__peek(core->base + at);
	if (header == TOMBSTONE)
		return HEAP_DOUBLE;
	if (header_sound(core, at, header))
		return header_state(header) == STATE_FENCED ? HEAP_CORRUPT :
							      HEAP_DOUBLE;
	*culprit = heap_core_culprit(core, at, &interior);
	return interior ? HEAP_INTERIOR : HEAP_CORRUPT;
}

static void say_refusal(struct quarry_heap *heap, enum heap_refusal why,
			unsigned long offset, unsigned long culprit,
			unsigned long caller)
{
	static const char * const names[NR_HEAP_REFUSALS] = {
		[HEAP_FOREIGN]		= "foreign pointer",
		[HEAP_MISALIGNED]	= "misaligned pointer",
		[HEAP_INTERIOR]		= "interior pointer",
		[HEAP_DOUBLE]		= "double free of the block",
		[HEAP_CORRUPT]		= "overwritten header of the block",
		[HEAP_DEAD]		= "destroyed heap",
	};

	if (why == HEAP_FOREIGN || why == HEAP_DEAD)
		quarry__report("heap \"%s\": free refused: %s, by %pS",
			       heap->object.name, names[why], (void *)caller);
	else if (!culprit)
		quarry__report("heap \"%s\": free refused: %s at offset %lu, by %pS",
			       heap->object.name, names[why], offset,
			       (void *)caller);
	else if (why == HEAP_INTERIOR)
		quarry__report("heap \"%s\": free refused: %s at offset %lu" WITHIN ", by %pS",
			       heap->object.name, names[why], offset, culprit,
			       (void *)caller);
	else
		quarry__report("heap \"%s\": free refused: %s at offset %lu" OVERRAN "; by %pS",
			       heap->object.name, names[why], offset, culprit,
			       (void *)caller);
}

/* Frees and reallocs that are refused end here: one counter, one report. */
void quarry__heap_refuse(struct quarry_heap *heap, const void *ptr,
			 unsigned long caller)
{
	unsigned long address = (unsigned long)ptr, offset = 0;
	struct heap_region *region = NULL;
	const char *kind, *name;
	enum heap_refusal why;
	long other = -1;
	u32 culprit;

	why = reason(heap, address, &region, &culprit);
	if (region)
		offset = address - (unsigned long)region->core.base;
	rcu_read_lock();
	if (why == HEAP_FOREIGN)
		other = quarry__find(address, &heap->object, &kind, &name);
	if (other >= 0)
		why = HEAP_OWNER;
	atomic_long_inc(&heap->refused[why]);
	if (why == HEAP_CORRUPT)
		atomic_long_inc(&heap->corrupt);
	if (why == HEAP_OWNER)
		quarry__report("heap \"%s\": free refused: pointer of %s \"%s\" block %ld, by %pS",
			       heap->object.name, kind, name, other,
			       (void *)caller);
	else
		say_refusal(heap, why, offset,
			    culprit ? (culprit + 1) * UNIT : 0, caller);
	rcu_read_unlock();
}

/* A request to a heap that was destroyed. */
void quarry__heap_refuse_closed(struct quarry_heap *heap, unsigned long caller)
{
	atomic_long_inc(&heap->refused[HEAP_DEAD]);
	quarry__report("heap \"%s\": alloc refused: destroyed heap, by %pS",
		       heap->object.name, (void *)caller);
}

void quarry__heap_refuse_handle(struct quarry_heap *heap, unsigned long caller)
{
	quarry__report("not a heap: %ld in place of a handle, by %pS",
		       PTR_ERR(heap), (void *)caller);
}

/* What an operation has met; the lock is not held. */
void quarry__heap_found(struct quarry_heap *heap,
			const struct heap_finding *found)
{
	static const char * const names[] = {
		[HEAP_BAD_HEADER]	= "header",
		[HEAP_BAD_LINK]		= "links",
		[HEAP_BAD_SIZE]		= "size at the end",
	};
	const struct heap_core *core = &heap->region[found->region]->core;
	u32 front = found->front;
	bool interior;

	atomic_long_inc(&heap->corrupt);
	if (!front)
		front = heap_core_culprit(core, found->at, &interior);
	if (front)
		quarry__report("heap \"%s\": %s of the block at offset %lu overwritten" OVERRAN,
			       heap->object.name, names[found->what],
			       (found->at + 1) * UNIT, (front + 1) * UNIT);
	else
		quarry__report("heap \"%s\": %s of the block at offset %lu overwritten",
			       heap->object.name, names[found->what],
			       (found->at + 1) * UNIT);
}
