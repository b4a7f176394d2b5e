-- Private tables.  A live task is one row of task, with what was submitted, and while
-- it runs also one row of lease.  A task without a lease is pending; no column repeats
-- that.  A claim inserts the row of lease and nothing else: it touches only the index
-- of a narrow table, and expired leases are found among the running tasks.  An ended
-- task is one row of history.
--
-- These tables have no foreign keys, row triggers or row security, because C code writes
-- them directly: see rows.c, and attached.c for what an administrator may add to them.
--
-- Each table has a primary key or a replica identity, so that it can be part of a
-- publication for all tables.  The identity is the full row where a primary key would cost
-- each insert.  It costs nothing unless wal_level is logical.

create type taskq.state as enum ('pending', 'running', 'finished', 'dead', 'cancelled', 'expired');
comment on type taskq.state is
	E'The state of a task.\n'
	'pending: it waits, perhaps for a later run_at.\n'
	'running: it is leased to a worker.\n'
	'finished: it succeeded.\n'
	'dead: its attempts or its age are used up, or it failed permanently.\n'
	'cancelled: cancel(), purge_queue() or drop_queue() ended it.\n'
	'expired: it was not started in time, see start_within of submit().';

-- Whether the text of a jsonb has at most that many bytes; does not write it.
create function taskq_private.json_fits(value jsonb, max_bytes int) returns boolean
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_json_fits';

create sequence taskq_private.task_id as bigint;
create sequence taskq_private.queue_id as int start 100;	-- smaller ids: queues that exist from the start

-- Tokens are taken in blocks, and must stay below 2^53: see token.c.
create sequence taskq_private.token_block as bigint maxvalue 8796093022207;
create sequence taskq_private.token_origin as bigint;
create sequence taskq_private.token_mark as bigint;

create table taskq_private.queue (
	id int not null constraint queue_pkey primary key,
	name text collate "C" not null constraint queue_name unique,
	mode text not null constraint queue_mode check (mode in ('pull', 'push', 'topic', 'call')),
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
	pause_reason text,				-- why taskq has paused it; NULL: pause_queue() did
	keep_payload boolean not null,	-- the history keeps the content of finished tasks
	keep_origin boolean not null,	-- tasks keep who submitted them
	on_finish jsonb,				-- follow-ups of its tasks: arrays of templates
	on_dead jsonb,
	ordered boolean not null,		-- the tasks of a group run one at a time, in order
	header_style text not null		-- of push tasks: whose headers they have beside taskq's own
		constraint queue_header_style check (header_style in ('taskq', 'miyamoto', 'appengine', 'cloudtasks')),
	accept_202 boolean not null,	-- receivers of push tasks that answer 202 report the outcome themselves
	events text[] not null			-- the changes of its tasks that become events
);

-- Queues that were dropped, until nothing is left of them: see src/life/empty.c.
create table taskq_private.dropped_queue (
	id int not null constraint dropped_queue_pkey primary key,
	name text collate "C" not null,
	mode text not null,
	keep_finished interval not null,
	keep_dead interval not null,
	dropped_at timestamptz not null,
	events text[] not null,
	lockers text[]					-- transactions that may still submit to it; NULL: not known yet
);

