-- Topics: publish(), subscribe(), unsubscribe(), templates for a topic.
\set VERBOSITY terse
select taskq.create_queue('orders', mode => 'topic'), taskq.create_queue('bills', keep_origin => true), taskq.create_queue('stock', retry => 'none'),
	taskq.create_queue('crm', mode => 'push', url => 'http://192.0.2.1/crm'), taskq.create_queue('mute', mode => 'push');
select taskq.stop_executor();
select queue, mode, url from taskq.queues where queue = 'orders';
-- The tasks of the test, without those of queues that exist from the start.
create view tasks as select queue, kind, key, state, payload, priority, attempt, max_attempts from taskq.tasks where queue in ('orders', 'bills', 'stock', 'crm') order by id;

-- No subscriber: no row, no task.
select taskq.publish('orders', '{"order": 1}');
select taskq.submit_template('{"topic": "orders"}') is null as none;
select count(*) from tasks;

select taskq.subscribe('orders', 'bills'), taskq.subscribe('orders', 'stock', '{placed,returned}'), taskq.subscribe('orders', 'crm', array['placed']);
select * from taskq.subscriptions order by topic, queue;
select count(*), count(distinct p) from taskq.publish('orders', '{"order": 2}', kind => 'placed', priority => 3) p;
select * from tasks;
-- Subscribers of all kinds only.
select count(*) from taskq.publish('orders', '{"order": 3}');
select count(*) from taskq.publish('orders', '{"order": 4}', kind => 'paid');
select count(*) from taskq.publish('orders', null, 'returned', delay => '1 h');
select queue, kind, payload, run_at - submitted_at > '59 min' as later from taskq.tasks where kind = 'returned' order by id;
select origin ->> 'role' from taskq.tasks where queue = 'bills' limit 1;
-- Subscribed again: other kinds.
select taskq.subscribe('orders', 'stock');
select kinds from taskq.subscriptions where queue = 'stock';
-- In the transaction of the caller.
begin;
select count(*) from taskq.publish('orders', kind => 'undone');
rollback;
select count(*) from tasks where kind = 'undone';
begin isolation level repeatable read;
select count(*) from tasks where kind = 'rr';
select count(*) from taskq.publish('orders', kind => 'rr');
commit;
-- In one statement with a subscription, and with the end of it.
begin;
select count(*) from taskq.publish('orders', kind => 'same');
select taskq.unsubscribe('orders', 'stock'), (select count(*) from taskq.publish('orders', kind => 'same'));
select taskq.subscribe('orders', 'stock', array['other']), (select count(*) from taskq.publish('orders', kind => 'same')), (select count(*) from taskq.publish('orders', kind => 'other'));
savepoint a;
select taskq.subscribe('orders', 'stock'), (select count(*) from taskq.publish('orders', kind => 'same'));
rollback to a;
select count(*) from taskq.publish('orders', kind => 'same');
rollback;

-- A key: one task in each queue.
select taskq.purge_queue('bills'), taskq.purge_queue('stock'), taskq.purge_queue('crm');
select array_agg(p order by p) as first from taskq.publish('orders', '1', kind => 'placed', key => 'k') p \gset
select array_agg(p order by p) = :'first' as kept from taskq.publish('orders', '2', kind => 'placed', key => 'k') p;
select queue, key, payload from tasks where key = 'k';
-- Where it is taken, that task stays.
select taskq.cancel((:'first'::bigint[])[1]) as cancelled, taskq.alter_queue('bills', keep_key => '0');
select taskq.submit('stock', '"own"', key => 'l') as own \gset
select count(*), count(*) filter (where p = :own) as own from taskq.publish('orders', '3', key => 'l') p;

-- Workers.
select id, payload from taskq.acquire('bills', 10) \gset t_
select taskq.finish(id, token) from taskq_private.lease where id = :t_id;

-- What a topic is not.
create function refused(statement text) returns text language plpgsql as $$
declare
	message text;
	detail text;
