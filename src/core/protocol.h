/*
 * protocol.h
 *		What a store and the database tell each other: statements and their values.
 *
 * The same for the background worker, which runs the statements through SPI, and
 * for a program, which sends them over a connection; sql/62_push.sql has the other
 * side.  All names are qualified, so the search path does not matter.
 *
 * Two arguments are common to the statements: the names of the queues to serve
 * (NULL: all that the session may serve) and the name of the worker (NULL: the
 * executor inside the server, which serves the other kind of queues).
 */
#ifndef TQ_PROTOCOL_H
#define TQ_PROTOCOL_H

#include <stdbool.h>

#include "core/outcome.h"
#include "core/response.h"
#include "core/store.h"

#define TQ_MAX_WORKER_NAME 57 /* bytes, none of them a control character */

/*
 * Arguments: the most tasks to claim, queues, worker.  A row for each claimed task: below.  In a
 * database that is not armed there is none.
 */
#define TQ_SQL_CLAIM                                                 \
	"select id, token, lease_ms, timeout_ms, method, url, "          \
	"pg_catalog.array_to_string(headers, pg_catalog.chr(10)), body " \
	"from taskq_private.push_claim($1, $2, $3)"

/* The columns of a claimed task, counted from 0. */
typedef enum tq_claim_column
{
	TQ_CLAIM_ID,
	TQ_CLAIM_TOKEN,
	TQ_CLAIM_LEASE_MS,
	TQ_CLAIM_TIMEOUT_MS,
	TQ_CLAIM_METHOD,
	TQ_CLAIM_URL,
	TQ_CLAIM_HEADERS, /* "Name: value" lines separated by LF */
	TQ_CLAIM_BODY,    /* bytes; NULL: none */
	TQ_CLAIM_NCOLUMNS
} tq_claim_column;

/*
 * Arguments: queues, worker.  One row: milliseconds until a claim may find more, NULL if that is
 * not known; whether tasks are due that wait for others to end; whether the database is armed,
 * NULL if it never was.
 */
#define TQ_SQL_NEXT_DUE "select next_ms, limited, armed from taskq_private.push_next_due($1, $2)"

typedef enum tq_next_due_column
{
	TQ_NEXT_DUE_MS,
	TQ_NEXT_DUE_LIMITED,
	TQ_NEXT_DUE_ARMED,
	TQ_NEXT_DUE_NCOLUMNS
} tq_next_due_column;

/* Argument: queues.  A row for each queue that is served: its name. */
#define TQ_SQL_QUEUES "select taskq_private.push_queues($1)"

/*
 * One result.  One boolean: whether it was stored, false if the lease was lost; NULL: another
 * session holds the task at this moment, report it again later.
 */
#define TQ_SQL_REPORT \
	"select taskq_private.push_report($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"

/* Its arguments in order, counted from 0. */
typedef enum tq_report_argument
{
	TQ_REPORT_ID,
	TQ_REPORT_TOKEN,
	TQ_REPORT_VERDICT, /* tq_verdict_name() */
	TQ_REPORT_CLASS,   /* tq_class_name() */
	TQ_REPORT_STATUS,  /* 100 to 999; NULL: none was received */
	TQ_REPORT_HEADERS, /* bytes as they came, at most TQ_RESPONSE_HEADERS; NULL: none */
	TQ_REPORT_BODY,    /* bytes, at most TQ_RESPONSE_MAX; NULL: none */
	TQ_REPORT_TRUNCATED,
	TQ_REPORT_ELAPSED,
	TQ_REPORT_ERROR,       /* tq_text_printable(); NULL: none */
	TQ_REPORT_RETRY_AFTER, /* NULL: none */
	TQ_REPORT_TIMES,       /* tq_times_json() */
	TQ_REPORT_NARGUMENTS
} tq_report_argument;

/*
 * Arguments: ids, their tokens, and, for a release, a delay.  A row for each lease that was lost,
 * or that could not be released because another session holds the task at this moment: its id.
 */
#define TQ_SQL_EXTEND  "select taskq_private.push_extend($1, $2)"
#define TQ_SQL_RELEASE "select taskq_private.push_release($1, $2, $3)"

/*
 * The same for many results: an array for each argument, of one length.  An array of what
 * TQ_SQL_REPORT returns.
 */
#define TQ_FUNCTION_REPORT_MANY "push_report_many"
#define TQ_SQL_REPORT_MANY                                                                       \
	"select taskq_private." TQ_FUNCTION_REPORT_MANY "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, " \
	"$11, $12)"

/* How many of these results go into one call: not too many bytes, and one at least. */
extern int tq_results_together(const tq_result *results, int n);

extern const char *tq_verdict_name(tq_verdict verdict);

#define TQ_TIMES_JSON_SIZE 160

/* Writes {"dns": "1234 us", ...}: the phases that the exchange has reached. */
extern void tq_times_json(const tq_times *times, char json[TQ_TIMES_JSON_SIZE]);

/* The field of that name, or NULL; and a time as tq_times_json() writes it, or -1. */
extern int64_t *tq_times_field(tq_times *times, const char *name, size_t len);
extern int64_t tq_times_us(const char *value, size_t len);

/* Whether a statement that failed with this SQLSTATE may work later without being changed. */
extern bool tq_sqlstate_may_pass(const char *sqlstate);

#endif
