// SPDX-License-Identifier: GPL-2.0-only
/*
 * The per-CPU arena at work: hit path, slow path, resets. Who may touch which
 * word, what orders what, and the accounting equation: percpu_arena.h.
 *
 * A miss goes, in this order, to the rest of the CPU's chunk (it may have moved to
 * another CPU), a rest from the list of tails, a fresh chunk of the ring, the
 * shared chunk. Every loop is repeated only when another's operation has succeeded
 * or a reset has come.
 */
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include "percpu_arena.h"
#include "sanitize.h"

/* As in pool.c: what the slow path's caller is when it is called last. */
#define CALLER	(IS_ENABLED(CONFIG_FRAME_POINTER) ? _RET_IP_ : 0)

/* A rest of a chunk: from an offset to its end. */
struct piece {
	u32 chunk;
	u32 from;
};

/* Where a request begins in a rest, as an offset in the chunk. */
static u64 place(const struct quarry_percpu_arena *arena, struct piece piece,
		 unsigned long mask)
{
	unsigned long address = chunk_address(arena, piece.chunk);

	return ((address + piece.from - 1) | mask) + 1 - address;
}

static bool fits(const struct quarry_percpu_arena *arena, struct piece piece,
		 size_t size, unsigned long mask)
{
	u64 at = place(arena, piece, mask);

	return at <= arena->chunk && size <= arena->chunk - at;
}

/* Bytes that a request takes in chunks of its own, whichever they are. */
static u64 worst_case(const struct quarry_percpu_arena *arena, size_t size,
		      unsigned long mask)
{
	return size + (mask >= arena->chunk ? mask + 1 - arena->chunk : 0);
}

/* The lists that all share */

static u64 epoch_now(const struct quarry_percpu_arena *arena)
{
	return ring_epoch(atomic64_read(&arena->ring));
}

static void add_waste(struct quarry_percpu_arena *arena, u32 epoch, u64 bytes)
{
	s64 old = atomic64_read(&arena->waste);
	u64 sum;

	if (!bytes)
		return;
	do {
		if (word_epoch(old) != epoch && epoch_now(arena) != epoch)
			return;		/* of an epoch that is over */
		sum = word_epoch(old) == epoch ? old & BYTES_MASK : 0;
	} while (!atomic64_try_cmpxchg_relaxed(&arena->waste, &old,
					       (u64)epoch << EPOCH_SHIFT |
					       (sum + bytes)));
}

/* A rest that can be had again; of the present epoch, else it is dropped. */
static void push_tail(struct quarry_percpu_arena *arena, u32 epoch,
		      struct piece piece)
{
	s64 old = atomic64_read(&arena->tails);
	u32 next;

	if (piece.from >= arena->chunk)
		return;
	do {
		if (epoch_now(arena) != epoch)
			return;
		next = word_epoch(old) == epoch ? word_low(old) : NO_CHUNK;
		atomic64_set(&arena->tail[piece.chunk],
			     word_of(epoch, piece.from, next));
		/* Release: pairs with the acquire in pop_tail(). */
	} while (!atomic64_try_cmpxchg_release(&arena->tails, &old,
					       word_of(epoch, word_high(old) + 1,
						       piece.chunk)));
}

/* The uppermost rest, if the request fits into it. */
static bool pop_tail(struct quarry_percpu_arena *arena, u32 epoch, size_t size,
		     unsigned long mask, struct piece *piece)
{
	s64 old = atomic64_read(&arena->tails);
	u64 tail;

	do {
		piece->chunk = word_low(old);
		if (word_epoch(old) != epoch || piece->chunk == NO_CHUNK)
			return false;
		tail = atomic64_read(&arena->tail[piece->chunk]);
		piece->from = word_high(tail);
		if (word_epoch(tail) != epoch || !fits(arena, *piece, size, mask))
			return false;
		/* Acquire: pairs with the release in push_tail(). */
	} while (!atomic64_try_cmpxchg_acquire(&arena->tails, &old,
					       word_of(epoch, word_high(old) + 1,
						       word_low(tail))));
	this_cpu_inc(arena->cpus->recycled);
	return true;
}

