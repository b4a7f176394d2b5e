/*
 * request.c
 *		Makes the HTTP request of a claimed push task.
 *
 * The request is made in the database and returned complete, with all headers and the
 * signature.  So the executor and other senders send the same request, and no sender needs
 * the secret.
 *
 * A task of which no request can be made must not keep the others from being sent.  So the
 * requests of a claim are made in one subtransaction, and if that fails, each in its own.  The
 * task whose request fails ends as dead.
 */
#include "postgres.h"

#include <inttypes.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/jsontext.h"
#include "base/settings.h"
#include "base/sql.h"
#include "base/subxact.h"
#include "core/outcome.h"
#include "core/protocol.h"
#include "core/style.h"
#include "core/trace.h"
#include "core/url.h"
#include "life/acquire.h"
#include "life/lease.h"
#include "push/endpoint.h"
#include "push/headers.h"
#include "push/request.h"
#include "push/signature.h"
#include "push/style.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define JSON_TYPE "Content-Type: application/json"

typedef struct Request
{
	Datum values[TQ_CLAIM_NCOLUMNS];
	bool nulls[TQ_CLAIM_NCOLUMNS];
} Request;

/* The lines of a request's head, as they are collected. */
typedef struct Lines
{
	Datum *line;
	int count;
	bool has_type;  /* a Content-Type is among them */
	bool has_trace; /* a traceparent is */
} Lines;

/* The most lines that a request has besides the headers of its task and its endpoint. */
#define OWN_LINES (12 + STYLE_MAX_LINES)

static void
add_line(Lines *lines, const char *line)
{
	lines->line[lines->count++] = CStringGetTextDatum(line);
}

static void
add_field(Lines *lines, const char *name, const char *value)
{
	int name_len = strlen(name);
	int value_len = strlen(value);
	text *line = palloc(VARHDRSZ + name_len + 2 + value_len);
	char *to = VARDATA(line);

	SET_VARSIZE(line, VARHDRSZ + name_len + 2 + value_len);
	memcpy(to, name, name_len);
	memcpy(to + name_len, ": ", 2);
	memcpy(to + name_len + 2, value, value_len);
	lines->line[lines->count++] = PointerGetDatum(line);
}

static void
add_number(Lines *lines, const char *name, int64 number)
{
	char digits[MAXINT8LEN + 1];

	pg_lltoa(number, digits);
	add_field(lines, name, digits);
}

/*
 * Adds headers, which headers_check() has accepted, except those that "others" has as well, and
 * those of the header style, which may be younger than they are.
 */
static void
add_headers(Lines *lines, Jsonb *headers, const Jsonb *others, tq_style style)
{
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	JsonbValue v;
	JsonbIteratorToken token;
	char *name = "";

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE && v.type == jbvString &&
				 (others == NULL || headers_find(others, name, NULL) == 0) &&
				 !tq_style_owns(style, name))
		{
			add_field(lines, name, pnstrdup(v.val.string.val, v.val.string.len));
			lines->has_type |= pg_strcasecmp(name, "content-type") == 0;
			lines->has_trace |= pg_strcasecmp(name, "traceparent") == 0;
		}
	}
}

/*
 * Identifies the task to its receiver.  It is the same in every attempt, also after retry()
 * and after a dump and restore.  The time distinguishes the task from one with the same id
 * in a copy of this database.
 */
static char *
message_id(const Claim *claim)
{
	return psprintf(INT64_FORMAT "-%" PRIx64, ROW_INT64(&claim->task, TASK_ID),
					(uint64) ROW_TIME(&claim->task, TASK_SUBMITTED_AT));
}

/*
 * Only the first attempt is a part of the trace: a task that is tried for days must not stretch it.
 * The trace of a row that was changed by hand may be none, and is left out.
 */
