/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints of the logging wrapper: events/quarry in tracefs. Addresses are
 * printed hashed, as the kernel's own tracepoints do.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM quarry

#if !defined(QUARRY_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define QUARRY_TRACE_H

#include <linux/tracepoint.h>
#include <quarry/types.h>

TRACE_EVENT(quarry_alloc,
	    TP_PROTO(const char *allocator, size_t size, size_t align, bool zero,
		     const void *ptr, unsigned long caller),
	    TP_ARGS(allocator, size, align, zero, ptr, caller),
	    TP_STRUCT__entry(__array(char, allocator, QUARRY_NAME_LEN)
			     __field(size_t, size)
			     __field(size_t, align)
			     __field(bool, zero)
			     __field(const void *, ptr)
			     __field(unsigned long, caller)),
	    TP_fast_assign(strscpy(__entry->allocator, allocator, QUARRY_NAME_LEN);
			   __entry->size = size;
			   __entry->align = align;
			   __entry->zero = zero;
			   __entry->ptr = ptr;
			   __entry->caller = caller;),
	    TP_printk("allocator=%s size=%zu align=%zu zero=%d ptr=%p caller=%pS",
		      __entry->allocator, __entry->size, __entry->align,
		      __entry->zero, __entry->ptr, (void *)__entry->caller)
);

TRACE_EVENT(quarry_realloc,
	    TP_PROTO(const char *allocator, const void *ptr, size_t old,
		     size_t size, size_t align, const void *moved,
		     unsigned long caller),
	    TP_ARGS(allocator, ptr, old, size, align, moved, caller),
	    TP_STRUCT__entry(__array(char, allocator, QUARRY_NAME_LEN)
			     __field(const void *, ptr)
			     __field(size_t, old)
			     __field(size_t, size)
			     __field(size_t, align)
			     __field(const void *, moved)
			     __field(unsigned long, caller)),
	    TP_fast_assign(strscpy(__entry->allocator, allocator, QUARRY_NAME_LEN);
			   __entry->ptr = ptr;
			   __entry->old = old;
			   __entry->size = size;
			   __entry->align = align;
			   __entry->moved = moved;
			   __entry->caller = caller;),
	    TP_printk("allocator=%s ptr=%p old=%zu size=%zu align=%zu moved=%p caller=%pS",
		      __entry->allocator, __entry->ptr, __entry->old,
		      __entry->size, __entry->align, __entry->moved,
		      (void *)__entry->caller)
);

TRACE_EVENT(quarry_free,
	    TP_PROTO(const char *allocator, const void *ptr, size_t size,
		     unsigned long caller),
	    TP_ARGS(allocator, ptr, size, caller),
	    TP_STRUCT__entry(__array(char, allocator, QUARRY_NAME_LEN)
			     __field(const void *, ptr)
			     __field(size_t, size)
			     __field(unsigned long, caller)),
	    TP_fast_assign(strscpy(__entry->allocator, allocator, QUARRY_NAME_LEN);
			   __entry->ptr = ptr;
			   __entry->size = size;
			   __entry->caller = caller;),
	    TP_printk("allocator=%s ptr=%p size=%zu caller=%pS",
		      __entry->allocator, __entry->ptr, __entry->size,
		      (void *)__entry->caller)
);

#endif /* QUARRY_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
