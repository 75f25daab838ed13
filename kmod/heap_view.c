// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap's figures, its picture, and the walks: they take the lock for some
 * blocks at a time. The cursor stays in the core, where whoever merges the block
 * that it stands on moves it on; @walking lets one walk at a time use it.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include "heap.h"
#include "heap_front.h"

/* Blocks seen in one hold of the lock. */
#define BATCH		16
#define HISTOGRAM	32
#define VERIFY_TRIES	5

/* Names of all figures, once: the struct's own; some count up. */
#define FIGURE(field)	QUARRY_FIGURE(quarry_heap_stats, field)
#define COUNTER(field)	QUARRY_COUNTER(quarry_heap_stats, field)
static const struct quarry_figure figures[] = {
	FIGURE(live), FIGURE(peak),
	COUNTER(allocs), COUNTER(frees), COUNTER(exhausted), COUNTER(too_large),
	COUNTER(nmi_failed),
	COUNTER(refused), COUNTER(refused_foreign), COUNTER(refused_owner),
	COUNTER(refused_misaligned), COUNTER(refused_interior),
	COUNTER(refused_double), COUNTER(refused_corrupt), COUNTER(refused_dead),
	COUNTER(corrupt), FIGURE(fenced),
	COUNTER(hits), COUNTER(flushes), COUNTER(deferred), FIGURE(pending),
	COUNTER(resized), COUNTER(moved),
	FIGURE(cached), FIGURE(bytes_cached),
	FIGURE(bytes_reserved), FIGURE(bytes_in_use), FIGURE(bytes_peak),
	FIGURE(bytes_free), FIGURE(bytes_metadata),
	FIGURE(largest_free), FIGURE(largest_request), FIGURE(regions),
	FIGURE(fragmentation),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) == sizeof(struct quarry_heap_stats));

/*
 * Blocks in slots, and units of these, by the fronts' own count: their headers may be in
 * memory that is gone. That is exact when nobody is at work, but for what was lost.
 */
static void sum_fronts(const struct quarry_heap *heap, u64 *blocks, u64 *units,
		       u64 *hits)
{
	unsigned int cpu;
	s64 held = 0;
	u32 i, end;

	*blocks = 0;
	*units = 0;
	*hits = 0;
	if (!heap->front_sizes)
		return;
	end = front_slot(heap, heap->front_classes);
	for_each_possible_cpu(cpu) {
		const struct heap_front *front = per_cpu_ptr(heap->front, cpu);

		*hits += data_race(front->hits);	/* read as it is */
		held += READ_ONCE(front->over) + heap->front_share -
			atomic64_read(&front->given);
		for (i = front_slot(heap, MIN_UNITS); i < end; i++)
			*blocks += is_block(READ_ONCE(front->slot[i]));
	}
	*units = max(held, 0LL);
}

static void add_refusals(const struct quarry_heap *heap,
			 struct quarry_heap_stats *stats)
{
	const atomic_long_t *refused = heap->refused;
	int i;

	stats->refused_foreign = atomic_long_read(&refused[HEAP_FOREIGN]);
	stats->refused_owner = atomic_long_read(&refused[HEAP_OWNER]);
	stats->refused_misaligned = atomic_long_read(&refused[HEAP_MISALIGNED]);
	stats->refused_interior = atomic_long_read(&refused[HEAP_INTERIOR]);
	stats->refused_double = atomic_long_read(&refused[HEAP_DOUBLE]);
	stats->refused_corrupt = atomic_long_read(&refused[HEAP_CORRUPT]);
	stats->refused_dead = atomic_long_read(&refused[HEAP_DEAD]);
	for (i = 0; i < NR_HEAP_REFUSALS; i++)
		stats->refused += atomic_long_read(&refused[i]);
	stats->exhausted = atomic_long_read(&heap->exhausted);
	stats->too_large = atomic_long_read(&heap->too_large);
	stats->nmi_failed = atomic_long_read(&heap->nmi_failed);
	stats->corrupt = atomic_long_read(&heap->corrupt);
	stats->flushes = atomic_long_read(&heap->flushes);
	stats->deferred = atomic_long_read(&heap->nr_deferred);
	stats->pending = max(atomic_long_read(&heap->pending), 0L);
	stats->moved = atomic_long_read(&heap->moved);
}

