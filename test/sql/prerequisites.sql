-- Prerequisites: tasks that wait until others have ended.
set timezone = 'UTC';
do $$ begin perform taskq.stop_executor(), taskq.arm(); end $$;
do $$ begin
	perform taskq.create_queue('w_in', retry => 'none'), taskq.create_queue('w_out', retry => 'none'), taskq.create_queue('w_none', retry => 'none', keep_finished => '0', keep_dead => '0'),
		taskq.create_queue('w_line', ordered => true), taskq.create_queue('w_hook', mode => 'push', url => 'http://192.0.2.1/', executor => 'external');
end $$;

-- What the executor does: looks, until nothing is left to look at.
create procedure look() language plpgsql as $$
begin
	for i in 1 .. 6 loop
		while taskq_private.look_at_waiting() = 0 loop commit; end loop;
		commit;	-- which asks for looks at the next dependents
	end loop;
end
$$;
-- The error of a statement, without the numbers of tasks.
create function refused(statement text) returns text language plpgsql as $$
declare
	detail text;
begin
	execute statement;
	return 'not refused';
exception when others then
	get stacked diagnostics detail = pg_exception_detail;
	return format('%s: %s. %s', sqlstate, regexp_replace(sqlerrm, 'task \d+', 'task N'), detail);
end
$$;
-- Tasks by their kind.  waits: as their row says; open: for how many.
create function shown(kinds text) returns table (kind text, state taskq.state, waits boolean, open bigint, error text) language sql as $$
	select t.kind, t.state, t.run_at is null, (select count(*) from taskq.dependencies d where d.dependent = t.id), regexp_replace(t.error, '\d+', 'N')
	from taskq.tasks t where t.kind ~ ('^' || kinds || '$') and t.queue ~ '^w_' order by t.id
$$;
-- Ends the task of a kind, whose queue has no other due task before it.
create function finish_kind(kind text) returns boolean language sql as $$
	select taskq.finish(a.id, a.token) from taskq.acquire((select queue from taskq.tasks t where t.kind = finish_kind.kind and t.state = 'pending')) a where a.kind = finish_kind.kind
$$;
create function kill_kind(kind text) returns taskq.state language sql as $$
	select taskq.fail(a.id, a.token, 'no', retryable => false) from taskq.acquire((select queue from taskq.tasks t where t.kind = kill_kind.kind and t.state = 'pending')) a where a.kind = kill_kind.kind
$$;
create function id_of(kind text) returns bigint language sql as $$ select max(t.id) from taskq.tasks t where t.kind = id_of.kind $$;

-- Arguments.
select taskq.submit('w_in', kind => 'a') as a, taskq.submit('w_in', kind => 'b') as b \gset
select taskq.submit('w_out', after => '{}');
select taskq.submit('w_out', after => '{0}');
select taskq.submit('w_out', after => '{-1}');
select taskq.submit('w_out', after => '{{1}}');
select taskq.submit('w_out', after => '{NULL}');
select taskq.submit('w_out', after => array(select generate_series(1, 100001)));
select taskq.submit('w_out', after => array[:a], after_failure => 'stop');
select taskq.submit('w_out', after_failure => 'stop');
select taskq.submit('w_out', key => 'k', max_wait => '1 h', after => array[:a]);
select taskq.submit('w_out', delay => '1 h', start_within => '1 h', after => array[:a]);
select count(*) from taskq.submit_many('w_out', array(select 'null'::jsonb from generate_series(1, 1001)), after => array(select taskq.submit_many('w_none', array(select 'null'::jsonb from generate_series(1, 1000)))));
select refused(format('select taskq.add_prerequisites(%s, array[%s])', :a, :b));
select taskq.add_prerequisites(0, array[:b]);
select taskq.add_prerequisites(NULL, array[:b]);
select taskq.add_prerequisites(:a, NULL);

-- A task waits for two, each named twice; a second look changes nothing.
select taskq.submit('w_out', '{"n": 1}', kind => 'c', after => array[:b, :a, :a, :b]) as c \gset
call look();
select * from shown('[abc]');
select task_id = :a as a, dependent = :c as c, state from taskq.dependencies order by task_id;
select count(*) from taskq.acquire('w_out');
select finish_kind('a');
call look();
select * from shown('[abc]');
select finish_kind('b');
call look();
call look();
select * from shown('[abc]');
select count(*) from taskq_private.waiting;
select payload, attempt from taskq.acquire('w_out') \gset
select :'payload', :attempt, taskq.finish(id, token) from taskq_private.lease where id = :c;
-- All have ended: it does not wait at all.
select taskq.submit('w_out', kind => 'd', after => array[:a, :b]) as d \gset
select * from shown('d');
select finish_kind('d');

