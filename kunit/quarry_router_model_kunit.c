// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on a router beside a plain model of it: a list of the live
 * blocks, their sizes and what is written in each. Blocks may not overlap and keep
 * their contents, whatever step they came from; the figures are the model's. The
 * seed is printed; give it as module parameter to see the same run again.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <quarry/quarry.h>
#include "kunit_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random operations (0: a new one)");

static uint steps = IS_ENABLED(CONFIG_KCSAN) ? 300 : 1500;
module_param(steps, uint, 0400);
MODULE_PARM_DESC(steps, "operations on each router");

#define MAX_LIVE	120
#define VERIFY_EVERY	20

/* Few blocks of each class, little heap, little system: every step is taken. */
static const struct quarry_router_class classes[] = {
	{ 16, 6 }, { 48, 6 }, { 64, 6 }, { 200, 4 }, { 512, 4 },
};

struct shape {
	const char *what;
	unsigned int flags;
	size_t heap;
	gfp_t gfp;
};

static const struct shape shapes[] = {
	{ "classes, heap, system", 0, 2 * PAGE_SIZE, GFP_KERNEL },
	{ "atomic", 0, PAGE_SIZE, GFP_ATOMIC },
	{ "never the system", 0, 4 * PAGE_SIZE, 0 },
	{ "no heap", QUARRY_ROUTER_NO_HEAP, 0, GFP_KERNEL },
	{ "strict", QUARRY_ROUTER_STRICT, 2 * PAGE_SIZE, GFP_KERNEL },
};

