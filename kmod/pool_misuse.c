// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a pool says of misuse. Cold: each ends in the funnel, report.c. In any
 * context; the owner of a stray pointer is looked up under RCU.
 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include "pool.h"

/*
 * A number on a list of a block that is not free (or is on the loose list a
 * second time): two frees of it have raced. This one is dropped.
 */
void quarry__pool_duplicate(struct quarry_pool *pool, u32 index)
{
	this_cpu_inc(pool->hot.cpu->duplicates);
	quarry__report("pool \"%s\": block %u was freed twice at once, one is dropped",
		       pool->object.name, index);
}

/* What is wrong with a pointer that starts no block, or none that is live. */
static enum refusal reason(struct quarry_pool *pool, unsigned long address,
			   u64 index)
{
	if (pool->closed)
		return REFUSED_DEAD;
	if (address - pool->hot.base >= pool->nr * pool->hot.stride)
		return REFUSED_FOREIGN;
	if (index < pool->nr)
		return REFUSED_DOUBLE;
	return IS_ALIGNED(address, pool->align) ? REFUSED_INTERIOR :
						  REFUSED_MISALIGNED;
}

/* Frees that are refused end here: one counter, one report, no change. */
bool quarry__pool_refuse(struct quarry_pool *pool, u64 index,
			 unsigned long caller)
{
	static const char * const names[NR_REFUSALS] = {
		[REFUSED_FOREIGN]	= "foreign pointer",
		[REFUSED_OWNER]		= "pointer",
		[REFUSED_MISALIGNED]	= "misaligned pointer into",
		[REFUSED_INTERIOR]	= "interior pointer into",
		[REFUSED_DOUBLE]	= "double free of",
		[REFUSED_DEAD]		= "destroyed pool",
	};
	unsigned long address =
		(unsigned long)quarry_pool_hot_address(&pool->hot, index);
	unsigned long offset = address - pool->hot.base;
	enum refusal why = reason(pool, address, index);
	const char *kind, *name;
	long other = -1;

	rcu_read_lock();
	if (why == REFUSED_FOREIGN)
		other = quarry__find(address, &pool->object, &kind, &name);
	if (other >= 0)
		why = REFUSED_OWNER;
	atomic_long_inc(&pool->refused[why]);
	if (why == REFUSED_OWNER)
		quarry__report("pool \"%s\": free refused: pointer of %s \"%s\" block %ld, by %pS",
			       pool->object.name, kind, name, other,
			       (void *)caller);
	else if (why == REFUSED_FOREIGN || why == REFUSED_DEAD)
		quarry__report("pool \"%s\": free refused: %s, by %pS",
			       pool->object.name, names[why], (void *)caller);
	else
		quarry__report("pool \"%s\": free refused: %s block %lu (offset %lu), by %pS",
			       pool->object.name, names[why],
			       offset / (unsigned long)pool->hot.stride,
			       offset % (unsigned long)pool->hot.stride,
			       (void *)caller);
	rcu_read_unlock();
	return false;
}

/* In place of a pool: NULL, or the error of a create that nobody looked at. */
bool quarry__pool_refuse_handle(struct quarry_pool *pool, unsigned long caller)
{
	quarry__report("not a pool: %ld in place of a handle, by %pS",
		       PTR_ERR(pool), (void *)caller);
	return false;
}
