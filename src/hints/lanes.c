/*
 * lanes.c
 *		Positions and candidates of each queue's lanes.
 *
 * dispatch.c explains them and has the invariant.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "common/pg_prng.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/settings.h"
#include "base/shmem.h"
#include "hints/idle.h"
#include "hints/lanes.h"
#include "tables/backlog.h"

static Size
memory_of_lanes(void)
{
	return setting_dispatch_memory * (Size) 1024;
}

HintTable lanes_table = {
	.name = "taskq dispatch",
	.entry_size = sizeof(LaneSlot),
	.ways = 8,
	.memory = memory_of_lanes,
	.locks = 2, /* the second one: see slot_refill_lock() */
};

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

bool
slots_are_shared(void)
{
	return hint_is_shared(&lanes_table);
}

int
slot_count(void)
{
	return slots_are_shared() ? hint_count(&lanes_table) : 0;
}

LaneSlot *
slot_at(int n)
{
	return (LaneSlot *) hint_at(&lanes_table, n);
}

LWLock *
slot_refill_lock(const LaneSlot *s)
{
	return hint_second_lock(&lanes_table, &s->entry);
}

void
slot_forget(LaneSlot *s, uint32 relfile)
{
	s->version = pg_prng_uint64(&pg_global_prng_state);
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

LaneSlot *
slot_lock(int32 queue_id)
{
	return (LaneSlot *) hint_find(&lanes_table, queue_id);
}

void
slot_unlock(LaneSlot *s)
{
	hint_unlock(&lanes_table, &s->entry);
}

LaneSlot *
slot_lock_or_make(Relation tasks, int32 queue_id)
{
	uint32 relfile = compat_relfile(tasks);
	LaneSlot *s = slot_lock(queue_id);
	bool made = false;

	if (s == NULL)
	{
		hint_make_local(&lanes_table);
		s = (LaneSlot *) hint_make(&lanes_table, queue_id, &made);
	}
	if (made || s->relfile != relfile)
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

/* There is no room: the candidates and this row will be read again. */
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

/* Offers more than one row: this one and others after it in its lane. */
static void
offer_many(LaneSlot *s, const Candidate *first)
{
	Lane *lane = &s->lanes[LANE_OF(first)];

	if (s->scanning || was_read(lane, first))
		slot_lower(s, first);
	else
		lane->next_due = Min(lane->next_due, first->run_at);
}

/*
 * Offers one row.  If it is due and all due rows before it were read, it becomes a candidate
 * at once, and the position moves to it: the index need not be read.
 */
static void
offer_one(LaneSlot *s, const Candidate *c, TimestampTz now)
{
	Lane *lane = &s->lanes[LANE_OF(c)];

	if (c->run_at > now && was_read(lane, c))
		slot_lower(s, c);
	else if (c->run_at > now)
	{
		/* A running refill does not read this row: it stops at rows that are not due. */
		s->timer = Min(s->timer, c->run_at);
		lane->next_due = Min(lane->next_due, c->run_at);
		lane->told_due = Min(lane->told_due, c->run_at);
	}
	else if (s->scanning || was_read(lane, c))
		slot_push(s, c);
	else if (lane->next_due <= now || s->count == MAX_CANDIDATES)
		lane->next_due = Min(lane->next_due, c->run_at); /* a refill will read it */
	else
	{
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

	/* An administrator may have given the row a priority for which there is no lane. */
	if (c->priority < PRIORITY_OF(0) || c->priority >= PRIORITY_OF(NLANES))
		return;
	idle_end(queue_id);
	s = slot_lock(queue_id);
	if (s == NULL)
		return; /* nothing was read yet, so the row will be read */
	if (s->relfile == relfile && many)
		offer_many(s, c);
	else if (s->relfile == relfile && !(again && slot_has(s, c)))
		offer_one(s, c, now);
	slot_unlock(s);
}

/* ---- reading a lane's entries ------------------------------------------------------ */

/* The scan reads index entries only, so the snapshot does not matter. */
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

/* ---- notifications --------------------------------------------------------------------- */

void
lanes_mark(int32 queue_id)
{
	LaneSlot *s = slot_lock(queue_id);

	if (s == NULL)
		return;
	s->marked = true;
	slot_unlock(s);
}

/* A slot of this database, locked; NULL if it is of another one. */
static LaneSlot *
lock_if_ours(int n)
{
	return (LaneSlot *) hint_lock_if_ours(&lanes_table, n);
}

void
lanes_mark_all(void)
{
	for (int i = 0; i < slot_count(); i++)
	{
		LaneSlot *s = lock_if_ours(i);

		if (s == NULL)
			continue;
		s->marked = true;
		slot_unlock(s);
	}
}

int
lanes_take_marks(int32 *ids, int max)
{
	int count = 0;

	for (int i = 0; i < slot_count() && count < max; i++)
	{
		LaneSlot *s = lock_if_ours(i);

		if (s == NULL)
			continue;
		if (s->marked)
			ids[count++] = s->entry.number;
		s->marked = false;
		slot_unlock(s);
	}
	return count;
}

/* Whether the next row of some lane has become due since the last look. */
static bool
becomes_due(LaneSlot *s, TimestampTz now, TimestampTz *next)
{
	bool due = s->timer <= now;

	/* A lane with unread due rows does not know its later rows; the timer does. */
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
	for (int i = 0; i < slot_count(); i++)
	{
		LaneSlot *s = lock_if_ours(i);

		if (s == NULL)
			continue;
		if (count == max)
			*next = now; /* the next call continues */
		else if (becomes_due(s, now, next))
		{
			ids[count++] = s->entry.number;
			s->marked = true;
		}
		slot_unlock(s);
	}
	return count;
}
