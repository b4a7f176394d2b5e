/*
 * arg.c
 *		Reads and checks the arguments of SQL functions.
 *
 * Every bad argument is an error of class TQ that names the argument.  The
 * functions themselves only pass the range of values that they accept.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/jsontext.h"
#include "base/settings.h"
#include "core/trace.h"
#include "core/url.h"

int64
interval_us(const Interval *interval)
{
	int64 days = (int64) interval->month * 30 + interval->day;
	int64 us;

	if (pg_mul_s64_overflow(days, US_PER_DAY, &us))
		return days < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	if (pg_add_s64_overflow(us, interval->time, &us))
		return days < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	return us;
}

/* The limits of intervals.  SQL asks for them by name: interval_fault() in sql/25_arguments.sql. */
static const struct
{
	const char *name;
	int64 min;
	int64 max;
	const char *words;
} ranges[] = {
	[RANGE_DELAY] = {"delay", 0, 36525 * US_PER_DAY, "between 0 and 36525 days"},
	[RANGE_START_LIMIT] = {"start limit", US_PER_MS, 36525 * US_PER_DAY,
						   "between 1 ms and 36525 days"},
	[RANGE_RETRY] = {"retry", 0, 366 * US_PER_DAY, "between 0 and 366 days"},
	[RANGE_AGE] = {"age", 1, 36600 * US_PER_DAY, "more than 0 and at most 36600 days"},
	[RANGE_LEASE] = {"lease", 100 * US_PER_MS, 30 * US_PER_DAY, "between 100 ms and 30 days"},
	[RANGE_TIMEOUT] = {"timeout", US_PER_MS, US_PER_DAY, "between 1 ms and 1 day"},
	[RANGE_WAIT] = {"wait", 0, US_PER_DAY, "between 0 and 1 day"},
	[RANGE_ELAPSED] = {"elapsed", 0, 30 * US_PER_DAY, "between 0 and 30 days"},
	[RANGE_KEEP] = {"keep", 0, 36600 * US_PER_DAY, "between 0 and 36600 days"},
};

bool
interval_in_range(int64 us, IntervalRange range)
{
	return us >= ranges[range].min && us <= ranges[range].max;
}

void
require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (!PG_ARGISNULL(n))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("%s must not be NULL", name),
			 errdetail("The call needs a value for it."),
			 errhint("Pass a value for %s.", name)));
}

int64
arg_interval_us(FunctionCallInfo fcinfo, int n, const char *name, int64 fallback,
				IntervalRange range)
{
	int64 us;

	if (PG_ARGISNULL(n))
		return fallback;
	us = interval_us(PG_GETARG_INTERVAL_P(n));
	if (!interval_in_range(us, range))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s is out of range", name),
				 errdetail("It must be %s.", ranges[range].words),
				 errhint("Pass an interval within these limits.")));
	return us;
}

int32
arg_int32(FunctionCallInfo fcinfo, int n, const char *name, int32 fallback, int32 min, int32 max)
{
	int32 value;

	if (PG_ARGISNULL(n))
		return fallback;
	value = PG_GETARG_INT32(n);
	if (value < min || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s is out of range", name),
				 errdetail("It must be between %d and %d.", min, max),
				 errhint("Pass a number within these limits.")));
	return value;
}

int64
arg_id(FunctionCallInfo fcinfo, int n, const char *name)
{
	require_argument(fcinfo, n, name);
	return PG_GETARG_INT64(n);
}

/* Also one of the second block of control characters, C1, which terminals obey as well. */
static bool
is_control(const unsigned char *at, int left)
{
	if (at[0] == 0xc2 && left > 1 && GetDatabaseEncoding() == PG_UTF8)
		return at[1] < 0xa0;
	return at[0] < 0x20 || at[0] == 0x7f;
}

/* The offset of the first control character; -1: there is none. */
static int
find_control(const text *value)
{
	int length = VARSIZE_ANY_EXHDR(value);

	for (int i = 0; i < length; i++)
	{
		if (is_control((unsigned char *) VARDATA_ANY(value) + i, length - i))
			return i;
	}
	return -1;
}

