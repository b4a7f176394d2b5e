/*
 * utf8.c
 *		Characters in UTF-8.
 */
#include <string.h>

#include "client/utf8.h"

size_t
tq_utf8_length(const char *at, const char *end)
{
	const unsigned char *c = (const unsigned char *) at;
	size_t room = (size_t) (end - at);
	size_t len = c[0] < 0x80 ? 1 : c[0] < 0xC2 ? 0
							   : c[0] < 0xE0   ? 2
							   : c[0] < 0xF0   ? 3
											   : 4;
	size_t i;

	if (len == 0 || c[0] > 0xF4 || room < len)
		return 0;
	for (i = 1; i < len; i++)
		if ((c[i] & 0xC0) != 0x80)
			return 0;
	/* Too long a form, a surrogate, beyond U+10FFFF. */
	if ((c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F) ||
		(c[0] == 0xF0 && c[1] < 0x90) || (c[0] == 0xF4 && c[1] > 0x8F))
		return 0;
	return len;
}

size_t
tq_utf8_put(char *to, uint32_t c)
{
	if (c < 0x80)
	{
		to[0] = (char) c;
		return 1;
	}
	if (c < 0x800)
	{
		to[0] = (char) (0xC0 | c >> 6);
		to[1] = (char) (0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000)
	{
		to[0] = (char) (0xE0 | c >> 12);
		to[1] = (char) (0x80 | (c >> 6 & 0x3F));
		to[2] = (char) (0x80 | (c & 0x3F));
		return 3;
	}
	to[0] = (char) (0xF0 | c >> 18);
	to[1] = (char) (0x80 | (c >> 12 & 0x3F));
	to[2] = (char) (0x80 | (c >> 6 & 0x3F));
	to[3] = (char) (0x80 | (c & 0x3F));
	return 4;
}

void
tq_utf8_clean(const char *bytes, size_t len, char *copy)
{
	const char *end = bytes + len;

	while (bytes < end)
	{
		size_t n = tq_utf8_length(bytes, end);
		unsigned char c = (unsigned char) *bytes;

		if (n == 0 || (c < 0x20 && c != '\t') || c == 0x7f)
			*copy++ = '?';
		else
			copy = (char *) memcpy(copy, bytes, n) + n;
		bytes += n > 0 ? n : 1;
	}
	*copy = '\0';
}
