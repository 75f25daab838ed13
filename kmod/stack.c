// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stacks: push, pop, marks, and what is refused. The rules for each word and
 * the accounting equation are at the head of stack.h.
 *
 * Each operation is: take the gate, look, and either change or refuse, give the
 * gate back. What is refused has changed nothing but a counter.
 */
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include "compat.h"
#include "stack.h"

static LIST_HEAD(retired);

static const char * const end_names[] = { "low", "high" };

/* Refusals */

static const char * const reasons[NR_STACK_REFUSALS] = {
	[REFUSED_ORDER]		= "not the top block",
	[REFUSED_DOUBLE]	= "no live block there, popped before",
	[REFUSED_FOREIGN]	= "foreign pointer",
	[REFUSED_EMPTY]		= "nothing was pushed",
	[REFUSED_MARK]		= "a mark is on top",
	[REFUSED_SIZE]		= "not the size that was pushed",
	[REFUSED_STALE]		= "stale mark, or another stack's",
	[REFUSED_OVERRUN]	= "frame overwritten",
	[REFUSED_ARGUMENT]	= "bad size or alignment",
	[REFUSED_OWNERS]	= "another operation is under way: two owners",
	[REFUSED_DEAD]		= "destroyed stack",
};

/**
 * struct call - an operation, as a report names it
 * @stack: on what
 * @verb: what
 * @high: at which end
 * @caller: by whom
 */
struct call {
	struct quarry_stack *stack;
	const char *verb;
	bool high;
	unsigned long caller;
};

#define CALL(verb_, high_) \
	{ .stack = stack, .verb = (verb_), .high = (high_), .caller = _RET_IP_ }

static bool refuse(const struct call *c, enum stack_refusal why)
{
	atomic_long_inc(&c->stack->refused[why]);
	quarry__report("stack \"%s\": %s %s refused: %s, by %pS",
		       c->stack->object.name, end_names[c->high], c->verb,
		       reasons[why], (void *)c->caller);
	return false;
}

/* The same with two numbers that say where or how much. */
static bool refuse_at(const struct call *c, enum stack_refusal why,
		      const char *first, u64 a, const char *second, u64 b)
{
	atomic_long_inc(&c->stack->refused[why]);
	quarry__report("stack \"%s\": %s %s refused: %s, %s %llu, %s %llu, by %pS",
		       c->stack->object.name, end_names[c->high], c->verb,
		       reasons[why], first, a, second, b, (void *)c->caller);
	return false;
}

/* The address as users see it: bytes from the region's start. */
static u64 offset_of(const struct quarry_stack *stack, unsigned long address)
{
	return address - first_byte(stack);
}

/*
 * A word that is not what was written. At the low end it lies behind the top
 * block, which has most likely overrun it; at the high end behind the block that
 * was popped last.
 */
static bool refuse_overrun(const struct call *c)
{
	unsigned long top = c->stack->end[c->high].top;

	return refuse_at(c, REFUSED_OVERRUN, c->high ?
			 "most likely by the block popped last, which ended before offset" :
			 "most likely by the top block, which ends before offset",
			 offset_of(c->stack, c->high ? top : top - WORD),
			 "frames left",
			 c->stack->end[c->high].pushes -
			 c->stack->end[c->high].pops -
			 c->stack->end[c->high].released);
}

static bool enter(const struct call *c)
{
	struct quarry_stack *stack = c->stack;
	u8 gate;

	if (IS_ERR_OR_NULL(stack)) {
		quarry__report("not a stack: %ld in place of a handle, by %pS",
			       PTR_ERR(stack), (void *)c->caller);
		return false;
	}
	gate = READ_ONCE(stack->gate);
	if (unlikely(gate))
		return refuse(c, gate & GATE_CLOSED ? REFUSED_DEAD :
						      REFUSED_OWNERS);
	WRITE_ONCE(stack->gate, GATE_HELD);
	barrier();	/* an interrupt finds it held before anything changes */
	return true;
}

static void leave(struct quarry_stack *stack)
{
	barrier();
	WRITE_ONCE(stack->gate, 0);
}

/* Frames */

static u64 encode(const struct quarry_stack *stack, const struct frame *f,
		  size_t pad)
{
	u64 fields = (u64)f->flag << FLAG_BIT | (u64)f->size << PAD_BITS | pad;

	return fields * stack->multiplier + f->word;
}

