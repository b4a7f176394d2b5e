/*
 * url.c
 *		URLs and paths: which are allowed, what they name, their ASCII form.
 *
 * curl's parser decides what a URL means, and its handle drives the transfer, so
 * the host that is checked is the host that is connected to.  The checks before it
 * look at bytes only and merely narrow what reaches it: curl accepts more spellings
 * of URLs than a task should have.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/url.h"

const char tq_out_of_memory[] = "out of memory";

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

static bool
is_name_character(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		   (c != '\0' && strchr("-._", c) != NULL);
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
		if (!is_name_character(*p))
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

/* ---- the ASCII form ------------------------------------------------------- */

static bool
is_ascii(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char) text[i] >= 0x80)
			return false;
	return true;
}

/* url: scheme and "://" are head bytes, then comes the host. */
static const char *
convert(const char *url, size_t head, size_t host_len, char ascii[TQ_MAX_URL + 1])
{
	char host[4 * TQ_MAX_HOST + 1];
	char name[TQ_MAX_HOST + 1];

	if (host_len > sizeof(host) - 1)
		return "host name in URL is too long";
	memcpy(host, url + head, host_len);
	host[host_len] = '\0';
	if (!tq_name_ascii(host, name))
		return "host name in URL is not one of a host";
	if (snprintf(ascii, TQ_MAX_URL + 1, "%.*s%s%s", (int) head, url, name, url + head + host_len) >
		TQ_MAX_URL)
		return "URL is too long";
	return NULL;
}

const char *
tq_url_ascii(const char *url, char ascii[TQ_MAX_URL + 1])
{
	const char *slashes = strstr(url, "://");
	size_t head = slashes != NULL ? (size_t) (slashes - url) + 3 : 0;
	size_t host_len = strcspn(url + head, ":/?#@\\");
	const char *rest = url + head + host_len;
	const char *wrong;

	if (!is_ascii(url, head) || !is_ascii(rest, strlen(rest)))
		return "only the host may have characters outside ASCII, all else is percent-encoded";
	if (!is_ascii(url + head, host_len))
		wrong = convert(url, head, host_len, ascii);
	else
		wrong = snprintf(ascii, TQ_MAX_URL + 1, "%s", url) > TQ_MAX_URL ? "URL is too long" : NULL;
	return wrong != NULL ? wrong : tq_url_invalid(ascii);
}
