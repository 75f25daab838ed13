// SPDX-License-Identifier: GPL-2.0-only
/*
 * mode=count: instructions an operation, pattern by pattern.
 *
 * Every figure is net of the same loop round an allocator that does nothing,
 * which is measured first. p50 is element (n - 1) / 2 of the sorted clean
 * samples, p99 element (n - 1) * 99 / 100 and so on; means are of the clean
 * samples. A row that cannot be filled (too few blocks or bytes) is left out.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define MAX_SAMPLES	262144
#define BENCH_REGION	SZ_32M	/* for sizes that differ */

enum bench_order { FIFO, LIFO, RANDOM, NR_ORDERS };

/* Which statistics of a list of samples are reported. */
enum bench_statistics {
	MEDIAN_ONLY,
	TAIL,		/* and p99, p99.9, the largest */
	TAIL_MEAN,
	CURVE,		/* and p90, p99.99: enough to draw */
};

/* Which allocators the pattern is for: what these are made with. Each SIZED_SET has its own. */
enum bench_making { USUAL, AFRESH, FULL_SET, LIVE_SET, SIZED_SET };

/*
 * A pattern. Its samples go to the lists alloc and free; where only one of
 * them has a name, the other is not used. Singles share one pair of lists, the
 * last of them reports. What to subtract is the empty allocator's cost in `loop`.
 */
struct bench_pattern {
	const char *alloc, *free;
	size_t offset;			/* of the function, in bench_ops */
	unsigned int nr, warm, depth;
	enum bench_order order;
	enum bench_statistics statistics;
	enum bench_making making;
	unsigned int loop;		/* 0: its own */
	bool batch;			/* a sample is of depth pairs */
	bool more;			/* a single that is not the last */
	bool everywhere;		/* in interrupts too */
	bool full;			/* as in bench_run */
	bool even;			/* likewise */
	bool roomy;			/* 4/3 of the peak live bytes, not BENCH_REGION */
};

enum {
	FIRST, PAIR, SPLIT, FIFO64, LIFO64, RANDOM64, FIFO1K, LIFO1K, RANDOM1K,
	BULK, FULL, SINGLE_FIFO, SINGLE_LIFO, SINGLE_RANDOM, SINGLE_BURSTS, DRAIN, MISS, LIVE,
	HALVING10, HALVING1K, HALVING10K, HALVING100K, LOGUNI10K,
	ROOMY10, ROOMY1K, ROOMY10K, ROOMY100K, ROOMY_LOGUNI10K, NR_PATTERNS
};

#define LOOP(verb)	.offset = offsetof(struct bench_ops, verb)
#define SET(alloc, free, live, ...)					\
	{ alloc, free, LOOP(sized), .nr = 50000, .depth = (live),	\
	  .statistics = TAIL_MEAN, .making = SIZED_SET, __VA_ARGS__ }

