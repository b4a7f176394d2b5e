/*
 * endpointtest.h
 *		endpoint test: sends one request, and shows what became of it.
 */
#ifndef CLI_ENDPOINTTEST_H
#define CLI_ENDPOINTTEST_H

#include "cli/command.h"

/* For cli_command.run of "endpoint test", whose entry is in admin.c. */
extern int cli_test_endpoint(cli_call *call);

#endif