/* What the lock orders. */
static void add_regions(struct quarry_heap *heap, struct quarry_heap_stats *stats)
{
	u32 i, largest = 0;

	lockdep_assert_held(&heap->lock);
	for (i = 0; i < heap->nr_regions; i++) {
		struct heap_core *core = &heap->region[i]->core;

		stats->bytes_free += heap_core_left(core) * UNIT;
		stats->fenced += core->fenced * UNIT;
		stats->bytes_reserved += heap->region[i]->memory.size;
		if (!heap->closed)
			largest = max(largest, heap_core_largest(core));
	}
	stats->regions = heap->nr_regions;
	stats->live = heap->blocks;
	stats->bytes_in_use = heap->used * UNIT;
	stats->peak = heap->peak_blocks;
	stats->bytes_peak = heap->peak_used * UNIT;
	stats->allocs = heap->allocs;
	stats->largest_request = heap->largest_request;
	stats->resized = heap->resized;
	stats->largest_free = largest ? min_t(u64, heap->max_request,
					      largest * UNIT - UNIT) : 0;
	if (stats->bytes_free)
		/* What was fenced off may have been counted as used before. */
		stats->fragmentation = 1000 - 1000 *
			min(largest * UNIT, stats->bytes_free) / stats->bytes_free;
}

/* All figures since creation, and no baseline. */
static void figures_now(struct quarry_heap *heap, struct quarry_heap_stats *stats)
{
	u64 units;
	unsigned long flags;

	memset(stats, 0, sizeof(*stats));
	if (quarry__heap_lock(heap, &flags)) {
		add_regions(heap, stats);
		quarry__heap_unlock(heap, flags);
		sum_fronts(heap, &stats->cached, &units, &stats->hits);
		stats->bytes_cached = min(stats->bytes_in_use, units * UNIT);
		stats->bytes_in_use -= stats->bytes_cached;
	}
	add_refusals(heap, stats);
	stats->allocs += stats->hits;
	stats->cached += stats->pending;
	stats->live -= min(stats->live, stats->cached);
	stats->frees = stats->allocs - min(stats->allocs, stats->live);
	stats->bytes_metadata = sizeof(*heap) +
		stats->regions * sizeof(struct heap_region) +
		(heap->front_sizes ?
		 num_possible_cpus() * front_memory(heap) : 0);
	stats->bytes_reserved += stats->bytes_metadata;
}

void quarry_heap_get_stats(struct quarry_heap *heap,
			   struct quarry_heap_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (not_a_heap(heap))
		return;
	if (!heap->nr_regions) {	/* destroyed: no figures but these */
		add_refusals(heap, stats);
		return;
	}
	figures_now(heap, stats);
	quarry__figures_since(figures, ARRAY_SIZE(figures), stats, &heap->baseline);
}
EXPORT_SYMBOL_GPL(quarry_heap_get_stats);

void quarry__heap_reset(struct quarry_object *object)
{
	struct quarry_heap *heap = to_heap(object);
	struct quarry_heap_stats now;
	unsigned long flags;

	mutex_lock(&heap->walking);
	figures_now(heap, &now);
	quarry__figures_reset(figures, ARRAY_SIZE(figures), &now, &heap->baseline);
	raw_spin_lock_irqsave(&heap->lock, flags);
	heap->peak_blocks = heap->blocks;
	heap->peak_used = heap->used;
	heap->largest_request = 0;
	raw_spin_unlock_irqrestore(&heap->lock, flags);
	mutex_unlock(&heap->walking);
}

void quarry__heap_row(struct quarry_object *object, struct quarry_row *row)
{
	struct quarry_heap_stats stats;

	quarry_heap_get_stats(to_heap(object), &stats);
	row->live = stats.live;
	row->peak = stats.peak;
	row->capacity = 0;
	row->size = 0;
	row->reserved = stats.bytes_reserved;
	row->failures = stats.exhausted + stats.too_large + stats.nmi_failed;
	row->refused = stats.refused;
}

