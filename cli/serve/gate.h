/*
 * gate.h
 *		Statements as other roles: each is a transaction of its own, in one round trip.
 *
 * What is sent is one pipeline: set_config() of the role and of the application's name for this
 * transaction, the statement, and a sync.  Without a transaction block nothing of it is left
 * afterwards, and an error ends nothing else.
 *
 * The role of the connection may do nothing itself, not even find the functions of the extension.
 * So a statement is prepared within the first transaction of a connection that uses it.
 */
#ifndef CLI_SERVE_GATE_H
#define CLI_SERVE_GATE_H

#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define GATE_MAX_CONNECTIONS 64
#define GATE_MAX_VALUES      32
#define GATE_MAX_STATEMENTS  128

typedef struct gate gate;

typedef struct gate_statement
{
	const char *name;
	const char *sql;
	int nvalues;
	unsigned binary; /* a bit for each value that is bytes and not text */
} gate_statement;

typedef enum gate_end
{
	GATE_DONE,
	GATE_ERROR,    /* the result is the error; nothing was done */
	GATE_NOT_SENT, /* there is no connection; nothing was done */
	GATE_UNKNOWN   /* the connection was lost: it may have been done or not */
} gate_end;

/* The result is valid during the call; NULL unless GATE_DONE or GATE_ERROR. */
typedef void gate_taker(void *arg, gate_end end, const PGresult *result);

/* Owner's memory, which with all that it points to must be there until take() is called. */
typedef struct gate_call
{
	const gate_statement *statement;
	const char *role;
	const char *application;
	const char *values[GATE_MAX_VALUES];
	int lengths[GATE_MAX_VALUES]; /* of values that are bytes */
	gate_taker *take;
	void *arg;

	/* Of gate.c. */
	struct gate_call *next;
	int64_t queued_ms;
	bool prepares;
	PGresult *result;
	PGresult *failure;
	int nresults;
} gate_call;

typedef struct gate_options
{
	const char *conninfo;
	int connections;
	int max_queued;
	void (*log)(const char *line);
} gate_options;

/* NULL: out of memory. */
extern gate *gate_new(const gate_options *options);

/* False: too many wait already, and take() is not called. */
extern bool gate_send(gate *g, gate_call *call);

/* How many wait for a connection. */
extern int gate_queued(const gate *g);

/* Whether a connection is up. */
extern bool gate_is_up(gate *g);

/* At most GATE_MAX_CONNECTIONS; returns their number. */
extern int gate_poll(const gate *g, struct pollfd *fds);
extern int64_t gate_timeout(const gate *g);

/* Goes on with what is under way; calls takers. */
extern void gate_step(gate *g);

/* Ends all that is under way, and takes no more. */
extern void gate_stop(gate *g);

/* Nothing may be under way.  g may be NULL. */
extern void gate_free(gate *g);

#endif
