-- accept_202: a receiver answers 202 and reports the outcome itself.  The executor is stopped
-- meanwhile, so that it does not claim the tasks.
\set VERBOSITY terse
select taskq.stop_executor(), taskq.arm();
select taskq.create_queue('ac_bad', accept_202 => true);
select taskq.create_queue('ac_bad', mode => 'topic', accept_202 => true);
select taskq.create_queue('ac_off', mode => 'push', url => 'https://hook.example/'),
	taskq.create_queue('ac_on', mode => 'push', url => 'https://hook.example/', retry => 'default', lease_for => '10 min', accept_202 => true);
select taskq.create_endpoint('ac_end', 'https://hook.example/', accept_202 => true);
select queue, accept_202 from taskq.queues where queue like 'ac\_%' or queue = 'http' order by queue;
select taskq.alter_queue('ac_on', mode => 'pull', url => '');
select taskq.submit_http('https://a.example/', headers => '{"x-task-token": "1"}');

-- Claims the next request; its token is in it only if the receiver needs it.
create function claim(worker text default null) returns table (id bigint, token bigint, told boolean) language sql as $$
	select p.id, p.token, exists (select from unnest(p.headers) h where h = 'X-Task-Token: ' || p.token)
	from taskq_private.push_claim(1, null, worker) p
$$;
create function answer(id bigint, token bigint, status int) returns boolean language sql as $$
	select taskq_private.push_report(id, token, case when status < 300 then 'success' else 'retry' end, 'http', status, 'X: y', 'body', false,
		'1 ms', null, null, null)
$$;

-- Without it 202 is a success.
select taskq.submit('ac_off', '1') as off \gset
select id, token, told from claim() \gset off_
select :off_id = :off as it, :'off_told' as told, answer(:off_id, :off_token, 202);
select state, status from taskq.result(:off), taskq.response(:off);

-- With it the task goes on, with the lease of the receiver.
select taskq.submit('ac_on', '1') as on \gset
select id, token, told from claim() \gset
update taskq_private.lease set started_at = started_at - interval '3 min', lease_until = lease_until - interval '3 min' where lease.id = :id;
select :'told' as told, answer(:id, :token, 202) as stored;
select state, worker, attempt, lease_until - clock_timestamp() between interval '9 min' and interval '10 min' as anew from taskq.tasks where tasks.id = :on;
select worker, phase from taskq.requests where task_id = :on;
select count(*) from taskq.response(:on);
-- It is no executor's any more.
select taskq_private.recover_leases();
select count(*) from taskq_private.push_extend(array[:id]::bigint[], array[:token]::bigint[]);
-- A report that is repeated does no harm.
select answer(:id, :token, 202) as again, answer(:id, :token + 1, 202) as another;
select lease_until - clock_timestamp() between interval '9 min' and interval '10 min' as anew, cancel_requested from taskq.heartbeat(:id, :token);
select lease_until - clock_timestamp() between interval '19 min' and interval '20 min' as longer from taskq.heartbeat(:id, :token, '20 min');
select taskq.progress(:id, :token, 0.5, 'half'), taskq.finish(:id, :token, '{"frames": 3}'), taskq.finish(:id, :token) as again;
select state, worker, result, status from taskq.tasks left join taskq.response(:on) on true where id = :on;

-- Any other status is as ever, and so is 202 as a failure.
select taskq.submit('ac_on', '1') as ok, taskq.submit('ac_on', '1') as bad \gset
select id = :ok as it, answer(id, token, 200) from claim();
select id = :bad as it, answer(id, token, 503) from claim();
select state, attempt from taskq.tasks where id in (:ok, :bad) order by id;
select taskq.cancel(:bad);

-- fail(): another attempt, another token.
select taskq.submit('ac_on', '1') as id \gset
select id, token from claim() \gset
select answer(:id, :token, 202), taskq.fail(:id, :token, 'no disk', class => 'disk', retry_in => '0');
select class, error, status, worker from taskq.attempts where task_id = :id;
select taskq.finish(:id, :token) as void;
select token as former from (values (:token)) x (token) \gset
select token from claim() \gset
select answer(:id, :token, 202), taskq.finish(:id, :former) as former, taskq.finish(:id, :token) as present;

-- Nothing more comes: the attempt has failed.
select taskq.submit('ac_on', '1', max_attempts => 1) as id \gset
select token from claim() \gset
select answer(:id, :token, 202);
update taskq_private.lease set lease_until = 'epoch' where lease.id = :id;
select taskq_private.leases_changed(), taskq_private.take_back_leases();
select state, error from taskq.result(:id);
select class, worker from taskq.attempts where task_id = :id;

-- It is cancelled: the receiver is told, and may finish.
select taskq.submit('ac_on', '1') as id \gset
select token from claim() \gset
select answer(:id, :token, 202), taskq.cancel(:id, 'not needed');
select cancel_requested from taskq.heartbeat(:id, :token);
select taskq.fail(:id, :token, 'stopped');
select state, error from taskq.result(:id);

-- The receiver reports before it answers: with 202, with 200, or not at all.
select taskq.submit('ac_on', '1') as id \gset
select token from claim() \gset
select taskq.finish(:id, :token), answer(:id, :token, 202) as accepted;
select taskq.submit('ac_on', '1') as id \gset
select token from claim() \gset
select taskq.finish(:id, :token), answer(:id, :token, 200) as ok;
select taskq.submit('ac_on', '1') as id \gset
select token from claim() \gset
select taskq.finish(:id, :token), answer(:id, :token, 500) as too_late;
select taskq.submit('ac_off', '1') as id \gset
select token from claim() \gset
select taskq.finish(:id, :token), answer(:id, :token, 202) as too_late;

-- Limits count it, and those of an endpoint do.
select taskq.set_limit('ac_on', max_running => 1), taskq.alter_endpoint('ac_end', max_running => 1);
select taskq.submit('ac_on', '1') as a, taskq.submit('ac_on', '1') as b, taskq.submit('ac_end', '1') as c, taskq.submit('ac_end', '1') as d \gset
create temp table claimed as select * from taskq_private.push_claim(10, null, null);
select count(*), bool_and(answer(id, token, 202)) from claimed;
select count(*) from taskq_private.push_claim(10, null, null);
select count(taskq.finish(id, token)) from claimed;
select count(*) from taskq_private.push_claim(10, null, null);

-- An external worker reports for its queues; the receiver needs the privilege work.
select taskq.create_queue('ac_out', mode => 'push', url => 'https://hook.example/', executor => 'external', accept_202 => true);
create role regress_receiver;
create role regress_reader;
select taskq.grant_queue('ac_out', 'regress_receiver', '{work}'), taskq.grant_queue('ac_out', 'regress_reader', '{view}');
select taskq.submit('ac_out', '1') as id \gset
select * from claim('receiver');
select token, told from claim('worker') \gset
select :'told' as told, answer(:id, :token, 202);
select worker from taskq.tasks where id = :id;
set role regress_reader;
select taskq.finish(:id, :token);
set role regress_receiver;
select taskq.finish(:id, :token);
reset role;

select taskq.drop_queue(q, true) from unnest('{ac_off, ac_on, ac_end, ac_out}'::text[]) q;
drop function claim, answer;
drop role regress_receiver, regress_reader;
select taskq.disarm(), taskq.start_executor();
