/*
 * request.c
 *		A claimed push task as the request that is to be sent.
 *
 * What is returned can be sent as it is: the sender adds nothing.
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

#include "base/arg.h"
#include "base/settings.h"
#include "base/sql.h"
#include "core/url.h"
#include "life/acquire.h"
#include "life/lease.h"
#include "push/headers.h"
#include "push/request.h"
#include "push/signature.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define JSON_TYPE           "Content-Type: application/json"
#define MAX_RESPONSE_FIELDS 1000

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

/* An object of strings, see headers_check() in submit_http.c; without those that others has. */
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
		return queue->timeout_us > 0 ? queue->timeout_us / US_PER_MS : setting_http_timeout;
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

void
request_return(ReturnSetInfo *rsinfo, const Queue *queue, const Claim *claim,
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
bool
request_read_secrets(const Queue *queue, Secrets *secrets)
{
	Datum id = Int32GetDatum(queue->id);
	Datum row[4];
	bool isnull[4];

	memset(secrets, 0, sizeof(Secrets));
	if (!queue->secretive)
		return true;
	if (!sql_as_owner(&select_secrets, &id, NULL, row, isnull, 4) || isnull[0])
		return false;
	secrets->url = TextDatumGetCString(row[0]);
	secrets->headers = isnull[1] ? NULL : DatumGetJsonbP(row[1]);
	secrets->secret = isnull[2] ? NULL : DatumGetByteaPP(row[2]);
	secrets->old_secret = isnull[3] ? NULL : DatumGetByteaPP(row[3]);
	return true;
}
