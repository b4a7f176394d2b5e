/*
 * protocol.c
 *		What a store and the database tell each other: values as they are written.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/protocol.h"

const char *
tq_verdict_name(tq_verdict verdict)
{
	switch (verdict)
	{
		case TQ_SUCCESS:
			return "success";
		case TQ_PERMANENT:
			return "permanent";
		case TQ_RETRY:
			break;
	}
	return "retry";
}

#define TOGETHER_MAX   256
#define TOGETHER_BYTES (1024 * 1024)

int
tq_results_together(const tq_result *results, int n)
{
	size_t bytes = 0;
	int i;

	for (i = 0; i < n && i < TOGETHER_MAX; i++)
	{
		bytes += results[i].response->headers_len + results[i].response->body_len;
		if (i > 0 && bytes > TOGETHER_BYTES)
			break;
	}
	return i;
}

#define UNIT       " us"
#define MAX_DIGITS 15

static const struct
{
	const char *name;
	size_t offset; /* in tq_times */
} phases[] = {
	{"dns", offsetof(tq_times, dns_us)},
	{"connect", offsetof(tq_times, connect_us)},
	{"tls", offsetof(tq_times, tls_us)},
	{"first_byte", offsetof(tq_times, first_byte_us)}};

#define NPHASES (sizeof(phases) / sizeof(phases[0]))

void
tq_times_json(const tq_times *times, char json[TQ_TIMES_JSON_SIZE])
{
	const char *separator = "";
	int len = snprintf(json, TQ_TIMES_JSON_SIZE, "{");
	size_t i;

	for (i = 0; i < NPHASES; i++)
	{
		int64_t us;

		memcpy(&us, (const char *) times + phases[i].offset, sizeof(us));
		if (us < 0)
			continue;
		len += snprintf(json + len, TQ_TIMES_JSON_SIZE - len, "%s\"%s\": \"%" PRId64 UNIT "\"",
						separator, phases[i].name, us);
		separator = ", ";
	}
	snprintf(json + len, TQ_TIMES_JSON_SIZE - len, "}");
}

int64_t *
tq_times_field(tq_times *times, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < NPHASES; i++)
		if (strlen(phases[i].name) == len && memcmp(phases[i].name, name, len) == 0)
			return (int64_t *) ((char *) times + phases[i].offset);
	return NULL;
}

int64_t
tq_times_us(const char *value, size_t len)
{
	size_t digits = 0;
	int64_t us = 0;

	for (; digits < len && value[digits] >= '0' && value[digits] <= '9'; digits++)
		us = digits < MAX_DIGITS ? us * 10 + (value[digits] - '0') : 0;
	if (digits == 0 || digits > MAX_DIGITS || len != digits + strlen(UNIT) ||
		memcmp(value + digits, UNIT, strlen(UNIT)) != 0)
		return -1;
	return us;
}

/* The classes of errors that come from the state of the database and not from the statement. */
bool
tq_sqlstate_may_pass(const char *sqlstate)
{
	static const char *const classes[] = {
		"08", /* connection */
		"25", /* transaction state: read-only */
		"40", /* rolled back: deadlock, serialization */
		"53", /* resources */
		"55", /* a lock is not available */
		"57", /* an operator intervened: cancelled, shutting down */
		"58", /* input and output */
	};
	size_t i;

	for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}
