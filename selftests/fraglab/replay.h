/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the replayer (session.c), its drivers (replay.c in user space, kernel.c in the
 * kernel), the workloads (workloads.c) and the allocators (fit.c, slab.c, pools.c,
 * heap.c; kernel_backends.c) share.
 *
 * An allocator works on a region that begins at an address aligned to any power of
 * two that is asked for, or so much beyond one; addresses here are offsets from
 * that begin. In the kernel they are addresses.
 */
#ifndef FRAGLAB_REPLAY_H
#define FRAGLAB_REPLAY_H

#ifdef __KERNEL__
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/timex.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif
#include <linux/types.h>

#include "trace.h"

#define NOWHERE		SIZE_MAX
#define MAP_ROWS	256
#define SAMPLES		512

/* A block as it lies in the region: its header, what was asked for, what is unused. */
struct extent {
	size_t begin, length;
};

/* What only the allocator knows of itself; 0 where it has no such thing. */
struct account {
	size_t outside;		/* bytes of metadata that are not in the region */
	size_t reserved;	/* bytes in all, where they are not the region's and outside */
	size_t largest_hole;
	__u64 elsewhere;	/* allocs served from where they do not belong */
	__u64 flushes;		/* of caches in front, before a request fails */
};

struct backend {
	const char *name;
	size_t header;		/* bytes a block, within the region */
	size_t node;		/* bytes a block, outside of it */
	size_t fixed;		/* bytes outside of it */
	size_t lead;		/* where it begins beyond such an alignment */
	void *(*create)(size_t bytes);
	void (*destroy)(void *handle);
	size_t (*alloc)(void *handle, size_t size, size_t align);
	void (*free)(void *handle, size_t at);
	struct extent (*extent)(void *handle, size_t at);
	bool (*verify)(void *handle);
	void (*account)(void *handle, struct account *account);
	const struct backend *scout;	/* the workload is run on it first, once */
	bool drains;		/* all must be freed before destroy */
	bool any_align;		/* it knows no alignment */
	bool unbounded;		/* it has no region */
	bool places;		/* extents are places in the region, which a workload may use */
	bool coarse;		/* its region is found to 1 % */
	__u32 percent;		/* of the peak: its region; 0: the smallest that will do */
	__u32 slow;		/* operations to measure, at most; 0: all */
};

extern const struct backend best_fit, first_fit, best_fit_bare, first_fit_bare;
extern const struct backend best_fit_nodes, fit_pages, slab_model, pools_model;
#ifdef FRAGLAB_HEAP
extern const struct backend heap_backend, heap_bounded_backend;
#endif

struct object {
	size_t at;		/* NOWHERE when it is free */
	size_t size;
	struct extent extent;
};

struct sample {
	__u64 op;
	size_t live, used, largest_hole;
};

/* One workload on one allocator in one region. */
struct session {
	const struct backend *backend;
	const struct workload *workload;
	void *handle;
	struct object *objects;
	size_t nr, room;
	bool failed;		/* refused, and nothing more was done */
	bool unsound;		/* misaligned, or verify failed */
	bool cut;		/* a trace, after as many operations as its backend may do */
	__u64 ops, most_ops;
	__u64 count[2], cost[2], worst[2];	/* allocs, frees; see count_end() */
	size_t live, peak_live;		/* bytes asked for */
	size_t used;			/* of the extents */
	size_t blocks;
	size_t region;
	size_t waste_at_peak, blocks_at_peak, metadata_at_peak;
	struct account account;		/* at the end */
	/* Where wanted: pictures */
	__u64 sample_every;
	struct sample samples[SAMPLES + 1];
	unsigned int nr_samples;
	size_t row_bytes;
	__u32 rows[MAP_ROWS];
	__u8 map[SAMPLES + 1][MAP_ROWS];
};

struct workload {
	const char *name;
	void (*run)(struct session *session);
	const struct trace *trace;
	bool adapts;		/* to addresses, or blocks are of a size as they lie */
};

extern const struct workload workloads[];
extern const unsigned int nr_workloads;

/* The object's number; once one was refused, all are, and nothing is done. */
size_t session_alloc(struct session *session, size_t size, size_t align);
void session_free(struct session *session, size_t object);

/* A workload's function: the trace that it names. */
void session_trace(struct session *session);

/* Once, in a region of so many bytes; the figures are in the session. */
void session_run(struct session *session, const struct backend *backend,
		 const struct workload *workload, size_t region);

/*
 * The smallest region in which nothing is refused, to a thousandth of the peak of
 * live bytes, and how many operations a run in it has; 0 when there is none up to most.
 */
size_t session_smallest(struct session *session, const struct backend *backend,
			const struct workload *workload, size_t most, __u64 *ops);

/* Of the driver: room for so many objects, of which old are there; or NULL. */
struct object *session_room(struct object *objects, size_t old, size_t room);
void session_sample(struct session *session);

/*
 * What one call costs, in the kernel: by the time-stamp counter, interrupts off.
 * Under QEMU's -icount that is the number of instructions.
 */
#ifdef __KERNEL__
static __always_inline __u64 count_begin(void)
{
	__u64 now;

	local_irq_disable();
	barrier();
	now = get_cycles();
	barrier();
	return now;
}

static __always_inline void count_end(struct session *session, int what, __u64 start)
{
	__u64 cost;

	barrier();
	cost = get_cycles() - start;
	barrier();
	local_irq_enable();
	session->count[what]++;
	session->cost[what] += cost;
	if (cost > session->worst[what])
		session->worst[what] = cost;
}

#define breathe()	cond_resched()
#else
static inline __u64 count_begin(void)
{
	return 0;
}

static inline void count_end(struct session *session, int what, __u64 start)
{
	(void)session;
	(void)what;
	(void)start;
}

#define breathe()	((void)0)
#endif

#endif /* FRAGLAB_REPLAY_H */
