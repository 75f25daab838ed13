/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the torture modules share: every context at once, for some time, and then a
 * verdict.
 *
 * On each CPU run a thread (which also works with bottom halves, interrupts and
 * preemption off and under a raw spinlock), an hrtimer in hard interrupt and one
 * in softirq; and an NMI handler, for NMIs that somebody sends. CPUs may go and
 * come back meanwhile.
 *
 *	seconds=N	how long (0: until the module is unloaded)
 *	seed=N		of the random numbers
 *	nmi=0		register no NMI handler
 *
 * /sys/kernel/debug/MODULE/result: "name: value" lines; "state: done" and
 * "verdict: ok" is what one wants to read.
 */
#ifndef QUARRY_TORTURE_H
#define QUARRY_TORTURE_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/smpboot.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "../../kunit/pace_util.h"
#include "../../kmod/compat.h"
#ifdef CONFIG_X86_64
#include <asm/nmi.h>
#endif

#define MAX_TROUBLES	8
#define MAX_WORDS	1024	/* of 64 bits, in a block; a power of two */
#define NR_EXCHANGE	128	/* slots where blocks are left for others */
#define NR_HAND		24	/* blocks in a thread's hand, at most */

static unsigned int seconds = 30;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "how long; 0: until unload");

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "seed of the random numbers");

static bool nmi = true;
module_param(nmi, bool, 0444);
MODULE_PARM_DESC(nmi, "take part in NMIs, where the architecture has them");

enum { THREAD, HARD, SOFT, NMI, NR_CONTEXTS };

static const char * const context_names[] = { "thread", "hardirq", "softirq", "nmi" };

/**
 * struct actor - one context on one CPU; nothing in it is shared
 * @state: of the random numbers
 * @id: its number, from 1 on; goes into the cookies
 * @serial: of the cookies
 * @turns: how often it ran
 * @took: blocks it got
 * @gave: blocks it freed
 * @dry: allocs that got nothing
 * @wrong: frees that were meant to be refused
 * @own: the module's
 */
struct actor {
	u64 state;
	u64 id, serial;
	u64 turns, took, gave, dry, wrong;
	void *own;
};

/**
 * struct torture - what a module does
 * @make: makes what is acted on, and may set each actor's @own; 0 or an error
 * @unmake: ends what there is of that, also when @make has failed
 * @nice: of its threads: more, where they would run on with nothing to do and take the
 *	CPU from other modules' threads
 * @act: so many operations, in any context
 * @linger: what the thread of a CPU does after each of its turns, or NULL
 * @leave: the thread of a CPU ends; or NULL
 * @judge: all have ended; what is wrong is told to fail()
 * @show: more lines of the result, or NULL
 * @troubles: what can go wrong meanwhile; the first of each kind is also printed
 */
struct torture {
	int (*make)(void);
	void (*unmake)(void);
	int nice;
	void (*act)(struct actor *actor, unsigned int nr);
	void (*linger)(unsigned int cpu);
	void (*leave)(unsigned int cpu);
	void (*judge)(void);
	void (*show)(struct seq_file *seq);
	const char *troubles[MAX_TROUBLES];
};

static const struct torture torture;

struct station {
	struct actor actor[NR_CONTEXTS];
	struct hrtimer hard, soft;
	struct pace hard_pace, soft_pace;	/* on which the thread keeps up */
};

static DEFINE_PER_CPU(struct station, stations);
static DEFINE_PER_CPU(struct task_struct *, workers);
static DEFINE_RAW_SPINLOCK(raw);
static atomic_t troubles[MAX_TROUBLES];
static DEFINE_MUTEX(ending);
static struct dentry *dir;
static bool done;
static char verdict[128] = "none yet";

static u32 draw(struct actor *actor)
{
	/* Marsaglia's xorshift64*: no lock, any context. */
	actor->state ^= actor->state >> 12;
	actor->state ^= actor->state << 25;
	actor->state ^= actor->state >> 27;
	return (actor->state * 0x2545f4914f6cdd1dULL) >> 32;
}

static void trouble(int what, const char *where, long at)
{
	if (atomic_inc_return(&troubles[what]) == 1)
		pr_err(KBUILD_MODNAME ": %s: %ld %s\n", where, at,
		       torture.troubles[what]);
}

/* The verdict is the first; all are in the log. */
static void fail(const char *where, const char *what, u64 found, u64 expected)
{
	pr_err(KBUILD_MODNAME ": %s: %s %llu, not %llu\n", where, what, found,
	       expected);
	if (!strcmp(verdict, "ok"))
		scnprintf(verdict, sizeof(verdict), "%s: %s %llu, not %llu", where,
			  what, found, expected);
}

static inline void expect(const char *where, const char *what, u64 found, u64 expected)
{
	if (found != expected)
		fail(where, what, found, expected);
}

/* Blocks that a thread keeps for a while. */
struct hand {
	u64 *block[NR_HAND];
};

/* Blocks that describe themselves */

