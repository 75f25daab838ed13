// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules of an arena that go well: blocks, growth, marks, deferred calls,
 * children, figures, and what is left of one whose module is gone. What is refused:
 * quarry_arena_misuse_kunit.c.
 */
#include <linux/align.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "../kmod/arena.h"
#include "arena_util.h"
#include "kunit_file.h"

#define STEP	QUARRY_ARENA_STEP

static bool aligned_to(const void *p, size_t align)
{
	return IS_ALIGNED((unsigned long)p, align);
}

static void blocks_lie_side_by_side(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	u8 *a = quarry_arena_alloc(arena, 3, 1);
	u8 *b = quarry_arena_alloc_inline(arena, 5, 1);
	u8 *c = quarry_arena_alloc_inline(arena, 64, 8);

	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_EXPECT_PTR_EQ(test, b, a + STEP(3));
	KUNIT_EXPECT_PTR_EQ(test, c, a + ALIGN(STEP(3) + STEP(5), 8));
	memset(a, 1, 3);
	memset(b, 2, 5);
	memset(c, 3, 64);
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), c + 64 - a);
	KUNIT_EXPECT_EQ(test, quarry_arena_capacity(arena), 4096);
	expect_good_arena(test, arena);
}

static void all_alignments_are_kept(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 8 * 4096, NULL);
	size_t align;

	for (align = 1; align <= QUARRY_ARENA_MAX_ALIGN; align *= 2) {
		void *called = quarry_arena_alloc(arena, 1, align);

		KUNIT_ASSERT_NOT_NULL(test, called);
		KUNIT_EXPECT_TRUE(test, aligned_to(called, align));
	}
	KUNIT_EXPECT_TRUE(test, aligned_to(quarry_arena_alloc_inline(arena, 1, 64), 64));
	KUNIT_EXPECT_TRUE(test, aligned_to(quarry_arena_alloc_inline(arena, 1, 4096), 4096));
	expect_good_arena(test, arena);
}

/* Each behind a block of one byte; the second time in memory that ends anywhere. */
static void constant_alignments_are_kept(struct kunit *test)
{
	struct quarry_arena_args args = {
		.memory = kunit_kzalloc(test, 4096, GFP_KERNEL),
		.memory_size = 1016,
	};
	struct quarry_arena *arena;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		arena = create_arena(test, 1000, i ? &args : NULL);
		KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 1, 1));
		KUNIT_EXPECT_TRUE(test, aligned_to(quarry_arena_alloc(arena, 1, 2), 2));
		KUNIT_EXPECT_TRUE(test, aligned_to(quarry_arena_alloc(arena, 1, 4), 4));
		KUNIT_EXPECT_TRUE(test, aligned_to(quarry_arena_alloc(arena, 1, 8), 8));
		KUNIT_EXPECT_TRUE(test, aligned_to(quarry_arena_alloc(arena, 1, 1), 1));
		KUNIT_EXPECT_TRUE(test, aligned_to(quarry_arena_alloc(arena, 1, 16), 16));
		expect_good_arena(test, arena);
		destroy_arena(test, arena);
	}
}

/* Memory whose end is aligned to 8 and to no more. */
static void alignments_are_kept_in_callers_memory(struct kunit *test)
{
	u8 *memory = kunit_kzalloc(test, 16384, GFP_KERNEL);
	struct quarry_arena_args args = {
		.memory = PTR_ALIGN(memory, 4096) + 8, .memory_size = 8192 + 7,
	};
	struct quarry_arena *arena = create_arena(test, 8192, &args);
	size_t align;

	KUNIT_EXPECT_EQ(test, quarry_arena_capacity(arena), 8192);
	for (align = 1; align <= 2048; align *= 2) {
		void *block = quarry_arena_alloc(arena, 1, align);

		KUNIT_ASSERT_NOT_NULL(test, block);
		KUNIT_EXPECT_TRUE(test, aligned_to(block, align));
		KUNIT_EXPECT_TRUE(test, quarry_arena_owns(arena, block));
	}
	KUNIT_EXPECT_TRUE(test, aligned_to(quarry_arena_alloc_inline(arena, 8, 64), 64));
	expect_good_arena(test, arena);
	destroy_arena(test, arena);
	memset(memory, 1, 16384);	/* it is ours again */
}

