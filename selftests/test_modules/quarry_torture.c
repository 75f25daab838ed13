// SPDX-License-Identifier: GPL-2.0-only
/*
 * Torture: every context at once on a few pools, with a verdict.
 *
 * On each CPU run a thread (which also works with bottom halves, interrupts and
 * preemption off and under a raw spinlock), an hrtimer in hard interrupt and one
 * in softirq; and an NMI handler, for NMIs that somebody sends. All of them take
 * blocks, write into each a pattern that tells which block it is and whose,
 * leave it in an exchange array, and take out what somebody else left there: most
 * blocks are freed by another context or CPU than the one that took them.
 *
 * The property: nobody but the owner writes to a live block, no block has two
 * owners, and none is lost. It is broken when a pattern is not what its first
 * word says it must be, when the table of owners says that the block was taken
 * already (or not by this owner), when after the end a block is live, the figures
 * do not add up, verify is not content, or another number of frees was refused
 * than were meant to be. Patterns are plain accesses and the table adds no
 * ordering, so that only the pool's own orders them. That its free is a release is
 * shown by litmus tests, and by Documentation/orders_check.sh that the code has the
 * orders which they state: x86 cannot show it, nor has KCSAN been seen to.
 *
 *	seconds=N	how long (0: until the module is unloaded)
 *	seed=N		of the random numbers
 *	nmi=0		register no NMI handler
 *
 * /sys/kernel/debug/quarry_torture/result: "name: value" lines; "state: done" and
 * "verdict: ok" is what one wants to read.
 */
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
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <quarry/quarry.h>

#include "../../kunit/pace_util.h"
#include "../../kmod/compat.h"
#ifdef CONFIG_X86_64
#include <asm/nmi.h>
#endif

#define NR_EXCHANGE	128	/* slots of a pool's exchange array */
#define NR_HAND		24	/* blocks in a thread's hand, at most */
#define NR_POOLS	ARRAY_SIZE(shapes)

static unsigned int seconds = 30;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "how long; 0: until unload");

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "seed of the random numbers");

static bool nmi = true;
module_param(nmi, bool, 0444);
MODULE_PARM_DESC(nmi, "take part in NMIs, where the architecture has them");

static const struct {
	const char *name;
	size_t size, nr;
	unsigned int flags;
} shapes[] = {
	{ "torture-64", 64, 2048, 0 },
	{ "torture-scarce", 24, 96, 0 },	/* runs empty */
	{ "torture-exact", 40, 512, QUARRY_POOL_EXACT },
	{ "torture-strict", 200, 1024, QUARRY_POOL_STRICT },
	{ "torture-zero", 72, 1024, QUARRY_ZERO | QUARRY_POOL_ZERO_ON_FREE },
};

/* What went wrong; the first of each kind is also printed. */
enum trouble {
	TORN,		/* the pattern is not the owner's */
	TWICE,		/* taken while somebody has it */
	STOLEN,		/* freed, and not the owner's any more */
	STRANGE,	/* not an address of the pool, or misaligned */
	REFUSED,	/* a good free in bulk was refused */
	UNREFUSED,	/* a bad free was not */
	DIRTY,		/* not zero, from the pool that zeroes */
	NR_TROUBLES
};

static const char * const trouble_names[NR_TROUBLES] = {
	"torn", "twice", "stolen", "strange", "refused", "unrefused",
	"dirty",
};

/**
 * struct ground - one pool and what goes with it
 * @pool: the pool
 * @words: 64-bit words in a block
 * @nr_owners: entries of @owners
 * @owners: cookie of each block's owner, 0 when free
 * @zero: blocks come zeroed
 * @behind: where the block behind the last would be
 * @exchange: blocks left for others
 */
struct ground {
	struct quarry_pool *pool;
	unsigned int words;
	size_t nr_owners;
	atomic64_t *owners;
	bool zero;
	u8 *behind;
	u64 *exchange[NR_EXCHANGE];
};

