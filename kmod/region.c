// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions: the only code that calls vmalloc. A region belongs to one object and
 * is mapped and unmapped by that object's create and destroy, in process
 * context; nothing here is shared, so nothing is locked, but for the list of regions
 * that quarry lends to objects of its own (a router to its classes and heap).
 *
 * vmalloc leaves an unmapped guard page behind each area, and gives page
 * alignment, which bounds the alignment of blocks.
 */
#include <linux/kmemleak.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/seq_file.h>
#include <linux/vmalloc.h>
#include "compat.h"
#include "internal.h"

static_assert(PAGE_SIZE >= 4096, "blocks may be aligned to 4096 bytes");

static LIST_HEAD(lent);
static DEFINE_MUTEX(lent_lock);

/*
 * Only whole large pages: else the kernel rounds up, and nobody asked it to. It does so
 * where node and accounting are asked for together, which only its function for huge
 * mappings takes.
 */
static bool want_huge(size_t size, unsigned int flags)
{
	return size && IS_ALIGNED(size, PMD_SIZE) && !(flags & QUARRY_NO_HUGE);
}

/*
 * Before 6.16 a module can choose the node or a huge mapping and accounting, not
 * both: the function that takes all three is not exported. Since then it can have
 * both, and not say no to the huge mapping.
 */
static bool can_map(unsigned int flags)
{
	if (!(flags & QUARRY_ON_NODE) || !(flags & QUARRY_ACCOUNT))
		return true;
	return QUARRY_HAS_HUGE_NODE && !(flags & QUARRY_NO_HUGE);
}

static void *map(size_t size, unsigned int flags, int node)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;

	if (flags & QUARRY_ACCOUNT)
		gfp |= __GFP_ACCOUNT;
	if (flags & QUARRY_ZERO)
		gfp |= __GFP_ZERO;

	if (flags & QUARRY_ON_NODE) {
		if (QUARRY_HAS_HUGE_NODE &&
		    (want_huge(size, flags) || (flags & QUARRY_ACCOUNT)))
			return vmalloc_huge_node(size, gfp, node);
		return flags & QUARRY_ZERO ? vzalloc_node(size, node) :
					     vmalloc_node(size, node);
	}
	return want_huge(size, flags) ? vmalloc_huge(size, gfp) :
					__vmalloc(size, gfp);
}

int quarry__region_map(struct quarry_region *region, size_t size,
		       unsigned int flags, int node)
{
	region->base = map(size, flags, node);
	if (!region->base)
		return -ENOMEM;
	/* Scanned as one object, which the owner holds by number, not pointer. */
	kmemleak_not_leak(region->base);
	region->size = size;
	region->node = flags & QUARRY_ON_NODE ? node : NUMA_NO_NODE;
	region->flags = flags;
	region->borrowed = false;
	region->carved = false;
	return 0;
}

/* Parts of it may be borrowed from now on, and are treated as quarry's own. */
void quarry__region_lend(struct quarry_region *region)
{
	mutex_lock(&lent_lock);
	list_add(&region->lent, &lent);
	mutex_unlock(&lent_lock);
}

void quarry__region_take_back(struct quarry_region *region)
{
	mutex_lock(&lent_lock);
	list_del(&region->lent);
	mutex_unlock(&lent_lock);
}

static bool is_lent(const void *memory, size_t size)
{
	struct quarry_region *region;
	bool found = false;

	mutex_lock(&lent_lock);
	list_for_each_entry(region, &lent, lent)
		found |= memory >= region->base && size <= region->size &&
			 memory - region->base <= region->size - size;
	mutex_unlock(&lent_lock);
	return found;
}

void quarry__region_borrow(struct quarry_region *region, void *memory,
			   size_t size, unsigned int flags)
{
	region->base = memory;
	region->size = size;
	region->node = NUMA_NO_NODE;
	region->flags = flags;
	region->borrowed = true;
	region->carved = is_lent(memory, size);
	if (flags & QUARRY_ZERO)
		memset(memory, 0, size);
}

