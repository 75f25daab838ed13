// SPDX-License-Identifier: GPL-2.0-only
/*
 * The allocators under measurement: how each is made, and its loops.
 *
 * percpu, cmpxchg and spinlock are floors, not allocators: they check nothing
 * and count nothing. percpu is the bare per-CPU array of pointers that every
 * per-CPU cache comes down to; cmpxchg a lock-free stack with a 32-bit tag and
 * a 32-bit index in one word; spinlock an intrusive list under an irq-safe lock.
 */
#include <linux/mempool.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <quarry/quarry.h>

#ifdef BENCH_HAVE_OBJPOOL
#include <linux/objpool.h>
#endif

#include "bench.h"

unsigned int bench_blocks = BENCH_BLOCKS;
bool bench_tight;
size_t bench_bytes;

/*
 * Nothing: what the loop itself costs. The empty asm is volatile, so that the
 * compiler keeps a loop which does nothing but load the block's address.
 */
static void *empty_create(size_t size)
{
	return empty_create;
}

static void empty_destroy(void *handle)
{
}

/* In the loop's own variable: a copy would be an instruction of ours. */
static __always_inline void *empty_alloc(void **handle)
{
	asm volatile("" : "+r" (*handle));
	return *handle;
}

static __always_inline void *empty_any(void **handle, size_t size)
{
	asm volatile("" : "+r" (*handle) : "r" (size));
	return *handle;
}

static __always_inline void empty_free_sized(void *handle, void *block,
					     size_t size)
{
	asm volatile("" : : "r" (block));
}

static __always_inline size_t no_bulk(void *handle, size_t nr, void **blocks)
{
	asm volatile("" : "+r" (nr) : "r" (blocks));
	return nr;
}

#define BENCH_NAME			empty
#define BENCH_LABEL			"empty"
#define BENCH_CREATE			empty_create
#define BENCH_DESTROY			empty_destroy
#define BENCH_ALLOC(handle)		empty_alloc(&(handle))
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#define BENCH_BULK_ALLOC(handle, nr, blocks)	no_bulk(handle, nr, blocks)
#define BENCH_BULK_FREE(handle, nr, blocks)	no_bulk(handle, nr, blocks)
#define BENCH_ALLOC_SIZED(handle, size)		empty_any(&(handle), size)
#define BENCH_FREE_SIZED(handle, block, size)	\
	empty_free_sized(handle, block, size)
#include "template.h"

/* Quarry: called, inlined, strict, exact. */
static void *pool_create(const char *name, size_t size, unsigned int flags)
{
	struct quarry_pool_args args = { .flags = flags };

	return quarry_pool_create(name, size, bench_blocks, &args);
}

static void *quarry_create(size_t size)
{
	return pool_create("bench", size, 0);
}

static void *strict_create(size_t size)
{
	return pool_create("bench-strict", size, QUARRY_POOL_STRICT);
}

static void *exact_create(size_t size)
{
	return pool_create("bench-exact", size, QUARRY_POOL_EXACT);
}

static void quarry_destroy(void *handle)
{
	quarry_pool_destroy(handle);
}

/* The magazine is what two of them on each CPU can hold back in all. */
static void quarry_describe(void *handle)
{
	struct quarry_pool_stats stats;
	size_t size = quarry_pool_block_size(handle);
	size_t capacity = quarry_pool_capacity(handle);
	size_t total;

	quarry_pool_get_stats(handle, &stats);
	total = (stats.bytes_reserved - stats.bytes_metadata) / size;
	pr_info("quarry_bench: pool: %zu blocks of %zu bytes and %zu spare, magazines of %llu, %llu.%llu bytes of metadata a block\n",
		capacity, size, total - capacity,
		stats.peak_slack / (2 * num_online_cpus()),
		stats.bytes_metadata / total,
		stats.bytes_metadata * 10 / total % 10);
}

#define BENCH_NAME			quarry
#define BENCH_LABEL			"quarry"
#define BENCH_CREATE			quarry_create
#define BENCH_DESTROY			quarry_destroy
#define BENCH_DESCRIBE			quarry_describe
#define BENCH_FINITE
#define BENCH_ALLOC(handle)		quarry_pool_alloc(handle)
#define BENCH_FREE(handle, block)	quarry_pool_free(handle, block)
#define BENCH_BULK_ALLOC(handle, nr, blocks)	\
	quarry_pool_alloc_bulk(handle, nr, blocks)
#define BENCH_BULK_FREE(handle, nr, blocks)	\
	quarry_pool_free_bulk(handle, nr, blocks)
