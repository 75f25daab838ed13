// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's examples of routers. Documentation/router.rst shows what stands
 * between the marks; each example is run when the module loads, and one that does
 * not do what the manual says makes the load fail.
 */
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <quarry/router.h>

static unsigned int failed;

/* What an example says must be true. */
#define expect(condition)	expect_true((condition), #condition, __func__)

static void expect_true(bool is, const char *condition, const char *where)
{
	if (is)
		return;
	pr_err("router_examples: %s: not so: %s\n", where, condition);
	failed++;
}

/* [create] */
static struct quarry_router *router;

static int make_router(void)
{
	router = quarry_router_create("driver", SZ_2M, NULL);
	return PTR_ERR_OR_ZERO(router);
}

/* [/create] */

/* [alloc] */
struct message {
	u32 length;
	u8 text[];
};

/* Of a task: the system may be asked, and may sleep. In an irq: GFP_ATOMIC, or 0. */
static struct message *message_new(const u8 *text, u32 length, gfp_t gfp)
{
	struct message *m = quarry_router_alloc(router, sizeof(*m) + length, gfp);

	if (!m)
		return NULL;
	m->length = length;
	memcpy(m->text, text, length);
	return m;
}

static void message_free(struct message *m)
{
	quarry_router_free(router, m);		/* wherever it came from */
}

/* [/alloc] */

static int example_alloc(void)
{
	struct message *small = message_new("hello", 5, 0);
	struct message *large = message_new(NULL, 0, GFP_KERNEL);

	expect(small && small->length == 5);
	expect(large);
	message_free(small);
	message_free(large);
	return 0;
}

static int example_realloc(void)
{
	/* [realloc] */
	u64 *table = quarry_router_zalloc(router, 8 * sizeof(u64), GFP_KERNEL);
	u64 *larger;

	if (!table)
		return -ENOMEM;
	larger = quarry_router_realloc(router, table, 4096 * sizeof(u64), GFP_KERNEL);
	if (larger)		/* else the old one is live, and as it was */
		table = larger;
	/* [/realloc] */
	expect(larger && !larger[7]);
	quarry_router_free(router, table);
	return 0;
}

static int example_aligned(void)
{
	/* [aligned] */
	void *page = quarry_router_alloc_aligned(router, 3000, 4096, GFP_KERNEL);

	/* [/aligned] */
	expect(page && IS_ALIGNED((unsigned long)page, 4096));
	quarry_router_free(router, page);
	return 0;
}

static int example_sizes(void)
{
	/* [sizes] */
	char *text = quarry_router_alloc(router, 100, 0);
	size_t room = quarry_router_usable_size(router, text);

	/* 100 bytes are served by the class of 104, and all of it may be used. */
	expect(quarry_router_class_size(router, 100) == room);
	expect(room == 104);
	expect(quarry_router_owns(router, text));
	/* [/sizes] */
	quarry_router_free(router, text);
	return 0;
}

static int example_classes(void)
{
	/* [classes] */
	static const struct quarry_router_class classes[] = {
		{ .size = 48, .nr_blocks = 1000 },
		{ .size = 256, .nr_blocks = 200 },
	};
	const struct quarry_router_args args = {
		.flags = QUARRY_ROUTER_STRICT,
		.classes = classes, .nr_classes = ARRAY_SIZE(classes),
	};
	/* As much as the classes take, and nothing else. */
	struct quarry_router *fixed = quarry_router_create("fixed", 0, &args);
	/* [/classes] */

	if (IS_ERR(fixed))
		return PTR_ERR(fixed);
	expect(!quarry_router_alloc(fixed, 257, GFP_KERNEL));
	quarry_router_destroy(fixed);
	return 0;
}

static int example_system_max(void)
{
	/* [system_max] */
	/* No more than 10 blocks of the system at once, whatever a burst asks for. */
	const struct quarry_router_args args = { .system_max = 10 };
	struct quarry_router *bounded = quarry_router_create("bounded", SZ_1M, &args);
	struct quarry_router_stats stats;
	void *burst[11];
	int i;

	if (IS_ERR(bounded))
		return PTR_ERR(bounded);
	for (i = 0; i < 11; i++)	/* more than the heap has: to the system */
		burst[i] = quarry_router_alloc(bounded, SZ_1M, GFP_KERNEL);
	quarry_router_get_stats(bounded, &stats);
	expect(burst[9] && !burst[10]);
	expect(stats.system_live == 10 && stats.system_full == 1);
	/* [/system_max] */
	while (i--)
		quarry_router_free(bounded, burst[i]);
	quarry_router_destroy(bounded);
	return 0;
}

/* [memory] */
/* @pages are the client's own, aligned to a page. */
static int use_lent(void *pages, size_t size)
{
	static const struct quarry_router_class classes[] = {
		{ .size = 64, .nr_blocks = 100 },
	};
	const struct quarry_router_args args = {
		.memory = pages, .memory_size = size,
		.classes = classes, .nr_classes = ARRAY_SIZE(classes),
	};
	struct quarry_router *lent = quarry_router_create("lent", size, &args);
	void *block;

	if (IS_ERR(lent))
		return PTR_ERR(lent);
	block = quarry_router_alloc(lent, 60, 0);
	expect(block >= pages && block < pages + size);
	quarry_router_free(lent, block);
	quarry_router_destroy(lent);	/* and the pages are the client's again */
	return 0;
}

/* [/memory] */

static int example_memory(void)
{
	void *pages = (void *)__get_free_pages(GFP_KERNEL, 4);
	int err = pages ? use_lent(pages, PAGE_SIZE << 4) : -ENOMEM;

	free_pages((unsigned long)pages, 4);
	return err;
}

static int example_figures(void)
{
	/* [figures] */
	struct quarry_router_stats stats;

	quarry_router_get_stats(router, &stats);
	expect(stats.allocs == stats.hits + stats.fell_back);
	expect(stats.live == stats.allocs - stats.frees);
	expect(quarry_router_verify(router) == 0);
	/* [/figures] */
	return 0;
}

static int __init router_examples_init(void)
{
	static int (* const examples[])(void) __initconst = {
		make_router, example_alloc, example_realloc, example_aligned,
		example_sizes, example_classes, example_system_max,
		example_memory, example_figures,
	};
	int err = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(examples) && !err; i++)
		err = examples[i]();
	if (!err && !failed)
		return 0;
	quarry_router_destroy(router);
	return err ?: -EINVAL;
}

static void __exit router_examples_exit(void)
{
	/* [destroy] */
	quarry_router_destroy(router);
	/* [/destroy] */
}

module_init(router_examples_init);
module_exit(router_examples_exit);
MODULE_DESCRIPTION("The manual's examples of routers");
MODULE_LICENSE("GPL");
