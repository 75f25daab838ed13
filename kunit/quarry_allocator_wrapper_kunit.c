// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each wrapper does besides passing on, and the system's memory where it is
 * more than kvmalloc().
 */
#include <linux/completion.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <quarry/quarry.h>
#include "../kmod/trace.h"
#include "irq_util.h"
#include "kunit_file.h"
#include "kunit_util.h"

#define LAYOUT	quarry_layout_make(64, 8)

KUNIT_DEFINE_ACTION_WRAPPER(wrapper_action, quarry_wrapper_destroy,
			    struct quarry_wrapper *);

static struct quarry_wrapper *keep(struct kunit *test, struct quarry_wrapper *w)
{
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(w));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, wrapper_action, w));
	return w;
}

static struct quarry_allocator over_pool(struct kunit *test)
{
	return quarry_pool_allocator(create_pool(test, "inner", 64, 100, NULL));
}

static struct quarry_wrapper_stats wrapper_stats(struct quarry_wrapper *w)
{
	struct quarry_wrapper_stats stats;

	quarry_wrapper_get_stats(w, &stats);
	return stats;
}

/* Counting */

static void counting_counts(struct kunit *test)
{
	struct quarry_allocator inner = over_pool(test), a;
	struct quarry_wrapper_stats s;
	struct quarry_wrapper *w;
	void *blocks[100];
	int i;

	w = keep(test, quarry_counting_create("count", &inner));
	a = quarry_wrapper_allocator(w);
	for (i = 0; i < 100; i++) {
		blocks[i] = quarry_allocator_alloc(&a, quarry_layout_make(i % 64 + 1, 8));
		KUNIT_ASSERT_NOT_NULL(test, blocks[i]);
	}
	s = wrapper_stats(w);
	KUNIT_EXPECT_EQ(test, s.live, 100);
	KUNIT_EXPECT_EQ(test, s.allocs, 100);
	KUNIT_EXPECT_EQ(test, s.largest, 64);
	KUNIT_EXPECT_EQ(test, s.bytes_live, 64 * 65 / 2 + 36 * 37 / 2);
	KUNIT_EXPECT_GE(test, s.peak, 100);
	KUNIT_EXPECT_LE(test, s.peak, 100 + s.peak_slack);
	for (i = 0; i < 100; i++)
		quarry_allocator_free(&a, blocks[i], quarry_layout_make(i % 64 + 1, 8));
	s = wrapper_stats(w);
	KUNIT_EXPECT_EQ(test, s.live, 0);
	KUNIT_EXPECT_EQ(test, s.frees, 100);
	KUNIT_EXPECT_EQ(test, s.bytes_live, 0);
	KUNIT_EXPECT_GE(test, s.peak, 100);
}

static void counting_counts_failures_and_refusals(struct kunit *test)
{
	struct quarry_allocator inner = over_pool(test), a;
	struct quarry_wrapper *w;
	void *ptr;

	w = keep(test, quarry_counting_create("count", &inner));
	a = quarry_wrapper_allocator(w);
	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&a, quarry_layout_make(65, 8)));
	ptr = quarry_allocator_alloc(&a, LAYOUT);
	ptr = quarry_allocator_realloc(&a, ptr, LAYOUT, quarry_layout_make(40, 8));
	KUNIT_EXPECT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).bytes_live, 40);
	KUNIT_EXPECT_NULL(test, quarry_allocator_realloc(&a, ptr, quarry_layout_make(40, 8),
							 quarry_layout_make(65, 8)));
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).bytes_live, 40);
	quarry_allocator_free(&a, ptr, quarry_layout_make(40, 8));
	quarry_allocator_free(&a, ptr, quarry_layout_make(40, 8));
	expect_reports(test, 1, "double free");
	/* Of nothing it is an alloc. */
	ptr = quarry_allocator_realloc(&a, NULL, LAYOUT, quarry_layout_make(24, 8));
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).live, 1);
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).bytes_live, 24);
	quarry_allocator_free(&a, ptr, quarry_layout_make(24, 8));
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).failures, 2);
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).reallocs, 1);
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).refused, 1);
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).live, 0);
}

