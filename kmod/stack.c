// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stacks: push, pop and marks. The rules for each word and the accounting
 * equation are at the head of stack.h.
 *
 * The hit path is in include/quarry/stack.h. Here is the slow way, which does all:
 * enter, look, change or refuse, leave. What is refused has changed nothing but a
 * counter.
 */
#include <linux/export.h>
#include <linux/instruction_pointer.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include "stack.h"

static __always_inline bool not_a_stack(const struct quarry_stack *stack)
{
	return not_a_handle(stack);
}

bool quarry__stack_enter(const struct call *c)
{
	struct quarry_stack *stack = c->stack;
	int i;

	if (not_a_stack(stack)) {
		quarry__report("not a stack: %ld in place of a handle, by %pS",
			       PTR_ERR(stack), (void *)c->caller);
		return false;
	}
	if (READ_ONCE(stack->closed))
		return quarry__stack_refuse(c, REFUSED_DEAD);
	if (end_held(stack, false) || end_held(stack, true))
		return quarry__stack_refuse(c, REFUSED_OWNERS);
	for (i = 0; i < 2; i++) {
		WRITE_ONCE(stack->top[i], READ_ONCE(stack->hot.end[i].top));
		WRITE_ONCE(stack->hot.end[i].top, stack->hot.end[i].held);
	}
	barrier();	/* an interrupt finds it held before anything changes */
	return true;
}

void quarry__stack_leave(struct quarry_stack *stack)
{
	int i;

	barrier();	/* an interrupt finds all changed when it is open */
	for (i = 0; i < 2; i++)
		WRITE_ONCE(stack->hot.end[i].top, stack->top[i]);
}

/* Frames */

/* The word of a frame that makes @top the top. */
static u64 encode(const struct quarry_stack *stack, const struct frame *f,
		  size_t pad, unsigned long top)
{
	u64 fields = (u64)(f->size + WORD) << EXTENT_SHIFT | pad;

	return (fields | (f->flag ? FLAG : 0)) * stack->hot.multiplier + top;
}

bool quarry__stack_decode(const struct quarry_stack *stack, u64 word,
			  unsigned long top, bool high, struct frame *f)
{
	u64 fields = (word - top) * stack->hot.inverse;
	size_t room, taken;

	if (fields >= QUARRY_STACK_FIELDS_END || fields >> EXTENT_SHIFT < WORD)
		return false;
	f->flag = fields & FLAG;
	f->word = high ? top : top - WORD;
	f->size = (fields >> EXTENT_SHIFT) - WORD;
	f->block = 0;
	f->below = top;
	if (frame_is_sentinel(f))
		return true;
	/* Else by chance only. */
	room = high ? last_word(stack) - f->word - WORD :
		      f->word - first_byte(stack);
	taken = span(f->size) + (fields & PAD_MASK);
	if (taken > room)
		return false;
	f->block = high ? f->word + WORD : f->word - span(f->size);
	f->below = high ? f->word + WORD + taken : f->word - taken;
	return true;
}

static bool top_frame(const struct quarry_stack *stack, bool high,
		      struct frame *f)
{
	unsigned long top = stack->top[high];

	return quarry__stack_decode(stack, word_read(high ? top : top - WORD),
				    top, high, f);
}

static void new_peaks(struct quarry_stack *stack)
{
	WRITE_ONCE(stack->new_peaks, false);
	WRITE_ONCE(stack->peak[0], end_used(stack, false));
	WRITE_ONCE(stack->peak[1], end_used(stack, true));
}

/* Beyond the limit of an end: a new high-water mark, or no room. */
static bool limit_move(struct quarry_stack *stack, unsigned long past, bool high,
		       size_t size)
{
	struct quarry_stack_end *low = &stack->hot.end[0];
	struct quarry_stack_end *up = &stack->hot.end[1];
	u64 used = high ? last_word(stack) - past : past - first_byte(stack);

	if (past < stack->top[0] || past > stack->top[1]) {
		WRITE_ONCE(stack->exhausted, stack->exhausted + 1);
		WRITE_ONCE(stack->largest_failed,
			   max_t(u64, stack->largest_failed, size));
		return false;
	}
	if (READ_ONCE(stack->new_peaks))
		new_peaks(stack);
	if (high) {
		WRITE_ONCE(up->limit, past);
		WRITE_ONCE(low->limit, min(READ_ONCE(low->limit), past));
	} else {
		WRITE_ONCE(low->limit, past);
		WRITE_ONCE(up->limit, max(READ_ONCE(up->limit), past));
	}
	WRITE_ONCE(stack->peak[high], max(stack->peak[high], used));
	return true;
}

