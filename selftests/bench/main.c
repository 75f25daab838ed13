// SPDX-License-Identifier: GPL-2.0-only
/*
 * quarry_bench: what the pool costs beside its peers, in one boot.
 *
 * mode=count (one CPU, QEMU with -icount shift=0): instructions an operation.
 * mode=contention (two CPUs, wall clock): operations a second, as ratios.
 *
 * Everything happens when the module is loaded; the report is in the kernel
 * log, each line begins with "quarry_bench: ", the last is "quarry_bench: done".
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include "bench.h"

static char *mode = "count";
module_param(mode, charp, 0400);
MODULE_PARM_DESC(mode, "count or heap (instructions, one CPU), or contention (two)");

static unsigned int ms = 1000;
module_param(ms, uint, 0400);
MODULE_PARM_DESC(ms, "contention: milliseconds a measurement");

static unsigned int repeats = 5;
module_param(repeats, uint, 0400);
MODULE_PARM_DESC(repeats, "contention: measurements a figure; their median and their best are shown");

static int __init quarry_bench_init(void)
{
	int ret;

	pr_info("quarry_bench: Linux %s, %u CPUs, mode=%s\n",
		init_utsname()->release, num_online_cpus(), mode);
	if (IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KCSAN) ||
	    IS_ENABLED(CONFIG_PROVE_LOCKING) || IS_ENABLED(CONFIG_DEBUG_PREEMPT))
		pr_warn("quarry_bench: a debug kernel: the figures mean nothing\n");
	if (!strcmp(mode, "count"))
		ret = bench_count();
	else if (!strcmp(mode, "heap"))
		ret = bench_heap();
	else if (!strcmp(mode, "contention"))
		ret = bench_contention(ms, repeats);
	else
		ret = -EINVAL;
	if (ret)
		pr_err("quarry_bench: failed: %d\n", ret);
	else
		pr_info("quarry_bench: done\n");
	return ret;
}

static void __exit quarry_bench_exit(void)
{
}

module_init(quarry_bench_init);
module_exit(quarry_bench_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Quarry's pool measured beside kmem_cache, objpool and mempool");
