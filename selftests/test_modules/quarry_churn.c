// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools that come and go: a thread on one CPU creates a pool, uses it, verifies
 * it and destroys an older one, so that whoever reads debugfs meanwhile meets
 * objects at every stage of their lives.
 *
 *	cpu=N	CPU of the thread
 *	hold=N	no thread: N pools that stay, the first with some live blocks
 *
 * /sys/module/quarry_churn/parameters/{rounds,errors} tell how it went.
 */
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <quarry/quarry.h>

#define NR_POOLS	4
#define MAX_HOLD	64
#define NR_BLOCKS	512
#define NR_HELD		96

static unsigned int cpu = 1;
module_param(cpu, uint, 0444);
MODULE_PARM_DESC(cpu, "CPU of the thread, if it is online");

static unsigned int hold;
module_param(hold, uint, 0444);
MODULE_PARM_DESC(hold, "pools that stay, and no thread");

static unsigned int rounds;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "pools created so far");

static unsigned int errors;
module_param(errors, uint, 0444);
MODULE_PARM_DESC(errors, "what went wrong so far");

static struct quarry_pool *pools[MAX_HOLD];
static struct task_struct *thread;
static void *held[NR_BLOCKS];

static void use(struct quarry_pool *pool)
{
	size_t nr = quarry_pool_alloc_bulk(pool, NR_BLOCKS, held);

	if (nr != NR_BLOCKS) {
		pr_err("quarry_churn: %zu of %d blocks\n", nr, NR_BLOCKS);
		WRITE_ONCE(errors, errors + 1);
	}
	if (quarry_pool_verify(pool) < 0)
		WRITE_ONCE(errors, errors + 1);
	if (quarry_pool_free_bulk(pool, nr, held) != nr)
		WRITE_ONCE(errors, errors + 1);
}

static int churn(void *unused)
{
	unsigned int i;

	for (i = 0; !kthread_should_stop(); i = (i + 1) % NR_POOLS) {
		/* The same name for all: the suffixes come and go as well. */
		struct quarry_pool *pool = quarry_pool_create("churn", 40 + 8 * i,
							      NR_BLOCKS, NULL);

		quarry_pool_destroy(pools[i]);
		pools[i] = pool;
		if (IS_ERR(pool))
			WRITE_ONCE(errors, errors + 1);
		else
			use(pool);
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
}

static int __init create_held(void)
{
	unsigned int i;

	for (i = 0; i < min_t(unsigned int, hold, MAX_HOLD); i++) {
		pools[i] = quarry_pool_create("churn-hold", 100, NR_BLOCKS, NULL);
		if (IS_ERR(pools[i])) {
			int err = PTR_ERR(pools[i]);

			destroy_all();
			return err;
		}
	}
	if (quarry_pool_alloc_bulk(pools[0], NR_HELD, held) != NR_HELD)
		errors++;
	return 0;
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
MODULE_DESCRIPTION("Test client of quarry whose pools come and go");
MODULE_LICENSE("GPL");
