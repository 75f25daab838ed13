// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workloads made here. All are deterministic: the random numbers are
 * xorshift64* with one seed. Sizes are bytes asked for.
 */
#ifdef __KERNEL__
#include <linux/sort.h>

#define qsort(base, nr, size, compare)	sort(base, nr, size, compare, NULL)
#else
#include <stdlib.h>
#endif

#include "replay.h"

#define SEED	0x9E3779B97F4A7C15ull
#define MOST	131072u

static __u64 state;
static size_t live[MOST];	/* numbers of objects */
static size_t nr_live;

static void begin(void)
{
	state = SEED;
	nr_live = 0;
}

static __u32 draw(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545F4914F6CDD1Dull) >> 32;
}

static size_t between(size_t low, size_t high)
{
	return low + draw() % (high - low + 1);
}

static void put(struct session *s, size_t size)
{
	live[nr_live++] = session_alloc(s, size, 8);
}

static void drop(struct session *s, size_t pick)
{
	session_free(s, live[pick]);
	live[pick] = live[--nr_live];
}

/* 32 and 64 bytes in turn; every tenth allocation clears all that there is first. */
static void alternating(struct session *s)
{
	unsigned int i;

	begin();
	for (i = 0; i < 100000 && !s->failed; i++) {
		if (i % 10 == 9)
			while (nr_live)
				drop(s, nr_live - 1);
		put(s, i & 1 ? 64 : 32);
	}
	while (nr_live)
		drop(s, nr_live - 1);
}

/* So many live, of which one at random is replaced, so many times. */
static void churn(struct session *s, size_t (*size)(void), unsigned int blocks,
		  unsigned int steps)
{
	unsigned int i;

	begin();
	while (nr_live < blocks && !s->failed)
		put(s, size());
	for (i = 0; i < steps && !s->failed; i++) {
		drop(s, draw() % nr_live);
		put(s, size());
	}
}

/* 17 to 4096: an octave, each half as likely as the one below, uniform in it. */
static size_t geometric_size(void)
{
	__u32 octave = __builtin_ctz(draw() | 1u << 7) + 4;

	return (1u << octave) + 1 + draw() % (1u << octave);
}

/* 17 to 4096: octaves equally likely. */
static size_t uniform_size(void)
{
	__u32 octave = draw() % 8 + 4;

	return (1u << octave) + 1 + draw() % (1u << octave);
}

/*
 * At least size x with the probability 16/x: as many bytes in each octave. In
 * integers, so that it is the same everywhere.
 */
static size_t power_size(void)
{
	size_t size = (16ull << 32) / ((__u64)draw() + 1);

	return size < 65536 ? size : 65536;
}

static void geometric(struct session *s)
{
	churn(s, geometric_size, 10000, 100000);
}

static void uniform(struct session *s)
{
	churn(s, uniform_size, 10000, 100000);
}

static void power(struct session *s)
{
	churn(s, power_size, 5000, 100000);
}

/*
 * A program in phases, each with sizes of its own and a megabyte live; at its end
 * nine of ten blocks go, the tenth stays for as long as the program does.
 */
static void phases(struct session *s)
{
	static const size_t sizes[][2] = {
		{ 16, 64 }, { 500, 600 }, { 24, 2048 }, { 128, 128 },
		{ 4000, 4096 }, { 16, 256 }, { 1500, 1536 }, { 48, 96 },
	};
	size_t phase, kept = 0, high, bytes;
	unsigned int i;

	begin();
	for (phase = 0; phase < 8 && !s->failed; phase++) {
		high = sizes[phase][1];
		for (bytes = s->live; s->live - bytes < 1 << 20 && !s->failed;)
			put(s, between(sizes[phase][0], high));
		for (i = 0; i < 10000 && !s->failed; i++) {
			drop(s, kept + draw() % (nr_live - kept));
			put(s, between(sizes[phase][0], high));
		}
		for (bytes = (nr_live - kept) / 10; nr_live - kept > bytes;)
			drop(s, kept + draw() % (nr_live - kept));
		kept = nr_live;
	}
}

#define UNIT	64
#define BUDGET	((size_t)1 << 20)	/* bytes live at most, blocks as they lie */
#define STEPS	9			/* up to 64 << 9, 32 KiB */

static void put_block(struct session *s, size_t bytes)
{
	put(s, bytes - s->backend->header);
}

/* Is an address in it that is remainder modulo step? */
static bool occupies(const struct session *s, size_t object, size_t remainder,
		     size_t step)
{
	const struct extent *extent = &s->objects[object].extent;

	return ((remainder - extent->begin) & (step - 1)) < extent->length;
}

static size_t gain(const struct session *s, size_t remainder, size_t step)
{
	size_t i, sum = 0;

	for (i = 0; i < nr_live; i++)
		if (occupies(s, live[i], remainder, step))
			sum += step - s->objects[live[i]].extent.length;
	return sum;
}

/*
 * Robson's program, which no allocator that does not move blocks can serve in less
 * than M/2 log2 n + M - n + 1 words (J. M. Robson, "Bounds for some functions
 * concerning dynamic storage allocation", Journal of the ACM 21(3), 1974). Sizes
 * double step by step. Kept are the blocks in which one address modulo the step
 * lies, chosen of two so that what is kept spoils most room.
 */
