/*
 * keepalive.c
 *		For how long connections to a receiver may be idle and used again.
 *
 * A receiver that closes a connection while a request is on its way to it leaves it
 * open whether the request was read.  So a connection is given up before its receiver
 * does that, by what the receiver has said, or after a time that most of them allow.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/keepalive.h"

#define MARGIN_S 1

int
tq_keepalive_timeout(const char *value)
{
	static const char name[] = "timeout=";

	while (*value != '\0')
	{
		value += strspn(value, " \t,");
		if (strncasecmp(value, name, strlen(name)) == 0)
		{
			const char *digits = value + strlen(name);
			long seconds;

			if (*digits < '0' || *digits > '9')
				return -1;
			seconds = strtol(digits, NULL, 10);
			return seconds < TQ_IDLE_MAX_S ? (int) seconds : TQ_IDLE_MAX_S;
		}
		value += strcspn(value, ",");
	}
	return -1;
}

static uint32_t
hash_of(const char *host, const char *port)
{
	uint32_t hash = 2166136261u;

	for (; *host != '\0'; host++)
		hash = (hash ^ (unsigned char) *host) * 16777619u;
	for (; *port != '\0'; port++)
		hash = (hash ^ (unsigned char) *port) * 16777619u;
	return hash ^ (hash >> 16);
}

void
tq_keepalive_note(tq_keepalive *k, const char *host, const char *port, int timeout_s)
{
	uint32_t hash = hash_of(host, port);
	int slot = (int) (hash % TQ_KEEPALIVE_SLOTS);

	k->hash[slot] = hash;
	k->timeout_s[slot] = timeout_s;
}

int
tq_keepalive_idle_s(const tq_keepalive *k, const char *host, const char *port)
{
	uint32_t hash = hash_of(host, port);
	int slot = (int) (hash % TQ_KEEPALIVE_SLOTS);

	if (k->hash[slot] != hash || k->timeout_s[slot] >= TQ_IDLE_MAX_S)
		return TQ_IDLE_MAX_S;
	return k->timeout_s[slot] > MARGIN_S ? k->timeout_s[slot] - MARGIN_S : 0;
}
