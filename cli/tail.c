/*
 * tail.c
 *		tail: follows what happens to tasks.
 *
 * It reads the stream of events with a cursor, which it tells at its end, so that another tail goes
 * on from there.  All events are read; those of other tasks are left out here.
 */
#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/filter.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/query.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/tail.h"
#include "cli/wait.h"
#include "client/array.h"
#include "core/buffer.h"
#include "core/clock.h"

#define SLICE_MS  20000 /* of one wait */
#define MAX_LISTS (1 << 20)

enum Column
{
	TAIL_AT,
	TAIL_TASK,
	TAIL_QUEUE,
	TAIL_EVENT,
	TAIL_DATA,
	TAIL_CURSOR,
	TAIL_NCOLUMNS,
	TAIL_SHOWN = TAIL_NCOLUMNS /* not printed */
};

/* The last row is there in any case, for its cursor. */
static const char events_sql[] =
	"with e as materialized (select pg_catalog.row_number() over () as n, x.* from "
	"taskq.events_after($1, 1000) x), s as materialized (select e.*, e.event is not null and "
	"(pg_catalog.cardinality($2::bigint[]) = 0 or e.task_id = any ($2)) and "
	"(pg_catalog.cardinality($3::text[]) = 0 or e.queue = any ($3)) and "
	"($4::text[] is null or e.event = any ($4)) and "
	"(not $5::boolean or exists (select from taskq.tasks t where t.id = e.task_id and "
	"($6::taskq.state[] is null or t.state = any ($6)) and ($7::text is null or t.kind = $7) and "
	"($8::text is null or t.key = $8) and ($9::text is null or t.group_key = $9) and "
	"($10::text is null or pg_catalog.starts_with(t.key, $10)) and "
	"($11::jsonb is null or t.payload @> $11) and ($12::text is null or t.error ~ $12) and "
	"($13::text is null or exists (select from taskq.attempts a where a.task_id = t.id and "
	"a.class = $13)) and ($14::text is null or t.worker = $14) and "
	"($15::timestamptz is null or t.submitted_at >= $15) and "
	"($16::timestamptz is null or t.submitted_at < $16))) as shown from e) "
	"select at, task_id, queue, event, data, cursor, shown from s "
	"where shown or n = (select pg_catalog.max(n) from s) order by n";
static const char some_sql[] =
	"select pg_catalog.count(*) > 0 from taskq.queues q where q.events <> '{}' and "
	"(pg_catalog.cardinality($1::text[]) = 0 or q.queue = any ($1))";
static const char ms_sql[] =
	"select (extract(epoch from $1::interval) * 1000)::bigint";

enum Value
{
	VALUE_CURSOR,
	VALUE_IDS,
	VALUE_QUEUES,
	VALUE_EVENTS,
	VALUE_FILTERED, /* whether there is one of those that follow */
	VALUE_STATES,
	VALUE_KIND,
	VALUE_KEY,
	VALUE_GROUP,
	VALUE_KEY_PREFIX,
	VALUE_PAYLOAD,
	VALUE_ERROR,
	VALUE_CLASS,
	VALUE_WORKER,
	VALUE_SINCE,
	VALUE_UNTIL,
	NVALUES
};

static const cli_option tail_options[] = {
	{0, "event", "EVENT,...",
	 "only these: submitted, started, progress, value, "
	 "failed,\nreleased, lost, finished, dead, cancelled, expired",
	 NULL, NULL, NULL},
	FILTER_OPTIONS,
	{0, "after", "CURSOR", "go on from where another tail has ended", NULL, NULL, NULL},
	{0, "from-start", NULL, "begin with the oldest events that are kept", NULL, NULL, NULL},
};

static volatile sig_atomic_t interrupted;
static PGcancel *cancel;

/* A wait that is under way ends. */
static void
on_interrupt(int signal)
{
	char text[256];

	(void) signal;
	interrupted = 1;
	(void) PQcancel(cancel, text, sizeof(text));
}

static void
catch_interrupts(void)
{
	struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};

	cancel = PQgetCancel(cli_connection());
	(void) sigaction(SIGINT, &action, NULL);
	(void) sigaction(SIGTERM, &action, NULL);
}

/* ---- what is shown --------------------------------------------------------------- */

static bool
is_number(const char *text)
{
	return isdigit((unsigned char) *text) && strspn(text, "0123456789") == strlen(text);
}

