// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a router's region is divided, what it is made of and what makes none; its
 * figures from one reset to the next; and whom its reports name.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <quarry/quarry.h>
#include "../kmod/router.h"
#include "router_util.h"

/* How the region is divided */

#define DEFAULT_MIN	(424UL << 10)	/* as router.h says, with pages of 4 KiB */

static struct router_plan *plan_of(struct kunit *test, size_t size, unsigned int flags)
{
	const struct quarry_router_args args = { .flags = flags };
	struct router_plan *plan = kunit_kzalloc(test, sizeof(*plan), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, plan);
	KUNIT_ASSERT_EQ_MSG(test, quarry__router_plan("plan", plan, size, &args), 0,
			    "size %zu", size);
	return plan;
}

/* A larger region has no smaller class and no smaller heap. */
static void expect_no_less(struct kunit *test, const struct router_plan *small,
			   const struct router_plan *large)
{
	u32 i;

	KUNIT_ASSERT_EQ(test, small->nr, large->nr);
	for (i = 0; i < large->nr; i++) {
		KUNIT_EXPECT_GE(test, large->bytes[i], small->bytes[i]);
		KUNIT_EXPECT_GE(test, large->class[i].nr_blocks,
				small->class[i].nr_blocks);
		KUNIT_EXPECT_GE(test, small->class[i].nr_blocks, 4);
	}
	KUNIT_EXPECT_GE(test, large->total - large->classes,
			small->total - small->classes);
	KUNIT_EXPECT_LE(test, large->total - large->classes, QUARRY_HEAP_MAX_REGION);
}

static void default_plan_grows_with_the_region(struct kunit *test)
{
	static const unsigned int flags[] = { 0, QUARRY_ROUTER_NO_HEAP };
	size_t size, i;

	if (PAGE_SIZE != SZ_4K)
		kunit_skip(test, "pages of %lu bytes", PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		struct router_plan *last = plan_of(test, DEFAULT_MIN, flags[i]), *plan;

		/* By pages up to 4 MiB, then by an eighth to the largest. */
		for (size = DEFAULT_MIN; size <= QUARRY_ROUTER_MAX_SIZE;
		     size += size < SZ_4M ? PAGE_SIZE : round_up(size / 8, PAGE_SIZE)) {
			plan = plan_of(test, size, flags[i]);
			KUNIT_EXPECT_EQ(test, plan->total, size);
			expect_no_less(test, last, plan);
			kunit_kfree(test, last);
			last = plan;
		}
		plan = plan_of(test, QUARRY_ROUTER_MAX_SIZE, flags[i]);
		KUNIT_EXPECT_EQ(test, plan->total, QUARRY_ROUTER_MAX_SIZE);
		expect_no_less(test, last, plan);
	}
}

static void heap_of_given_classes_has_its_limit(struct kunit *test)
{
	const struct quarry_router_args args = {
		.classes = two, .nr_classes = ARRAY_SIZE(two),
	};
	struct router_plan *plan = kunit_kzalloc(test, sizeof(*plan), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, plan);
	KUNIT_EXPECT_EQ(test, quarry__router_plan("plan", plan, QUARRY_ROUTER_MAX_SIZE,
						  &args), 0);
	KUNIT_EXPECT_EQ(test, plan->total - plan->classes, QUARRY_HEAP_MAX_REGION);
}

/* Each is made, and has a block of each class. */
static void every_size_from_the_smallest_makes_a_router(struct kunit *test)
{
	size_t step = PAGE_SIZE * SLOWDOWN * 100 / max(percent, 1U), size, block;
	unsigned int i;

	if (PAGE_SIZE != SZ_4K)
		kunit_skip(test, "pages of %lu bytes", PAGE_SIZE);
	step = max(PAGE_ALIGN(step), PAGE_SIZE);
	for (i = 0, size = DEFAULT_MIN; size < SZ_1M; i++, size += step) {
		const struct quarry_router_args args = {
			.flags = i % 2 ? QUARRY_ROUTER_STRICT :
				 QUARRY_ROUTER_STRICT | QUARRY_ROUTER_NO_HEAP,
		};
		struct quarry_router *r = quarry_router_create("step", size, &args);

		KUNIT_ASSERT_EQ_MSG(test, PTR_ERR_OR_ZERO(r), 0, "size %zu", size);
		for (block = 8; block; block = block < SZ_8K ? block * 2 : 0) {
			void *ptr = quarry_router_alloc(r, block, 0);

			KUNIT_EXPECT_NOT_NULL(test, ptr);
			quarry_router_free(r, ptr);
		}
		quarry_router_destroy(r);
	}
}

/* More than a heap can have: it is memory that is missing, and no size too large. */
static void largest_size_lacks_memory_alone(struct kunit *test)
{
	struct quarry_router *r;

	if (totalram_pages() > QUARRY_ROUTER_MAX_SIZE / 2 / PAGE_SIZE)
		kunit_skip(test, "so much memory would be had");
	r = quarry_router_create("huge", QUARRY_ROUTER_MAX_SIZE, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(r), -ENOMEM);
	r = quarry_router_create("huge", QUARRY_ROUTER_MAX_SIZE + 1, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(r), -EOVERFLOW);
}