-- Each after_failure with each other end.
create procedure five(failure text) language plpgsql as $$
declare
	ids bigint[];
begin
	ids := array[taskq.submit('w_in', kind => 'dead'), taskq.submit('w_in', kind => 'lost'), taskq.submit('w_in', kind => 'expired', start_within => '1 h', priority => 1),
		taskq.submit('w_in', kind => 'cancelled', priority => 2), taskq.submit('w_none', kind => 'forgotten')];
	for i in 1 .. 5 loop
		perform taskq.submit('w_out', kind => format('%s-%s', failure, i), after => array[ids[i]], after_failure => failure);
	end loop;
	call look();
	perform kill_kind('dead');
	perform taskq.acquire('w_in', lease_for => '100 ms');
	commit;
	while exists (select from taskq_private.lease) loop
		perform taskq_private.take_back_leases(), pg_sleep(0.01);
		commit;
	end loop;
	with late as (update taskq_private.start_limit set start_by = 'epoch' where id = ids[3] returning id) update taskq_private.task t set start_by = 'epoch' from late where t.id = late.id;
	perform taskq_private.expire_starts();
	perform taskq.cancel(ids[4]);
	perform kill_kind('forgotten');
end
$$;
call five('cancel');
call look();
select * from shown('cancel-.');
call five('run');
call look();
select * from shown('run-.');
select count(taskq.finish(id, token)) from taskq.acquire('w_out', 10);
call five('wait');
call look();
select * from shown('wait-.');
select t.kind, d.state from taskq.dependencies d join taskq.tasks t on t.id = d.dependent order by t.id;
-- Retried and finished: the wait is over.  What is not kept cannot be retried.
select count(*) from taskq.dependencies d, lateral taskq.retry(d.task_id) r where r;
select count(*) filter (where state is null) as live, count(*) from taskq.dependencies;
call look();
select count(taskq.finish(id, token)) from taskq.acquire('w_in', 10);
call look();
select * from shown('wait-.');
select taskq.cancel(id_of('wait-5')), count(taskq.finish(id, token)) from taskq.acquire('w_out', 10);
select count(*) as waiting, (select count(*) from taskq_private.prerequisite) as prerequisites from taskq_private.waiting;

-- One that has ended otherwise already counts at once.
select taskq.submit('w_in', kind => 'ended') as ended \gset
select taskq.cancel(:ended);
select taskq.submit('w_out', kind => 'late-1', after => array[:ended]) as l1, taskq.submit('w_out', kind => 'late-2', after => array[:ended], after_failure => 'run') as l2,
	taskq.submit('w_out', kind => 'late-3', after => array[:ended], after_failure => 'wait') as l3 \gset
call look();
select * from shown('late-.');
select taskq.cancel(:l2), taskq.cancel(:l3);
-- Dependents of dependents follow by the same rule, each by its own.
select taskq.submit('w_in', kind => 'one') as one \gset
select taskq.submit('w_out', kind => 'two', after => array[:one]) as two \gset
select taskq.submit('w_out', kind => 'three', after => array[:two], on_dead => '{"queue": "w_out"}') as three \gset
select taskq.submit('w_out', kind => 'four', after => array[:three], after_failure => 'run') as four \gset
select taskq.submit('w_out', kind => 'five', after => array[:four]) as five \gset
select taskq.purge_queue('w_in') > 0 as purged;
call look();
select * from shown('(one|two|three|four|five)');
select finish_kind('four');
call look();
select finish_kind('five');
-- retry() of one that was cancelled so: it does not wait any more.
select taskq.retry(:two);
select * from shown('two');
select finish_kind('two');
-- A queue is dropped.
select taskq.create_queue('w_gone');
select taskq.submit('w_gone', kind => 'gone') as gone \gset
select taskq.submit('w_out', kind => 'after gone', after => array[:gone]) as l1, taskq.submit('w_out', kind => 'after all', after => array[:gone], after_failure => 'run') is null as done \gset x_
select taskq.submit('w_gone', kind => 'waits', after => array[id_of('after all')]) as waits \gset
select taskq.drop_queue('w_gone', force => true);
do $$ begin perform taskq_private.empty_queues(); end $$;
call look();
select * from shown('(gone|waits|after gone|after all)');
select finish_kind('after all');

