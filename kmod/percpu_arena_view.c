// SPDX-License-Identifier: GPL-2.0-only
/*
 * A per-CPU arena's figures, its picture, its check.
 *
 * What is used is not counted; it follows from the accounting equation, of which
 * the other terms are read off the words. They change while they are summed: on a
 * busy arena a figure is off by what went on meanwhile, and clamped.
 */
#include <linux/bitmap.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "percpu_arena.h"

#define SNAPSHOT_TRIES	8
#define VERIFY_TRIES	3

/* Names of all figures, once: the struct's own; some count up. */
#define FIGURE(field)	QUARRY_FIGURE(quarry_percpu_arena_stats, field)
#define COUNTER(field)	QUARRY_COUNTER(quarry_percpu_arena_stats, field)
static const struct quarry_figure figures[] = {
	FIGURE(used), FIGURE(peak), FIGURE(capacity), FIGURE(left),
	FIGURE(retired), FIGURE(cached), FIGURE(shared), FIGURE(tails),
	FIGURE(wasted), FIGURE(stranded_max),
	COUNTER(allocs), COUNTER(hits), COUNTER(refills), COUNTER(bypass),
	COUNTER(large), COUNTER(recycled), COUNTER(exhausted),
	COUNTER(refused), COUNTER(refused_bad), COUNTER(refused_dead),
	COUNTER(resets), FIGURE(pending),
	FIGURE(bytes_reserved), FIGURE(bytes_metadata), FIGURE(bytes_wasted),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) ==
	      sizeof(struct quarry_percpu_arena_stats));

/* A counter of another CPU. */
static u64 look(const u64 *counter)
{
	return data_race(*counter);	/* read as it is, when it is */
}

/* Rests on the list, in bytes; as far as it can be followed. */
static u64 tail_bytes(const struct quarry_percpu_arena *arena, u32 epoch)
{
	u64 word = atomic64_read(&arena->tails), sum = 0;
	u32 chunk = word_low(word), steps = 0;

	if (word_epoch(word) != epoch)
		return 0;
	while (chunk < arena->nr && steps++ < arena->nr) {
		word = atomic64_read(&arena->tail[chunk]);
		if (word_epoch(word) != epoch)
			break;
		sum += arena->chunk - min(arena->chunk, word_high(word));
		chunk = word_low(word);
	}
	return sum;
}

static u64 shared_rest(const struct quarry_percpu_arena *arena, u32 epoch)
{
	u64 word = atomic64_read(&arena->shared);

	return word_epoch(word) == epoch ? arena->chunk - word_low(word) : 0;
}

static void add_cpus(const struct quarry_percpu_arena *arena,
		     struct quarry_percpu_arena_stats *sum)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		const struct quarry_percpu_cpu *c = per_cpu_ptr(arena->cpus, cpu);

		sum->cached += rest_of(arena, c);
		sum->allocs += look(&c->allocs);
		sum->refills += look(&c->refills);
		sum->bypass += look(&c->bypass);
		sum->large += look(&c->large);
		sum->recycled += look(&c->recycled);
		sum->exhausted += look(&c->exhausted);
	}
	sum->hits = sum->allocs - min(sum->allocs, sum->refills + sum->bypass +
						   sum->large);
}

/* The bytes of chunks, by where they are; one look. */
static void sum_bytes(const struct quarry_percpu_arena *arena,
		      struct quarry_percpu_arena_stats *sum)
{
	u64 ring = atomic64_read(&arena->ring);
	u64 waste = atomic64_read(&arena->waste);
	u32 epoch = ring_epoch(ring);
	u32 nr = min(current_chunks(arena, ring, READ_ONCE(arena->start)),
		     ring_used(ring));
	u64 taken = (u64)nr << arena->shift, rests;

	memset(sum, 0, sizeof(*sum));
	add_cpus(arena, sum);
	sum->shared = shared_rest(arena, epoch);
	sum->tails = tail_bytes(arena, epoch);
	sum->wasted = word_epoch(waste) == epoch ? waste & BYTES_MASK : 0;
	sum->retired = (u64)(ring_used(ring) - nr) << arena->shift;
	sum->left = (u64)(arena->nr - min(arena->nr, ring_used(ring))) << arena->shift;
	rests = sum->cached + sum->shared + sum->tails + sum->wasted;
	sum->used = taken - min(taken, rests);
}

