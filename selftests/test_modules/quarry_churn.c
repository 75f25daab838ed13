// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects that come and go: a thread on one CPU creates an object of one kind after the
 * other, uses it, verifies it and destroys an older one, so that whoever reads debugfs
 * meanwhile meets objects at every stage of their lives.
 *
 *	cpu=N	CPU of the thread
 *	hold=N	no thread: N pools and one of each other kind that stay, the first pool
 *		with some live blocks
 *
 * /sys/module/quarry_churn/parameters/{rounds,errors} tell how it went.
 */
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <quarry/quarry.h>

#define NR_KINDS	ARRAY_SIZE(kinds)
#define MAX_HOLD	64
#define NR_BLOCKS	512
#define NR_HELD		96

static unsigned int cpu = 1;
module_param(cpu, uint, 0444);
MODULE_PARM_DESC(cpu, "CPU of the thread, if it is online");

static unsigned int hold;
module_param(hold, uint, 0444);
MODULE_PARM_DESC(hold, "pools that stay, beside one of each other kind, and no thread");

static unsigned int rounds;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "objects created so far");

static unsigned int errors;
module_param(errors, uint, 0444);
MODULE_PARM_DESC(errors, "what went wrong so far");

static struct quarry_pool *pools[MAX_HOLD];
static struct task_struct *thread;
static void *held[NR_BLOCKS];

static void wrong(const char *what)
{
	pr_err("quarry_churn: %s\n", what);
	WRITE_ONCE(errors, errors + 1);
}

/* Each kind: one is made, and used to some extent; the same name for all. */

static void *pool_new(const char *name)
{
	return quarry_pool_create(name, 40, NR_BLOCKS, NULL);
}

static void pool_use(void *pool)
{
	size_t nr = quarry_pool_alloc_bulk(pool, NR_BLOCKS, held);

	if (nr != NR_BLOCKS || quarry_pool_verify(pool) < 0)
		wrong("pool");
	if (quarry_pool_free_bulk(pool, nr, held) != nr)
		wrong("a pool's frees");
}

static void pool_end(void *pool)
{
	quarry_pool_destroy(pool);
}

static void *heap_new(const char *name)
{
	const struct quarry_heap_args args = { .front = SZ_4K * num_possible_cpus() };

	return quarry_heap_create(name, SZ_64K, &args);
}

static void heap_use(void *heap)
{
	int i;

	for (i = 0; i < NR_HELD; i++)
		held[i] = quarry_heap_alloc(heap, 8 * i);
	if (!held[NR_HELD - 1] || quarry_heap_verify(heap) < 0)
		wrong("heap");
	for (i = 0; i < NR_HELD; i++)
		quarry_heap_free(heap, held[i]);
}

static void heap_end(void *heap)
{
	quarry_heap_destroy(heap);
}

static void *router_new(const char *name)
{
	static const struct quarry_router_class classes[] = { { 32, 16 }, { 100, 16 } };
	const struct quarry_router_args args = {
		.classes = classes, .nr_classes = ARRAY_SIZE(classes),
	};

	return quarry_router_create(name, SZ_64K, &args);
}

static void router_use(void *router)
{
	int i;

	for (i = 0; i < NR_HELD; i++)
		held[i] = quarry_router_alloc(router, 2 * i, GFP_KERNEL);
	if (!held[NR_HELD - 1] || quarry_router_verify(router) < 0)
		wrong("router");
	for (i = 0; i < NR_HELD; i++)
		quarry_router_free(router, held[i]);
}

static void router_end(void *router)
{
	quarry_router_destroy(router);
}

static void *arena_new(const char *name)
{
	return quarry_arena_create(name, SZ_16K, NULL);
}

static void arena_use(void *arena)
{
	if (!quarry_arena_alloc(arena, 1000, 8) ||
	    !quarry_arena_marked(quarry_arena_mark(arena)) ||
	    quarry_arena_verify(arena) < 0)
		wrong("arena");
}

static void arena_end(void *arena)
{
	quarry_arena_destroy(arena);
}

static void *stack_new(const char *name)
{
	return quarry_stack_create(name, SZ_16K, NULL);
}

static void stack_use(void *stack)
{
	if (!quarry_stack_push(stack, 1000, 8) || quarry_stack_verify(stack) < 0)
		wrong("stack");
}

static void stack_end(void *stack)
{
	quarry_stack_destroy(stack);
}

static void *bump_new(const char *name)
{
	return quarry_bump_create(name, SZ_16K, NULL);
}

