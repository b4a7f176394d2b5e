/*
 * database.h
 *		What the server's processes know of each database that has taskq.
 *
 * Only a preloaded library has this memory: every user of "registry" and of
 * database_mine() must be ready to find NULL.
 */
#ifndef TASKQ_DATABASE_H
#define TASKQ_DATABASE_H

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

/* How many databases of a cluster can have an executor at the same time. */
#define TASKQ_MAX_DATABASES 64

#define TASKQ_EXTENSION "taskq"

/* Of all databases: see idle.c. */
#define IDLE_COUNTERS 4096

#define TASKQ_NO_PROC PG_UINT32_MAX

/* Why the last executor of a database ended. */
typedef enum TaskqEnd
{
	TASKQ_END_FAILED, /* error or crash: started again with back-off */
	TASKQ_END_ASKED,  /* SIGTERM: started again after a second */
	TASKQ_END_LEFT    /* nothing to do here: started again when poked */
} TaskqEnd;

/*
 * What a database wants to have done.  Committers set it, the process that does the
 * work takes it before it begins; what comes meanwhile is wanted again.
 */
typedef enum DatabaseWant
{
	WANT_TASKS = 1 << 0,   /* the executor looks for due push tasks */
	WANT_CANCELS = 1 << 1, /* it asks which of its attempts were cancelled */
	WANT_NOTIFY = 1 << 2,  /* it notifies sessions of marked queues: see notify.c */
	WANT_TIMERS = 1 << 3,  /* it looks when pull tasks become due by time */
	WANT_SWEEP = 1 << 4,   /* rows may have come that no session has offered: see sweep.c */
	WANT_LEASES = 1 << 5,  /* shared memory may not know all leases: see leases.c */
	WANT_PROBE = 1 << 6    /* the launcher looks whether it wants an executor */
} DatabaseWant;

/*
 * One database that has, or may want, an executor.  The atomics may be read
 * and written without the lock, also where nothing may fail; the token block
 * has its spinlock; everything else is protected by Registry->lock.
 *
 * A slot that a session has asked for stays with its database for as long as
 * the database exists, because sessions remember it.
 */
typedef struct TaskqDatabase
{
	Oid oid;              /* InvalidOid: slot is free */
	bool used;            /* sessions remember it */
	bool wanted;          /* should have an executor, as far as the launcher knows */
	bool stopped;         /* by stop_executor() */
	bool serving;         /* the process is past its probe: an executor */
	bool stepped_aside;   /* the executor was told to go for a command: it comes back at once */
	int held_aside;       /* > 0: commands need the database to themselves */
	pid_t pid;            /* of the executor or probe; 0: none is attached */
	TaskqEnd ended;       /* how the last one ended */
	int failures;         /* starts in a row that failed */
	TimestampTz retry_at; /* not started again before */

	pg_atomic_uint32 procno; /* of the executor, or TASKQ_NO_PROC */
	pg_atomic_uint32 wants;  /* what is to be done: bits of DatabaseWant */
	pg_atomic_uint64 hints;  /* see database_hints_changed(); only ever counts up */

	TimestampTz leases_filled_at; /* when all leases were read into shared memory */

	/* Token block of this server start: see token.c. */
	slock_t token_lock;
	int64 next_token; /* 0: no block reserved yet */
	int64 token_end;
} TaskqDatabase;

typedef struct Registry
{
	LWLock *lock;               /* protects all but the atomics */
	pid_t launcher_pid;         /* 0: none */
	int shortages;              /* starts in a row for which no background worker was free */
	TimestampTz shortage_until; /* nothing is started before */
	pg_atomic_uint32 launcher_procno;
	TaskqDatabase db[TASKQ_MAX_DATABASES];

	/* How often tasks of a queue were offered to claimers: see idle.c. */
	pg_atomic_uint32 idle_counters[IDLE_COUNTERS];

	/* What each backend waits for, by its number: see wait.c.  0: nothing. */
	pg_atomic_uint64 waiting_for[FLEXIBLE_ARRAY_MEMBER];
} Registry;

/* NULL when the library was not preloaded. */
extern Registry *registry;

/* Shared memory and its one lock; called while the server starts. */
extern Size registry_shared_size(void);
extern void registry_init_shared(void *memory, LWLock *lock, bool found);

/*
 * The slot of the current database, made if need be; NULL when not preloaded
 * or when all slots are taken.  A slot that was found is remembered for the session.
 */
extern TaskqDatabase *database_mine(void);

/*
 * To be called when the end of a transaction has changed what shared memory says
 * of this database's tasks or leases.  A process that looked between the commit and
 * this call has seen neither, and looks again.  Never fails, if database_mine() was
 * called before.
 */
extern void database_hints_changed(void);

/*
 * Sets wants (bits), and wakes the process that sees to them, unless they were set
 * before; WANT_LEASES wakes none, it is seen to at the next look.  Never fails.
 */
extern void database_want(TaskqDatabase *db, uint32 wants);

/* Whether one of these is wanted; the second one takes them, so that they are wanted no more. */
extern bool database_wants(TaskqDatabase *db, uint32 wants);
extern bool database_take_want(TaskqDatabase *db, uint32 wants);

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

#endif
