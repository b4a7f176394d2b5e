/*
 * push.c
 *		Push tasks as requests: claimed for the executor, reported by it.
 *
 * Whoever delivers, the background worker or another program, sees push tasks
 * through these functions alone.  What they return can be sent as it is.
 */
#include "task.h"

#include <inttypes.h>

#include "catalog/pg_type.h"
#include "core/http.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#define JSON_TYPE           "Content-Type: application/json"
#define MAX_RESPONSE_FIELDS 1000

/* What the requests of an endpoint carry, as it is at a claim; all zero: nothing. */
typedef struct Secrets
{
	char *url; /* that they are for */
	Jsonb *headers;
	bytea *secret;
	bytea *old_secret; /* signs, too */
} Secrets;

/* The lines of a request's head, as they are collected. */
typedef struct Lines
{
	Datum *line;
	int count;
	bool has_type; /* a Content-Type is among them */
} Lines;

/* Lines that a request has beside its headers and those of its endpoint. */
#define OWN_LINES 10

static void
add_line(Lines *lines, char *line)
{
	lines->line[lines->count++] = CStringGetTextDatum(line);
}

/* An object of strings, see check_headers() in submit_http.c; without those that others has. */
static void
add_headers(Lines *lines, Jsonb *headers, const Jsonb *others)
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
				 (others == NULL || headers_find(others, name, NULL) == 0))
		{
			add_line(lines, psprintf("%s: %.*s", name, v.val.string.len, v.val.string.val));
			if (pg_strcasecmp(name, "content-type") == 0)
				lines->has_type = true;
		}
	}
}

/* A queue's name as a header value: bytes outside ASCII are percent-encoded. */
static char *
header_name_of(const Queue *queue)
{
	StringInfoData value;

	initStringInfo(&value);
	for (const char *p = queue->name; *p != '\0'; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			appendStringInfo(&value, "%%%02X", (unsigned char) *p);
		else
			appendStringInfoChar(&value, *p);
	}
	return value.data;
}

/*
 * The same in every attempt, also after retry() and after a dump and restore;
 * the time keeps it apart from a task of the same id in a copy of this database.
 */
static char *
message_id(const Claim *claim)
{
	return psprintf(INT64_FORMAT "-%" PRIx64, ROW_INT64(&claim->task, TASK_ID),
					(uint64) ROW_TIME(&claim->task, TASK_SUBMITTED_AT));
}

static void
add_own_headers(Lines *lines, const Queue *queue, const Claim *claim)
{
	int64 id = ROW_INT64(&claim->task, TASK_ID);

	add_line(lines, "User-Agent: taskq/" TASKQ_VERSION);
	add_line(lines, psprintf("X-Task-Id: " INT64_FORMAT, id));
	add_line(lines, psprintf("X-Task-Queue: %s", header_name_of(queue)));
	add_line(lines, psprintf("X-Task-Attempt: %d", ROW_INT32(&claim->lease, LEASE_ATTEMPT)));
	add_line(lines, psprintf("Idempotency-Key: %s", message_id(claim)));
}

/* The time is that of the claim: deliver.c holds no task for long before it is sent. */
static void
add_signature(Lines *lines, const Claim *claim, const Secrets *secrets, const bytea *body)
{
	char *id = message_id(claim);
	int64 now = timestamptz_to_time_t(ROW_TIME(&claim->lease, LEASE_STARTED_AT));
	char *signature = signature_make(secrets->secret, id, now, body);

	if (secrets->old_secret != NULL)
		signature = psprintf("%s %s", signature,
							 signature_make(secrets->old_secret, id, now, body));
	add_line(lines, psprintf("webhook-id: %s", id));
	add_line(lines, psprintf("webhook-timestamp: " INT64_FORMAT, now));
	add_line(lines, psprintf("webhook-signature: %s", signature));
}