static void shape_desc(const struct shape *shape, char *desc)
{
	strscpy(desc, shape->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(shape, shapes, shape_desc);

struct piece {
	u8 *ptr;
	size_t size;
	u8 mark;
};

/**
 * struct model - what the router should be
 * @router: the router beside it
 * @shape: what that was made with
 * @random: where the next operation comes from
 * @live: the live blocks, in no order
 * @nr: how many
 * @allocs: blocks handed out, moves among them
 * @frees: blocks taken back, likewise
 * @refused: bad frees
 * @failed: requests that got NULL
 * @wrong: what the router did that the model does not, first thing only
 */
struct model {
	struct quarry_router *router;
	const struct shape *shape;
	struct rnd_state random;
	struct piece live[MAX_LIVE];
	size_t nr;
	u64 allocs, frees, refused, failed;
	const char *wrong;
};

static u32 below(struct model *m, u32 limit)
{
	return prandom_u32_state(&m->random) % limit;
}

static void wrong(struct model *m, const char *what)
{
	if (!m->wrong)
		m->wrong = what;
}

/* Small ones often, all classes, some of the heap, few beyond. */
static size_t some_size(struct model *m)
{
	u32 kind = below(m, 20);

	if (kind < 14)
		return 1 + below(m, 600);
	return kind < 19 ? 1 + below(m, 3000) : 1 + below(m, 60000);
}

static void check_piece(struct model *m, const struct piece *p, size_t size)
{
	if (memchr_inv(p->ptr, p->mark, size))
		wrong(m, "a live block was written to");
}

static void add(struct model *m, u8 *ptr, size_t size)
{
	size_t i;

	for (i = 0; i < m->nr; i++)
		if (ptr < m->live[i].ptr + m->live[i].size &&
		    m->live[i].ptr < ptr + size)
			return wrong(m, "two live blocks overlap");
	if (quarry_router_usable_size(m->router, ptr) < size)
		wrong(m, "a block is too small");
	m->live[m->nr].ptr = ptr;
	m->live[m->nr].size = size;
	m->live[m->nr].mark = prandom_u32_state(&m->random);
	memset(ptr, m->live[m->nr].mark, size);
	m->nr++;
}

static struct piece take_out(struct model *m)
{
	size_t i = below(m, m->nr);
	struct piece p = m->live[i];

	check_piece(m, &p, p.size);
	m->live[i] = m->live[--m->nr];
	return p;
}

static void do_alloc(struct model *m)
{
	size_t size = some_size(m), align = BIT(below(m, 13));
	u8 *ptr;

	if (m->nr == MAX_LIVE)
		return;
	switch (below(m, 4)) {
	case 0:
		ptr = quarry_router_zalloc(m->router, size, m->shape->gfp);
		if (ptr && memchr_inv(ptr, 0, size))
			wrong(m, "a block is not clear");
		break;
	case 1:
		ptr = quarry_router_alloc_aligned(m->router, size, align,
						  m->shape->gfp);
		if (ptr && !IS_ALIGNED((unsigned long)ptr, align))
			wrong(m, "a block is not aligned");
		break;
	default:
		ptr = quarry_router_alloc(m->router, size, m->shape->gfp);
		break;
	}
	if (ptr) {
		m->allocs++;
		add(m, ptr, size);
	} else {
		m->failed++;
	}
}

static void do_free(struct model *m)
{
	if (!m->nr)
		return;
	quarry_router_free(m->router, take_out(m).ptr);
	m->frees++;
}

static void do_realloc(struct model *m)
{
	size_t size = some_size(m);
	struct piece p, moved;
	u8 *ptr;

	if (!m->nr)
		return;
	p = take_out(m);
	ptr = quarry_router_realloc(m->router, p.ptr, size, m->shape->gfp);
	moved = p;
	if (ptr)
		moved.ptr = ptr;
	check_piece(m, &moved, ptr ? min(size, p.size) : p.size);
	if (!ptr && size <= p.size)
		wrong(m, "a block did not shrink");
	add(m, moved.ptr, ptr ? size : p.size);
}

static void do_bad_free(struct model *m)
{
	void *block = m;

	switch (below(m, 3)) {
	case 0:
		if (!m->nr)
			return;
		block = m->live[below(m, m->nr)].ptr + 1;
		break;
	case 1:
		if (!m->nr)
			return;
		block = take_out(m).ptr;
		quarry_router_free(m->router, block);	/* good once */
		m->frees++;
		break;
	}
	quarry_router_free(m->router, block);
	m->refused++;
}

static void step(struct model *m)
{
	static void (* const operations[])(struct model *m) = {
		do_alloc, do_alloc, do_alloc, do_alloc, do_free, do_free,
		do_free, do_realloc, do_bad_free,
	};

	operations[below(m, ARRAY_SIZE(operations))](m);
}

static void compare(struct model *m, bool full)
{
	struct quarry_router_stats stats;

	quarry_router_get_stats(m->router, &stats);
	if (stats.live != m->nr)
		wrong(m, "live is not the model's");
	if (stats.allocs != stats.hits + stats.fell_back)
		wrong(m, "allocs are not hits and those that fell back");
	if (stats.allocs - stats.frees != m->nr)
		wrong(m, "live is not allocs less frees");
	if (stats.refused != m->refused)
		wrong(m, "refusals are not the model's");
	if (m->shape->flags & QUARRY_ROUTER_STRICT && stats.fell_back)
		wrong(m, "a strict router fell back");
	if (!m->shape->gfp && stats.system_allocs)
		wrong(m, "the system was asked");
	if (full && quarry_router_verify(m->router))
		wrong(m, capture.last);
}

/* Steps until one is wrong; how many there were. */
static uint run(struct model *m)
{
	uint i;

	for (i = 0; i < steps && !m->wrong; i++) {
		u64 refused = m->refused;

		step(m);
		if (atomic_xchg(&capture.nr, 0) != m->refused - refused)
			wrong(m, "reports are not the refusals");
		compare(m, i % VERIFY_EVERY == 0);
	}
	return i;
}

static void operations_agree_with_model(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	const struct quarry_router_args args = {
		.flags = shape->flags, .classes = classes,
		.nr_classes = ARRAY_SIZE(classes), .system_max = 30,
	};
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	size_t region = shape->heap ? 5 * PAGE_SIZE + shape->heap : 0;
	u64 this = seed ?: get_random_u64();
	uint i;

	KUNIT_ASSERT_NOT_NULL(test, m);
	kunit_info(test, "seed %llu", this);
	prandom_seed_state(&m->random, this);
	m->shape = shape;
	m->router = quarry_router_create("model", region, &args);
	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(m->router));
	i = run(m);
	KUNIT_EXPECT_NULL_MSG(test, m->wrong, "step %u of seed %llu: %s", i, this,
			      m->wrong);
	KUNIT_EXPECT_GT(test, m->failed + m->refused, 0);
	while (m->nr)
		quarry_router_free(m->router, take_out(m).ptr);
	compare(m, true);
	KUNIT_EXPECT_NULL(test, m->wrong);
	quarry_router_destroy(m->router);
}

static struct kunit_case model_cases[] = {
	KUNIT_CASE_PARAM(operations_agree_with_model, shape_gen_params),
	{}
};

static struct kunit_suite model_suite = {
	.name = "quarry_router_model",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = model_cases,
};

kunit_test_suite(model_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a router beside a model of it");
MODULE_LICENSE("GPL");
