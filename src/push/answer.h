/*
 * answer.h
 *		The headers of an HTTP answer as they are stored.
 */
#ifndef TASKQ_ANSWER_H
#define TASKQ_ANSWER_H

/*
 * Raw header lines as jsonb: {"name": "value", "name of several": ["value", ...]}, names in
 * lower case.  Bytes that are not valid in the database's encoding become '?'.
 */
extern Datum answer_headers(const bytea *raw);

#endif
