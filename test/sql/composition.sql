-- Many tasks in one call: results(), wait_all(), cancel_many(), redrive(); and reschedule(), wait_ready_any().
\set VERBOSITY terse
select taskq.create_queue('a', retry => 'none', lease_for => '1 h'), taskq.create_queue('b', lease_for => '1 h'), taskq.create_queue('gone', keep_finished => '0'),
	taskq.create_queue('hook', mode => 'push', url => 'http://192.0.2.1/');
select taskq.disarm();

-- Acquires the first due task of the queue and fails it for good.
create function die(queue text, error text) returns bigint language plpgsql as $$
declare
	a record;
begin
	select * into a from taskq.acquire(queue);
	perform taskq.fail(a.id, a.token, error, retryable => false);
	return a.id;
end
$$;

-- results(): a row for each element, in their order; an unknown id has no state.
select taskq.submit('b', '"f"') as finished \gset
select count(taskq.finish(id, token, '{"n": 1}')) from taskq.acquire('b');
select taskq.submit('b') as dead \gset
select die('b', 'broken') = :dead as died;
select taskq.submit('b') as tried, taskq.submit('b') as running, taskq.submit('b', delay => '1 h') as pending, taskq.submit('gone') as gone \gset
select count(taskq.fail(id, token, 'once', retry_in => '1 h')) from taskq.acquire('b');
select id, token from taskq.acquire('b') \gset
select count(taskq.finish(id, token)) from taskq.acquire('gone');
select ord, id = ids[ord] as same, state, result, error, ended_at is not null as ended
	from (select array[:running, :finished, :gone, :dead, :finished, :tried, :pending, 0]) as x (ids), taskq.results(ids);
-- As result() says, each of them.
select count(*) from taskq.results(array[:running, :finished, :gone, :dead, :tried, :pending]) r
	left join lateral taskq.result(r.id) s on true
	where (r.state, r.result, r.error, r.ended_at) is distinct from (s.state, s.result, s.error, s.ended_at);
