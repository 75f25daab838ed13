/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An allocator in every context on every CPU at once: task, softirq, hard irq, irq_work,
 * NMI. Each context on each CPU is an actor, and what an actor does in its turn is the
 * suite's: see struct cast. The suite also defines struct own, what it keeps for each
 * actor, before it includes this file.
 *
 * On each CPU a thread has one turn after another, and a timer interrupts it: the hard
 * irq's turns, behind which come irq_work and tasklet. NMIs are the VM's, which may send
 * some, on x86 alone.
 */
#ifndef QUARRY_KUNIT_CONTEXT_UTIL_H
#define QUARRY_KUNIT_CONTEXT_UTIL_H

#include <kunit/test.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#ifdef CONFIG_X86
#include <asm/nmi.h>
#endif
#include "../kmod/compat.h"
#include "kunit_util.h"
#include "pace_util.h"

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
	enum context context;
	u64 random;
	unsigned long turns;	/* the suite's turn counts them */
	struct own own;
};

/**
 * struct cast - what the actors of a suite do
 * @turn: in any context
 * @task_turn: in a task, which may sleep
 * @timer_mode: of the hard irqs
 * @softirq_turns: so many in one softirq; 0: neither softirqs nor irq_works take part
 */
struct cast {
	void (*turn)(struct actor *actor);
	void (*task_turn)(struct actor *actor);
	enum hrtimer_mode timer_mode;
	int softirq_turns;
};

/**
 * struct stage - where they do it
 * @cast: what they do
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
	const struct cast *cast;
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

static inline u32 next_random(struct actor *actor)
{
	actor->random = actor->random * 6364136223846793005UL + 1442695040888963407UL;
	return actor->random >> 33;
}

static inline struct actor *actor_here(enum context context)
{
	return &stage->actor[context][raw_smp_processor_id()];
}

/* The turns of each context */

static inline enum hrtimer_restart hardirq_turns(struct hrtimer *timer)
{
	struct actor *actor = actor_here(IN_HARDIRQ);
	int cpu = raw_smp_processor_id(), i;

	if (READ_ONCE(stage->stop))
		return HRTIMER_NORESTART;
	for (i = 0; i < 4; i++)
		stage->cast->turn(actor);
	if (stage->cast->softirq_turns) {
		irq_work_queue(&stage->work[cpu]);
		tasklet_schedule(&stage->tasklet[cpu]);
	}
	hrtimer_forward_now(timer, pace_next(&stage->pace[cpu],
					     READ_ONCE(actor_here(IN_TASK)->turns),
					     next_random(actor)));
	return HRTIMER_RESTART;
}

static inline void irq_work_turn(struct irq_work *work)
{
	stage->cast->turn(actor_here(IN_IRQ_WORK));
}

static inline void softirq_turns(struct tasklet_struct *tasklet)
{
	struct actor *actor = actor_here(IN_SOFTIRQ);
	int i;

	for (i = 0; i < stage->cast->softirq_turns; i++)
		stage->cast->turn(actor);
}

/* A task_turn: one of eight under the raw lock. */
static inline void locked_at_times(struct actor *actor)
{
	unsigned long flags;

	if (actor->turns % 8) {
		stage->cast->turn(actor);
		return;
	}
	raw_spin_lock_irqsave(&stage->lock, flags);
	stage->cast->turn(actor);
	raw_spin_unlock_irqrestore(&stage->lock, flags);
}

static inline int task_turns(void *arg)
{
	int cpu = smp_processor_id();

	hrtimer_start(&stage->timer[cpu], ns_to_ktime(100000), stage->cast->timer_mode);
	while (!kthread_should_stop()) {
		stage->cast->task_turn(&stage->actor[IN_TASK][cpu]);
		cond_resched();
	}
	return 0;
}

#ifdef CONFIG_X86

static inline int nmi_turn(unsigned int type, struct pt_regs *regs)
{
	if (READ_ONCE(stage->stop))
		return NMI_DONE;
	stage->cast->turn(actor_here(IN_NMI));
	return NMI_HANDLED;
}

