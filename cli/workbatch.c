/*
 * workbatch.c
 *		The batch of statements by which a worker tells the database about its jobs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/workbatch.h"
#include "cli/worklog.h"
#include "core/protocol.h"

bool
cli_batch_has_space(const cli_workdb *db)
{
	return tq_pipeline_count(db->pipeline) < (db->alone > 0 ? 1 : TQ_PIPELINE_MAX);
}

bool
cli_batch_add(cli_workdb *db, cli_work_statement s, const char *const *values,
			  tq_pipeline_taker *take, void *arg)
{
	return cli_batch_has_space(db) &&
		   tq_pipeline_add(db->pipeline, &db->statements[s], values, take, arg);
}

cli_answer
cli_batch_judge(cli_workdb *db, const tq_batch_end *end)
{
	const char *sqlstate;

	if (end->committed)
		return ANSWER_DONE;
	if (!end->connected)
		return ANSWER_AGAIN;
	if (db->sent > 1)
	{
		db->alone = 2 * db->sent;
		return ANSWER_AGAIN;
	}
	sqlstate = PQresultErrorField(end->failure, PG_DIAG_SQLSTATE);
	if (sqlstate != NULL && !tq_sqlstate_may_pass(sqlstate))
		return ANSWER_REFUSED;
	tq_connection_complain(db->connection, end->failure);
	return ANSWER_AGAIN;
}

/* "MESSAGE (SQLSTATE)" of a cli_batch_refusal; the caller's to free. */
char *
cli_batch_refusal(const char *what, const tq_batch_end *end)
{
	const char *message = PQresultErrorField(end->failure, PG_DIAG_MESSAGE_PRIMARY);
	char *text = NULL;

	if (asprintf(&text, "%s: %s (%s)", what, message != NULL ? message : "no message",
				 PQresultErrorField(end->failure, PG_DIAG_SQLSTATE)) < 0)
		return NULL;
	return text;
}

void
cli_batch_log_refusal(const cli_job *job, const char *what, const tq_batch_end *end)
{
	char *text = cli_batch_refusal(what, end);

	if (text != NULL)
		cli_log(job, "%s", text);
	free(text);
}

int
cli_batch_row_of(const PGresult *result, const char *id)
{
	int row;

	for (row = 0; row < PQntuples(result); row++)
		if (strcmp(PQgetvalue(result, row, 0), id) == 0)
			return row;
	return -1;
}

void
cli_batch_reset_arrays(cli_workdb *db)
{
	tq_buffer_reset(&db->ids);
	tq_buffer_reset(&db->tokens);
	tq_buffer_reset(&db->results);
}
