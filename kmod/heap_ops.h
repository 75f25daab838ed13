/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The heap's algorithm, the part that each alloc and free goes through; inline,
 * so that it stands in the function that has taken the lock. See heap_core.h.
 *
 * Nothing that is read from the region is believed: a number is compared with the
 * region's size before it is followed, a header is checked, a link must be
 * answered by its other end, the size at the end of a free block must be that in
 * its header. What fails is noted (faults) and left alone, or fenced off when it is
 * known to be free, and the operation goes on without it: a block does not coalesce
 * with what is bad, a list is cut where it is. There is no loop here, and in heap_core.c
 * one over lists that had to be cut, MAX_CUTS at most, and one over blocks looked at for
 * alignment, MAX_LOOKS.
 */
#ifndef QUARRY_HEAP_OPS_H
#define QUARRY_HEAP_OPS_H

#include "heap_core.h"

/*
 * A word of the region. Its base is passed on by itself, so that it stays in a register:
 * each store might change the core's fields for all that a compiler knows.
 */
static __always_inline u64 load(const u64 *base, u64 at)
{
	return quarry__peek(base + at);
}

static __always_inline void store(u64 *base, u64 at, u64 value)
{
	quarry__poke(base + at, value);
}

static __always_inline u64 header_at(const struct heap_core *core, const u64 *base,
				     u64 at, u64 units, u32 flags)
{
	return header_make(units, flags, base + at, core->secret);
}

static __always_inline void set_header(const struct heap_core *core, u64 *base,
				       u64 at, u64 units, u32 flags)
{
	store(base, at, header_at(core, base, at, units, flags));
}

/* Of the last unit too, whose size is out of range. */
static __always_inline bool good(const struct heap_core *core, const u64 *base,
				 u64 at, u64 header)
{
	return header_good(header, base + at, core->secret);
}

/* Lists */

static __always_inline u32 next_of(const u64 *base, u64 at)
{
	return quarry__peek32((u32 *)(base + at) + 2);
}

static __always_inline u32 prev_of(const u64 *base, u64 at)
{
	return quarry__peek32((u32 *)(base + at) + 3);
}

static __always_inline void set_next(u64 *base, u64 at, u32 next)
{
	quarry__poke32((u32 *)(base + at) + 2, next);
}

static __always_inline void set_prev(u64 *base, u64 at, u32 prev)
{
	quarry__poke32((u32 *)(base + at) + 3, prev);
}

/* May @at be a block's number? It has a header and links, and is not the last. */
static __always_inline bool may_be_block(const struct heap_core *core, u32 at)
{
	return at - 1 < core->places;
}

/* The block behind @at in its list: 0 at the end, or when it does not answer. */
static __always_inline u32 sure_next(const struct heap_core *core, const u64 *base,
				     u64 at)
{
	u32 next = next_of(base, at);

	return may_be_block(core, next) && prev_of(base, next) == at ? next : 0;
}

/*
 * At the front of its list, or behind the first or second block, if those lie
 * below it: low addresses are used first, and what lies high coalesces.
 */
static __always_inline void insert(struct heap_core *core, u64 *base, u64 at,
				   u64 class)
{
	u32 prev = core->head[class], next;

	if (!prev) {
		store(base, at + 1, 0);		/* both links */
		core->head[class] = at;
		__set_bit(class, core->map);
		__set_bit(class / 64, &core->summary);
		return;
	}
	if (prev > at) {
		store(base, at + 1, prev);	/* the next, and no previous */
		set_prev(base, prev, at);
		core->head[class] = at;
		return;
	}
	next = sure_next(core, base, prev);
	if (next && next < at) {
		prev = next;
		next = sure_next(core, base, prev);
	}
	set_next(base, at, next);
	set_prev(base, at, prev);
	set_next(base, prev, at);
	if (next)
		set_prev(base, next, at);
}

/* A list is empty. */
static __always_inline void unmark(struct heap_core *core, u64 class)
{
	__clear_bit(class, core->map);
	if (!core->map[class / 64])
		__clear_bit(class / 64, &core->summary);
}

