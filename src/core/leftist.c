/*
 * leftist.c
 *		Heaps whose nodes stand in an array that the caller owns.
 *
 * In a leftist heap the way to the right is the shortest one from each node to a place without a
 * child, so it has at most log2(n + 1) nodes.  Heaps are merged along these ways.
 */
#include "core/leftist.h"

static uint32_t
rank_of(const tq_leftist *kind, uint32_t n)
{
	return n == 0 ? 0 : kind->node(n)->rank;
}

static void
set_parent(const tq_leftist *kind, uint32_t n, uint32_t parent)
{
	if (n != 0)
		kind->node(n)->parent = parent;
}

/* Puts the child with the shorter way to the right; returns whether the rank has changed. */
static bool
order_children(const tq_leftist *kind, tq_leftist_node *x)
{
	uint32_t rank;

	if (rank_of(kind, x->left) < rank_of(kind, x->right))
	{
		uint32_t left = x->left;

		x->left = x->right;
		x->right = left;
	}
	rank = rank_of(kind, x->right) + 1;
	if (rank == x->rank)
		return false;
	x->rank = rank;
	return true;
}

/* Goes no deeper than both ways to the right together are long. */
static uint32_t
merge(const tq_leftist *kind, uint32_t a, uint32_t b)
{
	tq_leftist_node *x;

	if (a == 0 || b == 0)
		return a != 0 ? a : b;
	if (kind->before(b, a))
	{
		uint32_t first = b;

		b = a;
		a = first;
	}
	x = kind->node(a);
	x->right = merge(kind, x->right, b);
	set_parent(kind, x->right, a);
	(void) order_children(kind, x);
	return a;
}

uint32_t
tq_leftist_insert(const tq_leftist *kind, uint32_t first, uint32_t n)
{
	*kind->node(n) = (tq_leftist_node){.rank = 1};
	first = merge(kind, first, n);
	set_parent(kind, first, 0);
	return first;
}

uint32_t
tq_leftist_remove(const tq_leftist *kind, uint32_t first, uint32_t n)
{
	const tq_leftist_node *gone = kind->node(n);
	uint32_t parent = gone->parent;
	uint32_t rest = merge(kind, gone->left, gone->right);

	set_parent(kind, rest, parent);
	if (parent == 0)
		return rest;
	if (kind->node(parent)->left == n)
		kind->node(parent)->left = rest;
	else
		kind->node(parent)->right = rest;
	/* Only the ways to the right that end here can have become shorter: at most log2 of them. */
	while (parent != 0 && order_children(kind, kind->node(parent)))
		parent = kind->node(parent)->parent;
	return first;
}