static inline void nmi_begin(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0, register_nmi_handler(NMI_LOCAL, nmi_turn, 0,
						      "quarry_kunit"));
}

static inline void nmi_end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "quarry_kunit");
}

#else

static inline void nmi_begin(struct kunit *test)
{
}

static inline void nmi_end(void)
{
}

#endif

/* The stage */

static inline void stage_get(struct kunit *test, const struct cast *cast)
{
	stage = kunit_kzalloc(test, sizeof(*stage), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, stage);
	stage->cast = cast;
	raw_spin_lock_init(&stage->lock);
}

/* Turns go on being counted when a stage is used again. */
static inline void stage_set(void)
{
	int context, cpu;

	stage->stop = false;
	for_each_possible_cpu(cpu) {
		for (context = 0; context < NR_CONTEXTS; context++) {
			struct actor *actor = &stage->actor[context][cpu];

			actor->context = context;
			actor->random = actor->turns + cpu * NR_CONTEXTS + context;
		}
		hrtimer_setup(&stage->timer[cpu], hardirq_turns, CLOCK_MONOTONIC,
			      stage->cast->timer_mode);
		stage->work[cpu] = IRQ_WORK_INIT_HARD(irq_work_turn);
		tasklet_setup(&stage->tasklet[cpu], softirq_turns);
	}
}

/* From here to stage_end() all have their turns. */
static inline void stage_begin(struct kunit *test)
{
	int cpu;

	stage_set();
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
}

static inline void stage_end(void)
{
	int cpu;

	WRITE_ONCE(stage->stop, true);
	for_each_online_cpu(cpu) {
		kthread_stop(stage->task[cpu]);
		hrtimer_cancel(&stage->timer[cpu]);
		irq_work_sync(&stage->work[cpu]);
		tasklet_kill(&stage->tasklet[cpu]);
	}
	nmi_end();
}

/* Who took part */

static inline unsigned long turns_of(enum context context)
{
	unsigned long turns = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		turns += READ_ONCE(stage->actor[context][cpu].turns);
	return turns;
}

/* NMIs are the VM's. */
static inline bool must_take_part(enum context context)
{
	if (context == IN_SOFTIRQ || context == IN_IRQ_WORK)
		return stage->cast->softirq_turns;
	return context != IN_NMI;
}

/* Each context has had its turn, but for NMIs. */
static inline bool all_took_part(void)
{
	int context;

	for (context = 0; context < NR_CONTEXTS; context++)
		if (must_take_part(context) && !turns_of(context))
			return false;
	return true;
}

static inline void expect_all_took_part(struct kunit *test)
{
	int context;

	for (context = 0; context < NR_CONTEXTS; context++)
		if (must_take_part(context))
			KUNIT_EXPECT_GT(test, turns_of(context), 0);
}

static inline void tell_turns(struct kunit *test)
{
	kunit_info(test, "turns: task %lu softirq %lu hardirq %lu irq_work %lu NMI %lu",
		   turns_of(IN_TASK), turns_of(IN_SOFTIRQ), turns_of(IN_HARDIRQ),
		   turns_of(IN_IRQ_WORK), turns_of(IN_NMI));
}

static inline void need_nmis(struct kunit *test, unsigned long nmis)
{
	if (!nmis)
		kunit_skip(test, "nobody sent an NMI (scripts/vm.sh -N does)");
}

/* NMIs are the monitor's of the VM, which sends some: if one has come, another will. */
static inline void expect_nmis(struct kunit *test, void (*play)(struct kunit *test))
{
	unsigned long end = jiffies + NMI_TIME, nmis = 0;

	do {
		play(test);
		nmis += turns_of(IN_NMI);
	} while (nmis < 2 && race_goes_on(end, !nmis));
	need_nmis(test, nmis);
	KUNIT_EXPECT_GT(test, nmis, 1);
}

#endif /* QUARRY_KUNIT_CONTEXT_UTIL_H */
