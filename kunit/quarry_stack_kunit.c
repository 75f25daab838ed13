// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stack: each rule of include/quarry/stack.h as a test, each misuse refused
 * with one report and one counter, random operations on both ends beside a plain
 * model, and what KASAN sees. The seed is printed; give it as module parameter to
 * see the same run again.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <quarry/stack.h>
#include <trace/events/error_report.h>
#include "../kmod/compat.h"
#include "kunit_file.h"
#include "kunit_util.h"

#define HAVE_KASAN (IS_ENABLED(CONFIG_KASAN_GENERIC) && \
		    IS_ENABLED(CONFIG_KASAN_VMALLOC))

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random operations (0: a new one)");

static uint steps = 3000;
module_param(steps, uint, 0400);
MODULE_PARM_DESC(steps, "random operations on each stack");

KUNIT_DEFINE_ACTION_WRAPPER(destroy_stack_action, quarry_stack_destroy,
			    struct quarry_stack *);

static struct quarry_stack *create_stack(struct kunit *test, size_t size,
					 const struct quarry_stack_args *args)
{
	struct quarry_stack *stack = quarry_stack_create("stack", size, args);

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(stack), 0);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test,
							   destroy_stack_action,
							   stack));
	return stack;
}

static struct quarry_stack_stats figures(struct quarry_stack *stack)
{
	struct quarry_stack_stats stats;

	quarry_stack_get_stats(stack, &stats);
	return stats;
}

static void expect_sound(struct kunit *test, struct quarry_stack *stack)
{
	KUNIT_EXPECT_EQ_MSG(test, quarry_stack_verify(stack), 0, "%s",
			    capture.last);
}

/* One refusal: one report, one counter, nothing else. */
static void expect_refusal(struct kunit *test, struct quarry_stack *stack,
			   struct quarry_stack_stats before, size_t counter,
			   const char *why)
{
	struct quarry_stack_stats after = figures(stack);

	expect_reports(test, 1, why);
	before.refused++;
	++*(u64 *)((void *)&before + counter);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
}

#define REFUSED(name) offsetof(struct quarry_stack_stats, refused_##name)

/* Rules */

static void last_in_first_out(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	void *blocks[10];
	size_t size;
	int i;

	for (i = 0; i < 10; i++) {
		blocks[i] = quarry_stack_push(stack, 10 + i, 1);
		KUNIT_ASSERT_NOT_NULL(test, blocks[i]);
		memset(blocks[i], i, 10 + i);
		expect_sound(test, stack);
	}
	while (i--) {
		KUNIT_EXPECT_PTR_EQ(test, quarry_stack_top(stack, &size), blocks[i]);
		KUNIT_EXPECT_EQ(test, size, 10 + i);
		KUNIT_EXPECT_NULL(test, memchr_inv(blocks[i], i, 10 + i));
		KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, blocks[i]));
		expect_sound(test, stack);
	}
	KUNIT_EXPECT_NULL(test, quarry_stack_top(stack, NULL));
	KUNIT_EXPECT_EQ(test, figures(stack).used, 0);
}

struct odd {
	u8 bytes[7];
};

struct wide {
	u64 a, b;
} __aligned(64);

/* Pops in the reverse order give what was pushed, whatever lies between. */
static void values_of_mixed_types_come_back(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	const struct odd odd = { { 1, 2, 3, 4, 5, 6, 7 } };
	const struct wide wide = { 11, 12 };
	struct wide *placed;
	struct odd got;

	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push_value(stack, (u8)1));
	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push_value(stack, (u64)2));
	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push_value(stack, odd));
	placed = (void *)quarry_stack_push_value(stack, wide);
	KUNIT_EXPECT_NOT_NULL(test, placed);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)placed, 64));
	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push_value_high(stack, (u16)3));
	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push_value_high(stack, wide));
	expect_sound(test, stack);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, struct wide).b, 12);
	got = quarry_stack_pop_value(stack, struct odd);
	KUNIT_EXPECT_MEMEQ(test, &got, &odd, sizeof(odd));
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u64), 2);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u8), 1);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value_high(stack, struct wide).a, 11);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value_high(stack, u16), 3);
	KUNIT_EXPECT_EQ(test, figures(stack).used, 0);
}

static void alignments_are_kept(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, SZ_64K, NULL);
	size_t align;

	for (align = 1; align <= QUARRY_STACK_MAX_ALIGN; align *= 2) {
		void *low = quarry_stack_push(stack, 3, align);
		void *high = quarry_stack_push_high(stack, 3, align);

		KUNIT_ASSERT_NOT_NULL(test, low);
		KUNIT_ASSERT_NOT_NULL(test, high);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)low, align));
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)high, align));
		expect_sound(test, stack);
	}
}

/* At most 8 bytes a frame; KASAN has redzones of its own. */
static void frame_costs_eight_bytes(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4000, NULL);
	size_t size, used = 0;

	if (HAVE_KASAN)
		kunit_skip(test, "KASAN pads blocks");
	for (size = 1; size < 40; size++) {
		KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push(stack, size, 1));
		KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push_high(stack, size, 1));
		used += 2 * (size + 8);
		KUNIT_EXPECT_EQ(test, figures(stack).used, used);
	}
	expect_sound(test, stack);
}

