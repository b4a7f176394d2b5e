/*
 * names.c
 *		International names of hosts, as DNS has them.
 *
 * libcurl would convert them as well, but it assumes the encoding of the process's
 * locale, which in a server depends on how the database was created.
 */
#include <idn2.h>
#include <stdio.h>
#include <string.h>

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

/* The conversion of compatibility forms can yield characters that end the host in a URL. */
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
