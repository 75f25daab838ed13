// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool at work: hit path and slow path, a block at a time, and the CPUs' magazines.
 * Behind them are the shared lists (pool_shared.h); many blocks at a time: pool_bulk.c.
 * Who may touch which word, what orders what, and the accounting equation: pool.h.
 *
 * A miss of alloc goes, in this order, to the CPU's spare magazine, a magazine
 * of the depot, the loose list; a miss of free to the spare magazine, the depot
 * in exchange for an empty magazine, the loose list. Every step is bounded: the
 * loops are over a magazine, or LOOSE_BATCH or TAKE_BATCH blocks; a compare-and-swap
 * is repeated only when another has succeeded.
 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include "pool_shared.h"

/* Onto the shared lists */

void quarry__pool_push_magazine(struct quarry_pool *pool, u32 ref)
{
	if (rounds(ref))
		depot_push(pool, ref);
	else
		push(pool, &pool->empty, ref);
}

void quarry__pool_push_loose(struct quarry_pool *pool, u32 index)
{
	if (loose_claim(&pool->links[index]))
		loose_push(pool, index, index, 1);
}

/*
 * Blocks that were on no list go on the loose one. What is live or on it already is
 * a duplicate.
 */
static void push_slots(struct quarry_pool *pool, const u32 *slot, u32 nr)
{
	u32 first = LIST_END, last = LIST_END, chained = 0;

	while (nr--) {
		u32 index = READ_ONCE(slot[nr]);

		if (READ_ONCE(pool->hot.state[index]) != QUARRY_BLOCK_FREE ||
		    !loose_claim(&pool->links[index])) {
			quarry__pool_duplicate(pool, index);
			continue;
		}
		WRITE_ONCE(pool->links[index], first);
		if (!chained++)
			last = index;
		first = index;
	}
	if (chained)
		loose_push(pool, first, last, chained);
}

/* The CPU's magazines; the gate is held in all of these. */

static void load(struct quarry_pool *pool, struct quarry_pool_cpu *cpu, u32 ref)
{
	u32 *slot = magazine_at(pool, ref)->slot;

	WRITE_ONCE(cpu->loaded, ref & ~ROUNDS_MASK);
	WRITE_ONCE(cpu->top, slot + rounds(ref));
	cpu->limit = slot + cpu->share;
}

/* Reference to the loaded magazine, as it is now. */
static u32 unload(struct quarry_pool *pool, struct quarry_pool_cpu *cpu)
{
	return cpu->loaded + (cpu->top - magazine_at(pool, cpu->loaded)->slot);
}

static void swap_magazines(struct quarry_pool *pool, struct quarry_pool_cpu *cpu)
{
	u32 ref = unload(pool, cpu);

	load(pool, cpu, cpu->spare);
	WRITE_ONCE(cpu->spare, ref);
}

/* Into the empty loaded magazine, from the depot or else the loose list. */
static bool refill_shared(struct quarry_pool *pool, struct quarry_pool_cpu *cpu)
{
	u32 ref, nr = 0;

	if (cpu->share == pool->magazine) {
		ref = depot_pop(pool);
		if (ref != NO_MAGAZINE) {
			push(pool, &pool->empty, cpu->loaded);
			load(pool, cpu, ref);
			data_race(cpu->refills++);	/* read as it is */
			return true;
		}
	} else {
		nr = depot_take(pool, cpu->top, min_t(u32, TAKE_BATCH, cpu->share));
	}
	if (!nr)
		nr = loose_pop(pool, cpu->top,
			       min_t(u32, LOOSE_BATCH, cpu->share));
	if (!nr)
		return false;
	WRITE_ONCE(cpu->top, cpu->top + nr);
	data_race(cpu->refills++);	/* read as it is */
	return true;
}

