// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client that makes objects when a CPU comes, and unloads with a pool alive on
 * memory of its own. On kernels with lockdep: there is no cycle among the locks of
 * CPU hotplug and the registry. It is said when this module is removed, and fails
 * the run.
 */
#include <linux/cpuhotplug.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <quarry/quarry.h>
#include "kunit_util.h"

static u8 memory[SZ_4K] __aligned(SZ_4K);
static atomic_t made;

/* On a CPU that comes, under the lock of CPU hotplug. */
static int make_and_destroy(unsigned int cpu)
{
	struct quarry_bump *bump = quarry_bump_create("coming", SZ_4K, NULL);

	if (IS_ERR(bump))
		return PTR_ERR(bump);
	quarry_bump_destroy(bump);
	atomic_inc(&made);
	return 0;
}

static void objects_are_made_when_a_cpu_comes(struct kunit *test)
{
	int state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "quarry/kunit:online",
				      make_and_destroy, NULL);

	KUNIT_ASSERT_GE(test, state, 0);
	cpuhp_remove_state(state);
	KUNIT_EXPECT_EQ(test, atomic_read(&made), num_online_cpus());
}

/* Not destroyed: the notifier of modules finds it, and takes it off hotplug. */
static void pool_is_left_behind(struct kunit *test)
{
	const struct quarry_pool_args args = {
		.memory = memory, .memory_size = sizeof(memory),
	};
	struct quarry_pool *pool = quarry_pool_create("left-behind", 32, 64, &args);

	KUNIT_ASSERT_EQ(test, 0, PTR_ERR_OR_ZERO(pool));
	expect_verified(test, pool);
}

static struct kunit_case orphan_cases[] = {
	KUNIT_CASE(objects_are_made_when_a_cpu_comes),
	KUNIT_CASE(pool_is_left_behind),
	{}
};

static struct kunit_suite orphan_suite = {
	.name = "quarry_orphan",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = orphan_cases,
};

kunit_test_suite(orphan_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a client that leaves a pool behind");
MODULE_LICENSE("GPL");
