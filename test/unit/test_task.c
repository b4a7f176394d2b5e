/*
 * test_task.c
 *		A claimed task, ready to be sent.
 */
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "unit.h"

static void
headers_are(const char *lines, int n, const char *first, const char *last)
{
	tq_bytes none = {NULL, 0};
	tq_task *task = tq_task_new(none, (tq_bytes){"u", 1}, (tq_bytes){lines, strlen(lines)}, none);

	if (task == NULL)
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
test_parts(void)
{
	tq_task *task = tq_task_new((tq_bytes){"PUTS", 3}, (tq_bytes){"http://a/b", 9},
								(tq_bytes){"A: b", 4}, (tq_bytes){"x\0yz", 3});
	tq_task *bare = tq_task_new((tq_bytes){NULL, 0}, (tq_bytes){"", 0}, (tq_bytes){"", 0},
								(tq_bytes){NULL, 0});
	tq_task *empty = tq_task_new((tq_bytes){NULL, 0}, (tq_bytes){"", 0}, (tq_bytes){"", 0},
								 (tq_bytes){"", 0});

	if (task == NULL || bare == NULL || empty == NULL)
		exit(1);
	is_str(task->method, "PUT", "method, which ends where it was said");
	is_str(task->url, "http://a/", "url, likewise");
	ok(task->body_len == 3 && memcmp(task->body, "x\0y", 4) == 0, "body, of any bytes");
	is_str(bare->method, "POST", "the method that tasks have");
	ok(bare->body == NULL && bare->nheaders == 0, "no body");
	ok(empty->body != NULL && empty->body_len == 0, "an empty body is one");
	tq_task_free(task);
	tq_task_free(bare);
	tq_task_free(empty);
	tq_task_free(NULL);
}

int
main(void)
{
	test_headers();
	test_parts();
	return done();
}
