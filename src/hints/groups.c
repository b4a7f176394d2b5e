/*
 * groups.c
 *		The groups of a queue that have waiting or running tasks, and their turns.
 *
 * The tasks of a group that have the same priority, ordered by (run_at, id), are a line.  What
 * lanes are for tasks without a group (dispatch.c), lines are for those with one, with three
 * differences.  There may be very many, so a line is small and has no candidates: a claimer reads
 * the index behind the line's place.  A line that cannot have a task now, because its group is full
 * or its time has not come, is not among those that are ready: a claimer never meets it.  And a
 * claimer takes a permit of the group, and a start of its rate, before it reads; what it does not
 * use, it gives back.
 *
 * Invariant: every committed pending task of a known group lies behind its line's place, and the
 * line is in a heap, unless its group is full; or a claimer has begun to look at the line since the
 * task was offered; or an open transaction has taken the task and will offer it when it rolls back.
 *
 * - A claimer that finds nothing sets "due" to the time of the next entry, and one that finds tasks
 *   moves the place behind them, but only if nothing was offered since it began: "offers" tells.
 * - The transaction that ends an attempt offers the task before it gives back the permit, so that
 *   in an ordered group no other task comes first.  permits.c sees to that.
 *
 * A group that has neither waiting nor running tasks, and whose bucket is full, is idle.  Its cells
 * stay until others need them, because its place spares the next claimer dead entries.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/database.h"
#include "core/clock.h"
#include "hints/groups.h"
#include "hints/idle.h"

#define MOVED_AT_ONCE 256 /* lines whose time has come */
#define NRECENT       64  /* groups whose cells a session remembers */

static FlowGroup *
group_at(uint32 n)
{
	return &flow_cell(n)->group;
}

static FlowLine *
line_at(uint32 n)
{
	return &flow_cell(n)->line;
}

/* ---- heaps --------------------------------------------------------------------------- */

static tq_leftist_node *
node_of(uint32_t n)
{
	return &line_at(n)->node;
}

/* Whose group has fewer running for its weight; then whose turn was longest ago. */
static bool
is_sooner(int16 priority, int64 running, int64 weight, uint64 turn, int16 other_priority,
		  int64 other_running, int64 other_weight, uint64 other_turn)
{
	if (priority != other_priority)
		return priority < other_priority;
	if (running * other_weight != other_running * weight)
		return running * other_weight < other_running * weight;
	return turn < other_turn;
}

static bool
turn_before(uint32_t a, uint32_t b)
{
	const FlowLine *x = line_at(a);
	const FlowLine *y = line_at(b);
	const FlowGroup *g = group_at(x->group);
	const FlowGroup *h = group_at(y->group);

	return is_sooner(x->priority, g->running, g->weight, g->turn, y->priority, h->running,
					 h->weight, h->turn);
}

static bool
time_before(uint32_t a, uint32_t b)
{
	return line_at(a)->at < line_at(b)->at;
}

static const tq_leftist heap_kinds[NLINE_PLACES] = {
	[LINE_READY] = {node_of, turn_before},
	[LINE_DUE] = {node_of, time_before},
	[LINE_OPENING] = {node_of, time_before},
};

static void
take_out(FlowQueue *q, uint32 n)
{
	FlowLine *line = line_at(n);

	if (line->place == LINE_NOWHERE)
		return;
	q->heaps[line->place] =
		tq_leftist_remove(&heap_kinds[line->place], q->heaps[line->place], n);
	line->place = LINE_NOWHERE;
}

static void
put_into(FlowQueue *q, uint32 n, LinePlace place, int64 at)
{
	FlowLine *line = line_at(n);

	line->place = place;
	line->at = at;
	q->heaps[place] = tq_leftist_insert(&heap_kinds[place], q->heaps[place], n);
}

