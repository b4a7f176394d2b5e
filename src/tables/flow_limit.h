/*
 * flow_limit.h
 *		The limits of queues and groups, as they are stored.
 */
#ifndef TASKQ_FLOW_LIMIT_H
#define TASKQ_FLOW_LIMIT_H

/* Whose limit it is: the column scope. */
#define LIMIT_OF_QUEUE  'q'
#define LIMIT_OF_GROUPS 'd' /* each group that has none of its own */
#define LIMIT_OF_GROUP  'g'

typedef struct FlowLimit
{
	int max_running; /* -1: no limit */
	double rate;     /* so many starts in the time per_us; 0: no limit */
	int64 per_us;
	int burst;
	int weight;
} FlowLimit;

/* The columns of the table from max_running on. */
enum FlowLimitColumn
{
	LIMIT_MAX_RUNNING,
	LIMIT_RATE,
	LIMIT_PER,
	LIMIT_BURST,
	LIMIT_WEIGHT,
	LIMIT_NCOLUMNS
};

/* These columns as a limit; no limit if the row does not exist, so that "per" is NULL. */
extern FlowLimit flow_limit_of(const Datum *values, const bool *nulls);

/*
 * Reads the limit with that scope, as last committed or as written by this transaction.  group_id:
 * 0 unless it is that of a group.  False: there is none.
 */
extern bool flow_limit_read(int32 queue_id, char scope, int64 group_id, FlowLimit *limit);

#endif
