// SPDX-License-Identifier: GPL-2.0-only
/*
 * A router used from task, hard irq and NMI on every CPU at once. Blocks of all
 * sizes wander from one context to another through an exchange array, so that what
 * the system served in a task is freed in an NMI. Each block says in itself how
 * large it is and whose; two holders would spoil that.
 */
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#ifdef CONFIG_X86
#include <asm/nmi.h>
#endif
#include <quarry/quarry.h>
#include "../kmod/compat.h"
#include "irq_util.h"
#include "kunit_util.h"
#include "pace_util.h"

static uint seconds = 2;
module_param(seconds, uint, 0400);
MODULE_PARM_DESC(seconds, "how long the contexts work");

#define NR_SLOTS	48

enum context { IN_TASK, IN_HARDIRQ, IN_NMI, NR_CONTEXTS };

struct block {
	u64 size;
	u64 check;
	u8 rest[];
};

/* One context on one CPU; nobody else touches it but to read the figures. */
struct actor {
	enum context context;
	u64 random;
	unsigned long turns, served, spoilt;
};

static struct stage {
	struct quarry_router *router;
	struct block *slot[NR_SLOTS];
	struct actor actor[NR_CONTEXTS][NR_CPUS];
	struct hrtimer timer[NR_CPUS];
	struct pace pace[NR_CPUS];
	struct task_struct *task[NR_CPUS];
	bool stop;
} *stage;

static u32 next_random(struct actor *actor)
{
	actor->random = actor->random * 6364136223846793005UL + 1442695040888963407UL;
	return actor->random >> 33;
}

static void let_go(struct actor *actor, struct block *block)
{
	if (block->check != (block->size ^ (unsigned long)block) ||
	    block->rest[block->size - sizeof(*block) - 1] != (u8)block->size)
		actor->spoilt++;
	block->check = 0;
	quarry_router_free(stage->router, block);
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

	block = quarry_router_alloc(stage->router, size, gfps[actor->context]);
	if (!block)
		return NULL;
	actor->served++;
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
	block = xchg(&stage->slot[next_random(actor) % NR_SLOTS], block);
	if (block)
		let_go(actor, block);
}

static struct actor *actor_here(enum context context)
{
	return &stage->actor[context][raw_smp_processor_id()];
}

static enum hrtimer_restart hardirq_turn(struct hrtimer *timer)
{
	struct actor *actor = actor_here(IN_HARDIRQ);
	int i;

	if (READ_ONCE(stage->stop))
		return HRTIMER_NORESTART;
	for (i = 0; i < 4; i++)
		turn(actor);
	hrtimer_forward_now(timer, pace_next(&stage->pace[raw_smp_processor_id()],
					     READ_ONCE(actor_here(IN_TASK)->turns),
					     next_random(actor)));
	return HRTIMER_RESTART;
}

static int task_turns(void *arg)
{
	int cpu = smp_processor_id();

	hrtimer_start(&stage->timer[cpu], ns_to_ktime(100000),
		      IRQ_TIMER_MODE);
	while (!kthread_should_stop()) {
		turn(&stage->actor[IN_TASK][cpu]);
		cond_resched();
	}
	return 0;
}

#ifdef CONFIG_X86

static int nmi_turn(unsigned int type, struct pt_regs *regs)
{
	if (READ_ONCE(stage->stop))
		return NMI_DONE;
	turn(actor_here(IN_NMI));
	return NMI_HANDLED;
}

static void nmi_begin(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0, register_nmi_handler(NMI_LOCAL, nmi_turn, 0,
						      "quarry_kunit"));
}

static void nmi_end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "quarry_kunit");
}

#else

static void nmi_begin(struct kunit *test)
{
}

static void nmi_end(void)
{
}

#endif

static unsigned long turns_of(enum context context)
{
	unsigned long turns = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		turns += READ_ONCE(stage->actor[context][cpu].turns);
	return turns;
}

/* Tasks and interrupts, with blocks of each step; NMIs are the VM's. */
static bool all_took_part(void)
{
	struct quarry_router_stats s;

	quarry_router_get_stats(stage->router, &s);
	return turns_of(IN_TASK) && turns_of(IN_HARDIRQ) && s.system_allocs && s.heap_allocs;
}

static void stage_run(struct kunit *test)
{
	unsigned long end;
	int context, cpu;

	for_each_possible_cpu(cpu) {
		for (context = 0; context < NR_CONTEXTS; context++) {
			stage->actor[context][cpu].context = context;
			stage->actor[context][cpu].random = cpu * NR_CONTEXTS + context;
		}
		hrtimer_setup(&stage->timer[cpu], hardirq_turn, CLOCK_MONOTONIC,
			      IRQ_TIMER_MODE);
	}
	for_each_online_cpu(cpu) {
		stage->task[cpu] = kthread_create(task_turns, NULL, "quarry_context");
		KUNIT_ASSERT_FALSE(test, IS_ERR(stage->task[cpu]));
		kthread_bind(stage->task[cpu], cpu);
	}
	nmi_begin(test);
	for_each_online_cpu(cpu)
		wake_up_process(stage->task[cpu]);
	end = jiffies + some_of(seconds * HZ);
	while (race_goes_on(end, all_took_part()))
		schedule_timeout_uninterruptible(HZ / 10);
	WRITE_ONCE(stage->stop, true);
	for_each_online_cpu(cpu) {
		kthread_stop(stage->task[cpu]);
		hrtimer_cancel(&stage->timer[cpu]);
	}
	nmi_end();
}

static void expect_no_harm(struct kunit *test)
{
	unsigned long spoilt = 0, served = 0;
	struct quarry_router_stats s;
	int context, cpu, i;

	for (i = 0; i < NR_SLOTS; i++)
		if (stage->slot[i])
			let_go(&stage->actor[IN_TASK][0], stage->slot[i]);
	for_each_possible_cpu(cpu) {
		for (context = 0; context < NR_CONTEXTS; context++) {
			spoilt += stage->actor[context][cpu].spoilt;
			served += stage->actor[context][cpu].served;
		}
	}
	quarry_router_get_stats(stage->router, &s);
	KUNIT_EXPECT_EQ(test, spoilt, 0);
	KUNIT_EXPECT_EQ(test, s.live, 0);
	KUNIT_EXPECT_EQ(test, s.refused, 0);
	KUNIT_EXPECT_EQ(test, s.allocs, served);
	KUNIT_EXPECT_GT(test, turns_of(IN_TASK), 0);
	KUNIT_EXPECT_GT(test, turns_of(IN_HARDIRQ), 0);
	KUNIT_EXPECT_GT(test, s.system_allocs, 0);
	KUNIT_EXPECT_GT(test, s.heap_allocs, 0);
	KUNIT_EXPECT_EQ_MSG(test, quarry_router_verify(stage->router), 0, "%s",
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

	stage = kunit_kzalloc(test, sizeof(*stage), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, stage);
	stage->router = quarry_router_create("context", SZ_32K, &args);
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(stage->router));
	stage_run(test);
	expect_no_harm(test);
	quarry_router_destroy(stage->router);
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
