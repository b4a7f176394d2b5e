/*
 * tokens.h
 *		The file of tokens: who may come in, and as which role.
 *
 *		# name  role       sha-256 of the token      options
 *		shop    shop_app   9f86d081884c7d65...       ui expires=2027-01-01
 *
 * A token has 256 random bits, so its plain hash is enough; no token stands in the file, nor in
 * anything that this program keeps.
 */
#ifndef CLI_SERVE_TOKENS_H
#define CLI_SERVE_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKENS_MAX       1000
#define TOKEN_HASH       32
#define TOKEN_NAME_SIZE  64
#define TOKEN_PREFIX     "tq_"
#define TOKEN_SIZE       47 /* the prefix, 43 characters and a NUL */
#define TOKEN_FAULT_SIZE 200

typedef struct token_line
{
	char name[TOKEN_NAME_SIZE];
	char role[TOKEN_NAME_SIZE];
	unsigned char hash[TOKEN_HASH];
	bool ui;                        /* it may log in to the dashboard */
	int64_t expires_s;              /* seconds since 1970; 0: never */
	unsigned char line[TOKEN_HASH]; /* hash of all that the line says */
} token_line;

typedef struct token_file
{
	token_line *lines;
	int n;
} token_file;

/* False: it cannot be read or is not right, and fault says why; *file is left as it is then. */
extern bool tokens_read(const char *path, token_file *file, char *fault);

/* The same of one line, which is changed.  False with an empty fault: there is nothing on it. */
extern bool tokens_read_line(char *text, token_line *line, char *fault);

/* NULL: no line has it, or it has expired.  Takes as long for each token that is wrong. */
extern const token_line *tokens_find(const token_file *file, const char *token, size_t len);

/* The line of that name, unless it has expired. */
extern const token_line *tokens_named(const token_file *file, const char *name, size_t len);

extern void tokens_free(token_file *file);

/* Seconds since 1970 at which that day begins in UTC; -1: it is no date. */
extern int64_t tokens_day(const char *text);

/* Makes a token.  False: there is no randomness. */
extern bool tokens_make(char *token);

extern void tokens_hash(const char *text, size_t len, unsigned char *hash);

/* Writes 2 * len characters and a NUL. */
extern void tokens_hex(const unsigned char *bytes, size_t len, char *text);

#endif
