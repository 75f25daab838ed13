/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry router: blocks of any size, each from where it is served best.
 *
 * What it is. One region of memory. Its first part is divided into size classes,
 * each a pool (quarry/pool.h) of blocks of one size; the rest is a heap
 * (quarry/heap.h). A request goes to the smallest class that is large enough, a
 * larger one to the heap. When that has nothing left, and it is allowed, the
 * request falls back: from a class to the heap, from the heap to the system.
 *
 * Good for. What kmalloc() is used for, where memory is to be bounded, reserved
 * ahead and watched: sizes that differ from request to request, freed in any
 * order without saying how large they were, in any context.
 *
 * Not for. Objects of one known size: their own pool costs less. Blocks that are
 * passed to kfree(), mapped for DMA or put on a scatterlist.
 *
 * Classes. The default ones reach from 8 bytes to 8 KiB and waste at most an
 * eighth of a block inside, or 7 bytes. A block of a class is aligned to the
 * largest power of two that divides its size; powers of two are among the default
 * classes.
 *
 * Fallback. Each alloc says with @gfp whether the system may be asked, as for
 * kmalloc(): 0 means never. In NMI it never is, nor with a @gfp that blocks where
 * one may not sleep, nor, on PREEMPT_RT, with any @gfp where one cannot be preempted:
 * in a hard irq, with interrupts or preemption off, under a raw_spinlock_t. (In a
 * softirq, with softirqs off, under a spinlock_t and in an RCU reader one can.) How
 * many blocks the system may have served at once is bounded (args->system_max).
 * %QUARRY_ROUTER_STRICT switches both steps off: a request is served by its own
 * class, or by the heap when it is larger than all classes, or not at all.
 *
 * Free. The owner of a block is found by one look at a table by page; for blocks
 * of the system in a table of those that are live. A pointer of neither is
 * refused and never handed to the system. A block of the system may be freed in
 * any context: where kvfree() may not be called a worker does it.
 *
 * What is checked, always: as in a pool and a heap, whose reports name the router
 * and the class: a free of a pointer that is foreign, misaligned, interior or
 * already free is refused, changes nothing, is counted and reported.
 *
 * kmemleak. The region is one object, scanned, and no leak; blocks in it are none, and
 * what is lost of them is not reported. Blocks of the system are objects, to which the
 * router's record of the live ones points: a lost one is not reported either. There is
 * no flag as QUARRY_POOL_LEAK_TRACK; the figures and destroy tell what was not freed.
 *
 * Memory order. A free is a release and the alloc that hands the block out again an
 * acquire, for the block's contents.
 *
 * Life. create -> alloc and free, any number of times -> destroy. Using a router
 * while another CPU destroys it is a bug of the caller. A handle stays readable
 * after destroy: an alloc through it gives NULL, a free is refused and reported.
 */
#ifndef QUARRY_ROUTER_H
#define QUARRY_ROUTER_H

#include <linux/err.h>
#include <linux/gfp_types.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <quarry/allocator.h>
#include <quarry/types.h>

struct quarry_router;

/**
 * enum quarry_router_flags - what a router does besides
 * @QUARRY_ROUTER_STRICT: no fallback at all.
 * @QUARRY_ROUTER_NO_HEAP: no heap: the whole region is for the classes, and what
 *	is larger goes to the system, if that may be asked.
 *
 * These go in quarry_router_args.flags, together with enum quarry_flags.
 */
enum quarry_router_flags {
	QUARRY_ROUTER_STRICT	= BIT(16),
	QUARRY_ROUTER_NO_HEAP	= BIT(17),
};

/* Classes in a router; bytes in the largest; bytes in a router's region. */
#define QUARRY_ROUTER_MAX_CLASSES	64
#define QUARRY_ROUTER_MAX_CLASS		(64UL << 10)
#define QUARRY_ROUTER_MAX_SIZE		(64UL << 30)
/* Largest alignment that can be asked for. */
#define QUARRY_ROUTER_MAX_ALIGN		4096UL

