/*
 * look.c
 *		Commands that look at the whole: stats, status, check.
 *
 * check follows the convention of plug-ins for monitoring: one line, and the exit status is 0 for
 * OK, 1 for WARNING, 2 for CRITICAL, 3 for UNKNOWN.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/input.h"
#include "cli/look.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "client/json.h"
#include "core/buffer.h"
#include "core/clock.h"

#define STATS_COLUMNS 10
#define FINISHED      5 /* of these */

/* clang-format off */
#define STATS_BEGIN \
	"select s.queue, s.pending, s.due, s.running, " \
	"pg_catalog.date_trunc('milliseconds', s.oldest_due_age) as oldest_due, s.finished, s.dead, " \
	"s.cancelled, s.expired, "
#define STATS_END \
	"case when q.paused then 'paused' end as paused, s.since from taskq.queue_stats($1) s " \
	"left join taskq.queues q on q.queue = s.queue order by s.queue"
/* clang-format on */

static const char stats_sql[] = STATS_BEGIN STATS_END;

/* clang-format off */
/* $2: how many had finished at the look before, by queue; $3: milliseconds since then. */
static const char watch_sql[] =
	STATS_BEGIN
	"case when s.finished >= ($2::jsonb ->> s.queue)::bigint then pg_catalog.round("
	"(s.finished - ($2::jsonb ->> s.queue)::bigint) * 1000.0 / $3::bigint, 1) end as per_s, "
	STATS_END;
/* clang-format on */

static const char status_sql[] =
	"select \"check\", severity, detail, hint, ok from taskq.status($1) "
	"where $2::text[] is null or \"check\" = any ($2::text[])";
static const char check_sql[] =
	"select pending, coalesce(extract(epoch from oldest_due_age), 0)::numeric(20, 3), "
	"coalesce(dead, 0) from taskq.queue_stats($1)";

static const cli_option stats_options[] = {
	{0, "watch", "[=SECONDS]", "look again and again (default: every 2 s), and show\n"
							   "how many tasks finish in a second",
	 NULL, NULL, NULL}};

static const cli_option status_options[] = {
	{0, "queue", "QUEUE", "what concerns this queue", NULL, NULL, NULL},
	{0, "only", "CHECK,...", "only these checks", NULL, NULL, NULL}};

static const cli_option check_options[] = {
	{0, "queue", "QUEUE", "the queue whose numbers are checked", NULL, NULL, NULL},
	{0, "due-age", "WARN:CRIT", "seconds that the first due task has waited", NULL, NULL, NULL},
	{0, "dead", "WARN:CRIT", "dead tasks since the server started, or since the\nlast "
							 "check with this --state",
	 NULL, NULL, NULL},
	{0, "pending", "WARN:CRIT", "pending tasks", NULL, NULL, NULL},
	{0, "status", "CHECK,...", "checks of status that must be ok", NULL, NULL, NULL},
	{0, "state", "FILE", "keeps the number of dead tasks between two checks", NULL, NULL, NULL}};

/* ---- stats ------------------------------------------------------------------- */

/* How many tasks have finished, as a JSON object by queue; the caller's to free. */
static char *
finished_by_queue(const PGresult *stats)
{
	tq_buffer json;
	size_t len;
	int i;

	tq_buffer_init(&json, INT_MAX);
	tq_buffer_append(&json, "{", 1);
	for (i = 0; i < PQntuples(stats); i++)
	{
		const char *finished =
			PQgetisnull(stats, i, FINISHED) ? "null" : PQgetvalue(stats, i, FINISHED);
		const char *name = PQgetvalue(stats, i, 0);
		char *quoted = tq_json_string(name, strlen(name));

		if (quoted == NULL)
			cli_fail(EXIT_REFUSED, NULL, "out of memory");
		tq_buffer_append(&json, ",", i > 0 ? 1 : 0);
		tq_buffer_append(&json, quoted, strlen(quoted));
		tq_buffer_append(&json, ":", 1);
		tq_buffer_append(&json, finished, strlen(finished));
		free(quoted);
	}
	tq_buffer_append(&json, "}", 1);
	return tq_buffer_steal(&json, &len);
}

