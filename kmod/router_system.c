// SPDX-License-Identifier: GPL-2.0-only
/*
 * The router's last resort: blocks of the system, and the record of those that
 * live. Who may touch a slot: router.h.
 */
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/rcupdate.h>
#include "router.h"

static struct router_slot *slot_at(const struct quarry_router *router,
				   const void *ptr, unsigned int i)
{
	u32 first = hash_ptr(ptr, router->slot_bits);

	return &router->slot[(first + i) & (BIT(router->slot_bits) - 1)];
}

/* The slot that has @ptr, or NULL; the caller keeps the block from being freed. */
struct router_slot *quarry__router_slot(const struct quarry_router *router,
					const void *ptr)
{
	struct router_slot *slot;
	unsigned int i;

	/* What a slot has that holds no block is no block's address. */
	if ((unsigned long)ptr <= SLOT_TAKEN)
		return NULL;
	for (i = 0; router->slot && i < WINDOW; i++) {
		slot = slot_at(router, ptr, i);
		if (atomic_long_read(&slot->address) == (long)ptr)
			return slot;
	}
	return NULL;
}

static bool record(struct quarry_router *router, void *ptr, size_t size)
{
	struct router_slot *slot;
	unsigned int i;

	for (i = 0; i < WINDOW; i++) {
		slot = slot_at(router, ptr, i);
		if (atomic_long_read(&slot->address) ||
		    atomic_long_cmpxchg(&slot->address, 0, SLOT_TAKEN))
			continue;
		WRITE_ONCE(slot->size, size);
		/* Release: who finds the address finds the size. */
		atomic_long_set_release(&slot->address, (long)ptr);
		return true;
	}
	return false;
}

/* True for one of those who try. */
static bool forget(struct quarry_router *router, void *ptr)
{
	struct router_slot *slot = quarry__router_slot(router, ptr);

	return slot && atomic_long_cmpxchg(&slot->address, (long)ptr, 0) == (long)ptr;
}

/* One more, if that is not too many. */
static bool reserve(struct quarry_router *router)
{
	long live = atomic_long_inc_return(&router->system_live);
	long peak = atomic_long_read(&router->system_peak);

	if (live > (long)router->system_max) {
		atomic_long_dec(&router->system_live);
		return false;
	}
	while (live > peak &&
	       !atomic_long_try_cmpxchg_relaxed(&router->system_peak, &peak, live))
		;
	return true;
}

/* Counted, asked for and recorded; as @asking says, not at one instant. */
static void *ask(struct quarry_router *router, size_t size, size_t align,
		 gfp_t gfp)
{
	void *ptr;

	if (!reserve(router)) {
		this_cpu_inc(router->cpu->system_full);
		return NULL;
	}
	ptr = quarry__system_alloc(size, align, gfp | __GFP_NOWARN);
	if (ptr && record(router, ptr, size)) {
		this_cpu_inc(router->cpu->system_allocs);
		return ptr;
	}
	if (ptr) {
		this_cpu_inc(router->cpu->system_full);
		quarry__system_free(ptr);
	}
	atomic_long_dec(&router->system_live);
	return NULL;
}

void *quarry__router_system_alloc(struct quarry_router *router, size_t size,
				  size_t align, gfp_t gfp)
{
	void *ptr;

	if (!router->slot || !gfp || !quarry__system_allows(gfp)) {
		this_cpu_inc(router->cpu->not_allowed);
		return NULL;
	}
	atomic_inc(&router->asking);
	ptr = ask(router, size, align, gfp);
	atomic_dec_return_release(&router->asking);
	return ptr;
}

/* False when the block is not the system's. Any context. */
bool quarry__router_system_free(struct quarry_router *router, void *ptr)
{
	bool was_ours;

	rcu_read_lock();	/* verify waits for what is between the two */
	was_ours = forget(router, ptr);
	if (was_ours)
		atomic_long_dec(&router->system_live);
	rcu_read_unlock();
	if (!was_ours)
		return false;
	this_cpu_inc(router->cpu->system_frees);
	if (quarry__system_free(ptr))
		this_cpu_inc(router->cpu->system_deferred);
	return true;
}
