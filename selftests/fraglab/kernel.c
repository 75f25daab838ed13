// SPDX-License-Identifier: GPL-2.0-only
/*
 * quarry_fraglab: the fragmentation laboratory in the kernel. Replays the traces named
 * by its parameter, and the workloads that are made here, by the same replayer as in
 * user space over the kernel's own allocators and Quarry's; figures as CSV in
 * /sys/kernel/debug/quarry_fraglab until it is unloaded.
 *
 * Each call is measured alone, with interrupts off, by the time-stamp counter; what
 * measuring itself costs (of a function that does nothing) is subtracted. Under QEMU's
 * -icount the counter counts instructions.
 */
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "kernel.h"

#define REPORT_BYTES	SZ_64K
#define MOST_REGION	SZ_64M
#define MOST_COARSE	SZ_1G
#define INSTANTS	64	/* at which it is looked for the largest hole */
#define MOST_TRACES	8

static int failed;
module_param(failed, int, 0400);
MODULE_PARM_DESC(failed, "how many of the replays were not as they must be, when it is loaded");

static char *workload, *allocator;
module_param(workload, charp, 0400);
MODULE_PARM_DESC(workload, "the only one to replay");
module_param(allocator, charp, 0400);
MODULE_PARM_DESC(allocator, "the only one to replay over");

static char *traces[MOST_TRACES];
static int nr_traces;
module_param_array(traces, charp, &nr_traces, 0400);
MODULE_PARM_DESC(traces, "paths of traces to replay, by commas");

static struct debugfs_blob_wrapper report;
static struct dentry *report_file;
static struct session session;
static u64 floor_cost[2];	/* of an empty call, in hundredths */

static __printf(1, 2) void add(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report.size += vscnprintf(report.data + report.size,
				  REPORT_BYTES - report.size, format, args);
	va_end(args);
}

struct object *session_room(struct object *objects, size_t old, size_t room)
{
	struct object *more = vmalloc(array_size(room, sizeof(*objects)));

	if (more && old)
		memcpy(more, objects, array_size(old, sizeof(*objects)));
	if (more)
		vfree(objects);
	return more;
}

/* Pictures are user space's. */
void session_sample(struct session *which)
{
	struct account account = {};

	if (which->nr_samples == ARRAY_SIZE(which->samples) || !which->backend->account)
		return;
	which->backend->account(which->handle, &account);
	which->samples[which->nr_samples++] = (struct sample){
		.op = which->ops, .live = which->live, .used = which->used,
		.largest_hole = account.largest_hole,
	};
}

static u64 mean(int what)
{
	if (!session.count[what])
		return 0;
	return div64_u64(session.cost[what] * 100, session.count[what]);
}

static void add_mean(int what)
{
	u64 cost = mean(what);
	u32 rest;

	cost -= min(cost, floor_cost[what]);
	cost = div_u64_rem(cost, 100, &rest);
	add(",%llu.%02u", cost, rest);
}

static void add_worst(int what)
{
	u64 least = div_u64(floor_cost[what], 100);

	add(",%llu", session.worst[what] - min(session.worst[what], least));
}

/* The mean index in thousandths and the last hole, of allocators that have one. */
static void add_holes(void)
{
	u64 sum = 0, spare;
	unsigned int i;

	if (!session.account.largest_hole) {
		add(",,");
		return;
	}
	for (i = 0; i < session.nr_samples; i++) {
		spare = session.region - session.samples[i].used;
		sum += spare ? 1000 - div64_u64(1000 * session.samples[i].largest_hole, spare) : 0;
	}
	sum = i ? div_u64(sum, i) : 0;
	add(",%llu.%03llu,%zu", sum / 1000, sum % 1000,
	    i ? session.samples[i - 1].largest_hole : session.account.largest_hole);
}

/*
 * In a region of so many percent of the peak or, if that does not do, a third more, and
 * so on. What is run first tells the peak of as many operations as it is to do.
 */
static void replay_once(const struct backend *backend, const struct workload *which)
{
	struct backend scout = backend->scout ? *backend->scout : backend_empty;
	size_t peak, region;

	scout.slow = backend->slow;
	session.sample_every = 0;
	session_run(&session, &scout, which, 0);
	peak = session.peak_live;
	session.sample_every = div_u64(session.ops, INSTANTS) + 1;
	region = peak * backend->percent / 100;
	do {
		session_run(&session, backend, which, region);
		region += region / 3;
	} while (session.failed && !session.unsound && backend->percent && region < 16 * peak);
}

