/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry bump: pieces of any size off one region, by everybody, freed all at once.
 *
 * What it is. A region of memory and one word: the offset of the last byte handed
 * out, and a generation. Alloc aligns the offset, adds the size and puts the result
 * back with one compare-and-swap; reset puts the offset back to the start and
 * advances the generation. No piece has a header, none is freed by itself.
 *
 * Good for. Memory that many contexts fill and one throws away: a batch, a trace,
 * a snapshot, tables that are built once. Any context: task, softirq, hard irq,
 * NMI, under a raw spinlock on PREEMPT_RT.
 *
 * Not for. Pieces that die one by one (quarry/pool.h); many CPUs that allocate all
 * the time: they share one cache line, and quarry/percpu_arena.h does not.
 *
 * What is certain. No byte is handed out twice in a generation, none lies outside
 * the region, and the last byte of it can be had. The offset never wraps. A
 * request that does not fit gets NULL and leaves all as it was, so that a smaller
 * one may still fit: exhaustion says something of the request, not of the bump.
 *
 * Reset. Whoever resets sees to it that nobody uses the old pieces any more. An
 * alloc that comes at the same instant does no harm: it is of the old generation
 * or of the new one, whole, and quarry_bump_alloc_gen() says of which. Where
 * pieces may be held across a reset, keep the generation beside the pointer, and
 * quarry_bump_owns() knows a stale one.
 *
 * Limits. The word has 40 bits of offset and 24 of generation. A region is at most
 * %QUARRY_BUMP_MAX_SIZE bytes, so that no sum in the word overflows. A pointer
 * that is exactly 2^24 resets old, or a multiple, passes for a fresh one.
 *
 * Memory order. Reset is a release and alloc an acquire: who gets a piece after a
 * reset sees all that had happened before the reset, on any architecture.
 *
 * Source of the algorithm: the bump pointer is older than any paper; a pointer and
 * a version in one word is R. K. Treiber's, "Systems Programming: Coping with
 * Parallelism", IBM RJ 5118, 1986.
 */
#ifndef QUARRY_BUMP_H
#define QUARRY_BUMP_H

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sizes.h>
#include <quarry/types.h>

struct quarry_bump;

/* Bytes in a region, and in a request; alignment of a request. */
#define QUARRY_BUMP_MAX_SIZE	BIT(38)
#define QUARRY_BUMP_MAX_ALIGN	4096UL

/* In place of a generation for quarry_bump_owns(): whichever there is. */
#define QUARRY_BUMP_ANY_GEN	U32_MAX

/**
 * struct quarry_bump_args - what a bump may be told at creation
 * @flags: enum quarry_flags.
 * @node: NUMA node; read with %QUARRY_ON_NODE only.
 * @memory: memory of the caller, of any alignment; NULL means vmalloc'd. It is
 *	never read or written by the bump (except by QUARRY_ZERO and zalloc), and must
 *	outlive it.
 * @memory_size: bytes at @memory; at least the size of the bump.
 *
 * NULL in place of the struct means all zero. Fields are only ever added at the
 * end.
 */
struct quarry_bump_args {
	unsigned int flags;
	int node;
	void *memory;
	size_t memory_size;
};

/**
 * struct quarry_bump_stats - a bump's figures at one moment
 * @used: bytes handed out in this generation, padding for alignment included.
 * @peak: the largest that @used ever was since creation or the last reset of the
 *	figures. Exact.
 * @capacity: bytes that can be handed out.
 * @left: @capacity without @used.
 * @allocs: pieces handed out since creation or the last reset of the figures.
 * @exhausted: requests that got NULL because they did not fit.
 * @refused: calls that were refused (sum of the next two).
 * @refused_bad: a size of 0, a bad alignment, or a destroy where one may not sleep.
 * @refused_dead: the bump was destroyed.
 * @resets: how often quarry_bump_reset() was called.
 * @generation: the present one.
 * @bytes_reserved: memory of the bump.
 * @bytes_wasted: of it what no request can get.
 */
