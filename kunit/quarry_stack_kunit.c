// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stack: each rule of include/quarry/stack.h as a test, its views, and what is
 * left of one whose module is gone.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include "../kmod/stack.h"
#include "kunit_file.h"
#include "stack_util.h"

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
	struct quarry_stack *stack;

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
	stack = quarry_stack_create_owned(THIS_MODULE, QUARRY_STACK_LAYOUT + 1,
					  "s", 64, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(stack), -EINVAL);
	KUNIT_EXPECT_EQ(test, quarry_stack_memory_size(0), 0);
	KUNIT_EXPECT_EQ(test, quarry_stack_memory_size(SIZE_MAX - 10), 0);
	KUNIT_EXPECT_EQ(test, quarry_stack_memory_size(1), 24);
	KUNIT_EXPECT_EQ(test, quarry_stack_memory_size(8), 24);
}

/* What both doors to an operation do, called and inline, is the same. */
static void inline_forms_do_the_same(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	u16 *low = quarry_stack_push_inline(stack, 2, 2);
	u32 *high = quarry_stack_push_high_inline(stack, 4, 4), got;
	struct quarry_stack_stats stats;
	u16 small;

	KUNIT_ASSERT_NOT_NULL(test, low);
	KUNIT_ASSERT_NOT_NULL(test, high);
	*low = 3;
	*high = 4;
	expect_sound(test, stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_to_inline(stack, &got, 4));
	expect_reports(test, 1, "asked 4, pushed 2");
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_inline(stack, high));
	expect_reports(test, 1, "not the top block");
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_high_inline(stack, low));
	expect_reports(test, 1, "not the top block");
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_to_inline(stack, &small, 2));
	KUNIT_EXPECT_EQ(test, small, 3);
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_to_high_inline(stack, &got, 4));
	KUNIT_EXPECT_EQ(test, got, 4);
	low = quarry_stack_push_inline(stack, 2, 2);
	high = quarry_stack_push_high_inline(stack, 4, 4);
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_high_inline(stack, high));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_inline(stack, low));
	stats = figures(stack);
	KUNIT_EXPECT_EQ(test, stats.pushes, 4);
	KUNIT_EXPECT_EQ(test, stats.pops, 4);
	KUNIT_EXPECT_EQ(test, stats.used, 0);
	expect_sound(test, stack);
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
	expect_view(test, "../../summary", "stack         stack ");
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

/* A dead one, to be destroyed at the end. */
static void revive(struct quarry_stack *stack)
{
	int i;

	for (i = 0; i < 2; i++)
		WRITE_ONCE(stack->hot.end[i].top, stack->top[i]);
	WRITE_ONCE(stack->object.state, QUARRY_OK);
	WRITE_ONCE(stack->closed, false);
}

/*
 * Its module is gone and its memory with that: as the registry does. All is refused,
 * nothing is touched, and the figures stay.
 */
static void memory_of_the_dead_is_left_alone(struct kunit *test)
{
	static u8 memory[512] __aligned(8);
	const struct quarry_stack_args args = {
		.memory = memory, .memory_size = sizeof(memory),
	};
	struct quarry_stack *stack = create_stack(test, 400, &args);
	u8 *low = quarry_stack_push(stack, 40, 8), *high, *gone;
	struct quarry_stack_stats before, after;

	high = quarry_stack_push_high_inline(stack, 24, 8);
	gone = quarry_stack_push(stack, 100, 8);
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, gone));	/* not the slow way */
	KUNIT_ASSERT_NOT_NULL(test, low);
	KUNIT_ASSERT_NOT_NULL(test, high);
	memset(low, 7, 40);
	before = figures(stack);
	stack->object.kind->orphan(&stack->object);
	after = figures(stack);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
	KUNIT_EXPECT_NULL(test, quarry_stack_push(stack, 8, 8));
	expect_reports(test, 1, "low push refused: destroyed stack");
	KUNIT_EXPECT_NULL(test, quarry_stack_push_high_inline(stack, 8, 8));
	expect_reports(test, 1, "high push refused: destroyed stack");
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_inline(stack, low));
	expect_reports(test, 1, "destroyed stack");
	quarry_stack_reset(stack);
	expect_reports(test, 1, "destroyed stack");
	KUNIT_EXPECT_NULL(test, memchr_inv(low, 7, 40));
	expect_view(test, "config", "mapping: gone\n");
	expect_view(test, "stats", "live: 2\nlive_high: 1\n");
	expect_view(test, "map", ">");
	expect_view(test, "verify", "ok");
	KUNIT_EXPECT_EQ(test, figures(stack).refused_dead, 4);
	revive(stack);
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
	KUNIT_CASE(inline_forms_do_the_same),
	KUNIT_CASE(views_show_both_ends),
	KUNIT_CASE(reset_starts_figures_anew),
	KUNIT_CASE(memory_of_the_dead_is_left_alone),
	{}
};

static struct kunit_suite stack_suite = {
	.name = "quarry_stack",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = stack_cases,
};

kunit_test_suite(stack_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the stack");
MODULE_LICENSE("GPL");
