/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry pool: blocks of one size.
 *
 * What it is. A region of memory cut into equal blocks, all of them reserved
 * when the pool is made. Each CPU has two magazines (small arrays of free
 * blocks); a depot behind them holds the rest, in whole magazines where it can.
 * Metadata lies outside the blocks, at most 8 bytes a block and two cache lines a CPU
 * (%QUARRY_POOL_TRACK and LEAK_TRACK take more).
 *
 * Good for. Objects that come and go fast in any context: task, softirq, hard
 * irq, NMI, under a raw spinlock on PREEMPT_RT. Nothing here sleeps, spins on
 * another CPU or sends an IPI to allocate or free; the hit path has no locked
 * instruction and does not disable interrupts.
 *
 * Not for. Blocks that are passed to kfree(), mapped for DMA or put on a
 * scatterlist; sizes that differ from request to request.
 *
 * The promise. A pool of nr_blocks lets that many blocks be live at once,
 * whatever the CPUs' magazines hold. It keeps up to one eighth more blocks than
 * that for the magazines. A pool too small for it has no magazines, and
 * %QUARRY_POOL_EXACT asks for exactly nr_blocks (and no magazines).
 *
 * What is checked, always. A free of a pointer that is foreign, misaligned,
 * interior, already free or of another pool is refused: nothing changes, a
 * counter moves, and one rate-limited report names the pool, the block, its
 * true owner and the caller.
 *
 * What cannot be seen. A stale free after the block was handed out again looks
 * like the new owner's free. Two frees of one block that race at the very same
 * instant are caught at once in a pool made with %QUARRY_POOL_STRICT (one locked
 * operation a free); in others the alloc that meets the duplicate drops it and
 * reports. Two allocs that meet both duplicates at the same instant, again, both
 * get the block. A free through a destroyed pool's handle that is interrupted on its
 * way while the handle is used again may be taken for one of the new pool's.
 *
 * Memory order. A free is a release and the alloc that hands the block out
 * again an acquire, for the block's contents, on whatever CPU and in whatever
 * context.
 *
 * Life. create -> alloc and free, any number of times -> destroy. Using a pool
 * while another CPU destroys it is a bug of the caller. A handle stays readable
 * after destroy: an alloc through it gives NULL, a free is refused and reported,
 * until a later create uses the handle again: then it is that pool's.
 *
 * Source of the algorithm: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX
 * 2001 (magazines, depot, two magazines a CPU); R. K. Treiber, "Systems
 * Programming: Coping with Parallelism", IBM RJ 5118, 1986 (the tagged stack).
 */
#ifndef QUARRY_POOL_H
#define QUARRY_POOL_H

#include <linux/build_bug.h>
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <quarry/types.h>

struct quarry_pool;

/**
 * enum quarry_pool_flags - what a pool does besides
 * @QUARRY_POOL_EXACT: exactly nr_blocks blocks and no magazines; every operation
 *	is on the shared list. The plain pool.
 * @QUARRY_POOL_STRICT: two racing frees of one block are told apart at once, for
 *	one locked operation a free.
 * @QUARRY_POOL_ZERO_ON_FREE: clear a block when it is freed. Not with a ctor.
 * @QUARRY_POOL_LEAK_TRACK: register each live block with kmemleak, so that a
 *	block nobody points to is reported as a leak by itself. Blocks handed out
 *	in a context where kmemleak may not be called (NMI, hard irq, raw sections
 *	on PREEMPT_RT) are skipped and counted ("untracked"); so are frees there,
 *	whose blocks kmemleak takes for live until they are used again. What a
 *	skipped block points to is not seen: memory that nothing else points to
 *	is reported though it is not leaked. Block 0 is never reported: its
 *	address is the region's, which quarry and vmalloc keep. Not with memory
 *	of the caller. Costs nothing without CONFIG_DEBUG_KMEMLEAK.
 * @QUARRY_POOL_TRACK: remember where each live block was allocated, and say it of
 *	the first few when the pool is destroyed with live blocks, or its module
 *	unloads. Up to 64 places, each resolved to text when it first comes; a byte
 *	more a block, and 6 KiB.
 *
 * These go in quarry_pool_args.flags, together with enum quarry_flags. TRACK and
 * LEAK_TRACK (with kmemleak) take the pool off the hit path, STRICT and ZERO_ON_FREE
 * its frees alone; its blocks still come from the CPU's magazines.
 */
