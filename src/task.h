/*
 * task.h
 *		The life of a task, in sections, one per file.
 */
#ifndef TASKQ_TASK_H
#define TASKQ_TASK_H

#include "taskq.h"

#include "access/htup.h"
#include "executor/spi.h"
#include "nodes/lockoptions.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"

/* ---- arg.c: arguments, judged in one place ------------------------------- */

#define TASKQ_NAME_MAX   57     /* bytes, so that "taskq_" || name is a channel */
#define TASKQ_KEY_MAX    512    /* bytes */
#define TASKQ_MAX_SUBMIT 100000 /* tasks in one submit_many() */
#define TASKQ_MAX_BATCH  10000  /* tasks in one call */
#define TASKQ_MAX_ERROR  8192   /* bytes of an error text that are kept */

#define US_PER_MS    INT64CONST(1000)
#define US_PER_DAY   INT64CONST(86400000000)
#define MAX_DELAY_US (INT64CONST(36525) * US_PER_DAY) /* 100 years */
#define MIN_LEASE_US (100 * US_PER_MS)
#define MAX_LEASE_US (30 * US_PER_DAY)

/* An interval in microseconds, a month being 30 days; clamped to what int64 holds. */
extern int64 interval_us(const Interval *interval);

/* Argument n, or fallback when it is NULL; TQ004 when it is not in [min, max]. */
extern int64 arg_interval_us(FunctionCallInfo fcinfo, int n, const char *name,
							 int64 fallback, int64 min, int64 max);
extern int32 arg_int32(FunctionCallInfo fcinfo, int n, const char *name,
					   int32 fallback, int32 min, int32 max);

/* TQ004 when argument n is NULL. */
extern int64 arg_id(FunctionCallInfo fcinfo, int n, const char *name);

/* NULL stays NULL; TQ004 when it is empty, over TASKQ_NAME_MAX bytes or has control characters. */
extern text *arg_name(FunctionCallInfo fcinfo, int n, const char *name);

/* The same checks on any text, with a limit of its own. */
extern void check_label(const text *value, const char *name, int max);

/* NULL stays NULL; TQ004 when it is no key. */
extern text *arg_key(FunctionCallInfo fcinfo, int n);

/* NULL stays NULL; cut to TASKQ_MAX_ERROR bytes at a character's border. */
extern text *arg_error(FunctionCallInfo fcinfo, int n);

/* A URL as DNS and HTTP have it, palloc'd: its host in ASCII; TQ004 when no task may have it. */
extern char *url_to_ascii(const text *url);

/* TQ006 when the datum, a varlena, is over taskq.max_payload bytes. */
extern void check_size(Datum value, const char *name);

/* Arguments n and n + 1: bigint arrays of one length without NULLs; TQ004.  Returns the length. */
extern int arg_id_arrays(FunctionCallInfo fcinfo, int n, int64 **ids, int64 **tokens);

/* Raises 25006 on a standby and in a read-only transaction. */
extern void require_writable(const char *function);

/* ---- owner.c: SQL run as taskq_owner -------------------------------------- */

#define STATEMENT_MAX_ARGS 16

/* A statement of ours; static, its plan is saved at first use. */
typedef struct Statement
{
	const char *sql;
	int nargs;
	Oid argtypes[STATEMENT_MAX_ARGS];
	SPIPlanPtr plan;
} Statement;

/*
 * Runs it as taskq_owner, with search_path pinned and hidden from auto_explain,
 * on the latest snapshot at any isolation level.  True, and the first row's ncols
 * columns copied to the caller's memory context, if it returns a row.
 */
extern bool owner_query(Statement *statement, Datum *values, const char *nulls,
						Datum *result, bool *isnull, int ncols);

/* ---- queue.c: queues as the session knows them ---------------------------- */

/* What grant_queue() gives; as bits they can be combined to "one of these". */
#define PRIVILEGE_SUBMIT  1
#define PRIVILEGE_WORK    2
#define PRIVILEGE_VIEW    4
#define PRIVILEGE_CONTROL 8
#define NPRIVILEGES       4

