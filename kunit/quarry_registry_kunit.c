// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names, and what debugfs shows of each object.
 */
#include <linux/kthread.h>
#include <linux/module.h>
#include "kunit_file.h"
#include "kunit_util.h"

#define ROOT "/sys/kernel/debug/quarry/"

static char *read_of_pool(struct kunit *test, const char *pool, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), ROOT "pool/%s/%s", pool, file);
	return read_file(test, path);
}

static int registry_init(struct kunit *test)
{
	char *text;

	capture_init(test);
	text = read_all(test, ROOT "summary");
	if (IS_ERR(text))
		kunit_skip(test, "debugfs is not mounted at /sys/kernel/debug");
	return 0;
}

/* The value of "name: value", or -1. */
static s64 figure(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *line = text;
	s64 value;
	int nr;

	while (strncmp(line, name, len) || line[len] != ':') {
		line = strchr(line, '\n');
		if (!line++)
			return -1;
	}
	nr = sscanf(line + len + 1, "%lld", &value);
	return nr == 1 ? value : -1;
}

static void expect_has(struct kunit *test, const char *text, const char *what)
{
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, what), "no \"%s\" in:\n%s",
				  what, text);
}

/* A kernel address: eight or more hexadecimal digits behind ffff. */
static void expect_no_address(struct kunit *test, const char *text)
{
	const char *p = text;

	while ((p = strstr(p, "ffff"))) {
		size_t digits = strspn(p, "0123456789abcdef");

		KUNIT_EXPECT_LT_MSG(test, digits, 12, "an address in:\n%s", text);
		p += digits;
	}
}

/* Names */

static void equal_names_get_a_suffix(struct kunit *test)
{
	struct quarry_pool *first = create_pool(test, "twin", 32, 20, NULL);
	struct quarry_pool *second = create_pool(test, "twin", 32, 20, NULL);
	struct quarry_pool *third = create_pool(test, "twin", 32, 20, NULL);

	quarry_pool_free(third, first);
	expect_reports(test, 1, "pool \"twin-3\"");
	destroy_pool(test, second);
	second = create_pool(test, "twin", 32, 20, NULL);
	quarry_pool_free(second, first);
	expect_reports(test, 1, "pool \"twin-2\"");
}

static void long_name_is_cut_for_the_suffix(struct kunit *test)
{
	static const char name[] =
		"a234567890123456789012345678901234567890123.567";
	struct quarry_pool *second;

	static_assert(sizeof(name) == QUARRY_NAME_LEN);
	create_pool(test, name, 32, 20, NULL);
	second = create_pool(test, name, 32, 20, NULL);
	quarry_pool_free(second, test);
	expect_reports(test, 1,
		       "\"a234567890123456789012345678901234567890123.5-2\"");
}

static void name_is_copied(struct kunit *test)
{
	char name[] = "copied";
	struct quarry_pool *pool = create_pool(test, name, 32, 20, NULL);

	name[0] = 'X';
	quarry_pool_free(pool, test);
	expect_reports(test, 1, "pool \"copied\"");
}

/* Files */

static void config_shows_arguments(struct kunit *test)
{
	const struct quarry_pool_args args = {
		.align = 64, .magazine = 5, .flags = QUARRY_POOL_STRICT | QUARRY_POOL_TRACK,
	};
	char *text;

	create_pool(test, "shown", 100, 500, &args);
	text = read_of_pool(test, "shown", "config");
	expect_has(test, text, "kind: pool\n");
	expect_has(test, text, "name: shown\n");
	expect_has(test, text, "owner: quarry_registry_kunit\n");
	expect_has(test, text, "state: ok\n");
	expect_has(test, text, "flags: strict track\n");
	KUNIT_EXPECT_EQ(test, figure(text, "size"), 100);
	KUNIT_EXPECT_EQ(test, figure(text, "align"), 64);
	KUNIT_EXPECT_EQ(test, figure(text, "nr_blocks"), 500);
	KUNIT_EXPECT_EQ(test, figure(text, "magazine"), 5);
	KUNIT_EXPECT_GE(test, figure(text, "stride"), 128);
	expect_no_address(test, text);
}

