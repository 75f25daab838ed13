/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bad accesses on purpose, each of which KASAN must report at that very access.
 * A report fails the KUnit test whose task made it, so the accesses are made by a
 * kthread; they are counted by the tracepoint that ends each report. The kernel
 * needs kasan_multi_shot on its command line, else only the first is reported.
 */
#ifndef QUARRY_KASAN_UTIL_H
#define QUARRY_KASAN_UTIL_H

#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/tracepoint.h>
#include <trace/events/error_report.h>
#include "../kmod/compat.h"
#include "kunit_util.h"

#define HAVE_KASAN (IS_ENABLED(CONFIG_KASAN_GENERIC) && \
		    IS_ENABLED(CONFIG_KASAN_VMALLOC))

/* One access by a task of its own. */
struct access {
	const void *address;
	struct completion done;
};

static atomic_t nr_errors;
static unsigned long last_error;

static inline void error_seen(void *unused, enum error_detector detector,
			      unsigned long address)
{
	if (detector != ERROR_DETECTOR_KASAN)
		return;
	atomic_inc(&nr_errors);
	WRITE_ONCE(last_error, address);
}

static inline int do_access(void *arg)
{
	struct access *access = arg;

	READ_ONCE(*(const u8 *)access->address);
	complete(&access->done);
	return 0;
}

/* How many reports a read of the byte at @address makes. */
static inline int reports_of(struct kunit *test, const void *address)
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
	return atomic_read(&nr_errors);
}

static inline void expect_good(struct kunit *test, const void *address)
{
	KUNIT_EXPECT_EQ(test, reports_of(test, address), 0);
}

/*
 * Since 7.3 a report prints the shadow of the 512 bytes before as well, and faults
 * where a page of shadow begins and the one before is not mapped.
 */
static inline bool report_faults(const void *address)
{
	return QUARRY_KASAN_REPORT_FAULTS &&
	       offset_in_page((unsigned long)address >> 3) < 64;
}

static inline void expect_bad(struct kunit *test, const void *address)
{
	if (report_faults(address))
		return;
	KUNIT_EXPECT_EQ_MSG(test, reports_of(test, address), 1,
			    "(without kasan_multi_shot only the first is seen)");
	KUNIT_EXPECT_PTR_EQ(test, (const void *)READ_ONCE(last_error), address);
}

static inline void need_kasan(struct kunit *test)
{
	if (!HAVE_KASAN)
		kunit_skip(test, "no CONFIG_KASAN_GENERIC with CONFIG_KASAN_VMALLOC");
}

#endif /* QUARRY_KASAN_UTIL_H */
