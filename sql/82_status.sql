-- status(): why nothing is sent or acquired.

-- Since when the oldest due task has been due: looks at the first task of each priority.
create function taskq_private.oldest_due() returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select min(head.run_at)
	from taskq_private.all_queues q, generate_series(-16, 15) as p (priority),
		lateral (select t.run_at from taskq_private.task t where t.queue_id = q.id and t.priority = p.priority
				and not exists (select from taskq_private.lease l where l.id = t.id)
			order by t.queue_id, t.priority, t.run_at, t.id limit 1) as head
	where head.run_at <= clock_timestamp()
$$;

-- What keeps VACUUM from removing dead rows, the oldest first.
create function taskq_private.xmin_holders() returns table (holder text, xmin_age int)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select * from (
		select format('session with pid %s (%s)', a.pid, coalesce(nullif(a.state, ''), a.backend_type)), age(a.backend_xmin)
		from pg_stat_activity a
		where a.backend_xmin is not null and a.pid <> pg_backend_pid() and a.backend_type is distinct from 'taskq executor'
		union all
		select format('prepared transaction "%s"', p.gid), age(p.transaction) from pg_prepared_xacts p
		union all
		select format('replication slot "%s"', s.slot_name), age(s.xmin) from pg_replication_slots s where s.xmin is not null
	) as h (holder, xmin_age)
	order by xmin_age desc
$$;

