// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KASAN sees of a stack's blocks: bad accesses on purpose, each of which it must
 * report at that very access, and good ones next to them, which it must not.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include "stack_util.h"

static void use_after_pop_is_reported(struct kunit *test)
{
	struct quarry_stack_mark mark;
	struct quarry_stack *stack;
	u8 *low, *high, *more;

	need_kasan(test);
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

	need_kasan(test);
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

static struct kunit_case sanitize_cases[] = {
	KUNIT_CASE(use_after_pop_is_reported),
	KUNIT_CASE(lent_memory_is_poisoned_and_given_back),
	{}
};

static struct kunit_suite sanitize_suite = {
	.name = "quarry_stack_sanitize",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = sanitize_cases,
};

kunit_test_suite(sanitize_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: what KASAN sees of stacks");
MODULE_LICENSE("GPL");