/* Unless it stands in a heap already. */
static void
place_line(FlowQueue *q, uint32 n, TimestampTz now)
{
	FlowLine *line = line_at(n);
	const FlowGroup *g = group_at(line->group);

	if (line->place != LINE_NOWHERE)
		return;
	if (line->due == DT_NOEND || (g->max_running != NO_LIMIT && g->running >= g->max_running))
		return;
	if (line->due > now)
		put_into(q, n, LINE_DUE, line->due);
	else if (g->rate.interval_ns > 0 && tq_gcra_opens(g->tat, &g->rate) > tq_clock_ns())
		put_into(q, n, LINE_OPENING, tq_gcra_opens(g->tat, &g->rate));
	else
		put_into(q, n, LINE_READY, 0);
}

/* ---- idle groups --------------------------------------------------------------------- */

static bool
is_idle(const FlowGroup *g)
{
	if (g->running != 0 || g->inflight != 0)
		return false;
	if (g->rate.interval_ns > 0 && !tq_gcra_is_full(g->tat, tq_clock_ns()))
		return false;
	for (uint32 n = g->lines; n != 0; n = line_at(n)->head.next)
	{
		if (line_at(n)->due != DT_NOEND)
			return false;
	}
	return true;
}

static void
unlink_idle(FlowQueue *q, uint32 n)
{
	FlowGroup *g = group_at(n);

	if (g->older != 0)
		group_at(g->older)->newer = g->newer;
	else
		q->oldest_idle = g->newer;
	if (g->newer != 0)
		group_at(g->newer)->older = g->older;
	else
		q->newest_idle = g->older;
	g->is_idle = false;
}

static void
link_idle(FlowQueue *q, uint32 n)
{
	FlowGroup *g = group_at(n);

	g->is_idle = true;
	g->newer = 0;
	g->older = q->newest_idle;
	if (q->newest_idle != 0)
		group_at(q->newest_idle)->newer = n;
	else
		q->oldest_idle = n;
	q->newest_idle = n;
}

/* ---- groups -------------------------------------------------------------------------- */

/* The order of READY depends on the group: its lines are taken out before it changes. */
static void
lift(FlowQueue *q, uint32 n)
{
	for (uint32 l = group_at(n)->lines; l != 0; l = line_at(l)->head.next)
		take_out(q, l);
}

static int
count_ready(const FlowGroup *g)
{
	int count = 0;

	for (uint32 n = g->lines; n != 0; n = line_at(n)->head.next)
		count += line_at(n)->place == LINE_READY;
	return count;
}

/* When the first line becomes ready by time, or the rate of the queue opens. */
static TimestampTz
next_time(const FlowQueue *q, TimestampTz now)
{
	TimestampTz next = q->rate_opens;

	if (q->heaps[LINE_DUE] != 0)
		next = Min(next, line_at(q->heaps[LINE_DUE])->at);
	if (q->heaps[LINE_OPENING] != 0)
	{
		int64 left_us = (line_at(q->heaps[LINE_OPENING])->at - tq_clock_ns()) / 1000 + 1;

		next = Min(next, now + Max(left_us, 0));
	}
	return next;
}

/* Tells the executor if a time is earlier than those of which it knows. */
static void
tell_timer(FlowQueue *q, TimestampTz now)
{
	TimestampTz next = next_time(q, now);
	TaskqDatabase *db = database_mine();

	if (next >= q->timer || db == NULL)
		return;
	q->timer = next;
	database_want(db, WANT_TIMERS);
}

static void
settle_group(FlowQueue *q, uint32 n)
{
	TimestampTz now = GetCurrentTimestamp();
	FlowGroup *g = group_at(n);
	bool idle;

	for (uint32 l = g->lines; l != 0; l = line_at(l)->head.next)
		place_line(q, l, now);
	idle = is_idle(g);
	if (idle && !g->is_idle)
		link_idle(q, n);
	else if (!idle && g->is_idle)
		unlink_idle(q, n);
	tell_timer(q, now);
}

static void
change_running(FlowQueue *q, FlowGroup *g, int32 change)
{
	change = Max(change, -g->running); /* a group whose leases were not counted */
	g->running += change;
	q->grouped_running += change;
}

/*
 * Groups are found by a digital search tree: a node of depth d has the children whose bit d, from
 * the top, is 0 or 1.  The ids are hashes, so it is about as deep as a balanced one, and never
 * deeper than 64.  Returns the place that holds the group, or 0 where it would stand.
 */
