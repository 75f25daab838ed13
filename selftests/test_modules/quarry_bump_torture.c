// SPDX-License-Identifier: GPL-2.0-only
/*
 * Torture of bump and per-CPU arena: every context at once, with a verdict.
 *
 * All contexts (torture.h) take pieces of random sizes from one bump and one arena,
 * fill them and write them down. Some times a second all pause, and all pieces are
 * sorted by address. The property: they never overlap, never leave the region, are
 * filled as their owners left them, and their sum with the padding is the bump's
 * offset; the arena's parts add up to the whole. Then both are reset, and it begins
 * anew. CPUs may come and go meanwhile.
 *
 * A second arena is reset by reset_rcu() all the time, under the actors: what one
 * fills in a read-side section is whole until that section ends.
 */
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <quarry/quarry.h>
#include "torture.h"

#define NR_PIECES	1500	/* that an actor writes down in a round, of each */
#define NR_FEW		300	/* that a thread takes in every second round */
#define NR_HELD		8	/* pieces filled at once in a read-side section */
#define CHUNK		SZ_4K

enum {
	OVERLAP,	/* two pieces share a byte */
	TORN,		/* not filled as its owner left it */
	STRANGE,	/* outside the region, or misaligned */
	SUM,		/* pieces and padding are not what is used */
	RECYCLED,	/* another's bytes in a piece under rcu_read_lock() */
	INCONSISTENT,	/* verify is not content */
	LOST,		/* chunks do not come back */
};

struct piece {
	unsigned long at;
	u32 size;
	u8 log_align;
	u8 mark;
};

/* What an actor has written down; read by the judge while all pause. */
struct notes {
	u32 nr[2];
	struct piece *pieces[2];
};

static const char * const kinds[] = { "bump", "arena" };

static DEFINE_PER_CPU(struct notes [NR_CONTEXTS], notes);
static struct quarry_bump *bump;
static struct quarry_percpu_arena *arena, *rcu_arena;
static struct piece *sorted;
static struct task_struct *judge_task;
static bool paused;
static DECLARE_WAIT_QUEUE_HEAD(go_on);
static u64 rounds, resets, pieces_seen, refused_resets;
static atomic_t callbacks;

/*
 * Threads soon have all there is, and an interrupt hardly anything: in every second
 * round they leave most of it. The judge counts rounds while all pause, after a grace
 * period; who goes on with the former count takes more or less than he should, no harm.
 */
static u32 most_pieces(const struct actor *actor)
{
	bool thread = (actor->id - 1) % NR_CONTEXTS == THREAD;

	return thread && rounds % 2 ? NR_FEW : NR_PIECES;
}

/* One piece, written down. */
static void take_one(struct actor *actor)
{
	u32 dice = draw(actor), which = dice & 1;
	struct notes *own = actor->own;
	struct piece *p = &own->pieces[which][own->nr[which]];
	void *at;

	if (own->nr[which] >= most_pieces(actor))
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
	own->nr[which]++;
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
			trouble(RECYCLED, "rcu arena", i);
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

/*
 * Not until a timer fires: on PREEMPT_RT the thread that lets it is parked before this
 * one when the CPU goes, and the CPU would wait for us for ever.
 */
static void pause(unsigned int cpu)
{
	wait_event(go_on, !READ_ONCE(paused) || kthread_should_park() ||
		   kthread_should_stop());
}

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
			struct notes *own = &per_cpu(notes, cpu)[context];

			memcpy(sorted + nr, own->pieces[which],
			       array_size(own->nr[which], sizeof(*sorted)));
			nr += own->nr[which];
			own->nr[which] = 0;
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
			trouble(STRANGE, kinds[which], i);
		else if (memchr_inv((void *)p->at, p->mark, p->size))
			trouble(TORN, kinds[which], i);
		if (i && p[-1].at + p[-1].size > p->at)
			trouble(OVERLAP, kinds[which], i);
		/* A bump leaves no gap but padding. */
		if (i && !which && p->at - p[-1].at - p[-1].size >= 8 + BIT(p->log_align))
			trouble(SUM, kinds[which], i);
	}
	pieces_seen += nr;
	return nr ? sorted[nr - 1].at + sorted[nr - 1].size - sorted[0].at : 0;
}

static void judge_bump(void)
{
	u64 span = inspect(0, gather(0));

	/* The region begins at a page: the first piece has no padding. */
	if (span != quarry_bump_used(bump))
		trouble(SUM, "bump", 0);
	if (quarry_bump_verify(bump))
		trouble(INCONSISTENT, "bump", 0);
	quarry_bump_reset(bump);
}

