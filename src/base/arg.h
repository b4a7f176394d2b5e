/*
 * arg.h
 *		Arguments of the SQL functions: how they are read, and their limits.
 */
#ifndef TASKQ_ARG_H
#define TASKQ_ARG_H

#include "fmgr.h"
#include "utils/timestamp.h"

#define TASKQ_NAME_MAX   57     /* bytes, so that "taskq_" || name is a channel */
#define TASKQ_KEY_MAX    512    /* bytes */
#define TASKQ_MAX_SUBMIT 100000 /* tasks in one submit_many() */
#define TASKQ_MAX_BATCH  10000  /* tasks in one call */
#define TASKQ_MAX_ERROR  8192   /* bytes of an error text that are kept */

#define US_PER_MS    INT64CONST(1000)
#define US_PER_DAY   INT64CONST(86400000000)
#define MAX_DELAY_US (INT64CONST(36525) * US_PER_DAY) /* 100 years */
#define MIN_LEASE_US (100 * US_PER_MS)
#define MAX_LEASE_US (30 * US_PER_DAY)

/* An interval in microseconds, a month being 30 days; clamped to what int64 holds. */
extern int64 interval_us(const Interval *interval);

/* Argument n, or fallback when it is NULL; TQ004 when it is not in [min, max]. */
extern int64 arg_interval_us(FunctionCallInfo fcinfo, int n, const char *name,
							 int64 fallback, int64 min, int64 max);
extern int32 arg_int32(FunctionCallInfo fcinfo, int n, const char *name,
					   int32 fallback, int32 min, int32 max);

/* TQ004 when argument n is NULL. */
extern void require_argument(FunctionCallInfo fcinfo, int n, const char *name);

/* The same, and the argument as a bigint. */
extern int64 arg_id(FunctionCallInfo fcinfo, int n, const char *name);

/* NULL stays NULL; TQ004 when it is empty, over TASKQ_NAME_MAX bytes or has control characters. */
extern text *arg_name(FunctionCallInfo fcinfo, int n, const char *name);

/* The same checks on any text, with a limit of its own. */
extern void check_label(const text *value, const char *name, int max);

/* NULL stays NULL; TQ004 when it cannot be a key: as a name, with TASKQ_KEY_MAX bytes. */
extern text *arg_key(FunctionCallInfo fcinfo, int n);

/* NULL stays NULL; cut to TASKQ_MAX_ERROR bytes at the border of a character. */
extern text *arg_error(FunctionCallInfo fcinfo, int n);

/* A URL as DNS and HTTP have it, palloc'd: its host in ASCII; TQ004 when no task may have it. */
extern char *url_to_ascii(const text *url);

/* TQ006 when the datum, a varlena, is over taskq.max_payload bytes. */
extern void check_size(Datum value, const char *name);

/* Arguments n and n + 1: bigint arrays of one length without NULLs; TQ004.  Returns the length. */
extern int arg_id_arrays(FunctionCallInfo fcinfo, int n, int64 **ids, int64 **tokens);

/* 25006 on a standby and in a read-only transaction. */
extern void require_writable(const char *function);

#endif
