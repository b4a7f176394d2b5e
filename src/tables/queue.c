/*
 * queue.c
 *		The session's copies of queues.
 *
 * A queue's settings are read once and remembered until a session changes a
 * queue or a policy: that session calls queues_changed(), which sends a relation
 * invalidation for the table of queues.  Changes of roles and of privileges on schemas, which
 * are rare, invalidate them as well.  A transaction sees its own uncommitted
 * changes; when it or a subtransaction rolls back, all copies are forgotten.
 *
 * Databases may have thousands of queues.  So forgetting them only increments a number and
 * visits no queue, and hash tables find a queue by its name and by its id.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/errors.h"
#include "base/sql.h"
#include "base/xact.h"
#include "tables/event_rows.h"
#include "tables/queue.h"

/* clang-format off */
#define GRANTEES(privilege) \
	"array(select g.role_oid from taskq_private.valid_grants g " \
	"where g.queue_id = q.id and g.privilege = '" privilege "')"
#define POLICY(column) \
	"(select " column " from taskq_private.all_retry_policies p " \
	"where p.name in (q.retry, 'default') order by p.name = q.retry desc limit 1)"
#define LIMIT(row) \
	row ".max_running, " row ".rate, " row ".per, " row ".burst, " row ".weight"
#define QUEUE_COLUMNS \
	"select q.id, q.mode = 'push', q.mode = 'topic', q.mode = 'call', q.url, q.retry, " \
	"q.lease_for, q.keep_finished, q.keep_dead, q.keep_key, q.durable_finish, " \
	"q.executor = 'external', " \
	"q.paused, q.name::text, q.keep_payload, q.keep_origin, q.on_finish, q.on_dead, q.ordered, " \
	"q.header_style, q.accept_202, q.events, " \
	"exists (select from taskq_private.flow_limit f where f.queue_id = q.id), " \
	LIMIT("lq") ", " LIMIT("ld") ", " \
	POLICY("p.max_attempts") ", " POLICY("p.max_age is not null") ", " \
	"e.queue_id, e.signed or e.header_names <> '{}', e.secrets_missing, e.timeout, " \
	GRANTEES("submit") ", " GRANTEES("work") ", " GRANTEES("view") ", " GRANTEES("control") " " \
	"from taskq_private.all_queues q " \
	"left join taskq_private.endpoint_settings e on e.queue_id = q.id " \
	"left join taskq_private.flow_limit lq on lq.queue_id = q.id and lq.scope = 'q' " \
	"left join taskq_private.flow_limit ld on ld.queue_id = q.id and ld.scope = 'd' "
/* clang-format on */

enum QueueColumn
{
	QUEUE_ID,
	QUEUE_PUSH,
	QUEUE_TOPIC,
	QUEUE_CALL,
	QUEUE_URL,
	QUEUE_RETRY,
	QUEUE_LEASE_FOR,
	QUEUE_KEEP_FINISHED,
	QUEUE_KEEP_DEAD,
	QUEUE_KEEP_KEY,
	QUEUE_DURABLE_FINISH,
	QUEUE_EXTERNAL,
	QUEUE_PAUSED,
	QUEUE_NAME,
	QUEUE_KEEP_PAYLOAD,
	QUEUE_KEEP_ORIGIN,
	QUEUE_ON_FINISH,
	QUEUE_ON_DEAD,
	QUEUE_ORDERED,
	QUEUE_HEADER_STYLE,
	QUEUE_ACCEPT_202,
	QUEUE_EVENTS,
	QUEUE_HAS_LIMITS,
	QUEUE_LIMIT,                                      /* the first of LIMIT_NCOLUMNS columns */
	QUEUE_GROUP_LIMIT = QUEUE_LIMIT + LIMIT_NCOLUMNS, /* the same */
	QUEUE_MAX_ATTEMPTS = QUEUE_GROUP_LIMIT + LIMIT_NCOLUMNS,
	QUEUE_AGE_LIMITED,
	QUEUE_ENDPOINT, /* this and the following are NULL if the queue is no endpoint */
	QUEUE_SECRETIVE,
	QUEUE_SECRETS_MISSING,
	QUEUE_TIMEOUT,
	QUEUE_GRANTEES, /* the first of NPRIVILEGES columns */
	QUEUE_NCOLUMNS = QUEUE_GRANTEES + NPRIVILEGES
};

