/*
 * calls.c
 *		The calls that the executor has made: claims, and the processes that make them.
 *
 * There are taskq.call_workers places.  A place has a process of one role, or none.  The executor
 * claims only as many calls as places are free, so that no claimed call waits for another
 * one.  It gives a call to a process of the role that has none; or it starts one in an empty
 * place; or it ends an idle process of another role first.  It runs nothing that a user wrote.
 *
 * It extends the lease of each call until the process says that the call has ended, or has gone.
 * A call that is cancelled, or whose lease is lost, is sent SIGINT at once and SIGTERM after 5
 * s.  The process itself keeps the timeout; if its function goes on all the same, SIGINT comes a
 * second later, and SIGTERM after 5 s more.  There is no SIGKILL, because it would restart the
 * server.
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/arg.h"
#include "base/compat.h"
#include "base/database.h"
#include "base/process.h"
#include "base/settings.h"
#include "base/sql.h"
#include "core/clock.h"
#include "core/outcome.h"
#include "life/call_claim.h"
#include "life/finish.h"
#include "process/call_segment.h"
#include "process/calls.h"
#include "process/failures.h"
#include "process/hear.h"
#include "process/identity.h"
#include "process/quiet.h"
#include "process/transaction.h"

#define LATE_MS       1000 /* a call that has not ended so long after its timeout gets SIGINT */
#define PATIENCE_MS   5000 /* from SIGINT to SIGTERM */
#define SHORTAGE_MS   1000 /* until a process is started again after none was free */
#define RETRY_MS      1000
#define LOOK_EVERY_MS (15 * 60 * 1000) /* commits say when there is something to claim */
#define END_MS        3000

#define START_WORK "start a process for calls"

typedef enum PlaceState
{
	PLACE_EMPTY,
	PLACE_BUSY,
	PLACE_IDLE,
	PLACE_LEAVING /* its process ends; then its place is empty, or for the call that waits */
} PlaceState;

/* A claimed call. */
typedef struct ClaimedCall
{
	int64 id;
	int64 token;
	int64 lease_ms;
	int64 timeout_ms; /* 0: none */
	Oid role;
	NameData role_name;
} ClaimedCall;

typedef struct Place
{
	PlaceState state;
	Oid role;

	/* NULL in an empty place. */
	BackgroundWorkerHandle *handle;
	dsm_segment *mapping;
	CallSegment *segment;
	Hearing hearing;

	bool has_call; /* busy: it is being made; leaving: it waits */
	ClaimedCall call;
	int64 extend_at;
	CallStop stop;
	int signals; /* how many were sent to stop it */
	int64 signal_at;
} Place;

static Place places[TASKQ_MAX_CALL_WORKERS];

static bool look = true;   /* there may be calls to claim */
static bool check = false; /* all leases are to be looked at */
static int64 look_at = 0;
static int64 short_until = 0; /* no background worker is free */

static Operation op_claim = {.name = "claim calls"};
static Operation op_start = {.name = START_WORK};
static Operation op_extend = {.name = "extend the leases of calls"};
static Operation op_end = {.name = "end a call"};
static Operation op_release = {.name = "give calls back"};

static Statement call_claim = {
	.sql = "select * from taskq_private.call_claim($1)", .nargs = 1, .argtypes = {INT4OID}};
static Statement call_next_due = {.sql = "select taskq_private.call_next_due()"};
static Statement call_extend = {
	.sql = "select * from taskq_private.call_extend($1, $2)",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID}};
static Statement call_release = {
	.sql = "select * from taskq_private.push_release($1, $2, interval '0')",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID}};
static Statement call_failed = {
	.sql = "select taskq_private.call_failed($1, $2, $3, $4, $5)",
	.nargs = 5,
	.argtypes = {INT8OID, INT8OID, TEXTOID, TEXTOID, BOOLOID}};

/* ---- processes -------------------------------------------------------------------- */

static bool
process_has_ended(const Place *p)
{
	pid_t pid;

	return GetBackgroundWorkerPid(p->handle, &pid) == BGWH_STOPPED;
}

static void
send_signal(const Place *p, int signal)
{
	pid_t pid;

	if (GetBackgroundWorkerPid(p->handle, &pid) == BGWH_STARTED)
		kill(pid, signal);
}

/* The place has no process any more. */
static void
clear(Place *p)
{
	hearing_end(&p->hearing);
	if (p->mapping != NULL)
		dsm_detach(p->mapping);
	if (p->handle != NULL)
		pfree(p->handle);
	memset(p, 0, sizeof(*p));
}

