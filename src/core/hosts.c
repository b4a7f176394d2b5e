/*
 * hosts.c
 *		Which request is sent next: hosts take turns, each within its limit.
 *
 * A receiver, one host, is kept while a request to it waits or is active.  Those
 * that may be sent a waiting request form the round: the next request is taken
 * from the first receiver of the round, which then moves to its end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/hosts.h"
#include "core/names.h"

#define NBUCKETS 1024 /* a power of two */

typedef struct tq_receiver
{
	struct tq_receiver *next_in_bucket;
	struct tq_receiver *prev; /* these two valid while in_round */
	struct tq_receiver *next;
	bool in_round;
	int active;
	tq_hosts_entry *first; /* the requests that wait */
	tq_hosts_entry *last;
	uint32_t hash;
	char host[TQ_MAX_HOST + 1];
} tq_receiver;

struct tq_hosts
{
	int max;
	int max_per_host;
	int active;
	tq_receiver *first; /* the round */
	tq_receiver *last;
	tq_receiver *bucket[NBUCKETS];
};

/* The host in a URL that has been checked before, in lower case; a longer one is cut off. */
static void
host_of(const char *url, char host[TQ_MAX_HOST + 1])
{
	const char *start = strstr(url, "://");
	size_t len;
	size_t i;

	start = start != NULL ? start + 3 : url;
	len = *start == '[' ? strcspn(start, "]") : strcspn(start, ":/?#");
	if (len > TQ_MAX_HOST)
		len = TQ_MAX_HOST;
	if (len > 0 && start[len - 1] == '.')
		len--;
	for (i = 0; i < len; i++)
		host[i] = start[i] >= 'A' && start[i] <= 'Z' ? start[i] + ('a' - 'A') : start[i];
	host[len] = '\0';
}

static uint32_t
hash_of(const char *host)
{
	uint32_t hash = 2166136261u;

	for (; *host != '\0'; host++)
		hash = (hash ^ (unsigned char) *host) * 16777619u;
	return hash ^ (hash >> 16);
}

/* ---- the round -------------------------------------------------------------- */

static void
join_round(tq_hosts *h, tq_receiver *receiver)
{
	receiver->in_round = true;
	receiver->next = NULL;
	receiver->prev = h->last;
	if (h->last != NULL)
		h->last->next = receiver;
	else
		h->first = receiver;
	h->last = receiver;
}

static void
leave_round(tq_hosts *h, tq_receiver *receiver)
{
	receiver->in_round = false;
	if (receiver->prev != NULL)
		receiver->prev->next = receiver->next;
	else
		h->first = receiver->next;
	if (receiver->next != NULL)
		receiver->next->prev = receiver->prev;
	else
		h->last = receiver->prev;
}

/* Puts the receiver into the round, or takes it out, by the requests that it has now. */
static void
place_in_round(tq_hosts *h, tq_receiver *receiver)
{
	bool belongs = receiver->first != NULL && receiver->active < h->max_per_host;

	if (belongs && !receiver->in_round)
		join_round(h, receiver);
	else if (!belongs && receiver->in_round)
		leave_round(h, receiver);
}

/* ---- receivers ---------------------------------------------------------------- */

static tq_receiver **
bucket_of(tq_hosts *h, uint32_t hash)
{
	return &h->bucket[hash & (NBUCKETS - 1)];
}

/* NULL: out of memory. */
static tq_receiver *
find_or_make_receiver(tq_hosts *h, const char *host)
{
	uint32_t hash = hash_of(host);
	tq_receiver **bucket = bucket_of(h, hash);
	tq_receiver *receiver;

	for (receiver = *bucket; receiver != NULL; receiver = receiver->next_in_bucket)
		if (receiver->hash == hash && strcmp(receiver->host, host) == 0)
			return receiver;
	receiver = calloc(1, sizeof(*receiver));
	if (receiver == NULL)
		return NULL;
	receiver->hash = hash;
	strcpy(receiver->host, host);
	receiver->next_in_bucket = *bucket;
	*bucket = receiver;
	return receiver;
}

static void
free_if_unused(tq_hosts *h, tq_receiver *receiver)
{
	tq_receiver **at = bucket_of(h, receiver->hash);

	if (receiver->first != NULL || receiver->active > 0)
		return;
	while (*at != receiver)
		at = &(*at)->next_in_bucket;
	*at = receiver->next_in_bucket;
	free(receiver);
}

static void
stop_waiting(tq_hosts_entry *e)
{
	tq_receiver *receiver = e->receiver;

	if (e->prev != NULL)
		e->prev->next = e->next;
	else
		receiver->first = e->next;
	if (e->next != NULL)
		e->next->prev = e->prev;
	else
		receiver->last = e->prev;
}

bool
tq_hosts_enter(tq_hosts *h, tq_hosts_entry *e, const char *url)
{
	char host[TQ_MAX_HOST + 1];
	tq_receiver *receiver;

	host_of(url, host);
	receiver = find_or_make_receiver(h, host);
	if (receiver == NULL)
		return false;
	e->receiver = receiver;
	e->active = false;
	e->next = NULL;
	e->prev = receiver->last;
	if (receiver->last != NULL)
		receiver->last->next = e;
	else
		receiver->first = e;
	receiver->last = e;
	place_in_round(h, receiver);
	return true;
}

tq_hosts_entry *
tq_hosts_next(tq_hosts *h)
{
	tq_receiver *receiver = h->first;
	tq_hosts_entry *e;

	if (receiver == NULL || h->active >= h->max)
		return NULL;
	e = receiver->first;
	stop_waiting(e);
	e->active = true;
	receiver->active++;
	h->active++;
	leave_round(h, receiver);
	place_in_round(h, receiver);
	return e;
}

void
tq_hosts_leave(tq_hosts *h, tq_hosts_entry *e)
{
	tq_receiver *receiver = e->receiver;

	if (e->active)
	{
		receiver->active--;
		h->active--;
	}
	else
		stop_waiting(e);
	e->receiver = NULL;
	place_in_round(h, receiver);
	free_if_unused(h, receiver);
}

int
tq_hosts_active(const tq_hosts *h)
{
	return h->active;
}

/* ---- the whole ---------------------------------------------------------------- */

tq_hosts *
tq_hosts_new(void)
{
	return calloc(1, sizeof(tq_hosts));
}

void
tq_hosts_set_limits(tq_hosts *h, int max, int max_per_host)
{
	tq_receiver *receiver;
	int i;

	h->max = max;
	h->max_per_host = max_per_host;
	for (i = 0; i < NBUCKETS; i++)
		for (receiver = h->bucket[i]; receiver != NULL; receiver = receiver->next_in_bucket)
			place_in_round(h, receiver);
}

void
tq_hosts_free(tq_hosts *h)
{
	int i;

	for (i = 0; h != NULL && i < NBUCKETS; i++)
	{
		while (h->bucket[i] != NULL)
		{
			tq_receiver *receiver = h->bucket[i];

			h->bucket[i] = receiver->next_in_bucket;
			free(receiver);
		}
	}
	free(h);
}
