-- The history: where ended tasks are stored, and how long.
set timezone = 'UTC';
-- In one transaction, so that the executor's duties do not see these queues yet.
begin;
select taskq.create_queue('brief', keep_finished => '0', keep_dead => '0'),
	taskq.create_queue('days', keep_finished => '5 days', keep_dead => '31 days'),
	taskq.create_queue('years', keep_finished => '2 years', keep_dead => '32 days');
select taskq_private.bucket('2026-02-27 23:59:59+00', '1 day'), taskq_private.bucket('2026-02-28 00:00:00+00', '1 day'),
	taskq_private.bucket('2026-01-01 00:00:00+00', '31 days'), taskq_private.bucket('2026-01-01 00:00:00+00', '32 days');

create function run(queue text, fails boolean default false) returns bigint language plpgsql as $$
declare
	task record;
	id bigint := taskq.submit(queue, '{"x": 1}');
begin
	select * into task from taskq.acquire(queue);
	if fails then
		perform taskq.fail(task.id, task.token, 'x', retryable => false);
	else
		perform taskq.finish(task.id, task.token);
	end if;
	return id;
end
$$;

-- Without the dated tables the rows go into history_rest; keep 0 stores nothing.
select run('brief') as b, run('days') as d, run('years') as y \gset
select h.queue, h.tableoid::regclass::text like '%history_rest' as rest from
	(select tableoid, * from taskq_private.history union all select tableoid, * from taskq_private.history_rest) h
	where h.queue in ('brief', 'days', 'years') order by h.queue;
select count(*) from taskq.result(:b);
commit;

-- A duty makes the tables; then they are used.
select taskq_private.make_history(), taskq_private.drop_history();
select run('days') as d, run('years') as y, run('days', true) as dd, run('years', true) as yd \gset
select h.queue, h.state, h.tableoid::regclass::text = 'taskq_private.history_' || h.bucket as dated, length(h.bucket::text) as digits, h.payload
	from taskq_private.history h where h.queue in ('days', 'years') order by h.queue, h.state;
select count(*) filter (where relname ~ '^history_\d{8}$') > 0 as daily, count(*) filter (where relname ~ '^history_\d{6}$') > 0 as monthly,
	bool_and(relowner = 'taskq_owner'::regrole) as owned
	from pg_class where relnamespace = 'taskq_private'::regnamespace and relkind = 'r' and relname ~ '^history_\d';
select state from taskq.result(:d) union all select state from taskq.result(:yd);
select taskq.retry(:dd), taskq.cancel(:dd);

-- Expired tables are dropped; the others stay.
do $$
begin
	set local role taskq_owner;
	create table taskq_private.history_20200101 (like taskq_private.history including constraints);
	alter table taskq_private.history attach partition taskq_private.history_20200101 for values in (20200101);
	create table taskq_private.history_202001 (like taskq_private.history including constraints);
	alter table taskq_private.history attach partition taskq_private.history_202001 for values in (202001);
	insert into taskq_private.history_rest select (jsonb_populate_record(h, '{"bucket": 20200101, "id": 0}')).* from taskq_private.history_rest h limit 1;
end
$$;
select taskq_private.make_history(), taskq_private.drop_history();
select to_regclass('taskq_private.history_20200101'), to_regclass('taskq_private.history_202001');
select count(*) from taskq_private.history_rest where id = 0;
select count(*) > 0 as kept from taskq_private.history_rest;

-- One that cannot be dropped keeps no other from it, and is told once nothing else is left.
do $$
begin
	for day in 1 .. 3 loop
		execute format('create table taskq_private.history_2020020%s (like taskq_private.history including constraints)', day);
		execute format('alter table taskq_private.history attach partition taskq_private.history_2020020%s for values in (2020020%s)', day, day);
		if day <> 2 then
			execute format('alter table taskq_private.history_2020020%s owner to taskq_owner', day);
		end if;
	end loop;
