/*
 * connection.h
 *		A connection to the database that is made again whenever it is lost.
 *
 * Connecting never blocks: the owner waits for the descriptor with poll() and calls
 * tq_connection_step().  On each new connection the session's settings are fixed, so that
 * those of a role or a database do not reach it, and the statements are prepared; that
 * does not block either.  A server that does not answer any of it in 5 s is given up.
 * Statements that the owner runs do block, for at most the session's statement_timeout
 * and the time that TCP takes to notice a peer that is gone.
 *
 * Log lines never contain a password or a value: of the messages of libpq and the
 * server only the first line, without detail or context, and printable ASCII of it.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct tq_connection tq_connection;

/* Prepared under its name on each connection; the server finds out the types of its parameters. */
typedef struct tq_statement
{
	const char *name;
	const char *sql;
	int nparameters;
} tq_statement;

/* Everything in it must outlive the connection. */
typedef struct tq_connection_config
{
	const char *conninfo;          /* a libpq connection string or URI */
	const char *program;           /* application_name, if conninfo has none */
	const char *statement_timeout; /* of the session, as SET takes it; likewise the next */
	const char *lock_timeout;
	const char *session_sql;        /* one more statement of each new session; NULL: none */
	const tq_statement *statements; /* nstatements */
	int nstatements;

	/*
	 * What else a new connection needs before it is used: it may run statements and
	 * listen.  False: it failed, and the connection is given up.
	 */
	bool (*prepare)(tq_connection *c, void *arg);
	void (*notified)(const char *channel, void *arg); /* of each notification; may be NULL */
	void *arg;
	void (*log)(const char *line); /* a state change: one line */
	bool once;                     /* the owner tries only once to connect */
} tq_connection_config;

/* Does not connect yet.  NULL: out of memory. */
extern tq_connection *tq_connection_new(const tq_connection_config *config);

/* The descriptor to wait for, -1 if none, and the events of poll(). */
extern int tq_connection_fd(const tq_connection *c, short *events);

/* Milliseconds until tq_connection_step() is due even if nothing happens; -1: never. */
extern int64_t tq_connection_timeout(const tq_connection *c);

/*
 * Connects, again where need be, and reads notifications.  True: there was a
 * notification, or the connection is new, so that some may have been missed.
 */
extern bool tq_connection_step(tq_connection *c);

/* Whether the last try to connect, or a connection, has failed, and no other has worked since. */
extern bool tq_connection_has_failed(const tq_connection *c);

/* Whether statements can be run now.  A connection that broke is noticed, and is down. */
extern bool tq_connection_is_up(tq_connection *c);

/*
 * Runs a statement by its number in the configuration.  Values are in text form, the rows in
 * binary form.  The result, of any number of rows, is the caller's: PQclear().  NULL: there is no
 * connection, or the statement failed and the log says why.
 */
extern PGresult *tq_connection_run(tq_connection *c, int statement, const char *const *values);

/* Listens to a channel, until the connection is lost.  False: it failed and the log says why. */
extern bool tq_connection_listen(tq_connection *c, const char *channel);

/*
 * Begins to listen, and does not wait for the answer: until tq_connection_step() has taken it the
 * connection is busy, and nothing else is done on it.  False: it failed and the log says why.
 */
extern bool tq_connection_start_listen(tq_connection *c, const char *channel);
extern bool tq_connection_is_busy(const tq_connection *c);

/*
 * For pipelines: libpq's connection, NULL if there is none.  After an error on it the
 * owner calls one of the next two, or tq_connection_is_up().
 */
extern PGconn *tq_connection_raw(tq_connection *c);

/* Says in the log why a statement failed, unless that was the last thing said. */
extern void tq_connection_complain(tq_connection *c, const PGresult *result);

/* Gives the connection up, for a reason that the log tells. */
extern void tq_connection_drop(tq_connection *c, const char *reason);

/* c may be NULL. */
extern void tq_connection_free(tq_connection *c);

#endif
