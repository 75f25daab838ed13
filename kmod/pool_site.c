// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the live blocks of a pool were allocated (QUARRY_POOL_TRACK).
 *
 * A pool is called from few places, so that a byte a block says from which: a number
 * in a table of NR_SITES callers. Each is resolved to text when it first comes, since
 * its module may have gone when somebody asks.
 *
 * In any context, NMI included: an entry is taken by one compare-and-swap of its
 * address and kept for good. Who takes it writes its text; who finds it taken needs
 * its number alone. Texts are read when nobody uses the pool. A block's byte is its
 * owner's.
 */
#include <linux/atomic.h>
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/math.h>
#include "pool.h"

#define NR_SITES	64
#define NO_SITE		U8_MAX
#define SITES_TOLD	4

static_assert(NR_SITES < NO_SITE);

struct site {
	unsigned long caller;
	char text[88];
};

struct quarry_sites {
	struct site site[NR_SITES];
	u8 of[];		/* by block; NO_SITE when there were too many */
};

size_t quarry__sites_size(size_t nr_blocks)
{
	return round_up(sizeof(struct quarry_sites) + nr_blocks, 8);
}

static bool site_is(struct site *site, unsigned long caller)
{
	unsigned long old = READ_ONCE(site->caller);

	if (!old) {
		old = cmpxchg_relaxed(&site->caller, 0, caller);
		if (!old) {
			snprintf(site->text, sizeof(site->text), "%pS",
				 (void *)caller);
			return true;
		}
	}
	return old == caller;
}

void quarry__site_taken(struct quarry_pool *pool, u32 index, unsigned long caller)
{
	struct quarry_sites *sites = pool->sites;
	u32 i, nr = hash_long(caller, ilog2(NR_SITES));

	for (i = 0; i < NR_SITES; i++, nr = (nr + 1) % NR_SITES)
		if (site_is(&sites->site[nr], caller))
			break;
	WRITE_ONCE(sites->of[index], i < NR_SITES ? nr : NO_SITE);
}

struct telling {
	struct quarry_pool *pool;
	u32 nr;
};

static int tell(void *block, u32 index, void *arg)
{
	struct telling *telling = arg;
	struct quarry_sites *sites = telling->pool->sites;
	u8 nr = READ_ONCE(sites->of[index]);

	quarry__notice("pool \"%s\": block %u was allocated by %s",
		       telling->pool->object.name, index,
		       nr < NR_SITES ? sites->site[nr].text : "one of too many callers");
	return ++telling->nr == SITES_TOLD;
}

/* A line for each of the first few live blocks, before the pool is closed. */
void quarry__sites_tell(struct quarry_pool *pool)
{
	struct telling telling = { .pool = pool };

	if (pool->sites)
		quarry_pool_for_each_live(pool, tell, &telling);
}
