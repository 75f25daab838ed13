// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heap's algorithm: what is out of line. See heap_core.h, and heap_ops.h for
 * the part that each operation goes through. No locks, no allocation, no kernel
 * but a handful of definitions: the fuzzer runs these very lines. The loops over
 * buddies are as long as there are sizes.
 */
#include "heap_ops.h"

/* What was found wrong; said by the owner when the lock is dropped. */
__cold noinline void heap_core_fault(struct heap_core *core, enum heap_fault what,
				     u32 at, u32 front)
{
	core->faults++;
	core->sick = true;
	if (core->alarm)
		WRITE_ONCE(*core->alarm, true);
	core->fault = what;
	core->fault_at = at;
	core->fault_front = front;
}

/* Units of the free block that has a sound header there, or 0. */
static u32 sound_free(const struct heap_core *core, u32 at)
{
	u64 header;

	if (!may_be_block(core, at))
		return 0;
	header = load(core->base, at);
	return header_sound(core, at, header) && header_state(header) == STATE_FREE ?
	       header_units(header) : 0;
}

/* A free block whose links or size at the end are bad: nobody gets it again. */
static void fence(struct heap_core *core, u32 at, u32 units)
{
	set_header(core, core->base, at, units, STATE_FENCED);
	core->fenced += units;
	if (!core->bounded)
		set_front(core->base, at + units, load(core->base, at + units), false);
}

/*
 * A list's first block is bad: it goes, with what lies behind if that does not know
 * it. Of those the next walk finds that they are on no list, and puts them back.
 */
static void cut(struct heap_core *core, u32 class)
{
	u32 at = core->head[class], next = next_of(core->base, at), behind = sound_free(core, next);
	u32 units;

	heap_core_fault(core, HEAP_BAD_LINK, at, 0);
	if (next != at && behind && heap_core_class(behind) == class &&
	    prev_is(core->base, next, at)) {
		core->head[class] = next;
		set_prev(core->base, next, FIRST | class);
	} else {
		core->head[class] = 0;
		unmark(core, class);
	}
	units = sound_free(core, at);
	if (units && heap_core_class(units) == class)
		fence(core, at, units);
}

/* Two numbers as one: a pointer to what is returned would keep it in memory. */
static u64 pair(u64 at, u64 high)
{
	return high << 32 | at;
}

/*
 * The first block of a list that holds some was bad: it is cut off, and so are others
 * that are met until there is a good one, a few in one go. Returns it and its end, or 0.
 */
static u64 cut_and_take(struct heap_core *core, u64 class, u64 units)
{
	u64 at, end;
	u32 tries;

	for (tries = 1; tries < MAX_CUTS; tries++) {
		cut(core, class);
		at = take(core, core->base, units, &class, &end);
		if (at)
			return pair(at, end);
		if (class >= NR_CLASSES)
			return 0;
	}
	cut(core, class);
	return 0;
}

/* Likewise, as heap_take(): a live block and its size. */
__cold noinline u64 heap_core_cut_and_take(struct heap_core *core, u64 class, u64 units)
{
	u64 both = cut_and_take(core, class, units), got, at;

	if (!both)
		return 0;
	at = live_part(core, core->base, (u32)both, both >> 32, units, &got);
	return pair(at, got);
}

/* A free block of at least @units, off its list, and its end. Or 0. */
static u64 take_sure(struct heap_core *core, u64 units)
{
	u64 class, end, at = take(core, core->base, units, &class, &end);

	if (likely(at))
		return pair(at, end);
	return class >= NR_CLASSES ? 0 : cut_and_take(core, class, units);
}

/*
 * In front of @at there should be a free block of @units, or of MIN_UNITS whose links were
 * taken for a size. If there is, its links are bad: it is fenced off. What is from @at to
 * @end becomes free without it.
 */
__cold noinline void heap_core_bad_front(struct heap_core *core, u64 at, u64 units, u64 end)
{
	u32 front = units < at ? at - units : 0, sound = sound_free(core, front);

	if (!sound && at > MIN_UNITS && sound_free(core, at - MIN_UNITS) == MIN_UNITS) {
		front = at - MIN_UNITS;
		units = MIN_UNITS;
		sound = MIN_UNITS;
	}
	heap_core_fault(core, sound ? HEAP_BAD_LINK : HEAP_BAD_SIZE,
			sound ? front : at - 1, 0);
	if (sound && sound == units)
		fence(core, front, units);
	merge(core, core->base, at, end);
}

