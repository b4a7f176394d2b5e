/*
 * pipeline.c
 *		Statements that do not block: those that are sent together are one transaction.
 *
 * The answers are kept until the whole batch has ended: before its commit none of them is true.
 */
#include <stdlib.h>

#include "client/pipeline.h"

typedef struct Sent
{
	tq_pipeline_taker *take;
	void *arg;
	PGresult *result; /* NULL: no answer yet */
} Sent;

struct tq_pipeline
{
	tq_connection *connection;
	Sent sent[TQ_PIPELINE_MAX];
	int nsent;
	int nanswered;
	bool under_way;
	bool unflushed;
	PGresult *failure; /* the first one of the batch */
};

tq_pipeline *
tq_pipeline_new(tq_connection *connection)
{
	tq_pipeline *p = calloc(1, sizeof(*p));

	if (p != NULL)
		p->connection = connection;
	return p;
}

/* Ends the batch: a taker may begin the next one. */
static void
end_batch(tq_pipeline *p, bool connected)
{
	tq_batch_end end = {connected && p->failure == NULL, connected, p->failure};
	Sent sent[TQ_PIPELINE_MAX];
	int n = p->nsent;
	int i;

	for (i = 0; i < n; i++)
		sent[i] = p->sent[i];
	p->nsent = p->nanswered = 0;
	p->under_way = p->unflushed = false;
	p->failure = NULL;
	for (i = 0; i < n; i++)
	{
		sent[i].take(sent[i].arg, end.committed ? sent[i].result : NULL, &end);
		PQclear(sent[i].result);
	}
	PQclear((PGresult *) end.failure);
}

static void
flush(tq_pipeline *p)
{
	if (p->unflushed)
		p->unflushed = PQflush(tq_connection_raw(p->connection)) == 1;
}

/* Whether the connection is in the mode of pipelines; a new one is put into it. */
static bool
enter_mode(PGconn *conn)
{
	if (PQpipelineStatus(conn) != PQ_PIPELINE_OFF)
		return true;
	return PQsetnonblocking(conn, 1) == 0 && PQenterPipelineMode(conn) == 1;
}

bool
tq_pipeline_is_free(tq_pipeline *p)
{
	return !p->under_way && tq_connection_is_up(p->connection);
}

bool
tq_pipeline_add(tq_pipeline *p, const tq_statement *statement, const char *const *values,
				tq_pipeline_taker *take, void *arg)
{
	PGconn *conn = tq_connection_raw(p->connection);

	if (!tq_pipeline_is_free(p) || p->nsent == TQ_PIPELINE_MAX || !enter_mode(conn) ||
		!PQsendQueryPrepared(conn, statement->name, statement->nparameters, values, NULL, NULL, 0))
		return false;
	p->sent[p->nsent++] = (Sent){take, arg, NULL};
	return true;
}

int
tq_pipeline_count(const tq_pipeline *p)
{
	return p->nsent;
}

void
tq_pipeline_send(tq_pipeline *p)
{
	if (p->nsent == 0 || p->under_way)
		return;
	p->under_way = p->unflushed = true;
	if (!PQpipelineSync(tq_connection_raw(p->connection)))
		tq_connection_drop(p->connection, "statements could not be sent");
	else
		flush(p);
}

bool
tq_pipeline_wants_write(const tq_pipeline *p)
{
	return p->unflushed;
}

static bool
is_error(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

/* Takes one result, which is not a NULL; true: it ends the batch. */
static bool
take_result(tq_pipeline *p, PGresult *result)
{
	if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
	{
		PQclear(result);
		return true;
	}
	if (is_error(result) && p->failure == NULL && PQresultStatus(result) != PGRES_PIPELINE_ABORTED)
		p->failure = result;
	else if (!is_error(result) && p->nanswered < p->nsent)
		p->sent[p->nanswered].result = result;
	else
		PQclear(result);
	p->nanswered++;
	return false;
}

/* A lost connection ends the batch, whose statements may have been sent or not. */
static bool
is_lost(tq_pipeline *p)
{
	if (tq_connection_is_up(p->connection))
		return false;
	if (p->nsent > 0)
		end_batch(p, false);
	return true;
}

void
tq_pipeline_step(tq_pipeline *p)
{
	PGconn *conn;

	if (is_lost(p) || !p->under_way)
		return;
	conn = tq_connection_raw(p->connection);
	flush(p);
	while (PQstatus(conn) == CONNECTION_OK && !PQisBusy(conn))
	{
		/* NULL: the answers to one statement are over, those to the next follow. */
		PGresult *result = PQgetResult(conn);

		if (result != NULL && take_result(p, result))
		{
			end_batch(p, true);
			return;
		}
	}
	(void) is_lost(p);
}

void
tq_pipeline_free(tq_pipeline *p)
{
	int i;

	if (p == NULL)
		return;
	for (i = 0; i < p->nsent; i++)
		PQclear(p->sent[i].result);
	PQclear(p->failure);
	free(p);
}