static void last_byte_can_be_had(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 104, NULL);
	struct quarry_arena_stats before, after;

	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 96, 8));
	before = arena_stats(arena);
	KUNIT_EXPECT_EQ(test, before.largest_free, 8);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 9, 1));
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_sleep(arena, 9, 1));
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, SIZE_MAX, 1));
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, SIZE_MAX - 8, 4096));
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_sleep(arena, SIZE_MAX, 4096));
	KUNIT_EXPECT_EQ(test, quarry_arena_reserve(arena, 9), -ENOSPC);
	KUNIT_EXPECT_EQ(test, quarry_arena_reserve(arena, SIZE_MAX), -ENOSPC);
	KUNIT_EXPECT_EQ(test, quarry_arena_reserve(arena, 8), 0);
	after = arena_stats(arena);
	before.failures += 7;
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 8, 8));
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), 104);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 1, 1));
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_inline(arena, 1, 1));
	expect_good_arena(test, arena);
}

static void alloc_does_not_grow(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_64K };
	struct quarry_arena *arena = create_arena(test, 4096, &args);
	u8 *block;

	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 4000, 8));
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 100, 8));
	KUNIT_EXPECT_EQ(test, arena_stats(arena).chunks, 1);
	block = quarry_arena_alloc_sleep(arena, 100, 8);
	KUNIT_ASSERT_NOT_NULL(test, block);
	memset(block, 1, 100);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).chunks, 2);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).bytes_wasted, 96);
	KUNIT_EXPECT_EQ(test, quarry_arena_capacity(arena), 4096 + 8192);
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 8000, 8));
	expect_good_arena(test, arena);
}

/* Chunks of 4096, 12288 and what the limit leaves. */
static void chunks_grow_up_to_the_limit(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = 20004, .growth = 3 };
	struct quarry_arena *arena = create_arena(test, 4096, &args);
	u8 *first = quarry_arena_alloc(arena, 4096, 8);
	size_t nr = 0;

	KUNIT_ASSERT_NOT_NULL(test, first);
	memset(first, 5, 4096);
	while (quarry_arena_alloc_sleep(arena, 8, 8))
		nr++;
	KUNIT_EXPECT_EQ(test, nr, (20000 - 4096) / 8);
	KUNIT_EXPECT_EQ(test, quarry_arena_capacity(arena), 20000);
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), 20000);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).chunks, 3);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).grown, 2);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).failures, 1);
	KUNIT_EXPECT_NULL(test, memchr_inv(first, 5, 4096));	/* in its place */
	expect_good_arena(test, arena);
}

static void reserve_is_kept(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_64K };
	struct quarry_arena *arena = create_arena(test, 1024, &args);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 1000, 8));
	KUNIT_EXPECT_EQ(test, quarry_arena_reserve(arena, 10000), 0);
	KUNIT_EXPECT_EQ(test, quarry_arena_reserve(arena, 10000), 0);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).chunks, 2);
	for (i = 0; i < 1250; i++)
		KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 8, 8));
	expect_good_arena(test, arena);
}

static void a_large_request_gets_a_chunk_of_its_own(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_1M };
	struct quarry_arena *arena = create_arena(test, 4096, &args);
	void *block = quarry_arena_alloc_sleep(arena, 100001, 4096);

	KUNIT_ASSERT_NOT_NULL(test, block);
	KUNIT_EXPECT_TRUE(test, aligned_to(block, 4096));
	memset(block, 1, 100001);
	expect_good_arena(test, arena);
}

static void rewind_gives_back_to_the_mark(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	u8 *kept = quarry_arena_alloc(arena, 13, 1);
	size_t used = quarry_arena_used(arena);
	struct quarry_arena_mark outer, inner;
	void *first, *again;

	memset(kept, 7, 13);
	outer = quarry_arena_mark(arena);
	KUNIT_EXPECT_TRUE(test, quarry_arena_marked(outer));
	first = quarry_arena_alloc(arena, 100, 8);
	inner = quarry_arena_mark(arena);
	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 200, 8));
	KUNIT_EXPECT_EQ(test, arena_stats(arena).marks, 2);
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, inner));
	inner = quarry_arena_mark(arena);
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, outer));
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), used);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).marks, 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(kept, 7, 13));
	outer = quarry_arena_mark(arena);
	again = quarry_arena_alloc(arena, 100, 8);
	KUNIT_EXPECT_PTR_EQ(test, again, first);
	KUNIT_EXPECT_GE(test, arena_stats(arena).peak, used + 300);
	expect_good_arena(test, arena);
}

