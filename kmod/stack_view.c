// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stack's figures, its picture, and its full check.
 *
 * All are read while the owner goes on: figures are single words, each right at
 * some moment; frames are walked with every step checked before it is taken, and
 * what is found counts only when nothing has moved meanwhile.
 */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include "stack.h"

#define VERIFY_TRIES	3

/* Names of all figures, once: the struct's own; some count up. */
#define AT(field)	(offsetof(struct quarry_stack_stats, field) / 8)
#define FIGURE(field)	QUARRY_FIGURE(quarry_stack_stats, field)
#define COUNTER(field)	QUARRY_COUNTER(quarry_stack_stats, field)
static const struct quarry_figure figures[] = {
	FIGURE(live), FIGURE(live_high),
	FIGURE(capacity), FIGURE(used), FIGURE(used_high), FIGURE(free),
	FIGURE(peak), FIGURE(peak_low), FIGURE(peak_high),
	COUNTER(pushes), COUNTER(pops), COUNTER(released),
	COUNTER(exhausted), FIGURE(largest_failed),
	COUNTER(refused), COUNTER(refused_order), COUNTER(refused_double),
	COUNTER(refused_foreign), COUNTER(refused_empty), COUNTER(refused_mark),
	COUNTER(refused_size), COUNTER(refused_stale), COUNTER(refused_overrun),
	COUNTER(refused_argument), COUNTER(refused_owners), COUNTER(refused_dead),
	FIGURE(bytes_reserved),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) ==
	      sizeof(struct quarry_stack_stats));

/* In the order of enum stack_refusal. */
static_assert(AT(refused_dead) - AT(refused_order) == REFUSED_DEAD);
static_assert(AT(refused_overrun) - AT(refused_order) == REFUSED_OVERRUN);

static void add_refusals(const struct quarry_stack *stack,
			 struct quarry_stack_stats *stats)
{
	u64 *value = (u64 *)stats;
	int i;

	for (i = 0; i < NR_STACK_REFUSALS; i++) {
		u64 nr = atomic_long_read(&stack->refused[i]);

		value[AT(refused_order) + i] = nr;
		stats->refused += nr;
	}
}

static u64 end_peak(const struct quarry_stack *stack, bool high, u64 used)
{
	if (READ_ONCE(stack->new_peaks))
		return used;
	return max(READ_ONCE(stack->peak[high]), used);
}

/* All figures since creation, and no baseline. */
static void figures_now(const struct quarry_stack *stack,
			struct quarry_stack_stats *stats)
{
	const struct quarry_stack_end *low = &stack->hot.end[0];
	const struct quarry_stack_end *high = &stack->hot.end[1];
	u64 used_low = end_used(stack, false);

	stats->live_high = end_live(stack, true);
	stats->live = end_live(stack, false) + stats->live_high;
	stats->capacity = stack->capacity;
	stats->used_high = end_used(stack, true);
	stats->used = min_t(u64, used_low + stats->used_high, stack->capacity);
	stats->free = stack->capacity - stats->used;
	stats->peak_low = end_peak(stack, false, used_low);
	stats->peak_high = end_peak(stack, true, stats->used_high);
	stats->peak = stats->peak_low + stats->peak_high;
	stats->pushes = READ_ONCE(low->pushes) + READ_ONCE(high->pushes);
	stats->pops = READ_ONCE(low->pops) + READ_ONCE(high->pops);
	stats->released = READ_ONCE(stack->released[0]) +
			  READ_ONCE(stack->released[1]);
	stats->exhausted = READ_ONCE(stack->exhausted);
	stats->largest_failed = READ_ONCE(stack->largest_failed);
	stats->bytes_reserved = stack->region.size;
	add_refusals(stack, stats);
}

/* A destroyed stack's words are gone but for its refusals. */
void quarry_stack_get_stats(struct quarry_stack *stack,
			    struct quarry_stack_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (IS_ERR_OR_NULL(stack))
		return;
	if (!stack->capacity) {
		add_refusals(stack, stats);
		return;
	}
	figures_now(stack, stats);
	quarry__figures_since(figures, ARRAY_SIZE(figures), stats, &stack->baseline);
}
EXPORT_SYMBOL_GPL(quarry_stack_get_stats);

/* The owner's next push at either end goes the slow way and starts new peaks. */
void quarry__stack_reset(struct quarry_object *object)
{
	struct quarry_stack *stack = to_stack(object);
	struct quarry_stack_stats now = {};

	mutex_lock(&stack->lock);
	figures_now(stack, &now);
	quarry__figures_reset(figures, ARRAY_SIZE(figures), &now, &stack->baseline);
	WRITE_ONCE(stack->new_peaks, true);
	WRITE_ONCE(stack->hot.end[0].limit, 0);
	WRITE_ONCE(stack->hot.end[1].limit, ULONG_MAX);
	mutex_unlock(&stack->lock);
}

void quarry__stack_row(struct quarry_object *object, struct quarry_row *row)
{
	struct quarry_stack *stack = to_stack(object);
	struct quarry_stack_stats stats;

	quarry_stack_get_stats(stack, &stats);
	row->live = stats.live;
	row->peak = stats.peak;
	row->capacity = stats.capacity;
	row->size = 1;
	row->reserved = stats.bytes_reserved;
	row->failures = stats.exhausted;
	row->refused = stats.refused;
}

void quarry__stack_config(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_stack *stack = to_stack(object);

	seq_printf(seq, "capacity: %zu\n", stack->capacity);
	seq_printf(seq, "frame_word: %lu\n", WORD);
	seq_puts(seq, "flags:");
	quarry__flags_config(seq, stack->region.flags, stack->region.node);
	quarry__region_config(seq, &stack->region, object);
}

