// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exact first fit and exact best fit, as a measure for others.
 *
 * Free blocks are in a treap (Aragon and Seidel 1989), by address or by size and
 * then address, each node with the largest size below it. Best fit takes the
 * smallest block that is large enough, of several the lowest; first fit the lowest
 * that is large enough. Where an alignment leaves room in front, that stays a free
 * block. Neighbours are merged at once. A hole of one unit may stay, which a real
 * heap would have to give to a block: these are bounds, not designs.
 */
#include <stdlib.h>

#include "replay.h"

struct node {
	__u32 at, units, most, left, right, priority;
};

struct fit {
	size_t unit, header, least;
	bool by_size;
	__u32 units, root, unused, seed;
	__u32 *live;		/* units of the block that begins here */
	__u32 *begins;	/* node of the free block that begins here */
	__u32 *ends;		/* node of the one that ends before here */
	struct node *nodes;	/* 0 is none */
	__u32 room;
};

static bool before(const struct fit *fit, __u32 a, __u32 b)
{
	const struct node *x = &fit->nodes[a], *y = &fit->nodes[b];

	if (fit->by_size && x->units != y->units)
		return x->units < y->units;
	return x->at < y->at;
}

static void update(struct fit *fit, __u32 at)
{
	struct node *node = &fit->nodes[at];
	__u32 left = fit->nodes[node->left].most;
	__u32 right = fit->nodes[node->right].most;

	node->most = node->units;
	if (node->left && left > node->most)
		node->most = left;
	if (node->right && right > node->most)
		node->most = right;
}

static __u32 merge(struct fit *fit, __u32 a, __u32 b)
{
	if (!a || !b)
		return a | b;
	if (fit->nodes[a].priority > fit->nodes[b].priority) {
		fit->nodes[a].right = merge(fit, fit->nodes[a].right, b);
		update(fit, a);
		return a;
	}
	fit->nodes[b].left = merge(fit, a, fit->nodes[b].left);
	update(fit, b);
	return b;
}

/* Those before the node to *low, others to *high. */
static void split(struct fit *fit, __u32 tree, __u32 node, __u32 *low,
		  __u32 *high)
{
	if (!tree) {
		*low = *high = 0;
	} else if (before(fit, tree, node)) {
		split(fit, fit->nodes[tree].right, node,
		      &fit->nodes[tree].right, high);
		*low = tree;
		update(fit, tree);
	} else {
		split(fit, fit->nodes[tree].left, node, low,
		      &fit->nodes[tree].left);
		*high = tree;
		update(fit, tree);
	}
}

static __u32 erase(struct fit *fit, __u32 tree, __u32 node)
{
	if (tree == node)
		return merge(fit, fit->nodes[tree].left, fit->nodes[tree].right);
	if (before(fit, node, tree))
		fit->nodes[tree].left = erase(fit, fit->nodes[tree].left, node);
	else
		fit->nodes[tree].right = erase(fit, fit->nodes[tree].right, node);
	update(fit, tree);
	return tree;
}

static void add_hole(struct fit *fit, __u32 at, __u32 units)
{
	__u32 low, high, node = fit->unused;

	if (!units)
		return;
	if (node) {
		fit->unused = fit->nodes[node].left;
	} else {
		node = ++fit->nodes[0].at;
		if (node == fit->room) {
			fit->room *= 2;
			fit->nodes = realloc(fit->nodes,
					     fit->room * sizeof(struct node));
			if (!fit->nodes)
				abort();
		}
	}
	fit->seed = fit->seed * 1664525 + 1013904223;
	fit->nodes[node] = (struct node){
		.at = at, .units = units, .most = units, .priority = fit->seed,
	};
	fit->begins[at] = node;
	fit->ends[at + units] = node;
	split(fit, fit->root, node, &low, &high);
	fit->root = merge(fit, merge(fit, low, node), high);
}

static void take_hole(struct fit *fit, __u32 node)
{
	struct node *hole = &fit->nodes[node];

	fit->root = erase(fit, fit->root, node);
	fit->begins[hole->at] = 0;
	fit->ends[hole->at + hole->units] = 0;
	hole->left = fit->unused;
	fit->unused = node;
}

/* Units to leave in front so that the payload is aligned; more than there are if not. */
static __u32 padding(const struct fit *fit, const struct node *hole,
		     __u32 need, size_t align)
{
	size_t begin = hole->at * fit->unit + fit->header;
	size_t pad = ((begin + align - 1) & ~(align - 1)) - begin;

	pad = (pad + fit->unit - 1) / fit->unit;
	return pad + need <= hole->units ? pad : UINT32_MAX;
}

