// SPDX-License-Identifier: GPL-2.0-only
/*
 * The system's memory: kvmalloc() with any alignment, and frees from any context.
 *
 * Alignment. Up to ARCH_KMALLOC_MINALIGN there is nothing to do. Up to a page the
 * size is rounded up to a power of two, of which the slab guarantees natural
 * alignment; what is larger than the slab serves comes in whole pages. Beyond a
 * page a larger piece is taken and the block lies aligned in it, with a record in
 * front that leads back.
 *
 * Contexts. The slab's and the page allocator's locks may not be taken in NMI. On
 * PREEMPT_RT they sleep: there they need a context that can be preempted, which
 * softirqs, sections with softirqs off, under a spinlock_t or of an RCU reader are,
 * and hard irqs and sections with interrupts or preemption off or under a
 * raw_spinlock_t are not. What may block needs a task that may sleep, everywhere.
 *
 * Free. The same, and vfree() needs a task that may sleep. Blocks that are
 * freed elsewhere are put on @deferred, a lock-free list through the blocks
 * themselves (each has room for a link), by one compare-and-swap; who finds it
 * empty queues @waker, an irq_work, which is allowed in NMI and schedules
 * @worker, which frees all there is. llist_add() is a full barrier, and
 * llist_del_all() one too: the worker sees the links.
 */
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/llist.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "allocator.h"

/* Without sleeping there is only what the page allocator has in one piece. */
#define MAX_ALIGN	SZ_16M
#define MAX_ALIGN_ATOMIC SZ_64K

/*
 * Whether the slab may be called to free in any context but NMI. Where lockdep checks
 * for PREEMPT_RT's rules it would complain in a raw section. An alloc there is what
 * the client has asked for with its gfp, and lockdep may say so.
 */
#define SLAB_NEVER_SLEEPS (!IS_ENABLED(CONFIG_PREEMPT_RT) && \
			   !IS_ENABLED(CONFIG_PROVE_RAW_LOCK_NESTING))

static LLIST_HEAD(deferred);

static void free_deferred(struct work_struct *work)
{
	struct llist_node *node, *next;

	llist_for_each_safe(node, next, llist_del_all(&deferred))
		kvfree(node);
}

static DECLARE_WORK(worker, free_deferred);

static void wake_worker(struct irq_work *work)
{
	schedule_work(&worker);
}

static DEFINE_IRQ_WORK(waker, wake_worker);

bool quarry__system_allows(gfp_t gfp)
{
	if (in_nmi())
		return false;
	if (gfpflags_allow_blocking(gfp))
		return quarry__may_sleep();
	return !IS_ENABLED(CONFIG_PREEMPT_RT) || preemptible();
}

void *quarry__system_alloc(size_t size, size_t align, gfp_t gfp)
{
	size = max(size, sizeof(struct llist_node));
	if (align > ARCH_KMALLOC_MINALIGN && size <= KMALLOC_MAX_CACHE_SIZE)
		size = roundup_pow_of_two(max(size, align));
	return size <= INT_MAX ? kvmalloc(size, gfp) : NULL;
}

/* Where a kernel cannot tell whether it may sleep, a task is not trusted to. */
static bool may_free_here(const void *ptr)
{
	if (in_nmi())
		return false;
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT) && quarry__may_sleep())
		return true;
	return (SLAB_NEVER_SLEEPS || preemptible()) && !is_vmalloc_addr(ptr);
}

bool quarry__system_free(void *ptr)
{
	if (may_free_here(ptr)) {
		kvfree(ptr);
		return false;
	}
	if (llist_add(ptr, &deferred))
		irq_work_queue(&waker);
	return true;
}

/* Blocks aligned beyond a page: what lies in front of each. */
struct record {
	void *base;
	unsigned long check;
};

static unsigned long check_of(const struct record *record)
{
	return (unsigned long)record->base ^ (unsigned long)record ^
	       0x5157415252590000UL;
}

static void *alloc_over_aligned(struct quarry_layout layout, gfp_t gfp)
{
	struct record *record;
	void *base, *ptr;

	base = quarry__system_alloc(layout.size + layout.align + sizeof(*record),
				    1, gfp);
	if (!base)
		return NULL;
	ptr = PTR_ALIGN(base + sizeof(*record), layout.align);
	record = ptr - sizeof(*record);
	record->base = base;
	record->check = check_of(record);
	return ptr;
}

/* Where the piece begins that the block lies in; NULL when there is no record. */
static void *base_of(void *ptr, struct quarry_layout layout)
{
	struct record *record = ptr - sizeof(*record);
	void *base = record->base;

	if (record->check != check_of(record) ||
	    PTR_ALIGN(base + sizeof(*record), layout.align) != ptr)
		return NULL;
	record->check = 0;
	return base;
}

static void *system_alloc(const struct quarry_allocator *a,
			  struct quarry_layout layout, bool zero,
			  unsigned long caller)
{
	gfp_t gfp = a->gfp | (zero ? __GFP_ZERO : 0);

	if (!quarry__system_allows(gfp)) {
		quarry__report("system: alloc refused: not in this context with gfp %#x, by %pS",
			       (__force unsigned int)gfp, (void *)caller);
		return NULL;
	}
	if (layout.align > PAGE_SIZE)
		return alloc_over_aligned(layout, gfp);
	return quarry__system_alloc(layout.size, layout.align, gfp);
}

static bool system_free(const struct quarry_allocator *a, void *ptr,
			struct quarry_layout layout, unsigned long caller)
{
	void *base = layout.align > PAGE_SIZE ? base_of(ptr, layout) : ptr;

	if (!base) {
		quarry__report("system: free refused: no record of a block aligned to %zu, by %pS",
			       layout.align, (void *)caller);
		return false;
	}
	quarry__system_free(base);
	return true;
}

static const struct quarry_allocator_ops system_ops = {
	.name	= "system",
	.alloc	= system_alloc,
	.free	= system_free,
};

struct quarry_allocator quarry_system_allocator(gfp_t gfp)
{
	bool blocks = gfpflags_allow_blocking(gfp);

	return (struct quarry_allocator) {
		.ops = &system_ops,
		.gfp = gfp,
		.flags = (blocks ? QUARRY_ALLOCATOR_MAY_SLEEP :
				   QUARRY_ALLOCATOR_ATOMIC) |
			 QUARRY_ALLOCATOR_THREAD_SAFE |
			 QUARRY_ALLOCATOR_FREES_EACH,
		.max_align = blocks ? MAX_ALIGN : MAX_ALIGN_ATOMIC,
		.max_size = INT_MAX - 2 * MAX_ALIGN,
	};
}
EXPORT_SYMBOL_GPL(quarry_system_allocator);

/* What was deferred is freed before our text goes. */
void quarry__system_exit(void)
{
	irq_work_sync(&waker);
	flush_work(&worker);
}
