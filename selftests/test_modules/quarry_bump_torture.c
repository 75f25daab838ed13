// SPDX-License-Identifier: GPL-2.0-only
/*
 * Torture of bump and per-CPU arena: every context at once, with a verdict.
 *
 * On each CPU run a thread, an hrtimer in hard interrupt and one in softirq; and an
 * NMI handler, for NMIs that somebody sends. All take pieces of random sizes from
 * one bump and one arena, fill them and write them down. Some times a second all
 * pause, and all pieces are sorted by address. The property: they never overlap,
 * never leave the region, are filled as their owners left them, and their sum with
 * the padding is the bump's offset; the arena's parts add up to the whole. Then
 * both are reset, and it begins anew. CPUs may come and go meanwhile.
 *
 * A second arena is reset by reset_rcu() all the time, under the actors: what one
 * fills in a read-side section is whole until that section ends.
 *
 *	seconds=N	how long
 *	seed=N		of the random numbers
 *
 * /sys/kernel/debug/quarry_bump_torture/result: "name: value" lines; "state: done"
 * and "verdict: ok" is what one wants to read.
 */
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/smpboot.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <quarry/quarry.h>

#include "../../kunit/pace_util.h"
#include "../../kmod/compat.h"
#ifdef CONFIG_X86_64
#include <asm/nmi.h>
#endif

#define NR_PIECES	1500	/* that an actor writes down in a round, of each */
#define NR_HELD		8	/* pieces filled at once in a read-side section */
#define CHUNK		SZ_4K

static unsigned int seconds = 20;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "how long");

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "seed of the random numbers");

enum { THREAD, HARD, SOFT, NMI, NR_CONTEXTS };

static const char * const context_names[] = { "thread", "hardirq", "softirq", "nmi" };

/* What went wrong. */
enum trouble {
	OVERLAP,	/* two pieces share a byte */
	TORN,		/* not filled as its owner left it */
	STRANGE,	/* outside the region, or misaligned */
	SUM,		/* pieces and padding are not what is used */
	RECYCLED,	/* another's bytes in a piece under rcu_read_lock() */
	INCONSISTENT,	/* verify is not content */
	LOST,		/* chunks do not come back */
	NR_TROUBLES
};

static const char * const trouble_names[NR_TROUBLES] = {
	"overlap", "torn", "strange", "sum", "recycled", "inconsistent", "lost",
};

struct piece {
	unsigned long at;
	u32 size;
	u8 log_align;
	u8 mark;
};

/* One context on one CPU; read by the judge while all pause. */
struct actor {
	u64 state;
	u64 turns, took, dry;
	u32 nr[2];
	struct piece *pieces[2];
};

struct station {
	struct actor actor[NR_CONTEXTS];
	struct hrtimer hard, soft;
	struct pace hard_pace, soft_pace;	/* on which the thread keeps up */
};

static DEFINE_PER_CPU(struct station, stations);
static DEFINE_PER_CPU(struct task_struct *, workers);
static struct quarry_bump *bump;
static struct quarry_percpu_arena *arena, *rcu_arena;
static struct piece *sorted;
static struct task_struct *judge;
static struct dentry *dir;
static bool paused, done;
static u64 rounds, resets, pieces_seen, refused_resets;
static atomic_t callbacks;
static atomic_t troubles[NR_TROUBLES];

static u32 draw(struct actor *actor)
{
	/* Marsaglia's xorshift64*: no lock, any context. */
	actor->state ^= actor->state >> 12;
	actor->state ^= actor->state << 25;
	actor->state ^= actor->state >> 27;
	return (actor->state * 0x2545f4914f6cdd1dULL) >> 32;
}

static void trouble(enum trouble what)
{
	if (atomic_inc_return(&troubles[what]) == 1)
		pr_err("quarry_bump_torture: %s\n", trouble_names[what]);
}

/* One piece, written down. */
static void take_one(struct actor *actor)
{
	u32 dice = draw(actor), which = dice & 1;
	struct piece *p = &actor->pieces[which][actor->nr[which]];
	void *at;

	if (actor->nr[which] == NR_PIECES)
		return;
	p->log_align = dice >> 1 & 7;
	p->size = 1 + (dice >> 8) % 250;
	if (dice >> 26 == 0)
		p->size = 1 + (dice >> 4) % (3 * CHUNK);
	at = which ? quarry_percpu_arena_alloc(arena, p->size, BIT(p->log_align)) :
		     quarry_bump_alloc(bump, p->size, BIT(p->log_align));
	if (!at) {
		actor->dry++;
		return;
	}
	p->at = (unsigned long)at;
	p->mark = dice >> 16;
	memset(at, p->mark, p->size);
	actor->nr[which]++;
	actor->took++;
}

