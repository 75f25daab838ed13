// SPDX-License-Identifier: GPL-2.0-only
/*
 * Overruns, stray writes and forged headers: each is found by the operation that
 * meets it, is reported with the block in front, and the rest of the heap goes on
 * serving. And random bytes over headers and payloads, then thousands of
 * operations: nothing crashes, and no block is handed out over one that is sound.
 *
 * The writes are made past KASAN, which would see them at once.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include "../kmod/heap.h"
#include "heap_util.h"

static ulong seed;
module_param(seed, ulong, 0400);
MODULE_PARM_DESC(seed, "seed of the random writes (0: a new one)");

static uint rounds = 24 / SLOWDOWN;
module_param(rounds, uint, 0400);
MODULE_PARM_DESC(rounds, "heaps that are overwritten");

static noinline __no_sanitize_address void scribble(void *to, u8 value, size_t size)
{
	u8 *p = to;

	while (size--)
		WRITE_ONCE(*p++, value);
}

static noinline __no_sanitize_address u64 peek(const u64 *from)
{
	return READ_ONCE_NOCHECK(*from);
}

static noinline __no_sanitize_address void forge_word(u64 *word, u64 value)
{
	WRITE_ONCE(*word, value);
}

/*
 * A corrupt heap may keep live blocks that nobody can free: it is then destroyed
 * as leaked, and its memory, which was lent, is not looked at again.
 */
static struct quarry_heap *borrowed_heap(struct kunit *test, const char *name,
					 unsigned int flags)
{
	struct quarry_heap_args args = { .flags = flags, .memory_size = SZ_16K };
	struct quarry_heap *heap;

	args.memory = kunit_kzalloc(test, SZ_16K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, args.memory);
	heap = create_heap(test, name, SZ_16K, &args);
	return heap;
}

static void expect_serving(struct kunit *test, struct quarry_heap *heap)
{
	void *a = quarry_heap_alloc(heap, 100), *b = quarry_heap_alloc(heap, 300);

	KUNIT_EXPECT_NOT_NULL(test, a);
	KUNIT_EXPECT_NOT_NULL(test, b);
	quarry_heap_free(heap, a);
	quarry_heap_free(heap, b);
}

#define FRONT_IS_16	"the block in front of it, at offset 16, most likely overran"

/* The first word of the region: no block, and none in front of it. */
static void heap_first_word_is_no_block(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "first", 0);
	u8 *first = quarry_heap_alloc(heap, 40);

	KUNIT_ASSERT_NOT_NULL(test, first);
	quarry_heap_free(heap, first - 8);
	expect_reports(test, 1, "interior pointer at offset 8");
	KUNIT_EXPECT_NULL(test, quarry_heap_realloc(heap, first - 8, 100));
	expect_reports(test, 1, "interior pointer at offset 8");
	quarry_heap_free(heap, first);
}

/* A walk that meets the overwritten header of a long block leaves its payload alone. */
static void heap_walk_writes_no_payload(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "long", 0);
	u8 *culprit = quarry_heap_alloc(heap, 40), *victim = quarry_heap_alloc(heap, 5000);
	void *last = quarry_heap_alloc(heap, 40);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, last);
	memset(victim, 0x5a, 5000);
	scribble(culprit + 40, 0x41, 1);
	for (i = 0; i < 3; i++) {
		heap_stats_of(heap);
		quarry_heap_verify(heap);
		atomic_set(&capture.nr, 0);
	}
	KUNIT_EXPECT_NULL(test, memchr_inv(victim, 0x5a, 5000));
	KUNIT_EXPECT_LE(test, heap_stats_of(heap).bytes_free, SZ_16K);
	KUNIT_EXPECT_LE(test, heap_stats_of(heap).fragmentation, 1000ULL);
	expect_serving(test, heap);
	quarry_heap_free(heap, culprit);
	quarry_heap_free(heap, last);
	quarry_heap_free(heap, victim);
	expect_reports(test, 1, "offset 64");
}

