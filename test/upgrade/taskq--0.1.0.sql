-- Roles and the schema.  Roles belong to the cluster: the first database that
-- installs taskq makes them, others find them, DROP EXTENSION leaves them.

\echo Use "CREATE EXTENSION taskq" to load this file. \quit

do $$
declare
	wanted record;
	present pg_catalog.pg_roles%rowtype;
begin
	for wanted in
		select * from (values
			('taskq_owner', false, 'taskq: owns the extension''s objects; nobody logs in as it'),
			('taskq_admin', false, 'taskq: may call every public function and see every view'),
			('taskq_submitter', false, 'taskq: may submit tasks, cancel them and read their results'),
			('taskq_worker', false, 'taskq: may acquire tasks and end them'),
			('taskq_reader', false, 'taskq: may see tasks, queues, results and the status'),
			('taskq_bgw', true, 'taskq: the role of the background worker; no client can log in as it')
		) as r (name, login, remark)
	loop
		select * into present from pg_catalog.pg_roles where rolname = wanted.name;
		if not found then
			execute pg_catalog.format('create role %I %s %s nosuperuser nocreatedb nocreaterole noreplication nobypassrls password null %s',
				wanted.name,
				case when wanted.login then 'login' else 'nologin' end,
				-- The owner needs what it is granted in 90_grants.sql.
				case when wanted.name = 'taskq_owner' then 'inherit' else 'noinherit' end,
				case when wanted.login then 'connection limit 0' else '' end);
			execute pg_catalog.format('comment on role %I is %L', wanted.name, wanted.remark);
			continue;
		end if;
		if present.rolsuper or present.rolcreaterole or present.rolcreatedb or present.rolreplication or present.rolbypassrls
			or present.rolcanlogin <> wanted.login
			or (wanted.login and present.rolconnlimit <> 0)
			or exists (select from pg_catalog.pg_authid a where a.oid = present.oid and a.rolpassword is not null)
		then
			raise exception using errcode = 'TQ007',
				message = pg_catalog.format('role "%s" exists with other attributes than taskq gives it', wanted.name),
				detail = 'taskq would hand its tables or its executor to a role that somebody else controls.',
				hint = 'Find out who made the role, then drop or rename it and install taskq again.';
		end if;
		if wanted.name in ('taskq_owner', 'taskq_bgw') and exists (
			select from pg_catalog.pg_auth_members m
				join pg_catalog.pg_roles r on r.oid = m.member
			where m.roleid = present.oid and not r.rolsuper)
		then
			raise exception using errcode = 'TQ007',
				message = pg_catalog.format('role "%s" exists and has members', wanted.name),
				detail = 'Its members would control every task of this database.',
				hint = pg_catalog.format('Revoke role "%s" from its members and install taskq again.', wanted.name);
		end if;
	end loop;
	execute pg_catalog.format('grant connect on database %I to taskq_bgw', pg_catalog.current_database());
end
$$;

create schema taskq;
comment on schema taskq is 'taskq, a task queue: call submit() to enqueue, acquire() and finish() to work; see \df+ taskq.*';
-- Private tables.  A live task is one row of task, which holds what was
-- submitted, and one row of either ready or lease: it is pending while it has
-- a ready row, and running while it has a lease row.  No column says so a
-- second time.  A claim deletes the ready row and inserts the lease row, so it
-- touches no index but those of the two narrow tables, and expired leases are
-- found among the running tasks alone.  An ended task is one row of history.
--
-- No foreign keys, triggers or row security on these: see the C code that
-- writes them directly (src/rows.c).

create type taskq.state as enum ('pending', 'running', 'finished', 'dead', 'cancelled', 'expired');
comment on type taskq.state is
'Where a task is in its life: pending (waiting, perhaps for a later run_at), running (leased to a worker), finished (succeeded), dead (attempts or age used up, or a permanent failure), cancelled, expired (not started in time).';

create sequence taskq.task_id as bigint;
create sequence taskq.queue_id as int start 100;	-- below: queues that exist from the start

-- Tokens are handed out in blocks, see src/token.c.
create sequence taskq.token_block as bigint;

create table taskq.queue (
	id int not null constraint queue_pkey primary key,
	name text collate "C" not null constraint queue_name unique,
	mode text not null constraint queue_mode check (mode in ('pull', 'push')),
	url text,
	lease_for interval not null,
	retry text not null,
	keep_finished interval not null,
	keep_dead interval not null,
	keep_key interval not null,
	paused boolean not null,
	created_at timestamptz not null
);

create table taskq.retry_policy (
	name text collate "C" not null constraint retry_policy_pkey primary key,
	backoff text not null constraint retry_policy_backoff check (backoff in ('fixed', 'linear', 'exponential', 'power', 'schedule')),
	base interval not null,
	factor real not null,
	max_delay interval not null,
	max_doublings int,
	jitter real not null,
	max_attempts int not null,
	max_age interval,
	delays interval[]
);

