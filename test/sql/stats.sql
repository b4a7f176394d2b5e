-- queue_stats(): its numbers and its cost.
\set VERBOSITY terse

select taskq.create_queue('stats'), taskq.create_queue('hidden');
create view shown as select queue, pending, due, running, finished, dead, cancelled, expired, since < clock_timestamp() as since,
	oldest_due_age between '0' and '1 minute' as age from taskq.queue_stats('stats');
select * from shown;

select count(*) from taskq.submit_many('stats', array['1', '2', '3', '4', '5', '6', '7', '8']::jsonb[]);
select taskq.submit('stats', delay => '1 hour') as later, taskq.submit('stats', priority => 7, start_within => '1 hour') as late \gset
select * from shown;

-- One task for each final state.
select id, token from taskq.acquire('stats') \gset
select taskq.finish(:id, :token);
select id, token from taskq.acquire('stats') \gset
select taskq.fail(:id, :token, 'x', retryable => false);
select id as dead from taskq.tasks where queue = 'stats' and state = 'dead' \gset
select id, token from taskq.acquire('stats') \gset
select taskq.fail(:id, :token, 'x', retry_in => '1 hour');
select id from taskq.acquire('stats') \gset
select taskq.cancel(:later);
update taskq_private.task set start_by = 'epoch' where id = :late;
update taskq_private.start_limit set start_by = 'epoch' where id = :late;
select taskq_private.expire_starts() is not distinct from 0 as more;
-- The executor may be about to end it, too.  A transaction that ends tasks tells their number a
-- moment after other sessions can see them, and before it gives up its locks.
call taskq.wait(:late);
begin;
lock table taskq_private.start_limit in share row exclusive mode;
commit;
select * from shown;
select taskq.retry(:dead);
select * from shown;

-- A rollback changes no number.
begin;
select count(*) from taskq.submit_many('stats', array['1', '2']::jsonb[]);
savepoint a;
select count(*) from taskq.acquire('stats', 3);
rollback to a;
select count(*) from taskq.submit_many('stats', array['3', '4', '5']::jsonb[]);
savepoint b;
select taskq.submit('stats') is not null;
release b;
savepoint c;
select taskq.submit('stats') is not null;
rollback to c;
commit;
select * from shown;
begin;
select taskq.purge_queue('stats');
rollback;
select * from shown;
select taskq.purge_queue('stats');
select * from shown;

-- The first count, in a transaction that has changed tasks itself.
select taskq.create_queue('own');
begin;
select taskq.submit('own') is not null;
select pending from taskq.queue_stats('own');
select taskq.submit('own') is not null;
commit;
select pending from taskq.queue_stats('own');
select taskq.drop_queue('own', force => true);

-- The cost, in rows and index entries of taskq_private.task that a call reads, does not grow with the backlog.
select count(*) from taskq.submit_many('stats', (select array_agg(to_jsonb(i)) from generate_series(1, 30000) i), delay => '1 hour');
create function looked_at() returns bigint language sql as $$
	select (select coalesce(seq_tup_read, 0) from pg_stat_xact_user_tables where relid = 'taskq_private.task'::regclass)
		+ pg_stat_get_xact_tuples_returned('taskq_private.task_dispatch'::regclass)
$$;
begin;
select looked_at() as before \gset
select * from shown;
select looked_at() - :before < 100 as cheap;
commit;
-- It does not grow with the running tasks: a call does not read the table of leases.  It does so
-- only while shared memory does not know all leases, until the executor has read them.
create function lease_scans() returns bigint language sql as $$
	select coalesce(sum(seq_scan), 0)::bigint from pg_stat_xact_user_tables where relid = 'taskq_private.lease'::regclass
$$;
create procedure look(inout cheap boolean default false) language plpgsql as $$
declare
	before bigint;
begin
	for i in 1..100 loop
		before := lease_scans();
		perform from taskq.queue_stats();
		perform from taskq.queue_stats('stats');
		cheap := lease_scans() = before;
		exit when cheap;
		perform pg_sleep(0.05);
		commit;
	end loop;
end
$$;
call look();
drop procedure look;
drop function lease_scans;
-- Nor does a call for all queues look at each running task: the pages that it touches.
select count(taskq.create_queue('many-' || i)) from generate_series(1, 50) i;
select sum((select count(*) from taskq.submit_many('many-' || i, array_fill('1'::jsonb, array[40])))) from generate_series(1, 50) i;
select sum((select count(*) from taskq.acquire('many-' || i, 40))) from generate_series(1, 50) i;
create function pages() returns int language plpgsql as $$
declare
	plan json;
begin
	execute 'explain (analyze, buffers, timing off, summary off, format json) select from taskq.queue_stats()' into plan;
	return (plan #>> '{0,Plan,Shared Hit Blocks}')::int + (plan #>> '{0,Plan,Shared Read Blocks}')::int;
end
$$;
select count(*), sum(pending) as pending, sum(due) as due, sum(running) as running from taskq.queue_stats() where queue like 'many-%';
select pages() < 1000 as cheap;
-- What this transaction has claimed runs; what it has given back is pending after its commit.
select id, token from taskq_private.lease where queue_id = (select id from taskq_private.all_queues where name = 'many-1') limit 1 \gset
begin;
select taskq.release(:id, :token);
select pending, due, running from taskq.queue_stats('many-1');
rollback;
select pending, due, running from taskq.queue_stats('many-1');
select taskq.release(:id, :token);
select pending, due, running from taskq.queue_stats('many-1');
select count(taskq.drop_queue('many-' || i, force => true)) from generate_series(1, 50) i;
drop function pages;
-- More due tasks than are counted.
select count(*) from taskq.submit_many('stats', (select array_agg(to_jsonb(i)) from generate_series(1, 10010) i));
select pending, due from taskq.queue_stats('stats');

-- The first call of a session, for all queues, finds what others have counted.
create temp table before as select queue, since, finished from taskq.queue_stats();
select string_agg(format('(%L, %L)', queue, since), ', ') as known from before \gset
\c -
\set VERBOSITY terse
select count(*) > 2 as queues, bool_and(s.since = b.since::timestamptz) as same
from taskq.queue_stats() s join (values :known) b (queue, since) using (queue);

-- All queues that the caller may view, and no others.
select queue from taskq.queue_stats() where queue in ('stats', 'hidden', 'default', 'http');
create role regress_stats;
select taskq.grant_queue('stats', 'regress_stats', '{view}');
set role regress_stats;
select queue from taskq.queue_stats();
select * from taskq.queue_stats('hidden');
reset role;
select * from taskq.queue_stats('nowhere');

select taskq.drop_queue('stats', true), taskq.drop_queue('hidden');
drop role regress_stats;
drop view shown;
drop function looked_at;