/* The free block of @units at @at is bad, behind the block @from. */
static void fence_behind(struct heap_core *core, u32 at, u32 from, u32 units)
{
	heap_core_fault(core, HEAP_BAD_LINK, at, from);
	/* What it says now may be another matter. */
	if (units && sound_free(core, at) == units)
		fence(core, at, units);
}

/*
 * Behind what is from @at to @behind there is a bad header, @next, or that of a free block
 * that is bad. What is in front of it becomes free without it, as in release().
 */
__cold noinline void heap_core_bad_behind(struct heap_core *core, u64 at, u64 behind,
					  u64 next, u64 header)
{
	if (good(core, core->base, behind, next))
		fence_behind(core, behind, at, header_units(next));
	else
		heap_core_fault(core, HEAP_BAD_HEADER, behind, at);
	set_front(core->base, behind, load(core->base, behind), true);
	merge_front(core, core->base, at, behind, header);
}

/* What a walk stands on may lie inside of the block that is from @at to @end now. */
__cold noinline void heap_core_leave(struct heap_core *core, u32 at, u32 end)
{
	if (core->cursor > at && core->cursor < end)
		core->cursor = end;
}

/*
 * Buddies: blocks of 2^n units, at multiples of 2^n from unit 1 on. No flags say
 * what is in front, since a block's number says where its buddy is.
 */

static u32 buddy_alloc(struct heap_core *core, u32 units, u32 flags)
{
	u64 both, at, end;

	if (units > 1U << 31)
		return 0;
	units = roundup_pow_of_two(units);
	both = take_sure(core, units);
	if (!both)
		return 0;
	at = (u32)both;
	end = both >> 32;
	while (end - at > units) {
		make_free(core, core->base, at + (end - at) / 2, end);
		end = at + (end - at) / 2;
	}
	set_header(core, core->base, at, units, flags);
	core->used += units;
	core->blocks++;
	return at;
}

static void buddy_free(struct heap_core *core, u32 at, u32 units)
{
	for (;;) {
		u32 buddy = ((at - 1) ^ units) + 1;
		u64 header;

		if (buddy >= core->units - 1 ||
		    units > core->units - 1 - buddy)
			break;
		header = load(core->base, buddy);
		if (!good(core, core->base, buddy, header)) {
			heap_core_fault(core, HEAP_BAD_HEADER, buddy, at);
			break;
		}
		if (header_units(header) != units ||
		    header_state(header) != STATE_FREE)
			break;
		if (!unlink(core, core->base, buddy)) {
			heap_core_fault(core, HEAP_BAD_LINK, buddy, at);
			fence(core, buddy, units);
			break;
		}
		store(core->base, max(at, buddy), TOMBSTONE);
		at = min(at, buddy);
		units *= 2;
	}
	merge(core, core->base, at, (u64)at + units);
}

/* All */

/* A block of at least @units, live; or 0. */
u32 heap_core_alloc(struct heap_core *core, u32 units)
{
	u64 got;

	if (core->bounded)
		return buddy_alloc(core, units, STATE_LIVE);
	return heap_take(core, units, &got);
}

/* Units from @at on that are split off, so that the payload behind is aligned. */
static __always_inline u64 low_gap(const u64 *base, u64 at, u64 mask)
{
	u64 gap = -((unsigned long)(base + at + 1) / UNIT) & mask;

	return gap && gap < MIN_UNITS ? gap + mask + 1 : gap;
}

/* Likewise as many as can be, @most, as split() does: @low when there is no room. */
static u64 high_gap(const u64 *base, u64 at, u64 most, u64 mask, u64 low)
{
	u64 over = ((unsigned long)(base + at + 1) / UNIT + most) & mask;

	return most >= over + MIN_UNITS && most - over > low ? most - over : low;
}

