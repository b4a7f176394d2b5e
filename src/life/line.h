/*
 * line.h
 *		Claims the tasks of one group that have the same priority.
 */
#ifndef TASKQ_LINE_H
#define TASKQ_LINE_H

#include "hints/groups.h"
#include "life/claim.h"
#include "tables/group_scan.h"

/*
 * Claims up to max tasks of the queue behind this place, of the same group and priority.  ordered:
 * no task passes another one.  *seen tells how far it came.
 */
extern void line_claim(Backlog *b, Claiming *c, int32 queue_id, const GroupPlace *behind,
					   bool ordered, int max, LineSeen *seen);

#endif
