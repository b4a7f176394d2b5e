/*
 * settings.h
 *		The settings taskq.*: their values and the contents of the lists among them.
 */
#ifndef TASKQ_SETTINGS_H
#define TASKQ_SETTINGS_H

#define TASKQ_MAX_PAYLOAD      (64 * 1024 * 1024) /* what taskq.max_payload can be at most */
#define TASKQ_MAX_CALL_WORKERS 32                 /* the same for taskq.call_workers */

extern int setting_call_workers;         /* SIGHUP */
extern bool setting_acquire_sync;        /* USERSET */
extern bool setting_executor;            /* SIGHUP */
extern bool setting_log_dead;            /* SIGHUP */
extern char *setting_databases;          /* SIGHUP */
extern int setting_dispatch_memory;      /* POSTMASTER, kB */
extern int setting_group_memory;         /* POSTMASTER, kB */
extern int setting_history_drop_hour;    /* SIGHUP, UTC; -1: any */
extern int setting_keep_events;          /* SIGHUP, s */
extern int setting_max_events;           /* SIGHUP */
extern int setting_notify_interval;      /* SIGHUP, ms; -1: never */
extern int setting_poll_interval;        /* SIGHUP, ms */
extern int setting_max_payload;          /* SUSET, bytes */
extern char *setting_trace;              /* USERSET; empty: none */
extern bool setting_http2;               /* SIGHUP */
extern char *setting_http_ca_file;       /* SIGHUP */
extern int setting_http_max_inflight;    /* SIGHUP */
extern int setting_http_max_per_host;    /* SIGHUP */
extern int setting_http_max_response;    /* SIGHUP, bytes */
extern bool setting_http_resend;         /* SIGHUP */
extern int setting_http_stop_timeout;    /* SIGHUP, ms */
extern int setting_http_timeout;         /* SIGHUP, ms: for tasks without a timeout */
extern int setting_http_connect_timeout; /* SIGHUP, ms */

/* Called once, when the library is loaded. */
extern void settings_define(void);

/*
 * Reads taskq.http_allow, _deny, _hosts and _ports into *egress, which must be all zero
 * before; the caller frees it with tq_egress_free().
 */
struct tq_egress;
extern void settings_read_egress(struct tq_egress *egress);

/* Whether taskq.databases names this database. */
extern bool settings_database_allowed(const char *name);

#endif
