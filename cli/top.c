/*
 * top.c
 *		top: queues, workers, endpoints and failures on the screen, live.
 *
 * It changes nothing but pausing.  Where standard output is no terminal it prints what it would
 * show first, and ends.
 */
#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/top.h"
#include "cli/topdata.h"
#include "cli/topscreen.h"
#include "core/clock.h"

#define MAX_QUEUES   1000
#define MAX_INTERVAL 60
#define PAGE_ROWS    10
#define KEY_ESCAPE   27
#define TIMEOUT      "2 s" /* of a statement */

/* What the keys that come next are for. */
typedef enum Mode
{
	MODE_COMMANDS,
	MODE_FILTER,
	MODE_PAUSE /* a question */
} Mode;

typedef struct Top
{
	cli_top_data data;
	cli_top_state state;
	Mode mode;
	int64_t next_ms; /* when to look again */
	bool quit;

	/* What has been asked, and is to be called. */
	char queue[256];
	bool pause;
	bool call;
} Top;

/* ---- what is chosen ---------------------------------------------------------------------- */

/* The row of the chosen queue; -1: none. */
static int
chosen_queue(const Top *t)
{
	static int rows[MAX_QUEUES];
	int n = cli_top_rows(&t->data, &t->state, rows, MAX_QUEUES);

	return t->state.view < TOP_TASKS && t->state.selected < n ? rows[t->state.selected] : -1;
}

static void
show_view(Top *t, cli_top_view view)
{
	t->state.view = view;
	t->next_ms = 0;
}

static void
open_chosen(Top *t)
{
	cli_top_state *s = &t->state;
	int row = chosen_queue(t);

	if (row >= 0)
	{
		snprintf(s->queue, sizeof(s->queue), "%s", PQgetvalue(t->data.queues, row, TOP_QUEUE));
		s->selected = 0;
		show_view(t, TOP_TASKS);
	}
	else if (s->view == TOP_TASKS && t->data.below != NULL && t->data.below_view == TOP_TASKS &&
			 s->selected < PQntuples(t->data.below))
	{
		snprintf(s->task, sizeof(s->task), "%s", PQgetvalue(t->data.below, s->selected, 0));
		show_view(t, TOP_TASK);
	}
}

static void
go_back(Top *t)
{
	if (t->state.help)
		t->state.help = false;
	else if (t->state.view == TOP_TASK)
		show_view(t, TOP_TASKS);
	else if (t->state.view == TOP_TASKS)
	{
		t->state.selected = 0;
		show_view(t, TOP_WORKERS);
	}
	else
		t->state.filter[0] = '\0';
}

static void
ask_to_pause(Top *t)
{
	int row = chosen_queue(t);

	if (row < 0)
		return;
	snprintf(t->queue, sizeof(t->queue), "%s", PQgetvalue(t->data.queues, row, TOP_QUEUE));
	t->pause = PQgetisnull(t->data.queues, row, TOP_STATE);
	snprintf(t->state.prompt, sizeof(t->state.prompt), "%s queue %s? [y/N]",
			 t->pause ? "pause" : "resume", t->queue);
	t->mode = MODE_PAUSE;
}

/* The columns of numbers, the rate, and the names. */
static void
sort_by_next(cli_top_state *s)
{
	static const int columns[] = {TOP_QUEUE, TOP_PENDING, TOP_DUE, TOP_RUNNING,
								  TOP_FINISHED, TOP_DEAD, TOP_NCOLUMNS};
	int i;

	for (i = 0; i < COUNT(columns) - 1 && columns[i] != s->sort; i++)
		;
	s->sort = columns[(i + 1) % COUNT(columns)];
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void
take_filter_key(Top *t, int key)
{
	cli_top_state *s = &t->state;
	size_t len = strlen(s->filter);

	if (key == '\r' || key == KEY_ENTER)
		t->mode = MODE_COMMANDS;
	else if (key == KEY_ESCAPE)
	{
		s->filter[0] = '\0';
		t->mode = MODE_COMMANDS;
	}
	else if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && len > 0)
		s->filter[len - 1] = '\0';
	else if (key >= ' ' && key < 256 && key != 127 && len + 1 < sizeof(s->filter))
	{
		s->filter[len] = (char) key;
		s->filter[len + 1] = '\0';
	}
	snprintf(s->prompt, sizeof(s->prompt), t->mode == MODE_FILTER ? "queues with: %s_" : "",
			 s->filter);
}

static void
take_answer(Top *t, int key)
{
	t->call = key == 'y' || key == 'Y';
	t->state.prompt[0] = '\0';
	t->mode = MODE_COMMANDS;
}

static void
take_movement(cli_top_state *s, int key)
{
	int by = key == KEY_UP ? -1 : key == KEY_DOWN ? 1
							  : key == KEY_PPAGE  ? -PAGE_ROWS
												  : PAGE_ROWS;

	/* The screen brings it into the list. */
	s->selected = s->selected + by > 0 ? s->selected + by : 0;
}

