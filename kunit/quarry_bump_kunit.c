// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bump's rules, one a test: what is handed out, where it ends, what reset and
 * generations mean, what is refused. And random requests beside a model.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <quarry/bump.h>
#include "kunit_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random requests (0: a new one)");

/* With KASAN pieces do not share its granules. */
#define LEAST	QUARRY_BUMP_LEAST_ALIGN

KUNIT_DEFINE_ACTION_WRAPPER(destroy_bump_action, quarry_bump_destroy,
			    struct quarry_bump *);

static struct quarry_bump *create_bump(struct kunit *test, size_t size,
				       const struct quarry_bump_args *args)
{
	struct quarry_bump *bump = quarry_bump_create("bump", size, args);

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(bump), 0);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test,
							   destroy_bump_action,
							   bump));
	return bump;
}

static struct quarry_bump_stats figures(struct quarry_bump *bump)
{
	struct quarry_bump_stats stats;

	quarry_bump_get_stats(bump, &stats);
	return stats;
}

static struct quarry_bump_hot *hot_of(struct quarry_bump *bump)
{
	return (void *)bump;
}

static void pieces_follow_each_other(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 4096, NULL);
	u8 *a = quarry_bump_alloc(bump, 24, 8), *b = quarry_bump_alloc(bump, 8, 8);

	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_EXPECT_PTR_EQ(test, b, a + 24);
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 32);
	KUNIT_EXPECT_EQ(test, figures(bump).allocs, 2);
	KUNIT_EXPECT_EQ(test, figures(bump).left, 4096 - 32);
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), 0);
}

static void pieces_are_aligned(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, SZ_64K, NULL);
	size_t align;
	void *p;

	for (align = 1; align <= QUARRY_BUMP_MAX_ALIGN; align *= 2) {
		OPTIMIZER_HIDE_VAR(align);
		KUNIT_EXPECT_NOT_NULL(test, quarry_bump_alloc(bump, 1, 1));
		p = quarry_bump_alloc(bump, 3, align);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
	}
	KUNIT_EXPECT_NOT_NULL(test, quarry_bump_alloc(bump, 1, 1));
	p = quarry_bump_alloc(bump, 64, 256);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, 256));
	KUNIT_EXPECT_NOT_NULL(test, quarry_bump_alloc(bump, 1, 1));
	p = quarry_bump_alloc_inline(bump, 64, 4096);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, 4096));
}

/* All forms take from one word. */
static void all_forms_agree(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 4096, NULL);
	u8 *p = quarry_bump_alloc(bump, 40, 8);
	size_t size = 40, align = 8;
	u32 gen = 77;

	OPTIMIZER_HIDE_VAR(size);
	OPTIMIZER_HIDE_VAR(align);
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc(bump, size, align),
			    (void *)(p + 40));
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc_inline(bump, 40, 8),
			    (void *)(p + 80));
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc_inline(bump, size, align),
			    (void *)(p + 120));
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc_gen(bump, 40, 8, &gen),
			    (void *)(p + 160));
	KUNIT_EXPECT_EQ(test, gen, 0);
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc(bump, size, 8),
			    (void *)(p + 200));
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc_inline(bump, size, 64),
			    (void *)PTR_ALIGN(p + 240, 64));
	memset(p, 0xff, 40);
	quarry_bump_reset(bump);
	p = quarry_bump_zalloc(bump, 40, 8);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, 40));
	KUNIT_EXPECT_EQ(test, figures(bump).allocs, 8);
}

static void last_byte_can_be_had(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 1000, NULL);
	u8 *p = quarry_bump_alloc(bump, 1, 1), *q;

	q = quarry_bump_alloc(bump, 1000 - LEAST, 1);
	KUNIT_EXPECT_PTR_EQ(test, q, p + LEAST);
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 1000);
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 1, 1));
	KUNIT_EXPECT_EQ(test, figures(bump).exhausted, 1);
	quarry_bump_reset(bump);
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 1001, 1));
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc(bump, 1000, 1), (void *)p);
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), 0);
}

