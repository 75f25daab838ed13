/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry layout: the size and alignment of a piece of memory, computed so that
 * nothing can overflow unseen.
 *
 * What it is. Two numbers, passed by value. Every function here takes valid and
 * invalid layouts; as soon as a step overflows, or is given an alignment that is
 * no power of two, the result is the invalid layout, and stays so through all
 * further steps. Every allocator refuses the invalid layout. So a size that is
 * computed from what somebody else says needs one check, at the end, and that
 * one is made by the allocator:
 *
 *	struct quarry_layout l = QUARRY_LAYOUT(struct header);
 *	size_t at;
 *
 *	l = quarry_layout_extend(l, QUARRY_LAYOUT_ARRAY(struct entry, n), &at);
 *	p = quarry_allocator_alloc(a, l);	NULL also when n was absurd
 *
 * A layout is valid when its alignment is a power of two and its size, rounded up
 * to that alignment, is at most LONG_MAX. A size need not be a multiple of the
 * alignment; 0 is a valid size. A layout of all zeroes is invalid.
 *
 * All are inline, constant where the arguments are, O(1), and for any context.
 *
 * Source of the idea: core::alloc::Layout of the Rust language, whose extend,
 * repeat and pad_to_align these are.
 */
#ifndef QUARRY_LAYOUT_H
#define QUARRY_LAYOUT_H

#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <quarry/types.h>

/**
 * struct quarry_layout - size and alignment of a piece of memory
 * @size: bytes
 * @align: a power of two, in bytes; 0 in the invalid layout
 */
struct quarry_layout {
	size_t size;
	size_t align;
};

/* What every allocator refuses. */
#define QUARRY_LAYOUT_INVALID	((struct quarry_layout){ 0, 0 })

/**
 * quarry_layout_valid() - may this be asked for?
 * @layout: any layout, also one that was filled in by hand
 *
 * Context: Any context.
 */
static inline bool quarry_layout_valid(struct quarry_layout layout)
{
	return is_power_of_2(layout.align) && layout.align <= BIT(62) &&
	       layout.size <= LONG_MAX - (layout.align - 1);
}

/**
 * quarry_layout_make() - a layout of a size and an alignment
 * @size: bytes
 * @align: a power of two, in bytes
 *
 * Context: Any context.
 * Return: the layout; invalid when the two do not make one.
 */
static inline struct quarry_layout quarry_layout_make(size_t size, size_t align)
{
	struct quarry_layout layout = { size, align };

	return quarry_layout_valid(layout) ? layout : QUARRY_LAYOUT_INVALID;
}

/**
 * quarry_layout_padding() - bytes between this and what follows it
 * @layout: a valid layout
 * @align: alignment of what follows, a power of two
 *
 * Context: Any context.
 * Return: bytes, 0 to @align - 1; 0 for an invalid layout or alignment.
 */
static inline size_t quarry_layout_padding(struct quarry_layout layout,
					   size_t align)
{
	if (!quarry_layout_valid(layout) || !is_power_of_2(align))
		return 0;
	return -layout.size & (align - 1);
}

/**
 * quarry_layout_pad() - the same with its size rounded up to its alignment
 * @layout: any layout
 *
 * What an element of an array takes.
 *
 * Context: Any context.
 * Return: the layout; invalid when @layout is. Never overflows.
 */
static inline struct quarry_layout quarry_layout_pad(struct quarry_layout layout)
{
	if (!quarry_layout_valid(layout))
		return QUARRY_LAYOUT_INVALID;
	layout.size += quarry_layout_padding(layout, layout.align);
	return layout;
}

/**
 * quarry_layout_align_to() - the same with at least an alignment
 * @layout: any layout
 * @align: a power of two, in bytes
 *
 * Context: Any context.
 * Return: the layout with the larger of both alignments, or the invalid one.
 */
static inline struct quarry_layout
quarry_layout_align_to(struct quarry_layout layout, size_t align)
{
	if (!quarry_layout_valid(layout) || !is_power_of_2(align))
		return QUARRY_LAYOUT_INVALID;
	return quarry_layout_make(layout.size, max(layout.align, align));
}

/**
 * quarry_layout_extend() - this, and @next behind it
 * @layout: any layout, the first member
 * @next: any layout, the member behind
 * @offset: where @next begins, in bytes from the start, goes here; may be NULL.
 *	0 when the result is invalid
 *
 * As a compiler lays out a struct, but for the padding at its end: put
 * quarry_layout_pad() round the last step.
 *
 * Context: Any context.
 * Return: the layout of both, or the invalid one.
 */
static inline struct quarry_layout
quarry_layout_extend(struct quarry_layout layout, struct quarry_layout next,
		     size_t *offset)
{
	struct quarry_layout both = QUARRY_LAYOUT_INVALID;
	size_t at = 0, size;

	if (quarry_layout_valid(layout) && quarry_layout_valid(next)) {
		at = layout.size + quarry_layout_padding(layout, next.align);
		if (!check_add_overflow(at, next.size, &size))
			both = quarry_layout_make(size, max(layout.align,
							    next.align));
	}
	if (offset)
		*offset = both.align ? at : 0;
	return both;
}

/**
 * quarry_layout_repeat() - @nr of these, one behind the other
 * @layout: any layout, of the element
 * @nr: how many; 0 gives a size of 0
 * @stride: bytes from one element to the next go here; may be NULL. 0 when the
 *	result is invalid
 *
 * Each element is padded to its alignment, the last one too.
 *
 * Context: Any context.
 * Return: the layout of all, or the invalid one.
 */
static inline struct quarry_layout
quarry_layout_repeat(struct quarry_layout layout, size_t nr, size_t *stride)
{
	struct quarry_layout padded = quarry_layout_pad(layout);
	struct quarry_layout all = QUARRY_LAYOUT_INVALID;
	size_t size;

	if (padded.align && !check_mul_overflow(padded.size, nr, &size))
		all = quarry_layout_make(size, padded.align);
	if (stride)
		*stride = all.align ? padded.size : 0;
	return all;
}

/**
 * quarry_layout_equal() - are two layouts the same?
 * @a: a layout
 * @b: another
 *
 * Context: Any context.
 */
static inline bool quarry_layout_equal(struct quarry_layout a,
				       struct quarry_layout b)
{
	return a.size == b.size && a.align == b.align;
}

/**
 * QUARRY_LAYOUT() - layout of a type
 * @type: for example struct flow
 */
#define QUARRY_LAYOUT(type)						\
	((struct quarry_layout){ sizeof(type), __alignof__(type) })

/**
 * QUARRY_LAYOUT_ARRAY() - layout of an array
 * @type: type of the elements
 * @n: how many; any number, too many give the invalid layout
 */
#define QUARRY_LAYOUT_ARRAY(type, n)					\
	quarry_layout_repeat(QUARRY_LAYOUT(type), (n), NULL)

/**
 * QUARRY_LAYOUT_FLEX() - layout of a struct that ends in a flexible array
 * @type: for example struct message
 * @member: the array's name in it
 * @n: elements; any number, too many give the invalid layout
 */
#define QUARRY_LAYOUT_FLEX(type, member, n)				\
	quarry_layout_make(size_add(sizeof(type),			\
				    size_mul(sizeof_field(type, member[0]), (n))), \
			   __alignof__(type))

#endif /* QUARRY_LAYOUT_H */
