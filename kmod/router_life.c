// SPDX-License-Identifier: GPL-2.0-only
/*
 * A router's life: how the region is divided, create, destroy.
 *
 * The region's first part is the classes', each a whole number of pages, so that a
 * page has one owner; the heap has the rest. Both are made in memory that the
 * router lends them (region.c), and so are poisoned as if it was their own. The
 * classes are in no registry: the router stands for them. The heap is an object
 * of its own, made before the router and therefore before it in the registry, which
 * releases what is left in that order when quarry unloads.
 *
 * Locks, outer first: the registry's; a router's @lock; those of pools and heap.
 *
 * Handles are type-stable, as all of quarry's are.
 */
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "router.h"

static LIST_HEAD(retired);
static DEFINE_PER_CPU(struct router_cpu, closed_cpu);
static const struct quarry_kind kind;

#define ROUTER_FLAGS		(QUARRY_ROUTER_STRICT | QUARRY_ROUTER_NO_HEAP)
#define SYSTEM_MAX		1024
#define LARGEST_DEFAULT		SZ_8K
#define FEWEST_DEFAULT		4	/* blocks in a default class */

static_assert(QUARRY_ROUTER_MAX_CLASSES <= U8_MAX);
static_assert(QUARRY_ROUTER_MAX_ALIGN <= PAGE_SIZE);

