// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on an arena beside a plain model of it: a list of what was
 * taken, in order, with what is written in each block. After each step the
 * arena is verified. The seed is printed; give it as module parameter to see the
 * same run again.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include "arena_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random operations (0: a new one)");

static uint steps = 1500;
module_param(steps, uint, 0400);
MODULE_PARM_DESC(steps, "operations on each arena");

#define MAX_ITEMS	2000

static const struct quarry_arena_args shapes[] = {
	{ },
	{ .limit = SZ_32K },
	{ .limit = SZ_64K, .growth = 1 },
	{ .limit = 30001, .growth = 5, .flags = QUARRY_ARENA_STRICT },
};

enum kind { BLOCK, MARK, CALL };

/* One thing that was taken; blocks are filled with @fill. */
struct item {
	enum kind kind;
	u8 *block;
	size_t size;
	u8 fill;
	size_t used;			/* before it */
	struct quarry_arena_mark mark;
};

/**
 * struct model - what the arena should be
 * @arena: the arena beside it
 * @random: where the next operation comes from
 * @items: what was taken, oldest first
 * @nr: how many
 * @fresh: @nr when an item was put on top; nothing was taken away since
 * @stale: a mark that was good once
 * @expected: the item whose call is to come next
 * @refused: bad operations, in all
 * @wrong: what the arena did that the model does not, first thing only
 */
struct model {
	struct quarry_arena *arena;
	struct rnd_state random;
	struct item items[MAX_ITEMS];
	size_t nr;
	size_t fresh;
	struct quarry_arena_mark stale;
	size_t expected;
	u64 refused;
	const char *wrong;
};

static struct model *model;

static u32 below(struct model *m, u32 limit)
{
	return prandom_u32_state(&m->random) % limit;
}

static void wrong(struct model *m, const char *what)
{
	if (!m->wrong)
		m->wrong = what;
}

static struct item *push(struct model *m, enum kind what, size_t used)
{
	struct item *item = &m->items[m->nr++];

	m->fresh = m->nr;
	memset(item, 0, sizeof(*item));
	item->kind = what;
	item->used = used;
	return item;
}

static void add_block(struct model *m, u8 *block, size_t size, size_t align,
		      size_t used)
{
	struct item *item = push(m, BLOCK, used);
	size_t i;

	if (!IS_ALIGNED((unsigned long)block, align))
		wrong(m, "a block is not aligned");
	for (i = 0; i + 1 < m->nr; i++)
		if (m->items[i].kind == BLOCK && block < m->items[i].block + m->items[i].size &&
		    m->items[i].block < block + size)
			wrong(m, "two blocks overlap");
	item->block = block;
	item->size = size;
	item->fill = prandom_u32_state(&m->random);
	memset(block, item->fill, size);
	if (quarry_arena_used(m->arena) < used + size)
		wrong(m, "used has not grown by the size");
}

static void do_alloc(struct model *m)
{
	size_t used = quarry_arena_used(m->arena);
	size_t size = 1 + below(m, below(m, 8) ? 60 : 3000);
	size_t align = 1UL << below(m, 7);
	bool sleeps = below(m, 3) == 0;
	u8 *block;

	if (sleeps)
		block = quarry_arena_alloc_sleep(m->arena, size, align);
	else if (align == 8)
		block = quarry_arena_alloc_inline(m->arena, size, 8);
	else
		block = quarry_arena_alloc(m->arena, size, align);
	if (block)
		add_block(m, block, size, align, used);
	else if (quarry_arena_used(m->arena) != used)
		wrong(m, "a failed alloc has changed used");
	else if (arena_stats(m->arena).largest_free >= size + align)
		wrong(m, "NULL where there is room");
}

/* Blocks taken before an item are as they were written. */
static void check_contents(struct model *m)
{
	size_t i;

	for (i = 0; i < m->nr; i++)
		if (m->items[i].kind == BLOCK &&
		    memchr_inv(m->items[i].block, m->items[i].fill, m->items[i].size))
			wrong(m, "a block was written to");
}

static void called(void *arg)
{
	struct model *m = model;

	if (m->expected != (size_t)arg)
		wrong(m, "a call out of order");
	while (m->expected-- && m->items[m->expected].kind != CALL)
		;
}

/* The calls that a cut back to @nr items makes are all there are from the top. */
static void expect_calls(struct model *m)
{
	m->expected = m->nr;
	while (m->expected-- && m->items[m->expected].kind != CALL)
		;
}

static void cut(struct model *m, size_t nr)
{
	size_t i;

	for (i = nr; i < m->nr; i++)
		if (m->items[i].kind == CALL && m->expected != SIZE_MAX &&
		    m->expected >= nr)
			wrong(m, "a call was not made");
	m->nr = nr;
	m->fresh = 0;
}

static void do_mark(struct model *m)
{
	size_t used = quarry_arena_used(m->arena);
	struct quarry_arena_mark mark = quarry_arena_mark(m->arena);

	if (quarry_arena_marked(mark))
		push(m, MARK, used)->mark = mark;
}

static void do_defer(struct model *m)
{
	size_t used = quarry_arena_used(m->arena);

	if (quarry_arena_defer(m->arena, called, (void *)m->nr))
		push(m, CALL, used);
}

static void do_rewind(struct model *m)
{
	size_t i = below(m, m->nr + 1);

	while (i < m->nr && m->items[i].kind != MARK)
		i++;
	if (i == m->nr)
		return;
	m->stale = m->items[i].mark;
	expect_calls(m);
	if (!quarry_arena_rewind(m->arena, m->stale))
		wrong(m, "a good mark was refused");
	cut(m, i);
	if (quarry_arena_used(m->arena) != m->items[i].used)
		wrong(m, "used is not what it was at the mark");
}

