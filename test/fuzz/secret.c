/*
 * secret.c
 *		Fuzz target: secrets and signatures of Standard Webhooks, and paths of endpoints.
 */
#include <stdio.h>

#include "core/signature.h"
#include "core/url.h"
#include "fuzz.h"

/* What is read has one spelling: written again it is the text. */
static void
check_secret(const char *text)
{
	unsigned char secret[TQ_SECRET_MAX + 3] = {0};
	char again[TQ_SIGNATURE_LENGTH + 1];
	size_t len = 0;
	const char *base64 = text;

	if (tq_secret_read(text, secret, &len) != NULL)
		return;
	MUST(len >= TQ_SECRET_MIN && len <= TQ_SECRET_MAX);
	MUST(secret[len] == 0 && secret[len + 1] == 0 && secret[len + 2] == 0);
	if (strncmp(text, TQ_SECRET_PREFIX, strlen(TQ_SECRET_PREFIX)) == 0)
		base64 += strlen(TQ_SECRET_PREFIX);
	MUST(strlen(base64) == (len + 2) / 3 * 4);
	if (len < TQ_SIGNATURE_BYTES)
		return;
	tq_signature_write(secret, again);
	MUST(strncmp(again + 3, base64, 42) == 0);
	MUST(len > TQ_SIGNATURE_BYTES || strcmp(again + 3, base64) == 0);
}

/* A signature is found among others exactly where it stands between blanks. */
static void
check_list(const char *text)
{
	unsigned char mac[TQ_SIGNATURE_BYTES] = {0};
	char zero[TQ_SIGNATURE_LENGTH + 1];
	const char *at = text;
	bool there = false;

	tq_signature_write(mac, zero);
	for (at = strstr(text, zero); at != NULL; at = strstr(at + 1, zero))
		there = there || ((at == text || at[-1] == ' ') &&
						  strchr(" ", at[TQ_SIGNATURE_LENGTH]) != NULL);
	MUST(tq_signature_is_among(text, zero) == there);
}

/* Behind the URL of an endpoint, what passes stays at its host and below its path. */
static void
check_path(const char *text)
{
	char url[16384];

	if (tq_path_invalid(text) != NULL || strlen(text) > 8000)
		return;
	snprintf(url, sizeof(url), "http://a.example/b%s", text);
	MUST(tq_url_invalid(url) == NULL);
	MUST(strchr(text, '#') == NULL);
	MUST(strncmp(text, "/../", 4) != 0 && strncmp(text, "/%2E%2e/", 8) != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);

	check_secret(text);
	check_list(text);
	check_path(text);
	free(text);
	return 0;
}
