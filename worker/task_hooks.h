/*
 * task_hooks.h
 *		The functions of --before and --after around the requests of a worker.
 *
 * They are called on the worker's connection: those before after the claim, those after in the
 * transaction that reports the result.
 */
#ifndef TASK_HOOKS_H
#define TASK_HOOKS_H

#include "client/connection.h"
#include "client/hooks.h"
#include "core/store.h"

typedef struct task_hooks task_hooks;

/* NULL: out of memory. */
extern task_hooks *task_hooks_new(const tq_hooks *hooks, void (*log)(const char *line));

#define TASK_HOOKS_STATEMENTS 4

/* Adds what the connection has to prepare for them; returns the number. */
extern int task_hooks_statements(const task_hooks *h, tq_statement *statements);

/*
 * Calls the functions before for a task that was just claimed.  False: it is not to be sent; it
 * was ended, or is left to its lease.
 */
extern bool task_hooks_admit(task_hooks *h, tq_connection *c, const tq_task *task);

/* Whether there are functions after. */
extern bool task_hooks_after(const task_hooks *h);

/* The task as the functions after get it; NULL: they are not called for it. */
extern const char *task_hooks_object(const task_hooks *h, int64_t id);

/* The outcome of a result likewise; the caller's to free. */
extern char *task_hooks_outcome(const tq_result *result);

/* The statement that reports and calls them; its arguments are those of a report and these two. */
extern const char task_hooks_report[];

/* The task is reported or given back. */
extern void task_hooks_forget(task_hooks *h, int64_t id);

/* h may be NULL. */
extern void task_hooks_free(task_hooks *h);

#endif