-- What was submitted.  Not updated while the task waits or runs; a failed
-- attempt updates attempt and run_at.
create table taskq.task (
	id bigint not null constraint task_pkey primary key,
	submitted_at timestamptz not null,
	run_at timestamptz not null,
	queue_id int not null,
	attempt int not null,			-- attempts used up
	max_attempts int not null,
	priority smallint not null,
	revived_at timestamptz,			-- when retry() started its present life
	start_by timestamptz,			-- expires unless it has started by then; NULL once it has
	timeout interval,
	key text,
	kind text,
	retry text,						-- policy; NULL: the queue's
	payload jsonb,
	method text,					-- method to body: HTTP tasks only
	url text,
	headers jsonb,
	body bytea
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

create table taskq.ready (
	run_at timestamptz not null,
	id bigint not null,
	queue_id int not null,
	priority smallint not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

create index ready_dispatch on taskq.ready (queue_id, priority, run_at, id);

create table taskq.lease (
	id bigint not null constraint lease_pkey primary key,
	token bigint not null,
	started_at timestamptz not null,
	lease_until timestamptz not null,
	lease_us bigint not null,		-- its length, for heartbeats that name none
	queue_id int not null,
	attempt int not null,			-- the number of this try
	cancel_requested boolean not null,
	deadline timestamptz,			-- heartbeats do not extend past it
	fraction real,					-- fraction, message: told by progress()
	worker text,
	cancel_reason text,
	message text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Keys that are taken: by a live task, or for some time after its end.
create table taskq.key (
	queue_id int not null,
	key text collate "C" not null,
	id bigint not null,				-- the task
	taken_until timestamptz,		-- NULL: the task lives
	constraint key_pkey primary key (queue_id, key)
) with (fillfactor = 70);

create index key_expiry on taskq.key (taken_until);

-- Tasks to be looked at when the time for their start has passed; a row stays
-- until then, whatever becomes of the task.
create table taskq.start_limit (
	start_by timestamptz not null,
	id bigint not null
);

create index start_limit_order on taskq.start_limit (start_by);

-- Failed tries of live tasks; they move into history with their task.
create table taskq.attempt (
	task_id bigint not null,
	attempt int not null,
	started_at timestamptz not null,
	ended_at timestamptz not null,
	worker text,
	class text,						-- HTTP: how far the exchange came
	error text,
	detail jsonb,
	status int,						-- status to elapsed: the HTTP answer
	headers jsonb,
	body bytea,
	truncated boolean,
	elapsed interval
);

create index attempt_task on taskq.attempt (task_id, attempt);

-- Ended tasks, arranged by the day (keep of more than 31 days: the month) on
-- which they may go, so that expiry drops a table and deletes no row.  The
-- dated tables are made ahead by maintenance (90_maintenance.sql) and hold the
-- only indexes; what ends on a day that has no table yet goes to history_rest.
create table taskq.history (
	bucket int not null,			-- yyyymmdd or yyyymm of expiry, UTC
	id bigint not null,
	state taskq.state not null,
	priority smallint not null,
	push boolean not null,			-- the mode of its queue
	attempt int not null,
	max_attempts int not null,
	submitted_at timestamptz not null,
	run_at timestamptz not null,
	started_at timestamptz,
	ended_at timestamptz not null,
	queue text not null,
	key text,
	kind text,
	worker text,
	timeout interval,
	retry text,
	result jsonb,
	error text,
	payload jsonb,					-- payload to body: not of finished tasks
	method text,
	url text,
	headers jsonb,
	body bytea,
	status int,						-- status to elapsed: the last HTTP answer
	response_headers jsonb,
	response_body bytea,
	truncated boolean,
	elapsed interval,
	attempts jsonb					-- its failed tries
) partition by list (bucket);

create table taskq.history_rest (like taskq.history);
create index history_rest_id on taskq.history_rest (id);

create view taskq._history as
	select * from taskq.history
	union all
	select * from taskq.history_rest;

-- For which database this queue sends.  One row, written by the first
-- create_queue() or submit(): see 60_control.sql.
create table taskq.arm (
	system_identifier bigint not null,
	database oid not null
);

select pg_catalog.pg_extension_config_dump('taskq.task_id', '');
select pg_catalog.pg_extension_config_dump('taskq.queue_id', '');
select pg_catalog.pg_extension_config_dump('taskq.token_block', '');
select pg_catalog.pg_extension_config_dump('taskq.queue', '');
select pg_catalog.pg_extension_config_dump('taskq.retry_policy', '');
select pg_catalog.pg_extension_config_dump('taskq.task', '');
select pg_catalog.pg_extension_config_dump('taskq.ready', '');
select pg_catalog.pg_extension_config_dump('taskq.lease', '');
select pg_catalog.pg_extension_config_dump('taskq.key', '');
select pg_catalog.pg_extension_config_dump('taskq.start_limit', '');
select pg_catalog.pg_extension_config_dump('taskq.attempt', '');
select pg_catalog.pg_extension_config_dump('taskq.history', '');
select pg_catalog.pg_extension_config_dump('taskq.history_rest', '');
select pg_catalog.pg_extension_config_dump('taskq.arm', '');
-- Retry policies: which delay follows a failed attempt, and when to give up.
-- This file is the only place where that is decided.

create function taskq._interval_seconds(i interval) returns double precision
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select extract(epoch from i)::double precision $$;

-- Made policies and the shipped ones.  A shipped one is a row here and not in
-- the table, so that a dump never brings a second copy of it back.
create view taskq._retry_policies as
	select name, backoff, base, factor, max_delay, max_doublings, jitter, max_attempts, max_age, delays, false as built_in
	from taskq.retry_policy
	union all
	select * from (values
		('default' collate "C", 'exponential', interval '1 s', 2::real, interval '1 hour', null::int, 0.1::real, 25, null::interval, null::interval[], true),
		('webhook', 'schedule', interval '5 s', 2, interval '1 day', null, 0.1, 10, null,
			array['5 s', '5 min', '30 min', '2 hours', '5 hours', '10 hours', '14 hours', '20 hours', '24 hours']::interval[], true),
		('none', 'fixed', interval '0', 1, interval '0', null, 0, 1, null, null, true)
	) as shipped;

create function taskq.backoff(policy text, attempt int) returns interval
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	p taskq._retry_policies%rowtype;
	n double precision := attempt;
	base double precision;
	cap double precision;
	exponent double precision;
	seconds double precision;
begin
	if attempt is null or attempt < 1 then
		raise exception using errcode = 'TQ004', message = 'attempt must be at least 1',
			detail = 'Attempts are counted from 1.', hint = 'Pass the number of the attempt that failed.';
	end if;
	select * into p from taskq._retry_policies r where r.name = backoff.policy;
	if not found then
		raise exception using errcode = 'TQ004', message = format('retry policy "%s" does not exist', policy),
			detail = 'Shipped policies are default, webhook and none.', hint = 'Create it with taskq.create_retry_policy().';
	end if;
	base := taskq._interval_seconds(p.base);
	cap := taskq._interval_seconds(p.max_delay);
	if p.backoff = 'schedule' then
		seconds := taskq._interval_seconds(p.delays[least(attempt, cardinality(p.delays))]);
		cap := seconds;
	elsif p.backoff = 'fixed' then
		seconds := base;
	elsif p.backoff = 'linear' then
		seconds := base * n;
	else
		exponent := case p.backoff when 'power' then n else least(n - 1, coalesce(p.max_doublings, n - 1)) end;
		-- Judged by logarithms first: the power itself could overflow.
		if base <= 0 then
			seconds := 0;
		elsif exponent * ln(p.factor::double precision) >= ln(greatest(cap, 1e-6)) - ln(base) then
			seconds := cap;
		else
			seconds := base * power(p.factor::double precision, exponent);
			-- Past the last doubling the delay grows linearly: App Engine's rule for task queues.
			if p.backoff = 'exponential' and n - 1 > exponent then
				seconds := seconds * (n - exponent);
			end if;
		end if;
	end if;
	return make_interval(secs => greatest(least(seconds, cap), 0));
end
$$;
comment on function taskq.backoff(text, int) is
'The delay, without jitter, that retry policy "policy" puts behind a failure of attempt number "attempt" (from 1). Errors: TQ004 for an unknown policy or an attempt below 1.';

-- When the task is to be tried again after a failure of attempt, or NULL:
-- never, it is dead.  born is when its present life began.
create function taskq._retry_at(policy text, attempt int, max_attempts int, born timestamptz, retry_in interval) returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	p taskq._retry_policies%rowtype;
	seconds double precision;
	retry_at timestamptz;
begin
	if attempt >= max_attempts then
		return null;
	end if;
	-- A policy that was dropped meanwhile leaves the shipped one.
	select * into p from taskq._retry_policies r where r.name in (policy, 'default') order by r.name = policy desc limit 1;
	if retry_in is not null then
		seconds := least(greatest(taskq._interval_seconds(retry_in), 0), 366 * 86400);
	else
		seconds := taskq._interval_seconds(taskq.backoff(p.name, attempt)) * (1 + p.jitter * (2 * random() - 1));
	end if;
	retry_at := clock_timestamp() + make_interval(secs => seconds);
	if retry_at > born + p.max_age then
		return null;
	end if;
	return retry_at;
end
$$;

create function taskq.create_retry_policy(name text, backoff text default 'exponential', base interval default '1 s',
	factor real default 2, max_delay interval default '1 hour', max_doublings int default null, jitter real default 0.1,
	max_attempts int default 25, max_age interval default null, delays interval[] default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	wrong text;
	longest constant interval := '366 days';
begin
	perform taskq._check_name(name, 'retry policy');
	wrong := case
		when backoff is null or backoff not in ('fixed', 'linear', 'exponential', 'power', 'schedule')
			then 'backoff must be fixed, linear, exponential, power or schedule'
		when base is null or base < interval '0' or base > longest then 'base must be between 0 and 366 days'
		when factor is null or not (factor >= 1 and factor <= 100) then 'factor must be between 1 and 100'
		when max_delay is null or max_delay < interval '0' or max_delay > longest then 'max_delay must be between 0 and 366 days'
		when max_doublings < 0 then 'max_doublings must not be negative'
		when max_doublings is not null and backoff <> 'exponential' then 'max_doublings goes with backoff exponential only'
		when jitter is null or not (jitter >= 0 and jitter <= 1) then 'jitter must be between 0 and 1'
		when max_attempts is null or max_attempts < 1 then 'max_attempts must be at least 1'
		when max_age <= interval '0' or max_age > interval '36600 days' then 'max_age must be more than 0 and at most 36600 days'
		when backoff = 'schedule' and (delays is null or array_ndims(delays) is distinct from 1 or cardinality(delays) not between 1 and 1000)
			then 'delays must hold 1 to 1000 intervals'
		when backoff <> 'schedule' and delays is not null then 'delays go with backoff schedule only'
		when exists (select from unnest(delays) d where d is null or d < interval '0' or d > longest)
			then 'each of delays must be between 0 and 366 days'
	end;
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Retry policy "%s" was not created.', name), hint = 'See the comment of taskq.create_retry_policy().';
	end if;
	if exists (select from taskq._retry_policies p where p.name = create_retry_policy.name) then
		raise exception using errcode = 'TQ004', message = format('retry policy "%s" exists already', name),
			detail = 'Policies that tasks may be using are not replaced.', hint = 'Choose another name.';
	end if;
	insert into taskq.retry_policy
		values (name, backoff, base, factor, max_delay, max_doublings, jitter, max_attempts, max_age, delays);
	perform taskq._queues_changed();
end
$$;
comment on function taskq.create_retry_policy(text, text, interval, real, interval, int, real, int, interval, interval[]) is
'Creates a retry policy. backoff: fixed (base), linear (base * attempt), exponential (base * factor ^ (attempt - 1); past max_doublings it grows linearly), power (base * factor ^ attempt), schedule (the delays one after the other, the last one again and again). max_delay caps the delay, except of a schedule; jitter varies it by up to that fraction either way. A task is dead when max_attempts is used up, or when the next try would come later than max_age after its submission or retry(). Limits: base, max_delay and each of delays 0 to 366 days; factor 1 to 100; jitter 0 to 1; max_age up to 36600 days; 1 to 1000 delays. Shipped: default (exponential from 1 s to 1 hour, 25 attempts), webhook (5 s, 5 min, 30 min, 2, 5, 10, 14, 20, 24 hours, 10 attempts), none (1 attempt). Errors: TQ004.';

create view taskq.retry_policies as
	select name, backoff, base, factor, max_delay, max_doublings, jitter, max_attempts, max_age, delays, built_in
	from taskq._retry_policies;
comment on view taskq.retry_policies is
'One row a retry policy, shipped (built_in) or made: the arguments of create_retry_policy().';

create function taskq.drop_retry_policy(name text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	used_by text;
begin
	perform taskq._check_name(name, 'retry policy');
	if exists (select from taskq._retry_policies p where p.name = drop_retry_policy.name and p.built_in) then
		raise exception using errcode = 'TQ009', message = format('retry policy "%s" cannot be dropped', name),
			detail = 'It is shipped with the extension.', hint = 'Leave it unused instead.';
	end if;
	select q.name into used_by from taskq._queues q where q.retry = drop_retry_policy.name limit 1;
	if found then
		raise exception using errcode = 'TQ009', message = format('retry policy "%s" is in use', name),
			detail = format('It is the policy of queue "%s".', used_by), hint = 'Give that queue another one with taskq.alter_queue().';
	end if;
	delete from taskq.retry_policy p where p.name = drop_retry_policy.name;
	return found;
end
$$;
comment on function taskq.drop_retry_policy(text) is
'Drops a retry policy. Live tasks that were submitted with it are retried by default from now on. Result: false when there is none of that name. Errors: TQ009 when a queue uses it or it is a shipped one, TQ004.';
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

-- Made queues and those that exist from the start.  A shipped one is a row
-- here, and in the table only once it was changed: a dump never brings a
-- second copy of it back.
create view taskq._queues as
	select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at
	from taskq.queue
	union all
	select id, name, mode, null, interval '60 s', retry, interval '1 day', interval '30 days', interval '1 hour', false, null
	from (values (1, 'default' collate "C", 'pull', 'default'), (2, 'http', 'push', 'webhook')) as shipped (id, name, mode, retry)
	where not exists (select from taskq.queue q where q.id = shipped.id);

create view taskq.queues as
	select name as queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at
	from taskq._queues;
comment on view taskq.queues is
'One row a queue: its mode (pull: clients acquire its tasks; push: the executor sends them as HTTP requests), its settings, and whether it is paused. created_at is NULL for the queues that exist from the start until they are changed.';

-- What is wrong with a queue's settings, or NULL.
create function taskq._queue_wrong(mode text, url text, lease_for interval, retry text, keep_finished interval,
	keep_dead interval, keep_key interval) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when mode is null or mode not in ('pull', 'push') then 'mode must be pull or push'
		when mode = 'pull' and url is not null then 'a pull queue has no url'
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

create function taskq.create_queue(queue text, mode text default 'pull', url text default null,
	lease_for interval default '60 s', retry text default null, keep_finished interval default '1 day',
	keep_dead interval default '30 days', keep_key interval default '1 hour') returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	wrong text;
begin
	perform taskq._check_name(queue, 'queue');
	retry := coalesce(retry, case mode when 'push' then 'webhook' else 'default' end);
	wrong := taskq._queue_wrong(mode, url, lease_for, retry, keep_finished, keep_dead, keep_key);
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
		insert into taskq.queue (id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at)
			values (nextval('taskq.queue_id'), queue, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, false,
				clock_timestamp());
	exception when unique_violation then
		raise exception using errcode = 'TQ002', message = format('queue "%s" exists already', queue),
			detail = 'Queue names are unique in a database.', hint = 'Choose another name, or use the queue that is there.';
	end;
	perform taskq._arm_if_new();
	perform taskq._queues_changed();
end
$$;
comment on function taskq.create_queue(text, text, text, interval, text, interval, interval, interval) is
'Creates a queue. queue: its name, 1 to 57 bytes. mode: pull (clients acquire the tasks) or push (the executor sends them as HTTP requests). url: push only, where the payload of submit() is POSTed. lease_for: how long an attempt owns its task without a heartbeat, 100 ms to 30 days. retry: the retry policy; default: default for pull, webhook for push. keep_finished, keep_dead: how long ended tasks stay visible, 0 (not kept) to 36600 days; they go within a day after that. keep_key: how long a key stays taken after the end, 0 to 36600 days. Errors: TQ002 when the queue exists, TQ004 for a bad argument.';

-- Every call by a client holds a lock on this table until its transaction
-- ends: once this returns none is under way, and none begins.  Taken before
-- any row, as they do, so nobody waits in a circle.
create function taskq._lock_queues(queue text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
begin
	lock table taskq.queue in exclusive mode;
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
	delete from taskq.queue where id = q.id;
	perform taskq._queues_changed();
	return true;
end
$$;
comment on function taskq.drop_queue(text, boolean) is
'Drops a queue. queue: its name. force: cancel its live tasks, running ones too (their workers lose the lease); without it, live tasks are an error. What has ended stays visible for its time. Result: false when there is no such queue. Errors: TQ009 for live tasks, for a queue that exists from the start, and while a transaction that used a queue of this database is open for more than 2 s; TQ004 for a bad name.';

-- The row of a queue, for a change.
create function taskq._own_queue(queue text) returns taskq.queue
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	q taskq.queue%rowtype;
begin
	perform taskq._check_name(queue, 'queue');
	insert into taskq.queue (id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, created_at)
		select id, name, mode, url, lease_for, retry, keep_finished, keep_dead, keep_key, paused, clock_timestamp()
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

create function taskq.alter_queue(queue text, mode text default null, url text default null, lease_for interval default null,
	retry text default null, keep_finished interval default null, keep_dead interval default null,
	keep_key interval default null) returns void
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
	wrong := taskq._queue_wrong(q.mode, q.url, q.lease_for, q.retry, q.keep_finished, q.keep_dead, q.keep_key);
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = format('Queue "%s" was not changed.', queue), hint = 'See the comment of taskq.create_queue().';
	end if;
	if q.url is not null then
		perform taskq._check_url(q.url);
	end if;
	if q.mode <> old_mode and exists (select from taskq.task t where t.queue_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('queue "%s" has live tasks', queue),
			detail = 'Tasks of one mode cannot be performed in the other.', hint = 'Wait for them to end, or make another queue.';
	end if;
	update taskq.queue t set (mode, url, lease_for, retry, keep_finished, keep_dead, keep_key) =
			(q.mode, q.url, q.lease_for, q.retry, q.keep_finished, q.keep_dead, q.keep_key)
		where t.id = q.id;
	perform taskq._queues_changed();
	perform taskq._wake_executor();
end
$$;
comment on function taskq.alter_queue(text, text, text, interval, text, interval, interval, interval) is
'Changes a queue, also default and http. queue: its name. The others are as in create_queue(); NULL leaves them as they are, url '''' removes the url. mode changes only while the queue has no live tasks. lease_for and keep_* apply to what is acquired or ends from now on, retry to every failure from now on, its max_attempts to what is submitted from now on. Errors: TQ001 unknown queue, TQ004 bad argument, TQ009 live tasks.';

create function taskq._pause(queue text, paused boolean) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	q taskq.queue%rowtype := taskq._own_queue(queue);
begin
	update taskq.queue t set paused = _pause.paused where t.id = q.id;
	perform taskq._queues_changed();
	perform taskq._wake_executor();
	return q.paused <> _pause.paused;
end
$$;

create function taskq.pause_queue(queue text) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$ select taskq._pause(queue, true) $$;
comment on function taskq.pause_queue(text) is
'Keeps the tasks of a queue from being acquired or sent, until resume_queue(). What runs goes on; submitting goes on. Result: false when it was paused already. Errors: TQ001 unknown queue, TQ004.';

create function taskq.resume_queue(queue text) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$ select taskq._pause(queue, false) $$;
comment on function taskq.resume_queue(text) is
'Ends what pause_queue() began. Result: false when it was not paused. Errors: TQ001 unknown queue, TQ004.';

create function taskq._purge_task(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_purge_task';

create function taskq.purge_queue(queue text) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	this_queue constant int := (select q.id from taskq._queues q where q.name = purge_queue.queue);
	purged bigint;
begin
	perform taskq._check_name(queue, 'queue');
	if this_queue is null then
		raise exception using errcode = 'TQ001', message = format('queue "%s" does not exist', queue),
			detail = 'No queue of that name was created in this database.',
			hint = 'taskq.create_queue() creates it; taskq.queues shows all there are.';
	end if;
	lock table taskq.queue in row share mode;
	-- In the order in which submit_many() takes keys.
	select count(*) filter (where taskq._purge_task(t.id)) into purged
		from (select t.id from taskq.task t where t.queue_id = this_queue order by t.key collate "C", t.id) as t;
	return purged;
end
$$;
comment on function taskq.purge_queue(text) is
'Cancels the pending tasks of a queue, those for later included; running ones are left alone. Result: how many it were. Errors: TQ001 unknown queue, TQ004.';
-- The life of a task: submit, acquire, heartbeat, finish, fail, release, cancel.
-- All in C; what happens in which case stands in src/submit.c, src/acquire.c
-- and src/finish.c.

create function taskq.submit(queue text, payload jsonb default null, key text default null, priority int default 0,
	run_at timestamptz default null, delay interval default null, start_within interval default null,
	timeout interval default null, retry text default null, max_attempts int default null, kind text default null,
	on_duplicate text default 'keep') returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit';
comment on function taskq.submit(text, jsonb, text, int, timestamptz, interval, interval, interval, text, int, text, text) is
'Puts a task into a queue, as part of the calling transaction: it is there when that commits, and leaves no trace when it rolls back. queue: a pull queue, or a push queue that has a url. payload: any JSON, at most taskq.max_payload bytes. key: at most one live task of the queue has a given key (1 to 512 bytes), and it stays taken for the queue''s keep_key after the end. on_duplicate: what to do when the key is taken: keep (return the id of the task that has it), replace (give that task, if it is pending, the new content and schedule; if it has ended make a new one), raise (TQ003). priority: -16 (first) to 15 (last). run_at or delay (0 to 36525 days): not before that time; a time gone by is now, infinity waits for ever. start_within: expires if no attempt starts within that time from now, 1 ms to 36525 days and longer than the delay. timeout: how long one attempt may take, 1 ms to 1 day; default for push taskq.http_timeout, for pull as long as heartbeats come. retry: retry policy; default the queue''s. max_attempts: default the policy''s. kind: a name for the sort of task, at most 57 bytes, for the worker''s use. Result: the id. Errors: TQ001 unknown queue, TQ003 duplicate key (raise; or replace of a running task), TQ004 bad argument, TQ005 push queue without url, TQ006 payload too large.';

create function taskq.submit_many(queue text, payloads jsonb[], keys text[] default null, run_ats timestamptz[] default null,
	priority int default 0, delay interval default null, start_within interval default null, timeout interval default null,
	retry text default null, max_attempts int default null, kind text default null, on_duplicate text default 'keep')
returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_many';
comment on function taskq.submit_many(text, jsonb[], text[], timestamptz[], int, interval, interval, interval, text, int, text, text) is
'Puts many tasks into a queue: one for each of payloads, at most 100000. keys, run_ats: one element for each payload, NULL where there is none. The other arguments apply to all: see submit(). Result: the ids in the order of payloads. Either all are submitted or none. Errors: as submit().';

create function taskq.submit_http(url text, payload jsonb default null, method text default 'POST',
	headers jsonb default null, body bytea default null, queue text default 'http', key text default null, priority int default 0,
	run_at timestamptz default null, delay interval default null, start_within interval default null,
	timeout interval default null, retry text default null, max_attempts int default null, kind text default null,
	on_duplicate text default 'keep') returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_http';
comment on function taskq.submit_http(text, jsonb, text, jsonb, bytea, text, text, int, timestamptz, interval, interval, interval, text, int, text, text) is
'Puts an HTTP request into a push queue, as part of the calling transaction; the executor sends it after the commit and retries it until it succeeds (status 2xx) or its policy gives up. url: http or https, no user info, at most 8192 bytes. payload: JSON, sent as body with Content-Type application/json; or body: bytes, sent as they are. method: at most 32 bytes. headers: an object of strings, at most 100 and 32 kB; not Host, Content-Length, Transfer-Encoding, Connection, nor those taskq adds: User-Agent, X-Task-Id, X-Task-Queue, X-Task-Attempt, Idempotency-Key (the same in every attempt). The other arguments: see submit(). Result: the id. Errors: TQ001 unknown queue, TQ003 duplicate key, TQ004 bad argument, TQ005 the queue is a pull queue, TQ006 too large.';

create function taskq.acquire(queue text, max_tasks int default 1, lease_for interval default null, worker text default null)
returns table (id bigint, token bigint, kind text, payload jsonb, attempt int, max_attempts int, lease_until timestamptz,
	submitted_at timestamptz, key text, priority int)
language c volatile parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_acquire';
comment on function taskq.acquire(text, int, interval, text) is
'Takes up to max_tasks (1 to 10000) due tasks of a pull queue: by priority, then run_at, then id. Each comes with a token that proves the ownership to heartbeat(), finish(), fail() and release(). lease_for: how long without a heartbeat; default the queue''s. worker: a name to be shown. Commit before you start to work. Errors: TQ001 unknown queue, TQ004 bad argument, TQ005 a push queue, TQ009 in a transaction of isolation level REPEATABLE READ or SERIALIZABLE; 25006 on a standby or in a read-only transaction.';

create procedure taskq.wait_ready(queue text, timeout interval default '20 s', inout ready boolean default null)
language c as 'MODULE_PATHNAME', 'taskq_wait_ready';
comment on procedure taskq.wait_ready(text, interval, boolean) is
'Waits until a task of a pull queue is due, at most timeout (0 to 1 day). ready: whether one is; others may take it before you do. It holds no snapshot, lock or transaction while it waits, so CALL it by itself, outside a transaction block. Preloaded, the commit of a submit wakes it; else it looks every taskq.poll_interval. Errors: TQ001 unknown queue, TQ004, TQ005 a push queue, TQ009 in a transaction block, in a function, after changes, or at isolation level REPEATABLE READ or SERIALIZABLE.';

create function taskq.heartbeat(id bigint, token bigint, extend_by interval default null)
returns table (lease_until timestamptz, cancel_requested boolean)
language c volatile parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_heartbeat';
comment on function taskq.heartbeat(bigint, bigint, interval) is
'Extends a lease to extend_by (100 ms to 30 days; default the length it was acquired with) from now, though not past the task''s timeout. Result: one row with the new end, and whether somebody has asked to cancel the task; no row: the lease is lost, stop working. Errors: TQ004.';

create function taskq.finish(id bigint, token bigint, result jsonb default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish';
comment on function taskq.finish(bigint, bigint, jsonb) is
'Ends a running task as finished, with a result of at most taskq.max_payload bytes. In the transaction that also writes the task''s effects, it makes them exactly-once. Result: false when the lease was lost: then nothing changed, and that transaction should be rolled back. Errors: TQ004, TQ006.';

create function taskq.fail(id bigint, token bigint, error text, detail jsonb default null, retry_in interval default null,
	retryable boolean default true) returns taskq.state
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_fail';
comment on function taskq.fail(bigint, bigint, text, jsonb, interval, boolean) is
'Ends an attempt as failed. error, detail: what went wrong; of error the first 8192 bytes are kept. retry_in: try again after that time instead of the policy''s delay (0 to 366 days). retryable: false ends the task at once. Result: pending (it will be tried again), dead, or cancelled (somebody had asked for it); NULL: the lease was lost, nothing changed. Errors: TQ004, TQ006.';

create function taskq.release(id bigint, token bigint, delay interval default '0') returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_release';
comment on function taskq.release(bigint, bigint, interval) is
'Gives a task back without using up the attempt; it is due again after delay (0 to 36525 days), or ended as cancelled if somebody has asked for that. Result: false when the lease was lost. Errors: TQ004.';

create function taskq.cancel(id bigint, reason text default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel';
comment on function taskq.cancel(bigint, text) is
'Cancels a task. A pending one ends at once. A running one is marked: its worker learns of it by heartbeat(), may still finish it, and any other end is cancelled; an HTTP request under way is given up. reason: kept as the error, at most 8192 bytes of it. Result: true when it ended or its worker will be told; false when it had ended before or does not exist. Errors: TQ004.';

-- Ends a live task as cancelled whatever its worker does.
create function taskq._cancel_task(id bigint, reason text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel_task';

create function taskq.progress(id bigint, token bigint, fraction real, message text default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_progress';
comment on function taskq.progress(bigint, bigint, real, text) is
'Tells how far a running task is, for taskq.tasks to show. fraction: 0 to 1, or NULL. message: the first 8192 bytes are kept. It extends no lease: see heartbeat(). Result: false when the lease was lost. Errors: TQ004.';

create function taskq.finish_many(ids bigint[], tokens bigint[], results jsonb[] default null) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish_many';
comment on function taskq.finish_many(bigint[], bigint[], jsonb[]) is
'Ends many running tasks as finished, at most 10000. tokens and results: one element for each of ids. Result: the ids of those that were finished, in ascending order; of the others the lease was lost, and nothing changed. Errors: TQ004, TQ006.';

create function taskq.heartbeat_many(ids bigint[], tokens bigint[], extend_by interval default null)
returns table (id bigint, lease_until timestamptz, cancel_requested boolean)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_heartbeat_many';
comment on function taskq.heartbeat_many(bigint[], bigint[], interval) is
'heartbeat() for many tasks, at most 10000. Result: a row for each lease that was extended, by ascending id; those without a row are lost. Errors: TQ004.';

create function taskq.finish_and_acquire(queue text, ids bigint[], tokens bigint[], results jsonb[] default null,
	max_tasks int default 1, lease_for interval default null, worker text default null)
returns table (id bigint, token bigint, kind text, payload jsonb, attempt int, max_attempts int, lease_until timestamptz,
	submitted_at timestamptz, key text, priority int)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish_and_acquire';
comment on function taskq.finish_and_acquire(text, bigint[], bigint[], jsonb[], int, interval, text) is
'finish_many() and acquire() in one call and one commit. queue: to acquire from; the finished tasks may be of any queue. Result: the rows of acquire(). Those of ids whose lease was lost are passed over. Errors: as both.';

create function taskq.cancel_key(queue text, key text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel_key';
comment on function taskq.cancel_key(text, text) is
'cancel() for the live task of a queue that has the key. Result: false when none has. Errors: TQ001 unknown queue, TQ004.';

-- Ends a pending task whose time to start has passed.
create function taskq._expire_task(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_expire_task';

-- Ends what was not started in time.  A task that somebody has in hand at this
-- moment is left to its next claim, which looks again.
create function taskq._expire_starts() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	due record;
	expired bigint := 0;
begin
	for due in
		select l.ctid, l.id from taskq.start_limit l where l.start_by <= clock_timestamp() order by l.id for update skip locked
	loop
		begin
			if taskq._expire_task(due.id) then
				expired := expired + 1;
			end if;
		exception when others then
			raise log 'could not expire task %: SQLSTATE %', due.id, sqlstate;
		end;
		delete from taskq.start_limit l where l.ctid = due.ctid;
	end loop;
	return expired;
end
$$;
-- Results, revival, arming.

create function taskq._wake_executor() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_wake_executor';

create function taskq.retry(id bigint, run_at timestamptz default null) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	h taskq._history%rowtype;
	q taskq._queues%rowtype;
	due timestamptz;
begin
	if id is null then
		raise exception using errcode = 'TQ004', message = 'id must not be NULL',
			detail = 'There is no task to try again.', hint = 'Pass the id that submit() returned.';
	end if;
	-- As every call by a client does, before any row: no queue is dropped meanwhile.
	lock table taskq.queue in row share mode;
	-- Whoever deletes the row of history brings the task back: a second caller waits and finds nothing.
	delete from taskq.history x where x.id = retry.id and x.state <> 'finished' returning * into h;
	if not found then
		delete from taskq.history_rest x where x.id = retry.id and x.state <> 'finished' returning * into h;
	end if;
	if not found then
		if exists (select from taskq._history x where x.id = retry.id) then
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
	insert into taskq.ready (run_at, id, queue_id, priority) values (due, h.id, q.id, h.priority);
	if q.mode = 'push' then
		perform taskq._wake_executor();
	end if;
	return true;
end
$$;
comment on function taskq.retry(bigint, timestamptz) is
'Brings a dead, cancelled or expired task back, with the same id, its attempts and age counted from zero; the failed attempts of its former life are forgotten. run_at: not before that time; default now. Result: false when the task is live or not known any more. Errors: TQ009 when it has finished, TQ003 when another task has its key, TQ001 when its queue is gone, TQ009 also when that has another mode now, TQ004.';

create function taskq.result(id bigint) returns table (state taskq.state, result jsonb, error text, ended_at timestamptz)
language sql stable security definer rows 1
set search_path = pg_catalog, pg_temp
as $$
	select case when l.id is null then 'pending' else 'running' end::taskq.state, null::jsonb,
		(select a.error from taskq.attempt a where a.task_id = t.id order by a.attempt desc limit 1), null::timestamptz
	from taskq.task t left join taskq.lease l on l.id = t.id
	where t.id = result.id
	union all
	select h.state, h.result, h.error, h.ended_at from taskq._history h where h.id = result.id
$$;
comment on function taskq.result(bigint) is
'The state of a task, and what it ended with: result (finished) or error. While it lives, error is that of the last failed attempt. No row: not known, or no longer kept.';

create function taskq.response(id bigint) returns table (status int, headers jsonb, body bytea, truncated boolean, elapsed interval)
language sql stable security definer rows 1
set search_path = pg_catalog, pg_temp
as $$
	(select a.status, a.headers, a.body, a.truncated, a.elapsed from taskq.attempt a
	where a.task_id = response.id and a.status is not null order by a.attempt desc, a.ended_at desc limit 1)
	union all
	select h.status, h.response_headers, h.response_body, h.truncated, h.elapsed from taskq._history h
	where h.id = response.id and h.status is not null
$$;
comment on function taskq.response(bigint) is
'The last HTTP answer to a task: status, headers (names in lower case; several of one name are an array), body as received up to taskq.http_max_response, whether it was longer, and how long the exchange took. No row: there was none yet, or it is no longer kept.';

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
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select bool_and(a.system_identifier = taskq._system_identifier()
		and a.database = (select d.oid from pg_database d where d.datname = current_database()))
	from taskq.arm a
$$;

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
-- What can be looked at: views over the private tables, and status().

create view taskq.tasks as
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
	union all
	select h.id, h.queue, h.key, h.kind, h.state, h.priority, h.attempt, h.max_attempts, h.run_at, h.submitted_at, h.started_at,
		h.ended_at, null, h.worker, false, null, null, h.method, h.url, h.payload, h.result, h.error
	from taskq._history h;
comment on view taskq.tasks is
'One row a task, live or ended. attempt: the number of the present try, or of the last one. error: of the last failed attempt; of a cancelled or expired task the reason, of a finished one NULL. lease_until, cancel_requested, and what progress() told: of a running task. payload, method and url of a finished task are not kept. Ended tasks go within a day after their queue''s keep_finished or keep_dead.';

create view taskq.attempts as
	select a.task_id, a.attempt, a.started_at, a.ended_at, a.worker, a.class, a.error, a.detail, a.status, a.elapsed
	from taskq.attempt a
	union all
	select h.id, a.attempt, a.started_at, a.ended_at, a.worker, a.class, a.error, a.detail, a.status, a.elapsed
	from taskq._history h,
		jsonb_to_recordset(h.attempts) as a (attempt int, started_at timestamptz, ended_at timestamptz, worker text,
			class text, error text, detail jsonb, status int, elapsed interval);
comment on view taskq.attempts is
'One row a failed attempt of a task, live or ended. class: of a push task, how far the exchange came (http, dns, connect, tls, timeout, reset, too_large, protocol, egress_denied, invalid, internal), or lease_lost. status: the HTTP status; elapsed: the time the exchange took.';

create view taskq.workers as
	select coalesce(l.worker, '') as worker, q.name as queue, count(*) as running, min(l.started_at) as oldest_start,
		min(l.lease_until) as next_lease_end
	from taskq.lease l join taskq._queues q on q.id = l.queue_id
	group by 1, 2;
comment on view taskq.workers is
'One row for each worker and queue with running tasks: how many, since when the oldest, and when the first lease runs out. worker is what was given to acquire(), empty if nothing was; the built-in one is called executor.';

-- The oldest task that is due, by a look at the head of each lane.
create function taskq._oldest_due() returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select min(head.run_at)
	from taskq._queues q, generate_series(-16, 15) as p (priority),
		lateral (select r.run_at from taskq.ready r where r.queue_id = q.id and r.priority = p.priority
			order by r.queue_id, r.priority, r.run_at, r.id limit 1) as head
	where head.run_at <= clock_timestamp()
$$;

-- Who keeps VACUUM from removing dead rows, longest first.
create function taskq._xmin_holders() returns table (holder text, xmin_age int)
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

-- The last failed attempt of a live task, or the last death among the newest
-- thousand tasks that have ended.  What a worker reports is for those who may
-- see tasks; what the executor itself says of an exchange is for everybody.
create function taskq._last_failure() returns table (task_id bigint, ended_at timestamptz, class text, reason text, dead boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select f.task_id, f.ended_at, f.class, case when f.class is null then 'reported by its worker' else f.error end, f.dead
	from (
		(select a.task_id, a.ended_at, a.class, a.error, false from taskq.attempt a order by a.ended_at desc limit 1)
		union all
		(select h.id, h.ended_at, h.attempts -> -1 ->> 'class', h.error, true
			from (select * from taskq._history order by id desc limit 1000) as h
			where h.state = 'dead' order by h.ended_at desc limit 1)
	) as f (task_id, ended_at, class, error, dead)
	order by f.ended_at desc limit 1
$$;

create function taskq.status() returns table ("check" text, ok boolean, detail text, hint text)
language plpgsql stable security definer rows 7
set search_path = pg_catalog, pg_temp
as $$
declare
	e record;
	due timestamptz;
	armed boolean;
	paused text[];
	failed record;
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
	paused := array(select q.name from taskq._queues q where q.paused order by q.name);
	ok := paused = '{}';
	detail := case when ok then 'No queue is paused.' else format('Paused: "%s".', array_to_string(paused, '", "')) end;
	hint := case when not ok then format('Call taskq.resume_queue(%L).', paused[1]) end;
	return next;

	"check" := 'oldest due task';
	due := taskq._oldest_due();
	ok := coalesce(due > clock_timestamp() - interval '1 minute', true);
	detail := case when due is null then 'No task is due.' else format('A task has been due since %s.', due) end;
	hint := case when not ok then 'Pull tasks wait for workers, push tasks for the executor: see the checks above and taskq.tasks.' end;
	return next;

	"check" := 'last error';
	select * into failed from taskq._last_failure();
	ok := failed.task_id is null;
	detail := case when ok then 'No recent attempt has failed.'
		else format('Task %s %s at %s: %s.', failed.task_id,
			case when failed.dead then 'died' else 'failed and will be tried again' end, failed.ended_at, failed.reason) end;
	hint := case
		when failed.class = 'egress_denied'
			then format('If that address is to be reached, name it in taskq.http_allow, reload the configuration, and call taskq.retry(%s).', failed.task_id)
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
'Why is nothing sent? One row a check: whether it is ok, what was found, and what to do about it. Checks: preloaded, executor, armed, paused queues, oldest due task, last error (of live and of recently ended tasks), xmin holders (who keeps dead rows from being removed).';
-- The executor of this database: start, stop, state.

create function taskq.start_executor() returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_start_executor';
comment on function taskq.start_executor() is
'Starts the background worker that sends push tasks from this database and takes back expired leases. With the library preloaded it starts by itself, and this is needed only after stop_executor(); without, it runs until the server stops. Result: true when it runs, false when it has not started within 5 s. Errors: TQ009 when taskq.executor is off, taskq.databases does not name the database, the role taskq_bgw is missing or unfit, no background worker is free, or the server is a standby.';

create function taskq.stop_executor() returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_stop_executor';
comment on function taskq.stop_executor() is
'Stops the background worker of this database and returns when it has disconnected, so that the database can be dropped, renamed, moved or copied. Requests under way are broken off, their tasks run again. It stays stopped until start_executor() or a restart of the server. Result: true when one was running. Errors: TQ009 when it has not stopped within 5 s.';

create function taskq._executor_state()
returns table (preloaded boolean, pid int, held_aside boolean, launcher_pid int, failures int, retry_at timestamptz,
	obstacle text, hint text)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_executor_state';
comment on function taskq._executor_state() is
'What status() knows of the executor: whether the library is preloaded; its process, NULL when none serves; whether it is stopped or held aside for a command; the launcher''s process; failed starts in a row and the time of the next; what keeps it from running, and what to do about that.';

create function taskq._poke_launcher() returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_poke_launcher';
comment on function taskq._poke_launcher() is
'At commit the launcher looks whether this database wants an executor.';
-- The protocol between the executor (or any other dispatcher of push tasks)
-- and the database.  Private: for role taskq_bgw.

create function taskq._push_claim(max_tasks int)
returns table (id bigint, token bigint, lease_ms bigint, timeout_ms bigint, method text, url text, headers text[], body bytea)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_claim';

create function taskq._push_next_due() returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_next_due';

create function taskq._push_report(id bigint, token bigint, verdict text, class text, status int, headers bytea, body bytea,
	truncated boolean, elapsed interval, error text, retry_after interval) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_report';

create function taskq._push_extend(ids bigint[], tokens bigint[]) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_extend';

create function taskq._push_release(ids bigint[], tokens bigint[]) returns int
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_release';

-- Ends the attempt of a lease that is still as it was; false: somebody has it in hand.
create function taskq._lose_lease(id bigint, token bigint, lease_until timestamptz) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_lose_lease';

-- The same for a lease that must not keep others from theirs: one that cannot
-- be ended is left alone for a minute.
create function taskq._try_lose_lease(id bigint, token bigint, lease_until timestamptz) returns boolean
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
	update taskq.lease l set lease_until = clock_timestamp() + interval '1 minute' where l.id = _try_lose_lease.id;
	return false;
end
$$;

-- At the executor's start: what the one before held when it died.
create function taskq._push_recover() returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	lock table taskq.queue in access share mode;
	select count(*) filter (where taskq._try_lose_lease(l.id, l.token, l.lease_until))
	from (select l.* from taskq.lease l join taskq._queues q on q.id = l.queue_id
		where l.worker = 'executor' and q.mode = 'push' order by l.id) as l
$$;

-- Ends what was not started in time, takes expired leases back; the
-- milliseconds until the next lease runs out, NULL if no task runs.
create function taskq._expire_leases() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	-- As every call of the executor begins: see executor_call() in src/queue.c.
	lock table taskq.queue in access share mode;
	if not taskq._copied() then
		perform taskq._expire_starts();
	end if;
	perform taskq._try_lose_lease(l.id, l.token, l.lease_until)
		from (select * from taskq.lease where lease_until <= clock_timestamp() order by id) as l;
	-- One that has run out and is still there is looked at again with the next poll.
	return (select floor(1000 * extract(epoch from min(l.lease_until) - clock_timestamp()))::bigint
		from taskq.lease l where l.lease_until > clock_timestamp());
end
$$;
-- What the executor does now and then, beside delivering.

-- The dated table of history for a task that ends at that time and is kept so long.
create function taskq._bucket(ended_at timestamptz, keep interval) returns int
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_bucket';

-- Makes the dated tables that tasks ending today and tomorrow need.
create function taskq._make_history() returns void
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
		execute format('create table taskq.%I (like taskq.history)', leaf);
		execute format('create index %I on taskq.%I (id)', leaf || '_id', leaf);
		execute format('alter table taskq.history attach partition taskq.%I for values in (%s)', leaf, b);
	end loop;
end
$$;

-- Forgets keys whose time is up, but those that somebody is taking over.
create function taskq._drop_keys() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	delete from taskq.key where ctid = any (array(
		select ctid from taskq.key where taken_until <= clock_timestamp() limit 10000 for update skip locked))
$$;

-- Drops what has expired.  A dropped table needs a lock that readers hold; who
-- is in the way for more than the lock_timeout is left in peace until the next time.
create function taskq._drop_history() returns void
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
			execute format('drop table %s', leaf);
		exception when lock_not_available then
			null;
		end;
	end loop;
	delete from taskq.history_rest where bucket < case when bucket < 1000000 then today / 100 else today end;
end
$$;
-- Who may call what.  Everything belongs to taskq_owner; PUBLIC has nothing.

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

grant usage on schema taskq to taskq_admin, taskq_submitter, taskq_worker, taskq_reader, taskq_bgw;
grant usage on type taskq.state to taskq_admin, taskq_submitter, taskq_worker, taskq_reader;

grant execute on function
	taskq.submit(text, jsonb, text, int, timestamptz, interval, interval, interval, text, int, text, text),
	taskq.submit_many(text, jsonb[], text[], timestamptz[], int, interval, interval, interval, text, int, text, text),
	taskq.submit_http(text, jsonb, text, jsonb, bytea, text, text, int, timestamptz, interval, interval, interval, text, int, text, text),
	taskq.cancel(bigint, text),
	taskq.cancel_key(text, text)
to taskq_submitter, taskq_admin;

grant execute on function
	taskq.acquire(text, int, interval, text),
	taskq.heartbeat(bigint, bigint, interval),
	taskq.finish(bigint, bigint, jsonb),
	taskq.fail(bigint, bigint, text, jsonb, interval, boolean),
	taskq.release(bigint, bigint, interval),
	taskq.progress(bigint, bigint, real, text),
	taskq.finish_many(bigint[], bigint[], jsonb[]),
	taskq.heartbeat_many(bigint[], bigint[], interval),
	taskq.finish_and_acquire(text, bigint[], bigint[], jsonb[], int, interval, text)
to taskq_worker, taskq_admin;

grant execute on procedure taskq.wait_ready(text, interval, boolean) to taskq_worker, taskq_admin;

grant execute on routine
	taskq.result(bigint),
	taskq.response(bigint),
	taskq.wait(bigint, interval, taskq.state, jsonb)
to taskq_submitter, taskq_reader, taskq_admin;

grant execute on function
	taskq.backoff(text, int),
	taskq.status()
to taskq_submitter, taskq_worker, taskq_reader, taskq_admin;

grant select on taskq.tasks, taskq.attempts, taskq.queues, taskq.workers, taskq.retry_policies to taskq_reader, taskq_admin;

grant execute on function
	taskq.create_queue(text, text, text, interval, text, interval, interval, interval),
	taskq.alter_queue(text, text, text, interval, text, interval, interval, interval),
	taskq.drop_queue(text, boolean),
	taskq.pause_queue(text),
	taskq.resume_queue(text),
	taskq.purge_queue(text),
	taskq.create_retry_policy(text, text, interval, real, interval, int, real, int, interval, interval[]),
	taskq.drop_retry_policy(text),
	taskq.retry(bigint, timestamptz),
	taskq.arm(),
	taskq.disarm(),
	taskq.start_executor(),
	taskq.stop_executor()
to taskq_admin;

grant execute on function
	taskq._armed(),
	taskq._push_claim(int),
	taskq._push_next_due(),
	taskq._push_report(bigint, bigint, text, text, int, bytea, bytea, boolean, interval, text, interval),
	taskq._push_extend(bigint[], bigint[]),
	taskq._push_release(bigint[], bigint[]),
	taskq._push_recover(),
	taskq._expire_leases(),
	taskq._make_history(),
	taskq._drop_history(),
	taskq._drop_keys()
to taskq_bgw;

-- The executor of this database starts when the installation commits.
select taskq._poke_launcher();
