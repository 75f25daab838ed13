// SPDX-License-Identifier: GPL-2.0-only
/*
 * A per-CPU arena's life: create, CPUs that go, destroy.
 *
 * Locks: the CPU hotplug lock, while an instance is added or removed. orphan() is
 * called with none: it waits for RCU callbacks.
 *
 * Handles are type-stable: a destroyed arena's struct is kept and used again. Its
 * per-CPU pointer goes to @closed_cpu, which has no chunk.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/instruction_pointer.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include "percpu_arena.h"
#include "sanitize.h"

static enum cpuhp_state hotplug_state;
static LIST_HEAD(retired);
static DEFINE_PER_CPU(struct quarry_percpu_cpu, closed_cpu);

#define invalid(name, fmt, ...)						\
	quarry__invalid("percpu_arena", name, fmt, ##__VA_ARGS__)

static int check_args(const char *name, size_t size,
		      const struct quarry_percpu_arena_args *args,
		      const struct quarry_placement *at)
{
	int err = quarry__create_check("percpu_arena", name, at, 0);

	if (err)
		return err;
	if (size < QUARRY_PERCPU_ARENA_MIN_CHUNK)
		return invalid(name, "bad size %zu, less than %lu", size,
			       QUARRY_PERCPU_ARENA_MIN_CHUNK);
	if (size > QUARRY_PERCPU_ARENA_MAX_SIZE) {
		invalid(name, "size %zu, more than %lu", size,
			QUARRY_PERCPU_ARENA_MAX_SIZE);
		return -EOVERFLOW;
	}
	if (!args->chunk)
		return 0;
	if (!is_power_of_2(args->chunk) ||
	    args->chunk < QUARRY_PERCPU_ARENA_MIN_CHUNK ||
	    args->chunk > QUARRY_PERCPU_ARENA_MAX_CHUNK)
		return invalid(name, "bad chunk %zu, no power of two from %lu to %lu",
			       args->chunk, QUARRY_PERCPU_ARENA_MIN_CHUNK,
			       QUARRY_PERCPU_ARENA_MAX_CHUNK);
	if (args->chunk > size)
		return invalid(name, "bad chunk %zu, larger than the arena's %zu",
			       args->chunk, size);
	if (DIV_ROUND_UP(size, args->chunk) > MAX_CHUNKS)
		return invalid(name, "bad chunk %zu, too small for %zu bytes",
			       args->chunk, size);
	return 0;
}

/* An eighth of each CPU's part, in bounds that make sense. */
static size_t choose_chunk(size_t size)
{
	size_t chunk = size / (8 * num_possible_cpus());

	chunk = clamp_t(size_t, chunk, SZ_4K, SZ_64K);
	chunk = rounddown_pow_of_two(min(chunk, size));
	while (DIV_ROUND_UP(size, chunk) > MAX_CHUNKS)
		chunk *= 2;
	return chunk;
}

/* Chunks begin at a multiple of their size, or of a page's. */
static unsigned long chunk_align(const struct quarry_percpu_arena *arena)
{
	return min_t(unsigned long, arena->chunk, QUARRY_PERCPU_ARENA_MAX_ALIGN);
}

/* The region, and in it as many whole chunks as there are. */
static int map_region(struct quarry_percpu_arena *arena, const char *name,
		      size_t size, const struct quarry_placement *at)
{
	unsigned long begin, end;
	int err;

	if (!at->memory)
		size = round_up(size, arena->chunk);
	err = quarry__region_take(&arena->region, "percpu_arena", name, size, 1, at);
	if (err)
		return err;
	begin = (unsigned long)arena->region.base;
	end = begin + (at->memory ? size : arena->region.size);
	if (end > ULONG_MAX - QUARRY_PERCPU_ARENA_MAX_CHUNK - QUARRY_PERCPU_ARENA_MAX_ALIGN) {
		quarry__region_unmap(&arena->region);
		return invalid(name, "memory ends too near the end of the address space");
	}
	arena->base = round_up(begin, chunk_align(arena));
	arena->nr = arena->base < end ? (end - arena->base) >> arena->shift : 0;
	if (arena->nr)
		return 0;
	quarry__region_unmap(&arena->region);
	return invalid(name, "memory has no room for an aligned chunk of %u",
		       arena->chunk);
}

