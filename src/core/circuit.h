/*
 * circuit.h
 *		Circuit breaker of a failing receiver: pure functions of (state, now).
 *
 * After TQ_CIRCUIT_FAILURES failures in a row nothing is sent for a pause, then one
 * request probes the receiver.  Each probe that fails doubles the pause; an answer
 * ends it.  A Retry-After holds requests back as well, whatever the circuit's state.
 * tq_health_of() decides what counts as a failure, an answer or neither.
 *
 * Requests are known by a number of the caller's, the id of a task, above 0.
 * Times are microseconds on any one clock that is positive.  The clock may be set
 * back: from the first look after that nothing waits longer than the longest pause,
 * or the longest Retry-After.
 */
#ifndef TQ_CIRCUIT_H
#define TQ_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/outcome.h"

#define TQ_CIRCUIT_FAILURES       10
#define TQ_CIRCUIT_FIRST_PAUSE_US INT64_C(5000000)
#define TQ_CIRCUIT_MAX_PAUSE_US   INT64_C(300000000)

typedef enum tq_circuit_phase
{
	TQ_CIRCUIT_CLOSED,   /* requests are sent; then OPEN */
	TQ_CIRCUIT_OPEN,     /* nothing is sent; then HALF_OPEN, or CLOSED by a late answer */
	TQ_CIRCUIT_HALF_OPEN /* a probe may be sent or is; then CLOSED or OPEN */
} tq_circuit_phase;

/* All zero: closed, nothing is known of the receiver. */
typedef struct tq_circuit
{
	int failures;               /* in a row; closed while fewer than TQ_CIRCUIT_FAILURES */
	int pauses;                 /* in a row */
	int64_t probe;              /* the request that probes; 0: none; -1: it is being chosen */
	int64_t open_until_us;      /* end of the pause, or of the time that the probe may take */
	int64_t throttled_until_us; /* end of a Retry-After */
} tq_circuit;

extern tq_circuit_phase tq_circuit_phase_of(const tq_circuit *c, int64_t now_us);

/* The moment until which nothing may be sent; at most now if something may be. */
extern int64_t tq_circuit_blocks_until(tq_circuit *c, int64_t now_us);

/*
 * Requests are chosen in three steps.  allow: how many of max may be sent now.
 * reserve, if any: while the circuit is not closed, no other is allowed until
 * probe_us have passed.  chosen: the first request that is sent, or 0 if none was
 * found; then another may probe at once.
 */
extern int tq_circuit_allow(tq_circuit *c, int max, int64_t now_us);
extern void tq_circuit_reserve(tq_circuit *c, int64_t probe_us, int64_t now_us);
extern void tq_circuit_chosen(tq_circuit *c, int64_t request, int64_t now_us);

/* A request was given up before it came to an end: if it was the probe, another may probe. */
extern void tq_circuit_released(tq_circuit *c, int64_t request, int64_t now_us);

/*
 * A request has ended.  A failure counts if the circuit was closed or the request was the probe;
 * those that were sent before the circuit opened do not lengthen the pause.
 */
extern void tq_circuit_note(tq_circuit *c, int64_t request, tq_health health, int64_t now_us);

/*
 * The receiver asked for a pause, 0 or less: it did not.  Of more than TQ_RETRY_AFTER_MAX_MS only
 * that is honoured.
 */
extern void tq_circuit_throttle(tq_circuit *c, int64_t retry_after_us, int64_t now_us);

#endif