static const struct bench_pattern patterns[NR_PATTERNS] = {
	[FIRST] = { "first-alloc", "first-free", LOOP(first), .nr = 1,
		    .making = AFRESH },
	[PAIR] = { "pair", NULL, LOOP(pair), .nr = 8000, .warm = 512,
		   .statistics = TAIL, .everywhere = true },
	[SPLIT] = { "alloc", "free", LOOP(split), .nr = 4000,
		    .everywhere = true },
	[FIFO64] = { "fifo64", NULL, LOOP(deep), .nr = 200, .warm = 2,
		.depth = 64, .batch = true, .order = FIFO },
	[LIFO64] = { "lifo64", NULL, LOOP(deep), .nr = 200, .warm = 2,
		.depth = 64, .batch = true, .order = LIFO },
	[RANDOM64] = { "random64", NULL, LOOP(deep), .nr = 200, .warm = 2,
		.depth = 64, .batch = true, .order = RANDOM },
	[FIFO1K] = { "fifo1024", NULL, LOOP(deep), .nr = 30, .warm = 2,
		.depth = 1024, .batch = true, .order = FIFO, .everywhere = true },
	[LIFO1K] = { "lifo1024", NULL, LOOP(deep), .nr = 30, .warm = 2,
		.depth = 1024, .batch = true, .order = LIFO },
	[RANDOM1K] = { "random1024", NULL, LOOP(deep), .nr = 30, .warm = 2,
		.depth = 1024, .batch = true, .order = RANDOM },
	[BULK] = { "bulk64", NULL, LOOP(bulk), .nr = 400, .warm = 16,
		   .depth = BENCH_BULK, .batch = true, .everywhere = true },
	[FULL] = { "full95-alloc", "full95-free", LOOP(replace), .nr = 4000,
		   .depth = BENCH_BLOCKS, .statistics = TAIL, .making = FULL_SET,
		   .full = true },
	[SINGLE_FIFO] = { "single-alloc", "single-free", LOOP(single), .nr = 10,
			  .depth = 1024, .more = true, .loop = SINGLE_FIFO,
			  .everywhere = true },
	[SINGLE_LIFO] = { "single-alloc", "single-free", LOOP(single), .nr = 10,
			  .depth = 1024, .order = LIFO, .more = true,
			  .loop = SINGLE_FIFO, .everywhere = true },
	[SINGLE_RANDOM] = { "single-alloc", "single-free", LOOP(single),
			    .nr = 10, .depth = 1024, .order = RANDOM,
			    .more = true, .loop = SINGLE_FIFO, .everywhere = true },
	[SINGLE_BURSTS] = { "single-alloc", "single-free", LOOP(bursts),
			    .nr = 400, .statistics = CURVE, .loop = SINGLE_FIFO,
			    .everywhere = true },
	/* By themselves: what has no end has no such row to be compared with. */
	[DRAIN] = { "drain-alloc", "drain-free", LOOP(drain), .nr = 16,
		    .statistics = TAIL, .loop = SINGLE_FIFO, .everywhere = true },
	/* After that, so that what an alloc costs that is deeper than any before is seen. */
	[MISS] = { "miss", NULL, LOOP(miss), .nr = 2000, .loop = SPLIT },
	[LIVE] = { "live10k-alloc", "live10k-free", LOOP(replace), .nr = 10000,
		   .depth = BENCH_LIVE, .statistics = TAIL_MEAN,
		   .making = LIVE_SET },
	[HALVING10] = SET("halving10-alloc", "halving10-free", 10),
	[HALVING1K] = SET("halving1k-alloc", "halving1k-free", 1000),
	[HALVING10K] = SET("halving10k-alloc", "halving10k-free", BENCH_LIVE),
	[HALVING100K] = SET("halving100k-alloc", "halving100k-free", BENCH_ROOM),
	[LOGUNI10K] = SET("loguni10k-alloc", "loguni10k-free", BENCH_LIVE, .even = true),
	[ROOMY10] = SET("roomy-halving10-alloc", "roomy-halving10-free", 10, .roomy = true),
	[ROOMY1K] = SET("roomy-halving1k-alloc", "roomy-halving1k-free", 1000, .roomy = true),
	[ROOMY10K] = SET("roomy-halving10k-alloc", "roomy-halving10k-free",
		BENCH_LIVE, .roomy = true),
	[ROOMY100K] = SET("roomy-halving100k-alloc", "roomy-halving100k-free",
		BENCH_ROOM, .roomy = true),
	[ROOMY_LOGUNI10K] = SET("roomy-loguni10k-alloc", "roomy-loguni10k-free",
		BENCH_LIVE, .even = true, .roomy = true),
};

/* Of the empty allocator, by pattern. */
struct bench_loops {
	s64 alloc[NR_PATTERNS], free[NR_PATTERNS];
};

struct bench_workspace {
	struct bench_samples alloc, free;
	void **blocks;
	u32 *sizes;
	u32 *order[NR_ORDERS], *order64[NR_ORDERS];
	const char *only;
	const char *unit;
	bool brief, sets_only;
	struct bench_loops loops;
};

/* What is being measured just now. */
struct bench_subject {
	const struct bench_ops *ops;
	size_t size;
	enum bench_context context;
	void *handle;
	unsigned int disturbed;
};

static int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

/* The element that so many in ten thousand are at or below. */
static s64 rank(const struct bench_samples *samples, unsigned int myriad)
{
	return samples->value[div_u64((u64)(samples->nr - 1) * myriad, 10000)];
}

static void forget(struct bench_workspace *ws)
{
	ws->alloc.nr = 0;
	ws->alloc.disturbed = 0;
	ws->free.nr = 0;
	ws->free.disturbed = 0;
}

static void emit(const struct bench_workspace *ws,
		 const struct bench_subject *subject, const char *pattern,
		 const char *statistic, s64 tenths)
{
	char name[32];

	scnprintf(name, sizeof(name), "%s%s", pattern, statistic);
	bench_emit(subject->ops->name, name, subject->size,
		   bench_context_names[subject->context], tenths, ws->unit);
}

