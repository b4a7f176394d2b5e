/*
 * taskq.c
 *		Module entry: settings, shared memory, registration of the launcher.
 *
 * Only a preloaded library gets shared memory, a launcher and the utility
 * hook.  Everything else works without them.
 */
#include "postgres.h"

#include <signal.h>

#include "fmgr.h"
#include "miscadmin.h"

#include "base/settings.h"
#include "base/shmem.h"
#include "hints/counts.h"
#include "hints/flow.h"
#include "hints/lanes.h"
#include "hints/leases.h"
#include "hints/looks.h"
#include "hints/tallies.h"
#include "hints/wakeup.h"
#include "life/health.h"
#include "life/publish.h"
#include "life/submit.h"
#include "life/submit_call.h"
#include "life/template.h"
#include "process/failures.h"
#include "process/launcher.h"
#include "process/requests.h"
#include "process/stepaside.h"
#include "push/endpoint.h"
#include "push/submit_http.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* What a template can submit to.  A url and an endpoint may have a queue besides. */
static const TemplateTarget *const targets[] = {
	&submit_to_queue,
	&publish_to_topic,
	&submit_to_url,
	&submit_to_endpoint,
	&submit_to_call,
};

/* The tables in shared memory, besides the registry of databases. */
static HintTable *const tables[] = {
	&lanes_table,
	&leases_table,
	&counts_table,
	&tallies_table,
	&health_table,
	&endpoints_table,
	&failures_table,
	&requests_table,
	&looks_table,
};

/* Its other parts. */
static const SharedPart *const parts[] = {
	&flow_part,
};

void
_PG_init(void)
{
	settings_define();
	for (int i = 0; i < (int) lengthof(targets); i++)
		template_register(targets[i]);
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	shmem_install(tables, lengthof(tables), parts, lengthof(parts));
	wakeup_install();
	stepaside_install();
	launcher_register();
}
