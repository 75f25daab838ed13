// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool's life: create, CPUs that come and go, destroy.
 *
 * Locks, outer first: the CPU hotplug lock (by the core in cpu_up() and cpu_down(),
 * and while an instance is added or removed); a pool's @sharing (@share and @budget).
 *
 * Handles are type-stable: a destroyed pool's struct is kept and used again, so
 * that an operation on it finds a closed pool and not another type's memory. Its
 * per-CPU pointer goes to @closed_cpu, whose gate is closed for good.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include "pool.h"

static enum cpuhp_state hotplug_state;
static LIST_HEAD(retired);
static DEFINE_PER_CPU(struct quarry_pool_cpu, closed_cpu) = {
	.gate = QUARRY_GATE_CLOSED,
	.loaded = NO_MAGAZINE,
};

#define POOL_FLAGS (QUARRY_POOL_EXACT | QUARRY_POOL_STRICT | \
		    QUARRY_POOL_ZERO_ON_FREE | QUARRY_POOL_LEAK_TRACK | \
		    QUARRY_POOL_TRACK)

/* Sizes */

static size_t default_align(size_t size)
{
	return size >= 8 ? 8 : rounddown_pow_of_two(size);
}

/* Blocks besides nr_blocks: an eighth, or what two full magazines a CPU take. */
static size_t slack_for(size_t nr_blocks, unsigned int flags)
{
	if (flags & QUARRY_POOL_EXACT)
		return 0;
	return min_t(size_t, nr_blocks / 8,
		     2UL * QUARRY_POOL_MAX_MAGAZINE * num_possible_cpus());
}

size_t quarry_pool_memory_size(size_t size, size_t nr_blocks, size_t align,
			       bool exact)
{
	size_t bytes;

	if (!size || size > QUARRY_POOL_MAX_SIZE || !nr_blocks ||
	    nr_blocks > QUARRY_POOL_MAX_BLOCKS ||
	    align > QUARRY_POOL_MAX_ALIGN || (align && !is_power_of_2(align)))
		return 0;
	nr_blocks += exact ? 0 : slack_for(nr_blocks, 0);
	if (check_mul_overflow(nr_blocks,
			       round_up(size, align ?: default_align(size)),
			       &bytes))
		return 0;
	return bytes;
}
EXPORT_SYMBOL_GPL(quarry_pool_memory_size);

