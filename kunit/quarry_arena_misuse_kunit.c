// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that an arena's owner, or somebody who is not, can do wrong: it is
 * refused, exactly one report says what it was, one counter moves, and nothing
 * else changes.
 */
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "../kmod/compat.h"
#include "arena_util.h"

#define COUNTER(name)	offsetof(struct quarry_arena_stats, refused_##name)

/* After one bad operation: all is as @before, but for one refusal. */
static void expect_refused(struct kunit *test, struct quarry_arena *arena,
			   struct quarry_arena_stats before, size_t counter,
			   const char *why)
{
	struct quarry_arena_stats after = arena_stats(arena);

	expect_reports(test, 1, why);
	before.refused++;
	++*(u64 *)((void *)&before + counter);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
	expect_good_arena(test, arena);
}

static void expect_bad_mark(struct kunit *test, struct quarry_arena *arena,
			    struct quarry_arena_mark mark, size_t counter,
			    const char *why)
{
	struct quarry_arena_stats before = arena_stats(arena);

	KUNIT_EXPECT_FALSE(test, quarry_arena_rewind(arena, mark));
	expect_refused(test, arena, before, counter, why);
}

static void mark_of_another_arena(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct quarry_arena *other = create_arena(test, 4096, NULL);
	struct quarry_arena_mark mark, none = {};

	mark = quarry_arena_mark(arena);
	mark = quarry_arena_mark(other);
	expect_bad_mark(test, arena, mark, COUNTER(mark_foreign), "another arena");
	expect_bad_mark(test, arena, none, COUNTER(mark_foreign), "not made");
	mark.arena = arena;
	mark.serial = U64_MAX;
	expect_bad_mark(test, arena, mark, COUNTER(mark_foreign), "another arena");
	mark.serial = 0;
	expect_bad_mark(test, arena, mark, COUNTER(mark_foreign), "another arena");
}

static void mark_from_before_a_reset(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct quarry_arena_mark mark = quarry_arena_mark(arena);

	quarry_arena_reset(arena);
	expect_bad_mark(test, arena, mark, COUNTER(mark_stale), "before a reset");
	quarry_arena_mark(arena);
	expect_bad_mark(test, arena, mark, COUNTER(mark_stale), "before a reset");
}

static void mark_used_twice(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct quarry_arena_mark mark = quarry_arena_mark(arena);

	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, mark));
	expect_bad_mark(test, arena, mark, COUNTER(mark_used), "used twice");
	/* A new mark of the same place is another one. */
	quarry_arena_mark(arena);
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 100, 8));
	expect_bad_mark(test, arena, mark, COUNTER(mark_used), "used twice");
}

static void mark_newer_than_the_top(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct quarry_arena_mark outer = quarry_arena_mark(arena);
	struct quarry_arena_mark inner;

	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 100, 8));
	inner = quarry_arena_mark(arena);
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, outer));
	expect_bad_mark(test, arena, inner, COUNTER(mark_newer), "newer than the top");
	/* The top is beyond it again, with other blocks. */
	outer = quarry_arena_mark(arena);
	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 300, 8));
	expect_bad_mark(test, arena, inner, COUNTER(mark_stale), "rewound past");
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, outer));
}

static void mark_of_the_handles_last_life(struct kunit *test)
{
	struct quarry_arena *arena = quarry_arena_create("old", 4096, NULL), *next;
	struct quarry_arena_mark mark;

	KUNIT_ASSERT_FALSE(test, IS_ERR(arena));
	mark = quarry_arena_mark(arena);
	quarry_arena_destroy(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_rewind(arena, mark));
	expect_reports(test, 1, "destroyed arena");
	next = create_arena(test, 4096, NULL);
	quarry_arena_mark(next);
	if (next == arena)
		expect_bad_mark(test, next, mark, COUNTER(mark_stale), "reset");
	else
		expect_bad_mark(test, next, mark, COUNTER(mark_foreign), "another");
}

static void mark_without_room(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 64, NULL);
	struct quarry_arena_mark mark;

	KUNIT_EXPECT_NOT_NULL(test, quarry_arena_alloc(arena, 48, 8));
	mark = quarry_arena_mark(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_marked(mark));
	KUNIT_EXPECT_FALSE(test, quarry_arena_defer(arena, (quarry_arena_fn)kfree, NULL));
	KUNIT_EXPECT_EQ(test, arena_stats(arena).failures, 2);
	expect_bad_mark(test, arena, mark, COUNTER(mark_foreign), "not made");
}

