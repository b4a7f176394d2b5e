/*
 * settings.c
 *		Every setting, in alphabetical order, with its context and limits.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "base/settings.h"
#include "core/deliver.h"
#include "core/egress.h"

#define NOTIFY_INTERVAL_DEFAULT_MS 20
#define NOTIFY_INTERVAL_MAX_MS     60000

#define DISPATCH_DEFAULT_KB 8192
#define DISPATCH_MIN_KB     256
#define DISPATCH_MAX_KB     (1024 * 1024)

#define PAYLOAD_DEFAULT (1024 * 1024)
#define PAYLOAD_MIN     1024
#define PAYLOAD_MAX     (64 * 1024 * 1024)

#define TIMEOUT_DEFAULT_MS 30000
#define TIMEOUT_MIN_MS     100
#define TIMEOUT_MAX_MS     (60 * 60 * 1000)

bool setting_acquire_sync = false;
bool setting_executor = true;
char *setting_databases = NULL;
int setting_dispatch_memory = DISPATCH_DEFAULT_KB;
int setting_notify_interval = NOTIFY_INTERVAL_DEFAULT_MS;
int setting_poll_interval = TQ_POLL_INTERVAL_DEFAULT_MS;
int setting_max_payload = PAYLOAD_DEFAULT;
bool setting_http2 = false;
char *setting_http_ca_file = NULL;
int setting_http_max_inflight = TQ_INFLIGHT_DEFAULT;
int setting_http_max_per_host = TQ_PER_HOST_DEFAULT;
int setting_http_max_response = TQ_RESPONSE_DEFAULT;
int setting_http_timeout = TIMEOUT_DEFAULT_MS;
int setting_http_connect_timeout = TQ_CONNECT_TIMEOUT_DEFAULT_MS;

/* Splits a copy of the list; false if it is no list of names.  The names point into *copy. */
static bool
split_databases(const char *list, char **copy, List **names)
{
	*copy = pstrdup(list);
	return SplitIdentifierString(*copy, ',', names);
}

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char *copy;
	List *names = NIL;
	bool ok = split_databases(*newval, &copy, &names);

	if (!ok)
		GUC_check_errdetail("It is not a list of database names separated by commas.");
	list_free(names);
	pfree(copy);
	return ok;
}

bool
settings_database_allowed(const char *name)
{
	char *copy;
	List *names = NIL;
	ListCell *lc;
	bool allowed = false;

	if (split_databases(setting_databases, &copy, &names))
	{
		foreach (lc, names)
		{
			const char *element = lfirst(lc);

			if (strcmp(element, "*") == 0 || strcmp(element, name) == 0)
				allowed = true;
		}
	}
	list_free(names);
	pfree(copy);
	return allowed;
}

/* ---- the lists of egress ---------------------------------------------------- */

typedef struct EgressList
{
	bool (*parse)(tq_egress *e, const char *list, char *err, size_t errlen);
	const char *what; /* completes "It is a list of ..." */
	char *value;
} EgressList;

static EgressList http_allow = {tq_egress_allow, "addresses and CIDR blocks", NULL};
static EgressList http_deny = {tq_egress_deny, "addresses and CIDR blocks", NULL};
static EgressList http_hosts = {tq_egress_hosts, "host names, *.NAME and addresses", NULL};
static EgressList http_ports = {tq_egress_ports, "ports and ranges of ports", NULL};

static bool
check_egress_list(const EgressList *list, const char *value)
{
	tq_egress egress = {0};
	char mistake[512];
	bool ok = list->parse(&egress, value, mistake, sizeof(mistake));

	tq_egress_free(&egress);
	if (!ok)
	{
		GUC_check_errdetail("%s", mistake);
		GUC_check_errhint("It is a list of %s separated by commas.", list->what);
	}
	return ok;
}

static bool
check_http_allow(char **newval, void **extra, GucSource source)
{
	return check_egress_list(&http_allow, *newval);
}

static bool
check_http_deny(char **newval, void **extra, GucSource source)
{
	return check_egress_list(&http_deny, *newval);
}

static bool
check_http_hosts(char **newval, void **extra, GucSource source)
{
	return check_egress_list(&http_hosts, *newval);
}

static bool
check_http_ports(char **newval, void **extra, GucSource source)
{
	return check_egress_list(&http_ports, *newval);
}

void
settings_read_egress(tq_egress *egress)
{
	static const EgressList *const lists[] = {&http_allow, &http_deny, &http_hosts, &http_ports};
	char mistake[512];

	for (int i = 0; i < (int) lengthof(lists); i++)
	{
		if (!lists[i]->parse(egress, lists[i]->value, mistake, sizeof(mistake)))
			elog(ERROR, "could not read a list of %s: %s", lists[i]->what, mistake);
	}
}

/* ---- definitions -------------------------------------------------------------- */

static void
define_egress_list(const char *name, EgressList *list, const char *preset,
				   const char *short_text, const char *long_text, GucStringCheckHook check)
{
	DefineCustomStringVariable(name, short_text, long_text, &list->value, preset, PGC_SIGHUP,
							   GUC_LIST_INPUT | GUC_SUPERUSER_ONLY, check, NULL, NULL);
}