/**
 * struct actor - one context on one CPU; nothing in it is shared
 * @state: of the random numbers
 * @id: its number; goes into the cookies
 * @serial: of the cookies
 * @turns: how often it ran
 * @took: blocks it got
 * @gave: blocks it freed
 * @dry: allocs that got nothing
 * @wrong: frees that were meant to be refused
 */
struct actor {
	u64 state;
	u64 id, serial;
	u64 turns, took, gave, dry, wrong;
};

struct station {
	struct actor actor[4];
	struct hrtimer hard, soft;
	struct pace hard_pace, soft_pace;	/* on which the thread keeps up */
	u64 *hand[NR_HAND];
};

enum { THREAD, HARD, SOFT, NMI };

static const char * const context_names[] = { "thread", "hardirq", "softirq", "nmi" };

static struct ground grounds[NR_POOLS];
static DEFINE_PER_CPU(struct station, stations);
static atomic_t troubles[NR_TROUBLES];
static DEFINE_RAW_SPINLOCK(raw);
static struct dentry *dir;
static DEFINE_MUTEX(ending);
static bool done;
static char verdict[128] = "none yet";
static atomic64_t wrong_frees[NR_POOLS];

static u32 draw(struct actor *actor)
{
	/* Marsaglia's xorshift64*: no lock, any context. */
	actor->state ^= actor->state >> 12;
	actor->state ^= actor->state << 25;
	actor->state ^= actor->state >> 27;
	return (actor->state * 0x2545f4914f6cdd1dULL) >> 32;
}

static void trouble(struct ground *ground, enum trouble what, long index)
{
	if (atomic_inc_return(&troubles[what]) == 1)
		pr_err("quarry_torture: %s: block %ld %s\n",
		       shapes[ground - grounds].name, index, trouble_names[what]);
}

static u64 word(u64 cookie, long index, unsigned int i)
{
	return cookie ^ ((u64)index << 17) ^ (i * 0x9e3779b97f4a7c15ULL);
}

static void sign(struct ground *ground, struct actor *actor, u64 *block)
{
	long index = quarry_pool_index(ground->pool, block);
	u64 cookie = actor->id << 48 | (++actor->serial & (BIT_ULL(48) - 1));
	unsigned int i;

	actor->took++;
	if (index < 0 || index >= ground->nr_owners) {
		trouble(ground, STRANGE, index);
		return;
	}
	if (atomic64_cmpxchg_relaxed(&ground->owners[index], 0, cookie))
		trouble(ground, TWICE, index);
	if (ground->zero && memchr_inv(block, 0, ground->words * sizeof(u64)))
		trouble(ground, DIRTY, index);
	block[0] = cookie;
	for (i = 1; i < ground->words; i++)
		block[i] = word(cookie, index, i);
}

/* Before a free: is all as its owner left it? */
static void inspect(struct ground *ground, struct actor *actor, u64 *block)
{
	long index = quarry_pool_index(ground->pool, block);
	unsigned int i;
	u64 cookie;

	actor->gave++;
	if (index < 0 || index >= ground->nr_owners) {
		trouble(ground, STRANGE, index);
		return;
	}
	cookie = block[0];
	for (i = 1; i < ground->words; i++) {
		if (block[i] != word(cookie, index, i)) {
			trouble(ground, TORN, index);
			break;
		}
	}
	if (atomic64_cmpxchg_relaxed(&ground->owners[index], cookie, 0) != cookie)
		trouble(ground, STOLEN, index);
}

static u64 *take(struct ground *ground, struct actor *actor)
{
	u64 *block;

	/* Inlined and called take their turns. */
	if (actor->turns & 1)
		block = quarry_pool_alloc_inline(ground->pool);
	else
		block = quarry_pool_alloc(ground->pool);
	if (block)
		sign(ground, actor, block);
	else
		actor->dry++;
	return block;
}

static void give(struct ground *ground, struct actor *actor, u64 *block)
{
	if (!block)
		return;
	inspect(ground, actor, block);
	if (actor->turns & 2)
		quarry_pool_free_inline(ground->pool, block);
	else
		quarry_pool_free(ground->pool, block);
}