bool quarry__stack_decode(const struct quarry_stack *stack, u64 word,
			  unsigned long top, bool high, struct frame *f)
{
	u64 fields;
	size_t room;

	f->word = high ? top : top - WORD;
	fields = (word - f->word) * stack->inverse;
	if (fields >> FIELD_BITS)
		return false;
	f->flag = fields >> FLAG_BIT;
	f->size = fields >> PAD_BITS & SIZE_MASK;
	if (frame_is_sentinel(f))
		return true;
	/* By chance only, or in a frame that was moved. */
	room = high ? last_word(stack) - f->word - WORD :
		      f->word - first_byte(stack);
	if (span(f->size) + (fields & PAD_MASK) > room)
		return false;
	f->block = high ? f->word + WORD : f->word - span(f->size);
	f->below = high ? f->block + span(f->size) + (fields & PAD_MASK) :
			  f->block - (fields & PAD_MASK);
	return true;
}

static bool top_frame(const struct quarry_stack *stack, bool high,
		      struct frame *f)
{
	unsigned long top = stack->end[high].top;
	u64 word = get_unaligned((u64 *)(high ? top : top - WORD));

	return quarry__stack_decode(stack, word, top, high, f);
}

static size_t end_used(const struct quarry_stack *stack, bool high)
{
	return high ? last_word(stack) - READ_ONCE(stack->end[1].top) :
		      READ_ONCE(stack->end[0].top) - first_byte(stack);
}

/* The slow way of a push: a new high-water mark, or no room. */
static bool limit_move(struct quarry_stack *stack, unsigned long top, bool high,
		       size_t size)
{
	struct stack_end *low = &stack->end[0], *up = &stack->end[1];

	if (high ? top < low->top || top > up->top : top > up->top || top < low->top) {
		stack->exhausted++;
		stack->largest_failed = max_t(u64, stack->largest_failed, size);
		return false;
	}
	if (READ_ONCE(stack->new_peaks)) {
		WRITE_ONCE(stack->new_peaks, false);
		WRITE_ONCE(low->peak, end_used(stack, false));
		WRITE_ONCE(up->peak, end_used(stack, true));
	}
	if (high) {
		WRITE_ONCE(up->limit, top);
		WRITE_ONCE(low->limit, min(low->limit, top));
		WRITE_ONCE(up->peak, max_t(u64, up->peak, last_word(stack) - top));
	} else {
		WRITE_ONCE(low->limit, top);
		WRITE_ONCE(up->limit, max(up->limit, top));
		WRITE_ONCE(low->peak, max_t(u64, low->peak,
					    top - first_byte(stack)));
	}
	return true;
}

/* A new frame on top. Sizes are in bounds, so nothing here overflows. */
static void *place(struct quarry_stack *stack, size_t size, size_t align,
		   bool high, bool flag)
{
	struct stack_end *end = &stack->end[high];
	unsigned long top = end->top, past;
	struct frame f = { .size = size, .flag = flag };
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
	if (unlikely(high ? past < end->limit : past > end->limit) &&
	    !limit_move(stack, past, high, size))
		return NULL;
	quarry__mem_taken(&stack->region, (void *)f.block, size);
	quarry__mem_taken(&stack->region, (void *)f.word, WORD);
	put_unaligned(encode(stack, &f, pad), (u64 *)f.word);
	WRITE_ONCE(end->top, past);
	WRITE_ONCE(end->pushes, end->pushes + 1);
	return (void *)f.block;
}

/* From the top down to @below all is free. */
static void drop(struct quarry_stack *stack, bool high, unsigned long below)
{
	unsigned long top = stack->end[high].top;

	quarry__mem_freed(&stack->region, (void *)min(top, below),
			  high ? below - top : top - below);
	WRITE_ONCE(stack->end[high].top, below);
}

/* Push */

static void *push(const struct call *c, size_t size, size_t align)
{
	void *block = NULL;

	if (!enter(c))
		return NULL;
	if (unlikely(size - 1 >= QUARRY_STACK_MAX_PUSH ||
		     !is_power_of_2(align) || align > QUARRY_STACK_MAX_ALIGN))
		refuse_at(c, REFUSED_ARGUMENT, "size", size, "align", align);
	else
		block = place(c->stack, size, align, c->high, false);
	leave(c->stack);
	return block;
}