/* Looks again and again; each look but the first has the rate since the one before. */
static void
watch_stats(const char *queue, int seconds)
{
	char *before = cli_copy("{}");
	int64_t before_ms = 0;

	for (;;)
	{
		int64_t now = tq_clock_ms();
		char elapsed[32];
		const char *values[3] = {queue, before, elapsed};
		PGresult *stats;

		snprintf(elapsed, sizeof(elapsed), "%lld", (long long) (now - before_ms + 1));
		stats = cli_query(watch_sql, 3, values);
		if (settings.format == FORMAT_TABLE && isatty(STDOUT_FILENO))
			fputs("\033[H\033[J", stdout);
		cli_print(stats, STATS_COLUMNS + 1);
		/* The reader of a pipe has ended, and SIGPIPE is ignored. */
		if (ferror(stdout))
			exit(EXIT_REFUSED);
		free(before);
		before = finished_by_queue(stats);
		before_ms = now;
		PQclear(stats);
		sleep((unsigned) seconds);
	}
}

static int
run_stats(cli_call *call)
{
	const char *queue = cli_argument(call, 0);
	const char *watch = cli_value(call, "watch");
	PGresult *stats;

	if (watch != NULL)
		watch_stats(queue, strcmp(watch, "true") == 0 ? 2 : cli_number(call, "watch", 1, 86400, 2));
	stats = cli_query(stats_sql, 1, &queue);
	cli_print(stats, STATS_COLUMNS);
	PQclear(stats);
	return EXIT_DONE;
}

/* ---- status ------------------------------------------------------------------ */

static void
show_check(const PGresult *checks, int row)
{
	bool ok = *PQgetvalue(checks, row, 4) == 't';

	printf("%s %-18s %s\n", ok ? "\342\234\223" : "\342\234\227", PQgetvalue(checks, row, 0),
		   PQgetvalue(checks, row, 2));
	if (!ok && !PQgetisnull(checks, row, 3))
		printf("  %-18s \342\206\222 %s\n", "", PQgetvalue(checks, row, 3));
}

/* queue and only: as the arguments of status(), or NULL. */
static PGresult *
look_at_status(const char *queue, const char *only)
{
	const char *values[2] = {queue, only};

	return cli_query(status_sql, 2, values);
}

static int
print_status(const PGresult *checks)
{
	int status = EXIT_DONE;
	int i;

	for (i = 0; i < PQntuples(checks); i++)
	{
		if (settings.format == FORMAT_TABLE)
			show_check(checks, i);
		if (*PQgetvalue(checks, i, 4) == 'f')
			status = EXIT_REFUSED;
	}
	if (settings.format != FORMAT_TABLE)
		cli_print(checks, 4);
	return status;
}

static int
run_status(cli_call *call)
{
	const char *only = cli_value(call, "only");
	const char *queue = cli_argument(call, 0);
	PGresult *checks;
	int status;

	if (queue == NULL)
		queue = cli_value(call, "queue");
	checks = look_at_status(queue, only != NULL ? cli_array(only) : NULL);

	if (only != NULL && PQntuples(checks) == 0)
		cli_usage("--only: there is no check \"%s\"", only);
	status = print_status(checks);
	PQclear(checks);
	return status;
}

void
cli_show_status(void)
{
	PGresult *checks = look_at_status(NULL, NULL);

	(void) print_status(checks);
	PQclear(checks);
}

/* ---- check ------------------------------------------------------------------- */

enum
{
	CHECK_OK,
	CHECK_WARNING,
	CHECK_CRITICAL
};

/* What was found: the worst of it, its reasons, and the figures behind the bar. */
typedef struct Findings
{
	int worst;
	char reasons[1024];
	char figures[512];
} Findings;

static void
add_reason(Findings *f, int severity, const char *reason)
{
	size_t len = strlen(f->reasons);

	snprintf(f->reasons + len, sizeof(f->reasons) - len, "%s%s", len > 0 ? ", " : "", reason);
	if (severity > f->worst)
		f->worst = severity;
}

/* WARN:CRIT, or CRIT alone; a limit that is not given is -1. */
static void
read_limits(const char *name, const char *value, double *warning, double *critical)
{
	char *end;
	double first = strtod(value, &end);

	*warning = *end == ':' ? first : -1;
	*critical = first;
	if (*end == ':')
	{
		char *begin = end + 1;

		*critical = strtod(begin, &end);
		if (end == begin)
			end = "?";
	}
	if (end == value || *end != '\0')
		cli_usage("--%s: \"%s\" is not WARN:CRIT or CRIT", name, value);
}

