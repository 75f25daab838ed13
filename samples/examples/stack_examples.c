// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's examples of stacks. Documentation/stack.rst shows what stands
 * between the marks; each example is run when the module loads, and one that
 * does not do what the manual says makes the load fail.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <quarry/stack.h>

static unsigned int failed;

/* What an example says must be true. */
#define expect(condition)	expect_true((condition), #condition, __func__)

static void expect_true(bool is, const char *condition, const char *where)
{
	if (is)
		return;
	pr_err("stack_examples: %s: not so: %s\n", where, condition);
	failed++;
}

/* [types] */
struct visit {
	u32 node;
	u16 depth;
};

static struct quarry_stack *stack;
/* [/types] */

/* [create] */
static int make_stack(void)
{
	stack = quarry_stack_create("walk", SZ_64K, NULL);
	return PTR_ERR_OR_ZERO(stack);
}

/* [/create] */

static int example_push(void)
{
	/* [push] */
	char *name = quarry_stack_push(stack, 20, 1);
	struct visit *visit = quarry_stack_push(stack, sizeof(*visit),
						__alignof__(*visit));

	if (!name || !visit)		/* the ends have met: counted, no report */
		return -ENOMEM;
	strscpy(name, "root", 20);	/* contents are undefined until written */
	visit->node = 1;
	expect(quarry_stack_pop(stack, visit));		/* last in, first out */
	expect(quarry_stack_pop(stack, name));
	/* [/push] */
	return 0;
}

static int example_values(void)
{
	/* [values] */
	const struct visit start = { .node = 7, .depth = 1 };
	struct visit got;

	if (!quarry_stack_push_value(stack, start) ||
	    !quarry_stack_push_value(stack, (u8)3) ||
	    !quarry_stack_push_value(stack, (u64)1 << 40))
		return -ENOMEM;
	expect(quarry_stack_pop_value(stack, u64) == (u64)1 << 40);
	expect(quarry_stack_pop_value(stack, u8) == 3);
	got = quarry_stack_pop_value(stack, struct visit);
	expect(got.node == 7);
	/* [/values] */
	return 0;
}

static int example_pop_to(void)
{
	/* [pop_to] */
	u32 value = 5, got;

	if (!quarry_stack_push_value(stack, value))
		return -ENOMEM;
	if (!quarry_stack_pop_to(stack, &got, sizeof(got)))
		return -EINVAL;		/* refused and reported; got is as it was */
	expect(got == 5);
	/* [/pop_to] */
	return 0;
}

/* [loop] */
/* A walk over a binary tree of @depth without recursion; how many nodes. */
static unsigned int count_nodes(u16 depth)
{
	struct visit next = { .node = 1 };
	unsigned int nodes = 0;
	size_t size;

	if (!quarry_stack_push_value(stack, next))
		return 0;
	while (quarry_stack_top(stack, &size)) {
		struct visit here = quarry_stack_pop_value(stack, struct visit);

		nodes++;
		if (here.depth == depth)
			continue;
		next.depth = here.depth + 1;
		next.node = 2 * here.node;
		quarry_stack_push_value(stack, next);
		next.node++;
		quarry_stack_push_value(stack, next);
	}
	return nodes;
}

/* [/loop] */

static int example_loop(void)
{
	expect(count_nodes(8) == 511);
	return 0;
}

static int example_marks(void)
{
	/* [marks] */
	struct quarry_stack_mark mark;
	struct quarry_stack_stats stats;

	if (!quarry_stack_mark(stack, &mark))
		return -ENOMEM;		/* no room for the mark */
	quarry_stack_push(stack, 100, 8);
	quarry_stack_push(stack, 200, 8);
	expect(quarry_stack_release(stack, &mark));	/* all of it, at once */

	quarry_stack_get_stats(stack, &stats);
	expect(stats.live == 0 && stats.released == 3);
	/* [/marks] */
	return 0;
}

static int example_ends(void)
{
	/* [ends] */
	struct quarry_stack_mark mark;
	void *result = quarry_stack_push_high(stack, 64, 8);	/* stays */
	size_t size;
	u16 *length;

	if (!result || !quarry_stack_mark(stack, &mark))
		return -ENOMEM;
	quarry_stack_push(stack, 4096, 8);			/* scratch */
	quarry_stack_release(stack, &mark);

	length = quarry_stack_push_value_high(stack, (u16)12);
	expect(quarry_stack_top_high(stack, &size) == length && size == 2);
	expect(quarry_stack_pop_value_high(stack, u16) == 12);
	expect(quarry_stack_pop_high(stack, result));
	/* [/ends] */
	return 0;
}

static int example_marks_high(void)
{
	/* [marks_high] */
	struct quarry_stack_mark mark;
	u8 byte = 1, got;

	if (!quarry_stack_mark_high(stack, &mark))
		return -ENOMEM;
	quarry_stack_push_value_high(stack, byte);
	expect(quarry_stack_pop_to_high(stack, &got, sizeof(got)) && got == 1);
	quarry_stack_push_value_high(stack, byte);
	expect(quarry_stack_release(stack, &mark));	/* knows its end */
	/* [/marks_high] */
	return 0;
}