/* A block's header overwritten by the block in front: found by its own free. */
static void heap_overrun_is_found_by_the_victims_free(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "victim", 0);
	u8 *culprit = quarry_heap_alloc(heap, 40), *victim = quarry_heap_alloc(heap, 40);

	KUNIT_ASSERT_NOT_NULL(test, victim);
	scribble(culprit + 40, 0x41, 1);
	quarry_heap_free(heap, victim);
	expect_reports(test, 1, "header of the block at offset 64; " FRONT_IS_16);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).refused_corrupt, 1ULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).corrupt, 1ULL);
	quarry_heap_free(heap, culprit);
	quarry_heap_flush(heap);
	expect_reports(test, 1, "header of the block at offset 64 overwritten; " FRONT_IS_16);
	expect_serving(test, heap);
	atomic_set(&capture.nr, 0);
}

/* The same found by the culprit's free, which looks at the next header. */
static void heap_overrun_is_found_by_the_culprits_free(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "culprit", QUARRY_HEAP_NO_FRONT);
	u8 *culprit = quarry_heap_alloc(heap, 40), *victim = quarry_heap_alloc(heap, 40);

	KUNIT_ASSERT_NOT_NULL(test, victim);
	scribble(victim - 4, 0x99, 2);
	quarry_heap_free(heap, culprit);
	expect_reports(test, 1, "at offset 16, most likely overran");
	expect_serving(test, heap);
	atomic_set(&capture.nr, 0);
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), -EUCLEAN);
	expect_reports(test, 1, "a header was overwritten");
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).fenced, 48ULL);
	quarry_heap_free(heap, victim);
	expect_reports(test, 1, "overwritten header");
}

/* A free block's links: the request that would take it cuts it off. */
static void heap_links_are_checked_before_use(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "links", QUARRY_HEAP_NO_FRONT);
	u8 *ptr[6];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ptr); i++)
		ptr[i] = quarry_heap_alloc(heap, 40);
	for (i = 0; i < ARRAY_SIZE(ptr); i += 2)
		quarry_heap_free(heap, ptr[i]);
	scribble(ptr[0], 0xff, 4);
	KUNIT_EXPECT_NOT_NULL(test, quarry_heap_alloc(heap, 40));
	expect_reports(test, 1, "links of the block");
	scribble(ptr[2] + 4, 0x07, 1);
	quarry_heap_free(heap, ptr[1]);
	atomic_set(&capture.nr, 0);
	expect_serving(test, heap);
	KUNIT_EXPECT_GT(test, heap_stats_of(heap).corrupt, 1ULL);
	atomic_set(&capture.nr, 0);
	for (i = 3; i < ARRAY_SIZE(ptr); i += 2)
		quarry_heap_free(heap, ptr[i]);
	atomic_set(&capture.nr, 0);
}

/* How many blocks of @size are to be had; they stay live. */
static int count_blocks(struct quarry_heap *heap, size_t size)
{
	int nr = 0;

	while (quarry_heap_alloc(heap, size))
		nr++;
	return nr;
}

/*
 * The first block of a list is overwritten: it alone is given up. Those behind it on the
 * list, which nothing leads to any more, are put back by a verify, more than it may put
 * back in one step.
 */
static void heap_verify_puts_back_what_was_cut_off(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "mend", QUARRY_HEAP_NO_FRONT);
	static u8 *ptr[160];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ptr); i++)
		ptr[i] = quarry_heap_alloc(heap, 40);
	KUNIT_ASSERT_NOT_NULL(test, ptr[159]);
	count_blocks(heap, 40);
	for (i = 0; i < ARRAY_SIZE(ptr); i += 2)
		quarry_heap_free(heap, ptr[i]);
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), 0);
	scribble(ptr[0], 0xff, 8);
	KUNIT_EXPECT_NULL(test, quarry_heap_alloc(heap, 40));
	expect_reports(test, 1, "links of the block");
	for (i = 0; i < 2; i++) {
		atomic_set(&capture.nr, 0);
		KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), -EUCLEAN);
		expect_reports(test, 1, "a free block's links were overwritten");
	}
	atomic_set(&capture.nr, 0);
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), 0);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).fenced, 48ULL);
	KUNIT_EXPECT_EQ(test, count_blocks(heap, 40), 79);
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), 0);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).corrupt, 1ULL);
}

/* The size at a free block's end leads nowhere it should not. */
static void heap_size_at_the_end_is_checked(struct kunit *test)
{
	static const u8 values[] = { 0x00, 0x01, 0x03, 0x40, 0xff };
	struct quarry_heap *heap = borrowed_heap(test, "tag", QUARRY_HEAP_NO_FRONT);
	u8 *front, *behind;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		front = quarry_heap_alloc(heap, 40);
		behind = quarry_heap_alloc(heap, 40);
		KUNIT_ASSERT_NOT_NULL(test, behind);
		quarry_heap_free(heap, front);
		scribble(behind - 16, values[i], 8);
		quarry_heap_free(heap, behind);
		expect_reports(test, 1, NULL);
		atomic_set(&capture.nr, 0);
	}
	expect_serving(test, heap);
	atomic_set(&capture.nr, 0);
}

