// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heap's own algorithm, kmod/heap_core.c as it is, in user space. Without the
 * per-CPU fronts, which hold back a bounded number of freed blocks and are flushed
 * before a request fails.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "heap_core.h"
#include "replay.h"

#define SECRET		0x9E3779B97F4A7C15ull
#define BASE_ALIGN	((size_t)2 << 20)
#define BOUNDED_LEAD	(BASE_ALIGN - 2 * UNIT)

struct heap {
	struct heap_core core;
	char *base, *mapping;
	size_t length;
};

static void heap_destroy(void *handle)
{
	struct heap *heap = handle;

	munmap(heap->mapping, heap->length);
	free(heap);
}

static void *heap_create(size_t bytes, bool bounded)
{
	struct heap *heap = calloc(1, sizeof(*heap));

	heap->length = bytes + 2 * BASE_ALIGN;
	heap->mapping = mmap(NULL, heap->length, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (heap->mapping == MAP_FAILED)
		abort();
	heap->base = (char *)(((uintptr_t)heap->mapping + BASE_ALIGN - 1) &
			      ~(BASE_ALIGN - 1));
	/* The first payload of buddies is to be aligned, as the heap has it. */
	if (bounded)
		heap->base += BOUNDED_LEAD;
	if (heap_core_init(&heap->core, heap->base, bytes & ~7ul, SECRET, bounded))
		return heap;
	heap_destroy(heap);
	return NULL;
}

static void *best_create(size_t bytes)
{
	return heap_create(bytes, false);
}

static void *bounded_create(size_t bytes)
{
	return heap_create(bytes, true);
}

static size_t heap_alloc(void *handle, size_t size, size_t align)
{
	struct heap *heap = handle;
	u32 units = heap_units(size), at;

	if (align <= UNIT)
		at = heap_core_alloc(&heap->core, units);
	else
		at = heap_core_alloc_aligned(&heap->core, units,
					     __builtin_ctzl(align) - 3);
	return at ? (at + 1) * UNIT : NOWHERE;
}

/* As the heap does: whoever frees it makes it cached first. */
static void heap_free(void *handle, size_t offset)
{
	struct heap *heap = handle;
	u64 *header = (u64 *)(heap->base + offset) - 1;

	*header ^= LIVE_TO_CACHED;
	heap_core_free(&heap->core, offset / UNIT - 1, *header);
}

static struct extent heap_extent(void *handle, size_t offset)
{
	struct heap *heap = handle;
	u64 header = *((u64 *)(heap->base + offset) - 1);

	return (struct extent){ offset - UNIT, header_units(header) * UNIT };
}

static bool heap_verify(void *handle)
{
	struct heap *heap = handle;
	struct heap_audit audit = { .at = 1 };
	const char *why;
	bool more = true;

	heap->core.cursor = 1;
	do
		why = heap_core_audit(&heap->core, &audit, &more);
	while (!why && more);
	heap->core.cursor = 0;
	return !(why ?: heap_core_audit_end(&heap->core, &audit));
}

#define HEAP(label, how, bytes) {					\
	.name = label, .header = UNIT, .lead = bytes,		\
	.fixed = sizeof(struct heap_core),				\
	.create = how, .destroy = heap_destroy, .alloc = heap_alloc,	\
	.free = heap_free, .extent = heap_extent, .verify = heap_verify, \
}

const struct backend heap_backend = HEAP("quarry_heap", best_create, 0);
const struct backend heap_bounded_backend = HEAP("quarry_heap:bounded",
						 bounded_create,
						 BOUNDED_LEAD);
