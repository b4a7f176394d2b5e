/*
 * offers.c
 *		The tasks with a group that this transaction has made pending, or taken.
 *
 * They are what the notes of dispatch.c are for tasks without a group.  A transaction's own tasks
 * are out of reach of its claims.
 *
 * If a transaction makes very many such tasks, only their queue is remembered: all of its groups
 * are read again then.
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/xact.h"
#include "hints/groups.h"
#include "hints/offers.h"

#define MAX_NOTES 1024

typedef struct Note
{
	XactNote note;
	int32 queue_id;
	bool made;   /* else taken */
	bool passes; /* see offers_taken() */
	bool many;   /* tasks of any groups of the queue */
	int64 group_id;
	Candidate candidate;
	TimestampTz due;
} Note;

static void
offer(const Note *n)
{
	if (n->many)
		groups_offer_many(n->queue_id);
	else
		groups_offer(n->queue_id, n->group_id, &n->candidate, n->due);
}

static void
note_committed(const void *note)
{
	const Note *n = note;

	if (n->made || n->passes)
		offer(n);
}

static void
note_rolled_back(const void *note)
{
	if (!((const Note *) note)->made)
		offer(note);
}

static bool absorb_offer(const void *note, int count);

static XactKind notes = {
	.note_size = sizeof(Note),
	.committed = note_committed,
	.rolled_back = note_rolled_back,
	.absorbed = absorb_offer,
};

/* Whether one of the first count notes stands for all tasks of the queue, as this one does. */
static bool
is_stood_for(const Note *new, SubTransactionId part, int count)
{
	for (int i = count - 1; i >= MAX_NOTES; i--)
	{
		const Note *n = xact_note_at(&notes, i);

		if (n->note.part != part)
			break;
		if (n->many && n->queue_id == new->queue_id && n->made == new->made)
			return true;
	}
	return false;
}

static bool
absorb_offer(const void *note, int count)
{
	const Note *n = note;

	return n->many && is_stood_for(n, n->note.part, count);
}

static void
note_offer(Note *new)
{
	Note *n;

	new->many = xact_count(&notes) >= MAX_NOTES;
	if (new->many && is_stood_for(new, GetCurrentSubTransactionId(), xact_count(&notes)))
		return;
	n = xact_note(&notes);
	new->note = n->note;
	*n = *new;
}

void
offers_made(int32 queue_id, int64 group_id, const Candidate *c, TimestampTz due)
{
	note_offer(&(Note){.queue_id = queue_id,
					   .made = true,
					   .group_id = group_id,
					   .candidate = *c,
					   .due = due});
}

void
offers_taken(int32 queue_id, int64 group_id, const Candidate *c, bool passes)
{
	note_offer(&(Note){.queue_id = queue_id,
					   .passes = passes,
					   .group_id = group_id,
					   .candidate = *c,
					   .due = c->run_at});
}
