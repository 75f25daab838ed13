/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What quarry says in the kernel's log beside the funnel for misuse: lines that begin
 * with "quarry: ", counted as they are stored, and the latest kept. From log_begin()
 * to log_end(), one test at a time.
 */
#ifndef QUARRY_LOG_UTIL_H
#define QUARRY_LOG_UTIL_H

#include <kunit/test.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <trace/events/printk.h>

static int log_nr;
static char log_last[256];

static inline void log_seen(void *unused, const char *text, size_t len)
{
	if (len < strlen("quarry: ") || !str_has_prefix(text, "quarry: "))
		return;
	log_nr++;
	strscpy(log_last, text, min(len + 1, sizeof(log_last)));
}

static inline void log_begin(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no CONFIG_TRACEPOINTS");
	log_nr = 0;
	log_last[0] = '\0';
	KUNIT_ASSERT_EQ(test, register_trace_console(log_seen, NULL), 0);
}

static inline void log_end(void)
{
	unregister_trace_console(log_seen, NULL);
	tracepoint_synchronize_unregister();
}

/* One line since log_begin(), which has @text in it; none when it is NULL. */
static inline void expect_said(struct kunit *test, const char *text)
{
	KUNIT_EXPECT_EQ_MSG(test, log_nr, text ? 1 : 0, "last line: %s", log_last);
	if (text)
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(log_last, text),
					  "line without \"%s\": %s", text, log_last);
}

#endif /* QUARRY_LOG_UTIL_H */
