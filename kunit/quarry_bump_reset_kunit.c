// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets of bump and per-CPU arena from hard irq and NMI, from two CPUs at the same
 * time, among allocs of all CPUs, and with grace periods that end in the wrong order.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/workqueue.h>
#include <quarry/bump.h>
#include "irq_util.h"
#include "nmi_util.h"
#include "percpu_arena_util.h"

/* Resets in a context of their own */

struct reset_run {
	struct quarry_bump *bump;
	struct quarry_percpu_arena *arena;
	bool rcu;
	bool hardirq, nmi;	/* where it was */
	u32 generation;
	int result;
};

static void reset_here(void *arg)
{
	struct reset_run *run = arg;

	run->hardirq = in_hardirq();
	run->nmi = in_nmi();
	if (run->bump)
		run->generation = quarry_bump_reset(run->bump);
	else if (run->rcu)
		run->result = quarry_percpu_arena_reset_rcu(run->arena, NULL, NULL);
	else
		run->result = quarry_percpu_arena_reset(run->arena);
}

KUNIT_DEFINE_ACTION_WRAPPER(destroy_bump_action, quarry_bump_destroy,
			    struct quarry_bump *);

static struct quarry_bump *create_bump(struct kunit *test)
{
	struct quarry_bump *bump = quarry_bump_create("reset", 1000, NULL);

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(bump), 0);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, destroy_bump_action,
							   bump));
	return bump;
}

static void expect_bump_empty(struct kunit *test, const struct reset_run *run, u8 *piece)
{
	struct quarry_bump *bump = run->bump;

	KUNIT_EXPECT_EQ(test, run->generation, 1);
	KUNIT_EXPECT_EQ(test, quarry_bump_generation(bump), 1);
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 0);
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, piece, 0));
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc(bump, 100, 8), (void *)piece);
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), 0);
}

static void bump_is_reset_in_a_hard_irq(struct kunit *test)
{
	struct reset_run run = { .bump = create_bump(test) };
	u8 *piece = quarry_bump_alloc(run.bump, 100, 8);

	run_in_irq(reset_here, &run);
	KUNIT_EXPECT_TRUE(test, run.hardirq);
	expect_bump_empty(test, &run, piece);
}

static void bump_is_reset_in_an_nmi(struct kunit *test)
{
	struct reset_run run = { .bump = create_bump(test) };
	u8 *piece = quarry_bump_alloc(run.bump, 100, 8);

	need_nmi(test, reset_here, &run);
	KUNIT_EXPECT_TRUE(test, run.nmi);
	expect_bump_empty(test, &run, piece);
}

/* Every CPU has a chunk, and there is a rest on the list. */
static struct quarry_percpu_arena *create_used(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	struct job job = { arena, 64, 8, 3 };
	int cpu;

	for_each_online_cpu(cpu)
		KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, take_job, &job), 3);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, CHUNK + 8, 8));
	return arena;
}

static void expect_arena_empty(struct kunit *test, const struct reset_run *run)
{
	struct quarry_percpu_arena *arena = run->arena;
	struct job job = { arena, 64, 8, 1 };
	int cpu;

	KUNIT_EXPECT_EQ(test, run->result, 0);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, figures(arena).left, 8 * CHUNK);
	KUNIT_EXPECT_EQ(test, figures(arena).resets, 1);
	expect_good(test, arena);
	for_each_online_cpu(cpu)
		KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, take_job, &job), 1);
	KUNIT_EXPECT_EQ(test, figures(arena).used, 64 * num_online_cpus());
	expect_good(test, arena);
}

static void arena_is_reset_in_a_hard_irq(struct kunit *test)
{
	struct reset_run run = { .arena = create_used(test) };

	run_in_irq(reset_here, &run);
	KUNIT_EXPECT_TRUE(test, run.hardirq);
	expect_arena_empty(test, &run);
}

static void arena_is_reset_in_an_nmi(struct kunit *test)
{
	struct reset_run run = { .arena = create_used(test) };

	need_nmi(test, reset_here, &run);
	KUNIT_EXPECT_TRUE(test, run.nmi);
	expect_arena_empty(test, &run);
}

static void reset_rcu_in_a_hard_irq(struct kunit *test)
{
	struct reset_run run = { .arena = create_used(test), .rcu = true };

	run_in_irq(reset_here, &run);
	KUNIT_EXPECT_TRUE(test, run.hardirq);
	expect_arena_empty(test, &run);
}

