/*
 * xact.c
 *		Hooks and notes for the end of a transaction, or of a part of it.
 *
 * Several files note what the current transaction does: candidates taken,
 * leases given, tasks counted, sessions to be woken.  The same rules apply to all notes and
 * are implemented once, here.  If a part rolls back, its notes are told as rolled back and
 * forgotten.  If a part commits, its parent gets its notes.  When the transaction ends, its
 * notes are told.  To tell a note is to call the hook of its kind.
 *
 * The notes of a kind stand in one array in the order in which they were made.  Parts
 * end in the reverse order of their beginning, so the notes of the part that ends
 * are the last ones.
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/database.h"
#include "base/xact.h"

static XactKind *kinds = NULL;

static XactNote *
note_at(const XactKind *kind, int n)
{
	return (XactNote *) (kind->notes + n * kind->note_size);
}

/* ---- ends of transactions and parts ---------------------------------------------- */

/* Tells and forgets the notes of the kind; true if there were any. */
static bool
tell_notes(XactKind *kind, XactEnd end)
{
	void (*tell)(const void *note) = NULL;
	int count = kind->count;

	if (end == XACT_COMMITTED)
		tell = kind->committed;
	else if (end == XACT_ROLLED_BACK)
		tell = kind->rolled_back;
	else
		tell = kind->prepared;
	kind->count = 0;
	for (int i = 0; i < count && tell != NULL; i++)
		tell(note_at(kind, i));
	return count > 0;
}

static void
end_transaction(XactEnd end)
{
	bool told = false;

	for (XactKind *kind = kinds; kind != NULL; kind = kind->next)
	{
		told |= tell_notes(kind, end);
		if (kind->ended != NULL)
			kind->ended(end);
	}
	if (told)
		database_hints_changed();
}

static void
on_transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			for (XactKind *kind = kinds; kind != NULL; kind = kind->next)
			{
				if (kind->pre_commit != NULL)
					kind->pre_commit();
			}
			break;
		case XACT_EVENT_COMMIT:
			end_transaction(XACT_COMMITTED);
			break;
		case XACT_EVENT_ABORT:
			end_transaction(XACT_ROLLED_BACK);
			break;
		case XACT_EVENT_PREPARE:
			end_transaction(XACT_PREPARED);
			break;
		default:
			break;
	}
}

/* The number of the first note of the part that ends. */
static int
first_of_part(const XactKind *kind, SubTransactionId part)
{
	int first = kind->count;

	while (first > 0 && note_at(kind, first - 1)->part == part)
		first--;
	return first;
}

/* Gives the notes of the part to its parent; drops those that were merged into other notes. */
static void
hand_to_parent(XactKind *kind, SubTransactionId part, SubTransactionId parent)
{
	int kept = first_of_part(kind, part);

	for (int i = kept; i < kind->count; i++)
	{
		XactNote *note = note_at(kind, i);

		note->part = parent;
		if (kind->absorbed != NULL && kind->absorbed(note, kept))
			continue;
		if (i != kept)
			memcpy(note_at(kind, kept), note, kind->note_size);
		kept++;
	}
	kind->count = kept;
}

/* Tells and forgets the notes of the part; true if there were any. */
static bool
roll_back_part(XactKind *kind, SubTransactionId part)
{
	int first = first_of_part(kind, part);
	int count = kind->count;

	kind->count = first;
	for (int i = first; i < count && kind->rolled_back != NULL; i++)
		kind->rolled_back(note_at(kind, i));
	if (kind->part_rolled_back != NULL)
		kind->part_rolled_back();
	return first < count;
}

static void
on_part_event(SubXactEvent event, SubTransactionId part, SubTransactionId parent, void *arg)
{
	bool told = false;

	for (XactKind *kind = kinds; kind != NULL; kind = kind->next)
	{
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			hand_to_parent(kind, part, parent);
		else if (event == SUBXACT_EVENT_ABORT_SUB)
			told |= roll_back_part(kind, part);
	}
	if (told)
		database_hints_changed();
}

static void
on_release(ResourceReleasePhase phase, bool committed, bool top_level, void *arg)
{
	if (!top_level || phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	for (XactKind *kind = kinds; kind != NULL; kind = kind->next)
	{
		if (kind->released != NULL)
			kind->released(committed);
	}
}

/* ---- kinds and notes ----------------------------------------------------------------- */

static void
add_kind(XactKind *kind)
{
	XactKind **place = &kinds;

	while (kind->last && *place != NULL)
		place = &(*place)->next;
	kind->next = *place;
	*place = kind;
}

void
xact_register(XactKind *kind)
{
	static bool installed = false;

	if (kind->registered)
		return;
	/* Looks up the slot now, because the hooks must not; no database yet while preloading. */
	(void) database_mine();
	if (!installed)
	{
		RegisterXactCallback(on_transaction_event, NULL);
		RegisterSubXactCallback(on_part_event, NULL);
		RegisterResourceReleaseCallback(on_release, NULL);
		installed = true;
	}
	add_kind(kind);
	kind->registered = true;
}

void
xact_reserve(XactKind *kind, int count)
{
	int room = Max(kind->room, 16);

	xact_register(kind);
	while (room < kind->count + count)
		room *= 2;
	if (room == kind->room)
		return;
	if (kind->notes == NULL)
		kind->notes = MemoryContextAlloc(TopMemoryContext, mul_size(room, kind->note_size));
	else
		kind->notes = repalloc_huge(kind->notes, mul_size(room, kind->note_size));
	kind->room = room;
}

void *
xact_note(XactKind *kind)
{
	XactNote *note;

	xact_reserve(kind, 1);
	note = note_at(kind, kind->count++);
	memset(note, 0, kind->note_size);
	note->part = GetCurrentSubTransactionId();
	return note;
}

void
xact_forget_note(XactKind *kind, int n)
{
	kind->count--;
	if (n != kind->count)
		memcpy(note_at(kind, n), note_at(kind, kind->count), kind->note_size);
}

int
xact_count(const XactKind *kind)
{
	return kind->count;
}

void *
xact_note_at(const XactKind *kind, int n)
{
	return note_at(kind, n);
}