/* A block that goes from one CPU to another is counted once each way. */
struct far_job {
	struct quarry_allocator *a;
	void *blocks[90];
};

static long far_free(void *arg)
{
	struct far_job *job = arg;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(job->blocks); i++)
		quarry_allocator_free(job->a, job->blocks[i], LAYOUT);
	return 0;
}

static void counting_agrees_across_cpus(struct kunit *test)
{
	struct quarry_allocator inner = over_pool(test), a;
	struct far_job job = { .a = &a };
	struct quarry_wrapper *w;
	int cpu = other_cpu(raw_smp_processor_id()), round;
	size_t i;

	if (cpu < 0)
		kunit_skip(test, "needs two CPUs");
	w = keep(test, quarry_counting_create("count", &inner));
	a = quarry_wrapper_allocator(w);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < ARRAY_SIZE(job.blocks); i++)
			job.blocks[i] = quarry_allocator_alloc(&a, LAYOUT);
		KUNIT_EXPECT_EQ(test, wrapper_stats(w).live, 90);
		work_on_cpu(cpu, far_free, &job);
		KUNIT_EXPECT_EQ(test, wrapper_stats(w).live, 0);
		KUNIT_EXPECT_EQ(test, wrapper_stats(w).bytes_live, 0);
	}
	KUNIT_EXPECT_GE(test, wrapper_stats(w).peak, 90);
	KUNIT_EXPECT_LE(test, wrapper_stats(w).peak,
			90 + wrapper_stats(w).peak_slack);
}

/* Failing */

/* Bit i: call i + 1 was failed. */
static u64 pattern(struct kunit *test, const struct quarry_wrapper_args *args)
{
	struct quarry_allocator inner = over_pool(test), a;
	struct quarry_wrapper *w;
	u64 failed = 0;
	int i;

	w = quarry_failing_create("fail", &inner, args);
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(w));
	a = quarry_wrapper_allocator(w);
	for (i = 0; i < 64; i++) {
		void *ptr = quarry_allocator_zalloc(&a, LAYOUT);

		if (!ptr)
			failed |= BIT(i);
		quarry_allocator_free(&a, ptr, LAYOUT);
	}
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).injected, hweight64(failed));
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).failures, 0);
	quarry_wrapper_destroy(w);
	return failed;
}

static void every_nth_fails(struct kunit *test)
{
	const struct quarry_wrapper_args args = { .every = 4 };

	KUNIT_EXPECT_EQ(test, pattern(test, &args), 0x8888888888888888);
	KUNIT_EXPECT_EQ(test, pattern(test, NULL), 0);
}

static void the_nth_fails_alone(struct kunit *test)
{
	const struct quarry_wrapper_args args = { .nth = 7 };

	KUNIT_EXPECT_EQ(test, pattern(test, &args), BIT(6));
}

static void probability_follows_the_seed(struct kunit *test)
{
	struct quarry_wrapper_args args = { .per_mille = 500, .seed = 1 };
	u64 one = pattern(test, &args);

	KUNIT_EXPECT_EQ(test, pattern(test, &args), one);
	KUNIT_EXPECT_GE(test, hweight64(one), 12);
	KUNIT_EXPECT_LE(test, hweight64(one), 52);
	args.seed = 2;
	KUNIT_EXPECT_NE(test, pattern(test, &args), one);
	args.per_mille = 1000;
	KUNIT_EXPECT_EQ(test, pattern(test, &args), U64_MAX);
}

