/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry stack: blocks of any size, freed in the reverse order.
 *
 * What it is. One region of memory, reserved when the stack is made, with a
 * stack at each end: the low one grows up, the high one down, until they meet.
 * Each block has a frame word of 8 bytes beside it, and nothing else but what
 * its alignment takes: a block of alignment 1 lies next to the words around it.
 *
 * Good for. Recursion made a loop, parsers of nested headers, undo, scratch
 * memory of a known extent: what is needed last is given back first. No search,
 * no fragmentation, and one thing to check for the caller's order of pops.
 *
 * Not for. Blocks that outlive younger ones (a pool or heap); more than one user
 * at a time; kfree(), DMA, and memory on which an access that is not aligned
 * faults (frame words lie where they fall).
 *
 * One owner. No function here locks. Whoever calls must see to it that one
 * caller at a time is in a stack, interrupts included; from task to task a lock
 * or any hand-over with release and acquire will do. Each operation marks its end
 * of the stack while it runs (the _inline forms on debug kernels only), and one
 * that finds it marked is refused and reported: that catches most of two owners
 * at once, and not all, since it is a plain look and a plain store.
 *
 * What is checked, always. A pop that is out of order, past a mark, of a block
 * popped before, with another size than was pushed, or from an empty stack is
 * refused: nothing changes, a counter moves, and one rate-limited report names
 * the stack, the block and the caller. So is the release of a mark that is stale
 * or another stack's.
 *
 * Overruns. A frame word is bound to its position and to a secret of the stack.
 * A word that was written to is found by the pop that reads it, or by verify: any
 * change within one of its bytes surely, others but for one in 2^26. In the low
 * stack the word lies right behind its block, so that the pop of an overrun block
 * finds it; in the high stack in front of it, so that the next pop does. The
 * frame stays, and the report names who most likely overran. release() to a mark
 * below and reset() still work.
 *
 * What cannot be seen. A write into a block that was popped (KASAN sees it); a
 * pop of the right block by the wrong caller; a push that happens to give the
 * address of a block popped before makes a stale pop of that address valid.
 *
 * Life. create -> push and pop -> destroy, which frees all. A handle stays
 * readable after destroy: operations through it are refused and reported.
 *
 * Source of the algorithm: stack allocators with markers, C. Gregory, "Game
 * Engine Architecture" (2009), 5.2.1, and the double-ended form there; the check
 * word is multiplication by an odd number modulo 2^64, which is one-to-one.
 */
#ifndef QUARRY_STACK_H
#define QUARRY_STACK_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/kconfig.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <quarry/types.h>

struct quarry_stack;

/* Bytes in one block; its alignment; what a block takes besides. */
#define QUARRY_STACK_MAX_PUSH	(16UL << 20)
#define QUARRY_STACK_MAX_ALIGN	4096UL
#define QUARRY_STACK_WORD	8UL

/**
 * struct quarry_stack_args - what a stack may be told at creation
 * @flags: enum quarry_flags.
 * @node: NUMA node; read with %QUARRY_ON_NODE only.
 * @memory: memory of the caller, aligned to 8 bytes; NULL means vmalloc'd. It
 *	must be ordinary memory and must outlive the stack.
 * @memory_size: bytes at @memory, quarry_stack_memory_size(size) at least; all
 *	are used.
 *
 * NULL in place of the struct means all zero. Fields are only ever added at the
 * end.
 */
struct quarry_stack_args {
	unsigned int flags;
	int node;
	void *memory;
	size_t memory_size;
};

/**
 * struct quarry_stack_mark - a place in a stack to go back to
 *
 * Filled by quarry_stack_mark(); its fields are no interface.
 * @stack: whose
 * @position: offset of the mark's frame
 * @serial: tells it from another at the same place
 * @high: of the high end
 */
struct quarry_stack_mark {
	struct quarry_stack *stack;
	u64 position;
	u64 serial;
	bool high;
};

