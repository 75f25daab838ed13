// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's examples of arenas. Documentation/arena.rst shows what stands
 * between the marks; each example is run when the module loads, and one that
 * does not do what the manual says makes the load fail.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <quarry/arena.h>

static unsigned int failed;

/* What an example says must be true. */
#define expect(condition)	expect_true((condition), #condition, __func__)

static void expect_true(bool is, const char *condition, const char *where)
{
	if (is)
		return;
	pr_err("arena_examples: %s: not so: %s\n", where, condition);
	failed++;
}

/* [types] */
struct header {
	u16 kind, length;
	struct header *next;
};

static struct quarry_arena *job;
/* [/types] */

/* [create] */
static int make_arena(void)
{
	/* 16 KiB at first, in growing chunks up to 1 MiB */
	const struct quarry_arena_args args = { .limit = SZ_1M };

	job = quarry_arena_create("job", SZ_16K, &args);
	return PTR_ERR_OR_ZERO(job);
}

/* [/create] */

/* [alloc] */
static struct header *header_new(u16 kind, struct header *next)
{
	struct header *header = quarry_arena_new(job, struct header);

	if (!header)		/* no room: count it, drop the packet */
		return NULL;
	header->kind = kind;	/* the rest is clear */
	header->next = next;
	return header;
}

/* [/alloc] */

static int example_alloc(void)
{
	struct header *list = NULL;
	int i;

	for (i = 0; i < 10; i++) {
		list = header_new(i, list);
		if (!list)
			return -ENOMEM;
	}
	expect(list->kind == 9 && list->next->kind == 8);
	return 0;
}

static int example_bytes(void)
{
	/* [bytes] */
	u8 *raw = quarry_arena_alloc(job, 100, 64);	/* aligned to 64 */
	u8 *clear = quarry_arena_zalloc(job, 100, 1);
	u8 *fast = quarry_arena_alloc_inline(job, 24, 8);
	u32 *table = quarry_arena_new_array(job, u32, 256);

	expect(raw && clear && fast && table);
	expect(IS_ALIGNED((unsigned long)raw, 64));
	expect(!memchr_inv(clear, 0, 100) && !table[255]);
	expect(quarry_arena_owns(job, table));
	/* [/bytes] */
	return 0;
}

/* [vprintf] */
/* A function of your own with the arguments of printf */
static __printf(1, 2) char *say(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = quarry_arena_vprintf(job, fmt, args);
	va_end(args);
	return text;		/* NULL when there is no room */
}

/* [/vprintf] */

static int example_strings(void)
{
	/* [strings] */
	char *name = quarry_arena_strdup(job, "eth0");
	char *queue = quarry_arena_printf(job, "%s-rx-%u", name, 3);
	char *copy = quarry_arena_memdup(job, "raw", 4);

	expect(name && queue && copy);		/* NULL when there is no room */
	expect(!strcmp(queue, "eth0-rx-3") && !strcmp(copy, "raw"));
	/* [/strings] */
	expect(!strcmp(say("%s-%d", "eth0", 5) ?: "", "eth0-5"));
	return 0;
}

static int example_grow(void)
{
	/* [grow] */
	/* In a task: grows when need be. */
	void *large = quarry_arena_alloc_sleep(job, SZ_64K, 8);
	int err;

	/* Or ahead of time, for whoever may not sleep. */
	err = quarry_arena_reserve(job, SZ_128K);
	expect(large && !err);
	expect(quarry_arena_alloc(job, SZ_64K, 8));
	expect(!quarry_arena_alloc_sleep(job, SZ_1M, 8));	/* the limit */
	expect(quarry_arena_capacity(job) <= SZ_1M);
	/* [/grow] */
	return err;
}

static int example_growth(void)
{
	/* [growth] */
	/* Chunks of 4, 16 and 64 KiB, and then what the limit leaves */
	const struct quarry_arena_args args = { .limit = SZ_128K, .growth = 4 };
	struct quarry_arena *arena = quarry_arena_create("steps", SZ_4K, &args);

	if (IS_ERR(arena))
		return PTR_ERR(arena);
	expect(quarry_arena_alloc(arena, SZ_4K, 8));
	expect(quarry_arena_alloc_sleep(arena, 100, 8));
	expect(quarry_arena_capacity(arena) == SZ_4K + SZ_16K);
	expect(quarry_arena_alloc_sleep(arena, SZ_16K, 8));
	expect(quarry_arena_capacity(arena) == SZ_4K + SZ_16K + SZ_64K);
	quarry_arena_destroy(arena);
	/* [/growth] */
	return 0;
}

static int example_mark(void)
{
	size_t used = quarry_arena_used(job);

	/* [mark] */
	struct quarry_arena_mark mark = quarry_arena_mark(job);

	if (!quarry_arena_marked(mark))		/* no room for 40 bytes */
		return -ENOMEM;
	header_new(1, NULL);
	header_new(2, NULL);
	/* The packet is dropped, and with it all that was taken for it. */
	quarry_arena_rewind(job, mark);
	/* [/mark] */
	expect(quarry_arena_used(job) == used);
	return 0;
}

/* [defer] */
static void put_page_cache(void *arg)
{
	int *references = arg;

	--*references;
}

