/*
 * setup.h
 *		setup: preloads the library and creates the extension.
 */
#ifndef CLI_SETUP_H
#define CLI_SETUP_H

#include "cli/command.h"

extern const cli_command cli_setup;

#endif