/* The ends meet at the last byte and no further; what fails changes nothing. */
static void ends_meet(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 1024, NULL);
	struct quarry_stack_stats stats;
	void *low, *high, *last;

	low = quarry_stack_push(stack, 400, 8);
	high = quarry_stack_push_high(stack, 400, 8);
	stats = figures(stack);
	KUNIT_EXPECT_NULL(test, quarry_stack_push(stack, stats.free - 7, 8));
	KUNIT_EXPECT_NULL(test, quarry_stack_push_high(stack, stats.free - 7, 8));
	KUNIT_EXPECT_NULL(test, quarry_stack_push(stack, QUARRY_STACK_MAX_PUSH, 4096));
	KUNIT_EXPECT_NULL(test, quarry_stack_push_high(stack, QUARRY_STACK_MAX_PUSH,
						       4096));
	stats.exhausted = 4;
	stats.largest_failed = QUARRY_STACK_MAX_PUSH;
	KUNIT_EXPECT_EQ(test, memcmp(&stats, (struct quarry_stack_stats[]){
				     figures(stack) }, sizeof(stats)), 0);
	last = quarry_stack_push(stack, stats.free - (HAVE_KASAN ? 16 : 8), 8);
	KUNIT_EXPECT_NOT_NULL(test, last);
	KUNIT_EXPECT_EQ(test, figures(stack).free, 0);
	KUNIT_EXPECT_NULL(test, quarry_stack_push(stack, 1, 1));
	KUNIT_EXPECT_NULL(test, quarry_stack_push_high(stack, 1, 1));
	expect_sound(test, stack);
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, last));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_high(stack, high));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, low));
	KUNIT_EXPECT_EQ(test, figures(stack).used, 0);
}

/* What one end gives back, the other can take, up to the whole. */
static void ends_share_all(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 1024, NULL);
	size_t most = 1024 - (HAVE_KASAN ? 16 : 8);
	void *block;
	int i;

	for (i = 0; i < 3; i++) {
		block = quarry_stack_push(stack, most, 8);
		KUNIT_EXPECT_NOT_NULL(test, block);
		KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, block));
		block = quarry_stack_push_high(stack, most, 8);
		KUNIT_EXPECT_NOT_NULL(test, block);
		KUNIT_EXPECT_NULL(test, quarry_stack_push(stack, 1, 1));
		KUNIT_EXPECT_TRUE(test, quarry_stack_pop_high(stack, block));
	}
	KUNIT_EXPECT_EQ(test, figures(stack).peak_low, 1024);
	KUNIT_EXPECT_EQ(test, figures(stack).peak_high, 1024);
}

static void marks_nest(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, SZ_16K, NULL);
	struct quarry_stack_mark marks[20], high;
	void *first = quarry_stack_push(stack, 5, 1);
	u64 used[20];
	int i;

	KUNIT_EXPECT_TRUE(test, quarry_stack_mark_high(stack, &high));
	for (i = 0; i < 20; i++) {
		used[i] = figures(stack).used;
		KUNIT_EXPECT_TRUE(test, quarry_stack_mark(stack, &marks[i]));
		KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push(stack, 1 + i, 1));
		expect_sound(test, stack);
	}
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &marks[19]));
	KUNIT_EXPECT_EQ(test, figures(stack).used, used[19]);
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &marks[7]));
	KUNIT_EXPECT_EQ(test, figures(stack).used, used[7]);
	expect_sound(test, stack);
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &marks[0]));
	KUNIT_EXPECT_EQ(test, figures(stack).live, 2);
	KUNIT_EXPECT_EQ(test, figures(stack).released, 40);
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, first));
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &high));
	KUNIT_EXPECT_EQ(test, figures(stack).used, 0);
	expect_sound(test, stack);
}

static void reset_gives_all_back(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_stack_mark mark;

	quarry_stack_push(stack, 100, 8);
	KUNIT_EXPECT_TRUE(test, quarry_stack_mark(stack, &mark));
	quarry_stack_push_high(stack, 100, 8);
	quarry_stack_reset(stack);
	KUNIT_EXPECT_EQ(test, figures(stack).used, 0);
	KUNIT_EXPECT_EQ(test, figures(stack).live, 0);
	KUNIT_EXPECT_EQ(test, figures(stack).released, 3);
	expect_sound(test, stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &mark));
	expect_reports(test, 1, "stale mark");
	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push(stack, 100, 8));
}

static void mark_without_room_is_none(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 31, NULL);
	struct quarry_stack_mark mark;

	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push_high(stack, 1, 1));
	KUNIT_EXPECT_FALSE(test, quarry_stack_mark(stack, &mark));
	KUNIT_EXPECT_EQ(test, figures(stack).exhausted, 1);
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &mark));
	expect_reports(test, 1, "stale mark");
}

