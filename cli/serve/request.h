/*
 * request.h
 *		A request comes and goes: which route it is, who asks, and what its body says.
 */
#ifndef CLI_SERVE_REQUEST_H
#define CLI_SERVE_REQUEST_H

#include "cli/serve/http.h"

/* For http_handlers, whose argument is the gateway. */
extern size_t request_begin(void *gateway, http_request *r);
extern void request_handle(void *gateway, http_request *r);
extern void request_end(void *gateway, http_request *r);

#endif
