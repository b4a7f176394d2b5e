/*
 * test_lines.c
 *		A line for each host, served in turn and within limits.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/lines.h"
#include "unit.h"

#define NPLACES 5000

static tq_place places[NPLACES];

static tq_lines *
new_lines(int max, int max_per_host)
{
	tq_lines *l = tq_lines_new();

	if (l == NULL)
		exit(1);
	tq_lines_set_limits(l, max, max_per_host);
	return l;
}

static void
enter(tq_lines *l, int i, const char *url)
{
	if (!tq_lines_enter(l, &places[i], url))
		exit(1);
}

/* The number of the next, or -1. */
static int
next(tq_lines *l)
{
	tq_place *p = tq_lines_next(l);

	return p != NULL ? (int) (p - places) : -1;
}

static void
test_order(void)
{
	tq_lines *l = new_lines(100, 2);

	is_int(next(l), -1, "nobody waits");
	enter(l, 0, "http://a.example/1");
	enter(l, 1, "http://a.example/2");
	enter(l, 2, "http://a.example/3");
	enter(l, 3, "http://b.example/1");
	is_int(tq_lines_under_way(l), 0, "nobody is under way");
	is_int(next(l), 0, "the first of the first host");
	is_int(next(l), 3, "then the other host");
	is_int(next(l), 1, "then the first one again");
	is_int(next(l), -1, "up to its limit");
	is_int(tq_lines_under_way(l), 3, "three are under way");
	tq_lines_leave(l, &places[3]);
	is_int(next(l), -1, "another host's end changes nothing");
	tq_lines_leave(l, &places[0]);
	is_int(next(l), 2, "its own makes room");
	tq_lines_leave(l, &places[1]);
	tq_lines_leave(l, &places[2]);
	is_int(tq_lines_under_way(l), 0, "nobody is left");
	is_int(next(l), -1, "nor waits");
	tq_lines_free(l);
}

static void
test_limits(void)
{
	tq_lines *l = new_lines(3, 2);

	enter(l, 0, "http://a/");
	enter(l, 1, "http://b/");
	enter(l, 2, "http://c/");
	enter(l, 3, "http://d/");
	ok(next(l) == 0 && next(l) == 1 && next(l) == 2, "as many as there may be");
	is_int(next(l), -1, "no more");
	tq_lines_set_limits(l, 4, 1);
	is_int(next(l), 3, "until there may be more");
	enter(l, 4, "http://a/");
	tq_lines_set_limits(l, 10, 1);
	is_int(next(l), -1, "one for a host");
	tq_lines_set_limits(l, 10, 2);
	is_int(next(l), 4, "two for a host");
	enter(l, 5, "http://a/");
	enter(l, 6, "http://a/");
	tq_lines_leave(l, &places[5]);
	tq_lines_leave(l, &places[0]);
	is_int(next(l), 6, "who has left the line is passed over");
	tq_lines_free(l);
}

static void
test_hosts(void)
{
	static const char *const same[] = {
		"http://host.example/", "https://HOST.Example:8443/x", "http://host.example.",
		"http://host.example?q", "http://host.example#f"};
	static const char *const others[] = {
		"http://host.example.org/", "http://xhost.example/", "http://[::1]:80/", "http://[::2]/",
		"", "http://"};
	tq_lines *l = new_lines(100, 1);
	int i;

	for (i = 0; i < 5; i++)
		enter(l, i, same[i]);
	for (i = 0; i < 5; i++)
		enter(l, 5 + i, others[i]);
	is_int(next(l), 0, "one of the same host");
	for (i = 0; i < 5; i++)
		is_int(next(l), 5 + i, "\"%s\" is another", others[i]);
	is_int(next(l), -1, "the rest waits");
	enter(l, 10, others[5]);
	is_int(next(l), -1, "no host is one, too");
	tq_lines_free(l);
}

static void
test_many(void)
{
	tq_lines *l = new_lines(NPLACES, 3);
	char url[100];
	int started = 0;
	int i;

	for (i = 0; i < NPLACES; i++)
	{
		snprintf(url, sizeof(url), "http://h%d.example/", i % 1500);
		enter(l, i, url);
	}
	while (next(l) >= 0)
		started++;
	is_int(started, 4500, "three of each of 1500 hosts");
	is_int(tq_lines_under_way(l), 4500, "the others wait");
	for (i = 0; i < NPLACES; i++)
		tq_lines_leave(l, &places[i]);
	is_int(tq_lines_under_way(l), 0, "all can leave");
	is_int(next(l), -1, "those that waited, too");
	tq_lines_free(l);
}

int
main(void)
{
	test_order();
	test_limits();
	test_hosts();
	test_many();
	return done();
}