/* A header copied from elsewhere is not good there; nor is one of another heap. */
static void heap_header_is_bound_to_its_address(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "copy", QUARRY_HEAP_NO_FRONT);
	u8 *from = quarry_heap_alloc(heap, 40), *to = quarry_heap_alloc(heap, 400);
	u64 forged;
	size_t at;

	KUNIT_ASSERT_NOT_NULL(test, to);
	for (at = 8; at < 300; at += 8) {
		forged = peek((u64 *)from - 1);
		memcpy(to + at - 8, &forged, 8);
		quarry_heap_free(heap, to + at);
		expect_reports(test, 1, "interior pointer");
	}
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).live, 2ULL);
	quarry_heap_free(heap, from);
	quarry_heap_free(heap, to);
}

static void expect_cached_checked(struct kunit *test, size_t size, size_t align)
{
	struct quarry_heap_args args = {
		.front = SZ_256K, .memory = kunit_kzalloc(test, SZ_16K, GFP_KERNEL),
		.memory_size = SZ_16K,
	};
	struct quarry_heap *heap = create_heap(test, "cached", SZ_16K, &args);
	u8 *ptr;

	ptr = quarry_heap_alloc_aligned(heap, size, align);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	quarry_heap_free(heap, ptr);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).cached, 1ULL);
	scribble(ptr - 8, 0x66, 8);
	ptr = quarry_heap_alloc_aligned(heap, size, align);
	KUNIT_EXPECT_NOT_NULL(test, ptr);
	expect_reports(test, 1, "overwritten");
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).corrupt, 1ULL);
	quarry_heap_free(heap, ptr);
}

/* A cached block whose header is gone is dropped, and the request still served. */
static void heap_cached_block_is_checked(struct kunit *test)
{
	expect_cached_checked(test, 24, 8);
	expect_cached_checked(test, 200, 8);	/* of a class of several sizes */
	expect_cached_checked(test, 200, 64);
}

/* As the free of a live block in an NMI does while another has the lock. */
static void put_off(struct quarry_heap *heap, u8 *ptr)
{
	u64 *at = (u64 *)ptr - 1;

	forge_word(at, peek(at) ^ LIVE_TO_CACHED);
	atomic_long_inc(&heap->nr_deferred);
	atomic_long_inc(&heap->pending);
	llist_add((struct llist_node *)ptr, &heap->deferred);
	WRITE_ONCE(heap->alarm, true);
}

/*
 * Of two that were put off the later one has lost its header, or its link: what lies
 * behind is given up, with a word of it, and the next request is served.
 */
static void expect_deferred_checked(struct kunit *test, bool link)
{
	struct quarry_heap *heap = borrowed_heap(test, link ? "link" : "header", 0);
	u64 *foreign = kunit_kzalloc(test, 64, GFP_KERNEL);
	u8 *ptr[2];

	KUNIT_ASSERT_NOT_NULL(test, foreign);
	ptr[0] = quarry_heap_alloc(heap, 40);
	ptr[1] = quarry_heap_alloc(heap, 40);
	KUNIT_ASSERT_NOT_NULL(test, ptr[0]);
	KUNIT_ASSERT_NOT_NULL(test, ptr[1]);
	put_off(heap, ptr[0]);
	put_off(heap, ptr[1]);
	if (link)
		WRITE_ONCE(*(u64 **)ptr[1], foreign + 4);
	else
		scribble(ptr[1] - 8, 0x66, 8);
	expect_serving(test, heap);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).corrupt, 1ULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).pending, 0ULL);
	expect_serving(test, heap);
}

/*
 * As many as one holder of the lock does, the last of which has lost its link. The next
 * holder gives up what is not there, and does not forget what came meanwhile.
 */
