/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of quarry.ko share, grouped by the file that implements it.
 */
#ifndef QUARRY_INTERNAL_H
#define QUARRY_INTERNAL_H

#include <linux/err.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <quarry/types.h>
#include "report.h"

/*
 * NULL, or an error in place of a handle. Where kernel addresses are negative
 * numbers, below those of errors, one comparison tells; KASAN's tags in their upper
 * byte make them any number.
 */
static __always_inline bool not_a_handle(const void *handle)
{
	if ((IS_ENABLED(CONFIG_X86_64) || IS_ENABLED(CONFIG_ARM64)) &&
	    !IS_ENABLED(CONFIG_KASAN_SW_TAGS))
		return (long)handle >= -MAX_ERRNO;
	return IS_ERR_OR_NULL(handle);
}

/* region.c */

/**
 * struct quarry_region - a piece of memory that an allocator manages
 * @base: its first byte
 * @size: bytes
 * @node: NUMA node that was asked for, or NUMA_NO_NODE
 * @flags: enum quarry_flags that were asked for
 * @borrowed: the caller's memory, not ours to free
 * @carved: borrowed, and a part of a region of quarry's own
 * @lent: where @carved ones find it, while it is lent
 */
struct quarry_region {
	void *base;
	size_t size;
	int node;
	unsigned int flags;
	bool borrowed;
	bool carved;
	struct list_head lent;
};

/**
 * struct quarry_placement - where a region is to come from, as args say it
 * @flags: enum quarry_flags; the kind's own bits are not looked at
 * @node: NUMA node, with %QUARRY_ON_NODE
 * @memory: the caller's memory, or NULL
 * @memory_size: its bytes
 */
struct quarry_placement {
	unsigned int flags;
	int node;
	void *memory;
	size_t memory_size;
};

/* The placement that a kind's args ask for. */
#define quarry__placement(args)						\
({									\
	typeof(args) __args = (args);					\
									\
	(struct quarry_placement) {					\
		.flags = __args->flags, .node = __args->node,		\
		.memory = __args->memory,				\
		.memory_size = __args->memory_size,			\
	};								\
})

#define QUARRY_COMMON_FLAGS (QUARRY_ON_NODE | QUARRY_ACCOUNT | QUARRY_ZERO | \
			     QUARRY_NO_HUGE)