#define EXPECT_FIGURE(test, text, stats, name)				\
	KUNIT_EXPECT_EQ(test, figure(text, #name), (stats).name)

static void stats_shows_the_figures(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "shown", 100, 500, NULL);
	struct quarry_pool_stats s;
	void *blocks[30];
	char *text;

	quarry_pool_alloc_bulk(pool, 30, blocks);
	quarry_pool_free_bulk(pool, 10, blocks);
	quarry_pool_free(pool, blocks[0]);
	expect_reports(test, 1, "double free");
	s = stats_of(pool);
	text = read_of_pool(test, "shown", "stats");
	KUNIT_EXPECT_EQ(test, s.live, 20);
	EXPECT_FIGURE(test, text, s, live);
	EXPECT_FIGURE(test, text, s, peak);
	EXPECT_FIGURE(test, text, s, peak_slack);
	EXPECT_FIGURE(test, text, s, allocs);
	EXPECT_FIGURE(test, text, s, frees);
	EXPECT_FIGURE(test, text, s, exhausted);
	EXPECT_FIGURE(test, text, s, refused);
	EXPECT_FIGURE(test, text, s, refused_foreign);
	EXPECT_FIGURE(test, text, s, refused_owner);
	EXPECT_FIGURE(test, text, s, refused_misaligned);
	EXPECT_FIGURE(test, text, s, refused_interior);
	EXPECT_FIGURE(test, text, s, refused_double);
	EXPECT_FIGURE(test, text, s, refused_dead);
	EXPECT_FIGURE(test, text, s, duplicates);
	EXPECT_FIGURE(test, text, s, hits);
	EXPECT_FIGURE(test, text, s, refills);
	EXPECT_FIGURE(test, text, s, flushes);
	EXPECT_FIGURE(test, text, s, remote_frees);
	EXPECT_FIGURE(test, text, s, bypass);
	EXPECT_FIGURE(test, text, s, untracked);
	EXPECT_FIGURE(test, text, s, cached);
	EXPECT_FIGURE(test, text, s, bytes_reserved);
	EXPECT_FIGURE(test, text, s, bytes_in_use);
	EXPECT_FIGURE(test, text, s, bytes_wasted);
	EXPECT_FIGURE(test, text, s, bytes_metadata);
	expect_no_address(test, text);
	quarry_pool_free_bulk(pool, 20, blocks + 10);
}

static void map_shows_what_is_live(struct kunit *test)
{
	const struct quarry_pool_args args = { .flags = QUARRY_POOL_EXACT };
	struct quarry_pool *pool = create_pool(test, "shown", 32, 10, &args);
	void *blocks[10];
	char *text;

	text = read_of_pool(test, "shown", "map");
	expect_has(test, text, "..........\n");
	expect_has(test, text, "longest free run: 10 ");
	KUNIT_ASSERT_EQ(test, quarry_pool_alloc_bulk(pool, 10, blocks), 10);
	text = read_of_pool(test, "shown", "map");
	expect_has(test, text, "##########\n");
	expect_has(test, text, "longest free run: 0 ");
	quarry_pool_free(pool, quarry_pool_at(pool, 3));
	quarry_pool_free(pool, quarry_pool_at(pool, 4));
	text = read_of_pool(test, "shown", "map");
	expect_has(test, text, "###..#####\n");
	expect_has(test, text, "longest free run: 2 ");
	expect_no_address(test, text);
	KUNIT_EXPECT_EQ(test, quarry_pool_free_bulk(pool, 10, blocks), 8);
	expect_reports(test, 2, "double free");
}

static void verify_says_ok_or_what_is_wrong(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "shown", 32, 500, NULL);
	struct quarry_pool_hot *hot = (void *)pool;
	void *block = quarry_pool_alloc(pool);
	long index = quarry_pool_index(pool, block);
	u8 state = hot->state[index];

	KUNIT_EXPECT_STREQ(test, read_of_pool(test, "shown", "verify"), "ok\n");
	hot->state[index] = QUARRY_BLOCK_FREE;	/* as by a stray write */
	expect_has(test, read_of_pool(test, "shown", "verify"),
		   "is free and on no list");
	hot->state[index] = 200;
	expect_has(test, read_of_pool(test, "shown", "verify"), "has state 200");
	hot->state[index] = state;
	KUNIT_EXPECT_STREQ(test, read_of_pool(test, "shown", "verify"), "ok\n");
	hot->state[index + 1] = state;
	expect_has(test, read_of_pool(test, "shown", "verify"), "is live and on");
	hot->state[index + 1] = QUARRY_BLOCK_FREE;
	quarry_pool_free(pool, block);
	expect_verified(test, pool);
}