static void do_bad_rewind(struct model *m)
{
	size_t used = quarry_arena_used(m->arena);

	if (quarry_arena_rewind(m->arena, m->stale))
		wrong(m, "a bad mark was taken");
	if (quarry_arena_used(m->arena) != used)
		wrong(m, "a refused rewind has changed used");
	m->refused++;
}

static void do_reset(struct model *m)
{
	size_t i;

	if (below(m, 10))
		return;
	for (i = 0; i < m->nr; i++)
		if (m->items[i].kind == MARK)
			m->stale = m->items[i].mark;
	expect_calls(m);
	quarry_arena_reset(m->arena);
	cut(m, 0);
	if (quarry_arena_used(m->arena))
		wrong(m, "used after a reset");
}

static void do_free(struct model *m)
{
	struct item *item;
	bool last;
	size_t i;

	if (!m->nr)
		return;
	i = below(m, 2) ? m->nr - 1 : below(m, m->nr);
	item = &m->items[i];
	if (item->kind != BLOCK)
		return;
	last = quarry_arena_free_last(m->arena, item->block, item->size);
	if (last && i != m->nr - 1)
		wrong(m, "a block that is not the last was freed");
	/* Padding, or the end of a chunk, may be above one that is not fresh. */
	if (!last && i == m->nr - 1 && m->fresh == m->nr)
		wrong(m, "the last block was not freed");
	if (last) {
		m->nr--;
		m->fresh = 0;
	}
}

static void do_resize(struct model *m)
{
	size_t size = 1 + below(m, 200), used, kept;
	struct item *item;

	if (!m->nr || m->items[m->nr - 1].kind != BLOCK)
		return;
	item = &m->items[m->nr - 1];
	used = quarry_arena_used(m->arena);
	if (!quarry_arena_resize_last(m->arena, item->block, item->size, size))
		return;
	if (quarry_arena_used(m->arena) != used - QUARRY_ARENA_STEP(item->size) +
					   QUARRY_ARENA_STEP(size))
		wrong(m, "used after a resize");
	kept = min(size, item->size);
	if (memchr_inv(item->block, item->fill, kept))
		wrong(m, "a resize has changed the contents");
	item->size = size;
	memset(item->block, item->fill, size);
}

static void do_reserve(struct model *m)
{
	size_t size = 1 + below(m, 5000), used;
	u8 *block;

	if (quarry_arena_reserve(m->arena, size))
		return;
	used = quarry_arena_used(m->arena);
	block = quarry_arena_alloc(m->arena, size, 8);
	if (!block)
		wrong(m, "what was reserved is not there");
	else
		add_block(m, block, size, 8, used);
}

static void step(struct model *m)
{
	static void (* const operations[])(struct model *m) = {
		do_alloc, do_alloc, do_alloc, do_alloc, do_alloc, do_alloc,
		do_mark, do_mark, do_defer, do_rewind, do_bad_rewind, do_free,
		do_resize, do_reset, do_reserve,
	};

	if (m->nr == MAX_ITEMS)
		do_rewind(m);
	else
		operations[below(m, ARRAY_SIZE(operations))](m);
}

static void compare(struct model *m)
{
	struct quarry_arena_stats stats = arena_stats(m->arena);
	size_t i, marks = 0, calls = 0;

	for (i = 0; i < m->nr; i++) {
		marks += m->items[i].kind == MARK;
		calls += m->items[i].kind == CALL;
	}
	if (stats.marks != marks || stats.deferred != calls)
		wrong(m, "marks or calls are not the model's");
	if (stats.refused != m->refused)
		wrong(m, "refusals are not the model's");
	if (stats.used > stats.peak || stats.used > stats.capacity ||
	    stats.capacity > stats.limit)
		wrong(m, "used, peak, capacity and limit do not agree");
	if (quarry_arena_verify(m->arena))
		wrong(m, capture.last);
}

static uint run(struct model *m)
{
	uint i;

	for (i = 0; i < steps && !m->wrong; i++) {
		u64 refused = m->refused;

		step(m);
		if (atomic_xchg(&capture.nr, 0) != m->refused - refused)
			wrong(m, "reports are not the refusals");
		compare(m);
		if (i % 16 == 0)
			check_contents(m);
	}
	check_contents(m);
	return i;
}

static void operations_agree_with_model(struct kunit *test)
{
	u64 this = seed ?: get_random_u64();
	size_t i;
	uint at;

	model = kvzalloc(sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model);
	kunit_info(test, "seed %llu", this);
	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		memset(model, 0, sizeof(*model));
		prandom_seed_state(&model->random, this);
		model->arena = create_arena(test, 4096, &shapes[i]);
		at = run(model);
		KUNIT_EXPECT_NULL_MSG(test, model->wrong,
				      "shape %zu step %u of seed %llu: %s", i,
				      at, this, model->wrong);
		expect_calls(model);
		destroy_arena(test, model->arena);
	}
	kvfree(model);
}

static struct kunit_case model_cases[] = {
	KUNIT_CASE(operations_agree_with_model),
	{}
};

static struct kunit_suite model_suite = {
	.name = "quarry_arena_model",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = model_cases,
};

kunit_test_suite(model_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: an arena beside a model of it");
MODULE_LICENSE("GPL");