enum quarry_pool_flags {
	QUARRY_POOL_EXACT		= BIT(16),
	QUARRY_POOL_STRICT		= BIT(17),
	QUARRY_POOL_ZERO_ON_FREE	= BIT(18),
	QUARRY_POOL_LEAK_TRACK		= BIT(19),
	QUARRY_POOL_TRACK		= BIT(20),
};

/* Block size and alignment, in bytes; blocks in a pool. */
#define QUARRY_POOL_MAX_SIZE	(16UL << 20)
#define QUARRY_POOL_MAX_ALIGN	4096UL
#define QUARRY_POOL_MAX_BLOCKS	BIT(30)
/* Blocks in a magazine: no more than this. */
#define QUARRY_POOL_MAX_MAGAZINE 126

/**
 * struct quarry_pool_args - what a pool may be told at creation
 * @align: alignment of each block in bytes, a power of two up to
 *	%QUARRY_POOL_MAX_ALIGN; 0 means 8, or less for blocks below 8 bytes (the
 *	largest power of two not above the size). May be larger than the block.
 * @flags: enum quarry_flags and enum quarry_pool_flags.
 * @node: NUMA node for blocks and metadata; read with %QUARRY_ON_NODE only.
 * @magazine: blocks in a magazine, at most; 0 means %QUARRY_POOL_MAX_MAGAZINE. The
 *	pool takes fewer when an eighth of nr_blocks does not suffice for two
 *	magazines on each online CPU.
 * @memory: memory for the blocks, of the caller; NULL means vmalloc'd. It is
 *	never read or written by the pool (except by QUARRY_ZERO, ZERO_ON_FREE and the
 *	ctor), must be aligned to @align, and must outlive the pool.
 * @memory_size: bytes at @memory; at least quarry_pool_memory_size(size, nr,
 *	align, true). What lies beyond is used for magazines, up to an eighth.
 * @ctor: called once for each block at creation, in process context. The
 *	block's contents survive alloc and free.
 * @dtor: called once for each block at destroy, in process context; never after
 *	the creating module is gone.
 * @arg: passed to @ctor and @dtor.
 *
 * NULL in place of the struct means all zero. Fields are only ever added at the
 * end.
 */
struct quarry_pool_args {
	size_t align;
	unsigned int flags;
	int node;
	unsigned int magazine;
	void *memory;
	size_t memory_size;
	void (*ctor)(void *block, void *arg);
	void (*dtor)(void *block, void *arg);
	void *arg;
};