/* The loaded magazine is empty. False when no block is left anywhere. */
noinline bool quarry__pool_refill(struct quarry_pool *pool, struct quarry_pool_cpu *cpu)
{
	u64 stamp;

	if (rounds(cpu->spare)) {
		swap_magazines(pool, cpu);
		return true;
	}
	do {
		stamp = shared_stamp(pool);
		if (refill_shared(pool, cpu))
			return true;
	} while (stamp != shared_stamp(pool));
	return false;
}

/* The loaded magazine is full; afterwards it has room. */
noinline void quarry__pool_flush(struct quarry_pool *pool, struct quarry_pool_cpu *cpu)
{
	u32 ref, nr;

	if (!rounds(cpu->spare)) {
		swap_magazines(pool, cpu);
		return;
	}
	data_race(cpu->flushes++);	/* read as it is */
	ref = pop(pool, &pool->empty);
	if (ref == NO_MAGAZINE) {
		/* For want of an empty magazine; first they are ours no more. */
		nr = min_t(u32, LOOSE_BATCH, cpu->share);
		WRITE_ONCE(cpu->top, cpu->top - nr);
		push_slots(pool, cpu->top, nr);
		return;
	}
	depot_push(pool, cpu->spare);
	WRITE_ONCE(cpu->spare, unload(pool, cpu));
	load(pool, cpu, ref);
}

/* Alloc, slow */

/* Mark a block that came off a list as live. False: it was a duplicate. */
static bool claim(struct quarry_pool *pool, u32 index, u8 id)
{
	if (unlikely(READ_ONCE(pool->hot.state[index]) != QUARRY_BLOCK_FREE)) {
		quarry__pool_duplicate(pool, index);
		return false;
	}
	WRITE_ONCE(pool->hot.state[index], id);
	return true;
}

static __always_inline u32 cache_take(struct quarry_pool *pool,
				      struct quarry_pool_cpu *cpu)
{
	u32 index;

	for (;;) {
		if (is_empty(pool, cpu) && !quarry__pool_refill(pool, cpu))
			return LIST_END;
		index = READ_ONCE(cpu->top[-1]);
		WRITE_ONCE(cpu->top, cpu->top - 1);
		if (!claim(pool, index, cpu->id))
			continue;
		data_race(cpu->allocs++);	/* read as it is */
		return index;
	}
}

/* A block of whichever shared list has one, live now, or LIST_END. */
static u32 shared_take(struct quarry_pool *pool, u8 id)
{
	u32 index, nr;
	u64 stamp;

	if (unlikely(READ_ONCE(pool->closed)))
		return LIST_END;	/* its lists may be gone */
	do {
		stamp = shared_stamp(pool);
		nr = loose_pop(pool, &index, 1) ?: depot_take(pool, &index, 1);
		if (!nr && stamp == shared_stamp(pool))
			return LIST_END;
	} while (!nr || !claim(pool, index, id));
	this_cpu_inc(pool->hot.cpu->shared_allocs);
	return index;
}

/*
 * The ends of an alloc. Preemption is disabled before, and not after. They and the
 * ways that lead to them are called last, so that the way of most, in
 * quarry_pool_alloc_slow(), has no register to save.
 */
static noinline void *alloc_failed(struct quarry_pool *pool, unsigned long caller)
{
	this_cpu_inc(pool->hot.cpu->exhausted);
	preempt_enable();
	if (READ_ONCE(pool->closed))
		quarry__report("pool \"%s\": alloc refused: destroyed pool, by %pS",
			       pool->object.name, (void *)caller);
	return NULL;
}

static noinline void *tell_kmemleak(struct quarry_pool *pool, u32 index)
{
	quarry__track_alloc(pool, index);
	return block_at(pool, index);
}

static __always_inline void *alloc_end(struct quarry_pool *pool, u32 index)
{
	preempt_enable();
	quarry__block_taken(pool, block_at(pool, index));
	if (unlikely(pool->tracked))
		return tell_kmemleak(pool, index);
	return block_at(pool, index);
}

/* From the CPU's magazines. */
static noinline void *alloc_cached(struct quarry_pool *pool, unsigned long caller,
				   struct quarry_pool_cpu *cpu, u8 gate)
{
	u32 index;

