/*
 * dispatch.c
 *		Finds a queue's next tasks by remembered positions and candidates.
 *
 * The tasks of a queue and a priority, ordered by (run_at, id), are a lane.  A
 * claim must not begin at a lane's left edge, where the index entries of running and
 * ended tasks pile up; those of ended tasks stay as long as a session holds an
 * old snapshot.  So for each lane a position is remembered up to which all entries were
 * read, and for each queue a heap of candidates: rows up to those positions that no
 * session has taken yet.  Each claimer pops its own candidates, so claimers do not compete for
 * the same row.  When there are no candidates, one claimer reads on in the index (a refill),
 * and the others wait for it.
 *
 * Invariant: every committed pending task lies behind its lane's position (unread), or
 * is a candidate, or was taken by an open transaction that makes it a candidate again if
 * it rolls back.
 *
 * - A row is offered when the transaction that inserted it has committed.  If
 *   it lies behind the position, it will be read; if not, it has come late
 *   and becomes a candidate.  So does a row whose taker has rolled back.
 * - A refill reads without a lock while other sessions offer rows.  Before it reads, it
 *   sets "scanning"; while that is set, every offered row becomes a candidate.
 *   If an entry is inserted into a part of the index that the refill has read already, its
 *   row is offered after that: either while "scanning" is set, or after the new position
 *   was set.  To read a row twice is harmless.
 * - A refill reads the index entries of uncommitted rows as well.  The claimer that
 *   pops such a candidate drops it; it is offered when its transaction commits.
 * - When there is no room for a candidate, the positions go back to before all
 *   candidates, and these are forgotten: they will be read again.
 * - A transaction finds the tasks that it has made pending itself in another way: see own.c.
 * - No session offers rows of prepared transactions, of logical replication, and of statements.
 *   A sweep finds them (sweep.c); wakeup.c knows when one is needed.
 *
 * After a crash or a promotion nothing is remembered, and reading begins at the
 * left edge.  Without shared memory each session has its own positions and candidates.
 * It is not told what other sessions commit, so it begins at the left edge again every poll
 * interval and whenever it finds nothing.
 *
 * lanes.c stores positions and candidates.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "base/arg.h"
#include "base/compat.h"
#include "base/database.h"
#include "base/settings.h"
#include "base/xact.h"
#include "hints/dispatch.h"
#include "hints/lanes.h"
#include "tables/backlog.h"

#define REFILL       256 /* candidates read at a time */
#define REFILL_ALONE 32  /* the same if other sessions cannot use the candidates */
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
	bool many;     /* this one and others after it in its lane */
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
	const Note *n = note;

	if (n->inserted)
		return;
	offer(n);
	own_pending(n->queue_id, &n->candidate);
}

static void
forget_own(XactEnd end)
{
	own_forget();
}

static bool absorb_note(const void *note, int count);

static XactKind notes = {
	.note_size = sizeof(Note),
	.committed = offer_inserted,
	.rolled_back = offer_taken,
	.absorbed = absorb_note,
	.ended = forget_own,
};

/*
 * If there are very many rows, only the first one of each lane is remembered, for each part of
 * the transaction.  True: one of the first count notes is of the same part and lane, and now
 * represents this row as well.
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
	own_pending(queue_id, c);
}

void
dispatch_taken(Relation tasks, int32 queue_id, const Candidate *c)
{
	remember(tasks, queue_id, c, false);
}

void
dispatch_not_taken(int32 queue_id, const Candidate *c)
{
	int count = xact_count(&notes);

	for (int i = count - 1; i >= Max(count - MAX_TAKEN, 0); i--)
	{
		const Note *n = xact_note_at(&notes, i);

		if (n->note.part != GetCurrentSubTransactionId())
			break;
		if (n->inserted || n->many || n->queue_id != queue_id ||
			!candidate_same(&n->candidate, c))
			continue;
		xact_forget_note(&notes, i);
		return;
	}
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

OwnTasks *
dispatch_own(int32 queue_id)
{
	OwnTasks *own = own_find(queue_id);

	if (own != NULL || !dispatch_has_own(queue_id))
		return own;
	own = own_make(queue_id);
	for (int i = 0; i < xact_count(&notes); i++)
	{
		const Note *n = xact_note_at(&notes, i);

		if (n->inserted && n->queue_id == queue_id)
			own_pending(queue_id, &n->candidate);
	}
	return own;
}

/* ---- reading on -------------------------------------------------------------------- */

