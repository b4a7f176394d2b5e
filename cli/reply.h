/*
 * reply.h
 *		A line from a command: what shall become of its task, or how far it is.
 *
 *		{"id":"42","finish":{"sent":true}}
 *		{"id":"42","fail":"mailbox is full","detail":{"code":452},"retry_in":300,"permanent":false}
 *		{"id":"42","release":5}
 *		{"id":"42","progress":0.4,"message":"resizing"}
 *
 * On descriptor 3 there is no id.  Times are seconds.  A member that is not named here is an error,
 * so that a misspelt one is noticed.
 */
#ifndef CLI_REPLY_H
#define CLI_REPLY_H

#include <stdbool.h>
#include <stddef.h>

typedef enum cli_verb
{
	VERB_NONE,
	VERB_FINISH,
	VERB_FAIL,
	VERB_RELEASE,
	VERB_DECLINE, /* no command says that */
	VERB_PROGRESS
} cli_verb;

/* What is not said is NULL. */
typedef struct cli_reply
{
	cli_verb verb;
	char *id;
	char *result; /* JSON, of a finish */
	char *error;
	char *detail;   /* JSON */
	char *delay;    /* an interval: retry_in of a fail, or that of a release */
	char *fraction; /* from 0 to 1 */
	char *message;
	bool permanent;
} cli_reply;

/* False: the line is none, or there is no memory; then there is nothing to free. */
extern bool cli_reply_read(const char *line, size_t len, cli_reply *reply);

extern void cli_reply_free(cli_reply *reply);

#endif