/*
 * @want chunks in a row, the first one's number in @piece. Those before the end
 * of the region that are too few are skipped, which happens after a reset_rcu()
 * alone. @ring is the word that they were taken from. @even: not while a reset is
 * under way.
 */
static bool take_chunks(struct quarry_percpu_arena *arena, u64 want, bool even,
			struct piece *piece, u64 *ring)
{
	s64 old = atomic64_read(&arena->ring);
	u32 pos, skip;
	u64 new;

	do {
		pos = ring_pos(old);
		skip = pos + want > arena->nr ? arena->nr - pos : 0;
		if (ring_used(old) + skip + want > arena->nr ||
		    (even && ring_odd(old)))
			return false;
		piece->chunk = skip ? 0 : pos;
		pos = piece->chunk + want;
		new = ring_word(ring_gen(old), true,
				pos == arena->nr ? 0 : pos,
				ring_used(old) + skip + want);
		/* Acquire: pairs with the release in reset and give_back(). */
	} while (!atomic64_try_cmpxchg_acquire(&arena->ring, &old, new));
	piece->from = 0;
	*ring = old;
	add_waste(arena, ring_epoch(old), (u64)skip << arena->shift);
	return true;
}

/* A rest or a fresh chunk into which the request fits, and its epoch. */
static bool take_piece(struct quarry_percpu_arena *arena, size_t size,
		       unsigned long mask, bool even, struct piece *piece,
		       u32 *epoch)
{
	u64 ring = atomic64_read_acquire(&arena->ring);

	*epoch = ring_epoch(ring);
	if (even && ring_odd(ring))
		return false;
	if (pop_tail(arena, *epoch, size, mask, piece))
		return true;
	if (!take_chunks(arena, 1, even, piece, &ring))
		return false;
	*epoch = ring_epoch(ring);
	return true;
}

/* The slow paths; preemption is disabled in all of these. 0 is no address. */

/* Larger than a chunk: chunks in a row, what is left of them on the list. */
static unsigned long take_large(struct quarry_percpu_arena *arena, size_t size,
				unsigned long mask)
{
	u64 want = (worst_case(arena, size, mask) + arena->chunk - 1) >> arena->shift;
	struct piece piece, rest;
	u64 ring, at, end;

	if (want > arena->nr || !take_chunks(arena, want, false, &piece, &ring))
		return 0;
	at = place(arena, piece, mask);
	end = at + size;
	while (end < want << arena->shift) {
		rest.chunk = piece.chunk + (end >> arena->shift);
		rest.from = end & (arena->chunk - 1);
		push_tail(arena, ring_epoch(ring), rest);
		end = round_up(end + 1, arena->chunk);
	}
	this_cpu_inc(arena->cpus->large);
	return chunk_address(arena, piece.chunk) + at;
}

/* From the chunk that all CPUs share. */
static unsigned long take_shared(struct quarry_percpu_arena *arena, size_t size,
				 unsigned long mask)
{
	s64 old = atomic64_read_acquire(&arena->shared);
	struct piece piece;
	bool fresh, swapped;
	u32 epoch, left;
	u64 at;

	do {
		epoch = epoch_now(arena);
		piece.chunk = word_high(old);
		piece.from = word_low(old);
		left = 0;
		fresh = word_epoch(old) != epoch ||
			!fits(arena, piece, size, mask);
		if (fresh) {
			left = arena->chunk - piece.from;
			if (!take_piece(arena, size, mask, false, &piece, &epoch))
				return 0;
			if (word_epoch(old) != epoch)
				left = 0;
		}
		at = place(arena, piece, mask);
		/* Acquire, release: the chunk's memory goes with it. */
		swapped = atomic64_try_cmpxchg(&arena->shared, &old,
					       word_of(epoch, piece.chunk, at + size));
		if (!swapped && fresh)
			push_tail(arena, epoch, piece);
	} while (!swapped);
	add_waste(arena, epoch, left);
	this_cpu_inc(arena->cpus->bypass);
	return chunk_address(arena, piece.chunk) + at;
}