typedef struct Queue
{
	char name[NAMEDATALEN]; /* hash key */
	int32 id;
	bool valid;         /* false: to be read again */
	bool exists;        /* false: looked for in vain, all else is meaningless */
	bool push;          /* mode */
	char *url;          /* push: where payloads go; NULL: nowhere by default */
	char *retry;        /* policy */
	int32 max_attempts; /* of that policy */
	int64 lease_us;
	int64 keep_finished_us;
	int64 keep_dead_us;
	int64 keep_key_us;
	bool durable_finish;
	bool external; /* a push queue whose tasks are sent by other programs */
	bool paused;

	/* Of an endpoint; all zero for another queue. */
	bool endpoint;
	bool secretive;       /* it has headers or a secret, to be looked up */
	bool secrets_missing; /* it should have: nothing may be sent */
	int64 timeout_us;     /* 0: none of its own */
	int32 max_running;    /* 0: taskq.http_max_per_host */
	double rate;          /* starts a second; 0: any number */

	/* The roles that were granted each privilege on this queue. */
	Oid *grantees[NPRIVILEGES];
	int ngrantees[NPRIVILEGES];
} Queue;

/*
 * The queue of that name: TQ004 for a bad name, TQ001 for an unknown one.
 * The result stays in place for the session but its contents may change
 * whenever a relation is locked.
 */
extern const Queue *queue_by_name(text *name);

/* NULL when there is none. */
extern const Queue *queue_find(text *name);
extern const Queue *queue_by_id(int32 id);

/* Ids of all push queues, palloc'd. */
extern int32 *queue_push_ids(int *count);

/*
 * Begins a call by a client: 25006 as require_writable(); until the
 * transaction ends no queue is dropped.  Before any row is locked, so that
 * everybody locks in the same order: queues, lease, task row, key.
 */
extern void client_call(const char *function);

/* Begins a call by the executor: the same, but it is in the way of DROP EXTENSION alone. */
extern void executor_call(const char *function);

/* What stands for the extension as it is; valid once a queue was looked for. */
extern Oid queue_generation(void);

/* The first submit in a database arms it: see sql/74_arming.sql. */
extern void queue_arm_if_new(void);

/* ---- grant.c: rights on queues -------------------------------------------- */

/* Whether the current user has one of these privileges; of no queue (NULL) only an admin has. */
extern bool queue_may(const Queue *queue, int privileges);

/* TQ007 when it has none of them. */
extern void queue_require(const Queue *queue, int privileges);

/* ---- front.c --------------------------------------------------------------- */

/* Columns of result(). */
enum ResultColumn
{
	RESULT_STATE,
	RESULT_RESULT,
	RESULT_ERROR,
	RESULT_ENDED_AT,
	RESULT_NCOLUMNS
};

/* What result() returns; false: no row. */
extern bool task_result(int64 id, Datum *values, bool *nulls);

/* ---- rows.c: the hot tables, without planner or executor ------------------ */

typedef enum HotTable
{
	HOT_TASK,
	HOT_LEASE,
	HOT_KEY
} HotTable;

/* Columns as in sql/20_tables.sql, from zero. */
enum TaskColumn
{
	TASK_ID,
	TASK_SUBMITTED_AT,
	TASK_RUN_AT,
	TASK_QUEUE_ID,
	TASK_ATTEMPT,
	TASK_MAX_ATTEMPTS,
	TASK_PRIORITY,
	TASK_PAYLOAD,
	TASK_REVIVED_AT,
	TASK_START_BY,
	TASK_TIMEOUT,
	TASK_KEY,
	TASK_KIND,
	TASK_RETRY,
	TASK_METHOD,
	TASK_URL,
	TASK_HEADERS,
	TASK_BODY,
	TASK_NCOLUMNS
};

