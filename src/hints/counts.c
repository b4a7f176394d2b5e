/*
 * counts.c
 *		How many tasks of each queue are pending, and how many have ended.
 *
 * To count a queue's pending tasks costs as much as there are.  So they are
 * counted once, when a session first asks after the server has started, and
 * from then on each commit adds what it has changed.  Ended tasks are counted from
 * the moment when the first of them ended.  No row holds such a number, because every
 * transaction would have to update it.
 *
 * Commits also add before the first count.  The count is what a
 * snapshot shows, less what had been added when the snapshot was taken.  A transaction
 * that the snapshot sees and that has not added its share at that very moment
 * is counted twice; so the count is repeated until nothing was added meanwhile.
 * If that never happens, the last count is used for a minute, then all is
 * counted again.  Prepared and replicated transactions add nothing: after them all is
 * counted anew.
 *
 * Only a preloaded library has the memory for this; without it, every call counts.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/shmem.h"
#include "base/xact.h"
#include "hints/counts.h"
#include "tables/queue.h"
#include "tables/state.h"

#define COUNT_LOOK  5                    /* so often the count is repeated */
#define GOOD_ENOUGH (60 * USECS_PER_SEC) /* for so long, when something was added each time */

typedef struct Counts
{
	int64 pending;
	int64 ended[NENDED];
} Counts;

/* A queue. */
typedef struct CountSlot
{
	HintEntry entry;
	Oid extension;     /* stands for it: its table of queues, another when it was made anew */
	TimestampTz since; /* when counting began */
	bool counted;      /* base is known ... */
	bool exact;        /* ... and right; else it is counted again from time to time */
	TimestampTz at;    /* when it was counted */
	uint64 changes;    /* how often something was added, or became unknown */
	int64 base;        /* pending tasks that no commit has added */
	Counts added;      /* by commits */
} CountSlot;

HintTable counts_table = {
	.name = "taskq counts",
	.entry_size = sizeof(CountSlot),
	.ways = 8,
	.entries = 1024,
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

/* ---- what this transaction adds --------------------------------------------------- */

/* What a part of this transaction adds to a queue. */
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

/* The share of that queue and part among the first count; those of the part are the last ones. */
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
counts_ended(int32 queue_id, TaskState state)
{
	if (hint_is_shared(&counts_table))
		share_of(queue_id)->ended[state - STATE_FINISHED]++;
}

/* ---- reading ---------------------------------------------------------------------------- */

/* What a count shows already, and what this transaction will add when it commits. */
static int64
own_pending(int32 queue_id)
{
	int64 own = 0;

	for (int i = 0; i < xact_count(&shares); i++)
	{
		const Share *share = xact_note_at(&shares, i);

		if (share->queue_id == queue_id && share->extension == queue_generation())
			own += share->counts.pending;
	}
	return own;
}

/* Whether the count is good. */
static bool
read_slot(int32 queue_id, CountSlot *copy)
{
	CountSlot *s = lock_slot(queue_id, queue_generation());

	*copy = *s;
	unlock_slot(s);
	return copy->counted && (copy->exact || GetCurrentTimestamp() - copy->at < GOOD_ENOUGH);
}

/*
 * Takes over a count that was made after the slot was as it is in the copy.  If something was
 * added since, the count may be wrong; keep: it is taken over all the same.
 */
static void
set_base(int32 queue_id, const CountSlot *copy, int64 counted, bool keep)
{
	TimestampTz now = GetCurrentTimestamp();
	CountSlot *s = lock_slot(queue_id, queue_generation());
	bool exact = s->changes == copy->changes && s->since == copy->since;

	if (exact || keep)
	{
		s->base = counted - copy->added.pending;
		s->counted = true;
		s->exact = exact;
		s->at = now;
	}
	unlock_slot(s);
}

/* The slot as it is, with its tasks counted. */
static void
look_at_slot(int32 queue_id, int64 (*count_pending)(int32 queue_id), CountSlot *slot)
{
	for (int i = 0; i < COUNT_LOOK && !read_slot(queue_id, slot); i++)
	{
		int64 counted = count_pending(queue_id) - own_pending(queue_id);

		set_base(queue_id, slot, counted, i == COUNT_LOOK - 1);
	}
	(void) read_slot(queue_id, slot);
}

bool
counts_read(int32 queue_id, int64 (*count_pending)(int32 queue_id), QueueCounts *counts)
{
	CountSlot slot;

	if (!hint_is_shared(&counts_table))
		return false;
	look_at_slot(queue_id, count_pending, &slot);
	counts->since = slot.since;
	counts->pending = Max(slot.base + slot.added.pending, 0);
	memcpy(counts->ended, slot.added.ended, sizeof(counts->ended));
	return true;
}
