/*
 * words.h
 *		A line as words, as a shell splits it, without a shell.
 */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

/*
 * Words are separated by blanks; '...' and "..." keep blanks, and a backslash keeps the character
 * after it, except between apostrophes.  Nothing is expanded.  Returns the words and a NULL after
 * them, the caller's to free at once; NULL: a quote is not closed, or no memory.
 */
extern char **cli_words(const char *line, int *count);

#endif
