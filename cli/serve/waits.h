/*
 * waits.h
 *		How long the tasks of a queue have waited: a histogram, and what was added to it.
 */
#ifndef CLI_SERVE_WAITS_H
#define CLI_SERVE_WAITS_H

#define WAITS_MAX 32

/* For each bound in ascending order, how many tasks have waited so long at most. */
typedef struct waits
{
	int n;
	double bounds[WAITS_MAX]; /* seconds; the last one may be infinity */
	double counts[WAITS_MAX];
} waits;

/* From pairs of numbers, all separated by blanks; n is 0 if text is empty. */
extern waits waits_read(const char *text);

/*
 * The time within which that share of the tasks had waited that were added since: estimated in
 * seconds, as if they lay evenly between two bounds; no more than the last bound.  -1: none was.
 */
extern double waits_quantile(const waits *since, const waits *now, double share);

#endif
