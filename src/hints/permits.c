/*
 * permits.c
 *		What open transactions do to the numbers of running tasks.
 *
 * A permit is taken before the lease is inserted, and comes back when the transaction that has
 * deleted the lease has committed, or the one that has inserted it has rolled back.  The hooks for
 * this come after the transaction has left the list of running ones and its outcome is known to
 * all, so at each moment the number is at least that of the leases that may exist.
 *
 * A note stands for several claims, or several ends, of one queue or group by one part of the
 * transaction.  While it is open it counts as one "inflight": a count of the leases in the table is
 * accepted only if there is none (running.c).  A note of a group counts in the group, and another
 * note counts the same claims in the queue.
 *
 * A claim can take over the permit of an attempt that the same transaction has ended: "handed".
 * The number does not change then when the transaction commits or rolls back, because both the end
 * and the claim become true or neither.  If only the part with the claim rolls back, the permit is
 * with the end again.
 *
 * A prepared transaction changes no number: its claims count on, and so do its ends, until it has
 * ended and the leases are counted again.
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/database.h"
#include "base/xact.h"
#include "core/clock.h"
#include "hints/idle.h"
#include "hints/permits.h"
#include "hints/wakeup.h"

#define LOOK_BACK 8 /* notes among which one is looked for that can stand for more */

typedef struct Note
{
	XactNote note;
	FlowQueue *queue;
	int32 queue_id;
	uint32 group; /* its cell; 0: the note is of the queue */
	int64 group_id;
	bool claim; /* else end */
	int32 count;
	int32 handed; /* of these: permits that go from an end to a claim */
} Note;

static void note_committed(const void *note);
static void note_rolled_back(const void *note);
static void note_prepared(const void *note);
static bool absorb_permits(const void *note, int count);

static XactKind notes = {
	.note_size = sizeof(Note),
	.committed = note_committed,
	.rolled_back = note_rolled_back,
	.prepared = note_prepared,
	.absorbed = absorb_permits,
	.last = true, /* a task is offered before its permit comes back */
};

static Note *
note_at(int n)
{
	return xact_note_at(&notes, n);
}

static bool
is_same(const Note *a, const Note *b)
{
	return a->queue == b->queue && a->group == b->group;
}

/* ---- ends of transactions ------------------------------------------------------------ */

static bool
is_limited(const FlowQueue *q)
{
	return q->max_running != NO_LIMIT || q->rate.interval_ns > 0;
}

/* Closes the note: running changes by this.  Returns how many waiters may find a task now. */
static int
close_note(const Note *n, int32 running)
{
	if (n->group != 0)
		return groups_told(n->queue, n->group, running);
	(void) flow_add(n->queue, running, -1, NO_LIMIT);
	return running < 0 && is_limited(n->queue) ? -running : 0;
}

static void
tell_note(const Note *n, int32 running)
{
	int count = close_note(n, running);

	if (count == 0)
		return;
	idle_end(n->queue_id);
	wakeup_some(n->queue_id, count);
	if (n->queue->push && database_mine() != NULL)
		database_want(database_mine(), WANT_TASKS | WANT_CALLS);
}

static void
note_committed(const void *note)
{
	const Note *n = note;

	tell_note(n, n->claim ? 0 : n->handed - n->count);
}

/* The permits are with the ends again: those of this part are gone, too. */
static void
hand_back(const Note *claim, int32 handed)
{
	for (int i = xact_count(&notes) - 1; i >= 0 && handed > 0; i--)
	{
		Note *end = note_at(i);
		int32 some;

		if (end->claim || !is_same(end, claim))
			continue;
		some = Min(end->handed, handed);
		end->handed -= some;
		handed -= some;
	}
}

static void
note_rolled_back(const void *note)
{
	const Note *n = note;

	if (n->claim)
		hand_back(n, n->handed);
	tell_note(n, n->claim ? n->handed - n->count : 0);
}

static void
note_prepared(const void *note)
{
	const Note *n = note;

	(void) close_note(n, 0);
}

/* A note of this part, among the last ones before number "until", that can stand for it as well. */
static Note *
find_like(const Note *new, SubTransactionId part, int until)
{
	for (int i = until - 1; i >= Max(until - LOOK_BACK, 0); i--)
	{
		Note *n = note_at(i);

		if (n->note.part != part)
			break;
		if (is_same(n, new) && n->claim == new->claim)
			return n;
	}
	return NULL;
}

static bool
absorb_permits(const void *note, int count)
{
	const Note *n = note;
	Note *like = find_like(n, n->note.part, count);

	if (like == NULL)
		return false;
	like->count += n->count;
	like->handed += n->handed;
	(void) close_note(n, 0);
	return true;
}

