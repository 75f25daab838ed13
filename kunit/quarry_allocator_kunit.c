// SPDX-License-Identifier: GPL-2.0-only
/*
 * One interface, all backends: each case runs on each of them, and a backend's row
 * in the table states which rules it keeps. A rule that it does not keep is tested
 * too: then the opposite must be seen.
 */
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <quarry/quarry.h>
#include "irq_util.h"
#include "kunit_util.h"
#include "section_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random operations (0: a new one)");

#define NR_BLOCKS	64
#define BLOCK_BYTES	512
#define REGION_SIZE	SZ_256K

/* Rules that not all keep. */
enum rule {
	/* A foreign pointer is refused and reported. */
	REFUSES_FOREIGN		= BIT(0),
	/* So is a second free. */
	REFUSES_DOUBLE		= BIT(1),
	/* An operation on a destroyed object is refused and reported. */
	REFUSES_DEAD		= BIT(2),
	/* There is an end: alloc gives NULL at some time. */
	IS_BOUNDED		= BIT(3),
	/* A request above BLOCK_BYTES bytes gets NULL. */
	ONE_SIZE		= BIT(4),
	/* Free of the last block makes room for another. */
	FREES_LAST		= BIT(5),
	/* Blocks must be freed in the reverse order of their allocs. */
	IS_LIFO			= BIT(6),
	/* The alloc may be called with interrupts off. */
	IN_HARDIRQ		= BIT(7),
	/* Freed blocks can be handed out again at once. */
	FREES_EACH		= BIT(8),
	/* An alloc with interrupts off is refused and reported. */
	REFUSES_HARDIRQ		= BIT(9),
	/* Realloc makes the last block larger where it is. */
	GROWS_LAST		= BIT(10),
};

struct bench;

struct backend {
	const char *name;
	unsigned int rules;
	int (*make)(struct bench *b);
	void (*unmake)(struct bench *b);
};

/* One test's objects: what the allocator is over, and wrappers on it. */
struct bench {
	const struct backend *backend;
	struct quarry_allocator a;
	struct quarry_pool *pool;
	struct quarry_heap *heap;
	struct quarry_bump *bump;
	struct quarry_percpu_arena *percpu;
	struct quarry_arena *arena;
	struct quarry_stack *stack;
	struct quarry_router *router;
	struct quarry_wrapper *wrapper[3];
	bool gone;
};

static int pool_make(struct bench *b)
{
	const struct quarry_pool_args args = {
		.align = 64, .flags = QUARRY_POOL_EXACT,
	};

	b->pool = quarry_pool_create("backend", BLOCK_BYTES, NR_BLOCKS, &args);
	b->a = quarry_pool_allocator(b->pool);
	return PTR_ERR_OR_ZERO(b->pool);
}

static void pool_unmake(struct bench *b)
{
	quarry_pool_destroy(b->pool);
}

static int system_make(struct bench *b)
{
	b->a = quarry_system_allocator(GFP_KERNEL);
	return 0;
}

static int atomic_make(struct bench *b)
{
	b->a = quarry_system_allocator(GFP_ATOMIC);
	return 0;
}

static void system_unmake(struct bench *b)
{
}

static int heap_make(struct bench *b)
{
	b->heap = quarry_heap_create("backend", REGION_SIZE, NULL);
	b->a = quarry_heap_allocator(b->heap);
	return PTR_ERR_OR_ZERO(b->heap);
}

static void heap_unmake(struct bench *b)
{
	quarry_heap_destroy(b->heap);
}

static int bump_make(struct bench *b)
{
	b->bump = quarry_bump_create("backend", REGION_SIZE, NULL);
	b->a = quarry_bump_allocator(b->bump);
	return PTR_ERR_OR_ZERO(b->bump);
}

static void bump_unmake(struct bench *b)
{
	quarry_bump_destroy(b->bump);
}

static int percpu_make(struct bench *b)
{
	b->percpu = quarry_percpu_arena_create("backend", REGION_SIZE, NULL);
	b->a = quarry_percpu_arena_allocator(b->percpu);
	return PTR_ERR_OR_ZERO(b->percpu);
}

