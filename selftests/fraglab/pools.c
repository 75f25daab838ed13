// SPDX-License-Identifier: GPL-2.0-only
/*
 * A model of a pool for each size class, each as large as the workload needs at its
 * peak: what an author does who knows the workload, and at best what a router does.
 * Classes are eight to a power of two, from 8 bytes on, so that at most an eighth of a
 * block is waste; a block costs 8 bytes of metadata besides. A class takes from the
 * region what it has not had before and never gives it to another.
 */
#include <stdlib.h>

#include "classes.h"
#include "replay.h"

#define METADATA	8

struct free_block {
	size_t at;
	struct free_block *next;
};

struct pools {
	size_t bytes, top;
	struct free_block *free[NR_CLASSES];
	__u8 *class_of;		/* by 8 bytes */
};

/*
 * Each class's blocks lie together, in a pool of their own: how far is not modelled,
 * a block is at a multiple of its alignment and takes its size and metadata.
 */
static size_t pools_alloc(void *handle, size_t size, size_t align)
{
	struct pools *pools = handle;
	unsigned int class = class_aligned(size, align);
	struct free_block *block = pools->free[class];
	size_t at, bytes = class_size(class);

	if (class >= NR_CLASSES)
		return NOWHERE;
	if (block) {
		at = block->at;
		pools->free[class] = block->next;
		free(block);
		return at;
	}
	if (pools->top + bytes + METADATA > pools->bytes)
		return NOWHERE;
	at = pools->top;
	pools->top += bytes + METADATA;
	pools->class_of[at / 8] = class;
	return at;
}

static void pools_free(void *handle, size_t at)
{
	struct pools *pools = handle;
	unsigned int class = pools->class_of[at / 8];
	struct free_block *block = malloc(sizeof(*block));

	if (!block)
		abort();
	*block = (struct free_block){ at, pools->free[class] };
	pools->free[class] = block;
}

static struct extent pools_extent(void *handle, size_t at)
{
	struct pools *pools = handle;

	return (struct extent){ at, class_size(pools->class_of[at / 8]) + METADATA };
}

static void *pools_create(size_t bytes)
{
	struct pools *pools = calloc(1, sizeof(*pools));

	if (!pools)
		abort();
	pools->bytes = bytes;
	pools->class_of = calloc(bytes / 8 + 1, 1);
	if (!pools->class_of)
		abort();
	return pools;
}

static void pools_destroy(void *handle)
{
	struct pools *pools = handle;
	struct free_block *block;
	unsigned int class;

	for (class = 0; class < NR_CLASSES; class++) {
		while ((block = pools->free[class])) {
			pools->free[class] = block->next;
			free(block);
		}
	}
	free(pools->class_of);
	free(pools);
}

const struct backend pools_model = {
	.name = "pools-model", .header = METADATA, .any_align = true,
	.create = pools_create, .destroy = pools_destroy, .alloc = pools_alloc,
	.free = pools_free, .extent = pools_extent,
};
