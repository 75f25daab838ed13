// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarry: table of contents. What is set up, in which order; exit begins with the
 * registry, which gives back what orphans hold, and then each kind its handles.
 * Clients cannot be loaded before init has returned, and the symbols they use pin
 * the module, so that exit runs alone: what it finds are objects whose modules have
 * gone.
 */
#include <linux/module.h>
#include "internal.h"

static int __init quarry_init(void)
{
	int err;

	quarry__debugfs_init();
	err = quarry__registry_init();
	if (err)
		goto err_registry;
	err = quarry__pool_init();
	if (err)
		goto err_pool;
	err = quarry__percpu_arena_init();
	if (err)
		goto err_percpu_arena;
	return 0;

err_percpu_arena:
	quarry__pool_exit();
err_pool:
	quarry__registry_exit();
err_registry:
	quarry__debugfs_exit();
	return err;
}

static void __exit quarry_exit(void)
{
	quarry__registry_exit();
	quarry__router_exit();
	quarry__wrappers_exit();
	quarry__system_exit();
	quarry__stack_exit();
	quarry__heap_exit();
	quarry__pool_exit();
	quarry__bump_exit();
	quarry__percpu_arena_exit();
	quarry__arena_exit();
	quarry__debugfs_exit();
}

module_init(quarry_init);
module_exit(quarry_exit);
MODULE_VERSION("0.1");
MODULE_DESCRIPTION("Allocators for kernel modules: bounded, named, in any context");
MODULE_LICENSE("GPL");
