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

#define MAP_COLUMNS	64
#define MAP_ROWS	16

/* Names of all figures, once: the struct's own. */
#define FIGURE(field)	{ #field, offsetof(struct quarry_bump_stats, field) / 8 }
static const struct {
	const char *name;
	size_t at;
} figures[] = {
	FIGURE(used), FIGURE(peak), FIGURE(capacity), FIGURE(left),
	FIGURE(allocs), FIGURE(exhausted),
	FIGURE(refused), FIGURE(refused_bad), FIGURE(refused_dead),
	FIGURE(resets), FIGURE(generation),
	FIGURE(bytes_reserved), FIGURE(bytes_wasted),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) == sizeof(struct quarry_bump_stats));

/* Those that count up, and are shown from the last reset on. */
static const size_t counters[] = {
	offsetof(struct quarry_bump_stats, allocs) / 8,
	offsetof(struct quarry_bump_stats, exhausted) / 8,
	offsetof(struct quarry_bump_stats, refused) / 8,
	offsetof(struct quarry_bump_stats, refused_bad) / 8,
	offsetof(struct quarry_bump_stats, refused_dead) / 8,
	offsetof(struct quarry_bump_stats, resets) / 8,
};

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
	u64 *value = (u64 *)stats, *base;
	size_t i;

	memset(stats, 0, sizeof(*stats));
	if (IS_ERR_OR_NULL(bump))
		return;
	figures_now(bump, stats);
	base = (u64 *)&bump->baseline;
	for (i = 0; i < ARRAY_SIZE(counters); i++)
		value[counters[i]] -= min(value[counters[i]],
					  READ_ONCE(base[counters[i]]));
}
EXPORT_SYMBOL_GPL(quarry_bump_get_stats);

void quarry__bump_reset_figures(struct quarry_object *object)
{
	struct quarry_bump *bump = to_bump(object);
	struct quarry_bump_stats now;
	u64 *value = (u64 *)&now, *base = (u64 *)&bump->baseline;
	size_t i;

	mutex_lock(&bump->lock);
	figures_now(bump, &now);
	for (i = 0; i < ARRAY_SIZE(counters); i++)
		WRITE_ONCE(base[counters[i]], value[counters[i]]);
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
	unsigned int flags = bump->flags;

	seq_printf(seq, "capacity: %zu\n", bump->capacity);
	seq_printf(seq, "flags:%s%s%s\n",
		   flags & QUARRY_ACCOUNT ? " account" : "",
		   flags & QUARRY_ZERO ? " zero" : "",
		   flags & QUARRY_NO_HUGE ? " no_huge" : "");
	if (bump->region.node == NUMA_NO_NODE)
		seq_puts(seq, "node: any\n");
	else
		seq_printf(seq, "node: %d\n", bump->region.node);
	seq_printf(seq, "region: %zu bytes\n", bump->region.size);
	seq_printf(seq, "mapping: %s\n", READ_ONCE(object->state) == QUARRY_DEAD ?
		   "gone" : quarry__region_mapping(&bump->region));
}

void quarry__bump_stats(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_bump_stats stats;
	const u64 *value = (const u64 *)&stats;
	size_t i;

	quarry_bump_get_stats(to_bump(object), &stats);
	for (i = 0; i < ARRAY_SIZE(figures); i++)
		seq_printf(seq, "%s: %llu\n", figures[i].name,
			   value[figures[i].at]);
}

/* One bar: '#' handed out, a digit where the top is, '.' free. */
void quarry__bump_map(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_bump *bump = to_bump(object);
	u64 per = DIV_ROUND_UP(bump->capacity, MAP_COLUMNS * MAP_ROWS);
	u64 used = used_in(bump, atomic64_read(&bump->hot.word));
	u64 i, column = 0;

	seq_printf(seq, "bytes: %zu, %llu to a cell; . free, 0-9 tenths used, # used\n",
		   bump->capacity, per);
	for (i = 0; i < bump->capacity; i += per) {
		u64 size = min_t(u64, per, bump->capacity - i);

		if (used >= i + size)
			seq_putc(seq, '#');
		else
			seq_putc(seq, used <= i ? '.' : '0' + (used - i) * 10 / size);
		if (++column % MAP_COLUMNS == 0)
			seq_putc(seq, '\n');
	}
	if (column % MAP_COLUMNS)
		seq_putc(seq, '\n');
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