void quarry__heap_config(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_heap *heap = to_heap(object);
	unsigned int flags = heap->flags;
	u32 i, nr = smp_load_acquire(&heap->nr_regions);	/* of region_add() */

	seq_printf(seq, "header: %lu bytes\n", QUARRY_HEAP_HEADER);
	seq_printf(seq, "align: %lu\n", QUARRY_HEAP_ALIGN);
	seq_printf(seq, "max_request: %llu\n", heap->max_request);
	seq_printf(seq, "front: %zu bytes\n", heap->front_bytes);
	seq_printf(seq, "front_sizes: %u\n", heap->front_sizes ?
		   heap->front_sizes - MIN_UNITS : 0);
	seq_printf(seq, "flags:%s%s%s",
		   flags & QUARRY_HEAP_BOUNDED ? " bounded" : "",
		   flags & QUARRY_HEAP_NO_FRONT ? " no_front" : "",
		   flags & QUARRY_HEAP_ZERO_ON_FREE ? " zero_on_free" : "");
	quarry__flags_config(seq, flags, flags & QUARRY_ON_NODE ? heap->node :
								  NUMA_NO_NODE);
	for (i = 0; i < nr; i++)
		seq_printf(seq, "region: %zu bytes, mapping: %s\n",
			   heap->region[i]->memory.size,
			   READ_ONCE(heap->gone) ? "gone" :
			   quarry__region_mapping(&heap->region[i]->memory));
}

/* Walks */

struct batch {
	struct heap_seen seen[BATCH];
	u32 nr;
	bool more;
};

/* The next blocks from the cursor on. */
static void see_batch(struct quarry_heap *heap, struct heap_core *core,
		      struct batch *batch)
{
	unsigned long flags;

	quarry__heap_lock(heap, &flags);
	for (batch->nr = 0; batch->nr < BATCH; batch->nr++) {
		struct heap_seen *seen = &batch->seen[batch->nr];

		batch->more = heap_core_step(core, seen);
		if (!batch->more)
			break;
		if (!seen->bad && !seen->lost)
			continue;
		if (seen->bad && core->bad_from == seen->at)
			heap_core_fault(core, HEAP_BAD_HEADER, seen->at, 0);
		/* It was looked for the next good one, or along a list: enough for one hold. */
		batch->nr++;
		break;
	}
	quarry__heap_unlock(heap, flags);
}

static void set_cursor(struct quarry_heap *heap, struct heap_core *core, u32 at)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&heap->lock, flags);
	core->cursor = at;
	raw_spin_unlock_irqrestore(&heap->lock, flags);
}

static int visit_region(struct quarry_heap *heap, u32 region,
			quarry_heap_visit_fn fn, void *arg)
{
	static const enum quarry_heap_state states[] = {
		[STATE_FREE]	= QUARRY_HEAP_FREE,
		[STATE_LIVE]	= QUARRY_HEAP_LIVE,
		[STATE_CACHED]	= QUARRY_HEAP_CACHED,
		[STATE_FENCED]	= QUARRY_HEAP_FENCED,
	};
	struct heap_core *core = &heap->region[region]->core;
	struct batch batch = { .more = true };
	int err = 0;
	u32 i;

	set_cursor(heap, core, 1);
	while (!err && batch.more) {
		see_batch(heap, core, &batch);
		for (i = 0; !err && i < batch.nr; i++) {
			const struct heap_seen *seen = &batch.seen[i];
			struct quarry_heap_block block = {
				.ptr = core->base + seen->at + 1,
				.size = seen->units * UNIT - UNIT,
				.offset = (seen->at + 1) * UNIT,
				.region = region,
				.state = states[seen->state],
			};

			err = fn(&block, arg);
		}
		cond_resched();
	}
	set_cursor(heap, core, 0);
	return err;
}

int quarry_heap_walk(struct quarry_heap *heap, quarry_heap_visit_fn fn,
		     void *arg)
{
	u32 i, nr;
	int err = 0;

	if (not_a_heap(heap) || !fn || READ_ONCE(heap->gone) ||
	    !quarry__may_sleep())
		return -EINVAL;
	might_sleep();
	nr = smp_load_acquire(&heap->nr_regions);	/* of region_add() */
	mutex_lock(&heap->walking);
	for (i = 0; !err && i < nr && !heap->gone; i++)
		err = visit_region(heap, i, fn, arg);
	mutex_unlock(&heap->walking);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_heap_walk);

/* A walk that comes from debugfs: of a leaked heap too, but not in lent memory. */
static void look_at(struct quarry_heap *heap, quarry_heap_visit_fn fn, void *arg)
{
	if (!READ_ONCE(heap->gone))
		quarry_heap_walk(heap, fn, arg);
}

/*
 * Free blocks by size, and the largest would-be hole: the stretch from one free
 * block to another, in one region, with the greatest excess of free bytes over
 * used ones. @pins are the used blocks in it. One pass: a stretch whose excess
 * has fallen below 0 is no good start (J. Kadane, in J. Bentley, CACM 27, 1984).
 */
