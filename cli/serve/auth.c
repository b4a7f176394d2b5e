/*
 * auth.c
 *		Who is asking: a bearer token, a cookie made from one, a proxy's word, or nobody.
 *
 * A cookie is NAME.EXPIRY.HMAC.  The key of its HMAC is made of the key of the process and of the
 * whole line of the token, so a line that is taken away or changed ends its sessions, and no state
 * is kept.  Neither the file nor a cookie tells what is needed to make another one.
 */
#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "cli/report.h"
#include "cli/serve/auth.h"
#include "cli/serve/query.h"
#include "cli/serve/tokens.h"

#define BEARER        "Bearer "
#define COOKIE        "taskq_session"
#define SESSION_S     (12 * 3600)
#define MAC_SIZE      32
#define MAX_COOKIE    256
#define MAX_FAILURES  10 /* of an address in a second */
#define MAX_ADDRESSES 256
#define MIN_KEY       16
#define MAX_KEY       4096

typedef struct Failing
{
	char address[HTTP_ADDRESS_SIZE];
	time_t second;
	int n;
} Failing;

struct auth
{
	auth_options options;
	token_file file;
	unsigned char key[MAC_SIZE];
	Failing failing[MAX_ADDRESSES];
};

/* ---- cookies --------------------------------------------------------------------- */

static void
mac_of(const unsigned char *key, const void *data, size_t len, unsigned char *mac)
{
	unsigned n;

	if (HMAC(EVP_sha256(), key, MAC_SIZE, data, len, mac, &n) == NULL)
		abort();
}

/* text: NAME.EXPIRY */
static void
sign(const auth *a, const token_line *line, const char *text, size_t len, char *signature)
{
	unsigned char key[MAC_SIZE];
	unsigned char mac[MAC_SIZE];

	mac_of(a->key, line->line, TOKEN_HASH, key);
	mac_of(key, text, len, mac);
	tokens_hex(mac, MAC_SIZE, signature);
}

/* The line of a session; NULL: it is none, or its time is over. */
static const token_line *
check_cookie(const auth *a, cli_slice cookie)
{
	char text[MAX_COOKIE];
	char signature[2 * MAC_SIZE + 1];
	const token_line *line;
	char *expiry;
	char *mac;
	char *end;

	if (cookie.len >= sizeof(text))
		return NULL;
	memcpy(text, cookie.text, cookie.len);
	text[cookie.len] = '\0';
	expiry = strchr(text, '.');
	mac = expiry != NULL ? strchr(expiry + 1, '.') : NULL;
	if (mac == NULL || strlen(mac + 1) != 2 * MAC_SIZE || !isdigit((unsigned char) expiry[1]))
		return NULL;
	line = tokens_named(&a->file, text, (size_t) (expiry - text));
	if (line == NULL || !line->ui)
		return NULL;
	sign(a, line, text, (size_t) (mac - text), signature);
	if (CRYPTO_memcmp(signature, mac + 1, 2 * MAC_SIZE) != 0)
		return NULL;
	return strtoll(expiry + 1, &end, 10) > time(NULL) && end == mac ? line : NULL;
}

static const char *
cookie_text(http_request *r, const char *value, int max_age)
{
	static const char format[] = COOKIE "=%s; HttpOnly; SameSite=Strict; Path=/; Max-Age=%d%s";
	char *text = http_alloc(r, sizeof(format) + MAX_COOKIE + 20);

	if (text != NULL)
		sprintf(text, format, value, max_age, r->through_tls ? "; Secure" : "");
	return text;
}

const char *
auth_logout(http_request *r)
{
	return cookie_text(r, "", 0);
}

/* ---- addresses that fail --------------------------------------------------------- */

/* The place of an address: its own, or the one that failed longest ago. */
static Failing *
place_of_address(auth *a, const char *address)
{
	Failing *oldest = &a->failing[0];
	int i;

	for (i = 0; i < MAX_ADDRESSES; i++)
	{
		if (strcmp(a->failing[i].address, address) == 0)
			return &a->failing[i];
		if (a->failing[i].second < oldest->second)
			oldest = &a->failing[i];
	}
	return oldest;
}

static bool
fails_too_often(auth *a, const char *address)
{
	const Failing *f = place_of_address(a, address);

	return strcmp(f->address, address) == 0 && f->second == time(NULL) && f->n >= MAX_FAILURES;
}

static void
note_wrong_token(auth *a, const char *address)
{
	Failing *f = place_of_address(a, address);
	time_t now = time(NULL);

	if (strcmp(f->address, address) != 0 || f->second != now)
		f->n = 0;
	snprintf(f->address, sizeof(f->address), "%s", address);
	f->second = now;
	f->n++;
}

