-- Schedules: their arguments, times, firing and rights.  The executor is stopped, and the test fires
-- by itself.
\set SHOW_CONTEXT never
set timezone = 'UTC';
select taskq.stop_executor(), taskq.arm();
select taskq.create_queue('reports'), taskq.create_queue('hook', mode => 'push', url => 'https://hook.example/'),
	taskq.create_queue('bare', mode => 'push'), taskq.create_endpoint('crm', 'https://crm.example/');

-- ---- times ---------------------------------------------------------------------------------------

create function local_times(cron text, zone text, after timestamptz, runs int default 3) returns setof text
language sql as $$
	select to_char(t, 'YYYY-MM-DD HH24:MI:SS"Z"') || to_char(t at time zone zone, ', Dy DD Mon HH24:MI:SS')
	from taskq.next_runs(cron => cron, timezone => zone, after => after, runs => runs) t
$$;
-- The cases of docs/schedules.md; test/t/050_schedules.pl runs the table itself.
select * from local_times('30 2 * * *', 'America/New_York', '2027-03-13 08:00Z');
select * from local_times('0,30 2 * * *', 'America/New_York', '2027-03-13 08:00Z');
select * from local_times('30 1 * * *', 'America/New_York', '2027-11-06 12:00Z');
select * from local_times('*/30 * * * *', 'America/New_York', '2027-11-07 05:00Z', 4);
select * from local_times('0 */2 * * *', 'America/New_York', '2027-03-14 04:00Z', 4);
select * from local_times('0 0 * * *', 'Africa/Cairo', '2025-04-24 12:00Z');
select * from local_times('0 12 30 12 *', 'Pacific/Apia', '2011-12-01Z');
select * from local_times('0 0 29 2 *', 'UTC', '2025-01-01');
select * from local_times('0 9 L * *', 'UTC', '2027-05-01');
select * from local_times('0 9 15W * *', 'UTC', '2027-05-01');
select * from local_times('0 9 * * MON#5', 'UTC', '2027-05-01');
select * from local_times('0 0 13 * FRI', 'UTC', '2027-08-01', 5);
select * from local_times('*/20 59 23 31 12 *', 'Asia/Kathmandu', '2027-01-01', 4);
select * from local_times('@weekly', 'Australia/Lord_Howe', '2027-04-01');
select t at time zone 'Europe/Berlin' from taskq.next_runs(every => '1 month', starts => '2027-01-31 10:00 Europe/Berlin',
	timezone => 'Europe/Berlin', after => '2027-01-01') t;
select t at time zone 'Europe/Berlin' from taskq.next_runs(every => '1 day', starts => '2027-03-27 02:30 Europe/Berlin',
	timezone => 'Europe/Berlin', after => '2027-01-01', runs => 3) t;
select * from taskq.next_runs(every => '36 hours', starts => '2027-03-27 02:30Z', timezone => 'Europe/Berlin', after => '2027-03-30', runs => 2);
select * from taskq.next_runs(every => '10 min', after => '2027-01-01', ends => '2027-01-01 00:30');
select * from taskq.next_runs(cron => '@daily', starts => '2027-06-01', ends => '2027-06-03', after => '2027-01-01');
select count(*), max(t) from taskq.next_runs(cron => '* * * * *', after => '2027-01-01', runs => 1000) t;

-- ---- arguments -----------------------------------------------------------------------------------

select taskq.next_runs();
select taskq.next_runs(cron => '@daily', every => '1 day');
select taskq.next_runs(cron => '61 * * * *');
select taskq.next_runs(cron => '* * * * * * *');
select taskq.next_runs(cron => '0 0 30 2 *');
select taskq.next_runs(cron => '@daily', timezone => 'Europe/Nowhere');
select taskq.next_runs(cron => '@daily', timezone => 'UTC+3');
select taskq.next_runs(cron => '@daily', timezone => 'Etc/GMT+3', after => '2027-01-01', runs => 1);
select taskq.next_runs(every => '999 ms');
select taskq.next_runs(every => '11 years');
select taskq.next_runs(every => '1 day 1 s');
select taskq.next_runs(every => '-1 day');
select taskq.next_runs(cron => '@daily', starts => 'infinity');
select taskq.next_runs(cron => '@daily', ends => '10000-01-01');
select taskq.next_runs(cron => '@daily', after => '-infinity');
select taskq.next_runs(cron => '@daily', runs => 1001);
select taskq.next_runs('nightly');
select taskq.next_runs('nightly', cron => '@daily');