/* Some pieces of the arena that is reset all the time. */
static void take_held(struct actor *actor)
{
	u8 *held[NR_HELD], mark = draw(actor);
	int i;

	for (i = 0; i < NR_HELD; i++) {
		held[i] = quarry_percpu_arena_alloc_inline(rcu_arena, 96, 8);
		if (held[i])
			memset(held[i], mark + i, 96);
	}
	for (i = 0; i < NR_HELD; i++)
		if (held[i] && memchr_inv(held[i], (u8)(mark + i), 96))
			trouble(RECYCLED);
}

static void act(struct actor *actor, unsigned int nr)
{
	rcu_read_lock();	/* the judge waits for us */
	WRITE_ONCE(actor->turns, actor->turns + 1);	/* read by the timers */
	while (!READ_ONCE(paused) && nr--)
		take_one(actor);
	if (actor->turns % 8 == 0)
		take_held(actor);
	rcu_read_unlock();
}

static enum hrtimer_restart hard_fires(struct hrtimer *timer)
{
	struct station *station = container_of(timer, struct station, hard);
	struct actor *actor = &station->actor[HARD];

	act(actor, 1 + draw(actor) % 4);
	hrtimer_forward_now(timer, pace_next(&station->hard_pace,
					     READ_ONCE(station->actor[THREAD].turns),
					     draw(actor)));
	return HRTIMER_RESTART;
}

static enum hrtimer_restart soft_fires(struct hrtimer *timer)
{
	struct station *station = container_of(timer, struct station, soft);
	struct actor *actor = &station->actor[SOFT];

	act(actor, 1 + draw(actor) % 8);
	hrtimer_forward_now(timer, pace_next(&station->soft_pace,
					     READ_ONCE(station->actor[THREAD].turns),
					     draw(actor)));
	return HRTIMER_RESTART;
}

#ifdef CONFIG_X86_64
static bool nmi_registered;

static int nmi_comes(unsigned int type, struct pt_regs *regs)
{
	act(&this_cpu_ptr(&stations)->actor[NMI], 3);
	return NMI_HANDLED;
}

static void nmi_begin(void)
{
	nmi_registered = !register_nmi_handler(NMI_UNKNOWN, nmi_comes, 0,
					       "quarry_bump_torture");
}

static void nmi_end(void)
{
	if (nmi_registered)
		unregister_nmi_handler(NMI_UNKNOWN, "quarry_bump_torture");
	nmi_registered = false;
}
#else
static void nmi_begin(void) { }
static void nmi_end(void) { }
#endif

/* One thread a CPU, parked while the CPU is away; its timers go with it. */
static void work(unsigned int cpu)
{
	struct actor *actor = &per_cpu_ptr(&stations, cpu)->actor[THREAD];

	act(actor, 1 + draw(actor) % 16);
	cond_resched();
	if (READ_ONCE(paused))
		schedule_timeout_uninterruptible(1);
}

static int has_work(unsigned int cpu)
{
	return true;
}

static void station_opens(unsigned int cpu)
{
	struct station *station = per_cpu_ptr(&stations, cpu);

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
}

static struct smp_hotplug_thread threads = {
	.store			= &workers,
	.thread_should_run	= has_work,
	.thread_fn		= work,
	.thread_comm		= "quarry_bump/%u",
	.setup			= station_opens,
	.unpark			= station_opens,
	.park			= station_closes,
	.cleanup		= station_ends,
};

/* The judge */

