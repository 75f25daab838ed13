/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry arena: blocks of any size that are all given back at once.
 *
 * What it is. One or more chunks of memory that are filled from the front. An
 * alloc aligns, subtracts and compares; nothing is kept beside a block. What was
 * allocated after a mark is given back by a rewind to that mark, and everything
 * by a reset. Whatever is to be done then (a put, an unlock) can be deferred:
 * it is called at the rewind or reset, the latest first.
 *
 * Good for. The many small things of one job, of different sizes, that are of no
 * use when the job is done: a batch, a request, a parse.
 *
 * Not for. Blocks that are freed in any order (quarry/pool.h); several owners at
 * a time; kfree(), DMA mapping, scatterlists.
 *
 * One owner. An arena is not thread-safe: one context at a time uses it, and it
 * is the caller's business to see to that. A check that is always on reports a
 * second owner who comes in the middle of a slow operation (a growth, a rewind,
 * a reset, a deferred call, ...) and refuses his request. An alloc that hits is
 * a few plain instructions, which two owners can get through unseen, each with
 * the same block: %QUARRY_ARENA_STRICT makes all operations slow ones.
 *
 * Growth. quarry_arena_alloc() never sleeps and never grows. Chunks are added by
 * quarry_arena_alloc_sleep() and quarry_arena_reserve(), each a multiple of the
 * one before, up to a limit. A block never moves. Without a limit in the args
 * the first chunk is all there is. A request that does not fit gets NULL and
 * leaves the arena as it was.
 *
 * What is checked, always. A mark of another arena, one from before a reset,
 * one used before, one that was rewound past; a free of what is not the arena's,
 * or of what has a mark or a deferred call in it; an operation on a destroyed
 * arena: refused, counted, and one rate-limited report says what it was.
 *
 * What cannot be seen. A use of a block after the rewind or reset that gave it
 * back (KASAN sees it). A free or resize of the last bytes that were handed out,
 * by an address or size that is no block's: nothing is kept beside a block, so
 * that the last two blocks pass for one, or the end of the last one for all of
 * it. (A size that does not end where the arena does is taken for another block,
 * which stays: "kept" counts it.)
 *
 * Memory order. One owner: program order. Who hands an arena to another context
 * orders that himself, as with any other data.
 *
 * Life. create -> alloc, mark, rewind, reset, any number of times -> destroy. An
 * arena needs no empty state to be destroyed. Children are destroyed with their
 * parent.
 *
 * Source of the algorithm: D. R. Hanson, "Fast Allocation and Deallocation of
 * Memory Based on Object Lifetimes", Software - Practice and Experience 20(1),
 * 1990. That the distance to an aligned end is kept in place of a cursor, so
 * that aligning can never leave the chunk, is our own.
 */
#ifndef QUARRY_ARENA_H
#define QUARRY_ARENA_H

#include <linux/align.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <linux/stdarg.h>
#include <quarry/types.h>

struct quarry_arena;

/**
 * enum quarry_arena_flags - what an arena does besides
 * @QUARRY_ARENA_STRICT: each operation takes the arena by one locked
 *	instruction, so that any two owners who meet are seen. For debugging.
 *
 * These go in quarry_arena_args.flags, together with enum quarry_flags.
 */
enum quarry_arena_flags {
	QUARRY_ARENA_STRICT	= BIT(16),
};

/* Alignment of a block, in bytes, and growth of chunks, at most. */
#define QUARRY_ARENA_MAX_ALIGN	4096UL
#define QUARRY_ARENA_MAX_GROWTH	16