select taskq.schedule(null, '{"queue": "reports"}', cron => '@daily');
select taskq.schedule('', '{"queue": "reports"}', cron => '@daily');
select taskq.schedule('x', null, cron => '@daily');
select taskq.schedule('x', '[]', cron => '@daily');
select taskq.schedule('x', '{"queue": "reports"}');
select taskq.schedule('x', '{"queue": "reports", "key": "k"}', cron => '@daily');
select taskq.schedule('x', '{"queue": "reports", "colour": "red"}', cron => '@daily');
select taskq.schedule('x', '{"queue": "reports", "on_duplicate": "raise"}', cron => '@daily');
select taskq.schedule('x', '{"queue": "reports", "delay": "1 hour", "start_within": "1 min"}', cron => '@daily');
select taskq.schedule('x', '{"queue": "nope"}', cron => '@daily');
select taskq.schedule('x', '{"queue": "bare"}', cron => '@daily');
select taskq.schedule('x', '{"endpoint": "reports"}', cron => '@daily');
select taskq.schedule('x', '{"queue": "reports"}', cron => '@daily', starts => '2027-01-02', ends => '2027-01-02');
select taskq.schedule('x', '{"queue": "reports"}', cron => '@daily', overlap => 'never');
select taskq.schedule('x', '{"queue": "reports", "after": [1]}', cron => '@daily');
select taskq.schedule('x', '{"queue": "reports"}', cron => '@daily', missed => 'twice');
select taskq.schedule('x', '{"queue": "reports"}', cron => '@daily', missed_within => '-1 s');
select taskq.schedule('x', '{"queue": "reports"}', cron => '@daily', jitter => '61 min');
select taskq.schedule('x', jsonb_build_object('queue', 'reports', 'payload', repeat('x', 8150)), cron => '@daily');
select taskq.unschedule('x'), taskq.unschedule('y');
select taskq.pause_schedule('x');
select taskq.resume_schedule('x');
select taskq.run_schedule('x');
select taskq.run_schedule(null);

-- ---- declaring -----------------------------------------------------------------------------------

create view declared as
	select schedule, cron, every, timezone, overlap, missed, missed_within, jitter, paused, task, next_run, last_outcome
	from taskq.schedules;
select taskq.schedule('nightly', '{"queue": "reports", "payload": {"kind": "daily"}}', cron => '0 3 * * *', timezone => 'europe/BERLIN');
select schedule, cron, timezone, overlap, missed, missed_within, jitter, paused, task from declared;
select next_run = (select min(t) from taskq.next_runs('nightly') t) as next from declared;
-- Again: nothing changes.  Another template does not change the next time, other times do.
update taskq_private.schedule set next_run = '2100-01-01';
select taskq.schedule('nightly', '{"queue": "reports", "payload": {"kind": "daily"}}', cron => '0 3 * * *', timezone => 'Europe/Berlin');
select taskq.schedule('nightly', '{"queue": "reports"}', cron => '0 3 * * *', timezone => 'Europe/Berlin', overlap => 'allow');
select task, overlap, next_run from declared;
select taskq.schedule('nightly', '{"queue": "reports"}', cron => '0 3 * * *', timezone => 'Europe/Berlin', ends => '2101-01-01');
select overlap, next_run < '2100-01-01' as anew from declared;
-- A schedule that has ended, and one that does not begin soon.
select taskq.schedule('over', '{"queue": "reports"}', cron => '@daily', ends => '2020-01-01'),
	taskq.schedule('later', '{"queue": "reports"}', every => '1 week', starts => '2099-01-01');
select schedule, next_run from declared where schedule in ('over', 'later') order by 1;
select * from taskq.next_runs('later', runs => 2);
select taskq.unschedule('over'), taskq.unschedule('later');
-- A pause.
select taskq.pause_schedule('nightly'), taskq.pause_schedule('nightly') as again;
update taskq_private.schedule set next_run = '2020-01-01';
select paused, next_run from declared;
select taskq.schedule('nightly', '{"queue": "reports"}', cron => '0 4 * * *', timezone => 'Europe/Berlin', ends => '2101-01-01');
select taskq_private.fire_schedules(1000), count(*) from taskq.schedule_runs;
select taskq.resume_schedule('nightly'), taskq.resume_schedule('nightly') as again;
select paused, next_run > clock_timestamp() as later from declared;
-- The times that pass during a pause are not made up.
select taskq.pause_schedule('nightly');
update taskq_private.schedule set next_run = '2020-01-01';
select taskq.resume_schedule('nightly');
select next_run > clock_timestamp() as later from declared;
select taskq_private.fire_schedules(1000) > 0 as nothing_due, (select count(*) from taskq.schedule_runs) as runs;
-- Rollbacks.
begin;
select taskq.unschedule('nightly'), taskq.schedule('brief', '{"queue": "reports"}', every => '1 s');
rollback;
select schedule from declared;
-- Headers that may be secret are not shown.
select taskq.schedule('call', '{"endpoint": "crm", "path": "/changes", "headers": {"Authorization": "x", "Accept": "y"}, "on_dead": {"url": "http://192.0.2.1/", "headers": {"Authorization": "z"}}}', cron => '@hourly');
select task from declared where schedule = 'call';
select taskq.unschedule('call'), taskq.unschedule('nightly');

