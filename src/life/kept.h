/*
 * kept.h
 *		What is kept of a task's headers and of its submission, for those who look at it later.
 */
#ifndef TASKQ_KEPT_H
#define TASKQ_KEPT_H

/* Who submits a task now: role, application name, client address and process, as jsonb. */
extern Datum kept_origin(void);

/* A jsonb of headers without those that may be secret; 0 if none is left. */
extern Datum kept_headers(Datum headers);

#endif