/* Leave a block for somebody, free what was left for us. */
static void swap_one(struct ground *ground, struct actor *actor)
{
	u64 *block = take(ground, actor);
	u32 slot = draw(actor) % NR_EXCHANGE;

	give(ground, actor, xchg(&ground->exchange[slot], block));
}

static void swap_bulk(struct ground *ground, struct actor *actor)
{
	void *blocks[12];
	size_t nr, got, i, left = 0;

	nr = 1 + draw(actor) % ARRAY_SIZE(blocks);
	got = quarry_pool_alloc_bulk(ground->pool, nr, blocks);
	if (got < nr)
		actor->dry++;
	for (i = 0; i < got; i++) {
		u32 slot = draw(actor) % NR_EXCHANGE;

		sign(ground, actor, blocks[i]);
		blocks[i] = xchg(&ground->exchange[slot], blocks[i]);
		if (blocks[i]) {
			inspect(ground, actor, blocks[i]);
			left++;
		}
	}
	if (quarry_pool_free_bulk(ground->pool, got, blocks) != left)
		trouble(ground, REFUSED, -1);
}

/* A free that has to be refused: inside a block of ours, or behind the last. */
static void free_wrongly(struct ground *ground, struct actor *actor)
{
	u8 *block = (u8 *)take(ground, actor);
	void *wrong;

	if (!block)
		return;
	actor->wrong++;
	atomic64_inc(&wrong_frees[ground - grounds]);
	wrong = block + 1 + draw(actor) % (ground->words * 8 - 1);
	if (draw(actor) % 4 == 0)
		wrong = ground->behind;
	if (draw(actor) % 2)
		quarry_pool_free(ground->pool, wrong);
	else if (quarry_pool_free_bulk(ground->pool, 1, &wrong))
		trouble(ground, UNREFUSED,
			quarry_pool_index(ground->pool, block));
	give(ground, actor, (u64 *)block);
}

static void act(struct actor *actor, unsigned int nr)
{
	WRITE_ONCE(actor->turns, actor->turns + 1);	/* read by the timers */
	while (nr--) {
		struct ground *ground = &grounds[draw(actor) % NR_POOLS];
		u32 dice = draw(actor) % 1024;

		if (dice < 3)
			free_wrongly(ground, actor);
		else if (dice < 256)
			swap_bulk(ground, actor);
		else
			swap_one(ground, actor);
	}
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
	struct actor *actor = &this_cpu_ptr(&stations)->actor[NMI];

	act(actor, 1 + draw(actor) % 4);
	return NMI_HANDLED;
}

/* As one for unknown NMIs we take only what nobody else claims. */
static void nmi_begin(void)
{
	nmi_registered = nmi && !register_nmi_handler(NMI_UNKNOWN, nmi_comes, 0,
						      "quarry_torture");
}

static void nmi_end(void)
{
	if (nmi_registered)
		unregister_nmi_handler(NMI_UNKNOWN, "quarry_torture");
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
		act(actor, nr);
		local_bh_enable();
		break;
	case 1:
		local_irq_save(flags);
		act(actor, nr);
		local_irq_restore(flags);
		break;
	case 2:
		preempt_disable();
		act(actor, nr);
		preempt_enable();
		break;
	case 3:
		raw_spin_lock_irqsave(&raw, flags);
		act(actor, 1);
		raw_spin_unlock_irqrestore(&raw, flags);
		break;
	default:
		act(actor, nr);
	}
}

/* Some blocks stay long: a hand of them, freed when the next hand is taken. */
static void refresh_hand(struct actor *actor, u64 **hand)
{
	unsigned int i;

	for (i = 0; i < NR_HAND; i++) {
		give(&grounds[0], actor, hand[i]);
		hand[i] = take(&grounds[0], actor);
	}
}