static void large_request_spoils_nothing(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 1000, NULL);
	static const size_t sizes[] = {
		1000, 1001, SZ_1M, QUARRY_BUMP_MAX_SIZE - 1, QUARRY_BUMP_MAX_SIZE,
		QUARRY_BUMP_MAX_SIZE + 1, LONG_MAX, BIT(63), SIZE_MAX - 4095,
		SIZE_MAX - 1, SIZE_MAX,
	};
	u8 *p = quarry_bump_alloc(bump, 8, 8);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, sizes[i], 1));
		KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, sizes[i], 4096));
	}
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, QUARRY_BUMP_MAX_SIZE, 4096));
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 8);
	KUNIT_EXPECT_EQ(test, figures(bump).exhausted, 2 * ARRAY_SIZE(sizes) + 1);
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc(bump, 992, 8), (void *)(p + 8));
	/* Full, and asked for more, many times: it does not come round. */
	for (i = 0; i < 10000; i++)
		quarry_bump_alloc(bump, 4096, 4096);
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 1000);
	KUNIT_EXPECT_EQ(test, quarry_bump_generation(bump), 0);
}

static void bad_requests_are_refused(struct kunit *test)
{
	static const size_t aligns[] = { 0, 3, 48, 4097, 8192, BIT(63), SIZE_MAX };
	struct quarry_bump *bump = create_bump(test, 1000, NULL);
	size_t none = 0, i;

	OPTIMIZER_HIDE_VAR(none);
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 0, 8));
	expect_reports(test, 1, "size 0");
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc_inline(bump, none, 8));
	expect_reports(test, 1, "size 0");
	for (i = 0; i < ARRAY_SIZE(aligns); i++) {
		KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 8, aligns[i]));
		expect_reports(test, 1, "no power of two up to 4096");
	}
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 8, 48));
	expect_reports(test, 1, "align 48");
	KUNIT_EXPECT_NULL(test, quarry_bump_zalloc(bump, 0, 8));
	expect_reports(test, 1, "bad_requests_are_refused");
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 0);
	KUNIT_EXPECT_EQ(test, figures(bump).refused_bad, 4 + ARRAY_SIZE(aligns));
	KUNIT_EXPECT_EQ(test, figures(bump).refused, 4 + ARRAY_SIZE(aligns));
	KUNIT_EXPECT_EQ(test, figures(bump).exhausted, 0);
}

static void reset_starts_anew(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 1000, NULL);
	u8 *p = quarry_bump_alloc(bump, 600, 8);

	KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 600, 8));
	KUNIT_EXPECT_EQ(test, quarry_bump_reset(bump), 1);
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 0);
	KUNIT_EXPECT_PTR_EQ(test, quarry_bump_alloc(bump, 200, 8), (void *)p);
	KUNIT_EXPECT_EQ(test, figures(bump).peak, 600);
	KUNIT_EXPECT_EQ(test, figures(bump).resets, 1);
	KUNIT_EXPECT_EQ(test, quarry_bump_reset(bump), 2);
	KUNIT_EXPECT_EQ(test, figures(bump).peak, 600);
}

static void generations_tell_stale_pointers(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 1000, NULL);
	u32 old, new;
	u8 *p = quarry_bump_alloc_gen(bump, 100, 8, &old), *q;

	KUNIT_EXPECT_TRUE(test, quarry_bump_owns(bump, p, old));
	KUNIT_EXPECT_TRUE(test, quarry_bump_owns(bump, p + 99, old));
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, p + 104, old));
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, p - 1, old));
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, NULL, old));
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, p, old + 1));
	quarry_bump_reset(bump);
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, p, old));
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, p, QUARRY_BUMP_ANY_GEN));
	q = quarry_bump_alloc_gen(bump, 100, 8, &new);
	KUNIT_EXPECT_PTR_EQ(test, q, p);
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, p, old));
	KUNIT_EXPECT_TRUE(test, quarry_bump_owns(bump, q, new));
	KUNIT_EXPECT_TRUE(test, quarry_bump_owns(bump, p, QUARRY_BUMP_ANY_GEN));
	KUNIT_EXPECT_EQ(test, new, quarry_bump_generation(bump));
}

