/*
 * task.h
 *		A claimed task, ready to be sent.
 */
#ifndef TQ_TASK_H
#define TQ_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* malloc'd with all its parts by a store, which hands it over with the claim. */
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

/*
 * Sets the headers of a task that has none, from lines separated by LF.  False: out of memory;
 * the task can be freed as it is.
 */
extern bool tq_task_set_headers(tq_task *task, const char *lines);

/* t may be NULL, or have any of its parts missing. */
extern void tq_task_free(tq_task *t);

#endif
