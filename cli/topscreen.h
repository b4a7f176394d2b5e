/*
 * topscreen.h
 *		The screen of top.
 */
#ifndef CLI_TOPSCREEN_H
#define CLI_TOPSCREEN_H

#include <stdbool.h>

#include "cli/topdata.h"

/* What the user has chosen. */
typedef struct cli_top_state
{
	cli_top_view view;
	char queue[256]; /* whose tasks are shown */
	char task[32];   /* its id */
	char filter[64]; /* of names of queues */
	int selected;    /* row of the list */
	int sort;        /* column of the queues; TOP_NCOLUMNS: the rate */
	int interval;    /* s */
	bool frozen;
	bool help;
	char prompt[320]; /* in the last line; empty: none */
} cli_top_state;

/* Begins and ends the use of the terminal. */
extern void cli_top_open(void);
extern void cli_top_close(void);

/* Draws everything. */
extern void cli_top_draw(const cli_top_data *d, cli_top_state *s);

/* The rows of the queues that are shown, in their order; returns their number. */
extern int cli_top_rows(const cli_top_data *d, const cli_top_state *s, int *rows, int max);

#endif
