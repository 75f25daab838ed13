// SPDX-License-Identifier: GPL-2.0-only
/*
 * The per-CPU arena's rules, one a test: what is handed out and from where, what
 * cannot be used, what resets mean, what is refused.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "percpu_arena_util.h"

static void pieces_follow_each_other(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	u8 *a = quarry_percpu_arena_alloc(arena, 24, 8);
	u8 *b = quarry_percpu_arena_alloc(arena, 8, 8);

	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_EXPECT_PTR_EQ(test, b, a + 24);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_used(arena), 32);
	KUNIT_EXPECT_EQ(test, figures(arena).allocs, 2);
	KUNIT_EXPECT_EQ(test, figures(arena).hits, 1);
	KUNIT_EXPECT_EQ(test, figures(arena).refills, 1);
	KUNIT_EXPECT_EQ(test, figures(arena).cached, CHUNK - 32);
	KUNIT_EXPECT_TRUE(test, quarry_percpu_arena_owns(arena, a));
	KUNIT_EXPECT_FALSE(test, quarry_percpu_arena_owns(arena, test));
	expect_good(test, arena);
}

static void all_forms_agree(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	u8 *p = quarry_percpu_arena_alloc(arena, 40, 8);
	size_t size = 40, align = 8;

	OPTIMIZER_HIDE_VAR(size);
	OPTIMIZER_HIDE_VAR(align);
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc(arena, size, align),
			    (void *)(p + 40));
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc_inline(arena, 40, 8),
			    (void *)(p + 80));
	KUNIT_EXPECT_PTR_EQ(test,
			    quarry_percpu_arena_alloc_inline(arena, size, align),
			    (void *)(p + 120));
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc(arena, size, 8),
			    (void *)(p + 160));
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc_inline(arena, size, 64),
			    (void *)PTR_ALIGN(p + 200, 64));
	memset(p, 0xff, 40);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	p = quarry_percpu_arena_zalloc(arena, 40, 8);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, 40));
	KUNIT_EXPECT_EQ(test, figures(arena).allocs, 7);
}

static void pieces_are_aligned(struct kunit *test)
{
	static const size_t chunks[] = { 256, 1024, 4096, SZ_64K };
	size_t i, align;

	for (i = 0; i < ARRAY_SIZE(chunks); i++) {
		const struct quarry_percpu_arena_args args = { .chunk = chunks[i] };
		struct quarry_percpu_arena *arena = create_arena(test, SZ_1M, &args);

		for (align = 1; align <= QUARRY_PERCPU_ARENA_MAX_ALIGN; align *= 2) {
			u8 *p;

			KUNIT_EXPECT_NOT_NULL(test,
					      quarry_percpu_arena_alloc(arena, 1, 1));
			OPTIMIZER_HIDE_VAR(align);
			p = quarry_percpu_arena_alloc(arena, 200, align);
			KUNIT_ASSERT_NOT_NULL(test, p);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
			memset(p, 1, 200);
		}
		expect_good(test, arena);
		kunit_release_action(test, destroy_arena_action, arena);
	}
}

static void last_byte_can_be_had(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	struct job job = { arena, CHUNK, 1, 100 };

	KUNIT_EXPECT_EQ(test, take_job(&job), 4);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_used(arena), 4 * CHUNK);
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 1, 1));
	KUNIT_EXPECT_EQ(test, figures(arena).exhausted, 2);
	KUNIT_EXPECT_EQ(test, figures(arena).wasted, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).peak, 4 * CHUNK);
	expect_good(test, arena);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	job.size = 8;
	job.nr = 100000;
	KUNIT_EXPECT_EQ(test, take_job(&job), 4 * CHUNK / 8);
	expect_good(test, arena);
}

static void waste_is_counted(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	struct job job = { arena, 1536, 8, 100 };

	/* Two fit into a chunk, and leave 1024 bytes. */
	KUNIT_EXPECT_EQ(test, take_job(&job), 8);
	KUNIT_EXPECT_EQ(test, figures(arena).wasted, 3 * 1024);
	/* The last chunk was not given up for nothing. */
	KUNIT_EXPECT_EQ(test, figures(arena).cached, 1024);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 1024, 8));
	KUNIT_EXPECT_EQ(test, figures(arena).used, 4 * CHUNK - 3 * 1024);
	expect_good(test, arena);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).wasted, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).used, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 4 * CHUNK);
}