enum LeaseColumn
{
	LEASE_ID,
	LEASE_TOKEN,
	LEASE_STARTED_AT,
	LEASE_UNTIL,
	LEASE_US,
	LEASE_QUEUE_ID,
	LEASE_ATTEMPT,
	LEASE_CANCEL_REQUESTED,
	LEASE_DEADLINE,
	LEASE_FRACTION,
	LEASE_WORKER,
	LEASE_CANCEL_REASON,
	LEASE_MESSAGE,
	LEASE_NCOLUMNS
};

enum KeyColumn
{
	KEY_QUEUE_ID,
	KEY_KEY,
	KEY_ID,
	KEY_TAKEN_UNTIL,
	KEY_NCOLUMNS
};

#define ROW_MAX_COLUMNS TASK_NCOLUMNS

/* A row read or to be written.  Its values live in the caller's memory context. */
typedef struct Row
{
	ItemPointerData tid; /* where it was read */
	Datum values[ROW_MAX_COLUMNS];
	bool nulls[ROW_MAX_COLUMNS];
} Row;

#define ROW_INT64(row, column) DatumGetInt64((row)->values[column])
#define ROW_INT32(row, column) DatumGetInt32((row)->values[column])
#define ROW_INT16(row, column) DatumGetInt16((row)->values[column])
#define ROW_TIME(row, column)  DatumGetTimestampTz((row)->values[column])
#define ROW_BOOL(row, column)  DatumGetBool((row)->values[column])

typedef enum RowResult
{
	ROW_DONE,
	ROW_GONE,    /* somebody deleted it */
	ROW_CHANGED, /* somebody updated it: read it again */
	ROW_BUSY     /* somebody may be about to; only when not waiting */
} RowResult;

/* A hot table, opened for writing until hot_close(). */
typedef struct HotRelation
{
	HotTable table;
	Relation heap;
	Relation index;
	Oid order; /* of tasks: the index in the order of acquisition */

	/* While row_fetch() looks by one snapshot; else NULL. */
	struct SnapshotData *snapshot;
	struct IndexScanDescData *scan;
	struct TupleTableSlot *slot;
} HotRelation;

extern void hot_open(HotRelation *r, HotTable table);
extern void hot_close(HotRelation *r);

/* From here on row_fetch() finds what was committed by now, at a lower price for many rows. */
extern void hot_begin_looks(HotRelation *r);
extern void hot_end_looks(HotRelation *r);

/*
 * As heap_form_tuple(), without the NULLs at the end: like a row that is older
 * than these columns, which therefore must not have been added with a default.
 * One that has no other NULL does without the bitmap, too: 8 bytes less in the
 * table and in the log.
 */
extern HeapTuple form_tuple(Relation relation, Datum *values, bool *nulls);

/* Copies what the slot holds into the current memory context. */
extern void row_from_slot(HotRelation *r, struct TupleTableSlot *slot, Row *row);

/* Sets every column to NULL. */
extern void row_init(Row *row);

/* Sets one column; a NULL text is NULL. */
extern void row_set(Row *row, int column, Datum value);
extern void row_set_text(Row *row, int column, text *value);

/* The row of task or lease with that id, as last committed (or written by ourselves). */
extern bool row_fetch(HotRelation *r, int64 id, Row *row);

/* The same, for one look at a table that is not open. */
extern bool row_read(HotTable table, int64 id, Row *row);

/* Transactions, not ours, that are about to insert or delete a row; else invalid. */
typedef struct Hands
{
	TransactionId inserter;
	TransactionId deleter;
} Hands;

/* The row of task or lease with that id as it is now, in whose hands ever; row may be NULL. */
extern bool row_look(HotRelation *r, int64 id, Row *row, Hands *hands);

/*
 * The row at that place as it is now, into a slot of the table, if nobody is
 * about to insert or delete it.
 */
extern bool row_at(HotRelation *r, const ItemPointerData *tid, struct TupleTableSlot *slot);

/* That this session will look for it again. */
extern void row_remember_place(const HotRelation *r, const Row *row);

