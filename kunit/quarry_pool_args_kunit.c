// SPDX-License-Identifier: GPL-2.0-only
/*
 * What quarry_pool_create() accepts, and what it refuses with which error.
 */
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include "kunit_util.h"
#include "log_util.h"

/* Arguments: each line differs in one thing from the first, which is good. */

static u8 lent[SZ_8K] __aligned(SZ_4K);

static void nop_ctor(void *block, void *arg)
{
}

struct argument {
	const char *what;
	const char *says;	/* in the log, when it is refused */
	const char *name;
	size_t size;
	size_t nr;
	int err;
	struct quarry_pool_args args;
};

#define NAME_47 "a23456789012345678901234567890123456789012345.7"
#define BAD_NAME "bad name, not [A-Za-z0-9][A-Za-z0-9_.-]* up to 47"
#define NAME(what, err, name, says) { what, says, name, 64, 16, err }
#define SIZE(what, err, size, says) { what, says, "args", size, 16, err }
#define NR(what, err, nr, says)	{ what, says, "args", 64, nr, err }
#define GOOD(what, ...)		{ what, NULL, "args", 64, 16, 0, { __VA_ARGS__ } }
#define BAD(what, says, ...)						\
	{ what, "\"args\": " says, "args", 64, 16, -EINVAL, { __VA_ARGS__ } }

static const struct argument arguments[] = {
	NAME("good", 0, "args", NULL),
	NAME("name NULL", -EINVAL, NULL, "pool \"(null)\": " BAD_NAME),
	NAME("name empty", -EINVAL, "", "pool \"\": " BAD_NAME),
	NAME("name starts with a dot", -EINVAL, ".a", "\".a\": " BAD_NAME),
	NAME("name starts with a dash", -EINVAL, "-a", "\"-a\": " BAD_NAME),
	NAME("name starts with an underscore", -EINVAL, "_a", "\"_a\": " BAD_NAME),
	NAME("name has a slash", -EINVAL, "a/b", "\"a/b\": " BAD_NAME),
	NAME("name has a space", -EINVAL, "a b", "\"a b\": " BAD_NAME),
	NAME("name has a newline", -EINVAL, "a\n", BAD_NAME),
	NAME("name is not ASCII", -EINVAL, "a\xe4", BAD_NAME),
	NAME("name of 48 characters", -EINVAL, NAME_47 "x", NAME_47 "x\": " BAD_NAME),
	NAME("name of 47 characters", 0, NAME_47, NULL),
	NAME("name of one digit", 0, "0", NULL),
	NAME("name of all kinds", 0, "a.B-c_9", NULL),
	SIZE("size 0", -EINVAL, 0, "\"args\": bad size 0, not 1 to 16777216"),
	SIZE("size over the maximum", -EINVAL, QUARRY_POOL_MAX_SIZE + 1,
	     "bad size 16777217, not 1 to 16777216"),
	SIZE("size that wraps", -EINVAL, SIZE_MAX, "bad size 18446744073709551615"),
	NR("nr 0", -EINVAL, 0, "\"args\": bad nr_blocks 0"),
	NR("nr over the maximum", -EOVERFLOW, QUARRY_POOL_MAX_BLOCKS + 1, NULL),
	NR("nr whose product wraps", -EOVERFLOW, SIZE_MAX / 64 + 2, NULL),
	NR("nr that wraps", -EOVERFLOW, SIZE_MAX, NULL),
	NR("more than there is", -ENOMEM, QUARRY_POOL_MAX_BLOCKS, NULL),
	BAD("align 3", "bad align 3, not a power of two up to 4096", .align = 3),
	BAD("align 8192", "bad align 8192, not a power of two up to 4096",
	    .align = 8192),
	GOOD("align 4096", .align = 4096),
	BAD("unknown flag of all kinds", "unknown flags 0x8000", .flags = BIT(15)),
	BAD("unknown flag of pools", "unknown flags 0x80000000", .flags = BIT(31)),
	BAD("magazine over the maximum", "bad magazine 127, more than 126",
	    .magazine = QUARRY_POOL_MAX_MAGAZINE + 1),
	BAD("node negative", "bad node -1, not online", .flags = QUARRY_ON_NODE,
	    .node = -1),
	BAD("node too large", "bad node ",
	    .flags = QUARRY_ON_NODE, .node = MAX_NUMNODES),
	GOOD("node 0", .flags = QUARRY_ON_NODE),
	GOOD("node not asked for", .node = -1),
	GOOD("ctor", .ctor = nop_ctor),
	BAD("ctor and ZERO_ON_FREE", "bad flags: ZERO_ON_FREE would undo the ctor",
	    .ctor = nop_ctor, .flags = QUARRY_POOL_ZERO_ON_FREE),
	BAD("memory and LEAK_TRACK", "bad flags: LEAK_TRACK needs quarry's own memory",
	    .memory = lent, .memory_size = 1024, .flags = QUARRY_POOL_LEAK_TRACK),
	GOOD("memory", .memory = lent, .memory_size = 1024),
	BAD("memory too small", "memory_size 1023, less than 1024", .memory = lent,
	    .memory_size = 1023),
	BAD("memory without size", "memory_size 0, less than 1024", .memory = lent),
	BAD("memory misaligned", "memory is not aligned to 8", .memory = lent + 4,
	    .memory_size = 1024),
	BAD("memory that wraps", "bad memory_size 18446744073709551615",
	    .memory = lent, .memory_size = SIZE_MAX),
	BAD("size without memory", "memory_size 1024 without memory",
	    .memory_size = 1024),
};

