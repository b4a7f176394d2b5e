-- Queues: creating, showing, changing and dropping them.  queue.c reads them for a session.

-- Every session reads the queues, retry policies and privileges again.
create function taskq_private.queues_changed() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_queues_changed';

-- The number of the group with that key: see src/tables/group_id.c.
create function taskq_private.group_id(group_key text) returns bigint
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_group_id';

-- Queues that were created, and those that exist from the start.  The latter are rows
-- of this view, and of the table only after a change, so that a dump does not restore a
-- second copy.
create view taskq_private.all_queues as
	select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at, durable_finish,
		executor, pause_reason, keep_payload, keep_origin, on_finish, on_dead, ordered, header_style, accept_202, events
	from taskq_private.queue
	union all
	select id, name, mode, null, interval '60 s', retry, interval '1 day', interval '30 days', interval '1 hour', false, null, true,
		'builtin', null, false, false, null, null, false, 'taskq', false, '{}'
	from (values (1, 'default' collate "C", 'pull', 'default'), (2, 'http', 'push', 'webhook'), (3, 'call', 'call', 'default'))
		as shipped (id, name, mode, retry)
	where not exists (select from taskq_private.queue q where q.id = shipped.id);

-- Whether the caller may view the tasks of a queue.  Only an administrator may view those of
-- a dropped queue.
create function taskq_private.visible(queue text) returns boolean
language c stable strict parallel unsafe as 'MODULE_PATHNAME', 'taskq_visible';

-- Follow-ups without the headers of their requests, which may be secret.
create function taskq_private.shown_templates(templates jsonb) returns jsonb
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_shown_templates';

-- Judges follow-ups of a queue, which the role "caller" gives; returns them as they are stored, NULL if
-- there are none.
create function taskq_private.judge_follow_ups(queue text, templates jsonb, argument text, caller oid) returns jsonb
language c volatile as 'MODULE_PATHNAME', 'taskq_judge_follow_ups';

create view taskq.queues with (security_barrier) as
	select name as queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at, durable_finish,
		executor, pause_reason, keep_payload, keep_origin, taskq_private.shown_templates(on_finish) as on_finish,
		taskq_private.shown_templates(on_dead) as on_dead, ordered, header_style, accept_202, events
	from taskq_private.all_queues
	where taskq_private.visible(name);
comment on view taskq.queues is
	E'One row for each queue that the caller may view.\n'
	'mode: pull (clients acquire the tasks), push (the tasks are sent as HTTP requests), call (the tasks are calls of functions) or '
	'topic (it has subscribers instead of tasks).\n'
	'executor: builtin (the executor inside the server sends) or external (programs such as taskq-worker send).\n'
	'pause_reason: why the queue is paused, if taskq did that by itself.\n'
	'created_at: NULL for a queue that exists from the start and was not changed.\n'
	'on_finish, on_dead: without the headers of requests.\n'
	'The other columns are the arguments of create_queue().';

-- The names of the changes of tasks that can become events.
create function taskq_private.event_names() returns text[]
language c immutable parallel safe as 'MODULE_PATHNAME', 'taskq_event_names';