/**
 * struct quarry_pool_stats - a pool's figures at one moment
 * @live: blocks allocated and not freed. Exact when the pool is quiescent, never
 *	negative.
 * @peak: high-water mark of @live; it over-states by at most @peak_slack blocks.
 * @peak_slack: blocks that the magazines may hold at most.
 * @allocs: blocks handed out since creation or the last reset.
 * @frees: blocks taken back, likewise.
 * @exhausted: allocs that got NULL because no block was left.
 * @refused: frees that were refused (sum of the next six).
 * @refused_foreign: address outside the pool and all others.
 * @refused_owner: a block of another quarry object.
 * @refused_misaligned: inside a block, and not aligned for one.
 * @refused_interior: inside a block, aligned, and not its first byte.
 * @refused_double: block already free.
 * @refused_dead: the pool was destroyed.
 * @duplicates: blocks found twice on the free lists and dropped once.
 * @hits: allocs served by the CPU's magazines without a look at the depot.
 * @refills: magazines (or parts) taken from the depot.
 * @flushes: magazines (or parts) given to the depot.
 * @remote_frees: frees on another CPU than the one that allocated. CPUs whose
 *	numbers are equal modulo 127 count as the same.
 * @bypass: allocs and frees that went to the shared list because the CPU's
 *	magazines were in use by the code that was interrupted, or there are none.
 * @untracked: allocs and frees that kmemleak could not be told of
 *	(%QUARRY_POOL_LEAK_TRACK).
 * @cached: blocks in the CPUs' magazines now.
 * @bytes_reserved: memory of the pool: blocks, spare blocks and metadata.
 * @bytes_in_use: @live times the block size.
 * @bytes_wasted: padding and spare blocks: @bytes_reserved without metadata,
 *	minus what nr_blocks blocks could use.
 * @bytes_metadata: metadata alone.
 */
struct quarry_pool_stats {
	u64 live, peak, peak_slack;
	u64 allocs, frees, exhausted;
	u64 refused, refused_foreign, refused_owner, refused_misaligned;
	u64 refused_interior, refused_double, refused_dead;
	u64 duplicates;
	u64 hits, refills, flushes, remote_frees, bypass, untracked;
	u64 cached;
	u64 bytes_reserved, bytes_in_use, bytes_wasted, bytes_metadata;
};

/*
 * What a client was built with: the sizes, in words, of the structs that it passes
 * and of those that it reads inline, and in front a number that is raised when one
 * of these changes and its size does not. Checked by create.
 */
#define QUARRY_POOL_LAYOUT						\
	((unsigned int)(2U << 28 |					\
			sizeof(struct quarry_pool_args) / 8 << 21 |	\
			sizeof(struct quarry_pool_stats) / 8 << 14 |	\
			sizeof(struct quarry_pool_hot) / 8 << 7 |	\
			sizeof(struct quarry_pool_cpu) / 8))

/**
 * quarry_pool_create() - make a pool
 * @name: name for debugfs and reports; see %QUARRY_NAME_LEN
 * @size: bytes in a block, 1 to %QUARRY_POOL_MAX_SIZE
 * @nr_blocks: blocks that can be live at once, 1 to %QUARRY_POOL_MAX_BLOCKS
 * @args: more, or NULL; &struct quarry_pool_args
 *
 * Complexity: O(nr_blocks).
 *
 * Context: Process context. May sleep; takes the CPU hotplug lock for reading.
 * Return: the pool, or an ERR_PTR: -EINVAL for a bad argument or context (one
 * line in the log names it), -EOVERFLOW for sizes that overflow, -ENOMEM.
 */
#define quarry_pool_create(name, size, nr_blocks, args)			\
	quarry_pool_create_owned(THIS_MODULE, QUARRY_POOL_LAYOUT, (name), \
				 (size), (nr_blocks), (args))

/**
 * QUARRY_POOL() - make a pool of one type
 * @type: type of the blocks, for example struct flow
 * @nr_blocks: blocks that can be live at once
 * @args: more, or NULL; its align is overridden when it is 0
 *
 * The name is the type's, as KMEM_CACHE() does it.
 *
 * Context: Process context. May sleep.
 * Return: as quarry_pool_create().
 */
#define QUARRY_POOL(type, nr_blocks, args)				\
	quarry_pool_create_typed(THIS_MODULE, QUARRY_POOL_LAYOUT,	\
				 #type, sizeof(type), __alignof__(type),\
				 (nr_blocks), (args))

struct quarry_pool *quarry_pool_create_owned(struct module *owner,
					     unsigned int layout,
					     const char *name, size_t size,
					     size_t nr_blocks,
					     const struct quarry_pool_args *args);
