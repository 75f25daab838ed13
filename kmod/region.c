// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions: the only code that calls vmalloc. A region belongs to one object and
 * is mapped and unmapped by that object's create and destroy, in process
 * context; nothing here is shared, so nothing is locked.
 *
 * vmalloc leaves an unmapped guard page behind each area, and gives page
 * alignment, which bounds the alignment of blocks.
 */
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include "compat.h"
#include "internal.h"

static_assert(PAGE_SIZE >= 4096, "blocks may be aligned to 4096 bytes");

/* Only whole large pages: else the kernel rounds up, and nobody asked it to. */
static bool want_huge(size_t size, unsigned int flags)
{
	return size && IS_ALIGNED(size, PMD_SIZE) && !(flags & QUARRY_NO_HUGE);
}

/*
 * Before 6.16 a module can choose the node or a huge mapping and accounting, not
 * both: the function that takes all three is not exported.
 */
static void *map(size_t size, unsigned int flags, int node)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;

	if (flags & QUARRY_ACCOUNT)
		gfp |= __GFP_ACCOUNT;
	if (flags & QUARRY_ZERO)
		gfp |= __GFP_ZERO;
	gfp &= QUARRY_VMALLOC_GFP;

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
	if ((flags & QUARRY_ON_NODE) && (flags & QUARRY_ACCOUNT) &&
	    !QUARRY_HAS_HUGE_NODE)
		return -EINVAL;
	region->base = map(size, flags, node);
	if (!region->base)
		return -ENOMEM;
	/* Scanned as one object, which the owner holds by number, not pointer. */
	kmemleak_not_leak(region->base);
	region->size = size;
	region->node = flags & QUARRY_ON_NODE ? node : NUMA_NO_NODE;
	region->flags = flags;
	region->borrowed = false;
	return 0;
}

void quarry__region_borrow(struct quarry_region *region, void *memory,
			   size_t size, unsigned int flags)
{
	region->base = memory;
	region->size = size;
	region->node = NUMA_NO_NODE;
	region->flags = flags;
	region->borrowed = true;
	if (flags & QUARRY_ZERO)
		memset(memory, 0, size);
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
