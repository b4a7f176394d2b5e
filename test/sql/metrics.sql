-- metrics(): its rows, what they count, who sees them, and its cost.
\set VERBOSITY terse
set timezone = 'UTC';

select taskq.create_queue('meter'), taskq.create_queue('meter_push', mode => 'push');
-- The numbers of a queue that are not 0, without sums of times, buckets without those below them.
create function measured(queue text) returns table (name text, labels text, value double precision) language sql as $$
	select d.name, d.labels, d.value from (
		select m.name, coalesce(nullif((m.labels - 'queue')::text, '{}'), '') as labels, m.n,
			m.value - case when m.name like '%bucket' then lag(m.value, 1, 0) over (partition by m.name order by m.n) else 0 end as value
		from taskq.metrics() with ordinality as m (name, type, help, labels, value, n)
		where m.labels ->> 'queue' = measured.queue and m.name !~ 'seconds(_sum)?$') as d
	where d.value <> 0 order by d.n
$$;

-- Each name has one type and help, and its rows follow each other.
select count(*) filter (where names.runs > 1) as torn, count(*) filter (where names.types > 1) as ambiguous
from (select name, count(distinct (type, help)) as types, count(*) filter (where begins) as runs
	from (select name, type, help, lag(name) over (order by n) is distinct from name as begins
		from taskq.metrics() with ordinality as m (name, type, help, labels, value, n)
		where name !~ 'seconds_(bucket|sum|count)$') m
	group by name) names;
select name, type, labels - 'queue' as labels, value from taskq.metrics() where labels ->> 'queue' = 'meter' and type <> 'histogram';
select name, string_agg(labels ->> 'le', ' ' order by n), min(value), max(value)
from taskq.metrics() with ordinality as m (name, type, help, labels, value, n)
where labels ->> 'queue' = 'meter' and type = 'histogram' group by name order by min(n);
select name, type, labels - 'queue' as labels from taskq.metrics() where labels ->> 'queue' = 'meter_push' and labels ? 'class';
select labels ->> 'code' as code from taskq.metrics() where labels ->> 'queue' = 'meter_push' and name = 'taskq_push_responses_total';
select name, type, array(select jsonb_object_keys(labels)) as labels from taskq.metrics()
where not labels ? 'queue' and name <> 'taskq_check_ok' order by 1;
select (select array_agg("check") from taskq.status()) = array_agg(labels ->> 'check') as checks
from taskq.metrics() where name = 'taskq_check_ok';
select labels ->> 'database' = current_database() as database, labels ->> 'server' = current_setting('server_version') as server,
	labels ->> 'version' = labels ->> 'extension' as version, value from taskq.metrics() where name = 'taskq_info';
select name, value > 0 as some from taskq.metrics() where name ~ '_bytes$' order by 1;

-- Ends of attempts, of one that has waited for 3 seconds and run for 40.
select taskq.submit('meter') as id \gset
update taskq_private.task set run_at = run_at - interval '3 s' where id = :id;
select id, token from taskq.acquire('meter') \gset
update taskq_private.lease set started_at = started_at - interval '40 s' where id = :id;
update taskq_private.task set run_at = run_at - interval '40 s' where id = :id;
select * from measured('meter');
select taskq.finish(:id, :token);
select * from measured('meter');
select name, value between least and least + 2 as right_ from taskq.metrics() join (values ('taskq_task_wait_seconds_sum', 3),
	('taskq_task_run_seconds_sum', 40)) s (name, least) using (name) where labels ->> 'queue' = 'meter';
