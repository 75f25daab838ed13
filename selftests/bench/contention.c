// SPDX-License-Identifier: GPL-2.0-only
/*
 * mode=contention: two CPUs at once, wall clock.
 *
 * Three rows an allocator: pairs on one CPU, pairs on both, and one CPU
 * allocates while the other frees through a ring of BENCH_RING slots. The
 * allocators take turns within each repeat, so that a slow spell of the host
 * falls on all; figures are the median of the repeats and, below, the best of
 * them, which is nearer the truth on a host that has other work. Emulated: only
 * ratios within one run mean anything.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define MAX_ALLOCATORS	40
#define MAX_REPEATS	64

enum bench_setting { ONE, BOTH, PIPE, NR_SETTINGS };

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
	unsigned int cpu[2];
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

/* Runs one or two workers for a while: thousands of operations a second. */
static u64 race(struct bench_board *board, struct bench_worker *workers,
		unsigned int nr, unsigned int ms)
{
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
	struct bench_worker workers[2];
	bool stop = true;
	unsigned int i;

	if (setting == PIPE && !ops->produce)
		return;
	for (i = 0; i < 2; i++) {
		workers[i] = (struct bench_worker){
			.ops = ops, .handle = handle, .ring = &board->ring,
			.work = work_hammer,
		};
		if (setting == PIPE)
			workers[i].work = i ? work_consume : work_produce;
	}
	board->rate[index][setting][repeat] =
		race(board, workers, setting == ONE ? 1 : 2, ms);
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

static const u64 *find_figure(const struct bench_board *board, const char *name)
{
	unsigned int i;

	for (i = 0; i < bench_nr_allocators; i++)
		if (!strcmp(bench_allocators[i]->name, name))
			return board->figure[i];
	return NULL;
}

/* "1.95", or "-" where there is nothing to divide. */
static const char *ratio(char *out, size_t room, u64 a, u64 b)
{
	u64 hundredths;

	if (!a || !b)
		return "-";
	hundredths = div64_u64(a * 100 + b / 2, b);
	scnprintf(out, room, "%llu.%02llu", hundredths / 100, hundredths % 100);
	return out;
}

static const char *ratio_to(char *out, size_t room, const u64 *mine,
			    const u64 *other, enum bench_setting setting)
{
	return other ? ratio(out, room, mine[setting], other[setting]) : "-";
}

/* How well it scales, over how well the bare per-CPU array does. */
static const char *scaling_to(char *out, size_t room, const u64 *mine,
			      const u64 *other)
{
	return other ? ratio(out, room, mine[BOTH] * other[ONE],
			     mine[ONE] * other[BOTH]) : "-";
}

static void print_board(const struct bench_board *board, const char *which,
			unsigned int repeats)
{
	const u64 *cache = find_figure(board, "kmem_cache");
	const u64 *objpool = find_figure(board, "objpool");
	const u64 *floor = find_figure(board, "floor:percpu");
	unsigned int i;

	pr_info("quarry_bench: thousands of operations a second, %s of %u; a/b: a as a multiple of b's\n",
		which, repeats);
	pr_info("quarry_bench: %-14s %9s %9s %9s %8s %8s %8s %8s %8s %8s %8s\n",
		"allocator", "1 CPU", "2 CPUs", "pipe", "2/1", "2/1/flr",
		"2/cache", "2/objp", "2/floor", "pipe/ca", "pipe/ob");
	for (i = 0; i < bench_nr_allocators; i++) {
		const u64 *mine = board->figure[i];
		char r[7][16];

		pr_info("quarry_bench: %-14s %9llu %9llu %9llu %8s %8s %8s %8s %8s %8s %8s\n",
			bench_allocators[i]->name,
			mine[ONE], mine[BOTH], mine[PIPE],
			ratio(r[0], 16, mine[BOTH], mine[ONE]),
			scaling_to(r[1], 16, mine, floor),
			ratio_to(r[2], 16, mine, cache, BOTH),
			ratio_to(r[3], 16, mine, objpool, BOTH),
			ratio_to(r[4], 16, mine, floor, BOTH),
			ratio_to(r[5], 16, mine, cache, PIPE),
			ratio_to(r[6], 16, mine, objpool, PIPE));
	}
}

/* Once through all allocators, each made anew. */
static int measure_all(struct bench_board *board, unsigned int ms,
		       unsigned int repeat)
{
	unsigned int i, j;
	void *handle;

	for (i = 0; i < bench_nr_allocators; i++) {
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

static int pick_cpus(struct bench_board *board)
{
	int cpu;
	unsigned int n = 0;

	for_each_online_cpu(cpu)
		if (n < ARRAY_SIZE(board->cpu))
			board->cpu[n++] = cpu;
	return n == ARRAY_SIZE(board->cpu) ? 0 : -ENODEV;
}

int bench_contention(unsigned int ms, unsigned int repeats)
{
	struct bench_board *board;
	unsigned int i;
	int ret;

	if (!ms || !repeats || repeats > MAX_REPEATS ||
	    bench_nr_allocators > MAX_ALLOCATORS)
		return -EINVAL;
	board = vzalloc(sizeof(*board));
	if (!board)
		return -ENOMEM;
	ret = pick_cpus(board);
	if (ret)
		pr_err("quarry_bench: mode=contention needs two CPUs\n");
	for (i = 0; !ret && i < repeats; i++)
		ret = measure_all(board, ms, i);
	if (!ret) {
		sort_rates(board, repeats);
		take_figures(board, (repeats - 1) / 2);
		print_board(board, "median", repeats);
		take_figures(board, repeats - 1);
		print_board(board, "best", repeats);
	}
	vfree(board);
	return ret;
}
