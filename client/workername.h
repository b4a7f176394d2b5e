/*
 * workername.h
 *		What a worker is called in taskq.workers.
 */
#ifndef CLIENT_WORKERNAME_H
#define CLIENT_WORKERNAME_H

#include <stdbool.h>

/* Whether the text can be the name of a worker. */
extern bool tq_workername_valid(const char *name);

/* Host and process, as far as they are known; valid as long as the program runs. */
extern const char *tq_workername_default(void);

#endif
