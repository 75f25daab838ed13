// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that unloads with a bump, a per-CPU arena and one on its own memory
 * alive, and with resets of the second still waiting for their grace period. Their
 * callbacks are in this module's text, and each says so in the log: it must not run
 * after the text is gone.
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <quarry/quarry.h>

#define NR_RESETS	4

static struct quarry_bump *bump, *lent;
static struct quarry_percpu_arena *arena;
static u8 memory[4096];
static atomic_t called;

static void came_back(void *arg)
{
	pr_info("quarry_bump_orphan: callback %d of %d\n",
		atomic_inc_return(&called), NR_RESETS);
}

static int __init quarry_bump_orphan_init(void)
{
	const struct quarry_bump_args args = {
		.memory = memory, .memory_size = sizeof(memory),
	};

	bump = quarry_bump_create("orphan-bump", 4096, NULL);
	lent = quarry_bump_create("orphan-lent", sizeof(memory), &args);
	arena = quarry_percpu_arena_create("orphan-arena", 65536, NULL);
	if (!quarry_bump_alloc(bump, 100, 4) || !quarry_bump_alloc(lent, 10, 1) ||
	    !quarry_percpu_arena_alloc(arena, 200, 8)) {
		quarry_bump_destroy(bump);
		quarry_bump_destroy(lent);
		quarry_percpu_arena_destroy(arena);
		return -ENOMEM;
	}
	return 0;
}

/* Nothing is destroyed, on purpose. */
static void __exit quarry_bump_orphan_exit(void)
{
	int i;

	for (i = 0; i < NR_RESETS; i++)
		if (quarry_percpu_arena_reset_rcu(arena, came_back, NULL))
			pr_err("quarry_bump_orphan: reset %d was refused\n", i);
	if (!quarry_percpu_arena_alloc(arena, 64, 8))
		pr_err("quarry_bump_orphan: no memory\n");
}

module_init(quarry_bump_orphan_init);
module_exit(quarry_bump_orphan_exit);
MODULE_DESCRIPTION("A client of quarry that leaves bumps behind");
MODULE_LICENSE("GPL");
