/*
 * fuzz.h
 *		What the fuzz targets share.
 *
 * Each target is handed bytes by libFuzzer and checks what must hold of every
 * input; the sanitizers check the rest.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Ends the run, with the input kept. */
#define MUST(condition)       \
	do                        \
	{                         \
		if (!(condition))     \
			__builtin_trap(); \
	} while (0)

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes as a string; the caller frees it. */
static inline char *
text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif
