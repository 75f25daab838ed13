// SPDX-License-Identifier: GPL-2.0-only
/*
 * An interrupt at every instruction of bump and per-CPU arena: see kunit_probe.h.
 * Its handler takes pieces from the same object, on the same CPU, in the midst of
 * what was interrupted. All pieces, the task's and the handler's, are written down;
 * after each probe they are sorted by address: none overlaps another of the same
 * generation, and their sum with the padding is what is said to be used.
 *
 * The arena is reset under probes too. By reset_rcu() in a read-side section: what
 * was handed out before, meanwhile and after must all be apart. By reset(), and in the
 * callback that gives retired chunks back: what is of one epoch must be. And a CPU
 * that has a chunk dies.
 */
#include <linux/cpu.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sort.h>
#include <linux/workqueue.h>
#include <quarry/bump.h>
#include "kunit_probe.h"
#include "percpu_arena_util.h"

#define BYTES		SZ_8K
#define SMALL		512	/* a chunk */
#define MAX_PIECES	512

struct piece {
	unsigned long at;
	u32 size;
	u32 align;
	u32 gen;
};

/* What is done to an arena, besides allocs. */
enum work {
	ALLOCS,
	RESET,
	RESET_RCU,	/* takes a grace period each time, as the next */
	GIVE_BACK,
	BURY,
};

/**
 * struct trial - one object under probes
 * @bump: the one
 * @arena: or the other
 * @work: what is done to that
 * @cpu: the one that dies
 * @hits: of the probe
 * @pieces: all that were handed out; the handler's from the end downwards
 * @nr: the task's
 * @nr_handler: the handler's
 * @misaligned: how many were
 */
struct trial {
	struct quarry_bump *bump;
	struct quarry_percpu_arena *arena;
	enum work work;
	int cpu;
	struct hits hits;
	struct piece pieces[MAX_PIECES];
	unsigned int nr, nr_handler;
	unsigned long misaligned;
};

static struct trial trial;

/* The two write to ends of their own: one interrupts the other. */
static void note(struct piece *p, void *at, size_t size, size_t align, u32 gen)
{
	p->at = (unsigned long)at;
	p->size = size;
	p->align = align;
	p->gen = gen;
	trial.misaligned += !IS_ALIGNED(p->at, align);
}

/* Of a piece that is taken now: pieces of different ones may overlap. */
static u32 gen_now(void)
{
	if (trial.bump)
		return quarry_bump_generation(trial.bump);
	if (trial.work == RESET || trial.work == GIVE_BACK)
		return ring_epoch(atomic64_read(&trial.arena->ring));
	return 0;
}

static void *take(size_t size, size_t align, u32 *gen)
{
	OPTIMIZER_HIDE_VAR(align);
	*gen = gen_now();
	if (trial.bump)
		return quarry_bump_alloc_gen(trial.bump, size, align, gen);
	return quarry_percpu_arena_alloc(trial.arena, size, align);
}

/*
 * What was given back is free to be written to, from the callback's release on. A store,
 * since not all kernels with KASAN look at memset().
 */
static void touch(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (trial.pieces[i].gen == gen_now())
			WRITE_ONCE(*(u8 *)trial.pieces[i].at, i);
}

static bool full(void)
{
	return trial.nr + trial.nr_handler + 2 > MAX_PIECES;
}

/* Only the task resets: the generation does not change meanwhile. */
static bool task_takes(size_t size, size_t align)
{
	u32 gen = gen_now();
	void *at = NULL;

	if (full())
		return false;
	OPTIMIZER_HIDE_VAR(align);
	if (trial.bump && trial.nr % 2)
		at = quarry_bump_alloc(trial.bump, size, align);
	else
		at = take(size, align, &gen);
	if (at)
		note(&trial.pieces[trial.nr++], at, size, align, gen);
	return at;
}

