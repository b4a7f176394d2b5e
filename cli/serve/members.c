/*
 * members.c
 *		The query and the body of a request, taken apart into the values of its statement.
 */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/report.h"
#include "cli/serve/members.h"
#include "cli/serve/query.h"
#include "client/utf8.h"
#include "core/clock.h"

#define MAX_WAIT_S 60
#define MAX_FAULT  200

static const char *const kind_names[] = {
	[MEMBER_TEXT] = "a string",
	[MEMBER_NUMBER] = "a number",
	[MEMBER_LENGTH] = "a length of time: seconds, or '90 s'",
	[MEMBER_TRUTH] = "true or false",
	[MEMBER_JSON] = "JSON",
	[MEMBER_ID] = "a number, or a string with a number",
	[MEMBER_WAIT] = "seconds, 0 to 60"};

/* Of one object or query, which is taken apart. */
typedef struct Reading
{
	exchange *x;
	const route_member *members;
	int n;
	int first; /* the value of the exchange for the first of them; -1: they are only checked */
	uint64_t seen;
	char fault[MAX_FAULT];
	char hint[MAX_FAULT];
} Reading;

/* ---- one value ------------------------------------------------------------------- */

static bool
is_id(const char *text)
{
	size_t len = strlen(text);

	size_t sign = *text == '-' ? 1 : 0;

	return len > sign && len < 20 && strspn(text + sign, "0123456789") == len - sign;
}

/* A value that is text already, of a query or path. */
static bool
fits_text(member_kind kind, const char *text)
{
	char *end;
	double seconds;

	switch (kind)
	{
		case MEMBER_ID:
			return is_id(text);
		case MEMBER_WAIT:
			seconds = strtod(text, &end);
			return end != text && *end == '\0' && seconds >= 0 && seconds <= MAX_WAIT_S;
		case MEMBER_TRUTH:
			return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
		default:
			return true;
	}
}

/* The text of a JSON value; false: it is of another kind.  null is as if it were not there. */
static bool
convert(Reading *r, member_kind kind, cli_slice value, const char **text)
{
	char first = value.text[0];
	bool number = first == '-' || isdigit((unsigned char) first);
	size_t len;
	char *string;

	*text = NULL;
	if (kind != MEMBER_JSON && cli_slice_is(value, "null"))
		return true;
	if (kind == MEMBER_JSON || (number && kind != MEMBER_TEXT && kind != MEMBER_TRUTH) ||
		(kind == MEMBER_TRUTH && (first == 't' || first == 'f')))
		*text = http_copy(r->x->http, value.text, value.len);
	else if (first == '"' && kind != MEMBER_NUMBER && kind != MEMBER_TRUTH)
	{
		string = cli_scan_string(value, &len);
		*text = string != NULL ? http_copy(r->x->http, string, len) : NULL;
		free(string);
	}
	return *text != NULL && fits_text(kind, *text);
}

static int
find_member(Reading *r, cli_slice name)
{
	int i;

	for (i = 0; i < r->n; i++)
		if (cli_slice_is(name, r->members[i].name))
			return i;
	return -1;
}

static void
refuse_name(Reading *r, cli_slice name, const char *what)
{
	char given[64];
	cli_nearest nearest = {.wrong = given};
	int i;

	tq_utf8_clean(name.text, name.len < sizeof(given) ? name.len : sizeof(given) - 1, given);
	snprintf(r->fault, sizeof(r->fault), "there is no %s \"%s\" here", what, given);
	for (i = 0; i < r->n; i++)
		(void) cli_nearest_try(&nearest, r->members[i].name);
	if (nearest.best != NULL)
		snprintf(r->hint, sizeof(r->hint), "Did you mean \"%s\"?", nearest.best);
}

/* The place of a member that may be given now; -1: the fault says why not. */
static int
place_of_member(Reading *r, cli_slice name, const char *what)
{
	int i = r->fault[0] == '\0' ? find_member(r, name) : -1;

	if (r->fault[0] != '\0')
		return -1;
	if (i < 0)
		refuse_name(r, name, what);
	else if ((r->seen >> i & 1) != 0)
	{
		snprintf(r->fault, sizeof(r->fault), "\"%s\" is given twice", r->members[i].name);
		return -1;
	}
	else
		r->seen |= (uint64_t) 1 << i;
	return i;
}

