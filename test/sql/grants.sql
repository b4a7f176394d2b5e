-- Privileges on single queues: a role can do what was granted, and it
-- learns nothing about other queues.
\set VERBOSITY terse

select taskq.create_queue('mine'), taskq.create_queue('theirs'), taskq.create_queue('hooks', mode => 'push', url => 'http://192.0.2.1/'),
	taskq.create_endpoint('hooks2', 'http://192.0.2.1/');
create role regress_submit;
create role regress_work;
create role regress_view;
create role regress_control;
create role regress_team;
create role regress_member in role regress_team;
create role regress_nobody;
select taskq.grant_queue('mine', 'regress_submit', '{submit}'), taskq.grant_queue('mine', 'regress_work', '{work}'),
	taskq.grant_queue('mine', 'regress_view', '{view}'), taskq.grant_queue('mine', 'regress_control', '{control}'),
	taskq.grant_queue('mine', 'regress_team', '{submit, work, view, control}');
select * from taskq.queue_grants order by queue, role::text;

-- Returns the result of a call by that role, and rolls it back; '-' if the server
-- has refused the call before code of taskq ran.
create function try(who text, call text) returns text language plpgsql as $$
declare
	result text;
begin
	execute format('set local role %I', who);
	execute 'select ' || call into result;
	raise exception using errcode = 'TQ999';
exception
when sqlstate 'TQ999' then
	return coalesce(result, 'NULL');
when insufficient_privilege then
	return '-';
when others then
	return format('%s: %s', sqlstate, sqlerrm);
end
$$;

-- One task of each kind on either queue.
create table task_of (queue text, kind text, id bigint, token bigint);
create function make_tasks(q text) returns void language plpgsql as $$
begin
	insert into task_of select q, 'pending', taskq.submit(q, '"p"', key => 'k', delay => '1 hour');
	insert into task_of select q, 'running', taskq.submit(q, '"r"', priority => -16);
	update task_of t set token = a.token from taskq.acquire(q) a where t.id = a.id;
	insert into task_of select q, 'dead', taskq.submit(q, '"d"', priority => -16);
	update task_of t set token = a.token from taskq.acquire(q) a where t.id = a.id;
	perform taskq.fail(id, token, 'oh', retryable => false) from task_of where queue = q and kind = 'dead';
end
$$;
select make_tasks('mine'), make_tasks('theirs');

-- Every call on either queue by every role.
create function call_of(template text, q text) returns text language sql as $$
	select replace(replace(replace(replace(replace(template, '$q', quote_literal(q)),
		'$pending', (select id::text from task_of where queue = q and kind = 'pending')),
		'$running', (select id || ', ' || token from task_of where queue = q and kind = 'running')),
		'$dead', (select id::text from task_of where queue = q and kind = 'dead')),
		'$ids', (select format('array[%s], array[%s]', id, token) from task_of where queue = q and kind = 'running'))
$$;
create view calls as select * from unnest(array[
	'taskq.submit($q) > 0', 'taskq.submit($q, key => ''k'') > 0', 'count(*) from taskq.submit_many($q, array[''1'']::jsonb[])',
	'taskq.cancel($pending)', 'count(*) from taskq.cancel_many(array[$pending])', 'taskq.cancel_key($q, ''k'')', 'taskq.reschedule($pending)',
	'state from taskq.result($pending)', 'count(state) from taskq.results(array[$pending])', 'count(*) from taskq.response($dead)',
	'count(*) from taskq.acquire($q)', 'count(*) from taskq.heartbeat($running)', 'taskq.finish($running)',
	'taskq.fail($running, ''x'')', 'taskq.release($running)', 'taskq.decline($running)', 'taskq.serve(array[$q])', 'taskq.progress($running, 0.5)',
	'count(*) from taskq.finish_many($ids)', 'count(*) from taskq.heartbeat_many($ids)', 'count(*) from taskq.finish_and_acquire($q, $ids)',
	'count(*) from taskq.tasks where queue = $q', 'count(*) from taskq.attempts where task_id = $dead',
	'count(*) from taskq.queues where queue = $q', 'count(*) from taskq.workers where queue = $q', 'count(*) from taskq.unserved($q)',
	'taskq.pause_queue($q)', 'taskq.resume_queue($q)', 'taskq.purge_queue($q)', 'taskq.retry($dead)', 'taskq.redrive($q)',
	'taskq.drop_queue($q, true)', 'taskq.grant_queue($q, ''regress_member'', ''{view}'')',
	'count(*) from taskq.status()', 'count(*) from taskq_private.task']) with ordinality as c (template, n);
create function tries(q text)
returns table (template text, nobody text, submit text, work text, view text, control text, member text) language sql as $$
	select template, try('regress_nobody', c), try('regress_submit', c), try('regress_work', c), try('regress_view', c),
		try('regress_control', c), try('regress_member', c)
	from (select template, n, call_of(template, q) as c from calls) as x order by n
$$;
select * from tries('mine');
select * from tries('theirs');

-- A push queue, and the complete error.
select try('regress_submit', 'taskq.submit_http(''http://192.0.2.1/'', queue => ''hooks'')');
\set VERBOSITY default
set role regress_submit;
select taskq.submit('theirs');
reset role;
\set VERBOSITY terse

-- wait() checks the privilege as well.
select id as theirs from task_of where queue = 'theirs' and kind = 'dead' \gset
select id as mine from task_of where queue = 'mine' and kind = 'dead' \gset
set role regress_submit;
call taskq.wait(:theirs, '0');
call taskq.wait(:mine, '0');
reset role;