/* Two equal looks are one moment. True when there were two. */
static bool snapshot(const struct quarry_percpu_arena *arena,
		     struct quarry_percpu_arena_stats *sum)
{
	struct quarry_percpu_arena_stats again;
	int i;

	for (i = 0; i < SNAPSHOT_TRIES; i++) {
		sum_bytes(arena, sum);
		smp_rmb();	/* no partner: a second look, and not the first's */
		sum_bytes(arena, &again);
		if (!memcmp(sum, &again, sizeof(again)))
			return true;
	}
	return false;
}

static void raise_peak(struct quarry_percpu_arena *arena, s64 used)
{
	s64 peak = atomic64_read(&arena->peak);

	while (used > peak &&
	       !atomic64_try_cmpxchg_relaxed(&arena->peak, &peak, used))
		;
}

void quarry__percpu_arena_peak(struct quarry_percpu_arena *arena)
{
	struct quarry_percpu_arena_stats now;

	snapshot(arena, &now);
	raise_peak(arena, now.used);
}

/* All figures since creation, and no baseline. */
static void figures_now(struct quarry_percpu_arena *arena,
			struct quarry_percpu_arena_stats *stats)
{
	int i;

	memset(stats, 0, sizeof(*stats));
	if (!is_closed(arena)) {
		snapshot(arena, stats);
		raise_peak(arena, stats->used);
		stats->peak = atomic64_read(&arena->peak);
		stats->capacity = (u64)arena->nr << arena->shift;
		stats->stranded_max = min(stats->capacity,
					  (u64)(num_online_cpus() - 1) << arena->shift);
		stats->resets = atomic64_read(&arena->resets);
		for (i = 0; i < QUARRY_PERCPU_ARENA_MAX_PENDING; i++)
			stats->pending += atomic_read(&arena->retirements[i].taken);
		stats->bytes_metadata = arena->metadata.size;
		stats->bytes_reserved = arena->region.size + arena->metadata.size;
		stats->bytes_wasted = arena->region.size - stats->capacity;
	}
	stats->refused_bad = atomic_long_read(&arena->refused_bad);
	stats->refused_dead = atomic_long_read(&arena->refused_dead);
	stats->refused = stats->refused_bad + stats->refused_dead;
}

void quarry_percpu_arena_get_stats(struct quarry_percpu_arena *arena,
				   struct quarry_percpu_arena_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (not_an_arena(arena))
		return;
	figures_now(arena, stats);
	quarry__figures_since(figures, ARRAY_SIZE(figures), stats, &arena->baseline);
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_get_stats);

void quarry__percpu_arena_reset_figures(struct quarry_object *object)
{
	struct quarry_percpu_arena *arena = to_arena(object);
	struct quarry_percpu_arena_stats now;

	mutex_lock(&arena->lock);
	figures_now(arena, &now);
	quarry__figures_reset(figures, ARRAY_SIZE(figures), &now, &arena->baseline);
	atomic64_set(&arena->peak, now.used);
	mutex_unlock(&arena->lock);
}

void quarry__percpu_arena_row(struct quarry_object *object,
			      struct quarry_row *row)
{
	struct quarry_percpu_arena_stats stats;

	quarry_percpu_arena_get_stats(to_arena(object), &stats);
	row->live = stats.used;
	row->peak = stats.peak;
	row->capacity = stats.capacity;
	row->size = 1;
	row->reserved = stats.bytes_reserved;
	row->failures = stats.exhausted;
	row->refused = stats.refused;
}

void quarry__percpu_arena_config(struct quarry_object *object,
				 struct seq_file *seq)
{
	struct quarry_percpu_arena *arena = to_arena(object);

	seq_printf(seq, "chunk: %u\n", arena->chunk);
	seq_printf(seq, "chunks: %u\n", arena->nr);
	seq_puts(seq, "flags:");
	quarry__flags_config(seq, arena->flags, arena->region.node);
	quarry__region_config(seq, &arena->region, object);
	seq_printf(seq, "metadata: %zu bytes\n", arena->metadata.size);
}

void quarry__percpu_arena_stats(struct quarry_object *object,
				struct seq_file *seq)
{
	struct quarry_percpu_arena_stats stats;

	quarry_percpu_arena_get_stats(to_arena(object), &stats);
	quarry__figures_show(seq, figures, ARRAY_SIZE(figures), &stats);
}

