// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bump and per-CPU arena in every context on every CPU at once: task, softirq, hard
 * irq, irq_work, NMI. The property: pieces never overlap, never leave the region,
 * and their sum with the padding is what the allocator says is used. Each piece is
 * filled with its owner's mark and looked at again at the end, when all pieces of
 * all actors are sorted by address.
 *
 * And resets among it: of a per-CPU arena behind readers, of a bump under allocs.
 */
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <quarry/bump.h>
#include <quarry/percpu_arena.h>

struct piece {
	unsigned long at;
	u32 size;
	u8 mark;
	u8 log_align;
};

/* What an actor keeps: @nr pieces of at most @room, and what it met. */
struct own {
	u32 nr;
	u32 room;
	u64 empty;
	u64 misaligned;
	struct piece *pieces;
	u32 dry;	/* turns in a row that found nothing, of a task */
	bool told;	/* that there were many */
};

#include "context_util.h"

static uint rounds = 3;
module_param(rounds, uint, 0400);
MODULE_PARM_DESC(rounds, "how often the region is filled");

#define REGION		SZ_1M
#define MAX_PIECES	12000
#define CHUNK		SZ_4K

/**
 * struct shared - what the actors share
 * @bump: the allocator, this
 * @arena: or that
 * @running: tasks that still find memory
 */
static struct shared {
	struct quarry_bump *bump;
	struct quarry_percpu_arena *arena;
	atomic_t running;
} shared;

static void *take(size_t size, size_t align)
{
	return shared.bump ? quarry_bump_alloc(shared.bump, size, align) :
			     quarry_percpu_arena_alloc(shared.arena, size, align);
}

/* With the hit path in place. */
static void *take_inline(void)
{
	return shared.bump ? quarry_bump_alloc_inline(shared.bump, 24, 8) :
			     quarry_percpu_arena_alloc_inline(shared.arena, 24, 8);
}

/* A piece of some size; true when there was one. */
static bool take_piece(struct actor *actor)
{
	struct own *own = &actor->own;
	u32 dice = next_random(actor);
	struct piece *p = &own->pieces[own->nr];
	void *at;

	WRITE_ONCE(actor->turns, actor->turns + 1);
	if (own->nr == own->room)
		return false;
	p->size = 1 + (dice >> 8) % 200;
	p->log_align = dice % 8;
	if (dice % 64 == 63)
		p->size = 1 + (dice >> 8) % (2 * CHUNK);
	if (dice & BIT(30)) {
		p->size = 24;
		p->log_align = 3;
		at = take_inline();
	} else {
		at = take(p->size, BIT(p->log_align));
	}
	if (!at) {
		own->empty++;
		return false;
	}
	p->at = (unsigned long)at;
	p->mark = dice >> 3;
	memset(at, p->mark, p->size);
	own->misaligned += !IS_ALIGNED(p->at, BIT(p->log_align));
	own->nr++;
	return true;
}

static void turn(struct actor *actor)
{
	take_piece(actor);
}

/*
 * Until a few turns in a row find nothing: the region is full. A smaller piece may be
 * found later all the same, and then nothing again; that is told once.
 */
static void task_turn(struct actor *actor)
{
	struct own *own = &actor->own;

	own->dry = take_piece(actor) ? 0 : own->dry + 1;
	if (own->dry == 20 && !own->told) {
		atomic_dec(&shared.running);
		own->told = true;
	}
	if (own->dry > 20)
		schedule_timeout_uninterruptible(1);
}

static const struct cast cast = {
	.turn		= turn,
	.task_turn	= task_turn,
	.timer_mode	= HRTIMER_MODE_REL_PINNED_HARD,
	.softirq_turns	= 4,
};

/* The actors of CPUs that are not possible have nothing to do. */
static void pieces_set(struct piece *pieces)
{
	u32 each = MAX_PIECES / (NR_CONTEXTS * num_possible_cpus());
	int context, cpu;

	for_each_possible_cpu(cpu) {
		for (context = 0; context < NR_CONTEXTS; context++) {
			struct own *own = &stage->actor[context][cpu].own;

			memset(own, 0, sizeof(*own));
			own->pieces = pieces;
			/* Tasks do most of the work. */
			own->room = context == IN_TASK ? 4 * each : each / 4;
			pieces += own->room;
		}
	}
}

static void stage_run(struct kunit *test)
{
	atomic_set(&shared.running, num_online_cpus());
	stage_begin(test);
	expect_comes_true(test, !atomic_read(&shared.running));
	stage_end();
}

