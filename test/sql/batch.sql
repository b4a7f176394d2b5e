-- Many tasks in one call.
\set VERBOSITY terse
set timezone = 'UTC';
select taskq.create_queue('batch');

-- submit_many: ids in the order of the input; keys and times for each element.
create temp table s as select n, id from taskq.submit_many('batch',
	array['{"n": 1}', '{"n": 2}', null, '{"n": 4}']::jsonb[], keys => array['z', null, 'a', 'z'],
	run_ats => array[null, '2100-01-01', null, null]::timestamptz[], kind => 'many', priority => 3)
	with ordinality as x (id, n);
select s.n, t.payload, t.key, t.kind, t.priority, t.run_at > now() as later, s.id = (select id from s where n = 1) as first
	from s join taskq.tasks t using (id) order by n;
select count(distinct id) from s;
select count(*), count(distinct id) from taskq.submit_many('batch', (select array_agg(to_jsonb(i)) from generate_series(1, 10000) i)) as id;
select bool_and(id > before) as ascending from (select id, lag(id, 1, 0::bigint) over (order by n) as before
	from taskq.submit_many('batch', (select array_agg(to_jsonb(i)) from generate_series(1, 100) i)) with ordinality as x (id, n)) as y;
select count(*) from taskq.submit_many('batch', '{}');
-- All or nothing.
select count(*) as before from taskq_private.task \gset
select taskq.submit_many('batch', array['1', to_jsonb(repeat('x', 1048577))]::jsonb[]);
select taskq.submit_many('batch', '{1, 2}'::jsonb[], keys => array['a', ''], on_duplicate => 'keep');
select taskq.submit_many('batch', '{1, 2}'::jsonb[], keys => array['new', 'a'], on_duplicate => 'raise');
select count(*) - :before as added from taskq_private.task;
select taskq.submit_many('batch', null);
select taskq.submit_many('batch', '{1, 2}', keys => '{a}');
select taskq.submit_many('batch', '{1, 2}', run_ats => '{now}');
select taskq.submit_many('batch', '{1}', run_ats => '{now}', delay => '1 s');
select taskq.submit_many('batch', '{{1}, {2}}');
select taskq.submit_many('batch', array_fill('1'::jsonb, array[100001]));
select taskq.submit_many('http', '{1}');
select taskq.submit_many('nowhere', '{1}');
select taskq.purge_queue('batch') = 10103 as purged;

-- finish_many, heartbeat_many, finish_and_acquire.
select count(*) from taskq.submit_many('batch', (select array_agg(to_jsonb(i)) from generate_series(1, 10) i));
create temp table w as select row_number() over (order by id) as n, * from taskq.acquire('batch', 6);
select n, attempt, payload from w order by n;
select w.n, h.lease_until > now() + interval '9 min' as extended, h.cancel_requested
	from taskq.heartbeat_many((select array_agg(id order by n desc) from w), (select array_agg(case n when 2 then 0 else token end order by n desc) from w),
	'10 min') as h join w using (id) order by n;
select w.n from taskq.finish_many((select array_agg(id order by n) from w where n <= 3), (select array_agg(case n when 2 then 0 else token end order by n) from w where n <= 3),
	array['{"r": 1}', '{"r": 2}', null]::jsonb[]) as f (id) join w using (id) order by n;
select w.n, t.state, t.result from w join taskq.tasks t using (id) where n <= 3 order by n;
select w.n from taskq.finish_many((select array_agg(id) from w where n <= 3), (select array_agg(token) from w where n <= 3)) as f (id) join w using (id);
create temp table more as select * from taskq.finish_and_acquire('batch', (select array_agg(id) from w where n in (4, 5)),
	(select array_agg(token) from w where n in (4, 5)), max_tasks => 2, worker => 'both');
select payload, attempt from more order by id;
select w.n, t.state from w join taskq.tasks t using (id) order by n;
select payload from taskq.finish_and_acquire('batch', '{}', '{}', max_tasks => 100);
select count(*) from taskq.finish_and_acquire('batch', (select array_agg(id) from taskq_private.lease), (select array_agg(token) from taskq_private.lease));
select state, count(*) from taskq.tasks where queue = 'batch' group by state order by state;
select worker, queue, running from taskq.workers;

-- A batch is as atomic as a single call.
select count(*) from taskq.submit_many('batch', '{1, 2}');
create temp table r as select * from taskq.acquire('batch', 2);
begin;
select count(*) from taskq.finish_many((select array_agg(id) from r), (select array_agg(token) from r));
rollback;
select state, count(*) from r join taskq.tasks t using (id) group by state;
select count(*) from taskq.finish_many((select array_agg(id) from r), (select array_agg(token) from r));

select taskq.finish_many('{1}', '{}');
select taskq.finish_many('{1}', '{1}', '{1, 2}');
select taskq.finish_many(null, '{1}');
select taskq.heartbeat_many('{1}', '{1}', '-1 s');
select taskq.finish_and_acquire('http', '{}', '{}');
select taskq.finish_many(array_fill(1::bigint, array[10001]), array_fill(1::bigint, array[10001]));
select taskq.drop_queue('batch', true);
