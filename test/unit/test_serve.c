/*
 * test_serve.c
 *		What comes to the gateway from anybody: paths, queries, cookies, and lines of tokens.  And
 *		what it makes of histograms.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/serve/query.h"
#include "cli/serve/tokens.h"
#include "cli/serve/waits.h"
#include "unit.h"

/* ---- queries --------------------------------------------------------------------- */

static void
decodes(const char *text, bool plus, const char *expected)
{
	char to[100];
	bool done = query_decode(text, strlen(text), plus, to);

	ok(expected != NULL ? done && strcmp(to, expected) == 0 : !done, "%s is %s", text,
	   expected != NULL ? expected : "not valid");
}

static void
add_parameter(void *arg, cli_slice name, cli_slice value)
{
	sprintf(strchr((char *) arg, '\0'), "[%.*s|%.*s]", (int) name.len, name.text, (int) value.len,
			value.text != NULL ? value.text : "");
}

static void
splits(const char *query, const char *expected)
{
	char got[200] = "";

	query_split(query, add_parameter, got);
	is_str(got, expected, "parameters of %s", query);
}

static void
test_queries(void)
{
	decodes("a%20b+c", true, "a b c");
	decodes("a+b", false, "a+b");
	decodes("%C3%a4", true, "\xc3\xa4");
	decodes("", true, "");
	decodes("%2", true, NULL);
	decodes("%", true, NULL);
	decodes("%zz", true, NULL);
	decodes("%00", true, NULL);
	decodes("%ff", true, NULL);
	decodes("%ed%a0%80", true, NULL);
	splits("a=1&b=&c&&=d", "[a|1][b|][c|][|d]");
	splits("a=b=c", "[a|b=c]");
	splits("", "");
	splits("&", "");
}

/* ---- paths ----------------------------------------------------------------------- */

static void
has_segments(const char *path, int expected, const char *last)
{
	cli_slice segments[3];
	int n = query_segments(path, segments, 3);

	ok(n == expected, "%s has %d segments", path, expected);
	ok(n <= 0 || cli_slice_is(segments[n - 1], last), "the last of which is %s", last);
}

static void
test_paths(void)
{
	has_segments("/", 0, "");
	has_segments("/a", 1, "a");
	has_segments("/a/", 2, "");
	has_segments("//", 2, "");
	has_segments("/a/b%2Fc", 2, "b%2Fc");
	has_segments("/a/b/c", 3, "c");
	has_segments("/a/b/c/d", -1, "");
}

/* ---- cookies --------------------------------------------------------------------- */

static void
has_cookie(const char *header, const char *expected)
{
	cli_slice cookie = query_cookie(header, "s");

	ok(expected != NULL ? cli_slice_is(cookie, expected) : cookie.text == NULL, "cookie of %s",
	   header != NULL ? header : "nothing");
}

static void
test_cookies(void)
{
	has_cookie("s=1", "1");
	has_cookie("a=2; s=1 ; b=3", "1");
	has_cookie("s=", "");
	has_cookie("s", NULL);
	has_cookie("xs=1", NULL);
	has_cookie("s=1;s=2", NULL);
	has_cookie("", NULL);
	has_cookie(NULL, NULL);
}

/* ---- tokens ---------------------------------------------------------------------- */

#define HASH "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static bool
reads(const char *text, token_line *line, char *fault)
{
	char copy[300];

	strcpy(copy, text);
	return tokens_read_line(copy, line, fault);
}

static void
refuses(const char *text, const char *reason)
{
	token_line line;
	char fault[TOKEN_FAULT_SIZE];

	ok(!reads(text, &line, fault) && strstr(fault, reason) != NULL, "\"%.40s\": %s", text, fault);
}

