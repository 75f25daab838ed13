// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool used from every context on every CPU at once: task, softirq, hard irq,
 * NMI, under a raw spinlock. Blocks wander from one context to another through
 * an exchange array. Who holds a block is written in a table beside it, so that
 * a block with two holders is seen at once; its contents name it, so that a
 * write to another's block is seen.
 */
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#ifdef CONFIG_X86
#include <asm/nmi.h>
#endif
#include "../kmod/compat.h"
#include "kunit_util.h"
#include "pace_util.h"

static uint seconds = 1;
module_param(seconds, uint, 0400);
MODULE_PARM_DESC(seconds, "how long the contexts work on each pool");

#define NR_BLOCKS	600
#define NR_SLOTS	64
#define MAGIC		0x5157415252590000UL

struct block {
	u64 name;
	u64 inverse;
};

enum context {
	IN_TASK,
	IN_SOFTIRQ,
	IN_HARDIRQ,
	IN_IRQ_WORK,
	IN_NMI,
	NR_CONTEXTS,
};

/* One context on one CPU; nobody else touches it but to read the figures. */
struct actor {
	struct stage *stage;
	enum context context;
	u64 random;
	unsigned long turns;
	unsigned long empty;
	unsigned long stolen;	/* a block that another held */
	unsigned long spoilt;	/* a block with wrong contents */
};

/**
 * struct stage - what the actors share
 * @pool: the pool
 * @holder: who holds each block, 0 nobody
 * @slot: where blocks change hands
 * @lock: a raw lock around some turns
 * @actor: one for each context and CPU
 * @timer: each CPU's hard irqs, which also start @work and @tasklet
 * @pace: when the next comes
 * @work: each CPU's irq_work
 * @tasklet: each CPU's softirqs
 * @task: each CPU's kthread
 * @stop: no more turns
 */
struct stage {
	struct quarry_pool *pool;
	atomic_t *holder;
	struct block *slot[NR_SLOTS];
	raw_spinlock_t lock;
	struct actor actor[NR_CONTEXTS][NR_CPUS];
	struct hrtimer timer[NR_CPUS];
	struct pace pace[NR_CPUS];
	struct irq_work work[NR_CPUS];
	struct tasklet_struct tasklet[NR_CPUS];
	struct task_struct *task[NR_CPUS];
	bool stop;
};

static struct stage *stage;

static u32 next_random(struct actor *actor)
{
	actor->random = actor->random * 6364136223846793005UL + 1442695040888963407UL;
	return actor->random >> 33;
}

static void hold(struct actor *actor, struct block *block)
{
	long index = quarry_pool_index(stage->pool, block);

	if (index < 0 ||
	    atomic_cmpxchg(&stage->holder[index], 0, 1 + actor->context))
		actor->stolen++;
	block->name = MAGIC + index;
	block->inverse = ~block->name;
}

static void let_go(struct actor *actor, struct block *block)
{
	long index = quarry_pool_index(stage->pool, block);

	if (block->name != MAGIC + index || block->inverse != ~block->name)
		actor->spoilt++;
	if (index < 0 || !atomic_xchg(&stage->holder[index], 0))
		actor->stolen++;
}

static struct block *exchange(struct actor *actor, struct block *block)
{
	return xchg(&stage->slot[next_random(actor) % NR_SLOTS], block);
}

/* Takes a block or none, swaps it for another's or none, frees that. */
static void turn(struct actor *actor)
{
	struct block *block = NULL;
	void *blocks[8];
	size_t nr, i;

	WRITE_ONCE(actor->turns, actor->turns + 1);
	if (next_random(actor) % 16 == 0) {
		nr = quarry_pool_alloc_bulk(stage->pool, ARRAY_SIZE(blocks), blocks);
		for (i = 0; i < nr; i++)
			hold(actor, blocks[i]);
		for (i = 0; i < nr; i++)
			let_go(actor, blocks[i]);
		if (quarry_pool_free_bulk(stage->pool, nr, blocks) != nr)
			actor->stolen++;
	}
	if (next_random(actor) % 2) {
		block = quarry_pool_alloc(stage->pool);
		if (block)
			hold(actor, block);
		else
			actor->empty++;
	}
	block = exchange(actor, block);
	if (block) {
		let_go(actor, block);
		quarry_pool_free(stage->pool, block);
	}
}

