// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bump at work and its life. Who may touch which word, what orders what, and
 * the accounting equation: bump.h. The hit path: include/quarry/bump.h.
 *
 * Handles are type-stable: a destroyed bump's struct is kept and used again; its
 * limit is 0, so that each operation on it goes the slow way and is refused.
 */
#include <linux/instruction_pointer.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "bump.h"
#include "sanitize.h"

static LIST_HEAD(retired);
static DEFINE_PER_CPU(struct quarry_bump_cpu, closed_cpu);

/* As in pool.c: what the slow path's caller is when it is called last. */
#define CALLER	(IS_ENABLED(CONFIG_FRAME_POINTER) ? _RET_IP_ : 0)

static bool not_a_bump(const struct quarry_bump *bump)
{
	return not_a_handle(bump);
}

static void *refuse_handle(const struct quarry_bump *bump, unsigned long caller)
{
	quarry__report("not a bump: %ld in place of a handle, by %pS",
		       PTR_ERR(bump), (void *)caller);
	return NULL;
}

static void *refuse_dead(struct quarry_bump *bump, const char *what,
			 unsigned long caller)
{
	atomic_long_inc(&bump->refused_dead);
	quarry__report("bump \"%s\": %s refused: destroyed bump, by %pS",
		       bump->object.name, what, (void *)caller);
	return NULL;
}

/* Alloc */

#if QUARRY_KASAN || defined(CONFIG_KMSAN)
void quarry__bump_taken(struct quarry_bump *bump, const void *piece, size_t size)
{
	quarry__mem_taken(&bump->region, piece, size);
}
EXPORT_SYMBOL_GPL(quarry__bump_taken);
#endif

/* It does not fit, or there is nothing to fit into. */
noinline void *quarry_bump_alloc_slow(struct quarry_bump *bump,
				      unsigned long caller)
{
	if (!caller)
		caller = _RET_IP_;
	if (unlikely(not_a_bump(bump)))
		return refuse_handle(bump, caller);
	if (unlikely(READ_ONCE(bump->closed)))
		return refuse_dead(bump, "alloc", caller);
	this_cpu_inc(bump->hot.cpu->exhausted);
	return NULL;
}
EXPORT_SYMBOL_GPL(quarry_bump_alloc_slow);

