// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool's figures and its picture.
 *
 * Nothing on the hit path is counted twice: allocs are counted, live follows
 * from the accounting equation (live = outside - cached), frees from both. The
 * words change while they are summed; a sum is taken again until two looks at
 * what moves agree, a few times, and then clamped: on a busy pool live is off by
 * no more than the operations that went on meanwhile, and never negative.
 */
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include "pool.h"

#define SNAPSHOT_TRIES	8

/* Names of all figures, once: the struct's own; some count up. */
#define FIGURE(field)	QUARRY_FIGURE(quarry_pool_stats, field)
#define COUNTER(field)	QUARRY_COUNTER(quarry_pool_stats, field)
static const struct quarry_figure figures[] = {
	FIGURE(live), FIGURE(peak), FIGURE(peak_slack),
	COUNTER(allocs), COUNTER(frees), COUNTER(exhausted),
	COUNTER(refused), COUNTER(refused_foreign), COUNTER(refused_owner),
	COUNTER(refused_misaligned), COUNTER(refused_interior),
	COUNTER(refused_double), COUNTER(refused_dead),
	COUNTER(duplicates),
	COUNTER(hits), COUNTER(refills), COUNTER(flushes), COUNTER(remote_frees),
	COUNTER(bypass), COUNTER(untracked),
	FIGURE(cached),
	FIGURE(bytes_reserved), FIGURE(bytes_in_use), FIGURE(bytes_wasted),
	FIGURE(bytes_metadata),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) == sizeof(struct quarry_pool_stats));

/* A counter of another CPU. */
static u64 look(const u64 *counter)
{
	return data_race(*counter);	/* read as it is, when it is */
}

static void add_cpu(const struct quarry_pool *pool,
		    const struct quarry_pool_cpu *c,
		    struct quarry_pool_stats *sum)
{
	u64 local = look(&c->allocs), shared = look(&c->shared_allocs);

	sum->allocs += local + shared;
	sum->hits += local - min(local, look(&c->refills));
	sum->bypass += shared + look(&c->shared_frees);
	sum->exhausted += look(&c->exhausted);
	sum->refills += look(&c->refills);
	sum->flushes += look(&c->flushes);
	sum->remote_frees += look(&c->remote_frees) + look(&c->shared_remote);
	sum->untracked += look(&c->untracked);
	sum->duplicates += look(&c->duplicates);
	sum->cached += cached(pool, c);
}

static void sum_cpus(const struct quarry_pool *pool, struct quarry_pool_stats *sum)
{
	unsigned int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu)
		add_cpu(pool, per_cpu_ptr(pool->cpu, cpu), sum);
}

/* Two equal looks with nothing moved in between are one moment. */
static u64 snapshot(const struct quarry_pool *pool, struct quarry_pool_stats *sum)
{
	struct quarry_pool_stats again;
	int outside, i;

	for (i = 0; i < SNAPSHOT_TRIES; i++) {
		sum_cpus(pool, sum);
		outside = atomic_read(&pool->outside);
		smp_rmb();	/* no partner: a second look, and not the first's */
		sum_cpus(pool, &again);
		if (!memcmp(sum, &again, sizeof(again)) &&
		    outside == atomic_read(&pool->outside))
			break;
	}
	return max(outside, 0);
}

static void add_refusals(const struct quarry_pool *pool,
			 struct quarry_pool_stats *stats)
{
	const atomic_long_t *refused = pool->refused;
	int i;

	stats->refused_foreign = atomic_long_read(&refused[REFUSED_FOREIGN]);
	stats->refused_owner = atomic_long_read(&refused[REFUSED_OWNER]);
	stats->refused_misaligned = atomic_long_read(&refused[REFUSED_MISALIGNED]);
	stats->refused_interior = atomic_long_read(&refused[REFUSED_INTERIOR]);
	stats->refused_double = atomic_long_read(&refused[REFUSED_DOUBLE]);
	stats->refused_dead = atomic_long_read(&refused[REFUSED_DEAD]);
	for (i = 0; i < NR_REFUSALS; i++)
		stats->refused += atomic_long_read(&refused[i]);
}

/* All figures since creation, and no baseline. */
static void figures_now(const struct quarry_pool *pool,
			struct quarry_pool_stats *stats)
{
	u64 outside = snapshot(pool, stats);

	stats->live = outside - min(outside, stats->cached);
	stats->peak = max_t(u64, atomic_read(&pool->peak), stats->live);
	stats->peak_slack = pool->slack;
	stats->frees = stats->allocs - min(stats->allocs, stats->live);
	add_refusals(pool, stats);
	stats->bytes_metadata = pool->metadata.size +
				sizeof(struct quarry_pool_cpu) * num_possible_cpus();
	stats->bytes_reserved = pool->blocks.size + stats->bytes_metadata;
	stats->bytes_in_use = stats->live * pool->size;
	stats->bytes_wasted = pool->blocks.size - pool->nr_blocks * pool->size;
}

/* A destroyed pool's words are gone but for its refusals. */
void quarry_pool_get_stats(struct quarry_pool *pool,
			   struct quarry_pool_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (not_a_pool(pool))
		return;
	if (!pool->magazines) {
		add_refusals(pool, stats);
		return;
	}
	figures_now(pool, stats);
	quarry__figures_since(figures, ARRAY_SIZE(figures), stats, &pool->baseline);
}
EXPORT_SYMBOL_GPL(quarry_pool_get_stats);