static void large_requests_get_chunks_in_a_row(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	u8 *p = quarry_percpu_arena_alloc(arena, 2 * CHUNK + 100, 64), *q;

	KUNIT_ASSERT_NOT_NULL(test, p);
	memset(p, 1, 2 * CHUNK + 100);
	KUNIT_EXPECT_EQ(test, figures(arena).large, 1);
	KUNIT_EXPECT_EQ(test, figures(arena).used, round_up(2 * CHUNK + 100, 1));
	KUNIT_EXPECT_EQ(test, figures(arena).tails, CHUNK - 100);
	expect_good(test, arena);
	/* What is left of them is not lost. */
	q = quarry_percpu_arena_alloc(arena, 8, 8);
	KUNIT_EXPECT_PTR_EQ(test, q, p + 2 * CHUNK + 104);
	KUNIT_EXPECT_EQ(test, figures(arena).recycled, 1);
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 5 * CHUNK + 1, 1));
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, SZ_1G, 1));
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, SIZE_MAX, 4096));
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 5 * CHUNK, 1));
	KUNIT_EXPECT_EQ(test, figures(arena).exhausted, 3);
	expect_good(test, arena);
}

/* Alignment that chunks do not have takes more of them. */
static void small_chunks_serve_large_alignments(struct kunit *test)
{
	const struct quarry_percpu_arena_args args = { .chunk = 256 };
	struct quarry_percpu_arena *arena = create_arena(test, SZ_64K, &args);
	int i;

	for (i = 0; i < 3; i++) {
		u8 *p = quarry_percpu_arena_alloc(arena, 64, 4096);

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, 4096));
		memset(p, 1, 64);
		KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 256, 1));
		expect_good(test, arena);
	}
	KUNIT_EXPECT_GT(test, figures(arena).tails, 0);
}

static void bad_requests_are_refused(struct kunit *test)
{
	static const size_t aligns[] = { 0, 3, 48, 4097, 8192, BIT(63), SIZE_MAX };
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	size_t i;

	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 0, 8));
	expect_reports(test, 1, "size 0");
	for (i = 0; i < ARRAY_SIZE(aligns); i++) {
		KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 8, aligns[i]));
		expect_reports(test, 1, "no power of two up to 4096");
	}
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc_inline(arena, 8, 48));
	expect_reports(test, 1, "align 48");
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_zalloc(arena, 0, 8));
	expect_reports(test, 1, "bad_requests_are_refused");
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_used(arena), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).refused_bad, 3 + ARRAY_SIZE(aligns));
	KUNIT_EXPECT_EQ(test, figures(arena).exhausted, 0);
}

/*
 * The bound: one CPU asks for everything while each other has begun a chunk. It
 * gets all but these, to the last byte.
 */
static void others_strand_a_chunk_each_at_most(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 16);
	struct job job = { arena, 64, 8, 1 };
	int cpu, this = this_cpu_of_test(), others = 0;
	struct quarry_percpu_arena_stats s;

	for_each_online_cpu(cpu) {
		if (cpu == this)
			continue;
		KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, take_job, &job), 1);
		others++;
	}
	job.nr = SZ_64K;
	KUNIT_EXPECT_EQ(test, work_on_cpu(this, take_job, &job),
			(16 - others) * CHUNK / 64);
	s = figures(arena);
	KUNIT_EXPECT_EQ(test, s.stranded_max, others * CHUNK);
	KUNIT_EXPECT_EQ(test, s.cached, others * (CHUNK - 64));
	KUNIT_EXPECT_LE(test, s.capacity - s.used, s.stranded_max);
	KUNIT_EXPECT_EQ(test, s.left, 0);
	expect_good(test, arena);
	/* And they can use them themselves. */
	for_each_online_cpu(cpu)
		if (cpu != this)
			KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, take_job, &job),
					CHUNK / 64 - 1);
	KUNIT_EXPECT_EQ(test, figures(arena).used, 16 * CHUNK);
}

