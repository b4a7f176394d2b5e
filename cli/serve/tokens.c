/*
 * tokens.c
 *		The file of tokens: who may come in, and as which role.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/serve/tokens.h"

#define BLANKS       " \t\r\n"
#define SECRET_BYTES 32

/* ---- hashes and random bytes ----------------------------------------------------- */

void
tokens_hash(const char *text, size_t len, unsigned char *hash)
{
	unsigned n;

	if (EVP_Digest(text, len, hash, &n, EVP_sha256(), NULL) != 1)
		abort();
}

void
tokens_hex(const unsigned char *bytes, size_t len, char *text)
{
	size_t i;

	for (i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

bool
tokens_make(char *token)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char secret[SECRET_BYTES + 1] = {0};
	char *to = token + strlen(TOKEN_PREFIX);
	int bit;

	if (RAND_bytes(secret, SECRET_BYTES) != 1)
		return false;
	strcpy(token, TOKEN_PREFIX);
	/* Six bits a character, the last one has four. */
	for (bit = 0; bit < SECRET_BYTES * 8; bit += 6)
	{
		unsigned two = (unsigned) secret[bit / 8] << 8 | secret[bit / 8 + 1];

		*to++ = digits[two >> (10 - bit % 8) & 63];
	}
	*to = '\0';
	OPENSSL_cleanse(secret, sizeof(secret));
	return true;
}

/* ---- a line ---------------------------------------------------------------------- */

int64_t
tokens_day(const char *text)
{
	struct tm day = {.tm_mday = 0};
	struct tm back;
	const char *end = strptime(text, "%Y-%m-%d", &day);
	int of_month = day.tm_mday;
	time_t t;

	if (end == NULL || *end != '\0')
		return -1;
	t = timegm(&day);
	/* The 31st of February is another day then. */
	if (t < 0 || gmtime_r(&t, &back) == NULL || back.tm_mday != of_month)
		return -1;
	return t;
}

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_hash(const char *text, unsigned char *hash)
{
	int i;

	if (text == NULL || strlen(text) != 2 * TOKEN_HASH)
		return false;
	for (i = 0; i < TOKEN_HASH; i++)
	{
		int high = digit_of(text[2 * i]);
		int low = digit_of(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		hash[i] = (unsigned char) (high * 16 + low);
	}
	return true;
}

/* A name stands in cookies and in the log, so it has no special characters. */
static bool
read_name(const char *text, char *name)
{
	size_t len = text != NULL ? strlen(text) : 0;
	size_t i;

	if (len == 0 || len >= TOKEN_NAME_SIZE)
		return false;
	for (i = 0; i < len; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", text[i]) ==
			NULL)
			return false;
	strcpy(name, text);
	return true;
}

static bool
read_option(const char *text, token_line *line)
{
	if (strcmp(text, "ui") == 0)
	{
		line->ui = true;
		return true;
	}
	if (strncmp(text, "expires=", 8) != 0)
		return false;
	line->expires_s = tokens_day(text + 8);
	return line->expires_s > 0;
}

bool
tokens_read_line(char *text, token_line *line, char *fault)
{
	char *save = NULL;
	char *word;

	fault[0] = '\0';
	memset(line, 0, sizeof(*line));
	text += strspn(text, BLANKS);
	if (*text == '\0' || *text == '#')
		return false;
	tokens_hash(text, strcspn(text, "\r\n"), line->line);
	if (!read_name(strtok_r(text, BLANKS, &save), line->name))
		strcpy(fault, "the name has letters, digits, _ and -, at most 63");
	else if ((word = strtok_r(NULL, BLANKS, &save)) == NULL || strlen(word) >= TOKEN_NAME_SIZE)
		strcpy(fault, "the second word is the name of a role");
	else if (strcpy(line->role, word), !read_hash(strtok_r(NULL, BLANKS, &save), line->hash))
		strcpy(fault, "the third word is the hash of a token, 64 hexadecimal digits");
	while (fault[0] == '\0' && (word = strtok_r(NULL, BLANKS, &save)) != NULL)
		if (!read_option(word, line))
			snprintf(fault, TOKEN_FAULT_SIZE,
					 "there is no option \"%.40s\"; there are ui and expires=YYYY-MM-DD", word);
	return fault[0] == '\0';
}

/* ---- the file -------------------------------------------------------------------- */

static bool
is_taken(const token_file *file, const char *name)
{
	int i;

	for (i = 0; i < file->n; i++)
		if (strcmp(file->lines[i].name, name) == 0)
			return true;
	return false;
}

static bool
read_lines(FILE *stream, token_file *file, char *fault)
{
	char *text = NULL;
	size_t size = 0;
	int number = 0;
	char what[TOKEN_FAULT_SIZE] = "";

	while (what[0] == '\0' && getline(&text, &size, stream) >= 0)
	{
		token_line line;

		number++;
		if (!tokens_read_line(text, &line, what))
			continue;
		if (file->n == TOKENS_MAX)
			snprintf(what, sizeof(what), "there are more than %d tokens", TOKENS_MAX);
		else if (is_taken(file, line.name))
			snprintf(what, sizeof(what), "\"%s\" stands there twice", line.name);
		else
			file->lines[file->n++] = line;
	}
	free(text);
	if (what[0] != '\0')
		snprintf(fault, TOKEN_FAULT_SIZE, "line %d: %.150s", number, what);
	return what[0] == '\0';
}

/* Others could come in by a line of their own. */
static bool
is_private(FILE *stream)
{
	struct stat status;

	return fstat(fileno(stream), &status) == 0 &&
		   (status.st_mode & (S_IWGRP | S_IROTH | S_IWOTH)) == 0;
}

bool
tokens_read(const char *path, token_file *file, char *fault)
{
	token_file got = {calloc(TOKENS_MAX, sizeof(token_line)), 0};
	FILE *stream = fopen(path, "re");
	bool done = false;

	if (stream == NULL)
		snprintf(fault, TOKEN_FAULT_SIZE, "%s", strerror(errno));
	else if (!is_private(stream))
		strcpy(fault, "others can read or change it; its mode should be 0600");
	else
		done = got.lines != NULL && read_lines(stream, &got, fault);
	if (stream != NULL)
		fclose(stream);
	if (!done)
	{
		free(got.lines);
		return false;
	}
	tokens_free(file);
	*file = got;
	return true;
}

void
tokens_free(token_file *file)
{
	free(file->lines);
	file->lines = NULL;
	file->n = 0;
}

static bool
is_valid_now(const token_line *line)
{
	return line->expires_s == 0 || time(NULL) < line->expires_s;
}

/* Each line is compared, and each byte of it. */
const token_line *
tokens_find(const token_file *file, const char *token, size_t len)
{
	const token_line *found = NULL;
	unsigned char hash[TOKEN_HASH];
	int i;

	tokens_hash(token, len, hash);
	for (i = 0; i < file->n; i++)
		if (CRYPTO_memcmp(hash, file->lines[i].hash, TOKEN_HASH) == 0)
			found = &file->lines[i];
	return found != NULL && is_valid_now(found) ? found : NULL;
}

const token_line *
tokens_named(const token_file *file, const char *name, size_t len)
{
	int i;

	for (i = 0; i < file->n; i++)
		if (strlen(file->lines[i].name) == len && memcmp(file->lines[i].name, name, len) == 0)
			return is_valid_now(&file->lines[i]) ? &file->lines[i] : NULL;
	return NULL;
}
