/*
 * subscribers.c
 *		The queues that are subscribed to a topic, as the session knows them.
 *
 * A topic may get many messages between two changes of its subscriptions.  So these are read once
 * and remembered until a queue or a subscription changes: queue.c counts both.  Then all of them
 * are forgotten together, which frees the memory of topics that were dropped as well.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "base/sql.h"
#include "tables/subscribers.h"

static Statement select_subscriptions = {
	"select s.queue_id, s.kinds from taskq_private.subscription s where s.topic_id = $1 "
	"order by s.queue_id",
	1,
	{INT4OID},
	NULL,
};

typedef struct Subscriber
{
	int32 queue_id;
	int nkinds; /* -1: all kinds */
	Datum *kinds;
} Subscriber;

typedef struct Topic
{
	int32 id;   /* hash key */
	bool known; /* all of it has been read */
	int count;
	int room;
	Subscriber *subscribers; /* by their ids */
} Topic;

/* All of it is in this context, and right as of this number of changes; 0: there is nothing. */
static MemoryContext context = NULL;
static HTAB *topics = NULL;
static uint64 as_of = 0;

static void
forget_topics(void)
{
	HASHCTL ctl = {.keysize = sizeof(int32), .entrysize = sizeof(Topic)};

	as_of = 0;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "taskq subscribers",
										ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	ctl.hcxt = context;
	topics = hash_create("taskq topics", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* A row of the statement. */
static void
note_row(const Datum *values, const bool *nulls, void *arg)
{
	Topic *topic = arg;
	MemoryContext caller = MemoryContextSwitchTo(context);
	Subscriber *s;

	if (topic->count == topic->room)
	{
		topic->room = Max(2 * topic->room, 8);
		topic->subscribers = topic->count == 0
								 ? palloc_array(Subscriber, topic->room)
								 : repalloc_array(topic->subscribers, Subscriber, topic->room);
	}
	s = &topic->subscribers[topic->count];
	s->queue_id = DatumGetInt32(values[0]);
	s->nkinds = -1;
	if (!nulls[1])
		deconstruct_array(DatumGetArrayTypePCopy(values[1]), TEXTOID, -1, false, TYPALIGN_INT,
						  &s->kinds, NULL, &s->nkinds);
	topic->count++;
	MemoryContextSwitchTo(caller);
}

/* Reads again if something changed meanwhile: the statement may have seen the state before. */
static const Topic *
topic_of(int32 id)
{
	Datum argument = Int32GetDatum(id);
	Topic *topic;
	uint64 before;
	bool found;

	for (;;)
	{
		before = queue_changes();
		if (as_of != before)
			forget_topics();
		topic = hash_search(topics, &id, HASH_ENTER, &found);
		if (found && topic->known)
			return topic;
		topic->known = false;
		topic->count = topic->room = 0;
		sql_each_as_owner(&select_subscriptions, &argument, NULL, note_row, topic);
		as_of = before;
		topic->known = true;
	}
}

static bool
wants(const Subscriber *s, const text *kind)
{
	if (s->nkinds < 0)
		return true;
	for (int i = 0; kind != NULL && i < s->nkinds; i++)
	{
		const text *one = DatumGetTextPP(s->kinds[i]);

		if (VARSIZE_ANY_EXHDR(one) == VARSIZE_ANY_EXHDR(kind) &&
			memcmp(VARDATA_ANY(one), VARDATA_ANY(kind), VARSIZE_ANY_EXHDR(kind)) == 0)
			return true;
	}
	return false;
}

int32 *
subscribers_of(const Queue *queue, const text *kind, int *count)
{
	const Topic *topic;
	int32 *ids;

	/* In a transaction that has published before, no lock that is taken anew does this. */
	AcceptInvalidationMessages();
	topic = topic_of(queue->id);
	ids = palloc_array(int32, topic->count);
	*count = 0;
	for (int i = 0; i < topic->count; i++)
	{
		if (wants(&topic->subscribers[i], kind))
			ids[(*count)++] = topic->subscribers[i].queue_id;
	}
	return ids;
}
