/*
 * jsonmake.c
 *		Makes JSON objects member by member.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "base/jsonmake.h"

void
json_add(JsonbParseState **state, const char *name, JsonbValue *value)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = pstrdup(name);
	key.val.string.len = strlen(name);
	(void) pushJsonbValue(state, WJB_KEY, &key);
	(void) pushJsonbValue(state, WJB_VALUE, value);
}

void
json_add_string(JsonbParseState **state, const char *name, const char *string)
{
	JsonbValue value = {.type = jbvNull};

	if (string != NULL)
	{
		value.type = jbvString;
		value.val.string.val = unconstify(char *, string);
		value.val.string.len = strlen(string);
	}
	json_add(state, name, &value);
}

void
json_add_text(JsonbParseState **state, const char *name, Datum datum)
{
	json_add_string(state, name, datum != 0 ? TextDatumGetCString(datum) : NULL);
}

void
json_add_number(JsonbParseState **state, const char *name, int64 number)
{
	JsonbValue value = {.type = jbvNumeric};

	value.val.numeric = int64_to_numeric(number);
	json_add(state, name, &value);
}

void
json_add_time(JsonbParseState **state, const char *name, TimestampTz time)
{
	char *text = palloc(MAXDATELEN + 1);
	int utc = 0;

	json_add_string(state, name,
					JsonEncodeDateTime(text, TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc));
}

void
json_add_json(JsonbParseState **state, const char *name, Datum datum)
{
	JsonbValue value = {.type = jbvNull};

	if (datum != 0)
	{
		Jsonb *json = DatumGetJsonbP(datum);

		value.type = jbvBinary;
		value.val.binary.data = &json->root;
		value.val.binary.len = VARSIZE(json) - VARHDRSZ;
	}
	json_add(state, name, &value);
}

JsonbValue *
json_value_of(Jsonb *object, const char *name)
{
	return getKeyJsonValueFromContainer(&object->root, name, strlen(name), NULL);
}