/* In the order of the treap, the first that is large enough. */
static __u32 find(const struct fit *fit, __u32 tree, __u32 need,
		  size_t align)
{
	const struct node *node = &fit->nodes[tree];
	__u32 found;

	if (!tree || node->most < need)
		return 0;
	/* By size, all on the left of one that is too small are too small. */
	if (!fit->by_size || node->units >= need) {
		found = find(fit, node->left, need, align);
		if (found)
			return found;
		if (node->units >= need &&
		    padding(fit, node, need, align) != UINT32_MAX)
			return tree;
	}
	return find(fit, node->right, need, align);
}

static size_t fit_alloc(void *handle, size_t size, size_t align)
{
	struct fit *fit = handle;
	size_t bytes = size + fit->header;
	__u32 need, node, pad;
	struct node hole;

	if (bytes < fit->least)
		bytes = fit->least;
	need = (bytes + fit->unit - 1) / fit->unit;
	node = find(fit, fit->root, need, align);
	if (!node)
		return NOWHERE;
	hole = fit->nodes[node];
	pad = padding(fit, &hole, need, align);
	take_hole(fit, node);
	add_hole(fit, hole.at, pad);
	add_hole(fit, hole.at + pad + need, hole.units - pad - need);
	fit->live[hole.at + pad] = need;
	return (hole.at + pad) * fit->unit + fit->header;
}

static void fit_free(void *handle, size_t offset)
{
	struct fit *fit = handle;
	__u32 at = (offset - fit->header) / fit->unit;
	__u32 units = fit->live[at], node;

	fit->live[at] = 0;
	node = fit->begins[at + units];
	if (node) {
		units += fit->nodes[node].units;
		take_hole(fit, node);
	}
	node = fit->ends[at];
	if (node) {
		at = fit->nodes[node].at;
		units += fit->nodes[node].units;
		take_hole(fit, node);
	}
	add_hole(fit, at, units);
}

static struct extent fit_extent(void *handle, size_t offset)
{
	struct fit *fit = handle;
	__u32 at = (offset - fit->header) / fit->unit;

	return (struct extent){ at * fit->unit, fit->live[at] * fit->unit };
}

static void fit_destroy(void *handle)
{
	struct fit *fit = handle;

	free(fit->live);
	free(fit->begins);
	free(fit->ends);
	free(fit->nodes);
	free(fit);
}

static void *fit_create(size_t bytes, size_t unit, size_t header, bool by_size)
{
	struct fit *fit = calloc(1, sizeof(*fit));

	fit->unit = unit;
	fit->header = header;
	fit->least = header ? 16 : unit;
	fit->by_size = by_size;
	fit->units = bytes / unit;
	fit->room = 1024;
	fit->nodes = calloc(fit->room, sizeof(struct node));
	fit->live = calloc(fit->units + 1, sizeof(__u32));
	fit->begins = calloc(fit->units + 1, sizeof(__u32));
	fit->ends = calloc(fit->units + 1, sizeof(__u32));
	if (!fit->nodes || !fit->live || !fit->begins || !fit->ends)
		abort();
	add_hole(fit, 0, fit->units);
	return fit;
}

/* Every unit is of one live block or one hole, and no two holes touch. */
static bool fit_verify(void *handle)
{
	struct fit *fit = handle;
	bool hole = false;
	__u32 at = 0;

	while (at < fit->units) {
		__u32 node = fit->begins[at];

		if (!!node == !!fit->live[at] || (node && hole))
			return false;
		hole = node;
		at += node ? fit->nodes[node].units : fit->live[at];
	}
	return at == fit->units;
}

static void *best_create(size_t bytes)
{
	return fit_create(bytes, 8, 8, true);
}

static void *first_create(size_t bytes)
{
	return fit_create(bytes, 8, 8, false);
}

static void *best_nodes_create(size_t bytes)
{
	return fit_create(bytes, 8, 0, true);
}

static void *best_bare_create(size_t bytes)
{
	return fit_create(bytes, 16, 0, true);
}

static void *first_bare_create(size_t bytes)
{
	return fit_create(bytes, 16, 0, false);
}

static void *pages_create(size_t bytes)
{
	return fit_create(bytes, 4096, 0, false);
}

#define FIT(label, bytes, how) {					\
	.name = label, .header = bytes, .create = how,			\
	.destroy = fit_destroy, .alloc = fit_alloc, .free = fit_free,	\
	.extent = fit_extent, .verify = fit_verify,			\
}

/*
 * With a header of 8 bytes and units of 8; pages; as gen_pool: none, units of 16; as
 * drm_mm: none, units of 8, and a node elsewhere.
 */
const struct backend best_fit = FIT("best-fit", 8, best_create);
const struct backend first_fit = FIT("first-fit", 8, first_create);
const struct backend fit_pages = FIT("pages", 0, pages_create);
const struct backend best_fit_bare = FIT("best-fit:bare", 0, best_bare_create);
const struct backend best_fit_nodes = FIT("best-fit:nodes", 0, best_nodes_create);
const struct backend first_fit_bare = FIT("first-fit:bare", 0, first_bare_create);
