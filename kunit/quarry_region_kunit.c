// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a pool's memory comes from: the caller's memory, which is never touched,
 * and vmalloc's with the flags that all allocators share.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "kunit_util.h"

#define SIZE		24
#define NR_BLOCKS	400
#define ALIGN_TO	8
#define UNTOUCHED	0xa5

static u8 lent[SIZE * NR_BLOCKS * 2] __aligned(SZ_4K);

/* Everything a pool can do, and not one byte is written. */
static void expect_untouched(struct kunit *test, void *memory, size_t size)
{
	const struct quarry_pool_args args = {
		.align = ALIGN_TO, .memory = memory, .memory_size = size,
	};
	void **blocks = new_table(test, 2 * NR_BLOCKS);
	struct quarry_pool *pool;
	size_t nr, i, outside = 0;

	memset(memory, UNTOUCHED, size);
	pool = create_pool(test, "lent", SIZE, NR_BLOCKS, &args);
	nr = quarry_pool_alloc_bulk(pool, 2 * NR_BLOCKS, blocks);
	KUNIT_EXPECT_GE(test, nr, NR_BLOCKS);
	KUNIT_EXPECT_LE(test, nr * SIZE, size);
	for (i = 0; i < nr; i++)
		if (blocks[i] < memory || blocks[i] + SIZE > memory + size)
			outside++;
	KUNIT_EXPECT_EQ(test, outside, 0);
	for (i = 0; i < nr; i++)
		quarry_pool_free(pool, blocks[i]);
	quarry_pool_free(pool, blocks[0]);
	expect_reports(test, 1, "double free");
	expect_verified(test, pool);
	destroy_pool(test, pool);
	KUNIT_EXPECT_NULL(test, memchr_inv(memory, UNTOUCHED, size));
	kvfree(blocks);
}

static void lent_memory_of_exact_size(struct kunit *test)
{
	size_t size = quarry_pool_memory_size(SIZE, NR_BLOCKS, ALIGN_TO, true);

	KUNIT_EXPECT_EQ(test, size, SIZE * NR_BLOCKS);
	expect_untouched(test, lent, size);
}

static void lent_memory_with_spare_blocks(struct kunit *test)
{
	size_t exact = quarry_pool_memory_size(SIZE, NR_BLOCKS, ALIGN_TO, true);
	size_t size = quarry_pool_memory_size(SIZE, NR_BLOCKS, ALIGN_TO, false);

	KUNIT_EXPECT_GT(test, size, exact);
	KUNIT_EXPECT_LE(test, size, exact + exact / 8);
	expect_untouched(test, lent, size);
	expect_untouched(test, lent, size - 1);
	expect_untouched(test, lent, sizeof(lent));
}

static void lent_memory_in_the_linear_map(struct kunit *test)
{
	void *memory = kunit_kzalloc(test, 2 * SIZE * NR_BLOCKS, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, memory);
	expect_untouched(test, memory, 2 * SIZE * NR_BLOCKS);
	/* All of it is the caller's again. */
	memset(memory, 0, 2 * SIZE * NR_BLOCKS);
}

static void lent_memory_of_vmalloc(struct kunit *test)
{
	void *memory = vmalloc(2 * SIZE * NR_BLOCKS);

	KUNIT_ASSERT_NOT_NULL(test, memory);
	expect_untouched(test, memory, 2 * SIZE * NR_BLOCKS);
	memset(memory, 0, 2 * SIZE * NR_BLOCKS);
	vfree(memory);
}

/* With QUARRY_ZERO the caller asks for it. */
static void lent_memory_is_cleared_on_request(struct kunit *test)
{
	const struct quarry_pool_args args = {
		.memory = lent, .memory_size = SIZE * NR_BLOCKS,
		.flags = QUARRY_ZERO,
	};

	memset(lent, UNTOUCHED, sizeof(lent));
	create_pool(test, "lent", SIZE, NR_BLOCKS, &args);
	KUNIT_EXPECT_NULL(test, memchr_inv(lent, 0, SIZE * NR_BLOCKS));
	KUNIT_EXPECT_NULL(test, memchr_inv(lent + SIZE * NR_BLOCKS, UNTOUCHED,
					   sizeof(lent) - SIZE * NR_BLOCKS));
}

