/*
 * queue.h
 *		The session's copies of queues.
 */
#ifndef TASKQ_QUEUE_H
#define TASKQ_QUEUE_H

#include "utils/jsonb.h"

#include "core/style.h"
#include "tables/flow_limit.h"

/* The privileges that grant_queue() grants; as bits, they can be combined to "one of these". */
#define PRIVILEGE_SUBMIT  1
#define PRIVILEGE_WORK    2
#define PRIVILEGE_VIEW    4
#define PRIVILEGE_CONTROL 8
#define PRIVILEGE_ANY     15
#define NPRIVILEGES       4

typedef struct Queue
{
	char name[NAMEDATALEN]; /* hash key */
	int32 id;
	uint64 as_of;       /* private to queue.c: the change after which it was read */
	bool exists;        /* false: there is no queue of that name; ignore the other fields */
	bool push;          /* mode */
	bool topic;         /* mode: it has subscribers instead of tasks */
	bool call;          /* mode: its tasks are calls of functions */
	char *url;          /* push: the destination of payloads; NULL: none */
	char *retry;        /* policy */
	int32 max_attempts; /* of that policy */
	bool age_limited;   /* that policy has a max_age */
	int64 lease_us;
	int64 keep_finished_us;
	int64 keep_dead_us;
	int64 keep_key_us;
	bool durable_finish;
	bool external; /* a push queue whose tasks are sent by other programs */
	tq_style header_style;
	bool accept_202; /* a receiver that answers 202 reports the outcome itself */
	bool paused;
	bool keep_payload; /* the history keeps the content of finished tasks */
	bool keep_origin;  /* tasks keep who submitted them */
	Jsonb *on_finish;  /* follow-ups of its tasks, or NULL */
	Jsonb *on_dead;
	uint32 events;         /* kinds of events that its tasks have */
	bool ordered;          /* the tasks of a group run one at a time, in order */
	bool has_limits;       /* the queue or one of its groups has */
	FlowLimit limit;       /* of the queue itself */
	FlowLimit group_limit; /* of each group that has none of its own */

	/* Of an endpoint; all zero for another queue. */
	bool endpoint;
	bool secretive;       /* it has headers or a secret, to be read from their table */
	bool secrets_missing; /* headers or secret are missing: nothing may be sent */
	int64 timeout_us;     /* 0: taskq.http_timeout */

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

/* Raises that TQ001; also for a queue on which the caller has no privilege. */
extern void queue_refuse_unknown(const char *name);

/* How an error names the mode of the queue. */
extern const char *queue_mode_name(const Queue *queue);

/* TQ005 for a topic. */
extern void queue_refuse_topic(const Queue *queue);

/* Why no payload can be submitted to the queue, palloc'd; NULL: one can. */
extern const char *queue_payload_fault(const Queue *queue);

/* As queue_by_name(); NULL if there is none. */
extern const Queue *queue_find(text *name);
extern const Queue *queue_by_id(int32 id);

/* As queue_find(), for a name from a table: remembers also that there is no such queue. */
extern const Queue *queue_of_row(text *name);

/*
 * The URL to which a task of a push queue is sent.  base: the queue's; own: the task's, which is a
 * path if the queue is an endpoint.  Each may be NULL; the result may be one of them.
 */
extern const char *queue_request_url(const Queue *queue, const char *base, const char *own);

/* Ids of the push queues whose tasks are sent by other programs, or by the executor; palloc'd. */
extern int32 *queue_push_ids(bool external, int *count);

/* Ids of the call queues; palloc'd. */
extern int32 *queue_call_ids(int *count);

/*
 * Begins a call by a client: raises 25006 like require_writable(), and takes a lock so that no
 * queue is dropped until the transaction ends.  Must be called before any row is locked:
 * src/README.md has the order of locks.
 */
extern void client_call(const char *function);

/* Begins a call by the executor: the same, but its lock blocks only DROP EXTENSION. */
extern void executor_call(const char *function);

/* Differs if the extension was dropped and created again; valid once a queue was looked up. */
extern Oid queue_generation(void);

/* The number of changes of queues, policies and arming of which the session was told. */
extern uint64 queue_changes(void);

#endif
