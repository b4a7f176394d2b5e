/*
 * input.h
 *		Values that come from files and standard input.
 *
 * What is returned is never freed.  A file that cannot be read ends the program.
 */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stddef.h>

/* All of a file, or of standard input if path is "-".  len may be NULL. */
extern char *cli_read_file(const char *path, size_t *len);

/*
 * A payload: the argument itself; the file of @FILE; standard input for -, and for NULL unless that
 * is a terminal.
 */
extern const char *cli_payload(const char *argument, size_t *len);

/* The content of a file without the line feed at its end; for cli_option.convert. */
extern const char *cli_file_content(const char *path);

/* Lines "Name: value" of a file as a JSON object; for cli_option.convert. */
extern const char *cli_file_headers(const char *path);

/* The same of n lines. */
extern const char *cli_headers(char **lines, int n);

/* submit,work as {submit,work}; for cli_option.convert. */
extern const char *cli_array(const char *list);

#endif
