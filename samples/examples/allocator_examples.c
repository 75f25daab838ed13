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
	return 0;
}

static int example_align(void)
{
	/* [align] */
	struct quarry_layout l = quarry_layout_make(20, 4);

	expect(quarry_layout_padding(l, 64) == 44);	/* to what is aligned to 64 */
	l = quarry_layout_align_to(l, 64);
	expect(l.size == 20 && l.align == 64);
	/* [/align] */
	return 0;
}

/* [flex] */
struct message {
	u32 nr;
	u64 words[];
};

static struct message *message_new(const struct quarry_allocator *a, size_t nr)
{
	struct message *m;

	/* @nr is what somebody sent: too many are refused, not computed wrong. */
	m = quarry_allocator_zalloc(a, QUARRY_LAYOUT_FLEX(struct message, words, nr));
	if (m)
		m->nr = nr;
	return m;
}

static void message_free(const struct quarry_allocator *a, struct message *m)
{
	quarry_allocator_free(a, m, QUARRY_LAYOUT_FLEX(struct message, words, m->nr));
}

/* [/flex] */

static int example_flex(void)
{
	struct quarry_allocator a = quarry_system_allocator(GFP_KERNEL);
	struct quarry_layout l = QUARRY_LAYOUT_FLEX(struct message, words, 100);
	struct message *m = message_new(&a, 100);

	if (!m)
		return -ENOMEM;
	expect(l.size == 808 && l.align == 8 && !m->words[99]);
	expect(!quarry_layout_valid(QUARRY_LAYOUT_FLEX(struct message, words,
						       SIZE_MAX / 8)));
	message_free(&a, m);
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

/* [adapters] */
static int sums_on_all(void)
{
	struct quarry_heap *heap = quarry_heap_create("sums", SZ_64K, NULL);
	struct quarry_router *router = quarry_router_create("sums", SZ_1M, NULL);
	struct quarry_arena *arena = quarry_arena_create("sums", SZ_64K, NULL);
	struct quarry_bump *bump = quarry_bump_create("sums", SZ_64K, NULL);
	struct quarry_percpu_arena *percpu =
		quarry_percpu_arena_create("sums", SZ_256K, NULL);
	struct quarry_stack *stack = quarry_stack_create("sums", SZ_64K, NULL);
	/* One of NULL or an ERR_PTR can be made, and refuses everything. */
	const struct quarry_allocator all[] = {
		quarry_heap_allocator(heap),
		quarry_router_allocator(router, GFP_KERNEL),
		quarry_arena_allocator(arena),
		quarry_bump_allocator(bump),
		quarry_percpu_arena_allocator(percpu),
		quarry_stack_allocator(stack),	/* the list is freed from its head */
	};
	int err = 0;
	size_t i;
	u64 sum;

	for (i = 0; i < ARRAY_SIZE(all) && !err; i++) {
		err = list_sum(&all[i], 100, &sum);
		expect(sum == 5050);
	}
	quarry_heap_destroy(heap);
	quarry_router_destroy(router);
	quarry_arena_destroy(arena);
	quarry_bump_destroy(bump);
	quarry_percpu_arena_destroy(percpu);
	quarry_stack_destroy(stack);
	return err;
}

/* [/adapters] */

static int example_types(void)
{
	/* [types] */
	const struct quarry_allocator a = quarry_system_allocator(GFP_KERNEL);
	struct node *node = QUARRY_ZNEW(&a, struct node);
	u64 *squares = QUARRY_NEW_ARRAY(&a, u64, 20);
	int i;

	for (i = 0; squares && i < 20; i++)
		squares[i] = i * i;
	expect(!QUARRY_NEW_ARRAY(&a, u64, 1000000000));	/* more than there may be */
	expect(node && !node->value);
	QUARRY_DELETE(&a, node);
	QUARRY_DELETE_ARRAY(&a, squares, 20);
	/* [/types] */
	return squares ? 0 : -ENOMEM;
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

	quarry_wrapper_destroy(failing);		/* the outer one first */
	quarry_wrapper_destroy(counting);
	/* [/wrappers] */
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
		example_layouts, example_extend, example_align, example_flex,
		example_backends, sums_on_all, example_types, example_operations,
		example_wrappers, example_logging,
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