/*
 * One thread a CPU, parked while the CPU is away; its timers go with it. Quarry
 * gives the CPU its magazines after the thread has begun, and takes them back
 * before it is parked: operations without them are met as well.
 */
static void work(unsigned int cpu)
{
	struct station *station = per_cpu_ptr(&stations, cpu);
	struct actor *actor = &station->actor[THREAD];

	act_somehow(actor);
	if (draw(actor) % 64 == 0)
		refresh_hand(actor, station->hand);
	cond_resched();
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
	struct station *station = per_cpu_ptr(&stations, cpu);
	int i;

	station_closes(cpu);
	for (i = 0; i < NR_HAND; i++)
		give(&grounds[0], &station->actor[THREAD], station->hand[i]);
}

static DEFINE_PER_CPU(struct task_struct *, workers);

static struct smp_hotplug_thread threads = {
	.store			= &workers,
	.thread_should_run	= has_work,
	.thread_fn		= work,
	.thread_comm		= "quarry_torture/%u",
	.setup			= station_opens,
	.unpark			= station_opens,
	.park			= station_closes,
	.cleanup		= station_ends,
};

static void grounds_destroy(void)
{
	int i;

	for (i = 0; i < NR_POOLS; i++) {
		quarry_pool_destroy(grounds[i].pool);
		vfree(grounds[i].owners);
	}
}

static u8 *end_of(struct quarry_pool *pool)
{
	u8 *first = quarry_pool_at(pool, 0), *second = quarry_pool_at(pool, 1);
	u32 nr = quarry_pool_capacity(pool);

	while (quarry_pool_at(pool, nr))
		nr++;
	return first + nr * (second - first);
}

static int grounds_create(void)
{
	int i;

	for (i = 0; i < NR_POOLS; i++) {
		struct quarry_pool_args args = { .flags = shapes[i].flags };
		struct ground *ground = &grounds[i];

		ground->words = shapes[i].size / sizeof(u64);
		ground->nr_owners = shapes[i].nr + shapes[i].nr / 8;
		ground->owners = vzalloc(array_size(ground->nr_owners,
						    sizeof(*ground->owners)));
		ground->pool = quarry_pool_create(shapes[i].name, shapes[i].size,
						  shapes[i].nr, &args);
		if (!ground->owners || IS_ERR(ground->pool)) {
			grounds_destroy();
			return -ENOMEM;
		}
		ground->zero = shapes[i].flags & QUARRY_POOL_ZERO_ON_FREE;
		ground->behind = end_of(ground->pool);
	}
	return 0;
}

static void fail(int i, const char *what, u64 found, u64 expected)
{
	scnprintf(verdict, sizeof(verdict), "%s: %s %llu, not %llu",
		  shapes[i].name, what, found, expected);
}

static void judge(int i)
{
	u64 wrong = atomic64_read(&wrong_frees[i]);
	struct quarry_pool_stats stats;
	int err;

	quarry_pool_get_stats(grounds[i].pool, &stats);
	if (stats.live)
		fail(i, "live", stats.live, 0);
	if (stats.allocs != stats.frees)
		fail(i, "allocs", stats.allocs, stats.frees);
	if (stats.refused != wrong)
		fail(i, "refused", stats.refused, wrong);
	if (stats.duplicates)
		fail(i, "duplicates", stats.duplicates, 0);
	err = quarry_pool_verify(grounds[i].pool);
	if (err)
		fail(i, "verify", -err, 0);
}

static void drain(void)
{
	struct actor *actor = &per_cpu_ptr(&stations, 0)->actor[THREAD];
	int i, slot;

	for (i = 0; i < NR_POOLS; i++)
		for (slot = 0; slot < NR_EXCHANGE; slot++)
			give(&grounds[i], actor,
			     xchg(&grounds[i].exchange[slot], NULL));
}