static uint32 *
place_in_tree(FlowQueue *q, int64 id)
{
	uint32 *place = &q->tree;

	for (int bit = 63; *place != 0 && group_at(*place)->id != id; bit--)
		place = &group_at(*place)->child[(uint64) id >> bit & 1];
	return place;
}

static bool
has_child(uint32 n)
{
	return group_at(n)->child[0] != 0 || group_at(n)->child[1] != 0;
}

/* A leaf below the group takes its place. */
static void
remove_from_tree(FlowQueue *q, int64 id)
{
	uint32 *place = place_in_tree(q, id);
	uint32 *leaf = place;
	uint32 gone = *place;
	uint32 last;

	while (has_child(*leaf))
		leaf = &group_at(*leaf)->child[group_at(*leaf)->child[0] != 0 ? 0 : 1];
	last = *leaf;
	*leaf = 0;
	if (last == gone)
		return;
	memcpy(group_at(last)->child, group_at(gone)->child, sizeof(group_at(last)->child));
	*place = last;
}

/* Of an idle group: its lines are nowhere. */
static void
free_group(FlowQueue *q, uint32 n)
{
	uint32 next;

	unlink_idle(q, n);
	remove_from_tree(q, group_at(n)->id);
	for (uint32 l = group_at(n)->lines; l != 0; l = next)
	{
		next = line_at(l)->head.next;
		flow_free_cell(l);
	}
	flow_free_cell(n);
	q->ngroups--;
}

/* Frees the cells of an idle group of another queue whose lock is free. */
static bool
free_one_elsewhere(const FlowQueue *q)
{
	static int hand = 0;

	for (int i = 0; i < flow_count(); i++)
	{
		FlowQueue *other = flow_at(hand = (hand + 1) % flow_count());
		bool freed;

		if (other == q || other->oldest_idle == 0 ||
			!LWLockConditionalAcquire(&other->lock, LW_EXCLUSIVE))
			continue;
		freed = other->oldest_idle != 0;
		if (freed)
			free_group(other, other->oldest_idle);
		flow_unlock(other);
		if (freed)
			return true;
	}
	return false;
}

/* keep: a group that must not go; 0: none. */
static uint32
take_cell(FlowQueue *q, CellKind kind, uint32 keep)
{
	uint32 n = flow_take_cell(q, kind);

	while (n == 0)
	{
		uint32 oldest = q->oldest_idle;

		if (oldest != 0 && oldest == keep)
			oldest = group_at(oldest)->newer;
		if (oldest != 0)
			free_group(q, oldest);
		else if (!free_one_elsewhere(q))
			return 0;
		n = flow_take_cell(q, kind);
	}
	return n;
}

/*
 * 0: the group is not known.  A walk through the tree of many groups reads memory that is in no
 * cache of the processor.  So a session remembers some cells: mostly it ends tasks that it has
 * claimed.
 */
static uint32
find_group(FlowQueue *q, int64 id)
{
	static uint32 recent[NRECENT];
	uint32 *n = &recent[(uint64) id % NRECENT];

	if (!flow_owns(q, *n, CELL_GROUP) || group_at(*n)->id != id)
		*n = *place_in_tree(q, id);
	return *n;
}

int64
groups_tat_of_unknown(const tq_gcra_limit *rate, int64 mark)
{
	int64 up_ns = (GetCurrentTimestamp() - PgStartTime) * 1000;

	if (rate->interval_ns == 0)
		return tq_gcra_full();
	return tq_gcra_is_slow(rate) ? mark : tq_gcra_empty(rate, tq_clock_ns() - up_ns);
}

/* 0: there is no room. */
static uint32
make_group(FlowQueue *q, int64 id)
{
	uint32 n = find_group(q, id);
	FlowGroup *g;

	if (n != 0)
		return n;
	n = take_cell(q, CELL_GROUP, 0);
	if (n == 0)
		return 0;
	g = group_at(n);
	g->id = id;
	g->max_running = NO_LIMIT;
	g->weight = 1;
	/* Older than any: the limits are read by the first claimer. */
	g->limits = pg_atomic_read_u32(&q->limits) - 1;
	*place_in_tree(q, id) = n;
	q->ngroups++;
	link_idle(q, n);
	return n;
}