static void argument_desc(const struct argument *p, char *desc)
{
	strscpy(desc, p->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(argument, arguments, argument_desc);

/* The error, and one line in the log that names what was wrong, and the value. */
static void create_checks_arguments(struct kunit *test)
{
	const struct argument *p = test->param_value;
	struct quarry_pool *pool;

	log_begin(test);
	pool = quarry_pool_create(p->name, p->size, p->nr, &p->args);
	log_end();
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), p->err);
	if (p->err == -EINVAL)
		expect_said(test, p->says);
	quarry_pool_destroy(pool);
}

#define NONE "pool \"small\": no magazines: "

/* That a pool has no magazines is said once, with the reason. */
static void pool_without_magazines_says_so(struct kunit *test)
{
	const struct quarry_pool_args exact = { .flags = QUARRY_POOL_EXACT };
	const struct quarry_pool_args one = { .magazine = 1 };
	const struct quarry_pool_args memory = {
		.memory = lent, .memory_size = sizeof(lent),
	};
	const struct {
		const struct quarry_pool_args *args;
		size_t nr;
		const char *says;
	} cases[] = {
		{ NULL, 10, NONE "an eighth of the blocks is too little for " },
		{ &one, 1000, NONE "a magazine of 1 is too little for " },
		{ &memory, sizeof(lent) / 64,
		  NONE "what the memory has beyond its blocks is too little for " },
		{ &exact, 10, NULL },
		{ NULL, 1000, NULL },
	};
	struct quarry_pool *pool;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		log_begin(test);
		pool = quarry_pool_create("small", 64, cases[i].nr, cases[i].args);
		quarry_pool_free(pool, quarry_pool_alloc(pool));
		quarry_pool_destroy(pool);
		log_end();
		expect_said(test, cases[i].says);
	}
}

/* One word more or less in any of the four structs, or another number in front. */
static void create_checks_layout(struct kunit *test)
{
	unsigned int field, layout;
	struct quarry_pool *pool;

	for (field = 0; field <= 28; field += 7) {
		layout = QUARRY_POOL_LAYOUT + BIT(field);
		pool = quarry_pool_create_owned(THIS_MODULE, layout, "layout",
						64, 16, NULL);
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), -EINVAL);
		layout = QUARRY_POOL_LAYOUT - BIT(field);
		pool = quarry_pool_create_owned(THIS_MODULE, layout, "layout",
						64, 16, NULL);
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), -EINVAL);
	}
	pool = quarry_pool_create_owned(THIS_MODULE, 0, "layout", 64, 16, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), -EINVAL);
	pool = quarry_pool_create_owned(THIS_MODULE, QUARRY_POOL_LAYOUT,
					"layout", 64, 16, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), 0);
	quarry_pool_destroy(pool);
}

/* What a client reads inline counts, not only what it passes. */
static void layout_has_the_size_of_each_struct(struct kunit *test)
{
	const size_t sizes[] = {
		sizeof(struct quarry_pool_cpu), sizeof(struct quarry_pool_hot),
		sizeof(struct quarry_pool_stats), sizeof(struct quarry_pool_args),
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		KUNIT_EXPECT_EQ(test, (QUARRY_POOL_LAYOUT >> (7 * i)) % 128,
				sizes[i] / 8);
}

/* Args of another layout may be shorter than ours: they are not read. */
static void args_of_another_layout_are_not_read(struct kunit *test)
{
	u8 *page = vmalloc(PAGE_SIZE);	/* what is behind it is not mapped */
	struct quarry_pool *pool;

	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = quarry_pool_create_typed(THIS_MODULE, QUARRY_POOL_LAYOUT - 1,
					"struct layout", 64, 8, 16,
					(void *)(page + PAGE_SIZE - 8));
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), -EINVAL);
	quarry_pool_destroy(pool);
	vfree(page);
}

static void create_checks_context(struct kunit *test)
{
	struct quarry_pool *atomic, *irqs_off;

	log_begin(test);
	preempt_disable();
	atomic = quarry_pool_create("context", 64, 16, NULL);
	preempt_enable();
	local_irq_disable();
	irqs_off = quarry_pool_create("context", 64, 16, NULL);
	local_irq_enable();
	log_end();
	KUNIT_EXPECT_EQ(test, log_nr, 2);
	KUNIT_EXPECT_NOT_NULL(test, strstr(log_last, "\"context\": created in a context"));
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(atomic), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(irqs_off), -EINVAL);
}

static struct kunit_case args_cases[] = {
	KUNIT_CASE_PARAM(create_checks_arguments, argument_gen_params),
	KUNIT_CASE(pool_without_magazines_says_so),
	KUNIT_CASE(create_checks_layout),
	KUNIT_CASE(layout_has_the_size_of_each_struct),
	KUNIT_CASE(args_of_another_layout_are_not_read),
	KUNIT_CASE(create_checks_context),
	{}
};

static struct kunit_suite args_suite = {
	.name = "quarry_pool_args",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = args_cases,
};

kunit_test_suite(args_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: arguments of a pool");
MODULE_LICENSE("GPL");
