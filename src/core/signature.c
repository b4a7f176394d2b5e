/*
 * signature.c
 *		Texts of Standard Webhooks: secrets and signatures.
 *
 * base64 is read strictly, with its padding and without other characters or spare
 * bits.  So a secret has one spelling only, and two sides that have the same text have
 * the same bytes.
 */
#include <string.h>

#include "core/signature.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of a base64 digit; -1: it is no digit. */
static int
value_of(char c)
{
	const char *digit = c != '\0' ? strchr(digits, c) : NULL;

	return digit != NULL ? (int) (digit - digits) : -1;
}

/* The number of '=' at the end of the text, 0 to 2. */
static size_t
padding_of(const char *text, size_t len)
{
	if (len < 2 || text[len - 1] != '=')
		return 0;
	return text[len - 2] == '=' ? 2 : 1;
}

/* Decodes one group of digits, into three bytes or, with padding, fewer. */
static bool
read_group(const char *text, size_t padding, unsigned char *bytes)
{
	unsigned long bits = 0;
	size_t i;

	for (i = 0; i < 4 - padding; i++)
	{
		int value = value_of(text[i]);

		if (value < 0)
			return false;
		bits |= (unsigned long) value << (18 - 6 * i);
	}
	for (i = 0; i < 3 - padding; i++)
		bytes[i] = (unsigned char) (bits >> (16 - 8 * i));
	return (bits & ((1UL << (8 * padding)) - 1)) == 0;
}

const char *
tq_secret_read(const char *text, unsigned char secret[TQ_SECRET_MAX], size_t *len)
{
	size_t chars;
	size_t padding;
	size_t i;

	if (strncmp(text, TQ_SECRET_PREFIX, strlen(TQ_SECRET_PREFIX)) == 0)
		text += strlen(TQ_SECRET_PREFIX);
	chars = strlen(text);
	padding = padding_of(text, chars);
	if (chars == 0 || chars % 4 != 0)
		return "it is not base64";
	*len = chars / 4 * 3 - padding;
	if (*len < TQ_SECRET_MIN)
		return "it has less than 24 bytes";
	if (*len > TQ_SECRET_MAX)
		return "it has more than 64 bytes";
	for (i = 0; i < chars / 4; i++)
		if (!read_group(text + 4 * i, i == chars / 4 - 1 ? padding : 0, secret + 3 * i))
			return "it is not base64";
	return NULL;
}

void
tq_signature_write(const unsigned char mac[TQ_SIGNATURE_BYTES], char text[TQ_SIGNATURE_LENGTH + 1])
{
	size_t i;
	char *to = text + 3;

	memcpy(text, "v1,", 3);
	/* The last group has two bytes. */
	for (i = 0; i < TQ_SIGNATURE_BYTES; i += 3)
	{
		unsigned long bits = (unsigned long) mac[i] << 16 | (unsigned long) mac[i + 1] << 8;
		bool last = i + 2 >= TQ_SIGNATURE_BYTES;

		if (!last)
			bits |= mac[i + 2];
		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		*to++ = digits[bits >> 6 & 63];
		*to++ = last ? '=' : digits[bits & 63];
	}
	*to = '\0';
}

bool
tq_signature_is_among(const char *value, const char *signature)
{
	bool found = false;

	while (*value != '\0')
	{
		size_t len = strcspn(value, " ");
		unsigned char difference = len != TQ_SIGNATURE_LENGTH;
		size_t i;

		for (i = 0; i < TQ_SIGNATURE_LENGTH && i < len; i++)
			difference |= (unsigned char) (value[i] ^ signature[i]);
		found = found || difference == 0;
		value += len;
		value += *value == ' ';
	}
	return found;
}
