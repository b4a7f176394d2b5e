/*
 * interfaces.h
 *		The addresses of this machine, to which no request is sent.
 *
 * A program that listens on this machine, the database server for one, may trust
 * every client on the same machine.  Loopback addresses are denied in any case;
 * these are the others.
 */
#ifndef TQ_INTERFACES_H
#define TQ_INTERFACES_H

#include "core/egress.h"

/*
 * Replaces the own addresses of e by those that the network interfaces have now.
 * False: they could not be read, and e is unchanged.
 */
extern bool tq_interfaces_read(tq_egress *e);

#endif