static void
begin_call(Place *p, const ClaimedCall *call)
{
	p->state = PLACE_BUSY;
	p->has_call = true;
	p->call = *call;
	p->stop = STOP_NOT;
	p->signals = 0;
	p->extend_at = tq_clock_ms() + call->lease_ms / 3;
}

static void
write_call(CallSegment *segment, const ClaimedCall *call)
{
	segment->id = call->id;
	segment->token = call->token;
	segment->timeout_ms = call->timeout_ms;
	pg_atomic_write_u32(&segment->stop, STOP_NOT);
	pg_atomic_write_u64(&segment->settled, 0);
	pg_atomic_write_u32(&segment->refused, 0);
	pg_write_barrier();
}

/* Gives a call to an idle process.  False: it is about to end. */
static bool
hand_call_over(Place *p, const ClaimedCall *call)
{
	uint32 waiting = CALL_WAITING;

	write_call(p->segment, call);
	if (!pg_atomic_compare_exchange_u32(&p->segment->state, &waiting, CALL_HANDED))
	{
		p->state = PLACE_LEAVING;
		return false;
	}
	begin_call(p, call);
	process_wake(&p->segment->caller);
	return true;
}

/* The argument of work_start(). */
typedef struct Start
{
	Place *place;
	const ClaimedCall *call;
	bool started;
} Start;

static void
work_start(void *arg)
{
	Start *start = arg;
	Place *p = start->place;
	WorkerSpec spec = {
		.database = MyDatabaseId,
		.role = start->call->role,
		.label = NameStr(start->call->role_name),
	};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	p->mapping = call_segment_create();
	p->segment = call_segment_of(p->mapping);
	hearing_begin(&p->hearing, p->mapping);
	write_call(p->segment, start->call);
	spec.segment = dsm_segment_handle(p->mapping);
	start->started = worker_register(WORKER_CALLER, &spec, &p->handle);
	MemoryContextSwitchTo(old);
}

static void
note_no_worker(void)
{
	if (failure_note(START_WORK, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
					 "no background worker is free") == 1)
		ereport(LOG,
				(errmsg("could not start a process for calls: no background worker is free"),
				 errhint("Raise max_worker_processes, or lower taskq.call_workers.")));
}

/* Starts a process in an empty place for the call.  False: none could be started. */
static bool
start_caller(Place *p, const ClaimedCall *call)
{
	Start s = {.place = p, .call = call};

	if (transact(&op_start, work_start, &s) && s.started)
	{
		failure_over(START_WORK);
		p->role = call->role;
		begin_call(p, call);
		return true;
	}
	clear(p);
	short_until = tq_clock_ms() + SHORTAGE_MS;
	if (!op_start.failing)
		note_no_worker();
	return false;
}

/* An idle process is told to end. */
static void
dismiss(Place *p)
{
	uint32 waiting = CALL_WAITING;

	(void) pg_atomic_compare_exchange_u32(&p->segment->state, &waiting, CALL_CLOSED);
	p->state = PLACE_LEAVING;
	process_wake(&p->segment->caller);
}

/* ---- leases ----------------------------------------------------------------------- */

static Datum
id_array(const Place **held, int n, bool tokens)
{
	int64 *values = palloc_array(int64, n);

	for (int i = 0; i < n; i++)
		values[i] = tokens ? held[i]->call.token : held[i]->call.id;
	return PointerGetDatum(array_of_ids(values, n));
}

/* Calls of which something is to be done in one transaction. */
typedef struct Held
{
	const Place *places[TASKQ_MAX_CALL_WORKERS];
	int count;
	bool lost[TASKQ_MAX_CALL_WORKERS]; /* by place */
} Held;

static void
work_extend(void *arg)
{
	Held *held = arg;
	Datum values[2] = {id_array(held->places, held->count, false),
					   id_array(held->places, held->count, true)};
	uint64 rows = sql_call(&call_extend, values, NULL);

	memset(held->lost, false, sizeof(held->lost));
	for (uint64 row = 0; row < rows; row++)
	{
		bool isnull;
		int64 id = DatumGetInt64(sql_column(row, 1, &isnull));

		for (int i = 0; i < held->count; i++)
		{
			if (held->places[i]->call.id == id)
				held->lost[held->places[i] - places] = true;
		}
	}
}

static void
work_release(void *arg)
{
	Held *held = arg;
	Datum values[2] = {id_array(held->places, held->count, false),
					   id_array(held->places, held->count, true)};

	(void) sql_call(&call_release, values, NULL);
}

