/*
 * breaker.h
 *		Stops claiming after many failures in a row, so that a broken command does not use up the
 *		attempts of a whole queue.
 *
 * As the circuits of endpoints do: after a pause one task is tried; a success closes the breaker,
 * a failure doubles the pause.  A time is milliseconds on the monotonic clock.
 */
#ifndef CLI_BREAKER_H
#define CLI_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cli_breaker
{
	int limit;    /* failures in a row that open it; 0: they never do */
	int failures; /* in a row */
	int64_t pause_ms;
	int64_t until_ms; /* the end of the pause */
	bool open;        /* or half open, after the pause */
} cli_breaker;

extern void cli_breaker_init(cli_breaker *b, int limit);

/* True: the success has closed the breaker. */
extern bool cli_breaker_success(cli_breaker *b);

/* True: the failure has opened the breaker, or it stays open.  hard: whatever the limit. */
extern bool cli_breaker_failure(cli_breaker *b, int64_t now_ms, bool hard);

/* How many tasks may be claimed while so many run: wanted, one, or none. */
extern int cli_breaker_allows(const cli_breaker *b, int64_t now_ms, int wanted, int running);

/* Milliseconds to the end of the pause; -1: there is none. */
extern int64_t cli_breaker_left(const cli_breaker *b, int64_t now_ms);

#endif