#include "template.h"

#define BENCH_NAME			quarry_inline
#define BENCH_LABEL			"quarry_inline"
#define BENCH_CREATE			quarry_create
#define BENCH_DESTROY			quarry_destroy
#define BENCH_FINITE
#define BENCH_ALLOC(handle)		quarry_pool_alloc_inline(handle)
#define BENCH_FREE(handle, block)	quarry_pool_free_inline(handle, block)
#include "template.h"

#define BENCH_NAME			quarry_strict
#define BENCH_LABEL			"quarry_strict"
#define BENCH_CREATE			strict_create
#define BENCH_DESTROY			quarry_destroy
#define BENCH_FINITE
#define BENCH_ALLOC(handle)		quarry_pool_alloc(handle)
#define BENCH_FREE(handle, block)	quarry_pool_free(handle, block)
#define BENCH_BULK_ALLOC(handle, nr, blocks)	\
	quarry_pool_alloc_bulk(handle, nr, blocks)
#define BENCH_BULK_FREE(handle, nr, blocks)	\
	quarry_pool_free_bulk(handle, nr, blocks)
#include "template.h"

#define BENCH_NAME			quarry_exact
#define BENCH_LABEL			"quarry_exact"
#define BENCH_CREATE			exact_create
#define BENCH_DESTROY			quarry_destroy
#define BENCH_FINITE
#define BENCH_ALLOC(handle)		quarry_pool_alloc(handle)
#define BENCH_FREE(handle, block)	quarry_pool_free(handle, block)
#define BENCH_BULK_ALLOC(handle, nr, blocks)	\
	quarry_pool_alloc_bulk(handle, nr, blocks)
#define BENCH_BULK_FREE(handle, nr, blocks)	\
	quarry_pool_free_bulk(handle, nr, blocks)
#include "template.h"

/* kmem_cache, never merged with another. */
static void *cache_create(size_t size)
{
	unsigned int flags = 0;
	struct kmem_cache *cache;

#ifdef SLAB_NO_MERGE
	flags |= (__force unsigned int)SLAB_NO_MERGE;
#endif
	cache = kmem_cache_create("quarry_bench", size, 0,
				  (__force slab_flags_t)flags, NULL);
	return cache ?: ERR_PTR(-ENOMEM);
}

static void cache_destroy(void *handle)
{
	kmem_cache_destroy(handle);
}

/*
 * All or nothing: 7.3 says so by a bool. 6.1 has interrupts on when it returns, which a
 * hard one must not.
 */
static unsigned int cache_alloc_bulk(struct kmem_cache *cache, unsigned int nr,
				     void **blocks)
{
	unsigned int got = kmem_cache_alloc_bulk(cache, GFP_ATOMIC, nr, blocks) ? nr : 0;

	if (in_hardirq())
		local_irq_disable();
	return got;
}

#define BENCH_NAME			cache
#define BENCH_LABEL			"kmem_cache"
#define BENCH_CREATE			cache_create
#define BENCH_DESTROY			cache_destroy
#define BENCH_ALLOC(handle)		kmem_cache_alloc(handle, GFP_ATOMIC)
#define BENCH_FREE(handle, block)	kmem_cache_free(handle, block)
#define BENCH_BULK_ALLOC(handle, nr, blocks)	cache_alloc_bulk(handle, nr, blocks)
#define BENCH_BULK_FREE(handle, nr, blocks)	\
	kmem_cache_free_bulk(handle, nr, blocks)
#include "template.h"

#define BENCH_NAME			cache_kernel
#define BENCH_LABEL			"kmem_cache:kernel"
#define BENCH_CREATE			cache_create
#define BENCH_DESTROY			cache_destroy
#define BENCH_TASK_ONLY
#define BENCH_ALLOC(handle)		kmem_cache_alloc(handle, GFP_KERNEL)
#define BENCH_FREE(handle, block)	kmem_cache_free(handle, block)
#include "template.h"

/* mempool over such a cache: 64 in reserve, the rest comes from the slab. */
static struct kmem_cache *mempool_cache;

static void mempool_bench_destroy(void *handle)
{
	mempool_destroy(handle);
	cache_destroy(mempool_cache);
}

static void *mempool_bench_create(size_t size)
{
	mempool_t *pool;

	mempool_cache = cache_create(size);
	if (IS_ERR(mempool_cache))
		return mempool_cache;
	pool = mempool_create_slab_pool(64, mempool_cache);
	if (!pool) {
		cache_destroy(mempool_cache);
		return ERR_PTR(-ENOMEM);
	}
	return pool;
}

