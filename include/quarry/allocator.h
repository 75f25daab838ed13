/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry allocator: one interface over every allocator, and wrappers that stack.
 *
 * What it is. A small struct, passed about by value or by const pointer: which
 * operations, on which object, and what they promise. A client is written once,
 * against struct quarry_allocator, and is told at run time where its memory comes
 * from: a pool, an arena, a heap, a router, the system.
 *
 * Layouts. Each request names a size and an alignment (quarry/layout.h), and a
 * free names them again: backends that need no size ignore it, the system needs
 * it. A free with another layout than the alloc's is a bug of the caller; what of
 * it can be seen is refused. An invalid layout, which is what an overflow gives,
 * is refused by every allocator: NULL and one report. So is a size of 0, since
 * there is nothing to point to.
 *
 * Lifetime. The struct holds nothing and needs no destroy; copy it as you like.
 * It is good as long as its object. Handles stay readable after destroy, so that
 * an operation through an adapter whose object was destroyed is refused and
 * reported, as one on the object itself. An adapter of NULL or an ERR_PTR can be
 * made and refuses everything.
 *
 * What is checked here, always: layout, alignment against max_align, NMI against
 * the flags. A request for more than max_size gets NULL without a report, since
 * a client that grows runs into it in good order.
 *
 * Wrappers. Counting, logging by tracepoint, failing on purpose: each is made over
 * any allocator, also over another wrapper, and is an allocator itself.
 */
#ifndef QUARRY_ALLOCATOR_H
#define QUARRY_ALLOCATOR_H

#include <linux/err.h>
#include <linux/gfp_types.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <quarry/layout.h>
#include <quarry/types.h>

struct quarry_allocator;
struct quarry_arena;
struct quarry_bump;
struct quarry_heap;
struct quarry_percpu_arena;
struct quarry_pool;
struct quarry_stack;
struct quarry_wrapper;

/**
 * enum quarry_allocator_flags - what an allocator promises
 * @QUARRY_ALLOCATOR_MAY_SLEEP: alloc may sleep: task context only.
 * @QUARRY_ALLOCATOR_ATOMIC: never sleeps: task, softirq and hard irq. Without
 *	%QUARRY_ALLOCATOR_NMI, on PREEMPT_RT, only where one can be preempted.
 * @QUARRY_ALLOCATOR_NMI: also in NMI and, on PREEMPT_RT, in raw sections.
 * @QUARRY_ALLOCATOR_THREAD_SAFE: any number of users at once. Without it, one
 *	owner at a time.
 * @QUARRY_ALLOCATOR_FREES_EACH: a freed block can be handed out again at once.
 *	Without it free may do nothing, and memory comes back when the object is
 *	reset.
 *
 * Free never sleeps and has no stricter rule of context than alloc; the system's has
 * none, see quarry_system_allocator().
 */
enum quarry_allocator_flags {
	QUARRY_ALLOCATOR_MAY_SLEEP	= BIT(0),
	QUARRY_ALLOCATOR_ATOMIC		= BIT(1),
	QUARRY_ALLOCATOR_NMI		= BIT(2),
	QUARRY_ALLOCATOR_THREAD_SAFE	= BIT(3),
	QUARRY_ALLOCATOR_FREES_EACH	= BIT(4),
};

/* What the lock-free, any-context backends promise. */
#define QUARRY_ALLOCATOR_ANY_CONTEXT					\
	(QUARRY_ALLOCATOR_ATOMIC | QUARRY_ALLOCATOR_NMI |		\
	 QUARRY_ALLOCATOR_THREAD_SAFE)

/**
 * struct quarry_allocator_ops - what a backend does
 * @name: its kind, for reports
 * @alloc: a block of the layout, cleared with @zero; NULL when there is none
 * @realloc: may be NULL: then a new block is taken, copied to, the old one freed
 * @free: true when the block was taken back
 *
 * Layouts are valid, not empty, and aligned to at most max_align when these are
 * called; @free and @realloc never get NULL. @caller is for reports. Clients
 * may fill one in for a backend of their own.
 */
struct quarry_allocator_ops {
	const char *name;
	void *(*alloc)(const struct quarry_allocator *a,
		       struct quarry_layout layout, bool zero,
		       unsigned long caller);
	void *(*realloc)(const struct quarry_allocator *a, void *ptr,
			 struct quarry_layout old, struct quarry_layout layout,
			 unsigned long caller);
	bool (*free)(const struct quarry_allocator *a, void *ptr,
		     struct quarry_layout layout, unsigned long caller);
};

/**
 * struct quarry_allocator - where a client's memory comes from
 * @ops: what to do
 * @object: to what; the backend's own
 * @gfp: what the system is asked with, where it is
 * @flags: enum quarry_allocator_flags
 * @max_align: largest alignment that may be asked for, in bytes
 * @max_size: no request for more bytes than this succeeds
 */