/* Size and alignment were checked when the caller was compiled. */
void *quarry_bump_alloc_const(struct quarry_bump *bump, u64 step, u64 mask)
{
	if (unlikely(not_a_bump(bump)))
		return quarry_bump_alloc_slow(bump, CALLER);
	return quarry_bump_hit_alloc(bump, step, mask, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_bump_alloc_const);

/* Not to be served: too large, which is no mistake, or bad. */
static noinline void *refuse_bad(struct quarry_bump *bump, size_t size,
				 size_t align, unsigned long caller)
{
	if (!caller)
		caller = _RET_IP_;
	if (size && is_power_of_2(align) && align <= QUARRY_BUMP_MAX_ALIGN)
		return quarry_bump_alloc_slow(bump, caller);
	atomic_long_inc(&bump->refused_bad);
	if (!size)
		quarry__report("bump \"%s\": refused: size 0, by %pS",
			       bump->object.name, (void *)caller);
	else
		quarry__report("bump \"%s\": refused: align %zu, no power of two up to %lu, by %pS",
			       bump->object.name, align, QUARRY_BUMP_MAX_ALIGN,
			       (void *)caller);
	return NULL;
}

/* Both are good; the generation goes to @gen if that is not NULL. */
static __always_inline void *alloc_good(struct quarry_bump *bump, size_t size,
					u64 mask, u32 *gen, unsigned long caller)
{
	void *piece;
	u64 before;

	if (unlikely(!quarry_bump_take(&bump->hot, QUARRY_BUMP_STEP(size), mask,
				       &before)))
		return quarry_bump_alloc_slow(bump, caller);
	this_cpu_inc(bump->hot.cpu->allocs);
	piece = (void *)(bump->hot.origin + (before >> QUARRY_BUMP_GEN_BITS));
	quarry__bump_taken(bump, piece, size);
	if (gen)
		*gen = before & QUARRY_BUMP_GEN_MASK;
	return piece;
}

/* The alignment was checked when the caller was compiled. */
void *quarry_bump_alloc_aligned(struct quarry_bump *bump, size_t size, u64 mask)
{
	if (unlikely(not_a_bump(bump)))
		return quarry_bump_alloc_slow(bump, CALLER);
	/* Less one, so that 0 is too large. */
	if (unlikely(size - 1 >= QUARRY_BUMP_MAX_SIZE))
		return refuse_bad(bump, size, 1, CALLER);
	return alloc_good(bump, size, mask, NULL, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_bump_alloc_aligned);

/* Any size and alignment. */
static __always_inline void *alloc_checked(struct quarry_bump *bump, size_t size,
					   size_t align, u32 *gen,
					   unsigned long caller)
{
	if (unlikely(not_a_bump(bump)))
		return quarry_bump_alloc_slow(bump, caller);
	if (unlikely(size - 1 >= QUARRY_BUMP_MAX_SIZE ||
		     ((align - 1) / QUARRY_BUMP_MAX_ALIGN | (align & (align - 1)))))
		return refuse_bad(bump, size, align, caller);
	return alloc_good(bump, size, QUARRY_BUMP_MASK(align), gen, caller);
}

void *quarry_bump_alloc_any(struct quarry_bump *bump, size_t size, size_t align)
{
	return alloc_checked(bump, size, align, NULL, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_bump_alloc_any);

void *quarry__bump_alloc(struct quarry_bump *bump, size_t size, size_t align,
			 unsigned long caller)
{
	return alloc_checked(bump, size, align, NULL, caller);
}

void *quarry_bump_alloc_gen(struct quarry_bump *bump, size_t size, size_t align,
			    u32 *gen)
{
	return alloc_checked(bump, size, align, gen, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_bump_alloc_gen);

void *quarry_bump_zalloc(struct quarry_bump *bump, size_t size, size_t align)
{
	void *piece = alloc_checked(bump, size, align, NULL, _RET_IP_);

	return piece ? memset(piece, 0, size) : NULL;
}
EXPORT_SYMBOL_GPL(quarry_bump_zalloc);

/* Reset */

static void raise_peak(struct quarry_bump *bump, s64 used)
{
	s64 peak = atomic64_read(&bump->peak);

	while (used > peak &&
	       !atomic64_try_cmpxchg_relaxed(&bump->peak, &peak, used))
		;
}

/* The word when nothing is handed out. */
static u64 empty_word(const struct quarry_bump *bump, u64 generation)
{
	return QUARRY_BUMP_STEP(bump->first - 1) |
	       (generation & QUARRY_BUMP_GEN_MASK);
}

u32 quarry_bump_reset(struct quarry_bump *bump)
{
	s64 old;
	u64 new;

	if (unlikely(not_a_bump(bump))) {
		refuse_handle(bump, _RET_IP_);
		return 0;
	}
	if (unlikely(READ_ONCE(bump->closed))) {
		refuse_dead(bump, "reset", _RET_IP_);
		return 0;
	}
	old = atomic64_read(&bump->hot.word);
	do {
		quarry__mem_freed(&bump->region, bump->region.base,
				  used_in(bump, old));
		new = empty_word(bump, old + 1);
		/* Release: pairs with the acquire in quarry_bump_take(). */
	} while (!atomic64_try_cmpxchg_release(&bump->hot.word, &old, new));
	raise_peak(bump, used_in(bump, old));
	atomic64_inc(&bump->resets);
	return new & QUARRY_BUMP_GEN_MASK;
}
EXPORT_SYMBOL_GPL(quarry_bump_reset);

/* Looks */

bool quarry_bump_owns(struct quarry_bump *bump, const void *ptr, u32 gen)
{
	u64 word;

	if (not_a_bump(bump) || READ_ONCE(bump->closed))
		return false;
	word = atomic64_read(&bump->hot.word);
	return (gen == QUARRY_BUMP_ANY_GEN ||
		gen == (word & QUARRY_BUMP_GEN_MASK)) &&
	       (unsigned long)ptr - (unsigned long)bump->region.base <
	       used_in(bump, word);
}
EXPORT_SYMBOL_GPL(quarry_bump_owns);

u32 quarry_bump_generation(struct quarry_bump *bump)
{
	return not_a_bump(bump) ? 0 :
	       atomic64_read(&bump->hot.word) & QUARRY_BUMP_GEN_MASK;
}
EXPORT_SYMBOL_GPL(quarry_bump_generation);

size_t quarry_bump_used(struct quarry_bump *bump)
{
	return not_a_bump(bump) || READ_ONCE(bump->closed) ? 0 :
	       used_in(bump, atomic64_read(&bump->hot.word));
}
EXPORT_SYMBOL_GPL(quarry_bump_used);

size_t quarry_bump_capacity(struct quarry_bump *bump)
{
	return not_a_bump(bump) ? 0 : bump->capacity;
}
EXPORT_SYMBOL_GPL(quarry_bump_capacity);

/* Life */

static const struct quarry_kind kind;

/*
 * From here on each operation goes the slow way and finds the bump closed; after a
 * grace period none is left that counts among the CPUs' words.
 */
static void close(struct quarry_bump *bump)
{
	WRITE_ONCE(bump->closed, true);
	WRITE_ONCE(bump->hot.limit, 0);
	WRITE_ONCE(bump->hot.cpu, &closed_cpu);
}

/*
 * All is built; last, that it may be used. A grace period after the handle was used
 * again: who holds a stale pointer to it gets nothing, or sees all that was built.
 */
static void open(struct quarry_bump *bump)
{
	WRITE_ONCE(bump->hot.cpu, bump->cpu);
	WRITE_ONCE(bump->closed, false);
	WRITE_ONCE(bump->hot.limit,
		   QUARRY_BUMP_STEP(bump->first - 1 + bump->capacity) |
		   QUARRY_BUMP_GEN_MASK);
}

static struct quarry_bump *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_bump *bump;

	bump = object ? to_bump(object) : kzalloc(sizeof(*bump), GFP_KERNEL);
	if (!bump)
		return NULL;
	/* Closed until it is built: a stale pointer to it may be in use. */
	close(bump);
	memset((void *)bump + offsetofend(struct quarry_bump, closed), 0,
	       sizeof(*bump) - offsetofend(struct quarry_bump, closed));
	bump->reused = object;
	mutex_init(&bump->lock);
	return bump;
}

#define invalid(name, fmt, ...)						\
	quarry__invalid("bump", name, fmt, ##__VA_ARGS__)

static int check_args(const char *name, size_t size,
		      const struct quarry_placement *at)
{
	int err = quarry__create_check("bump", name, at, 0);

	if (err)
		return err;
	if (!size)
		return invalid(name, "bad size 0");
	if (size > QUARRY_BUMP_MAX_SIZE) {
		invalid(name, "size %zu, more than %lu", size,
			QUARRY_BUMP_MAX_SIZE);
		return -EOVERFLOW;
	}
	return 0;
}

static int build(struct quarry_bump *bump, const char *name, size_t size,
		 const struct quarry_placement *at)
{
	struct quarry_bump_cpu __percpu *cpu = alloc_percpu(struct quarry_bump_cpu);
	unsigned long base;
	int err;

	if (!cpu)
		return -ENOMEM;
	err = quarry__region_take(&bump->region, "bump", name, size, 1, at);
	if (err) {
		free_percpu(cpu);
		return err;
	}
	base = (unsigned long)bump->region.base;
	bump->flags = at->flags;
	bump->capacity = size;
	bump->first = base % QUARRY_BUMP_MAX_ALIGN + QUARRY_BUMP_MAX_ALIGN;
	bump->hot.origin = base - bump->first + 1;
	bump->cpu = cpu;
	atomic64_set(&bump->hot.word, empty_word(bump, 0));
	quarry__mem_freed(&bump->region, bump->region.base, bump->region.size);
	if (bump->reused)
		synchronize_rcu();
	open(bump);
	return 0;
}

struct quarry_bump *quarry_bump_create_owned(struct module *owner,
					     unsigned int layout,
					     const char *name, size_t size,
					     const struct quarry_bump_args *args)
{
	static const struct quarry_bump_args defaults;
	struct quarry_placement at;
	struct quarry_bump *bump;
	int err;

	if (layout != QUARRY_BUMP_LAYOUT)
		return ERR_PTR(invalid(name, "client built for layout %u, not %u",
				       layout, QUARRY_BUMP_LAYOUT));
	if (!args)
		args = &defaults;
	at = quarry__placement(args);
	err = check_args(name, size, &at);
	if (err)
		return ERR_PTR(err);
	might_sleep();
	bump = handle_get();
	if (!bump)
		return ERR_PTR(-ENOMEM);
	err = build(bump, name, size, &at);
	if (err) {
		quarry__handle_retire(&bump->object, &retired);
		return ERR_PTR(err);
	}
	quarry__register(&bump->object, name, &kind, owner);
	return bump;
}
EXPORT_SYMBOL_GPL(quarry_bump_create_owned);

/* Give all back; nobody uses the bump, and it is not in the registry. */
static void release(struct quarry_object *object)
{
	struct quarry_bump *bump = to_bump(object);

	close(bump);
	if (object->state != QUARRY_DEAD)	/* else it is another's by now */
		quarry__mem_restore(&bump->region);
	quarry__region_unmap(&bump->region);
	free_percpu(bump->cpu);
	quarry__handle_retire(object, &retired);
}

void quarry_bump_destroy(struct quarry_bump *bump)
{
	if (IS_ERR_OR_NULL(bump))
		return;
	if (!quarry__may_sleep()) {
		atomic_long_inc(&bump->refused_bad);
		quarry__report("bump \"%s\": destroyed where it may not sleep, by %pS",
			       bump->object.name, (void *)_RET_IP_);
		return;
	}
	if (READ_ONCE(bump->closed)) {
		atomic_long_inc(&bump->refused_dead);
		quarry__report("bump \"%s\": destroyed twice, by %pS",
			       bump->object.name, (void *)_RET_IP_);
		return;
	}
	might_sleep();
	close(bump);
	quarry__unregister(&bump->object);
	release(&bump->object);
}
EXPORT_SYMBOL_GPL(quarry_bump_destroy);

/* Memory that the owner lent is gone, and is not to be read. */
static void orphan(struct quarry_object *object)
{
	struct quarry_bump *bump = to_bump(object);

	if (bump->region.borrowed) {
		close(bump);
		quarry__mark(object, QUARRY_DEAD);
	}
}

/* A piece has no number: the offset of the address in the region. */
static long find(struct quarry_object *object, unsigned long address)
{
	struct quarry_bump *bump = to_bump(object);
	unsigned long offset = address - (unsigned long)bump->region.base;

	if (READ_ONCE(object->state) == QUARRY_DEAD ||
	    offset >= used_in(bump, atomic64_read(&bump->hot.word)))
		return -1;
	return offset;
}

static const struct quarry_kind kind = {
	.name		= "bump",
	.row		= quarry__bump_row,
	.config		= quarry__bump_config,
	.stats		= quarry__bump_stats,
	.map		= quarry__bump_map,
	.verify		= quarry__bump_verify,
	.reset		= quarry__bump_reset_figures,
	.find		= find,
	.orphan		= orphan,
	.release	= release,
};

void quarry__bump_exit(void)
{
	struct quarry_bump *bump, *next;

	list_for_each_entry_safe(bump, next, &retired, object.node)
		kfree(bump);
}