static uint32
find_line(uint32 group, int16 priority)
{
	uint32 n = group_at(group)->lines;

	while (n != 0 && line_at(n)->priority != priority)
		n = line_at(n)->head.next;
	return n;
}

/* 0: there is no room. */
static uint32
make_line(FlowQueue *q, uint32 group, int16 priority, bool *made)
{
	uint32 n = find_line(group, priority);
	FlowLine *line;

	*made = n == 0;
	if (n != 0)
		return n;
	n = take_cell(q, CELL_LINE, group);
	if (n == 0)
		return 0;
	line = line_at(n);
	line->group = group;
	line->priority = priority;
	line->after_run_at = DT_NOBEGIN;
	line->due = DT_NOEND;
	line->head.next = group_at(group)->lines;
	group_at(group)->lines = n;
	return n;
}

/* ---- choosing ------------------------------------------------------------------------ */

/* Lines of this heap whose time has come are placed anew; returns how many. */
static int
move_from(FlowQueue *q, LinePlace place, int64 until, TimestampTz now)
{
	int count = 0;

	while (count < MOVED_AT_ONCE)
	{
		uint32 n = q->heaps[place];

		if (n == 0 || line_at(n)->at > until)
			break;
		take_out(q, n);
		place_line(q, n, now);
		count++;
	}
	return count;
}

static int
move_those_whose_time_has_come(FlowQueue *q)
{
	TimestampTz now = GetCurrentTimestamp();
	int count = move_from(q, LINE_DUE, now, now);

	return count + move_from(q, LINE_OPENING, tq_clock_ns(), now);
}

/* The ready line of the group with the lowest priority value; 0: none. */
static uint32
ready_line_of(FlowQueue *q, int64 group_id)
{
	uint32 group = find_group(q, group_id);
	uint32 first = 0;

	if (group == 0)
		return 0;
	lift(q, group);
	settle_group(q, group);
	for (uint32 n = group_at(group)->lines; n != 0; n = line_at(n)->head.next)
	{
		if (line_at(n)->place == LINE_READY &&
			(first == 0 || line_at(n)->priority < line_at(first)->priority))
			first = n;
	}
	return first;
}

static bool
lanes_come_first(const FlowQueue *q, int16 lanes, const FlowLine *line)
{
	const FlowGroup *g = group_at(line->group);

	return lanes != NO_LANES &&
		   is_sooner(lanes, flow_running(q) - q->grouped_running, 1, q->ungrouped_turn,
					 line->priority, g->running, g->weight, g->turn);
}

/* How many tasks of the line are taken at once: it is one if other lines or the lanes wait. */
static int
share_of(const FlowQueue *q, uint32 n, int16 lanes, int max)
{
	const FlowLine *line = line_at(n);
	const FlowGroup *g = group_at(line->group);
	bool alone = lanes == NO_LANES && q->heaps[LINE_READY] == n && line->node.left == 0;

	if (g->is_ordered || !alone)
		max = 1;
	if (g->max_running != NO_LIMIT)
		max = Min(max, g->max_running - g->running);
	return tq_gcra_room(g->tat, &g->rate, max, tq_clock_ns());
}

/* handed: of the permits, so many were those of attempts that this transaction has ended. */
static void
begin_look(FlowQueue *q, uint32 n, int permits, int handed, LineLook *look)
{
	FlowLine *line = line_at(n);
	uint32 group = line->group;
	FlowGroup *g = group_at(group);

	*look = (LineLook){
		.queue = q,
		.group = group,
		.line = n,
		.group_id = g->id,
		.priority = line->priority,
		.ordered = g->is_ordered,
		.after_run_at = line->after_run_at,
		.after_id = line->after_id,
		.offers = line->offers,
		.permits = permits,
	};
	lift(q, group);
	change_running(q, g, permits - handed);
	g->inflight++;
	g->tat = tq_gcra_take(g->tat, &g->rate, permits, tq_clock_ns());
	g->turn = ++q->turns;
	look->rate = g->rate;
	look->tat = g->tat;
	settle_group(q, group);
}

