/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the stack's suites share.
 */
#ifndef QUARRY_STACK_UTIL_H
#define QUARRY_STACK_UTIL_H

#include <quarry/stack.h>
#include "kasan_util.h"
#include "kunit_util.h"

KUNIT_DEFINE_ACTION_WRAPPER(destroy_stack_action, quarry_stack_destroy,
			    struct quarry_stack *);

static inline struct quarry_stack *
create_stack(struct kunit *test, size_t size, const struct quarry_stack_args *args)
{
	struct quarry_stack *stack = quarry_stack_create("stack", size, args);

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(stack), 0);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test,
							   destroy_stack_action,
							   stack));
	return stack;
}

static inline struct quarry_stack_stats figures(struct quarry_stack *stack)
{
	struct quarry_stack_stats stats;

	quarry_stack_get_stats(stack, &stats);
	return stats;
}

static inline void expect_sound(struct kunit *test, struct quarry_stack *stack)
{
	KUNIT_EXPECT_EQ_MSG(test, quarry_stack_verify(stack), 0, "%s",
			    capture.last);
}

/* One refusal: one report, one counter, nothing else. */
static inline void expect_refusal(struct kunit *test, struct quarry_stack *stack,
				  struct quarry_stack_stats before,
				  size_t counter, const char *why)
{
	struct quarry_stack_stats after = figures(stack);

	expect_reports(test, 1, why);
	before.refused++;
	++*(u64 *)((void *)&before + counter);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
}

#define REFUSED(name) offsetof(struct quarry_stack_stats, refused_##name)

#endif /* QUARRY_STACK_UTIL_H */
