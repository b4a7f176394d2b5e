/*
 * yaml.h
 *		Flat files of YAML: one mapping, whose values are scalars or lists of scalars.  Writes other
 *		ones, too.
 *
 * Knows nothing of options, and ends no program.
 */
#ifndef CLI_YAML_H
#define CLI_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <yaml.h>

/*
 * Gets a value, valid during the call; NULL: null.  element: its number in a list, from 0; -1: it
 * is in none.
 */
typedef void cli_yaml_taker(void *arg, const char *key, int element, const char *value);

/*
 * Gives each value of the text to take() in its order, also if the text turns out to be wrong
 * further on.  Anchors, tags, doubled keys, nesting and a second document are errors.  Returns
 * what is wrong with its line and column, the caller's to free; NULL: nothing.
 */
extern char *cli_yaml_read(const char *text, size_t len, cli_yaml_taker *take, void *arg);

typedef struct cli_yaml
{
	yaml_emitter_t emitter;
	bool failed; /* no memory, a text that is not UTF-8, or the file cannot be written */
} cli_yaml;

/* Begins a file of any kind, and ends it: returns whether all was written. */
extern void cli_yaml_open_file(cli_yaml *y, FILE *file);
extern bool cli_yaml_close_file(cli_yaml *y);

/* A mapping has keys, which are texts, and values in turn. */
extern void cli_yaml_begin_mapping(cli_yaml *y);
extern void cli_yaml_end_mapping(cli_yaml *y);
extern void cli_yaml_begin_list(cli_yaml *y);
extern void cli_yaml_end_list(cli_yaml *y);

/* A text, in quotes where it would be taken for something else. */
extern void cli_yaml_text(cli_yaml *y, const char *value);

/* A value as it is, such as a number; tag may be NULL. */
extern void cli_yaml_bare(cli_yaml *y, const char *tag, const char *value);

/* Begins a flat file; it is ended with cli_yaml_end(), which returns whether all was written. */
extern void cli_yaml_begin(cli_yaml *y, FILE *file);
extern bool cli_yaml_end(cli_yaml *y);

/* A string, and what is no string, such as a number or true. */
extern void cli_yaml_string(cli_yaml *y, const char *key, const char *value);
extern void cli_yaml_plain(cli_yaml *y, const char *key, const char *value);

/* A list of strings. */
extern void cli_yaml_list(cli_yaml *y, const char *key, char *const *values, int n);

#endif