/* One lane's share of a refill. */
typedef struct LaneRead
{
	bool due; /* the lane has unread rows that are due */
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

#define FEW_LANES 4 /* so few lanes are read without a check whether they have entries */

/* Those of the lanes, as bits, that may have entries. */
static uint32
lanes_with_entries(Backlog *b, int32 queue_id, uint32 lanes)
{
	if (pg_popcount32(lanes) <= FEW_LANES)
		return lanes;
	return lanes & backlog_lanes(b, queue_id, PRIORITY_OF(0));
}

/* The lanes that are to be read, as bits; those that have no entries are done. */
static uint32
lanes_to_read(Backlog *b, Refill *r)
{
	uint32 due = 0;
	uint32 empty;

	for (int n = 0; n < NLANES; n++)
		due |= (uint32) r->lanes[n].due << n;
	empty = due & ~lanes_with_entries(b, r->queue_id, due);
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

/* Whether the executor does not know of that time yet, at which it tells sessions of a task. */
static bool
is_news(LaneSlot *s, TimestampTz due)
{
	if (due >= s->timer)
		return false;
	s->timer = due;
	return true;
}

/* Stores the result, unless the slot was reset or evicted since the refill began. */
static void
refill_end(Refill *r)
{
	LaneSlot *s = slot_lock(r->queue_id);
	bool news = false;

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
			if (!r->lanes[i].done)
				continue;
			lane->next_due = Min(lane->told_due, r->lanes[i].next_due);
			news |= is_news(s, lane->next_due);
		}
		s->scanning = false;
		for (int i = 0; i < r->count; i++)
			slot_push(s, &r->found[i]);
	}
	slot_unlock(s);
	if (news && database_mine() != NULL)
		database_want(database_mine(), WANT_TIMERS);
}

/*
 * Reads on in the lanes of the queue that have unread due rows.  No other session does so at
 * the same time.  An error leaves "scanning" set; that costs a little time and nothing else.
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

/* The first lane that has unread due rows; NLANES if none has. */
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

/* max = 0: returns the first candidate without taking it. */
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
 * Without shared memory a session is not told of other sessions' commits.  So it resets the slot
 * from time to time, and when it finds nothing, but at most once in a call, whose time is "now".
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

/*
 * With max = 0 the first candidate is returned without being taken, and the result is 1.
 * anew: see begin_anew(), if nothing is found.
 */
