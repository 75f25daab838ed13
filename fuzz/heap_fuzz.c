// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzes the heap's algorithm: an input is a heap's geometry and a stream of
 * operations. The oracle is a plain model: the blocks that are live, by number
 * and size, and what was written into them.
 *
 *	byte 0		bit 0: bounded; bits 1 to 5: size of the region
 *	bytes 1, 2	of the secret
 *	4 bytes each	operation, slot, and a number of 16 bits
 *
 * As long as nothing was overwritten, each block handed out lies apart from all
 * others, is aligned and keeps its contents; a request fails only where the model
 * has no room; the audit finds nothing; when all is free, all is one. After an
 * overwrite, nothing may crash, no block that is handed out may overlap one
 * whose header is still good, and one that was not hit keeps its contents. An overwrite
 * comes between operations, or while one is under way: of the word that it is just about
 * to read, for the first time or again.
 */
#include <stdio.h>
#include <stdlib.h>
#include "heap_core.h"

#define SLOTS		64
#define AUDIT_EVERY	32
/* Bytes at both ends of a block that are filled and looked at. */
#define EDGE		40

#define EXPECT(what)							\
do {									\
	if (!(what)) {							\
		fprintf(stderr, "heap_fuzz: operation %u: not so: %s\n",\
			nr_ops, #what);					\
		abort();						\
	}								\
} while (0)

struct slot {
	u32 at, units;		/* of a live block, 0 without */
	bool hit;		/* overwritten */
	u8 fill;
};

static struct slot slots[SLOTS];
static struct heap_core core;
static unsigned int nr_ops;
static bool spoilt;		/* something was overwritten */
static bool forged;		/* by what passes for a header, or an answer: no more is expected */
static unsigned int reads;	/* until the one that finds another word */
static u64 other;

enum operation {
	ALLOC, ALLOC2, FREE, FREE2, RESIZE, ALIGNED, LARGEST, WALK, PROBE,
	OVERWRITE, NR_OPERATIONS
};

static u8 *payload(const struct slot *slot)
{
	return (u8 *)(core.base + slot->at + 1);
}

static size_t room(u32 units)
{
	return (units - 1) * UNIT;
}

/* Is the slot's block still what it was when nothing was overwritten? */
static bool whole(const struct slot *slot)
{
	u64 header;

	if (!slot->at)
		return false;
	header = core.base[slot->at];
	return header_sound(&core, slot->at, header) &&
	       header_state(header) == STATE_LIVE &&
	       header_units(header) == slot->units;
}

static size_t edge(size_t bytes)
{
	return bytes < EDGE ? bytes : EDGE;
}

static void fill(const struct slot *slot)
{
	size_t bytes = room(slot->units);

	memset(payload(slot), slot->fill, edge(bytes));
	memset(payload(slot) + bytes - edge(bytes), slot->fill, edge(bytes));
}

/* The first bytes of a block, and the last ones if it is all of it. */
static void check_contents(const struct slot *slot, size_t bytes)
{
	const u8 *p = payload(slot);
	size_t i;

	if (slot->hit)
		return;
	for (i = 0; i < edge(bytes); i++)
		EXPECT(p[i] == slot->fill);
	for (i = bytes - edge(bytes); bytes == room(slot->units) && i < bytes; i++)
		EXPECT(p[i] == slot->fill);
}

static void check_apart(const struct slot *new)
{
	unsigned int i;

	EXPECT(new->at && new->at + new->units < core.units);
	for (i = 0; i < SLOTS; i++) {
		const struct slot *slot = &slots[i];

		if (slot == new || !slot->at || (spoilt && !whole(slot)))
			continue;
		EXPECT(slot->at + slot->units <= new->at ||
		       new->at + new->units <= slot->at);
	}
}

/* Is a slot's block in [from, to)? Where the last such ends, or 0. */
static u32 blocked(u32 from, u32 to)
{
	u32 end = 0;
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].at && slots[i].at < to &&
		    slots[i].at + slots[i].units > from &&
		    slots[i].at + slots[i].units > end)
			end = slots[i].at + slots[i].units;
	return end;
}

/* Does the model have room for a block of @units? */
static bool model_has_room(u32 units)
{
	u32 at, end, step = core.bounded ? units : 1, from = 1;

	for (at = 1; at + units < core.units; at = from) {
		end = blocked(at, at + units);
		if (!end)
			return true;
		from = core.bounded ? at + step : end;
	}
	return false;
}

/* A request may miss a block that is less than a 32nd larger. */
static void check_refusal(u32 units)
{
	if (spoilt)
		return;
	if (core.bounded)
		EXPECT(!model_has_room(roundup_pow_of_two(units)));
	else
		EXPECT(!model_has_room(units < EXACT ? units :
				       units + units / 32 + 1));
}

