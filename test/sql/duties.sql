-- The executor's duties, called by hand while it is stopped.
\set VERBOSITY terse
set client_min_messages = warning;
create temp table before as select * from taskq_private.arm;
select count(taskq.stop_executor());
select taskq.arm();
select taskq.create_queue('duties', lease_for => '10 min', keep_key => '1 hour');

-- Whether they return the milliseconds until the next lease or start limit runs out.
\set until_next '(select least(taskq_private.take_back_leases(), taskq_private.expire_starts()) - 1000 * extract(epoch from min(t) - clock_timestamp()) between -1000 and 1000 from (select lease_until from taskq_private.lease where lease_until > now() union all select start_by from taskq_private.start_limit where start_by > now()) u (t))'

-- Leases that have run out are taken back; the attempt is used up.
select taskq.submit('duties', key => 'a') as a, taskq.submit('duties', max_attempts => 1) as b, taskq.submit('duties') as c \gset
select count(*) from taskq.acquire('duties', 3);
update taskq_private.lease set lease_until = 'epoch' where id in (:a, :b);
-- Shared memory has not seen the update.
select taskq_private.leases_changed();
select :until_next as right_next;
select state, attempt, error from taskq.tasks where id in (:a, :b, :c) order by id;
select class, error, attempt from taskq.attempts where task_id = :a;

select taskq.finish(id, token) from taskq_private.lease where id = :c;

-- Tasks that were not started in time.
select taskq.submit('duties', start_within => '1 ms') as late, taskq.submit('duties', start_within => '1 hour') as fine \gset
select count(taskq_private.expire_starts()) as called from pg_sleep(0.01);
select state, error from taskq.tasks where id in (:late, :fine) order by id;
select :until_next as right_next;

-- Keys whose time is over.
select taskq.cancel(:a);
select taskq_private.drop_keys();
select key, taken_until > now() + interval '59 min' as taken from taskq_private.key where id = :a;
update taskq_private.key set taken_until = now() where id = :a;
select taskq_private.drop_keys();
select count(*) from taskq_private.key where id = :a;

-- The cost does not grow with the keys that are still taken: the pages that a pass touches.
insert into taskq_private.key select 0, 'taken ' || i, i, now() + '1 hour' from generate_series(1, 20000) i;
insert into taskq_private.key select 0, 'over ' || i, i, now() - i * interval '1 us' from generate_series(1, 1000) i;
create function pages(statement text) returns int language plpgsql as $$
declare
	plan json;
begin
	execute 'explain (analyze, buffers, timing off, summary off, format json) ' || statement into plan;
	return (plan #>> '{0,Plan,Shared Hit Blocks}')::int + (plan #>> '{0,Plan,Shared Read Blocks}')::int;
end
$$;
select pages('select taskq_private.drop_keys()') < 600 as cheap;
do $$
begin
	while taskq_private.drop_keys() = 0 loop
		null;
	end loop;
end
$$;
select left(key, 5) as key, count(*) from taskq_private.key where queue_id = 0 group by 1;
delete from taskq_private.key where queue_id = 0;
drop function pages;

-- A start limit goes with the first attempt or the end of its task, not when its time comes.
select taskq.submit('duties', start_within => '1 day', key => 'limit') as limited \gset
create view limits as select count(*) from taskq_private.start_limit where start_by > now() + '23 hours';
table limits;
select taskq.submit('duties', start_within => '2 days', key => 'limit', on_duplicate => 'replace') = :limited as replaced;
table limits;
select taskq.cancel(:limited);
table limits;
select taskq.submit('duties', start_within => '1 day', priority => -16) as limited \gset
select id, token from taskq.acquire('duties') \gset
table limits;
select taskq.finish(:id, :token), :id = :limited as same;
table limits;
select taskq.submit('duties', start_within => '1 day', priority => -16) as limited \gset
select id, token from taskq.acquire('duties') \gset
select taskq.release(:id, :token), :id = :limited as same;
table limits;
select taskq.cancel(:limited);
drop view limits;

-- The dated tables of history.
select taskq_private.bucket(now(), '1 day') as b \gset
select taskq_private.make_history();
select to_regclass('taskq_private.history_' || :b) is not null as made;

-- In a copy, which may not be complete yet, no task ends and no table is dropped.
select taskq.submit('duties', start_within => '1 ms') as late \gset
update taskq_private.arm set database = 1;
select taskq.alter_queue('duties', keep_dead => '36000 days');
select taskq_private.make_history();
select taskq_private.drop_history(), pg_sleep(0.01), taskq_private.expire_starts() is not null as next;
select to_regclass('taskq_private.history_' || taskq_private.bucket(now(), '36000 days')) as not_made;
select state from taskq.tasks where id = :late;
select taskq.disarm();
select taskq_private.expire_starts() is not null as next;
select state from taskq.tasks where id = :late;

select taskq.drop_queue('duties', true);
delete from taskq_private.arm;
insert into taskq_private.arm select * from before;
select taskq.start_executor();
