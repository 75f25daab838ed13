/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Size classes of whoever makes a pool for each: eight to a power of two, so that at
 * most an eighth of a block is waste.
 */
#ifndef FRAGLAB_CLASSES_H
#define FRAGLAB_CLASSES_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#endif

#define NR_CLASSES	128

/* Sizes below 64 in steps of 8, then eight to a power of two. */
static inline unsigned int class_for(size_t size)
{
	unsigned int log;

	size = (size + 7) / 8 * 8;
	if (size < 64)
		return size / 8;
	log = 63 - __builtin_clzl(size - 1);
	return (log - 5) * 8 + ((size - 1) >> (log - 3)) - 8;
}

static inline size_t class_size(unsigned int class)
{
	if (class < 8)
		return class ? class * 8 : 8;
	return (size_t)(class % 8 + 9) << (class / 8 + 2);
}

static inline unsigned int class_aligned(size_t size, size_t align)
{
	unsigned int class = class_for(size ? size : 1);

	while (class_size(class) < size || class_size(class) % align)
		class++;
	return class;
}

#endif /* FRAGLAB_CLASSES_H */
