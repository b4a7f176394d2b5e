-- What the executor does beside delivering, called by hand while it is stopped.
\set VERBOSITY terse
set client_min_messages = warning;
create temp table before as select * from taskq_private.arm;
select count(taskq.stop_executor());
select taskq.arm();
select taskq.create_queue('duties', lease_for => '10 min', keep_key => '1 hour');

-- Whether expire_leases() tells the milliseconds until the next lease or time to start is over.
\set until_next '(select taskq_private.expire_leases() - 1000 * extract(epoch from min(t) - clock_timestamp()) between -1000 and 1000 from (select lease_until from taskq_private.lease where lease_until > now() union all select start_by from taskq_private.start_limit where start_by > now()) u (t))'

-- Leases that have run out are taken back; the attempt is used up.
select taskq.submit('duties', key => 'a') as a, taskq.submit('duties', max_attempts => 1) as b, taskq.submit('duties') as c \gset
select count(*) from taskq.acquire('duties', 3);
update taskq_private.lease set lease_until = 'epoch' where id in (:a, :b);
-- Shared memory has not seen the update.
select taskq_private.fill_leases();
select :until_next as right_next;
select state, attempt, error from taskq.tasks where id in (:a, :b, :c) order by id;
select class, error, attempt from taskq.attempts where task_id = :a;

-- A lease is taken back only as long as it is the same.
select taskq_private.lose_lease(id, token - 1, lease_until) as another_token, taskq_private.lose_lease(id, token, 'epoch') as extended
	from taskq_private.lease where id = :c;
select state from taskq.tasks where id = :c;
select taskq.finish(id, token) from taskq_private.lease where id = :c;

-- Tasks that were not started in time; what a session has in hand is left to its next claim.
select taskq.submit('duties', start_within => '1 ms') as late, taskq.submit('duties', start_within => '1 hour') as fine \gset
select pg_sleep(0.01), taskq_private.expire_starts();
select state, error from taskq.tasks where id in (:late, :fine) order by id;
select :until_next as right_next;

-- Keys whose time is up.
select taskq.cancel(:a);
select taskq_private.drop_keys();
select key, taken_until > now() + interval '59 min' as taken from taskq_private.key where id = :a;
update taskq_private.key set taken_until = now() where id = :a;
select taskq_private.drop_keys();
select count(*) from taskq_private.key where id = :a;

-- The dated tables of history.
select taskq_private.bucket(now(), '1 day') as b \gset
select taskq_private.make_history();
select to_regclass('taskq_private.history_' || :b) is not null as made;

-- In a copy, which may not be complete yet, nothing ends and nothing is dropped.
select taskq.submit('duties', start_within => '1 ms') as late \gset
update taskq_private.arm set database = 1;
select taskq.alter_queue('duties', keep_dead => '36000 days');
select taskq_private.make_history();
select taskq_private.drop_history(), pg_sleep(0.01), taskq_private.expire_leases() is not null as next;
select to_regclass('taskq_private.history_' || taskq_private.bucket(now(), '36000 days')) as not_made;
select state from taskq.tasks where id = :late;
select taskq.disarm();
select taskq_private.expire_leases() is not null as next;
select state from taskq.tasks where id = :late;

select taskq.drop_queue('duties', true);
delete from taskq_private.arm;
insert into taskq_private.arm select * from before;
select taskq.start_executor();
