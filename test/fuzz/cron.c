/*
 * cron.c
 *		Fuzz target: cron expressions, and their times in a zone that does anything.
 */
#include <time.h>

#include "core/cron.h"
#include "fuzz.h"

/* Of one call: 1 ms, and ten times that with the sanitizers. */
#define MAX_CPU_US 10000

/* The offset changes each so many seconds, after 3 days at least, to one of these. */
typedef struct changes
{
	uint32_t period;
	int32_t offsets[4];
} changes;

static int32_t
offset_of(const void *data, int64_t at, int64_t *until)
{
	const changes *zone = data;
	int64_t n = tq_floor_div(at, zone->period);

	*until = (n + 1) * zone->period;
	return zone->offsets[n & 3];
}

static changes
zone_from(const uint8_t *data)
{
	changes zone = {.period = 3 * 86400 + data[0] * UINT32_C(86400) + data[1]};
	int i;

	/* Two bytes each, in steps of two seconds: up to 18 hours. */
	for (i = 0; i < 4; i++)
		zone.offsets[i] = 2 * (int16_t) (data[2 + 2 * i] << 8 | data[3 + 2 * i]);
	return zone;
}

static int64_t
cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t
timed_next(const tq_cron *cron, const tq_zone *zone, int64_t after)
{
	int64_t begin = cpu_us();
	int64_t next = tq_cron_next(cron, zone, after);

	MUST(cpu_us() - begin < MAX_CPU_US);
	return next;
}

/* Times ascend, and each is the next of every instant since the one before. */
static void
check_times(const tq_cron *cron, const tq_zone *zone, int64_t after)
{
	int i;

	for (i = 0; i < 4; i++)
	{
		int64_t next = timed_next(cron, zone, after);

		if (next == TQ_CRON_NEVER)
			return;
		MUST(next > after && next <= after + 14610 * TQ_DAY_S * TQ_SECOND);
		MUST(next % TQ_SECOND == 0);
		MUST(timed_next(cron, zone, next - 1) == next);
		MUST(timed_next(cron, zone, after + (next - after) / 2) == next);
		after = next;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t head = 10 + sizeof(int64_t);
	const int64_t earliest = INT64_C(-219951244800000000); /* 5000 BC */
	int64_t after, begin;
	tq_cron cron;
	tq_cron_error error;
	changes offsets;
	tq_zone zone = {offset_of, &offsets};
	bool valid;
	char *text;

	if (size < head)
		return 0;
	offsets = zone_from(data);
	memcpy(&after, data + 10, sizeof(after));
	after = after < 0 ? earliest - after % earliest : after / 2;
	text = text_of(data + head, size - head);
	begin = cpu_us();
	valid = tq_cron_parse(text, &cron, &error);
	MUST(cpu_us() - begin < MAX_CPU_US);
	if (valid)
		check_times(&cron, &zone, after);
	else
		MUST(error.message[0] != '\0' && strlen(error.message) < sizeof(error.message));
	free(text);
	return 0;
}
