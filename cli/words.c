/*
 * words.c
 *		A line as words, as a shell splits it, without a shell.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/words.h"

#define BLANKS " \t\r\n"

/* Copies one word to *to, and returns what is after it; NULL: a quote is not closed. */
static const char *
take_word(const char *from, char **to)
{
	char quote = '\0';

	for (; *from != '\0' && (quote != '\0' || strchr(BLANKS, *from) == NULL); from++)
	{
		if (*from == quote)
			quote = '\0';
		else if (quote == '\0' && (*from == '\'' || *from == '"'))
			quote = *from;
		else if (*from == '\\' && quote != '\'' && from[1] != '\0')
			*(*to)++ = *++from;
		else
			*(*to)++ = *from;
	}
	*(*to)++ = '\0';
	return quote == '\0' ? from : NULL;
}

char **
cli_words(const char *line, int *count)
{
	size_t len = strlen(line);
	/* No line has more words than this, and with a NUL each no more bytes than twice its own. */
	size_t max = len / 2 + 2;
	char **words = calloc(1, max * sizeof(*words) + 2 * len + 2);
	char *to = (char *) (words + max);
	const char *from = line;

	*count = 0;
	while (words != NULL)
	{
		from += strspn(from, BLANKS);
		if (*from == '\0')
			return words;
		words[(*count)++] = to;
		from = take_word(from, &to);
		if (from == NULL)
			break;
	}
	free(words);
	return NULL;
}
