// SPDX-License-Identifier: GPL-2.0-only
/*
 * Views of arenas, bumps, per-CPU arenas and stacks, read on one CPU while the owner
 * is at work on another, and while objects come and go: every read is whole, no figure
 * is negative, and what the owner changes meanwhile is not called wrong.
 */
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <quarry/arena.h>
#include <quarry/bump.h>
#include <quarry/percpu_arena.h>
#include <quarry/stack.h>
#include "kunit_file.h"
#include "kunit_util.h"

#define TIME	some_of(HZ)

/* The kinds, and what their owners do. */

static void *arena_create(const char *name)
{
	const struct quarry_arena_args args = { .limit = SZ_64K };

	return quarry_arena_create(name, SZ_4K, &args);
}

static void arena_destroy(void *arena)
{
	quarry_arena_destroy(arena);
}

static void arena_turn(void *arena, u32 turn)
{
	struct quarry_arena_mark mark = quarry_arena_mark(arena);
	u32 i;

	for (i = 0; i < 20; i++)
		quarry_arena_alloc_sleep(arena, 100 + turn % 300, 8);
	if (turn % 3 && quarry_arena_marked(mark))
		quarry_arena_rewind(arena, mark);
	if (turn % 16 == 0)
		quarry_arena_reset(arena);
}

static void *bump_create(const char *name)
{
	return quarry_bump_create(name, SZ_64K, NULL);
}

static void bump_destroy(void *bump)
{
	quarry_bump_destroy(bump);
}

static void bump_turn(void *bump, u32 turn)
{
	u32 i;

	for (i = 0; i < 20; i++)
		if (!quarry_bump_alloc(bump, 100 + turn % 300, 64))
			quarry_bump_reset(bump);
}

static void *percpu_arena_create(const char *name)
{
	const struct quarry_percpu_arena_args args = { .chunk = SZ_1K };

	return quarry_percpu_arena_create(name, SZ_64K, &args);
}

static void percpu_arena_destroy(void *arena)
{
	quarry_percpu_arena_destroy(arena);
}

static void percpu_arena_turn(void *arena, u32 turn)
{
	u32 i;

	for (i = 0; i < 20; i++)
		quarry_percpu_arena_alloc(arena, 100 + turn % 3000, 64);
	if (turn % 16 == 0)
		quarry_percpu_arena_reset(arena);
	if (turn % 16 == 8)
		quarry_percpu_arena_reset_rcu(arena, NULL, NULL);
}

static void *stack_create(const char *name)
{
	return quarry_stack_create(name, SZ_16K, NULL);
}

static void stack_destroy(void *stack)
{
	quarry_stack_destroy(stack);
}

static void stack_turn(void *stack, u32 turn)
{
	struct quarry_stack_mark mark;
	void *block = NULL;
	bool marked;
	u32 i;

	marked = quarry_stack_mark(stack, &mark);
	for (i = 0; i < 20; i++)
		block = quarry_stack_push(stack, 100 + turn % 300, 8);
	quarry_stack_pop(stack, block);
	block = quarry_stack_push_high(stack, 50, 1);
	if (turn % 2)
		quarry_stack_pop_high(stack, block);
	if (marked && turn % 3)
		quarry_stack_release(stack, &mark);
	if (turn % 16 == 0)
		quarry_stack_reset(stack);
}

static const struct subject {
	const char *kind;
	void *(*create)(const char *name);
	void (*destroy)(void *object);
	void (*turn)(void *object, u32 turn);
} subjects[] = {
	{ "arena", arena_create, arena_destroy, arena_turn },
	{ "bump", bump_create, bump_destroy, bump_turn },
	{ "percpu_arena", percpu_arena_create, percpu_arena_destroy,
	  percpu_arena_turn },
	{ "stack", stack_create, stack_destroy, stack_turn },
};