/* Give a CPU's chunk @end, or what it had, unless a reset has come meanwhile. */
static bool publish(struct quarry_percpu_cpu *cpu, unsigned long end)
{
	return cmpxchg(&cpu->end, END_FETCHING, end) == END_FETCHING;
}

/* The rest of the chunk that the CPU has. Busy, end is FETCHING. */
static unsigned long take_rest(struct quarry_percpu_cpu *cpu, unsigned long end,
			       size_t size, unsigned long mask)
{
	unsigned long before = READ_ONCE(cpu->pos) | mask;

	if (end <= END_FETCHING || before + size > end)
		return 0;
	WRITE_ONCE(cpu->pos, before + size);
	return before + 1;
}

/* From the CPU's own chunk, which may be a new one. Busy. */
static unsigned long take_own(struct quarry_percpu_arena *arena,
			      struct quarry_percpu_cpu *cpu, size_t size,
			      unsigned long mask)
{
	unsigned long end, pos, at;
	struct piece piece;
	u32 epoch;

	for (;;) {
		/* Full barrier: from here on a reset is seen, see "Fetching". */
		end = xchg(&cpu->end, END_FETCHING);
		pos = READ_ONCE(cpu->pos);
		at = take_rest(cpu, end, size, mask);
		if (at) {
			if (publish(cpu, end))
				return at;
			continue;
		}
		if (!take_piece(arena, size, mask, true, &piece, &epoch)) {
			publish(cpu, end);
			return 0;
		}
		at = chunk_address(arena, piece.chunk) + place(arena, piece, mask);
		WRITE_ONCE(cpu->pos, at + size - 1);
		if (publish(cpu, chunk_address(arena, piece.chunk) + arena->chunk - 1))
			break;
		/* Of the epoch that has begun meanwhile, else it is dropped. */
		push_tail(arena, epoch, piece);
	}
	if (end > END_FETCHING)
		add_waste(arena, epoch, end - pos);
	this_cpu_inc(arena->cpus->refills);
	return at;
}

static unsigned long take_somewhere(struct quarry_percpu_arena *arena,
				    size_t size, unsigned long mask)
{
	struct quarry_percpu_cpu *cpu = this_cpu_ptr(arena->cpus);
	unsigned long at;

	if (worst_case(arena, size, mask) > arena->chunk)
		return take_large(arena, size, mask);
	if (READ_ONCE(cpu->busy))
		return take_shared(arena, size, mask);
	WRITE_ONCE(cpu->busy, 1);
	barrier();	/* an interrupt sees it before we begin */
	at = take_own(arena, cpu, size, mask);
	barrier();	/* and sees our work before it is cleared */
	WRITE_ONCE(cpu->busy, 0);
	return at ?: take_shared(arena, size, mask);
}

/* Refusals */

static void *refuse_handle(const struct quarry_percpu_arena *arena,
			   unsigned long caller)
{
	quarry__report("not a per-CPU arena: %ld in place of a handle, by %pS",
		       PTR_ERR(arena), (void *)caller);
	return NULL;
}

static void *refuse_dead(struct quarry_percpu_arena *arena, const char *what,
			 unsigned long caller)
{
	atomic_long_inc(&arena->refused_dead);
	quarry__report("percpu_arena \"%s\": %s refused: destroyed arena, by %pS",
		       arena->object.name, what, (void *)caller);
	return NULL;
}

