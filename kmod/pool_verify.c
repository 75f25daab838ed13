// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool's full check: each block is live or on exactly one free list, and the
 * accounting equation holds.
 *
 * The walk takes no lock. What it reads may change under it, so every number is
 * checked before it is used, each list is followed for no more steps than there
 * are blocks. What was found counts only when nothing has moved meanwhile
 * (fingerprint() before and after is the same), and a fault only when there is one
 * again after a grace period in which nothing has moved either: an operation that
 * stood still in the midst has a block on no list, and has ended by then, which
 * shows. Else it is tried again, and then says "busy". What holds at every instant
 * is a fault at once: sentinels, numbers within bounds, values of state bytes.
 */
#include <linux/bitmap.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include "pool.h"

#define VERIFY_TRIES	3

/**
 * struct walk - one look at all lists
 * @pool: whose
 * @seen: one bit a block that was on a list
 * @free: how many were
 * @magazines: how many were seen
 * @certain: what is wrong cannot be due to others' work
 * @why: what is wrong, first thing only
 * @size: room at @why
 */
struct walk {
	struct quarry_pool *pool;
	unsigned long *seen;
	size_t free;
	size_t magazines;
	bool certain;
	char *why;
	size_t size;
};

/* The first thing that is wrong. */
static __printf(2, 3) bool wrong(struct walk *walk, const char *fmt, ...)
{
	va_list args;

	if (walk->why[0])
		return false;
	va_start(args, fmt);
	vsnprintf(walk->why, walk->size, fmt, args);
	va_end(args);
	return false;
}

static __printf(2, 3) bool surely_wrong(struct walk *walk, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(walk->why, walk->size, fmt, args);
	va_end(args);
	walk->certain = true;
	return false;
}

/* A word that differs whenever any list has moved or an alloc has ended. */
static u64 fingerprint(const struct quarry_pool *pool, bool *held)
{
	u64 sum = atomic64_read(&pool->full) * 3 +
		  atomic64_read(&pool->empty) * 5 +
		  atomic64_read(&pool->loose) * 7 + atomic_read(&pool->outside);
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		const struct quarry_pool_cpu *c = per_cpu_ptr(pool->cpu, cpu);

		sum = sum * 31 + data_race(c->allocs);	/* compared, not used */
		sum = sum * 31 + data_race(c->shared_allocs);
		sum = sum * 31 + (unsigned long)READ_ONCE(c->top);
		sum = sum * 31 + READ_ONCE(c->spare);
		*held |= READ_ONCE(c->gate) & QUARRY_GATE_HELD;
	}
	smp_rmb();	/* no partner: before and after the walk, not within */
	return sum;
}

static bool see(struct walk *walk, u32 index, const char *list)
{
	if (index >= walk->pool->total)
		return surely_wrong(walk, "%s holds block %u, and there are %zu",
				    list, index, walk->pool->total);
	if (__test_and_set_bit(index, walk->seen))
		return wrong(walk, "block %u is on two lists, one is the %s",
			     index, list);
	if (READ_ONCE(walk->pool->hot.state[index]) != QUARRY_BLOCK_FREE)
		return wrong(walk, "block %u is live and on the %s", index, list);
	walk->free++;
	return true;
}

static bool see_magazine(struct walk *walk, u32 ref, const char *list)
{
	struct quarry_magazine *magazine;
	u32 i;

	if (ref >> ROUNDS_BITS >= walk->pool->nr_magazines ||
	    rounds(ref) > walk->pool->magazine)
		return wrong(walk, "%s holds magazine %u with %u blocks", list,
			     ref >> ROUNDS_BITS, rounds(ref));
	magazine = magazine_at(walk->pool, ref);
	if (READ_ONCE(magazine->sentinel) != walk->pool->total)
		return surely_wrong(walk, "magazine %u has lost its sentinel",
				    ref >> ROUNDS_BITS);
	walk->magazines++;
	for (i = 0; i < rounds(ref); i++)
		if (!see(walk, READ_ONCE(magazine->slot[i]), list))
			return false;
	return true;
}

static bool see_stack(struct walk *walk, const atomic64_t *head,
		      const char *list)
{
	u32 ref = atomic64_read(head), steps = 0;

	while (ref != NO_MAGAZINE) {
		if (steps++ > walk->pool->nr_magazines)
			return wrong(walk, "%s has no end", list);
		if (!see_magazine(walk, ref, list))
			return false;
		ref = READ_ONCE(magazine_at(walk->pool, ref)->below);
		cond_resched();
	}
	return true;
}

static bool see_loose(struct walk *walk)
{
	u32 index = atomic64_read(&walk->pool->loose);

	/* Ends: see() refuses a block for the second time. */
	while (index != LIST_END) {
		/* No block's number: it may have been popped under us. */
		if (index >= walk->pool->total)
			return wrong(walk, "the loose list goes on to %#x", index);
		if (!see(walk, index, "loose list"))
			return false;
		index = READ_ONCE(walk->pool->links[index]);
		cond_resched();
	}
	return true;
}

