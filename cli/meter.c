/*
 * meter.c
 *		How far a command is that can last, on standard error.
 */
#include <langinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/meter.h"
#include "cli/settings.h"
#include "core/clock.h"

#define CELLS         20 /* of the bar */
#define TERMINAL_WAIT 0.5
#define TERMINAL_STEP 0.2
#define LOG_STEP      10.0

static struct
{
	char what[128];
	double began;
	double next;  /* no line before that time */
	bool visible; /* there is a line on the terminal */
} meter;

static double
seconds_now(void)
{
	return (double) tq_clock_ns() / 1e9;
}

/* 10 400 */
static const char *
grouped(long number, char *text, size_t size)
{
	char digits[32];
	int len = snprintf(digits, sizeof(digits), "%ld", number);
	size_t at = 0;

	for (int i = 0; i < len && at + 2 < size; i++)
	{
		if (i > 0 && (len - i) % 3 == 0)
			text[at++] = ' ';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}

/* A bar in eighths of a cell, if the terminal can show them. */
static void
print_bar(double part)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	int full = (int) (part * CELLS);
	int rest = (int) ((part * CELLS - full) * 8);
	int used = full;

	if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		return;
	fputs("▕", stderr);
	for (int i = 0; i < full; i++)
		fputs("█", stderr);
	if (full < CELLS && rest > 0)
	{
		fputs(eighths[rest], stderr);
		used++;
	}
	fprintf(stderr, "%*s▏ ", CELLS - used, "");
}

static void
print_left(double seconds)
{
	if (seconds < 100)
		fprintf(stderr, "   %.0f s left", seconds);
	else
		fprintf(stderr, "   %.0f min left", seconds / 60);
}

static void
print_line(long done, long total, double part, double now, bool terminal)
{
	double elapsed = now - meter.began;
	long rate = elapsed > 0 ? (long) ((double) done / elapsed) : 0;
	char number[48];

	fprintf(stderr, "%s ", meter.what);
	if (part >= 0 && terminal)
		print_bar(part);
	if (part >= 0)
		fprintf(stderr, "%.0f %%  ", part * 100);
	fputs(grouped(done, number, sizeof(number)), stderr);
	if (total > 0)
		fprintf(stderr, " of %s", grouped(total, number, sizeof(number)));
	fprintf(stderr, "   %s/s", grouped(rate, number, sizeof(number)));
	if (part > 0)
		print_left(elapsed / part - elapsed);
}

void
cli_meter_begin(const char *command, const char *queue)
{
	snprintf(meter.what, sizeof(meter.what), "%s %s", command, queue);
	meter.began = seconds_now();
	meter.next = meter.began + (isatty(STDERR_FILENO) ? TERMINAL_WAIT : LOG_STEP);
}

void
cli_meter_show(long done, long total, double part)
{
	bool terminal = isatty(STDERR_FILENO);
	double now = seconds_now();

	if (settings.quiet || now < meter.next)
		return;
	if (part > 1)
		part = 1;
	cli_meter_clear();
	print_line(done, total, part, now, terminal);
	if (!terminal)
		fputc('\n', stderr);
	fflush(stderr);
	meter.visible = terminal;
	meter.next = now + (terminal ? TERMINAL_STEP : LOG_STEP);
}

void
cli_meter_clear(void)
{
	if (meter.visible)
		fputs("\r\033[K", stderr);
	meter.visible = false;
}
