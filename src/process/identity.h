/*
 * identity.h
 *		Our kinds of background workers: how each is registered, and what role it has.
 */
#ifndef TASKQ_IDENTITY_H
#define TASKQ_IDENTITY_H

#include "postmaster/bgworker.h"

typedef enum WorkerKind
{
	WORKER_LAUNCHER,
	WORKER_EXECUTOR,
	WORKER_VACUUM
} WorkerKind;

/* As in pg_stat_activity.backend_type. */
extern const char *worker_type(WorkerKind kind);

/*
 * Registers a worker.  database and role are passed to its main function; label, the end of its
 * name, may be NULL.  *handle is palloc'd and stays for the session; handle is NULL for a worker
 * that is registered while the library is preloaded.  False: no background worker is free.
 */
extern bool worker_register(WorkerKind kind, Oid database, Oid role, const char *label,
							BackgroundWorkerHandle **handle);

/* The role that was passed to this process. */
extern Oid worker_role(void);

/*
 * What keeps the role from running an executor, and in *hint what to do about that; NULL:
 * nothing.  An executor must not have more rights than it was given.
 */
extern const char *executor_role_fault(Oid role, const char **hint);

#endif
