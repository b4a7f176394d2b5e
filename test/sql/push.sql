-- The push protocol: the requests that the executor gets, and the effects of its reports.
-- The executor is stopped meanwhile, so that it does not claim the tasks.
set timezone = 'UTC';
select taskq.create_queue('hook', mode => 'push', url => 'https://hook.example/in', retry => 'default');
select taskq.stop_executor(), taskq.arm();
select taskq.submit('hook', '{"a": "ü"}') as a,
	taskq.submit_http('http://b.example/x?y=1', method => 'PUT', headers => '{"X-Two": "2", "content-type": "text/plain"}', body => '\x00ff', timeout => '1500 ms') as b,
	taskq.submit_http('http://c.example/', method => 'GET', delay => '1 hour') as c \gset
select * from taskq_private.push_next_due(null, null);
-- The position of own headers and the id differ from run to run.
select method, url, timeout_ms, lease_ms, body,
	array(select regexp_replace(regexp_replace(h, '(X-Task-Id|Idempotency-Key): .*', '\1: …'), 'taskq/.*', 'taskq/…')
		from unnest(headers) h) as headers
from taskq_private.push_claim(10, null, null) order by id;
-- It may be earlier if a task was due that no longer exists.
select next_ms between 1 and 3600000 as in_an_hour, limited from taskq_private.push_next_due(null, null);
select count(*) from taskq_private.push_claim(10, null, null);

-- A failed exchange: the answer is stored, and the task is tried again.
select taskq_private.push_report(id, token, 'retry', 'http', 503,
	E'Content-Type: text/html\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Bytes: \\377\\376\r\nbroken line\r\n: no name\r\n'::bytea,
	'\x3c00ff', true, '250 ms', null, '20 s', '{"dns": "1000 us", "first_byte": "200000 us"}') from taskq_private.lease where id = :a;
select state, attempt, error, run_at - now() between interval '15 s' and interval '25 s' as as_asked from taskq.tasks where id = :a;
select * from taskq.response(:a);
select attempt, worker, class, error, status, elapsed, dns, connect, tls, first_byte from taskq.attempts where task_id = :a;

-- The key of a task.
select taskq.submit('hook', '{}', key => 'nightly@2027-03-14T07:00:00Z') as plain, taskq.submit('hook', '{}', key => '100 % ü') as encoded \gset
select h as header from taskq_private.push_claim(2, null, null) c, unnest(headers) h where h like 'X-Task-Key%' order by 1;
select taskq_private.push_report(id, token, 'success', 'http', 200, '', '', false, '2 ms', null, null, null)
	from taskq_private.lease where id in (:plain, :encoded);

-- An update by hand tells no session, so a sweep finds the task.  A sweep may be under way.
create procedure sweep() language plpgsql as $$
begin
	for i in 1..2 loop
		while not taskq_private.sweep() loop
		end loop;
	end loop;
end
$$;

-- No answer at all; then success.
update taskq_private.task set run_at = 'epoch' where id = :a;
call sweep();
select attempt as header from taskq_private.push_claim(1, null, null) c, unnest(headers) attempt where attempt like 'X-Task-Attempt%';
select taskq_private.push_report(id, token, 'retry', 'connect', null, null, null, false, '1 ms', 'could not connect: Connection refused', null, null) from taskq_private.lease where id = :a;
select status, elapsed from taskq.response(:a);
update taskq_private.task set run_at = 'epoch' where id = :a;
call sweep();
select count(*) from taskq_private.push_claim(1, null, null);
select token from taskq_private.lease where id = :a \gset
select taskq_private.push_report(:a, :token, 'success', 'http', 200, 'X: y', 'fine', false, '2 ms', null, null, null),
	taskq_private.push_report(:a, :token, 'success', 'http', 200, 'X: y', 'fine', false, '2 ms', null, null, null) as again;
select state, attempt, error, url from taskq.tasks where id = :a;
select * from taskq.response(:a);
select attempt, class, error, status from taskq.attempts where task_id = :a order by attempt;

-- Many outcomes in one call: each as by itself; those whose lease is lost, or that come twice, do not
-- make the others fail.
select taskq.submit('hook', '10') as m1, taskq.submit('hook', '11') as m2, taskq.submit('hook', '12') as m3, taskq.submit('hook', '13') as m4 \gset
create temp table many as select row_number() over (order by id) as n, id, token from taskq_private.push_claim(4, null, null);
select taskq_private.push_report_many(array_agg(id order by n) || array[:m1, :a]::bigint[], array_agg(token order by n) || array[(select token from many where n = 1), 1],
	'{success,retry,permanent,success,success,success}', '{NULL,http,connect,NULL,NULL,NULL}', '{200,503,NULL,204,200,200}',
	array['X: y', 'X: z', null, null, null, null]::bytea[], '{fine,busy,NULL,NULL,NULL,NULL}', '{f,t,f,f,f,f}', array_fill('3 ms'::interval, array[6]),
	'{NULL,NULL,"no route",NULL,NULL,NULL}', '{NULL,"1 hour",NULL,NULL,NULL,NULL}', '{NULL,"{\"dns\": \"5 us\"}",NULL,NULL,NULL,NULL}')
	from many;
