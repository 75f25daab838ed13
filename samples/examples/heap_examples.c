// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's examples of heaps. Documentation/heap.rst shows what stands
 * between the marks; each example is run when the module loads, and one that
 * does not do what the manual says makes the load fail.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <quarry/heap.h>

static unsigned int failed;

/* What an example says must be true. */
#define expect(condition)	expect_true((condition), #condition, __func__)

static void expect_true(bool is, const char *condition, const char *where)
{
	if (is)
		return;
	pr_err("heap_examples: %s: not so: %s\n", where, condition);
	failed++;
}

/* [create] */
static struct quarry_heap *payloads;

static int make_heap(void)
{
	payloads = quarry_heap_create("payloads", SZ_1M, NULL);
	return PTR_ERR_OR_ZERO(payloads);
}

/* [/create] */

/* [alloc] */
static void *payload_copy(const void *data, size_t len)
{
	void *copy = quarry_heap_alloc(payloads, len);

	if (!copy)		/* no room: count it, drop the packet */
		return NULL;
	return memcpy(copy, data, len);
}

/* [/alloc] */

/* [free] */
static void payload_done(void *copy)
{
	quarry_heap_free(payloads, copy);	/* NULL is ignored; no size is needed */
}

/* [/free] */

static int example_life(void)
{
	char *copy = payload_copy("quarry", 7);

	if (!copy)
		return -ENOMEM;
	expect(!strcmp(copy, "quarry"));
	payload_done(copy);
	payload_done(NULL);
	return 0;
}

static int example_kinds(void)
{
	/* [kinds] */
	u32 *zeroes = quarry_heap_zalloc(payloads, 100);
	u32 *array = quarry_heap_alloc_array(payloads, 25, sizeof(u32));
	void *line = quarry_heap_alloc_aligned(payloads, 100, 64);
	/* [/kinds] */

	expect(zeroes && !zeroes[24]);
	expect(array);
	expect(line && IS_ALIGNED((unsigned long)line, 64));
	expect(!quarry_heap_alloc_array(payloads, SIZE_MAX, 2));
	quarry_heap_free(payloads, zeroes);
	quarry_heap_free(payloads, array);
	quarry_heap_free(payloads, line);
	return 0;
}

static int example_realloc(void)
{
	/* [realloc] */
	char *line = quarry_heap_alloc(payloads, 16), *longer;

	if (!line)
		return -ENOMEM;
	strscpy(line, "in place, mostly", 16);
	longer = quarry_heap_realloc(payloads, line, 100);
	if (longer)
		line = longer;		/* else line is as it was */
	expect(quarry_heap_usable_size(payloads, line) >= 16);
	/* [/realloc] */
	expect(longer && !strncmp(line, "in place", 8));
	expect(quarry_heap_usable_size(payloads, line) >= 100);
	quarry_heap_free(payloads, line);
	return 0;
}

static int example_region(void)
{
	/* [region] */
	int err = quarry_heap_add_region(payloads, SZ_64K, NULL);
	/* [/region] */
	struct quarry_heap_stats stats;

	quarry_heap_get_stats(payloads, &stats);
	expect(!err && stats.regions == 2);
	return err;
}

static int example_figures(void)
{
	/* [figures] */
	struct quarry_heap_stats stats;

	quarry_heap_get_stats(payloads, &stats);
	pr_info("%llu blocks, %llu bytes of %llu, at most %llu; fragmentation %llu/1000\n",
		stats.live, stats.bytes_in_use, stats.bytes_reserved,
		stats.bytes_peak, stats.fragmentation);
	expect(quarry_heap_largest_free(payloads) == stats.largest_free);
	/* [/figures] */
	expect(!stats.live && stats.allocs && stats.largest_free > SZ_512K);
	return 0;
}

/* [walk] */
static int count_live(const struct quarry_heap_block *block, void *arg)
{
	size_t *live = arg;

	if (block->state == QUARRY_HEAP_LIVE)
		*live += block->size;
	return 0;		/* anything else ends the walk */
}

static size_t live_bytes(void)
{
	size_t live = 0;

	quarry_heap_walk(payloads, count_live, &live);
	return live;
}

/* [/walk] */

static int example_walk(void)
{
	void *copy = payload_copy("walk", 5);

	/* [owns] */
	expect(quarry_heap_owns(payloads, copy));	/* in a region, a block or not */
	/* [/owns] */
	expect(live_bytes() >= 5);
	payload_done(copy);
	return 0;
}

static int example_verify(void)
{
	/* [verify] */
	quarry_heap_flush(payloads);
	expect(!quarry_heap_verify(payloads));
	/* [/verify] */
	return 0;
}

static int example_bounded(void)
{
	/* [bounded] */
	struct quarry_heap_args args = { .flags = QUARRY_HEAP_BOUNDED };
	struct quarry_heap *commands;

	/* At most 32 KiB live at once, in requests of 24 to 1000 bytes. */
	commands = quarry_heap_create("commands", QUARRY_HEAP_SIZE(SZ_32K, 24, 1000),
				      &args);
	/* [/bounded] */
	if (IS_ERR(commands))
		return PTR_ERR(commands);
	quarry_heap_free(commands, quarry_heap_alloc(commands, 500));
	quarry_heap_destroy(commands);
	return 0;
}

static int example_memory(void)
{
	void *memory = kmalloc(SZ_4K, GFP_KERNEL);
	struct quarry_heap *heap;

	if (!memory)
		return -ENOMEM;
	{
		/* [memory] */
		struct quarry_heap_args args = {
			.memory = memory,	/* outlives the heap */
			.memory_size = SZ_4K,
			.flags = QUARRY_HEAP_NO_FRONT,
		};

		heap = quarry_heap_create("lent", SZ_4K, &args);
		/* [/memory] */
	}
	expect(!IS_ERR(heap));
	quarry_heap_destroy(heap);
	kfree(memory);
	return 0;
}

#ifdef QUARRY_HEAP_HAS_CLEANUP
static int example_cleanup(void)
{
	/* [cleanup] */
	struct quarry_heap *heap __free(quarry_heap) =
		quarry_heap_create("scoped", SZ_64K, NULL);
	/* [/cleanup] */

	expect(!IS_ERR(heap));
	return 0;
}
#endif

static int (* const examples[])(void) __initconst = {
	example_life, example_kinds, example_realloc, example_region,
	example_figures, example_walk, example_verify, example_bounded,
	example_memory,
#ifdef QUARRY_HEAP_HAS_CLEANUP
	example_cleanup,
#endif
};

static int __init heap_examples_init(void)
{
	int err = make_heap();
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(examples); i++)
		err = examples[i]();
	if (!err && failed)
		err = -EINVAL;
	if (err)
		quarry_heap_destroy(payloads);
	else
		pr_info("heap_examples: %zu examples ran\n", i);
	return err;
}

/* [destroy] */
static void __exit heap_examples_exit(void)
{
	quarry_heap_destroy(payloads);	/* NULL and ERR_PTR are ignored */
}

/* [/destroy] */

module_init(heap_examples_init);
module_exit(heap_examples_exit);
MODULE_DESCRIPTION("Examples of quarry's manual: heaps");
MODULE_LICENSE("GPL");
