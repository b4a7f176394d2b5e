-- Views of tasks, and queue_stats().  The views of queues, endpoints, retry policies and
-- privileges stand in the parts that create these.

create view taskq.tasks with (security_barrier) as
	select t.id, q.name as queue, t.key, t.kind,
		case when l.id is null then 'pending' else 'running' end::taskq.state as state,
		t.priority::int as priority, coalesce(l.attempt, t.attempt) as attempt, t.max_attempts,
		case when t.retry_at is null or t.run_at < 'infinity' then t.run_at end as run_at,
		t.submitted_at, l.started_at, null::timestamptz as ended_at, l.lease_until, l.worker,
		coalesce(l.cancel_requested, false) as cancel_requested, l.fraction, l.message, t.method, t.url, t.payload,
		null::jsonb as result,
		(select a.error from taskq_private.attempt a where a.task_id = t.id order by a.attempt desc, a.ended_at desc limit 1) as error,
		taskq_private.shown_headers(t.headers) as request_headers, t.body as request_body, t.origin, t.group_key,
		t.trace, t.call - 'caller' as call
	from taskq_private.task t
		join taskq_private.all_queues q on q.id = t.queue_id
		left join taskq_private.lease l on l.id = t.id
	where taskq_private.visible(q.name)
	union all
	-- Tasks of a dropped queue are cancelled, and become history soon.
	select t.id, d.name, t.key, t.kind, 'cancelled', t.priority, coalesce(l.attempt, t.attempt), t.max_attempts,
		case when t.retry_at is null or t.run_at < 'infinity' then t.run_at end,
		t.submitted_at, l.started_at, d.dropped_at, null, l.worker, false, null, null, t.method, t.url, t.payload, null, 'queue dropped',
		taskq_private.shown_headers(t.headers), t.body, t.origin, t.group_key, t.trace,
		t.call - 'caller'
	from taskq_private.dropped_queue d
		join taskq_private.tasks_by_queue t on t.queue_id = d.id
		left join taskq_private.lease l on l.id = t.id
	where taskq_private.visible(d.name)
	union all
	select h.id, h.queue, h.key, h.kind, h.state, h.priority, h.attempt, h.max_attempts, h.run_at, h.submitted_at, h.started_at,
		h.ended_at, null, h.worker, false, null, null, h.method, h.url, h.payload, h.result, h.error,
		taskq_private.shown_headers(h.headers), h.body, h.origin, h.group_key, h.trace, h.call - 'caller'
	from taskq_private.all_history h
	where taskq_private.visible(h.queue);
comment on view taskq.tasks is
	E'One row for each task, live or ended, of the queues that the caller may view. Ended tasks are removed after the '
	'keep_finished or keep_dead of their queue: see create_queue().\n'
	'attempt: the number of the current or the last attempt.\n'
	'run_at: in an ordered queue the place of the task in its group; one that failed or was released is due later. NULL while the task '
	'waits for others: see dependencies.\n'
	'error: of the last failed attempt; of a cancelled or expired task the reason; NULL for a finished task.\n'
	'lease_until, cancel_requested, fraction, message: of a running task. fraction and message are what progress() told.\n'
	'method, url: of a push task. url is what was submitted, NULL for the url of the queue, and a path for an endpoint; of a '
	'finished task it is the whole url of the request.\n'
	'payload, request_headers, request_body: of a finished task only if its queue has keep_payload. Headers that may be secret '
	'are not shown: those with auth, cookie, token, secret, passw, key, sign, credential or session in their name.\n'
	'call: of a task that calls a function: function, args and kwargs as they are stored, and the role as which it is called. Of a '
	'finished task args and kwargs only if its queue has keep_payload.\n'
	'origin: who submitted the task, if its queue has keep_origin: role, session_role (if it is another one), application, '
	'address (not for a Unix socket), pid.';

create view taskq.dependencies with (security_barrier) as
	select p.task_id, p.dependent, case when not exists (select from taskq_private.task l where l.id = p.task_id) then p.state end as state
	from taskq_private.prerequisite p
		join taskq_private.task t on t.id = p.dependent
		join taskq_private.all_queues q on q.id = t.queue_id
	where taskq_private.visible(q.name);
