/*
 * jsonmake.h
 *		Makes JSON objects member by member.
 */
#ifndef TASKQ_JSONMAKE_H
#define TASKQ_JSONMAKE_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

/*
 * Each adds a member to the object that is being made, between WJB_BEGIN_OBJECT and
 * WJB_END_OBJECT.  A NULL string, and a text or jsonb that is 0, becomes null.  Times are in UTC,
 * as in JSON everywhere.
 */
extern void json_add(JsonbParseState **state, const char *name, JsonbValue *value);
extern void json_add_string(JsonbParseState **state, const char *name, const char *string);
extern void json_add_text(JsonbParseState **state, const char *name, Datum datum);
extern void json_add_number(JsonbParseState **state, const char *name, int64 number);
extern void json_add_time(JsonbParseState **state, const char *name, TimestampTz time);
extern void json_add_json(JsonbParseState **state, const char *name, Datum datum);

/* The value of a key; NULL: the object has no such key. */
extern JsonbValue *json_value_of(Jsonb *object, const char *name);

#endif
