/*
 * workername.c
 *		What a worker is called in taskq.workers.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/workername.h"
#include "core/protocol.h"

bool
tq_workername_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= TQ_MAX_WORKER_NAME;
}

const char *
tq_workername_default(void)
{
	static char name[TQ_MAX_WORKER_NAME + 1];
	char host[HOST_NAME_MAX + 1] = "unknown";
	char process[16];

	(void) gethostname(host, sizeof(host) - 1);
	snprintf(process, sizeof(process), ":%d", (int) getpid());
	snprintf(name, sizeof(name), "%.*s%s", (int) (TQ_MAX_WORKER_NAME - strlen(process)), host,
			 process);
	return name;
}