void *quarry_stack_push(struct quarry_stack *stack, size_t size, size_t align)
{
	const struct call c = CALL("push", false);

	return push(&c, size, align);
}
EXPORT_SYMBOL_GPL(quarry_stack_push);

void *quarry_stack_push_high(struct quarry_stack *stack, size_t size,
			     size_t align)
{
	const struct call c = CALL("push", true);

	return push(&c, size, align);
}
EXPORT_SYMBOL_GPL(quarry_stack_push_high);

/* Pop */

/* A pointer that belongs to nothing here: perhaps another object's. */
static bool refuse_foreign(const struct call *c, unsigned long address)
{
	const char *kind, *name;
	long other;

	rcu_read_lock();
	other = quarry__find(address, &c->stack->object, &kind, &name);
	if (other < 0) {
		refuse(c, REFUSED_FOREIGN);
	} else {
		atomic_long_inc(&c->stack->refused[REFUSED_FOREIGN]);
		quarry__report("stack \"%s\": %s pop refused: pointer of %s \"%s\" block %ld, by %pS",
			       c->stack->object.name, end_names[c->high], kind,
			       name, other, (void *)c->caller);
	}
	rcu_read_unlock();
	return false;
}

/* A frame on top that is no block: why. */
static bool refuse_flag(const struct call *c, const struct frame *f)
{
	return refuse(c, frame_is_sentinel(f) ? REFUSED_EMPTY : REFUSED_MARK);
}

/* @address is not the top block's, whose frame is @f. */
static bool refuse_pop(const struct call *c, unsigned long address,
		       const struct frame *f)
{
	const struct quarry_stack *stack = c->stack;
	u64 at = offset_of(stack, address);

	if (at >= stack->capacity)
		return refuse_foreign(c, address);
	if (frame_is_sentinel(f))
		return refuse(c, REFUSED_EMPTY);
	if (address >= stack->end[0].top && address < stack->end[1].top)
		return refuse_at(c, REFUSED_DOUBLE, "offset", at, "top",
				 offset_of(stack, f->block));
	if (f->flag)
		return refuse(c, REFUSED_MARK);
	return refuse_at(c, REFUSED_ORDER, "offset", at, "top",
			 offset_of(stack, f->block));
}

static bool pop(const struct call *c, unsigned long block)
{
	struct quarry_stack *stack = c->stack;
	struct frame f;
	bool ok;

	if (!enter(c))
		return false;
	ok = top_frame(stack, c->high, &f);
	if (unlikely(!ok)) {
		refuse_overrun(c);
	} else if (unlikely(f.flag || f.block != block)) {
		ok = refuse_pop(c, block, &f);
	} else {
		drop(stack, c->high, f.below);
		WRITE_ONCE(stack->end[c->high].pops, stack->end[c->high].pops + 1);
	}
	leave(stack);
	return ok;
}

bool quarry_stack_pop(struct quarry_stack *stack, void *block)
{
	const struct call c = CALL("pop", false);

	return block && pop(&c, (unsigned long)block);
}
EXPORT_SYMBOL_GPL(quarry_stack_pop);

bool quarry_stack_pop_high(struct quarry_stack *stack, void *block)
{
	const struct call c = CALL("pop", true);

	return block && pop(&c, (unsigned long)block);
}
EXPORT_SYMBOL_GPL(quarry_stack_pop_high);

static bool pop_to(const struct call *c, void *to, size_t size)
{
	struct quarry_stack *stack = c->stack;
	struct frame f;
	bool ok;

	if (!enter(c))
		return false;
	ok = top_frame(stack, c->high, &f);
	if (unlikely(!ok)) {
		refuse_overrun(c);
	} else if (unlikely(f.flag)) {
		ok = refuse_flag(c, &f);
	} else if (unlikely(f.size != size)) {
		ok = refuse_at(c, REFUSED_SIZE, "asked", size, "pushed", f.size);
	} else {
		memcpy(to, (void *)f.block, size);
		drop(stack, c->high, f.below);
		WRITE_ONCE(stack->end[c->high].pops, stack->end[c->high].pops + 1);
	}
	leave(stack);
	return ok;
}

