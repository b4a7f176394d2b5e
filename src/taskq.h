/*
 * taskq.h
 *		The module's header, in sections, one per file.
 */
#ifndef TASKQ_H
#define TASKQ_H

#include "postgres.h"

#include "fmgr.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#include "compat.h"

/* SQLSTATEs of class TQ; each function's comment in sql/ says which it raises. */
#define ERRCODE_TASKQ_UNKNOWN_QUEUE    MAKE_SQLSTATE('T', 'Q', '0', '0', '1')
#define ERRCODE_TASKQ_QUEUE_EXISTS     MAKE_SQLSTATE('T', 'Q', '0', '0', '2')
#define ERRCODE_TASKQ_DUPLICATE_KEY    MAKE_SQLSTATE('T', 'Q', '0', '0', '3')
#define ERRCODE_TASKQ_INVALID_ARGUMENT MAKE_SQLSTATE('T', 'Q', '0', '0', '4')
#define ERRCODE_TASKQ_WRONG_MODE       MAKE_SQLSTATE('T', 'Q', '0', '0', '5')
#define ERRCODE_TASKQ_TOO_LARGE        MAKE_SQLSTATE('T', 'Q', '0', '0', '6')
#define ERRCODE_TASKQ_NOT_PERMITTED    MAKE_SQLSTATE('T', 'Q', '0', '0', '7')
#define ERRCODE_TASKQ_EGRESS_DENIED    MAKE_SQLSTATE('T', 'Q', '0', '0', '8')
#define ERRCODE_TASKQ_NOT_POSSIBLE     MAKE_SQLSTATE('T', 'Q', '0', '0', '9')

#define TASKQ_BGW_ROLE   "taskq_bgw"
#define TASKQ_OWNER_ROLE "taskq_owner"

/* ---- taskq.c: module entry, shared state, signals ------------------------ */

/* How many databases of a cluster can have an executor at the same time. */
#define TASKQ_MAX_DATABASES 64

#define TASKQ_EXTENSION     "taskq"
#define TASKQ_EXECUTOR_TYPE "taskq executor" /* as in pg_stat_activity.backend_type */

#define TASKQ_NO_PROC PG_UINT32_MAX

/* Why the last executor of a database ended. */
typedef enum TaskqEnd
{
	TASKQ_END_FAILED, /* error or crash: started again with back-off */
	TASKQ_END_ASKED,  /* SIGTERM: started again after a second */
	TASKQ_END_LEFT    /* nothing to do here: started again when poked */
} TaskqEnd;

/*
 * One database that has, or may want, an executor.  The atomics may be read
 * and written without the lock, also where nothing may fail; the token block
 * has its spinlock; everything else is protected by TaskqShared->lock.
 *
 * A slot that a session has asked for stays with its database for as long as
 * the database exists, because sessions remember it.
 */
typedef struct TaskqDatabase
{
	Oid oid;              /* InvalidOid: slot is free */
	bool used;            /* sessions remember it */
	bool wanted;          /* should have an executor, as far as we know */
	bool stopped;         /* by stop_executor() */
	bool serving;         /* the process is past its probe: an executor */
	bool stepped_aside;   /* the executor was told to go for a command: it comes back at once */
	int held_aside;       /* > 0: commands need the database to themselves */
	pid_t pid;            /* of the executor or probe; 0: none is attached */
	TaskqEnd ended;       /* how the last one ended */
	int failures;         /* starts in a row that failed */
	TimestampTz retry_at; /* not started again before */

	pg_atomic_uint32 procno;       /* of the executor, or TASKQ_NO_PROC */
	pg_atomic_uint32 poked;        /* to be probed; set by committers, cleared by the launcher */
	pg_atomic_uint32 tasks_due;    /* set by committers, cleared by the executor */
	pg_atomic_uint32 check_leases; /* a running push task was cancelled */
	pg_atomic_uint32 notify;       /* queues are marked: see notify.c */
	pg_atomic_uint32 timers;       /* a pull task is due at a later time */
	pg_atomic_uint32 leases_known; /* expiry.c knows all leases ... */
	TimestampTz leases_filled_at;  /* ... since then; written by the one who fills */
	pg_atomic_uint32 sweep;        /* rows may have come that were offered by nobody */
	pg_atomic_uint64 hints;        /* times that a transaction's end changed dispatch.c's or
									* expiry.c's memory; only ever counts up */

	/* Token block of this server start: see token.c. */
	slock_t token_lock;
	int64 token_next; /* 0: no block reserved yet */
	int64 token_end;
} TaskqDatabase;