/**
 * struct quarry_stack_stats - a stack's figures at one moment
 * @live: blocks pushed and not popped or released, both ends, marks included.
 * @live_high: of these, at the high end.
 * @capacity: bytes that both ends can use together, frame words included.
 * @used: bytes from both ends in use: blocks, frame words, padding, marks.
 * @used_high: of these, at the high end.
 * @free: bytes between the ends. A push of up to 8 bytes less fits, but for its
 *	alignment.
 * @peak: sum of the next two; over-states what was in use at any one moment when
 *	the ends had their peaks at different times.
 * @peak_low: high-water mark of the low end's bytes.
 * @peak_high: of the high end's.
 * @pushes: blocks pushed since creation or the last reset, marks included.
 * @pops: blocks popped, likewise.
 * @released: blocks and marks that went with release or reset, likewise.
 * @exhausted: pushes and marks that failed since the ends had met.
 * @largest_failed: bytes of the largest such push.
 * @refused: operations that were refused (sum of the others).
 * @refused_order: pop of a live block that is not the top.
 * @refused_double: pop of a place where no live block is.
 * @refused_foreign: pop of an address outside the stack.
 * @refused_empty: pop from an empty end.
 * @refused_mark: pop past a mark.
 * @refused_size: pop_value of another size than was pushed.
 * @refused_stale: release of a mark that is not, or no longer, this stack's.
 * @refused_overrun: operations that found a frame word overwritten.
 * @refused_argument: pushes of a bad size or alignment.
 * @refused_owners: operations that found another one under way.
 * @refused_dead: operations on a destroyed stack.
 * @bytes_reserved: memory of the stack.
 */
struct quarry_stack_stats {
	u64 live, live_high;
	u64 capacity, used, used_high, free;
	u64 peak, peak_low, peak_high;
	u64 pushes, pops, released;
	u64 exhausted, largest_failed;
	u64 refused, refused_order, refused_double, refused_foreign;
	u64 refused_empty, refused_mark, refused_size, refused_stale;
	u64 refused_overrun, refused_argument, refused_owners, refused_dead;
	u64 bytes_reserved;
};

/*
 * What a client was built with: a number that is raised when struct
 * quarry_stack_hot changes, and the sizes of the structs it passes. Checked by
 * create.
 */
#define QUARRY_STACK_LAYOUT						\
	((unsigned int)(1 * SZ_16M + sizeof(struct quarry_stack_args) * SZ_4K + \
			sizeof(struct quarry_stack_stats) +		\
			sizeof(struct quarry_stack_mark)))

/**
 * quarry_stack_create() - make a stack
 * @name: name for debugfs and reports; see %QUARRY_NAME_LEN
 * @size: bytes for both ends together, frame words included; 1 or more
 * @args: more, or NULL; &struct quarry_stack_args
 *
 * A block of n bytes takes n + %QUARRY_STACK_WORD and up to align - 1 more.
 *
 * Context: Process context. May sleep.
 * Return: the stack, or an ERR_PTR: -EINVAL for a bad argument or context (one
 * line in the log names it), -EOVERFLOW for a size that overflows, -ENOMEM.
 */
#define quarry_stack_create(name, size, args)				\
	quarry_stack_create_owned(THIS_MODULE, QUARRY_STACK_LAYOUT, (name), \
				  (size), (args))

struct quarry_stack *quarry_stack_create_owned(struct module *owner,
					       unsigned int layout,
					       const char *name, size_t size,
					       const struct quarry_stack_args *args);

/**
 * quarry_stack_destroy() - give a stack's memory back, live blocks and all
 * @stack: the stack; NULL and ERR_PTR are ignored
 *
 * Waits for a grace period and for readers in debugfs.
 *
 * Context: Process context. May sleep. Elsewhere it reports and does nothing.
 */
void quarry_stack_destroy(struct quarry_stack *stack);

/**
 * quarry_stack_memory_size() - bytes of memory that a stack takes
 * @size: bytes for both ends, as for quarry_stack_create()
 *
 * For sizing quarry_stack_args.memory.
 *
 * Context: Any context.
 * Return: bytes, or 0 when @size is 0 or overflows.
 */
size_t quarry_stack_memory_size(size_t size);

