/*
 * publish.c
 *		publish(), and templates for a topic: a task for each queue that is subscribed.
 *
 * A topic is a queue without tasks.  What is published becomes tasks in the same transaction, so
 * nothing is stored for the topic, and a subscriber has all that a queue has: workers or a url,
 * privileges, a retry policy.  The privilege submit on the topic is enough, because the role that
 * subscribed a queue controls both.
 *
 * The queues are taken in the order of their ids, so that two sessions that publish with the same
 * key do not wait for each other in a circle.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/arg.h"
#include "base/errors.h"
#include "life/kept.h"
#include "life/publish.h"
#include "life/submit.h"
#include "tables/grant.h"
#include "tables/subscribers.h"

enum Argument
{
	ARG_TOPIC,
	ARG_PAYLOAD,
	ARG_KIND,
	ARG_KEY,
	ARG_PRIORITY,
	ARG_DELAY,
	ARG_GROUP_KEY,
	ARG_TRACE,
	NARGS
};

/* What is published. */
typedef struct Message
{
	const Queue *topic;
	Datum payload;   /* 0: none */
	text *kind;      /* or NULL */
	text *key;       /* or NULL */
	text *group_key; /* or NULL */
	text *trace;     /* or NULL */
	int16 priority;
	TimestampTz run_at;
} Message;

/* ---- arguments ------------------------------------------------------------------------ */

static const char *
topic_fault(const Queue *queue)
{
	return queue->topic ? NULL : psprintf("queue \"%s\" is not a topic", queue->name);
}

static const Queue *
arg_topic(FunctionCallInfo fcinfo)
{
	const Queue *topic;

	require_argument(fcinfo, ARG_TOPIC, "topic");
	topic = queue_by_name(arg_name(fcinfo, ARG_TOPIC, "topic"));
	queue_require(topic, PRIVILEGE_SUBMIT);
	if (topic_fault(topic) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("%s", topic_fault(topic)),
				 errdetail("It has tasks instead of subscribers."),
				 errhint("Call taskq.submit(), or create a topic with "
						 "taskq.create_queue(..., mode => 'topic').")));
	return topic;
}

/* Judges the arguments of publish(). */
static void
read_message(Message *m, FunctionCallInfo fcinfo)
{
	m->topic = arg_topic(fcinfo);
	m->payload = PG_ARGISNULL(ARG_PAYLOAD) ? (Datum) 0 : PG_GETARG_DATUM(ARG_PAYLOAD);
	if (m->payload != 0)
		check_json(m->payload, "payload");
	m->kind = arg_name(fcinfo, ARG_KIND, "kind");
	m->key = arg_key(fcinfo, ARG_KEY);
	m->group_key = arg_group_key(fcinfo, ARG_GROUP_KEY);
	m->trace = arg_trace(fcinfo, ARG_TRACE);
	m->priority =
		arg_int32(fcinfo, ARG_PRIORITY, "priority", 0, MIN_PRIORITY, MAX_PRIORITY);
	m->run_at = GetCurrentTransactionStartTimestamp() +
				arg_interval_us(fcinfo, ARG_DELAY, "delay", 0, RANGE_DELAY);
}

/* ---- subscribers ---------------------------------------------------------------------- */

static void
refuse_subscriber(const Queue *topic, const Queue *queue)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_WRONG_MODE),
			 errmsg("%s", queue_payload_fault(queue)),
			 errdetail("It is subscribed to topic \"%s\".", topic->name),
			 errhint("Give it a url with taskq.alter_queue(), or call taskq.unsubscribe().")));
}