/* Both neighbours in the list must say that @at is theirs, or nothing changes. */
static __always_inline bool unlink(struct heap_core *core, u64 *base, u64 at,
				   u64 units)
{
	u32 next = next_of(base, at), prev = prev_of(base, at), class;

	if (next && (!may_be_block(core, next) || prev_of(base, next) != at))
		return false;
	if (prev) {
		if (!may_be_block(core, prev) || next_of(base, prev) != at)
			return false;
		set_next(base, prev, next);
	} else {
		class = heap_core_class(units);
		if (core->head[class] != at)
			return false;
		core->head[class] = next;
		if (!next)
			unmark(core, class);
	}
	if (next)
		set_prev(base, next, prev);
	return true;
}

/*
 * The first block of a list, off it; or 0 when its header is bad, or the next
 * block does not answer. A list's head is in range, and its block is as large as
 * the list says, or was overwritten: so at least @least units.
 */
static __always_inline u32 pop(struct heap_core *core, u64 *base, u64 class,
			       u32 least, u32 *found)
{
	u32 at = core->head[class], next = next_of(base, at), units;
	u64 header = load(base, at);

	units = header_units(header);
	*found = units;
	if (unlikely(header != header_at(core, base, at, units, STATE_FREE) ||
		     units < least || (u64)at + units >= core->units))
		return 0;
	if (!next) {
		core->head[class] = 0;
		unmark(core, class);
		return at;
	}
	if (unlikely(!may_be_block(core, next) || prev_of(base, next) != at))
		return 0;
	core->head[class] = next;
	set_prev(base, next, 0);
	return at;
}

/* The first list from @class on that holds blocks, or NR_CLASSES. */
static __always_inline u32 find_class(const struct heap_core *core, u32 class)
{
	u32 word = class / 64;
	u64 bits = core->map[word] >> class % 64;

	if (bits)
		return class + __ffs(bits);
	bits = core->summary >> word >> 1;
	if (!bits)
		return NR_CLASSES;
	word += 1 + __ffs(bits);
	return word * 64 + __ffs(core->map[word]);
}

/* The list that a request begins with: its own if the first block there fits. */
static __always_inline u32 first_class(const struct heap_core *core, const u64 *base,
				       u32 units)
{
	u32 class = heap_core_class(units), at;

	if (units < EXACT)
		return class;
	at = core->head[class];
	return at && header_units(load(base, at)) >= units ? class : class + 1;
}

/* A free block of at least @units, off its list; *found is its size. Or 0. */
static __always_inline u32 take(struct heap_core *core, u64 *base, u32 units,
				u32 *found)
{
	u32 class = find_class(core, first_class(core, base, units)), at;
	u64 both;

	if (unlikely(class >= NR_CLASSES))
		return 0;
	at = pop(core, base, class, units, found);
	if (likely(at))
		return at;
	both = heap_core_cut_and_take(core, class, units);
	*found = both >> 32;
	return both;
}

/* Free blocks: on a list, the size at the end, and known to the block behind. */

static __always_inline void make_free(struct heap_core *core, u64 *base, u64 at,
				      u64 units)
{
	set_header(core, base, at, units, STATE_FREE);
	if (units > MIN_UNITS)
		store(base, at + units - 1, units);
	insert(core, base, at, heap_core_class(units));
}

/*
 * The block at @at, whose header is @header or was a moment ago, learns what
 * stands in front of it. Its state may change meanwhile; a bad header stays bad.
 */
static __always_inline void set_front(u64 *base, u64 at, u64 header, u32 front)
{
	u64 bits = (header ^ front) & FRONT_MASK;

	if (bits)
		quarry__flip(base + at, header_change(bits));
}

/*
 * In place of the header at @at, which is part of the block in front now, or of what
 * comes to be one, up to @behind.
 */
static __always_inline void absorb(struct heap_core *core, u64 *base, u64 at,
				   u64 behind)
{
	store(base, at, TOMBSTONE);
	if (unlikely(core->cursor == at))
		core->cursor = behind;
}

