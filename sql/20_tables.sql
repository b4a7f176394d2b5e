-- Private tables.  A live task is one row of task, with what was submitted, and while
-- it runs also one row of lease.  A task without a lease is pending; no column repeats
-- that.  A claim inserts the row of lease and nothing else: it touches only the index
-- of a narrow table, and expired leases are found among the running tasks.  An ended
-- task is one row of history.
--
-- These tables have no foreign keys, triggers or row security, because C code writes
-- them directly: see rows.c.

create type taskq.state as enum ('pending', 'running', 'finished', 'dead', 'cancelled', 'expired');
comment on type taskq.state is
	E'The state of a task.\n'
	'pending: it waits, perhaps for a later run_at.\n'
	'running: it is leased to a worker.\n'
	'finished: it succeeded.\n'
	'dead: its attempts or its age are used up, or it failed permanently.\n'
	'cancelled: cancel(), purge_queue() or drop_queue() ended it.\n'
	'expired: it was not started in time, see start_within of submit().';

create sequence taskq_private.task_id as bigint;
create sequence taskq_private.queue_id as int start 100;	-- smaller ids: queues that exist from the start

-- Tokens are taken in blocks: see token.c.
create sequence taskq_private.token_block as bigint;

create table taskq_private.queue (
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
	created_at timestamptz not null,
	durable_finish boolean not null,
	executor text not null constraint queue_executor check (executor in ('builtin', 'external')),	-- of push tasks
	pause_reason text				-- why taskq has paused it; NULL: pause_queue() did
);

-- What makes a push queue an endpoint: see 60_endpoints.sql.
create table taskq_private.endpoint (
	queue_id int not null constraint endpoint_pkey primary key,
	header_names text[] not null,	-- what endpoint_secret has to hold
	signed boolean not null,
	timeout interval,
	max_running int,
	rate real						-- requests a second
);

-- Headers and secrets of endpoints, which no role may read.  A dump does not hold
-- them: a restored endpoint sends nothing until alter_endpoint() or rotate_secret()
-- has given them again.
create table taskq_private.endpoint_secret (
	queue_id int not null constraint endpoint_secret_pkey primary key,
	headers jsonb,
	secret bytea,
	old_secret bytea,				-- requests are signed with both until old_until
	old_until timestamptz
);

-- Privileges of a role on a single queue.  The roles of taskq itself have theirs on
-- every queue: see 90_grants.sql and grant.c.
create table taskq_private.queue_grant (
	queue_id int not null,
	role regrole not null,
	privilege text not null constraint queue_grant_privilege check (privilege in ('submit', 'work', 'view', 'control')),
	constraint queue_grant_pkey primary key (queue_id, role, privilege)
);