/*
 * The best fit that has room for @units at an aligned place, of the first few free
 * blocks that are large enough, off its list, and its end; or 0, also when that one is
 * bad. *gap is how many units that is from its low end. Of those that are only looked at
 * no header is checked: what is read there decides nothing else.
 */
static __always_inline u64 find_aligned(struct heap_core *core, u64 *base, u64 units, u64 mask,
					u64 *gap)
{
	u64 class = heap_core_class(units), at = 0, found, header, end;
	u32 looks;

	for (looks = 0; looks < MAX_LOOKS; looks++) {
		if (!at) {
			if (class < NR_CLASSES)
				class = find_class(core, class);
			if (class >= NR_CLASSES)
				return 0;
			at = core->head[class++];
		}
		header = load(base, at);
		found = header_units(header);
		*gap = low_gap(base, at, mask);
		if (found >= units + *gap)
			break;
		at = sure_next(core, base, at);
	}
	if (looks == MAX_LOOKS)
		return 0;
	end = at + found;
	if (end >= core->units || header != free_header(core, base, end, found) ||
	    !unlink(core, base, at))
		return 0;
	return pair(at, end);
}

/* Likewise, or one that has room wherever it lies; with the payload aligned so. */
static u32 take_aligned(struct heap_core *core, u64 units, u32 align_log)
{
	u32 mask = (1U << align_log) - 1, flags = STATE_LIVE | align_log << ALIGN_SHIFT;
	u64 *base = core->base, at, end, gap;
	u64 both = find_aligned(core, base, units, mask, &gap);

	if (!both) {
		both = take_sure(core, units + mask + MIN_UNITS);
		if (!both)
			return 0;
		gap = low_gap(base, (u32)both, mask);
	}
	at = (u32)both;
	end = both >> 32;
	if (units >= LARGE)
		gap = high_gap(base, at, end - at - units, mask, gap);
	if (gap) {
		make_free(core, base, at, at + gap);
		at += gap;
		flags |= FRONT_FREE;
	}
	core->used += keep_low(core, base, at, end, units, flags);
	core->blocks++;
	return at;
}

/* A block of at least @units with the payload aligned to 8 << @align_log bytes; or 0. */
u32 heap_core_alloc_aligned(struct heap_core *core, u32 units, u32 align_log)
{
	u32 mask = (1U << align_log) - 1;

	if (core->bounded)
		return buddy_alloc(core, max(units, mask + 1),
				   STATE_LIVE | align_log << ALIGN_SHIFT);
	return units > U32_MAX - mask - MIN_UNITS ? 0 : take_aligned(core, units, align_log);
}

/*
 * A block that the caller has made cached: the lists have it from here on. Its header is
 * the one that was found sound: a second look might find another.
 */
void heap_core_free(struct heap_core *core, u32 at, u64 header)
{
	u32 units = header_units(header);

	if (!core->bounded) {
		heap_give(core, at, header);
		return;
	}
	core->used -= units;
	core->blocks--;
	buddy_free(core, at, units);
}

/*
 * A live block gets as many units as asked for where it stands, or not. Its header is
 * the one that was found sound: a second look might find another.
 */
bool heap_core_resize(struct heap_core *core, u32 at, u64 header, u32 units)
{
	u32 flags = header_flags(header), cur = header_units(header), rest;
	u64 behind, end = (u64)at + cur;

	/* Not split: what a block was asked for counts until it is freed, see heap.h. */
	if (core->bounded)
		return units <= cur;
	if (units <= cur) {
		rest = cur - units;
		if (rest < MIN_UNITS)
			return true;
		set_header(core, core->base, at, units, flags);
		core->used -= rest;
		release(core, core->base, at + units, rest, 0);
		return true;
	}
	behind = load(core->base, end);
	rest = header_units(behind);
	if (header_state(behind) != STATE_FREE || rest < units - cur ||
	    !header_sound(core, end, behind))
		return false;
	if (!unlink(core, core->base, end)) {
		fence_behind(core, end, at, rest);
		return false;
	}
	store(core->base, end, TOMBSTONE);
	if (core->cursor)
		heap_core_leave(core, at, end + rest);
	core->used += keep_low(core, core->base, at, end + rest, units, flags) - cur;
	return true;
}
