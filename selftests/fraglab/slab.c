// SPDX-License-Identifier: GPL-2.0-only
/*
 * A model of what kmalloc() does with memory: classes of sizes, each on slabs of its
 * own. A slab is of as few pages as hold 16 objects, at most 8; it is taken from
 * the region first fit and given back at once when it is empty. Allocations come
 * from the slab of the class that was last freed to or made. What SLUB keeps per
 * CPU, and the empty slabs that it holds back, are not in it: it is kinder than
 * the kernel. Larger sizes are powers of two of pages.
 */
#include <stdlib.h>

#include "replay.h"

#define PAGE		((size_t)4096)
#define SLAB_PAGES	8
#define SLAB_OBJECTS	16
#define NR_CLASSES	13

static const __u32 classes[NR_CLASSES] = {
	8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192
};

struct slab {
	size_t begin, size;		/* of an object; large ones are slabs of one */
	__u32 nr, nr_free;
	struct slab *next, **link;	/* in the class's list, if any is free */
	__u16 free[];
};

struct model {
	void *pages;
	struct slab *partial[NR_CLASSES];
	struct slab **slab_of;		/* by page */
};

static void enlist(struct slab *slab, struct slab **list)
{
	slab->next = *list;
	slab->link = list;
	if (slab->next)
		slab->next->link = &slab->next;
	*list = slab;
}

static void delist(struct slab *slab)
{
	*slab->link = slab->next;
	if (slab->next)
		slab->next->link = slab->link;
	slab->link = NULL;
}

static struct slab *slab_new(struct model *model, size_t size, size_t pages)
{
	size_t begin = fit_pages.alloc(model->pages, pages * PAGE, PAGE), page;
	__u32 i, nr = pages * PAGE / size;
	struct slab *slab;

	if (begin == NOWHERE)
		return NULL;
	slab = calloc(1, sizeof(*slab) + nr * sizeof(slab->free[0]));
	if (!slab)
		abort();
	slab->begin = begin;
	slab->size = size;
	for (i = 0; i < nr; i++)
		slab->free[i] = nr - 1 - i;
	slab->nr = nr;
	slab->nr_free = nr;
	for (page = 0; page < pages; page++)
		model->slab_of[begin / PAGE + page] = slab;
	return slab;
}

static size_t pages_for(size_t size)
{
	size_t pages = 1;

	while (pages < SLAB_PAGES && pages * PAGE < SLAB_OBJECTS * size)
		pages *= 2;
	return pages;
}

static size_t slab_alloc(void *handle, size_t size, size_t align)
{
	struct model *model = handle;
	unsigned int class = 0;
	struct slab *slab;
	size_t pages;

	while (class < NR_CLASSES &&
	       (classes[class] < size || classes[class] % align))
		class++;
	if (class == NR_CLASSES) {
		for (pages = 4; pages * PAGE < size; pages *= 2)
			;
		slab = slab_new(model, pages * PAGE, pages);
		if (!slab)
			return NOWHERE;
		slab->nr_free = 0;
		return slab->begin;
	}
	slab = model->partial[class];
	if (!slab) {
		slab = slab_new(model, classes[class], pages_for(classes[class]));
		if (!slab)
			return NOWHERE;
		enlist(slab, &model->partial[class]);
	}
	if (!--slab->nr_free)
		delist(slab);
	return slab->begin + slab->free[slab->nr_free] * slab->size;
}

static void slab_free(void *handle, size_t at)
{
	struct model *model = handle;
	struct slab *slab = model->slab_of[at / PAGE];
	unsigned int class = 0;

	slab->free[slab->nr_free++] = (at - slab->begin) / slab->size;
	if (slab->nr_free == slab->nr) {
		if (slab->link)
			delist(slab);
		fit_pages.free(model->pages, slab->begin);
		free(slab);
		return;
	}
	if (slab->link)
		return;
	while (classes[class] != slab->size)
		class++;
	enlist(slab, &model->partial[class]);
}

static struct extent slab_extent(void *handle, size_t at)
{
	struct model *model = handle;

	return (struct extent){ at, model->slab_of[at / PAGE]->size };
}

static void *slab_create(size_t bytes)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		abort();
	model->pages = fit_pages.create(bytes);
	model->slab_of = calloc(bytes / PAGE + 1, sizeof(struct slab *));
	if (!model->slab_of)
		abort();
	return model;
}

static void slab_destroy(void *handle)
{
	struct model *model = handle;

	fit_pages.destroy(model->pages);
	free(model->slab_of);
	free(model);
}

const struct backend slab_model = {
	.name = "slab-model", .create = slab_create, .destroy = slab_destroy,
	.alloc = slab_alloc, .free = slab_free, .extent = slab_extent,
};