void quarry__pool_reset(struct quarry_object *object)
{
	struct quarry_pool *pool = to_pool(object);
	struct quarry_pool_stats now;

	mutex_lock(&pool->lock);
	figures_now(pool, &now);
	quarry__figures_reset(figures, ARRAY_SIZE(figures), &now, &pool->baseline);
	atomic_set(&pool->peak, now.live + now.cached);
	mutex_unlock(&pool->lock);
}

void quarry__pool_row(struct quarry_object *object, struct quarry_row *row)
{
	struct quarry_pool *pool = to_pool(object);
	struct quarry_pool_stats stats;

	quarry_pool_get_stats(pool, &stats);
	row->live = stats.live;
	row->peak = stats.peak;
	row->capacity = pool->nr_blocks;
	row->size = pool->size;
	row->reserved = stats.bytes_reserved;
	row->failures = stats.exhausted;
	row->refused = stats.refused;
}

void quarry__pool_config(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_pool *pool = to_pool(object);
	unsigned int flags = pool->flags;

	seq_printf(seq, "size: %zu\n", pool->size);
	seq_printf(seq, "align: %zu\n", pool->align);
	seq_printf(seq, "stride: %llu\n", pool->hot.stride);
	seq_printf(seq, "nr_blocks: %zu\n", pool->nr_blocks);
	seq_printf(seq, "spare_blocks: %zu\n", pool->total - pool->nr_blocks);
	seq_printf(seq, "magazine: %u\n", pool->magazine);
	seq_printf(seq, "share: %u\n", READ_ONCE(pool->share));
	seq_printf(seq, "magazines: %u\n", pool->nr_magazines);
	seq_printf(seq, "ctor: %s\n", READ_ONCE(pool->ctor) ? "yes" : "no");
	seq_printf(seq, "dtor: %s\n", READ_ONCE(pool->dtor) ? "yes" : "no");
	seq_printf(seq, "flags:%s%s%s%s%s",
		   flags & QUARRY_POOL_EXACT ? " exact" : "",
		   flags & QUARRY_POOL_STRICT ? " strict" : "",
		   flags & QUARRY_POOL_ZERO_ON_FREE ? " zero_on_free" : "",
		   flags & QUARRY_POOL_LEAK_TRACK ? " leak_track" : "",
		   flags & QUARRY_POOL_TRACK ? " track" : "");
	quarry__flags_config(seq, flags, pool->blocks.node);
	quarry__region_config(seq, &pool->blocks, object);
	seq_printf(seq, "metadata: %zu bytes\n", pool->metadata.size);
}

void quarry__pool_stats(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_pool_stats stats;

	quarry_pool_get_stats(to_pool(object), &stats);
	quarry__figures_show(seq, figures, ARRAY_SIZE(figures), &stats);
}

static char cell(const struct quarry_pool *pool, size_t from, size_t to)
{
	size_t i, live = 0;

	for (i = from; i < to; i++)
		live += READ_ONCE(pool->hot.state[i]) != QUARRY_BLOCK_FREE;
	return quarry__map_tenths(live, to - from);
}

void quarry__pool_map(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_pool *pool = to_pool(object);
	size_t per = DIV_ROUND_UP(pool->total, QUARRY_MAP_CELLS);
	size_t i, run = 0, longest = 0;

	seq_printf(seq, "blocks: %zu, %zu to a cell; . free, 0-9 tenths live, # live\n",
		   pool->total, per);
	for (i = 0; i < pool->total; i += per) {
		quarry__map_cell(seq, cell(pool, i, min(i + per, pool->total)),
				 i / per, i + per >= pool->total);
		cond_resched();
	}
	for (i = 0; i < pool->total; i++) {
		bool free = READ_ONCE(pool->hot.state[i]) == QUARRY_BLOCK_FREE;

		run = free ? run + 1 : 0;
		longest = max(longest, run);
		cond_resched();
	}
	seq_printf(seq, "longest free run: %zu blocks\n", longest);
}

/* Blocks by number */

bool quarry_pool_owns(struct quarry_pool *pool, const void *ptr)
{
	return quarry_pool_index(pool, ptr) >= 0;
}
EXPORT_SYMBOL_GPL(quarry_pool_owns);

long quarry_pool_index(struct quarry_pool *pool, const void *block)
{
	u64 index;

	if (not_a_pool(pool))
		return -EINVAL;
	index = quarry_pool_hot_index(&pool->hot, block);
	return index < pool->nr ? (long)index : -EINVAL;
}
EXPORT_SYMBOL_GPL(quarry_pool_index);

void *quarry_pool_at(struct quarry_pool *pool, u32 index)
{
	if (not_a_pool(pool) || index >= pool->nr)
		return NULL;
	return block_at(pool, index);
}
EXPORT_SYMBOL_GPL(quarry_pool_at);

size_t quarry_pool_capacity(struct quarry_pool *pool)
{
	return not_a_pool(pool) ? 0 : pool->nr_blocks;
}
EXPORT_SYMBOL_GPL(quarry_pool_capacity);

size_t quarry_pool_block_size(struct quarry_pool *pool)
{
	return not_a_pool(pool) ? 0 : pool->size;
}
EXPORT_SYMBOL_GPL(quarry_pool_block_size);

/* In brackets: checkpatch takes the name for a loop's. */
int (quarry_pool_for_each_live)(struct quarry_pool *pool,
				quarry_pool_visit_fn fn, void *arg)
{
	u32 index;
	int err;

	if (not_a_pool(pool) || !fn)
		return -EINVAL;
	for (index = 0; index < pool->nr; index++) {
		if (READ_ONCE(pool->hot.state[index]) == QUARRY_BLOCK_FREE)
			continue;
		err = fn(block_at(pool, index), index, arg);
		if (err)
			return err;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(quarry_pool_for_each_live);
