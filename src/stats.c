/*
 * stats.c
 *		How full the queues are: queue_stats().
 *
 * To count a queue's pending tasks costs as much as there are, so they are
 * counted once, when somebody first asks after the server has started, and
 * from then on each commit adds and takes away what it has changed.  The same
 * goes for the ended ones, which are counted from when the first of them ended.
 * Nothing of it stands in a row, for that row would be everybody's.
 *
 * What a commit adds before the count is known too: the count is what a
 * snapshot shows less what had been added when it was taken.  A transaction
 * that is seen by the snapshot and has not added its share at that very moment
 * is counted twice; so the look is repeated until nothing was added meanwhile.
 * Where that never happens the last count is used for a minute, then all is
 * counted again.
 * Prepared and replicated transactions add nothing: after them all is counted
 * anew.
 *
 * Only a preloaded library has the memory for that; without, every call counts.
 */
#include "dispatch.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#define NSLOTS      1024                 /* queues of the cluster that are counted */
#define PROBES      16                   /* slots that a queue can have */
#define COUNT_LOOK  5                    /* so often the count is repeated */
#define GOOD_ENOUGH (60 * USECS_PER_SEC) /* for so long, when something was added each time */

typedef struct Counts
{
	int64 pending;
	int64 ended[NENDED];
} Counts;

/* The key changes only under the lock, too. */
typedef struct Slot
{
	slock_t lock;
	Oid database; /* InvalidOid: free */
	int32 queue_id;
	Oid extension;     /* stands for it: table taskq_private.queue, another when it was made anew */
	TimestampTz since; /* when counting began */
	bool counted;      /* base is known ... */
	bool exact;        /* ... and right; else it is counted again from time to time */
	TimestampTz at;    /* when it was counted */
	uint64 changes;    /* how often something was added, or became unknown */
	int64 base;        /* pending tasks that nobody has added */
	Counts added;      /* by commits */
} Slot;

static Slot *slots = NULL;

Size
stats_shared_size(void)
{
	return mul_size(NSLOTS, sizeof(Slot));
}

void
stats_init_shared(void *memory, bool found)
{
	slots = memory;
	for (int i = 0; !found && i < NSLOTS; i++)
	{
		memset(&slots[i], 0, sizeof(Slot));
		SpinLockInit(&slots[i].lock);
	}
}

static Slot *
probe(int32 queue_id, int n)
{
	uint32 hash = hash_combine(murmurhash32(MyDatabaseId), murmurhash32((uint32) queue_id));

	return &slots[(hash + n) % NSLOTS];
}

/* The queue's slot, locked and made if need be; another's is taken when all are.  Never fails. */
static Slot *
lock_slot(int32 queue_id, Oid extension)
{
	Slot *s = NULL;

	for (int i = 0; i < PROBES; i++)
	{
		s = probe(queue_id, i);
		SpinLockAcquire(&s->lock);
		if (s->database == MyDatabaseId && s->queue_id == queue_id && s->extension == extension)
			return s;
		if (s->database == InvalidOid || i == PROBES - 1)
			break;
		SpinLockRelease(&s->lock);
	}
	s->database = MyDatabaseId;
	s->queue_id = queue_id;
	s->extension = extension;
	s->since = GetCurrentTimestamp();
	s->counted = s->exact = false;
	s->changes = 0;
	s->base = 0;
	memset(&s->added, 0, sizeof(Counts));
	return s;
}

void
stats_count_anew(void)
{
	for (int i = 0; slots != NULL && i < NSLOTS; i++)
	{
		SpinLockAcquire(&slots[i].lock);
		if (slots[i].database == MyDatabaseId)
		{
			slots[i].counted = false;
			slots[i].changes++;
		}
		SpinLockRelease(&slots[i].lock);
	}
}

/* ---- what this transaction adds --------------------------------------------------- */

typedef struct Share
{
	int32 queue_id;
	Oid extension;
	SubTransactionId subxact;
	Counts counts;
} Share;

static Share *shares = NULL;
static int nshares = 0;
static int max_shares = 0;

