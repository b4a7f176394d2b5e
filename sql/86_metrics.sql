-- metrics(): what taskq tells monitoring systems.

-- How many requests the executor of this database has under way, and how many wait for their hosts;
-- NULL without shared memory.
create function taskq_private.held_requests(out in_flight bigint, out waiting bigint)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_held_requests';

-- The sizes of the tables with their indexes, in bytes: of live tasks, and of ended ones.
create function taskq_private.table_sizes(out live bigint, out history bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select (select sum(pg_total_relation_size(to_regclass('taskq_private.' || t)))
			from unnest(array['task', 'lease', 'key', 'start_limit', 'attempt']) t)::bigint,
		(select sum(pg_total_relation_size(r)) from (
			select i.inhrelid::regclass from pg_inherits i where i.inhparent = 'taskq_private.history'::regclass
			union all select 'taskq_private.history_rest'::regclass) as h (r))::bigint
$$;

-- What concerns the whole database and takes milliseconds to find out.
create function taskq_private.health(out live_bytes bigint, out history_bytes bigint, out xmin_age bigint,
	out checks text[], out oks boolean[])
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select s.live, s.history, coalesce((select max(h.xmin_age) from taskq_private.xmin_holders() h), 0)::bigint, c.checks, c.oks
	from taskq_private.table_sizes() s,
		(select array_agg(c."check"), array_agg(c.severity in ('ok', 'information')) from taskq_private.checks(null) c) as c (checks, oks)
$$;

create function taskq.metrics(queues int default 300)
returns table (name text, type text, help text, labels jsonb, value double precision)
language c volatile parallel unsafe rows 10000 as 'MODULE_PATHNAME', 'taskq_metrics';
comment on function taskq.metrics is
	E'Measures for a monitoring system, in the names and types of Prometheus. The cost does not depend on the number of pending '
	'or ended tasks.\n'
	'queues: so many queues at most have rows of their own, 0 to 10000, those with the most tasks; the others are added up under '
	'the label queue="other", and taskq_metrics_queues_folded says how many they are.\n'
	'Returns one row for each measure and set of labels; docs/monitoring.md has the list. The rows of a name follow each other; '
	'of a histogram, those of a queue do: its buckets, sum and count.\n'
	'type: gauge, counter or histogram. help: what the measure is. value: in seconds or bytes, or a number.\n'
	'Counters begin at 0 when the server starts. Transactions that roll back and prepared transactions are not counted.\n'
	'A caller sees the queues that it may view; what concerns the whole database, only if it may view all of them. The sizes, checks and '
	'the age of xmin are up to a minute old.\n'
	'Without shared_preload_libraries there are no counters and histograms, and live tasks are counted at every call.\n'
	'Errors: TQ004 bad argument.';