/* ---- notes --------------------------------------------------------------------------- */

/* There is room for one.  Only called when its number is in flight already. */
static void
add_note(const Note *new)
{
	Note *n = xact_note(&notes);
	XactNote part = n->note;

	*n = *new;
	n->note = part;
}

static Note *
find_mine(const Note *new)
{
	return find_like(new, GetCurrentSubTransactionId(), xact_count(&notes));
}

/* The note of the current part that stands for this, and its number. */
static Note *
find_last(const FlowQueue *q, uint32 group, bool claim, int *number)
{
	for (int i = xact_count(&notes) - 1; i >= 0; i--)
	{
		Note *n = note_at(i);

		if (n->note.part != GetCurrentSubTransactionId())
			break;
		if (n->queue != q || n->group != group || n->claim != claim)
			continue;
		*number = i;
		return n;
	}
	return NULL;
}

void
permits_count(int32 queue_id, int count)
{
	FlowQueue *q = flow_make(queue_id);
	Note new = {.queue = q, .queue_id = queue_id, .claim = true, .count = count};
	Note *like;

	if (q == NULL)
		return;
	xact_reserve(&notes, 1);
	like = find_mine(&new);
	(void) flow_add(q, count, like == NULL ? 1 : 0, NO_LIMIT);
	if (like != NULL)
		like->count += count;
	else
		add_note(&new);
}

static void
end_of_queue(FlowQueue *q, int32 queue_id)
{
	Note new = {.queue = q, .queue_id = queue_id, .count = 1};
	Note *like;

	xact_reserve(&notes, 1);
	like = find_mine(&new);
	if (like != NULL)
	{
		like->count++;
		return;
	}
	(void) flow_add(q, 0, 1, NO_LIMIT);
	add_note(&new);
}

static void
end_of_group(FlowQueue *q, int32 queue_id, int64 group_id)
{
	Note new = {.queue = q, .queue_id = queue_id, .group_id = group_id, .count = 1};

	xact_reserve(&notes, 1);
	new.group = groups_ending(q, group_id);
	if (new.group != 0)
		add_note(&new);
}

void
permits_ended(int32 queue_id, int64 group_id)
{
	FlowQueue *q = flow_make(queue_id);

	if (q == NULL)
		return;
	end_of_queue(q, queue_id);
	if (group_id != 0)
		end_of_group(q, queue_id, group_id);
}

/* ---- the limit of a queue ------------------------------------------------------------ */

/* Takes the limit over as the newest that is known, for the hooks; the block is locked. */
static void
see_limit(FlowQueue *q, const QueueLimit *limit)
{
	if (q->rate.interval_ns == 0)
		q->tat = Max(q->tat, groups_tat_of_unknown(&limit->rate, limit->tat));
	q->max_running = limit->max_running;
	q->rate = limit->rate;
}

/* Takes starts of the rate: at most max. */
static int
take_starts(FlowQueue *q, const QueueLimit *limit, int max, TimestampTz *opens)
{
	int64 now_ns = tq_clock_ns();
	int count;

	flow_lock(q);
	see_limit(q, limit);
	count = tq_gcra_room(q->tat, &limit->rate, max, now_ns);
	if (count == 0)
	{
		*opens = GetCurrentTimestamp() +
				 (tq_gcra_opens(q->tat, &limit->rate) - now_ns) / 1000 + 1;
		groups_rate_opens(q, *opens);
	}
	else if (limit->rate.interval_ns > 0)
		q->tat = tq_gcra_take(q->tat, &limit->rate, count, now_ns);
	flow_unlock(q);
	return count;
}

static void
give_back_starts(FlowQueue *q, const QueueLimit *limit, int count)
{
	if (count == 0 || limit->rate.interval_ns == 0)
		return;
	flow_lock(q);
	q->tat = tq_gcra_give_back(q->tat, &limit->rate, count);
	flow_unlock(q);
}

/* Takes the permits of attempts that this transaction has ended. */
static int
take_handed(FlowQueue *q, uint32 group, int max)
{
	int count = 0;

	for (int i = xact_count(&notes) - 1; i >= 0 && count < max; i--)
	{
		Note *end = note_at(i);
		int some;

		if (end->claim || end->queue != q || end->group != group)
			continue;
		some = Min(end->count - end->handed, max - count);
		end->handed += some;
		count += some;
	}
	return count;
}

