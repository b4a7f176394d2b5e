/*
 * queue.h
 *		Queues as the session knows them.
 */
#ifndef TASKQ_QUEUE_H
#define TASKQ_QUEUE_H

#include "utils/timestamp.h"

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
	uint64 as_of;       /* private to queue.c: the change after which it was read */
	bool exists;        /* false: there is no queue of that name, all else is meaningless */
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

/* The same; NULL when there is none. */
extern const Queue *queue_find(text *name);
extern const Queue *queue_by_id(int32 id);

/* As queue_find(), for a name that stands in a table: that there is no such queue is remembered. */
extern const Queue *queue_of_row(text *name);

/* Ids of the push queues whose tasks are sent by other programs, or by the executor; palloc'd. */
extern int32 *queue_push_ids(bool external, int *count);

/*
 * Begins a call by a client: 25006 as require_writable(); from here on no queue is
 * dropped until the transaction ends.  To be called before any row is locked:
 * src/README.md has the order of locks.
 */
extern void client_call(const char *function);

/* Begins a call by the executor: the same, but it is in the way of DROP EXTENSION alone. */
extern void executor_call(const char *function);

/* A number that stands for the extension as it is; valid once a queue was looked for. */
extern Oid queue_generation(void);

/* Counts the changes of queues, policies and arming that the session has heard of. */
extern uint64 queue_changes(void);

#endif
