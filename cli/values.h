/*
 * values.h
 *		Values of options that are a choice or a duration.
 *
 * What is wrong with one ends the program with status 2.
 */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"

/* Whether an option without a value was given, and not switched off again by a file. */
extern bool cli_is_on(const cli_call *call, const char *option);

/* Which of the names the value of an option is; the first one if it was not given. */
extern int cli_choice(const cli_call *call, const char *option, const char *const *names, int n);

/* A duration in milliseconds, as the server reads it; fallback if it was not given. */
extern int64_t cli_duration_ms(const cli_call *call, const char *option, int64_t fallback);

/* The same for one that the database gets: checked, and returned as it was written; or NULL. */
extern const char *cli_duration_text(const cli_call *call, const char *option);

#endif