/* As for an interrupt that comes while its CPU fetches a chunk. */
static void busy_cpu_goes_to_the_shared_chunk(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	struct quarry_percpu_hot *hot = (void *)arena;
	struct job job = { arena, 1024, 8, 1 };
	u8 *p = quarry_percpu_arena_alloc(arena, 64, 8), *q;
	struct quarry_percpu_cpu *cpu;
	unsigned long end;

	preempt_disable();
	cpu = this_cpu_ptr(hot->cpu);
	end = xchg(&cpu->end, 1);
	WRITE_ONCE(cpu->busy, 1);
	q = quarry_percpu_arena_alloc(arena, 64, 8);
	KUNIT_EXPECT_FALSE(test, q >= p && q < p + CHUNK);
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc(arena, 64, 8),
			    (void *)(q + 64));
	/* What does not fit into its rest gets another. */
	job.nr = 4;
	KUNIT_EXPECT_EQ(test, take_job(&job), 4);
	KUNIT_EXPECT_EQ(test, figures(arena).bypass, 6);
	KUNIT_EXPECT_EQ(test, figures(arena).wasted, CHUNK - 128 - 3 * 1024);
	WRITE_ONCE(cpu->busy, 0);
	xchg(&cpu->end, end);
	preempt_enable();
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc(arena, 64, 8),
			    (void *)(p + 64));
	expect_good(test, arena);
	/* At the end the shared chunk's rest can be had too. */
	job.nr = 100;
	KUNIT_EXPECT_EQ(test, take_job(&job), 3 + 4 + 3);
	KUNIT_EXPECT_EQ(test, figures(arena).shared, 0);
	expect_good(test, arena);
}

/* Resets */

static void reset_starts_anew(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	struct job job = { arena, 1000, 8, 1000 };
	u8 *p = quarry_percpu_arena_alloc(arena, 1000, 8);
	long nr = take_job(&job), i;

	for (i = 1; i <= 3; i++) {
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
		KUNIT_EXPECT_EQ(test, figures(arena).left, 4 * CHUNK);
		KUNIT_EXPECT_EQ(test, figures(arena).resets, i);
		expect_good(test, arena);
		KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc(arena, 1000, 8),
				    (void *)p);
		KUNIT_EXPECT_EQ(test, take_job(&job), nr);
	}
	KUNIT_EXPECT_EQ(test, figures(arena).peak, (nr + 1) * 1000);
}

/* The other CPUs' chunks are gone too. */
static void reset_reaches_all_cpus(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	struct job job = { arena, 64, 8, 1 };
	int cpu, round;

	for (round = 0; round < 3; round++) {
		for_each_online_cpu(cpu) {
			KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, take_job, &job), 1);
			expect_good(test, arena);
		}
		KUNIT_EXPECT_EQ(test, figures(arena).left,
				(8 - num_online_cpus()) * CHUNK);
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	}
}

/* Epochs have 14 bits; nothing is taken for fresh when they come round. */
static void epochs_come_round(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	long i;

	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, CHUNK + 8, 8));
	for (i = 0; i < 16384; i++) {
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
		if (i % 1024 == 0)
			cond_resched();
	}
	KUNIT_EXPECT_EQ(test, figures(arena).tails, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 4 * CHUNK);
	expect_good(test, arena);
}

struct called {
	struct completion done;
	int times;
};

static void call(void *arg)
{
	struct called *called = arg;

	called->times++;
	complete(&called->done);
}

static void reset_rcu_waits_for_readers(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	struct called called = { };
	u8 *p, *q;
	int err;

	init_completion(&called.done);
	p = quarry_percpu_arena_alloc(arena, 3 * CHUNK, 8);
	KUNIT_ASSERT_NOT_NULL(test, p);
	memset(p, 0x77, 3 * CHUNK);
	rcu_read_lock();
	err = quarry_percpu_arena_reset_rcu(arena, call, &called);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).retired, 3 * CHUNK);
	KUNIT_EXPECT_EQ(test, figures(arena).used, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).pending, 1);
	/* Fresh memory: five chunks are left. */
	q = quarry_percpu_arena_alloc(arena, 5 * CHUNK, 8);
	KUNIT_EXPECT_PTR_EQ(test, q, p + 3 * CHUNK);
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 8, 8));
	/* The old is as it was. */
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0x77, 3 * CHUNK));
	KUNIT_EXPECT_EQ(test, called.times, 0);
	rcu_read_unlock();
	wait_for_completion(&called.done);
	KUNIT_EXPECT_EQ(test, called.times, 1);
	KUNIT_EXPECT_EQ(test, figures(arena).retired, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).pending, 0);
	expect_good(test, arena);
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc(arena, 3 * CHUNK, 8),
			    (void *)p);
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 8, 8));
	expect_good(test, arena);
}

