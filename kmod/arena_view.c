// SPDX-License-Identifier: GPL-2.0-only
/*
 * An arena's figures and its picture.
 *
 * An alloc that hits counts nothing: used follows from the room that is left, and
 * the peak from used, which falls only in slow operations. The views look from
 * beside the owner, under the arena's lock, which keeps the chunks mapped and in
 * place; a look that the owner has crossed is taken again, a few times. They do
 * not read what lies in the chunks: quarry_arena_verify(), which the owner calls,
 * does.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include "arena.h"

#define LOOKS		8

/* Names of all figures, once: the struct's own; some count up. */
#define FIGURE(field)	QUARRY_FIGURE(quarry_arena_stats, field)
#define COUNTER(field)	QUARRY_COUNTER(quarry_arena_stats, field)
static const struct quarry_figure figures[] = {
	FIGURE(used), FIGURE(peak), FIGURE(capacity), FIGURE(limit),
	FIGURE(largest_free), FIGURE(bytes_reserved), FIGURE(bytes_wasted),
	FIGURE(bytes_metadata), FIGURE(chunks), FIGURE(marks),
	FIGURE(deferred),
	COUNTER(grown), COUNTER(rewinds), COUNTER(resets), COUNTER(called),
	COUNTER(dropped), COUNTER(freed), COUNTER(kept), COUNTER(failures),
	COUNTER(refused), COUNTER(refused_mark_foreign),
	COUNTER(refused_mark_stale), COUNTER(refused_mark_used),
	COUNTER(refused_mark_newer), COUNTER(refused_pointer),
	COUNTER(refused_request), COUNTER(refused_owners), COUNTER(refused_dead),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) ==
	      sizeof(struct quarry_arena_stats));

#define FIRST_REFUSAL	(offsetof(struct quarry_arena_stats, refused_mark_foreign) / 8)

static_assert(ARRAY_SIZE(figures) - FIRST_REFUSAL == NR_ARENA_REFUSALS);

/* Where the owner is: two equal looks are one moment. */
struct place {
	struct quarry_chunk *chunk;
	size_t room;
	u64 back;		/* how often it has gone back */
};

static u64 times_back(const struct quarry_arena *arena)
{
	return READ_ONCE(arena->figures.rewinds) + READ_ONCE(arena->figures.resets) +
	       READ_ONCE(arena->figures.freed);
}

static bool same(const struct place *a, const struct place *b)
{
	return a->chunk == b->chunk && a->room == b->room && a->back == b->back;
}

static struct place look(const struct quarry_arena *arena)
{
	struct place place, again;
	int i;

	for (i = 0; i < LOOKS; i++) {
		place.back = times_back(arena);
		place.chunk = READ_ONCE(arena->current_chunk);
		place.room = arena_room(arena);
		smp_rmb();	/* no partner: a second look, and not the first's */
		again.chunk = READ_ONCE(arena->current_chunk);
		again.room = arena_room(arena);
		again.back = times_back(arena);
		if (same(&place, &again))
			break;
	}
	return place;
}

static size_t left_at(const struct place *place, const struct quarry_chunk *chunk)
{
	size_t left = chunk == place->chunk ? place->room :
					      READ_ONCE(chunk->left);

	return min(left, chunk->size);
}

static void add_chunks(const struct quarry_arena *arena,
		       struct quarry_arena_stats *stats)
{
	struct place place = look(arena);
	struct quarry_chunk *chunk;
	bool behind = false;

	list_for_each_entry(chunk, &arena->chunks, node) {
		size_t left = left_at(&place, chunk);

		behind |= chunk == place.chunk;
		if (behind)
			stats->largest_free = max_t(u64, stats->largest_free, left);
		else
			stats->bytes_wasted += left;
		stats->used += chunk->size - left;
		stats->bytes_metadata += sizeof(*chunk);
		stats->bytes_reserved += chunk->region.size;
		stats->chunks++;
	}
}

/* All figures since creation, and no baseline. */
static void figures_now(struct quarry_arena *arena,
			struct quarry_arena_stats *stats)
{
	const u64 *from = (const u64 *)&arena->figures;
	u64 *to = (u64 *)stats;
	size_t i;

