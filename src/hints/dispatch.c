/*
 * dispatch.c
 *		Where a queue's next tasks are.
 *
 * The tasks of a queue and a priority, ordered by (run_at, id), are a lane.  A
 * claim must not begin at a lane's left edge, where the index entries of running and
 * ended tasks pile up; those of ended tasks stay for as long as some session holds an
 * old snapshot.  So for each lane a position is remembered up to which all entries were
 * read, and for each queue a heap of candidates: rows up to those positions that no
 * session has taken yet.  Claimers pop candidates and never meet.  When there are none,
 * one claimer reads on in the index (a refill), and the others wait for it.
 *
 * What must hold: every committed pending task lies behind its lane's position
 * (unread), or is a candidate, or is in the hands of a transaction that makes
 * it one again if it rolls back.
 *
 * - A row is offered when the transaction that inserted it has committed.  If
 *   it lies behind the position, it will be read; if not, it has come late
 *   and becomes a candidate.  So does a row whose taker has rolled back.
 * - A refill reads without a lock while other sessions offer.  Before it reads, it
 *   sets "scanning"; while that is set, whatever is offered becomes a candidate.
 *   An entry that is put into the index behind the reader's back is offered
 *   after it was put there: either while "scanning" is set, or when the new
 *   position is.  To read a row twice is harmless.
 * - A refill reads the index entries of uncommitted rows as well.  The claimer that
 *   pops such a candidate drops it; it is offered when its transaction commits.
 * - When there is no room for a candidate, the positions go back to before all
 *   candidates, and these are forgotten: they will be read again.
 * - Rows of prepared transactions and of logical replication are offered by
 *   no session.  A sweep finds them (sweep.c); wakeup.c knows when one is needed.
 *
 * After a crash or a promotion nothing is remembered, and reading begins at the
 * left edge.  Without shared memory each session remembers for itself.  It does
 * not hear of what other sessions commit, so it begins anew every poll interval and
 * whenever it finds nothing.
 *
 * lanes.c keeps what is remembered.
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
#include "base/settings.h"
#include "base/xact.h"
#include "hints/dispatch.h"
#include "hints/lanes.h"
#include "tables/backlog.h"

#define REFILL       256 /* candidates read at a time */
#define REFILL_ALONE 32  /* the same where other sessions do not see what was read */
#define MAX_NOTES    1024

/* ---- the rows of this transaction ------------------------------------------------ */

/* A row that this transaction has made pending, or taken. */
typedef struct Note
{
	XactNote note;
	Candidate candidate;
	uint32 relfile;
	int32 queue_id;
	bool inserted; /* else taken */
	bool many;     /* this one and others of its lane behind it */
} Note;

static void
offer(const Note *n)
{
	slot_offer(n->relfile, n->queue_id, &n->candidate, n->many, !n->inserted);
}

static void
offer_inserted(const void *note)
{
	if (((const Note *) note)->inserted)
		offer(note);
}

static void
offer_taken(const void *note)
{
	if (!((const Note *) note)->inserted)
		offer(note);
}

static bool absorb_note(const void *note, int count);

static XactKind notes = {
	.note_size = sizeof(Note),
	.committed = offer_inserted,
	.rolled_back = offer_taken,
	.absorbed = absorb_note,
};

/*
 * Of very many rows only the first one of each lane is remembered, for each part of
 * the transaction.  True: one of the first count notes, a note of the same part, stands
 * for this one as well from now on.
 */
static bool
merged(const Note *new, SubTransactionId part, int count)
{
	for (int i = count - 1; i >= MAX_NOTES; i--)
	{
		Note *n = xact_note_at(&notes, i);

		if (n->note.part != part)
			break;
		if (n->inserted != new->inserted || n->queue_id != new->queue_id ||
			n->relfile != new->relfile || n->candidate.priority != new->candidate.priority)
			continue;
		if (candidate_before(&new->candidate, &n->candidate))
			n->candidate = new->candidate;
		return true;
	}
	return false;
}

static bool
absorb_note(const void *note, int count)
{
	const Note *n = note;

	return n->many && merged(n, n->note.part, count);
}

static void
remember(Relation tasks, int32 queue_id, const Candidate *c, bool inserted)
{
	int count = xact_count(&notes);
	Note new = {
		.candidate = *c,
		.relfile = compat_relfile(tasks),
		.queue_id = queue_id,
		.inserted = inserted,
		.many = count >= MAX_NOTES,
	};
	Note *n;

	if (new.many && merged(&new, GetCurrentSubTransactionId(), count))
		return;
	n = xact_note(&notes);
	new.note = n->note;
	*n = new;
}

