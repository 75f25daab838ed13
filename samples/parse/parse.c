// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an arena is best at: a tree of many small pieces of all sizes, which are born
 * one by one and die together. A configuration like
 *
 *	# how packets come in
 *	interface eth0 {
 *		mtu 1500
 *		queue rx { depth 512; cpus 0 1 }
 *		label "to the left rack"
 *	}
 *
 * that is written to /sys/kernel/debug/parse/add is parsed into nodes, strings and
 * arrays; /sys/kernel/debug/parse/tree shows them. There is no code here that frees a
 * node: a mistake in the text rewinds the arena to where the text began, so that
 * nothing of it stays, and a write to `clear` resets it.
 */
#include <linux/ctype.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <quarry/arena.h>

#define MAX_TEXT	SZ_64K		/* of one write */
#define MAX_WORDS	16		/* of one statement */
#define MAX_DEPTH	8

/**
 * struct node - a statement
 * @words: its name and what follows
 * @nr_words: at least 1
 * @line: where it stood in its text, from 1
 * @next: the statement behind it, or NULL
 * @children: the first within its braces, or NULL
 */
struct node {
	char **words;
	unsigned int nr_words;
	unsigned int line;
	struct node *next;
	struct node *children;
};

/**
 * struct parser - one text on its way into the tree
 * @at: the next character; the text ends with a 0
 * @line: of @at, from 1
 * @depth: braces that are open
 */
struct parser {
	const char *at;
	unsigned int line;
	unsigned int depth;
};

static DEFINE_MUTEX(lock);		/* an arena has one owner at a time */
static struct quarry_arena *arena;
static struct node *tree;
static char error[80];			/* why the last text was refused */
static struct dentry *dir;

static int refuse(const struct parser *parser, int err, const char *why)
{
	snprintf(error, sizeof(error), "line %u: %s", parser->line, why);
	return err;
}

/* Spaces and comments, and with @lines what separates statements. */
static void skip(struct parser *parser, bool lines)
{
	for (;; parser->at++) {
		if (*parser->at == '#')
			parser->at += strcspn(parser->at, "\n");
		if (!*parser->at || (!lines && *parser->at == '\n'))
			return;
		if (!isspace(*parser->at) && !(lines && *parser->at == ';'))
			return;
		parser->line += *parser->at == '\n';
	}
}

/* A word, or what stands in quotes, as a string in the arena. */
static int parse_word(struct parser *parser, char **word)
{
	const char *end;
	size_t length;

	if (*parser->at == '"') {
		end = parser->at + 1 + strcspn(parser->at + 1, "\"\n");
		if (*end != '"')
			return refuse(parser, -EINVAL, "a quote is not closed");
		parser->at++;
	} else {
		end = parser->at + strcspn(parser->at, " \t\r\n;{}\"#");
	}
	length = end - parser->at;
	*word = quarry_arena_alloc_sleep(arena, length + 1, 1);
	if (!*word)
		return refuse(parser, -ENOMEM, "the arena is full");
	memcpy(*word, parser->at, length);
	(*word)[length] = 0;
	parser->at = end + (*end == '"');
	return 0;
}

static bool statement_ends(const struct parser *parser)
{
	return strchr("\n;{}", *parser->at);	/* or at the end of the text */
}

/* The words are collected here, and then copied to an array of the right size. */
static int parse_words(struct parser *parser, struct node *node)
{
	char *words[MAX_WORDS];
	int err;

	for (; !statement_ends(parser); skip(parser, false)) {
		if (node->nr_words == MAX_WORDS)
			return refuse(parser, -E2BIG, "too many words");
		err = parse_word(parser, &words[node->nr_words++]);
		if (err)
			return err;
	}
	if (!node->nr_words)
		return refuse(parser, -EINVAL, "braces without a name");
	node->words = quarry_arena_alloc_sleep(arena,
					       node->nr_words * sizeof(*words),
					       sizeof(*words));
	if (!node->words)
		return refuse(parser, -ENOMEM, "the arena is full");
	memcpy(node->words, words, node->nr_words * sizeof(*words));
	return 0;
}

static int parse_statements(struct parser *parser, struct node **first);

