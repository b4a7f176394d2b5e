/*
 * config.c
 *		apply, export: what there is in the database, as a file.
 *
 * The server plans and acts; see apply_config().
 */
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/config.h"
#include "cli/configfiles.h"
#include "cli/jsondoc.h"
#include "cli/meter.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "core/clock.h"

#define MAX_FILES 256

static const char export_sql[] = "select taskq.export_config()";
static const char pretty_sql[] = "select pg_catalog.jsonb_pretty(taskq.export_config())";

/* Columns of apply_config(). */
enum
{
	ACTION,
	OBJECT,
	NAME,
	DETAIL,
	NCOLUMNS
};

/* ---- the plan ---------------------------------------------------------------------------- */

static const struct
{
	const char *action;
	const char *sign;
	const char *color;
	bool change;
} actions[] = {
	{"create", "+", "green", true},
	{"alter", "~", "yellow", true},
	{"drop", "-", "red", true},
	{"keep", "-", "gray", false},
};

static int
action_of(const PGresult *plan, int row)
{
	int i;

	for (i = 0; i < COUNT(actions) - 1; i++)
		if (strcmp(actions[i].action, PQgetvalue(plan, row, ACTION)) == 0)
			break;
	return i;
}

static int
count_changes(const PGresult *plan)
{
	int changes = 0;
	int row;

	for (row = 0; row < PQntuples(plan); row++)
		changes += actions[action_of(plan, row)].change;
	return changes;
}