/* Calls see() with each row of the table, as last committed, and arg. */
extern void row_for_each(HotTable table, void (*see)(const Row *row, void *arg), void *arg);

/* The row of a key that is taken. */
extern bool row_fetch_key(HotRelation *r, int32 queue_id, text *key, Row *row);

extern void row_insert(HotRelation *r, Row *row);

/* The same for many; each is palloc'd by itself or part of the caller's struct. */
extern void rows_insert(HotRelation *r, Row **rows, int count);

/*
 * The same into a table whose index is unique, at any isolation level; false,
 * once whoever inserts the same at this moment has ended, if it is there.
 */
extern bool row_insert_unique(HotRelation *r, Row *row);

/* Both look at the row as read: no change behind our back is overwritten. */
extern RowResult row_delete(HotRelation *r, const Row *row, bool wait);
extern RowResult row_update(HotRelation *r, Row *row, bool wait);

/* Keeps others from changing the row as read until the transaction ends. */
extern RowResult row_lock(HotRelation *r, const Row *row, LockTupleMode mode, bool wait);

/* ---- token.c -------------------------------------------------------------- */

/* A number that was never given out before: see there. */
extern int64 token_next(void);

/* ---- key.c ------------------------------------------------------------------ */

/*
 * Takes the key for task id.  0: done; else the id of the task that has it.
 * Of a task that has ended it is taken over when its time is up, or at once
 * if so wished.
 */
extern int64 key_take(const Queue *queue, text *key, int64 id, bool of_ended);

/* The live task that has the key; 0 if none has. */
extern int64 key_holder(const Queue *queue, text *key);

/* The task has ended: its key stays taken for the queue's keep_key. */
extern void key_let_go(const Queue *queue, const Row *task);

/* ---- submit.c --------------------------------------------------------------- */

/* Where the arguments stand that the submitting functions share; -1: it has none such. */
typedef struct SubmitArguments
{
	int key;
	int priority;
	int run_at;
	int delay;
	int start_within;
	int timeout;
	int retry;
	int max_attempts;
	int kind;
	int on_duplicate;
} SubmitArguments;

typedef enum OnDuplicate
{
	DUPLICATE_KEEP,
	DUPLICATE_REPLACE,
	DUPLICATE_RAISE
} OnDuplicate;

/* A task to be submitted; its id and key are set when it is placed. */
typedef struct Submission
{
	const Queue *queue;
	OnDuplicate on_duplicate;
	Row task;
} Submission;

/* Reads and judges the shared arguments but the key. */
extern void submission_init(Submission *s, FunctionCallInfo fcinfo, const SubmitArguments *args,
							const Queue *queue);

/* Sets payload or body; TQ006.  isnull: there is none. */
extern void submission_set_content(Submission *s, int column, Datum value, bool isnull,
								   const char *name);

/* Inserts the task, or finds the one that has the key.  Returns its id. */
extern int64 submission_place(Submission *s, text *key);

/* ---- acquire.c -------------------------------------------------------------- */

typedef struct Claim
{
	Row task;
	Row lease;
} Claim;

/*
 * Claims up to max due tasks of the queue for worker (text or NULL) into
 * claims[]; returns how many.  *next_due: when the next one will be due, if that is known.
 */
extern int task_claim(const Queue *queue, int max, int64 lease_us, text *worker,
					  Claim *claims, TimestampTz *next_due);

#define MAX_COUNT_DUE 10000

/* How many tasks of the queue are due, MAX_COUNT_DUE for more; *oldest: since when, DT_NOEND. */
extern int task_count_due(int32 queue_id, TimestampTz now, TimestampTz *oldest);

/* Whether a task of the queue could be claimed now; if not, *next_due as above. */
extern bool task_is_due(const Queue *queue, TimestampTz now, TimestampTz *next_due);

/* The queue that the first argument names; TQ005, and TQ009 where the snapshot is kept. */
extern const Queue *queue_to_acquire(FunctionCallInfo fcinfo);