begin
	execute statement;
	return 'done';
exception when others then
	get stacked diagnostics message = message_text, detail = pg_exception_detail;
	return sqlstate || ' ' || message || ': ' || detail;
end
$$;
select s, refused('select taskq.' || s) from (values
	($$submit('orders', '{}')$$), ($$submit_many('orders', array['{}']::jsonb[])$$), ($$submit_http('http://example.com/', queue => 'orders')$$),
	($$submit_http(endpoint => 'orders', url => null)$$), ($$acquire('orders')$$),
	($$pause_queue('orders')$$), ($$resume_queue('orders')$$), ($$purge_queue('orders')$$),
	($$submit_template('{"queue": "orders"}')$$), ($$submit_template('{"url": "http://example.com/", "queue": "orders"}')$$), ($$submit_template('{"endpoint": "orders"}')$$),
	($$publish('none')$$), ($$publish('bills')$$), ($$publish(null)$$), ($$publish('')$$), ($$publish('orders', kind => '')$$), ($$publish('orders', key => '')$$),
	($$publish('orders', priority => 16)$$), ($$publish('orders', delay => '-1 s')$$), ($$publish('orders', to_jsonb(repeat('x', 2000000)))$$),
	($$submit_template('{"topic": "none"}')$$), ($$submit_template('{"topic": "bills"}')$$), ($$submit_template('{"topic": null}')$$), ($$submit_template('{"topic": "orders", "queue": "bills"}')$$),
	($$submit_template('{"topic": "orders", "delay": "1 s"}')$$), ($$submit_template('{"topic": "orders", "priority": 1}')$$), ($$submit_template('{"topic": "orders", "on_duplicate": "keep"}')$$),
	($$submit_template('{"topic": "orders", "kind": 1}')$$), ($$submit_template('{"topic": "orders", "key": ""}')$$),
	($$create_queue('bad', mode => 'topic', url => 'http://example.com/')$$), ($$create_queue('bad', mode => 'topic', executor => 'external')$$),
	($$create_queue('bad', mode => 'topic', on_dead => '{"queue": "bills"}')$$), ($$create_queue('bad', mode => 'topics')$$),
	($$alter_queue('orders', on_finish => '{"queue": "bills"}')$$), ($$alter_queue('orders', url => 'http://example.com/')$$)) x (s);
call taskq.wait_ready('orders', timeout => '1 ms');
call taskq.wait_ready_any('{bills,orders}', timeout => '1 ms');
select queue, pending, dead from taskq.queue_stats('orders');
select taskq.cancel_key('orders', 'k');

-- Subscribing.
select s, refused('select taskq.' || s) from (values
	($$subscribe('none', 'bills')$$), ($$subscribe('orders', 'none')$$), ($$subscribe('bills', 'stock')$$), ($$subscribe('orders', 'orders')$$), ($$subscribe('orders', 'mute')$$),
	($$subscribe(null, 'bills')$$), ($$subscribe('orders', null)$$), ($$subscribe('orders', '')$$),
	($$subscribe('orders', 'bills', '{}')$$), ($$subscribe('orders', 'bills', array['a', null])$$), ($$subscribe('orders', 'bills', array[''])$$), ($$subscribe('orders', 'bills', '{{a}}')$$),
	($$subscribe('orders', 'bills', array_fill('a'::text, array[101]))$$),
	($$unsubscribe('none', 'bills')$$), ($$unsubscribe('orders', 'none')$$), ($$unsubscribe(null, 'bills')$$)) x (s);
select taskq.unsubscribe('orders', 'mute') as never, taskq.unsubscribe('orders', 'crm') as once, taskq.unsubscribe('orders', 'crm') as twice, taskq.unsubscribe('bills', 'stock') as no_topic;
-- Queues that exist from the start.
begin;
select taskq.subscribe('orders', 'default'), refused($$select taskq.subscribe('orders', 'http')$$);
select count(*) from taskq.publish('orders');
select topic, queue from taskq.subscriptions order by queue;
rollback;
set default_transaction_read_only = on;
select refused($$select taskq.publish('orders')$$), refused($$select taskq.subscribe('orders', 'bills')$$), refused($$select taskq.unsubscribe('orders', 'bills')$$);
reset default_transaction_read_only;