static void heap_deferred_after_a_lost_link_is_freed(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "lost", QUARRY_HEAP_NO_FRONT);
	u64 *foreign = kunit_kzalloc(test, 64, GFP_KERNEL);
	u8 *ptr[DRAIN + 1], *other;
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, foreign);
	for (i = 0; i <= DRAIN; i++) {
		ptr[i] = quarry_heap_alloc(heap, 40);
		KUNIT_ASSERT_NOT_NULL(test, ptr[i]);
	}
	for (i = 0; i < DRAIN; i++)
		put_off(heap, ptr[i]);
	WRITE_ONCE(*(u64 **)ptr[0], foreign + 4);
	other = quarry_heap_alloc(heap, 100);
	put_off(heap, ptr[DRAIN]);
	quarry_heap_free(heap, other);
	expect_serving(test, heap);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).corrupt, 1ULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).pending, 0ULL);
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).live, 0ULL);
	expect_reports(test, 0, NULL);
}

static void heap_deferred_block_is_checked(struct kunit *test)
{
	expect_deferred_checked(test, false);
	expect_reports(test, 1, "overwritten");
	expect_deferred_checked(test, true);
	expect_reports(test, 0, NULL);
}

/* Random bytes */

#define NR_PTRS		64

struct fuzz {
	struct quarry_heap *heap;
	struct rnd_state random;
	u8 *ptr[NR_PTRS];
	size_t size[NR_PTRS];
	size_t overlaps;
};

static u32 below(struct fuzz *f, u32 limit)
{
	return prandom_u32_state(&f->random) % limit;
}

/* The block is whole when the heap still takes it for live, and as large. */
static void expect_apart(struct fuzz *f, u32 new)
{
	u32 i;

	for (i = 0; i < NR_PTRS; i++) {
		size_t room;

		if (i == new || !f->ptr[i])
			continue;
		room = quarry_heap_usable_size(f->heap, f->ptr[i]);
		if (room != f->size[i])
			continue;
		f->overlaps += f->ptr[i] < f->ptr[new] + f->size[new] &&
			       f->ptr[new] < f->ptr[i] + room;
	}
}

static void one_operation(struct fuzz *f)
{
	u32 i = below(f, NR_PTRS);

	if (!f->ptr[i]) {
		f->ptr[i] = quarry_heap_alloc(f->heap, below(f, 300));
	} else if (below(f, 4)) {
		quarry_heap_free(f->heap, f->ptr[i]);
		f->ptr[i] = NULL;
	} else {
		u8 *ptr = quarry_heap_realloc(f->heap, f->ptr[i], below(f, 600));

		f->ptr[i] = ptr ?: f->ptr[i];
	}
	if (!f->ptr[i])
		return;
	f->size[i] = quarry_heap_usable_size(f->heap, f->ptr[i]);
	expect_apart(f, i);
}

static void overwrite(struct fuzz *f, u8 *memory)
{
	u32 i, nr = 1 + below(f, 12);

	for (i = 0; i < nr; i++)
		scribble(memory + below(f, SZ_16K - 16), below(f, 256), 1 + below(f, 12));
}

/* How much was found. */
static u64 fuzz_one(struct kunit *test, ulong from, unsigned int flags)
{
	struct fuzz *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	u8 *memory = kunit_kzalloc(test, SZ_16K, GFP_KERNEL);
	struct quarry_heap_args args = { .flags = flags };
	u64 found;
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, f);
	KUNIT_ASSERT_NOT_NULL(test, memory);
	args.memory = memory;
	args.memory_size = SZ_16K;
	if (!flags)	/* by default so small a heap has none */
		args.front = SZ_4K * num_possible_cpus();
	prandom_seed_state(&f->random, from);
	f->heap = quarry_heap_create("fuzz", SZ_16K, &args);
	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(f->heap), 0);
	for (i = 0; i < 2000; i++) {
		one_operation(f);
		if (i % 200 == 100)
			overwrite(f, memory);
		if (i % 500 == 499)
			quarry_heap_verify(f->heap);
	}
	KUNIT_EXPECT_EQ_MSG(test, f->overlaps, 0, "seed %lu", from);
	for (i = 0; i < NR_PTRS; i++)
		quarry_heap_free(f->heap, f->ptr[i]);
	quarry_heap_flush(f->heap);
	found = heap_stats_of(f->heap).corrupt;
	/* Live blocks are left where headers are gone: the handle is given up. */
	quarry_heap_destroy(f->heap);
	atomic_set(&capture.nr, 0);
	return found;
}