static void percpu_unmake(struct bench *b)
{
	quarry_percpu_arena_destroy(b->percpu);
}

static int arena_make(struct bench *b)
{
	b->arena = quarry_arena_create("backend", REGION_SIZE, NULL);
	b->a = quarry_arena_allocator(b->arena);
	return PTR_ERR_OR_ZERO(b->arena);
}

static void arena_unmake(struct bench *b)
{
	quarry_arena_destroy(b->arena);
}

static int stack_make(struct bench *b)
{
	b->stack = quarry_stack_create("backend", REGION_SIZE, NULL);
	b->a = quarry_stack_allocator(b->stack);
	return PTR_ERR_OR_ZERO(b->stack);
}

static void stack_unmake(struct bench *b)
{
	quarry_stack_destroy(b->stack);
}

static const struct quarry_router_class classes[] = {
	{ 64, NR_BLOCKS }, { BLOCK_BYTES, NR_BLOCKS },
};

static int router_make_with(struct bench *b, gfp_t gfp)
{
	const struct quarry_router_args args = {
		.classes = classes, .nr_classes = ARRAY_SIZE(classes),
	};

	b->router = quarry_router_create("backend", REGION_SIZE, &args);
	b->a = quarry_router_allocator(b->router, gfp);
	return PTR_ERR_OR_ZERO(b->router);
}

static int router_make(struct bench *b)
{
	return router_make_with(b, 0);
}

static int open_router_make(struct bench *b)
{
	return router_make_with(b, GFP_KERNEL);
}

static void router_unmake(struct bench *b)
{
	quarry_router_destroy(b->router);
}

static int wrap(struct bench *b, int i, struct quarry_wrapper *wrapper)
{
	if (IS_ERR(wrapper))
		return PTR_ERR(wrapper);
	b->wrapper[i] = wrapper;
	b->a = quarry_wrapper_allocator(wrapper);
	return 0;
}

static int counting_make(struct bench *b)
{
	return pool_make(b) ?: wrap(b, 0, quarry_counting_create("count", &b->a));
}

static int logging_make(struct bench *b)
{
	return pool_make(b) ?: wrap(b, 0, quarry_logging_create("log", &b->a));
}

static int failing_make(struct bench *b)
{
	return pool_make(b) ?:
	       wrap(b, 0, quarry_failing_create("fail", &b->a, NULL));
}

static void wrapped_unmake(struct bench *b)
{
	quarry_wrapper_destroy(b->wrapper[0]);
	quarry_pool_destroy(b->pool);
}

/* All three on each other, over the system. */
static int stacked_make(struct bench *b)
{
	b->a = quarry_system_allocator(GFP_KERNEL);
	return wrap(b, 0, quarry_counting_create("inner", &b->a)) ?:
	       wrap(b, 1, quarry_failing_create("middle", &b->a, NULL)) ?:
	       wrap(b, 2, quarry_logging_create("outer", &b->a));
}

static void stacked_unmake(struct bench *b)
{
	quarry_wrapper_destroy(b->wrapper[2]);
	quarry_wrapper_destroy(b->wrapper[1]);
	quarry_wrapper_destroy(b->wrapper[0]);
}

#define POOL_RULES (REFUSES_FOREIGN | REFUSES_DOUBLE | REFUSES_DEAD |	\
		    IS_BOUNDED | ONE_SIZE | FREES_LAST | FREES_EACH |	\
		    IN_HARDIRQ | GROWS_LAST)

#define HEAP_RULES (REFUSES_FOREIGN | REFUSES_DOUBLE | REFUSES_DEAD |	\
		    IS_BOUNDED | FREES_LAST | FREES_EACH | IN_HARDIRQ |	\
		    GROWS_LAST)
#define ROUTER_RULES (HEAP_RULES & ~GROWS_LAST)
#define BUMP_RULES (REFUSES_FOREIGN | REFUSES_DEAD | IS_BOUNDED | IN_HARDIRQ)
#define ARENA_RULES (REFUSES_FOREIGN | REFUSES_DOUBLE | REFUSES_DEAD |	\
		     IS_BOUNDED | FREES_LAST | IN_HARDIRQ | GROWS_LAST)
