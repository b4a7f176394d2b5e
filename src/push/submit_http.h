/*
 * submit_http.h
 *		Templates of HTTP requests.
 */
#ifndef TASKQ_SUBMIT_HTTP_H
#define TASKQ_SUBMIT_HTTP_H

#include "life/template.h"

/* Templates with the key "url", and with the key "endpoint". */
extern const TemplateTarget submit_to_url;
extern const TemplateTarget submit_to_endpoint;

#endif