#define BENCH_NAME			mempool
#define BENCH_LABEL			"mempool"
#define BENCH_CREATE			mempool_bench_create
#define BENCH_DESTROY			mempool_bench_destroy
#define BENCH_ALLOC(handle)		mempool_alloc(handle, GFP_ATOMIC)
#define BENCH_FREE(handle, block)	mempool_free(block, handle)
#include "template.h"

#ifdef BENCH_HAVE_OBJPOOL
static int objpool_object_init(void *object, void *context)
{
	return 0;
}

static int objpool_release(struct objpool_head *head, void *context)
{
	kfree(context);
	return 0;
}

static void *objpool_bench_create(size_t size)
{
	struct objpool_head *head = kzalloc(sizeof(*head), GFP_KERNEL);
	int ret;

	if (!head)
		return ERR_PTR(-ENOMEM);
	ret = objpool_init(head, bench_blocks, size, GFP_KERNEL, head,
			   objpool_object_init, objpool_release);
	if (ret) {
		kfree(head);
		return ERR_PTR(ret);
	}
	return head;
}

static void objpool_bench_destroy(void *handle)
{
	objpool_fini(handle);
}

#define BENCH_NAME			objpool_bench
#define BENCH_LABEL			"objpool"
#define BENCH_CREATE			objpool_bench_create
#define BENCH_DESTROY			objpool_bench_destroy
#define BENCH_FINITE
#define BENCH_ALLOC(handle)		objpool_pop(handle)
#define BENCH_FREE(handle, block)	objpool_push(block, handle)
#include "template.h"
#endif

/*
 * What the shared floors stand on: bench_blocks, and a free list of either kind.
 * The CPUs' arrays all name the same blocks, which nobody writes to.
 */
struct floor {
	u64 head;		/* cmpxchg: tag << 32 | index + 1 */
	u32 *next;
	size_t size;
	void *memory;
	spinlock_t lock;	/* first */
	void *first;		/* spinlock: top of the list */
};

static void floor_destroy(void *handle)
{
	struct floor *floor = handle;

	kvfree(floor->next);
	vfree(floor->memory);
	kfree(floor);
}

static void *floor_create(size_t size)
{
	struct floor *floor = kzalloc(sizeof(*floor), GFP_KERNEL);
	unsigned int i;

	if (!floor)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&floor->lock);
	floor->size = size;
	floor->memory = vmalloc(array_size(bench_blocks, size));
	floor->next = kvcalloc(bench_blocks, sizeof(u32), GFP_KERNEL);
	if (!floor->memory || !floor->next) {
		floor_destroy(floor);
		return ERR_PTR(-ENOMEM);
	}
	for (i = 0; i < bench_blocks; i++) {
		void **block = floor->memory + i * size;

		floor->next[i] = floor->head;
		floor->head = i + 1;
		*block = floor->first;
		floor->first = block;
	}
	return floor;
}

/* More pointers than alloc_percpu() takes: only the way to them is per-CPU. */
struct percpu_stack {
	unsigned int nr, most;
	void *slot[];
};

static struct percpu_stack * __percpu *percpu_stacks;

static void percpu_destroy(void *handle)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kvfree(*per_cpu_ptr(percpu_stacks, cpu));
	free_percpu(percpu_stacks);
	floor_destroy(handle);
}

static void *percpu_create(size_t size)
{
	struct floor *floor = floor_create(size);
	struct percpu_stack *stack;
	bool failed = false;
	int cpu;

	if (IS_ERR(floor))
		return floor;
	percpu_stacks = alloc_percpu(struct percpu_stack *);
	if (!percpu_stacks) {
		floor_destroy(floor);
		return ERR_PTR(-ENOMEM);
	}
	for_each_possible_cpu(cpu) {
		stack = kvmalloc(struct_size(stack, slot, bench_blocks), GFP_KERNEL);
		*per_cpu_ptr(percpu_stacks, cpu) = stack;
		failed |= !stack;
		if (!stack)
			continue;
		stack->most = bench_blocks;
		for (stack->nr = 0; stack->nr < stack->most; stack->nr++)
			stack->slot[stack->nr] = floor->memory + stack->nr * size;
	}
	if (failed) {
		percpu_destroy(floor);
		return ERR_PTR(-ENOMEM);
	}
	return floor;
}

static __always_inline void *percpu_alloc(void *handle)
{
	struct percpu_stack *stack;
	void *block = NULL;

	preempt_disable();
	stack = __this_cpu_read(*percpu_stacks);
	if (stack->nr)
		block = stack->slot[--stack->nr];
	preempt_enable();
	return block;
}