/* Round and round the ring, with whole pieces, some across what was its end. */
static void retired_chunks_are_a_ring(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 7);
	int i;

	for (i = 0; i < 20; i++) {
		u8 *p = quarry_percpu_arena_alloc(arena, 2 * CHUNK, 8);

		KUNIT_ASSERT_NOT_NULL(test, p);
		memset(p, i, 2 * CHUNK);
		KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 64, 8));
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(arena, NULL, NULL), 0);
		KUNIT_EXPECT_GE(test, figures(arena).retired, 3 * CHUNK);
		expect_good(test, arena);
		rcu_barrier();
		KUNIT_EXPECT_EQ(test, figures(arena).left, 7 * CHUNK);
		expect_good(test, arena);
	}
	/* A plain reset begins at the beginning again. */
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 7 * CHUNK, 8));
}

/* All chunks retired and none current, then all current and none retired. */
static void full_ring_is_not_an_empty_one(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	int err;

	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 4 * CHUNK, 8));
	KUNIT_EXPECT_EQ(test, figures(arena).used, 4 * CHUNK);
	rcu_read_lock();
	err = quarry_percpu_arena_reset_rcu(arena, NULL, NULL);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).retired, 4 * CHUNK);
	KUNIT_EXPECT_EQ(test, figures(arena).used, 0);
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 8, 8));
	/* There is nothing that a plain reset could free. */
	err = quarry_percpu_arena_reset(arena);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).retired, 4 * CHUNK);
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 8, 8));
	rcu_read_unlock();
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, figures(arena).left, 4 * CHUNK);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 4 * CHUNK, 8));
	expect_good(test, arena);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 4 * CHUNK);
}

/* Plain, with some retired: what is current goes, what is retired stays. */
static void reset_leaves_the_retired_alone(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	u8 *p = quarry_percpu_arena_alloc(arena, 3 * CHUNK, 8), *q;
	int err;

	rcu_read_lock();
	err = quarry_percpu_arena_reset_rcu(arena, NULL, NULL);
	KUNIT_EXPECT_EQ(test, err, 0);
	q = quarry_percpu_arena_alloc(arena, 2 * CHUNK, 8);
	KUNIT_EXPECT_PTR_EQ(test, q, p + 3 * CHUNK);
	err = quarry_percpu_arena_reset(arena);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).retired, 3 * CHUNK);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 5 * CHUNK);
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc(arena, 2 * CHUNK, 8),
			    (void *)q);
	rcu_read_unlock();
	rcu_barrier();
	expect_good(test, arena);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 6 * CHUNK);
}

static void pending_resets_are_bounded(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 16);
	struct called called = { };
	int i, err = 0;

	init_completion(&called.done);
	rcu_read_lock();
	for (i = 0; i < QUARRY_PERCPU_ARENA_MAX_PENDING && !err; i++) {
		quarry_percpu_arena_alloc(arena, 64, 8);
		err = quarry_percpu_arena_reset_rcu(arena, call, &called);
	}
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 64, 8));
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(arena, call, &called),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, figures(arena).used, 64);
	rcu_read_unlock();
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, called.times, QUARRY_PERCPU_ARENA_MAX_PENDING);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 15 * CHUNK);
	expect_good(test, arena);
}

/* Also one that is nested into another. */
static void resets_do_not_overlap(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	u64 odd = ring_word(1, false, 0, 0);

	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 64, 8));
	atomic64_add(odd, &arena->ring);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), -EBUSY);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(arena, NULL, NULL),
			-EBUSY);
	/* Allocs go on: a hit, and misses by the shared chunk. */
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 64, 8));
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, CHUNK - 64, 8));
	KUNIT_EXPECT_EQ(test, figures(arena).bypass, 1);
	KUNIT_EXPECT_EQ(test, figures(arena).refills, 1);
	atomic64_sub(odd, &arena->ring);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, CHUNK, 8));
	KUNIT_EXPECT_EQ(test, figures(arena).refills, 2);
	expect_good(test, arena);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
}

