// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap used from every context on every CPU at once: task, softirq, hard irq,
 * NMI, under a raw spinlock. Blocks of many sizes wander from one context to
 * another through an exchange array. All of a block is filled with its size and
 * address, and is cleared before the block is freed, so that a block with two
 * holders, or one that overlaps another, is seen.
 */
#include <linux/cpu.h>
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
#include "heap_util.h"
#include "pace_util.h"
#include "race_util.h"

static uint seconds = 1;
module_param(seconds, uint, 0400);
MODULE_PARM_DESC(seconds, "how long the contexts work on each heap");

#define NR_SLOTS	64
#define MAX_WORDS	40
#define MAGIC		0x5157415252590000UL

struct block {
	u64 words;
	u64 fill[];
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
	unsigned long spoilt;	/* a block with wrong contents */
};

/**
 * struct stage - what the actors share
 * @heap: the heap
 * @whole: its largest free block when it was new
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
	struct quarry_heap *heap;
	size_t whole;
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

static u64 fill_of(const struct block *block)
{
	return MAGIC ^ (unsigned long)block ^ block->words;
}

static void hold(struct actor *actor, struct block *block, u64 words)
{
	u64 i;

	block->words = words;
	for (i = 0; i < words; i++)
		block->fill[i] = fill_of(block);
}

static void let_go(struct actor *actor, struct block *block)
{
	u64 i;

	if (block->words > 2 * MAX_WORDS) {
		actor->spoilt++;
		return;
	}
	for (i = 0; i < block->words; i++)
		if (block->fill[i] != fill_of(block))
			actor->spoilt++;
	memset(block->fill, 0, block->words * 8);
	block->words = U64_MAX;
}

static struct block *exchange(struct actor *actor, struct block *block)
{
	return xchg(&stage->slot[next_random(actor) % NR_SLOTS], block);
}

static struct block *take(struct actor *actor)
{
	u64 words = next_random(actor) % MAX_WORDS;
	struct block *block;

	if (next_random(actor) % 8)
		block = quarry_heap_alloc(stage->heap, 8 + 8 * words);
	else
		block = quarry_heap_alloc_aligned(stage->heap, 8 + 8 * words, 64);
	if (block)
		hold(actor, block, words);
	else
		actor->empty++;
	return block;
}

static struct block *resize(struct actor *actor, struct block *block)
{
	u64 words = next_random(actor) % MAX_WORDS;
	struct block *moved;

	let_go(actor, block);
	moved = quarry_heap_realloc(stage->heap, block, 8 + 8 * words);
	if (moved)
		hold(actor, moved, words);
	else
		hold(actor, block, 0);
	return moved ?: block;
}

/* Takes a block or none, swaps it for another's or none, frees that. */
static void turn(struct actor *actor)
{
	struct block *block = NULL;

	WRITE_ONCE(actor->turns, actor->turns + 1);
	if (next_random(actor) % 2)
		block = take(actor);
	block = exchange(actor, block);
	if (block && next_random(actor) % 4 == 0)
		block = resize(actor, block);
	if (block) {
		let_go(actor, block);
		quarry_heap_free(stage->heap, block);
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
						      "quarry_heap_kunit"));
}

static void nmi_end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "quarry_heap_kunit");
}

#else

static void nmi_begin(struct kunit *test)
{
}

static void nmi_end(void)
{
}

#endif

static void stage_init(struct quarry_heap *heap)
{
	int context, cpu;

	raw_spin_lock_init(&stage->lock);
	stage->heap = heap;
	stage->whole = quarry_heap_largest_free(heap);
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
	do {
		schedule_timeout_uninterruptible(HZ / 10);
		/* Busy, and so what holds at every instant is checked. */
		KUNIT_EXPECT_GE_MSG(test, quarry_heap_verify(stage->heap), 0, "%s",
				    capture.last);
	} while (race_goes_on(end, all_took_part()));
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
	struct quarry_heap_stats stats;
	int i;

	for (i = 0; i < NR_SLOTS; i++) {
		if (!stage->slot[i])
			continue;
		let_go(actor, stage->slot[i]);
		quarry_heap_free(stage->heap, stage->slot[i]);
	}
	quarry_heap_flush(stage->heap);
	stats = heap_stats_of(stage->heap);
	KUNIT_EXPECT_EQ(test, stats.live, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.cached, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.bytes_in_use, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.refused, 0ULL);
	KUNIT_EXPECT_EQ(test, stats.corrupt, 0ULL);
	KUNIT_EXPECT_EQ(test, quarry_heap_largest_free(stage->heap), stage->whole);
	kunit_info(test, "hits %llu of %llu, deferred %llu, NMI failed %llu, exhausted %llu",
		   stats.hits, stats.allocs, stats.deferred, stats.nmi_failed,
		   stats.exhausted);
	expect_heap_verified(test, stage->heap);
}

static void expect_no_harm(struct kunit *test)
{
	unsigned long spoilt = 0;
	int context, cpu;

	for_each_possible_cpu(cpu)
		for (context = 0; context < NR_CONTEXTS; context++)
			spoilt += stage->actor[context][cpu].spoilt;
	KUNIT_EXPECT_EQ(test, spoilt, 0);
	for (context = 0; context < IN_NMI; context++)
		KUNIT_EXPECT_GT(test, turns_of(context), 0);
	kunit_info(test, "turns: task %lu softirq %lu hardirq %lu irq_work %lu NMI %lu",
		   turns_of(IN_TASK), turns_of(IN_SOFTIRQ), turns_of(IN_HARDIRQ),
		   turns_of(IN_IRQ_WORK), turns_of(IN_NMI));
}

