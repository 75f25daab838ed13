// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts: what overflows is invalid and stays so.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <quarry/layout.h>
#include "kunit_util.h"

struct mixed {
	u8 a;
	u64 b;
	u16 c;
};

struct message {
	u32 length;
	u8 flags;
	u64 words[];
};

static void expect_layout(struct kunit *test, struct quarry_layout layout,
			  size_t size, size_t align)
{
	KUNIT_EXPECT_TRUE(test, quarry_layout_valid(layout));
	KUNIT_EXPECT_EQ(test, layout.size, size);
	KUNIT_EXPECT_EQ(test, layout.align, align);
}

static void expect_invalid(struct kunit *test, struct quarry_layout layout)
{
	KUNIT_EXPECT_FALSE(test, quarry_layout_valid(layout));
	KUNIT_EXPECT_TRUE(test, quarry_layout_equal(layout, QUARRY_LAYOUT_INVALID));
}

static void type_has_its_layout(struct kunit *test)
{
	expect_layout(test, QUARRY_LAYOUT(struct mixed), 24, 8);
	expect_layout(test, QUARRY_LAYOUT(u8), 1, 1);
}

static void zeroes_are_invalid(struct kunit *test)
{
	struct quarry_layout zeroes = {};

	expect_invalid(test, zeroes);
	expect_layout(test, quarry_layout_make(0, 1), 0, 1);
}

static void align_is_a_power_of_two(struct kunit *test)
{
	expect_layout(test, quarry_layout_make(5, 64), 5, 64);
	expect_invalid(test, quarry_layout_make(5, 0));
	expect_invalid(test, quarry_layout_make(5, 48));
	expect_invalid(test, quarry_layout_make(5, 63));
	expect_layout(test, quarry_layout_make(0, BIT(62)), 0, BIT(62));
	expect_invalid(test, quarry_layout_make(0, BIT(63)));
}

static void size_rounded_up_fits_in_a_long(struct kunit *test)
{
	expect_layout(test, quarry_layout_make(LONG_MAX, 1), LONG_MAX, 1);
	expect_invalid(test, quarry_layout_make((size_t)LONG_MAX + 1, 1));
	expect_layout(test, quarry_layout_make(LONG_MAX - 7, 8), LONG_MAX - 7, 8);
	expect_invalid(test, quarry_layout_make(LONG_MAX - 6, 8));
	expect_invalid(test, quarry_layout_make(SIZE_MAX, 8));
}

static void array_that_overflows_is_invalid(struct kunit *test)
{
	expect_layout(test, QUARRY_LAYOUT_ARRAY(struct mixed, 3), 72, 8);
	expect_layout(test, QUARRY_LAYOUT_ARRAY(u8, LONG_MAX), LONG_MAX, 1);
	expect_layout(test, QUARRY_LAYOUT_ARRAY(u64, 0), 0, 8);
	expect_invalid(test, QUARRY_LAYOUT_ARRAY(u64, LONG_MAX / 8 + 1));
	expect_invalid(test, QUARRY_LAYOUT_ARRAY(struct mixed, SIZE_MAX / 24 + 1));
	expect_invalid(test, QUARRY_LAYOUT_ARRAY(u64, -1));
}

static void flexible_array_that_overflows_is_invalid(struct kunit *test)
{
	expect_layout(test, QUARRY_LAYOUT_FLEX(struct message, words, 3), 32, 8);
	expect_layout(test, QUARRY_LAYOUT_FLEX(struct message, words, 0), 8, 8);
	expect_invalid(test, QUARRY_LAYOUT_FLEX(struct message, words, SIZE_MAX / 8));
	expect_invalid(test, QUARRY_LAYOUT_FLEX(struct message, words, -1));
}

static void extend_is_a_struct(struct kunit *test)
{
	struct quarry_layout l = QUARRY_LAYOUT(u8);
	size_t b, c;

	l = quarry_layout_extend(l, QUARRY_LAYOUT(u64), &b);
	l = quarry_layout_extend(l, QUARRY_LAYOUT(u16), &c);
	KUNIT_EXPECT_EQ(test, b, offsetof(struct mixed, b));
	KUNIT_EXPECT_EQ(test, c, offsetof(struct mixed, c));
	expect_layout(test, l, 18, 8);
	expect_layout(test, quarry_layout_pad(l), sizeof(struct mixed), 8);
	/* No offset wanted, and a first member of nothing. */
	l = quarry_layout_extend(quarry_layout_make(0, 1), QUARRY_LAYOUT(u32), NULL);
	expect_layout(test, l, 4, 4);
}

static void extend_that_overflows_is_invalid(struct kunit *test)
{
	struct quarry_layout half = quarry_layout_make(LONG_MAX / 2, 1);
	size_t at = 77;

	expect_layout(test, quarry_layout_extend(half, half, &at),
		      LONG_MAX - 1, 1);
	KUNIT_EXPECT_EQ(test, at, LONG_MAX / 2);
	expect_invalid(test, quarry_layout_extend(quarry_layout_make(LONG_MAX, 1),
						  QUARRY_LAYOUT(u8), &at));
	KUNIT_EXPECT_EQ(test, at, 0);
	/* One byte that brings an alignment which no longer has room. */
	expect_invalid(test, quarry_layout_extend(quarry_layout_make(LONG_MAX - 8, 1),
						  quarry_layout_make(0, 64), &at));
}