-- Times count from the end of the wait; a run_at may be later; reschedule() changes it; no start limit runs before.
select taskq.submit('w_in', kind => 'first') as first \gset
select count(taskq.submit('w_out', kind => 'time-1', after => array[:first], delay => '1 h', start_within => '2 h')) + count(taskq.submit('w_out', kind => 'time-2', after => array[:first], run_at => '2100-01-01'))
	+ count(taskq.submit('w_out', kind => 'time-3', after => array[:first], run_at => '2000-01-01')) + count(taskq.submit('w_out', kind => 'time-4', after => array[:first]))
	+ count(taskq.submit_http(queue => 'w_hook', url => 'http://192.0.2.1/x', kind => 'time-5', after => array[:first]));
select count(*) from taskq_private.start_limit where id = id_of('time-1');
select taskq.reschedule(id_of('time-4'), '2099-01-01', 7);
update taskq_private.waiting set start_within = '3 h' where id = id_of('time-1');
call look();
select finish_kind('first');
call look();
select t.kind, t.priority, case when t.run_at < now() + interval '2 h' then date_trunc('minute', t.run_at - clock_timestamp() + interval '1 min')::text else t.run_at::text end as run_at,
	date_trunc('hour', s.start_by - clock_timestamp() + interval '1 min') as start_within
	from taskq.tasks t left join taskq_private.start_limit s on s.id = t.id where t.kind ~ 'time-.' order by t.kind;
select count(taskq.cancel(t.id)) from taskq.tasks t where t.kind ~ 'time-.';

-- Keys: keep finds the one that waits; replace gives it other prerequisites, or none; who waits for it goes on waiting.
select taskq.submit('w_in', kind => 'x') as x, taskq.submit('w_in', kind => 'y') as y \gset
select taskq.submit('w_out', key => 'same', kind => 'r1', after => array[:x]) as r \gset
select taskq.submit('w_out', key => 'same') = :r as same, taskq.submit('w_out', kind => 'behind', after => array[:r]) as behind \gset x_
select :'x_same', count(*) from taskq.dependencies where dependent = :r;
select taskq.submit('w_out', key => 'same', kind => 'r2', on_duplicate => 'replace', after => array[:y]) = :r as same;
select task_id = :y as y from taskq.dependencies where dependent = :r;
select refused(format($$select taskq.submit('w_out', key => 'same', on_duplicate => 'replace', after => array[%s])$$, n)) from unnest(array[:x_behind, :r]) n;
select taskq.submit('w_out', key => 'same', kind => 'r4', on_duplicate => 'replace') = :r as same;
select count(*) from taskq_private.waiting where id = :r;
call look();
select * from shown('(r.|behind)');
select finish_kind('r4');
call look();
select finish_kind('behind');
select taskq.purge_queue('w_in');

-- release(after): a parent waits for its children, however they end, and comes again with the attempt that it had.
select taskq.submit('w_out', '{"parent": true}', kind => 'parent') as parent \gset
select taskq.submit('w_out', kind => 'behind parent', after => array[:parent]) as behind \gset
select id, token from taskq.acquire('w_out') \gset
select taskq.submit('w_in', kind => 'child-1') as c1, taskq.submit('w_in', kind => 'child-2') as c2 \gset
select taskq.submit('w_in', kind => 'child-3', after => array[:c2]) as c3 \gset
select refused(format('select taskq.release(%s, %s, after => array[%s])', :id, :token, n)) from unnest(array[:c3, :behind, :id]) n;
select taskq.release(:id, :token + 1, after => array[:c1]) as lost, taskq.release(:id, :token, after => array[:c1, :c2]);
select * from shown('(parent|child-.)');
select taskq.finish(:id, :token) as lost;
select finish_kind('child-1'), kill_kind('child-2');
call look();
select * from shown('(parent|child-.)');
select id, token, attempt, payload from taskq.acquire('w_out') \gset
select :attempt, :'payload', state from taskq.results(array[:c1, :c2]);
-- All have ended: due after the delay.
select taskq.release(:id, :token, delay => '1 h', after => array[:c1, :c2]);
select t.run_at > now() + interval '59 min' as later, state from taskq.tasks t where id = :id;
select taskq.reschedule(:id);
-- A cancelled one does not wait.
select token from taskq.acquire('w_out') \gset
select taskq.submit('w_in', kind => 'child-4') as c4, taskq.cancel(:id, 'enough') as done \gset x_
select taskq.release(:id, :token, after => array[:x_c4]);
call look();
select * from shown('(parent|behind parent)');
select taskq.purge_queue('w_in');

