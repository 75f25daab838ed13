// SPDX-License-Identifier: GPL-2.0-only
/*
 * A router's figures and its picture. Nothing is counted on the hit path: what the
 * classes handed out is theirs to say.
 */
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include "router.h"

#define BAR	40

/* Names of all figures, once: the struct's own; some count up. */
#define FIGURE(field)	QUARRY_FIGURE(quarry_router_stats, field)
#define COUNTER(field)	QUARRY_COUNTER(quarry_router_stats, field)
static const struct quarry_figure figures[] = {
	FIGURE(live), FIGURE(peak), FIGURE(peak_slack),
	COUNTER(allocs), COUNTER(hits), COUNTER(fell_back),
	COUNTER(class_full), COUNTER(heap_full), COUNTER(failed),
	COUNTER(not_allowed), COUNTER(system_full),
	COUNTER(frees), COUNTER(refused), COUNTER(refused_foreign),
	COUNTER(refused_owner), COUNTER(refused_dead),
	COUNTER(resized), COUNTER(moved),
	FIGURE(heap_live), COUNTER(heap_allocs),
	FIGURE(system_live), FIGURE(system_peak), COUNTER(system_allocs),
	COUNTER(system_deferred),
	FIGURE(bytes_reserved), FIGURE(bytes_in_use), FIGURE(bytes_system),
	FIGURE(bytes_metadata),
};

static_assert(ARRAY_SIZE(figures) * sizeof(u64) == sizeof(struct quarry_router_stats));

/* A figure of another CPU. */
static u64 look(const u64 *figure)
{
	return data_race(*figure);	/* read as it is, when it is */
}

static void sum_cpu(struct quarry_router_stats *sum, const struct router_cpu *c)
{
	sum->hits += look(&c->heap_home);
	sum->fell_back += look(&c->fell_back);
	sum->class_full += look(&c->class_full);
	sum->heap_full += look(&c->heap_full);
	sum->failed += look(&c->failed);
	sum->not_allowed += look(&c->not_allowed);
	sum->system_full += look(&c->system_full);
	sum->system_allocs += look(&c->system_allocs);
	sum->frees += look(&c->system_frees);
	sum->system_deferred += look(&c->system_deferred);
	sum->resized += look(&c->resized);
	sum->moved += look(&c->moved);
}

/*
 * The sum of all peaks, which were not at one time. That the router's own was at least
 * the largest of them is sure; until all are added that is kept in peak_slack.
 */
static void add_peak(struct quarry_router_stats *sum, u64 peak, u64 slack)
{
	sum->peak += peak;
	sum->peak_slack = max(sum->peak_slack, peak - min(peak, slack));
}

static void add_class(struct quarry_router_stats *sum, struct quarry_pool *pool)
{
	struct quarry_pool_stats stats;

	quarry_pool_get_stats(pool, &stats);
	sum->live += stats.live;
	add_peak(sum, stats.peak, stats.peak_slack);
	sum->hits += stats.allocs;
	sum->frees += stats.frees;
	sum->refused += stats.refused;
	sum->bytes_in_use += stats.bytes_in_use;
	sum->bytes_metadata += stats.bytes_metadata;
}

/* Blocks that all fronts can hold: by so many its peak may over-state. */
static u64 heap_slack(const struct quarry_heap *heap)
{
	return heap->front_sizes ? num_possible_cpus() *
	       (front_slot(heap, heap->front_classes) - front_slot(heap, MIN_UNITS)) : 0;
}

/* Its counters since creation: it has a reset of its own. */
static void add_heap(struct quarry_router_stats *sum, struct quarry_heap *heap)
{
	const struct quarry_heap_stats *base = &heap->baseline;
	struct quarry_heap_stats stats;

	quarry_heap_get_stats(heap, &stats);
	sum->live += stats.live;
	add_peak(sum, stats.peak, heap_slack(heap));
	sum->heap_live = stats.live;
	sum->heap_allocs = stats.allocs + READ_ONCE(base->allocs);
	sum->frees += stats.frees + READ_ONCE(base->frees);
	sum->refused += stats.refused + READ_ONCE(base->refused);
	sum->bytes_in_use += stats.bytes_in_use;
	sum->bytes_metadata += stats.bytes_metadata;
}

static void add_system(struct quarry_router_stats *sum,
		       const struct quarry_router *router)
{
	unsigned long i;

	if (!router->slot)
		return;
	for (i = 0; i < BIT(router->slot_bits); i++)
		if (atomic_long_read(&router->slot[i].address))
			sum->bytes_system += READ_ONCE(router->slot[i].size);
	sum->system_live = max(0L, atomic_long_read(&router->system_live));
	sum->system_peak = max_t(u64, atomic_long_read(&router->system_peak),
				 sum->system_live);
	sum->live += sum->system_live;
	add_peak(sum, sum->system_peak, 0);
	sum->bytes_in_use += sum->bytes_system;
	sum->bytes_metadata += BIT(router->slot_bits) * sizeof(struct router_slot);
}

