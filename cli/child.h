/*
 * child.h
 *		A command as a process group of its own, with pipes; knows nothing of tasks.
 *
 * The end of a process is seen without reaping it: as long as it is a zombie, its number and that
 * of its group cannot be given to others.  So whatever it left behind in its group is killed first.
 * What makes a session of its own escapes, on purpose.
 */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "cli/lines.h"
#include "cli/outcome.h"
#include "core/buffer.h"

#define CHILD_MAX_LIMITS 16
#define CHILD_NFDS       4

typedef struct cli_limit
{
	int resource; /* of setrlimit() */
	rlim_t value;
} cli_limit;

/* What all commands of a worker have in common. */
typedef struct cli_surroundings
{
	const char *directory; /* NULL: that of the worker */
	bool has_user;         /* the next three are set */
	const char *user;
	uid_t uid;
	gid_t gid;
	int nice;
	cli_limit limits[CHILD_MAX_LIMITS];
	int nlimits;
	bool own_output;   /* the output goes to the worker's own */
	bool with_reply;   /* descriptor 3 is a pipe to the worker */
	bool with_lines;   /* the output is lines, and standard input stays open */
	size_t max_output; /* bytes of output that are kept */
	size_t max_line;   /* bytes of a line of output, or of descriptor 3 */
	size_t max_tail;   /* bytes of standard error that are kept */
} cli_surroundings;

/* The descriptors of a command, by their numbers there. */
enum
{
	CHILD_IN,
	CHILD_OUT,
	CHILD_ERROR,
	CHILD_REPLY
};

typedef struct cli_child
{
	const cli_surroundings *surroundings;
	pid_t pid;           /* 0: it was reaped */
	int fds[CHILD_NFDS]; /* ours; -1: closed */
	tq_buffer input;     /* what is still to be written begins at written */
	size_t written;
	bool input_ends;  /* close it when all is written */
	tq_buffer output; /* unless with_lines */
	cli_lines lines;  /* of the output, or of descriptor 3 */
	bool lines_too_long;
	cli_lines errors;
	tq_buffer tail;      /* the last bytes of standard error, at most twice max_tail */
	char last_line[256]; /* of standard error, that is not empty */
	int64_t started_ms;
	int64_t kill_at_ms;  /* of the next SIGKILL; 0: it is not being killed */
	int64_t close_at_ms; /* of pipes that somebody holds open after its end; 0: it lives */
	cli_exit end;        /* once it was reaped */
} cli_child;

/*
 * Starts a command with an environment.  Returns 0, or the errno for which it could not be started;
 * then nothing needs to be freed.
 */
extern int cli_child_start(cli_child *c, const cli_surroundings *surroundings, char **arguments,
						   char **environment);

/* Adds to what it reads.  False: no memory. */
extern bool cli_child_write(cli_child *c, const char *bytes, size_t len);

/* Ends its standard input, once all is written. */
extern void cli_child_end_input(cli_child *c);

/* The descriptors to wait for; returns their number, at most CHILD_NFDS. */
extern int cli_child_poll(const cli_child *c, struct pollfd *fds);

/* Writes and reads what can be without waiting. */
extern void cli_child_transfer(cli_child *c);

/* Sends a signal to its group; SIGKILL follows after a time, and then each second. */
extern void cli_child_kill(cli_child *c, int number, int64_t kill_after_ms);

/*
 * Sees to what is due: SIGKILL, the end of the process, that of its pipes.  True: it has ended and
 * all of its output was read.
 */
extern bool cli_child_step(cli_child *c);

/* When cli_child_step() is due again even if nothing happens; -1: never. */
extern int64_t cli_child_due_ms(const cli_child *c);

/* The end of standard error. */
extern cli_output cli_child_tail(const cli_child *c);

/* Closes and frees what it has; a process that lives is killed and reaped. */
extern void cli_child_free(cli_child *c);

#endif