static void bad_requests(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 8192, NULL);
	struct quarry_arena_stats before = arena_stats(arena);

	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 0, 8));
	expect_refused(test, arena, before, COUNTER(request), "bad size 0");
	before = arena_stats(arena);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 8, 0));
	expect_refused(test, arena, before, COUNTER(request), "bad alignment");
	before = arena_stats(arena);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 8, 24));
	expect_refused(test, arena, before, COUNTER(request), "bad alignment");
	before = arena_stats(arena);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 8, 8192));
	expect_refused(test, arena, before, COUNTER(request), "bad alignment");
	before = arena_stats(arena);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_sleep(arena, 8, 3));
	expect_refused(test, arena, before, COUNTER(request), "bad alignment");
	before = arena_stats(arena);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_inline(arena, 0, 8));
	expect_refused(test, arena, before, COUNTER(request), "bad size 0");
	before = arena_stats(arena);
	KUNIT_EXPECT_EQ(test, quarry_arena_reserve(arena, 0), -EINVAL);
	expect_refused(test, arena, before, COUNTER(request), "bad size 0");
	before = arena_stats(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_defer(arena, NULL, NULL));
	expect_refused(test, arena, before, COUNTER(request), "no function");
}

static void sleep_where_one_may_not(struct kunit *test)
{
	const struct quarry_arena_args args = { .limit = SZ_64K };
	struct quarry_arena *arena = create_arena(test, 64, &args);
	struct quarry_arena_stats before = arena_stats(arena);
	void *block;
	int err;

	local_irq_disable();
	block = quarry_arena_alloc_sleep(arena, 100, 8);
	local_irq_enable();
	KUNIT_EXPECT_NULL(test, block);
	expect_refused(test, arena, before, COUNTER(request), "would sleep");
	before = arena_stats(arena);
	local_irq_disable();
	err = quarry_arena_reserve(arena, 100);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, err, -EINVAL);
	expect_refused(test, arena, before, COUNTER(request), "would sleep");
	before = arena_stats(arena);
	local_irq_disable();
	quarry_arena_destroy(arena);
	local_irq_enable();
	expect_refused(test, arena, before, COUNTER(request), "may not sleep");
}

static void free_of_what_is_not_the_arenas(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct quarry_arena_stats before;
	u8 *block = quarry_arena_alloc(arena, 64, 8);
	u64 stack;

	before = arena_stats(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, &stack, 8));
	expect_refused(test, arena, before, COUNTER(pointer), "not a block");
	before = arena_stats(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, block, 65));
	expect_refused(test, arena, before, COUNTER(pointer), "not a block");
	before = arena_stats(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, block - 8, 72));
	expect_refused(test, arena, before, COUNTER(pointer), "not a block");
	before = arena_stats(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_resize_last(arena, &stack, 8, 16));
	expect_refused(test, arena, before, COUNTER(pointer), "not a block");
	KUNIT_EXPECT_TRUE(test, quarry_arena_free_last(arena, block, 64));
	before = arena_stats(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, block, 64));
	expect_refused(test, arena, before, COUNTER(pointer), "not a block");
}

/* The report names whose it is. */
static void free_of_anothers_block(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	struct quarry_arena *other = create_arena(test, 4096, NULL);
	struct quarry_pool *pool = create_pool(test, "pool", 64, 8, NULL);
	void *theirs = quarry_arena_alloc(other, 64, 8), *block;
	struct quarry_arena_stats before = arena_stats(arena);

	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, theirs, 64));
	expect_refused(test, arena, before, COUNTER(pointer),
		       "it is of arena \"test-2\" block 0");
	block = quarry_pool_alloc(pool);
	KUNIT_ASSERT_NOT_NULL(test, block);
	before = arena_stats(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_resize_last(arena, block, 64, 32));
	expect_refused(test, arena, before, COUNTER(pointer),
		       "it is of pool \"pool\" block ");
	quarry_pool_free(pool, block);
	KUNIT_EXPECT_TRUE(test, quarry_arena_free_last(other, theirs, 64));
}