/* Not for the hit path: larger than any chunk, which is no mistake, or bad. */
static noinline void *alloc_odd(struct quarry_percpu_arena *arena, size_t size,
				size_t align, unsigned long caller)
{
	if (!caller)
		caller = _RET_IP_;
	if (size && is_power_of_2(align) && align <= QUARRY_PERCPU_ARENA_MAX_ALIGN)
		return quarry_percpu_arena_alloc_slow(arena,
				min(size, QUARRY_PERCPU_ARENA_MAX_SIZE + 1),
				QUARRY_PERCPU_ARENA_MASK(align), caller);
	atomic_long_inc(&arena->refused_bad);
	if (!size) {
		quarry__report("percpu_arena \"%s\": refused: size 0, by %pS",
			       arena->object.name, (void *)caller);
		return NULL;
	}
	quarry__report("percpu_arena \"%s\": refused: align %zu, no power of two up to %lu, by %pS",
		       arena->object.name, align, QUARRY_PERCPU_ARENA_MAX_ALIGN,
		       (void *)caller);
	return NULL;
}

/* Alloc */

#if QUARRY_KASAN || defined(CONFIG_KMSAN)
void quarry__percpu_arena_taken(struct quarry_percpu_arena *arena,
				const void *piece, size_t size)
{
	quarry__mem_taken(&arena->region, piece, size);
}
EXPORT_SYMBOL_GPL(quarry__percpu_arena_taken);
#endif

noinline void *quarry_percpu_arena_alloc_slow(struct quarry_percpu_arena *arena,
					      size_t size, unsigned long mask,
					      unsigned long caller)
{
	unsigned long at;

	if (!caller)
		caller = _RET_IP_;
	if (unlikely(not_an_arena(arena)))
		return refuse_handle(arena, caller);
	preempt_disable();
	if (unlikely(is_closed(arena))) {
		preempt_enable();
		return refuse_dead(arena, "alloc", caller);
	}
	at = take_somewhere(arena, size, mask);
	if (at)
		this_cpu_inc(arena->cpus->allocs);
	else
		this_cpu_inc(arena->cpus->exhausted);
	preempt_enable();
	if (at)
		quarry__percpu_arena_taken(arena, (void *)at, size);
	return (void *)at;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_alloc_slow);

