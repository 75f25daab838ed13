/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shared lists: the depot, a tagged stack of magazines, another of empty ones,
 * and the loose list, a tagged stack of blocks. Any CPU, any context, lock-free; what
 * orders what: pool.h. A header, so that all of it stands in the miss or the bulk
 * operation that has come for it: for each 16 to 20 instructions fewer than a call, for
 * 1 KiB of text.
 */
#ifndef QUARRY_KMOD_POOL_SHARED_H
#define QUARRY_KMOD_POOL_SHARED_H

#include "pool.h"

/* Tagged stacks */

static inline u64 next_head(u64 old, u32 ref)
{
	return ((old >> 32) + 1) << 32 | ref;
}

static inline void push(struct quarry_pool *pool, atomic64_t *head, u32 ref)
{
	struct quarry_magazine *magazine = magazine_at(pool, ref);
	u64 old = atomic64_read(head);

	do {
		WRITE_ONCE(magazine->below, (u32)old);
		/* Release: pairs with the acquire in pop() and depot_take(). */
	} while (!atomic64_try_cmpxchg_release(head, (s64 *)&old,
					       next_head(old, ref)));
}

static inline u32 pop(struct quarry_pool *pool, atomic64_t *head)
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

/* The depot and the loose list: each pop and push moves @outside, and pops the peak. */

static __always_inline void moved_out(struct quarry_pool *pool, u32 nr)
{
	int now = atomic_add_return_relaxed(nr, &pool->outside);
	int peak = atomic_read(&pool->peak);

	while (now > peak && !atomic_try_cmpxchg_relaxed(&pool->peak, &peak, now))
		;
}

/* Counted before, so that who pops it at once does not raise the peak. */
static inline void depot_push(struct quarry_pool *pool, u32 ref)
{
	atomic_sub(rounds(ref), &pool->outside);
	push(pool, &pool->full, ref);
}

static inline u32 depot_pop(struct quarry_pool *pool)
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
static inline u32 depot_take(struct quarry_pool *pool, u32 *slots, u32 nr)
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
 * release in loose_pop(), loose_pop_one() and, of a chain that was cut off,
 * shared_take_some() in pool_bulk.c: one owner at a time.
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
		/* Release: pairs with the acquire in loose_pop() and the two below it. */
	} while (!atomic64_try_cmpxchg_release(&pool->loose, (s64 *)&old,
					       next_head(old, first)));
}

/*
 * Up to @nr blocks off the loose list. The links on the way may be another's by
 * now: a number that is none ends the walk, and then the head has changed too.
 */
static inline u32 loose_pop(struct quarry_pool *pool, u32 *slots, u32 nr)
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
static inline u64 shared_stamp(struct quarry_pool *pool)
{
	u64 stamp = (atomic64_read(&pool->full) >> 32) +
		    (atomic64_read(&pool->loose) >> 32);

	smp_rmb();	/* pairs with the release in push() and loose_push() */
	return stamp;
}

#endif /* QUARRY_KMOD_POOL_SHARED_H */
