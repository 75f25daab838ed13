/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What KASAN, KMSAN and kmemleak are told of a region's memory. Everything here
 * is empty without them.
 *
 * KASAN (generic, with CONFIG_KASAN_VMALLOC): memory that is not handed out is
 * poisoned as a freed slab object, the padding behind a block as a redzone.
 * Arenas, bumps, stacks and heaps round what they hand out to %QUARRY_GRANULE.
 * For pools: Strides are rounded to
 * KASAN's granule of 8 bytes, and blocks that would have no padding get some if
 * they are aligned to 64 bytes or less.
 * Only memory whose shadow is real is touched: what quarry has vmalloc'd, and
 * caller's memory in the linear map, and parts of a region that quarry itself has
 * lent. Caller's memory is unpoisoned at destroy.
 *
 * kmemleak: a region is one object, scanned, that is itself no leak. With
 * %QUARRY_POOL_LEAK_TRACK each live block is an object of its own instead.
 *
 * KMSAN: a block handed out is uninitialised. Compiled for it by clang in make lint, and
 * never run.
 */
#ifndef QUARRY_SANITIZE_H
#define QUARRY_SANITIZE_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/kconfig.h>
#include <linux/types.h>

struct quarry_pool;
struct quarry_region;

#define QUARRY_KASAN (IS_ENABLED(CONFIG_KASAN_GENERIC) && \
		      IS_ENABLED(CONFIG_KASAN_VMALLOC))

/* What a piece of memory is rounded to, so that none shares a byte of shadow. */
#define QUARRY_GRANULE (QUARRY_KASAN ? 8UL : 1UL)

/*
 * A piece of a region: handed out, @size bytes of it to be used, or not. @p is
 * aligned to the granule; what stands in its last granule behind @size is not to
 * be used. In any context, by whoever owns the piece.
 */
#if QUARRY_KASAN || defined(CONFIG_KMSAN)
void quarry__mem_taken(const struct quarry_region *region, const void *p,
		       size_t size);
void quarry__mem_freed(const struct quarry_region *region, const void *p,
		       size_t size);
void quarry__mem_trim(const struct quarry_region *region, const void *p,
		      size_t size, size_t room);
void quarry__mem_restore(const struct quarry_region *region);
#else
static inline void quarry__mem_taken(const struct quarry_region *region,
				     const void *p, size_t size) { }
static inline void quarry__mem_freed(const struct quarry_region *region,
				     const void *p, size_t size) { }
/* Handed out with @room bytes, of which @size were asked for. */
static inline void quarry__mem_trim(const struct quarry_region *region,
				    const void *p, size_t size, size_t room) { }
/* All of it may be used: before it is unmapped or given back to its owner. */
static inline void quarry__mem_restore(const struct quarry_region *region) { }
#endif

/*
 * A word, aligned or not, read where nothing is instrumented: it may be poisoned,
 * and may be written meanwhile. For walks that check what they read.
 */
u64 quarry__mem_word(const void *p);

/*
 * Words that quarry keeps in memory that is poisoned for all others: a heap's
 * headers and links. Flip and swap are atomic; swap is a full barrier when it
 * succeeds.
 */
#if QUARRY_KASAN
u64 quarry__peek(const u64 *at);
void quarry__poke(u64 *at, u64 value);
u64 quarry__peek32(const u32 *at);
void quarry__poke32(u32 *at, u32 value);
void quarry__flip(u64 *at, u64 bits);
bool quarry__swap(u64 *at, u64 from, u64 to);

static inline bool quarry__same(const u64 *at, u64 value)
{
	return quarry__peek(at) == value;
}

static inline bool quarry__same32(const u32 *at, u32 value)
{
	return quarry__peek32(at) == value;
}
#else
/*
 * Plain accesses become memory operands with an index, which volatile ones do not. What
 * was read is hidden from the compiler, so that it is not read again once it was checked.
 */
static __always_inline u64 quarry__peek(const u64 *at)
{
	u64 value = data_race(*at);	/* it is checked, or changed by the two below */

	OPTIMIZER_HIDE_VAR(value);
	return value;
}

static __always_inline void quarry__poke(u64 *at, u64 value)
{
	data_race(*at = value);		/* the lock, or the caller's block */
}

static __always_inline u64 quarry__peek32(const u32 *at)
{
	u64 value = data_race(*at);	/* likewise; wide, as it is used to count from a base */

	OPTIMIZER_HIDE_VAR(value);
	return value;
}

static __always_inline void quarry__poke32(u32 *at, u32 value)
{
	data_race(*at = value);		/* likewise */
}

/* What is not used but for that need not be hidden. */
static __always_inline bool quarry__same(const u64 *at, u64 value)
{
	return data_race(*at) == value;		/* as in quarry__peek() */
}

static __always_inline bool quarry__same32(const u32 *at, u32 value)
{
	return data_race(*at) == value;		/* likewise */
}

static __always_inline void quarry__flip(u64 *at, u64 bits)
{
	atomic64_xor(bits, (atomic64_t *)at);
}

static __always_inline bool quarry__swap(u64 *at, u64 from, u64 to)
{
	return try_cmpxchg(at, &from, to);
}
#endif

/* Bytes from block to block of a pool. */
size_t quarry__stride(size_t size, size_t align, bool borrowed);

void quarry__poison_all(struct quarry_pool *pool);
void quarry__unpoison_all(struct quarry_pool *pool);

#ifdef CONFIG_DEBUG_KMEMLEAK
void quarry__track_begin(struct quarry_pool *pool);
void quarry__track_end(struct quarry_pool *pool);
void quarry__track_alloc(struct quarry_pool *pool, u32 index);
void quarry__track_free(struct quarry_pool *pool, u32 index);
#else
static inline void quarry__track_begin(struct quarry_pool *pool) { }
static inline void quarry__track_end(struct quarry_pool *pool) { }
static inline void quarry__track_alloc(struct quarry_pool *pool, u32 index) { }
static inline void quarry__track_free(struct quarry_pool *pool, u32 index) { }
#endif

#endif /* QUARRY_SANITIZE_H */