struct quarry_bump_stats {
	u64 used, peak, capacity, left;
	u64 allocs, exhausted;
	u64 refused, refused_bad, refused_dead;
	u64 resets, generation;
	u64 bytes_reserved, bytes_wasted;
};

/*
 * What a client was built with: a number that is raised when struct
 * quarry_bump_hot or _cpu changes, and the sizes of the structs it passes.
 * Checked by create.
 */
#define QUARRY_BUMP_LAYOUT						\
	((unsigned int)(1 * SZ_16M + sizeof(struct quarry_bump_args) * SZ_4K + \
			sizeof(struct quarry_bump_stats)))

/**
 * quarry_bump_create() - make a bump
 * @name: name for debugfs and reports; see %QUARRY_NAME_LEN
 * @size: bytes that can be handed out, 1 to %QUARRY_BUMP_MAX_SIZE
 * @args: more, or NULL; &struct quarry_bump_args
 *
 * Complexity: O(size), for the mapping.
 *
 * Context: Process context. May sleep.
 * Return: the bump, or an ERR_PTR: -EINVAL for a bad argument or context (one
 * line in the log names it), -EOVERFLOW for a size beyond the maximum, -ENOMEM.
 */
#define quarry_bump_create(name, size, args)				\
	quarry_bump_create_owned(THIS_MODULE, QUARRY_BUMP_LAYOUT, (name), \
				 (size), (args))

struct quarry_bump *quarry_bump_create_owned(struct module *owner,
					     unsigned int layout,
					     const char *name, size_t size,
					     const struct quarry_bump_args *args);

/**
 * quarry_bump_destroy() - give a bump's memory back
 * @bump: the bump; NULL and ERR_PTR are ignored
 *
 * All pieces go with it. Waits for a grace period and for readers in debugfs.
 *
 * Context: Process context. May sleep. Elsewhere it reports and does nothing.
 */
void quarry_bump_destroy(struct quarry_bump *bump);

/**
 * quarry_bump_reset() - free all pieces at once
 * @bump: the bump
 *
 * The caller sees to it that nobody uses the pieces any more. Allocs may come
 * meanwhile; see the head of this file. Complexity: O(1); with KASAN O(used).
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: the new generation; 0 for a handle that is none.
 */
u32 quarry_bump_reset(struct quarry_bump *bump);

/**
 * quarry_bump_zalloc() - take a piece and clear it
 * @bump: the bump
 * @size: bytes
 * @align: alignment in bytes, a power of two
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: as quarry_bump_alloc(), all bytes zero.
 */
void *quarry_bump_zalloc(struct quarry_bump *bump, size_t size, size_t align);

/**
 * quarry_bump_alloc_gen() - take a piece and learn its generation
 * @bump: the bump
 * @size: bytes
 * @align: alignment in bytes, a power of two
 * @gen: where the generation goes; not written when NULL is returned
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: as quarry_bump_alloc().
 */
void *quarry_bump_alloc_gen(struct quarry_bump *bump, size_t size, size_t align,
			    u32 *gen);

/**
 * quarry_bump_owns() - is an address in a piece that was handed out?
 * @bump: the bump
 * @ptr: any address
 * @gen: generation it is said to be of, or %QUARRY_BUMP_ANY_GEN
 *
 * With a generation, a pointer that was handed out before a reset is known as
 * stale. Without, only addresses above the top are. Padding counts as handed out.
 * Complexity: O(1).
 *
 * Context: Any context.
 */
bool quarry_bump_owns(struct quarry_bump *bump, const void *ptr, u32 gen);

/**
 * quarry_bump_generation() - the present generation
 * @bump: the bump
 *
 * Context: Any context.
 * Return: 0 to 2^24 - 1.
 */
u32 quarry_bump_generation(struct quarry_bump *bump);