static void
put_value(Reading *r, int i, const char *text)
{
	if (r->members[i].kind == MEMBER_WAIT && text != NULL)
		r->x->until_ms = tq_clock_ms() + (int64_t) (strtod(text, NULL) * 1000);
	if (r->first >= 0)
		r->x->values[r->first + i] = text;
}

static void
put_member(void *arg, cli_slice name, cli_slice value)
{
	Reading *r = arg;
	int i = place_of_member(r, name, "member");
	const char *text;

	if (i < 0)
		return;
	if (!convert(r, r->members[i].kind, value, &text))
		snprintf(r->fault, sizeof(r->fault), "\"%s\" must be %s", r->members[i].name,
				 kind_names[r->members[i].kind]);
	else
		put_value(r, i, text);
}

static void
take_parameter(void *arg, cli_slice name, cli_slice value)
{
	Reading *r = arg;
	int i = place_of_member(r, name, "parameter");
	/* Without "=" it is empty. */
	const char *given = value.text != NULL ? value.text : "";
	char *text;

	if (i < 0)
		return;
	text = http_alloc(r->x->http, value.len + 1);
	if (text == NULL || !query_decode(given, value.len, true, text) ||
		!fits_text(r->members[i].kind, text))
		snprintf(r->fault, sizeof(r->fault), "the parameter \"%s\" must be %s", r->members[i].name,
				 kind_names[r->members[i].kind]);
	else
		put_value(r, i, text);
}

static bool
is_right(Reading *r)
{
	if (r->fault[0] == '\0')
		return true;
	exchange_error(r->x, 400, NULL, r->fault, NULL, r->hint[0] != '\0' ? r->hint : NULL);
	return false;
}

static const char no_json[] = "the body is not valid JSON in UTF-8";
static const char no_object[] = "the body must be a JSON object";

/* ---- the body -------------------------------------------------------------------- */

static const char *
first_character(const exchange *x)
{
	const char *text = x->http->body.len > 0 ? x->http->body.data : "";

	return text + strspn(text, " \t\r\n");
}

/* The type without its parameters. */
static bool
is_type(const http_request *r, const char *type)
{
	const char *given = http_header(r, "Content-Type");
	size_t len = given != NULL ? strcspn(given, "; \t") : 0;

	return len == strlen(type) && strncasecmp(given, type, len) == 0;
}

bool
members_is_batch(const exchange *x)
{
	return (x->route->flags & ROUTE_BATCH) != 0 &&
		   (is_type(x->http, HTTP_TYPE_NDJSON) || *first_character(x) == '[');
}

static bool
has_right_type(exchange *x)
{
	if (x->http->body.len == 0 || http_header(x->http, "Content-Type") == NULL ||
		is_type(x->http, HTTP_TYPE_JSON) ||
		((x->route->flags & ROUTE_BATCH) != 0 && is_type(x->http, HTTP_TYPE_NDJSON)))
		return true;
	exchange_error(x, 415, NULL, "the body must be JSON", NULL,
				   "Send the header Content-Type: application/json.");
	return false;
}

/* Below, a body ends where a string of C does. */
static bool
has_no_nul(exchange *x)
{
	if (x->http->body.len == 0 || memchr(x->http->body.data, '\0', x->http->body.len) == NULL)
		return true;
	exchange_error(x, 400, NULL, no_json, NULL, NULL);
	return false;
}

static bool
read_object(exchange *x, int first)
{
	Reading r = {.x = x, .members = x->route->body, .n = x->route->nbody, .first = first};
	const char *text = first_character(x);
	bool valid;

	if (*text == '\0')
		return true;
	valid = cli_scan(x->http->body.data, x->http->body.len, put_member, &r);
	if (!valid || *text != '{')
	{
		exchange_error(x, 400, NULL, valid ? no_object : no_json, NULL, NULL);
		return false;
	}
	return is_right(&r);
}

