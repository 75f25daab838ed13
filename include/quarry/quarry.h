/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Quarry: memory that is bounded, reserved ahead, named, and cheap in any
 * context.
 *
 * Which one do I want?
 *
 *   all blocks of one size, freed in any order	   quarry/pool.h
 *   blocks of any sizes, freed in any order	   quarry/heap.h
 *   any sizes, from any context, freed all at once   quarry/bump.h
 *   the same at a high rate on many CPUs		   quarry/percpu_arena.h
 *   blocks of any size, freed in reverse order	   quarry/stack.h
 *   any size, one owner, all given back at once	   quarry/arena.h
 *   any sizes, small ones often: classes, heap, system  quarry/router.h
 *   chosen at run time: any of these, or the system   quarry/allocator.h
 *
 * What none of them is for: kfree(), virt_to_page(), DMA mapping and
 * scatterlists (the memory is vmalloc'd); init_on_alloc and init_on_free are
 * not followed (%QUARRY_POOL_ZERO_ON_FREE clears a block); hardened usercopy
 * sees the vmalloc area and not the block.
 */
#ifndef QUARRY_QUARRY_H
#define QUARRY_QUARRY_H

#include <quarry/types.h>
#include <quarry/allocator.h>
#include <quarry/arena.h>
#include <quarry/heap.h>
#include <quarry/layout.h>
#include <quarry/pool.h>
#include <quarry/router.h>
#include <quarry/bump.h>
#include <quarry/percpu_arena.h>
#include <quarry/stack.h>

#endif /* QUARRY_QUARRY_H */
