// SPDX-License-Identifier: GPL-2.0-only
/*
 * The figures as CSV, in /sys/kernel/debug/quarry_bench until the module is
 * unloaded. One line a figure; a statistic other than the median follows the
 * pattern's name after a dot.
 */
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define REPORT_BYTES	(1024 * 1024)

static struct debugfs_blob_wrapper report;
static struct dentry *report_file;
static const char *report_configuration;

static __printf(1, 2) void add(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report.size += vscnprintf(report.data + report.size,
				  REPORT_BYTES - report.size, format, args);
	va_end(args);
}

void bench_emit(const char *what, const char *pattern, size_t size,
		const char *context, s64 tenths, const char *unit)
{
	u64 whole = div_u64(abs(tenths), 10);
	unsigned int tenth = abs(tenths) - whole * 10;

	add("%s,%s,%s,%s,%zu,%s,%s%llu", init_utsname()->release,
	    report_configuration, what, pattern, size, context,
	    tenths < 0 ? "-" : "", whole);
	if (tenth)
		add(".%u", tenth);
	add(",%s\n", unit);
}

int bench_report_init(const char *configuration)
{
	report_configuration = configuration;
	report.data = vzalloc(REPORT_BYTES);
	if (!report.data)
		return -ENOMEM;
	add("kernel,configuration,what,pattern,size,context,figure,unit\n");
	return 0;
}

/* Once all is measured: the file's size is fixed from then on. */
void bench_report_show(void)
{
	report_file = debugfs_create_blob("quarry_bench", 0400, NULL, &report);
}

void bench_report_exit(void)
{
	debugfs_remove(report_file);
	vfree(report.data);
}
