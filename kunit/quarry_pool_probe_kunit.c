// SPDX-License-Identifier: GPL-2.0-only
/*
 * An interrupt at every instruction. A kprobe is put on each instruction of the
 * pool's code in turn, its optimisation off, so that it is a breakpoint; on x86
 * that is taken as an NMI is. Its handler allocates and frees on the same pool on
 * the same CPU, in the midst of what was interrupted. A table says who holds each
 * block, so that one that is lost or handed out twice is seen; after each probe
 * the pool is verified.
 *
 * Timers miss these windows, which are a few instructions wide.
 */
#include <linux/module.h>
#include "kunit_probe.h"
#include "kunit_util.h"

#define NR_BLOCKS	64
#define MAX_TOTAL	(NR_BLOCKS + NR_BLOCKS / 8)
/* Blocks that are live throughout: those that go round are soon used up. */
#define NR_IDLE		36
#define MAX_KEPT	6
/* Who holds a block. */
enum holder { NOBODY, TASK, HANDLER };

/* What the handler does. */
enum handler_work { PAIRS, TAKES, GIVES, NR_HANDLER_WORKS };

/**
 * struct trial - one pool under probes
 * @pool: the pool
 * @holder: who holds each block
 * @kept: blocks that the handler took in an earlier hit
 * @nr_kept: how many
 * @work: what the handler does
 * @hits: of the probe
 * @wrong: how often a block had another holder than it should
 */
struct trial {
	struct quarry_pool *pool;
	atomic_t holder[MAX_TOTAL];
	void *kept[MAX_KEPT];
	unsigned int nr_kept;
	enum handler_work work;
	struct hits hits;
	unsigned long wrong;
};

static struct trial trial;

static void change_holder(void *block, enum holder from, enum holder to)
{
	long index = quarry_pool_index(trial.pool, block);

	if (index < 0 || atomic_cmpxchg(&trial.holder[index], from, to) != from)
		trial.wrong++;
}

static void *take(enum holder who)
{
	void *block = quarry_pool_alloc(trial.pool);

	if (block)
		change_holder(block, NOBODY, who);
	return block;
}

static void give(void *block, enum holder who)
{
	change_holder(block, who, NOBODY);
	quarry_pool_free(trial.pool, block);
}

/* Blocks are kept from one hit to the next, so that the lists differ. */
static void handler_takes(void)
{
	void *block;

	if (trial.nr_kept == MAX_KEPT)
		return;
	block = take(HANDLER);
	if (block)
		trial.kept[trial.nr_kept++] = block;
}

static void handler_gives(void)
{
	if (trial.nr_kept)
		give(trial.kept[--trial.nr_kept], HANDLER);
}

static int at_instruction(struct kprobe *probe, struct pt_regs *regs)
{
	void *block;

	if (!hit_counts(&trial.hits))
		return 0;
	if (trial.work == PAIRS) {
		block = take(HANDLER);
		if (block)
			give(block, HANDLER);
	} else if ((trial.hits.nr + trial.work) & 1) {
		handler_takes();
	} else {
		handler_gives();
	}
	return 0;
}

static void release_kept(void)
{
	while (trial.nr_kept)
		handler_gives();
}

/* The work that is interrupted: all paths, in a few hundred instructions. */

static void workload_deep(void)
{
	void *blocks[12];
	unsigned int nr, i;

	for (nr = 0; nr < ARRAY_SIZE(blocks); nr++) {
		blocks[nr] = take(TASK);
		if (!blocks[nr])
			break;
	}
	for (i = 0; i < nr; i++)
		give(blocks[i], TASK);
}

static void workload_bulk(void)
{
	void *blocks[20];
	size_t nr, i;

	nr = quarry_pool_alloc_bulk(trial.pool, ARRAY_SIZE(blocks), blocks);
	for (i = 0; i < nr; i++)
		change_holder(blocks[i], NOBODY, TASK);
	for (i = 0; i < nr; i++)
		change_holder(blocks[i], TASK, NOBODY);
	if (quarry_pool_free_bulk(trial.pool, nr, blocks) != nr)
		trial.wrong++;
}

/* To the last block, and the NULL behind it. */
static void workload_exhausting(void)
{
	static void *blocks[MAX_TOTAL + 1];
	size_t nr, i;

	nr = quarry_pool_alloc_bulk(trial.pool, NR_BLOCKS - NR_IDLE - 4, blocks);
	for (i = 0; i < nr; i++)
		change_holder(blocks[i], NOBODY, TASK);
	while (nr < MAX_TOTAL && (blocks[nr] = take(TASK)))
		nr++;
	for (i = 0; i < nr; i++)
		give(blocks[i], TASK);
}

/*
 * As when what was interrupted holds the gate: the shared lists, from a task, to
 * the last block, so that magazines in the depot are broken into too; in bulk of what
 * has come to the loose list by then.
 */
static void workload_shared(void)
{
	static void *blocks[MAX_TOTAL - NR_IDLE];
	const struct quarry_pool_hot *hot = (void *)trial.pool;
	struct quarry_pool_cpu *cpu;
	u8 gate;
	int i;

	preempt_disable();
	cpu = this_cpu_ptr(hot->cpu);
	gate = cpu->gate;
	WRITE_ONCE(cpu->gate, gate | QUARRY_GATE_HELD);
	barrier();	/* the gate is held for what follows */
	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		blocks[i] = take(TASK);
	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		if (blocks[i])
			give(blocks[i], TASK);
	workload_bulk();
	barrier();
	WRITE_ONCE(cpu->gate, gate);
	preempt_enable();
}

static void workload(void)
{
	trial.hits.task = current;
	workload_deep();
	workload_bulk();
	workload_shared();
	workload_exhausting();
	trial.hits.task = NULL;
}