static __always_inline void percpu_free(void *handle, void *block)
{
	struct percpu_stack *stack;

	preempt_disable();
	stack = __this_cpu_read(*percpu_stacks);
	if (likely(stack->nr < stack->most))
		stack->slot[stack->nr++] = block;
	preempt_enable();
}

#define BENCH_NAME			percpu
#define BENCH_LABEL			"floor:percpu"
#define BENCH_CREATE			percpu_create
#define BENCH_DESTROY			percpu_destroy
#define BENCH_FINITE
#define BENCH_LOCAL
#define BENCH_ALLOC(handle)		percpu_alloc(handle)
#define BENCH_FREE(handle, block)	percpu_free(handle, block)
#include "template.h"

static __always_inline void *cmpxchg_alloc(struct floor *floor)
{
	u64 old = READ_ONCE(floor->head), new;
	u32 index;

	do {
		index = (u32)old;
		if (!index)
			return NULL;
		new = ((old >> 32) + 1) << 32 | READ_ONCE(floor->next[index - 1]);
	} while (!try_cmpxchg64(&floor->head, &old, new));
	return floor->memory + (index - 1) * floor->size;
}

static __always_inline void cmpxchg_free(struct floor *floor, void *block)
{
	/* Sizes here are powers of two: a shift, as a pool would make it. */
	u32 index = ((block - floor->memory) >> __ffs(floor->size)) + 1;
	u64 old = READ_ONCE(floor->head);

	do {
		WRITE_ONCE(floor->next[index - 1], (u32)old);
	} while (!try_cmpxchg64(&floor->head, &old,
				(old >> 32 << 32) | index));
}

#define BENCH_NAME			cmpxchg
#define BENCH_LABEL			"floor:cmpxchg"
#define BENCH_CREATE			floor_create
#define BENCH_DESTROY			floor_destroy
#define BENCH_FINITE
#define BENCH_ALLOC(handle)		cmpxchg_alloc(handle)
#define BENCH_FREE(handle, block)	cmpxchg_free(handle, block)
#include "template.h"

static __always_inline void *spinlock_alloc(struct floor *floor)
{
	unsigned long flags;
	void **block;

	spin_lock_irqsave(&floor->lock, flags);
	block = floor->first;
	if (block)
		floor->first = *block;
	spin_unlock_irqrestore(&floor->lock, flags);
	return block;
}

static __always_inline void spinlock_free(struct floor *floor, void *freed)
{
	unsigned long flags;
	void **block = freed;

	spin_lock_irqsave(&floor->lock, flags);
	*block = floor->first;
	floor->first = block;
	spin_unlock_irqrestore(&floor->lock, flags);
}

#define BENCH_NAME			spinlock
#define BENCH_LABEL			"floor:spinlock"
#define BENCH_CREATE			floor_create
#define BENCH_DESTROY			floor_destroy
#define BENCH_FINITE
#define BENCH_ALLOC(handle)		spinlock_alloc(handle)
#define BENCH_FREE(handle, block)	spinlock_free(handle, block)
#include "template.h"

const struct bench_ops * const bench_allocators[] = {
	&empty_ops,
	&quarry_ops,
	&quarry_inline_ops,
	&quarry_strict_ops,
	&quarry_exact_ops,
	&bump_ops,
	&bump_any_ops,
	&bump_inline_ops,
	&pcpu_ops,
	&pcpu_any_ops,
	&pcpu_inline_ops,
	&arena_ops,
	&arena_any_ops,
	&arena_inline_ops,
	&stack_ops,
	&stack_inline_ops,
	&heap_ops,
	&heap_lists_ops,
	&heap_bounded_ops,
	&heap_split_ops,
	&router_ops,
	&cache_ops,
	&cache_kernel_ops,
	&kmalloc_bench_ops,
#ifdef BENCH_HAVE_OBJPOOL
	&objpool_bench_ops,
#endif
	&mempool_ops,
#ifdef BENCH_HAVE_PAGE_FRAG
	&frag_ops,
#endif
#ifdef CONFIG_GENERIC_ALLOCATOR
	&first_fit_ops,
	&best_fit_ops,
#endif
#ifdef BENCH_HAVE_DRM_MM
	&drm_ops,
#endif
	&vmalloc_bench_ops,
	&kvmalloc_bench_ops,
	&percpu_ops,
	&cmpxchg_ops,
	&spinlock_ops,
};

const unsigned int bench_nr_allocators = ARRAY_SIZE(bench_allocators);