static void heap_survives_random_bytes(struct kunit *test)
{
	ulong from = seed ?: get_random_u32();
	u64 found = 0;
	uint i;

	for (i = 0; i < rounds; i++)
		found += fuzz_one(test, from + i, i % 4 == 3 ? QUARRY_HEAP_BOUNDED :
				  i % 4 == 2 ? QUARRY_HEAP_NO_FRONT : 0);
	kunit_info(test, "seed %lu: %llu bad headers and links found", from, found);
	KUNIT_EXPECT_GT(test, found, 0ULL);
}

/* Links and sizes that lie, each with a good header: what it is that they do not reach. */

static u32 number_of(struct quarry_heap *heap, const void *block)
{
	return (const u64 *)block - 1 - heap->region[0]->core.base;
}

/* In place of the one before: there is none, and this is the list for blocks of @size. */
static u32 first_of(size_t size)
{
	return FIRST | heap_core_class(heap_units(size));
}

/* As in a free block: the next one of its list and the one before. */
static noinline __no_sanitize_address void forge_links(void *block, u32 next, u32 prev)
{
	WRITE_ONCE(((u32 *)block)[0], next);
	WRITE_ONCE(((u32 *)block)[1], prev);
}

/* Blocks of these sizes, side by side, each filled. */
static void take_row(struct kunit *test, struct quarry_heap *heap,
		     const size_t *sizes, u8 **blocks, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		blocks[i] = quarry_heap_alloc(heap, sizes[i]);
		KUNIT_ASSERT_NOT_NULL(test, blocks[i]);
		memset(blocks[i], 0x5a, sizes[i]);
	}
}

/* All that is to be had is written to; what was live before is not in it. */
static void fill_up(struct quarry_heap *heap, size_t size)
{
	static void *blocks[SZ_16K / 16];
	size_t nr = 0;

	while (nr < ARRAY_SIZE(blocks) && (blocks[nr] = quarry_heap_alloc(heap, size)))
		memset(blocks[nr++], 0xff, size);
	while (nr)
		quarry_heap_free(heap, blocks[--nr]);
}

static void heap_free_writes_to_no_block_that_does_not_answer(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "order", QUARRY_HEAP_NO_FRONT);
	static const size_t sizes[] = { 64, 64, 64, 64 };
	u8 *row[4];

	take_row(test, heap, sizes, row, 4);
	quarry_heap_free(heap, row[0]);
	forge_links(row[0], number_of(heap, row[1]), first_of(64));
	quarry_heap_free(heap, row[2]);
	KUNIT_EXPECT_NULL(test, memchr_inv(row[1], 0x5a, 64));
	expect_serving(test, heap);
	quarry_heap_free(heap, row[1]);
	quarry_heap_free(heap, row[3]);
	atomic_set(&capture.nr, 0);
}

/* It answers itself: it would be taken off its list, and be the first there still. */
static void heap_links_to_itself_are_no_links(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "self", QUARRY_HEAP_NO_FRONT);
	static const size_t sizes[] = { 64, 64, 64, 64, 64, 64, 64 };
	u8 *row[7], *ptr;
	u32 self;

	take_row(test, heap, sizes, row, 7);
	self = number_of(heap, row[1]);
	quarry_heap_free(heap, row[1]);
	forge_links(row[1], self, self);
	/* It is behind what is freed, then first of a list that is asked for and added to. */
	quarry_heap_free(heap, row[0]);
	expect_reports(test, 1, "links");
	self = number_of(heap, row[5]);
	quarry_heap_free(heap, row[5]);
	forge_links(row[5], self, self);
	ptr = quarry_heap_alloc(heap, 64);
	KUNIT_ASSERT_NOT_NULL(test, ptr);
	memset(ptr, 0x5a, 64);
	quarry_heap_free(heap, row[3]);
	KUNIT_EXPECT_NULL(test, memchr_inv(ptr, 0x5a, 64));
	quarry_heap_free(heap, ptr);
	quarry_heap_free(heap, row[2]);
	quarry_heap_free(heap, row[4]);
	quarry_heap_free(heap, row[6]);
	atomic_set(&capture.nr, 0);
}

