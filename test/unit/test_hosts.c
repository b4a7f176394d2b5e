/*
 * test_hosts.c
 *		Hosts are served in turn and within their limits.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/hosts.h"
#include "unit.h"

#define NENTRIES 5000

static tq_hosts_entry entries[NENTRIES];

static tq_hosts *
new_hosts(int max, int max_per_host)
{
	tq_hosts *h = tq_hosts_new();

	if (h == NULL)
		exit(1);
	tq_hosts_set_limits(h, max, max_per_host);
	return h;
}

static void
enter(tq_hosts *h, int i, const char *url)
{
	if (!tq_hosts_enter(h, &entries[i], url))
		exit(1);
}

/* The number of the next, or -1. */
static int
next(tq_hosts *h)
{
	tq_hosts_entry *e = tq_hosts_next(h);

	return e != NULL ? (int) (e - entries) : -1;
}

static void
test_order(void)
{
	tq_hosts *h = new_hosts(100, 2);

	is_int(next(h), -1, "none waits");
	enter(h, 0, "http://a.example/1");
	enter(h, 1, "http://a.example/2");
	enter(h, 2, "http://a.example/3");
	enter(h, 3, "http://b.example/1");
	is_int(tq_hosts_active(h), 0, "none is active");
	is_int(next(h), 0, "the first of the first host");
	is_int(next(h), 3, "then the other host");
	is_int(next(h), 1, "then the first one again");
	is_int(next(h), -1, "up to its limit");
	is_int(tq_hosts_active(h), 3, "three are active");
	tq_hosts_leave(h, &entries[3]);
	is_int(next(h), -1, "another host's end changes nothing");
	tq_hosts_leave(h, &entries[0]);
	is_int(next(h), 2, "its own makes room");
	tq_hosts_leave(h, &entries[1]);
	tq_hosts_leave(h, &entries[2]);
	is_int(tq_hosts_active(h), 0, "none is active any more");
	is_int(next(h), -1, "and none waits");
	tq_hosts_free(h);
}

static void
test_limits(void)
{
	tq_hosts *h = new_hosts(3, 2);

	enter(h, 0, "http://a/");
	enter(h, 1, "http://b/");
	enter(h, 2, "http://c/");
	enter(h, 3, "http://d/");
	ok(next(h) == 0 && next(h) == 1 && next(h) == 2, "as many as there may be");
	is_int(next(h), -1, "no more");
	tq_hosts_set_limits(h, 4, 1);
	is_int(next(h), 3, "until there may be more");
	enter(h, 4, "http://a/");
	tq_hosts_set_limits(h, 10, 1);
	is_int(next(h), -1, "one for a host");
	tq_hosts_set_limits(h, 10, 2);
	is_int(next(h), 4, "two for a host");
	enter(h, 5, "http://a/");
	enter(h, 6, "http://a/");
	tq_hosts_leave(h, &entries[5]);
	tq_hosts_leave(h, &entries[0]);
	is_int(next(h), 6, "a request that has left is passed over");
	tq_hosts_free(h);
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
	tq_hosts *h = new_hosts(100, 1);
	int i;

	for (i = 0; i < 5; i++)
		enter(h, i, same[i]);
	for (i = 0; i < 5; i++)
		enter(h, 5 + i, others[i]);
	is_int(next(h), 0, "one of the same host");
	for (i = 0; i < 5; i++)
		is_int(next(h), 5 + i, "\"%s\" is another", others[i]);
	is_int(next(h), -1, "the rest waits");
	enter(h, 10, others[5]);
	is_int(next(h), -1, "no host is one, too");
	tq_hosts_free(h);
}

static void
test_many(void)
{
	tq_hosts *h = new_hosts(NENTRIES, 3);
	char url[100];
	int started = 0;
	int i;

	for (i = 0; i < NENTRIES; i++)
	{
		snprintf(url, sizeof(url), "http://h%d.example/", i % 1500);
		enter(h, i, url);
	}
	while (next(h) >= 0)
		started++;
	is_int(started, 4500, "three of each of 1500 hosts");
	is_int(tq_hosts_active(h), 4500, "the others wait");
	for (i = 0; i < NENTRIES; i++)
		tq_hosts_leave(h, &entries[i]);
	is_int(tq_hosts_active(h), 0, "all can leave");
	is_int(next(h), -1, "those that waited, too");
	tq_hosts_free(h);
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