-- The last failed attempt of a live task, or the last dead task among the thousand newest
-- ended ones.  What a worker has reported is only for roles that may view the task; what the
-- executor says about an exchange is for everybody.
create function taskq_private.last_failure() returns table (task_id bigint, ended_at timestamptz, class text, reason text, dead boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select f.task_id, f.ended_at, f.class, case when f.class is null then 'reported by its worker' else f.error end, f.dead
	from (
		(select a.task_id, a.ended_at, a.class, a.error, false from taskq_private.attempt a order by a.ended_at desc limit 1)
		union all
		(select h.id, h.ended_at, h.attempts -> -1 ->> 'class', h.error, true
			from (select * from taskq_private.all_history order by id desc limit 1000) as h
			where h.state = 'dead' order by h.ended_at desc limit 1)
	) as f (task_id, ended_at, class, error, dead)
	order by f.ended_at desc limit 1
$$;

-- Endpoints to which nothing is sent at present.
create function taskq_private.held_endpoints() returns table (endpoint text, reason text, hint text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select q.name, case when e.secrets_missing then format('its %s must be given again', e.missing)
			when s.circuit <> 'closed' then format('%s requests in a row have failed, the next one is sent at %s', s.failures, s.next_start)
			else format('it has asked for nothing to be sent before %s', s.next_start) end,
		case when e.secrets_missing then format('A dump does not hold them. Call %s.',
				case e.missing when 'secret' then 'taskq.rotate_secret()' when 'headers' then 'taskq.alter_endpoint()'
					else 'taskq.alter_endpoint() for both' end)
			else format('See taskq.attempts, and taskq.endpoints where endpoint = %L.', q.name) end
	from taskq_private.endpoint_settings e
		join taskq_private.all_queues q on q.id = e.queue_id,
		lateral taskq_private.endpoint_state(e.queue_id) as s
	where e.secrets_missing or s.circuit <> 'closed' or s.next_start > clock_timestamp()
	order by e.secrets_missing desc, s.circuit = 'closed', q.name
$$;

create function taskq.status() returns table ("check" text, ok boolean, detail text, hint text)
language plpgsql stable security definer rows 8
set search_path = pg_catalog, pg_temp
as $$
declare
	e record;
	due timestamptz;
	armed boolean;
	paused text[];
	failed record;
	held record;
	holder record;
begin
	select * into e from taskq_private.executor_state();
	"check" := 'preloaded';
	ok := e.preloaded;
	detail := case when ok then 'The library is preloaded.'
		else 'The library is not preloaded: tasks are found by polling, and the executor does not start by itself.' end;
	hint := case when not ok then 'Add taskq to shared_preload_libraries and restart the server.' end;
	return next;

	"check" := 'executor';
	ok := e.pid is not null;
	detail := case
		when ok then format('The executor runs as process %s.', e.pid)
		when e.obstacle is not null then format('No executor runs: %s.', e.obstacle)
		when e.held_aside then 'The executor is stopped in this database.'
		when e.retry_at > clock_timestamp()
			then format('The executor has failed %s times and will be started again at %s.', e.failures, e.retry_at)
		when not e.preloaded then 'No executor was started since the server started.'
		else 'No executor runs.' end;
	hint := case
		when ok then null
		when e.obstacle is not null then e.hint
		when e.retry_at > clock_timestamp() then 'See the server log for the reason.'
		else 'Call taskq.start_executor().' end;
	return next;

	"check" := 'armed';
	armed := taskq_private.armed();
	ok := coalesce(armed, true);
	detail := case
		when armed then 'Requests are sent from this database.'
		when not armed then 'This database was disarmed, or it is a copy of the one that was armed: no request is sent.'
		else 'Nothing was submitted in this database yet; the first submit arms it.' end;
	hint := case when not ok then 'Call taskq.arm() if requests are to be sent from here.' end;
	return next;

	"check" := 'paused queues';
	paused := array(select q.name from taskq_private.all_queues q where q.paused order by q.pause_reason, q.name);
	ok := paused = '{}';
	detail := case when ok then 'No queue is paused.'
		else (select format('Paused: %s.', string_agg(format('"%s"%s', q.name, ' (' || q.pause_reason || ')'), ', '
			order by q.pause_reason, q.name)) from taskq_private.all_queues q where q.paused) end;
	hint := case when not ok then format('Call taskq.resume_queue(%L).', paused[1]) end;
	return next;

	"check" := 'endpoints';
	select * into held from taskq_private.held_endpoints() limit 1;
	ok := held.endpoint is null;
	detail := case when not ok then format('"%s": %s.', held.endpoint, held.reason)
		when not e.preloaded then 'Circuits are not known: without shared_preload_libraries each sender only knows its own.'
		else 'Nothing holds the requests to an endpoint back.' end;
	hint := held.hint;
	return next;

	"check" := 'oldest due task';
	due := taskq_private.oldest_due();
	ok := coalesce(due > clock_timestamp() - interval '1 minute', true);
	detail := case when due is null then 'No task is due.' else format('A task has been due since %s.', due) end;
	hint := case when not ok then 'Pull tasks wait for workers; push tasks wait for the executor, those of external queues for '
		'taskq-worker. See the checks above and taskq.tasks.' end;
	return next;

	"check" := 'last error';
	select * into failed from taskq_private.last_failure();
	ok := failed.task_id is null;
	detail := case when ok then 'No recent attempt has failed.'
		else format(case when failed.dead then 'Task %s died at %s: %s.' else 'Task %s failed at %s and will be tried again: %s.' end,
			failed.task_id, failed.ended_at, failed.reason) end;
	hint := case
		when failed.class = 'egress_denied'
			then format('To allow the address, change %s, reload the configuration, and call taskq.retry(%s). '
				'taskq-worker has options for this instead.',
				case when failed.reason like '%list of hosts' then 'taskq.http_hosts'
					when failed.reason like '%list of ports' then 'taskq.http_ports'
					when failed.reason like '%deny list' then 'taskq.http_deny'
					else 'taskq.http_allow' end, failed.task_id)
		when not ok then format('See taskq.attempts where task_id = %s.', failed.task_id) end;
	return next;

	"check" := 'xmin holders';
	select * into holder from taskq_private.xmin_holders() limit 1;
	ok := coalesce(holder.xmin_age < 1000000, true);
	detail := case when holder.holder is null then 'Nothing keeps dead rows from being removed.'
		else format('The %s keeps rows that died in the last %s transactions from being removed.', holder.holder, holder.xmin_age) end;
	hint := case when not ok then 'End that session, transaction or slot: until then the tables grow.' end;
	return next;
end
$$;
comment on function taskq.status is
	E'Explains why nothing is sent or acquired.\n'
	'Returns one row for each check: ok, what was found, and what to do about it. Checks: preloaded, executor, armed, '
	'paused queues, endpoints, oldest due task, last error (of live and of recently ended tasks), xmin holders '
	'(transactions that keep dead rows from being removed).';
