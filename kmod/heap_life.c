// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap's life: create, more regions, destroy.
 *
 * Locks, outer first: the registry's (the summary is called with it); a heap's
 * @walking; its raw lock, under which a region appears.
 *
 * Handles are type-stable: a destroyed heap's struct is kept and used again, so
 * that an operation on it finds a closed heap and not another type's memory.
 */
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include "heap_front.h"

static LIST_HEAD(retired);
static const struct quarry_kind kind;

#define HEAP_FLAGS (QUARRY_HEAP_BOUNDED | QUARRY_HEAP_NO_FRONT | \
		    QUARRY_HEAP_ZERO_ON_FREE)

#define invalid(name, fmt, ...)						\
	quarry__invalid("heap", name, fmt, ##__VA_ARGS__)

static int check_size(const char *name, size_t size)
{
	if (size > QUARRY_HEAP_MAX_REGION) {
		invalid(name, "size %zu, more than %lu", size,
			QUARRY_HEAP_MAX_REGION);
		return -EOVERFLOW;
	}
	if (size < QUARRY_HEAP_MIN_REGION)
		return invalid(name, "bad size %zu, less than %lu", size,
			       QUARRY_HEAP_MIN_REGION);
	return 0;
}

static int check_args(const char *name, size_t size,
		      const struct quarry_heap_args *args)
{
	struct quarry_placement at = quarry__placement(args);
	int err = quarry__create_check("heap", name, &at, HEAP_FLAGS);

	return err ?: check_size(name, size);
}

/*
 * Bounded heaps of our own memory get a page more, so that the first payload is
 * aligned to a page: then each is aligned to its block's size up to that.
 */
static size_t lead(const struct quarry_heap *heap, const void *memory)
{
	return (heap->flags & QUARRY_HEAP_BOUNDED) && !memory ?
		PAGE_SIZE - 2 * UNIT : 0;
}

/* To what the blocks of a region can be aligned. */
static unsigned long natural(const struct quarry_heap *heap,
			     const struct heap_region *region)
{
	unsigned long first = (unsigned long)(region->core.base + 2);

	return heap->flags & QUARRY_HEAP_BOUNDED ?
		min(PAGE_SIZE, first & -first) : QUARRY_HEAP_MAX_ALIGN;
}

static struct heap_region *region_new(struct quarry_heap *heap, const char *name,
				      size_t size,
				      const struct quarry_placement *at, int *err)
{
	struct heap_region *region = kzalloc(sizeof(*region), GFP_KERNEL);
	size_t skip = lead(heap, at->memory);
	bool bounded = heap->flags & QUARRY_HEAP_BOUNDED;

	*err = -ENOMEM;
	if (!region)
		return NULL;
	*err = quarry__region_take(&region->memory, "heap", name, size + skip,
				   UNIT, at);
	if (*err)
		goto err_take;
	if (region->memory.borrowed)
		size = min_t(size_t, region->memory.size, QUARRY_HEAP_MAX_REGION);
	quarry__mem_freed(&region->memory, region->memory.base,
			  round_down(region->memory.size, UNIT));
	if (!heap_core_init(&region->core, region->memory.base + skip, size,
			    heap->secret, bounded)) {
		*err = -EINVAL;
		goto err_core;
	}
	region->core.alarm = &heap->alarm;
	return region;

err_core:
	quarry__mem_restore(&region->memory);
	quarry__region_unmap(&region->memory);
err_take:
	kfree(region);
	return NULL;
}

static void region_free(struct quarry_heap *heap, struct heap_region *region)
{
	if (!region->memory.borrowed || !heap->gone)
		quarry__mem_restore(&region->memory);
	quarry__region_unmap(&region->memory);
	kfree(region);
}

/* The smallest size that is of @class. */
static u32 least_of(u32 class)
{
	return class < FRONT_EXACT ? class :
	       (FRONT_EXACT + class % FRONT_EXACT) << (class / FRONT_EXACT - 1);
}

/* For sizes below @classes: as many slots as can be, or for as many sizes, within @bytes. */
static void front_shape(struct quarry_heap *heap, u32 classes, size_t bytes)
{
	u32 shift;

	for (shift = 0; shift <= 2; shift++) {
		heap->small_slots = SMALL_SLOTS >> shift;
		heap->large_slots = LARGE_SLOTS >> shift;
		heap->front_classes = classes;
		if (front_memory(heap) <= bytes)
			return;
	}
	while (heap->front_classes > MIN_UNITS && front_memory(heap) > bytes)
		heap->front_classes--;
}

/*
 * @budget is what the client wants all to hold, or 0: then the heap stays tight. Measured
 * on the recorded traces (Documentation/fraglab.rst): what spoils the region are large
 * blocks that are handed out again where they lie, rather than how many are kept.
 *
 * It is divided over the CPUs that are online: on a machine that could have many more, too
 * little would be left of it; one that comes later may hold as much again.
 */
static int front_new(struct quarry_heap *heap, size_t budget, size_t region)
{
	size_t share = (budget ?: region / 8) / num_online_cpus();
	u32 classes = FRONT_CLASSES, size, i;
	unsigned int cpu;

	heap->front_classes = MIN_UNITS;	/* none */
	heap->front_while = 16;
	if (share < 512 || (heap->flags & (QUARRY_HEAP_NO_FRONT | QUARRY_HEAP_BOUNDED)))
		return 0;
	while (!budget && classes > MIN_UNITS && least_of(classes) * UNIT > region / 8192)
		classes--;
	front_shape(heap, classes, share / 4);
	heap->front_while = budget ? 14 : 11;
	if (heap->front_classes == MIN_UNITS)
		return 0;
	heap->front = __alloc_percpu(front_memory(heap), SMP_CACHE_BYTES);
	if (!heap->front)
		return -ENOMEM;
	heap->front_sizes = min(least_of(heap->front_classes), MAX_FRONT);
	heap->front_units = heap->front_sizes;
	heap->front_share = share / UNIT;
	for_each_possible_cpu(cpu) {
		struct heap_front *front = per_cpu_ptr(heap->front, cpu);

		front_recount(heap, front);
		front_forget(heap, front);
		front->next = heap->front_classes - 1;
		for (i = MIN_UNITS; i <= heap->front_classes; i++)
			front->slot[front_slot(heap, i) - 1] = FRONT_GUARD;
	}
	heap->front_bytes = share * num_possible_cpus();
	size = min_t(u64, (heap->front_sizes - 1) * UNIT - UNIT, heap->max_request) + 1;
	/* Release: pairs with the acquires in alloc(), alloc_large(), alloc_aligned(). */
	smp_store_release(&heap->front_size, size);
	/* Likewise. */
	smp_store_release(&heap->small_size, min(size, FRONT_EXACT * UNIT - 2 * UNIT + 1));
	return 0;
}

static struct quarry_heap *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_heap *heap;

	heap = object ? to_heap(object) : kzalloc(sizeof(*heap), GFP_KERNEL);
	if (!heap)
		return NULL;
	/* Closed until it is built: a stale pointer to it may be in use. */
	heap->closed = true;
	heap->request_end = 0;
	heap->gone = false;
	if (!object)
		raw_spin_lock_init(&heap->lock);
	memset((void *)heap + offsetof(struct quarry_heap, allocs), 0,
	       sizeof(*heap) - offsetof(struct quarry_heap, allocs));
	init_llist_head(&heap->deferred);
	mutex_init(&heap->walking);
	return heap;
}