/* Before the arena is open to anybody. */
static void init_words(struct quarry_percpu_arena *arena,
		       struct quarry_percpu_cpu __percpu *cpus)
{
	unsigned int cpu;
	u32 i;

	for_each_possible_cpu(cpu)
		per_cpu_ptr(cpus, cpu)->pos = arena->base - 1;
	atomic64_set(&arena->ring, ring_word(0, false, 0, 0));
	atomic64_set(&arena->shared, word_of(0, 0, arena->chunk));
	atomic64_set(&arena->tails, word_of(0, 0, NO_CHUNK));
	atomic64_set(&arena->waste, 0);
	for (i = 0; i < arena->nr; i++)
		atomic64_set(&arena->tail[i], word_of(0, arena->chunk, NO_CHUNK));
	quarry__mem_freed(&arena->region, arena->region.base, arena->region.size);
}

static int build(struct quarry_percpu_arena *arena, const char *name, size_t size,
		 const struct quarry_placement *at)
{
	struct quarry_percpu_cpu __percpu *cpus;
	int err;

	cpus = __alloc_percpu(sizeof(struct quarry_percpu_cpu), SMP_CACHE_BYTES);
	if (!cpus)
		return -ENOMEM;
	err = map_region(arena, name, size, at);
	if (err)
		goto err_region;
	err = quarry__region_map(&arena->metadata, arena->nr * sizeof(atomic64_t),
				 at->flags, at->node);
	if (err)
		goto err_metadata;
	arena->tail = arena->metadata.base;
	init_words(arena, cpus);
	arena->cpus = cpus;	/* a CPU that dies from here on is buried in them */
	err = cpuhp_state_add_instance_nocalls(hotplug_state, &arena->hotplug);
	if (err)
		goto err_hotplug;
	/* Release: pairs with the acquire of whoever finds the arena open. */
	smp_store_release(&arena->closed, false);
	/* Release: pairs with the dependency of a stale alloc, which finds all built. */
	smp_store_release(&arena->hot.cpu, cpus);
	return 0;

err_hotplug:
	quarry__mem_restore(&arena->region);
	quarry__region_unmap(&arena->metadata);
err_metadata:
	quarry__region_unmap(&arena->region);
err_region:
	free_percpu(cpus);
	return err;
}

static const struct quarry_kind kind;

static struct quarry_percpu_arena *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_percpu_arena *arena;

	arena = object ? to_arena(object) : kzalloc(sizeof(*arena), GFP_KERNEL);
	if (!arena)
		return NULL;
	/* Closed until it is built: a stale pointer to it may be in use. */
	arena->hot.cpu = &closed_cpu;
	arena->closed = true;
	memset((void *)arena + offsetofend(struct quarry_percpu_arena, closed), 0,
	       sizeof(*arena) - offsetofend(struct quarry_percpu_arena, closed));
	mutex_init(&arena->lock);
	raw_spin_lock_init(&arena->oldest_lock);
	return arena;
}

struct quarry_percpu_arena *
quarry_percpu_arena_create_owned(struct module *owner, unsigned int layout,
				 const char *name, size_t size,
				 const struct quarry_percpu_arena_args *args)
{
	static const struct quarry_percpu_arena_args defaults;
	struct quarry_percpu_arena *arena;
	struct quarry_placement at;
	int err;

	if (layout != QUARRY_PERCPU_ARENA_LAYOUT)
		return ERR_PTR(invalid(name, "client built for layout %u, not %u",
				       layout, QUARRY_PERCPU_ARENA_LAYOUT));
	if (!args)
		args = &defaults;
	at = quarry__placement(args);
	err = check_args(name, size, args, &at);
	if (err)
		return ERR_PTR(err);
	might_sleep();
	arena = handle_get();
	if (!arena)
		return ERR_PTR(-ENOMEM);
	arena->chunk = args->chunk ?: choose_chunk(size);
	arena->shift = ilog2(arena->chunk);
	arena->flags = args->flags;
	err = build(arena, name, size, &at);
	if (err) {
		quarry__handle_retire(&arena->object, &retired);
		return ERR_PTR(err);
	}
	quarry__register(&arena->object, name, &kind, owner);
	return arena;
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_create_owned);