static void lent_memory_is_used_and_given_back(struct kunit *test)
{
	struct quarry_stack_args args = { };
	struct quarry_stack *stack;
	void *block;

	args.memory_size = quarry_stack_memory_size(1000);
	args.memory = kunit_kzalloc(test, args.memory_size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	stack = create_stack(test, 1000, &args);
	block = quarry_stack_push(stack, 10, 1);
	KUNIT_EXPECT_TRUE(test, block > args.memory &&
			  block < args.memory + args.memory_size);
	block = quarry_stack_push_high(stack, 10, 1);
	KUNIT_EXPECT_TRUE(test, block > args.memory &&
			  block + 10 < args.memory + args.memory_size);
	expect_sound(test, stack);
	kunit_release_action(test, destroy_stack_action, stack);
	memset(args.memory, 0, args.memory_size);
}

/* Bad creations, each one argument off from one that works. */
static void bad_arguments_of_create_are_refused(struct kunit *test)
{
	static u8 memory[64] __aligned(8);
	struct quarry_stack_args args = { };

	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_stack_create("s", 0, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_stack_create("s", SIZE_MAX, NULL)),
			-EOVERFLOW);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_stack_create(" s", 64, NULL)), -EINVAL);
	args.flags = BIT(16);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_stack_create("s", 64, &args)), -EINVAL);
	args.flags = 0;
	args.memory = memory;
	args.memory_size = sizeof(memory);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_stack_create("s", 64, &args)), -EINVAL);
	args.memory++;
	args.memory_size--;
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_stack_create("s", 40, &args)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_stack_create_owned(THIS_MODULE,
			QUARRY_STACK_LAYOUT + 1, "s", 64, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, quarry_stack_memory_size(0), 0);
	KUNIT_EXPECT_EQ(test, quarry_stack_memory_size(SIZE_MAX - 10), 0);
	KUNIT_EXPECT_EQ(test, quarry_stack_memory_size(1), 24);
	KUNIT_EXPECT_EQ(test, quarry_stack_memory_size(8), 24);
}

/* Misuse */

static void pop_out_of_order_is_refused(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	void *one = quarry_stack_push(stack, 16, 8);
	void *two = quarry_stack_push(stack, 16, 8);
	void *high = quarry_stack_push_high(stack, 16, 8);
	struct quarry_stack_stats before = figures(stack);

	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, one));
	expect_refusal(test, stack, before, REFUSED(order), "not the top block");
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, two + 1));
	expect_refusal(test, stack, before, REFUSED(order), "not the top block");
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, high));
	expect_refusal(test, stack, before, REFUSED(order), "not the top block");
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_high(stack, two));
	expect_refusal(test, stack, before, REFUSED(order), "high pop refused");
	expect_sound(test, stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, NULL));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, two));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, one));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_high(stack, high));
}

static void pop_twice_is_refused(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_stack_stats before;
	void *one, *two;

	quarry_stack_push(stack, 16, 8);
	one = quarry_stack_push(stack, 16, 8);
	quarry_stack_push_high(stack, 16, 8);
	two = quarry_stack_push_high(stack, 16, 8);
	quarry_stack_pop(stack, one);
	quarry_stack_pop_high(stack, two);
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, one));
	expect_refusal(test, stack, before, REFUSED(double), "popped before");
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_high(stack, two));
	expect_refusal(test, stack, before, REFUSED(double), "popped before");
	expect_sound(test, stack);
}

static void pop_of_foreign_pointer_is_refused(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_pool *pool = create_pool(test, "other", 16, 10, NULL);
	void *block = quarry_pool_alloc(pool);
	struct quarry_stack_stats before;

	quarry_stack_push(stack, 16, 8);
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, &before));
	expect_refusal(test, stack, before, REFUSED(foreign), "foreign pointer");
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, block));
	expect_refusal(test, stack, before, REFUSED(foreign),
		       "pointer of pool \"other\" block");
	quarry_pool_free(pool, quarry_stack_top(stack, NULL));
	expect_reports(test, 1, "pointer of stack \"stack\" block 0");
	quarry_pool_free(pool, block);
}

static void pop_of_empty_end_is_refused(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_stack_stats before;
	void *block;

	block = quarry_stack_push(stack, 16, 8);
	quarry_stack_pop(stack, block);
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, block));
	expect_refusal(test, stack, before, REFUSED(empty), "nothing was pushed");
	before = figures(stack);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u64), 0);
	expect_refusal(test, stack, before, REFUSED(empty), "nothing was pushed");
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_to_high(stack, &before, 1));
	expect_refusal(test, stack, before, REFUSED(empty), "nothing was pushed");
}

static void pop_past_mark_is_refused(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	u64 *value = quarry_stack_push_value(stack, (u64)5);
	u64 *high = quarry_stack_push_value_high(stack, (u64)6);
	struct quarry_stack_mark mark, mark_high;
	struct quarry_stack_stats before;

	KUNIT_EXPECT_TRUE(test, quarry_stack_mark(stack, &mark));
	KUNIT_EXPECT_TRUE(test, quarry_stack_mark_high(stack, &mark_high));
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, value));
	expect_refusal(test, stack, before, REFUSED(mark), "a mark is on top");
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_high(stack, high));
	expect_refusal(test, stack, before, REFUSED(mark), "a mark is on top");
	before = figures(stack);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u64), 0);
	expect_refusal(test, stack, before, REFUSED(mark), "a mark is on top");
	KUNIT_EXPECT_NULL(test, quarry_stack_top(stack, NULL));
	KUNIT_EXPECT_NULL(test, quarry_stack_top_high(stack, NULL));
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &mark));
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &mark_high));
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u64), 5);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value_high(stack, u64), 6);
}