struct quarry_pool *quarry_pool_create_typed(struct module *owner,
					     unsigned int layout,
					     const char *type, size_t size,
					     size_t align, size_t nr_blocks,
					     const struct quarry_pool_args *args);

/**
 * quarry_pool_destroy() - give a pool's memory back
 * @pool: the pool; NULL and ERR_PTR are ignored
 *
 * Waits for a grace period and for readers in debugfs. A pool with live blocks
 * is reported (how many, the first few by number and CPU, and where they were
 * allocated with %QUARRY_POOL_TRACK) and its memory is
 * kept: a leak is safer than a use after free. It then stays in debugfs, marked
 * "leaked". The dtor is run for the free blocks only in that case.
 *
 * Complexity: O(nr_blocks).
 *
 * Context: Process context. May sleep; takes the CPU hotplug lock for reading.
 * Elsewhere it reports and does nothing.
 */
void quarry_pool_destroy(struct quarry_pool *pool);

/**
 * quarry_pool_alloc() - take a block
 * @pool: the pool; NULL or ERR_PTR gives NULL and a report
 *
 * Contents are undefined (the ctor's or the last user's). Complexity: O(1).
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: a block aligned as the pool was told, or NULL when all are live.
 */
void *quarry_pool_alloc(struct quarry_pool *pool) __malloc;

/**
 * quarry_pool_zalloc() - take a block and clear it
 * @pool: the pool
 *
 * Complexity: O(block size).
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: as quarry_pool_alloc(), all bytes zero.
 */
void *quarry_pool_zalloc(struct quarry_pool *pool) __malloc;

/**
 * quarry_pool_free() - give a block back
 * @pool: the pool that the block came from; NULL or ERR_PTR gives a report
 * @block: the block; NULL is ignored
 *
 * A wrong @block is refused: nothing changes, and one report says what it is.
 * Complexity: O(1); a refused free looks through all of quarry's objects.
 *
 * Context: Any context, NMI included. Never sleeps.
 */
void quarry_pool_free(struct quarry_pool *pool, void *block);

/**
 * quarry_pool_alloc_bulk() - take several blocks
 * @pool: the pool
 * @nr: how many are wanted
 * @blocks: where they go; entries beyond the returned number are not written
 *
 * Complexity: O(nr), with preemption disabled for a magazine at a time.
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: how many were taken, 0 to @nr.
 */
size_t quarry_pool_alloc_bulk(struct quarry_pool *pool, size_t nr, void **blocks);

/**
 * quarry_pool_free_bulk() - give several blocks back
 * @pool: the pool that the blocks came from
 * @nr: how many
 * @blocks: the blocks; NULL entries are skipped
 *
 * Frees each good block and refuses each bad one, as quarry_pool_free() does.
 * Complexity: O(nr), with preemption disabled for a magazine at a time.
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: how many were freed.
 */
size_t quarry_pool_free_bulk(struct quarry_pool *pool, size_t nr, void **blocks);

/**
 * quarry_pool_owns() - does an address start a block of this pool?
 * @pool: the pool
 * @ptr: any address
 *
 * Says nothing of whether the block is live. Complexity: O(1).
 *
 * Context: Any context.
 */
bool quarry_pool_owns(struct quarry_pool *pool, const void *ptr);

/**
 * quarry_pool_index() - a block's number
 * @pool: the pool
 * @block: a block of it
 *
 * A 32-bit name for a pointer, for use in tables. Complexity: O(1).
 *
 * Context: Any context.
 * Return: the number, or -EINVAL when @block does not start a block.
 */
long quarry_pool_index(struct quarry_pool *pool, const void *block);

/**
 * quarry_pool_at() - a block by its number
 * @pool: the pool
 * @index: from quarry_pool_index()
 *
 * Says nothing of whether the block is live. Complexity: O(1).
 *
 * Context: Any context.
 * Return: the block, or NULL for a number that the pool does not have.
 */
void *quarry_pool_at(struct quarry_pool *pool, u32 index);

