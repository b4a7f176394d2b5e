/*
 * wait.h
 *		wait: until tasks have ended.
 */
#ifndef CLI_WAIT_H
#define CLI_WAIT_H

#include "cli/command.h"

extern const cli_command cli_wait;

/*
 * Waits until a task has ended, at most that long (NULL: for ever), and prints its result, or the
 * answer to its request.
 */
extern int cli_wait_and_print(const char *id, const char *timeout, bool answer);

#endif