static struct actor *actor_here(enum context context)
{
	return &stage->actor[context][raw_smp_processor_id()];
}

static enum hrtimer_restart hardirq_turn(struct hrtimer *timer)
{
	struct actor *actor = actor_here(IN_HARDIRQ);
	int cpu = raw_smp_processor_id(), i;

	if (READ_ONCE(stage->stop))
		return HRTIMER_NORESTART;
	for (i = 0; i < 4; i++)
		turn(actor);
	irq_work_queue(&stage->work[cpu]);
	tasklet_schedule(&stage->tasklet[cpu]);
	hrtimer_forward_now(timer, pace_next(&stage->pace[cpu],
					     READ_ONCE(actor_here(IN_TASK)->turns),
					     next_random(actor)));
	return HRTIMER_RESTART;
}

static void irq_work_turn(struct irq_work *work)
{
	turn(actor_here(IN_IRQ_WORK));
}

static void softirq_turn(struct tasklet_struct *tasklet)
{
	struct actor *actor = actor_here(IN_SOFTIRQ);
	int i;

	for (i = 0; i < 8; i++)
		turn(actor);
}

static void locked_turn(struct actor *actor)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&stage->lock, flags);
	turn(actor);
	raw_spin_unlock_irqrestore(&stage->lock, flags);
}

