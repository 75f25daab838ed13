/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one interface inside: operations with the caller's address, which wrappers
 * pass on, and the system's memory, which the router takes as well.
 */
#ifndef QUARRY_KMOD_ALLOCATOR_H
#define QUARRY_KMOD_ALLOCATOR_H

#include <quarry/allocator.h>
#include "internal.h"

/* allocator.c: as the exported ones; false and NULL when refused. */
void *quarry__allocator_alloc(const struct quarry_allocator *a,
			      struct quarry_layout layout, bool zero,
			      unsigned long caller);
void *quarry__allocator_realloc(const struct quarry_allocator *a, void *ptr,
				struct quarry_layout old,
				struct quarry_layout layout,
				unsigned long caller);
bool quarry__allocator_free(const struct quarry_allocator *a, void *ptr,
			    struct quarry_layout layout, unsigned long caller);

/* system.c */

/* May the system be asked with @gfp, here? */
bool quarry__system_allows(gfp_t gfp);

/* @align at most PAGE_SIZE, @size at least 1; quarry__system_allows(). */
void *quarry__system_alloc(size_t size, size_t align, gfp_t gfp);

/* In any context. True when it was handed to the worker. */
bool quarry__system_free(void *ptr);

#endif /* QUARRY_KMOD_ALLOCATOR_H */