static Datum
head_of(const Queue *queue, const Claim *claim, const Secrets *secrets, const bytea *body)
{
	const Row *task = &claim->task;
	Jsonb *headers = NULL;
	Lines lines = {.count = 0};
	int limit = OWN_LINES;

	if (!task->nulls[TASK_HEADERS])
		headers = DatumGetJsonbP(task->values[TASK_HEADERS]);
	limit += headers != NULL ? JB_ROOT_COUNT(headers) : 0;
	limit += secrets->headers != NULL ? JB_ROOT_COUNT(secrets->headers) : 0;
	lines.line = palloc_array(Datum, limit);
	if (secrets->headers != NULL)
		add_headers(&lines, secrets->headers, NULL);
	if (headers != NULL)
		add_headers(&lines, headers, secrets->headers);
	if (!lines.has_type && !task->nulls[TASK_PAYLOAD])
		add_line(&lines, JSON_TYPE);
	add_own_headers(&lines, queue, claim);
	if (secrets->secret != NULL)
		add_signature(&lines, claim, secrets, body);
	return PointerGetDatum(construct_array(lines.line, lines.count, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* The payload as JSON in UTF-8, or the body; false if there is neither. */
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
	*body = CStringGetTextDatum(json); /* a text and a bytea look alike */
	return true;
}

static int64
timeout_ms_of(const Queue *queue, const Row *task)
{
	if (task->nulls[TASK_TIMEOUT])
		return queue->timeout_us > 0 ? queue->timeout_us / US_PER_MS : taskq_http_timeout;
	return interval_us(DatumGetIntervalP(task->values[TASK_TIMEOUT])) / US_PER_MS;
}

/*
 * Where it goes; nowhere, which the engine refuses, when a queue has lost its url.
 * To an endpoint goes only what was submitted for one, as a path.
 */
static char *
url_of(const Queue *queue, const Row *task, const Secrets *secrets)
{
	char *own = NULL;
	char *url = secrets->url != NULL ? secrets->url : queue->url;
	int base;

	if (!task->nulls[TASK_URL])
		own = TextDatumGetCString(task->values[TASK_URL]);
	if (url == NULL || (own != NULL && !queue->endpoint))
		return own != NULL ? own : "";
	if (own == NULL)
		return url;
	if (tq_path_invalid(own) != NULL)
		return "";
	base = strlen(url);
	if (own[0] == '/' && base > 0 && url[base - 1] == '/')
		base--;
	return psprintf("%.*s%s", base, url, own);
}

static void
return_request(ReturnSetInfo *rsinfo, const Queue *queue, const Claim *claim,
			   const Secrets *secrets)
{
	enum
	{
		ID,
		TOKEN,
		LEASE_MS,
		TIMEOUT_MS,
		METHOD,
		URL,
		HEADERS,
		BODY,
		NCOLUMNS,
	};
	const Row *task = &claim->task;
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS] = {false};
	bool has_body = body_of(task, &values[BODY]);

	values[ID] = task->values[TASK_ID];
	values[TOKEN] = claim->lease.values[LEASE_TOKEN];
	values[LEASE_MS] = Int64GetDatum(lease_length_us(&claim->lease) / US_PER_MS);
	values[TIMEOUT_MS] = Int64GetDatum(timeout_ms_of(queue, task));
	if (task->nulls[TASK_METHOD])
		values[METHOD] = CStringGetTextDatum("POST");
	else
		values[METHOD] = task->values[TASK_METHOD];
	values[URL] = CStringGetTextDatum(url_of(queue, task, secrets));
	values[HEADERS] = head_of(queue, claim, secrets,
							  has_body ? DatumGetByteaPP(values[BODY]) : NULL);
	nulls[BODY] = !has_body;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ---- whose tasks ------------------------------------------------------------ */

/* Who asks for tasks. */
typedef struct Sender
{
	bool builtin;
	text *worker;
	Datum *names; /* of the queues it has chosen; NULL: all */
	int nnames;
} Sender;

static void
read_names(ArrayType *array, Sender *sender)
{
	bool *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &sender->names, &nulls,
					  &sender->nnames);
	for (int i = 0; i < sender->nnames; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
					 errmsg("queues must not have NULL elements"),
					 errdetail("Each element is the name of a queue."),
					 errhint("Pass NULL instead of the array for all queues.")));
	}
}

/* Without a name it is the executor, and nobody else may say so. */
static Sender
sender_of(FunctionCallInfo fcinfo, int names, int worker)
{
	Sender sender = {.builtin = worker >= 0 && PG_ARGISNULL(worker)};

	if (sender.builtin && !superuser() && GetUserId() != get_role_oid(TASKQ_BGW_ROLE, true))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_NOT_PERMITTED),
				 errmsg("worker must not be NULL"),
				 errdetail("Without a name it is the executor inside the server that asks."),
				 errhint("Pass a name for this worker.")));
	if (!PG_ARGISNULL(names))
		read_names(PG_GETARG_ARRAYTYPE_P(names), &sender);
	if (sender.builtin || worker < 0)
		sender.worker = cstring_to_text(EXECUTOR_WORKER);
	else
		sender.worker = PG_GETARG_TEXT_PP(worker);
	if (!sender.builtin && worker >= 0 &&
		strcmp(text_to_cstring(sender.worker), EXECUTOR_WORKER) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("worker must not be \"%s\"", EXECUTOR_WORKER),
				 errdetail("That is what the executor inside the server is called."),
				 errhint("Pass another name for this worker.")));
	return sender;
}