#define invalid(name, fmt, ...)						\
	quarry__invalid("pool", name, fmt, ##__VA_ARGS__)

static int check_args(const char *name, size_t size, size_t nr_blocks,
		      const struct quarry_pool_args *args)
{
	struct quarry_placement at = quarry__placement(args);
	int err = quarry__create_check("pool", name, &at, POOL_FLAGS);

	if (err)
		return err;
	if (!size || size > QUARRY_POOL_MAX_SIZE)
		return invalid(name, "bad size %zu, not 1 to %lu", size,
			       QUARRY_POOL_MAX_SIZE);
	if (!nr_blocks)
		return invalid(name, "bad nr_blocks 0");
	if (args->align > QUARRY_POOL_MAX_ALIGN ||
	    (args->align && !is_power_of_2(args->align)))
		return invalid(name, "bad align %zu, not a power of two up to %lu",
			       args->align, QUARRY_POOL_MAX_ALIGN);
	if (args->magazine > QUARRY_POOL_MAX_MAGAZINE)
		return invalid(name, "bad magazine %u, more than %u",
			       args->magazine, QUARRY_POOL_MAX_MAGAZINE);
	if (args->ctor && (args->flags & QUARRY_POOL_ZERO_ON_FREE))
		return invalid(name, "bad flags: ZERO_ON_FREE would undo the ctor");
	if (args->memory && (args->flags & QUARRY_POOL_LEAK_TRACK))
		return invalid(name, "bad flags: LEAK_TRACK needs quarry's own memory");
	return 0;
}

/*
 * Geometry: how many blocks, how far apart, and how many in a magazine: two
 * magazines on each online CPU must fit in the slack.
 */
static int measure(struct quarry_pool *pool, size_t size, size_t nr_blocks,
		   const struct quarry_pool_args *args)
{
	size_t cpus = num_online_cpus(), stride, bytes;

	pool->size = size;
	pool->nr_blocks = nr_blocks;
	pool->align = args->align ?: default_align(size);
	pool->flags = args->flags;
	stride = quarry__stride(size, pool->align, args->memory);
	if (nr_blocks > QUARRY_POOL_MAX_BLOCKS ||
	    check_mul_overflow(nr_blocks + nr_blocks / 8, stride, &bytes) ||
	    bytes > LONG_MAX)
		return -EOVERFLOW;
	pool->hot.stride = stride;
	pool->hot.shift = __ffs64(stride);

	pool->slack = slack_for(nr_blocks, pool->flags);
	if (args->memory)
		pool->slack = min(pool->slack,
				  args->memory_size / stride -
				  min(nr_blocks, args->memory_size / stride));
	pool->magazine = min_t(size_t, args->magazine ?: QUARRY_POOL_MAX_MAGAZINE,
			       pool->slack / (2 * cpus));
	if (pool->magazine < 2)
		pool->magazine = 0;
	pool->slack = min_t(size_t, pool->slack,
			    2UL * pool->magazine * num_possible_cpus());
	pool->total = nr_blocks + pool->slack;
	return 0;
}

/*
 * Magazines for three of the eight bytes of metadata a block may have. There are
 * at least nine blocks for each that the online CPUs' magazines hold, so that these
 * are magazines for three times as many CPUs as are online.
 */
static void measure_magazines(struct quarry_pool *pool)
{
	pool->magazine_stride = sizeof(struct quarry_magazine) +
				round_up(pool->magazine, 2) * sizeof(u32);
	pool->nr_magazines = pool->magazine ?
		min_t(size_t, 3 * pool->total / pool->magazine_stride,
		      MAX_MAGAZINES) : 0;
}

/* The inverse of an odd number modulo 2^64: each step doubles the good bits. */
static u64 inverse(u64 odd)
{
	u64 x = odd;	/* good to three bits: odd * odd = 1 modulo 8 */
	int i;

	for (i = 0; i < 5; i++)
		x *= 2 - odd * x;
	return x;
}

/* Memory */

/* Metadata in one region: links, magazines, kmemleak's bits, callers, state bytes. */
static int map_metadata(struct quarry_pool *pool,
			const struct quarry_pool_args *args)
{
	size_t links = round_up(pool->total * sizeof(u32), 8);
	size_t magazines = (size_t)pool->nr_magazines * pool->magazine_stride;
	size_t tracked = 0, sites = 0;
	void *p;
	int err;

	if (IS_ENABLED(CONFIG_DEBUG_KMEMLEAK) &&
	    (pool->flags & QUARRY_POOL_LEAK_TRACK))
		tracked = BITS_TO_LONGS(pool->total) * sizeof(long);
	if (pool->flags & QUARRY_POOL_TRACK)
		sites = quarry__sites_size(pool->total);
	err = quarry__region_map(&pool->metadata,
				 links + magazines + tracked + sites + pool->total + 1,
				 pool->flags | QUARRY_ZERO, args->node);
	if (err)
		return err;
	p = pool->metadata.base;
	pool->links = p;
	pool->magazines = p + links;
	pool->tracked = tracked ? p + links + magazines : NULL;
	pool->sites = sites ? p + links + magazines + tracked : NULL;
	pool->hot.state = p + links + magazines + tracked + sites;
	return 0;
}

/*
 * Whole large pages, so that the region may be mapped by them, where the memory
 * beyond nr_blocks stays within an eighth even so.
 */
static size_t region_size(const struct quarry_pool *pool)
{
	size_t bytes = pool->total * pool->hot.stride;
	size_t asked = pool->nr_blocks * pool->hot.stride;
	size_t whole = round_up(bytes, PMD_SIZE);

	if ((pool->flags & (QUARRY_POOL_EXACT | QUARRY_NO_HUGE)) ||
	    bytes < PMD_SIZE || whole - asked > asked / 8)
		return bytes;
	return whole;
}

static int map_regions(struct quarry_pool *pool, const char *name,
		       const struct quarry_pool_args *args)
{
	struct quarry_placement at = quarry__placement(args);
	size_t bytes = region_size(pool);
	int err;

	if (args->memory)
		bytes = quarry_pool_memory_size(pool->size, pool->nr_blocks,
						pool->align, true);
	err = quarry__region_take(&pool->blocks, "pool", name, bytes,
				  pool->align, &at);
	if (err)
		return err;
	pool->hot.base = (unsigned long)pool->blocks.base;
	pool->hot.inverse = inverse(pool->hot.stride >> pool->hot.shift);
	err = map_metadata(pool, args);
	if (err)
		quarry__region_unmap(&pool->blocks);
	return err;
}

static void unmap_regions(struct quarry_pool *pool)
{
	if (pool->object.state != QUARRY_DEAD)	/* else it is another's by now */
		quarry__unpoison_all(pool);
	quarry__track_end(pool);
	quarry__region_unmap(&pool->metadata);
	quarry__region_unmap(&pool->blocks);
}

/*
 * Free lists: low numbers on top, the first blocks in magazines, then loose. Two
 * empty magazines for each CPU there may be, if that is not more than half.
 */
static void fill(struct quarry_pool *pool)
{
	u32 spare = min(2 * num_possible_cpus(), pool->nr_magazines / 2);
	u32 full = pool->magazine ? min_t(size_t, pool->nr_magazines - spare,
					  pool->total / pool->magazine) : 0;
	u32 index = pool->total, i, slot;

	atomic64_set(&pool->full, NO_MAGAZINE);
	atomic64_set(&pool->empty, NO_MAGAZINE);
	atomic64_set(&pool->loose, LIST_END);
	atomic_set(&pool->outside, pool->total);
	pool->hot.state[pool->total] = QUARRY_BLOCK_NONE;
	memset(pool->links, 0xff, pool->total * sizeof(u32));

	while (index > full * pool->magazine) {
		quarry__pool_push_loose(pool, --index);
		cond_resched();
	}
	for (i = pool->nr_magazines; i--;) {
		struct quarry_magazine *magazine =
			magazine_at(pool, i << ROUNDS_BITS);
		u32 nr = i < full ? pool->magazine : 0;

		magazine->sentinel = pool->total;
		for (slot = 0; slot < nr; slot++)
			magazine->slot[slot] = --index;
		quarry__pool_push_magazine(pool, i << ROUNDS_BITS | nr);
		cond_resched();
	}
	atomic_set(&pool->peak, 0);
}

static void call_ctors(struct quarry_pool *pool)
{
	u32 i;

	for (i = 0; pool->ctor && i < pool->total; i++) {
		pool->ctor(block_at(pool, i), pool->arg);
		cond_resched();
	}
}

/* For the blocks that are not live. */
static void call_dtors(struct quarry_pool *pool)
{
	u32 i;

	for (i = 0; pool->dtor && i < pool->total; i++) {
		if (READ_ONCE(pool->hot.state[i]) != QUARRY_BLOCK_FREE)
			continue;
		quarry__block_taken(pool, block_at(pool, i));
		pool->dtor(block_at(pool, i), pool->arg);
		cond_resched();
	}
}

/* CPUs that come and go */

static u8 closed_gate(const struct quarry_pool *pool)
{
	if (pool->sites)
		return QUARRY_GATE_CLOSED | QUARRY_GATE_SLOW | QUARRY_GATE_TRACK;
	return QUARRY_GATE_CLOSED | (pool->tracked ? QUARRY_GATE_SLOW : 0);
}

/* Before any CPU opens: magazines are to be had for those online. */
static void init_cpus(struct quarry_pool *pool)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct quarry_pool_cpu *c = per_cpu_ptr(pool->cpu, cpu);

		c->gate = closed_gate(pool);
		c->id = 1 + cpu % QUARRY_BLOCK_CPUS;
		c->loaded = NO_MAGAZINE;
	}
	pool->share = pool->magazine;
	pool->budget = pool->slack;
}