/* The generation wraps, and does not run into the offset. */
static void generation_wraps(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 1000, NULL);
	u32 gen;

	atomic64_or(QUARRY_BUMP_GEN_MASK, &hot_of(bump)->word);
	KUNIT_EXPECT_EQ(test, quarry_bump_generation(bump), QUARRY_BUMP_GEN_MASK);
	KUNIT_EXPECT_NOT_NULL(test, quarry_bump_alloc_gen(bump, 1000, 1, &gen));
	KUNIT_EXPECT_EQ(test, gen, QUARRY_BUMP_GEN_MASK);
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 1, 1));
	KUNIT_EXPECT_EQ(test, quarry_bump_reset(bump), 0);
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 0);
	KUNIT_EXPECT_NOT_NULL(test, quarry_bump_alloc(bump, 1000, 1));
	KUNIT_EXPECT_EQ(test, quarry_bump_generation(bump), 0);
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), 0);
}

static void lent_memory_may_begin_anywhere(struct kunit *test)
{
	static u8 memory[8192] __aligned(64);
	size_t shift;

	for (shift = 0; shift < 70; shift += 7) {
		struct quarry_bump_args args = {
			.memory = memory + shift, .memory_size = 5000,
		};
		struct quarry_bump *bump = create_bump(test, 4500, &args);
		u8 *p = quarry_bump_alloc(bump, 1, 1), *q, *r;

		KUNIT_EXPECT_PTR_EQ(test, p,
				    PTR_ALIGN(memory + shift, LEAST));
		q = quarry_bump_alloc(bump, 100, 64);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)q, 64));
		r = quarry_bump_alloc(bump, memory + shift + 4500 - (q + 104), 1);
		KUNIT_EXPECT_PTR_EQ(test, r, PTR_ALIGN(q + 100, LEAST));
		KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 8, 1));
		KUNIT_EXPECT_EQ(test, figures(bump).bytes_wasted, 500);
		kunit_release_action(test, destroy_bump_action, bump);
	}
}

struct bad_args {
	const char *what;
	const char *name;
	size_t size;
	struct quarry_bump_args args;
	int err;
};

static const struct bad_args bad_args[] = {
	{ "no name", NULL, 100, { }, -EINVAL },
	{ "bad name", "a b", 100, { }, -EINVAL },
	{ "size 0", "bump", 0, { }, -EINVAL },
	{ "size too large", "bump", QUARRY_BUMP_MAX_SIZE + 1, { }, -EOVERFLOW },
	{ "largest size", "bump", SIZE_MAX, { }, -EOVERFLOW },
	{ "unknown flag", "bump", 100, { .flags = BIT(16) }, -EINVAL },
	{ "bad node", "bump", 100, { .flags = QUARRY_ON_NODE, .node = -1 }, -EINVAL },
	{ "memory too small", "bump", 100,
	  { .memory = &capture, .memory_size = 99 }, -EINVAL },
	{ "no memory", "bump", 100, { .memory_size = 100 }, -EINVAL },
};

static void bad_desc(const struct bad_args *p, char *desc)
{
	strscpy(desc, p->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(bad, bad_args, bad_desc);

static void bad_creation_is_refused(struct kunit *test)
{
	const struct bad_args *p = test->param_value;
	struct quarry_bump *bump = quarry_bump_create(p->name, p->size, &p->args);

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(bump), p->err);
	quarry_bump_destroy(bump);
}

static void bad_context_and_layout_are_refused(struct kunit *test)
{
	struct quarry_bump *bump;

	local_irq_disable();
	bump = quarry_bump_create("bump", 100, NULL);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(bump), -EINVAL);
	bump = quarry_bump_create_owned(THIS_MODULE, QUARRY_BUMP_LAYOUT + 1,
					"bump", 100, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(bump), -EINVAL);
	bump = create_bump(test, 100, NULL);
	local_irq_disable();
	quarry_bump_destroy(bump);
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), -EINVAL);
	local_irq_enable();
	expect_reports(test, 1, "may not sleep");
	KUNIT_EXPECT_EQ(test, figures(bump).refused_bad, 1);
	KUNIT_EXPECT_NOT_NULL(test, quarry_bump_alloc(bump, 100, 1));
}