/* The condition is on the id, so the plan uses indexes; by name it would read all endpoints. */
static Statement select_by_name = {
	QUEUE_COLUMNS "where q.id = (select n.id from taskq_private.all_queues n where n.name = $1)",
	1,
	{TEXTOID},
	NULL,
};
static Statement select_by_id = {QUEUE_COLUMNS "where q.id = $1", 1, {INT4OID}, NULL};
static Statement select_sent_ids = {
	"select array_agg(q.id order by q.id) from taskq_private.all_queues q "
	"where q.mode = $1 and q.executor = $2",
	2,
	{TEXTOID, TEXTOID},
	NULL,
};
static Statement select_version = {
	"select e.extversion from pg_catalog.pg_extension e where e.extname = 'taskq'",
	0,
	{0},
	NULL,
};

/* An entry of the hash table by id; points to the queue, which has or had this id. */
typedef struct QueueId
{
	int32 id; /* hash key */
	Queue *queue;
} QueueId;

/* The entry of a queue that exists stays in the same place for the session. */
static HTAB *queues = NULL; /* by name */
static HTAB *queues_by_id = NULL;
static MemoryContext queue_context = NULL;

/*
 * The push queues whose tasks the executor sends, and those whose tasks other programs send; the
 * call queues.
 */
typedef struct SentIds
{
	const char *mode; /* mode and executor as in the table */
	const char *executor;
	uint64 as_of; /* the number of changes when it was read */
	int32 *ids;   /* ascending */
	int count;
} SentIds;

static SentIds push_ids[] = {
	{.mode = "push", .executor = "builtin"},
	{.mode = "push", .executor = "external"},
};
static SentIds call_ids = {.mode = "call", .executor = "builtin"};

/* An invalidation of this relation means that all copies must be forgotten. */
static Oid queue_relation = InvalidOid;
static bool relation_known = false; /* it has been looked up since then */

/* The library and the extension's objects are of the same version. */
static bool version_fits = false;

/* The number of changes plus 1; a copy that was read as of another number is not valid. */
static uint64 changes = 1;

static void
forget_all(void)
{
	changes++;
	relation_known = false;
	version_fits = false;
}

static void
relation_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == queue_relation)
		forget_all();
}

/* A role, or its privileges on the schema: a grant may count from now on, or no longer. */
static void
role_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_all();
}

/* The changes of a prepared transaction are not yet committed, and may never be. */
static void
forget_unless_committed(XactEnd end)
{
	if (end != XACT_COMMITTED)
		forget_all();
}

static XactKind remembered = {
	.ended = forget_unless_committed,
	.part_rolled_back = forget_all,
};