	gate_hold(cpu, gate);
	index = cache_take(pool, cpu);
	gate_give(cpu, gate);
	if (unlikely(index == LIST_END))
		return alloc_failed(pool, caller ? caller : _RET_IP_);
	return alloc_end(pool, index);
}

/* From the shared lists. */
static noinline void *alloc_shared(struct quarry_pool *pool, unsigned long caller,
				   struct quarry_pool_cpu *cpu)
{
	u32 index = shared_take(pool, cpu->id);

	if (unlikely(index == LIST_END))
		return alloc_failed(pool, caller);
	return alloc_end(pool, index);
}

/* The same when a block of theirs was a duplicate. */
static noinline void *alloc_after(struct quarry_pool *pool, unsigned long caller,
				  struct quarry_pool_cpu *cpu, u32 duplicate)
{
	quarry__pool_duplicate(pool, duplicate);
	return alloc_shared(pool, caller, cpu);
}

/* From the magazines or the shared lists, and the caller is remembered. */
static noinline void *alloc_tracked(struct quarry_pool *pool, unsigned long caller,
				    struct quarry_pool_cpu *cpu)
{
	u8 gate = gate_take(cpu);
	u32 index;

	if (gate & (QUARRY_GATE_HELD | QUARRY_GATE_CLOSED)) {
		index = shared_take(pool, cpu->id);
	} else {
		index = cache_take(pool, cpu);
		gate_give(cpu, gate);
	}
	if (index == LIST_END)
		return alloc_failed(pool, caller);
	quarry__site_taken(pool, index, caller);
	return alloc_end(pool, index);
}

/*
 * One look at the gate: whoever comes between it and the store leaves the gate as it
 * was, see pool.h. Where there are no magazines, the first look at the loose list
 * decides: the depot is empty for good.
 */
noinline void *quarry_pool_alloc_slow(struct quarry_pool *pool,
				      unsigned long caller)
{
	struct quarry_pool_cpu *cpu;
	u32 index;
	u8 gate;

	if (unlikely(not_a_pool(pool))) {
		quarry__pool_refuse_handle(pool, caller ? caller : _RET_IP_);
		return NULL;
	}
	preempt_disable();
	cpu = this_cpu_ptr(pool->hot.cpu);
	gate = READ_ONCE(cpu->gate);
	if (!(gate & (QUARRY_GATE_HELD | QUARRY_GATE_CLOSED | QUARRY_GATE_TRACK)))
		return alloc_cached(pool, caller, cpu, gate);
	if (unlikely(gate & QUARRY_GATE_TRACK))
		return alloc_tracked(pool, caller ? caller : _RET_IP_, cpu);
	index = loose_pop_one(pool);
	if (unlikely(index == LIST_END)) {
		if (pool->magazine)
			return alloc_shared(pool, caller ? caller : _RET_IP_, cpu);
		return alloc_failed(pool, caller ? caller : _RET_IP_);
	}
	if (unlikely(READ_ONCE(pool->hot.state[index]) != QUARRY_BLOCK_FREE))
		return alloc_after(pool, caller ? caller : _RET_IP_, cpu, index);
	WRITE_ONCE(pool->hot.state[index], cpu->id);
	this_cpu_inc(pool->hot.cpu->shared_allocs);
	return alloc_end(pool, index);
}
EXPORT_SYMBOL_GPL(quarry_pool_alloc_slow);

/* Free, slow */

/*
 * From live to free, by one of those who try. Without STRICT two that try at the
 * same instant both succeed, and the duplicate is met later; not where the second
 * would clear what is somebody else's by then.
 */
static __always_inline bool unclaim(struct quarry_pool *pool, u32 index, u8 *old)
{
	u8 *state = &pool->hot.state[index];

	*old = READ_ONCE(*state);
	if (unlikely(*old == QUARRY_BLOCK_FREE))
		return false;
	if (pool->flags & (QUARRY_POOL_STRICT | QUARRY_POOL_ZERO_ON_FREE))
		return try_cmpxchg(state, old, QUARRY_BLOCK_FREE);
	WRITE_ONCE(*state, QUARRY_BLOCK_FREE);
	return true;
}

