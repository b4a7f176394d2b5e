/*
 * counts.c
 *		How many tasks of each queue are pending, run, were submitted, and have ended.
 *
 * The cost of counting live tasks grows with their number.  So they are counted
 * once, when a session first asks after a start of the server, and from then on each
 * commit adds its change.  Submitted and ended tasks are counted from the first such change
 * on.  No row holds these numbers, because every transaction would have to update it.  There
 * may be thousands of queues, so those that are not counted yet are counted together.
 *
 * Commits add their changes even before the first count.  The base is the number of tasks in
 * a snapshot minus the sum of changes when the snapshot was taken.  A transaction that the
 * snapshot sees may not have added its change yet, and would be counted twice.  So the
 * count is repeated until no change was added meanwhile.  If that never happens, the last
 * count is used for a minute, and then the tasks are counted again.  Prepared and replicated
 * transactions add no change: after one of them, the tasks are counted again.
 *
 * Only a preloaded library has the memory for this; without it, every call counts.
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/shmem.h"
#include "base/xact.h"
#include "hints/counts.h"
#include "tables/queue.h"
#include "tables/state.h"

#define COUNT_LOOK  5                    /* how often the count is repeated at most */
#define GOOD_ENOUGH (60 * USECS_PER_SEC) /* how long a count that may be wrong is used */

typedef struct Counts
{
	int64 pending;
	int64 running;
	int64 submitted;
	int64 ended[NENDED];
} Counts;

/* A queue. */
typedef struct CountSlot
{
	HintEntry entry;
	Oid extension;     /* queue_generation(): differs if the extension was created again */
	TimestampTz since; /* when counting began */
	bool counted;      /* base is known ... */
	bool exact;        /* ... and right; otherwise it is counted again from time to time */
	TimestampTz at;    /* when it was counted */
	uint64 changes;    /* how often a change was added, or the count became invalid */
	LiveCounts base;   /* live tasks that no commit has added */
	Counts added;      /* the sum of the changes of commits */
} CountSlot;

HintTable counts_table = {
	.name = "taskq counts",
	.entry_size = sizeof(CountSlot),
	.ways = 8,
	.entries = 16384, /* much more than queues, so that few sets overflow */
};

/* The queue's slot, locked and made if need be.  Never fails. */
static CountSlot *
lock_slot(int32 queue_id, Oid extension)
{
	TimestampTz now = GetCurrentTimestamp();
	bool made;
	CountSlot *s = (CountSlot *) hint_make(&counts_table, queue_id, &made);

	if (!made && s->extension != extension)
	{
		memset((char *) s + sizeof(HintEntry), 0, sizeof(CountSlot) - sizeof(HintEntry));
		made = true;
	}
	if (made)
	{
		s->extension = extension;
		s->since = now;
	}
	s->entry.used_at = now;
	return s;
}

static void
unlock_slot(CountSlot *s)
{
	hint_unlock(&counts_table, &s->entry);
}

void
counts_anew(void)
{
	for (int i = 0; hint_is_shared(&counts_table) && i < hint_count(&counts_table); i++)
	{
		CountSlot *s = (CountSlot *) hint_lock_if_ours(&counts_table, i);

		if (s == NULL)
			continue;
		s->counted = false;
		s->changes++;
		unlock_slot(s);
	}
}

/* ---- the changes of this transaction ---------------------------------------------- */

/* The changes of a queue's counts by one part of this transaction. */
typedef struct Share
{
	XactNote note;
	int32 queue_id;
	Oid extension;
	Counts counts;
} Share;

static void
add_counts(Counts *to, const Counts *from)
{
	to->pending += from->pending;
	to->running += from->running;
	to->submitted += from->submitted;
	for (int i = 0; i < NENDED; i++)
		to->ended[i] += from->ended[i];
}

static void
tell_share(const void *note)
{
	const Share *share = note;
	CountSlot *s = lock_slot(share->queue_id, share->extension);

	add_counts(&s->added, &share->counts);
	s->changes++;
	unlock_slot(s);
}

static bool absorb_share(const void *note, int count);

static XactKind shares = {
	.note_size = sizeof(Share),
	.committed = tell_share,
	.absorbed = absorb_share,
};

/* The share of that queue and part among the first count ones; the shares of a part stand last. */
static Share *
find_share(int count, SubTransactionId part, int32 queue_id, Oid extension)
{
	for (int i = count - 1; i >= 0; i--)
	{
		Share *share = xact_note_at(&shares, i);

		if (share->note.part != part)
			break;
		if (share->queue_id == queue_id && share->extension == extension)
			return share;
	}
	return NULL;
}

static bool
absorb_share(const void *note, int count)
{
	const Share *share = note;
	Share *of_parent = find_share(count, share->note.part, share->queue_id, share->extension);

	if (of_parent == NULL)
		return false;
	add_counts(&of_parent->counts, &share->counts);
	return true;
}

/* The share of this queue and part of the transaction. */
static Counts *
share_of(int32 queue_id)
{
	Oid extension = queue_generation();
	Share *share = find_share(xact_count(&shares), GetCurrentSubTransactionId(), queue_id,
							  extension);

	if (share == NULL)
	{
		share = xact_note(&shares);
		share->queue_id = queue_id;
		share->extension = extension;
	}
	return &share->counts;
}