struct shape {
	u64 free[HISTOGRAM];
	u32 region;
	s64 excess, best;
	u64 inside, pins, bytes, hole;
};

static int see_shape(const struct quarry_heap_block *block, void *arg)
{
	struct shape *shape = arg;
	size_t size = block->size + UNIT;

	if (block->region != shape->region || shape->excess < 0) {
		shape->region = block->region;
		shape->excess = 0;
		shape->inside = 0;
		shape->bytes = 0;
	}
	shape->bytes += size;
	if (block->state != QUARRY_HEAP_FREE) {
		shape->excess -= size;
		shape->inside++;
		return 0;
	}
	shape->free[min_t(u32, ilog2(size), HISTOGRAM - 1)]++;
	shape->excess += size;
	if (shape->excess > shape->best) {
		shape->best = shape->excess;
		shape->pins = shape->inside;
		shape->hole = shape->bytes;
	}
	return 0;
}

void quarry__heap_stats(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_heap_stats stats;
	struct shape shape = {};
	int i;

	quarry_heap_get_stats(to_heap(object), &stats);
	quarry__figures_show(seq, figures, ARRAY_SIZE(figures), &stats);
	look_at(to_heap(object), see_shape, &shape);
	seq_printf(seq, "would_be_hole: %llu\n", shape.hole);
	seq_printf(seq, "pins: %llu\n", shape.pins);
	for (i = 0; i < HISTOGRAM; i++)
		if (shape.free[i])
			seq_printf(seq, "free_from_%llu: %llu\n", 1ULL << i,
				   shape.free[i]);
}

/* Bytes in use by cell, and free runs. */
struct picture {
	u64 per, used[QUARRY_MAP_CELLS];
	u64 base, run, runs, longest;
	u32 region;
	const struct quarry_heap *heap;
};

static void add_used(struct picture *picture, u64 from, u64 to)
{
	while (from < to) {
		u64 cell = from / picture->per;
		u64 end = min(to, (cell + 1) * picture->per);

		if (cell < ARRAY_SIZE(picture->used))
			picture->used[cell] += end - from;
		from = end;
	}
}

static int see_picture(const struct quarry_heap_block *block, void *arg)
{
	struct picture *picture = arg;
	u64 size = block->size + UNIT, from;

	if (block->region != picture->region) {
		picture->base += picture->heap->region[picture->region]->core.units *
				 UNIT;
		picture->region = block->region;
		picture->run = 0;
	}
	from = picture->base + block->offset - UNIT;
	if (block->state != QUARRY_HEAP_FREE) {
		add_used(picture, from, from + size);
		picture->run = 0;
		return 0;
	}
	picture->runs += !picture->run;
	picture->run += size;
	picture->longest = max(picture->longest, picture->run);
	return 0;
}

void quarry__heap_map(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_heap *heap = to_heap(object);
	struct picture *picture;
	u64 total = 0, cell, at, per;
	u32 i;

	if (READ_ONCE(heap->gone))
		return;
	picture = kzalloc(sizeof(*picture), GFP_KERNEL);
	if (!picture)
		return;
	for (i = 0; i < heap->nr_regions; i++)
		total += heap->region[i]->core.units * UNIT;
	picture->heap = heap;
	per = max(DIV_ROUND_UP(total, QUARRY_MAP_CELLS), UNIT);
	picture->per = per;
	look_at(heap, see_picture, picture);
	seq_printf(seq, "bytes: %llu, %llu to a cell; . free, 0-9 tenths used, # used\n",
		   total, per);
	for (cell = at = 0; at < total; cell++, at += per)
		quarry__map_cell(seq, quarry__map_tenths(picture->used[cell],
							 min(per, total - at)),
				 cell, at + per >= total);
	seq_printf(seq, "free runs: %llu, longest: %llu bytes\n", picture->runs,
		   picture->longest);
	kfree(picture);
}

/* Verify */

/* Says whether anything has moved since the last look. */
struct moment {
	u64 changes, cached, units, hits;
	long pending;
};

static void look_now(struct quarry_heap *heap, struct moment *moment)
{
	unsigned long flags;

	memset(moment, 0, sizeof(*moment));
	raw_spin_lock_irqsave(&heap->lock, flags);
	moment->changes = heap_changes(heap);
	raw_spin_unlock_irqrestore(&heap->lock, flags);
	moment->pending = atomic_long_read(&heap->pending);
	sum_fronts(heap, &moment->cached, &moment->units, &moment->hits);
}

