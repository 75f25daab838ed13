/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The per-CPU arena inside: its words, who may touch each, and what holds among
 * them.
 *
 *	ring	{generation, any, pos, used}: which chunks are taken. Any CPU, any
 *		context, by compare-and-swap. The chunks are a ring: @used of them,
 *		up to but not including @pos, are taken; those since @start in this
 *		generation ("current"), the others retired and waiting for a grace
 *		period. @any tells a full current ring from an empty one.
 *	start	where the current chunks begin. Written by a reset, of which there is
 *		one at a time.
 *	a CPU's pos	the last byte handed out of its chunk. That CPU alone, in any
 *		context, by a compare-and-swap without lock prefix; when the CPU is
 *		dead, read by who buries it.
 *	a CPU's end	the last byte of its chunk; 0: it has none; FETCHING: it is
 *		fetching one. The hit path reads it. Written by locked operations: on
 *		that CPU by who fetches a chunk, and on any CPU by a reset, which
 *		makes it 0.
 *	a CPU's busy	that CPU, preemption disabled, by plain stores; as the gate of
 *		a pool. An interrupt that finds it set goes to the shared chunk.
 *	shared	{epoch, chunk, offset}: the chunk that all share. Any CPU, any
 *		context, by compare-and-swap.
 *	tails	{epoch, tag, chunk}: tagged stack of chunks whose rest can be had;
 *		tail[chunk] = {epoch, from, next}. Any CPU, any context.
 *	waste	{epoch, bytes}. Any CPU, any context.
 *
 * A generation is even, and odd while a reset is under way; an epoch is half of
 * it. What names an old epoch is empty: a reset need not touch it. (It does, so that
 * none gets so old that the epoch comes round.)
 *
 * Hits. An interrupt between the look at pos and the swap that takes a piece, or
 * fetches a chunk, changes pos, and the swap fails. Should pos come back to the very
 * same value, after a reset, then so has the chunk: its end follows from pos. That
 * pos is read before end is a matter of program order on one CPU: interrupts see
 * and make all changes whole.
 *
 * Fetching. End becomes FETCHING (no hits from here on), a chunk is taken off the
 * ring in an even generation, pos is set, and end becomes the chunk's by a compare-
 * and-swap from FETCHING. A reset first makes the generation odd, then all ends 0,
 * then the generation even. So a chunk that was taken before the reset is either in
 * place when the ends are cleared, or is not put in place any more; and no end of a
 * new chunk is cleared. A chunk of the new epoch that was taken between the mark and
 * the compare-and-swap goes on the list of rests. While the generation is odd no CPU
 * gets a chunk: its misses take their pieces from the shared chunk. See
 * Documentation/litmus.
 *
 * Retiring. Each operation, a reset and a burial too, runs with preemption disabled,
 * from its first look to its last store. So when a grace period has passed since the
 * ends were cleared, no hit of before is under way, no reader of its pieces either,
 * and the chunks go back to the ring.
 *
 * The plain reset does not wait: an alloc at that instant may come home with a piece
 * of the old epoch. It may also push an old tail; tail[chunk] then names the old
 * epoch, and the rest is lost until the next reset, not handed out twice.
 *
 * The accounting equation, when nobody allocates:
 *
 *	capacity = current + retired + left
 *	current = used + cached (rests of CPUs' chunks) + shared (that one's rest) +
 *		tails + wasted
 *
 * Order. Chunks come back by a release (the reset's or the callback's compare-and-
 * swap of ring) and are taken by an acquire, on the CPU that hands them out.
 */
#ifndef QUARRY_KMOD_PERCPU_ARENA_H
#define QUARRY_KMOD_PERCPU_ARENA_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <quarry/percpu_arena.h>
#include "internal.h"

#define CHUNK_BITS	24
#define CHUNK_MASK	(BIT(CHUNK_BITS) - 1)
#define NO_CHUNK	CHUNK_MASK
#define MAX_CHUNKS	(NO_CHUNK - 1)

/* Values of a CPU's end that are no address; no piece's last byte is below. */
#define END_NONE	0UL
#define END_FETCHING	1UL

/* The ring's word. */
#define RING_POS_SHIFT	CHUNK_BITS
#define RING_ANY	BIT(2 * CHUNK_BITS)
#define RING_GEN_SHIFT	(2 * CHUNK_BITS + 1)
#define RING_GEN_MASK	(BIT(64 - RING_GEN_SHIFT) - 1)

/* The others: {epoch, something of 24 bits, something of 24 bits}. */
#define EPOCH_SHIFT	(2 * CHUNK_BITS)
#define BYTES_MASK	(BIT(EPOCH_SHIFT) - 1)

static_assert(QUARRY_PERCPU_ARENA_MAX_CHUNK <= CHUNK_MASK);
static_assert(QUARRY_PERCPU_ARENA_MAX_SIZE <= BYTES_MASK);

static inline u32 ring_used(u64 ring)
{
	return ring & CHUNK_MASK;
}

static inline u32 ring_pos(u64 ring)
{
	return ring >> RING_POS_SHIFT & CHUNK_MASK;
}

static inline u32 ring_gen(u64 ring)
{
	return ring >> RING_GEN_SHIFT;
}

static inline bool ring_odd(u64 ring)
{
	return ring_gen(ring) & 1;
}

static inline u32 ring_epoch(u64 ring)
{
	return ring_gen(ring) >> 1;
}

static inline u64 ring_word(u32 gen, bool any, u32 pos, u32 used)
{
	return (u64)(gen & RING_GEN_MASK) << RING_GEN_SHIFT |
	       (any ? RING_ANY : 0) | (u64)pos << RING_POS_SHIFT | used;
}

static inline u32 word_epoch(u64 word)
{
	return word >> EPOCH_SHIFT;
}

