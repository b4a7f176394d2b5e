/*
 * yamlevents.h
 *		The events of one YAML document, and what is wrong with it at which place.
 *
 * Of libyaml the events alone are used: they tell of anchors and tags, and where they are.  Knows
 * nothing of options, and ends no program.
 */
#ifndef CLI_YAMLEVENTS_H
#define CLI_YAMLEVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

typedef struct cli_yaml_events
{
	yaml_parser_t parser;
	yaml_event_t event; /* the present one */
	char *mistake;      /* the first one, with line and column; NULL: none */
} cli_yaml_events;

/* Returns false if there is no memory.  The text must stay until cli_yaml_close(). */
extern bool cli_yaml_open(cli_yaml_events *e, const char *text, size_t len);

/* Returns the mistake, the caller's to free; NULL: there was none. */
extern char *cli_yaml_close(cli_yaml_events *e);

/* Notes a mistake, unless there is one already.  Always false. */
extern bool cli_yaml_refuse(cli_yaml_events *e, yaml_mark_t at, const char *what);

/* Goes to the next event, and frees the one before. */
extern bool cli_yaml_next(cli_yaml_events *e);

/* Goes to the first event of the only document.  False: there is none, or a mistake. */
extern bool cli_yaml_begin_document(cli_yaml_events *e);

/* After the last event of the document: whether nothing follows. */
extern bool cli_yaml_end_document(cli_yaml_events *e);

/* The event must have no anchor, and no tag unless tags are allowed.  Aliases are refused. */
extern bool cli_yaml_check_node(cli_yaml_events *e, bool tags);

/* A scalar must not have the character U+0000, which no text of the server has. */
extern bool cli_yaml_check_scalar(cli_yaml_events *e);

/* What a text means where it stands without quotes, by the core schema of YAML 1.2. */
typedef enum cli_yaml_kind
{
	YAML_KIND_TEXT,
	YAML_KIND_NULL,
	YAML_KIND_BOOLEAN,
	YAML_KIND_NUMBER, /* decimal */
	YAML_KIND_RADIX,  /* 0o17 or 0xf */
	YAML_KIND_NONE    /* infinite, or no number */
} cli_yaml_kind;

extern cli_yaml_kind cli_yaml_kind_of(const char *text);

#endif
