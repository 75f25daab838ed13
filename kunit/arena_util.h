/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites of arenas share, besides kunit_util.h.
 */
#ifndef QUARRY_ARENA_UTIL_H
#define QUARRY_ARENA_UTIL_H

#include <quarry/arena.h>
#include "kunit_util.h"

KUNIT_DEFINE_ACTION_WRAPPER(destroy_arena_action, quarry_arena_destroy,
			    struct quarry_arena *);

/* An arena that is destroyed at the end of the test, whatever the test does. */
static inline struct quarry_arena *
create_arena(struct kunit *test, size_t first, const struct quarry_arena_args *args)
{
	struct quarry_arena *arena = quarry_arena_create("test", first, args);

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(arena), 0);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, destroy_arena_action,
							   arena));
	return arena;
}

/* Destroy now, and not at the end. */
static inline void destroy_arena(struct kunit *test, struct quarry_arena *arena)
{
	kunit_release_action(test, destroy_arena_action, arena);
}

static inline struct quarry_arena_stats arena_stats(struct quarry_arena *arena)
{
	struct quarry_arena_stats stats;

	quarry_arena_get_stats(arena, &stats);
	return stats;
}

static inline void expect_good_arena(struct kunit *test, struct quarry_arena *arena)
{
	KUNIT_EXPECT_EQ_MSG(test, quarry_arena_verify(arena), 0, "%s",
			    capture.last);
}

#endif /* QUARRY_ARENA_UTIL_H */
