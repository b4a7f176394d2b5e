-- What became of a task: results and answers, waiting for them, and retry().

create function taskq.retry(id bigint, run_at timestamptz default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_retry';
comment on function taskq.retry is
	E'Makes a dead, cancelled or expired task pending again, with the same id, content and options. Its attempts and its '
	'age count from zero, and its failed attempts are forgotten.\n'
	'id: the id of the task.\n'
	'run_at: the task is not due before this time. Default: now.\n'
	'A dead task of a topic is a message that could not be published. It is published again, as tasks with ids of their own.\n'
	'Returns false if the task is live, is not known any more, or is of a queue that the caller may not control.\n'
	'Errors: TQ001 if its queue was dropped; TQ003 if another task has its key; TQ004 bad argument; TQ009 if the task has '
	'finished, if its content could not be kept, or if its queue has another mode now; 25006 on a standby or in a read-only transaction.';

-- The tasks that redrive() brings back, with their numbers, from 0, in the order of their ends.
-- Not those that retry() refuses.
create function taskq_private.redrivable(queue text, queue_id int, push boolean, states text[], kind text, error text,
	ended_after timestamptz, ended_before timestamptz, max_tasks int)
returns table (id bigint, key text, n bigint)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select c.id, c.key, row_number() over (order by c.ended_at, c.id) - 1
	from (
		select h.id, h.key, h.ended_at from taskq_private.all_history h
		where h.queue = redrivable.queue and h.push = redrivable.push and h.content_lost is null
			and (h.call is not null) = exists (select from taskq_private.all_queues q where q.id = redrivable.queue_id and q.mode = 'call')
			and h.state = any ((select redrivable.states::taskq.state[])::taskq.state[])
			and (redrivable.kind is null or h.kind = redrivable.kind)
			and (ended_after is null or h.ended_at >= ended_after)
			and (ended_before is null or h.ended_at < ended_before)
			and not exists (select from taskq_private.key k where k.queue_id = redrivable.queue_id and k.key = h.key collate "C"
				and k.id <> h.id and (k.taken_until is null or k.taken_until > clock_timestamp()))
			and (redrivable.error is null or h.error ~ redrivable.error)
		order by h.ended_at, h.id limit max_tasks
	) as c
$$;

create function taskq.redrive(queue text, states taskq.state[] default '{dead}', kind text default null, error text default null,
	ended_after timestamptz default null, ended_before timestamptz default null, max_tasks int default 1000,
	spread interval default '0') returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_redrive';
comment on function taskq.redrive is
	E'retry() for many tasks of a queue, those that ended first. Ids, content and options stay; attempts and age count from '
	'zero.\n'
	'queue: the name of the queue.\n'
	'states: among dead, cancelled and expired.\n'
	'kind: only tasks of this kind.\n'
	'error: only tasks whose error matches this regular expression. The search may take 30 s.\n'
	'ended_after, ended_before: only tasks that ended at or after the one time and before the other.\n'
	'max_tasks: 1 to 100000. Call it again, in a new transaction, while it returns this number.\n'
	'spread: the tasks become due evenly over this time from now, 0 to 36525 days.\n'
	'Tasks that retry() refuses are passed over: their key is taken, their content could not be kept, or the queue has '
	'another mode now. So are tasks that another session brings back at this moment.\n'
	'Returns the number of tasks that are pending again.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege control on the queue; 2201B error is no regular '
	'expression; 57014 its search took longer than 30 s; 25006 on a standby or in a read-only transaction.';

-- The public functions result(), results() and response() check that the caller may see the
-- task.  They run the private functions as taskq_owner.

create function taskq_private.result(id bigint)
returns table (queue text, state taskq.state, result jsonb, error text, ended_at timestamptz)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(d.name, (select q.name from taskq_private.all_queues q where q.id = t.queue_id)),
		case when d.id is not null then 'cancelled' when l.id is null then 'pending' else 'running' end::taskq.state, null::jsonb,
		case when d.id is not null then 'queue dropped'
			else (select a.error from taskq_private.attempt a where a.task_id = t.id order by a.attempt desc limit 1) end,
		d.dropped_at
	from taskq_private.task t
		left join taskq_private.lease l on l.id = t.id
		left join taskq_private.dropped_queue d on d.id = t.queue_id
	where t.id = result.id
	union all
	select h.queue, h.state, h.result, h.error, h.ended_at from taskq_private.all_history h where h.id = result.id
$$;

create function taskq.result(id bigint) returns table (state taskq.state, result jsonb, error text, ended_at timestamptz)
language c stable parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_result';
comment on function taskq.result is
	E'The state of a task and what it ended with.\n'
	'id: the id of the task.\n'
	'Returns one row. result: of a finished task. error: of a dead, cancelled or expired task; while the task lives, that '
	'of its last failed attempt. ended_at: NULL while the task lives.\n'
	'No row: the task is not known, is no longer kept, or is of a queue on which the caller has neither the privilege '
	'submit nor view.';

-- For each of the ids, in their order, what result() returns; NULLs for an id that is not known.
-- The settings are for plans that are made without knowing how many ids there are.
create function taskq_private.results(ids bigint[])
returns table (n int, id bigint, queue text, state taskq.state, result jsonb, error text, ended_at timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_seqscan = off
set jit = off
as $$
	with known as materialized (
		select t.id,
			coalesce(d.name, (select q.name from taskq_private.all_queues q where q.id = t.queue_id)) as queue,
			case when d.id is not null then 'cancelled'
				when exists (select from taskq_private.lease l where l.id = t.id) then 'running' else 'pending' end::taskq.state as state,
			null::jsonb as result,
			case when d.id is not null then 'queue dropped'
				else (select a.error from taskq_private.attempt a where a.task_id = t.id order by a.attempt desc limit 1) end as error,
			d.dropped_at as ended_at
		from taskq_private.task t left join taskq_private.dropped_queue d on d.id = t.queue_id
		where t.id = any (results.ids)
		union all
		select h.id, h.queue, h.state, h.result, h.error, h.ended_at from taskq_private.all_history h where h.id = any (results.ids)
	)
	select x.n::int, x.id, k.queue, k.state, k.result, k.error, k.ended_at
	from unnest(results.ids) with ordinality as x (id, n) left join known k on k.id = x.id
	order by x.n
$$;

create function taskq.results(ids bigint[])
returns table (ord int, id bigint, state taskq.state, result jsonb, error text, ended_at timestamptz)
language c stable parallel unsafe as 'MODULE_PATHNAME', 'taskq_results';
comment on function taskq.results is
	E'result() for many tasks.\n'
	'ids: the ids of the tasks, at most 100000.\n'
	'Returns one row for each element of ids, in their order. ord: the number of the element, from 1. The other columns: see '
	'result(). state is NULL if result() would return no row.\n'
	'Errors: TQ004 bad argument.';

create function taskq_private.response(id bigint)
returns table (queue text, status int, headers jsonb, body bytea, truncated boolean, elapsed interval)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
	(select (select q.name from taskq_private.task t join taskq_private.queue_names q on q.id = t.queue_id where t.id = a.task_id),
		a.status, a.headers, a.body, a.truncated, a.elapsed from taskq_private.attempt a
	where a.task_id = response.id and a.status is not null order by a.attempt desc, a.ended_at desc limit 1)
	union all
	select h.queue, h.status, h.response_headers, h.response_body, h.truncated, h.elapsed from taskq_private.all_history h
	where h.id = response.id and h.status is not null
$$;

create function taskq.response(id bigint) returns table (status int, headers jsonb, body bytea, truncated boolean, elapsed interval)
language c stable parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_response';
comment on function taskq.response is
	E'The last HTTP answer to a task.\n'
	'id: the id of the task.\n'
	'Returns one row. headers: names in lower case; several headers of one name are an array. body: as received, up to '
	'taskq.http_max_response bytes. truncated: the body was longer. elapsed: how long the exchange took.\n'
	'No row: there was no answer yet, it is no longer kept, or the caller may not see the task, as in result().';

create procedure taskq.wait(id bigint, timeout interval default '30 s', inout state taskq.state default null,
	inout result jsonb default null)
language c as 'MODULE_PATHNAME', 'taskq_wait';
comment on procedure taskq.wait is
	E'Waits until a task has ended. It holds no snapshot, lock or transaction while it waits, so CALL it by itself, outside '
	'a transaction block.\n'
	'id: the id of the task.\n'
	'timeout: how long to wait at most, 0 to 1 day.\n'
	'state, result: return what result() shows then. state is pending or running if the time is up, and NULL if the task '
	'is not known or not kept.\n'
	'With the library preloaded, the end of the task wakes it; otherwise it looks every taskq.poll_interval. It returns '
	'before statement_timeout would end it. Through a transaction pooler it occupies a connection of the pool while it waits.\n'
	'Errors: TQ004 bad argument; TQ009 in a transaction block, in a function, or after changes, such as the submit of that '
	'task.';

create procedure taskq.wait_all(ids bigint[], timeout interval default '30 s', inout ended int default null)
language c as 'MODULE_PATHNAME', 'taskq_wait_all';
comment on procedure taskq.wait_all is
	E'Waits until all of these tasks have ended. It holds no snapshot, lock or transaction while it waits, so CALL it by '
	'itself, outside a transaction block.\n'
	'ids: the ids of the tasks, at most 100000.\n'
	'timeout: how long to wait at most, 0 to 1 day.\n'
	'ended: returns how many elements of ids have ended: all, or as many as have when the time is up. A task that is not '
	'known, not kept, or of a queue on which the caller has neither the privilege submit nor view counts as ended, because '
	'nothing is left to wait for.\n'
	'With the library preloaded, the ends of the tasks wake it; otherwise it looks every taskq.poll_interval. Call results() '
	'next.\n'
	'Errors: TQ004 bad argument; TQ009 in a transaction block, in a function, or after changes, such as the submit of these '
	'tasks.';
