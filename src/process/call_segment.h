/*
 * call_segment.h
 *		Shared memory between the executor and a process that makes calls.
 */
#ifndef TASKQ_CALL_SEGMENT_H
#define TASKQ_CALL_SEGMENT_H

#include "port/atomics.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"
#include "utils/jsonb.h"

#include "life/current_call.h"

#define CALL_QUEUE_SIZE 65536 /* of messages */

/* Who may change it, and to what. */
typedef enum CallState
{
	CALL_HANDED,  /* the process: to CALL_RUNNING */
	CALL_RUNNING, /* the process: to CALL_WAITING */
	CALL_WAITING, /* for a call.  The executor: to CALL_HANDED.  Each of them: to CALL_CLOSED */
	CALL_CLOSED   /* the process ends */
} CallState;

/* Why the executor stops a call. */
typedef enum CallStop
{
	STOP_NOT,
	STOP_GIVEN_UP, /* it was cancelled, or its lease is lost */
	STOP_TIMEOUT,
	STOP_SHUTDOWN
} CallStop;

typedef struct CallSegment
{
	pg_atomic_uint32 executor; /* number of its process, for process_wake() */
	pg_atomic_uint32 caller;   /* the same, TASKQ_NO_PROC until it is there */
	pg_atomic_uint32 state;    /* CallState */
	pg_atomic_uint32 stop;     /* CallStop, of the call that runs */
	pg_atomic_uint32 told;     /* counts each message twice: odd while one is being sent */

	/* Of the values of the call, which the process sends; the executor writes both. */
	pg_atomic_uint64 settled; /* sizes of those that are written, or never will be */
	pg_atomic_uint32 refused; /* 1: some could not be written */

	/* The call.  The executor writes it before it is handed over. */
	int64 id;
	int64 token;
	int64 timeout_ms; /* 0: none */

	/* The process writes it before the state becomes CALL_RUNNING. */
	int64 began_at; /* on the monotonic clock */
} CallSegment;

/* What a function that is called tells. */
typedef struct CallMessage
{
	int64 id;
	int64 token;
	int32 kind; /* CallMessageKind */
	int32 n;    /* of a value; otherwise 0 */
	Jsonb *content;
} CallMessage;

/* What a value counts in "settled". */
extern uint64 call_message_size(const Jsonb *content);

/*
 * Makes a segment that lasts until it is detached or the process ends; raises errors.  The executor
 * receives the messages.
 */
extern dsm_segment *call_segment_create(void);

/* For the process that was started with its handle; NULL: it is gone.  It sends the messages. */
extern dsm_segment *call_segment_attach(dsm_handle handle);

extern CallSegment *call_segment_of(dsm_segment *segment);

/* Both ends of the queue of messages; the result is palloc'd. */
extern shm_mq_handle *call_queue_attach(dsm_segment *segment);

/*
 * Sends a message.  SHM_MQ_WOULD_BLOCK: the queue is full, and may have a part of it, so this must
 * be called again with the same message.  SHM_MQ_DETACHED: the executor has gone.
 */
extern shm_mq_result call_message_send(shm_mq_handle *queue, const CallMessage *message);

/*
 * Receives a message, palloc'd; its content is NULL if there is no memory for it.  False: there is
 * none, or the process has gone.
 */
extern bool call_message_receive(shm_mq_handle *queue, CallMessage *message);

#endif
