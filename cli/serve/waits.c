/*
 * waits.c
 *		How long the tasks of a queue have waited: a histogram, and what was added to it.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cli/serve/waits.h"

waits
waits_read(const char *text)
{
	waits w = {.n = 0};
	char *end;

	while (w.n < WAITS_MAX)
	{
		w.bounds[w.n] = strtod(text, &end);
		if (end == text)
			break;
		w.counts[w.n++] = strtod(end, &end);
		text = end;
	}
	return w;
}

/* Counters begin anew when the server starts. */
static double
added(const waits *since, const waits *now, int i)
{
	bool anew = since->n != now->n || since->counts[now->n - 1] > now->counts[now->n - 1];

	return now->counts[i] - (anew ? 0 : since->counts[i]);
}

double
waits_quantile(const waits *since, const waits *now, double share)
{
	double wanted = now->n > 0 ? share * added(since, now, now->n - 1) : 0;
	double below = 0;
	double low = 0;
	int i;

	if (wanted <= 0)
		return -1;
	for (i = 0; i < now->n; i++)
	{
		double up_to = added(since, now, i);

		if (isinf(now->bounds[i]))
			break;
		if (up_to >= wanted)
			return low + (now->bounds[i] - low) * (wanted - below) / (up_to - below);
		below = up_to;
		low = now->bounds[i];
	}
	return low;
}