static void no_handle_is_refused(struct kunit *test)
{
	struct quarry_bump *none[] = { NULL, ERR_PTR(-ENOMEM) };
	struct quarry_bump_stats stats;
	size_t eight = 8, i;
	u32 gen;

	OPTIMIZER_HIDE_VAR(eight);
	for (i = 0; i < ARRAY_SIZE(none); i++) {
		KUNIT_EXPECT_NULL(test, quarry_bump_alloc(none[i], 8, 8));
		expect_reports(test, 1, "not a bump");
		KUNIT_EXPECT_NULL(test, quarry_bump_alloc(none[i], eight, 8));
		KUNIT_EXPECT_NULL(test, quarry_bump_alloc(none[i], eight, eight));
		KUNIT_EXPECT_NULL(test, quarry_bump_zalloc(none[i], 8, 8));
		KUNIT_EXPECT_NULL(test, quarry_bump_alloc_gen(none[i], 8, 8, &gen));
		KUNIT_EXPECT_EQ(test, quarry_bump_reset(none[i]), 0);
		expect_reports(test, 5, "not a bump");
		KUNIT_EXPECT_FALSE(test, quarry_bump_owns(none[i], test, 0));
		KUNIT_EXPECT_EQ(test, quarry_bump_generation(none[i]), 0);
		KUNIT_EXPECT_EQ(test, quarry_bump_used(none[i]), 0);
		KUNIT_EXPECT_EQ(test, quarry_bump_capacity(none[i]), 0);
		KUNIT_EXPECT_EQ(test, quarry_bump_verify(none[i]), -EINVAL);
		quarry_bump_get_stats(none[i], &stats);
		KUNIT_EXPECT_EQ(test, stats.capacity, 0);
		quarry_bump_destroy(none[i]);
	}
}

static void destroyed_bump_serves_nothing(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 1000, NULL);
	void *p = quarry_bump_alloc(bump, 8, 8);

	kunit_release_action(test, destroy_bump_action, bump);
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc(bump, 8, 8));
	expect_reports(test, 1, "destroyed bump");
	KUNIT_EXPECT_NULL(test, quarry_bump_alloc_inline(bump, 8, 8));
	KUNIT_EXPECT_EQ(test, quarry_bump_reset(bump), 0);
	expect_reports(test, 2, "reset refused: destroyed bump");
	KUNIT_EXPECT_FALSE(test, quarry_bump_owns(bump, p, QUARRY_BUMP_ANY_GEN));
	KUNIT_EXPECT_EQ(test, quarry_bump_used(bump), 0);
	KUNIT_EXPECT_EQ(test, figures(bump).refused_dead, 3);
	KUNIT_EXPECT_EQ(test, figures(bump).capacity, 0);
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), -EINVAL);
	quarry_bump_destroy(bump);
	expect_reports(test, 1, "destroyed twice, by destroyed");
	KUNIT_EXPECT_EQ(test, figures(bump).refused_dead, 4);
}

/* Beyond the end, and before the start. */
static void verify_sees_a_bad_word(struct kunit *test)
{
	struct quarry_bump *bump = create_bump(test, 1000, NULL);
	struct quarry_bump_hot *hot = hot_of(bump);
	s64 word = atomic64_read(&hot->word);

	atomic64_set(&hot->word, word + QUARRY_BUMP_STEP(1001));
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), -EUCLEAN);
	expect_reports(test, 1, "1001 bytes are handed out, of 1000");
	atomic64_set(&hot->word, word - QUARRY_BUMP_STEP(1));
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), -EUCLEAN);
	expect_reports(test, 1, "-1 bytes");
	atomic64_set(&hot->word, word);
	KUNIT_EXPECT_EQ(test, quarry_bump_verify(bump), 0);
}

