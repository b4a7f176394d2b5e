-- What became of a task: results and answers, waiting for them, and retry().

-- The public functions result() and response() check that the caller may see the task.
-- Then they run the private functions as taskq_owner.

create function taskq.retry(id bigint, run_at timestamptz default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_retry';
comment on function taskq.retry is
	E'Makes a dead, cancelled or expired task pending again, with the same id, content and options. Its attempts and its '
	'age count from zero, and its failed attempts are forgotten.\n'
	'id: the id of the task.\n'
	'run_at: the task is not due before this time. Default: now.\n'
	'Returns false if the task is live, is not known any more, or is of a queue that the caller may not control.\n'
	'Errors: TQ001 if its queue was dropped; TQ003 if another task has its key; TQ004 bad argument; TQ009 if the task has '
	'finished, or if its queue has another mode now; 25006 on a standby or in a read-only transaction.';

create function taskq_private.result(id bigint)
returns table (queue text, state taskq.state, result jsonb, error text, ended_at timestamptz)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
	select (select q.name from taskq_private.all_queues q where q.id = t.queue_id),
		case when l.id is null then 'pending' else 'running' end::taskq.state, null::jsonb,
		(select a.error from taskq_private.attempt a where a.task_id = t.id order by a.attempt desc limit 1), null::timestamptz
	from taskq_private.task t left join taskq_private.lease l on l.id = t.id
	where t.id = result.id
	union all
	select h.queue, h.state, h.result, h.error, h.ended_at from taskq_private.all_history h where h.id = result.id
$$;

create function taskq.result(id bigint) returns table (state taskq.state, result jsonb, error text, ended_at timestamptz)
language c stable parallel restricted rows 1 as 'MODULE_PATHNAME', 'taskq_result';
comment on function taskq.result is
	E'The state of a task and what it ended with.\n'
	'id: the id of the task.\n'
	'Returns one row. result: of a finished task. error: of a dead, cancelled or expired task; while the task lives, that '
	'of its last failed attempt. ended_at: NULL while the task lives.\n'
	'No row: the task is not known, is no longer kept, or is of a queue on which the caller has neither the privilege '
	'submit nor view.';

create function taskq_private.response(id bigint)
returns table (queue text, status int, headers jsonb, body bytea, truncated boolean, elapsed interval)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
	(select (select q.name from taskq_private.task t join taskq_private.all_queues q on q.id = t.queue_id where t.id = a.task_id),
		a.status, a.headers, a.body, a.truncated, a.elapsed from taskq_private.attempt a
	where a.task_id = response.id and a.status is not null order by a.attempt desc, a.ended_at desc limit 1)
	union all
	select h.queue, h.status, h.response_headers, h.response_body, h.truncated, h.elapsed from taskq_private.all_history h
	where h.id = response.id and h.status is not null
$$;

create function taskq.response(id bigint) returns table (status int, headers jsonb, body bytea, truncated boolean, elapsed interval)
language c stable parallel restricted rows 1 as 'MODULE_PATHNAME', 'taskq_response';
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
	'With the library preloaded, the end of the task wakes it; otherwise it looks every taskq.poll_interval.\n'
	'Errors: TQ004 bad argument; TQ009 in a transaction block, in a function, or after changes, such as the submit of that '
	'task.';
