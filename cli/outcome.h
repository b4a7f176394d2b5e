/*
 * outcome.h
 *		What the end of a command means for its task: pure functions.
 *
 * Texts are the caller's to free; NULL: out of memory.
 */
#ifndef CLI_OUTCOME_H
#define CLI_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* What its output becomes. */
typedef enum cli_result_mode
{
	RESULT_AUTO, /* JSON if it is one JSON text, else a JSON string; nothing if it is empty */
	RESULT_JSON, /* JSON, or the task has failed */
	RESULT_TEXT, /* a JSON string */
	RESULT_NONE
} cli_result_mode;

typedef struct cli_output
{
	const char *bytes;
	size_t len;
	bool cut; /* there were more */
} cli_output;

/* How a command ended. */
typedef struct cli_exit
{
	int status; /* as wait() returns it */
	int64_t ms;
	struct rusage usage;
} cli_exit;

/*
 * The output as a result: JSON, or NULL for none.  False: it is none, and *mistake says why; or
 * there is no memory, and *mistake is NULL.
 */
extern bool cli_outcome_result(cli_result_mode mode, cli_output output, char **result,
							   const char **mistake);

/* "exit status 3: LAST LINE" or "ended by signal 11 (SEGV)".  line: may be empty. */
extern char *cli_outcome_error(int status, const char *line);

/* The detail of a failed attempt.  errors: the end of standard error; NULL: left out. */
extern char *cli_outcome_detail(const cli_exit *end, const cli_output *errors);

#endif
