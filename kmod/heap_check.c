// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heap's algorithm, the part that makes a region, looks through it and mends it:
 * nothing here is on the way of an alloc or a free. See heap_core.h. Each function does a
 * bounded piece of work, so that its caller can drop the lock in between; the
 * cursor in the core is kept right by whoever changes blocks meanwhile.
 */
#include "heap_core.h"

/* Units that a walk looks through for the next good header, in one step. */
#define RESYNC	128U
/* Units in front of an address that are looked through for its block. */
#define CULPRIT	512U
/* In an audit, beside 0 and FRONT_FREE: the block behind it may know of it or not. */
#define FRONT_FENCED	8U
/* Blocks that are put back on a list in one step. */
#define MENDED	64U
/* In place of the previous block: there is none, and it is on no list. */
#define NOWHERE	(FIRST | NR_CLASSES)

static u64 load(const struct heap_core *core, u32 at)
{
	return quarry__peek(core->base + at);
}

static void store(const struct heap_core *core, u32 at, u64 value)
{
	quarry__poke(core->base + at, value);
}

/* The next block of the list, or the previous one. */
static u32 link(const struct heap_core *core, u32 at, u32 which)
{
	return quarry__peek32((u32 *)(core->base + at + 1) + which);
}

static void set_link(const struct heap_core *core, u32 at, u32 which, u32 to)
{
	quarry__poke32((u32 *)(core->base + at + 1) + which, to);
}

static bool sound(const struct heap_core *core, u32 at)
{
	return header_sound(core, at, load(core, at));
}

static void set_header(const struct heap_core *core, u32 at, u32 units, u32 flags)
{
	store(core, at, header_make(units, flags, core->base + at, core->secret));
}

/* Free blocks from @first to @last, which know each other, come first in their list. */
static void put_first(struct heap_core *core, u32 class, u32 first, u32 last)
{
	u32 next = core->head[class];

	set_link(core, first, 1, FIRST | class);
	set_link(core, last, 0, next);
	if (next)
		set_link(core, next, 1, last);
	core->head[class] = first;
	__set_bit(class, core->map);
	__set_bit(class / 64, &core->summary);
}

/* One free block on the list for its size; what is in front is used. */
static void put(struct heap_core *core, u32 at, u32 units)
{
	set_header(core, at, units, STATE_FREE);
	if (units > MIN_UNITS)
		store(core, at + units - 1, units);
	put_first(core, heap_core_class(units), at, at);
}

/* A region is one free block; or, for buddies, the powers of two that it has. */
bool heap_core_init(struct heap_core *core, void *base, u64 bytes, u64 secret,
		    bool bounded)
{
	u64 units = bytes / UNIT;
	u32 at = 1, left;

	if (units < 2 + MIN_UNITS || units > 1ULL << 29)
		return false;
	memset(core, 0, sizeof(*core));
	core->base = base;
	core->secret = secret | 1;
	core->units = units;
	core->bounded = bounded;
	left = units - 2;
	if (bounded && left % MIN_UNITS) {	/* a unit that no block can have */
		left--;
		core->units--;
	}
	core->places = core->units - MIN_UNITS - 1;
	set_header(core, core->units - 1, 0, STATE_FENCED | (bounded ? 0 : FRONT_FREE));
	if (!bounded) {
		put(core, at, left);
		return true;
	}
	for (; left >= MIN_UNITS; left &= ~(1U << __fls(left))) {
		put(core, at, 1U << __fls(left));
		at += 1U << __fls(left);
	}
	return true;
}

/* Units of a block that a request would get now, or 0. */
u32 heap_core_largest(const struct heap_core *core)
{
	u32 class, at;
	u64 header;

	if (!core->summary)
		return 0;
	class = __fls(core->summary);
	class = class * 64 + __fls(core->map[class]);
	at = core->head[class];
	header = load(core, at);
	return header_sound(core, at, header) ? header_units(header) : 0;
}

/* From a bad header on: where the next good one is, or as far as one step goes. */
static u32 resync(const struct heap_core *core, u32 at)
{
	u32 to = at + 1, end = min((u64)at + RESYNC, core->units - 1);

	while (to < end && !sound(core, to))
		to++;
	return to;
}