static void pop_with_wrong_size_is_refused(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_stack_stats before;

	quarry_stack_push_value(stack, (u32)7);
	before = figures(stack);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u64), 0);
	expect_refusal(test, stack, before, REFUSED(size), "asked 8, pushed 4");
	before = figures(stack);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u16), 0);
	expect_refusal(test, stack, before, REFUSED(size), "asked 2, pushed 4");
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u32), 7);
}

static void bad_marks_are_refused(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_stack *other = create_stack(test, 4096, NULL);
	struct quarry_stack_mark outer, inner, foreign, again;
	struct quarry_stack_stats before;
	void *copy, *cover;

	quarry_stack_mark(stack, &outer);
	quarry_stack_mark(stack, &inner);
	quarry_stack_mark(other, &foreign);
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &foreign));
	expect_refusal(test, stack, before, REFUSED(stale), "stale mark");
	again = inner;
	again.high = true;
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &again));
	expect_refusal(test, stack, before, REFUSED(stale), "stale mark");
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &inner));
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &inner));
	expect_refusal(test, stack, before, REFUSED(stale), "stale mark");
	/* Another mark in the same place; then the old frame within a block. */
	quarry_stack_mark(stack, &again);
	KUNIT_EXPECT_EQ(test, again.position, inner.position);
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &inner));
	expect_refusal(test, stack, before, REFUSED(stale), "stale mark");
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &again));
	cover = quarry_stack_push(stack, 100, 8);
	copy = quarry_stack_push(stack, 100, 8);
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &again));
	expect_reports(test, 1, "stale mark");
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, copy));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, cover));
	expect_sound(test, stack);
}

static void bad_arguments_of_push_are_refused(struct kunit *test)
{
	static const size_t bad[][2] = {
		{ 0, 8 }, { QUARRY_STACK_MAX_PUSH + 1, 8 }, { SIZE_MAX, 8 },
		{ 8, 0 }, { 8, 3 }, { 8, 8192 }, { 8, SIZE_MAX },
	};
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct quarry_stack_stats before = figures(stack);

		KUNIT_EXPECT_NULL(test, quarry_stack_push(stack, bad[i][0],
							  bad[i][1]));
		expect_refusal(test, stack, before, REFUSED(argument),
			       "bad size or alignment");
		before = figures(stack);
		KUNIT_EXPECT_NULL(test, quarry_stack_push_high(stack, bad[i][0],
							       bad[i][1]));
		expect_refusal(test, stack, before, REFUSED(argument),
			       "bad size or alignment");
	}
	expect_sound(test, stack);
}

/* An overrun into each byte of the frame word, one at a time, any value. */
static void overrun_is_found_by_pop(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	void *below = quarry_stack_push(stack, 24, 8);
	u8 *block = quarry_stack_push(stack, 15, 1);
	u8 *word = block + (HAVE_KASAN ? 16 : 15);
	unsigned int i, flip;

	for (i = 0; i < 8; i++)
		for (flip = 1; flip < 256; flip++) {
			word[i] ^= flip;
			if (quarry_stack_pop(stack, block))
				kunit_err(test, "byte %u xor %#x not seen", i, flip);
			KUNIT_ASSERT_EQ(test, atomic_xchg(&capture.nr, 0), 1);
			word[i] ^= flip;
		}
	KUNIT_EXPECT_EQ(test, figures(stack).refused_overrun, 8 * 255);
	KUNIT_EXPECT_NOT_NULL(test, strstr(capture.last, "most likely by the top block"));
	expect_sound(test, stack);
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, block));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, below));
}

/* At the high end the word behind a block is its elder's. */
static void overrun_at_high_end_is_found(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	u64 *elder = quarry_stack_push_high(stack, 8, 8);
	u64 *block = quarry_stack_push_high(stack, 8, 8);
	struct quarry_stack_mark mark;

	*(elder - 1) = 0x4141414141414141;
	KUNIT_EXPECT_EQ(test, quarry_stack_verify(stack), -EUCLEAN);
	expect_reports(test, 1, "high frame 1 from the top is overwritten");
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_high(stack, block));
	KUNIT_EXPECT_NULL(test, quarry_stack_top_high(stack, NULL));
	expect_reports(test, 1, "most likely by the block popped last");
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_high(stack, elder));
	expect_reports(test, 1, "frame overwritten");
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_to_high(stack, &mark, 8));
	expect_reports(test, 1, "frame overwritten");
	quarry_stack_reset(stack);
	expect_sound(test, stack);
	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push_high(stack, 8, 8));
}

static void release_survives_overrun(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_stack_mark mark;
	u64 *block;

	quarry_stack_push_value(stack, (u32)1);
	quarry_stack_mark(stack, &mark);
	block = quarry_stack_push(stack, 8, 8);
	block[HAVE_KASAN ? 2 : 1] = 0;
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, block));
	expect_reports(test, 1, "frame overwritten");
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &mark));
	expect_sound(test, stack);
	KUNIT_EXPECT_EQ(test, quarry_stack_pop_value(stack, u32), 1);
}

