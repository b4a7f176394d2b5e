/*
 * health.h
 *		What concerns the database as a whole and takes milliseconds to find out.
 */
#ifndef TASKQ_HEALTH_H
#define TASKQ_HEALTH_H

#include "base/shmem.h"

#define MAX_CHECKS     24
#define MAX_CHECK_NAME 32

typedef struct HealthCheck
{
	char name[MAX_CHECK_NAME]; /* of status() */
	bool ok;
} HealthCheck;

typedef struct Health
{
	int64 live_bytes;
	int64 history_bytes;
	int64 xmin_age; /* in transactions; 0: no transaction keeps rows from being removed */
	int nchecks;
	HealthCheck checks[MAX_CHECKS];
} Health;

extern HintTable health_table;

/* The health of this database, up to a minute old. */
extern void health_read(Health *health);

#endif
