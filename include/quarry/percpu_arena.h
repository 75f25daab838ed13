/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry per-CPU arena: pieces of any size, taken on each CPU by itself, freed all
 * at once.
 *
 * What it is. A region of memory cut into chunks. Each CPU has a chunk of its own
 * and takes pieces off it, one after the other, without a locked instruction and
 * without disabling interrupts; when it is used up the CPU takes the next chunk by
 * compare-and-swap. No piece has a header, none is freed by itself.
 *
 * Good for. What many CPUs write at a high rate and one throws away at once: logs,
 * samples, captured packets, the copies of an epoch. Any context: task, softirq,
 * hard irq, NMI, under a raw spinlock on PREEMPT_RT. Readers under RCU:
 * quarry_percpu_arena_reset_rcu() takes the memory away behind them.
 *
 * Not for. Pieces that die one by one (quarry/pool.h); one writer alone
 * (quarry/bump.h is smaller and wastes nothing).
 *
 * Who gets a piece where. From the CPU's own chunk; an interrupt that comes while
 * its CPU fetches a chunk takes its piece from a chunk that all CPUs share; what is
 * larger than a chunk gets chunks in a row, and their rest goes on a list, of which the
 * uppermost is looked at before a fresh chunk is taken.
 *
 * What cannot be used. When a request does not fit into the rest of a chunk, and
 * another chunk is to be had, that rest is wasted and counted: it is smaller than
 * the request and its padding. There is no stealing: of what other CPUs hold, at
 * most one chunk each, nothing can be had, so that with N CPUs online one CPU alone
 * gets all but (N - 1) chunks ("stranded_max"), the waste, the padding, and rests on
 * the list below one that does not fit ("tails"; none without requests larger than a
 * chunk). A CPU that goes offline gives the rest of its chunk to the list.
 *
 * Reset. quarry_percpu_arena_reset() frees all pieces at once; the caller sees to it
 * that nobody uses them and nobody allocates. reset_rcu() is for when allocs and
 * readers go on: what has been handed out stays readable until a grace period is
 * over, allocs that begin after it get fresh memory, and the old comes back by
 * itself. An alloc that runs at the same instant as a reset gets a piece of before
 * or of after; who wants to be sure uses it under rcu_read_lock(), taken before the
 * alloc. Two resets at the same instant: one of them gets -EBUSY.
 *
 * Memory order. A reset (and the end of its grace period) is a release, and the
 * alloc that gets the memory afterwards an acquire.
 *
 * Limits. 2^24 - 2 chunks, of 256 bytes to 8 MiB.
 */
#ifndef QUARRY_PERCPU_ARENA_H
#define QUARRY_PERCPU_ARENA_H

#include <linux/err.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <quarry/types.h>

struct quarry_percpu_arena;

/* Bytes in an arena; in a chunk; alignment of a request. */
#define QUARRY_PERCPU_ARENA_MAX_SIZE	BIT(40)
#define QUARRY_PERCPU_ARENA_MIN_CHUNK	256UL
#define QUARRY_PERCPU_ARENA_MAX_CHUNK	(8UL << 20)
#define QUARRY_PERCPU_ARENA_MAX_ALIGN	4096UL

/* Retired lots of pieces that may wait for their grace periods at once. */
#define QUARRY_PERCPU_ARENA_MAX_PENDING	8

/**
 * struct quarry_percpu_arena_args - what an arena may be told at creation
 * @flags: enum quarry_flags.
 * @node: NUMA node; read with %QUARRY_ON_NODE only.
 * @memory: memory of the caller; NULL means vmalloc'd. It is never read or written
 *	by the arena (except by QUARRY_ZERO and zalloc), and must outlive it.
 * @memory_size: bytes at @memory; at least the size of the arena. What lies
 *	before the first multiple of the chunk's size (or of 4096, if that is less),
 *	and behind the last whole chunk, is not used.
 * @chunk: bytes in a chunk, a power of two; 0 means: an eighth of each CPU's part,
 *	4 KiB to 64 KiB.
 *
 * NULL in place of the struct means all zero. Fields are only ever added at the
 * end.
 */
