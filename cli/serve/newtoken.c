/*
 * newtoken.c
 *		token new: makes a token of the gateway, and its line of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/serve/newtoken.h"
#include "cli/serve/tokens.h"
#include "cli/settings.h"
#include "cli/values.h"

#define MAX_LINE 400
#define MAX_DAYS 36525

static const cli_option token_options[] = {
	{0, "expires", "WHEN", "90d for that many days, or the day: 2027-01-01", NULL, NULL, NULL},
	{0, "ui", NULL, "it may log in to the dashboard", NULL, NULL, NULL},
	{0, "append", "FILE", "add the line to this file, which is made if it is missing", NULL, NULL,
	 NULL},
};

/* " expires=YYYY-MM-DD", or nothing. */
static void
add_expiry(const char *when, char *line)
{
	char day[16];
	char *end;
	long days;
	time_t at;
	struct tm utc;

	if (when == NULL)
		return;
	days = strtol(when, &end, 10);
	at = time(NULL) + days * 86400;
	if (end != when && strcmp(end, "d") == 0 && days > 0 && days <= MAX_DAYS &&
		gmtime_r(&at, &utc) != NULL)
		strftime(day, sizeof(day), "%Y-%m-%d", &utc);
	else if (strlen(when) == 10 && tokens_day(when) > 0)
		strcpy(day, when);
	else
		cli_usage("--expires: \"%s\" is neither 90d nor a day like 2027-01-01", when);
	sprintf(line + strlen(line), " expires=%s", day);
}

/* A file without a line feed at its end gets one before. */
static void
append_line(const char *path, const char *line)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char text[MAX_LINE + 2];
	char last = '\n';
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;

	if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
		size = -1;
	sprintf(text, "%s%s\n", last != '\n' ? "\n" : "", line);
	if (size < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text) || close(fd) != 0)
		cli_fail(EXIT_REFUSED, NULL, "cannot write %s: %s", path, strerror(errno));
}

static int
run_new(cli_call *call)
{
	const char *path = cli_value(call, "append");
	unsigned char hash[TOKEN_HASH];
	char hex[2 * TOKEN_HASH + 1];
	char token[TOKEN_SIZE];
	char line[MAX_LINE];
	char copy[MAX_LINE];
	char fault[TOKEN_FAULT_SIZE];
	token_line read;

	if (!tokens_make(token))
		cli_fail(EXIT_REFUSED, NULL, "there are no random bytes");
	tokens_hash(token, strlen(token), hash);
	tokens_hex(hash, TOKEN_HASH, hex);
	if (strpbrk(cli_argument(call, 0), " \t\r\n#") != NULL ||
		strpbrk(cli_argument(call, 1), " \t\r\n#") != NULL)
		cli_usage("names have no blanks here");
	snprintf(line, sizeof(line) - 40, "%.100s %.100s %s", cli_argument(call, 0),
			 cli_argument(call, 1), hex);
	if (cli_is_on(call, "ui"))
		strcat(line, " ui");
	add_expiry(cli_value(call, "expires"), line);
	strcpy(copy, line);
	if (!tokens_read_line(copy, &read, fault))
		cli_usage("%s", fault);
	if (path != NULL && !settings.dry_run)
		append_line(path, line);
	printf("%s\n", token);
	if (path == NULL)
		printf("%s\n", line);
	else if (!settings.quiet)
		cli_note("The line of \"%s\" is in %s.  The token is not shown again; after SIGHUP the "
				 "gateway knows it.",
				 cli_argument(call, 0), path);
	return EXIT_DONE;
}

const cli_command cli_token_new = {
	.name = "token new",
	.synopsis = "NAME ROLE [OPTION]...",
	.about = "Make a token for the gateway",
	.details = "Prints the token, and the line for the file of tokens, which has only its hash:\n"
			   "name, role, hash, and options.  What the token may do is what the role may do.",
	.examples = "  taskq token new shop shop_app --expires 90d\n"
				"  taskq token new ops taskq_admin --ui --append ./tokens",
	.min_arguments = 2,
	.max_arguments = 2,
	.options = token_options,
	.noptions = COUNT(token_options),
	.run = run_new};