/*
 * From the first bad header to @to there is no good one: a block of its own, fenced
 * off, if a good header is at @to or the region ends there. Nothing but that first
 * header is written: the rest may be the payload of a live block. That is not known,
 * so that from here on the sums do not tell.
 */
static void fence_stretch(struct heap_core *core, u32 to)
{
	u32 units = to - core->bad_from;
	u64 header;

	if (units < MIN_UNITS || (to < core->units - 1 && !sound(core, to)))
		return;
	core->bad_to = 0;
	header = header_make(units, STATE_FENCED, core->base + core->bad_from, core->secret);
	/* Whoever has overwritten it may have put it back meanwhile. */
	if (!quarry__swap(core->base + core->bad_from, core->bad_word, header))
		return;
	/* What is overwritten again and again is counted again. */
	core->fenced = min((u64)core->fenced + units, core->units - 2);
	core->blind = true;
}

/* Is @at a free block of @class? */
static bool free_in(const struct heap_core *core, u32 at, u32 class)
{
	u64 header;

	if (!at || at >= core->units - MIN_UNITS)
		return false;
	header = load(core, at);
	return header_sound(core, at, header) && header_state(header) == STATE_FREE &&
	       heap_core_class(header_units(header)) == class;
}

/* Does the free block @at come first in the list of @class, or after another? */
static bool listed(const struct heap_core *core, u32 at, u32 class)
{
	u32 prev = link(core, at, 1);

	return core->head[class] == at ||
	       (free_in(core, prev, class) && link(core, prev, 0) == at);
}

/*
 * Does more than its header say that a block is free? Who fences off what he does not
 * know does not know what is in front of it either.
 */
static bool surely_free(const struct heap_core *core, const struct heap_seen *seen)
{
	u32 end = seen->at + seen->units;
	u64 behind = load(core, end);

	if (seen->units > MIN_UNITS ? load(core, end - 1) != seen->units :
				      !(load(core, end - 1) >> 32))
		return false;
	if (core->bounded)
		return !((seen->at - 1) & (seen->units - 1));
	if (!header_good(behind, core->base + end, core->secret))
		return false;
	return header_flags(behind) & FRONT_FREE ||
	       (header_state(behind) == STATE_FENCED && seen->units > MIN_UNITS);
}

/*
 * What was in front of a free block in its list was overwritten and has been cut off:
 * it comes back, and so do those behind it, as many as a step may. The next of these,
 * if there are more, is then one in front of which there is nothing.
 */
static bool mend(struct heap_core *core, const struct heap_seen *seen)
{
	u32 class = heap_core_class(seen->units), last = seen->at;
	u32 next = link(core, last, 0), nr = 1;

	if (listed(core, seen->at, class)) {
		/* The next one does not know it: that is looked for where it stands. */
		if (!next || (next < core->units - MIN_UNITS && link(core, next, 1) == last))
			return false;
		set_link(core, last, 0, 0);
		return true;
	}
	if (!surely_free(core, seen))
		return false;
	while (next != core->head[class] && free_in(core, next, class) &&
	       link(core, next, 1) == last) {
		if (nr++ == MENDED) {
			set_link(core, next, 1, NOWHERE);
			break;
		}
		last = next;
		next = link(core, last, 0);
	}
	put_first(core, class, seen->at, last);
	return true;
}

/*
 * The block at the cursor, which moves behind it. A free one that is on no list is put
 * on its own. What has no good header is fenced off, when the next good one is found,
 * maybe in a later step. False at the end of the region.
 */
bool heap_core_step(struct heap_core *core, struct heap_seen *seen)
{
	u32 at = core->cursor;
	u64 header;

	if (!at || at >= core->units - 1)
		return false;
	header = load(core, at);
	seen->at = at;
	seen->bad = false;
	seen->lost = false;
	if (header_sound(core, at, header)) {
		seen->units = header_units(header);
		seen->state = header_state(header);
		seen->lost = seen->state == STATE_FREE && mend(core, seen);
	} else {
		seen->units = resync(core, at) - at;
		seen->state = STATE_FENCED;
		seen->bad = true;
		if (core->bad_to != at) {
			core->bad_from = at;
			core->bad_word = header;
		}
		core->bad_to = at + seen->units;
		fence_stretch(core, core->bad_to);
	}
	seen->header = header;
	core->cursor = at + seen->units;
	return true;
}