struct quarry_allocator {
	const struct quarry_allocator_ops *ops;
	void *object;
	gfp_t gfp;
	unsigned int flags;
	size_t max_align;
	size_t max_size;
};

/**
 * quarry_allocator_alloc() - take a block
 * @a: the allocator
 * @layout: size and alignment
 *
 * Contents are undefined. Complexity: the backend's.
 *
 * Context: as @a->flags say.
 * Return: a block of at least the layout's size, aligned as it says, or NULL.
 */
void *quarry_allocator_alloc(const struct quarry_allocator *a,
			     struct quarry_layout layout) __malloc;

/**
 * quarry_allocator_zalloc() - take a block and clear it
 * @a: the allocator
 * @layout: size and alignment
 *
 * Context: as @a->flags say.
 * Return: as quarry_allocator_alloc(); the layout's bytes are zero.
 */
void *quarry_allocator_zalloc(const struct quarry_allocator *a,
			      struct quarry_layout layout) __malloc;

/**
 * quarry_allocator_realloc() - make a block larger or smaller
 * @a: the allocator that the block came from
 * @ptr: the block; NULL: as quarry_allocator_alloc()
 * @old: its layout
 * @layout: the one that it is to have; size and alignment may both differ
 *
 * The bytes that both layouts have are kept; what is new is undefined. When it
 * fails, the old block is untouched and live. Complexity: the backend's, and
 * O(size) when the block moves.
 *
 * Context: as @a->flags say.
 * Return: the block, which may have moved, or NULL.
 */
void *quarry_allocator_realloc(const struct quarry_allocator *a, void *ptr,
			       struct quarry_layout old,
			       struct quarry_layout layout) __must_check;

/**
 * quarry_allocator_free() - give a block back
 * @a: the allocator that the block came from
 * @ptr: the block; NULL is ignored
 * @layout: its layout
 *
 * What a backend can see to be wrong it refuses: nothing changes, one report says
 * what it is. The system sees least: see quarry_system_allocator().
 *
 * Context: as @a->flags say; never sleeps.
 */
void quarry_allocator_free(const struct quarry_allocator *a, void *ptr,
			   struct quarry_layout layout);

/**
 * QUARRY_NEW() - take room for one of a type
 * @a: pointer to the allocator
 * @type: for example struct flow
 *
 * Return: a pointer to @type, or NULL.
 */
#define QUARRY_NEW(a, type)						\
	((type *)quarry_allocator_alloc((a), QUARRY_LAYOUT(type)))

/**
 * QUARRY_ZNEW() - take cleared room for one of a type
 * @a: pointer to the allocator
 * @type: for example struct flow
 *
 * Return: a pointer to @type, or NULL.
 */
#define QUARRY_ZNEW(a, type)						\
	((type *)quarry_allocator_zalloc((a), QUARRY_LAYOUT(type)))

/**
 * QUARRY_NEW_ARRAY() - take room for some of a type
 * @a: pointer to the allocator
 * @type: for example u64
 * @n: how many; a number that overflows gives NULL
 *
 * Return: a pointer to @type, or NULL.
 */
#define QUARRY_NEW_ARRAY(a, type, n)					\
	((type *)quarry_allocator_alloc((a), QUARRY_LAYOUT_ARRAY(type, n)))

/**
 * QUARRY_DELETE() - give back what QUARRY_NEW() or QUARRY_ZNEW() gave
 * @a: pointer to the allocator
 * @ptr: a pointer of the type that was named then; NULL is ignored
 */
#define QUARRY_DELETE(a, ptr)						\
({									\
	typeof(ptr) __qd = (ptr);					\
									\
	quarry_allocator_free((a), __qd, QUARRY_LAYOUT(typeof(*__qd)));	\
})

/**
 * QUARRY_DELETE_ARRAY() - give back what QUARRY_NEW_ARRAY() gave
 * @a: pointer to the allocator
 * @ptr: a pointer of the type that was named then; NULL is ignored
 * @n: how many
 */
#define QUARRY_DELETE_ARRAY(a, ptr, n)					\
({									\
	typeof(ptr) __qd = (ptr);					\
									\
	quarry_allocator_free((a), __qd,				\
			      QUARRY_LAYOUT_ARRAY(typeof(*__qd), (n)));	\
})

/* Backends */

