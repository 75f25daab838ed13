// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a stack says of misuse. Cold: each ends in the funnel, report.c. In any
 * context; the owner of a stray pointer is looked up under RCU.
 */
#include <linux/kernel.h>
#include <linux/rcupdate.h>
#include "stack.h"

static const char * const end_names[] = { "low", "high" };

static const char * const reasons[NR_STACK_REFUSALS] = {
	[REFUSED_ORDER]		= "not the top block",
	[REFUSED_DOUBLE]	= "no live block there, popped before",
	[REFUSED_FOREIGN]	= "foreign pointer",
	[REFUSED_EMPTY]		= "nothing was pushed",
	[REFUSED_MARK]		= "a mark is on top",
	[REFUSED_SIZE]		= "not the size that was pushed",
	[REFUSED_STALE]		= "stale mark, or another stack's",
	[REFUSED_OVERRUN]	= "frame overwritten",
	[REFUSED_ARGUMENT]	= "bad argument",
	[REFUSED_OWNERS]	= "another operation is under way: two owners",
	[REFUSED_DEAD]		= "destroyed stack",
};

bool quarry__stack_refuse(const struct call *c, enum stack_refusal why)
{
	atomic_long_inc(&c->stack->refused[why]);
	quarry__report("stack \"%s\": %s %s refused: %s, by %pS",
		       c->stack->object.name, end_names[c->high], c->verb,
		       reasons[why], (void *)c->caller);
	return false;
}

/* The same with two numbers that say where or how much. */
bool quarry__stack_refuse_at(const struct call *c, enum stack_refusal why,
			     const char *first, u64 a, const char *second, u64 b)
{
	atomic_long_inc(&c->stack->refused[why]);
	quarry__report("stack \"%s\": %s %s refused: %s, %s %llu, %s %llu, by %pS",
		       c->stack->object.name, end_names[c->high], c->verb,
		       reasons[why], first, a, second, b, (void *)c->caller);
	return false;
}

/*
 * A word that is not what was written. At the low end it lies behind the top
 * block, which has most likely overrun it; at the high end behind the block that
 * was popped last.
 */
bool quarry__stack_refuse_overrun(const struct call *c)
{
	unsigned long top = c->stack->top[c->high];

	return quarry__stack_refuse_at(c, REFUSED_OVERRUN, c->high ?
			 "most likely by the block popped last, which ended before offset" :
			 "most likely by the top block, which ends before offset",
			 offset_of(c->stack, c->high ? top : top - WORD),
			 "frames left", end_live(c->stack, c->high));
}

/* A pointer that belongs to nothing here: perhaps another object's. */
static bool refuse_foreign(const struct call *c, unsigned long address)
{
	const char *kind, *name;
	long other;

	rcu_read_lock();
	other = quarry__find(address, &c->stack->object, &kind, &name);
	if (other < 0) {
		quarry__stack_refuse(c, REFUSED_FOREIGN);
	} else {
		atomic_long_inc(&c->stack->refused[REFUSED_FOREIGN]);
		quarry__report("stack \"%s\": %s %s refused: it is of %s \"%s\" block %ld, by %pS",
			       c->stack->object.name, end_names[c->high],
			       c->verb, kind, name, other, (void *)c->caller);
	}
	rcu_read_unlock();
	return false;
}

/* @address is not the top block's, whose frame is @f. */
bool quarry__stack_refuse_pop(const struct call *c, unsigned long address,
			      const struct frame *f)
{
	const struct quarry_stack *stack = c->stack;
	u64 at = offset_of(stack, address);

	if (at >= stack->capacity)
		return refuse_foreign(c, address);
	if (frame_is_sentinel(f))
		return quarry__stack_refuse(c, REFUSED_EMPTY);
	if (address >= stack->top[0] && address < stack->top[1])
		return quarry__stack_refuse_at(c, REFUSED_DOUBLE, "offset", at, "top",
				 offset_of(stack, f->block));
	if (f->flag)
		return quarry__stack_refuse(c, REFUSED_MARK);
	return quarry__stack_refuse_at(c, REFUSED_ORDER, "offset", at, "top",
			 offset_of(stack, f->block));
}