static s64 mean_tenths(const struct bench_samples *samples, s64 loop)
{
	unsigned int i;
	u64 sum = 0;

	for (i = 0; i < samples->nr; i++)
		sum += samples->value[i];
	return (s64)div_u64(sum * 10, samples->nr) - loop * 10;
}

/* A list of samples: its figures, net of the loop. */
static void report_list(const struct bench_workspace *ws,
			const struct bench_subject *subject,
			const struct bench_pattern *pattern, const char *name,
			const struct bench_samples *samples, s64 loop)
{
	unsigned int share = pattern->batch ? pattern->depth : 1;

	if (!samples->nr)
		return;
	emit(ws, subject, name, "",
	     div_s64((rank(samples, 5000) - loop) * 10, share));
	if (pattern->statistics == MEDIAN_ONLY)
		return;
	if (pattern->statistics == CURVE)
		emit(ws, subject, name, ".p90", (rank(samples, 9000) - loop) * 10);
	emit(ws, subject, name, ".p99", (rank(samples, 9900) - loop) * 10);
	emit(ws, subject, name, ".p999", (rank(samples, 9990) - loop) * 10);
	if (pattern->statistics == CURVE)
		emit(ws, subject, name, ".p9999", (rank(samples, 9999) - loop) * 10);
	emit(ws, subject, name, ".max", (rank(samples, 10000) - loop) * 10);
	if (pattern->statistics == TAIL_MEAN)
		emit(ws, subject, name, ".mean", mean_tenths(samples, loop));
}

static void report(struct bench_workspace *ws, struct bench_subject *subject,
		   unsigned int index)
{
	const struct bench_pattern *pattern = &patterns[index];
	unsigned int loop = pattern->loop ?: index;
	struct bench_loops *loops = &ws->loops;

	sort(ws->alloc.value, ws->alloc.nr, sizeof(u32), compare_u32, NULL);
	sort(ws->free.value, ws->free.nr, sizeof(u32), compare_u32, NULL);
	/* The first time round it is the loops that are learnt. */
	if (!ws->unit) {
		loops->alloc[index] = ws->alloc.nr ? rank(&ws->alloc, 5000) : 0;
		loops->free[index] = ws->free.nr ? rank(&ws->free, 5000) : 0;
		return;
	}
	report_list(ws, subject, pattern, pattern->alloc, &ws->alloc,
		    loops->alloc[loop]);
	if (pattern->free)
		report_list(ws, subject, pattern, pattern->free, &ws->free,
			    loops->free[loop]);
}

static const u32 *pick_order(const struct bench_workspace *ws,
			     const struct bench_pattern *pattern)
{
	return pattern->depth == 64 ? ws->order64[pattern->order] :
				      ws->order[pattern->order];
}

static unsigned int pick_number(const struct bench_workspace *ws,
				const struct bench_subject *subject,
				const struct bench_pattern *pattern)
{
	unsigned int nr = pattern->nr / (subject->ops->slow ?: 1);

	if (ws->brief || subject->context != BENCH_TASK)
		nr /= 4;
	/* A tick falls into one of four of the longest samples. */
	return max(nr, pattern->nr > 5 ? 5u : 1u);
}

/* Blocks are freed in an order that is not the reverse of their allocs'. */
static bool in_order(const struct bench_pattern *pattern)
{
	return pattern->order != LIFO &&
	       (pattern->offset == offsetof(struct bench_ops, deep) ||
		pattern->offset == offsetof(struct bench_ops, single));
}

/* One pattern on a handle that is there. */
static int run_pattern(struct bench_workspace *ws, struct bench_subject *subject,
		       unsigned int index)
{
	const struct bench_pattern *pattern = &patterns[index];
	bench_pattern_t loop = *(const bench_pattern_t *)
		((const char *)subject->ops + pattern->offset);
	struct bench_run run = {
		.handle = subject->handle, .blocks = ws->blocks,
		.sizes = ws->sizes, .order = pick_order(ws, pattern),
		.depth = pattern->depth, .full = pattern->full,
		.even = pattern->even, .random = BENCH_SEED,
		.alloc = &ws->alloc, .free = &ws->free,
	};
	int ret = 0;

	if (!loop || (subject->ops->lifo && in_order(pattern)))
		return 0;
	run.nr = pattern->warm / (subject->ops->slow ?: 1);
	if (run.nr) {
		ret = bench_run_in(subject->context, loop, &run);
		forget(ws);
	}
	run.nr = pick_number(ws, subject, pattern);
	return ret ?: bench_run_in(subject->context, loop, &run);
}

