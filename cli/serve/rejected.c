/*
 * rejected.c
 *		What the gateway has refused by itself, without asking the database: counted by reason.
 */
#include "cli/serve/rejected.h"

static const char *const names[REJECTED_N] = {
	[REJECTED_MALFORMED] = "malformed",
	[REJECTED_TOO_LARGE] = "too_large",
	[REJECTED_TOO_SLOW] = "too_slow",
	[REJECTED_TOKEN] = "token",
	[REJECTED_GUESSING] = "guessing",
	[REJECTED_FORGERY] = "forgery",
	[REJECTED_QUEUED] = "queued",
	[REJECTED_WAITING] = "waiting",
	[REJECTED_STOPPING] = "stopping",
};

static unsigned long long numbers[REJECTED_N];

void
rejected_count(rejection why)
{
	numbers[why]++;
}

const char *
rejected_name(rejection why)
{
	return names[why];
}

unsigned long long
rejected_number(rejection why)
{
	return numbers[why];
}