/**
 * struct quarry_arena_args - what an arena may be told at creation
 * @limit: bytes of all chunks together, at most; 0 means no growth. Rounded
 *	down to a multiple of 8.
 * @growth: how many times as large as the last chunk the next one is, 1 to
 *	%QUARRY_ARENA_MAX_GROWTH; 0 means 2.
 * @flags: enum quarry_flags and enum quarry_arena_flags.
 * @node: NUMA node for the chunks; read with %QUARRY_ON_NODE only.
 * @memory: memory for the first chunk, of the caller; NULL means vmalloc'd.
 *	Aligned to 8; must outlive the arena.
 * @memory_size: bytes at @memory, all of which are used; at least first_chunk.
 * @parent: arena that this one is to be destroyed with; NULL for none. It is
 *	not affected by its parent's rewind and reset. Where the two are different
 *	modules', none of the arenas may be destroyed while one of the modules unloads.
 *
 * NULL in place of the struct means all zero. Fields are only ever added at the
 * end.
 */
struct quarry_arena_args {
	size_t limit;
	unsigned int growth;
	unsigned int flags;
	int node;
	void *memory;
	size_t memory_size;
	struct quarry_arena *parent;
};

/**
 * struct quarry_arena_stats - an arena's figures at one moment
 * @used: bytes handed out, padding, marks and deferred calls included.
 * @peak: high-water mark of @used.
 * @capacity: bytes of all chunks.
 * @limit: bytes that all chunks together may have.
 * @largest_free: the largest block that an alloc of alignment 1 can get.
 * @bytes_reserved: @capacity, what page rounding adds, and metadata.
 * @bytes_wasted: ends of chunks that were too small for what came next.
 * @bytes_metadata: metadata outside the chunks.
 * @chunks: chunks now.
 * @marks: marks that can be rewound to.
 * @deferred: calls that wait for a rewind or reset.
 * @grown: chunks added since creation or the last reset of the figures.
 * @rewinds: rewinds, likewise (as all that follow).
 * @resets: resets.
 * @called: deferred calls that were made.
 * @dropped: deferred calls that were not made: their module was gone, or their
 *	record was overwritten.
 * @freed: last blocks given back.
 * @kept: frees of blocks that were not the last one.
 * @failures: requests that got nothing because there was no room.
 * @refused: operations that were refused (sum of those that follow).
 * @refused_mark_foreign: rewind to a mark of another arena, or to none.
 * @refused_mark_stale: rewind to a mark from before a reset, to one that was used
 *	or rewound past and is older than the present top mark, or to one whose
 *	record was overwritten.
 * @refused_mark_used: rewind to the mark that was used last.
 * @refused_mark_newer: rewind to a mark that is newer than the present top mark: it
 *	was used before the last one, or rewound past.
 * @refused_pointer: free or resize of what the arena has not handed out.
 * @refused_request: size 0, bad alignment, no function, a call deferred on an
 *	arena whose module is gone, or a sleeping operation where one may not sleep.
 * @refused_owners: two owners at once.
 * @refused_dead: the arena was destroyed.
 */
struct quarry_arena_stats {
	u64 used, peak, capacity, limit, largest_free;
	u64 bytes_reserved, bytes_wasted, bytes_metadata;
	u64 chunks, marks, deferred;
	u64 grown, rewinds, resets, called, dropped, freed, kept, failures;
	u64 refused, refused_mark_foreign, refused_mark_stale;
	u64 refused_mark_used, refused_mark_newer, refused_pointer;
	u64 refused_request, refused_owners, refused_dead;
};

/**
 * struct quarry_arena_mark - a point to rewind to; a value, made by
 * quarry_arena_mark()
 * @arena: whose it is; NULL when there was no room for it
 * @serial: which one; never used again by any mark of the arena
 */
struct quarry_arena_mark {
	const struct quarry_arena *arena;
	u64 serial;
};

/*
 * What a client was built with: a number that is raised when struct
 * quarry_arena_hot changes, and the sizes of the structs it passes. Checked by
 * create.
 */
#define QUARRY_ARENA_LAYOUT						\
	((unsigned int)(1 * SZ_16M + sizeof(struct quarry_arena_args) * SZ_4K + \
			sizeof(struct quarry_arena_stats)))

