/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The router inside.
 *
 * Who may touch what. What alloc and free read on the hit path (@base to @pool) is
 * set before the router is open, and but for @limit and @class_bytes, which destroy
 * sets to 0, not changed while it is. @class_of and @owner are tables of bytes:
 * class by size in units of 8, class by page. The pools and the heap have their
 * own rules. A CPU's counters: any context on that CPU, by one this_cpu operation
 * each; others sum them.
 *
 * The system's blocks. @slot is a table by hash of address. A slot is 0, SLOT_TAKEN,
 * or the address of a live block. It goes 0 -> SLOT_TAKEN -> address by who records
 * a block, and address -> 0 by who frees it, each by one compare-and-swap or a
 * store by the one who has taken it. An address may stand in any of the WINDOW
 * slots from its hash on, and a search looks at all of them, so that nothing has to
 * be moved and no tombstone is needed: any context may search and remove, NMI
 * included. Of two frees of one block one wins. A block is recorded before it is
 * handed out, and forgotten before it goes to the system, which may hand its
 * address out again only afterwards: an address stands in the table once.
 * @system_live is raised before a slot is searched for and lowered after it is
 * freed; it bounds the table's load to a half.
 *
 * The accounting equation, that verify checks:
 *
 *	live = live of all classes + live of the heap + used slots
 *	used slots = system_live
 *	allocs = hits + fell_back, requests = allocs + failed
 *
 * Locks: none here.
 */
#ifndef QUARRY_KMOD_ROUTER_H
#define QUARRY_KMOD_ROUTER_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/mutex.h>
#include <quarry/heap.h>
#include <quarry/router.h>
#include "allocator.h"
#include "heap.h"
#include "pool.h"

/* A class serves sizes in units of this. */
#define CLASS_UNIT	8UL

#define WINDOW		64
#define SLOT_TAKEN	1L

/**
 * struct router_slot - a block of the system
 * @address: 0, %SLOT_TAKEN, or where it is; any context
 * @size: bytes that were asked for; who has taken the slot
 */
struct router_slot {
	atomic_long_t address;
	size_t size;
};

struct router_cpu {
	u64 class_full, heap_full, heap_home, fell_back;
	u64 failed, not_allowed, system_full;
	u64 system_allocs, system_frees, system_deferred;
	u64 resized, moved;
};

/**
 * struct quarry_router - a router
 * @base: the region's first address
 * @limit: bytes in the largest class; 0 when closed
 * @class_bytes: bytes of the region that belong to classes; 0 when closed
 * @class_of: by (size - 1) / 8
 * @owner: by page of the region
 * @pool: the classes, by rising size
 * @closed: destroyed or dead: nothing is served
 * @peak: of @system_live
 * @refused_foreign: any context, as the two next
 * @baseline: counters at the last reset; @lock
 * The others are set once.
 */
struct quarry_router {
	unsigned long base;
	size_t limit;
	size_t class_bytes;
	u8 *class_of;
	u8 *owner;
	struct quarry_pool *pool[QUARRY_ROUTER_MAX_CLASSES];

	bool closed;
	struct router_cpu __percpu *cpu;
	struct quarry_heap *heap;
	size_t class_span;		/* what class_bytes is while it is open */
	struct router_slot *slot;
	unsigned int slot_bits;
	size_t system_max;
	u32 nr_classes;
	u32 flags;

	atomic_long_t system_live ____cacheline_aligned_in_smp;
	atomic_long_t system_peak;
	atomic_t asking;		/* allocs that are with the system now */
	atomic_long_t refused_foreign;
	atomic_long_t refused_owner;
	atomic_long_t refused_dead;

	struct quarry_object object;
	struct mutex lock;		/* verify and reset, one at a time */
	struct quarry_router_stats baseline;
	struct quarry_region region;
};

/**
 * struct router_plan - how a region will be divided
 * @class: the classes
 * @bytes: of each, whole pages
 * @nr: how many
 * @classes: bytes of all of them
 * @total: bytes of the region; what the classes do not have is the heap's
 */
struct router_plan {
	struct quarry_router_class class[QUARRY_ROUTER_MAX_CLASSES];
	size_t bytes[QUARRY_ROUTER_MAX_CLASSES];
	u32 nr;
	size_t classes;
	size_t total;
};

static inline struct quarry_router *to_router(struct quarry_object *object)
{
	return container_of(object, struct quarry_router, object);
}

static inline bool not_a_router(const struct quarry_router *router)
{
	return not_a_handle(router);
}

/* router_life.c */
/* @plan is all zero before; tests look at it for sizes that no machine has. */
int quarry__router_plan(const char *name, struct router_plan *plan, size_t size,
			const struct quarry_router_args *args);

/* router_system.c */
void *quarry__router_system_alloc(struct quarry_router *router, size_t size,
				  size_t align, gfp_t gfp);
bool quarry__router_system_free(struct quarry_router *router, void *ptr);
struct router_slot *quarry__router_slot(const struct quarry_router *router,
					const void *ptr);

/* router_view.c */
void quarry__router_row(struct quarry_object *object, struct quarry_row *row);
void quarry__router_config(struct quarry_object *object, struct seq_file *seq);
void quarry__router_stats(struct quarry_object *object, struct seq_file *seq);
void quarry__router_map(struct quarry_object *object, struct seq_file *seq);
void quarry__router_reset(struct quarry_object *object);
int quarry__router_verify(struct quarry_object *object, char *why, size_t size);

#endif /* QUARRY_KMOD_ROUTER_H */
