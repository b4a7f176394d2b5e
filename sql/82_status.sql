-- status(): why nothing is sent or acquired.

-- The functions of this file that take queue_ids look at these queues only; NULL: at all.

-- Since when the oldest due task has been due, and its queue: looks at the first task of each priority.
create function taskq_private.oldest_due(queue_ids int[], out queue text, out due_since timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select q.name, head.run_at
	from taskq_private.all_queues q, generate_series(-16, 15) as p (priority),
		lateral (select t.run_at from taskq_private.task t where t.queue_id = q.id and t.priority = p.priority and t.group_id is null
				and not exists (select from taskq_private.lease l where l.id = t.id)
			order by t.queue_id, t.priority, t.run_at, t.id limit 1) as head
	where (queue_ids is null or q.id = any (queue_ids))
		and exists (select from taskq_private.task t where t.queue_id = q.id and t.group_id is null)
		and head.run_at <= clock_timestamp()
	order by head.run_at, q.name limit 1
$$;

-- What keeps VACUUM from removing dead rows of this database, the oldest first.
create function taskq_private.xmin_holders() returns table (holder text, xmin_age int)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select * from (
		select format('session with pid %s (%s)', a.pid, coalesce(nullif(a.state, ''), a.backend_type)), age(a.backend_xmin)
		from pg_stat_activity a
		where a.backend_xmin is not null and a.pid <> pg_backend_pid() and a.backend_type is distinct from taskq_private.executor_type()
			and coalesce(a.datname, current_database()) = current_database()
		union all
		select format('prepared transaction "%s"', p.gid), age(p.transaction) from pg_prepared_xacts p
		where p.database = current_database()
		union all
		select format('replication slot "%s"', s.slot_name), age(s.xmin) from pg_replication_slots s where s.xmin is not null
	) as h (holder, xmin_age)
	order by xmin_age desc
$$;

-- The dead rows in the tables that change most.
create function taskq_private.dead_rows() returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(sum(pg_stat_get_dead_tuples(to_regclass('taskq_private.' || t))), 0)::bigint
	from unnest(array['task', 'lease', 'key', 'start_limit', 'attempt']) t
$$;

-- The last failed attempt of a live task, or the last dead task among the thousand newest
-- ended ones.  What a worker has reported is only for roles that may view the task; what the
-- executor says about an exchange is for everybody.
create function taskq_private.last_failure(queue_ids int[])
returns table (task_id bigint, queue text, ended_at timestamptz, class text, reason text, dead boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select f.task_id, f.queue, f.ended_at, f.class,
		case when taskq_private.is_own_class(f.class) then f.error else 'reported by its worker' end, f.dead
	from (
		(select a.task_id, q.name::text, a.ended_at, a.class, a.error, false
			from taskq_private.attempt a
				left join taskq_private.task t on t.id = a.task_id
				left join taskq_private.all_queues q on q.id = t.queue_id
			where queue_ids is null or t.queue_id = any (queue_ids)
			order by a.ended_at desc limit 1)
		union all
		(select h.id, h.queue, h.ended_at, h.attempts -> -1 ->> 'class', h.error, true
			from (select * from taskq_private.all_history order by id desc limit 1000) as h
			where h.state = 'dead' and (queue_ids is null
				or h.queue = any (array(select q.name::text from taskq_private.all_queues q where q.id = any (queue_ids))))
			order by h.ended_at desc limit 1)
	) as f (task_id, queue, ended_at, class, error, dead)
	order by f.ended_at desc limit 1
$$;

-- Endpoints to which nothing is sent at present.
create function taskq_private.held_endpoints(queue_ids int[])
returns table (endpoint text, severity text, reason text, hint text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select q.name,
		case when e.secrets_missing then 'critical' when s.circuit <> 'closed' then 'warning' else 'information' end,
		case when e.secrets_missing then format('its %s must be given again', e.missing)
			when s.circuit <> 'closed' then format('%s requests in a row have failed, the next one is sent at %s', s.failures, s.next_start)
			else format('it has asked for nothing to be sent before %s', s.next_start) end,
		case when e.secrets_missing then format('A dump does not hold them. Call %s.',
				case e.missing when 'secret' then 'taskq.rotate_secret()' when 'headers' then 'taskq.alter_endpoint()'
					else 'taskq.alter_endpoint() for both' end)
			else format('See taskq.attempts, and taskq.endpoints where endpoint = %L.', q.name) end
	from taskq_private.endpoint_settings e
		join taskq_private.all_queues q on q.id = e.queue_id,
		lateral taskq_private.endpoint_state(e.queue_id) as s
	where (e.secrets_missing or s.circuit <> 'closed' or s.next_start > clock_timestamp())
		and (queue_ids is null or q.id = any (queue_ids))
	order by e.secrets_missing desc, s.circuit = 'closed', q.name
$$;

-- What the limit of a queue allows at present; all NULL without shared memory.
create function taskq_private.queue_limit_state(queue_id int, out running int, out max_running int, out opens_at timestamptz,
	out no_memory boolean)
language c stable as 'MODULE_PATHNAME', 'taskq_queue_limit_state';

-- Queues of which no task starts at present because of their limit, or because groups find no memory.
create function taskq_private.held_queues(queue_ids int[]) returns table (queue text, severity text, reason text, hint text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select q.name,
		case when s.no_memory or s.max_running = 0 then 'warning' else 'information' end,
		case when s.no_memory then 'groups wait for shared memory'
			when s.max_running = 0 then 'its limit is 0'
			when s.running >= s.max_running then format('as many tasks run as its limit allows, %s', s.max_running)
			else format('its rate lets the next task start at %s', s.opens_at) end,
		case when s.no_memory then 'Raise taskq.group_memory and restart the server.'
			else format('See taskq.limits; taskq.set_limit(%L, ...) changes it.', q.name) end
	from taskq_private.all_queues q,
		lateral taskq_private.queue_limit_state(q.id) as s
	where (queue_ids is null or q.id = any (queue_ids))
		and (s.no_memory or exists (select from taskq_private.flow_limit f where f.queue_id = q.id and f.scope = 'q'))
		and (s.no_memory or s.running >= s.max_running or s.opens_at is not null)
	order by s.no_memory desc, s.max_running = 0 desc nulls last, q.name
$$;

-- The failures of the executor as a sentence, and what to do about the one that came last.
create function taskq_private.failing(out detail text, out hint text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select 'The executor could not ' || string_agg(
			format('%s: %s (SQLSTATE %s, %s times since %s)', f.work, f.message, f.sqlstate, f.times, f.since), '; '
			order by f.last desc) || '.',
		case (array_agg(f.sqlstate order by f.last desc))[1]
			when '42501' then 'As a superuser, call taskq_private.grant_executor(): it gives the roles of taskq their rights again.'
			when '53000' then 'Give the server more of what is short (open files: ulimit -n), or lower taskq.http_max_inflight.'
			when '53400' then 'Raise max_worker_processes and restart the server.'
			when '55P03' then 'Another session holds a lock on a table of taskq: see pg_locks.'
			else 'See the server log for the whole error.' end
	from taskq_private.failures() f
$$;

-- Tables to which an administrator has attached something that taskq cannot honour: see
-- src/tables/attached.c.
create function taskq_private.table_faults() returns table (message text, detail text, hint text)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_table_faults';

-- The checks of status(), which decides of which queues the caller is told.
create function taskq_private.checks(queue_ids int[]) returns table ("check" text, severity text, detail text, hint text)
language plpgsql stable security definer rows 10
set search_path = pg_catalog, pg_temp
as $$
declare
	e record;
	due record;
	armed boolean;
	paused record;
	failing record;
	failed record;
	held record;
	refused record;
	schedules record;
	holder record;
	dead bigint;
	now_ timestamptz := clock_timestamp();
begin
	select * into e from taskq_private.executor_state();
	"check" := 'preloaded';
	severity := case when e.preloaded then 'ok' else 'warning' end;
	detail := case when e.preloaded then 'The library is preloaded.'
		else 'The library is not preloaded: tasks are found by polling, and the executor does not start by itself.' end;
	hint := case when not e.preloaded then 'Add taskq to shared_preload_libraries and restart the server.' end;
	return next;

	-- Not running by the will of an administrator is no alarm in the night.
	"check" := 'executor';
	severity := case when e.pid is not null then 'ok'
		when e.obstacle is not null or e.held_aside or not e.preloaded then 'warning'
		else 'critical' end;
	detail := case
		when e.pid is not null then format('The executor runs as process %s.', e.pid)
			|| case when e.resent > 0 then format(' It has sent %s requests a second time, because the receiver had closed the connection.',
				e.resent) else '' end
		when e.obstacle is not null then format('No executor runs: %s.', e.obstacle)
		when e.held_aside then 'The executor is stopped in this database.'
		when e.shortage then format('No executor runs: no background worker is free. The next try is at %s.', e.retry_at)
		when e.retry_at > clock_timestamp()
			then format('The executor has failed %s times and will be started again at %s.', e.failures, e.retry_at)
		when not e.preloaded then 'No executor was started since the server started.'
		else 'No executor runs.' end;
	hint := case
		when e.pid is not null then null
		when e.obstacle is not null then e.hint
		when e.shortage then 'Raise max_worker_processes and restart the server.'
		when e.retry_at > clock_timestamp() then 'See the server log for the reason.'
		else 'Call taskq.start_executor().' end;
	return next;

	"check" := 'failures';
	select * into failing from taskq_private.failing();
	severity := case when failing.detail is null then 'ok' else 'warning' end;
	detail := case when failing.detail is not null then failing.detail
		when not e.preloaded then 'Failures are not known without shared_preload_libraries: see the server log.'
		else 'Nothing that the executor does has failed the last time.' end;
	hint := case when severity <> 'ok' then failing.hint end;
	return next;

	"check" := 'armed';
	armed := taskq_private.armed();
	severity := case when coalesce(armed, true) then 'ok' else 'warning' end;
	detail := case
		when armed then 'Requests are sent from this database.'
		when not armed then 'This database was disarmed, or it is a copy of the one that was armed: no request is sent.'
		else 'Nothing was submitted in this database yet; the first submit arms it.' end;
	hint := case when not armed then 'Call taskq.arm() if requests are to be sent from here.' end;
	return next;

	"check" := 'tables';
	select * into refused from taskq_private.table_faults() limit 1;
	severity := case when refused.message is null then 'ok' else 'critical' end;
	detail := case when refused.message is null then 'The tables can be written.'
		else format('Tasks cannot be claimed or ended: %s. %s', refused.message, refused.detail) end;
	hint := refused.hint;
	return next;

	"check" := 'paused queues';
	select string_agg(format('"%s"%s', q.name, ' (' || q.pause_reason || ')'), ', ' order by q.pause_reason, q.name) as names,
			(array_agg(q.name order by q.pause_reason, q.name))[1] as first
		into paused
		from taskq_private.all_queues q where q.paused and (queue_ids is null or q.id = any (queue_ids));
	severity := case when paused.first is null then 'ok' else 'warning' end;
	detail := case when paused.first is null then 'No queue is paused.' else format('Paused: %s.', paused.names) end;
	hint := case when paused.first is not null then format('Call taskq.resume_queue(%L).', paused.first) end;
	return next;

	"check" := 'endpoints';
	select * into held from taskq_private.held_endpoints(queue_ids) limit 1;
	severity := coalesce(held.severity, 'ok');
	detail := case when held.endpoint is not null then format('"%s": %s.', held.endpoint, held.reason)
		when not e.preloaded then 'Circuits are not known: without shared_preload_libraries each sender only knows its own.'
		else 'Nothing holds the requests to an endpoint back.' end;
	hint := held.hint;
	return next;

	"check" := 'limits';
	select * into held from taskq_private.held_queues(queue_ids) limit 1;
	severity := coalesce(held.severity, 'ok');
	detail := case when held.queue is not null then format('Queue "%s": %s.', held.queue, held.reason)
		when not e.preloaded then 'What limits allow is not known without shared_preload_libraries.'
		else 'No limit of a queue holds tasks back. For groups see taskq.group_stats().' end;
	hint := held.hint;
	return next;

	"check" := 'oldest due task';
	select * into due from taskq_private.oldest_due(queue_ids);
	severity := case when due.due_since <= now_ - interval '15 minutes' then 'critical'
		when due.due_since <= now_ - interval '1 minute' then 'warning' else 'ok' end;
	detail := case when due.due_since is null then 'No task is due.'
		else format('A task of queue "%s" has been due since %s.', due.queue, due.due_since) end;
	hint := case when severity <> 'ok' then 'Pull tasks wait for workers; push tasks wait for the executor, those of external queues for '
		'taskq-worker. See the checks above and taskq.tasks.' end;
	return next;

	"check" := 'last error';
	select * into failed from taskq_private.last_failure(queue_ids);
	severity := case when failed.task_id is null then 'ok'
		when failed.ended_at > now_ - interval '1 hour' then 'warning' else 'information' end;
	detail := case when failed.task_id is null then 'No recent attempt has failed.'
		else format(case when failed.dead then 'Task %s%s died at %s: %s.' else 'Task %s%s failed at %s and will be tried again: %s.' end,
			failed.task_id, ' of queue "' || failed.queue || '"', failed.ended_at, failed.reason) end;
	hint := case
		when failed.class = 'egress_denied'
			then format('To allow it, change taskq.http_%1$s and reload the configuration; if the queue is external, '
				'start taskq-worker with --%1$s instead. Then call taskq.retry(%2$s).',
				case when failed.reason like '%list of hosts' then 'hosts'
					when failed.reason like '%list of ports' then 'ports'
					when failed.reason like '%deny list' then 'deny'
					else 'allow' end, failed.task_id)
		when failed.task_id is not null then format('See taskq.attempts where task_id = %s.', failed.task_id) end;
	return next;

	"check" := 'schedules';
	select * into schedules from taskq_private.schedules_state(queue_ids);
	severity := case when schedules.number > schedules.paused and (e.pid is null or not coalesce(armed, true))
		or schedules.failing is not null then 'warning' else 'ok' end;
	detail := case
		when schedules.number = 0 then 'There is no schedule.'
		when schedules.number > schedules.paused and e.pid is null
			then format('No executor runs, so no schedule fires; there are %s.', schedules.number)
		when schedules.number > schedules.paused and not coalesce(armed, true)
			then format('This database is not armed, so no schedule fires; there are %s.', schedules.number)
		when schedules.failing is not null
			then format('Schedule "%s" failed at %s: %s.', schedules.failing, schedules.failed_at, schedules.error)
		else format('Schedules: %s, paused: %s, next time: %s.', schedules.number, schedules.paused,
			coalesce(schedules.next_run::text, 'none')) end;
	hint := case
		when severity = 'ok' then null
		when e.pid is null then 'See the check executor.'
		when not coalesce(armed, true) then 'Call taskq.arm() if tasks are to be submitted from here.'
		else format('See taskq.schedule_runs where schedule = %L.', schedules.failing) end;
	return next;

	-- A holder is in the way if it is old, or if there are rows that it may keep.
	"check" := 'xmin holders';
	select * into holder from taskq_private.xmin_holders() limit 1;
	dead := taskq_private.dead_rows();
	severity := case when holder.xmin_age >= 100000000 then 'critical'
		when holder.xmin_age >= 1000000 or (holder.xmin_age >= 10000 and dead >= 100000) then 'warning' else 'ok' end;
	detail := case when holder.holder is null then 'Nothing keeps dead rows from being removed.'
		else format('The %s keeps rows that died in the last %s transactions from being removed.', holder.holder, holder.xmin_age)
			|| case when severity <> 'ok' then format(' The tables of live tasks have %s dead rows.', dead) else '' end end;
	hint := case when severity <> 'ok' then 'End that session, transaction or slot: until then the tables grow.' end;
	return next;
end
$$;

create function taskq.status(queue text default null)
returns table ("check" text, ok boolean, severity text, detail text, hint text)
language c stable parallel unsafe rows 10 as 'MODULE_PATHNAME', 'taskq_status';
comment on function taskq.status is
	E'Explains why nothing is sent or acquired; also for monitoring.\n'
	'queue: the name of a queue: the checks of queues look at this one only. NULL: at all on which the caller has a '
	'privilege.\n'
	'Returns one row for each check: ok, how severe it is (ok, information, warning, critical), what was found, and what to do '
	'about it. ok is true for ok and information.\n'
	'Checks: preloaded, executor, failures (what the executor could not do the last time it tried), armed, tables (whether '
	'something was added to the tables of taskq that it cannot honour); of queues: paused queues, endpoints, limits (queues of '
	'which no task starts because of their limit, and groups for which taskq.group_memory is too small), oldest due task '
	'(warning after 1 minute, critical after 15), last error (of live and of recently ended tasks; information after an hour), '
	'schedules (warning if the last firing of one has failed, or none can fire); '
	'xmin holders (transactions that keep dead rows from being removed: warning from 1000000 transactions on, or from 10000 if '
	'there are 100000 dead rows; critical from 100000000 on).\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege on the queue.';
