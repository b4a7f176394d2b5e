/*
 * quiet.h
 *		Looks that would find nothing again, and how long the executor may sleep.
 */
#ifndef TASKQ_QUIET_H
#define TASKQ_QUIET_H

/*
 * A look that found nothing would find nothing again until a transaction ends anywhere in the
 * cluster, the system clock is set, or the time comes that the look has reported.  It is not
 * repeated before.
 */
typedef struct Quiet
{
	uint64 changes; /* what the caller has read before the look */
	int64 until;    /* on the monotonic clock */
	int64 due_at;   /* the time that the look has reported; -1: none */
} Quiet;

/*
 * Numbers that grow with each change.  The caller reads one of them before the look.
 * quiet_changes() is for looks at rows, hints and the clock, quiet_row_changes() for looks at rows.
 */
extern uint64 quiet_changes(void);
extern uint64 quiet_row_changes(void);

/* After a look that found nothing and reported something in next_ms; -1: it reported nothing. */
extern Quiet quiet_after(uint64 changes, int64 next_ms);

/*
 * changes: the number now.  True: the look need not be repeated; *next_ms is the rest of the time
 * that it reported, -1: none.
 */
extern bool still_quiet(const Quiet *quiet, uint64 changes, int64 *next_ms);

/* For how long quiet_changes() has been the same, as far as this function was called meanwhile. */
extern int64 quiet_for_ms(void);

/*
 * How long the executor may sleep although a poll is due, because a commit that gives it something
 * to do wakes it; 0: it must poll.
 */
extern int64 quiet_sleep_ms(void);

/*
 * Around a sleep that is longer than the poll interval.  False: the executor must poll.  The other
 * two functions return whether something has changed since then.
 */
extern bool quiet_begin_sleep(void);
extern bool quiet_has_changed(void);
extern bool quiet_end_sleep(void);
#endif
