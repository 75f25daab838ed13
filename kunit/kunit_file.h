/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads and writes debugfs files as a program does. Their operations take
 * memory of a program, so the test's thread gets an address space of its own; and
 * since 7.x a kernel thread has a root of its own that is empty, so the paths are
 * looked up in the root of who loads the suite.
 */
#ifndef QUARRY_KUNIT_FILE_H
#define QUARRY_KUNIT_FILE_H

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define FILE_ROOM SZ_16K

static struct path file_root;

/* As suite_init and suite_exit of each suite that names a file. */
static inline int file_suite_init(struct kunit_suite *suite)
{
	return kern_path("/", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &file_root);
}

static inline void file_suite_exit(struct kunit_suite *suite)
{
	path_put(&file_root);
}

static inline struct file *open_path(const char *path, int flags)
{
	return file_open_root(&file_root, path + 1, flags, 0);
}

/* Address of FILE_ROOM bytes of user memory, the same throughout a test. */
static inline char __user *user_memory(struct kunit *test)
{
	if (!test->priv)
		test->priv = (void *)kunit_vm_mmap(test, NULL, 0, FILE_ROOM,
						   PROT_READ | PROT_WRITE,
						   MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(test->priv));
	return (char __user *)test->priv;
}

/* Of the file into @text; the length, or an error. */
static inline ssize_t read_into(struct kunit *test, struct file *file, char *text)
{
	char __user *user = user_memory(test);
	ssize_t got, len = 0;
	loff_t pos = 0;

	do {
		got = file->f_op->read(file, user + len, FILE_ROOM - 1 - len, &pos);
		if (got > 0)
			len += got;
	} while (got > 0 && len < FILE_ROOM - 1);
	if (got < 0)
		return got;
	return copy_from_user(text, user, len) ? -EFAULT : len;
}

/* The whole file as a string, or an ERR_PTR; freed with the test. */
static inline char *read_all(struct kunit *test, const char *path)
{
	struct file *file = open_path(path, O_RDONLY);
	ssize_t len;
	char *text;

	if (IS_ERR(file))
		return ERR_CAST(file);
	text = kunit_kzalloc(test, FILE_ROOM, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, text);
	len = read_into(test, file, text);
	filp_close(file, NULL);
	if (len >= 0)
		return text;
	kunit_kfree(test, text);
	return ERR_PTR(len);
}

static inline char *read_file(struct kunit *test, const char *path)
{
	char *text = read_all(test, path);

	KUNIT_ASSERT_EQ_MSG(test, PTR_ERR_OR_ZERO(text), 0, "%s", path);
	return text;
}

/* What the write returns, or why the file cannot be opened. */
static inline ssize_t write_file(struct kunit *test, const char *path,
				 const char *text)
{
	struct file *file = open_path(path, O_WRONLY);
	char __user *user = user_memory(test);
	loff_t pos = 0;
	ssize_t err;

	if (IS_ERR(file))
		return PTR_ERR(file);
	err = copy_to_user(user, text, strlen(text)) ? -EFAULT :
	      file->f_op->write(file, user, strlen(text), &pos);
	filp_close(file, NULL);
	return err;
}

#endif /* QUARRY_KUNIT_FILE_H */
