/*
 * call_segment.c
 *		Shared memory between the executor and a process that makes calls.
 *
 * It is dynamic, because without preload there is no other.  The executor makes it before it
 * registers the process, which gets the handle.  A queue in it takes what functions tell while they
 * run, their progress and values, to the executor.
 */
#include "postgres.h"

#include "storage/proc.h"

#include "base/compat.h"
#include "base/database.h"
#include "process/call_segment.h"

/* Before the content of a message. */
typedef struct MessageHead
{
	int64 id;
	int64 token;
	int32 kind;
	int32 n; /* with it the content is aligned */
} MessageHead;

static Size
head_size(void)
{
	return MAXALIGN(sizeof(CallSegment));
}

static shm_mq *
queue_of(dsm_segment *segment)
{
	return (shm_mq *) ((char *) dsm_segment_address(segment) + head_size());
}

CallSegment *
call_segment_of(dsm_segment *segment)
{
	return dsm_segment_address(segment);
}

dsm_segment *
call_segment_create(void)
{
	dsm_segment *segment = dsm_create(head_size() + CALL_QUEUE_SIZE, 0);
	CallSegment *s = call_segment_of(segment);

	memset(s, 0, sizeof(*s));
	pg_atomic_init_u32(&s->executor, compat_my_procno());
	pg_atomic_init_u32(&s->caller, TASKQ_NO_PROC);
	pg_atomic_init_u32(&s->state, CALL_HANDED);
	pg_atomic_init_u32(&s->stop, STOP_NOT);
	pg_atomic_init_u32(&s->told, 0);
	pg_atomic_init_u64(&s->settled, 0);
	pg_atomic_init_u32(&s->refused, 0);
	shm_mq_set_receiver(shm_mq_create(queue_of(segment), CALL_QUEUE_SIZE), MyProc);
	dsm_pin_mapping(segment);
	return segment;
}

dsm_segment *
call_segment_attach(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);

	if (segment == NULL)
		return NULL;
	dsm_pin_mapping(segment);
	shm_mq_set_sender(queue_of(segment), MyProc);
	pg_atomic_write_u32(&call_segment_of(segment)->caller, compat_my_procno());
	return segment;
}

shm_mq_handle *
call_queue_attach(dsm_segment *segment)
{
	return shm_mq_attach(queue_of(segment), segment, NULL);
}

uint64
call_message_size(const Jsonb *content)
{
	return sizeof(MessageHead) + VARSIZE(content);
}

shm_mq_result
call_message_send(shm_mq_handle *queue, const CallMessage *message)
{
	MessageHead head = {
		.id = message->id,
		.token = message->token,
		.kind = message->kind,
		.n = message->n,
	};
	shm_mq_iovec parts[2];

	parts[0].data = (const char *) &head;
	parts[0].len = sizeof(head);
	parts[1].data = (const char *) message->content;
	parts[1].len = VARSIZE(message->content);
	return shm_mq_sendv(queue, parts, lengthof(parts), true, true);
}

bool
call_message_receive(shm_mq_handle *queue, CallMessage *message)
{
	MessageHead head;
	Size size;
	void *data;

	if (shm_mq_receive(queue, &size, &data, true) != SHM_MQ_SUCCESS || size <= sizeof(head))
		return false;
	memcpy(&head, data, sizeof(head));
	message->id = head.id;
	message->token = head.token;
	message->kind = head.kind;
	message->n = head.n;
	message->content = palloc_extended(size - sizeof(head), MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
	if (message->content != NULL)
		memcpy(message->content, (char *) data + sizeof(head), size - sizeof(head));
	return true;
}