/* A new frame on top. Sizes are in bounds, so nothing here overflows. */
static void *lay(struct quarry_stack *stack, size_t size, size_t align,
		 bool high, bool flag)
{
	struct quarry_stack_end *end = &stack->hot.end[high];
	struct frame f = { .size = size, .flag = flag };
	unsigned long top = stack->top[high], past;
	size_t pad;

	if (QUARRY_KASAN)
		align = max_t(size_t, align, QUARRY_GRANULE);
	if (high) {
		f.block = ALIGN_DOWN(top - span(size), align);
		f.word = f.block - WORD;
		pad = top - f.block - span(size);
		past = f.word;
	} else {
		f.block = ALIGN(top, align);
		f.word = f.block + span(size);
		pad = f.block - top;
		past = f.word + WORD;
	}
	if ((high ? past < READ_ONCE(end->limit) : past > READ_ONCE(end->limit)) &&
	    !limit_move(stack, past, high, size))
		return NULL;
	quarry__mem_taken(&stack->region, (void *)f.block, size);
	quarry__mem_taken(&stack->region, (void *)f.word, WORD);
	word_write(f.word, encode(stack, &f, pad, past));
	WRITE_ONCE(stack->top[high], past);
	WRITE_ONCE(end->pushes, end->pushes + 1);
	return (void *)f.block;
}

/* From the top down to @below all is free. */
static void drop(struct quarry_stack *stack, bool high, unsigned long below)
{
	unsigned long top = stack->top[high];

	quarry__mem_freed(&stack->region, (void *)min(top, below),
			  high ? below - top : top - below);
	WRITE_ONCE(stack->top[high], below);
}

static void drop_one(struct quarry_stack *stack, bool high, const struct frame *f)
{
	struct quarry_stack_end *end = &stack->hot.end[high];

	drop(stack, high, f->below);
	WRITE_ONCE(end->pops, end->pops + 1);
}

/* Push */

void *quarry_stack_push_slow(struct quarry_stack *stack, size_t size,
			     size_t align, bool high, unsigned long caller)
{
	const struct call c = { stack, "push", high, caller ?: _RET_IP_ };
	void *block = NULL;

	if (!quarry__stack_enter(&c))
		return NULL;
	if (size - 1 >= QUARRY_STACK_MAX_PUSH || !is_power_of_2(align) ||
	    align > QUARRY_STACK_MAX_ALIGN)
		quarry__stack_refuse_at(&c, REFUSED_ARGUMENT, "size", size,
					"align", align);
	else
		block = lay(stack, size, align, high, false);
	quarry__stack_leave(stack);
	return block;
}
EXPORT_SYMBOL_GPL(quarry_stack_push_slow);

