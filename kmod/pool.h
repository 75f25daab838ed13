/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pool inside: its words, who may touch each, and what holds among them.
 *
 * Blocks have numbers 0 .. nr-1. A block is live (its state byte names the CPU
 * that handed it out) or free and then on exactly one free list:
 *
 *	a CPU's loaded or spare magazine	this CPU, gate held
 *	the depot: a stack of magazines		any CPU, any context, lock-free
 *	the loose list: a stack of blocks	any CPU, any context, lock-free
 *
 * The accounting equation, that verify checks and live is computed from:
 *
 *	nr = live + cached + in the depot + loose
 *	outside = live + cached		(the word that pops and pushes move)
 *
 * The gate. A CPU's magazines belong to whoever holds its gate. It is taken and
 * given back on that CPU with preemption disabled, by plain stores: only an
 * interrupt or NMI on the same CPU can come in between, it finds the gate held,
 * leaves the magazines alone and uses the shared lists, and has gone again when
 * we go on. An interrupt that comes between our look at the gate and our store
 * finds it open, takes it and gives it back, and leaves all as consistent as it
 * found it; we have read nothing yet. For that no interrupt may change a gate for
 * good: gates are opened and closed in tasks of their CPU, but for drain(), which
 * closes all from one, when nobody uses the pool any more. So compiler barriers
 * suffice; no other CPU reads these words but to sum counters. True on PREEMPT_RT
 * as well: nothing here is a lock, the section is a few instructions.
 *
 * Strict pools. Who frees a block changes its state from live to free by a
 * compare-and-swap, and who fails has freed nothing, and is refused without another
 * look: the block may be live again by then. That is all; their allocs are like those
 * of others, and store the state of a block that they own.
 *
 * The sentinel. The slot below each magazine's first names block nr, whose state
 * is never free: one test finds both an empty magazine and a duplicate.
 *
 * Tagged stacks. A head is one 64-bit word {tag, reference}. Each successful
 * compare-and-swap advances the tag, so that one that was prepared before
 * another's pop and push fails. For it to succeed wrongly, exactly a multiple of
 * 2^32 operations must pass while one CPU stands between two instructions with
 * preemption disabled.
 *
 * Order. A push is a release: the block's contents and state and the slots of
 * the magazine, written before it, are seen by whoever pops (acquire) the word
 * that this or a later compare-and-swap of the chain has written. Within a CPU,
 * program order; from task to task, the scheduler's. A free on one CPU and the
 * alloc of the same block on another have such a push and pop in between, since
 * the block cannot get from one CPU's magazine to the other's else. depot_take()
 * reads slots of a magazine that stays in the depot: these reads must come
 * before its compare-and-swap, which is therefore a full barrier. See
 * Documentation/litmus.
 *
 * The loose list. A block's link is also its membership: only who changes it
 * from NOT_LISTED may push, so that a block never is on the list twice, whatever
 * frees race. Elsewhere a duplicate is a number in an array, and is dropped by
 * the alloc that meets it.
 *
 * The promise. Each CPU may hold two magazines of @share blocks, and all CPUs
 * together @slack blocks, which exist besides nr_blocks. A magazine on its way
 * between a CPU and the depot counts as that CPU's.
 */
#ifndef QUARRY_KMOD_POOL_H
#define QUARRY_KMOD_POOL_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <quarry/pool.h>
#include "internal.h"

/* A reference to a magazine: its number, and how many blocks are in it. */
#define ROUNDS_BITS	7
#define ROUNDS_MASK	(BIT(ROUNDS_BITS) - 1)
#define NO_MAGAZINE	U32_MAX

static_assert(QUARRY_POOL_MAX_MAGAZINE <= ROUNDS_MASK);
/* Magazines there may be: the number of the last is not NO_MAGAZINE's. */
#define MAX_MAGAZINES	((1U << (32 - ROUNDS_BITS)) - 1)

/* Values of a block's link that are no block's number. */
#define NOT_LISTED	U32_MAX
#define LIST_END	(U32_MAX - 1)
#define LIST_CLAIMED	(U32_MAX - 2)

static_assert(QUARRY_POOL_MAX_BLOCKS + QUARRY_POOL_MAX_BLOCKS / 8 < LIST_CLAIMED);