/**
 * quarry_pool_capacity() - the nr_blocks the pool was made with
 * @pool: the pool
 *
 * Context: Any context.
 */
size_t quarry_pool_capacity(struct quarry_pool *pool);

/**
 * quarry_pool_block_size() - the size the pool was made with, in bytes
 * @pool: the pool
 *
 * Context: Any context.
 */
size_t quarry_pool_block_size(struct quarry_pool *pool);

/**
 * quarry_pool_memory_size() - bytes that a pool's blocks take
 * @size: bytes in a block
 * @nr_blocks: blocks
 * @align: alignment, as in &struct quarry_pool_args
 * @exact: true: without the spare blocks for magazines
 *
 * For sizing quarry_pool_args.memory.
 *
 * Context: Any context.
 * Return: bytes, or 0 when the arguments are bad or overflow.
 */
size_t quarry_pool_memory_size(size_t size, size_t nr_blocks, size_t align,
			       bool exact);

/* What quarry_pool_for_each_live() calls; not 0 ends the walk. */
typedef int (*quarry_pool_visit_fn)(void *block, u32 index, void *arg);

/**
 * quarry_pool_for_each_live() - visit the live blocks
 * @pool: the pool
 * @fn: called with each live block, its number and @arg; not 0 ends the walk
 * @arg: passed to @fn
 *
 * The caller holds off frees, else a block may be visited that has just been
 * freed. Blocks allocated meanwhile may or may not be visited. @fn may not free
 * other blocks than the one it is given. Complexity: O(blocks).
 *
 * Context: Any context that @fn allows.
 * Return: 0, what @fn ended the walk with, or -EINVAL without a pool or @fn.
 */
int quarry_pool_for_each_live(struct quarry_pool *pool,
			      quarry_pool_visit_fn fn, void *arg);

/**
 * quarry_pool_verify() - check the pool's whole state
 * @pool: the pool
 *
 * Each block is live or on exactly one free list, and the counters agree. On a
 * pool in use, what holds at every instant is checked. Complexity: O(blocks).
 *
 * Context: Process context. May sleep.
 * Return: 0 when consistent; 1 when consistent as far as can be told of a pool
 * that is in use; -EUCLEAN when not, with one line in the log that says what is
 * wrong; -ENOMEM, -EINVAL.
 */
int quarry_pool_verify(struct quarry_pool *pool);

/**
 * quarry_pool_get_stats() - a pool's figures
 * @pool: the pool
 * @stats: where they go
 *
 * Complexity: O(CPUs).
 *
 * Context: Any context.
 */
void quarry_pool_get_stats(struct quarry_pool *pool,
			   struct quarry_pool_stats *stats);

/**
 * quarry_pool_alloc_as() - take a block as a pointer of a type
 * @pool: the pool
 * @type: type of the block
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: a pointer to @type, or NULL when no block is left, or when the pool's
 * blocks are smaller than @type (which is also warned of once).
 */
#define quarry_pool_alloc_as(pool, type)				\
({									\
	struct quarry_pool *__qp = (pool);				\
	(type *)(WARN_ON_ONCE(!IS_ERR_OR_NULL(__qp) &&			\
			      quarry_pool_block_size(__qp) < sizeof(type)) ? \
		 NULL : quarry_pool_alloc(__qp));			\
})

/**
 * quarry_pool_zalloc_as() - take a cleared block as a pointer of a type
 * @pool: the pool
 * @type: type of the block
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: as quarry_pool_alloc_as().
 */
#define quarry_pool_zalloc_as(pool, type)				\
({									\
	struct quarry_pool *__qp = (pool);				\
	(type *)(WARN_ON_ONCE(!IS_ERR_OR_NULL(__qp) &&			\
			      quarry_pool_block_size(__qp) < sizeof(type)) ? \
		 NULL : quarry_pool_zalloc(__qp));			\
})

