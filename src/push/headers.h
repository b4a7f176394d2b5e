/*
 * headers.h
 *		HTTP headers of requests: as the jsonb objects that submitters and administrators pass, and
 *		values that name a queue or a task.
 */
#ifndef TASKQ_HEADERS_H
#define TASKQ_HEADERS_H

#define MAX_HEADERS_SIZE 32768 /* bytes of the jsonb */

#include "core/style.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "utils/jsonb.h"

/* Raises TQ004: the part of a request that is named "what" cannot be used, because of "wrong". */
extern void refuse_part(const char *what, const char *wrong);

/* Raises TQ004 unless the jsonb is an object of headers that a request of that style may have. */
extern void headers_check(Datum headers, tq_style style);

/*
 * Returns how many headers of the object have that name, in upper or lower case.  Unless value
 * is NULL, *value becomes the value of the last of them that is a string, palloc'd.
 */
extern int headers_find(const Jsonb *headers, const char *name, char **value);

/*
 * The name of a queue as a header value: bytes outside ASCII are percent-encoded.  The key of a
 * task: UTF-8, of which all but visible ASCII is percent-encoded.  palloc'd.
 */
extern char *header_queue_value(const Queue *queue);
extern char *header_key_value(const Row *task);

#endif
