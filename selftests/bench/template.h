/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The measuring loops, compiled once for each allocator, so that its call or
 * inlined code stands in the loop and no indirect call is counted that a user
 * would not pay. Before including this, define
 *
 *	BENCH_NAME		prefix of the functions made here
 *	BENCH_LABEL		name in the table
 *	BENCH_ALLOC(handle)	a block or NULL
 *	BENCH_FREE(handle, block)
 *	BENCH_CREATE, BENCH_DESTROY	functions
 * and, where they apply,
 *	BENCH_DESCRIBE		function that prints the geometry
 *	BENCH_BULK_ALLOC(handle, nr, blocks), BENCH_BULK_FREE(same)
 *	BENCH_ALLOC_SIZED(handle, size), BENCH_FREE_SIZED(handle, block, size)
 *	BENCH_FINITE		it runs out at about bench_blocks
 *	BENCH_LOCAL		blocks must be freed on the CPU that took them
 *	BENCH_ONE_OWNER		not for two CPUs at once
 *	BENCH_TASK_ONLY		not for interrupts
 *	BENCH_LIFO		blocks must be freed in the reverse order
 *	BENCH_MOST		larger sizes are not measured
 *	BENCH_LEAST		smaller sizes are not measured
 *	BENCH_SLOW		so many times fewer samples
 *
 * All are undefined again at the end. No include guard, on purpose.
 */

#define BENCH_FN(verb)	__PASTE(__PASTE(BENCH_NAME, _), verb)

/* One block taken and given back. */
static int BENCH_FN(pair)(struct bench_run *run)
{
	void *handle = run->handle;
	unsigned int i;

	for (i = 0; i < run->nr; i++) {
		u64 before = bench_disturbances();
		u64 start, end;
		void *block;

		start = bench_clock();
		block = BENCH_ALLOC(handle);
		if (unlikely(!block))
			return -ENOMEM;
		BENCH_FREE(handle, block);
		end = bench_clock();
		bench_record(run->alloc, end - start, before);
		bench_breathe();
	}
	return 0;
}

/* The same with a look at the clock between. */
static int BENCH_FN(split)(struct bench_run *run)
{
	void *handle = run->handle;
	unsigned int i;

	for (i = 0; i < run->nr; i++) {
		u64 before = bench_disturbances();
		u64 start, middle, end;
		void *block;

		start = bench_clock();
		block = BENCH_ALLOC(handle);
		if (unlikely(!block))
			return -ENOMEM;
		middle = bench_clock();
		BENCH_FREE(handle, block);
		end = bench_clock();
		bench_record(run->alloc, middle - start, before);
		bench_record(run->free, end - middle, before);
		bench_breathe();
	}
	return 0;
}

/* run->depth blocks taken, then given back in run->order: one sample. */
static int BENCH_FN(deep)(struct bench_run *run)
{
	void *handle = run->handle, **blocks = run->blocks;
	const u32 *order = run->order;
	unsigned int i, j, depth = run->depth;

	for (i = 0; i < run->nr; i++) {
		u64 before = bench_disturbances();
		u64 start, end;

		start = bench_clock();
		for (j = 0; j < depth; j++) {
			blocks[j] = BENCH_ALLOC(handle);
			if (unlikely(!blocks[j]))
				return -ENOMEM;
		}
		for (j = 0; j < depth; j++)
			BENCH_FREE(handle, blocks[order[j]]);
		end = bench_clock();
		bench_record(run->alloc, end - start, before);
		bench_breathe();
	}
	return 0;
}

static __always_inline void *BENCH_FN(timed_alloc)(struct bench_run *run)
{
	void *handle = run->handle, *block;
	u64 before = bench_disturbances();
	u64 start, end;

	start = bench_clock();
	block = BENCH_ALLOC(handle);
	if (unlikely(!block))
		return NULL;
	end = bench_clock();
	bench_record(run->alloc, end - start, before);
	return block;
}

