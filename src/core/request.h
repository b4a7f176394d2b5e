/*
 * request.h
 *		What a request is made of, checked and taken apart: private to core.
 *
 * The public part, tq_url_invalid() and its like, stands in http.h.
 */
#ifndef TQ_REQUEST_H
#define TQ_REQUEST_H

#include <curl/curl.h>

#include "core/egress.h"
#include "core/names.h"

/* A parsed URL.  The handle drives the transfer, so what is resolved is what is asked. */
typedef struct tq_url
{
	CURLU *handle;              /* owned: curl_url_cleanup() */
	char host[TQ_MAX_HOST + 1]; /* without brackets */
	char port[6];
} tq_url;

/* NULL, or a static text saying what is wrong; then there is nothing to free. */
extern const char *tq_url_parse(const char *text, tq_url *url);

extern const char tq_out_of_memory[];

/* As tq_header_invalid(), for a whole "Name: value" line. */
extern const char *tq_header_line_invalid(const char *line);

#endif