static void failing_can_be_armed_again(struct kunit *test)
{
	const struct quarry_wrapper_args second = { .nth = 2 };
	const struct quarry_wrapper_args bad = { .per_mille = 1001 };
	struct quarry_allocator inner = over_pool(test), a;
	struct quarry_wrapper *w, *other;
	void *one, *two;
	int i;

	w = keep(test, quarry_failing_create("fail", &inner, NULL));
	other = keep(test, quarry_counting_create("count", &inner));
	a = quarry_wrapper_allocator(w);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, quarry_failing_arm(w, &second), 0);
		one = quarry_allocator_alloc(&a, LAYOUT);
		KUNIT_EXPECT_NOT_NULL(test, one);
		two = quarry_allocator_realloc(&a, one, LAYOUT, LAYOUT);
		KUNIT_EXPECT_NULL(test, two);
		quarry_allocator_free(&a, one, LAYOUT);
	}
	KUNIT_EXPECT_EQ(test, quarry_failing_arm(w, &bad), -EINVAL);
	KUNIT_EXPECT_EQ(test, quarry_failing_arm(other, &second), -EINVAL);
	KUNIT_EXPECT_EQ(test, quarry_failing_arm(NULL, &second), -EINVAL);
	expect_reports(test, 1, "not a wrapper");
}

/* Logging */

struct log {
	int allocs, reallocs, frees;
	size_t size, old;
	const void *ptr;
	char name[QUARRY_NAME_LEN];
};

static void see_alloc(void *arg, const char *allocator, size_t size, size_t align,
		      bool zero, const void *ptr, unsigned long caller)
{
	struct log *log = arg;

	log->allocs++;
	log->size = size;
	log->ptr = ptr;
	strscpy(log->name, allocator, sizeof(log->name));
}

static void see_realloc(void *arg, const char *allocator, const void *ptr,
			size_t old, size_t size, size_t align, const void *moved,
			unsigned long caller)
{
	struct log *log = arg;

	log->reallocs++;
	log->old = old;
	log->size = size;
	log->ptr = moved;
}

static void see_free(void *arg, const char *allocator, const void *ptr,
		     size_t size, unsigned long caller)
{
	struct log *log = arg;

	log->frees++;
	log->size = size;
	log->ptr = ptr;
}

static void logging_tells_each_operation(struct kunit *test)
{
	struct quarry_allocator inner = over_pool(test), a;
	struct log log = {};
	struct quarry_wrapper *w;
	void *ptr;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no tracepoints");
	w = keep(test, quarry_logging_create("told", &inner));
	a = quarry_wrapper_allocator(w);
	KUNIT_ASSERT_EQ(test, 0, register_trace_quarry_alloc(see_alloc, &log));
	KUNIT_ASSERT_EQ(test, 0, register_trace_quarry_realloc(see_realloc, &log));
	KUNIT_ASSERT_EQ(test, 0, register_trace_quarry_free(see_free, &log));
	ptr = quarry_allocator_alloc(&a, LAYOUT);
	KUNIT_EXPECT_EQ(test, log.allocs, 1);
	KUNIT_EXPECT_EQ(test, log.size, 64);
	KUNIT_EXPECT_PTR_EQ(test, log.ptr, (const void *)ptr);
	KUNIT_EXPECT_STREQ(test, log.name, "told");
	ptr = quarry_allocator_realloc(&a, ptr, LAYOUT, quarry_layout_make(40, 8));
	KUNIT_EXPECT_EQ(test, log.reallocs, 1);
	KUNIT_EXPECT_EQ(test, log.old, 64);
	KUNIT_EXPECT_EQ(test, log.size, 40);
	quarry_allocator_free(&a, ptr, quarry_layout_make(40, 8));
	KUNIT_EXPECT_EQ(test, log.frees, 1);
	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&a, quarry_layout_make(99, 8)));
	KUNIT_EXPECT_EQ(test, log.allocs, 2);
	KUNIT_EXPECT_NULL(test, (void *)log.ptr);
	unregister_trace_quarry_alloc(see_alloc, &log);
	unregister_trace_quarry_realloc(see_realloc, &log);
	unregister_trace_quarry_free(see_free, &log);
	tracepoint_synchronize_unregister();
}

/* Life */