static void
take_command(Top *t, int key)
{
	cli_top_state *s = &t->state;

	switch (key)
	{
		case 'q':
			t->quit = true;
			break;
		case KEY_UP:
		case KEY_DOWN:
		case KEY_PPAGE:
		case KEY_NPAGE:
			take_movement(s, key);
			break;
		case '\r':
		case KEY_ENTER:
			open_chosen(t);
			break;
		case KEY_ESCAPE:
		case KEY_LEFT:
		case KEY_BACKSPACE:
			go_back(t);
			break;
		case '\t':
			if (s->view < TOP_TASKS)
				show_view(t, s->view == TOP_FAILURES ? TOP_WORKERS : s->view + 1);
			break;
		case 's':
			sort_by_next(s);
			break;
		case '/':
			t->mode = MODE_FILTER;
			take_filter_key(t, 0);
			break;
		case 'p':
			ask_to_pause(t);
			break;
		case ' ':
			s->frozen = !s->frozen;
			t->next_ms = 0;
			break;
		case '+':
		case '-':
			s->interval += key == '+' ? s->interval < MAX_INTERVAL : -(s->interval > 1);
			t->next_ms = 0;
			break;
		case '?':
			s->help = !s->help;
			break;
		default:
			break;
	}
}

static void
take_keys(Top *t)
{
	int key;

	while ((key = getch()) != ERR)
	{
		if (key == KEY_RESIZE)
			continue;
		if (t->mode == MODE_FILTER)
			take_filter_key(t, key);
		else if (t->mode == MODE_PAUSE)
			take_answer(t, key);
		else
			take_command(t, key);
	}
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* Begins what is to be done, if nothing is under way. */
static void
begin_next(Top *t)
{
	cli_top_state *s = &t->state;
	int64_t now = tq_clock_ms();

	if (t->data.step != TOP_IDLE)
		return;
	if (t->call)
	{
		cli_top_pause(&t->data, t->queue, t->pause);
		t->call = false;
		t->next_ms = 0;
	}
	else if (now >= t->next_ms && (!s->frozen || t->data.below_view != s->view))
	{
		cli_top_look(&t->data, s->view, s->view == TOP_TASK ? s->task : s->queue);
		t->next_ms = now + 1000 * s->interval;
	}
}

static void
wait_for_something(Top *t)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
							{.fd = PQsocket(cli_connection()), .events = POLLIN}};

	/* Once in a while for the corner, which tells how old the numbers are. */
	if (poll(fds, 2, 200) < 0 && errno != EINTR)
		cli_fail(EXIT_REFUSED, NULL, "poll: %s", strerror(errno));
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		t->quit = true;
	if (fds[1].revents != 0)
		cli_top_read(&t->data);
}

static void
check_connection(const cli_top_data *d)
{
	if (d->lost)
		cli_fail(EXIT_CONNECTION, NULL, "the connection was lost");
}

static void
look_once(cli_top_data *d)
{
	cli_top_look(d, TOP_WORKERS, NULL);
	while (d->step != TOP_IDLE && !d->lost)
	{
		struct pollfd fd = {.fd = PQsocket(cli_connection()), .events = POLLIN};

		(void) poll(&fd, 1, -1);
		cli_top_read(d);
	}
	check_connection(d);
	if (*d->fault != '\0')
		cli_fail(EXIT_REFUSED, NULL, "%s", d->fault);
}

/* The first screen. */
static int
print_once(cli_top_data *d)
{
	look_once(d);
	if (settings.format == FORMAT_TSV)
		settings.format = FORMAT_TABLE;
	cli_print(d->queues, TOP_ENDED);
	if (settings.format == FORMAT_TABLE && PQntuples(d->below) > 0)
	{
		putchar('\n');
		cli_print(d->below, PQnfields(d->below));
	}
	return EXIT_DONE;
}

static int
run_top(cli_call *call)
{
	static Top t = {.state = {.interval = 2}};

	t.state.interval = cli_number(call, "interval", 1, MAX_INTERVAL, 2);
	if (settings.timeout == NULL)
		settings.timeout = TIMEOUT;
	(void) cli_connection();
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return print_once(&t.data);
	cli_top_open();
	while (!t.quit && !t.data.lost)
	{
		begin_next(&t);
		cli_top_draw(&t.data, &t.state);
		wait_for_something(&t);
		take_keys(&t);
	}
	cli_top_close();
	check_connection(&t.data);
	return EXIT_DONE;
}

static const cli_option top_options[] = {
	{0, "interval", "SECONDS", "look so often, 1 to 60 (default: 2)", NULL, NULL, NULL}};

const cli_command cli_top = {
	.name = "top",
	.synopsis = "[--interval SECONDS]",
	.about = "Show queues, workers, endpoints and failures, live",
	.details = "Tab chooses what is shown below the queues, Enter shows the tasks of a queue, ? "
			   "the other keys.\nIt pauses and resumes queues, and changes nothing else.  "
			   "Without a terminal it prints\nthe first screen.",
	.examples = "  taskq top",
	.options = top_options,
	.noptions = COUNT(top_options),
	.run = run_top};