static void free_past_a_mark(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);
	u8 *block = quarry_arena_alloc(arena, 64, 8), *last;
	struct quarry_arena_mark mark = quarry_arena_mark(arena);
	struct quarry_arena_stats before;

	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, block, 64));
	last = quarry_arena_alloc(arena, 8, 8);
	before = arena_stats(arena);
	KUNIT_EXPECT_FALSE(test, quarry_arena_free_last(arena, block, last + 8 - block));
	expect_refused(test, arena, before, COUNTER(pointer), "a mark");
	KUNIT_EXPECT_TRUE(test, quarry_arena_rewind(arena, mark));
}

/* A client that writes past its block, where no sanitizer looks. */
static void overwritten_records_are_not_followed(struct kunit *test)
{
	u64 *memory = kunit_kzalloc(test, 512, GFP_KERNEL);
	const struct quarry_arena_args args = {
		.memory = memory, .memory_size = 512,
	};
	struct quarry_arena *arena = create_arena(test, 512, &args);
	struct quarry_arena_mark mark = quarry_arena_mark(arena);
	size_t call = quarry_arena_used(arena) / 8;

	KUNIT_EXPECT_TRUE(test, quarry_arena_defer(arena, (quarry_arena_fn)kfree, NULL));
	memory[call + 1] ^= 0x10;	/* the function */
	KUNIT_EXPECT_EQ(test, quarry_arena_verify(arena), -EUCLEAN);
	expect_reports(test, 1, "deferred call 0 from the top: record overwritten");
	memory[1] ^= 1;			/* the mark */
	KUNIT_EXPECT_EQ(test, quarry_arena_verify(arena), -EUCLEAN);
	expect_reports(test, 1, "mark 0 from the top was overwritten");
	KUNIT_EXPECT_FALSE(test, quarry_arena_rewind(arena, mark));
	expect_reports(test, 2, "rewind refused");
	/* Its chain is dropped; what is below the mark comes back by a reset alone. */
	memory[1] ^= 1;
	KUNIT_EXPECT_FALSE(test, quarry_arena_rewind(arena, mark));
	expect_reports(test, 1, "or of one above it, was overwritten");
	KUNIT_EXPECT_EQ(test, arena_stats(arena).marks, 0);
	quarry_arena_reset(arena);
	expect_reports(test, 1, "1 calls dropped");
	KUNIT_EXPECT_EQ(test, arena_stats(arena).dropped, 1);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).called, 0);
	expect_good_arena(test, arena);
}

static void destroyed_arena(struct kunit *test)
{
	struct quarry_arena *arena = quarry_arena_create("gone", 64, NULL);
	struct quarry_arena_args args = { .parent = arena };

	KUNIT_ASSERT_FALSE(test, IS_ERR(arena));
	quarry_arena_destroy(arena);
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, 8, 8));
	expect_reports(test, 1, "\"gone\": destroyed arena");
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_inline(arena, 8, 8));
	expect_reports(test, 1, "destroyed arena");
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_sleep(arena, 8, 8));
	expect_reports(test, 1, "destroyed arena");
	quarry_arena_reset(arena);
	expect_reports(test, 1, "destroyed arena");
	quarry_arena_destroy(arena);
	expect_reports(test, 1, "destroyed twice");
	KUNIT_EXPECT_EQ(test, quarry_arena_used(arena), 0);
	KUNIT_EXPECT_EQ(test, arena_stats(arena).refused_dead, 5);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_arena_create("child", 64, &args)), -EINVAL);
}

