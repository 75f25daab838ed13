// SPDX-License-Identifier: GPL-2.0-only
/*
 * mode=contention: CPUs at once, wall clock.
 *
 * Rows of an allocator: pairs on one CPU, on two, on as many as were asked for if
 * these are more, and one CPU allocates while the other frees through a ring of
 * BENCH_RING slots. CPUs of different cores come first. The
 * allocators take turns within each repeat, so that a slow spell of the host
 * falls on all; figures are the median of the repeats and the best of them,
 * which is nearer the truth on a host that has other work. Emulated: only ratios
 * within one run mean anything.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define MAX_ALLOCATORS	64
#define MAX_REPEATS	64
#define MAX_CPUS	64

enum bench_setting { ONE, TWO, ALL, PIPE, NR_SETTINGS };

/* One thread; it starts when all are told to, and stays until it is stopped. */
struct bench_worker {
	struct task_struct *task;
	const struct bench_ops *ops;
	void *handle;
	struct bench_ring *ring;
	u64 (*work)(struct bench_worker *worker);
	const bool *go, *stop;
	u64 done;
};

struct bench_board {
	/* Thousands of operations a second. */
	u64 rate[MAX_ALLOCATORS][NR_SETTINGS][MAX_REPEATS];
	u64 figure[MAX_ALLOCATORS][NR_SETTINGS];
	struct bench_ring ring;
	struct bench_worker workers[MAX_CPUS];
	unsigned int cpu[MAX_CPUS];
	unsigned int nr[NR_SETTINGS];		/* CPUs, 0: no row */
};

static u64 work_hammer(struct bench_worker *worker)
{
	return worker->ops->hammer(worker->handle, worker->stop);
}

static u64 work_produce(struct bench_worker *worker)
{
	return worker->ops->produce(worker->handle, worker->ring, worker->stop);
}

static u64 work_consume(struct bench_worker *worker)
{
	return worker->ops->consume(worker->handle, worker->ring, worker->stop);
}

static int worker_thread(void *data)
{
	struct bench_worker *worker = data;

	while (!READ_ONCE(*worker->go) && !kthread_should_stop())
		cond_resched();
	worker->done = worker->work(worker);
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	return 0;
}

/* Runs the workers for a while: thousands of operations a second. */
static u64 race(struct bench_board *board, unsigned int nr, unsigned int ms)
{
	struct bench_worker *workers = board->workers;
	bool go = false, stop = false;
	unsigned int i;
	u64 done = 0, ns;

	for (i = 0; i < nr; i++) {
		workers[i].go = &go;
		workers[i].stop = &stop;
		workers[i].done = 0;
		workers[i].task = kthread_create(worker_thread, &workers[i],
						 "quarry_bench/%u", i);
		if (IS_ERR(workers[i].task))
			break;
		kthread_bind(workers[i].task, board->cpu[i]);
		wake_up_process(workers[i].task);
	}
	ns = ktime_get_ns();
	if (i == nr) {
		WRITE_ONCE(go, true);
		msleep(ms);
	}
	WRITE_ONCE(stop, true);
	ns = ktime_get_ns() - ns;
	nr = i;
	for (i = 0; i < nr; i++) {
		kthread_stop(workers[i].task);
		done += workers[i].done;
	}
	return div64_u64(done * NSEC_PER_MSEC, ns);
}

static void measure_setting(struct bench_board *board, unsigned int index,
			    enum bench_setting setting, void *handle,
			    unsigned int ms, unsigned int repeat)
{
	const struct bench_ops *ops = bench_allocators[index];
	struct bench_worker *worker = board->workers;
	bool stop = true;
	unsigned int i;

	if (!ops->hammer || !board->nr[setting] || (setting == PIPE && !ops->produce))
		return;
	for (i = 0; i < board->nr[setting]; i++, worker++) {
		*worker = (struct bench_worker){
			.ops = ops, .handle = handle, .ring = &board->ring,
			.work = work_hammer,
		};
		if (setting == PIPE)
			worker->work = i ? work_consume : work_produce;
	}
	board->rate[index][setting][repeat] = race(board, board->nr[setting], ms);
	/* One stride more, which is as long as the ring. */
	BUILD_BUG_ON(BENCH_STRIDE < BENCH_RING);
	if (setting == PIPE)
		ops->consume(handle, &board->ring, &stop);
}

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void sort_rates(struct bench_board *board, unsigned int repeats)
{
	unsigned int i, j;

	for (i = 0; i < bench_nr_allocators; i++)
		for (j = 0; j < NR_SETTINGS; j++)
			sort(board->rate[i][j], repeats, sizeof(u64),
			     compare_u64, NULL);
}

