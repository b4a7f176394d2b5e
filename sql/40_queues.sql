-- Queues: creating, showing, changing and dropping them.  queue.c reads them for a session.

-- Every session reads the queues, retry policies and privileges again.
create function taskq_private.queues_changed() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_queues_changed';

-- Returns the url with its host in ASCII.  TQ004 if a task may not have it.
create function taskq_private.check_url(url text) returns text
language c volatile as 'MODULE_PATHNAME', 'taskq_check_url';

-- TQ004 for a bad name; what: the kind of object, for the message.
create function taskq_private.check_name(name text, what text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	wrong constant text := case
		when name is null then 'must not be NULL'
		when name = '' then 'must not be empty'
		when octet_length(name) > 57 then 'must not be longer than 57 bytes'
		when name ~ '[[:cntrl:]]' then 'must not contain control characters'
	end;
begin
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = format('name of a %s %s', what, wrong),
			detail = 'Names are 1 to 57 bytes long.', hint = 'Choose another name.';
	end if;
end
$$;

-- Queues that were created, and those that exist from the start.  The latter are rows
-- of this view, and of the table only after a change, so that a dump does not restore a
-- second copy.
create view taskq_private.all_queues as
	select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at, durable_finish,
		executor, pause_reason
	from taskq_private.queue
	union all
	select id, name, mode, null, interval '60 s', retry, interval '1 day', interval '30 days', interval '1 hour', false, null, true,
		'builtin', null
	from (values (1, 'default' collate "C", 'pull', 'default'), (2, 'http', 'push', 'webhook')) as shipped (id, name, mode, retry)
	where not exists (select from taskq_private.queue q where q.id = shipped.id);

-- Whether the caller may view the tasks of a queue.  Those of a dropped queue only an
-- administrator may view.
create function taskq_private.visible(queue text) returns boolean
language c stable strict parallel restricted as 'MODULE_PATHNAME', 'taskq_visible';

create view taskq.queues with (security_barrier) as
	select name as queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at, durable_finish,
		executor, pause_reason
	from taskq_private.all_queues
	where taskq_private.visible(name);
comment on view taskq.queues is
	E'One row for each queue that the caller may view.\n'
	'mode: pull (clients acquire the tasks) or push (the tasks are sent as HTTP requests).\n'
	'executor: builtin (the executor inside the server sends) or external (programs such as taskq-worker send).\n'
	'pause_reason: why the queue is paused, if taskq did that by itself.\n'
	'created_at: NULL for a queue that exists from the start and was not changed.\n'
	'The other columns are the arguments of create_queue().';

-- What is wrong with the settings of a queue, or NULL.
create function taskq_private.queue_fault(mode text, url text, lease_for interval, retry text, keep_finished interval,
	keep_dead interval, keep_key interval, executor text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when mode is null or mode not in ('pull', 'push') then 'mode must be pull or push'
		when mode = 'pull' and url is not null then 'a pull queue has no url'
		when executor is null or executor not in ('builtin', 'external') then 'executor must be builtin or external'
		when mode = 'pull' and executor <> 'builtin' then 'a pull queue has no external executor'
		when lease_for is null or lease_for < interval '100 ms' or lease_for > interval '30 days'
			then 'lease_for must be between 100 ms and 30 days'
		when keep_finished is null or keep_finished < interval '0' or keep_finished > interval '36600 days'
			then 'keep_finished must be between 0 and 36600 days'
		when keep_dead is null or keep_dead < interval '0' or keep_dead > interval '36600 days'
			then 'keep_dead must be between 0 and 36600 days'
		when keep_key is null or keep_key < interval '0' or keep_key > interval '36600 days'
			then 'keep_key must be between 0 and 36600 days'
		when not exists (select from taskq_private.all_retry_policies p where p.name = retry)
			then format('retry policy "%s" does not exist', retry)
	end
$$;

create function taskq.create_queue(queue text, mode text default 'pull', url text default null,
	lease_for interval default '60 s', retry text default null, keep_finished interval default '1 day',
	keep_dead interval default '30 days', keep_key interval default '1 hour', durable_finish boolean default true,
	executor text default 'builtin') returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	wrong text;
begin
	perform taskq_private.check_name(queue, 'queue');
	retry := coalesce(retry, case mode when 'push' then 'webhook' else 'default' end);
	wrong := taskq_private.queue_fault(mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, executor);
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Queue "%s" was not created.', queue), hint = 'See the comment of taskq.create_queue().';
	end if;
	if url is not null then
		url := taskq_private.check_url(url);
	end if;
	if queue in ('default', 'http') then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'The queues default and http exist from the start.', hint = 'Choose another name.';
	end if;
	begin
		insert into taskq_private.queue (id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused,
				created_at, durable_finish, executor)
			values (nextval('taskq_private.queue_id'), queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key,
				false, clock_timestamp(), coalesce(durable_finish, true), executor);
	exception when unique_violation then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'Queue names are unique in a database.', hint = 'Choose another name, or use the existing queue.';
	end;
	perform taskq_private.arm_if_new();
	perform taskq_private.queues_changed();
end
$$;
comment on function taskq.create_queue is
	E'Creates a queue.\n'
	'queue: its name, 1 to 57 bytes.\n'
	'mode: pull (clients acquire the tasks) or push (the tasks are sent as HTTP requests).\n'
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
	'Errors: TQ002 if the queue exists; TQ004 for a bad argument.';

-- Waits until no other transaction uses the queues, and keeps new ones out: every call by
-- a client holds a lock on this table until its transaction ends.  TQ009 after 2 s.  Those
-- calls lock the table before any row, and so does this one: no deadlock is possible.
create function taskq_private.lock_queues(queue text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
begin
	lock table taskq_private.queue in exclusive mode;
exception when lock_not_available then
	raise exception using errcode = 'TQ009', message = format('queue "%s" is in use', queue),
		detail = 'A transaction that used a queue of this database is still open.', hint = 'Try again when it has ended.';
end
$$;

create function taskq.drop_queue(queue text, force boolean default false) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	q taskq_private.queue%rowtype;
begin
	perform taskq_private.check_name(queue, 'queue');
	if queue in ('default', 'http') then
		raise exception using errcode = 'TQ009', message = format('queue "%s" cannot be dropped', queue),
			detail = 'The queues default and http exist from the start.', hint = 'Leave it unused instead.';
	end if;
	perform taskq_private.lock_queues(queue);
	select * into q from taskq_private.queue where name = drop_queue.queue;
	if not found then
		return false;
	end if;
	if not coalesce(force, false) and exists (select from taskq_private.task t where t.queue_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks', queue),
			detail = 'Dropping it would end them.',
			hint = 'Wait for them to end, or call taskq.drop_queue(queue, force => true), which cancels them.';
	end if;
	-- By key, the order in which submit_many() takes keys: so no deadlock is possible.
	perform taskq_private.cancel_task(t.id, 'queue dropped')
		from (select t.id from taskq_private.task t where t.queue_id = q.id order by t.key collate "C", t.id) as t;
	delete from taskq_private.key k where k.queue_id = q.id;
	delete from taskq_private.endpoint e where e.queue_id = q.id;
	delete from taskq_private.endpoint_secret s where s.queue_id = q.id;
	delete from taskq_private.queue where id = q.id;
	perform taskq_private.drop_grants(q.id);
	perform taskq_private.queues_changed();
	return true;
end
$$;
comment on function taskq.drop_queue is
	E'Drops a queue; if it is an endpoint, the endpoint too. Ended tasks stay visible as long as they would have otherwise.\n'
	'queue: its name.\n'
	'force: cancel the live tasks of the queue, running ones too; their workers lose the lease. Without force, live tasks '
	'are an error.\n'
	'Returns false if there is no such queue.\n'
	'Errors: TQ004 for a bad name; TQ009 for live tasks, for the queues default and http, and if a transaction that has '
	'used any queue of this database stays open for more than 2 s.';

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
			created_at, durable_finish, executor)
		select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused,
			clock_timestamp(), durable_finish, executor
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

create function taskq.alter_queue(queue text, mode text default null, url text default null, lease_for interval default null,
	retry text default null, keep_finished interval default null, keep_dead interval default null,
	keep_key interval default null, durable_finish boolean default null, executor text default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	q taskq_private.queue%rowtype;
	old_mode text;
	wrong text;
begin
	if mode is not null then
		perform taskq_private.lock_queues(queue);
	end if;
	q := taskq_private.own_queue(queue);
	old_mode := q.mode;
	q.mode := coalesce(mode, q.mode);
	q.url := nullif(coalesce(url, q.url), '');
	q.lease_for := coalesce(lease_for, q.lease_for);
	q.retry := coalesce(retry, q.retry);
	q.keep_finished := coalesce(keep_finished, q.keep_finished);
	q.keep_dead := coalesce(keep_dead, q.keep_dead);
	q.keep_key := coalesce(keep_key, q.keep_key);
	q.durable_finish := coalesce(durable_finish, q.durable_finish);
	q.executor := coalesce(executor, q.executor);
	wrong := taskq_private.queue_fault(q.mode, q.url, q.lease_for, q.retry, q.keep_finished, q.keep_dead, q.keep_key,
		q.executor);
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
		if url is not null then
			perform taskq_private.reset_endpoint(q.id);
		end if;
	end if;
	if q.mode <> old_mode and exists (select from taskq_private.task t where t.queue_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks', queue),
			detail = 'Tasks of one mode cannot be performed in the other.', hint = 'Wait for them to end, or create another queue.';
	end if;
	update taskq_private.queue t set (mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, durable_finish, executor) =
			(q.mode, q.url, q.lease_for, q.retry, q.keep_finished, q.keep_dead, q.keep_key, q.durable_finish, q.executor)
		where t.id = q.id;
	perform taskq_private.queues_changed();
	perform taskq_private.wake_executor();
end
$$;
comment on function taskq.alter_queue is
	E'Changes a queue. An argument that is NULL leaves its setting as it is.\n'
	'queue: its name. default and http can be changed too.\n'
	'mode: can only be changed while the queue has no live tasks.\n'
	'url: an empty string removes the url.\n'
	'lease_for, keep_finished, keep_dead, keep_key: apply to tasks that are acquired, or end, from now on.\n'
	'retry: applies to each failure from now on of a task that was submitted without a policy; its max_attempts applies to '
	'tasks that are submitted from now on.\n'
	'executor: requests that are already being sent are completed by their current sender.\n'
	'The arguments are those of create_queue().\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ009 if mode is given and the queue has live tasks, is an endpoint, '
	'or is in use.';

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
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege control on the queue.';

create function taskq.resume_queue(queue text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_resume_queue';
comment on function taskq.resume_queue is
	E'Ends a pause: that of pause_queue(), or that of an endpoint which answered 410 Gone. It also closes the circuit of an '
	'endpoint.\n'
	'queue: its name.\n'
	'Returns false if the queue was not paused.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege control on the queue.';

-- Cancels a task if it is pending.
create function taskq_private.purge_task(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_purge_task';

create function taskq_private.purge(queue_id int) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	purged bigint;
begin
	-- By key, the order in which submit_many() takes keys: so no deadlock is possible.
	select count(*) filter (where taskq_private.purge_task(t.id)) into purged
		from (select t.id from taskq_private.task t where t.queue_id = purge.queue_id order by t.key collate "C", t.id) as t;
	return purged;
end
$$;

create function taskq.purge_queue(queue text) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_purge_queue';
comment on function taskq.purge_queue is
	E'Cancels the pending tasks of a queue, also those with a later run_at. Running tasks are not touched.\n'
	'queue: its name.\n'
	'Returns the number of cancelled tasks.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege control on the queue.';