select count(*) from taskq.results('{}');
-- More than one statement takes: the numbers go on.
select array_agg(i order by n) as ids from taskq.submit_many('a', array(select to_jsonb(i) from generate_series(1, 2500) i)) with ordinality x (i, n) \gset
select count(*), count(r.state), bool_and(r.id = (:'ids'::bigint[])[r.ord]), max(r.ord) from taskq.results(:'ids') r;
-- A result that is stored out of line.
select taskq.submit('b', priority => -16) as big \gset
select count(taskq.finish(id, token, (select to_jsonb(string_agg(md5(i::text), '')) from generate_series(1, 1000) i))) from taskq.acquire('b');
select length(result #>> '{}') from taskq.results(array[:big]);
-- Of a dropped queue.
select taskq.create_queue('dropped');
select taskq.submit('dropped') as dropped \gset
select taskq.drop_queue('dropped', true);
select state, error from taskq.results(array[:dropped]);

-- wait_all(): how many have ended; what is not known counts, each element by itself.
call taskq.wait_all(array[:finished, :dead, :gone, 0, :finished, :dropped], '1 day');
call taskq.wait_all(array[:pending, :finished, :running, :dead], '10 ms');
call taskq.wait_all('{}');
call taskq.wait_all(:'ids', '0');
begin;
call taskq.wait_all(array[:finished]);
rollback;
do $$ declare n int; begin perform taskq.submit('b', delay => '1 h'); call taskq.wait_all('{1}', '1 s', n); end $$;

-- cancel_many(): pending tasks end, running ones are marked; ended and unknown ones are not returned.
select array_agg(x = any (array[:pending, :tried, :running]) order by n) from taskq.cancel_many(array[:running, 0, :pending, :dead, :tried, :pending], 'enough')
	with ordinality c (x, n);
select count(*) from (select x, lag(x) over (order by n) as before from taskq.cancel_many(:'ids') with ordinality c (x, n)) y where before >= x;
select state, error, count(*) from taskq.results(:'ids') group by 1, 2;
select ord, state, error from taskq.results(array[:pending, :tried, :running]);
select cancel_requested from taskq.heartbeat(:id, :token);
select taskq.fail(:id, :token, 'stopped');
select state, error from taskq.result(:running);
select count(*) from taskq.cancel_many(array[:running, :pending]);
select count(*) from taskq.cancel_many('{}');
-- Their keys become free as after cancel().
select taskq.alter_queue('b', keep_key => '0');
select array_agg(i) as ids from taskq.submit_many('b', array_fill('1'::jsonb, '{3}'), keys => '{x,y,z}', delay => '1 h') i \gset
select count(*) from taskq.cancel_many(:'ids');
select count(*) from taskq.submit_many('b', array_fill('1'::jsonb, '{3}'), keys => '{x,y,z}', delay => '1 h') i where not i = any (:'ids');
select count(taskq.cancel_key('b', k)) from unnest('{x,y,z}'::text[]) k;

-- reschedule(): now, or then, with the attempts, the key and the content as they are.
select taskq.submit('b', '{"c": 1}', key => 'k', kind => 'x', timeout => '9 s') as id \gset
create table before as select t.*, (select count(*) from taskq.attempts a where a.task_id = t.id) as failures from taskq.tasks t limit 0;
select taskq.fail(id, token, 'down', retry_in => '1 h') from taskq.acquire('b');
insert into before select t.*, (select count(*) from taskq.attempts a where a.task_id = t.id) from taskq.tasks t where t.id = :id;
select count(*) from taskq.acquire('b');
select taskq.reschedule(:id);
-- Only run_at has changed.
select key from (select to_jsonb(b) as was, to_jsonb(t) || jsonb_build_object('failures', (select count(*) from taskq.attempts a where a.task_id = t.id)) as now_
		from before b join taskq.tasks t using (id)) x, jsonb_object_keys(was) as key
	where was -> key is distinct from now_ -> key;
select taskq.submit('b', key => 'k') = :id as has_its_key;
select id = :id as same, attempt, token as token from taskq.acquire('b') \gset
select :attempt as attempt;
-- A running task, an ended one, an unknown one.
select taskq.reschedule(:id), taskq.reschedule(:dead), taskq.reschedule(0);
select taskq.finish(:id, :token), taskq.reschedule(:id);
-- Then, and with another priority; into the past is now.
select taskq.submit('b', delay => '1 h') as one, taskq.submit('b', delay => '1 h') as two \gset
select taskq.reschedule(:one, '2100-01-01 00:00:00+00'), taskq.reschedule(:two, 'epoch', 3);
select id = :one as one, run_at = '2100-01-01 00:00:00+00' as later, run_at between now() - interval '1 min' and clock_timestamp() as due, priority
	from taskq.tasks where id in (:one, :two) order by id;
select taskq.reschedule(:one, priority => -16);
select array_agg(id = :one) from taskq.acquire('b', 2);
select count(taskq.finish(id, token)) from taskq_private.lease;
-- Not after the end of its start_within, and not longer than that.
select taskq.submit('b', start_within => '1 h') as id \gset
do $$ begin perform taskq.reschedule(max(id), now() + interval '2 h') from taskq.tasks where queue = 'b' and state = 'pending';
exception when sqlstate 'TQ004' then raise notice '%', sqlerrm; end $$;
select taskq.reschedule(:id, now() + interval '20 ms', -16), count(*) from taskq.acquire('b');
select taskq.submit('b', start_within => '300 ms') as late \gset
select taskq.reschedule(:late, now() + interval '1 ms');
select pg_sleep(0.31);
select id = :id as started from taskq.acquire('b', 2);
select state from taskq.result(:late);
select count(taskq.finish(id, token)) from taskq_private.lease;
-- A payload that is stored out of line, and a column that an administrator has added.
alter table taskq_private.task add column tenant text default 'nobody';
select taskq.submit('b', (select to_jsonb(string_agg(md5(i::text), '')) from generate_series(1, 1000) i), delay => '1 h') as id \gset
update taskq_private.task set tenant = 'acme' where id = :id;
select taskq.reschedule(:id), tenant from taskq_private.task where id = :id;
select tenant from taskq_private.task where id = :id;
select length(payload #>> '{}') from taskq.acquire('b');
alter table taskq_private.task drop column tenant;
-- Rolled back, it is as it was; made and rescheduled in one transaction.
select taskq.submit('b', delay => '1 h') as id \gset
begin;
select taskq.reschedule(:id);
select count(*) from taskq.acquire('b');
rollback;
select count(*) from taskq.acquire('b');
begin;
select taskq.submit('b', delay => '1 h') as own \gset
select taskq.reschedule(:own, now() + interval '1 h'), taskq.reschedule(:own);
commit;
select id = :own as own from taskq.acquire('b', 2);
select taskq.cancel(:id);
-- A push task, too; a paused queue stays paused.
select taskq.submit('hook', '1', delay => '1 h') as id \gset
select taskq.pause_queue('b'), taskq.submit('b', delay => '1 h') as paused \gset
select taskq.reschedule(:id), taskq.reschedule(:paused);
select state, run_at <= clock_timestamp() as due from taskq.tasks where id in (:id, :paused);
select count(*) from taskq.acquire('b');
select taskq.resume_queue('b'), (select count(*) from taskq.cancel_many(array[:id, :paused])) as cancelled;

-- redrive(): the first that ended come first, as retry() brings them back.
select taskq.create_queue('r', retry => 'none');
create function dies(n int, error text, kind text default null) returns void language sql as $$
	select count(taskq.submit('r', to_jsonb(i), kind => kind, priority => i - 16)) from generate_series(0, n - 1) i;
	select count(die('r', error)) from generate_series(1, n);
$$;
select dies(3, 'refused by mx1'), dies(2, 'timeout', 'late');
select taskq.redrive('r', max_tasks => 2);
select t.payload, t.state, t.attempt, t.error, (select count(*) from taskq.attempts a where a.task_id = t.id) as failures
	from taskq.tasks t where t.queue = 'r' and t.kind is null order by t.id;
select taskq.redrive('r', max_tasks => 1);
select taskq.redrive('r', kind => 'never'), taskq.redrive('r', error => 'mx'), taskq.redrive('r', kind => 'late', error => '^TIME'),
	taskq.redrive('r', ended_after => now() + interval '1 s'), taskq.redrive('r', ended_before => now() - interval '1 h'),
	taskq.redrive('r', '{cancelled, expired}'), taskq.redrive('a', kind => 'late');
select taskq.redrive('r', kind => 'late', error => '^time', ended_after => now() - interval '1 h', ended_before => now() + interval '1 h');
select state, count(*) from taskq.tasks where queue = 'r' group by 1;
-- Each state; those that have finished never.
select count(*) from taskq.cancel_many(array(select id from taskq.tasks where queue = 'r' and state = 'pending' order by id limit 3));
select count(taskq.finish(id, token)) from taskq.acquire('r');
select die('r', 'x') is not null as died;
select taskq.redrive('r', '{dead, cancelled}');
select state, count(*) from taskq.tasks where queue = 'r' group by 1 order by 1;
select taskq.redrive('r', '{finished}');
select taskq.redrive('r', '{dead, pending}');
select taskq.redrive('r', null);
select taskq.redrive('r', array['dead', null]::taskq.state[]);
select taskq.redrive('r', '{}');
select taskq.redrive('r', error => '(');
-- spread: evenly, from now on.
select taskq.purge_queue('r'), taskq.redrive('r', '{cancelled}', spread => '1 h');
select round(extract(epoch from run_at - min(run_at) over ()) / 60) as minute from taskq.tasks where queue = 'r' and state = 'pending' order by 1;
-- A task whose key is taken is passed over, another one comes in its place; a key that is free again is no obstacle.
select taskq.purge_queue('r');
select taskq.submit('r', '"k1"', key => 'k1') is not null, taskq.submit('r', '"k2"', key => 'k2') is not null, taskq.submit('r', '"k3"') is not null;
select count(die('r', 'keyed')) from generate_series(1, 3);
select taskq.submit('r', '"new"', key => 'k1', on_duplicate => 'replace', delay => '1 h') is not null;
select taskq.redrive('r', error => 'keyed', max_tasks => 2);
select payload, key, state from taskq.tasks where queue = 'r' and payload #>> '{}' in ('new', 'k1', 'k2', 'k3') order by id;
select taskq.redrive('r', error => 'keyed');
select taskq.cancel_key('r', 'k1');
select taskq.redrive('r', error => 'keyed');
update taskq_private.key set taken_until = now() where key = 'k1';
select taskq.redrive('r', error => 'keyed');
-- Not of the other mode, and not what could not be kept.
select taskq.purge_queue('r');
select count(*) from taskq.acquire('r', 100);
select taskq.submit('r') is not null, die('r', 'lost') is not null, taskq.submit('r') is not null, die('r', 'kept') is not null;
update taskq_private.history set content_lost = true where queue = 'r' and error = 'lost';
update taskq_private.history_rest set content_lost = true where queue = 'r' and error = 'lost';
select taskq.redrive('r', error => '^(lost|kept)$');
select count(taskq.finish(id, token)) from taskq_private.lease;
select taskq.purge_queue('r') > 0, taskq.alter_queue('r', mode => 'push');
select taskq.redrive('r', '{dead, cancelled}');
-- More than one batch, and more than max_tasks at a time.
select count(*) from taskq.submit_many('a', array(select to_jsonb(i) from generate_series(1, 2500) i), kind => 'many');
select count(taskq.fail(id, token, 'x')) from taskq.acquire('a', 10000);
select taskq.redrive('a', kind => 'many', max_tasks => 2200), taskq.redrive('a', kind => 'many', max_tasks => 2200), taskq.redrive('a', kind => 'many');
select count(*), count(distinct payload) from taskq.tasks where queue = 'a' and kind = 'many' and state = 'pending';
-- A search that takes too long: the caller's own limit holds, if it is shorter, during the search and after it.
set statement_timeout = '20 ms';
select taskq.redrive('a', '{cancelled}', error => '^(((((((a{1,30}){1,30}){1,30}){1,30}e{0,30}){1,30}){1,30}){1,30}n(o|u).*){30}$');
select taskq.redrive('a', '{cancelled}', error => 'x'), pg_sleep(60);
reset statement_timeout;

-- wait_ready_any(): the first queue of them that has a due task.
select taskq.purge_queue('a') > 0, taskq.purge_queue('b') >= 0;
call taskq.wait_ready_any('{a, b}', '10 ms');
select taskq.submit('b') is not null;
call taskq.wait_ready_any('{a, b}', '10 ms');
select taskq.submit('a') is not null;
call taskq.wait_ready_any('{a, b}');
call taskq.wait_ready_any('{b, a, b}');
select taskq.pause_queue('b');
call taskq.wait_ready_any('{b, a}');
call taskq.wait_ready_any('{b}', '10 ms');
call taskq.wait_ready_any('{a, hook}');
call taskq.wait_ready_any('{a, nowhere}');
call taskq.wait_ready_any('{}');
call taskq.wait_ready_any(null);
call taskq.wait_ready_any('{a, null}');
call taskq.wait_ready_any(array_fill('a'::text, '{65}'));
call taskq.wait_ready_any(array_fill('a'::text, '{64}'));
begin;
call taskq.wait_ready_any('{a}');
rollback;

select taskq.drop_queue(q, true) from unnest('{a, b, gone, hook, r}'::text[]) q;
drop function die, dies;
drop table before;
select taskq.arm();

-- Tasks that were tried before, whose old entries in the index of ids are dead.
select taskq.create_retry_policy('again', backoff => 'fixed', base => '0', jitter => 0);
select taskq.create_queue('again', retry => 'again');
select array_agg(id) as ids from taskq.submit_many('again', array_fill('1'::jsonb, '{20}')) id \gset
do $$
declare
	a record;
begin
	for i in 1..3 loop
		for a in select * from taskq.acquire('again', 20) loop
			perform taskq.fail(a.id, a.token, 'x');
		end loop;
		commit;
	end loop;
end
$$;
\c -
call taskq.wait_all(:'ids', '1 ms');
\c -
select count(*) from taskq.cancel_many(:'ids');
select taskq.drop_queue('again'), taskq.drop_retry_policy('again');