#define DEPTH 500

static void marks_nest_to_any_depth(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_1M, .growth = 1 };
	struct quarry_arena *arena = create_arena(test, 4096, &args);
	struct quarry_arena_mark *marks;
	size_t *used;
	int i;

	marks = kunit_kcalloc(test, DEPTH, sizeof(*marks), GFP_KERNEL);
	used = kunit_kcalloc(test, DEPTH, sizeof(*used), GFP_KERNEL);
	for (i = 0; i < DEPTH; i++) {
		KUNIT_ASSERT_EQ(test, quarry_arena_reserve(arena, 200), 0);
		used[i] = quarry_arena_used(arena);
		marks[i] = quarry_arena_mark(arena);
		KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, i % 100 + 1, 1));
	}
	expect_good_arena(test, arena);
	for (i = DEPTH - 1; i >= 0; i -= 3) {
		KUNIT_ASSERT_TRUE(test, quarry_arena_rewind(arena, marks[i]));
		KUNIT_ASSERT_EQ(test, quarry_arena_used(arena), used[i]);
	}
	expect_good_arena(test, arena);
}

static void reset_keeps_the_largest_chunk(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_1M, .growth = 4 };
	struct quarry_arena *arena = create_arena(test, 4096, &args);

	KUNIT_ASSERT_EQ(test, quarry_arena_reserve(arena, 16384), 0);
	KUNIT_ASSERT_EQ(test, quarry_arena_reserve(arena, 65536), 0);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).chunks, 3);
	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 20000, 8));
	quarry_arena_reset(arena);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).chunks, 1);
	KUNIT_EXPECT_EQ(test, quarry_arena_capacity(arena), 65536);
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), 0);
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 65536, 8));
	expect_good_arena(test, arena);
}

static void reset_keeps_all_where_it_may_not_sleep(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_64K };
	struct quarry_arena *arena = create_arena(test, 4096, &args);

	KUNIT_ASSERT_EQ(test, quarry_arena_reserve(arena, 8192), 0);
	local_irq_disable();
	quarry_arena_reset(arena);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, arena_stats(arena).chunks, 2);
	quarry_arena_reset(arena);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).chunks, 1);
	expect_good_arena(test, arena);
}

static void last_block_is_freed_and_resized(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	u8 *first = quarry_arena_alloc(arena, 32, 8);
	size_t used = quarry_arena_used(arena);
	u8 *last = quarry_arena_alloc(arena, 100, 1);

	memset(last, 9, 100);
	KUNIT_EXPECT_TRUE(test, quarry_arena_resize_last(arena, last, 100, 1000));
	memset(last + 100, 9, 900);
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), used + 1000);
	KUNIT_EXPECT_TRUE(test, quarry_arena_resize_last(arena, last, 1000, 77));
	KUNIT_EXPECT_NULL(test, memchr_inv(last, 9, 77));
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), used + STEP(77));
	KUNIT_EXPECT_FALSE(test, quarry_arena_resize_last(arena, last, 77, 5000));
	KUNIT_EXPECT_FALSE(test, quarry_arena_resize_last(arena, last, 77, SIZE_MAX));
	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, first, 32));
	KUNIT_EXPECT_TRUE(test, quarry_arena_free_last(arena, last, 77));
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), used);
	KUNIT_EXPECT_TRUE(test, quarry_arena_free_last(arena, first, 32));
	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, NULL, 8));
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), 0);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).freed, 2);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).kept, 1);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).failures, 2);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).peak, used + 1000);
	expect_good_arena(test, arena);
}

/* Strings and copies */

static void copies_are_equal(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	static const u64 words[] = { 1, 2, 3 };
	char *string = quarry_arena_strdup(arena, "batch");
	u64 *copy = quarry_arena_memdup(arena, words, sizeof(words));

	KUNIT_EXPECT_STREQ(test, string, "batch");
	KUNIT_ASSERT_NOT_NULL(test, copy);
	KUNIT_EXPECT_MEMEQ(test, copy, words, sizeof(words));
	KUNIT_EXPECT_TRUE(test, aligned_to(copy, 8));
	KUNIT_EXPECT_STREQ(test, quarry_arena_strdup(arena, ""), "");
	KUNIT_EXPECT_NULL(test, quarry_arena_strdup(arena, NULL));
	KUNIT_EXPECT_NULL(test, quarry_arena_memdup(arena, NULL, 8));
	KUNIT_EXPECT_EQ(test, arena_stats(arena).failures, 0);
}