-- A subscription that no function of taskq has made.
begin;
insert into taskq_private.subscription select t.id, q.id from taskq_private.queue t, taskq_private.queue q where t.name = 'orders' and q.name = 'mute';
select refused($$select taskq.publish('orders')$$);
rollback;

-- Changes of queues.
select taskq.subscribe('orders', 'crm');
select s, refused('select taskq.' || s) from (values
	($$alter_queue('orders', mode => 'pull')$$), ($$alter_queue('orders', mode => 'push')$$), ($$alter_queue('crm', url => '')$$), ($$alter_queue('stock', mode => 'push')$$),
	($$alter_queue('crm', url => 'http://192.0.2.1/other')$$), ($$alter_queue('orders', keep_dead => '1 day')$$)) x (s);
select taskq.create_queue('topic2', mode => 'topic'), taskq.create_queue('plain');
select taskq.subscribe('topic2', 'plain');
select refused($$select taskq.alter_queue('plain', mode => 'topic')$$), refused($$select taskq.alter_queue('plain', mode => 'push', url => 'http://example.com/')$$);
select taskq.unsubscribe('topic2', 'plain'), taskq.alter_queue('topic2', mode => 'pull'), refused($$select taskq.alter_queue('plain', mode => 'topic')$$), taskq.alter_queue('plain', mode => 'topic', url => '');
select queue, mode from taskq.queues where queue in ('plain', 'topic2') order by queue;
select taskq.subscribe('plain', 'topic2');
select taskq.submit('topic2') > 0 as pulled;
select refused($$select taskq.alter_queue('topic2', mode => 'topic')$$);
-- A drop removes the subscriptions of a queue, and of a topic.
select taskq.drop_queue('topic2', true);
select count(*) from taskq_private.subscription s where not exists (select from taskq_private.queue q where q.id = s.queue_id);
select count(*) from taskq.publish('plain');
select taskq.drop_queue('plain');
select taskq.create_queue('plain', mode => 'topic');
select taskq.subscribe('plain', 'bills');
select taskq.drop_queue('plain') as dropped;
select count(*) from taskq_private.subscription s where not exists (select from taskq_private.queue q where q.id = s.topic_id);
select refused($$select taskq.publish('plain')$$);
begin;
select taskq.drop_queue('bills', true);
select count(*) from taskq.publish('orders');
rollback;
select count(*) from taskq.publish('orders');

-- Privileges: submit on the topic publishes; control of both subscribes.
create role topic_user;
grant execute on function refused to topic_user;
select taskq.grant_queue('orders', 'topic_user', '{submit}');
set role topic_user;
select count(*) from taskq.publish('orders', kind => 'granted');
select refused($$select taskq.submit_template('{"topic": "orders"}')$$), refused($$select taskq.submit('bills')$$), refused($$select taskq.publish('plain')$$);
select refused($$select taskq.subscribe('orders', 'bills')$$), refused($$select * from taskq.subscriptions$$);
reset role;
select taskq.grant_queue('orders', 'topic_user', '{control}');
set role topic_user;
select refused($$select taskq.subscribe('orders', 'bills')$$), refused($$select taskq.unsubscribe('orders', 'bills')$$);
reset role;
select taskq.grant_queue('bills', 'topic_user', '{control,view,submit}'), taskq.revoke_queue('orders', 'topic_user', '{submit}');
set role topic_user;
select taskq.subscribe('orders', 'bills', '{a}'), taskq.unsubscribe('orders', 'bills'), taskq.subscribe('orders', 'bills');
select refused($$select taskq.publish('orders')$$), refused($$select taskq.submit_template('{"topic": "orders"}')$$);
-- Those of which both may be viewed.
select * from taskq.subscriptions;
reset role;
select taskq.grant_queue('orders', 'topic_user', '{view}');
set role topic_user;
select * from taskq.subscriptions;
reset role;

