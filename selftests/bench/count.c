// SPDX-License-Identifier: GPL-2.0-only
/*
 * mode=count: the table of instructions.
 *
 * Every figure is net of the same loop round an allocator that does nothing.
 * p50 is element (n - 1) / 2 of the sorted clean samples, p99 element
 * (n - 1) * 99 / 100. Per-block figures of batches are in tenths.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define PAIRS		20000
#define DEEP_BATCHES	60
#define DEEP_SINGLES	20
#define BULKS		400
#define MISSES		2000
#define BURSTS		400
#define DRAINS		4
#define WARMUP		512
#define MAX_SAMPLES	40960

/* The columns, in their order. */
enum bench_column {
	PAIR_P50, PAIR_P99, PAIR_MAX, ALLOC, FREE, DEEP, RANDOM, BULK, MISS,
	WORST_ALLOC, WORST_FREE, NR_COLUMNS
};

/* A cell that does not apply. */
#define NOTHING	(-1LL)

struct bench_row {
	s64 cell[NR_COLUMNS];		/* DEEP, RANDOM, BULK: of a whole batch */
	s64 single_alloc, single_free;	/* p50 in batches; empty's is the loop's */
	unsigned int disturbed;
};

struct bench_workspace {
	struct bench_samples alloc, free;
	void **blocks;
	u32 *in_order, *random;
};

static int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static void sort_samples(struct bench_samples *samples)
{
	sort(samples->value, samples->nr, sizeof(u32), compare_u32, NULL);
}

static s64 percentile(const struct bench_samples *samples, unsigned int percent)
{
	if (!samples->nr)
		return NOTHING;
	return samples->value[(u64)(samples->nr - 1) * percent / 100];
}

static s64 median(const struct bench_samples *samples)
{
	return samples->nr ? samples->value[(samples->nr - 1) / 2] : NOTHING;
}

static void forget(struct bench_workspace *ws)
{
	ws->alloc.nr = 0;
	ws->alloc.disturbed = 0;
	ws->free.nr = 0;
	ws->free.disturbed = 0;
}

/* One pattern; the samples come back sorted. */
static int run_pattern(struct bench_workspace *ws, void *handle,
		       int (*pattern)(struct bench_run *run), unsigned int nr,
		       const u32 *order)
{
	struct bench_run run = {
		.handle = handle, .blocks = ws->blocks, .order = order,
		.random = BENCH_SEED, .alloc = &ws->alloc, .free = &ws->free,
	};
	int ret;

	forget(ws);
	run.nr = nr;
	ret = pattern(&run);
	sort_samples(&ws->alloc);
	sort_samples(&ws->free);
	return ret;
}

/* The loop of single operations in batches costs what it costs empty. */
static void note_worst(struct bench_workspace *ws, struct bench_row *row,
		       const struct bench_row *empty)
{
	s64 alloc = percentile(&ws->alloc, 100) - empty->single_alloc;
	s64 free = percentile(&ws->free, 100) - empty->single_free;

	row->cell[WORST_ALLOC] = max(row->cell[WORST_ALLOC], alloc);
	row->cell[WORST_FREE] = max(row->cell[WORST_FREE], free);
	row->disturbed += ws->alloc.disturbed + ws->free.disturbed;
}

static int measure_hot(struct bench_workspace *ws, const struct bench_ops *ops,
		       void *handle, struct bench_row *row)
{
	int ret;

	ret = run_pattern(ws, handle, ops->pair, WARMUP, NULL);
	ret = ret ?: run_pattern(ws, handle, ops->pair, PAIRS, NULL);
	row->cell[PAIR_P50] = median(&ws->alloc);
	row->cell[PAIR_P99] = percentile(&ws->alloc, 99);
	row->cell[PAIR_MAX] = percentile(&ws->alloc, 100);
	row->disturbed += ws->alloc.disturbed;
	ret = ret ?: run_pattern(ws, handle, ops->split, PAIRS, NULL);
	row->cell[ALLOC] = median(&ws->alloc);
	row->cell[FREE] = median(&ws->free);
	row->disturbed += ws->alloc.disturbed;
	return ret;
}

/* Whole batches, in the order of the allocs and at random. */
static int measure_deep(struct bench_workspace *ws, const struct bench_ops *ops,
			void *handle, struct bench_row *row)
{
	int ret;

	ret = run_pattern(ws, handle, ops->deep, 2, ws->in_order);
	ret = ret ?: run_pattern(ws, handle, ops->deep, DEEP_BATCHES,
				 ws->in_order);
	row->cell[DEEP] = median(&ws->alloc);
	row->disturbed += ws->alloc.disturbed;
	ret = ret ?: run_pattern(ws, handle, ops->deep, 2, ws->random);
	ret = ret ?: run_pattern(ws, handle, ops->deep, DEEP_BATCHES,
				 ws->random);
	row->cell[RANDOM] = median(&ws->alloc);
	row->disturbed += ws->alloc.disturbed;
	return ret;
}

