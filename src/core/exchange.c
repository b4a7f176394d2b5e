/*
 * exchange.c
 *		A request and its answer, from submit to the response.
 *
 * The response is allocated first, so that an exchange that was accepted can always
 * be ended with one, even if no memory is left by then.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/exchange.h"

tq_exchange *
tq_exchange_begin(tq_exchange *kept, const tq_http_limits *limits, const tq_egress *egress,
				  void *tag)
{
	tq_response *response = calloc(1, sizeof(*response));
	tq_exchange *x = kept != NULL ? kept : calloc(1, sizeof(*x));

	if (x == NULL || response == NULL)
	{
		free(response);
		if (kept == NULL)
			free(x);
		return NULL;
	}
	memset(x, 0, offsetof(tq_exchange, easy));
	x->curl_error[0] = '\0';
	x->addresses.naddrs = 0;
	x->response = response;
	x->response->tag = tag;
	x->response->times = (tq_times){-1, -1, -1, -1};
	x->limits = *limits;
	x->egress = egress;
	x->raw_from = -1;
	tq_buffer_init(&x->head, limits->max_headers);
	tq_buffer_init(&x->content, limits->max_response);
	return x;
}

/* ---- the head of a request -------------------------------------------------- */

/* What curl would add: "Name:" tells it not to. */
static const char *const defaults[] = {"Accept:", "User-Agent:", "Content-Type:", "Expect:"};

#define NDEFAULTS (int) (sizeof(defaults) / sizeof(defaults[0]))

/* The last of them, which curl adds for long bodies only: from a megabyte, older versions 1 kB. */
#define EXPECT_FROM 1024

/* Makes room for so many nodes. */
static bool
make_lines(tq_exchange *x, int n)
{
	struct curl_slist *lines;

	if (n <= x->max_lines)
		return true;
	lines = realloc(x->lines, n * sizeof(*lines));
	if (lines == NULL)
		return false;
	x->lines = lines;
	x->max_lines = n;
	return true;
}

/* For curl "Name:" means to leave that header out; "Name;" is a header without a value. */
static char *
empty_line(tq_exchange *x, const char *line)
{
	struct curl_slist *longer = curl_slist_append(x->copied, line);
	struct curl_slist *last = longer;

	if (longer == NULL)
		return NULL;
	x->copied = longer;
	while (last->next != NULL)
		last = last->next;
	strcpy(strchr(last->data, ':'), ";");
	return last->data;
}

/* NULL, or what is wrong; *for_curl becomes the line as curl needs it. */
static const char *
check_line(tq_exchange *x, const char *line, char **for_curl)
{
	const char *problem = tq_header_line_invalid(line);
	const char *value;

	if (problem != NULL)
		return problem;
	value = strchr(line, ':') + 1;
	value += strspn(value, " \t");
	*for_curl = *value != '\0' ? (char *) line : empty_line(x, line);
	return *for_curl != NULL ? NULL : tq_out_of_memory;
}

/* Which of the defaults the line sets, as a bit. */
static int
default_of(const char *line)
{
	int d;

	for (d = 0; d < NDEFAULTS; d++)
		if ((line[0] | 0x20) == (defaults[d][0] | 0x20) &&
			strncasecmp(line, defaults[d], strlen(defaults[d])) == 0)
			return 1 << d;
	return 0;
}

/* Lists the caller's lines for curl, and tells it to leave out the headers that it would add. */
static const char *
list_headers(tq_exchange *x, const tq_request *request)
{
	bool is_short = request->body == NULL || request->body_len < EXPECT_FROM;
	int set = is_short ? 1 << (NDEFAULTS - 1) : 0;
	int n = 0;
	int i;

	if (!make_lines(x, request->nheaders + NDEFAULTS))
		return tq_out_of_memory;
	for (i = 0; i < request->nheaders; i++)
	{
		const char *problem = check_line(x, request->headers[i], &x->lines[n++].data);

		if (problem != NULL)
			return problem;
		set |= default_of(request->headers[i]);
	}
	for (i = 0; i < NDEFAULTS; i++)
		if (!(set & (1 << i)))
			x->lines[n++].data = (char *) defaults[i];
	for (i = 0; i < n; i++)
		x->lines[i].next = i + 1 < n ? &x->lines[i + 1] : NULL;
	return NULL;
}

const char *
tq_exchange_prepare(tq_exchange *x, tq_urls *urls, const tq_request *request)
{
	const char *problem = tq_method_invalid(request->method);

	/* curl cannot send one, and no receiver would read it. */
	if (problem == NULL && request->body != NULL && strcmp(request->method, "HEAD") == 0)
		problem = "a HEAD request cannot have a body";
	if (problem == NULL)
		x->url = tq_urls_take(urls, request->url, &problem);
	if (problem == NULL)
		problem = list_headers(x, request);
	if (problem != NULL)
		return problem;
	x->tls = strncasecmp(request->url, "https:", 6) == 0;
	x->method = request->method;
	x->body = request->body;
	x->body_len = request->body != NULL ? request->body_len : 0;
	return NULL;
}

/* ---- the answer ------------------------------------------------------------- */

/* The lines of a head are those that curl told of: none has a line feed in it. */
static const char *
end_of_line(const char *line)
{
	const char *feed = strchr(line, '\n');

	return feed != NULL ? feed - 1 : line + strlen(line);
}

/* The value of the first header of that name, or NULL; memory running out counts as none. */
static char *
find_header(const char *head, const char *name)
{
	size_t len = strlen(name);
	const char *line;
	const char *end;

	for (line = head; *line != '\0'; line = *end != '\0' ? end + 2 : end)
	{
		const char *value = line + len + 1;

		end = end_of_line(line);
		if ((size_t) (end - line) <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
			continue;
		while (value < end && (*value == ' ' || *value == '\t'))
			value++;
		while (value < end && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		return strndup(value, (size_t) (end - value));
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

static void
let_parts_go(tq_exchange *x)
{
	tq_urls_give(x->url);
	curl_slist_free_all(x->copied);
	x->url = NULL;
	x->copied = NULL;
	x->response = NULL;
}

tq_response *
tq_exchange_end(tq_exchange *x)
{
	tq_response *r = x->response;

	collect(x);
	let_parts_go(x);
	return r;
}

void
tq_exchange_free(tq_exchange *x)
{
	tq_response_free(x->response);
	tq_buffer_free(&x->head);
	tq_buffer_free(&x->content);
	let_parts_go(x);
	if (x->easy != NULL)
		curl_easy_cleanup(x->easy);
	free(x->lines);
	free(x);
}
