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

static __always_inline void set_header(const struct heap_core *core, u64 *base,
				       u64 at, u64 units, u32 flags)
{
	store(base, at, header_make(units, flags, base + at, core->secret));
}

/* The header of a free block of @units that ends at @end: it has no flags. */
static __always_inline u64 free_header(const struct heap_core *core, const u64 *base,
				       u64 end, u64 units)
{
	u64 check = (unsigned long)(base + end) * core->secret & CHECK_MASK;

	return check | units;
}

/* Of the last unit too, whose size is out of range. */
static __always_inline bool good(const struct heap_core *core, const u64 *base,
				 u64 at, u64 header)
{
	return header_good(header, base + at, core->secret);
}

/* The block at @at, with @header, learns whether what is in front of it is free. */
static __always_inline void set_front(u64 *base, u64 at, u64 header, bool free)
{
	if (!(header_flags(header) & FRONT_FREE) == free)
		quarry__flip(base + at, header_change(FRONT_FREE));
}

/* Lists */

static __always_inline u64 next_of(const u64 *base, u64 at)
{
	return quarry__peek32((u32 *)(base + at) + 2);
}

static __always_inline u64 prev_of(const u64 *base, u64 at)
{
	return quarry__peek32((u32 *)(base + at) + 3);
}

/* Do the links of the block at @at say that? They are not looked at again. */
static __always_inline bool next_is(const u64 *base, u64 at, u32 next)
{
	return quarry__same32((u32 *)(base + at) + 2, next);
}

