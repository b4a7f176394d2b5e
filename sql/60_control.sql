-- Results, revival, arming.

create function taskq._wake_executor() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_wake_executor';

-- A sweep follows the commit: see 80_push.sql.
create function taskq._sweep_soon() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_sweep_soon';

-- retry(), result() and response() look whether the caller may know of the
-- task, then do as taskq_owner what stands in the private functions: src/front.c.

create function taskq._made_pending(id bigint) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_made_pending';

create function taskq._retry(id bigint, run_at timestamptz) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	h taskq._history%rowtype;
	q taskq._queues%rowtype;
	due timestamptz;
begin
	-- Whoever deletes the row of history brings the task back: a second caller waits and finds nothing.
	delete from taskq.history x where x.id = _retry.id and x.state <> 'finished' returning * into h;
	if not found then
		delete from taskq.history_rest x where x.id = _retry.id and x.state <> 'finished' returning * into h;
	end if;
	if not found then
		if exists (select from taskq._history x where x.id = _retry.id) then
			raise exception using errcode = 'TQ009', message = format('task %s has finished', id),
				detail = 'A task that succeeded is not run again.', hint = 'Submit a new task.';
		end if;
		return false;
	end if;
	select * into q from taskq._queues x where x.name = h.queue;
	if not found then
		raise exception using errcode = 'TQ001', message = format('queue "%s" does not exist', h.queue),
			detail = format('Task %s was in it.', id), hint = 'Create the queue again with taskq.create_queue().';
	end if;
	if h.push <> (q.mode = 'push') then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has another mode now', h.queue),
			detail = format('Task %s was submitted to a %s queue.', id, case when h.push then 'push' else 'pull' end),
			hint = 'Submit a new task.';
	end if;
	if h.key is not null then
		insert into taskq.key as k (queue_id, key, id) values (q.id, h.key, h.id)
			on conflict on constraint key_pkey do update set id = excluded.id, taken_until = null
			where k.id = excluded.id or k.taken_until <= clock_timestamp();
		if not found then
			raise exception using errcode = 'TQ003', message = format('key "%s" is taken in queue "%s"', h.key, h.queue),
				detail = format('Another task has the key of task %s now.', id), hint = 'Cancel that task, or leave this one.';
		end if;
	end if;
	due := greatest(coalesce(run_at, clock_timestamp()), clock_timestamp());
	insert into taskq.task (id, submitted_at, run_at, queue_id, attempt, max_attempts, priority, revived_at, timeout, key, kind,
			retry, payload, method, url, headers, body)
		values (h.id, h.submitted_at, due, q.id, 0, h.max_attempts, h.priority, clock_timestamp(), h.timeout, h.key, h.kind,
			h.retry, h.payload, h.method, h.url, h.headers, h.body);
	perform taskq._made_pending(h.id);
	return true;
end
$$;

