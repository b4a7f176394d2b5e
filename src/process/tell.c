/*
 * tell.c
 *		What a call tells while it runs, in the process that makes it.
 *
 * Messages go through a queue in shared memory to the executor: see hear.c.  An error in the middle
 * of a message, such as a cancel, or one of a parallel worker of a query under way, would leave the
 * queue with a part of it, and the next message would be read as the rest.  So nothing but the end
 * of the process interrupts a message.  That is not for long, because the executor reads messages
 * as they come, and because a value is sent only if no more than a part of the queue is sent and
 * not settled; the wait for that, and for the last values, can be cancelled.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/database.h"
#include "base/errors.h"
#include "core/clock.h"
#include "process/tell.h"

#define MAX_AHEAD   (CALL_QUEUE_SIZE / 2) /* bytes of values; one may be longer */
#define LOOK_MS     1000                  /* for a process that wakes nobody when it ends */
#define PATIENCE_MS 5000                  /* after a failure */

static CallSegment *segment = NULL;
static shm_mq_handle *queue = NULL;
static uint64 sent = 0; /* sizes of the values of this call */
static bool returned = false;

void
tell_begin(CallSegment *its_segment, shm_mq_handle *its_queue)
{
	segment = its_segment;
	queue = its_queue;
	sent = 0;
	returned = false;
}

/* ---- waiting ------------------------------------------------------------------------- */

static uint64
unsettled(void)
{
	return sent - pg_atomic_read_u64(&segment->settled);
}

/* The task does not end here if its executor does not know of it; SIGTERM is on its way. */
static void
require_executor(void)
{
	if (pg_atomic_read_u32(&segment->executor) == TASKQ_NO_PROC)
		ereport(FATAL,
				(errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("the executor of this call has ended")));
}

static void
sleep_for(int64 ms)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = compat_wait_event("TaskqCallValues");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
	ResetLatch(MyLatch);
}

static void
wait_for_executor(int64 ms)
{
	sleep_for(ms);
	CHECK_FOR_INTERRUPTS();
	require_executor();
}

/* In the middle of a message. */
static void
wait_for_reader(void)
{
	sleep_for(LOOK_MS);
	if (ProcDiePending)
		CHECK_FOR_INTERRUPTS();
}

static bool
is_refused(void)
{
	return pg_atomic_read_u32(&segment->refused) != 0;
}

static void
raise_refused(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("values of task " INT64_FORMAT " could not be written", segment->id),
			 errdetail("The executor writes them, in transactions of its own."),
			 errhint("See taskq.status() and the log of the server for its error.")));
}

/* Waits until that value may be sent after the others; 0: until all are written. */
static void
await_room(uint64 size)
{
	uint64 room = size < MAX_AHEAD && size > 0 ? MAX_AHEAD - size : 0;

	while (unsettled() > room && !is_refused())
		wait_for_executor(LOOK_MS);
	if (is_refused())
		raise_refused();
}

/* ---- telling ------------------------------------------------------------------------- */

/* Only this process writes the number. */
static void
count_message(bool begins)
{
	uint32 odd = pg_atomic_read_u32(&segment->told) | 1;

	pg_atomic_write_u32(&segment->told, begins ? odd : odd + 1);
	pg_memory_barrier();
}

static void
send(const CallMessage *message)
{
	count_message(true);
	while (call_message_send(queue, message) == SHM_MQ_WOULD_BLOCK)
		wait_for_reader();
	count_message(false);
	process_wake(&segment->executor);
}

void
tell_executor(CallMessageKind kind, int n, Datum content)
{
	CallMessage message = {
		.id = segment->id,
		.token = segment->token,
		.kind = kind,
		.n = n,
		.content = DatumGetJsonbP(content),
	};
	uint64 size = kind == MESSAGE_VALUE ? call_message_size(message.content) : 0;

	if (size > 0)
		await_room(size);
	sent += size;
	send(&message);
	if (size > 0 && returned)
		await_room(0);
}

void
tell_end(void)
{
	returned = true;
	await_room(0);
}

void
tell_end_failed(void)
{
	int64 until = tq_clock_ms() + PATIENCE_MS;
	int64 left;

	while (unsettled() > 0 && !is_refused() && (left = until - tq_clock_ms()) > 0)
		wait_for_executor(Min(left, LOOK_MS));
}