/* The free block in front of @at, off its list; or 0 when it is bad. */
static __always_inline u64 take_front(struct heap_core *core, u64 *base, u64 at,
				      u32 flags)
{
	u64 units = MIN_UNITS, front;

	if ((flags & FRONT_MASK) != FRONT_SMALL)
		units = load(base, at - 1);
	front = at - units;
	/* So that it begins at unit 1 or above, and has a header and links. */
	if (likely(units >= MIN_UNITS && units < at &&
		   load(base, front) == header_at(core, base, front, units, STATE_FREE) &&
		   unlink(core, base, front, units)))
		return front;
	heap_core_bad_front(core, at, units);
	return 0;
}

/*
 * The free block behind a block that ends at @at: off its list, its end returned.
 * Or @at, when that is used or bad.
 */
static __always_inline u64 take_behind(struct heap_core *core, u64 *base, u64 at,
				       u64 from, u64 header)
{
	u64 units = header_units(header), end = at + units;

	if (unlikely(!good(core, base, at, header))) {
		heap_core_fault(core, HEAP_BAD_HEADER, at, from);
		return at;
	}
	if (header_state(header) != STATE_FREE)
		return at;
	if (likely(units >= MIN_UNITS && end < core->units &&
		   unlink(core, base, at, units)))
		return end;
	heap_core_bad_behind(core, at, from, units);
	return at;
}

/*
 * Units from @at on become free: with the free blocks on both sides, if @flags
 * say that the one in front is.
 */
static __always_inline void release(struct heap_core *core, u64 *base, u64 at,
				    u64 units, u32 flags)
{
	u64 behind = at + units, header = load(base, behind), end, front;

	end = take_behind(core, base, behind, at, header);
	if (flags & FRONT_MASK) {
		front = take_front(core, base, at, flags);
		if (likely(front)) {
			absorb(core, base, at, end);
			at = front;
		}
	}
	units = end - at;
	if (end != behind) {
		absorb(core, base, behind, end);
		if (unlikely(end - behind == MIN_UNITS))
			set_front(base, end, load(base, end), FRONT_FREE);
	} else {
		set_front(base, end, header, front_of(units));
	}
	make_free(core, base, at, units);
}

/*
 * Of @found free units, off the lists: the first @units are handed out, or all.
 */
static __always_inline u32 keep_low(struct heap_core *core, u64 *base, u64 at,
				    u64 found, u64 units, u32 flags)
{
	u64 rest = found - units, end = at + found;

	if (rest < MIN_UNITS) {
		set_front(base, end, load(base, end), FRONT_USED);
		units = found;
	} else {
		make_free(core, base, at + units, rest);
		if (unlikely(rest == MIN_UNITS))
			set_front(base, end, load(base, end), FRONT_SMALL);
	}
	set_header(core, base, at, units, flags);
	return units;
}

/*
 * Of the free block *at of @found units, off its list: @units are handed out, or
 * all. A small request gets the low end, a large one the high end, so that small
 * blocks stand among small ones and holes are larger.
 */
static __always_inline u32 split(struct heap_core *core, u64 *base, u32 *at,
				 u32 found, u32 units, u32 flags)
{
	u32 rest = found - units, end = *at + found;

	if (units < LARGE || rest < MIN_UNITS)
		return keep_low(core, base, *at, found, units, flags);
	make_free(core, base, *at, rest);
	*at += rest;
	set_front(base, end, load(base, end), FRONT_USED);
	set_header(core, base, *at, units, flags | front_of(rest));
	return units;
}

/* A block of at least @units, live; *got is its size. Or 0. Not for buddies. */
static __always_inline u32 heap_take(struct heap_core *core, u32 units, u32 *got)
{
	u64 *base = core->base;
	u32 found, at = take(core, base, units, &found);

	if (likely(at)) {
		*got = split(core, base, &at, found, units, STATE_LIVE);
		core->used += *got;
		core->blocks++;
	}
	return at;
}

/* A cached block that is the caller's goes to the lists. Not for buddies. */
static __always_inline void heap_give(struct heap_core *core, u64 at, u64 units)
{
	u64 *base = core->base;

	core->used -= units;
	core->blocks--;
	release(core, base, at, units, load(base, at));
}

#endif /* QUARRY_HEAP_OPS_H */