static __always_inline void BENCH_FN(timed_free)(struct bench_run *run,
						 void *block)
{
	void *handle = run->handle;
	u64 before = bench_disturbances();
	u64 start, end;

	start = bench_clock();
	BENCH_FREE(handle, block);
	end = bench_clock();
	bench_record(run->free, end - start, before);
}

/* The first block that a new allocator gives, and takes back. */
static int BENCH_FN(first)(struct bench_run *run)
{
	void *block = BENCH_FN(timed_alloc)(run);

	if (!block)
		return -ENOMEM;
	BENCH_FN(timed_free)(run, block);
	return 0;
}

/* As deep, each operation a sample. */
static int BENCH_FN(single)(struct bench_run *run)
{
	unsigned int i, j;

	for (i = 0; i < run->nr; i++) {
		for (j = 0; j < run->depth; j++) {
			run->blocks[j] = BENCH_FN(timed_alloc)(run);
			if (unlikely(!run->blocks[j]))
				return -ENOMEM;
		}
		bench_breathe();
		for (j = 0; j < run->depth; j++)
			BENCH_FN(timed_free)(run, run->blocks[run->order[j]]);
		bench_breathe();
	}
	return 0;
}

#ifndef BENCH_LIFO
/*
 * Runs of random length up and down, each operation a sample: magazines are met
 * at every fill, also just after a bulk call of random length.
 */
static int BENCH_FN(bursts)(struct bench_run *run)
{
	unsigned int i, live = 0;

	for (i = 0; i < run->nr; i++) {
		u32 random = bench_random(&run->random);
		u32 length = random % BENCH_BURST + 1;
		bool up = random >> 31;

		for (; up && length && live < BENCH_DEPTH; length--) {
			run->blocks[live] = BENCH_FN(timed_alloc)(run);
			if (unlikely(!run->blocks[live++]))
				return -ENOMEM;
		}
		for (; !up && length && live; length--) {
			u32 pick = bench_random(&run->random) % live;

			BENCH_FN(timed_free)(run, run->blocks[pick]);
			run->blocks[pick] = run->blocks[--live];
		}
#ifdef BENCH_BULK_ALLOC
		length = bench_random(&run->random) % BENCH_BURST + 1;
		length = BENCH_BULK_ALLOC(run->handle, length,
					  run->blocks + BENCH_DEPTH);
		BENCH_BULK_FREE(run->handle, length, run->blocks + BENCH_DEPTH);
#endif
		bench_breathe();
	}
	while (live)
		BENCH_FN(timed_free)(run, run->blocks[--live]);
	return 0;
}

/*
 * run->depth blocks live, of which one at random is replaced again and again.
 * With run->full 5 % of what was taken go back first: the allocator is 95 % full.
 */
static int BENCH_FN(replace)(struct bench_run *run)
{
	void *handle = run->handle, **blocks = run->blocks;
	unsigned int i, live = 0, least = run->depth;
	int ret = 0;

	while (live < run->depth) {
		blocks[live] = BENCH_ALLOC(handle);
		if (!blocks[live])
			break;
		live++;
	}
	bench_breathe();
	if (run->full)
		least = live - live / 20;
	if (live < least)
		ret = -ENOMEM;
	for (; live > least; live--) {
		u32 pick = bench_random(&run->random) % live;

		BENCH_FREE(handle, blocks[pick]);
		blocks[pick] = blocks[live - 1];
	}
	for (i = 0; !ret && i < run->nr; i++) {
		u32 pick = bench_random(&run->random) % live;

		BENCH_FN(timed_free)(run, blocks[pick]);
		blocks[pick] = BENCH_FN(timed_alloc)(run);
		if (!blocks[pick]) {
			blocks[pick] = blocks[--live];
			ret = -ENOMEM;
			break;
		}
		bench_breathe();
	}
	while (live)
		BENCH_FREE(handle, blocks[--live]);
	return ret;
}

#endif

/*
 * The same with sizes of 17 to 4096 bytes, see bench_size(). The free comes first, as
 * above.
 */