static bool see_cpu(struct walk *walk, unsigned int cpu)
{
	const struct quarry_pool_cpu *c = per_cpu_ptr(walk->pool->cpu, cpu);
	u32 loaded = READ_ONCE(c->loaded), nr;

	if (loaded == NO_MAGAZINE)
		return true;
	if (loaded >> ROUNDS_BITS >= walk->pool->nr_magazines)
		return wrong(walk, "CPU %u has magazine %u", cpu,
			     loaded >> ROUNDS_BITS);
	nr = cached(walk->pool, c) - rounds(READ_ONCE(c->spare));
	if (nr > READ_ONCE(c->share))
		return wrong(walk, "CPU %u has %u blocks loaded, its share is %u",
			     cpu, nr, READ_ONCE(c->share));
	return see_magazine(walk, loaded + nr, "CPU's loaded magazine") &&
	       see_magazine(walk, READ_ONCE(c->spare), "CPU's spare magazine");
}

static bool see_all(struct walk *walk)
{
	unsigned int cpu;

	bitmap_zero(walk->seen, walk->pool->total);
	walk->free = 0;
	walk->magazines = 0;
	walk->why[0] = '\0';
	if (READ_ONCE(walk->pool->hot.state[walk->pool->total]) != QUARRY_BLOCK_NONE)
		return surely_wrong(walk, "the sentinel's state was overwritten");
	for_each_possible_cpu(cpu)
		if (!see_cpu(walk, cpu))
			return false;
	return see_stack(walk, &walk->pool->full, "depot") &&
	       see_stack(walk, &walk->pool->empty, "stack of empty magazines") &&
	       see_loose(walk);
}

/* What is on no list is live; and the equation. */
static bool see_equation(struct walk *walk)
{
	struct quarry_pool *pool = walk->pool;
	struct quarry_pool_stats stats;
	size_t i, live = 0;

	for (i = 0; i < pool->total; i++) {
		u8 state = READ_ONCE(pool->hot.state[i]);

		if (state > QUARRY_BLOCK_CPUS)
			return surely_wrong(walk, "block %zu has state %u", i,
					    state);
		if (state != QUARRY_BLOCK_FREE)
			live++;
		else if (!test_bit(i, walk->seen))
			return wrong(walk, "block %zu is free and on no list", i);
		cond_resched();
	}
	if (walk->magazines != pool->nr_magazines)
		return wrong(walk, "%zu magazines, of %u", walk->magazines,
			     pool->nr_magazines);
	if (live + walk->free != pool->total)
		return wrong(walk, "%zu blocks live and %zu free, of %zu", live,
			     walk->free, pool->total);
	quarry_pool_get_stats(pool, &stats);
	if (stats.live != live)
		return wrong(walk, "%zu blocks are live, %llu by the counters",
			     live, stats.live);
	return true;
}

int quarry__pool_verify(struct quarry_object *object, char *why, size_t size)
{
	struct quarry_pool *pool = to_pool(object);
	struct walk walk = { .pool = pool, .why = why, .size = size };
	bool good, held, still, doubt = false;
	u64 before, after = 0;
	struct quarry_region seen;
	int i, err;

	if (READ_ONCE(object->state) == QUARRY_DEAD)
		return 0;
	err = quarry__region_map(&seen, BITS_TO_LONGS(pool->total) * sizeof(long),
				 QUARRY_ZERO, NUMA_NO_NODE);
	if (err)
		return err;
	walk.seen = seen.base;
	err = 1;
	mutex_lock(&pool->lock);
	for (i = 0; i < VERIFY_TRIES && err == 1; i++) {
		held = false;
		before = fingerprint(pool, &held);
		doubt = doubt && before == after;
		good = see_all(&walk) && see_equation(&walk);
		smp_rmb();	/* no partner: as in fingerprint() */
		after = fingerprint(pool, &held);
		still = after == before && !held;
		if (walk.certain || (still && !good && doubt))
			err = -EUCLEAN;
		else if (still && good)
			err = 0;
		doubt = !good;
		if (err > 0)
			synchronize_rcu();
	}
	mutex_unlock(&pool->lock);
	quarry__region_unmap(&seen);
	return err;
}

int quarry_pool_verify(struct quarry_pool *pool)
{
	char why[128] = "";
	int err;

	if (IS_ERR_OR_NULL(pool) || READ_ONCE(pool->closed) ||
	    !quarry__may_sleep())
		return -EINVAL;
	err = quarry__pool_verify(&pool->object, why, sizeof(why));
	if (err == -EUCLEAN)
		quarry__notice("pool \"%s\": verify: %s", pool->object.name, why);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_pool_verify);
