/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * quarry_bench: what the measuring loops (template.h), the allocators
 * (allocators.c, quarry.c, general.c, peers.c), the modes (count.c, contention.c, step.c)
 * and their report (report.c) share.
 *
 * A sample is the counter, the operation, the counter: under QEMU's
 * -icount shift=0 the x86 time-stamp counter moves by one an instruction, so a
 * sample is the exact number of instructions between. Interrupts stay on, as
 * they are for a user; a sample in which one fell, or in which the task was
 * switched out, is recognised by the kernel's own counts, set apart and
 * counted, and is in no percentile and no maximum.
 *
 * On arm64 get_cycles() is the virtual counter CNTVCT_EL0, which ticks slower
 * than one an instruction: the calibration that is printed first says so.
 */
#ifndef QUARRY_BENCH_H
#define QUARRY_BENCH_H

#include <linux/bitops.h>
#include <linux/hardirq.h>
#include <linux/kernel_stat.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/timex.h>
#include <linux/types.h>
#include "../../kmod/compat.h"

#define BENCH_SEED	0x9E3779B97F4A7C15ull
#define BENCH_BLOCKS	4096	/* of each allocator that has a fixed number */
#define BENCH_LIVE	10000	/* blocks of the random live set */
#define BENCH_ROOM	100000	/* pointers that a pattern can keep */
#define BENCH_DEPTH	1024
#define BENCH_BULK	64
#define BENCH_BURST	200	/* longer than two of any magazine */
#define BENCH_RING	256	/* slots between producer and consumer */
#define BENCH_STRIDE	256	/* pairs between two looks at the stop flag */

/* Samples of one kind; value has room for max. */
struct bench_samples {
	u32 *value;
	unsigned int max;
	unsigned int nr;		/* clean ones, in value */
	unsigned int disturbed;
};

/* What one pattern works on. */
struct bench_run {
	void *handle;			/* what create returned */
	void **blocks;			/* room for BENCH_ROOM */
	u32 *sizes;			/* of the same, where they differ */
	const u32 *order;		/* in which the deep rows free */
	unsigned int nr;		/* samples, or rounds */
	unsigned int depth;		/* blocks live, or taken at once */
	bool full;			/* 5 % are given back before the first sample */
	bool even;			/* octaves of sizes are as likely as each other */
	u64 random;
	struct bench_samples *alloc;	/* also pairs and whole batches */
	struct bench_samples *free;
};

/* One producer, one consumer; each side owns one of the words. */
struct bench_ring {
	unsigned long head ____cacheline_aligned_in_smp;
	unsigned long tail ____cacheline_aligned_in_smp;
	void *slot[BENCH_RING] ____cacheline_aligned_in_smp;
};

typedef int (*bench_pattern_t)(struct bench_run *run);

/*
 * An allocator: its loops are compiled from template.h, the call inside them.
 * A loop that does not apply is NULL. All return 0 or -ENOMEM.
 */
struct bench_ops {
	const char *name;
	size_t least;			/* smaller sizes are not measured */
	size_t most;			/* larger ones neither, if not 0 */
	unsigned int slow;		/* so many times fewer samples */
	bool task_only;			/* not for interrupts */
	bool lifo;			/* blocks are freed in the reverse order */
	void *(*create)(size_t size);	/* or an ERR_PTR */
	void (*destroy)(void *handle);
	void (*describe)(void *handle);
	bench_pattern_t first;
	bench_pattern_t pair;
	bench_pattern_t split;
	bench_pattern_t deep;
	bench_pattern_t single;
	bench_pattern_t bursts;
	bench_pattern_t replace;
	bench_pattern_t sized;
	bench_pattern_t bulk;
	bench_pattern_t drain;
	bench_pattern_t miss;
	u64 (*hammer)(void *handle, const bool *stop);
	u64 (*produce)(void *handle, struct bench_ring *ring, const bool *stop);
	u64 (*consume)(void *handle, struct bench_ring *ring, const bool *stop);
};

/* allocators.c; the first is the empty template, whose cost is subtracted. */
extern const struct bench_ops empty_ops, quarry_ops, quarry_inline_ops,
			      quarry_strict_ops, quarry_exact_ops, cache_ops,
			      cache_kernel_ops, mempool_ops, objpool_bench_ops,
			      percpu_ops, cmpxchg_ops, spinlock_ops;
/* quarry.c */
extern const struct bench_ops bump_ops, bump_any_ops, bump_inline_ops,
			      pcpu_ops, pcpu_any_ops, pcpu_inline_ops,
			      arena_ops, arena_any_ops, arena_inline_ops,
			      stack_ops, stack_inline_ops;
/* general.c */
extern const struct bench_ops heap_ops, heap_lists_ops, heap_bounded_ops,
			      heap_split_ops, router_ops;
