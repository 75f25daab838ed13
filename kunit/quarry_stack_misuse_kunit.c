// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that a caller can do wrong to a stack: it is refused, exactly one
 * report says what it was, one counter moves, and nothing else changes.
 */
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include "../kmod/compat.h"
#include "stack_util.h"

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
	int bit;

	quarry_stack_push(stack, 16, 8);
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, &before));
	expect_refusal(test, stack, before, REFUSED(foreign), "foreign pointer");
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, block));
	expect_refusal(test, stack, before, REFUSED(foreign),
		       "it is of pool \"other\" block");
	/* The block's address but for bits that the frame's word has no room for. */
	for (bit = 51; bit < 64; bit++) {
		u64 address = (u64)quarry_stack_top(stack, NULL) ^ BIT_ULL(bit);

		before = figures(stack);
		KUNIT_EXPECT_FALSE(test, quarry_stack_pop(stack, (void *)address));
		expect_refusal(test, stack, before, REFUSED(foreign), "foreign pointer");
		KUNIT_EXPECT_FALSE(test, quarry_stack_pop_inline(stack, (void *)address));
		expect_reports(test, 1, "foreign pointer");
	}
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
	before = figures(stack);
	KUNIT_EXPECT_FALSE(test, quarry_stack_pop_to(stack, NULL, 4));
	expect_refusal(test, stack, before, REFUSED(argument), "bad argument");
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
			       "bad argument");
		before = figures(stack);
		KUNIT_EXPECT_NULL(test, quarry_stack_push_high(stack, bad[i][0],
							       bad[i][1]));
		expect_refusal(test, stack, before, REFUSED(argument),
			       "bad argument");
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

/* A stray write into the word in front of the top block, any byte, any value. */
static void spoilt_high_word_is_found_by_pop(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	void *below = quarry_stack_push_high(stack, 24, 8);
	u8 *block = quarry_stack_push_high(stack, 16, 8), *word = block - 8;
	unsigned int i, flip;

	for (i = 0; i < 8; i++)
		for (flip = 1; flip < 256; flip++) {
			word[i] ^= flip;
			if (quarry_stack_pop_high(stack, block))
				kunit_err(test, "byte %u xor %#x not seen", i, flip);
			KUNIT_ASSERT_EQ(test, atomic_xchg(&capture.nr, 0), 1);
			word[i] ^= flip;
		}
	KUNIT_EXPECT_EQ(test, figures(stack).refused_overrun, 8 * 255);
	expect_sound(test, stack);
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_high(stack, block));
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop_high(stack, below));
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

/* Each byte of what lies in a mark's frame, any value: none is believed. */
static void spoilt_mark_is_not_believed(struct kunit *test)
{
	struct quarry_stack *stack = create_stack(test, 4096, NULL);
	u8 *block = quarry_stack_push(stack, 8, 8);
	u8 *frame = block + (HAVE_KASAN ? 24 : 16);	/* behind that and its word */
	struct quarry_stack_mark mark;
	unsigned int i, flip;

	quarry_stack_mark(stack, &mark);
	KUNIT_ASSERT_NOT_NULL(test, quarry_stack_push(stack, 8, 8));
	for (i = 0; i < 24; i++)
		for (flip = 1; flip < 256; flip++) {
			frame[i] ^= flip;
			if (quarry_stack_release(stack, &mark))
				kunit_err(test, "byte %u xor %#x not seen", i, flip);
			KUNIT_ASSERT_EQ(test, atomic_xchg(&capture.nr, 0), 1);
			frame[i] ^= flip;
		}
	KUNIT_EXPECT_EQ(test, figures(stack).refused_overrun, 24 * 255);
	frame[16] ^= 1;
	KUNIT_EXPECT_EQ(test, quarry_stack_verify(stack), -EUCLEAN);
	expect_reports(test, 1, "and the marks disagree");
	frame[16] ^= 1;
	expect_sound(test, stack);
	KUNIT_EXPECT_TRUE(test, quarry_stack_release(stack, &mark));
	KUNIT_EXPECT_EQ(test, figures(stack).released, 2);
	KUNIT_EXPECT_TRUE(test, quarry_stack_pop(stack, block));
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
	hrtimer_forward_now(timer, ns_to_ktime(500 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static void two_owners_are_caught(struct kunit *test)
{
	struct intruder i = { };
	size_t size = SZ_1M;
	void *room = kvmalloc(size, GFP_KERNEL);
	unsigned long end = jiffies;
	u64 refused;

	KUNIT_ASSERT_NOT_NULL(test, room);
	i.stack = create_stack(test, 2 * size, NULL);
	hrtimer_setup(&i.timer, intrude, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&i.timer, ns_to_ktime(500 * NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED_HARD);
	while (race_goes_on(end, figures(i.stack).refused_owners)) {
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

static struct kunit_case stack_misuse_cases[] = {
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
	KUNIT_CASE(spoilt_high_word_is_found_by_pop),
	KUNIT_CASE(release_survives_overrun),
	KUNIT_CASE(spoilt_mark_is_found),
	KUNIT_CASE(spoilt_mark_is_not_believed),
	KUNIT_CASE(destroyed_stack_refuses),
	KUNIT_CASE(bad_handles_are_refused),
	KUNIT_CASE(destroy_in_atomic_context_is_refused),
	KUNIT_CASE(two_owners_are_caught),
	{}
};

static struct kunit_suite stack_misuse_suite = {
	.name = "quarry_stack_misuse",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = stack_misuse_cases,
};

kunit_test_suite(stack_misuse_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: misuse of a stack");
MODULE_LICENSE("GPL");
