/*
 * workdb.h
 *		What a worker and the database tell each other about its jobs.
 *
 * The owner begins a batch, adds to it what is due, and sends it: see client/pipeline.h.  If a
 * batch is refused its statements are sent again one by one, so that only what is wrong by itself
 * fails.
 */
#ifndef CLI_WORKDB_H
#define CLI_WORKDB_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/job.h"
#include "cli/routes.h"
#include "client/connection.h"
#include "client/hooks.h"

/* Everything in it must outlive the workdb.  Intervals are as PostgreSQL writes them. */
typedef struct cli_workdb_options
{
	const char *conninfo;
	const char *name;     /* of the worker */
	const char *lease;    /* NULL: that of the queue */
	const char *max_age;  /* NULL: none */
	const char *too_old;  /* the error of a task older than that; NULL: the usual one */
	const char *retry_in; /* NULL: that of the policy */
	int64_t heartbeat_ms; /* 0, or not less than the lease: a third of the lease */
	int64_t poll_ms;      /* between looks, and until what was refused is tried again */
	const char *timeout;  /* of a statement */
	const tq_hooks *hooks;
	const cli_routes *routes;
	const char *decline_delay; /* of a task without a route; not NULL if that is possible */
	const char *decline_times; /* after which it is dead, likewise */
	cli_queue *queues;         /* nqueues */
	int nqueues;
} cli_workdb_options;

/* What became of tasks. */
typedef struct cli_tally
{
	int64_t claimed;
	int64_t finished;
	int64_t failed;     /* attempts */
	int64_t unfinished; /* tasks that ended as dead or cancelled */
	bool looked;        /* a claim was answered */
} cli_tally;

typedef struct cli_workdb cli_workdb;

/* NULL: out of memory. */
extern cli_workdb *cli_workdb_new(const cli_workdb_options *options, cli_jobs *jobs);

/* For the owner to wait for and to step. */
extern tq_connection *cli_workdb_connection(const cli_workdb *db);
extern bool cli_workdb_wants_write(const cli_workdb *db);

/* Goes on with what is under way.  To be called after tq_connection_step(). */
extern void cli_workdb_step(cli_workdb *db);

/* Begins a batch.  False: there is no connection, or one is under way. */
extern bool cli_workdb_begin(cli_workdb *db);

/* Adds calls of the functions before, as far as there is room; see workreport.h and worklease.h. */
extern void cli_workdb_ask_before(cli_workdb *db);

/* Adds a claim of so many tasks of a queue. */
extern void cli_workdb_claim(cli_workdb *db, cli_queue *queue, int n);

extern void cli_workdb_send(cli_workdb *db);

extern const cli_tally *cli_workdb_tally(const cli_workdb *db);

/* db may be NULL. */
extern void cli_workdb_free(cli_workdb *db);

#endif