-- Failures by class: a worker's own classes are one.
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[2]));
select id, token from taskq.acquire('meter') \gset
select taskq.fail(:id, :token, 'x', class => 'mine', retry_in => '0 s');
select id, token from taskq.acquire('meter') \gset
select taskq.fail(:id, :token, 'x', retryable => false);
select id, token from taskq.acquire('meter') \gset
select taskq.decline(:id, :token, times => 0);
-- What is given back has not ended; cancelled while it runs, it has.
select taskq.submit('meter') as id \gset
select id, token from taskq.acquire('meter') \gset
select taskq.release(:id, :token);
select id, token from taskq.acquire('meter') \gset
select taskq.cancel(:id), taskq.release(:id, :token);
select * from measured('meter') where name not like '%bucket';
-- A lease that is lost.
begin;
select taskq.submit('meter', max_attempts => 1) as id \gset
select id from taskq.acquire('meter') \gset
update taskq_private.lease set lease_until = 'epoch' where id = :id;
commit;
select taskq_private.take_back_leases() is not null as more;
call taskq.wait(:id);
begin;
lock table taskq_private.lease in share row exclusive mode;
commit;
select * from measured('meter') where labels like '%lease_lost%' or labels like '%dead%';

-- Many at once; and what is rolled back counts nothing.
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[5]));
select array_agg(id) as ids, array_agg(token) as tokens from taskq.acquire('meter', 5) \gset
create temp table before as select * from measured('meter');
begin;
select count(*) from taskq.finish_many(:'ids', :'tokens');
rollback;
begin;
savepoint a;
select taskq.submit('meter') is not null;
select taskq.fail((:'ids'::bigint[])[1], (:'tokens'::bigint[])[1], 'x', class => 'mine');
rollback to a;
commit;
begin;
savepoint b;
select count(*) from taskq.finish_many(:'ids', :'tokens');
release b;
commit;
select m.name, m.labels, m.value - coalesce(b.value, 0) as more
from measured('meter') m left join before b using (name, labels) where m.value is distinct from b.value and m.name not like '%bucket';

-- A submit that keeps or replaces a task is none; retry() neither; a follow-up is one.
create function submitted(queue text) returns numeric language sql as $$
	select value::numeric from taskq.metrics() where name = 'taskq_tasks_submitted_total' and labels ->> 'queue' = submitted.queue
$$;
select submitted('meter') as before \gset
select taskq.submit('meter', key => 'k', on_finish => '[{"queue": "meter", "payload": 1}]') as id \gset
select taskq.submit('meter', key => 'k') = :id, taskq.submit('meter', key => 'k', on_duplicate => 'replace') = :id;
select submitted('meter') - :before as more;
select taskq.purge_queue('meter');
select taskq.retry(:id);
select id, token from taskq.acquire('meter') \gset
select taskq.finish(:id, :token);
select submitted('meter') - :before as more;
select taskq.submit('meter', on_finish => '[{"queue": "meter", "payload": 1}]') as id \gset
select id, token from taskq.acquire('meter') \gset
select taskq.finish(:id, :token);
select submitted('meter') - :before as more;
select taskq.purge_queue('meter');

-- Workers.
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[5]));
select count(*) from taskq.acquire('meter', 2, worker => 'a');
select count(*) from taskq.acquire('meter', 1, worker => 'b');
select name, value from taskq.metrics() where labels ->> 'queue' = 'meter' and name ~ 'worker|running|pending';
select count(taskq.finish(l.id, l.token)) from taskq_private.lease l;
select taskq.purge_queue('meter');

-- due, and the age of the first one.
create function due(queue text default 'meter') returns table (due numeric, age numeric) language sql as $$
	select (select value from taskq.metrics() where name = 'taskq_queue_due_tasks' and labels ->> 'queue' = due.queue)::numeric,
		(select round(value::numeric, -1) from taskq.metrics()
			where name = 'taskq_queue_oldest_due_age_seconds' and labels ->> 'queue' = due.queue)
$$;
select * from due();
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[20]));
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[5]), delay => '1 hour');
select taskq.submit('meter', priority => 9) as id \gset
-- An update by hand tells no session, so a sweep finds the task.  A sweep may be under way.
create procedure sweep_twice() language plpgsql as $$
begin
	for i in 1..2 loop
		while not taskq_private.sweep() loop
		end loop;
	end loop;