const char *
auth_login(auth *a, http_request *r, const char *token, size_t len)
{
	const token_line *line = tokens_find(&a->file, token, len);
	char value[MAX_COOKIE];
	int n;

	if (line == NULL || !line->ui)
	{
		note_wrong_token(a, r->address);
		return NULL;
	}
	n = snprintf(value, sizeof(value), "%s.%lld", line->name, (long long) time(NULL) + SESSION_S);
	value[n] = '.';
	sign(a, line, value, (size_t) n, value + n + 1);
	return cookie_text(r, value, SESSION_S);
}

/* ---- who ------------------------------------------------------------------------- */

static auth_who
as_line(auth_kind kind, const token_line *line)
{
	return (auth_who){kind, line->name, line->role, line->ui};
}

static auth_who
as_nobody(auth_kind kind)
{
	return (auth_who){.kind = kind, .name = "", .role = ""};
}

static auth_who
failed(auth *a, const http_request *r)
{
	note_wrong_token(a, r->address);
	return as_nobody(AUTH_REFUSED);
}

static auth_who
by_token(auth *a, const http_request *r, const char *header)
{
	const token_line *line = NULL;

	if (strncasecmp(header, BEARER, strlen(BEARER)) == 0)
	{
		header += strlen(BEARER);
		header += strspn(header, " ");
		line = tokens_find(&a->file, header, strlen(header));
	}
	/* A right one is never refused: others may come from the same address. */
	if (line != NULL)
		return as_line(AUTH_TOKEN, line);
	return fails_too_often(a, r->address) ? as_nobody(AUTH_TOO_MANY) : failed(a, r);
}

auth_who
auth_ask(auth *a, const http_request *r)
{
	const char *header = http_header(r, "Authorization");
	const char *user = a->options.user_header != NULL && r->from_file
						   ? http_header(r, a->options.user_header)
						   : NULL;
	cli_slice cookie = query_cookie(http_header(r, "Cookie"), COOKIE);
	const token_line *line;

	if (header != NULL)
		return by_token(a, r, header);
	if (user != NULL)
	{
		line = tokens_named(&a->file, user, strlen(user));
		return line != NULL ? as_line(AUTH_USER, line) : failed(a, r);
	}
	line = cookie.text != NULL ? check_cookie(a, cookie) : NULL;
	if (line != NULL)
		return as_line(AUTH_COOKIE, line);
	if (a->options.anonymous != NULL)
		return (auth_who){.kind = AUTH_ANONYMOUS, .name = "", .role = a->options.anonymous};
	return cookie.text != NULL ? failed(a, r) : as_nobody(AUTH_NOBODY);
}

/* ---- the whole ------------------------------------------------------------------- */

static void
read_key(auth *a, const char *path)
{
	char bytes[MAX_KEY];
	FILE *stream;
	size_t n;

	if (path == NULL && RAND_bytes(a->key, MAC_SIZE) == 1)
		return;
	if (path == NULL)
		cli_fail(EXIT_REFUSED, NULL, "there are no random bytes");
	stream = fopen(path, "re");
	if (stream == NULL)
		cli_fail(EXIT_REFUSED, NULL, "cannot read %s: %s", path, strerror(errno));
	n = fread(bytes, 1, sizeof(bytes), stream);
	fclose(stream);
	if (n < MIN_KEY)
		cli_fail(EXIT_REFUSED, "openssl rand -hex 32 makes one.",
				 "%s: a key has at least %d bytes", path, MIN_KEY);
	tokens_hash(bytes, n, a->key);
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

auth *
auth_new(const auth_options *options)
{
	auth *a = calloc(1, sizeof(*a));
	char fault[TOKEN_FAULT_SIZE];

	if (a == NULL)
		cli_fail(EXIT_REFUSED, NULL, "out of memory");
	a->options = *options;
	read_key(a, options->session_key);
	if (options->tokens != NULL && !auth_reload(a, fault))
		cli_fail(EXIT_REFUSED, "\"taskq token new\" makes a line of it.", "%s: %s",
				 options->tokens, fault);
	return a;
}

bool
auth_reload(auth *a, char *fault)
{
	return a->options.tokens == NULL || tokens_read(a->options.tokens, &a->file, fault);
}

bool
auth_line(const auth *a, int n, const char **name, const char **role)
{
	if (n >= a->file.n)
		return false;
	*name = a->file.lines[n].name;
	*role = a->file.lines[n].role;
	return true;
}

void
auth_free(auth *a)
{
	tokens_free(&a->file);
	OPENSSL_cleanse(a->key, sizeof(a->key));
	free(a);
}
