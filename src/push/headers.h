/*
 * headers.h
 *		HTTP headers as jsonb objects: what submitters and administrators give.
 */
#ifndef TASKQ_HEADERS_H
#define TASKQ_HEADERS_H

#include "utils/jsonb.h"

/* TQ004: "what" cannot be used, for the reason "wrong". */
extern void invalid_request(const char *what, const char *wrong);

/* Whether it can stand in a request line or header as it is: ASCII alone. */
extern bool is_ascii(const char *value);

/* TQ004 unless the jsonb is an object of headers that a request may have. */
extern void headers_check(Datum headers);

/*
 * How many headers of the object have that name, in any case.  Unless value is NULL,
 * *value becomes the value of the last such header that is a string, palloc'd.
 */
extern int headers_find(const Jsonb *headers, const char *name, char **value);

#endif