/**
 * quarry_bump_used() - bytes handed out, padding included
 * @bump: the bump
 *
 * Context: Any context.
 */
size_t quarry_bump_used(struct quarry_bump *bump);

/**
 * quarry_bump_capacity() - bytes that can be handed out
 * @bump: the bump
 *
 * Context: Any context.
 */
size_t quarry_bump_capacity(struct quarry_bump *bump);

/**
 * quarry_bump_verify() - check the bump's state
 * @bump: the bump
 *
 * Context: Process context. May sleep.
 * Return: 0 when consistent; -EUCLEAN when not, with one line in the log that
 * says what is wrong; -EINVAL.
 */
int quarry_bump_verify(struct quarry_bump *bump);

/**
 * quarry_bump_get_stats() - a bump's figures
 * @bump: the bump
 * @stats: where they go
 *
 * Complexity: O(CPUs).
 *
 * Context: Any context.
 */
void quarry_bump_get_stats(struct quarry_bump *bump,
			   struct quarry_bump_stats *stats);

/*
 * The hit path. All below, but for quarry_bump_alloc() and its inline form, is no
 * interface; its layout is checked when a bump is made. The rules for each word
 * are at the head of kmod/bump.h.
 */

#define QUARRY_BUMP_GEN_BITS	24
#define QUARRY_BUMP_GEN_MASK	(BIT(QUARRY_BUMP_GEN_BITS) - 1)

struct quarry_bump_cpu {
	/* Any context on this CPU, by one this_cpu operation each. */
	u64 allocs;
	u64 exhausted;
};

struct quarry_bump_hot {
	atomic64_t word;	/* last byte << GEN_BITS | generation; any context */
	u64 limit;		/* the last word there may be; 0 when destroyed */
	unsigned long origin;	/* address of offset 1; set once */
	struct quarry_bump_cpu __percpu *cpu;	/* set once */
};

void *quarry_bump_alloc_const(struct quarry_bump *bump, u64 step, u64 mask);
void *quarry_bump_alloc_aligned(struct quarry_bump *bump, size_t size, u64 mask);
void *quarry_bump_alloc_any(struct quarry_bump *bump, size_t size, size_t align);
void *quarry_bump_alloc_slow(struct quarry_bump *bump, unsigned long caller);

/* KASAN sees each piece come; pieces do not share its granule of 8 bytes. */
#if defined(CONFIG_KASAN_GENERIC) && defined(CONFIG_KASAN_VMALLOC)
#define QUARRY_BUMP_LEAST_ALIGN 8UL
#else
#define QUARRY_BUMP_LEAST_ALIGN 1UL
#endif
#if (defined(CONFIG_KASAN_GENERIC) && defined(CONFIG_KASAN_VMALLOC)) || \
	defined(CONFIG_KMSAN)
void quarry__bump_taken(struct quarry_bump *bump, const void *piece, size_t size);
#else
static inline void quarry__bump_taken(struct quarry_bump *bump,
				      const void *piece, size_t size) { }
#endif

/* Of a request: what is added to the word, and which bits alignment clears. */
#define QUARRY_BUMP_STEP(size)	((u64)(size) << QUARRY_BUMP_GEN_BITS)
#define QUARRY_BUMP_MASK(align)						\
	((((u64)(align) - 1) | (QUARRY_BUMP_LEAST_ALIGN - 1)) <<	\
	 QUARRY_BUMP_GEN_BITS)

/* Known when compiled, and good. */
static __always_inline bool quarry_bump_is_aligned(size_t align)
{
	return __builtin_constant_p(align) && align > 0 &&
	       align <= QUARRY_BUMP_MAX_ALIGN && !(align & (align - 1));
}

static __always_inline bool quarry_bump_is_const(size_t size, size_t align)
{
	return __builtin_constant_p(size) && size > 0 &&
	       size <= QUARRY_BUMP_MAX_SIZE && quarry_bump_is_aligned(align);
}