/* A create that is refused: names what was wrong, once, in the log. -EINVAL. */
#define quarry__invalid(kind, name, fmt, ...)				\
({									\
	pr_err("quarry: %s \"%.48s\": " fmt "\n", kind,			\
	       (name) ?: "(null)", ##__VA_ARGS__);			\
	-EINVAL;							\
})

int quarry__create_check(const char *kind, const char *name,
			 const struct quarry_placement *at,
			 unsigned int kind_flags);
int quarry__region_take(struct quarry_region *region, const char *kind,
			const char *name, size_t size, size_t align,
			const struct quarry_placement *at);
int quarry__region_map(struct quarry_region *region, size_t size,
		       unsigned int flags, int node);
void quarry__region_borrow(struct quarry_region *region, void *memory,
			   size_t size, unsigned int flags);
void quarry__region_lend(struct quarry_region *region);
void quarry__region_take_back(struct quarry_region *region);
void quarry__region_unmap(struct quarry_region *region);
const char *quarry__region_mapping(const struct quarry_region *region);

struct quarry_object;
void quarry__flags_config(struct seq_file *seq, unsigned int flags, int node);
void quarry__region_config(struct seq_file *seq, const struct quarry_region *region,
			   const struct quarry_object *object);

/* registry.c */

enum quarry_state {
	QUARRY_OK,
	QUARRY_LEAKED,		/* destroyed with live blocks */
	QUARRY_ORPHAN,		/* its module is gone */
	QUARRY_DEAD,		/* its module is gone, and its memory with it */
};

/* One row of the summary. */
struct quarry_row {
	u64 live, peak, capacity, size, reserved, failures, refused;
};

/**
 * struct quarry_kind - what one kind of object can do
 * @name: folder in debugfs
 * @unit: what the summary counts; NULL means bytes
 * @row: figures for the summary
 * @config: what it was created with; lines "name: value"
 * @stats: figures; lines "name: value"
 * @map: picture of the region
 * @verify: quarry_pool_verify() and its like; @why gets what is wrong
 * @reset: peaks and counters start anew
 * @find: number of the block that holds @addr, or -1; any context
 * @orphan: the owner's text, and maybe memory, is gone; without the registry's lock
 * @release: quarry unloads: free all
 */
struct quarry_kind {
	const char *name;
	const char *unit;
	void (*row)(struct quarry_object *object, struct quarry_row *row);
	void (*config)(struct quarry_object *object, struct seq_file *seq);
	void (*stats)(struct quarry_object *object, struct seq_file *seq);
	void (*map)(struct quarry_object *object, struct seq_file *seq);
	int (*verify)(struct quarry_object *object, char *why, size_t size);
	void (*reset)(struct quarry_object *object);
	long (*find)(struct quarry_object *object, unsigned long addr);
	void (*orphan)(struct quarry_object *object);
	void (*release)(struct quarry_object *object);
};

/**
 * struct quarry_object - the part that all kinds of objects have
 * @node: in the registry, written under its lock, read under RCU; else among
 *	the retired handles of its kind
 * @name: unique among the objects of its kind; set once
 * @kind: set once
 * @owner: module that created it, NULL when built in or gone; registry's lock
 * @owner_name: the same as text, kept
 * @state: enum quarry_state; registry's lock, read by anyone
 * @dir: its folder in debugfs
 */
struct quarry_object {
	struct list_head node;
	char name[QUARRY_NAME_LEN];
	const struct quarry_kind *kind;
	struct module *owner;
	char owner_name[MODULE_NAME_LEN];
	enum quarry_state state;
	struct dentry *dir;
};

int quarry__name_check(const char *name);
void quarry__register(struct quarry_object *object, const char *name,
		      const struct quarry_kind *kind, struct module *owner);
void quarry__unregister(struct quarry_object *object);
void quarry__mark(struct quarry_object *object, enum quarry_state state);
long quarry__find(unsigned long addr, const struct quarry_object *but,
		  const char **kind, const char **name);
void quarry__for_each(void (*fn)(struct quarry_object *object, void *arg),
		      void *arg);
const char *quarry__state_name(const struct quarry_object *object);
bool quarry__may_sleep(void);
struct quarry_object *quarry__handle_reuse(struct list_head *retired);
void quarry__handle_retire(struct quarry_object *object,
			   struct list_head *retired);
int quarry__registry_init(void);
void quarry__registry_exit(void);

/* report.c */

__printf(1, 2) void quarry__report(const char *fmt, ...);
__printf(1, 2) void quarry__notice(const char *fmt, ...);

/* stats.c */

/**
 * struct quarry_figure - a row of the table of a kind's figures
 * @name: as its field in the kind's stats, a struct of u64 alone
 * @at: which of them it is
 * @counts: it counts up, and is shown from the last reset on
 */
struct quarry_figure {
	const char *name;
	unsigned int at;
	bool counts;
};

#define QUARRY_FIGURE(type, field)					\
	{ #field, offsetof(struct type, field) / sizeof(u64), false }
#define QUARRY_COUNTER(type, field)					\
	{ #field, offsetof(struct type, field) / sizeof(u64), true }

void quarry__figures_show(struct seq_file *seq, const struct quarry_figure *figures,
			  size_t nr, const void *stats);
void quarry__figures_since(const struct quarry_figure *figures, size_t nr, void *stats,
			   const void *baseline);
void quarry__figures_reset(const struct quarry_figure *figures, size_t nr,
			   const void *stats, void *baseline);

/* debugfs.c: all are no-ops where debugfs is missing */

/* The size of a picture, at most. */
#define QUARRY_MAP_COLUMNS	64
#define QUARRY_MAP_ROWS		16
#define QUARRY_MAP_CELLS	(QUARRY_MAP_COLUMNS * QUARRY_MAP_ROWS)

char quarry__map_tenths(u64 part, u64 whole);
void quarry__map_cell(struct seq_file *seq, char mark, u64 nr, bool last);

void quarry__debugfs_add(struct quarry_object *object);
void quarry__debugfs_remove(struct quarry_object *object);
void quarry__debugfs_init(void);
void quarry__debugfs_exit(void);

/* pool_life.c */

int quarry__pool_init(void);
void quarry__pool_exit(void);

/* router_life.c */

void quarry__router_exit(void);

/* bump.c */

void quarry__bump_exit(void);

/* percpu_arena.c: as the exported one, for a caller that a report is to name */

struct quarry_percpu_arena;
void *quarry__percpu_arena_alloc(struct quarry_percpu_arena *arena, size_t size,
				 size_t align, unsigned long caller);

/* percpu_arena_life.c */

int quarry__percpu_arena_init(void);
void quarry__percpu_arena_exit(void);

/* stack.c */

void quarry__stack_exit(void);

/* arena_life.c */

void quarry__arena_exit(void);

/* heap_life.c */

void quarry__heap_exit(void);

/* wrappers.c */

void quarry__wrappers_exit(void);

/* system.c */

void quarry__system_exit(void);

#endif /* QUARRY_INTERNAL_H */
