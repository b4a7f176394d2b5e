-- The life of a task: every function in every state of a task.
\set VERBOSITY terse

-- Returns the result of a call, or the error with its code, detail and hint.
create function try(call text) returns text language plpgsql as $$
declare
	result text;
	d text;
	h text;
begin
	execute 'select ' || call into result;
	return coalesce(result, 'NULL');
exception when others then
	get stacked diagnostics d = pg_exception_detail, h = pg_exception_hint;
	return format('%s: %s; %s %s', sqlstate, sqlerrm, d, h);
end
$$;

select taskq.create_queue('tasks', lease_for => '10 minutes');

-- Submitted, acquired, finished.
select taskq.submit('tasks', '{"n": 1}', kind => 'greet') as id \gset
select queue, kind, state, priority, attempt, max_attempts, payload, lease_until is null as no_lease
	from taskq.tasks where id = :id;
select id = :id as same, kind, payload, attempt, max_attempts, lease_until > now() + interval '9 minutes' as leased,
	submitted_at <= now() as submitted, priority from taskq.acquire('tasks', worker => 'me');
select token from taskq_private.lease where id = :id \gset
select state, attempt, worker, lease_until is not null as leased, cancel_requested from taskq.tasks where id = :id;
select state, result, error, ended_at from taskq.result(:id);
select taskq.finish(:id, :token - 1) as wrong_token, taskq.finish(:id + 1000000, :token) as wrong_id,
	taskq.finish(:id, :token, '{"done": true}') as right_one, taskq.finish(:id, :token) as again;
select state, result, error, ended_at is not null as ended from taskq.result(:id);
select state, attempt, worker, payload, result from taskq.tasks where id = :id;
select * from taskq.result(0);

-- A stale token changes nothing, whatever the state.
create function stale(id bigint, token bigint) returns table (call text, result text) language sql as $$
	select call, try(format(call, id, token)) from unnest(array[
		'taskq.finish(%s, %s)', 'taskq.fail(%s, %s, ''x'')', 'taskq.release(%s, %s)',
		'(select count(*) from taskq.heartbeat(%s, %s))']) as call
$$;
select * from stale(:id, :token);
select taskq.submit('tasks') as id \gset
select * from stale(:id, :token);
select token from taskq.acquire('tasks') \gset
select * from stale(:id, :token - 1);
select state, attempt from taskq.tasks where id = :id;

-- A failed attempt is counted and stored, and the task is tried again.
select taskq.fail(:id, :token, 'boom', '{"code": 7}', retry_in => '0 s');
select state, attempt, error from taskq.tasks where id = :id;
select attempt, worker, class, error, detail, ended_at >= started_at as ended from taskq.attempts where task_id = :id;
select token as newer, token > :token as grown, attempt from taskq.acquire('tasks') \gset
select :'grown' as token_has_grown, :attempt as attempt;
select * from stale(:id, :token);

-- release(): the attempt is not used up.
select taskq.release(:id, :newer), taskq.release(:id, :newer);
select state, attempt from taskq.tasks where id = :id;
select token, attempt from taskq.acquire('tasks') \gset
select :attempt as attempt;
select taskq.release(:id, :token, '1 hour');
select state, run_at > now() + interval '59 minutes' as later from taskq.tasks where id = :id;
select count(*) from taskq.acquire('tasks');

-- decline(): the attempt is not used up, but a task can be declined a stated number of times only.
select taskq.submit('tasks', kind => 'nobodys') as declined \gset
select taskq.decline(id, token, '0', 2), attempt from taskq.acquire('tasks');
select taskq.decline(id, token, '1 hour', 2), taskq.decline(id, token) from taskq.acquire('tasks');
select state, attempt, run_at > now() + interval '59 minutes' as later, error from taskq.tasks where id = :declined;
select taskq.reschedule(:declined);
select taskq.decline(id, token, times => 2, error => 'no route') from taskq.acquire('tasks');
select t.state, t.attempt, a.class, a.error from taskq.tasks t join taskq.attempts a on a.task_id = t.id where t.id = :declined;
select taskq.retry(:declined);
select taskq.decline(id, token, times => 2) from taskq.acquire('tasks');
select taskq.reschedule(:declined);
select taskq.decline(id, token, times => 0), taskq.cancel(id) from taskq.acquire('tasks');
select taskq.submit('tasks') as declined \gset
select taskq.cancel(id, 'not needed') from taskq.acquire('tasks');
select taskq.decline(id, token) from taskq_private.lease where id = :declined;
select try($$taskq.fail(1, 1, 'x', class => 'no_route')$$);