select state, attempt, error from taskq.tasks where id in (:m1, :m2, :m3, :m4) order by id;
select status, headers, body, truncated, elapsed from many m, taskq.response(m.id) order by n;
select attempt, class, error, status, dns from taskq.attempts where task_id in (:m2, :m3) order by task_id;
select taskq.cancel(:m2);
drop table many;
-- One that is refused is stored no more than the others.
select taskq.submit('hook', '14') as m5, taskq.submit('hook', '15') as m6 \gset
select count(*) from taskq_private.push_claim(2, null, null);
\set VERBOSITY terse
select taskq_private.push_report_many(array_agg(id order by id), array_agg(token order by id), '{success,success}', null, '{200,99}', null, null, null, null, null, null, null)
	from taskq_private.lease where id in (:m5, :m6);
select taskq_private.push_report_many(array_agg(id order by id), array_agg(token order by id), '{success}', null, '{200,200}', null, null, null, null, null, null, null)
	from taskq_private.lease where id in (:m5, :m6);
select taskq_private.push_report_many('{1}', null, '{success}', null, null, null, null, null, null, null, null, null);
\set VERBOSITY default
select count(*) as running from taskq_private.lease where id in (:m5, :m6);
select taskq_private.push_report_many(array_agg(id order by id), array_agg(token order by id), '{success,success}', null, '{200,200}', null, null, null, null, null, null, null)
	from taskq_private.lease where id in (:m5, :m6);
select taskq_private.push_report_many('{}', '{}', '{}', null, null, null, null, null, null, null, null, null) as none;

-- A class that is none is stored as internal, however long it is; the error is cut off.
select taskq.submit('hook', '3') as long \gset
select count(*) from taskq_private.push_claim(1, null, null);
select taskq_private.push_report(id, token, 'retry', repeat('c', 10000000), null, null, null, null, '1 mon -29 days', repeat('e', 10000000), null, '{"dns": "0.5 s", "tls": "1 us"}')
	from taskq_private.lease where id = :long;
select class, length(error), elapsed, dns, tls from taskq.attempts where task_id = :long;
select taskq.cancel(:long);

-- A permanent failure.
select taskq_private.push_report(id, token, 'permanent', 'http', 410, null, null, false, '2 ms', null, null, null) from taskq_private.lease where id = :b;
select state, error, method, url from taskq.tasks where id = :b;
select taskq.retry(:b);
select method, url, timeout_ms, body from taskq_private.push_claim(1, null, null);

-- Leases: extended, given back, cancelled, recovered.
select e.id = :b as ours from taskq_private.lease l, taskq_private.push_extend(array[l.id, l.id, 0], array[l.token, l.token - 1, 1]) as e (id)
	where l.id = :b;
select taskq_private.push_release(array[:b], array[0::bigint], '0'), taskq_private.push_release(array[id], array[token], '0') from taskq_private.lease where id = :b;
select state, attempt from taskq.tasks where id = :b;
select count(*) from taskq_private.push_claim(1, null, null);
select taskq.cancel(:b, 'never mind');
select state, cancel_requested from taskq.tasks where id = :b;
select taskq_private.push_extend(array[id], array[token]) = :b as lost from taskq_private.lease where id = :b;
select state, error from taskq.tasks where id = :b;
select taskq.retry(:b);
select count(*) from taskq_private.push_claim(1, null, null);
-- A lease that the same transaction has marked is not another session's.
begin;
select taskq.cancel(id), taskq_private.push_report(id, token, 'retry', 'http', 500, null, null, false, '2 ms', null, null, null)
	from taskq_private.lease where id = :b;
select state from taskq.tasks where id = :b;
rollback;
select taskq_private.recover_leases(), taskq_private.recover_leases() as again;
select state, attempt, error from taskq.tasks where id = :b;

-- A pull worker that calls itself executor is not recovered.
select taskq.submit('default') as d \gset
select count(*) from taskq.acquire('default', worker => 'executor');
select taskq_private.recover_leases();
select taskq.finish(id, token) from taskq_private.lease where id = :d;

