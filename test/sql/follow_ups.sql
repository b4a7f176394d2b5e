-- Follow-ups: what is submitted when a task ends.
\set VERBOSITY terse
set timezone = 'UTC';
select taskq.stop_executor(), taskq.arm();
select taskq.create_queue('next'), taskq.create_queue('dead_mail', keep_origin => true);
select taskq.create_queue('f_mail', retry => 'none', on_finish => '{"queue": "next", "kind": "of queue"}', on_dead => '[{"queue": "dead_mail", "kind": "of queue"}]');
select taskq.create_queue('steps', retry => 'none');
select taskq.create_queue('f_hook', mode => 'push', url => 'https://hook.example/in', retry => 'none', executor => 'external',
	on_finish => '{"queue": "next", "kind": "sent"}', on_dead => '{"queue": "dead_mail", "kind": "not sent"}');
select queue, on_finish, on_dead from taskq.queues where queue in ('f_mail', 'f_hook', 'steps') order by 1;

-- The follow-ups of a task, in the order in which they were submitted.
create view follow_ups as
	select t.id, t.queue, t.kind, t.state, coalesce(t.payload -> 'task', t.payload) as outcome, t.payload
	from taskq.tasks t where queue in ('next', 'dead_mail') and jsonb_typeof(t.payload) = 'object';
create function followed(task bigint) returns table (queue text, kind text, outcome jsonb) language sql as $$
	select f.queue, f.kind, f.outcome - array['id', 'submitted_at', 'ended_at'] from follow_ups f where (f.outcome ->> 'id')::bigint = task order by f.id
$$;