/* Blocks that move between a magazine and the loose list in one go. */
#define LOOSE_BATCH	7
/* Blocks that are copied out of a magazine of the depot in one go. */
#define TAKE_BATCH	32
/* Blocks of a bulk operation without magazines, off the loose list or onto it. */
#define BULK_BATCH	64

/**
 * struct quarry_magazine - an array of free blocks
 * @below: reference to the magazine below in a stack; owner of the magazine
 * @sentinel: nr; set once
 * @slot: numbers of blocks; whoever owns the magazine
 */
struct quarry_magazine {
	u32 below;
	u32 sentinel;
	u32 slot[];
};

static_assert(offsetof(struct quarry_magazine, slot) -
	      offsetof(struct quarry_magazine, sentinel) == sizeof(u32));

/* Reasons for a refusal; each has a counter. */
enum refusal {
	REFUSED_FOREIGN,
	REFUSED_OWNER,
	REFUSED_MISALIGNED,
	REFUSED_INTERIOR,
	REFUSED_DOUBLE,
	REFUSED_DEAD,
	NR_REFUSALS
};

/**
 * struct quarry_pool - a pool
 * @hot: what the hit path reads; set at create, closed at destroy. Its cpu and nr
 *	open last and close first. Its nr is 0 where each free does more than the
 *	hit path, or has no magazine to go to: such a free misses, an alloc may hit
 * @nr: blocks, the spare ones included; 0 unless open, so that who reads another
 *	number with preemption disabled has all that belongs to the blocks
 * @full: the depot; tagged stack of magazines that hold blocks
 * @empty: tagged stack of magazines that hold none
 * @loose: tagged stack of blocks
 * @outside: blocks outside the shared lists; any context. It lags behind a pop
 *	and runs ahead of a push, so that the peak is not overstated
 * @peak: its high-water mark since the last reset; any context
 * @refused: counters by reason; any context
 * @object: registry's part
 * @closed: not built yet, destroyed or dead: nothing is served
 * @cpu: the CPUs' words, whether the hit path may see them or not
 * @reused: the handle had a life before; set once
 * @class: of a router, whose object stands for it in the registry; set once
 * @drained: no CPU has magazines, for good; destroy and release
 * @share: blocks a magazine may hold now; @sharing
 * @budget: of @slack, what no CPU has yet; @sharing
 * @baseline: counters at the last reset; @lock
 * The others are set once.
 */
struct quarry_pool {
	struct quarry_pool_hot hot;
	u64 nr;
	bool closed;
	struct quarry_pool_cpu __percpu *cpu;
	struct quarry_magazine *magazines;
	u32 *links;
	unsigned long *tracked;
	struct quarry_sites *sites;
	u32 magazine_stride;
	u32 nr_magazines;
	u32 magazine;
	u32 flags;
	bool reused;
	bool class;
	bool drained;

	atomic64_t full ____cacheline_aligned_in_smp;
	atomic64_t empty ____cacheline_aligned_in_smp;
	atomic64_t loose ____cacheline_aligned_in_smp;
	atomic_t outside ____cacheline_aligned_in_smp;
	atomic_t peak;

	atomic_long_t refused[NR_REFUSALS] ____cacheline_aligned_in_smp;
	struct quarry_object object;
	struct hlist_node hotplug;
	struct work_struct rebalance;
	struct mutex lock;		/* verify and reset, one at a time */
	struct mutex sharing;		/* @share, @budget */
	struct quarry_pool_stats baseline;
	size_t size;
	size_t align;
	size_t nr_blocks;
	size_t total;
	size_t slack;
	u32 share;
	size_t budget;
	struct quarry_region blocks;
	struct quarry_region metadata;
	void (*ctor)(void *block, void *arg);
	void (*dtor)(void *block, void *arg);
	void *arg;
};

/* The hit path takes a struct quarry_pool for a struct quarry_pool_hot. */
static_assert(offsetof(struct quarry_pool, hot) == 0);

static inline struct quarry_pool *to_pool(struct quarry_object *object)
{
	return container_of(object, struct quarry_pool, object);
}

static inline bool not_a_pool(const struct quarry_pool *pool)
{
	return not_a_handle(pool);
}

static inline struct quarry_magazine *magazine_at(const struct quarry_pool *pool,
						  u32 ref)
{
	return (void *)pool->magazines +
	       (size_t)(ref >> ROUNDS_BITS) * pool->magazine_stride;
}

static inline u32 rounds(u32 ref)
{
	return ref & ROUNDS_MASK;
}