/**
 * quarry_arena_create() - make an arena
 * @name: name for debugfs and reports; see %QUARRY_NAME_LEN
 * @first_chunk: bytes in the first chunk, at least 1; rounded up to 8
 * @args: more, or NULL; &struct quarry_arena_args
 *
 * Complexity: O(1) besides mapping the first chunk.
 *
 * Context: Process context. May sleep.
 * Return: the arena, or an ERR_PTR: -EINVAL for a bad argument or context (one
 * line in the log names it), -EOVERFLOW for sizes that overflow, -ENOMEM.
 */
#define quarry_arena_create(name, first_chunk, args)			\
	quarry_arena_create_owned(THIS_MODULE, QUARRY_ARENA_LAYOUT,	\
				  (name), (first_chunk), (args))

struct quarry_arena *quarry_arena_create_owned(struct module *owner,
					       unsigned int layout,
					       const char *name,
					       size_t first_chunk,
					       const struct quarry_arena_args *args);

/**
 * quarry_arena_destroy() - give an arena's memory back
 * @arena: the arena; NULL and ERR_PTR are ignored
 *
 * Destroys its children, the latest first, then makes the deferred calls, the
 * latest first, then frees all. Waits for a grace period and for readers in
 * debugfs. Complexity: O(chunks + deferred calls), for each child as well.
 *
 * Context: Process context. May sleep. Elsewhere it reports and does nothing.
 */
void quarry_arena_destroy(struct quarry_arena *arena);

/* What quarry_arena_alloc() is; @mask is -1, -2, -4 or -8. */
void *quarry_arena_alloc_const(struct quarry_arena *arena, size_t size,
			       unsigned long mask) __malloc;
void *quarry_arena_alloc_any(struct quarry_arena *arena, size_t size,
			     size_t align) __malloc;

/**
 * quarry_arena_alloc() - take a block
 * @arena: the arena; NULL or ERR_PTR gives NULL and a report
 * @size: bytes, at least 1
 * @align: alignment in bytes, a power of two up to %QUARRY_ARENA_MAX_ALIGN
 *
 * Contents are undefined. A chunk that was reserved is used when the present
 * one is too full; none is added. An alignment that is a constant up to 8 is
 * checked when it is compiled. Complexity: O(1); when the present chunk is too
 * full, O(chunks behind it).
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: a block, or NULL when there is no room for it.
 */
static __always_inline __malloc void *
quarry_arena_alloc(struct quarry_arena *arena, size_t size, size_t align)
{
	if (__builtin_constant_p(align) &&
	    (align == 1 || align == 2 || align == 4 || align == 8))
		return quarry_arena_alloc_const(arena, size, -align);
	return quarry_arena_alloc_any(arena, size, align);
}

/**
 * quarry_arena_alloc_sleep() - take a block, and grow the arena when need be
 * @arena: the arena
 * @size: bytes
 * @align: alignment in bytes
 *
 * Complexity: as quarry_arena_alloc(), and mapping a chunk.
 *
 * Context: Process context; the arena's owner alone. May sleep.
 * Return: a block, or NULL when the limit or the system's memory is reached.
 */
void *quarry_arena_alloc_sleep(struct quarry_arena *arena, size_t size,
			       size_t align) __malloc;

/**
 * quarry_arena_reserve() - see to it that so much can be allocated
 * @arena: the arena
 * @size: bytes
 *
 * Afterwards allocs that together take @size bytes (each rounded up to 8 and
 * aligned to no more than that) do not fail, nor does one of @size bytes. A
 * rewind keeps what was reserved, a reset may give it back. Complexity: as
 * quarry_arena_alloc_sleep().
 *
 * Context: Process context; the arena's owner alone. May sleep.
 * Return: 0, -ENOSPC when the limit would be passed, -ENOMEM, -EINVAL for a bad
 * arena, size or context.
 */
int quarry_arena_reserve(struct quarry_arena *arena, size_t size);

/**
 * quarry_arena_zalloc() - take a block and clear it
 * @arena: the arena
 * @size: bytes
 * @align: alignment in bytes
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: as quarry_arena_alloc(), all bytes zero.
 */
