/*
 * meter.c
 *		How far a command is that can last, on standard error.
 */
#include <langinfo.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/meter.h"

#define CELLS         20  /* of the bar */
#define TERMINAL_WAIT 500 /* milliseconds, likewise the next */
#define TERMINAL_STEP 200
#define LOG_STEP      10000

static struct
{
	char what[128];
	bool quiet;
	int64_t began;
	int64_t next; /* no line before that time */
	bool visible; /* there is a line on the terminal */
} meter;

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
print_numbers(long done, long total, double part, int64_t now)
{
	double elapsed = (double) (now - meter.began) / 1000;
	long rate = elapsed > 0 ? (long) ((double) done / elapsed) : 0;
	char number[48];

	if (part >= 0 && isatty(STDERR_FILENO))
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
cli_meter_begin(const char *command, const char *what, bool quiet, int64_t now_ms)
{
	snprintf(meter.what, sizeof(meter.what), "%s %s", command, what);
	meter.quiet = quiet;
	meter.began = now_ms;
	meter.next = now_ms + (isatty(STDERR_FILENO) ? TERMINAL_WAIT : LOG_STEP);
}

/* Whether a line is due; begins it. */
static bool
begin_line(int64_t now)
{
	if (meter.quiet || now < meter.next)
		return false;
	cli_meter_clear();
	fprintf(stderr, "%s ", meter.what);
	return true;
}

static void
end_line(int64_t now)
{
	bool terminal = isatty(STDERR_FILENO);

	if (!terminal)
		fputc('\n', stderr);
	fflush(stderr);
	meter.visible = terminal;
	meter.next = now + (terminal ? TERMINAL_STEP : LOG_STEP);
}

void
cli_meter_show(long done, long total, double part, int64_t now_ms)
{
	if (!begin_line(now_ms))
		return;
	print_numbers(done, total, part > 1 ? 1 : part, now_ms);
	end_line(now_ms);
}

void
cli_meter_show_time(int64_t now_ms)
{
	if (!begin_line(now_ms))
		return;
	fprintf(stderr, "  %lld s", (long long) (now_ms - meter.began) / 1000);
	end_line(now_ms);
}

void
cli_meter_clear(void)
{
	if (meter.visible)
		fputs("\r\033[K", stderr);
	meter.visible = false;
}
