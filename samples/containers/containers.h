/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two containers that take their memory from any struct quarry_allocator: a vector
 * that grows, and a hash table. Both are typed by macros, hold the allocator by
 * pointer, check every size by layouts, and leave what they have untouched when no
 * memory is left. Neither locks: one owner at a time.
 *
 * To copy from: nothing here is special to this module.
 */
#ifndef CONTAINERS_H
#define CONTAINERS_H

#include <linux/hash.h>
#include <linux/string.h>
#include <quarry/allocator.h>

/*
 * VECTOR(u32) numbers; declares one; what it holds is numbers.items[0] to
 * [numbers.nr - 1].
 */
struct vector_core {
	void *items;
	size_t nr, room;
	const struct quarry_allocator *a;
};

#define VECTOR(type)							\
union {									\
	struct vector_core core;					\
	struct {							\
		type *items;						\
		size_t nr, room;					\
	};								\
}

#define vector_init(v, allocator)					\
	((v)->core = (struct vector_core){ .a = (allocator) })

/* Room for at least @room items of @item; false: no memory, nothing changed. */
static inline bool vector_reserve_core(struct vector_core *v,
				       struct quarry_layout item, size_t room)
{
	void *items;

	if (room <= v->room)
		return true;
	items = quarry_allocator_realloc(v->a, v->items,
					 quarry_layout_repeat(item, v->room, NULL),
					 quarry_layout_repeat(item, room, NULL));
	if (!items)
		return false;
	v->items = items;
	v->room = room;
	return true;
}

/* Doubles; where the allocator has not that much, one more. */
static inline bool vector_grow_core(struct vector_core *v,
				    struct quarry_layout item)
{
	return v->nr < v->room ||
	       vector_reserve_core(v, item, v->room ? 2 * v->room : 8) ||
	       vector_reserve_core(v, item, v->room + 1);
}

/* vector_push(&v, item): true, or false when there is no memory. */
#define vector_push(v, item)						\
({									\
	typeof(v) __v = (v);						\
	bool __room = vector_grow_core(&__v->core,			\
				       QUARRY_LAYOUT(typeof(*__v->items))); \
									\
	if (__room)							\
		__v->items[__v->nr++] = (item);				\
	__room;								\
})

#define vector_free(v)							\
do {									\
	typeof(v) __v = (v);						\
									\
	QUARRY_DELETE_ARRAY(__v->core.a, __v->items, __v->room);	\
	vector_init(__v, __v->core.a);					\
} while (0)

/*
 * A hash table from u64 to u64: an array of chains, one node a key. It grows by
 * one array of twice the size; where there is no memory for that, chains get
 * longer and nothing else happens.
 */
struct table_node {
	u64 key, value;
	struct table_node *next;
};

struct table {
	const struct quarry_allocator *a;
	struct table_node **head;
	unsigned int bits;
	size_t nr;
};

static inline bool table_init(struct table *t, const struct quarry_allocator *a)
{
	*t = (struct table){ .a = a, .bits = 3 };
	t->head = quarry_allocator_zalloc(a, QUARRY_LAYOUT_ARRAY(struct table_node *,
								 BIT(t->bits)));
	return t->head;
}

static inline struct table_node **table_slot(struct table *t, u64 key)
{
	struct table_node **at = &t->head[hash_64(key, t->bits)];

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

static inline void table_grow(struct table *t)
{
	struct table old = *t;
	struct table_node *node;
	size_t i;

	t->head = quarry_allocator_zalloc(t->a, QUARRY_LAYOUT_ARRAY(struct table_node *,
								    BIT(old.bits + 1)));
	if (!t->head) {
		t->head = old.head;
		return;
	}
	t->bits++;
	for (i = 0; i < BIT(old.bits); i++) {
		while ((node = old.head[i])) {
			struct table_node **at = &t->head[hash_64(node->key, t->bits)];

			old.head[i] = node->next;
			node->next = *at;
			*at = node;
		}
	}
	QUARRY_DELETE_ARRAY(t->a, old.head, BIT(old.bits));
}

/* False: no memory for a new key. */
static inline bool table_set(struct table *t, u64 key, u64 value)
{
	struct table_node **at = table_slot(t, key), *node = *at;

	if (!node) {
		if (t->nr >= BIT(t->bits)) {
			table_grow(t);
			at = table_slot(t, key);
		}
		node = QUARRY_ZNEW(t->a, struct table_node);
		if (!node)
			return false;
		node->key = key;
		*at = node;
		t->nr++;
	}
	node->value = value;
	return true;
}

static inline bool table_get(struct table *t, u64 key, u64 *value)
{
	struct table_node *node = *table_slot(t, key);

	if (node)
		*value = node->value;
	return node;
}

static inline bool table_remove(struct table *t, u64 key)
{
	struct table_node **at = table_slot(t, key), *node = *at;

	if (!node)
		return false;
	*at = node->next;
	t->nr--;
	QUARRY_DELETE(t->a, node);
	return true;
}

/* In the order of the chains; backends that want another refuse, see the sample. */
static inline void table_free(struct table *t)
{
	struct table_node *node;
	size_t i;

	for (i = 0; i < BIT(t->bits); i++) {
		while ((node = t->head[i])) {
			t->head[i] = node->next;
			QUARRY_DELETE(t->a, node);
		}
	}
	QUARRY_DELETE_ARRAY(t->a, t->head, BIT(t->bits));
	t->head = NULL;
	t->nr = 0;
}

#endif /* CONTAINERS_H */
