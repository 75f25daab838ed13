// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is the promise of nr_blocks kept? Pools are made when the module loads, of
 * sizes around what the magazines may hold. Each write to the parameter run
 * fills the magazines of every online CPU as far as they go, in two ways, and
 * then lets each CPU in turn take all the blocks that it can get: at least
 * nr_blocks, at most an eighth more (none more in an exact pool), none twice; and
 * when no other CPU is online, every block that the pool has: what the magazines
 * of the others held has come back.
 *
 * Then the same with heaps and a router, whose fronts are filled: as many blocks as
 * when the heap was new, and after blocks of many sizes went into the fronts, the
 * largest one.
 *
 *	echo 1 > /sys/module/quarry_promise/parameters/run
 *	cat /sys/module/quarry_promise/parameters/result	"ok", or what was broken
 */
#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <quarry/quarry.h>

#define MAX_BLOCKS	6000

static const struct {
	size_t nr;
	unsigned int flags, magazine;
} shapes[] = {
	{ 1 }, { 7 }, { 16 }, { 64 }, { 100 }, { 255 }, { 256 }, { 1000 },
	{ 1024 }, { 4096 }, { MAX_BLOCKS },
	{ 1000, 0, 1 }, { 1000, 0, 2 }, { 4096, 0, 7 },
	{ 64, QUARRY_POOL_EXACT }, { 1000, QUARRY_POOL_EXACT },
	{ 1000, QUARRY_POOL_STRICT }, { 4096, QUARRY_POOL_ZERO_ON_FREE },
};

#define NR_POOLS	ARRAY_SIZE(shapes)

/* Blocks of a router's class. */
#define CLASS_BLOCKS	256

static const struct {
	size_t size;
	unsigned int flags;
	bool router;
} heap_shapes[] = {
	{ 8 }, { 24 }, { 48 }, { 24, QUARRY_HEAP_NO_FRONT },
	{ 24, QUARRY_HEAP_BOUNDED }, { 64, 0, true }, { 2000, 0, true },
};

#define NR_HEAPS	ARRAY_SIZE(heap_shapes)

/**
 * struct source - where blocks come from
 * @pool: a pool
 * @heap: or a heap
 * @router: or a router
 * @size: of a block of these
 * @least: so many blocks are promised
 * @most: when it was new there were so many
 * @whole: the largest block of a new heap
 */
struct source {
	struct quarry_pool *pool;
	struct quarry_heap *heap;
	struct quarry_router *router;
	size_t size, least, most, whole;
};

static struct source pools[NR_POOLS], heaps[NR_HEAPS];
static char result[160] = "not run";
static unsigned int checks;
module_param(checks, uint, 0444);
MODULE_PARM_DESC(checks, "how often a CPU took all blocks");

/* One CPU's turn. */
struct turn {
	const struct source *from;
	void **blocks;
	size_t first, nr;
	bool mixed;	/* sizes, up to the largest that a front has */
};

static void *take_one(const struct turn *turn, size_t i)
{
	const struct source *from = turn->from;
	size_t size = turn->mixed ? 8 + i % 6 * 8 : from->size;

	if (from->pool)
		return quarry_pool_alloc(from->pool);
	return from->heap ? quarry_heap_alloc(from->heap, size) :
			    quarry_router_alloc(from->router, size, 0);
}

static void give_one(const struct source *from, void *block)
{
	if (from->pool)
		quarry_pool_free(from->pool, block);
	else if (from->heap)
		quarry_heap_free(from->heap, block);
	else
		quarry_router_free(from->router, block);
}

static void take_up_to(struct turn *turn, size_t most)
{
	for (turn->nr = 0; turn->nr < most; turn->nr++) {
		turn->blocks[turn->nr] = take_one(turn, turn->nr);
		if (!turn->blocks[turn->nr])
			break;
	}
}

static long give(void *arg)
{
	struct turn *turn = arg;
	size_t i;

	for (i = 0; i < turn->nr; i++)
		give_one(turn->from, turn->blocks[turn->first + i]);
	return 0;
}

static long take_and_give(void *arg)
{
	struct turn *turn = arg;

	take_up_to(turn, turn->nr);
	return give(turn);
}

static long take_all(void *arg)
{
	take_up_to(arg, MAX_BLOCKS * 2);
	return 0;
}

/* Each CPU takes and gives back what two magazines could hold, and more. */
static void warm_by_use(const struct source *from, void **blocks, bool mixed)
{
	struct turn turn = { .from = from, .blocks = blocks, .mixed = mixed };
	int cpu;

	for_each_online_cpu(cpu) {
		turn.nr = 3 * QUARRY_POOL_MAX_MAGAZINE;
		work_on_cpu(cpu, take_and_give, &turn);
	}
}

/* All blocks are out, and come back in equal parts over all CPUs. */
static void warm_by_return(const struct source *from, void **blocks)
{
	struct turn all = { .from = from, .blocks = blocks };
	size_t part, done = 0;
	int cpu;

	take_all(&all);
	part = DIV_ROUND_UP(all.nr, num_online_cpus());
	for_each_online_cpu(cpu) {
		struct turn turn = { from, blocks, done, min(part, all.nr - done) };

		work_on_cpu(cpu, give, &turn);
		done += turn.nr;
	}
}

