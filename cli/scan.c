/*
 * scan.c
 *		Checks a JSON text, and finds the members of its outermost object without taking them apart.
 *
 * Nesting is kept in an array of bits rather than on the stack, so no input can exhaust the stack.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/scan.h"
#include "client/utf8.h"

#define MAX_DEPTH 4096

typedef struct Scanner
{
	const char *at;
	const char *end;
	int depth;
	bool lists;                       /* hands over elements of lists, not members of objects */
	uint8_t is_object[MAX_DEPTH / 8]; /* a bit for each level */
} Scanner;

/* ---- characters -------------------------------------------------------------- */

static void
skip_blanks(Scanner *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
		s->at++;
}

static bool
accept(Scanner *s, char c)
{
	if (s->at >= s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static bool
accept_word(Scanner *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t) (s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return false;
	s->at += len;
	return true;
}

static bool
accept_digits(Scanner *s)
{
	const char *start = s->at;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > start;
}

/* The value of four hexadecimal digits; -1: there are none. */
static int
hex4(const char *at, const char *end)
{
	int value = 0;
	int i;

	if (end - at < 4)
		return -1;
	for (i = 0; i < 4; i++)
	{
		char c = at[i];
		char lower = (char) (c | 0x20);

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if (lower >= 'a' && lower <= 'f')
			value = value * 16 + (lower - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/*
 * The character of the escape that begins after \u, and *used becomes the number of bytes from
 * there.  0: it is none, a half of a pair, or U+0000, which the server refuses.
 */
static uint32_t
unicode_escape(const char *at, const char *end, size_t *used)
{
	int high = hex4(at, end);
	int low;

	*used = 4;
	if (high <= 0 || (high >= 0xDC00 && high <= 0xDFFF))
		return 0;
	if (high < 0xD800 || high > 0xDBFF)
		return (uint32_t) high;
	if (end - at < 10 || at[4] != '\\' || at[5] != 'u')
		return 0;
	low = hex4(at + 6, end);
	*used = 10;
	if (low < 0xDC00 || low > 0xDFFF)
		return 0;
	return 0x10000 + (((uint32_t) high - 0xD800) << 10) + ((uint32_t) low - 0xDC00);
}

/* ---- values ------------------------------------------------------------------ */

static bool
accept_escape(Scanner *s)
{
	size_t used;

	if (s->at < s->end && *s->at == 'u')
	{
		if (unicode_escape(s->at + 1, s->end, &used) == 0)
			return false;
		s->at += 1 + used;
		return true;
	}
	if (s->at >= s->end || *s->at == '\0' || strchr("\"\\/bfnrt", *s->at) == NULL)
		return false;
	s->at++;
	return true;
}

/* *content becomes what is between the quotes. */
static bool
accept_string(Scanner *s, cli_slice *content)
{
	if (!accept(s, '"'))
		return false;
	content->text = s->at;
	while (s->at < s->end && *s->at != '"')
	{
		size_t len;

		if (accept(s, '\\'))
		{
			if (!accept_escape(s))
				return false;
			continue;
		}
		len = (unsigned char) *s->at < 0x20 ? 0 : tq_utf8_length(s->at, s->end);
		if (len == 0)
			return false;
		s->at += len;
	}
	content->len = (size_t) (s->at - content->text);
	return accept(s, '"');
}

static bool
accept_number(Scanner *s)
{
	(void) accept(s, '-');
	if (!accept(s, '0') && !accept_digits(s))
		return false;
	if (accept(s, '.') && !accept_digits(s))
		return false;
	if (accept(s, 'e') || accept(s, 'E'))
	{
		if (!accept(s, '+'))
			(void) accept(s, '-');
		return accept_digits(s);
	}
	return true;
}

static bool
accept_scalar(Scanner *s)
{
	cli_slice ignored;

	if (s->at < s->end && *s->at == '"')
		return accept_string(s, &ignored);
	if (accept_word(s, "true") || accept_word(s, "false") || accept_word(s, "null"))
		return true;
	return accept_number(s);
}

/* ---- nesting ----------------------------------------------------------------- */

static bool
in_object(const Scanner *s)
{
	int level = s->depth - 1;

	return (s->is_object[level / 8] >> (level % 8) & 1) != 0;
}

static bool
begin_level(Scanner *s, bool object)
{
	uint8_t bit;

	if (s->depth == MAX_DEPTH)
		return false;
	bit = (uint8_t) (1 << (s->depth % 8));
	if (object)
		s->is_object[s->depth / 8] |= bit;
	else
		s->is_object[s->depth / 8] &= (uint8_t) ~bit;
	s->depth++;
	return true;
}

/* The name and the colon before a member, if this is an object. */
static bool
accept_name(Scanner *s, cli_slice *name)
{
	if (!in_object(s))
		return true;
	skip_blanks(s);
	if (!accept_string(s, name))
		return false;
	skip_blanks(s);
	return accept(s, ':');
}

/* A member or element that is complete; value begins where it did. */
typedef struct Member
{
	cli_slice name;
	const char *value;
} Member;

static void
hand_over(const Scanner *s, const Member *member, cli_scan_taker *take, void *arg)
{
	if (take != NULL && s->depth == 1 && in_object(s) != s->lists)
		take(arg, member->name, (cli_slice){member->value, (size_t) (s->at - member->value)});
}

/* One value begins here: a scalar, or the beginning of an object or a list. */
static bool
begin_value(Scanner *s, bool *complete)
{
	bool object = s->at < s->end && *s->at == '{';

	*complete = true;
	if (!object && (s->at >= s->end || *s->at != '['))
		return accept_scalar(s);
	s->at++;
	if (!begin_level(s, object))
		return false;
	skip_blanks(s);
	if (accept(s, object ? '}' : ']'))
		s->depth--;
	else
		*complete = false;
	return true;
}

static bool
scan(const char *text, size_t len, bool lists, cli_scan_taker *take, void *arg)
{
	Scanner s = {.at = text, .end = text + len, .lists = lists};
	Member outermost = {{NULL, 0}, NULL};
	bool complete;

	skip_blanks(&s);
	if (!begin_value(&s, &complete))
		return false;
	while (s.depth > 0)
	{
		/* Here a value is complete, or its first member or element is about to begin. */
		if (complete)
		{
			hand_over(&s, &outermost, take, arg);
			skip_blanks(&s);
			if (accept(&s, in_object(&s) ? '}' : ']'))
			{
				s.depth--;
				continue;
			}
			if (!accept(&s, ','))
				return false;
		}
		if (!accept_name(&s, s.depth == 1 ? &outermost.name : &(cli_slice){NULL, 0}))
			return false;
		skip_blanks(&s);
		if (s.depth == 1)
			outermost.value = s.at;
		if (!begin_value(&s, &complete))
			return false;
	}
	skip_blanks(&s);
	return s.at == s.end;
}

bool
cli_scan(const char *text, size_t len, cli_scan_taker *take, void *arg)
{
	return scan(text, len, false, take, arg);
}

bool
cli_scan_list(const char *text, size_t len, cli_scan_taker *take, void *arg)
{
	return scan(text, len, true, take, arg);
}

/* ---- slices ------------------------------------------------------------------ */

bool
cli_slice_is(cli_slice slice, const char *text)
{
	return slice.text != NULL && slice.len == strlen(text) &&
		   memcmp(slice.text, text, slice.len) == 0;
}

char *
cli_slice_copy(cli_slice slice)
{
	char *copy = malloc(slice.len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, slice.text, slice.len);
	copy[slice.len] = '\0';
	return copy;
}

static char
short_escape(char c)
{
	switch (c)
	{
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		default:
			return c;
	}
}

char *
cli_scan_string(cli_slice value, size_t *len)
{
	Scanner s = {.at = value.text, .end = value.text + value.len, .depth = 0};
	cli_slice content;
	const char *end;
	char *result;
	char *to;

	if (!accept_string(&s, &content) || s.at != s.end)
		return NULL;
	result = to = calloc(1, content.len + 1);
	if (result == NULL)
		return NULL;
	end = content.text + content.len;
	for (s.at = content.text; s.at < end;)
	{
		size_t used;

		if (*s.at != '\\')
			*to++ = *s.at++;
		else if (s.at[1] == 'u')
		{
			to += tq_utf8_put(to, unicode_escape(s.at + 2, end, &used));
			s.at += 2 + used;
		}
		else
		{
			*to++ = short_escape(s.at[1]);
			s.at += 2;
		}
	}
	*to = '\0';
	*len = (size_t) (to - result);
	return result;
}
