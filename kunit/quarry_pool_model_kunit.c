// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on a pool beside a plain model of it: a list of the live
 * blocks and what is written in each. After each step the pool is verified and
 * its figures are the model's. The seed is printed; give it as module parameter
 * to see the same run again.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include "kunit_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random operations (0: a new one)");

static uint steps = 300 / SLOWDOWN;
module_param(steps, uint, 0400);
MODULE_PARM_DESC(steps, "operations on each pool");

#define NR_BLOCKS	150
#define MAX_LIVE	(NR_BLOCKS + NR_BLOCKS / 8)
#define MAX_BULK	40

struct shape {
	unsigned int flags;
	unsigned int magazine;
};

static const struct shape shapes[] = {
	{ .magazine = 0 },
	{ .magazine = 2 },
	{ .flags = QUARRY_POOL_EXACT },
	{ .flags = QUARRY_POOL_STRICT, .magazine = 3 },
	{ .flags = QUARRY_POOL_ZERO_ON_FREE | QUARRY_ZERO },
	{ .flags = QUARRY_POOL_LEAK_TRACK },
};

static const size_t sizes[] = { 1, 8, 24, 63, 64, SZ_4K };

static void size_desc(const size_t *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "size %zu", *size);
}

KUNIT_ARRAY_PARAM(size, sizes, size_desc);

/**
 * struct model - what the pool should be
 * @pool: the pool beside it
 * @shape: what that was made with
 * @size: of its blocks
 * @random: where the next operation comes from
 * @live: the live blocks, in no order
 * @mark: byte that each is filled with
 * @nr: how many
 * @allocs: blocks handed out, in all
 * @frees: blocks taken back, in all
 * @refused: bad frees, in all
 * @wrong: what the pool did that the model does not, first thing only
 */
