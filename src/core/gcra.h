/*
 * gcra.h
 *		Limit of starts in a time: pure functions of (state, limit, now).
 *
 * The state is one number, the theoretical arrival time (TAT): the moment at which the next start
 * would be due if all starts kept to the rate exactly.  This is the generic cell rate algorithm of
 * ITU-T recommendation I.371.  In any time of length L, at most burst + L / interval start.
 *
 * Times are nanoseconds on a clock that is never set back: tq_clock_ns().
 */
#ifndef TQ_GCRA_H
#define TQ_GCRA_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tq_gcra_limit
{
	int64_t interval_ns; /* between two starts; 0: no limit */
	int64_t burst_ns;    /* how much earlier the last one of a burst may start */
} tq_gcra_limit;

/* "rate" starts in per_us, of which "burst" may start at once.  rate <= 0: no limit. */
extern tq_gcra_limit tq_gcra_limit_of(double rate, int64_t per_us, int burst);

/* The state of a bucket that is as full, or as empty, as it can be. */
extern int64_t tq_gcra_full(void);
extern int64_t tq_gcra_empty(const tq_gcra_limit *limit, int64_t now_ns);

/* Whether an empty bucket takes more than ten seconds to fill. */
extern bool tq_gcra_is_slow(const tq_gcra_limit *limit);

/* Whether it is full: nothing need be remembered of it. */
extern bool tq_gcra_is_full(int64_t tat_ns, int64_t now_ns);

/* The moment from which on one may start; at most now if it may start now. */
extern int64_t tq_gcra_opens(int64_t tat_ns, const tq_gcra_limit *limit);

/* How many may start now, up to max. */
extern int tq_gcra_room(int64_t tat_ns, const tq_gcra_limit *limit, int max, int64_t now_ns);

/* The state after n starts, which there was room for. */
extern int64_t tq_gcra_take(int64_t tat_ns, const tq_gcra_limit *limit, int n, int64_t now_ns);

/* The state when n of these starts have not happened. */
extern int64_t tq_gcra_give_back(int64_t tat_ns, const tq_gcra_limit *limit, int n);

#endif
