// SPDX-License-Identifier: GPL-2.0-only
/*
 * A bump's figures and its picture. Nothing on the hit path is counted but the
 * allocs, per CPU; what is used is the offset, and the peak is known when a
 * generation ends.
 */
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include "bump.h"

/* Names of all figures, once: the struct's own; some count up. */
#define FIGURE(field)	QUARRY_FIGURE(quarry_bump_stats, field)
#define COUNTER(field)	QUARRY_COUNTER(quarry_bump_stats, field)
static const struct quarry_figure figures[] = {
	FIGURE(used), FIGURE(peak), FIGURE(capacity), FIGURE(left),
	COUNTER(allocs), COUNTER(exhausted),
	COUNTER(refused), COUNTER(refused_bad), COUNTER(refused_dead),
	COUNTER(resets), FIGURE(generation),
	FIGURE(bytes_reserved), FIGURE(bytes_wasted),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) == sizeof(struct quarry_bump_stats));

/* All figures since creation, and no baseline. */
static void figures_now(const struct quarry_bump *bump,
			struct quarry_bump_stats *stats)
{
	u64 word = atomic64_read(&bump->hot.word);
	unsigned int cpu;

	memset(stats, 0, sizeof(*stats));
	stats->refused_bad = atomic_long_read(&bump->refused_bad);
	stats->refused_dead = atomic_long_read(&bump->refused_dead);
	stats->refused = stats->refused_bad + stats->refused_dead;
	if (READ_ONCE(bump->closed))
		return;		/* nothing is left but the refusals */
	stats->used = used_in(bump, word);
	stats->generation = word & QUARRY_BUMP_GEN_MASK;
	stats->peak = max_t(u64, atomic64_read(&bump->peak), stats->used);
	stats->capacity = bump->capacity;
	stats->left = bump->capacity - stats->used;
	stats->resets = atomic64_read(&bump->resets);
	stats->bytes_reserved = bump->region.size;
	stats->bytes_wasted = bump->region.size - bump->capacity;
	for_each_possible_cpu(cpu) {
		const struct quarry_bump_cpu *c = per_cpu_ptr(bump->hot.cpu, cpu);

		stats->allocs += data_race(c->allocs);	/* as it is */
		stats->exhausted += data_race(c->exhausted);	/* likewise */
	}
}

void quarry_bump_get_stats(struct quarry_bump *bump,
			   struct quarry_bump_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (IS_ERR_OR_NULL(bump))
		return;
	figures_now(bump, stats);
	quarry__figures_since(figures, ARRAY_SIZE(figures), stats, &bump->baseline);
}
EXPORT_SYMBOL_GPL(quarry_bump_get_stats);

void quarry__bump_reset_figures(struct quarry_object *object)
{
	struct quarry_bump *bump = to_bump(object);
	struct quarry_bump_stats now;

	mutex_lock(&bump->lock);
	figures_now(bump, &now);
	quarry__figures_reset(figures, ARRAY_SIZE(figures), &now, &bump->baseline);
	atomic64_set(&bump->peak, 0);	/* what is used now counts by itself */
	mutex_unlock(&bump->lock);
}

void quarry__bump_row(struct quarry_object *object, struct quarry_row *row)
{
	struct quarry_bump_stats stats;

	quarry_bump_get_stats(to_bump(object), &stats);
	row->live = stats.used;
	row->peak = stats.peak;
	row->capacity = stats.capacity;
	row->size = 1;
	row->reserved = stats.bytes_reserved;
	row->failures = stats.exhausted;
	row->refused = stats.refused;
}

void quarry__bump_config(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_bump *bump = to_bump(object);

	seq_printf(seq, "capacity: %zu\n", bump->capacity);
	seq_puts(seq, "flags:");
	quarry__flags_config(seq, bump->flags, bump->region.node);
	quarry__region_config(seq, &bump->region, object);
}

void quarry__bump_stats(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_bump_stats stats;

	quarry_bump_get_stats(to_bump(object), &stats);
	quarry__figures_show(seq, figures, ARRAY_SIZE(figures), &stats);
}

/* One bar: '#' handed out, a digit where the top is, '.' free. */
void quarry__bump_map(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_bump *bump = to_bump(object);
	u64 per = DIV_ROUND_UP(bump->capacity, QUARRY_MAP_CELLS);
	u64 used = used_in(bump, atomic64_read(&bump->hot.word));
	u64 i;

	seq_printf(seq, "bytes: %zu, %llu to a cell; . free, 0-9 tenths used, # used\n",
		   bump->capacity, per);
	for (i = 0; i < bump->capacity; i += per)
		quarry__map_cell(seq, quarry__map_tenths(used - min(used, i),
							 min(per, bump->capacity - i)),
				 i / per, i + per >= bump->capacity);
	seq_printf(seq, "longest free run: %llu bytes\n", bump->capacity - used);
}

int quarry__bump_verify(struct quarry_object *object, char *why, size_t size)
{
	struct quarry_bump *bump = to_bump(object);
	s64 used = used_in(bump, atomic64_read(&bump->hot.word));

	if (READ_ONCE(object->state) == QUARRY_DEAD)
		return 0;
	if (used >= 0 && used <= bump->capacity)
		return 0;
	scnprintf(why, size, "%lld bytes are handed out, of %zu", used,
		  bump->capacity);
	return -EUCLEAN;
}

int quarry_bump_verify(struct quarry_bump *bump)
{
	char why[128] = "";
	int err;

	if (IS_ERR_OR_NULL(bump) || READ_ONCE(bump->closed) ||
	    !quarry__may_sleep())
		return -EINVAL;
	err = quarry__bump_verify(&bump->object, why, sizeof(why));
	if (err)
		quarry__notice("bump \"%s\": verify: %s", bump->object.name, why);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_bump_verify);
