// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wrappers: allocators over allocators, that count, tell, or fail on purpose.
 *
 * Who may touch what. @inner, @what, @cpu: set before the wrapper is open, read by
 * anyone. @calls, @shared, @peak: any context, atomics. A CPU's figures: any
 * context on that CPU, by one this_cpu operation each; others sum them. The
 * failing rules: written by arm, read word by word.
 *
 * Live blocks. Counting each on a shared word would make all CPUs share it, so a
 * CPU takes CREDIT blocks at a time from the shared count and uses them up
 * itself, and gives some back when it has more than twice as many:
 *
 *	live = shared - the sum of all CPUs' credit
 *
 * The peak is that of the shared count, which over-states by the credit: at most
 * twice CREDIT a CPU.
 *
 * Lifetime. Handles are type-stable, as all of quarry's are. @cpu of a closed one
 * is @closed_cpu. When the module of a wrapper unloads, the wrapper is closed: the
 * allocator below may have been a part of that module.
 */
#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include "allocator.h"
#define CREATE_TRACE_POINTS
#include "trace.h"

EXPORT_TRACEPOINT_SYMBOL_GPL(quarry_alloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(quarry_realloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(quarry_free);

#define CREDIT	32

struct wrapper_cpu {
	long credit;
	long bytes;
	u64 allocs, frees, reallocs, failures, injected, refused;
	u64 largest;
};

struct quarry_wrapper {
	bool closed;
	struct wrapper_cpu __percpu *cpu;
	struct quarry_allocator inner;
	enum quarry_wrapper_kind what;
	struct quarry_wrapper_args rules;
	atomic64_t calls;
	atomic64_t shared;
	atomic64_t peak;
	struct quarry_wrapper_stats baseline;
	struct quarry_object object;
};

static LIST_HEAD(retired);
static DEFINE_PER_CPU(struct wrapper_cpu, closed_cpu);
static const struct quarry_kind kind;

static const char * const kind_names[] = {
	[QUARRY_COUNTING]	= "counting",
	[QUARRY_LOGGING]	= "logging",
	[QUARRY_FAILING]	= "failing",
};

static struct quarry_wrapper *to_wrapper(struct quarry_object *object)
{
	return container_of(object, struct quarry_wrapper, object);
}

/* Counting */

static void raise_peak(struct quarry_wrapper *w, s64 now)
{
	s64 peak = atomic64_read(&w->peak);

	while (now > peak && !atomic64_try_cmpxchg_relaxed(&w->peak, &peak, now))
		;
}

static void count_live(struct quarry_wrapper *w, size_t bytes)
{
	this_cpu_inc(w->cpu->allocs);
	this_cpu_add(w->cpu->bytes, bytes);
	if (this_cpu_dec_return(w->cpu->credit) >= 0)
		return;
	this_cpu_add(w->cpu->credit, CREDIT);
	raise_peak(w, atomic64_add_return(CREDIT, &w->shared));
}

static void count_dead(struct quarry_wrapper *w, size_t bytes)
{
	this_cpu_inc(w->cpu->frees);
	this_cpu_sub(w->cpu->bytes, bytes);
	if (this_cpu_inc_return(w->cpu->credit) <= 2 * CREDIT)
		return;
	this_cpu_sub(w->cpu->credit, CREDIT);
	atomic64_sub(CREDIT, &w->shared);
}

static void count_realloc(struct quarry_wrapper *w, size_t old, size_t size,
			  const void *moved)
{
	if (!moved) {
		this_cpu_inc(w->cpu->failures);
	} else {
		this_cpu_inc(w->cpu->reallocs);
		this_cpu_add(w->cpu->bytes, size - old);
	}
}

/* An interrupt that comes between may raise it too: then one of both is kept. */
static void count_request(struct quarry_wrapper *w, size_t size)
{
	if (unlikely(size > this_cpu_read(w->cpu->largest)))
		this_cpu_write(w->cpu->largest, size);
}

/* Failing */

/* Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
static u64 scramble(u64 x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static bool must_fail(struct quarry_wrapper *w)
{
	u64 every = READ_ONCE(w->rules.every), nth = READ_ONCE(w->rules.nth);
	u64 call, luck;

	if (w->what != QUARRY_FAILING)
		return false;
	call = atomic64_inc_return(&w->calls);
	luck = scramble(READ_ONCE(w->rules.seed) + scramble(call)) % 1000;
	return (every && call % every == 0) || call == nth ||
	       luck < READ_ONCE(w->rules.per_mille);
}

/* The operations */

static bool is_closed(struct quarry_wrapper *w, const char *what,
		      unsigned long caller)
{
	if (IS_ERR_OR_NULL(w)) {
		quarry__report("not a wrapper: %ld in place of a handle, by %pS",
			       PTR_ERR(w), (void *)caller);
		return true;
	}
	if (likely(!READ_ONCE(w->closed)))
		return false;
	quarry__report("allocator \"%s\": %s refused: destroyed wrapper, by %pS",
		       w->object.name, what, (void *)caller);
	return true;
}

static void *wrapper_alloc(const struct quarry_allocator *a,
			   struct quarry_layout layout, bool zero,
			   unsigned long caller)
{
	struct quarry_wrapper *w = a->object;
	void *ptr = NULL;

	if (is_closed(w, "alloc", caller))
		return NULL;
	count_request(w, layout.size);
	if (must_fail(w)) {
		this_cpu_inc(w->cpu->injected);
	} else {
		ptr = quarry__allocator_alloc(&w->inner, layout, zero, caller);
		if (ptr)
			count_live(w, layout.size);
		else
			this_cpu_inc(w->cpu->failures);
	}
	if (w->what == QUARRY_LOGGING)
		trace_quarry_alloc(w->object.name, layout.size, layout.align,
				   zero, ptr, caller);
	return ptr;
}

/* Of nothing it is an alloc, and does not come here. */
static void *wrapper_realloc(const struct quarry_allocator *a, void *ptr,
			     struct quarry_layout old,
			     struct quarry_layout layout, unsigned long caller)
{
	struct quarry_wrapper *w = a->object;
	void *moved = NULL;

	if (is_closed(w, "realloc", caller))
		return NULL;
	count_request(w, layout.size);
	if (must_fail(w)) {
		this_cpu_inc(w->cpu->injected);
	} else {
		moved = quarry__allocator_realloc(&w->inner, ptr, old, layout,
						  caller);
		count_realloc(w, old.size, layout.size, moved);
	}
	if (w->what == QUARRY_LOGGING)
		trace_quarry_realloc(w->object.name, ptr, old.size, layout.size,
				     layout.align, moved, caller);
	return moved;
}

static bool wrapper_free(const struct quarry_allocator *a, void *ptr,
			 struct quarry_layout layout, unsigned long caller)
{
	struct quarry_wrapper *w = a->object;

	if (is_closed(w, "free", caller))
		return false;
	/* Before the block is another's. */
	if (w->what == QUARRY_LOGGING)
		trace_quarry_free(w->object.name, ptr, layout.size, caller);
	if (!quarry__allocator_free(&w->inner, ptr, layout, caller)) {
		this_cpu_inc(w->cpu->refused);
		return false;
	}
	count_dead(w, layout.size);
	return true;
}

static const struct quarry_allocator_ops wrapper_ops = {
	.name		= "wrapper",
	.alloc		= wrapper_alloc,
	.realloc	= wrapper_realloc,
	.free		= wrapper_free,
};

struct quarry_allocator quarry_wrapper_allocator(struct quarry_wrapper *w)
{
	struct quarry_allocator a = {
		.flags = QUARRY_ALLOCATOR_NMI,	/* to be refused anywhere */
		.max_align = BIT(62),
	};

	if (!IS_ERR_OR_NULL(w) && !READ_ONCE(w->closed))
		a = w->inner;
	a.max_size = LONG_MAX;		/* the inner one's is counted as a failure */
	a.ops = &wrapper_ops;
	a.object = w;
	return a;
}
EXPORT_SYMBOL_GPL(quarry_wrapper_allocator);

/* Figures */

/* Names of all figures, once: the struct's own; some count up. */
#define FIGURE(field)	QUARRY_FIGURE(quarry_wrapper_stats, field)
#define COUNTER(field)	QUARRY_COUNTER(quarry_wrapper_stats, field)
static const struct quarry_figure figures[] = {
	FIGURE(live), FIGURE(peak), FIGURE(peak_slack),
	COUNTER(allocs), COUNTER(frees), COUNTER(reallocs), COUNTER(failures),
	COUNTER(injected), COUNTER(refused),
	FIGURE(bytes_live), FIGURE(largest),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) == sizeof(struct quarry_wrapper_stats));

/* A figure of another CPU. */
static u64 look(const u64 *figure)
{
	return data_race(*figure);	/* read as it is, when it is */
}

static long look_signed(const long *figure)
{
	return data_race(*figure);	/* likewise */
}

static void sum_cpu(struct quarry_wrapper_stats *sum, const struct wrapper_cpu *c,
		    s64 *credit, s64 *bytes)
{
	*credit += look_signed(&c->credit);
	*bytes += look_signed(&c->bytes);
	sum->allocs += look(&c->allocs);
	sum->frees += look(&c->frees);
	sum->reallocs += look(&c->reallocs);
	sum->failures += look(&c->failures);
	sum->injected += look(&c->injected);
	sum->refused += look(&c->refused);
	sum->largest = max(sum->largest, look(&c->largest));
}

static void figures_now(struct quarry_wrapper *w,
			struct quarry_wrapper_stats *stats)
{
	s64 credit = 0, bytes = 0;
	unsigned int cpu;

	memset(stats, 0, sizeof(*stats));
	for_each_possible_cpu(cpu)
		sum_cpu(stats, per_cpu_ptr(w->cpu, cpu), &credit, &bytes);
	stats->live = max_t(s64, 0, atomic64_read(&w->shared) - credit);
	stats->peak = max_t(u64, atomic64_read(&w->peak), stats->live);
	stats->peak_slack = 2 * CREDIT * num_possible_cpus();
	stats->bytes_live = max_t(s64, 0, bytes);
}

void quarry_wrapper_get_stats(struct quarry_wrapper *w,
			      struct quarry_wrapper_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (IS_ERR_OR_NULL(w))
		return;
	figures_now(w, stats);
	quarry__figures_since(figures, ARRAY_SIZE(figures), stats, &w->baseline);
}
EXPORT_SYMBOL_GPL(quarry_wrapper_get_stats);

static void reset(struct quarry_object *object)
{
	struct quarry_wrapper *w = to_wrapper(object);
	struct quarry_wrapper_stats now;
	unsigned int cpu;

	figures_now(w, &now);
	quarry__figures_reset(figures, ARRAY_SIZE(figures), &now, &w->baseline);
	atomic64_set(&w->peak, atomic64_read(&w->shared));
	for_each_possible_cpu(cpu)
		WRITE_ONCE(per_cpu_ptr(w->cpu, cpu)->largest, 0);
}

static void row(struct quarry_object *object, struct quarry_row *row)
{
	struct quarry_wrapper *w = to_wrapper(object);
	struct quarry_wrapper_stats stats;

	quarry_wrapper_get_stats(w, &stats);
	memset(row, 0, sizeof(*row));
	row->live = stats.live;
	row->peak = stats.peak;
	row->failures = stats.failures + stats.injected;
	row->refused = stats.refused;
}

static void config(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_wrapper *w = to_wrapper(object);
	unsigned int flags = w->inner.flags;

	seq_printf(seq, "wrapper: %s\n", kind_names[w->what]);
	/* The inner one's text may be gone with its module. */
	seq_printf(seq, "inner: %s\n", READ_ONCE(w->closed) ? "gone" :
		   w->inner.ops->name);
	seq_printf(seq, "flags:%s%s%s%s%s\n",
		   flags & QUARRY_ALLOCATOR_MAY_SLEEP ? " may_sleep" : "",
		   flags & QUARRY_ALLOCATOR_ATOMIC ? " atomic" : "",
		   flags & QUARRY_ALLOCATOR_NMI ? " nmi" : "",
		   flags & QUARRY_ALLOCATOR_THREAD_SAFE ? " thread_safe" : "",
		   flags & QUARRY_ALLOCATOR_FREES_EACH ? " frees_each" : "");
	seq_printf(seq, "max_align: %zu\n", w->inner.max_align);
	seq_printf(seq, "max_size: %zu\n", w->inner.max_size);
	seq_printf(seq, "every: %llu\n", READ_ONCE(w->rules.every));
	seq_printf(seq, "nth: %llu\n", READ_ONCE(w->rules.nth));
	seq_printf(seq, "per_mille: %u\n", READ_ONCE(w->rules.per_mille));
	seq_printf(seq, "seed: %llu\n", READ_ONCE(w->rules.seed));
}

static void stats(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_wrapper_stats s;

	quarry_wrapper_get_stats(to_wrapper(object), &s);
	quarry__figures_show(seq, figures, ARRAY_SIZE(figures), &s);
}

static void map(struct quarry_object *object, struct seq_file *seq)
{
	seq_puts(seq, "a wrapper has no region\n");
}

/* live = allocs - frees, since creation. */
static int verify(struct quarry_object *object, char *why, size_t size)
{
	struct quarry_wrapper *w = to_wrapper(object);
	struct quarry_wrapper_stats one, two;

	figures_now(w, &one);
	figures_now(w, &two);
	if (memcmp(&one, &two, sizeof(one)))
		return 1;
	if (one.live == one.allocs - min(one.allocs, one.frees))
		return 0;
	scnprintf(why, size, "%llu blocks are live, %llu allocs and %llu frees",
		  one.live, one.allocs, one.frees);
	return -EUCLEAN;
}

/* Life */

#define invalid(name, fmt, ...)						\
	quarry__invalid("allocator", name, fmt, ##__VA_ARGS__)

static int check_rules(const char *name, const struct quarry_wrapper_args *args)
{
	if (args && args->per_mille > 1000)
		return invalid(name, "bad per_mille %u, more than 1000",
			       args->per_mille);
	return 0;
}

static void set_rules(struct quarry_wrapper *w,
		      const struct quarry_wrapper_args *args)
{
	WRITE_ONCE(w->rules.every, args ? args->every : 0);
	WRITE_ONCE(w->rules.nth, args ? args->nth : 0);
	WRITE_ONCE(w->rules.per_mille, args ? args->per_mille : 0);
	WRITE_ONCE(w->rules.seed, args ? args->seed : 0);
	atomic64_set(&w->calls, 0);
}

int quarry_failing_arm(struct quarry_wrapper *w,
		       const struct quarry_wrapper_args *args)
{
	if (is_closed(w, "arm", _RET_IP_))
		return -EINVAL;
	if (w->what != QUARRY_FAILING)
		return invalid(w->object.name, "armed, and is %s, not failing",
			       kind_names[w->what]);
	if (check_rules(w->object.name, args))
		return -EINVAL;
	set_rules(w, args);
	return 0;
}
EXPORT_SYMBOL_GPL(quarry_failing_arm);

static struct quarry_wrapper *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_wrapper *w = object ? to_wrapper(object) :
				   kzalloc(sizeof(*w), GFP_KERNEL);
	struct wrapper_cpu __percpu *cpu = alloc_percpu(struct wrapper_cpu);

	if (w && cpu) {
		/* Closed since it was retired, or new and nobody's. */
		WRITE_ONCE(w->closed, true);
		w->cpu = cpu;
		atomic64_set(&w->shared, 0);
		atomic64_set(&w->peak, 0);
		memset(&w->baseline, 0, sizeof(w->baseline));
		return w;
	}
	if (w) {
		w->cpu = &closed_cpu;
		quarry__handle_retire(&w->object, &retired);
	}
	free_percpu(cpu);
	return NULL;
}

static int check_create(unsigned int layout, enum quarry_wrapper_kind what,
			const char *name, const struct quarry_allocator *inner,
			const struct quarry_wrapper_args *args)
{
	const struct quarry_placement nowhere = {};
	int err = quarry__create_check("allocator", name, &nowhere, 0);

	if (err)
		return err;
	if (layout != QUARRY_ALLOCATOR_LAYOUT)
		return invalid(name, "client built for layout %u, not %u", layout,
			       QUARRY_ALLOCATOR_LAYOUT);
	if ((unsigned int)what >= ARRAY_SIZE(kind_names))
		return invalid(name, "bad kind of wrapper %d", what);
	if (!inner || !inner->ops)
		return invalid(name, "bad inner allocator: none");
	return check_rules(name, args);
}

struct quarry_wrapper *
quarry_wrapper_create_owned(struct module *owner, unsigned int layout,
			    enum quarry_wrapper_kind what, const char *name,
			    const struct quarry_allocator *inner,
			    const struct quarry_wrapper_args *args)
{
	struct quarry_wrapper *w;
	int err = check_create(layout, what, name, inner, args);

	if (err)
		return ERR_PTR(err);
	might_sleep();
	w = handle_get();
	if (!w)
		return ERR_PTR(-ENOMEM);
	w->inner = *inner;
	w->what = what;
	set_rules(w, args);
	quarry__register(&w->object, name, &kind, owner);
	/* Release: who finds it open finds the rest. Pairs with nothing. */
	smp_store_release(&w->closed, false);
	return w;
}
EXPORT_SYMBOL_GPL(quarry_wrapper_create_owned);

/* Nobody uses it, and it is not in the registry: a grace period has passed. */
static void release(struct quarry_object *object)
{
	struct quarry_wrapper *w = to_wrapper(object);
	struct wrapper_cpu __percpu *cpu = w->cpu;

	WRITE_ONCE(w->closed, true);
	w->cpu = &closed_cpu;
	free_percpu(cpu);
	quarry__handle_retire(&w->object, &retired);
}

void quarry_wrapper_destroy(struct quarry_wrapper *w)
{
	struct quarry_wrapper_stats stats;

	if (IS_ERR_OR_NULL(w))
		return;
	if (!quarry__may_sleep()) {
		quarry__report("allocator \"%s\": destroyed where one may not sleep: refused",
			       w->object.name);
		return;
	}
	if (READ_ONCE(w->closed)) {
		quarry__report("allocator \"%s\": destroyed twice",
			       w->object.name);
		return;
	}
	might_sleep();
	quarry_wrapper_get_stats(w, &stats);
	if (stats.live)
		quarry__notice("allocator \"%s\": destroyed with %llu live blocks of %llu bytes",
			       w->object.name, stats.live, stats.bytes_live);
	WRITE_ONCE(w->closed, true);
	quarry__unregister(&w->object);
	release(&w->object);
}
EXPORT_SYMBOL_GPL(quarry_wrapper_destroy);

static long find(struct quarry_object *object, unsigned long address)
{
	return -1;	/* a wrapper has no blocks */
}

static void orphan(struct quarry_object *object)
{
	WRITE_ONCE(to_wrapper(object)->closed, true);
}

static const struct quarry_kind kind = {
	.name		= "allocator",
	.unit		= "blocks",
	.row		= row,
	.config		= config,
	.stats		= stats,
	.map		= map,
	.verify		= verify,
	.reset		= reset,
	.find		= find,
	.orphan		= orphan,
	.release	= release,
};

void quarry__wrappers_exit(void)
{
	struct quarry_wrapper *w, *next;

	list_for_each_entry_safe(w, next, &retired, object.node)
		kfree(w);
}
