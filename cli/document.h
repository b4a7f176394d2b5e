/*
 * document.h
 *		A document in YAML as JSON.
 *
 * Scalars are what the core schema of YAML 1.2 says; numbers keep their digits.  Knows nothing of
 * options, and ends no program.
 */
#ifndef CLI_DOCUMENT_H
#define CLI_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buffer.h"

/*
 * Returns the text that stands for !env NAME or !file PATH, the caller's to free; NULL: there is
 * none, and *mistake says why, the caller's to free as well.
 */
typedef char *cli_document_resolver(void *arg, const char *tag, const char *name, char **mistake);

/*
 * Appends the JSON of the only document of the text; an empty text is null.  Anchors, aliases,
 * merge keys, other tags, doubled keys and a second document are errors.  Returns what is wrong
 * with its line and column, the caller's to free; NULL: nothing.
 */
extern char *cli_document_read(const char *text, size_t len, cli_document_resolver *resolve,
							   void *arg, tq_buffer *json);

#endif