-- Follow-ups and schedules publish.
select taskq.purge_queue('bills'), taskq.purge_queue('stock'), taskq.purge_queue('crm');
select taskq.create_queue('work', on_dead => '{"topic": "orders", "kind": "failed"}');
select taskq.submit('work', '"one"', on_finish => '{"topic": "orders", "payload": {"a": 1}, "kind": "done", "key": "f"}') as id \gset
select taskq.finish(id, token, '7') from taskq.acquire('work');
select queue, key, payload -> 'a' as a, payload #> '{task,result}' as result from tasks where kind = 'done';
select origin -> 'task' = to_jsonb(:id) as of_task from taskq.tasks where queue = 'bills' and key = 'f';
select taskq.submit('work', '"two"') as id \gset
select taskq.fail(id, token, 'oh', retryable => false) from taskq.acquire('work');
select queue, payload ->> 'state' as state, payload ->> 'error' as error, payload -> 'payload' as payload from tasks where kind = 'failed';
select taskq.add_follow_up(:id, on_dead => '{"topic": "orders", "kind": "added"}');
select count(*) from tasks where kind = 'added';
select refused($$select taskq.schedule('daily', '{"topic": "none"}', every => '1 day')$$), refused($$select taskq.schedule('daily', '{"topic": "orders"}', every => '1 day', jitter => '1 min')$$);
select taskq.schedule('daily', '{"topic": "orders", "kind": "daily"}', every => '1 day');
select taskq.run_schedule('daily') is null as several;
select queue, key ~ '^daily@20..-' as key, count(*) over (partition by key) from tasks where kind = 'daily';
select outcome, task_id from taskq.schedule_runs where schedule = 'daily';
select taskq.unschedule('daily');

-- A message that cannot be published is a dead task of the topic; retry() and redrive() publish it.
select taskq.submit('work', on_finish => '[{"topic": "orders", "kind": "late", "key": "late"}, {"topic": "orders", "kind": "later"}]') as id \gset
begin;
select taskq.drop_queue('orders');
select taskq.finish(id, token) from taskq.acquire('work');
select taskq.create_queue('orders', mode => 'topic', keep_origin => true), taskq.subscribe('orders', 'stock'), taskq.subscribe('orders', 'bills');
commit;
select queue, kind, key, state, error, payload ->> 'id' = :'id' as of_task from taskq.tasks where queue = 'orders' order by id;
select id as dead from taskq.tasks where queue = 'orders' and kind = 'late' \gset
select taskq.retry(:dead) as first, taskq.retry(:dead) as again;
select queue, kind, key, payload ->> 'id' = :'id' as of_task from tasks where kind = 'late';
select origin -> 'task' = to_jsonb(:id) as of_task from taskq.tasks where queue = 'bills' and key = 'late';
select taskq.redrive('orders');
select queue, kind, key from tasks where kind = 'later';
select count(*) from taskq.tasks where queue = 'orders';
-- A queue of another mode has the name meanwhile.
select taskq.submit('work', on_finish => '{"topic": "orders", "kind": "other"}') as id \gset
select taskq.unsubscribe('orders', 'stock'), taskq.unsubscribe('orders', 'bills'), taskq.alter_queue('orders', mode => 'pull');
select taskq.finish(id, token) from taskq.acquire('work');
select state, error from taskq.tasks where queue = 'orders';
select taskq.redrive('orders');
select kind from taskq.acquire('orders');

select taskq.drop_queue(q, true) from unnest('{orders,bills,stock,crm,mute,work}'::text[]) q;
drop view tasks;
drop function refused;
drop role topic_user;
select taskq.start_executor();