bool quarry_stack_pop_to(struct quarry_stack *stack, void *to, size_t size)
{
	const struct call c = CALL("pop_to", false);

	return pop_to(&c, to, size);
}
EXPORT_SYMBOL_GPL(quarry_stack_pop_to);

bool quarry_stack_pop_to_high(struct quarry_stack *stack, void *to, size_t size)
{
	const struct call c = CALL("pop_to", true);

	return pop_to(&c, to, size);
}
EXPORT_SYMBOL_GPL(quarry_stack_pop_to_high);

static void *top(const struct call *c, size_t *size)
{
	void *block = NULL;
	struct frame f;

	if (!enter(c))
		return NULL;
	if (unlikely(!top_frame(c->stack, c->high, &f)))
		refuse_overrun(c);
	else if (!f.flag)
		block = (void *)f.block;
	if (block && size)
		*size = f.size;
	leave(c->stack);
	return block;
}

void *quarry_stack_top(struct quarry_stack *stack, size_t *size)
{
	const struct call c = CALL("top", false);

	return top(&c, size);
}
EXPORT_SYMBOL_GPL(quarry_stack_top);

void *quarry_stack_top_high(struct quarry_stack *stack, size_t *size)
{
	const struct call c = CALL("top", true);

	return top(&c, size);
}
EXPORT_SYMBOL_GPL(quarry_stack_top_high);

/* Marks */

static u64 live(const struct stack_end *end)
{
	return end->pushes - end->pops - end->released;
}

static bool mark(const struct call *c, struct quarry_stack_mark *mark)
{
	struct quarry_stack *stack = c->stack;
	struct stack_end *end;
	struct mark_frame *frame;

	memset(mark, 0, sizeof(*mark));
	if (!enter(c))
		return false;
	end = &stack->end[c->high];
	frame = place(stack, sizeof(*frame), __alignof__(*frame), c->high, true);
	if (frame) {
		frame->serial = ++stack->serial;
		frame->below = end->mark;
		frame->live = live(end) - 1;
		end->mark = (unsigned long)frame;
		mark->stack = stack;
		mark->position = offset_of(stack, end->mark);
		mark->serial = stack->serial;
		mark->high = c->high;
	}
	leave(stack);
	return frame;
}

bool quarry_stack_mark(struct quarry_stack *stack,
		       struct quarry_stack_mark *to)
{
	const struct call c = CALL("mark", false);

	return mark(&c, to);
}
EXPORT_SYMBOL_GPL(quarry_stack_mark);

bool quarry_stack_mark_high(struct quarry_stack *stack,
			    struct quarry_stack_mark *to)
{
	const struct call c = CALL("mark", true);

	return mark(&c, to);
}
EXPORT_SYMBOL_GPL(quarry_stack_mark_high);

/*
 * The live mark's frame at @address, and its block's contents. Only what the
 * newest mark leads to is live: what a stale mark points to may be anything, and
 * look like a mark.
 */
static const struct mark_frame *mark_at(const struct quarry_stack *stack,
					bool high, unsigned long address,
					struct frame *f)
{
	const struct mark_frame *m = (void *)address;
	unsigned long word = address + span(sizeof(*m));

	if (offset_of(stack, address) >= stack->capacity || address % 8)
		return NULL;
	if (high)
		word = address - WORD;
	if (!quarry__stack_decode(stack, get_unaligned((u64 *)word),
				  high ? word : word + WORD, high, f) ||
	    !f->flag || f->size != sizeof(*m))
		return NULL;
	return m;
}

static bool release_to(const struct call *c, const struct quarry_stack_mark *mark)
{
	struct quarry_stack *stack = c->stack;
	struct stack_end *end = &stack->end[c->high];
	unsigned long at = end->mark;
	const struct mark_frame *m;
	struct frame f;

	while (at) {
		m = mark_at(stack, c->high, at, &f);
		if (!m)
			return refuse_overrun(c);
		if (m->serial == mark->serial)
			break;
		/* Older marks lie below: a chain that does not is no chain. */
		if (m->below && (c->high ? m->below <= at : m->below >= at))
			return refuse_overrun(c);
		at = m->below;
	}
	if (!at || mark->position != offset_of(stack, at))
		return refuse(c, REFUSED_STALE);
	WRITE_ONCE(end->released, end->released + live(end) - m->live);
	end->mark = m->below;
	drop(stack, c->high, f.below);
	return true;
}