static void
release(const ClaimedCall *call)
{
	Place copy = {.call = *call};
	Held held = {.places = {&copy}, .count = 1};

	(void) transact(&op_release, work_release, &held);
}

/* A call that was cancelled, or whose lease is lost, is stopped; one that waits is forgotten. */
static void
stop(Place *p, CallStop reason)
{
	if (p->state != PLACE_BUSY)
	{
		p->has_call = false;
		return;
	}
	if (p->stop != STOP_NOT)
		return;
	p->stop = reason;
	pg_atomic_write_u32(&p->segment->stop, reason);
	p->signals = 0;
	p->signal_at = tq_clock_ms();
}

static void
extend_leases(int64 now)
{
	Held held = {.count = 0};
	bool done;

	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		if (places[i].has_call && places[i].stop != STOP_GIVEN_UP &&
			(check || now >= places[i].extend_at))
			held.places[held.count++] = &places[i];
	}
	check = false;
	if (held.count == 0)
		return;
	done = transact(&op_extend, work_extend, &held);
	for (int i = 0; i < held.count; i++)
	{
		Place *p = &places[held.places[i] - places];

		p->extend_at = now + (done ? p->call.lease_ms / 3 : Min(p->call.lease_ms / 3, RETRY_MS));
		if (done && held.lost[p - places])
			stop(p, STOP_GIVEN_UP);
	}
}

/* ---- stopping --------------------------------------------------------------------- */

/* When the call is late by so much that it is stopped; 0: never. */
static int64
late_at(const Place *p)
{
	if (p->state != PLACE_BUSY || p->call.timeout_ms == 0 || p->stop != STOP_NOT ||
		pg_atomic_read_u32(&p->segment->state) != CALL_RUNNING)
		return 0;
	pg_read_barrier();
	return p->segment->began_at + p->call.timeout_ms + LATE_MS;
}

/* The first signal cancels the call, all others end the process. */
static void
stop_overdue(int64 now)
{
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		Place *p = &places[i];
		int64 late = late_at(p);

		if (late != 0 && now >= late)
			stop(p, STOP_TIMEOUT);
		if (p->state != PLACE_BUSY || p->stop == STOP_NOT || now < p->signal_at)
			continue;
		send_signal(p, p->signals++ == 0 ? SIGINT : SIGTERM);
		p->signal_at = now + PATIENCE_MS;
	}
}

/* ---- ends of processes and calls -------------------------------------------------- */

/* The argument of work_failed(). */
typedef struct Death
{
	const Place *place;
	const char *class;
	const char *error;
	bool at_once;
} Death;

static void
work_failed(void *arg)
{
	const Death *d = arg;
	Datum values[5] = {Int64GetDatum(d->place->call.id), Int64GetDatum(d->place->call.token),
					   CStringGetTextDatum(d->class), CStringGetTextDatum(d->error),
					   BoolGetDatum(d->at_once)};

	(void) sql_call(&call_failed, values, NULL);
}

/*
 * The process of a call has ended.  One that has never begun may fail again and again, so its call
 * is tried again as its policy says.
 */
static void
end_dead(const Place *p)
{
	bool began = pg_atomic_read_u32(&p->segment->state) != CALL_HANDED;
	Death death = {
		.place = p,
		.class = WORKER_DIED,
		.error = began ? "the process of the call has ended"
					   : "the process of the call has ended before it began: see the server log",
		.at_once = began,
	};

	if (p->stop == STOP_TIMEOUT)
	{
		death.class = tq_class_name(TQ_CLASS_TIMEOUT);
		death.error = "the call went on after its timeout, and its process was ended";
		death.at_once = false;
	}
	if (p->stop == STOP_SHUTDOWN)
		release(&p->call);
	else if (p->stop != STOP_GIVEN_UP)
		(void) transact(&op_end, work_failed, &death);
}

/* Writes all that the call of this place has told. */
static void
hear_all(Place *p)
{
	while (p->has_call && hear(&p->hearing, p->call.id, p->call.token))
		;
}

/* The process has gone: its place is free, or for the call that waits. */
static void
bury_process(Place *p)
{
	bool waits = p->state == PLACE_LEAVING && p->has_call;
	ClaimedCall call = p->call;

	if (p->state == PLACE_BUSY)
	{
		hear_all(p);
		end_dead(p);
	}
	clear(p);
	if (waits && !start_caller(p, &call))
		release(&call);
}

static bool
has_left_call(const Place *p)
{
	uint32 state = pg_atomic_read_u32(&p->segment->state);

	return state == CALL_WAITING || state == CALL_CLOSED;
}