struct quarry_percpu_arena_args {
	unsigned int flags;
	int node;
	void *memory;
	size_t memory_size;
	size_t chunk;
};

/**
 * struct quarry_percpu_arena_stats - an arena's figures at one moment
 * @used: bytes handed out since the last reset, padding for alignment included.
 *	Exact when the arena is quiescent, never negative.
 * @peak: the largest that @used was when a reset or a look came by.
 * @capacity: bytes in chunks.
 * @left: bytes in chunks that nobody has.
 * @retired: bytes that wait for a grace period.
 * @cached: bytes left in the CPUs' chunks.
 * @shared: bytes left in the shared chunk.
 * @tails: bytes in rests of chunks that can be had again.
 * @wasted: bytes in rests of chunks that cannot, until the next reset.
 * @stranded_max: bytes that one CPU alone may not get while others hold chunks.
 * @allocs: pieces handed out since creation or the last reset of the figures.
 * @hits: of them those from the CPU's chunk as it was.
 * @refills: of them those that fetched a chunk for the CPU.
 * @bypass: of them those from the shared chunk.
 * @large: of them those larger than a chunk.
 * @recycled: rests of chunks that were had again.
 * @exhausted: requests that got NULL because they did not fit.
 * @refused: calls that were refused (sum of the next two).
 * @refused_bad: a size of 0, a bad alignment, a reset or destroy in a bad context.
 * @refused_dead: the arena was destroyed.
 * @resets: how often the arena was reset, with RCU or without.
 * @pending: resets whose grace periods are not over.
 * @bytes_reserved: memory of the arena, metadata included.
 * @bytes_metadata: metadata alone.
 * @bytes_wasted: memory of the region that belongs to no chunk.
 */
struct quarry_percpu_arena_stats {
	u64 used, peak, capacity, left, retired;
	u64 cached, shared, tails, wasted, stranded_max;
	u64 allocs, hits, refills, bypass, large, recycled;
	u64 exhausted, refused, refused_bad, refused_dead;
	u64 resets, pending;
	u64 bytes_reserved, bytes_metadata, bytes_wasted;
};

/* As QUARRY_BUMP_LAYOUT: raised when struct quarry_percpu_hot or _cpu changes. */
#define QUARRY_PERCPU_ARENA_LAYOUT					\
	((unsigned int)(1 * SZ_16M +					\
			sizeof(struct quarry_percpu_arena_args) * SZ_4K + \
			sizeof(struct quarry_percpu_arena_stats)))

/**
 * quarry_percpu_arena_create() - make a per-CPU arena
 * @name: name for debugfs and reports; see %QUARRY_NAME_LEN
 * @size: bytes, at least one chunk, at most %QUARRY_PERCPU_ARENA_MAX_SIZE; rounded
 *	up to whole chunks (with the caller's memory: down)
 * @args: more, or NULL; &struct quarry_percpu_arena_args
 *
 * Complexity: O(size), for the mapping.
 *
 * Context: Process context. May sleep; takes the CPU hotplug lock for reading.
 * Return: the arena, or an ERR_PTR: -EINVAL for a bad argument or context (one
 * line in the log names it), -EOVERFLOW for a size beyond the maximum, -ENOMEM.
 */
#define quarry_percpu_arena_create(name, size, args)			\
	quarry_percpu_arena_create_owned(THIS_MODULE,			\
					 QUARRY_PERCPU_ARENA_LAYOUT,	\
					 (name), (size), (args))

struct quarry_percpu_arena *
quarry_percpu_arena_create_owned(struct module *owner, unsigned int layout,
				 const char *name, size_t size,
				 const struct quarry_percpu_arena_args *args);

/**
 * quarry_percpu_arena_destroy() - give an arena's memory back
 * @arena: the arena; NULL and ERR_PTR are ignored
 *
 * All pieces go with it. Waits for pending resets, whose callbacks are called
 * before it returns, and for readers in debugfs.
 *
 * Context: Process context. May sleep. Elsewhere it reports and does nothing.
 */
