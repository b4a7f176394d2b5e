/*
 * json.c
 *		JSON strings that the program writes itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/utf8.h"

#define REPLACEMENT 0xFFFD

/* Writes one character, and returns the number of bytes: at most 6. */
static int
escape(char *to, unsigned char c)
{
	if (c == '"' || c == '\\')
	{
		to[0] = '\\';
		to[1] = (char) c;
		return 2;
	}
	if (c < 0x20)
		return sprintf(to, "\\u%04x", c);
	to[0] = (char) c;
	return 1;
}

char *
tq_json_string(const char *text, size_t len)
{
	char *result;
	size_t n = 1;
	size_t i;

	if (len > ((size_t) -1 - 3) / 6 || (result = malloc(len * 6 + 3)) == NULL)
		return NULL;
	result[0] = '"';
	for (i = 0; i < len; i++)
		n += (size_t) escape(result + n, (unsigned char) text[i]);
	strcpy(result + n, "\"");
	return result;
}

char *
tq_json_bytes(const char *bytes, size_t len)
{
	const char *end = bytes + len;
	char *text = len <= ((size_t) -1) / 3 - 1 ? malloc(len * 3 + 1) : NULL;
	char *to = text;
	char *result;

	if (text == NULL)
		return NULL;
	while (bytes < end)
	{
		size_t n = *bytes != '\0' ? tq_utf8_length(bytes, end) : 0;

		if (n == 0)
			to += tq_utf8_put(to, REPLACEMENT);
		else
			to = (char *) memcpy(to, bytes, n) + n;
		bytes += n > 0 ? n : 1;
	}
	result = tq_json_string(text, (size_t) (to - text));
	free(text);
	return result;
}
