/*
 * document.c
 *		Fuzz target: documents in YAML and JSON; what was read is written and read again.
 */
#include <stdio.h>

#include "cli/document.h"
#include "cli/jsondoc.h"
#include "cli/scan.h"
#include "fuzz.h"

#define MAX_JSON (1 << 20)

/* Some names have no text. */
static char *
resolve(void *arg, const char *tag, const char *name, char **mistake)
{
	MUST(arg == NULL && (strcmp(tag, "!env") == 0 || strcmp(tag, "!file") == 0));
	if (*name != 'x')
		return strdup("text");
	*mistake = strdup("none");
	return NULL;
}

/* Writes JSON as YAML, which must come out as it went in. */
static void
check_round_trip(const tq_buffer *json)
{
	char *file = NULL;
	size_t len = 0;
	FILE *memory = open_memstream(&file, &len);
	bool ok = cli_jsondoc_write(json->data, json->len, memory);
	tq_buffer again;

	fclose(memory);
	tq_buffer_init(&again, MAX_JSON);
	/* A placeholder becomes a tag, and that another text. */
	if (ok && strstr(json->data, "\"!env\"") == NULL && strstr(json->data, "\"!file\"") == NULL)
	{
		char *mistake = cli_document_read(file, len, resolve, NULL, &again);

		MUST(mistake == NULL);
		MUST(again.len == json->len && memcmp(again.data, json->data, json->len) == 0);
	}
	tq_buffer_free(&again);
	free(file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as the input, so that a sanitizer sees what reads beyond it. */
	char *bytes = malloc(size > 0 ? size : 1);
	tq_buffer json;
	char *mistake;

	memcpy(bytes, data, size);
	tq_buffer_init(&json, MAX_JSON);
	mistake = cli_document_read(bytes, size, resolve, NULL, &json);
	if (mistake == NULL)
	{
		MUST(cli_scan(json.data, json.len, NULL, NULL));
		check_round_trip(&json);
	}
	free(mistake);
	tq_buffer_reset(&json);
	if (cli_scan(bytes, size, NULL, NULL))
	{
		mistake = cli_jsondoc_resolve(bytes, size, resolve, NULL, &json);
		MUST(mistake != NULL || cli_scan(json.data, json.len, NULL, NULL));
		free(mistake);
	}
	tq_buffer_free(&json);
	free(bytes);
	return 0;
}
