/*
 * compat.h
 *		The only file that knows PostgreSQL versions.
 */
#ifndef TASKQ_COMPAT_H
#define TASKQ_COMPAT_H

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/pg_database.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h" /* before, a part of postgres.h */
#endif

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "taskq supports PostgreSQL 15 to 18"
#endif

/* The datconnlimit of a database after an interrupted DROP DATABASE. */
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
compat_may_execute(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
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

/* Whether a background worker can have a role that may not log in; the flag for that. */
#if PG_VERSION_NUM >= 170000
#define COMPAT_NOLOGIN_WORKERS       true
#define COMPAT_CONNECT_WITHOUT_LOGIN BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define COMPAT_NOLOGIN_WORKERS       false
#define COMPAT_CONNECT_WITHOUT_LOGIN 0
#endif

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

/* The wait event that pg_stat_activity shows; before version 17 it is "Extension". */
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
 * The number of ended transactions that had an id.  While it stays the same,
 * no new changes have become visible.
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

/* The file number of a relation; it changes if the relation is rewritten. */
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

/* Looks for a duplicate, waiting for open transactions that insert one; false if there is one. */
#if PG_VERSION_NUM >= 180000
#define compat_check_index_constraints(target, slot, estate, other, arbiter) \
	ExecCheckIndexConstraints(target, slot, estate, other, NULL, arbiter)
#else
#define compat_check_index_constraints(target, slot, estate, other, arbiter) \
	ExecCheckIndexConstraints(target, slot, estate, other, arbiter)
#endif

/*
 * Inserts into all indexes.  nodup: a duplicate in the arbiter index is no error, but sets
 * *conflict.  summarizing: only into indexes that an update leaves behind if it has changed no
 * other column.
 */
#if PG_VERSION_NUM >= 160000
#define compat_insert_index_tuples(target, slot, estate, nodup, conflict, arbiter, summarizing) \
	ExecInsertIndexTuples(target, slot, estate, false, nodup, conflict, arbiter, summarizing)
#else
#define compat_insert_index_tuples(target, slot, estate, nodup, conflict, arbiter, summarizing) \
	ExecInsertIndexTuples(target, slot, estate, false, nodup, conflict, arbiter)
#endif

/* Which indexes need entries after an update. */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes CompatIndexes;
#define compat_any_index(indexes)        ((indexes) != TU_None)
#define compat_summarizing_only(indexes) ((indexes) == TU_Summarizing)
#else
typedef bool CompatIndexes;
#define compat_any_index(indexes)        (indexes)
#define compat_summarizing_only(indexes) false
#endif

/* Runs a portal to its end, as a statement of a client. */
#if PG_VERSION_NUM >= 180000
#define compat_portal_run(portal, receiver, completion) \
	((void) PortalRun(portal, FETCH_ALL, true, receiver, receiver, completion))
#else
#define compat_portal_run(portal, receiver, completion) \
	((void) PortalRun(portal, FETCH_ALL, true, true, receiver, receiver, completion))
#endif

/* Updates a row of a table without summarizing indexes.  Returns whether it needs new entries. */
static inline bool
compat_heap_update(Relation heap, ItemPointer tid, HeapTuple tuple)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes indexes;

	simple_heap_update(heap, tid, tuple, &indexes);
	return indexes == TU_All;
#else
	simple_heap_update(heap, tid, tuple);
	return !HeapTupleIsHeapOnly(tuple);
#endif
}

/* Since PostgreSQL 18 a check constraint can be NOT ENFORCED. */
#if PG_VERSION_NUM >= 180000
#define compat_is_enforced(check) ((check)->ccenforced)
#else
#define compat_is_enforced(check) true
#endif

#endif