/* Size and alignment were checked when the caller was compiled. */
void *quarry_percpu_arena_alloc_const(struct quarry_percpu_arena *arena,
				      size_t size, unsigned long mask)
{
	if (unlikely(not_an_arena(arena)))
		return quarry_percpu_arena_alloc_slow(arena, size, mask, CALLER);
	return quarry_percpu_arena_hit_alloc(arena, size, mask, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_alloc_const);

/*
 * The alignment too. No address in the arena wraps round when a size that enters the hit
 * path is added to it.
 */
void *quarry_percpu_arena_alloc_aligned(struct quarry_percpu_arena *arena,
					size_t size, unsigned long mask)
{
	if (unlikely(not_an_arena(arena)))
		return quarry_percpu_arena_alloc_slow(arena, size, mask, CALLER);
	/* Less one, so that 0 is too large. */
	if (unlikely(size - 1 >= QUARRY_PERCPU_ARENA_MAX_CHUNK))
		return alloc_odd(arena, size, mask + 1, CALLER);
	return quarry_percpu_arena_hit_alloc(arena, size, mask, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_alloc_aligned);

static __always_inline void *alloc_checked(struct quarry_percpu_arena *arena,
					   size_t size, size_t align,
					   unsigned long caller)
{
	if (unlikely(not_an_arena(arena)))
		return quarry_percpu_arena_alloc_slow(arena, size, 0, caller);
	if (unlikely(size - 1 >= QUARRY_PERCPU_ARENA_MAX_CHUNK ||
		     ((align - 1) / QUARRY_PERCPU_ARENA_MAX_ALIGN |
		      (align & (align - 1)))))
		return alloc_odd(arena, size, align, caller);
	return quarry_percpu_arena_hit_alloc(arena, size,
					     QUARRY_PERCPU_ARENA_MASK(align),
					     caller);
}

void *quarry_percpu_arena_alloc_any(struct quarry_percpu_arena *arena,
				    size_t size, size_t align)
{
	return alloc_checked(arena, size, align, CALLER);
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_alloc_any);

void *quarry__percpu_arena_alloc(struct quarry_percpu_arena *arena, size_t size,
				 size_t align, unsigned long caller)
{
	return alloc_checked(arena, size, align, caller);
}

void *quarry_percpu_arena_zalloc(struct quarry_percpu_arena *arena, size_t size,
				 size_t align)
{
	void *piece = alloc_checked(arena, size, align, _RET_IP_);

	return piece ? memset(piece, 0, size) : NULL;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_zalloc);

/* Resets */

/* A dead CPU's rest goes on the list. Nothing runs on that CPU. */
void quarry__percpu_arena_bury(struct quarry_percpu_arena *arena,
			       struct quarry_percpu_cpu *cpu)
{
	u32 epoch = epoch_now(arena);	/* an older chunk's end would be 0 */
	unsigned long end = xchg(&cpu->end, END_NONE);
	unsigned long at = READ_ONCE(cpu->pos) + 1;
	struct piece piece;

	if (end <= END_FETCHING || at > end)
		return;
	piece.chunk = (at - arena->base) >> arena->shift;
	piece.from = (at - arena->base) & (arena->chunk - 1);
	preempt_disable();	/* a grace period waits for us, see "Retiring" */
	push_tail(arena, epoch, piece);
	preempt_enable();
}

/*
 * The generation becomes odd, all ends none, and what names the present epoch, or
 * one that would come round some day, is empty. False: another reset does it.
 */
static bool reset_begin(struct quarry_percpu_arena *arena)
{
	s64 old = atomic64_read(&arena->ring);
	unsigned int cpu;
	u32 next;

	do {
		if (ring_odd(old))
			return false;
	} while (!atomic64_try_cmpxchg(&arena->ring, &old,
				       ring_word(ring_gen(old) + 1,
						 old & RING_ANY, ring_pos(old),
						 ring_used(old))));
	for_each_possible_cpu(cpu)
		xchg(&per_cpu_ptr(arena->cpus, cpu)->end, END_NONE);
	next = ring_epoch(ring_word(ring_gen(old) + 2, false, 0, 0));
	atomic64_set(&arena->shared, word_of(next, 0, arena->chunk));
	atomic64_set(&arena->tails, word_of(next, 0, NO_CHUNK));
	atomic64_set(&arena->waste, word_of(next, 0, 0));
	atomic64_inc(&arena->resets);
	return true;
}

static void poison_chunks(struct quarry_percpu_arena *arena, u32 first, u32 nr)
{
	u32 before_end = min(nr, arena->nr - first);

	quarry__mem_freed(&arena->region, (void *)chunk_address(arena, first),
			  (size_t)before_end << arena->shift);
	quarry__mem_freed(&arena->region, (void *)arena->base,
			  (size_t)(nr - before_end) << arena->shift);
}

int quarry_percpu_arena_reset(struct quarry_percpu_arena *arena)
{
	u32 start, nr, pos, left;
	s64 old;
	u64 new;

	if (not_an_arena(arena)) {
		refuse_handle(arena, _RET_IP_);
		return -EINVAL;
	}
	if (is_closed(arena)) {
		refuse_dead(arena, "reset", _RET_IP_);
		return -EINVAL;
	}
	quarry__percpu_arena_peak(arena);
	/* A task that was preempted half-way would keep all CPUs from their chunks. */
	preempt_disable();
	if (is_closed(arena) || !reset_begin(arena)) {
		preempt_enable();
		return -EBUSY;
	}
	start = arena->start;
	old = atomic64_read(&arena->ring);
	do {
		nr = current_chunks(arena, old, start);
		poison_chunks(arena, start, nr);
		/* Behind what is retired still, or all over from the beginning. */
		left = ring_used(old) - nr;
		pos = left ? start : 0;
		WRITE_ONCE(arena->start, pos);
		new = ring_word(ring_gen(old) + 1, false, pos, left);
		/* Release: pairs with the acquire in take_chunks(). */
	} while (!atomic64_try_cmpxchg(&arena->ring, &old, new));
	preempt_enable();
	return 0;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_reset);

/*
 * After the grace period: nobody reads these chunks, no alloc has them. Callbacks of
 * two CPUs may come in the wrong order. Then as many of the oldest come back, whose
 * readers have gone too: their grace period began before.
 */
static void give_back(struct rcu_head *rcu)
{
	struct retirement *r = container_of(rcu, struct retirement, rcu);
	struct quarry_percpu_arena *arena = r->arena;
	void (*done)(void *arg) = r->done;
	void *arg = r->arg;
	unsigned long flags;

	raw_spin_lock_irqsave(&arena->oldest_lock, flags);
	poison_chunks(arena, arena->oldest, r->nr);
	arena->oldest = (arena->oldest + r->nr) % arena->nr;
	raw_spin_unlock_irqrestore(&arena->oldest_lock, flags);
	/* Release: pairs with the acquire in take_chunks(). */
	atomic64_sub_return_release(r->nr, &arena->ring);
	/* Release: pairs with the acquire in slot_get(). */
	atomic_set_release(&r->taken, 0);
	if (done)
		done(arg);
}

static struct retirement *slot_get(struct quarry_percpu_arena *arena)
{
	int i;

	for (i = 0; i < QUARRY_PERCPU_ARENA_MAX_PENDING; i++) {
		struct retirement *r = &arena->retirements[i];

		/* Acquire: pairs with the release in give_back(). */
		if (!atomic_cmpxchg_acquire(&r->taken, 0, 1))
			return r;
	}
	return NULL;
}

/* Current becomes retired; which chunks, goes to @r. */
static void retire(struct quarry_percpu_arena *arena, struct retirement *r)
{
	s64 old = atomic64_read(&arena->ring);
	u32 first = arena->start;
	unsigned long flags;
	u64 new;

	r->arena = arena;
	do {
		r->nr = current_chunks(arena, old, first);
		/* None is waiting, none will come back: these are the oldest. */
		if (r->nr == ring_used(old)) {
			raw_spin_lock_irqsave(&arena->oldest_lock, flags);
			arena->oldest = first;
			raw_spin_unlock_irqrestore(&arena->oldest_lock, flags);
		}
		WRITE_ONCE(arena->start, ring_pos(old));
		new = ring_word(ring_gen(old) + 1, false, ring_pos(old),
				ring_used(old));
	} while (!atomic64_try_cmpxchg(&arena->ring, &old, new));
}

int quarry_percpu_arena_reset_rcu(struct quarry_percpu_arena *arena,
				  void (*done)(void *arg), void *arg)
{
	struct retirement *r;

	if (not_an_arena(arena)) {
		refuse_handle(arena, _RET_IP_);
		return -EINVAL;
	}
	if (is_closed(arena)) {
		refuse_dead(arena, "reset_rcu", _RET_IP_);
		return -EINVAL;
	}
	if (in_nmi()) {
		atomic_long_inc(&arena->refused_bad);
		quarry__report("percpu_arena \"%s\": reset_rcu refused in an NMI, by %pS",
			       arena->object.name, (void *)_RET_IP_);
		return -EINVAL;
	}
	r = slot_get(arena);
	if (!r)
		return -EBUSY;
	quarry__percpu_arena_peak(arena);
	preempt_disable();	/* as in reset; and orphan() waits for us */
	if (is_closed(arena) || (done && READ_ONCE(arena->orphan)) ||
	    !reset_begin(arena)) {
		preempt_enable();
		atomic_set_release(&r->taken, 0);	/* as in give_back() */
		return -EBUSY;
	}
	retire(arena, r);
	r->done = done;
	r->arg = arg;
	call_rcu(&r->rcu, give_back);
	preempt_enable();
	return 0;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_reset_rcu);
