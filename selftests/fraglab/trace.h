/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A trace of allocations, as a file. It begins with lines "name: value", the first
 * of which is "quarry-trace: 1", and an empty line. Then come records, made of
 * unsigned LEB128 numbers (seven bits a byte, the low ones first):
 *
 *	head	bit 0: 0 an allocation, 1 a free; bit 1: 0 kmalloc, 1 a slab cache;
 *		the rest: the CPU
 *	time	microseconds since the record before
 * and then of an allocation
 *	size	bytes asked for
 *	align	log2 of the alignment that was promised
 *	given	bytes that the kernel's slab gave beyond size
 * or of a free
 *	back	how many allocations ago it was made: 1 is the latest
 *
 * Objects that are live when the file ends are not freed. Nothing here needs more
 * of libc than memory: a kernel module can read the same file.
 */
#ifndef FRAGLAB_TRACE_H
#define FRAGLAB_TRACE_H

#ifdef __KERNEL__
#include <linux/kernel.h>
#include <linux/string.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#endif
#include <linux/types.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#endif

struct trace_event {
	__u64 time;	/* us */
	__u32 object;	/* number of the allocation, from 0 */
	__u32 size;		/* of an allocation */
	__u32 given;
	__u8 align;		/* log2 */
	__u8 cpu;
	__u8 is_free;
	__u8 is_slab;
};

static inline size_t trace_put(__u8 *at, __u64 number)
{
	size_t length = 0;

	for (; number > 127; number >>= 7)
		at[length++] = number | 128;
	at[length++] = number;
	return length;
}

/* The number at *at, which moves on; at the end of the file 0, and *at is NULL. */
static inline __u64 trace_get(const __u8 **at, const __u8 *end)
{
	__u64 number = 0;
	unsigned int shift;

	for (shift = 0; *at && shift < 64; shift += 7) {
		if (*at >= end)
			break;
		number |= (__u64)(**at & 127) << shift;
		if (!(*(*at)++ & 128))
			return number;
	}
	*at = NULL;
	return 0;
}

/*
 * The next record at *at; time and nr_allocs go on from call to call. Returns 0 at
 * the end, or where the file is broken: then *at is NULL.
 */
static inline int trace_next(const __u8 **at, const __u8 *end,
			     struct trace_event *event, __u64 *time,
			     __u32 *nr_allocs)
{
	__u64 head, back;

	if (*at == end)
		return 0;
	head = trace_get(at, end);
	*time += trace_get(at, end);
	event->time = *time;
	event->is_free = head & 1;
	event->is_slab = head >> 1 & 1;
	event->cpu = head >> 2;
	if (event->is_free) {
		back = trace_get(at, end);
		if (!back || back > *nr_allocs)
			*at = NULL;
		event->object = *nr_allocs - back;
	} else {
		event->size = trace_get(at, end);
		event->align = trace_get(at, end);
		event->given = event->size + trace_get(at, end);
		event->object = (*nr_allocs)++;
		if (event->align > 21)
			*at = NULL;
	}
	return !!*at;
}

/* A file in memory: its records. */
struct trace {
	const __u8 *begin, *end;
};

/* False when it is none, or broken. */
static inline bool trace_open(struct trace *trace, const void *file, size_t length)
{
	static const char magic[] = "quarry-trace: 1\n";
	const __u8 *at = file, *end = at + length;
	struct trace_event event;
	__u32 nr_allocs = 0;
	__u64 time = 0;

	if (length < sizeof(magic) || memcmp(file, magic, sizeof(magic) - 1))
		return false;
	for (at++; at < end && (at[0] != '\n' || at[-1] != '\n'); at++)
		;
	if (at == end)
		return false;
	*trace = (struct trace){ ++at, end };
	while (trace_next(&at, end, &event, &time, &nr_allocs))
		;
	return at;
}

static inline size_t trace_write(__u8 *at, const struct trace_event *event,
				 __u64 time, __u32 nr_allocs)
{
	size_t length;

	length = trace_put(at, event->is_free | event->is_slab << 1 |
			       (__u64)event->cpu << 2);
	length += trace_put(at + length, event->time - time);
	if (event->is_free)
		return length + trace_put(at + length, nr_allocs - event->object);
	length += trace_put(at + length, event->size);
	length += trace_put(at + length, event->align);
	return length + trace_put(at + length, event->given - event->size);
}

#endif /* FRAGLAB_TRACE_H */
