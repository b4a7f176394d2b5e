-- Events and values: what becomes an event, who sees it, and reading on from a cursor.
\set VERBOSITY terse
-- The executor itself stays out of it.
select taskq.stop_executor(), taskq.arm();
select taskq.create_queue('ev_all', retry => 'none', events => taskq_private.event_names()), taskq.create_queue('ev_some', events => '{finished, dead}'),
	taskq.create_queue('ev_none'), taskq.create_queue('ev_push', mode => 'push', url => 'https://a.example/', retry => 'none', events => '{started, failed, dead, finished}');

-- Where the session reads on, and what comes next: without cursor and time.
create temp table reader (cursor text);
create function next_events(most int default 100, of_queue text default null)
returns table (task_id bigint, queue text, event text, data jsonb) language plpgsql as $$
declare
	e record;
begin
	for e in select * from taskq.events_after((select r.cursor from reader r), most, of_queue) loop
		update reader set cursor = e.cursor;
		continue when e.event is null;
		task_id := e.task_id - (select min(t.id) from mine t);
		queue := e.queue;
		event := e.event;
		data := e.data;
		return next;
	end loop;
end
$$;
-- Ids are shown as differences to the first one.
create temp table mine (id bigint);
create function begin_reading() returns void language sql as $$
	delete from reader;
	delete from mine;
	insert into mine select last_value + is_called::int from taskq_private.task_id;
	insert into reader select cursor from taskq.events_after();
$$;

-- From NULL on there is only a cursor.
select cursor ~ '^\d+:\d+:[\d,]*\|\|\d+,\d+$' as cursor, at, task_id, queue, event, data from taskq.events_after();

-- The settings of queues.
select queue, events from taskq.queues where queue like 'ev\_%' or queue = 'default' order by 1;
select taskq.alter_queue('ev_some', events => '{ended}');
select taskq.alter_queue('ev_some', events => '{finished, null}');
select taskq.create_queue('ev_topic', mode => 'topic', events => '{finished}');
select taskq.alter_queue('ev_some', keep_dead => '1 day');
select events from taskq.queues where queue = 'ev_some';
select taskq.alter_queue('ev_some', events => '{}');
select events from taskq.queues where queue = 'ev_some';
select taskq.alter_queue('ev_some', events => '{finished, dead}'), taskq.alter_queue('default', events => '{submitted}');
select events from taskq.queues where queue = 'default';
select taskq.alter_queue('default', events => '{}');

-- A life with every event that an attempt can have.
select begin_reading();
select taskq.submit('ev_all', '{"to": "x"}', kind => 'mail', key => 'k', group_key => 'g', max_attempts => 3, retry => 'default') as id \gset
select token from taskq.acquire('ev_all', worker => 'w') \gset
select taskq.progress(:id, :token, 0.25, 'begun'), taskq.progress(:id, :token, null);
select taskq.emit(:id, :token, '{"page": 1}');
select taskq.release(:id, :token);
select token from taskq.acquire('ev_all') \gset
select taskq.decline(:id, :token, delay => '0');
select token from taskq.acquire('ev_all') \gset
select taskq.fail(:id, :token, 'no paper', retry_in => '0', class => 'paper');
select token from taskq.acquire('ev_all', lease_for => '100 ms') \gset
select pg_sleep(0.15);
select count(taskq_private.take_back_leases()) from generate_series(1, 3);
select token from taskq.acquire('ev_all') \gset
select taskq.fail(:id, :token, 'jammed');
select * from next_events();
select * from next_events();
-- One at a time it is the same.
select taskq.retry(:id);
select token from taskq.acquire('ev_all') \gset
select taskq.finish(:id, :token, '[1, 2]');
select * from next_events(1);
select * from next_events(1);
select * from next_events(1);
select * from next_events(1);

-- The other ends.  What was rolled back was no event.
select begin_reading();
select taskq.submit('ev_all') as cancelled, taskq.submit('ev_all', start_within => '1 ms') as expired \gset
select taskq.cancel(:cancelled, 'not wanted'), pg_sleep(0.01);
select count(*) from taskq.acquire('ev_all');
begin;
select taskq.submit('ev_all') - id as rolled_back from mine;
savepoint s;
select taskq.submit('ev_all') - id as rolled_back from mine;
rollback to s;
rollback;
begin;
savepoint s;
select taskq.submit('ev_all') as running \gset
rollback to s;
select taskq.submit('ev_all', key => 'r') as running \gset
-- The own events of a transaction are none before its commit.
select * from next_events();
commit;
select token from taskq.acquire('ev_all') \gset
select taskq.cancel(:running, 'stop'), taskq.submit('ev_all', key => 'r') = :running as same;
select taskq.release(:running, :token);
select taskq.submit('ev_all', key => 'n') as replaced \gset
select taskq.submit('ev_all', '1', key => 'n', on_duplicate => 'replace') = :replaced as same, taskq.purge_queue('ev_all');
-- A long result is left out.
select taskq.submit('ev_all') as id \gset
select token from taskq.acquire('ev_all') \gset
select taskq.finish(:id, :token, (select jsonb_agg(i) from generate_series(1, 3000) i));
select * from next_events();