/* A mark's own frame, spoilt: release says so and changes nothing. */
static void spoilt_mark_is_found(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_stack_mark mark, newer;
	u64 *block = quarry_stack_push(stack, 8, 8), *frame = block;
	struct quarry_stack_stats before;

	quarry_stack_mark(stack, &mark);
	quarry_stack_mark(stack, &newer);
	frame += HAVE_KASAN ? 3 : 2;	/* behind the block and its word */
	frame[1] = 16;			/* of the first mark: its link */
	before = figures(stack);
	mark.serial -= 10;		/* so that the chain is followed on */
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &mark));
	expect_refusal(test, stack, before, REFUSED(overrun), "frame overwritten");
	KUNIT_EXPECT_EQ(test, quarry_stack_verify(stack), -EUCLEAN);
	expect_reports(test, 1, "low ");
	quarry_stack_reset(stack);
	expect_sound(test, stack);
}

static void destroyed_stack_refuses(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	struct quarry_stack_mark mark;
	void *block = quarry_stack_push(stack, 8, 8);

	quarry_stack_mark(stack, &mark);
	kunit_release_action(test, destroy_stack_action, stack);
	KUNIT_EXPECT_NULL(test, quarry_stack_push(stack, 8, 8));
	expect_reports(test, 1, "low push refused: destroyed stack");
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, block));
	expect_reports(test, 1, "destroyed stack");
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_to(stack, &mark, 1));
	expect_reports(test, 1, "destroyed stack");
	KUNIT_EXPECT_FALSE(test, quarry_stack_release(stack, &mark));
	expect_reports(test, 1, "destroyed stack");
	KUNIT_EXPECT_FALSE(test, quarry_stack_mark_high(stack, &mark));
	expect_reports(test, 1, "destroyed stack");
	quarry_stack_reset(stack);
	expect_reports(test, 1, "destroyed stack");
	KUNIT_EXPECT_NULL(test, quarry_stack_top(stack, NULL));
	expect_reports(test, 1, "destroyed stack");
	quarry_stack_destroy(stack);
	expect_reports(test, 1, "destroyed stack");
	KUNIT_EXPECT_EQ(test, quarry_stack_verify(stack), -EINVAL);
	KUNIT_EXPECT_EQ(test, figures(stack).refused_dead, 8);
}

static void bad_handles_are_refused(struct kunit *test)
{
	struct quarry_stack *none = ERR_PTR(-ENOMEM);

	KUNIT_EXPECT_NULL(test, quarry_stack_push(NULL, 8, 8));
	expect_reports(test, 1, "not a stack: 0");
	KUNIT_EXPECT_NULL(test, quarry_stack_push_high(none, 8, 8));
	expect_reports(test, 1, "not a stack: -12");
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(none, &none));
	expect_reports(test, 1, "not a stack: -12");
	KUNIT_EXPECT_EQ(test, quarry_stack_verify(none), -EINVAL);
	KUNIT_EXPECT_EQ(test, figures(none).capacity, 0);
	quarry_stack_destroy(none);
	quarry_stack_destroy(NULL);
}

static void destroy_in_atomic_context_is_refused(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);

	local_irq_disable();
	quarry_stack_destroy(stack);
	local_irq_enable();
	expect_reports(test, 1, "may not sleep");
	KUNIT_EXPECT_NOT_NULL(test, quarry_stack_push(stack, 8, 8));
}

/*
 * Two owners: a timer's interrupt looks at the stack again and again, and must
 * come while this task copies a large value. Both on one CPU, where no instant is
 * shared, so that the gate misses nothing.
 */
struct intruder {
	struct hrtimer timer;
	struct quarry_stack *stack;
};

static enum hrtimer_restart intrude(struct hrtimer *timer)
{
	struct intruder *i = container_of(timer, struct intruder, timer);