/* If it fails half-way it is called again, and that does no harm. */
static void
make_memory(void)
{
	HASHCTL ctl = {.keysize = NAMEDATALEN, .entrysize = sizeof(Queue)};
	HASHCTL by_id = {.keysize = sizeof(int32), .entrysize = sizeof(QueueId)};

	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, role_changed, (Datum) 0);
	xact_register(&remembered);
	queue_context = AllocSetContextCreate(TopMemoryContext, "taskq queues", ALLOCSET_SMALL_SIZES);
	ctl.hcxt = by_id.hcxt = queue_context;
	queues_by_id = hash_create("taskq queues by id", 16, &by_id,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	queues = hash_create("taskq queues", 16, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static void
start_remembering(void)
{
	if (relation_known)
		return;
	if (queues == NULL)
		make_memory();
	queue_relation = catalog_relation("queue");
	relation_known = true;
}

static void
free_if_any(void *memory)
{
	if (memory != NULL)
		pfree(memory);
}

/* Copies the new text first and then frees the old one. */
static char *
keep_text(char *old, Datum value, bool isnull)
{
	char *new = isnull ? NULL : MemoryContextStrdup(queue_context, TextDatumGetCString(value));

	free_if_any(old);
	return new;
}

/* The same for a jsonb, which is not toasted. */
static Jsonb *
keep_json(Jsonb *old, Datum value, bool isnull)
{
	Jsonb *new = NULL;

	if (!isnull)
		new = memcpy(MemoryContextAlloc(queue_context, VARSIZE(DatumGetPointer(value))),
					 DatumGetPointer(value), VARSIZE(DatumGetPointer(value)));
	free_if_any(old);
	return new;
}

static void
keep_grantees(Queue *q, int privilege, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	Oid *grantees = NULL;

	if (count > 0)
		grantees = memcpy(MemoryContextAlloc(queue_context, count * sizeof(Oid)),
						  ARR_DATA_PTR(array), count * sizeof(Oid));
	free_if_any(q->grantees[privilege]);
	q->grantees[privilege] = grantees;
	q->ngrantees[privilege] = count;
}

/* The entry of that name, not valid until it is filled.  Its pointers are NULL or owned by it. */
static Queue *
entry_of(const char *name)
{
	char key[NAMEDATALEN] = {0};
	bool found;
	Queue *q;

	strlcpy(key, name, sizeof(key));
	q = hash_search(queues, key, HASH_ENTER, &found);
	if (!found)
		memset((char *) q + sizeof(q->name), 0, sizeof(*q) - sizeof(q->name));
	q->as_of = 0;
	return q;
}

static void
remember_id(Queue *q, int32 id)
{
	QueueId *entry = hash_search(queues_by_id, &id, HASH_ENTER, NULL);

	entry->queue = q;
	q->id = id;
}

static bool
is_valid(const Queue *q)
{
	return q->as_of == changes;
}

static void
remember_endpoint(Queue *q, const Datum *row, const bool *isnull)
{
	q->endpoint = !isnull[QUEUE_ENDPOINT];
	q->secretive = q->endpoint && DatumGetBool(row[QUEUE_SECRETIVE]);
	q->secrets_missing = q->endpoint && DatumGetBool(row[QUEUE_SECRETS_MISSING]);
	q->timeout_us = isnull[QUEUE_TIMEOUT] ? 0 : interval_us(DatumGetIntervalP(row[QUEUE_TIMEOUT]));
}

static Queue *
remember(const Datum *row, const bool *isnull)
{
	Queue *q = entry_of(TextDatumGetCString(row[QUEUE_NAME]));

	remember_id(q, DatumGetInt32(row[QUEUE_ID]));
	q->push = DatumGetBool(row[QUEUE_PUSH]);
	q->topic = DatumGetBool(row[QUEUE_TOPIC]);
	q->call = DatumGetBool(row[QUEUE_CALL]);
	q->url = keep_text(q->url, row[QUEUE_URL], isnull[QUEUE_URL]);
	q->retry = keep_text(q->retry, row[QUEUE_RETRY], isnull[QUEUE_RETRY]);
	q->max_attempts = DatumGetInt32(row[QUEUE_MAX_ATTEMPTS]);
	q->age_limited = DatumGetBool(row[QUEUE_AGE_LIMITED]);
	q->lease_us = interval_us(DatumGetIntervalP(row[QUEUE_LEASE_FOR]));
	q->keep_finished_us = interval_us(DatumGetIntervalP(row[QUEUE_KEEP_FINISHED]));
	q->keep_dead_us = interval_us(DatumGetIntervalP(row[QUEUE_KEEP_DEAD]));
	q->keep_key_us = interval_us(DatumGetIntervalP(row[QUEUE_KEEP_KEY]));
	q->durable_finish = DatumGetBool(row[QUEUE_DURABLE_FINISH]);
	q->external = DatumGetBool(row[QUEUE_EXTERNAL]);
	q->paused = DatumGetBool(row[QUEUE_PAUSED]);
	q->keep_payload = DatumGetBool(row[QUEUE_KEEP_PAYLOAD]);
	q->keep_origin = DatumGetBool(row[QUEUE_KEEP_ORIGIN]);
	q->on_finish = keep_json(q->on_finish, row[QUEUE_ON_FINISH], isnull[QUEUE_ON_FINISH]);
	q->on_dead = keep_json(q->on_dead, row[QUEUE_ON_DEAD], isnull[QUEUE_ON_DEAD]);
	q->ordered = DatumGetBool(row[QUEUE_ORDERED]);
	q->header_style = tq_style_of_name(TextDatumGetCString(row[QUEUE_HEADER_STYLE]));
	q->accept_202 = DatumGetBool(row[QUEUE_ACCEPT_202]);
	q->events = event_kinds_of(row[QUEUE_EVENTS]);
	q->has_limits = DatumGetBool(row[QUEUE_HAS_LIMITS]);
	q->limit = flow_limit_of(row + QUEUE_LIMIT, isnull + QUEUE_LIMIT);
	q->group_limit = flow_limit_of(row + QUEUE_GROUP_LIMIT, isnull + QUEUE_GROUP_LIMIT);
	remember_endpoint(q, row, isnull);
	for (int i = 0; i < NPRIVILEGES; i++)
		keep_grantees(q, i, row[QUEUE_GRANTEES + i]);
	q->exists = true;
	q->as_of = changes;
	return q;
}

/* A server keeps the library it has loaded until it restarts, so the two can differ. */
static void
check_version(void)
{
	Datum value;
	bool isnull;
	char *version;

	if (version_fits)
		return;
	if (!sql_as_owner(&select_version, NULL, NULL, &value, &isnull, 1) || isnull)
		elog(ERROR, "extension taskq is not in pg_extension");
	version = TextDatumGetCString(value);
	if (strcmp(version, TASKQ_VERSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension taskq has version %s, its library has version %s", version,
						TASKQ_VERSION),
				 errdetail("They must have the same version."),
				 errhint("Install the library of version %s and restart the server.", version)));
	version_fits = true;
}

/*
 * Reads a row that the caller will remember.  Reads it again if something changed
 * meanwhile, because the query's snapshot may be older than the change.
 */
static bool
read_settled(Statement *statement, Datum *argument, Datum *row, bool *isnull, int ncols)
{
	uint64 before;
	bool found;

	do
	{
		start_remembering();
		check_version();
		before = changes;
		found = sql_as_owner(statement, argument, NULL, row, isnull, ncols);
	} while (before != changes);
	return found;
}

/* The valid entry of that name, whether or not there is such a queue. */
static Queue *
look_up(text *name)
{
	char key[NAMEDATALEN] = {0};
	Datum argument = PointerGetDatum(name);
	Datum row[QUEUE_NCOLUMNS];
	bool isnull[QUEUE_NCOLUMNS];
	Queue *queue;

	start_remembering();
	text_to_cstring_buffer(name, key, sizeof(key));
	queue = hash_search(queues, key, HASH_FIND, NULL);
	if (queue != NULL && is_valid(queue))
		return queue;
	if (read_settled(&select_by_name, &argument, row, isnull, QUEUE_NCOLUMNS))
		return remember(row, isnull);
	queue = entry_of(key);
	queue->exists = false;
	queue->as_of = changes;
	return queue;
}

const Queue *
queue_of_row(text *name)
{
	Queue *queue = look_up(name);

	return queue->exists ? queue : NULL;
}

/* Removes an entry and frees the memory that it owns, if there once was a queue of that name. */
static void
drop_entry(Queue *queue)
{
	QueueId *by_id = hash_search(queues_by_id, &queue->id, HASH_FIND, NULL);

	if (by_id != NULL && by_id->queue == queue)
		(void) hash_search(queues_by_id, &queue->id, HASH_REMOVE, NULL);
	free_if_any(queue->url);
	free_if_any(queue->retry);
	free_if_any(queue->on_finish);
	free_if_any(queue->on_dead);
	for (int i = 0; i < NPRIVILEGES; i++)
		free_if_any(queue->grantees[i]);
	(void) hash_search(queues, queue->name, HASH_REMOVE, NULL);
}

/* Clients may pass any number of wrong names, so a name without a queue is not remembered. */
const Queue *
queue_find(text *name)
{
	Queue *queue = look_up(name);

	if (queue->exists)
		return queue;
	drop_entry(queue);
	return NULL;
}

void
queue_refuse_unknown(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_UNKNOWN_QUEUE),
			 errmsg("queue \"%s\" does not exist", name),
			 errdetail("No queue of that name was created in this database, or the current "
					   "role has no privilege on it."),
			 errhint("taskq.create_queue() creates a queue, taskq.grant_queue() gives privileges "
					 "on it, and taskq.queues shows the queues that a role may view.")));
}