bool quarry_stack_release(struct quarry_stack *stack,
			  const struct quarry_stack_mark *mark)
{
	const struct call c = CALL("release", mark->high);
	bool ok;

	if (!enter(&c))
		return false;
	ok = mark->stack == stack ? release_to(&c, mark) :
				    refuse(&c, REFUSED_STALE);
	leave(stack);
	return ok;
}
EXPORT_SYMBOL_GPL(quarry_stack_release);

/* Both ends as they were made. */
static void empty(struct quarry_stack *stack)
{
	struct frame sentinel = { .flag = true };
	bool high;

	for (high = false; ; high = true) {
		struct stack_end *end = &stack->end[high];

		WRITE_ONCE(end->released, end->pushes - end->pops);
		WRITE_ONCE(end->top, high ? last_word(stack) : first_byte(stack));
		end->mark = 0;
		sentinel.word = high ? end->top : end->top - WORD;
		put_unaligned(encode(stack, &sentinel, 0), (u64 *)sentinel.word);
		if (high)
			break;
	}
	quarry__mem_freed(&stack->region, (void *)first_byte(stack),
			  stack->capacity);
}

void quarry_stack_reset(struct quarry_stack *stack)
{
	const struct call c = CALL("reset", false);

	if (!enter(&c))
		return;
	empty(stack);
	leave(stack);
}
EXPORT_SYMBOL_GPL(quarry_stack_reset);

/* Create and destroy */

size_t quarry_stack_memory_size(size_t size)
{
	size_t bytes;

	if (!size || check_add_overflow(size, 3 * WORD - 1, &bytes))
		return 0;
	return round_down(bytes, WORD);
}
EXPORT_SYMBOL_GPL(quarry_stack_memory_size);

/* The inverse of an odd number modulo 2^64: each step doubles the good bits. */
static u64 inverse(u64 odd)
{
	u64 x = odd;	/* good to three bits: odd * odd = 1 modulo 8 */
	int i;

	for (i = 0; i < 5; i++)
		x *= 2 - odd * x;
	return x;
}

/*
 * A change of a word by d changes its fields by d * inverse: it is found for
 * certain if that is no number between -2^38 and 2^38. For what one byte can
 * change, nearly every multiplier has that.
 */
static bool finds_bytes(u64 inverse)
{
	unsigned int byte;
	u64 change, d;

	for (byte = 0; byte < 8; byte++)
		for (change = 1; change < 256; change++) {
			d = (change << 8 * byte) * inverse;
			if (d < BIT_ULL(FIELD_BITS) || -d < BIT_ULL(FIELD_BITS))
				return false;
		}
	return true;
}

static void choose_secret(struct quarry_stack *stack)
{
	do {
		stack->multiplier = get_random_u64() | 1;
		stack->inverse = inverse(stack->multiplier);
	} while (!finds_bytes(stack->inverse));
	stack->serial = get_random_u64();
}

static struct quarry_stack *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_stack *stack;

	stack = object ? to_stack(object) : kzalloc(sizeof(*stack), GFP_KERNEL);
	if (!stack)
		return NULL;
	/* Closed until it is built: a stale pointer to it may be in use. */
	WRITE_ONCE(stack->gate, GATE_CLOSED);
	memset((void *)stack + offsetofend(struct quarry_stack, gate), 0,
	       sizeof(*stack) - offsetofend(struct quarry_stack, gate));
	mutex_init(&stack->lock);
	return stack;
}

static int build(struct quarry_stack *stack, const char *name, size_t size,
		 const struct quarry_stack_args *args)
{
	struct quarry_placement at = quarry__placement(args);
	size_t bytes = quarry_stack_memory_size(size);
	unsigned long margin = 2 * QUARRY_STACK_MAX_PUSH, end;
	int err;

	err = quarry__region_take(&stack->region, "stack", name, bytes, WORD, &at);
	if (err)
		return err;
	/* A push computes an address beyond the region before it is refused. */
	if (check_add_overflow((unsigned long)stack->region.base,
			       stack->region.size + margin, &end) ||
	    (unsigned long)stack->region.base < margin) {
		quarry__region_unmap(&stack->region);
		return quarry__invalid("stack", name, "memory within %lu bytes of the address space's end",
				       margin);
	}
	stack->capacity = round_down(stack->region.size, WORD) - 2 * WORD;
	if (!args->memory)
		stack->capacity = bytes - 2 * WORD;
	choose_secret(stack);
	stack->end[0].limit = first_byte(stack);
	stack->end[1].limit = last_word(stack);
	empty(stack);
	/* Release: pairs with nothing; a stale caller finds it closed or built. */
	smp_store_release(&stack->gate, 0);
	return 0;
}

