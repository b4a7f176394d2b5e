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

int
main(void)
{
	test_names();
	return done();
}