/* Random requests and resets beside a model: where the next piece must be. */

struct model {
	struct quarry_bump *bump;
	struct rnd_state random;
	u8 *base;
	size_t size, top, peak;
	u64 allocs, exhausted, resets;
};

static void model_alloc(struct kunit *test, struct model *m)
{
	u32 dice = prandom_u32_state(&m->random);
	size_t align = BIT(dice % 13), start;
	size_t size = 1 + prandom_u32_state(&m->random) % (dice & 0x10000 ? 64 : 3000);
	u8 *p = quarry_bump_alloc(m->bump, size, align);

	start = round_up((unsigned long)m->base + m->top, max(align, LEAST)) -
		(unsigned long)m->base;
	if (start + size > m->size) {
		KUNIT_ASSERT_NULL(test, p);
		m->exhausted++;
		return;
	}
	KUNIT_ASSERT_PTR_EQ(test, p, m->base + start);
	memset(p, dice, size);
	m->top = start + size;
	m->allocs++;
	m->peak = max(m->peak, m->top);
}

static void model_step(struct kunit *test, struct model *m)
{
	if (prandom_u32_state(&m->random) % 64 == 0) {
		quarry_bump_reset(m->bump);
		m->top = 0;
		m->resets++;
	} else {
		model_alloc(test, m);
	}
	KUNIT_ASSERT_EQ(test, quarry_bump_verify(m->bump), 0);
	KUNIT_ASSERT_EQ(test, quarry_bump_used(m->bump), m->top);
}

static void requests_agree_with_model(struct kunit *test)
{
	struct model m = { .size = 30011 };
	u64 this = seed ?: get_random_u64();
	struct quarry_bump_stats stats;
	int i;

	kunit_info(test, "seed %llu", this);
	prandom_seed_state(&m.random, this);
	m.bump = create_bump(test, m.size, NULL);
	m.base = (u8 *)hot_of(m.bump)->origin + QUARRY_BUMP_MAX_ALIGN - 1;
	for (i = 0; i < 5000; i++)
		model_step(test, &m);
	stats = figures(m.bump);
	KUNIT_EXPECT_EQ(test, stats.allocs, m.allocs);
	KUNIT_EXPECT_EQ(test, stats.exhausted, m.exhausted);
	KUNIT_EXPECT_EQ(test, stats.resets, m.resets);
	KUNIT_EXPECT_EQ(test, stats.peak, m.peak);
	KUNIT_EXPECT_GT(test, m.exhausted, 0);
}

static struct kunit_case bump_cases[] = {
	KUNIT_CASE(pieces_follow_each_other),
	KUNIT_CASE(pieces_are_aligned),
	KUNIT_CASE(all_forms_agree),
	KUNIT_CASE(last_byte_can_be_had),
	KUNIT_CASE(large_request_spoils_nothing),
	KUNIT_CASE(bad_requests_are_refused),
	KUNIT_CASE(reset_starts_anew),
	KUNIT_CASE(generations_tell_stale_pointers),
	KUNIT_CASE(generation_wraps),
	KUNIT_CASE(lent_memory_may_begin_anywhere),
	KUNIT_CASE_PARAM(bad_creation_is_refused, bad_gen_params),
	KUNIT_CASE(bad_context_and_layout_are_refused),
	KUNIT_CASE(no_handle_is_refused),
	KUNIT_CASE(destroyed_bump_serves_nothing),
	KUNIT_CASE(verify_sees_a_bad_word),
	KUNIT_CASE(requests_agree_with_model),
	{}
};

static struct kunit_suite bump_suite = {
	.name = "quarry_bump",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = bump_cases,
};

kunit_test_suite(bump_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: the bump");
MODULE_LICENSE("GPL");
