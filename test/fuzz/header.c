/*
 * header.c
 *		Fuzz target: header lines and methods that may be sent.
 */
#include <stdbool.h>
#include <strings.h>

#include "core/request.h"
#include "fuzz.h"

/* Nothing that passes can end the line, or begin another. */
static void
check_line(const char *line)
{
	static const char *const reserved[] = {
		"host", "content-length", "transfer-encoding", "connection"};
	size_t name = strcspn(line, ":");
	size_t i;

	MUST(line[name] == ':' && name > 0);
	for (i = 0; line[i] != '\0'; i++)
		MUST((unsigned char) line[i] >= 0x20 || line[i] == '\t');
	MUST(strcspn(line, " \t") > name);
	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		MUST(strlen(reserved[i]) != name || strncasecmp(line, reserved[i], name) != 0);
}

/* The same, given as a name and a value. */
static void
check_parts(const char *text, bool line_passes)
{
	const char *colon = strchr(text, ':');
	char *name;

	if (colon == NULL)
		return;
	name = text_of((const uint8_t *) text, (size_t) (colon - text));
	MUST((tq_header_invalid(name, colon + 1) == NULL) == line_passes);
	free(name);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	bool passes = tq_header_line_invalid(text) == NULL;

	if (passes)
		check_line(text);
	check_parts(text, passes);
	if (tq_method_invalid(text) == NULL)
		MUST(*text != '\0' && strlen(text) <= 32 && text[strcspn(text, " \t\r\n:/")] == '\0');
	free(text);
	return 0;
}
