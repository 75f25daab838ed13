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
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include "kunit_util.h"

#define NR_BLOCKS	64
#define MAX_TOTAL	(NR_BLOCKS + NR_BLOCKS / 8)
/* Blocks that are live throughout: those that go round are soon used up. */
#define NR_IDLE		36
#define MAX_KEPT	6
/* More hits than this in one round of the workload: it goes round for ever. */
#define ENDLESS		20000
/*
 * On x86 a probe is checked by decoding the function from its start, so that a
 * long function takes minutes. Only sanitizers make them as long as this.
 */
#define MAX_BYTES	SZ_4K
/* Hits that are left alone, after as many that are not; a power of two. */
#define QUIET		32

/* To the next instruction from one that has a probe, or from one that cannot. */
#ifdef CONFIG_X86
#define MIN_STEP 1
#define STEP(probe) max_t(unsigned int, (probe)->ainsn.size, MIN_STEP)
#else
#define MIN_STEP 4
#define STEP(probe) MIN_STEP
#endif

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
 * @task: whose instructions count
 * @hits: how often the probe was hit in this round
 * @endless: a round had too many
 * @wrong: how often a block had another holder than it should
 */
struct trial {
	struct quarry_pool *pool;
	atomic_t holder[MAX_TOTAL];
	void *kept[MAX_KEPT];
	unsigned int nr_kept;
	enum handler_work work;
	struct task_struct *task;
	unsigned long hits;
	bool endless;
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

	if (current != trial.task)
		return 0;
	/*
	 * A compare-and-swap that is interrupted in every round by one that succeeds
	 * goes round for ever, and a round may hit the probe at each of the blocks of
	 * a batch. So once in a while nothing comes between.
	 */
	if (++trial.hits & QUIET)
		return 0;
	if (trial.hits > ENDLESS) {
		trial.endless = true;
		return 0;
	}
	if (trial.work == PAIRS) {
		block = take(HANDLER);
		if (block)
			give(block, HANDLER);
	} else if ((trial.hits + trial.work) & 1) {
		handler_takes();
	} else {
		handler_gives();
	}
	return 0;
}

/* With one of these a probe is not optimised into a jump. */
static void after_instruction(struct kprobe *probe, struct pt_regs *regs,
			      unsigned long flags)
{
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
 * the last block, so that magazines in the depot are broken into too.
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
	barrier();
	WRITE_ONCE(cpu->gate, gate);
	preempt_enable();
}

static void workload(void)
{
	trial.task = current;
	workload_deep();
	workload_bulk();
	workload_shared();
	workload_exhausting();
	trial.task = NULL;
}

/* Probes */

static int find_function(const char *name, unsigned long *address,
			 unsigned long *size)
{
	struct kprobe probe = {
		.symbol_name = name, .flags = KPROBE_FLAG_DISABLED,
	};
	char text[KSYM_SYMBOL_LEN];
	const char *slash;
	int err;

	err = register_kprobe(&probe);
	if (err)
		return err;
	*address = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	/* name+0x0/0xSIZE [module] */
	sprint_symbol(text, *address);
	slash = strchr(text, '/');
	if (!slash || sscanf(slash, "/0x%lx", size) != 1)
		return -ENOENT;
	return 0;
}

static void expect_whole(struct kunit *test, const char *name,
			 unsigned long offset)
{
	unsigned int i, held = 0;

	trial.task = NULL;
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
	KUNIT_EXPECT_FALSE_MSG(test, trial.endless,
			       "%s+%#lx: no progress among interrupts", name,
			       offset);
	trial.wrong = 0;
	trial.endless = false;
}

static unsigned long run_probed(struct kunit *test, struct kprobe *probe,
				const char *name, unsigned long offset)
{
	unsigned long hits = 0;

	if (enable_kprobe(probe))
		return 0;
	for (trial.work = 0; trial.work < NR_HANDLER_WORKS; trial.work++) {
		trial.hits = 0;
		workload();
		hits += trial.hits;
		if (!hits)
			break;		/* the workload does not come by here */
	}
	disable_kprobe(probe);
	if (hits)
		expect_whole(test, name, offset);
	return hits;
}