-- So do the other procedures; to wait_all() a task that the role may not see is an unknown one.
select array_agg(id) filter (where queue = 'mine') as mine, array_agg(id) as both from task_of where kind = 'pending' \gset
set role regress_submit;
call taskq.wait_all(:'mine', '0');
call taskq.wait_all(:'both', '0');
call taskq.wait_ready_any('{mine}', '0');
set role regress_work;
call taskq.wait_all(:'mine', '0');
call taskq.wait_ready_any('{mine}', '0');
call taskq.wait_ready_any('{mine, theirs}', '0');
reset role;

-- The views do not pass rows that the caller may not see to its functions.
create function spy(t taskq.tasks) returns boolean language plpgsql cost 0.0001 as $$
begin
	raise notice 'saw a task of queue %', $1.queue;
	return true;
end
$$;
set role regress_view;
select count(*) from taskq.tasks t where spy(t);
reset role;
drop function spy;

-- A queue on which a role has no privilege does not exist for it: the error is that of a wrong name.
\set VERBOSITY default
set role regress_submit;
select taskq.submit('nowhere');
select taskq.submit('theirs');
select taskq.submit_http(endpoint => 'nowhere');
select taskq.submit_http(endpoint => 'hooks2');
reset role;
\set VERBOSITY terse

-- A role of the extension keeps its privilege on every queue.
grant taskq_submitter to regress_submit;
select try('regress_submit', 'taskq.submit(''theirs'') > 0');
revoke taskq_submitter from regress_submit;
select try('regress_submit', 'taskq.submit(''theirs'') > 0');

-- Bad arguments.
create function refuse(call text) returns text language plpgsql as $$
begin
	execute 'select ' || call;
	return 'done';
exception when others then
	return format('%s: %s', sqlstate, sqlerrm);
end
$$;
select call, refuse(call) from unnest(array['taskq.grant_queue(''nowhere'', ''regress_view'', ''{view}'')',
	'taskq.grant_queue(''mine'', ''nobody_at_all'', ''{view}'')', 'taskq.grant_queue(''mine'', null, ''{view}'')',
	'taskq.grant_queue(''mine'', ''taskq_reader'', ''{view}'')', 'taskq.grant_queue(''mine'', ''regress_view'', ''{}'')',
	'taskq.grant_queue(''mine'', ''regress_view'', null)', 'taskq.grant_queue(''mine'', ''regress_view'', ''{view, read}'')',
	'taskq.grant_queue(''mine'', ''regress_view'', ''{view, null}'')', 'taskq.grant_queue(''mine'', ''public'', ''{view}'')',
	'taskq.revoke_queue(''nowhere'', ''regress_view'', ''{view}'')', 'taskq.grant_queue(null, ''regress_view'', ''{view}'')']) as call;

-- Revoked: with the last queue the role loses EXECUTE; before that it cannot be dropped.
select taskq.grant_queue('theirs', 'regress_view', '{view}');
select taskq.revoke_queue('mine', 'regress_view', '{view, work}');
select try('regress_view', 'count(*) from taskq.tasks where queue = ''mine'''), try('regress_view', 'count(*) from taskq.tasks where queue = ''theirs''');
drop role regress_view;
select taskq.drop_queue('theirs', true);
select try('regress_view', 'count(*) from taskq.tasks where queue = ''theirs''');
drop role regress_view;

-- Rights that the role had before stay, those that grant_queue() gave go.
create role regress_plain;
grant usage on schema taskq to regress_plain;
grant select on taskq.tasks to regress_plain;
grant execute on function taskq.status() to regress_plain;
create view rights as select has_schema_privilege('regress_plain', 'taskq', 'usage') as schema,
	has_table_privilege('regress_plain', 'taskq.tasks', 'select') as tasks, has_table_privilege('regress_plain', 'taskq.attempts', 'select') as attempts,
	has_function_privilege('regress_plain', 'taskq.status()', 'execute') as status,
	has_function_privilege('regress_plain', 'taskq.queue_stats(text)', 'execute') as queue_stats;
select * from rights;
select taskq.grant_queue('mine', 'regress_plain', '{view}');
select * from rights;
select taskq.revoke_queue('mine', 'regress_plain', '{view}');
select * from rights;
drop view rights;
drop owned by regress_plain;
drop role regress_plain;
-- Only an administrator sees the tasks of a dropped queue.
create role regress_reader in role taskq_reader;
create role regress_admin in role taskq_admin;
select try('regress_reader', 'count(*) from taskq.tasks where queue = ''theirs'''), try('regress_admin', 'count(*) > 0 from taskq.tasks where queue = ''theirs''');
-- DROP OWNED leaves a row that no later role inherits.
drop owned by regress_work;
drop role regress_work;
create role regress_work;
select try('regress_work', 'count(*) from taskq.acquire(''mine'')');
select taskq.grant_queue('mine', 'regress_work', '{submit}');
select try('regress_work', 'count(*) from taskq.acquire(''mine'')'), try('regress_work', 'taskq.submit(''mine'') > 0');

select taskq.drop_queue('mine', true), taskq.drop_queue('hooks', true), taskq.drop_queue('hooks2', true);
select * from taskq.queue_grants;
drop function try, refuse, make_tasks, tries, call_of;
drop view calls;
drop table task_of;
drop role regress_submit, regress_work, regress_control, regress_member, regress_team, regress_nobody, regress_reader, regress_admin;