void quarry_percpu_arena_destroy(struct quarry_percpu_arena *arena);

/**
 * quarry_percpu_arena_reset() - free all pieces at once
 * @arena: the arena
 *
 * The caller sees to it that nobody uses the pieces and nobody allocates. Pieces
 * that an earlier reset_rcu() has retired still wait for their grace period.
 * Complexity: O(CPUs + rests on the list); with KASAN O(used). Preemption is off
 * throughout, since a task that was preempted half-way would keep all CPUs from
 * fresh chunks: for a locked operation on each possible CPU, and with KASAN while all
 * that was used is poisoned.
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: 0, -EBUSY when another reset runs at this instant, -EINVAL for a handle
 * that is none.
 */
int quarry_percpu_arena_reset(struct quarry_percpu_arena *arena);

/**
 * quarry_percpu_arena_reset_rcu() - free all pieces behind their readers
 * @arena: the arena
 * @done: called when the memory has come back, in softirq or process context,
 *	with bottom halves off; may be NULL
 * @arg: passed to @done
 *
 * The pieces are retired at once: allocs from here on get fresh memory, NULL when
 * there is none. After a grace period the old can be had again and @done is called.
 * The module that owns the arena may unload: @done is called before its text goes,
 * or not at all; it must be in the text of that module. From then on the arena takes no
 * @done any more: -EBUSY.
 *
 * Afterwards the region is used as a ring: a request larger than a chunk may find
 * chunks enough, and not enough in a row.
 *
 * Complexity: O(CPUs + rests on the list), with preemption off as in
 * quarry_percpu_arena_reset(). With KASAN the callback takes O(what comes back), with
 * interrupts off.
 *
 * Context: Any context but NMI. Never sleeps.
 * Return: 0, and then @done will be called; -EBUSY when another reset runs at this
 * instant or %QUARRY_PERCPU_ARENA_MAX_PENDING are pending, -EINVAL in an NMI or for
 * a handle that is none: nothing has changed, and @done will not be called.
 */
int quarry_percpu_arena_reset_rcu(struct quarry_percpu_arena *arena,
				  void (*done)(void *arg), void *arg);

/**
 * quarry_percpu_arena_zalloc() - take a piece and clear it
 * @arena: the arena
 * @size: bytes
 * @align: alignment in bytes, a power of two
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: as quarry_percpu_arena_alloc(), all bytes zero.
 */
void *quarry_percpu_arena_zalloc(struct quarry_percpu_arena *arena, size_t size,
				 size_t align);

/**
 * quarry_percpu_arena_owns() - does an address lie in the arena's chunks?
 * @arena: the arena
 * @ptr: any address
 *
 * Says nothing of whether a piece there was handed out. Complexity: O(1).
 *
 * Context: Any context.
 */
bool quarry_percpu_arena_owns(struct quarry_percpu_arena *arena, const void *ptr);

/**
 * quarry_percpu_arena_used() - bytes handed out, padding included
 * @arena: the arena
 *
 * Complexity: O(CPUs + rests that can be had again).
 *
 * Context: Any context.
 */
size_t quarry_percpu_arena_used(struct quarry_percpu_arena *arena);

/**
 * quarry_percpu_arena_capacity() - bytes in chunks
 * @arena: the arena
 *
 * Context: Any context.
 */
size_t quarry_percpu_arena_capacity(struct quarry_percpu_arena *arena);

/**
 * quarry_percpu_arena_chunk() - bytes in a chunk
 * @arena: the arena
 *
 * Context: Any context.
 */
size_t quarry_percpu_arena_chunk(struct quarry_percpu_arena *arena);

/**
 * quarry_percpu_arena_verify() - check the arena's whole state
 * @arena: the arena
 *
 * No chunk has two owners, all lie where chunks have been taken, and the figures
 * add up. Complexity: O(CPUs + chunks).
 *
 * Context: Process context. May sleep.
 * Return: 0 when consistent; 1 when it was in use and that can not be told;
 * -EUCLEAN when not, with one line in the log that says what is wrong; -ENOMEM,
 * -EINVAL.
 */
