/*
 * pattern.c
 *		Patterns of kinds.
 */
#include <stddef.h>

#include "cli/pattern.h"

bool
cli_pattern_matches(const char *pattern, const char *kind)
{
	const char *star = NULL; /* the last one, and what it stood for at least */
	const char *from = NULL;
	const char *at = kind != NULL ? kind : "";

	while (*at != '\0' || *pattern != '\0')
	{
		if (*pattern == '*')
		{
			star = pattern++;
			from = at;
		}
		else if (*at != '\0' && *pattern == *at)
		{
			pattern++;
			at++;
		}
		else if (star != NULL && *from != '\0')
		{
			pattern = star + 1;
			at = ++from;
		}
		else
			return false;
	}
	return true;
}