static void printf_takes_what_it_needs(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 32, NULL);
	char *string = quarry_arena_printf(arena, "%s-%d", "queue", 17);

	KUNIT_EXPECT_STREQ(test, string, "queue-17");
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), STEP(9));
	KUNIT_EXPECT_STREQ(test, quarry_arena_printf(arena, "%s", ""), "");
	KUNIT_EXPECT_NULL(test, quarry_arena_printf(arena, "%0100d", 1));
	KUNIT_EXPECT_EQ(test, arena_stats(arena).failures, 1);
}

struct thing {
	u64 a;
	u8 b;
} __aligned(32);

static void typed_objects_are_clear_and_aligned(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct thing *one, *many;
	void *dirt;

	dirt = quarry_arena_alloc(arena, 2048, 8);
	memset(dirt, 0xff, 2048);
	quarry_arena_reset(arena);
	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 1, 1));
	one = quarry_arena_new(arena, struct thing);
	many = quarry_arena_new_array(arena, struct thing, 10);
	KUNIT_ASSERT_NOT_NULL(test, one);
	KUNIT_ASSERT_NOT_NULL(test, many);
	KUNIT_EXPECT_TRUE(test, aligned_to(one, 32));
	KUNIT_EXPECT_PTR_EQ(test, many, one + 1);
	KUNIT_EXPECT_NULL(test, memchr_inv(one, 0, 11 * sizeof(*one)));
	KUNIT_EXPECT_NULL(test, quarry_arena_new_array(arena, struct thing,
						       SIZE_MAX / 32 + 2));
	KUNIT_EXPECT_EQ(test, arena_stats(arena).failures, 1);
}

/* Deferred calls */

struct log {
	char text[64];
	size_t nr;
};

struct entry {
	struct log *log;
	char name;
};

static void note(void *arg)
{
	struct entry *entry = arg;

	entry->log->text[entry->log->nr++] = entry->name;
}

/* The entry lies in the arena, and can be read while the call is made. */
static void defer_note(struct kunit *test, struct quarry_arena *arena,
		       struct log *log, char name)
{
	struct entry *entry = quarry_arena_new(arena, struct entry);

	KUNIT_ASSERT_NOT_NULL(test, entry);
	entry->log = log;
	entry->name = name;
	KUNIT_EXPECT_TRUE(test, quarry_arena_defer(arena, note, entry));
}

static void calls_are_made_in_reverse_order(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct quarry_arena_mark outer, inner;
	struct log log = {};

	defer_note(test, arena, &log, 'a');
	outer = quarry_arena_mark(arena);
	defer_note(test, arena, &log, 'b');
	inner = quarry_arena_mark(arena);
	defer_note(test, arena, &log, 'c');
	defer_note(test, arena, &log, 'd');
	expect_good_arena(test, arena);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).deferred, 4);
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, inner));
	KUNIT_EXPECT_STREQ(test, log.text, "dc");
	defer_note(test, arena, &log, 'e');
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, outer));
	KUNIT_EXPECT_STREQ(test, log.text, "dceb");
	defer_note(test, arena, &log, 'f');
	quarry_arena_reset(arena);
	KUNIT_EXPECT_STREQ(test, log.text, "dcebfa");
	KUNIT_EXPECT_EQ(test, arena_stats(arena).called, 6);
	defer_note(test, arena, &log, 'g');
	destroy_arena(test, arena);
	KUNIT_EXPECT_STREQ(test, log.text, "dcebfag");
}