static bool all_different(struct quarry_pool *pool, void **blocks, size_t nr)
{
	unsigned long *seen = bitmap_zalloc(MAX_BLOCKS * 2, GFP_KERNEL);
	bool good = seen;
	size_t i;

	for (i = 0; good && i < nr; i++) {
		long index = quarry_pool_index(pool, blocks[i]);

		good = index >= 0 && index < MAX_BLOCKS * 2 &&
		       !__test_and_set_bit(index, seen);
	}
	bitmap_free(seen);
	return good;
}

/* The spare ones included. */
static size_t blocks_of(struct quarry_pool *pool)
{
	size_t nr = quarry_pool_capacity(pool);

	while (quarry_pool_at(pool, nr))
		nr++;
	return nr;
}

static bool broken(int shape, int cpu, const char *what, size_t nr)
{
	scnprintf(result, sizeof(result), "nr_blocks %zu, flags %#x, magazine %u: CPU %d: %s, %zu",
		  shapes[shape].nr, shapes[shape].flags, shapes[shape].magazine,
		  cpu, what, nr);
	return false;
}

static bool kept_on(int shape, int cpu, void **blocks)
{
	struct quarry_pool *pool = pools[shape].pool;
	struct turn turn = { .from = &pools[shape], .blocks = blocks };
	size_t nr = shapes[shape].nr, most = nr;
	struct quarry_pool_stats stats;
	bool good;

	if (!(shapes[shape].flags & QUARRY_POOL_EXACT))
		most += nr / 8;
	work_on_cpu(cpu, take_all, &turn);
	good = all_different(pool, blocks, turn.nr);
	work_on_cpu(cpu, give, &turn);
	checks++;
	if (!good)
		return broken(shape, cpu, "a block came twice", turn.nr);
	if (turn.nr < nr)
		return broken(shape, cpu, "got too few blocks", turn.nr);
	if (turn.nr > most)
		return broken(shape, cpu, "more than an eighth is spare", turn.nr);
	if (num_online_cpus() == 1 && turn.nr < blocks_of(pool))
		return broken(shape, cpu, "a CPU that is away keeps blocks", turn.nr);
	quarry_pool_get_stats(pool, &stats);
	if (stats.live)
		return broken(shape, cpu, "live after all were freed", stats.live);
	if (quarry_pool_verify(pool))
		return broken(shape, cpu, "verify failed", 0);
	return true;
}

static bool kept(int shape, void **blocks)
{
	int cpu;

	for_each_online_cpu(cpu) {
		warm_by_use(&pools[shape], blocks, false);
		if (!kept_on(shape, cpu, blocks))
			return false;
		warm_by_return(&pools[shape], blocks);
		if (!kept_on(shape, cpu, blocks))
			return false;
	}
	return true;
}

/* Heaps, and a router's class and heap */

static bool heap_broken(int shape, int cpu, const char *what, size_t nr)
{
	scnprintf(result, sizeof(result), "%s of %zu bytes, flags %#x: CPU %d: %s, %zu",
		  heap_shapes[shape].router ? "router" : "heap",
		  heap_shapes[shape].size, heap_shapes[shape].flags, cpu, what, nr);
	return false;
}

static u64 live_of(const struct source *from)
{
	struct quarry_router_stats router;
	struct quarry_heap_stats heap;

	if (from->heap) {
		quarry_heap_get_stats(from->heap, &heap);
		return heap.live;
	}
	quarry_router_get_stats(from->router, &router);
	return router.live;
}

/* Do fronts hold something back? Else this would be no test. */
static bool is_warm(int shape)
{
	struct quarry_heap_stats stats;

	if (heap_shapes[shape].router || heap_shapes[shape].flags)
		return true;
	quarry_heap_get_stats(heaps[shape].heap, &stats);
	return stats.cached;
}

static bool heap_kept_on(int shape, int cpu, void **blocks)
{
	const struct source *from = &heaps[shape];
	struct turn turn = { .from = from, .blocks = blocks };
	u64 live;

	if (!is_warm(shape))
		return heap_broken(shape, cpu, "no front is warm", 0);
	work_on_cpu(cpu, take_all, &turn);
	live = live_of(from);
	work_on_cpu(cpu, give, &turn);
	checks++;
	if (live != turn.nr)
		return heap_broken(shape, cpu, "a block came twice", turn.nr);
	if (turn.nr < from->least)
		return heap_broken(shape, cpu, "got too few blocks", turn.nr);
	if (turn.nr > from->most)
		return heap_broken(shape, cpu, "more than when it was new", turn.nr);
	live = live_of(from);
	if (live)
		return heap_broken(shape, cpu, "live after all were freed", live);
	if (from->heap ? quarry_heap_verify(from->heap) :
			 quarry_router_verify(from->router))
		return heap_broken(shape, cpu, "verify failed", 0);
	return true;
}

