// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sanitizers; see sanitize.h. This file alone writes KASAN's shadow and is
 * built without KASAN. The shadow of a block belongs to whoever owns the block:
 * it is poisoned by the free, before the block is on a list, and unpoisoned by
 * the alloc, after it has left it; in any context, NMI included.
 *
 * kmemleak takes locks, so it is called where those may be taken and nowhere
 * else. A block that was registered may be freed where it cannot be
 * unregistered; @tracked remembers which blocks kmemleak knows, since to
 * register one twice would stop kmemleak for good.
 */
#include <linux/kasan.h>
#include <linux/kmemleak.h>
#include <linux/kmsan-checks.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/preempt.h>
#include "pool.h"

/* As mm/kasan/kasan.h has them, so that reports say what they mean. */
#define SHADOW_FREE	0xFB
#define SHADOW_REDZONE	0xFC
#define GRANULE		8

size_t quarry__stride(size_t size, size_t align, bool borrowed)
{
	size_t unit = align, stride = size;

	if (QUARRY_KASAN && !borrowed) {
		unit = max_t(size_t, align, GRANULE);
		if (IS_ALIGNED(size, unit) && unit <= 64)
			stride += unit;		/* else no redzone at all */
	}
	return round_up(stride, unit);
}

u64 quarry__mem_word(const void *p)
{
	u64 value;

	data_race(memcpy(&value, p, sizeof(value)));	/* see sanitize.h */
	return value;
}

#if QUARRY_KASAN

u64 quarry__peek(const u64 *at)
{
	return READ_ONCE(*at);
}

void quarry__poke(u64 *at, u64 value)
{
	WRITE_ONCE(*at, value);
}

u64 quarry__peek32(const u32 *at)
{
	return READ_ONCE(*at);
}

void quarry__poke32(u32 *at, u32 value)
{
	WRITE_ONCE(*at, value);
}

void quarry__flip(u64 *at, u64 bits)
{
	atomic64_xor(bits, (atomic64_t *)at);
}

bool quarry__swap(u64 *at, u64 from, u64 to)
{
	return try_cmpxchg(at, &from, to);
}

static bool region_has_shadow(const struct quarry_region *region)
{
	return !region->borrowed || region->carved ||
	       (IS_ALIGNED((unsigned long)region->base, GRANULE) &&
		!is_vmalloc_or_module_addr(region->base) &&
		virt_addr_valid(region->base));
}

static bool pool_has_shadow(const struct quarry_pool *pool)
{
	return IS_ALIGNED(pool->hot.base | pool->hot.stride, GRANULE) &&
	       region_has_shadow(&pool->blocks);
}

static void shadow_set(const void *p, size_t size, u8 value)
{
	memset(kasan_mem_to_shadow(p), value, DIV_ROUND_UP(size, GRANULE));
}

/* The last granule in part. */
static void unpoison(const void *p, size_t size)
{
	shadow_set(p, size, 0);
	if (size % GRANULE)
		*(u8 *)kasan_mem_to_shadow(p + size) = size % GRANULE;
}

void quarry__mem_taken(const struct quarry_region *region, const void *p,
		       size_t size)
{
	if (region_has_shadow(region))
		unpoison(p, size);
}

void quarry__mem_trim(const struct quarry_region *region, const void *p,
		      size_t size, size_t room)
{
	size_t body = round_up(size, GRANULE);

	if (!region_has_shadow(region))
		return;
	unpoison(p, size);
	if (room > body)
		shadow_set(p + body, room - body, SHADOW_REDZONE);
}

void quarry__mem_freed(const struct quarry_region *region, const void *p,
		       size_t size)
{
	/* The end of lent memory may share its granule with what is behind it. */
	if (region->borrowed && p + size == region->base + region->size)
		size = round_down(size, GRANULE);
	if (region_has_shadow(region))
		shadow_set(p, size, SHADOW_FREE);
}

void quarry__mem_restore(const struct quarry_region *region)
{
	if (region_has_shadow(region))
		unpoison(region->base, region->size);
}