#define STACK_RULES (REFUSES_FOREIGN | REFUSES_DOUBLE | REFUSES_DEAD |	\
		     IS_BOUNDED | FREES_LAST | IS_LIFO | IN_HARDIRQ |	\
		     GROWS_LAST)

static const struct backend backends[] = {
	{ "pool", POOL_RULES, pool_make, pool_unmake },
	{ "heap", HEAP_RULES, heap_make, heap_unmake },
	{ "bump", BUMP_RULES, bump_make, bump_unmake },
	{ "percpu_arena", BUMP_RULES, percpu_make, percpu_unmake },
	{ "arena", ARENA_RULES, arena_make, arena_unmake },
	{ "stack", STACK_RULES, stack_make, stack_unmake },
	{ "router", ROUTER_RULES, router_make, router_unmake },
	{ "router, then system", ROUTER_RULES & ~(IS_BOUNDED | IN_HARDIRQ),
	  open_router_make, router_unmake },
	{ "system", FREES_LAST | FREES_EACH | REFUSES_HARDIRQ, system_make, system_unmake },
	{ "system, atomic", FREES_LAST | FREES_EACH | IN_HARDIRQ, atomic_make,
	  system_unmake },
	{ "counting over pool", POOL_RULES, counting_make, wrapped_unmake },
	{ "logging over pool", POOL_RULES, logging_make, wrapped_unmake },
	{ "failing over pool", POOL_RULES, failing_make, wrapped_unmake },
	{ "all three over system",
	  FREES_LAST | FREES_EACH | REFUSES_DEAD | REFUSES_HARDIRQ,
	  stacked_make, stacked_unmake },
};

static void backend_desc(const struct backend *backend, char *desc)
{
	strscpy(desc, backend->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(backend, backends, backend_desc);

static void unmake(void *arg)
{
	struct bench *b = arg;

	if (!b->gone)
		b->backend->unmake(b);
	b->gone = true;
}

static struct bench *make(struct kunit *test)
{
	struct bench *b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, b);
	b->backend = test->param_value;
	KUNIT_ASSERT_EQ(test, 0, b->backend->make(b));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, unmake, b));
	return b;
}

static bool keeps(const struct bench *b, enum rule rule)
{
	return b->backend->rules & rule;
}

/* The largest that this backend serves, of some sizes. */
static size_t largest_of(const struct bench *b)
{
	return keeps(b, ONE_SIZE) ? BLOCK_BYTES : SZ_16K;
}

static void put(struct bench *b, void *ptr, size_t size, size_t align)
{
	quarry_allocator_free(&b->a, ptr, quarry_layout_make(size, align));
}

static void *get(struct bench *b, size_t size, size_t align)
{
	return quarry_allocator_alloc(&b->a, quarry_layout_make(size, align));
}

/* Cases */

static void published_flags_agree_with_rules(struct kunit *test)
{
	struct bench *b = make(test);
	unsigned int flags = b->a.flags;

	KUNIT_EXPECT_EQ(test, !!(flags & QUARRY_ALLOCATOR_FREES_EACH),
			keeps(b, FREES_EACH));
	KUNIT_EXPECT_EQ(test, !!(flags & QUARRY_ALLOCATOR_ATOMIC),
			keeps(b, IN_HARDIRQ));
	/* One of both, and NMI only where it is atomic. */
	KUNIT_EXPECT_NE(test, !!(flags & QUARRY_ALLOCATOR_ATOMIC),
			!!(flags & QUARRY_ALLOCATOR_MAY_SLEEP));
	if (flags & QUARRY_ALLOCATOR_NMI)
		KUNIT_EXPECT_TRUE(test, flags & QUARRY_ALLOCATOR_ATOMIC);
	KUNIT_EXPECT_TRUE(test, is_power_of_2(b->a.max_align));
}

