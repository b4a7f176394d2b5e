/*
 * hosts.h
 *		Which request is sent next: hosts take turns, each within its limit.
 *
 * Requests to one host are sent in the order in which they came.  The hosts that
 * may be sent another request are served in turn, so a host that hangs delays no
 * request to another host, however many wait for it.
 */
#ifndef TQ_HOSTS_H
#define TQ_HOSTS_H

#include <stdbool.h>

typedef struct tq_hosts tq_hosts;
struct tq_receiver;

/*
 * A request that waits or is active.  The caller keeps it in its own struct, finds that
 * struct by it, and must not move it between tq_hosts_enter() and tq_hosts_leave().
 */
typedef struct tq_hosts_entry
{
	struct tq_receiver *receiver; /* NULL: not entered */
	struct tq_hosts_entry *prev;  /* these two valid while it waits */
	struct tq_hosts_entry *next;
	bool active; /* false: it waits */
} tq_hosts_entry;

/* No limits are set: nothing is started before tq_hosts_set_limits().  NULL: out of memory. */
extern tq_hosts *tq_hosts_new(void);

/* The most requests that are active at a time: in all, and to one host. */
extern void tq_hosts_set_limits(tq_hosts *h, int max, int max_per_host);

/*
 * Adds a request, which waits behind those to the host that its URL names.  Spellings of a name
 * that differ in case, or by a final dot, are one host; ports do not matter.  False: out of
 * memory, and e was not entered.
 */
extern bool tq_hosts_enter(tq_hosts *h, tq_hosts_entry *e, const char *url);

/* The request to send now, which is active from now on; NULL: none waits that may start. */
extern tq_hosts_entry *tq_hosts_next(tq_hosts *h);

/* Removes a request, active or waiting. */
extern void tq_hosts_leave(tq_hosts *h, tq_hosts_entry *e);

/* The number of active requests. */
extern int tq_hosts_active(const tq_hosts *h);

/* Entries need not have left, but must not be used any more.  h may be NULL. */
extern void tq_hosts_free(tq_hosts *h);

#endif