/* Nobody uses them; who asks for figures finds others. */
static void free_cpus(struct quarry_pool *pool)
{
	struct quarry_pool_cpu __percpu *all = pool->cpu;

	pool->cpu = &closed_cpu;
	free_percpu(all);
}

/* Both on the CPU itself, in a task; @sharing is held. */
static int open_here(void *arg)
{
	struct quarry_pool *pool = arg;

	if (pool->budget >= 2 * pool->share &&
	    quarry__pool_cache_open(pool, pool->share))
		pool->budget -= 2 * pool->share;
	return 0;
}

static int close_here(void *arg)
{
	struct quarry_pool *pool = arg;
	struct quarry_pool_cpu *cpu = raw_cpu_ptr(pool->cpu);

	if (quarry__pool_cache_close(pool, cpu))
		pool->budget += 2 * cpu->share;
	return 0;
}

/* On the CPU that comes, in its hotplug thread. */
static int cpu_comes(unsigned int cpu, struct hlist_node *node)
{
	struct quarry_pool *pool = hlist_entry(node, struct quarry_pool, hotplug);

	if (!pool->magazine)
		return 0;
	mutex_lock(&pool->sharing);
	if (pool->budget >= 2 * pool->share)
		open_here(pool);
	else
		schedule_work(&pool->rebalance);
	mutex_unlock(&pool->sharing);
	return 0;
}