static void
check_figure(const cli_call *call, Findings *f, const char *option, const char *unit, double figure)
{
	const char *queue = cli_value(call, "queue");
	const char *limits = cli_value(call, option);
	char text[256];
	double warning;
	double critical;
	size_t len = strlen(f->figures);

	if (limits == NULL)
		return;
	read_limits(option, limits, &warning, &critical);
	if (figure >= critical)
	{
		snprintf(text, sizeof(text), "%s %g%s (critical at %g)", option, figure, unit, critical);
		add_reason(f, CHECK_CRITICAL, text);
	}
	else if (warning >= 0 && figure >= warning)
	{
		snprintf(text, sizeof(text), "%s %g%s (warning at %g)", option, figure, unit, warning);
		add_reason(f, CHECK_WARNING, text);
	}
	if (warning >= 0)
		snprintf(text, sizeof(text), "%g", warning);
	else
		text[0] = '\0';
	snprintf(f->figures + len, sizeof(f->figures) - len, " "
														 "%s_%s=%g%s;%s;%g",
			 queue, option, figure, unit, text,
			 critical);
}

/* Dead tasks since the last check that kept its number in the file; writes the new number. */
static double
newly_dead(const char *path, double dead)
{
	double before = 0;
	FILE *file;

	if (path == NULL)
		return dead;
	file = fopen(path, "r");
	if (file != NULL)
	{
		if (fscanf(file, "%lf", &before) != 1)
			before = 0;
		fclose(file);
	}
	file = fopen(path, "w");
	if (file == NULL)
		cli_fail(3, NULL, "cannot write %s", path);
	fprintf(file, "%.0f\n", dead);
	fclose(file);
	/* The counters begin again when the server starts. */
	return dead >= before ? dead - before : dead;
}

static void
check_queue(const cli_call *call, Findings *f)
{
	const char *queue = cli_value(call, "queue");
	PGresult *stats = cli_query(check_sql, 1, &queue);

	check_figure(call, f, "due-age", "s", strtod(PQgetvalue(stats, 0, 1), NULL));
	check_figure(call, f, "dead", "",
				 newly_dead(cli_value(call, "state"), strtod(PQgetvalue(stats, 0, 2), NULL)));
	check_figure(call, f, "pending", "", strtod(PQgetvalue(stats, 0, 0), NULL));
	PQclear(stats);
}

static int
severity_of(const char *name)
{
	return strcmp(name, "error") == 0 ? CHECK_CRITICAL : CHECK_WARNING;
}

static void
check_status(const cli_call *call, Findings *f)
{
	const char *only = cli_value(call, "status");
	const char *values[2] = {NULL, only != NULL ? cli_array(only) : NULL};
	PGresult *checks;
	int i;

	if (only == NULL)
		return;
	checks = cli_query(status_sql, 2, values);
	for (i = 0; i < PQntuples(checks); i++)
		if (*PQgetvalue(checks, i, 4) == 'f')
			add_reason(f, severity_of(PQgetvalue(checks, i, 1)),
					   PQgetvalue(checks, i, 2));
	PQclear(checks);
}

static int
run_check(cli_call *call)
{
	static const char *const words[] = {"OK", "WARNING", "CRITICAL"};
	const char *queue = cli_value(call, "queue");
	Findings f = {.worst = CHECK_OK};

	settings.plugin = true;
	if (queue == NULL && cli_value(call, "status") == NULL)
		cli_usage("taskq check needs --queue or --status");
	if (queue != NULL)
		check_queue(call, &f);
	check_status(call, &f);
	printf("TASKQ %s - %s%s%s%s%s\n", words[f.worst], queue != NULL ? queue : "status", ": ",
		   f.reasons[0] != '\0' ? f.reasons : "all is well", f.figures[0] != '\0' ? " "
																					"|"
																				  : "",
		   f.figures);
	return f.worst;
}

const cli_command cli_stats = {
	.name = "stats",
	.synopsis = "[QUEUE] [--watch[=SECONDS]]",
	.about = "Show how many tasks the queues have",
	.max_arguments = 1,
	.options = stats_options,
	.noptions = COUNT(stats_options),
	.run = run_stats};

const cli_command cli_status = {
	.name = "status",
	.synopsis = "[QUEUE] [OPTION]...",
	.about = "Show what keeps tasks from being done, and what to do about it",
	.details = "Exit status 1 if a check is not ok.",
	.max_arguments = 1,
	.options = status_options,
	.noptions = COUNT(status_options),
	.run = run_status};

const cli_command cli_check = {
	.name = "check",
	.synopsis = "[OPTION]...",
	.about = "Print one line for a monitoring system",
	.details = "Exit status 0: OK, 1: WARNING, 2: CRITICAL, 3: UNKNOWN.",
	.examples = "  taskq check --queue default --due-age 60:300 --pending 100000",
	.options = check_options,
	.noptions = COUNT(check_options),
	.run = run_check};
