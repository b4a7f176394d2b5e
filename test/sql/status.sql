-- status(): each check, with and without a problem.
\set VERBOSITY terse
set timezone = 'UTC';
set datestyle = 'ISO';
create function checked(wanted text, queue text default null) returns table (ok boolean, severity text, detail text, hint text)
language sql as $$
	select ok, severity, regexp_replace(regexp_replace(detail, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00', 'TIME', 'g'), '(Task|process) \d+', '\1 N'),
		regexp_replace(hint, '(task_id = |retry\()\d+', '\1N')
	from taskq.status(queue) where "check" = wanted
$$;
-- No request is sent from this database.
create temp table before as select * from taskq_private.arm;
select taskq.disarm();
select "check" from taskq.status();
select * from checked('preloaded');
select ok from checked('xmin holders');

-- executor
select count(taskq.start_executor());
select * from checked('executor');
select count(taskq.stop_executor());
select * from checked('executor');
select count(taskq.start_executor());

-- armed: not yet, here, in another database, disarmed
begin;
delete from taskq_private.arm;
select * from checked('armed');
select taskq.arm();
select * from checked('armed');
update taskq_private.arm set database = 1;
select * from checked('armed');
rollback;
select * from checked('armed');

-- paused queues: those that taskq has paused by itself come first
select taskq.create_queue('status'), taskq.create_queue('other');
select * from checked('paused queues');
select taskq.pause_queue('status'), taskq.pause_queue('other');
update taskq_private.queue set pause_reason = 'of itself' where name = 'status';
select * from checked('paused queues');
select taskq.resume_queue('status'), taskq.resume_queue('other');

-- oldest due task
select taskq.submit('status', run_at => '2100-01-01') as id \gset
begin;
update taskq_private.task set run_at = now() - interval '30 s' where id = :id;
select * from checked('oldest due task');
update taskq_private.task set run_at = now() - interval '2 min' where id = :id;
select * from checked('oldest due task');
update taskq_private.task set run_at = now() - interval '20 min' where id = :id;
select * from checked('oldest due task');
select * from checked('oldest due task', 'other');
rollback;

-- last error: of a live task and of a dead one; what a worker has reported is not shown
select taskq.submit('status', priority => -16) as failing \gset
select taskq.fail(id, token, 'secret', retry_in => '0') from taskq.acquire('status');
select * from checked('last error');
select ok, severity from checked('last error', 'other');
begin;
update taskq_private.attempt set ended_at = ended_at - interval '61 min';
select ok, severity from checked('last error', 'status');
rollback;
select taskq.fail(id, token, 'secret', retryable => false) from taskq.acquire('status');
select * from checked('last error');
select taskq.create_queue('pushed', 'push', 'http://a.example/', retry => 'none');
select taskq.submit('pushed', '1') as id \gset
-- The executor must not claim the task first.
select taskq.stop_executor(), taskq.arm();
select count(*) from taskq_private.push_claim(1, null, null);
select taskq.disarm(), taskq.start_executor();
select taskq_private.push_report(id, token, 'permanent', 'egress_denied', null, null, null, false, '1 ms', 'port 8080 is not on the list of ports', null, null)
	from taskq_private.lease where id = :id;
select * from checked('last error');

-- endpoints
select * from checked('endpoints');
select taskq.create_endpoint('restored', 'https://a.example/', headers => '{"X-Key": "k"}', secret => 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX');
begin;
delete from taskq_private.endpoint_secret;
select * from checked('endpoints');
rollback;

-- The privilege view on a queue suffices to ask about it; of other queues nothing is told.
create role regress_watcher;
create role regress_stranger;
select taskq.grant_queue('other', 'regress_watcher', '{view}');
select taskq.pause_queue('status'), taskq.pause_queue('other');
set role regress_watcher;
select severity, detail from checked('paused queues', 'other');
select severity, detail from checked('paused queues');
select severity, detail from checked('last error');
select count(*) from taskq.status('status');
set role regress_stranger;
select count(*) from taskq.status();
reset role;
select count(*) from taskq.status('nowhere');
select taskq.revoke_queue('other', 'regress_watcher', '{view}');
drop role regress_watcher, regress_stranger;

select taskq.drop_queue(name, true) from unnest(array['status', 'other', 'pushed', 'restored']) as name;
delete from taskq_private.arm;
insert into taskq_private.arm select * from before;
drop function checked;