/* Each operation by itself, wherever a refill or a flush may hide. */
static int measure_worst(struct bench_workspace *ws, const struct bench_ops *ops,
			 void *handle, struct bench_row *row,
			 const struct bench_row *empty)
{
	int ret;

	ret = run_pattern(ws, handle, ops->single, DEEP_SINGLES, ws->in_order);
	row->single_alloc = median(&ws->alloc);
	row->single_free = median(&ws->free);
	note_worst(ws, row, empty);
	ret = ret ?: run_pattern(ws, handle, ops->single, DEEP_SINGLES,
				 ws->random);
	note_worst(ws, row, empty);
	ret = ret ?: run_pattern(ws, handle, ops->bursts, BURSTS, NULL);
	note_worst(ws, row, empty);
	if (ops->drain) {
		ret = ret ?: run_pattern(ws, handle, ops->drain, DRAINS, NULL);
		note_worst(ws, row, empty);
	}
	return ret;
}

static int measure_rest(struct bench_workspace *ws, const struct bench_ops *ops,
			void *handle, struct bench_row *row)
{
	int ret = 0;

	if (ops->bulk) {
		ret = run_pattern(ws, handle, ops->bulk, 16, NULL);
		ret = ret ?: run_pattern(ws, handle, ops->bulk, BULKS, NULL);
		row->cell[BULK] = median(&ws->alloc);
		row->disturbed += ws->alloc.disturbed;
	}
	if (ops->miss) {
		ret = ret ?: run_pattern(ws, handle, ops->miss, MISSES, NULL);
		row->cell[MISS] = median(&ws->alloc);
		row->disturbed += ws->alloc.disturbed;
	}
	return ret;
}

static int measure(struct bench_workspace *ws, const struct bench_ops *ops,
		   size_t size, struct bench_row *row,
		   const struct bench_row *empty)
{
	void *handle = ops->create(size);
	unsigned int i;
	int ret;

	if (IS_ERR(handle))
		return PTR_ERR(handle);
	for (i = 0; i < NR_COLUMNS; i++)
		row->cell[i] = NOTHING;
	row->disturbed = 0;
	if (ops->describe)
		ops->describe(handle);
	ret = measure_hot(ws, ops, handle, row);
	ret = ret ?: measure_deep(ws, ops, handle, row);
	ret = ret ?: measure_rest(ws, ops, handle, row);
	ret = ret ?: measure_worst(ws, ops, handle, row, empty);
	ops->destroy(handle);
	return ret;
}

/* A cell of a table: whole, or in tenths when it is a batch over many. */
static void print_cell(char *out, size_t room, const struct bench_row *row,
		       const struct bench_row *empty, enum bench_column column)
{
	static const unsigned int batch[NR_COLUMNS] = {
		[DEEP] = BENCH_DEPTH, [RANDOM] = BENCH_DEPTH,
		[BULK] = BENCH_BULK,
	};
	s64 net = row->cell[column];
	u64 tenths;

	if (net == NOTHING) {
		scnprintf(out, room, "-");
		return;
	}
	/* The worst have the loop taken off already; a miss is an alloc. */
	if (column == MISS)
		net -= empty->cell[ALLOC];
	else if (column < WORST_ALLOC)
		net -= empty->cell[column];
	if (!batch[column] || net < 0) {
		scnprintf(out, room, "%lld", net);
		return;
	}
	tenths = div_u64(net * 10 + batch[column] / 2, batch[column]);
	scnprintf(out, room, "%llu.%llu", tenths / 10, tenths % 10);
}

static void print_row(const struct bench_ops *ops, size_t size,
		      const struct bench_row *row, const struct bench_row *empty)
{
	char cell[NR_COLUMNS][16];
	unsigned int i;

	for (i = 0; i < NR_COLUMNS; i++)
		print_cell(cell[i], sizeof(cell[i]), row, empty, i);
	pr_info("quarry_bench: %-14s %5zu %5s %5s %5s %6s %6s %7s %7s %7s %6s %7s %7s %9u\n",
		ops->name, size, cell[PAIR_P50], cell[PAIR_P99], cell[PAIR_MAX],
		cell[ALLOC], cell[FREE], cell[DEEP], cell[RANDOM], cell[BULK],
		cell[MISS], cell[WORST_ALLOC], cell[WORST_FREE],
		row->disturbed);
}