-- Of many at once, and of a queue that wants some events.
select begin_reading();
select count(*) from taskq.submit_many('ev_some', array['1', '2', '3']::jsonb[]);
with a as (select array_agg(id) ids, array_agg(token) tokens from taskq.acquire('ev_some', 2))
	select count(f) from a, taskq.finish_many(a.ids, a.tokens) f;
select count(*) from taskq.submit_many('ev_none', array['1', '2']::jsonb[]), taskq.acquire('ev_none', 2);
with a as (select id, token from taskq.acquire('ev_some')) select taskq.fail(a.id, a.token, 'bad', retryable => false) from a;
select * from next_events();
select count(*) from taskq_private.event_0 where queue = 'ev_none';

-- A push task, by the functions of its sender; a follow-up that cannot be submitted is a dead task.
select begin_reading();
select taskq.create_queue('ev_gone', events => '{submitted, dead}'), taskq.submit('ev_push', '1', on_finish => '{"queue": "ev_gone"}') - (select id from mine) as first;
select count(*) from taskq_private.push_claim(10, null, null);
select taskq.alter_queue('ev_gone', mode => 'push');
select taskq_private.push_report(l.id, l.token, 'success', 'http', 200, null, null, false, '20 ms', null, null, null)
	from taskq_private.lease l join mine m using (id);
select taskq.submit('ev_push', '1') > 0 as second;
select count(*) from taskq_private.push_claim(10, null, null);
select taskq_private.push_report(l.id, l.token, 'permanent', 'http', 410, null, null, false, '20 ms', 'gone', null, null)
	from taskq_private.lease l join taskq_private.task t using (id) join taskq_private.all_queues q on q.id = t.queue_id where q.name = 'ev_push';
select queue, event, data from next_events();

-- A queue that is dropped cancels its tasks.
select begin_reading();
select taskq.create_queue('ev_drop', events => '{cancelled}'), taskq.submit('ev_drop') - (select id from mine) as first;
select taskq.drop_queue('ev_drop', force => true);
select * from next_events();

-- Values.
select taskq.submit('ev_none') as id \gset
select token from taskq.acquire('ev_none', lease_for => '1 hour') \gset
select taskq.emit(:id, :token, '"a"'), taskq.emit(:id, :token, 'null'), taskq.emit(:id, :token, '{"c": 3}');
select taskq.emit(:id, :token, '"other"', 2) as stays, taskq.emit(:id, :token, '"e"', 5) as later, taskq.emit(:id, :token, '"f"') as next;
select n, value, emitted_at <= clock_timestamp() as at from taskq.emitted(:id);
select n, value from taskq.emitted(:id, 2, 2);
select n, value from taskq.emitted(:id, 6);
call taskq.wait_emitted(:id, 3);
call taskq.wait_emitted(:id, 6, '10 ms');
select taskq.emit(:id, :token + 1, '1'), taskq.emit(0, 1, '1');
select taskq.emit(:id, :token, null);
select taskq.emit(:id, :token, '1', 0);
select taskq.emit(:id, :token, (repeat('[', 1001) || repeat(']', 1001))::jsonb);
select taskq.emitted(:id, -1);
select taskq.emitted(:id, 0, 0);
begin; select taskq.emit(:id, :token, '"g"'); rollback;
begin; select taskq.emit(:id, :token, (repeat('[', 1000) || repeat(']', 1000))::jsonb); rollback;
select max(n) from taskq.emitted(:id);
-- They stay over an attempt that fails, and after the end.
select taskq.fail(:id, :token, 'at 6', retry_in => '0');
select token from taskq.acquire('ev_none') \gset
select taskq.emit(:id, :token, '"again"', 1), taskq.emit(:id, :token, '"g"');
select taskq.finish(:id, :token, '"done"');
select n, value from taskq.emitted(:id);
call taskq.wait_emitted(:id, 7);
call taskq.wait_emitted(0, 0);
-- They are events only if the queue wants them.
select begin_reading();
select taskq.submit('ev_all') as id \gset
select token from taskq.acquire('ev_all') \gset
select taskq.emit(:id, :token, '"x"'), taskq.emit(:id, :token, '"y"'), taskq.finish(:id, :token);
select event, data from next_events();

-- Wants.
select taskq.submit('ev_none') as id \gset
select taskq.want(:id, 2), taskq.want(:id, 1), taskq.want(0, 1);
select token from taskq.acquire('ev_none') \gset
call taskq.wait_wanted(:id, :token, 2);
call taskq.wait_wanted(:id, :token, 3, '10 ms');
call taskq.wait_wanted(:id, :token + 1, 1, '10 ms');
select taskq.want(:id, 0);
call taskq.wait_wanted(:id, :token, null);
begin; call taskq.wait_wanted(:id, :token, 1); rollback;
begin; call taskq.wait_emitted(:id, 1); rollback;
begin; call taskq.wait_events(null); rollback;
select taskq.finish(:id, :token), taskq.want(:id, 3);
select taskq_private.drop_demand();
select count(*) from taskq_private.demand where task_id = :id;