\set VERBOSITY terse
select taskq_private.push_report(1, 1, 'maybe', 'http', 200, null, null, false, null, null, null, null);
select taskq_private.push_extend('{1}', '{}');
select taskq_private.push_extend('{NULL}', '{1}');
select taskq_private.push_claim(0, null, null);
select taskq.cancel(:c), taskq.cancel(:b);
select taskq.drop_queue('hook');
drop procedure sweep;

-- Queues whose tasks external workers send.
select taskq.create_queue('outside', mode => 'push', executor => 'elsewhere');
select taskq.create_queue('outside', mode => 'pull', executor => 'external');
select taskq.create_queue('outside', mode => 'push', url => 'https://hooks.example.com/', executor => 'external');
select taskq.create_queue('others', mode => 'push', url => 'https://hooks.example.com/', executor => 'external');
select queue, executor from taskq.queues where mode = 'push' order by queue;
create role regress_sender;
select taskq.grant_queue('outside', 'regress_sender', '{work}');
select taskq.submit('outside', '1') as a \gset
select taskq.submit('others', '2') as b \gset
select taskq.submit_http('https://hooks.example.com/') as c \gset
select count(*) as builtin from taskq_private.push_claim(10, null, null) where id in (:a, :b);
set role regress_sender;
select taskq_private.push_queues(null) as mine, taskq_private.push_queues('{others}') as theirs;
select taskq_private.push_claim(10, null, null);
select taskq_private.push_claim(10, null, 'executor');
select taskq_private.push_claim(10, '{NULL}', 'me');
select count(*) from taskq_private.push_claim(10, '{others}', 'me');
select taskq_private.push_next_due('{others}', 'me') as theirs, taskq_private.push_next_due(null, 'me') as mine;
select id = :a as a, url, body, headers[1] from taskq_private.push_claim(10, '{outside, others}', 'me');
reset role;
select worker, queue from taskq.workers where queue = 'outside';
select token from taskq_private.lease where id = :a \gset
select count(*) from taskq_private.push_claim(10, '{others}', 'another');
select token as others_token from taskq_private.lease where id = :b \gset
set role regress_sender;
select taskq_private.push_report(:b, :others_token, 'success', 'http', 200, null, null, false, null, null, null, null);
select taskq_private.push_extend(array[:b]::bigint[], array[:others_token]::bigint[]) = :b as lost;
select taskq_private.push_release(array[:b]::bigint[], array[:others_token]::bigint[], '0');
select count(*) as lost from taskq_private.push_extend(array[:a]::bigint[], array[:token]::bigint[]);
select taskq_private.push_report(:a, :token, 'success', 'http', 200, null, null, false, null, null, null, null);
reset role;
select state from taskq.tasks where id in (:a, :b) order by id;
select taskq.alter_queue('others', executor => 'builtin');
select taskq.alter_queue('others', executor => null), taskq.alter_queue('others', executor => 'nobody');
select taskq_private.push_release(array[:b]::bigint[], array[:others_token]::bigint[], '0');
select count(*) as builtin from taskq_private.push_claim(10, null, null) where id = :b;
select taskq.drop_queue('outside', true), taskq.drop_queue('others', true);
select taskq.cancel(:c);
drop role regress_sender;

-- In a database that is not armed no sender gets a task: a copy, a disarmed and a new database.
select taskq.create_queue('unsent', mode => 'push', url => 'https://hooks.example.com/'),
	taskq.create_queue('unsent too', mode => 'push', url => 'https://hooks.example.com/', executor => 'external');
select taskq.submit('unsent') < taskq.submit('unsent too') as submitted;
update taskq_private.arm set system_identifier = 1;
select count(*) as builtin from taskq_private.push_claim(10, null, null);
select count(*) as external from taskq_private.push_claim(10, null, 'me');
select taskq_private.push_next_due(null, null) as builtin, taskq_private.push_next_due('{unsent too}', 'me') as external;
select taskq.disarm();
select count(*) as builtin from taskq_private.push_claim(10, null, null);
select count(*) as external from taskq_private.push_claim(10, '{unsent too}', 'me');
delete from taskq_private.arm;
select count(*) as builtin from taskq_private.push_claim(10, null, null);
select taskq_private.push_next_due(null, null) as builtin;
select taskq.arm();
select taskq_private.push_next_due(null, null) as builtin, taskq_private.push_next_due('{unsent too}', 'me') as external;
select count(*) as builtin from taskq_private.push_claim(10, null, null);
select count(*) as external from taskq_private.push_claim(10, null, 'me');
select taskq.drop_queue('unsent', true), taskq.drop_queue('unsent too', true);
select taskq.disarm(), taskq.start_executor();
