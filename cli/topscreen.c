/*
 * topscreen.c
 *		The screen of top.
 *
 * It is drawn anew each time; ncurses sends what has changed.  A table that is too wide loses its
 * last columns, and its last one is cut off.
 */
#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "cli/command.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "cli/topscreen.h"
#include "core/clock.h"

#define MAX_CELLS    16
#define MAX_WIDTH    30 /* of a column that is not the last */
#define MAX_QUEUES   1000
#define MIN_BELOW    4 /* lines below the queues, if there is room for them */
#define MIN_QUEUES   5 /* lines of queues, if there are so many */
#define STALE_AFTER  2 /* s after a look was due */
#define COLOR_ALARM  1
#define COLOR_HEADER 2

static const char *const help_lines[] = {
	"Up, Down, PgUp, PgDn   choose a row",
	"Enter                  the tasks of a queue; of a task, all about it",
	"Esc, Left              back",
	"Tab                    workers, endpoints, the newest failures",
	"s                      sort by another column",
	"/                      show queues whose name has a text",
	"p                      pause or resume the queue; it asks",
	"Space                  freeze",
	"+ -                    look less or more often",
	"q                      quit"};

/* A row of cells; those of the first row are the headings. */
typedef struct Grid
{
	int ncells;
	bool right[MAX_CELLS];
	int width[MAX_CELLS];
	int nrows;
	char *(*rows)[MAX_CELLS];
} Grid;

void
cli_top_open(void)
{
	setlocale(LC_ALL, "");
	if (initscr() == NULL)
		cli_fail(EXIT_REFUSED, NULL, "the terminal cannot be used");
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
	atexit(cli_top_close);
	if (settings.color && has_colors())
	{
		start_color();
		use_default_colors();
		init_pair(COLOR_ALARM, COLOR_RED, -1);
		init_pair(COLOR_HEADER, COLOR_CYAN, -1);
	}
}

void
cli_top_close(void)
{
	if (!isendwin())
		endwin();
}

/* ---- text ----------------------------------------------------------------------------------- */

/* How many columns a text has; control characters have one. */
static int
columns_of(const char *text)
{
	mbstate_t state = {0};
	int columns = 0;
	wchar_t c;
	size_t len;

	while (*text != '\0')
	{
		len = mbrtowc(&c, text, MB_CUR_MAX, &state);
		if (len == (size_t) -1 || len == (size_t) -2)
		{
			memset(&state, 0, sizeof(state));
			len = 1;
			c = L'?';
		}
		columns += wcwidth(c) < 0 ? 1 : wcwidth(c);
		text += len;
	}
	return columns;
}

/* Draws at most so many columns of a text. */
static void
draw_text(int y, int x, int room, const char *text)
{
	mbstate_t state = {0};
	wchar_t c;

	move(y, x);
	while (*text != '\0')
	{
		size_t len = mbrtowc(&c, text, MB_CUR_MAX, &state);
		int width;

		if (len == (size_t) -1 || len == (size_t) -2)
		{
			memset(&state, 0, sizeof(state));
			len = 1;
			c = L'?';
		}
		width = wcwidth(c);
		if (width < 0)
		{
			c = L' ';
			width = 1;
		}
		if (width > room)
			return;
		addnwstr(&c, 1);
		room -= width;
		text += len;
	}
}

/* ---- tables --------------------------------------------------------------------------------- */