void *quarry_arena_zalloc(struct quarry_arena *arena, size_t size, size_t align)
	__malloc;

/**
 * quarry_arena_memdup() - a copy of some memory
 * @arena: the arena
 * @from: what to copy; NULL gives NULL
 * @size: bytes
 *
 * Aligned to 8.
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: the copy, or NULL when there is no room for it.
 */
void *quarry_arena_memdup(struct quarry_arena *arena, const void *from,
			  size_t size) __malloc;

/**
 * quarry_arena_strdup() - a copy of a string
 * @arena: the arena
 * @from: a string; NULL gives NULL
 *
 * Aligned to 1: strings lie side by side.
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: the copy, or NULL when there is no room for it.
 */
char *quarry_arena_strdup(struct quarry_arena *arena, const char *from) __malloc;

/**
 * quarry_arena_printf() - a formatted string of just the size it needs
 * @arena: the arena
 * @fmt: as printk()'s
 *
 * It is formatted twice, first for its length. Arguments that another context
 * changes in between may cut it short.
 *
 * Context: Any context that the format's arguments allow; the arena's owner
 * alone. Never sleeps.
 * Return: the string, or NULL when there is no room for it.
 */
__printf(2, 3)
char *quarry_arena_printf(struct quarry_arena *arena, const char *fmt, ...)
	__malloc;

/**
 * quarry_arena_vprintf() - the same for a va_list
 * @arena: the arena
 * @fmt: as printk()'s
 * @args: what it names; as after any v*printf, the caller ends it
 *
 * Context: as quarry_arena_printf().
 * Return: as quarry_arena_printf().
 */
__printf(2, 0)
char *quarry_arena_vprintf(struct quarry_arena *arena, const char *fmt,
			   va_list args) __malloc;

/**
 * quarry_arena_new() - a cleared object of a type
 * @arena: the arena
 * @type: its type, which gives size and alignment
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: a pointer to @type, or NULL when there is no room for it.
 */
#define quarry_arena_new(arena, type)					\
	((type *)quarry_arena_zalloc((arena), sizeof(type), __alignof__(type)))

/**
 * quarry_arena_new_array() - a cleared array of objects of a type
 * @arena: the arena
 * @type: type of the elements
 * @nr: how many, at least 1
 *
 * A size that overflows is one there is no room for.
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: a pointer to the first, or NULL when there is no room for all.
 */
#define quarry_arena_new_array(arena, type, nr)				\
	((type *)quarry_arena_zalloc((arena), size_mul(sizeof(type), (nr)), \
				     __alignof__(type)))

/**
 * quarry_arena_mark() - remember where the arena is
 * @arena: the arena
 *
 * Marks nest to any depth. Each takes 40 bytes of the arena and what aligns them
 * to 8, which its rewind gives back with all else. Complexity: O(1).
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: the mark; when there was no room for it, one that a rewind refuses and
 * quarry_arena_marked() tells.
 */
struct quarry_arena_mark quarry_arena_mark(struct quarry_arena *arena);

/**
 * quarry_arena_marked() - was there room for a mark?
 * @mark: from quarry_arena_mark()
 *
 * Context: Any context.
 */
static inline bool quarry_arena_marked(struct quarry_arena_mark mark)
{
	return mark.arena;
}

/**
 * quarry_arena_rewind() - give back all that was taken after a mark
 * @arena: the arena
 * @mark: a mark of it
 *
 * Makes the calls that were deferred after the mark, the latest first, then
 * gives back what was allocated after it. The mark and all newer ones are used
 * up. Chunks stay, empty. Complexity: O(chunks + newer marks + deferred calls).
 *
 * Context: Any context that the deferred calls allow; the arena's owner alone.
 * Return: true; false when the mark is refused, and nothing has changed.
 */
bool quarry_arena_rewind(struct quarry_arena *arena,
			 struct quarry_arena_mark mark);

