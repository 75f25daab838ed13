/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the heap's algorithm needs of a kernel, for user space. The one file of
 * shims: kmod/heap_core.c and heap_check.c are compiled as they are. (scripts/fuzz.sh
 * says what __cold and noinline are, and which function the fuzzer calls.)
 */
#ifndef QUARRY_FUZZ_SHIM_H
#define QUARRY_FUZZ_SHIM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <linux/types.h>

typedef __u64 u64;
typedef __u32 u32;
typedef __u8 u8;

#define U32_MAX		0xffffffffU
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define WRITE_ONCE(var, value)	__atomic_store_n(&(var), value, __ATOMIC_RELAXED)
#define OPTIMIZER_HIDE_VAR(var)	__asm__("" : "+r"(var))

static inline u64 min(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 max(u64 a, u64 b)
{
	return a > b ? a : b;
}

static inline u32 __ffs(u64 word)
{
	return __builtin_ctzll(word);
}

static inline u32 __fls(u64 word)
{
	return 63 - __builtin_clzll(word);
}

static inline void __set_bit(unsigned long nr, unsigned long *map)
{
	map[nr / 64] |= 1UL << nr % 64;
}

static inline void __clear_bit(unsigned long nr, unsigned long *map)
{
	map[nr / 64] &= ~(1UL << nr % 64);
}

static inline u64 roundup_pow_of_two(u64 n)
{
	return n < 2 ? 1 : 1ULL << (64 - __builtin_clzll(n - 1));
}

/* A word is about to be read: whoever overwrites it just then is with the fuzzer. */
#ifdef FUZZ_READS
void fuzz_read(const void *at);
#else
static inline void fuzz_read(const void *at)
{
	(void)at;
}
#endif

static inline u64 quarry__peek(const u64 *at)
{
	fuzz_read(at);
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void quarry__poke(u64 *at, u64 value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static inline u64 quarry__peek32(const u32 *at)
{
	fuzz_read(at);
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void quarry__poke32(u32 *at, u32 value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static inline bool quarry__same(const u64 *at, u64 value)
{
	return quarry__peek(at) == value;
}

static inline bool quarry__same32(const u32 *at, u32 value)
{
	return quarry__peek32(at) == value;
}

static inline void quarry__flip(u64 *at, u64 bits)
{
	__atomic_fetch_xor(at, bits, __ATOMIC_RELAXED);
}

static inline bool quarry__swap(u64 *at, u64 from, u64 to)
{
	return __atomic_compare_exchange_n(at, &from, to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

#endif /* QUARRY_FUZZ_SHIM_H */