static void blocks_are_aligned_and_apart(struct kunit *test)
{
	struct bench *b = make(test);
	size_t size, align, nr = 0, i;
	struct { u8 *ptr; size_t size, align; } got[48];

	for (size = 1; size <= largest_of(b); size = size * 3 + 1) {
		for (align = 1; align <= min_t(size_t, b->a.max_align, SZ_8K) &&
		     nr < ARRAY_SIZE(got); align *= 8) {
			u8 *ptr = get(b, size, align);

			KUNIT_ASSERT_NOT_NULL(test, ptr);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, align));
			memset(ptr, nr + 1, size);
			got[nr].ptr = ptr;
			got[nr].size = size;
			got[nr++].align = align;
		}
	}
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_NULL(test, memchr_inv(got[i].ptr, i + 1, got[i].size));
	while (nr--)
		put(b, got[nr].ptr, got[nr].size, got[nr].align);
}

static void largest_alignment_is_served(struct kunit *test)
{
	struct bench *b = make(test);
	/* The heap's is larger than the region. */
	size_t align = min_t(size_t, b->a.max_align, SZ_32K);
	void *ptr = get(b, 24, align);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, align));
	memset(ptr, 1, 24);
	put(b, ptr, 24, align);
}

static void zalloc_clears(struct kunit *test)
{
	struct bench *b = make(test);
	size_t size = largest_of(b);
	struct quarry_layout layout = quarry_layout_make(size, 8);
	int i;

	for (i = 0; i < 3; i++) {
		void *ptr = quarry_allocator_zalloc(&b->a, layout);

		KUNIT_ASSERT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0, size));
		memset(ptr, 0xa5, size);
		quarry_allocator_free(&b->a, ptr, layout);
	}
}

static void *resize(struct bench *b, void *ptr, size_t old, size_t size)
{
	return quarry_allocator_realloc(&b->a, ptr, quarry_layout_make(old, 8),
					quarry_layout_make(size, 8));
}

static void realloc_keeps_the_contents(struct kunit *test)
{
	struct bench *b = make(test);
	size_t large = largest_of(b);
	void *other, *ptr = resize(b, NULL, 0, 40);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0x11, 40);
	other = keeps(b, IS_LIFO) ? NULL : get(b, 40, 8);
	ptr = resize(b, ptr, 40, large);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x11, 40));
	memset(ptr, 0x22, large);
	ptr = resize(b, ptr, large, 24);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x22, 24));
	put(b, ptr, 24, 8);
	put(b, other, 40, 8);
}

static void last_block_grows_where_it_is(struct kunit *test)
{
	struct bench *b = make(test);
	void *ptr = get(b, 40, 8), *moved;

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	moved = resize(b, ptr, 40, 400);
	KUNIT_ASSERT_NOT_NULL(test, moved);
	KUNIT_EXPECT_EQ(test, moved == ptr, keeps(b, GROWS_LAST));
	memset(moved, 0x11, 400);
	put(b, moved, 400, 8);
}

/* A stack cannot move a block: it is NULL there when the address does not suit. */
static void realloc_aligns(struct kunit *test)
{
	struct bench *b = make(test);
	struct quarry_layout old = quarry_layout_make(40, 8);
	size_t align = min_t(size_t, b->a.max_align, SZ_1K);
	void *first = keeps(b, IS_LIFO) ? NULL : get(b, 40, 8);
	void *ptr = get(b, 40, 8), *moved;

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0x11, 40);
	moved = quarry_allocator_realloc(&b->a, ptr, old,
					 quarry_layout_make(60, align));
	if (moved) {
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)moved, align));
		KUNIT_EXPECT_NULL(test, memchr_inv(moved, 0x11, 40));
		put(b, moved, 60, align);
	} else {
		KUNIT_EXPECT_TRUE(test, keeps(b, IS_LIFO));
		put(b, ptr, 40, 8);
	}
	put(b, first, 40, 8);
}

static void failed_realloc_leaves_the_block(struct kunit *test)
{
	struct bench *b = make(test);
	void *ptr = get(b, 40, 8);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0x11, 40);
	KUNIT_EXPECT_NULL(test, resize(b, ptr, 40, SZ_1T));
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x11, 40));
	if (keeps(b, IS_BOUNDED))
		KUNIT_EXPECT_NULL(test, resize(b, ptr, 40, 2 * REGION_SIZE));
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x11, 40));
	KUNIT_EXPECT_NULL(test, resize(b, ptr, 40, 0));
	expect_reports(test, 1, "realloc refused: size 0");
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x11, 40));
	put(b, ptr, 40, 8);
}