static void destroyed_wrapper_refuses_and_blocks_stay(struct kunit *test)
{
	struct quarry_allocator inner = over_pool(test), a;
	struct quarry_wrapper *w = quarry_counting_create("count", &inner);
	void *ptr;

	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(w));
	a = quarry_wrapper_allocator(w);
	ptr = quarry_allocator_alloc(&a, LAYOUT);
	quarry_wrapper_destroy(w);
	expect_reports(test, 1, "destroyed with 1 live blocks of 64 bytes");
	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&a, LAYOUT));
	expect_reports(test, 1, "alloc refused: destroyed wrapper");
	quarry_allocator_free(&a, ptr, LAYOUT);
	expect_reports(test, 1, "free refused: destroyed wrapper");
	quarry_wrapper_destroy(w);
	expect_reports(test, 1, "destroyed twice");
	quarry_allocator_free(&inner, ptr, LAYOUT);
}

static void no_wrapper_refuses(struct kunit *test)
{
	struct quarry_allocator a = quarry_wrapper_allocator(NULL);
	struct quarry_allocator b = quarry_wrapper_allocator(ERR_PTR(-ENOMEM));
	struct quarry_allocator c = quarry_pool_allocator(ERR_PTR(-ENOMEM));

	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&a, LAYOUT));
	expect_reports(test, 1, "not a wrapper: 0");
	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&b, LAYOUT));
	expect_reports(test, 1, "not a wrapper: -12");
	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&c, LAYOUT));
	expect_reports(test, 1, "not a pool: -12");
	quarry_allocator_free(&c, &c, LAYOUT);
	expect_reports(test, 1, "not a pool: -12");
	KUNIT_EXPECT_NULL(test, quarry_allocator_realloc(&c, &c, LAYOUT, LAYOUT));
	expect_reports(test, 1, "not a pool: -12");
	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(NULL, LAYOUT));
	expect_reports(test, 1, "no allocator");
	quarry_wrapper_destroy(NULL);
	quarry_wrapper_destroy(ERR_PTR(-ENOMEM));
	KUNIT_EXPECT_EQ(test, wrapper_stats(NULL).allocs, 0);
}

static void bad_arguments_make_no_wrapper(struct kunit *test)
{
	const struct quarry_wrapper_args bad = { .per_mille = 1001 };
	struct quarry_allocator inner = over_pool(test), none = {};
	struct quarry_wrapper *w;

	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_counting_create("", &inner)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_counting_create("x", NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_counting_create("x", &none)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_failing_create("x", &inner, &bad)),
			-EINVAL);
	w = quarry_wrapper_create_owned(THIS_MODULE, 1, QUARRY_COUNTING, "x", &inner,
					NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(w), -EINVAL);
	w = quarry_wrapper_create_owned(THIS_MODULE, QUARRY_ALLOCATOR_LAYOUT, 9, "x",
					&inner, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(w), -EINVAL);
}

/* Typed macros evaluate what they are given once. */
static void typed_macros_agree(struct kunit *test)
{
	struct quarry_allocator inner = over_pool(test), a;
	struct pair { u64 one; u32 two; } *pair, *next;
	struct quarry_wrapper *w;
	u16 *array;

	w = keep(test, quarry_counting_create("count", &inner));
	a = quarry_wrapper_allocator(w);
	pair = QUARRY_ZNEW(&a, struct pair);
	KUNIT_ASSERT_NOT_NULL(test, pair);
	KUNIT_EXPECT_EQ(test, pair->one + pair->two, 0);
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).bytes_live, sizeof(*pair));
	array = QUARRY_NEW_ARRAY(&a, u16, 5);
	KUNIT_ASSERT_NOT_NULL(test, array);
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).bytes_live, sizeof(*pair) + 10);
	next = pair;
	QUARRY_DELETE(&a, next++);
	KUNIT_EXPECT_PTR_EQ(test, next, pair + 1);
	QUARRY_DELETE_ARRAY(&a, array, 5);
	KUNIT_EXPECT_EQ(test, wrapper_stats(w).bytes_live, 0);
	KUNIT_EXPECT_NULL(test, QUARRY_NEW_ARRAY(&a, u64, -1));
	expect_reports(test, 1, "invalid layout");
}

