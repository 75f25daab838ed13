/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the heap's suites share; kunit_util.h has the rest.
 */
#ifndef QUARRY_KUNIT_HEAP_UTIL_H
#define QUARRY_KUNIT_HEAP_UTIL_H

#include <quarry/heap.h>
#include "kunit_util.h"

static inline struct quarry_heap_stats heap_stats_of(struct quarry_heap *heap)
{
	struct quarry_heap_stats stats;

	quarry_heap_get_stats(heap, &stats);
	return stats;
}

static inline void expect_heap_verified(struct kunit *test,
					struct quarry_heap *heap)
{
	KUNIT_EXPECT_EQ_MSG(test, quarry_heap_verify(heap), 0, "%s",
			    capture.last);
}

KUNIT_DEFINE_ACTION_WRAPPER(destroy_heap_action, quarry_heap_destroy,
			    struct quarry_heap *);

/* A heap that is destroyed at the end of the test, whatever the test does. */
static inline struct quarry_heap *
create_heap(struct kunit *test, const char *name, size_t size,
	    const struct quarry_heap_args *args)
{
	struct quarry_heap *heap = quarry_heap_create(name, size, args);

	KUNIT_ASSERT_EQ_MSG(test, PTR_ERR_OR_ZERO(heap), 0, "create %s", name);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, destroy_heap_action,
						  heap));
	return heap;
}

#endif /* QUARRY_KUNIT_HEAP_UTIL_H */
