/*
 * text.c
 *		Text of any origin, made fit to be logged and stored.
 */
#include "core/text.h"

void
tq_text_printable(const char *text, char *copy, size_t size)
{
	size_t i;

	for (i = 0; text[i] != '\0' && i + 1 < size; i++)
		copy[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	copy[i] = '\0';
}
