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
	WORKER_VACUUM,
	WORKER_CALLER
} WorkerKind;

/* The name of the kind, as pg_stat_activity.backend_type shows it. */
extern const char *worker_type(WorkerKind kind);

/* What is passed to a worker. */
typedef struct WorkerSpec
{
	Oid database;
	Oid role;
	uint32 segment;    /* the handle of one in dynamic shared memory; or 0 */
	const char *label; /* the end of its name; or NULL */
} WorkerSpec;

/*
 * Registers a worker.  *handle is palloc'd and stays for the session; handle is NULL for a worker
 * that is registered while the library is preloaded.  False: no background worker is free.
 */
extern bool worker_register(WorkerKind kind, const WorkerSpec *spec,
							BackgroundWorkerHandle **handle);

/* The role and the segment that were passed to this process. */
extern Oid worker_role(void);
extern uint32 worker_segment(void);

/*
 * Returns the reason why the role must not run an executor, and in *hint what to do about it;
 * NULL if there is none.  An executor must not have more rights than it was given.
 */
extern const char *executor_role_fault(Oid role, const char **hint);

#endif