/*
 * The hit path, inline.
 *
 * quarry_pool_alloc_inline() and quarry_pool_free_inline() are the same
 * operations with the hit path in the caller. All below is read by that path
 * alone and is no interface; its layout is checked when a pool is made. The
 * rules for each word are at the head of kmod/pool.h.
 */

/* Values of a block's state byte: free, or live and handed out by a CPU. */
#define QUARRY_BLOCK_FREE	0
#define QUARRY_BLOCK_CPUS	127	/* 1 + cpu % 127 */
#define QUARRY_BLOCK_NONE	0xff	/* the sentinel behind the last block */

/* Bits of a CPU's gate: 0 lets the hit path in. */
#define QUARRY_GATE_HELD	BIT(0)	/* the magazines are in use on this CPU */
#define QUARRY_GATE_CLOSED	BIT(1)	/* this CPU has no magazines */
#define QUARRY_GATE_SLOW	BIT(2)	/* the pool does more than the hit path */
#define QUARRY_GATE_TRACK	BIT(3)	/* and remembers who allocates; with SLOW */

struct quarry_pool_cpu {
	u8 gate;		/* this CPU; see kmod/pool.h */
	u8 id;			/* set once: the state of its blocks */
	u32 *top;		/* this CPU, gate held: next free slot */
	u32 *limit;		/* likewise: end of the loaded magazine */
	u64 allocs;		/* likewise: blocks handed out */
	u64 remote_frees;	/* likewise */
	u32 loaded;		/* likewise: magazine that top points into */
	u32 spare;		/* likewise: the second one, and its rounds */
	u32 share;		/* likewise: blocks allowed in a magazine */
	u64 refills;		/* likewise */
	u64 flushes;		/* likewise */
	/* Any context on this CPU, by one this_cpu operation each. */
	u64 shared_allocs;
	u64 shared_frees;
	u64 shared_remote;
	u64 exhausted;
	u64 untracked;
	u64 duplicates;
};

struct quarry_pool_hot {
	struct quarry_pool_cpu __percpu *cpu;
	u8 *state;			/* one byte a block, and a sentinel */
	unsigned long base;		/* address of block 0 */
	u64 inverse;			/* of the stride's odd part, modulo 2^64 */
	u64 stride;			/* bytes from block to block */
	u64 nr;				/* blocks, spare ones included; 0: no free hits */
	u32 shift;			/* the stride's power of two */
};

/* Who moves one of these raises the first number of QUARRY_POOL_LAYOUT. */
static_assert(offsetof(struct quarry_pool_cpu, gate) == 0);
static_assert(offsetof(struct quarry_pool_cpu, id) == 1);
static_assert(offsetof(struct quarry_pool_cpu, top) == 8);
static_assert(offsetof(struct quarry_pool_cpu, limit) == 16);
static_assert(offsetof(struct quarry_pool_cpu, allocs) == 24);
static_assert(offsetof(struct quarry_pool_cpu, remote_frees) == 32);
static_assert(offsetof(struct quarry_pool_hot, cpu) == 0);
static_assert(offsetof(struct quarry_pool_hot, state) == 8);
static_assert(offsetof(struct quarry_pool_hot, base) == 16);
static_assert(offsetof(struct quarry_pool_hot, inverse) == 24);
static_assert(offsetof(struct quarry_pool_hot, stride) == 32);
static_assert(offsetof(struct quarry_pool_hot, nr) == 40);
static_assert(offsetof(struct quarry_pool_hot, shift) == 48);
/* Each size has seven bits there. */
static_assert(sizeof(struct quarry_pool_args) < SZ_1K &&
	      sizeof(struct quarry_pool_stats) < SZ_1K &&
	      sizeof(struct quarry_pool_hot) < SZ_1K &&
	      sizeof(struct quarry_pool_cpu) < SZ_1K);