/* Takes its time, on a CPU where that does not keep destroy from going on. */
static void call_slowly(void *arg)
{
	struct called *called = arg;

	mdelay(100);
	WRITE_ONCE(called->times, called->times + 1);
}

struct slow_reset {
	struct work_struct work;
	struct completion queued;
	struct quarry_percpu_arena *arena;
	struct called called;
	int result;
};

/* No grace period ends before destroy is waiting for one, nor is anyone called. */
static void reset_slowly(struct work_struct *work)
{
	struct slow_reset *slow = container_of(work, struct slow_reset, work);

	rcu_read_lock();
	slow->result = quarry_percpu_arena_reset_rcu(slow->arena, call_slowly,
						     &slow->called);
	complete(&slow->queued);
	mdelay(200);
	rcu_read_unlock();
}

static void destroy_waits_for_callbacks(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	int this = this_cpu_of_test(), cpu = other_cpu(this);
	struct slow_reset slow = { .arena = arena };

	quarry_percpu_arena_alloc(arena, 64, 8);
	init_completion(&slow.queued);
	INIT_WORK_ONSTACK(&slow.work, reset_slowly);
	schedule_work_on(cpu < 0 ? this : cpu, &slow.work);
	wait_for_completion(&slow.queued);
	kunit_release_action(test, destroy_arena_action, arena);
	KUNIT_EXPECT_EQ(test, READ_ONCE(slow.called.times), 1);
	flush_work(&slow.work);
	destroy_work_on_stack(&slow.work);
	KUNIT_EXPECT_EQ(test, slow.result, 0);
	rcu_barrier();		/* of a failed test too: the callback writes here */
}

struct again {
	struct quarry_percpu_arena *arena;
	int times, refused;
};

static void call_again(void *arg)
{
	struct again *again = arg;

	again->times++;
	if (quarry_percpu_arena_reset_rcu(again->arena, call_again, again))
		WRITE_ONCE(again->refused, again->refused + 1);
}

/* A callback that asks for the next: none is called when the owner has gone. */
static void orphan_takes_no_callback(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	struct again again = { .arena = arena };

	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(arena, call_again, &again), 0);
	arena->object.kind->orphan(&arena->object);
	KUNIT_EXPECT_GT(test, again.times, 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(again.refused), 1);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(arena, call_again, &again),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(arena, NULL, NULL), 0);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, again.refused, 1);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 64, 8));
	expect_good(test, arena);
}

/* Hits too: whoever holds the handle still gets nothing of memory that is gone. */
static void dead_arena_serves_nothing(struct kunit *test)
{
	static u8 memory[5 * CHUNK] __aligned(CHUNK);
	struct quarry_percpu_arena_args args = {
		.memory = memory, .memory_size = sizeof(memory), .chunk = CHUNK,
	};
	struct quarry_percpu_arena *arena = create_arena(test, 5 * CHUNK, &args);

	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 64, 8));
	arena->object.kind->orphan(&arena->object);
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 64, 8));
	expect_reports(test, 1, "destroyed arena");
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc_inline(arena, 64, 8));
	expect_reports(test, 1, "destroyed arena");
	arena->closed = false;	/* to be destroyed */
}

/* A size that wraps round when it is added to an address of the hit path. */
static void size_does_not_wrap(struct kunit *test)
{
	static u8 memory[5 * CHUNK] __aligned(CHUNK);
	struct quarry_percpu_arena_args args = {
		.memory = memory, .memory_size = sizeof(memory), .chunk = CHUNK,
	};
	struct quarry_percpu_arena *arena = create_arena(test, 5 * CHUNK, &args);
	unsigned long wrap = -(unsigned long)memory;
	u8 *p = quarry_percpu_arena_alloc(arena, 64, 8);
	long off;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (off = -256; off <= 256; off += 64) {
		size_t size = wrap + off;

		OPTIMIZER_HIDE_VAR(size);
		KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, size, 8));
		KUNIT_EXPECT_NULL(test, quarry_percpu_arena_zalloc(arena, size, 8));
	}
	KUNIT_EXPECT_PTR_EQ(test, quarry_percpu_arena_alloc(arena, 64, 8), (void *)(p + 64));
	KUNIT_EXPECT_EQ(test, figures(arena).used, 128);
	expect_good(test, arena);
}