static __always_inline bool prev_is(const u64 *base, u64 at, u32 prev)
{
	return quarry__same32((u32 *)(base + at) + 3, prev);
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
static __always_inline bool may_be_block(const struct heap_core *core, u64 at)
{
	return at - 1 < core->places;
}

/* The block behind @at in its list: 0 at the end, or when it does not answer. */
static __always_inline u64 sure_next(const struct heap_core *core, const u64 *base,
				     u64 at)
{
	u64 next = next_of(base, at);

	return may_be_block(core, next) && prev_is(base, next, at) ? next : 0;
}

/*
 * At the front of its list, or behind the first or second block, if those lie
 * below it: low addresses are used first, and what lies high coalesces.
 */
static __always_inline void insert(struct heap_core *core, u64 *base, u64 at,
				   u64 class)
{
	u64 prev = core->head[class], next;

	if (!prev) {
		set_next(base, at, 0);
		set_prev(base, at, FIRST | class);
		core->head[class] = at;
		__set_bit(class, core->map);
		__set_bit(class / 64, &core->summary);
		return;
	}
	if (prev > at) {
		set_next(base, at, prev);
		set_prev(base, at, FIRST | class);
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

/*
 * Both neighbours in the list must say that @at is theirs, or nothing changes. They are
 * two: a block whose links are its own number would answer itself.
 */
static __always_inline bool unlink(struct heap_core *core, u64 *base, u64 at)
{
	u64 next = next_of(base, at), prev = prev_of(base, at), class;

	if (next == prev || (next && (next > core->places || !prev_is(base, next, at))))
		return false;
	if (may_be_block(core, prev)) {
		if (!next_is(base, prev, at))
			return false;
		set_next(base, prev, next);
	} else {
		class = prev - FIRST;
		/* Or it is not kept, but counted back for each use. */
		OPTIMIZER_HIDE_VAR(class);
		if (class >= NR_CLASSES || core->head[class] != (u32)at)
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
static __always_inline u64 pop(struct heap_core *core, u64 *base, u64 class,
			       u64 least, u64 *end)
{
	u64 at = core->head[class], header = load(base, at), units = header_units(header), next;

	*end = at + units;
	if (unlikely(units < least || *end >= core->units))
		return 0;
	if (unlikely(header != free_header(core, base, *end, units)))
		return 0;
	next = next_of(base, at);
	if (!next) {
		core->head[class] = 0;
		unmark(core, class);
		return at;
	}
	if (unlikely(next == at || next > core->places || !prev_is(base, next, at)))
		return 0;
	core->head[class] = next;
	set_prev(base, next, FIRST | class);
	return at;
}

/* The first list from @class on that holds blocks, or NR_CLASSES. */
static __always_inline u64 find_class(const struct heap_core *core, u64 class)
{
	u64 word = class / 64, bits = core->map[word] >> class % 64;

	if (bits)
		return class + __ffs(bits);
	bits = core->summary >> word >> 1;
	if (!bits)
		return NR_CLASSES;
	word += 1 + __ffs(bits);
	return word * 64 + __ffs(core->map[word]);
}

/* The list that a request begins with: its own if the first block there fits. */
static __always_inline u64 first_class(const struct heap_core *core, const u64 *base,
				       u64 units)
{
	u64 class = heap_core_class(units), at;

	if (units < EXACT)
		return class;
	at = core->head[class];
	return at && header_units(load(base, at)) >= units ? class : class + 1;
}

/*
 * A free block of at least @units, off its list; *end is its end. Or 0: nothing is
 * free, or the first block of *class is bad.
 */
static __always_inline u64 take(struct heap_core *core, u64 *base, u64 units,
				u64 *class, u64 *end)
{
	*class = find_class(core, first_class(core, base, units));
	if (unlikely(*class >= NR_CLASSES))
		return 0;
	return pop(core, base, *class, units, end);
}

/*
 * What is from @at to @end becomes a free block: its header, its size at its end, which the
 * links of one of MIN_UNITS take the place of, and its list.
 */
static __always_inline void make_free(struct heap_core *core, u64 *base, u64 at, u64 end)
{
	u64 units = end - at;

	/* Or addresses would be kept from where they were last used, and spilled. */
	OPTIMIZER_HIDE_VAR(at);
	store(base, at, free_header(core, base, end, units));
	store(base, end - 1, units);
	insert(core, base, at, heap_core_class(units));
}

/* Likewise, and it may be of several that were blocks: a walk goes on behind it. */
static __always_inline void merge(struct heap_core *core, u64 *base, u64 at, u64 end)
{
	if (unlikely(core->cursor))
		heap_core_leave(core, at, end);
	make_free(core, base, at, end);
}

/* Likewise with the block in front of it, if that of @header, at @at, says that it is free. */
static __always_inline void merge_front(struct heap_core *core, u64 *base, u64 at, u64 end,
					u64 header)
{
	u64 units, front;

	if (header_flags(header) & FRONT_FREE) {
		units = load(base, at - 1);
		if (units >> 32)	/* that are links, whose upper half is never 0 */
			units = MIN_UNITS;
		front = at - units;
		/* One of no or 1 unit has a good header by chance alone. */
		if (unlikely(!may_be_block(core, front) ||
			     !quarry__same(base + front, free_header(core, base, at, units)) ||
			     !unlink(core, base, front))) {
			heap_core_bad_front(core, at, units, end);
			return;
		}
		store(base, at, TOMBSTONE);
		at = front;
	}
	merge(core, base, at, end);
}

/*
 * @units from @at on become free: with the free block behind, and the one in front if
 * @header says that it is free.
 */
static __always_inline void release(struct heap_core *core, u64 *base, u64 at,
				    u64 units, u64 header)
{
	u64 behind = at + units, next = load(base, behind), end = behind;

	if (unlikely(!good(core, base, behind, next))) {
		heap_core_bad_behind(core, at, behind, next, header);
		return;
	}
	if (header_state(next) == STATE_FREE) {
		end += header_units(next);
		if (unlikely(end < behind + MIN_UNITS || end >= core->units ||
			     !unlink(core, base, behind))) {
			heap_core_bad_behind(core, at, behind, next, header);
			return;
		}
		store(base, behind, TOMBSTONE);
	} else {
		set_front(base, behind, next, true);
	}
	merge_front(core, base, at, end, header);
}

/*
 * Of free units from @at to @end, off the lists, the first @units are handed out, or all.
 * Returns how many.
 */
static __always_inline u64 keep_low(struct heap_core *core, u64 *base, u64 at,
				    u64 end, u64 units, u32 flags)
{
	if (end - at - units < MIN_UNITS) {
		units = end - at;
		set_front(base, end, load(base, end), false);
	} else {
		make_free(core, base, at + units, end);
	}
	set_header(core, base, at, units, flags);
	return units;
}

/*
 * Of the free block from *at to @end, off its list, @units are handed out, or all. A small
 * request gets the low end, a large one the high end, so that small blocks stand among
 * small ones and holes are larger.
 */
static __always_inline u64 split(struct heap_core *core, u64 *base, u64 *at,
				 u64 end, u64 units, u32 flags)
{
	u64 from = end - units;

	if (units < LARGE || from - *at < MIN_UNITS)
		return keep_low(core, base, *at, end, units, flags);
	make_free(core, base, *at, from);
	*at = from;
	set_front(base, end, load(base, end), false);
	set_header(core, base, from, units, flags | FRONT_FREE);
	return units;
}

/* Of a free block off its list a live one is made, at least @units; *got is its size. */
static __always_inline u64 live_part(struct heap_core *core, u64 *base, u64 at, u64 end,
				     u64 units, u64 *got)
{
	*got = split(core, base, &at, end, units, STATE_LIVE);
	core->used += *got;
	core->blocks++;
	return at;
}

/* A block of at least @units, live; *got is its size. Or 0. Not for buddies. */
static __always_inline u64 heap_take(struct heap_core *core, u64 units, u64 *got)
{
	u64 *base = core->base, both, class, end, at = take(core, base, units, &class, &end);

	if (likely(at))
		return live_part(core, base, at, end, units, got);
	if (class >= NR_CLASSES)
		return 0;
	both = heap_core_cut_and_take(core, class, units);
	*got = both >> 32;
	return (u32)both;
}

/* A cached block that is the caller's, with @header, goes to the lists. Not for buddies. */
static __always_inline void heap_give(struct heap_core *core, u64 at, u64 header)
{
	u64 units = header_units(header);

	core->used -= units;
	core->blocks--;
	release(core, core->base, at, units, header);
}

#endif /* QUARRY_HEAP_OPS_H */