int quarry_percpu_arena_verify(struct quarry_percpu_arena *arena);

/**
 * quarry_percpu_arena_get_stats() - an arena's figures
 * @arena: the arena
 * @stats: where they go
 *
 * Complexity: O(CPUs + rests that can be had again).
 *
 * Context: Any context.
 */
void quarry_percpu_arena_get_stats(struct quarry_percpu_arena *arena,
				   struct quarry_percpu_arena_stats *stats);

/*
 * The hit path. All below, but for quarry_percpu_arena_alloc() and its inline
 * form, is no interface; its layout is checked when an arena is made. The rules
 * for each word are at the head of kmod/percpu_arena.h.
 */

struct quarry_percpu_cpu {
	unsigned long pos;	/* this CPU: address of the last byte handed out */
	unsigned long end;	/* of the last byte of its chunk, or none */
	/* Any context on this CPU, by one this_cpu operation each. */
	u64 allocs;
	u64 refills;
	u64 bypass;
	u64 large;
	u64 recycled;
	u64 exhausted;
	u8 busy;		/* this CPU: a chunk is being fetched */
};

struct quarry_percpu_hot {
	struct quarry_percpu_cpu __percpu *cpu;	/* set once; closed at destroy */
};

void *quarry_percpu_arena_alloc_const(struct quarry_percpu_arena *arena,
				      size_t size, unsigned long mask);
void *quarry_percpu_arena_alloc_aligned(struct quarry_percpu_arena *arena,
					size_t size, unsigned long mask);
void *quarry_percpu_arena_alloc_any(struct quarry_percpu_arena *arena,
				    size_t size, size_t align);
void *quarry_percpu_arena_alloc_slow(struct quarry_percpu_arena *arena,
				     size_t size, unsigned long mask,
				     unsigned long caller);

/* KASAN sees each piece come; pieces do not share its granule of 8 bytes. */
#if defined(CONFIG_KASAN_GENERIC) && defined(CONFIG_KASAN_VMALLOC)
#define QUARRY_PERCPU_ARENA_LEAST_ALIGN 8UL
#else
#define QUARRY_PERCPU_ARENA_LEAST_ALIGN 1UL
#endif
#if (defined(CONFIG_KASAN_GENERIC) && defined(CONFIG_KASAN_VMALLOC)) || \
	defined(CONFIG_KMSAN)
void quarry__percpu_arena_taken(struct quarry_percpu_arena *arena,
				const void *piece, size_t size);
#else
static inline void quarry__percpu_arena_taken(struct quarry_percpu_arena *arena,
					      const void *piece, size_t size) { }
#endif

/* Of a request: the bits of the byte before a piece that alignment sets. */
#define QUARRY_PERCPU_ARENA_MASK(align)					\
	(((align) - 1) | (QUARRY_PERCPU_ARENA_LEAST_ALIGN - 1))

/* Known when compiled, and good. */
static __always_inline bool quarry_percpu_arena_is_aligned(size_t align)
{
	return __builtin_constant_p(align) && align > 0 &&
	       align <= QUARRY_PERCPU_ARENA_MAX_ALIGN && !(align & (align - 1));
}

static __always_inline bool quarry_percpu_arena_is_const(size_t size, size_t align)
{
	return __builtin_constant_p(size) && size > 0 &&
	       size <= QUARRY_PERCPU_ARENA_MAX_CHUNK &&
	       quarry_percpu_arena_is_aligned(align);
}

/* 6.6 has it, and saves a comparison by it. */
#ifdef this_cpu_try_cmpxchg
#define quarry_percpu_try_cmpxchg(word, old, new)			\
	this_cpu_try_cmpxchg(word, old, new)
#else
#define quarry_percpu_try_cmpxchg(word, old, new)			\
({									\
	unsigned long __old = *(old);					\
									\
	this_cpu_cmpxchg(word, __old, new) == __old;			\
})
#endif

