/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * quarry_bench: what the measuring loops (template.h), the allocators
 * (allocators.c) and the two modes (count.c, contention.c) share.
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

#include <linux/hardirq.h>
#include <linux/kernel_stat.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/timex.h>
#include <linux/types.h>
#include "../../kmod/compat.h"

#define BENCH_SEED	0x9E3779B97F4A7C15ull
#define BENCH_BLOCKS	4096	/* of each allocator that has a fixed number */
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
	void **blocks;			/* room for twice BENCH_BLOCKS */
	const u32 *order;		/* in which the deep rows free */
	unsigned int nr;		/* samples, or rounds */
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

/*
 * An allocator: its loops are compiled from template.h, the call inside them.
 * A loop that does not apply is NULL. All return 0 or -ENOMEM.
 */
struct bench_ops {
	const char *name;
	void *(*create)(size_t size);	/* or an ERR_PTR */
	void (*destroy)(void *handle);
	void (*describe)(void *handle);
	int (*pair)(struct bench_run *run);
	int (*split)(struct bench_run *run);
	int (*deep)(struct bench_run *run);
	int (*single)(struct bench_run *run);
	int (*bursts)(struct bench_run *run);
	int (*bulk)(struct bench_run *run);
	int (*drain)(struct bench_run *run);
	int (*miss)(struct bench_run *run);
	u64 (*hammer)(void *handle, const bool *stop);
	u64 (*produce)(void *handle, struct bench_ring *ring, const bool *stop);
	u64 (*consume)(void *handle, struct bench_ring *ring, const bool *stop);
};

/* The first is the empty template, whose cost is subtracted. */
extern const struct bench_ops * const bench_allocators[];
extern const unsigned int bench_nr_allocators;

int bench_count(void);
int bench_heap(void);
int bench_contention(unsigned int ms, unsigned int repeats);

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
	sum += quarry_irq_stat(apic_timer_irqs, APIC_TIMER);
#ifdef CONFIG_SMP
	sum += quarry_irq_stat(irq_resched_count, RESCHEDULE) +
	       quarry_irq_stat(irq_call_count, CALL_FUNCTION);
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
