// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool at work: hit path, slow path, the shared lists behind. Who may touch
 * which word, what orders what, and the accounting equation: pool.h.
 *
 * A miss of alloc goes, in this order, to the CPU's spare magazine, a magazine
 * of the depot, the loose list; a miss of free to the spare magazine, the depot
 * in exchange for an empty magazine, the loose list. Every step is bounded: the
 * loops are over a magazine, LOOSE_BATCH or BULK_BATCH blocks; a compare-and-swap
 * is repeated only when another has succeeded.
 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include "pool.h"

/* Tagged stacks */

static u64 next_head(u64 old, u32 ref)
{
	return ((old >> 32) + 1) << 32 | ref;
}

static void push(struct quarry_pool *pool, atomic64_t *head, u32 ref)
{
	struct quarry_magazine *magazine = magazine_at(pool, ref);
	u64 old = atomic64_read(head);

	do {
		WRITE_ONCE(magazine->below, (u32)old);
		/* Release: pairs with the acquire in pop() and depot_take(). */
	} while (!atomic64_try_cmpxchg_release(head, (s64 *)&old,
					       next_head(old, ref)));
}

static u32 pop(struct quarry_pool *pool, atomic64_t *head)
{
	u64 old = atomic64_read(head);
	u32 below;

	do {
		if ((u32)old == NO_MAGAZINE)
			return NO_MAGAZINE;
		/* Of a magazine that another has popped: then we fail. */
		below = READ_ONCE(magazine_at(pool, old)->below);
		/* Acquire: pairs with the release in push(). */
	} while (!atomic64_try_cmpxchg_acquire(head, (s64 *)&old,
					       next_head(old, below)));
	return old;
}

/* The shared lists: each pop and push moves @outside, and pops the peak. */

static __always_inline void moved_out(struct quarry_pool *pool, u32 nr)
{
	int now = atomic_add_return_relaxed(nr, &pool->outside);
	int peak = atomic_read(&pool->peak);

	while (now > peak && !atomic_try_cmpxchg_relaxed(&pool->peak, &peak, now))
		;
}

/* Counted before, so that who pops it at once does not raise the peak. */
static void depot_push(struct quarry_pool *pool, u32 ref)
{
	atomic_sub(rounds(ref), &pool->outside);
	push(pool, &pool->full, ref);
}

static u32 depot_pop(struct quarry_pool *pool)
{
	u32 ref = pop(pool, &pool->full);

	if (ref != NO_MAGAZINE)
		moved_out(pool, rounds(ref));
	return ref;
}

/*
 * Take up to @nr blocks off the top magazine, which stays in the depot unless
 * that empties it: for those who have no magazine, or may not hold a whole one.
 */
static u32 depot_take(struct quarry_pool *pool, u32 *slots, u32 nr)
{
	u64 old = atomic64_read(&pool->full);
	struct quarry_magazine *magazine;
	u32 i, taken, rest, next;

	do {
		if ((u32)old == NO_MAGAZINE)
			return 0;
		magazine = magazine_at(pool, old);
		taken = min(nr, rounds(old));
		rest = rounds(old) - taken;
		for (i = 0; i < taken; i++)
			WRITE_ONCE(slots[i], READ_ONCE(magazine->slot[rest + i]));
		next = rest ? (u32)old - taken : READ_ONCE(magazine->below);
		/*
		 * Full barrier: acquire pairs with push(); and the slots are read
		 * before, since afterwards the next owner may write them.
		 */
	} while (!atomic64_try_cmpxchg(&pool->full, (s64 *)&old,
				       next_head(old, next)));
	if (!rest)
		push(pool, &pool->empty, (u32)old & ~ROUNDS_MASK);
	moved_out(pool, taken);
	return taken;
}

/*
 * Membership of the loose list. True for one of those who try; pairs with the
 * release in loose_pop(): one owner at a time.
 */
static __always_inline bool loose_claim(u32 *link)
{
	u32 old = NOT_LISTED;

	return try_cmpxchg(link, &old, LIST_CLAIMED);
}

/* A chain of @nr blocks that were claimed, from @first to @last. */
static __always_inline void loose_push(struct quarry_pool *pool, u32 first, u32 last,
				       u32 nr)
{
	u64 old = atomic64_read(&pool->loose);

	atomic_sub(nr, &pool->outside);
	do {
		WRITE_ONCE(pool->links[last], (u32)old);
		/* Release: pairs with the acquire in loose_pop(). */
	} while (!atomic64_try_cmpxchg_release(&pool->loose, (s64 *)&old,
					       next_head(old, first)));
}

