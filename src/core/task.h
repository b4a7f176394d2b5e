/*
 * task.h
 *		A claimed task, ready to be sent.
 */
#ifndef TQ_TASK_H
#define TQ_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* malloc'd with all its parts, as one piece, by a store, which hands it over with the claim. */
typedef struct tq_task
{
	int64_t id;
	int64_t token;
	int64_t lease_ms; /* length of the lease, from the moment of the claim */
	int64_t timeout_ms;
	char *method;
	char *url;
	char **headers; /* nheaders "Name: value" lines, complete: what is always added is in them */
	int nheaders;
	char *body; /* NULL: none */
	size_t body_len;
} tq_task;

typedef struct tq_bytes
{
	const char *data; /* need not end with NUL; NULL: there are none */
	size_t len;
} tq_bytes;

/*
 * Makes a task with copies of these; the caller sets the numbers.  method: none is POST.  lines:
 * those of the head, separated by LF.  NULL: out of memory.
 */
extern tq_task *tq_task_new(tq_bytes method, tq_bytes url, tq_bytes lines, tq_bytes body);

/* t may be NULL. */
extern void tq_task_free(tq_task *t);

#endif