static void take(struct slot *slot, u32 at, u32 units, u8 byte)
{
	slot->at = at;
	slot->units = header_units(core.base[at]);
	slot->fill = byte;
	slot->hit = false;
	EXPECT(header_sound(&core, at, core.base[at]));
	EXPECT(header_state(core.base[at]) == STATE_LIVE);
	EXPECT(slot->units >= units);
	check_apart(slot);
	fill(slot);
}

static void do_alloc(struct slot *slot, u32 size, u32 align_log)
{
	u32 units = heap_units(size), at;

	if (slot->at)
		return;
	at = align_log ? heap_core_alloc_aligned(&core, units, align_log) :
			 heap_core_alloc(&core, units);
	if (!at) {
		if (!align_log)
			check_refusal(units);
		return;
	}
	take(slot, at, units, size ^ nr_ops);
	/* Buddies are aligned to their size, as far as the first payload is. */
	if (!core.bounded)
		EXPECT(!((unsigned long)payload(slot) & ((8UL << align_log) - 1)));
	else
		EXPECT(!((slot->at - 1) & (slot->units - 1)));
}

/* As the heap does it: claimed, so that a second free is seen. */
static void do_free(struct slot *slot)
{
	u64 header;

	if (!slot->at)
		return;
	header = core.base[slot->at];
	if (!whole(slot)) {
		EXPECT(spoilt);
		slot->at = 0;
		return;
	}
	check_contents(slot, room(slot->units));
	EXPECT(quarry__swap(core.base + slot->at, header, header ^ LIVE_TO_CACHED));
	EXPECT(header_sound(&core, slot->at, core.base[slot->at]));
	EXPECT(header_state(core.base[slot->at]) == STATE_CACHED);
	heap_core_free(&core, slot->at, core.base[slot->at]);
	/* Nobody can free it again: it is free, or its header is gone. */
	if (!spoilt)
		EXPECT(!whole(slot));
	slot->at = 0;
}

static void do_resize(struct slot *slot, u32 size)
{
	u32 units = heap_units(size), old = slot->units;

	if (!slot->at || (spoilt && !whole(slot)))
		return;
	if (!heap_core_resize(&core, slot->at, core.base[slot->at], units)) {
		EXPECT(units > old);
		if (spoilt)
			return;
		EXPECT(whole(slot));
		check_contents(slot, room(old));
		if (!core.bounded)
			EXPECT(slot->at + units >= core.units ||
			       blocked(slot->at + old, slot->at + units));
		return;
	}
	if (old > header_units(core.base[slot->at]))
		old = header_units(core.base[slot->at]);
	check_contents(slot, room(old) < EDGE ? room(old) : EDGE);
	slot->units = header_units(core.base[slot->at]);
	EXPECT(slot->units >= units);
	EXPECT(whole(slot));
	check_apart(slot);
	fill(slot);
}

/* What is said to be free must be had. */
static void do_largest(struct slot *slot)
{
	u32 units = heap_core_largest(&core), at;

	if (!units || slot->at || spoilt)
		return;
	at = heap_core_alloc(&core, units);
	EXPECT(at || spoilt);
	if (at)
		take(slot, at, units, nr_ops);
}

static void do_walk(u32 number)
{
	struct heap_seen seen;

	if (!core.cursor)
		core.cursor = 1;
	while (number--) {
		if (!heap_core_step(&core, &seen)) {
			core.cursor = 0;
			break;
		}
		EXPECT(seen.at + seen.units < core.units + 1);
		EXPECT(spoilt || !(seen.bad || seen.lost));
	}
}

/* Somebody else's pointer: what says who it belongs to may not crash. */
static void do_probe(u32 number)
{
	u32 at = number % (core.units - 1);
	bool interior;
	unsigned int i;
	u32 culprit = heap_core_culprit(&core, at, &interior);

	for (i = 0; !spoilt && i < SLOTS; i++)
		if (slots[i].at && slots[i].at < at && at - slots[i].at < 500 &&
		    slots[i].at + slots[i].units > at)
			EXPECT(culprit >= slots[i].at && interior);
}

static void hit(u32 from, u32 to)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		slots[i].hit |= slots[i].at && slots[i].at <= to &&
				slots[i].at + slots[i].units > from;
}

void fuzz_read(const void *at)
{
	u32 unit;

	if (!reads || --reads)
		return;
	unit = ((const u8 *)at - (const u8 *)core.base) / UNIT;
	spoilt = true;
	hit(unit, unit);
	/* A block's own number, written between two looks at its links, answers itself. */
	forged = core.base[unit] != other &&
		 (header_good(other, core.base + unit, core.secret) ||
		  (u32)other == unit - 1 || other >> 32 == unit - 1);
	core.base[unit] = other;
}