/* What became of it: Quarry's own refuse nothing, and nobody is unsound. */
static const char *outcome(const struct backend *backend, const struct workload *which)
{
	const char *what = session.unsound ? "unsound" : session.failed ? "refused" :
			   session.cut ? "part" : "whole";

	if (session.unsound || (session.failed && strstarts(backend->name, "quarry_"))) {
		pr_err("%s: %s: %s\n", which->name, backend->name, what);
		failed++;
	} else {
		pr_info("%s: %s: %s\n", which->name, backend->name, what);
	}
	return what;
}

static void replay(const struct backend *backend, const struct workload *which)
{
	size_t smallest = 0, outside, reserved;
	u64 ops = 0;

	session.unsound = false;
	if (backend->unbounded || backend->percent) {
		replay_once(backend, which);
	} else {
		smallest = session_smallest(&session, backend, which,
					    backend->coarse ? MOST_COARSE : MOST_REGION,
					    &ops);
		session.sample_every = div_u64(ops, INSTANTS) + 1;
		if (smallest)
			session_run(&session, backend, which, smallest);
	}
	outside = session.account.outside + session.blocks_at_peak * backend->node;
	reserved = session.account.reserved ?: session.region + outside;
	add("%s,%s,%llu,%s,%zu,%zu,%zu,%zu,%zu,%zu", which->name, backend->name,
	    session.ops, outcome(backend, which), session.peak_live, smallest,
	    session.region, reserved, session.waste_at_peak,
	    outside + session.blocks_at_peak * backend->header);
	add_holes();
	add(",%llu,%llu", session.account.elsewhere, session.account.flushes);
	add_mean(0);
	add_mean(1);
	add_worst(0);
	add_worst(1);
	add("\n");
}

static bool wanted(const char *only, const char *name)
{
	return !only || !strcmp(only, name);
}

static void replay_all(const struct workload *which)
{
	unsigned int i;

	if (!wanted(workload, which->name))
		return;
	/* What depends on places is for allocators that tell them. */
	for (i = 0; i < nr_kernel_backends; i++)
		if (wanted(allocator, kernel_backends[i]->name) &&
		    (!which->adapts || kernel_backends[i]->places))
			replay(kernel_backends[i], which);
}

/* The file whole, vmalloc'd; or an ERR_PTR. */
static void *read_file(const char *path, size_t *length)
{
	struct file *file = filp_open(path, O_RDONLY, 0);
	void *text = ERR_PTR(-EFBIG);
	loff_t at = 0;
	ssize_t got;

	if (IS_ERR(file))
		return file;
	*length = i_size_read(file_inode(file));
	if (*length && *length <= SZ_64M)
		text = vmalloc(*length) ?: ERR_PTR(-ENOMEM);
	if (!IS_ERR(text)) {
		got = kernel_read(file, text, *length, &at);
		if (got != *length) {
			vfree(text);
			text = ERR_PTR(got < 0 ? got : -EIO);
		}
	}
	fput(file);
	return text;
}

static int replay_trace(const char *path)
{
	struct trace trace;
	struct workload which = { .run = session_trace, .trace = &trace };
	size_t length;
	void *file = read_file(path, &length);

	if (IS_ERR(file)) {
		pr_err("%s: error %ld\n", path, PTR_ERR(file));
		return PTR_ERR(file);
	}
	if (!trace_open(&trace, file, length)) {
		pr_err("%s: not a trace, or broken\n", path);
		vfree(file);
		return -EINVAL;
	}
	which.name = kbasename(path);
	replay_all(&which);
	vfree(file);
	return 0;
}

static void calibrate(void)
{
	session_run(&session, &backend_empty, &workloads[0], 0);
	floor_cost[0] = mean(0);
	floor_cost[1] = mean(1);
	pr_info("an empty alloc and free: %llu and %llu\n", floor_cost[0], floor_cost[1]);
}

static int __init fraglab_init(void)
{
	unsigned int i;
	int error = 0;

	report.data = vzalloc(REPORT_BYTES);
	if (!report.data)
		return -ENOMEM;
	add("workload,allocator,operations,outcome,peak_live,smallest_region,region,reserved,");
	add("inner_waste_at_peak,metadata_at_peak,mean_index,largest_hole_at_end,elsewhere,");
	add("flushes,alloc,free,worst_alloc,worst_free\n");
	calibrate();
	for (i = 0; i < nr_traces && !error; i++)
		error = replay_trace(traces[i]);
	for (i = 0; i < nr_workloads && !error; i++)
		replay_all(&workloads[i]);
	vfree(session.objects);
	if (error) {
		vfree(report.data);
		return error;
	}
	report_file = debugfs_create_blob("quarry_fraglab", 0400, NULL, &report);
	return 0;
}

static void __exit fraglab_exit(void)
{
	debugfs_remove(report_file);
	vfree(report.data);
}

module_init(fraglab_init);
module_exit(fraglab_exit);
MODULE_DESCRIPTION("Fragmentation laboratory in the kernel");
MODULE_LICENSE("GPL");