struct model {
	struct quarry_pool *pool;
	const struct shape *shape;
	size_t size;
	struct rnd_state random;
	void *live[MAX_LIVE];
	u8 mark[MAX_LIVE];
	size_t nr;
	u64 allocs, frees, refused;
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

static void add(struct model *m, void *block, bool zeroed)
{
	size_t i;

	for (i = 0; i < m->nr; i++)
		if (m->live[i] == block)
			return wrong(m, "a live block was handed out");
	if (m->nr == MAX_LIVE)
		return wrong(m, "more blocks than there are");
	if (zeroed && memchr_inv(block, 0, m->size))
		return wrong(m, "a block is not clear");
	m->live[m->nr] = block;
	m->mark[m->nr] = prandom_u32_state(&m->random);
	memset(block, m->mark[m->nr], m->size);
	m->nr++;
	m->allocs++;
}

/* A random live block leaves the model. */
static void *take_out(struct model *m)
{
	size_t i = below(m, m->nr);
	void *block = m->live[i];

	if (memchr_inv(block, m->mark[i], m->size))
		wrong(m, "a live block was written to");
	m->nr--;
	m->live[i] = m->live[m->nr];
	m->mark[i] = m->mark[m->nr];
	m->frees++;
	return block;
}

static void do_alloc(struct model *m)
{
	bool zero = below(m, 3) == 0;
	void *block = zero ? quarry_pool_zalloc(m->pool) :
			     quarry_pool_alloc(m->pool);

	if (block)
		add(m, block, zero || m->shape->flags & QUARRY_ZERO);
	else if (m->nr < NR_BLOCKS)
		wrong(m, "NULL below nr_blocks");
}

static void do_free(struct model *m)
{
	if (m->nr)
		quarry_pool_free(m->pool, take_out(m));
}

static void do_alloc_bulk(struct model *m)
{
	size_t want = below(m, MAX_BULK + 1), got, i;
	void *blocks[MAX_BULK];

	got = quarry_pool_alloc_bulk(m->pool, want, blocks);
	if (got < want && m->nr + got < NR_BLOCKS)
		wrong(m, "a short bulk below nr_blocks");
	for (i = 0; i < got; i++)
		add(m, blocks[i], m->shape->flags & QUARRY_ZERO);
}

/* Some NULL, some bad entries among the good. */
static void do_free_bulk(struct model *m)
{
	size_t nr = below(m, MAX_BULK + 1), good = 0, bad = 0, i;
	void *blocks[MAX_BULK];

	for (i = 0; i < nr; i++) {
		u32 kind = below(m, 10);

		blocks[i] = NULL;
		if (kind == 0) {
			continue;
		} else if (kind == 1 || !m->nr) {
			blocks[i] = &blocks[i];
			bad++;
		} else {
			blocks[i] = take_out(m);
			good++;
		}
	}
	if (quarry_pool_free_bulk(m->pool, nr, blocks) != good)
		wrong(m, "a bulk free has counted wrongly");
	m->refused += bad;
}

static void do_bad_free(struct model *m)
{
	void *block;

	switch (below(m, 4)) {
	case 0:
		block = m;
		break;
	case 1:
		if (m->size < 2 || !m->nr)
			return;
		block = m->live[below(m, m->nr)] + 1 +
			below(m, m->size - 1);
		break;
	case 2:
		if (!m->nr)
			return;
		block = take_out(m);	/* good once */
		quarry_pool_free(m->pool, block);
		break;
	default:
		block = quarry_pool_at(m->pool, 0) - 1 - below(m, 5000);
		break;
	}
	quarry_pool_free(m->pool, block);
	m->refused++;
}

static void step(struct model *m)
{
	static void (* const operations[])(struct model *m) = {
		do_alloc, do_alloc, do_alloc, do_alloc, do_free, do_free,
		do_free, do_free, do_alloc_bulk, do_free_bulk, do_bad_free,
	};

	operations[below(m, ARRAY_SIZE(operations))](m);
}

static void compare(struct model *m)
{
	struct quarry_pool_stats stats = stats_of(m->pool);

	if (stats.live != m->nr)
		wrong(m, "live is not the model's");
	if (stats.allocs != m->allocs || stats.frees != m->frees)
		wrong(m, "allocs or frees are not the model's");
	if (stats.refused != m->refused || stats.duplicates)
		wrong(m, "refusals are not the model's");
	if (quarry_pool_verify(m->pool))
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
		compare(m);
	}
	return i;
}

static void expect_model(struct kunit *test, struct model *m,
			 const struct shape *shape, u64 this)
{
	const struct quarry_pool_args args = {
		.flags = shape->flags, .magazine = shape->magazine,
	};
	uint i;

	memset(m, 0, sizeof(*m));
	prandom_seed_state(&m->random, this);
	m->shape = shape;
	m->size = *(const size_t *)test->param_value;
	m->pool = create_pool(test, "model", m->size, NR_BLOCKS, &args);
	i = run(m);
	KUNIT_EXPECT_NULL_MSG(test, m->wrong,
			      "flags %#x magazine %u step %u of seed %llu: %s",
			      shape->flags, shape->magazine, i, this, m->wrong);
	while (m->nr)
		quarry_pool_free(m->pool, take_out(m));
	expect_verified(test, m->pool);
	KUNIT_EXPECT_EQ(test, stats_of(m->pool).live, 0);
	destroy_pool(test, m->pool);
}

static void operations_agree_with_model(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	u64 this = seed ?: get_random_u64();
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, m);
	kunit_info(test, "seed %llu", this);
	for (i = 0; i < ARRAY_SIZE(shapes); i++)
		expect_model(test, m, &shapes[i], this);
}

static struct kunit_case model_cases[] = {
	KUNIT_CASE_PARAM(operations_agree_with_model, size_gen_params),
	{}
};

static struct kunit_suite model_suite = {
	.name = "quarry_pool_model",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = model_cases,
};

kunit_test_suite(model_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a pool beside a model of it");
MODULE_LICENSE("GPL");