/**
 * quarry_stack_push() - take a block at the low end
 * @stack: the stack; NULL or ERR_PTR gives NULL and a report
 * @size: bytes, 1 to %QUARRY_STACK_MAX_PUSH
 * @align: alignment, a power of two up to %QUARRY_STACK_MAX_ALIGN
 *
 * Contents are undefined. Complexity: O(1).
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: the block, or NULL when the ends have met (counted), or the size or
 * alignment is bad (reported).
 */
void *quarry_stack_push(struct quarry_stack *stack, size_t size, size_t align);

/**
 * quarry_stack_push_high() - take a block at the high end
 * @stack: the stack
 * @size: bytes
 * @align: alignment
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: as quarry_stack_push().
 */
void *quarry_stack_push_high(struct quarry_stack *stack, size_t size,
			     size_t align);

/**
 * quarry_stack_pop() - give the low end's top block back
 * @stack: the stack
 * @block: the block; NULL is ignored
 *
 * Complexity: O(1); a refused pop of a foreign address looks through all of
 * quarry's objects.
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: true; false when @block is not the top block, which is reported.
 */
bool quarry_stack_pop(struct quarry_stack *stack, void *block);

/**
 * quarry_stack_pop_high() - give the high end's top block back
 * @stack: the stack
 * @block: the block; NULL is ignored
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: as quarry_stack_pop().
 */
bool quarry_stack_pop_high(struct quarry_stack *stack, void *block);

/**
 * quarry_stack_pop_to() - copy the low end's top block out and give it back
 * @stack: the stack
 * @to: where it goes; not written when the pop is refused
 * @size: bytes; must be what was pushed
 *
 * Complexity: O(size).
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: true; false when the end is empty, at a mark, or its top block is not
 * of @size bytes, which is reported.
 */
bool quarry_stack_pop_to(struct quarry_stack *stack, void *to, size_t size);

/**
 * quarry_stack_pop_to_high() - the same at the high end
 * @stack: the stack
 * @to: where it goes
 * @size: bytes
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: as quarry_stack_pop_to().
 */
bool quarry_stack_pop_to_high(struct quarry_stack *stack, void *to, size_t size);

/**
 * quarry_stack_top() - the low end's top block
 * @stack: the stack
 * @size: gets its bytes; may be NULL
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: the block, or NULL when the end is empty or a mark is on top.
 */
void *quarry_stack_top(struct quarry_stack *stack, size_t *size);

/**
 * quarry_stack_top_high() - the high end's top block
 * @stack: the stack
 * @size: gets its bytes; may be NULL
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: as quarry_stack_top().
 */
void *quarry_stack_top_high(struct quarry_stack *stack, size_t *size);

/**
 * quarry_stack_mark() - remember the low end's top
 * @stack: the stack
 * @mark: filled
 *
 * The mark takes a frame of 32 bytes and their alignment. Blocks below it
 * cannot be popped until it is released. Marks nest to any depth. O(1).
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: true; false when there is no room, which is counted; @mark is then none
 * that could be released.
 */
bool quarry_stack_mark(struct quarry_stack *stack,
		       struct quarry_stack_mark *mark);

/**
 * quarry_stack_mark_high() - remember the high end's top
 * @stack: the stack
 * @mark: filled
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: as quarry_stack_mark().
 */
bool quarry_stack_mark_high(struct quarry_stack *stack,
			    struct quarry_stack_mark *mark);

/**
 * quarry_stack_release() - give back all that was pushed since a mark
 * @stack: the stack
 * @mark: from quarry_stack_mark() or quarry_stack_mark_high(), once
 *
 * Marks set after @mark go with it, and are then stale. Complexity: O(marks set
 * after it).
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: true; false when @mark is not a mark of this stack, or no longer, which
 * is reported.
 */
bool quarry_stack_release(struct quarry_stack *stack,
			  const struct quarry_stack_mark *mark);

/**
 * quarry_stack_reset() - give back all blocks and marks of both ends
 * @stack: the stack
 *
 * Also mends what an overrun has spoilt. Complexity: O(1).
 *
 * Context: Any context, one owner at a time. Never sleeps.
 */
void quarry_stack_reset(struct quarry_stack *stack);