/* One pattern and its rows. */
static int count_pattern(struct bench_workspace *ws, struct bench_subject *subject,
			 unsigned int index)
{
	const struct bench_pattern *pattern = &patterns[index];
	int ret = run_pattern(ws, subject, index);

	subject->disturbed += ws->alloc.disturbed + ws->free.disturbed;
	ws->alloc.disturbed = 0;
	ws->free.disturbed = 0;
	/* Too few blocks or bytes for the live set: there is no row. */
	if (ret && (ret != -ENOMEM || pattern->making < LIVE_SET))
		return ret;
	/* Singles of one kind; while loops are learnt, each is its own. */
	if (pattern->more && ws->unit)
		return 0;
	if (!ret)
		report(ws, subject, index);
	forget(ws);
	return 0;
}

/* Made, measured by all patterns of one kind, and destroyed. */
static int measure(struct bench_workspace *ws, struct bench_subject *subject,
		   enum bench_making making)
{
	const struct bench_ops *ops = subject->ops;
	unsigned int i;
	int ret = 0;

	bench_blocks = making == LIVE_SET ? BENCH_LIVE + BENCH_LIVE / 20 :
					    BENCH_BLOCKS;
	bench_tight = making == FULL_SET;
	subject->handle = ops->create(subject->size);
	bench_blocks = BENCH_BLOCKS;
	if (IS_ERR(subject->handle))
		return PTR_ERR(subject->handle);
	if (ops->describe && ws->unit && making == USUAL)
		ops->describe(subject->handle);
	forget(ws);
	for (i = 0; !ret && i < NR_PATTERNS; i++)
		if (patterns[i].making == making &&
		    (subject->context == BENCH_TASK || patterns[i].everywhere))
			ret = count_pattern(ws, subject, i);
	ops->destroy(subject->handle);
	return ret;
}

/* The same sequence as the pattern's, without an allocator: 4/3 of its peak, in pages. */
static size_t roomy_bytes(struct bench_workspace *ws,
			  const struct bench_pattern *pattern)
{
	u64 random = BENCH_SEED;
	size_t bytes = 0, peak = 0;
	unsigned int i, pick;

	for (i = 0; i < pattern->depth + pattern->nr; i++) {
		pick = i;
		if (i >= pattern->depth) {
			pick = bench_random(&random) % pattern->depth;
			bytes -= ws->sizes[pick];
		}
		ws->sizes[pick] = bench_size(&random, pattern->even);
		bytes += ws->sizes[pick];
		peak = max(peak, bytes);
		cond_resched();
	}
	return PAGE_ALIGN(peak * 4 / 3);
}

/* Sizes that differ: an allocator for each set, in a region of the same size for all. */
static int measure_sets(struct bench_workspace *ws, struct bench_subject *subject)
{
	const struct bench_ops *ops = subject->ops;
	unsigned int i;
	int ret = 0;

	for (i = HALVING10; ops->sized && !ret && i < NR_PATTERNS; i++) {
		const struct bench_pattern *set = &patterns[i];

		/* Those that search take minutes for more. */
		if ((ops->slow >= 10 && set->depth != BENCH_LIVE) ||
		    (ws->brief && set->depth != BENCH_LIVE && set->depth != 10))
			continue;
		bench_blocks = set->depth;
		bench_bytes = set->roomy ? roomy_bytes(ws, set) : BENCH_REGION;
		if (ops == bench_allocators[0] && ws->unit)
			bench_emit("region", set->alloc, 0, "any", bench_bytes * 10, "bytes");
		subject->handle = ops->create(0);
		bench_blocks = BENCH_BLOCKS;
		/* A region that is too small to begin with: no row. */
		if (IS_ERR(subject->handle))
			continue;
		forget(ws);
		ret = count_pattern(ws, subject, i);
		ops->destroy(subject->handle);
	}
	return ret;
}

/* One allocator at one size: first use, the patterns, other contexts, live sets. */
static int count_one(struct bench_workspace *ws, const struct bench_ops *ops,
		     size_t size)
{
	struct bench_subject subject = { .ops = ops, .size = size };
	int ret = 0;

	if (size < ops->least || (ops->most && size > ops->most))
		return 0;
	if (ws->sets_only)
		goto sets;
	ret = measure(ws, &subject, AFRESH);
	ret = ret ?: measure(ws, &subject, USUAL);
	ret = ret ?: measure(ws, &subject, FULL_SET);
	if (size > 64 || ops->task_only)
		goto out;
	ret = ret ?: measure(ws, &subject, LIVE_SET);
	for (subject.context = BENCH_TASK + 1; subject.context < BENCH_CONTEXTS;
	     subject.context++)
		ret = ret ?: measure(ws, &subject, USUAL);
	subject.context = BENCH_TASK;
sets:
	subject.size = 0;
	ret = ret ?: measure_sets(ws, &subject);
out:
	if (ret)
		pr_err("quarry_bench: %s of %zu: %d\n", ops->name, size, ret);
	else if (ws->unit)
		pr_info("quarry_bench: %s of %zu: %u samples set apart\n",
			ops->name, size, subject.disturbed);
	return ret;
}

