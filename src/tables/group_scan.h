/*
 * group_scan.h
 *		The entries of tasks with a group.
 */
#ifndef TASKQ_GROUP_SCAN_H
#define TASKQ_GROUP_SCAN_H

#include "access/genam.h"
#include "access/skey.h"
#include "tables/backlog.h"

/* A place in the order of the tasks of a queue that have a group. */
typedef struct GroupPlace
{
	int64 group_id;
	int16 priority;
	TimestampTz run_at;
	int64 id;
} GroupPlace;

/* Before the first task; and behind the last one of a group. */
#define GROUP_PLACE_START     ((GroupPlace){PG_INT64_MIN, PG_INT16_MIN, DT_NOBEGIN, PG_INT64_MIN})
#define GROUP_PLACE_BEHIND(n) ((GroupPlace){(n), PG_INT16_MAX, DT_NOEND, PG_INT64_MAX})

typedef struct GroupScan
{
	Relation index;
	IndexScanDesc scan;
	ScanKeyData place[4];
} GroupScan;

extern void group_scan_open(GroupScan *gs, Backlog *b);
extern void group_scan_close(GroupScan *gs);

/* Begins behind that place.  May be called again. */
extern void group_scan_begin(GroupScan *gs, int32 queue_id, const GroupPlace *behind);

/*
 * The next entry of the queue, as a candidate, and its place; false: there is none.  Reads no row:
 * entries of running and ended tasks are among them.
 */
extern bool group_scan_next(GroupScan *gs, GroupPlace *place, Candidate *c);

/* So many entries are looked at by a walk, at most: there may be any number of groups. */
#define GROUP_WALK_ENTRIES 20000

/*
 * Walks the due tasks of a group, or of all groups of a queue if group_id is 0, from group to
 * group, and calls see() with each that is pending, until it returns false.  Returns the earliest
 * time after "now" that it has met, at which a task becomes due, DT_NOEND if none.
 */
extern TimestampTz group_walk(Backlog *b, int32 queue_id, int64 group_id, TimestampTz now,
							  TaskSeer see, void *arg);

/* Lowers due[] to "now" for each of the queues, whose ids ascend, that has such an entry. */
extern void group_survey(Backlog *b, const int32 *ids, int count, TimestampTz now,
						 TimestampTz *due);

/* Whether a committed task of the queue has a group.  It reads rows, unlike the others. */
extern bool group_exists(Backlog *b, int32 queue_id);

#endif
