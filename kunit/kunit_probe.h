/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An interrupt at every instruction: a kprobe on each instruction of a function in
 * turn, its optimisation off, so that it is a breakpoint; on x86 that is taken as
 * an NMI is.
 */
#ifndef QUARRY_KUNIT_PROBE_H
#define QUARRY_KUNIT_PROBE_H

#include <kunit/test.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/moduleparam.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

/* More hits than this in one round of a workload: it goes round for ever. */
#define ENDLESS		20000
/*
 * On x86 a probe is checked by decoding the function from its start, so that a
 * long function takes minutes. Only sanitizers make them as long as this.
 */
#define MAX_BYTES	SZ_4K
/* Functions on each side of one among which another is searched. */
#define MAX_NEAR	48
#define MAX_NAME	64
/*
 * Hits that are left alone, after as many that are not; a power of two. A compare-
 * and-swap that is interrupted in every round by one that succeeds goes round for
 * ever, and a round may hit the probe more than once.
 */
#define QUIET		32

/* To the next instruction from one that has a probe, or from one that cannot. */
#ifdef CONFIG_X86
#define MIN_STEP 1
#define STEP(probe) max_t(unsigned int, (probe)->ainsn.size, MIN_STEP)
#else
#define MIN_STEP 4
#define STEP(probe) ((void)(probe), MIN_STEP)
#endif

/*
 * With KASAN, which has four instructions of its own for one of ours, so many to a
 * function, from a random one on: each has its turn in one run or another.
 */
#ifndef DEFAULT_PROBES
#define DEFAULT_PROBES	(IS_ENABLED(CONFIG_KASAN) ? 64 : 0)
#endif

static uint max_probes = DEFAULT_PROBES;
module_param(max_probes, uint, 0400);
MODULE_PARM_DESC(max_probes, "about as many instructions of a function (0: all)");

/*
 * Of the instructions that have a probe, in percent, so many must be hit: the others
 * are refusals and reports. Of a sample, which lies anywhere, it is some at all.
 */
#define LEAST_HIT	(max_probes ? 1 : 10)
#define MAX_SAMPLES	8

/**
 * struct hits - of the one armed probe, in one round of the work
 * @task: whose instructions count
 * @anyone: or everybody's, while the task waits
 * @nr: how many there were
 * @endless: a round had too many
 */
struct hits {
	struct task_struct *task;
	bool anyone;
	unsigned long nr;
	bool endless;
};

/* Whether the handler has something to do at this one. */
static inline bool hit_counts(struct hits *hits)
{
	if (current != hits->task && !READ_ONCE(hits->anyone))
		return false;
	if (++hits->nr & QUIET)
		return false;
	if (hits->nr > ENDLESS) {
		hits->endless = true;
		return false;
	}
	return true;
}

static inline void expect_progress(struct kunit *test, struct hits *hits, const char *name,
				   unsigned long offset)
{
	KUNIT_EXPECT_FALSE_MSG(test, hits->endless,
			       "%s+%#lx: no progress among interrupts", name, offset);
	hits->endless = false;
}

/**
 * struct probing - what a suite does at each instruction
 * @handler: the interrupt
 * @run: the work that is interrupted, with one probe armed; how often it was hit
 * @check: afterwards, when it was
 */
struct probing {
	kprobe_pre_handler_t handler;
	unsigned long (*run)(void);
	void (*check)(struct kunit *test, const char *name, unsigned long offset);
};

/* With one of these a probe is not optimised into a jump. */
static inline void after_instruction(struct kprobe *probe, struct pt_regs *regs,
				     unsigned long flags)
{
}

/* The function that @at lies in: its name, of MAX_NAME, start and size. */
static inline int function_at(unsigned long at, char *name, unsigned long *address,
			      unsigned long *size)
{
	char text[KSYM_SYMBOL_LEN];
	unsigned long offset;

	/* name+0xOFFSET/0xSIZE [module] */
	sprint_symbol(text, at);
	if (sscanf(text, "%63[^+]+0x%lx/0x%lx", name, &offset, size) != 3)
		return -ENOENT;
	*address = at - offset;
	return 0;
}

/* A function of that name among those around @from; of two the nearer one. */
static inline int find_near(const char *name, unsigned long from, unsigned long *address,
			    unsigned long *size)
{
	unsigned long down = from, up = from;
	char found[MAX_NAME];
	int i;

	for (i = 0; i < MAX_NEAR; i++) {
		if (!function_at(up, found, address, size)) {
			if (!strcmp(found, name))
				return 0;
			up = *address + *size;
		}
		if (!function_at(down - 1, found, address, size)) {
			if (!strcmp(found, name))
				return 0;
			down = *address;
		}
	}
	return -ENOENT;
}

/*
 * "module:name", or "module:neighbour/name": one whose name others have too, in the
 * file that has that neighbour.
 */
