-- Groups, limits and order: what is stored, arguments, privileges, views.
\set VERBOSITY terse
create extension amcheck;
select taskq.create_queue('g_work'), taskq.create_queue('g_line', ordered => true), taskq.create_queue('g_other', keep_dead => '0'),
	taskq.create_queue('g_hook', mode => 'push', url => 'http://192.0.2.1/hook', ordered => true),
	taskq.create_queue('g_news', mode => 'topic');
select taskq.stop_executor();
select queue, ordered from taskq.queues where queue in ('g_work', 'g_line', 'default') order by queue;
create view tasks as select queue, key, group_key, kind, state, priority, attempt, payload from taskq.tasks
	where queue in ('g_work', 'g_line', 'g_other', 'g_hook') order by id;
-- Every entry is in its index, and in no other one.
create view indexes as select bt_index_check('taskq_private.task_pkey', true)::text || bt_index_check('taskq_private.task_dispatch', true)
	|| bt_index_check('taskq_private.task_group', true) as fit;
-- The rows that a plan finds by that index; an entry in the wrong one would be among them.
create function entries("index" text, condition text) returns bigint language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
	statement constant text := format('select count(*) from taskq_private.task where queue_id > 0 and group_id is %s', condition);
	plan json;
	found bigint;
begin
	execute 'explain (format json) ' || statement into plan;
	if plan::text not like format('%%"Index Name": "%s"%%', "index") then
		raise exception 'another plan: %', plan;
	end if;
	execute statement into found;
	return found;
end
$$;
create view parts as select count(*) filter (where group_id is null) = entries('task_dispatch', 'null') as dispatch,
	count(*) filter (where group_id is not null) = entries('task_group', 'not null') as groups from taskq_private.task;
create function refused(statement text) returns text language plpgsql as $$
declare
	message text;
	detail text;
	hint text;
begin
	execute statement;
	return 'done';
exception when others then
	get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
	return concat_ws(' | ', sqlstate, message, detail, hint);
end
$$;

