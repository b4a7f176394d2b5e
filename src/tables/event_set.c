/*
 * event_set.c
 *		Sets of ended transactions, and cursors of the stream of events.
 *
 * Numbers of events are drawn in one order and committed in another, so a reader that remembers the
 * last number misses what commits late.  A cursor remembers which transactions it has seen: a
 * snapshot.  What commits late is in a later snapshot, whatever its numbers are.
 *
 * A cursor in text: the snapshot it has seen, the one it is reading, and numbers, as in
 * "748:752:750|748:760:755|753,3,761,9,12,10".  The second one is empty if all of it is read.
 */
#include "postgres.h"

#include <limits.h>

#include "access/transam.h"
#include "access/xact.h"
#include "lib/stringinfo.h"

#include "base/errors.h"
#include "tables/event_set.h"

#define MAX_CURSOR_BYTES (1024 * 1024)

/* ---- sets -------------------------------------------------------------------------- */

static int
compare_numbers(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* The number of 64 bits of a transaction that is not after "next". */
static uint64
widen(TransactionId xid, FullTransactionId next)
{
	uint32 epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return ((uint64) epoch << 32) | xid;
}

static void
add_open(EventSet *set, uint64 xid)
{
	if (xid < set->xmax)
		set->open[set->count++] = xid;
}

static void
sort_open(EventSet *set)
{
	int n = 0;

	qsort(set->open, set->count, sizeof(uint64), compare_numbers);
	for (int i = 0; i < set->count; i++)
	{
		if (n == 0 || set->open[i] != set->open[n - 1])
			set->open[n++] = set->open[i];
	}
	set->count = n;
	set->xmin = n > 0 ? set->open[0] : set->xmax;
}

/*
 * A snapshot does not have the caller's own transaction among those that run; here it is one of
 * them, because its events are not committed.  On a standby all that run, also subtransactions,
 * stand in the second list.
 */
EventSet
event_set_of(Snapshot snapshot, uint64 *later)
{
	bool standby = snapshot->takenDuringRecovery;
	const TransactionId *xids = standby ? snapshot->subxip : snapshot->xip;
	int count = standby ? snapshot->subxcnt : (int) snapshot->xcnt;
	FullTransactionId own = GetTopFullTransactionIdIfAny();
	FullTransactionId next = ReadNextFullTransactionId();
	EventSet set = {.xmax = widen(snapshot->xmax, next)};

	set.open = palloc_array(uint64, count + 1);
	for (int i = 0; i < count; i++)
		add_open(&set, widen(xids[i], next));
	if (FullTransactionIdIsValid(own))
		add_open(&set, U64FromFullTransactionId(own));
	sort_open(&set);
	if (later != NULL)
		*later = U64FromFullTransactionId(next);
	return set;
}

bool
event_set_has(const EventSet *set, uint64 xid)
{
	if (xid < set->xmin)
		return true;
	return xid < set->xmax &&
		   bsearch(&xid, set->open, set->count, sizeof(uint64), compare_numbers) == NULL;
}

/* ---- text -------------------------------------------------------------------------- */

/* Reads a number without sign and moves behind it; false: there is none. */
static bool
read_xid(const char **at, uint64 *number)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*number = strtou64(*at, &end, 10);
	*at = end;
	return errno == 0;
}

static bool
read_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool
read_open(const char **at, EventSet *set)
{
	uint64 xid;

	set->count = 0;
	set->open = palloc_array(uint64, strlen(*at) / 2 + 1);
	if (**at < '0' || **at > '9')
		return true;
	do
	{
		if (!read_xid(at, &xid) || xid < set->xmin || xid >= set->xmax ||
			(set->count > 0 && xid <= set->open[set->count - 1]))
			return false;
		set->open[set->count++] = xid;
	} while (read_char(at, ','));
	return true;
}

static bool
read_set(const char **at, EventSet *set)
{
	return read_xid(at, &set->xmin) && read_char(at, ':') && read_xid(at, &set->xmax) &&
		   set->xmin > 0 && set->xmin <= set->xmax && read_char(at, ':') && read_open(at, set);
}

bool
event_set_parse(const char *text, EventSet *set)
{
	return read_set(&text, set) && *text == '\0';
}

static bool
read_position(const char **at, int64 *position)
{
	uint64 number;

	if (!read_xid(at, &number) || number > PG_INT64_MAX)
		return false;
	*position = (int64) number;
	return true;
}

static bool
read_cursor(const char *at, EventCursor *c)
{
	if (!read_set(&at, &c->seen) || !read_char(&at, '|'))
		return false;
	c->reading = *at != '|';
	if (c->reading && !read_set(&at, &c->now))
		return false;
	if (!read_char(&at, '|') || !read_xid(&at, &c->later) || c->later < c->seen.xmax ||
		!read_char(&at, ',') || !read_position(&at, &c->behind))
		return false;
	if (c->reading &&
		!(read_char(&at, ',') && read_xid(&at, &c->later_now) && c->later_now >= c->now.xmax &&
		  read_char(&at, ',') && read_position(&at, &c->behind_now) && read_char(&at, ',') &&
		  read_position(&at, &c->until) && read_char(&at, ',') && read_position(&at, &c->last)))
		return false;
	return *at == '\0';
}

EventCursor
event_cursor_parse(const char *text)
{
	EventCursor cursor = {0};

	if (strlen(text) > MAX_CURSOR_BYTES || !read_cursor(text, &cursor))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("after is not a cursor"),
				 errdetail("A cursor is what taskq.events_after() has returned as such."),
				 errhint("Pass NULL to begin now.")));
	return cursor;
}

static void
append_set(StringInfo text, const EventSet *set)
{
	appendStringInfo(text, UINT64_FORMAT ":" UINT64_FORMAT ":", set->xmin, set->xmax);
	for (int i = 0; i < set->count; i++)
		appendStringInfo(text, "%s" UINT64_FORMAT, i == 0 ? "" : ",", set->open[i]);
}

char *
event_cursor_text(const EventCursor *c)
{
	StringInfoData text;

	initStringInfo(&text);
	append_set(&text, &c->seen);
	appendStringInfoChar(&text, '|');
	if (c->reading)
		append_set(&text, &c->now);
	appendStringInfo(&text, "|" UINT64_FORMAT "," INT64_FORMAT, c->later, c->behind);
	if (c->reading)
	{
		appendStringInfo(&text, "," UINT64_FORMAT "," INT64_FORMAT, c->later_now, c->behind_now);
		appendStringInfo(&text, "," INT64_FORMAT "," INT64_FORMAT, c->until, c->last);
	}
	return text.data;
}
