/*
 * exchange.c
 *		A request's copy and its answer, from submit to the response.
 *
 * The response is allocated first, so that an exchange that was accepted can always
 * be ended with one, even if no memory is left by then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/exchange.h"

tq_exchange *
tq_exchange_new(const tq_http_limits *limits, const tq_egress *egress, void *tag)
{
	tq_exchange *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->response = calloc(1, sizeof(*x->response));
	if (x->response == NULL)
	{
		free(x);
		return NULL;
	}
	x->response->tag = tag;
	x->response->times = (tq_times){-1, -1, -1, -1};
	x->limits = *limits;
	x->egress = egress;
	x->raw_from = -1;
	tq_buffer_init(&x->head, limits->max_headers);
	tq_buffer_init(&x->content, limits->max_response);
	return x;
}

static bool
append_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer == NULL)
		return false;
	*list = longer;
	return true;
}

/* For curl "Name:" means to leave that header out; "Name;" is a header without a value. */
static bool
append_empty_header(struct curl_slist **list, const char *line)
{
	char *copy = strdup(line);
	bool ok;

	if (copy == NULL)
		return false;
	strcpy(strchr(copy, ':'), ";");
	ok = append_header(list, copy);
	free(copy);
	return ok;
}

static bool
line_has_name(const char *line, const char *name)
{
	size_t len = strlen(name);

	return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

/* Copies the caller's lines, and tells curl to leave out the headers that it would add. */
static const char *
copy_headers(tq_exchange *x, const tq_request *request)
{
	static const char *const defaults[] = {"Accept:", "User-Agent:", "Content-Type:", "Expect:"};
	size_t d;
	int i;

	for (i = 0; i < request->nheaders; i++)
	{
		const char *line = request->headers[i];
		const char *problem = tq_header_line_invalid(line);
		const char *value;

		if (problem != NULL)
			return problem;
		value = strchr(line, ':') + 1;
		value += strspn(value, " \t");
		if (!(*value ? append_header : append_empty_header)(&x->headers, line))
			return tq_out_of_memory;
	}

	for (d = 0; d < sizeof(defaults) / sizeof(defaults[0]); d++)
	{
		char name[32];

		snprintf(name, sizeof(name), "%.*s", (int) strlen(defaults[d]) - 1, defaults[d]);
		for (i = 0; i < request->nheaders; i++)
			if (line_has_name(request->headers[i], name))
				break;
		if (i == request->nheaders && !append_header(&x->headers, defaults[d]))
			return tq_out_of_memory;
	}
	return NULL;
}

const char *
tq_exchange_prepare(tq_exchange *x, const tq_request *request)
{
	const char *problem = tq_method_invalid(request->method);

	/* curl cannot send one, and no receiver would read it. */
	if (problem == NULL && request->body != NULL && strcmp(request->method, "HEAD") == 0)
		problem = "a HEAD request cannot have a body";
	if (problem == NULL)
		problem = tq_url_parse(request->url, &x->url);
	if (problem == NULL)
		problem = copy_headers(x, request);
	if (problem != NULL)
		return problem;

	x->tls = strncasecmp(request->url, "https:", 6) == 0;
	x->method = strdup(request->method);
	if (x->method == NULL)
		return tq_out_of_memory;
	if (request->body != NULL)
	{
		x->body = malloc(request->body_len + 1);
		if (x->body == NULL)
			return tq_out_of_memory;
		memcpy(x->body, request->body, request->body_len);
		x->body_len = request->body_len;
		x->has_body = true;
	}
	return NULL;
}

/* The value of the first header of that name, or NULL; memory running out counts as none. */
static char *
find_header(const char *head, const char *name)
{
	const char *line = head;
	size_t len = strlen(name);

	while (line != NULL && *line != '\0')
	{
		const char *end = strstr(line, "\r\n");

		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
		{
			const char *value = line + len + 1;

			if (end == NULL)
				end = value + strlen(value);
			while (value < end && (*value == ' ' || *value == '\t'))
				value++;
			while (value < end && (end[-1] == ' ' || end[-1] == '\t'))
				end--;
			return strndup(value, (size_t) (end - value));
		}
		line = end != NULL ? end + 2 : NULL;
	}
	return NULL;
}

char *
tq_exchange_find_header(const tq_exchange *x, const char *name)
{
	return x->head.data != NULL ? find_header(x->head.data, name) : NULL;
}

/* Moves headers, body and Retry-After into the response. */
static void
collect(tq_exchange *x)
{
	tq_response *r = x->response;

	r->retry_after = tq_exchange_find_header(x, "Retry-After");
	r->headers = tq_buffer_steal(&x->head, &r->headers_len);
	r->body = tq_buffer_steal(&x->content, &r->body_len);
}

tq_response *
tq_exchange_finish(tq_exchange *x)
{
	tq_response *r = x->response;

	collect(x);
	x->response = NULL;
	tq_exchange_free(x);
	return r;
}

void
tq_exchange_free(tq_exchange *x)
{
	if (x->url.handle != NULL)
		curl_url_cleanup(x->url.handle);
	free(x->method);
	free(x->body);
	curl_slist_free_all(x->headers);
	curl_slist_free_all(x->connect_to);
	tq_buffer_free(&x->head);
	tq_buffer_free(&x->content);
	tq_response_free(x->response);
	free(x);
}
