/*
 * dispatch.c
 *		Where a queue's next tasks are.
 *
 * The tasks of a queue and a priority, ordered by (run_at, id), are a lane.  A
 * claim must not begin at a lane's left edge, where the entries of running and
 * ended ones pile up, the latter for as long as somebody holds an old snapshot.  So for
 * each lane a position is remembered up to which all entries were read, and
 * for each queue a heap of candidates: rows up to those positions that nobody
 * has taken yet.  Acquirers pop candidates and never meet; when there are
 * none, one of them reads on in the index (refill), the others wait for it.
 *
 * What must hold: every committed pending task lies behind its lane's position
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
 *   nobody.  A sweep finds them (sweep.c); wakeup.c knows when it has to.
 *
 * After a crash or a promotion nothing is remembered and reading begins at the
 * left edge.  Without shared memory each session remembers for itself; it does
 * not hear of what others commit, so it begins anew every poll interval and
 * whenever it finds nothing.
 *
 * What is remembered is kept by lanes.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/arg.h"
#include "base/compat.h"
#include "base/database.h"
#include "base/settings.h"
#include "hints/dispatch.h"
#include "hints/lanes.h"
#include "tables/backlog.h"


#define REFILL       256 /* candidates read at a time */
#define REFILL_ALONE 32  /* the same where others do not see what we have read */
#define MAX_NOTES    1024

/* ---- the rows of this transaction ------------------------------------------------ */

typedef struct Note
{
	Candidate candidate;
	SubTransactionId subxact;
	uint32 relfile;
	int32 queue_id;
	bool inserted; /* else taken */
	bool many;     /* this one and others of its lane behind it */
} Note;

static Note *notes = NULL;
static int nnotes = 0;
static int notes_size = 0;

static void
transaction_ended(XactEvent event, void *arg)
{
	int n = nnotes;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	nnotes = 0;
	for (int i = 0; i < n && event != XACT_EVENT_PREPARE; i++)
	{
		Note *p = &notes[i];

		if (p->inserted == (event == XACT_EVENT_COMMIT))
			slot_offer(p->relfile, p->queue_id, &p->candidate, p->many, !p->inserted);
	}
	if (n > 0)
		database_hints_changed();
}

/*
 * Of very many rows only the first of each lane is remembered: of each part of
 * the transaction that can be rolled back by itself.  What the part that is
 * current has is found at the end of the first n.
 */
static bool
merged(const Note *new, int n)
{
	for (int i = n - 1; i >= MAX_NOTES && notes[i].subxact == new->subxact; i--)
	{
		Note *p = &notes[i];

		if (p->inserted != new->inserted || p->queue_id != new->queue_id ||
			p->relfile != new->relfile || p->candidate.priority != new->candidate.priority)
			continue;
		if (candidate_before(&new->candidate, &p->candidate))
			p->candidate = new->candidate;
		return true;
	}
	return false;
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int kept = nnotes;
	bool offered = false;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	/* Its own are the last ones. */
	while (kept > 0 && notes[kept - 1].subxact == mine)
		kept--;
	for (int i = kept; i < nnotes; i++)
	{
		Note *p = &notes[i];

		if (event == SUBXACT_EVENT_ABORT_SUB)
		{
			if (!p->inserted)
			{
				slot_offer(p->relfile, p->queue_id, &p->candidate, p->many, true);
				offered = true;
			}
			if (!p->many)
				continue;
		}
		p->subxact = parent;
		if (!p->many || !merged(p, kept))
			notes[kept++] = *p;
	}
	nnotes = kept;
	if (offered)
		database_hints_changed();
}

/* So that the next so many are remembered without fail. */
static void
make_room(int count)
{
	static bool registered = false;
	int size = Max(notes_size, 16);

	if (!registered)
	{
		RegisterXactCallback(transaction_ended, NULL);
		(void) database_mine();
		RegisterSubXactCallback(subtransaction_ended, NULL);
		registered = true;
	}
	while (size < nnotes + count)
		size *= 2;
	if (size == notes_size)
		return;
	if (notes == NULL)
		notes = MemoryContextAlloc(TopMemoryContext, size * sizeof(Note));
	else
		notes = repalloc(notes, size * sizeof(Note));
	notes_size = size;
}

static bool
added_to_many(uint32 relfile, int32 queue_id, const Candidate *c, bool inserted)
{
	Note new = {
		.candidate = *c,
		.subxact = GetCurrentSubTransactionId(),
		.relfile = relfile,
		.queue_id = queue_id,
		.inserted = inserted,
	};

	return merged(&new, nnotes);
}