#define invalid(name, fmt, ...)						\
	quarry__invalid("router", name, fmt, ##__VA_ARGS__)

/*
 * The next default size: as large as wastes at most an eighth of it for the
 * smallest request that comes to it, a multiple of a unit that grows with it, and
 * no power of two is left out.
 */
static size_t next_size(size_t size)
{
	size_t unit = size < 256 ? 8 : size < 1024 ? 16 : 64;
	size_t next = round_down((size + 1) * 8 / 7, unit);

	next = max(next, round_down((size + 1) * 8 / 7, CLASS_UNIT));
	next = max(next, size + CLASS_UNIT);
	return min(next, roundup_pow_of_two(size + 1));
}

/* Blocks that can be promised in @bytes: an eighth besides is the magazines'. */
static size_t blocks_in(size_t bytes, size_t size)
{
	size_t total = bytes / size;
	size_t spare = 2UL * QUARRY_POOL_MAX_MAGAZINE * num_possible_cpus();

	return total - min(total / 9, spare);
}

static void plan_sizes(struct router_plan *plan)
{
	size_t size;

	for (size = CLASS_UNIT; size <= LARGEST_DEFAULT; size = next_size(size))
		plan->class[plan->nr++].size = size;
}

/* What a default class has at least: a few blocks. */
static size_t fewest_bytes(size_t size)
{
	return PAGE_ALIGN(FEWEST_DEFAULT * size);
}

/* Bytes of all default classes, when each has @share or more. */
static size_t classes_bytes(const struct router_plan *plan, size_t share)
{
	size_t bytes = 0;
	u32 i;

	for (i = 0; i < plan->nr; i++)
		bytes += max(share, fewest_bytes(plan->class[i].size));
	return bytes;
}

/* Half of the region, or what is necessary, or what is too much for a heap. */
static size_t classes_budget(size_t total, size_t fewest)
{
	size_t beyond_heap = total - min(total, QUARRY_HEAP_MAX_REGION);

	return round_down(max3(total / 2, fewest, beyond_heap), PAGE_SIZE);
}

/*
 * To the page the same number of bytes for each, and a few blocks at least. In a
 * larger region no class is smaller.
 */
static int plan_default(const char *name, struct router_plan *plan, unsigned int flags)
{
	size_t fewest, budget, share, rest;
	u32 i;

	plan_sizes(plan);
	fewest = classes_bytes(plan, 0);
	if (plan->total < fewest)
		return invalid(name, "size %zu, less than the %zu of the default classes",
			       plan->total, fewest);
	budget = flags & QUARRY_ROUTER_NO_HEAP ? plan->total :
		 classes_budget(plan->total, fewest);
	share = round_down(budget / plan->nr, PAGE_SIZE);
	while (classes_bytes(plan, share) > budget) /* a few pages: FEWEST_DEFAULT */
		share -= PAGE_SIZE;
	rest = budget - classes_bytes(plan, share);
	for (i = 0; i < plan->nr; i++) {
		size_t size = plan->class[i].size;

		plan->bytes[i] = max(share, fewest_bytes(size));
		if (plan->bytes[i] == share && rest) {
			plan->bytes[i] += PAGE_SIZE;
			rest -= PAGE_SIZE;
		}
		plan->class[i].nr_blocks = blocks_in(plan->bytes[i], size);
		plan->classes += plan->bytes[i];
	}
	return 0;
}

static int plan_one(const char *name, struct router_plan *plan,
		    const struct quarry_router_class *class)
{
	size_t size = round_up(class->size, CLASS_UNIT), bytes;
	u32 i = plan->nr;

	if (!class->size || class->size > QUARRY_ROUTER_MAX_CLASS)
		return invalid(name, "bad size %zu of class %u, not 1 to %lu",
			       class->size, i, QUARRY_ROUTER_MAX_CLASS);
	if (!class->nr_blocks)
		return invalid(name, "bad nr_blocks 0 of class %u", i);
	if (i && size <= plan->class[i - 1].size)
		return invalid(name, "class %u of size %zu does not rise", i, size);
	bytes = quarry_pool_memory_size(size, class->nr_blocks, CLASS_UNIT, false);
	if (!bytes || bytes > QUARRY_ROUTER_MAX_SIZE)
		return -EOVERFLOW;
	plan->class[i].size = size;
	plan->class[i].nr_blocks = class->nr_blocks;
	plan->bytes[i] = PAGE_ALIGN(bytes);
	plan->classes += plan->bytes[i];
	plan->nr++;
	return 0;
}

static int plan_given(const char *name, struct router_plan *plan,
		      const struct quarry_router_args *args)
{
	size_t i;
	int err = 0;

	if (args->nr_classes > QUARRY_ROUTER_MAX_CLASSES || !args->nr_classes)
		return invalid(name, "bad nr_classes %zu, not 1 to %u",
			       args->nr_classes, QUARRY_ROUTER_MAX_CLASSES);
	for (i = 0; !err && i < args->nr_classes; i++)
		err = plan_one(name, plan, &args->classes[i]);
	if (err)
		return err;
	if (!plan->total)
		plan->total = plan->classes;
	if (plan->classes <= plan->total)
		return 0;
	return invalid(name, "size %zu, less than the %zu of its classes",
		       plan->total, plan->classes);
}

int quarry__router_plan(const char *name, struct router_plan *plan, size_t size,
			const struct quarry_router_args *args)
{
	int err;

	if (size > QUARRY_ROUTER_MAX_SIZE)
		return -EOVERFLOW;
	plan->total = round_down(size, PAGE_SIZE);
	if (size && !plan->total)
		return invalid(name, "bad size %zu, less than a page", size);
	err = args->classes ? plan_given(name, plan, args) :
			      plan_default(name, plan, args->flags);
	if (err)
		return err;
	if (plan->total > QUARRY_ROUTER_MAX_SIZE)
		return -EOVERFLOW;
	if ((args->flags & QUARRY_ROUTER_NO_HEAP) ||
	    plan->total - plan->classes < PAGE_SIZE)
		plan->total = plan->classes;
	plan->total = min(plan->total, plan->classes + QUARRY_HEAP_MAX_REGION);
	return 0;
}
EXPORT_SYMBOL_GPL(quarry__router_plan);

static int check_args(const char *name, const struct quarry_router_args *args)
{
	struct quarry_placement at = quarry__placement(args);
	int err = quarry__create_check("router", name, &at, ROUTER_FLAGS);

	if (err)
		return err;
	if (!args->classes && args->nr_classes)
		return invalid(name, "nr_classes %zu without classes",
			       args->nr_classes);
	if (args->system_max > SZ_16M)
		return invalid(name, "bad system_max %zu, more than %u",
			       args->system_max, SZ_16M);
	return 0;
}

/* Build: each undone by unbuild(), whether it was done or not. */

static int make_tables(struct quarry_router *router, const struct router_plan *plan,
		       const struct quarry_router_args *args)
{
	size_t sizes = plan->class[plan->nr - 1].size / CLASS_UNIT;
	size_t i, page = 0, slots;
	u32 class;

	router->class_of = kvzalloc(sizes, GFP_KERNEL);
	router->owner = kvzalloc(plan->classes >> PAGE_SHIFT, GFP_KERNEL);
	if (!router->class_of || !router->owner)
		return -ENOMEM;
	for (i = 0, class = 0; i < sizes; i++) {
		if ((i + 1) * CLASS_UNIT > plan->class[class].size)
			class++;
		router->class_of[i] = class;
	}
	for (class = 0; class < plan->nr; class++)
		for (i = 0; i < plan->bytes[class] >> PAGE_SHIFT; i++)
			router->owner[page++] = class;
	if (args->flags & QUARRY_ROUTER_STRICT)
		return 0;
	router->system_max = args->system_max ?: SYSTEM_MAX;
	slots = max_t(size_t, WINDOW, 2 * router->system_max);
	router->slot_bits = ilog2(roundup_pow_of_two(slots));
	router->slot = kvcalloc(BIT(router->slot_bits),
				sizeof(struct router_slot), GFP_KERNEL);
	return router->slot ? 0 : -ENOMEM;
}

static int make_class(struct quarry_router *router, const char *name,
		      const struct router_plan *plan, u32 i, void *memory)
{
	size_t size = plan->class[i].size;
	const struct quarry_pool_args args = {
		.align = min_t(size_t, BIT(__ffs(size)), QUARRY_POOL_MAX_ALIGN),
		.memory = memory, .memory_size = plan->bytes[i],
	};
	char class_name[QUARRY_NAME_LEN];
	struct quarry_pool *pool;

	scnprintf(class_name, sizeof(class_name), "%.40s.%zu", name, size);
	pool = quarry__pool_create_class(class_name, size,
					 plan->class[i].nr_blocks, &args);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	router->pool[i] = pool;
	router->nr_classes = i + 1;
	return 0;
}

static int make_classes(struct quarry_router *router, const char *name,
			const struct router_plan *plan)
{
	void *memory = router->region.base;
	u32 i;
	int err;

	for (i = 0; i < plan->nr; i++) {
		err = make_class(router, name, plan, i, memory);
		if (err)
			return err;
		memory += plan->bytes[i];
		cond_resched();
	}
	return 0;
}

/*
 * In the region of ours it is quarry's own, and outlives the client as the router
 * does; in memory of the client it dies with that.
 */
static int make_heap(struct quarry_router *router, const char *name,
		     const struct router_plan *plan, struct module *owner)
{
	size_t size = plan->total - plan->classes;
	const struct quarry_heap_args args = {
		.memory = router->region.base + plan->classes,
		.memory_size = size,
	};
	char heap_name[QUARRY_NAME_LEN];
	struct quarry_heap *heap;

	if (!size)
		return 0;
	scnprintf(heap_name, sizeof(heap_name), "%.40s.heap", name);
	heap = quarry_heap_create_owned(router->region.borrowed ? owner :
					THIS_MODULE, QUARRY_HEAP_LAYOUT,
					heap_name, size, &args);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	router->heap = heap;
	return 0;
}

/* Nobody uses it; the heap has been destroyed. */
static void unbuild(struct quarry_router *router)
{
	struct router_cpu __percpu *cpu = router->cpu;
	u32 i;

	for (i = 0; i < router->nr_classes; i++)
		quarry__pool_release_class(router->pool[i]);
	router->nr_classes = 0;
	router->heap = NULL;
	if (router->region.base) {
		if (!router->region.borrowed) {
			quarry__mem_restore(&router->region);
			quarry__region_take_back(&router->region);
		}
		quarry__region_unmap(&router->region);
	}
	kvfree(router->slot);
	kvfree(router->owner);
	kvfree(router->class_of);
	router->slot = NULL;
	router->owner = NULL;
	router->class_of = NULL;
	router->cpu = &closed_cpu;
	if (cpu != &closed_cpu)
		free_percpu(cpu);
}

static int build(struct quarry_router *router, const char *name,
		 const struct router_plan *plan, const struct quarry_router_args *args,
		 struct module *owner)
{
	struct quarry_placement at = quarry__placement(args);
	struct router_cpu __percpu *cpu = alloc_percpu(struct router_cpu);
	int err;

	if (!cpu)
		return -ENOMEM;
	router->cpu = cpu;
	router->flags = args->flags;
	err = make_tables(router, plan, args);
	err = err ?: quarry__region_take(&router->region, "router", name,
					 plan->total, PAGE_SIZE, &at);
	if (err) {
		router->region.base = NULL;
		return err;
	}
	if (!router->region.borrowed)
		quarry__region_lend(&router->region);
	router->region.size = plan->total;
	err = make_classes(router, name, plan);
	return err ?: make_heap(router, name, plan, owner);
}

/* From here on it serves. Handles of its classes had lives before, maybe. */
static void open(struct quarry_router *router, const struct router_plan *plan)
{
	u32 i;

	router->base = (unsigned long)router->region.base;
	router->class_span = plan->classes;
	synchronize_rcu();
	for (i = 0; i < router->nr_classes; i++)
		quarry__pool_open_class(router->pool[i]);
	WRITE_ONCE(router->closed, false);
	smp_wmb();	/* a stale alloc or free finds 0, or all built */
	WRITE_ONCE(router->class_bytes, plan->classes);
	WRITE_ONCE(router->limit, plan->class[plan->nr - 1].size);
}

/* From here on each operation goes the slow way and finds it closed. */
static void close(struct quarry_router *router)
{
	WRITE_ONCE(router->closed, true);
	WRITE_ONCE(router->limit, 0);
	WRITE_ONCE(router->class_bytes, 0);
}

static struct quarry_router *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_router *router = object ? to_router(object) :
				       kzalloc(sizeof(*router), GFP_KERNEL);

	if (!router)
		return NULL;
	/* Closed until it is built: a stale pointer to it may be in use. */
	close(router);
	router->cpu = &closed_cpu;
	memset((void *)router + offsetofend(struct quarry_router, cpu), 0,
	       sizeof(*router) - offsetofend(struct quarry_router, cpu));
	mutex_init(&router->lock);
	return router;
}

