/*
 * test_leftist.c
 *		Heaps of nodes in an array, beside a plain search.
 */
#include <stdlib.h>

#include "core/leftist.h"
#include "unit.h"

#define N 3000

static tq_leftist_node nodes[N + 1];
static int keys[N + 1];
static bool in[N + 1];
static int steps;

static tq_leftist_node *
node(uint32_t n)
{
	return &nodes[n];
}

static bool
before(uint32_t a, uint32_t b)
{
	steps++;
	return keys[a] < keys[b];
}

static const tq_leftist kind = {node, before};

/* The number of nodes; -1: a rule is broken. */
static int
check(uint32_t n, uint32_t parent)
{
	int left;
	int right;
	uint32_t rank;

	if (n == 0)
		return 0;
	if (nodes[n].parent != parent || !in[n] || (parent != 0 && keys[n] < keys[parent]))
		return -1;
	left = check(nodes[n].left, n);
	right = check(nodes[n].right, n);
	rank = nodes[n].right == 0 ? 0 : nodes[nodes[n].right].rank;
	if (left < 0 || right < 0 || nodes[n].rank != rank + 1 ||
		(nodes[n].left == 0 ? 0 : nodes[nodes[n].left].rank) < rank)
		return -1;
	return left + right + 1;
}

static int
smallest(void)
{
	int least = -1;
	int i;

	for (i = 1; i <= N; i++)
	{
		if (in[i] && (least < 0 || keys[i] < least))
			least = keys[i];
	}
	return least;
}

/* Random inserts and removals, with keys[] up to this. */
static void
test_random(int max_key)
{
	uint32_t first = 0;
	bool good = true;
	int count = 0;
	int most = 0;
	int i;

	for (i = 0; i < 20000; i++)
	{
		uint32_t n = 1 + rand() % N;

		steps = 0;
		if (in[n])
			first = tq_leftist_remove(&kind, first, n);
		else
		{
			keys[n] = rand() % max_key;
			first = tq_leftist_insert(&kind, first, n);
		}
		in[n] = !in[n];
		count += in[n] ? 1 : -1;
		most = steps > most ? steps : most;
		if (i % 100 == 0)
			good = good && check(first, 0) == count &&
				   (first == 0 ? smallest() == -1 : keys[first] == smallest());
	}
	ok(good, "keys up to %d: the first node is the least, and the rules hold", max_key);
	ok(most <= 26, "no operation is long (%d comparisons)", most);
	while (first != 0)
	{
		in[first] = false;
		count--;
		first = tq_leftist_remove(&kind, first, first);
	}
	is_int(count, 0, "all come out");
}

static void
test_order(void)
{
	uint32_t first = 0;
	int last = -1;
	bool ascending = true;
	uint32_t n;

	for (n = 1; n <= N; n++)
	{
		keys[n] = N - n;
		in[n] = true;
		first = tq_leftist_insert(&kind, first, n);
	}
	is_int(check(first, 0), N, "descending keys");
	while (first != 0)
	{
		ascending = ascending && keys[first] > last;
		last = keys[first];
		in[first] = false;
		first = tq_leftist_remove(&kind, first, first);
	}
	ok(ascending, "come out in order");
}

int
main(void)
{
	srand(1);
	test_random(1000000);
	test_random(10);
	test_order();
	return done();
}
