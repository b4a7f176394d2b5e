/*
 * request.c
 *		Which methods and headers a request may have.
 *
 * libcurl passes control characters in headers and methods on as they are, so
 * they are checked here, at submission and once more before they are sent.
 */
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/request.h"

/* The characters of a token: RFC 9110, section 5.6.2. */
static const bool is_token_character[256] = {
	['0' ... '9'] = true,
	['A' ... 'Z'] = true,
	['a' ... 'z'] = true,
	['!'] = true,
	['#'] = true,
	['$'] = true,
	['%'] = true,
	['&'] = true,
	['\''] = true,
	['*'] = true,
	['+'] = true,
	['-'] = true,
	['.'] = true,
	['^'] = true,
	['_'] = true,
	['`'] = true,
	['|'] = true,
	['~'] = true,
};

/* The length of the token that s begins with. */
static size_t
token_length(const char *s)
{
	size_t len = 0;

	while (is_token_character[(unsigned char) s[len]])
		len++;
	return len;
}

/* A value may have any byte above 0x7f: sender and receiver agree on its encoding. */
static bool
is_field_value(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char) *s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

const char *
tq_method_invalid(const char *method)
{
	size_t len = token_length(method);

	if (len == 0 || method[len] != '\0')
		return "method is not a token";
	if (len > TQ_MAX_METHOD)
		return "method is too long";
	if (strcasecmp(method, "TRACE") == 0 || strcasecmp(method, "CONNECT") == 0)
		return "method may not be used";
	return NULL;
}

/* All headers that a submitter may not set. */
static const struct
{
	const char *name;
	size_t len;
	tq_header_owner owner;
} reserved_headers[] = {
	{"Host", 4, TQ_HEADER_ENGINE},
	{"Content-Length", 14, TQ_HEADER_ENGINE},
	{"Transfer-Encoding", 17, TQ_HEADER_ENGINE},
	{"Connection", 10, TQ_HEADER_ENGINE},
	{"User-Agent", 10, TQ_HEADER_TASKQ},
	{"X-Task-Id", 9, TQ_HEADER_TASKQ},
	{"X-Task-Queue", 12, TQ_HEADER_TASKQ},
	{"X-Task-Attempt", 14, TQ_HEADER_TASKQ},
	{"X-Task-Key", 10, TQ_HEADER_TASKQ},
	{"X-Task-Trace", 12, TQ_HEADER_TASKQ},
	{"X-Task-Token", 12, TQ_HEADER_TASKQ},
	{"Idempotency-Key", 15, TQ_HEADER_TASKQ},
	{"webhook-id", 10, TQ_HEADER_TASKQ},
	{"webhook-timestamp", 17, TQ_HEADER_TASKQ},
	{"webhook-signature", 17, TQ_HEADER_TASKQ},
};

static tq_header_owner
owner_of(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(reserved_headers) / sizeof(reserved_headers[0]); i++)
		if (reserved_headers[i].len == len &&
			strncasecmp(reserved_headers[i].name, name, len) == 0)
			return reserved_headers[i].owner;
	return TQ_HEADER_SUBMITTER;
}

tq_header_owner
tq_header_owner_of(const char *name)
{
	return owner_of(name, strlen(name));
}

bool
tq_header_may_be_secret(const char *name)
{
	static const char *const parts[] = {
		"auth", "cookie", "token", "secret", "passw", "key", "sign", "credential", "session"};
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcasestr(name, parts[i]) != NULL)
			return true;
	return false;
}

static const char *
header_invalid(const char *name, size_t len, const char *value)
{
	if (len == 0 || token_length(name) < len)
		return "header name is not a token";
	if (owner_of(name, len) == TQ_HEADER_ENGINE)
		return "header may not be set";
	if (!is_field_value(value))
		return "header value has a control character";
	return NULL;
}

const char *
tq_header_invalid(const char *name, const char *value)
{
	return header_invalid(name, strlen(name), value);
}

const char *
tq_header_line_invalid(const char *line)
{
	const char *colon = strchr(line, ':');

	if (colon == NULL)
		return "header line has no colon";
	return header_invalid(line, (size_t) (colon - line), colon + 1);
}
