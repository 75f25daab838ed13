/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bump inside: its words, who may touch each, and what holds among them.
 *
 *	word	last << 24 | generation. Any CPU, any context, NMI included, by
 *		compare-and-swap alone: alloc adds, reset puts the offset back and
 *		advances the generation.
 *	limit	the largest word there may be. Set once; 0 at destroy, so that each
 *		alloc goes the slow way and is refused.
 *	peak	raised at reset, any context, by compare-and-swap.
 *	a CPU's counters: any context on that CPU, by one this_cpu operation each;
 *		others read them as they are.
 *
 * @last is the offset of the last byte handed out. Offsets count from the page
 * before the one that the region begins in, so that alignment is a matter of the
 * offset alone, whatever memory the caller lends, and @last is never below 0;
 * @first is the offset of the region's first byte. What holds at every instant:
 *
 *	first - 1 <= last <= first - 1 + capacity
 *	used = last + 1 - first = the pieces of this generation and their padding
 *
 * The word is all there is. A compare-and-swap that succeeds although the word
 * has changed and changed back (2^24 resets and the same offset) succeeds rightly:
 * there is nothing else that it could be wrong about.
 *
 * Order. Reset is a release: what the old pieces' users did, whom the caller of
 * reset has waited for, comes before it. Alloc is an acquire of the word that this
 * reset, or a later alloc of the chain, has written: it comes before what the new
 * piece's user does. See Documentation/litmus. quarry_bump_owns() orders nothing.
 *
 * KASAN: what is not handed out is poisoned. Reset poisons before it lets the
 * memory go. An alloc that races with a reset may unpoison its stale piece after
 * that: such a piece is not caught.
 */
#ifndef QUARRY_KMOD_BUMP_H
#define QUARRY_KMOD_BUMP_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/err.h>
#include <linux/mutex.h>
#include <quarry/bump.h>
#include "internal.h"

/**
 * struct quarry_bump - a bump
 * @hot: what the hit path reads; its limit and cpu open last and close first
 * @closed: not built yet, destroyed or dead: nothing is served
 * @cpu: the CPUs' words, whether the hit path may see them or not
 * @reused: the handle had a life before; set once
 * @peak: largest use in a generation that has ended; any context
 * @resets: any context
 * @refused_bad: any context
 * @refused_dead: any context
 * @object: registry's part
 * @baseline: counters at the last reset; @lock
 * @first: offset of the region's first byte; set once, as are the others
 */
struct quarry_bump {
	struct quarry_bump_hot hot ____cacheline_aligned_in_smp;
	bool closed;
	bool reused;
	struct quarry_bump_cpu __percpu *cpu;
	atomic64_t peak ____cacheline_aligned_in_smp;
	atomic64_t resets;
	atomic_long_t refused_bad;
	atomic_long_t refused_dead;
	struct quarry_object object;
	struct mutex lock;		/* reset of the figures, one at a time */
	struct quarry_bump_stats baseline;
	u64 first;
	size_t capacity;
	unsigned int flags;
	struct quarry_region region;
};

/* The hit path takes a struct quarry_bump for a struct quarry_bump_hot. */
static_assert(offsetof(struct quarry_bump, hot) == 0);
/* Sums in a word: two pages before an offset, one behind it, a step. */
static_assert((QUARRY_BUMP_MAX_SIZE + 3 * QUARRY_BUMP_MAX_ALIGN +
	       QUARRY_BUMP_MAX_SIZE) <= U64_MAX >> QUARRY_BUMP_GEN_BITS);

static inline struct quarry_bump *to_bump(struct quarry_object *object)
{
	return container_of(object, struct quarry_bump, object);
}

/* Bytes handed out, when the word is @word. */
static inline u64 used_in(const struct quarry_bump *bump, u64 word)
{
	return (word >> QUARRY_BUMP_GEN_BITS) + 1 - bump->first;
}

/* bump.c */
void *quarry__bump_alloc(struct quarry_bump *bump, size_t size, size_t align,
			 unsigned long caller);

/* bump_view.c */
void quarry__bump_row(struct quarry_object *object, struct quarry_row *row);
void quarry__bump_config(struct quarry_object *object, struct seq_file *seq);
void quarry__bump_stats(struct quarry_object *object, struct seq_file *seq);
void quarry__bump_map(struct quarry_object *object, struct seq_file *seq);
int quarry__bump_verify(struct quarry_object *object, char *why, size_t size);
void quarry__bump_reset_figures(struct quarry_object *object);

#endif /* QUARRY_KMOD_BUMP_H */