/* What a heap publishes is its own, and is served and no more. */
static void heap_publishes_its_own_limits(struct kunit *test)
{
	static const struct quarry_heap_args shapes[] = {
		{ }, { .flags = QUARRY_HEAP_BOUNDED }, { .max_request = 3000 },
	};
	struct quarry_heap *heap;
	struct quarry_allocator a;
	struct quarry_layout l;
	void *ptr;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		heap = quarry_heap_create("limits", SZ_1M, &shapes[i]);
		KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(heap));
		a = quarry_heap_allocator(heap);
		KUNIT_EXPECT_EQ(test, a.max_size, shapes[i].max_request ?:
				QUARRY_HEAP_MAX_REGION);
		KUNIT_EXPECT_EQ(test, a.max_align, shapes[i].flags ? PAGE_SIZE :
				QUARRY_HEAP_MAX_ALIGN);
		l = quarry_layout_make(100, min_t(size_t, a.max_align, SZ_64K));
		ptr = quarry_allocator_alloc(&a, l);
		KUNIT_EXPECT_NOT_NULL(test, ptr);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, l.align));
		quarry_allocator_free(&a, ptr, l);
		l = quarry_layout_make(100, 2 * a.max_align);
		KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&a, l));
		expect_blamed(test, "heap allocator: alloc refused: alignment above");
		l = quarry_layout_make(min_t(size_t, a.max_size, SZ_64K), 8);
		ptr = quarry_allocator_alloc(&a, l);
		KUNIT_EXPECT_NOT_NULL(test, ptr);
		quarry_allocator_free(&a, ptr, l);
		l.size = a.max_size + 1;
		KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&a, l));
		quarry_heap_destroy(heap);
	}
}

static void too_large_a_size_is_null_without_a_report(struct kunit *test)
{
	struct bench *b = make(test);

	KUNIT_EXPECT_NULL(test, get(b, SZ_1T, 8));
	KUNIT_EXPECT_NULL(test, get(b, LONG_MAX - 7, 8));
	if (keeps(b, ONE_SIZE))
		KUNIT_EXPECT_NULL(test, get(b, BLOCK_BYTES + 1, 8));
}

static void invalid_layout_is_refused(struct kunit *test)
{
	struct bench *b = make(test);
	struct quarry_layout good = quarry_layout_make(40, 8);
	struct quarry_layout bad = QUARRY_LAYOUT_ARRAY(u64, SIZE_MAX / 4);
	void *ptr = quarry_allocator_alloc(&b->a, good);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	KUNIT_EXPECT_NULL(test, quarry_allocator_alloc(&b->a, bad));
	expect_blamed(test, "alloc refused: invalid layout");
	KUNIT_EXPECT_NULL(test, quarry_allocator_zalloc(&b->a, bad));
	expect_blamed(test, "alloc refused: invalid layout");
	KUNIT_EXPECT_NULL(test, quarry_allocator_realloc(&b->a, ptr, good, bad));
	expect_blamed(test, "realloc refused: invalid layout");
	KUNIT_EXPECT_NULL(test, quarry_allocator_realloc(&b->a, ptr, bad, good));
	expect_blamed(test, "realloc refused: invalid layout");
	quarry_allocator_free(&b->a, ptr, bad);
	expect_blamed(test, "free refused: invalid layout");
	quarry_allocator_free(&b->a, ptr, good);
}

static void size_zero_is_refused(struct kunit *test)
{
	struct bench *b = make(test);

	KUNIT_EXPECT_NULL(test, get(b, 0, 8));
	expect_blamed(test, "alloc refused: size 0");
}

static void alignment_above_the_largest_is_refused(struct kunit *test)
{
	struct bench *b = make(test);

	KUNIT_EXPECT_NULL(test, get(b, 40, 2 * b->a.max_align));
	expect_blamed(test, "alloc refused: alignment");
}

