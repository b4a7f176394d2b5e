/*
 * leftist.h
 *		Heaps whose nodes stand in an array that the caller owns.
 *
 * A leftist heap needs no memory besides its nodes, and each operation takes O(log n) steps at
 * worst, also the removal of a node from the middle.  So it can stand in shared memory, where an
 * operation happens under a lock: no operation is ever long.
 *
 * A node is a number, which is never 0; a heap is the number of its first node, 0 if it is empty.
 */
#ifndef TQ_LEFTIST_H
#define TQ_LEFTIST_H

#include <stdbool.h>
#include <stdint.h>

/* A part of each node. */
typedef struct tq_leftist_node
{
	uint32_t left;
	uint32_t right;
	uint32_t parent;
	uint32_t rank; /* the length of the way to the right */
} tq_leftist_node;

/* Where the nodes are, and their order. */
typedef struct tq_leftist
{
	tq_leftist_node *(*node)(uint32_t n);
	bool (*before)(uint32_t a, uint32_t b);
} tq_leftist;

/* Both return the new first node. */
extern uint32_t tq_leftist_insert(const tq_leftist *kind, uint32_t first, uint32_t n);
extern uint32_t tq_leftist_remove(const tq_leftist *kind, uint32_t first, uint32_t n);

#endif