static void bump_use(void *bump)
{
	if (!quarry_bump_alloc(bump, 1000, 8) || quarry_bump_verify(bump) < 0)
		wrong("bump");
}

static void bump_end(void *bump)
{
	quarry_bump_destroy(bump);
}

static void *percpu_arena_new(const char *name)
{
	return quarry_percpu_arena_create(name, SZ_256K, NULL);
}

static void percpu_arena_use(void *arena)
{
	if (!quarry_percpu_arena_alloc(arena, 1000, 8) ||
	    quarry_percpu_arena_verify(arena) < 0)
		wrong("per-CPU arena");
}

static void percpu_arena_end(void *arena)
{
	quarry_percpu_arena_destroy(arena);
}

static void *wrapper_new(const char *name)
{
	const struct quarry_allocator system = quarry_system_allocator(GFP_KERNEL);

	return quarry_counting_create(name, &system);
}

static void wrapper_use(void *wrapper)
{
	const struct quarry_allocator allocator = quarry_wrapper_allocator(wrapper);
	void *block = quarry_allocator_alloc(&allocator, QUARRY_LAYOUT(u64));

	if (!block)
		wrong("wrapper");
	quarry_allocator_free(&allocator, block, QUARRY_LAYOUT(u64));
}

static void wrapper_end(void *wrapper)
{
	quarry_wrapper_destroy(wrapper);
}

static const struct {
	void *(*make)(const char *name);
	void (*use)(void *object);
	void (*end)(void *object);
} kinds[] = {
	{ pool_new, pool_use, pool_end },
	{ heap_new, heap_use, heap_end },
	{ router_new, router_use, router_end },
	{ arena_new, arena_use, arena_end },
	{ stack_new, stack_use, stack_end },
	{ bump_new, bump_use, bump_end },
	{ percpu_arena_new, percpu_arena_use, percpu_arena_end },
	{ wrapper_new, wrapper_use, wrapper_end },
};

/* Of each kind two: the suffixes come and go as well. */
static void *objects[2][NR_KINDS];

static void churn_one(unsigned int i)
{
	void **place = &objects[i / NR_KINDS % 2][i % NR_KINDS];
	void *object = kinds[i % NR_KINDS].make("churn");

	kinds[i % NR_KINDS].end(*place);
	*place = object;
	if (IS_ERR(object))
		wrong("create");
	else
		kinds[i % NR_KINDS].use(object);
}

static int churn(void *unused)
{
	unsigned int i;

	for (i = 0; !kthread_should_stop(); i++) {
		churn_one(i);
		WRITE_ONCE(rounds, rounds + 1);
		cond_resched();
	}
	return 0;
}

static int __init churn_start(void)
{
	thread = kthread_create(churn, NULL, "quarry_churn");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	if (cpu < nr_cpu_ids && cpu_online(cpu))
		kthread_bind(thread, cpu);
	wake_up_process(thread);
	return 0;
}

static void destroy_all(void)
{
	unsigned int i;

	for (i = 0; i < MAX_HOLD; i++)
		quarry_pool_destroy(pools[i]);
	for (i = 0; i < 2 * NR_KINDS; i++)
		kinds[i % NR_KINDS].end(objects[i / NR_KINDS][i % NR_KINDS]);
}

static int __init create_held(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < min_t(unsigned int, hold, MAX_HOLD); i++) {
		pools[i] = quarry_pool_create("churn-hold", 100, NR_BLOCKS, NULL);
		err = PTR_ERR_OR_ZERO(pools[i]);
	}
	for (i = 1; !err && i < NR_KINDS; i++) {
		objects[0][i] = kinds[i].make("churn-hold");
		err = PTR_ERR_OR_ZERO(objects[0][i]);
		if (!err)
			kinds[i].use(objects[0][i]);
	}
	if (err)
		destroy_all();
	else if (quarry_pool_alloc_bulk(pools[0], NR_HELD, held) != NR_HELD)
		errors++;
	return err;
}

static int __init quarry_churn_init(void)
{
	return hold ? create_held() : churn_start();
}

static void __exit quarry_churn_exit(void)
{
	if (hold)
		quarry_pool_free_bulk(pools[0], NR_HELD, held);
	else
		kthread_stop(thread);
	destroy_all();
}

module_init(quarry_churn_init);
module_exit(quarry_churn_exit);
MODULE_DESCRIPTION("Test client of quarry whose objects come and go");
MODULE_LICENSE("GPL");
