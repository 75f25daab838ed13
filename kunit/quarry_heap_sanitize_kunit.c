// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KASAN sees of a heap's blocks: bad accesses on purpose, each of which it
 * must report at that very access, and good ones next to them, which it must not.
 * As quarry_sanitize_kunit.c does it for pools.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/tracepoint.h>
#include <trace/events/error_report.h>
#include "heap_util.h"

#define HAVE_KASAN (IS_ENABLED(CONFIG_KASAN_GENERIC) && \
		    IS_ENABLED(CONFIG_KASAN_VMALLOC))

/* One access by a task of its own, since a report fails the task's test. */
struct access {
	const u8 *address;
	struct completion done;
};

static atomic_t nr_errors;

static void error_seen(void *unused, enum error_detector detector,
		       unsigned long address)
{
	if (detector == ERROR_DETECTOR_KASAN)
		atomic_inc(&nr_errors);
}

static int do_access(void *arg)
{
	struct access *access = arg;

	READ_ONCE(*access->address);
	complete(&access->done);
	return 0;
}

static void expect_errors(struct kunit *test, int nr, const u8 *address)
{
	struct access access = { .address = address };
	struct task_struct *task;

	init_completion(&access.done);
	atomic_set(&nr_errors, 0);
	KUNIT_ASSERT_EQ(test, 0, register_trace_error_report_end(error_seen, NULL));
	pr_info("quarry-expect-begin: KASAN\n");
	task = kthread_run(do_access, &access, "quarry_access");
	if (!IS_ERR(task))
		wait_for_completion(&access.done);
	pr_info("quarry-expect-end\n");
	unregister_trace_error_report_end(error_seen, NULL);
	tracepoint_synchronize_unregister();
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&nr_errors), nr,
			    "(without kasan_multi_shot only the first is seen)");
}

static void need_kasan(struct kunit *test)
{
	if (!HAVE_KASAN)
		kunit_skip(test, "no CONFIG_KASAN_GENERIC with CONFIG_KASAN_VMALLOC");
}

static const size_t sizes[] = { 1, 8, 13, 24, 100, 3000 };

static void size_desc(const size_t *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "size %zu", *size);
}

KUNIT_ARRAY_PARAM(size, sizes, size_desc);

/* The header of the next block is its redzone, and that of the block in front. */
static void heap_overrun_and_underrun_are_reported(struct kunit *test)
{
	size_t size = *(const size_t *)test->param_value;
	struct quarry_heap *heap;
	u8 *a, *b;

	need_kasan(test);
	heap = create_heap(test, "kasan", SZ_64K, NULL);
	a = quarry_heap_alloc(heap, size);
	b = quarry_heap_alloc(heap, size);
	KUNIT_ASSERT_NOT_NULL(test, b);
	memset(a, 1, size);
	memset(b, 2, size);
	expect_errors(test, 0, a + size - 1);
	expect_errors(test, 1, a + size);
	expect_errors(test, 1, a - 1);
	expect_errors(test, 1, b - 1);
	quarry_heap_free(heap, a);
	quarry_heap_free(heap, b);
}

static void heap_use_after_free_is_reported(struct kunit *test)
{
	size_t size = *(const size_t *)test->param_value;
	struct quarry_heap *heap;
	u8 *ptr;

	need_kasan(test);
	heap = create_heap(test, "kasan", SZ_64K, NULL);
	ptr = quarry_heap_alloc(heap, size);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	expect_errors(test, 0, ptr);
	quarry_heap_free(heap, ptr);
	expect_errors(test, 1, ptr);
	expect_errors(test, 1, ptr + size - 1);
	quarry_heap_flush(heap);
	expect_errors(test, 1, ptr);
}

static void heap_realloc_moves_the_bounds(struct kunit *test)
{
	struct quarry_heap *heap;
	u8 *ptr;

	need_kasan(test);
	heap = create_heap(test, "kasan", SZ_64K, NULL);
	ptr = quarry_heap_alloc(heap, 100);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_ASSERT_PTR_EQ(test, quarry_heap_realloc(heap, ptr, 50), (void *)ptr);
	expect_errors(test, 0, ptr + 49);
	expect_errors(test, 1, ptr + 50);
	expect_errors(test, 1, ptr + 80);
	KUNIT_ASSERT_PTR_EQ(test, quarry_heap_realloc(heap, ptr, 501), (void *)ptr);
	expect_errors(test, 0, ptr + 500);
	expect_errors(test, 1, ptr + 501);
	KUNIT_EXPECT_EQ(test, quarry_heap_usable_size(heap, ptr), 504UL);
	expect_errors(test, 0, ptr + 503);
	quarry_heap_free(heap, ptr);
}

static void heap_fresh_memory_is_poisoned(struct kunit *test)
{
	struct quarry_heap *heap;
	u8 *ptr;

	need_kasan(test);
	heap = create_heap(test, "kasan", SZ_64K, NULL);
	ptr = quarry_heap_alloc_aligned(heap, 10, 512);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	expect_errors(test, 0, ptr);
	expect_errors(test, 1, ptr - 64);
	expect_errors(test, 1, ptr + 5000);
	quarry_heap_free(heap, ptr);
}

/* What was lent may be used by its owner after destroy. */
static void heap_lent_memory_is_given_back_whole(struct kunit *test)
{
	struct quarry_heap_args args = { .memory_size = SZ_4K };
	struct quarry_heap *heap;

	args.memory = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	heap = quarry_heap_create("lent", SZ_4K, &args);
	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(heap), 0);
	quarry_heap_free(heap, quarry_heap_alloc(heap, 100));
	quarry_heap_destroy(heap);
	memset(args.memory, 0, SZ_4K);
}

static struct kunit_case sanitize_cases[] = {
	KUNIT_CASE_PARAM(heap_overrun_and_underrun_are_reported, size_gen_params),
	KUNIT_CASE_PARAM(heap_use_after_free_is_reported, size_gen_params),
	KUNIT_CASE(heap_realloc_moves_the_bounds),
	KUNIT_CASE(heap_fresh_memory_is_poisoned),
	KUNIT_CASE(heap_lent_memory_is_given_back_whole),
	{}
};

static struct kunit_suite sanitize_suite = {
	.name = "quarry_heap_sanitize",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = sanitize_cases,
};

kunit_test_suite(sanitize_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: what KASAN sees of a heap");
MODULE_LICENSE("GPL");
