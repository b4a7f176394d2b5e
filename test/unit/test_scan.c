/*
 * test_scan.c
 *		JSON texts: which are valid, and the members of the outermost object.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/scan.h"
#include "client/json.h"
#include "client/utf8.h"
#include "unit.h"

static const char *const valid[] = {"null",
									" true ",
									"false",
									"0",
									"-0",
									"10",
									"-1.5e+10",
									"1E9",
									"0.00",
									"123456789012345678901234567890.10",
									"\"\"",
									"\"a\\u00e9\\n\\\"\\/\"",
									"\"\\ud83d\\ude00\"",
									"\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\"",
									"[]",
									"[ ]",
									"{}",
									"{ }",
									"[1,2]",
									"[[],{}]",
									"{\"a\":1}",
									" { \"a\" : [ { \"b\" : null } ] , \"c\" : \"d\" } \n",
									"{\"a\":1,\"a\":2}",
									"\"\x7f\""};

static const char *const invalid[] = {"",
									  " ",
									  "nul",
									  "nulll",
									  "True",
									  "01",
									  "1.",
									  ".5",
									  "+1",
									  "-",
									  "1e",
									  "1e+",
									  "0x1",
									  "NaN",
									  "Infinity",
									  "'a'",
									  "\"",
									  "\"a",
									  "\"\\x\"",
									  "\"\\u12\"",
									  "\"\\u12g4\"",
									  "\"\\u0000\"",
									  "\"\\ud83d\"",
									  "\"\\ude00\"",
									  "\"\\ud83d\\u0041\"",
									  "\"\\ud83dx\"",
									  "\"\t\"",
									  "\"\n\"",
									  "\"\x80\"",
									  "\"\xc3\"",
									  "\"\xc0\x80\"",
									  "\"\xe0\x80\x80\"",
									  "\"\xed\xa0\x80\"",
									  "\"\xf0\x80\x80\x80\"",
									  "\"\xf4\x90\x80\x80\"",
									  "\"\xff\"",
									  "[",
									  "]",
									  "[1",
									  "[1,",
									  "[1,]",
									  "[,]",
									  "[1 2]",
									  "{",
									  "}",
									  "{a:1}",
									  "{\"a\"}",
									  "{\"a\":}",
									  "{\"a\":1,}",
									  "{\"a\":1",
									  "{,}",
									  "{1:2}",
									  "[}",
									  "{]",
									  "[1}",
									  "1 2",
									  "{} {}",
									  "null,",
									  "// x\n1",
									  "\xef\xbb\xbf"
									  "1"};

/* The members of an object, as "name=value;" each. */
static void
note_member(void *arg, cli_slice name, cli_slice value)
{
	char *to = arg;

	sprintf(to + strlen(to), "%.*s=%.*s;", (int) name.len, name.text, (int) value.len, value.text);
}

static void
test_valid(void)
{
	size_t i;

	for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		ok(cli_scan(valid[i], strlen(valid[i]), NULL, NULL), "valid: %s", valid[i]);
	for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		ok(!cli_scan(invalid[i], strlen(invalid[i]), NULL, NULL), "invalid, number %d", (int) i);
	ok(!cli_scan("\"\0\"", 3, NULL, NULL), "a byte 0 is invalid");
	ok(!cli_scan("[1]", 2, NULL, NULL), "nothing beyond the length is looked at");
}

static void
test_depth(void)
{
	enum
	{
		DEPTH = 4096
	};
	static char text[2 * DEPTH + 2];

	memset(text, '[', DEPTH);
	memset(text + DEPTH, ']', DEPTH);
	ok(cli_scan(text, 2 * DEPTH, NULL, NULL), "deep nesting");
	memset(text, '[', DEPTH + 1);
	memset(text + DEPTH + 1, ']', DEPTH + 1);
	ok(!cli_scan(text, 2 * DEPTH + 2, NULL, NULL), "nesting that is too deep");
}

static void
members_are(const char *text, const char *want)
{
	char got[256] = "";

	ok(cli_scan(text, strlen(text), note_member, got), "%s", text);
	is_str(got, want, "its members");
}

static void
test_members(void)
{
	members_are("{\"a\":1, \"b\" : {\"a\": [1, {\"x\":2}]} ,\"c\\n\":\"d\"}",
				"a=1;b={\"a\": [1, {\"x\":2}]};c\\n=\"d\";");
	members_are("{\"a\":12345678901234567890.10}", "a=12345678901234567890.10;");
	members_are("[{\"a\":1}]", "");
	members_are("{\"a\":[],\"b\":{}}", "a=[];b={};");
	members_are("\"a\"", "");
}

static void
string_is(const char *json, const char *want)
{
	size_t len = 0;
	char *got = cli_scan_string((cli_slice){json, strlen(json)}, &len);

	is_str(got, want, "string %s", json);
	if (got != NULL)
		is_int(len, strlen(want), "its length");
	free(got);
}

static void
test_strings(void)
{
	string_is("\"\"", "");
	string_is("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz");
	string_is("\"\\u0041\\u00e4\\u20ac\\ud83d\\ude00\"", "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	string_is("1", NULL);
	string_is("\"a\" ", NULL);
}

static void
json_is(const char *bytes, size_t len, const char *want)
{
	char *got = tq_json_bytes(bytes, len);

	is_str(got, want, "bytes as JSON");
	ok(cli_scan(got, strlen(got), NULL, NULL), "which is valid");
	free(got);
}

static void
test_bytes(void)
{
	char clean[16];

	json_is("a\"\n", 3, "\"a\\\"\\u000a\"");
	json_is("a\0b", 3,
			"\"a\xef\xbf\xbd"
			"b\"");
	json_is("\xc3\xa4\xc3", 3, "\"\xc3\xa4\xef\xbf\xbd\"");
	json_is("", 0, "\"\"");
	tq_utf8_clean("a\tb\x1b\xc3\xa4\xff\n", 8, clean);
	is_str(clean, "a\tb?\xc3\xa4??", "a line without control characters");
}

int
main(void)
{
	test_valid();
	test_depth();
	test_members();
	test_strings();
	test_bytes();
	return done();
}