static void children_die_with_their_parent(struct kunit *test)
{
	struct quarry_arena *parent = quarry_arena_create("parent", 4096, NULL);
	struct quarry_arena_args args = { .parent = parent };
	struct quarry_arena *a, *b, *c;
	struct log log = {};

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(parent), 0);
	a = quarry_arena_create("child", 1024, &args);
	b = quarry_arena_create("child", 1024, &args);
	args.parent = a;
	c = quarry_arena_create("grandchild", 1024, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(a) || IS_ERR(b) || IS_ERR(c));
	defer_note(test, parent, &log, 'p');
	defer_note(test, a, &log, 'a');
	defer_note(test, b, &log, 'b');
	defer_note(test, c, &log, 'c');
	quarry_arena_reset(parent);
	KUNIT_EXPECT_STREQ(test, log.text, "p");
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(c, 8, 8));
	quarry_arena_destroy(parent);
	KUNIT_EXPECT_STREQ(test, log.text, "pbca");
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(c, 8, 8));
	expect_reports(test, 1, "destroyed arena");
}

static void a_child_may_die_first(struct kunit *test)
{
	struct quarry_arena *parent = create_arena(test, 4096, NULL);
	const struct quarry_arena_args args = { .parent = parent };
	struct quarry_arena *child = quarry_arena_create("child", 64, &args);

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(child), 0);
	quarry_arena_destroy(child);
	expect_good_arena(test, parent);
}

/* Orphans */

/* As the registry does when the owner's module is gone. */
static void orphan(struct quarry_arena *arena)
{
	WRITE_ONCE(arena->object.state, QUARRY_ORPHAN);
	arena->object.kind->orphan(&arena->object);
}

/* A dead one, to be destroyed at the end. */
static void revive(struct quarry_arena *arena)
{
	WRITE_ONCE(arena->object.state, QUARRY_OK);
	WRITE_ONCE(arena->closed, false);
}

static void expect_view(struct kunit *test, const char *path, const char *text)
{
	char name[80], *got;

	snprintf(name, sizeof(name), "/sys/kernel/debug/quarry/%s", path);
	got = read_file(test, name);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(got, text), "no \"%s\" in %s:\n%s",
				  text, path, got);
}

/* Whose text it is in has gone: no rewind, reset or destroy makes the call. */
static void an_orphan_makes_no_call(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct quarry_arena_mark mark;
	struct log log = {};

	defer_note(test, arena, &log, 'a');
	mark = quarry_arena_mark(arena);
	defer_note(test, arena, &log, 'b');
	orphan(arena);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).deferred, 0);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).dropped, 2);
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, mark));
	KUNIT_EXPECT_FALSE(test, quarry_arena_defer(arena, note, NULL));
	expect_reports(test, 1, "defer on an orphan");
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 8, 8));
	expect_good_arena(test, arena);
	quarry_arena_reset(arena);
	destroy_arena(test, arena);
	KUNIT_EXPECT_STREQ(test, log.text, "");
}

static void an_orphan_dies_with_its_parent(struct kunit *test)
{
	struct quarry_arena *parent = quarry_arena_create("parent", 4096, NULL);
	const struct quarry_arena_args args = { .parent = parent };
	struct quarry_arena *child = quarry_arena_create("child", 64, &args);

	KUNIT_ASSERT_FALSE(test, IS_ERR(parent) || IS_ERR(child));
	orphan(child);
	quarry_arena_destroy(parent);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(child, 8, 8));
	expect_reports(test, 1, "destroyed arena");
}

static void memory_of_the_dead_is_left_alone(struct kunit *test)
{
	static u8 memory[512] __aligned(8);
	const struct quarry_arena_args args = {
		.memory = memory, .memory_size = sizeof(memory),
	};
	struct quarry_arena *arena = create_arena(test, 512, &args);
	struct quarry_arena_mark mark = quarry_arena_mark(arena);
	u8 *block = quarry_arena_alloc(arena, 64, 8);
	size_t used = quarry_arena_used(arena);
	struct log log = {};

	KUNIT_ASSERT_NOT_NULL(test, block);
	memset(block, 7, 64);
	defer_note(test, arena, &log, 'a');
	used = quarry_arena_used(arena);
	orphan(arena);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 8, 8));
	expect_reports(test, 1, "destroyed arena");
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_inline(arena, 8, 8));
	expect_reports(test, 1, "destroyed arena");
	KUNIT_EXPECT_FALSE(test, quarry_arena_rewind(arena, mark));
	expect_reports(test, 1, "destroyed arena");
	quarry_arena_reset(arena);
	expect_reports(test, 1, "destroyed arena");
	KUNIT_EXPECT_NULL(test, memchr_inv(block, 7, 64));
	KUNIT_EXPECT_EQ(test, arena_stats(arena).used, used);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).dropped, 1);
	expect_view(test, "arena/test/config", "512 bytes, gone\n");
	expect_view(test, "arena/test/verify", "ok");
	revive(arena);
	destroy_arena(test, arena);
	KUNIT_EXPECT_STREQ(test, log.text, "");
}