void *quarry_stack_push(struct quarry_stack *stack, size_t size, size_t align)
{
	if (unlikely(not_a_stack(stack)))
		return quarry_stack_push_slow(stack, size, align, false, _RET_IP_);
	return quarry_stack_hit_push(stack, size, align, false, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_stack_push);

void *quarry_stack_push_high(struct quarry_stack *stack, size_t size,
			     size_t align)
{
	if (unlikely(not_a_stack(stack)))
		return quarry_stack_push_slow(stack, size, align, true, _RET_IP_);
	return quarry_stack_hit_push(stack, size, align, true, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_stack_push_high);

/* Pop */

bool quarry_stack_pop_slow(struct quarry_stack *stack, void *block, bool high,
			   unsigned long caller)
{
	const struct call c = { stack, "pop", high, caller ?: _RET_IP_ };
	struct frame f;
	bool ok;

	if (!block || !quarry__stack_enter(&c))
		return false;
	ok = top_frame(stack, high, &f);
	if (!ok)
		quarry__stack_refuse_overrun(&c);
	else if (f.flag || f.block != (unsigned long)block)
		ok = quarry__stack_refuse_pop(&c, (unsigned long)block, &f);
	else
		drop_one(stack, high, &f);
	quarry__stack_leave(stack);
	return ok;
}
EXPORT_SYMBOL_GPL(quarry_stack_pop_slow);

bool quarry_stack_pop(struct quarry_stack *stack, void *block)
{
	if (unlikely(not_a_stack(stack)))
		return quarry_stack_pop_slow(stack, block, false, _RET_IP_);
	return quarry_stack_hit_pop(stack, block, false, NULL, 0,
				    false, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_stack_pop);

bool quarry_stack_pop_high(struct quarry_stack *stack, void *block)
{
	if (unlikely(not_a_stack(stack)))
		return quarry_stack_pop_slow(stack, block, true, _RET_IP_);
	return quarry_stack_hit_pop(stack, block, false, NULL, 0,
				    true, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_stack_pop_high);

bool quarry_stack_pop_to_slow(struct quarry_stack *stack, void *to, size_t size,
			      bool high, unsigned long caller)
{
	const struct call c = { stack, "pop_to", high, caller ?: _RET_IP_ };
	struct frame f;
	bool ok;

	if (!quarry__stack_enter(&c))
		return false;
	ok = top_frame(stack, high, &f);
	if (!to) {
		ok = quarry__stack_refuse(&c, REFUSED_ARGUMENT);
	} else if (!ok) {
		quarry__stack_refuse_overrun(&c);
	} else if (f.flag) {
		ok = quarry__stack_refuse(&c, frame_is_sentinel(&f) ?
					  REFUSED_EMPTY : REFUSED_MARK);
	} else if (f.size != size) {
		ok = quarry__stack_refuse_at(&c, REFUSED_SIZE, "asked", size,
					     "pushed", f.size);
	} else {
		memcpy(to, (void *)f.block, size);
		drop_one(stack, high, &f);
	}
	quarry__stack_leave(stack);
	return ok;
}
EXPORT_SYMBOL_GPL(quarry_stack_pop_to_slow);

bool quarry_stack_pop_to(struct quarry_stack *stack, void *to, size_t size)
{
	if (unlikely(not_a_stack(stack)))
		return quarry_stack_pop_to_slow(stack, to, size, false, _RET_IP_);
	return quarry_stack_hit_pop(stack, NULL, true, to, size,
				    false, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_stack_pop_to);

bool quarry_stack_pop_to_high(struct quarry_stack *stack, void *to, size_t size)
{
	if (unlikely(not_a_stack(stack)))
		return quarry_stack_pop_to_slow(stack, to, size, true, _RET_IP_);
	return quarry_stack_hit_pop(stack, NULL, true, to, size,
				    true, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_stack_pop_to_high);

static void *top(const struct call *c, size_t *size)
{
	void *block = NULL;
	struct frame f;

	if (!quarry__stack_enter(c))
		return NULL;
	if (!top_frame(c->stack, c->high, &f))
		quarry__stack_refuse_overrun(c);
	else if (!f.flag)
		block = (void *)f.block;
	if (block && size)
		*size = f.size;
	quarry__stack_leave(c->stack);
	return block;
}

void *quarry_stack_top(struct quarry_stack *stack, size_t *size)
{
	const struct call c = { stack, "top", false, _RET_IP_ };

	return top(&c, size);
}
EXPORT_SYMBOL_GPL(quarry_stack_top);

void *quarry_stack_top_high(struct quarry_stack *stack, size_t *size)
{
	const struct call c = { stack, "top", true, _RET_IP_ };

	return top(&c, size);
}
EXPORT_SYMBOL_GPL(quarry_stack_top_high);

/* Marks */

static bool mark(const struct call *c, struct quarry_stack_mark *mark)
{
	struct quarry_stack *stack = c->stack;
	struct mark_frame *frame;

	memset(mark, 0, sizeof(*mark));
	if (!quarry__stack_enter(c))
		return false;
	frame = lay(stack, sizeof(*frame), __alignof__(*frame), c->high, true);
	if (frame) {
		frame->serial = ++stack->serial;
		frame->below = stack->mark[c->high];
		frame->frames = mark_word(stack, (unsigned long)frame,
					  frame->serial, frame->below,
					  end_live(stack, c->high) - 1);
		WRITE_ONCE(stack->mark[c->high], (unsigned long)frame);
		mark->stack = stack;
		mark->position = offset_of(stack, (unsigned long)frame);
		mark->serial = stack->serial;
		mark->high = c->high;
	}
	quarry__stack_leave(stack);
	return frame;
}

bool quarry_stack_mark(struct quarry_stack *stack,
		       struct quarry_stack_mark *to)
{
	const struct call c = { stack, "mark", false, _RET_IP_ };

	return mark(&c, to);
}
EXPORT_SYMBOL_GPL(quarry_stack_mark);

bool quarry_stack_mark_high(struct quarry_stack *stack,
			    struct quarry_stack_mark *to)
{
	const struct call c = { stack, "mark", true, _RET_IP_ };

	return mark(&c, to);
}
EXPORT_SYMBOL_GPL(quarry_stack_mark_high);

/*
 * The live mark's frame at @address, its block's contents, and how many frames lie
 * below it. Only what the newest mark leads to is live: what a stale mark points to
 * may be anything, and look like a mark.
 */
static const struct mark_frame *mark_at(const struct quarry_stack *stack,
					bool high, unsigned long address,
					struct frame *f, u64 *frames)
{
	const struct mark_frame *m = (void *)address;
	unsigned long word = address + span(sizeof(*m));

	if (high)
		word = address - WORD;
	if (address % 8 ||
	    offset_of(stack, high ? word : address) >= stack->capacity ||
	    offset_of(stack, word) > stack->capacity - WORD)
		return NULL;
	if (!quarry__stack_decode(stack, word_read(word),
				  high ? word : word + WORD, high, f) ||
	    !f->flag || f->size != sizeof(*m))
		return NULL;
	*frames = mark_frames(stack, address, m->serial, m->below, m->frames);
	return *frames < end_live(stack, high) ? m : NULL;
}

static bool release_to(const struct call *c, const struct quarry_stack_mark *mark)
{
	struct quarry_stack *stack = c->stack;
	unsigned long at = stack->mark[c->high];
	const struct mark_frame *m;
	struct frame f;
	u64 frames;

	while (at) {
		m = mark_at(stack, c->high, at, &f, &frames);
		if (!m)
			return quarry__stack_refuse_overrun(c);
		if (m->serial == mark->serial)
			break;
		/* Older marks lie below: a chain that does not is no chain. */
		if (m->below && (c->high ? m->below <= at : m->below >= at))
			return quarry__stack_refuse_overrun(c);
		at = m->below;
	}
	if (!at || mark->position != offset_of(stack, at))
		return quarry__stack_refuse(c, REFUSED_STALE);
	WRITE_ONCE(stack->released[c->high], stack->released[c->high] +
		   end_live(stack, c->high) - frames);
	WRITE_ONCE(stack->mark[c->high], m->below);
	drop(stack, c->high, f.below);
	return true;
}

bool quarry_stack_release(struct quarry_stack *stack,
			  const struct quarry_stack_mark *mark)
{
	const struct call c = { stack, "release", mark->high, _RET_IP_ };
	bool ok;

	if (!quarry__stack_enter(&c))
		return false;
	ok = mark->stack == stack ? release_to(&c, mark) :
				    quarry__stack_refuse(&c, REFUSED_STALE);
	quarry__stack_leave(stack);
	return ok;
}
EXPORT_SYMBOL_GPL(quarry_stack_release);

static void end_empty(struct quarry_stack *stack, bool high)
{
	const struct quarry_stack_end *end = &stack->hot.end[high];
	unsigned long top = high ? last_word(stack) : first_byte(stack);
	const struct frame sentinel = { .flag = true };

	word_write(high ? top : top - WORD, encode(stack, &sentinel, 0, top));
	WRITE_ONCE(stack->top[high], top);
	WRITE_ONCE(stack->released[high], end->pushes - end->pops);
	WRITE_ONCE(stack->mark[high], 0);
}

/* Both ends as they were made; what lies between is not to be used. */
void quarry__stack_empty(struct quarry_stack *stack)
{
	end_empty(stack, false);
	end_empty(stack, true);
	quarry__mem_freed(&stack->region, (void *)first_byte(stack),
			  stack->capacity);
}

void quarry_stack_reset(struct quarry_stack *stack)
{
	const struct call c = { stack, "reset", false, _RET_IP_ };

	if (!quarry__stack_enter(&c))
		return;
	quarry__stack_empty(stack);
	quarry__stack_leave(stack);
}
EXPORT_SYMBOL_GPL(quarry_stack_reset);