/* The block itself and the padding behind it. */
static void unpoison_block(struct quarry_pool *pool, void *block)
{
	size_t body = round_up(pool->size, GRANULE);

	unpoison(block, pool->size);
	if (pool->hot.stride > body)
		shadow_set(block + body, pool->hot.stride - body,
			   SHADOW_REDZONE);
}

void quarry__block_taken(struct quarry_pool *pool, void *block)
{
	if (pool_has_shadow(pool))
		unpoison_block(pool, block);
}
EXPORT_SYMBOL_GPL(quarry__block_taken);

void quarry__block_freed(struct quarry_pool *pool, void *block)
{
	if (pool_has_shadow(pool))
		shadow_set(block, pool->hot.stride, SHADOW_FREE);
}
EXPORT_SYMBOL_GPL(quarry__block_freed);

/* Of our own memory, also what rounding to large pages has added. */
static size_t poisoned_size(const struct quarry_pool *pool)
{
	return pool->blocks.borrowed ? pool->total * pool->hot.stride :
				       round_up(pool->blocks.size, GRANULE);
}

void quarry__poison_all(struct quarry_pool *pool)
{
	if (pool_has_shadow(pool))
		shadow_set(pool->blocks.base, poisoned_size(pool), SHADOW_FREE);
}

void quarry__unpoison_all(struct quarry_pool *pool)
{
	if (pool_has_shadow(pool))
		shadow_set(pool->blocks.base, poisoned_size(pool), 0);
}

#else

void quarry__poison_all(struct quarry_pool *pool) { }
void quarry__unpoison_all(struct quarry_pool *pool) { }

#ifdef CONFIG_KMSAN
void quarry__mem_trim(const struct quarry_region *region, const void *p,
		      size_t size, size_t room)
{
}

void quarry__mem_taken(const struct quarry_region *region, const void *p,
		       size_t size)
{
	kmsan_poison_memory(p, size, GFP_NOWAIT);
}

void quarry__mem_freed(const struct quarry_region *region, const void *p,
		       size_t size)
{
}

void quarry__mem_restore(const struct quarry_region *region)
{
}

void quarry__block_taken(struct quarry_pool *pool, void *block)
{
	if (!pool->ctor && !(pool->flags & QUARRY_POOL_ZERO_ON_FREE))
		kmsan_poison_memory(block, pool->size, GFP_NOWAIT);
}
EXPORT_SYMBOL_GPL(quarry__block_taken);

void quarry__block_freed(struct quarry_pool *pool, void *block)
{
}
EXPORT_SYMBOL_GPL(quarry__block_freed);
#endif

#endif

#ifdef CONFIG_DEBUG_KMEMLEAK

static bool may_track(void)
{
	if (in_nmi() || in_hardirq() || irqs_disabled())
		return false;
	return !IS_ENABLED(CONFIG_PREEMPT_RT) || preemptible();
}

/* The region gives way to the blocks: kmemleak's objects may not overlap. */
void quarry__track_begin(struct quarry_pool *pool)
{
	if (pool->tracked && !pool->blocks.borrowed)
		kmemleak_free(pool->blocks.base);
}

void quarry__track_end(struct quarry_pool *pool)
{
	u32 index;

	if (!pool->tracked)
		return;
	for_each_set_bit(index, pool->tracked, pool->total)
		kmemleak_free(block_at(pool, index));
}

void quarry__track_alloc(struct quarry_pool *pool, u32 index)
{
	if (!may_track()) {
		this_cpu_inc(pool->hot.cpu->untracked);
		return;
	}
	if (test_and_set_bit(index, pool->tracked))
		kmemleak_free(block_at(pool, index));
	kmemleak_alloc(block_at(pool, index), pool->size, 1, GFP_NOWAIT);
}

/* The caller owns the block still: it is not on a list yet. */
void quarry__track_free(struct quarry_pool *pool, u32 index)
{
	if (!test_bit(index, pool->tracked))
		return;
	if (!may_track())
		this_cpu_inc(pool->hot.cpu->untracked);
	else if (test_and_clear_bit(index, pool->tracked))
		kmemleak_free(block_at(pool, index));
}

#endif