static bool
has_chosen(const Sender *sender, const char *name)
{
	for (int i = 0; i < sender->nnames; i++)
	{
		if (strcmp(TextDatumGetCString(sender->names[i]), name) == 0)
			return true;
	}
	return sender->names == NULL;
}

static bool
serves(const Sender *sender, const Queue *queue)
{
	if (queue == NULL || queue->external == sender->builtin)
		return false;
	return sender->builtin || (has_chosen(sender, queue->name) && queue_may(queue, PRIVILEGE_WORK));
}

/* The push queues that it serves, palloc'd ids. */
static int32 *
queues_of(const Sender *sender, int *count)
{
	int all;
	int32 *ids = queue_push_ids(&all);

	*count = 0;
	for (int i = 0; i < all; i++)
	{
		if (serves(sender, queue_by_id(ids[i])))
			ids[(*count)++] = ids[i];
	}
	return ids;
}

PG_FUNCTION_INFO_V1(taskq_push_queues);
Datum
taskq_push_queues(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Sender sender = sender_of(fcinfo, 0, -1);
	int count;
	int32 *ids = queues_of(&sender, &count);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count; i++)
	{
		const Queue *queue = queue_by_id(ids[i]);
		Datum name = queue != NULL ? CStringGetTextDatum(queue->name) : (Datum) 0;
		bool isnull = false;

		if (queue != NULL)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &name, &isnull);
	}
	return (Datum) 0;
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

/*
 * With the url that they are for, by one look: what the session knows of the queue
 * may be older.  False: there are none, though there should be.
 */
static bool
read_secrets(const Queue *queue, Secrets *secrets)
{
	Datum id = Int32GetDatum(queue->id);
	Datum row[4];
	bool isnull[4];

	memset(secrets, 0, sizeof(Secrets));
	if (!queue->secretive)
		return true;
	if (!owner_query(&select_secrets, &id, NULL, row, isnull, 4) || isnull[0])
		return false;
	secrets->url = TextDatumGetCString(row[0]);
	secrets->headers = isnull[1] ? NULL : DatumGetJsonbP(row[1]);
	secrets->secret = isnull[2] ? NULL : DatumGetByteaPP(row[2]);
	secrets->old_secret = isnull[3] ? NULL : DatumGetByteaPP(row[3]);
	return true;
}

/* Claims from one queue and returns the requests; how many. */
static int
claim_from(const Queue *queue, int max, const Sender *sender, Claim *claims, ReturnSetInfo *rsinfo)
{
	int allowed = endpoint_allow(queue, max, GetCurrentTimestamp());
	TimestampTz next_due;
	int count = 0;
	Secrets secrets;

	if (allowed > 0 && read_secrets(queue, &secrets))
		count = task_claim(queue, allowed, queue->lease_us, sender->worker, claims, &next_due);
	endpoint_claimed(queue, allowed, count, count > 0 ? ROW_INT64(&claims[0].task, TASK_ID) : 0);
	for (int i = 0; i < count; i++)
		return_request(rsinfo, queue, &claims[i], &secrets);
	return count;
}

