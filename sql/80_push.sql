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

-- Notifies those who LISTEN for pull queues: see src/notify.c.
create function taskq_private.notify(queue_ids int[]) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_notify';

-- Looks for due tasks that came by a way which tells nobody of them: see
-- src/sweep.c.  One step; false: there is more to look at.
create function taskq_private.sweep() returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_sweep';

-- Ends the attempt of a lease that is still as it was; false: somebody has it in hand.
create function taskq_private.lose_lease(id bigint, token bigint, lease_until timestamptz) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_lose_lease';

-- A lease that cannot be ended is left alone for a minute.
create function taskq_private.put_off(id bigint) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update taskq_private.lease l set lease_us = coalesce(l.lease_us, extract(epoch from l.lease_until - l.started_at) * 1000000),
		lease_until = clock_timestamp() + interval '1 minute' where l.id = put_off.id;
$$;

-- As lose_lease(), for a lease that must not keep others from theirs.
create function taskq_private.try_lose_lease(id bigint, token bigint, lease_until timestamptz) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq_private.lose_lease(id, token, lease_until);
exception
when lock_not_available then
	raise;	-- a table is locked: all is tried again with the next poll
when others then
	raise log 'could not take back the lease of task %: SQLSTATE %', id, sqlstate;
	perform taskq_private.put_off(id);
	return false;
end
$$;

create function taskq_private.look_ahead(queue_id int) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_look_ahead';

-- At the executor's start: takes back what the one before held when it died,
-- and finds out when the next tasks of all queues are due.
create function taskq_private.push_recover() returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	lock table taskq_private.queue in access share mode;
	select taskq_private.look_ahead(q.id) from taskq_private.all_queues q;
	select count(*) filter (where taskq_private.try_lose_lease(l.id, l.token, l.lease_until))
	from (select l.* from taskq_private.lease l join taskq_private.all_queues q on q.id = l.queue_id
		where l.worker = 'executor' and q.mode = 'push' order by l.id) as l
$$;

-- What shared memory knows of leases: see src/expiry.c.  Ids of those that have
-- run out, NULL where it may not know all; when the next one does.
create function taskq_private.lapsed() returns bigint[]
language c volatile as 'MODULE_PATHNAME', 'taskq_lapsed';

create function taskq_private.next_lapse(since timestamptz) returns timestamptz
language c volatile strict as 'MODULE_PATHNAME', 'taskq_next_lapse';

create function taskq_private.fill_leases() returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_fill_leases';

create function taskq_private.lose_lapsed(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_lose_lapsed';

-- As try_lose_lease(), for a lease that is said to have run out.
create function taskq_private.try_lose_lapsed(id bigint) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq_private.lose_lapsed(id);
exception
when lock_not_available then
	raise;
when others then
	raise log 'could not take back the lease of task %: SQLSTATE %', id, sqlstate;
	perform taskq_private.put_off(id);
	return false;
end
$$;

-- Ends what was not started in time, takes expired leases back; the
-- milliseconds until there is more of either, NULL if there is none.
create function taskq_private.expire_leases() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	lapsed bigint[];
	began timestamptz;
	next timestamptz;
begin
	-- As every call of the executor begins: see executor_call() in src/queue.c.
	lock table taskq_private.queue in access share mode;
	-- What runs out during the look is still to come.
	began := clock_timestamp();
	if not taskq_private.copied() then
		perform taskq_private.expire_starts();
	end if;
	lapsed := taskq_private.lapsed();
	if lapsed is null then
		perform taskq_private.try_lose_lease(l.id, l.token, l.lease_until)
			from (select * from taskq_private.lease where lease_until <= clock_timestamp() order by id) as l;
		perform taskq_private.fill_leases();
		next := (select min(l.lease_until) from taskq_private.lease l where l.lease_until > began);
	else
		perform taskq_private.try_lose_lapsed(x.id) from (select unnest(lapsed) order by 1) as x (id);
		next := taskq_private.next_lapse(began);
	end if;
	next := least(next, (select min(start_by) from taskq_private.start_limit where start_by > began));
	-- One that has run out and is still there is looked at again when something has been committed.
	return case when next is not null then
		greatest(0, ceil(1000 * extract(epoch from next - clock_timestamp()))) end::bigint;
end
$$;
