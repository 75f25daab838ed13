/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry heap: blocks of any size, freed in any order, that coalesce.
 *
 * What it is. One to sixteen regions of memory, each cut into blocks as requests
 * come. A free block lies in a list for its size; a request takes the best fit
 * that can be found in constant time and splits off what it does not need; a
 * freed block coalesces with free neighbours on both sides. A header of 8 bytes
 * stands in front of each block, the smallest block is 16 bytes in all, sizes
 * are multiples of 8 bytes.
 *
 * Good for. Payloads of mixed sizes in a bounded, reserved amount of memory, in
 * any context: task, softirq, hard irq, NMI, under a raw spinlock on PREEMPT_RT.
 * An allocation costs the same with 10 blocks live as with 100,000.
 *
 * Not for. Objects of one size: a pool (quarry/pool.h) costs a third. Blocks
 * that are passed to kfree(), mapped for DMA or put on a scatterlist.
 *
 * How it is shared. A raw spinlock with interrupts off, for a bounded number of
 * instructions (Documentation/heap.rst has the figure), orders all that touches
 * the lists. In front of it each CPU keeps some freed blocks by size (its front), for
 * requests of the same size on that CPU, or from 113 bytes on of up to an eighth less,
 * aligned ones too, without the lock and with interrupts on.
 * What the fronts hold is bounded (args->front, the stats "cached"), and all of
 * it is given back and coalesced before a request fails; while much of the heap is in
 * use, fronts take no more. Unless args->front asks for more, they are for small blocks
 * in relation to the heap, so that it stays as tight as without; %QUARRY_HEAP_NO_FRONT
 * asks for none.
 *
 * NMI. An alloc tries the lock once and else returns NULL (counted:
 * "nmi_failed"). A free that finds the lock taken is put on a lock-free list and
 * done by the next who takes the lock ("deferred").
 *
 * What is checked, always. Each header carries a check of 24 bits that is bound
 * to its address and to a secret of the heap, so that an overrun, a stray write
 * or a forged header is found by the operation that meets it, but for one in
 * 2^24. It is reported with the block in front of it, which most likely overran;
 * nothing is done with it, and the rest of the heap goes on serving. The next walk
 * (quarry_heap_walk(), quarry_heap_verify(), a look at its stats) fences off the bytes
 * up to the next good header ("fenced": never handed out again). Links in free blocks
 * are checked both ways before they are followed: a corrupt heap never crashes. What
 * followed a bad block on its list is put back by walks too. A free of a
 * pointer that is foreign, misaligned, interior, already free or of another heap
 * is refused: nothing changes, a counter moves, and one rate-limited report names
 * the heap, the block, its true owner and the caller.
 *
 * What cannot be seen. A stale free after the block was handed out again looks
 * like the new owner's free. Payload bytes are not checked. Of two frees of one
 * block that race, one is refused, however close they come.
 *
 * Memory order. A free is a release and the alloc that hands the memory out again
 * an acquire, for the block's contents, on whatever CPU and in whatever context.
 *
 * Life. create -> add_region, alloc and free, any number of times -> destroy.
 * Using a heap while another CPU destroys it is a bug of the caller. A handle
 * stays readable after destroy: an alloc through it gives NULL, a free is refused
 * and reported.
 *
 * Two modes. The default one wastes little: its memory over peak live bytes has
 * been measured (Documentation/heap.rst), but no best fit has a useful worst case
 * (J. M. Robson, "Worst case fragmentation of first fit and best fit storage
 * allocation strategies", Computer Journal 20, 1977). %QUARRY_HEAP_BOUNDED rounds
 * to powers of two and splits and joins as the binary buddy system does; a region
 * of QUARRY_HEAP_SIZE() bytes then cannot fail, whatever the order of requests. There
 * a block counts as large as it was at its alloc until it is freed (realloc does not
 * split it); where a realloc moves one both count; and so does a free that an NMI has
 * put off until it is done.
 *
 * Sources of the algorithms: boundary tags and coalescing, D. E. Knuth, "The Art
 * of Computer Programming" vol. 1, section 2.5; two levels of bitmaps over size
 * classes, M. Masmano et al., "TLSF: a New Dynamic Memory Allocator for Real-Time
 * Systems", ECRTS 2004; the previous block's size only in a free block, D. Lea,
 * "A Memory Allocator", 1996; buddies, K. C. Knowlton, CACM 8, 1965.
 */
#ifndef QUARRY_HEAP_H
#define QUARRY_HEAP_H

#include <linux/err.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <quarry/types.h>

struct quarry_heap;

/**
 * enum quarry_heap_flags - what a heap does besides
 * @QUARRY_HEAP_BOUNDED: sizes are rounded to powers of two, header included, and
 *	a block joins with its buddy alone, so that QUARRY_HEAP_SIZE() bytes
 *	suffice for sure. No front. Alloc and free cost O(log2(largest /
 *	smallest block)). A block is aligned to its size, up to a page; with
 *	memory of the caller, up to the alignment of @memory + 16.
 * @QUARRY_HEAP_NO_FRONT: CPUs keep no freed blocks; every operation takes the
 *	lock, each freed block coalesces at once.
 * @QUARRY_HEAP_ZERO_ON_FREE: clear a block when it is freed.
 *
 * These go in quarry_heap_args.flags, together with enum quarry_flags.
 */
enum quarry_heap_flags {
	QUARRY_HEAP_BOUNDED		= BIT(16),
	QUARRY_HEAP_NO_FRONT		= BIT(17),
	QUARRY_HEAP_ZERO_ON_FREE	= BIT(18),
};

/* Bytes in front of each block, and in the smallest block, header included. */
#define QUARRY_HEAP_HEADER	8UL
#define QUARRY_HEAP_MIN_BLOCK	16UL
/* Alignment of each block, and the largest that can be asked for, in bytes. */
#define QUARRY_HEAP_ALIGN	8UL
#define QUARRY_HEAP_MAX_ALIGN	(256UL << 10)
/* Bytes in a region, smallest and largest; regions in a heap. */
#define QUARRY_HEAP_MIN_REGION	256UL
#define QUARRY_HEAP_MAX_REGION	(4UL << 30)
#define QUARRY_HEAP_MAX_REGIONS	16
/* Bytes of a region that no block can use. */
#define QUARRY_HEAP_OVERHEAD	16UL

/**
 * struct quarry_heap_args - what a heap may be told at creation
 * @flags: enum quarry_flags and enum quarry_heap_flags.
 * @node: NUMA node for the regions; read with %QUARRY_ON_NODE only.
 * @memory: memory for the first region, of the caller; NULL means vmalloc'd. It
 *	is written to (headers lie in it), must be aligned to 8 bytes, and must
 *	outlive the heap.
 * @memory_size: bytes at @memory; at least the size that create is given, and all
 *	of it is used.
 * @max_request: bytes that one request may ask for at most; a larger one fails
 *	and is counted ("too_large"). 0 means as much as there is.
 * @front: bytes that the fronts of all CPUs together may hold, a block more on each:
 *	of up to a page, while no more than 7/8 of the heap is in use. For speed: a
 *	quarter of the first region, say. 0 is for tightness: an eighth of the first
 *	region, blocks of less than 1/8192 of it, while no more than 11/16 is in use.
 *	Divided over the CPUs that are online, with less than 1.2 KiB for each there
 *	are no fronts (nor by default in a region below 192 KiB); a CPU that comes
 *	later may hold as much again. Slots take up to a quarter as much memory
 *	besides ("bytes_metadata").
 *
 * NULL in place of the struct means all zero. Fields are only ever added at the
 * end.
 */
struct quarry_heap_args {
	unsigned int flags;
	int node;
	void *memory;
	size_t memory_size;
	size_t max_request;
	size_t front;
};

/**
 * struct quarry_heap_stats - a heap's figures at one moment
 * @live: blocks allocated and not freed. Exact when the heap is quiescent.
 * @peak: high-water mark of @live; it over-states by at most the number of blocks
 *	that the fronts held at that time.
 * @allocs: blocks handed out since creation or the last reset.
 * @frees: blocks taken back, likewise.
 * @exhausted: requests that got NULL because no free block was large enough.
 * @too_large: requests that got NULL because they asked for more than
 *	max_request, or for more than a region can have.
 * @nmi_failed: requests in NMI that got NULL because the lock was taken.
 * @refused: frees and reallocs that were refused (sum of the next seven).
 * @refused_foreign: address outside the heap and all other objects.
 * @refused_owner: a block of another quarry object.
 * @refused_misaligned: inside the heap, not aligned to 8 bytes.
 * @refused_interior: inside the heap, aligned, and no block starts there.
 * @refused_double: block already free.
 * @refused_corrupt: the block's own header was overwritten.
 * @refused_dead: the heap was destroyed.
 * @corrupt: bad headers and links found.
 * @fenced: bytes given up because of them.
 * @hits: allocs served by a CPU's front, without the lock.
 * @flushes: times that fronts gave blocks back to the lists, for want of memory or
 *	when they were told to.
 * @deferred: frees in NMI that found the lock taken and were put off.
 * @pending: of these, not yet done.
 * @resized: reallocs that were done in place.
 * @moved: reallocs that copied to another block.
 * @cached: blocks in the CPUs' fronts now.
 * @bytes_cached: bytes of these, headers included.
 * @bytes_reserved: memory of the heap: regions and metadata.
 * @bytes_in_use: bytes of the live blocks, headers and padding included.
 * @bytes_peak: high-water mark of @bytes_in_use and @bytes_cached together.
 * @bytes_free: bytes of the free blocks, headers included, without @bytes_cached.
 * @bytes_metadata: memory of the heap outside its regions.
 * @largest_free: quarry_heap_largest_free().
 * @largest_request: the largest request since the last reset that went to the
 *	lists, served or not.
 * @regions: regions of the heap.
 * @fragmentation: 1 - largest free block / @bytes_free, in thousandths.
 */
struct quarry_heap_stats {
	u64 live, peak;
	u64 allocs, frees, exhausted, too_large, nmi_failed;
	u64 refused, refused_foreign, refused_owner, refused_misaligned;
	u64 refused_interior, refused_double, refused_corrupt, refused_dead;
	u64 corrupt, fenced;
	u64 hits, flushes, deferred, pending, resized, moved;
	u64 cached, bytes_cached;
	u64 bytes_reserved, bytes_in_use, bytes_peak, bytes_free, bytes_metadata;
	u64 largest_free, largest_request, regions, fragmentation;
};

/* What a client was built with; checked by create. */
#define QUARRY_HEAP_LAYOUT						\
	((unsigned int)(1 * SZ_16M + sizeof(struct quarry_heap_args) * SZ_4K + \
			sizeof(struct quarry_heap_stats)))

/* Bytes of the block that a bounded heap takes for a request of @size. */
static __always_inline size_t quarry_heap_buddy(size_t size)
{
	return size <= QUARRY_HEAP_MIN_BLOCK - QUARRY_HEAP_HEADER ?
		QUARRY_HEAP_MIN_BLOCK :
		roundup_pow_of_two(size + QUARRY_HEAP_HEADER);
}

/*
 * Most bytes of blocks that @max_live bytes of requests can take: a request that
 * just misses a power of two wastes most, so it is that of the smallest one, or
 * of the first that needs a block twice as large.
 */
static __always_inline size_t quarry_heap_rounded(size_t max_live, size_t min,
						  size_t max)
{
	size_t block = quarry_heap_buddy(min), all, step;

	min += !min;	/* a request of nothing takes a block as well */
	all = size_mul(max_live / min + !!(max_live % min), block);
	step = block - QUARRY_HEAP_HEADER + 1;
	if (step > max)
		return all;
	return max(all, size_mul(max_live / step + !!(max_live % step), 2 * block));
}

static __always_inline size_t quarry_heap_bounded_size(size_t max_live,
						       size_t min, size_t max)
{
	size_t least = quarry_heap_buddy(min), most = quarry_heap_buddy(max), all;

	all = size_mul(quarry_heap_rounded(max_live, min, max),
		       1 + ilog2(most) - ilog2(least));
	return size_add(size_mul(all / most + !!(all % most), most),
			QUARRY_HEAP_OVERHEAD);
}

/**
 * QUARRY_HEAP_SIZE() - bytes with which a bounded heap cannot fail
 * @max_live: bytes of all requests that are live at once, at most; at least 1
 * @min: the smallest request in bytes; at least 1
 * @max: the largest request in bytes; at least @min
 *
 * For a heap with %QUARRY_HEAP_BOUNDED, all of whose requests are within @min and
 * @max. A request aligned to more than 8 bytes counts as one of at least its
 * alignment less 8 bytes. Saturates at SIZE_MAX, which create refuses. The compiler
 * computes it when the arguments are constants.
 *
 * The formula is M (1 + log2(B / b)), rounded up to a multiple of B: M is the
 * most that the live requests can take when rounded to blocks, b the block of the
 * smallest request, B that of the largest. Proof in Documentation/heap.rst.
 *
 * Return: bytes for quarry_heap_create().
 */
#define QUARRY_HEAP_SIZE(max_live, min, max)				\
	quarry_heap_bounded_size((max_live), (min), (max))

/**
 * quarry_heap_create() - make a heap
 * @name: name for debugfs and reports; see %QUARRY_NAME_LEN
 * @size: bytes in its first region, %QUARRY_HEAP_MIN_REGION to
 *	%QUARRY_HEAP_MAX_REGION; rounded down to a multiple of 8
 * @args: more, or NULL; &struct quarry_heap_args
 *
 * Context: Process context. May sleep.
 * Return: the heap, or an ERR_PTR: -EINVAL for a bad argument or context (one
 * line in the log names it), -EOVERFLOW for a size above the largest, -ENOMEM.
 */
#define quarry_heap_create(name, size, args)				\
	quarry_heap_create_owned(THIS_MODULE, QUARRY_HEAP_LAYOUT, (name), \
				 (size), (args))

struct quarry_heap *quarry_heap_create_owned(struct module *owner,
					     unsigned int layout,
					     const char *name, size_t size,
					     const struct quarry_heap_args *args);

/**
 * quarry_heap_add_region() - give a heap more memory
 * @heap: the heap
 * @size: bytes, as quarry_heap_create()
 * @memory: memory of the caller, aligned to 8 bytes, that outlives the heap; or
 *	NULL: vmalloc'd with the flags and node of the heap
 *
 * A block never spans two regions. A region is given back with the heap. Each
 * region beyond the first adds a few instructions to the operations that need it.
 *
 * Context: Process context. May sleep.
 * Return: 0; -EINVAL for a bad argument or context, -EOVERFLOW for a size above
 * the largest, -ENOSPC when there are %QUARRY_HEAP_MAX_REGIONS, -ENOMEM.
 */
int quarry_heap_add_region(struct quarry_heap *heap, size_t size, void *memory);

/**
 * quarry_heap_destroy() - give a heap's memory back
 * @heap: the heap; NULL and ERR_PTR are ignored
 *
 * Waits for a grace period and for readers in debugfs. A heap with live blocks is
 * reported (how many, how many bytes, the first few by offset and size) and its
 * memory is kept: a leak is safer than a use after free. It then stays in
 * debugfs, marked "leaked".
 *
 * Complexity: O(blocks).
 *
 * Context: Process context. May sleep. Elsewhere it reports and does nothing.
 */
void quarry_heap_destroy(struct quarry_heap *heap);

/**
 * quarry_heap_alloc() - take a block
 * @heap: the heap; NULL or ERR_PTR gives NULL and a report
 * @size: bytes; 0 gives a block of the smallest size
 *
 * Contents are undefined. Complexity: O(1); when memory is short, what fronts hold is
 * given back until it suffices, O(CPUs * slots of a front): some hundred slots each. In a
 * fragmented heap a request can fail although a free block is large enough, when the
 * request is of 504 bytes or more and that block less than 1/32 larger and not among
 * the first in its list.
 *
 * Context: Any context, NMI included. Never sleeps. Takes a raw spinlock with
 * interrupts off; in NMI tries it once.
 * Return: a block aligned to %QUARRY_HEAP_ALIGN bytes, or NULL.
 */
void *quarry_heap_alloc(struct quarry_heap *heap, size_t size) __malloc;

/**
 * quarry_heap_zalloc() - take a block and clear it
 * @heap: the heap
 * @size: bytes
 *
 * Complexity: O(@size).
 *
 * Context: as quarry_heap_alloc().
 * Return: as quarry_heap_alloc(), all @size bytes zero.
 */
void *quarry_heap_zalloc(struct quarry_heap *heap, size_t size) __malloc;

/**
 * quarry_heap_alloc_aligned() - take a block at an aligned address
 * @heap: the heap
 * @size: bytes
 * @align: a power of two up to %QUARRY_HEAP_MAX_ALIGN; 0 to 8 mean 8
 *
 * A block in this CPU's front that lies right is taken as it is. Else what lies in
 * front of the aligned address is split off as a free block. When the first few free
 * blocks for @size have no aligned place, one of @size and @align bytes and 24 more is
 * needed. Another @align gives NULL and a report. Complexity: O(1).
 *
 * Context: as quarry_heap_alloc().
 * Return: as quarry_heap_alloc(), aligned to @align bytes.
 */
void *quarry_heap_alloc_aligned(struct quarry_heap *heap, size_t size,
				size_t align) __malloc;

/**
 * quarry_heap_alloc_array() - take room for an array
 * @heap: the heap
 * @nr: elements
 * @size: bytes of each
 *
 * Context: as quarry_heap_alloc().
 * Return: as quarry_heap_alloc(); NULL also when @nr times @size overflows, which
 * is counted as too large.
 */
static inline void *quarry_heap_alloc_array(struct quarry_heap *heap, size_t nr,
					    size_t size)
{
	return quarry_heap_alloc(heap, size_mul(nr, size));
}

/**
 * quarry_heap_realloc() - make a block larger or smaller
 * @heap: the heap that the block came from
 * @ptr: the block; NULL: as quarry_heap_alloc()
 * @size: bytes that it is to have; 0 makes it a block of the smallest size
 *
 * In place when the block shrinks, or when the next block is free and large
 * enough; else to a new block with the alignment that the old one was asked for,
 * to which the smaller of both sizes is copied. When there is no room, the old
 * block is untouched. A wrong @ptr is refused as by quarry_heap_free().
 *
 * Complexity: O(1), or O(@size) when the block moves.
 *
 * Context: as quarry_heap_alloc().
 * Return: the block, maybe moved, or NULL: then @ptr is live as before.
 */
void *quarry_heap_realloc(struct quarry_heap *heap, void *ptr, size_t size)
	__must_check;

/**
 * quarry_heap_free() - give a block back
 * @heap: the heap that the block came from; NULL or ERR_PTR gives a report
 * @ptr: the block; NULL is ignored
 *
 * A wrong @ptr is refused: nothing changes, and one report says what it is.
 * Complexity: O(1); a refused free looks through all of quarry's objects.
 *
 * Context: Any context, NMI included. Never sleeps. Takes a raw spinlock with
 * interrupts off; in NMI tries it once and else defers the free.
 */
void quarry_heap_free(struct quarry_heap *heap, void *ptr);

/**
 * quarry_heap_usable_size() - bytes that a block has room for
 * @heap: the heap
 * @ptr: a live block of it
 *
 * All of them may be used from now on, also those beyond what was asked for.
 * Complexity: O(1).
 *
 * Context: Any context, NMI included. Takes no lock.
 * Return: bytes, or 0 when @ptr is no live block of the heap.
 */
size_t quarry_heap_usable_size(struct quarry_heap *heap, const void *ptr);

/**
 * quarry_heap_owns() - does an address lie in this heap?
 * @heap: the heap
 * @ptr: any address
 *
 * Says nothing of whether a block is live there. Complexity: O(regions).
 *
 * Context: Any context. Takes no lock.
 */
bool quarry_heap_owns(struct quarry_heap *heap, const void *ptr);

/**
 * quarry_heap_largest_free() - a request that would be served now
 * @heap: the heap
 *
 * The largest, or up to 1/32 less when many free blocks are about as large. What
 * the fronts hold is not looked at. Complexity: O(regions).
 *
 * Context: Any context. Takes the heap's lock; in NMI, when it is taken, 0.
 * Return: bytes, 0 when nothing is free.
 */
size_t quarry_heap_largest_free(struct quarry_heap *heap);

/**
 * enum quarry_heap_state - what a block of a heap is
 * @QUARRY_HEAP_FREE: on a list, nobody's
 * @QUARRY_HEAP_LIVE: handed out
 * @QUARRY_HEAP_CACHED: freed, in a CPU's front, or deferred
 * @QUARRY_HEAP_FENCED: given up, since its header was bad
 */
enum quarry_heap_state {
	QUARRY_HEAP_FREE,
	QUARRY_HEAP_LIVE,
	QUARRY_HEAP_CACHED,
	QUARRY_HEAP_FENCED,
};

/**
 * struct quarry_heap_block - a block as a walk sees it
 * @ptr: its first byte, behind the header
 * @size: bytes that it has room for
 * @offset: of @ptr in its region
 * @region: number of the region
 * @state: enum quarry_heap_state
 */
struct quarry_heap_block {
	void *ptr;
	size_t size;
	size_t offset;
	unsigned int region;
	enum quarry_heap_state state;
};

/* What quarry_heap_walk() calls; not 0 ends the walk. */
typedef int (*quarry_heap_visit_fn)(const struct quarry_heap_block *block,
				    void *arg);

/**
 * quarry_heap_walk() - visit all blocks, free ones too, in the order of addresses
 * @heap: the heap
 * @fn: called with each block and @arg; not 0 ends the walk
 * @arg: passed to @fn
 *
 * @fn is called without the lock: it may sleep, allocate and free. The walk takes
 * the lock for some blocks at a time; a block that others allocate, free or merge
 * meanwhile may be visited as it was, or not at all. One walk at a time; @fn may
 * not start another on the same heap. Complexity: O(blocks).
 *
 * Context: Process context. May sleep.
 * Return: 0, what @fn ended the walk with, or -EINVAL without a heap or @fn.
 */
int quarry_heap_walk(struct quarry_heap *heap, quarry_heap_visit_fn fn,
		     void *arg);

/**
 * quarry_heap_verify() - check the heap's whole state
 * @heap: the heap
 *
 * Each header is good and follows from the one before, no two free blocks are
 * neighbours, each free block is on the list for its size and nothing else is, the
 * bitmaps say which lists are empty, and the counters agree. On a heap in use,
 * what holds at every instant is checked. The lock is dropped every so many
 * blocks. Complexity: O(blocks).
 *
 * Context: Process context. May sleep.
 * Return: 0 when consistent; 1 when consistent as far as can be told of a heap
 * that is in use; -EUCLEAN when not, with one line in the log that says what is
 * wrong; -EINVAL.
 */
int quarry_heap_verify(struct quarry_heap *heap);

/**
 * quarry_heap_flush() - give back what the fronts hold
 * @heap: the heap
 *
 * Done before a request fails; by hand it makes the figures exact, or the heap
 * one again before a large request.
 *
 * Context: Any context but NMI.
 */
void quarry_heap_flush(struct quarry_heap *heap);

/**
 * quarry_heap_get_stats() - a heap's figures
 * @heap: the heap
 * @stats: where they go
 *
 * Complexity: O(CPUs * slots of a front + regions).
 *
 * Context: Any context. Takes the heap's lock; in NMI, when it is taken, what
 * lies under it is 0.
 */
void quarry_heap_get_stats(struct quarry_heap *heap,
			   struct quarry_heap_stats *stats);

/* Scope-based cleanup, where the kernel has it; as in quarry/pool.h. */
#ifdef __CHECKER__	/* sparse has no __has_include */
#define QUARRY_HEAP_HAS_CLEANUP
#elif __has_include("linux/cleanup.h")
#define QUARRY_HEAP_HAS_CLEANUP
#endif

#ifdef QUARRY_HEAP_HAS_CLEANUP
#include <linux/cleanup.h>

DEFINE_FREE(quarry_heap, struct quarry_heap *, quarry_heap_destroy(_T))
#endif

#endif /* QUARRY_HEAP_H */
