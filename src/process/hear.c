/*
 * hear.c
 *		What a call tells while it runs: the executor writes it.
 *
 * The messages of a process are read, a bounded number at a time, and written in one transaction.
 * Progress replaces what was told before, so only the last message about it is written, and it is
 * dropped if that fails.  A value is kept until it is written: the process counts what it has sent,
 * the executor counts what it has settled, and the task does not end before both are the same.
 * So many bytes at most are sent and not settled, which bounds what is kept here: see tell.c.
 *
 * A write that fails for a reason that may pass is tried again.  After any other failure the values
 * are refused, and the process makes an error of that.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "base/database.h"
#include "base/process.h"
#include "base/sql.h"
#include "core/clock.h"
#include "process/hear.h"
#include "process/transaction.h"

#define RETRY_MS 1000
#define PART_MS  20 /* until a message of which a part has come is looked for again */

static Operation op_tell = {.name = "write what calls tell"};

static Statement call_told = {
	.sql = "select taskq_private.call_told($1, $2, $3, $4, $5)",
	.nargs = 5,
	.argtypes = {INT8OID, INT8OID, INT4OID, INT4OID, JSONBOID}};

/* The argument of work_tell(). */
typedef struct Run
{
	Hearing *hearing;
	int64 id;
	int64 token;
	bool all; /* no message is left */
	bool no_memory;
} Run;

/* ---- writing ------------------------------------------------------------------------- */

static void
write_message(const CallMessage *m)
{
	Datum values[5] = {Int64GetDatum(m->id), Int64GetDatum(m->token), Int32GetDatum(m->kind),
					   Int32GetDatum(m->n), JsonbPGetDatum(m->content)};

	(void) sql_call(&call_told, values, NULL);
}

static void
keep_value(Run *run, const CallMessage *m)
{
	Hearing *h = run->hearing;

	if (m->content == NULL)
	{
		run->no_memory = true;
		return;
	}
	h->values[h->nvalues++] = *m;
	h->size += call_message_size(m->content);
}

/* Returns the last message about progress, or none (content NULL). */
static CallMessage
take_messages(Run *run)
{
	Hearing *h = run->hearing;
	CallMessage progress = {.content = NULL};
	MemoryContext old = MemoryContextSwitchTo(h->context);

	for (int i = 0; i < MESSAGES_A_RUN && h->nvalues < MESSAGES_A_RUN && !run->all; i++)
	{
		CallMessage m;

		run->all = !call_message_receive(h->queue, &m);
		if (run->all || m.id != run->id || m.token != run->token)
			continue;
		if (m.kind == MESSAGE_VALUE)
			keep_value(run, &m);
		else if (m.content != NULL)
			progress = m;
	}
	MemoryContextSwitchTo(old);
	return progress;
}

static void
work_tell(void *arg)
{
	Run *run = arg;
	Hearing *h = run->hearing;
	CallMessage progress = take_messages(run);

	for (int i = 0; i < h->nvalues; i++)
		write_message(&h->values[i]);
	if (progress.content != NULL)
		write_message(&progress);
}

/* ---- settling ------------------------------------------------------------------------ */

/* The process need not wait for these values any more. */
static void
settle_values(Hearing *h)
{
	uint64 settled = pg_atomic_read_u64(&h->segment->settled);

	pg_write_barrier();
	pg_atomic_write_u64(&h->segment->settled, settled + h->size);
	hearing_forget(h);
	process_wake(&h->segment->caller);
}

static void
refuse_values(Hearing *h)
{
	pg_atomic_write_u32(&h->segment->refused, 1);
	settle_values(h);
}

/* A message that is on its way, and may be too long for the queue, is read in parts. */
static bool
has_work(const Hearing *h)
{
	uint32 told = pg_atomic_read_u32(&h->segment->told);

	return told != h->heard || told % 2 == 1 || h->nvalues > 0;
}

bool
hear(Hearing *h, int64 id, int64 token)
{
	uint32 told = pg_atomic_read_u32(&h->segment->told);
	Run run = {.hearing = h, .id = id, .token = token};

	if (!hearing_is_due(h))
		return false;
	h->retry_at = 0;
	if (transact(&op_tell, work_tell, &run))
		settle_values(h);
	else if (h->nvalues > 0 && !failure_may_pass() && !worker_stopping)
		refuse_values(h);
	else
	{
		h->retry_at = tq_clock_ms() + RETRY_MS;
		if (h->nvalues == 0)
			MemoryContextReset(h->context); /* progress, which is dropped */
	}
	if (run.no_memory)
		refuse_values(h);
	if (run.all)
		h->heard = told;
	return !run.all && h->retry_at == 0;
}

/* ---- the process --------------------------------------------------------------------- */

void
hearing_begin(Hearing *h, dsm_segment *mapping)
{
	h->segment = call_segment_of(mapping);
	h->queue = call_queue_attach(mapping);
	h->context = AllocSetContextCreate(TopMemoryContext, "taskq messages", ALLOCSET_SMALL_SIZES);
}

bool
hearing_is_due(const Hearing *h)
{
	return has_work(h) && tq_clock_ms() >= h->retry_at;
}

bool
hearing_has_news(const Hearing *h)
{
	return pg_atomic_read_u32(&h->segment->told) != h->heard && h->retry_at == 0;
}

int64
hearing_due_at(const Hearing *h)
{
	if (h->segment == NULL || !has_work(h))
		return PG_INT64_MAX;
	if (h->retry_at == 0 && !hearing_has_news(h) && h->nvalues == 0)
		return tq_clock_ms() + PART_MS; /* if the wake-up for the rest was lost */
	return h->retry_at;
}

void
hearing_forget(Hearing *h)
{
	MemoryContextReset(h->context);
	h->nvalues = 0;
	h->size = 0;
	h->retry_at = 0;
}

void
hearing_end(Hearing *h)
{
	if (h->queue != NULL)
		shm_mq_detach(h->queue);
	if (h->context != NULL)
		MemoryContextDelete(h->context);
	memset(h, 0, sizeof(*h));
}