static int
take(Backlog *b, int32 queue_id, TimestampTz now, bool anew, Candidate *taken, int max,
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
		if (look == LOOK_NOTHING && anew && begin_anew(s, b->task.heap, now, true))
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

int
dispatch_take(Backlog *b, int32 queue_id, TimestampTz now, Candidate *taken, int max,
			  TimestampTz *next_due)
{
	return take(b, queue_id, now, true, taken, max, next_due);
}

/*
 * Drops a candidate that cannot be claimed: its row is gone, or an open transaction has
 * inserted or taken it and will offer it.  That transaction may have offered it after this
 * session looked, so the session looks at the row again after it has dropped it.
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
	dispatch_not_taken(queue_id, c);
}

/* Arguments as of take(). */
static bool
look_first(Backlog *b, int32 queue_id, TimestampTz now, bool anew, Candidate *first,
		   TimestampTz *next_due)
{
	while (take(b, queue_id, now, anew, first, 0, next_due) > 0)
	{
		if (backlog_is_pending(b, first))
			return true;
		drop_first(b, queue_id, first);
	}
	return false;
}

bool
dispatch_look(Backlog *b, int32 queue_id, TimestampTz now, TimestampTz *next_due)
{
	Candidate first;

	return look_first(b, queue_id, now, true, &first, next_due);
}

bool
dispatch_first(Backlog *b, int32 queue_id, TimestampTz now, Candidate *first,
			   TimestampTz *next_due)
{
	return look_first(b, queue_id, now, true, first, next_due);
}

bool
dispatch_look_beside_own(Backlog *b, int32 queue_id, TimestampTz now, Candidate *first,
						 TimestampTz *next_due)
{
	return look_first(b, queue_id, now, false, first, next_due);
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

/* Counts the unread due rows of a lane; finds the first one even if max is reached. */
static void
count_lane(Backlog *b, LaneScan *scan, int lane, TimestampTz now, int max, int *count,
		   TimestampTz *oldest)
{
	int before = *count;
	Candidate c;

	while (lane_scan_next(scan, lane, &c) && c.run_at <= now)
	{
		CHECK_FOR_INTERRUPTS();
		count_one(b, &c, count, oldest);
		if (*count >= max && *count > before)
			break;
	}
}

/* The lanes that have unread due rows, as bits. */
static uint32
lanes_due(const Lane *lanes, TimestampTz now)
{
	uint32 due = 0;

	for (int n = 0; n < NLANES; n++)
		due |= (uint32) (lanes[n].next_due <= now) << n;
	return due;
}

/* A copy of the slot for counting, palloc'd; NULL: it is of no use. */
static LaneSlot *
copy_slot(Backlog *b, int32 queue_id)
{
	LaneSlot *copy = palloc(sizeof(LaneSlot)); /* before the lock is taken, because it may fail */
	LaneSlot *s = slot_lock(queue_id);

	if (s == NULL)
	{
		pfree(copy);
		return NULL;
	}
	memcpy(copy, s, offsetof(LaneSlot, heap) + s->count * sizeof(Candidate));
	slot_unlock(s);
	if (slots_are_shared() && copy->relfile == compat_relfile(b->task.heap))
		return copy;
	pfree(copy);
	return NULL;
}

/* Counts the unread due rows of the chosen lanes, up to max and the first of each lane. */
static void
count_unread(Backlog *b, int32 queue_id, const Lane *lanes, uint32 chosen, TimestampTz now, int max,
			 int *count, TimestampTz *oldest)
{
	LaneScan scan;

	lane_scan_open(&scan, b);
	for (int n = 0; n < NLANES; n++)
	{
		if ((chosen & (UINT32_C(1) << n)) == 0)
			continue;
		lane_scan_begin(&scan, queue_id, n, &lanes[n].read);
		count_lane(b, &scan, n, now, max, count, oldest);
	}
	index_endscan(scan.scan);
}

int
dispatch_count_due(Backlog *b, int32 queue_id, TimestampTz now, int max,
				   TimestampTz *oldest)
{
	LaneSlot *copy = copy_slot(b, queue_id);
	uint32 chosen;
	int count = 0;

	*oldest = DT_NOEND;
	if (copy == NULL)
		return -1;
	for (int i = 0; i < copy->count; i++)
		count_one(b, &copy->heap[i], &count, oldest);
	chosen = lanes_with_entries(b, queue_id, lanes_due(copy->lanes, now));
	count_unread(b, queue_id, copy->lanes, chosen, now, max, &count, oldest);
	pfree(copy);
	return Min(count, max);
}

/* ---- the oldest ----------------------------------------------------------------------- */

/* What dispatch_oldest() needs of a slot; a copy of all candidates would take longer. */
typedef struct SlotHead
{
	Lane lanes[NLANES];
	bool any;
	Candidate oldest; /* if there is any candidate */
} SlotHead;

/* The candidate with the lowest run_at; there must be one. */
static int
oldest_candidate(const LaneSlot *s)
{
	int oldest = 0;

	for (int i = 1; i < s->count; i++)
	{
		if (s->heap[i].run_at < s->heap[oldest].run_at)
			oldest = i;
	}
	return oldest;
}

/* False: nothing is remembered about the queue. */
static bool
read_head(Backlog *b, int32 queue_id, SlotHead *head)
{
	LaneSlot *s = slot_lock(queue_id);
	bool valid;

	if (s == NULL)
		return false;
	valid = slots_are_shared() && s->relfile == compat_relfile(b->task.heap);
	memcpy(head->lanes, s->lanes, sizeof(head->lanes));
	head->any = s->count > 0;
	if (head->any)
		head->oldest = s->heap[oldest_candidate(s)];
	slot_unlock(s);
	return valid;
}

/* The lowest run_at of the candidates that are pending; DT_NOEND: none is. */
static TimestampTz
oldest_pending(Backlog *b, int32 queue_id)
{
	LaneSlot *copy = copy_slot(b, queue_id);
	TimestampTz oldest = DT_NOEND;
	int count = 0;

	if (copy == NULL)
		return DT_NOEND;
	while (copy->count > 0 && count == 0)
	{
		int n = oldest_candidate(copy);

		count_one(b, &copy->heap[n], &count, &oldest);
		copy->heap[n] = copy->heap[--copy->count];
	}
	pfree(copy);
	return oldest;
}

/* Those of the lanes, as bits, in which an unread row may have a lower run_at. */
static uint32
lanes_before(const Lane *lanes, uint32 chosen, TimestampTz run_at)
{
	for (int n = 0; n < NLANES; n++)
	{
		if (lanes[n].read.run_at >= run_at)
			chosen &= ~(UINT32_C(1) << n);
	}
	return chosen;
}

TimestampTz
dispatch_oldest(LaneLook *look, int32 queue_id, TimestampTz now, int max, int *later)
{
	uint32 lanes = lane_look_later(look, queue_id, PRIORITY_OF(0), now, max, later);
	TimestampTz oldest = DT_NOEND;
	int count = 0;
	SlotHead head;

	if (!read_head(look->b, queue_id, &head))
		return lane_look_oldest(look, queue_id, PRIORITY_OF(0), lanes, now);
	if (head.any)
		oldest = backlog_is_pending(look->b, &head.oldest) ? head.oldest.run_at
														   : oldest_pending(look->b, queue_id);
	lanes = lanes_before(head.lanes, lanes & lanes_due(head.lanes, now), oldest);
	if (lanes != 0)
		count_unread(look->b, queue_id, head.lanes, lanes, now, 1, &count, &oldest);
	return oldest <= now ? oldest : DT_NOEND;
}