-- Submitted with a group, and without.
select taskq.submit('g_work', '1', group_key => 'a') as one \gset
select taskq.submit('g_work', '2') as two \gset
select count(*) from taskq.submit_many('g_work', '{3,4,5}', group_keys => array['b', null, 'a']);
select taskq.submit_http(queue => 'g_hook', url => 'http://192.0.2.1/', group_key => 'a') > 0 as submitted;
select * from tasks;
select group_id = taskq_private.group_id(group_key)
		and group_id = ('x' || encode(substr(sha256(convert_to(group_key, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint as fits, count(*)
	from taskq_private.task group by 1 order by 1;
select count(*), count(taskq_private.group_id(i::text)) filter (where taskq_private.group_id(i::text) = 0) as zero from generate_series(1, 1000) i;
select fit from indexes;
select * from parts;
select pending, due from taskq.queue_stats('g_work');

-- Changed: in and out of a group only by replace, which makes a new row.
select taskq.submit('g_work', '6', key => 'g_k', group_key => 'a') as id \gset
select taskq.submit('g_work', '7', key => 'g_k', group_key => 'c', on_duplicate => 'replace') = :id as same;
select taskq.reschedule(:id, now() + interval '1 day', priority => 4);
select group_key, priority, payload from tasks where key = 'g_k';
select taskq.submit('g_work', '8', key => 'g_k', on_duplicate => 'replace') = :id as same;
select group_key, priority, payload from tasks where key = 'g_k';
select fit from indexes;
select taskq.purge_queue('g_work'), taskq.purge_queue('g_hook');
select * from parts;

-- Bad arguments.
select taskq.submit('g_line', group_key => 'g') > 0 and taskq.submit('g_line') > 0 as submitted;
select refused(s) from unnest(array[
	$$select taskq.submit('g_work', group_key => '')$$,
	$$select taskq.submit('g_work', group_key => repeat('g', 513))$$,
	$$select taskq.submit('g_work', group_key => E'a\nb')$$,
	$$select taskq.submit_many('g_work', '{1,2}', group_keys => '{a}')$$,
	$$select taskq.submit_many('g_work', '{1,2}', group_keys => '{a,""}')$$,
	$$select taskq.submit('g_line', priority => 1)$$,
	$$select taskq.submit('g_line', group_key => 'g', priority => -1)$$,
	$$select taskq.submit_many('g_line', '{1}', priority => 1)$$,
	$$select taskq.submit_http('http://192.0.2.1/', queue => 'g_hook', priority => 1)$$,
	$$select taskq.submit_template('{"queue": "g_line", "priority": 1}')$$,
	$$select taskq.reschedule((select max(id) from taskq.tasks where queue = 'g_line' and state = 'pending'), priority => 1)$$,
	$$select taskq.submit('g_work', unique_for => '1 h')$$,
	$$select taskq.submit('g_work', max_wait => '1 h')$$,
	$$select taskq.submit('g_work', key => 'g_k', unique_for => '-1 s')$$,
	$$select taskq.submit('g_work', key => 'g_k', max_wait => '36526 days')$$,
	$$select taskq.acquire('g_work', group_key => '')$$,
	$$select taskq.create_queue('t', mode => 'topic', ordered => true)$$,
	$$select taskq.alter_queue('g_line', ordered => false)$$]) s;
-- The longest keys.
select taskq.submit('g_work', group_key => repeat('g', 512)) > 0 as submitted, taskq.purge_queue('g_work');
select taskq.alter_queue('g_line', ordered => true), taskq.alter_queue('g_work', ordered => true);
select taskq.purge_queue('g_line'), taskq.alter_queue('g_line', ordered => false), taskq.alter_queue('g_work', ordered => false);
select queue, ordered from taskq.queues where ordered order by 1;
select taskq.alter_queue('g_line', ordered => true), taskq.alter_queue('default', ordered => true);
select taskq.submit('default', priority => 2);
select taskq.alter_queue('default', ordered => false);

-- Templates, topics, follow-ups.
select taskq.submit_template('{"queue": "g_work", "group_key": "t", "key": "t", "unique_for": "1 day", "max_wait": "1 h"}') > 0 as submitted;
select taskq.submit_template('{"queue": "g_work", "max_wait": "1 h"}');
select taskq.submit_template('{"queue": "g_work", "group_key": 1}');
select taskq.subscribe('g_news', 'g_work'), taskq.subscribe('g_news', 'g_line');
select count(*) from taskq.publish('g_news', '"p"', priority => 3, group_key => 'n');
select taskq.submit_template('{"topic": "g_news", "payload": "q", "group_key": "m"}');
select queue, group_key, key, priority, payload from tasks where state = 'pending';
select taskq.unsubscribe('g_news', 'g_work'), taskq.unsubscribe('g_news', 'g_line');
select taskq.purge_queue('g_work'), taskq.purge_queue('g_line');
-- A follow-up may have a group.  One that cannot be submitted keeps it.
select taskq.submit('g_work', on_finish => '{"queue": "g_other", "group_key": "f"}') > 0 as submitted;
select taskq.finish(id, token) from taskq.acquire('g_work');
select queue, group_key, payload ? 'group_key' as told, payload ->> 'group_key' as "of" from tasks where queue = 'g_other' and state = 'pending';
select taskq.submit('g_work', on_finish => '{"queue": "g_other", "group_key": "g", "priority": 2}') > 0 as submitted;
select taskq.alter_queue('g_other', keep_dead => '1 day');
select taskq.purge_queue('g_other');
select taskq.alter_queue('g_other', ordered => true);
select taskq.finish(id, token) from taskq.acquire('g_work');
select state, group_key, priority from tasks where queue = 'g_other' and state = 'dead';
select taskq.redrive('g_other');
select state, group_key, priority from tasks where queue = 'g_other' and state = 'pending';

-- Found by their group, live and ended ones.
select key, group_key, state from taskq.find_tasks(group_key => 'g') order by id;
select count(*), count(group_key) from taskq.find_tasks('g_other', "limit" => 1000, scan => 1000) where id is not null;

-- Limits.
select taskq.set_limit('g_work', 10), taskq.set_limit('g_line', rate => 5, per => '2 s', burst => 2),
	taskq.set_group_limit('g_work', null, 2), taskq.set_group_limit('g_work', 'a', 3, 0.5, '1 min', weight => 7),
	taskq.set_group_limit('g_work', 'free'), taskq.set_group_limit('g_line', null, weight => 2);
select * from taskq.limits order by queue, scope, group_key;
select scope, group_id = taskq_private.group_id(group_key) as fits from taskq_private.flow_limit where group_key = 'a';
-- What is not given is not limited.
select taskq.set_limit('g_line', 4), taskq.set_group_limit('g_work', 'a', rate => 2), taskq.set_group_limit('g_work', null), taskq.set_group_limit('g_line', null);
select * from taskq.limits order by queue, scope, group_key;
select taskq.drop_group_limit('g_work', 'a'), taskq.drop_group_limit('g_work', 'a'), taskq.drop_group_limit('g_work', 'free'), taskq.set_limit('g_work');
select * from taskq.limits order by queue, scope, group_key;
select refused(s) from unnest(array[
	$$select taskq.set_limit(null, 1)$$,
	$$select taskq.set_limit('nowhere', 1)$$,
	$$select taskq.set_limit('g_news', 1)$$,
	$$select taskq.set_limit('g_work', -1)$$,
	$$select taskq.set_limit('g_work', 1000001)$$,
	$$select taskq.set_limit('g_work', rate => 0)$$,
	$$select taskq.set_limit('g_work', rate => 'nan')$$,
	$$select taskq.set_limit('g_work', rate => 1000001)$$,
	$$select taskq.set_limit('g_work', rate => 1, per => '0')$$,
	$$select taskq.set_limit('g_work', rate => 1, per => '25 h')$$,
	$$select taskq.set_limit('g_work', rate => 1, burst => 0)$$,
	$$select taskq.set_limit('g_work', rate => 1, burst => 100001)$$,
	$$select taskq.set_group_limit('g_work', '', 1)$$,
	$$select taskq.set_group_limit('g_work', 'a', rate => 1001)$$,
	$$select taskq.set_group_limit('g_work', 'a', rate => 2, per => '1 ms')$$,
	$$select taskq.set_group_limit('g_work', 'a', weight => 0)$$,
	$$select taskq.set_group_limit('g_work', 'a', weight => 101)$$,
	$$select taskq.set_limit('g_work', 5, burst => 2)$$,
	$$select taskq.set_limit('g_work', per => '1 min')$$,
	$$select taskq.set_group_limit('g_work', 'a', 5, burst => 2, weight => 2)$$,
	$$select taskq.set_group_limit('g_work', null, per => '2 s')$$,
	$$select taskq.drop_group_limit('g_work', null)$$,
	$$select taskq.set_limit('g_work', 0, 1000000, '1 ms', 100000)$$,
	$$select taskq.set_group_limit('g_work', 'a', 1000000, 1000, '1 s', 100000, 100)$$,
	$$select taskq.set_group_limit('g_work', 'a', 1, 1000000, '1 day')$$]) s;
-- What has no effect is told: an ordered queue limits each group to one running task.
\set VERBOSITY default
begin;
select taskq.set_group_limit('g_line', 'a', 1), taskq.set_group_limit('g_line', 'b', 0);
select taskq.set_group_limit('g_line', 'a', 2);
rollback;
\set VERBOSITY terse
-- With its queue a limit goes.
select taskq.create_queue('g_gone'), taskq.set_limit('g_gone', 1), taskq.set_group_limit('g_gone', 'a', 1);
select count(taskq.submit('g_gone', group_key => g)) from unnest(array['a', 'b', 'c', null]) g;
select taskq.drop_queue('g_gone');
select count(*) from taskq.acquire('g_gone', 1);
select taskq.drop_queue('g_gone', force => true);
select count(*) from taskq.limits where queue = 'g_gone';
select count(*) from taskq_private.flow_limit f where not exists (select from taskq_private.queue q where q.id = f.queue_id);
select state, count(*) from taskq.tasks where queue = 'g_gone' group by 1;
select count(*) from taskq_private.task t join taskq_private.dropped_queue d on d.id = t.queue_id where d.name = 'g_gone';
select fit from indexes;

-- Privileges.
create role groups_controller;
create role groups_viewer;
create role groups_stranger;
select taskq.grant_queue('g_work', 'groups_controller', '{control}'), taskq.grant_queue('g_work', 'groups_viewer', '{view,submit}');
set role groups_controller;
select taskq.set_limit('g_work', 5), taskq.set_group_limit('g_work', 'a', 5), taskq.drop_group_limit('g_work', 'a');
select taskq.set_limit('g_line', 5);
select * from taskq.limits;
set role groups_viewer;
select queue, scope, max_running from taskq.limits;
select taskq.set_limit('g_work', 5);
set role groups_stranger;
select taskq.set_limit('g_work', 5);
select * from taskq.limits;
reset role;
select taskq.revoke_queue('g_work', 'groups_controller', '{control}'), taskq.revoke_queue('g_work', 'groups_viewer', '{view,submit}');
drop role groups_controller, groups_viewer, groups_stranger;

-- unique_for: the key stays taken from the submit on, also after the end.
select taskq.purge_queue('g_other'), taskq.alter_queue('g_other', keep_key => '0', ordered => false);
select taskq.submit('g_other', '1', key => 'g_u', unique_for => '1 h') as id \gset
select taskq.finish(id, token) from taskq.acquire('g_other');
select taskq.submit('g_other', '2', key => 'g_u', unique_for => '1 h') = :id as kept;
select taskq.submit('g_other', '2', key => 'g_u', unique_for => '1 h', on_duplicate => 'raise');
select taken_until = hold_until as held, hold_until - now() between '59 min' and '1 h' as for_an_hour, since is null as no_wait from taskq_private.key where key = 'g_u';
select count(taskq_private.drop_keys()), count(*) filter (where key = 'g_u') from taskq_private.key;
-- The period is over.
update taskq_private.key set taken_until = now(), hold_until = now() where key = 'g_u';
select taskq.submit('g_other', '3', key => 'g_u', unique_for => '1 min') > :id as new;
-- It ends after the period: keep_key decides, which is 0.
update taskq_private.key set hold_until = now() - interval '1 s' where key = 'g_u';
select taskq.finish(id, token) from taskq.acquire('g_other');
select count(*) from taskq_private.key where key = 'g_u';
-- keep_key is longer.
select taskq.alter_queue('g_other', keep_key => '2 h');
select taskq.submit('g_other', '4', key => 'g_u', unique_for => '1 h') as id \gset
select taskq.cancel(:id);
select taken_until - now() > '119 min' as kept from taskq_private.key where key = 'g_u';
-- replace does not care.
select taskq.submit('g_other', '5', key => 'g_u', on_duplicate => 'replace') > :id as new;
select hold_until is null as not_held from taskq_private.key where key = 'g_u';
-- A replaced task: the later of both times.
select taskq.submit('g_other', '6', key => 'g_u', unique_for => '3 h', on_duplicate => 'replace') as id \gset
select taskq.submit('g_other', '7', key => 'g_u', unique_for => '1 h', on_duplicate => 'replace') = :id as same;
select hold_until - now() > '2 h' as longest from taskq_private.key where key = 'g_u';
-- Brought back by retry(): it is held as long as it was.
select taskq.cancel(:id), taskq.retry(:id);
select hold_until - now() > '2 h' as longest, taken_until is null as lives from taskq_private.key where key = 'g_u';
select taskq.purge_queue('g_other');

-- max_wait: due at most so long after the first submit.
create view waits as select payload, run_at - submitted_at as wait, round(extract(epoch from run_at - now()) / 60) as minutes from taskq.tasks where key = 'g_w' and state = 'pending';
select taskq.submit('g_other', '1', key => 'g_w', delay => '10 min', max_wait => '30 min', on_duplicate => 'replace') as id \gset
select payload, minutes from waits;
-- Ten minutes later, and again.
update taskq_private.key set since = since - interval '10 min' where key = 'g_w';
select taskq.submit('g_other', '2', key => 'g_w', delay => '10 min', max_wait => '30 min', on_duplicate => 'replace') = :id as same;
select payload, minutes from waits;
update taskq_private.key set since = since - interval '15 min' where key = 'g_w';
select taskq.submit('g_other', '3', key => 'g_w', delay => '10 min', max_wait => '30 min', on_duplicate => 'replace') = :id as same;
select payload, minutes from waits;
-- It is due now, and stays so.
update taskq_private.key set since = since - interval '1 hour' where key = 'g_w';
select taskq.submit('g_other', '4', key => 'g_w', delay => '10 min', max_wait => '30 min', on_duplicate => 'replace') = :id as same;
select payload, minutes from waits;
-- Without max_wait it is put off, and what was remembered stands.
select taskq.submit('g_other', '5', key => 'g_w', delay => '10 min', on_duplicate => 'replace') = :id as same;
select payload, minutes from waits;
select taskq.submit('g_other', '6', key => 'g_w', run_at => now() + interval '1 year', max_wait => '30 min', on_duplicate => 'replace') = :id as same;
select payload, minutes from waits;
-- After an attempt that failed it begins anew.
select taskq.fail(id, token, 'x', retry_in => '5 min') from taskq.acquire('g_other');
select taskq.submit('g_other', '7', key => 'g_w', delay => '10 min', max_wait => '30 min', on_duplicate => 'replace') = :id as same;
select payload, minutes from waits;
-- And after the end.
select taskq.cancel(:id);
select taskq.submit('g_other', '8', key => 'g_w', delay => '1 hour', max_wait => '30 min', on_duplicate => 'replace') > :id as new;
select payload, minutes from waits;
-- The first submit had none.
select taskq.submit('g_other', '9', key => 'g_x', delay => '1 hour') as id \gset
update taskq_private.task set submitted_at = submitted_at - interval '20 min' where id = :id;
select taskq.submit('g_other', '10', key => 'g_x', delay => '1 hour', max_wait => '30 min', on_duplicate => 'replace') = :id as same;
select payload, round(extract(epoch from run_at - now()) / 60) as minutes from taskq.tasks where key = 'g_x';
-- It may have to start before the delay would be over.
select taskq.submit('g_other', key => 'g_z', delay => '2 h', max_wait => '1 h', start_within => '90 min') > 0 as submitted;
select taskq.submit('g_other', key => 'g_z', delay => '2 h', max_wait => '100 min', start_within => '90 min', on_duplicate => 'replace');
-- One in each period, with the latest content.
select taskq.submit('g_other', '11', key => 'g_y', delay => '5 min', max_wait => '5 min', on_duplicate => 'replace') as id \gset
select run_at as first from taskq.tasks where id = :id \gset
select taskq.submit('g_other', '12', key => 'g_y', delay => '5 min', max_wait => '5 min', on_duplicate => 'replace') = :id as same;
select payload, run_at = :'first' as same_time from taskq.tasks where id = :id;
select fit from indexes;

-- What other tests would see.
select taskq.purge_queue('g_other'), taskq.purge_queue('g_line'), taskq.purge_queue('g_work');
select count(taskq.drop_queue(q)) from unnest(array['g_work', 'g_line', 'g_other', 'g_hook', 'g_news']) q;
drop view tasks, indexes, parts, waits;
drop function entries, refused;
drop extension amcheck;
select taskq.start_executor();
