// SPDX-License-Identifier: GPL-2.0-only
/*
 * quarry_bench: what the allocators cost beside their peers, in one boot.
 *
 * mode=count (one CPU, QEMU with -icount shift=0): instructions an operation.
 * mode=heap: of these the rows of sizes that differ alone.
 * mode=contention (two CPUs and more, wall clock): operations a second, as ratios.
 * mode=step: waits for a debugger that steps through an alloc and a free of each.
 *
 * Everything happens when the module is loaded. The figures are then in
 * /sys/kernel/debug/quarry_bench, as CSV; how it goes is in the kernel log, where
 * the last line is "quarry_bench: done". On a real machine the counter is the
 * time-stamp counter, and the unit of the figures says so.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include "bench.h"

static char *mode = "count";
module_param(mode, charp, 0400);
MODULE_PARM_DESC(mode, "count, heap or step (instructions, one CPU), or contention (two and more)");

static unsigned int ms = 1000;
module_param(ms, uint, 0400);
MODULE_PARM_DESC(ms, "contention: milliseconds a measurement");

static unsigned int repeats = 5;
module_param(repeats, uint, 0400);
MODULE_PARM_DESC(repeats, "contention: measurements a figure; their median and their best are shown");

static unsigned int cpus = 2;
module_param(cpus, uint, 0400);
MODULE_PARM_DESC(cpus, "contention: rows for one CPU, two, and so many");

static char *configuration = "as-booted";
module_param(configuration, charp, 0400);
MODULE_PARM_DESC(configuration, "named in each line of the report");

static char *only = "";
module_param(only, charp, 0400);
MODULE_PARM_DESC(only, "count, heap, step: allocators whose names begin like this");

static bool brief;
module_param(brief, bool, 0400);
MODULE_PARM_DESC(brief, "count: 64 bytes and fewer samples");

static int __init quarry_bench_init(void)
{
	int ret;

	ret = bench_report_init(configuration);
	if (ret)
		return ret;

	pr_info("quarry_bench: Linux %s, %u CPUs, mode=%s\n",
		init_utsname()->release, num_online_cpus(), mode);
	if (IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KCSAN) ||
	    IS_ENABLED(CONFIG_PROVE_LOCKING) || IS_ENABLED(CONFIG_DEBUG_PREEMPT))
		pr_warn("quarry_bench: a debug kernel: the figures mean nothing\n");
	if (!strcmp(mode, "count"))
		ret = bench_count(only, brief, false);
	else if (!strcmp(mode, "heap"))
		ret = bench_count(only, brief, true);
	else if (!strcmp(mode, "contention"))
		ret = bench_contention(ms, repeats, cpus);
	else if (!strcmp(mode, "step"))
		ret = bench_step(only);
	else
		ret = -EINVAL;
	if (ret) {
		pr_err("quarry_bench: failed: %d\n", ret);
		bench_report_exit();
		return ret;
	}
	bench_report_show();
	pr_info("quarry_bench: done\n");
	return 0;
}

static void __exit quarry_bench_exit(void)
{
	bench_report_exit();
}

module_init(quarry_bench_init);
module_exit(quarry_bench_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Quarry's allocators measured beside the kernel's");
