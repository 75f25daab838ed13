/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry: what all allocators share: limits, names, placement flags.
 */
#ifndef QUARRY_TYPES_H
#define QUARRY_TYPES_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/types.h>

#ifndef CONFIG_64BIT
#error "quarry needs a 64-bit kernel: its lock-free lists keep an index and a tag in one word"
#endif

/**
 * QUARRY_NAME_LEN - room for an object's name, its terminating NUL included
 *
 * A name is a letter or digit, then letters, digits, '_', '.' and '-'; it is
 * copied. An object whose name is taken gets a suffix: "rx", "rx-2", "rx-3".
 */
#define QUARRY_NAME_LEN		48

/**
 * enum quarry_flags - where an object's memory comes from
 * @QUARRY_ON_NODE: take the memory from args->node. Without it the kernel
 *	chooses, and args->node is not read. Before Linux 6.16 such memory is
 *	mapped by pages alone.
 * @QUARRY_ACCOUNT: charge the memory to the creator's memory cgroup. With
 *	%QUARRY_ON_NODE since Linux 6.16, and then not with %QUARRY_NO_HUGE; a
 *	create that asks for what the kernel cannot gives -EINVAL.
 * @QUARRY_ZERO: clear the memory at creation.
 * @QUARRY_NO_HUGE: map by pages only, even where a huge mapping could be had.
 *
 * These bits mean the same for every kind of object. Bits 16 and up belong to
 * the kind, for example %QUARRY_POOL_STRICT.
 */
enum quarry_flags {
	QUARRY_ON_NODE	= BIT(0),
	QUARRY_ACCOUNT	= BIT(1),
	QUARRY_ZERO	= BIT(2),
	QUARRY_NO_HUGE	= BIT(3),
};

#endif /* QUARRY_TYPES_H */