-- wait_events(): an event from now on, or one that is there.
call taskq.wait_events(null, '10 ms');
select cursor as c from reader \gset
select taskq.submit('ev_all') > 0 as submitted;
call taskq.wait_events(:'c');

-- Rights: a reader sees the queues that it may view, whoever submitted.
create role ev_viewer;
create role ev_submitter;
create role ev_worker;
select taskq.grant_queue('ev_some', 'ev_viewer', '{view}'), taskq.grant_queue('ev_none', 'ev_submitter', '{submit}'),
	taskq.grant_queue('ev_none', 'ev_worker', '{work}'), taskq.grant_queue('ev_all', 'ev_worker', '{view}');
select begin_reading();
grant select, update on reader to ev_viewer;
grant select on mine to ev_viewer;
select taskq.submit('ev_all') > 0 as unseen, taskq.submit('ev_some') > 0 as seen;
with a as (select id, token from taskq.acquire('ev_some')) select taskq.finish(a.id, a.token) from a;
set role ev_viewer;
select * from next_events(1);
select * from next_events(1);
select * from next_events(1, 'ev_some');
select taskq.events_after(null, queue => 'ev_all');
select taskq.events_after(null, queue => 'nobody');
reset role;
select taskq.submit('ev_none') as id \gset
select token from taskq.acquire('ev_none') \gset
set role ev_worker;
select taskq.emit(:id, :token, '1');
select count(*) from taskq.emitted(:id);
select taskq.want(:id, 1);
set role ev_submitter;
select count(*) from taskq.emitted(:id);
call taskq.wait_emitted(:id, 0);
select taskq.want(:id, 1);
select taskq.emit(:id, :token, '1');
select taskq.events_after();
reset role;
set role ev_viewer;
select taskq.want(:id, 1);
select count(*) from taskq.emitted(:id);
reset role;

-- All that is kept.
select min(task_id) < min(m.id) as earlier, count(distinct task_id) > 10 as many from taskq.events_after('start', 10000), mine m;

-- Cursors that are none.
select taskq.events_after(c) from (values ('')) as x (c);
select taskq.events_after('1:2');
select taskq.events_after('1:2:|1:2:|2,0');
select taskq.events_after('2:1:||1,0');
select taskq.events_after('1:3:2,2||3,0');
select taskq.events_after('1:99999999999999999999:||1,0');
select taskq.events_after(cursor || ' ') from reader;
select taskq.events_after(null, 0);
select taskq.events_after(null, 10001);
call taskq.wait_events('x');
-- A cursor from before, and one of another database.
select taskq.events_after('1:1:||1,0');
select taskq.events_after('1:999999999999:||999999999999,0');

-- An event that is no longer kept: TQ011, but not for a reader that has read it.
select begin_reading();
select taskq.submit('ev_all') > 0 as submitted;
create temp table former as table reader;
select count(*) from next_events();
-- The tables of the ring are used one after the other.
create function next_table() returns int language plpgsql as $$
declare
	c int;
begin
	select (current + 1) % 10 into c from taskq_private.event_state;
	insert into taskq_private.event_leaf values (c, clock_timestamp(), (select last_value from taskq_private.event_number));
	update taskq_private.event_state set current = c;
	perform taskq_private.events_changed();
	return c;
end
$$;
select taskq.submit('ev_none') as id \gset
select token from taskq.acquire('ev_none') \gset
select id = :id as claimed, taskq.emit(id, token, '1') from taskq_private.lease where id = :id;
select next_table();
select taskq.submit('ev_all') > 0 as submitted;
select count(*) from taskq_private.event_1;
select taskq_private.empty_events(0);
select count(*) from taskq_private.event_0;
select event from next_events();
select taskq.events_after(cursor) from former;
select cursor as c from former \gset
call taskq.wait_events(:'c');
-- What is gone is before the start.
select queue, event from taskq.events_after('start');
-- The numbers of values go on.
select count(*) from taskq.emitted(:id);
select token from taskq_private.lease where id = :id \gset
select taskq.emit(:id, :token, '2');
select n from taskq.emitted(:id);
drop table former;

-- Trimming has nothing to do for a young table with few events, and plans when it will.
select taskq_private.trim_events() between 1000 and 3 * 3600 * 1000 as later;
select array_agg(leaf order by leaf) from taskq_private.event_leaf;

drop function next_events, begin_reading, next_table;
drop owned by ev_viewer, ev_submitter, ev_worker;
drop role ev_viewer, ev_submitter, ev_worker;
select taskq.drop_queue(q, force => true) from unnest(array['ev_all', 'ev_some', 'ev_none', 'ev_push', 'ev_gone']) as q;
select taskq.start_executor();