static void
add_trace(Lines *lines, const Claim *claim)
{
	bool first = ROW_INT32(&claim->lease, LEASE_ATTEMPT) == 1;
	char *trace;

	if (claim->task.nulls[TASK_TRACE])
		return;
	trace = TextDatumGetCString(claim->task.values[TASK_TRACE]);
	if (tq_trace_invalid(trace) != NULL || (first && lines->has_trace))
		return;
	add_field(lines, first ? "traceparent" : "X-Task-Trace", trace);
}

static void
add_own_headers(Lines *lines, const Queue *queue, const Claim *claim, const char *id)
{
	ListCell *cell;

	add_line(lines, "User-Agent: taskq/" TASKQ_VERSION);
	add_number(lines, "X-Task-Id", ROW_INT64(&claim->task, TASK_ID));
	add_field(lines, "X-Task-Queue", header_queue_value(queue));
	add_number(lines, "X-Task-Attempt", ROW_INT32(&claim->lease, LEASE_ATTEMPT));
	add_field(lines, "Idempotency-Key", id);
	if (!claim->task.nulls[TASK_KEY])
		add_field(lines, "X-Task-Key", header_key_value(&claim->task));
	if (queue->accept_202)
		add_number(lines, "X-Task-Token", ROW_INT64(&claim->lease, LEASE_TOKEN));
	add_trace(lines, claim);
	foreach (cell, style_lines(queue, claim))
		add_line(lines, lfirst(cell));
}

/* The timestamp is the time of the claim: deliver.c sends a claimed task soon. */
static void
add_signature(Lines *lines, const Claim *claim, const char *id, const Secrets *secrets,
			  const bytea *body)
{
	int64 now = timestamptz_to_time_t(ROW_TIME(&claim->lease, LEASE_STARTED_AT));
	char *signature = signature_make(secrets->signer, secrets->secret, id, now, body);

	if (secrets->old_secret != NULL)
		signature = psprintf("%s %s", signature,
							 signature_make(secrets->signer, secrets->old_secret, id, now, body));
	add_field(lines, "webhook-id", id);
	add_number(lines, "webhook-timestamp", now);
	add_field(lines, "webhook-signature", signature);
}

static Datum
head_of(const Queue *queue, const Claim *claim, const Secrets *secrets, const bytea *body)
{
	const Row *task = &claim->task;
	char *id = message_id(claim);
	Jsonb *headers = NULL;
	Lines lines = {.count = 0};
	int limit = OWN_LINES;

	if (!task->nulls[TASK_HEADERS])
		headers = DatumGetJsonbP(task->values[TASK_HEADERS]);
	limit += headers != NULL ? JB_ROOT_COUNT(headers) : 0;
	limit += secrets->headers != NULL ? JB_ROOT_COUNT(secrets->headers) : 0;
	lines.line = palloc_array(Datum, limit);
	if (secrets->headers != NULL)
		add_headers(&lines, secrets->headers, NULL, queue->header_style);
	if (headers != NULL)
		add_headers(&lines, headers, secrets->headers, queue->header_style);
	if (!lines.has_type && !task->nulls[TASK_PAYLOAD])
		add_line(&lines, JSON_TYPE);
	add_own_headers(&lines, queue, claim, id);
	if (secrets->secret != NULL)
		add_signature(&lines, claim, id, secrets, body);
	return PointerGetDatum(construct_array(lines.line, lines.count, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* Sets *body to the payload as JSON in UTF-8, or to the body; false if the task has neither. */
static bool
body_of(const Row *task, Datum *body)
{
	Jsonb *payload;
	char *json;

	if (!task->nulls[TASK_BODY])
	{
		*body = task->values[TASK_BODY];
		return true;
	}
	if (task->nulls[TASK_PAYLOAD])
		return false;
	payload = DatumGetJsonbP(task->values[TASK_PAYLOAD]);
	json = JsonbToCString(NULL, &payload->root, VARSIZE(payload));
	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		json = pg_server_to_any(json, strlen(json), PG_UTF8);
	*body = CStringGetTextDatum(json); /* text and bytea have the same layout */
	return true;
}

/* TQ006 for content that no submitter can have given. */
static void
check_request(const Row *task)
{
	Size size = 0;

	if (!task->nulls[TASK_HEADERS])
		check_bytes(task->values[TASK_HEADERS], "headers", MAX_HEADERS_SIZE);
	if (!task->nulls[TASK_BODY])
		check_bytes(task->values[TASK_BODY], "body", TASKQ_MAX_PAYLOAD);
	else if (!task->nulls[TASK_PAYLOAD] &&
			 jsonb_text_exceeds(task->values[TASK_PAYLOAD], TASKQ_MAX_PAYLOAD, &size))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_TOO_LARGE),
				 errmsg("payload is too large"),
				 errdetail("It has %zu bytes as text.", size)));
}

