/*
 * test_meter.c
 *		The progress of long commands where standard error is no terminal: a line each ten seconds.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/meter.h"
#include "unit.h"

static FILE *file; /* stands in for standard error */
static int terminal = -1;
static long seen; /* what was read of it */

static void
begin_capture(void)
{
	file = tmpfile();
	terminal = dup(STDERR_FILENO);
	(void) dup2(fileno(file), STDERR_FILENO);
}

static void
end_capture(void)
{
	(void) dup2(terminal, STDERR_FILENO);
	close(terminal);
	fclose(file);
}

/* What was said since the last call. */
static const char *
said(void)
{
	static char text[1024];
	ssize_t n = pread(fileno(file), text, sizeof(text) - 1, seen);

	text[n > 0 ? n : 0] = '\0';
	seen += n > 0 ? n : 0;
	return text;
}

static void
test_lines(void)
{
	cli_meter_begin("redrive", "mail", false, 1000);
	cli_meter_show(500, 20000, 0.025, 10999);
	is_str(said(), "", "for ten seconds nothing is said");
	cli_meter_show(10000, 20000, 0.5, 11000);
	is_str(said(), "redrive mail 50 %  10 000 of 20 000   1 000/s   10 s left\n", "then a line");
	cli_meter_show(12000, 20000, 0.6, 20999);
	is_str(said(), "", "then nothing for ten seconds again");
	cli_meter_show(20500, 20000, 1.025, 21000);
	is_str(said(), "redrive mail 100 %  20 500 of 20 000   1 025/s   0 s left\n",
		   "more than was expected");
	cli_meter_clear();
	is_str(said(), "", "a line stays");
}

static void
test_unknown(void)
{
	cli_meter_begin("purge", "mail", false, 0);
	cli_meter_show(123, 0, -1, 10000);
	is_str(said(), "purge mail 123   12/s\n", "a total that is not known");
	cli_meter_begin("apply", "taskq.yaml", false, 0);
	cli_meter_show_time(9999);
	is_str(said(), "", "likewise of one that cannot tell how far it is");
	cli_meter_show_time(10000);
	cli_meter_show_time(20500);
	is_str(said(), "apply taskq.yaml   10 s\napply taskq.yaml   20 s\n", "the time it has taken");
}

static void
test_quiet(void)
{
	cli_meter_begin("redrive", "mail", true, 0);
	cli_meter_show(1, 2, 0.5, 60000);
	cli_meter_show_time(60000);
	is_str(said(), "", "--quiet");
}

int
main(void)
{
	begin_capture();
	test_lines();
	test_unknown();
	test_quiet();
	end_capture();
	return done();
}