/* RCU's callbacks cannot be asked for there. */
static void reset_rcu_is_refused_in_an_nmi(struct kunit *test)
{
	struct reset_run run = { .arena = create_used(test), .rcu = true };
	struct quarry_percpu_arena_stats before = figures(run.arena), after;

	need_nmi(test, reset_here, &run);
	KUNIT_EXPECT_TRUE(test, run.nmi);
	KUNIT_EXPECT_EQ(test, run.result, -EINVAL);
	expect_reports(test, 1, "reset_rcu refused in an NMI");
	after = figures(run.arena);
	before.refused++;
	before.refused_bad++;
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(run.arena, NULL, NULL), 0);
	rcu_barrier();
	expect_good(test, run.arena);
}

/* Two at once */

struct resetter {
	struct quarry_percpu_arena *arena;
	u64 done, busy, odd;
	struct hrtimer timer;
};

static void reset_once(struct resetter *r)
{
	int err = quarry_percpu_arena_reset(r->arena);

	WRITE_ONCE(r->done, r->done + !err);
	WRITE_ONCE(r->busy, r->busy + (err == -EBUSY));
	r->odd += err && err != -EBUSY;
}

static int reset_for_ever(void *arg)
{
	while (!kthread_should_stop()) {
		reset_once(arg);
		cond_resched();
	}
	return 0;
}

static u64 busy_of(const struct resetter *r)
{
	return READ_ONCE(r[0].busy) + READ_ONCE(r[1].busy);
}

static void expect_resets(struct kunit *test, const struct resetter *r)
{
	struct quarry_percpu_arena *arena = r[0].arena;

	KUNIT_EXPECT_GT(test, busy_of(r), 0);
	KUNIT_EXPECT_GT(test, r[0].done, 0);
	KUNIT_EXPECT_EQ(test, r[0].odd + r[1].odd, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).resets, r[0].done + r[1].done);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 8 * CHUNK);
	expect_good(test, arena);
}

static void two_cpus_reset_at_once(struct kunit *test)
{
	int this = this_cpu_of_test(), cpu = other_cpu(this), i;
	struct task_struct *tasks[2];
	struct resetter r[2] = { };

	if (cpu < 0)
		kunit_skip(test, "one CPU only");
	r[0].arena = create_used(test);
	r[1].arena = r[0].arena;
	for (i = 0; i < 2; i++) {
		tasks[i] = kthread_create(reset_for_ever, &r[i], "quarry_reset");
		KUNIT_ASSERT_FALSE(test, IS_ERR(tasks[i]));
		kthread_bind(tasks[i], i ? cpu : this);
		wake_up_process(tasks[i]);
	}
	/* Neither keeps the other from its turn. */
	expect_comes_true(test, busy_of(r) && READ_ONCE(r[0].done) &&
			  READ_ONCE(r[1].done));
	for (i = 0; i < 2; i++)
		kthread_stop(tasks[i]);
	expect_resets(test, r);
}

