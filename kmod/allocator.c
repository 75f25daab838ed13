// SPDX-License-Identifier: GPL-2.0-only
/*
 * One interface over all allocators: what is checked for each of them before its
 * own operation is called. Nothing here has state, so nothing is shared.
 *
 * Every refusal changes nothing and is reported once, by the backend's name; what
 * the backend itself refuses it reports itself.
 */
#include <linux/kernel.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include "allocator.h"

static void refuse(const struct quarry_allocator *a, const char *what,
		   const char *why, struct quarry_layout layout,
		   unsigned long caller)
{
	quarry__report("%s allocator: %s refused: %s (size %zu, align %zu), by %pS",
		       a && a->ops ? a->ops->name : "no", what, why,
		       layout.size, layout.align, (void *)caller);
}

/* Why a layout is refused, or NULL. */
static const char *bad_layout(const struct quarry_allocator *a,
			      struct quarry_layout layout)
{
	if (!a || !a->ops)
		return "no allocator";
	if (!quarry_layout_valid(layout))
		return "invalid layout";
	if (!layout.size)
		return "size 0";
	if (layout.align > a->max_align)
		return "alignment above the allocator's";
	return NULL;
}

/* The same for a request, which also needs the right context. */
static const char *bad_request(const struct quarry_allocator *a,
			       struct quarry_layout layout)
{
	const char *why = bad_layout(a, layout);

	if (!why && in_nmi() && !(a->flags & QUARRY_ALLOCATOR_NMI))
		why = "not for NMI";
	return why;
}

/* The same for a block that was handed out as @layout. */
static const char *bad_block(const struct quarry_allocator *a, const void *ptr,
			     struct quarry_layout layout)
{
	const char *why = bad_layout(a, layout);

	if (!why && !IS_ALIGNED((unsigned long)ptr, layout.align))
		why = "misaligned pointer";
	return why;
}

void *quarry__allocator_alloc(const struct quarry_allocator *a,
			      struct quarry_layout layout, bool zero,
			      unsigned long caller)
{
	const char *why = bad_request(a, layout);

	if (unlikely(why)) {
		refuse(a, "alloc", why, layout, caller);
		return NULL;
	}
	if (layout.size > a->max_size)
		return NULL;
	return a->ops->alloc(a, layout, zero, caller);
}

/* For backends that have no better way. */
static void *move(const struct quarry_allocator *a, void *ptr,
		  struct quarry_layout old, struct quarry_layout layout,
		  unsigned long caller)
{
	void *new = a->ops->alloc(a, layout, false, caller);

	if (!new)
		return NULL;
	memcpy(new, ptr, min(old.size, layout.size));
	a->ops->free(a, ptr, old, caller);
	return new;
}

void *quarry__allocator_realloc(const struct quarry_allocator *a, void *ptr,
				struct quarry_layout old,
				struct quarry_layout layout,
				unsigned long caller)
{
	const char *why = bad_request(a, layout);

	if (unlikely(why)) {
		refuse(a, "realloc", why, layout, caller);
		return NULL;
	}
	if (ptr)
		why = bad_block(a, ptr, old);
	if (unlikely(why)) {
		refuse(a, "realloc", why, old, caller);
		return NULL;
	}
	if (layout.size > a->max_size)
		return NULL;
	if (!ptr)
		return a->ops->alloc(a, layout, false, caller);
	if (a->ops->realloc)
		return a->ops->realloc(a, ptr, old, layout, caller);
	return move(a, ptr, old, layout, caller);
}

bool quarry__allocator_free(const struct quarry_allocator *a, void *ptr,
			    struct quarry_layout layout, unsigned long caller)
{
	const char *why;

	if (!ptr)
		return false;
	why = bad_block(a, ptr, layout);
	if (unlikely(why)) {
		refuse(a, "free", why, layout, caller);
		return false;
	}
	return a->ops->free(a, ptr, layout, caller);
}

void *quarry_allocator_alloc(const struct quarry_allocator *a,
			     struct quarry_layout layout)
{
	return quarry__allocator_alloc(a, layout, false, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_allocator_alloc);

void *quarry_allocator_zalloc(const struct quarry_allocator *a,
			      struct quarry_layout layout)
{
	return quarry__allocator_alloc(a, layout, true, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_allocator_zalloc);

void *quarry_allocator_realloc(const struct quarry_allocator *a, void *ptr,
			       struct quarry_layout old,
			       struct quarry_layout layout)
{
	return quarry__allocator_realloc(a, ptr, old, layout, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_allocator_realloc);

void quarry_allocator_free(const struct quarry_allocator *a, void *ptr,
			   struct quarry_layout layout)
{
	quarry__allocator_free(a, ptr, layout, _RET_IP_);
}
EXPORT_SYMBOL_GPL(quarry_allocator_free);
