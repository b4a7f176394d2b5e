/*
 * options.c
 *		What the program was told, by its arguments and by a file.
 *
 * Both know the same options; a file has one a line, without the dashes.  They
 * are taken in the order in which they come, the later one wins.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/deliver.h"
#include "options.h"

#define MAX_FILES 8 /* one that names another */

static const char help[] =
	"taskq-worker sends the push tasks of a taskq database as HTTP requests.\n"
	"\n"
	"Usage: taskq-worker --database CONNINFO [OPTION]...\n"
	"\n"
	"It performs the tasks of queues with executor => 'external', as the executor\n"
	"inside the server does those of the others.\n"
	"\n"
	"  --database CONNINFO     libpq connection string or URI; its role needs the\n"
	"                          privilege work on the queues\n"
	"  --queue NAME            a queue to serve; may be repeated (default: all that\n"
	"                          are external and that the role may work on)\n"
	"  --name NAME             what taskq.workers shows (default: host name and\n"
	"                          process id)\n"
	"  --max-inflight N        requests under way, 1 to 1000 (default: 100)\n"
	"  --max-per-host N        of them to one host, 1 to 1000 (default: 32)\n"
	"  --max-response BYTES    of a response body that are kept (default: 65536)\n"
	"  --connect-timeout MS    for one address (default: 10000)\n"
	"  --poll-interval MS      between looks for due tasks of which no notification\n"
	"                          came, 10 to 60000 (default: 500)\n"
	"  --allow LIST            addresses and CIDR blocks that may be reached although\n"
	"                          they are not public\n"
	"  --deny LIST             those that are never reached\n"
	"  --hosts LIST            the only hosts that a URL may name: names, *.NAME,\n"
	"                          addresses (default: any)\n"
	"  --ports LIST            the only ports, and ranges of them (default: 80,443)\n"
	"  --ca-file FILE          certificate authorities by which receivers are\n"
	"                          verified, in PEM format (default: the system's)\n"
	"  --http2 on|off          speak HTTP/2 with receivers that offer it over TLS, for\n"
	"                          bodies of up to 16 kB (default: off)\n"
	"  --config FILE           read options from a file, one a line: NAME = VALUE,\n"
	"                          without the dashes; # begins a comment\n"
	"  --help                  show this, and exit\n"
	"  --version               show the version, and exit\n"
	"\n"
	"SIGTERM and SIGINT: finished results are reported, the other tasks given back,\n"
	"and the program ends with status 0; a second one ends it at once.\n";

static void
fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "taskq-worker: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry \"taskq-worker --help\".\n");
	exit(2);
}

static char *
copy(const char *text)
{
	char *copied = strdup(text);

	if (copied == NULL)
		fail("out of memory");
	return copied;
}

static int
number(const char *option, const char *text, int min, int max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		fail("%s: \"%s\" is not a number from %d to %d", option, text, min, max);
	return (int) value;
}

static void
add_queue(tq_options *options, const char *name)
{
	char **longer = realloc(options->queues, (options->nqueues + 1) * sizeof(char *));

	if (longer == NULL)
		fail("out of memory");
	if (*name == '\0')
		fail("queue: a name must not be empty");
	options->queues = longer;
	options->queues[options->nqueues++] = copy(name);
}

static bool
boolean(const char *option, const char *text)
{
	if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
		fail("%s: \"%s\" is neither on nor off", option, text);
	return strcmp(text, "on") == 0;
}

static void
list(const char *option, bool (*parse)(tq_egress *, const char *, char *, size_t),
	 tq_options *options, const char *text)
{
	char mistake[512];

	if (!parse(&options->egress, text, mistake, sizeof(mistake)))
		fail("%s: %s", option, mistake);
}

static void read_file(tq_options *options, const char *path);