/* A cookie tells who took a block, when, and how many words it has. */
static inline u64 new_cookie(struct actor *actor, unsigned int words)
{
	return actor->id << 48 | (u64)words << 38 |
	       (++actor->serial & (BIT_ULL(38) - 1));
}

static inline unsigned int cookie_words(u64 cookie)
{
	return cookie >> 38 & (MAX_WORDS - 1);
}

static inline u64 word(u64 cookie, long index, unsigned int i)
{
	return i ? cookie ^ ((u64)index << 17) ^ (i * 0x9e3779b97f4a7c15ULL) : cookie;
}

static inline void write_words(u64 *block, long index, unsigned int words, u64 cookie)
{
	unsigned int i;

	for (i = 0; i < words; i++)
		block[i] = word(cookie, index, i);
}

static inline bool words_are(const u64 *block, long index, unsigned int words,
			     u64 cookie)
{
	unsigned int i;

	for (i = 0; i < words; i++)
		if (block[i] != word(cookie, index, i))
			return false;
	return true;
}

/* The contexts */

static ktime_t timer_acts(struct station *station, int context, struct pace *pace)
{
	struct actor *actor = &station->actor[context];

	torture.act(actor, 1 + draw(actor) % (context == SOFT ? 8 : 4));
	return pace_next(pace, READ_ONCE(station->actor[THREAD].turns), draw(actor));
}

static enum hrtimer_restart hard_fires(struct hrtimer *timer)
{
	struct station *station = container_of(timer, struct station, hard);

	hrtimer_forward_now(timer, timer_acts(station, HARD, &station->hard_pace));
	return HRTIMER_RESTART;
}

static enum hrtimer_restart soft_fires(struct hrtimer *timer)
{
	struct station *station = container_of(timer, struct station, soft);

	hrtimer_forward_now(timer, timer_acts(station, SOFT, &station->soft_pace));
	return HRTIMER_RESTART;
}

#ifdef CONFIG_X86_64
static bool nmi_registered;

static int nmi_comes(unsigned int type, struct pt_regs *regs)
{
	struct actor *actor = &this_cpu_ptr(&stations)->actor[NMI];

	torture.act(actor, 1 + draw(actor) % 4);
	return NMI_HANDLED;
}

/* As one for unknown NMIs we take only what nobody else claims. */
static void nmi_begin(void)
{
	nmi_registered = nmi && !register_nmi_handler(NMI_UNKNOWN, nmi_comes, 0,
						      KBUILD_MODNAME);
}

static void nmi_end(void)
{
	if (nmi_registered)
		unregister_nmi_handler(NMI_UNKNOWN, KBUILD_MODNAME);
	nmi_registered = false;
}
#else
static void nmi_begin(void) { }
static void nmi_end(void) { }
#endif

/* The same work in each context that a thread can make. */
static void act_somehow(struct actor *actor)
{
	unsigned int nr = 1 + draw(actor) % 16;
	unsigned long flags;

	switch (draw(actor) % 8) {
	case 0:
		local_bh_disable();
		torture.act(actor, nr);
		local_bh_enable();
		break;
	case 1:
		local_irq_save(flags);
		torture.act(actor, nr);
		local_irq_restore(flags);
		break;
	case 2:
		preempt_disable();
		torture.act(actor, nr);
		preempt_enable();
		break;
	case 3:
		raw_spin_lock_irqsave(&raw, flags);
		torture.act(actor, 1);
		raw_spin_unlock_irqrestore(&raw, flags);
		break;
	default:
		torture.act(actor, nr);
	}
}

/*
 * One thread a CPU, parked while the CPU is away; its timers go with it. Quarry
 * gives the CPU its magazines after the thread has begun, and takes them back
 * before it is parked: operations without them are met as well.
 */
static void work(unsigned int cpu)
{
	act_somehow(&per_cpu_ptr(&stations, cpu)->actor[THREAD]);
	if (torture.linger)
		torture.linger(cpu);
	cond_resched();
}

static int has_work(unsigned int cpu)
{
	return true;
}

static void station_opens(unsigned int cpu)
{
	struct station *station = per_cpu_ptr(&stations, cpu);

	set_user_nice(current, torture.nice);
	hrtimer_start(&station->hard, ns_to_ktime(200000),
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&station->soft, ns_to_ktime(300000),
		      HRTIMER_MODE_REL_PINNED_SOFT);
}

static void station_closes(unsigned int cpu)
{
	struct station *station = per_cpu_ptr(&stations, cpu);

	hrtimer_cancel(&station->hard);
	hrtimer_cancel(&station->soft);
}

static void station_ends(unsigned int cpu, bool online)
{
	station_closes(cpu);
	if (torture.leave)
		torture.leave(cpu);
}

static struct smp_hotplug_thread threads = {
	.store			= &workers,
	.thread_should_run	= has_work,
	.thread_fn		= work,
	.thread_comm		= KBUILD_MODNAME "/%u",
	.setup			= station_opens,
	.unpark			= station_opens,
	.park			= station_closes,
	.cleanup		= station_ends,
};