/* Each call begins with another queue, so that a busy one does not starve the others. */
PG_FUNCTION_INFO_V1(taskq_push_claim);
Datum
taskq_push_claim(PG_FUNCTION_ARGS)
{
	static unsigned int turn = 0;
	int max = arg_int32(fcinfo, 0, "max_tasks", 1, 1, TASKQ_MAX_BATCH);
	Sender sender = sender_of(fcinfo, 1, 2);
	Claim *claims = palloc_array(Claim, max);
	int count;
	int32 *ids;

	executor_call("taskq_private.push_claim()");
	ids = queues_of(&sender, &count);
	InitMaterializedSRF(fcinfo, 0);
	turn++;
	for (int i = 0; i < count && max > 0; i++)
	{
		const Queue *queue = queue_by_id(ids[((unsigned int) i + turn) % count]);

		if (queue != NULL)
			max -= claim_from(queue, max, &sender, claims, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(taskq_push_next_due);
Datum
taskq_push_next_due(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	Sender sender = sender_of(fcinfo, 0, 1);
	int count;
	int32 *ids = queues_of(&sender, &count);
	bool limited = false;
	Datum values[2];
	bool nulls[2] = {false, false};
	TupleDesc desc;

	for (int i = 0; i < count && next > now; i++)
	{
		const Queue *queue = queue_by_id(ids[i]);
		TimestampTz next_of_queue = DT_NOEND;

		if (queue != NULL && task_is_due(queue, now, &next_of_queue))
			next_of_queue = endpoint_opens(queue, now, &limited);
		next = Min(next, next_of_queue);
	}
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	/* Rounded up: a wake-up before the time would find nothing. */
	nulls[0] = next == DT_NOEND;
	values[0] = Int64GetDatum(nulls[0] ? 0 : (next - now + US_PER_MS - 1) / US_PER_MS);
	values[1] = BoolGetDatum(limited);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- answers ------------------------------------------------------------------ */

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
static Datum
headers_jsonb(const bytea *raw)
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

/* The arguments of push_report(). */
enum ReportArgument
{
	REP_ID,
	REP_TOKEN,
	REP_VERDICT,
	REP_CLASS,
	REP_STATUS,
	REP_HEADERS,
	REP_BODY,
	REP_TRUNCATED,
	REP_ELAPSED,
	REP_ERROR,
	REP_RETRY_AFTER,
	REP_TIMES,
};

static void
read_answer(FunctionCallInfo fcinfo, Answer *answer)
{
	memset(answer, 0, sizeof(Answer));
	if (!PG_ARGISNULL(REP_ELAPSED))
		answer->elapsed = PG_GETARG_INTERVAL_P(REP_ELAPSED);
	if (!PG_ARGISNULL(REP_TIMES))
		answer->times = PG_GETARG_DATUM(REP_TIMES);
	answer->present = !PG_ARGISNULL(REP_STATUS);
	if (!answer->present)
		return;
	answer->status = PG_GETARG_INT32(REP_STATUS);
	answer->truncated = !PG_ARGISNULL(REP_TRUNCATED) && PG_GETARG_BOOL(REP_TRUNCATED);
	if (!PG_ARGISNULL(REP_HEADERS))
		answer->headers = headers_jsonb(PG_GETARG_BYTEA_PP(REP_HEADERS));
	if (!PG_ARGISNULL(REP_BODY))
		answer->body = PG_GETARG_DATUM(REP_BODY);
}

static void
read_failure(FunctionCallInfo fcinfo, const char *verdict, const Answer *answer, Failure *failure)
{
	memset(failure, 0, sizeof(Failure));
	failure->class = "internal";
	if (!PG_ARGISNULL(REP_CLASS))
		failure->class = text_to_cstring(PG_GETARG_TEXT_PP(REP_CLASS));
	failure->error = arg_error(fcinfo, REP_ERROR);
	if (failure->error == NULL && answer->present)
		failure->error = cstring_to_text(psprintf("HTTP status %d", answer->status));
	failure->permanent = strcmp(verdict, "permanent") == 0;
	failure->retry_in_us = arg_interval_us(fcinfo, REP_RETRY_AFTER, "retry_after", -1, 0,
										   MAX_DELAY_US);
	failure->answer = answer;
}

/* What lies below an endpoint may be gone without the endpoint being so. */
static bool
has_path(int64 id)
{
	Row task;

	return !row_read(HOT_TASK, id, &task) || !task.nulls[TASK_URL];
}

PG_FUNCTION_INFO_V1(taskq_push_report);
Datum
taskq_push_report(PG_FUNCTION_ARGS)
{
	int64 id = arg_id(fcinfo, REP_ID, "id");
	int64 token = arg_id(fcinfo, REP_TOKEN, "token");
	char *verdict = "";
	bool success;
	bool gone = false;
	Answer answer;
	Failure failure = {.class = "http", .retry_in_us = -1};
	Row lease;

	executor_call("taskq_private.push_report()");
	if (!PG_ARGISNULL(REP_VERDICT))
		verdict = text_to_cstring(PG_GETARG_TEXT_PP(REP_VERDICT));
	success = strcmp(verdict, "success") == 0;
	if (!success && strcmp(verdict, "retry") != 0 && strcmp(verdict, "permanent") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("invalid verdict"),
				 errdetail("It must be success, retry or permanent."),
				 errhint("See src/core/outcome.h.")));
	read_answer(fcinfo, &answer);
	switch (lease_take_sent(id, token, &lease))
	{
		case ROW_DONE:
			break;
		case ROW_BUSY:
			PG_RETURN_NULL();
		default:
			PG_RETURN_BOOL(false);
	}
	if (success)
		task_finish(&lease, (Datum) 0, true, &answer);
	else
	{
		read_failure(fcinfo, verdict, &answer, &failure);
		gone = answer.status == 410 && !has_path(id);
		(void) task_fail(&lease, &failure);
	}
	endpoint_note(queue_by_id(ROW_INT32(&lease, LEASE_QUEUE_ID)), id, failure.class, answer.status,
				  failure.retry_in_us, gone);
	PG_RETURN_BOOL(true);
}