static void
remember(Relation tasks, int32 queue_id, const Candidate *c, bool inserted)
{
	uint32 relfile = compat_relfile(tasks);

	if (nnotes >= MAX_NOTES && added_to_many(relfile, queue_id, c, inserted))
		return;
	make_room(1);
	notes[nnotes].candidate = *c;
	notes[nnotes].subxact = GetCurrentSubTransactionId();
	notes[nnotes].relfile = relfile;
	notes[nnotes].queue_id = queue_id;
	notes[nnotes].inserted = inserted;
	notes[nnotes].many = nnotes >= MAX_NOTES;
	nnotes++;
}

void
dispatch_inserted(Relation tasks, int32 queue_id, const Candidate *c)
{
	LaneSlot *s = slots_are_shared() ? slot_lock_or_make(tasks, queue_id) : NULL;

	if (s != NULL)
	{
		s->used_at = GetCurrentTransactionStartTimestamp();
		SpinLockRelease(&s->lock);
	}
	remember(tasks, queue_id, c, true);
}

void
dispatch_taken(Relation tasks, int32 queue_id, const Candidate *c)
{
	remember(tasks, queue_id, c, false);
}

bool
dispatch_has_own(int32 queue_id)
{
	for (int i = 0; i < nnotes; i++)
	{
		if (notes[i].inserted && notes[i].queue_id == queue_id)
			return true;
	}
	return false;
}

