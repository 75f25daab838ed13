/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fraglab-replay: what the driver (replay.c), the workloads (workloads.c) and the
 * allocators (fit.c, heap.c) share.
 *
 * An allocator works on a region that begins at an address aligned to any power of
 * two that is asked for, or so much beyond one; addresses here are offsets from
 * that begin.
 */
#ifndef FRAGLAB_REPLAY_H
#define FRAGLAB_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#define NOWHERE		SIZE_MAX
#define MAP_ROWS	256
#define SAMPLES		512

/* A block as it lies in the region: its header, what was asked for, what is unused. */
struct extent {
	size_t begin, length;
};

struct backend {
	const char *name;
	size_t header;		/* bytes a block, within the region */
	size_t fixed;		/* bytes outside of it */
	size_t lead;		/* where it begins beyond such an alignment */
	void *(*create)(size_t bytes);
	void (*destroy)(void *handle);
	size_t (*alloc)(void *handle, size_t size, size_t align);
	void (*free)(void *handle, size_t at);
	struct extent (*extent)(void *handle, size_t at);
	bool (*verify)(void *handle);
};

extern const struct backend best_fit, first_fit, best_fit_bare, first_fit_bare;
extern const struct backend fit_pages, slab_model;
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
	void *handle;
	struct object *objects;
	size_t nr, room;
	bool failed;
	__u64 ops;
	size_t live, peak_live;		/* bytes asked for */
	size_t used;			/* of the extents */
	size_t blocks;
	size_t region;
	size_t waste_at_peak, metadata_at_peak;
	/* Where wanted: pictures */
	__u64 sample_every;
	struct sample samples[SAMPLES + 1];
	unsigned int nr_samples;
	size_t row_bytes;
	__u32 rows[MAP_ROWS];
	__u8 map[SAMPLES + 1][MAP_ROWS];
};

/* The object's number; once one was refused, all are, and nothing is done. */
size_t session_alloc(struct session *session, size_t size, size_t align);
void session_free(struct session *session, size_t object);

struct workload {
	const char *name;
	void (*run)(struct session *session);
};

extern const struct workload workloads[];
extern const unsigned int nr_workloads;

#endif /* FRAGLAB_REPLAY_H */
