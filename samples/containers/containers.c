// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two containers, written once (containers.h), run on every allocator of Quarry, on
 * the system's, and on wrappers over them. The load fails when one of them does not
 * do what it should; the log has a line for each.
 *
 * The vector takes one piece and grows it; it runs on all, a stack included, whose
 * top block grows where it is. The hash table takes and frees pieces in any order: on a
 * stack, which wants the reverse order, it is not run, since its first array would have
 * to go while entries lie above it; on a bump or an arena its frees do nothing, and
 * reset gives all back.
 */
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <quarry/quarry.h>
#include "containers.h"

#define NR	500

/* In any order */
#define ANY_ORDER	BIT(0)
/* What was freed can be had again at once. */
#define NO_END		BIT(1)

static const char *trial;

static int broken(const char *what)
{
	pr_err("containers: %s: %s\n", trial, what);
	return -EINVAL;
}

static int run_vector(const struct quarry_allocator *a)
{
	VECTOR(u64)squares;
	int err = 0;
	u64 i;

	vector_init(&squares, a);
	for (i = 0; i < NR && !err; i++)
		if (!vector_push(&squares, i * i))
			err = broken("the vector does not grow");
	for (i = 0; i < squares.nr && !err; i++)
		if (squares.items[i] != i * i)
			err = broken("the vector has lost an item");
	vector_free(&squares);
	return err;
}

static int run_table(const struct quarry_allocator *a)
{
	TABLE(u64, u64)t;
	u64 i, *value;
	int err = 0;

	if (!table_init(&t, a))
		return broken("no memory for a table");
	for (i = 0; i < NR && !err; i++)
		if (!table_set(&t, i * 7919, i))
			err = broken("the table does not grow");
	for (i = 0; i < NR && !err; i += 2)
		if (!table_remove(&t, i * 7919))
			err = broken("the table has lost a key");
	for (i = 0; i < NR && !err; i++) {
		value = table_get(&t, i * 7919);
		if (!value != !(i % 2) || (value && *value != i))
			err = broken("the table has a wrong value");
	}
	if (!err && table_nr(&t) != NR / 2)
		err = broken("the table counts wrongly");
	table_free(&t);
	return err;
}

struct flow {
	__be32 from, to;
	__be16 ports[2];
};

struct tally {
	u64 packets, bytes;
};

/* The same of other types: packets of some flows, counted. */
static int run_flows(const struct quarry_allocator *a)
{
	TABLE(struct flow, struct tally)flows;
	struct tally *tally, sum = {};
	struct flow flow = {};
	int err = 0, i;

	if (!table_init(&flows, a))
		return broken("no memory for a table of flows");
	for (i = 0; i < 2 * NR && !err; i++) {
		flow.from = cpu_to_be32(i % 50);
		flow.ports[1] = cpu_to_be16(i % 2);
		tally = table_get(&flows, flow);
		if (tally) {
			tally->packets++;
			tally->bytes += i;
		} else if (!table_set(&flows, flow, ((struct tally){ 1, i }))) {
			err = broken("the table of flows does not grow");
		}
	}
	for (i = 0; i < 50 && !err; i++) {
		flow.from = cpu_to_be32(i);
		flow.ports[1] = cpu_to_be16(i % 2);
		tally = table_get(&flows, flow);
		if (tally) {
			sum.packets += tally->packets;
			sum.bytes += tally->bytes;
		}
	}
	if (!err && (table_nr(&flows) != 50 || sum.packets != 2 * NR ||
		     sum.bytes != NR * (2 * NR - 1)))
		err = broken("the table of flows has lost some");
	table_free(&flows);
	return err;
}

/* Again and again, where memory comes back. */
static int run(const char *name, struct quarry_allocator a, unsigned int how)
{
	int i, err = 0, rounds = how & NO_END ? 20 : 1;

	trial = name;
	for (i = 0; i < rounds && !err; i++) {
		err = run_vector(&a);
		if (how & ANY_ORDER)
			err = err ?: run_table(&a) ?: run_flows(&a);
	}
	if (!err)
		pr_info("containers: %s: vector%s, %d times\n", name,
			how & ANY_ORDER ? " and tables" : "", rounds);
	return err;
}

/* [one] */
/* A pool has blocks of one size: as large as the largest array will be. */
static int on_pool(void)
{
	struct quarry_pool *pool = quarry_pool_create("containers", SZ_8K, 2 * NR,
						      NULL);
	int err;

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	err = run("pool", quarry_pool_allocator(pool), ANY_ORDER | NO_END);
	quarry_pool_destroy(pool);
	return err;
}

/* [/one] */

static int on_heap(void)
{
	struct quarry_heap *heap = quarry_heap_create("containers", SZ_256K, NULL);
	int err;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = run("heap", quarry_heap_allocator(heap), ANY_ORDER | NO_END);
	quarry_heap_destroy(heap);
	return err;
}

