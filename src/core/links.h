/*
 * links.h
 *		The connections that are kept open: which one a request gets, which one is closed.
 *		Private to core.
 *
 * libcurl has a cache of connections.  Up to 8.10 it keeps something of each address to which it
 * has closed a connection for want of room, and looks at all of that when it closes the next: with
 * many different receivers each connection costs more than the one before.  So libcurl is given a
 * cache for each link, which holds one connection, and which of them are kept is decided here.
 */
#ifndef TQ_LINKS_H
#define TQ_LINKS_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/names.h"

#define TQ_LINKS_BUCKETS 256 /* a power of two */

/* A connection, open or not yet; it belongs to at most one exchange. */
typedef struct tq_link
{
	CURLSH *share; /* libcurl's cache with this connection in it */

	/* as curl's callbacks record it */
	int sockets;      /* open ones */
	int fd;           /* the newest of them, valid while there are any */
	bool is_new;      /* nobody has asked for it yet */
	bool http2;       /* may be spoken on it, whatever later requests may */
	int64_t received; /* bytes that came before the request in use; -1: not known */

	/* links.c's: what it leads to, and the lists of idle ones */
	struct tq_link *prev;
	struct tq_link *next;
	struct tq_link *next_in_bucket;
	int64_t expires_us;
	uint32_t hash;
	struct sockaddr_storage addr;
	char host[TQ_MAX_HOST + 1];
	char port[6];
	struct curl_slist connect_to; /* for CURLOPT_CONNECT_TO: any host and port are there */
	char target[80];              /* its data */
} tq_link;

/* All zero: none, and no limit. */
typedef struct tq_links
{
	tq_link *oldest; /* the idle ones */
	tq_link *newest;
	tq_link *bucket[TQ_LINKS_BUCKETS]; /* the same by what they lead to, the newest first */
	int n;                             /* idle or in use */
	int max;                           /* of all; 0: any number */
} tq_links;

/* Closes idle ones above the maximum. */
extern void tq_links_set_max(tq_links *links, int max);

/*
 * A link to this receiver at this address: if fresh is not set, the idle one that was used last
 * and that its peer has not closed, else one without a connection.  To make room for that, the one
 * that has been idle for longest is closed; if none is idle, there are more than the maximum.
 * NULL: out of memory.
 */
extern tq_link *tq_links_take(tq_links *links, const char *host, const char *port,
							  const struct sockaddr_storage *addr, bool fresh);

/* Takes a link back: if its connection is open, it may be idle for so many seconds. */
extern void tq_links_give(tq_links *links, tq_link *link, int idle_s);

/*
 * The bytes that have come on its connection so far, with TLS those of TLS, that libcurl has read
 * or, if unread is set, not read yet; -1: not known.
 */
extern int64_t tq_link_received(const tq_link *link, bool unread);

/* Whether the descriptor is that of its newest socket; true once for each. */
extern bool tq_link_is_new(tq_link *link, int fd);

/* Closes all that are idle. */
extern void tq_links_close_idle(tq_links *links);

#endif
