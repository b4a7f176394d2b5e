/*
 * yaml.c
 *		Fuzz target: flat files of YAML; what was read is written and read again.
 */
#include <stdio.h>

#include "cli/yaml.h"
#include "fuzz.h"

#define MAX_TEXT (1 << 16)

/* What a file had, as one text. */
typedef struct Found
{
	char text[MAX_TEXT];
	size_t len;
} Found;

static void
note(Found *found, const char *text)
{
	size_t len = strlen(text) + 1;

	if (found->len + len > sizeof(found->text))
		return;
	memcpy(found->text + found->len, text, len);
	found->len += len;
}

static void
take(void *arg, const char *key, int element, const char *value)
{
	Found *found = arg;

	MUST(element >= -1);
	note(found, key);
	note(found, value != NULL ? value : "");
}

/* Writes the text as a string, which must come out as it went in. */
static void
check_round_trip(const char *text)
{
	static Found found;
	char *values[] = {(char *) text};
	char *file = NULL;
	size_t len = 0;
	FILE *memory = open_memstream(&file, &len);
	cli_yaml y;
	bool ok;

	found.len = 0;
	cli_yaml_begin(&y, memory);
	cli_yaml_string(&y, "a", text);
	cli_yaml_list(&y, "b", values, 1);
	ok = cli_yaml_end(&y);
	fclose(memory);
	if (ok)
	{
		MUST(cli_yaml_read(file, len, take, &found) == NULL);
		MUST(found.len == 2 * (strlen(text) + 3) && strcmp(found.text + 2, text) == 0);
	}
	free(file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Found found;
	char *text = text_of(data, size);
	/* Exactly as large as the input, so that a sanitizer sees what reads beyond it. */
	char *bytes = malloc(size > 0 ? size : 1);

	memcpy(bytes, data, size);
	found.len = 0;
	free(cli_yaml_read(bytes, size, take, &found));
	check_round_trip(text);
	free(bytes);
	free(text);
	return 0;
}