static int on_bump(void)
{
	struct quarry_bump *bump = quarry_bump_create("containers", SZ_256K, NULL);
	int err;

	if (IS_ERR(bump))
		return PTR_ERR(bump);
	err = run("bump", quarry_bump_allocator(bump), ANY_ORDER);
	quarry_bump_reset(bump);
	err = err ?: run("bump, reset", quarry_bump_allocator(bump), ANY_ORDER);
	quarry_bump_destroy(bump);
	return err;
}

static int on_percpu_arena(void)
{
	struct quarry_percpu_arena *arena =
		quarry_percpu_arena_create("containers", SZ_512K, NULL);
	int err;

	if (IS_ERR(arena))
		return PTR_ERR(arena);
	err = run("percpu_arena", quarry_percpu_arena_allocator(arena), ANY_ORDER);
	quarry_percpu_arena_destroy(arena);
	return err;
}

static int on_arena(void)
{
	struct quarry_arena *arena = quarry_arena_create("containers", SZ_256K, NULL);
	int err;

	if (IS_ERR(arena))
		return PTR_ERR(arena);
	err = run("arena", quarry_arena_allocator(arena), ANY_ORDER);
	quarry_arena_reset(arena);
	err = err ?: run("arena, reset", quarry_arena_allocator(arena), ANY_ORDER);
	quarry_arena_destroy(arena);
	return err;
}

static int on_stack(void)
{
	struct quarry_stack *stack = quarry_stack_create("containers", SZ_64K, NULL);
	int err;

	if (IS_ERR(stack))
		return PTR_ERR(stack);
	err = run("stack", quarry_stack_allocator(stack), NO_END);
	quarry_stack_destroy(stack);
	return err;
}

static int on_router(void)
{
	struct quarry_router *router = quarry_router_create("containers", SZ_1M, NULL);
	int err;

	if (IS_ERR(router))
		return PTR_ERR(router);
	err = run("router", quarry_router_allocator(router, GFP_KERNEL),
		  ANY_ORDER | NO_END);
	quarry_router_destroy(router);
	return err;
}

static int on_system(void)
{
	return run("system", quarry_system_allocator(GFP_KERNEL), ANY_ORDER | NO_END);
}

/*
 * What the containers do without memory: the first call fails, then the second,
 * and so on, until none is left to fail. Nothing may leak on the way.
 */
static int use_up(struct quarry_wrapper *failing, struct quarry_wrapper *counting)
{
	TABLE(u32, u64)t;
	struct quarry_allocator a = quarry_wrapper_allocator(failing);
	struct quarry_wrapper_stats stats;
	struct quarry_wrapper_args args = {};
	u32 i;

	do {
		args.nth++;
		quarry_failing_arm(failing, &args);
		if (table_init(&t, &a)) {
			for (i = 0; i < 100 && table_set(&t, i, i); i++)
				;
			table_free(&t);
		}
		quarry_wrapper_get_stats(counting, &stats);
		if (stats.live)
			return broken("the table leaks");
		quarry_wrapper_get_stats(failing, &stats);
	} while (stats.injected == args.nth);
	pr_info("containers: %s: %llu ways to fail, none leaks\n", trial,
		args.nth - 1);
	return 0;
}

static int wrapped(const char *name, struct quarry_allocator a)
{
	struct quarry_wrapper *counting, *failing, *logging;
	int err;

	trial = name;
	counting = quarry_counting_create("containers-count", &a);
	if (IS_ERR(counting))
		return PTR_ERR(counting);
	a = quarry_wrapper_allocator(counting);
	failing = quarry_failing_create("containers-fail", &a, NULL);
	logging = quarry_logging_create("containers-log", &a);
	err = PTR_ERR_OR_ZERO(failing) ?: PTR_ERR_OR_ZERO(logging);
	err = err ?: use_up(failing, counting);
	err = err ?: run(name, quarry_wrapper_allocator(logging),
			 ANY_ORDER | NO_END);
	quarry_wrapper_destroy(logging);
	quarry_wrapper_destroy(failing);
	quarry_wrapper_destroy(counting);
	return err;
}

static int on_wrappers(void)
{
	struct quarry_heap *heap = quarry_heap_create("containers", SZ_256K, NULL);
	int err;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	err = wrapped("logging over counting over system",
		      quarry_system_allocator(GFP_KERNEL));
	err = err ?: wrapped("logging over counting over heap",
			     quarry_heap_allocator(heap));
	quarry_heap_destroy(heap);
	return err;
}

static int __init containers_init(void)
{
	static int (* const trials[])(void) __initconst = {
		on_pool, on_heap, on_bump, on_percpu_arena, on_arena, on_stack,
		on_router, on_system, on_wrappers,
	};
	int err = 0;
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(trials); i++)
		err = trials[i]();
	return err;
}

static void __exit containers_exit(void)
{
}

module_init(containers_init);
module_exit(containers_exit);
MODULE_DESCRIPTION("A vector and hash tables on every allocator of quarry");
MODULE_LICENSE("GPL");
