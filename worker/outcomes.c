/*
 * outcomes.c
 *		The outcomes of many requests as the parameters of one statement.
 *
 * Arrays in binary form: the bytes of an answer go to the server as they are, and neither side
 * writes or reads digits and quotes.  The buffers are used again, unless they have become large.
 */
#include <endian.h>
#include <string.h>

#include "core/text.h"
#include "outcomes.h"

#define MAX_ARRAY (1 << 28) /* bytes; more than the results of one call have */
#define KEEP      (1 << 20) /* a larger buffer is freed after its use */

/* The types of the elements, by their numbers in every PostgreSQL. */
typedef enum element_type
{
	TYPE_BOOL = 16,
	TYPE_BYTEA = 17,
	TYPE_INT8 = 20,
	TYPE_INT4 = 23,
	TYPE_TEXT = 25,
	TYPE_INTERVAL = 1186,
	TYPE_JSONB = 3802
} element_type;

static const element_type types[TQ_REPORT_NARGUMENTS] = {
	[TQ_REPORT_ID] = TYPE_INT8,
	[TQ_REPORT_TOKEN] = TYPE_INT8,
	[TQ_REPORT_VERDICT] = TYPE_TEXT,
	[TQ_REPORT_CLASS] = TYPE_TEXT,
	[TQ_REPORT_STATUS] = TYPE_INT4,
	[TQ_REPORT_HEADERS] = TYPE_BYTEA,
	[TQ_REPORT_BODY] = TYPE_BYTEA,
	[TQ_REPORT_TRUNCATED] = TYPE_BOOL,
	[TQ_REPORT_ELAPSED] = TYPE_INTERVAL,
	[TQ_REPORT_ERROR] = TYPE_TEXT,
	[TQ_REPORT_RETRY_AFTER] = TYPE_INTERVAL,
	[TQ_REPORT_TIMES] = TYPE_JSONB};

/* ---- numbers and elements ---------------------------------------------------------- */

static void
put_int32(tq_buffer *b, int32_t value)
{
	uint32_t bytes = htobe32((uint32_t) value);

	tq_buffer_append(b, &bytes, sizeof(bytes));
}

static void
put_int64(tq_buffer *b, int64_t value)
{
	uint64_t bytes = htobe64((uint64_t) value);

	tq_buffer_append(b, &bytes, sizeof(bytes));
}

static void
add_bytes(tq_buffer *b, const void *bytes, size_t len)
{
	put_int32(b, (int32_t) len);
	tq_buffer_append(b, bytes, len);
}

static void
add_word(tq_buffer *b, const char *text)
{
	add_bytes(b, text, strlen(text));
}

static void
add_null(tq_buffer *b)
{
	put_int32(b, -1);
}

static void
add_int64(tq_buffer *b, int64_t value)
{
	put_int32(b, sizeof(value));
	put_int64(b, value);
}

/* Microseconds, days and months. */
static void
add_interval(tq_buffer *b, int64_t us)
{
	put_int32(b, 16);
	put_int64(b, us > 0 ? us : 0);
	put_int64(b, 0);
}

/* The version of the format, and the text. */
static void
add_jsonb(tq_buffer *b, const char *json)
{
	put_int32(b, (int32_t) strlen(json) + 1);
	tq_buffer_append(b, "\1", 1);
	tq_buffer_append(b, json, strlen(json));
}

/* ---- results ------------------------------------------------------------------------- */

/* One dimension that counts from 1 and may have NULLs. */
static void
begin_array(tq_buffer *b, element_type type, int n)
{
	tq_buffer_reset(b);
	put_int32(b, 1);
	put_int32(b, 1);
	put_int32(b, (int32_t) type);
	put_int32(b, n);
	put_int32(b, 1);
}

static void
add_answer(tq_buffer *a, const tq_response *r)
{
	char truncated = r->truncated;

	if (r->status != 0)
	{
		put_int32(&a[TQ_REPORT_STATUS], sizeof(int32_t));
		put_int32(&a[TQ_REPORT_STATUS], r->status);
	}
	else
		add_null(&a[TQ_REPORT_STATUS]);
	if (r->headers != NULL)
		add_bytes(&a[TQ_REPORT_HEADERS], r->headers, r->headers_len);
	else
		add_null(&a[TQ_REPORT_HEADERS]);
	if (r->body != NULL)
		add_bytes(&a[TQ_REPORT_BODY], r->body, r->body_len);
	else
		add_null(&a[TQ_REPORT_BODY]);
	add_bytes(&a[TQ_REPORT_TRUNCATED], &truncated, 1);
	add_interval(&a[TQ_REPORT_ELAPSED], r->elapsed_us);
}

static void
add_failure(tq_buffer *a, const tq_result *result)
{
	const tq_response *r = result->response;
	char error[sizeof(r->error)];
	char times[TQ_TIMES_JSON_SIZE];

	add_word(&a[TQ_REPORT_CLASS], tq_class_name(r->cls));
	tq_text_printable(r->error, error, sizeof(error));
	if (error[0] != '\0')
		add_word(&a[TQ_REPORT_ERROR], error);
	else
		add_null(&a[TQ_REPORT_ERROR]);
	if (result->outcome.retry_after_ms >= 0)
		add_interval(&a[TQ_REPORT_RETRY_AFTER], result->outcome.retry_after_ms * 1000);
	else
		add_null(&a[TQ_REPORT_RETRY_AFTER]);
	tq_times_json(&r->times, times);
	add_jsonb(&a[TQ_REPORT_TIMES], times);
}

/* Of a success nothing is kept but the answer. */
static void
add_success(tq_buffer *a)
{
	add_null(&a[TQ_REPORT_CLASS]);
	add_null(&a[TQ_REPORT_ERROR]);
	add_null(&a[TQ_REPORT_RETRY_AFTER]);
	add_null(&a[TQ_REPORT_TIMES]);
}

static void
add_result(tq_buffer *a, const tq_result *result)
{
	add_int64(&a[TQ_REPORT_ID], result->id);
	add_int64(&a[TQ_REPORT_TOKEN], result->token);
	add_word(&a[TQ_REPORT_VERDICT], tq_verdict_name(result->outcome.verdict));
	add_answer(a, result->response);
	if (result->outcome.verdict == TQ_SUCCESS)
		add_success(a);
	else
		add_failure(a, result);
}

/* ---- the whole ------------------------------------------------------------------------- */

void
outcomes_init(outcomes *o)
{
	int i;

	for (i = 0; i < TQ_REPORT_NARGUMENTS; i++)
		tq_buffer_init(&o->array[i], MAX_ARRAY);
}

bool
outcomes_set(outcomes *o, const tq_result *results, int n)
{
	bool ok = true;
	int i;

	for (i = 0; i < TQ_REPORT_NARGUMENTS; i++)
	{
		if (o->array[i].size > KEEP)
			tq_buffer_free(&o->array[i]);
		begin_array(&o->array[i], types[i], n);
	}
	for (i = 0; i < n; i++)
		add_result(o->array, &results[i]);
	for (i = 0; i < TQ_REPORT_NARGUMENTS; i++)
	{
		ok = ok && !o->array[i].overflowed;
		o->value[i] = o->array[i].data;
		o->length[i] = (int) o->array[i].len;
		o->format[i] = 1;
	}
	return ok;
}

void
outcomes_free(outcomes *o)
{
	int i;

	for (i = 0; i < TQ_REPORT_NARGUMENTS; i++)
		tq_buffer_free(&o->array[i]);
}