end
$$;
select taskq_private.drop_history() as more_at_once;
select relname from pg_class where relname ~ '^history_202002';
\set VERBOSITY terse
select taskq_private.drop_history();
\set VERBOSITY default
select taskq_private.grant_executor();
select taskq_private.drop_history();
select relname from pg_class where relname ~ '^history_202002';
-- What was sent: method and url of each finished push task; the rest, and who submitted it, if the queue says so.
select taskq.arm();
select taskq.create_queue('plain', 'push', 'https://a.example/plain', executor => 'external'),
	taskq.create_queue('kept', 'push', 'https://a.example/kept', executor => 'external', keep_payload => true, keep_origin => true),
	taskq.create_queue('kept pull', keep_payload => true, keep_origin => true),
	taskq.create_endpoint('end', 'https://a.example/base/', executor => 'external'),
	taskq.alter_queue('end', keep_payload => true);
select queue, keep_payload, keep_origin from taskq.queues where queue in ('plain', 'kept', 'end') order by queue;
create role regress_owner;
select taskq.grant_queue('kept', 'regress_owner', '{submit}'), taskq.grant_queue('kept pull', 'regress_owner', '{submit}');
select taskq.submit('plain', '1', kind => 'a') > 0 as submitted;
select taskq.submit_http('https://b.example/x?y', '2', queue => 'plain', method => 'PUT', headers => '{"X-Event": "e"}', kind => 'b') > 0 as submitted;
set application_name = 'shop';
set role regress_owner;
select taskq.submit('kept', '3', kind => 'c') > 0 as submitted;
reset role;
select taskq.submit_http('https://b.example/', body => '\x00ff', queue => 'kept', kind => 'd',
	headers => '{"X-Event": "e", "AUTHORIZATION": "hidden", "x-api-key": "hidden", "Cookie": "hidden"}') > 0 as submitted;
select taskq.submit_http(endpoint => 'end', path => '/p?q', payload => '5', headers => '{"Authorization": "hidden"}', kind => 'e') > 0 as submitted;
select taskq.submit_http(endpoint => 'end', payload => '6', kind => 'f') > 0 as submitted;
set role regress_owner;
select taskq.submit('kept pull', '{"n": 7}', kind => 'g') > 0 as submitted;
reset role;
reset application_name;
select kind, state, method, url, payload, request_headers, request_body from taskq.tasks where queue in ('plain', 'kept', 'kept pull', 'end') order by kind;
select kind, replace(origin ->> 'role', current_user, 'ours') as role, origin ->> 'session_role' = current_user as for_another,
		origin ->> 'application' as application, (origin ->> 'pid')::int = pg_backend_pid() as process
	from taskq.tasks where queue in ('kept', 'kept pull', 'end') and kind <> 'f' order by kind;
select count(taskq_private.push_report(id, token, 'success', null, 200, null, null, false, '1 s', null, null, null))
	from taskq_private.push_claim(10, '{plain, kept, end}', 'w');
select taskq.finish(id, token) from taskq.acquire('kept pull');
select kind, state, method, url, payload, request_headers, request_body from taskq.tasks where queue in ('plain', 'kept', 'kept pull', 'end') order by kind;
select kind, replace(origin ->> 'role', current_user, 'ours') as role, origin ->> 'session_role' = current_user as for_another,
		origin ->> 'application' as application, (origin ->> 'pid')::int = pg_backend_pid() as process
	from taskq.tasks where queue in ('kept', 'kept pull', 'end') and kind <> 'f' order by kind;
select kind, headers from taskq_private.history where queue = 'kept' and kind = 'd';

-- A task that can be retried keeps all, also its origin; views do not show what may be secret.
select taskq.submit_http('https://b.example/', queue => 'kept', kind => 'h', headers => '{"Authorization": "sent again"}') as id \gset
select taskq.cancel(:id);
select method, url, request_headers, origin is not null as origin from taskq.tasks where id = :id;
select taskq.retry(:id);
select headers, origin is not null as origin from taskq_private.task where id = :id;
select taskq.drop_queue(q, true) from unnest('{plain, kept, "kept pull", end}'::text[]) as q;
drop role regress_owner;
select taskq.disarm();
select taskq.drop_queue('brief'), taskq.drop_queue('days'), taskq.drop_queue('years');
drop function run;