comment on view taskq.dependencies is
	E'One row for each task for which a task of a queue still waits that the caller may view: see after of submit().\n'
	'task_id: it has to end first. dependent: the task that waits.\n'
	'state: how task_id has ended, if not finished: see after_failure. NULL: it is live.';

-- The error of the last failed attempt of a live task.
create function taskq_private.last_error(id bigint) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select a.error from taskq_private.attempt a where a.task_id = last_error.id order by a.attempt desc, a.ended_at desc limit 1
$$;

-- The tasks that find_tasks() looks at, newest first, of these queues (NULL: of all), and which of
-- them it returns.  The last row has no id if the search ended before it had seen all tasks.  Each
-- part of "known" reads an index on id backwards, and no more than scan rows; so that their rows are
-- merged and not sorted, the parts have the same types.  The window function counts the rows that are
-- looked at; the filter above it stops at the limit.
create function taskq_private.find_tasks(queues text[], queue text, states text, kind text, key text, key_prefix text,
	payload jsonb, error text, class text, worker text, since timestamptz, until timestamptz, "limit" int, after bigint, scan int,
	group_key text)
returns table (id bigint, queue text, key text, kind text, state taskq.state, priority int, attempt int, max_attempts int,
	run_at timestamptz, submitted_at timestamptz, started_at timestamptz, ended_at timestamptz, worker text, error text,
	payload jsonb, looked_at bigint, next bigint, group_key text, trace text)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
	with names as materialized (
		select q.id, q.name, null::timestamptz as dropped_at from taskq_private.all_queues q
		union all
		select d.id, d.name, d.dropped_at from taskq_private.dropped_queue d
	), wanted as materialized (
		-- Which tables may have such tasks.  Live tasks of dropped queues are cancelled.
		select x.states is null or x.states && '{pending, running}'
				or ('cancelled' = any (x.states) and exists (select from taskq_private.dropped_queue)) as live,
			coalesce(x.states <@ '{running}', false) as running,
			x.states is null or x.states && '{finished, dead, cancelled, expired}' as ended,
			(select array_agg(n.id) from names n where n.name = find_tasks.queue) as queue_ids,
			(select array_agg(n.id) from names n where n.name = any (find_tasks.queues)) as visible
		from (select find_tasks.states::taskq.state[] as states) as x
	), of_queue as materialized (
		select t.id from taskq_private.tasks_by_queue t
		where t.queue_id = any ((select w.queue_ids from wanted w where w.live and not w.running)::int[])
		limit least(find_tasks.scan, 20000) + 1
	), few as materialized (
		-- Whether the queue has so few live tasks that all of them are looked at.
		select find_tasks.queue is not null and (select count(*) from of_queue) <= least(find_tasks.scan, 20000) as few
	), known as (
		-- Live tasks by their ids, those of a queue that has few, and those that run.
		(select t.id, t.queue_id, null::text as queue, t.key, t.kind, null::taskq.state as state, t.priority::int as priority, t.attempt,
			t.max_attempts, case when t.retry_at is null or t.run_at < 'infinity' then t.run_at end as run_at, t.submitted_at,
			null::timestamptz as started_at, null::timestamptz as ended_at, null::text as worker, t.payload, null::text as error,
			null::jsonb as attempts, t.group_key, t.trace
		from taskq_private.task t
		where (select w.live and not w.running and not f.few from wanted w, few f)
			and t.id < coalesce(find_tasks.after, 9223372036854775807)
		order by t.id desc limit find_tasks.scan)
		union all
		(select i.id, t.queue_id, null::text, t.key, t.kind, null::taskq.state, t.priority::int, t.attempt, t.max_attempts,
			case when t.retry_at is null or t.run_at < 'infinity' then t.run_at end, t.submitted_at, null::timestamptz, null::timestamptz,
			null::text, t.payload, null::text, null::jsonb, t.group_key, t.trace
		from (select q.id from of_queue q
				where (select f.few from few f) and q.id < coalesce(find_tasks.after, 9223372036854775807) order by q.id desc) as i
			cross join lateral (select * from taskq_private.task t where t.id = i.id offset 0) as t
		order by i.id desc limit find_tasks.scan)
		union all
		(select l.id, t.queue_id, null::text, t.key, t.kind, null::taskq.state, t.priority::int, t.attempt, t.max_attempts,
			case when t.retry_at is null or t.run_at < 'infinity' then t.run_at end, t.submitted_at, null::timestamptz, null::timestamptz,
			null::text, t.payload, null::text, null::jsonb, t.group_key, t.trace
		from (select l.id from taskq_private.lease l
				where (select w.running from wanted w) and l.id < coalesce(find_tasks.after, 9223372036854775807)
					and (find_tasks.queue is null or l.queue_id = any ((select w.queue_ids from wanted w)::int[]))
				order by l.id desc) as l
			cross join lateral (select * from taskq_private.task t where t.id = l.id offset 0) as t
		order by l.id desc limit find_tasks.scan)
		union all
		(select h.id, null::int, h.queue, h.key, h.kind, h.state, h.priority::int, h.attempt, h.max_attempts, h.run_at, h.submitted_at,
			h.started_at, h.ended_at, h.worker, h.payload, h.error, h.attempts, h.group_key, h.trace
		from taskq_private.history h
		where (select w.ended from wanted w) and h.id < coalesce(find_tasks.after, 9223372036854775807)
		order by h.id desc limit find_tasks.scan)
		union all
		(select h.id, null::int, h.queue, h.key, h.kind, h.state, h.priority::int, h.attempt, h.max_attempts, h.run_at, h.submitted_at,
			h.started_at, h.ended_at, h.worker, h.payload, h.error, h.attempts, h.group_key, h.trace
		from taskq_private.history_rest h
		where (select w.ended from wanted w) and h.id < coalesce(find_tasks.after, 9223372036854775807)
		order by h.id desc limit find_tasks.scan)
	), looked as (
		select k.*, row_number() over (order by k.id desc) as n
		from (select * from known order by id desc limit find_tasks.scan) as k
	), found as materialized (
		-- The last row that is looked at is here in any case.
		select l.*, x.fits
		from looked l cross join lateral (select
				(find_tasks.queues is null or case when l.queue_id is null then l.queue = any (find_tasks.queues)
					else l.queue_id = any ((select w.visible from wanted w)::int[]) end)
				and (find_tasks.queue is null or case when l.queue_id is null then l.queue = find_tasks.queue
					else l.queue_id = any ((select w.queue_ids from wanted w)::int[]) end)
				and (find_tasks.kind is null or l.kind = find_tasks.kind)
				and (find_tasks.group_key is null or l.group_key = find_tasks.group_key)
				and (find_tasks.key is null or l.key = find_tasks.key)
				and (find_tasks.key_prefix is null or starts_with(l.key, find_tasks.key_prefix))
				and (find_tasks.since is null or l.submitted_at >= find_tasks.since)
				and (find_tasks.until is null or l.submitted_at < find_tasks.until)
				and (find_tasks.payload is null or l.payload @> find_tasks.payload)
				and (find_tasks.states is null or case when l.queue_id is null then l.state
						when l.queue_id in (select d.id from taskq_private.dropped_queue d) then 'cancelled'
						when exists (select from taskq_private.lease e where e.id = l.id) then 'running' else 'pending' end
					= any (find_tasks.states::taskq.state[]))
				and (find_tasks.worker is null or l.worker = find_tasks.worker
					or (l.queue_id is not null and exists (
						select from taskq_private.lease e where e.id = l.id and e.worker = find_tasks.worker)))
				and (find_tasks.error is null or case when l.queue_id is null then l.error
					when l.queue_id in (select d.id from taskq_private.dropped_queue d) then 'queue dropped'
					else (select a.error from taskq_private.attempt a where a.task_id = l.id
						order by a.attempt desc, a.ended_at desc limit 1) end ~ find_tasks.error)
				and (find_tasks.class is null or l.attempts @> jsonb_build_array(jsonb_build_object('class', find_tasks.class))
					or (l.queue_id is not null and exists (
						select from taskq_private.attempt a where a.task_id = l.id and a.class = find_tasks.class))) as fits) as x
		where x.fits or l.n = find_tasks.scan
		order by l.id desc limit find_tasks.limit
	)
	select f.id, coalesce(f.queue, q.name), f.key, f.kind,
		case when f.queue_id is null then f.state when q.dropped_at is not null then 'cancelled' when e.id is null then 'pending'
			else 'running' end::taskq.state,
		f.priority, coalesce(e.attempt, f.attempt), f.max_attempts, f.run_at, f.submitted_at, coalesce(f.started_at, e.started_at),
		coalesce(f.ended_at, q.dropped_at), coalesce(f.worker, e.worker),
		case when f.queue_id is null then f.error when q.dropped_at is not null then 'queue dropped'
			else taskq_private.last_error(f.id) end,
		f.payload, f.n, f.id, f.group_key, f.trace
	from found f
		left join names q on q.id = f.queue_id
		left join taskq_private.lease e on e.id = f.id and f.queue_id is not null
	where f.fits
	union all
	select null, null, null, null, null, null, null, null, null, f.submitted_at, null, null, null, null, null, f.n, f.id, null, null
	from found f
	where f.n = find_tasks.scan and (select count(*) from found where fits) < find_tasks.limit
	order by 16, 1 nulls last
