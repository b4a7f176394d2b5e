-- Groups: what becomes of a task with a group.
\set VERBOSITY terse
create extension amcheck;
select taskq.create_queue('h_work'), taskq.create_queue('h_line', ordered => true), taskq.create_queue('h_next');
select taskq.stop_executor();
-- Every entry is in its index.
create view indexes as select bt_index_check('taskq_private.task_pkey', true)::text || bt_index_check('taskq_private.task_dispatch', true)
	|| bt_index_check('taskq_private.task_group', true) as fit;
create view tasks as select group_key, state, attempt, payload from taskq.tasks where queue in ('h_work', 'h_line', 'h_next') order by id;

-- The lease has the number of the group.
select count(*) from taskq.submit_many('h_work', '{1,2,3,4,5}', group_keys => array['a', null, 'b', null, 'a']);
select payload, group_key from taskq.acquire('h_work', 10) order by payload;
select t.group_id is not distinct from l.group_id as same, count(*) from taskq_private.lease l join taskq_private.task t using (id) group by 1;
-- Released and taken again.
select count(*) filter (where taskq.release(id, token)) from taskq_private.lease;
select fit from indexes;
select payload, group_key from taskq.acquire('h_work', 10) order by payload;

-- Failed: due later, in another place; the group stays.
select taskq.fail(id, token, 'x', retry_in => '1 hour') from taskq_private.lease l where id in (select id from taskq.tasks where payload in ('1', '2'));
select group_key, attempt, run_at > now() + interval '59 min' as later, retry_at is null as by_run_at, group_id is not distinct from taskq_private.group_id(group_key) as fits
	from taskq_private.task where attempt = 1 order by id;
select fit from indexes;
-- Ended, and brought back.
select taskq.fail(id, token, 'no', retryable => false) from taskq_private.lease l order by id;
select * from tasks;
select taskq.retry(id) from taskq.tasks where queue = 'h_work' and state = 'dead' and group_key = 'b';
select taskq.redrive('h_work');
select group_key, payload, group_id is not distinct from taskq_private.group_id(group_key) as fits, lead(id) over (order by id) is distinct from id as own from taskq_private.task t
	where t.queue_id = (select q.id from taskq_private.queue q where q.name = 'h_work') order by id;
select fit from indexes;
select taskq.purge_queue('h_work');
-- Only those of one group.
select count(*) from taskq.submit_many('h_work', '{1,2,3,4,5}', group_keys => array['a', null, 'b', null, 'a']);
select payload, group_key from taskq.acquire('h_work', 10, group_key => 'a') order by payload;
select count(*) from taskq.acquire('h_work', 10, group_key => 'c');
select count(*) filter (where taskq.finish(id, token)) from taskq_private.lease;
-- Handed out by the call that ends others.
select taskq.submit('h_work', '6', group_key => 'z') > 0 as submitted;
select array_agg(id) as ids, array_agg(token) as tokens from taskq.acquire('h_work', 10, group_key => 'b') \gset
select payload, group_key from taskq.finish_and_acquire('h_work', :'ids', :'tokens', max_tasks => 10) order by payload;
select count(*) filter (where taskq.finish(id, token)) from taskq_private.lease;
-- A follow-up gets the group of the task that has ended.
select taskq.submit('h_work', group_key => 'o', on_finish => '{"queue": "h_next", "group_key": "f"}') > 0 as submitted;
select taskq.finish(id, token) from taskq.acquire('h_work');
select group_key, payload ->> 'group_key' as "of" from tasks where state = 'pending';
select taskq.purge_queue('h_next');

-- Ordered: a retry keeps its place; it is due at retry_at.  A task without a group has no place.
select taskq.submit('h_line', '1', group_key => 'a', max_attempts => 3) as one \gset
select taskq.submit('h_line', '2') as two \gset
create view places as select t.attempt, t.run_at <= t.submitted_at as kept, t.retry_at > now() + interval '59 min' as later from taskq_private.task t
	where t.queue_id = (select q.id from taskq_private.queue q where q.name = 'h_line') order by t.id;
select taskq.fail(id, token, 'x', retry_in => '1 hour') from taskq.acquire('h_line', 2);
select * from places;
select due from taskq.queue_stats('h_line');
select count(*) from taskq.acquire('h_line', 2);
select fit from indexes;
-- reschedule() gives it another place.
select taskq.reschedule(:one), taskq.reschedule(:two);
select attempt, kept, later from places;
select due from taskq.queue_stats('h_line');
-- Released.
select taskq.release(id, token, '1 hour'), payload from taskq.acquire('h_line', 2) order by payload;
select attempt, later from places;
select taskq.reschedule(:one), taskq.reschedule(:two);
-- Lost.
select count(*) from taskq.acquire('h_line', 2);
update taskq_private.lease set lease_until = 'epoch';
select taskq_private.leases_changed();
select count(*) from (select taskq_private.take_back_leases()) t;
select attempt, later from places;
-- It is due at once, and runs.
select payload, attempt from taskq.acquire('h_line', 2) order by payload;
select count(*) filter (where taskq.finish(id, token)) from taskq_private.lease;
-- Brought back it has a new place.
select taskq.submit('h_line', '3', group_key => 'a') as three \gset
select taskq.fail(id, token, 'x', retry_in => '1 hour') from taskq.acquire('h_line');
select taskq.cancel(:three), taskq.retry(:three);
select attempt, later from places;
select payload, attempt from taskq.acquire('h_line');
select taskq.finish(id, token) from taskq_private.lease;
select fit from indexes;

select count(taskq.drop_queue(q)) from unnest(array['h_work', 'h_line', 'h_next']) q;
drop view tasks, indexes, places;
drop extension amcheck;
select taskq.start_executor();