/**
 * quarry_system_allocator() - the kernel's own, passed through
 * @gfp: for each alloc, for example GFP_KERNEL or GFP_ATOMIC
 *
 * kvmalloc() with any power-of-two alignment. May sleep when @gfp allows to block,
 * else it is atomic; an alloc in a context that @gfp does not suit gets NULL and a
 * report. None suits an NMI; on PREEMPT_RT none suits a context that cannot be
 * preempted (hard irq, interrupts or preemption off, a raw_spinlock_t held), while one
 * that does not block suits softirqs, spinlock_t and RCU readers. A pointer that the
 * system did not give out is not seen (the kernel cannot say): only the alignment and,
 * beyond a page, the block's own record are checked. Requests above INT_MAX bytes fail.
 *
 * Free: any context, NMI included. Where the kernel's own free may not be called, the
 * block is handed to a worker.
 *
 * Context: Any context.
 * Return: the allocator.
 */
struct quarry_allocator quarry_system_allocator(gfp_t gfp);

/**
 * quarry_pool_allocator() - a pool's blocks
 * @pool: the pool
 *
 * Any context, thread-safe, frees each block; max_size and max_align are the
 * pool's. Realloc succeeds, in place, as long as the block is large enough.
 *
 * Context: Any context.
 * Return: the allocator.
 */
struct quarry_allocator quarry_pool_allocator(struct quarry_pool *pool);

/**
 * quarry_heap_allocator() - a heap's blocks
 * @heap: the heap
 *
 * Any context (in NMI an alloc may fail when the heap's lock is taken), thread-safe,
 * frees each block. Realloc in place where the heap can.
 *
 * Context: Any context.
 * Return: the allocator.
 */
struct quarry_allocator quarry_heap_allocator(struct quarry_heap *heap);

/**
 * quarry_arena_allocator() - an arena's blocks
 * @arena: the arena
 *
 * Any context, one owner at a time; never sleeps, so that the arena does not grow
 * (quarry_arena_reserve() makes room ahead). Free of the last block gives it back;
 * of any other it does nothing: that one waits for a rewind or reset. Realloc of
 * the last block is in place where the chunk has room; another one can shrink in
 * place, and what grows leaves the old block behind. A pointer that is not in what
 * the arena has handed out is refused.
 *
 * Context: Any context.
 * Return: the allocator.
 */
struct quarry_allocator quarry_arena_allocator(struct quarry_arena *arena);

/**
 * quarry_bump_allocator() - a bump's pieces
 * @bump: the bump
 *
 * Any context, thread-safe. Free looks whether the pointer is in a piece that was
 * handed out, and does nothing else; realloc to a smaller size stays in place, to a
 * larger one leaves the old piece behind. All comes back with quarry_bump_reset().
 *
 * Context: Any context.
 * Return: the allocator.
 */
struct quarry_allocator quarry_bump_allocator(struct quarry_bump *bump);

/**
 * quarry_percpu_arena_allocator() - a per-CPU arena's pieces
 * @arena: the arena
 *
 * As quarry_bump_allocator(); free looks whether the pointer is in the arena.
 *
 * Context: Any context.
 * Return: the allocator.
 */
struct quarry_allocator
quarry_percpu_arena_allocator(struct quarry_percpu_arena *arena);

/**
 * quarry_stack_allocator() - the low end of a stack
 * @stack: the stack
 *
 * Any context, one owner at a time. Blocks must be freed in the reverse order:
 * another free is refused and reported. Realloc of the top block is in place; one
 * below can shrink, not grow (NULL).
 *
 * Context: Any context.
 * Return: the allocator.
 */
struct quarry_allocator quarry_stack_allocator(struct quarry_stack *stack);

/* Wrappers */

/**
 * struct quarry_wrapper_args - what a wrapper may be told at creation
 * @every: failing: each so-manieth call fails: 3 fails the third, the sixth ...
 * @nth: failing: this call fails, counted from 1, and no other by this rule
 * @per_mille: failing: each call fails with this probability, in 1/1000
 * @seed: failing: of the probability; the same seed fails the same calls
 *
 * 0 switches a rule off; a call that any rule names fails. Calls are allocs,
 * zallocs and reallocs, numbered in the order in which they come, whatever CPU
 * they come from. Fields are only ever added at the end.
 */
struct quarry_wrapper_args {
	u64 every;
	u64 nth;
	unsigned int per_mille;
	u64 seed;
};

/**
 * struct quarry_wrapper_stats - a wrapper's figures at one moment
 * @live: blocks allocated through it and not freed
 * @peak: high-water mark of @live; it over-states by at most @peak_slack
 * @peak_slack: 64 blocks for each possible CPU
 * @allocs: blocks handed out since creation or the last reset
 * @frees: blocks taken back
 * @reallocs: blocks whose layout was changed; a realloc of NULL is an alloc
 * @failures: calls to which the allocator below gave NULL
 * @injected: calls that were failed on purpose
 * @refused: frees that the allocator below refused
 * @bytes_live: bytes of the live blocks, by their layouts
 * @largest: the largest size that was asked for
 */
struct quarry_wrapper_stats {
	u64 live, peak, peak_slack;
	u64 allocs, frees, reallocs, failures, injected, refused;
	u64 bytes_live, largest;
};

