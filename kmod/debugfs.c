// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user can see:
 *
 *	/sys/kernel/debug/quarry/
 *	  summary		one row an object, all kinds
 *	  summary.json		the same for programs
 *	  <kind>/<name>/config	what it was created with
 *	  <kind>/<name>/stats	figures, "name: value"
 *	  <kind>/<name>/map	picture of the region
 *	  <kind>/<name>/verify	full check: "ok", "ok (busy)", or what is wrong
 *	  <kind>/<name>/reset	write 1: peaks and counters start anew
 *
 * Files are root's alone and print no addresses. A read runs inside debugfs'
 * own reference, and removal waits for it, so that an object does not go away
 * under its reader; a file that is still open afterwards gives -EIO. The
 * summary walks the registry under its lock.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kstrtox.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include "internal.h"

static struct dentry *root;
static DEFINE_MUTEX(kind_lock);	/* two first objects of one kind */

/* Folder of a kind, made when the first object comes. */
static struct dentry *kind_dir(const char *name)
{
	struct dentry *dir;

	mutex_lock(&kind_lock);
	/* An error where debugfs is not built in, and then so is what create gives. */
	dir = debugfs_lookup(name, root);
	if (!IS_ERR_OR_NULL(dir))
		dput(dir);	/* it stays: only exit removes it */
	else
		dir = debugfs_create_dir(name, root);
	mutex_unlock(&kind_lock);
	return dir;
}

/* '.' nothing, '#' all, else how many tenths. */
char quarry__map_tenths(u64 part, u64 whole)
{
	if (!part)
		return '.';
	return part >= whole ? '#' : '0' + (char)(part * 10 / whole);
}

/* Cell @nr of a picture, whose rows end where they are full, the last one as it is. */
void quarry__map_cell(struct seq_file *seq, char mark, u64 nr, bool last)
{
	seq_putc(seq, mark);
	if (last || nr % QUARRY_MAP_COLUMNS == QUARRY_MAP_COLUMNS - 1)
		seq_putc(seq, '\n');
}

static int config_show(struct seq_file *seq, void *unused)
{
	struct quarry_object *object = seq->private;

	seq_printf(seq, "kind: %s\n", object->kind->name);
	seq_printf(seq, "name: %s\n", object->name);
	seq_printf(seq, "owner: %s\n", object->owner_name);
	seq_printf(seq, "state: %s\n", quarry__state_name(object));
	object->kind->config(object, seq);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(config);

static int stats_show(struct seq_file *seq, void *unused)
{
	struct quarry_object *object = seq->private;

	object->kind->stats(object, seq);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int map_show(struct seq_file *seq, void *unused)
{
	struct quarry_object *object = seq->private;

	object->kind->map(object, seq);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(map);

static int verify_show(struct seq_file *seq, void *unused)
{
	struct quarry_object *object = seq->private;
	char why[128] = "";
	int err = object->kind->verify(object, why, sizeof(why));

	if (err < 0 && err != -EUCLEAN)
		return err;
	if (err < 0)
		seq_printf(seq, "%s\n", why);
	else
		seq_puts(seq, err ? "ok (busy)\n" : "ok\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(verify);

static ssize_t reset_write(struct file *file, const char __user *from,
			   size_t count, loff_t *pos)
{
	struct quarry_object *object = file->private_data;
	unsigned int value;
	int err;

	err = kstrtouint_from_user(from, count, 0, &value);
	if (err)
		return err;
	if (value != 1)
		return -EINVAL;
	object->kind->reset(object);
	return count;
}

static const struct file_operations reset_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= reset_write,
};

void quarry__debugfs_add(struct quarry_object *object)
{
	struct dentry *dir;

	dir = debugfs_create_dir(object->name, kind_dir(object->kind->name));
	debugfs_create_file("config", 0400, dir, object, &config_fops);
	debugfs_create_file("stats", 0400, dir, object, &stats_fops);
	debugfs_create_file("map", 0400, dir, object, &map_fops);
	debugfs_create_file("verify", 0400, dir, object, &verify_fops);
	debugfs_create_file("reset", 0200, dir, object, &reset_fops);
	object->dir = dir;
}

void quarry__debugfs_remove(struct quarry_object *object)
{
	debugfs_remove(object->dir);
	object->dir = NULL;
}

static void summary_row(struct quarry_object *object, void *seq)
{
	struct quarry_row row;

	object->kind->row(object, &row);
	seq_printf(seq, "%-13s %-24s %-16s %10llu %10llu %10llu %8llu %12llu %8llu %8llu %s\n",
		   object->kind->name, object->name, object->owner_name,
		   row.live, row.peak, row.capacity, row.size, row.reserved,
		   row.failures, row.refused, quarry__state_name(object));
}

static int summary_show(struct seq_file *seq, void *unused)
{
	seq_printf(seq, "%-13s %-24s %-16s %10s %10s %10s %8s %12s %8s %8s %s\n",
		   "# kind", "name", "owner", "live", "peak", "capacity", "size",
		   "reserved", "failures", "refused", "state");
	quarry__for_each(summary_row, seq);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(summary);

struct json {
	struct seq_file *seq;
	const char *separator;
};

/* No string needs escapes: names are [A-Za-z0-9_.-], the rest is ours. */
static void json_row(struct quarry_object *object, void *arg)
{
	struct json *json = arg;
	struct quarry_row row;

	object->kind->row(object, &row);
	seq_printf(json->seq, "%s\n{\"kind\":\"%s\",\"name\":\"%s\",\"owner\":\"%s\",",
		   json->separator, object->kind->name, object->name,
		   object->owner_name);
	seq_printf(json->seq, "\"live\":%llu,\"peak\":%llu,\"capacity\":%llu,\"size\":%llu,",
		   row.live, row.peak, row.capacity, row.size);
	seq_printf(json->seq, "\"reserved\":%llu,\"failures\":%llu,\"refused\":%llu,\"state\":\"%s\"}",
		   row.reserved, row.failures, row.refused,
		   quarry__state_name(object));
	json->separator = ",";
}

static int json_show(struct seq_file *seq, void *unused)
{
	struct json json = { .seq = seq, .separator = "" };

	seq_puts(seq, "{\"objects\":[");
	quarry__for_each(json_row, &json);
	seq_puts(seq, "\n]}\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(json);

void quarry__debugfs_init(void)
{
	root = debugfs_create_dir("quarry", NULL);
	debugfs_create_file("summary", 0400, root, NULL, &summary_fops);
	debugfs_create_file("summary.json", 0400, root, NULL, &json_fops);
}

void quarry__debugfs_exit(void)
{
	debugfs_remove(root);
}
