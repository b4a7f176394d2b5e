/*
 * breaker.c
 *		Stops claiming after many failures in a row.
 */
#include "cli/breaker.h"

#define FIRST_PAUSE_MS 5000
#define MAX_PAUSE_MS   300000

void
cli_breaker_init(cli_breaker *b, int limit)
{
	*b = (cli_breaker){.limit = limit};
}

bool
cli_breaker_success(cli_breaker *b)
{
	bool was_open = b->open;

	b->failures = 0;
	b->pause_ms = 0;
	b->open = false;
	return was_open;
}

bool
cli_breaker_failure(cli_breaker *b, int64_t now_ms, bool hard)
{
	/* Of the tasks that ran when it opened, failures during the pause say nothing new. */
	if (b->open && now_ms < b->until_ms)
		return false;
	b->failures++;
	if (!hard && !b->open && (b->limit == 0 || b->failures < b->limit))
		return false;
	b->pause_ms = b->pause_ms == 0 ? FIRST_PAUSE_MS : b->pause_ms * 2;
	if (b->pause_ms > MAX_PAUSE_MS)
		b->pause_ms = MAX_PAUSE_MS;
	b->until_ms = now_ms + b->pause_ms;
	b->open = true;
	return true;
}

int
cli_breaker_allows(const cli_breaker *b, int64_t now_ms, int wanted, int running)
{
	if (!b->open)
		return wanted;
	if (now_ms < b->until_ms || running > 0)
		return 0;
	return wanted < 1 ? wanted : 1;
}

int64_t
cli_breaker_left(const cli_breaker *b, int64_t now_ms)
{
	return b->open && now_ms < b->until_ms ? b->until_ms - now_ms : -1;
}
