// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool at work on many blocks at a time. While the gate is open, a loop over the
 * slots of a magazine does for each block what the hit path does, with the gate taken
 * once: alloc_some(), free_some(). Where there are no magazines, up to BULK_BATCH blocks
 * come off the loose list, or go onto it, by one compare-and-swap. What is left goes the
 * slow path's way, one by one (pool.c). Each batch is bounded by a magazine or BULK_BATCH
 * blocks, and preemption is on again after it. Who may touch which word, what orders what, and
 * the accounting equation: pool.h.
 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include "pool_shared.h"

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
			if (!is_empty(pool, cpu) || quarry__pool_refill(pool, cpu))
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
 * As quarry_pool_hot_index(), of what the loops keep in registers: each store of a state
 * might change the pool's own for all that a compiler knows.
 */
static __always_inline u64 number_of(const void *block, u64 base, u64 inverse, u32 shift)
{
	return ror64(((unsigned long)block - base) * inverse, shift);
}

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
		index = number_of(blocks[i], base, inverse, shift);
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
		index = number_of(blocks[i], base, inverse, shift);
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
		index = number_of(blocks[i], base, inverse, shift);
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
		quarry__pool_flush(pool, cpu);
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
				quarry__pool_flush(pool, cpu);
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