/* Probes */

static void expect_whole(struct kunit *test, const char *name,
			 unsigned long offset)
{
	unsigned int i, held = 0;

	trial.hits.task = NULL;
	release_kept();
	for (i = 0; i < MAX_TOTAL; i++)
		held += atomic_read(&trial.holder[i]) != NOBODY;
	KUNIT_EXPECT_EQ_MSG(test, quarry_pool_verify(trial.pool), 0,
			    "%s+%#lx: %s", name, offset, capture.last);
	KUNIT_EXPECT_EQ_MSG(test, trial.wrong, 0,
			    "%s+%#lx: blocks with two holders", name, offset);
	KUNIT_EXPECT_EQ_MSG(test, stats_of(trial.pool).live, NR_IDLE,
			    "%s+%#lx: blocks lost", name, offset);
	KUNIT_EXPECT_EQ_MSG(test, held, NR_IDLE, "%s+%#lx", name, offset);
	expect_progress(test, &trial.hits, name, offset);
	trial.wrong = 0;
}

static unsigned long run_all_works(void)
{
	unsigned long hits = 0;

	for (trial.work = 0; trial.work < NR_HANDLER_WORKS; trial.work++) {
		trial.hits.nr = 0;
		workload();
		hits += trial.hits.nr;
		if (!hits)
			break;		/* the workload does not come by here */
	}
	return hits;
}

static const struct probing probing = {
	.handler	= at_instruction,
	.run		= run_all_works,
	.check		= expect_whole,
};

/* Those that the compiler may have put into their callers. */
static const char * const functions[] = {
	"quarry:quarry_pool_alloc", "quarry:quarry_pool_free",
	"quarry:quarry_pool_alloc_slow", "quarry:quarry_pool_free_slow",
	"quarry:quarry_pool_alloc_bulk", "quarry:quarry_pool_free_bulk",
	"quarry:quarry__pool_refill", "quarry:quarry__pool_flush",
	"quarry:alloc_some", "quarry:free_some",
	"quarry:push_slots", "quarry:loose_push", "quarry:loose_pop",
	"quarry:loose_claim", "quarry:depot_push", "quarry:depot_pop",
	"quarry:depot_take", "quarry:push", "quarry:pop", "quarry:moved_out",
	"quarry:alloc_cached", "quarry:alloc_shared", "quarry:alloc_others",
	"quarry:shared_take_some", "quarry:free_others", "quarry:shared_free_some",
	"quarry:give_full", "quarry:claim", "quarry:unclaim",
	"quarry:cache_take", "quarry:shared_take", "quarry:load",
	"quarry:gate_hold",
};

/* Where a strict pool, or one that clears blocks, has a way of its own. */
static const char * const strict_functions[] = {
	"quarry:quarry_pool_free_slow", "quarry:free_others", "quarry:free_some_strict",
	"quarry:free_batch", "quarry:give_full",
};

static const char * const zero_functions[] = { "quarry:free_long" };

static const char * const exact_functions[] = {
	"quarry:quarry_pool_alloc_slow", "quarry:quarry_pool_free_slow",
	"quarry:shared_take_some", "quarry:free_others", "quarry:shared_free_some",
};

KUNIT_ARRAY_PARAM(function, functions, function_desc);
KUNIT_ARRAY_PARAM(strict_function, strict_functions, function_desc);
KUNIT_ARRAY_PARAM(zero_function, zero_functions, function_desc);
KUNIT_ARRAY_PARAM(exact_function, exact_functions, function_desc);

static void interrupt_pool_with(struct kunit *test, unsigned int flags)
{
	static void *idle[NR_IDLE];
	const struct quarry_pool_args args = { .magazine = 2, .flags = flags };
	const char *name = *(const char * const *)test->param_value;
	unsigned long address, size;
	int i;

	need_function(test, name, &address, &size);
	memset(&trial, 0, sizeof(trial));
	trial.pool = create_pool(test, "probed", 64, NR_BLOCKS, &args);
	KUNIT_EXPECT_EQ(test, stats_of(trial.pool).peak_slack == 0,
			flags == QUARRY_POOL_EXACT);
	for (i = 0; i < NR_IDLE; i++)
		idle[i] = take(TASK);
	workload();
	expect_whole(test, "no probe", 0);
	probe_function(test, &probing, name, address, size);
	for (i = 0; i < NR_IDLE; i++)
		give(idle[i], TASK);
	KUNIT_EXPECT_EQ(test, stats_of(trial.pool).duplicates, 0);
}

static void interrupt_at_every_instruction(struct kunit *test)
{
	interrupt_pool_with(test, 0);
}

static void interrupt_strict_pool(struct kunit *test)
{
	interrupt_pool_with(test, QUARRY_POOL_STRICT);
}

static void interrupt_zeroing_pool(struct kunit *test)
{
	interrupt_pool_with(test, QUARRY_POOL_ZERO_ON_FREE);
}

static void interrupt_exact_pool(struct kunit *test)
{
	interrupt_pool_with(test, QUARRY_POOL_EXACT);
}

static struct kunit_case probe_cases[] = {
	KUNIT_CASE_PARAM(interrupt_at_every_instruction, function_gen_params),
	KUNIT_CASE_PARAM(interrupt_strict_pool, strict_function_gen_params),
	KUNIT_CASE_PARAM(interrupt_zeroing_pool, zero_function_gen_params),
	KUNIT_CASE_PARAM(interrupt_exact_pool, exact_function_gen_params),
	{}
};

static struct kunit_suite probe_suite = {
	.name = "quarry_pool_probe",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = probe_cases,
};

kunit_test_suite(probe_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: an interrupt at every instruction");
MODULE_LICENSE("GPL");
