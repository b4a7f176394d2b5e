/*
 * lanes.c
 *		What is remembered of each queue's lanes, and how it is kept.
 *
 * What it means, and what must hold, is said in dispatch.c.  The spinlock of a
 * slot protects all of it but the key, which changes only under the slot's
 * refill lock as well.
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/relscan.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/settings.h"
#include "hints/idle.h"
#include "hints/lanes.h"
#include "tables/backlog.h"


#define PROBES 8 /* slots that a queue can have */

static LaneSlot *slots = NULL; /* in shared memory; NULL: remembered by each session */
static LWLockPadded *locks;
static LWLock *create_lock;

/* Without shared memory: this session's. */
static LaneSlot **own_slots = NULL;
static int nown_slots = 0;

/* ---- order, and the heap ----------------------------------------------------- */

int
position_compare(TimestampTz run_at, int64 id, const Position *p)
{
	if (run_at != p->run_at)
		return run_at < p->run_at ? -1 : 1;
	return id < p->id ? -1 : id > p->id;
}

static bool
was_read(const Lane *lane, const Candidate *c)
{
	return position_compare(c->run_at, c->id, &lane->read) <= 0;
}

bool
candidate_before(const Candidate *a, const Candidate *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->run_at != b->run_at)
		return a->run_at < b->run_at;
	return a->id < b->id;
}

