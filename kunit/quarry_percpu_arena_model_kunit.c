// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random requests and resets of a per-CPU arena beside a model of the pieces that are
 * live: none lies in another, and none is refused that there was room for. The seed
 * is printed; give it as module parameter to see the same run again.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/slab.h>
#include "percpu_arena_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random requests (0: a new one)");

#define MODEL_CHUNKS	24
#define MODEL_BYTES	(MODEL_CHUNKS * CHUNK)

struct model {
	struct quarry_percpu_arena *arena;
	struct rnd_state random;
	unsigned long base;
	u8 owner[MODEL_BYTES];		/* 0: nobody's since the last reset */
	u64 bytes, nr, nulls;
};

static u32 below(struct model *m, u32 limit)
{
	return prandom_u32_state(&m->random) % limit;
}

/* Bytes in which the request fits wherever they begin. */
static u64 fits_in(size_t size, size_t align)
{
	return size + max(align, LEAST) - 1;
}

/* Of the uppermost rest on the list, the only one that is looked at. */
static u64 top_tail(const struct quarry_percpu_arena *arena)
{
	u64 word = atomic64_read(&arena->tails);
	u32 chunk = word_low(word);

	if (word_epoch(word) != ring_epoch(atomic64_read(&arena->ring)) ||
	    chunk == NO_CHUNK)
		return 0;
	return CHUNK - word_high(atomic64_read(&arena->tail[chunk]));
}

/*
 * What there was, right before a request: a grace period that ends in between makes
 * it more. NULL is no answer when the request fits into something of it.
 */
static bool had_room(const struct quarry_percpu_arena *arena,
		     const struct quarry_percpu_arena_stats *s, u64 ring, u64 tail,
		     size_t size, size_t align)
{
	u64 need = fits_in(size, align), left = s->left / CHUNK;
	u64 want = DIV_ROUND_UP(size, CHUNK), skip = 0;

	if (size <= CHUNK)
		return left || s->cached >= need || s->shared >= need ||
		       tail >= need;
	if (ring_pos(ring) + want > arena->nr)
		skip = arena->nr - ring_pos(ring);
	return skip + want <= left;
}

static void model_alloc(struct kunit *test, struct model *m)
{
	size_t align = BIT(below(m, 13)), size = 1 + below(m, 200);
	struct quarry_percpu_arena_stats s = figures(m->arena);
	u64 ring = atomic64_read(&m->arena->ring), tail = top_tail(m->arena);
	unsigned long at;
	u8 *p;

	if (below(m, 40) == 0)
		size = 1 + below(m, 3 * CHUNK);
	p = quarry_percpu_arena_alloc(m->arena, size, align);
	if (!p) {
		KUNIT_ASSERT_FALSE_MSG(test, had_room(m->arena, &s, ring, tail, size, align),
				       "no %zu bytes of align %zu: left %llu cached %llu shared %llu tail %llu",
				       size, align, s.left, s.cached, s.shared, tail);
		m->nulls++;
		return;
	}
	at = (unsigned long)p - m->base;
	KUNIT_ASSERT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
	KUNIT_ASSERT_LE(test, at + size, MODEL_BYTES);
	KUNIT_ASSERT_NULL_MSG(test, memchr_inv(m->owner + at, 0, size),
			      "%zu bytes at %lu are somebody's", size, at);
	memset(m->owner + at, 1, size);
	memset(p, m->nr, size);
	m->bytes += size;
	m->nr++;
}

static void model_reset(struct kunit *test, struct model *m)
{
	if (below(m, 2)) {
		KUNIT_ASSERT_EQ(test, quarry_percpu_arena_reset(m->arena), 0);
	} else {
		KUNIT_ASSERT_EQ(test, quarry_percpu_arena_reset_rcu(m->arena, NULL, NULL), 0);
		if (below(m, 2))
			rcu_barrier();
	}
	memset(m->owner, 0, MODEL_BYTES);
	m->bytes = 0;
}

static void requests_agree_with_model(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	u64 this = seed ?: get_random_u64();
	int i;

	KUNIT_ASSERT_NOT_NULL(test, m);
	kunit_info(test, "seed %llu", this);
	prandom_seed_state(&m->random, this);
	m->arena = create_chunks(test, MODEL_CHUNKS);
	m->base = (unsigned long)quarry_percpu_arena_alloc(m->arena, 8, 8);
	quarry_percpu_arena_reset(m->arena);
	for (i = 0; i < 4000; i++) {
		struct quarry_percpu_arena_stats s;

		if (below(m, 256) == 0)
			model_reset(test, m);
		else
			model_alloc(test, m);
		s = figures(m->arena);
		KUNIT_ASSERT_LE(test, m->bytes, s.used);
		KUNIT_ASSERT_EQ(test, s.allocs, m->nr + 1);
		if (i % 16 == 0)
			expect_good(test, m->arena);
	}
	KUNIT_EXPECT_GT(test, m->nr, 200);
	KUNIT_EXPECT_GT(test, m->nulls, 100);
}

static struct kunit_case model_cases[] = {
	KUNIT_CASE(requests_agree_with_model),
	{}
};

static struct kunit_suite model_suite = {
	.name = "quarry_percpu_arena_model",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = model_cases,
};

kunit_test_suite(model_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the per-CPU arena beside a model");
MODULE_LICENSE("GPL");