bool
dispatch_has_any_own(void)
{
	for (int i = 0; i < nnotes; i++)
	{
		if (notes[i].inserted)
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
	LaneSlot *slot;
	int32 queue_id;
	TimestampTz now;
	int room;
	int count;
	LaneRead lanes[NLANES];
	Candidate found[REFILL];
} Refill;

static void
read_lane(LaneScan *scan, Refill *r, int n)
{
	LaneRead *lane = &r->lanes[n];
	Candidate c;

	lane->next_due = DT_NOEND;
	lane_scan_begin(scan, r->queue_id, n, &lane->to);
	while (r->count < r->room)
	{
		lane->done = !lane_scan_next(scan, n, &c);
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

#define FEW_LANES 4 /* are read without looking first whether they have entries */

/* The lanes that are to be read, as bits; those that have no entries are done. */
static uint32
lanes_to_read(Backlog *b, Refill *r)
{
	uint32 due = 0;
	uint32 empty = 0;

	for (int n = 0; n < NLANES; n++)
		due |= (uint32) r->lanes[n].due << n;
	if (pg_popcount32(due) > FEW_LANES)
		empty = due & ~backlog_lanes(b, r->queue_id, PRIORITY_OF(0));
	for (int n = 0; n < NLANES; n++)
	{
		if ((empty & (UINT32_C(1) << n)) == 0)
			continue;
		r->lanes[n].done = true;
		r->lanes[n].next_due = DT_NOEND;
	}
	return due & ~empty;
}

static void
read_lanes(Backlog *b, Refill *r)
{
	uint32 lanes = lanes_to_read(b, r);
	LaneScan scan;

	lane_scan_open(&scan, b);
	for (int n = 0; n < NLANES && r->count < r->room; n++)
	{
		if ((lanes & (UINT32_C(1) << n)) != 0)
			read_lane(&scan, r, n);
	}
	index_endscan(scan.scan);
}

/* False: there is nothing to be read, or the slot is another queue's now. */
static bool
refill_begin(Refill *r)
{
	LaneSlot *s = r->slot;
	bool any = false;

	SpinLockAcquire(&s->lock);
	if (!slots_are_shared() || slot_is_of(s, r->queue_id))
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
	LaneSlot *s = r->slot;

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
		slot_push(s, &r->found[i]);
	SpinLockRelease(&s->lock);
}

/* Under the slot's refill lock.  An error leaves "scanning" set, which costs a little. */
static void
refill(Backlog *b, LaneSlot *s, int32 queue_id, TimestampTz now)
{
	Refill r = {
		.slot = s,
		.queue_id = queue_id,
		.now = now,
		.room = slots_are_shared() ? REFILL : REFILL_ALONE,
	};

	if (!refill_begin(&r))
		return;
	read_lanes(b, &r);
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
first_unread(const LaneSlot *s, TimestampTz now, TimestampTz *next_due)
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
pop(LaneSlot *s, TimestampTz now, Candidate *taken, int max, int *count, TimestampTz *next_due)
{
	int unread = first_unread(s, now, next_due);
	bool there = s->count > 0 && LANE_OF(&s->heap[0]) <= unread;

	*count = 0;
	if (there && max == 0)
		*taken = s->heap[0];
	while (*count < max && s->count > 0 && LANE_OF(&s->heap[0]) <= unread)
		taken[(*count)++] = slot_pop(s);
	if (there)
		return LOOK_TAKEN;
	return unread < NLANES ? LOOK_READ_ON : LOOK_NOTHING;
}

/*
 * A session that does not hear of others begins anew from time to time, and
 * when it finds nothing; once a call, of which "now" is the time.
 */
static bool
begin_anew(LaneSlot *s, Relation tasks, TimestampTz now, bool found_nothing)
{
	TimestampTz next = s->used_at + setting_poll_interval * US_PER_MS;

	if (slots_are_shared() || s->used_at == now)
		return false;
	if (!found_nothing && now > s->used_at && now < next)
		return false;
	slot_forget(s, compat_relfile(tasks));
	s->used_at = now;
	return true;
}

/* As dispatch_take(), but with max = 0 the first one is shown, and the result 1. */
static int
take(Backlog *b, int32 queue_id, TimestampTz now, Candidate *taken, int max,
	 TimestampTz *next_due)
{
	make_room(max);
	for (;;)
	{
		LaneSlot *s;
		Look look;
		int count;

		CHECK_FOR_INTERRUPTS();
		s = slot_lock_or_make(b->task.heap, queue_id);
		if (s == NULL)
			return -1;
		(void) begin_anew(s, b->task.heap, now, false);
		look = pop(s, now, taken, max, &count, next_due);
		if (look == LOOK_NOTHING && begin_anew(s, b->task.heap, now, true))
			look = LOOK_READ_ON;
		if (slots_are_shared())
			s->used_at = now;
		SpinLockRelease(&s->lock);
		if (look == LOOK_NOTHING)
			return 0;
		for (int i = 0; i < count; i++)
			dispatch_taken(b->task.heap, queue_id, &taken[i]);
		if (look == LOOK_TAKEN)
			return Max(count, 1);
		if (!slots_are_shared())
			refill(b, s, queue_id, now);
		else if (LWLockAcquireOrWait(slot_refill_lock(s), LW_EXCLUSIVE))
		{
			refill(b, s, queue_id, now);
			LWLockRelease(slot_refill_lock(s));
		}
	}
}

int
dispatch_take(Backlog *b, int32 queue_id, TimestampTz now, Candidate *taken, int max,
			  TimestampTz *next_due)
{
	return take(b, queue_id, now, taken, max, next_due);
}

/*
 * A candidate that is none: its row is gone, or whoever has it in hand will
 * offer it.  He may have done so since we looked, and what is a candidate
 * already is not made one again.
 */
static void
drop_first(Backlog *b, int32 queue_id, const Candidate *c)
{
	LaneSlot *s;
	bool dropped;

	make_room(1);
	s = slot_lock(queue_id);
	if (s == NULL)
		return;
	dropped = s->count > 0 && candidate_same(&s->heap[0], c);
	if (dropped)
		(void) slot_pop(s);
	SpinLockRelease(&s->lock);
	if (!dropped)
		return;
	dispatch_taken(b->task.heap, queue_id, c);
	if (backlog_is_pending(b, c))
		slot_offer(compat_relfile(b->task.heap), queue_id, c, false, true);
}

int
dispatch_look(Backlog *b, int32 queue_id, TimestampTz now, TimestampTz *next_due)
{
	Candidate c;
	int found;

	while ((found = take(b, queue_id, now, &c, 0, next_due)) > 0 && !backlog_is_pending(b, &c))
		drop_first(b, queue_id, &c);
	return found;
}

/* ---- counting ------------------------------------------------------------------------- */

static void
count_one(Backlog *b, const Candidate *c, int *count, TimestampTz *oldest)
{
	if (!backlog_is_pending(b, c))
		return;
	(*count)++;
	*oldest = Min(*oldest, c->run_at);
}

/* The unread rows of a lane that are due; the first one in any case. */
static void
count_lane(Backlog *b, LaneScan *scan, int lane, TimestampTz now, int max, int *count,
		   TimestampTz *oldest)
{
	Candidate c;

	while (lane_scan_next(scan, lane, &c) && c.run_at <= now)
	{
		CHECK_FOR_INTERRUPTS();
		count_one(b, &c, count, oldest);
		if (*count >= max)
			break;
	}
}

int
dispatch_count_due(Backlog *b, int32 queue_id, TimestampTz now, int max,
				   TimestampTz *oldest)
{
	LaneSlot *copy = palloc(sizeof(LaneSlot)); /* which may fail: before the lock */
	LaneSlot *s = slot_lock(queue_id);
	LaneScan scan;
	int count = 0;

	*oldest = DT_NOEND;
	if (s == NULL)
		return -1;
	*copy = *s;
	SpinLockRelease(&s->lock);
	if (!slots_are_shared() || copy->relfile != compat_relfile(b->task.heap))
		return -1;
	for (int i = 0; i < copy->count; i++)
		count_one(b, &copy->heap[i], &count, oldest);
	lane_scan_open(&scan, b);
	for (int n = 0; n < NLANES; n++)
	{
		if (copy->lanes[n].next_due > now)
			continue;
		lane_scan_begin(&scan, queue_id, n, &copy->lanes[n].read);
		count_lane(b, &scan, n, now, max, &count, oldest);
	}
	index_endscan(scan.scan);
	pfree(copy);
	return Min(count, max);
}
