/*
 * test_names.c
 *		International names of hosts.
 */
#include <stdio.h>
#include <string.h>

#include "core/names.h"
#include "unit.h"

static void
test_names(void)
{
	static const struct
	{
		const char *name;
		const char *ascii; /* NULL: none */
	} cases[] = {
		{"example.com", "example.com"},
		{"Example.COM.", "Example.COM."},
		{"b\xc3\xbc"
		 "cher.example",
		 "xn--bcher-kva.example"},
		{"B\xc3\x9c"
		 "CHER.example",
		 "xn--bcher-kva.example"},
		{"bu\xcc\x88"
		 "cher.example",
		 "xn--bcher-kva.example"},
		{"fa\xc3\x9f.example", "xn--fa-hia.example"},
		{"\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah"},
		{"b\xc3\xbc"
		 "cher\xe3\x80\x82"
		 "example",
		 "xn--bcher-kva.example"},
		{"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", "127.0.0.1"},
		{"b\xc3\xbc"
		 "cher..example",
		 "xn--bcher-kva..example"},
		{"\xc3\x28.example", NULL},
		{"\xff\xfe", NULL},
		{"a\xe2\x84\x80"
		 "b.example",
		 NULL}, /* a/c */
		{"a\xef\xbc\x8f"
		 "b",
		 NULL}, /* wide / */
		{"a\xef\xbc\x83"
		 "b",
		 NULL}, /* wide # */
		{"a\xef\xbc\x9a"
		 "80",
		 NULL}, /* wide : */
		{"\xe2\x80\x8b.example", ".example"},
	};
	char ascii[TQ_MAX_HOST + 1];
	char longest[TQ_MAX_HOST + 3];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(tq_name_ascii(cases[i].name, ascii) ? ascii : NULL, cases[i].ascii, "name %d",
			   (int) i);
	memset(longest, 'a', sizeof(longest));
	longest[TQ_MAX_HOST] = '\0';
	ok(tq_name_ascii(longest, ascii), "the longest name");
	longest[TQ_MAX_HOST] = 'a';
	longest[TQ_MAX_HOST + 1] = '\0';
	ok(!tq_name_ascii(longest, ascii), "a longer one");
}

static void
test_urls(void)
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

int
main(void)
{
	test_names();
	test_urls();
	return done();
}
