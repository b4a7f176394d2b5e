/*
 * queue.c
 *		Queues as the session knows them.
 *
 * A queue's settings are read once and remembered until somebody changes a
 * queue or a policy: whoever does calls queues_changed(), which sends a
 * relation invalidation for taskq_private.queue.  What a transaction remembered of its
 * own uncommitted changes is forgotten when it, or a part of it, rolls back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/arg.h"
#include "base/catalog.h"
#include "base/errors.h"
#include "base/sql.h"
#include "base/xact.h"
#include "tables/queue.h"

/* clang-format off */
#define GRANTEES(privilege) \
	"array(select g.role::oid from taskq_private.queue_grant g " \
	"where g.queue_id = q.id and g.privilege = '" privilege "')"
#define QUEUE_COLUMNS \
	"select q.id, q.mode = 'push', q.url, q.retry, q.lease_for, q.keep_finished, q.keep_dead, " \
	"q.keep_key, q.durable_finish, q.executor = 'external', q.paused, q.name::text, " \
	"(select p.max_attempts from taskq_private.all_retry_policies p " \
	"where p.name in (q.retry, 'default') order by p.name = q.retry desc limit 1), " \
	"e.queue_id, e.signed or e.header_names <> '{}', e.secrets_missing, e.timeout, " \
	"e.max_running, e.rate::float8, " \
	GRANTEES("submit") ", " GRANTEES("work") ", " GRANTEES("view") ", " GRANTEES("control") " " \
	"from taskq_private.all_queues q " \
	"left join taskq_private.endpoint_settings e on e.queue_id = q.id "
/* clang-format on */

enum QueueColumn
{
	QUEUE_ID,
	QUEUE_PUSH,
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
	QUEUE_MAX_ATTEMPTS,
	QUEUE_ENDPOINT, /* this and the next NULL: it is none */
	QUEUE_SECRETIVE,
	QUEUE_SECRETS_MISSING,
	QUEUE_TIMEOUT,
	QUEUE_MAX_RUNNING,
	QUEUE_RATE,
	QUEUE_GRANTEES, /* the first of NPRIVILEGES columns */
	QUEUE_NCOLUMNS = QUEUE_GRANTEES + NPRIVILEGES
};

static Statement select_by_name = {QUEUE_COLUMNS "where q.name = $1", 1, {TEXTOID}, NULL};
static Statement select_by_id = {QUEUE_COLUMNS "where q.id = $1", 1, {INT4OID}, NULL};
static Statement select_push_ids = {
	"select array_agg(q.id order by q.id) from taskq_private.all_queues q where q.mode = 'push'",
	0,
	{0},
	NULL,
};
static Statement select_version = {
	"select e.extversion from pg_catalog.pg_extension e where e.extname = 'taskq'",
	0,
	{0},
	NULL,
};

/* Queues by name; entries of queues are never removed, only marked invalid. */
static HTAB *queues = NULL;
static MemoryContext queue_context = NULL;

static bool push_ids_valid = false;
static int32 *push_ids = NULL;
static int npush_ids = 0;

/* The relation whose invalidation says that something changed. */
static Oid queue_relation = InvalidOid;
static bool relation_known = false; /* it has been looked up since */

/* What was last found by id. */
static Queue *last_by_id = NULL;

/* The extension's objects are those that this library was built for. */
static bool version_fits = false;

/* How often something has. */
static uint64 changes = 0;

static void
forget_all(void)
{
	HASH_SEQ_STATUS status;
	Queue *queue;

	changes++;
	relation_known = false;
	version_fits = false;
	push_ids_valid = false;
	if (queues == NULL)
		return;
	hash_seq_init(&status, queues);
	while ((queue = hash_seq_search(&status)) != NULL)
		queue->valid = false;
}

static void
relation_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == queue_relation)
		forget_all();
}

/* What a prepared transaction has done is not done yet, and may never be. */
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

/* May fail half-way; to begin again does no harm. */
static void
make_memory(void)
{
	HASHCTL ctl = {.keysize = NAMEDATALEN, .entrysize = sizeof(Queue)};

	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	xact_register(&remembered);
	queue_context = AllocSetContextCreate(TopMemoryContext, "taskq queues", ALLOCSET_SMALL_SIZES);
	ctl.hcxt = queue_context;
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

/* The old one is given up once there is the new one. */
static char *
keep_text(char *old, Datum value, bool isnull)
{
	char *new = isnull ? NULL : MemoryContextStrdup(queue_context, TextDatumGetCString(value));

	if (old != NULL)
		pfree(old);
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
	if (q->grantees[privilege] != NULL)
		pfree(q->grantees[privilege]);
	q->grantees[privilege] = grantees;
	q->ngrantees[privilege] = count;
}

/* The entry of that name, to be filled; what it holds already is its own. */
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
	q->valid = false;
	return q;
}

static void
remember_endpoint(Queue *q, const Datum *row, const bool *isnull)
{
	q->endpoint = !isnull[QUEUE_ENDPOINT];
	q->secretive = q->endpoint && DatumGetBool(row[QUEUE_SECRETIVE]);
	q->secrets_missing = q->endpoint && DatumGetBool(row[QUEUE_SECRETS_MISSING]);
	q->timeout_us = isnull[QUEUE_TIMEOUT] ? 0 : interval_us(DatumGetIntervalP(row[QUEUE_TIMEOUT]));
	q->max_running = isnull[QUEUE_MAX_RUNNING] ? 0 : DatumGetInt32(row[QUEUE_MAX_RUNNING]);
	q->rate = isnull[QUEUE_RATE] ? 0 : DatumGetFloat8(row[QUEUE_RATE]);
}

