/*
 * dispatch.c
 *		Where a queue's next tasks are.
 *
 * The ready rows of a queue and a priority, ordered by (run_at, id), are a
 * lane.  A claim must not begin at a lane's left edge, where the entries of
 * consumed rows pile up for as long as somebody holds an old snapshot.  So for
 * each lane a position is remembered up to which all entries were read, and
 * for each queue a heap of candidates: rows up to those positions that nobody
 * has taken yet.  Acquirers pop candidates and never meet; when there are
 * none, one of them reads on in the index (refill), the others wait for it.
 *
 * What must hold: every committed ready row lies behind its lane's position
 * (unread), or is a candidate, or is in the hands of a transaction that makes
 * it one again should it roll back.
 *
 * - A row is offered when the transaction that inserted it has committed: if
 *   it lies behind the position, it will be read; if not, it has come late,
 *   and becomes a candidate.  So does a row whose taker rolled back.
 * - A refill reads without a lock while others offer.  Before it reads it sets
 *   "scanning", and while that is set whatever is offered becomes a candidate:
 *   an entry that is put into the index behind the reader's back is offered
 *   after it was put there, so either while "scanning" is set or when the new
 *   position is.  Read twice is harmless.
 * - Index entries of uncommitted rows are read as well; whoever pops such a
 *   candidate drops it, and it is offered when its transaction commits.
 * - When there is no room for a candidate, the positions go back to before all
 *   candidates and these are forgotten: they will be read again.
 * - Rows of prepared transactions and of logical replication are offered by
 *   nobody.  dispatch_sweep() finds them; wakeup.c knows when it has to.
 *
 * After a crash or a promotion nothing is remembered and reading begins at the
 * left edge.  Without shared memory each session remembers for itself; it does
 * not hear of what others commit, so it begins anew every poll interval and
 * whenever it finds nothing.
 *
 * The spinlock of a slot protects all of it but the key, which changes only
 * under the slot's refill lock as well.
 */
#include "dispatch.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define NLANES         32 /* priorities -16 to 15 */
#define LANE_OF(c)     ((c)->priority + 16)
#define PRIORITY_OF(n) ((int16) ((n) -16))
#define MAX_CANDIDATES 1024
#define REFILL         256 /* candidates read at a time */
#define REFILL_ALONE   32  /* the same where others do not see what we have read */
#define MAX_PENDING    1024
#define PROBES         8  /* slots that a queue can have */
#define SWEEP_FOUND    64 /* missed rows that one step of a sweep can offer */

typedef struct Position
{
	TimestampTz run_at;
	int64 id;
} Position;

typedef struct Lane
{
	Position read;        /* entries up to this one were read */
	TimestampTz next_due; /* of the first unread row; in the past: read on */
	TimestampTz told_due; /* the earliest that was offered behind the position while scanning */
} Lane;

typedef struct Slot
{
	slock_t lock;
	Oid database; /* InvalidOid: the slot is free */
	int32 queue_id;
	uint32 relfile; /* of taskq.ready when it was read */
	bool scanning;
	uint32 lowered;        /* lanes whose position went back while scanning */
	TimestampTz used_at;   /* last looked for by an acquirer or submitter */
	TimestampTz timer;     /* when the first row becomes due that was offered for later */
	TimestampTz announced; /* until then it was told of what becomes due by time */
	bool marked;           /* sessions are to be notified */
	int count;
	Lane lanes[NLANES];
	Candidate heap[MAX_CANDIDATES]; /* the first one is the next */
} Slot;

static Slot *slots = NULL; /* in shared memory; NULL: remembered by each session */
static LWLockPadded *locks;
static LWLock *create_lock;

#define REFILL_LOCK(s) (&locks[1 + ((s) -slots)].lock)

/* Without shared memory: this session's. */
static Slot **own_slots = NULL;
static int nown_slots = 0;

/* ---- order ---------------------------------------------------------------- */

static int
compare_position(TimestampTz run_at, int64 id, const Position *p)
{
	if (run_at != p->run_at)
		return run_at < p->run_at ? -1 : 1;
	return id < p->id ? -1 : id > p->id;
}

static bool
was_read(const Lane *lane, const Candidate *c)
{
	return compare_position(c->run_at, c->id, &lane->read) <= 0;
}

/* Whether a is acquired before b. */
static bool
before(const Candidate *a, const Candidate *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->run_at != b->run_at)
		return a->run_at < b->run_at;
	return a->id < b->id;
}

