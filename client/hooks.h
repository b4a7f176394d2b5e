/*
 * hooks.h
 *		SQL functions that a worker calls before and after each task: --before and --after.
 *
 * A function before gets the task as jsonb and returns a boolean: false means that the task counts
 * as done and is not run.  A function after gets the task and its outcome, both as jsonb.  Those
 * before are called in their order and end at the first that returns false, those after in
 * reverse order.
 */
#ifndef CLIENT_HOOKS_H
#define CLIENT_HOOKS_H

#include <stdbool.h>

#define TQ_HOOKS_MAX 16 /* of each kind */

typedef struct tq_hooks
{
	const char *before[TQ_HOOKS_MAX];
	const char *after[TQ_HOOKS_MAX];
	int nbefore;
	int nafter;
} tq_hooks;

/*
 * Adds SCHEMA.FUNCTION; there is no search path, because a session of a worker has none.  The name
 * must outlive the hooks.  Returns what is wrong with it, NULL: nothing.
 */
extern const char *tq_hooks_add(tq_hooks *hooks, bool before, const char *function);

/*
 * "select ..." with the task as $1: true, false, or NULL if a function returned NULL.  NULL: out
 * of memory.  The caller's to free, as that of the next one.
 */
extern char *tq_hooks_before_sql(const tq_hooks *hooks);

/* An array of booleans: the calls of the functions after, with these two expressions each. */
extern char *tq_hooks_after_sql(const tq_hooks *hooks, const char *task, const char *outcome);

#endif