static int by_address(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static u32 gather(int which)
{
	int cpu, context;
	u32 nr = 0;

	for_each_possible_cpu(cpu) {
		for (context = 0; context < NR_CONTEXTS; context++) {
			struct actor *actor = &per_cpu(stations, cpu).actor[context];

			memcpy(sorted + nr, actor->pieces[which],
			       array_size(actor->nr[which], sizeof(*sorted)));
			nr += actor->nr[which];
			actor->nr[which] = 0;
		}
	}
	sort(sorted, nr, sizeof(*sorted), by_address, NULL);
	return nr;
}

static bool owned(int which, unsigned long at)
{
	return which ? quarry_percpu_arena_owns(arena, (void *)at) :
		       quarry_bump_owns(bump, (void *)at, QUARRY_BUMP_ANY_GEN);
}

/* From the first piece's first byte to the last one's last. */
static u64 inspect(int which, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		const struct piece *p = &sorted[i];

		if (!owned(which, p->at) || !owned(which, p->at + p->size - 1) ||
		    !IS_ALIGNED(p->at, BIT(p->log_align)))
			trouble(STRANGE);
		else if (memchr_inv((void *)p->at, p->mark, p->size))
			trouble(TORN);
		if (i && p[-1].at + p[-1].size > p->at)
			trouble(OVERLAP);
		/* A bump leaves no gap but padding. */
		if (i && !which && p->at - p[-1].at - p[-1].size >= 8 + BIT(p->log_align))
			trouble(SUM);
	}
	pieces_seen += nr;
	return nr ? sorted[nr - 1].at + sorted[nr - 1].size - sorted[0].at : 0;
}

static void judge_bump(void)
{
	u64 span = inspect(0, gather(0));

	/* The region begins at a page: the first piece has no padding. */
	if (span != quarry_bump_used(bump))
		trouble(SUM);
	if (quarry_bump_verify(bump))
		trouble(INCONSISTENT);
	quarry_bump_reset(bump);
}

static void judge_arena(void)
{
	struct quarry_percpu_arena_stats s;

	inspect(1, gather(1));
	quarry_percpu_arena_get_stats(arena, &s);
	if (s.capacity != s.used + s.left + s.cached + s.shared + s.tails + s.wasted)
		trouble(SUM);
	if (quarry_percpu_arena_verify(arena) < 0)
		trouble(INCONSISTENT);
	if (quarry_percpu_arena_reset(arena))
		trouble(LOST);
	if (quarry_percpu_arena_used(arena))
		trouble(LOST);
}

static void came_back(void *arg)
{
	atomic_inc(&callbacks);
}

static int judge_thread(void *unused)
{
	int i;

	while (!kthread_should_stop()) {
		for (i = 0; i < 30; i++) {
			if (quarry_percpu_arena_reset_rcu(rcu_arena, came_back, NULL))
				refused_resets++;
			else
				resets++;
			schedule_timeout_uninterruptible(1);
		}
		WRITE_ONCE(paused, true);
		synchronize_rcu();
		judge_bump();
		judge_arena();
		rounds++;
		WRITE_ONCE(paused, false);
	}
	return 0;
}

/* After the last round: all of the arena that is reset comes back. */
static void judge_rcu_arena(void)
{
	struct quarry_percpu_arena_stats s;

	rcu_barrier();
	if (atomic_read(&callbacks) != resets)
		trouble(LOST);
	if (quarry_percpu_arena_verify(rcu_arena))
		trouble(INCONSISTENT);
	quarry_percpu_arena_get_stats(rcu_arena, &s);
	if (s.retired || s.pending)
		trouble(LOST);
	if (quarry_percpu_arena_reset(rcu_arena))
		trouble(LOST);
	quarry_percpu_arena_get_stats(rcu_arena, &s);
	if (s.left != s.capacity)
		trouble(LOST);
}

static DEFINE_MUTEX(ending);

static void finish(struct work_struct *unused)
{
	mutex_lock(&ending);
	if (!done) {
		kthread_stop(judge);
		smpboot_unregister_percpu_thread(&threads);
		nmi_end();
		judge_rcu_arena();
		smp_store_release(&done, true);	/* pairs with result_show() */
	}
	mutex_unlock(&ending);
}

static DECLARE_DELAYED_WORK(finish_work, finish);

static int nr_errors(void)
{
	int i, errors = 0;

	for (i = 0; i < NR_TROUBLES; i++)
		errors += atomic_read(&troubles[i]);
	return errors;
}

static void context_show(struct seq_file *seq, int context)
{
	u64 turns = 0, took = 0, dry = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct actor *actor = &per_cpu(stations, cpu).actor[context];

		turns += data_race(actor->turns);	/* it goes on counting */
		took += data_race(actor->took);		/* likewise */
		dry += data_race(actor->dry);		/* likewise */
	}
	seq_printf(seq, "%s_turns: %llu\n", context_names[context], turns);
	seq_printf(seq, "%s_took: %llu\n", context_names[context], took);
	seq_printf(seq, "%s_dry: %llu\n", context_names[context], dry);
}