/* A block in the midst of a list says that it is the first: those in front of it stay. */
static void heap_first_of_a_list_is_who_the_list_says(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "claim", QUARRY_HEAP_NO_FRONT);
	static const size_t sizes[] = { 64, 64, 64, 64, 64 };
	u8 *row[ARRAY_SIZE(sizes)], *again;

	take_row(test, heap, sizes, row, ARRAY_SIZE(sizes));
	quarry_heap_free(heap, row[0]);
	quarry_heap_free(heap, row[2]);
	forge_links(row[2], 0, first_of(64));
	quarry_heap_free(heap, row[3]);
	expect_reports(test, 1, "links of the block");
	again = quarry_heap_alloc(heap, 64);
	KUNIT_EXPECT_PTR_EQ(test, again, row[0]);
	quarry_heap_free(heap, again);
	quarry_heap_free(heap, row[1]);
	quarry_heap_free(heap, row[4]);
	atomic_set(&capture.nr, 0);
}

static void heap_size_at_the_end_is_not_believed(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "tag", QUARRY_HEAP_NO_FRONT);
	static const size_t sizes[] = { 64, 64, 64, 64, 64, 64, 64 };
	u8 *row[7];

	take_row(test, heap, sizes, row, 7);
	quarry_heap_free(heap, row[0]);
	quarry_heap_free(heap, row[2]);
	quarry_heap_free(heap, row[4]);
	/*
	 * The block in front of the sixth says that it begins where the third does,
	 * which is free, in the middle of its list.
	 */
	forge_word((u64 *)row[5] - 2, number_of(heap, row[5]) - number_of(heap, row[2]));
	quarry_heap_free(heap, row[5]);
	KUNIT_EXPECT_GT(test, atomic_read(&capture.nr), 0);
	fill_up(heap, 64);
	KUNIT_EXPECT_NULL(test, memchr_inv(row[3], 0x5a, 64));
	quarry_heap_free(heap, row[1]);
	quarry_heap_free(heap, row[3]);
	quarry_heap_free(heap, row[6]);
	atomic_set(&capture.nr, 0);
}

static void heap_block_on_the_wrong_list_is_not_handed_out(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "list", QUARRY_HEAP_NO_FRONT);
	static const size_t sizes[] = { 64, 64, 200, 64 };
	u8 *row[4], *first, *second;

	take_row(test, heap, sizes, row, 4);
	quarry_heap_free(heap, row[0]);
	quarry_heap_free(heap, row[2]);
	forge_links(row[2], number_of(heap, row[0]), first_of(200));
	forge_links(row[0], 0, number_of(heap, row[2]));
	first = quarry_heap_alloc(heap, 200);
	second = quarry_heap_alloc(heap, 200);
	KUNIT_EXPECT_PTR_EQ(test, first, row[2]);
	KUNIT_ASSERT_NOT_NULL(test, second);
	memset(second, 0xff, 200);
	KUNIT_EXPECT_NULL(test, memchr_inv(row[1], 0x5a, 64));
	quarry_heap_free(heap, first);
	quarry_heap_free(heap, second);
	quarry_heap_free(heap, row[1]);
	quarry_heap_free(heap, row[3]);
	atomic_set(&capture.nr, 0);
}

static void heap_realloc_grows_into_no_live_block(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "grow", QUARRY_HEAP_NO_FRONT);
	static const size_t sizes[] = { 64, 200, 64, 200, 64, 150, 64 };
	u8 *row[7], *moved;

	take_row(test, heap, sizes, row, 7);
	quarry_heap_free(heap, row[3]);
	quarry_heap_free(heap, row[5]);
	/* The live second block says that it is the fourth's successor on its list. */
	forge_links(row[3], number_of(heap, row[1]), first_of(200));
	forge_links(row[1], 0, number_of(heap, row[3]));
	moved = quarry_heap_realloc(heap, row[0], 150);
	KUNIT_EXPECT_PTR_EQ(test, moved, row[5]);
	KUNIT_EXPECT_NULL(test, memchr_inv(row[1] + 8, 0x5a, 192));
	forge_links(row[3], 0, first_of(200));
	quarry_heap_free(heap, moved);
	quarry_heap_free(heap, row[1]);
	quarry_heap_free(heap, row[2]);
	quarry_heap_free(heap, row[4]);
	quarry_heap_free(heap, row[6]);
	atomic_set(&capture.nr, 0);
}

/*
 * The first block of a list says that there is one in front of it: a walk does not take
 * it for lost and put it in front of itself, where it would be handed out and stay.
 */
