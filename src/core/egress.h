/*
 * egress.h
 *		What may be reached: pure functions on names, ports and binary addresses.
 *
 * The rule is judged on the address a socket is about to connect to, never on
 * the text of a URL: there are too many spellings of 127.0.0.1.  Everything
 * that is not a public unicast address is denied, IPv4 addresses embedded in
 * IPv6 (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) are unwrapped and
 * judged in both forms.  Lists open and close ranges of addresses, and lists of
 * hosts and ports narrow what a URL may name; an empty list narrows nothing.
 */
#ifndef TQ_EGRESS_H
#define TQ_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/names.h"

#define TQ_EGRESS_PORTS "list of ports" /* that denies a URL */

typedef struct tq_cidr
{
	int family; /* AF_INET or AF_INET6 */
	int bits;
	uint8_t addr[16]; /* network byte order, host bits zero */
} tq_cidr;

typedef struct tq_host_rule
{
	bool below; /* "*.name": all names that end in ".name", not the name itself */
	char name[TQ_MAX_HOST + 1];
} tq_host_rule;

typedef struct tq_port_range
{
	int first;
	int last;
} tq_port_range;

/* The lists; all zero is a valid one: public addresses, any host, any port. */
typedef struct tq_egress
{
	/* malloc'd, owned: tq_egress_free() */
	tq_cidr *allow;      /* reached although not public */
	tq_cidr *deny;       /* never reached, not even when allowed */
	tq_cidr *own;        /* this machine's: reached when allowed only */
	tq_host_rule *hosts; /* the only ones, if there are any */
	tq_port_range *ports;
	size_t nallow;
	size_t ndeny;
	size_t nown;
	size_t nhosts;
	size_t nports;
} tq_egress;

/*
 * Each reads a list of elements separated by commas and blanks into one of the
 * lists: CIDR blocks and single addresses ("10.0.0.5, 127.0.0.0/8, fd00::/8"),
 * host names and addresses ("hooks.example.com, *.example.org, 192.0.2.1"),
 * ports and ranges of them ("80, 443, 8000-8099").  Names are UTF-8,
 * and kept in their ASCII form.  True: the new list replaces the old one, which is
 * freed.  False: an element is wrong, err says which, and *e is untouched.
 */
extern bool tq_egress_allow(tq_egress *e, const char *list, char *err, size_t errlen);
extern bool tq_egress_deny(tq_egress *e, const char *list, char *err, size_t errlen);
extern bool tq_egress_hosts(tq_egress *e, const char *list, char *err, size_t errlen);
extern bool tq_egress_ports(tq_egress *e, const char *list, char *err, size_t errlen);

/* Adds an address of this machine; others than IPv4 and IPv6 are ignored.  False: out of memory. */
extern bool tq_egress_add_own(tq_egress *e, const struct sockaddr *addr);

/*
 * Copies all but the own addresses, which *copy keeps.  False: out of memory, and
 * *copy is untouched.
 */
extern bool tq_egress_copy(tq_egress *copy, const tq_egress *e);

/*
 * NULL when the address may be reached, else the name of the rule that forbids it, e.g.
 * "loopback".  e may be NULL: no lists.
 */
extern const char *tq_egress_denied(const tq_egress *e, const struct sockaddr *addr);

/*
 * The same for what a URL names, before it is resolved.  Hosts are compared
 * without regard to case and to a final dot, addresses in any spelling that
 * inet_pton() knows.
 */
extern const char *tq_egress_url_denied(const tq_egress *e, const char *host, const char *port);

extern void tq_egress_free(tq_egress *e);

#endif
