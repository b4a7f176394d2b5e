/*
 * attempts.c
 *		The tasks that the delivery loop holds, and their results.
 */
#include <stdlib.h>
#include <string.h>

#include "core/attempts.h"

static size_t
bytes_of(const tq_task *task)
{
	size_t bytes = strlen(task->url) + task->body_len;
	int i;

	for (i = 0; i < task->nheaders; i++)
		bytes += strlen(task->headers[i]);
	return bytes;
}

tq_attempt *
tq_attempts_add(tq_attempts *as, tq_task *task, int64_t now_ms)
{
	tq_attempt *a = calloc(1, sizeof(*a));

	if (a == NULL)
	{
		tq_task_free(task);
		return NULL;
	}
	a->task = task;
	a->bytes = bytes_of(task);
	a->claimed_at_ms = a->lease_from_ms = now_ms;
	a->prev = as->last;
	if (as->last != NULL)
		as->last->next = a;
	else
		as->first = a;
	as->last = a;
	as->n++;
	as->bytes += a->bytes;
	return a;
}

void
tq_attempts_free(tq_attempts *as, tq_attempt *a)
{
	if (a->prev != NULL)
		a->prev->next = a->next;
	else
		as->first = a->next;
	if (a->next != NULL)
		a->next->prev = a->prev;
	else
		as->last = a->prev;
	as->n--;
	as->bytes -= a->bytes;
	tq_response_free(a->result.response);
	tq_task_free(a->task);
	free(a);
}

void
tq_attempts_append_result(tq_attempts *as, tq_attempt *a)
{
	if (as->first_result == NULL)
		as->first_result = a;
	else
		as->last_result->next_result = a;
	as->last_result = a;
	a->next_result = NULL;
	as->nresults++;
}

void
tq_attempts_settle(tq_attempts *as, const tq_result *results, int n)
{
	tq_attempt *a = as->first_result;
	tq_attempt *next;
	int i;

	if (n == 0)
		return;
	as->first_result = as->last_result = NULL;
	as->nresults = 0;
	for (i = 0; i < n; i++, a = next)
	{
		next = a->next_result;
		if (results[i].busy)
			tq_attempts_append_result(as, a);
		else
			tq_attempts_free(as, a);
	}
	as->nbusy = as->nresults;
	for (; a != NULL; a = next)
	{
		next = a->next_result;
		tq_attempts_append_result(as, a);
	}
}

void
tq_attempts_free_all(tq_attempts *as)
{
	as->first_result = as->last_result = NULL;
	as->nresults = as->nbusy = 0;
	while (as->first != NULL)
		tq_attempts_free(as, as->first);
}