static void
define_egress_settings(void)
{
	define_egress_list("taskq.http_allow", &http_allow, "",
					   "Addresses that may be reached although they are not public.",
					   "Addresses and CIDR blocks separated by commas, such as "
					   "10.1.2.0/24, ::1. Reload the configuration to change it.",
					   check_http_allow);
	define_egress_list("taskq.http_deny", &http_deny, "",
					   "Addresses that are never reached.",
					   "Addresses and CIDR blocks separated by commas; stronger than "
					   "taskq.http_allow. Reload the configuration to change it.",
					   check_http_deny);
	define_egress_list("taskq.http_hosts", &http_hosts, "",
					   "The only hosts that a URL may name; empty: any.",
					   "Names, *.NAME for all names below it, and addresses, separated by "
					   "commas. Addresses are judged all the same. "
					   "Reload the configuration to change it.",
					   check_http_hosts);
	define_egress_list("taskq.http_ports", &http_ports, TQ_PORTS_DEFAULT,
					   "The only ports that a URL may name; empty: any.",
					   "Ports and ranges such as 8000-8099, separated by commas. "
					   "Reload the configuration to change it.",
					   check_http_ports);
}

static void
define_executor_settings(void)
{
	DefineCustomStringVariable("taskq.databases",
							   "Databases that may have an executor.",
							   "Names separated by commas, in double quotes where they have "
							   "capitals; * stands for all. Reload the configuration to change it.",
							   &setting_databases, "*",
							   PGC_SIGHUP, GUC_LIST_INPUT, check_databases, NULL, NULL);
	DefineCustomBoolVariable("taskq.executor",
							 "Runs executors, which send push tasks and take back expired leases.",
							 "Switch it off on a physical copy of a cluster that must not send "
							 "anything. Reload the configuration to change it.",
							 &setting_executor, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_http_settings(void)
{
	DefineCustomBoolVariable("taskq.http2",
							 "Whether HTTP/2 is spoken with receivers that offer it over TLS.",
							 "For bodies of up to 16 kB. Reload the configuration to change it.",
							 &setting_http2, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("taskq.http_ca_file",
							   "File of the authorities by whose certificates receivers are known.",
							   "In PEM format; empty: the system's. "
							   "Reload the configuration to change it.",
							   &setting_http_ca_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.http_connect_timeout",
							"Longest time to connect to one address.",
							"In milliseconds when no unit is given. "
							"Reload the configuration to change it.",
							&setting_http_connect_timeout, TQ_CONNECT_TIMEOUT_DEFAULT_MS,
							TQ_CONNECT_TIMEOUT_MIN_MS, TQ_CONNECT_TIMEOUT_MAX_MS,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.http_max_inflight",
							"Most requests that one executor has under way.",
							"Reload the configuration to change it.",
							&setting_http_max_inflight, TQ_INFLIGHT_DEFAULT, 1, TQ_INFLIGHT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.http_max_per_host",
							"Most requests that one executor has under way to one host.",
							"Others wait, and hold up no other host's. "
							"Reload the configuration to change it.",
							&setting_http_max_per_host, TQ_PER_HOST_DEFAULT, 1, TQ_INFLIGHT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.http_max_response",
							"Bytes of a response body that are kept.",
							"In bytes when no unit is given; what is longer is cut off and marked. "
							"Reload the configuration to change it.",
							&setting_http_max_response, TQ_RESPONSE_DEFAULT, 0, TQ_RESPONSE_MAX,
							PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.http_timeout",
							"Longest time for a whole request of a task that names no timeout.",
							"In milliseconds when no unit is given. "
							"Reload the configuration to change it.",
							&setting_http_timeout, TIMEOUT_DEFAULT_MS,
							TIMEOUT_MIN_MS, TIMEOUT_MAX_MS,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_queue_settings(void)
{
	/* Only a preloaded library can define such a setting; without preload it has no meaning. */
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("taskq.dispatch_memory",
								"Shared memory for the positions and next tasks of queues.",
								"In kilobytes when no unit is given; a queue in use takes 26. "
								"Where it does not suffice, claims of the queues used least "
								"read their index from its beginning. Changed by a restart.",
								&setting_dispatch_memory, DISPATCH_DEFAULT_KB, DISPATCH_MIN_KB,
								DISPATCH_MAX_KB, PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.acquire_sync",
							 "Waits for the disk when a transaction commits that did nothing but "
							 "acquire tasks.",
							 "Off, a crash can lose the last claims: their tasks are offered "
							 "again, and their tokens are good for nothing. Anybody can change it.",
							 &setting_acquire_sync, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_payload",
							"Largest payload or body of a task, and largest result.",
							"In bytes when no unit is given. Only superusers can change it, "
							"also for a session, a role or a database.",
							&setting_max_payload, PAYLOAD_DEFAULT, PAYLOAD_MIN, PAYLOAD_MAX,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.notify_interval",
							"Shortest time between two notifications of a queue.",
							"In milliseconds when no unit is given; -1 sends none. With the "
							"library preloaded the executor notifies channel taskq_QUEUE when "
							"tasks of a pull queue have become due, the first time at once. "
							"Reload the configuration to change it.",
							&setting_notify_interval, NOTIFY_INTERVAL_DEFAULT_MS, -1,
							NOTIFY_INTERVAL_MAX_MS, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.poll_interval",
							"Time between an executor's looks for due tasks and expired leases.",
							"In milliseconds when no unit is given; with the library preloaded "
							"a commit wakes the executor besides. "
							"Reload the configuration to change it.",
							&setting_poll_interval, TQ_POLL_INTERVAL_DEFAULT_MS,
							TQ_POLL_INTERVAL_MIN_MS, TQ_POLL_INTERVAL_MAX_MS,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

void
settings_define(void)
{
	define_executor_settings();
	define_egress_settings();
	define_http_settings();
	define_queue_settings();
	MarkGUCPrefixReserved("taskq");
}
