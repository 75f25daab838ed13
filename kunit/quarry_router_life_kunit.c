// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a router refuses, and whom its reports name.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <quarry/quarry.h>
#include "../kmod/router.h"
#include "router_util.h"

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

static struct kunit_case life_cases[] = {
	KUNIT_CASE(mark_of_a_slot_is_no_block),
	KUNIT_CASE(client_is_named_and_not_quarry),
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