const Queue *
queue_by_name(text *name)
{
	const Queue *queue;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("queue must not be NULL"),
				 errdetail("A call needs the name of a queue."),
				 errhint("\"default\" exists from the start.")));
	queue = queue_find(name);
	if (queue == NULL)
		queue_refuse_unknown(text_to_cstring(name));
	return queue;
}

const char *
queue_mode_name(const Queue *queue)
{
	if (queue->topic)
		return "topic";
	if (queue->call)
		return "call queue";
	return queue->push ? "push queue" : "pull queue";
}

void
queue_refuse_topic(const Queue *queue)
{
	if (queue->topic)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("queue \"%s\" is a topic", queue->name),
				 errdetail("A topic has subscribers instead of tasks."),
				 errhint("Call taskq.publish(); taskq.subscriptions shows the queues that get the "
						 "tasks.")));
}

const char *
queue_payload_fault(const Queue *queue)
{
	if (queue->topic)
		return psprintf("queue \"%s\" is a topic", queue->name);
	if (queue->call)
		return psprintf("queue \"%s\" is a call queue", queue->name);
	if (queue->push && queue->url == NULL)
		return psprintf("queue \"%s\" is a push queue without a url", queue->name);
	return NULL;
}

const Queue *
queue_by_id(int32 id)
{
	static int32 missing = 0;
	static uint64 missing_as_of = 0;
	Datum argument = Int32GetDatum(id);
	Datum row[QUEUE_NCOLUMNS];
	bool isnull[QUEUE_NCOLUMNS];
	QueueId *known;

	start_remembering();
	/* The many tasks of a queue that was dropped. */
	if (missing == id && missing_as_of == changes)
		return NULL;
	known = hash_search(queues_by_id, &id, HASH_FIND, NULL);
	if (known != NULL && known->queue->id == id && known->queue->exists && is_valid(known->queue))
		return known->queue;
	if (read_settled(&select_by_id, &argument, row, isnull, QUEUE_NCOLUMNS))
		return remember(row, isnull);
	missing = id;
	missing_as_of = changes;
	return NULL;
}