static inline u32 word_high(u64 word)
{
	return word >> CHUNK_BITS & CHUNK_MASK;
}

static inline u32 word_low(u64 word)
{
	return word & CHUNK_MASK;
}

static inline u64 word_of(u32 epoch, u32 high, u32 low)
{
	return (u64)epoch << EPOCH_SHIFT |
	       (u64)(high & CHUNK_MASK) << CHUNK_BITS | low;
}

struct quarry_percpu_arena;

/**
 * struct retirement - chunks that wait for a grace period
 * @rcu: of the callback
 * @arena: whose
 * @taken: this slot is in use; by who makes it so
 * @nr: how many chunks
 * @done: the caller's callback
 * @arg: and its argument
 */
struct retirement {
	struct rcu_head rcu;
	struct quarry_percpu_arena *arena;
	atomic_t taken;
	u32 nr;
	void (*done)(void *arg);
	void *arg;
};

/**
 * struct quarry_percpu_arena - a per-CPU arena
 * @hot: what the hit path reads; set at create, closed at destroy
 * @closed: destroyed or dead: nothing is served; set once. Looked at with preemption
 *	disabled, so that after a grace period nobody is at work any more
 * @orphan: the owner's text goes: no callback is taken any more; likewise
 * @cpus: each CPU's words; @hot has the same until the arena is closed; set once
 * @base: address of the first chunk; set once, as are the next four
 * @chunk: bytes in a chunk, a power of two
 * @shift: which
 * @nr: chunks
 * @tail: of each chunk, when its rest is on the list
 * @ring: see above, as the next four
 * @shared: see above
 * @tails: see above
 * @waste: see above
 * @start: see above
 * @oldest: first of the chunks that wait for a grace period; @oldest_lock, callbacks
 *	and who retires the first
 * @peak: largest use that a reset or a look has seen; any context
 * @resets: any context
 * @refused_bad: any context
 * @refused_dead: any context
 * @retirements: those that wait
 * @object: registry's part
 * @baseline: counters at the last reset; @lock
 * The others are set once.
 */
struct quarry_percpu_arena {
	struct quarry_percpu_hot hot;
	bool closed;
	bool orphan;
	struct quarry_percpu_cpu __percpu *cpus;
	unsigned long base;
	u32 chunk;
	u32 shift;
	u32 nr;
	atomic64_t *tail;

	atomic64_t ring ____cacheline_aligned_in_smp;
	atomic64_t shared ____cacheline_aligned_in_smp;
	atomic64_t tails ____cacheline_aligned_in_smp;
	atomic64_t waste ____cacheline_aligned_in_smp;

	u32 start ____cacheline_aligned_in_smp;
	u32 oldest;
	raw_spinlock_t oldest_lock;
	atomic64_t peak;
	atomic64_t resets;
	atomic_long_t refused_bad;
	atomic_long_t refused_dead;
	struct retirement retirements[QUARRY_PERCPU_ARENA_MAX_PENDING];
	struct quarry_object object;
	struct hlist_node hotplug;
	struct mutex lock;		/* verify and reset of the figures */
	struct quarry_percpu_arena_stats baseline;
	unsigned int flags;
	struct quarry_region region;
	struct quarry_region metadata;
};

/* The hit path takes a struct quarry_percpu_arena for a struct quarry_percpu_hot. */
static_assert(offsetof(struct quarry_percpu_arena, hot) == 0);

static inline struct quarry_percpu_arena *to_arena(struct quarry_object *object)
{
	return container_of(object, struct quarry_percpu_arena, object);
}

static inline bool not_an_arena(const struct quarry_percpu_arena *arena)
{
	return not_a_handle(arena);
}

static inline bool is_closed(const struct quarry_percpu_arena *arena)
{
	/* Pairs with the release in build(): who finds it open finds it built. */
	return smp_load_acquire(&arena->closed);
}

static inline unsigned long chunk_address(const struct quarry_percpu_arena *arena,
					  u32 chunk)
{
	return arena->base + ((unsigned long)chunk << arena->shift);
}

/* Chunks taken since the last reset. */
static inline u32 current_chunks(const struct quarry_percpu_arena *arena,
				 u64 ring, u32 start)
{
	u32 pos = ring_pos(ring);

	if (pos == start)
		return ring & RING_ANY ? arena->nr : 0;
	return pos > start ? pos - start : pos + arena->nr - start;
}

/* Bytes left in a CPU's chunk; a racing look may be off. */
static inline u64 rest_of(const struct quarry_percpu_arena *arena,
			  const struct quarry_percpu_cpu *cpu)
{
	unsigned long end = READ_ONCE(cpu->end), pos = READ_ONCE(cpu->pos);

	if (end <= END_FETCHING || pos >= end)
		return 0;
	return min_t(unsigned long, end - pos, arena->chunk);
}

/* percpu_arena.c */
void quarry__percpu_arena_bury(struct quarry_percpu_arena *arena,
			       struct quarry_percpu_cpu *cpu);

/* percpu_arena_view.c */
void quarry__percpu_arena_peak(struct quarry_percpu_arena *arena);
void quarry__percpu_arena_row(struct quarry_object *object,
			      struct quarry_row *row);
void quarry__percpu_arena_config(struct quarry_object *object,
				 struct seq_file *seq);
void quarry__percpu_arena_stats(struct quarry_object *object,
				struct seq_file *seq);
void quarry__percpu_arena_map(struct quarry_object *object, struct seq_file *seq);
int quarry__percpu_arena_verify(struct quarry_object *object, char *why,
				size_t size);
void quarry__percpu_arena_reset_figures(struct quarry_object *object);

#endif /* QUARRY_KMOD_PERCPU_ARENA_H */