static int parse_braces(struct parser *parser, struct node *node)
{
	int err;

	if (parser->depth == MAX_DEPTH)
		return refuse(parser, -E2BIG, "too many braces");
	parser->at++;
	parser->depth++;
	err = parse_statements(parser, &node->children);
	if (err)
		return err;
	if (*parser->at != '}')
		return refuse(parser, -EINVAL, "a brace is not closed");
	parser->at++;
	parser->depth--;
	return 0;
}

static int parse_statement(struct parser *parser, struct node **link)
{
	struct node *node = quarry_arena_alloc_sleep(arena, sizeof(*node),
						     __alignof__(*node));
	int err;

	if (!node)
		return refuse(parser, -ENOMEM, "the arena is full");
	*node = (struct node){ .line = parser->line };
	err = parse_words(parser, node);
	if (!err && *parser->at == '{')
		err = parse_braces(parser, node);
	*link = node;
	return err;
}

/* To the brace that closes this block, or the end of the text. */
static int parse_statements(struct parser *parser, struct node **first)
{
	struct node **link = first;
	int err;

	for (skip(parser, true); *parser->at && *parser->at != '}';
	     skip(parser, true)) {
		err = parse_statement(parser, link);
		if (err)
			return err;
		link = &(*link)->next;
	}
	if (*parser->at && !parser->depth)
		return refuse(parser, -EINVAL, "a brace is closed that is not open");
	return 0;
}

/* All of the text becomes part of the tree, or nothing. */
static int add(const char *text)
{
	struct parser parser = { .at = text, .line = 1 };
	struct quarry_arena_mark start = quarry_arena_mark(arena);
	struct node *first = NULL, **link = &tree;
	int err;

	error[0] = 0;
	if (!quarry_arena_marked(start))
		return refuse(&parser, -ENOMEM, "the arena is full");
	err = parse_statements(&parser, &first);
	if (err) {
		quarry_arena_rewind(arena, start);
		return err;
	}
	while (*link)
		link = &(*link)->next;
	*link = first;
	return 0;
}

static ssize_t add_write(struct file *file, const char __user *from, size_t count,
			 loff_t *pos)
{
	char *text;
	int err;

	if (count > MAX_TEXT)
		return -E2BIG;
	text = memdup_user_nul(from, count);
	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&lock);
	err = add(text);
	mutex_unlock(&lock);
	kfree(text);
	return err ?: count;
}

static ssize_t clear_write(struct file *file, const char __user *from,
			   size_t count, loff_t *pos)
{
	mutex_lock(&lock);
	tree = NULL;
	error[0] = 0;
	quarry_arena_reset(arena);
	mutex_unlock(&lock);
	return count;
}

static void show(struct seq_file *seq, const struct node *node, unsigned int depth)
{
	unsigned int i;

	for (; node; node = node->next) {
		seq_printf(seq, "%*s", 2 * depth, "");
		for (i = 0; i < node->nr_words; i++)
			seq_printf(seq, "%s[%s]", i ? " " : "", node->words[i]);
		seq_putc(seq, '\n');
		show(seq, node->children, depth + 1);
	}
}

static int tree_show(struct seq_file *seq, void *unused)
{
	mutex_lock(&lock);
	show(seq, tree, 0);
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(tree);

static int error_show(struct seq_file *seq, void *unused)
{
	mutex_lock(&lock);
	if (error[0])
		seq_printf(seq, "%s\n", error);
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(error);

static const struct file_operations add_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= add_write,
};

static const struct file_operations clear_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= clear_write,
};

static int __init parse_init(void)
{
	const struct quarry_arena_args args = { .limit = SZ_256K };

	arena = quarry_arena_create("parse", SZ_8K, &args);
	if (IS_ERR(arena))
		return PTR_ERR(arena);
	dir = debugfs_create_dir("parse", NULL);
	debugfs_create_file("add", 0200, dir, NULL, &add_fops);
	debugfs_create_file("clear", 0200, dir, NULL, &clear_fops);
	debugfs_create_file("tree", 0400, dir, NULL, &tree_fops);
	debugfs_create_file("error", 0400, dir, NULL, &error_fops);
	return 0;
}

static void __exit parse_exit(void)
{
	debugfs_remove(dir);
	quarry_arena_destroy(arena);
}

module_init(parse_init);
module_exit(parse_exit);
MODULE_DESCRIPTION("Parses a configuration into an arena of quarry");
MODULE_LICENSE("GPL");