static void add_refusals(struct quarry_router_stats *sum,
			 const struct quarry_router *router)
{
	sum->refused_foreign = atomic_long_read(&router->refused_foreign);
	sum->refused_owner = atomic_long_read(&router->refused_owner);
	sum->refused_dead = atomic_long_read(&router->refused_dead);
	sum->refused += sum->refused_foreign + sum->refused_owner +
			sum->refused_dead;
}

/* All figures since creation, and peaks since the last reset. */
static void figures_now(struct quarry_router *router,
			struct quarry_router_stats *sum)
{
	unsigned int cpu;
	u32 i;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu)
		sum_cpu(sum, per_cpu_ptr(router->cpu, cpu));
	for (i = 0; i < router->nr_classes; i++)
		add_class(sum, router->pool[i]);
	if (router->heap)
		add_heap(sum, router->heap);
	add_system(sum, router);
	sum->peak_slack = sum->peak - min(sum->peak,
					  max(sum->live, sum->peak_slack));
	add_refusals(sum, router);
	sum->bytes_metadata += (router->class_span >> PAGE_SHIFT) +
			       router->limit / CLASS_UNIT;
	sum->bytes_reserved = router->region.size + sum->bytes_metadata;
}

void quarry_router_get_stats(struct quarry_router *router,
			     struct quarry_router_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (not_a_router(router))
		return;
	figures_now(router, stats);
	quarry__figures_since(figures, ARRAY_SIZE(figures), stats, &router->baseline);
	/* Each of the two may have been cut to 0. */
	stats->allocs = stats->hits + stats->fell_back;
}
EXPORT_SYMBOL_GPL(quarry_router_get_stats);

/*
 * The classes' peaks start anew, their counters do not: they go on, and the
 * baseline has them, as it has the heap's, which start anew for the heap's own views.
 */
void quarry__router_reset(struct quarry_object *object)
{
	struct quarry_router *router = to_router(object);
	struct quarry_router_stats now;
	u32 i;

	mutex_lock(&router->lock);
	for (i = 0; i < router->nr_classes; i++) {
		struct quarry_pool_stats stats;

		quarry_pool_get_stats(router->pool[i], &stats);
		atomic_set(&router->pool[i]->peak, stats.live + stats.cached);
	}
	if (router->heap)
		quarry__heap_reset(&router->heap->object);
	figures_now(router, &now);
	quarry__figures_reset(figures, ARRAY_SIZE(figures), &now, &router->baseline);
	atomic_long_set(&router->system_peak, now.system_live);
	mutex_unlock(&router->lock);
}

void quarry__router_row(struct quarry_object *object, struct quarry_row *row)
{
	struct quarry_router *router = to_router(object);
	struct quarry_router_stats stats;
	u32 i;

	memset(row, 0, sizeof(*row));
	quarry_router_get_stats(router, &stats);
	row->live = stats.live;
	row->peak = stats.peak;
	for (i = 0; i < router->nr_classes; i++)
		row->capacity += router->pool[i]->nr_blocks;
	row->reserved = stats.bytes_reserved;
	row->failures = stats.failed;
	row->refused = stats.refused;
}

void quarry__router_config(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_router *router = to_router(object);
	unsigned int flags = router->flags;
	u32 i;

	seq_printf(seq, "classes: %u\n", router->nr_classes);
	seq_puts(seq, "sizes:");
	for (i = 0; i < router->nr_classes; i++)
		seq_printf(seq, " %zu", router->pool[i]->size);
	seq_puts(seq, "\nblocks:");
	for (i = 0; i < router->nr_classes; i++)
		seq_printf(seq, " %zu", router->pool[i]->nr_blocks);
	seq_printf(seq, "\nclass_bytes: %zu\n", router->class_span);
	seq_printf(seq, "heap_bytes: %zu\n",
		   router->region.size - router->class_span);
	seq_printf(seq, "heap: %s\n", router->heap ?
		   router->heap->object.name : "none");
	seq_printf(seq, "system_max: %zu\n", router->system_max);
	seq_printf(seq, "flags:%s%s",
		   flags & QUARRY_ROUTER_STRICT ? " strict" : "",
		   flags & QUARRY_ROUTER_NO_HEAP ? " no_heap" : "");
	quarry__flags_config(seq, flags, router->region.node);
	quarry__region_config(seq, &router->region, object);
}