static void repeat_pads_each(struct kunit *test)
{
	size_t stride;

	expect_layout(test, quarry_layout_repeat(quarry_layout_make(6, 4), 3,
						 &stride), 24, 4);
	KUNIT_EXPECT_EQ(test, stride, 8);
	expect_invalid(test, quarry_layout_repeat(quarry_layout_make(6, 4),
						  LONG_MAX / 8 + 1, &stride));
	KUNIT_EXPECT_EQ(test, stride, 0);
	/* Counts that would overflow, of nothing. */
	expect_layout(test, quarry_layout_repeat(quarry_layout_make(0, 4), SIZE_MAX,
						 &stride), 0, 4);
}

static void padding_reaches_the_next_multiple(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, quarry_layout_padding(quarry_layout_make(9, 1), 8), 7);
	KUNIT_EXPECT_EQ(test, quarry_layout_padding(quarry_layout_make(16, 1), 8), 0);
	KUNIT_EXPECT_EQ(test, quarry_layout_padding(quarry_layout_make(9, 1), 12), 0);
	expect_layout(test, quarry_layout_pad(quarry_layout_make(9, 8)), 16, 8);
	expect_layout(test, quarry_layout_pad(quarry_layout_make(LONG_MAX - 7, 8)),
		      LONG_MAX - 7, 8);
}

static void align_to_takes_the_larger(struct kunit *test)
{
	struct quarry_layout l = quarry_layout_make(9, 8);

	expect_layout(test, quarry_layout_align_to(l, 64), 9, 64);
	expect_layout(test, quarry_layout_align_to(l, 2), 9, 8);
	expect_invalid(test, quarry_layout_align_to(l, 3));
	expect_invalid(test, quarry_layout_align_to(l, 0));
	expect_invalid(test, quarry_layout_align_to(quarry_layout_make(LONG_MAX, 1),
						    2));
}

static void invalid_stays_invalid(struct kunit *test)
{
	struct quarry_layout bad = QUARRY_LAYOUT_ARRAY(u64, SIZE_MAX);
	struct quarry_layout odd = { .size = 8, .align = 24 };
	struct quarry_layout good = QUARRY_LAYOUT(u64);
	size_t at;

	expect_invalid(test, quarry_layout_extend(bad, good, &at));
	expect_invalid(test, quarry_layout_extend(good, bad, &at));
	expect_invalid(test, quarry_layout_repeat(bad, 0, NULL));
	expect_invalid(test, quarry_layout_pad(bad));
	expect_invalid(test, quarry_layout_align_to(bad, 8));
	/* Also one that was filled in by hand. */
	KUNIT_EXPECT_FALSE(test, quarry_layout_valid(odd));
	expect_invalid(test, quarry_layout_extend(odd, good, &at));
	expect_invalid(test, quarry_layout_pad(odd));
	expect_invalid(test, quarry_layout_repeat(odd, 1, NULL));
}

/* Beside arithmetic that cannot overflow: twice as wide. */
static void random_extends_agree_with_wide_arithmetic(struct kunit *test)
{
	u64 seed = get_random_u64();
	struct rnd_state random;
	int i;

	kunit_info(test, "seed %llu", seed);
	prandom_seed_state(&random, seed);
	for (i = 0; i < 20000; i++) {
		u64 bits = prandom_u32_state(&random);
		struct quarry_layout a, b, both;
		__uint128_t at, size;
		size_t align, offset;

		a = quarry_layout_make((LONG_MAX - (bits & 63)) >> (bits >> 8 & 63),
				       BIT(bits >> 16 & 7));
		b = quarry_layout_make((LONG_MAX - (bits >> 20 & 63)) >>
				       (bits >> 26 & 63),
				       BIT(bits >> 12 & 7));
		if (!a.align || !b.align)
			continue;
		align = max(a.align, b.align);
		at = ((__uint128_t)a.size + b.align - 1) / b.align * b.align;
		size = at + b.size;
		both = quarry_layout_extend(a, b, &offset);
		if (size + align - 1 > LONG_MAX) {
			expect_invalid(test, both);
			continue;
		}
		expect_layout(test, both, size, align);
		KUNIT_EXPECT_EQ(test, offset, (size_t)at);
	}
}

static struct kunit_case layout_cases[] = {
	KUNIT_CASE(type_has_its_layout),
	KUNIT_CASE(zeroes_are_invalid),
	KUNIT_CASE(align_is_a_power_of_two),
	KUNIT_CASE(size_rounded_up_fits_in_a_long),
	KUNIT_CASE(array_that_overflows_is_invalid),
	KUNIT_CASE(flexible_array_that_overflows_is_invalid),
	KUNIT_CASE(extend_is_a_struct),
	KUNIT_CASE(extend_that_overflows_is_invalid),
	KUNIT_CASE(repeat_pads_each),
	KUNIT_CASE(padding_reaches_the_next_multiple),
	KUNIT_CASE(align_to_takes_the_larger),
	KUNIT_CASE(invalid_stays_invalid),
	KUNIT_CASE(random_extends_agree_with_wide_arithmetic),
	{}
};

static struct kunit_suite layout_suite = {
	.name = "quarry_layout",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = layout_cases,
};

kunit_test_suite(layout_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: layouts");
MODULE_LICENSE("GPL");