static void robson(struct session *s)
{
	size_t step, remainder = 0, used = 0, i;

	begin();
	while (used + UNIT <= BUDGET && !s->failed) {
		put_block(s, UNIT);
		used += UNIT;
	}
	for (step = 2 * UNIT; step <= UNIT << STEPS && !s->failed; step *= 2) {
		if (gain(s, remainder + step / 2, step) > gain(s, remainder, step))
			remainder += step / 2;
		for (i = nr_live; i--;)
			if (!occupies(s, live[i], remainder, step))
				drop(s, i);
		for (used = 0, i = 0; i < nr_live; i++)
			used += s->objects[live[i]].extent.length;
		for (; used + step <= BUDGET && !s->failed; used += step)
			put_block(s, step);
	}
}

/*
 * Robson's program against best fit, after which the memory holds little but
 * (n - 3) free units and 1 in use in turn (J. M. Robson, "Worst case fragmentation of
 * first fit and best fit storage allocation strategies", Computer Journal 20(3), 1977;
 * in these words: D. E. Knuth, "The Art of Computer Programming" vol. 1, section
 * 2.5, answer 42). It makes best fit need (M - 4n + 11)(n - 2) units, with an end that is
 * a little better than the one here.
 *
 * It looks at no address, but knows what best fit does: with R for blocks in use and F
 * for free ones, it makes R_n-2 (F_n-3 R_1)^(k+1) of the same with k. A gap of
 * the wrong size, made at the far end, is exchanged with pair after pair until it
 * is at the beginning, where the first block takes up the difference.
 */
#define WORD	16	/* bytes in a unit: so small that the heap is an exact best fit */
#define WORDS	256	/* M: live at most */
#define LARGEST	16	/* n */

static size_t words(struct session *s, size_t nr)
{
	return session_alloc(s, nr * WORD - s->backend->header, 8);
}

/* F_2n-4 becomes F_n R_n-5 R_1: the middle one, and the last. */
static size_t carve(struct session *s, size_t *last)
{
	size_t first = words(s, LARGEST), middle = words(s, LARGEST - 5);

	*last = words(s, 1);
	session_free(s, first);
	return middle;
}

/* Bytes behind a block, to the end of the region. */
static size_t behind(const struct session *s, size_t object)
{
	const struct extent *extent = &s->objects[object].extent;

	return s->region - (extent->begin + extent->length);
}

/*
 * live[0] is the first block, the others are each pair's R_1. When what is left at
 * the end would be a better fit than the gaps that are to be used, all that there may
 * be is asked for in blocks that fit into no F_n-3.
 */
static void robson_best(struct session *s)
{
	size_t pairs, i, block, guard, middle, old, two;

	live[0] = words(s, LARGEST - 2);
	for (pairs = 0; pairs + 4 * LARGEST - 11 <= WORDS && !s->failed; pairs++) {
		if (behind(s, live[pairs]) < 4 * (LARGEST - 2) * WORD) {
			for (i = pairs + LARGEST - 2; i + LARGEST - 2 <= WORDS && !s->failed;
			     i += LARGEST - 2)
				words(s, LARGEST - 2);
			return;
		}
		block = words(s, LARGEST - 2);
		guard = words(s, LARGEST - 2);
		session_free(s, live[pairs]);
		session_free(s, block);
		middle = carve(s, &live[pairs + 1]);
		session_free(s, guard);
		for (i = pairs; i-- && !s->failed;) {
			block = words(s, LARGEST - 2);
			two = words(s, 2);
			session_free(s, live[i]);
			session_free(s, block);
			old = middle;
			middle = carve(s, &live[i + 1]);
			session_free(s, two);
			session_free(s, old);
		}
		session_free(s, middle);
		live[0] = words(s, LARGEST - 2);
	}
}

static struct session *sorting;

static int by_address(const void *a, const void *b)
{
	size_t x = sorting->objects[*(const size_t *)a].extent.begin;
	size_t y = sorting->objects[*(const size_t *)b].extent.begin;

	return x < y ? -1 : x > y;
}

/*
 * Half of the blocks go, every other one by address; then as many bytes are asked
 * for in blocks of twice the size, none of which fits into a gap: the checkerboard
 * (B. Randell, "A note on storage fragmentation and program segmentation",
 * Communications of the ACM 12(7), 1969, has the question).
 */
static void halving(struct session *s)
{
	size_t size, i, freed, used = 0;

	begin();
	while (used + UNIT <= BUDGET && !s->failed) {
		put_block(s, UNIT);
		used += UNIT;
	}
	for (size = 2 * UNIT; size <= UNIT << STEPS && !s->failed; size *= 2) {
		sorting = s;
		qsort(live, nr_live, sizeof(live[0]), by_address);
		for (i = 0, freed = 0; i < nr_live; i += 2) {
			freed += s->objects[live[i]].extent.length;
			session_free(s, live[i]);
		}
		for (i = 0; 2 * i + 1 < nr_live; i++)
			live[i] = live[2 * i + 1];
		nr_live = i;
		for (; freed >= size && !s->failed; freed -= size)
			put_block(s, size);
	}
}

const struct workload workloads[] = {
	{ .name = "alternating", .run = alternating },
	{ .name = "geometric", .run = geometric },
	{ .name = "uniform-octaves", .run = uniform },
	{ .name = "power-law", .run = power },
	{ .name = "phases", .run = phases },
	{ .name = "robson", .run = robson, .adapts = true },
	{ .name = "robson-best", .run = robson_best, .adapts = true },
	{ .name = "halving", .run = halving, .adapts = true },
};

const unsigned int nr_workloads = ARRAY_SIZE(workloads);