void *quarry_pool_alloc_slow(struct quarry_pool *pool, unsigned long caller);
bool quarry_pool_free_slow(struct quarry_pool *pool, u64 index,
			   unsigned long caller);

/* Sanitizers see each block come and go. */
#if (defined(CONFIG_KASAN_GENERIC) && defined(CONFIG_KASAN_VMALLOC)) || \
	defined(CONFIG_KMSAN)
void quarry__block_taken(struct quarry_pool *pool, void *block);
void quarry__block_freed(struct quarry_pool *pool, void *block);
#else
static inline void quarry__block_taken(struct quarry_pool *pool, void *block) { }
static inline void quarry__block_freed(struct quarry_pool *pool, void *block) { }
#endif

/*
 * Number of the block that starts at @ptr, or a number that is not below nr:
 * multiplication by the inverse of the odd part is one-to-one on 64-bit
 * numbers and takes the multiples of the stride, and nothing else, to the
 * numbers below 2^64 / stride.
 */
static __always_inline u64 quarry_pool_hot_index(const struct quarry_pool_hot *hot,
						 const void *ptr)
{
	return ror64(((unsigned long)ptr - hot->base) * hot->inverse, hot->shift);
}

/*
 * The way back, for any number: the address that gave it, be it a block's or
 * not. So the miss of a free needs the number alone, and the hit no copy of the
 * address.
 */
static __always_inline void *quarry_pool_hot_address(const struct quarry_pool_hot *hot,
						     u64 index)
{
	return (void *)(hot->base +
			rol64(index, hot->shift) * (hot->stride >> hot->shift));
}

/*
 * A data_race() below is a word of this CPU that only an interrupt on this CPU
 * could touch meanwhile, and does not, since the gate is held; or a counter
 * that others read as it is; or the state byte of a block that we own, which
 * another CPU looks at only in a double free or to draw the map. Plain accesses
 * there become memory operands, which volatile ones do not.
 */
static __always_inline bool quarry_pool_hit_try(struct quarry_pool *pool,
						void **block)
{
	const struct quarry_pool_hot *hot = (const void *)pool;
	struct quarry_pool_cpu *cpu;
	u64 index;

	preempt_disable();
	cpu = raw_cpu_ptr(hot->cpu);
	if (unlikely(data_race(cpu->gate)))	/* this CPU's alone */
		goto miss;
	WRITE_ONCE(cpu->gate, QUARRY_GATE_HELD);
	barrier();	/* an interrupt sees the gate held before we look */
	index = READ_ONCE(cpu->top[-1]);
	/* Not free: a duplicate, or the sentinel below an empty magazine. */
	if (unlikely(data_race(hot->state[index]) != QUARRY_BLOCK_FREE)) /* ours */
		goto release;
	OPTIMIZER_HIDE_VAR(index);	/* one address less to compute */
	data_race(hot->state[index] = cpu->id);	/* ours: off the lists */
	data_race(cpu->top--);		/* gate held */
	data_race(cpu->allocs++);	/* gate held; read as it is */
	barrier();	/* an interrupt sees all of it before the gate opens */
	WRITE_ONCE(cpu->gate, 0);
	preempt_enable();
	*block = (void *)(hot->base + index * hot->stride);
	quarry__block_taken(pool, *block);
	return true;

release:
	barrier();
	WRITE_ONCE(cpu->gate, 0);
miss:
	preempt_enable();
	return false;
}

static __always_inline void *quarry_pool_hit_alloc(struct quarry_pool *pool,
						   unsigned long caller)
{
	void *block;

	if (likely(quarry_pool_hit_try(pool, &block)))
		return block;
	return quarry_pool_alloc_slow(pool, caller);
}