static void
add_counts(Counts *to, const Counts *from)
{
	to->pending += from->pending;
	for (int i = 0; i < NENDED; i++)
		to->ended[i] += from->ended[i];
}

/* Of the first n, of which the last ones are those of that part of the transaction. */
static Share *
find_share(int n, int32 queue_id, SubTransactionId subxact, Oid extension)
{
	for (int i = n - 1; i >= 0 && shares[i].subxact == subxact; i--)
	{
		if (shares[i].queue_id == queue_id && shares[i].extension == extension)
			return &shares[i];
	}
	return NULL;
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
	{
		for (int i = 0; i < nshares; i++)
		{
			Slot *s = lock_slot(shares[i].queue_id, shares[i].extension);

			add_counts(&s->added, &shares[i].counts);
			s->changes++;
			SpinLockRelease(&s->lock);
		}
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		nshares = 0;
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int first = nshares;
	int kept;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	/* Its own are the last ones. */
	while (first > 0 && shares[first - 1].subxact == mine)
		first--;
	kept = first;
	for (int i = first; i < nshares && event == SUBXACT_EVENT_COMMIT_SUB; i++)
	{
		Share *p = find_share(first, shares[i].queue_id, parent, shares[i].extension);

		if (p != NULL)
			add_counts(&p->counts, &shares[i].counts);
		else
		{
			shares[i].subxact = parent;
			shares[kept++] = shares[i];
		}
	}
	nshares = kept;
}

static void
make_room(void)
{
	Size size = mul_size(Max(2 * max_shares, 8), sizeof(Share));

	if (nshares < max_shares)
		return;
	if (shares == NULL)
	{
		shares = MemoryContextAlloc(TopMemoryContext, size);
		RegisterXactCallback(transaction_ended, NULL);
		RegisterSubXactCallback(subtransaction_ended, NULL);
	}
	else
		shares = repalloc(shares, size);
	max_shares = size / sizeof(Share);
}

/* The share of this queue and part of the transaction. */
static Counts *
share_of(int32 queue_id)
{
	SubTransactionId subxact = GetCurrentSubTransactionId();
	Oid extension = queue_generation();

	Share *share = find_share(nshares, queue_id, subxact, extension);

	if (share != NULL)
		return &share->counts;
	make_room();
	memset(&shares[nshares], 0, sizeof(Share));
	shares[nshares].queue_id = queue_id;
	shares[nshares].extension = extension;
	shares[nshares].subxact = subxact;
	return &shares[nshares++].counts;
}

void
stats_pending(int32 queue_id, int change)
{
	if (slots != NULL)
		share_of(queue_id)->pending += change;
}

void
stats_ended(int32 queue_id, TaskState state)
{
	if (slots != NULL)
		share_of(queue_id)->ended[state - STATE_FINISHED]++;
}

/* ---- SQL ----------------------------------------------------------------------------- */

static Statement count_pending = {
	"select (select count(*) from taskq_private.task t where t.queue_id = $1) - "
	"(select count(*) from taskq_private.lease l where l.queue_id = $1)",
	1,
	{INT4OID},
	NULL,
};

static Statement count_running = {
	"select count(*) from taskq_private.lease l where l.queue_id = $1",
	1,
	{INT4OID},
	NULL,
};

static Statement select_queue_ids = {
	"select array_agg(q.id order by q.name) from taskq_private.all_queues q",
	0,
	{0},
	NULL,
};

static int64
count(Statement *statement, int32 queue_id)
{
	Datum argument = Int32GetDatum(queue_id);
	Datum result = 0;
	bool isnull;

	(void) owner_query(statement, &argument, NULL, &result, &isnull, 1);
	return DatumGetInt64(result);
}

/* What a count shows already and will be added when this transaction commits. */
static int64
own_pending(int32 queue_id)
{
	int64 own = 0;

	for (int i = 0; i < nshares; i++)
	{
		if (shares[i].queue_id == queue_id && shares[i].extension == queue_generation())
			own += shares[i].counts.pending;
	}
	return own;
}

/* Whether the count is good. */
static bool
read_slot(int32 queue_id, Slot *copy)
{
	Slot *s = lock_slot(queue_id, queue_generation());

	*copy = *s;
	SpinLockRelease(&s->lock);
	return copy->counted && (copy->exact || GetCurrentTimestamp() - copy->at < GOOD_ENOUGH);
}

/* Counted after the slot was as it is in the copy.  May be wrong: if so, whether it is kept. */
static void
set_base(int32 queue_id, const Slot *copy, int64 counted, bool keep)
{
	TimestampTz now = GetCurrentTimestamp();
	Slot *s = lock_slot(queue_id, queue_generation());
	bool exact = s->changes == copy->changes && s->since == copy->since;

	if (exact || keep)
	{
		s->base = counted - copy->added.pending;
		s->counted = true;
		s->exact = exact;
		s->at = now;
	}
	SpinLockRelease(&s->lock);
}

/* The slot as it is, with its tasks counted. */
static void
look_at_slot(int32 queue_id, Slot *slot)
{
	for (int i = 0; i < COUNT_LOOK && !read_slot(queue_id, slot); i++)
	{
		int64 counted = count(&count_pending, queue_id) - own_pending(queue_id);

		set_base(queue_id, slot, counted, i == COUNT_LOOK - 1);
	}
	(void) read_slot(queue_id, slot);
}

static void
return_stats(ReturnSetInfo *rsinfo, const Queue *queue, TimestampTz now)
{
	enum
	{
		QUEUE,
		PENDING,
		DUE,
		RUNNING,
		FINISHED, /* the first of NENDED columns */
		SINCE = FINISHED + NENDED,
		OLDEST_DUE_AGE,
		NCOLUMNS,
	};
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS] = {false};
	Slot slot = {.since = DT_NOEND};
	TimestampTz oldest;
	Interval age = {0};

	if (slots != NULL)
		look_at_slot(queue->id, &slot);
	values[QUEUE] = CStringGetTextDatum(queue->name);
	values[PENDING] = Int64GetDatum(slots != NULL ? Max(slot.base + slot.added.pending, 0)
												  : count(&count_pending, queue->id));
	values[DUE] = Int64GetDatum(task_count_due(queue->id, now, &oldest));
	values[RUNNING] = Int64GetDatum(count(&count_running, queue->id));
	for (int i = 0; i < NENDED; i++)
	{
		values[FINISHED + i] = Int64GetDatum(slot.added.ended[i]);
		nulls[FINISHED + i] = slots == NULL;
	}
	values[SINCE] = TimestampTzGetDatum(slot.since);
	nulls[SINCE] = slots == NULL;
	age.time = now - oldest;
	values[OLDEST_DUE_AGE] = IntervalPGetDatum(&age);
	nulls[OLDEST_DUE_AGE] = oldest == DT_NOEND;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
return_all_stats(ReturnSetInfo *rsinfo, TimestampTz now)
{
	Datum *ids;
	bool *nulls;
	int nids;
	Datum array;
	bool isnull;

	(void) owner_query(&select_queue_ids, NULL, NULL, &array, &isnull, 1);
	deconstruct_array(DatumGetArrayTypeP(array), INT4OID, sizeof(int32), true, TYPALIGN_INT, &ids,
					  &nulls, &nids);
	for (int i = 0; i < nids; i++)
	{
		const Queue *queue = queue_by_id(DatumGetInt32(ids[i]));

		if (queue != NULL && queue_may(queue, PRIVILEGE_VIEW))
			return_stats(rsinfo, queue, now);
	}
}

PG_FUNCTION_INFO_V1(taskq_queue_stats);
Datum
taskq_queue_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	const Queue *queue;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
	{
		return_all_stats(rsinfo, now);
		return (Datum) 0;
	}
	queue = queue_by_name(arg_name(fcinfo, 0, "queue"));
	queue_require(queue, PRIVILEGE_VIEW);
	return_stats(rsinfo, queue, now);
	return (Datum) 0;
}
