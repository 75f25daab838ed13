// SPDX-License-Identifier: GPL-2.0-only
/*
 * A router used from task, hard irq and NMI on every CPU at once. Blocks of all
 * sizes wander from one context to another through an exchange array, so that what
 * the system served in a task is freed in an NMI. Each block says in itself how
 * large it is and whose; two holders would spoil that.
 */
#include <linux/module.h>
#include <linux/sizes.h>
#include <quarry/quarry.h>
#include "irq_util.h"

/* What an actor keeps. */
struct own {
	unsigned long served, spoilt;
};

#include "context_util.h"

static uint seconds = 2;
module_param(seconds, uint, 0400);
MODULE_PARM_DESC(seconds, "how long the contexts work");

#define NR_SLOTS	48

struct block {
	u64 size;
	u64 check;
	u8 rest[];
};

static struct shared {
	struct quarry_router *router;
	struct block *slot[NR_SLOTS];
} shared;

static void let_go(struct actor *actor, struct block *block)
{
	if (block->check != (block->size ^ (unsigned long)block) ||
	    block->rest[block->size - sizeof(*block) - 1] != (u8)block->size)
		actor->own.spoilt++;
	block->check = 0;
	quarry_router_free(shared.router, block);
}

static struct block *take(struct actor *actor)
{
	static const gfp_t gfps[] = {
		[IN_TASK] = GFP_KERNEL, [IN_HARDIRQ] = GFP_ATOMIC,
		[IN_NMI] = GFP_ATOMIC,		/* the router knows better */
	};
	u32 bits = next_random(actor);
	size_t size = sizeof(struct block) + 1 + (bits % 16 ? bits % 600 : bits % 20000);
	struct block *block;

	block = quarry_router_alloc(shared.router, size, gfps[actor->context]);
	if (!block)
		return NULL;
	actor->own.served++;
	block->size = size;
	block->check = size ^ (unsigned long)block;
	block->rest[size - sizeof(*block) - 1] = size;
	return block;
}

/* Takes a block or none, swaps it for another's or none, frees that. */
static void turn(struct actor *actor)
{
	struct block *block = next_random(actor) % 2 ? take(actor) : NULL;

	WRITE_ONCE(actor->turns, actor->turns + 1);
	block = xchg(&shared.slot[next_random(actor) % NR_SLOTS], block);
	if (block)
		let_go(actor, block);
}

/* No turn under a raw lock: in a task the slab may sleep. */
static const struct cast cast = {
	.turn		= turn,
	.task_turn	= turn,
	.timer_mode	= IRQ_TIMER_MODE,
};

/* Tasks and interrupts, with blocks of each step; NMIs are the VM's. */
static bool all_were_served(void)
{
	struct quarry_router_stats s;

	quarry_router_get_stats(shared.router, &s);
	return all_took_part() && s.system_allocs && s.heap_allocs;
}

static void stage_run(struct kunit *test)
{
	unsigned long end;

	stage_begin(test);
	end = jiffies + some_of(seconds * HZ);
	while (race_goes_on(end, all_were_served()))
		schedule_timeout_uninterruptible(HZ / 10);
	stage_end();
}

static void expect_no_harm(struct kunit *test)
{
	unsigned long spoilt = 0, served = 0;
	struct quarry_router_stats s;
	int context, cpu, i;

	for (i = 0; i < NR_SLOTS; i++)
		if (shared.slot[i])
			let_go(&stage->actor[IN_TASK][0], shared.slot[i]);
	for_each_possible_cpu(cpu) {
		for (context = 0; context < NR_CONTEXTS; context++) {
			spoilt += stage->actor[context][cpu].own.spoilt;
			served += stage->actor[context][cpu].own.served;
		}
	}
	quarry_router_get_stats(shared.router, &s);
	KUNIT_EXPECT_EQ(test, spoilt, 0);
	KUNIT_EXPECT_EQ(test, s.live, 0);
	KUNIT_EXPECT_EQ(test, s.refused, 0);
	KUNIT_EXPECT_EQ(test, s.allocs, served);
	expect_all_took_part(test);
	KUNIT_EXPECT_GT(test, s.system_allocs, 0);
	KUNIT_EXPECT_GT(test, s.heap_allocs, 0);
	KUNIT_EXPECT_EQ_MSG(test, quarry_router_verify(shared.router), 0, "%s",
			    capture.last);
	kunit_info(test, "turns: task %lu hardirq %lu NMI %lu; system %llu, later %llu",
		   turns_of(IN_TASK), turns_of(IN_HARDIRQ), turns_of(IN_NMI),
		   s.system_allocs, s.system_deferred);
}

static void all_contexts_at_once(struct kunit *test)
{
	static const struct quarry_router_class classes[] = {
		{ 32, 8 }, { 64, 8 }, { 128, 8 }, { 512, 8 },
	};
	const struct quarry_router_args args = {
		.classes = classes, .nr_classes = ARRAY_SIZE(classes),
		.system_max = 64,
	};

	stage_get(test, &cast);
	memset(&shared, 0, sizeof(shared));
	shared.router = quarry_router_create("context", SZ_32K, &args);
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(shared.router));
	stage_run(test);
	expect_no_harm(test);
	quarry_router_destroy(shared.router);
}

static struct kunit_case context_cases[] = {
	KUNIT_CASE(all_contexts_at_once),
	{}
};

static struct kunit_suite context_suite = {
	.name = "quarry_router_context",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = context_cases,
};

kunit_test_suite(context_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a router in every context at once");
MODULE_LICENSE("GPL");
