// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarry's allocators that are linear: bump, per-CPU arena, arena, stack. Called
 * with constants, called with size and alignment known at run time alone (any),
 * inlined.
 */
#include <linux/err.h>
#include <linux/sizes.h>
#include <quarry/quarry.h>

#include "bench.h"

/*
 * The bumps: nothing is freed by itself. When one is full it is reset and the
 * request made again, in the branch that the loop has for NULL anyhow; the worst
 * alloc is with that reset.
 */
#define BENCH_BUMP	SZ_16M

/* What those take that have it at run time; the others take 64 bytes always. */
static size_t row_size;

static void *bump_create(size_t size)
{
	row_size = size;
	return quarry_bump_create("bench", BENCH_BUMP, NULL);
}

static void bump_destroy(void *handle)
{
	quarry_bump_destroy(handle);
}

static noinline void *bump_again(void *handle, size_t size)
{
	void *piece;

	do {
		quarry_bump_reset(handle);
		piece = quarry_bump_alloc(handle, size, 8);
	} while (!piece);
	return piece;
}

static __always_inline void *bump_alloc(void *handle)
{
	void *piece = quarry_bump_alloc(handle, 64, 8);

	return likely(piece) ? piece : bump_again(handle, 64);
}

/* Size and alignment known at run time alone. */
static __always_inline void *bump_any_alloc(void *handle)
{
	size_t size = row_size, align = 8;
	void *piece;

	asm volatile("" : "+r" (align));
	piece = quarry_bump_alloc(handle, size, align);
	return likely(piece) ? piece : bump_again(handle, size);
}

static __always_inline void *bump_inline_alloc(void *handle)
{
	void *piece = quarry_bump_alloc_inline(handle, 64, 8);

	return likely(piece) ? piece : bump_again(handle, 64);
}

#define BENCH_NAME			bump
#define BENCH_LABEL			"quarry_bump"
#define BENCH_MOST			64
#define BENCH_CREATE			bump_create
#define BENCH_DESTROY			bump_destroy
#define BENCH_LOCAL
#define BENCH_ALLOC(handle)		bump_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

#define BENCH_NAME			bump_any
#define BENCH_LABEL			"quarry_bump:any"
#define BENCH_CREATE			bump_create
#define BENCH_DESTROY			bump_destroy
#define BENCH_LOCAL
#define BENCH_ALLOC(handle)		bump_any_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

#define BENCH_NAME			bump_inline
#define BENCH_LABEL			"quarry_bump:inline"
#define BENCH_MOST			64
#define BENCH_CREATE			bump_create
#define BENCH_DESTROY			bump_destroy
#define BENCH_LOCAL
#define BENCH_ALLOC(handle)		bump_inline_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

static void *pcpu_create(size_t size)
{
	row_size = size;
	return quarry_percpu_arena_create("bench", BENCH_BUMP, NULL);
}

static void pcpu_destroy(void *handle)
{
	quarry_percpu_arena_destroy(handle);
}

/* Two CPUs may find it full at once: one resets. Nobody looks at the pieces. */
static noinline void *pcpu_again(void *handle, size_t size)
{
	void *piece;

	do {
		quarry_percpu_arena_reset(handle);
		piece = quarry_percpu_arena_alloc(handle, size, 8);
	} while (!piece);
	return piece;
}

static __always_inline void *pcpu_alloc(void *handle)
{
	void *piece = quarry_percpu_arena_alloc(handle, 64, 8);

	return likely(piece) ? piece : pcpu_again(handle, 64);
}

static __always_inline void *pcpu_any_alloc(void *handle)
{
	size_t size = row_size, align = 8;
	void *piece;

	asm volatile("" : "+r" (align));
	piece = quarry_percpu_arena_alloc(handle, size, align);
	return likely(piece) ? piece : pcpu_again(handle, size);
}

static __always_inline void *pcpu_inline_alloc(void *handle)
{
	void *piece = quarry_percpu_arena_alloc_inline(handle, 64, 8);

	return likely(piece) ? piece : pcpu_again(handle, 64);
}

#define BENCH_NAME			pcpu
#define BENCH_LABEL			"quarry_percpu"
#define BENCH_MOST			64
#define BENCH_CREATE			pcpu_create
#define BENCH_DESTROY			pcpu_destroy
#define BENCH_LOCAL
#define BENCH_ALLOC(handle)		pcpu_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