/* Of a free block: its links are answered, its size stands at its end. */
static const char *check_free(const struct heap_core *core,
			      const struct heap_seen *seen)
{
	u32 next = link(core, seen->at, 0), prev = link(core, seen->at, 1);
	u32 class = heap_core_class(seen->units);

	if (seen->units > MIN_UNITS &&
	    load(core, seen->at + seen->units - 1) != seen->units)
		return "the size at the end of a free block is wrong";
	if (next && (next >= core->units - MIN_UNITS ||
		     link(core, next, 1) != seen->at))
		return "the next free block does not know this one";
	if (!listed(core, seen->at, class) ||
	    (core->head[class] == seen->at && prev != (FIRST | class)))
		return "a free block is not on its list";
	if (!(core->map[class / 64] >> class % 64 & 1) ||
	    !(core->summary >> class / 64 & 1))
		return "a list with blocks is marked as empty";
	return NULL;
}

/* Two free blocks that could be one. */
static bool could_join(const struct heap_core *core, const struct heap_seen *seen,
		       const struct heap_audit *audit)
{
	if (audit->front != FRONT_FREE)
		return false;
	if (!core->bounded)
		return true;
	return audit->last_units == seen->units &&
	       ((seen->at - 1) & seen->units);
}

/*
 * One step of a verify: what is wrong with the block at the cursor, or NULL. At
 * the end of the region *more becomes false.
 */
const char *heap_core_audit(struct heap_core *core, struct heap_audit *audit,
			    bool *more)
{
	const char *why = NULL;
	struct heap_seen seen;
	u32 front;

	*more = heap_core_step(core, &seen);
	if (!*more)
		return NULL;
	audit->units[seen.state] += seen.units;
	audit->blocks[seen.state]++;
	if (seen.bad)
		why = "a header was overwritten";
	else if (seen.lost)
		why = "a free block's links were overwritten";
	front = audit->front;
	if (!why && audit->at == seen.at && !core->bounded && front != FRONT_FENCED &&
	    seen.state != STATE_FENCED && (header_flags(seen.header) & FRONT_FREE) != front)
		why = "a header's flags do not say what is in front of it";
	if (!why && seen.state == STATE_FREE) {
		if (audit->at == seen.at && could_join(core, &seen, audit))
			why = "two free blocks are neighbours";
		else
			why = check_free(core, &seen);
	}
	audit->at = seen.at + seen.units;
	audit->last_units = seen.units;
	audit->front = seen.state == STATE_FREE ? FRONT_FREE :
		       seen.state == STATE_FENCED ? FRONT_FENCED : 0;
	return why;
}

/* Each list that is marked holds a block, and no other does. */
static const char *check_maps(const struct heap_core *core)
{
	u32 class;

	for (class = 0; class < NR_CLASSES; class++)
		if ((core->map[class / 64] >> class % 64 & 1) != !!core->head[class])
			return "a list's mark is wrong";
	for (class = 0; class < NR_MAPS; class++)
		if ((core->summary >> class & 1) != !!core->map[class])
			return "a mark of 64 lists is wrong";
	return NULL;
}

/* After the last step, when nobody has changed the region since the first. */
const char *heap_core_audit_end(const struct heap_core *core,
				const struct heap_audit *audit)
{
	if (core->blind)
		return check_maps(core);
	if (audit->units[STATE_LIVE] + audit->units[STATE_CACHED] != core->used)
		return "used blocks do not add up";
	if (audit->blocks[STATE_LIVE] + audit->blocks[STATE_CACHED] !=
	    core->blocks)
		return "the number of used blocks is wrong";
	if (audit->units[STATE_FREE] != heap_core_left(core))
		return "the region's units do not add up";
	return check_maps(core);
}

/*
 * The block that @at lies in or, if one ends there, the one in front of it: the
 * nearest good header says. 0 when there is none near.
 */
u32 heap_core_culprit(const struct heap_core *core, u32 at, bool *interior)
{
	u32 from;

	*interior = true;
	if (!at)
		return 0;
	for (from = at - 1; from && at - from < CULPRIT; from--) {
		u64 header = load(core, from);
		u32 end = from + header_units(header);

		if (!header_sound(core, from, header) || end < at)
			continue;
		*interior = end > at;
		return from;
	}
	return 0;
}