/* A task of a batch. */
static void
check_element(void *arg, cli_slice name, cli_slice value)
{
	Reading *r = arg;

	(void) name;
	r->seen = 0;
	if (r->fault[0] == '\0' && *value.text != '{')
		strcpy(r->fault, "each task of a batch must be a JSON object");
	if (r->fault[0] == '\0')
		(void) cli_scan(value.text, value.len, put_member, r);
}

/* Lines become elements of a list. */
static bool
make_list(exchange *x)
{
	const char *at = x->http->body.data;
	tq_buffer list;
	size_t len;

	tq_buffer_init(&list, x->http->body.len * 2 + 3);
	(void) tq_buffer_append(&list, "[", 1);
	while (at != NULL && *at != '\0')
	{
		len = strcspn(at, "\n");
		if (strspn(at, " \t\r") < len)
		{
			if (list.len > 1)
				(void) tq_buffer_append(&list, ",", 1);
			(void) tq_buffer_append(&list, at, len);
		}
		at += len + (at[len] == '\n');
	}
	(void) tq_buffer_append(&list, "]", 1);
	tq_buffer_free(&x->http->body);
	x->http->body = list;
	return !list.overflowed;
}

/* Lines that are no elements by themselves, such as "1,2", are not valid JSON. */
static void
check_line(void *arg, cli_slice name, cli_slice value)
{
	Reading *r = arg;

	if (memchr(value.text, '\n', value.len) != NULL && r->fault[0] == '\0')
		strcpy(r->fault, "each line must be a JSON object");
	check_element(arg, name, value);
}

static const route_member batch_members[] = {{"payload", MEMBER_JSON},
											 {"key", MEMBER_TEXT},
											 {"run_at", MEMBER_TEXT},
											 {"group_key", MEMBER_TEXT}};

/* The whole list becomes the one value behind the parameters. */
static bool
read_batch(exchange *x, int first)
{
	Reading r = {.x = x, .members = batch_members, .n = COUNT(batch_members), .first = -1};
	bool lines = is_type(x->http, HTTP_TYPE_NDJSON);

	if (x->http->body.len == 0 || (lines && !make_list(x)) ||
		!cli_scan_list(x->http->body.data, x->http->body.len, lines ? check_line : check_element,
					   &r))
	{
		exchange_error(x, 400, NULL, no_json, NULL, NULL);
		return false;
	}
	x->values[first] = x->http->body.data;
	return is_right(&r);
}

/* ---- all of it ------------------------------------------------------------------- */

static bool
read_query(exchange *x, int first)
{
	Reading r = {.x = x, .members = x->route->query, .n = x->route->nquery, .first = first};

	query_split(x->http->query, take_parameter, &r);
	return is_right(&r);
}

/* What is named id in a path is one. */
static bool
check_ids(exchange *x)
{
	const char *at = x->route->path;
	int i;

	for (i = 0; i < ROUTE_MAX_PARAMETERS && x->parameters[i] != NULL; i++)
	{
		at = strchr(at, '{');
		if (at == NULL)
			break;
		if (strncmp(at, "{id}", 4) == 0 && !is_id(x->parameters[i]))
		{
			exchange_error(x, 404, NULL, "the id of a task is a number", NULL, NULL);
			return false;
		}
		at++;
	}
	return true;
}

bool
members_read(exchange *x)
{
	int n = 0;

	while (n < ROUTE_MAX_PARAMETERS && x->parameters[n] != NULL)
	{
		x->values[n] = x->parameters[n];
		n++;
	}
	x->nvalues = n + x->route->nquery + x->route->nbody;
	if (!check_ids(x))
		return false;
	if (!read_query(x, n))
		return false;
	n += x->route->nquery;
	if ((x->route->flags & ROUTE_RAW) != 0)
		return true;
	return has_right_type(x) && has_no_nul(x) &&
		   (members_is_batch(x) ? read_batch(x, n) : read_object(x, n));
}

const char *
members_value(const exchange *x, const char *name)
{
	int first = x->nvalues - x->route->nbody;
	int i;

	for (i = 0; i < x->route->nbody; i++)
		if (strcmp(x->route->body[i].name, name) == 0)
			return x->values[first + i];
	return NULL;
}