/* The ends of a free, called last as those of an alloc; with preemption likewise. */
static noinline bool give_duplicate(struct quarry_pool *pool, u32 index)
{
	quarry__pool_duplicate(pool, index);
	preempt_enable();
	return true;
}

/* The gate is held, the loaded magazine full. */
static noinline bool give_full(struct quarry_pool *pool, struct quarry_pool_cpu *cpu,
			       u32 index, u8 gate)
{
	quarry__pool_flush(pool, cpu);
	WRITE_ONCE(*cpu->top, index);
	WRITE_ONCE(cpu->top, cpu->top + 1);
	gate_give(cpu, gate);
	preempt_enable();
	return true;
}

/* A free block, on no list yet, goes onto one. True. */
static __always_inline bool give(struct quarry_pool *pool, u32 index, u8 state)
{
	struct quarry_pool_cpu *cpu = this_cpu_ptr(pool->hot.cpu);
	u8 gate = gate_take(cpu);

	if (gate & (QUARRY_GATE_HELD | QUARRY_GATE_CLOSED)) {
		this_cpu_inc(pool->hot.cpu->shared_frees);
		if (state != cpu->id)
			this_cpu_inc(pool->hot.cpu->shared_remote);
		if (unlikely(!loose_claim(&pool->links[index])))
			return give_duplicate(pool, index);
		loose_push(pool, index, index, 1);
	} else {
		if (state != cpu->id)
			data_race(cpu->remote_frees++);	/* read as it is */
		if (unlikely(cpu->top == cpu->limit))
			return give_full(pool, cpu, index, gate);
		WRITE_ONCE(*cpu->top, index);
		WRITE_ONCE(cpu->top, cpu->top + 1);
		gate_give(cpu, gate);
	}
	preempt_enable();
	return true;
}

/*
 * A free that may take long, and does so with preemption enabled: a reader of RCU's
 * goes on where our caller's section, which is one too, ends.
 */
static noinline bool free_long(struct quarry_pool *pool, u32 index,
			       unsigned long caller)
{
	void *block = block_at(pool, index);
	bool freed;
	u8 state;

	rcu_read_lock();
	preempt_enable();
	if (pool->tracked && READ_ONCE(pool->hot.state[index]))
		quarry__track_free(pool, index);
	freed = unclaim(pool, index, &state);
	if (freed) {
		/* Ours: no list has it, and a second free sees that it is free. */
		if (pool->flags & QUARRY_POOL_ZERO_ON_FREE)
			memset(block, 0, pool->size);
		quarry__block_freed(pool, block);
		preempt_disable();
		give(pool, index, state);
	}
	rcu_read_unlock();
	return freed || quarry__pool_refuse(pool, index, caller);
}

