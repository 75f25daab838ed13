/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The heap's algorithm: one region, cut into blocks. Compiled in the kernel and,
 * with a shim of a few definitions, in user space for the fuzzer.
 *
 * A region is an array of units of 8 bytes. Unit 0 is not used (so that 0 is no
 * block's number), the last holds a header that is never free. In between, block
 * follows block; a block's number is that of the unit with its header.
 *
 *	live	header, payload ...
 *	free	header, links, ... , size	(no size when it is 2 units long)
 *
 * A header is one word: from the low end on 32 bits of size in units, 24 bits of check,
 * 8 bits of flags. The check is as many bits of the block's end address times the heap's
 * secret multiplier, with the flags on its low ones by exclusive or: flags can be changed
 * by one atomic exclusive or with a constant, which leaves a good header good and a bad
 * one bad. No byte's neighbour makes up for it.
 *
 * The flags are the block's state, whether the block in front is free, and the alignment
 * it was asked for. "In front" is needed since a live block has no room for its
 * size at its end. What the last unit of a free block has in its upper half tells a size,
 * where that is 0, from links, where it is not: then the block is of 2 units.
 *
 * Links are two halves of a word: the number of the next block of the list, 0 at its end,
 * and that of the previous block, or FIRST and the list's own number. Lists are by size: one
 * for each size below 64 units, 32 for each power of two above. Low addresses come first,
 * roughly (insert()). Two levels of bitmaps say which lists hold blocks.
 *
 * Who may touch what: all under the lock of the heap's owner, but for the state
 * of a block that is live or cached. That goes from live to cached by whoever
 * frees it (compare-and-swap: one of two frees wins) and back by whoever takes it
 * out of a front, without the lock. So the flags of a header that is not free are
 * changed by atomic operations alone.
 *
 * Accounting, which verify checks:
 *
 *	units = 2 + used + units of free blocks + fenced
 *	used = units of the blocks that are live or cached
 */
#ifndef QUARRY_HEAP_CORE_H
#define QUARRY_HEAP_CORE_H

#ifdef __KERNEL__
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include "sanitize.h"
#else
#include "shim.h"
#endif

#define UNIT		8UL
#define MIN_UNITS	2U

/* Lists: one a size below EXACT units, above it 2^SUB_BITS a power of two. */
#define SUB_BITS	5
#define EXACT_BITS	(SUB_BITS + 1)
#define EXACT		64U	/* 2^EXACT_BITS */
/* Requests of as many units get the high end of a block that is split. */
#define LARGE		33U
/* Bad blocks that one request cuts off its lists. */
#define MAX_CUTS	8
/* Free blocks that are looked at for one with room at an aligned place. */
#define MAX_LOOKS	8
#define NR_CLASSES	(EXACT + ((32 - EXACT_BITS) << SUB_BITS))
#define NR_MAPS		((NR_CLASSES + 63) / 64)
/* In place of the previous block: there is none, and this is the list. */
#define FIRST		0x80000000U
/* A header's flags. */
#define STATE_FREE	0U
#define STATE_LIVE	1U
#define STATE_CACHED	2U
#define STATE_FENCED	3U
#define STATE_MASK	3U
#define FRONT_FREE	4U	/* the block in front is free */
#define ALIGN_SHIFT	4	/* log2 of the alignment, less 3 */
#define ALIGN_MASK	0xf0U
#define CHECK_SHIFT	32
#define FLAGS_SHIFT	56
#define CHECK_MASK	0x00ffffff00000000ULL

/* What to exclusive-or a header with, to change flags by @bits. */
static __always_inline u64 header_change(u64 bits)
{
	return bits << FLAGS_SHIFT | bits << CHECK_SHIFT;
}

#define LIVE_TO_CACHED	header_change(STATE_LIVE ^ STATE_CACHED)

/* What links and a size are told by lies in the upper half of a word: see merge_front(). */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half comes first");

/* In place of a header that was absorbed. No region is so large: it is never sound. */
#define TOMBSTONE	0xffffffffb10c6d00ULL

/* What was found wrong; said by the owner when the lock is dropped. */
enum heap_fault {
	HEAP_SOUND,
	HEAP_BAD_HEADER,	/* overwritten, or never was one */
	HEAP_BAD_LINK,		/* a free block's links were overwritten */
	HEAP_BAD_SIZE,		/* likewise the size at its end */
};

/**
 * struct heap_core - one region
 * @base: its unit 0
 * @secret: odd, the same for all regions of a heap
 * @units: of 8 bytes, in all
 * @places: numbers that a block may have: from 1 to this
 * @bounded: buddies
 * @used: units of blocks live or cached
 * @fenced: units given up
 * @blocks: blocks live or cached
 * @sick: set when something is found wrong
 * @alarm: set then, too: the owner's, who may have several regions; or NULL
 * @blind: a walk has fenced off what it does not know: @used may count it too
 * @cursor: block that a walk stands on, 0 without
 * @bad_from: first unit of what a walk has found without a good header
 * @bad_to: where it has come to from there
 * @bad_word: what stood in that first unit
 * @faults: found since creation
 * @fault: the latest
 * @fault_at: unit where it was
 * @fault_front: block in front of it, 0 when not known
 * @summary: which words of @map are not 0
 * @map: which lists hold blocks
 * @head: first block of each list
 */
struct heap_core {
	u64 *base;
	u64 secret;
	bool *alarm;
	u64 units;
	u64 places;
	bool bounded;
	bool sick;
	bool blind;
	u32 cursor;
	u32 bad_from;
	u32 bad_to;
	u64 bad_word;
	u32 used;
	u32 blocks;
	u32 fenced;
	u32 faults;
	enum heap_fault fault;
	u32 fault_at;
	u32 fault_front;
	unsigned long summary;
	unsigned long map[NR_MAPS];
	u32 head[NR_CLASSES];
};

/**
 * struct heap_seen - a block as a walk sees it
 * @header: its header, as it was found
 * @at: its number
 * @units: its size
 * @state: STATE_*
 * @bad: it had no good header
 * @lost: free, and its place in its list was mended
 */
struct heap_seen {
	u64 header;
	u32 at;
	u32 units;
	u32 state;
	bool bad;
	bool lost;
};

static __always_inline u32 header_units(u64 header)
{
	return header;
}

static __always_inline u32 header_flags(u64 header)
{
	return header >> FLAGS_SHIFT;
}

static __always_inline u32 header_state(u64 header)
{
	return header >> FLAGS_SHIFT & STATE_MASK;
}

static __always_inline bool header_good(u64 header, const u64 *at, u64 secret)
{
	u64 end = (unsigned long)(at + header_units(header));

	/* Shifted and not masked: that constant is too long to be part of an instruction. */
	return (end * secret ^ header) << (64 - FLAGS_SHIFT) >> (64 - FLAGS_SHIFT + CHECK_SHIFT) ==
	       header_flags(header);
}

/* Good, and the block ends before the region does. */
static __always_inline bool header_sound(const struct heap_core *core, u32 at,
					 u64 header)
{
	return header_units(header) >= MIN_UNITS &&
	       (u64)at + header_units(header) < core->units &&
	       header_good(header, core->base + at, core->secret);
}

static __always_inline u64 header_make(u32 units, u32 flags, const u64 *at,
				       u64 secret)
{
	u64 check = (unsigned long)(at + units) * secret & CHECK_MASK;

	return (check | units) ^ header_change(flags);
}

/* The list for free blocks of @units. */
static __always_inline u64 heap_core_class(u64 units)
{
	u64 log;

	if (units < EXACT)
		return units;
	log = __fls(units) - SUB_BITS;
	return (log << SUB_BITS) + (units >> log);
}

/* Units that are not handed out. */
static inline u32 heap_core_left(const struct heap_core *core)
{
	u32 gone = core->used + core->fenced;

	return gone < core->units - 2 ? core->units - 2 - gone : 0;
}

/* Units that a request of @size bytes takes, header included; of none as of one. */
static __always_inline u64 heap_units(u64 size)
{
	return (size + !size + 2 * UNIT - 1) / UNIT;
}

/**
 * struct heap_audit - how far a verify has come, and what it has counted
 * @at: where the next block must begin, 0 when that is not known
 * @front: what that block's flags must say of the block in front, or FRONT_FENCED
 * @last_units: size of the block in front
 * @units: units seen by state
 * @blocks: blocks seen by state
 */
struct heap_audit {
	u32 at;
	u32 front;
	u32 last_units;
	u64 units[4];
	u64 blocks[4];
};

/* heap_core.c */
void heap_core_fault(struct heap_core *core, enum heap_fault what, u32 at,
		     u32 front);
u64 heap_core_cut_and_take(struct heap_core *core, u64 class, u64 units);
void heap_core_bad_front(struct heap_core *core, u64 at, u64 units, u64 end);
void heap_core_bad_behind(struct heap_core *core, u64 at, u64 behind, u64 next, u64 header);
void heap_core_leave(struct heap_core *core, u32 at, u32 end);
u32 heap_core_alloc(struct heap_core *core, u32 units);
u32 heap_core_alloc_aligned(struct heap_core *core, u32 units, u32 align_log);
void heap_core_free(struct heap_core *core, u32 at, u64 header);
bool heap_core_resize(struct heap_core *core, u32 at, u64 header, u32 units);

/* heap_check.c */
bool heap_core_init(struct heap_core *core, void *base, u64 bytes, u64 secret,
		    bool bounded);
u32 heap_core_largest(const struct heap_core *core);
bool heap_core_step(struct heap_core *core, struct heap_seen *seen);
const char *heap_core_audit(struct heap_core *core, struct heap_audit *audit,
			    bool *more);
const char *heap_core_audit_end(const struct heap_core *core,
				const struct heap_audit *audit);
u32 heap_core_culprit(const struct heap_core *core, u32 at, bool *interior);

#endif /* QUARRY_HEAP_CORE_H */
