/*
 * trace.c
 *		The trace context of a task: a W3C traceparent.
 *
 * https://www.w3.org/TR/trace-context/: 00-TRACEID-PARENTID-FLAGS.  A receiver has to ignore what
 * is not exactly that, so a mistake would go unnoticed if it were passed on.
 */
#include <stdbool.h>
#include <string.h>

#include "core/trace.h"

#define VERSION_AT 0
#define TRACE_AT   3
#define PARENT_AT  36
#define FLAGS_AT   53

static bool
is_hex(const char *s, size_t len)
{
	return strspn(s, "0123456789abcdef") >= len;
}

static bool
is_zero(const char *s)
{
	return s[strspn(s, "0")] == '-';
}

const char *
tq_trace_invalid(const char *trace)
{
	if (strlen(trace) != TQ_TRACE_LEN)
		return "it does not have 55 characters";
	if (trace[TRACE_AT - 1] != '-' || trace[PARENT_AT - 1] != '-' || trace[FLAGS_AT - 1] != '-' ||
		!is_hex(trace + VERSION_AT, TRACE_AT - 1) ||
		!is_hex(trace + TRACE_AT, PARENT_AT - 1 - TRACE_AT) ||
		!is_hex(trace + PARENT_AT, FLAGS_AT - 1 - PARENT_AT) || !is_hex(trace + FLAGS_AT, 2))
		return "it is not four numbers in lower-case hexadecimal, separated by hyphens";
	if (strncmp(trace, "ff", 2) == 0)
		return "there is no version ff";
	if (is_zero(trace + TRACE_AT))
		return "its trace id is zero";
	if (is_zero(trace + PARENT_AT))
		return "its parent id is zero";
	return NULL;
}