/* System */

static void system_aligns_beyond_a_page(struct kunit *test)
{
	struct quarry_allocator a = quarry_system_allocator(GFP_KERNEL);
	static const size_t sizes[] = { 1, 100, SZ_4K, SZ_8K + 1, SZ_64K, SZ_1M };
	size_t align, i;

	for (align = 1; align <= SZ_1M; align *= 4) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct quarry_layout l = quarry_layout_make(sizes[i], align);
			u8 *ptr = quarry_allocator_zalloc(&a, l);

			KUNIT_ASSERT_NOT_NULL(test, ptr);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, align));
			KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0, sizes[i]));
			memset(ptr, 0xff, sizes[i]);
			quarry_allocator_free(&a, ptr, l);
		}
	}
}

static void system_knows_blocks_beyond_a_page(struct kunit *test)
{
	struct quarry_allocator a = quarry_system_allocator(GFP_KERNEL);
	struct quarry_layout l = quarry_layout_make(SZ_64K, SZ_8K);
	void *ptr = quarry_allocator_zalloc(&a, l);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	quarry_allocator_free(&a, ptr + SZ_8K, l);
	expect_reports(test, 1, "no record of a block aligned to 8192");
	/* What looks like a record, of a place that is not far off. */
	((void **)(ptr + SZ_8K))[-2] = ptr + SZ_4K;
	quarry_allocator_free(&a, ptr + SZ_8K, l);
	expect_reports(test, 1, "no record of a block aligned to 8192");
	quarry_allocator_free(&a, ptr, l);
}

/* Hard irq: a vmalloc'd block cannot be freed there, and is, a moment later. */
struct late {
	struct quarry_allocator a;
	struct quarry_layout layout;
	void *ptr;
};

static void free_late(void *arg)
{
	struct late *late = arg;

	quarry_allocator_free(&late->a, late->ptr, late->layout);
}

static bool is_freed(void *ptr)
{
	return !vmalloc_to_page(ptr);
}

static void system_frees_mappings_from_hardirq(struct kunit *test)
{
	struct late late = {
		.a = quarry_system_allocator(GFP_KERNEL),
		.layout = quarry_layout_make(SZ_16M, 8),
	};

	late.ptr = quarry_allocator_alloc(&late.a, late.layout);
	KUNIT_ASSERT_NOT_NULL(test, late.ptr);
	KUNIT_ASSERT_TRUE(test, is_vmalloc_addr(late.ptr));
	KUNIT_EXPECT_FALSE(test, is_freed(late.ptr));
	run_in_irq(free_late, &late);
	expect_comes_true(test, is_freed(late.ptr));
}

/* Views */

#define ROOT "/sys/kernel/debug/quarry/"
#define DIR ROOT "allocator/viewed/"

static void expect_line(struct kunit *test, const char *path, const char *line)
{
	char *text = read_file(test, path);

	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, line), "%s has no \"%s\":\n%s",
				  path, line, text);
}

static void views_tell_the_figures(struct kunit *test)
{
	const struct quarry_wrapper_args args = { .nth = 2, .seed = 9 };
	struct quarry_allocator inner = over_pool(test), a;
	struct quarry_wrapper *w;
	void *ptr;

	w = keep(test, quarry_failing_create("viewed", &inner, &args));
	a = quarry_wrapper_allocator(w);
	ptr = quarry_allocator_alloc(&a, quarry_layout_make(40, 8));
	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&a, LAYOUT));
	expect_line(test, DIR "config", "wrapper: failing\ninner: pool\n"
		    "flags: atomic nmi thread_safe frees_each\n");
	expect_line(test, DIR "config", "max_size: 64\nevery: 0\nnth: 2\n"
		    "per_mille: 0\nseed: 9\n");
	expect_line(test, DIR "stats", "live: 1\n");
	expect_line(test, DIR "stats", "allocs: 1\nfrees: 0\nreallocs: 0\n"
		    "failures: 0\ninjected: 1\nrefused: 0\nbytes_live: 40\n"
		    "largest: 64\n");
	expect_line(test, DIR "map", "no region");
	expect_line(test, DIR "verify", "ok\n");
	expect_line(test, ROOT "summary", " viewed ");
	KUNIT_EXPECT_EQ(test, write_file(test, DIR "reset", "1"), 1);
	expect_line(test, DIR "stats", "live: 1\n");
	expect_line(test, DIR "stats", "allocs: 0\n");
	expect_line(test, DIR "stats", "injected: 0\nrefused: 0\nbytes_live: 40\n"
		    "largest: 0\n");
	expect_line(test, DIR "verify", "ok\n");
	quarry_allocator_free(&a, ptr, quarry_layout_make(40, 8));
}