/* There may be fewer places than there were. */
static bool
is_wanted(const Place *p)
{
	return p - places < setting_call_workers;
}

/*
 * Writes what one call has told; the next time it is the turn of another one.  So calls that tell
 * without end take one transaction between two turns of the deliveries, however many they are.
 */
static void
hear_next(void)
{
	static int next = 0;

	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		int n = (next + i) % TASKQ_MAX_CALL_WORKERS;
		Place *p = &places[n];

		if (p->state == PLACE_EMPTY || !hearing_is_due(&p->hearing))
			continue;
		(void) hear(&p->hearing, p->call.id, p->call.token);
		next = n + 1;
		return;
	}
}

static void
see_ends(void)
{
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		Place *p = &places[i];

		if (p->state == PLACE_EMPTY)
			continue;
		if (p->state == PLACE_BUSY && has_left_call(p))
		{
			p->state = PLACE_IDLE;
			p->has_call = false;
			p->call = (ClaimedCall){0}; /* the rest of what it has told is dropped */
			hearing_forget(&p->hearing);
		}
		if (process_has_ended(p))
			bury_process(p);
		else if (p->state == PLACE_IDLE && !is_wanted(p))
			dismiss(p);
	}
}

/* ---- claims ----------------------------------------------------------------------- */

static bool
is_free(const Place *p, int64 now)
{
	if (p->state == PLACE_IDLE)
		return true;
	return p->state == PLACE_EMPTY && is_wanted(p) && now >= short_until;
}

static int
count_free(int64 now)
{
	int count = 0;

	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
		count += is_free(&places[i], now);
	return count;
}

/* The place of an idle process: of that role, or of any other one. */
static Place *
idle_place(Oid role)
{
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		if (places[i].state == PLACE_IDLE && (!OidIsValid(role) || places[i].role == role))
			return &places[i];
	}
	return NULL;
}

static Place *
empty_place(int64 now)
{
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		if (places[i].state == PLACE_EMPTY && is_free(&places[i], now))
			return &places[i];
	}
	return NULL;
}

/* The call waits until the process of another role has ended. */
static void
wait_for_place(Place *p, const ClaimedCall *call)
{
	dismiss(p);
	p->has_call = true;
	p->call = *call;
	p->stop = STOP_NOT;
	p->extend_at = tq_clock_ms() + call->lease_ms / 3;
}

static void
place_call(const ClaimedCall *call)
{
	Place *p;

	while ((p = idle_place(call->role)) != NULL)
	{
		if (hand_call_over(p, call))
			return;
	}
	p = empty_place(tq_clock_ms());
	if (p != NULL && start_caller(p, call))
		return;
	p = idle_place(InvalidOid);
	if (p != NULL)
		wait_for_place(p, call);
	else
		release(call);
}

/* The argument of work_claim(). */
typedef struct CallClaim
{
	int max;
	int count;
	int64 next_ms; /* -1: it is not known */
	ClaimedCall calls[TASKQ_MAX_CALL_WORKERS];
} CallClaim;

static int64
bigint_column(uint64 row, ClaimedColumn column)
{
	bool isnull;

	return DatumGetInt64(sql_column(row, 1 + column, &isnull));
}

static void
read_call(ClaimedCall *call, uint64 row)
{
	bool isnull;

	call->id = bigint_column(row, CLAIMED_ID);
	call->token = bigint_column(row, CLAIMED_TOKEN);
	call->lease_ms = bigint_column(row, CLAIMED_LEASE_MS);
	call->timeout_ms = bigint_column(row, CLAIMED_TIMEOUT_MS);
	call->role = DatumGetObjectId(sql_column(row, 1 + CLAIMED_ROLE, &isnull));
	strlcpy(NameStr(call->role_name),
			TextDatumGetCString(sql_column(row, 1 + CLAIMED_ROLE_NAME, &isnull)), NAMEDATALEN);
}

static void
work_claim(void *arg)
{
	CallClaim *claim = arg;
	Datum max = Int32GetDatum(claim->max);
	uint64 rows = sql_call(&call_claim, &max, NULL);

	for (uint64 row = 0; row < rows && claim->count < claim->max; row++)
		read_call(&claim->calls[claim->count++], row);
	if (claim->count < claim->max)
		claim->next_ms = sql_call_for_int64(&call_next_due);
}