static inline void *block_at(const struct quarry_pool *pool, u64 index)
{
	return (void *)(pool->hot.base + index * pool->hot.stride);
}

/* A CPU's gate, on that CPU and with preemption disabled; see above. */

static inline void gate_hold(struct quarry_pool_cpu *cpu, u8 gate)
{
	WRITE_ONCE(cpu->gate, gate | QUARRY_GATE_HELD);
	barrier();	/* an interrupt sees it before we look */
}

/* The gate as it was, or HELD or CLOSED when the magazines are not to be had. */
static inline u8 gate_take(struct quarry_pool_cpu *cpu)
{
	u8 gate = READ_ONCE(cpu->gate);

	if (!(gate & (QUARRY_GATE_HELD | QUARRY_GATE_CLOSED)))
		gate_hold(cpu, gate);
	return gate;
}

static inline void gate_give(struct quarry_pool_cpu *cpu, u8 gate)
{
	barrier();	/* an interrupt sees our work before the gate opens */
	WRITE_ONCE(cpu->gate, gate);
}

/* For those who do no more than the hit path: it must be open altogether. */
static inline bool gate_take_open(struct quarry_pool_cpu *cpu)
{
	if (READ_ONCE(cpu->gate))
		return false;
	gate_hold(cpu, 0);
	return true;
}

/* The gate is held. */
static inline bool is_empty(const struct quarry_pool *pool,
			    const struct quarry_pool_cpu *cpu)
{
	return cpu->top == magazine_at(pool, cpu->loaded)->slot;
}

/* Blocks in a CPU's two magazines; a racing look may be off by some. */
static inline u32 cached(const struct quarry_pool *pool,
			 const struct quarry_pool_cpu *cpu)
{
	u32 loaded = READ_ONCE(cpu->loaded), spare = READ_ONCE(cpu->spare);
	long nr;

	if (loaded == NO_MAGAZINE)
		return 0;
	nr = READ_ONCE(cpu->top) - magazine_at(pool, loaded)->slot;
	return clamp(nr, 0L, (long)ROUNDS_MASK) + rounds(spare);
}

/* pool.c; the gate is held in the first two */
bool quarry__pool_refill(struct quarry_pool *pool, struct quarry_pool_cpu *cpu);
void quarry__pool_flush(struct quarry_pool *pool, struct quarry_pool_cpu *cpu);
void quarry__pool_push_magazine(struct quarry_pool *pool, u32 ref);
void quarry__pool_push_loose(struct quarry_pool *pool, u32 index);
bool quarry__pool_cache_open(struct quarry_pool *pool, u32 share);
bool quarry__pool_cache_close(struct quarry_pool *pool,
			      struct quarry_pool_cpu *cpu);

/* pool_site.c: who allocated a block; the last does nothing without the flag */
size_t quarry__sites_size(size_t nr_blocks);
void quarry__site_taken(struct quarry_pool *pool, u32 index, unsigned long caller);
void quarry__sites_tell(struct quarry_pool *pool);

/* pool_life.c: a class of a router, in memory of the router and in no registry */
struct quarry_pool *quarry__pool_create_class(const char *name, size_t size,
					      size_t nr_blocks,
					      const struct quarry_pool_args *args);
void quarry__pool_open_class(struct quarry_pool *pool);
size_t quarry__pool_drain_class(struct quarry_pool *pool);
void quarry__pool_release_class(struct quarry_pool *pool);

/* pool_misuse.c */
void quarry__pool_duplicate(struct quarry_pool *pool, u32 index);
bool quarry__pool_refuse(struct quarry_pool *pool, u64 index,
			 unsigned long caller);
bool quarry__pool_refuse_handle(struct quarry_pool *pool, unsigned long caller);

/* pool_view.c */
void quarry__pool_row(struct quarry_object *object, struct quarry_row *row);
void quarry__pool_config(struct quarry_object *object, struct seq_file *seq);
void quarry__pool_stats(struct quarry_object *object, struct seq_file *seq);
void quarry__pool_map(struct quarry_object *object, struct seq_file *seq);
void quarry__pool_reset(struct quarry_object *object);

/* pool_verify.c */
int quarry__pool_verify(struct quarry_object *object, char *why, size_t size);

/* sanitize.c */
#include "sanitize.h"

#endif /* QUARRY_KMOD_POOL_H */