typedef struct TaskqShared
{
	LWLock *lock;               /* protects all but the atomics */
	pid_t launcher_pid;         /* 0: none */
	int shortages;              /* starts in a row for which no background worker was free */
	TimestampTz shortage_until; /* nothing is started before */
	pg_atomic_uint32 launcher_procno;
	TaskqDatabase db[TASKQ_MAX_DATABASES];

	/* What each backend waits for, by its number: see wait.c.  0: nothing. */
	pg_atomic_uint64 waiting_for[FLEXIBLE_ARRAY_MEMBER];
} TaskqShared;

/* NULL when the library was not preloaded. */
extern TaskqShared *taskq_shared;

/*
 * The slot of the current database, made if need be; NULL when not preloaded
 * or all slots are taken.  Remembered per process, so cheap.
 */
extern TaskqDatabase *taskq_my_database(void);

/*
 * To be called when a transaction's end has changed what shared memory says of
 * this database's tasks or leases: a look that was between the commit and this
 * has not seen it, and is made again.  Never fails, if taskq_my_database() was
 * called before.
 */
extern void taskq_hints_changed(void);

/* The slot of a database, or NULL.  The caller holds the lock. */
extern TaskqDatabase *database_find(Oid oid);

/* The same, made if need be; NULL when all are taken.  The caller holds the lock exclusively. */
extern TaskqDatabase *database_make(Oid oid);

/*
 * Frees the slot of a database that no session remembers and that has no
 * executor.  Only for the launcher, which holds the lock exclusively.
 */
extern void database_forget(TaskqDatabase *db);

/*
 * Wakes the process with that number, if there is one.  Never fails; a wake-up
 * that reaches a successor in the same place does no harm.
 */
extern void process_wake(pg_atomic_uint32 *procno);

/*
 * Signals of our background processes.  SIGTERM sets worker_stopping and
 * cancels what the process waits for inside a transaction; it kills nothing.
 */
extern volatile sig_atomic_t worker_stopping;
extern void worker_signals(void);

/* Between transactions: answers barriers and the like, and forgets a query cancel. */
extern void worker_absorb_interrupts(void);

/* Re-reads the configuration files if SIGHUP said so; true if it did. */
extern bool worker_reload_config(void);

/* ---- rows.c: the extension's relations ------------------------------------------ */

/* The schema of all tables, sequences and private functions. */
#define TASKQ_PRIVATE_SCHEMA "taskq_private"

/* The relation of that name in the schema: InvalidOid, or an error, if there is none. */
extern Oid taskq_find_relation(const char *name);
extern Oid taskq_relation(const char *name);

/* ---- guc.c: settings ---------------------------------------------------- */

extern bool taskq_acquire_sync;        /* USERSET */
extern bool taskq_executor;            /* SIGHUP */
extern char *taskq_databases;          /* SIGHUP */
extern int taskq_dispatch_memory;      /* POSTMASTER, kB */
extern int taskq_notify_interval;      /* SIGHUP, ms; -1: never */
extern int taskq_poll_interval;        /* SIGHUP, ms */
extern int taskq_max_payload;          /* SUSET, bytes */
extern bool taskq_http2;               /* SIGHUP */
extern char *taskq_http_ca_file;       /* SIGHUP */
extern int taskq_http_max_inflight;    /* SIGHUP */
extern int taskq_http_max_per_host;    /* SIGHUP */
extern int taskq_http_max_response;    /* SIGHUP, bytes */
extern int taskq_http_timeout;         /* SIGHUP, ms: for tasks that name none */
extern int taskq_http_connect_timeout; /* SIGHUP, ms */

extern void guc_define(void);

/*
 * What taskq.http_allow, _deny, _hosts and _ports say; *egress is all zero
 * before, and freed by the caller.
 */
struct tq_egress;
extern void guc_read_egress(struct tq_egress *egress);

/* Whether taskq.databases names it. */
extern bool guc_database_allowed(const char *name);

/* ---- wakeup.c: who is told at commit ------------------------------------ */

/* At this transaction's commit the database's executor looks for due tasks. */
extern void wakeup_executor_at_commit(void);

/* At commit the executor asks which of its attempts were cancelled. */
extern void wakeup_lease_check_at_commit(void);

/*
 * What sessions wait for, as a number that is never 0.  Others may have the
 * same number by chance: who is woken looks again.
 */