$$;

create function taskq.find_tasks(queue text default null, states taskq.state[] default null, kind text default null,
	key text default null, key_prefix text default null, payload jsonb default null, error text default null,
	class text default null, worker text default null, since timestamptz default null, until timestamptz default null,
	"limit" int default 50, after bigint default null, scan int default 100000, group_key text default null)
returns table (id bigint, queue text, key text, kind text, state taskq.state, priority int, attempt int, max_attempts int,
	run_at timestamptz, submitted_at timestamptz, started_at timestamptz, ended_at timestamptz, worker text, error text,
	payload jsonb, looked_at bigint, next bigint, group_key text, trace text)
language c stable parallel unsafe as 'MODULE_PATHNAME', 'taskq_find_tasks';
comment on function taskq.find_tasks is
	E'Searches the tasks, live and ended, of the queues that the caller may view, newest first, and reads only as many as it was '
	'told to.\n'
	'queue, states, kind, key, worker, group_key: only such tasks. NULL: any.\n'
	'key_prefix: only tasks whose key begins so.\n'
	'payload: only tasks whose payload contains this, by the operator @>.\n'
	'error: only tasks whose error matches this regular expression.\n'
	'class: only tasks with a failed attempt of this class: see the view attempts.\n'
	'since, until: only tasks that were submitted at or after the one time and before the other.\n'
	'limit: at most so many tasks, 1 to 1000.\n'
	'after: only tasks with a lower id: the next of the last row of the previous call.\n'
	'scan: how many tasks are looked at, 1 to 10000000, those of other queues included. Of live tasks only those of the queue '
	'are, if it has at most 20000, and only running ones if states is {running}; of ended tasks none, if states has no state of '
	'theirs.\n'
	'Returns one row for each task, with the columns of the view tasks. looked_at: how many tasks were looked at up to this one. '
	'next: what to give as after to go on.\n'
	'If scan ended the search, a last row has NULL as id, in submitted_at the time down to which it looked, and next.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege view on the queue; 2201B error is no regular expression.';

