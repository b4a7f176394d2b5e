/*
 * egress.h
 *		Which addresses may be reached: pure functions on binary addresses.
 *
 * The rule is judged on the address a socket is about to connect to, never on
 * the text of a URL: there are too many spellings of 127.0.0.1.  Everything
 * that is not a public unicast address is denied, IPv4 addresses embedded in
 * IPv6 (mapped, compatible, NAT64, 6to4, Teredo) are unwrapped and judged in
 * both forms, and an allow list opens ranges.
 */
#ifndef TQ_EGRESS_H
#define TQ_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct tq_cidr
{
	int family; /* AF_INET or AF_INET6 */
	int bits;
	uint8_t addr[16]; /* network byte order, host bits zero */
} tq_cidr;

/* An allow list.  All zero is the empty list: public addresses only. */
typedef struct tq_egress
{
	tq_cidr *allow; /* malloc'd, owned */
	size_t nallow;
} tq_egress;

/*
 * Reads "10.0.0.5, 127.0.0.0/8, fd00::/8": CIDR blocks or single addresses
 * separated by commas and blanks.  On a mistake returns false, leaves *e
 * untouched and writes into err which element is wrong.  On success the old
 * contents of *e are freed.
 */
extern bool tq_egress_parse(tq_egress *e, const char *list, char *err, size_t errlen);

/*
 * NULL when the address may be reached, else the name of the rule that forbids it, e.g.
 * "loopback".
 */
extern const char *tq_egress_denied(const tq_egress *e, const struct sockaddr *addr);

extern void tq_egress_free(tq_egress *e);

#endif
