/*
 * listing.c
 *		Finds the groups of a queue that have waiting tasks.
 *
 * After a start of the server nothing is known of groups.  Claimers read the index of tasks with
 * a group, from group to group and from priority to priority, some at a time, and enter the
 * lines.  If there is no room for a group, it waits, and the next claimer tries to go on from
 * there.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "hints/groups.h"
#include "hints/listing.h"
#include "tables/group_scan.h"

#define AT_ONCE 256 /* lines */

bool
listing_read_on(FlowQueue *q, Backlog *b)
{
	GroupPlace place = GROUP_PLACE_START;
	bool room = true;
	bool at_end = false;
	int64 behind;
	GroupScan scan;
	Candidate c;
	int n = 0;

	if (!groups_to_list(q, &behind))
		return false;
	if (behind != PG_INT64_MIN)
		place = GROUP_PLACE_BEHIND(behind);
	group_scan_open(&scan, b);
	while (room && !at_end && n < AT_ONCE)
	{
		CHECK_FOR_INTERRUPTS();
		group_scan_begin(&scan, q->queue_id, &place);
		at_end = !group_scan_next(&scan, &place, &c);
		if (at_end)
			break;
		room = groups_found(q, place.group_id, place.priority);
		n += room;
		place.run_at = DT_NOEND;
		place.id = PG_INT64_MAX;
	}
	group_scan_close(&scan);
	/* The last group may have other priorities. */
	groups_listed(q, behind, at_end ? PG_INT64_MAX : place.group_id - 1, at_end);
	return n > 0;
}
