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
		*core->alarm = true;
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
		set_front(core->base, at + units, load(core->base, at + units), FRONT_USED);
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
	    prev_of(core->base, next) == at) {
		core->head[class] = next;
		set_prev(core->base, next, 0);
	} else {
		core->head[class] = 0;
		unmark(core, class);
	}
	units = sound_free(core, at);
	if (units && heap_core_class(units) == class)
		fence(core, at, units);
}

/*
 * The first block of a list that holds some was bad: it is cut off, and so are others
 * that are met until there is a good one, a few in one go. Returns its size in the upper
 * half and its number in the lower, since a pointer would cost who does not come here.
 */
__cold noinline u64 heap_core_cut_and_take(struct heap_core *core, u32 class, u32 units)
{
	u32 tries, at, found;

	for (tries = 1; tries < MAX_CUTS; tries++) {
		cut(core, class);
		class = find_class(core, first_class(core, core->base, units));
		if (class >= NR_CLASSES)
			return 0;
		at = pop(core, core->base, class, units, &found);
		if (at)
			return (u64)found << 32 | at;
	}
	cut(core, class);
	return 0;
}

/*
 * In front of @at there should be a free block of @units. If there is, its links are
 * bad: it is fenced off.
 */
__cold noinline void heap_core_bad_front(struct heap_core *core, u32 at, u64 units)
{
	u32 front = units < at ? at - units : 0, sound = sound_free(core, front);

	heap_core_fault(core, sound ? HEAP_BAD_LINK : HEAP_BAD_SIZE,
			sound ? front : at - 1, 0);
	if (sound && sound == units)
		fence(core, front, units);
}

/* The free block of @units at @at is bad, behind the block @from. */
__cold noinline void heap_core_bad_behind(struct heap_core *core, u32 at, u32 from,
					  u32 units)
{
	heap_core_fault(core, HEAP_BAD_LINK, at, from);
	/* What it says now may be another matter. */
	if (units && sound_free(core, at) == units)
		fence(core, at, units);
}

/*
 * Buddies: blocks of 2^n units, at multiples of 2^n from unit 1 on. No flags say
 * what is in front, since a block's number says where its buddy is.
 */

static u32 buddy_alloc(struct heap_core *core, u32 units, u32 flags)
{
	u32 found, at;

	if (units > 1U << 31)
		return 0;
	units = roundup_pow_of_two(units);
	at = take(core, core->base, units, &found);
	if (!at)
		return 0;
	while (found > units) {
		found /= 2;
		make_free(core, core->base, at + found, found);
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
		if (!unlink(core, core->base, buddy, units)) {
			heap_core_fault(core, HEAP_BAD_LINK, buddy, at);
			fence(core, buddy, units);
			break;
		}
		absorb(core, core->base, max(at, buddy), min(at, buddy) + 2 * units);
		at = min(at, buddy);
		units *= 2;
	}
	make_free(core, core->base, at, units);
}

/* All */

/* A block of at least @units, live; or 0. */
u32 heap_core_alloc(struct heap_core *core, u32 units)
{
	u32 got;

	if (core->bounded)
		return buddy_alloc(core, units, STATE_LIVE);
	return heap_take(core, units, &got);
}

/* Units from @at on that are split off, so that the payload behind is aligned. */
static u32 low_gap(const struct heap_core *core, u32 at, u32 mask)
{
	u32 gap = -((unsigned long)(core->base + at + 1) / UNIT) & mask;

	return gap && gap < MIN_UNITS ? gap + mask + 1 : gap;
}

/* Likewise as many as can be, @most, as split() does: @low when there is no room. */
static u32 high_gap(const struct heap_core *core, u32 at, u32 most, u32 mask, u32 low)
{
	u32 over = ((unsigned long)(core->base + at + 1) / UNIT + most) & mask;

	return most >= over + MIN_UNITS && most - over > low ? most - over : low;
}

/*
 * The best fit that has room for @units at an aligned place, of the first few free
 * blocks that are large enough, off its list; or 0. One that is bad ends the search.
 */
static u32 find_aligned(struct heap_core *core, u32 units, u32 mask, u32 *found,
			u32 *gap)
{
	u32 class = heap_core_class(units), at = 0, looks;
	u64 header;

	for (looks = 0; looks < MAX_LOOKS; looks++) {
		if (!at) {
			if (class < NR_CLASSES)
				class = find_class(core, class);
			if (class >= NR_CLASSES)
				return 0;
			at = core->head[class++];
		}
		header = load(core->base, at);
		*found = header_units(header);
		if (unlikely(header != header_at(core, core->base, at, *found, STATE_FREE) ||
			     *found >= core->units - at))
			return 0;
		*gap = low_gap(core, at, mask);
		if (*found >= units && *found - units >= *gap)
			return unlink(core, core->base, at, *found) ? at : 0;
		at = sure_next(core, core->base, at);
	}
	return 0;
}

/* Likewise, or one that has room wherever it lies; and the units in front. */
static u32 take_aligned(struct heap_core *core, u32 units, u32 mask, u32 *found,
			u32 *gap)
{
	u32 at = find_aligned(core, units, mask, found, gap);

	if (at)
		return at;
	at = take(core, core->base, units + mask + MIN_UNITS, found);
	if (at)
		*gap = low_gap(core, at, mask);
	return at;
}

/* Likewise, with the payload aligned to 8 << @align_log bytes. */
u32 heap_core_alloc_aligned(struct heap_core *core, u32 units, u32 align_log)
{
	u32 mask = (1U << align_log) - 1, flags = STATE_LIVE | align_log << ALIGN_SHIFT;
	u32 found, at, gap;

	if (core->bounded)
		return buddy_alloc(core, max(units, mask + 1), flags);
	if (units > U32_MAX - mask - MIN_UNITS)
		return 0;
	at = take_aligned(core, units, mask, &found, &gap);
	if (!at)
		return 0;
	if (units >= LARGE)
		gap = high_gap(core, at, found - units, mask, gap);
	if (gap) {
		make_free(core, core->base, at, gap);
		at += gap;
		flags |= front_of(gap);
	}
	core->used += keep_low(core, core->base, at, found - gap, units, flags);
	core->blocks++;
	return at;
}

/* A block that the caller has made cached: the lists have it from here on. */
void heap_core_free(struct heap_core *core, u32 at, u32 units)
{
	if (!core->bounded) {
		heap_give(core, at, units);
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
	u64 behind;
	u32 flags = header & FLAGS_MASK, cur = header_units(header), end, rest;

	/* Not split: what a block was asked for counts until it is freed, see heap.h. */
	if (core->bounded)
		return units <= cur;
	end = at + cur;
	if (units <= cur) {
		rest = cur - units;
		if (rest < MIN_UNITS)
			return true;
		set_header(core, core->base, at, units, flags);
		core->used -= rest;
		release(core, core->base, at + units, rest, FRONT_USED);
		return true;
	}
	behind = load(core->base, end);
	rest = header_units(behind);
	if (header_state(behind) != STATE_FREE || rest < units - cur ||
	    !header_sound(core, end, behind))
		return false;
	if (take_behind(core, core->base, end, at, behind) == end)
		return false;
	if (rest == MIN_UNITS)
		set_front(core->base, end + rest, load(core->base, end + rest), FRONT_FREE);
	absorb(core, core->base, end, end + rest);
	core->used += keep_low(core, core->base, at, cur + rest, units, flags) - cur;
	return true;
}
