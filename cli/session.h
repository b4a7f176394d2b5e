/*
 * session.h
 *		The connection of a command: one session; errors end the program.
 *
 * With --dry-run everything is one transaction, which is rolled back at the end.
 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <libpq-fe.h>

/* Connects at the first call.  Ends the program with status 4 or 5 if that is not possible. */
extern PGconn *cli_connection(void);

/* Ends it; the next one is to this database, and otherwise the same. */
extern void cli_session_switch(const char *dbname);

/* One more, with the same settings, the caller's to PQfinish(). */
extern PGconn *cli_another_connection(void);

/*
 * From now on a statement may take as long as it likes: --timeout is of a wait.  Before the first
 * call of cli_connection() the session begins so.
 */
extern void cli_session_without_limit(void);

/* Runs a statement; values are texts.  Returns its result, also if that is an error. */
extern PGresult *cli_try(const char *sql, int nvalues, const char *const *values);

/* From now on tick() is called some times a second while a statement runs. */
extern void cli_session_watch(void (*tick)(void));

/* Whether a statement has failed with that SQLSTATE. */
extern bool cli_has_code(const PGresult *result, const char *code);

/* Has the server read the value as one of this type; an error says what is wrong with it. */
extern PGresult *cli_read_as(Oid type, const char *value);

/* Ends a transaction that an error has aborted, so that more can be asked. */
extern void cli_session_recover(void);

/* Rolls back what a dry run did, and disconnects.  Returns status. */
extern int cli_session_end(int status);

#endif