static void memory_size_refuses_bad_sizes(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(0, 1, 0, true), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(1, 0, 0, true), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(1, 1, 3, true), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(1, 1, SZ_8K, true), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(QUARRY_POOL_MAX_SIZE + 1,
						      1, 0, true), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(1, SIZE_MAX, 0, true), 0);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(SIZE_MAX, SIZE_MAX, 0,
						      true), 0);
}

static void memory_size_rounds_to_alignment(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(1, 10, 0, true), 10);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(7, 10, 0, true), 80);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(7, 10, 1, true), 70);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(8, 10, 64, true), 640);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(65, 10, 64, true), 1280);
	KUNIT_EXPECT_EQ(test, quarry_pool_memory_size(QUARRY_POOL_MAX_SIZE,
						      QUARRY_POOL_MAX_BLOCKS, 0,
						      true),
			QUARRY_POOL_MAX_SIZE * QUARRY_POOL_MAX_BLOCKS);
}

/* Flags of all kinds: the memory is there, and clear where that was asked. */
static void expect_usable(struct kunit *test, unsigned int flags, size_t size,
			  size_t nr)
{
	const struct quarry_pool_args args = { .flags = flags };
	struct quarry_pool *pool = create_pool(test, "region", size, nr, &args);
	void **blocks = new_table(test, nr);
	size_t i, dirty = 0;

	KUNIT_EXPECT_EQ(test, quarry_pool_alloc_bulk(pool, nr, blocks), nr);
	for (i = 0; i < nr && blocks[i]; i++) {
		if ((flags & QUARRY_ZERO) && memchr_inv(blocks[i], 0, size))
			dirty++;
		memset(blocks[i], 0xff, size);
	}
	KUNIT_EXPECT_EQ(test, dirty, 0);
	expect_verified(test, pool);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, nr, blocks), nr);
	destroy_pool(test, pool);
	kvfree(blocks);
}

static void region_by_flags(struct kunit *test)
{
	static const unsigned int flags[] = {
		0, QUARRY_ZERO, QUARRY_NO_HUGE, QUARRY_ZERO | QUARRY_NO_HUGE,
		QUARRY_ACCOUNT, QUARRY_ACCOUNT | QUARRY_ZERO, QUARRY_ON_NODE,
		QUARRY_ON_NODE | QUARRY_ZERO, QUARRY_ON_NODE | QUARRY_NO_HUGE,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		expect_usable(test, flags[i], 100, 100);
		expect_usable(test, flags[i], SZ_64K, 40);
	}
}

/* Either both are to be had together, or create says so. */
static void region_on_node_and_accounted(struct kunit *test)
{
	const struct quarry_pool_args args = {
		.flags = QUARRY_ON_NODE | QUARRY_ACCOUNT,
	};
	struct quarry_pool *pool = quarry_pool_create("both", 100, 100, &args);

	if (IS_ERR(pool))
		KUNIT_EXPECT_EQ(test, PTR_ERR(pool), -EINVAL);
	else
		KUNIT_EXPECT_EQ(test, quarry_pool_verify(pool), 0);
	quarry_pool_destroy(pool);
}

/* Where both are to be had, it is by a function that asks for a huge mapping. */
static void region_on_node_and_accounted_by_pages(struct kunit *test)
{
	const struct quarry_pool_args args = {
		.flags = QUARRY_ON_NODE | QUARRY_ACCOUNT | QUARRY_NO_HUGE,
	};
	struct quarry_pool *pool = quarry_pool_create("all", 100, 100, &args);

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), -EINVAL);
	quarry_pool_destroy(pool);
}

static struct kunit_case region_cases[] = {
	KUNIT_CASE(lent_memory_of_exact_size),
	KUNIT_CASE(lent_memory_with_spare_blocks),
	KUNIT_CASE(lent_memory_in_the_linear_map),
	KUNIT_CASE(lent_memory_of_vmalloc),
	KUNIT_CASE(lent_memory_is_cleared_on_request),
	KUNIT_CASE(memory_size_refuses_bad_sizes),
	KUNIT_CASE(memory_size_rounds_to_alignment),
	KUNIT_CASE(region_by_flags),
	KUNIT_CASE(region_on_node_and_accounted),
	KUNIT_CASE(region_on_node_and_accounted_by_pages),
	{}
};

static struct kunit_suite region_suite = {
	.name = "quarry_region",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = region_cases,
};

kunit_test_suite(region_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: where memory comes from");
MODULE_LICENSE("GPL");