static int64
timeout_ms_of(const Queue *queue, const Row *task)
{
	if (task->nulls[TASK_TIMEOUT])
		return queue->timeout_us > 0 ? queue->timeout_us / US_PER_MS : setting_http_timeout;
	return interval_us(DatumGetIntervalP(task->values[TASK_TIMEOUT])) / US_PER_MS;
}

/*
 * The URL of the request: the task's own, or the queue's, to which an endpoint appends the
 * task's path.  It is empty, and the engine refuses it, if there is neither, or if a task of an
 * endpoint has a URL instead of a path.
 */
static const char *
url_of(const Queue *queue, const Row *task, const Secrets *secrets)
{
	const char *own = NULL;
	const char *url;

	if (!task->nulls[TASK_URL])
		own = TextDatumGetCString(task->values[TASK_URL]);
	if (own != NULL && queue->endpoint && tq_path_invalid(own) != NULL)
		return "";
	url = queue_request_url(queue, secrets->url != NULL ? secrets->url : queue->url, own);
	return url != NULL ? url : "";
}

/* Fails if there can be no such request, or none of that size. */
static void
make_request(const Queue *queue, const Claim *claim, const Secrets *secrets, Request *request)
{
	const Row *task = &claim->task;
	Datum *values = request->values;
	bool has_body;

	check_request(task);
	has_body = body_of(task, &values[TQ_CLAIM_BODY]);
	values[TQ_CLAIM_ID] = task->values[TASK_ID];
	values[TQ_CLAIM_TOKEN] = claim->lease.values[LEASE_TOKEN];
	values[TQ_CLAIM_LEASE_MS] = Int64GetDatum(lease_length_us(&claim->lease) / US_PER_MS);
	values[TQ_CLAIM_TIMEOUT_MS] = Int64GetDatum(timeout_ms_of(queue, task));
	if (task->nulls[TASK_METHOD])
		values[TQ_CLAIM_METHOD] = CStringGetTextDatum("POST");
	else
		values[TQ_CLAIM_METHOD] = task->values[TASK_METHOD];
	values[TQ_CLAIM_URL] = CStringGetTextDatum(url_of(queue, task, secrets));
	values[TQ_CLAIM_HEADERS] = head_of(queue, claim, secrets,
									   has_body ? DatumGetByteaPP(values[TQ_CLAIM_BODY]) : NULL);
	memset(request->nulls, false, sizeof(request->nulls));
	request->nulls[TQ_CLAIM_BODY] = !has_body;
}

/* What is to be made: requests[i] of claims[i]. */
typedef struct Making
{
	const Queue *queue;
	const Secrets *secrets;
	const Claim *claims;
	Request *requests;
	int count;
} Making;

static void
make_requests(void *arg)
{
	Making *m = arg;
	Secrets secrets = *m->secrets;

	if (secrets.secret != NULL)
		secrets.signer = signer_begin();
	for (int i = 0; i < m->count; i++)
		make_request(m->queue, &m->claims[i], &secrets, &m->requests[i]);
	if (secrets.signer != NULL)
		signer_end(secrets.signer);
}