static struct libscols_table *
plan_table(void)
{
	static const char *const names[] = {"", "object", "name", "detail"};
	struct libscols_table *table;
	int i;

	scols_init_debug(0);
	table = scols_new_table();
	if (table == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	scols_table_enable_noheadings(table, 1);
	scols_table_enable_colors(table, settings.color);
	scols_table_set_column_separator(table, "  ");
	scols_table_set_termforce(table, isatty(STDOUT_FILENO) ? SCOLS_TERMFORCE_AUTO
														   : SCOLS_TERMFORCE_NEVER);
	for (i = 0; i < NCOLUMNS; i++)
		scols_table_new_column(table, names[i], 0, i == DETAIL ? SCOLS_FL_WRAP : 0);
	return table;
}

/* One line for each object, with a sign for the action. */
static void
print_plan(const PGresult *plan)
{
	struct libscols_table *table = plan_table();
	int row;
	int i;

	for (row = 0; row < PQntuples(plan); row++)
	{
		struct libscols_line *line = scols_table_new_line(table, NULL);
		int action = action_of(plan, row);

		if (line == NULL)
			cli_fail(EXIT_REFUSED, NULL, "out of memory");
		for (i = OBJECT; i < NCOLUMNS; i++)
			scols_line_set_data(line, (size_t) i, PQgetvalue(plan, row, i));
		scols_line_set_data(line, ACTION, actions[action].sign);
		scols_line_set_color(line, actions[action].color);
	}
	scols_print_table(table);
	scols_unref_table(table);
	fflush(stdout);
}

static void
show_plan(const PGresult *plan)
{
	int changes = count_changes(plan);

	if (settings.format == FORMAT_TABLE && PQntuples(plan) > 0)
		print_plan(plan);
	else if (settings.format != FORMAT_TABLE)
		cli_print(plan, NCOLUMNS);
	cli_note("%d change%s.", changes, changes == 1 ? "" : "s");
}

/* ---- apply ------------------------------------------------------------------------------- */

static PGresult *
apply_document(const cli_call *call, const char *document, const char *dry_run)
{
	cli_statement s;

	cli_begin(&s, "*", "apply_config");
	cli_pass(&s, "config", NULL, document);
	cli_pass_options(&s, call);
	cli_pass(&s, "dry_run", NULL, dry_run);
	return cli_end_or_fail(&s, "");
}

/* Asks before objects are dropped. */
static void
confirm_drops(const cli_call *call, const char *document)
{
	PGresult *plan = apply_document(call, document, "true");
	int drops = 0;
	int row;

	for (row = 0; row < PQntuples(plan); row++)
		drops += strcmp(PQgetvalue(plan, row, ACTION), "drop") == 0;
	if (drops > 0)
		cli_confirm("drop %d object%s that no file names?", drops, drops == 1 ? "" : "s");
	PQclear(plan);
}

/* The whole document is one statement, which does not tell how far it is. */
static void
show_time(void)
{
	cli_meter_show_time(tq_clock_ms());
}

static int
run_apply(cli_call *call)
{
	const char *paths[MAX_FILES];
	const char *document;
	PGresult *plan;
	int status;
	int n = 0;
	int i;

	for (i = 0; i < call->ngiven; i++)
	{
		if (strcmp(call->given[i].option->name, "file") != 0)
			continue;
		if (n == MAX_FILES)
			cli_usage("there are more than %d files", MAX_FILES);
		paths[n++] = call->given[i].value;
	}
	if (n == 0)
		cli_usage("taskq apply needs a file: -f FILE, or -f - for standard input");
	document = cli_config_document(paths, n);
	if (cli_value(call, "prune") != NULL && !settings.dry_run && !settings.yes)
		confirm_drops(call, document);
	cli_meter_begin("apply", n == 1 ? paths[0] : "", settings.quiet, tq_clock_ms());
	cli_session_watch(show_time);
	plan = apply_document(call, document, settings.dry_run ? "true" : NULL);
	cli_meter_clear();
	show_plan(plan);
	status = settings.dry_run && count_changes(plan) > 0 ? EXIT_NOTHING : EXIT_DONE;
	PQclear(plan);
	return status;
}

static const cli_option apply_options[] = {
	{'f', "file", "FILE",
	 "YAML or JSON; - for standard input; a\ndirectory: its files *.yaml, *.yml, *.json;\nmay be "
	 "repeated",
	 NULL, NULL, NULL},
	{0, "prune", NULL, "drop what the files do not name, of the\nsections that they have", "prune",
	 NULL, NULL},
	{0, "force", NULL, "with --prune: also queues with live tasks,\nwhich are cancelled", "force",
	 NULL, NULL}};

const cli_command cli_apply = {
	.name = "apply",
	.synopsis = "-f FILE [OPTION]...",
	.about = "Make queues, endpoints, policies and schedules as files say",
	.details = "All is done in one transaction, or nothing.  What the files do not name is not "
			   "touched.\nKeys are the arguments of the SQL functions: see apply_config().  !env "
			   "NAME "
			   "stands for an\nenvironment variable, !file PATH for the content of a file.  With "
			   "--dry-run the exit status\nis 3 if something would change.",
	.examples = "  taskq export > taskq.yaml && taskq apply -f taskq.yaml --dry-run",
	.options = apply_options,
	.noptions = COUNT(apply_options),
	.run = run_apply};

/* ---- export ------------------------------------------------------------------------------ */

static int
run_export(cli_call *call)
{
	bool json = settings.format == FORMAT_JSON || settings.format == FORMAT_NDJSON;
	PGresult *config;
	const char *text;

	(void) call;
	if (settings.fields != NULL)
		cli_usage("taskq export has no fields to choose from");
	config = cli_query(settings.format == FORMAT_JSON ? pretty_sql : export_sql, 0, NULL);
	text = PQgetvalue(config, 0, 0);
	if (json)
		puts(text);
	else if (!cli_jsondoc_write(text, strlen(text), stdout))
		cli_fail(EXIT_REFUSED, NULL, "the configuration cannot be written");
	PQclear(config);
	return EXIT_DONE;
}

const cli_command cli_export = {
	.name = "export",
	.synopsis = "",
	.about = "Write queues, endpoints, policies and schedules as a file for apply",
	.details = "The file is YAML, or JSON with --json.  In place of headers and secrets it has the "
			   "names of\nenvironment variables, such as !env ACME_AUTHORIZATION.",
	.examples = "  taskq export",
	.run = run_export};
