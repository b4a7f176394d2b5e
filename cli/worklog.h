/*
 * worklog.h
 *		The log of a worker: one line an event, as text or JSON; never a payload.
 */
#ifndef CLI_WORKLOG_H
#define CLI_WORKLOG_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/command.h"
#include "cli/job.h"

/* Which events are told. */
typedef enum cli_log_level
{
	LOG_QUIET, /* what is out of the ordinary */
	LOG_USUAL, /* the end of each task as well */
	LOG_VERBOSE
} cli_log_level;

/* The events of a task, and of the worker, that a log may tell in other words. */
typedef enum cli_event
{
	EVENT_ACQUIRED,
	EVENT_STARTED,
	EVENT_EXTENDED, /* its lease, until that time */
	EVENT_FINISHED,
	EVENT_FAILED,  /* with that error */
	EVENT_EXPIRED, /* it is older than the worker's limit */
	EVENT_CANCELLED,
	EVENT_KILLING, /* for that reason */
	EVENT_STOPPING /* the worker; there is no job */
} cli_event;

/* what: as it stands above; else NULL. */
typedef void cli_log_teller(cli_event event, const cli_job *job, const char *what);

/* path: NULL for standard error.  False: it cannot be opened, see errno. */
extern bool cli_log_open(const char *path, bool json, cli_log_level level);

/* The same by the options --log and --log-format.  Ends the program if it cannot be opened. */
extern void cli_log_begin(const cli_call *call);

/* Opens the file again, for example after it was renamed. */
extern void cli_log_reopen(void);

/* An event, of a task or not (NULL). */
extern void cli_log(const cli_job *job, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same, only from a level on. */
extern void cli_log_at(cli_log_level level, const cli_job *job, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* From now on these events are told by a function. */
extern void cli_log_tell(cli_log_teller *teller);

/* False: there is no such function, and the caller tells the event. */
extern bool cli_log_told(cli_event event, const cli_job *job, const char *what);

/* An event in one line, for client/connection.h. */
extern void cli_log_text(const char *line);

/* A line of the standard error of a command.  Control characters become '?'. */
extern void cli_log_errors(const cli_job *job, const char *line, size_t len);

#endif