create table taskq_private.retry_policy (
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

-- Live tasks, as they were submitted.  A claim and a heartbeat do not update the row;
-- a failed attempt updates attempt and run_at.
create table taskq_private.task (
	id bigint not null constraint task_pkey primary key,
	submitted_at timestamptz not null,
	run_at timestamptz not null,
	queue_id int not null,
	attempt int not null,			-- the number of attempts used up
	max_attempts int not null,
	priority smallint not null constraint task_priority check (priority between -16 and 15),
	payload jsonb,					-- stands here so that the row of a plain task has no NULL before its last column
	revived_at timestamptz,			-- when retry() last made it pending; its age counts from then
	start_by timestamptz,			-- it expires if it has not started by then; NULL once it has started
	timeout interval,
	key text,
	kind text,
	retry text,						-- retry policy; NULL: that of the queue
	method text,					-- method to body: HTTP tasks only
	url text,
	headers jsonb,
	body bytea
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- The order of acquisition.
create index task_dispatch on taskq_private.task (queue_id, priority, run_at, id);

create table taskq_private.lease (
	id bigint not null constraint lease_pkey primary key,
	token bigint not null,
	started_at timestamptz not null,
	lease_until timestamptz not null,
	lease_us bigint,				-- length, for heartbeats without extend_by; NULL before the first: lease_until - started_at
	queue_id int not null,
	attempt int not null,			-- the number of this attempt
	cancel_requested boolean not null,
	deadline timestamptz,			-- heartbeats do not extend past it
	fraction real,					-- fraction, message: from progress()
	worker text,
	cancel_reason text,
	message text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Keys that are taken: by a live task, or for some time after its end.
create table taskq_private.key (
	queue_id int not null,
	key text collate "C" not null,
	id bigint not null,				-- the task
	taken_until timestamptz,		-- NULL: the task lives
	constraint key_pkey primary key (queue_id, key)
) with (fillfactor = 70);

create index key_expiry on taskq_private.key (taken_until);

-- The times by which tasks must have started.  A row stays until that time, even if
-- its task has started or ended before.
create table taskq_private.start_limit (
	start_by timestamptz not null,
	id bigint not null
);

create index start_limit_order on taskq_private.start_limit (start_by);

-- Failed attempts of live tasks.  When a task ends they move into its row of history.
create table taskq_private.attempt (
	task_id bigint not null,
	attempt int not null,
	started_at timestamptz not null,
	ended_at timestamptz not null,
	worker text,
	class text,						-- how far an HTTP exchange came, or lease_lost
	error text,
	detail jsonb,
	status int,						-- status to elapsed: the HTTP answer
	headers jsonb,
	body bytea,
	truncated boolean,
	elapsed interval,
	times jsonb						-- of the HTTP exchange: dns, connect, tls, first_byte, as far as it came
);

create index attempt_task on taskq_private.attempt (task_id, attempt);

-- Ended tasks.  One table holds those that expire on the same day, or in the same month
-- if they are kept for more than 31 days: so expiry drops a table instead of deleting
-- rows.  make_history() in 72_duties.sql makes these dated tables ahead, and only they
-- have indexes.  A task whose table does not exist yet goes to history_rest.
create table taskq_private.history (
	bucket int not null,			-- yyyymmdd or yyyymm of the expiry, UTC
	id bigint not null,
	state taskq.state not null,
	priority smallint not null constraint history_priority check (priority between -16 and 15),
	push boolean not null,			-- whether its queue was a push queue
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
	payload jsonb,					-- payload to body: NULL for finished tasks
	method text,
	url text,
	headers jsonb,
	body bytea,
	status int,						-- status to elapsed: the last HTTP answer
	response_headers jsonb,
	response_body bytea,
	truncated boolean,
	elapsed interval,
	attempts jsonb					-- the failed attempts
) partition by list (bucket);

create table taskq_private.history_rest (like taskq_private.history including constraints);
create index history_rest_id on taskq_private.history_rest (id);

-- Every ended task that is kept.
create view taskq_private.all_history as
	select * from taskq_private.history
	union all
	select * from taskq_private.history_rest;

-- The database from which requests are sent.  One row, written by the first
-- create_queue() or submit(): see 74_arming.sql.
create table taskq_private.arm (
	system_identifier bigint not null,
	database oid not null
);

-- What a dump holds: everything but endpoint_secret.
select pg_catalog.pg_extension_config_dump('taskq_private.task_id', '');
select pg_catalog.pg_extension_config_dump('taskq_private.queue_id', '');
select pg_catalog.pg_extension_config_dump('taskq_private.token_block', '');
select pg_catalog.pg_extension_config_dump('taskq_private.queue', '');
select pg_catalog.pg_extension_config_dump('taskq_private.endpoint', '');
select pg_catalog.pg_extension_config_dump('taskq_private.queue_grant', '');
select pg_catalog.pg_extension_config_dump('taskq_private.retry_policy', '');
select pg_catalog.pg_extension_config_dump('taskq_private.task', '');
select pg_catalog.pg_extension_config_dump('taskq_private.lease', '');
select pg_catalog.pg_extension_config_dump('taskq_private.key', '');
select pg_catalog.pg_extension_config_dump('taskq_private.start_limit', '');
select pg_catalog.pg_extension_config_dump('taskq_private.attempt', '');
select pg_catalog.pg_extension_config_dump('taskq_private.history', '');
select pg_catalog.pg_extension_config_dump('taskq_private.history_rest', '');
select pg_catalog.pg_extension_config_dump('taskq_private.arm', '');