/*
 * Up to @nr blocks off the loose list. The links on the way may be another's by
 * now: a number that is none ends the walk, and then the head has changed too.
 */
static u32 loose_pop(struct quarry_pool *pool, u32 *slots, u32 nr)
{
	u64 old = atomic64_read(&pool->loose);
	u32 i, next;

	do {
		next = old;
		for (i = 0; i < nr && next < pool->total; i++) {
			WRITE_ONCE(slots[i], next);
			next = READ_ONCE(pool->links[next]);
		}
		if (!i)
			return 0;
		/* Acquire: pairs with the release in loose_push(). */
	} while (!atomic64_try_cmpxchg_acquire(&pool->loose, (s64 *)&old,
					       next_head(old, next)));
	nr = i;
	while (i--)
		/* Release: pairs with the try_cmpxchg() in loose_claim(). */
		smp_store_release(&pool->links[slots[i]], NOT_LISTED);
	moved_out(pool, nr);
	return nr;
}

/*
 * The same for many, which stay a chain: from @first, which is @end when there was
 * none, by their links, up to @end. These are the caller's, who gives each free.
 */
static __always_inline void loose_cut(struct quarry_pool *pool, u32 nr, u32 *first,
				      u32 *end)
{
	u64 old = atomic64_read(&pool->loose), total = pool->total;
	u32 *links = pool->links;
	u64 next;
	u32 i;

	do {
		next = (u32)old;
		for (i = 0; i < nr && next < total; i++)
			next = READ_ONCE(links[next]);
		*first = old;
		*end = next;
		if (!i)
			return;
		/* Acquire: pairs with the release in loose_push(). */
	} while (!atomic64_try_cmpxchg_acquire(&pool->loose, (s64 *)&old,
					       next_head(old, next)));
	moved_out(pool, i);
}

/* One block, or LIST_END when there is none there, or the pool is closed. */
static __always_inline u32 loose_pop_one(struct quarry_pool *pool)
{
	u64 old = atomic64_read(&pool->loose), nr = READ_ONCE(pool->nr);
	u32 next;

	do {
		if (unlikely((u32)old >= nr))
			return LIST_END;
		/* Of a block that another has popped: then we fail. */
		next = READ_ONCE(pool->links[(u32)old]);
		/* Acquire: pairs with the release in loose_push(). */
	} while (unlikely(!atomic64_try_cmpxchg_acquire(&pool->loose, (s64 *)&old,
							next_head(old, next))));
	/* Release: as in loose_pop(). */
	smp_store_release(&pool->links[(u32)old], NOT_LISTED);
	moved_out(pool, 1);
	return old;
}

/*
 * Differs whenever a shared list has moved. Who has found one list empty and
 * then the other looks again if it has: a block may have gone from the second to
 * the first meanwhile, and the promise does not allow for that.
 */
static u64 shared_stamp(struct quarry_pool *pool)
{
	u64 stamp = (atomic64_read(&pool->full) >> 32) +
		    (atomic64_read(&pool->loose) >> 32);

	smp_rmb();	/* pairs with the release in push() and loose_push() */
	return stamp;
}

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

static void gate_hold(struct quarry_pool_cpu *cpu, u8 gate)
{
	WRITE_ONCE(cpu->gate, gate | QUARRY_GATE_HELD);
	barrier();	/* an interrupt sees it before we look */
}

/* The gate as it was, or HELD or CLOSED when the magazines are not to be had. */
static u8 gate_take(struct quarry_pool_cpu *cpu)
{
	u8 gate = READ_ONCE(cpu->gate);

	if (!(gate & (QUARRY_GATE_HELD | QUARRY_GATE_CLOSED)))
		gate_hold(cpu, gate);
	return gate;
}

static void gate_give(struct quarry_pool_cpu *cpu, u8 gate)
{
	barrier();	/* an interrupt sees our work before the gate opens */
	WRITE_ONCE(cpu->gate, gate);
}

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

