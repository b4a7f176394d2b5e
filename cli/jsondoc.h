/*
 * jsondoc.h
 *		A configuration in JSON: its placeholders are replaced, and it is written as YAML.
 *
 * A placeholder is {"!env": NAME} or {"!file": PATH}, as a secret or a header, outside of payloads.
 * Ends no program.
 */
#ifndef CLI_JSONDOC_H
#define CLI_JSONDOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/document.h"
#include "core/buffer.h"

/*
 * Appends a copy of a valid JSON text with texts in place of its placeholders.  Doubled keys are
 * errors.  Returns what is wrong with its line and column, the caller's to free; NULL: nothing.
 */
extern char *cli_jsondoc_resolve(const char *text, size_t len, cli_document_resolver *resolve,
								 void *arg, tq_buffer *json);

/*
 * Writes a valid JSON text as YAML, with tags in place of placeholders.  Returns whether all was
 * written.
 */
extern bool cli_jsondoc_write(const char *text, size_t len, FILE *file);

#endif
