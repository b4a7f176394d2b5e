/*
 * urls.c
 *		Parsed URLs that are kept for the requests that follow.
 *
 * A slot keeps the URL that was used last of those with its hash value.
 */
#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/urls.h"

#define MAX_KEPT 1024 /* bytes of a URL; a longer one is parsed for each request */

typedef struct tq_urls_entry
{
	tq_url url; /* the first, so that a user's pointer is one to the entry */
	int users;  /* a slot that keeps it is one of them */
	char text[];
} entry;

static entry **
slot_of(tq_urls *urls, const char *text)
{
	uint32_t hash = 2166136261u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char) *text) * 16777619u;
	return &urls->slot[(hash ^ (hash >> 16)) & (TQ_URLS_SLOTS - 1)];
}

static void
use_less(entry *e)
{
	if (e == NULL || --e->users > 0)
		return;
	curl_url_cleanup(e->url.handle);
	free(e);
}

/* NULL, and *problem is set. */
static entry *
parse(const char *text, size_t len, const char **problem)
{
	entry *e = malloc(sizeof(*e) + len + 1);

	*problem = tq_out_of_memory;
	if (e == NULL)
		return NULL;
	*problem = tq_url_parse(text, &e->url);
	if (*problem != NULL)
	{
		free(e);
		return NULL;
	}
	e->users = 1;
	memcpy(e->text, text, len + 1);
	return e;
}

const tq_url *
tq_urls_take(tq_urls *urls, const char *text, const char **problem)
{
	size_t len = strlen(text);
	entry **slot = slot_of(urls, text);
	entry *e = *slot;

	if (e != NULL && strcmp(e->text, text) == 0)
	{
		*problem = NULL;
		e->users++;
		return &e->url;
	}
	e = parse(text, len, problem);
	if (e == NULL)
		return NULL;
	if (len <= MAX_KEPT)
	{
		use_less(*slot);
		*slot = e;
		e->users++;
	}
	return &e->url;
}

void
tq_urls_give(const tq_url *url)
{
	use_less((entry *) url);
}

void
tq_urls_forget(tq_urls *urls)
{
	int i;

	for (i = 0; i < TQ_URLS_SLOTS; i++)
	{
		use_less(urls->slot[i]);
		urls->slot[i] = NULL;
	}
}