/* The one of that rank among the sorted repeats. */
static void take_figures(struct bench_board *board, unsigned int rank)
{
	unsigned int i, j;

	for (i = 0; i < bench_nr_allocators; i++)
		for (j = 0; j < NR_SETTINGS; j++)
			board->figure[i][j] = board->rate[i][j][rank];
}

/* A figure that was not taken is left out. */
static void report(const struct bench_board *board, const char *statistic)
{
	static const char * const pattern[NR_SETTINGS] = {
		"pairs", "pairs", "pairs", "pipe"
	};
	char name[16], context[16];
	unsigned int i, j;

	for (i = 0; i < bench_nr_allocators; i++) {
		for (j = 0; j < NR_SETTINGS; j++) {
			if (!board->figure[i][j])
				continue;
			scnprintf(name, sizeof(name), "%s%s", pattern[j],
				  statistic);
			scnprintf(context, sizeof(context), "%u-cpu%s", board->nr[j],
				  board->nr[j] > 1 ? "s" : "");
			bench_emit(bench_allocators[i]->name, name, 64, context,
				   board->figure[i][j] * 10,
				   "kops/s");
		}
	}
}

/* Once through all allocators, each made anew. */
static int measure_all(struct bench_board *board, unsigned int ms,
		       unsigned int repeat)
{
	unsigned int i, j;
	void *handle;

	for (i = 0; i < bench_nr_allocators; i++) {
		if (!bench_allocators[i]->hammer ||
		    bench_allocators[i]->least > 64)
			continue;
		handle = bench_allocators[i]->create(64);
		if (IS_ERR(handle))
			return PTR_ERR(handle);
		if (bench_allocators[i]->describe && !repeat)
			bench_allocators[i]->describe(handle);
		for (j = 0; j < NR_SETTINGS; j++)
			measure_setting(board, i, j, handle, ms, repeat);
		bench_allocators[i]->destroy(handle);
	}
	return 0;
}

/* The first CPU of each core, then the others; how many of those that are wanted. */
static unsigned int pick_cpus(struct bench_board *board, unsigned int wanted)
{
	unsigned int n = 0, cpu;
	int others;

	for (others = 0; others < 2; others++)
		for_each_online_cpu(cpu)
			if (n < wanted &&
			    others == (cpumask_first(topology_sibling_cpumask(cpu)) != cpu))
				board->cpu[n++] = cpu;
	return n;
}

int bench_contention(unsigned int ms, unsigned int repeats, unsigned int cpus)
{
	struct bench_board *board;
	unsigned int i;
	int ret = 0;

	if (!ms || cpus < 2 || cpus > MAX_CPUS || !repeats || repeats > MAX_REPEATS ||
	    bench_nr_allocators > MAX_ALLOCATORS)
		return -EINVAL;
	board = vzalloc(sizeof(*board));
	if (!board)
		return -ENOMEM;
	board->nr[ONE] = 1;
	board->nr[TWO] = 2;
	board->nr[ALL] = cpus > 2 ? cpus : 0;
	board->nr[PIPE] = 2;
	if (pick_cpus(board, cpus) < cpus) {
		pr_err("quarry_bench: mode=contention needs %u CPUs\n", cpus);
		ret = -ENODEV;
	}
	for (i = 0; !ret && i < repeats; i++)
		ret = measure_all(board, ms, i);
	if (!ret) {
		sort_rates(board, repeats);
		take_figures(board, (repeats - 1) / 2);
		report(board, "");
		take_figures(board, repeats - 1);
		report(board, ".best");
	}
	vfree(board);
	return ret;
}