const char *
queue_request_url(const Queue *queue, const char *base, const char *own)
{
	int length;

	if (own == NULL || base == NULL || !queue->endpoint)
		return own != NULL ? own : base;
	length = strlen(base);
	if (own[0] == '/' && length > 0 && base[length - 1] == '/')
		length--;
	return psprintf("%.*s%s", length, base, own);
}

static void
read_ids(SentIds *list)
{
	Datum arguments[2] = {CStringGetTextDatum(list->mode), CStringGetTextDatum(list->executor)};
	Datum value;
	bool isnull;
	int count = 0;
	int32 *ids = NULL;

	(void) read_settled(&select_sent_ids, arguments, &value, &isnull, 1);
	if (!isnull)
	{
		ArrayType *array = DatumGetArrayTypeP(value);

		count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		ids = memcpy(MemoryContextAlloc(queue_context, count * sizeof(int32)),
					 ARR_DATA_PTR(array), count * sizeof(int32));
	}
	free_if_any(list->ids);
	list->ids = ids;
	list->count = count;
	list->as_of = changes;
}

static int32 *
copy_ids(SentIds *list, int *count)
{
	int32 *copy;

	start_remembering();
	if (list->as_of != changes)
		read_ids(list);
	*count = list->count;
	copy = palloc_array(int32, list->count);
	if (list->count > 0)
		memcpy(copy, list->ids, list->count * sizeof(int32));
	return copy;
}

int32 *
queue_push_ids(bool external, int *count)
{
	return copy_ids(&push_ids[external], count);
}

int32 *
queue_call_ids(int *count)
{
	return copy_ids(&call_ids, count);
}

/* Tries again if the extension was dropped and created while the session waited for the lock. */
static void
lock_queues(LOCKMODE mode)
{
	Oid locked;

	for (;;)
	{
		start_remembering();
		locked = queue_relation;
		LockRelationOid(locked, mode);
		start_remembering();
		if (queue_relation == locked)
			return;
		UnlockRelationOid(locked, mode);
	}
}

void
client_call(const char *function)
{
	require_writable(function);
	lock_queues(RowShareLock);
}

void
executor_call(const char *function)
{
	require_writable(function);
	lock_queues(AccessShareLock);
}

Oid
queue_generation(void)
{
	return queue_relation;
}

uint64
queue_changes(void)
{
	start_remembering();
	return changes;
}