#ifdef CONFIG_HOTPLUG_CPU

/* A CPU that goes leaves the rest of its chunk, and it is had again. */
static void dead_cpu_gives_its_chunk_back(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	struct job job = { arena, 64, 8, 3 };
	int this = this_cpu_of_test(), cpu = other_cpu(this);
	u8 *last;

	if (cpu <= 0)
		kunit_skip(test, "no CPU that can go");
	KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, take_job, &job), 3);
	last = job.last;
	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).tails, CHUNK - 3 * 64);
	KUNIT_EXPECT_EQ(test, figures(arena).cached, 0);
	expect_good(test, arena);
	KUNIT_EXPECT_EQ(test, work_on_cpu(this, take_job, &job), 3);
	KUNIT_EXPECT_PTR_EQ(test, job.last, (void *)(last + 3 * 64));
	KUNIT_EXPECT_EQ(test, figures(arena).recycled, 1);
	KUNIT_EXPECT_EQ(test, figures(arena).tails, 0);
	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	job.nr = SZ_64K;
	/* All that is left, but for what the other CPU holds: nothing now. */
	KUNIT_EXPECT_EQ(test, work_on_cpu(this, take_job, &job),
			8 * CHUNK / 64 - 6);
	expect_good(test, arena);
}

/* A rest from before a reset is not handed out after it. */
static void dead_cpu_of_an_old_epoch_gives_nothing(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	struct job job = { arena, 64, 8, 3 };
	int cpu = other_cpu(this_cpu_of_test());

	if (cpu <= 0)
		kunit_skip(test, "no CPU that can go");
	KUNIT_EXPECT_EQ(test, work_on_cpu(cpu, take_job, &job), 3);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), 0);
	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).tails, 0);
	KUNIT_EXPECT_EQ(test, figures(arena).left, 8 * CHUNK);
	expect_good(test, arena);
	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
}

#else

static void dead_cpu_gives_its_chunk_back(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_HOTPLUG_CPU");
}

static void dead_cpu_of_an_old_epoch_gives_nothing(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_HOTPLUG_CPU");
}

#endif

/* Creation and handles */

static void lent_memory_may_begin_anywhere(struct kunit *test)
{
	static u8 memory[5 * CHUNK + 100] __aligned(CHUNK);
	struct quarry_percpu_arena_args args = {
		.memory = memory + 50, .memory_size = 5 * CHUNK,
		.chunk = 1024,
	};
	struct quarry_percpu_arena *arena = create_arena(test, 5 * CHUNK, &args);
	struct job job = { arena, 1024, 1024, 100 };

	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_capacity(arena), 19 * 1024);
	KUNIT_EXPECT_EQ(test, take_job(&job), 19);
	KUNIT_EXPECT_EQ(test, figures(arena).bytes_wasted, 1024);
	KUNIT_EXPECT_EQ(test, figures(arena).used, 19 * 1024);
	expect_good(test, arena);
}

struct bad_args {
	const char *what;
	const char *name;
	size_t size;
	struct quarry_percpu_arena_args args;
	int err;
};

static const struct bad_args bad_args[] = {
	{ "no name", NULL, SZ_64K, { }, -EINVAL },
	{ "size 0", "arena", 0, { }, -EINVAL },
	{ "size too small", "arena", 255, { }, -EINVAL },
	{ "size too large", "arena", QUARRY_PERCPU_ARENA_MAX_SIZE + 1, { }, -EOVERFLOW },
	{ "largest size", "arena", SIZE_MAX, { }, -EOVERFLOW },
	{ "unknown flag", "arena", SZ_64K, { .flags = BIT(16) }, -EINVAL },
	{ "chunk no power of two", "arena", SZ_64K, { .chunk = 3000 }, -EINVAL },
	{ "chunk too small", "arena", SZ_64K, { .chunk = 128 }, -EINVAL },
	{ "chunk too large", "arena", SZ_64M, { .chunk = SZ_16M }, -EINVAL },
	{ "chunk larger than all", "arena", SZ_64K, { .chunk = SZ_128K }, -EINVAL },
	{ "too many chunks", "arena", BIT(33), { .chunk = 256 }, -EINVAL },
	{ "memory too small", "arena", SZ_64K,
	  { .memory = &capture, .memory_size = 99 }, -EINVAL },
	{ "no room for a chunk", "arena", 256,
	  { .memory = (void *)&capture + 8, .memory_size = 256, .chunk = 256 },
	  -EINVAL },
};

