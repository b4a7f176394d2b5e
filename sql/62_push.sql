-- The protocol between a sender of push tasks and the database.  The executor passes NULL
-- as worker and serves the queues whose executor is builtin.  An external worker passes
-- its name and serves, of the queues that it names (NULL: all), those whose executor is
-- external and on which it has the privilege work.  src/core/protocol.h is the other side.
-- Arguments are checked: TQ004 for a bad one, TQ006 for one that is too large.  worker: 1 to
-- 57 bytes without control characters.

-- The names of the queues that an external worker serves.
create function taskq_private.push_queues(queues text[]) returns setof text
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_queues';

create function taskq_private.push_claim(max_tasks int, queues text[], worker text)
returns table (id bigint, token bigint, lease_ms bigint, timeout_ms bigint, method text, url text, headers text[], body bytea)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_claim';

-- next_ms: milliseconds until the next task becomes due, or until a due task of an
-- endpoint may be sent.  limited: tasks are due, but their endpoints have max_running
-- requests under way.  armed: whether the database is; NULL: nothing was submitted in it yet.
create function taskq_private.push_next_due(queues text[], worker text, out next_ms bigint, out limited boolean, out armed boolean)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_next_due';

-- The outcome of one request.  verdict: success, retry or permanent.  class: one of those that
-- the view attempts shows; any other is stored as internal.  status: 100 to 999.  headers: at
-- most 32 kB.  body: at most 64 MB.  elapsed: 0 to 30 days.  error: the first 8192 bytes are
-- kept.  retry_after: 0 to 366 days.  times: an object of dns, connect, tls and first_byte,
-- each an interval of 0 to 30 days.  Returns false if the lease is lost, NULL if another session
-- has it in hand.  A success with status 202 leaves the task running if its queue has accept_202: the
-- lease is the receiver's from then on.
create function taskq_private.push_report(id bigint, token bigint, verdict text, class text, status int, headers bytea, body bytea,
	truncated boolean, elapsed interval, error text, retry_after interval, times jsonb) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_report';

-- The outcomes of many requests: what push_report() takes and returns, in arrays of one length.  NULL
-- instead of an array stands for NULLs.  If one of them is refused, none is stored.
create function taskq_private.push_report_many(ids bigint[], tokens bigint[], verdicts text[], classes text[], statuses int[],
	headers bytea[], bodies bytea[], truncated boolean[], elapsed interval[], errors text[], retry_after interval[], times jsonb[])
returns boolean[]
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_report_many';

-- Extends leases.  Returns the ids of those that are lost.
create function taskq_private.push_extend(ids bigint[], tokens bigint[]) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_extend';

-- Gives tasks back that were not sent.  Returns the ids of those that another session has
-- locked; try them again later.
create function taskq_private.push_release(ids bigint[], tokens bigint[], delay interval) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_release';

-- Pauses an endpoint that has answered 410 Gone to a task.  false: another session has
-- locked its row; try again later.
create function taskq_private.pause_gone(queue_id int, task_id bigint) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	update taskq_private.queue q
		set (paused, pause_reason) = (true, format('the endpoint answered 410 Gone to task %s', task_id))
		where q.id = (select t.id from taskq_private.queue t where t.id = pause_gone.queue_id for update skip locked);
	if found then
		perform taskq_private.queues_changed();
	end if;
	return found;
end
$$;