static void
heap_push(LaneSlot *s, const Candidate *c)
{
	int i = s->count++;

	while (i > 0 && candidate_before(c, &s->heap[(i - 1) / 2]))
	{
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = *c;
}

Candidate
slot_pop(LaneSlot *s)
{
	Candidate first = s->heap[0];
	Candidate last = s->heap[--s->count];
	int i = 0;

	for (;;)
	{
		int child = 2 * i + 1;

		if (child >= s->count)
			break;
		if (child + 1 < s->count && candidate_before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!candidate_before(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return first;
}

/* ---- slots ------------------------------------------------------------------ */

int
slot_count(void)
{
	return Max(PROBES, (int) (setting_dispatch_memory * INT64CONST(1024) / sizeof(LaneSlot)));
}

bool
slots_are_shared(void)
{
	return slots != NULL;
}

LaneSlot *
slot_at(int n)
{
	return &slots[n];
}

LWLock *
slot_refill_lock(const LaneSlot *s)
{
	return &locks[1 + (s - slots)].lock;
}

Size
lanes_shared_size(void)
{
	return mul_size(slot_count(), sizeof(LaneSlot));
}

int
lanes_lock_count(void)
{
	return 1 + slot_count();
}

void
lanes_init_shared(void *memory, LWLockPadded *tranche, bool found)
{
	slots = memory;
	locks = tranche;
	create_lock = &locks[0].lock;
	for (int i = 0; !found && i < slot_count(); i++)
	{
		memset(&slots[i], 0, sizeof(LaneSlot));
		SpinLockInit(&slots[i].lock);
	}
}

void
slot_forget(LaneSlot *s, uint32 relfile)
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

bool
slot_is_of(const LaneSlot *s, int32 queue_id)
{
	return s->queue_id == queue_id && s->database == MyDatabaseId;
}

static LaneSlot *
probe(int32 queue_id, int n)
{
	uint32 hash = hash_combine(murmurhash32(MyDatabaseId), murmurhash32((uint32) queue_id));

	return &slots[(hash + n) % slot_count()];
}

LaneSlot *
slot_lock(int32 queue_id)
{
	for (int i = 0; slots != NULL && i < PROBES; i++)
	{
		LaneSlot *s = probe(queue_id, i);

		if (!slot_is_of(s, queue_id))
			continue;
		SpinLockAcquire(&s->lock);
		if (slot_is_of(s, queue_id))
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

/* A slot that is free, or else the one that has not been used for longest. */
static LaneSlot *
choose_slot(int32 queue_id)
{
	LaneSlot *best = NULL;

	for (int i = 0; i < PROBES; i++)
	{
		LaneSlot *s = probe(queue_id, i);

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
	LaneSlot *s;

	LWLockAcquire(create_lock, LW_EXCLUSIVE);
	s = slot_lock(queue_id);
	if (s != NULL)
	{
		SpinLockRelease(&s->lock); /* somebody was faster */
		LWLockRelease(create_lock);
		return;
	}
	s = choose_slot(queue_id);
	if (LWLockConditionalAcquire(slot_refill_lock(s), LW_EXCLUSIVE))
	{
		SpinLockAcquire(&s->lock);
		s->database = MyDatabaseId;
		s->queue_id = queue_id;
		slot_forget(s, relfile);
		SpinLockRelease(&s->lock);
		LWLockRelease(slot_refill_lock(s));
	}
	LWLockRelease(create_lock);
}

static void
create_own_slot(int32 queue_id, uint32 relfile)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	LaneSlot *s = palloc0(sizeof(LaneSlot));

	SpinLockInit(&s->lock);
	s->queue_id = queue_id;
	slot_forget(s, relfile);
	if (own_slots == NULL)
		own_slots = palloc(sizeof(LaneSlot *));
	else
		own_slots = repalloc(own_slots, (nown_slots + 1) * sizeof(LaneSlot *));
	own_slots[nown_slots++] = s;
	MemoryContextSwitchTo(old);
}

LaneSlot *
slot_lock_or_make(Relation tasks, int32 queue_id)
{
	uint32 relfile = compat_relfile(tasks);
	LaneSlot *s = slot_lock(queue_id);

	if (s == NULL)
	{
		if (slots != NULL)
			create_slot(queue_id, relfile);
		else
			create_own_slot(queue_id, relfile);
		s = slot_lock(queue_id);
	}
	if (s != NULL && s->relfile != relfile)
		slot_forget(s, relfile);
	return s;
}

/* ---- offering: nothing below may fail ------------------------------------------ */

void
slot_lower(LaneSlot *s, const Candidate *c)
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
overflow(LaneSlot *s, const Candidate *c)
{
	for (int i = 0; i < s->count; i++)
		slot_lower(s, &s->heap[i]);
	slot_lower(s, c);
	s->count = 0;
}

void
slot_push(LaneSlot *s, const Candidate *c)
{
	if (s->count < MAX_CANDIDATES)
		heap_push(s, c);
	else
		overflow(s, c);
}

bool
candidate_same(const Candidate *a, const Candidate *b)
{
	return !candidate_before(a, b) && !candidate_before(b, a) &&
		   ItemPointerEquals((ItemPointer) &a->tid, (ItemPointer) &b->tid);
}

bool
slot_has(const LaneSlot *s, const Candidate *c)
{
	for (int i = 0; i < s->count; i++)
	{
		if (candidate_same(&s->heap[i], c))
			return true;
	}
	return false;
}

/* More than one row: this one, and others of the lane behind it. */
static void
offer_many(LaneSlot *s, const Candidate *first)
{
	Lane *lane = &s->lanes[LANE_OF(first)];

	if (s->scanning || was_read(lane, first))
		slot_lower(s, first);
	else
		lane->next_due = Min(lane->next_due, first->run_at);
}

static void
offer_one(LaneSlot *s, const Candidate *c, TimestampTz now)
{
	Lane *lane = &s->lanes[LANE_OF(c)];

	if (c->run_at > now && was_read(lane, c))
		slot_lower(s, c);
	else if (c->run_at > now)
	{
		/* A refill under way does not get there: it stops at what is due. */
		s->timer = Min(s->timer, c->run_at);
		lane->next_due = Min(lane->next_due, c->run_at);
		lane->told_due = Min(lane->told_due, c->run_at);
	}
	else if (s->scanning || was_read(lane, c))
		slot_push(s, c);
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

void
slot_offer(uint32 relfile, int32 queue_id, const Candidate *c, bool many, bool again)
{
	TimestampTz now = GetCurrentTimestamp();
	LaneSlot *s;

	idle_end(queue_id);
	s = slot_lock(queue_id);
	if (s == NULL)
		return; /* nothing was read that it could have been missed by */
	if (s->relfile == relfile && many)
		offer_many(s, c);
	else if (s->relfile == relfile && !(again && slot_has(s, c)))
		offer_one(s, c, now);
	SpinLockRelease(&s->lock);
}

/* ---- reading a lane's entries ------------------------------------------------------ */

/* No row is looked at, so the snapshot is of no consequence. */
void
lane_scan_open(LaneScan *ls, Backlog *b)
{
	ls->scan = index_beginscan_compat(b->task.heap, b->order, SnapshotAny, 3);
	ls->scan->xs_want_itup = true;
}

void
lane_scan_begin(LaneScan *ls, int32 queue_id, int lane, const Position *from)
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

bool
lane_scan_next(LaneScan *ls, int lane, Candidate *c)
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

/* ---- who is told ----------------------------------------------------------------------- */

void
lanes_mark(int32 queue_id)
{
	LaneSlot *s = slot_lock(queue_id);

	if (s == NULL)
		return;
	s->marked = true;
	SpinLockRelease(&s->lock);
}

/* A slot of this database, locked; NULL if it is another's. */
static LaneSlot *
lock_if_ours(int n)
{
	LaneSlot *s = &slots[n];

	if (s->database != MyDatabaseId)
		return NULL;
	SpinLockAcquire(&s->lock);
	if (s->database == MyDatabaseId)
		return s;
	SpinLockRelease(&s->lock);
	return NULL;
}

void
lanes_mark_all(void)
{
	for (int i = 0; slots != NULL && i < slot_count(); i++)
	{
		LaneSlot *s = lock_if_ours(i);

		if (s == NULL)
			continue;
		s->marked = true;
		SpinLockRelease(&s->lock);
	}
}

int
lanes_take_marks(int32 *ids, int max)
{
	int count = 0;

	for (int i = 0; slots != NULL && i < slot_count() && count < max; i++)
	{
		LaneSlot *s = lock_if_ours(i);

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
becomes_due(LaneSlot *s, TimestampTz now, TimestampTz *next)
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
lanes_become_due(TimestampTz now, int32 *ids, int max, TimestampTz *next)
{
	int count = 0;

	*next = DT_NOEND;
	for (int i = 0; slots != NULL && i < slot_count(); i++)
	{
		LaneSlot *s = lock_if_ours(i);

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