static void no_arena_at_all(struct kunit *test)
{
	struct quarry_arena *bad = ERR_PTR(-ENOMEM);
	struct quarry_arena_mark mark = {};

	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(NULL, 8, 8));
	expect_reports(test, 1, "not an arena: 0 ");
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(bad, 8, 8));
	expect_reports(test, 1, "not an arena: -12 ");
	KUNIT_EXPECT_NULL(test, quarry_arena_zalloc(bad, 8, 8));
	expect_reports(test, 1, "not an arena");
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc_sleep(bad, 8, 8));
	expect_reports(test, 1, "not an arena");
	KUNIT_EXPECT_EQ(test, quarry_arena_reserve(NULL, 8), -EINVAL);
	expect_reports(test, 1, "not an arena");
	KUNIT_EXPECT_FALSE(test, quarry_arena_rewind(bad, mark));
	expect_reports(test, 1, "not an arena");
	quarry_arena_reset(NULL);
	expect_reports(test, 1, "not an arena");
	KUNIT_EXPECT_EQ(test, quarry_arena_used(bad) + quarry_arena_capacity(NULL), 0);
	KUNIT_EXPECT_EQ(test, quarry_arena_verify(bad), -EINVAL);
	quarry_arena_destroy(NULL);
	quarry_arena_destroy(bad);
	KUNIT_EXPECT_EQ(test, arena_stats(bad).used, 0);
}

/* Two owners */

struct meeting {
	struct quarry_arena *arena;
	struct completion inside, go_on, done;
	bool rewound;
	struct quarry_arena_mark mark;
};

static void stay_inside(void *arg)
{
	struct meeting *m = arg;

	complete(&m->inside);
	wait_for_completion(&m->go_on);
}

static int rewind_and_stay(void *arg)
{
	struct meeting *m = arg;

	m->rewound = quarry_arena_rewind(m->arena, m->mark);
	complete(&m->done);
	return 0;
}

static void two_owners_at_once(struct kunit *test)
{
	struct meeting m = { .arena = create_arena(test, 4096, NULL) };
	struct task_struct *task;
	void *called, *inlined;

	init_completion(&m.inside);
	init_completion(&m.go_on);
	init_completion(&m.done);
	m.mark = quarry_arena_mark(m.arena);
	KUNIT_ASSERT_TRUE(test, quarry_arena_defer(m.arena, stay_inside, &m));
	task = kthread_run(rewind_and_stay, &m, "quarry_owner");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&m.inside);
	called = quarry_arena_alloc(m.arena, 8, 8);
	expect_reports(test, 1, "two owners at once");
	inlined = quarry_arena_alloc_inline(m.arena, 8, 8);
	expect_reports(test, 1, "two owners at once");
	quarry_arena_reset(m.arena);
	expect_reports(test, 1, "two owners at once");
	complete(&m.go_on);
	wait_for_completion(&m.done);
	KUNIT_EXPECT_NULL(test, called);
	KUNIT_EXPECT_NULL(test, inlined);
	KUNIT_EXPECT_TRUE(test, m.rewound);
	KUNIT_EXPECT_EQ(test, arena_stats(m.arena).refused_owners, 3);
	KUNIT_EXPECT_EQ(test, arena_stats(m.arena).used, 0);
	expect_good_arena(test, m.arena);
}

static void use_own_arena(void *arg)
{
	quarry_arena_alloc(arg, 8, 8);
}

static void a_call_may_not_use_its_arena(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, 4096, NULL);

	KUNIT_EXPECT_TRUE(test, quarry_arena_defer(arena, use_own_arena, arena));
	quarry_arena_reset(arena);
	expect_reports(test, 1, "two owners at once");
	expect_good_arena(test, arena);
}

/*
 * An interrupt that allocates, again and again, must come while the task is in an
 * alloc that would hit. The task's resets, which any arena's interrupt would see, are
 * made with interrupts off, and none of its allocs misses.
 */
struct intruder {
	struct hrtimer timer;
	struct quarry_arena *arena;
};

static enum hrtimer_restart intrude(struct hrtimer *timer)
{
	struct intruder *i = container_of(timer, struct intruder, timer);

