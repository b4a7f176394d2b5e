/*
 * arg.h
 *		Reads the arguments of SQL functions, and has their limits.
 */
#ifndef TASKQ_ARG_H
#define TASKQ_ARG_H

#include "fmgr.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#define TASKQ_NAME_MAX   57     /* bytes, so that "taskq_" || name is a channel */
#define TASKQ_KEY_MAX    512    /* bytes */
#define TASKQ_MAX_SUBMIT 100000 /* tasks in one submit_many(), or in one call about its tasks */
#define TASKQ_MAX_BATCH  10000  /* tasks in one call of a worker */
#define TASKQ_MAX_ERROR  8192   /* bytes of an error text that are kept */

#define US_PER_MS  INT64CONST(1000)
#define US_PER_DAY INT64CONST(86400000000)

/* The uses of intervals; arg.c has their limits. */
typedef enum IntervalRange
{
	RANGE_DELAY,       /* until a task is due */
	RANGE_START_LIMIT, /* until a task expires */
	RANGE_RETRY,       /* between two attempts */
	RANGE_AGE,         /* of a task that is still tried */
	RANGE_LEASE,
	RANGE_TIMEOUT, /* of a request */
	RANGE_WAIT,    /* of a call, for a task */
	RANGE_ELAPSED, /* in an exchange, or a part of it */
	RANGE_KEEP,    /* of ended tasks */
} IntervalRange;

/* An interval in microseconds, a month being 30 days; clamped to what int64 holds. */
extern int64 interval_us(const Interval *interval);

/* Whether so many microseconds are within the limits of that use. */
extern bool interval_in_range(int64 us, IntervalRange range);

/* Argument n, or fallback if it is NULL; TQ004 if it is outside its range. */
extern int64 arg_interval_us(FunctionCallInfo fcinfo, int n, const char *name, int64 fallback,
							 IntervalRange range);

/* The same for a number in [min, max]. */
extern int32 arg_int32(FunctionCallInfo fcinfo, int n, const char *name,
					   int32 fallback, int32 min, int32 max);

/* TQ004 when argument n is NULL. */
extern void require_argument(FunctionCallInfo fcinfo, int n, const char *name);

/* The same, and the argument as a bigint. */
extern int64 arg_id(FunctionCallInfo fcinfo, int n, const char *name);

/* NULL stays NULL; TQ004 when it is empty, over TASKQ_NAME_MAX bytes or has control characters. */
extern text *arg_name(FunctionCallInfo fcinfo, int n, const char *name);

/*
 * Argument n, an array of 1 to max names, each as above and not NULL; TQ004.  palloc'd; *count
 * becomes their number.
 */
extern Datum *arg_names(FunctionCallInfo fcinfo, int n, const char *name, int max, int *count);

/* The same checks on any text, with a limit of its own. */
extern void check_label(const text *value, const char *name, int max);

/* NULL stays NULL; TQ004 when it cannot be a key: as a name, with TASKQ_KEY_MAX bytes. */
extern text *arg_key(FunctionCallInfo fcinfo, int n);

/* The same for the key of a group. */
extern text *arg_group_key(FunctionCallInfo fcinfo, int n);

/*
 * The trace of a task: argument n, or taskq.trace if it is NULL.  NULL if there is none, or if the
 * argument is empty.  TQ004 if it is no traceparent.
 */
extern text *arg_trace(FunctionCallInfo fcinfo, int n);

/* NULL stays NULL; cut to TASKQ_MAX_ERROR bytes at the border of a character. */
extern text *arg_error(FunctionCallInfo fcinfo, int n);

/* Returns the URL with its host in ASCII, palloc'd; TQ004 if no task may have this URL. */
extern char *url_to_ascii(const text *url);

/* TQ006 if the datum, a varlena, has more than taskq.max_payload bytes, or more than max. */
extern void check_size(Datum value, const char *name);
extern void check_bytes(Datum value, const char *name, Size max);

/* check_size() for a jsonb, which is also TQ006 if its text is over taskq.max_payload bytes. */
extern void check_json(Datum value, const char *name);

/*
 * Argument n: a bigint array without NULLs, of at most TASKQ_MAX_SUBMIT elements; TQ004.  Returns
 * its length; the ids stand in the argument.
 */
extern int arg_ids(FunctionCallInfo fcinfo, int n, const char *name, int64 **ids);

/* A bigint array of these ids; palloc'd. */
extern ArrayType *array_of_ids(const int64 *ids, int count);

/* Arguments n and n + 1: bigint arrays of one length without NULLs; TQ004.  Returns the length. */
extern int arg_id_arrays(FunctionCallInfo fcinfo, int n, int64 **ids, int64 **tokens);

/* 25006 on a standby and in a read-only transaction. */
extern void require_writable(const char *function);

#endif
