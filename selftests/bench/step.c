// SPDX-License-Identifier: GPL-2.0-only
/*
 * mode=step: one hot alloc and one hot free of each allocator, for a debugger that
 * steps through them (opcount.py): it sets a breakpoint on bench_mark and then writes to
 * bench_go.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "bench.h"

/* Written to by the debugger. */
static bool bench_go;

/* What follows is an alloc and a free of this allocator; NULL: it was the last. */
static noinline void bench_mark(const char *name)
{
	asm volatile("" : : "r" (name) : "memory");
}

static int step_one(const struct bench_ops *ops)
{
	u32 ignored[2];
	struct bench_samples alloc = { .value = &ignored[0], .max = 1 };
	struct bench_samples free = { .value = &ignored[1], .max = 1 };
	struct bench_run run = {
		.nr = max(512 / (ops->slow ?: 1), 16u), .alloc = &alloc, .free = &free,
	};
	int ret;

	run.handle = ops->create(max_t(size_t, ops->least, 64));
	if (IS_ERR(run.handle))
		return PTR_ERR(run.handle);
	ret = ops->pair(&run);
	/* The loop that is stepped through, once before. */
	run.nr = 1;
	ret = ret ?: ops->split(&run);
	if (!ret) {
		bench_mark(ops->name);
		ret = ops->split(&run);
	}
	ops->destroy(run.handle);
	return ret;
}

int bench_step(const char *only)
{
	unsigned int i;
	int ret = 0;

	pr_info("quarry_bench: step: mark %lx, go %lx.\n", (unsigned long)bench_mark,
		(unsigned long)&bench_go);
	while (!READ_ONCE(bench_go))
		msleep(20);
	for (i = 0; !ret && i < bench_nr_allocators; i++)
		if (!i || !strncmp(bench_allocators[i]->name, only, strlen(only)))
			ret = step_one(bench_allocators[i]);
	bench_mark(NULL);
	return ret;
}
