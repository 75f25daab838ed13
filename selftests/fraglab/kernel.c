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
#define MOST_TRACES	8

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

/* The peak of as many operations as one is to do: a run that allocates nothing. */
static size_t peak_of(const struct backend *backend, const struct workload *workload)
{
	struct backend counting = backend_empty;

	counting.slow = backend->slow;
	session_run(&session, &counting, workload, 0);
	return session.peak_live;
}

static void replay(const struct backend *backend, const struct workload *workload)
{
	size_t smallest = 0;

	if (backend->unbounded)
		session_run(&session, backend, workload, MOST_REGION);
	else if (backend->percent)
		session_run(&session, backend, workload,
			    peak_of(backend, workload) * backend->percent / 100);
	else
		smallest = session_smallest(&session, backend, workload, MOST_REGION, 1);
	if (session.failed || session.unsound)
		pr_err("%s: %s %s\n", workload->name, backend->name,
		       session.unsound ? "is unsound" : "failed");
	add("%s,%s,%llu,%zu,%zu,%zu,%zu", workload->name, backend->name, session.ops,
	    session.peak_live, smallest, session.waste_at_peak, session.metadata_at_peak);
	add_mean(0);
	add_mean(1);
	add_worst(0);
	add_worst(1);
	add("\n");
	pr_info("%s: %s\n", workload->name, backend->name);
}

static void replay_all(const struct workload *workload)
{
	unsigned int i;

	for (i = 0; i < nr_kernel_backends; i++)
		replay(kernel_backends[i], workload);
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
	struct workload workload = { .run = session_trace, .trace = &trace };
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
	workload.name = kbasename(path);
	replay_all(&workload);
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
	add("workload,allocator,operations,peak_live,smallest_region,inner_waste_at_peak,");
	add("metadata_at_peak,alloc,free,worst_alloc,worst_free\n");
	calibrate();
	for (i = 0; i < nr_traces && !error; i++)
		error = replay_trace(traces[i]);
	/* One that looks at addresses is not the same for all. */
	for (i = 0; i < nr_workloads && !error; i++)
		if (!workloads[i].adapts)
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
