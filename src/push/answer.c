/*
 * answer.c
 *		The headers of an HTTP answer as they are stored.
 */
#include "postgres.h"

#include <inttypes.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "push/answer.h"

#define MAX_RESPONSE_FIELDS 1000

/* Bytes from a peer as text of this database: what is not valid in it becomes '?'. */
static JsonbValue *
safe_string(JsonbValue *v, const char *bytes, int len)
{
	char *copy = pnstrdup(bytes, len);
	bool valid = strlen(copy) == (size_t) len && GetDatabaseEncoding() != PG_SQL_ASCII &&
				 pg_verify_mbstr(GetDatabaseEncoding(), copy, len, true);

	for (int i = 0; i < len; i++)
	{
		if ((IS_HIGHBIT_SET(copy[i]) && !valid) || copy[i] == '\0')
			copy[i] = '?';
	}
	v->type = jbvString;
	v->val.string.val = copy;
	v->val.string.len = len;
	return v;
}

/* One header line of an answer. */
typedef struct Field
{
	char *name; /* in lower case */
	const char *value;
	int value_len;
	int line; /* keeps the order within a name */
} Field;

static int
compare_fields(const void *a, const void *b)
{
	const Field *x = a;
	const Field *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : x->line - y->line;
}

/* Splits raw header lines; lines without a name are passed over. */
static int
split_fields(const char *raw, int len, Field *fields, int max)
{
	const char *end = raw + len;
	int count = 0;

	while (raw < end && count < max)
	{
		const char *eol = memchr(raw, '\n', end - raw);
		const char *stop = eol != NULL ? eol : end;
		const char *colon = memchr(raw, ':', stop - raw);

		if (colon != NULL && colon > raw)
		{
			const char *value = colon + 1;
			const char *last = stop;
			JsonbValue name;

			while (value < last && (*value == ' ' || *value == '\t'))
				value++;
			while (last > value && (last[-1] == '\r' || last[-1] == ' ' || last[-1] == '\t'))
				last--;
			(void) safe_string(&name, raw, colon - raw);
			fields[count].name = asc_tolower(name.val.string.val, name.val.string.len);
			fields[count].value = value;
			fields[count].value_len = last - value;
			fields[count].line = count;
			count++;
		}
		raw = stop + 1;
	}
	return count;
}

/* {"name": "value", "name of several": ["value", …]} */
Datum
answer_headers(const bytea *raw)
{
	int len = VARSIZE_ANY_EXHDR(raw);
	Field *fields = palloc_array(Field, MAX_RESPONSE_FIELDS);
	int count = split_fields(VARDATA_ANY(raw), len, fields, MAX_RESPONSE_FIELDS);
	JsonbParseState *state = NULL;
	JsonbValue v;

	qsort(fields, count, sizeof(Field), compare_fields);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count;)
	{
		int same = 1;

		while (i + same < count && strcmp(fields[i].name, fields[i + same].name) == 0)
			same++;
		pushJsonbValue(&state, WJB_KEY, safe_string(&v, fields[i].name, strlen(fields[i].name)));
		if (same > 1)
			pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int j = i; j < i + same; j++)
			pushJsonbValue(&state, same > 1 ? WJB_ELEM : WJB_VALUE,
						   safe_string(&v, fields[j].value, fields[j].value_len));
		if (same > 1)
			pushJsonbValue(&state, WJB_END_ARRAY, NULL);
		i += same;
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