/* The arguments that are numbers are ids, the others are queues.  Never freed. */
static const char *
arguments(const cli_call *call, bool ids)
{
	tq_buffer list;
	const char *array;

	tq_buffer_init(&list, MAX_LISTS);
	for (int i = 0; i < call->narguments; i++)
		if (is_number(call->arguments[i]) == ids)
			tq_array_add(&list, call->arguments[i]);
	array = tq_array_end(&list);
	if (list.overflowed || array == NULL)
		cli_usage("there are too many arguments");
	return array;
}

/* The list as an array; NULL: there is none. */
static const char *
event_names(const char *list)
{
	static const char *const names[] = {"submitted", "started", "progress", "value",
										"failed", "released", "lost", "finished",
										"dead", "cancelled", "expired"};
	char *copy;
	char *rest;

	if (list == NULL)
		return NULL;
	copy = cli_copy(list);
	for (char *name = strtok_r(copy, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest))
	{
		cli_nearest nearest = {.wrong = name};
		char hint[64];

		for (int i = 0; i < COUNT(names); i++)
			(void) cli_nearest_try(&nearest, names[i]);
		if (nearest.best != NULL && strcmp(nearest.best, name) == 0)
			continue;
		snprintf(hint, sizeof(hint), "Did you mean \"%s\"?", nearest.best);
		cli_fail(EXIT_USAGE, nearest.best != NULL ? hint : NULL,
				 "--event: there is no event \"%s\"", name);
	}
	free(copy);
	return cli_array(list);
}

/* Fields of a line for people; the data, which is as long as it is, comes last. */
static void
print_lines(const PGresult *events)
{
	for (int row = 0; row < PQntuples(events); row++)
		printf("%s  %8s  %-12s  %-9s  %s\n", PQgetvalue(events, row, TAIL_AT),
			   PQgetvalue(events, row, TAIL_TASK), PQgetvalue(events, row, TAIL_QUEUE),
			   PQgetvalue(events, row, TAIL_EVENT), PQgetvalue(events, row, TAIL_DATA));
	fflush(stdout);
}

