/*
 * commands.c
 *		The list of all commands: the one place to which a new one is added.
 */
#include <stddef.h>

#include "cli/admin.h"
#include "cli/bench.h"
#include "cli/change.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/config.h"
#include "cli/demo.h"
#include "cli/help.h"
#include "cli/look.h"
#include "cli/ls.h"
#include "cli/metrics.h"
#include "cli/perfectqueue.h"
#include "cli/progress.h"
#include "cli/receive.h"
#include "cli/serve/newtoken.h"
#include "cli/serve/serve.h"
#include "cli/setup.h"
#include "cli/submit.h"
#include "cli/show.h"
#include "cli/tail.h"
#include "cli/top.h"
#include "cli/wait.h"
#include "cli/work.h"

#define MAX_COMMANDS 80

static const cli_command help = {
	.name = "help",
	.synopsis = "[COMMAND]",
	.about = "Show the help of a command",
	.max_arguments = 2,
	.run = cli_run_help};

/* For the Makefile. */
static const cli_command manual = {
	.name = "_manual",
	.synopsis = "",
	.about = "Print the manual page",
	.run = cli_run_manual};

static const cli_command *const first_commands[] = {
	&cli_submit, &cli_publish, &cli_http, &cli_work, &cli_progress, &cli_ls, &cli_show,
	&cli_result, &cli_wait, &cli_tail, &cli_cancel, &cli_retry, &cli_redrive, &cli_reschedule,
	&cli_purge};

static const cli_command *const last_commands[] = {
	&cli_stats, &cli_top, &cli_status, &cli_check, &cli_metrics, &cli_apply, &cli_export,
	&cli_bench, &cli_demo, &cli_setup, &cli_serve, &cli_token_new, &cli_receive, &cli_perfectqueue,
	&cli_completion, &help, &cli_complete, &manual};

/* Built at the first call. */
const cli_command *const *
cli_commands(int *count)
{
	static const cli_command *all[MAX_COMMANDS];
	static int n;
	int i;

	for (i = 0; n == 0 && i < COUNT(first_commands); i++)
		all[i] = first_commands[i];
	for (i = 0; n == 0 && i < nadmin_commands; i++)
		all[COUNT(first_commands) + i] = &admin_commands[i];
	for (i = 0; n == 0 && i < COUNT(last_commands); i++)
		all[COUNT(first_commands) + nadmin_commands + i] = last_commands[i];
	*count = n = COUNT(first_commands) + nadmin_commands + COUNT(last_commands);
	return all;
}
