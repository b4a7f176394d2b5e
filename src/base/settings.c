/*
 * settings.c
 *		Every setting, in alphabetical order, with its context and limits.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "base/settings.h"
#include "core/deliver.h"
#include "core/egress.h"
#include "core/trace.h"

#define CALL_WORKERS_DEFAULT       2
#define NOTIFY_INTERVAL_DEFAULT_MS 20
#define NOTIFY_INTERVAL_MAX_MS     60000

#define DISPATCH_DEFAULT_KB 8192
#define DISPATCH_MIN_KB     256
#define DISPATCH_MAX_KB     (1024 * 1024)

#define GROUP_DEFAULT_KB 8192
#define GROUP_MIN_KB     64
#define GROUP_MAX_KB     (1024 * 1024)

#define KEEP_EVENTS_DEFAULT_S (24 * 60 * 60)
#define KEEP_EVENTS_MAX_S     (3660 * KEEP_EVENTS_DEFAULT_S)
#define MAX_EVENTS_DEFAULT    1000000
#define MAX_EVENTS_MIN        1000

#define PAYLOAD_DEFAULT (1024 * 1024)
#define PAYLOAD_MIN     1024

#define STOP_TIMEOUT_DEFAULT_MS 2000
#define STOP_TIMEOUT_MAX_MS     60000

#define TIMEOUT_DEFAULT_MS 30000
#define TIMEOUT_MIN_MS     100
#define TIMEOUT_MAX_MS     (60 * 60 * 1000)

bool setting_acquire_sync = false;
bool setting_executor = true;
bool setting_log_dead = false;
char *setting_databases = NULL;
int setting_dispatch_memory = DISPATCH_DEFAULT_KB;
int setting_group_memory = GROUP_DEFAULT_KB;
int setting_history_drop_hour = -1;
int setting_keep_events = KEEP_EVENTS_DEFAULT_S;
int setting_max_events = MAX_EVENTS_DEFAULT;
int setting_notify_interval = NOTIFY_INTERVAL_DEFAULT_MS;
int setting_poll_interval = TQ_POLL_INTERVAL_DEFAULT_MS;
int setting_max_payload = PAYLOAD_DEFAULT;
int setting_call_workers = CALL_WORKERS_DEFAULT;
char *setting_trace = NULL;
bool setting_http2 = false;
char *setting_http_ca_file = NULL;
int setting_http_max_inflight = TQ_INFLIGHT_DEFAULT;
int setting_http_max_per_host = TQ_PER_HOST_DEFAULT;
int setting_http_max_response = TQ_RESPONSE_DEFAULT;
bool setting_http_resend = true;
int setting_http_stop_timeout = STOP_TIMEOUT_DEFAULT_MS;
int setting_http_timeout = TIMEOUT_DEFAULT_MS;
int setting_http_connect_timeout = TQ_CONNECT_TIMEOUT_DEFAULT_MS;

/* Splits a copy of the list; false if it is not a list of names.  The names point into *copy. */
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

static bool
check_trace(char **newval, void **extra, GucSource source)
{
	const char *wrong = **newval == '\0' ? NULL : tq_trace_invalid(*newval);

	if (wrong == NULL)
		return true;
	GUC_check_errdetail("It cannot be used: %s.", wrong);
	GUC_check_errhint("It is a W3C traceparent, such as " TQ_TRACE_EXAMPLE ", or empty.");
	return false;
}

