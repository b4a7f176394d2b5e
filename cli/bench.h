/*
 * bench.h
 *		bench: measures what a database does, in queues of its own.
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli/command.h"

extern const cli_command cli_bench;

#endif
