/*
 * auth.h
 *		Who is asking: a bearer token, a cookie made from one, a proxy's word, or nobody.
 *
 * What that one may do is decided by the database, as the role.
 */
#ifndef CLI_SERVE_AUTH_H
#define CLI_SERVE_AUTH_H

#include <stdbool.h>

#include "cli/serve/http.h"

typedef struct auth auth;

typedef struct auth_options
{
	const char *tokens;      /* the file; NULL: there is none */
	const char *anonymous;   /* the role without a token; NULL: such requests are refused */
	const char *user_header; /* of a proxy that says who it is; NULL: none is believed */
	const char *session_key; /* a file; NULL: the key is made at the start */
} auth_options;

typedef enum auth_kind
{
	AUTH_REFUSED,  /* a token or cookie that is not right */
	AUTH_TOO_MANY, /* the address has failed too often in this second */
	AUTH_NOBODY,   /* nothing was shown, and that is not enough */
	AUTH_ANONYMOUS,
	AUTH_TOKEN,
	AUTH_COOKIE,
	AUTH_USER
} auth_kind;

typedef struct auth_who
{
	auth_kind kind;
	const char *name; /* of the line; "" for the anonymous.  Likewise role: until a reload */
	const char *role;
	bool ui;
} auth_who;

/* Ends the program if a file is not right. */
extern auth *auth_new(const auth_options *options);

/* Reads the file of tokens again.  False: it is not right, fault says why, and nothing changes. */
extern bool auth_reload(auth *a, char *fault);

extern auth_who auth_ask(auth *a, const http_request *r);

/* The cookie for a token that may log in; the request's memory.  NULL: it may not. */
extern const char *auth_login(auth *a, http_request *r, const char *token, size_t len);

/* The cookie that ends a session. */
extern const char *auth_logout(http_request *r);

/* For --check: line n of the file, from 0; false: there are no more. */
extern bool auth_line(const auth *a, int n, const char **name, const char **role);

extern void auth_free(auth *a);

#endif
