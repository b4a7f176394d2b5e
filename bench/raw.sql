-- raw.sql
--		The hand-written queue: what people write before they look for one.
create table raw (
	id bigserial primary key,
	queue text,
	state text,
	priority int,
	run_at timestamptz,
	lease timestamptz,
	payload jsonb
);
create index on raw (queue, priority, run_at, id) where state = 'ready';

-- The same with groups and limits: the running tasks are counted.
create table raw_flow (like raw including defaults, group_key text, primary key (id));
create index on raw_flow (queue, priority, run_at, id) where state = 'ready';
create index on raw_flow (queue, group_key) where state = 'running';
