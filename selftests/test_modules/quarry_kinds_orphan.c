// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that unloads with an object of each kind that has no test of its own
 * (quarry_orphan.c has pools, quarry_bump_orphan.c bumps): heap, router, wrapper,
 * arena and stack, with blocks live; of all but the wrapper one on vmalloc'd memory
 * and one on memory of this very module. The arenas have a deferred call, whose text
 * goes as well: it says so in the log when it is made.
 */
#include <linux/module.h>
#include <linux/sizes.h>
#include <quarry/quarry.h>

#define NR_PAGES	16

/* One for each object that is on memory of this module. */
static u8 lent[4][NR_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE);

static struct quarry_heap *heaps[2];
static struct quarry_router *routers[2];
static struct quarry_arena *arenas[2];
static struct quarry_stack *stacks[2];
static struct quarry_wrapper *wrapper;

static void called(void *arg)
{
	pr_err("quarry_kinds_orphan: the deferred call was made\n");
}

static bool __init heaps_filled(void)
{
	const struct quarry_heap_args args = {
		.memory = lent[0], .memory_size = sizeof(lent[0]),
	};
	struct quarry_allocator allocator;
	bool good = true;
	int i;

	heaps[0] = quarry_heap_create("left-heap", SZ_64K, NULL);
	heaps[1] = quarry_heap_create("left-heap-lent", sizeof(lent[0]), &args);
	for (i = 0; i < 3; i++)
		good &= quarry_heap_alloc(heaps[0], 100 * i) &&
			quarry_heap_alloc(heaps[1], 1000);
	allocator = quarry_heap_allocator(heaps[0]);
	wrapper = quarry_counting_create("left-wrapper", &allocator);
	allocator = quarry_wrapper_allocator(wrapper);
	return good && quarry_allocator_alloc(&allocator, QUARRY_LAYOUT(u64)) &&
	       quarry_allocator_alloc(&allocator, QUARRY_LAYOUT(u64));
}

/* Of each two blocks of a class, one of the heap, one of the system. */
static bool __init routers_filled(void)
{
	static const struct quarry_router_class classes[] = { { 64, 16 } };
	struct quarry_router_args args = {
		.classes = classes, .nr_classes = ARRAY_SIZE(classes),
	};
	bool good = true;
	int i;

	routers[0] = quarry_router_create("left-router", sizeof(lent[1]), &args);
	args.memory = lent[1];
	args.memory_size = sizeof(lent[1]);
	routers[1] = quarry_router_create("left-router-lent", sizeof(lent[1]), &args);
	for (i = 0; i < 2; i++)
		good &= quarry_router_alloc(routers[i], 64, 0) &&
			quarry_router_alloc(routers[i], 60, 0) &&
			quarry_router_alloc(routers[i], 400, 0) &&
			quarry_router_alloc(routers[i], sizeof(lent[1]), GFP_KERNEL);
	return good;
}

static bool __init arenas_filled(void)
{
	const struct quarry_arena_args args = {
		.memory = lent[2], .memory_size = sizeof(lent[2]),
	};
	bool good = true;
	int i;

	arenas[0] = quarry_arena_create("left-arena", SZ_64K, NULL);
	arenas[1] = quarry_arena_create("left-arena-lent", sizeof(lent[2]), &args);
	for (i = 0; i < 2; i++)
		good &= quarry_arena_alloc(arenas[i], 1000, 8) &&
			quarry_arena_defer(arenas[i], called, NULL);
	return good;
}

static bool __init stacks_filled(void)
{
	const struct quarry_stack_args args = {
		.memory = lent[3], .memory_size = sizeof(lent[3]),
	};
	bool good = true;
	int i;

	stacks[0] = quarry_stack_create("left-stack", SZ_4K, NULL);
	stacks[1] = quarry_stack_create("left-stack-lent", SZ_4K, &args);
	for (i = 0; i < 2; i++)
		good &= quarry_stack_push(stacks[i], 100, 8) &&
			quarry_stack_push(stacks[i], 50, 4);
	return good;
}

static int __init quarry_kinds_orphan_init(void)
{
	return heaps_filled() && routers_filled() && arenas_filled() &&
	       stacks_filled() ? 0 : -ENOMEM;
}

/* Nothing is destroyed, on purpose. */
static void __exit quarry_kinds_orphan_exit(void)
{
}

module_init(quarry_kinds_orphan_init);
module_exit(quarry_kinds_orphan_exit);
MODULE_DESCRIPTION("Test client of quarry that leaves an object of each kind behind");
MODULE_LICENSE("GPL");