create function without_times(payload jsonb) returns jsonb language sql as $$
	select ((payload #- '{task,submitted_at}') #- '{task,ended_at}' #- '{task,id}') - array['id', 'submitted_at', 'ended_at']
$$;

-- Own ones first, then those of the queue; the outcome of a finished task has no payload.
select taskq.submit('f_mail', '{"to": "ada"}', key => 'k', kind => 'letter', on_finish => '[{"queue": "next", "kind": "first"}, {"queue": "next", "kind": "second"}]',
	on_dead => '{"queue": "next", "kind": "never"}') as id \gset
select taskq.finish(id, token, '{"sent": true}') from taskq.acquire('f_mail');
select * from followed(:id);
select id = (outcome ->> 'id')::bigint as same, submitted_at = (outcome ->> 'submitted_at')::timestamptz as submitted, ended_at = (outcome ->> 'ended_at')::timestamptz as ended
	from taskq.tasks join (select distinct outcome from follow_ups) f on true where id = :id;

-- Every way to end.  A task of mail, with a follow-up of its own for each way.
create function submit_two(queue text, start_within interval default null) returns bigint language sql as $$
	select taskq.submit(queue, '{"a": 1}', start_within => start_within, on_finish => '{"queue": "next", "kind": "own"}', on_dead => '{"queue": "dead_mail", "kind": "own"}')
$$;
select submit_two('f_mail') as id \gset
select taskq.fail(id, token, 'no such mailbox', retryable => false) from taskq.acquire('f_mail');
select * from followed(:id);
select submit_two('f_mail') as id \gset
select count(*) from taskq.acquire('f_mail');
with late as (update taskq_private.lease set lease_until = 'epoch' where id = :id returning id) select count(*) from late;
do $$ begin perform taskq_private.leases_changed(), taskq_private.take_back_leases(); end $$;
select * from followed(:id);
select submit_two('f_mail', '1 h') as id \gset
with late as (update taskq_private.start_limit set start_by = 'epoch' where id = :id returning id), t as (update taskq_private.task set start_by = 'epoch' where id = :id returning id)
	select count(*) from late, t;
do $$ begin perform taskq_private.expire_starts(); end $$;
select * from followed(:id);
-- The same, met by acquire().
select submit_two('f_mail', '1 h') as id \gset
update taskq_private.task set start_by = 'epoch' where id = :id;
select count(*) from taskq.acquire('f_mail');
select * from followed(:id);
select submit_two('f_mail') as pending, submit_two('f_mail') as purged \gset
select taskq.cancel(:pending), taskq.purge_queue('f_mail');
select submit_two('f_mail') as running \gset
select id, token from taskq.acquire('f_mail') \gset
select taskq.cancel(:running), taskq.fail(:id, :token, 'given up');
select count(*) from followed(:pending) union all select count(*) from followed(:purged) union all select count(*) from followed(:running);
select submit_two('f_mail') as a, submit_two('f_mail') as b, submit_two('steps') as c \gset
select array_agg(id) as ids, array_agg(token) as tokens from (select * from taskq.acquire('f_mail', 2) union all select * from taskq.acquire('steps')) x \gset
begin;
select count(*) from taskq.finish_many(:'ids', :'tokens', array['1', null, '{"c": 3}']::jsonb[]);
select count(*) from followed(:a) union all select count(*) from followed(:b) union all select count(*) from followed(:c);
rollback;
select count(*) from followed(:a) union all select count(*) from followed(:b) union all select count(*) from followed(:c);
select count(*) from taskq.finish_and_acquire('default', :'ids', :'tokens', array['1', null, '{"c": 3}']::jsonb[]);
select * from followed(:a) union all select * from followed(:b) union all select * from followed(:c);
-- Requests.
select taskq.submit('f_hook', '{"n": 1}') as good, taskq.submit('f_hook', '{"n": 2}') as bad \gset
select count(*) from taskq_private.push_claim(10, null, 'w');
select taskq_private.push_report(id, token, case id when :good then 'success' else 'permanent' end, 'http', case id when :good then 204 else 422 end, null, null, false, '1 ms', null, null, null)
	from taskq_private.lease where id in (:good, :bad) order by id;
select * from followed(:good) union all select * from followed(:bad);
-- An attempt that is not the last one has none.
select taskq.submit('default', '1', on_dead => '{"queue": "next"}', on_finish => '{"queue": "next"}') as id \gset
select taskq.fail(id, token, 'once', retry_in => '0') from taskq.acquire('default');
select taskq.release(id, token) from taskq.acquire('default');
select count(*) from followed(:id);
select taskq.finish(id, token) from taskq.acquire('default');
select count(*) from followed(:id);

-- What the payload of the template becomes.
select taskq.submit('steps', '[1]', on_dead => '[{"queue": "next", "payload": {"a": 1, "task": 2}}, {"queue": "next", "payload": [1]}, {"queue": "next", "payload": null},
	{"url": "https://a.example/", "body": "as it is"}, {"url": "https://a.example/", "method": "HEAD"}, {"url": "https://a.example/", "headers": {"X-A": "1"}}, {"endpoint": "f_crm"}]');
select taskq.create_endpoint('f_crm', 'https://crm.example.com/api');
select taskq.submit('steps', '[1]', on_dead => '[{"queue": "next", "payload": {"a": 1, "task": 2}}, {"queue": "next", "payload": [1]}, {"queue": "next", "payload": null},
	{"url": "https://a.example/", "body": "as it is"}, {"url": "https://a.example/", "method": "HEAD"}, {"url": "https://a.example/", "headers": {"X-A": "1"}}, {"endpoint": "f_crm", "path": "/dead"}]') as id \gset
select taskq.fail(id, token, 'broken') from taskq.acquire('steps');
select queue, method, url, request_headers, convert_from(request_body, 'UTF8') as body, case when jsonb_typeof(payload) = 'object' then without_times(payload) else payload end as payload from taskq.tasks where id > :id order by id;
-- What is too large is left out, the payload first.
set taskq.max_payload = 2000;
select taskq.submit('steps', to_jsonb(repeat('x', 1500)), on_finish => '{"queue": "next"}', on_dead => '{"queue": "next"}') as id, taskq.submit('steps', on_finish => '{"queue": "next"}') as big \gset
select taskq.fail(id, token, repeat('e', 400)) from taskq.acquire('steps');
select taskq.finish(id, token, to_jsonb(repeat('r', 1900))) from taskq.acquire('steps');
select outcome - array['id', 'submitted_at', 'ended_at', 'error'] from follow_ups where (outcome ->> 'id')::bigint in (:id, :big);
select taskq.submit('steps', on_dead => '{"queue": "next", "payload": {"a": 1}}') as id \gset
select taskq.fail(id, token, repeat('e', 2000)) from taskq.acquire('steps');
select * from followed(:id);
reset taskq.max_payload;
-- An old payload that is larger than what is allowed now.
select taskq.submit('steps', to_jsonb(repeat('x', 5000)), on_dead => '{"queue": "next"}') as id \gset
set taskq.max_payload = 2000;
select taskq.fail(id, token, 'large') from taskq.acquire('steps');
select * from followed(:id);
reset taskq.max_payload;

-- Follow-ups of follow-ups.
select taskq.submit('steps', on_finish => '{"queue": "steps", "payload": {"step": 2}, "on_finish": {"queue": "steps", "payload": {"step": 3}}}') as id \gset
select payload -> 'step' as step, taskq.finish(id, token) from taskq.acquire('steps');
select payload -> 'step' as step, taskq.finish(id, token) from taskq.acquire('steps');
select payload -> 'step' as step, taskq.finish(id, token) from taskq.acquire('steps');
select payload -> 'step' as step, taskq.finish(id, token) from taskq.acquire('steps');

-- submit_many(), submit_http().
select array_agg(id order by id) as ids from taskq.submit_many('steps', '{1, 2}', on_finish => '{"queue": "next", "kind": "many"}') id \gset
select count(*) from taskq.acquire('steps', 2) a, taskq.finish(a.id, a.token);
select queue, kind, count(*) from follow_ups where (outcome ->> 'id')::bigint = any (:'ids') group by 1, 2;
select taskq.submit_http('https://a.example/', queue => 'f_hook', on_dead => '{"queue": "next", "kind": "http"}') as id \gset
select count(*) from taskq_private.push_claim(10, null, 'w');
select taskq_private.push_report(id, token, 'permanent', 'dns', null, null, null, false, '1 ms', 'no such host', null, null) from taskq_private.lease where id = :id;
select queue, kind, outcome -> 'error', outcome -> 'status' from followed(:id);

-- Keys: a follow-up with the key of a live task is that task, or replaces it.
select taskq.submit('next', '0', key => 'same') as holder \gset
select taskq.submit('steps', i::text::jsonb, on_finish => '{"queue": "next", "key": "same", "payload": 1}') > 0 from generate_series(1, 2) i;
select count(*) from taskq.acquire('steps', 2) a, taskq.finish(a.id, a.token);
select id = :holder as holder, payload from taskq.tasks where queue = 'next' and key = 'same';
select taskq.submit('steps', on_finish => '{"queue": "next", "key": "same", "payload": 1, "on_duplicate": "replace"}') > 0;
select count(*) from taskq.acquire('steps') a, taskq.finish(a.id, a.token);
select id = :holder as holder, payload from taskq.tasks where queue = 'next' and key = 'same';
-- Or cannot: the running task has the key.
select taskq.reschedule(:holder, priority => -16);
select count(*) from taskq.acquire('next', lease_for => '1 day');
select taskq.submit('steps', on_finish => '[{"queue": "next", "key": "same", "payload": 2, "on_duplicate": "replace"}, {"queue": "next", "kind": "other"}]') as id \gset
select taskq.finish(id, token) from taskq.acquire('steps');
select state, key, jsonb_typeof(payload), error from taskq.tasks where queue = 'next' and (key = 'same' or kind = 'other') order by id;

-- What keeps a follow-up from being submitted leaves the end alone.  It is a dead task, which comes back.
select taskq.create_retry_policy('short', max_attempts => 2), taskq.create_queue('target', keep_key => '0'), taskq.create_queue('target_push', mode => 'push');
create function submit_to_targets() returns bigint language sql as $$
	select taskq.submit('steps', '1', on_finish => '[{"queue": "target", "payload": {"n": 1}, "key": "k", "kind": "a", "priority": 3, "timeout": "2 s", "max_attempts": 4, "retry": "short"},
		{"url": "https://a.example/", "queue": "target_push", "method": "PUT", "headers": {"X-A": "1"}, "body": "b", "on_dead": {"queue": "next"}}, {"endpoint": "f_crm", "path": "/x"}, {"queue": "next", "kind": "good"}]')
$$;
select submit_to_targets() as id \gset
select taskq.drop_queue('target'), taskq.drop_queue('target_push'), taskq.drop_queue('f_crm', true), taskq.drop_retry_policy('short');
select taskq.finish(id, token) from taskq.acquire('steps');
select state from taskq.result(:id);
select queue, state, key, kind, priority, attempt, max_attempts, method, url, request_headers, convert_from(request_body, 'UTF8') as body, error from taskq.tasks where id > :id order by id;
select taskq.create_queue('target', keep_key => '0'), taskq.create_queue('target_push', mode => 'push'), taskq.create_queue('f_crm');
select taskq.redrive('target'), taskq.redrive('target_push'), taskq.redrive('f_crm');
select queue, state, key, kind, method, url, error from taskq.tasks where id > :id and queue in ('target', 'target_push', 'f_crm') order by id;
select timeout, retry, on_dead from taskq_private.task where id > :id and key = 'k' or method = 'PUT' order by id;
-- Of another mode, or without the policy; the mode may be changed back.
select taskq.create_retry_policy('short', max_attempts => 2), taskq.purge_queue('target'), taskq.purge_queue('target_push'), taskq.drop_queue('f_crm'), taskq.create_endpoint('f_crm', 'https://crm.example.com/api');
select submit_to_targets() as id \gset
select taskq.alter_queue('target', mode => 'push'), taskq.alter_queue('target_push', mode => 'pull'), taskq.drop_queue('f_crm'), taskq.create_queue('f_crm', mode => 'push');
select taskq.finish(id, token) from taskq.acquire('steps');
select queue, state, error from taskq.tasks where id > :id order by id;
select taskq.purge_queue('steps'), taskq.alter_queue('target', mode => 'pull'), taskq.alter_queue('target_push', mode => 'push'), taskq.drop_queue('f_crm'), taskq.create_endpoint('f_crm', 'https://crm.example.com/api');
select taskq.redrive('target'), taskq.redrive('target_push'), taskq.purge_queue('target'), taskq.purge_queue('target_push');
select submit_to_targets() as id \gset
select taskq.drop_retry_policy('short');
select taskq.finish(id, token) from taskq.acquire('steps');
select queue, state, error from taskq.tasks where id > :id order by id;
-- No follow-up follows a dead follow-up, and none is kept where dead tasks are not.
select taskq.drop_queue('target', true), taskq.create_queue('target', mode => 'push', on_dead => '{"queue": "next"}');
select taskq.submit('steps', on_finish => '{"queue": "dead_mail", "kind": "other"}') as id \gset
select taskq.purge_queue('dead_mail') > 0;
select taskq.alter_queue('dead_mail', mode => 'push', keep_dead => '0');
select taskq.finish(id, token) from taskq.acquire('steps');
select count(*) from taskq.tasks where id > :id;

-- add_follow_up(): pending, running, to be tried again, ended.
select taskq.alter_queue('dead_mail', mode => 'pull', keep_dead => '1 day');
select taskq.submit('steps', '{"a": 1}', key => 'late', run_at => 'infinity', on_finish => '{"queue": "next", "kind": "0"}') as id \gset
select taskq.add_follow_up(:id, '{"queue": "next", "kind": "1"}', '[]');
select taskq.add_follow_up(:id, on_dead => '{"queue": "dead_mail", "kind": "a"}');
select run_at, on_finish, on_dead from taskq_private.task where id = :id;
select taskq.reschedule(:id);
select id, token from taskq.acquire('steps') \gset
select taskq.add_follow_up(:id, '{"queue": "next", "kind": "2"}', '{"queue": "dead_mail", "kind": "b"}'), taskq.add_follow_up(:id, '{"queue": "next", "kind": "3"}');
select on_finish, on_dead from taskq_private.lease where id = :id;
select taskq.heartbeat(:id, :token) is not null, taskq.progress(:id, :token, 0.5);
select taskq.release(:id, :token);
select on_finish, on_dead from taskq_private.task where id = :id;
select id, token from taskq.acquire('steps') \gset
select taskq.add_follow_up(:id, '{"queue": "next", "kind": "4"}');
select taskq.fail(:id, :token, 'over', retryable => false);
select queue, kind from followed(:id);
-- retry() brings them back, and it finishes then.
select on_finish, on_dead from taskq_private.all_history where id = :id;
select taskq.retry(:id);
select taskq.finish(id, token, '5') from taskq.acquire('steps');
select queue, kind from followed(:id);
select on_finish, on_dead from taskq_private.all_history where id = :id;
-- Now it has ended.
select taskq.add_follow_up(:id, on_dead => '{"queue": "next", "kind": "no"}') as dead, taskq.add_follow_up(:id, '{"queue": "next", "kind": "5"}', '{"queue": "next", "kind": "no"}') as finished;
select kind, outcome -> 'result' from followed(:id) offset 7;
select submit_two('steps') as dead, submit_two('steps') as cancelled \gset
select taskq.fail(id, token, 'gone', retryable => false) from taskq.acquire('steps');
select taskq.cancel(:cancelled);
select taskq.add_follow_up(:dead, on_dead => '{"queue": "next", "payload": {"b": 2}, "kind": "later"}') as dead, taskq.add_follow_up(:cancelled, '{"queue": "next"}', '{"queue": "next"}') as cancelled, taskq.add_follow_up(0, '{"queue": "next"}') as unknown;
select without_times(payload) from taskq.tasks where queue = 'next' and kind = 'later';
-- A finish in the same transaction, and one that is rolled back.
select submit_two('steps') as id \gset
select token from taskq.acquire('steps') \gset
begin;
select taskq.finish(:id, :token);
select taskq.add_follow_up(:id, '{"queue": "next", "kind": "at once"}');
rollback;
select count(*) from followed(:id);
select taskq.finish(:id, :token);
select queue, kind from followed(:id);

-- At every isolation level, and in savepoints.
select submit_two('steps') as id \gset
select token from taskq.acquire('steps') \gset
begin isolation level serializable;
select count(*) > 0 as snapshot from taskq.tasks;
savepoint a;
select taskq.finish(:id, :token);
rollback to a;
select taskq.finish(:id, :token);
release a;
commit;
select queue, kind from followed(:id);

-- Errors.
select taskq.submit('steps', on_finish => '{"queue": "none"}');
select taskq.submit('steps', on_finish => '1');
select taskq.submit('steps', on_dead => '[[]]');
select taskq.submit('steps', on_dead => '[{"queue": "next"}, {"queue": "next", "color": 1}]');
select taskq.submit('steps', on_dead => '{"queue": "next", "on_finish": {"queue": "next", "color": 1}}');
select taskq.submit('steps', on_dead => '{"queue": "next", "on_finish": {"queue": "none"}}');
select taskq.submit('steps', on_dead => '{"queue": "next", "key": "k", "on_duplicate": "raise"}');
select taskq.submit('steps', on_dead => (select jsonb_agg('{"queue": "next"}'::jsonb) from generate_series(1, 9)));
select taskq.submit('steps', on_dead => (select jsonb_agg('{"queue": "next"}'::jsonb) from generate_series(1, 8))) as id, taskq.submit('steps', on_dead => '[]', on_finish => '[]') as none \gset
select taskq.add_follow_up(:id, on_dead => '{"queue": "next"}');
select on_finish, on_dead from taskq_private.task where id = :none;
select count(*) from taskq.acquire('steps');
select taskq.add_follow_up(:id, on_dead => '{"queue": "next"}');
select taskq.add_follow_up(:id);
select taskq.add_follow_up(null, '{"queue": "next"}');
select taskq.submit_many('steps', '{1}', on_finish => '{"url": "ftp://example.com"}');
select taskq.submit_http('http://example.com/', on_finish => '{"queue": ""}');
select taskq.create_queue('own', on_dead => '{"queue": "own"}');
select taskq.alter_queue('f_crm', on_dead => '[{"queue": "next"}, {"endpoint": "f_crm"}]');
select taskq.alter_queue('http', on_dead => '{"url": "http://example.com/"}');
select taskq.alter_queue('f_mail', on_dead => '{"queue": "none"}');
-- '[]' removes; NULL leaves.
select taskq.alter_queue('f_mail', on_dead => '[]');
select taskq.alter_queue('f_mail', on_finish => '{"url": "https://a.example/", "headers": {"Authorization": "secret"}, "payload": {"headers": {"a": 1}}, "on_dead": [{"url": "https://b.example/", "headers": {"X": "secret"}}]}');
select taskq.alter_queue('f_mail', keep_key => '0');
select on_finish, on_dead from taskq.queues where queue = 'f_mail';
select taskq.alter_queue('http', on_dead => '{"queue": "next"}');
select on_finish, on_dead from taskq.queues where queue = 'http';

-- Rights are judged when the template is given, and not at the end.
create role follow_user;
select taskq.grant_queue('steps', 'follow_user', '{submit}'), taskq.grant_queue('next', 'follow_user', '{submit}'), taskq.grant_queue('target', 'follow_user', '{view}');
create role follow_worker;
select taskq.grant_queue('steps', 'follow_worker', '{work}');
select taskq.purge_queue('steps');
set role follow_user;
select taskq.submit('steps', on_finish => '{"queue": "f_mail"}');
select taskq.submit('steps', on_finish => '{"queue": "target"}');
select taskq.submit('steps', on_finish => '{"queue": "next", "kind": "entitled"}') as id \gset
reset role;
select taskq.revoke_queue('next', 'follow_user', '{submit}');
set role follow_worker;
select taskq.add_follow_up(:id, on_finish => '{"queue": "steps"}');
select taskq.finish(id, token) from taskq.acquire('steps');
select current_user, current_setting('search_path');
reset role;
select queue, state, error from taskq.tasks where kind = 'entitled';
select queue, kind from followed(:id);
set role follow_user;
select taskq.add_follow_up(:id, '{"queue": "next", "kind": "entitled"}');
select taskq.add_follow_up(:id, '{"queue": "steps", "kind": "own"}');
reset role;

-- A batch whose follow-ups have crossing keys, one of which cannot be submitted.
select taskq.purge_queue('steps'), taskq.purge_queue('next');
select taskq.create_queue('lost');
select count(taskq.submit('steps', to_jsonb(i), on_finish => jsonb_build_object('queue', case when i = 50 then 'lost' else 'next' end, 'key', 'k' || 100 - i, 'payload', i))) from generate_series(1, 100) i;
select taskq.drop_queue('lost');
select array_agg(id) as ids, array_agg(token) as tokens from taskq.acquire('steps', 100) \gset
select count(*) from taskq.finish_many(:'ids', :'tokens');
select queue, state, count(*), bool_and(key = 'k' || 100 - payload::int) from taskq.tasks where key ~ '^k\d' and payload is not null group by 1, 2 order by 1, 2;
-- As they were placed: by key.
select bool_and(key > before) from (select key collate "C" as key, lag(key collate "C") over (order by id) as before from taskq_private.task where key ~ '^k\d') x;

drop function followed, submit_two, submit_to_targets, without_times;
drop view follow_ups;
select count(taskq.drop_queue(queue, true)) from taskq.queues where queue not in ('default', 'http', 'call');
select taskq.purge_queue('http');
drop role follow_user, follow_worker;
select taskq.start_executor();