static int by_address(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* All pieces of all actors, sorted, in the place of the first actor's. */
static u32 gather(struct piece *pieces)
{
	int context, cpu;
	u32 nr = 0;

	for_each_possible_cpu(cpu) {
		for (context = 0; context < NR_CONTEXTS; context++) {
			const struct own *own = &stage->actor[context][cpu].own;

			memmove(pieces + nr, own->pieces, own->nr * sizeof(*pieces));
			nr += own->nr;
		}
	}
	sort(pieces, nr, sizeof(*pieces), by_address, NULL);
	return nr;
}

static unsigned long next_free(const struct piece *p)
{
	return round_up(p->at + p->size, QUARRY_BUMP_LEAST_ALIGN);
}

/*
 * No overlap, marks whole. Bytes from piece to piece that are less than the
 * alignment of the second: they are its padding. The sum of both.
 */
static u64 expect_apart(struct kunit *test, const struct piece *pieces, u32 nr)
{
	u32 i, overlaps = 0, spoilt = 0;
	u64 sum = 0;

	for (i = 0; i < nr; i++) {
		const struct piece *p = &pieces[i];

		spoilt += !!memchr_inv((void *)p->at, p->mark, p->size);
		sum += p->size;
		if (!i)
			continue;
		overlaps += p[-1].at + p[-1].size > p->at;
		if (p->at - next_free(p - 1) < BIT(p->log_align))
			sum += p->at - (p[-1].at + p[-1].size);
	}
	KUNIT_EXPECT_EQ(test, overlaps, 0);
	KUNIT_EXPECT_EQ(test, spoilt, 0);
	return sum;
}

static void expect_bump(struct kunit *test, const struct piece *pieces, u32 nr)
{
	u64 sum = expect_apart(test, pieces, nr);
	u8 *first = (u8 *)pieces[0].at, *last;

	last = (u8 *)pieces[nr - 1].at + pieces[nr - 1].size - 1;
	KUNIT_EXPECT_TRUE(test, quarry_bump_owns(shared.bump, first, QUARRY_BUMP_ANY_GEN));
	KUNIT_EXPECT_TRUE(test, quarry_bump_owns(shared.bump, last, QUARRY_BUMP_ANY_GEN));
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(shared.bump, last + 1,
						  QUARRY_BUMP_ANY_GEN));
	/* The region begins at a page: the first piece has no padding. */
	KUNIT_EXPECT_EQ(test, sum, quarry_bump_used(shared.bump));
	KUNIT_EXPECT_EQ(test, last + 1 - first, quarry_bump_used(shared.bump));
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(shared.bump), 0);
}

/* A small rest at a chunk's end looks like padding of the piece behind it. */
static void expect_arena(struct kunit *test, const struct piece *pieces, u32 nr)
{
	u64 sum = expect_apart(test, pieces, nr);
	struct quarry_percpu_arena_stats s;

	quarry_percpu_arena_get_stats(shared.arena, &s);
	KUNIT_EXPECT_TRUE(test, quarry_percpu_arena_owns(shared.arena,
							 (void *)pieces[0].at));
	KUNIT_EXPECT_TRUE(test,
			  quarry_percpu_arena_owns(shared.arena,
						   (u8 *)pieces[nr - 1].at +
						   pieces[nr - 1].size - 1));
	KUNIT_EXPECT_EQ(test, s.capacity, s.used + s.left + s.retired + s.cached +
			s.shared + s.tails + s.wasted);
	KUNIT_EXPECT_GE(test, sum, s.used);
	KUNIT_EXPECT_LE(test, sum, s.used + s.cached + s.shared + s.tails + s.wasted);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_verify(shared.arena), 0);
	kunit_info(test, "refills %llu bypass %llu large %llu recycled %llu wasted %llu",
		   s.refills, s.bypass, s.large, s.recycled, s.wasted);
}

static u64 misaligned(void)
{
	int context, cpu;
	u64 nr = 0;

	for_each_possible_cpu(cpu)
		for (context = 0; context < NR_CONTEXTS; context++)
			nr += stage->actor[context][cpu].own.misaligned;
	return nr;
}