static void heap_first_of_a_list_is_not_lost(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "ring", QUARRY_HEAP_NO_FRONT);
	static const size_t sizes[] = { 64, 64, 64, 64, 64 };
	u8 *row[ARRAY_SIZE(sizes)], *again;

	take_row(test, heap, sizes, row, ARRAY_SIZE(sizes));
	quarry_heap_free(heap, row[1]);
	forge_links(row[1], 0, number_of(heap, row[4]));
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), -EUCLEAN);
	expect_reports(test, 1, "not on its list");
	again = quarry_heap_alloc(heap, 64);
	KUNIT_ASSERT_NOT_NULL(test, again);
	memset(again, 0x5a, 64);
	quarry_heap_free(heap, row[3]);
	KUNIT_EXPECT_NULL(test, memchr_inv(again, 0x5a, 64));
	quarry_heap_free(heap, again);
	quarry_heap_free(heap, row[0]);
	quarry_heap_free(heap, row[2]);
	quarry_heap_free(heap, row[4]);
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), 0);
}

/*
 * A block in the midst of a list is overwritten: a walk finds it again, and the one in front
 * of it in the list, which is healthy, stays in use.
 */
static void heap_neighbours_in_a_list_stay_in_use(struct kunit *test)
{
	struct quarry_heap *heap = borrowed_heap(test, "amid", QUARRY_HEAP_NO_FRONT);
	static const size_t sizes[] = { 64, 64, 64, 64, 64, 64, 64 };
	u8 *row[ARRAY_SIZE(sizes)];
	size_t i;

	take_row(test, heap, sizes, row, ARRAY_SIZE(sizes));
	for (i = 1; i < 6; i += 2)
		quarry_heap_free(heap, row[i]);
	/* By address: 1, 3, 5 */
	scribble(row[3], 0xff, 8);
	for (i = 0; i < 4 && quarry_heap_verify(heap); i++)
		atomic_set(&capture.nr, 0);
	KUNIT_EXPECT_GT(test, i, 0UL);
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), 0);
	for (i = 1; i < 6; i += 2) {
		row[i] = quarry_heap_alloc(heap, 64);
		KUNIT_ASSERT_NOT_NULL(test, row[i]);
		KUNIT_EXPECT_LT(test, (unsigned long)row[i], (unsigned long)row[6]);
	}
	KUNIT_EXPECT_EQ(test, heap_stats_of(heap).fenced, 0ULL);
	for (i = 0; i < ARRAY_SIZE(row); i++)
		quarry_heap_free(heap, row[i]);
	KUNIT_EXPECT_EQ(test, quarry_heap_verify(heap), 0);
	expect_reports(test, 0, NULL);
}

static struct kunit_case corrupt_cases[] = {
	KUNIT_CASE(heap_first_word_is_no_block),
	KUNIT_CASE(heap_walk_writes_no_payload),
	KUNIT_CASE(heap_overrun_is_found_by_the_victims_free),
	KUNIT_CASE(heap_overrun_is_found_by_the_culprits_free),
	KUNIT_CASE(heap_links_are_checked_before_use),
	KUNIT_CASE(heap_verify_puts_back_what_was_cut_off),
	KUNIT_CASE(heap_first_of_a_list_is_not_lost),
	KUNIT_CASE(heap_neighbours_in_a_list_stay_in_use),
	KUNIT_CASE(heap_size_at_the_end_is_checked),
	KUNIT_CASE(heap_header_is_bound_to_its_address),
	KUNIT_CASE(heap_cached_block_is_checked),
	KUNIT_CASE(heap_deferred_block_is_checked),
	KUNIT_CASE(heap_deferred_after_a_lost_link_is_freed),
	KUNIT_CASE(heap_survives_random_bytes),
	KUNIT_CASE(heap_free_writes_to_no_block_that_does_not_answer),
	KUNIT_CASE(heap_first_of_a_list_is_who_the_list_says),
	KUNIT_CASE(heap_links_to_itself_are_no_links),
	KUNIT_CASE(heap_size_at_the_end_is_not_believed),
	KUNIT_CASE(heap_block_on_the_wrong_list_is_not_handed_out),
	KUNIT_CASE(heap_realloc_grows_into_no_live_block),
	{}
};

static struct kunit_suite corrupt_suite = {
	.name = "quarry_heap_corrupt",
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = corrupt_cases,
};

kunit_test_suite(corrupt_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: a heap that is written over");
MODULE_LICENSE("GPL");
