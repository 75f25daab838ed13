/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What KASAN, KMSAN and kmemleak are told of a pool's blocks. Everything here is
 * empty without them.
 *
 * KASAN (generic, with CONFIG_KASAN_VMALLOC): a free block is poisoned as a freed
 * slab object, the padding behind a block as a redzone. Strides are rounded to
 * KASAN's granule of 8 bytes, and blocks that would have no padding get some if
 * they are aligned to 64 bytes or less.
 * Only memory whose shadow is real is touched: what quarry has vmalloc'd, and
 * caller's memory in the linear map. Caller's memory is unpoisoned at destroy.
 *
 * kmemleak: a region is one object, scanned, that is itself no leak. With
 * %QUARRY_POOL_LEAK_TRACK each live block is an object of its own instead.
 *
 * KMSAN: a block handed out is uninitialised. Compile-tested only.
 */
#ifndef QUARRY_SANITIZE_H
#define QUARRY_SANITIZE_H

#include <linux/kconfig.h>

struct quarry_pool;

#define QUARRY_KASAN (IS_ENABLED(CONFIG_KASAN_GENERIC) && \
		      IS_ENABLED(CONFIG_KASAN_VMALLOC))

/* Bytes from block to block. */
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