bool
groups_any(const FlowQueue *q)
{
	return q->tree != 0 || !q->all_listed;
}

Turn
groups_begin(FlowQueue *q, int64 group_id, int16 lanes, int max, LineLook *look)
{
	Turn turn = TURN_LINE;
	uint32 n;

	flow_lock(q);
	(void) move_those_whose_time_has_come(q);
	n = group_id != 0 ? ready_line_of(q, group_id) : q->heaps[LINE_READY];
	if (n == 0)
		turn = lanes != NO_LANES ? TURN_LANES : TURN_NOBODY;
	else if (lanes_come_first(q, lanes, line_at(n)))
		turn = TURN_LANES;
	else if (group_at(line_at(n)->group)->limits != pg_atomic_read_u32(&q->limits))
	{
		turn = TURN_LIMITS;
		look->group_id = group_at(line_at(n)->group)->id;
	}
	else
		begin_look(q, n, share_of(q, n, lanes, max), 0, look);
	if (turn == TURN_LANES)
		q->ungrouped_turn = ++q->turns;
	flow_unlock(q);
	return turn;
}

/* The line of the group whose task is due and comes first; 0: none. */
static uint32
due_line_of(uint32 group, TimestampTz now)
{
	uint32 first = 0;

	for (uint32 n = group_at(group)->lines; n != 0; n = line_at(n)->head.next)
	{
		if (line_at(n)->due <= now &&
			(first == 0 || line_at(n)->priority < line_at(first)->priority))
			first = n;
	}
	return first;
}

Turn
groups_begin_handed(FlowQueue *q, int64 group_id, LineLook *look)
{
	Turn turn = TURN_NOBODY;
	uint32 group;
	uint32 n = 0;

	flow_lock(q);
	group = find_group(q, group_id);
	if (group != 0)
		n = due_line_of(group, GetCurrentTimestamp());
	if (n != 0)
	{
		const FlowGroup *g = group_at(group);
		bool current = g->limits == pg_atomic_read_u32(&q->limits);

		look->group_id = group_id;
		if (!current)
			turn = TURN_LIMITS;
		/* After a limit was lowered, more run than it allows: then no permit is handed on. */
		else if ((g->max_running == NO_LIMIT || g->running <= g->max_running) &&
				 tq_gcra_room(g->tat, &g->rate, 1, tq_clock_ns()) > 0)
		{
			turn = TURN_LINE;
			begin_look(q, n, 1, 1, look);
		}
	}
	flow_unlock(q);
	return turn;
}

/* Whether (run_at, id) lies behind the line's place. */
static bool
is_behind(const FlowLine *line, TimestampTz run_at, int64 id)
{
	return run_at > line->after_run_at || (run_at == line->after_run_at && id > line->after_id);
}

void
groups_end(const LineLook *look, const LineSeen *seen, int back)
{
	FlowQueue *q = look->queue;
	int unused = look->permits - seen->taken;
	FlowLine *line;
	FlowGroup *g;

	flow_lock(q);
	line = line_at(look->line);
	g = group_at(look->group);
	lift(q, look->group);
	change_running(q, g, -back);
	if (seen->taken == 0)
		g->inflight--;
	if (g->rate.interval_ns > 0)
		g->tat = tq_gcra_give_back(g->tat, &g->rate, unused);
	if (line->offers == look->offers)
	{
		if (is_behind(line, seen->after_run_at, seen->after_id))
		{
			line->after_run_at = seen->after_run_at;
			line->after_id = seen->after_id;
		}
		if (seen->at_end)
			line->due = seen->next_due;
	}
	settle_group(q, look->group);
	flow_unlock(q);
}

/* ---- ends of transactions ------------------------------------------------------------ */

