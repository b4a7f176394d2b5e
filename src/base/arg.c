/*
 * arg.c
 *		Arguments of the SQL functions, judged in one place.
 *
 * Every bad argument is an error of class TQ that names the argument; the
 * functions themselves only say what range they want.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/settings.h"
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

/* A length of time for people. */
static char *
describe_us(int64 us)
{
	if (us % US_PER_DAY == 0 && us != 0)
		return psprintf(INT64_FORMAT " days", us / US_PER_DAY);
	return psprintf(INT64_FORMAT " ms", us / US_PER_MS);
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
arg_interval_us(FunctionCallInfo fcinfo, int n, const char *name, int64 fallback, int64 min,
				int64 max)
{
	int64 us;

	if (PG_ARGISNULL(n))
		return fallback;
	us = interval_us(PG_GETARG_INTERVAL_P(n));
	if (us < min || us > max)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("%s is out of range", name),
				 errdetail("It must be between %s and %s.", describe_us(min), describe_us(max)),
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
	for (int i = 0; i < length; i++)
	{
		unsigned char c = VARDATA_ANY(value)[i];

		if (c < 0x20 || c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
					 errmsg("%s has control characters", name),
					 errdetail("Byte %d is one.", i + 1),
					 errhint("Choose another %s.", name)));
	}
}

text *
arg_name(FunctionCallInfo fcinfo, int n, const char *name)
{
	text *value;

	if (PG_ARGISNULL(n))
		return NULL;
	value = PG_GETARG_TEXT_PP(n);
	check_label(value, name, TASKQ_NAME_MAX);
	return value;
}

text *
arg_key(FunctionCallInfo fcinfo, int n)
{
	text *key;

	if (PG_ARGISNULL(n))
		return NULL;
	key = PG_GETARG_TEXT_PP(n);
	check_label(key, "key", TASKQ_KEY_MAX);
	return key;
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
				 errdetail("There are %d ids and %d tokens; at most %d are taken.",
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
