/*
 * shortage.h
 *		What this machine can lack for a request: descriptors, memory, local ports.
 *
 * Such a failure says nothing of the receiver.  A request that was not begun for it
 * waits and uses up no attempt.
 */
#ifndef TQ_SHORTAGE_H
#define TQ_SHORTAGE_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

/* The error number if it tells of a shortage, else 0. */
extern int tq_shortage_of(int error);

/* What is short, in words; NULL if that error tells of no shortage. */
extern const char *tq_shortage_text(int error);

/* Why not one more descriptor can be opened at this moment; 0: one can. */
extern int tq_shortage_of_descriptors(void);

/*
 * Whether EADDRNOTAVAIL for a connection to this address means that no local port is free.
 * Else the machine has no address of its own from which it could be reached.
 */
extern bool tq_shortage_of_ports(const struct sockaddr *addr, size_t len);

/* How many descriptors this process may have; INT_MAX: any number. */
extern int tq_descriptor_limit(void);

#endif