#define BENCH_NAME			pcpu_any
#define BENCH_LABEL			"quarry_percpu:any"
#define BENCH_CREATE			pcpu_create
#define BENCH_DESTROY			pcpu_destroy
#define BENCH_LOCAL
#define BENCH_ALLOC(handle)		pcpu_any_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

#define BENCH_NAME			pcpu_inline
#define BENCH_LABEL			"quarry_percpu:inline"
#define BENCH_MOST			64
#define BENCH_CREATE			pcpu_create
#define BENCH_DESTROY			pcpu_destroy
#define BENCH_LOCAL
#define BENCH_ALLOC(handle)		pcpu_inline_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

/* One owner; a full one is reset. */
static void *arena_create(size_t size)
{
	row_size = size;
	return quarry_arena_create("bench", BENCH_BUMP, NULL);
}

static void arena_destroy(void *handle)
{
	quarry_arena_destroy(handle);
}

static noinline void *arena_again(void *handle, size_t size)
{
	quarry_arena_reset(handle);
	return quarry_arena_alloc(handle, size, 8);
}

static __always_inline void *arena_alloc(void *handle)
{
	void *block = quarry_arena_alloc(handle, 64, 8);

	return likely(block) ? block : arena_again(handle, 64);
}

static __always_inline void *arena_any_alloc(void *handle)
{
	size_t size = row_size, align = 8;
	void *block;

	asm volatile("" : "+r" (align));
	block = quarry_arena_alloc(handle, size, align);
	return likely(block) ? block : arena_again(handle, size);
}

static __always_inline void *arena_inline_alloc(void *handle)
{
	void *block = quarry_arena_alloc_inline(handle, 64, 8);

	return likely(block) ? block : arena_again(handle, 64);
}

#define BENCH_NAME			arena
#define BENCH_LABEL			"quarry_arena"
#define BENCH_MOST			64
#define BENCH_CREATE			arena_create
#define BENCH_DESTROY			arena_destroy
#define BENCH_ONE_OWNER
#define BENCH_ALLOC(handle)		arena_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

#define BENCH_NAME			arena_any
#define BENCH_LABEL			"quarry_arena:any"
#define BENCH_CREATE			arena_create
#define BENCH_DESTROY			arena_destroy
#define BENCH_ONE_OWNER
#define BENCH_ALLOC(handle)		arena_any_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

#define BENCH_NAME			arena_inline
#define BENCH_LABEL			"quarry_arena:inline"
#define BENCH_MOST			64
#define BENCH_CREATE			arena_create
#define BENCH_DESTROY			arena_destroy
#define BENCH_ONE_OWNER
#define BENCH_ALLOC(handle)		arena_inline_alloc(handle)
#define BENCH_FREE(handle, block)	bench_no_free(handle, block)
#include "template.h"

/* The stack: blocks come back, the latest first. */
static void *stack_create(size_t size)
{
	row_size = size;
	return quarry_stack_create("bench", bench_blocks *
				   (size + QUARRY_STACK_WORD), NULL);
}

static void stack_destroy(void *handle)
{
	quarry_stack_destroy(handle);
}

#define BENCH_NAME			stack
#define BENCH_LABEL			"quarry_stack"
#define BENCH_CREATE			stack_create
#define BENCH_DESTROY			stack_destroy
#define BENCH_ONE_OWNER
#define BENCH_FINITE
#define BENCH_LIFO
#define BENCH_ALLOC(handle)		quarry_stack_push(handle, row_size, 8)
#define BENCH_FREE(handle, block)	quarry_stack_pop(handle, block)
#include "template.h"

#define BENCH_NAME			stack_inline
#define BENCH_LABEL			"quarry_stack:inline"
#define BENCH_MOST			64
#define BENCH_CREATE			stack_create
#define BENCH_DESTROY			stack_destroy
#define BENCH_ONE_OWNER
#define BENCH_FINITE
#define BENCH_LIFO
#define BENCH_ALLOC(handle)		quarry_stack_push_inline(handle, 64, 8)
#define BENCH_FREE(handle, block)	quarry_stack_pop_inline(handle, block)
#include "template.h"