#ifdef BENCH_ALLOC_SIZED
static int BENCH_FN(sized)(struct bench_run *run)
{
	void *handle = run->handle, **blocks = run->blocks;
	unsigned int i, live = 0;
	int ret = 0;

	for (; live < run->depth; live++) {
		run->sizes[live] = bench_size(&run->random, run->even);
		blocks[live] = BENCH_ALLOC_SIZED(handle, run->sizes[live]);
		if (!blocks[live])
			break;
		bench_breathe();
	}
	if (live < run->depth)
		ret = -ENOMEM;
	for (i = 0; !ret && i < run->nr; i++) {
		u32 pick = bench_random(&run->random) % live;
		u32 size = run->sizes[pick];
		void *block = blocks[pick];
		u64 start, end, before;

		before = bench_disturbances();
		start = bench_clock();
		BENCH_FREE_SIZED(handle, block, size);
		end = bench_clock();
		bench_record(run->free, end - start, before);

		size = bench_size(&run->random, run->even);
		run->sizes[pick] = size;
		before = bench_disturbances();
		start = bench_clock();
		block = BENCH_ALLOC_SIZED(handle, size);
		end = bench_clock();
		bench_record(run->alloc, end - start, before);
		blocks[pick] = block;
		if (!block) {
			blocks[pick] = blocks[live - 1];
			run->sizes[pick] = run->sizes[--live];
			ret = -ENOMEM;
		}
		bench_breathe();
	}
	while (live) {
		live--;
		BENCH_FREE_SIZED(handle, blocks[live], run->sizes[live]);
	}
	return ret;
}
#endif

/* BENCH_BULK blocks in one call, given back in one call: one sample. */
#ifdef BENCH_BULK_ALLOC
static int BENCH_FN(bulk)(struct bench_run *run)
{
	void *handle = run->handle, **blocks = run->blocks;
	unsigned int i;

	for (i = 0; i < run->nr; i++) {
		u64 before = bench_disturbances();
		u64 start, end;

		start = bench_clock();
		if (BENCH_BULK_ALLOC(handle, BENCH_BULK, blocks) != BENCH_BULK)
			return -ENOMEM;
		BENCH_BULK_FREE(handle, BENCH_BULK, blocks);
		end = bench_clock();
		bench_record(run->alloc, end - start, before);
		bench_breathe();
	}
	return 0;
}
#endif

#ifdef BENCH_FINITE
/* All that there is, then back, each operation a sample. */
static int BENCH_FN(drain)(struct bench_run *run)
{
	unsigned int i, live = 0;
	void *block;

	for (i = 0; i < run->nr; i++) {
		while (live < BENCH_ROOM) {
			block = BENCH_FN(timed_alloc)(run);
			if (!block)
				break;
			run->blocks[live++] = block;
		}
		bench_breathe();
		while (live)
			BENCH_FN(timed_free)(run, run->blocks[--live]);
		bench_breathe();
	}
	return 0;
}

/* The price of being told that there is nothing. */
static int BENCH_FN(miss)(struct bench_run *run)
{
	void *handle = run->handle, *block;
	unsigned int i, live = 0;

	while (live < BENCH_ROOM) {
		block = BENCH_ALLOC(handle);
		if (!block)
			break;
		run->blocks[live++] = block;
	}
	for (i = 0; i < run->nr && live < BENCH_ROOM; i++) {
		u64 before = bench_disturbances();
		u64 start, end;

		start = bench_clock();
		block = BENCH_ALLOC(handle);
		if (unlikely(block)) {
			run->blocks[live++] = block;
			continue;
		}
		end = bench_clock();
		bench_record(run->alloc, end - start, before);
		bench_breathe();
	}
	while (live)
		BENCH_FREE(handle, run->blocks[--live]);
	return 0;
}
#endif