struct staging {
	const char *what;
	size_t size;
	struct quarry_heap_args args;
};

static const struct staging stagings[] = {
	{ "plain", SZ_256K, { .front = SZ_64K } },
	{ "no front", SZ_256K, { .flags = QUARRY_HEAP_NO_FRONT } },
	{ "large front, short of memory", SZ_16K, { .front = SZ_1M } },
	{ "bounded", SZ_256K, { .flags = QUARRY_HEAP_BOUNDED } },
};

/* The actors of all contexts on a heap; NMIs come if somebody sends them. */
static void play(struct kunit *test, const struct staging *p)
{
	struct quarry_heap *heap = create_heap(test, "context", p->size, &p->args);

	stage = kunit_kzalloc(test, sizeof(*stage), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, stage);
	stage_init(heap);
	stage_run(test);
	stage_clear(test);
	expect_no_harm(test);
}

static void staging_desc(const struct staging *p, char *desc)
{
	strscpy(desc, p->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(staging, stagings, staging_desc);

static void heap_all_contexts_at_once(struct kunit *test)
{
	play(test, test->param_value);
}

/* NMIs are the monitor's of the VM, which sends some: if one has come, another will. */
static void heap_nmis_have_come(struct kunit *test)
{
	unsigned long end = jiffies + NMI_TIME, nmis = 0;

	do {
		play(test, &stagings[0]);
		nmis += turns_of(IN_NMI);
	} while (nmis < 2 && race_goes_on(end, !nmis));
	if (!nmis)
		kunit_skip(test, "nobody sent an NMI (scripts/vm.sh -N does)");
	KUNIT_EXPECT_GT(test, nmis, 1);
}

static void *race_take(void *heap)
{
	return quarry_heap_alloc(heap, 48);
}

/* The figures tell which were taken. */
static int race_give(void *heap, void *block)
{
	quarry_heap_free(heap, block);
	return 0;
}

static void heap_racing_frees_are_taken_once(struct kunit *test)
{
	const struct quarry_heap_args args = { .front = SZ_16K };
	struct quarry_heap *heap = create_heap(test, "racing", SZ_64K, &args);
	struct race race = { heap, race_take, race_give };
	int rounds = race_frees(test, &race);

	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).frees, rounds);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).refused, rounds);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).live, 0);
	KUNIT_EXPECT_EQ(test, atomic_xchg(&capture.nr, 0), rounds);
	expect_heap_verified(test, heap);
}

#ifdef CONFIG_HOTPLUG_CPU

#define NR_PUT_AWAY	36

/* For work_on_cpu(): blocks of six sizes stay in its front. */
static long fill_front(void *heap)
{
	void *blocks[NR_PUT_AWAY];
	int i;

	for (i = 0; i < NR_PUT_AWAY; i++)
		blocks[i] = quarry_heap_alloc(heap, 8 + i % 6 * 8);
	for (i = 0; i < NR_PUT_AWAY; i++)
		quarry_heap_free(heap, blocks[i]);
	return 0;
}

/* All of the heap can be had by another, while the CPU is away and after it is back. */
static void heap_front_of_a_dead_cpu_is_flushed(struct kunit *test)
{
	const struct quarry_heap_args args = { .front = SZ_4K * num_possible_cpus() };
	struct quarry_heap *heap = create_heap(test, "dead-cpu", SZ_64K, &args);
	size_t whole = quarry_heap_largest_free(heap);
	int cpu = other_cpu(0), i;
	void *block;

	if (cpu <= 0 || !cpu_online(0))
		kunit_skip(test, "no CPU that can go");
	for (i = 0; i < 2; i++) {
		work_on_cpu(cpu, fill_front, heap);
		KUNIT_EXPECT_GT(test, heap_stats_of(heap).cached, 0);
		KUNIT_EXPECT_LT(test, quarry_heap_largest_free(heap), whole);
		KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
		if (i)
			KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
		block = quarry_heap_alloc(heap, whole);
		KUNIT_EXPECT_NOT_NULL(test, block);
		KUNIT_EXPECT_EQ(test, heap_stats_of(heap).exhausted, 0);
		quarry_heap_free(heap, block);
		expect_heap_verified(test, heap);
		if (!i)
			KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	}
}

#else

static void heap_front_of_a_dead_cpu_is_flushed(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_HOTPLUG_CPU");
}

#endif

static struct kunit_case context_cases[] = {
	KUNIT_CASE_PARAM(heap_all_contexts_at_once, staging_gen_params),
	KUNIT_CASE(heap_nmis_have_come),
	KUNIT_CASE(heap_racing_frees_are_taken_once),
	KUNIT_CASE(heap_front_of_a_dead_cpu_is_flushed),
	{}
};

static struct kunit_suite context_suite = {
	.name = "quarry_heap_context",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = context_cases,
};

kunit_test_suite(context_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a heap in every context at once");
MODULE_LICENSE("GPL");