uint32
groups_ending(FlowQueue *q, int64 group_id)
{
	uint32 n;

	flow_lock(q);
	n = find_group(q, group_id);
	if (n != 0)
	{
		group_at(n)->inflight++;
		settle_group(q, n);
	}
	flow_unlock(q);
	return n;
}

int
groups_told(FlowQueue *q, uint32 group, int32 running)
{
	FlowGroup *g;
	int ready;

	flow_lock(q);
	g = group_at(group);
	lift(q, group);
	change_running(q, g, running);
	g->inflight--;
	settle_group(q, group);
	ready = g->is_limited && running < 0 && count_ready(g) > 0 ? -running : 0;
	flow_unlock(q);
	return ready;
}

/* ---- offers -------------------------------------------------------------------------- */

/* Groups behind this one will be found in the index. */
static void
list_again(FlowQueue *q, int64 behind)
{
	q->listed = q->all_listed ? behind : Min(q->listed, behind);
	q->all_listed = false;
}

static bool
is_listed(const FlowQueue *q, int64 group_id)
{
	return q->all_listed || group_id <= q->listed;
}

/* The place moves back to just before this entry. */
static void
move_back(FlowLine *line, const Candidate *c)
{
	if (is_behind(line, c->run_at, c->id))
		return;
	line->after_run_at = c->run_at;
	line->after_id = c->id - 1;
}

/* If all waiting tasks of the group are known, a new line has no other task than this one. */
static void
offer_to_line(FlowQueue *q, uint32 n, bool made, const Candidate *c, TimestampTz due)
{
	FlowLine *line = line_at(n);

	take_out(q, n);
	if (made && is_listed(q, group_at(line->group)->id))
	{
		line->after_run_at = c->run_at;
		line->after_id = c->id - 1;
	}
	move_back(line, c);
	line->due = Min(line->due, due);
	line->offers++;
}

void
groups_offer(int32 queue_id, int64 group_id, const Candidate *c, TimestampTz due)
{
	FlowQueue *q = flow_find(queue_id);
	uint32 group;
	uint32 line = 0;
	bool made;

	idle_end(queue_id);
	if (q == NULL)
		return; /* nothing was read yet, so the group will be found */
	flow_lock(q);
	group = make_group(q, group_id);
	if (group != 0)
		line = make_line(q, group, c->priority, &made);
	if (line != 0)
	{
		offer_to_line(q, line, made, c, due);
		settle_group(q, group);
	}
	else
	{
		q->no_room = true;
		list_again(q, group_id - 1);
	}
	flow_unlock(q);
}

/* All lines are read from their left edges. */
static void
read_all_again(FlowQueue *q)
{
	uint32 end = flow_cells();

	for (uint32 n = 1; n < end; n++)
	{
		FlowLine *line = line_at(n);

		if (!flow_owns(q, n, CELL_LINE))
			continue;
		take_out(q, n);
		line->after_run_at = line->due = DT_NOBEGIN;
		line->after_id = 0;
		line->offers++;
		settle_group(q, line->group);
	}
	list_again(q, PG_INT64_MIN);
}

void
groups_offer_many(int32 queue_id)
{
	FlowQueue *q = flow_find(queue_id);

	idle_end(queue_id);
	if (q == NULL)
		return;
	flow_lock(q);
	read_all_again(q);
	flow_unlock(q);
}

void
groups_begin_anew(FlowQueue *q)
{
	uint32 sweeps = flow_sweeps();
	uint32 uncounted = flow_uncounted();

	flow_lock(q);
	if (q->sweeps != sweeps)
	{
		read_all_again(q);
		q->counted = q->counted && q->uncounted == uncounted;
		q->counted_at = 0;
		q->sweeps = sweeps;
		q->uncounted = uncounted;
	}
	flow_unlock(q);
}

bool
groups_found(FlowQueue *q, int64 group_id, int16 priority)
{
	uint32 group;
	uint32 line = 0;
	bool made = false;

	flow_lock(q);
	group = make_group(q, group_id);
	if (group != 0)
		line = make_line(q, group, priority, &made);
	if (made && line != 0)
	{
		line_at(line)->due = DT_NOBEGIN;
		line_at(line)->offers++;
		settle_group(q, group);
	}
	if (line == 0)
		q->no_room = true;
	flow_unlock(q);
	return line != 0;
}

