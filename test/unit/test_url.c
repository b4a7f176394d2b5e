/*
 * test_url.c
 *		Which URLs and paths a task may have, and what becomes of international ones.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/url.h"
#include "core/urls.h"
#include "unit.h"

static const char *const good_urls[] = {
	"http://example.com",
	"https://example.com/",
	"HTTP://EXAMPLE.COM/x",
	"http://example.com:8080/a/b?c=d&e=f#g",
	"http://example.com./",
	"http://127.0.0.1/",
	"http://2130706433/",
	"http://0x7f.1/",
	"http://0177.0.0.1/",
	"http://0/",
	"http://[::1]/",
	"http://[::ffff:127.0.0.1]:81/",
	"http://xn--bcher-kva.example/",
	"http://example.com?q",
	"http://example.com/@user",
	"http://example.com/a:b",
	"http://example.com:65535/",
	"http://a_b.example/",
	"http://example.com/%0d%0a",
	"http://example.com/\xc3\xbc",
};
static const struct
{
	const char *url;
	const char *problem;
} bad_urls[] = {
	{"", "URL does not begin with http:// or https://"},
	{"example.com", "URL does not begin with http:// or https://"},
	{"ftp://example.com/", "URL does not begin with http:// or https://"},
	{"file:///etc/passwd", "URL does not begin with http:// or https://"},
	{"gopher://example.com/", "URL does not begin with http:// or https://"},
	{"javascript:alert(1)", "URL does not begin with http:// or https://"},
	{"http:/example.com", "URL does not begin with http:// or https://"},
	{"http:example.com", "URL does not begin with http:// or https://"},
	{"//example.com", "URL does not begin with http:// or https://"},
	{"http:\\\\example.com", "URL does not begin with http:// or https://"},
	{"http://", "URL has no host"},
	{"http:///x", "URL has no host"},
	{"http:////example.com", "URL has no host"},
	{"http://?q", "URL has no host"},
	{"http://:80/", "URL has no host"},
	{"http://#", "URL has no host"},
#if LIBCURL_VERSION_NUM >= 0x081700
	{"http://./", "URL is malformed"},
#else
	{"http://./", "URL has no host"},
#endif
	{"http://user@example.com/", "URL has user information"},
	{"http://user:pass@example.com/", "URL has user information"},
	{"http://@example.com/", "URL has user information"},
	{"http://:@example.com/", "URL has user information"},
	{"http://ok.test\\@10.0.0.5/", "URL has user information"},
	{"http://ok.test@10.0.0.5#@x", "URL has user information"},
	{"http://example.com/ x", "URL has a blank"},
	{" http://example.com/", "URL has a blank"},
	{"http://exa mple.com/", "URL has a blank"},
	{"http://example.com/\r\nX: y", "URL has a control character"},
	{"http://example.com/\t", "URL has a control character"},
	{"http://example.com/\x7f", "URL has a control character"},
	{"\x01http://example.com/", "URL has a control character"},
	{"http://example.com:65536/", "URL has a bad port"},
	{"http://example.com:0/", "URL has a bad port"},
	{"http://example.com:00000/", "URL has a bad port"},
	{"http://example.com:+80/", "URL has a bad port"},
	{"http://example.com:8x/", "URL has a bad port"},
	{"http://example.com:-1/", "URL has a bad port"},
	{"http://[fe80::1%25eth0]/", "URL has an IPv6 zone"},
	{"http://b\xc3\xbc"
	 "cher.example/",
	 "host name in URL is not ASCII: use its xn-- form"},
};

/* Refused; the reason is curl's and no matter. */
static const char *const odd_urls[] = {
	"http://exa%00mple.com/",
	"http://exa%0ample.com/",
	"http://a|b/%",
	"http://[::1/",
	"http://[1:2:3/",
	"http://[zz::1]/",
	"http://ex<am>ple/",
	"http://a\\b/",
	"http://[]/",
	"http://%b\xc3\xbc/",
	"http://a,b/",
	"http://example.com:80:80/",
	"http://[::1]x/",
};

static void
test_urls(void)
{
	size_t i;

	for (i = 0; i < sizeof(good_urls) / sizeof(good_urls[0]); i++)
		is_str(tq_url_invalid(good_urls[i]), NULL, "%s", good_urls[i]);
	for (i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++)
		is_str(tq_url_invalid(bad_urls[i].url), bad_urls[i].problem, "bad URL %d", (int) i);
	for (i = 0; i < sizeof(odd_urls) / sizeof(odd_urls[0]); i++)
		if (!ok(tq_url_invalid(odd_urls[i]) != NULL, "odd URL %d", (int) i))
			note("%s", odd_urls[i]);
}

static void
test_url_lengths(void)
{
	char url[70000];

	memset(url, 'a', sizeof(url));
	memcpy(url, "http://x/", 9);
	url[8192] = '\0';
	is_str(tq_url_invalid(url), NULL, "8192 bytes");
	url[8192] = 'a';
	url[8193] = '\0';
	is_str(tq_url_invalid(url), "URL is too long", "8193 bytes");

	memset(url, 'a', sizeof(url));
	memcpy(url, "http://", 7);
	url[7 + 255] = '\0';
	is_str(tq_url_invalid(url), NULL, "a host of 255 bytes");
	url[7 + 255] = 'a';
	url[7 + 256] = '\0';
	ok(tq_url_invalid(url) != NULL, "a host of 256 bytes");
	url[7 + 256] = 'a';
	url[65000] = '\0';
	is_str(tq_url_invalid(url), "URL is too long", "a host of 65 kB");
}

