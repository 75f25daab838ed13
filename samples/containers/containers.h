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

#include <linux/jhash.h>
#include <linux/stddef.h>
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
 * TABLE(struct flow, u64) counts; declares a hash table from keys to values, both of
 * any type; keys are compared by their bytes, so that theirs have no padding. It is an
 * array of chains, one entry a key, and grows by one array of twice the size; where
 * there is no memory for that, chains get longer and nothing else happens.
 */
struct table_node {
	struct table_node *next;
	u32 hash;
};

struct table_core {
	const struct quarry_allocator *a;
	struct table_node **head;
	unsigned int bits;
	size_t nr;
};

/* What the types make of an entry. */
struct table_shape {
	struct quarry_layout entry;
	size_t key_at, key_size;
};

/* No more than the type of @entry is used. */
#define TABLE(key_type, value_type)					\
union {									\
	struct table_core core;						\
	struct {							\
		struct table_node node;					\
		key_type key;						\
		value_type value;					\
	} *entry;							\
}

#define table_shape(t)							\
({									\
	typeof((t)->entry) __e;						\
									\
	(struct table_shape) {						\
		.entry = QUARRY_LAYOUT(typeof(*__e)),			\
		.key_at = offsetof(typeof(*__e), key),			\
		.key_size = sizeof(__e->key),				\
	};								\
})

static inline bool table_init_core(struct table_core *t,
				   const struct quarry_allocator *a)
{
	*t = (struct table_core){ .a = a, .bits = 3 };
	t->head = quarry_allocator_zalloc(a, QUARRY_LAYOUT_ARRAY(struct table_node *,
								 BIT(t->bits)));
	return t->head;
}

/* Where the entry of @key is, or is to be. */
static inline struct table_node **table_slot(const struct table_core *t,
					     struct table_shape shape,
					     const void *key, u32 hash)
{
	struct table_node **at = &t->head[hash >> (32 - t->bits)];

	while (*at && ((*at)->hash != hash ||
		       memcmp((void *)*at + shape.key_at, key, shape.key_size)))
		at = &(*at)->next;
	return at;
}

static inline void table_grow(struct table_core *t)
{
	struct table_core old = *t;
	struct table_node *node, **at;
	size_t i;

	if (t->bits == 32)
		return;
	t->head = quarry_allocator_zalloc(t->a, QUARRY_LAYOUT_ARRAY(struct table_node *,
								    BIT(old.bits + 1)));
	if (!t->head) {
		t->head = old.head;
		return;
	}
	t->bits++;
	for (i = 0; i < BIT(old.bits); i++) {
		while ((node = old.head[i])) {
			at = &t->head[node->hash >> (32 - t->bits)];
			old.head[i] = node->next;
			node->next = *at;
			*at = node;
		}
	}
	QUARRY_DELETE_ARRAY(t->a, old.head, BIT(old.bits));
}

static inline struct table_node *table_find(const struct table_core *t,
					    struct table_shape shape,
					    const void *key)
{
	return *table_slot(t, shape, key, jhash(key, shape.key_size, 0));
}

/* The entry of @key, which is made if there is none; NULL: no memory for that. */
static inline struct table_node *table_make(struct table_core *t,
					    struct table_shape shape,
					    const void *key)
{
	u32 hash = jhash(key, shape.key_size, 0);
	struct table_node **at = table_slot(t, shape, key, hash), *node = *at;

	if (node)
		return node;
	if (t->nr >= BIT(t->bits)) {
		table_grow(t);
		at = table_slot(t, shape, key, hash);
	}
	node = quarry_allocator_zalloc(t->a, shape.entry);
	if (!node)
		return NULL;
	node->hash = hash;
	memcpy((void *)node + shape.key_at, key, shape.key_size);
	*at = node;
	t->nr++;
	return node;
}

static inline bool table_remove_core(struct table_core *t, struct table_shape shape,
				     const void *key)
{
	struct table_node **at, *node;

	at = table_slot(t, shape, key, jhash(key, shape.key_size, 0));
	node = *at;
	if (!node)
		return false;
	*at = node->next;
	t->nr--;
	quarry_allocator_free(t->a, node, shape.entry);
	return true;
}

/* In the order of the chains; backends that want another refuse, see the sample. */
static inline void table_free_core(struct table_core *t, struct table_shape shape)
{
	struct table_node *node;
	size_t i;

	for (i = 0; i < BIT(t->bits); i++) {
		while ((node = t->head[i])) {
			t->head[i] = node->next;
			quarry_allocator_free(t->a, node, shape.entry);
		}
	}
	QUARRY_DELETE_ARRAY(t->a, t->head, BIT(t->bits));
	t->head = NULL;
	t->nr = 0;
}

/* table_init(&t, allocator): false: no memory; nothing is to be freed. */
#define table_init(t, allocator)	table_init_core(&(t)->core, (allocator))
#define table_nr(t)			((t)->core.nr)
#define table_free(t)							\
({									\
	typeof(t) __t = (t);						\
									\
	table_free_core(&__t->core, table_shape(__t));			\
})

/* table_set(&t, key, value): false: no memory for a new key. */
#define table_set(t, k, v)						\
({									\
	typeof(t) __t = (t);						\
	typeof(__t->entry->key) __key = (k);				\
	typeof(__t->entry) __entry =					\
		(void *)table_make(&__t->core, table_shape(__t), &__key); \
									\
	if (__entry)							\
		__entry->value = (v);					\
	!!__entry;							\
})

/* table_get(&t, key): where the value is, or NULL. */
#define table_get(t, k)							\
({									\
	typeof(t) __t = (t);						\
	typeof(__t->entry->key) __key = (k);				\
	typeof(__t->entry) __entry =					\
		(void *)table_find(&__t->core, table_shape(__t), &__key); \
									\
	__entry ? &__entry->value : NULL;				\
})

/* table_remove(&t, key): was it there? */
#define table_remove(t, k)						\
({									\
	typeof(t) __t = (t);						\
	typeof(__t->entry->key) __key = (k);				\
									\
	table_remove_core(&__t->core, table_shape(__t), &__key);	\
})

#endif /* CONTAINERS_H */
