/*
 * route.h
 *		Method and path of a request: which row of the tables of routes it is.
 *
 * A row says all that is known of a route: what its query and body may have, the statement that it
 * is, and what it is about.  openapi.json is made of the same rows.
 */
#ifndef CLI_SERVE_ROUTE_H
#define CLI_SERVE_ROUTE_H

#include <stdbool.h>

#include "cli/scan.h"
#include "cli/serve/gate.h"

#define ROUTE_MAX_PARAMETERS 2

struct exchange;

typedef enum member_kind
{
	MEMBER_TEXT,
	MEMBER_NUMBER,
	MEMBER_LENGTH, /* of time: seconds, or as PostgreSQL has it; "90 s" */
	MEMBER_TRUTH,
	MEMBER_JSON,
	MEMBER_ID,  /* a number as a string, or as a number */
	MEMBER_WAIT /* seconds; no value of the statement */
} member_kind;

/* A member of a body or a parameter of a query. */
typedef struct route_member
{
	const char *name;
	member_kind kind;
} route_member;

/* Flags. */
#define ROUTE_PUBLIC   0x01 /* nobody is asked who he is */
#define ROUTE_CHANGES  0x02 /* it is logged, and a cookie is not enough */
#define ROUTE_SUBMITS  0x04 /* Idempotency-Key is the key */
#define ROUTE_BATCH    0x08 /* the body may be larger, a list or lines */
#define ROUTE_LEASE    0x10 /* a refusal means that the lease is lost */
#define ROUTE_MIYAMOTO 0x20
#define ROUTE_RAW      0x40 /* the body is taken as it comes, of any type */

typedef struct route
{
	const char *method;
	const char *path; /* segments in braces are parameters */
	const char *about;
	unsigned flags;

	/* The values of the statement, in this order: parameters, query, body. */
	const route_member *query;
	int nquery;
	const route_member *body;
	int nbody;
	const gate_statement *statement; /* NULL: none */

	/* Goes on with a request that has been taken apart; NULL: the statement is all. */
	void (*run)(struct exchange *x);
} route;

typedef struct route_table
{
	const route *routes;
	int n;
} route_table;

typedef struct route_match
{
	const route *route; /* NULL: none */
	cli_slice parameters[ROUTE_MAX_PARAMETERS];
	char allowed[64]; /* the methods of the path; empty: there is no such path */
} route_match;

extern route_match route_find(const char *method, const char *path);

/* Every table, for openapi.json. */
extern const route_table *route_tables(int *n);

#endif
