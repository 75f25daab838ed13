// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures by name. A kind's stats are a struct of 64-bit words and nothing else, its
 * table has a row for each; so one function shows them all, and a reset has to know no
 * more than which of them count up. Those go on counting: the reset keeps what they were
 * as a baseline, which each look subtracts.
 *
 * A baseline is read without a lock but by an arena: a look that crosses a reset takes
 * some counters from before it and some from after. A counter read below its baseline is 0.
 * Resets of an object exclude each other by a mutex of its own, but for wrappers', where of
 * two at once each counter has the baseline of one.
 */
#include <linux/kernel.h>
#include <linux/seq_file.h>
#include "internal.h"

void quarry__figures_show(struct seq_file *seq, const struct quarry_figure *figures,
			  size_t nr, const void *stats)
{
	const u64 *value = stats;
	size_t i;

	for (i = 0; i < nr; i++)
		seq_printf(seq, "%s: %llu\n", figures[i].name, value[figures[i].at]);
}

void quarry__figures_since(const struct quarry_figure *figures, size_t nr, void *stats,
			   const void *baseline)
{
	const u64 *base = baseline;
	u64 *value = stats;
	size_t i;

	for (i = 0; i < nr; i++) {
		size_t at = figures[i].at;

		if (figures[i].counts)
			value[at] -= min(value[at], READ_ONCE(base[at]));
	}
}

void quarry__figures_reset(const struct quarry_figure *figures, size_t nr,
			   const void *stats, void *baseline)
{
	const u64 *value = stats;
	u64 *base = baseline;
	size_t i;

	for (i = 0; i < nr; i++)
		if (figures[i].counts)
			WRITE_ONCE(base[figures[i].at], value[figures[i].at]);
}
