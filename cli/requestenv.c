/*
 * requestenv.c
 *		The environment of the command that answers a request.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/environment.h"
#include "cli/requestenv.h"

#define MAX_VARIABLES 256 /* of a request, which has at most 100 headers */
#define HEADER        "HTTP_"

typedef struct Variables
{
	char **all; /* ends with NULL */
	int base;   /* of them, those that all commands get */
	int n;
	bool failed; /* no memory */
} Variables;

void
cli_requestenv_begin(cli_runner_options *o)
{
	static const char *const others[] = {"REQUEST_METHOD=", "REQUEST_URI=", "CONTENT_TYPE="};
	char **own;
	int i;

	cli_environment_begin(o, false);
	for (own = o->environment; *own != NULL;)
	{
		bool drop = strncmp(*own, HEADER, strlen(HEADER)) == 0 &&
					strncmp(*own, "HTTP_PROXY=", strlen("HTTP_PROXY=")) != 0;

		for (i = 0; i < COUNT(others); i++)
			drop = drop || strncmp(*own, others[i], strlen(others[i])) == 0;
		if (!drop)
		{
			own++;
			continue;
		}
		*own = o->environment[--o->nenvironment];
		o->environment[o->nenvironment] = NULL;
	}
}

/* ---- one variable ---------------------------------------------------------------- */

static void
add_variable(Variables *v, const char *name, const char *value)
{
	if (v->failed || v->n == v->base + MAX_VARIABLES)
		return;
	if (asprintf(&v->all[v->n], "%s=%s", name, value) < 0)
	{
		v->all[v->n] = NULL;
		v->failed = true;
	}
	else
		v->n++;
}

/* A header that comes again goes on in the same variable. */
static bool
join_header(Variables *v, const char *name, const char *value)
{
	size_t len = strlen(name);
	char *longer;
	int i;

	for (i = v->base; i < v->n; i++)
		if (strncmp(v->all[i], name, len) == 0 && v->all[i][len] == '=')
			break;
	if (i == v->n)
		return false;
	if (asprintf(&longer, "%s, %s", v->all[i], value) < 0)
		v->failed = true;
	else
	{
		free(v->all[i]);
		v->all[i] = longer;
	}
	return true;
}

/* "Proxy" would be what programs read as the proxy of their own requests. */
static void
put_header(void *arg, const char *name, const char *value)
{
	char variable[300] = HEADER;
	size_t begin = strlen(HEADER);
	size_t i;

	if (strlen(name) >= sizeof(variable) - begin || strcasecmp(name, "proxy") == 0 ||
		strchr(name, '_') != NULL)
		return;
	for (i = 0; name[i] != '\0'; i++)
		variable[begin + i] = isalnum((unsigned char) name[i])
								  ? (char) toupper((unsigned char) name[i])
								  : '_';
	variable[begin + i] = '\0';
	if (!join_header(arg, variable, value))
		add_variable(arg, variable, value);
}

/* ---- what taskq says ------------------------------------------------------------- */

/* Undoes what the sender did to a key; bytes that cannot be in a variable stay as they came. */
static void
put_key(Variables *v, const char *value)
{
	char *text = strdup(value);
	char *to = text;

	if (text == NULL)
	{
		v->failed = true;
		return;
	}
	for (; *value != '\0'; value++)
	{
		unsigned byte = 0;

		if (*value == '%' && isxdigit((unsigned char) value[1]) &&
			isxdigit((unsigned char) value[2]) && sscanf(value + 1, "%2x", &byte) == 1 && byte != 0)
		{
			*to++ = (char) byte;
			value += 2;
		}
		else
			*to++ = *value;
	}
	*to = '\0';
	add_variable(v, "TASKQ_KEY", text);
	free(text);
}

static void
put_task(Variables *v, const http_request *r)
{
	static const char *const names[][2] = {
		{"X-Task-Id", "TASKQ_TASK_ID"},
		{"X-Task-Queue", "TASKQ_QUEUE"},
		{"X-Task-Attempt", "TASKQ_ATTEMPT"},
		{"X-Task-Token", "TASKQ_TOKEN"},
		{"X-Task-Trace", "TASKQ_TRACE"},
		{"traceparent", "TRACEPARENT"},
		{"Content-Type", "CONTENT_TYPE"},
	};
	int i;

	for (i = 0; i < COUNT(names); i++)
		if (http_header(r, names[i][0]) != NULL)
			add_variable(v, names[i][1], http_header(r, names[i][0]));
	if (http_header(r, "X-Task-Key") != NULL)
		put_key(v, http_header(r, "X-Task-Key"));
}

static void
put_target(Variables *v, const http_request *r)
{
	char *target;

	add_variable(v, "REQUEST_METHOD", r->method);
	if (asprintf(&target, "%s%s%s", r->path, r->query != NULL ? "?" : "",
				 r->query != NULL ? r->query : "") < 0)
	{
		v->failed = true;
		return;
	}
	add_variable(v, "REQUEST_URI", target);
	free(target);
}

/* ---- the whole ------------------------------------------------------------------- */

char **
cli_requestenv_make(const cli_runner_options *o, const http_request *r)
{
	Variables v = {.base = o->nenvironment, .n = o->nenvironment};

	v.all = calloc((size_t) v.base + MAX_VARIABLES + 1, sizeof(*v.all));
	if (v.all == NULL)
		return NULL;
	memcpy(v.all, o->environment, (size_t) v.base * sizeof(*v.all));
	put_target(&v, r);
	put_task(&v, r);
	http_each_header(r, put_header, &v);
	if (!v.failed)
		return v.all;
	cli_requestenv_free(o, v.all);
	return NULL;
}

void
cli_requestenv_free(const cli_runner_options *o, char **environment)
{
	int i;

	for (i = o->nenvironment; environment[i] != NULL; i++)
		free(environment[i]);
	free(environment);
}
