/*
 * database.h
 *		The registry in shared memory of the databases that have taskq.
 *
 * Only a preloaded library has this memory: "registry" and database_mine() may be NULL.
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

/* So many topics a session can wait for at the same time: see wakeup.c. */
#define MAX_TOPICS 64

/* For all databases together: see idle.c. */
#define IDLE_COUNTERS 4096

#define TASKQ_NO_PROC PG_UINT32_MAX

/* The reason why the last executor of a database ended. */
typedef enum TaskqEnd
{
	TASKQ_END_FAILED, /* error or crash: started again with back-off */
	TASKQ_END_ASKED,  /* SIGTERM: started again after a second */
	TASKQ_END_LEFT    /* no work in this database: started again on WANT_PROBE */
} TaskqEnd;

/*
 * Work that a database wants to have done.  Commits set a want.  The process that does the
 * work takes the want before it begins, so a want that is set meanwhile is not lost.
 */
typedef enum DatabaseWant
{
	WANT_TASKS = 1 << 0,   /* the executor looks for due push tasks */
	WANT_CANCELS = 1 << 1, /* the executor asks which of its attempts were cancelled */
	WANT_NOTIFY = 1 << 2,  /* the executor notifies sessions of marked queues: see notify.c */
	WANT_TIMERS = 1 << 3,  /* the executor looks when pull tasks become due by time */
	WANT_SWEEP = 1 << 4,   /* there may be rows that no session has offered: see sweep.c */
	WANT_LEASES = 1 << 5,  /* shared memory may not know all leases: see leases.c */
	WANT_PROBE = 1 << 6,   /* the launcher checks whether the database needs an executor */
	WANT_HISTORY = 1 << 7, /* the database was armed: the executor makes tables of history */
	WANT_EMPTY = 1 << 8,   /* a queue was dropped: the executor ends its tasks */
	WANT_FIRING = 1 << 9,  /* a schedule was changed: the executor looks when it fires next */
	WANT_LOOKS = 1 << 10,  /* tasks that wait for others may have become due: see looks.c */
	WANT_EVENTS = 1 << 12, /* there are events: the executor tells sessions, see notify.c */
	WANT_CALLS = 1 << 13   /* the executor looks for due calls */
} DatabaseWant;

/*
 * One database that has an executor, or may want one.  The atomics may be read
 * and written without the lock, also where no error may be raised; the token block
 * has its spinlock; Registry->lock protects everything else.
 *
 * A slot that a session has asked for stays with its database for as long as
 * the database exists, because sessions remember it.
 */
typedef struct TaskqDatabase
{
	Oid oid;              /* InvalidOid: slot is free */
	bool used;            /* sessions remember it */
	bool wanted;          /* the launcher is to start an executor */
	bool stopped;         /* by stop_executor() */
	bool serving;         /* the process is past its probe: an executor */
	bool stepped_aside;   /* the executor has left for a command, and starts again at once */
	int held_aside;       /* > 0: commands need the database without other sessions */
	pid_t pid;            /* of the executor or probe; 0: none is attached */
	TaskqEnd ended;       /* how the last one ended */
	int failures;         /* starts in a row that failed */
	TimestampTz retry_at; /* not started again before this time */

	pg_atomic_uint32 procno; /* of the executor, or TASKQ_NO_PROC */
	pg_atomic_uint32 asleep; /* the executor does not poll: see quiet.c */
	pg_atomic_uint32 wants;  /* bits of DatabaseWant */
	pg_atomic_uint64 hints;  /* see database_hints_changed(); only ever counts up */

	pg_atomic_uint32 prerequisites; /* how often some were added: see looks.c */
	pg_atomic_uint32 none_at;       /* this number when there were none */
	pg_atomic_uint32 look_at_all;   /* all tasks that wait are to be looked at */

	pg_atomic_uint32 sweeps;    /* how often all lines of groups were to be read again */
	pg_atomic_uint32 uncounted; /* how often the leases were to be counted before more are given */

	int64 resent; /* requests that its executor has sent a second time in the same attempt */

	TimestampTz leases_filled_at; /* when all leases were read into shared memory */

	/* Token block of this server start: see token.c. */
	slock_t token_lock;
	int64 next_token; /* 0: no block reserved yet */
	int64 token_end;
} TaskqDatabase;

/* The topics of a session that waits for several.  It does not wait while it changes them. */
typedef struct TopicList
{
	uint32 number; /* counts the lists that have stood here */
	int count;
	uint64 topics[MAX_TOPICS];
} TopicList;

typedef struct Registry
{
	LWLock *lock;               /* protects all but the atomics */
	pid_t launcher_pid;         /* 0: none */
	int shortages;              /* starts in a row for which no background worker was free */
	TimestampTz shortage_until; /* no executor is started before this time */
	pg_atomic_uint32 launcher_procno;
	TaskqDatabase db[TASKQ_MAX_DATABASES];

	/* How often tasks of a queue were offered to claimers: see idle.c. */
	pg_atomic_uint32 idle_counters[IDLE_COUNTERS];

	/* How many backends wait for a topic, or more: see wakeup.c. */
	pg_atomic_uint32 waiters;

	/* The topic for which each backend waits, by its number.  0: none. */
	pg_atomic_uint64 waiting_for[FLEXIBLE_ARRAY_MEMBER];
	/* Behind it: a TopicList for each backend. */
} Registry;

/* NULL when the library was not preloaded. */
extern Registry *registry;

/* Shared memory and its one lock; called while the server starts. */
extern Size registry_shared_size(void);
extern void registry_init_shared(void *memory, LWLock *lock, bool found);

/* The list of the backend with that number. */
extern TopicList *registry_topics(int backend);

/*
 * The slot of the current database; takes one if it has none.  NULL if the library was not
 * preloaded or all slots are taken.  The session remembers a slot that it has found.
 */
extern TaskqDatabase *database_mine(void);

/*
 * To be called when the end of a transaction has changed the hints about this database's
 * tasks or leases.  A process that looked between the commit and this call has missed the
 * change and looks again; an executor that sleeps is woken.  Never fails if database_mine() was
 * called before.
 */
extern void database_hints_changed(void);

/*
 * Sets wants (bits), and wakes the process that fulfils them unless they were set before.
 * WANT_LEASES wakes no process: the next look at the leases fulfils it.  WANT_PROBE wakes the
 * executor as well, because its extension may be gone.  Never fails.
 */
extern void database_want(TaskqDatabase *db, uint32 wants);

/* Both return whether one of these wants is set; the second function clears them. */
extern bool database_wants(TaskqDatabase *db, uint32 wants);
extern bool database_take_want(TaskqDatabase *db, uint32 wants);

/* The slot of a database, or NULL.  The caller holds the lock. */
extern TaskqDatabase *database_find(Oid oid);

/* The same; takes a free slot if it has none, NULL if all are taken.  Needs the exclusive lock. */
extern TaskqDatabase *database_make(Oid oid);

/*
 * Frees the slot of a database that no session remembers and that has no
 * executor.  Only for the launcher, which holds the lock exclusively.
 */
extern void database_forget(TaskqDatabase *db);

/*
 * Wakes the process with that number, if there is one.  Never fails.  If another process has
 * got the same number meanwhile, it is woken, which does no harm.
 */
extern void process_wake(pg_atomic_uint32 *procno);

#endif
