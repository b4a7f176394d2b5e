/*
 * resolve.h
 *		Names to vetted addresses, with c-ares in the caller's epoll set.
 *
 * libcurl's own resolver is a thread that cannot be cancelled and blocks the
 * process for seconds; no name ever reaches it.  One tq_resolver serves one
 * process and one thread.
 */
#ifndef TQ_RESOLVE_H
#define TQ_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/egress.h"
#include "core/outcome.h"

typedef struct tq_resolver tq_resolver;

#define TQ_MAX_ADDRESSES 16

/* The outcome of one look-up. */
typedef struct tq_addresses
{
	int naddrs;                                     /* 0: the look-up failed */
	struct sockaddr_storage addr[TQ_MAX_ADDRESSES]; /* in the order to try; port not set */

	/* why it failed; valid while naddrs is 0 */
	tq_class failure;   /* DNS, TIMEOUT, EGRESS_DENIED or INTERNAL */
	const char *reason; /* static text: the egress rule, or c-ares' error */
	int shortage;       /* error number, if the machine lacked something; see shortage.h */
} tq_addresses;

/*
 * Called from within tq_resolver_step(), or from tq_resolve() itself when the
 * answer is known at once.  Must not call back into the resolver.  result is valid
 * during the call only.
 */
typedef void (*tq_resolved)(void *arg, const tq_addresses *result);

/*
 * Registers its sockets in epfd (level-triggered, data.u64 = fd | TQ_RESOLVE_TAG).  NULL: out of
 * memory.
 */
#define TQ_RESOLVE_TAG (UINT64_C(1) << 32)
extern tq_resolver *tq_resolver_new(int epfd);

/* The rules from now on, also for cached names; e is the caller's and must outlive the resolver. */
extern void tq_resolver_set_egress(tq_resolver *r, const tq_egress *e);

/*
 * Asks these servers ("127.0.0.1:5353,[::1]:53") instead of resolv.conf's.
 * False: malformed, or look-ups are under way.
 */
extern bool tq_resolver_set_servers(tq_resolver *r, const char *servers);

/*
 * Looks host up (a name, or an address literal without brackets).  Denied
 * addresses are dropped from the answer; if nothing is left the look-up has failed
 * with EGRESS_DENIED.  *handle identifies the look-up for tq_resolve_cancel() until
 * the callback has run; it is NULL if that has happened before return.  False: out
 * of memory, and the callback will not be called.
 */
extern bool tq_resolve(tq_resolver *r, const char *host, tq_resolved callback, void *arg,
					   void **handle);

/* The callback will not be called any more.  Never blocks. */
extern void tq_resolve_cancel(tq_resolver *r, void *handle);

/* Handles readiness of one fd (-1: only timeouts). */
extern void tq_resolver_step(tq_resolver *r, int fd, uint32_t epoll_events);

/* Milliseconds until tq_resolver_step(r, -1, 0) is due; -1: never. */
extern int64_t tq_resolver_timeout(tq_resolver *r);

/* Pending look-ups are dropped without their callbacks. */
extern void tq_resolver_free(tq_resolver *r);

#endif