void quarry__stack_stats(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_stack_stats stats;

	quarry_stack_get_stats(to_stack(object), &stats);
	quarry__figures_show(seq, figures, ARRAY_SIZE(figures), &stats);
}

void quarry__stack_map(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_stack *stack = to_stack(object);
	size_t per = DIV_ROUND_UP(stack->capacity, QUARRY_MAP_CELLS);
	size_t low = end_used(stack, false);
	size_t high = stack->capacity - end_used(stack, true);
	size_t i;

	seq_printf(seq, "bytes: %zu, %zu to a cell; > low end, < high end, # both, . free\n",
		   stack->capacity, per);
	for (i = 0; i < stack->capacity; i += per) {
		bool is_low = i < low, is_high = i + per > high;

		quarry__map_cell(seq, is_low && is_high ? '#' : is_low ? '>' :
				 is_high && high < stack->capacity ? '<' : '.',
				 i / per, i + per >= stack->capacity);
	}
	seq_printf(seq, "free between the ends: %zu bytes\n",
		   high - min(high, low));
}

/* Verify */

/* A word that differs whenever an operation has ended. */
static u64 fingerprint(const struct quarry_stack *stack, bool *held)
{
	u64 sum = 0;
	int i;

	for (i = 0; i < 2; i++) {
		const struct quarry_stack_end *end = &stack->hot.end[i];

		*held |= end_held(stack, i);
		sum = sum * 31 + READ_ONCE(end->top);
		sum = sum * 31 + READ_ONCE(end->pushes);
		sum = sum * 31 + READ_ONCE(end->pops);
		sum = sum * 31 + READ_ONCE(stack->released[i]);
	}
	smp_rmb();	/* no partner: before and after the walk, not within */
	return sum;
}

static u64 word_of_mark(const struct frame *f, size_t offset)
{
	return quarry__mem_word((void *)f->block + offset);
}

/* A mark's frame, below which so many lie. *@mark becomes the one below it. */
static bool see_mark(const struct quarry_stack *stack, const struct frame *f,
		     u64 frames, unsigned long *mark)
{
	u64 serial = word_of_mark(f, offsetof(struct mark_frame, serial));
	u64 below = word_of_mark(f, offsetof(struct mark_frame, below));
	u64 word = word_of_mark(f, offsetof(struct mark_frame, frames));
	bool good = f->block == *mark && f->size == sizeof(struct mark_frame) &&
		    mark_frames(stack, f->block, serial, below, word) == frames;

	*mark = below;
	return good;
}

/* All frames of an end; false, and why. */
static bool see_end(const struct quarry_stack *stack, bool high, char *why,
		    size_t size)
{
	const char *name = high ? "high" : "low";
	unsigned long top = end_top(stack, high);
	unsigned long bottom = high ? last_word(stack) : first_byte(stack);
	unsigned long mark = READ_ONCE(stack->mark[high]);
	u64 frames = 0, live = end_live(stack, high);
	struct frame f;

	for (;; frames++, top = f.below) {
		unsigned long word = high ? top : top - WORD;

		if (word - (first_byte(stack) - WORD) > stack->capacity + WORD ||
		    !quarry__stack_decode(stack, quarry__mem_word((void *)word),
					  top, high, &f)) {
			snprintf(why, size, "%s frame %llu from the top is overwritten",
				 name, frames);
			return false;
		}
		if (frame_is_sentinel(&f))
			break;
		if (f.flag ? !see_mark(stack, &f, live - frames - 1, &mark) :
			     f.block == mark) {
			snprintf(why, size, "%s frame %llu from the top and the marks disagree",
				 name, frames);
			return false;
		}
		cond_resched();
	}
	if (top != bottom || mark || frames != live) {
		snprintf(why, size, "%s end has %llu frames, its counters say %llu",
			 name, frames, live);
		return false;
	}
	return true;
}

static bool see_all(const struct quarry_stack *stack, char *why, size_t size)
{
	if (end_top(stack, false) > end_top(stack, true)) {
		snprintf(why, size, "the ends overlap");
		return false;
	}
	return see_end(stack, false, why, size) && see_end(stack, true, why, size);
}

/*
 * The owner's stores may be seen in another order than he made them, so a walk that
 * finds a fault counts if the next one finds one too, and nothing has moved.
 */
int quarry__stack_verify(struct quarry_object *object, char *why, size_t size)
{
	struct quarry_stack *stack = to_stack(object);
	bool doubt = false;
	u64 after = 0;
	int i;

	if (READ_ONCE(object->state) == QUARRY_DEAD)
		return 0;
	for (i = 0; i < VERIFY_TRIES; i++) {
		bool held = false, ok;
		u64 before = fingerprint(stack, &held);

		doubt = doubt && before == after;
		ok = see_all(stack, why, size);
		smp_rmb();	/* no partner: the walk comes before the look */
		after = fingerprint(stack, &held);
		if (before == after && !held && (ok || doubt))
			return ok ? 0 : -EUCLEAN;
		doubt = before == after && !held;
		/* What the owner's CPU has stored is seen after a grace period. */
		synchronize_rcu();
	}
	return 1;
}

int quarry_stack_verify(struct quarry_stack *stack)
{
	char why[128] = "";
	int err;

	if (IS_ERR_OR_NULL(stack) || !quarry__may_sleep() ||
	    READ_ONCE(stack->closed))
		return -EINVAL;
	might_sleep();
	err = quarry__stack_verify(&stack->object, why, sizeof(why));
	if (err == -EUCLEAN)
		quarry__notice("stack \"%s\": %s", stack->object.name, why);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_stack_verify);