/* All probes of a function are there at once, one at a time is armed. */
static void probe_function(struct kunit *test, const char *name,
			   unsigned long address, unsigned long size)
{
	unsigned long nr = 0, hit = 0, hits = 0, some, offset, step, i;
	struct kprobe *probes, **list;

	probes = kvcalloc(size / MIN_STEP, sizeof(*probes), GFP_KERNEL);
	list = kvcalloc(size / MIN_STEP, sizeof(*list), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, probes);
	KUNIT_ASSERT_NOT_NULL(test, list);
	for (offset = 0; offset < size; offset += step) {
		struct kprobe *probe = &probes[nr];

		probe->addr = (kprobe_opcode_t *)(address + offset);
		probe->pre_handler = at_instruction;
		probe->post_handler = after_instruction;
		probe->flags = KPROBE_FLAG_DISABLED;
		/* Refused where none is allowed, and within an instruction. */
		if (register_kprobe(probe)) {
			memset(probe, 0, sizeof(*probe));
			step = MIN_STEP;
			continue;
		}
		step = STEP(probe);
		list[nr++] = probe;
	}
	for (i = 0; i < nr; i++) {
		some = run_probed(test, list[i], name,
				  (unsigned long)list[i]->addr - address);
		hits += some;
		hit += !!some;
		cond_resched();
	}
	unregister_kprobes(list, nr);
	kvfree(list);
	kvfree(probes);
	kunit_info(test, "%s: %lu of %lu instructions interrupted, %lu times",
		   name, hit, nr, hits);
	KUNIT_EXPECT_GT(test, nr, 0);
	KUNIT_EXPECT_GT(test, hit, 0);
}

/* Those that the compiler may have put into their callers. */
static const char * const functions[] = {
	"quarry:quarry_pool_alloc", "quarry:quarry_pool_free",
	"quarry:quarry_pool_alloc_slow", "quarry:quarry_pool_free_slow",
	"quarry:quarry_pool_alloc_bulk", "quarry:quarry_pool_free_bulk",
	"quarry:refill", "quarry:flush", "quarry:alloc_some", "quarry:free_some",
	"quarry:flush_loose", "quarry:loose_push", "quarry:loose_pop",
	"quarry:loose_claim", "quarry:depot_push", "quarry:depot_pop",
	"quarry:depot_take", "quarry:push", "quarry:pop", "quarry:moved_out",
	"quarry:take", "quarry:give", "quarry:claim", "quarry:unclaim",
	"quarry:cache_take", "quarry:shared_take", "quarry:load",
};

static void function_desc(const char * const *name, char *desc)
{
	strscpy(desc, *name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(function, functions, function_desc);

static void interrupt_at_every_instruction(struct kunit *test)
{
	static void *idle[NR_IDLE];
	const struct quarry_pool_args args = { .magazine = 2 };
	const char *name = *(const char * const *)test->param_value;
	unsigned long address, size;
	int err, i;

	if (IS_ENABLED(CONFIG_KCSAN))
		kunit_skip(test, "KCSAN delays each access; the other kernels run it");
	err = find_function(name, &address, &size);
	if (err)
		kunit_skip(test, "%s is not a function of its own (%d)", name,
			   err);
	if (IS_ENABLED(CONFIG_X86) && size > MAX_BYTES)
		kunit_skip(test, "%s is %lu bytes long here; other kernels run it",
			   name, size);
	memset(&trial, 0, sizeof(trial));
	trial.pool = create_pool(test, "probed", 64, NR_BLOCKS, &args);
	KUNIT_EXPECT_GT(test, stats_of(trial.pool).peak_slack, 0);
	for (i = 0; i < NR_IDLE; i++)
		idle[i] = take(TASK);
	workload();
	expect_whole(test, "no probe", 0);
	probe_function(test, name, address, size);
	for (i = 0; i < NR_IDLE; i++)
		give(idle[i], TASK);
	KUNIT_EXPECT_EQ(test, stats_of(trial.pool).duplicates, 0);
}

static struct kunit_case probe_cases[] = {
	KUNIT_CASE_PARAM(interrupt_at_every_instruction, function_gen_params),
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