static void reset_starts_counters_anew(struct kunit *test)
{
	static const char reset[] = ROOT "pool/shown/reset";
	struct quarry_pool *pool = create_pool(test, "shown", 32, 500, NULL);
	struct quarry_pool_stats stats;
	void *blocks[50];

	quarry_pool_alloc_bulk(pool, 50, blocks);
	quarry_pool_free_bulk(pool, 40, blocks);
	quarry_pool_free(pool, blocks[0]);
	expect_reports(test, 1, "double free");
	KUNIT_EXPECT_EQ(test, write_file(test, reset, "0"), -EINVAL);
	KUNIT_EXPECT_EQ(test, write_file(test, reset, "x"), -EINVAL);
	KUNIT_EXPECT_EQ(test, stats_of(pool).allocs, 50);
	KUNIT_EXPECT_EQ(test, write_file(test, reset, "1"), 1);
	stats = stats_of(pool);
	KUNIT_EXPECT_EQ(test, stats.allocs, 0);
	KUNIT_EXPECT_EQ(test, stats.frees, 0);
	KUNIT_EXPECT_EQ(test, stats.refused, 0);
	KUNIT_EXPECT_EQ(test, stats.live, 10);
	KUNIT_EXPECT_GE(test, stats.peak, 10);
	KUNIT_EXPECT_LE(test, stats.peak, 10 + stats.peak_slack);
	quarry_pool_free_bulk(pool, 10, blocks + 40);
	stats = stats_of(pool);
	KUNIT_EXPECT_EQ(test, stats.frees, 10);
	KUNIT_EXPECT_EQ(test, stats.live, 0);
	expect_verified(test, pool);
}

static void summary_has_a_row_an_object(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "summed", 48, 500, NULL);
	char name[32], owner[64], state[16] = "", *text, *row;
	u64 live, peak, capacity, size;
	int nr;
	void *block = quarry_pool_alloc(pool);

	text = read_file(test, ROOT "summary");
	KUNIT_EXPECT_EQ(test, text[0], '#');
	row = strstr(text, " summed ");
	KUNIT_ASSERT_NOT_NULL(test, row);
	nr = sscanf(row, "%31s %63s %llu %llu %llu %llu %*s %*s %*s %15s", name,
		    owner, &live, &peak, &capacity, &size, state);
	KUNIT_EXPECT_EQ(test, nr, 7);
	KUNIT_EXPECT_STREQ(test, owner, "quarry_registry_kunit");
	KUNIT_EXPECT_EQ(test, live, 1);
	KUNIT_EXPECT_GE(test, peak, 1);
	KUNIT_EXPECT_EQ(test, capacity, 500);
	KUNIT_EXPECT_EQ(test, size, 48);
	KUNIT_EXPECT_STREQ(test, state, "ok");
	expect_no_address(test, text);
	quarry_pool_free(pool, block);
	destroy_pool(test, pool);
	KUNIT_EXPECT_NULL(test, strstr(read_file(test, ROOT "summary"), " summed "));
}

static void summary_json_is_balanced(struct kunit *test)
{
	int depth = 0, quotes = 0, deepest = 0;
	char *text, *p;

	create_pool(test, "summed", 48, 500, NULL);
	text = read_file(test, ROOT "summary.json");
	for (p = text; *p; p++) {
		depth += *p == '{' || *p == '[';
		depth -= *p == '}' || *p == ']';
		quotes += *p == '"';
		deepest = max(deepest, depth);
		if (depth < 0)
			break;
	}
	KUNIT_EXPECT_EQ(test, depth, 0);
	KUNIT_EXPECT_EQ(test, deepest, 3);
	KUNIT_EXPECT_EQ(test, quotes % 2, 0);
	expect_has(test, text, "{\"objects\":[");
	expect_has(test, text, "{\"kind\":\"pool\",\"name\":\"summed\",");
	expect_has(test, text, "\"owner\":\"quarry_registry_kunit\",\"live\":0,");
	expect_has(test, text, "\"capacity\":500,\"size\":48,");
	expect_has(test, text, "\"state\":\"ok\"}");
	expect_no_address(test, text);
}

static void expect_mode(struct kunit *test, const char *file, umode_t mode)
{
	char path[128];
	struct file *opened;

	snprintf(path, sizeof(path), ROOT "%s", file);
	opened = open_path(path, mode == 0200 ? O_WRONLY : O_RDONLY);
	KUNIT_ASSERT_EQ_MSG(test, PTR_ERR_OR_ZERO(opened), 0, "%s", path);
	KUNIT_EXPECT_EQ_MSG(test, file_inode(opened)->i_mode, S_IFREG | mode,
			    "%s", path);
	filp_close(opened, NULL);
}

