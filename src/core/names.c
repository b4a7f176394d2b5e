/*
 * names.c
 *		International names of hosts, as DNS has them.
 *
 * libcurl would convert them, too, but takes them to be in the encoding of the
 * process's locale, which in a server is that of whoever made the database.
 */
#include <idn2.h>
#include <stdio.h>
#include <string.h>

#include "core/http.h"
#include "core/names.h"

static bool
is_ascii(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char) text[i] >= 0x80)
			return false;
	return true;
}

/* Compatibility forms can bring characters that end the host's part of a URL. */
static bool
is_name(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								  "0123456789-_.";

	return text[strspn(text, letters)] == '\0';
}

bool
tq_name_ascii(const char *name, char ascii[TQ_MAX_HOST + 1])
{
	uint8_t *converted = NULL;
	bool fits = false;

	if (is_ascii(name, strlen(name)))
		fits = snprintf(ascii, TQ_MAX_HOST + 1, "%s", name) <= TQ_MAX_HOST;
	else if (strlen(name) <= 4 * TQ_MAX_HOST &&
			 idn2_lookup_u8((const uint8_t *) name, &converted,
							IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK)
		fits = is_name((char *) converted) &&
			   snprintf(ascii, TQ_MAX_HOST + 1, "%s", (char *) converted) <= TQ_MAX_HOST;
	idn2_free(converted);
	return fits;
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
