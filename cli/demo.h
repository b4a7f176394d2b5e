/*
 * demo.h
 *		demo: shows what taskq does, in queues of its own.
 */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include "cli/command.h"

extern const cli_command cli_demo;

#endif