static void station_init(int cpu)
{
	struct station *station = per_cpu_ptr(&stations, cpu);
	int context;

	for (context = 0; context < NR_CONTEXTS; context++) {
		struct actor *actor = &station->actor[context];

		actor->id = 1 + cpu * NR_CONTEXTS + context;
		actor->state = (u64)seed << 32 | actor->id;
	}
	hrtimer_setup(&station->hard, hard_fires, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_setup(&station->soft, soft_fires, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_SOFT);
}

/* The outcome */

static void finish(struct work_struct *unused)
{
	int i;

	mutex_lock(&ending);
	if (!done) {
		smpboot_unregister_percpu_thread(&threads);
		nmi_end();
		strscpy(verdict, "ok", sizeof(verdict));
		for (i = 0; i < MAX_TROUBLES; i++)
			if (atomic_read(&troubles[i]))
				fail("meanwhile", torture.troubles[i],
				     atomic_read(&troubles[i]), 0);
		torture.judge();
		pr_info("quarry-expect-end\n");
		smp_store_release(&done, true);	/* pairs with result_show() */
	}
	mutex_unlock(&ending);
}

static DECLARE_DELAYED_WORK(finish_work, finish);

/* Of all CPUs; exact after the end. */
static struct actor sum_of(int context)
{
	struct actor sum = { };
	int cpu;

	for_each_possible_cpu(cpu) {
		struct actor *actor = &per_cpu_ptr(&stations, cpu)->actor[context];

		sum.turns += data_race(actor->turns);	/* it goes on counting */
		sum.took += data_race(actor->took);	/* likewise */
		sum.gave += data_race(actor->gave);	/* likewise */
		sum.dry += data_race(actor->dry);	/* likewise */
		sum.wrong += data_race(actor->wrong);	/* likewise */
	}
	return sum;
}

/* Of those who free what they took, when nothing is left anywhere. */
static inline void expect_all_given(void)
{
	u64 took = 0, gave = 0;
	int i;

	for (i = 0; i < NR_CONTEXTS; i++) {
		struct actor sum = sum_of(i);

		took += sum.took;
		gave += sum.gave;
	}
	expect("all together", "took", took, gave);
}

static void context_show(struct seq_file *seq, int context)
{
	const char *name = context_names[context];
	struct actor sum = sum_of(context);

	seq_printf(seq, "%s_turns: %llu\n", name, sum.turns);
	seq_printf(seq, "%s_took: %llu\n", name, sum.took);
	seq_printf(seq, "%s_gave: %llu\n", name, sum.gave);
	seq_printf(seq, "%s_dry: %llu\n", name, sum.dry);
	seq_printf(seq, "%s_wrong: %llu\n", name, sum.wrong);
}

static int result_show(struct seq_file *seq, void *unused)
{
	bool over = smp_load_acquire(&done);	/* pairs with finish() */
	int i, errors = 0;

	seq_printf(seq, "state: %s\n", over ? "done" : "running");
	seq_printf(seq, "verdict: %s\n", over ? verdict : "none yet");
	for (i = 0; i < MAX_TROUBLES && torture.troubles[i]; i++) {
		errors += atomic_read(&troubles[i]);
		seq_printf(seq, "%s: %d\n", torture.troubles[i],
			   atomic_read(&troubles[i]));
	}
	seq_printf(seq, "errors: %d\n", errors);
	if (torture.show)
		torture.show(seq);
	for (i = 0; i < NR_CONTEXTS; i++)
		context_show(seq, i);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(result);

static int torture_begin(void)
{
	int cpu, err;

	if (!seed)
		return -EINVAL;
	for_each_possible_cpu(cpu)
		station_init(cpu);
	pr_info(KBUILD_MODNAME ": seed %u\n", seed);
	pr_info("quarry-expect-begin: quarry: [a-z]+ \"torture-[^\"]*\": free refused|quarry__report: .* callbacks suppressed\n");
	nmi_begin();
	err = smpboot_register_percpu_thread(&threads);
	if (err) {
		nmi_end();
		pr_info("quarry-expect-end\n");
		return err;
	}
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("result", 0400, dir, NULL, &result_fops);
	if (seconds)
		schedule_delayed_work(&finish_work, seconds * HZ);
	return 0;
}

static void torture_end(void)
{
	cancel_delayed_work_sync(&finish_work);
	finish(NULL);
	debugfs_remove(dir);
	pr_info(KBUILD_MODNAME ": verdict: %s\n", verdict);
}

static int __init torture_init(void)
{
	int err = torture.make();

	if (!err)
		err = torture_begin();
	if (err)
		torture.unmake();
	return err;
}
module_init(torture_init);

static void __exit torture_exit(void)
{
	torture_end();
	torture.unmake();
}
module_exit(torture_exit);

#endif /* QUARRY_TORTURE_H */