/* Returns the rows of acquire(); max_tasks, lease_for and worker are arguments n to n + 2. */
extern void acquire_into(FunctionCallInfo fcinfo, const Queue *queue, int n);

/* ---- durability.c ----------------------------------------------------------- */

/* What is written between the two may be lost in a crash: see there. */
extern void durability_begin_weak(void);
extern void durability_end_weak(void);

/* ---- lease.c ---------------------------------------------------------------- */

#define EXECUTOR_WORKER "executor" /* name of the executor's leases */

/*
 * Takes the lease away from whoever holds it: deletes it if it is still there
 * with that token.  ROW_GONE: it was lost.  ROW_BUSY, only when not waiting:
 * somebody has it in hand.
 */
extern RowResult lease_take(int64 id, int64 token, Row *lease, bool wait);

/*
 * lease_take() without waiting, for who has sent the task: the executor, or one
 * who may work on its queue; TQ007 for others.
 */
extern RowResult lease_take_sent(int64 id, int64 token, Row *lease);

/* The same for a client that must have the privilege to work on the queue; false: it was lost. */
extern bool lease_take_own(int64 id, int64 token, Row *lease);

/* The same with a table that is open, for many looks. */
extern bool lease_take_own_in(HotRelation *leases, int64 id, int64 token, Row *lease);

/* What a heartbeat extends it by that says nothing else. */
extern int64 lease_length_us(const Row *lease);

/*
 * Extends a lease to so long from now, 0: its own length.  Results as of
 * lease_take(); *lease is the row as it is then.
 */
extern RowResult lease_extend(int64 id, int64 token, int64 extend_us, Row *lease, bool wait);
extern bool lease_extend_own(int64 id, int64 token, int64 extend_us, Row *lease);

/*
 * Ends the attempt of a lease, without waiting: who has the row at this moment
 * is about to extend or end it.  False: it is not the row that was read.
 */
extern bool lease_lose(const Row *lease);

/* ---- expiry.c ----------------------------------------------------------------- */

/* Shared memory; called by taskq.c. */
extern Size expiry_shared_size(void);
extern void expiry_init_shared(void *memory, bool found);

/* This transaction gives a lease until then, or ends one that ran until then. */
extern void expiry_note(const Row *lease, bool gone);

/* Leases may have come that nobody has told of. */
extern void expiry_unknown(void);

/*
 * How many tasks of the queue are running, those that this transaction has claimed included;
 * exactly: each is looked for in its table, which costs as much as there are.
 */
extern int expiry_count_running(int32 queue_id, bool exactly);

/* The database is gone. */
extern void expiry_forget(Oid database);

/* ---- finish.c: every way in which an attempt or a task ends ----------------- */

/* An HTTP answer as it is stored.  Datums; NULL pointers for what is missing. */
typedef struct Answer
{
	bool present;
	int32 status;
	Datum headers; /* jsonb, or 0 */
	Datum body;    /* bytea, or 0 */
	bool truncated;
	Interval *elapsed;
	Datum times; /* jsonb, or 0: of its phases */
} Answer;

/* Why an attempt failed. */
typedef struct Failure
{
	const char *class; /* NULL: reported by a worker */
	text *error;       /* or NULL */
	Datum detail;      /* jsonb, or 0 */
	bool permanent;
	int64 retry_in_us;    /* -1: by policy */
	const Answer *answer; /* or NULL */
} Failure;

typedef enum TaskState
{
	STATE_PENDING,
	STATE_RUNNING,
	STATE_FINISHED,
	STATE_DEAD,
	STATE_CANCELLED,
	STATE_EXPIRED
} TaskState;

/* The enum's value as SQL knows it. */
extern Datum state_datum(TaskState state);

/* The task row that belongs to a lease that we have just deleted. */
extern void task_of(int64 id, Row *task);

/* The leases have been taken by the caller; results: jsonb, 0 where there is none. */
extern void tasks_finish(const Row *leases, const Datum *results, int count);