	lockdep_assert_held(&arena->lock);
	for (i = 0; i < ARRAY_SIZE(figures); i++)
		to[i] = data_race(from[i]);	/* as it is, when it is */
	stats->capacity = arena->capacity;
	stats->limit = arena->limit;
	stats->bytes_metadata = sizeof(*arena);
	add_chunks(arena, stats);
	stats->bytes_reserved += stats->bytes_metadata;
	stats->peak = max(stats->peak, stats->used);
	for (i = 0; i < NR_ARENA_REFUSALS; i++) {
		to[FIRST_REFUSAL + i] = atomic_long_read(&arena->refused[i]);
		stats->refused += to[FIRST_REFUSAL + i];
	}
}

void quarry_arena_get_stats(struct quarry_arena *arena,
			    struct quarry_arena_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (IS_ERR_OR_NULL(arena))
		return;
	mutex_lock(&arena->lock);
	figures_now(arena, stats);
	quarry__figures_since(figures, ARRAY_SIZE(figures), stats, &arena->baseline);
	mutex_unlock(&arena->lock);
}
EXPORT_SYMBOL_GPL(quarry_arena_get_stats);

/* The peak is the owner's word; he may be raising it, to no less than used. */
void quarry__arena_reset_figures(struct quarry_object *object)
{
	struct quarry_arena *arena = to_arena(object);
	struct quarry_arena_stats now = { };

	mutex_lock(&arena->lock);
	figures_now(arena, &now);
	quarry__figures_reset(figures, ARRAY_SIZE(figures), &now, &arena->baseline);
	WRITE_ONCE(arena->figures.peak, now.used);
	mutex_unlock(&arena->lock);
}

void quarry__arena_row(struct quarry_object *object, struct quarry_row *row)
{
	struct quarry_arena_stats stats;

	quarry_arena_get_stats(to_arena(object), &stats);
	row->live = stats.used;
	row->peak = stats.peak;
	row->capacity = stats.limit;
	row->size = 1;
	row->reserved = stats.bytes_reserved;
	row->failures = stats.failures;
	row->refused = stats.refused;
}

void quarry__arena_stats(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_arena_stats stats;

	quarry_arena_get_stats(to_arena(object), &stats);
	quarry__figures_show(seq, figures, ARRAY_SIZE(figures), &stats);
}

static const char *mapping_of(const struct quarry_arena *arena,
			      const struct quarry_chunk *chunk)
{
	if (READ_ONCE(arena->object.state) == QUARRY_DEAD &&
	    chunk->region.borrowed)
		return "gone";
	return quarry__region_mapping(&chunk->region);
}

void quarry__arena_config(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_arena *arena = to_arena(object);
	struct quarry_chunk *chunk;
	unsigned int i = 0;

	seq_printf(seq, "first_chunk: %zu\n", arena->first_chunk);
	seq_printf(seq, "limit: %zu\n", arena->limit);
	seq_printf(seq, "growth: %u\n", arena->growth);
	seq_printf(seq, "flags:%s", arena_strict(arena) ? " strict" : "");
	quarry__flags_config(seq, arena->flags, arena->flags & QUARRY_ON_NODE ?
			     arena->node : NUMA_NO_NODE);
	mutex_lock(&arena->lock);
	list_for_each_entry(chunk, &arena->chunks, node)
		seq_printf(seq, "chunk: %u, %zu bytes, %s\n", i++, chunk->size,
			   mapping_of(arena, chunk));
	mutex_unlock(&arena->lock);
}

/* One row a chunk, from its first byte to its last. */
static void map_row(struct seq_file *seq, size_t size, size_t used)
{
	size_t cell = DIV_ROUND_UP(size, QUARRY_MAP_COLUMNS), at;

	for (at = 0; at < size; at += cell) {
		size_t bytes = min(cell, size - at);

		seq_putc(seq, quarry__map_tenths(used - min(used, at), bytes));
	}
	seq_putc(seq, '\n');
}

void quarry__arena_map(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_arena *arena = to_arena(object);
	struct quarry_chunk *chunk;
	unsigned int rows = 0;
	struct place place;

	seq_puts(seq, "a row is a chunk; . free, 0-9 tenths used, # used\n");
	mutex_lock(&arena->lock);
	place = look(arena);
	list_for_each_entry(chunk, &arena->chunks, node) {
		if (rows++ == QUARRY_MAP_ROWS) {
			seq_puts(seq, "...\n");
			break;
		}
		map_row(seq, chunk->size, chunk->size - left_at(&place, chunk));
	}
	mutex_unlock(&arena->lock);
}