/* On the CPU that goes, while it still runs: its blocks go to the depot. */
static int cpu_goes(unsigned int cpu, struct hlist_node *node)
{
	struct quarry_pool *pool = hlist_entry(node, struct quarry_pool, hotplug);

	if (!pool->magazine)
		return 0;
	mutex_lock(&pool->sharing);
	close_here(pool);
	/* The others may have more; not when it is the pool that goes. */
	if (pool->share < pool->magazine && !READ_ONCE(pool->drained))
		schedule_work(&pool->rebalance);
	mutex_unlock(&pool->sharing);
	return 0;
}

/* In a task of each CPU, not by IPI: see cache_close(). */
static void on_each_online(struct quarry_pool *pool, int (*fn)(void *pool))
{
	unsigned int cpu;

	for_each_online_cpu(cpu)
		smp_call_on_cpu(cpu, fn, pool, false);
}

/*
 * More CPUs than shares, or fewer: all give back what they hold, then all get
 * another share.
 */
static void rebalance(struct work_struct *work)
{
	struct quarry_pool *pool = container_of(work, struct quarry_pool,
						rebalance);
	u32 share;

	cpus_read_lock();
	mutex_lock(&pool->sharing);
	share = min_t(size_t, pool->magazine,
		      pool->slack / (2 * num_online_cpus()));
	if (!share)
		goto out;
	if (share != pool->share)
		on_each_online(pool, close_here);
	WRITE_ONCE(pool->share, share);
	on_each_online(pool, open_here);
out:
	mutex_unlock(&pool->sharing);
	cpus_read_unlock();
}

/* Create */

static const struct quarry_kind kind;

/* What was too little for two blocks in each of two magazines a CPU. */
static const char *too_little(const struct quarry_pool *pool,
			      const struct quarry_pool_args *args)
{
	if (args->magazine == 1)
		return "a magazine of 1";
	return pool->nr_blocks / 8 < 4UL * num_online_cpus() ?
	       "an eighth of the blocks" : "what the memory has beyond its blocks";
}

/*
 * From here on each operation goes the slow way and finds the pool closed; after a
 * grace period none is left that looks at more than the handle.
 */