static void files_are_roots_alone(struct kunit *test)
{
	create_pool(test, "shown", 32, 20, NULL);
	expect_mode(test, "summary", 0400);
	expect_mode(test, "summary.json", 0400);
	expect_mode(test, "pool/shown/config", 0400);
	expect_mode(test, "pool/shown/stats", 0400);
	expect_mode(test, "pool/shown/map", 0400);
	expect_mode(test, "pool/shown/verify", 0400);
	expect_mode(test, "pool/shown/reset", 0200);
}

static void leaked_pool_stays_readable(struct kunit *test)
{
	struct quarry_pool *pool = create_pool(test, "leaky", 32, 500, NULL);

	KUNIT_EXPECT_NOT_NULL(test, quarry_pool_alloc(pool));
	destroy_pool(test, pool);
	expect_reports(test, 1, "destroyed with 1 live block");
	expect_has(test, read_of_pool(test, "leaky", "config"), "state: leaked\n");
	KUNIT_EXPECT_EQ(test, figure(read_of_pool(test, "leaky", "stats"), "live"),
			1);
	expect_has(test, read_of_pool(test, "leaky", "map"), "blocks: ");
	expect_has(test, read_of_pool(test, "leaky", "verify"), "ok");
	expect_has(test, read_file(test, ROOT "summary"), " leaked\n");
}

/* Readers while objects come and go. */

static int churn_thread(void *arg)
{
	unsigned long *lives = arg;

	while (!kthread_should_stop()) {
		struct quarry_pool *pool = quarry_pool_create("churned", 32, 100,
							      NULL);

		if (IS_ERR(pool))
			break;
		quarry_pool_free(pool, quarry_pool_alloc(pool));
		quarry_pool_destroy(pool);
		WRITE_ONCE(*lives, *lives + 1);
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void reads_race_with_destroy(struct kunit *test)
{
	static const char * const files[] = {
		"summary", "summary.json", "pool/churned/config",
		"pool/churned/stats", "pool/churned/map", "pool/churned/verify",
	};
	unsigned long end = jiffies + some_of(2 * HZ), reads = 0, gone = 0, odd = 0, i = 0;
	unsigned long lives = 0;
	int cpu = other_cpu(raw_smp_processor_id());
	struct task_struct *task = kthread_create(churn_thread, &lives, "quarry_churn");
	char *text, path[64];

	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	if (cpu >= 0)
		kthread_bind(task, cpu);
	wake_up_process(task);
	while (race_goes_on(end, READ_ONCE(lives) > 1 && reads > 1)) {
		snprintf(path, sizeof(path), ROOT "%s",
			 files[i++ % ARRAY_SIZE(files)]);
		text = read_all(test, path);
		if (!IS_ERR(text)) {
			kunit_kfree(test, text);
			reads++;
		} else if (PTR_ERR(text) == -ENOENT || PTR_ERR(text) == -EIO) {
			gone++;
		} else {
			odd++;
		}
		cond_resched();
	}
	kthread_stop(task);
	kunit_info(test, "%lu lives, %lu reads, %lu of what was gone", lives,
		   reads, gone);
	KUNIT_EXPECT_GT(test, lives, 1);
	KUNIT_EXPECT_GT(test, reads, 1);
	KUNIT_EXPECT_EQ(test, odd, 0);
}

static struct kunit_case registry_cases[] = {
	KUNIT_CASE(equal_names_get_a_suffix),
	KUNIT_CASE(long_name_is_cut_for_the_suffix),
	KUNIT_CASE(name_is_copied),
	KUNIT_CASE(config_shows_arguments),
	KUNIT_CASE(stats_shows_the_figures),
	KUNIT_CASE(map_shows_what_is_live),
	KUNIT_CASE(verify_says_ok_or_what_is_wrong),
	KUNIT_CASE(reset_starts_counters_anew),
	KUNIT_CASE(summary_has_a_row_an_object),
	KUNIT_CASE(summary_json_is_balanced),
	KUNIT_CASE(files_are_roots_alone),
	KUNIT_CASE(leaked_pool_stays_readable),
	KUNIT_CASE(reads_race_with_destroy),
	{}
};

static struct kunit_suite registry_suite = {
	.name = "quarry_registry",
	.suite_init = file_suite_init,
	.suite_exit = file_suite_exit,
	.init = registry_init,
	.exit = capture_exit,
	.test_cases = registry_cases,
};

kunit_test_suite(registry_suite);

MODULE_DESCRIPTION("KUnit suite of quarry: names, and what debugfs shows");
MODULE_LICENSE("GPL");
