-- Queues changed under way; tasks that are not started in time; progress.
\set VERBOSITY terse
select taskq.create_queue('control', retry => 'none');

-- alter_queue: what is NULL stays.
select taskq.alter_queue('control', lease_for => '5 min', keep_dead => '2 days');
select * from (select to_jsonb(q) - 'created_at' from taskq.queues q where queue = 'control') as q;
select taskq.submit('control') as id \gset
select lease_until > now() + interval '4 min' as new_lease, max_attempts from taskq.acquire('control');
select taskq.alter_queue('control', retry => 'default');
select taskq.submit('control') as later \gset
select max_attempts from taskq.tasks where id = :later;
select taskq.alter_queue('control', mode => 'push');
select taskq.alter_queue('control', url => 'http://a.example/');
select taskq.alter_queue('control', retry => 'nowhere');
select taskq.alter_queue('control', lease_for => '0');
select taskq.alter_queue('nowhere');
select taskq.alter_queue(null);
select taskq.purge_queue('control') > 0 as purged, taskq.finish(id, token) from taskq_private.lease where id = :id;
select taskq.alter_queue('control', mode => 'push', url => 'http://a.example/');
select taskq.alter_queue('control', url => '');
select mode, url from taskq.queues where queue = 'control';
select taskq.submit('control');
select taskq.alter_queue('control', mode => 'pull');

-- The queues that exist from the start can be changed; each is still there once.
select taskq.alter_queue('default', lease_for => '7 min');
select queue, lease_for, retry from taskq.queues where queue in ('default', 'http') order by queue;
select taskq.alter_queue('default', lease_for => '60 s');
select taskq.create_queue('default');

-- Without an executor, which would claim push tasks, too.
select taskq.stop_executor(), taskq.arm();

-- Paused: nothing is acquired or claimed; submitting and finishing go on.
select taskq.submit('control', '"first"') > 0 as submitted;
select token, id from taskq.acquire('control') \gset
select taskq.pause_queue('control'), taskq.pause_queue('control');
select taskq.submit('control', '"second"') > 0 as submitted;
select count(*) from taskq.acquire('control', 10);
select taskq.finish(:id, :token);
select ok, detail, hint from taskq.status() where "check" = 'paused queues';
select taskq.resume_queue('control'), taskq.resume_queue('control');
select payload from taskq.acquire('control', 10);
select taskq.submit_http('http://a.example/') as h \gset
select taskq.pause_queue('http');
select count(*) from taskq_private.push_claim(10, null, null);
select * from taskq_private.push_next_due(null, null);
select taskq.resume_queue('http');
select count(*) from taskq_private.push_claim(10, null, null);
select taskq.cancel(:h);
select taskq_private.push_recover();
select taskq.disarm(), taskq.start_executor();
select taskq.pause_queue('nowhere');

-- Purge: pending ones, also those for later; not what runs.
select count(*) from taskq.submit_many('control', '{1, 2, 3}', delay => '1 hour');
select taskq.purge_queue('control'), taskq.purge_queue('control');
select state, count(*) from taskq.tasks where queue = 'control' group by state order by state;
select taskq.purge_queue('nowhere');
select taskq.purge_queue(null);

-- start_within: expires unless it has started; exact at the claim.
select taskq.submit('control', '"late"', start_within => '1 ms') as late, taskq.submit('control', '"in time"', start_within => '1 hour') as fine \gset
select pg_sleep(0.01);
select payload from taskq.acquire('control', 10);
select state from taskq.result(:late);
select taskq.retry(:late);
select state from taskq.result(:late);
select taskq.cancel(:late);
-- Once started it does not expire, however often it is given back.
update taskq_private.task set start_by = 'epoch' where id = :fine;
select taskq.release(id, token) from taskq_private.lease where id = :fine;
select payload from taskq.acquire('control', 10);
select taskq.fail(id, token, 'x', retry_in => '0') from taskq_private.lease where id = :fine;
select payload from taskq.acquire('control', 10);
select taskq.finish(id, token) from taskq_private.lease where id = :fine;
-- Maintenance expires what nobody acquires.
select taskq.submit('control', '"unwanted"', start_within => '1 ms') as id \gset
select pg_sleep(0.01);
select count(taskq_private.expire_leases()) >= 0 as done;
select state, payload, error from taskq.tasks where id = :id;
select count(*) from taskq_private.start_limit where start_by < now();
select taskq.submit('control', start_within => '0');
select taskq.submit('control', start_within => '1 s', delay => '2 s');
select taskq.submit('control', start_within => '1 s', run_at => 'infinity');

-- Progress is shown while the task runs.
select taskq.submit('control') as id \gset
select token from taskq.acquire('control') \gset
select fraction, message from taskq.tasks where id = :id;
select taskq.progress(:id, :token, 0.25, 'a quarter'), taskq.progress(:id, :token - 1, 1);
select fraction, message from taskq.tasks where id = :id;
select taskq.progress(:id, :token, null);
select fraction, message from taskq.tasks where id = :id;
select taskq.progress(:id, :token, 1.5);
select taskq.progress(:id, :token, 'NaN');
select taskq.finish(:id, :token), taskq.progress(:id, :token, 1);
select taskq.drop_queue('control', true);
