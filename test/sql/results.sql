-- The results of tasks: result(), response(), wait() and retry().
\set VERBOSITY terse
-- The executor itself stays out of it.
select taskq.stop_executor(), taskq.arm();
select taskq.create_queue('results', retry => 'none'), taskq.create_queue('kept not', keep_finished => '0', keep_dead => '0'),
	taskq.create_queue('answers', mode => 'push', url => 'https://a.example/', retry => 'default');

-- Acquires a task of the queue and ends it by the call.
create function run(queue text, call text, payload jsonb default null, key text default null) returns bigint language plpgsql as $$
declare
	id constant bigint := taskq.submit(queue, payload, key => key, priority => -16);
	token bigint;
begin
	select a.token into token from taskq.acquire(queue) a;
	execute format(call, id, token);
	return id;
end
$$;

-- result(), from the submit to each end.
select taskq.submit('results', retry => 'default') as id \gset
select * from taskq.result(:id);
select token from taskq.acquire('results') \gset
select * from taskq.result(:id);
select taskq.fail(:id, :token, 'jammed', retry_in => '0');
select * from taskq.result(:id);
select token from taskq.acquire('results') \gset
select * from taskq.result(:id);
select taskq.finish(:id, :token, '[1, 2]');
select state, result, error, ended_at <= clock_timestamp() as ended from taskq.result(:id);
select run('results', 'select taskq.fail(%s, %s, ''no such order'')') as dead, taskq.submit('results') as cancelled,
	taskq.submit('results', start_within => '1 ms') as expired, run('kept not', 'select taskq.finish(%s, %s)') as gone \gset
select taskq.cancel(:cancelled, 'not wanted'), pg_sleep(0.01);
select count(*) from taskq.acquire('results');
select state, result, error, ended_at is not null as ended
	from unnest(array[:dead, :cancelled, :expired, :gone, 0]) with ordinality as x (id, n), taskq.result(id) order by n;

-- response(): the last answer, while the task lives and after its end.
select taskq.submit('answers', '1') as id \gset
select * from taskq.response(:id);
select count(*) from taskq_private.push_claim(10, null, null);
select taskq_private.push_report(id, token, 'retry', 'http', 500, E'X-Try: 1\r\n', 'busy', false, '20 ms', null, '1 ms', null)
	from taskq_private.lease where id = :id;
select * from taskq.response(:id);
select pg_sleep(0.01);
select count(*) from taskq_private.push_claim(10, null, null);
select taskq_private.push_report(id, token, 'retry', 'timeout', null, null, null, false, '1 s', 'no answer', '1 ms', null)
	from taskq_private.lease where id = :id;
-- The last exchange had no answer.
select status from taskq.response(:id);
select pg_sleep(0.01);
select count(*) from taskq_private.push_claim(10, null, null);
select taskq_private.push_report(id, token, 'success', 'http', 201, E'X-Try: 3\r\nX-Try: again\r\n', '\x00ff', true, '30 ms', null, null, null)
	from taskq_private.lease where id = :id;
select * from taskq.response(:id);
select count(*) from taskq.response(:dead);

-- wait(): at once for an ended task, NULL for an unknown one; not in a transaction block.
call taskq.wait(:id, '0');
call taskq.wait(:dead);
call taskq.wait(:gone);
select taskq.submit('results', delay => '1 hour') as later \gset
call taskq.wait(:later, '10 ms');
call taskq.wait(:later, '-1 s');
call taskq.wait(null);
begin;
call taskq.wait(:later);
rollback;

-- retry(): a task that has not succeeded is pending again as submitted, its attempts count from zero.
select run('results', 'select taskq.fail(%s, %s, ''x'')', '{"again": 1}', 'k') as id \gset
select taskq.retry(:id), taskq.retry(:id) as twice;
select state, attempt, key, payload, error from taskq.tasks where id = :id;
select count(*) from taskq.attempts where task_id = :id;
select taskq.submit('results', key => 'k') = :id as key_is_taken;
select taskq.cancel(:id), taskq.retry(:id, run_at => '2100-01-01 00:00:00+00');
select state, run_at = '2100-01-01 00:00:00+00' as later from taskq.tasks where id = :id;
select taskq.cancel(:id), taskq.retry(:id, run_at => 'epoch');
select state, run_at between now() - interval '1 min' and now() as due from taskq.tasks where id = :id;
select taskq.retry(:expired), taskq.cancel(:expired), taskq.cancel(:id), taskq.retry(0);
-- retry() refuses a task that has succeeded, and one whose key another task has.
select run('results', 'select taskq.finish(%s, %s)') as finished \gset
do $$ begin perform taskq.retry(max(id)) from taskq.tasks where queue = 'results' and state = 'finished';
exception when sqlstate 'TQ009' then raise notice '%', regexp_replace(sqlerrm, '\d+', 'N'); end $$;
select taskq.submit('results', key => 'k', on_duplicate => 'replace') <> :id as another;
do $$ begin perform taskq.retry(id) from taskq.tasks where queue = 'results' and key = 'k' and state = 'cancelled';
exception when sqlstate 'TQ003' then raise notice '%', sqlerrm; end $$;
-- It also refuses if the queue was dropped or has another mode.
select run('kept not', 'select taskq.release(%s, %s)') as id \gset
select taskq.alter_queue('kept not', keep_dead => '1 day'), taskq.cancel(:id);
select taskq.alter_queue('kept not', mode => 'push');
select taskq.retry(:id);
select taskq.drop_queue('kept not');
select taskq.retry(:id);

select taskq.drop_queue('results', true), taskq.drop_queue('answers', true);
drop function run;
select taskq.disarm(), taskq.start_executor();