/* After a claim that found fewer calls than there are places, commits tell of others. */
static void
plan_look(const CallClaim *claim, bool done, int64 now)
{
	int64 wait_ms = database_mine() != NULL ? LOOK_EVERY_MS : setting_poll_interval;

	look = done && claim->count == claim->max;
	if (!done)
		wait_ms = Min(wait_ms, RETRY_MS);
	else if (claim->next_ms >= 0)
		wait_ms = Min(wait_ms, claim->next_ms);
	look_at = now + wait_ms;
}

static void
claim_calls(int64 now)
{
	static Quiet quiet = {0};
	CallClaim c = {.max = count_free(now), .next_ms = -1};
	TaskqDatabase *db = database_mine();
	uint64 changes;
	bool done;

	if (db != NULL && database_take_want(db, WANT_CALLS))
		look = true;
	if (c.max == 0 || (!look && now < look_at))
		return;
	changes = quiet_changes();
	if (!look && still_quiet(&quiet, changes, &c.next_ms))
	{
		plan_look(&c, true, now);
		return;
	}
	done = transact(&op_claim, work_claim, &c);
	plan_look(&c, done, tq_clock_ms());
	if (done && c.count == 0)
		quiet = quiet_after(changes, c.next_ms);
	for (int i = 0; done && i < c.count; i++)
		place_call(&c.calls[i]);
}

/* ---- for the executor ------------------------------------------------------------- */

/* An executor that fails must not leave processes that nobody stops. */
static void
abandon(int code, Datum arg)
{
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		if (places[i].state == PLACE_EMPTY)
			continue;
		pg_atomic_write_u32(&places[i].segment->executor, TASKQ_NO_PROC);
		TerminateBackgroundWorker(places[i].handle);
	}
}

void
calls_run(void)
{
	static bool registered = false;

	if (!registered)
		before_shmem_exit(abandon, 0);
	registered = true;
	hear_next();
	see_ends();
	extend_leases(tq_clock_ms());
	stop_overdue(tq_clock_ms());
	claim_calls(tq_clock_ms());
}

/* When something is due for the place. */
static int64
due_at(const Place *p)
{
	int64 at = PG_INT64_MAX;
	int64 late = late_at(p);

	if (p->state == PLACE_EMPTY)
		return at;
	if (p->has_call && p->stop != STOP_GIVEN_UP)
		at = p->extend_at;
	at = Min(at, hearing_due_at(&p->hearing));
	if (late != 0)
		at = Min(at, late);
	if (p->state == PLACE_BUSY && p->stop != STOP_NOT)
		at = Min(at, p->signal_at);
	return at;
}

int64
calls_due_in(void)
{
	int64 now = tq_clock_ms();
	int64 at = look_at;

	if (look)
		at = now;
	if (count_free(now) == 0)
		at = Max(at, short_until);
	if (count_free(Max(now, short_until)) == 0)
		at = PG_INT64_MAX; /* the end of a call wakes the executor */
	if (check)
		return 0;
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
		at = Min(at, due_at(&places[i]));
	return Max(at - now, 0);
}

bool
calls_have_news(void)
{
	TaskqDatabase *db = database_mine();

	if (db != NULL && database_wants(db, WANT_CALLS))
		return true;
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		const Place *p = &places[i];

		if (p->state == PLACE_EMPTY)
			continue;
		if ((p->state == PLACE_BUSY && has_left_call(p)) || hearing_has_news(&p->hearing) ||
			process_has_ended(p))
			return true;
	}
	return false;
}

void
calls_check_leases(void)
{
	check = true;
}

void
calls_stop(void)
{
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		Place *p = &places[i];

		if (p->state == PLACE_EMPTY)
			continue;
		if (p->state == PLACE_BUSY && p->stop == STOP_NOT)
			p->stop = STOP_SHUTDOWN;
		send_signal(p, SIGTERM);
	}
}

static bool
any_process(void)
{
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		if (places[i].state != PLACE_EMPTY && !process_has_ended(&places[i]))
			return true;
	}
	return false;
}

void
calls_end(void)
{
	int64 until = tq_clock_ms() + END_MS;

	calls_stop();
	while (any_process() && tq_clock_ms() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		worker_absorb_interrupts();
	}
	for (int i = 0; i < TASKQ_MAX_CALL_WORKERS; i++)
	{
		Place *p = &places[i];

		if (p->state == PLACE_EMPTY)
			continue;
		hear_all(p);
		if (p->has_call && !(p->state == PLACE_BUSY && has_left_call(p)) &&
			p->stop != STOP_GIVEN_UP)
			release(&p->call);
		p->has_call = false;
	}
}