/**
 * struct quarry_router_class - one size class
 * @size: bytes in a block, 1 to %QUARRY_ROUTER_MAX_CLASS; rounded up to a multiple
 *	of 8
 * @nr_blocks: blocks that can be live at once
 */
struct quarry_router_class {
	size_t size;
	size_t nr_blocks;
};

/**
 * struct quarry_router_args - what a router may be told at creation
 * @flags: enum quarry_flags and enum quarry_router_flags.
 * @node: NUMA node for the region; read with %QUARRY_ON_NODE only.
 * @memory: memory for the region, of the caller; NULL means vmalloc'd. It must be
 *	aligned to a page and outlive the router.
 * @memory_size: bytes at @memory; at least the size that create is given.
 * @classes: the classes, by rising size; NULL means the default ones, which share
 *	half of the region (with %QUARRY_ROUTER_NO_HEAP all of it) equally by bytes; each
 *	has room for 4 blocks at least.
 * @nr_classes: how many.
 * @system_max: blocks that the system may have served at once; 0 means 1024. A
 *	record of 32 bytes is kept for each.
 *
 * NULL in place of the struct means all zero. Fields are only ever added at the
 * end.
 */
struct quarry_router_args {
	unsigned int flags;
	int node;
	void *memory;
	size_t memory_size;
	const struct quarry_router_class *classes;
	size_t nr_classes;
	size_t system_max;
};

/**
 * struct quarry_router_stats - a router's figures at one moment
 * @live: blocks allocated and not freed. Exact when the router is quiescent.
 * @peak: the sum of the peaks of all classes, the heap and the system, which were
 *	not at one time: a high-water mark of @live that over-states by at most
 *	@peak_slack.
 * @peak_slack: @peak less the larger of @live and the largest of these peaks (each
 *	less its own over-statement).
 * @allocs: blocks handed out since creation or the last reset.
 * @hits: of them those that came from where they belong: their class, or the heap
 *	when they are larger than all classes.
 * @fell_back: of them those that came from elsewhere (@allocs = @hits +
 *	@fell_back).
 * @class_full: requests whose class had no block left.
 * @heap_full: requests that came to the heap and got nothing there.
 * @failed: requests that got NULL.
 * @not_allowed: of them those for which the system was not asked, since the
 *	context or the gfp did not allow it, or the router is strict.
 * @system_full: of them those that would have been more than system_max at once.
 * @frees: blocks taken back.
 * @refused: frees and reallocs that were refused, by classes and heap too.
 * @refused_foreign: of them by the router itself: a pointer of nobody.
 * @refused_owner: likewise: a block of another quarry object.
 * @refused_dead: likewise: the router was destroyed.
 * @resized: reallocs that were done in place.
 * @moved: reallocs that went to another block.
 * @heap_live: blocks of the heap that are live.
 * @heap_allocs: blocks that the heap handed out.
 * @system_live: blocks of the system that are live.
 * @system_peak: their high-water mark.
 * @system_allocs: blocks that the system handed out.
 * @system_deferred: frees of these that a worker did.
 * @bytes_reserved: memory of the router: region and metadata.
 * @bytes_in_use: bytes of the live blocks, inner waste included.
 * @bytes_system: bytes of the live blocks of the system, as asked for.
 * @bytes_metadata: memory outside the region.
 */
struct quarry_router_stats {
	u64 live, peak, peak_slack, allocs, hits, fell_back;
	u64 class_full, heap_full, failed, not_allowed, system_full;
	u64 frees, refused, refused_foreign, refused_owner, refused_dead;
	u64 resized, moved;
	u64 heap_live, heap_allocs;
	u64 system_live, system_peak, system_allocs, system_deferred;
	u64 bytes_reserved, bytes_in_use, bytes_system, bytes_metadata;
};

/* What a client was built with; checked by create. */
#define QUARRY_ROUTER_LAYOUT						\
	((unsigned int)(1 * SZ_16M + sizeof(struct quarry_router_args) * SZ_4K + \
			sizeof(struct quarry_router_stats)))

