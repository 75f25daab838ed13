/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the router's suites share; kunit_util.h has the rest.
 */
#ifndef QUARRY_KUNIT_ROUTER_UTIL_H
#define QUARRY_KUNIT_ROUTER_UTIL_H

#include <quarry/router.h>
#include "kunit_util.h"

KUNIT_DEFINE_ACTION_WRAPPER(router_action, quarry_router_destroy,
			    struct quarry_router *);

static inline struct quarry_router *
create_router(struct kunit *test, size_t size, const struct quarry_router_args *args)
{
	struct quarry_router *r = quarry_router_create("router", size, args);

	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(r));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, router_action, r));
	return r;
}

static inline void destroy_router(struct kunit *test, struct quarry_router *r)
{
	kunit_release_action(test, router_action, r);
}

/* Two small classes, and a page or more of heap behind them. */
static const struct quarry_router_class two[] = { { 32, 10 }, { 64, 10 } };

#define TWO_PAGES	(2 * PAGE_SIZE)

static inline struct quarry_router *
small(struct kunit *test, unsigned int flags, size_t heap)
{
	const struct quarry_router_args args = {
		.flags = flags, .classes = two, .nr_classes = ARRAY_SIZE(two),
		.system_max = 20,
	};

	return create_router(test, TWO_PAGES + heap, &args);
}

static inline struct quarry_router_stats router_stats(struct quarry_router *r)
{
	struct quarry_router_stats stats;

	quarry_router_get_stats(r, &stats);
	return stats;
}

static inline void expect_good(struct kunit *test, struct quarry_router *r)
{
	KUNIT_EXPECT_EQ_MSG(test, quarry_router_verify(r), 0, "%s", capture.last);
}

static inline void free_all(struct quarry_router *r, void **blocks, size_t nr)
{
	while (nr)
		quarry_router_free(r, blocks[--nr]);
}

#endif /* QUARRY_KUNIT_ROUTER_UTIL_H */