/* By the door for an alignment that is constant, and a size that is not. */
static void task_takes_aligned(size_t size)
{
	u32 gen = gen_now();
	void *at;

	if (full())
		return;
	OPTIMIZER_HIDE_VAR(size);
	at = trial.bump ? quarry_bump_alloc(trial.bump, size, 8) :
			  quarry_percpu_arena_alloc(trial.arena, size, 8);
	if (at)
		note(&trial.pieces[trial.nr++], at, size, 8, gen);
}

/* By the door for constants, which is the hit path. */
static bool task_takes_const(void)
{
	u32 gen = gen_now();
	void *at;

	if (full())
		return false;
	at = trial.bump ? quarry_bump_alloc(trial.bump, 40, 8) :
			  quarry_percpu_arena_alloc(trial.arena, 40, 8);
	if (at)
		note(&trial.pieces[trial.nr++], at, 40, 8, gen);
	return at;
}

static int at_instruction(struct kprobe *probe, struct pt_regs *regs)
{
	size_t size, align;
	u32 gen;
	void *at;

	if (!hit_counts(&trial.hits) || full())
		return 0;
	size = 8 + trial.hits.nr % 3 * 24;
	align = trial.hits.nr % 4 ? 8 : 64;
	at = take(size, align, &gen);
	if (at)
		note(&trial.pieces[MAX_PIECES - ++trial.nr_handler], at, size,
		     align, gen);
	return 0;
}

/* The work that is interrupted */

static void until_null(void)
{
	while (task_takes_const())
		;
	while (task_takes(16, 16))
		;
	while (task_takes(1, 1))
		;
}

static void bump_work(void)
{
	int i;

	for (i = 0; i < 6; i++)
		task_takes_const();
	for (i = 0; i < 3; i++)
		task_takes(100, 32);
	for (i = 0; i < 4; i++)
		task_takes_aligned(24);
	quarry_bump_reset(trial.bump);
	task_takes(BYTES + 1, 8);
	task_takes(3000, 64);
	until_null();
}

/* As when what was interrupted fetches a chunk: from the shared one. */
static void gated_work(void)
{
	struct quarry_percpu_cpu *cpu;
	unsigned long end;
	int i;

	preempt_disable();
	cpu = this_cpu_ptr(trial.arena->hot.cpu);
	WRITE_ONCE(cpu->busy, 1);
	barrier();	/* the chunk is ours from here on */
	end = xchg(&cpu->end, END_FETCHING);
	for (i = 0; i < 12; i++)
		task_takes(56, 8);
	xchg(&cpu->end, end);
	barrier();
	WRITE_ONCE(cpu->busy, 0);
	preempt_enable();
}

static void arena_work(void)
{
	int i;

	for (i = 0; i < 14; i++)
		task_takes_const();
	for (i = 0; i < 4; i++)
		task_takes_aligned(24);
	task_takes(2 * SMALL + 100, 64);
	gated_work();
	if (trial.work == RESET_RCU)
		quarry_percpu_arena_reset_rcu(trial.arena, NULL, NULL);
	else if (trial.work == RESET)
		quarry_percpu_arena_reset(trial.arena);
	for (i = 0; i < 3; i++)
		task_takes(100, 32);
	task_takes(SMALL + 8, 8);
	for (i = 0; i < 4; i++)
		task_takes_aligned(24);
	gated_work();
	until_null();
}

/* The callback comes on some CPU while the task waits; all fresh chunks are taken. */
static void give_back_work(void)
{
	int i;

	rcu_read_lock();
	for (i = 0; i < 14; i++)
		task_takes_const();
	quarry_percpu_arena_reset_rcu(trial.arena, NULL, NULL);
	until_null();
	rcu_read_unlock();
	WRITE_ONCE(trial.hits.anyone, true);
	rcu_barrier();
	WRITE_ONCE(trial.hits.anyone, false);
	until_null();
}

static long take_there(void *arg)
{
	int i;

	for (i = 0; i < 3; i++)
		task_takes(56, 8);
	return 0;
}