/* peers.c; linked where the kernel exports what they need. */
extern const struct bench_ops kmalloc_bench_ops, frag_ops, first_fit_ops,
			      best_fit_ops, drm_ops, vmalloc_bench_ops,
			      kvmalloc_bench_ops, checked_ops;

/* The rows there are, in their order: one more has its name here and above. */
extern const struct bench_ops * const bench_allocators[];
extern const unsigned int bench_nr_allocators;
/*
 * One more, or NULL, for the counts alone and after all others: it sets a static key
 * of the kernel's, so that theirs would differ. peers.c
 */
extern const struct bench_ops * const bench_last;

/*
 * What create is to provide: blocks of its size, with room to spare or, where it can
 * be done, none; if the size is 0, a region of so many bytes.
 */
extern unsigned int bench_blocks;
extern bool bench_tight;
extern size_t bench_bytes;

/* context.c */
enum bench_context {
	BENCH_TASK, BENCH_SOFTIRQ, BENCH_HARDIRQ, BENCH_CONTEXTS
};

extern const char * const bench_context_names[BENCH_CONTEXTS];

/* What the pattern returns; -ENODEV where there is no such context. */
int bench_run_in(enum bench_context context, bench_pattern_t pattern,
		 struct bench_run *run);

/* With sets_only, nothing but the rows of sizes that differ. */
int bench_count(const char *only, bool brief, bool sets_only);
int bench_contention(unsigned int ms, unsigned int repeats, unsigned int cpus);

/* step.c */
int bench_step(const char *only);

/* report.c: one line of the CSV; the figure is in tenths of the unit. */
int bench_report_init(const char *configuration);
void bench_report_show(void);
void bench_report_exit(void);
void bench_emit(const char *what, const char *pattern, size_t size,
		const char *context, s64 tenths, const char *unit);

/* For what frees no block by itself. The empty asm keeps the loads around it. */
static __always_inline void bench_no_free(void *handle, void *block)
{
	asm volatile("" : : "r" (block));
}

/* Between samples; a pattern may run in an interrupt. */
static inline void bench_breathe(void)
{
	if (in_task())
		cond_resched();
}

/* The barriers keep inlined work between its two clocks; they emit nothing. */
static __always_inline u64 bench_clock(void)
{
	u64 now;

	barrier();
	now = get_cycles();
	barrier();
	return now;
}

/* A number that differs after any interrupt or switch of this task. */
static inline u64 bench_disturbances(void)
{
	u64 sum = kstat_cpu_irqs_sum(raw_smp_processor_id()) +
		  current->nvcsw + current->nivcsw;

#ifdef CONFIG_X86_LOCAL_APIC
	sum += this_cpu_read(irq_stat.QUARRY_IRQ_TIMER);
#ifdef CONFIG_SMP
	sum += this_cpu_read(irq_stat.QUARRY_IRQ_RESCHEDULE) +
	       this_cpu_read(irq_stat.QUARRY_IRQ_CALL);
#endif
#endif
	return sum;
}

static inline void bench_record(struct bench_samples *samples, u64 cost,
				u64 before)
{
	if (bench_disturbances() != before)
		samples->disturbed++;
	else if (samples->nr < samples->max)
		samples->value[samples->nr++] = min_t(u64, cost, U32_MAX);
}

/* xorshift64*: the same sequence for every allocator. */
static inline u32 bench_random(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545F4914F6CDD1Dull) >> 32;
}

/* 17 to 4096: of eight octaves each half as likely as the one below, or all alike. */
static inline u32 bench_size(u64 *state, bool even)
{
	u32 random = bench_random(state);
	u32 octave = (even ? random & 7 : __ffs(random | 1 << 7)) + 4;

	return (1 << octave) + 1 + bench_random(state) % (1 << octave);
}

static inline bool bench_ring_put(struct bench_ring *ring, void *block)
{
	unsigned long head = ring->head;

	/* Pairs with the release in get: the slot has been read. */
	if (head - smp_load_acquire(&ring->tail) == BENCH_RING)
		return false;
	ring->slot[head % BENCH_RING] = block;
	/* Pairs with the acquire in get: the slot is written. */
	smp_store_release(&ring->head, head + 1);
	return true;
}

static inline void *bench_ring_get(struct bench_ring *ring)
{
	unsigned long tail = ring->tail;
	void *block;

	/* Pairs with the release in put. */
	if (smp_load_acquire(&ring->head) == tail)
		return NULL;
	block = ring->slot[tail % BENCH_RING];
	/* Pairs with the acquire in put. */
	smp_store_release(&ring->tail, tail + 1);
	return block;
}

#endif /* QUARRY_BENCH_H */
