/*
 * protocol.h
 *		What a store says to the database: statements, and values as they go in.
 *
 * The same for the background worker, which runs them through SPI, and for the
 * standalone program, which sends them over a connection: sql/62_push.sql has
 * the other side.  Everything is qualified, so that no search_path matters.
 */
#ifndef TQ_PROTOCOL_H
#define TQ_PROTOCOL_H

#include <stdbool.h>

#include "core/deliver.h"

/* No row, or NULL: never armed. */
#define TQ_SQL_ARMED "select taskq_private.armed()"

/* max tasks, queues (NULL: all), name of the worker */
#define TQ_SQL_CLAIM                                                 \
	"select id, token, lease_ms, timeout_ms, method, url, "          \
	"pg_catalog.array_to_string(headers, pg_catalog.chr(10)), body " \
	"from taskq_private.push_claim($1, $2, $3)"

/* queues, name of the worker; milliseconds, or NULL, and whether some wait for others to end */
#define TQ_SQL_NEXT_DUE "select next_ms, limited from taskq_private.push_next_due($1, $2)"

/* queues; the names of those that are served */
#define TQ_SQL_QUEUES "select taskq_private.push_queues($1)"

/*
 * id, token, verdict, class, status, headers, body, truncated, elapsed, error,
 * retry after, times
 */
#define TQ_SQL_REPORT \
	"select taskq_private.push_report($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"

/* ids, tokens, and a delay; the ids of lost leases, and of those that could not be released now */
#define TQ_SQL_EXTEND  "select taskq_private.push_extend($1, $2)"
#define TQ_SQL_RELEASE "select taskq_private.push_release($1, $2, $3)"

extern const char *tq_verdict_name(tq_verdict verdict);

#define TQ_TIMES_JSON_SIZE 160

/* {"dns": "1234 us", ...}: the phases that the exchange has come through. */
extern void tq_times_json(const tq_times *times, char json[TQ_TIMES_JSON_SIZE]);

/* Copies an error such that it is valid in every encoding, whatever the peer put into it. */
extern void tq_printable(const char *text, char *copy, size_t size);

/* Takes lines separated by LF as the task's headers.  False: out of memory. */
extern bool tq_task_set_headers(tq_task *task, const char *lines);

/* Whether what failed with this SQLSTATE may work later without being changed. */
extern bool tq_sqlstate_may_pass(const char *sqlstate);

#endif