static void free_of_null_is_ignored(struct kunit *test)
{
	struct bench *b = make(test);

	put(b, NULL, 40, 8);
	quarry_allocator_free(&b->a, NULL, QUARRY_LAYOUT_INVALID);
}

static void foreign_pointer_is_refused(struct kunit *test)
{
	struct bench *b = make(test);
	u64 mine[5];

	if (!keeps(b, REFUSES_FOREIGN))
		kunit_skip(test, "%s cannot tell", b->backend->name);
	put(b, mine, 40, 8);
	expect_blamed(test, "refused");
	KUNIT_EXPECT_NULL(test, resize(b, mine, 40, 80));
	expect_blamed(test, "refused");
}

static void double_free_is_refused(struct kunit *test)
{
	struct bench *b = make(test);
	void *ptr;

	if (!keeps(b, REFUSES_DOUBLE))
		kunit_skip(test, "%s cannot tell", b->backend->name);
	ptr = get(b, 40, 8);
	put(b, ptr, 40, 8);
	put(b, ptr, 40, 8);
	expect_blamed(test, "refused");
}

static void misaligned_pointer_is_refused(struct kunit *test)
{
	struct bench *b = make(test);
	void *ptr = get(b, 40, 64);

	KUNIT_ASSERT_NOT_NULL(test, ptr);
	put(b, ptr + 8, 40, 64);
	expect_blamed(test, "misaligned");
	put(b, ptr, 40, 64);
}

/* More blocks than there is room for, where there is an end; a few elsewhere. */
static size_t rounds_of(const struct bench *b)
{
	return keeps(b, IS_BOUNDED) ? REGION_SIZE / BLOCK_BYTES * 5 / 4 : 64;
}

/* More pairs than there is room for. */
static void freed_blocks_come_again(struct kunit *test)
{
	struct bench *b = make(test);
	size_t i, nr = rounds_of(b);

	for (i = 0; i < nr; i++) {
		void *ptr = get(b, BLOCK_BYTES, 8);

		if (!ptr)
			break;
		put(b, ptr, BLOCK_BYTES, 8);
	}
	KUNIT_EXPECT_EQ(test, i == nr, keeps(b, FREES_LAST));
}

/* Two at a time, the older freed first. */
static void blocks_that_are_not_the_last_come_again(struct kunit *test)
{
	struct bench *b = make(test);
	size_t i, nr = rounds_of(b);
	void *old, *ptr = NULL;

	if (keeps(b, IS_LIFO))
		kunit_skip(test, "%s frees in reverse order", b->backend->name);
	old = get(b, BLOCK_BYTES, 8);
	for (i = 0; i < nr; i++) {
		ptr = get(b, BLOCK_BYTES, 8);
		if (!ptr)
			break;
		put(b, old, BLOCK_BYTES, 8);
		old = ptr;
	}
	KUNIT_EXPECT_EQ(test, i == nr, keeps(b, FREES_EACH));
	put(b, old, BLOCK_BYTES, 8);
}

static void exhaustion_is_null_and_heals(struct kunit *test)
{
	struct bench *b = make(test);
	size_t room = 2 * REGION_SIZE / BLOCK_BYTES, nr = 0;
	void **blocks;

	if (!keeps(b, IS_BOUNDED))
		kunit_skip(test, "%s has no end", b->backend->name);
	blocks = new_table(test, room);
	while (nr < room && (blocks[nr] = get(b, BLOCK_BYTES, 8)))
		nr++;
	KUNIT_EXPECT_LT(test, nr, room);
	KUNIT_EXPECT_GE(test, nr, NR_BLOCKS);
	KUNIT_EXPECT_NULL(test, get(b, BLOCK_BYTES, 8));
	while (nr)
		put(b, blocks[--nr], BLOCK_BYTES, 8);
	blocks[0] = get(b, BLOCK_BYTES, 8);
	KUNIT_EXPECT_EQ(test, !!blocks[0], keeps(b, FREES_LAST));
	put(b, blocks[0], BLOCK_BYTES, 8);
	kvfree(blocks);
}

