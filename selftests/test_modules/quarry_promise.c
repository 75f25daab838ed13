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
 *	echo 1 > /sys/module/quarry_promise/parameters/run
 *	cat /sys/module/quarry_promise/parameters/result	"ok", or what was broken
 */
#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/module.h>
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

static struct quarry_pool *pools[NR_POOLS];
static char result[160] = "not run";
static unsigned int checks;
module_param(checks, uint, 0444);
MODULE_PARM_DESC(checks, "how often a CPU took all blocks of a pool");

/* One CPU's turn. */
struct turn {
	struct quarry_pool *pool;
	void **blocks;
	size_t first, nr;
};

static long take_and_give(void *arg)
{
	struct turn *turn = arg;
	size_t nr;

	for (nr = 0; nr < turn->nr; nr++) {
		turn->blocks[nr] = quarry_pool_alloc(turn->pool);
		if (!turn->blocks[nr])
			break;
	}
	while (nr--)
		quarry_pool_free(turn->pool, turn->blocks[nr]);
	return 0;
}

static long take_all(void *arg)
{
	struct turn *turn = arg;

	for (turn->nr = 0; turn->nr < MAX_BLOCKS * 2; turn->nr++) {
		turn->blocks[turn->nr] = quarry_pool_alloc(turn->pool);
		if (!turn->blocks[turn->nr])
			break;
	}
	return 0;
}

static long give(void *arg)
{
	struct turn *turn = arg;
	size_t i;

	for (i = 0; i < turn->nr; i++)
		quarry_pool_free(turn->pool, turn->blocks[turn->first + i]);
	return 0;
}

/* Each CPU takes and gives back what two magazines could hold, and more. */
static void warm_by_use(struct quarry_pool *pool, void **blocks)
{
	struct turn turn = { .pool = pool, .blocks = blocks };
	int cpu;

	turn.nr = 3 * QUARRY_POOL_MAX_MAGAZINE;
	for_each_online_cpu(cpu)
		work_on_cpu(cpu, take_and_give, &turn);
}

/* All blocks are out, and come back in equal parts over all CPUs. */
static void warm_by_return(struct quarry_pool *pool, void **blocks)
{
	struct turn all = { .pool = pool, .blocks = blocks };
	size_t part, done = 0;
	int cpu;

	take_all(&all);
	part = DIV_ROUND_UP(all.nr, num_online_cpus());
	for_each_online_cpu(cpu) {
		struct turn turn = { pool, blocks, done, min(part, all.nr - done) };

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
	struct quarry_pool *pool = pools[shape];
	struct turn turn = { .pool = pool, .blocks = blocks };
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
		warm_by_use(pools[shape], blocks);
		if (!kept_on(shape, cpu, blocks))
			return false;
		warm_by_return(pools[shape], blocks);
		if (!kept_on(shape, cpu, blocks))
			return false;
	}
	return true;
}

static int run_set(const char *value, const struct kernel_param *param)
{
	void **blocks = vmalloc(sizeof(*blocks) * MAX_BLOCKS * 2);
	int shape;

	if (!blocks || !pools[0]) {	/* no pools: given at insmod */
		vfree(blocks);
		return blocks ? -EAGAIN : -ENOMEM;
	}
	strscpy(result, "ok", sizeof(result));
	for (shape = 0; shape < NR_POOLS; shape++)
		if (!kept(shape, blocks))
			break;
	/*
	 * Left as the last warming leaves them, the magazines are what the
	 * script's hotplug then finds.
	 */
	for (shape = 0; shape < NR_POOLS; shape++)
		warm_by_return(pools[shape], blocks);
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
		quarry_pool_destroy(pools[shape]);
}

static int __init quarry_promise_init(void)
{
	int shape;

	for (shape = 0; shape < NR_POOLS; shape++) {
		struct quarry_pool_args args = {
			.flags = shapes[shape].flags,
			.magazine = shapes[shape].magazine,
		};

		pools[shape] = quarry_pool_create("promise", 32,
						  shapes[shape].nr, &args);
		if (IS_ERR(pools[shape])) {
			destroy_all();
			return -ENOMEM;
		}
	}
	return 0;
}

module_init(quarry_promise_init);
module_exit(destroy_all);
MODULE_DESCRIPTION("Test client of quarry that takes every block of its pools");
MODULE_LICENSE("GPL");