	quarry_arena_alloc(i->arena, 8, 8);
	hrtimer_forward_now(timer, ns_to_ktime(500 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static u64 fill_and_reset(struct quarry_arena *arena)
{
	u64 failed = 0;

	while (quarry_arena_used(arena) < SZ_32K)
		failed += !quarry_arena_alloc(arena, 64, 8);
	local_irq_disable();
	quarry_arena_reset(arena);
	local_irq_enable();
	return failed;
}

static void strict_arena_sees_an_interrupts_alloc(struct kunit *test)
{
	const struct quarry_arena_args args = { .flags = QUARRY_ARENA_STRICT };
	struct intruder i = { .arena = create_arena(test, SZ_64K, &args) };
	unsigned long end = jiffies;
	u64 refused, failed = 0;

	hrtimer_setup(&i.timer, intrude, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&i.timer, ns_to_ktime(500 * NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
	while (race_goes_on(end, arena_stats(i.arena).refused_owners)) {
		failed += fill_and_reset(i.arena);
		cond_resched();
	}
	hrtimer_cancel(&i.timer);
	refused = arena_stats(i.arena).refused_owners;
	KUNIT_EXPECT_GT(test, refused, 0);
	KUNIT_EXPECT_EQ(test, failed, 0);
	expect_reports(test, refused, "two owners at once");
	expect_good_arena(test, i.arena);
}

/* Creation */

static void expect_invalid(struct kunit *test, const char *name, size_t first,
			   const struct quarry_arena_args *args, long err)
{
	struct quarry_arena *arena = quarry_arena_create(name, first, args);

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(arena), err);
	quarry_arena_destroy(arena);
}

static void bad_arguments(struct kunit *test)
{
	u8 *memory = kunit_kzalloc(test, 128, GFP_KERNEL);
	const struct quarry_arena_args good = { .limit = 64, .growth = 16 };
	const struct quarry_arena_args limit = { .limit = 63 };
	const struct quarry_arena_args growth = { .growth = 17 };
	const struct quarry_arena_args flags = { .flags = BIT(17) };
	const struct quarry_arena_args node = { .flags = QUARRY_ON_NODE, .node = -1 };
	const struct quarry_arena_args huge = { .limit = SIZE_MAX };
	const struct quarry_arena_args parent = { .parent = ERR_PTR(-ENOMEM) };
	const struct quarry_arena_args skew = { .memory = memory + 4, .memory_size = 100 };
	const struct quarry_arena_args little = { .memory = memory, .memory_size = 60 };
	const struct quarry_arena_args over = {
		.memory = memory, .memory_size = 128, .limit = 64,
	};

	expect_invalid(test, "good", 64, &good, 0);
	expect_invalid(test, "bad name", 64, &good, -EINVAL);
	expect_invalid(test, "good", 0, NULL, -EINVAL);
	expect_invalid(test, "good", 64, &limit, -EINVAL);
	expect_invalid(test, "good", 64, &growth, -EINVAL);
	expect_invalid(test, "good", 64, &flags, -EINVAL);
	expect_invalid(test, "good", 64, &node, -EINVAL);
	expect_invalid(test, "good", 64, &huge, -EOVERFLOW);
	expect_invalid(test, "good", SIZE_MAX, NULL, -EOVERFLOW);
	expect_invalid(test, "good", 64, &parent, -EINVAL);
	expect_invalid(test, "good", 64, &skew, -EINVAL);
	expect_invalid(test, "good", 64, &little, -EINVAL);
	expect_invalid(test, "good", 64, &over, -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(quarry_arena_create_owned(THIS_MODULE, 1, "good",
								64, NULL)), -EINVAL);
}

static struct kunit_case misuse_cases[] = {
	KUNIT_CASE(mark_of_another_arena),
	KUNIT_CASE(mark_from_before_a_reset),
	KUNIT_CASE(mark_used_twice),
	KUNIT_CASE(mark_newer_than_the_top),
	KUNIT_CASE(mark_of_the_handles_last_life),
	KUNIT_CASE(mark_without_room),
	KUNIT_CASE(bad_requests),
	KUNIT_CASE(sleep_where_one_may_not),
	KUNIT_CASE(free_of_what_is_not_the_arenas),
	KUNIT_CASE(free_of_anothers_block),
	KUNIT_CASE(free_past_a_mark),
	KUNIT_CASE(overwritten_records_are_not_followed),
	KUNIT_CASE(destroyed_arena),
	KUNIT_CASE(no_arena_at_all),
	KUNIT_CASE(two_owners_at_once),
	KUNIT_CASE(a_call_may_not_use_its_arena),
	KUNIT_CASE(strict_arena_sees_an_interrupts_alloc),
	KUNIT_CASE(bad_arguments),
	{}
};

static struct kunit_suite misuse_suite = {
	.name = "quarry_arena_misuse",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = misuse_cases,
};

kunit_test_suite(misuse_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: misuse of arenas");
MODULE_LICENSE("GPL");