struct quarry_router *
quarry_router_create_owned(struct module *owner, unsigned int layout,
			   const char *name, size_t size,
			   const struct quarry_router_args *args)
{
	static const struct quarry_router_args defaults;
	struct quarry_router *router;
	struct router_plan *plan;
	int err;

	if (!args)
		args = &defaults;
	if (layout != QUARRY_ROUTER_LAYOUT)
		return ERR_PTR(invalid(name, "client built for layout %u, not %u",
				       layout, QUARRY_ROUTER_LAYOUT));
	err = check_args(name, args);
	if (err)
		return ERR_PTR(err);
	might_sleep();
	plan = kzalloc(sizeof(*plan), GFP_KERNEL);
	router = handle_get();
	err = plan && router ? quarry__router_plan(name, plan, size, args) : -ENOMEM;
	err = err ?: build(router, name, plan, args, owner);
	if (!err) {
		open(router, plan);
		quarry__register(&router->object, name, &kind, owner);
	} else if (router) {
		unbuild(router);
		quarry__handle_retire(&router->object, &retired);
	}
	kfree(plan);
	return err ? ERR_PTR(err) : router;
}
EXPORT_SYMBOL_GPL(quarry_router_create_owned);

/* Destroy */

/* Who still has how much: " 64: 3 blocks, heap: 2, system: 1". */
struct live {
	size_t nr, length;
	char text[160];
};

