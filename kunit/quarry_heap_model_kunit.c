// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on a heap beside a plain model of it: a list of the live
 * blocks, their sizes, and what is written in each. After each few steps the heap
 * is verified and its figures are the model's. The seed is printed; give it as
 * module parameter to see the same run again.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include "heap_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random operations (0: a new one)");

static uint steps = 2400 / SLOWDOWN;
module_param(steps, uint, 0400);
MODULE_PARM_DESC(steps, "operations on each heap");

static uint verify_every = 8;
module_param(verify_every, uint, 0400);
MODULE_PARM_DESC(verify_every, "operations from one verify to the next");

#define MAX_LIVE	200

struct shape {
	const char *what;
	unsigned int flags;
	size_t size;
	unsigned int regions;
	size_t front;	/* for each CPU online */
};

static const struct shape shapes[] = {
	{ "plain", 0, SZ_64K, 1, SZ_16K },
	{ "few sizes in front", 0, SZ_64K, 1, SZ_2K },
	{ "by default", 0, SZ_512K, 1 },
	{ "no front", QUARRY_HEAP_NO_FRONT, SZ_64K, 1 },
	{ "short of memory", 0, SZ_8K, 1, SZ_4K },
	{ "zero on free", QUARRY_HEAP_ZERO_ON_FREE, SZ_32K, 1, SZ_8K },
	{ "four regions", 0, SZ_8K, 4, SZ_64K },
	{ "bounded", QUARRY_HEAP_BOUNDED, SZ_64K, 1 },
	{ "bounded, of odd size", QUARRY_HEAP_BOUNDED, 40008, 2 },
};