static int count_size(struct bench_workspace *ws, size_t size, const char *unit)
{
	unsigned int i;
	int ret;

	/* Once to learn what the loops cost, once more as a row. */
	ws->unit = NULL;
	ret = count_one(ws, bench_allocators[0], size);
	ws->unit = unit;
	for (i = 0; !ret && i < bench_nr_allocators; i++)
		if (!i || !strncmp(bench_allocators[i]->name, ws->only,
				   strlen(ws->only)))
			ret = count_one(ws, bench_allocators[i], size);
	return ret;
}

/* What loops cost is that of another size by now, and is learnt once more. */
static int count_last(struct bench_workspace *ws, const char *unit)
{
	int ret;

	if (!bench_last || strncmp(bench_last->name, ws->only, strlen(ws->only)))
		return 0;
	ws->unit = NULL;
	ret = count_one(ws, bench_allocators[0], 64);
	ws->unit = unit;
	return ret ?: count_one(ws, bench_last, 64);
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

/* What a figure is: the name of the unit. */
static const char *calibrate(void)
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
	if (exact) {
		pr_info("quarry_bench: the counter is the instruction count; figures are instructions, net of the loop\n");
		return "instructions";
	}
	pr_warn("quarry_bench: the counter is NOT the instruction count (no -icount shift=0?); figures are its ticks\n");
	return IS_ENABLED(CONFIG_X86) ? "tsc" : "ticks";
}

static void free_workspace(struct bench_workspace *ws)
{
	unsigned int i;

	vfree(ws->alloc.value);
	vfree(ws->free.value);
	vfree(ws->blocks);
	vfree(ws->sizes);
	for (i = 0; i < NR_ORDERS; i++) {
		vfree(ws->order[i]);
		vfree(ws->order64[i]);
	}
}

static u32 *make_order(enum bench_order order, unsigned int nr)
{
	u32 *at = vmalloc(array_size(nr, sizeof(*at)));
	u64 state = BENCH_SEED;
	unsigned int i;

	if (!at)
		return NULL;
	for (i = 0; i < nr; i++)
		at[i] = order == LIFO ? nr - 1 - i : i;
	for (i = nr - 1; i && order == RANDOM; i--) {
		unsigned int pick = bench_random(&state) % (i + 1);

		swap(at[i], at[pick]);
	}
	return at;
}

static int make_workspace(struct bench_workspace *ws)
{
	unsigned int i;

	ws->alloc.max = MAX_SAMPLES;
	ws->free.max = MAX_SAMPLES;
	ws->alloc.value = vmalloc(MAX_SAMPLES * sizeof(u32));
	ws->free.value = vmalloc(MAX_SAMPLES * sizeof(u32));
	ws->blocks = vmalloc(BENCH_ROOM * sizeof(void *));
	ws->sizes = vmalloc(BENCH_ROOM * sizeof(u32));
	if (!ws->alloc.value || !ws->free.value || !ws->blocks || !ws->sizes)
		return -ENOMEM;
	for (i = 0; i < NR_ORDERS; i++) {
		ws->order[i] = make_order(i, BENCH_DEPTH);
		ws->order64[i] = make_order(i, 64);
		if (!ws->order[i] || !ws->order64[i])
			return -ENOMEM;
	}
	return 0;
}

int bench_count(const char *only, bool brief, bool sets_only)
{
	static const size_t sizes[] = { 64, 1024, 4096 };
	struct bench_workspace ws = {
		.only = only, .brief = brief, .sets_only = sets_only,
	};
	const char *unit = calibrate();
	unsigned int i;
	int ret;

	ret = make_workspace(&ws);
	for (i = 0; !ret && i < (brief || sets_only ? 1 : ARRAY_SIZE(sizes)); i++)
		ret = count_size(&ws, sizes[i], unit);
	if (!ret && !brief && !sets_only)
		ret = count_last(&ws, unit);
	free_workspace(&ws);
	return ret;
}