noinline bool quarry_pool_free_slow(struct quarry_pool *pool, u64 index,
				    unsigned long caller)
{
	u8 state;

	if (unlikely(not_a_pool(pool)))
		return quarry__pool_refuse_handle(pool, caller ? caller : _RET_IP_);
	preempt_disable();	/* destroy waits, and verify for what is on no list */
	if (unlikely(index >= READ_ONCE(pool->nr)))
		goto bad;
	if (unlikely(pool->flags & QUARRY_POOL_ZERO_ON_FREE || pool->tracked))
		return free_long(pool, index, caller ? caller : _RET_IP_);
	if (likely(unclaim(pool, index, &state))) {
		/* Ours, as in free_long(). */
		quarry__block_freed(pool, block_at(pool, index));
		return give(pool, index, state);
	}
bad:
	preempt_enable();
	if (!quarry_pool_hot_address(&pool->hot, index))
		return false;	/* NULL */
	return quarry__pool_refuse(pool, index, caller ? caller : _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_pool_free_slow);

/* The interface */

/*
 * Who called, for reports. The slow paths are called last, so that without frame
 * pointers theirs is our caller's address, and costs nothing; with them the
 * compiler makes a frame for us, and has the address at hand.
 */
#define CALLER	(IS_ENABLED(CONFIG_FRAME_POINTER) ? _RET_IP_ : 0)

void *quarry_pool_alloc(struct quarry_pool *pool)
{
	if (unlikely(not_a_pool(pool)))
		return quarry_pool_alloc_slow(pool, CALLER);
	return quarry_pool_hit_alloc(pool, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_pool_alloc);

void *quarry_pool_zalloc(struct quarry_pool *pool)
{
	void *block;

	if (unlikely(not_a_pool(pool)))
		return quarry_pool_alloc_slow(pool, _RET_IP_);
	block = quarry_pool_hit_alloc(pool, _RET_IP_);
	return block ? memset(block, 0, pool->size) : NULL;
}
EXPORT_SYMBOL_GPL(quarry_pool_zalloc);

void quarry_pool_free(struct quarry_pool *pool, void *block)
{
	if (unlikely(not_a_pool(pool))) {
		if (block)
			quarry_pool_free_slow(pool, 0, CALLER);
		return;
	}
	quarry_pool_hit_free(pool, block, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_pool_free);

/* A CPU's magazines come and go; on that CPU, or when nobody uses the pool. */

/*
 * An empty magazine, made from a full one if need be: the metadata has fewer
 * magazines than would hold all blocks. No more blocks are on no list at a time than
 * the CPU may hold.
 */
static u32 get_empty(struct quarry_pool *pool, u32 share)
{
	u32 slots[LOOSE_BATCH], nr, ref;

	for (;;) {
		ref = pop(pool, &pool->empty);
		if (ref != NO_MAGAZINE)
			return ref;
		nr = depot_take(pool, slots, min_t(u32, LOOSE_BATCH, share));
		if (!nr)
			return NO_MAGAZINE;
		push_slots(pool, slots, nr);
	}
}

bool quarry__pool_cache_open(struct quarry_pool *pool, u32 share)
{
	struct quarry_pool_cpu *cpu;
	u32 first, second;
	bool opened = false;

	preempt_disable();
	cpu = this_cpu_ptr(pool->cpu);
	if (!(READ_ONCE(cpu->gate) & QUARRY_GATE_CLOSED))
		goto out;
	first = get_empty(pool, share);
	second = first == NO_MAGAZINE ? first : get_empty(pool, share);
	if (second == NO_MAGAZINE) {
		if (first != NO_MAGAZINE)
			push(pool, &pool->empty, first);
		goto out;
	}
	/* Closed, so nobody looks at these until the gate opens. */
	WRITE_ONCE(cpu->share, share);
	WRITE_ONCE(cpu->spare, second);
	load(pool, cpu, first);
	gate_give(cpu, READ_ONCE(cpu->gate) & ~QUARRY_GATE_CLOSED);
	opened = true;
out:
	preempt_enable();
	return opened;
}

/*
 * In a task, not an interrupt: an interrupt may come between a look at the gate
 * and the store that takes it, and must leave it as it was. False when there was
 * nothing to close.
 */
bool quarry__pool_cache_close(struct quarry_pool *pool,
			      struct quarry_pool_cpu *cpu)
{
	bool closed = false;
	u8 gate;

	preempt_disable();
	gate = gate_take(cpu);
	if (!(gate & (QUARRY_GATE_HELD | QUARRY_GATE_CLOSED))) {
		quarry__pool_push_magazine(pool, unload(pool, cpu));
		quarry__pool_push_magazine(pool, cpu->spare);
		WRITE_ONCE(cpu->loaded, NO_MAGAZINE);
		WRITE_ONCE(cpu->spare, 0);
		gate_give(cpu, gate | QUARRY_GATE_CLOSED);
		closed = true;
	}
	preempt_enable();
	return closed;
}
