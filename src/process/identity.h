/*
 * identity.h
 *		Our kinds of background workers: how each is described, and its locks.
 */
#ifndef TASKQ_IDENTITY_H
#define TASKQ_IDENTITY_H

#include "postmaster/bgworker.h"
#include "storage/lock.h"

typedef enum WorkerKind
{
	WORKER_LAUNCHER,
	WORKER_EXECUTOR,
	WORKER_VACUUM
} WorkerKind;

/* As in pg_stat_activity.backend_type. */
extern const char *worker_type(WorkerKind kind);

/*
 * Describes a worker to Register[Dynamic]BackgroundWorker().  database and role are
 * passed to its main function; label, the end of its name, may be NULL.
 */
extern void worker_describe(BackgroundWorker *worker, WorkerKind kind, Oid database, Oid role,
							const char *label);

/* The role that was passed to this process. */
extern Oid worker_role(void);

/*
 * Session-level locks that SQL cannot take.  An executor holds EXECUTOR_RUNS
 * of its database for life; a session that stops the executor holds EXECUTOR_STOPS.
 */
typedef enum ExecutorLock
{
	EXECUTOR_RUNS = 0x5451, /* SQL's advisory locks use 1 and 2, endpoint.c 0x5453 */
	EXECUTOR_STOPS = 0x5452
} ExecutorLock;

extern void executor_lock_tag(LOCKTAG *tag, Oid database, ExecutorLock which);

#endif
