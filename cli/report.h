/*
 * report.h
 *		What the program says beside its output: errors, notes, questions; and how it ends.
 *
 * Errors and notes go to standard error.  With --json and --ndjson an error is a JSON object.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <libpq-fe.h>
#include <stdbool.h>

/* For a value that PostgreSQL cannot read. */
#define HINT_DURATION "A duration is as PostgreSQL has it: '90 s', '1 h 30 min', '2 days'."
#define HINT_TIME     "A time is as PostgreSQL has it: '2026-01-02 10:04', 'yesterday', 'now'."

/* The command whose --help is named in messages; NULL: none yet. */
extern void cli_report_command(const char *name);

/* A mistake in the arguments: ends the program with status 2. */
extern void cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Any other error that has no SQLSTATE.  hint may be NULL. */
extern void cli_fail(int status, const char *hint, const char *format, ...)
	__attribute__((format(printf, 3, 4), noreturn));

/* What the database refused.  Returns the exit status for it. */
extern int cli_report_error(const PGresult *result, const char *own_hint);

/* Unless --quiet. */
extern void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Returns if --yes or --dry-run is given or the question is answered with yes.  Without a terminal
 * it ends the program with status 2.
 */
extern void cli_confirm(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A copy that is never freed; ends the program if there is no memory. */
extern char *cli_copy(const char *text);

/* The name that is most like a wrong one: begin with {.wrong = NAME}, and try all there are. */
typedef struct cli_nearest
{
	const char *wrong;
	const char *best; /* NULL: none is like it */
	int edits;        /* a letter added, dropped or changed, or two neighbours swapped */
} cli_nearest;

/* True: it is the best so far. */
extern bool cli_nearest_try(cli_nearest *n, const char *name);

#endif