static void add_live(struct live *live, const char *what, size_t nr)
{
	if (!nr)
		return;
	live->length += scnprintf(live->text + live->length,
				  sizeof(live->text) - live->length, "%s %s: %zu",
				  live->nr ? "," : "", what, nr);
	live->nr += nr;
}

static void count_live(struct quarry_router *router, struct live *live)
{
	struct quarry_heap_stats heap = {};
	char size[24];
	u32 i;

	for (i = 0; i < router->nr_classes; i++) {
		scnprintf(size, sizeof(size), "%zu", router->pool[i]->size);
		add_live(live, size, quarry__pool_drain_class(router->pool[i]));
	}
	if (router->heap) {
		quarry_heap_flush(router->heap);
		quarry_heap_get_stats(router->heap, &heap);
	}
	add_live(live, "heap", heap.live);
	add_live(live, "system", atomic_long_read(&router->system_live));
}

void quarry_router_destroy(struct quarry_router *router)
{
	struct live live = {};

	if (IS_ERR_OR_NULL(router))
		return;
	if (!quarry__may_sleep()) {
		quarry__report("router \"%s\": destroyed where one may not sleep: refused",
			       router->object.name);
		return;
	}
	if (READ_ONCE(router->closed)) {
		quarry__report("router \"%s\": destroyed twice",
			       router->object.name);
		return;
	}
	might_sleep();
	close(router);
	count_live(router, &live);
	if (live.nr) {
		quarry__notice("router \"%s\": destroyed with %zu live blocks, memory kept:%s",
			       router->object.name, live.nr, live.text);
		quarry__mark(&router->object, QUARRY_LEAKED);
		return;
	}
	quarry__unregister(&router->object);
	quarry_heap_destroy(router->heap);
	unbuild(router);
	quarry__handle_retire(&router->object, &retired);
}
EXPORT_SYMBOL_GPL(quarry_router_destroy);