extern uint64 topic_of_task(int64 id);
extern uint64 topic_of_queue(int32 id);

/* At commit those who wait for the task's end are woken. */
extern void wakeup_task_ended_at_commit(int64 id);

/* At commit one more waiter of the pull queue is woken, and it is marked: see notify.c. */
extern void wakeup_arrival_at_commit(int32 queue_id);

/* At commit the executor is told that a pull task is due at a later time. */
extern void wakeup_timers_at_commit(void);

/* When the transaction has ended a sweep looks for tasks that nobody has told of. */
extern void wakeup_sweep(void);

/* All who wait for the queue are woken now. */
extern void wakeup_waiters(int32 queue_id);

/* This session waits for a topic from now on.  It stops when its transaction fails, too. */
extern void wakeup_wait_for(uint64 topic);

/* It waits no more.  found: what it was woken for, if it was, is its own now. */
extern void wakeup_stop_waiting(bool found);

/* Called once, while the library is preloaded. */
extern void wakeup_install(void);

/* At commit the launcher probes the current database. */
extern void wakeup_launcher_at_commit(void);

/* ---- launcher.c: who gets an executor -------------------------------------- */

/* Called once, while the library is preloaded. */
extern void launcher_register(void);

/* ---- executor.c: the executor's process ------------------------------------ */

/* Describes the executor of a database to RegisterDynamicBackgroundWorker(). */
extern void executor_describe(BackgroundWorker *worker, Oid database, const char *name, Oid role);

/* Milliseconds on a clock that is never set back. */
extern int64 executor_now_ms(void);

/*
 * Session-level locks that SQL cannot take.  An executor holds EXECUTOR_RUNS
 * of its database for life; EXECUTOR_STOPS is held by whoever stops it.
 */
typedef enum ExecutorLock
{
	EXECUTOR_RUNS = 0x5451, /* SQL's advisory locks use 1 and 2 */
	EXECUTOR_STOPS = 0x5452
} ExecutorLock;

extern void executor_lock_tag(LOCKTAG *tag, Oid database, ExecutorLock which);

/* ---- control.c: start_executor() and its kin ------------------------------- */

/* Waits at most timeout_ms until the slot's executor has left the database; false if it has not. */
extern bool control_wait_until_gone(TaskqDatabase *db, int timeout_ms);

/* ---- stepaside.c: executors make room for commands ------------------------- */

/* Called once, while the library is preloaded. */
extern void stepaside_install(void);

/* ---- store_spi.c: the engine's store, the only place with transactions ------ */

struct tq_store;
extern const struct tq_store store_spi;

/* Remembers the extension that is served.  False: it is gone, or could not be looked for. */
extern bool store_open(void);

/* The extension was dropped, maybe made anew: there is nothing to serve any more. */
extern bool store_gone(void);

/* Makes and drops tables of history, forgets keys: what cannot be done now is done later. */
extern void store_clean_up(void);

/* Both return false when it could not be done now. */
extern bool store_recover(void);

/* *next_ms: until the next lease, or time to start, runs out; -1 if there is none. */
extern bool store_expire_leases(int64 *next_ms);

/* Sends a notification for each of these queues. */
extern void store_notify(const int32 *ids, int count);

/* *useful: see vacuum_is_useful(). */
extern bool store_vacuum_is_useful(bool *useful);

/* One step of a sweep: see dispatch.h; *done: that was the last one. */
extern bool store_sweep(bool *done);

/* ---- notify.c: how sessions hear of due tasks -------------------------------------- */

/* Does what is due. */
extern void notify_run(void);

/* Milliseconds until notify_run() has something to do. */
extern int64 notify_due_in(void);

/* ---- maintenance.c: leases, history and sweeps -------------------------------------- */

/* Does what is due. */
extern void maintenance_run(void);

/* Tables of history may be wanted at once: the database was armed. */
extern void maintenance_hurry(void);

/* Milliseconds until maintenance_run() has something to do. */
extern int64 maintenance_due_in(void);

/* ---- vacuum.c: dead rows of the hot tables ------------------------------------------- */

/* Has them vacuumed, if that is useful now. */
extern void vacuum_run(void);

/* Stops a vacuum under way, and waits until it has left the database. */
extern void vacuum_stop(void);

/* Whether there are many, and no snapshot needs them.  In a transaction. */
extern bool vacuum_is_useful(void);

#endif