struct destroy_job {
	struct quarry_wrapper *w;
};

static void destroy_here(void *arg)
{
	struct destroy_job *job = arg;

	quarry_wrapper_destroy(job->w);
}

static void destroy_in_hardirq_is_refused(struct kunit *test)
{
	struct quarry_allocator inner = over_pool(test), a;
	struct destroy_job job;
	void *ptr;

	job.w = keep(test, quarry_counting_create("count", &inner));
	run_in_irq(destroy_here, &job);
	expect_reports(test, 1, "destroyed where one may not sleep: refused");
	a = quarry_wrapper_allocator(job.w);
	ptr = quarry_allocator_alloc(&a, LAYOUT);
	KUNIT_EXPECT_NOT_NULL(test, ptr);
	quarry_allocator_free(&a, ptr, LAYOUT);
}

/* Whatever kind: an adapter of an error refuses all that it is asked for. */
static void nothing_to_adapt_refuses(struct kunit *test)
{
	void *none = ERR_PTR(-ENOMEM);
	struct quarry_allocator all[] = {
		quarry_heap_allocator(none), quarry_arena_allocator(none),
		quarry_bump_allocator(none), quarry_percpu_arena_allocator(none),
		quarry_stack_allocator(none), quarry_router_allocator(none, 0),
	};
	u64 mine[8];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&all[i], LAYOUT));
		expect_reports(test, 1, "-12");
		quarry_allocator_free(&all[i], mine, LAYOUT);
		KUNIT_EXPECT_GE(test, atomic_xchg(&capture.nr, 0), 1);
		KUNIT_EXPECT_NULL(test, quarry_allocator_realloc(&all[i], mine, LAYOUT,
								 LAYOUT));
		KUNIT_EXPECT_GE(test, atomic_xchg(&capture.nr, 0), 1);
	}
}

static struct kunit_case wrapper_cases[] = {
	KUNIT_CASE(counting_counts),
	KUNIT_CASE(counting_counts_failures_and_refusals),
	KUNIT_CASE(counting_agrees_across_cpus),
	KUNIT_CASE(every_nth_fails),
	KUNIT_CASE(the_nth_fails_alone),
	KUNIT_CASE(probability_follows_the_seed),
	KUNIT_CASE(failing_can_be_armed_again),
	KUNIT_CASE(logging_tells_each_operation),
	KUNIT_CASE(destroyed_wrapper_refuses_and_blocks_stay),
	KUNIT_CASE(no_wrapper_refuses),
	KUNIT_CASE(bad_arguments_make_no_wrapper),
	KUNIT_CASE(views_tell_the_figures),
	KUNIT_CASE(destroy_in_hardirq_is_refused),
	KUNIT_CASE(nothing_to_adapt_refuses),
	KUNIT_CASE(typed_macros_agree),
	KUNIT_CASE(system_aligns_beyond_a_page),
	KUNIT_CASE(system_knows_blocks_beyond_a_page),
	KUNIT_CASE(system_frees_mappings_from_hardirq),
	{}
};

static struct kunit_suite wrapper_suite = {
	.name = "quarry_allocator_wrapper",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = wrapper_cases,
};

kunit_test_suite(wrapper_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: wrappers and the system's memory");
MODULE_LICENSE("GPL");
