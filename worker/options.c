/*
 * options.c
 *		The options of taskq-worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/options.h"
#include "client/workername.h"
#include "core/deliver.h"
#include "core/protocol.h"
#include "options.h"

#define STOP_TIMEOUT_DEFAULT_MS 30000

static worker_options options = {
	.max_inflight = TQ_INFLIGHT_DEFAULT,
	.max_per_host = TQ_PER_HOST_DEFAULT,
	.max_response = TQ_RESPONSE_DEFAULT,
	.connect_timeout_ms = TQ_CONNECT_TIMEOUT_DEFAULT_MS,
	.resend = true,
	.poll_interval_ms = TQ_POLL_INTERVAL_DEFAULT_MS,
	.stop_timeout_ms = STOP_TIMEOUT_DEFAULT_MS};

static void
add_queue(const tq_option *option, const char *name)
{
	char **longer = realloc(options.queues, (options.nqueues + 1) * sizeof(char *));

	if (longer == NULL)
		tq_options_fail("out of memory");
	if (*name == '\0')
		tq_options_fail("%s: a name must not be empty", option->name);
	options.queues = longer;
	options.queues[options.nqueues++] = tq_option_copy(name);
}

static void
read_list(bool (*parse)(tq_egress *, const char *, char *, size_t), const tq_option *option,
		  const char *text)
{
	char mistake[512];

	if (!parse(&options.egress, text, mistake, sizeof(mistake)))
		tq_options_fail("%s: %s", option->name, mistake);
}

static void
take_allow(const tq_option *option, const char *list)
{
	read_list(tq_egress_allow, option, list);
}

static void
take_deny(const tq_option *option, const char *list)
{
	read_list(tq_egress_deny, option, list);
}

static void
take_hosts(const tq_option *option, const char *list)
{
	read_list(tq_egress_hosts, option, list);
}

static void
take_ports(const tq_option *option, const char *list)
{
	read_list(tq_egress_ports, option, list);
}

static void
take_name(const tq_option *option, const char *value)
{
	if (!tq_workername_valid(value))
		tq_options_fail("%s: \"%s\" is not a name of 1 to %d bytes", option->name, value,
						TQ_MAX_WORKER_NAME);
	options.name = tq_option_copy(value);
}

static void
take_hook(const tq_option *option, const char *function)
{
	const char *mistake =
		tq_hooks_add(&options.hooks, strcmp(option->name, "before") == 0, tq_option_copy(function));

	if (mistake != NULL)
		tq_options_fail("%s: \"%s\": %s", option->name, function, mistake);
}

static const tq_option table[] = {
	{"database", "CONNINFO",
	 "libpq connection string or URI; its role needs the\n"
	 "privilege work on the queues",
	 tq_option_text, &options.database, 0, 0},
	{"queue", "NAME",
	 "a queue to serve; may be repeated (default: all that\n"
	 "are external and that the role may work on)",
	 add_queue, NULL, 0, 0},
	{"name", "NAME",
	 "what taskq.workers shows, 1 to 57 bytes (default: host\n"
	 "name and process id)",
	 take_name, NULL, 0, 0},
	{"before", "FUNCTION",
	 "an SQL function, called with the task as jsonb before\n"
	 "it is sent; false: it counts as done and is not sent;\n"
	 "may be repeated",
	 take_hook, NULL, 0, 0},
	{"after", "FUNCTION",
	 "an SQL function, called with the task and its outcome as\n"
	 "jsonb; may be repeated: the last one is first",
	 take_hook, NULL, 0, 0},
	{"once", NULL,
	 "end with status 1 if the first connection fails, or a\n"
	 "queue of --queue cannot be served (default: try again)",
	 tq_option_boolean, &options.once, 0, 0},
	{"max-inflight", "N",
	 "requests under way, 1 to 1000 (default: 100)",
	 tq_option_number, &options.max_inflight, 1, TQ_INFLIGHT_MAX},
	{"max-per-host", "N",
	 "of them to one host, 1 to 1000 (default: 32)",
	 tq_option_number, &options.max_per_host, 1, TQ_INFLIGHT_MAX},
	{"max-response", "BYTES",
	 "of a response body that are kept (default: 65536)",
	 tq_option_number, &options.max_response, 0, TQ_RESPONSE_MAX},
	{"connect-timeout", "MS",
	 "for one address (default: 10000)",
	 tq_option_number, &options.connect_timeout_ms, TQ_CONNECT_TIMEOUT_MIN_MS,
	 TQ_CONNECT_TIMEOUT_MAX_MS},
	{"poll-interval", "MS",
	 "between looks for due tasks for which there was no\n"
	 "notification, 10 to 60000 (default: 500)",
	 tq_option_number, &options.poll_interval_ms, TQ_POLL_INTERVAL_MIN_MS,
	 TQ_POLL_INTERVAL_MAX_MS},
	{"stop-timeout", "MS",
	 "for answers under way after SIGTERM or SIGINT\n"
	 "(default: 30000)",
	 tq_option_number, &options.stop_timeout_ms, 0, TQ_STOP_TIMEOUT_MAX_MS},
	{"allow", "LIST",
	 "addresses and CIDR blocks that may be reached although\n"
	 "they are not public",
	 take_allow, NULL, 0, 0},
	{"deny", "LIST",
	 "addresses and CIDR blocks that are never reached",
	 take_deny, NULL, 0, 0},
	{"hosts", "LIST",
	 "the only hosts that a URL may name: names, *.NAME,\n"
	 "addresses (default: any)",
	 take_hosts, NULL, 0, 0},
	{"ports", "LIST",
	 "the only ports, and ranges of them (default: 80,443)",
	 take_ports, NULL, 0, 0},
	{"ca-file", "FILE",
	 "certificate authorities by which receivers are\n"
	 "verified, in PEM format (default: the system's)",
	 tq_option_text, &options.ca_file, 0, 0},
	{"http2", "on|off",
	 "speak HTTP/2 with receivers that offer it over TLS, for\n"
	 "bodies of up to 16 kB (default: off)",
	 tq_option_boolean, &options.http2, 0, 0},
	{"resend", "on|off",
	 "send a request once more, in the same attempt, when a\n"
	 "connection that was kept open ends before the answer\n"
	 "begins (default: on)",
	 tq_option_boolean, &options.resend, 0, 0},
};

static const tq_program program = {
	.name = "taskq-worker",
	.version = TASKQ_VERSION,
	.about = "taskq-worker sends the push tasks of a taskq database as HTTP requests.\n"
			 "\n"
			 "Usage: taskq-worker --database CONNINFO [OPTION]...\n"
			 "\n"
			 "It performs the tasks of queues with executor => 'external', as the executor\n"
			 "inside the server does those of the others.\n",
	.notes = "On SIGTERM or SIGINT nothing more is claimed or sent.  When the answers under way\n"
			 "have come, or after --stop-timeout, the results are reported, the other tasks\n"
			 "given back, and the program ends with status 0.  A second signal ends it at once.\n",
	.options = table,
	.noptions = sizeof(table) / sizeof(table[0])};

const worker_options *
worker_options_read(int argc, char **argv)
{
	char mistake[64];

	(void) tq_egress_ports(&options.egress, TQ_PORTS_DEFAULT, mistake, sizeof(mistake));
	tq_options_read(&program, argc, argv);
	if (options.database == NULL)
		tq_options_fail("--database is missing");
	if (options.name == NULL)
		options.name = tq_workername_default();
	return &options;
}