bool
groups_to_list(FlowQueue *q, int64 *behind)
{
	bool any;

	flow_lock(q);
	any = !q->all_listed;
	*behind = q->listed;
	flow_unlock(q);
	return any;
}

void
groups_listed(FlowQueue *q, int64 behind, int64 up_to, bool at_end)
{
	flow_lock(q);
	/* Otherwise another session has read as well, or groups are to be read again. */
	if (!q->all_listed && q->listed == behind)
	{
		q->listed = up_to;
		q->all_listed = at_end;
		q->no_room = q->no_room && !at_end;
	}
	flow_unlock(q);
}

/* ---- limits -------------------------------------------------------------------------- */

void
groups_set_limits(FlowQueue *q, int64 group_id, uint32 generation, const GroupLimits *limits)
{
	uint32 n;

	flow_lock(q);
	n = find_group(q, group_id);
	if (n != 0)
	{
		FlowGroup *g = group_at(n);
		bool had_rate = g->rate.interval_ns > 0;

		lift(q, n);
		g->limits = generation;
		g->max_running = limits->ordered ? 1 : limits->max_running;
		if (limits->ordered && limits->max_running == 0)
			g->max_running = 0;
		g->weight = limits->weight;
		g->is_ordered = limits->ordered;
		g->rate = limits->rate;
		g->is_limited = g->max_running != NO_LIMIT || g->rate.interval_ns > 0;
		if (!had_rate)
			g->tat = groups_tat_of_unknown(&g->rate, limits->tat);
		settle_group(q, n);
	}
	flow_unlock(q);
}

/* Whether a limit may keep the group from having tasks that wait. */
static bool
is_kept(const FlowGroup *g)
{
	for (uint32 n = g->lines; n != 0; n = line_at(n)->head.next)
	{
		const FlowLine *line = line_at(n);

		if (line->due != DT_NOEND &&
			(line->place == LINE_NOWHERE || line->place == LINE_OPENING))
			return true;
	}
	return false;
}

int
groups_stale(FlowQueue *q, uint32 *cursor, uint32 generation, int64 *ids, int max)
{
	uint32 end = flow_cells();
	uint32 n = Max(*cursor, 1);
	int count = 0;

	flow_lock(q);
	for (; n < end && count < max; n++)
	{
		if (flow_owns(q, n, CELL_GROUP) && group_at(n)->limits != generation &&
			is_kept(group_at(n)))
			ids[count++] = group_at(n)->id;
	}
	flow_unlock(q);
	*cursor = n;
	return count;
}

void
groups_placed(FlowQueue *q, uint32 generation)
{
	flow_lock(q);
	q->placed_limits = generation;
	flow_unlock(q);
}

/* ---- looks --------------------------------------------------------------------------- */

bool
groups_ready(FlowQueue *q)
{
	bool ready;

	flow_lock(q);
	(void) move_those_whose_time_has_come(q);
	ready = q->heaps[LINE_READY] != 0;
	flow_unlock(q);
	return ready;
}

TimestampTz
groups_next_due(FlowQueue *q, TimestampTz now)
{
	TimestampTz next;

	flow_lock(q);
	next = next_time(q, now);
	flow_unlock(q);
	return next;
}

void
groups_rate_opens(FlowQueue *q, TimestampTz at)
{
	q->rate_opens = Min(q->rate_opens, at);
	tell_timer(q, GetCurrentTimestamp());
}

/*
 * Whether time has made a task of the locked queue possible.  A session that looks at the queue may
 * have moved the line already, and only for itself: so a ready line counts if its time was told.
 */
static bool
becomes_due(FlowQueue *q, TimestampTz now)
{
	bool opens = q->rate_opens <= now;
	bool told = q->timer <= now;
	int moved;

	if (opens)
		q->rate_opens = DT_NOEND;
	moved = move_those_whose_time_has_come(q);
	q->timer = next_time(q, now);
	return opens || moved > 0 || (told && q->heaps[LINE_READY] != 0);
}

