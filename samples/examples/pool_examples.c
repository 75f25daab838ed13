// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's examples of pools. Documentation/pool.rst shows what stands
 * between the marks; each example is run when the module loads, and one that
 * does not do what the manual says makes the load fail.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <quarry/pool.h>

static unsigned int failed;

/* What an example says must be true. */
#define expect(condition)	expect_true((condition), #condition, __func__)

static void expect_true(bool is, const char *condition, const char *where)
{
	if (is)
		return;
	pr_err("pool_examples: %s: not so: %s\n", where, condition);
	failed++;
}

/* [types] */
struct flow {
	u32 from, to;
	u64 packets;
};

static struct quarry_pool *flows;
/* [/types] */

/* [create] */
static int make_pool(void)
{
	flows = quarry_pool_create("flows", sizeof(struct flow), 4096, NULL);
	return PTR_ERR_OR_ZERO(flows);
}

/* [/create] */

/* [alloc] */
static struct flow *flow_new(u32 from, u32 to)
{
	struct flow *flow = quarry_pool_alloc(flows);

	if (!flow)		/* all 4096 are live: count it, drop the packet */
		return NULL;
	flow->from = from;
	flow->to = to;
	flow->packets = 0;	/* a block is as its last user left it */
	return flow;
}

/* [/alloc] */

/* [free] */
static void flow_done(struct flow *flow)
{
	quarry_pool_free(flows, flow);	/* NULL is ignored */
}

/* [/free] */

static int example_life(void)
{
	struct flow *flow = flow_new(1, 2);

	if (!flow)
		return -ENOMEM;
	expect(flow->to == 2);
	flow_done(flow);
	flow_done(NULL);
	return 0;
}

static int example_zalloc(void)
{
	/* [zalloc] */
	struct flow *flow = quarry_pool_zalloc(flows);

	if (!flow)
		return -ENOMEM;
	expect(!flow->from && !flow->packets);
	quarry_pool_free(flows, flow);
	/* [/zalloc] */
	return 0;
}

static int example_typed(void)
{
	/* [typed] */
	struct quarry_pool *pool = QUARRY_POOL(struct flow, 100, NULL);
	struct flow *one, *two;

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	one = quarry_pool_alloc_as(pool, struct flow);
	two = quarry_pool_zalloc_as(pool, struct flow);
	expect(one && two);
	quarry_pool_free(pool, one);
	quarry_pool_free(pool, two);
	quarry_pool_destroy(pool);
	/* [/typed] */
	return 0;
}

static int example_bulk(void)
{
	/* [bulk] */
	void *blocks[64];
	size_t got, freed;

	got = quarry_pool_alloc_bulk(flows, ARRAY_SIZE(blocks), blocks);
	/* blocks[0] to blocks[got - 1] are ours; got may be less than asked */
	freed = quarry_pool_free_bulk(flows, got, blocks);
	expect(got == 64 && freed == got);
	/* [/bulk] */
	return 0;
}

static int example_index(void)
{
	/* [index] */
	struct flow *flow = quarry_pool_alloc(flows);
	long index = quarry_pool_index(flows, flow);	/* 32 bits for a table */

	expect(index >= 0);
	expect(quarry_pool_at(flows, index) == flow);
	expect(quarry_pool_owns(flows, flow));
	expect(!quarry_pool_owns(flows, (char *)flow + 8));	/* inside */
	expect(quarry_pool_index(flows, &index) == -EINVAL);	/* elsewhere */
	expect(!quarry_pool_at(flows, U32_MAX));
	quarry_pool_free(flows, flow);
	/* [/index] */
	return 0;
}

static int example_figures(void)
{
	/* [figures] */
	struct quarry_pool_stats stats;

	expect(quarry_pool_capacity(flows) == 4096);
	expect(quarry_pool_block_size(flows) == sizeof(struct flow));
	quarry_pool_get_stats(flows, &stats);
	expect(!stats.live && !stats.exhausted && !stats.refused);
	/* [/figures] */
	return 0;
}

/* [walk] */
static int add_packets(void *block, u32 index, void *arg)
{
	const struct flow *flow = block;
	u64 *sum = arg;

	*sum += flow->packets;
	return 0;		/* anything else ends the walk */
}

static int packets_of_all(u64 *sum)
{
	*sum = 0;
	return quarry_pool_for_each_live(flows, add_packets, sum);
}

/* [/walk] */

static int example_walk(void)
{
	struct flow *one = flow_new(1, 2), *two = flow_new(2, 1);
	u64 sum;

	if (!one || !two)
		return -ENOMEM;
	one->packets = 3;
	two->packets = 4;
	expect(!packets_of_all(&sum) && sum == 7);
	flow_done(one);
	flow_done(two);
	return 0;
}

static int example_verify(void)
{
	/* [verify] */
	expect(!quarry_pool_verify(flows));	/* 0: consistent, and quiescent */
	/* [/verify] */
	return 0;
}

/* [ctor] */
struct session {
	struct list_head requests;
	u32 peer;
};

/* Once a block: what every user of it leaves as it was. */
static void session_init(void *block, void *arg)
{
	struct session *session = block;

	INIT_LIST_HEAD(&session->requests);
}

static void session_fini(void *block, void *arg)
{
	unsigned int *destroyed = arg;

	++*destroyed;
}

/* [/ctor] */

