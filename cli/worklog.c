/*
 * worklog.c
 *		The log of a worker: one line an event, as text or JSON; never a payload.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "cli/report.h"
#include "cli/settings.h"
#include "cli/values.h"
#include "cli/worklog.h"
#include "client/json.h"
#include "client/utf8.h"

#define MAX_EVENT 8400 /* longer than a line of standard error */

static FILE *log_file;
static const char *log_path;
static bool log_json;
static cli_log_level log_level;
static cli_log_teller *log_teller;

bool
cli_log_open(const char *path, bool json, cli_log_level level)
{
	log_file = path != NULL ? fopen(path, "ae") : stderr;
	log_path = path;
	log_json = json;
	log_level = level;
	if (log_file != NULL)
		setvbuf(log_file, NULL, _IOLBF, BUFSIZ);
	return log_file != NULL;
}

void
cli_log_begin(const cli_call *call)
{
	static const char *const formats[] = {"text", "json"};
	const char *path = cli_value(call, "log");
	bool json = cli_choice(call, "log-format", formats, COUNT(formats)) == 1;
	cli_log_level level = settings.verbose ? LOG_VERBOSE : settings.quiet ? LOG_QUIET
																		  : LOG_USUAL;

	if (!cli_log_open(path, json, level))
		cli_fail(EXIT_REFUSED, NULL, "cannot open %s: %s", path, strerror(errno));
}

/* If the new file cannot be opened the old one stays. */
void
cli_log_reopen(void)
{
	FILE *old = log_file;

	if (log_path == NULL)
		return;
	if (!cli_log_open(log_path, log_json, log_level))
	{
		log_file = old;
		cli_log(NULL, "cannot open %s again", log_path);
		return;
	}
	fclose(old);
}

/* Local time with milliseconds; in JSON with the offset. */
static void
write_time(void)
{
	struct timeval now;
	struct tm local;
	char text[64];
	char zone[8];

	gettimeofday(&now, NULL);
	localtime_r(&now.tv_sec, &local);
	strftime(text, sizeof(text), log_json ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &local);
	strftime(zone, sizeof(zone), "%z", &local);
	if (log_json)
		fprintf(log_file, "{\"time\":\"%s.%03ld%.3s:%.2s\"", text, now.tv_usec / 1000, zone,
				zone + 3);
	else
		fprintf(log_file, "%s.%03ld ", text, now.tv_usec / 1000);
}

static void
write_member(const char *name, const char *text)
{
	char *quoted = tq_json_bytes(text, strlen(text));

	fprintf(log_file, ",\"%s\":%s", name, quoted != NULL ? quoted : "null");
	free(quoted);
}

/* name: of the text in JSON. */
static void
write_event(const cli_job *job, const char *name, const char *text)
{
	write_time();
	if (!log_json)
	{
		fprintf(log_file, job != NULL ? "task %s: %s%s\n" : "%s%s%s\n", job != NULL ? job->id : "",
				strcmp(name, "stderr") == 0 ? "stderr: " : "", text);
		return;
	}
	if (job != NULL)
	{
		write_member("task", job->id);
		write_member("queue", job->queue->name);
	}
	write_member(name, text);
	fputs("}\n", log_file);
}

static void
log_event(const cli_job *job, const char *format, va_list args)
{
	char text[MAX_EVENT];

	vsnprintf(text, sizeof(text), format, args);
	write_event(job, "event", text);
}

void
cli_log(const cli_job *job, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_event(job, format, args);
	va_end(args);
}

void
cli_log_at(cli_log_level level, const cli_job *job, const char *format, ...)
{
	va_list args;

	if (log_level < level)
		return;
	va_start(args, format);
	log_event(job, format, args);
	va_end(args);
}

void
cli_log_tell(cli_log_teller *teller)
{
	log_teller = teller;
}

bool
cli_log_told(cli_event event, const cli_job *job, const char *what)
{
	if (log_teller != NULL)
		log_teller(event, job, what);
	return log_teller != NULL;
}

void
cli_log_text(const char *line)
{
	write_event(NULL, "event", line);
}

void
cli_log_errors(const cli_job *job, const char *line, size_t len)
{
	char text[MAX_EVENT];

	tq_utf8_clean(line, len < sizeof(text) ? len : sizeof(text) - 1, text);
	write_event(job, "stderr", text);
}