static Queue *
remember(const Datum *row, const bool *isnull)
{
	Queue *q = entry_of(TextDatumGetCString(row[QUEUE_NAME]));

	q->id = DatumGetInt32(row[QUEUE_ID]);
	q->push = DatumGetBool(row[QUEUE_PUSH]);
	q->url = keep_text(q->url, row[QUEUE_URL], isnull[QUEUE_URL]);
	q->retry = keep_text(q->retry, row[QUEUE_RETRY], isnull[QUEUE_RETRY]);
	q->max_attempts = DatumGetInt32(row[QUEUE_MAX_ATTEMPTS]);
	q->lease_us = interval_us(DatumGetIntervalP(row[QUEUE_LEASE_FOR]));
	q->keep_finished_us = interval_us(DatumGetIntervalP(row[QUEUE_KEEP_FINISHED]));
	q->keep_dead_us = interval_us(DatumGetIntervalP(row[QUEUE_KEEP_DEAD]));
	q->keep_key_us = interval_us(DatumGetIntervalP(row[QUEUE_KEEP_KEY]));
	q->durable_finish = DatumGetBool(row[QUEUE_DURABLE_FINISH]);
	q->external = DatumGetBool(row[QUEUE_EXTERNAL]);
	q->paused = DatumGetBool(row[QUEUE_PAUSED]);
	remember_endpoint(q, row, isnull);
	for (int i = 0; i < NPRIVILEGES; i++)
		keep_grantees(q, i, row[QUEUE_GRANTEES + i]);
	q->exists = true;
	q->valid = true;
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
				 errmsg("extension taskq is of version %s, its library of %s", version,
						TASKQ_VERSION),
				 errdetail("They must be of the same version."),
				 errhint("Install the library of version %s and restart the server.", version)));
	version_fits = true;
}

/*
 * Reads what is to be remembered, again if something changed meanwhile: the
 * query's snapshot may be older than the change.
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

const Queue *
queue_find(text *name)
{
	char key[NAMEDATALEN] = {0};
	Datum argument = PointerGetDatum(name);
	Datum row[QUEUE_NCOLUMNS];
	bool isnull[QUEUE_NCOLUMNS];
	Queue *queue;

	start_remembering();
	text_to_cstring_buffer(name, key, sizeof(key));
	queue = hash_search(queues, key, HASH_FIND, NULL);
	if (queue == NULL || !queue->valid)
	{
		if (read_settled(&select_by_name, &argument, row, isnull, QUEUE_NCOLUMNS))
			return remember(row, isnull);
		queue = entry_of(key);
		queue->exists = false;
		queue->valid = true;
	}
	return queue->exists ? queue : NULL;
}

/* That a name is none is remembered of names that stand in a table, not of any that is tried. */
static void
forget_missing(text *name)
{
	char key[NAMEDATALEN] = {0};

	text_to_cstring_buffer(name, key, sizeof(key));
	(void) hash_search(queues, key, HASH_REMOVE, NULL);
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
		forget_missing(name);
	if (queue == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_UNKNOWN_QUEUE),
				 errmsg("queue \"%s\" does not exist", text_to_cstring(name)),
				 errdetail("No queue of that name was created in this database."),
				 errhint("taskq.create_queue() creates it; taskq.queues shows all there are.")));
	return queue;
}

static bool
is_known(const Queue *queue, int32 id)
{
	return queue->valid && queue->exists && queue->id == id;
}

const Queue *
queue_by_id(int32 id)
{
	Datum argument = Int32GetDatum(id);
	Datum row[QUEUE_NCOLUMNS];
	bool isnull[QUEUE_NCOLUMNS];
	HASH_SEQ_STATUS status;
	Queue *queue;

	start_remembering();
	if (last_by_id != NULL && is_known(last_by_id, id))
		return last_by_id;
	hash_seq_init(&status, queues);
	while ((queue = hash_seq_search(&status)) != NULL)
	{
		if (is_known(queue, id))
		{
			hash_seq_term(&status);
			return last_by_id = queue;
		}
	}
	if (!read_settled(&select_by_id, &argument, row, isnull, QUEUE_NCOLUMNS))
		return NULL;
	return remember(row, isnull);
}

int32 *
queue_push_ids(int *count)
{
	start_remembering();
	if (!push_ids_valid)
	{
		Datum value;
		bool isnull;
		ArrayType *array;
		int32 *ids;
		int count_now;

		if (!read_settled(&select_push_ids, NULL, &value, &isnull, 1) || isnull)
			elog(ERROR, "there is no push queue");
		array = DatumGetArrayTypeP(value);
		count_now = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		ids = memcpy(MemoryContextAlloc(queue_context, count_now * sizeof(int32)),
					 ARR_DATA_PTR(array), count_now * sizeof(int32));
		if (push_ids != NULL)
			pfree(push_ids);
		push_ids = ids;
		npush_ids = count_now;
		push_ids_valid = true;
	}
	*count = npush_ids;
	return memcpy(palloc(npush_ids * sizeof(int32)), push_ids, npush_ids * sizeof(int32));
}

/* Again if the extension was dropped and created before the lock was ours. */
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
