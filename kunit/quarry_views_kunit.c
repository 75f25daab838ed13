// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the files of an arena and a heap show of a state that is known, and what
 * `verify` says of one that was spoilt. The other kinds' views are in their suites.
 */
#include <linux/module.h>
#include <linux/sizes.h>
#include "../kmod/arena.h"
#include "../kmod/heap.h"
#include "arena_util.h"
#include "heap_util.h"
#include "kunit_file.h"

#define VIEWS "/sys/kernel/debug/quarry/"

static void shows(struct kunit *test, const char *path, const char *text)
{
	char *got = read_file(test, path);

	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(got, text), "%s: no \"%s\" in\n%s",
				  path, text, got);
}

#define ARENA VIEWS "arena/test/"

static void arena_views_show_each_chunk(struct kunit *test)
{
	const struct quarry_arena_args args = {
		.limit = SZ_64K, .growth = 2, .flags = QUARRY_NO_HUGE,
	};
	struct quarry_arena *arena = create_arena(test, SZ_4K, &args);

	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, SZ_4K, 8));
	KUNIT_ASSERT_EQ(test, quarry_arena_reserve(arena, SZ_8K), 0);
	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, SZ_4K, 8));
	shows(test, ARENA "config", "first_chunk: 4096\nlimit: 65536\ngrowth: 2\n");
	shows(test, ARENA "config", " no_huge\nnode: any\nchunk: 0, 4096 bytes, ");
	shows(test, ARENA "config", "chunk: 1, 8192 bytes, pages\n");
	KUNIT_EXPECT_NULL(test, quarry_arena_alloc(arena, SZ_64K, 8));
	shows(test, ARENA "stats", "used: 8192\n");
	shows(test, ARENA "stats", "failures: 1\n");
	shows(test, ARENA "map", "a row is a chunk; . free, 0-9 tenths used, # used\n"
	      "################################################################\n"
	      "################################................................\n");
	shows(test, ARENA "verify", "ok\n");
	shows(test, VIEWS "summary", "arena         test ");
	KUNIT_EXPECT_EQ(test, write_file(test, ARENA "reset", "1"), 1);
	shows(test, ARENA "stats", "failures: 0\n");
	shows(test, ARENA "stats", "used: 8192\n");
}

static void arena_verify_says_what_is_wrong(struct kunit *test)
{
	struct quarry_arena *arena = create_arena(test, SZ_4K, NULL);
	struct quarry_chunk *first;

	KUNIT_ASSERT_NOT_NULL(test, quarry_arena_alloc(arena, 64, 8));
	first = list_first_entry(&arena->chunks, struct quarry_chunk, node);
	arena->before++;
	shows(test, ARENA "verify", "0 bytes before the current chunk, not 1\n");
	KUNIT_EXPECT_EQ(test, quarry_arena_verify(arena), -EUCLEAN);
	expect_reports(test, 1, "before the current chunk");
	arena->before--;
	arena->capacity += 8;
	shows(test, ARENA "verify", "chunks have 4096 bytes, not 4104, limit 4096\n");
	arena->capacity -= 8;
	list_del(&first->node);
	shows(test, ARENA "verify", "the current chunk is not in the list\n");
	list_add(&first->node, &arena->chunks);
	shows(test, ARENA "verify", "ok\n");
	KUNIT_EXPECT_EQ(test, quarry_arena_verify(arena), 0);
}

#define HEAP VIEWS "heap/viewed/"

static void heap_views_show_blocks_and_holes(struct kunit *test)
{
	const struct quarry_heap_args args = { .flags = QUARRY_HEAP_NO_FRONT };
	struct quarry_heap *heap = create_heap(test, "viewed", SZ_64K, &args);
	struct quarry_heap_stats stats;
	void *blocks[5];
	int i;

	for (i = 0; i < 5; i++) {
		blocks[i] = quarry_heap_alloc(heap, SZ_8K - 8);
		KUNIT_ASSERT_NOT_NULL(test, blocks[i]);
	}
	quarry_heap_free(heap, blocks[1]);
	quarry_heap_free(heap, blocks[3]);
	shows(test, HEAP "config", "header: 8 bytes\nalign: 8\n");
	shows(test, HEAP "config", "front: 0 bytes\nfront_sizes: 0\nflags: no_front\nnode: any\n");
	shows(test, HEAP "stats", "live: 3\npeak: 5\n");
	shows(test, HEAP "stats", "free_from_8192: 2\n");
	shows(test, HEAP "map", "; . free, 0-9 tenths used, # used\n");
	shows(test, HEAP "map", "free runs: 3, longest: ");
	shows(test, HEAP "map", "###8\n"
	      "................................................................\n");
	shows(test, HEAP "verify", "ok\n");
	shows(test, VIEWS "summary", "heap          viewed ");
	quarry_heap_get_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.live, 3);
	KUNIT_EXPECT_EQ(test, write_file(test, HEAP "reset", "1"), 1);
	shows(test, HEAP "stats", "live: 3\npeak: 3\nallocs: 0\nfrees: 0\n");
	for (i = 0; i < 5; i += 2)
		quarry_heap_free(heap, blocks[i]);
	shows(test, HEAP "map", "free runs: 1, longest: ");
}

static void heap_map_has_all_regions(struct kunit *test)
{
	struct quarry_heap *heap = create_heap(test, "viewed", SZ_16K, NULL);

	KUNIT_ASSERT_EQ(test, quarry_heap_add_region(heap, SZ_16K, NULL), 0);
	shows(test, HEAP "config", "region: 16384 bytes, mapping: pages\n"
	      "region: 16384 bytes, mapping: pages\n");
	shows(test, HEAP "map", "free runs: 2, longest: ");
	shows(test, HEAP "stats", "regions: 2\n");
}

static struct kunit_case views_cases[] = {
	KUNIT_CASE(arena_views_show_each_chunk),
	KUNIT_CASE(arena_verify_says_what_is_wrong),
	KUNIT_CASE(heap_views_show_blocks_and_holes),
	KUNIT_CASE(heap_map_has_all_regions),
	{}
};

static struct kunit_suite views_suite = {
	.name = "quarry_views",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = capture_init,
	.exit = capture_exit,
	.test_cases = views_cases,
};

kunit_test_suite(views_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: what debugfs shows of arenas and heaps");
MODULE_LICENSE("GPL");