void
check_label(const text *value, const char *name, int max)
{
	int length = VARSIZE_ANY_EXHDR(value);

	if (length == 0 || length > max)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s is %s", name, length == 0 ? "empty" : "too long"),
				 errdetail("It must be 1 to %d bytes long.", max),
				 errhint("Choose another %s.", name)));
	if (find_control(value) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s has control characters", name),
				 errdetail("Byte %d is a control character.", find_control(value) + 1),
				 errhint("Choose another %s.", name)));
}

static text *
arg_label(FunctionCallInfo fcinfo, int n, const char *name, int max)
{
	text *value;

	if (PG_ARGISNULL(n))
		return NULL;
	value = PG_GETARG_TEXT_PP(n);
	check_label(value, name, max);
	return value;
}

text *
arg_name(FunctionCallInfo fcinfo, int n, const char *name)
{
	return arg_label(fcinfo, n, name, TASKQ_NAME_MAX);
}

Datum *
arg_names(FunctionCallInfo fcinfo, int n, const char *name, int max, int *count)
{
	Datum *names;
	bool *nulls;

	require_argument(fcinfo, n, name);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls,
					  count);
	if (*count < 1 || *count > max)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s must have 1 to %d elements", name, max),
				 errdetail("It has %d.", *count),
				 errhint("Pass an array of names.")));
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
					 errmsg("%s must not have NULL elements", name),
					 errdetail("Element %d is NULL.", i + 1),
					 errhint("Pass an array of names.")));
		check_label(DatumGetTextPP(names[i]), name, TASKQ_NAME_MAX);
	}
	return names;
}

text *
arg_key(FunctionCallInfo fcinfo, int n)
{
	return arg_label(fcinfo, n, "key", TASKQ_KEY_MAX);
}

text *
arg_group_key(FunctionCallInfo fcinfo, int n)
{
	return arg_label(fcinfo, n, "group_key", TASKQ_KEY_MAX);
}

static void
check_trace(const char *trace)
{
	if (tq_trace_invalid(trace) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("invalid trace"),
				 errdetail("The trace cannot be used: %s.", tq_trace_invalid(trace)),
				 errhint("Pass a W3C traceparent, such as " TQ_TRACE_EXAMPLE ".")));
}

text *
arg_trace(FunctionCallInfo fcinfo, int n)
{
	text *trace;

	if (PG_ARGISNULL(n))
		return *setting_trace == '\0' ? NULL : cstring_to_text(setting_trace);
	trace = PG_GETARG_TEXT_PP(n);
	if (VARSIZE_ANY_EXHDR(trace) == 0)
		return NULL;
	check_trace(text_to_cstring(trace));
	return trace;
}

text *
arg_error(FunctionCallInfo fcinfo, int n)
{
	text *value;
	int length;

	if (PG_ARGISNULL(n))
		return NULL;
	value = PG_GETARG_TEXT_PP(n);
	length = VARSIZE_ANY_EXHDR(value);
	if (length > TASKQ_MAX_ERROR)
		value = cstring_to_text_with_len(VARDATA_ANY(value),
										 pg_mbcliplen(VARDATA_ANY(value), length, TASKQ_MAX_ERROR));
	return value;
}

void
check_size(Datum value, const char *name)
{
	Size size = toast_raw_datum_size(value) - VARHDRSZ;

	if (size > (Size) setting_max_payload)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_TOO_LARGE),
				 errmsg("%s is too large", name),
				 errdetail("It has %zu bytes; taskq.max_payload allows %d.", size,
						   setting_max_payload),
				 errhint("Store it elsewhere and pass a reference to it.")));
}

void
check_json(Datum value, const char *name)
{
	Size size;

	check_size(value, name);
	if (jsonb_text_exceeds(value, setting_max_payload, &size))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_TOO_LARGE),
				 errmsg("%s is too large", name),
				 errdetail("It has %zu bytes as text; taskq.max_payload allows %d.", size,
						   setting_max_payload),
				 errhint("Pass long numbers as strings, or store it elsewhere and pass a "
						 "reference to it.")));
}

void
check_bytes(Datum value, const char *name, Size max)
{
	Size size = toast_raw_datum_size(value) - VARHDRSZ;

	if (size > max)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_TOO_LARGE),
				 errmsg("%s is too large", name),
				 errdetail("It has %zu bytes; %zu are allowed.", size, max),
				 errhint("Cut it off.")));
}