static int build(struct quarry_heap *heap, const char *name, size_t size,
		 const struct quarry_heap_args *args)
{
	struct quarry_placement at = quarry__placement(args);
	struct heap_region *region;
	int err;

	heap->flags = args->flags;
	heap->node = args->node;
	heap->secret = get_random_u64() | 1;
	heap->max_request = min_t(u64, args->max_request ?: QUARRY_HEAP_MAX_REGION,
				  QUARRY_HEAP_MAX_REGION);
	region = region_new(heap, name, size, &at, &err);
	if (!region)
		return err;
	err = front_new(heap, args->front, region->memory.size);
	if (err) {
		region_free(heap, region);
		return err;
	}
	heap->max_align = natural(heap, region);
	heap->region[0] = region;
	heap->base = (unsigned long)region->core.base;
	heap->nr_regions = 1;
	heap->front_limit = region->core.units / 16 * heap->front_while;
	WRITE_ONCE(heap->closed, false);
	/* Release: a stale alloc finds it 0, or all built; pairs with take_listed(). */
	smp_store_release(&heap->request_end, heap->max_request + 1);
	/* Likewise: a stale free finds span 0, or all built. */
	smp_store_release(&heap->span, heap->flags & QUARRY_HEAP_ZERO_ON_FREE ?
			  0 : region->core.units * UNIT);
	return 0;
}

