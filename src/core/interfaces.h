/*
 * interfaces.h
 *		The addresses of this machine, which are no place to send to.
 *
 * Whatever listens here, the database server among it, may trust whoever is on
 * the same machine.  Loopback is denied anyway; these are the others.
 */
#ifndef TQ_INTERFACES_H
#define TQ_INTERFACES_H

#include "core/egress.h"

/*
 * Replaces the own addresses of e by those that the interfaces have now.  False:
 * they could not be read, and e is as it was.
 */
extern bool tq_interfaces_read(tq_egress *e);

#endif