/* What was counted on a walk through all regions. */
struct sums {
	u64 cached, blocks, used;
	bool busy;
};

/* One region; *busy when it was changed while the lock was dropped. */
static const char *audit_region(struct quarry_heap *heap, struct heap_core *core,
				struct heap_audit *audit, bool *busy)
{
	const char *why = NULL;
	unsigned long flags;
	u64 changes = 0;
	bool more = true;
	u32 i;

	set_cursor(heap, core, 1);
	audit->at = 1;
	while (!why && more) {
		raw_spin_lock_irqsave(&heap->lock, flags);
		if (core->cursor != 1 && heap_changes(heap) != changes) {
			*busy = true;
			audit->at = 0;
		}
		for (i = 0; !why && more && i < BATCH; i++)
			why = heap_core_audit(core, audit, &more);
		changes = heap_changes(heap);
		if (!why && !more && !*busy)
			why = heap_core_audit_end(core, audit);
		if (why)
			core->cursor = 0;
		raw_spin_unlock_irqrestore(&heap->lock, flags);
		cond_resched();
	}
	set_cursor(heap, core, 0);
	return why;
}

/* All regions, once; @why gets what is wrong, which may be that others work. */
static bool audit_all(struct quarry_heap *heap, u32 nr, struct sums *sums, char *why,
		      size_t size)
{
	u32 i;

	memset(sums, 0, sizeof(*sums));
	for (i = 0; i < nr; i++) {
		struct heap_core *core = &heap->region[i]->core;
		struct heap_audit audit = {};
		const char *wrong = audit_region(heap, core, &audit, &sums->busy);

		if (wrong) {
			scnprintf(why, size, "region %u, offset %llu: %s", i,
				  (audit.at + 1ULL) * UNIT, wrong);
			return false;
		}
		sums->cached += audit.blocks[STATE_CACHED];
		sums->blocks += core->blocks;
		sums->used += core->used;
	}
	return true;
}

/* What the lists say and what the counters say. */
static bool sums_agree(struct quarry_heap *heap, const struct sums *sums,
		       const struct moment *now, char *why, size_t size)
{
	if (sums->cached != now->cached + now->pending) {
		scnprintf(why, size, "%llu blocks are cached, %llu in fronts and %ld deferred",
			  sums->cached, now->cached, now->pending);
		return false;
	}
	if (sums->blocks != heap->blocks || sums->used != heap->used) {
		scnprintf(why, size, "%llu blocks of %llu units used, %llu of %llu by the counters",
			  sums->blocks, sums->used, heap->blocks, heap->used);
		return false;
	}
	return true;
}

/*
 * A block between its owner and a slot is in neither, and whoever holds it may
 * have been preempted: sums that do not agree are looked at again, and are wrong
 * when nothing at all moves for a while.
 */
int quarry__heap_verify(struct quarry_object *object, char *why, size_t size)
{
	struct quarry_heap *heap = to_heap(object);
	struct moment before, after;
	struct sums sums;
	int err = 1, tries;
	u32 nr;

	if (READ_ONCE(heap->gone))
		return 0;
	nr = smp_load_acquire(&heap->nr_regions);	/* of region_add() */
	mutex_lock(&heap->walking);
	if (heap->gone)
		err = 0;
	for (tries = 0; tries < VERIFY_TRIES && !heap->gone; tries++) {
		look_now(heap, &before);
		if (!audit_all(heap, nr, &sums, why, size)) {
			err = -EUCLEAN;
			break;
		}
		look_now(heap, &after);
		err = sums.busy || memcmp(&before, &after, sizeof(after)) ? 1 :
		      sums_agree(heap, &sums, &after, why, size) ? 0 : -EUCLEAN;
		if (err >= 0)
			break;
		msleep(20);
	}
	mutex_unlock(&heap->walking);
	return err;
}

int quarry_heap_verify(struct quarry_heap *heap)
{
	char why[128] = "";
	int err;

	if (IS_ERR_OR_NULL(heap) || READ_ONCE(heap->closed) ||
	    !quarry__may_sleep())
		return -EINVAL;
	err = quarry__heap_verify(&heap->object, why, sizeof(why));
	if (err == -EUCLEAN)
		quarry__notice("heap \"%s\": verify: %s", heap->object.name, why);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_heap_verify);