/*
 * The compare-and-swap is this CPU's own: against interrupts, without a lock
 * prefix; who is interrupted there goes the slow way. @pos is looked at before
 * @end: an interrupt that fetches a chunk changes both, and then the swap fails.
 * Another CPU writes @end, to retire the chunk, and never @pos. Preemption is off,
 * so that a grace period waits for us.
 */
static __always_inline void *
quarry_percpu_arena_hit_alloc(struct quarry_percpu_arena *arena, size_t size,
			      unsigned long mask, unsigned long caller)
{
	const struct quarry_percpu_hot *hot = (const void *)arena;
	struct quarry_percpu_cpu __percpu *cpu;
	unsigned long pos, before, last;

	preempt_disable();
	cpu = READ_ONCE(hot->cpu);	/* changes when the arena is destroyed */
	pos = this_cpu_read(cpu->pos);
	before = pos | mask;
	last = before + size;
	if (unlikely(last > this_cpu_read(cpu->end)) ||
	    unlikely(!quarry_percpu_try_cmpxchg(cpu->pos, &pos, last)))
		goto miss;
	this_cpu_inc(cpu->allocs);
	preempt_enable();
	quarry__percpu_arena_taken(arena, (void *)(before + 1), size);
	return (void *)(before + 1);
miss:
	preempt_enable();
	return quarry_percpu_arena_alloc_slow(arena, size, mask, caller);
}

/**
 * quarry_percpu_arena_alloc() - take a piece
 * @arena: the arena; NULL or ERR_PTR gives NULL and a report
 * @size: bytes; 0 gives NULL and a report
 * @align: alignment in bytes, a power of two up to
 *	%QUARRY_PERCPU_ARENA_MAX_ALIGN; what is none gives NULL and a report
 *
 * Contents are undefined. What is a constant of size and alignment, or the alignment
 * alone, is checked when it is compiled. Complexity: O(1).
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: an aligned address, or NULL when so much is not to be had here. Another,
 * smaller request may still succeed, and one on another CPU.
 */
static __always_inline void *
quarry_percpu_arena_alloc(struct quarry_percpu_arena *arena, size_t size,
			  size_t align)
{
	if (quarry_percpu_arena_is_const(size, align))
		return quarry_percpu_arena_alloc_const(arena, size,
					QUARRY_PERCPU_ARENA_MASK(align));
	if (quarry_percpu_arena_is_aligned(align))
		return quarry_percpu_arena_alloc_aligned(arena, size,
					QUARRY_PERCPU_ARENA_MASK(align));
	return quarry_percpu_arena_alloc_any(arena, size, align);
}

/**
 * quarry_percpu_arena_alloc_inline() - the same with the hit path inline
 * @arena: an arena; not NULL, not an ERR_PTR
 * @size: bytes; not a constant: as quarry_percpu_arena_alloc()
 * @align: alignment in bytes; likewise
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: as quarry_percpu_arena_alloc().
 */
static __always_inline void *
quarry_percpu_arena_alloc_inline(struct quarry_percpu_arena *arena, size_t size,
				 size_t align)
{
	if (quarry_percpu_arena_is_const(size, align))
		return quarry_percpu_arena_hit_alloc(arena, size,
					QUARRY_PERCPU_ARENA_MASK(align), 0);
	return quarry_percpu_arena_alloc(arena, size, align);
}

/* Scope-based cleanup, where the kernel has it; as in quarry/pool.h. */
#ifdef __CHECKER__	/* sparse has no __has_include */
#define QUARRY_PERCPU_ARENA_HAS_CLEANUP
#elif __has_include("linux/cleanup.h")
#define QUARRY_PERCPU_ARENA_HAS_CLEANUP
#endif

#ifdef QUARRY_PERCPU_ARENA_HAS_CLEANUP
#include <linux/cleanup.h>

DEFINE_FREE(quarry_percpu_arena, struct quarry_percpu_arena *,
	    quarry_percpu_arena_destroy(_T))
#endif

#endif /* QUARRY_PERCPU_ARENA_H */
