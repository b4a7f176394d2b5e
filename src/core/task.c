/*
 * task.c
 *		A claimed task, ready to be sent.
 */
#include <stdlib.h>
#include <string.h>

#include "core/task.h"

/* Copies the bytes to *at, with a NUL, and moves it behind them. */
static char *
put_bytes(char **at, tq_bytes bytes)
{
	char *copy = *at;

	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	copy[bytes.len] = '\0';
	*at += bytes.len + 1;
	return copy;
}

static int
count_lines(tq_bytes lines)
{
	int n = lines.len > 0;
	size_t i;

	for (i = 0; i + 1 < lines.len; i++)
		n += lines.data[i] == '\n';
	return n;
}

/* Makes each line a text of its own. */
static void
split_lines(tq_task *t, char *lines)
{
	int i;

	for (i = 0; i < t->nheaders; i++)
	{
		t->headers[i] = lines;
		lines += strcspn(lines, "\n");
		*lines++ = '\0';
	}
}

tq_task *
tq_task_new(tq_bytes method, tq_bytes url, tq_bytes lines, tq_bytes body)
{
	static const tq_bytes post = {"POST", 4};
	int nheaders = count_lines(lines);
	size_t pointers = sizeof(char *) * nheaders;
	tq_task *t;
	char *at;

	if (method.data == NULL)
		method = post;
	t = malloc(sizeof(*t) + pointers + method.len + url.len + lines.len + body.len + 4);
	if (t == NULL)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->headers = (char **) (t + 1);
	t->nheaders = nheaders;
	at = (char *) (t + 1) + pointers;
	t->method = put_bytes(&at, method);
	t->url = put_bytes(&at, url);
	split_lines(t, put_bytes(&at, lines));
	if (body.data != NULL)
	{
		t->body = put_bytes(&at, body);
		t->body_len = body.len;
	}
	return t;
}

void
tq_task_free(tq_task *t)
{
	free(t);
}