void
counts_pending(int32 queue_id, int change)
{
	if (hint_is_shared(&counts_table))
		share_of(queue_id)->pending += change;
}

void
counts_running(int32 queue_id, int change)
{
	if (hint_is_shared(&counts_table))
		share_of(queue_id)->running += change;
}

void
counts_submitted(int32 queue_id)
{
	if (hint_is_shared(&counts_table))
		share_of(queue_id)->submitted++;
}

void
counts_ended(int32 queue_id, TaskState state)
{
	if (hint_is_shared(&counts_table))
		share_of(queue_id)->ended[state - STATE_FINISHED]++;
}

/* ---- reading ---------------------------------------------------------------------------- */

/* Live tasks that a count in this transaction sees, and that its commit will add. */
static LiveCounts
own_live(int32 queue_id)
{
	LiveCounts own = {0};

	for (int i = 0; i < xact_count(&shares); i++)
	{
		const Share *share = xact_note_at(&shares, i);

		if (share->queue_id != queue_id || share->extension != queue_generation())
			continue;
		own.pending += share->counts.pending;
		own.running += share->counts.running;
	}
	return own;
}

/* Copies the slot; whether its count can be used. */
static bool
read_slot(int32 queue_id, CountSlot *copy)
{
	CountSlot *s = lock_slot(queue_id, queue_generation());

	*copy = *s;
	unlock_slot(s);
	return copy->counted && (copy->exact || GetCurrentTimestamp() - copy->at < GOOD_ENOUGH);
}

/*
 * Stores a count that was made after the slot was copied.  If a change was added to the slot
 * since then, the count may be wrong and is stored only if "keep" is true.  If so, the copy becomes
 * that of the new state.
 */
static bool
set_base(int32 queue_id, CountSlot *copy, LiveCounts counted, bool keep)
{
	TimestampTz now = GetCurrentTimestamp();
	CountSlot *s = lock_slot(queue_id, queue_generation());
	bool exact = s->changes == copy->changes && s->since == copy->since;

	if (exact || keep)
	{
		s->base.pending = counted.pending - copy->added.pending;
		s->base.running = counted.running - copy->added.running;
		s->counted = true;
		s->exact = exact;
		s->at = now;
		*copy = *s;
	}
	unlock_slot(s);
	return exact || keep;
}

static void
set_counts(QueueCounts *c, const CountSlot *s)
{
	/* Claims of this transaction count as running, although their tasks are pending for others. */
	int64 running = s->base.running + s->added.running + own_live(c->queue_id).running;

	c->known = true;
	c->exact = s->exact;
	c->since = s->since;
	c->live.pending = Max(s->base.pending + s->added.pending, 0);
	c->live.running = Max(running, 0);
	c->submitted = s->added.submitted;
	memcpy(c->ended, s->added.ended, sizeof(c->ended));
}

/* A queue whose live tasks must be counted. */
typedef struct Uncounted
{
	QueueCounts *counts;
	CountSlot copy; /* before the count */
} Uncounted;

/* Reads what is known, and returns the number of the other queues. */
static int
read_known(QueueCounts *counts, int count, Uncounted *unknown)
{
	int n = 0;

	for (int i = 0; i < count; i++)
	{
		if (read_slot(counts[i].queue_id, &unknown[n].copy))
			set_counts(&counts[i], &unknown[n].copy);
		else
			unknown[n++].counts = &counts[i];
	}
	return n;
}

/*
 * Counts once.  Moves the queues that must be counted again to the front, and returns their
 * number.
 */
static int
count_unknown(Uncounted *unknown, int n, LiveCounter count_live, bool last)
{
	int32 *ids = palloc_array(int32, n);
	LiveCounts *live = palloc0_array(LiveCounts, n);
	int again = 0;

	for (int i = 0; i < n; i++)
		ids[i] = unknown[i].counts->queue_id;
	count_live(ids, n, live);
	for (int i = 0; i < n; i++)
	{
		LiveCounts own = own_live(ids[i]);

		live[i].pending -= own.pending;
		live[i].running -= own.running;
		if (set_base(ids[i], &unknown[i].copy, live[i], last))
			set_counts(unknown[i].counts, &unknown[i].copy);
		else
			unknown[again++] = unknown[i];
	}
	for (int i = 0; i < again; i++)
		(void) read_slot(unknown[i].counts->queue_id, &unknown[i].copy);
	pfree(ids);
	pfree(live);
	return again;
}

bool
counts_read(QueueCounts *counts, int count, LiveCounter count_live)
{
	Uncounted *unknown;
	int n;

	if (!hint_is_shared(&counts_table))
		return false;
	(void) queue_changes(); /* queue_generation() is valid from here on */
	unknown = palloc_array(Uncounted, count + 1);
	n = read_known(counts, count, unknown);
	for (int i = 1; i <= COUNT_LOOK && n > 0; i++)
		n = count_unknown(unknown, n, count_live, i == COUNT_LOOK);
	pfree(unknown);
	return true;
}