-- What makes a push queue an endpoint: see 60_endpoints.sql.
create table taskq_private.endpoint (
	queue_id int not null constraint endpoint_pkey primary key,
	header_names text[] not null,	-- what endpoint_secret has to hold
	signed boolean not null,
	timeout interval
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
-- Without a policy: members of pg_read_all_data see no row.  taskq_owner owns the table and does.
alter table taskq_private.endpoint_secret enable row level security;

-- Privileges of a role on a single queue.  The roles of taskq itself have theirs on
-- every queue: see 90_grants.sql and grant.c.  A dump may be restored where the role is
-- missing or has another OID, so the row holds its name.
create table taskq_private.queue_grant (
	queue_id int not null,
	role text collate "C" not null,
	privilege text not null constraint queue_grant_privilege check (privilege in ('submit', 'work', 'view', 'control')),
	constraint queue_grant_pkey primary key (queue_id, role, privilege)
);

-- The rows that count.  grant_queue() gives the role USAGE on schema taskq.  It is lost when
-- the role is dropped: a later role of that name has no privilege by this row, and no dump
-- holds the row.
create view taskq_private.valid_grants as
	select g.queue_id, g.role, r.oid as role_oid, g.privilege
	from taskq_private.queue_grant g join pg_roles r on r.rolname = g.role
	where exists (select from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = 'taskq' and a.grantee = r.oid);

-- Rights on functions, views and schemas that grant_queue() gave.  A right that the role had before is
-- not among them, and stays when the privileges are revoked.  No key: a restore may write a row twice.
create table taskq_private.granted_right (
	role text not null,
	right_ text not null
);
alter table taskq_private.granted_right replica identity full;

create table taskq_private.retry_policy (
	name text collate "C" not null constraint retry_policy_pkey primary key,
	backoff text not null constraint retry_policy_backoff check (backoff in ('fixed', 'linear', 'exponential', 'power', 'schedule')),
	base interval not null,
	factor double precision not null,
	max_delay interval not null,
	max_doublings int,
	jitter double precision not null,
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
	body bytea,
	origin jsonb,					-- who submitted it, if the queue has keep_origin
	on_finish jsonb,				-- follow-ups: arrays of templates
	on_dead jsonb,
	group_id bigint,				-- the number of its group: see group_id.c; NULL: it has no group.  It never changes
	group_key text,
	retry_at timestamptz,			-- of a failed task of an ordered queue: it is due then, and run_at keeps its place; see also waiting
	declined int,					-- how often decline() gave it back; NULL: never
	trace text,						-- W3C traceparent
	call jsonb						-- the function that it calls: see src/life/call.c
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- The order of acquisition.  A task has an entry in one of the two indexes.  rows.c puts it there
-- itself, so it must know these predicates.
create index task_dispatch on taskq_private.task (queue_id, priority, run_at, id) where group_id is null;
create index task_group on taskq_private.task (queue_id, group_id, priority, run_at, id) where group_id is not null;

-- The same rows, for statements that look for the tasks of a queue: each part is read by its index.
create view taskq_private.tasks_by_queue as
	select * from taskq_private.task where group_id is null
	union all
	select * from taskq_private.task where group_id is not null;

create table taskq_private.lease (
	id bigint not null constraint lease_pkey primary key,
	token bigint not null,
	started_at timestamptz not null,
	lease_until timestamptz not null,
	lease_us bigint,				-- length, for heartbeats without extend_by; NULL before the first: lease_until - started_at
	extended_at timestamptz,		-- when lease_until was last set; NULL: at started_at
	queue_id int not null,
	attempt int not null,			-- the number of this attempt
	cancel_requested boolean not null,
	deadline timestamptz,			-- heartbeats do not extend past it
	fraction double precision,		-- fraction, message: from progress()
	worker text,
	cancel_reason text,
	message text,
	on_finish jsonb,				-- follow-ups that came while it ran; a retry moves them to the task
	on_dead jsonb,
	group_id bigint					-- of the task
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- The kinds of tasks that the sessions of workers do: see serve().  A row counts as long as its
-- session holds the lock LOCK_SERVES of its number.
create sequence taskq_private.serving_number as int cycle;
create table taskq_private.serving (
	number int not null constraint serving_pkey primary key,
	queue_ids int[] not null,
	kinds text[] not null			-- patterns
);
create view taskq_private.serving_locks as
	select l.classid::bigint as number from pg_catalog.pg_locks l
	where l.locktype = 'advisory' and l.objsubid = 21589 and l.granted
		and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database());

-- Keys that are taken: by a live task, or for some time after its end.
create table taskq_private.key (
	queue_id int not null,
	key text collate "C" not null,
	id bigint not null,				-- the task
	taken_until timestamptz,		-- NULL: the task lives
	hold_until timestamptz,			-- it stays taken at least until then: see unique_for of submit()
	since timestamptz,				-- of a submit with max_wait: when the first of those that were replaced was submitted
	constraint key_pkey primary key (queue_id, key)
) with (fillfactor = 70);

create index key_expiry on taskq_private.key (taken_until);

-- The times by which tasks must have started.  A row goes with the end of its task or of its first
-- attempt.
create table taskq_private.start_limit (
	start_by timestamptz not null,
	id bigint not null
);

create index start_limit_order on taskq_private.start_limit (start_by, id);
alter table taskq_private.start_limit replica identity full;

-- Limits of queues and groups.  The row of the queue itself has scope q, that of all groups
-- without a row of their own d, that of a group g.
create table taskq_private.flow_limit (
	queue_id int not null,
	scope "char" not null constraint flow_limit_scope check (scope in ('q', 'd', 'g')),
	group_id bigint not null,		-- of a group; otherwise 0
	group_key text,
	max_running int,				-- NULL: no limit
	rate double precision,			-- so many starts in the time per; NULL: no limit
	per interval not null,
	burst int not null,
	weight int not null,			-- a group's share of what runs
	constraint flow_limit_pkey primary key (queue_id, scope, group_id)
);

-- How far the slow rates of queues (group_id 0) and groups are used up, one row for each start.  No
-- row is updated: the newest one counts.
create table taskq_private.start_mark (
	queue_id int not null,
	group_id bigint not null,
	tat timestamptz not null
);

create index start_mark_order on taskq_private.start_mark (queue_id, group_id, tat);
alter table taskq_private.start_mark replica identity full;

-- Tasks that wait for other tasks.  Such a task is pending, its run_at is infinity, and its
-- retry_at is the time before which it is not due in any case.
create table taskq_private.waiting (
	id bigint not null constraint waiting_pkey primary key,
	changed_at timestamptz not null,	-- when it began to wait, or prerequisites were added
	after_failure text not null,	-- cancel, run or wait: if one of them ends without having finished
	delay interval,					-- counted from when the last of them has ended, as is start_within
	start_within interval
);

-- For which tasks they wait.  A row goes when its task finishes, or when its dependent ends or need not
-- wait any more.
create table taskq_private.prerequisite (
	task_id bigint not null,
	dependent bigint not null,		-- a row of waiting
	state taskq.state,				-- how the task has ended, if it has not finished; NULL: it lives
	constraint prerequisite_pkey primary key (task_id, dependent)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- For the looks at a dependent: those that have not finished, and the others in the order of ids.
create index prerequisite_dependent on taskq_private.prerequisite (dependent, state, task_id);

-- The roles as which calls are made.  A call names a row here.  A role that is dropped and created
-- again is another one, so a dump holds only the rows of roles that exist; arm() gives them the roles
-- of these names.
create sequence taskq_private.caller_number as int;
create table taskq_private.caller (
	number int not null constraint caller_pkey primary key,
	role text collate "C" not null,
	role_oid oid not null,
	constraint caller_role unique (role, role_oid)
);

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
alter table taskq_private.attempt replica identity full;

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
	payload jsonb,					-- payload, headers, body: of finished tasks only if the queue has keep_payload
	method text,
	url text,						-- of finished tasks that to which the request was sent
	headers jsonb,					-- of finished tasks without those that are secret
	body bytea,
	status int,						-- status to elapsed: the last HTTP answer
	response_headers jsonb,
	response_body bytea,
	truncated boolean,
	elapsed interval,
	attempts jsonb,					-- the failed attempts
	content_lost boolean,			-- true: payload to body could not be kept, and the task cannot be retried
	origin jsonb,
	on_finish jsonb,				-- follow-ups, for retry(); not of finished tasks
	on_dead jsonb,
	group_key text,
	trace text,
	call jsonb						-- of finished tasks without arguments, unless the queue has keep_payload
) partition by list (bucket);

create table taskq_private.history_rest (like taskq_private.history including constraints);
create index history_rest_id on taskq_private.history_rest (id);
alter table taskq_private.history replica identity full;
alter table taskq_private.history_rest replica identity full;

-- Every ended task that is kept.
create view taskq_private.all_history as
	select * from taskq_private.history
	union all
	select * from taskq_private.history_rest;

-- Events and values: see src/tables/event_rows.c.  The tables of a ring, which are used one after the
-- other; trim_events() in 57_events.sql empties the oldest one before it begins the next.  A dump does
-- not hold them: an event is known by its transaction, and that number means nothing elsewhere.
create sequence taskq_private.event_number as bigint;
create table taskq_private.event_0 (
	number bigint not null,			-- those of a task ascend
	at timestamptz not null,
	task_id bigint not null,
	xid xid8,						-- the transaction; NULL: a value that is not in the stream
	kind smallint not null,			-- of EventKind
	queue text not null,
	data jsonb,
	n int							-- of a value: its number in the task
);
create index event_0_number on taskq_private.event_0 (number);
create index event_0_xid on taskq_private.event_0 (xid, number);
create index event_0_task on taskq_private.event_0 (task_id, n);
alter table taskq_private.event_0 replica identity full;
do $$
begin
	for i in 1 .. 9 loop
		execute format('create table taskq_private.event_%s (like taskq_private.event_0)', i);
		execute format('create index event_%1$s_number on taskq_private.event_%1$s (number)', i);
		execute format('create index event_%1$s_xid on taskq_private.event_%1$s (xid, number)', i);
		execute format('create index event_%1$s_task on taskq_private.event_%1$s (task_id, n)', i);
		execute format('alter table taskq_private.event_%s replica identity full', i);
	end loop;
end
$$;

-- The tables of the ring that hold events: when and behind which number each was begun.
create table taskq_private.event_leaf (
	leaf int not null constraint event_leaf_pkey primary key,
	begun_at timestamptz not null,
	begun_behind bigint not null
);
insert into taskq_private.event_leaf values (0, now(), 0);

-- One row: the table into which events are written, and what is known of those that are gone.
create table taskq_private.event_state (
	current int not null,
	gone_xid xid8 not null,			-- no event of a greater transaction is gone
	gone_number bigint not null,	-- nor one with a greater number
	gone_at pg_snapshot not null	-- nor one of a transaction that was open then
);
alter table taskq_private.event_state replica identity full;
insert into taskq_private.event_state values (0, pg_current_xact_id(), 0, pg_current_snapshot());

-- How many values of a task are wanted, and how many of its values are gone.
create table taskq_private.demand (
	task_id bigint not null constraint demand_pkey primary key,
	wanted int not null,
	gone int not null
);

-- The database from which requests are sent.  One row, written by the first
-- create_queue() or submit(): see 74_arming.sql.
create table taskq_private.arm (
	system_identifier bigint not null,
	database oid not null
);
alter table taskq_private.arm replica identity full;

-- What a dump holds: everything but endpoint_secret and the tables of events, and token_mark in place of token_block.
select pg_catalog.pg_extension_config_dump('taskq_private.task_id', '');
select pg_catalog.pg_extension_config_dump('taskq_private.queue_id', '');
select pg_catalog.pg_extension_config_dump('taskq_private.token_mark', '');
select pg_catalog.pg_extension_config_dump('taskq_private.queue', '');
select pg_catalog.pg_extension_config_dump('taskq_private.dropped_queue', '');
select pg_catalog.pg_extension_config_dump('taskq_private.endpoint', '');
select pg_catalog.pg_extension_config_dump('taskq_private.queue_grant',
	-- As in valid_grants; pg_dump may not read views.
	'where exists (select from pg_catalog.pg_roles r, pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a
		where r.rolname = role and n.nspname = ''taskq'' and a.grantee = r.oid)');
select pg_catalog.pg_extension_config_dump('taskq_private.granted_right', '');
select pg_catalog.pg_extension_config_dump('taskq_private.retry_policy', '');
select pg_catalog.pg_extension_config_dump('taskq_private.task', '');
select pg_catalog.pg_extension_config_dump('taskq_private.lease', '');
select pg_catalog.pg_extension_config_dump('taskq_private.caller_number', '');
select pg_catalog.pg_extension_config_dump('taskq_private.caller',
	'where exists (select from pg_catalog.pg_roles r where r.rolname = role and r.oid = role_oid)');
select pg_catalog.pg_extension_config_dump('taskq_private.key', '');
select pg_catalog.pg_extension_config_dump('taskq_private.start_limit', '');
select pg_catalog.pg_extension_config_dump('taskq_private.flow_limit', '');
select pg_catalog.pg_extension_config_dump('taskq_private.start_mark', '');
select pg_catalog.pg_extension_config_dump('taskq_private.waiting', '');
select pg_catalog.pg_extension_config_dump('taskq_private.prerequisite', '');
select pg_catalog.pg_extension_config_dump('taskq_private.attempt', '');
select pg_catalog.pg_extension_config_dump('taskq_private.history', '');
select pg_catalog.pg_extension_config_dump('taskq_private.history_rest', '');
select pg_catalog.pg_extension_config_dump('taskq_private.demand', '');
select pg_catalog.pg_extension_config_dump('taskq_private.arm', '');