/* False: there is no such option. */
static bool
take(tq_options *options, const char *name, const char *value)
{
	if (strcmp(name, "database") == 0)
		options->database = copy(value);
	else if (strcmp(name, "queue") == 0)
		add_queue(options, value);
	else if (strcmp(name, "name") == 0)
		options->name = copy(value);
	else if (strcmp(name, "ca-file") == 0)
		options->ca_file = copy(value);
	else if (strcmp(name, "http2") == 0)
		options->http2 = boolean(name, value);
	else if (strcmp(name, "max-inflight") == 0)
		options->max_inflight = number(name, value, 1, TQ_INFLIGHT_MAX);
	else if (strcmp(name, "max-per-host") == 0)
		options->max_per_host = number(name, value, 1, TQ_INFLIGHT_MAX);
	else if (strcmp(name, "max-response") == 0)
		options->max_response = number(name, value, 0, TQ_RESPONSE_MAX);
	else if (strcmp(name, "connect-timeout") == 0)
		options->connect_timeout_ms =
			number(name, value, TQ_CONNECT_TIMEOUT_MIN_MS, TQ_CONNECT_TIMEOUT_MAX_MS);
	else if (strcmp(name, "poll-interval") == 0)
		options->poll_interval_ms =
			number(name, value, TQ_POLL_INTERVAL_MIN_MS, TQ_POLL_INTERVAL_MAX_MS);
	else if (strcmp(name, "allow") == 0)
		list(name, tq_egress_allow, options, value);
	else if (strcmp(name, "deny") == 0)
		list(name, tq_egress_deny, options, value);
	else if (strcmp(name, "hosts") == 0)
		list(name, tq_egress_hosts, options, value);
	else if (strcmp(name, "ports") == 0)
		list(name, tq_egress_ports, options, value);
	else if (strcmp(name, "config") == 0)
		read_file(options, value);
	else
		return false;
	return true;
}

/* Without the blanks at both ends. */
static char *
trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	return text;
}

static void
take_line(tq_options *options, const char *path, int number_of_line, char *line)
{
	char *name = trim(line);
	char *value = strchr(name, '=');

	if (*name == '\0' || *name == '#')
		return;
	if (value == NULL)
		fail("%s, line %d: not NAME = VALUE", path, number_of_line);
	*value++ = '\0';
	if (!take(options, trim(name), trim(value)))
		fail("%s, line %d: there is no option \"%s\"", path, number_of_line, trim(name));
}

static void
read_file(tq_options *options, const char *path)
{
	static int depth = 0;
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	int number_of_line = 0;

	if (file == NULL)
		fail("%s: %s", path, strerror(errno));
	if (++depth > MAX_FILES)
		fail("%s: files name each other", path);
	while (getline(&line, &size, file) >= 0)
		take_line(options, path, ++number_of_line, line);
	depth--;
	free(line);
	fclose(file);
}

/* Host and process, as far as it is known. */
static char *
default_name(void)
{
	char host[HOST_NAME_MAX + 1] = "unknown";
	char name[HOST_NAME_MAX + 16];

	(void) gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "%.64s:%d", host, (int) getpid());
	return copy(name);
}

static void
set_defaults(tq_options *options)
{
	char mistake[64];

	memset(options, 0, sizeof(*options));
	options->max_inflight = TQ_INFLIGHT_DEFAULT;
	options->max_per_host = TQ_PER_HOST_DEFAULT;
	options->max_response = TQ_RESPONSE_DEFAULT;
	options->connect_timeout_ms = TQ_CONNECT_TIMEOUT_DEFAULT_MS;
	options->poll_interval_ms = TQ_POLL_INTERVAL_DEFAULT_MS;
	(void) tq_egress_ports(&options->egress, TQ_PORTS_DEFAULT, mistake, sizeof(mistake));
}

void
tq_options_read(tq_options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"allow", required_argument, NULL, 0},
		{"ca-file", required_argument, NULL, 0},
		{"http2", required_argument, NULL, 0},
		{"config", required_argument, NULL, 0},
		{"connect-timeout", required_argument, NULL, 0},
		{"database", required_argument, NULL, 0},
		{"deny", required_argument, NULL, 0},
		{"help", no_argument, NULL, 'h'},
		{"hosts", required_argument, NULL, 0},
		{"max-inflight", required_argument, NULL, 0},
		{"max-per-host", required_argument, NULL, 0},
		{"max-response", required_argument, NULL, 0},
		{"name", required_argument, NULL, 0},
		{"poll-interval", required_argument, NULL, 0},
		{"ports", required_argument, NULL, 0},
		{"queue", required_argument, NULL, 0},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0}};
	int index;
	int c;

	set_defaults(options);
	while ((c = getopt_long(argc, argv, "h", known, &index)) != -1)
	{
		if (c == 'h')
		{
			fputs(help, stdout);
			exit(0);
		}
		if (c == 'v')
		{
			puts("taskq-worker " TASKQ_VERSION);
			exit(0);
		}
		if (c != 0)
			fail("what was meant?");
		(void) take(options, known[index].name, optarg);
	}
	if (optind < argc)
		fail("\"%s\" is not an option", argv[optind]);
	if (options->database == NULL)
		fail("--database is missing");
	if (options->name == NULL)
		options->name = default_name();
}