/* ---- the egress lists ------------------------------------------------------- */

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
					   "commas. The addresses of a host are checked as well. "
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
							 "Whether HTTP/2 is used with receivers that offer it over TLS.",
							 "For bodies of up to 16 kB. Reload the configuration to change it.",
							 &setting_http2, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("taskq.http_ca_file",
							   "File of the certificate authorities that receivers must have.",
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
							"Largest number of requests that one executor sends at the same time.",
							"Fewer if the server may not open so many files. "
							"Reload the configuration to change it.",
							&setting_http_max_inflight, TQ_INFLIGHT_DEFAULT, 1, TQ_INFLIGHT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.http_max_per_host",
							"Largest number of requests that one executor sends to one host at the "
							"same time.",
							"Further requests wait and do not delay those to other hosts. "
							"Reload the configuration to change it.",
							&setting_http_max_per_host, TQ_PER_HOST_DEFAULT, 1, TQ_INFLIGHT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.http_max_response",
							"Bytes of a response body that are kept.",
							"In bytes when no unit is given; a longer body is cut and marked. "
							"Reload the configuration to change it.",
							&setting_http_max_response, TQ_RESPONSE_DEFAULT, 0, TQ_RESPONSE_MAX,
							PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.http_resend",
							 "Whether a request is sent once more, in the same attempt, when a "
							 "connection that was kept open ends before the answer begins.",
							 "The receiver may have read it before. "
							 "Reload the configuration to change it.",
							 &setting_http_resend, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.http_stop_timeout",
							"How long an executor that is stopped waits for answers.",
							"In milliseconds when no unit is given. A shutdown of the server "
							"takes so much longer if receivers do not answer. "
							"Reload the configuration to change it.",
							&setting_http_stop_timeout, STOP_TIMEOUT_DEFAULT_MS,
							0, STOP_TIMEOUT_MAX_MS,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
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
								"If it is too small, the least used queues fall back to index "
								"scans. Restart the server to change it.",
								&setting_dispatch_memory, DISPATCH_DEFAULT_KB, DISPATCH_MIN_KB,
								DISPATCH_MAX_KB, PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("taskq.group_memory",
								"Shared memory for the groups of tasks that wait or run.",
								"In kilobytes when no unit is given; a group takes 192 bytes. If "
								"it is too small, tasks of some groups wait until others have "
								"none. Restart the server to change it.",
								&setting_group_memory, GROUP_DEFAULT_KB, GROUP_MIN_KB,
								GROUP_MAX_KB, PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.acquire_sync",
							 "Whether a transaction that only acquires tasks waits for the disk "
							 "when it commits.",
							 "If it is off, a crash can lose the last claims: their tasks are "
							 "offered again, and their tokens are stale. A claim that uses the "
							 "last attempt of a task waits all the same. Any role can change it.",
							 &setting_acquire_sync, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.call_workers",
							"Largest number of processes that call functions, for each database.",
							"Each takes one of max_worker_processes while there are calls. "
							"Reload the configuration to change it.",
							&setting_call_workers, CALL_WORKERS_DEFAULT, 0, TASKQ_MAX_CALL_WORKERS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.history_drop_hour",
							"Hour of the day at which tables of ended tasks are dropped.",
							"From 0 to 23, in UTC; -1: at any hour, as soon as the time of "
							"their tasks has passed. Reload the configuration to change it.",
							&setting_history_drop_hour, -1, -1, 23,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.keep_events",
							"How long events and values are kept.",
							"In seconds when no unit is given; up to an eighth longer. "
							"Reload the configuration to change it.",
							&setting_keep_events, KEEP_EVENTS_DEFAULT_S, 1, KEEP_EVENTS_MAX_S,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable("taskq.log_dead",
							 "Whether the server log has a line for each task that dies.",
							 "With the task, its queue, the attempt and the class of the failure. "
							 "Reload the configuration to change it.",
							 &setting_log_dead, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_events",
							"How many events and values are kept.",
							"The executor removes an eighth of them at a time, the oldest ones. "
							"Reload the configuration to change it.",
							&setting_max_events, MAX_EVENTS_DEFAULT, MAX_EVENTS_MIN, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("taskq.max_payload",
							"Largest payload or body of a task, and largest result or detail.",
							"In bytes when no unit is given; JSON is held to it as it is stored "
							"and as text. Only superusers can change it, also for a session, a "
							"role or a database.",
							&setting_max_payload, PAYLOAD_DEFAULT, PAYLOAD_MIN,
							TASKQ_MAX_PAYLOAD,
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
							"a commit wakes the executor as well. "
							"Reload the configuration to change it.",
							&setting_poll_interval, TQ_POLL_INTERVAL_DEFAULT_MS,
							TQ_POLL_INTERVAL_MIN_MS, TQ_POLL_INTERVAL_MAX_MS,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("taskq.trace",
							   "Trace of the tasks that are submitted without one.",
							   "A W3C traceparent of 55 characters; empty: none. "
							   "Any role can change it.",
							   &setting_trace, "", PGC_USERSET, 0, check_trace, NULL, NULL);
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