-- A permanent failure ends the task; retry() makes it pending again with the same id.
select taskq.cancel(:id, 'not needed');
select state, error, attempt from taskq.tasks where id = :id;
select taskq.retry(:id), taskq.retry(:id);
select state, attempt, error, run_at <= clock_timestamp() as due from taskq.tasks where id = :id;
select token from taskq.acquire('tasks') \gset
select taskq.fail(:id, :token, 'hopeless', retryable => false);
select state, error, ended_at is not null as ended from taskq.tasks where id = :id;
select attempt, error from taskq.attempts where task_id = :id;
select taskq.retry(:id, run_at => 'infinity');
select state, run_at from taskq.tasks where id = :id;
select taskq.cancel(:id), taskq.cancel(:id), taskq.cancel(0);
select try(format('taskq.retry(%s)', (select id from taskq.tasks where state = 'finished' limit 1))) ~ '^TQ009: task \d+ has finished' as refused;

-- max_attempts.
select taskq.submit('tasks', max_attempts => 2) as id \gset
select token from taskq.acquire('tasks') \gset
select taskq.fail(:id, :token, 'first', retry_in => '0');
select token from taskq.acquire('tasks') \gset
select taskq.fail(:id, :token, 'second', retry_in => '0');
select state, attempt, error from taskq.tasks where id = :id;
select attempt, error from taskq.attempts where task_id = :id order by attempt;

-- Cancelling a running task: its worker is told, and may still finish it.
select taskq.submit('tasks') as a, taskq.submit('tasks') as b, taskq.submit('tasks') as c \gset
select count(*) from taskq.acquire('tasks', 3);
select taskq.cancel(:a, 'stop'), taskq.cancel(:b, 'stop'), taskq.cancel(:c);
select h.cancel_requested, t.state, t.cancel_requested from taskq_private.lease l, taskq.heartbeat(l.id, l.token) h, taskq.tasks t
	where l.id = :a and t.id = :a;
select taskq.finish(id, token) from taskq_private.lease where id = :a;
select taskq.fail(id, token, 'gave up') from taskq_private.lease where id = :b;
select taskq.release(id, token) from taskq_private.lease where id = :c;
select state, error from taskq.tasks where id in (:a, :b, :c) order by id;

-- Order: priority, then run_at, then id.
select taskq.submit('tasks', '1', priority => 15), taskq.submit('tasks', '2'), taskq.submit('tasks', '3', priority => -16),
	taskq.submit('tasks', '4'), taskq.submit('tasks', '5', priority => -16, delay => '1 hour') \g /dev/null
select payload, priority from taskq.acquire('tasks', 10);
select count(*) filter (where taskq.finish(id, token)) from taskq_private.lease;

-- A rolled back submit, acquire or finish leaves no trace.
begin;
select taskq.submit('tasks', '"gone"') is not null as submitted;
rollback;
select count(*) from taskq.tasks where payload = '"gone"';
select taskq.submit('tasks') as id \gset
begin;
select count(*) from taskq.acquire('tasks');
rollback;
select state, attempt from taskq.tasks where id = :id;
begin;
savepoint s;
select count(*) from taskq.acquire('tasks');
rollback to s;
select attempt from taskq.acquire('tasks');
commit;
begin;
select taskq.finish(id, token) from taskq_private.lease where id = :id;
rollback;
select state from taskq.tasks where id = :id;

-- In one transaction, and in one statement, each call sees the changes of the calls before.
select taskq.finish(id, token), taskq.finish(id, token) from taskq_private.lease where id = :id;
begin;
select taskq.submit('tasks') as id \gset
select token from taskq.acquire('tasks') \gset
select taskq.finish(:id, :token);
commit;
select state from taskq.tasks where id = :id;

-- finish, fail and heartbeat act on the latest row at any isolation level; acquire raises an error.
select taskq.submit('tasks') as id \gset
begin isolation level repeatable read;
select 1;
select try('(select count(*) from taskq.acquire(''tasks''))');
commit;
select token from taskq.acquire('tasks') \gset
begin isolation level serializable;
select count(*) from taskq.heartbeat(:id, :token);
select taskq.fail(:id, :token, 'again', retry_in => '0');
commit;
select token from taskq.acquire('tasks') \gset
begin isolation level repeatable read;
select taskq.finish(:id, :token);
commit;
select state, attempt from taskq.tasks where id = :id;

