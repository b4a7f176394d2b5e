/*
 * accepted.c
 *		Tasks whose receivers report the outcome themselves: accept_202 of create_queue().
 *
 * Such a receiver may be faster than its own answer: when the answer comes, the lease is gone, and
 * with it the knowledge of the queue.  But the answer still tells whether the endpoint is well.  So
 * a session remembers the queues of the tasks that it has claimed last.  This is a hint: if a task
 * is forgotten, its answer counts as one that came too late.
 */
#include "postgres.h"

#include "push/accepted.h"
#include "tables/rows.h"

#define NREMEMBERED 1024

static struct
{
	int64 id;
	int32 queue_id;
} remembered[NREMEMBERED];

void
accepted_remember(const Queue *queue, const Claim *claims, int count)
{
	if (!queue->accept_202)
		return;
	for (int i = 0; i < count; i++)
	{
		int64 id = ROW_INT64(&claims[i].task, TASK_ID);

		remembered[(uint64) id % NREMEMBERED].id = id;
		remembered[(uint64) id % NREMEMBERED].queue_id = queue->id;
	}
}

const Queue *
accepted_queue(int64 id)
{
	int place = (uint64) id % NREMEMBERED;

	return id != 0 && remembered[place].id == id ? queue_by_id(remembered[place].queue_id) : NULL;
}