/* Ends a task of which there can be no request, or lets it fail if the server lacks something. */
static void
set_aside(const Queue *queue, const Claim *claim, int sqlstate)
{
	if (sqlstate == ERRCODE_TASKQ_TOO_LARGE || sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		claim_set_aside(claim, tq_class_name(TQ_CLASS_TOO_LARGE), "the request is too large", true);
	else
		claim_set_aside_failed(claim, "the request", "made", sqlstate);
	endpoint_released(queue, ROW_INT64(&claim->task, TASK_ID));
}

/* Makes requests[i], or ends the task; whether it was made. */
static bool
make_or_set_aside(const Making *all, int i)
{
	Making one = *all;
	int sqlstate;

	one.claims += i;
	one.requests += i;
	one.count = 1;
	sqlstate = subxact_try(make_requests, &one);
	if (sqlstate != 0)
		set_aside(all->queue, &all->claims[i], sqlstate);
	return sqlstate == 0;
}

/* An administrator can give the secrets again, so the tasks do not end before their attempts do. */
static void
set_aside_all(const Queue *queue, const Claim *claims, int count, int sqlstate)
{
	char *error = psprintf("headers and secrets of the endpoint cannot be read: SQLSTATE %s",
						   unpack_sql_state(sqlstate));

	for (int i = 0; i < count; i++)
	{
		claim_set_aside(&claims[i], tq_class_name(TQ_CLASS_INTERNAL), error, false);
		endpoint_released(queue, ROW_INT64(&claims[i].task, TASK_ID));
	}
}

int
requests_return(ReturnSetInfo *rsinfo, const Queue *queue, const Claim *claims, int count,
				const Secrets *secrets)
{
	Making making = {queue, secrets, claims, palloc_array(Request, count), count};
	bool all_made = count == 0 || secrets->sqlstate != 0 ||
					subxact_try(make_requests, &making) == 0;
	int returned = 0;

	if (secrets->sqlstate != 0)
	{
		set_aside_all(queue, claims, count, secrets->sqlstate);
		return 0;
	}
	for (int i = 0; i < count; i++)
	{
		Request *request = &making.requests[i];

		if (!all_made && !make_or_set_aside(&making, i))
			continue;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, request->values, request->nulls);
		returned++;
	}
	return returned;
}

static Statement select_secrets = {
	"select q.url, s.headers, s.secret, case when s.old_until > pg_catalog.clock_timestamp() "
	"then s.old_secret end from taskq_private.queue q "
	"join taskq_private.endpoint_secret s on s.queue_id = q.id "
	"where q.id = $1",
	1,
	{INT4OID},
	NULL,
};

/* Where the secrets are read to. */
typedef struct Reading
{
	const Queue *queue;
	Secrets *secrets;
	bool found;
} Reading;

/* One statement reads url and secrets, so they fit together; the session's Queue may be older. */
static void
read_secrets(void *arg)
{
	Reading *reading = arg;
	Secrets *secrets = reading->secrets;
	Datum id = Int32GetDatum(reading->queue->id);
	Datum row[4];
	bool isnull[4];

	if (!sql_as_owner(&select_secrets, &id, NULL, row, isnull, 4) || isnull[0])
		return;
	secrets->url = TextDatumGetCString(row[0]);
	secrets->headers = isnull[1] ? NULL : DatumGetJsonbP(row[1]);
	secrets->secret = isnull[2] ? NULL : DatumGetByteaPP(row[2]);
	secrets->old_secret = isnull[3] ? NULL : DatumGetByteaPP(row[3]);
	reading->found = true;
}

bool
request_read_secrets(const Queue *queue, Secrets *secrets)
{
	Reading reading = {queue, secrets, false};

	if (!queue->secretive)
		return true;
	secrets->sqlstate = subxact_try(read_secrets, &reading);
	return reading.found || secrets->sqlstate != 0;
}
