// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that forgets to clean up: it unloads with live blocks in two pools,
 * one on vmalloc'd memory, one on memory of this very module (which is gone
 * afterwards). Both have a constructor and a destructor, whose text goes too. A
 * third pool is destroyed as it should be, a fourth with live blocks.
 *
 *	probe=1 frees a block of the one pool through the other, and one twice, so
 *	that the reports must name the true owner, and the block
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <quarry/quarry.h>

#define BLOCK_SIZE_BYTES	64
#define NR_BLOCKS		128
#define NR_LIVE_VMALLOC		5
#define NR_LIVE_STATIC		3
#define NR_LIVE_LEAKED		2

static bool probe;
module_param(probe, bool, 0444);
MODULE_PARM_DESC(probe, "free a block through the wrong pool, and one twice");

static u8 memory[NR_BLOCKS * BLOCK_SIZE_BYTES] __aligned(BLOCK_SIZE_BYTES);
static struct quarry_pool *vmalloced, *on_static, *clean, *leaked;
static atomic_t constructed, destructed;

static void construct(void *block, void *arg)
{
	atomic_inc(&constructed);
	memset(block, *(u8 *)arg, BLOCK_SIZE_BYTES);
}

static void destruct(void *block, void *arg)
{
	atomic_inc(&destructed);
	memset(block, 0, BLOCK_SIZE_BYTES);
}

static struct quarry_pool *create(const char *name, void *from)
{
	static u8 pattern = 0x51;
	struct quarry_pool_args args = {
		.ctor = construct,
		.dtor = destruct,
		.arg = &pattern,
	};

	if (from) {
		args.memory = from;
		args.memory_size = sizeof(memory);
		args.flags = QUARRY_POOL_EXACT;
	}
	return quarry_pool_create(name, BLOCK_SIZE_BYTES, NR_BLOCKS, &args);
}

static void take(struct quarry_pool *pool, int nr)
{
	while (nr--)
		WARN_ON(!quarry_pool_alloc(pool));
}

static void __init probe_frees(void)
{
	void *block = quarry_pool_alloc(on_static);

	pr_info("quarry-expect-begin: quarry: pool .* free refused\n");
	quarry_pool_free(vmalloced, block);
	quarry_pool_free(on_static, block);

	block = quarry_pool_alloc(vmalloced);
	quarry_pool_free(vmalloced, block);
	pr_info("quarry_orphan: twice: block %ld\n",
		quarry_pool_index(vmalloced, block));
	quarry_pool_free(vmalloced, block);
	pr_info("quarry-expect-end\n");
}

static int __init quarry_orphan_init(void)
{
	vmalloced = create("orphan-vmalloc", NULL);
	on_static = create("orphan-static", memory);
	clean = create("orphan-clean", NULL);
	leaked = create("orphan-leaked", NULL);
	if (IS_ERR(vmalloced) || IS_ERR(on_static) || IS_ERR(clean) ||
	    IS_ERR(leaked)) {
		quarry_pool_destroy(vmalloced);
		quarry_pool_destroy(on_static);
		quarry_pool_destroy(clean);
		quarry_pool_destroy(leaked);
		return -ENOMEM;
	}
	take(vmalloced, NR_LIVE_VMALLOC);
	take(on_static, NR_LIVE_STATIC);
	take(leaked, NR_LIVE_LEAKED);
	if (probe)
		probe_frees();
	return 0;
}

/* Two pools are left behind on purpose. */
static void __exit quarry_orphan_exit(void)
{
	int before = atomic_read(&destructed);

	quarry_pool_destroy(clean);
	pr_info("quarry_orphan: %d blocks of the clean pool destructed\n",
		atomic_read(&destructed) - before);
	quarry_pool_destroy(leaked);
}

module_init(quarry_orphan_init);
module_exit(quarry_orphan_exit);
MODULE_DESCRIPTION("Test client of quarry that unloads with live blocks");
MODULE_LICENSE("GPL");