-- Of the pull queues with these names (NULL: all), the kinds of pending tasks that no session
-- serves.  Each queue has an equal share of the rows that are looked at; one that has more pending
-- tasks than its share gets a row without a kind and a number.
create function taskq_private.unserved(queues text[], queue text, scan int)
returns table (queue text, kind text, tasks bigint, oldest timestamptz, looked_at bigint)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
	with chosen as materialized (
		select q.id, q.name, greatest(unserved.scan / count(*) over (), 1) as share from taskq_private.all_queues q
		where q.mode = 'pull' and (unserved.queues is null or q.name = any (unserved.queues))
			and (unserved.queue is null or q.name = unserved.queue)
	), services as materialized (
		select s.queue_ids, array(select replace(replace(replace(replace(k, E'\\', E'\\\\'), '%', E'\\%'), '_', E'\\_'), '*', '%')
			from unnest(s.kinds) as k) as patterns
		from taskq_private.serving s where s.number in (select l.number from taskq_private.serving_locks l)
	), looked as (
		select c.id, c.name, c.share, t.kind, t.submitted_at, l.id is null as pending
		from chosen c cross join lateral (select t.id, t.kind, t.submitted_at from taskq_private.tasks_by_queue t
				where t.queue_id = c.id limit c.share) as t
			left join taskq_private.lease l on l.id = t.id
	), kinds as (
		select l.id, l.name, l.kind, count(*) filter (where l.pending) as tasks, min(l.submitted_at) filter (where l.pending) as oldest,
			count(*) as looked, min(l.share) as share
		from looked l group by 1, 2, 3
	), counted as (
		select k.*, sum(k.looked) over (partition by k.id)::bigint as of_queue from kinds k
	)
	select c.name, c.kind, c.tasks, c.oldest, c.of_queue from counted c
	where c.tasks > 0 and not exists (select from services s
		where c.id = any (s.queue_ids) and coalesce(c.kind, '') like any (s.patterns))
	union all
	select distinct c.name, null::text, null::bigint, null::timestamptz, c.of_queue from counted c where c.of_queue >= c.share
	order by 1, 4 nulls last, 2