-- In a read-only transaction every call raises an error.
begin read only;
select try('taskq.submit(''tasks'')');
select try('(select count(*) from taskq.acquire(''tasks''))');
select try('taskq.finish(1, 1)');
rollback;

-- timeout: heartbeats do not extend past it.
select taskq.submit('tasks', timeout => '2 minutes') as id \gset
select token, lease_until - clock_timestamp() < interval '2 minutes' as capped from taskq.acquire('tasks') \gset
select :'capped' as capped;
select lease_until - clock_timestamp() < interval '2 minutes' as capped from taskq.heartbeat(:id, :token, '1 hour');
select taskq.finish(:id, :token);

-- A large payload, stored out of line, is returned unchanged.
select taskq.submit('tasks', to_jsonb((select string_agg(md5(i::text), '') from generate_series(1, 10000) i))) as id \gset
select token, md5(payload::text) = md5(to_jsonb((select string_agg(md5(i::text), '') from generate_series(1, 10000) i))::text) as intact
	from taskq.acquire('tasks') \gset
select :'intact' as intact;
select taskq.fail(:id, :token, 'x', retryable => false);
select length(payload::text) from taskq.tasks where id = :id;

-- start_within: the task expires unless it has started; a claim checks the exact time.
select taskq.submit('tasks', '"late"', start_within => '1 ms') as late, taskq.submit('tasks', '"in time"', start_within => '1 hour') as fine \gset
select pg_sleep(0.01);
select payload from taskq.acquire('tasks', 10);
-- The executor may be about to end it, too: then it has not committed yet.
call taskq.wait(:late);
select taskq.retry(:late);
select state from taskq.result(:late);
select taskq.cancel(:late);
-- A task that has started does not expire, even if it is released again.
update taskq_private.task set start_by = 'epoch' where id = :fine;
select taskq.release(id, token) from taskq_private.lease where id = :fine;
select payload from taskq.acquire('tasks', 10);
select taskq.fail(id, token, 'x', retry_in => '0') from taskq_private.lease where id = :fine;
select payload from taskq.acquire('tasks', 10);
select taskq.finish(id, token) from taskq_private.lease where id = :fine;
-- A duty expires tasks that no worker acquires.
select taskq.submit('tasks', '"unwanted"', start_within => '1 ms') as id \gset
select pg_sleep(0.01);
select count(taskq_private.expire_starts()) >= 0 as done;
call taskq.wait(:id);
select state, payload, error from taskq.tasks where id = :id;
select count(*) from taskq_private.start_limit where start_by < now();
select taskq.submit('tasks', start_within => '0');
select taskq.submit('tasks', start_within => '1 s', delay => '2 s');
select taskq.submit('tasks', start_within => '1 s', run_at => 'infinity');

-- Progress is shown while the task runs.
select taskq.submit('tasks') as id \gset
select token from taskq.acquire('tasks') \gset
select fraction, message from taskq.tasks where id = :id;
select taskq.progress(:id, :token, 0.25, 'a quarter'), taskq.progress(:id, :token - 1, 1);
select fraction, message from taskq.tasks where id = :id;
select taskq.progress(:id, :token, null);
select fraction, message from taskq.tasks where id = :id;
select taskq.progress(:id, :token, 1.5);
select taskq.progress(:id, :token, 'NaN');
select taskq.finish(:id, :token), taskq.progress(:id, :token, 1);

-- A worker can give its failures a class, but none of those that taskq gives; its words stay private.
select taskq.submit('tasks', '"class"', max_attempts => 2) as id \gset
select token from taskq.acquire('tasks') \gset
select taskq.fail(:id, :token, 'x', class => c) from unnest(array['timeout']) as c;
select taskq.fail(:id, :token, 'x', class => 'lease_lost');
select taskq.fail(:id, :token, 'x', class => repeat('c', 58));
select taskq.fail(:id, :token, 'private', class => 'jam', retry_in => '0');
select class, reason from taskq_private.last_failure(null);
select taskq.fail(id, token, 'private', class => 'jam') from taskq.acquire('tasks');
select class, reason from taskq_private.last_failure(null);
select class, count(*) from taskq.attempts where task_id = :id group by class;

select taskq.drop_queue('tasks', force => true);
select count(*) from taskq_private.task;
drop function try, stale;