static int task_turns(void *arg)
{
	int cpu = smp_processor_id();
	struct actor *actor = &stage->actor[IN_TASK][cpu];

	hrtimer_start(&stage->timer[cpu], ns_to_ktime(100000),
		      HRTIMER_MODE_REL_PINNED_HARD);
	while (!kthread_should_stop()) {
		if (actor->turns % 8)
			turn(actor);
		else
			locked_turn(actor);
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

static void stage_init(struct quarry_pool *pool)
{
	int context, cpu;

	raw_spin_lock_init(&stage->lock);
	stage->pool = pool;
	for_each_possible_cpu(cpu) {
		for (context = 0; context < NR_CONTEXTS; context++) {
			struct actor *actor = &stage->actor[context][cpu];

			actor->context = context;
			actor->random = cpu * NR_CONTEXTS + context;
		}
		hrtimer_setup(&stage->timer[cpu], hardirq_turn, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);
		stage->work[cpu] = IRQ_WORK_INIT_HARD(irq_work_turn);
		tasklet_setup(&stage->tasklet[cpu], softirq_turn);
	}
}

static unsigned long turns_of(enum context context)
{
	unsigned long turns = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		turns += READ_ONCE(stage->actor[context][cpu].turns);
	return turns;
}

/* Each context has had its turn, but for NMIs, which are the VM's. */
static bool all_took_part(void)
{
	int context;

	for (context = 0; context < IN_NMI; context++)
		if (!turns_of(context))
			return false;
	return true;
}

static void stage_run(struct kunit *test)
{
	unsigned long end;
	int cpu;

	for_each_online_cpu(cpu) {
		struct task_struct *task = kthread_create(task_turns, NULL,
							  "quarry_context");

		KUNIT_ASSERT_FALSE(test, IS_ERR(task));
		kthread_bind(task, cpu);
		stage->task[cpu] = task;
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
		irq_work_sync(&stage->work[cpu]);
		tasklet_kill(&stage->tasklet[cpu]);
	}
	nmi_end();
}

/* What wanders still goes back; then the figures. */
static void stage_clear(struct kunit *test)
{
	struct actor *actor = &stage->actor[IN_TASK][0];
	int i;

	for (i = 0; i < NR_SLOTS; i++) {
		if (!stage->slot[i])
			continue;
		let_go(actor, stage->slot[i]);
		quarry_pool_free(stage->pool, stage->slot[i]);
	}
	KUNIT_EXPECT_EQ(test, stats_of(stage->pool).live, 0);
	KUNIT_EXPECT_EQ(test, stats_of(stage->pool).duplicates, 0);
	KUNIT_EXPECT_EQ(test, stats_of(stage->pool).refused, 0);
	expect_verified(test, stage->pool);
}

static void expect_no_harm(struct kunit *test)
{
	unsigned long stolen = 0, spoilt = 0;
	int context, cpu;

	for_each_possible_cpu(cpu)
		for (context = 0; context < NR_CONTEXTS; context++) {
			stolen += stage->actor[context][cpu].stolen;
			spoilt += stage->actor[context][cpu].spoilt;
		}
	KUNIT_EXPECT_EQ(test, stolen, 0);
	KUNIT_EXPECT_EQ(test, spoilt, 0);
	for (context = 0; context < IN_NMI; context++)
		KUNIT_EXPECT_GT(test, turns_of(context), 0);
	kunit_info(test, "turns: task %lu softirq %lu hardirq %lu irq_work %lu NMI %lu",
		   turns_of(IN_TASK), turns_of(IN_SOFTIRQ), turns_of(IN_HARDIRQ),
		   turns_of(IN_IRQ_WORK), turns_of(IN_NMI));
}

/* The actors of all contexts on a pool; NMIs come if somebody sends them. */
static void play(struct kunit *test, const struct quarry_pool_args *args)
{
	struct quarry_pool *pool = create_pool(test, "context",
					       sizeof(struct block), NR_BLOCKS,
					       args);

	stage = kunit_kzalloc(test, sizeof(*stage), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, stage);
	stage->holder = kunit_kcalloc(test, 2 * NR_BLOCKS, sizeof(atomic_t),
				      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, stage->holder);
	stage_init(pool);
	stage_run(test);
	stage_clear(test);
	expect_no_harm(test);
}

struct staging {
	const char *what;
	struct quarry_pool_args args;
};

static const struct staging stagings[] = {
	{ "plain", { } },
	{ "small magazines", { .magazine = 2 } },
	{ "exact", { .flags = QUARRY_POOL_EXACT } },
	{ "strict", { .flags = QUARRY_POOL_STRICT } },
	{ "leak tracking", { .flags = QUARRY_POOL_LEAK_TRACK } },
	{ "tracked", { .flags = QUARRY_POOL_TRACK } },
};

static void staging_desc(const struct staging *p, char *desc)
{
	strscpy(desc, p->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(staging, stagings, staging_desc);

static void all_contexts_at_once(struct kunit *test)
{
	const struct staging *p = test->param_value;

	play(test, &p->args);
}

/* NMIs are the monitor's of the VM, which sends some: if one has come, another will. */
static void nmis_have_come(struct kunit *test)
{
	unsigned long end = jiffies + NMI_TIME, nmis = 0;

	do {
		play(test, NULL);
		nmis += turns_of(IN_NMI);
	} while (nmis < 2 && race_goes_on(end, !nmis));
	if (!nmis)
		kunit_skip(test, "nobody sent an NMI (scripts/vm.sh -N does)");
	KUNIT_EXPECT_GT(test, nmis, 1);
}

static struct kunit_case context_cases[] = {
	KUNIT_CASE_PARAM(all_contexts_at_once, staging_gen_params),
	KUNIT_CASE(nmis_have_come),
	{}
};

static struct kunit_suite context_suite = {
	.name = "quarry_pool_context",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = context_cases,
};

kunit_test_suite(context_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a pool in every context at once");
MODULE_LICENSE("GPL");
