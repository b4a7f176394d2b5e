-- The protocol between those who send push tasks and the database: the executor,
-- which gives no name as worker and has the queues that are builtin; and others,
-- which have those that are external and that they may work on, of the queues
-- they name (NULL: all).  src/core/protocol.h has the other side.

create function taskq_private.push_queues(queues text[]) returns setof text
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_queues';

create function taskq_private.push_claim(max_tasks int, queues text[], worker text)
returns table (id bigint, token bigint, lease_ms bigint, timeout_ms bigint, method text, url text, headers text[], body bytea)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_claim';

-- Milliseconds until a task is due that is not yet, or may be sent that may not;
-- limited: some are due, but their endpoints have all under way that they may;
-- armed: whether the database is, NULL when nothing was submitted in it yet.
create function taskq_private.push_next_due(queues text[], worker text, out next_ms bigint, out limited boolean, out armed boolean)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_next_due';

create function taskq_private.push_report(id bigint, token bigint, verdict text, class text, status int, headers bytea, body bytea,
	truncated boolean, elapsed interval, error text, retry_after interval, times jsonb) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_report';

create function taskq_private.push_extend(ids bigint[], tokens bigint[]) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_extend';

-- The ids of those that somebody else has in hand just now.
create function taskq_private.push_release(ids bigint[], tokens bigint[], delay interval) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_release';

-- An endpoint has answered 410 Gone to a task; false: somebody has its row in hand.
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