static int count_size(struct bench_workspace *ws, size_t size)
{
	struct bench_row empty = {}, row;
	unsigned int i;
	int ret;

	/* Once to learn what the loop costs, once more as a row of the table. */
	ret = measure(ws, bench_allocators[0], size, &empty, &empty);
	if (ret)
		return ret;
	pr_info("quarry_bench: loop: pair %lld, alloc %lld, free %lld, single alloc %lld, single free %lld, batch of %u %lld\n",
		empty.cell[PAIR_P50], empty.cell[ALLOC], empty.cell[FREE],
		empty.single_alloc, empty.single_free, BENCH_DEPTH,
		empty.cell[DEEP]);
	pr_info("quarry_bench: %-14s %5s %5s %5s %5s %6s %6s %7s %7s %7s %6s %7s %7s %9s\n",
		"allocator", "size", "pair", "p99", "max", "alloc", "free",
		"deep", "random", "bulk64", "miss", "wor.all", "wor.fre",
		"disturbed");
	for (i = 0; i < bench_nr_allocators; i++) {
		ret = measure(ws, bench_allocators[i], size, &row, &empty);
		if (ret) {
			pr_err("quarry_bench: %s of %zu: %d\n",
			       bench_allocators[i]->name, size, ret);
			return ret;
		}
		print_row(bench_allocators[i], size, &row, &empty);
	}
	return 0;
}

/*
 * The asm is the whole of it: from one reading of the counter to the next there
 * are exactly 2 * loops + 5 instructions on x86, the second reading included.
 */
static u64 known_loop(unsigned long loops)
{
#if defined(CONFIG_X86_64)
	u32 start, end;

	asm volatile("rdtsc\n\t"
		     "mov %%eax, %0\n\t"
		     "nop\n\tnop\n\tnop\n"
		     "1:\tdec %2\n\t"
		     "jnz 1b\n\t"
		     "rdtsc\n\t"
		     : "=&r" (start), "=&a" (end), "+&r" (loops)
		     : : "edx", "cc");
	return end - start;
#elif defined(CONFIG_ARM64)
	u64 start, end;

	asm volatile("mrs %0, cntvct_el0\n\t"
		     "nop\n\tnop\n\tnop\n\tnop\n"
		     "1:\tsubs %2, %2, #1\n\t"
		     "b.ne 1b\n\t"
		     "mrs %1, cntvct_el0\n\t"
		     : "=&r" (start), "=&r" (end), "+&r" (loops)
		     : : "cc");
	return end - start;
#else
	return 0;
#endif
}

static void calibrate(void)
{
	static const unsigned long loops[] = { 1, 10, 1000, 100000 };
	bool exact = true;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(loops); i++) {
		u64 least = U64_MAX, most = 0, expected = 2 * loops[i] + 5;

		for (j = 0; j < 100; j++) {
			u64 before = bench_disturbances();
			u64 cost = known_loop(loops[i]);

			if (bench_disturbances() != before)
				continue;
			least = min(least, cost);
			most = max(most, cost);
		}
		pr_info("quarry_bench: calibration: %llu instructions, counter least %llu, most %llu\n",
			expected, least, most);
		exact &= least == expected && most == expected;
	}
	if (exact)
		pr_info("quarry_bench: the counter is the instruction count; figures below are instructions, net of the loop\n");
	else
		pr_warn("quarry_bench: the counter is NOT the instruction count (no -icount shift=0?); figures below are its ticks\n");
}

static void free_workspace(struct bench_workspace *ws)
{
	vfree(ws->alloc.value);
	vfree(ws->free.value);
	vfree(ws->blocks);
	vfree(ws->in_order);
	vfree(ws->random);
}

static int make_workspace(struct bench_workspace *ws)
{
	u64 state = BENCH_SEED;
	unsigned int i;

	ws->alloc.max = MAX_SAMPLES;
	ws->free.max = MAX_SAMPLES;
	ws->alloc.value = vmalloc(MAX_SAMPLES * sizeof(u32));
	ws->free.value = vmalloc(MAX_SAMPLES * sizeof(u32));
	ws->blocks = vmalloc(2 * BENCH_BLOCKS * sizeof(void *));
	ws->in_order = vmalloc(BENCH_DEPTH * sizeof(u32));
	ws->random = vmalloc(BENCH_DEPTH * sizeof(u32));
	if (!ws->alloc.value || !ws->free.value || !ws->blocks ||
	    !ws->in_order || !ws->random)
		return -ENOMEM;
	for (i = 0; i < BENCH_DEPTH; i++) {
		ws->in_order[i] = i;
		ws->random[i] = i;
	}
	for (i = BENCH_DEPTH - 1; i; i--) {
		unsigned int pick = bench_random(&state) % (i + 1);

		swap(ws->random[i], ws->random[pick]);
	}
	return 0;
}

int bench_count(void)
{
	static const size_t sizes[] = { 64, 1024, 4096 };
	struct bench_workspace ws = {};
	unsigned int i;
	int ret;

	calibrate();
	ret = make_workspace(&ws);
	for (i = 0; !ret && i < ARRAY_SIZE(sizes); i++)
		ret = count_size(&ws, sizes[i]);
	free_workspace(&ws);
	return ret;
}
