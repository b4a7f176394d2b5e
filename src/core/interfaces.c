/*
 * interfaces.c
 *		The addresses of this machine, to which no request is sent.
 */
#include <ifaddrs.h>
#include <stdlib.h>

#include "core/interfaces.h"

static bool
add_all(tq_egress *e, const struct ifaddrs *interfaces)
{
	const struct ifaddrs *i;

	for (i = interfaces; i != NULL; i = i->ifa_next)
		if (i->ifa_addr != NULL && !tq_egress_add_own(e, i->ifa_addr))
			return false;
	return true;
}

bool
tq_interfaces_read(tq_egress *e)
{
	struct ifaddrs *interfaces;
	tq_egress fresh = {0};
	bool read;

	if (getifaddrs(&interfaces) != 0)
		return false;
	read = add_all(&fresh, interfaces);
	freeifaddrs(interfaces);
	if (!read)
	{
		tq_egress_free(&fresh);
		return false;
	}
	free(e->own);
	e->own = fresh.own;
	e->nown = fresh.nown;
	return true;
}