static int example_inline(void)
{
	/* [inline] */
	u64 *low = quarry_stack_push_inline(stack, sizeof(u64), 8);
	u64 *high = quarry_stack_push_high_inline(stack, sizeof(u64), 8);
	u64 got = 0;

	if (!low || !high)
		return -ENOMEM;
	expect(quarry_stack_pop_inline(stack, low));
	expect(quarry_stack_pop_high_inline(stack, high));

	quarry_stack_push_value(stack, (u64)5);
	expect(quarry_stack_pop_to_inline(stack, &got, sizeof(got)) && got == 5);
	quarry_stack_push_value_high(stack, (u64)6);
	expect(quarry_stack_pop_to_high_inline(stack, &got, sizeof(got)));
	expect(got == 6);
	/* [/inline] */
	return 0;
}

static int example_reset(void)
{
	/* [reset] */
	quarry_stack_push(stack, 100, 8);
	quarry_stack_push_high(stack, 100, 8);
	quarry_stack_reset(stack);			/* blocks and marks */
	expect(!quarry_stack_top(stack, NULL));
	expect(!quarry_stack_verify(stack));		/* 0: all is sound */
	/* [/reset] */
	return 0;
}

static int example_memory(void)
{
	/* [memory] */
	struct quarry_stack_args args = { };
	struct quarry_stack *lent;

	args.memory_size = quarry_stack_memory_size(1000);
	args.memory = kmalloc(args.memory_size, GFP_KERNEL);
	if (!args.memory)
		return -ENOMEM;
	lent = quarry_stack_create("lent", 1000, &args);
	if (IS_ERR(lent)) {
		kfree(args.memory);
		return PTR_ERR(lent);
	}
	expect(quarry_stack_push(lent, 100, 8));
	quarry_stack_destroy(lent);		/* what is on it goes with it */
	kfree(args.memory);			/* after the stack, not before */
	/* [/memory] */
	return 0;
}

static int example_misuse(void)
{
	struct quarry_stack_stats stats;

	/* For readers of the log: such lines are meant to be. */
	pr_info("quarry-expect-begin: refused\n");
	/* [misuse] */
	u64 *one = quarry_stack_push_value(stack, (u64)1);
	u64 *two = quarry_stack_push_value(stack, (u64)2);
	struct quarry_stack_mark mark = { };

	expect(!quarry_stack_pop(stack, one));		/* not the top block */
	expect(!quarry_stack_pop_value(stack, u32));	/* not its size */
	expect(quarry_stack_pop(stack, two));
	expect(!quarry_stack_pop(stack, two));		/* popped before */
	expect(quarry_stack_mark(stack, &mark));
	expect(!quarry_stack_pop(stack, one));		/* a mark is on top */
	expect(quarry_stack_release(stack, &mark));
	expect(!quarry_stack_release(stack, &mark));	/* stale mark */
	expect(quarry_stack_pop(stack, one));
	expect(!quarry_stack_pop(stack, one));		/* nothing was pushed */

	quarry_stack_get_stats(stack, &stats);
	expect(stats.refused == 6 && stats.live == 0);
	/* [/misuse] */
	pr_info("quarry-expect-end\n");
	return 0;
}

#ifdef QUARRY_STACK_HAS_CLEANUP
static int example_cleanup(void)
{
	/* [cleanup] */
	struct quarry_stack *scoped __free(quarry_stack) =
		quarry_stack_create("scoped", SZ_4K, NULL);

	if (IS_ERR(scoped))
		return PTR_ERR(scoped);
	expect(quarry_stack_push(scoped, 100, 8));
	return 0;		/* destroyed here */
	/* [/cleanup] */
}
#endif

static int (* const examples[])(void) __initconst = {
	example_push, example_values, example_pop_to, example_loop,
	example_marks, example_ends, example_marks_high, example_inline,
	example_reset, example_memory, example_misuse,
#ifdef QUARRY_STACK_HAS_CLEANUP
	example_cleanup,
#endif
};

static int __init stack_examples_init(void)
{
	int err = make_stack();
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(examples); i++)
		err = examples[i]();
	if (!err && failed)
		err = -EINVAL;
	if (err)
		quarry_stack_destroy(stack);
	else
		pr_info("stack_examples: %zu examples ran\n", i);
	return err;
}

/* [destroy] */
static void __exit stack_examples_exit(void)
{
	quarry_stack_destroy(stack);	/* NULL and ERR_PTR are ignored */
}

/* [/destroy] */

module_init(stack_examples_init);
module_exit(stack_examples_exit);
MODULE_DESCRIPTION("Examples of quarry's manual: stacks");
MODULE_LICENSE("GPL");