-- add_prerequisites(): those that are new and live are added; a member adds others while it runs.
select taskq.submit('w_in', kind => 'm1') as m1, taskq.submit('w_in', kind => 'm2') as m2 \gset
select taskq.submit('w_out', kind => 'sum', after => array[:m1], after_failure => 'run') as sum \gset
call look();
select id, token from taskq.acquire('w_in') \gset
select taskq.submit('w_in', kind => 'm3') as m3 \gset
select taskq.add_prerequisites(:sum, array[:m1, :m2, :m3, :c1]), taskq.finish(:id, :token);
select refused(format('select taskq.add_prerequisites(%s, array[%s])', :sum, :sum));
select taskq.submit('w_out', kind => 'other', after => array[:m2]) as other \gset
select refused(format('select taskq.add_prerequisites(%s, array[%s])', :sum, :other));
call look();
select * from shown('(sum|other)');
select count(taskq.finish(id, token)) from taskq.acquire('w_in', 2);
call look();
select * from shown('(sum|other)');
select refused(format('select taskq.add_prerequisites(%s, array[%s])', :sum, :other));
select count(taskq.finish(id, token)) from taskq.acquire('w_out', 2);

-- In one transaction, with savepoints.
begin;
select taskq.submit('w_in', kind => 's1') as s1, taskq.submit('w_in', kind => 's2') as s2 \gset
select taskq.submit('w_out', kind => 'own', after => array[:s1, :s2]) as own \gset
savepoint a;
select count(taskq.finish(id, token)) from taskq.acquire('w_in', 2);
rollback to a;
savepoint b;
select taskq.cancel(:own);
rollback to b;
commit;
call look();
select * from shown('(s.|own)');
begin;
select count(taskq.finish(id, token)) from taskq.acquire('w_in', 2);
rollback;
call look();
select * from shown('own');
begin;
select taskq.cancel(:own);
rollback;
select * from shown('own');
select count(f) from (select array_agg(id) as ids, array_agg(token) as tokens from taskq.acquire('w_in', 2)) a, taskq.finish_many(ids, tokens) f;
call look();
select finish_kind('own');

-- What a session has looked at in a transaction that is rolled back, it looks at again.
select taskq.submit('w_in', kind => 'b1') as b1, taskq.submit('w_in', kind => 'b2') as b2 \gset
select taskq.submit('w_out', kind => 'back', after => array[:b1, :b2]) as back \gset
begin;
select finish_kind('b1');
do $$ begin perform taskq_private.look_at_waiting(); end $$;
rollback;
select taskq.reschedule(:b1, now() + interval '1 h'), finish_kind('b2');
call look();
select * from shown('back');
select taskq.cancel(:b1);
call look();
select * from shown('back');

-- finish_many(): a task on which many wait, and many on which one waits.
select taskq.submit('w_in', kind => 'root') as root \gset
select count(*) from taskq.submit_many('w_out', array(select to_jsonb(n) from generate_series(1, 500) n), kind => 'leaf', after => array[:root]);
select taskq.submit('w_in', kind => 'end', after => array(select id from taskq.tasks where kind = 'leaf')) as end \gset
call look();
select count(*), count(*) filter (where run_at is null) as waits from taskq.tasks where kind in ('leaf', 'end');
select finish_kind('root');
call look();
select count(*), count(*) filter (where run_at is null) as waits from taskq.tasks where kind in ('leaf', 'end');
select count(*) from taskq.acquire('w_out', 1000);
select count(f) from (select array_agg(id) as ids, array_agg(token) as tokens from taskq_private.lease) l, taskq.finish_many(ids, tokens) f;
call look();
select finish_kind('end');

