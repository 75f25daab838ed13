// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool named "placed", made as the parameters say, and where its memory lies: the
 * lowest and the highest NUMA node of the pages of its blocks and of their states
 * (which stand for its metadata).
 *
 *	size=N nr=N	bytes in a block, blocks
 *	flags=N node=N	enum quarry_flags and enum quarry_pool_flags; the node
 *
 * /sys/module/quarry_placed/parameters/{lowest,highest} tell.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/vmalloc.h>
#include <quarry/quarry.h>

static unsigned long size = 64;
module_param(size, ulong, 0444);
MODULE_PARM_DESC(size, "bytes in a block");

static unsigned long nr = 1000;
module_param(nr, ulong, 0444);
MODULE_PARM_DESC(nr, "blocks");

static unsigned int flags;
module_param(flags, uint, 0444);
MODULE_PARM_DESC(flags, "of the pool");

static int node;
module_param(node, int, 0444);
MODULE_PARM_DESC(node, "NUMA node, with the flag for it");

static int lowest = INT_MAX;
module_param(lowest, int, 0444);
MODULE_PARM_DESC(lowest, "node of the pool's pages");

static int highest = -1;
module_param(highest, int, 0444);
MODULE_PARM_DESC(highest, "node of the pool's pages");

static struct quarry_pool *pool;

static void look_at(const void *from, const void *to)
{
	const void *p;

	for (p = from; p < to; p += PAGE_SIZE) {
		int nid = page_to_nid(vmalloc_to_page(p));

		lowest = min(lowest, nid);
		highest = max(highest, nid);
	}
}

static int __init placed_init(void)
{
	const struct quarry_pool_args args = { .flags = flags, .node = node };
	const struct quarry_pool_hot *hot;

	pool = quarry_pool_create("placed", size, nr, &args);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	hot = (const void *)pool;
	look_at(quarry_pool_at(pool, 0), quarry_pool_at(pool, nr - 1));
	look_at(hot->state, hot->state + nr);
	return 0;
}

static void __exit placed_exit(void)
{
	quarry_pool_destroy(pool);
}

module_init(placed_init);
module_exit(placed_exit);
MODULE_DESCRIPTION("Client of quarry for its tests: where a pool's memory lies");
MODULE_LICENSE("GPL");
