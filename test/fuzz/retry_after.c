/*
 * retry_after.c
 *		Fuzz target: what a peer asks for with Retry-After.
 */
#include "core/outcome.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t now = 0;
	char *text;
	int64_t ms;

	/* The first bytes are the clock, which may show anything. */
	if (size < sizeof(now))
		return 0;
	memcpy(&now, data, sizeof(now));
	text = text_of(data + sizeof(now), size - sizeof(now));
	ms = tq_retry_after_parse(text, now);
	MUST(ms >= -1 && ms <= TQ_RETRY_AFTER_MAX_MS);
	MUST(tq_outcome_of(TQ_CLASS_HTTP, 429, text, now).retry_after_ms == ms);
	MUST(tq_outcome_of(TQ_CLASS_HTTP, 500, text, now).retry_after_ms == -1);
	free(text);
	return 0;
}