/**
 * quarry_stack_verify() - check all frames from both tops
 * @stack: the stack
 *
 * Complexity: O(frames).
 *
 * Context: Process context. May sleep.
 * Return: 0 when consistent; 1 when the stack was in use meanwhile and nothing can
 * be told; -EUCLEAN when not, with one line in the log that says what is wrong;
 * -EINVAL.
 */
int quarry_stack_verify(struct quarry_stack *stack);

/**
 * quarry_stack_get_stats() - a stack's figures
 * @stack: the stack
 * @stats: where they go
 *
 * Context: Any context.
 */
void quarry_stack_get_stats(struct quarry_stack *stack,
			    struct quarry_stack_stats *stats);

/*
 * The hit path, inline.
 *
 * quarry_stack_push_inline(), quarry_stack_pop_inline() and the like are the same
 * operations with the hit path in the caller; the typed forms use it. All below is
 * read by that path alone and is no interface; its layout is checked when a stack
 * is made. The rules for each word are at the head of kmod/stack.h.
 */

/*
 * A frame word's fields: {26 bits of zeroes, extent, flag, padding}; the extent is
 * the block and its word. A flag stands for no block.
 */
#define QUARRY_STACK_PAD_END		BIT_ULL(12)
#define QUARRY_STACK_FLAG		BIT_ULL(12)
#define QUARRY_STACK_EXTENT_SHIFT	13
#define QUARRY_STACK_EXTENT_BITS	25
#define QUARRY_STACK_FIELDS_END		\
	BIT_ULL(QUARRY_STACK_EXTENT_SHIFT + QUARRY_STACK_EXTENT_BITS)

/* Sanitizers see each block come and go, so nothing is inline with them. */
#define QUARRY_STACK_CALLED (IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KMSAN))

/* Kernels on which the inline path looks for two owners, as the called one does. */
#define QUARRY_STACK_DEBUG (IS_ENABLED(CONFIG_PROVE_LOCKING) || \
			    IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP) || \
			    IS_ENABLED(CONFIG_KCSAN))

struct quarry_stack_end {
	unsigned long top;	/* the owner; see kmod/stack.h */
	unsigned long limit;	/* likewise */
	unsigned long held;	/* set at create: top while an operation runs */
	u64 pushes;		/* the owner */
	u64 pops;		/* likewise */
};

struct quarry_stack_hot {
	u64 multiplier;		/* set at create */
	u64 inverse;		/* likewise */
	struct quarry_stack_end end[2];	/* low, high */
};

void *quarry_stack_push_slow(struct quarry_stack *stack, size_t size,
			     size_t align, bool high, unsigned long caller);
bool quarry_stack_pop_slow(struct quarry_stack *stack, void *block, bool high,
			   unsigned long caller);
bool quarry_stack_pop_to_slow(struct quarry_stack *stack, void *to, size_t size,
			      bool high, unsigned long caller);

/* A frame word lies where it falls. */
struct quarry_stack_word {
	u64 value;
} __packed;

/*
 * The words of an end are the owner's, who is here; a data_race() is a word that
 * the views' reset may write meanwhile, or that is read as it is. A top that is
 * held by another leads to a sentinel, and so to the slow way.
 */
static __always_inline void *quarry_stack_hit_push(struct quarry_stack *stack,
						   size_t size, size_t align,
						   bool high, bool look,
						   unsigned long caller)
{
	struct quarry_stack_hot *hot = (void *)stack;
	struct quarry_stack_end *end = &hot->end[high];
	unsigned long top, block, word, past;
	u64 fields;

	if (QUARRY_STACK_CALLED || size - 1 >= QUARRY_STACK_MAX_PUSH ||
	    align & (align - 1) || align - 1 >= QUARRY_STACK_MAX_ALIGN)
		goto slow;
	top = READ_ONCE(end->top);
	if (high) {
		block = (top - size) & -align;
		word = block - QUARRY_STACK_WORD;
		past = word;
		if (unlikely(past < data_race(end->limit)))	/* see above */
			goto slow;
		fields = top - block - size;
	} else {
		block = (top + align - 1) & -align;
		word = block + size;
		past = word + QUARRY_STACK_WORD;
		if (unlikely(past > data_race(end->limit)))	/* see above */
			goto slow;
		fields = block - top;
	}
	if (look) {
		WRITE_ONCE(end->top, end->held);
		barrier();	/* an interrupt finds it held before all else */
	}
	fields += (u64)(size + QUARRY_STACK_WORD) << QUARRY_STACK_EXTENT_SHIFT;
	((struct quarry_stack_word *)word)->value = fields * hot->multiplier + past;
	data_race(end->pushes++);	/* the owner's; read as it is */
	if (look)
		barrier();
	WRITE_ONCE(end->top, past);
	return (void *)block;

slow:
	return quarry_stack_push_slow(stack, size, align, high, caller);
}