int
groups_become_due(TimestampTz now, int32 *ids, int max, TimestampTz *next)
{
	int count = 0;

	for (int i = 0; i < flow_count(); i++)
	{
		FlowQueue *q = flow_at(i);

		if (q->database != MyDatabaseId || q->timer == DT_NOEND)
			continue;
		flow_lock(q);
		if (q->database == MyDatabaseId && count == max)
			*next = now; /* the next call continues */
		else if (q->database == MyDatabaseId)
		{
			if (becomes_due(q, now))
				ids[count++] = q->queue_id;
			*next = Min(*next, q->timer);
		}
		flow_unlock(q);
	}
	return count;
}

#define STATES_AT_ONCE 256

static KnownGroup
state_of(const FlowGroup *g, TimestampTz now)
{
	KnownGroup s = {
		.group_id = g->id,
		.running = g->running,
		.max_running = g->max_running,
		.ordered = g->is_ordered,
		.due = DT_NOEND,
		.opens = DT_NOBEGIN,
	};

	for (uint32 n = g->lines; n != 0; n = line_at(n)->head.next)
		s.due = Min(s.due, line_at(n)->due);
	if (g->rate.interval_ns > 0)
		s.opens = now + (tq_gcra_opens(g->tat, &g->rate) - tq_clock_ns()) / 1000 + 1;
	return s;
}

/* Copies some states, from cell *cursor on; returns how many. */
static int
copy_states(FlowQueue *q, int64 group_id, uint32 *cursor, KnownGroup *states)
{
	TimestampTz now = GetCurrentTimestamp();
	uint32 end = flow_cells();
	int count = 0;

	flow_lock(q);
	for (; *cursor < end && count < STATES_AT_ONCE; (*cursor)++)
	{
		const FlowGroup *g = group_at(*cursor);

		if (flow_owns(q, *cursor, CELL_GROUP) && !g->is_idle &&
			(group_id == 0 || g->id == group_id))
			states[count++] = state_of(g, now);
	}
	flow_unlock(q);
	return count;
}

KnownGroup *
groups_states(FlowQueue *q, int64 group_id, int *count)
{
	int room = STATES_AT_ONCE;
	KnownGroup *states = palloc_array(KnownGroup, room);
	uint32 cursor = 1;

	*count = 0;
	while (cursor < flow_cells())
	{
		if (room < *count + STATES_AT_ONCE)
		{
			room *= 2;
			states = repalloc_huge(states, mul_size(room, sizeof(KnownGroup)));
		}
		*count += copy_states(q, group_id, &cursor, states + *count);
	}
	return states;
}

/* ---- counting ------------------------------------------------------------------------ */

static void
set_running(FlowQueue *q, uint32 n, int32 running)
{
	FlowGroup *g = group_at(n);

	lift(q, n);
	change_running(q, g, running - g->running);
	settle_group(q, n);
}

static void
set_all_to_none(FlowQueue *q, uint32 end)
{
	for (uint32 n = 1; n < end; n++)
	{
		if (flow_owns(q, n, CELL_GROUP))
			set_running(q, n, 0);
	}
}

/* False: there is no room for one of them. */
static bool
set_counted(FlowQueue *q, const GroupCount *groups, int ngroups)
{
	for (int i = 0; i < ngroups; i++)
	{
		uint32 n = make_group(q, groups[i].group_id);

		if (n == 0)
		{
			q->no_room = true;
			return false;
		}
		set_running(q, n, groups[i].running);
	}
	return true;
}

bool
groups_set_running(FlowQueue *q, uint64 word, int32 running, const GroupCount *groups, int ngroups)
{
	bool done;

	flow_lock(q);
	done = !flow_groups_in_flight(q) && flow_set_running(q, word, running);
	if (done)
	{
		set_all_to_none(q, flow_cells());
		done = set_counted(q, groups, ngroups);
		q->counted = done;
		q->counted_at = GetCurrentTimestamp();
	}
	flow_unlock(q);
	return done;
}