-- An ordered queue: one that waits does not hold its group, and has its place when it comes again.
select taskq.submit('w_in', kind => 'gate') as gate \gset
select taskq.submit('w_line', kind => 'g1', group_key => 'g', after => array[:gate]) as g1, taskq.submit('w_line', kind => 'g2', group_key => 'g') as g2,
	taskq.submit('w_line', kind => 'g3', group_key => 'g') as g3 \gset
select kind, taskq.finish(id, token) from taskq.acquire('w_line');
select finish_kind('gate');
call look();
select kind, taskq.finish(id, token) from taskq.acquire('w_line');
select kind, taskq.finish(id, token) from taskq.acquire('w_line');

-- Templates: judged when given; a follow-up whose prerequisites are not known any more becomes a dead task.
select taskq.submit('w_in', kind => 't1') as t1 \gset
select taskq.submit_template(format('{"queue": "w_out", "kind": "tt", "after": [%s], "after_failure": "run"}', :t1)::jsonb) as tt \gset
select * from shown('tt');
select taskq.submit_template('{"queue": "w_out", "after": [0]}');
select taskq.submit_template('{"queue": "w_out", "after": 1}');
select taskq.submit_template('{"queue": "w_out", "after": ["1"]}');
select taskq.submit_template('{"queue": "w_out", "after": [1.5]}');
select taskq.submit_template('{"queue": "w_out", "after": [1e30]}');
select taskq.submit_template('{"url": "http://192.0.2.1/", "queue": "w_hook", "after": {}}');
select taskq.submit('w_none', kind => 'never') as never \gset
select taskq.submit('w_in', kind => 'lead', priority => -1, on_finish => jsonb_build_array(jsonb_build_object('queue', 'w_out', 'kind', 'f1', 'after', array[:t1]), jsonb_build_object('queue', 'w_out', 'kind', 'f2', 'after', array[:never]))) as lead \gset
select taskq.purge_queue('w_none') > 0 as purged, finish_kind('lead');
call look();
select * from shown('f.');
select finish_kind('t1');
call look();
select * from shown('(tt|f1)');
select taskq.purge_queue('w_out');

-- A queue that keeps nothing: a task that ends before its dependent is committed cannot be mistaken.
select taskq.submit('w_none', kind => 'k1') as k1 \gset
select taskq.submit('w_out', kind => 'k2', after => array[:k1]) as k2 \gset
select finish_kind('k1');
call look();
select finish_kind('k2');

-- Privileges.
create role w_clerk;
create role w_viewer;
select taskq.grant_queue('w_out', 'w_clerk', '{submit, work}'), taskq.grant_queue('w_out', 'w_viewer', '{view}');
select taskq.submit('w_in', kind => 'p1') as p1 \gset
select taskq.submit('w_out', kind => 'p2', after => array[:p1]) as p2, taskq.submit('w_in', kind => 'p3', after => array[:p1]) as p3 \gset
set role w_clerk;
select refused(format($$select taskq.submit('w_out', after => array[%s])$$, :p1));
select refused(format('select taskq.add_prerequisites(%s, array[%s])', :p3, :p2));
select taskq.submit('w_out', kind => 'p4', after => array[:p2]) > 0 as may;
select * from taskq.dependencies;
set role w_viewer;
select count(*) from taskq.dependencies;
select taskq.add_prerequisites(:p2, array[:p2]);
reset role;
select taskq.cancel(:p1);
call look();
select * from shown('p.');

-- Rows that come past the functions: a look at all follows.
select taskq.submit('w_in', kind => 'h1') as h1 \gset
select taskq.submit('w_out', kind => 'h2', after => array[:h1]) as h2 \gset
delete from taskq_private.prerequisite where dependent = :h2;
call look();
select * from shown('h.');
select taskq.purge_queue('w_out'), taskq.purge_queue('w_in');
select count(*) as waiting, (select count(*) from taskq_private.prerequisite) as prerequisites from taskq_private.waiting;
do $$ begin perform taskq.drop_queue(q, true) from unnest('{w_in,w_out,w_none,w_line,w_hook}'::text[]) q; end $$;
do $$ begin while taskq_private.empty_queues() = 0 loop null; end loop; end $$;
drop procedure five(text);
drop procedure look();
drop function refused(text), finish_kind(text), kill_kind(text), id_of(text), shown(text);
drop owned by w_clerk, w_viewer;
drop role w_clerk, w_viewer;
do $$ begin perform taskq.start_executor(); end $$;