static bool is_empty(struct quarry_pool *pool, struct quarry_pool_cpu *cpu)
{
	return cpu->top == magazine_at(pool, cpu->loaded)->slot;
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
static noinline bool refill(struct quarry_pool *pool, struct quarry_pool_cpu *cpu)
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
static noinline void flush(struct quarry_pool *pool, struct quarry_pool_cpu *cpu)
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
		if (is_empty(pool, cpu) && !refill(pool, cpu))
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
	flush(pool, cpu);
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

/* For those who do no more than the hit path: it must be open altogether. */
static bool gate_take_open(struct quarry_pool_cpu *cpu)
{
	if (READ_ONCE(cpu->gate))
		return false;
	gate_hold(cpu, 0);
	return true;
}

/*
 * Blocks of the loaded magazine, as many as it has; the gate is held. Upwards,
 * so that slots and results have one index.
 */
static noinline size_t alloc_some(struct quarry_pool *pool,
				  struct quarry_pool_cpu *cpu, size_t nr,
				  void **blocks)
{
	u32 *first = magazine_at(pool, cpu->loaded)->slot, *top = cpu->top;
	u64 stride = pool->hot.stride, base = pool->hot.base, index;
	u8 *state = pool->hot.state, id = cpu->id;
	size_t i, rest;

	nr = min_t(size_t, nr, top - first);
	top -= nr;
#pragma GCC unroll 8
	for (i = 0; i < nr; i++) {
		index = READ_ONCE(top[i]);
		if (unlikely(data_race(state[index]) != QUARRY_BLOCK_FREE)) /* ours */
			break;		/* a duplicate, for the slow path */
		OPTIMIZER_HIDE_VAR(index);	/* as in the hit path */
		data_race(state[index] = id);	/* ours: off the lists */
		blocks[i] = (void *)(base + index * stride);
		quarry__block_taken(pool, blocks[i]);
	}
	for (rest = i; unlikely(rest < nr); rest++, top++)
		WRITE_ONCE(*top, READ_ONCE(top[i]));
	WRITE_ONCE(cpu->top, top);
	data_race(cpu->allocs += i);	/* read as it is */
	return i;
}

/* Without the CPU's magazines: of the loose list. Preemption is disabled. */
static size_t shared_take_some(struct quarry_pool *pool, u8 id, size_t nr,
			       void **blocks)
{
	u64 stride = pool->hot.stride, base = pool->hot.base, index;
	u32 first, next, end, *links = pool->links, *link;
	u8 *state = pool->hot.state;
	size_t got = 0;

	if (unlikely(READ_ONCE(pool->closed)))
		return 0;	/* its lists may be gone */
	loose_cut(pool, min_t(size_t, nr, BULK_BATCH), &first, &end);
	for (next = first; next != end;) {
		index = next;
		link = &links[index];
		next = READ_ONCE(*link);
		/* Release: as in loose_pop(). */
		smp_store_release(link, NOT_LISTED);
		if (unlikely(data_race(state[index]) != QUARRY_BLOCK_FREE)) { /* ours */
			quarry__pool_duplicate(pool, index);
			continue;
		}
		data_race(state[index] = id);	/* ours: off the lists */
		blocks[got] = (void *)(base + index * stride);
		quarry__block_taken(pool, blocks[got++]);
	}
	this_cpu_add(pool->hot.cpu->shared_allocs, got);
	return got;
}

/* Some of those that the open magazines did not give; 0 when no block is left. */
static noinline size_t alloc_others(struct quarry_pool *pool, size_t nr, void **blocks,
				    unsigned long caller)
{
	struct quarry_pool_cpu *cpu;
	size_t got = 0;
	void *block;
	u8 gate;

	preempt_disable();
	cpu = this_cpu_ptr(pool->hot.cpu);
	gate = READ_ONCE(cpu->gate);
	if (gate & (QUARRY_GATE_HELD | QUARRY_GATE_CLOSED) && !(gate & QUARRY_GATE_SLOW))
		got = shared_take_some(pool, cpu->id, nr, blocks);
	preempt_enable();
	if (got)
		return got;
	/* A slow pool, a duplicate, or none left where we looked: one by itself. */
	block = quarry_pool_alloc_slow(pool, caller);
	if (!block)
		return 0;
	blocks[0] = block;
	return 1;
}

size_t quarry_pool_alloc_bulk(struct quarry_pool *pool, size_t nr, void **blocks)
{
	struct quarry_pool_cpu *cpu;
	size_t got = 0, some;

	if (unlikely(not_a_pool(pool)))
		return quarry__pool_refuse_handle(pool, _RET_IP_);
	/* Each round gets on, whatever an interrupt does between two of them. */
	while (got < nr) {
		some = 0;
		preempt_disable();
		cpu = this_cpu_ptr(pool->hot.cpu);
		if (gate_take_open(cpu)) {
			if (!is_empty(pool, cpu) || refill(pool, cpu))
				some = alloc_some(pool, cpu, nr - got, blocks + got);
			gate_give(cpu, 0);
		}
		preempt_enable();
		if (unlikely(!some))
			some = alloc_others(pool, nr - got, blocks + got, _RET_IP_);
		if (unlikely(!some))
			break;
		got += some;
	}
	return got;
}
EXPORT_SYMBOL_GPL(quarry_pool_alloc_bulk);

/*
 * Good blocks into the loaded magazine, as many as it takes; gate held. None of a
 * pool whose frees do more than the hit path.
 */
static noinline size_t free_some(struct quarry_pool *pool,
				 struct quarry_pool_cpu *cpu, size_t nr,
				 void **blocks)
{
	u64 base = pool->hot.base, inverse = pool->hot.inverse, index;
	u64 total = pool->hot.nr, remote = 0;
	u32 *top = cpu->top, shift = pool->hot.shift;
	u8 *state = pool->hot.state, id = cpu->id;
	size_t i;

	nr = min_t(size_t, nr, cpu->limit - top);
#pragma GCC unroll 8
	for (i = 0; i < nr; i++) {
		index = ror64(((unsigned long)blocks[i] - base) * inverse, shift);
		if (unlikely(index >= total))
			break;
		if (data_race(state[index]) != id) {	/* the caller's block */
			OPTIMIZER_HIDE_VAR(index);	/* compare in place */
			if (unlikely(data_race(state[index]) == QUARRY_BLOCK_FREE)) /* or not */
				break;
			remote++;
		}
		quarry__block_freed(pool, blocks[i]);
		OPTIMIZER_HIDE_VAR(index);	/* as in the hit path */
		data_race(state[index] = QUARRY_BLOCK_FREE);	/* still ours */
		WRITE_ONCE(top[i], (u32)index);
	}
	WRITE_ONCE(cpu->top, top + i);
	data_race(cpu->remote_frees += remote);	/* read as it is */
	return i;
}

/*
 * What those below return: how many were freed, doubled, and 1 more when the next
 * block is free already, or another freed it while we tried. That one is refused and not
 * looked at again: by then it may be somebody's.
 */
#define FREED(nr, twice)	((nr) << 1 | (twice))

/* The same for a strict pool. */
static size_t free_some_strict(struct quarry_pool *pool, struct quarry_pool_cpu *cpu,
			       size_t nr, void **blocks)
{
	u64 base = pool->hot.base, inverse = pool->hot.inverse, index;
	u64 total = READ_ONCE(pool->nr), remote = 0;
	u32 *top = cpu->top, shift = pool->hot.shift;
	u8 *state = pool->hot.state, id = cpu->id, old;
	bool twice = false;
	size_t i;

	nr = min_t(size_t, nr, cpu->limit - top);
	for (i = 0; i < nr; i++) {
		index = ror64(((unsigned long)blocks[i] - base) * inverse, shift);
		if (unlikely(index >= total))
			break;
		old = READ_ONCE(state[index]);
		twice = old == QUARRY_BLOCK_FREE ||
			!try_cmpxchg(&state[index], &old, QUARRY_BLOCK_FREE);
		if (unlikely(twice))
			break;
		if (old != id)
			remote++;
		quarry__block_freed(pool, blocks[i]);
		WRITE_ONCE(top[i], (u32)index);
	}
	WRITE_ONCE(cpu->top, top + i);
	data_race(cpu->remote_frees += remote);	/* read as it is */
	return FREED(i, twice);
}

/*
 * Without the CPU's magazines: onto the loose list, in one go. What is there already
 * ends it, so that the chain is of the blocks before.
 */
static __always_inline size_t chain_some(struct quarry_pool *pool, u8 id, size_t nr,
					 void **blocks, bool strict)
{
	u64 base = pool->hot.base, inverse = pool->hot.inverse, index;
	u32 first, *link, *behind = &first;
	u8 *state = pool->hot.state, old;
	u32 *links = pool->links, shift = pool->hot.shift;
	bool twice = false, listed = false;
	u64 total = READ_ONCE(pool->nr);
	size_t i;

	nr = min_t(size_t, nr, BULK_BATCH);
	for (i = 0; i < nr; i++) {
		index = ror64(((unsigned long)blocks[i] - base) * inverse, shift);
		if (unlikely(index >= total))
			break;
		old = data_race(state[index]);	/* the caller's block */
		twice = old == QUARRY_BLOCK_FREE ||	/* or not */
			(strict && !try_cmpxchg(&state[index], &old, QUARRY_BLOCK_FREE));
		if (unlikely(twice))
			break;
		if (unlikely(old != id))
			this_cpu_inc(pool->hot.cpu->shared_remote);
		quarry__block_freed(pool, blocks[i]);
		if (!strict)
			data_race(state[index] = QUARRY_BLOCK_FREE);	/* still ours */
		link = &links[index];
		if (unlikely(!loose_claim(link))) {
			quarry__pool_duplicate(pool, index);
			listed = true;
			break;
		}
		WRITE_ONCE(*behind, (u32)index);
		behind = link;
	}
	if (i)
		loose_push(pool, first, behind - links, i);
	i += listed;
	this_cpu_add(pool->hot.cpu->shared_frees, i);
	return FREED(i, twice);
}

static noinline size_t shared_free_some(struct quarry_pool *pool, u8 id, size_t nr,
					void **blocks)
{
	return chain_some(pool, id, nr, blocks, false);
}

static noinline size_t shared_free_strict(struct quarry_pool *pool, u8 id, size_t nr,
					  void **blocks)
{
	return chain_some(pool, id, nr, blocks, true);
}

/* As many as go in one go; preemption is disabled. 0: they go one by one. */
static size_t free_batch(struct quarry_pool *pool, size_t nr, void **blocks)
{
	struct quarry_pool_cpu *cpu = this_cpu_ptr(pool->hot.cpu);
	u8 gate = READ_ONCE(cpu->gate);
	size_t freed;

	if (pool->flags & QUARRY_POOL_ZERO_ON_FREE || gate & QUARRY_GATE_SLOW)
		return 0;
	if (!(pool->flags & QUARRY_POOL_STRICT))
		return gate ? shared_free_some(pool, cpu->id, nr, blocks) : 0;
	if (gate)
		return shared_free_strict(pool, cpu->id, nr, blocks);
	gate_hold(cpu, 0);
	if (cpu->top == cpu->limit)
		flush(pool, cpu);
	freed = free_some_strict(pool, cpu, nr, blocks);
	gate_give(cpu, 0);
	return freed;
}

/* Some of those that free_some() did not take: freed, or one of them refused. */
static noinline size_t free_others(struct quarry_pool *pool, size_t nr, void **blocks,
				   unsigned long caller)
{
	size_t freed;
	u64 index;

	preempt_disable();
	freed = free_batch(pool, nr, blocks);
	preempt_enable();
	if (freed && !(freed & 1))
		return freed;
	index = quarry_pool_hot_index(&pool->hot, blocks[freed >> 1]);
	if (freed)
		quarry__pool_refuse(pool, index, caller);
	else
		freed = quarry_pool_free_slow(pool, index, caller) ? FREED(1, 0) :
								     FREED(0, 1);
	return freed;
}

size_t quarry_pool_free_bulk(struct quarry_pool *pool, size_t nr, void **blocks)
{
	size_t i = 0, some, freed = 0;
	struct quarry_pool_cpu *cpu;

	if (unlikely(not_a_pool(pool)))
		return quarry__pool_refuse_handle(pool, _RET_IP_);
	/* Each round gets on, as above. */
	while (i < nr) {
		some = 0;
		preempt_disable();
		cpu = this_cpu_ptr(pool->hot.cpu);
		if (gate_take_open(cpu)) {
			if (cpu->top == cpu->limit)
				flush(pool, cpu);
			some = free_some(pool, cpu, nr - i, blocks + i);
			gate_give(cpu, 0);
		}
		preempt_enable();
		freed += some;
		i += some;
		if (some)
			continue;
		some = free_others(pool, nr - i, blocks + i, _RET_IP_);
		freed += some >> 1;
		i += (some >> 1) + (some & 1);
	}
	return freed;
}
EXPORT_SYMBOL_GPL(quarry_pool_free_bulk);

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
