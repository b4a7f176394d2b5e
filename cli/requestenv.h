/*
 * requestenv.h
 *		The environment of the command that answers a request.
 */
#ifndef CLI_REQUESTENV_H
#define CLI_REQUESTENV_H

#include "cli/runner.h"
#include "cli/serve/http.h"

/* What all of them get: the program's own, without what looks like a part of a request. */
extern void cli_requestenv_begin(cli_runner_options *o);

/*
 * That and what the request tells: REQUEST_METHOD, REQUEST_URI, CONTENT_TYPE and its headers as CGI
 * names them, and what taskq says of its task as taskq work names it.  A header whose name has an
 * underscore is left out, since another one may look the same.  NULL: no memory.
 */
extern char **cli_requestenv_make(const cli_runner_options *o, const http_request *r);

extern void cli_requestenv_free(const cli_runner_options *o, char **environment);

#endif
