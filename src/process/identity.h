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

/* The name of the kind, as pg_stat_activity.backend_type shows it. */
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
 * Returns the reason why the role must not run an executor, and in *hint what to do about it;
 * NULL if there is none.  An executor must not have more rights than it was given.
 */
extern const char *executor_role_fault(Oid role, const char **hint);

#endif