static void destroyed_object_refuses(struct kunit *test)
{
	struct bench *b = make(test);
	u64 mine[5];

	if (!keeps(b, REFUSES_DEAD))
		kunit_skip(test, "%s has no object", b->backend->name);
	unmake(b);
	KUNIT_EXPECT_NULL(test, get(b, 40, 8));
	expect_blamed(test, "");
	put(b, mine, 40, 8);
	expect_blamed(test, "");
	KUNIT_EXPECT_NULL(test, resize(b, mine, 40, 80));
	KUNIT_EXPECT_GE(test, atomic_xchg(&capture.nr, 0), 1);
}

struct irq_job {
	struct bench *bench;
	void *ptr;
};

static void alloc_here(void *arg)
{
	struct irq_job *job = arg;

	job->ptr = get(job->bench, 40, 8);
}

static void free_here(void *arg)
{
	struct irq_job *job = arg;

	put(job->bench, job->ptr, 40, 8);
}

/* The system's slab may not be called in a hard irq on PREEMPT_RT. */
static bool serves_hardirq(const struct bench *b)
{
	if (keeps(b, REFUSES_HARDIRQ))
		return false;
	return !IS_ENABLED(CONFIG_PREEMPT_RT) || b->a.ops->name[0] != 's' ||
	       (b->a.flags & QUARRY_ALLOCATOR_NMI);
}

static void hardirq_is_served_or_refused(struct kunit *test)
{
	struct bench *b = make(test);
	struct irq_job job = { .bench = b };

	run_in_irq(alloc_here, &job);
	KUNIT_EXPECT_EQ(test, !!job.ptr, serves_hardirq(b));
	if (!job.ptr) {
		expect_reports(test, 1, "not in this context");
		job.ptr = get(b, 40, 8);
	}
	/* Free is for any context that alloc is for, and the system's for all. */
	run_in_irq(free_here, &job);
}

static void atomic_system_is_served_where_it_may_be(struct kunit *test)
{
	const struct section *section = test->param_value;
	struct bench b = { .a = quarry_system_allocator(GFP_ATOMIC) };
	struct irq_job job = { .bench = &b };

	section->run(alloc_here, &job);
	KUNIT_EXPECT_EQ(test, !!job.ptr,
			!IS_ENABLED(CONFIG_PREEMPT_RT) || !section->raw);
	expect_reports(test, !job.ptr, "not in this context");
	section->run(free_here, &job);
}

/* Beside a model: what each live block should contain. */
struct slot {
	u8 *ptr;
	size_t size, align;
	u8 fill;
};

struct model {
	struct bench *bench;
	struct rnd_state random;
	struct slot slot[16];
	int nr;
	u8 fill;
};

static u32 pick(struct model *m, u32 below)
{
	return prandom_u32_state(&m->random) % below;
}

static struct quarry_layout any_layout(struct model *m)
{
	size_t most = min_t(size_t, largest_of(m->bench), SZ_2K);
	size_t align = BIT(pick(m, 7));	/* the pool's is 64 */

	return quarry_layout_make(1 + pick(m, BIT(pick(m, ilog2(most) + 1))), align);
}

/* The slot that may be changed: of a stack the last. */
static struct slot *any_slot(struct model *m)
{
	return &m->slot[keeps(m->bench, IS_LIFO) ? m->nr - 1 : pick(m, m->nr)];
}

static void keep_slot(struct kunit *test, struct model *m, struct slot *slot,
		      void *ptr, struct quarry_layout layout)
{
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)ptr, layout.align));
	*slot = (struct slot){ ptr, layout.size, layout.align, ++m->fill };
	memset(ptr, slot->fill, slot->size);
}

static void model_alloc(struct kunit *test, struct model *m)
{
	struct quarry_layout layout = any_layout(m);
	bool zero = pick(m, 2);
	void *ptr = zero ? quarry_allocator_zalloc(&m->bench->a, layout) :
			   quarry_allocator_alloc(&m->bench->a, layout);

	if (!ptr) {
		KUNIT_EXPECT_TRUE(test, keeps(m->bench, IS_BOUNDED));
		return;
	}
	if (zero)
		KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0, layout.size));
	keep_slot(test, m, &m->slot[m->nr++], ptr, layout);
}