/**
 * quarry_router_create() - make a router
 * @name: name for debugfs and reports; see %QUARRY_NAME_LEN
 * @size: bytes in its region, rounded down to pages. 0 with classes given: as much
 *	as they take, and no heap. What the classes do not take is the heap's.
 * @args: more, or NULL; &struct quarry_router_args
 *
 * The default classes need 424 KiB at least (with pages of 4 KiB; the log says how
 * much when it is less). They get that before the heap gets any, then half of the
 * region, and more when the other half is larger than a heap can be: 4 GiB,
 * %QUARRY_HEAP_MAX_REGION. With classes given, what is beyond that is not taken.
 *
 * Complexity: O(size).
 *
 * Context: Process context. May sleep; takes the CPU hotplug lock for reading.
 * Return: the router, or an ERR_PTR: -EINVAL for a bad argument or context (one
 * line in the log names it), -EOVERFLOW for sizes that overflow, -ENOMEM.
 */
#define quarry_router_create(name, size, args)				\
	quarry_router_create_owned(THIS_MODULE, QUARRY_ROUTER_LAYOUT, (name), \
				   (size), (args))

struct quarry_router *
quarry_router_create_owned(struct module *owner, unsigned int layout,
			   const char *name, size_t size,
			   const struct quarry_router_args *args);

/**
 * quarry_router_destroy() - give a router's memory back
 * @router: the router; NULL and ERR_PTR are ignored
 *
 * Waits for a grace period and for readers in debugfs. A router with live blocks,
 * the system's among them, is reported (how many of each class) and its memory is
 * kept: a leak is safer than a use after free. It then stays in debugfs, marked
 * "leaked".
 *
 * Context: Process context. May sleep; takes the CPU hotplug lock for reading.
 * Elsewhere it reports and does nothing.
 */
void quarry_router_destroy(struct quarry_router *router);

/**
 * quarry_router_alloc() - take a block
 * @router: the router; NULL or ERR_PTR gives NULL and a report
 * @size: bytes; 0 counts as 1
 * @gfp: how the system may be asked when there is nothing else; 0: not at all. Of
 *	other use is %__GFP_ZERO alone.
 *
 * Contents are undefined without %__GFP_ZERO. Complexity: O(1), and the system's
 * when it comes to that.
 *
 * Context: Any context, NMI included. Sleeps only in the system's allocator, and
 * only when @gfp allows it and the context does.
 * Return: a block aligned to 8 bytes, or NULL.
 */
void *quarry_router_alloc(struct quarry_router *router, size_t size, gfp_t gfp)
	__malloc;

/**
 * quarry_router_zalloc() - take a block and clear it
 * @router: the router
 * @size: bytes
 * @gfp: as quarry_router_alloc()
 *
 * Context: as quarry_router_alloc().
 * Return: as quarry_router_alloc(), all @size bytes zero.
 */
void *quarry_router_zalloc(struct quarry_router *router, size_t size, gfp_t gfp)
	__malloc;

/**
 * quarry_router_alloc_aligned() - take a block at an aligned address
 * @router: the router
 * @size: bytes
 * @align: a power of two up to %QUARRY_ROUTER_MAX_ALIGN; another gives NULL and a
 *	report
 * @gfp: as quarry_router_alloc()
 *
 * From the smallest class whose blocks are so aligned, else as a larger request.
 * Complexity: O(classes).
 *
 * Context: as quarry_router_alloc().
 * Return: as quarry_router_alloc(), aligned to @align bytes.
 */
void *quarry_router_alloc_aligned(struct quarry_router *router, size_t size,
				  size_t align, gfp_t gfp) __malloc;

