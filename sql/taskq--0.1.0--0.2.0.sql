-- From 0.1.0 to 0.2.0: rights on single queues, queue_stats(), durable_finish,
-- dispatch from shared memory.  What is the same as in a new installation is
-- written as there; test/t/020_upgrade.pl compares the two.

\echo Use "ALTER EXTENSION taskq UPDATE TO '0.2.0'" to load this file. \quit

-- Nobody is in the middle of a call meanwhile.
set local lock_timeout = '10s';
lock table taskq.queue in access exclusive mode;

-- Not with a default, which would stay in the catalog for the rows that are there.
alter table taskq.queue add column durable_finish boolean;
update taskq.queue set durable_finish = true;
alter table taskq.queue alter column durable_finish set not null;

alter table taskq.attempt add column times jsonb;

alter table taskq.queue add column executor text constraint queue_executor check (executor in ('builtin', 'external'));
update taskq.queue set executor = 'builtin';
alter table taskq.queue alter column executor set not null;

alter table taskq.queue add column pause_reason text;

create table taskq.endpoint (
	queue_id int not null constraint endpoint_pkey primary key,
	header_names text[] not null,	-- what endpoint_secret has to hold
	signed boolean not null,
	timeout interval,
	max_running int,
	rate real						-- requests a second
);
select pg_catalog.pg_extension_config_dump('taskq.endpoint', '');

create table taskq.endpoint_secret (
	queue_id int not null constraint endpoint_secret_pkey primary key,
	headers jsonb,
	secret bytea,
	old_secret bytea,				-- signs, too, until then
	old_until timestamptz
);

create table taskq.queue_grant (
	queue_id int not null,
	role regrole not null,
	privilege text not null constraint queue_grant_privilege check (privilege in ('submit', 'work', 'view', 'control')),
	constraint queue_grant_pkey primary key (queue_id, role, privilege)
);
select pg_catalog.pg_extension_config_dump('taskq.queue_grant', '');

create or replace view taskq._queues as
	select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at, durable_finish, executor, pause_reason
	from taskq.queue
	union all
	select id, name, mode, null, interval '60 s', retry, interval '1 day', interval '30 days', interval '1 hour', false, null, true, 'builtin', null
	from (values (1, 'default' collate "C", 'pull', 'default'), (2, 'http', 'push', 'webhook')) as shipped (id, name, mode, retry)
	where not exists (select from taskq.queue q where q.id = shipped.id);

create function taskq._visible(queue text) returns boolean
language c stable strict parallel restricted as 'MODULE_PATHNAME', 'taskq_visible';

create or replace view taskq.queues with (security_barrier) as
	select name as queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at, durable_finish, executor, pause_reason
	from taskq._queues
	where taskq._visible(name);

comment on view taskq.queues is
'One row a queue that the caller may view: its mode (pull: clients acquire its tasks; push: they are sent as HTTP requests, by the executor inside the server or by external workers), its settings, whether it is paused, and why if nobody has asked for it. created_at is NULL for the queues that exist from the start until they are changed.';

