/*
 * links.c
 *		The connections that are kept open: which one a request gets, which one is closed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* POLLRDHUP */
#endif
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/clock.h"
#include "core/links.h"

static uint32_t
hash_of_target(const char *port, const struct sockaddr_storage *addr)
{
	const unsigned char *bytes = (const unsigned char *) addr;
	size_t len =
		addr->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	uint32_t hash = 2166136261u;
	size_t i;

	for (i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	for (; *port != '\0'; port++)
		hash = (hash ^ (unsigned char) *port) * 16777619u;
	return hash ^ (hash >> 16);
}

static tq_link **
bucket_for(tq_links *links, uint32_t hash)
{
	return &links->bucket[hash & (TQ_LINKS_BUCKETS - 1)];
}

static void
unlink_idle(tq_links *links, tq_link *link)
{
	tq_link **at = bucket_for(links, link->hash);

	while (*at != link)
		at = &(*at)->next_in_bucket;
	*at = link->next_in_bucket;
	if (link->prev != NULL)
		link->prev->next = link->next;
	else
		links->oldest = link->next;
	if (link->next != NULL)
		link->next->prev = link->prev;
	else
		links->newest = link->prev;
	link->prev = link->next = NULL;
}

/* Closes its connection.  It must not be idle, or be unlinked before. */
static void
drop(tq_links *links, tq_link *link)
{
	curl_share_cleanup(link->share);
	free(link);
	links->n--;
}

static void
drop_idle(tq_links *links, tq_link *link)
{
	unlink_idle(links, link);
	drop(links, link);
}

static bool
leads_to(const tq_link *link, const char *host, const char *port,
		 const struct sockaddr_storage *addr)
{
	return memcmp(&link->addr, addr, sizeof(*addr)) == 0 && strcmp(link->port, port) == 0 &&
		   strcmp(link->host, host) == 0;
}

/*
 * Whether its peer has neither closed it nor sent on it what would count as the answer to the next
 * request.  libcurl looks, too, but newer versions (8.23, Debian's development version) not within
 * a second after the connection was opened or they last looked.  With HTTP/2 a peer may send at
 * any time.
 */
static bool
is_usable(const tq_link *link)
{
	struct pollfd p = {.fd = link->fd, .events = link->http2 ? POLLRDHUP : POLLRDHUP | POLLIN};

	return poll(&p, 1, 0) == 0;
}

/* Closes on the way those that have been idle for too long, and those that cannot be used. */
static tq_link *
find_idle(tq_links *links, const char *host, const char *port, const struct sockaddr_storage *addr)
{
	int64_t now = tq_clock_us();
	uint32_t hash = hash_of_target(port, addr);
	tq_link *link;
	tq_link *next;

	for (link = *bucket_for(links, hash); link != NULL; link = next)
	{
		next = link->next_in_bucket;
		if (link->expires_us <= now)
			drop_idle(links, link);
		else if (link->hash != hash || !leads_to(link, host, port, addr))
			continue;
		else if (is_usable(link))
			return link;
		else
			drop_idle(links, link);
	}
	return NULL;
}

static void
write_target(tq_link *link)
{
	bool v4 = link->addr.ss_family == AF_INET;
	const void *addr = v4 ? (const void *) &((const struct sockaddr_in *) &link->addr)->sin_addr
						  : &((const struct sockaddr_in6 *) &link->addr)->sin6_addr;
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6, addr, ip, sizeof(ip));
	snprintf(link->target, sizeof(link->target), v4 ? "::%s:%s" : "::[%s]:%s", ip, link->port);
	link->connect_to.data = link->target;
}

static tq_link *
make(tq_links *links, const char *host, const char *port, const struct sockaddr_storage *addr)
{
	tq_link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return NULL;
	link->share = curl_share_init();
	if (link->share == NULL ||
		curl_share_setopt(link->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) != CURLSHE_OK)
	{
		curl_share_cleanup(link->share);
		free(link);
		return NULL;
	}
	strcpy(link->host, host);
	strcpy(link->port, port);
	link->addr = *addr;
	link->hash = hash_of_target(port, addr);
	write_target(link);
	links->n++;
	return link;
}

void
tq_links_set_max(tq_links *links, int max)
{
	links->max = max;
	while (max > 0 && links->n > max && links->oldest != NULL)
		drop_idle(links, links->oldest);
}

tq_link *
tq_links_take(tq_links *links, const char *host, const char *port,
			  const struct sockaddr_storage *addr, bool fresh)
{
	tq_link *link = fresh ? NULL : find_idle(links, host, port, addr);

	if (link != NULL)
	{
		unlink_idle(links, link);
		return link;
	}
	if (links->max > 0 && links->n >= links->max && links->oldest != NULL)
		drop_idle(links, links->oldest);
	return make(links, host, port, addr);
}

void
tq_links_give(tq_links *links, tq_link *link, int idle_s)
{
	if (link->sockets <= 0 || idle_s <= 0 || (links->max > 0 && links->n > links->max))
	{
		drop(links, link);
		return;
	}
	link->expires_us = tq_clock_us() + (int64_t) idle_s * 1000000;
	link->next_in_bucket = *bucket_for(links, link->hash);
	*bucket_for(links, link->hash) = link;
	link->prev = links->newest;
	if (links->newest != NULL)
		links->newest->next = link;
	else
		links->oldest = link;
	links->newest = link;
}

int64_t
tq_link_received(const tq_link *link, bool unread)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int waiting = 0;

	if (link->sockets <= 0 || getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
		len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received) ||
		(!unread && ioctl(link->fd, FIONREAD, &waiting) != 0))
		return -1;
	return (int64_t) info.tcpi_bytes_received - waiting;
}

bool
tq_link_is_new(tq_link *link, int fd)
{
	bool is_new = link->fd == fd && link->is_new;

	if (is_new)
		link->is_new = false;
	return is_new;
}

void
tq_links_close_idle(tq_links *links)
{
	while (links->oldest != NULL)
		drop_idle(links, links->oldest);
}