static int result_show(struct seq_file *seq, void *unused)
{
	bool over = smp_load_acquire(&done);	/* pairs with finish() */
	int i;

	seq_printf(seq, "state: %s\n", over ? "done" : "running");
	seq_printf(seq, "verdict: %s\n", !over ? "none yet" :
		   nr_errors() || !rounds ? "bad" : "ok");
	for (i = 0; i < NR_TROUBLES; i++)
		seq_printf(seq, "%s: %d\n", trouble_names[i],
			   atomic_read(&troubles[i]));
	seq_printf(seq, "rounds: %llu\n", data_race(rounds));	/* as it is */
	seq_printf(seq, "pieces: %llu\n", data_race(pieces_seen));	/* likewise */
	seq_printf(seq, "resets: %llu\n", data_race(resets));	/* likewise */
	seq_printf(seq, "refused_resets: %llu\n", data_race(refused_resets)); /* likewise */
	for (i = 0; i < NR_CONTEXTS; i++)
		context_show(seq, i);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(result);

static void stage_free(void)
{
	int cpu, i;

	for_each_possible_cpu(cpu)
		for (i = 0; i < 2 * NR_CONTEXTS; i++)
			vfree(per_cpu(stations, cpu).actor[i / 2].pieces[i % 2]);
	vfree(sorted);
	quarry_bump_destroy(bump);
	quarry_percpu_arena_destroy(arena);
	quarry_percpu_arena_destroy(rcu_arena);
}

static int station_init(int cpu)
{
	struct station *station = per_cpu_ptr(&stations, cpu);
	bool good = true;
	int i;

	for (i = 0; i < NR_CONTEXTS; i++) {
		struct actor *actor = &station->actor[i];

		actor->state = (u64)seed << 32 | (1 + cpu * NR_CONTEXTS + i);
		actor->pieces[0] = vmalloc(NR_PIECES * sizeof(struct piece));
		actor->pieces[1] = vmalloc(NR_PIECES * sizeof(struct piece));
		good &= actor->pieces[0] && actor->pieces[1];
	}
	hrtimer_setup(&station->hard, hard_fires, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_setup(&station->soft, soft_fires, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_SOFT);
	return good ? 0 : -ENOMEM;
}

static int stage_make(void)
{
	const struct quarry_percpu_arena_args args = { .chunk = CHUNK };
	const struct quarry_percpu_arena_args rcu_args = { .chunk = 1024 };
	int cpu, err = 0;

	bump = quarry_bump_create("torture-bump", 300001, NULL);
	arena = quarry_percpu_arena_create("torture-arena", 320000, &args);
	rcu_arena = quarry_percpu_arena_create("torture-rcu", SZ_256K, &rcu_args);
	sorted = vmalloc(array3_size(num_possible_cpus() * NR_CONTEXTS, NR_PIECES,
				     sizeof(struct piece)));
	for_each_possible_cpu(cpu)
		err = err ?: station_init(cpu);
	if (err || !sorted || IS_ERR(bump) || IS_ERR(arena) || IS_ERR(rcu_arena))
		return -ENOMEM;
	return 0;
}

static int __init quarry_bump_torture_init(void)
{
	int err = seed && seconds ? stage_make() : -EINVAL;

	if (err)
		goto err_stage;
	pr_info("quarry_bump_torture: seed %u\n", seed);
	nmi_begin();
	err = smpboot_register_percpu_thread(&threads);
	if (err)
		goto err_threads;
	judge = kthread_run(judge_thread, NULL, "quarry_judge");
	if (IS_ERR(judge)) {
		err = PTR_ERR(judge);
		smpboot_unregister_percpu_thread(&threads);
		goto err_threads;
	}
	dir = debugfs_create_dir("quarry_bump_torture", NULL);
	debugfs_create_file("result", 0400, dir, NULL, &result_fops);
	schedule_delayed_work(&finish_work, seconds * HZ);
	return 0;

err_threads:
	nmi_end();
err_stage:
	stage_free();
	return err;
}

static void __exit quarry_bump_torture_exit(void)
{
	cancel_delayed_work_sync(&finish_work);
	finish(NULL);
	debugfs_remove(dir);
	pr_info("quarry_bump_torture: %d errors\n", nr_errors());
	stage_free();
}

module_init(quarry_bump_torture_init);
module_exit(quarry_bump_torture_exit);
MODULE_DESCRIPTION("Torture of quarry's bumps in every context, with a verdict");
MODULE_LICENSE("GPL");