/* Verify */

#define wrong(why, size, fmt, ...)					\
({									\
	scnprintf(why, size, fmt, ##__VA_ARGS__);			\
	-EUCLEAN;							\
})

static int verify_chunks(const struct quarry_arena *arena,
			 const struct place *place, char *why, size_t size)
{
	size_t capacity = 0, used = 0;
	struct quarry_chunk *chunk;
	bool behind = false;
	unsigned int i = 0;

	list_for_each_entry(chunk, &arena->chunks, node) {
		size_t left = chunk == place->chunk ? place->room :
						      READ_ONCE(chunk->left);

		if (left > chunk->size)
			return wrong(why, size, "chunk %u has %zu bytes left of %zu",
				     i, left, chunk->size);
		if (behind && left < chunk->size)
			return wrong(why, size, "chunk %u is behind the current one and in use",
				     i);
		behind |= chunk == place->chunk;
		capacity += chunk->size;
		if (!behind)
			used += chunk->size - left;
		i++;
	}
	if (!behind)
		return wrong(why, size, "the current chunk is not in the list");
	if (capacity != arena->capacity || capacity > arena->limit)
		return wrong(why, size, "chunks have %zu bytes, not %zu, limit %zu",
			     capacity, arena->capacity, arena->limit);
	if (used != READ_ONCE(arena->before))
		return wrong(why, size, "%zu bytes before the current chunk, not %zu",
			     used, arena->before);
	return 0;
}

/*
 * From beside the owner: what he changes meanwhile is not called wrong. His stores may
 * be seen in another order than he made them, so a walk that finds a fault counts if
 * the next one finds one too, and nothing has moved.
 */
int quarry__arena_verify(struct quarry_object *object, char *why, size_t size)
{
	struct quarry_arena *arena = to_arena(object);
	struct place before, after = { };
	bool still, doubt = false;
	int err = 1, found, i;

	mutex_lock(&arena->lock);
	for (i = 0; i < LOOKS && err == 1; i++) {
		before = look(arena);
		doubt = doubt && same(&before, &after);
		found = before.chunk ? verify_chunks(arena, &before, why, size) : 0;
		smp_rmb();	/* no partner: the second look comes after all */
		after = look(arena);
		still = same(&before, &after) && !atomic_long_read(&arena->busy);
		if (still && (!found || doubt))
			err = found;
		doubt = still && found;
		if (doubt && err == 1)
			synchronize_rcu();
	}
	mutex_unlock(&arena->lock);
	return err;
}

static int verify_records(struct quarry_arena *arena, char *why, size_t size)
{
	const struct arena_mark *mark = arena->marks;
	const struct arena_call *call = arena->calls;
	u64 serial = arena->serial + 1, nr = 0;

	for (; mark; mark = mark->below, nr++) {
		if (!quarry__arena_mark_good(arena, mark) ||
		    mark->serial >= serial)
			return wrong(why, size, "record of mark %llu from the top was overwritten",
				     nr);
		serial = mark->serial;
	}
	if (nr != arena->figures.marks)
		return wrong(why, size, "%llu marks, not %llu", nr,
			     arena->figures.marks);
	for (nr = 0; call; call = call->below, nr++)
		if (!quarry__arena_call_good(arena, call))
			return wrong(why, size,
				     "deferred call %llu from the top: record overwritten",
				     nr);
	if (nr != arena->figures.deferred)
		return wrong(why, size, "%llu deferred calls, not %llu", nr,
			     arena->figures.deferred);
	return 0;
}

int quarry_arena_verify(struct quarry_arena *arena)
{
	char why[128] = "";
	struct place place;
	int err;

	if (IS_ERR_OR_NULL(arena) || !quarry__arena_enter(arena, _RET_IP_))
		return -EINVAL;
	mutex_lock(&arena->lock);
	place = look(arena);
	err = verify_chunks(arena, &place, why, sizeof(why));
	if (!err)
		err = verify_records(arena, why, sizeof(why));
	mutex_unlock(&arena->lock);
	quarry__arena_leave(arena);
	if (err)
		quarry__report("arena \"%s\": %s", arena->object.name, why);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_arena_verify);
