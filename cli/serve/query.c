/*
 * query.c
 *		Paths, query strings and cookies, taken apart.
 *
 * They come from anybody, so nothing here allocates, and each function is a target of the fuzzer.
 */
#include <string.h>

#include "cli/serve/query.h"
#include "client/utf8.h"

static int
hex_value(char c)
{
	char lower = (char) (c | 0x20);

	if (c >= '0' && c <= '9')
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool
is_text(const char *text, const char *end)
{
	while (text < end)
	{
		size_t n = *text != '\0' ? tq_utf8_length(text, end) : 0;

		if (n == 0)
			return false;
		text += n;
	}
	return true;
}

bool
query_decode(const char *text, size_t len, bool plus, char *to)
{
	const char *end = text + len;
	const char *start = to;

	while (text < end)
	{
		int high;
		int low;

		if (*text != '%')
		{
			*to++ = plus && *text == '+' ? ' ' : *text;
			text++;
			continue;
		}
		high = end - text > 2 ? hex_value(text[1]) : -1;
		low = end - text > 2 ? hex_value(text[2]) : -1;
		if (high < 0 || low < 0)
			return false;
		*to++ = (char) (high * 16 + low);
		text += 3;
	}
	*to = '\0';
	return is_text(start, to);
}

void
query_split(const char *query, query_taker *take, void *arg)
{
	while (query != NULL && *query != '\0')
	{
		size_t len = strcspn(query, "&");
		const char *equals = memchr(query, '=', len);
		size_t name = equals != NULL ? (size_t) (equals - query) : len;

		if (len > 0)
			take(arg, (cli_slice){query, name},
				 equals != NULL ? (cli_slice){equals + 1, len - name - 1} : (cli_slice){NULL, 0});
		query += len;
		query += *query == '&' ? 1 : 0;
	}
}

int
query_segments(const char *path, cli_slice *segments, int max)
{
	int n = 0;

	if (strcmp(path, "/") == 0)
		return 0;
	while (*path == '/')
	{
		if (n == max)
			return -1;
		segments[n].text = path + 1;
		segments[n].len = strcspn(path + 1, "/");
		path = segments[n].text + segments[n].len;
		n++;
	}
	return n;
}

cli_slice
query_cookie(const char *header, const char *name)
{
	cli_slice found = {NULL, 0};
	size_t wanted = strlen(name);

	while (header != NULL && *header != '\0')
	{
		size_t len;

		header += strspn(header, " \t;");
		len = strcspn(header, ";");
		if (len > wanted && strncmp(header, name, wanted) == 0 && header[wanted] == '=')
		{
			if (found.text != NULL)
				return (cli_slice){NULL, 0};
			found.text = header + wanted + 1;
			found.len = len - wanted - 1;
			while (found.len > 0 && strchr(" \t", found.text[found.len - 1]) != NULL)
				found.len--;
		}
		header += len;
	}
	return found;
}