/*
 * Pop of @block, or, with @copy, of the top block to @to if it has @size bytes. At
 * the low end the extent that should be there is taken from the fields, which
 * leaves the padding, or no such number: extent, check and flag in one compare. (The
 * second is for a pointer that is off by multiples of 2^51, which the shift loses.)
 */
static __always_inline bool quarry_stack_hit_pop(struct quarry_stack *stack,
						 void *block, bool copy,
						 void *to, size_t size,
						 bool high, bool look,
						 unsigned long caller)
{
	struct quarry_stack_hot *hot = (void *)stack;
	struct quarry_stack_end *end = &hot->end[high];
	unsigned long top, at;
	u64 fields, extent;

	if (QUARRY_STACK_CALLED ||
	    (copy && (!to || size - 1 >= QUARRY_STACK_MAX_PUSH)))
		goto slow;
	top = READ_ONCE(end->top);
	at = high ? top : top - QUARRY_STACK_WORD;
	fields = (((struct quarry_stack_word *)at)->value - top) * hot->inverse;
	if (copy)
		extent = size + QUARRY_STACK_WORD;
	else if (high)
		extent = fields >> QUARRY_STACK_EXTENT_SHIFT;
	else
		extent = top - (unsigned long)block;
	if (high && unlikely(fields >= QUARRY_STACK_FIELDS_END))
		goto slow;
	fields -= extent << QUARRY_STACK_EXTENT_SHIFT;
	OPTIMIZER_HIDE_VAR(fields);	/* or it is computed again for the top below */
	if (unlikely(fields >= QUARRY_STACK_PAD_END))
		goto slow;
	if (!high && !copy &&
	    unlikely(extent > QUARRY_STACK_MAX_PUSH + QUARRY_STACK_WORD))
		goto slow;
	at = high ? top + QUARRY_STACK_WORD : top - extent;
	if (high && !copy && unlikely(at != (unsigned long)block))
		goto slow;
	if (look) {
		WRITE_ONCE(end->top, end->held);
		barrier();	/* an interrupt finds it held before all else */
	}
	if (copy)
		memcpy(to, (void *)at, size);
	data_race(end->pops++);		/* the owner's; read as it is */
	if (look)
		barrier();
	WRITE_ONCE(end->top, high ? top + extent + fields : at - fields);
	return true;

slow:
	if (copy)
		return quarry_stack_pop_to_slow(stack, to, size, high, caller);
	return quarry_stack_pop_slow(stack, block, high, caller);
}

/**
 * quarry_stack_push_inline() - quarry_stack_push() with the hit path inline
 * @stack: a stack; not NULL, not an ERR_PTR
 * @size: bytes; best a constant
 * @align: alignment; best a constant
 *
 * Looks for two owners on debug kernels only, as all inline forms do.
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: as quarry_stack_push().
 */
static __always_inline void *quarry_stack_push_inline(struct quarry_stack *stack,
						      size_t size, size_t align)
{
	return quarry_stack_hit_push(stack, size, align, false,
				     QUARRY_STACK_DEBUG, 0);
}

/* The same at the high end. */
static __always_inline void *
quarry_stack_push_high_inline(struct quarry_stack *stack, size_t size,
			      size_t align)
{
	return quarry_stack_hit_push(stack, size, align, true,
				     QUARRY_STACK_DEBUG, 0);
}

