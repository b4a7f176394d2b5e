/*
 * outcome.c
 *		What the end of a command means for its task: pure functions.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/outcome.h"
#include "cli/scan.h"
#include "client/json.h"
#include "client/utf8.h"

/* The output without a character of which only the beginning was kept. */
static cli_output
whole_characters(cli_output output)
{
	size_t back;

	for (back = 1; output.cut && back <= 3 && back <= output.len; back++)
	{
		const char *last = output.bytes + output.len - back;

		if (((unsigned char) *last & 0xC0) == 0x80)
			continue;
		if (tq_utf8_length(last, output.bytes + output.len) == 0)
			output.len -= back;
		break;
	}
	return output;
}

bool
cli_outcome_result(cli_result_mode mode, cli_output output, char **result, const char **mistake)
{
	bool json = (mode == RESULT_AUTO || mode == RESULT_JSON) && !output.cut &&
				cli_scan(output.bytes, output.len, NULL, NULL);

	*result = NULL;
	*mistake = NULL;
	if (mode == RESULT_NONE || (mode == RESULT_AUTO && output.len == 0))
		return true;
	if (mode == RESULT_JSON && !json)
	{
		*mistake = output.cut ? "result is too long" : "result is not JSON";
		return false;
	}
	if (json)
		*result = cli_slice_copy((cli_slice){output.bytes, output.len});
	else
	{
		output = whole_characters(output);
		*result = tq_json_bytes(output.bytes, output.len);
	}
	return *result != NULL;
}

char *
cli_outcome_error(int status, const char *line)
{
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
	char *text = NULL;

	if (WIFSIGNALED(status))
	{
		if (asprintf(&text, "ended by signal %d (%s)", WTERMSIG(status),
					 name != NULL ? name : "real-time") < 0)
			return NULL;
	}
	else if (asprintf(&text, *line != '\0' ? "exit status %d: %s" : "exit status %d",
					  WEXITSTATUS(status), line) < 0)
		return NULL;
	return text;
}

static int64_t
ms_of(struct timeval t)
{
	return (int64_t) t.tv_sec * 1000 + t.tv_usec / 1000;
}

char *
cli_outcome_detail(const cli_exit *end, const cli_output *errors)
{
	char *tail = errors != NULL ? tq_json_bytes(errors->bytes, errors->len) : NULL;
	char number[16];
	char *text = NULL;

	if (errors != NULL && tail == NULL)
		return NULL;
	snprintf(number, sizeof(number), "%d",
			 WIFSIGNALED(end->status) ? WTERMSIG(end->status) : WEXITSTATUS(end->status));
	if (asprintf(&text,
				 "{\"exit\": %s, \"signal\": %s, \"ms\": %" PRId64 ", \"user_ms\": %" PRId64
				 ", \"system_ms\": %" PRId64 ", \"max_rss_kb\": %ld%s%s}",
				 WIFSIGNALED(end->status) ? "null" : number,
				 WIFSIGNALED(end->status) ? number : "null", end->ms, ms_of(end->usage.ru_utime),
				 ms_of(end->usage.ru_stime), end->usage.ru_maxrss,
				 tail != NULL ? ", \"stderr\": " : "", tail != NULL ? tail : "") < 0)
		text = NULL;
	free(tail);
	return text;
}