static void shape_desc(const struct shape *shape, char *desc)
{
	strscpy(desc, shape->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(shape, shapes, shape_desc);

struct model_block {
	u8 *ptr;
	size_t size, align;
	u8 mark;
};

/**
 * struct model - what the heap should be
 * @heap: the heap beside it
 * @random: where the next operation comes from
 * @live: the live blocks, in no order
 * @nr: how many
 * @allocs: blocks handed out, in all
 * @frees: blocks taken back, in all
 * @refused: bad frees, in all
 * @wrong: what the heap did that the model does not, first thing only
 */
struct model {
	struct quarry_heap *heap;
	struct rnd_state random;
	struct model_block live[MAX_LIVE];
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

/* Small ones mostly. */
static size_t some_size(struct model *m)
{
	return below(m, 1U << (1 + below(m, 12)));
}

static void add(struct model *m, u8 *ptr, size_t size, size_t align)
{
	struct model_block *new = &m->live[m->nr];
	size_t i;

	for (i = 0; i < m->nr; i++)
		if (ptr < m->live[i].ptr + m->live[i].size + QUARRY_HEAP_HEADER &&
		    m->live[i].ptr < ptr + size + QUARRY_HEAP_HEADER)
			return wrong(m, "blocks overlap");
	if (!IS_ALIGNED((unsigned long)ptr, align))
		return wrong(m, "a block is not aligned");
	if (quarry_heap_usable_size(m->heap, ptr) < size)
		return wrong(m, "a block is too small");
	*new = (struct model_block){ ptr, size, align, below(m, 256) };
	memset(ptr, new->mark, size);
	m->nr++;
	m->allocs++;
}

static void check_mark(struct model *m, const u8 *ptr, size_t size, u8 mark)
{
	if (memchr_inv(ptr, mark, size))
		wrong(m, "a live block was written to");
}

static struct model_block take_out(struct model *m, size_t i)
{
	struct model_block block = m->live[i];

	check_mark(m, block.ptr, block.size, block.mark);
	m->live[i] = m->live[--m->nr];
	return block;
}

static void do_alloc(struct model *m)
{
	size_t size = some_size(m), align = QUARRY_HEAP_ALIGN;
	u8 *ptr;

	if (m->nr == MAX_LIVE)
		return;
	switch (below(m, 4)) {
	case 0:
		align = 8 << below(m, 6);
		ptr = quarry_heap_alloc_aligned(m->heap, size, align);
		break;
	case 1:
		ptr = quarry_heap_zalloc(m->heap, size);
		if (ptr && memchr_inv(ptr, 0, size))
			wrong(m, "a block is not clear");
		break;
	default:
		ptr = quarry_heap_alloc(m->heap, size);
	}
	if (ptr)
		add(m, ptr, size, align);
}

static void do_free(struct model *m)
{
	if (!m->nr)
		return;
	quarry_heap_free(m->heap, take_out(m, below(m, m->nr)).ptr);
	m->frees++;
}

static void do_realloc(struct model *m)
{
	struct model_block block;
	size_t size = some_size(m), i;
	u8 *ptr;

	if (!m->nr)
		return;
	i = below(m, m->nr);
	block = m->live[i];
	ptr = quarry_heap_realloc(m->heap, block.ptr, size);
	if (!ptr)
		return check_mark(m, block.ptr, block.size, block.mark);
	check_mark(m, ptr, min(size, block.size), block.mark);
	m->live[i] = m->live[--m->nr];
	m->frees += ptr != block.ptr;
	m->allocs -= ptr == block.ptr;
	add(m, ptr, size, block.align);
}

static void do_wrong_free(struct model *m)
{
	struct model_block block;

	if (!m->nr)
		return;
	block = m->live[below(m, m->nr)];
	quarry_heap_free(m->heap, block.ptr + 1 + below(m, 7));
	m->refused++;
	/* A block's own bytes may not pass for a header. */
	if (block.size >= 24 && block.mark) {
		quarry_heap_free(m->heap, block.ptr + 16);
		m->refused++;
	}
	atomic_set(&capture.nr, 0);
}

static void step(struct model *m)
{
	switch (below(m, 16)) {
	case 0 ... 6:
		return do_alloc(m);
	case 7 ... 11:
		return do_free(m);
	case 12 ... 13:
		return do_realloc(m);
	case 14:
		return do_wrong_free(m);
	default:
		if (!below(m, 16))
			quarry_heap_flush(m->heap);
	}
}

static void check(struct model *m)
{
	struct quarry_heap_stats stats;

	if (quarry_heap_verify(m->heap))
		wrong(m, "verify failed");
	quarry_heap_get_stats(m->heap, &stats);
	if (stats.live != m->nr)
		wrong(m, "live is wrong");
	if (stats.allocs != m->allocs || stats.frees != m->frees)
		wrong(m, "allocs or frees are wrong");
	if (stats.refused != m->refused)
		wrong(m, "refused is wrong");
	if (stats.corrupt || stats.fenced)
		wrong(m, "a sound heap was said to be corrupt");
	if (stats.bytes_in_use + stats.bytes_cached > stats.bytes_peak ||
	    stats.live > stats.peak)
		wrong(m, "the peak is too low");
}

static void random_operations(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct quarry_heap_args args = {
		.flags = shape->flags, .front = shape->front * num_online_cpus(),
	};
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	ulong from = seed ?: get_random_u32();
	size_t largest;
	uint i;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->heap = create_heap(test, "model", shape->size, &args);
	for (i = 1; i < shape->regions; i++)
		KUNIT_ASSERT_EQ(test, 0, quarry_heap_add_region(m->heap, shape->size, NULL));
	largest = quarry_heap_largest_free(m->heap);
	prandom_seed_state(&m->random, from);
	for (i = 0; i < steps && !m->wrong; i++) {
		step(m);
		if (i % max(verify_every, 1U) == 0)
			check(m);
	}
	KUNIT_EXPECT_NULL_MSG(test, m->wrong, "step %u of seed %lu: %s", i, from,
			      m->wrong ?: "");
	while (m->nr)
		do_free(m);
	quarry_heap_flush(m->heap);
	KUNIT_EXPECT_EQ_MSG(test, quarry_heap_largest_free(m->heap), largest,
			    "seed %lu: not one again", from);
	expect_heap_verified(test, m->heap);
	KUNIT_EXPECT_GT(test, m->allocs, 0ULL);
}

static struct kunit_case model_cases[] = {
	KUNIT_CASE_PARAM(random_operations, shape_gen_params),
	{}
};

static struct kunit_suite model_suite = {
	.name = "quarry_heap_model",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = model_cases,
};

kunit_test_suite(model_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a heap beside a model of it");
MODULE_LICENSE("GPL");