	quarry_stack_top(i->stack, NULL);
	hrtimer_forward_now(timer, ns_to_ktime(100 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static void two_owners_are_caught(struct kunit *test)
{
	struct intruder i = { };
	size_t size = SZ_1M;
	void *room = kvmalloc(size, GFP_KERNEL);
	unsigned long end = jiffies + 10 * HZ;
	u64 refused;

	KUNIT_ASSERT_NOT_NULL(test, room);
	i.stack = create_stack(test, 2 * size, NULL);
	hrtimer_setup(&i.timer, intrude, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&i.timer, ns_to_ktime(100 * NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED_HARD);
	while (!figures(i.stack).refused_owners && time_before(jiffies, end)) {
		quarry_stack_push(i.stack, size, 8);
		quarry_stack_pop_to(i.stack, room, size);
		cond_resched();
	}
	hrtimer_cancel(&i.timer);
	kvfree(room);
	refused = figures(i.stack).refused_owners;
	KUNIT_EXPECT_GT(test, refused, 0);
	expect_reports(test, refused, "another operation is under way");
	expect_sound(test, i.stack);
}

/* Views */

static void expect_view(struct kunit *test, const char *file, const char *text)
{
	char path[80], *got;

	snprintf(path, sizeof(path), "/sys/kernel/debug/quarry/stack/stack/%s", file);
	got = read_file(test, path);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(got, text), "no \"%s\" in %s:\n%s",
				  text, file, got);
}

static void views_show_both_ends(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 1024, NULL);
	u64 *low;

	quarry_stack_push(stack, 248, 8);
	low = quarry_stack_push(stack, 120, 8);
	quarry_stack_push_high(stack, 112, 8);
	expect_view(test, "config", "capacity: 1024\nframe_word: 8\n");
	expect_view(test, "config", "mapping: pages\n");
	expect_view(test, "stats", "live: 3\nlive_high: 1\n");
	expect_view(test, "map", "bytes: 1024, 1 to a cell");
	expect_view(test, "map", "\n>>>>>>>>>>");
	expect_view(test, "map", "<<<<<<<<<<\nfree between");
	expect_view(test, "verify", "ok\n");
	expect_view(test, "../../summary", "stack    stack ");
	low[HAVE_KASAN ? 16 : 15]++;
	expect_view(test, "verify", "low frame 0 from the top is overwritten\n");
	low[HAVE_KASAN ? 16 : 15]--;
}

static void reset_starts_figures_anew(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	void *big = quarry_stack_push(stack, 1000, 8), *small;
	struct quarry_stack_stats stats;

	quarry_stack_pop(stack, big);
	quarry_stack_pop(stack, big);
	expect_reports(test, 1, NULL);
	small = quarry_stack_push(stack, 8, 8);
	KUNIT_EXPECT_GE(test, figures(stack).peak_low, 1008);
	KUNIT_EXPECT_EQ(test, write_file(test, "/sys/kernel/debug/quarry/stack/stack/reset",
					 "1"), 1);
	stats = figures(stack);
	KUNIT_EXPECT_EQ(test, stats.pushes, 0);
	KUNIT_EXPECT_EQ(test, stats.pops, 0);
	KUNIT_EXPECT_EQ(test, stats.refused, 0);
	KUNIT_EXPECT_EQ(test, stats.live, 1);
	KUNIT_EXPECT_EQ(test, stats.peak, stats.used);
	quarry_stack_push_high(stack, 100, 8);
	KUNIT_EXPECT_EQ(test, figures(stack).peak, figures(stack).used);
	KUNIT_EXPECT_EQ(test, figures(stack).pushes, 1);
	quarry_stack_pop(stack, small);
	KUNIT_EXPECT_EQ(test, figures(stack).peak_low, stats.used);
	expect_sound(test, stack);
}

/* Random operations beside a model: a list of what lies at each end. */

#define MAX_FRAMES 400

struct model_frame {
	u8 *block;
	size_t size;
	u8 fill;
	bool is_mark;
	struct quarry_stack_mark mark;
};

struct model {
	struct quarry_stack *stack;
	struct rnd_state random;
	struct model_frame frame[2][MAX_FRAMES];
	size_t nr[2];
	u64 pushes, pops, released, refused, exhausted;
	const char *wrong;
};

static u32 below(struct model *m, u32 limit)
{
	return prandom_u32_state(&m->random) % limit;
}

static void wrong(struct model *m, const char *what)
{
	if (!m->wrong)
		m->wrong = what;
}

static struct model_frame *model_top(struct model *m, bool high)
{
	return m->nr[high] ? &m->frame[high][m->nr[high] - 1] : NULL;
}

static void check_new(struct model *m, bool high, u8 *block, size_t size)
{
	bool end;
	size_t i;

	for (end = false; ; end = true) {
		for (i = 0; i < m->nr[end]; i++) {
			const struct model_frame *f = &m->frame[end][i];

			if (!f->is_mark && block < f->block + f->size &&
			    f->block < block + size)
				wrong(m, "a block overlaps another");
		}
		if (end)
			break;
	}
}

static void do_push(struct model *m, bool high)
{
	size_t size = 1 + below(m, below(m, 8) ? 60 : 500);
	size_t align = 1UL << below(m, below(m, 10) ? 5 : 10);
	struct model_frame *f;
	u8 *block;

	if (m->nr[high] == MAX_FRAMES)
		return;
	block = high ? quarry_stack_push_high(m->stack, size, align) :
		       quarry_stack_push(m->stack, size, align);
	if (!block) {
		if (figures(m->stack).free >= size + align + 23)
			wrong(m, "NULL, and there is room");
		m->exhausted++;
		return;
	}
	if (!IS_ALIGNED((unsigned long)block, align))
		wrong(m, "not aligned");
	check_new(m, high, block, size);
	f = &m->frame[high][m->nr[high]++];
	*f = (struct model_frame){ .block = block, .size = size,
				   .fill = prandom_u32_state(&m->random) };
	memset(block, f->fill, size);
	m->pushes++;
}

static void do_pop(struct model *m, bool high)
{
	struct model_frame *f = model_top(m, high);
	u8 copy[512];
	bool ok;

	if (!f || f->is_mark)
		return;
	if (memchr_inv(f->block, f->fill, f->size))
		wrong(m, "a live block was written to");
	if (f->size <= sizeof(copy) && below(m, 2)) {
		ok = high ? quarry_stack_pop_to_high(m->stack, copy, f->size) :
			    quarry_stack_pop_to(m->stack, copy, f->size);
		if (ok && memchr_inv(copy, f->fill, f->size))
			wrong(m, "another value was popped");
	} else {
		ok = high ? quarry_stack_pop_high(m->stack, f->block) :
			    quarry_stack_pop(m->stack, f->block);
	}
	if (!ok)
		wrong(m, "a good pop was refused");
	m->nr[high]--;
	m->pops++;
}

static void do_mark(struct model *m, bool high)
{
	struct model_frame *f = &m->frame[high][m->nr[high]];
	bool ok;

	if (m->nr[high] == MAX_FRAMES)
		return;
	ok = high ? quarry_stack_mark_high(m->stack, &f->mark) :
		    quarry_stack_mark(m->stack, &f->mark);
	if (!ok) {
		m->exhausted++;
		return;
	}
	f->is_mark = true;
	m->nr[high]++;
	m->pushes++;
}

static void do_release(struct model *m, bool high)
{
	size_t i = m->nr[high] ? below(m, m->nr[high]) : 0;

	/* Mostly a late one, so that stacks grow. */
	if (below(m, 4))
		i = max_t(size_t, i, m->nr[high] - min_t(size_t, m->nr[high], 10));
	for (; i < m->nr[high]; i++)
		if (m->frame[high][i].is_mark)
			break;
	if (i >= m->nr[high])
		return;
	if (!quarry_stack_release(m->stack, &m->frame[high][i].mark))
		wrong(m, "a good mark was refused");
	m->released += m->nr[high] - i;
	m->nr[high] = i;
}

/* One thing that is to be refused. */
static void do_bad(struct model *m, bool high)
{
	struct model_frame *f = model_top(m, high);
	struct quarry_stack_mark mark = { .stack = m->stack, .high = high,
					  .position = below(m, 1000) };
	u8 value[8];
	bool ok;

	switch (below(m, 4)) {
	case 0:		/* not the top: one byte off, or a mark */
		ok = high ? quarry_stack_pop_high(m->stack, f && !f->is_mark ?
						  f->block + 1 : (void *)m) :
			    quarry_stack_pop(m->stack, f && !f->is_mark ?
					     f->block + 1 : (void *)m);
		break;
	case 1:		/* the one below the top */
		if (m->nr[high] < 2 || (f - 1)->is_mark)
			return;
		ok = high ? quarry_stack_pop_high(m->stack, (f - 1)->block) :
			    quarry_stack_pop(m->stack, (f - 1)->block);
		break;
	case 2:
		if (f && !f->is_mark && f->size == sizeof(value))
			return;
		ok = high ? quarry_stack_pop_to_high(m->stack, value, 8) :
			    quarry_stack_pop_to(m->stack, value, 8);
		break;
	default:
		ok = quarry_stack_release(m->stack, &mark);
		break;
	}
	if (ok)
		wrong(m, "misuse was not refused");
	m->refused++;
}

static void step(struct model *m)
{
	static void (* const operations[])(struct model *m, bool high) = {
		do_push, do_push, do_push, do_push, do_push, do_push,
		do_pop, do_pop, do_pop, do_pop, do_mark, do_release, do_bad,
	};

	operations[below(m, ARRAY_SIZE(operations))](m, below(m, 2));
}

static void compare(struct model *m)
{
	struct quarry_stack_stats stats = figures(m->stack);

	if (stats.live != m->nr[0] + m->nr[1] || stats.live_high != m->nr[1])
		wrong(m, "live is not the model's");
	if (stats.pushes != m->pushes || stats.pops != m->pops ||
	    stats.released != m->released)
		wrong(m, "pushes, pops or released are not the model's");
	if (stats.refused != m->refused || stats.exhausted != m->exhausted)
		wrong(m, "refusals or failures are not the model's");
	if (stats.peak_low + stats.peak_high != stats.peak ||
	    stats.peak < stats.used || stats.peak_high < stats.used_high)
		wrong(m, "peak is below what is in use");
	if (quarry_stack_verify(m->stack))
		wrong(m, capture.last);
}

static void operations_agree_with_model(struct kunit *test)
{
	static const size_t sizes[] = { 256, 4096, 16384 };
	struct model *m = kvzalloc(sizeof(*m), GFP_KERNEL);
	u64 this = seed ?: get_random_u64();
	size_t i;
	uint n;

	KUNIT_ASSERT_NOT_NULL(test, m);
	kunit_info(test, "seed %llu", this);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(m, 0, sizeof(*m));
		prandom_seed_state(&m->random, this);
		m->stack = create_stack(test, sizes[i], NULL);
		for (n = 0; n < steps && !m->wrong; n++) {
			u64 refused = m->refused;

			step(m);
			if (atomic_xchg(&capture.nr, 0) != m->refused - refused)
				wrong(m, "reports are not the refusals");
			compare(m);
		}
		KUNIT_EXPECT_NULL_MSG(test, m->wrong, "size %zu step %u of seed %llu: %s",
				      sizes[i], n, this, m->wrong);
	}
	kvfree(m);
}

/* What KASAN sees; see quarry_sanitize_kunit.c for why a task of its own. */

struct access {
	const void *address;
	struct completion done;
};

static atomic_t nr_errors;

static void error_seen(void *unused, enum error_detector detector,
		       unsigned long address)
{
	if (detector == ERROR_DETECTOR_KASAN)
		atomic_inc(&nr_errors);
}

static int do_access(void *arg)
{
	struct access *access = arg;

	READ_ONCE(*(const u8 *)access->address);
	complete(&access->done);
	return 0;
}

static int errors_of(struct kunit *test, const void *address)
{
	struct access access = { .address = address };
	struct task_struct *task;

	init_completion(&access.done);
	atomic_set(&nr_errors, 0);
	KUNIT_ASSERT_EQ(test, 0, register_trace_error_report_end(error_seen, NULL));
	task = kthread_run(do_access, &access, "access");
	if (!IS_ERR(task))
		wait_for_completion(&access.done);
	unregister_trace_error_report_end(error_seen, NULL);
	tracepoint_synchronize_unregister();
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	return atomic_read(&nr_errors);
}

#define expect_good(test, p) KUNIT_EXPECT_EQ(test, errors_of(test, p), 0)
#define expect_bad(test, p) KUNIT_EXPECT_EQ(test, errors_of(test, p), 1)

static void use_after_pop_is_reported(struct kunit *test)
{
	struct quarry_stack_mark mark;
	struct quarry_stack *stack;
	u8 *low, *high, *more;

	if (!HAVE_KASAN)
		kunit_skip(test, "no CONFIG_KASAN_GENERIC with CONFIG_KASAN_VMALLOC");
	stack = create_stack(test, 4096, NULL);
	low = quarry_stack_push(stack, 24, 8);
	high = quarry_stack_push_high(stack, 13, 1);
	expect_good(test, low);
	expect_good(test, low + 23);
	expect_bad(test, low + 24);
	expect_good(test, high + 12);
	expect_bad(test, high + 13);
	expect_bad(test, low + 1000);
	quarry_stack_pop(stack, low);
	quarry_stack_pop_high(stack, high);
	expect_bad(test, low);
	expect_bad(test, low + 23);
	expect_bad(test, high);
	quarry_stack_mark(stack, &mark);
	more = quarry_stack_push(stack, 100, 64);
	expect_good(test, more + 99);
	quarry_stack_release(stack, &mark);
	expect_bad(test, more + 99);
	more = quarry_stack_push(stack, 100, 64);
	expect_good(test, more);
	quarry_stack_reset(stack);
	expect_bad(test, more);
}

static void lent_memory_is_poisoned_and_given_back(struct kunit *test)
{
	struct quarry_stack_args args = { .memory_size = 4096 };
	struct quarry_stack *stack;
	u8 *block;

	if (!HAVE_KASAN)
		kunit_skip(test, "no CONFIG_KASAN_GENERIC with CONFIG_KASAN_VMALLOC");
	args.memory = kunit_kzalloc(test, args.memory_size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	stack = create_stack(test, 4000, &args);
	block = quarry_stack_push(stack, 8, 8);
	quarry_stack_pop(stack, block);
	expect_bad(test, block);
	kunit_release_action(test, destroy_stack_action, stack);
	expect_good(test, block);
	expect_good(test, args.memory + args.memory_size - 1);
}

static struct kunit_case stack_cases[] = {
	KUNIT_CASE(last_in_first_out),
	KUNIT_CASE(values_of_mixed_types_come_back),
	KUNIT_CASE(alignments_are_kept),
	KUNIT_CASE(frame_costs_eight_bytes),
	KUNIT_CASE(ends_meet),
	KUNIT_CASE(ends_share_all),
	KUNIT_CASE(marks_nest),
	KUNIT_CASE(reset_gives_all_back),
	KUNIT_CASE(mark_without_room_is_none),
	KUNIT_CASE(lent_memory_is_used_and_given_back),
	KUNIT_CASE(bad_arguments_of_create_are_refused),
	KUNIT_CASE(pop_out_of_order_is_refused),
	KUNIT_CASE(pop_twice_is_refused),
	KUNIT_CASE(pop_of_foreign_pointer_is_refused),
	KUNIT_CASE(pop_of_empty_end_is_refused),
	KUNIT_CASE(pop_past_mark_is_refused),
	KUNIT_CASE(pop_with_wrong_size_is_refused),
	KUNIT_CASE(bad_marks_are_refused),
	KUNIT_CASE(bad_arguments_of_push_are_refused),
	KUNIT_CASE(overrun_is_found_by_pop),
	KUNIT_CASE(overrun_at_high_end_is_found),
	KUNIT_CASE(release_survives_overrun),
	KUNIT_CASE(spoilt_mark_is_found),
	KUNIT_CASE(destroyed_stack_refuses),
	KUNIT_CASE(bad_handles_are_refused),
	KUNIT_CASE(destroy_in_atomic_context_is_refused),
	KUNIT_CASE(two_owners_are_caught),
	KUNIT_CASE(views_show_both_ends),
	KUNIT_CASE(reset_starts_figures_anew),
	KUNIT_CASE(operations_agree_with_model),
	KUNIT_CASE(use_after_pop_is_reported),
	KUNIT_CASE(lent_memory_is_poisoned_and_given_back),
	{}
};

static struct kunit_suite stack_suite = {
	.name = "quarry_stack",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = stack_cases,
};

kunit_test_suite(stack_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the stack");
MODULE_LICENSE("GPL");
