/*
 * answer.h
 *		Converts the headers and times of an HTTP answer to the form in which they are stored.
 */
#ifndef TASKQ_ANSWER_H
#define TASKQ_ANSWER_H

/*
 * Returns raw header lines as jsonb: {"name": "value", "repeated name": ["value", ...]}, names in
 * lower case.  Bytes that are not valid in the database's encoding become '?'.
 */
extern Datum answer_headers(const bytea *raw);

/* Times, a jsonb with an interval for each phase, as tq_times_json() writes them; TQ004, TQ006. */
extern Datum answer_times(Datum value);

#endif
