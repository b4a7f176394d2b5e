/*
 * lines.c
 *		Who is sent next: those that wait stand in a line for each host.
 *
 * A line is there while somebody waits in it or is under way.  Those whose
 * first may start, as far as the host is concerned, form the round: the next is
 * taken from its first line, which goes to its end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/egress.h"
#include "core/lines.h"

#define NBUCKETS 1024 /* a power of two */

typedef struct tq_line
{
	struct tq_line *next_in_bucket;
	struct tq_line *prev; /* in the round, if in_round */
	struct tq_line *next;
	bool in_round;
	int under_way;
	tq_place *first; /* who wait */
	tq_place *last;
	uint32_t hash;
	char host[TQ_MAX_HOST + 1];
} tq_line;

struct tq_lines
{
	int max;
	int max_per_host;
	int under_way;
	tq_line *first; /* the round */
	tq_line *last;
	tq_line *bucket[NBUCKETS];
};

/* The host in a URL that has been checked before; what is too long is cut off. */
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
join_round(tq_lines *l, tq_line *line)
{
	line->in_round = true;
	line->next = NULL;
	line->prev = l->last;
	if (l->last != NULL)
		l->last->next = line;
	else
		l->first = line;
	l->last = line;
}

static void
leave_round(tq_lines *l, tq_line *line)
{
	line->in_round = false;
	if (line->prev != NULL)
		line->prev->next = line->next;
	else
		l->first = line->next;
	if (line->next != NULL)
		line->next->prev = line->prev;
	else
		l->last = line->prev;
}

/* Puts the line into the round or takes it out, as it is now. */
static void
place_in_round(tq_lines *l, tq_line *line)
{
	bool belongs = line->first != NULL && line->under_way < l->max_per_host;

	if (belongs && !line->in_round)
		join_round(l, line);
	else if (!belongs && line->in_round)
		leave_round(l, line);
}

/* ---- lines -------------------------------------------------------------------- */

static tq_line **
bucket_of(tq_lines *l, uint32_t hash)
{
	return &l->bucket[hash & (NBUCKETS - 1)];
}

/* NULL: out of memory. */
static tq_line *
find_or_make_line(tq_lines *l, const char *host)
{
	uint32_t hash = hash_of(host);
	tq_line **bucket = bucket_of(l, hash);
	tq_line *line;

	for (line = *bucket; line != NULL; line = line->next_in_bucket)
		if (line->hash == hash && strcmp(line->host, host) == 0)
			return line;
	line = calloc(1, sizeof(*line));
	if (line == NULL)
		return NULL;
	line->hash = hash;
	strcpy(line->host, host);
	line->next_in_bucket = *bucket;
	*bucket = line;
	return line;
}

static void
free_if_empty(tq_lines *l, tq_line *line)
{
	tq_line **at = bucket_of(l, line->hash);

	if (line->first != NULL || line->under_way > 0)
		return;
	while (*at != line)
		at = &(*at)->next_in_bucket;
	*at = line->next_in_bucket;
	free(line);
}

static void
stop_waiting(tq_place *p)
{
	tq_line *line = p->line;

	if (p->prev != NULL)
		p->prev->next = p->next;
	else
		line->first = p->next;
	if (p->next != NULL)
		p->next->prev = p->prev;
	else
		line->last = p->prev;
}

bool
tq_lines_enter(tq_lines *l, tq_place *p, const char *url)
{
	char host[TQ_MAX_HOST + 1];
	tq_line *line;

	host_of(url, host);
	line = find_or_make_line(l, host);
	if (line == NULL)
		return false;
	p->line = line;
	p->under_way = false;
	p->next = NULL;
	p->prev = line->last;
	if (line->last != NULL)
		line->last->next = p;
	else
		line->first = p;
	line->last = p;
	place_in_round(l, line);
	return true;
}

tq_place *
tq_lines_next(tq_lines *l)
{
	tq_line *line = l->first;
	tq_place *p;

	if (line == NULL || l->under_way >= l->max)
		return NULL;
	p = line->first;
	stop_waiting(p);
	p->under_way = true;
	line->under_way++;
	l->under_way++;
	leave_round(l, line);
	place_in_round(l, line);
	return p;
}

void
tq_lines_leave(tq_lines *l, tq_place *p)
{
	tq_line *line = p->line;

	if (p->under_way)
	{
		line->under_way--;
		l->under_way--;
	}
	else
		stop_waiting(p);
	p->line = NULL;
	place_in_round(l, line);
	free_if_empty(l, line);
}

int
tq_lines_under_way(const tq_lines *l)
{
	return l->under_way;
}

/* ---- all of them ---------------------------------------------------------------- */

tq_lines *
tq_lines_new(void)
{
	return calloc(1, sizeof(tq_lines));
}

void
tq_lines_set_limits(tq_lines *l, int max, int max_per_host)
{
	tq_line *line;
	int i;

	l->max = max;
	l->max_per_host = max_per_host;
	for (i = 0; i < NBUCKETS; i++)
		for (line = l->bucket[i]; line != NULL; line = line->next_in_bucket)
			place_in_round(l, line);
}

void
tq_lines_free(tq_lines *l)
{
	int i;

	for (i = 0; l != NULL && i < NBUCKETS; i++)
	{
		while (l->bucket[i] != NULL)
		{
			tq_line *line = l->bucket[i];

			l->bucket[i] = line->next_in_bucket;
			free(line);
		}
	}
	free(l);
}