static inline int find_function(const char *name, unsigned long *address,
				unsigned long *size)
{
	const char *slash = strchrnul(name, '/');
	char neighbour[MAX_NAME], found[MAX_NAME];
	struct kprobe probe = {
		.symbol_name = neighbour, .flags = KPROBE_FLAG_DISABLED,
	};
	int err;

	scnprintf(neighbour, sizeof(neighbour), "%.*s", (int)(slash - name), name);
	err = register_kprobe(&probe);
	if (err)
		return err;
	*address = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	if (*slash)
		return find_near(slash + 1, *address, address, size);
	return function_at(*address, found, address, size);
}

/* A parameter that is such a name. */
static inline void function_desc(const char * const *name, char *desc)
{
	strscpy(desc, *name, KUNIT_PARAM_DESC_SIZE);
}

/* Where a function is, or the test is skipped. */
static inline void need_function(struct kunit *test, const char *name,
				 unsigned long *address, unsigned long *size)
{
	int err;

	if (IS_ENABLED(CONFIG_KCSAN))
		kunit_skip(test, "KCSAN delays each access; the other kernels run it");
	err = find_function(name, address, size);
	if (err)
		kunit_skip(test, "%s is not a function of its own (%d)", name,
			   err);
	if (IS_ENABLED(CONFIG_X86) && *size > MAX_BYTES)
		kunit_skip(test, "%s is %lu bytes long here; other kernels run it",
			   name, *size);
}

static inline unsigned long run_probed(struct kunit *test,
				       const struct probing *probing,
				       struct kprobe *probe, const char *name,
				       unsigned long offset)
{
	unsigned long hits;
	int err = enable_kprobe(probe);

	KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s+%#lx is not armed", name, offset);
	if (err)
		return 0;
	hits = probing->run();
	disable_kprobe(probe);
	if (hits)
		probing->check(test, name, offset);
	return hits;
}

/*
 * A probe on each instruction, or on some that are at least @stride apart, not armed
 * yet; how many. Refused are, by -EILSEQ, bytes within an instruction, and, by -EINVAL,
 * what the kernel changes itself, or on arm64 what lies between a load and a store
 * that go together.
 */
static inline unsigned long place_probes(struct kunit *test,
					 const struct probing *probing,
					 struct kprobe *probes, struct kprobe **list,
					 unsigned long address, unsigned long size,
					 unsigned long first, unsigned long stride)
{
	unsigned long offset, step, nr = 0;

	for (offset = first; offset < size; offset += step) {
		struct kprobe *probe = &probes[nr];
		int err;

		probe->addr = (kprobe_opcode_t *)(address + offset);
		probe->pre_handler = probing->handler;
		probe->post_handler = after_instruction;
		probe->flags = KPROBE_FLAG_DISABLED;
		err = register_kprobe(probe);
		step = MIN_STEP;
		if (!err) {
			step = max_t(unsigned long, STEP(probe), stride);
			list[nr++] = probe;
			continue;
		}
		memset(probe, 0, sizeof(*probe));
		KUNIT_EXPECT_TRUE_MSG(test, err == -EILSEQ || err == -EINVAL,
				      "no probe at +%#lx: %d", offset, err);
	}
	return nr;
}

/* What came of a function's probes: @hit of @nr were, @hits times. */
struct probed {
	unsigned long nr, hit, hits;
};

/* All probes of a function are there at once, one at a time is armed. */
static noinline struct probed probe_once(struct kunit *test, const struct probing *probing,
					 const char *name, unsigned long address,
					 unsigned long size, unsigned long stride)
{
	unsigned long first = stride ? rounddown(get_random_u32() % stride, MIN_STEP) : 0;
	struct kprobe *probes, **list;
	struct probed p = { };
	unsigned long hits, i;

	probes = kvcalloc(size / MIN_STEP, sizeof(*probes), GFP_KERNEL);
	list = kvcalloc(size / MIN_STEP, sizeof(*list), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, probes);
	KUNIT_ASSERT_NOT_NULL(test, list);
	p.nr = place_probes(test, probing, probes, list, address, size, first, stride);
	for (i = 0; i < p.nr; i++) {
		hits = run_probed(test, probing, list[i], name,
				  (unsigned long)list[i]->addr - address);
		p.hits += hits;
		p.hit += !!hits;
		cond_resched();
	}
	unregister_kprobes(list, p.nr);
	kvfree(list);
	kvfree(probes);
	kunit_info(test, "%s: %lu of %lu instructions from +%#lx on interrupted, %lu times",
		   name, p.hit, p.nr, first, p.hits);
	return p;
}

/* A sample that lies where no work goes through is followed by another. */
static inline void probe_function(struct kunit *test,
				  const struct probing *probing, const char *name,
				  unsigned long address, unsigned long size)
{
	unsigned long stride = max_probes ? rounddown(size / max_probes, MIN_STEP) : 0;
	int samples = stride ? MAX_SAMPLES : 1;
	struct probed p;

	do
		p = probe_once(test, probing, name, address, size, stride);
	while (!p.hit && --samples);
	KUNIT_EXPECT_GT(test, p.nr, 0);
	KUNIT_EXPECT_GE_MSG(test, 100 * p.hit, LEAST_HIT * p.nr,
			    "%s: the work goes through %lu of %lu instructions", name,
			    p.hit, p.nr);
}

#endif /* QUARRY_KUNIT_PROBE_H */
