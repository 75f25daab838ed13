// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's examples of bumps. Documentation/bump.rst shows what stands between
 * the marks; each example is run when the module loads, and one that does not do
 * what the manual says makes the load fail.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <quarry/bump.h>

static unsigned int failed;

/* What an example says must be true. */
#define expect(condition)	expect_true((condition), #condition, __func__)

static void expect_true(bool is, const char *condition, const char *where)
{
	if (is)
		return;
	pr_err("bump_examples: %s: not so: %s\n", where, condition);
	failed++;
}

/* [create] */
struct event {
	u64 when;
	u32 length;
	u8 text[];
};

static struct quarry_bump *events;

static int make_bump(void)
{
	events = quarry_bump_create("events", 65536, NULL);
	return PTR_ERR_OR_ZERO(events);
}

/* [/create] */

/* [alloc] */
/* From any context: a timer, an NMI, a task. */
static struct event *event_new(const u8 *text, u32 length)
{
	struct event *event;

	event = quarry_bump_alloc(events, sizeof(*event) + length,
				  __alignof__(struct event));
	if (!event)		/* so much is not left: count it, go on */
		return NULL;
	event->length = length;
	memcpy(event->text, text, length);
	return event;
}

/* [/alloc] */

static int example_alloc(void)
{
	struct event *event = event_new("hello", 5);

	expect(event && event->length == 5);
	return 0;
}

static int example_zalloc(void)
{
	/* [zalloc] */
	u64 *counts = quarry_bump_zalloc(events, 10 * sizeof(u64), 64);

	expect(counts && !counts[0] && !counts[9]);
	expect(IS_ALIGNED((unsigned long)counts, 64));
	/* [/zalloc] */
	return 0;
}

static int example_inline(void)
{
	/* [inline] */
	/* events: never NULL or ERR_PTR; size and alignment: constants */
	struct event *event = quarry_bump_alloc_inline(events, 64, 8);

	expect(event);
	/* [/inline] */
	return 0;
}

static int example_reset(void)
{
	/* [reset] */
	struct event *event = event_new("old", 3);

	expect(event && quarry_bump_used(events) > 0);
	/* Nobody uses an event any more: see to that first. */
	quarry_bump_reset(events);
	expect(quarry_bump_used(events) == 0);
	expect(quarry_bump_capacity(events) == 65536);
	/* [/reset] */
	return 0;
}

static int example_generation(void)
{
	/* [generation] */
	u32 gen, later;
	u8 *piece = quarry_bump_alloc_gen(events, 100, 8, &gen);

	expect(piece && gen == quarry_bump_generation(events));
	expect(quarry_bump_owns(events, piece, gen));
	expect(quarry_bump_owns(events, piece + 99, gen));	/* inside, too */

	later = quarry_bump_reset(events);
	expect(later == quarry_bump_generation(events));
	expect(!quarry_bump_owns(events, piece, gen));		/* stale */

	/* The same memory, handed out again: only the generation tells. */
	expect(quarry_bump_alloc(events, 100, 8) == piece);
	expect(quarry_bump_owns(events, piece, later));
	expect(!quarry_bump_owns(events, piece, gen));
	expect(quarry_bump_owns(events, piece, QUARRY_BUMP_ANY_GEN));
	/* [/generation] */
	return 0;
}

static int example_exhausted(void)
{
	/* [exhausted] */
	struct quarry_bump_stats stats;

	expect(!quarry_bump_alloc(events, 65537, 1));	/* more than there is */
	expect(quarry_bump_alloc(events, 8, 8));	/* and all is as it was */

	quarry_bump_get_stats(events, &stats);
	expect(stats.exhausted == 1 && stats.used && stats.left);
	expect(!quarry_bump_verify(events));
	/* [/exhausted] */
	return 0;
}

static int example_memory(void)
{
	/* [memory] */
	struct quarry_bump_args args = { .memory_size = 1000 };
	struct quarry_bump *bump;

	args.memory = kmalloc(args.memory_size, GFP_KERNEL);
	if (!args.memory)
		return -ENOMEM;
	bump = quarry_bump_create("sram", 1000, &args);
	if (!IS_ERR(bump))
		expect(quarry_bump_alloc(bump, 1000, 1) == args.memory);
	quarry_bump_destroy(bump);
	kfree(args.memory);			/* after the bump, not before */
	/* [/memory] */
	return PTR_ERR_OR_ZERO(bump);
}

static int example_misuse(void)
{
	/* For readers of the log: such lines are meant to be. */
	pr_info("quarry-expect-begin: refused\n");
	/* [misuse] */
	struct quarry_bump_stats stats;

	expect(!quarry_bump_alloc(events, 0, 8));	/* size 0 */
	expect(!quarry_bump_alloc(events, 8, 48));	/* no power of two */
	quarry_bump_get_stats(events, &stats);
	expect(stats.refused == 2);
	/* [/misuse] */
	pr_info("quarry-expect-end\n");
	return 0;
}

#ifdef QUARRY_BUMP_HAS_CLEANUP
static int example_cleanup(void)
{
	/* [cleanup] */
	struct quarry_bump *bump __free(quarry_bump) =
		quarry_bump_create("scoped", SZ_4K, NULL);

	if (IS_ERR(bump))
		return PTR_ERR(bump);
	expect(quarry_bump_alloc(bump, 100, 8));
	return 0;		/* destroyed here */
	/* [/cleanup] */
}
#endif

static int (* const examples[])(void) __initconst = {
	example_alloc, example_zalloc, example_inline, example_reset,
	example_generation, example_exhausted, example_memory, example_misuse,
#ifdef QUARRY_BUMP_HAS_CLEANUP
	example_cleanup,
#endif
};

static int __init bump_examples_init(void)
{
	int err = make_bump();
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(examples); i++)
		err = examples[i]();
	if (!err && failed)
		err = -EINVAL;
	if (err)
		quarry_bump_destroy(events);
	else
		pr_info("bump_examples: %zu examples ran\n", i);
	return err;
}

/* [destroy] */
static void __exit bump_examples_exit(void)
{
	quarry_bump_destroy(events);	/* NULL and ERR_PTR are ignored */
}

/* [/destroy] */

module_init(bump_examples_init);
module_exit(bump_examples_exit);
MODULE_DESCRIPTION("Examples of quarry's manual: bumps");
MODULE_LICENSE("GPL");
