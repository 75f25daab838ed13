// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's examples of layouts, allocators and wrappers. Documentation/
 * allocator.rst shows what stands between the marks; each example is run when the
 * module loads, and one that does not do what the manual says makes the load fail.
 */
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <quarry/quarry.h>

static unsigned int failed;

/* What an example says must be true. */
#define expect(condition)	expect_true((condition), #condition, __func__)

static void expect_true(bool is, const char *condition, const char *where)
{
	if (is)
		return;
	pr_err("allocator_examples: %s: not so: %s\n", where, condition);
	failed++;
}

static int example_layouts(void)
{
	/* [layouts] */
	struct quarry_layout l = QUARRY_LAYOUT(u64);		/* 8 bytes, aligned to 8 */
	struct quarry_layout none = QUARRY_LAYOUT_ARRAY(u64, SIZE_MAX / 4);

	expect(l.size == 8 && l.align == 8);
	expect(!quarry_layout_valid(none));		/* too many: refused by all */
	expect(quarry_layout_equal(QUARRY_LAYOUT_ARRAY(u32, 10),
				   quarry_layout_make(40, 4)));
	/* [/layouts] */
	return 0;
}

static int example_extend(void)
{
	/* [extend] */
	/* A header, a cache line of counters behind it, then @nr names of 13 bytes. */
	struct quarry_layout l = quarry_layout_make(20, 4), names;
	size_t counters, first_name, stride, nr = 5;

	l = quarry_layout_extend(l, quarry_layout_make(64, 64), &counters);
	names = quarry_layout_repeat(quarry_layout_make(13, 4), nr, &stride);
	l = quarry_layout_extend(l, names, &first_name);
	l = quarry_layout_pad(l);
	expect(counters == 64 && first_name == 128 && stride == 16);
	expect(l.size == 256 && l.align == 64);
	/* [/extend] */
	expect(quarry_layout_padding(quarry_layout_make(20, 4), 64) == 44);
	expect(quarry_layout_align_to(quarry_layout_make(20, 4), 64).align == 64);
	return 0;
}

/* [client] */
struct node {
	struct node *next;
	u64 value;
};

/* Written once: where its memory comes from is the caller's choice. */
static int list_sum(const struct quarry_allocator *a, u64 n, u64 *sum)
{
	struct node *list = NULL, *node;
	int err = 0;

	while (n && !err) {
		node = QUARRY_NEW(a, struct node);
		if (node) {
			*node = (struct node){ list, n-- };
			list = node;
		} else {
			err = -ENOMEM;
		}
	}
	for (*sum = 0; list; list = node) {
		*sum += list->value;
		node = list->next;
		QUARRY_DELETE(a, list);
	}
	return err;
}

/* [/client] */

static int example_backends(void)
{
	/* [backends] */
	struct quarry_pool *pool = quarry_pool_create("nodes", sizeof(struct node),
						      100, NULL);
	struct quarry_allocator a = quarry_pool_allocator(pool);
	u64 sum;

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	expect(list_sum(&a, 100, &sum) == 0 && sum == 5050);
	a = quarry_system_allocator(GFP_KERNEL);
	expect(list_sum(&a, 100, &sum) == 0 && sum == 5050);
	/* [/backends] */
	quarry_pool_destroy(pool);
	return 0;
}

static int example_operations(void)
{
	/* [operations] */
	const struct quarry_allocator a = quarry_system_allocator(GFP_KERNEL);
	struct quarry_layout l = QUARRY_LAYOUT_ARRAY(u32, 10);
	struct quarry_layout more = QUARRY_LAYOUT_ARRAY(u32, 1000);
	u32 *numbers = quarry_allocator_zalloc(&a, l), *grown;
	char *raw = quarry_allocator_alloc(&a, quarry_layout_make(100, 1));

	if (!numbers)
		return -ENOMEM;
	grown = quarry_allocator_realloc(&a, numbers, l, more);
	if (grown) {
		numbers = grown;
		l = more;
	}
	/* [/operations] */
	expect(raw && grown && !numbers[9]);
	/* [free] */
	quarry_allocator_free(&a, numbers, l);	/* with the layout that it has */
	quarry_allocator_free(&a, raw, quarry_layout_make(100, 1));
	/* [/free] */
	return 0;
}

static int example_types(void)
{
	/* [types] */
	const struct quarry_allocator a = quarry_system_allocator(GFP_KERNEL);
	struct node *node = QUARRY_ZNEW(&a, struct node);	/* cleared */
	u64 *table = QUARRY_NEW_ARRAY(&a, u64, 256);		/* not cleared */

	expect(node && !node->next && !node->value && table);
	QUARRY_DELETE(&a, node);			/* NULL is ignored */
	QUARRY_DELETE_ARRAY(&a, table, 256);		/* as many as there were */
	/* [/types] */
	return 0;
}

static int example_wrappers(void)
{
	/* [wrappers] */
	const struct quarry_wrapper_args third = { .nth = 3 };
	struct quarry_allocator a = quarry_system_allocator(GFP_KERNEL);
	struct quarry_wrapper *counting, *failing;
	struct quarry_wrapper_stats stats;
	u64 sum;

	counting = quarry_counting_create("list-count", &a);
	a = quarry_wrapper_allocator(counting);
	failing = quarry_failing_create("list-fail", &a, NULL);
	a = quarry_wrapper_allocator(failing);

	quarry_failing_arm(failing, &third);		/* the third request gets NULL */
	expect(list_sum(&a, 100, &sum) == -ENOMEM);
	quarry_wrapper_get_stats(counting, &stats);
	expect(stats.allocs == 2 && stats.live == 0);	/* and nothing leaks */
	/* [/wrappers] */
	quarry_wrapper_destroy(failing);
	quarry_wrapper_destroy(counting);
	return 0;
}

static int example_logging(void)
{
	/* [logging] */
	struct quarry_allocator a = quarry_system_allocator(GFP_KERNEL);
	struct quarry_wrapper *logging = quarry_logging_create("list-log", &a);
	u64 sum;

	a = quarry_wrapper_allocator(logging);
	expect(list_sum(&a, 2, &sum) == 0);
	/* [/logging] */
	quarry_wrapper_destroy(logging);
	return 0;
}

static int __init allocator_examples_init(void)
{
	static int (* const examples[])(void) __initconst = {
		example_layouts, example_extend, example_backends,
		example_operations, example_types, example_wrappers,
		example_logging,
	};
	int err = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(examples) && !err; i++)
		err = examples[i]();
	return err ?: failed ? -EINVAL : 0;
}

static void __exit allocator_examples_exit(void)
{
}

module_init(allocator_examples_init);
module_exit(allocator_examples_exit);
MODULE_DESCRIPTION("The manual's examples of layouts, allocators and wrappers");
MODULE_LICENSE("GPL");