static int example_ctor(void)
{
	static unsigned int destroyed;
	/* [ctor-use] */
	const struct quarry_pool_args args = {
		.align = 64,			/* a cache line each */
		.magazine = 16,			/* no more than 16 at a time */
		.ctor = session_init,
		.dtor = session_fini,
		.arg = &destroyed,
	};
	struct quarry_pool *pool = quarry_pool_create("sessions",
			sizeof(struct session), 1000, &args);
	struct session *session;

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	session = quarry_pool_alloc(pool);
	expect(session && list_empty(&session->requests));
	quarry_pool_free(pool, session);	/* with its list empty again */
	quarry_pool_destroy(pool);
	/* [/ctor-use] */
	expect(destroyed >= 1000);
	return 0;
}

static int example_memory(void)
{
	/* [memory] */
	struct quarry_pool_args args = {
		.flags = QUARRY_POOL_EXACT,	/* no spare blocks either */
		.align = 64,
	};
	struct quarry_pool *pool;
	void *block;

	args.memory_size = quarry_pool_memory_size(64, 100, 64, true);
	args.memory = kmalloc(args.memory_size, GFP_KERNEL);
	if (!args.memory)
		return -ENOMEM;
	pool = quarry_pool_create("sram", 64, 100, &args);
	if (IS_ERR(pool)) {
		kfree(args.memory);
		return PTR_ERR(pool);
	}
	block = quarry_pool_alloc(pool);
	expect(block == args.memory);
	quarry_pool_free(pool, block);
	quarry_pool_destroy(pool);
	kfree(args.memory);			/* after the pool, not before */
	/* [/memory] */
	return 0;
}

static int example_flags(void)
{
	/* [flags] */
	const struct quarry_pool_args args = {
		.flags = QUARRY_POOL_STRICT |	/* racing frees told apart */
			 QUARRY_POOL_ZERO_ON_FREE |
			 QUARRY_NO_HUGE,
	};
	struct quarry_pool *pool = quarry_pool_create("keys", 32, 200, &args);
	u8 *key;

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	key = quarry_pool_zalloc(pool);
	if (key)
		memset(key, 0x5a, 32);
	quarry_pool_free(pool, key);		/* cleared here */
	quarry_pool_destroy(pool);
	/* [/flags] */
	return 0;
}

/* [inline] */
static struct flow *flow_new_inline(void)
{
	return quarry_pool_alloc_inline(flows);	/* flows: never NULL or ERR_PTR */
}

static void flow_done_inline(struct flow *flow)
{
	quarry_pool_free_inline(flows, flow);
}

/* [/inline] */

static int example_inline(void)
{
	struct flow *flow = flow_new_inline();

	expect(flow);
	flow_done_inline(flow);
	return 0;
}

/* Where the kernel has scope-based cleanup. */
#ifdef QUARRY_HAS_CLEANUP
/* [cleanup] */
static int two_flows(struct flow **kept)
{
	CLASS(quarry_block, a)(flows);
	CLASS(quarry_block, b)(flows);

	if (!a.block || !b.block)
		return -ENOMEM;			/* what there is, is freed */
	*kept = quarry_block_keep(&b);		/* a is freed, b is not */
	return 0;
}

static int scoped_pool(void)
{
	struct quarry_pool *pool __free(quarry_pool) =
		quarry_pool_create("scoped", 64, 10, NULL);

	return PTR_ERR_OR_ZERO(pool);		/* destroyed here */
}

/* [/cleanup] */

static int example_cleanup(void)
{
	struct quarry_pool_stats stats;
	struct flow *kept = NULL;

	expect(!two_flows(&kept));
	quarry_pool_get_stats(flows, &stats);
	expect(stats.live == 1);
	flow_done(kept);
	expect(!scoped_pool());
	return 0;
}
#endif

static int example_misuse(void)
{
	struct quarry_pool_stats stats;

	/* For readers of the log: such lines are meant to be. */
	pr_info("quarry-expect-begin: free refused\n");
	/* [misuse] */
	struct flow *flow = quarry_pool_alloc(flows);

	quarry_pool_free(flows, flow);
	quarry_pool_free(flows, flow);			/* double free */
	quarry_pool_free(flows, (char *)flow + 8);	/* interior pointer */
	quarry_pool_free(flows, (char *)flow + 1);	/* misaligned pointer */
	quarry_pool_free(flows, &stats);		/* foreign pointer */

	quarry_pool_get_stats(flows, &stats);
	expect(stats.refused == 4 && stats.refused_double == 1);
	expect(!quarry_pool_verify(flows));		/* nothing has changed */
	/* [/misuse] */
	pr_info("quarry-expect-end\n");
	return 0;
}

static int (* const examples[])(void) __initconst = {
	example_life, example_zalloc, example_typed, example_bulk,
	example_index, example_figures, example_walk, example_verify,
	example_ctor, example_memory, example_flags, example_inline,
#ifdef QUARRY_HAS_CLEANUP
	example_cleanup,
#endif
	example_misuse,
};

static int __init pool_examples_init(void)
{
	int err = make_pool();
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(examples); i++)
		err = examples[i]();
	if (!err && failed)
		err = -EINVAL;
	if (err)
		quarry_pool_destroy(flows);
	else
		pr_info("pool_examples: %zu examples ran\n", i);
	return err;
}

/* [destroy] */
static void __exit pool_examples_exit(void)
{
	quarry_pool_destroy(flows);	/* NULL and ERR_PTR are ignored */
}

/* [/destroy] */

module_init(pool_examples_init);
module_exit(pool_examples_exit);
MODULE_DESCRIPTION("Examples of quarry's manual");
MODULE_LICENSE("GPL");
