-- Parallel plans: calls and views in queries over large tables.
select taskq.create_queue('parallel');
select count(*) from taskq.submit_many('parallel', array(select to_jsonb(i) from generate_series(1, 40) i));
with a as (select array_agg(id) as ids, array_agg(token) as tokens from taskq.acquire('parallel', 10))
	select count(f) from a, taskq.finish_many(a.ids, a.tokens) f;
create table orders (id int, job bigint, filler text) with (parallel_workers = 2);
insert into orders select i, t.id, repeat('x', 500) from generate_series(0, 1) i, taskq.tasks t where t.queue = 'parallel';
analyze;

set parallel_setup_cost = 0;
set parallel_tuple_cost = 0;
-- What a session knows of queues does not matter.
select taskq_private.queues_changed();
select count(*), count(r.state), count(*) filter (where r.state = 'finished') as finished
	from orders o, lateral taskq.result(o.job) r where o.filler <> '';
select count(*) from orders o, lateral taskq.response(o.job) r where o.filler <> '';
select taskq_private.queues_changed();
select count(*), count(*) filter (where t.state = 'finished') as finished
	from orders o join taskq.tasks t on t.id = o.job where o.filler <> '' and t.queue = 'parallel';
select taskq_private.queues_changed();
select count(*) from orders o join taskq.attempts a on a.task_id = o.job where o.filler <> '';
select taskq_private.queues_changed();
select count(*) from orders o, taskq.queues q where q.queue = 'parallel' and o.filler <> '';
select count(*) > 0 as some from orders o, taskq.status() s where s."check" = 'armed' and o.filler <> '';
select count(*) from orders o where taskq.backoff('none', 1) = '0' and o.filler <> '';

-- These read no table, so workers may run them.
select p.oid::regprocedure as safe, proparallel from pg_proc p
where pronamespace in ('taskq'::regnamespace, 'taskq_private'::regnamespace) and proparallel <> 'u' order by proname;
select count(*) from orders o
where not taskq.verify_signature('whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX', '{}', o.filler::bytea)
	and taskq_private.interval_seconds(o.id * interval '1 s') >= 0 and taskq_private.bucket(now(), o.id * interval '1 s') > 0;

drop table orders;
select taskq.drop_queue('parallel', true);