/**
 * quarry_stack_pop_inline() - quarry_stack_pop() with the hit path inline
 * @stack: a stack; not NULL, not an ERR_PTR
 * @block: the block; NULL is ignored
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: as quarry_stack_pop().
 */
static __always_inline bool quarry_stack_pop_inline(struct quarry_stack *stack,
						    void *block)
{
	return quarry_stack_hit_pop(stack, block, false, NULL, 0, false,
				    QUARRY_STACK_DEBUG, 0);
}

/* The same at the high end. */
static __always_inline bool
quarry_stack_pop_high_inline(struct quarry_stack *stack, void *block)
{
	return quarry_stack_hit_pop(stack, block, false, NULL, 0, true,
				    QUARRY_STACK_DEBUG, 0);
}

/**
 * quarry_stack_pop_to_inline() - quarry_stack_pop_to() with the hit path inline
 * @stack: a stack; not NULL, not an ERR_PTR
 * @to: where it goes
 * @size: bytes; best a constant
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: as quarry_stack_pop_to().
 */
static __always_inline bool quarry_stack_pop_to_inline(struct quarry_stack *stack,
						       void *to, size_t size)
{
	return quarry_stack_hit_pop(stack, NULL, true, to, size, false,
				    QUARRY_STACK_DEBUG, 0);
}

/* The same at the high end. */
static __always_inline bool
quarry_stack_pop_to_high_inline(struct quarry_stack *stack, void *to, size_t size)
{
	return quarry_stack_hit_pop(stack, NULL, true, to, size, true,
				    QUARRY_STACK_DEBUG, 0);
}

/* Values, by type */

#define quarry__stack_push_value(push, stack, value)			\
({									\
	typeof(value) __qv = (value);					\
	typeof(value) *__qp = (push)((stack), sizeof(__qv),		\
				     __alignof__(__qv));		\
									\
	if (__qp)							\
		memcpy((void *)__qp, &__qv, sizeof(__qv));		\
	__qp;								\
})

#define quarry__stack_pop_value(pop, stack, type)			\
({									\
	type __qv;							\
									\
	if (!(pop)((stack), &__qv, sizeof(__qv)))			\
		memset(&__qv, 0, sizeof(__qv));				\
	__qv;								\
})

/**
 * quarry_stack_push_value() - push a copy of a value
 * @stack: the stack; not NULL, not an ERR_PTR: the hit path is inline
 * @value: an expression of any type but an array
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: pointer to the copy, aligned for its type, or NULL.
 */
#define quarry_stack_push_value(stack, value)				\
	quarry__stack_push_value(quarry_stack_push_inline, stack, value)

/* The same at the high end. */
#define quarry_stack_push_value_high(stack, value)			\
	quarry__stack_push_value(quarry_stack_push_high_inline, stack, value)

/**
 * quarry_stack_pop_value() - pop a value of a type
 * @stack: the stack; not NULL, not an ERR_PTR: the hit path is inline
 * @type: the type that was pushed; its size is checked
 *
 * Context: Any context, one owner at a time. Never sleeps.
 * Return: the value; all zero when the pop is refused, which is reported.
 * quarry_stack_pop_to() tells that apart.
 */
#define quarry_stack_pop_value(stack, type)				\
	quarry__stack_pop_value(quarry_stack_pop_to_inline, stack, type)

/* The same at the high end. */
#define quarry_stack_pop_value_high(stack, type)			\
	quarry__stack_pop_value(quarry_stack_pop_to_high_inline, stack, type)

/* Scope-based cleanup, where the kernel has it; as in quarry/pool.h. */
#ifdef __CHECKER__	/* sparse has no __has_include */
#define QUARRY_STACK_HAS_CLEANUP
#elif __has_include("linux/cleanup.h")
#define QUARRY_STACK_HAS_CLEANUP
#endif

#ifdef QUARRY_STACK_HAS_CLEANUP
#include <linux/cleanup.h>

DEFINE_FREE(quarry_stack, struct quarry_stack *, quarry_stack_destroy(_T))
#endif

#endif /* QUARRY_STACK_H */