static int example_defer(void)
{
	struct quarry_arena_mark mark = quarry_arena_mark(job);
	int references = 1;

	if (!quarry_arena_defer(job, put_page_cache, &references))
		put_page_cache(&references);	/* no room: do it now */
	quarry_arena_rewind(job, mark);		/* calls it */
	expect(references == 0);
	return 0;
}

/* [/defer] */

static int example_last(void)
{
	/* [last] */
	/* As much as it may be; then only what it was. */
	char *line = quarry_arena_alloc(job, 256, 1);
	size_t length;

	if (!line)
		return -ENOMEM;
	length = scnprintf(line, 256, "%s", "short") + 1;
	expect(quarry_arena_resize_last(job, line, 256, length));
	expect(quarry_arena_free_last(job, line, length));
	/* [/last] */
	return 0;
}

static int example_child(void)
{
	/* [child] */
	struct quarry_arena *request = quarry_arena_create("request", SZ_4K, NULL);
	const struct quarry_arena_args args = { .parent = request };
	struct quarry_arena *scratch, *result;

	if (IS_ERR(request))
		return PTR_ERR(request);
	scratch = quarry_arena_create("request-scratch", SZ_4K, &args);
	result = quarry_arena_create("request-result", SZ_4K, &args);
	expect(!IS_ERR(scratch) && !IS_ERR(result));
	quarry_arena_destroy(scratch);		/* a child may go first */
	expect(!IS_ERR(result) && quarry_arena_alloc(result, 100, 8));
	/* All that are left go with their parent. */
	quarry_arena_destroy(request);
	/* [/child] */
	return 0;
}

static int example_memory(void)
{
	/* [memory] */
	static u8 memory[4096] __aligned(8);
	const struct quarry_arena_args args = {
		.memory = memory, .memory_size = sizeof(memory),
		.flags = QUARRY_ARENA_STRICT,	/* sees any two owners who meet */
	};
	struct quarry_arena *arena = quarry_arena_create("static", 4096, &args);

	if (IS_ERR(arena))
		return PTR_ERR(arena);
	expect(quarry_arena_owns(arena, quarry_arena_alloc(arena, 4096, 8)));
	expect(!quarry_arena_alloc(arena, 1, 1));
	quarry_arena_destroy(arena);
	/* [/memory] */
	return 0;
}

static int example_figures(void)
{
	/* [figures] */
	struct quarry_arena_stats stats;

	quarry_arena_get_stats(job, &stats);
	expect(stats.used == quarry_arena_used(job));
	expect(stats.peak >= stats.used && stats.limit == SZ_1M);
	expect(!quarry_arena_verify(job));
	/* [/figures] */
	return 0;
}

static int example_misuse(void)
{
	struct quarry_arena_stats stats;

	/* For readers of the log: such lines are meant to be. */
	pr_info("quarry-expect-begin: refused\n");
	/* [misuse] */
	struct quarry_arena_mark outer = quarry_arena_mark(job);
	struct quarry_arena_mark inner = quarry_arena_mark(job);
	struct quarry_arena_mark none = {};

	quarry_arena_rewind(job, outer);
	quarry_arena_rewind(job, outer);		/* used twice */
	quarry_arena_rewind(job, inner);		/* newer than the top */
	quarry_arena_rewind(job, none);			/* not a mark */
	quarry_arena_free_last(job, &stats, 8);		/* not a block */

	quarry_arena_get_stats(job, &stats);
	expect(stats.refused == 4 && stats.refused_mark_used == 1);
	expect(!quarry_arena_verify(job));		/* nothing has changed */
	/* [/misuse] */
	pr_info("quarry-expect-end\n");
	return 0;
}

static int example_reset(void)
{
	/* [reset] */
	quarry_arena_reset(job);
	expect(!quarry_arena_used(job));
	/* [/reset] */
	return 0;
}

#ifdef QUARRY_ARENA_HAS_CLEANUP
static int example_cleanup(void)
{
	/* [cleanup] */
	struct quarry_arena *arena __free(quarry_arena) =
		quarry_arena_create("scoped", SZ_4K, NULL);

	if (IS_ERR(arena))
		return PTR_ERR(arena);
	expect(quarry_arena_alloc(arena, 100, 8));
	return 0;		/* destroyed here */
	/* [/cleanup] */
}
#endif

static int (* const examples[])(void) __initconst = {
	example_alloc, example_bytes, example_strings, example_grow,
	example_growth, example_mark, example_defer, example_last,
	example_child, example_memory, example_figures, example_misuse,
	example_reset,
#ifdef QUARRY_ARENA_HAS_CLEANUP
	example_cleanup,
#endif
};

static int __init arena_examples_init(void)
{
	int err = make_arena();
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(examples); i++)
		err = examples[i]();
	if (!err && failed)
		err = -EINVAL;
	if (err)
		quarry_arena_destroy(job);
	else
		pr_info("arena_examples: %zu examples ran\n", i);
	return err;
}

/* [destroy] */
static void __exit arena_examples_exit(void)
{
	quarry_arena_destroy(job);	/* NULL and ERR_PTR are ignored */
}

/* [/destroy] */

module_init(arena_examples_init);
module_exit(arena_examples_exit);
MODULE_DESCRIPTION("Examples of quarry's manual: arenas");
MODULE_LICENSE("GPL");
