/*
 * compat.h
 *		The only file that knows PostgreSQL versions.
 */
#ifndef TASKQ_COMPAT_H
#define TASKQ_COMPAT_H

#include "access/transam.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "taskq supports PostgreSQL 15 to 18"
#endif

/* What an interrupted DROP DATABASE leaves in datconnlimit. */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB (-2)
#endif

/* This process's index into ProcGlobal->allProcs. */
static inline uint32
compat_my_procno(void)
{
#if PG_VERSION_NUM >= 170000
	return (uint32) MyProcNumber;
#else
	return (uint32) MyProc->pgprocno;
#endif
}

static inline bool
compat_may_connect(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

static inline bool
compat_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/* A set that lives until it is freed or the process ends. */
static inline WaitEventSet *
compat_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

/* What pg_stat_activity shows while the process waits; before 17 that is "Extension". */
static inline uint32
compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/*
 * How many transactions with an id have ended.  While it stays the same,
 * nothing is visible that was not before.
 */
static inline uint64
compat_completed_transactions(void)
{
#if PG_VERSION_NUM >= 170000
	return TransamVariables->xactCompletionCount;
#else
	return ShmemVariableCache->xactCompletionCount;
#endif
}

/* What a relation's rows are stored in; another after a rewrite. */
static inline uint32
compat_relfile(Relation relation)
{
#if PG_VERSION_NUM >= 160000
	return relation->rd_locator.relNumber;
#else
	return relation->rd_node.relNode;
#endif
}

/* A plain index scan. */
#if PG_VERSION_NUM >= 180000
#define index_beginscan_compat(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define index_beginscan_compat(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* Looks for a duplicate, waiting for whoever inserts one; false if there is one. */
#if PG_VERSION_NUM >= 180000
#define compat_check_index_constraints(target, slot, estate, other, arbiter) \
	ExecCheckIndexConstraints(target, slot, estate, other, NULL, arbiter)
#else
#define compat_check_index_constraints(target, slot, estate, other, arbiter) \
	ExecCheckIndexConstraints(target, slot, estate, other, arbiter)
#endif

/* Inserts into all indexes; *conflict says whether the arbiter has a duplicate. */
#if PG_VERSION_NUM >= 160000
#define compat_insert_index_tuples(target, slot, estate, conflict, arbiter) \
	ExecInsertIndexTuples(target, slot, estate, false, true, conflict, arbiter, false)
#else
#define compat_insert_index_tuples(target, slot, estate, conflict, arbiter) \
	ExecInsertIndexTuples(target, slot, estate, false, true, conflict, arbiter)
#endif

#endif