/* Is a chunk one of @nr from @first on, round the end? */
static bool within(const struct quarry_percpu_arena *arena, u32 chunk, u32 first,
		   u32 nr)
{
	return (chunk >= first ? chunk - first : chunk + arena->nr - first) < nr;
}

/* '#' taken, '%' retired, '.' free, '+' some of each in one cell. */
void quarry__percpu_arena_map(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_percpu_arena *arena = to_arena(object);
	u32 per = DIV_ROUND_UP(arena->nr, QUARRY_MAP_CELLS);
	u32 i, start = READ_ONCE(arena->start);
	u64 ring = atomic64_read(&arena->ring);
	u32 nr = min(current_chunks(arena, ring, start), ring_used(ring));
	u32 old = ring_used(ring) - nr;
	u32 oldest = start >= old ? start - old : start + arena->nr - old;

	seq_printf(seq, "chunks: %u, %u to a cell; . free, # taken, %% retired, + mixed\n",
		   arena->nr, per);
	for (i = 0; i < arena->nr; i += per) {
		char cell = 0, c;
		u32 j;

		for (j = i; j < min(i + per, arena->nr); j++) {
			c = within(arena, j, start, nr) ? '#' :
			    within(arena, j, oldest, old) ? '%' : '.';
			cell = !cell || cell == c ? c : '+';
		}
		quarry__map_cell(seq, cell, i / per, i + per >= arena->nr);
		cond_resched();
	}
	seq_printf(seq, "free: %u chunks, from chunk %u on\n",
		   arena->nr - ring_used(ring), ring_pos(ring));
}

/* Verify */

struct walk {
	struct quarry_percpu_arena *arena;
	unsigned long *seen;
	u64 ring;
	u32 start, nr;
	char *why;
	size_t size;
};

static __printf(2, 3) bool wrong(struct walk *walk, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(walk->why, walk->size, fmt, args);
	va_end(args);
	return false;
}

/* A chunk that can still be taken off: taken, and nobody else's. */
static bool see(struct walk *walk, u32 chunk, u32 from, const char *whose)
{
	struct quarry_percpu_arena *arena = walk->arena;

	if (chunk >= arena->nr || from > arena->chunk)
		return wrong(walk, "the %s names chunk %u at %u", whose, chunk, from);
	if (!within(arena, chunk, walk->start, walk->nr))
		return wrong(walk, "the %s has chunk %u, which is not taken", whose,
			     chunk);
	if (__test_and_set_bit(chunk, walk->seen))
		return wrong(walk, "chunk %u has two owners, one is the %s", chunk,
			     whose);
	return true;
}

static bool see_cpu(struct walk *walk, unsigned int cpu)
{
	struct quarry_percpu_arena *arena = walk->arena;
	const struct quarry_percpu_cpu *c = per_cpu_ptr(arena->cpus, cpu);
	unsigned long end = READ_ONCE(c->end), pos = READ_ONCE(c->pos);
	u32 chunk = (end - arena->base) >> arena->shift;
	char whose[16];

	if (end <= END_FETCHING)
		return true;
	scnprintf(whose, sizeof(whose), "CPU %u", cpu);
	if (end < arena->base || pos > end || end - pos > arena->chunk ||
	    end != chunk_address(arena, chunk) + arena->chunk - 1)
		return wrong(walk, "the %s is at %ld bytes before its chunk's end",
			     whose, end - pos);
	return see(walk, chunk, 0, whose);
}

static bool see_tails(struct walk *walk)
{
	struct quarry_percpu_arena *arena = walk->arena;
	u32 epoch = ring_epoch(walk->ring), chunk;
	u64 word = atomic64_read(&arena->tails);

	if (word_epoch(word) != epoch)
		return true;
	/* Ends: see() refuses a chunk for the second time. */
	for (chunk = word_low(word); chunk != NO_CHUNK; chunk = word_low(word)) {
		if (chunk >= arena->nr)
			return wrong(walk, "the list of rests names chunk %u", chunk);
		word = atomic64_read(&arena->tail[chunk]);
		if (word_epoch(word) != epoch)
			return wrong(walk, "rest of chunk %u is of an old epoch", chunk);
		if (!see(walk, chunk, word_high(word), "list of rests"))
			return false;
		cond_resched();
	}
	return true;
}