/* A dead CPU's chunk is buried by some task, while this one waits. */
static void bury_work(void)
{
	int err;

	work_on_cpu(trial.cpu, take_there, NULL);
	WRITE_ONCE(trial.hits.anyone, true);
	err = remove_cpu(trial.cpu);
	WRITE_ONCE(trial.hits.anyone, false);
	if (!err)
		add_cpu(trial.cpu);
	/* It has no chunk, and takes the rest of the one it had, or a fresh one. */
	work_on_cpu(trial.cpu, take_there, NULL);
	until_null();
}

static void work_without_waiting(void)
{
	rcu_read_lock();
	trial.hits.task = current;
	if (trial.bump)
		bump_work();
	else
		arena_work();
	trial.hits.task = NULL;
	rcu_read_unlock();
}

static unsigned long run_work(void)
{
	trial.hits.nr = 0;
	trial.nr = 0;
	trial.nr_handler = 0;
	if (trial.work == GIVE_BACK)
		give_back_work();
	else if (trial.work == BURY)
		bury_work();
	else
		work_without_waiting();
	return trial.hits.nr;
}

/* The check */

static int by_address(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->gen != y->gen)
		return x->gen < y->gen ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* Pieces of one generation that overlap; and the sum of the last one, padded. */
static unsigned int overlaps(unsigned int nr, u64 *sum)
{
	unsigned int i, bad = 0;

	*sum = 0;
	for (i = 0; i < nr; i++) {
		const struct piece *p = &trial.pieces[i];

		if (!i || p[-1].gen != p->gen) {
			*sum = p->size;
			continue;
		}
		bad += p[-1].at + p[-1].size > p->at;
		*sum += p->at + p->size - p[-1].at - p[-1].size;
	}
	return bad;
}

static void expect_arena_whole(struct kunit *test, const char *name,
			       unsigned long offset)
{
	struct quarry_percpu_arena_stats s;

	KUNIT_EXPECT_EQ_MSG(test, quarry_percpu_arena_verify(trial.arena), 0,
			    "%s+%#lx: %s", name, offset, capture.last);
	if (trial.work == RESET_RCU)
		rcu_barrier();
	quarry_percpu_arena_reset(trial.arena);
	quarry_percpu_arena_get_stats(trial.arena, &s);
	KUNIT_EXPECT_EQ_MSG(test, s.left, s.capacity, "%s+%#lx: chunks lost", name,
			    offset);
	KUNIT_EXPECT_EQ_MSG(test, quarry_percpu_arena_verify(trial.arena), 0,
			    "%s+%#lx: %s", name, offset, capture.last);
}

static void expect_whole(struct kunit *test, const char *name,
			 unsigned long offset)
{
	unsigned int nr = trial.nr + trial.nr_handler;
	u64 sum;

	memmove(trial.pieces + trial.nr,
		trial.pieces + MAX_PIECES - trial.nr_handler,
		array_size(trial.nr_handler, sizeof(struct piece)));
	sort(trial.pieces, nr, sizeof(struct piece), by_address, NULL);
	KUNIT_EXPECT_EQ_MSG(test, overlaps(nr, &sum), 0,
			    "%s+%#lx: pieces overlap", name, offset);
	if (trial.work == GIVE_BACK)
		touch(nr);
	KUNIT_EXPECT_EQ_MSG(test, trial.misaligned, 0, "%s+%#lx", name, offset);
	KUNIT_EXPECT_LT_MSG(test, nr + 2, MAX_PIECES, "%s+%#lx", name, offset);
	expect_progress(test, &trial.hits, name, offset);
	if (trial.bump) {
		KUNIT_EXPECT_EQ_MSG(test, sum, quarry_bump_used(trial.bump),
				    "%s+%#lx: pieces and padding", name, offset);
		KUNIT_EXPECT_EQ(test, quarry_bump_verify(trial.bump), 0);
		quarry_bump_reset(trial.bump);
	} else {
		expect_arena_whole(test, name, offset);
	}
	trial.misaligned = 0;
}