static void
make_grid(Grid *g, int ncells, int nrows)
{
	memset(g, 0, sizeof(*g));
	g->ncells = ncells < MAX_CELLS ? ncells : MAX_CELLS;
	g->nrows = nrows;
	g->rows = calloc((size_t) nrows + 1, sizeof(*g->rows));
	if (g->rows == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
}

/* A cell is a copy of the text, and not set twice. */
static void
set_cell(Grid *g, int row, int cell, const char *text)
{
	int columns = columns_of(text);

	g->rows[row][cell] = cli_copy(text);
	if (columns > g->width[cell])
		g->width[cell] = columns < MAX_WIDTH ? columns : MAX_WIDTH;
}

/* oldest_due becomes OLDEST DUE */
static void
set_heading(Grid *g, int cell, const char *name)
{
	char *heading = cli_copy(name);
	char *c;

	for (c = heading; *c != '\0'; c++)
		*c = (char) (*c == '_' ? ' ' : *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A'
															  : *c);
	set_cell(g, 0, cell, heading);
	free(heading);
}

static void
draw_row(const Grid *g, int y, int row)
{
	int x = 0;
	int i;

	for (i = 0; i < g->ncells && x < COLS; i++)
	{
		const char *text = g->rows[row][i];
		bool last = i == g->ncells - 1;
		int room = last || g->width[i] > COLS - x ? COLS - x : g->width[i];
		int columns = columns_of(text);
		int indent = g->right[i] && !last && columns < room ? room - columns : 0;

		draw_text(y, x + indent, room - indent, text);
		x += room + 2;
	}
}

/* Draws a grid from a line on; selected: a row from 1, which is in view; 0: none.  Frees it. */
static void
draw_grid(Grid *g, int y, int height, int selected)
{
	int first = selected >= height ? selected - height + 2 : 1;
	int row;
	int i;

	attron(A_BOLD | COLOR_PAIR(settings.color ? COLOR_HEADER : 0));
	if (height > 0)
		draw_row(g, y, 0);
	attroff(A_BOLD | COLOR_PAIR(settings.color ? COLOR_HEADER : 0));
	for (row = first; row <= g->nrows && row - first + 1 < height; row++)
	{
		if (row == selected)
			attron(A_REVERSE);
		if (row == selected)
			mvhline(y + row - first + 1, 0, ' ', COLS);
		draw_row(g, y + row - first + 1, row);
		attroff(A_REVERSE);
	}
	for (row = 0; row <= g->nrows; row++)
		for (i = 0; i < g->ncells; i++)
			free(g->rows[row][i]);
	free(g->rows);
}

/* ---- queues --------------------------------------------------------------------------------- */

static double
rate_of(const cli_top_data *d, int row)
{
	const cli_top_rates *r = cli_top_rates_of(d, PQgetvalue(d->queues, row, TOP_QUEUE));

	return r != NULL && r->n > 0 ? r->samples[r->n - 1] : -1;
}

/* Bars of eight heights, against the highest. */
static void
spark_of(const cli_top_data *d, int row, char *text, size_t size)
{
	static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	const cli_top_rates *r = cli_top_rates_of(d, PQgetvalue(d->queues, row, TOP_QUEUE));
	double most = 0;
	size_t len = 0;
	int i;

	text[0] = '\0';
	for (i = 0; r != NULL && i < r->n; i++)
		most = r->samples[i] > most ? r->samples[i] : most;
	for (i = 0; r != NULL && i < r->n && len < size; i++)
	{
		int height = most > 0 ? (int) (r->samples[i] / most * 8 + 0.999) : 0;

		len += (size_t) snprintf(text + len, size - len, "%s", bars[height < 8 ? height : 8]);
	}
}

/* For qsort_r(): numbers descending, names ascending. */
typedef struct Order
{
	const cli_top_data *d;
	int column;
} Order;

static double
number_at(const Order *o, int row)
{
	return o->column == TOP_NCOLUMNS ? rate_of(o->d, row)
									 : strtod(PQgetvalue(o->d->queues, row, o->column), NULL);
}

static int
compare_rows(const void *a, const void *b, void *arg)
{
	const Order *o = arg;
	int x = *(const int *) a;
	int y = *(const int *) b;
	double difference = o->column == TOP_QUEUE ? 0 : number_at(o, y) - number_at(o, x);

	if (difference != 0)
		return difference < 0 ? -1 : 1;
	return x - y;
}

int
cli_top_rows(const cli_top_data *d, const cli_top_state *s, int *rows, int max)
{
	Order order = {d, s->sort};
	int n = 0;
	int row;

	for (row = 0; d->queues != NULL && row < PQntuples(d->queues) && n < max; row++)
		if (strstr(PQgetvalue(d->queues, row, TOP_QUEUE), s->filter) != NULL)
			rows[n++] = row;
	qsort_r(rows, (size_t) n, sizeof(*rows), compare_rows, &order);
	return n;
}

static void
fill_queue(const cli_top_data *d, Grid *g, int line, int row)
{
	char text[TOP_SAMPLES * 4 + 1];
	double rate = rate_of(d, row);
	int i;

	for (i = 0; i < TOP_STATE; i++)
		set_cell(g, line, i,
				 PQgetisnull(d->queues, row, i) ? "-" : PQgetvalue(d->queues, row, i));
	snprintf(text, sizeof(text), rate < 0 ? "-" : rate < 10 ? "%.1f"
															: "%.0f",
			 rate);
	set_cell(g, line, TOP_STATE, text);
	set_cell(g, line, TOP_STATE + 1, PQgetvalue(d->queues, row, TOP_STATE));
	spark_of(d, row, text, sizeof(text));
	set_cell(g, line, TOP_STATE + 2, text);
}

static void
draw_queues(const cli_top_data *d, const cli_top_state *s, const int *rows, int n, int y,
			int height)
{
	Grid g;
	int i;

	make_grid(&g, TOP_STATE + 3, n);
	for (i = 0; i < TOP_STATE; i++)
	{
		g.right[i] = i != TOP_QUEUE;
		set_heading(&g, i, PQfname(d->queues, i));
	}
	g.right[TOP_STATE] = true;
	set_cell(&g, 0, TOP_STATE, "PER S");
	set_cell(&g, 0, TOP_STATE + 1, "");
	set_cell(&g, 0, TOP_STATE + 2, "");
	for (i = 0; i < n; i++)
		fill_queue(d, &g, i + 1, rows[i]);
	draw_grid(&g, y, height, s->selected + 1);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void
draw_result(const PGresult *result, int y, int height, int selected)
{
	Grid g;
	int row;
	int i;

	make_grid(&g, PQnfields(result), PQntuples(result));
	for (i = 0; i < g.ncells; i++)
		set_heading(&g, i, PQfname(result, i));
	for (row = 0; row < PQntuples(result); row++)
		for (i = 0; i < g.ncells; i++)
			set_cell(&g, row + 1, i,
					 PQgetisnull(result, row, i) ? "-" : PQgetvalue(result, row, i));
	draw_grid(&g, y, height, selected);
}

static void
draw_task(const PGresult *task, int y, int height)
{
	int i;

	for (i = 0; PQntuples(task) > 0 && i < PQnfields(task); i++)
	{
		if (PQgetisnull(task, 0, i) || height-- <= 0)
			continue;
		draw_text(y, 0, 18, PQfname(task, i));
		draw_text(y++, 19, COLS - 19, PQgetvalue(task, 0, i));
	}
	if (PQntuples(task) == 0)
		draw_text(y, 0, COLS, "There is no such task any more.");
}

static void
draw_title(const cli_top_data *d, const cli_top_state *s)
{
	static const char *const views[] = {"workers", "endpoints", "failures"};
	int64_t late = d->looked_ms != 0 ? (tq_clock_ms() - d->looked_ms) / 1000 : 0;
	char text[640];
	char corner[64] = "";

	if (s->view == TOP_TASKS)
		snprintf(text, sizeof(text), "taskq top: tasks of %s", s->queue);
	else if (s->view == TOP_TASK)
		snprintf(text, sizeof(text), "taskq top: task %s", s->task);
	else
		snprintf(text, sizeof(text), "taskq top: %s%s%s", views[s->view],
				 *s->filter != '\0' ? ", queues with " : "", s->filter);
	if (s->frozen)
		snprintf(corner, sizeof(corner), "frozen");
	else if (late > s->interval + STALE_AFTER)
		snprintf(corner, sizeof(corner), "stale, %lld s", (long long) late);
	else
		snprintf(corner, sizeof(corner), "every %d s", s->interval);
	draw_text(0, 0, COLS, text);
	if (COLS > (int) strlen(corner))
	{
		mvhline(0, COLS - (int) strlen(corner) - 1, ' ', 1);
		if (late > s->interval + STALE_AFTER)
			attron(A_BOLD | COLOR_PAIR(settings.color ? COLOR_ALARM : 0));
		draw_text(0, COLS - (int) strlen(corner), (int) strlen(corner), corner);
		attroff(A_BOLD | COLOR_PAIR(settings.color ? COLOR_ALARM : 0));
	}
}

static void
draw_last_line(const cli_top_data *d, const cli_top_state *s)
{
	const char *text = "Enter open  Tab next  s sort  / filter  p pause  ? help  q quit";

	if (*s->prompt != '\0')
		text = s->prompt;
	else if (*d->fault != '\0')
		text = d->fault;
	draw_text(LINES - 1, 0, COLS, text);
}

/* The queues, and below them what the user has chosen. */
static void
draw_main(const cli_top_data *d, cli_top_state *s)
{
	static int rows[MAX_QUEUES];
	int n = cli_top_rows(d, s, rows, MAX_QUEUES);
	int room = LINES - 2;
	int below = room / 3 > MIN_BELOW ? room / 3 : MIN_BELOW;
	int most = room - below - 1 > MIN_QUEUES ? room - below - 1 : MIN_QUEUES;
	int height = n + 1 < most ? n + 1 : most;

	if (d->queues == NULL)
		return;
	s->selected = s->selected < n ? s->selected : n - 1;
	s->selected = s->selected > 0 ? s->selected : 0;
	draw_queues(d, s, rows, n, 1, height);
	if (d->below != NULL && d->below_view == s->view && room - height - 1 > 1)
		draw_result(d->below, height + 2, room - height - 1, 0);
}

static void
draw_tasks(const cli_top_data *d, cli_top_state *s)
{
	int n;

	if (d->below == NULL || d->below_view != s->view)
		return;
	if (s->view == TOP_TASK)
	{
		draw_task(d->below, 1, LINES - 2);
		return;
	}
	n = PQntuples(d->below);
	s->selected = s->selected < n ? s->selected : n - 1;
	s->selected = s->selected > 0 ? s->selected : 0;
	draw_result(d->below, 1, LINES - 2, n > 0 ? s->selected + 1 : 0);
}

void
cli_top_draw(const cli_top_data *d, cli_top_state *s)
{
	int i;

	erase();
	if (s->help)
		for (i = 0; i < COUNT(help_lines); i++)
			draw_text(i + 2, 0, COLS, help_lines[i]);
	else if (s->view < TOP_TASKS)
		draw_main(d, s);
	else
		draw_tasks(d, s);
	draw_title(d, s);
	move(LINES - 1, 0);
	clrtoeol();
	draw_last_line(d, s);
	refresh();
}
