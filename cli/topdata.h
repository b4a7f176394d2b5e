/*
 * topdata.h
 *		What top knows of the database: its looks, and rates between them.
 *
 * A look is two statements, one after the other, which are sent without waiting: keys work while
 * the database is slow.
 */
#ifndef CLI_TOPDATA_H
#define CLI_TOPDATA_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#define TOP_SAMPLES 30 /* rates that are remembered for each queue */

/* What is shown below the queues, or in their place. */
typedef enum cli_top_view
{
	TOP_WORKERS,
	TOP_ENDPOINTS,
	TOP_FAILURES,
	TOP_TASKS, /* of a queue */
	TOP_TASK   /* a task */
} cli_top_view;

/* Columns of the queues. */
enum
{
	TOP_QUEUE,
	TOP_PENDING,
	TOP_DUE,
	TOP_RUNNING,
	TOP_OLDEST,
	TOP_FINISHED,
	TOP_DEAD,
	TOP_STATE,
	TOP_ENDED, /* not shown */
	TOP_NCOLUMNS
};

/* How many tasks of a queue have ended in a second, between the last looks; -1: not known. */
typedef struct cli_top_rates
{
	char *queue;
	double ended;
	int64_t at_ms;
	int n;
	double samples[TOP_SAMPLES]; /* the newest last */
} cli_top_rates;

typedef struct cli_top_data
{
	PGresult *queues; /* of the last look; NULL: there was none */
	PGresult *below;  /* NULL: none yet for below_view */
	cli_top_view below_view;
	int64_t looked_ms; /* when it ended */
	char fault[256];   /* of the last statement that failed since */
	bool lost;         /* the connection is */

	cli_top_rates *rates;
	int nrates;

	/* The look under way. */
	enum
	{
		TOP_IDLE,
		TOP_CALLS,
		TOP_READS_QUEUES,
		TOP_READS_BELOW
	} step;
	cli_top_view view;
	char argument[256];
	int64_t begun_ms;
} cli_top_data;

/* Begins a look.  argument: the queue of TOP_TASKS, the id of TOP_TASK; NULL for the others. */
extern void cli_top_look(cli_top_data *d, cli_top_view view, const char *argument);

/* Pauses or resumes a queue; no look may be under way. */
extern void cli_top_pause(cli_top_data *d, const char *queue, bool pause);

/* When the connection is readable: takes what has come. */
extern void cli_top_read(cli_top_data *d);

/* The rates of a queue; NULL: not known. */
extern const cli_top_rates *cli_top_rates_of(const cli_top_data *d, const char *queue);

#endif