/* What a client was built with; checked by the creates. */
#define QUARRY_ALLOCATOR_LAYOUT						\
	((unsigned int)(1 * SZ_16M + sizeof(struct quarry_allocator) * SZ_64K + \
			sizeof(struct quarry_wrapper_args) * SZ_256 +	\
			sizeof(struct quarry_wrapper_stats)))

/* Kinds of wrappers, for quarry_wrapper_create_owned(). */
enum quarry_wrapper_kind {
	QUARRY_COUNTING,
	QUARRY_LOGGING,
	QUARRY_FAILING,
};

/**
 * quarry_counting_create() - make a wrapper that counts
 * @name: name for debugfs; see %QUARRY_NAME_LEN
 * @inner: the allocator below; it is copied, its object must outlive the wrapper
 *
 * All wrappers count; this one does nothing else. Figures are per CPU. Its flags
 * and limits are those of @inner.
 *
 * Context: Process context. May sleep.
 * Return: the wrapper, or an ERR_PTR: -EINVAL for a bad argument or context (one
 * line in the log names it), -ENOMEM.
 */
#define quarry_counting_create(name, inner)				\
	quarry_wrapper_create_owned(THIS_MODULE, QUARRY_ALLOCATOR_LAYOUT, \
				    QUARRY_COUNTING, (name), (inner), NULL)

/**
 * quarry_logging_create() - make a wrapper that tells each operation
 * @name: name for debugfs and in each event; see %QUARRY_NAME_LEN
 * @inner: the allocator below; it is copied, its object must outlive the wrapper
 *
 * Tracepoints quarry:quarry_alloc, quarry_realloc and quarry_free, in tracefs
 * under events/quarry; off, they cost a branch. They are never emitted on kernels
 * without tracepoints.
 *
 * Context: Process context. May sleep.
 * Return: as quarry_counting_create().
 */
#define quarry_logging_create(name, inner)				\
	quarry_wrapper_create_owned(THIS_MODULE, QUARRY_ALLOCATOR_LAYOUT, \
				    QUARRY_LOGGING, (name), (inner), NULL)

/**
 * quarry_failing_create() - make a wrapper that fails on purpose
 * @name: name for debugfs; see %QUARRY_NAME_LEN
 * @inner: the allocator below; it is copied, its object must outlive the wrapper
 * @args: which calls fail, &struct quarry_wrapper_args; NULL: none yet
 *
 * For tests of what a client does without memory. Frees never fail.
 *
 * Context: Process context. May sleep.
 * Return: as quarry_counting_create().
 */
#define quarry_failing_create(name, inner, args)			\
	quarry_wrapper_create_owned(THIS_MODULE, QUARRY_ALLOCATOR_LAYOUT, \
				    QUARRY_FAILING, (name), (inner), (args))

struct quarry_wrapper *
quarry_wrapper_create_owned(struct module *owner, unsigned int layout,
			    enum quarry_wrapper_kind kind, const char *name,
			    const struct quarry_allocator *inner,
			    const struct quarry_wrapper_args *args);

/**
 * quarry_failing_arm() - new rules for a failing wrapper
 * @wrapper: a failing wrapper
 * @args: which calls fail; NULL: none
 *
 * The next call is number 1 again. A call on another CPU at the same instant may
 * see some of the old rules.
 *
 * Context: Any context.
 * Return: 0, or -EINVAL when @wrapper is no failing one, or for bad @args.
 */
int quarry_failing_arm(struct quarry_wrapper *wrapper,
		       const struct quarry_wrapper_args *args);

/**
 * quarry_wrapper_allocator() - the allocator that a wrapper is
 * @wrapper: the wrapper
 *
 * Context: Any context.
 * Return: the allocator; that of NULL or an ERR_PTR refuses everything.
 */
struct quarry_allocator quarry_wrapper_allocator(struct quarry_wrapper *wrapper);

/**
 * quarry_wrapper_destroy() - take a wrapper away
 * @wrapper: the wrapper; NULL and ERR_PTR are ignored
 *
 * The allocator below stays, and so do blocks that are live: they can be freed
 * there. How many they are is said in the log. Operations through the wrapper are
 * refused from now on.
 *
 * Context: Process context. May sleep. Elsewhere it reports and does nothing.
 */
void quarry_wrapper_destroy(struct quarry_wrapper *wrapper);

/**
 * quarry_wrapper_get_stats() - a wrapper's figures
 * @wrapper: the wrapper
 * @stats: where they go
 *
 * Exact when nobody uses it. Complexity: O(CPUs).
 *
 * Context: Any context.
 */
void quarry_wrapper_get_stats(struct quarry_wrapper *wrapper,
			      struct quarry_wrapper_stats *stats);

#endif /* QUARRY_ALLOCATOR_H */
