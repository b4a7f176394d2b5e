/*
 * answer.c
 *		Converts the headers and times of an HTTP answer to the form in which they are stored.
 *
 * The lines come from a receiver that nobody here controls.  They must never raise an error,
 * because an answer that cannot be stored would be sent for again.  So invalid bytes are
 * replaced, lines without a name are skipped, and the number of lines is limited.
 */
#include "postgres.h"

#include <inttypes.h>

#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"

#include "base/arg.h"
#include "base/errors.h"
#include "core/protocol.h"
#include "push/answer.h"

#define MAX_RESPONSE_FIELDS 1000
#define MAX_TIMES_SIZE      1024 /* bytes of the jsonb */

/* Converts bytes to text of this database; invalid bytes become '?'. */
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

/* Splits raw header lines and returns their number; lines without a name are skipped. */
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

static int
count_lines(const char *raw, int len)
{
	int count = 1;

	for (int i = 0; i < len; i++)
		count += raw[i] == '\n';
	return count;
}

Datum
answer_headers(const bytea *raw)
{
	int len = VARSIZE_ANY_EXHDR(raw);
	int max = Min(count_lines(VARDATA_ANY(raw), len), MAX_RESPONSE_FIELDS);
	Field *fields = palloc_array(Field, max);
	int count = split_fields(VARDATA_ANY(raw), len, fields, max);
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

static void
invalid_times(const char *wrong)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("invalid times"),
			 errdetail("They cannot be used: %s.", wrong),
			 errhint("Pass an object of dns, connect, tls and first_byte, each an interval of at "
					 "most 30 days.")));
}

/* An interval in any form.  No other error of the input function leaves this one. */
static int64
us_of_interval(char *value)
{
	volatile Datum interval = 0;

	PG_TRY();
	{
		interval = DirectFunctionCall3(interval_in, CStringGetDatum(value),
									   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	}
	PG_CATCH();
	{
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
		invalid_times("a value is no interval");
	}
	PG_END_TRY();
	return interval_us(DatumGetIntervalP(interval));
}

/* The time of a phase in microseconds; *exact becomes false if it is not written so. */
static int64
read_time(const JsonbValue *v, bool *exact)
{
	int64 us;

	if (v->type != jbvString)
		invalid_times("a value is not a string");
	us = tq_times_us(v->val.string.val, v->val.string.len);
	if (us < 0)
	{
		*exact = false;
		us = us_of_interval(pnstrdup(v->val.string.val, v->val.string.len));
	}
	if (!interval_in_range(us, RANGE_ELAPSED))
		invalid_times("a value is out of range");
	return us;
}

/* True: the jsonb has the form that tq_times_json() writes. */
static bool
read_times(Jsonb *jsonb, tq_times *times)
{
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue v;
	int64_t *field = NULL;
	bool exact = true;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		invalid_times("they are not an object");
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			field = tq_times_field(times, v.val.string.val, v.val.string.len);
		if (token == WJB_KEY && field == NULL)
			invalid_times("a key is not a phase");
		if (token == WJB_VALUE)
			*field = read_time(&v, &exact);
	}
	return exact;
}

Datum
answer_times(Datum value)
{
	tq_times times = {-1, -1, -1, -1};
	char json[TQ_TIMES_JSON_SIZE];

	check_bytes(value, "times", MAX_TIMES_SIZE);
	if (read_times(DatumGetJsonbP(value), &times))
		return value;
	tq_times_json(&times, json);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}