static bool see_all(struct walk *walk)
{
	struct quarry_percpu_arena *arena = walk->arena;
	u64 shared = atomic64_read(&arena->shared), rests;
	struct quarry_percpu_arena_stats stats;
	unsigned int cpu;

	walk->ring = atomic64_read(&arena->ring);
	walk->start = READ_ONCE(arena->start);
	walk->nr = current_chunks(arena, walk->ring, walk->start);
	bitmap_zero(walk->seen, arena->nr);
	if (walk->nr > ring_used(walk->ring) || ring_used(walk->ring) > arena->nr ||
	    ring_pos(walk->ring) >= arena->nr)
		return wrong(walk, "%u chunks are in use, %u of them now, of %u",
			     ring_used(walk->ring), walk->nr, arena->nr);
	for_each_possible_cpu(cpu)
		if (!see_cpu(walk, cpu))
			return false;
	if (word_epoch(shared) == ring_epoch(walk->ring) &&
	    word_low(shared) != arena->chunk &&
	    !see(walk, word_high(shared), word_low(shared), "shared chunk"))
		return false;
	if (!see_tails(walk))
		return false;
	sum_bytes(arena, &stats);
	rests = stats.cached + stats.shared + stats.tails + stats.wasted;
	if (rests > (u64)walk->nr << arena->shift)
		return wrong(walk, "%llu bytes are left of %u chunks", rests, walk->nr);
	return true;
}

/*
 * Stores of other CPUs may be seen in another order than they were made, so a walk
 * that finds a fault counts if the next one finds one too, and nothing has moved.
 */
int quarry__percpu_arena_verify(struct quarry_object *object, char *why,
				size_t size)
{
	struct quarry_percpu_arena *arena = to_arena(object);
	struct walk walk = { .arena = arena, .why = why, .size = size };
	struct quarry_percpu_arena_stats before, after = { };
	bool good, still, doubt = false;
	int i, err = 1;

	if (READ_ONCE(object->state) == QUARRY_DEAD)
		return 0;
	walk.seen = kvcalloc(BITS_TO_LONGS(arena->nr), sizeof(long), GFP_KERNEL);
	if (!walk.seen)
		return -ENOMEM;
	mutex_lock(&arena->lock);
	for (i = 0; i < VERIFY_TRIES && err == 1; i++) {
		sum_bytes(arena, &before);
		doubt = doubt && !memcmp(&before, &after, sizeof(after));
		smp_rmb();	/* no partner: before the walk, not within */
		good = see_all(&walk);
		smp_rmb();	/* likewise: after it */
		sum_bytes(arena, &after);
		still = !memcmp(&before, &after, sizeof(after));
		if (still && good)
			err = 0;
		else if (still && doubt)
			err = -EUCLEAN;
		doubt = still && !good;
		if (err > 0)
			synchronize_rcu();
	}
	mutex_unlock(&arena->lock);
	kvfree(walk.seen);
	return err;
}

int quarry_percpu_arena_verify(struct quarry_percpu_arena *arena)
{
	char why[128] = "";
	int err;

	if (IS_ERR_OR_NULL(arena) || is_closed(arena) ||
	    !quarry__may_sleep())
		return -EINVAL;
	err = quarry__percpu_arena_verify(&arena->object, why, sizeof(why));
	if (err == -EUCLEAN)
		quarry__notice("percpu_arena \"%s\": verify: %s",
			       arena->object.name, why);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_verify);

/* Looks */

bool quarry_percpu_arena_owns(struct quarry_percpu_arena *arena, const void *ptr)
{
	if (not_an_arena(arena) || is_closed(arena))
		return false;
	return (unsigned long)ptr - arena->base <
	       (unsigned long)arena->nr << arena->shift;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_owns);

size_t quarry_percpu_arena_used(struct quarry_percpu_arena *arena)
{
	struct quarry_percpu_arena_stats now;

	if (not_an_arena(arena) || is_closed(arena))
		return 0;
	snapshot(arena, &now);
	return now.used;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_used);

size_t quarry_percpu_arena_capacity(struct quarry_percpu_arena *arena)
{
	return not_an_arena(arena) ? 0 : (size_t)arena->nr << arena->shift;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_capacity);

size_t quarry_percpu_arena_chunk(struct quarry_percpu_arena *arena)
{
	return not_an_arena(arena) ? 0 : arena->chunk;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_chunk);