static const struct quarry_kind kind;

struct quarry_stack *quarry_stack_create_owned(struct module *owner,
					       unsigned int layout,
					       const char *name, size_t size,
					       const struct quarry_stack_args *args)
{
	static const struct quarry_stack_args defaults;
	struct quarry_placement at;
	struct quarry_stack *stack;
	int err;

	if (!args)
		args = &defaults;
	if (layout != QUARRY_STACK_LAYOUT)
		return ERR_PTR(quarry__invalid("stack", name, "client built for layout %u, not %u",
					       layout, QUARRY_STACK_LAYOUT));
	at = quarry__placement(args);
	err = quarry__create_check("stack", name, &at, 0);
	if (err)
		return ERR_PTR(err);
	if (!size)
		return ERR_PTR(quarry__invalid("stack", name, "bad size 0"));
	if (!quarry_stack_memory_size(size))
		return ERR_PTR(-EOVERFLOW);
	might_sleep();
	stack = handle_get();
	if (!stack)
		return ERR_PTR(-ENOMEM);
	err = build(stack, name, size, args);
	if (err) {
		quarry__handle_retire(&stack->object, &retired);
		return ERR_PTR(err);
	}
	quarry__register(&stack->object, name, &kind, owner);
	return stack;
}
EXPORT_SYMBOL_GPL(quarry_stack_create_owned);

/* Nobody uses the stack, and it is not in the registry. */
static void release(struct quarry_object *object)
{
	struct quarry_stack *stack = to_stack(object);

	WRITE_ONCE(stack->gate, GATE_CLOSED);
	if (object->state != QUARRY_DEAD)	/* else it is another's by now */
		quarry__mem_restore(&stack->region);
	quarry__region_unmap(&stack->region);
	stack->capacity = 0;
	quarry__handle_retire(object, &retired);
}

/* The owner is gone; memory that it lent too, and is not to be read. */
static void orphan(struct quarry_object *object)
{
	struct quarry_stack *stack = to_stack(object);

	WRITE_ONCE(stack->gate, GATE_CLOSED);
	if (stack->region.borrowed)
		WRITE_ONCE(object->state, QUARRY_DEAD);
}

void quarry_stack_destroy(struct quarry_stack *stack)
{
	const struct call c = CALL("destroy", false);

	if (IS_ERR_OR_NULL(stack))
		return;
	if (!quarry__may_sleep()) {
		quarry__report("stack \"%s\": destroyed in a context that may not sleep: refused",
			       stack->object.name);
		return;
	}
	might_sleep();
	if (!enter(&c))
		return;
	WRITE_ONCE(stack->gate, GATE_CLOSED);
	quarry__unregister(&stack->object);
	release(&stack->object);
}
EXPORT_SYMBOL_GPL(quarry_stack_destroy);

/* Both ends' blocks are one to the outside: number 0 low, 1 high. */
static long find(struct quarry_object *object, unsigned long address)
{
	struct quarry_stack *stack = to_stack(object);

	if (READ_ONCE(object->state) == QUARRY_DEAD ||
	    offset_of(stack, address) >= stack->capacity)
		return -1;
	return address >= READ_ONCE(stack->end[1].top);
}

static const struct quarry_kind kind = {
	.name		= "stack",
	.row		= quarry__stack_row,
	.config		= quarry__stack_config,
	.stats		= quarry__stack_stats,
	.map		= quarry__stack_map,
	.verify		= quarry__stack_verify,
	.reset		= quarry__stack_reset,
	.find		= find,
	.orphan		= orphan,
	.release	= release,
};

void quarry__stack_exit(void)
{
	struct quarry_stack *stack, *next;

	list_for_each_entry_safe(stack, next, &retired, object.node)
		kfree(stack);
}