static void close(struct quarry_pool *pool)
{
	WRITE_ONCE(pool->closed, true);
	WRITE_ONCE(pool->nr, 0);
	WRITE_ONCE(pool->hot.nr, 0);
	WRITE_ONCE(pool->hot.cpu, &closed_cpu);
}

/*
 * All is built; last, that it may be used. A grace period after the handle was used
 * again: who holds a stale pointer to it sees these four closed, or all that was
 * built before. Inlined hit paths are told of no block where each free does more than
 * they, or would find no magazine.
 */
static void open(struct quarry_pool *pool)
{
	bool hit = pool->magazine && !(pool->flags & (QUARRY_POOL_STRICT |
						      QUARRY_POOL_ZERO_ON_FREE));

	/* Release: pairs with the acquire in destroy, which is no reader of RCU's. */
	smp_store_release(&pool->closed, false);
	WRITE_ONCE(pool->hot.cpu, pool->cpu);
	WRITE_ONCE(pool->hot.nr, hit ? pool->total : 0);
	WRITE_ONCE(pool->nr, pool->total);
}

/* Closed until it is built: a stale pointer to it may be in use. */
static struct quarry_pool *handle_get(void)
{
	struct quarry_object *object = quarry__handle_reuse(&retired);
	struct quarry_pool *pool;

	pool = object ? to_pool(object) : kzalloc(sizeof(*pool), GFP_KERNEL);
	if (!pool)
		return NULL;
	close(pool);
	memset((void *)pool + offsetofend(struct quarry_pool, closed), 0,
	       sizeof(*pool) - offsetofend(struct quarry_pool, closed));
	pool->reused = object;
	pool->cpu = &closed_cpu;
	INIT_LIST_HEAD(&pool->object.node);
	INIT_WORK(&pool->rebalance, rebalance);
	mutex_init(&pool->lock);
	mutex_init(&pool->sharing);
	return pool;
}

/* Once in a life: afterwards no CPU holds blocks, and none opens again. */
static void drain(struct quarry_pool *pool)
{
	unsigned int cpu;

	if (pool->drained)
		return;
	WRITE_ONCE(pool->drained, true);	/* cpu_goes() is called, and looks */
	cpuhp_state_remove_instance(hotplug_state, &pool->hotplug);
	cancel_work_sync(&pool->rebalance);
	for_each_possible_cpu(cpu)
		quarry__pool_cache_close(pool, per_cpu_ptr(pool->cpu, cpu));
}

static int build(struct quarry_pool *pool, const char *name,
		 const struct quarry_pool_args *args)
{
	struct quarry_pool_cpu __percpu *cpu =
		__alloc_percpu(sizeof(struct quarry_pool_cpu), SMP_CACHE_BYTES);
	int err;

	if (!cpu)
		return -ENOMEM;
	pool->cpu = cpu;
	err = map_regions(pool, name, args);
	if (err)
		goto err_regions;
	pool->ctor = args->ctor;
	pool->dtor = args->dtor;
	pool->arg = args->arg;
	init_cpus(pool);
	fill(pool);
	call_ctors(pool);
	quarry__poison_all(pool);
	quarry__track_begin(pool);
	err = cpuhp_state_add_instance(hotplug_state, &pool->hotplug);
	if (err)
		goto err_hotplug;
	return 0;

err_hotplug:
	cancel_work_sync(&pool->rebalance);	/* of a CPU that came meanwhile */
	call_dtors(pool);
	unmap_regions(pool);
	pool->magazines = NULL;
err_regions:
	free_cpus(pool);
	return err;
}

