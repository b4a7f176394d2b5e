/*
 * query.c
 *		Fuzz target: paths, queries and cookies, and lines of the file of tokens.
 */
#include "cli/serve/query.h"
#include "cli/serve/tokens.h"
#include "client/utf8.h"
#include "fuzz.h"

/* Each parameter is a part of the query, in its order. */
static void
check_parameter(void *arg, cli_slice name, cli_slice value)
{
	const char **at = arg;

	MUST(name.text >= *at && (value.text == NULL || value.text == name.text + name.len + 1));
	*at = value.text != NULL ? value.text + value.len : name.text + name.len;
	MUST(memchr(name.text, '&', name.len) == NULL && memchr(name.text, '=', name.len) == NULL);
	MUST(value.text == NULL || memchr(value.text, '&', value.len) == NULL);
}

static void
check_decoding(const char *text, size_t len)
{
	char *to = malloc(len + 1);
	const char *at = to;

	if (query_decode(text, len, true, to))
	{
		MUST(strlen(to) <= len);
		while (*at != '\0')
		{
			size_t n = tq_utf8_length(at, to + strlen(to));

			MUST(n > 0);
			at += n;
		}
	}
	free(to);
}

static void
check_path(const char *path)
{
	cli_slice segments[8];
	int n = query_segments(path, segments, 8);
	int i;

	for (i = 0; i < n; i++)
		MUST(memchr(segments[i].text, '/', segments[i].len) == NULL);
	MUST(n <= 0 || segments[n - 1].text[segments[n - 1].len] == '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1);
	const char *at = text;
	char fault[TOKEN_FAULT_SIZE];
	token_line line;
	cli_slice cookie;

	memcpy(text, data, size);
	check_decoding((const char *) data, size);
	query_split(text, check_parameter, &at);
	check_path(text);
	cookie = query_cookie(text, "taskq_session");
	MUST(cookie.text == NULL || cookie.text + cookie.len <= text + strlen(text));
	if (tokens_read_line(text, &line, fault))
		MUST(strlen(line.name) > 0 && strlen(line.role) > 0 && line.expires_s >= 0);
	free(text);
	return 0;
}