/* The rows that are to be shown, and the columns that are printed. */
static PGresult *
shown_rows(const PGresult *read)
{
	PGresult *shown = PQcopyResult(read, PG_COPYRES_ATTRS);
	int n = 0;

	for (int row = 0; shown != NULL && row < PQntuples(read); row++)
	{
		if (*PQgetvalue(read, row, TAIL_SHOWN) != 't')
			continue;
		for (int i = 0; i < PQnfields(read); i++)
			if (!PQsetvalue(shown, n, i, PQgetvalue(read, row, i),
							PQgetisnull(read, row, i) ? -1 : PQgetlength(read, row, i)))
				cli_fail(EXIT_REFUSED, NULL, "out of memory");
		n++;
	}
	if (shown == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	return shown;
}

static void
print_events(const PGresult *read)
{
	PGresult *shown = shown_rows(read);

	if (PQntuples(shown) > 0 && settings.format == FORMAT_TABLE)
		print_lines(shown);
	else if (PQntuples(shown) > 0)
		cli_print(shown, TAIL_NCOLUMNS);
	PQclear(shown);
}

/* ---- following ------------------------------------------------------------------- */

/*
 * An interrupt ends a statement with an error, and the command without one.  filters: where values
 * come from that can be wrong; NULL: there are none.
 */
static PGresult *
query(const char *sql, int nvalues, const char *const *values, const cli_statement *filters)
{
	PGresult *result = cli_try(sql, nvalues, values);
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	if (!interrupted || !cli_has_code(result, "57014"))
	{
		if (filters != NULL)
			cli_refuse_value(filters, result);
		cli_fail_result(result);
	}
	PQclear(result);
	return NULL;
}

/* Reads and prints; returns the cursor behind the last event, and whether there was an event. */
static char *
read_events(const char **values, const cli_statement *filters, bool *any)
{
	PGresult *read = query(events_sql, NVALUES, values, filters);
	int last;
	char *cursor;

	*any = false;
	if (read == NULL)
		return NULL;
	last = PQntuples(read) - 1;
	print_events(read);
	*any = last >= 0 && !PQgetisnull(read, last, TAIL_EVENT);
	cursor = last < 0 ? NULL : cli_copy(PQgetvalue(read, last, TAIL_CURSOR));
	PQclear(read);
	return cursor;
}

/* On the monotonic clock; INT64_MAX: there is none. */
static int64_t
deadline(void)
{
	PGresult *result;
	int64_t ms;

	if (settings.timeout == NULL)
		return INT64_MAX;
	result = cli_query(ms_sql, 1, &settings.timeout);
	ms = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return tq_clock_ms() + ms;
}

static void
wait_for_events(const char *cursor, int64_t until_ms)
{
	char slice[32];
	const char *values[2] = {cursor, slice};
	int64_t left = until_ms - tq_clock_ms();

	if (left <= 0)
		return;
	snprintf(slice, sizeof(slice), "%d ms", (int) (left < SLICE_MS ? left : SLICE_MS));
	PQclear(query("call taskq.wait_events($1, $2)", 2, values, NULL));
}

/* A stream is off unless a queue asks for it. */
static void
tell_if_none(const char *queues)
{
	PGresult *some = cli_query(some_sql, 1, &queues);

	if (*PQgetvalue(some, 0, 0) == 'f')
		cli_note("no queue here has events; \"taskq queue alter QUEUE --events "
				 "submitted,started,finished,dead\" turns them on");
	PQclear(some);
}

static int
run_tail(cli_call *call)
{
	const char *after = cli_value(call, "after");
	const char *states = cli_value(call, "state");
	const char *values[NVALUES] = {
		[VALUE_CURSOR] = cli_value(call, "from-start") != NULL ? "start" : after,
		[VALUE_IDS] = arguments(call, true),
		[VALUE_QUEUES] = arguments(call, false),
		[VALUE_EVENTS] = event_names(cli_value(call, "event")),
		[VALUE_FILTERED] = "false",
		[VALUE_STATES] = states != NULL ? cli_array(states) : NULL,
		[VALUE_KIND] = cli_value(call, "kind"),
		[VALUE_KEY] = cli_value(call, "key"),
		[VALUE_GROUP] = cli_value(call, "group-key"),
		[VALUE_KEY_PREFIX] = cli_value(call, "key-prefix"),
		[VALUE_PAYLOAD] = cli_value(call, "payload"),
		[VALUE_ERROR] = cli_value(call, "error"),
		[VALUE_CLASS] = cli_value(call, "class"),
		[VALUE_WORKER] = cli_value(call, "worker"),
		[VALUE_SINCE] = cli_value(call, "since"),
		[VALUE_UNTIL] = cli_value(call, "until"),
	};
	cli_statement filters; /* not run: the filters are those of this function */
	char *cursor = NULL;
	int64_t until_ms;

	cli_begin(&filters, "*", "find_tasks");
	cli_pass_options(&filters, call);

	for (int i = VALUE_FILTERED + 1; i < NVALUES; i++)
		if (values[i] != NULL)
			values[VALUE_FILTERED] = "true";
	if (after != NULL && cli_value(call, "from-start") != NULL)
		cli_usage("--after and --from-start exclude each other");
	if (settings.dry_run)
		cli_usage("taskq tail changes nothing and has no --dry-run");
	cli_session_without_limit();
	if (settings.format == FORMAT_JSON)
		settings.format = FORMAT_NDJSON;
	until_ms = deadline();
	catch_interrupts();
	tell_if_none(values[VALUE_QUEUES]);
	while (!interrupted)
	{
		bool any;
		char *next = read_events(values, &filters, &any);

		if (next == NULL)
			break;
		free(cursor);
		values[VALUE_CURSOR] = cursor = next;
		if (any)
			continue;
		if (tq_clock_ms() >= until_ms)
			break;
		wait_for_events(cursor, until_ms);
	}
	if (cursor != NULL)
		cli_note("--after '%s' goes on from here", cursor);
	free(cursor);
	PQfreeCancel(cancel);
	return EXIT_DONE;
}

const cli_command cli_tail = {
	.name = "tail",
	.synopsis = "[ID | QUEUE]... [OPTION]...",
	.about = "Follow what happens to tasks: the events of queues that have them",
	.details = "Queues have events after \"taskq queue alter QUEUE --events EVENT,...\".\n"
			   "The options that choose tasks see them as they are when the event is read.\n"
			   "Begins now; at its end, also by Ctrl-C, it tells the cursor for --after. With\n"
			   "--json each line is an object and has its cursor. --timeout is the longest time.",
	.examples = "  taskq tail default --timeout '2 s'\n"
				"  taskq tail --from-start --event finished,dead --json --timeout '300 ms'",
	.max_arguments = -1,
	.options = tail_options,
	.noptions = COUNT(tail_options),
	.run = run_tail};