static void
test_paths(void)
{
	static const char *const good[] = {
		"/", "/a", "/a/", "//", "/.a", "/a..b/...", "/%2ea", "/a?b/../c", "?", "?a=/../", "/a%20b"};
	static const char *const bad[] = {
		"", "a", "@evil.example/", ":80/", "/.", "/..", "/../a", "/a/..", "/a/./b", "/a/../b",
		"/a/%2e%2E/b", "/.%2e", "/%2e", "/..?a", "/a/..?b", "//../a", "/a#b", "/a\\b", "/a b",
		"/..%2fa", "/%2e%2e%2Fa", "/..;/a", "/.;", "/a%5C..%5cb",
		"/a\r\nX: y", "/\x7f", "/\xc3\xa4"};
	char longest[8200];
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		is_str(tq_path_invalid(good[i]), NULL, "path %s", good[i]);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(tq_path_invalid(bad[i]) != NULL, "bad path %d", (int) i);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "/?", 2);
	longest[8192] = '\0';
	is_str(tq_path_invalid(longest), NULL, "a path of 8192 bytes");
	longest[8192] = 'a';
	longest[8193] = '\0';
	is_str(tq_path_invalid(longest), "path is too long", "of 8193, with its query");
}

static void
test_ascii(void)
{
	static const char other[] =
		"only the host may have characters outside ASCII, all else is percent-encoded";
	static const struct
	{
		const char *url;
		const char *ascii; /* NULL: wrong is told */
		const char *wrong;
	} cases[] = {
		{"http://example.com/a?b", "http://example.com/a?b", NULL},
		{"https://b\xc3\xbc"
		 "cher.example:8443/a",
		 "https://xn--bcher-kva.example:8443/a", NULL},
		{"http://b\xc3\xbc"
		 "cher.example",
		 "http://xn--bcher-kva.example", NULL},
		{"http://[2001:db8::1]/", "http://[2001:db8::1]/", NULL},
		{"http://b\xc3\xbc"
		 "cher.example/\xc3\xbc",
		 NULL, other},
		{"http://a.example/?\xc3\xbc", NULL, other},
		{"h\xc3\xbcttp://a.example/", NULL, other},
		{"http://\xc3\xbc@b.example/", NULL, "URL has user information"},
		{"http://\xff\xfe/", NULL, "host name in URL is not one of a host"},
		{"b\xc3\xbc"
		 "cher.example",
		 NULL, "URL does not begin with http:// or https://"},
		{"http://a b/", NULL, "URL has a blank"},
		{"http://\xe2\x80\x8b.example/", NULL, "URL has no host"},
		{"http://\xe2\x80\x8b/", NULL, "URL has no host"},
	};
	char ascii[TQ_MAX_URL + 1];
	char longest[TQ_MAX_URL + 3];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *wrong = tq_url_ascii(cases[i].url, ascii);

		is_str(wrong, cases[i].wrong, "URL %d", (int) i);
		if (wrong == NULL)
			is_str(ascii, cases[i].ascii, "its ASCII form");
	}
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	memcpy(longest, "http://\xc3\xbc/", 10);
	ok(tq_url_ascii(longest, ascii) != NULL, "a URL that is too long");
	longest[TQ_MAX_URL - 10] = '\0';
	ok(tq_url_ascii(longest, ascii) == NULL, "one that is not");
	longest[TQ_MAX_URL - 2] = 'a';
	longest[TQ_MAX_URL - 10] = 'a';
	longest[TQ_MAX_URL - 1] = '\0';
	ok(tq_url_ascii(longest, ascii) != NULL, "one whose ASCII form is");
}

/* ---- parsed URLs that are kept -------------------------------------------- */

static void
test_kept(void)
{
	tq_urls urls = {0};
	char text[TQ_URLS_SLOTS * 2][40];
	const tq_url *url[TQ_URLS_SLOTS * 2];
	char longest[2000];
	const char *problem = "";
	const tq_url *again;
	bool each = true;
	int i;

	for (i = 0; i < TQ_URLS_SLOTS * 2; i++)
	{
		snprintf(text[i], sizeof(text[i]), "https://h%d.example:%d/", i, i + 1);
		url[i] = tq_urls_take(&urls, text[i], &problem);
	}
	is_str(problem, NULL, "no problem");
	for (i = 0; i < TQ_URLS_SLOTS * 2; i++)
		each = each && url[i] != NULL && atoi(url[i]->port) == i + 1 && url[i]->handle != NULL;
	ok(each, "more URLs than are kept, all in use");
	again = tq_urls_take(&urls, text[i - 1], &problem);
	ok(again == url[i - 1], "the last one is there");
	tq_urls_forget(&urls);
	is_str(again->host, "h127.example", "what is in use stays");
	tq_urls_give(again);
	is_str(url[i - 1]->host, "h127.example", "for each of its users");
	for (i = 0; i < TQ_URLS_SLOTS * 2; i++)
		tq_urls_give(url[i]);

	ok(tq_urls_take(&urls, "ftp://example.com/", &problem) == NULL && problem != NULL,
	   "one that a task may not have");
	snprintf(longest, sizeof(longest), "http://example.com/%01800d", 0);
	again = tq_urls_take(&urls, longest, &problem);
	for (i = 0; i < TQ_URLS_SLOTS; i++)
		each = each && urls.slot[i] == NULL;
	ok(again != NULL && each, "a long one is not kept");
	tq_urls_give(again);
	tq_urls_give(NULL);
	tq_urls_forget(&urls);
}

int
main(void)
{
	test_kept();
	test_urls();
	test_url_lengths();
	test_paths();
	test_ascii();
	return done();
}
