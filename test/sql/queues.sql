-- Queues: created, changed under way, paused, purged and dropped.
\set VERBOSITY terse
-- Created: missing arguments have their defaults; arguments.sql has the refused ones.
select taskq.create_queue('queues', retry => 'none'), taskq.create_queue('settings', 'push', 'http://a.example/', lease_for => '5 min',
	keep_finished => '0', keep_dead => '90 days', keep_key => '0', durable_finish => false, executor => 'external');
select * from (select to_jsonb(q) - 'created_at' from taskq.queues q where queue in ('queues', 'settings') order by queue) as q;
select created_at between now() - interval '1 min' and clock_timestamp() as just_created from taskq.queues where queue = 'settings';
select taskq.drop_queue('settings');
begin;
select taskq.create_queue('settings');
rollback;
select count(*) from taskq.queues where queue = 'settings';

-- alter_queue: an argument that is NULL changes nothing.
select taskq.alter_queue('queues', lease_for => '5 min', keep_dead => '2 days');
select * from (select to_jsonb(q) - 'created_at' from taskq.queues q where queue = 'queues') as q;
select taskq.submit('queues') as id \gset
select lease_until > now() + interval '4 min' as new_lease, max_attempts from taskq.acquire('queues');
select taskq.alter_queue('queues', retry => 'default');
select taskq.submit('queues') as later \gset
select max_attempts from taskq.tasks where id = :later;
select taskq.alter_queue('queues', mode => 'push');
select taskq.alter_queue('queues', url => 'http://a.example/');
select taskq.alter_queue('queues', retry => 'nowhere');
select taskq.alter_queue('queues', lease_for => '0');
select taskq.alter_queue('nowhere');
select taskq.alter_queue(null);
select taskq.purge_queue('queues') > 0 as purged, taskq.finish(id, token) from taskq_private.lease where id = :id;
select taskq.alter_queue('queues', mode => 'push', url => 'http://a.example/');
select taskq.alter_queue('queues', url => '');
select mode, url from taskq.queues where queue = 'queues';
select taskq.submit('queues');
select taskq.alter_queue('queues', mode => 'pull');

-- The queues that exist from the start can be changed; each still exists once.
select taskq.alter_queue('default', lease_for => '7 min');
select queue, lease_for, retry from taskq.queues where queue in ('default', 'http') order by queue;
select taskq.alter_queue('default', lease_for => '60 s');
select taskq.create_queue('default');

-- The executor is stopped, because it would claim push tasks as well.
select taskq.stop_executor(), taskq.arm();

-- Paused: no task is acquired or claimed; submit and finish still work.
select taskq.submit('queues', '"first"') > 0 as submitted;
select token, id from taskq.acquire('queues') \gset
select taskq.pause_queue('queues'), taskq.pause_queue('queues');
select taskq.submit('queues', '"second"') > 0 as submitted;
select count(*) from taskq.acquire('queues', 10);
select taskq.finish(:id, :token);
select ok, detail, hint from taskq.status() where "check" = 'paused queues';
select taskq.resume_queue('queues'), taskq.resume_queue('queues');
select payload from taskq.acquire('queues', 10);
select taskq.submit_http('http://a.example/') as h \gset
select taskq.pause_queue('http');
select count(*) from taskq_private.push_claim(10, null, null);
select * from taskq_private.push_next_due(null, null);
select taskq.resume_queue('http');
select count(*) from taskq_private.push_claim(10, null, null);
select taskq.cancel(:h);
select taskq_private.recover_leases();
select taskq.disarm(), taskq.start_executor();
select taskq.pause_queue('nowhere');

-- Purge: ends pending tasks, also those that are not due yet, but no running ones.
select count(*) from taskq.submit_many('queues', '{1, 2, 3}', delay => '1 hour');
-- In batches, which pass over what runs.
select taskq.purge_queue('queues', 2), taskq.purge_queue('queues', 2), taskq.purge_queue('queues', 2);
select count(*) from taskq.submit_many('queues', '{1, 2, 3}', delay => '1 hour');
select taskq.purge_queue('queues'), taskq.purge_queue('queues');
select taskq.purge_queue('queues', 0);
select taskq.purge_queue('queues', 100001);
select state, count(*) from taskq.tasks where queue = 'queues' group by state order by state;
select taskq.purge_queue('nowhere');
select taskq.purge_queue(null);

-- Dropped: only without live tasks, or with force.
select taskq.submit('queues', '"pending"') > 0 as submitted;
select taskq.drop_queue('queues');
select taskq.drop_queue('queues', force => true), taskq.drop_queue('queues');
select distinct state, error from taskq.tasks where error = 'queue dropped';
select count(*) from taskq.tasks where queue = 'queues' and state in ('pending', 'running');
select taskq.drop_queue('default'), taskq.drop_queue('http');
select taskq.drop_queue('default');
select taskq.drop_queue(null);
