// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on both ends of a stack beside a plain model of it: a list of
 * what lies at each end and what is written in it. After each step the stack is
 * verified and its figures are the model's. The seed is printed; give it as module
 * parameter to see the same run again.
 */
#include <linux/module.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include "stack_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random operations (0: a new one)");

static uint steps = 3000 / SLOWDOWN;
module_param(steps, uint, 0400);
MODULE_PARM_DESC(steps, "random operations on each stack");

#define MAX_FRAMES 400

struct model_frame {
	u8 *block;
	size_t size;
	u8 fill;
	bool is_mark;
	struct quarry_stack_mark mark;
};

struct model {
	struct quarry_stack *stack;
	struct rnd_state random;
	struct model_frame frame[2][MAX_FRAMES];
	size_t nr[2];
	u64 pushes, pops, released, refused, exhausted;
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

static struct model_frame *model_top(struct model *m, bool high)
{
	return m->nr[high] ? &m->frame[high][m->nr[high] - 1] : NULL;
}

static void check_new(struct model *m, bool high, u8 *block, size_t size)
{
	bool end;
	size_t i;

	for (end = false; ; end = true) {
		for (i = 0; i < m->nr[end]; i++) {
			const struct model_frame *f = &m->frame[end][i];

			if (!f->is_mark && block < f->block + f->size &&
			    f->block < block + size)
				wrong(m, "a block overlaps another");
		}
		if (end)
			break;
	}
}

static void do_push(struct model *m, bool high)
{
	size_t size = 1 + below(m, below(m, 8) ? 60 : 500);
	size_t align = 1UL << below(m, below(m, 10) ? 5 : 10);
	struct model_frame *f;
	u8 *block;

	if (m->nr[high] == MAX_FRAMES)
		return;
	block = high ? quarry_stack_push_high(m->stack, size, align) :
		       quarry_stack_push(m->stack, size, align);
	if (!block) {
		if (figures(m->stack).free >= size + align + 23)
			wrong(m, "NULL, and there is room");
		m->exhausted++;
		return;
	}
	if (!IS_ALIGNED((unsigned long)block, align))
		wrong(m, "not aligned");
	check_new(m, high, block, size);
	f = &m->frame[high][m->nr[high]++];
	*f = (struct model_frame){ .block = block, .size = size,
				   .fill = prandom_u32_state(&m->random) };
	memset(block, f->fill, size);
	m->pushes++;
}

static void do_pop(struct model *m, bool high)
{
	struct model_frame *f = model_top(m, high);
	u8 copy[512];
	bool ok;

	if (!f || f->is_mark)
		return;
	if (memchr_inv(f->block, f->fill, f->size))
		wrong(m, "a live block was written to");
	if (f->size <= sizeof(copy) && below(m, 2)) {
		ok = high ? quarry_stack_pop_to_high(m->stack, copy, f->size) :
			    quarry_stack_pop_to(m->stack, copy, f->size);
		if (ok && memchr_inv(copy, f->fill, f->size))
			wrong(m, "another value was popped");
	} else {
		ok = high ? quarry_stack_pop_high(m->stack, f->block) :
			    quarry_stack_pop(m->stack, f->block);
	}
	if (!ok)
		wrong(m, "a good pop was refused");
	m->nr[high]--;
	m->pops++;
}

static void do_mark(struct model *m, bool high)
{
	struct model_frame *f = &m->frame[high][m->nr[high]];
	bool ok;

	if (m->nr[high] == MAX_FRAMES)
		return;
	ok = high ? quarry_stack_mark_high(m->stack, &f->mark) :
		    quarry_stack_mark(m->stack, &f->mark);
	if (!ok) {
		m->exhausted++;
		return;
	}
	f->is_mark = true;
	m->nr[high]++;
	m->pushes++;
}

static void do_release(struct model *m, bool high)
{
	size_t i = m->nr[high] ? below(m, m->nr[high]) : 0;

	/* Mostly a late one, so that stacks grow. */
	if (below(m, 4))
		i = max_t(size_t, i, m->nr[high] - min_t(size_t, m->nr[high], 10));
	for (; i < m->nr[high]; i++)
		if (m->frame[high][i].is_mark)
			break;
	if (i >= m->nr[high])
		return;
	if (!quarry_stack_release(m->stack, &m->frame[high][i].mark))
		wrong(m, "a good mark was refused");
	m->released += m->nr[high] - i;
	m->nr[high] = i;
}

/* One thing that is to be refused. */
static void do_bad(struct model *m, bool high)
{
	struct model_frame *f = model_top(m, high);
	struct quarry_stack_mark mark = { .stack = m->stack, .high = high,
					  .position = below(m, 1000) };
	u8 value[8];
	bool ok;

	switch (below(m, 4)) {
	case 0:		/* not the top: one byte off, or a mark */
		ok = high ? quarry_stack_pop_high(m->stack, f && !f->is_mark ?
						  f->block + 1 : (void *)m) :
			    quarry_stack_pop(m->stack, f && !f->is_mark ?
					     f->block + 1 : (void *)m);
		break;
	case 1:		/* the one below the top */
		if (m->nr[high] < 2 || (f - 1)->is_mark)
			return;
		ok = high ? quarry_stack_pop_high(m->stack, (f - 1)->block) :
			    quarry_stack_pop(m->stack, (f - 1)->block);
		break;
	case 2:
		if (f && !f->is_mark && f->size == sizeof(value))
			return;
		ok = high ? quarry_stack_pop_to_high(m->stack, value, 8) :
			    quarry_stack_pop_to(m->stack, value, 8);
		break;
	default:
		ok = quarry_stack_release(m->stack, &mark);
		break;
	}
	if (ok)
		wrong(m, "misuse was not refused");
	m->refused++;
}

static void step(struct model *m)
{
	static void (* const operations[])(struct model *m, bool high) = {
		do_push, do_push, do_push, do_push, do_push, do_push,
		do_pop, do_pop, do_pop, do_pop, do_mark, do_release, do_bad,
	};

	operations[below(m, ARRAY_SIZE(operations))](m, below(m, 2));
}

static void compare(struct model *m)
{
	struct quarry_stack_stats stats = figures(m->stack);

	if (stats.live != m->nr[0] + m->nr[1] || stats.live_high != m->nr[1])
		wrong(m, "live is not the model's");
	if (stats.pushes != m->pushes || stats.pops != m->pops ||
	    stats.released != m->released)
		wrong(m, "pushes, pops or released are not the model's");
	if (stats.refused != m->refused || stats.exhausted != m->exhausted)
		wrong(m, "refusals or failures are not the model's");
	if (stats.peak_low + stats.peak_high != stats.peak ||
	    stats.peak < stats.used || stats.peak_high < stats.used_high)
		wrong(m, "peak is below what is in use");
	if (quarry_stack_verify(m->stack))
		wrong(m, capture.last);
}

static void operations_agree_with_model(struct kunit *test)
{
	static const size_t sizes[] = { 256, 4096, 16384 };
	struct model *m = kvzalloc(sizeof(*m), GFP_KERNEL);
	u64 this = seed ?: get_random_u64();
	size_t i;
	uint n;

	KUNIT_ASSERT_NOT_NULL(test, m);
	kunit_info(test, "seed %llu", this);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(m, 0, sizeof(*m));
		prandom_seed_state(&m->random, this);
		m->stack = create_stack(test, sizes[i], NULL);
		for (n = 0; n < steps && !m->wrong; n++) {
			u64 refused = m->refused;

			step(m);
			if (atomic_xchg(&capture.nr, 0) != m->refused - refused)
				wrong(m, "reports are not the refusals");
			compare(m);
		}
		KUNIT_EXPECT_NULL_MSG(test, m->wrong, "size %zu step %u of seed %llu: %s",
				      sizes[i], n, this, m->wrong);
	}
	kvfree(m);
}

static struct kunit_case stack_model_cases[] = {
	KUNIT_CASE(operations_agree_with_model),
	{}
};

static struct kunit_suite stack_model_suite = {
	.name = "quarry_stack_model",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = stack_model_cases,
};

kunit_test_suite(stack_model_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a stack beside a model of it");
MODULE_LICENSE("GPL");
