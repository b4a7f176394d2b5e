/*
 * protocol.c
 *		What a store and the database tell each other: values as they are written.
 */
#include <inttypes.h>
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

void
tq_times_json(const tq_times *times, char json[TQ_TIMES_JSON_SIZE])
{
	const struct
	{
		const char *name;
		int64_t us;
	} phases[] = {
		{"dns", times->dns_us},
		{"connect", times->connect_us},
		{"tls", times->tls_us},
		{"first_byte", times->first_byte_us}};
	const char *separator = "";
	int len = snprintf(json, TQ_TIMES_JSON_SIZE, "{");
	size_t i;

	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
	{
		if (phases[i].us < 0)
			continue;
		len += snprintf(json + len, TQ_TIMES_JSON_SIZE - len, "%s\"%s\": \"%" PRId64 " us\"",
						separator, phases[i].name, phases[i].us);
		separator = ", ";
	}
	snprintf(json + len, TQ_TIMES_JSON_SIZE - len, "}");
}

/* By class: those that say something of the database's state, not of the statement. */
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