static void judge_arena(void)
{
	struct quarry_percpu_arena_stats s;

	inspect(1, gather(1));
	quarry_percpu_arena_get_stats(arena, &s);
	if (s.capacity != s.used + s.left + s.cached + s.shared + s.tails + s.wasted)
		trouble(SUM, "arena", 0);
	if (quarry_percpu_arena_verify(arena) < 0)
		trouble(INCONSISTENT, "arena", 0);
	if (quarry_percpu_arena_reset(arena))
		trouble(LOST, "arena", 0);
	if (quarry_percpu_arena_used(arena))
		trouble(LOST, "arena", 0);
}

static void came_back(void *arg)
{
	atomic_inc(&callbacks);
}

static int judge_thread(void *unused)
{
	int i;

	/* Rounds are short: threads soon have all, and interrupts get nothing more. */
	while (!kthread_should_stop()) {
		for (i = 0; i < 10; i++) {
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
		wake_up_all(&go_on);
	}
	return 0;
}

/* After the last round: all of the arena that is reset comes back. */
static void judge_rcu_arena(void)
{
	struct quarry_percpu_arena_stats s;

	rcu_barrier();
	if (atomic_read(&callbacks) != resets)
		trouble(LOST, "rcu arena", 0);
	if (quarry_percpu_arena_verify(rcu_arena))
		trouble(INCONSISTENT, "rcu arena", 0);
	quarry_percpu_arena_get_stats(rcu_arena, &s);
	if (s.retired || s.pending)
		trouble(LOST, "rcu arena", 0);
	if (quarry_percpu_arena_reset(rcu_arena))
		trouble(LOST, "rcu arena", 0);
	quarry_percpu_arena_get_stats(rcu_arena, &s);
	if (s.left != s.capacity)
		trouble(LOST, "rcu arena", 0);
}

static void judge_stop(void)
{
	if (!IS_ERR_OR_NULL(judge_task))
		kthread_stop(judge_task);
	judge_task = NULL;
}

static void judge(void)
{
	judge_stop();
	judge_rcu_arena();
	if (!rounds)
		fail("all together", "rounds", rounds, 1);
}

static void show(struct seq_file *seq)
{
	seq_printf(seq, "rounds: %llu\n", data_race(rounds));	/* as it is */
	seq_printf(seq, "pieces: %llu\n", data_race(pieces_seen));	/* likewise */
	seq_printf(seq, "resets: %llu\n", data_race(resets));	/* likewise */
	seq_printf(seq, "refused_resets: %llu\n", data_race(refused_resets)); /* likewise */
}

static void stage_free(void)
{
	int cpu, i;

	judge_stop();
	for_each_possible_cpu(cpu)
		for (i = 0; i < 2 * NR_CONTEXTS; i++)
			vfree(per_cpu(notes, cpu)[i / 2].pieces[i % 2]);
	vfree(sorted);
	quarry_bump_destroy(bump);
	quarry_percpu_arena_destroy(arena);
	quarry_percpu_arena_destroy(rcu_arena);
}

static int notes_new(int cpu)
{
	bool good = true;
	int i;

	for (i = 0; i < NR_CONTEXTS; i++) {
		struct notes *own = &per_cpu(notes, cpu)[i];

		own->pieces[0] = vmalloc(NR_PIECES * sizeof(struct piece));
		own->pieces[1] = vmalloc(NR_PIECES * sizeof(struct piece));
		good &= own->pieces[0] && own->pieces[1];
		per_cpu_ptr(&stations, cpu)->actor[i].own = own;
	}
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
		err = err ?: notes_new(cpu);
	if (err || !sorted || IS_ERR(bump) || IS_ERR(arena) || IS_ERR(rcu_arena))
		return -ENOMEM;
	judge_task = kthread_run(judge_thread, NULL, "quarry_judge");
	return PTR_ERR_OR_ZERO(judge_task);
}

static const struct torture torture = {
	.make		= stage_make,
	.unmake		= stage_free,
	.nice		= 5,	/* for most of a round all is taken */
	.act		= act,
	.linger		= pause,
	.judge		= judge,
	.show		= show,
	.troubles	= {
		[OVERLAP]	= "overlap",
		[TORN]		= "torn",
		[STRANGE]	= "strange",
		[SUM]		= "sum",
		[RECYCLED]	= "recycled",
		[INCONSISTENT]	= "inconsistent",
		[LOST]		= "lost",
	},
};

MODULE_DESCRIPTION("Torture of quarry's bumps in every context, with a verdict");
MODULE_LICENSE("GPL");
