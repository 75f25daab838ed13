// SPDX-License-Identifier: GPL-2.0-only
/*
 * What quarry_pool_create() accepts, and what it refuses with which error.
 */
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include "kunit_util.h"

/* Arguments: each line differs in one thing from the first, which is good. */

static u8 lent[SZ_8K] __aligned(SZ_4K);

static void nop_ctor(void *block, void *arg)
{
}

struct argument {
	const char *what;
	const char *name;
	size_t size;
	size_t nr;
	int err;
	struct quarry_pool_args args;
};

#define NAME_47 "a23456789012345678901234567890123456789012345.7"
#define NAME(what, err, name)	{ what, name, 64, 16, err }
#define SIZE(what, err, size)	{ what, "args", size, 16, err }
#define NR(what, err, nr)	{ what, "args", 64, nr, err }
#define ARGS(what, err, ...)	{ what, "args", 64, 16, err, { __VA_ARGS__ } }

static const struct argument arguments[] = {
	NAME("good", 0, "args"),
	NAME("name NULL", -EINVAL, NULL),
	NAME("name empty", -EINVAL, ""),
	NAME("name starts with a dot", -EINVAL, ".a"),
	NAME("name starts with a dash", -EINVAL, "-a"),
	NAME("name starts with an underscore", -EINVAL, "_a"),
	NAME("name has a slash", -EINVAL, "a/b"),
	NAME("name has a space", -EINVAL, "a b"),
	NAME("name has a newline", -EINVAL, "a\n"),
	NAME("name is not ASCII", -EINVAL, "a\xe4"),
	NAME("name of 48 characters", -EINVAL, NAME_47 "x"),
	NAME("name of 47 characters", 0, NAME_47),
	NAME("name of one digit", 0, "0"),
	NAME("name of all kinds", 0, "a.B-c_9"),
	SIZE("size 0", -EINVAL, 0),
	SIZE("size over the maximum", -EINVAL, QUARRY_POOL_MAX_SIZE + 1),
	SIZE("size that wraps", -EINVAL, SIZE_MAX),
	NR("nr 0", -EINVAL, 0),
	NR("nr over the maximum", -EOVERFLOW, QUARRY_POOL_MAX_BLOCKS + 1),
	NR("nr whose product wraps", -EOVERFLOW, SIZE_MAX / 64 + 2),
	NR("nr that wraps", -EOVERFLOW, SIZE_MAX),
	NR("more than there is", -ENOMEM, QUARRY_POOL_MAX_BLOCKS),
	ARGS("align 3", -EINVAL, .align = 3),
	ARGS("align 8192", -EINVAL, .align = 8192),
	ARGS("align 4096", 0, .align = 4096),
	ARGS("unknown flag of all kinds", -EINVAL, .flags = BIT(15)),
	ARGS("unknown flag of pools", -EINVAL, .flags = BIT(31)),
	ARGS("magazine over the maximum", -EINVAL,
	     .magazine = QUARRY_POOL_MAX_MAGAZINE + 1),
	ARGS("node negative", -EINVAL, .flags = QUARRY_ON_NODE, .node = -1),
	ARGS("node too large", -EINVAL, .flags = QUARRY_ON_NODE,
	     .node = MAX_NUMNODES),
	ARGS("node 0", 0, .flags = QUARRY_ON_NODE),
	ARGS("node not asked for", 0, .node = -1),
	ARGS("ctor", 0, .ctor = nop_ctor),
	ARGS("ctor and ZERO_ON_FREE", -EINVAL, .ctor = nop_ctor,
	     .flags = QUARRY_POOL_ZERO_ON_FREE),
	ARGS("memory", 0, .memory = lent, .memory_size = 1024),
	ARGS("memory too small", -EINVAL, .memory = lent, .memory_size = 1023),
	ARGS("memory without size", -EINVAL, .memory = lent),
	ARGS("memory misaligned", -EINVAL, .memory = lent + 4,
	     .memory_size = 1024),
	ARGS("size without memory", -EINVAL, .memory_size = 1024),
};

static void argument_desc(const struct argument *p, char *desc)
{
	strscpy(desc, p->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(argument, arguments, argument_desc);

static void create_checks_arguments(struct kunit *test)
{
	const struct argument *p = test->param_value;
	struct quarry_pool *pool;

	pool = quarry_pool_create(p->name, p->size, p->nr, &p->args);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), p->err);
	quarry_pool_destroy(pool);
}

static void create_checks_layout(struct kunit *test)
{
	struct quarry_pool *pool;

	pool = quarry_pool_create_owned(THIS_MODULE, QUARRY_POOL_LAYOUT + 1,
					"layout", 64, 16, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), -EINVAL);
	quarry_pool_destroy(pool);
	pool = quarry_pool_create_owned(THIS_MODULE, QUARRY_POOL_LAYOUT,
					"layout", 64, 16, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), 0);
	quarry_pool_destroy(pool);
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

	preempt_disable();
	atomic = quarry_pool_create("context", 64, 16, NULL);
	preempt_enable();
	local_irq_disable();
	irqs_off = quarry_pool_create("context", 64, 16, NULL);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(atomic), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(irqs_off), -EINVAL);
}

static struct kunit_case args_cases[] = {
	KUNIT_CASE_PARAM(create_checks_arguments, argument_gen_params),
	KUNIT_CASE(create_checks_layout),
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