/* On its module's memory, which is gone: it stays behind, and is in nobody's way. */
static void a_dead_child_does_not_keep_its_parent(struct kunit *test)
{
	static u8 memory[512] __aligned(8);
	struct quarry_arena *parent = quarry_arena_create("parent", 4096, NULL);
	struct quarry_arena_args args = {
		.memory = memory, .memory_size = sizeof(memory), .parent = parent,
	};
	const struct quarry_arena_args plain = { .parent = parent };
	struct quarry_arena *child, *other, *below;

	KUNIT_ASSERT_FALSE(test, IS_ERR(parent));
	other = quarry_arena_create("other", 64, &plain);
	child = create_arena(test, 512, &args);
	args = (struct quarry_arena_args){ .parent = child };
	below = create_arena(test, 64, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	orphan(child);
	quarry_arena_destroy(parent);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(parent, 8, 8));
	expect_reports(test, 1, "\"parent\": destroyed arena");
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(other, 8, 8));
	expect_reports(test, 1, "\"other\": destroyed arena");
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(below, 8, 8));
	revive(child);
	destroy_arena(test, child);
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(below, 8, 8));
}

static void strict_arena_does_the_same(struct kunit *test)
{
	const struct quarry_arena_args args = {
		.flags = QUARRY_ARENA_STRICT, .limit = SZ_64K,
	};
	struct quarry_arena *arena = create_arena(test, 4096, &args);
	struct quarry_arena_mark mark;
	u8 *a = quarry_arena_alloc(arena, 16, 8);
	u8 *b = quarry_arena_alloc_inline(arena, 16, 8);

	KUNIT_EXPECT_PTR_EQ(test, b, a + 16);
	expect_view(test, "arena/test/config", "flags: strict\n");
	mark = quarry_arena_mark(arena);
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc_sleep(arena, 9000, 8));
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, mark));
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), 32);
	expect_good_arena(test, arena);
	quarry_arena_reset(arena);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).used, 0);
}

static struct kunit_case arena_cases[] = {
	KUNIT_CASE(blocks_lie_side_by_side),
	KUNIT_CASE(all_alignments_are_kept),
	KUNIT_CASE(constant_alignments_are_kept),
	KUNIT_CASE(alignments_are_kept_in_callers_memory),
	KUNIT_CASE(last_byte_can_be_had),
	KUNIT_CASE(alloc_does_not_grow),
	KUNIT_CASE(chunks_grow_up_to_the_limit),
	KUNIT_CASE(reserve_is_kept),
	KUNIT_CASE(a_large_request_gets_a_chunk_of_its_own),
	KUNIT_CASE(rewind_gives_back_to_the_mark),
	KUNIT_CASE(marks_nest_to_any_depth),
	KUNIT_CASE(reset_keeps_the_largest_chunk),
	KUNIT_CASE(reset_keeps_all_where_it_may_not_sleep),
	KUNIT_CASE(last_block_is_freed_and_resized),
	KUNIT_CASE(copies_are_equal),
	KUNIT_CASE(printf_takes_what_it_needs),
	KUNIT_CASE(typed_objects_are_clear_and_aligned),
	KUNIT_CASE(calls_are_made_in_reverse_order),
	KUNIT_CASE(children_die_with_their_parent),
	KUNIT_CASE(a_child_may_die_first),
	KUNIT_CASE(an_orphan_makes_no_call),
	KUNIT_CASE(an_orphan_dies_with_its_parent),
	KUNIT_CASE(memory_of_the_dead_is_left_alone),
	KUNIT_CASE(a_dead_child_does_not_keep_its_parent),
	KUNIT_CASE(strict_arena_does_the_same),
	{}
};

static struct kunit_suite arena_suite = {
	.name = "quarry_arena",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = arena_cases,
};

kunit_test_suite(arena_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: arenas");
MODULE_LICENSE("GPL");