void
dispatch_inserted(Relation tasks, int32 queue_id, const Candidate *c)
{
	LaneSlot *s = slots_are_shared() ? slot_lock_or_make(tasks, queue_id) : NULL;

	if (s != NULL)
	{
		s->entry.used_at = GetCurrentTransactionStartTimestamp();
		slot_unlock(s);
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
	for (int i = 0; i < xact_count(&notes); i++)
	{
		const Note *n = xact_note_at(&notes, i);

		if (n->inserted && n->queue_id == queue_id)
			return true;
	}
	return false;
}

bool
dispatch_has_any_own(void)
{
	for (int i = 0; i < xact_count(&notes); i++)
	{
		if (((const Note *) xact_note_at(&notes, i))->inserted)
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
	int32 queue_id;
	uint64 version; /* of the slot when it began */
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

/* False: there is nothing to be read. */
static bool
refill_begin(Refill *r)
{
	LaneSlot *s = slot_lock(r->queue_id);
	bool any = false;

	if (s == NULL)
		return false;
	for (int i = 0; i < NLANES; i++)
	{
		LaneRead *lane = &r->lanes[i];

		lane->due = s->lanes[i].next_due <= r->now;
		lane->done = false;
		lane->to = s->lanes[i].read;
		any |= lane->due;
		s->lanes[i].told_due = DT_NOEND;
	}
	r->version = s->version;
	s->scanning = true;
	s->lowered = 0;
	slot_unlock(s);
	return any;
}

/* What was read is of no use if the slot has forgotten everything since, or is another queue's. */
static void
refill_end(Refill *r)
{
	LaneSlot *s = slot_lock(r->queue_id);

	if (s == NULL)
		return;
	if (s->version == r->version)
	{
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
	}
	slot_unlock(s);
}

/*
 * Reads on in the lanes of the queue that have unread rows which are due.  No other
 * session does at the same time.  An error leaves "scanning" set, which costs a little.
 */
static void
refill(Backlog *b, int32 queue_id, TimestampTz now)
{
	Refill r = {
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
 * A session that does not hear of other sessions begins anew from time to time, and
 * when it finds nothing; at most once in a call, whose time is "now".
 */
static bool
begin_anew(LaneSlot *s, Relation tasks, TimestampTz now, bool found_nothing)
{
	TimestampTz next = s->entry.used_at + setting_poll_interval * US_PER_MS;

	if (slots_are_shared() || s->entry.used_at == now)
		return false;
	if (!found_nothing && now > s->entry.used_at && now < next)
		return false;
	slot_forget(s, compat_relfile(tasks));
	s->entry.used_at = now;
	return true;
}

/* With max = 0 the first one is shown and stays, and the result is 1. */
int
dispatch_take(Backlog *b, int32 queue_id, TimestampTz now, Candidate *taken, int max,
			  TimestampTz *next_due)
{
	xact_reserve(&notes, max);
	for (;;)
	{
		LaneSlot *s;
		Look look;
		int count;

		CHECK_FOR_INTERRUPTS();
		s = slot_lock_or_make(b->task.heap, queue_id);
		(void) begin_anew(s, b->task.heap, now, false);
		look = pop(s, now, taken, max, &count, next_due);
		if (look == LOOK_NOTHING && begin_anew(s, b->task.heap, now, true))
			look = LOOK_READ_ON;
		if (slots_are_shared())
			s->entry.used_at = now;
		slot_unlock(s);
		if (look == LOOK_NOTHING)
			return 0;
		for (int i = 0; i < count; i++)
			dispatch_taken(b->task.heap, queue_id, &taken[i]);
		if (look == LOOK_TAKEN)
			return Max(count, 1);
		if (!slots_are_shared())
			refill(b, queue_id, now);
		else if (LWLockAcquireOrWait(slot_refill_lock(s), LW_EXCLUSIVE))
		{
			refill(b, queue_id, now);
			LWLockRelease(slot_refill_lock(s));
		}
	}
}

/*
 * Drops a candidate that is none: its row is gone, or the transaction that has it in
 * hand will offer it.  That transaction may have done so since this session looked, so the
 * row is looked at once more after it was dropped.
 */
static void
drop_first(Backlog *b, int32 queue_id, const Candidate *c)
{
	LaneSlot *s;
	bool dropped;

	xact_reserve(&notes, 1);
	s = slot_lock(queue_id);
	if (s == NULL)
		return;
	dropped = s->count > 0 && candidate_same(&s->heap[0], c);
	if (dropped)
		(void) slot_pop(s);
	slot_unlock(s);
	if (!dropped)
		return;
	dispatch_taken(b->task.heap, queue_id, c);
	if (backlog_is_pending(b, c))
		slot_offer(compat_relfile(b->task.heap), queue_id, c, false, true);
}

bool
dispatch_look(Backlog *b, int32 queue_id, TimestampTz now, TimestampTz *next_due)
{
	Candidate c;

	while (dispatch_take(b, queue_id, now, &c, 0, next_due) > 0)
	{
		if (backlog_is_pending(b, &c))
			return true;
		drop_first(b, queue_id, &c);
	}
	return false;
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

/* Counts the unread rows of a lane that are due, but always looks at the first one. */
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
	{
		pfree(copy);
		return -1;
	}
	*copy = *s;
	slot_unlock(s);
	if (!slots_are_shared() || copy->relfile != compat_relfile(b->task.heap))
	{
		pfree(copy);
		return -1;
	}
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
