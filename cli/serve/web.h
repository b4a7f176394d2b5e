/*
 * web.h
 *		The files of cli/web, which the Makefile puts into the program: it writes web.c.
 */
#ifndef CLI_SERVE_WEB_H
#define CLI_SERVE_WEB_H

typedef struct web_file
{
	const char *name;
	const char *begin;
	const char *end;
} web_file;

extern const web_file web_files[];
extern const int nweb_files;

#endif