/*
 * The word with a piece taken off, or false when it does not fit. To align what
 * comes behind the last byte is to set that byte's low bits. @before is the byte
 * before the piece, as a word. Offsets are below 2^39 and steps at most 2^38, so
 * that no sum overflows; the generation's bits are in the limit, all ones.
 */
static __always_inline bool quarry_bump_take(struct quarry_bump_hot *hot,
					     u64 step, u64 mask, u64 *before)
{
	s64 old = atomic64_read(&hot->word);
	u64 last;

	do {
		*before = old | mask;
		last = *before + step;
		if (unlikely(last > data_race(hot->limit))) /* set once */
			return false;
		/* Acquire: pairs with the release in quarry_bump_reset(). */
	} while (!atomic64_try_cmpxchg_acquire(&hot->word, &old, last));
	return true;
}

static __always_inline void *quarry_bump_hit_alloc(struct quarry_bump *bump,
						   u64 step, u64 mask,
						   unsigned long caller)
{
	struct quarry_bump_hot *hot = (void *)bump;
	void *piece;
	u64 before;

	if (!quarry_bump_take(hot, step, mask, &before))
		return quarry_bump_alloc_slow(bump, caller);
	this_cpu_inc(hot->cpu->allocs);
	piece = (void *)(hot->origin + (before >> QUARRY_BUMP_GEN_BITS));
	quarry__bump_taken(bump, piece, step >> QUARRY_BUMP_GEN_BITS);
	return piece;
}

/**
 * quarry_bump_alloc() - take a piece
 * @bump: the bump; NULL or ERR_PTR gives NULL and a report
 * @size: bytes; 0 gives NULL and a report
 * @align: alignment in bytes, a power of two up to %QUARRY_BUMP_MAX_ALIGN; what
 *	is none gives NULL and a report
 *
 * Contents are undefined. What is a constant of size and alignment, or the alignment
 * alone, is checked when it is compiled. Complexity: O(1); the compare-and-swap is
 * repeated only when another's has succeeded.
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: an aligned address, or NULL when so much is not left. Another, smaller
 * request may still succeed.
 */
static __always_inline void *quarry_bump_alloc(struct quarry_bump *bump,
					       size_t size, size_t align)
{
	if (quarry_bump_is_const(size, align))
		return quarry_bump_alloc_const(bump, QUARRY_BUMP_STEP(size),
					       QUARRY_BUMP_MASK(align));
	if (quarry_bump_is_aligned(align))
		return quarry_bump_alloc_aligned(bump, size,
						 QUARRY_BUMP_MASK(align));
	return quarry_bump_alloc_any(bump, size, align);
}

/**
 * quarry_bump_alloc_inline() - quarry_bump_alloc() with the hit path inline
 * @bump: a bump; not NULL, not an ERR_PTR
 * @size: bytes; not a constant: as quarry_bump_alloc()
 * @align: alignment in bytes; likewise
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: as quarry_bump_alloc().
 */
static __always_inline void *quarry_bump_alloc_inline(struct quarry_bump *bump,
						      size_t size, size_t align)
{
	if (quarry_bump_is_const(size, align))
		return quarry_bump_hit_alloc(bump, QUARRY_BUMP_STEP(size),
					     QUARRY_BUMP_MASK(align), 0);
	return quarry_bump_alloc(bump, size, align);
}

/* Scope-based cleanup, where the kernel has it; as in quarry/pool.h. */
#ifdef __CHECKER__	/* sparse has no __has_include */
#define QUARRY_BUMP_HAS_CLEANUP
#elif __has_include("linux/cleanup.h")
#define QUARRY_BUMP_HAS_CLEANUP
#endif

#ifdef QUARRY_BUMP_HAS_CLEANUP
#include <linux/cleanup.h>

DEFINE_FREE(quarry_bump, struct quarry_bump *, quarry_bump_destroy(_T))
#endif

#endif /* QUARRY_BUMP_H */
