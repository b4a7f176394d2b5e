/*
 * workbatch.h
 *		The batch of statements by which a worker tells the database about its jobs.
 *
 * For the files that are parts of workdb.h.  If a batch is refused its statements are sent again
 * one by one, so that only what is wrong by itself fails.
 */
#ifndef CLI_WORKBATCH_H
#define CLI_WORKBATCH_H

#include <stdbool.h>

#include "cli/job.h"
#include "cli/workdb.h"
#include "client/array.h"
#include "client/pipeline.h"

#define BATCH_MAX_REPORTS 64 /* in a transaction */
#define BATCH_MAX_ARRAY   (1 << 30)
#define BATCH_AGAIN_MS    1000 /* until what has failed is tried again */

typedef enum cli_work_statement
{
	SQL_CLAIM,
	SQL_FINISH_MANY,
	SQL_FAIL,
	SQL_RELEASE,
	SQL_DECLINE,
	SQL_HEARTBEAT,
	SQL_PROGRESS,
	SQL_STATES,
	SQL_NALWAYS,
	SQL_BEFORE = SQL_NALWAYS,
	SQL_FINISH_AFTER,
	SQL_FAIL_AFTER,
	SQL_NSTATEMENTS
} cli_work_statement;

struct cli_workdb
{
	cli_workdb_options options;
	cli_jobs *jobs;
	tq_connection *connection;
	tq_pipeline *pipeline;
	tq_statement statements[SQL_NSTATEMENTS]; /* those of hooks that are not there have no text */
	tq_statement prepared[SQL_NSTATEMENTS];
	char *made_sql[SQL_NSTATEMENTS - SQL_NALWAYS]; /* those of hooks */
	cli_tally tally;

	/* The batch under way. */
	int sent;
	int alone; /* how many of the next batches have one statement only */
	int nreports;
	cli_job *finishing[BATCH_MAX_REPORTS];
	int nfinishing;
	tq_buffer ids; /* arrays under construction, likewise the next ones */
	tq_buffer tokens;
	tq_buffer results;
};

typedef enum cli_answer
{
	ANSWER_DONE,
	ANSWER_AGAIN,  /* nothing is known, or it may work later */
	ANSWER_REFUSED /* it will never work */
} cli_answer;

/* Whether the batch has room for one more statement. */
extern bool cli_batch_has_space(const cli_workdb *db);

/* Adds a statement, if there is room; take() gets its answer, with arg. */
extern bool cli_batch_add(cli_workdb *db, cli_work_statement s, const char *const *values,
						  tq_pipeline_taker *take, void *arg);

/* What the end of a batch means for one of its statements. */
extern cli_answer cli_batch_judge(cli_workdb *db, const tq_batch_end *end);

/* "WHAT: MESSAGE (SQLSTATE)" of a refusal; the caller's to free. */
extern char *cli_batch_refusal(const char *what, const tq_batch_end *end);

extern void cli_batch_log_refusal(const cli_job *job, const char *what, const tq_batch_end *end);

/* The row with that id in its first column; -1: there is none. */
extern int cli_batch_row_of(const PGresult *result, const char *id);

/* Begins arrays of ids, tokens and results anew. */
extern void cli_batch_reset_arrays(cli_workdb *db);

#endif
