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