/* All three: the lease has been taken by the caller. */
extern void task_finish(const Row *lease, Datum result, bool noresult, const Answer *answer);
extern TaskState task_fail(const Row *lease, const Failure *failure);
extern void task_release(const Row *lease, int64 delay_us);

/*
 * Takes a client's own lease and finishes the task; false: the lease was lost.
 * Where the queue's durable_finish is off, the commit need not be durable.
 */
extern bool task_finish_own(int64 id, int64 token, Datum result, bool noresult);

/* It was to start before now, and has not. */
extern bool task_start_expired(const Row *task, TimestampTz now);

/* What such a task is told to have died of. */
extern text *task_expired_error(void);

/* The lease was lost: uses up the attempt. */
extern TaskState task_lost(const Row *lease);

/* ---- endpoint.c: when an endpoint may be sent to ------------------------------- */

/* Shared memory; called by taskq.c. */
extern Size endpoint_shared_size(void);
extern void endpoint_init_shared(void *memory, bool found);

/*
 * How many of up to max tasks of a push queue may be claimed now; of any queue that is no
 * endpoint all may.  How many were claimed in the end, and which was the first, is told after.
 */
extern int endpoint_allow(const Queue *queue, int max, TimestampTz now);
extern void endpoint_claimed(const Queue *queue, int allowed, int count, int64 first);

/* A task was given back without having been sent. */
extern void endpoint_released(const Queue *queue, int64 task);

/*
 * When a task of the queue that is due may be claimed: now, later, or DT_NOEND; *limited: when
 * one that is under way has ended.
 */
extern TimestampTz endpoint_opens(const Queue *queue, TimestampTz now, bool *limited);

/*
 * What became of a request: its class, status (0: none) and Retry-After (-1: none); gone: the
 * endpoint itself is no more.
 */
extern void endpoint_note(const Queue *queue, int64 task, const char *class, int status,
						  int64 retry_after_us, bool gone);

/* ---- signature.c: Standard Webhooks -------------------------------------------- */

/* The signature of a message, palloc'd, as it stands in the header. */
extern char *signature_make(const bytea *secret, const char *id, int64 unix_time,
							const bytea *body);

/* ---- submit_http.c ------------------------------------------------------------- */

/*
 * How many of an object of headers have that name, in any case; of the last one that is a
 * string *value, unless it is NULL, becomes the value, palloc'd.
 */
extern int headers_find(const Jsonb *headers, const char *name, char **value);

/* ---- stats.c ------------------------------------------------------------------ */

#define NENDED (STATE_EXPIRED - STATE_FINISHED + 1) /* states in which a task has ended */

/* Shared memory; called by taskq.c. */
extern Size stats_shared_size(void);
extern void stats_init_shared(void *memory, bool found);

/* Tasks that this transaction has made pending or, negative, that are so no more. */
extern void stats_pending(int32 queue_id, int change);

/* A task that this transaction has ended. */
extern void stats_ended(int32 queue_id, TaskState state);

/* Rows came or went that nobody has told of. */
extern void stats_count_anew(void);

/* ---- history.c ---------------------------------------------------------------- */

/* How a task ended. */
typedef struct Ending
{
	TaskState state;
	Datum result;         /* jsonb, or 0 */
	text *error;          /* or NULL */
	const Answer *answer; /* of the last exchange, or NULL */
} Ending;

/*
 * Moves the task into history: its task row goes, what is kept is written.
 * lease is the one it last had, whose row the caller has deleted; NULL if it was
 * pending, and the task row has been deleted by the caller.
 */
extern void task_end(const Row *task, const Row *lease, const Ending *ending);

/*
 * The same for many: tasks is open, and rows of history are gathered, to be written together
 * with the last of them by history_end_batch().
 */
typedef struct HistoryBatch HistoryBatch;
extern HistoryBatch *history_begin_batch(HotRelation *tasks);
extern void task_end_in(HistoryBatch *batch, const Row *task, const Row *lease,
						const Ending *ending);
extern void history_end_batch(HistoryBatch *batch);

#endif