/* One of the next words that are read, by whatever operation, is another by then. */
static void overwrite_read(const u8 *bytes, u32 number)
{
	reads = 1 + (bytes[1] & 63);
	other = number;		/* small: a size, or a link */
	if (bytes[1] & 64)
		other |= (u64)number << 32;
	if (bytes[1] & 128)
		other *= 0x9e3779b97f4a7c15ULL;
}

/* Bytes of the stream over the region; false when they made a good header. */
static bool do_overwrite(const u8 *bytes, u32 number)
{
	u32 first = number % (core.units * UNIT - 8), i;
	u32 len = 1 + (bytes[0] & 7), from = first / UNIT, to = (first + len - 1) / UNIT;
	u64 before[2] = { core.base[from], core.base[to] };

	spoilt = true;
	hit(from, to);
	for (i = 0; i < len; i++)
		((u8 *)core.base)[first + i] = bytes[i % 4] * (i + 1) + nr_ops;
	return (core.base[from] == before[0] ||
		!header_good(core.base[from], core.base + from, core.secret)) &&
	       (core.base[to] == before[1] ||
		!header_good(core.base[to], core.base + to, core.secret));
}

static void check_all(void)
{
	struct heap_audit audit = { .at = 1 };
	u32 cursor = core.cursor;
	bool more = true;
	const char *why = NULL;

	core.cursor = 1;
	while (!why && more)
		why = heap_core_audit(&core, &audit, &more);
	if (!why)
		why = heap_core_audit_end(&core, &audit);
	core.cursor = cursor;
	if (spoilt)
		return;
	if (why)
		fprintf(stderr, "heap_fuzz: %s\n", why);
	EXPECT(!why);
	EXPECT(!core.faults);
}

/* All that was handed out comes back, and is one again. */
static void check_end(void)
{
	u32 largest;
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		do_free(&slots[i]);
	check_all();
	if (spoilt)
		return;
	reads = 0;
	largest = heap_core_largest(&core);
	if (core.bounded)
		EXPECT(largest == 1U << __fls(core.units - 2));
	else
		EXPECT(largest == core.units - 2);
}

static bool step(const u8 *op)
{
	struct slot *slot = &slots[op[1] % SLOTS];
	u32 number = op[2] | op[3] << 8;

	switch (op[0] % NR_OPERATIONS) {
	case ALLOC:
		do_alloc(slot, number % 256, 0);
		break;
	case ALLOC2:
		do_alloc(slot, number % (core.units * UNIT), 0);
		break;
	case FREE:
	case FREE2:
		do_free(slot);
		break;
	case RESIZE:
		do_resize(slot, number % (core.units * UNIT / 2));
		break;
	case ALIGNED:
		do_alloc(slot, number % 300, 1 + (op[0] / NR_OPERATIONS) % 8);
		break;
	case LARGEST:
		do_largest(slot);
		break;
	case WALK:
		do_walk(number % 16);
		break;
	case PROBE:
		do_probe(number);
		break;
	case OVERWRITE:
		/* Rare, or nothing else would be tried. */
		if (op[0] < 200)
			break;
		if (op[0] < 230)
			return do_overwrite(op, number);
		overwrite_read(op, number);
		break;
	}
	return true;
}

static unsigned long long all_ops;

static __attribute__((destructor)) void say_operations(void)
{
	fprintf(stderr, "heap_fuzz_operations: %llu\n", all_ops);
}

int fuzz_one_input(const u8 *data, size_t size);
int fuzz_one_input(const u8 *data, size_t size)
{
	size_t bytes, i;
	u64 secret;
	void *memory;

	if (size < 3)
		return 0;
	bytes = 256 + 8 * (data[0] >> 1 & 1) + 512UL * (data[0] >> 2 & 31);
	if (data[0] >> 7)
		bytes *= 8;
	secret = (data[1] | data[2] << 8) * 0x9e3779b97f4a7c15ULL | 1;
	memory = aligned_alloc(8, bytes);
	if (!memory)
		return 0;
	memset(memory, 0, bytes);
	memset(slots, 0, sizeof(slots));
	spoilt = false;
	forged = false;
	reads = 0;
	nr_ops = 0;
	EXPECT(heap_core_init(&core, memory, bytes, secret, data[0] & 1));
	for (i = 3; i + 4 <= size; i += 4) {
		if (!step(data + i) || forged)
			break;
		if (++nr_ops % AUDIT_EVERY == 0)
			check_all();
	}
	if (i + 4 > size)
		check_end();
	all_ops += nr_ops;
	free(memory);
	return 0;
}