static const struct probing probing = {
	.handler	= at_instruction,
	.run		= run_work,
	.check		= expect_whole,
};

/* Those that the compiler may have put into their callers. */
static const char * const bump_functions[] = {
	"quarry:quarry_bump_alloc_const", "quarry:quarry_bump_alloc_aligned",
	"quarry:quarry_bump_alloc_any",
	"quarry:quarry_bump_alloc_gen", "quarry:quarry_bump_alloc_slow",
	"quarry:quarry_bump_reset", "quarry:empty_word",
};

static const struct arena_function {
	const char *name;
	enum work work;
} arena_functions[] = {
	{ "quarry:quarry_percpu_arena_alloc_const" },
	{ "quarry:quarry_percpu_arena_alloc_aligned" },
	{ "quarry:quarry_percpu_arena_alloc_any" },
	{ "quarry:quarry_percpu_arena_alloc_slow" },
	{ "quarry:take_somewhere" }, { "quarry:take_own" },
	{ "quarry:take_rest" }, { "quarry:publish" },
	{ "quarry:take_shared" }, { "quarry:take_large" },
	{ "quarry:take_piece" }, { "quarry:take_chunks", RESET_RCU },
	{ "quarry:pop_tail" }, { "quarry:push_tail" },
	{ "quarry:add_waste" }, { "quarry:place" }, { "quarry:fits" },
	{ "quarry:epoch_now" },
	{ "quarry:quarry_percpu_arena_reset", RESET },
	{ "quarry:quarry_percpu_arena_reset_rcu", RESET_RCU },
	{ "quarry:reset_begin", RESET_RCU }, { "quarry:retire", RESET_RCU },
	{ "quarry:slot_get", RESET_RCU },
	{ "quarry:give_back", GIVE_BACK },
	{ "quarry:quarry__percpu_arena_bury", BURY },
};

static void arena_function_desc(const struct arena_function *function, char *desc)
{
	strscpy(desc, function->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(bump_function, bump_functions, function_desc);
KUNIT_ARRAY_PARAM(arena_function, arena_functions, arena_function_desc);

static void bump_interrupted_at_every_instruction(struct kunit *test)
{
	const char *name = *(const char * const *)test->param_value;
	unsigned long address, size;

	need_function(test, name, &address, &size);
	memset(&trial, 0, sizeof(trial));
	trial.bump = quarry_bump_create("probed", BYTES, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(trial.bump));
	run_work();
	expect_whole(test, "no probe", 0);
	probe_function(test, &probing, name, address, size);
	quarry_bump_destroy(trial.bump);
}

static void arena_interrupted_at_every_instruction(struct kunit *test)
{
	const struct quarry_percpu_arena_args args = { .chunk = SMALL };
	const struct arena_function *function = test->param_value;
	const char *name = function->name;
	unsigned long address, size;

	need_function(test, name, &address, &size);
	memset(&trial, 0, sizeof(trial));
	trial.work = function->work;
	trial.cpu = other_cpu(this_cpu_of_test());
	if (trial.work == BURY && (!IS_ENABLED(CONFIG_HOTPLUG_CPU) || trial.cpu <= 0))
		kunit_skip(test, "no CPU that can go");
	trial.arena = quarry_percpu_arena_create("probed", BYTES, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(trial.arena));
	run_work();
	expect_whole(test, "no probe", 0);
	probe_function(test, &probing, name, address, size);
	quarry_percpu_arena_destroy(trial.arena);
}

static struct kunit_case probe_cases[] = {
	KUNIT_CASE_PARAM(bump_interrupted_at_every_instruction,
			 bump_function_gen_params),
	KUNIT_CASE_PARAM(arena_interrupted_at_every_instruction,
			 arena_function_gen_params),
	{}
};

static struct kunit_suite probe_suite = {
	.name = "quarry_bump_probe",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = probe_cases,
};

kunit_test_suite(probe_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: bumps and an interrupt at every instruction");
MODULE_LICENSE("GPL");
