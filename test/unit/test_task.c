/*
 * test_task.c
 *		A claimed task, ready to be sent.
 */
#include <stdlib.h>

#include "core/task.h"
#include "unit.h"

static void
headers_are(const char *lines, int n, const char *first, const char *last)
{
	tq_task *task = calloc(1, sizeof(*task));

	if (task == NULL || !tq_task_set_headers(task, lines))
		exit(1);
	is_int(task->nheaders, n, "%d headers", n);
	if (n > 0)
	{
		is_str(task->headers[0], first, "the first");
		is_str(task->headers[n - 1], last, "the last");
	}
	tq_task_free(task);
}

static void
test_headers(void)
{
	headers_are("", 0, NULL, NULL);
	headers_are("A: b", 1, "A: b", "A: b");
	headers_are("A: b\nC: d\nE:", 3, "A: b", "E:");
	headers_are("A: b\n", 1, "A: b", "A: b");
	headers_are("A: b\n\nC: d", 3, "A: b", "C: d");
}

static void
test_free(void)
{
	tq_task_free(NULL);
	tq_task_free(calloc(1, sizeof(tq_task)));
	ok(true, "what is incomplete can be freed");
}

int
main(void)
{
	test_headers();
	test_free();
	return done();
}