static void subject_desc(const struct subject *subject, char *desc)
{
	strscpy(desc, subject->kind, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(subject, subjects, subject_desc);

/* The other CPU */

struct owner {
	const struct subject *subject;
	void *object;
	u32 turns;
};

static int work(void *arg)
{
	struct owner *owner = arg;

	while (!kthread_should_stop()) {
		owner->subject->turn(owner->object, owner->turns);
		WRITE_ONCE(owner->turns, owner->turns + 1);
		cond_resched();
	}
	return 0;
}

static int come_and_go(void *arg)
{
	struct owner *owner = arg;

	while (!kthread_should_stop()) {
		void *object = owner->subject->create("viewed");

		if (IS_ERR(object))
			continue;
		owner->subject->turn(object, owner->turns);
		owner->subject->destroy(object);
		WRITE_ONCE(owner->turns, owner->turns + 1);
		cond_resched();
	}
	return 0;
}

static struct task_struct *start(struct kunit *test, int (*fn)(void *arg),
				 struct owner *owner)
{
	int cpu = other_cpu(cpumask_first(cpu_online_mask));
	struct task_struct *task;

	task = kthread_create(fn, owner, "quarry_owner");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	kthread_bind(task, cpu);
	wake_up_process(task);
	return task;
}

/* The reader */

/* Of a line "name: value"; the largest value, which is no negative one. */
static void expect_sane(struct kunit *test, char *text)
{
	u64 value, used = 0, capacity = 0;
	char *line, *colon;

	while ((line = strsep(&text, "\n"))) {
		colon = strchr(line, ':');
		if (!colon || kstrtou64(colon + 2, 10, &value))
			continue;
		KUNIT_EXPECT_LT_MSG(test, value, (u64)BIT(48), "%s", line);
		if (!strncmp(line, "used:", 5))
			used = value;
		if (!strncmp(line, "capacity:", 9))
			capacity = value;
	}
	KUNIT_EXPECT_LE(test, used, capacity);
}

/* All files of @kind's object, once; how many could be read. */
static int look(struct kunit *test, const char *kind)
{
	static const char * const files[] = { "config", "stats", "map", "verify" };
	char path[80], *text;
	int nr = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/quarry/%s/viewed/%s",
			 kind, files[i]);
		text = read_all(test, path);
		if (IS_ERR(text)) {
			/* Not there, or gone after it was opened. */
			KUNIT_EXPECT_TRUE_MSG(test, PTR_ERR(text) == -ENOENT ||
					      PTR_ERR(text) == -EIO, "%s: %ld",
					      path, PTR_ERR(text));
			continue;
		}
		nr++;
		if (!strcmp(files[i], "verify"))
			KUNIT_EXPECT_TRUE_MSG(test, !strcmp(text, "ok\n") ||
					      !strcmp(text, "ok (busy)\n"),
					      "%s: %s", path, text);
		else if (!strcmp(files[i], "stats"))
			expect_sane(test, text);
		kunit_kfree(test, text);
	}
	return nr;
}

static void views_while_the_owner_works(struct kunit *test)
{
	struct owner owner = { .subject = test->param_value };
	unsigned long end = jiffies + TIME;
	struct task_struct *task;
	int looks = 0;

	if (other_cpu(cpumask_first(cpu_online_mask)) < 0)
		kunit_skip(test, "one CPU only");
	owner.object = owner.subject->create("viewed");
	KUNIT_ASSERT_FALSE(test, IS_ERR(owner.object));
	task = start(test, work, &owner);
	while (race_goes_on(end, looks >= 3 && READ_ONCE(owner.turns) > 10)) {
		KUNIT_EXPECT_EQ(test, look(test, owner.subject->kind), 4);
		looks++;
		cond_resched();
	}
	kthread_stop(task);
	KUNIT_EXPECT_EQ(test, look(test, owner.subject->kind), 4);
	owner.subject->destroy(owner.object);
	kunit_info(test, "%d looks, %u turns", looks, owner.turns);
	KUNIT_EXPECT_GT(test, owner.turns, 10);
}

static void views_while_objects_come_and_go(struct kunit *test)
{
	struct owner owner = { .subject = test->param_value };
	unsigned long end = jiffies + TIME;
	struct task_struct *task;
	int looks = 0, read = 0;

	if (other_cpu(cpumask_first(cpu_online_mask)) < 0)
		kunit_skip(test, "one CPU only");
	task = start(test, come_and_go, &owner);
	while (race_goes_on(end, read && READ_ONCE(owner.turns) > 3)) {
		read += look(test, owner.subject->kind);
		looks++;
		cond_resched();
	}
	kthread_stop(task);
	kunit_info(test, "%d of %d files read, %u objects", read, 4 * looks,
		   owner.turns);
	KUNIT_EXPECT_GT(test, read, 0);
	KUNIT_EXPECT_GT(test, owner.turns, 3);
}

static struct kunit_case views_cases[] = {
	KUNIT_CASE_PARAM(views_while_the_owner_works, subject_gen_params),
	KUNIT_CASE_PARAM(views_while_objects_come_and_go, subject_gen_params),
	{}
};

static struct kunit_suite views_suite = {
	.name = "quarry_arena_views",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = views_cases,
};

kunit_test_suite(views_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: views of arenas, bumps and stacks at work");
MODULE_LICENSE("GPL");
