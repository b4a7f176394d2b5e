/*
 * lines.h
 *		Who is sent next: those that wait stand in a line for each host.
 *
 * A host may have so many requests under way and no more, and the lines of
 * hosts that may have another are served in turn.  So a host that hangs keeps
 * no other waiting, however many requests wait for it.
 */
#ifndef TQ_LINES_H
#define TQ_LINES_H

#include <stdbool.h>

typedef struct tq_lines tq_lines;
struct tq_line;

/* Who stands in a line; part of the caller's own struct, which is found by it. */
typedef struct tq_place
{
	struct tq_line *line; /* NULL: in none */
	struct tq_place *prev;
	struct tq_place *next;
	bool under_way; /* else it waits */
} tq_place;

/* NULL: out of memory. */
extern tq_lines *tq_lines_new(void);

/* The most that are under way: in all, and for one host. */
extern void tq_lines_set_limits(tq_lines *l, int max, int max_per_host);

/*
 * Takes the last place in the line of the host that the URL names.  Spellings of a name that
 * differ in case, or by a final dot, are one host; ports are not looked at.  False: out of memory.
 */
extern bool tq_lines_enter(tq_lines *l, tq_place *p, const char *url);

/* Whose turn it is, who is under way from now on; NULL: nobody who waits may start. */
extern tq_place *tq_lines_next(tq_lines *l);

/* p has ended, or waits no more. */
extern void tq_lines_leave(tq_lines *l, tq_place *p);

/* How many are under way. */
extern int tq_lines_under_way(const tq_lines *l);

/* Nobody may stand in a line any more, but places need not have been left. */
extern void tq_lines_free(tq_lines *l);

#endif
