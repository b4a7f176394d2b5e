/*
 * page.c
 *		The files of the dashboard, and how one logs in to it.
 *
 * The files are in the program.  A page may load nothing from elsewhere, run no script that is not
 * one of them, and be in no frame; all paths in them are relative, so a proxy may give them any
 * prefix.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/serve/exchange.h"
#include "cli/serve/page.h"
#include "cli/serve/tokens.h"
#include "cli/serve/web.h"

#define INDEX    "index.html"
#define MAX_FILE (4 << 20)

/* clang-format off */
#define POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " \
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " \
	"require-trusted-types-for 'script'"
/* clang-format on */

/* By the end of the name. */
static const struct
{
	const char *end;
	const char *type;
} types[] = {{".html", "text/html; charset=utf-8"},
			 {".css", "text/css; charset=utf-8"},
			 {".js", "text/javascript; charset=utf-8"},
			 {".svg", "image/svg+xml"}};

/* NULL: a name that no file here has. */
static const char *
type_of_file(const char *name)
{
	size_t len = strlen(name);
	int i;

	if (*name == '.' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != len)
		return NULL;
	for (i = 0; i < COUNT(types); i++)
	{
		size_t n = strlen(types[i].end);

		if (len > n && strcmp(name + len - n, types[i].end) == 0)
			return types[i].type;
	}
	return NULL;
}

static const web_file *
find_file(const char *name)
{
	int i;

	for (i = 0; i < nweb_files; i++)
		if (strcmp(web_files[i].name, name) == 0)
			return &web_files[i];
	return NULL;
}

/* Of the directory that was given instead; false: there is no such file. */
static bool
read_file(const char *directory, const char *name, tq_buffer *content)
{
	char path[PATH_MAX];
	char bytes[4096];
	ssize_t n;
	int fd;

	tq_buffer_init(content, MAX_FILE);
	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int) sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		(void) tq_buffer_append(content, bytes, (size_t) n);
	close(fd);
	return n == 0 && !content->overflowed;
}

/* Adds the headers of a page; true: the client has this version of it. */
static bool
add_headers(exchange *x, const char *bytes, size_t len)
{
	unsigned char hash[TOKEN_HASH];
	char etag[40] = "\"";
	const char *known = http_header(x->http, "If-None-Match");

	tokens_hash(bytes, len, hash);
	tokens_hex(hash, 16, etag + 1);
	strcat(etag, "\"");
	http_add(x->http, "ETag", etag);
	http_add(x->http, "Cache-Control", "no-cache");
	http_add(x->http, "Content-Security-Policy", POLICY);
	http_add(x->http, "Referrer-Policy", "no-referrer");
	http_add(x->http, "Cross-Origin-Opener-Policy", "same-origin");
	return known != NULL && strcmp(known, etag) == 0;
}

static void
show_file(exchange *x, const char *name)
{
	const char *directory = x->gateway->web_dir;
	const char *type = type_of_file(name);
	const web_file *file = type != NULL && directory == NULL ? find_file(name) : NULL;
	tq_buffer content;
	size_t len;

	tq_buffer_init(&content, 0);
	if (type == NULL || (directory != NULL ? !read_file(directory, name, &content) : file == NULL))
		exchange_error(x, 404, NULL, "there is no such file", NULL, NULL);
	else
	{
		const char *bytes = file != NULL ? file->begin : content.len > 0 ? content.data
																		 : "";

		len = file != NULL ? (size_t) (file->end - file->begin) : content.len;
		if (add_headers(x, bytes, len))
			http_answer_static(x->http, 304, NULL, "", 0);
		else if (file != NULL)
			http_answer_static(x->http, 200, type, bytes, len);
		else
			http_answer(x->http, 200, type, bytes, len);
	}
	tq_buffer_free(&content);
}

static void
show_index(exchange *x)
{
	show_file(x, INDEX);
}

static void
show_named(exchange *x)
{
	show_file(x, x->parameters[0]);
}

static void
redirect(exchange *x)
{
	http_add(x->http, "Location", "ui/");
	http_answer_static(x->http, 308, NULL, "", 0);
}

/* ---- login ----------------------------------------------------------------------- */

/* No page of another site may log somebody in. */
static bool
is_from_page(exchange *x)
{
	const char *mark = http_header(x->http, "X-Taskq");

	if (mark != NULL && strcmp(mark, "1") == 0)
		return true;
	exchange_error(x, 403, NULL, "the header X-Taskq: 1 is needed", NULL, NULL);
	return false;
}

static void
log_in(exchange *x)
{
	const char *token = x->values[0] != NULL ? x->values[0] : "";
	const char *cookie;

	if (!is_from_page(x))
		return;
	cookie = auth_login(x->gateway->auth, x->http, token, strlen(token));
	if (cookie == NULL)
	{
		exchange_error(x, 401, NULL, "the token is wrong, has expired, or may not log in", NULL,
					   "Its line in the file of tokens needs the option ui.");
		return;
	}
	http_add(x->http, "Set-Cookie", cookie);
	http_answer_static(x->http, 204, NULL, "", 0);
}

static void
log_out(exchange *x)
{
	const char *cookie = is_from_page(x) ? auth_logout(x->http) : NULL;

	if (cookie == NULL)
		return;
	http_add(x->http, "Set-Cookie", cookie);
	http_answer_static(x->http, 204, NULL, "", 0);
}

static const route_member login_members[] = {{"token", MEMBER_TEXT}};

static const route routes[] = {
	{"GET", "/ui", "Leads to the dashboard", ROUTE_PUBLIC, .run = redirect},
	{"GET", "/ui/", "The dashboard", ROUTE_PUBLIC, .run = show_index},
	{"GET", "/ui/{file}", "A file of the dashboard", ROUTE_PUBLIC, .run = show_named},
	{"POST", "/ui/login", "Makes a session of a token", ROUTE_PUBLIC, .body = login_members,
	 .nbody = COUNT(login_members), .run = log_in},
	{"POST", "/ui/logout", "Ends the session", ROUTE_PUBLIC, .run = log_out}};

const route_table page_routes = {routes, COUNT(routes)};