static enum hrtimer_restart reset_in_irq(struct hrtimer *timer)
{
	reset_once(container_of(timer, struct resetter, timer));
	hrtimer_forward_now(timer, ns_to_ktime(300 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

/* One that interrupts another on its CPU cannot wait for it. */
static void an_interrupt_resets_within_a_reset(struct kunit *test)
{
	unsigned long end = jiffies;
	struct resetter r[2] = { };

	r[0].arena = create_used(test);
	r[1].arena = r[0].arena;
	hrtimer_setup(&r[1].timer, reset_in_irq, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&r[1].timer, ns_to_ktime(300 * NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
	while (race_goes_on(end, READ_ONCE(r[1].busy) && r[0].done)) {
		reset_once(&r[0]);
		cond_resched();
	}
	hrtimer_cancel(&r[1].timer);
	KUNIT_EXPECT_EQ(test, r[0].busy, 0);
	expect_resets(test, r);
}

/*
 * Among allocs. What an alloc gets at the very instant of a reset is of before or of
 * after; but one that begins and ends in the same generation is of that, and its piece is
 * apart from all others of it.
 */

#define MAX_PIECES	4000

struct piece {
	u32 gen;
	u32 size;
	unsigned long at;
};

struct taker {
	struct quarry_percpu_arena *arena;
	struct piece *pieces;
	u32 nr;
	u64 empty, crossed, misplaced;
};

static u32 gen_of(struct quarry_percpu_arena *arena)
{
	return ring_gen(atomic64_read_acquire(&arena->ring));
}

static void add_piece(struct taker *t, u32 gen, u32 size, void *p)
{
	t->pieces[t->nr] = (struct piece) { gen, size, (unsigned long)p };
	WRITE_ONCE(t->nr, t->nr + 1);
}

static int take_for_ever(void *arg)
{
	struct taker *t = arg;
	u32 turn = 0;

	while (!kthread_should_stop()) {
		u32 gen = gen_of(t->arena), size = 16 + turn++ % 7 * 40;
		void *p = quarry_percpu_arena_alloc(t->arena, size, 8);

		smp_rmb();	/* no partner: the look comes after the alloc */
		if (!p)
			t->empty++;
		else if (!quarry_percpu_arena_owns(t->arena, p))
			t->misplaced++;
		else if (gen % 2 || gen_of(t->arena) != gen)
			t->crossed++;
		else if (t->nr < MAX_PIECES)
			add_piece(t, gen, size, p);
		cond_resched();
	}
	return 0;
}

static int by_generation(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->gen != y->gen)
		return x->gen < y->gen ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static u64 overlaps(const struct piece *pieces, u32 nr)
{
	u64 bad = 0;
	u32 i;

	for (i = 1; i < nr; i++)
		bad += pieces[i - 1].gen == pieces[i].gen &&
		       pieces[i - 1].at + pieces[i - 1].size > pieces[i].at;
	return bad;
}

/* All pieces in the first one's place; how many. */
static u32 gather(struct kunit *test, struct taker *takers, struct piece *pieces)
{
	u64 empty = 0, crossed = 0;
	u32 nr = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		struct taker *t = &takers[cpu];

		memmove(pieces + nr, t->pieces, t->nr * sizeof(*pieces));
		nr += t->nr;
		empty += t->empty;
		crossed += t->crossed;
		KUNIT_EXPECT_EQ(test, t->misplaced, 0);
		KUNIT_EXPECT_GT(test, t->nr, 0);
	}
	kunit_info(test, "%u pieces, %llu NULL, %llu across a reset", nr, empty,
		   crossed);
	sort(pieces, nr, sizeof(*pieces), by_generation, NULL);
	return nr;
}

static bool all_have_taken(const struct taker *takers)
{
	int cpu;

	for_each_online_cpu(cpu)
		if (!READ_ONCE(takers[cpu].nr))
			return false;
	return true;
}

/* The generation has 15 bits and must not come round meanwhile. */
static u32 reset_among(struct quarry_percpu_arena *arena, const struct taker *takers)
{
	unsigned long end = jiffies + some_of(2 * HZ);
	u32 resets = 0, i;

	while (race_goes_on(end, all_have_taken(takers) && resets > 10) && resets < 10000) {
		for (i = 0; i < 10; i++)
			resets += !quarry_percpu_arena_reset(arena);
		/* Past its time it waits for a CPU that stands still. */
		schedule_timeout_uninterruptible(time_before(jiffies, end) ? 1 : HZ / 10);
	}
	return resets;
}

static void arena_is_reset_among_allocs(struct kunit *test)
{
	struct taker *takers = kunit_kcalloc(test, nr_cpu_ids, sizeof(*takers), GFP_KERNEL);
	struct piece *pieces = kvcalloc(MAX_PIECES * nr_cpu_ids, sizeof(*pieces), GFP_KERNEL);
	struct quarry_percpu_arena *arena = create_used(test);
	struct task_struct *tasks[NR_CPUS > 64 ? 64 : NR_CPUS];
	u32 nr, resets;
	int cpu;

	KUNIT_ASSERT_NOT_NULL(test, takers);
	KUNIT_ASSERT_NOT_NULL(test, pieces);
	KUNIT_ASSERT_LE(test, nr_cpu_ids, ARRAY_SIZE(tasks));
	for_each_online_cpu(cpu) {
		takers[cpu].arena = arena;
		takers[cpu].pieces = pieces + cpu * MAX_PIECES;
		tasks[cpu] = kthread_create(take_for_ever, &takers[cpu], "quarry_taker");
		KUNIT_ASSERT_FALSE(test, IS_ERR(tasks[cpu]));
		kthread_bind(tasks[cpu], cpu);
		wake_up_process(tasks[cpu]);
	}
	resets = reset_among(arena, takers);
	for_each_online_cpu(cpu)
		kthread_stop(tasks[cpu]);
	nr = gather(test, takers, pieces);
	KUNIT_EXPECT_EQ(test, overlaps(pieces, nr), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).resets, resets);
	KUNIT_EXPECT_GT(test, resets, 10);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_verify(arena), 0);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 8 * CHUNK);
	expect_good(test, arena);
	kvfree(pieces);
}

/*
 * Grace periods in the wrong order. Two resets, one a CPU, wait for the same grace
 * period; before the first one's callback its CPU has another, which takes its time.
 */

struct lot {
	struct quarry_percpu_arena *arena;
	int order;
	u64 retired;		/* when its callback was called */
};

struct crossing {
	struct work_struct work;
	struct completion holding;
	struct rcu_head slow;
	bool go_on;
	struct lot lots[2];
	int result;
	atomic_t order;
	struct completion done[2];
};

static struct crossing crossing;

static void lot_came_back(void *arg)
{
	struct lot *lot = arg;

	lot->order = atomic_inc_return(&crossing.order);
	lot->retired = figures(lot->arena).retired;
	complete(&crossing.done[lot - crossing.lots]);
}

static void take_time(struct rcu_head *rcu)
{
	mdelay(300);
}

/* Holds off the grace period until both have asked for one. */
static void second_reset(struct work_struct *work)
{
	rcu_read_lock();
	complete(&crossing.holding);
	while (!READ_ONCE(crossing.go_on))
		cpu_relax();
	crossing.result = quarry_percpu_arena_reset_rcu(crossing.lots[1].arena,
							lot_came_back,
							&crossing.lots[1]);
	rcu_read_unlock();
}

static void cross(struct kunit *test, struct quarry_percpu_arena *arena, int cpu)
{
	int i, err;

	memset(&crossing, 0, sizeof(crossing));
	init_completion(&crossing.holding);
	for (i = 0; i < 2; i++) {
		crossing.lots[i].arena = arena;
		init_completion(&crossing.done[i]);
	}
	INIT_WORK(&crossing.work, second_reset);
	KUNIT_ASSERT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, CHUNK, 8));
	schedule_work_on(cpu, &crossing.work);
	wait_for_completion(&crossing.holding);
	call_rcu(&crossing.slow, take_time);
	err = quarry_percpu_arena_reset_rcu(arena, lot_came_back, &crossing.lots[0]);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 3 * CHUNK, 8));
	WRITE_ONCE(crossing.go_on, true);
	flush_work(&crossing.work);
	KUNIT_EXPECT_EQ(test, crossing.result, 0);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, CHUNK, 8));
	for (i = 0; i < 2; i++)
		wait_for_completion(&crossing.done[i]);
	rcu_barrier();
}

