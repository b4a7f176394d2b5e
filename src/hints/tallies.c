/*
 * tallies.c
 *		What became of the attempts of each queue, and how long they took.
 *
 * These are counters for monitoring.  An attempt is noted when it ends, because its task and its
 * lease are at hand then: a claim has nothing to do.  The commit adds the note to the tally of the
 * queue.  A transaction that rolls back, as a whole or in part, adds nothing; nor does a prepared
 * one.
 *
 * A tally is lost when the server restarts, and when more queues are in use than the table has room
 * for.  Then its counters begin again at 0, which readers of counters expect.  Ids of queues are
 * not used again, so the tally of a dropped queue is never taken for that of another one; it is the
 * first to be evicted.
 *
 * Only a preloaded library has the memory for this; without it nothing is counted.
 */
#include "postgres.h"

#include "base/xact.h"
#include "hints/tallies.h"
#include "tables/queue.h"

/* A queue. */
typedef struct TallySlot
{
	HintEntry entry;
	Oid extension; /* queue_generation(): differs if the extension was created again */
	Tally tally;
} TallySlot;

HintTable tallies_table = {
	.name = "taskq tallies",
	.entry_size = sizeof(TallySlot),
	.ways = 8,
	.entries = 8192, /* much more than queues, so that few sets overflow */
};

const int64 tally_bounds_us[NBOUNDS] = {
	5000, 10000, 25000, 50000, 100000, 250000, 500000,
	INT64CONST(1000000), INT64CONST(2500000), INT64CONST(5000000), INT64CONST(10000000),
	INT64CONST(30000000), INT64CONST(60000000), INT64CONST(300000000), INT64CONST(1800000000),
	INT64CONST(7200000000)};

/* ---- names --------------------------------------------------------------------- */

static const char *const own_classes[FAILED_CORE] = {
	[FAILED_WORKER] = "worker",
	[FAILED_LEASE_LOST] = "lease_lost",
	[FAILED_NO_ROUTE] = "no_route",
};

const char *
failed_class_name(int class)
{
	return class < FAILED_CORE ? own_classes[class] : tq_class_name(class - FAILED_CORE);
}

const char *
answer_class_name(int class)
{
	static const char *const names[NANSWER_CLASSES] = {
		[ANSWER_2XX] = "2xx",
		[ANSWER_3XX] = "3xx",
		[ANSWER_4XX] = "4xx",
		[ANSWER_429] = "429",
		[ANSWER_5XX] = "5xx",
	};

	return names[class];
}

/* A class that is not taskq's own was given by a worker, which may use any number of them. */
static int
failed_class_of(const char *name)
{
	for (int i = 0; name != NULL && i < NFAILED_CLASSES; i++)
	{
		if (strcmp(name, failed_class_name(i)) == 0)
			return i;
	}
	return FAILED_WORKER;
}

/* -1 for a status that is none of an answer. */
static int
answer_class_of(int status)
{
	if (status == 429)
		return ANSWER_429;
	switch (status / 100)
	{
		case 2:
			return ANSWER_2XX;
		case 3:
			return ANSWER_3XX;
		case 4:
			return ANSWER_4XX;
		case 5:
			return ANSWER_5XX;
		default:
			return -1;
	}
}

/* ---- the attempts that this transaction ends ------------------------------------------ */

typedef struct AttemptNote
{
	XactNote note;
	int32 queue_id;
	Oid extension;
	bool ended;
	int8 failed; /* -1: it has not */
	int8 answer; /* -1: there is none */
	int64 wait_us;
	int64 run_us;
} AttemptNote;

/* The queue's slot, locked and made if need be.  Never fails. */
static TallySlot *
lock_tally(int32 queue_id, Oid extension)
{
	TallySlot *s = (TallySlot *) hint_make(&tallies_table, queue_id, NULL);

	if (s->extension != extension)
		memset(&s->tally, 0, sizeof(s->tally));
	s->extension = extension;
	s->entry.used_at = GetCurrentTimestamp();
	return s;
}

static void
observe(Histogram *h, int64 us)
{
	int n = 0;

	while (n < NBOUNDS && us > tally_bounds_us[n])
		n++;
	h->buckets[n]++;
	h->sum_us += us;
}

static void
tell_attempt(const void *note)
{
	const AttemptNote *n = note;
	TallySlot *s = lock_tally(n->queue_id, n->extension);

	if (n->failed >= 0)
		s->tally.failed[n->failed]++;
	if (n->answer >= 0)
		s->tally.answers[n->answer]++;
	if (n->ended)
	{
		observe(&s->tally.wait, n->wait_us);
		observe(&s->tally.run, n->run_us);
	}
	hint_unlock(&tallies_table, &s->entry);
}

static XactKind attempts = {
	.note_size = sizeof(AttemptNote),
	.committed = tell_attempt,
};

static AttemptNote *
note_of(int32 queue_id, int status)
{
	AttemptNote *n = xact_note(&attempts);

	n->queue_id = queue_id;
	n->extension = queue_generation();
	n->failed = -1;
	n->answer = answer_class_of(status);
	return n;
}

void
tally_attempt(const TalliedAttempt *attempt)
{
	AttemptNote *n;

	if (!tallies_are_possible())
		return;
	n = note_of(attempt->queue_id, attempt->status);
	n->ended = true;
	if (attempt->failed)
		n->failed = failed_class_of(attempt->class);
	n->wait_us = Max(attempt->wait_us, 0);
	n->run_us = Max(attempt->run_us, 0);
}

void
tally_answer(int32 queue_id, int status)
{
	if (tallies_are_possible())
		(void) note_of(queue_id, status);
}

/* ---- reading ------------------------------------------------------------------------ */

bool
tallies_are_possible(void)
{
	return hint_is_shared(&tallies_table);
}

void
tally_read(int32 queue_id, Tally *tally)
{
	TallySlot *s = (TallySlot *) hint_find(&tallies_table, queue_id);

	memset(tally, 0, sizeof(Tally));
	if (s == NULL)
		return;
	if (s->extension == queue_generation())
		*tally = s->tally;
	hint_unlock(&tallies_table, &s->entry);
}

static void
add_histogram(Histogram *to, const Histogram *from)
{
	for (int i = 0; i <= NBOUNDS; i++)
		to->buckets[i] += from->buckets[i];
	to->sum_us += from->sum_us;
}

void
tally_add(Tally *to, const Tally *from)
{
	for (int i = 0; i < NFAILED_CLASSES; i++)
		to->failed[i] += from->failed[i];
	for (int i = 0; i < NANSWER_CLASSES; i++)
		to->answers[i] += from->answers[i];
	add_histogram(&to->wait, &from->wait);
	add_histogram(&to->run, &from->run);
}