static void bad_desc(const struct bad_args *p, char *desc)
{
	strscpy(desc, p->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(bad, bad_args, bad_desc);

static void bad_creation_is_refused(struct kunit *test)
{
	const struct bad_args *p = test->param_value;
	struct quarry_percpu_arena *arena =
		quarry_percpu_arena_create(p->name, p->size, &p->args);

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(arena), p->err);
	quarry_percpu_arena_destroy(arena);
}

static void chunk_is_chosen(struct kunit *test)
{
	static const size_t sizes[] = { 256, 1000, SZ_4K, SZ_64K + 1, SZ_1M, SZ_16M };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct quarry_percpu_arena *arena = create_arena(test, sizes[i], NULL);
		size_t chunk = quarry_percpu_arena_chunk(arena);

		KUNIT_EXPECT_TRUE(test, is_power_of_2(chunk));
		KUNIT_EXPECT_LE(test, chunk, min_t(size_t, sizes[i], SZ_64K));
		KUNIT_EXPECT_GE(test, quarry_percpu_arena_capacity(arena), sizes[i]);
		KUNIT_EXPECT_LT(test, quarry_percpu_arena_capacity(arena),
				sizes[i] + chunk);
		kunit_release_action(test, destroy_arena_action, arena);
	}
}

static void bad_context_and_layout_are_refused(struct kunit *test)
{
	struct quarry_percpu_arena *arena;

	local_irq_disable();
	arena = quarry_percpu_arena_create("arena", SZ_64K, NULL);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(arena), -EINVAL);
	arena = quarry_percpu_arena_create_owned(THIS_MODULE,
						 QUARRY_PERCPU_ARENA_LAYOUT + 1,
						 "arena", SZ_64K, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(arena), -EINVAL);
	arena = create_chunks(test, 4);
	local_irq_disable();
	quarry_percpu_arena_destroy(arena);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_verify(arena), -EINVAL);
	local_irq_enable();
	expect_reports(test, 1, "may not sleep");
	KUNIT_EXPECT_EQ(test, figures(arena).refused_bad, 1);
	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 8, 8));
}

static void no_handle_is_refused(struct kunit *test)
{
	struct quarry_percpu_arena *none[] = { NULL, ERR_PTR(-ENOMEM) };
	size_t i, eight = 8;

	OPTIMIZER_HIDE_VAR(eight);
	for (i = 0; i < ARRAY_SIZE(none); i++) {
		KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(none[i], 8, 8));
		expect_reports(test, 1, "not a per-CPU arena");
		KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(none[i], eight, 8));
		KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(none[i], eight, eight));
		KUNIT_EXPECT_NULL(test, quarry_percpu_arena_zalloc(none[i], 8, 8));
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(none[i]), -EINVAL);
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(none[i], NULL, NULL),
				-EINVAL);
		expect_reports(test, 5, "not a per-CPU arena");
		KUNIT_EXPECT_FALSE(test, quarry_percpu_arena_owns(none[i], test));
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_used(none[i]), 0);
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_capacity(none[i]), 0);
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_chunk(none[i]), 0);
		KUNIT_EXPECT_EQ(test, quarry_percpu_arena_verify(none[i]), -EINVAL);
		KUNIT_EXPECT_EQ(test, figures(none[i]).capacity, 0);
		quarry_percpu_arena_destroy(none[i]);
	}
}

