/*
 * reply.c
 *		Fuzz target: lines of commands, and the scanner of JSON below them.
 */
#include "cli/reply.h"
#include "cli/scan.h"
#include "client/json.h"
#include "fuzz.h"

/* Each value of an object is a valid text, and a string is as long as it says. */
static void
check_member(void *arg, cli_slice name, cli_slice value)
{
	size_t *total = arg;
	size_t len;
	char *text;

	*total += name.len + value.len;
	MUST(cli_scan(value.text, value.len, NULL, NULL));
	text = cli_scan_string(value, &len);
	MUST((text != NULL) == (value.text[0] == '"'));
	MUST(text == NULL || (strlen(text) == len && len <= value.len));
	free(text);
}

/* Bytes of any kind become a valid text, whose characters are the same if the bytes were valid. */
static void
check_bytes(const char *bytes, size_t size)
{
	char *json = tq_json_bytes(bytes, size);
	size_t len;
	char *text;

	MUST(cli_scan(json, strlen(json), NULL, NULL));
	text = cli_scan_string((cli_slice){json, strlen(json)}, &len);
	MUST(text != NULL && len <= 3 * size);
	free(text);
	free(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as the input, so that a sanitizer sees what reads beyond it. */
	char *line = malloc(size > 0 ? size : 1);
	size_t total = 0;
	cli_reply reply;

	memcpy(line, data, size);
	if (cli_scan(line, size, NULL, NULL))
	{
		MUST(cli_scan(line, size, check_member, &total));
		MUST(total <= size);
	}
	if (cli_reply_read(line, size, &reply))
	{
		MUST(reply.verb != VERB_NONE);
		MUST((reply.error != NULL) == (reply.verb == VERB_FAIL));
		MUST((reply.result != NULL) == (reply.verb == VERB_FINISH));
		MUST(reply.id == NULL || strspn(reply.id, "0123456789") == strlen(reply.id));
		cli_reply_free(&reply);
	}
	check_bytes(line, size);
	free(line);
	return 0;
}