/* What all kinds check of their args. 0 or -EINVAL, and why in the log. */
int quarry__create_check(const char *kind, const char *name,
			 const struct quarry_placement *at,
			 unsigned int kind_flags)
{
	unsigned int unknown = at->flags & ~(QUARRY_COMMON_FLAGS | kind_flags);

	if (quarry__name_check(name))
		return quarry__invalid(kind, name,
				       "bad name, not [A-Za-z0-9][A-Za-z0-9_.-]* up to %d",
				       QUARRY_NAME_LEN - 1);
	if (unknown)
		return quarry__invalid(kind, name, "unknown flags %#x", unknown);
	if ((at->flags & QUARRY_ON_NODE) &&
	    (at->node < 0 || at->node >= MAX_NUMNODES || !node_online(at->node)))
		return quarry__invalid(kind, name, "bad node %d, not online",
				       at->node);
	if (!can_map(at->flags))
		return quarry__invalid(kind, name,
				       "QUARRY_ON_NODE with QUARRY_ACCOUNT%s, which this kernel cannot",
				       QUARRY_HAS_HUGE_NODE ? " and QUARRY_NO_HUGE" : "");
	if ((unsigned long)at->memory + at->memory_size <
	    (unsigned long)at->memory)
		return quarry__invalid(kind, name, "bad memory_size %zu",
				       at->memory_size);
	if (!at->memory && at->memory_size)
		return quarry__invalid(kind, name, "memory_size %zu without memory",
				       at->memory_size);
	if (!quarry__may_sleep())
		return quarry__invalid(kind, name, "created in a context that may not sleep");
	return 0;
}

/* The caller's memory, if it is aligned and has @size bytes, or our own. */
int quarry__region_take(struct quarry_region *region, const char *kind,
			const char *name, size_t size, size_t align,
			const struct quarry_placement *at)
{
	if (!at->memory)
		return quarry__region_map(region, size, at->flags, at->node);
	if (!IS_ALIGNED((unsigned long)at->memory, align))
		return quarry__invalid(kind, name, "memory is not aligned to %zu",
				       align);
	if (at->memory_size < size)
		return quarry__invalid(kind, name, "memory_size %zu, less than %zu",
				       at->memory_size, size);
	quarry__region_borrow(region, at->memory, at->memory_size, at->flags);
	return 0;
}

void quarry__region_unmap(struct quarry_region *region)
{
	if (!region->borrowed)
		vfree(region->base);
	region->base = NULL;
}

/*
 * How the region is mapped cannot be asked from a module; whether the frames
 * behind its first large page are contiguous and aligned can, and a huge mapping
 * has no others.
 */
const char *quarry__region_mapping(const struct quarry_region *region)
{
	unsigned long first, i, nr = PMD_SIZE / PAGE_SIZE;

	if (region->borrowed)
		return "caller's memory";
	if (!want_huge(region->size, region->flags) ||
	    !IS_ALIGNED((unsigned long)region->base, PMD_SIZE))
		return "pages";
	first = vmalloc_to_pfn(region->base);
	if (!IS_ALIGNED(first, nr))
		return "pages";
	for (i = 1; i < nr; i++)
		if (vmalloc_to_pfn(region->base + i * PAGE_SIZE) != first + i)
			return "pages";
	return "huge (its frames are contiguous)";
}

/* Ends the line that a kind has begun with flags of its own; and the node. */
void quarry__flags_config(struct seq_file *seq, unsigned int flags, int node)
{
	seq_printf(seq, "%s%s%s\n",
		   flags & QUARRY_ACCOUNT ? " account" : "",
		   flags & QUARRY_ZERO ? " zero" : "",
		   flags & QUARRY_NO_HUGE ? " no_huge" : "");
	if (node == NUMA_NO_NODE)
		seq_puts(seq, "node: any\n");
	else
		seq_printf(seq, "node: %d\n", node);
}

/* Of a kind that has one region; a dead one's is not looked at. */
void quarry__region_config(struct seq_file *seq, const struct quarry_region *region,
			   const struct quarry_object *object)
{
	seq_printf(seq, "region: %zu bytes\n", region->size);
	seq_printf(seq, "mapping: %s\n", READ_ONCE(object->state) == QUARRY_DEAD ?
		   "gone" : quarry__region_mapping(region));
}