/* Pairs until told to stop; returns how many. */
#ifndef BENCH_ONE_OWNER
static u64 BENCH_FN(hammer)(void *handle, const bool *stop)
{
	unsigned int i;
	u64 pairs = 0;

	while (!READ_ONCE(*stop)) {
		for (i = 0; i < BENCH_STRIDE; i++) {
			void *block = BENCH_ALLOC(handle);

			if (unlikely(!block))
				return 0;
			BENCH_FREE(handle, block);
		}
		pairs += BENCH_STRIDE;
		bench_breathe();
	}
	return pairs;
}
#endif

#if !defined(BENCH_LOCAL) && !defined(BENCH_ONE_OWNER)
static u64 BENCH_FN(produce)(void *handle, struct bench_ring *ring,
			     const bool *stop)
{
	unsigned int i;

	while (!READ_ONCE(*stop)) {
		for (i = 0; i < BENCH_STRIDE; i++) {
			void *block = BENCH_ALLOC(handle);

			if (!block)
				break;
			while (!bench_ring_put(ring, block)) {
				if (READ_ONCE(*stop)) {
					BENCH_FREE(handle, block);
					return 0;
				}
				cpu_relax();
			}
		}
		bench_breathe();
	}
	return 0;
}

/* Returns how many blocks came through; looks at least once through the ring. */
static u64 BENCH_FN(consume)(void *handle, struct bench_ring *ring,
			     const bool *stop)
{
	unsigned int i;
	u64 blocks = 0;

	do {
		for (i = 0; i < BENCH_STRIDE; i++) {
			void *block = bench_ring_get(ring);

			if (block) {
				BENCH_FREE(handle, block);
				blocks++;
			} else {
				cpu_relax();
			}
		}
		bench_breathe();
	} while (!READ_ONCE(*stop));
	return blocks;
}
#endif

const struct bench_ops BENCH_FN(ops) = {
	.name		= BENCH_LABEL,
#ifdef BENCH_LEAST
	.least		= BENCH_LEAST,
#endif
#ifdef BENCH_MOST
	.most		= BENCH_MOST,
#endif
#ifdef BENCH_SLOW
	.slow		= BENCH_SLOW,
#endif
#ifdef BENCH_TASK_ONLY
	.task_only	= true,
#endif
	.create		= BENCH_CREATE,
	.destroy	= BENCH_DESTROY,
#ifdef BENCH_DESCRIBE
	.describe	= BENCH_DESCRIBE,
#endif
	.first		= BENCH_FN(first),
	.pair		= BENCH_FN(pair),
	.split		= BENCH_FN(split),
	.deep		= BENCH_FN(deep),
	.single		= BENCH_FN(single),
#ifdef BENCH_LIFO
	.lifo		= true,
#else
	.bursts		= BENCH_FN(bursts),
	.replace	= BENCH_FN(replace),
#endif
#ifdef BENCH_ALLOC_SIZED
	.sized		= BENCH_FN(sized),
#endif
#ifdef BENCH_BULK_ALLOC
	.bulk		= BENCH_FN(bulk),
#endif
#ifdef BENCH_FINITE
	.drain		= BENCH_FN(drain),
	.miss		= BENCH_FN(miss),
#endif
#ifndef BENCH_ONE_OWNER
	.hammer		= BENCH_FN(hammer),
#endif
#if !defined(BENCH_LOCAL) && !defined(BENCH_ONE_OWNER)
	.produce	= BENCH_FN(produce),
	.consume	= BENCH_FN(consume),
#endif
};

#undef BENCH_FN
#undef BENCH_NAME
#undef BENCH_LABEL
#undef BENCH_ALLOC
#undef BENCH_FREE
#undef BENCH_CREATE
#undef BENCH_DESTROY
#undef BENCH_DESCRIBE
#undef BENCH_BULK_ALLOC
#undef BENCH_BULK_FREE
#undef BENCH_FINITE
#undef BENCH_LOCAL
#undef BENCH_ALLOC_SIZED
#undef BENCH_FREE_SIZED
#undef BENCH_ONE_OWNER
#undef BENCH_TASK_ONLY
#undef BENCH_LEAST
#undef BENCH_MOST
#undef BENCH_LIFO
#undef BENCH_SLOW
