// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stacks: create and destroy, the secret of frame words, and what the registry
 * asks of a stack. All in process context, by the owner.
 */
#include <linux/export.h>
#include <linux/instruction_pointer.h>
#include <linux/kernel.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/slab.h>
#include "stack.h"

static LIST_HEAD(retired);

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
 * A change of a word by d changes its fields by d * inverse, which is found for
 * certain if that is no number between -2^38 and 2^38. For whatever one byte can
 * change, nearly every multiplier has that.
 */
static bool finds_bytes(u64 inverse)
{
	unsigned int byte;
	u64 change, d;

	for (byte = 0; byte < 8; byte++)
		for (change = 1; change < 256; change++) {
			d = (change << 8 * byte) * inverse;
			if (d < QUARRY_STACK_FIELDS_END ||
			    -d < QUARRY_STACK_FIELDS_END)
				return false;
		}
	return true;
}

static void choose_secret(struct quarry_stack *stack)
{
	do {
		stack->hot.multiplier = get_random_u64() | 1;
		stack->hot.inverse = inverse(stack->hot.multiplier);
	} while (!finds_bytes(stack->hot.inverse));
	stack->serial = get_random_u64();
}

/* From here on each operation goes the slow way and finds the stack closed. */
static void close(struct quarry_stack *stack)
{
	struct quarry_stack_end *end = stack->hot.end;
	unsigned long word = (unsigned long)&stack->sentinel;

	WRITE_ONCE(stack->closed, true);
	stack->sentinel.value = word + FLAG;
	stack->hot.multiplier = 1;
	stack->hot.inverse = 1;
	end[0].held = word + WORD;
	end[1].held = word;
	WRITE_ONCE(end[0].limit, 0);
	WRITE_ONCE(end[1].limit, ULONG_MAX);
	WRITE_ONCE(end[0].top, end[0].held);
	WRITE_ONCE(end[1].top, end[1].held);
}

/* Both ends empty, and all else behind the tops, which come last. */
static void open(struct quarry_stack *stack)
{
	choose_secret(stack);
	stack->hot.end[0].held = last_word(stack) + WORD;
	stack->hot.end[1].held = first_byte(stack) - WORD;
	stack->hot.end[0].limit = first_byte(stack);
	stack->hot.end[1].limit = last_word(stack);
	quarry__stack_empty(stack);
	WRITE_ONCE(stack->closed, false);
	quarry__stack_leave(stack);
}

static struct quarry_stack *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_stack *stack;
	int i;

	stack = object ? to_stack(object) : kzalloc(sizeof(*stack), GFP_KERNEL);
	if (!stack)
		return NULL;
	/* Closed until it is built: a stale pointer to it may be in use. */
	close(stack);
	for (i = 0; i < 2; i++) {
		stack->hot.end[i].pushes = 0;
		stack->hot.end[i].pops = 0;
	}
	memset((void *)stack + offsetofend(struct quarry_stack, closed), 0,
	       sizeof(*stack) - offsetofend(struct quarry_stack, closed));
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
		return quarry__invalid("stack", name,
				       "memory within %lu bytes of the address space's end",
				       margin);
	}
	stack->capacity = round_down(stack->region.size, WORD) - 2 * WORD;
	open(stack);
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
		return ERR_PTR(quarry__invalid("stack", name,
					       "client built for layout %u, not %u",
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

	close(stack);
	if (object->state != QUARRY_DEAD)	/* else it is another's by now */
		quarry__mem_restore(&stack->region);
	quarry__region_unmap(&stack->region);
	stack->capacity = 0;
	quarry__handle_retire(object, &retired);
}

/*
 * Its module is gone; memory that it lent too, and is not to be read. The figures
 * stay as they were: the tops are kept where the slow way keeps them.
 */
static void orphan(struct quarry_object *object)
{
	struct quarry_stack *stack = to_stack(object);
	int i;

	if (!stack->region.borrowed)
		return;
	for (i = 0; i < 2; i++)
		WRITE_ONCE(stack->top[i], end_top(stack, i));
	close(stack);
	quarry__mark(object, QUARRY_DEAD);
}

void quarry_stack_destroy(struct quarry_stack *stack)
{
	const struct call c = { stack, "destroy", false, _RET_IP_ };

	if (IS_ERR_OR_NULL(stack))
		return;
	if (!quarry__may_sleep()) {
		quarry__report("stack \"%s\": destroyed in a context that may not sleep: refused",
			       stack->object.name);
		return;
	}
	might_sleep();
	if (!quarry__stack_enter(&c))
		return;
	WRITE_ONCE(stack->closed, true);
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
	return address >= end_top(stack, true);
}

static const struct quarry_kind kind = {
	.name		= "stack",
	.unit		= "blocks",
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