/* Memory and arguments */

static void caller_memory_is_used(struct kunit *test)
{
	struct quarry_router_args args = {
		.classes = two, .nr_classes = ARRAY_SIZE(two),
		.memory_size = 4 * PAGE_SIZE,
	};
	struct quarry_router *r;
	u8 *ptr, *big;

	args.memory = (void *)__get_free_pages(GFP_KERNEL, 2);
	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	r = quarry_router_create("lent", 4 * PAGE_SIZE, &args);
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(r));
	ptr = quarry_router_alloc(r, 40, 0);
	big = quarry_router_alloc(r, 400, 0);
	KUNIT_EXPECT_TRUE(test, (void *)ptr >= args.memory &&
			  (void *)big < args.memory + 4 * PAGE_SIZE);
	quarry_router_free(r, ptr);
	quarry_router_free(r, big);
	expect_good(test, r);
	quarry_router_destroy(r);
	memset(args.memory, 1, 4 * PAGE_SIZE);
	free_pages((unsigned long)args.memory, 2);
}

struct bad {
	const char *what;
	size_t size;
	struct quarry_router_args args;
	int err;
};

static const struct quarry_router_class not_rising[] = { { 64, 10 }, { 60, 10 } };
static const struct quarry_router_class no_blocks[] = { { 64, 0 } };
static const struct quarry_router_class too_large[] = { { SZ_64K + 1, 10 } };
static const struct quarry_router_class size_zero[] = { { 0, 10 } };
static const struct quarry_router_class too_many[] = { { 64, SIZE_MAX / 64 } };

static const struct bad bads[] = {
	{ "flags", SZ_2M, { .flags = BIT(30) }, -EINVAL },
	{ "small for the default", (424UL << 10) - 1, { }, -EINVAL },
	{ "small for the default alone", (424UL << 10) - 1,
	  { .flags = QUARRY_ROUTER_NO_HEAP }, -EINVAL },
	{ "size 0 for the default", 0, { }, -EINVAL },
	{ "size of some bytes", 100, { .classes = two, .nr_classes = 2 }, -EINVAL },
	{ "small for the classes", PAGE_SIZE, { .classes = two, .nr_classes = 2 }, -EINVAL },
	{ "huge", SIZE_MAX, { }, -EOVERFLOW },
	{ "no classes", SZ_2M, { .classes = two }, -EINVAL },
	{ "classes of NULL", SZ_2M, { .nr_classes = 2 }, -EINVAL },
	{ "65 classes", SZ_2M, { .classes = two, .nr_classes = 65 }, -EINVAL },
	{ "not rising", SZ_2M, { .classes = not_rising, .nr_classes = 2 }, -EINVAL },
	{ "no blocks", SZ_2M, { .classes = no_blocks, .nr_classes = 1 }, -EINVAL },
	{ "too large a class", SZ_2M, { .classes = too_large, .nr_classes = 1 }, -EINVAL },
	{ "class of size 0", SZ_2M, { .classes = size_zero, .nr_classes = 1 }, -EINVAL },
	{ "too many blocks", 0, { .classes = too_many, .nr_classes = 1 }, -EOVERFLOW },
	{ "system_max", SZ_2M, { .system_max = SIZE_MAX }, -EINVAL },
	{ "memory_size", SZ_2M, { .memory_size = SZ_2M }, -EINVAL },
};

static void bad_desc(const struct bad *bad, char *desc)
{
	strscpy(desc, bad->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(bad, bads, bad_desc);

static void bad_arguments_make_no_router(struct kunit *test)
{
	const struct bad *bad = test->param_value;

	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_router_create("bad", bad->size,
							   &bad->args)),
			bad->err);
}

/* Reports */

/* What a slot holds while a block is recorded in it is no block's address. */
static void mark_of_a_slot_is_no_block(struct kunit *test)
{
	struct quarry_router *r = small(test, QUARRY_ROUTER_NO_HEAP, 0);
	void *mark = (void *)SLOT_TAKEN;
	unsigned long i;

	for (i = 0; i < BIT(r->slot_bits); i++)
		atomic_long_set(&r->slot[i].address, SLOT_TAKEN);
	KUNIT_EXPECT_FALSE(test, quarry_router_owns(r, mark));
	KUNIT_EXPECT_EQ(test, quarry_router_usable_size(r, mark), 0);
	quarry_router_free(r, mark);
	expect_reports(test, 1, "foreign pointer");
	for (i = 0; i < BIT(r->slot_bits); i++)
		KUNIT_EXPECT_EQ(test, atomic_long_xchg(&r->slot[i].address, 0),
				SLOT_TAKEN);
	expect_good(test, r);
}