drop function taskq._queue_wrong(text, text, interval, text, interval, interval, interval);
create function taskq._queue_wrong(mode text, url text, lease_for interval, retry text, keep_finished interval,
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
		when not exists (select from taskq._retry_policies p where p.name = retry)
			then format('retry policy "%s" does not exist', retry)
	end
$$;


drop function taskq._check_url(text);
create function taskq._check_url(url text) returns text
language c volatile as 'MODULE_PATHNAME', 'taskq_check_url';

drop function taskq.create_queue(text, text, text, interval, text, interval, interval, interval);
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
	perform taskq._check_name(queue, 'queue');
	retry := coalesce(retry, case mode when 'push' then 'webhook' else 'default' end);
	wrong := taskq._queue_wrong(mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, executor);
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Queue "%s" was not created.', queue), hint = 'See the comment of taskq.create_queue().';
	end if;
	if url is not null then
		url := taskq._check_url(url);
	end if;
	if queue in ('default', 'http') then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'The queues default and http exist from the start.', hint = 'Choose another name.';
	end if;
	begin
		insert into taskq.queue (id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at, durable_finish,
				executor)
			values (nextval('taskq.queue_id'), queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key,
				false, clock_timestamp(), coalesce(durable_finish, true), executor);
	exception when unique_violation then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'Queue names are unique in a database.', hint = 'Choose another name, or use the queue that is there.';
	end;
	perform taskq._arm_if_new();
	perform taskq._queues_changed();
end
$$;

comment on function taskq.create_queue(text, text, text, interval, text, interval, interval, interval, boolean, text) is
'Creates a queue. queue: its name, 1 to 57 bytes. mode: pull (clients acquire the tasks) or push (they are sent as HTTP requests). url: push only, where the payload of submit() is POSTed. executor: push only, who sends: builtin (the executor inside the server) or external (programs such as taskq-worker). lease_for: how long an attempt owns its task without a heartbeat, 100 ms to 30 days. retry: the retry policy; default: default for pull, webhook for push. keep_finished, keep_dead: how long ended tasks stay visible, 0 (not kept) to 36600 days; they go within a day after that. keep_key: how long a key stays taken after the end, 0 to 36600 days. durable_finish: false lets a transaction that did nothing but finish tasks commit without waiting for the disk, so that a crash can undo the last of them and they are run again. Errors: TQ002 when the queue exists, TQ004 for a bad argument.';

create or replace function taskq.drop_queue(queue text, force boolean default false) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
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
	perform taskq._lock_queues(queue);
	select * into q from taskq.queue where name = drop_queue.queue;
	if not found then
		return false;
	end if;
	if not coalesce(force, false) and exists (select from taskq.task t where t.queue_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks', queue),
			detail = 'Dropping it would end them.', hint = 'Wait for them to end, or call taskq.drop_queue(queue, force => true), which cancels them.';
	end if;
	-- In the order in which submit_many() takes keys.
	perform taskq._cancel_task(t.id, 'queue dropped')
		from (select t.id from taskq.task t where t.queue_id = q.id order by t.key collate "C", t.id) as t;
	delete from taskq.key k where k.queue_id = q.id;
	delete from taskq.endpoint e where e.queue_id = q.id;
	delete from taskq.endpoint_secret s where s.queue_id = q.id;
	delete from taskq.queue where id = q.id;
	perform taskq._drop_grants(q.id);
	perform taskq._queues_changed();
	return true;
end
$$;

comment on function taskq.drop_queue(text, boolean) is
'Drops a queue, and the endpoint that it is, if it is one. queue: its name. force: cancel its live tasks, running ones too (their workers lose the lease); without it, live tasks are an error. What has ended stays visible for its time. Result: false when there is no such queue. Errors: TQ009 for live tasks, for a queue that exists from the start, and while a transaction that used a queue of this database is open for more than 2 s; TQ004 for a bad name.';

create or replace function taskq._own_queue(queue text) returns taskq.queue
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	q taskq.queue%rowtype;
begin
	perform taskq._check_name(queue, 'queue');
	insert into taskq.queue (id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at, durable_finish,
			executor)
		select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, clock_timestamp(), durable_finish,
			executor
		from taskq._queues v where v.name = _own_queue.queue and v.id < 100
		on conflict do nothing;
	select * into q from taskq.queue t where t.name = _own_queue.queue for update;
	if not found then
		raise exception using errcode = 'TQ001', message = format('queue "%s" does not exist', queue),
			detail = 'No queue of that name was created in this database.',
			hint = 'taskq.create_queue() creates it; taskq.queues shows all there are.';
	end if;
	return q;
end
$$;

drop function taskq.alter_queue(text, text, text, interval, text, interval, interval, interval);
create function taskq.alter_queue(queue text, mode text default null, url text default null, lease_for interval default null,
	retry text default null, keep_finished interval default null, keep_dead interval default null,
	keep_key interval default null, durable_finish boolean default null, executor text default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	q taskq.queue%rowtype;
	old_mode text;
	wrong text;
begin
	if mode is not null then
		perform taskq._lock_queues(queue);
	end if;
	q := taskq._own_queue(queue);
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
	wrong := taskq._queue_wrong(q.mode, q.url, q.lease_for, q.retry, q.keep_finished, q.keep_dead, q.keep_key,
		q.executor);
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Queue "%s" was not changed.', queue), hint = 'See the comment of taskq.create_queue().';
	end if;
	if q.url is not null then
		q.url := taskq._check_url(q.url);
	end if;
	if exists (select from taskq.endpoint e where e.queue_id = q.id) then
		if q.mode <> 'push' then
			raise exception using errcode = 'TQ009', message = format('queue "%s" is an endpoint', queue),
				detail = 'The tasks of an endpoint are sent.', hint = 'Make a pull queue of another name.';
		end if;
		perform taskq._endpoint_url(q.url);
		if url is not null then
			perform taskq._reset_endpoint(q.id);
		end if;
	end if;
	if q.mode <> old_mode and exists (select from taskq.task t where t.queue_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks', queue),
			detail = 'Tasks of one mode cannot be performed in the other.', hint = 'Wait for them to end, or make another queue.';
	end if;
	update taskq.queue t set (mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, durable_finish, executor) =
			(q.mode, q.url, q.lease_for, q.retry, q.keep_finished, q.keep_dead, q.keep_key, q.durable_finish, q.executor)
		where t.id = q.id;
	perform taskq._queues_changed();
	perform taskq._wake_executor();
end
$$;

comment on function taskq.alter_queue(text, text, text, interval, text, interval, interval, interval, boolean, text) is
'Changes a queue, also default and http. queue: its name. The others are as in create_queue(); NULL leaves them as they are, url '''' removes the url. mode changes only while the queue has no live tasks; executor at any time, tasks that are being sent are reported by who sends them. lease_for and keep_* apply to what is acquired or ends from now on, retry to every failure from now on, its max_attempts to what is submitted from now on. Errors: TQ001 unknown queue, TQ004 bad argument, TQ009 live tasks.';

create or replace function taskq._pause(queue text, paused boolean) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	q taskq.queue%rowtype := taskq._own_queue(queue);
begin
	update taskq.queue t set (paused, pause_reason) = (_pause.paused, null) where t.id = q.id;
	if not paused then
		perform taskq._reset_endpoint(q.id);
	end if;
	perform taskq._queues_changed();
	perform taskq._wake_executor();
	return q.paused <> _pause.paused;
end
$$;

create or replace function taskq.pause_queue(queue text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_pause_queue';

comment on function taskq.pause_queue(text) is
'Keeps the tasks of a queue from being acquired or sent, until resume_queue(). What runs goes on; submitting goes on. Result: false when it was paused already. Errors: TQ001 unknown queue, TQ004, TQ007 no right to control the queue.';

create or replace function taskq.resume_queue(queue text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_resume_queue';

comment on function taskq.resume_queue(text) is
'Ends what pause_queue() began, or an endpoint that answered 410 Gone; of an endpoint it also closes the circuit. Result: false when it was not paused. Errors: TQ001 unknown queue, TQ004, TQ007 no right to control the queue.';

-- Both raise TQ004.
create function taskq._check_headers(headers jsonb) returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_check_headers';

create function taskq._read_secret(secret text) returns bytea
language c volatile as 'MODULE_PATHNAME', 'taskq_read_secret';

-- In its ASCII form.
create function taskq._endpoint_url(url text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ascii text := taskq._check_url(url);
begin
	if ascii ~ '[?#]' then
		raise exception using errcode = 'TQ004', message = 'invalid url',
			detail = 'The url of an endpoint has no query and no fragment.', hint = 'Pass the query as path of taskq.submit_http().';
	end if;
	return ascii;
end
$$;

-- Puts what was given into the rows of an endpoint; NULL leaves as it is.
create function taskq._set_endpoint(queue_id int, headers jsonb, timeout interval, max_running int, rate real, secret text)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	wrong text := case
		when timeout <> interval '0' and (timeout < interval '1 ms' or timeout > interval '1 day')
			then 'timeout must be between 1 ms and 1 day'
		when max_running < 0 then 'max_running must not be negative'
		when not (rate = 0 or rate between 0.001 and 1000000) then 'rate must be between 0.001 and 1000000 a second, or 0'
	end;
	given bytea;
begin
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong, detail = 'The endpoint was not changed.',
			hint = 'See the comment of taskq.create_endpoint().';
	end if;
	perform taskq._check_headers(headers);
	given := taskq._read_secret(nullif(secret, ''));
	update taskq.endpoint e set
		header_names = case when headers is null then e.header_names
			else array(select h from jsonb_object_keys(headers) as h order by h) end,
		signed = case when secret is null then e.signed else secret <> '' end,
		timeout = case when _set_endpoint.timeout is null then e.timeout else nullif(_set_endpoint.timeout, interval '0') end,
		max_running = case when _set_endpoint.max_running is null then e.max_running else nullif(_set_endpoint.max_running, 0) end,
		rate = case when _set_endpoint.rate is null then e.rate else nullif(_set_endpoint.rate, 0) end
		where e.queue_id = _set_endpoint.queue_id;
	insert into taskq.endpoint_secret as s (queue_id, headers, secret)
		values (_set_endpoint.queue_id, _set_endpoint.headers, given)
		on conflict on constraint endpoint_secret_pkey do update set
			headers = coalesce(excluded.headers, s.headers),
			secret = case when _set_endpoint.secret is null then s.secret else excluded.secret end,
			old_secret = case when _set_endpoint.secret is null then s.old_secret end;
	perform taskq._queues_changed();
	perform taskq._wake_executor();
end
$$;

-- The id of the queue that is an endpoint of that name.
create function taskq._own_endpoint(endpoint text) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	q taskq.queue%rowtype := taskq._own_queue(endpoint);
begin
	if not exists (select from taskq.endpoint e where e.queue_id = q.id) then
		raise exception using errcode = 'TQ005', message = format('queue "%s" is not an endpoint', endpoint),
			detail = 'It has no destination of its own.', hint = 'taskq.create_endpoint() creates endpoints; taskq.endpoints shows all there are.';
	end if;
	return q.id;
end
$$;

-- create_endpoint(), alter_endpoint() and rotate_secret() have these done as
-- taskq_owner, and keep the statement out of the log when it fails: src/front.c.

create function taskq._create_endpoint(endpoint text, url text, headers jsonb, timeout interval, max_running int, rate real,
	secret text, retry text, executor text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	own int;
begin
	perform taskq._check_name(endpoint, 'queue');
	perform taskq.create_queue(endpoint, 'push', taskq._endpoint_url(url), retry => retry, executor => executor);
	select q.id into own from taskq.queue q where q.name = endpoint;
	insert into taskq.endpoint (queue_id, header_names, signed) values (own, '{}', false);
	perform taskq._set_endpoint(own, headers, timeout, max_running, rate, secret);
end
$$;

create function taskq.create_endpoint(endpoint text, url text, headers jsonb default null, timeout interval default null,
	max_running int default null, rate real default null, secret text default null, retry text default 'webhook',
	executor text default 'builtin') returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_create_endpoint';
comment on function taskq.create_endpoint(text, text, jsonb, interval, int, real, text, text, text) is
'Creates an endpoint: a push queue of that name, to whose url its tasks are sent, by submit() or by submit_http(endpoint => …). url: http or https, no user info, query or fragment. headers: sent with every request, an object of strings as in submit_http(); their values are shown to nobody. timeout: of an attempt, 1 ms to 1 day; default taskq.http_timeout. max_running: so many requests are under way at most, of all who send; 0 or NULL: taskq.http_max_per_host, as the server has it. rate: so many are started a second at most, 0.001 to 1000000, a tenth of a second''s worth at once; 0 or NULL: no limit. secret: requests are signed with it as Standard Webhooks say (webhook-id, webhook-timestamp, webhook-signature): whsec_ and 24 to 64 bytes in base64; rotate_secret() makes one. retry, executor: as in create_queue(); alter_queue() changes these and the rest. After 10 failures in a row (no answer, status 5xx or 429) nothing is sent for 5 s, then one request tries, and after each further failure the pause is doubled, up to 5 min; resume_queue() and a new url end it. A Retry-After holds all its requests back. Status 410, in answer to a request without a path of its own, pauses the queue. Errors: TQ002 when the queue exists, TQ004 for a bad argument.';

create function taskq._alter_endpoint(endpoint text, url text, headers jsonb, timeout interval, max_running int, rate real,
	secret text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	own int := taskq._own_endpoint(endpoint);
begin
	if url is not null then
		update taskq.queue q set url = taskq._endpoint_url(_alter_endpoint.url) where q.id = own;
		perform taskq._reset_endpoint(own);
	end if;
	perform taskq._set_endpoint(own, headers, timeout, max_running, rate, secret);
end
$$;

create function taskq.alter_endpoint(endpoint text, url text default null, headers jsonb default null,
	timeout interval default null, max_running int default null, rate real default null, secret text default null) returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_alter_endpoint';
comment on function taskq.alter_endpoint(text, text, jsonb, interval, int, real, text) is
'Changes an endpoint. The arguments are as in create_endpoint(); NULL leaves as it is; headers {}, timeout 0, max_running 0, rate 0 and secret '''' take away. It applies to all that is not under way yet. A new url closes the circuit. A secret replaces the present one at once: see rotate_secret(). Errors: TQ001 unknown queue, TQ004 bad argument, TQ005 the queue is not an endpoint.';

create function taskq._rotate_secret(endpoint text, secret text, keep_old interval) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	own int := taskq._own_endpoint(endpoint);
	-- 244 random bits.
	given bytea := coalesce(taskq._read_secret(secret), uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
begin
	if keep_old is null or keep_old < interval '0' or keep_old > interval '366 days' then
		raise exception using errcode = 'TQ004', message = 'keep_old must be between 0 and 366 days',
			detail = 'The secret was not changed.', hint = 'See the comment of taskq.rotate_secret().';
	end if;
	insert into taskq.endpoint_secret as s (queue_id, secret) values (own, given)
		on conflict on constraint endpoint_secret_pkey do update set
			secret = excluded.secret, old_secret = nullif(s.secret, excluded.secret), old_until = clock_timestamp() + keep_old;
	update taskq.endpoint e set signed = true where e.queue_id = own;
	perform taskq._queues_changed();
	perform taskq._wake_executor();
	return 'whsec_' || replace(encode(given, 'base64'), E'\n', '');
end
$$;

create function taskq.rotate_secret(endpoint text, secret text default null, keep_old interval default '1 day') returns text
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_rotate_secret';
comment on function taskq.rotate_secret(text, text, interval) is
'Gives an endpoint a new secret, with which its requests are signed from now on. secret: as in create_endpoint(); NULL: a new one is made, of 32 bytes. keep_old: for so long requests are signed with the old one, too, 0 to 366 days. Result: the secret, for the receiver; it is not shown again. Errors: TQ001 unknown queue, TQ004 bad argument, TQ005 the queue is not an endpoint.';

create function taskq.verify_signature(secret text, headers jsonb, body bytea, tolerance interval default '5 min')
returns boolean
language c stable parallel safe as 'MODULE_PATHNAME', 'taskq_verify_signature';
comment on function taskq.verify_signature(text, jsonb, bytea, interval) is
'Whether a request was signed with a secret as Standard Webhooks say (https://www.standardwebhooks.com), for receivers that are databases. secret: as in create_endpoint(). headers: those of the request, an object of strings, names in any case; webhook-id, webhook-timestamp and webhook-signature are looked at. body: as received, NULL for none. tolerance: its timestamp is at most so far from now, 0 to 36525 days. The request may still be one that came before: webhook-id is the same in all attempts. Errors: TQ004 for a bad secret or tolerance.';

-- Forgets what speaks against sending to an endpoint.
create function taskq._reset_endpoint(queue_id int) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_reset_endpoint';

-- circuit: closed, open, or half-open; failures: in a row; nothing is sent before next_start.
create function taskq._endpoint_state(queue_id int, out circuit text, out failures int, out next_start timestamptz)
language c stable strict as 'MODULE_PATHNAME', 'taskq_endpoint_state';

-- With whether all is there that its requests have to carry.
create view taskq._endpoints as
	select e.queue_id, e.header_names, e.signed, e.timeout, e.max_running, e.rate,
		case when s.old_secret is not null and s.old_until > clock_timestamp() then s.old_until end as old_secret_until,
		m.missing <> '' as secrets_missing, m.missing
	from taskq.endpoint e
		left join taskq.endpoint_secret s on s.queue_id = e.queue_id,
		lateral concat_ws(' and ', case when e.header_names <> '{}' and s.headers is null then 'headers' end,
			case when e.signed and s.secret is null then 'secret' end) as m (missing);

create view taskq.endpoints with (security_barrier) as
	select q.name as endpoint, q.url, e.header_names, e.timeout, e.max_running, e.rate, e.signed, e.old_secret_until,
		e.secrets_missing, s.circuit, s.failures, s.next_start
	from taskq._endpoints e
		join taskq._queues q on q.id = e.queue_id,
		lateral taskq._endpoint_state(e.queue_id) as s
	where taskq._visible(q.name);
comment on view taskq.endpoints is
'One row an endpoint that the caller may view; as a queue it stands in taskq.queues, too. old_secret_until: so long requests are signed with the former secret, too. secrets_missing: it was restored from a dump, which does not hold its headers and secret; nothing is sent until alter_endpoint() or rotate_secret() has given them again. circuit: closed; open: after 10 failures in a row, nothing is sent before next_start; half-open: one request tries. next_start may also be what a Retry-After has asked for. Without shared_preload_libraries circuit, failures and next_start are those that this session knows.';

create function taskq._purge(queue_id int) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	purged bigint;
begin
	-- In the order in which submit_many() takes keys.
	select count(*) filter (where taskq._purge_task(t.id)) into purged
		from (select t.id from taskq.task t where t.queue_id = _purge.queue_id order by t.key collate "C", t.id) as t;
	return purged;
end
$$;

create or replace function taskq.purge_queue(queue text) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_purge_queue';

comment on function taskq.purge_queue(text) is
'Cancels the pending tasks of a queue, those for later included; running ones are left alone. Result: how many it were. Errors: TQ001 unknown queue, TQ004, TQ007 no right to control the queue.';

comment on function taskq.submit(text, jsonb, text, int, timestamptz, interval, interval, interval, text, int, text, text) is
'Puts a task into a queue, as part of the calling transaction: it is there when that commits, and leaves no trace when it rolls back. queue: a pull queue, or a push queue that has a url. payload: any JSON, at most taskq.max_payload bytes. key: at most one live task of the queue has a given key (1 to 512 bytes), and it stays taken for the queue''s keep_key after the end. on_duplicate: what to do when the key is taken: keep (return the id of the task that has it), replace (give that task, if it is pending, the new content and schedule; if it has ended make a new one), raise (TQ003). priority: -16 (first) to 15 (last). run_at or delay (0 to 36525 days): not before that time; a time gone by is now, infinity waits for ever. start_within: expires if no attempt starts within that time from now, 1 ms to 36525 days and longer than the delay. timeout: how long one attempt may take, 1 ms to 1 day; default for push taskq.http_timeout, for pull as long as heartbeats come. retry: retry policy; default the queue''s. max_attempts: default the policy''s. kind: a name for the sort of task, at most 57 bytes, for the worker''s use. Result: the id. Errors: TQ001 unknown queue, TQ003 duplicate key (raise; or replace of a running task), TQ004 bad argument, TQ005 push queue without url, TQ006 payload too large, TQ007 no such privilege on the queue.';

drop function taskq.submit_http(text, jsonb, text, jsonb, bytea, text, text, int, timestamptz, interval, interval, interval, text, int, text, text);
create function taskq.submit_http(url text default null, payload jsonb default null, method text default 'POST',
	headers jsonb default null, body bytea default null, queue text default null, key text default null, priority int default 0,
	run_at timestamptz default null, delay interval default null, start_within interval default null,
	timeout interval default null, retry text default null, max_attempts int default null, kind text default null,
	on_duplicate text default 'keep', endpoint text default null, path text default null) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_http';

comment on function taskq.submit_http(text, jsonb, text, jsonb, bytea, text, text, int, timestamptz, interval, interval, interval, text, int, text, text, text, text) is
'Puts an HTTP request into a push queue, as part of the calling transaction; the executor sends it after the commit and retries it until it succeeds (status 2xx) or its policy gives up. url: http or https, no user info, at most 8192 bytes; or endpoint: the name of an endpoint, to whose url it goes, with path (beginning with / or ?, without dot segments) put behind it. queue: default http; not with endpoint, which is a queue itself. payload: JSON, sent as body with Content-Type application/json; or body: bytes, sent as they are. method: at most 32 bytes. headers: an object of strings, at most 100 and 32 kB; not Host, Content-Length, Transfer-Encoding, Connection, nor those taskq adds: User-Agent, X-Task-Id, X-Task-Queue, X-Task-Attempt, Idempotency-Key (the same in every attempt), webhook-id, webhook-timestamp, webhook-signature; of a name that the endpoint has a header of, that one is sent. The other arguments: see submit(). Result: the id. Errors: TQ001 unknown queue, TQ003 duplicate key, TQ004 bad argument, TQ005 the queue is a pull queue, TQ006 too large, TQ007 no such privilege on the queue.';

comment on function taskq.acquire(text, int, interval, text) is
'Takes up to max_tasks (1 to 10000) due tasks of a pull queue: by priority, then run_at, then id. Each comes with a token that proves the ownership to heartbeat(), finish(), fail() and release(). lease_for: how long without a heartbeat; default the queue''s. worker: a name to be shown. Commit before you start to work. Errors: TQ001 unknown queue, TQ004 bad argument, TQ005 a push queue, TQ007 no such privilege on the queue, TQ009 in a transaction of isolation level REPEATABLE READ or SERIALIZABLE; 25006 on a standby or in a read-only transaction.';

comment on procedure taskq.wait_ready(text, interval, boolean) is
'Waits until a task of a pull queue is due, at most timeout (0 to 1 day). ready: whether one is; others may take it before you do. It holds no snapshot, lock or transaction while it waits, so CALL it by itself, outside a transaction block. Preloaded, the commit of a submit wakes it; else it looks every taskq.poll_interval. Errors: TQ001 unknown queue, TQ004, TQ005 a push queue, TQ007 no such privilege on the queue, TQ009 in a transaction block, in a function, after changes, or at isolation level REPEATABLE READ or SERIALIZABLE.';

comment on function taskq.heartbeat(bigint, bigint, interval) is
'Extends a lease to extend_by (100 ms to 30 days; default the length it was acquired with) from now, though not past the task''s timeout. Result: one row with the new end, and whether somebody has asked to cancel the task; no row: the lease is lost, stop working. Errors: TQ004, TQ007 no such privilege on the queue.';

comment on function taskq.finish(bigint, bigint, jsonb) is
'Ends a running task as finished, with a result of at most taskq.max_payload bytes. In the transaction that also writes the task''s effects, it makes them exactly-once. Result: false when the lease was lost: then nothing changed, and that transaction should be rolled back. Errors: TQ004, TQ006, TQ007 no such privilege on the queue.';

comment on function taskq.fail(bigint, bigint, text, jsonb, interval, boolean) is
'Ends an attempt as failed. error, detail: what went wrong; of error the first 8192 bytes are kept. retry_in: try again after that time instead of the policy''s delay (0 to 366 days). retryable: false ends the task at once. Result: pending (it will be tried again), dead, or cancelled (somebody had asked for it); NULL: the lease was lost, nothing changed. Errors: TQ004, TQ006, TQ007 no such privilege on the queue.';

comment on function taskq.release(bigint, bigint, interval) is
'Gives a task back without using up the attempt; it is due again after delay (0 to 36525 days), or ended as cancelled if somebody has asked for that. Result: false when the lease was lost. Errors: TQ004, TQ007 no such privilege on the queue.';

comment on function taskq.progress(bigint, bigint, real, text) is
'Tells how far a running task is, for taskq.tasks to show. fraction: 0 to 1, or NULL. message: the first 8192 bytes are kept. It extends no lease: see heartbeat(). Result: false when the lease was lost. Errors: TQ004, TQ007 no such privilege on the queue.';

comment on function taskq.finish_many(bigint[], bigint[], jsonb[]) is
'Ends many running tasks as finished, at most 10000. tokens and results: one element for each of ids. Result: the ids of those that were finished, in ascending order; of the others the lease was lost, and nothing changed. Errors: TQ004, TQ006, TQ007 no such privilege on the queue.';

comment on function taskq.heartbeat_many(bigint[], bigint[], interval) is
'heartbeat() for many tasks, at most 10000. Result: a row for each lease that was extended, by ascending id; those without a row are lost. Errors: TQ004, TQ007 no such privilege on the queue.';

comment on function taskq.cancel_key(text, text) is
'cancel() for the live task of a queue that has the key. Result: false when none has. Errors: TQ001 unknown queue, TQ004, TQ007 no such privilege on the queue.';

create function taskq._sweep_soon() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_sweep_soon';

create or replace function taskq.arm() returns void
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

-- Its columns have another order.
alter table taskq.task rename to former_task;
alter index taskq.task_pkey rename to former_task_pkey;
create table taskq.task (
	id bigint not null constraint task_pkey primary key,
	submitted_at timestamptz not null,
	run_at timestamptz not null,
	queue_id int not null,
	attempt int not null,			-- attempts used up
	max_attempts int not null,
	priority smallint not null,
	payload jsonb,					-- here, so that a plain task's row has no NULL before its last column
	revived_at timestamptz,			-- when retry() started its present life
	start_by timestamptz,			-- expires unless it has started by then; NULL once it has
	timeout interval,
	key text,
	kind text,
	retry text,						-- policy; NULL: the queue's
	method text,					-- method to body: HTTP tasks only
	url text,
	headers jsonb,
	body bytea
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
insert into taskq.task (id, submitted_at, run_at, queue_id, attempt, max_attempts, priority, payload, revived_at, start_by, timeout,
		key, kind, retry, method, url, headers, body)
	select id, submitted_at, run_at, queue_id, attempt, max_attempts, priority, payload, revived_at, start_by, timeout,
		key, kind, retry, method, url, headers, body
	from taskq.former_task;
select pg_catalog.pg_extension_config_dump('taskq.task', '');

alter table taskq.lease alter column lease_us drop not null;

-- A task without a lease is pending: that needs no row of its own.
create index task_dispatch on taskq.task (queue_id, priority, run_at, id);
alter extension taskq drop table taskq.ready;
drop table taskq.ready;

create or replace function taskq._oldest_due() returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select min(head.run_at)
	from taskq._queues q, generate_series(-16, 15) as p (priority),
		lateral (select t.run_at from taskq.task t where t.queue_id = q.id and t.priority = p.priority
				and not exists (select from taskq.lease l where l.id = t.id)
			order by t.queue_id, t.priority, t.run_at, t.id limit 1) as head
	where head.run_at <= clock_timestamp()
$$;

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

create or replace function taskq.retry(id bigint, run_at timestamptz default null) returns boolean
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

create or replace function taskq.result(id bigint) returns table (state taskq.state, result jsonb, error text, ended_at timestamptz)
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

create or replace function taskq.response(id bigint) returns table (status int, headers jsonb, body bytea, truncated boolean, elapsed interval)
language c stable parallel restricted rows 1 as 'MODULE_PATHNAME', 'taskq_response';

comment on function taskq.response(bigint) is
'The last HTTP answer to a task: status, headers (names in lower case; several of one name are an array), body as received up to taskq.http_max_response, whether it was longer, and how long the exchange took. No row: there was none yet, it is no longer kept, or as with result() the caller may not know.';

create or replace view taskq.tasks with (security_barrier) as
	select t.id, q.name as queue, t.key, t.kind,
		case when l.id is null then 'pending' else 'running' end::taskq.state as state,
		t.priority::int as priority, coalesce(l.attempt, t.attempt) as attempt, t.max_attempts, t.run_at,
		t.submitted_at, l.started_at, null::timestamptz as ended_at, l.lease_until, l.worker,
		coalesce(l.cancel_requested, false) as cancel_requested, l.fraction, l.message, t.method, t.url, t.payload,
		null::jsonb as result,
		(select a.error from taskq.attempt a where a.task_id = t.id order by a.attempt desc, a.ended_at desc limit 1) as error
	from taskq.task t
		join taskq._queues q on q.id = t.queue_id
		left join taskq.lease l on l.id = t.id
	where taskq._visible(q.name)
	union all
	select h.id, h.queue, h.key, h.kind, h.state, h.priority, h.attempt, h.max_attempts, h.run_at, h.submitted_at, h.started_at,
		h.ended_at, null, h.worker, false, null, null, h.method, h.url, h.payload, h.result, h.error
	from taskq._history h
	where taskq._visible(h.queue);

comment on view taskq.tasks is
'One row a task, live or ended, of the queues that the caller may view. attempt: the number of the present try, or of the last one. error: of the last failed attempt; of a cancelled or expired task the reason, of a finished one NULL. lease_until, cancel_requested, and what progress() told: of a running task. payload, method and url of a finished task are not kept. Ended tasks go within a day after their queue''s keep_finished or keep_dead.';

create or replace view taskq.attempts with (security_barrier) as
	select a.task_id, a.attempt, a.started_at, a.ended_at, a.worker, a.class, a.error, a.detail, a.status, a.elapsed,
		(a.times ->> 'dns')::interval as dns,
		(a.times ->> 'connect')::interval as connect, (a.times ->> 'tls')::interval as tls,
		(a.times ->> 'first_byte')::interval as first_byte
	from taskq.attempt a
		join taskq.task t on t.id = a.task_id
		join taskq._queues q on q.id = t.queue_id
	where taskq._visible(q.name)
	union all
	select h.id, a.attempt, a.started_at, a.ended_at, a.worker, a.class, a.error, a.detail, a.status, a.elapsed,
		(a.times ->> 'dns')::interval,
		(a.times ->> 'connect')::interval, (a.times ->> 'tls')::interval,
		(a.times ->> 'first_byte')::interval
	from taskq._history h,
		jsonb_to_recordset(h.attempts) as a (attempt int, started_at timestamptz, ended_at timestamptz, worker text,
			class text, error text, detail jsonb, status int, elapsed interval, times jsonb)
	where taskq._visible(h.queue);

comment on view taskq.attempts is
'One row a failed attempt of a task, live or ended, of the queues that the caller may view. class: of a push task, how far the exchange came (http, dns, connect, tls, timeout, reset, too_large, protocol, egress_denied, invalid, internal), or lease_lost. status: the HTTP status; elapsed: the time the exchange took; of it, dns: to look the name up, connect: to connect, tls: for the handshake, first_byte: from then until the answer began; NULL where it did not come so far, or the connection was there.';

-- No view reads it any more.
alter extension taskq drop table taskq.former_task;
drop table taskq.former_task;

create or replace view taskq.workers with (security_barrier) as
	select coalesce(l.worker, '') as worker, q.name as queue, count(*) as running, min(l.started_at) as oldest_start,
		min(l.lease_until) as next_lease_end
	from taskq.lease l join taskq._queues q on q.id = l.queue_id
	where taskq._visible(q.name)
	group by 1, 2;

comment on view taskq.workers is
'One row for each worker and queue (of those that the caller may view) with running tasks: how many, since when the oldest, and when the first lease runs out. worker is what was given to acquire(), empty if nothing was; the built-in one is called executor.';

create function taskq.queue_stats(queue text default null)
returns table (queue text, pending bigint, due bigint, running bigint, finished bigint, dead bigint, cancelled bigint,
	expired bigint, since timestamptz, oldest_due_age interval)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_queue_stats';

comment on function taskq.queue_stats(text) is
'How full the queues are: one row for the named one, or for each that the caller may view. pending: tasks that wait, also those for later. due: those of them whose time has come, counted up to 10000, which stands for more. running: leased ones. finished, dead, cancelled, expired: how many have ended so since the time in since. oldest_due_age: for how long the first due one waits, NULL if none does. What it costs does not grow with the backlog: pending is counted once after a start of the server, and again when prepared or replicated transactions have changed something, and kept by commits in between; it may be off by what commits in the instant of that count. Without shared_preload_libraries it is counted at every call, and since and what has ended are NULL. Errors: TQ001 unknown queue, TQ004, TQ007 no right to view the queue.';

create or replace function taskq._make_history() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
	b int;
	leaf text;
begin
	-- A dump that is being restored brings its own.
	if taskq._copied() then
		return;
	end if;
	for b in
		select distinct taskq._bucket(clock_timestamp() + ahead, keep)
		from taskq._queues q, unnest(array[q.keep_finished, q.keep_dead]) as keep,
			unnest(array[interval '0', interval '1 day']) as ahead
		where keep > interval '0'
	loop
		leaf := 'history_' || b;
		continue when to_regclass('taskq.' || leaf) is not null;
		begin
			execute format('create table taskq.%I (like taskq.history)', leaf);
			execute format('create index %I on taskq.%I (id)', leaf || '_id', leaf);
			execute format('alter table taskq.history attach partition taskq.%I for values in (%s)', leaf, b);
		exception when duplicate_table or unique_violation then
			null;	-- somebody else has just made it
		end;
	end loop;
end
$$;

create function taskq._notify(queue_ids int[]) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_notify';

create function taskq._sweep() returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_sweep';

create function taskq._look_ahead(queue_id int) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_look_ahead';

create function taskq._held_endpoints() returns table (endpoint text, reason text, hint text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select q.name, case when e.secrets_missing then format('its %s must be given again', e.missing)
			when s.circuit <> 'closed' then format('%s requests in a row have failed, the next one is sent at %s', s.failures, s.next_start)
			else format('it has asked for nothing to be sent before %s', s.next_start) end,
		case when e.secrets_missing then format('A dump does not hold them. Call %s.', case e.missing when 'secret' then 'taskq.rotate_secret()'
				when 'headers' then 'taskq.alter_endpoint()' else 'taskq.alter_endpoint() for both' end)
			else format('See taskq.attempts, and taskq.endpoints where endpoint = %L.', q.name) end
	from taskq._endpoints e join taskq._queues q on q.id = e.queue_id, lateral taskq._endpoint_state(e.queue_id) as s
	where e.secrets_missing or s.circuit <> 'closed' or s.next_start > clock_timestamp()
	order by e.secrets_missing desc, s.circuit = 'closed', q.name
$$;

create or replace function taskq.status() returns table ("check" text, ok boolean, detail text, hint text)
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
	select * into e from taskq._executor_state();
	"check" := 'preloaded';
	ok := e.preloaded;
	detail := case when ok then 'The library is preloaded.'
		else 'The library is not preloaded: tasks are found by polling, and no executor starts by itself.' end;
	hint := case when not ok then 'Add taskq to shared_preload_libraries and restart the server.' end;
	return next;

	"check" := 'executor';
	ok := e.pid is not null;
	detail := case
		when ok then format('The executor runs as process %s.', e.pid)
		when e.obstacle is not null then format('No executor runs: %s.', e.obstacle)
		when e.held_aside then 'The executor is stopped in this database.'
		when e.retry_at > clock_timestamp() then format('The executor has failed %s times and is started again at %s.', e.failures, e.retry_at)
		when not e.preloaded then 'No executor was started since the server started.'
		else 'No executor runs.' end;
	hint := case
		when ok then null
		when e.obstacle is not null then e.hint
		when e.retry_at > clock_timestamp() then 'The server log tells why.'
		else 'Call taskq.start_executor().' end;
	return next;

	"check" := 'armed';
	armed := taskq._armed();
	ok := coalesce(armed, true);
	detail := case
		when armed then 'Requests are sent from this database.'
		when not armed then 'This database was disarmed, or it is a copy of the one that was armed: no request is sent.'
		else 'Nothing was submitted in this database yet; the first submit arms it.' end;
	hint := case when not ok then 'Call taskq.arm() if requests shall be sent from here.' end;
	return next;

	"check" := 'paused queues';
	paused := array(select q.name from taskq._queues q where q.paused order by q.pause_reason, q.name);
	ok := paused = '{}';
	detail := case when ok then 'No queue is paused.'
		else (select format('Paused: %s.', string_agg(format('"%s"%s', q.name, ' (' || q.pause_reason || ')'), ', '
			order by q.pause_reason, q.name)) from taskq._queues q where q.paused) end;
	hint := case when not ok then format('Call taskq.resume_queue(%L).', paused[1]) end;
	return next;

	"check" := 'endpoints';
	select * into held from taskq._held_endpoints() limit 1;
	ok := held.endpoint is null;
	detail := case when not ok then format('"%s": %s.', held.endpoint, held.reason)
		when not e.preloaded then 'Circuits are not known: without shared_preload_libraries who sends keeps them to himself.'
		else 'Nothing keeps an endpoint from being sent to.' end;
	hint := held.hint;
	return next;

	"check" := 'oldest due task';
	due := taskq._oldest_due();
	ok := coalesce(due > clock_timestamp() - interval '1 minute', true);
	detail := case when due is null then 'No task is due.' else format('A task has been due since %s.', due) end;
	hint := case when not ok then 'Pull tasks wait for workers, push tasks for the executor or, of external queues, for taskq-worker: see the checks above and taskq.tasks.' end;
	return next;

	"check" := 'last error';
	select * into failed from taskq._last_failure();
	ok := failed.task_id is null;
	detail := case when ok then 'No recent attempt has failed.'
		else format('Task %s %s at %s: %s.', failed.task_id,
			case when failed.dead then 'died' else 'failed and will be tried again' end, failed.ended_at, failed.reason) end;
	hint := case
		when failed.class = 'egress_denied'
			then format('If it is to be reached, change %s, reload the configuration, and call taskq.retry(%s). What taskq-worker sends goes by its options.',
				case when failed.reason like '%list of hosts' then 'taskq.http_hosts'
					when failed.reason like '%list of ports' then 'taskq.http_ports'
					when failed.reason like '%deny list' then 'taskq.http_deny'
					else 'taskq.http_allow' end, failed.task_id)
		when not ok then format('See taskq.attempts where task_id = %s.', failed.task_id) end;
	return next;

	"check" := 'xmin holders';
	select * into holder from taskq._xmin_holders() limit 1;
	ok := coalesce(holder.xmin_age < 1000000, true);
	detail := case when holder.holder is null then 'Nobody holds dead rows back.'
		else format('%s holds back the rows that died in the last %s transactions.', holder.holder, holder.xmin_age) end;
	hint := case when not ok then 'End that session, transaction or slot: tables grow meanwhile.' end;
	return next;
end
$$;

comment on function taskq.status() is
'Why is nothing sent? One row a check: whether it is ok, what was found, and what to do about it. Checks: preloaded, executor, armed, paused queues, endpoints, oldest due task, last error (of live and of recently ended tasks), xmin holders (who keeps dead rows from being removed).';

drop function taskq._push_claim(int);
drop function taskq._push_next_due();
create function taskq._push_queues(queues text[]) returns setof text
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_queues';

create function taskq._push_claim(max_tasks int, queues text[], worker text)
returns table (id bigint, token bigint, lease_ms bigint, timeout_ms bigint, method text, url text, headers text[], body bytea)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_claim';

drop function taskq._push_release(bigint[], bigint[]);
create function taskq._push_release(ids bigint[], tokens bigint[], delay interval) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_release';

create function taskq._pause_gone(queue_id int, task_id bigint) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	update taskq.queue q
		set (paused, pause_reason) = (true, format('the endpoint answered 410 Gone to task %s', task_id))
		where q.id = (select t.id from taskq.queue t where t.id = _pause_gone.queue_id for update skip locked);
	if found then
		perform taskq._queues_changed();
	end if;
	return found;
end
$$;

create function taskq._push_next_due(queues text[], worker text, out next_ms bigint, out limited boolean)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_next_due';

drop function taskq._push_report(bigint, bigint, text, text, int, bytea, bytea, boolean, interval, text, interval);
create function taskq._push_report(id bigint, token bigint, verdict text, class text, status int, headers bytea, body bytea,
	truncated boolean, elapsed interval, error text, retry_after interval, times jsonb) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_report';

create or replace function taskq._push_recover() returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	lock table taskq.queue in access share mode;
	select taskq._look_ahead(q.id) from taskq._queues q;
	select count(*) filter (where taskq._try_lose_lease(l.id, l.token, l.lease_until))
	from (select l.* from taskq.lease l join taskq._queues q on q.id = l.queue_id
		where l.worker = 'executor' and q.mode = 'push' order by l.id) as l
$$;

-- A lease that cannot be ended is left alone for a minute.
create function taskq._put_off(id bigint) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update taskq.lease l set lease_us = coalesce(l.lease_us, extract(epoch from l.lease_until - l.started_at) * 1000000),
		lease_until = clock_timestamp() + interval '1 minute' where l.id = _put_off.id;
$$;

create or replace function taskq._try_lose_lease(id bigint, token bigint, lease_until timestamptz) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq._lose_lease(id, token, lease_until);
exception
when lock_not_available then
	raise;	-- a table is locked: all is tried again with the next poll
when others then
	raise log 'could not take back the lease of task %: SQLSTATE %', id, sqlstate;
	perform taskq._put_off(id);
	return false;
end
$$;

create function taskq._lapsed() returns bigint[]
language c volatile as 'MODULE_PATHNAME', 'taskq_lapsed';

create function taskq._next_lapse(since timestamptz) returns timestamptz
language c volatile strict as 'MODULE_PATHNAME', 'taskq_next_lapse';

create function taskq._fill_leases() returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_fill_leases';

create function taskq._lose_lapsed(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_lose_lapsed';

create function taskq._try_lose_lapsed(id bigint) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq._lose_lapsed(id);
exception
when lock_not_available then
	raise;
when others then
	raise log 'could not take back the lease of task %: SQLSTATE %', id, sqlstate;
	perform taskq._put_off(id);
	return false;
end
$$;

create or replace function taskq._expire_leases() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	lapsed bigint[];
	began timestamptz;
	next timestamptz;
begin
	-- As every call of the executor begins: see executor_call() in src/queue.c.
	lock table taskq.queue in access share mode;
	-- What runs out during the look is still to come.
	began := clock_timestamp();
	if not taskq._copied() then
		perform taskq._expire_starts();
	end if;
	lapsed := taskq._lapsed();
	if lapsed is null then
		perform taskq._try_lose_lease(l.id, l.token, l.lease_until)
			from (select * from taskq.lease where lease_until <= clock_timestamp() order by id) as l;
		perform taskq._fill_leases();
		next := (select min(l.lease_until) from taskq.lease l where l.lease_until > began);
	else
		perform taskq._try_lose_lapsed(x.id) from (select unnest(lapsed) order by 1) as x (id);
		next := taskq._next_lapse(began);
	end if;
	next := least(next, (select min(start_by) from taskq.start_limit where start_by > began));
	-- One that has run out and is still there is looked at again when something has been committed.
	return case when next is not null then
		greatest(0, ceil(1000 * extract(epoch from next - clock_timestamp()))) end::bigint;
end
$$;

create or replace function taskq._drop_history() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
	today constant int := to_char(clock_timestamp() at time zone 'UTC', 'YYYYMMDD')::int;
	leaf regclass;
begin
	if taskq._copied() then
		return;
	end if;
	for leaf in
		select i.inhrelid::regclass
		from pg_inherits i
			join pg_class c on c.oid = i.inhrelid,
			cast(substring(c.relname from '^history_([0-9]+)$') as int) as bucket
		where i.inhparent = 'taskq.history'::regclass
			and bucket < case when bucket < 1000000 then today / 100 else today end
	loop
		begin
			lock table only taskq.history in access exclusive mode nowait;
			execute format('lock table %s in access exclusive mode nowait', leaf);
			execute format('drop table %s', leaf);
		exception when lock_not_available then
			null;
		end;
	end loop;
	delete from taskq.history_rest where bucket < case when bucket < 1000000 then today / 100 else today end;
end
$$;

create view taskq._entitlements as
	select privilege, right_
	from (values
		(array['submit', 'work', 'view', 'control'], 'usage on schema taskq'),
		(array['submit', 'work', 'view', 'control'], 'usage on type taskq.state'),
		(array['submit'], 'execute on routine taskq.submit(text, jsonb, text, int, timestamptz, interval, interval, interval, text, int, text, text)'),
		(array['submit'], 'execute on routine taskq.submit_many(text, jsonb[], text[], timestamptz[], int, interval, interval, interval, text, int, text, text)'),
		(array['submit'], 'execute on routine taskq.submit_http(text, jsonb, text, jsonb, bytea, text, text, int, timestamptz, interval, interval, interval, text, int, text, text, text, text)'),
		(array['submit', 'control'], 'execute on routine taskq.cancel(bigint, text)'),
		(array['submit', 'control'], 'execute on routine taskq.cancel_key(text, text)'),
		(array['work'], 'execute on routine taskq.acquire(text, int, interval, text)'),
		(array['work'], 'execute on routine taskq.wait_ready(text, interval, boolean)'),
		(array['work'], 'execute on routine taskq.heartbeat(bigint, bigint, interval)'),
		(array['work'], 'execute on routine taskq.finish(bigint, bigint, jsonb)'),
		(array['work'], 'execute on routine taskq.fail(bigint, bigint, text, jsonb, interval, boolean)'),
		(array['work'], 'execute on routine taskq.release(bigint, bigint, interval)'),
		(array['work'], 'execute on routine taskq.progress(bigint, bigint, real, text)'),
		(array['work'], 'execute on routine taskq.finish_many(bigint[], bigint[], jsonb[])'),
		(array['work'], 'execute on routine taskq.heartbeat_many(bigint[], bigint[], interval)'),
		(array['work'], 'execute on routine taskq.finish_and_acquire(text, bigint[], bigint[], jsonb[], int, interval, text)'),
		(array['work'], 'execute on routine taskq._armed()'),
		(array['work'], 'execute on routine taskq._push_claim(int, text[], text)'),
		(array['work'], 'execute on routine taskq._push_next_due(text[], text)'),
		(array['work'], 'execute on routine taskq._push_report(bigint, bigint, text, text, int, bytea, bytea, boolean, interval, text, interval, jsonb)'),
		(array['work'], 'execute on routine taskq._push_extend(bigint[], bigint[])'),
		(array['work'], 'execute on routine taskq._push_release(bigint[], bigint[], interval)'),
		(array['work'], 'execute on routine taskq._push_queues(text[])'),
		(array['submit', 'view'], 'execute on routine taskq.result(bigint)'),
		(array['submit', 'view'], 'execute on routine taskq.response(bigint)'),
		(array['submit', 'view'], 'execute on routine taskq.wait(bigint, interval, taskq.state, jsonb)'),
		(array['view'], 'execute on routine taskq.queue_stats(text)'),
		(array['view'], 'select on taskq.tasks'),
		(array['view'], 'select on taskq.attempts'),
		(array['view'], 'select on taskq.queues'),
		(array['view'], 'select on taskq.endpoints'),
		(array['view'], 'execute on routine taskq._endpoint_state(int)'),
		(array['view'], 'select on taskq.workers'),
		(array['view'], 'execute on routine taskq._visible(text)'),
		(array['control'], 'execute on routine taskq.pause_queue(text)'),
		(array['control'], 'execute on routine taskq.resume_queue(text)'),
		(array['control'], 'execute on routine taskq.purge_queue(text)'),
		(array['control'], 'execute on routine taskq.retry(bigint, timestamptz)')
	) as e (privileges, right_), unnest(e.privileges) as privilege;

create function taskq._entitle(role regrole) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	e record;
begin
	for e in
		select x.right_, bool_or(exists (
			select from taskq.queue_grant g where g.role = _entitle.role and g.privilege = x.privilege)) as needed
		from taskq._entitlements x group by x.right_
	loop
		if e.needed then
			execute format('grant %s to %s', e.right_, role);
		else
			execute format('revoke %s from %s', e.right_, role);
		end if;
	end loop;
end
$$;

create function taskq._check_grant(queue text, role text, privileges text[], out queue_id int, out grantee regrole)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	wrong text;
begin
	perform taskq._check_name(queue, 'queue');
	queue_id := (select q.id from taskq._queues q where q.name = queue);
	grantee := (select r.oid from pg_roles r where r.rolname = role);
	if queue_id is null then
		raise exception using errcode = 'TQ001', message = format('queue "%s" does not exist', queue),
			detail = 'No queue of that name was created in this database.',
			hint = 'taskq.create_queue() creates it; taskq.queues shows all there are.';
	end if;
	wrong := case
		when role is null or grantee is null then format('role "%s" does not exist', role)
		when role ~ '^taskq_' then format('role "%s" has its rights on every queue', role)
		when coalesce(cardinality(privileges), 0) = 0 then 'privileges must not be empty'
		when not privileges <@ array['submit', 'work', 'view', 'control'] or array_position(privileges, null) is not null
			then 'privileges must be among submit, work, view and control' end;
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong, detail = 'No right was changed.',
			hint = 'See the comment of taskq.grant_queue().';
	end if;
	-- One at a time: they change the same catalog rows.
	lock table taskq.queue_grant in share row exclusive mode;
end
$$;

create function taskq.grant_queue(queue text, role text, privileges text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted record := taskq._check_grant(queue, role, privileges);
begin
	insert into taskq.queue_grant (queue_id, role, privilege)
		select wanted.queue_id, wanted.grantee, p from unnest(privileges) as p on conflict do nothing;
	perform taskq._entitle(wanted.grantee);
	perform taskq._queues_changed();
end
$$;

comment on function taskq.grant_queue(text, text, text[]) is
'Gives a role rights on one queue, where membership in taskq_submitter, taskq_worker or taskq_reader would give them on every queue. It needs no other grant. privileges: submit (submit tasks, cancel them, read their results), work (acquire and end them), view (see the queue and its tasks in the views, read results), control (pause, resume, purge, cancel, retry). A task of a queue on which a role has no right does not exist for it. Errors: TQ001 unknown queue, TQ004 unknown role or privilege, or a role of the extension.';

create function taskq.revoke_queue(queue text, role text, privileges text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted record := taskq._check_grant(queue, role, privileges);
begin
	delete from taskq.queue_grant g
		where g.queue_id = wanted.queue_id and g.role = wanted.grantee and g.privilege = any (privileges);
	perform taskq._entitle(wanted.grantee);
	perform taskq._queues_changed();
end
$$;

comment on function taskq.revoke_queue(text, text, text[]) is
'Takes back what grant_queue() gave. What the role may do as a member of another role stays. A role can be dropped once nothing is granted to it any more. Errors: as grant_queue().';

create function taskq._drop_grants(queue_id int) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	grantees regrole[];
begin
	lock table taskq.queue_grant in share row exclusive mode;
	with gone as (delete from taskq.queue_grant g where g.queue_id = _drop_grants.queue_id returning g.role)
		select array_agg(distinct gone.role) into grantees from gone;
	-- A role that was dropped with DROP OWNED leaves its rows.
	perform taskq._entitle(r.oid) from pg_roles r where r.oid = any (grantees::oid[]);
end
$$;

create view taskq.queue_grants as
	select q.name as queue, g.role, array_agg(g.privilege order by g.privilege) as privileges
	from taskq.queue_grant g join taskq._queues q on q.id = g.queue_id
	group by q.name, g.role;

comment on view taskq.queue_grants is
'One row for each role that grant_queue() gave rights on a queue. Members of the extension''s own roles have theirs on every queue and are not shown.';

-- Owners and rights, as sql/90_grants.sql gives them.
do $$
declare
	o record;
begin
	for o in
		select d.classid, d.objid, c.relkind, t.typtype
		from pg_catalog.pg_depend d
			join pg_catalog.pg_extension e on e.oid = d.refobjid and e.extname = 'taskq'
			left join pg_catalog.pg_class c on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = d.objid
			left join pg_catalog.pg_type t on d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and t.oid = d.objid
		where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
	loop
		if o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass then
			execute pg_catalog.format('alter routine %s owner to taskq_owner', o.objid::pg_catalog.regprocedure);
			execute pg_catalog.format('revoke all on routine %s from public', o.objid::pg_catalog.regprocedure);
		elsif o.relkind in ('r', 'p', 'v') then
			execute pg_catalog.format('alter table %s owner to taskq_owner', o.objid::pg_catalog.regclass);
			execute pg_catalog.format('revoke all on type %s from public', o.objid::pg_catalog.regclass);
		elsif o.relkind = 'S' then
			execute pg_catalog.format('alter sequence %s owner to taskq_owner', o.objid::pg_catalog.regclass);
		elsif o.typtype = 'e' then
			execute pg_catalog.format('alter type %s owner to taskq_owner', o.objid::pg_catalog.regtype);
			execute pg_catalog.format('revoke all on type %s from public', o.objid::pg_catalog.regtype);
		end if;
	end loop;
end
$$;

alter schema taskq owner to taskq_owner;

-- For the xmin holders in status().
grant pg_read_all_stats to taskq_owner;

-- The extension's own roles, on every queue.
do $$
declare
	e record;
begin
	for e in
		select distinct x.right_, g.grantee
		from taskq._entitlements x join (values
			('submit', 'taskq_submitter'), ('work', 'taskq_worker'), ('view', 'taskq_reader'),
			('submit', 'taskq_admin'), ('work', 'taskq_admin'), ('view', 'taskq_admin'), ('control', 'taskq_admin'))
			as g (privilege, grantee) using (privilege)
	loop
		execute pg_catalog.format('grant %s to %I', e.right_, e.grantee);
	end loop;
end
$$;

grant execute on function
	taskq.backoff(text, int),
	taskq.verify_signature(text, jsonb, bytea, interval),
	taskq.status()
to taskq_submitter, taskq_worker, taskq_reader, taskq_admin;

grant select on taskq.retry_policies, taskq.queue_grants to taskq_reader, taskq_admin;

grant execute on function
	taskq.create_queue(text, text, text, interval, text, interval, interval, interval, boolean, text),
	taskq.alter_queue(text, text, text, interval, text, interval, interval, interval, boolean, text),
	taskq.drop_queue(text, boolean),
	taskq.create_endpoint(text, text, jsonb, interval, int, real, text, text, text),
	taskq.alter_endpoint(text, text, jsonb, interval, int, real, text),
	taskq.rotate_secret(text, text, interval),
	taskq.create_retry_policy(text, text, interval, real, interval, int, real, int, interval, interval[]),
	taskq.drop_retry_policy(text),
	taskq.grant_queue(text, text, text[]),
	taskq.revoke_queue(text, text, text[]),
	taskq.arm(),
	taskq.disarm(),
	taskq.start_executor(),
	taskq.stop_executor()
to taskq_admin;

grant usage on schema taskq to taskq_bgw;
grant execute on function
	taskq._armed(),
	taskq._push_claim(int, text[], text),
	taskq._push_next_due(text[], text),
	taskq._push_report(bigint, bigint, text, text, int, bytea, bytea, boolean, interval, text, interval, jsonb),
	taskq._push_extend(bigint[], bigint[]),
	taskq._push_release(bigint[], bigint[], interval),
	taskq._push_recover(),
	taskq._expire_leases(),
	taskq._notify(int[]),
	taskq._sweep(),
	taskq._make_history(),
	taskq._drop_history(),
	taskq._drop_keys()
to taskq_bgw;