static void
heap_push(Slot *s, const Candidate *c)
{
	int i = s->count++;

	while (i > 0 && before(c, &s->heap[(i - 1) / 2]))
	{
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = *c;
}

static Candidate
heap_pop(Slot *s)
{
	Candidate first = s->heap[0];
	Candidate last = s->heap[--s->count];
	int i = 0;

	for (;;)
	{
		int child = 2 * i + 1;

		if (child >= s->count)
			break;
		if (child + 1 < s->count && before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!before(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return first;
}

/* ---- slots ------------------------------------------------------------------ */

static int
slot_count(void)
{
	return Max(PROBES, (int) (taskq_dispatch_memory * INT64CONST(1024) / sizeof(Slot)));
}

Size
dispatch_shared_size(void)
{
	return mul_size(slot_count(), sizeof(Slot));
}

int
dispatch_lock_count(void)
{
	return 1 + slot_count();
}

void
dispatch_init_shared(void *memory, LWLockPadded *tranche, bool found)
{
	slots = memory;
	locks = tranche;
	create_lock = &locks[0].lock;
	for (int i = 0; !found && i < slot_count(); i++)
	{
		memset(&slots[i], 0, sizeof(Slot));
		SpinLockInit(&slots[i].lock);
	}
}

/* Nothing is known: all is to be read. */
static void
forget(Slot *s, uint32 relfile)
{
	s->relfile = relfile;
	s->scanning = false;
	s->lowered = 0;
	s->count = 0;
	s->announced = DT_NOBEGIN;
	s->timer = DT_NOEND;
	s->marked = false;
	for (int i = 0; i < NLANES; i++)
	{
		Lane *lane = &s->lanes[i];

		lane->read.run_at = lane->next_due = DT_NOBEGIN;
		lane->read.id = 0;
		lane->told_due = DT_NOEND;
	}
}

static bool
is_of(const Slot *s, int32 queue_id)
{
	return s->queue_id == queue_id && s->database == MyDatabaseId;
}

static Slot *
probe(int32 queue_id, int n)
{
	uint32 hash = hash_combine(murmurhash32(MyDatabaseId), murmurhash32((uint32) queue_id));

	return &slots[(hash + n) % slot_count()];
}

/* The queue's slot, locked; NULL if it has none.  Never fails. */
static Slot *
find_locked(int32 queue_id)
{
	for (int i = 0; slots != NULL && i < PROBES; i++)
	{
		Slot *s = probe(queue_id, i);

		if (!is_of(s, queue_id))
			continue;
		SpinLockAcquire(&s->lock);
		if (is_of(s, queue_id))
			return s;
		SpinLockRelease(&s->lock);
	}
	for (int i = 0; i < nown_slots; i++)
	{
		if (own_slots[i]->queue_id == queue_id)
		{
			SpinLockAcquire(&own_slots[i]->lock);
			return own_slots[i];
		}
	}
	return NULL;
}

/* A slot that is free, or has not been used for longest; NULL if all are being read for. */
static Slot *
choose_slot(int32 queue_id)
{
	Slot *best = NULL;

	for (int i = 0; i < PROBES; i++)
	{
		Slot *s = probe(queue_id, i);

		if (s->database == InvalidOid)
			return s;
		if (best == NULL || s->used_at < best->used_at)
			best = s;
	}
	return best;
}

/* Makes a slot for the queue; another's is taken away if need be. */
static void
create_slot(int32 queue_id, uint32 relfile)
{
	Slot *s;

	LWLockAcquire(create_lock, LW_EXCLUSIVE);
	s = find_locked(queue_id);
	if (s != NULL)
		SpinLockRelease(&s->lock); /* somebody was faster */
	else if ((s = choose_slot(queue_id)) != NULL &&
			 LWLockConditionalAcquire(REFILL_LOCK(s), LW_EXCLUSIVE))
	{
		SpinLockAcquire(&s->lock);
		s->database = MyDatabaseId;
		s->queue_id = queue_id;
		forget(s, relfile);
		SpinLockRelease(&s->lock);
		LWLockRelease(REFILL_LOCK(s));
	}
	LWLockRelease(create_lock);
}

static void
create_own_slot(int32 queue_id, uint32 relfile)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Slot *s = palloc0(sizeof(Slot));

	SpinLockInit(&s->lock);
	s->queue_id = queue_id;
	forget(s, relfile);
	if (own_slots == NULL)
		own_slots = palloc(sizeof(Slot *));
	else
		own_slots = repalloc(own_slots, (nown_slots + 1) * sizeof(Slot *));
	own_slots[nown_slots++] = s;
	MemoryContextSwitchTo(old);
}

/* The queue's slot, locked and made if need be; NULL when there is no room. */
static Slot *
slot_for(Relation ready, int32 queue_id)
{
	uint32 relfile = compat_relfile(ready);
	Slot *s = find_locked(queue_id);

	if (s == NULL)
	{
		if (slots != NULL)
			create_slot(queue_id, relfile);
		else
			create_own_slot(queue_id, relfile);
		s = find_locked(queue_id);
	}
	if (s != NULL && s->relfile != relfile)
		forget(s, relfile);
	return s;
}

/* ---- offering: nothing below may fail ------------------------------------------ */

/* The position goes back to before this row, so that it is read again. */
static void
lower(Slot *s, const Candidate *c)
{
	Lane *lane = &s->lanes[LANE_OF(c)];

	if (was_read(lane, c))
	{
		lane->read.run_at = c->run_at;
		lane->read.id = c->id - 1;
	}
	s->lowered |= UINT32_C(1) << LANE_OF(c);
	lane->next_due = Min(lane->next_due, c->run_at);
	lane->told_due = Min(lane->told_due, c->run_at);
}

/* No room: all of it is read again. */
static void
overflow(Slot *s, const Candidate *c)
{
	for (int i = 0; i < s->count; i++)
		lower(s, &s->heap[i]);
	lower(s, c);
	s->count = 0;
}

static void
push(Slot *s, const Candidate *c)
{
	if (s->count < MAX_CANDIDATES)
		heap_push(s, c);
	else
		overflow(s, c);
}

/* A task has other rows in its life than this one, and those do not count. */
static bool
same_row(const Candidate *a, const Candidate *b)
{
	return !before(a, b) && !before(b, a) &&
		   ItemPointerEquals((ItemPointer) &a->tid, (ItemPointer) &b->tid);
}

static bool
is_candidate(const Slot *s, const Candidate *c)
{
	for (int i = 0; i < s->count; i++)
	{
		if (same_row(&s->heap[i], c))
			return true;
	}
	return false;
}

/* More than one row: this one, and others of the lane behind it. */
static void
offer_many(Slot *s, const Candidate *first)
{
	Lane *lane = &s->lanes[LANE_OF(first)];

	if (s->scanning || was_read(lane, first))
		lower(s, first);
	else
		lane->next_due = Min(lane->next_due, first->run_at);
}

static void
offer_one(Slot *s, const Candidate *c, TimestampTz now)
{
	Lane *lane = &s->lanes[LANE_OF(c)];

	if (c->run_at > now && was_read(lane, c))
		lower(s, c);
	else if (c->run_at > now)
	{
		/* A refill under way does not get there: it stops at what is due. */
		s->timer = Min(s->timer, c->run_at);
		lane->next_due = Min(lane->next_due, c->run_at);
		lane->told_due = Min(lane->told_due, c->run_at);
	}
	else if (s->scanning || was_read(lane, c))
		push(s, c);
	else if (lane->next_due <= now || s->count == MAX_CANDIDATES)
		lane->next_due = Min(lane->next_due, c->run_at); /* it will be read in its turn */
	else
	{
		/* All before it was read: the index need not be. */
		heap_push(s, c);
		lane->read.run_at = c->run_at;
		lane->read.id = c->id;
	}
}

/* again: it may have been a candidate all the time, having been taken by another way. */
static void
offer(uint32 relfile, int32 queue_id, const Candidate *c, bool many, bool again)
{
	TimestampTz now = GetCurrentTimestamp();
	Slot *s = find_locked(queue_id);

	if (s == NULL)
		return; /* nothing was read that it could have been missed by */
	if (s->relfile == relfile && many)
		offer_many(s, c);
	else if (s->relfile == relfile && !(again && is_candidate(s, c)))
		offer_one(s, c, now);
	SpinLockRelease(&s->lock);
}

/* ---- the rows of this transaction ------------------------------------------------ */

typedef struct Pending
{
	Candidate candidate;
	SubTransactionId subxact;
	uint32 relfile;
	int32 queue_id;
	bool inserted; /* else taken */
	bool many;     /* this one and others of its lane behind it */
} Pending;

static Pending *pending = NULL;
static int npending = 0;
static int pending_size = 0;

static void
transaction_ended(XactEvent event, void *arg)
{
	int n = npending;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	npending = 0;
	for (int i = 0; i < n && event != XACT_EVENT_PREPARE; i++)
	{
		Pending *p = &pending[i];

		if (p->inserted == (event == XACT_EVENT_COMMIT))
			offer(p->relfile, p->queue_id, &p->candidate, p->many, !p->inserted);
	}
	if (n > 0)
		taskq_hints_changed();
}

/*
 * Of very many rows only the first of each lane is remembered: of each part of
 * the transaction that can be rolled back by itself.  What the part that is
 * current has is found at the end of the first n.
 */
static bool
merged(const Pending *new, int n)
{
	for (int i = n - 1; i >= MAX_PENDING && pending[i].subxact == new->subxact; i--)
	{
		Pending *p = &pending[i];

		if (p->inserted != new->inserted || p->queue_id != new->queue_id ||
			p->relfile != new->relfile || p->candidate.priority != new->candidate.priority)
			continue;
		if (before(&new->candidate, &p->candidate))
			p->candidate = new->candidate;
		return true;
	}
	return false;
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int kept = npending;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	/* Its own are the last ones. */
	while (kept > 0 && pending[kept - 1].subxact == mine)
		kept--;
	for (int i = kept; i < npending; i++)
	{
		Pending *p = &pending[i];

		if (event == SUBXACT_EVENT_ABORT_SUB)
		{
			if (!p->inserted)
				offer(p->relfile, p->queue_id, &p->candidate, p->many, !p->inserted);
			if (!p->many)
				continue;
		}
		p->subxact = parent;
		if (!p->many || !merged(p, kept))
			pending[kept++] = *p;
	}
	npending = kept;
}

/* So that the next so many are remembered without fail. */
static void
make_room(int count)
{
	static bool registered = false;
	int size = Max(pending_size, 16);

	if (!registered)
	{
		RegisterXactCallback(transaction_ended, NULL);
		(void) taskq_my_database();
		RegisterSubXactCallback(subtransaction_ended, NULL);
		registered = true;
	}
	while (size < npending + count)
		size *= 2;
	if (size == pending_size)
		return;
	if (pending == NULL)
		pending = MemoryContextAlloc(TopMemoryContext, size * sizeof(Pending));
	else
		pending = repalloc(pending, size * sizeof(Pending));
	pending_size = size;
}

static bool
added_to_many(uint32 relfile, int32 queue_id, const Candidate *c, bool inserted)
{
	Pending new = {
		.candidate = *c,
		.subxact = GetCurrentSubTransactionId(),
		.relfile = relfile,
		.queue_id = queue_id,
		.inserted = inserted,
	};

	return merged(&new, npending);
}

static void
remember(Relation ready, int32 queue_id, const Candidate *c, bool inserted)
{
	uint32 relfile = compat_relfile(ready);

	if (npending >= MAX_PENDING && added_to_many(relfile, queue_id, c, inserted))
		return;
	make_room(1);
	pending[npending].candidate = *c;
	pending[npending].subxact = GetCurrentSubTransactionId();
	pending[npending].relfile = relfile;
	pending[npending].queue_id = queue_id;
	pending[npending].inserted = inserted;
	pending[npending].many = npending >= MAX_PENDING;
	npending++;
}

void
dispatch_inserted(Relation ready, int32 queue_id, const Candidate *c)
{
	Slot *s = slots == NULL ? NULL : slot_for(ready, queue_id);

	if (s != NULL)
	{
		s->used_at = GetCurrentTransactionStartTimestamp();
		SpinLockRelease(&s->lock);
	}
	remember(ready, queue_id, c, true);
}

void
dispatch_taken(Relation ready, int32 queue_id, const Candidate *c)
{
	remember(ready, queue_id, c, false);
}

bool
dispatch_has_own(int32 queue_id)
{
	for (int i = 0; i < npending; i++)
	{
		if (pending[i].inserted && pending[i].queue_id == queue_id)
			return true;
	}
	return false;
}

/* ---- reading on -------------------------------------------------------------------- */

/* One lane's share of a refill. */
typedef struct LaneRead
{
	bool due; /* it was to be read on */
	bool done;
	Position to;
	TimestampTz next_due; /* valid when done */
} LaneRead;

typedef struct Refill
{
	Slot *slot;
	int32 queue_id;
	TimestampTz now;
	int room;
	int count;
	LaneRead lanes[NLANES];
	Candidate found[REFILL];
} Refill;

/* A walk through the index entries of one lane after the other. */
typedef struct LaneScan
{
	IndexScanDesc scan;
	ScanKeyData position[2]; /* what the row comparison points to */
} LaneScan;

/* No row is looked at, so the snapshot is of no consequence. */
static void
scan_open(LaneScan *ls, HotRelation *ready)
{
	ls->scan = index_beginscan_compat(ready->heap, ready->index, SnapshotAny, 3);
	ls->scan->xs_want_itup = true;
}

/* Begins a lane behind a position: (run_at, id) > from. */
static void
scan_lane(LaneScan *ls, int32 queue_id, int lane, const Position *from)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(PRIORITY_OF(lane)));
	ScanKeyEntryInitialize(&ls->position[0], SK_ROW_MEMBER, 3, BTGreaterStrategyNumber, InvalidOid,
						   InvalidOid, F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(from->run_at));
	ScanKeyEntryInitialize(&ls->position[1], SK_ROW_MEMBER | SK_ROW_END, 4,
						   BTGreaterStrategyNumber, InvalidOid, InvalidOid, F_BTINT8CMP,
						   Int64GetDatum(from->id));
	MemSet(&keys[2], 0, sizeof(ScanKeyData));
	keys[2].sk_flags = SK_ROW_HEADER;
	keys[2].sk_attno = 3;
	keys[2].sk_strategy = BTGreaterStrategyNumber;
	keys[2].sk_argument = PointerGetDatum(ls->position);
	index_rescan(ls->scan, keys, 3, NULL, 0);
}

/* The next entry, whether or not its row is visible to anybody. */
static bool
next_entry(LaneScan *ls, int lane, Candidate *c)
{
	ItemPointer tid = index_getnext_tid(ls->scan, ForwardScanDirection);
	IndexTuple entry = ls->scan->xs_itup;
	bool isnull;

	if (tid == NULL)
		return false;
	c->tid = *tid;
	c->priority = PRIORITY_OF(lane);
	c->run_at = DatumGetTimestampTz(index_getattr(entry, 3, ls->scan->xs_itupdesc, &isnull));
	c->id = DatumGetInt64(index_getattr(entry, 4, ls->scan->xs_itupdesc, &isnull));
	return true;
}

static void
read_lane(LaneScan *scan, Refill *r, int n)
{
	LaneRead *lane = &r->lanes[n];
	Candidate c;

	lane->next_due = DT_NOEND;
	scan_lane(scan, r->queue_id, n, &lane->to);
	while (r->count < r->room)
	{
		lane->done = !next_entry(scan, n, &c);
		if (lane->done)
			break;
		if (c.run_at > r->now)
		{
			lane->done = true;
			lane->next_due = c.run_at;
			break;
		}
		r->found[r->count++] = c;
		lane->to.run_at = c.run_at;
		lane->to.id = c.id;
	}
}

static void
read_lanes(HotRelation *ready, Refill *r)
{
	LaneScan scan;

	scan_open(&scan, ready);
	for (int n = 0; n < NLANES && r->count < r->room; n++)
	{
		if (r->lanes[n].due)
			read_lane(&scan, r, n);
	}
	index_endscan(scan.scan);
}

/* False: there is nothing to be read, or the slot is another queue's now. */
static bool
refill_begin(Refill *r)
{
	Slot *s = r->slot;
	bool any = false;

	SpinLockAcquire(&s->lock);
	if (slots == NULL || is_of(s, r->queue_id))
	{
		for (int i = 0; i < NLANES; i++)
		{
			LaneRead *lane = &r->lanes[i];

			lane->due = s->lanes[i].next_due <= r->now;
			lane->done = false;
			lane->to = s->lanes[i].read;
			any |= lane->due;
			s->lanes[i].told_due = DT_NOEND;
		}
		s->scanning = true;
		s->lowered = 0;
	}
	SpinLockRelease(&s->lock);
	return any;
}

static void
refill_end(Refill *r)
{
	Slot *s = r->slot;

	SpinLockAcquire(&s->lock);
	for (int i = 0; i < NLANES; i++)
	{
		Lane *lane = &s->lanes[i];

		if (!r->lanes[i].due || (s->lowered & (UINT32_C(1) << i)) != 0)
			continue;
		lane->read = r->lanes[i].to;
		if (r->lanes[i].done)
			lane->next_due = Min(lane->told_due, r->lanes[i].next_due);
	}
	s->scanning = false;
	for (int i = 0; i < r->count; i++)
		push(s, &r->found[i]);
	SpinLockRelease(&s->lock);
}

/* Under the slot's refill lock.  An error leaves "scanning" set, which costs a little. */
static void
refill(HotRelation *ready, Slot *s, int32 queue_id, TimestampTz now)
{
	Refill r = {
		.slot = s,
		.queue_id = queue_id,
		.now = now,
		.room = slots != NULL ? REFILL : REFILL_ALONE,
	};

	if (!refill_begin(&r))
		return;
	read_lanes(ready, &r);
	refill_end(&r);
}

/* ---- taking -------------------------------------------------------------------------- */

typedef enum Look
{
	LOOK_TAKEN,
	LOOK_READ_ON,
	LOOK_NOTHING
} Look;

/* The first lane that has unread rows which are due; NLANES if none has. */
static int
first_unread(const Slot *s, TimestampTz now, TimestampTz *next_due)
{
	*next_due = DT_NOEND;
	for (int i = 0; i < NLANES; i++)
	{
		if (s->lanes[i].next_due <= now)
			return i;
		*next_due = Min(*next_due, s->lanes[i].next_due);
	}
	return NLANES;
}

/* max = 0: the first one is shown and stays. */
static Look
pop(Slot *s, TimestampTz now, Candidate *taken, int max, int *count, TimestampTz *next_due)
{
	int unread = first_unread(s, now, next_due);
	bool there = s->count > 0 && LANE_OF(&s->heap[0]) <= unread;

	*count = 0;
	if (there && max == 0)
		*taken = s->heap[0];
	while (*count < max && s->count > 0 && LANE_OF(&s->heap[0]) <= unread)
		taken[(*count)++] = heap_pop(s);
	if (there)
		return LOOK_TAKEN;
	return unread < NLANES ? LOOK_READ_ON : LOOK_NOTHING;
}

/*
 * A session that does not hear of others begins anew from time to time, and
 * when it finds nothing; once a call, of which "now" is the time.
 */
static bool
begin_anew(Slot *s, Relation ready, TimestampTz now, bool found_nothing)
{
	TimestampTz next = s->used_at + taskq_poll_interval * US_PER_MS;

	if (slots != NULL || s->used_at == now)
		return false;
	if (!found_nothing && now > s->used_at && now < next)
		return false;
	forget(s, compat_relfile(ready));
	s->used_at = now;
	return true;
}

/* As dispatch_take(), but with max = 0 the first one is shown, and the result 1. */
static int
take(HotRelation *ready, int32 queue_id, TimestampTz now, Candidate *taken, int max,
	 TimestampTz *next_due)
{
	make_room(max);
	for (;;)
	{
		Slot *s;
		Look look;
		int count;

		CHECK_FOR_INTERRUPTS();
		s = slot_for(ready->heap, queue_id);
		if (s == NULL)
			return -1;
		(void) begin_anew(s, ready->heap, now, false);
		look = pop(s, now, taken, max, &count, next_due);
		if (look == LOOK_NOTHING && begin_anew(s, ready->heap, now, true))
			look = LOOK_READ_ON;
		if (slots != NULL)
			s->used_at = now;
		SpinLockRelease(&s->lock);
		if (look == LOOK_NOTHING)
			return 0;
		for (int i = 0; i < count; i++)
			dispatch_taken(ready->heap, queue_id, &taken[i]);
		if (look == LOOK_TAKEN)
			return Max(count, 1);
		if (slots == NULL)
			refill(ready, s, queue_id, now);
		else if (LWLockAcquireOrWait(REFILL_LOCK(s), LW_EXCLUSIVE))
		{
			refill(ready, s, queue_id, now);
			LWLockRelease(REFILL_LOCK(s));
		}
	}
}

int
dispatch_take(HotRelation *ready, int32 queue_id, TimestampTz now, Candidate *taken, int max,
			  TimestampTz *next_due)
{
	return take(ready, queue_id, now, taken, max, next_due);
}

/*
 * A candidate that is none: its row is gone, or whoever has it in hand will
 * offer it.  He may have done so since we looked, and what is a candidate
 * already is not made one again.
 */
static void
drop_first(HotRelation *ready, int32 queue_id, const Candidate *c)
{
	Slot *s;
	bool dropped;

	make_room(1);
	s = find_locked(queue_id);
	if (s == NULL)
		return;
	dropped = s->count > 0 && same_row(&s->heap[0], c);
	if (dropped)
		(void) heap_pop(s);
	SpinLockRelease(&s->lock);
	if (!dropped)
		return;
	dispatch_taken(ready->heap, queue_id, c);
	if (ready_is_there(ready, c))
		offer(compat_relfile(ready->heap), queue_id, c, false, true);
}

int
dispatch_look(HotRelation *ready, int32 queue_id, TimestampTz now, TimestampTz *next_due)
{
	Candidate c;
	int found;

	while ((found = take(ready, queue_id, now, &c, 0, next_due)) > 0 && !ready_is_there(ready, &c))
		drop_first(ready, queue_id, &c);
	return found;
}

/* ---- counting ------------------------------------------------------------------------- */

static void
count_one(HotRelation *ready, const Candidate *c, int *count, TimestampTz *oldest)
{
	if (!ready_is_there(ready, c))
		return;
	(*count)++;
	*oldest = Min(*oldest, c->run_at);
}

/* The unread rows of a lane that are due; the first one in any case. */
static void
count_lane(HotRelation *ready, LaneScan *scan, int lane, TimestampTz now, int max, int *count,
		   TimestampTz *oldest)
{
	Candidate c;

	while (next_entry(scan, lane, &c) && c.run_at <= now)
	{
		CHECK_FOR_INTERRUPTS();
		count_one(ready, &c, count, oldest);
		if (*count >= max)
			break;
	}
}

int
dispatch_count_due(HotRelation *ready, int32 queue_id, TimestampTz now, int max,
				   TimestampTz *oldest)
{
	Slot *copy = palloc(sizeof(Slot)); /* which may fail: before the lock */
	Slot *s = find_locked(queue_id);
	LaneScan scan;
	int count = 0;

	*oldest = DT_NOEND;
	if (s == NULL)
		return -1;
	*copy = *s;
	SpinLockRelease(&s->lock);
	if (slots == NULL || copy->relfile != compat_relfile(ready->heap))
		return -1;
	for (int i = 0; i < copy->count; i++)
		count_one(ready, &copy->heap[i], &count, oldest);
	scan_open(&scan, ready);
	for (int n = 0; n < NLANES; n++)
	{
		if (copy->lanes[n].next_due > now)
			continue;
		scan_lane(&scan, queue_id, n, &copy->lanes[n].read);
		count_lane(ready, &scan, n, now, max, &count, oldest);
	}
	index_endscan(scan.scan);
	pfree(copy);
	return Min(count, max);
}

/* ---- who is told ----------------------------------------------------------------------- */

void
dispatch_mark(int32 queue_id)
{
	Slot *s = find_locked(queue_id);

	if (s == NULL)
		return;
	s->marked = true;
	SpinLockRelease(&s->lock);
}

/* A slot of this database, locked; NULL if it is another's. */
static Slot *
lock_if_ours(int n)
{
	Slot *s = &slots[n];

	if (s->database != MyDatabaseId)
		return NULL;
	SpinLockAcquire(&s->lock);
	if (s->database == MyDatabaseId)
		return s;
	SpinLockRelease(&s->lock);
	return NULL;
}

void
dispatch_mark_all(void)
{
	for (int i = 0; slots != NULL && i < slot_count(); i++)
	{
		Slot *s = lock_if_ours(i);

		if (s == NULL)
			continue;
		s->marked = true;
		SpinLockRelease(&s->lock);
	}
}

int
dispatch_take_marks(int32 *ids, int max)
{
	int count = 0;

	for (int i = 0; slots != NULL && i < slot_count() && count < max; i++)
	{
		Slot *s = lock_if_ours(i);

		if (s == NULL)
			continue;
		if (s->marked)
			ids[count++] = s->queue_id;
		s->marked = false;
		SpinLockRelease(&s->lock);
	}
	return count;
}

/* Whether a lane's next row has become due since the last look. */
static bool
becomes_due(Slot *s, TimestampTz now, TimestampTz *next)
{
	bool due = s->timer <= now;

	/* A lane with unread rows that are due says nothing of later ones. */
	if (due)
		s->timer = DT_NOEND;
	*next = Min(*next, s->timer);
	for (int i = 0; i < NLANES; i++)
	{
		TimestampTz at = s->lanes[i].next_due;

		if (at > now)
			*next = Min(*next, at);
		else
			due |= at > s->announced;
	}
	s->announced = now;
	return due;
}

int
dispatch_become_due(TimestampTz now, int32 *ids, int max, TimestampTz *next)
{
	int count = 0;

	*next = DT_NOEND;
	for (int i = 0; slots != NULL && i < slot_count(); i++)
	{
		Slot *s = lock_if_ours(i);

		if (s == NULL)
			continue;
		if (count == max)
			*next = now; /* the rest has its turn in the next call */
		else if (becomes_due(s, now, next))
		{
			ids[count++] = s->queue_id;
			s->marked = true;
		}
		SpinLockRelease(&s->lock);
	}
	return count;
}

/* ---- sweeping ------------------------------------------------------------------------- */

/* A step of a sweep: a part of one lane. */
typedef struct Sweep
{
	int32 queue_id;
	int lane;
	Position from;
	Position to; /* the lane was read up to there when the step began */
	int budget;  /* entries that may still be looked at */
	bool at_end;
	bool is_unread;   /* there is an entry behind "to" */
	Candidate unread; /* the first such */
	int count;
	Candidate found[SWEEP_FOUND];
} Sweep;

static const Position lane_start = {DT_NOBEGIN, 0};

/* Where this process goes on. */
static int sweep_slot = 0;
static int sweep_lane = 0;
static int32 sweep_queue = 0;
static Position sweep_from = {DT_NOBEGIN, 0};

static bool
sweep_begin(Slot *s, Sweep *w)
{
	bool ours;

	SpinLockAcquire(&s->lock);
	ours = s->database == MyDatabaseId;
	w->queue_id = s->queue_id;
	w->from = s->queue_id == sweep_queue ? sweep_from : lane_start;
	w->to = s->lanes[w->lane].read;
	w->at_end = false;
	w->is_unread = false;
	w->count = 0;
	SpinLockRelease(&s->lock);
	return ours;
}

static void
sweep_entries(HotRelation *ready, LaneScan *scan, Sweep *w)
{
	Candidate c;

	scan_lane(scan, w->queue_id, w->lane, &w->from);
	while (w->budget-- > 0 && w->count < SWEEP_FOUND)
	{
		CHECK_FOR_INTERRUPTS();
		w->at_end = !next_entry(scan, w->lane, &c);
		if (w->at_end)
			break;
		if (compare_position(c.run_at, c.id, &w->to) > 0)
		{
			w->at_end = true;
			w->is_unread = true;
			w->unread = c;
			break;
		}
		w->from.run_at = c.run_at;
		w->from.id = c.id;
		if (ready_is_there(ready, &c))
			w->found[w->count++] = c;
	}
}

/* Keeps what was found and is no candidate yet. */
static void
drop_known(const Slot *s, Sweep *w)
{
	int kept = 0;

	for (int i = 0; i < w->count; i++)
	{
		if (!is_candidate(s, &w->found[i]))
			w->found[kept++] = w->found[i];
	}
	w->count = kept;
}

static void
sweep_end(Slot *s, uint32 relfile, Sweep *w)
{
	SpinLockAcquire(&s->lock);
	if (is_of(s, w->queue_id) && s->relfile == relfile)
	{
		if (w->is_unread)
			lower(s, &w->unread); /* it may have been passed over meanwhile */
		drop_known(s, w);
		for (int i = 0; i < w->count; i++)
			push(s, &w->found[i]);
	}
	else
		w->count = 0;
	SpinLockRelease(&s->lock);
}

static void
tell_found(const Sweep *w)
{
	for (int i = 0; i < w->count; i++)
		wakeup_arrival_at_commit(w->queue_id);
	if (w->count > 0)
		wakeup_executor_at_commit();
	if (w->is_unread)
		wakeup_timers_at_commit();
}

static void
sweep_on(const Sweep *w, bool slot_done)
{
	bool lane_done = slot_done || w->at_end;

	sweep_queue = w->queue_id;
	sweep_from = lane_done ? lane_start : w->from;
	if (lane_done)
		sweep_lane++;
	if (!slot_done && sweep_lane < NLANES)
		return;
	sweep_lane = 0;
	sweep_slot++;
}

void
dispatch_sweep_begin(void)
{
	sweep_slot = sweep_lane = 0;
	sweep_from = lane_start;
}

bool
dispatch_sweep(HotRelation *ready, int max_entries)
{
	Sweep w = {.budget = max_entries};
	LaneScan scan;

	if (slots == NULL)
		return true;
	scan_open(&scan, ready);
	while (w.budget > 0 && sweep_slot < slot_count())
	{
		Slot *s = &slots[sweep_slot];
		bool ours = s->database == MyDatabaseId;

		w.lane = sweep_lane;
		ours = ours && sweep_begin(s, &w);
		if (ours)
		{
			sweep_entries(ready, &scan, &w);
			sweep_end(s, compat_relfile(ready->heap), &w);
			tell_found(&w);
		}
		sweep_on(&w, !ours);
	}
	index_endscan(scan.scan);
	if (sweep_slot < slot_count())
		return false;
	sweep_slot = 0;
	return true;
}