/**
 * quarry_arena_reset() - give all back
 * @arena: the arena
 *
 * Makes the deferred calls, the latest first; all marks are stale. Of the
 * chunks the largest stays, and the caller's memory; the others are unmapped,
 * or, in a context that may not sleep, stay as well. Complexity: O(chunks +
 * deferred calls).
 *
 * Context: Any context that the deferred calls allow; the arena's owner alone.
 * May sleep when the arena has grown: with CONFIG_PREEMPT_COUNT=n such an arena
 * is not to be reset under a spinlock.
 */
void quarry_arena_reset(struct quarry_arena *arena);

/**
 * quarry_arena_free_last() - give the last block back
 * @arena: the arena
 * @block: the block; NULL is ignored
 * @size: its size, as asked for
 *
 * When it is the last one. Any other stays until a rewind or reset, which is no
 * misuse. Padding in front of the block is not given back. Complexity: O(1);
 * O(chunks) when the block is not in the present one; a refused one looks through
 * all of quarry's objects for its owner.
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: true when it was given back.
 */
bool quarry_arena_free_last(struct quarry_arena *arena, void *block, size_t size);

/**
 * quarry_arena_resize_last() - make the last block larger or smaller in place
 * @arena: the arena
 * @block: the block
 * @size: its size, as asked for
 * @new_size: the size it is to have, at least 1
 *
 * Its contents stay, up to the smaller of the two sizes. Complexity: as
 * quarry_arena_free_last().
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: true; false when it is not the last block or the chunk has no room,
 * and nothing has changed.
 */
bool quarry_arena_resize_last(struct quarry_arena *arena, void *block,
			      size_t size, size_t new_size);

/* What quarry_arena_defer() calls. */
typedef void (*quarry_arena_fn)(void *arg);

/**
 * quarry_arena_defer() - have a function called when this point is rewound past
 * @arena: the arena
 * @fn: called once, at a rewind to an older mark, at reset or at destroy; never
 *	after the module that created the arena is gone, and so to be in the text of
 *	that module or of one that stays longer. It may not use the arena.
 * @arg: passed to @fn; may point into the arena
 *
 * Takes 40 bytes of the arena at most. Complexity: O(1).
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: true; false when there was no room, and @fn will not be called.
 */
bool quarry_arena_defer(struct quarry_arena *arena, quarry_arena_fn fn, void *arg);

/**
 * quarry_arena_used() - bytes handed out, padding, marks and calls included
 * @arena: the arena
 *
 * Complexity: O(1).
 *
 * Context: Any context; the arena's owner alone.
 */
size_t quarry_arena_used(struct quarry_arena *arena);

/**
 * quarry_arena_capacity() - bytes of all chunks
 * @arena: the arena
 *
 * Complexity: O(1).
 *
 * Context: Any context.
 */
size_t quarry_arena_capacity(struct quarry_arena *arena);

/**
 * quarry_arena_owns() - is an address in what the arena has handed out?
 * @arena: the arena
 * @ptr: any address
 *
 * True for padding as well. Complexity: O(chunks).
 *
 * Context: Any context; the arena's owner alone.
 */
bool quarry_arena_owns(struct quarry_arena *arena, const void *ptr);

/**
 * quarry_arena_verify() - check the arena's whole state
 * @arena: the arena
 *
 * The chunks agree with the figures, and each mark and deferred call is as it
 * was written. Complexity: O(chunks * (marks + deferred calls)).
 *
 * Context: Process context; the arena's owner alone. May sleep.
 * Return: 0 when consistent; -EUCLEAN when not, with one line in the log that
 * says what is wrong; -EINVAL.
 */
int quarry_arena_verify(struct quarry_arena *arena);

/**
 * quarry_arena_get_stats() - an arena's figures
 * @arena: the arena
 * @stats: where they go
 *
 * Complexity: O(chunks).
 *
 * Context: Process context. May sleep.
 */
void quarry_arena_get_stats(struct quarry_arena *arena,
			    struct quarry_arena_stats *stats);

/*
 * The hit path, inline. All below is read by that path alone and is no
 * interface; its layout is checked when an arena is made.
 */