/* The task of one subscriber.  Tasks of an ordered queue have no priority. */
static int64
submit_to(const Queue *queue, const Message *m, Datum origin)
{
	Submission s = {
		.queue = queue,
		.on_duplicate = DUPLICATE_KEEP,
		.key = m->key,
		.group_key = m->group_key,
		.unique_us = -1,
		.max_wait_us = -1,
	};

	if (queue_payload_fault(queue) != NULL)
		refuse_subscriber(m->topic, queue);
	row_init(&s.task);
	row_set(&s.task, TASK_SUBMITTED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	row_set(&s.task, TASK_RUN_AT, TimestampTzGetDatum(m->run_at));
	row_set(&s.task, TASK_QUEUE_ID, Int32GetDatum(queue->id));
	row_set(&s.task, TASK_ATTEMPT, Int32GetDatum(0));
	row_set(&s.task, TASK_MAX_ATTEMPTS, Int32GetDatum(queue->max_attempts));
	row_set(&s.task, TASK_PRIORITY, Int16GetDatum(queue->ordered ? 0 : m->priority));
	row_set_text(&s.task, TASK_KIND, m->kind);
	row_set_text(&s.task, TASK_TRACE, m->trace);
	if (queue->keep_origin)
		row_set(&s.task, TASK_ORIGIN, origin != 0 ? origin : kept_origin());
	submission_set_content(&s, TASK_PAYLOAD, m->payload, m->payload == 0, "payload");
	return submission_place(&s);
}

/* Returns the ids of the tasks, palloc'd, and sets their number. */
static int64 *
submit_to_all(const Message *m, Datum origin, int *count)
{
	int nqueues;
	int32 *queues = subscribers_of(m->topic, m->kind, &nqueues);
	int64 *ids = palloc_array(int64, nqueues);

	*count = 0;
	for (int i = 0; i < nqueues; i++)
	{
		const Queue *queue = queue_by_id(queues[i]);

		CHECK_FOR_INTERRUPTS();
		/* NULL: it was dropped at this moment. */
		if (queue != NULL)
			ids[(*count)++] = submit_to(queue, m, origin);
	}
	return ids;
}

/* ---- SQL ------------------------------------------------------------------------------ */

PG_FUNCTION_INFO_V1(taskq_publish);
Datum
taskq_publish(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Message m;
	int64 *ids;
	int count;

	client_call("taskq.publish()");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	read_message(&m, fcinfo);
	ids = submit_to_all(&m, (Datum) 0, &count);
	for (int i = 0; i < count; i++)
	{
		Datum value = Int64GetDatum(ids[i]);
		bool isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

static text *
text_or_null(const Row *row, int column)
{
	return row->nulls[column] ? NULL : DatumGetTextPP(row->values[column]);
}

void
publish_again(const Queue *topic, const Row *task)
{
	Message m = {
		.topic = topic,
		.payload = task->nulls[TASK_PAYLOAD] ? (Datum) 0 : task->values[TASK_PAYLOAD],
		.kind = text_or_null(task, TASK_KIND),
		.key = text_or_null(task, TASK_KEY),
		.group_key = text_or_null(task, TASK_GROUP_KEY),
		.trace = text_or_null(task, TASK_TRACE),
		.priority = DatumGetInt16(task->values[TASK_PRIORITY]),
		.run_at = ROW_TIME(task, TASK_RUN_AT),
	};
	int count;

	(void) submit_to_all(&m, task->nulls[TASK_ORIGIN] ? (Datum) 0 : task->values[TASK_ORIGIN],
						 &count);
}

/* ---- templates ------------------------------------------------------------------------ */

static void
judge_message(FunctionCallInfo fcinfo)
{
	Message m;

	read_message(&m, fcinfo);
}

/* There may be any number of tasks. */
static int64
publish_template(FunctionCallInfo fcinfo, Datum origin)
{
	Message m;
	int count;

	read_message(&m, fcinfo);
	(void) submit_to_all(&m, origin, &count);
	return 0;
}

static text *
topic_name(FunctionCallInfo fcinfo)
{
	return PG_GETARG_TEXT_PP(ARG_TOPIC);
}

static const char *
message_fault(FunctionCallInfo fcinfo)
{
	text *name = PG_GETARG_TEXT_PP(ARG_TOPIC);
	const Queue *topic = queue_of_row(name);

	return topic == NULL ? psprintf("topic \"%s\" does not exist", text_to_cstring(name))
						 : topic_fault(topic);
}

static bool
takes_any_payload(FunctionCallInfo fcinfo)
{
	return true;
}

static int32 *
subscribed_queues(FunctionCallInfo fcinfo, int *count)
{
	const Queue *topic = queue_by_name(topic_name(fcinfo));

	return subscribers_of(topic, arg_name(fcinfo, ARG_KIND, "kind"), count);
}

static void
publish_to(FunctionCallInfo fcinfo, Datum origin, int32 queue_id)
{
	const Queue *queue = queue_by_id(queue_id);
	Message m;

	read_message(&m, fcinfo);
	if (queue != NULL)
		(void) submit_to(queue, &m, origin);
}

static const TemplateKey message_keys[] = {
	{"topic", TEMPLATE_TEXT, ARG_TOPIC, -1, NULL},
	{"payload", TEMPLATE_JSON, ARG_PAYLOAD, TASK_PAYLOAD, NULL},
	{"kind", TEMPLATE_TEXT, ARG_KIND, TASK_KIND, NULL},
	{"key", TEMPLATE_TEXT, ARG_KEY, TASK_KEY, NULL},
	{"group_key", TEMPLATE_TEXT, ARG_GROUP_KEY, TASK_GROUP_KEY, NULL},
	{"trace", TEMPLATE_TEXT, ARG_TRACE, -1, NULL},
};

const TemplateTarget publish_to_topic = {
	.name = "topic",
	.keys = message_keys,
	.nkeys = lengthof(message_keys),
	.nargs = NARGS,
	.judge = judge_message,
	.submit = publish_template,
	.queue = topic_name,
	.queues = subscribed_queues,
	.submit_to = publish_to,
	.fault = message_fault,
	.takes_payload = takes_any_payload,
};