$$;

create function taskq.unserved(queue text default null, scan int default 100000)
returns table (queue text, kind text, tasks bigint, oldest timestamptz, looked_at bigint)
language c stable parallel unsafe as 'MODULE_PATHNAME', 'taskq_unserved';
comment on function taskq.unserved is
	E'The kinds of pending tasks that no running worker does, of the pull queues that the caller may view. Workers count that '
	'have called serve(), as "taskq work" does.\n'
	'queue: only this queue. NULL: all.\n'
	'scan: how many tasks are looked at, 1 to 10000000; each queue has an equal share.\n'
	'Returns one row for each queue and kind; kind is NULL for tasks without one.\n'
	'tasks: how many pending tasks of the kind were seen. oldest: when the oldest of them was submitted. looked_at: how many '
	'tasks of the queue were looked at.\n'
	'A row with NULL in tasks says that the queue has more tasks than were looked at.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege view on the queue; 25006 on a standby, which does not '
	'know the sessions of the primary.';

create view taskq.requests with (security_barrier) as
	select t.id as task_id, q.name as queue, l.attempt, l.worker, coalesce(t.method, 'POST') as method, u.url,
		rtrim(lower(substring(u.url from '^[A-Za-z]+://(\[[^]]*\]|[^:/?#]*)')), '.') as host,
		case when l.worker = 'receiver' then 'accepted' else p.phase end as phase,
		coalesce(p.since, l.started_at) as since
	from taskq_private.lease l
		join taskq_private.task t on t.id = l.id
		join taskq_private.all_queues q on q.id = l.queue_id
		left join taskq_private.endpoint e on e.queue_id = q.id,
		lateral (select case when t.url is null then q.url when e.queue_id is null then t.url
			when t.url like '/%' then regexp_replace(q.url, '/$', '') || t.url else q.url || t.url end) as u (url),
		lateral taskq_private.request_phase(l.id, l.token) as p
	where q.mode = 'push' and taskq_private.visible(q.name);
comment on view taskq.requests is
	E'One row for each push task that is running, of the queues that the caller may view.\n'
	'worker: executor, the name of a taskq-worker, or receiver for one that has answered 202 and reports itself.\n'
	'host: to which the url leads.\n'
	'phase: waiting (the executor holds the task, and its host has as many requests under way as it may have), sending (from '
	'the look-up of the name to the end of the answer), answered (the result is not stored yet), accepted (see accept_202 of '
	'create_queue()). NULL: not known, as for '
	'tasks that an external worker holds, without shared_preload_libraries, and for a moment after the claim.\n'
	'since: when that phase began; without a phase, when the task was claimed.\n'
	'Tasks that are due and not claimed are pending: see tasks, and endpoints for what holds them back.';

create view taskq.attempts with (security_barrier) as
	select a.task_id, a.attempt, a.started_at, a.ended_at, a.worker, a.class, a.error, a.detail, a.status, a.elapsed,
		(a.times ->> 'dns')::interval as dns,
		(a.times ->> 'connect')::interval as connect, (a.times ->> 'tls')::interval as tls,
		(a.times ->> 'first_byte')::interval as first_byte
	from taskq_private.attempt a
		join taskq_private.task t on t.id = a.task_id
		join taskq_private.queue_names q on q.id = t.queue_id
	where taskq_private.visible(q.name)
	union all
	select h.id, a.attempt, a.started_at, a.ended_at, a.worker, a.class, a.error, a.detail, a.status, a.elapsed,
		(a.times ->> 'dns')::interval,
		(a.times ->> 'connect')::interval, (a.times ->> 'tls')::interval,
		(a.times ->> 'first_byte')::interval
	from taskq_private.all_history h,
		jsonb_to_recordset(h.attempts) as a (attempt int, started_at timestamptz, ended_at timestamptz, worker text,
			class text, error text, detail jsonb, status int, elapsed interval, times jsonb)
	where taskq_private.visible(h.queue);