static void model_realloc(struct kunit *test, struct model *m)
{
	struct quarry_layout layout = any_layout(m);
	struct slot *slot = any_slot(m);
	void *ptr = quarry_allocator_realloc(&m->bench->a, slot->ptr,
					     quarry_layout_make(slot->size, slot->align),
					     layout);

	if (!ptr)	/* full, or a stack's block at an address that does not suit */
		return;
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, slot->fill,
					   min(slot->size, layout.size)));
	keep_slot(test, m, slot, ptr, layout);
}

static void model_free(struct model *m)
{
	struct slot *slot = any_slot(m);

	put(m->bench, slot->ptr, slot->size, slot->align);
	*slot = m->slot[--m->nr];
}

static void random_operations_agree_with_a_model(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	u64 start = seed ?: get_random_u64();
	int step, i;

	KUNIT_ASSERT_NOT_NULL(test, m);
	kunit_info(test, "seed %llu", start);
	prandom_seed_state(&m->random, start);
	m->bench = make(test);
	for (step = 0; step < 400; step++) {
		if (!m->nr || (m->nr < ARRAY_SIZE(m->slot) && pick(m, 3) == 0))
			model_alloc(test, m);
		else if (pick(m, 2))
			model_realloc(test, m);
		else
			model_free(m);
		for (i = 0; i < m->nr; i++)
			KUNIT_ASSERT_NULL(test, memchr_inv(m->slot[i].ptr,
							   m->slot[i].fill,
							   m->slot[i].size));
	}
	while (m->nr)
		model_free(m);
}

static struct kunit_case allocator_cases[] = {
	KUNIT_CASE_PARAM(published_flags_agree_with_rules, backend_gen_params),
	KUNIT_CASE_PARAM(blocks_are_aligned_and_apart, backend_gen_params),
	KUNIT_CASE_PARAM(largest_alignment_is_served, backend_gen_params),
	KUNIT_CASE_PARAM(zalloc_clears, backend_gen_params),
	KUNIT_CASE_PARAM(realloc_keeps_the_contents, backend_gen_params),
	KUNIT_CASE_PARAM(last_block_grows_where_it_is, backend_gen_params),
	KUNIT_CASE_PARAM(realloc_aligns, backend_gen_params),
	KUNIT_CASE_PARAM(failed_realloc_leaves_the_block, backend_gen_params),
	KUNIT_CASE(heap_publishes_its_own_limits),
	KUNIT_CASE_PARAM(too_large_a_size_is_null_without_a_report, backend_gen_params),
	KUNIT_CASE_PARAM(invalid_layout_is_refused, backend_gen_params),
	KUNIT_CASE_PARAM(size_zero_is_refused, backend_gen_params),
	KUNIT_CASE_PARAM(alignment_above_the_largest_is_refused, backend_gen_params),
	KUNIT_CASE_PARAM(free_of_null_is_ignored, backend_gen_params),
	KUNIT_CASE_PARAM(foreign_pointer_is_refused, backend_gen_params),
	KUNIT_CASE_PARAM(double_free_is_refused, backend_gen_params),
	KUNIT_CASE_PARAM(misaligned_pointer_is_refused, backend_gen_params),
	KUNIT_CASE_PARAM(freed_blocks_come_again, backend_gen_params),
	KUNIT_CASE_PARAM(blocks_that_are_not_the_last_come_again, backend_gen_params),
	KUNIT_CASE_PARAM(exhaustion_is_null_and_heals, backend_gen_params),
	KUNIT_CASE_PARAM(destroyed_object_refuses, backend_gen_params),
	KUNIT_CASE_PARAM(hardirq_is_served_or_refused, backend_gen_params),
	KUNIT_CASE_PARAM(atomic_system_is_served_where_it_may_be, section_gen_params),
	KUNIT_CASE_PARAM(random_operations_agree_with_a_model, backend_gen_params),
	{}
};

static struct kunit_suite allocator_suite = {
	.name = "quarry_allocator",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = allocator_cases,
};

kunit_test_suite(allocator_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: one interface, all backends");
MODULE_LICENSE("GPL");
