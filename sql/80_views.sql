-- Views of tasks, and queue_stats().  The views of queues, endpoints, retry policies and
-- privileges stand in the parts that create these.

create view taskq.tasks with (security_barrier) as
	select t.id, q.name as queue, t.key, t.kind,
		case when l.id is null then 'pending' else 'running' end::taskq.state as state,
		t.priority::int as priority, coalesce(l.attempt, t.attempt) as attempt, t.max_attempts, t.run_at,
		t.submitted_at, l.started_at, null::timestamptz as ended_at, l.lease_until, l.worker,
		coalesce(l.cancel_requested, false) as cancel_requested, l.fraction, l.message, t.method, t.url, t.payload,
		null::jsonb as result,
		(select a.error from taskq_private.attempt a where a.task_id = t.id order by a.attempt desc, a.ended_at desc limit 1) as error
	from taskq_private.task t
		join taskq_private.all_queues q on q.id = t.queue_id
		left join taskq_private.lease l on l.id = t.id
	where taskq_private.visible(q.name)
	union all
	select h.id, h.queue, h.key, h.kind, h.state, h.priority, h.attempt, h.max_attempts, h.run_at, h.submitted_at, h.started_at,
		h.ended_at, null, h.worker, false, null, null, h.method, h.url, h.payload, h.result, h.error
	from taskq_private.all_history h
	where taskq_private.visible(h.queue);
comment on view taskq.tasks is
	E'One row for each task, live or ended, of the queues that the caller may view. Ended tasks are removed after the '
	'keep_finished or keep_dead of their queue: see create_queue().\n'
	'attempt: the number of the current or the last attempt.\n'
	'error: of the last failed attempt; of a cancelled or expired task the reason; NULL for a finished task.\n'
	'lease_until, cancel_requested, fraction, message: of a running task. fraction and message are what progress() told.\n'
	'payload, method, url: not kept for a finished task.';

create view taskq.attempts with (security_barrier) as
	select a.task_id, a.attempt, a.started_at, a.ended_at, a.worker, a.class, a.error, a.detail, a.status, a.elapsed,
		(a.times ->> 'dns')::interval as dns,
		(a.times ->> 'connect')::interval as connect, (a.times ->> 'tls')::interval as tls,
		(a.times ->> 'first_byte')::interval as first_byte
	from taskq_private.attempt a
		join taskq_private.task t on t.id = a.task_id
		join taskq_private.all_queues q on q.id = t.queue_id
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
	'egress_denied, invalid, internal). lease_lost: the worker lost the lease.\n'
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
	'worker: what was given to acquire(), empty if nothing was; the executor inside the server is called executor.\n'
	'running: the number of running tasks. oldest_start: the start of the oldest. next_lease_end: the end of the first '
	'lease to end.';

create function taskq.queue_stats(queue text default null)
returns table (queue text, pending bigint, due bigint, running bigint, finished bigint, dead bigint, cancelled bigint,
	expired bigint, since timestamptz, oldest_due_age interval)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_queue_stats';
comment on function taskq.queue_stats is
	E'How many tasks the queues have. The cost does not grow with the number of pending tasks.\n'
	'queue: the name of a queue. NULL: each queue that the caller may view.\n'
	'Returns one row for each queue.\n'
	'pending: tasks that wait, also those with a later run_at. due: those whose time has come, counted up to 10000, which '
	'means at least that many. running: leased tasks.\n'
	'finished, dead, cancelled, expired: the number of tasks that have ended so since the time in since.\n'
	'oldest_due_age: how long the first due task has waited; NULL if none is due.\n'
	'pending is counted once after a start of the server, and again after prepared or replicated transactions; commits '
	'keep it up to date. It may be off by the tasks that were committed during the count.\n'
	'Without shared_preload_libraries pending is counted at every call; since and the numbers of ended tasks are NULL.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege view on the queue.';