struct quarry_arena_hot {
	unsigned long end;	/* of the chunk that is being filled */
	unsigned long room;	/* bytes left in front of it; 0: the slow way */
	unsigned long misfit;	/* bits of (align - 1) that end is not good for */
};

void *quarry_arena_alloc_slow(struct quarry_arena *arena, size_t size,
			      size_t align);
void *quarry__arena_alloc_slow(struct quarry_arena *arena, size_t size,
			       size_t align, unsigned long caller);

/* Sanitizers see each block come; with KASAN none shares a granule. */
#if (defined(CONFIG_KASAN_GENERIC) && defined(CONFIG_KASAN_VMALLOC)) || \
	defined(CONFIG_KMSAN)
#define QUARRY_ARENA_STEP(size)	ALIGN(size, 8UL)
void quarry__arena_taken(struct quarry_arena *arena, void *block, size_t size);
#else
#define QUARRY_ARENA_STEP(size)	(size)
static inline void quarry__arena_taken(struct quarry_arena *arena, void *block,
				       size_t size) { }
#endif

/*
 * The room, rounded down to the alignment, is the distance of an aligned block
 * to the end, which is aligned itself. It cannot leave the chunk, and no sum can
 * overflow. Size 0 fails the comparison, and so does any size when the room is
 * 0. An @align that is no power of two has a bit in common with @align - 1. With
 * no @caller the slow path takes its own return address, which is the same when
 * it is jumped to.
 */
static __always_inline void *quarry_arena_hit_alloc(struct quarry_arena *arena,
						    size_t size, size_t align,
						    unsigned long caller)
{
	struct quarry_arena_hot *hot = (struct quarry_arena_hot *)arena;
	unsigned long low = align - 1, room;
	void *block;

	/* Each end is good for 8; only other alignments need a look. */
	if (!(__builtin_constant_p(align) && align <= 8) &&
	    unlikely(low & (align | hot->misfit)))
		goto slow;
	room = hot->room & ~low;
	if (unlikely(size - 1 >= room))
		goto slow;
	block = (void *)(hot->end - room);
	WRITE_ONCE(hot->room, room - QUARRY_ARENA_STEP(size));
	quarry__arena_taken(arena, block, size);
	return block;
slow:
	return caller ? quarry__arena_alloc_slow(arena, size, align, caller) :
			quarry_arena_alloc_slow(arena, size, align);
}

/**
 * quarry_arena_alloc_inline() - take a block, with the hit path in the caller
 * @arena: the arena; not NULL and no ERR_PTR, which are not looked for
 * @size: bytes, at least 1
 * @align: alignment in bytes, a power of two up to %QUARRY_ARENA_MAX_ALIGN; a
 *	constant, or the call is not inlined
 *
 * Context: Any context; the arena's owner alone. Never sleeps.
 * Return: as quarry_arena_alloc().
 */
static __always_inline void *quarry_arena_alloc_inline(struct quarry_arena *arena,
						       size_t size, size_t align)
{
	if (!__builtin_constant_p(align))
		return quarry_arena_alloc(arena, size, align);
	BUILD_BUG_ON_MSG(__builtin_constant_p(align) &&
			 (!align || (align & (align - 1)) ||
			  align > QUARRY_ARENA_MAX_ALIGN),
			 "not a power of two up to QUARRY_ARENA_MAX_ALIGN");
	return quarry_arena_hit_alloc(arena, size, align, 0);
}

/* Scope-based cleanup, where the kernel has it; as in quarry/pool.h. */
#ifdef __CHECKER__	/* sparse has no __has_include */
#define QUARRY_ARENA_HAS_CLEANUP
#elif __has_include("linux/cleanup.h")
#define QUARRY_ARENA_HAS_CLEANUP
#endif

#ifdef QUARRY_ARENA_HAS_CLEANUP
#include <linux/cleanup.h>

DEFINE_FREE(quarry_arena, struct quarry_arena *, quarry_arena_destroy(_T))
#endif

#endif /* QUARRY_ARENA_H */