static void play(struct kunit *test)
{
	struct piece *pieces = vmalloc(MAX_PIECES * sizeof(*pieces));
	unsigned long end = jiffies;
	uint round;
	u32 nr;

	KUNIT_ASSERT_NOT_NULL(test, pieces);
	for (round = 0; round < rounds || race_goes_on(end, all_took_part()); round++) {
		pieces_set(pieces);
		stage_run(test);
		KUNIT_EXPECT_EQ(test, misaligned(), 0);
		nr = gather(pieces);
		KUNIT_EXPECT_GT(test, nr, 500);
		if (nr && shared.bump) {
			expect_bump(test, pieces, nr);
			quarry_bump_reset(shared.bump);
		} else if (nr) {
			expect_arena(test, pieces, nr);
			KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(shared.arena), 0);
		}
	}
	tell_turns(test);
	KUNIT_EXPECT_TRUE(test, all_took_part());
	vfree(pieces);
}

static void stage_bump(struct kunit *test)
{
	stage_get(test, &cast);
	shared = (struct shared) { .bump = quarry_bump_create("context", REGION, NULL) };
	KUNIT_ASSERT_FALSE(test, IS_ERR(shared.bump));
}

static void stage_arena(struct kunit *test)
{
	const struct quarry_percpu_arena_args args = { .chunk = CHUNK };

	stage_get(test, &cast);
	shared = (struct shared) {
		.arena = quarry_percpu_arena_create("context", REGION, &args),
	};
	KUNIT_ASSERT_FALSE(test, IS_ERR(shared.arena));
}

static void bump_in_all_contexts(struct kunit *test)
{
	stage_bump(test);
	play(test);
	quarry_bump_destroy(shared.bump);
}

static void percpu_arena_in_all_contexts(struct kunit *test)
{
	stage_arena(test);
	play(test);
	quarry_percpu_arena_destroy(shared.arena);
}

/* NMIs are the monitor's of the VM, which sends some while this runs. */
static void play_until_an_nmi(struct kunit *test)
{
	unsigned long end = jiffies + NMI_TIME;

	do
		play(test);
	while (!turns_of(IN_NMI) && time_before(jiffies, end));
}

static void bump_in_nmis(struct kunit *test)
{
	stage_bump(test);
	play_until_an_nmi(test);
	quarry_bump_destroy(shared.bump);
	need_nmis(test, turns_of(IN_NMI));
}

static void percpu_arena_in_nmis(struct kunit *test)
{
	stage_arena(test);
	play_until_an_nmi(test);
	quarry_percpu_arena_destroy(shared.arena);
	need_nmis(test, turns_of(IN_NMI));
}

/* A bump that is reset while all allocate: each piece is whole, of some generation. */

struct racer {
	struct quarry_bump *bump;
	struct quarry_percpu_arena *arena;
	u64 pieces, wrong, empty;
};

static int race_bump(void *arg)
{
	struct racer *r = arg;
	u32 gen, now;

	while (!kthread_should_stop()) {
		u8 *p = quarry_bump_alloc_gen(r->bump, 64, 64, &gen);

		now = quarry_bump_generation(r->bump);
		if (!p) {
			r->empty++;
		} else {
			WRITE_ONCE(r->pieces, r->pieces + 1);
			r->wrong += gen == now &&
				    !quarry_bump_owns(r->bump, p, gen) &&
				    quarry_bump_generation(r->bump) == gen;
			r->wrong += gen > now;
		}
		cond_resched();
	}
	return 0;
}

/*
 * Readers and writers of a per-CPU arena that is reset behind them: what is written
 * into a piece, in a read-side section that began before the alloc, is there until
 * that section ends.
 */
static int race_arena(void *arg)
{
	struct racer *r = arg;
	u8 *p[8];
	u64 mark;
	int i;

	while (!kthread_should_stop()) {
		rcu_read_lock();
		mark = r->pieces;
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			p[i] = quarry_percpu_arena_alloc(r->arena, 64, 8);
			if (p[i])
				memset(p[i], mark + i + (unsigned long)r, 64);
			else
				r->empty++;
		}
		for (i = 0; i < ARRAY_SIZE(p); i++)
			if (p[i] && memchr_inv(p[i], (u8)(mark + i + (unsigned long)r), 64))
				r->wrong++;
		WRITE_ONCE(r->pieces, mark + ARRAY_SIZE(p));
		rcu_read_unlock();
		cond_resched();
	}
	return 0;
}

static atomic_t callbacks;

static void count_callback(void *arg)
{
	atomic_inc(&callbacks);
}

static unsigned long reset_all(struct racer *r)
{
	if (r->bump)
		return quarry_bump_reset(r->bump), 1;
	return !quarry_percpu_arena_reset_rcu(r->arena, count_callback, NULL);
}