/* Takes permits: at most max. */
static int
take_permits(FlowQueue *q, int32 most, int max)
{
	while (max > 0)
	{
		if (most != NO_LIMIT)
			max = Min(max, most - flow_running(q));
		if (max > 0 && flow_add(q, max, 1, most))
			return max;
	}
	return 0;
}

int
permits_take(FlowQueue *q, const QueueLimit *limit, int max, TimestampTz *opens)
{
	Note new = {.queue = q, .queue_id = q->queue_id, .claim = true};
	int32 most = limit->max_running;
	int starts;

	*opens = DT_NOEND;
	xact_reserve(&notes, 1);
	starts = take_starts(q, limit, max, opens);
	if (starts == 0)
		return 0;
	new.count = take_permits(q, most, starts);
	if (new.count < starts && most != NO_LIMIT &&flow_running(q) <= most)
	{
		new.handed = take_handed(q, 0, starts - new.count);
		if (new.count == 0 && new.handed > 0)
			(void) flow_add(q, 0, 1, NO_LIMIT);
		new.count += new.handed;
	}
	if (new.count > 0)
		add_note(&new);
	give_back_starts(q, limit, starts - new.count);
	return new.count;
}

/* Reduces a claim's note by count; forgets it if nothing is left. */
static void
reduce(Note *n, int number, int count)
{
	int owned = Min(n->count - n->handed, count);

	n->count -= count;
	n->handed -= count - owned;
	hand_back(n, count - owned);
	(void) flow_add(n->queue, -owned, n->count == 0 ? -1 : 0, NO_LIMIT);
	if (n->count == 0)
		xact_forget_note(&notes, number);
}

void
permits_give_back(FlowQueue *q, const QueueLimit *limit, int count)
{
	int number;
	Note *n = find_last(q, 0, true, &number);

	if (count == 0 || n == NULL)
		return;
	reduce(n, number, count);
	give_back_starts(q, limit, count);
}

int64
permits_tat(FlowQueue *q)
{
	int64 tat;

	flow_lock(q);
	tat = q->tat;
	flow_unlock(q);
	return tat;
}

TimestampTz
permits_open(FlowQueue *q, const QueueLimit *limit, TimestampTz now)
{
	int64 now_ns = tq_clock_ns();
	int64 opens_ns;

	if (limit->max_running != NO_LIMIT && flow_running(q) >= limit->max_running)
		return DT_NOEND;
	if (limit->rate.interval_ns == 0)
		return now;
	flow_lock(q);
	see_limit(q, limit);
	opens_ns = tq_gcra_opens(q->tat, &limit->rate);
	flow_unlock(q);
	return opens_ns <= now_ns ? now : now + (opens_ns - now_ns) / 1000 + 1;
}

/* ---- looks at lines ------------------------------------------------------------------ */

static void
note_look(const LineLook *look, int handed)
{
	add_note(&(Note){.queue = look->queue,
					 .queue_id = look->queue->queue_id,
					 .group = look->group,
					 .group_id = look->group_id,
					 .claim = true,
					 .count = look->permits,
					 .handed = handed});
}

Turn
permits_begin_look(FlowQueue *q, int64 group_id, int16 lanes, int max, LineLook *look)
{
	Turn turn;

	xact_reserve(&notes, 1);
	turn = groups_begin(q, group_id, lanes, max, look);
	if (turn == TURN_LINE)
		note_look(look, 0);
	return turn;
}

Turn
permits_begin_handed(FlowQueue *q, int *cursor, LineLook *look)
{
	xact_reserve(&notes, 1);
	for (; *cursor < xact_count(&notes); (*cursor)++)
	{
		Note *end = note_at(*cursor);
		Turn turn;

		if (end->claim || end->queue != q || end->group == 0 || end->handed == end->count)
			continue;
		turn = groups_begin_handed(q, end->group_id, look);
		if (turn == TURN_NOBODY)
			continue;
		if (turn == TURN_LINE)
		{
			end->handed++;
			note_look(look, 1);
		}
		return turn;
	}
	return TURN_NOBODY;
}

/* The note of the look is the last one of its group: it takes back what was not used. */
void
permits_end_look(const LineLook *look, const LineSeen *seen)
{
	int number;
	Note *n = find_last(look->queue, look->group, true, &number);
	int unused = look->permits - seen->taken;
	int owned;

	Assert(n != NULL && n->count == look->permits);
	owned = Min(n->count - n->handed, unused);
	hand_back(n, unused - owned);
	n->handed -= unused - owned;
	n->count = seen->taken;
	groups_end(look, seen, owned);
	if (n->count == 0)
		xact_forget_note(&notes, number);
}