struct quarry_heap *quarry_heap_create_owned(struct module *owner,
					     unsigned int layout,
					     const char *name, size_t size,
					     const struct quarry_heap_args *args)
{
	static const struct quarry_heap_args defaults;
	struct quarry_heap *heap;
	int err;

	if (!args)
		args = &defaults;
	if (layout != QUARRY_HEAP_LAYOUT)
		return ERR_PTR(invalid(name, "client built for layout %u, not %u",
				       layout, QUARRY_HEAP_LAYOUT));
	err = check_args(name, size, args);
	if (err)
		return ERR_PTR(err);
	might_sleep();
	heap = handle_get();
	if (!heap)
		return ERR_PTR(-ENOMEM);
	err = build(heap, name, size, args);
	if (err) {
		quarry__handle_retire(&heap->object, &retired);
		return ERR_PTR(err);
	}
	quarry__register(&heap->object, name, &kind, owner);
	return heap;
}
EXPORT_SYMBOL_GPL(quarry_heap_create_owned);

/* Where all can see it: operations without the lock too, so with a release. */
static int region_add(struct quarry_heap *heap, struct heap_region *region)
{
	unsigned long flags;
	int err = -ENOSPC;

	raw_spin_lock_irqsave(&heap->lock, flags);
	if (heap->nr_regions < QUARRY_HEAP_MAX_REGIONS) {
		heap->region[heap->nr_regions] = region;
		heap->front_limit += region->core.units / 16 * heap->front_while;
		/* Pairs with the acquire in heap_region_of(). */
		smp_store_release(&heap->nr_regions, heap->nr_regions + 1);
		err = 0;
	}
	raw_spin_unlock_irqrestore(&heap->lock, flags);
	return err;
}

int quarry_heap_add_region(struct quarry_heap *heap, size_t size, void *memory)
{
	struct quarry_placement at = { .memory = memory };
	struct heap_region *region;
	const char *name;
	int err;

	if (not_a_heap(heap) || READ_ONCE(heap->closed))
		return -EINVAL;
	name = heap->object.name;
	if (!quarry__may_sleep())
		return invalid(name, "region added in a context that may not sleep");
	err = check_size(name, size);
	if (err)
		return err;
	might_sleep();
	at.flags = heap->flags & QUARRY_COMMON_FLAGS;
	at.node = heap->node;
	at.memory_size = memory ? size : 0;
	region = region_new(heap, name, size, &at, &err);
	if (!region)
		return err;
	if (natural(heap, region) < heap->max_align) {
		region_free(heap, region);
		return invalid(name, "memory is not aligned so that blocks are to %lu",
			       heap->max_align);
	}
	err = region_add(heap, region);
	if (err)
		region_free(heap, region);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_heap_add_region);

/* Destroy */

/* From here on each operation goes the slow way and finds the heap closed. */
static void close(struct quarry_heap *heap)
{
	WRITE_ONCE(heap->closed, true);
	WRITE_ONCE(heap->request_end, 0);
	WRITE_ONCE(heap->span, 0);
	WRITE_ONCE(heap->small_size, 0);
	WRITE_ONCE(heap->front_size, 0);
	WRITE_ONCE(heap->front_units, 0);
	WRITE_ONCE(heap->front_limit, 0);
}

/* Give all back; nobody uses the heap, and it is not in the registry. */
static void release(struct quarry_object *object)
{
	struct quarry_heap *heap = to_heap(object);
	u32 i, nr = heap->nr_regions;

	close(heap);
	heap->front_sizes = 0;
	heap->front_classes = MIN_UNITS;
	heap->front_units = 0;
	heap->nr_regions = 0;
	for (i = 0; i < nr; i++) {
		region_free(heap, heap->region[i]);
		heap->region[i] = NULL;
	}
	free_percpu(heap->front);
	heap->front = NULL;
	quarry__handle_retire(&heap->object, &retired);
}

