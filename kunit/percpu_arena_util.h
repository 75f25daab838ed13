/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites of per-CPU arenas share, besides kunit_util.h.
 */
#ifndef QUARRY_PERCPU_ARENA_UTIL_H
#define QUARRY_PERCPU_ARENA_UTIL_H

#include "../kmod/percpu_arena.h"
#include "kunit_util.h"

#define CHUNK	SZ_4K
#define LEAST	QUARRY_PERCPU_ARENA_LEAST_ALIGN

KUNIT_DEFINE_ACTION_WRAPPER(destroy_arena_action, quarry_percpu_arena_destroy,
			    struct quarry_percpu_arena *);

static inline struct quarry_percpu_arena *
create_arena(struct kunit *test, size_t size,
	     const struct quarry_percpu_arena_args *args)
{
	struct quarry_percpu_arena *arena;

	arena = quarry_percpu_arena_create("arena", size, args);
	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(arena), 0);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test,
							   destroy_arena_action,
							   arena));
	return arena;
}

/* Of so many chunks of CHUNK bytes. */
static inline struct quarry_percpu_arena *
create_chunks(struct kunit *test, size_t nr)
{
	const struct quarry_percpu_arena_args args = { .chunk = CHUNK };

	return create_arena(test, nr * CHUNK, &args);
}

static inline struct quarry_percpu_arena_stats
figures(struct quarry_percpu_arena *arena)
{
	struct quarry_percpu_arena_stats stats;

	quarry_percpu_arena_get_stats(arena, &stats);
	return stats;
}

static inline void expect_good(struct kunit *test,
			       struct quarry_percpu_arena *arena)
{
	struct quarry_percpu_arena_stats s = figures(arena);

	KUNIT_EXPECT_EQ_MSG(test, quarry_percpu_arena_verify(arena), 0, "%s",
			    capture.last);
	KUNIT_EXPECT_EQ(test, s.capacity, s.used + s.left + s.retired + s.cached +
			s.shared + s.tails + s.wasted);
}

/* For work_on_cpu(). */
struct job {
	struct quarry_percpu_arena *arena;
	size_t size, align, nr;
	void *last;
};

/* Up to @nr pieces; how many there were. */
static inline long take_job(void *arg)
{
	struct job *job = arg;
	size_t i;
	void *p;

	for (i = 0; i < job->nr; i++) {
		p = quarry_percpu_arena_alloc(job->arena, job->size, job->align);
		if (!p)
			break;
		job->last = p;
	}
	return i;
}

static inline int this_cpu_of_test(void)
{
	return cpumask_first(cpu_online_mask);
}

#endif /* QUARRY_PERCPU_ARENA_UTIL_H */