static void grace_periods_end_in_the_wrong_order(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	int cpu = other_cpu(this_cpu_of_test()), i;

	if (cpu < 0)
		kunit_skip(test, "one CPU only");
	for (i = 0; i < 10; i++) {
		cross(test, arena, cpu);
		KUNIT_EXPECT_EQ(test, figures(arena).retired, 0);
		KUNIT_EXPECT_EQ(test, figures(arena).left, 7 * CHUNK);
		expect_good(test, arena);
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
		if (crossing.lots[1].order < crossing.lots[0].order)
			break;
	}
	if (i == 10)
		kunit_skip(test, "the callbacks always came in order");
	/* Three chunks of the four came first, and the one of the other's was among them. */
	KUNIT_EXPECT_EQ(test, crossing.lots[1].retired, CHUNK);
	KUNIT_EXPECT_EQ(test, crossing.lots[0].retired, 0);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 8 * CHUNK, 8));
}

static struct kunit_case reset_cases[] = {
	KUNIT_CASE(bump_is_reset_in_a_hard_irq),
	KUNIT_CASE(bump_is_reset_in_an_nmi),
	KUNIT_CASE(arena_is_reset_in_a_hard_irq),
	KUNIT_CASE(arena_is_reset_in_an_nmi),
	KUNIT_CASE(reset_rcu_in_a_hard_irq),
	KUNIT_CASE(reset_rcu_is_refused_in_an_nmi),
	KUNIT_CASE(two_cpus_reset_at_once),
	KUNIT_CASE(an_interrupt_resets_within_a_reset),
	KUNIT_CASE(arena_is_reset_among_allocs),
	KUNIT_CASE(grace_periods_end_in_the_wrong_order),
	{}
};

static struct kunit_suite reset_suite = {
	.name = "quarry_bump_reset",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = reset_cases,
};

kunit_test_suite(reset_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: resets of bump and per-CPU arena");
MODULE_LICENSE("GPL");