static void destroyed_arena_serves_nothing(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 4);
	void *p = quarry_percpu_arena_alloc(arena, 8, 8);

	kunit_release_action(test, destroy_arena_action, arena);
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc(arena, 8, 8));
	expect_reports(test, 1, "destroyed arena");
	KUNIT_EXPECT_NULL(test, quarry_percpu_arena_alloc_inline(arena, 8, 8));
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset(arena), -EINVAL);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_reset_rcu(arena, NULL, NULL), -EINVAL);
	expect_reports(test, 3, "reset_rcu refused: destroyed arena");
	KUNIT_EXPECT_FALSE(test, quarry_percpu_arena_owns(arena, p));
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_used(arena), 0);
	KUNIT_EXPECT_EQ(test, figures(arena).refused_dead, 4);
	KUNIT_EXPECT_EQ(test, figures(arena).capacity, 0);
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_verify(arena), -EINVAL);
	quarry_percpu_arena_destroy(arena);
	expect_reports(test, 1, "destroyed twice, by destroyed");
	KUNIT_EXPECT_EQ(test, figures(arena).refused_dead, 5);
}

static void verify_sees_faults(struct kunit *test)
{
	struct quarry_percpu_arena *arena = create_chunks(test, 8);
	struct quarry_percpu_hot *hot = (void *)arena;
	struct quarry_percpu_cpu *cpu = per_cpu_ptr(hot->cpu, this_cpu_of_test());

	KUNIT_EXPECT_NOT_NULL(test, quarry_percpu_arena_alloc(arena, 64, 8));
	expect_good(test, arena);
	/* Another's chunk. */
	cpu->pos += CHUNK;
	cpu->end += CHUNK;
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_verify(arena), -EUCLEAN);
	expect_reports(test, 1, "which is not taken");
	cpu->pos -= CHUNK;
	cpu->end -= 8;
	KUNIT_EXPECT_EQ(test, quarry_percpu_arena_verify(arena), -EUCLEAN);
	expect_reports(test, 1, "before its chunk's end");
	cpu->end += 8;
	cpu->end -= CHUNK;
	expect_good(test, arena);
}

static struct kunit_case arena_cases[] = {
	KUNIT_CASE(pieces_follow_each_other),
	KUNIT_CASE(all_forms_agree),
	KUNIT_CASE(pieces_are_aligned),
	KUNIT_CASE(last_byte_can_be_had),
	KUNIT_CASE(waste_is_counted),
	KUNIT_CASE(large_requests_get_chunks_in_a_row),
	KUNIT_CASE(small_chunks_serve_large_alignments),
	KUNIT_CASE(bad_requests_are_refused),
	KUNIT_CASE(others_strand_a_chunk_each_at_most),
	KUNIT_CASE(busy_cpu_goes_to_the_shared_chunk),
	KUNIT_CASE(reset_starts_anew),
	KUNIT_CASE(reset_reaches_all_cpus),
	KUNIT_CASE(epochs_come_round),
	KUNIT_CASE(reset_rcu_waits_for_readers),
	KUNIT_CASE(retired_chunks_are_a_ring),
	KUNIT_CASE(full_ring_is_not_an_empty_one),
	KUNIT_CASE(reset_leaves_the_retired_alone),
	KUNIT_CASE(pending_resets_are_bounded),
	KUNIT_CASE(resets_do_not_overlap),
	KUNIT_CASE(destroy_waits_for_callbacks),
	KUNIT_CASE(orphan_takes_no_callback),
	KUNIT_CASE(dead_arena_serves_nothing),
	KUNIT_CASE(size_does_not_wrap),
	KUNIT_CASE(dead_cpu_gives_its_chunk_back),
	KUNIT_CASE(dead_cpu_of_an_old_epoch_gives_nothing),
	KUNIT_CASE(lent_memory_may_begin_anywhere),
	KUNIT_CASE_PARAM(bad_creation_is_refused, bad_gen_params),
	KUNIT_CASE(chunk_is_chosen),
	KUNIT_CASE(bad_context_and_layout_are_refused),
	KUNIT_CASE(no_handle_is_refused),
	KUNIT_CASE(destroyed_arena_serves_nothing),
	KUNIT_CASE(verify_sees_faults),
	{}
};

static struct kunit_suite arena_suite = {
	.name = "quarry_percpu_arena",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = arena_cases,
};

kunit_test_suite(arena_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the per-CPU arena");
MODULE_LICENSE("GPL");
