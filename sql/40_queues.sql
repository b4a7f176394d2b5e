-- Queues: made, seen and dropped here; src/queue.c reads them for a session.

create function taskq._queues_changed() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_queues_changed';

create function taskq._check_url(url text) returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_check_url';

create function taskq._check_name(name text, what text) returns void
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

-- Made queues and those that exist from the start, which are rows here and
-- not in the table: a dump never brings a second copy of them back.
create view taskq._queues as
	select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, created_at, false as built_in
	from taskq.queue
	union all
	select id, name, mode, null, interval '60 s', retry, interval '1 day', interval '30 days', interval '1 hour', null, true
	from (values (1, 'default' collate "C", 'pull', 'default'), (2, 'http', 'push', 'webhook')) as shipped (id, name, mode, retry);

create view taskq.queues as
	select name as queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, created_at
	from taskq._queues;
comment on view taskq.queues is
'One row a queue: its mode (pull: clients acquire its tasks; push: the executor sends them as HTTP requests) and settings. created_at is NULL for the queues that exist from the start.';

create function taskq.create_queue(queue text, mode text default 'pull', url text default null,
	lease_for interval default '60 s', retry text default null, keep_finished interval default '1 day',
	keep_dead interval default '30 days', keep_key interval default '1 hour') returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	wrong text;
	longest constant interval := '36600 days';
begin
	perform taskq._check_name(queue, 'queue');
	wrong := case
		when mode is null or mode not in ('pull', 'push') then 'mode must be pull or push'
		when mode = 'pull' and url is not null then 'a pull queue has no url'
		when lease_for is null or lease_for < interval '100 ms' or lease_for > interval '30 days'
			then 'lease_for must be between 100 ms and 30 days'
		when keep_finished is null or keep_finished < interval '0' or keep_finished > longest
			then 'keep_finished must be between 0 and 36600 days'
		when keep_dead is null or keep_dead < interval '0' or keep_dead > longest
			then 'keep_dead must be between 0 and 36600 days'
		when keep_key is null or keep_key < interval '0' or keep_key > longest
			then 'keep_key must be between 0 and 36600 days'
		when retry is not null and not exists (select from taskq._retry_policies p where p.name = retry)
			then format('retry policy "%s" does not exist', retry)
	end;
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Queue "%s" was not created.', queue), hint = 'See the comment of taskq.create_queue().';
	end if;
	if url is not null then
		perform taskq._check_url(url);
	end if;
	if queue in ('default', 'http') then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'The queues default and http exist from the start.', hint = 'Choose another name.';
	end if;
	begin
		insert into taskq.queue (id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, created_at)
			values (nextval('taskq.queue_id'), queue, mode, url, lease_for,
				coalesce(retry, case mode when 'push' then 'webhook' else 'default' end),
				keep_finished, keep_dead, keep_key, clock_timestamp());
	exception when unique_violation then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'Queue names are unique in a database.', hint = 'Choose another name, or use the queue that is there.';
	end;
	perform taskq._arm_if_new();
	perform taskq._queues_changed();
end
$$;
comment on function taskq.create_queue(text, text, text, interval, text, interval, interval, interval) is
'Creates a queue. queue: its name, 1 to 57 bytes. mode: pull (clients acquire the tasks) or push (the executor sends them as HTTP requests). url: push only, where the payload of submit() is POSTed. lease_for: how long an attempt owns its task without a heartbeat, 100 ms to 30 days. retry: the retry policy; default: default for pull, webhook for push. keep_finished, keep_dead: how long ended tasks stay visible (0: not kept); they go within a day after that. keep_key: how long a key stays taken after the end. Errors: TQ002 when the queue exists, TQ004 for a bad argument.';

create function taskq.drop_queue(queue text, force boolean default false) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
	q taskq.queue%rowtype;
begin
	perform taskq._check_name(queue, 'queue');
	if queue in ('default', 'http') then
		raise exception using errcode = 'TQ009', message = format('queue "%s" cannot be dropped', queue),
			detail = 'The queues default and http exist from the start.', hint = 'Leave it unused instead.';
	end if;
	-- Every submit holds a lock on this table until its transaction ends, so none slips in between.
	begin
		lock table taskq.queue in exclusive mode;
	exception when lock_not_available then
		raise exception using errcode = 'TQ009', message = format('queue "%s" is in use', queue),
			detail = 'A transaction that submitted tasks is still open.', hint = 'Try again when it has ended.';
	end;
	select * into q from taskq.queue where name = drop_queue.queue;
	if not found then
		return false;
	end if;
	if not coalesce(force, false) and exists (select from taskq.task t where t.queue_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks', queue),
			detail = 'Dropping it would end them.', hint = 'Wait for them to end, or call taskq.drop_queue(queue, force => true), which cancels them.';
	end if;
	perform taskq._cancel_task(t.id, 'queue dropped') from taskq.task t where t.queue_id = q.id;
	delete from taskq.queue where id = q.id;
	perform taskq._queues_changed();
	return true;
end
$$;
comment on function taskq.drop_queue(text, boolean) is
'Drops a queue. queue: its name. force: cancel its live tasks, running ones too (their workers lose the lease); without it, live tasks are an error. What has ended stays visible for its time. Result: false when there is no such queue. Errors: TQ009 for live tasks, for a queue that exists from the start, and while a transaction that submitted is open for more than 2 s; TQ004 for a bad name.';