create function taskq.retry(id bigint, run_at timestamptz default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_retry';
comment on function taskq.retry(bigint, timestamptz) is
'Brings a dead, cancelled or expired task back, with the same id, its attempts and age counted from zero; the failed attempts of its former life are forgotten. run_at: not before that time; default now. Result: false when the task is live, not known any more, or of a queue that the caller may not control. Errors: TQ009 when it has finished, TQ003 when another task has its key, TQ001 when its queue is gone, TQ009 also when that has another mode now, TQ004.';

create function taskq._result(id bigint) returns table (queue text, state taskq.state, result jsonb, error text, ended_at timestamptz)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
	select (select q.name from taskq._queues q where q.id = t.queue_id),
		case when l.id is null then 'pending' else 'running' end::taskq.state, null::jsonb,
		(select a.error from taskq.attempt a where a.task_id = t.id order by a.attempt desc limit 1), null::timestamptz
	from taskq.task t left join taskq.lease l on l.id = t.id
	where t.id = _result.id
	union all
	select h.queue, h.state, h.result, h.error, h.ended_at from taskq._history h where h.id = _result.id
$$;

create function taskq.result(id bigint) returns table (state taskq.state, result jsonb, error text, ended_at timestamptz)
language c stable parallel restricted rows 1 as 'MODULE_PATHNAME', 'taskq_result';
comment on function taskq.result(bigint) is
'The state of a task, and what it ended with: result (finished) or error. While it lives, error is that of the last failed attempt. No row: not known, no longer kept, or of a queue whose tasks the caller may neither submit nor view.';

create function taskq._response(id bigint)
returns table (queue text, status int, headers jsonb, body bytea, truncated boolean, elapsed interval)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
	(select (select q.name from taskq.task t join taskq._queues q on q.id = t.queue_id where t.id = a.task_id),
		a.status, a.headers, a.body, a.truncated, a.elapsed from taskq.attempt a
	where a.task_id = _response.id and a.status is not null order by a.attempt desc, a.ended_at desc limit 1)
	union all
	select h.queue, h.status, h.response_headers, h.response_body, h.truncated, h.elapsed from taskq._history h
	where h.id = _response.id and h.status is not null
$$;

create function taskq.response(id bigint) returns table (status int, headers jsonb, body bytea, truncated boolean, elapsed interval)
language c stable parallel restricted rows 1 as 'MODULE_PATHNAME', 'taskq_response';
comment on function taskq.response(bigint) is
'The last HTTP answer to a task: status, headers (names in lower case; several of one name are an array), body as received up to taskq.http_max_response, whether it was longer, and how long the exchange took. No row: there was none yet, it is no longer kept, or as with result() the caller may not know.';

create procedure taskq.wait(id bigint, timeout interval default '30 s', inout state taskq.state default null,
	inout result jsonb default null)
language c as 'MODULE_PATHNAME', 'taskq_wait';
comment on procedure taskq.wait(bigint, interval, taskq.state, jsonb) is
'Waits until a task has ended, at most timeout (0 to 1 day). state, result: as result() gives them then; state is pending or running when the time is up, and NULL for a task that is not known or whose queue keeps none. It holds no snapshot, lock or transaction while it waits, so CALL it by itself, outside a transaction block. Preloaded, the end of the task wakes it; else it looks every taskq.poll_interval. Errors: TQ004, TQ009 in a transaction block, in a function, or after changes, such as the submit of that task.';

-- Arming: a queue sends only in the database it was armed in, so that a dump
-- restored elsewhere, or a copied database, fires nothing by itself.

create function taskq._system_identifier() returns bigint
language c stable strict as 'MODULE_PATHNAME', 'taskq_system_identifier';

-- NULL: nothing was submitted here yet.
create function taskq._armed() returns boolean
language c stable parallel unsafe as 'MODULE_PATHNAME', 'taskq_armed';

-- Whether this may be a copy, perhaps not complete yet: nobody has armed it, or
-- somebody elsewhere.  One that was only disarmed is none.
create function taskq._copied() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select not coalesce(taskq._armed(), false) and not exists (select from taskq.arm a where a.database = 0)
$$;

create function taskq._arm_if_new() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	insert into taskq.arm
	select taskq._system_identifier(), d.oid from pg_database d
	where d.datname = current_database() and not exists (select from taskq.arm)
$$;

create function taskq.arm() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	delete from taskq.arm;
	insert into taskq.arm select taskq._system_identifier(), d.oid from pg_database d where d.datname = current_database();
	select taskq._queues_changed();
	select taskq._wake_executor();
	select taskq._poke_launcher();
	-- Nobody has told of the rows that a restore brought.
	select taskq._sweep_soon();
$$;
comment on function taskq.arm() is
'Lets the executor send requests from this database. A new installation is armed by its first create_queue() or submit(); a restored dump, a copied database and a cluster after pg_upgrade send nothing until this is called.';

create function taskq.disarm() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	delete from taskq.arm;
	insert into taskq.arm values (0, 0);
$$;
comment on function taskq.disarm() is
'Makes the executor send nothing more from this database, until arm() is called. Requests under way are not broken off.';