static u64 pieces_of(const struct racer *racers)
{
	u64 pieces = 0;
	int cpu;

	for_each_online_cpu(cpu)
		pieces += READ_ONCE(racers[cpu].pieces);
	return pieces;
}

/* Racers on all CPUs, and resets from here; how many. */
static unsigned long race(struct kunit *test, struct racer *racers,
			  int (*fn)(void *arg))
{
	static struct task_struct *tasks[NR_CPUS];
	unsigned long end = jiffies + some_of(HZ), resets = 0;
	int cpu, i;

	for_each_online_cpu(cpu) {
		tasks[cpu] = kthread_create(fn, &racers[cpu], "quarry_race");
		KUNIT_ASSERT_FALSE(test, IS_ERR(tasks[cpu]));
		kthread_bind(tasks[cpu], cpu);
		wake_up_process(tasks[cpu]);
	}
	while (race_goes_on(end, pieces_of(racers) > 100 && resets > 3)) {
		for (i = 0; i < 20; i++)
			resets += reset_all(&racers[cpumask_first(cpu_online_mask)]);
		schedule_timeout_uninterruptible(1);
	}
	for_each_online_cpu(cpu)
		kthread_stop(tasks[cpu]);
	return resets;
}

static void expect_race(struct kunit *test, struct racer *racers,
			unsigned long resets)
{
	u64 pieces = pieces_of(racers), wrong = 0, empty = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		wrong += racers[cpu].wrong;
		empty += racers[cpu].empty;
	}
	kunit_info(test, "%llu pieces, %llu NULL, %lu resets", pieces, empty, resets);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_GT(test, pieces, 100);
	KUNIT_EXPECT_GT(test, resets, 3);
}

static struct racer *racers_get(struct kunit *test, struct quarry_bump *bump,
				struct quarry_percpu_arena *arena)
{
	struct racer *racers = kunit_kcalloc(test, nr_cpu_ids, sizeof(*racers),
					     GFP_KERNEL);
	int cpu;

	KUNIT_ASSERT_NOT_NULL(test, racers);
	for_each_possible_cpu(cpu) {
		racers[cpu].bump = bump;
		racers[cpu].arena = arena;
	}
	return racers;
}

static void bump_is_reset_under_allocs(struct kunit *test)
{
	struct quarry_bump *bump = quarry_bump_create("race", SZ_64K, NULL);
	struct racer *racers;

	KUNIT_ASSERT_FALSE(test, IS_ERR(bump));
	racers = racers_get(test, bump, NULL);
	expect_race(test, racers, race(test, racers, race_bump));
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), 0);
	quarry_bump_destroy(bump);
}

static void arena_is_reset_behind_readers(struct kunit *test)
{
	const struct quarry_percpu_arena_args args = { .chunk = 1024 };
	struct quarry_percpu_arena *arena;
	struct quarry_percpu_arena_stats s;
	struct racer *racers;
	unsigned long resets;

	arena = quarry_percpu_arena_create("race", SZ_256K, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(arena));
	racers = racers_get(test, NULL, arena);
	atomic_set(&callbacks, 0);
	resets = race(test, racers, race_arena);
	expect_race(test, racers, resets);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_read(&callbacks), resets);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_verify(arena), 0);
	quarry_percpu_arena_get_stats(arena, &s);
	KUNIT_EXPECT_EQ(test, s.retired, 0);
	KUNIT_EXPECT_EQ(test, s.pending, 0);
	KUNIT_EXPECT_EQ(test, s.capacity, s.used + s.left + s.cached + s.shared +
			s.tails + s.wasted);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	quarry_percpu_arena_get_stats(arena, &s);
	KUNIT_EXPECT_EQ(test, s.left, s.capacity);
	quarry_percpu_arena_destroy(arena);
}

static struct kunit_case context_cases[] = {
	KUNIT_CASE(bump_in_all_contexts),
	KUNIT_CASE(percpu_arena_in_all_contexts),
	KUNIT_CASE(bump_in_nmis),
	KUNIT_CASE(percpu_arena_in_nmis),
	KUNIT_CASE(bump_is_reset_under_allocs),
	KUNIT_CASE(arena_is_reset_behind_readers),
	{}
};

static struct kunit_suite context_suite = {
	.name = "quarry_bump_context",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = context_cases,
};

kunit_test_suite(context_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: bump and per-CPU arena in every context");
MODULE_LICENSE("GPL");