-- ---- firing --------------------------------------------------------------------------------------

-- Makes a schedule with times 30 s ago, 90 s ago, and so on; those later than "ago" are still to be fired.
create procedure let_pass(name text, ago interval, definition text default '') language plpgsql as $$
begin
	execute format('select taskq.schedule(%L, ''{"queue": "reports"}'', every => ''1 min'', starts => %L %s)',
		name, date_trunc('second', clock_timestamp()) - interval '100 days 30 s', definition);
	update taskq_private.schedule s set next_run = (
		select min(t) from taskq.next_runs(s.name, after => clock_timestamp() - ago) t) where s.name = let_pass.name;
end
$$;
-- One more time has come, a second later than the one before it.
create procedure let_pass_again() language sql as $$
	update taskq_private.schedule set counted_from = counted_from + interval '1 s', next_run = next_run - interval '1 min';
$$;
-- Fires until nothing is due.
create procedure fire() language plpgsql as $$
begin
	while taskq_private.fire_schedules(1000) = 0 loop end loop;
end
$$;
create view runs as
	select r.outcome, regexp_replace(r.error, ', from.*', '') as error, count(*), count(distinct task_id) as tasks
	from taskq.schedule_runs r group by 1, 2 order by 1, 2;

call let_pass('once', '1 min');
call fire();
select * from runs;
select next_run - last_run as step, next_run > clock_timestamp() as later, last_outcome from taskq.schedules;
select key = 'once@' || to_char(s.last_run at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as named, t.id = s.last_task as last
	from taskq.tasks t, taskq.schedules s where t.queue = 'reports';
-- Nothing is due any more; the task is live at the next time.
call fire();
call let_pass_again();
call fire();
select * from runs;
select taskq.purge_queue('reports'), taskq.unschedule('once');
-- Times that passed: each value of missed, and missed_within.
call let_pass('last of them', '10 min', ', missed => ''once''');
call fire();
select * from runs;
select taskq.purge_queue('reports'), taskq.unschedule('last of them');
call let_pass('none', '10 min', ', missed => ''skip''');
call fire();
select * from runs;
select taskq.purge_queue('reports'), taskq.unschedule('none');
call let_pass('all', '10 min', ', missed => ''all'', overlap => ''allow''');
call fire();
select * from runs;
select taskq.purge_queue('reports'), taskq.unschedule('all');
call let_pass('some', '10 min', ', missed => ''all'', overlap => ''allow'', missed_within => ''3 min''');
call fire();
select * from runs;
select taskq.purge_queue('reports'), taskq.unschedule('some');
call let_pass('old', '10 days', ', missed => ''once'', missed_within => ''10 s''');
call fire();
select outcome, error ~ '^missed at least 10000 times, from ' as error, error ~ taskq_private.time_text(run_at) as last from taskq.schedule_runs;
select taskq.unschedule('old'), taskq.purge_queue('reports');
-- Thousands of times; the last hundred are kept.
call let_pass('many', '1 day', ', missed => ''all'', overlap => ''allow''');
call fire();
select count(*), count(distinct key) from taskq.tasks where queue = 'reports' and state = 'pending';
select count(*) from taskq.schedule_runs;
select taskq.unschedule('many'), taskq.purge_queue('reports');
-- In steps.
call let_pass('steps', '10 min', ', missed => ''all'', overlap => ''allow''');
do $$
declare
	calls int := 1;
begin
	while taskq_private.fire_schedules(0) = 0 loop calls := calls + 1; end loop;
	raise notice '%', calls between 10 and 12;
end
$$;
select * from runs;
select taskq.unschedule('steps'), taskq.purge_queue('reports');

-- Overlap.
call let_pass('skip', '1 min', ', overlap => ''skip''');
call let_pass('replace', '1 min', ', overlap => ''replace''');
call let_pass('allow', '1 min', ', overlap => ''allow''');
call fire();
select count(*) from taskq.acquire('reports', 10);
call let_pass_again();
call fire();
select schedule, array_agg(outcome order by fired_at) as outcomes from taskq.schedule_runs group by 1 order by 1;
select split_part(t.key, '@', 1) as schedule, state, cancel_requested, error from taskq.tasks t where queue = 'reports' and state in ('running', 'pending')
	order by 1, id;
select count(taskq.release(l.id, l.token)) from taskq_private.lease l;
select taskq.purge_queue('reports');
-- Nothing is live any more.
call let_pass_again();
call fire();
select schedule, last_outcome from taskq.schedules order by 1;
select taskq.purge_queue('reports'), count(taskq.unschedule(schedule)) from taskq.schedules;
-- queue: one runs at a time, in the order of their times, however each ends.
call let_pass('queue', '1 min', ', overlap => ''queue''');
call fire();
call let_pass_again();
call fire();
call let_pass_again();
call fire();
create function queued() returns table (state taskq.state, waits boolean, behind bigint) language sql as $$
	select t.state, t.run_at is null, (select rank from (select id, rank() over (order by id) from taskq.tasks where queue = 'reports' and key like 'queue@%') r where r.id = d.task_id)
	from taskq.tasks t left join taskq.dependencies d on d.dependent = t.id where t.queue = 'reports' and t.key like 'queue@%' order by t.id
$$;
select * from queued();
select count(taskq.cancel(id)) from taskq.tasks where queue = 'reports' and key like 'queue@%' and run_at is not null and state = 'pending';
do $$ begin perform taskq_private.look_at_waiting(); end $$;
select * from queued();
select count(taskq.finish(id, token)) from taskq.acquire('reports', 10);
do $$ begin perform taskq_private.look_at_waiting(); end $$;
select * from queued();
select outcome from taskq.schedule_runs where schedule = 'queue';
drop function queued();
-- Nothing is live: it does not wait.
select taskq.purge_queue('reports');
call let_pass_again();
call fire();
select t.run_at is null as waits from taskq.tasks t where queue = 'reports' and state = 'pending';
select taskq.purge_queue('reports'), count(taskq.unschedule(schedule)) from taskq.schedules;

-- Run now: whatever overlap says, and also while it is paused.
select taskq.schedule('manual', '{"queue": "reports", "kind": "k"}', cron => '@yearly');
select taskq.pause_schedule('manual');
select taskq.run_schedule('manual') as first \gset
select taskq.run_schedule('manual') as second \gset
select id in (:first, :second) as known, kind, key ~ '^manual@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$' as key from taskq.tasks where queue = 'reports' and state = 'pending';
select outcome, task_id in (:first, :second) as known from taskq.schedule_runs;
select last_task = :second as last, last_outcome, next_run from taskq.schedules;
select taskq.unschedule('manual'), taskq.purge_queue('reports');

-- Jitter: the same for the same time, and a start limit counts from then.
select taskq.schedule('spread', '{"queue": "reports", "start_within": "1 min"}', every => '1 min', starts => date_trunc('second', now()) - interval '1 day 30 s',
	missed => 'all', overlap => 'allow', jitter => '1 hour');
update taskq_private.schedule set next_run = next_run - interval '20 min';
call fire();
select count(*) as tasks, count(distinct run_at) > 1 as spread, min(run_at) >= now() - interval '1 min' as none_early,
	max(run_at - split_part(key, '@', 2)::timestamptz) <= interval '1 hour 1 min' as none_late
	from taskq.tasks where queue = 'reports' and state = 'pending';
select taskq_private.firing('n', '{}', '2100-01-01', '1 hour') ->> 'key' as key,
	now() + (taskq_private.firing('n', '{}', '2100-01-01', '1 hour') ->> 'delay')::interval as due;
select taskq.unschedule('spread'), taskq.purge_queue('reports');

-- The end.
call let_pass('last', '1 min', ', ends => now() + interval ''15 s''');
call fire();
select last_outcome, next_run from taskq.schedules;
select taskq.unschedule('last'), taskq.purge_queue('reports');

-- A schedule whose firing fails keeps no other from firing.
select taskq.create_queue('short_lived');
call let_pass('a good one', '1 min');
call let_pass('z good one', '1 min');
call let_pass('bad zone', '1 min');
call let_pass('gone', '1 min');
update taskq_private.schedule set task = '{"queue": "short_lived"}' where name = 'gone';
select taskq.drop_queue('short_lived');
update taskq_private.schedule set timezone = 'Europe/Nowhere' where name = 'bad zone';
call fire();
select schedule, last_outcome, next_run is not null as goes_on from taskq.schedules order by 1;
select schedule, error from taskq.schedule_runs where outcome = 'failed' order by 1;
select severity, regexp_replace(detail, ' at .*?: ', ' at …: ') as detail, hint from taskq.status() where "check" = 'schedules';
-- The zone is back.
update taskq_private.schedule set timezone = 'Europe/Berlin' where name = 'bad zone';
select taskq_private.compute_times();
select next_run > now() as goes_on from taskq.schedules where schedule = 'bad zone';
select taskq.purge_queue('reports'), count(taskq.unschedule(schedule)) from taskq.schedules;

-- A database that is not armed fires nothing.
call let_pass('waits', '1 min');
select taskq.disarm();
select taskq_private.fire_schedules(1000);
select count(*) from taskq.schedule_runs;
select severity, detail, hint from taskq.status() where "check" = 'schedules';
select taskq.arm();
call fire();
select outcome from taskq.schedule_runs;
select taskq.purge_queue('reports'), taskq.unschedule('waits');
select severity, detail, hint from taskq.status() where "check" = 'schedules';

-- New time zone data: the next times are computed again, but none that was seen to.
select taskq.schedule('daily', '{"queue": "reports"}', cron => '@daily'), taskq.schedule('ahead', '{"queue": "reports"}', cron => '@daily');
update taskq_private.schedule set next_run = next_run + interval '3 hours', done_until = case name when 'ahead' then '2100-01-01'::timestamptz end;
select taskq_private.compute_times();
select schedule, case when next_run < '2100-01-01' then next_run::time::text else next_run::text end as next_run from taskq.schedules order by 1;
select count(taskq.unschedule(schedule)) from taskq.schedules;

-- ---- rights --------------------------------------------------------------------------------------

create role sched_app;
create role sched_other;
create role sched_member in role sched_app;
create role sched_viewer;
select taskq.grant_queue('reports', r, '{submit}') from unnest(array['sched_app', 'sched_other', 'sched_member']) r;
select taskq.grant_queue('reports', 'sched_viewer', '{view}');
set role sched_app;
select taskq.schedule('theirs', '{"queue": "reports"}', cron => '@daily');
select taskq.schedule('no right', '{"queue": "hook"}', cron => '@daily');
select schedule, owner from taskq.schedules;
set role sched_other;
select taskq.schedule('theirs', '{"queue": "reports"}', cron => '@hourly');
select taskq.unschedule('theirs');
select taskq.pause_schedule('theirs');
select taskq.resume_schedule('theirs');
select taskq.run_schedule('theirs');
select taskq.next_runs('theirs');
select count(*) from taskq.schedules;
select count(*) from taskq.schedule_runs;
select taskq_private.submit_as('{"queue": "hook"}', 10);
select taskq_private.fire_schedules(5);
set role sched_viewer;
select schedule, owner from taskq.schedules;
select count(*) from taskq.next_runs('theirs');
select taskq.unschedule('theirs');
-- A member may change it; it stays the owner's.
set role sched_member;
select taskq.schedule('theirs', '{"queue": "reports", "kind": "k"}', cron => '@hourly');
select taskq.pause_schedule('theirs'), taskq.resume_schedule('theirs');
reset role;
select owner, cron from taskq.schedules;
-- The right on the queue is taken away.
select taskq.revoke_queue('reports', 'sched_app', '{submit}');
select taskq.schedule('theirs', '{"queue": "reports"}', cron => '@hourly');
update taskq_private.schedule set next_run = date_trunc('minute', now()), cron = '* * * * *';
call fire();
select outcome, error from taskq.schedule_runs order by fired_at limit 1;
select taskq.grant_queue('reports', 'sched_app', '{submit}');
-- The owner is renamed, and another role gets its name.
alter role sched_app rename to sched_former;
create role sched_app;
select taskq.grant_queue('reports', 'sched_app', '{submit}');
update taskq_private.schedule set next_run = date_trunc('minute', now());
call fire();
select outcome, error from taskq.schedule_runs order by fired_at desc limit 1;
set role sched_app;
select taskq.unschedule('theirs');
reset role;
-- An administrator takes it over.
select taskq.schedule('theirs', '{"queue": "reports"}', cron => '@hourly');
select owner = current_user as taken_over from taskq.schedules;
select taskq.unschedule('theirs');
select taskq.revoke_queue('reports', r, '{submit, view}') from unnest(array['sched_app', 'sched_other', 'sched_member', 'sched_viewer']) r;
drop owned by sched_former;
drop role sched_app, sched_former, sched_other, sched_member, sched_viewer;
select count(taskq.drop_queue(queue, true)) from taskq.queues where queue not in ('default', 'http', 'call');
select taskq.start_executor() is not null as started;