comment on view taskq.attempts is
	E'One row for each failed attempt of a task, live or ended, of the queues that the caller may view.\n'
	'class: for a push task, how far the exchange came (http, dns, connect, tls, timeout, reset, too_large, protocol, '
	'egress_denied, invalid, stopped, internal). For a call: exception (an error of the function), timeout, worker_died (its process '
	'has gone), call_refused (it could not be made at all).\n'
	'lease_lost: the worker lost the lease. no_route: the task was declined too often. '
	'Otherwise what fail() got as class.\n'
	'error, detail: as fail() got them, or what the sender says.\n'
	'status: the HTTP status. elapsed: the time that the exchange took.\n'
	'dns, connect, tls, first_byte: parts of elapsed, for the look-up of the name, the connection, the handshake, and from '
	'then until the answer began. NULL if the exchange did not come so far, or if it used an open connection.';

create view taskq.workers with (security_barrier) as
	select coalesce(l.worker, '') as worker, q.name as queue, count(*) as running, min(l.started_at) as oldest_start,
		min(l.lease_until) as next_lease_end
	from taskq_private.lease l join taskq_private.all_queues q on q.id = l.queue_id
	where taskq_private.visible(q.name)
	group by 1, 2;
comment on view taskq.workers is
	E'One row for each worker and queue with running tasks, of the queues that the caller may view.\n'
	'worker: what was given to acquire(), empty if nothing was; the executor inside the server is called executor, and '
	'receivers that report themselves receiver: see accept_202 of create_queue().\n'
	'running: the number of running tasks. oldest_start: the start of the oldest. next_lease_end: the end of the first '
	'lease to end.';

create function taskq.queue_stats(queue text default null)
returns table (queue text, pending bigint, due bigint, running bigint, finished bigint, dead bigint, cancelled bigint,
	expired bigint, since timestamptz, oldest_due_age interval)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_queue_stats';
comment on function taskq.queue_stats is
	E'How many tasks the queues have. The cost does not grow with the number of pending or running tasks.\n'
	'queue: the name of a queue. NULL: each queue that the caller may view.\n'
	'Returns one row for each queue.\n'
	'pending: tasks that wait, also those with a later run_at. due: those whose time has come, counted up to 10000, which '
	'means at least that many; of all queues up to 1000 where tasks have groups or many have a later run_at. running: leased '
	'tasks.\n'
	'finished, dead, cancelled, expired: the number of tasks that have ended so since the time in since.\n'
	'oldest_due_age: how long the first due task has waited; NULL if none is due.\n'
	'pending and running are counted once after a start of the server, and again after prepared or replicated transactions; '
	'commits keep them up to date. They may be off by the tasks that were committed during the count.\n'
	'Without shared_preload_libraries they are counted at every call; since and the numbers of ended tasks are NULL.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege view on the queue.';

create function taskq.group_stats(queue text, group_key text default null, max_groups int default 100)
returns table (group_key text, running int, max_running int, due_at timestamptz, waits_for text, opens_at timestamptz)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_group_stats';
comment on function taskq.group_stats is
	E'What the groups of a queue run, and for what they wait.\n'
	'queue: the name of the queue. group_key: only this group; NULL: all that have waiting or running tasks.\n'
	'max_groups: so many at most, 1 to 10000; those come first of which a task has waited longest.\n'
	'running: tasks that run, or that a transaction which is still open has acquired. max_running: the limit; NULL: none.\n'
	'due_at: when the first waiting task is due; NULL if none waits, or if that is not known yet.\n'
	'waits_for: NULL: no task waits. time: none is due yet. max_running, rate: the limit of the group. order: the queue is ordered '
	'and a task of the group runs. queue: the limit of the queue. turn: a task can be acquired.\n'
	'opens_at: when the rate of the group lets the next task start; NULL: now.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege view on the queue.';
