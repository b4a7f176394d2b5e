/*
 * taskq.c
 *		The command line of a taskq database; called perfectqueue, that of PerfectQueue.
 */
#include <locale.h>
#include <stdbool.h>
#include <string.h>

#include "cli/command.h"
#include "cli/perfectqueue.h"
#include "cli/session.h"
#include "cli/settings.h"

/* The name by which it was called, without its path. */
static const char *
name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

int
main(int argc, char **argv)
{
	cli_call *call;

	setlocale(LC_CTYPE, "");
	cli_settings_init();
	if (argc > 0 && strcmp(name_of(argv[0]), cli_perfectqueue.name) == 0)
		call = cli_raw_call(&cli_perfectqueue, cli_perfectqueue.name, argc, argv);
	else
		call = cli_parse(argc, argv);
	return cli_session_end(call->command->run(call));
}