static void
test_lines(void)
{
	token_line line;
	token_line other;
	char fault[TOKEN_FAULT_SIZE];

	ok(reads("shop  shop_app\t" HASH " ui expires=2027-01-01\n", &line, fault), "a line %s",
	   fault);
	is_str(line.name, "shop", "its name");
	is_str(line.role, "shop_app", "its role");
	ok(line.ui && line.expires_s == 1798761600, "its options");
	ok(line.hash[0] == 0x9f && line.hash[31] == 0x08, "its hash");
	ok(reads("shop  shop_app\t" HASH " ui expires=2027-01-02\n", &other, fault) &&
		   memcmp(line.line, other.line, TOKEN_HASH) != 0,
	   "another line has another hash");
	ok(reads("a b " HASH, &line, fault) && !line.ui && line.expires_s == 0, "without options");
	ok(!reads("# x", &line, fault) && fault[0] == '\0', "a comment is nothing");
	ok(!reads(" \n", &line, fault) && fault[0] == '\0', "nor is an empty line");
	refuses("a.b c " HASH, "the name has letters");
	refuses("a", "name of a role");
	refuses("a b", "third word");
	refuses("a b 9f86", "third word");
	refuses("a b " HASH "0", "third word");
	refuses("a b " HASH " admin", "no option \"admin\"");
	refuses("a b " HASH " expires=2027-02-30", "no option");
	refuses("a b " HASH " expires=tomorrow", "no option");
}

static void
test_tokens(void)
{
	token_line lines[2] = {{.name = "a", .role = "r"}, {.name = "b", .role = "r", .expires_s = 1}};
	token_file file = {lines, 2};
	char one[TOKEN_SIZE];
	char two[TOKEN_SIZE];

	ok(tokens_make(one) && tokens_make(two), "two tokens");
	ok(strcmp(one, two) != 0 && strlen(one) == 46 && strncmp(one, "tq_", 3) == 0, "%.3s and more",
	   one);
	tokens_hash(one, strlen(one), lines[0].hash);
	tokens_hash(two, strlen(two), lines[1].hash);
	ok(tokens_find(&file, one, strlen(one)) == &lines[0], "one is found");
	ok(tokens_find(&file, one, strlen(one) - 1) == NULL, "not without its end");
	ok(tokens_find(&file, two, strlen(two)) == NULL, "the other one has expired");
	ok(tokens_find(&file, "", 0) == NULL, "nothing is none");
	ok(tokens_named(&file, "a", 1) == &lines[0], "by name");
	ok(tokens_named(&file, "b", 1) == NULL, "not when it has expired");
	ok(tokens_named(&file, "ab", 2) == NULL, "nor one that is not there");
}

/* ---- histograms ------------------------------------------------------------------ */

static void
waits_are(const char *since, const char *now, double share, double expected)
{
	waits before = waits_read(since);
	waits after = waits_read(now);
	double got = waits_quantile(&before, &after, share);

	ok(got > expected - 1e-9 && got < expected + 1e-9, "%g of [%s] since [%s]: %g, not %g", share,
	   now, since, got, expected);
}

static void
test_waits(void)
{
	static const char none[] = "0.1 0 1 0 10.0 0 +Inf 0";

	waits_are(none, "0.1 10 1 10 10.0 10 +Inf 10", 0.5, 0.05);
	waits_are(none, "0.1 0 1 10 10.0 10 +Inf 10", 0.5, 0.55);
	waits_are(none, "0.1 2 1 4 10.0 8 +Inf 8", 0.5, 1);
	waits_are(none, "0.1 2 1 4 10.0 8 +Inf 8", 0.75, 5.5);
	waits_are(none, "0.1 0 1 1 10.0 1 +Inf 1", 0.95, 0.955);
	/* Only what was added counts. */
	waits_are("0.1 90 1 90 10.0 90 +Inf 90", "0.1 90 1 90 10.0 100 +Inf 100", 0.5, 5.5);
	/* Above the last bound it is as much as is known. */
	waits_are(none, "0.1 0 1 0 10.0 0 +Inf 4", 0.5, 10);
	waits_are("", "0.1 10 1 10 10.0 10 +Inf 10", 0.5, 0.05);
	/* The counters have begun anew. */
	waits_are("0.1 90 1 90 10.0 90 +Inf 90", "0.1 0 1 10 10.0 10 +Inf 10", 0.5, 0.55);
	waits_are(none, none, 0.5, -1);
	waits_are("", "", 0.5, -1);
	waits_are(none, "", 0.5, -1);
}

int
main(void)
{
	test_queries();
	test_paths();
	test_cookies();
	test_lines();
	test_tokens();
	test_waits();
	return done();
}