end
$$;
update taskq_private.task set run_at = run_at - interval '100 s' where id = :id;
call sweep_twice();
select * from due();
select taskq.cancel(:id);
select * from due();
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[12000]));
select due from due();
-- Many for later: up to 1000 that are due are counted.
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[1000]), delay => '1 hour');
select due from due();
select taskq.purge_queue('meter');
select * from due();
-- Of tasks with groups, too.
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[3]), group_keys => array['a', 'b', null]);
select due from due();
select taskq.purge_queue('meter');
-- The rows that a call reads do not grow with the backlog.
create function read_rows() returns bigint language sql as $$
	select (select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables
		where relid = 'taskq_private.task'::regclass)
$$;
select count(*) from taskq.submit_many('meter', array_fill('1'::jsonb, array[30000]));
select due from due();
begin;
select read_rows() as before \gset
select count(*) > 0 as counted from taskq.metrics();
select read_rows() - :before < 100 as cheap;
commit;
select taskq.purge_queue('meter');

-- Folding: the queues with the most tasks stay.  One that is called as the others are is among them.
select taskq.create_queue('other'), taskq.create_queue('most');
select count(*) from taskq.submit_many('other', array_fill('1'::jsonb, array[90000]));
select count(*) from taskq.submit_many('most', array_fill('1'::jsonb, array[80000]));
select labels ->> 'queue' as queue, value >= 80000 as many from taskq.metrics(1) where name = 'taskq_tasks_submitted_total';
select (select value from taskq.metrics(1) where name = 'taskq_metrics_queues_folded')
	= (select count(*) - 1 from taskq.queues where mode <> 'topic') as folded;
select (select sum(value) from taskq.metrics(0) where name = 'taskq_tasks_ended_total')
	= (select sum(value) from taskq.metrics() where name = 'taskq_tasks_ended_total') as all_of_them;
select distinct labels ->> 'queue' as queue from taskq.metrics(0) where labels ? 'queue';
select value from taskq.metrics(100) where name = 'taskq_metrics_queues_folded';
select taskq.drop_queue('other', force => true), taskq.drop_queue('most', force => true);
select taskq.metrics(-1);
select taskq.metrics(10001);

begin read only;
select count(*) > 0 as read_only from taskq.metrics();
commit;

-- The first call of a session, for all queues.
\c -
\set VERBOSITY terse
select value > 40000 as counted from taskq.metrics() where name = 'taskq_tasks_submitted_total' and labels ->> 'queue' = 'meter';

-- A topic has no tasks.
select taskq.create_queue('meter_topic', mode => 'topic');
select count(*) from taskq.metrics() where labels ->> 'queue' = 'meter_topic';
select taskq.drop_queue('meter_topic');

-- Who sees what.
create role regress_meter;
set role regress_meter;
select count(*) from taskq.metrics();
reset role;
grant taskq_submitter to regress_meter;
set role regress_meter;
select count(*) from taskq.metrics();
reset role;
revoke taskq_submitter from regress_meter;
create role regress_meter2;
select taskq.grant_queue('meter', 'regress_meter', '{view}'), taskq.grant_queue('meter_push', 'regress_meter2', '{view}');
set role regress_meter;
select labels ->> 'queue' as queue, name from taskq.metrics() where type = 'gauge' order by name;
select value from taskq.metrics(0) where name = 'taskq_metrics_queues_folded';
reset role;
select taskq.revoke_queue('meter', 'regress_meter', '{view}');
grant taskq_reader to regress_meter;
set role regress_meter;
select count(distinct labels ->> 'queue') >= 4 as all_queues, count(*) filter (where name = 'taskq_live_bytes') as sizes from taskq.metrics();
reset role;
select taskq.revoke_queue('meter_push', 'regress_meter2', '{view}');
drop role regress_meter, regress_meter2;

-- A dropped queue has no rows, and one of its name begins at 0.
select taskq.drop_queue('meter', force => true);
select count(*) from taskq.metrics() where labels ->> 'queue' = 'meter';
select taskq.create_queue('meter');
select sum(value) from taskq.metrics() where labels ->> 'queue' = 'meter';
select taskq.drop_queue('meter'), taskq.drop_queue('meter_push');