/* True when the block was taken back. */
static __always_inline bool quarry_pool_hit_free(struct quarry_pool *pool,
						 void *block,
						 unsigned long caller)
{
	const struct quarry_pool_hot *hot = (const void *)pool;
	struct quarry_pool_cpu *cpu;
	u32 *slot;
	u64 index;
	u8 id;

	preempt_disable();
	/* Within, so that number and bound are of one life of the handle. */
	index = quarry_pool_hot_index(hot, block);
	if (unlikely(index >= hot->nr))
		goto miss;
	cpu = raw_cpu_ptr(hot->cpu);
	if (unlikely(data_race(cpu->gate)))	/* this CPU's alone */
		goto miss;
	WRITE_ONCE(cpu->gate, QUARRY_GATE_HELD);
	barrier();	/* pairs as in quarry_pool_hit_alloc() */
	slot = cpu->top;
	if (unlikely(slot == data_race(cpu->limit)))	/* gate held */
		goto release;
	id = cpu->id;
	if (data_race(hot->state[index]) != id) {	/* the caller's block */
		if (unlikely(data_race(hot->state[index]) == QUARRY_BLOCK_FREE)) /* or not */
			goto release;
		data_race(cpu->remote_frees++);	/* gate held; read as it is */
	}
	quarry__block_freed(pool, block);
	OPTIMIZER_HIDE_VAR(index);	/* as above */
	data_race(hot->state[index] = QUARRY_BLOCK_FREE);	/* still ours */
	WRITE_ONCE(*slot, (u32)index);
	OPTIMIZER_HIDE_VAR(cpu);	/* so that top is added to in place */
	data_race(cpu->top++);		/* gate held */
	barrier();
	WRITE_ONCE(cpu->gate, 0);
	preempt_enable();
	return true;

release:
	barrier();
	WRITE_ONCE(cpu->gate, 0);
miss:
	preempt_enable();
	return quarry_pool_free_slow(pool, index, caller);
}

/**
 * quarry_pool_alloc_inline() - quarry_pool_alloc() with the hit path inline
 * @pool: a pool; not NULL, not an ERR_PTR
 *
 * Context: Any context, NMI included. Never sleeps.
 * Return: as quarry_pool_alloc().
 */
static __always_inline void *quarry_pool_alloc_inline(struct quarry_pool *pool)
{
	return quarry_pool_hit_alloc(pool, 0);
}

/**
 * quarry_pool_free_inline() - quarry_pool_free() with the hit path inline
 * @pool: a pool; not NULL, not an ERR_PTR
 * @block: the block; NULL is ignored
 *
 * Context: Any context, NMI included. Never sleeps.
 */
static __always_inline void quarry_pool_free_inline(struct quarry_pool *pool,
						    void *block)
{
	quarry_pool_hit_free(pool, block, 0);
}

/*
 * Scope-based cleanup, where the kernel has it (6.5 and the stable kernels that
 * took cleanup.h):
 *
 *	struct quarry_pool *pool __free(quarry_pool) = quarry_pool_create(...);
 *	CLASS(quarry_block, b)(pool);	b.block is freed at the end of the scope,
 *					unless taken with quarry_block_keep(&b)
 */
#ifdef __CHECKER__	/* sparse has no __has_include */
#define QUARRY_HAS_CLEANUP
#elif __has_include("linux/cleanup.h")
#define QUARRY_HAS_CLEANUP
#endif

#ifdef QUARRY_HAS_CLEANUP
#include <linux/cleanup.h>

DEFINE_FREE(quarry_pool, struct quarry_pool *, quarry_pool_destroy(_T))

struct quarry_block {
	struct quarry_pool *pool;
	void *block;
};

DEFINE_CLASS(quarry_block, struct quarry_block,
	     quarry_pool_free(_T.pool, _T.block),
	     ((struct quarry_block){ pool, quarry_pool_alloc(pool) }),
	     struct quarry_pool *pool)

/* The block, which is then not freed at the end of the scope. */
static inline void *quarry_block_keep(struct quarry_block *b)
{
	void *block = b->block;

	b->block = NULL;
	return block;
}
#endif

#endif /* QUARRY_POOL_H */