static void client_is_named_and_not_quarry(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	struct quarry_allocator a = quarry_router_allocator(r, GFP_KERNEL);
	struct quarry_layout l = quarry_layout_make(60, 8);
	struct quarry_layout other = quarry_layout_make(80, 64);
	static const size_t sizes[] = { 60, 1000, SZ_1M };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *ptr = quarry_router_alloc(r, sizes[i], GFP_KERNEL);

		quarry_router_free(r, ptr);
		quarry_router_free(r, ptr);
		expect_blamed(test, "free refused");
		KUNIT_EXPECT_NULL(test, quarry_router_realloc(r, ptr, 8, GFP_KERNEL));
		expect_blamed(test, "free refused");
		quarry_allocator_free(&a, ptr, l);
		expect_blamed(test, "free refused");
		KUNIT_EXPECT_NULL(test, quarry_allocator_realloc(&a, ptr, l, other));
		expect_blamed(test, "free refused");
	}
	KUNIT_EXPECT_NULL(test, quarry_router_alloc_aligned(r, 8, 24, GFP_KERNEL));
	expect_blamed(test, "bad alignment");
	destroy_router(test, r);
	KUNIT_EXPECT_NULL(test, quarry_router_alloc(r, 60, GFP_KERNEL));
	expect_blamed(test, "alloc refused: destroyed router");
	KUNIT_EXPECT_NULL(test, quarry_router_zalloc(r, 60, GFP_KERNEL));
	expect_blamed(test, "alloc refused: destroyed router");
	quarry_router_free(r, &a);
	expect_blamed(test, "free refused: destroyed router");
	quarry_router_free(NULL, &a);
	expect_blamed(test, "not a router");
}

/* Figures */

/* The true peak is the larger of both: @peak says more, by @peak_slack at most. */
static void peak_has_a_bound(struct kunit *test)
{
	struct quarry_router *r = small(test, QUARRY_ROUTER_STRICT, SZ_64K);
	void *blocks[8];
	struct quarry_router_stats s;
	size_t i;

	for (i = 0; i < 8; i++)
		blocks[i] = quarry_router_alloc(r, 60, 0);
	free_all(r, blocks, 8);
	for (i = 0; i < 3; i++)
		blocks[i] = quarry_router_alloc(r, 1000, 0);
	free_all(r, blocks, 3);
	s = router_stats(r);
	KUNIT_EXPECT_GE(test, s.peak, 8);
	KUNIT_EXPECT_LE(test, s.peak - s.peak_slack, 8);
	KUNIT_EXPECT_GE(test, s.peak_slack, s.heap_allocs);
	for (i = 0; i < 8; i++)
		blocks[i] = quarry_router_alloc(r, 60, 0);
	s = router_stats(r);
	KUNIT_EXPECT_GE(test, s.peak - s.peak_slack, s.live);
	free_all(r, blocks, 8);
}

/* Of the heap too, whose own reset does not disturb the router's counters. */
static void reset_is_for_classes_and_heap(struct kunit *test)
{
	struct quarry_router *r = small(test, 0, SZ_64K);
	struct quarry_heap_stats heap;
	void *blocks[8];
	size_t i;

	for (i = 0; i < 8; i++)
		blocks[i] = quarry_router_alloc(r, 1000, 0);
	free_all(r, blocks, 8);
	r->heap->object.kind->reset(&r->heap->object);
	KUNIT_EXPECT_EQ(test, router_stats(r).heap_allocs, 8);
	KUNIT_EXPECT_EQ(test, router_stats(r).frees, 8);
	for (i = 0; i < 8; i++)
		blocks[i] = quarry_router_alloc(r, 1000, 0);
	free_all(r, blocks, 8);
	blocks[0] = quarry_router_alloc(r, 60, 0);
	blocks[1] = quarry_router_alloc(r, 1000, 0);
	quarry_heap_flush(r->heap);
	quarry_heap_get_stats(r->heap, &heap);
	KUNIT_EXPECT_GE(test, heap.peak, 8);
	r->object.kind->reset(&r->object);
	quarry_heap_get_stats(r->heap, &heap);
	KUNIT_EXPECT_EQ(test, heap.peak, 1);
	KUNIT_EXPECT_EQ(test, router_stats(r).heap_allocs, 0);
	KUNIT_EXPECT_EQ(test, router_stats(r).frees, 0);
	free_all(r, blocks, 2);
	KUNIT_EXPECT_EQ(test, router_stats(r).frees, 2);
	KUNIT_EXPECT_EQ(test, router_stats(r).live, 0);
}

static struct kunit_case life_cases[] = {
	KUNIT_CASE(default_plan_grows_with_the_region),
	KUNIT_CASE(heap_of_given_classes_has_its_limit),
	KUNIT_CASE_SLOW(every_size_from_the_smallest_makes_a_router),
	KUNIT_CASE(largest_size_lacks_memory_alone),
	KUNIT_CASE(caller_memory_is_used),
	KUNIT_CASE_PARAM(bad_arguments_make_no_router, bad_gen_params),
	KUNIT_CASE(mark_of_a_slot_is_no_block),
	KUNIT_CASE(client_is_named_and_not_quarry),
	KUNIT_CASE(peak_has_a_bound),
	KUNIT_CASE(reset_is_for_classes_and_heap),
	{}
};

static struct kunit_suite life_suite = {
	.name = "quarry_router_life",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = life_cases,
};

kunit_test_suite(life_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a router's division, life and figures");
MODULE_LICENSE("GPL");