static bool any_borrowed(const struct quarry_heap *heap)
{
	u32 i;

	for (i = 0; i < heap->nr_regions; i++)
		if (heap->region[i]->memory.borrowed)
			return true;
	return false;
}

/* Lent memory goes; a view that is at work in it is waited for. */
static void lent_goes(struct quarry_heap *heap)
{
	mutex_lock(&heap->walking);
	WRITE_ONCE(heap->gone, true);
	mutex_unlock(&heap->walking);
}

/* The owner is gone; memory that it lent too, and is not to be read. */
static void orphan(struct quarry_object *object)
{
	struct quarry_heap *heap = to_heap(object);

	if (!any_borrowed(heap))
		return;
	close(heap);
	lent_goes(heap);
	quarry__mark(object, QUARRY_DEAD);
}

#define LIVE_NAMED	4

/* How many blocks live, and the first few: "16 (24 bytes)". */
struct live {
	size_t nr, bytes, length;
	char first[120];
};

static int count_live(const struct quarry_heap_block *block, void *arg)
{
	struct live *live = arg;

	if (block->state != QUARRY_HEAP_LIVE)
		return 0;
	live->bytes += block->size;
	if (live->nr++ < LIVE_NAMED)
		live->length += scnprintf(live->first + live->length,
					  sizeof(live->first) - live->length,
					  " %zu (%zu bytes)", block->offset,
					  block->size);
	return 0;
}

/* A leak is safer than a use after free: all stays, and is refused. */
static void leak(struct quarry_heap *heap, const struct live *live)
{
	u32 i;

	quarry__notice("heap \"%s\": destroyed with %zu live blocks of %zu bytes, %s at offset%s%s",
		       heap->object.name, live->nr, live->bytes, "memory kept;",
		       live->first, live->nr > LIVE_NAMED ? " ..." : "");
	close(heap);
	for (i = 0; i < heap->nr_regions; i++)
		if (heap->region[i]->memory.borrowed)
			quarry__mem_restore(&heap->region[i]->memory);
	if (any_borrowed(heap))
		lent_goes(heap);
	quarry__mark(&heap->object, QUARRY_LEAKED);
}

void quarry_heap_destroy(struct quarry_heap *heap)
{
	struct live live = {};

	if (IS_ERR_OR_NULL(heap))
		return;
	if (!quarry__may_sleep()) {
		quarry__report("heap \"%s\": destroyed in a context that may not sleep: refused",
			       heap->object.name);
		return;
	}
	if (READ_ONCE(heap->closed)) {
		quarry__report("heap \"%s\": destroyed twice", heap->object.name);
		return;
	}
	might_sleep();
	quarry__heap_flush(heap);
	if (heap->blocks)
		quarry_heap_walk(heap, count_live, &live);
	/* Those whose headers were overwritten are not seen, and may be live too. */
	if (heap->blocks) {
		leak(heap, &live);
		return;
	}
	close(heap);
	quarry__unregister(&heap->object);
	release(&heap->object);
}
EXPORT_SYMBOL_GPL(quarry_heap_destroy);

/* No number: a block's name is its offset, which is what is found. */
static long find(struct quarry_object *object, unsigned long address)
{
	struct quarry_heap *heap = to_heap(object);
	struct heap_region *region;

	if (READ_ONCE(object->state) == QUARRY_DEAD)
		return -1;
	region = heap_region_of(heap, address);
	return region ? (long)(address - (unsigned long)region->core.base) : -1;
}

static const struct quarry_kind kind = {
	.name		= "heap",
	.unit		= "blocks",
	.row		= quarry__heap_row,
	.config		= quarry__heap_config,
	.stats		= quarry__heap_stats,
	.map		= quarry__heap_map,
	.verify		= quarry__heap_verify,
	.reset		= quarry__heap_reset,
	.find		= find,
	.orphan		= orphan,
	.release	= release,
};

/* Module */

void quarry__heap_exit(void)
{
	struct quarry_heap *heap, *next;

	list_for_each_entry_safe(heap, next, &retired, object.node)
		kfree(heap);
}
