/*
 * request.c
 *		What a request is made of, checked and taken apart.
 *
 * curl's parser decides what a URL means.  The checks before it are on bytes
 * only and merely narrow what reaches it: libcurl passes control characters
 * in headers and methods on as they are, and takes URLs more liberally than
 * a task should have them.
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "core/http.h"
#include "core/request.h"

const char tq_out_of_memory[] = "out of memory";

/* A letter, a digit or one of marks. */
static bool
is_alnum_or(char c, const char *marks)
{
	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c != '\0' && strchr(marks, c) != NULL;
}

/* The length of the token that s begins with. */
static size_t
token_length(const char *s)
{
	size_t len = 0;

	while (is_alnum_or(s[len], "!#$%&'*+-.^_`|~"))
		len++;
	return len;
}

/* Values may have any byte above 0x7f: their encoding is nobody's business. */
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
	if (len > 32)
		return "method is too long";
	if (strcasecmp(method, "TRACE") == 0 || strcasecmp(method, "CONNECT") == 0)
		return "method may not be used";
	return NULL;
}

/* Headers that frame the message or pick its receiver are the engine's. */
static bool
is_reserved_header(const char *name, size_t len)
{
	static const char *const reserved[] = {
		"Host", "Content-Length", "Transfer-Encoding", "Connection"};
	size_t i;

	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strlen(reserved[i]) == len && strncasecmp(reserved[i], name, len) == 0)
			return true;
	return false;
}

static const char *
header_invalid(const char *name, size_t len, const char *value)
{
	if (len == 0 || token_length(name) < len)
		return "header name is not a token";
	if (is_reserved_header(name, len))
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

/* What bytes alone can tell. */
static const char *
url_text_invalid(const char *text)
{
	const char *rest;
	const char *p;

	for (p = text; *p != '\0'; p++)
	{
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			return "URL has a control character";
		if (*p == ' ')
			return "URL has a blank";
	}
	if (p - text > TQ_MAX_URL)
		return "URL is too long";

	if (strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0)
		return "URL does not begin with http:// or https://";
	rest = strchr(text, ':') + 3;
	if (*rest == '/' || *rest == '\0')
		return "URL has no host";
	if (memchr(rest, '@', strcspn(rest, "/?#")) != NULL)
		return "URL has user information";
	return NULL;
}

static const char *
curl_url_problem(CURLUcode code)
{
	switch (code)
	{
		case CURLUE_OUT_OF_MEMORY:
			return tq_out_of_memory;
		case CURLUE_NO_HOST:
			return "URL has no host";
		case CURLUE_BAD_PORT_NUMBER:
			return "URL has a bad port";
		case CURLUE_USER_NOT_ALLOWED:
			return "URL has user information";
		default:
			return "URL is malformed";
	}
}

/* A name as DNS and hosts files have it, or an IPv4 address. */
static const char *
host_name_invalid(const char *host)
{
	const char *p;

	if (*host == '\0' || *host == '.')
		return "URL has no host";
	if (strlen(host) > TQ_MAX_HOST)
		return "host name in URL is too long";
	for (p = host; *p != '\0'; p++)
	{
		if ((unsigned char) *p >= 0x80)
			return "host name in URL is not ASCII: use its xn-- form";
		if (!is_alnum_or(*p, "-._"))
			return "host name in URL has a character that no name has";
	}
	return NULL;
}

/* Copies the host without brackets.  NULL, or what is wrong with it. */
static const char *
take_host(CURLU *handle, char *host)
{
	struct in6_addr addr;
	char *text = NULL;
	CURLUcode code = curl_url_get(handle, CURLUPART_HOST, &text, 0);
	const char *problem = NULL;
	size_t len;

	if (code != CURLUE_OK)
		return curl_url_problem(code);

	len = strlen(text);
	if (len > 2 && text[0] == '[' && text[len - 1] == ']')
	{
		len -= 2;
		memmove(text, text + 1, len);
		text[len] = '\0';
		if (inet_pton(AF_INET6, text, &addr) != 1)
			problem = "URL has a malformed IPv6 address";
	}
	else
		problem = host_name_invalid(text);
	if (problem == NULL)
		memcpy(host, text, len + 1);
	curl_free(text);
	return problem;
}

static const char *
take_port(CURLU *handle, char port[6])
{
	char *text = NULL;
	CURLUcode code = curl_url_get(handle, CURLUPART_PORT, &text, CURLU_DEFAULT_PORT);
	const char *problem = NULL;

	if (code != CURLUE_OK)
		return curl_url_problem(code);
	if (strlen(text) > 5 || strspn(text, "0") == strlen(text))
		problem = "URL has a bad port";
	else
		strcpy(port, text);
	curl_free(text);
	return problem;
}

/* A zone names an interface of this machine, which no task may choose. */
static const char *
zone_invalid(CURLU *handle)
{
	char *text = NULL;
	CURLUcode code = curl_url_get(handle, CURLUPART_ZONEID, &text, 0);

	curl_free(text);
	if (code == CURLUE_NO_ZONEID)
		return NULL;
	return code == CURLUE_OK ? "URL has an IPv6 zone" : curl_url_problem(code);
}

const char *
tq_url_parse(const char *text, tq_url *url)
{
	const char *problem = url_text_invalid(text);
	CURLUcode code;

	url->handle = NULL;
	if (problem != NULL)
		return problem;
	url->handle = curl_url();
	if (url->handle == NULL)
		return tq_out_of_memory;

	code = curl_url_set(url->handle, CURLUPART_URL, text, CURLU_DISALLOW_USER);
	if (code != CURLUE_OK)
		problem = curl_url_problem(code);
	if (problem == NULL)
		problem = zone_invalid(url->handle);
	if (problem == NULL)
		problem = take_host(url->handle, url->host);
	if (problem == NULL)
		problem = take_port(url->handle, url->port);
	if (problem != NULL)
	{
		curl_url_cleanup(url->handle);
		url->handle = NULL;
	}
	return problem;
}

const char *
tq_url_invalid(const char *text)
{
	tq_url url;
	const char *problem = tq_url_parse(text, &url);

	if (problem == NULL)
		curl_url_cleanup(url.handle);
	return problem;
}

/* A dot as such or percent-encoded: its length, or 0. */
static size_t
dot_length(const char *s)
{
	if (*s == '.')
		return 1;
	return strncasecmp(s, "%2e", 3) == 0 ? 3 : 0;
}

/* Whether the segment that begins here is "." or "..". */
static bool
is_dot_segment(const char *s)
{
	size_t len = dot_length(s);

	if (len == 0)
		return false;
	len += dot_length(s + len);
	return strchr("/?;", s[len]) != NULL;
}

const char *
tq_path_invalid(const char *path)
{
	const char *p;

	if (*path != '/' && *path != '?')
		return "path does not begin with / or ?";
	for (p = path; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f)
			return "path has a blank or a control character";
		if (*p == '#' || *p == '\\')
			return "path has a # or a backslash";
	}
	if (p - path > TQ_MAX_URL)
		return "path is too long";
	for (p = path; *p != '\0' && *p != '?'; p++)
		if (strncasecmp(p, "%2f", 3) == 0 || strncasecmp(p, "%5c", 3) == 0)
			return "path has an encoded slash or backslash";
	for (p = path; *p == '/'; p += 1 + strcspn(p + 1, "/?"))
		if (is_dot_segment(p + 1))
			return "path has a dot segment";
	return NULL;
}