static long take_whole(void *arg)
{
	const struct source *from = arg;
	void *block = quarry_heap_alloc(from->heap, from->whole);

	quarry_heap_free(from->heap, block);
	return block ? 0 : -ENOMEM;
}

static bool heap_kept(int shape, void **blocks)
{
	struct source *from = &heaps[shape];
	int cpu;

	for_each_online_cpu(cpu) {
		warm_by_use(from, blocks, false);
		if (!heap_kept_on(shape, cpu, blocks))
			return false;
		warm_by_return(from, blocks);
		if (!heap_kept_on(shape, cpu, blocks))
			return false;
		if (!from->heap)
			continue;
		warm_by_use(from, blocks, true);
		if (!is_warm(shape) || work_on_cpu(cpu, take_whole, from))
			return heap_broken(shape, cpu, "not one block again", from->whole);
	}
	return true;
}

static int run_set(const char *value, const struct kernel_param *param)
{
	void **blocks = vmalloc(sizeof(*blocks) * MAX_BLOCKS * 2);
	int shape;

	if (!blocks || !heaps[NR_HEAPS - 1].router) {	/* not made: given at insmod */
		vfree(blocks);
		return blocks ? -EAGAIN : -ENOMEM;
	}
	strscpy(result, "ok", sizeof(result));
	for (shape = 0; shape < NR_POOLS; shape++)
		if (!kept(shape, blocks))
			break;
	for (shape = 0; !strcmp(result, "ok") && shape < NR_HEAPS; shape++)
		heap_kept(shape, blocks);
	/*
	 * Left as the last warming leaves them, magazines and fronts are what the
	 * script's hotplug then finds.
	 */
	for (shape = 0; shape < NR_POOLS; shape++)
		warm_by_return(&pools[shape], blocks);
	for (shape = 0; shape < NR_HEAPS; shape++)
		warm_by_return(&heaps[shape], blocks);
	vfree(blocks);
	return 0;
}

static const struct kernel_param_ops run_ops = { .set = run_set };
module_param_cb(run, &run_ops, NULL, 0200);
MODULE_PARM_DESC(run, "write: try whether the promise is kept");
module_param_string(result, result, sizeof(result), 0444);
MODULE_PARM_DESC(result, "ok, or what was broken in the last run");

static void destroy_all(void)
{
	int shape;

	for (shape = 0; shape < NR_POOLS; shape++)
		quarry_pool_destroy(pools[shape].pool);
	for (shape = 0; shape < NR_HEAPS; shape++) {
		quarry_heap_destroy(heaps[shape].heap);
		quarry_router_destroy(heaps[shape].router);
	}
}

static int __init pools_create(void)
{
	int shape;

	for (shape = 0; shape < NR_POOLS; shape++) {
		struct quarry_pool_args args = {
			.flags = shapes[shape].flags,
			.magazine = shapes[shape].magazine,
		};

		pools[shape].pool = quarry_pool_create("promise", 32,
						       shapes[shape].nr, &args);
		if (IS_ERR(pools[shape].pool))
			return -ENOMEM;
	}
	return 0;
}

static int __init heap_create(int shape)
{
	static const struct quarry_router_class classes[] = { { 64, CLASS_BLOCKS } };
	const struct quarry_router_args router_args = {
		.flags = QUARRY_ROUTER_STRICT,
		.classes = classes, .nr_classes = ARRAY_SIZE(classes),
	};
	const struct quarry_heap_args args = {
		.flags = heap_shapes[shape].flags, .front = SZ_4K * num_possible_cpus(),
	};
	struct source *from = &heaps[shape];

	from->size = heap_shapes[shape].size;
	if (heap_shapes[shape].router) {
		from->router = quarry_router_create("promise", SZ_128K, &router_args);
		return PTR_ERR_OR_ZERO(from->router);
	}
	from->heap = quarry_heap_create("promise", SZ_128K, &args);
	if (IS_ERR(from->heap))
		return PTR_ERR(from->heap);
	from->whole = quarry_heap_largest_free(from->heap);
	return 0;
}

static int __init heaps_create(void)
{
	void **blocks = vmalloc(sizeof(*blocks) * MAX_BLOCKS * 2);
	int shape, err = blocks ? 0 : -ENOMEM;

	for (shape = 0; !err && shape < NR_HEAPS; shape++) {
		struct turn turn = { .from = &heaps[shape], .blocks = blocks };

		err = heap_create(shape);
		if (err)
			break;
		take_all(&turn);
		heaps[shape].most = turn.nr;
		heaps[shape].least = heaps[shape].size == 64 ? CLASS_BLOCKS : turn.nr;
		give(&turn);
	}
	vfree(blocks);
	return err;
}

static int __init quarry_promise_init(void)
{
	int err = pools_create() ?: heaps_create();

	if (err)
		destroy_all();
	return err;
}

module_init(quarry_promise_init);
module_exit(destroy_all);
MODULE_DESCRIPTION("Test client of quarry that takes every block there is");
MODULE_LICENSE("GPL");