/* Quarry unloads; the heap stood before it in the registry and is gone. */
static void release(struct quarry_object *object)
{
	struct quarry_router *router = to_router(object);
	unsigned long i;

	close(router);
	for (i = 0; router->slot && i < BIT(router->slot_bits); i++)
		kvfree((void *)atomic_long_read(&router->slot[i].address));
	unbuild(router);
	quarry__handle_retire(&router->object, &retired);
}

/* The client is gone; memory that it lent too, and is not to be read. */
static void orphan(struct quarry_object *object)
{
	struct quarry_router *router = to_router(object);
	u32 i;

	if (!router->region.borrowed)
		return;
	close(router);
	for (i = 0; i < router->nr_classes; i++)
		router->pool[i]->object.state = QUARRY_DEAD;
	quarry__mark(object, QUARRY_DEAD);
}

/* A block's number in its class, or among the slots; the heap finds its own. */
static long find(struct quarry_object *object, unsigned long address)
{
	struct quarry_router *router = to_router(object);
	unsigned long offset = address - (unsigned long)router->region.base;
	struct router_slot *slot;
	struct quarry_pool *pool;

	if (READ_ONCE(object->state) == QUARRY_DEAD)
		return -1;
	if (offset < router->class_span) {
		pool = router->pool[router->owner[offset >> PAGE_SHIFT]];
		return (address - pool->hot.base) / (unsigned long)pool->hot.stride;
	}
	slot = quarry__router_slot(router, (void *)address);
	return slot ? slot - router->slot : -1;
}

static const struct quarry_kind kind = {
	.name		= "router",
	.unit		= "blocks",
	.row		= quarry__router_row,
	.config		= quarry__router_config,
	.stats		= quarry__router_stats,
	.map		= quarry__router_map,
	.verify		= quarry__router_verify,
	.reset		= quarry__router_reset,
	.find		= find,
	.orphan		= orphan,
	.release	= release,
};

void quarry__router_exit(void)
{
	struct quarry_router *router, *next;

	list_for_each_entry_safe(router, next, &retired, object.node)
		kfree(router);
}
