/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A function in an NMI, whenever a test wants one: on x86 a breakpoint in the kernel is
 * taken as an NMI is, so that the function is called by a kprobe. What the VM's
 * monitor sends comes when it comes.
 */
#ifndef QUARRY_NMI_UTIL_H
#define QUARRY_NMI_UTIL_H

#include <kunit/test.h>
#include <linux/kprobes.h>
#include <linux/preempt.h>
#include "kunit_util.h"

#ifdef CONFIG_KPROBES

struct nmi_run {
	struct kprobe probe;
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

/* Not traced, or the probe would be a call by the tracer in place of a breakpoint. */
static noinline notrace void nmi_site(void)
{
	asm volatile("nop\n\tnop");
}

static inline int nmi_enters(struct kprobe *probe, struct pt_regs *regs)
{
	struct nmi_run *run = container_of(probe, struct nmi_run, probe);

	if (in_nmi() && !run->done) {
		run->done = true;
		run->fn(run->arg);
	}
	return 0;
}

/* With one of these a probe is not optimised into a jump. */
static inline void nmi_leaves(struct kprobe *probe, struct pt_regs *regs,
			      unsigned long flags)
{
}

/* False: no probe can be had, or it is no NMI here. */
static inline bool run_in_nmi(void (*fn)(void *arg), void *arg)
{
	struct nmi_run run = {
		.probe = {
			.addr = (kprobe_opcode_t *)nmi_site,
			.pre_handler = nmi_enters,
			.post_handler = nmi_leaves,
		},
		.fn = fn, .arg = arg,
	};

	if (register_kprobe(&run.probe))
		return false;
	nmi_site();
	unregister_kprobe(&run.probe);
	return run.done;
}

#else

static inline bool run_in_nmi(void (*fn)(void *arg), void *arg)
{
	return false;
}

#endif

/* On x86-64 with kprobes there is one, or the test fails. */
static inline void need_nmi(struct kunit *test, void (*fn)(void *arg), void *arg)
{
	if (run_in_nmi(fn, arg))
		return;
	KUNIT_EXPECT_FALSE(test, IS_ENABLED(CONFIG_X86_64) &&
			   IS_ENABLED(CONFIG_KPROBES));
	kunit_skip(test, "no NMI to be had: a breakpoint is none here");
}

#endif /* QUARRY_NMI_UTIL_H */
