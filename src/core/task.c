/*
 * task.c
 *		A claimed task, ready to be sent.
 */
#include <stdlib.h>
#include <string.h>

#include "core/task.h"

bool
tq_task_set_headers(tq_task *task, const char *lines)
{
	int n = 1;
	const char *p;

	for (p = lines; *p != '\0'; p++)
		n += *p == '\n';
	task->headers = calloc(n, sizeof(char *));
	if (task->headers == NULL)
		return false;
	for (p = lines; *p != '\0';)
	{
		size_t len = strcspn(p, "\n");
		char *line = strndup(p, len);

		if (line == NULL)
			return false;
		task->headers[task->nheaders++] = line;
		p += len + (p[len] == '\n');
	}
	return true;
}

void
tq_task_free(tq_task *t)
{
	int i;

	if (t == NULL)
		return;
	for (i = 0; i < t->nheaders; i++)
		free(t->headers[i]);
	free(t->headers);
	free(t->method);
	free(t->url);
	free(t->body);
	free(t);
}