-- What is wrong with the settings of a queue, or NULL.
create function taskq_private.queue_fault(mode text, url text, lease_for interval, retry text, keep_finished interval,
	keep_dead interval, keep_key interval, executor text, follow_ups boolean, ordered boolean, header_style text,
	accept_202 boolean, events text[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when mode is null or mode not in ('pull', 'push', 'topic', 'call') then 'mode must be pull, push, topic or call'
		when mode = 'pull' and url is not null then 'a pull queue has no url'
		when mode = 'topic' and url is not null then 'a topic has no url'
		when mode = 'call' and url is not null then 'a call queue has no url'
		when mode = 'topic' and follow_ups then 'a topic has no follow-ups'
		when mode = 'topic' and ordered then 'a topic is not ordered'
		when executor is null or executor not in ('builtin', 'external') then 'executor must be builtin or external'
		when mode = 'pull' and executor <> 'builtin' then 'a pull queue has no external executor'
		when mode = 'topic' and executor <> 'builtin' then 'a topic has no external executor'
		when mode = 'call' and executor <> 'builtin' then 'a call queue has no external executor'
		when header_style is null or header_style not in ('taskq', 'miyamoto', 'appengine', 'cloudtasks')
			then 'header_style must be taskq, miyamoto, appengine or cloudtasks'
		when mode = 'pull' and header_style <> 'taskq' then 'a pull queue has no header_style'
		when mode = 'topic' and header_style <> 'taskq' then 'a topic has no header_style'
		when mode = 'call' and header_style <> 'taskq' then 'a call queue has no header_style'
		when mode = 'pull' and accept_202 then 'a pull queue has no accept_202'
		when mode = 'topic' and accept_202 then 'a topic has no accept_202'
		when mode = 'call' and accept_202 then 'a call queue has no accept_202'
		when mode = 'topic' and events <> '{}' then 'a topic has no events'
		when array_position(events, null) is not null or not events <@ taskq_private.event_names()
			then format('events must be among %s', array_to_string(taskq_private.event_names(), ', '))
		when not exists (select from taskq_private.all_retry_policies p where p.name = retry)
			then format('retry policy "%s" does not exist', retry)
		else coalesce(
			taskq_private.interval_fault(lease_for, 'lease_for', 'lease'),
			taskq_private.interval_fault(keep_finished, 'keep_finished', 'keep'),
			taskq_private.interval_fault(keep_dead, 'keep_dead', 'keep'),
			taskq_private.interval_fault(keep_key, 'keep_key', 'keep'))
	end
$$;

-- The public functions create_queue() and alter_queue() run these as taskq_owner, and tell which role has
-- called: it gives the follow-ups.

create function taskq_private.make_queue(queue text, mode text, url text,
	lease_for interval, retry text, keep_finished interval,
	keep_dead interval, keep_key interval, durable_finish boolean,
	executor text, keep_payload boolean, keep_origin boolean,
	on_finish jsonb, on_dead jsonb, ordered boolean,
	header_style text, accept_202 boolean, events text[], caller oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	wrong text;
begin
	perform taskq_private.check_name(queue, 'queue');
	retry := coalesce(retry, case mode when 'push' then 'webhook' else 'default' end);
	wrong := taskq_private.queue_fault(mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, executor,
		on_finish is not null or on_dead is not null, ordered, header_style, accept_202, events);
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Queue "%s" was not created.', queue), hint = 'See the comment of taskq.create_queue().';
	end if;
	if url is not null then
		url := taskq_private.check_url(url);
	end if;
	if queue in ('default', 'http', 'call') then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'The queues default, http and call exist from the start.', hint = 'Choose another name.';
	end if;
	begin
		insert into taskq_private.queue (id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused,
				created_at, durable_finish, executor, keep_payload, keep_origin, on_finish, on_dead, ordered, header_style, accept_202,
				events)
			values (nextval('taskq_private.queue_id'), queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key,
				false, clock_timestamp(), coalesce(durable_finish, true), executor, coalesce(keep_payload, false),
				coalesce(keep_origin, false), taskq_private.judge_follow_ups(queue, make_queue.on_finish, 'on_finish', caller),
				taskq_private.judge_follow_ups(queue, make_queue.on_dead, 'on_dead', caller), coalesce(ordered, false), header_style,
				coalesce(accept_202, false), coalesce(events, '{}'));
	exception when unique_violation then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'Queue names are unique in a database.', hint = 'Choose another name, or use the existing queue.';
	end;
	perform taskq_private.arm_if_new();
	perform taskq_private.queues_changed();
end
$$;
create function taskq.create_queue(queue text, mode text default 'pull', url text default null,
	lease_for interval default '60 s', retry text default null, keep_finished interval default '1 day',
	keep_dead interval default '30 days', keep_key interval default '1 hour', durable_finish boolean default true,
	executor text default 'builtin', keep_payload boolean default false, keep_origin boolean default false,
	on_finish jsonb default null, on_dead jsonb default null, ordered boolean default false,
	header_style text default 'taskq', accept_202 boolean default false, events text[] default '{}') returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_create_queue';
comment on function taskq.create_queue is
	E'Creates a queue.\n'
	'queue: its name, 1 to 57 bytes.\n'
	'mode: pull (clients acquire the tasks), push (the tasks are sent as HTTP requests), call (the tasks are calls of functions of '
	'this database, see submit_call()), or topic: it has no tasks, and publish() submits to each queue that subscribe() has '
	'subscribed to it.\n'
	'url: push only, the payload of submit() is POSTed to it. Without it only submit_http() can be used.\n'
	'lease_for: how long an attempt owns its task without a heartbeat, 100 ms to 30 days.\n'
	'retry: the retry policy. Default: default for pull, webhook for push.\n'
	'keep_finished: how long finished tasks stay visible, 0 (they are not kept) to 36600 days. They are removed within a '
	'day after that, or within a month if it is more than 31 days.\n'
	'keep_dead: the same for dead, cancelled and expired tasks.\n'
	'keep_key: how long a key stays taken after the end of its task, 0 to 36600 days.\n'
	'durable_finish: if false, a transaction that only finishes tasks does not wait for the disk when it commits. After a '
	'crash the last of these tasks may run again.\n'
	'executor: push only, builtin (the executor inside the server sends) or external (programs such as taskq-worker send).\n'
	'keep_payload: the view tasks also shows payload, body and headers of finished tasks, except headers that may be secret.\n'
	'keep_origin: the view tasks shows who submitted a task: role, application name, client address and process; of a '
	'follow-up, the task that it follows.\n'
	'on_finish, on_dead: follow-ups of each task of the queue, as in submit(). They cannot submit to this queue itself. A queue '
	'of dead tasks, for example: on_dead => ''{"queue": "dead_mail"}''.\n'
	'ordered: the tasks of a group run one at a time, in the order of run_at, then id. A task that failed and is tried again, or was '
	'released, keeps its place and holds its group until then. One that is dead, cancelled or expired gives way to the next. All '
	'tasks have priority 0. Tasks without a group are not ordered.\n'
	'header_style: push only, whose headers the requests have beside taskq''s own, for handlers that were written for another system: '
	'taskq (no others), miyamoto (X-Task, X-Queue), appengine (X-AppEngine-...) or cloudtasks (X-CloudTasks-...). Submitters cannot set '
	'these headers.\n'
	'accept_202: push only, a receiver that answers with status 202 reports the outcome itself: with finish() or fail(), by the id and the '
	'token that the headers X-Task-Id and X-Task-Token of the request have told it. It has lease_for from its answer on, and heartbeat() '
	'gives it more. If the lease runs out, the attempt has failed. Without accept_202, 202 is a success as 200 is.\n'
	'events: the changes of its tasks that become events: see events_after(). Among submitted, started, progress, value, failed, '
	'released, lost, finished, dead, cancelled and expired.\n'
	'Errors: TQ002 if the queue exists; TQ004 for a bad argument; for follow-ups also those of submit_template().';

-- The queues that exist, and those that were dropped and still have tasks.
create view taskq_private.queue_names as
	select id, name from taskq_private.all_queues
	union all
	select id, name from taskq_private.dropped_queue;

-- Waits until no other transaction uses the queues, and keeps new ones out: every call by
-- a client holds a lock on this table until its transaction ends.  TQ009 after 2 s.  Those
-- calls lock the table before any row, and so does this one: no deadlock is possible.
-- It tries for a moment at a time, because calls that come meanwhile wait behind it.
create function taskq_private.lock_queues(queue text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $$
declare
	deadline constant timestamptz := clock_timestamp() + interval '2 s';
begin
	loop
		begin
			lock table taskq_private.queue in exclusive mode;
			return;
		exception when lock_not_available then
			if clock_timestamp() > deadline then
				raise exception using errcode = 'TQ009', message = format('queue "%s" is in use', queue),
					detail = 'A transaction that used a queue of this database is still open.',
					hint = 'Try again when it has ended.';
			end if;
		end;
		perform pg_sleep(0.05);
	end loop;
end
$$;

-- Ends some tasks of a queue that this transaction drops: see src/life/empty.c.
create function taskq_private.empty_queue(queue_id int) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_empty_queue';

-- Removes some keys of a dropped queue.  Returns whether none is left; NULL: open transactions hold
-- the others.
create function taskq_private.drop_queue_keys(queue_id int) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	most constant int := 1000;
	removed int;
begin
	delete from taskq_private.key k where k.ctid = any (array(
		select x.ctid from taskq_private.key x where x.queue_id = drop_queue_keys.queue_id limit most for update skip locked));
	get diagnostics removed = row_count;
	return case when removed = most then false
		when not exists (select from taskq_private.key x where x.queue_id = drop_queue_keys.queue_id) then true end;
end
$$;

-- The requests under way of a queue that was dropped are given up, and its tasks end soon.
create function taskq_private.empty_queues_soon() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_empty_queues_soon';

create function taskq.drop_queue(queue text, force boolean default false) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	q taskq_private.queue%rowtype;
begin
	perform taskq_private.check_name(queue, 'queue');
	if queue in ('default', 'http', 'call') then
		raise exception using errcode = 'TQ009', message = format('queue "%s" cannot be dropped', queue),
			detail = 'The queues default, http and call exist from the start.', hint = 'Leave it unused instead.';
	end if;
	-- No task may come between the look and the commit.
	if not coalesce(force, false) then
		perform taskq_private.lock_queues(queue);
	end if;
	delete from taskq_private.queue t where t.name = drop_queue.queue returning * into q;
	if not found then
		return false;
	end if;
	if not coalesce(force, false) and exists (select from taskq_private.tasks_by_queue t where t.queue_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks', queue),
			detail = 'Dropping it would end them.',
			hint = 'Wait for them to end, or call taskq.drop_queue(queue, force => true), which cancels them.';
	end if;
	insert into taskq_private.dropped_queue (id, name, mode, keep_finished, keep_dead, dropped_at, events)
		values (q.id, q.name, q.mode, q.keep_finished, q.keep_dead, clock_timestamp(), q.events);
	delete from taskq_private.endpoint e where e.queue_id = q.id;
	delete from taskq_private.flow_limit f where f.queue_id = q.id;
	delete from taskq_private.endpoint_secret s where s.queue_id = q.id;
	delete from taskq_private.subscription s where q.id in (s.topic_id, s.queue_id);
	perform taskq_private.queues_changed();
	-- Some of its tasks and keys.  There may be many, and the rest is left to the executor.
	perform taskq_private.empty_queue(q.id);
	perform taskq_private.drop_queue_keys(q.id);
	perform taskq_private.empty_queues_soon();
	-- At last, because other sessions that drop queues or change privileges wait from here on.
	perform taskq_private.drop_grants(q.id);
	return true;
end
$$;
comment on function taskq.drop_queue is
	E'Drops a queue; if it is an endpoint, the endpoint too. Its subscriptions end, and so do those of a topic. Ended '
	'tasks stay visible as long as they would have otherwise.\n'
	'queue: its name. It can be used for a new queue at once.\n'
	'force: cancel the live tasks of the queue, running ones too; their workers lose the lease. This includes tasks whose '
	'submission commits later. When the drop commits, all of them are cancelled. If there are many, the executor moves '
	'their rows to the ended tasks afterwards, in small steps. Without force, live tasks are an error.\n'
	'Returns false if there is no such queue.\n'
	'Errors: TQ004 for a bad name; TQ009 for the queues default, http and call and, without force, for live tasks and if a '
	'transaction that has used any queue of this database stays open for more than 2 s.';

-- Whether all transactions have ended that may still submit to a queue that was dropped: those
-- that held a lock as client calls do, at a moment when no transaction that changes queues was
-- left.  A session that locks the table later knows what was dropped.
create function taskq_private.is_forgotten(queue_id int) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	known text[];
	calls text[];
	changes boolean;
begin
	-- Without an executor, a session does this in its own transaction, which may stay open.
	select d.lockers into known from taskq_private.dropped_queue d where d.id = queue_id for update skip locked;
	if not found then
		return false;
	end if;
	select coalesce(array_agg(l.virtualtransaction), '{}'), bool_or(l.mode not in ('AccessShareLock', 'RowShareLock'))
		into calls, changes
		from pg_locks l
		where l.relation = 'taskq_private.queue'::regclass and l.mode <> 'AccessShareLock'
			and l.database = (select d.oid from pg_database d where d.datname = current_database());
	if known is null and not coalesce(changes, false) then
		known := calls;
		update taskq_private.dropped_queue d set lockers = calls where d.id = queue_id;
	end if;
	return coalesce(not known && calls, false);
end
$$;

-- Forgets a dropped queue that has no tasks any more, once its keys are removed.  Returns whether it
-- is forgotten; NULL: an open transaction is in the way.
create function taskq_private.forget_queue(queue_id int) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	gone boolean;
begin
	perform from taskq_private.dropped_queue d where d.id = forget_queue.queue_id for update skip locked;
	if not found then
		return null;
	end if;
	gone := taskq_private.drop_queue_keys(queue_id);
	if gone then
		delete from taskq_private.start_mark m where m.queue_id = forget_queue.queue_id;
		delete from taskq_private.dropped_queue d where d.id = forget_queue.queue_id;
	end if;
	return gone;
end
$$;

-- Locks and returns the row of a queue, for a change.  A queue that exists from the start
-- gets its row here.
create function taskq_private.own_queue(queue text) returns taskq_private.queue
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	q taskq_private.queue%rowtype;
begin
	perform taskq_private.check_name(queue, 'queue');
	insert into taskq_private.queue (id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused,
			created_at, durable_finish, executor, keep_payload, keep_origin, on_finish, on_dead, ordered, header_style, accept_202,
			events)
		select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused,
			clock_timestamp(), durable_finish, executor, keep_payload, keep_origin, on_finish, on_dead, ordered, header_style, accept_202,
			events
		from taskq_private.all_queues v where v.name = own_queue.queue and v.id < 100
		on conflict do nothing;
	select * into q from taskq_private.queue t where t.name = own_queue.queue for update;
	if not found then
		raise exception using errcode = 'TQ001', message = format('queue "%s" does not exist', queue),
			detail = 'No queue of that name was created in this database.',
			hint = 'taskq.create_queue() creates it; taskq.queues shows all queues.';
	end if;
	return q;
end
$$;

create function taskq_private.change_queue(queue text, mode text, url text, lease_for interval,
	retry text, keep_finished interval, keep_dead interval,
	keep_key interval, durable_finish boolean, executor text,
	keep_payload boolean, keep_origin boolean, on_finish jsonb,
	on_dead jsonb, ordered boolean, header_style text, accept_202 boolean,
	events text[], caller oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	q taskq_private.queue%rowtype;
	old_mode text;
	old_ordered boolean;
	wrong text;
begin
	if mode is not null or ordered is not null then
		perform taskq_private.lock_queues(queue);
	end if;
	q := taskq_private.own_queue(queue);
	old_mode := q.mode;
	old_ordered := q.ordered;
	q.ordered := coalesce(ordered, q.ordered);
	q.mode := coalesce(mode, q.mode);
	q.url := nullif(coalesce(url, q.url), '');
	q.lease_for := coalesce(lease_for, q.lease_for);
	q.retry := coalesce(retry, q.retry);
	q.keep_finished := coalesce(keep_finished, q.keep_finished);
	q.keep_dead := coalesce(keep_dead, q.keep_dead);
	q.keep_key := coalesce(keep_key, q.keep_key);
	q.durable_finish := coalesce(durable_finish, q.durable_finish);
	q.executor := coalesce(executor, q.executor);
	q.keep_payload := coalesce(keep_payload, q.keep_payload);
	q.keep_origin := coalesce(keep_origin, q.keep_origin);
	q.header_style := coalesce(header_style, q.header_style);
	q.accept_202 := coalesce(accept_202, q.accept_202);
	q.events := coalesce(events, q.events);
	if on_finish is not null then
		q.on_finish := taskq_private.judge_follow_ups(queue, on_finish, 'on_finish', caller);
	end if;
	if on_dead is not null then
		q.on_dead := taskq_private.judge_follow_ups(queue, on_dead, 'on_dead', caller);
	end if;
	wrong := taskq_private.queue_fault(q.mode, q.url, q.lease_for, q.retry, q.keep_finished, q.keep_dead, q.keep_key,
		q.executor, q.on_finish is not null or q.on_dead is not null, q.ordered, q.header_style, q.accept_202, q.events);
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Queue "%s" was not changed.', queue), hint = 'See the comment of taskq.create_queue().';
	end if;
	if q.url is not null then
		q.url := taskq_private.check_url(q.url);
	end if;
	if exists (select from taskq_private.endpoint e where e.queue_id = q.id) then
		if q.mode <> 'push' then
			raise exception using errcode = 'TQ009', message = format('queue "%s" is an endpoint', queue),
				detail = 'The tasks of an endpoint are sent.', hint = 'Create a pull queue with another name.';
		end if;
		perform taskq_private.endpoint_url(q.url);
		perform taskq_private.check_headers((select jsonb_object_agg(h, ''::text) from taskq_private.endpoint e, unnest(e.header_names) as h
			where e.queue_id = q.id), q.header_style);
		if url is not null then
			perform taskq_private.reset_endpoint(q.id);
		end if;
	end if;
	if q.mode <> old_mode and exists (select from taskq_private.tasks_by_queue t where t.queue_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks', queue),
			detail = 'Tasks of one mode cannot be performed in the other.', hint = 'Wait for them to end, or create another queue.';
	end if;
	if q.ordered <> old_ordered and exists (select from taskq_private.task t where t.queue_id = q.id and t.group_id is not null) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks with a group', queue),
			detail = 'The order of a group cannot change while it has tasks.',
			hint = 'Wait for them to end, or create another queue.';
	end if;
	perform taskq_private.check_subscriptions(q, old_mode);
	update taskq_private.queue t set (mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, durable_finish, executor,
				keep_payload, keep_origin, on_finish, on_dead, ordered, header_style, accept_202, events) =
			(q.mode, q.url, q.lease_for, q.retry, q.keep_finished, q.keep_dead, q.keep_key, q.durable_finish, q.executor,
				q.keep_payload, q.keep_origin, q.on_finish, q.on_dead, q.ordered, q.header_style, q.accept_202, q.events)
		where t.id = q.id;
	perform taskq_private.queues_changed();
	perform taskq_private.wake_executor();
end
$$;
create function taskq.alter_queue(queue text, mode text default null, url text default null, lease_for interval default null,
	retry text default null, keep_finished interval default null, keep_dead interval default null,
	keep_key interval default null, durable_finish boolean default null, executor text default null,
	keep_payload boolean default null, keep_origin boolean default null, on_finish jsonb default null,
	on_dead jsonb default null, ordered boolean default null, header_style text default null, accept_202 boolean default null,
	events text[] default null) returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_alter_queue';
comment on function taskq.alter_queue is
	E'Changes a queue. An argument that is NULL leaves its setting as it is.\n'
	'queue: its name. default, http and call can be changed too.\n'
	'mode: can only be changed while the queue has no live tasks, and a topic no subscribers.\n'
	'url: an empty string removes the url. A push queue that is subscribed to a topic needs one.\n'
	'lease_for, keep_finished, keep_dead, keep_key, keep_payload: apply to tasks that are acquired, or end, from now on.\n'
	'keep_origin: applies to tasks that are submitted from now on.\n'
	'on_finish, on_dead: apply to each end from now on; ''[]'' removes them.\n'
	'retry: applies to each failure from now on of a task that was submitted without a policy; its max_attempts applies to '
	'tasks that are submitted from now on.\n'
	'executor: requests that are already being sent are completed by their current sender.\n'
	'accept_202: applies to requests that are sent, and to answers that come, from now on.\n'
	'events: applies to changes from now on; ''{}'': none.\n'
	'header_style: applies to requests that are sent from now on; headers of that style which submitters have set before are left out.\n'
	'ordered: can only be changed while the queue has no live tasks with a group.\n'
	'The arguments are those of create_queue().\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ009 if mode or ordered is given and the queue is in use or has such live '
	'tasks, if mode is given and the queue is an endpoint, and if a subscription is in the way.';

-- The public functions pause_queue(), resume_queue() and purge_queue() check that the
-- caller may control the queue.  Then they run the private functions as taskq_owner.

create function taskq_private.pause(queue text, paused boolean) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	q taskq_private.queue%rowtype := taskq_private.own_queue(queue);
begin
	update taskq_private.queue t set (paused, pause_reason) = (pause.paused, null) where t.id = q.id;
	if not paused then
		perform taskq_private.reset_endpoint(q.id);
	end if;
	perform taskq_private.queues_changed();
	perform taskq_private.wake_executor();
	return q.paused <> pause.paused;
end
$$;

create function taskq.pause_queue(queue text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_pause_queue';
comment on function taskq.pause_queue is
	E'Pauses a queue: its pending tasks are neither acquired nor sent until resume_queue(). Running tasks go on, and tasks '
	'can be submitted. Times go on too: start_within, and the max_age of the retry policy.\n'
	'queue: its name.\n'
	'Returns false if the queue was already paused.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 the queue is a topic; TQ007 no privilege control on the queue.';

create function taskq.resume_queue(queue text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_resume_queue';
comment on function taskq.resume_queue is
	E'Ends a pause: that of pause_queue(), or that of an endpoint which answered 410 Gone. It also closes the circuit of an '
	'endpoint.\n'
	'queue: its name.\n'
	'Returns false if the queue was not paused.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 the queue is a topic; TQ007 no privilege control on the queue.';

-- Cancels a task if it is pending.
create function taskq_private.purge_task(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_purge_task';

create function taskq_private.purge(queue text, max_tasks int) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	own constant int := (select q.id from taskq_private.all_queues q where q.name = purge.queue);
	purged bigint;
begin
	-- By key, the order in which submit_many() takes keys: so no deadlock is possible.
	select count(*) filter (where taskq_private.purge_task(t.id)) into purged
		from (select p.id from (
				select t.id, t.key from taskq_private.tasks_by_queue t
				where t.queue_id = own and not exists (select from taskq_private.lease l where l.id = t.id) limit max_tasks) as p
			order by p.key collate "C", p.id) as t;
	return purged;
end
$$;

create function taskq.purge_queue(queue text, max_tasks int default null) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_purge_queue';
comment on function taskq.purge_queue is
	E'Cancels the pending tasks of a queue, also those with a later run_at. Running tasks are not touched.\n'
	'queue: its name.\n'
	'max_tasks: 1 to 100000, or NULL for all. A large queue takes long and is one transaction; in batches, call it in new '
	'transactions until it returns 0.\n'
	'Returns the number of cancelled tasks.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 the queue is a topic; TQ007 no privilege control on the queue.';