static int64 *
bigint_array(ArrayType *array, const char *name, int *count)
{
	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s must be a plain array without NULLs", name),
				 errdetail("It has more than one dimension, or NULL elements."),
				 errhint("Pass one element for each task.")));
	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return (int64 *) ARR_DATA_PTR(array);
}

int
arg_ids(FunctionCallInfo fcinfo, int n, const char *name, int64 **ids)
{
	int count;

	require_argument(fcinfo, n, name);
	*ids = bigint_array(PG_GETARG_ARRAYTYPE_P(n), name, &count);
	if (count > TASKQ_MAX_SUBMIT)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s has too many elements", name),
				 errdetail("It has %d; at most %d are allowed.", count, TASKQ_MAX_SUBMIT),
				 errhint("Call it several times.")));
	return count;
}

ArrayType *
array_of_ids(const int64 *ids, int count)
{
	Datum *elements = palloc_array(Datum, Max(count, 1));
	ArrayType *array;

	for (int i = 0; i < count; i++)
		elements[i] = Int64GetDatum(ids[i]);
	array = construct_array(elements, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
							TYPALIGN_DOUBLE);
	pfree(elements);
	return array;
}

int
arg_id_arrays(FunctionCallInfo fcinfo, int n, int64 **ids, int64 **tokens)
{
	int nids;
	int ntokens;

	require_argument(fcinfo, n, "ids");
	require_argument(fcinfo, n + 1, "tokens");
	*ids = bigint_array(PG_GETARG_ARRAYTYPE_P(n), "ids", &nids);
	*tokens = bigint_array(PG_GETARG_ARRAYTYPE_P(n + 1), "tokens", &ntokens);
	if (nids != ntokens || nids > TASKQ_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("ids and tokens do not go together"),
				 errdetail("There are %d ids and %d tokens; at most %d are allowed.",
						   nids, ntokens, TASKQ_MAX_BATCH),
				 errhint("Pass one token for each id.")));
	return nids;
}

void
require_writable(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
}

char *
url_to_ascii(const text *url)
{
	char *ascii = palloc(TQ_MAX_URL + 1);
	const char *wrong = "it is NULL";

	if (url != NULL)
	{
		char *given = text_to_cstring(url);

		wrong = tq_url_ascii(pg_server_to_any(given, strlen(given), PG_UTF8), ascii);
	}
	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("invalid url"),
				 errdetail("The url cannot be used: %s.", wrong),
				 errhint("Pass an absolute http or https URL without user name and password.")));
	return ascii;
}

/* ---- for the functions that are written in SQL --------------------------------------------- */

static IntervalRange
range_of_name(const char *name)
{
	for (int range = 0; range < (int) lengthof(ranges); range++)
	{
		if (strcmp(ranges[range].name, name) == 0)
			return (IntervalRange) range;
	}
	elog(ERROR, "there is no range \"%s\"", name);
}

/* Arguments: an interval, its name, its range.  NULL: the interval is within its range. */
PG_FUNCTION_INFO_V1(taskq_interval_fault);
Datum
taskq_interval_fault(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	IntervalRange range = range_of_name(text_to_cstring(PG_GETARG_TEXT_PP(2)));

	if (!PG_ARGISNULL(0) && interval_in_range(interval_us(PG_GETARG_INTERVAL_P(0)), range))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s must be %s", name, ranges[range].words)));
}

/* Argument: a name.  NULL: it can be the name of an object of ours. */
PG_FUNCTION_INFO_V1(taskq_name_fault);
Datum
taskq_name_fault(PG_FUNCTION_ARGS)
{
	const char *fault;

	if (PG_ARGISNULL(0))
		fault = "must not be NULL";
	else if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
		fault = "must not be empty";
	else if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) > TASKQ_NAME_MAX)
		fault = psprintf("must not be longer than %d bytes", TASKQ_NAME_MAX);
	else if (find_control(PG_GETARG_TEXT_PP(0)) >= 0)
		fault = "must not contain control characters";
	else
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(fault));
}