/**
 * quarry_router_realloc() - make a block larger or smaller
 * @router: the router that the block came from
 * @ptr: the block; NULL: as quarry_router_alloc()
 * @size: bytes that it is to have; 0 counts as 1
 * @gfp: as quarry_router_alloc()
 *
 * In place when the block's class stays the same, or when the heap can; else to
 * another block, to which the smaller of both sizes is copied. A block of the
 * system may come back into the router, and the other way round. When there is no
 * room, a block that was to grow is untouched, and one that was to shrink stays
 * where it is. A wrong @ptr is refused as by quarry_router_free(). Only an alignment
 * of 8 bytes is kept.
 *
 * Context: as quarry_router_alloc().
 * Return: the block, maybe moved, or NULL: then @ptr is live as before.
 */
void *quarry_router_realloc(struct quarry_router *router, void *ptr, size_t size,
			    gfp_t gfp) __must_check;

/**
 * quarry_router_free() - give a block back
 * @router: the router that the block came from; NULL or ERR_PTR gives a report
 * @ptr: the block; NULL is ignored
 *
 * A wrong @ptr is refused: nothing changes, and one report says what it is.
 * Complexity: O(1); a refused free looks through all of quarry's objects.
 *
 * Context: Any context, NMI included. Never sleeps.
 */
void quarry_router_free(struct quarry_router *router, void *ptr);

/**
 * quarry_router_usable_size() - bytes that a block has room for
 * @router: the router
 * @ptr: a live block of it
 *
 * All of them may be used from now on, also those beyond what was asked for. A
 * block of the system has what was asked for. Complexity: O(1).
 *
 * Context: Any context.
 * Return: bytes, or 0 when @ptr is no live block of the router.
 */
size_t quarry_router_usable_size(struct quarry_router *router, const void *ptr);

/**
 * quarry_router_owns() - is this a block that the router handed out?
 * @router: the router
 * @ptr: any address
 *
 * True for addresses at which blocks of a class start, for all in the heap, and for
 * live blocks of the system. Complexity: O(1).
 *
 * Context: Any context.
 */
bool quarry_router_owns(struct quarry_router *router, const void *ptr);

/**
 * quarry_router_class_size() - bytes of the block that a request would get
 * @router: the router
 * @size: bytes asked for
 *
 * Context: Any context.
 * Return: bytes, or 0 when @size is larger than all classes.
 */
size_t quarry_router_class_size(struct quarry_router *router, size_t size);

/**
 * quarry_router_verify() - check the router's whole state
 * @router: the router
 *
 * Each class and the heap are consistent, and the system's blocks are as many as
 * were counted. Complexity: O(blocks).
 *
 * Context: Process context. May sleep.
 * Return: 0 when consistent; 1 when consistent as far as can be told of a router
 * that is in use; -EUCLEAN when not, with one line in the log that says what is
 * wrong; -ENOMEM, -EINVAL.
 */
int quarry_router_verify(struct quarry_router *router);

/**
 * quarry_router_get_stats() - a router's figures
 * @router: the router
 * @stats: where they go
 *
 * Complexity: O(CPUs * classes).
 *
 * Context: as quarry_heap_get_stats().
 */
void quarry_router_get_stats(struct quarry_router *router,
			     struct quarry_router_stats *stats);

/**
 * quarry_router_allocator() - a router as an allocator
 * @router: the router
 * @gfp: for each alloc; with one that blocks the allocator may sleep, else (also
 *	with 0) it is for any context, NMI included
 *
 * Thread-safe, frees each block.
 *
 * Context: Any context.
 * Return: the allocator.
 */
struct quarry_allocator quarry_router_allocator(struct quarry_router *router,
						gfp_t gfp);

/* Scope-based cleanup, where the kernel has it; as in quarry/pool.h. */
#ifdef __CHECKER__	/* sparse has no __has_include */
#define QUARRY_ROUTER_HAS_CLEANUP
#elif __has_include("linux/cleanup.h")
#define QUARRY_ROUTER_HAS_CLEANUP
#endif

#ifdef QUARRY_ROUTER_HAS_CLEANUP
#include <linux/cleanup.h>

DEFINE_FREE(quarry_router, struct quarry_router *, quarry_router_destroy(_T))
#endif

#endif /* QUARRY_ROUTER_H */