struct quarry_pool *quarry_pool_create_owned(struct module *owner,
					     unsigned int layout,
					     const char *name, size_t size,
					     size_t nr_blocks,
					     const struct quarry_pool_args *args)
{
	static const struct quarry_pool_args defaults;
	struct quarry_pool *pool;
	int err;

	if (!args)
		args = &defaults;
	if (layout != QUARRY_POOL_LAYOUT)
		return ERR_PTR(invalid(name, "client built for layout %u, not %u",
				       layout, QUARRY_POOL_LAYOUT));
	err = check_args(name, size, nr_blocks, args);
	if (err)
		return ERR_PTR(err);
	might_sleep();
	pool = handle_get();
	if (!pool)
		return ERR_PTR(-ENOMEM);
	err = measure(pool, size, nr_blocks, args);
	if (err)
		goto err_build;
	measure_magazines(pool);
	err = build(pool, name, args);
	if (err)
		goto err_build;
	if (pool->reused)
		synchronize_rcu();
	open(pool);
	if (!pool->magazine && !(pool->flags & QUARRY_POOL_EXACT))
		pr_info("quarry: pool \"%s\": no magazines: %s is too little for %u CPUs\n",
			name, too_little(pool, args), num_online_cpus());
	quarry__register(&pool->object, name, &kind, owner);
	return pool;

err_build:
	quarry__handle_retire(&pool->object, &retired);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(quarry_pool_create_owned);

struct quarry_pool *quarry_pool_create_typed(struct module *owner,
					     unsigned int layout,
					     const char *type, size_t size,
					     size_t align, size_t nr_blocks,
					     const struct quarry_pool_args *args)
{
	struct quarry_pool_args typed = {};
	const char *space = strrchr(type, ' ');

	/* Of another layout it may be shorter: not read, and refused by create. */
	if (args && layout == QUARRY_POOL_LAYOUT)
		typed = *args;
	if (!typed.align)
		typed.align = align;
	return quarry_pool_create_owned(owner, layout, space ? space + 1 : type,
					size, nr_blocks, &typed);
}
EXPORT_SYMBOL_GPL(quarry_pool_create_typed);

/* Destroy */

/* Give all back; nobody uses the pool, and it is not in the registry. */
static void release(struct quarry_object *object)
{
	struct quarry_pool *pool = to_pool(object);

	drain(pool);
	close(pool);
	unmap_regions(pool);
	pool->magazines = NULL;		/* no figures but the refusals */
	free_cpus(pool);
	quarry__handle_retire(&pool->object, &retired);
}

/* The owner's text is gone; memory that it lent too, and is not to be read. */
static void orphan(struct quarry_object *object)
{
	struct quarry_pool *pool = to_pool(object);

	WRITE_ONCE(pool->ctor, NULL);
	WRITE_ONCE(pool->dtor, NULL);
	quarry__sites_tell(pool);
	if (pool->blocks.borrowed) {
		drain(pool);
		close(pool);
		quarry__mark(object, QUARRY_DEAD);
	}
}

/* How many blocks live, and the first few: "17 (CPU 0)". */
struct live {
	struct quarry_pool *pool;
	size_t nr;
	size_t length;
	char first[80];
};

#define LIVE_NAMED	4

static int count_live(void *block, u32 index, void *arg)
{
	struct live *live = arg;
	u8 id = READ_ONCE(live->pool->hot.state[index]);

	if (live->nr++ < LIVE_NAMED)
		live->length += scnprintf(live->first + live->length,
					  sizeof(live->first) - live->length,
					  " %u (CPU %u%s)", index, id - 1,
					  nr_cpu_ids > QUARRY_BLOCK_CPUS ?
					  " mod 127" : "");
	return 0;
}

/* A leak is safer than a use after free: all stays, and is refused. */
static void leak(struct quarry_pool *pool, const struct live *live)
{
	quarry__notice("pool \"%s\": destroyed with %zu live blocks, memory kept:%s%s",
		       pool->object.name, live->nr, live->first,
		       live->nr > LIVE_NAMED ? " ..." : "");
	quarry__sites_tell(pool);
	close(pool);
	if (pool->blocks.borrowed)
		quarry__unpoison_all(pool);
	quarry__mark(&pool->object, QUARRY_LEAKED);
}

void quarry_pool_destroy(struct quarry_pool *pool)
{
	struct live live = { .pool = pool };

	if (IS_ERR_OR_NULL(pool))
		return;
	if (!quarry__may_sleep()) {
		quarry__report("pool \"%s\": destroyed in a context that may not sleep: refused",
			       pool->object.name);
		return;
	}
	/* Acquire: pairs with the release in open(), for what comes next. */
	if (smp_load_acquire(&pool->closed)) {
		quarry__report("pool \"%s\": destroyed twice", pool->object.name);
		return;
	}
	if (pool->class) {	/* the handle was destroyed, and is used again */
		quarry__report("pool \"%s\": destroy refused: a class of a router",
			       pool->object.name);
		return;
	}
	might_sleep();
	drain(pool);
	quarry_pool_for_each_live(pool, count_live, &live);
	call_dtors(pool);
	if (live.nr) {
		leak(pool, &live);
		return;
	}
	close(pool);
	quarry__unregister(&pool->object);	/* waits for a grace period */
	release(&pool->object);
}
EXPORT_SYMBOL_GPL(quarry_pool_destroy);

/*
 * A class of a router: the router's object stands in the registry for it, and is
 * unregistered, with a grace period, before its classes are released. It is made
 * closed; the router opens all of its own after one grace period.
 */
struct quarry_pool *quarry__pool_create_class(const char *name, size_t size,
					      size_t nr_blocks,
					      const struct quarry_pool_args *args)
{
	struct quarry_pool *pool = handle_get();
	int err;

	if (!pool)
		return ERR_PTR(-ENOMEM);
	strscpy(pool->object.name, name, QUARRY_NAME_LEN);
	pool->object.kind = &kind;
	pool->class = true;
	err = measure(pool, size, nr_blocks, args);
	if (err)
		goto err_build;
	measure_magazines(pool);
	err = build(pool, name, args);
	if (err)
		goto err_build;
	return pool;

err_build:
	quarry__handle_retire(&pool->object, &retired);
	return ERR_PTR(err);
}

void quarry__pool_open_class(struct quarry_pool *pool)
{
	open(pool);
}

/* No CPU holds blocks afterwards, nothing is served; how many live. */
size_t quarry__pool_drain_class(struct quarry_pool *pool)
{
	struct live live = { .pool = pool };

	drain(pool);
	quarry_pool_for_each_live(pool, count_live, &live);
	close(pool);
	return live.nr;
}

void quarry__pool_release_class(struct quarry_pool *pool)
{
	release(&pool->object);
}

static long find(struct quarry_object *object, unsigned long address)
{
	struct quarry_pool *pool = to_pool(object);
	unsigned long offset = address - pool->hot.base;

	/* Memory that was lent to a pool now leaked may be another's by now. */
	if (READ_ONCE(object->state) == QUARRY_DEAD ||
	    (READ_ONCE(object->state) == QUARRY_LEAKED && pool->blocks.borrowed) ||
	    offset >= pool->total * pool->hot.stride)
		return -1;
	return offset / (unsigned long)pool->hot.stride;
}

static const struct quarry_kind kind = {
	.name		= "pool",
	.unit		= "blocks",
	.row		= quarry__pool_row,
	.config		= quarry__pool_config,
	.stats		= quarry__pool_stats,
	.map		= quarry__pool_map,
	.verify		= quarry__pool_verify,
	.reset		= quarry__pool_reset,
	.find		= find,
	.orphan		= orphan,
	.release	= release,
};

/* Module */

int quarry__pool_init(void)
{
	int state = cpuhp_setup_state_multi(CPUHP_AP_ONLINE_DYN, "quarry/pool:online",
					    cpu_comes, cpu_goes);

	if (state < 0)
		return state;
	hotplug_state = state;
	return 0;
}

void quarry__pool_exit(void)
{
	struct quarry_pool *pool, *next;

	cpuhp_remove_multi_state(hotplug_state);
	list_for_each_entry_safe(pool, next, &retired, object.node)
		kfree(pool);
}
