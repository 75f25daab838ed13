// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's examples of per-CPU arenas. Documentation/percpu_arena.rst shows
 * what stands between the marks; each example is run when the module loads, and one
 * that does not do what the manual says makes the load fail.
 */
#include <linux/completion.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <quarry/percpu_arena.h>

static unsigned int failed;

/* What an example says must be true. */
#define expect(condition)	expect_true((condition), #condition, __func__)

static void expect_true(bool is, const char *condition, const char *where)
{
	if (is)
		return;
	pr_err("percpu_arena_examples: %s: not so: %s\n", where, condition);
	failed++;
}

/* [create] */
struct sample {
	u64 when;
	u32 length;
	u8 data[];
};

static struct quarry_percpu_arena *samples;

static int make_arena(void)
{
	const struct quarry_percpu_arena_args args = {
		.chunk = 8192,			/* what a CPU takes at once */
	};

	samples = quarry_percpu_arena_create("samples", 1 << 20, &args);
	return PTR_ERR_OR_ZERO(samples);
}

/* [/create] */

/* [alloc] */
/* From any context, on many CPUs at once: they do not meet. */
static struct sample *sample_new(const u8 *data, u32 length)
{
	struct sample *sample;

	sample = quarry_percpu_arena_alloc(samples, sizeof(*sample) + length,
					   __alignof__(struct sample));
	if (!sample)		/* nothing to be had here: count it, go on */
		return NULL;
	sample->length = length;
	memcpy(sample->data, data, length);
	return sample;
}

/* [/alloc] */

static int example_alloc(void)
{
	/* [owns] */
	struct sample *sample = sample_new("hello", 5);

	expect(sample && sample->length == 5);
	/* In its chunks; whether it was handed out, and when, is not known. */
	expect(quarry_percpu_arena_owns(samples, sample));
	expect(!quarry_percpu_arena_owns(samples, &sample));
	/* [/owns] */
	return 0;
}

static int example_zalloc(void)
{
	/* [zalloc] */
	u64 *counts = quarry_percpu_arena_zalloc(samples, 10 * sizeof(u64), 64);

	expect(counts && !counts[0] && !counts[9]);
	/* [/zalloc] */
	return 0;
}

static int example_inline(void)
{
	/* [inline] */
	/* samples: never NULL or ERR_PTR; size and alignment: constants */
	struct sample *sample = quarry_percpu_arena_alloc_inline(samples, 64, 8);

	expect(sample);
	/* [/inline] */
	return 0;
}

static int example_large(void)
{
	/* [large] */
	/* Larger than a chunk: chunks in a row. */
	u8 *large = quarry_percpu_arena_alloc(samples, 20000, 4096);

	expect(large && IS_ALIGNED((unsigned long)large, 4096));
	expect(quarry_percpu_arena_chunk(samples) == 8192);
	/* [/large] */
	return 0;
}

static int example_reset(void)
{
	/* [reset] */
	/* Nobody uses a sample and nobody takes one: see to that first. */
	expect(!quarry_percpu_arena_reset(samples));
	expect(quarry_percpu_arena_used(samples) == 0);
	/* [/reset] */
	return 0;
}

/* [reset-rcu] */
static DECLARE_COMPLETION(came_back);

/* The old memory can be had again. Softirq: short, and may not sleep. */
static void samples_came_back(void *arg)
{
	complete(arg);
}

static int drop_samples(void)
{
	/* Readers that have begun read on; allocs get fresh memory at once. */
	return quarry_percpu_arena_reset_rcu(samples, samples_came_back,
					     &came_back);
}

/* [/reset-rcu] */

static int example_reset_rcu(void)
{
	struct sample *old, *new;
	int err;

	rcu_read_lock();
	old = sample_new("old", 3);
	err = drop_samples();
	new = sample_new("new", 3);
	expect(!err && old && new && old != new);
	expect(!memcmp(old->data, "old", 3));	/* until we unlock */
	rcu_read_unlock();
	if (!err)
		wait_for_completion(&came_back);
	return err;
}

static int example_figures(void)
{
	/* [figures] */
	struct quarry_percpu_arena_stats stats;

	quarry_percpu_arena_get_stats(samples, &stats);
	expect(stats.capacity == quarry_percpu_arena_capacity(samples));
	expect(stats.capacity == stats.used + stats.left + stats.retired +
	       stats.cached + stats.shared + stats.tails + stats.wasted);
	expect(!quarry_percpu_arena_verify(samples));
	/* [/figures] */
	return 0;
}

static int example_memory(void)
{
	/* [memory] */
	struct quarry_percpu_arena_args args = {
		.memory_size = 16384,
		.chunk = 1024,
	};
	struct quarry_percpu_arena *arena;

	args.memory = kmalloc(args.memory_size, GFP_KERNEL);
	if (!args.memory)
		return -ENOMEM;
	arena = quarry_percpu_arena_create("sram", 16384, &args);
	if (!IS_ERR(arena))
		expect(quarry_percpu_arena_alloc(arena, 100, 8));
	quarry_percpu_arena_destroy(arena);
	kfree(args.memory);			/* after the arena, not before */
	/* [/memory] */
	return PTR_ERR_OR_ZERO(arena);
}

static int example_misuse(void)
{
	/* For readers of the log: such lines are meant to be. */
	pr_info("quarry-expect-begin: refused\n");
	/* [misuse] */
	struct quarry_percpu_arena_stats stats;

	expect(!quarry_percpu_arena_alloc(samples, 0, 8));	/* size 0 */
	expect(!quarry_percpu_arena_alloc(samples, 8, 48));	/* no power of two */
	quarry_percpu_arena_get_stats(samples, &stats);
	expect(stats.refused == 2);
	/* [/misuse] */
	pr_info("quarry-expect-end\n");
	return 0;
}

#ifdef QUARRY_PERCPU_ARENA_HAS_CLEANUP
static int example_cleanup(void)
{
	/* [cleanup] */
	struct quarry_percpu_arena *arena __free(quarry_percpu_arena) =
		quarry_percpu_arena_create("scoped", SZ_64K, NULL);

	if (IS_ERR(arena))
		return PTR_ERR(arena);
	expect(quarry_percpu_arena_alloc(arena, 100, 8));
	return 0;		/* destroyed here */
	/* [/cleanup] */
}
#endif

static int (* const examples[])(void) __initconst = {
	example_alloc, example_zalloc, example_inline, example_large,
	example_reset, example_reset_rcu, example_figures, example_memory,
	example_misuse,
#ifdef QUARRY_PERCPU_ARENA_HAS_CLEANUP
	example_cleanup,
#endif
};

static int __init percpu_arena_examples_init(void)
{
	int err = make_arena();
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(examples); i++)
		err = examples[i]();
	if (!err && failed)
		err = -EINVAL;
	if (err)
		quarry_percpu_arena_destroy(samples);
	else
		pr_info("percpu_arena_examples: %zu examples ran\n", i);
	return err;
}

/* [destroy] */
static void __exit percpu_arena_examples_exit(void)
{
	quarry_percpu_arena_destroy(samples);	/* NULL and ERR_PTR are ignored */
}

/* [/destroy] */

module_init(percpu_arena_examples_init);
module_exit(percpu_arena_examples_exit);
MODULE_DESCRIPTION("Examples of quarry's manual: per-CPU arenas");
MODULE_LICENSE("GPL");