static void finish(struct work_struct *unused)
{
	u64 took = 0, gave = 0;
	int i, cpu, context;

	mutex_lock(&ending);
	if (done)
		goto out;
	smpboot_unregister_percpu_thread(&threads);
	nmi_end();
	drain();
	strscpy(verdict, "ok", sizeof(verdict));
	for (i = 0; i < NR_POOLS; i++)
		judge(i);
	for_each_possible_cpu(cpu) {
		for (context = 0; context <= NMI; context++) {
			took += per_cpu(stations, cpu).actor[context].took;
			gave += per_cpu(stations, cpu).actor[context].gave;
		}
	}
	if (took != gave)
		fail(0, "all together took", took, gave);
	for (i = 0; i < NR_TROUBLES; i++)
		if (atomic_read(&troubles[i]))
			scnprintf(verdict, sizeof(verdict), "blocks were %s",
				  trouble_names[i]);
	pr_info("quarry-expect-end\n");
	smp_store_release(&done, true);	/* pairs with result_show() */
out:
	mutex_unlock(&ending);
}

static DECLARE_DELAYED_WORK(finish_work, finish);

static void context_show(struct seq_file *seq, int context)
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
	seq_printf(seq, "%s_turns: %llu\n", context_names[context], sum.turns);
	seq_printf(seq, "%s_took: %llu\n", context_names[context], sum.took);
	seq_printf(seq, "%s_gave: %llu\n", context_names[context], sum.gave);
	seq_printf(seq, "%s_dry: %llu\n", context_names[context], sum.dry);
	seq_printf(seq, "%s_wrong: %llu\n", context_names[context], sum.wrong);
}

static int result_show(struct seq_file *seq, void *unused)
{
	bool over = smp_load_acquire(&done);	/* pairs with finish() */
	int i, errors = 0;

	seq_printf(seq, "state: %s\n", over ? "done" : "running");
	seq_printf(seq, "verdict: %s\n", over ? verdict : "none yet");
	for (i = 0; i < NR_TROUBLES; i++) {
		errors += atomic_read(&troubles[i]);
		seq_printf(seq, "%s: %d\n", trouble_names[i],
			   atomic_read(&troubles[i]));
	}
	seq_printf(seq, "errors: %d\n", errors);
	for (i = 0; i <= NMI; i++)
		context_show(seq, i);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(result);

static void station_init(int cpu)
{
	struct station *station = per_cpu_ptr(&stations, cpu);
	int context;

	for (context = 0; context <= NMI; context++) {
		struct actor *actor = &station->actor[context];

		actor->id = 1 + cpu * 4 + context;
		actor->state = (u64)seed << 32 | actor->id;
	}
	hrtimer_setup(&station->hard, hard_fires, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_setup(&station->soft, soft_fires, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_SOFT);
}

static int __init quarry_torture_init(void)
{
	int cpu, err;

	if (!seed)
		return -EINVAL;
	err = grounds_create();
	if (err)
		return err;
	for_each_possible_cpu(cpu)
		station_init(cpu);
	pr_info("quarry_torture: seed %u\n", seed);
	pr_info("quarry-expect-begin: quarry: pool \"torture-[^\"]*\": free refused|quarry__report: .* callbacks suppressed\n");
	nmi_begin();
	err = smpboot_register_percpu_thread(&threads);
	if (err) {
		nmi_end();
		drain();
		pr_info("quarry-expect-end\n");
		grounds_destroy();
		return err;
	}
	dir = debugfs_create_dir("quarry_torture", NULL);
	debugfs_create_file("result", 0400, dir, NULL, &result_fops);
	if (seconds)
		schedule_delayed_work(&finish_work, seconds * HZ);
	return 0;
}

static void __exit quarry_torture_exit(void)
{
	cancel_delayed_work_sync(&finish_work);
	finish(NULL);
	debugfs_remove(dir);
	pr_info("quarry_torture: verdict: %s\n", verdict);
	grounds_destroy();
}

module_init(quarry_torture_init);
module_exit(quarry_torture_exit);
MODULE_DESCRIPTION("Torture of quarry's pools in every context, with a verdict");
MODULE_LICENSE("GPL");