void quarry__router_stats(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_router_stats stats;

	quarry_router_get_stats(to_router(object), &stats);
	quarry__figures_show(seq, figures, ARRAY_SIZE(figures), &stats);
}

static void draw(struct seq_file *seq, u64 part, u64 whole)
{
	static const char full[BAR + 1] = "########################################";
	int length = whole ? min_t(u64, DIV_ROUND_UP(part * BAR, whole), BAR) : 0;

	seq_printf(seq, " |%.*s%*s|\n", length, full, BAR - length, "");
}

void quarry__router_map(struct quarry_object *object, struct seq_file *seq)
{
	struct quarry_router *router = to_router(object);
	struct quarry_router_stats all;
	struct quarry_heap_stats heap;
	struct quarry_pool_stats pool;
	u32 i;

	seq_printf(seq, "%8s %10s %10s %10s %10s\n", "size", "live", "peak",
		   "blocks", "exhausted");
	for (i = 0; i < router->nr_classes; i++) {
		quarry_pool_get_stats(router->pool[i], &pool);
		seq_printf(seq, "%8zu %10llu %10llu %10zu %10llu",
			   router->pool[i]->size, pool.live, pool.peak,
			   router->pool[i]->nr_blocks, pool.exhausted);
		draw(seq, pool.live, router->pool[i]->nr_blocks);
	}
	quarry_router_get_stats(router, &all);
	if (router->heap) {
		quarry_heap_get_stats(router->heap, &heap);
		seq_printf(seq, "%8s %10llu %10llu %10s %10llu", "heap", heap.live,
			   heap.peak, "-", heap.exhausted);
		draw(seq, heap.bytes_in_use, heap.bytes_reserved);
	}
	seq_printf(seq, "%8s %10llu %10llu %10zu %10llu", "system",
		   all.system_live, all.system_peak, router->system_max,
		   all.system_full);
	draw(seq, all.system_live, router->system_max);
}

/* Used slots, or -1 when that could not be seen at one moment. */
static long used_slots(struct quarry_router *router)
{
	long used = 0, before = atomic_long_read(&router->system_live);
	unsigned long i;

	for (i = 0; router->slot && i < BIT(router->slot_bits); i++)
		used += !!atomic_long_read(&router->slot[i].address);
	smp_rmb();	/* no partner: a second look, and not the first's */
	if (atomic_read(&router->asking) ||
	    before != atomic_long_read(&router->system_live))
		return -1;
	return used;
}

/* Each used slot was counted; a free may stand between the two for a moment. */
static int verify_system(struct quarry_router *router, char *why, size_t size)
{
	long used = used_slots(router), live;

	if (used != atomic_long_read(&router->system_live)) {
		synchronize_rcu();
		used = used_slots(router);
	}
	live = atomic_long_read(&router->system_live);
	if (used < 0)
		return 1;
	if (used == live)
		return 0;
	scnprintf(why, size, "%ld blocks of the system, %ld by the counter", used,
		  live);
	return -EUCLEAN;
}

static int worse(int err, int next)
{
	return err < 0 || !next ? err : next;
}

int quarry__router_verify(struct quarry_object *object, char *why, size_t size)
{
	struct quarry_router *router = to_router(object);
	char part[96] = "";
	int err = 0;
	u32 i;

	if (READ_ONCE(object->state) == QUARRY_DEAD)
		return 0;
	mutex_lock(&router->lock);
	for (i = 0; i < router->nr_classes && err >= 0; i++) {
		err = worse(err, quarry__pool_verify(&router->pool[i]->object, part,
						     sizeof(part)));
		if (err == -EUCLEAN)
			scnprintf(why, size, "class %zu: %s",
				  router->pool[i]->size, part);
	}
	if (router->heap && err >= 0) {
		err = worse(err, quarry__heap_verify(&router->heap->object, part,
						     sizeof(part)));
		if (err == -EUCLEAN)
			scnprintf(why, size, "heap: %s", part);
	}
	if (err >= 0)
		err = worse(err, verify_system(router, why, size));
	mutex_unlock(&router->lock);
	return err;
}

int quarry_router_verify(struct quarry_router *router)
{
	char why[128] = "";
	int err;

	if (IS_ERR_OR_NULL(router) || READ_ONCE(router->closed) ||
	    !quarry__may_sleep())
		return -EINVAL;
	err = quarry__router_verify(&router->object, why, sizeof(why));
	if (err == -EUCLEAN)
		quarry__report("router \"%s\": verify: %s", router->object.name,
			       why);
	return err;
}
EXPORT_SYMBOL_GPL(quarry_router_verify);