/*
 * From here on each operation goes the slow way and finds the arena closed; those
 * that are at work are through after a grace period.
 */
static void close(struct quarry_percpu_arena *arena)
{
	WRITE_ONCE(arena->closed, true);
	WRITE_ONCE(arena->hot.cpu, &closed_cpu);
}

/* Give all back; nobody uses the arena, and it is not in the registry. */
static void release(struct quarry_object *object)
{
	struct quarry_percpu_arena *arena = to_arena(object);

	close(arena);
	rcu_barrier();		/* the callbacks of resets */
	cpuhp_state_remove_instance_nocalls(hotplug_state, &arena->hotplug);
	if (object->state != QUARRY_DEAD)	/* else it is another's by now */
		quarry__mem_restore(&arena->region);
	quarry__region_unmap(&arena->metadata);
	quarry__region_unmap(&arena->region);
	free_percpu(arena->cpus);
	quarry__handle_retire(object, &retired);
}

void quarry_percpu_arena_destroy(struct quarry_percpu_arena *arena)
{
	if (IS_ERR_OR_NULL(arena))
		return;
	if (!quarry__may_sleep()) {
		atomic_long_inc(&arena->refused_bad);
		quarry__report("percpu_arena \"%s\": destroyed where it may not sleep, by %pS",
			       arena->object.name, (void *)_RET_IP_);
		return;
	}
	if (is_closed(arena)) {
		atomic_long_inc(&arena->refused_dead);
		quarry__report("percpu_arena \"%s\": destroyed twice, by %pS",
			       arena->object.name, (void *)_RET_IP_);
		return;
	}
	might_sleep();
	close(arena);
	quarry__unregister(&arena->object);	/* waits for a grace period */
	release(&arena->object);
}
EXPORT_SYMBOL_GPL(quarry_percpu_arena_destroy);

/*
 * The owner's exit has run and its text goes: the callbacks that it has asked for
 * are called before we return. Memory that it lent is not to be read any more.
 */
static void orphan(struct quarry_object *object)
{
	struct quarry_percpu_arena *arena = to_arena(object);

	WRITE_ONCE(arena->orphan, true);
	if (arena->region.borrowed)
		close(arena);
	synchronize_rcu();	/* whoever has not seen that has his callback queued */
	rcu_barrier();
	if (arena->region.borrowed)
		quarry__mark(object, QUARRY_DEAD);
}

/* A piece has no number: the offset of the address. Retired chunks count. */
static long find(struct quarry_object *object, unsigned long address)
{
	struct quarry_percpu_arena *arena = to_arena(object);
	unsigned long offset = address - arena->base;

	if (READ_ONCE(object->state) == QUARRY_DEAD ||
	    offset >= (unsigned long)arena->nr << arena->shift)
		return -1;
	return offset;
}

static const struct quarry_kind kind = {
	.name		= "percpu_arena",
	.row		= quarry__percpu_arena_row,
	.config		= quarry__percpu_arena_config,
	.stats		= quarry__percpu_arena_stats,
	.map		= quarry__percpu_arena_map,
	.verify		= quarry__percpu_arena_verify,
	.reset		= quarry__percpu_arena_reset_figures,
	.find		= find,
	.orphan		= orphan,
	.release	= release,
};

/* After the CPU has died, on one that has not. */
static int cpu_died(unsigned int cpu, struct hlist_node *node)
{
	struct quarry_percpu_arena *arena =
		hlist_entry(node, struct quarry_percpu_arena, hotplug);

	if (is_closed(arena))
		return 0;
	quarry__percpu_arena_bury(arena, per_cpu_ptr(arena->cpus, cpu));
	return 0;
}

int quarry__percpu_arena_init(void)
{
	int state = cpuhp_setup_state_multi(CPUHP_BP_PREPARE_DYN,
					    "quarry/percpu_arena:dead",
					    NULL, cpu_died);

	if (state < 0)
		return state;
	hotplug_state = state;
	return 0;
}

void quarry__percpu_arena_exit(void)
{
	struct quarry_percpu_arena *arena, *next;

	cpuhp_remove_multi_state(hotplug_state);
	list_for_each_entry_safe(arena, next, &retired, object.node)
		kfree(arena);
}
