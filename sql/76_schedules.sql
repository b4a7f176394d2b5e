-- Schedules: when tasks are submitted by the clock.
--
-- The executor fires them.  The submit of the task and the step to the next time are one
-- transaction, so a time is fired once or not at all, and no second executor could fire it
-- again: the row of the schedule is locked, and the key of the task has its time.
--
-- Functions that get a caller run as taskq_owner: see src/life/schedule.c.

create table taskq_private.schedule (
	name text collate "C" not null constraint schedule_pkey primary key,
	owner_name text not null,		-- owner_name, owner_oid: a role that is dropped and created again is another one
	owner_oid oid not null,
	task jsonb not null,			-- a template: see 54_templates.sql
	cron text,
	every interval,
	timezone text not null,
	starts timestamptz,
	ends timestamptz,
	overlap text not null constraint schedule_overlap check (overlap in ('skip', 'queue', 'replace', 'allow')),
	missed text not null constraint schedule_missed check (missed in ('skip', 'once', 'all')),
	missed_within interval not null,
	jitter interval not null,
	paused boolean not null,
	created_at timestamptz not null,
	counted_from timestamptz,		-- starts; with every, else when its times were declared
	next_run timestamptz,			-- NULL: there is none
	done_until timestamptz,			-- no time up to then is fired again, also after the clock was set back
	last_task bigint
);
create index schedule_next on taskq_private.schedule (next_run) where not paused;

-- What became of the last times of each schedule.
create table taskq_private.schedule_run (
	schedule text collate "C" not null,
	run_at timestamptz not null,
	fired_at timestamptz not null,
	outcome text not null constraint schedule_run_outcome check (outcome in ('submitted', 'skipped', 'missed', 'failed')),
	task_id bigint,
	error text
);
create index schedule_run_order on taskq_private.schedule_run (schedule, fired_at);
alter table taskq_private.schedule_run replica identity full;

select pg_catalog.pg_extension_config_dump('taskq_private.schedule', '');
select pg_catalog.pg_extension_config_dump('taskq_private.schedule_run', '');

-- At commit the executor looks when schedules fire next.
create function taskq_private.schedules_changed() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_schedules_changed';

-- ---- times: see src/life/times.c -----------------------------------------------------------

-- TQ004 if there is no such schedule.  Returns the name of the time zone.
create function taskq_private.check_times(cron text, every interval, timezone text, starts timestamptz, ends timestamptz)
returns text
language c stable as 'MODULE_PATHNAME', 'taskq_check_times';

-- The first time after an instant, or NULL.  Of these functions, starts is counted_from.
create function taskq_private.next_time(cron text, every interval, timezone text, starts timestamptz, ends timestamptz,
	after timestamptz) returns timestamptz
language c stable as 'MODULE_PATHNAME', 'taskq_next_time';

-- The last time after "after" that is not after "until", or NULL.
create function taskq_private.last_time(cron text, every interval, timezone text, starts timestamptz, ends timestamptz,
	after timestamptz, until timestamptz) returns timestamptz
language c stable as 'MODULE_PATHNAME', 'taskq_last_time';

-- The first ones of these times.
create function taskq_private.times(cron text, every interval, timezone text, starts timestamptz, ends timestamptz,
	after timestamptz, until timestamptz, most int) returns setof timestamptz
language c stable as 'MODULE_PATHNAME', 'taskq_times';

-- The same of a schedule.  They are in PL/pgSQL because a firing calls them often: a function in SQL is
-- planned again by each statement that calls it.
create function taskq_private.next_time_of(s taskq_private.schedule, after timestamptz) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq_private.next_time(s.cron, s.every, s.timezone, s.counted_from, s.ends, after);
end
$$;

create function taskq_private.last_time_of(s taskq_private.schedule, after timestamptz, until timestamptz) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq_private.last_time(s.cron, s.every, s.timezone, s.counted_from, s.ends, after, until);
end
$$;

create function taskq_private.times_of(s taskq_private.schedule, after timestamptz, until timestamptz, most int)
returns timestamptz[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return array(select taskq_private.times(s.cron, s.every, s.timezone, s.counted_from, s.ends, after, until, most));
end
$$;

-- The time as keys and remarks have it, with a fraction only if there is one.
create function taskq_private.time_text(at timestamptz) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	utc constant timestamp := at at time zone 'UTC';
begin
	return to_char(utc, case when date_trunc('second', utc) = utc
		then 'YYYY-MM-DD"T"HH24:MI:SS"Z"' else 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' end);
end
$$;

-- ---- roles -----------------------------------------------------------------------------------

-- Whether a role may change a schedule.
create function taskq_private.owns_schedule(owner_name text, owner_oid oid, caller oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select pg_has_role(caller, 'taskq_admin', 'usage') or exists (
		select from pg_roles r where r.oid = owner_oid and r.rolname = owner_name and pg_has_role(caller, r.oid, 'usage'))
$$;

-- Both run as the role: the first judges the template, the second submits it.
create function taskq_private.judge_as(task jsonb, role oid) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_judge_as';
create function taskq_private.submit_as(task jsonb, role oid) returns bigint
language c volatile strict as 'MODULE_PATHNAME', 'taskq_submit_as';

-- The queue to which a template leads.
create function taskq_private.template_queue(task jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(task ->> 'queue', task ->> 'endpoint', task ->> 'topic',
		case when task ? 'url' then 'http' when task ? 'call' then 'call' else 'default' end)
$$;

-- ---- declaring ---------------------------------------------------------------------------------

-- The template of one firing.  jitter: by how much the task may be due later than the time; it
-- is the same for each submit of the firing.
create function taskq_private.firing(schedule text, task jsonb, run_at timestamptz, jitter interval) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	key constant text := schedule || '@' || taskq_private.time_text(run_at);
	most constant bigint := extract(epoch from jitter) * 1000000;
	late bigint;
	wait interval;
begin
	task := task || jsonb_build_object('key', key);
	if most = 0 then
		return task;
	end if;
	late := (hashtextextended(key, 0) & 9223372036854775807) % (most + 1);
	wait := greatest(run_at + late * interval '1 microsecond' - now(), interval '0');
	task := task || jsonb_build_object('delay', (coalesce((task ->> 'delay')::interval, interval '0') + wait)::text);
	if task ? 'start_within' then
		task := task || jsonb_build_object('start_within', ((task ->> 'start_within')::interval + wait)::text);
	end if;
	return task;
end
$$;

-- What is wrong with the arguments of schedule() beside the times and the template, or NULL.
create function taskq_private.schedule_fault(s taskq_private.schedule) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when jsonb_typeof(s.task) is distinct from 'object' then 'task must be a JSON object'
		when s.task ? 'key' then 'the template of a schedule has no "key"'
		when s.task ? 'after' then 'the template of a schedule has no "after"'
		when s.ends <= s.starts then 'ends must be later than starts'
		when s.overlap not in ('skip', 'queue', 'replace', 'allow') then 'overlap must be skip, queue, replace or allow'
		when s.missed not in ('skip', 'once', 'all') then 'missed must be skip, once or all'
		when s.jitter > interval '1 hour' then 'jitter must be at most 1 hour'
		when s.jitter > interval '0' and s.task ? 'topic' then 'a schedule that publishes to a topic has no jitter'
		else coalesce(taskq_private.interval_fault(s.missed_within, 'missed_within', 'delay'),
			taskq_private.interval_fault(s.jitter, 'jitter', 'delay'))
	end
$$;

create function taskq_private.refuse_schedule(schedule text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	raise exception using errcode = 'TQ007', message = format('permission denied for schedule "%s"', schedule),
		detail = 'It belongs to another role.',
		hint = 'Only members of its owner and of taskq_admin may change it. Choose another name for another schedule.';
end
$$;

-- Checks the arguments of schedule(), and stores them.  A schedule that is declared again keeps its
-- owner, as with CREATE OR REPLACE, unless the owner does not exist any more.
create function taskq_private.declare_schedule(schedule text, task jsonb, cron text, every interval, timezone text,
	starts timestamptz, ends timestamptz, overlap text, missed text, missed_within interval, jitter interval, caller oid)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	s taskq_private.schedule%rowtype;
	old taskq_private.schedule%rowtype;
	now_ constant timestamptz := clock_timestamp();
	wrong text;
	known boolean;
begin
	perform taskq_private.check_name(schedule, 'schedule');
	s.name := schedule;
	s.task := task;
	s.cron := cron;
	s.every := every;
	s.starts := starts;
	s.ends := ends;
	s.overlap := coalesce(overlap, 'skip');
	s.missed := coalesce(missed, 'once');
	s.missed_within := coalesce(missed_within, interval '1 day');
	s.jitter := coalesce(jitter, interval '0');
	wrong := taskq_private.schedule_fault(s);
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong, detail = 'No schedule was declared or changed.',
			hint = 'See the comment of taskq.schedule().';
	end if;
	s.timezone := taskq_private.check_times(cron, every, timezone, starts, ends);
	loop
		select * into old from taskq_private.schedule t where t.name = schedule for update;
		known := found;
		if known and not taskq_private.owns_schedule(old.owner_name, old.owner_oid, caller) then
			perform taskq_private.refuse_schedule(schedule);
		end if;
		select r.rolname, r.oid into s.owner_name, s.owner_oid from pg_roles r
			where r.oid = caller or (r.oid = old.owner_oid and r.rolname = old.owner_name)
			order by r.oid = old.owner_oid desc nulls last limit 1;
		-- The longest that it can become.
		perform taskq_private.judge_as(taskq_private.firing(schedule, task, now_ + s.jitter, s.jitter), s.owner_oid);
		s.counted_from := coalesce(starts, case when every is not null then now_ end);
		if not known then
			s.paused := false;
			s.created_at := now_;
			s.next_run := taskq_private.next_time_of(s, now_);
			insert into taskq_private.schedule select s.* on conflict (name) do nothing;
			exit when found;
			continue;
		end if;
		s.next_run := case when (s.cron, s.every, s.timezone, s.starts, s.ends)
			is not distinct from (old.cron, old.every, old.timezone, old.starts, old.ends) then old.next_run end;
		if s.next_run is not null then
			s.counted_from := old.counted_from;
		else
			s.next_run := taskq_private.next_time_of(s, greatest(now_, old.done_until));
		end if;
		update taskq_private.schedule t
			set (owner_name, owner_oid, task, cron, every, timezone, starts, ends, overlap, missed, missed_within, jitter,
					counted_from, next_run)
				= (s.owner_name, s.owner_oid, s.task, s.cron, s.every, s.timezone, s.starts, s.ends, s.overlap, s.missed,
					s.missed_within, s.jitter, s.counted_from, s.next_run)
			where t.name = schedule;
		exit;
	end loop;
	perform taskq_private.arm_if_new();
	perform taskq_private.schedules_changed();
end
$$;

create function taskq.schedule(schedule text, task jsonb, cron text default null, every interval default null,
	timezone text default 'UTC', starts timestamptz default null, ends timestamptz default null, overlap text default 'skip',
	missed text default 'once', missed_within interval default '1 day', jitter interval default '0') returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_schedule';
comment on function taskq.schedule is
	E'Declares a schedule: a rule that says when a task is submitted. To declare the same again changes nothing; to declare '
	'another definition under the same name changes the schedule. A change of cron, every, timezone, starts or ends '
	'computes the next time from now.\n'
	'schedule: its name, 1 to 57 bytes.\n'
	'task: a template, see submit_template(). It must not have a key, nor after: the task gets the key NAME@TIME, such as '
	'nightly@2027-03-14T07:00:00Z.\n'
	'cron: minute, hour, day of month, month, day of week; or six fields with the second first; or @hourly, @daily, '
	'@midnight, @weekly, @monthly, @yearly, @annually. If neither field of days begins with *, a day that fits one of them '
	'fits.\n'
	'every: instead of cron, the interval between two times, 1 s to 10 years: days and months, or hours, minutes and '
	'seconds. The n-th time is n intervals after the first one.\n'
	'timezone: the full name of a time zone. A time of day that does not exist is taken when the clock jumps, once; of one '
	'that occurs twice, the first is taken. A cron expression whose hour begins with * means each instant that fits.\n'
	'starts, ends: no time is before starts, and none at or after ends. With every, starts is the first time; without it '
	'the first time is one interval from now.\n'
	'overlap: if the task of the last firing is still live, skip submits none, queue submits one that waits until that one has '
	'ended, replace cancels it and submits, allow submits.\n'
	'missed: of times that have passed while nothing could fire, skip makes up none, once the latest, all each of them.\n'
	'missed_within: times that are longer ago are not made up, 0 to 36525 days.\n'
	'jitter: the task is due up to so long after its time, 0 to 1 hour; always the same for the same time.\n'
	'The schedule belongs to the role that declared it first, with whose privileges the tasks are submitted.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument or template, or a cron expression that does not come true within 40 '
	'years; TQ005 queue of another mode; TQ007 no privilege submit on the queue, or the schedule is another role''s.';

-- Locks and returns a schedule, for a change by the caller.
create function taskq_private.own_schedule(schedule text, caller oid) returns taskq_private.schedule
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	s taskq_private.schedule%rowtype;
begin
	perform taskq_private.check_name(schedule, 'schedule');
	select * into s from taskq_private.schedule t where t.name = schedule for update;
	if not found then
		raise exception using errcode = 'TQ010', message = format('schedule "%s" does not exist', schedule),
			detail = 'No schedule of that name was declared in this database.',
			hint = 'taskq.schedule() declares it; taskq.schedules shows all schedules.';
	elsif not taskq_private.owns_schedule(s.owner_name, s.owner_oid, caller) then
		perform taskq_private.refuse_schedule(schedule);
	end if;
	return s;
end
$$;

create function taskq_private.drop_schedule(schedule text, caller oid) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
	perform taskq_private.own_schedule(drop_schedule.schedule, caller);
	delete from taskq_private.schedule t where t.name = drop_schedule.schedule;
	delete from taskq_private.schedule_run r where r.schedule = drop_schedule.schedule;
	return true;
exception when sqlstate 'TQ010' then
	return false;
end
$$;

create function taskq.unschedule(schedule text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_unschedule';
comment on function taskq.unschedule is
	E'Drops a schedule. Tasks that it has submitted stay.\n'
	'schedule: its name.\n'
	'Returns false if there is no such schedule.\n'
	'Errors: TQ004 bad argument; TQ007 the schedule is another role''s.';

-- A pause is not missed time: a resumed schedule goes on with its first time from now.
create function taskq_private.pause_schedule(schedule text, paused boolean, caller oid) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	s taskq_private.schedule%rowtype := taskq_private.own_schedule(schedule, caller);
begin
	if s.paused = paused then
		return false;
	end if;
	update taskq_private.schedule t set paused = pause_schedule.paused, next_run = case when pause_schedule.paused then t.next_run
			else taskq_private.next_time_of(s, greatest(clock_timestamp(), s.done_until)) end
		where t.name = schedule;
	perform taskq_private.schedules_changed();
	return true;
end
$$;

create function taskq.pause_schedule(schedule text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_pause_schedule';
comment on function taskq.pause_schedule is
	E'Pauses a schedule: it submits no task until resume_schedule(). The times that pass meanwhile are not made up.\n'
	'schedule: its name.\n'
	'Returns false if the schedule was already paused.\n'
	'Errors: TQ004 bad argument; TQ007 the schedule is another role''s; TQ010 unknown schedule.';

create function taskq.resume_schedule(schedule text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_resume_schedule';
comment on function taskq.resume_schedule is
	E'Ends the pause of a schedule. It goes on with its first time from now.\n'
	'schedule: its name.\n'
	'Returns false if the schedule was not paused.\n'
	'Errors: TQ004 bad argument; TQ007 the schedule is another role''s; TQ010 unknown schedule.';

create function taskq.next_runs(schedule text default null, cron text default null, every interval default null,
	timezone text default 'UTC', starts timestamptz default null, ends timestamptz default null,
	after timestamptz default null, runs int default 5) returns setof timestamptz
language c volatile parallel unsafe rows 5 as 'MODULE_PATHNAME', 'taskq_next_runs';
comment on function taskq.next_runs is
	E'The next times of a schedule, or of what could be one.\n'
	'schedule: the name of a schedule; the pause of one that is paused does not count.\n'
	'cron, every, timezone, starts, ends: instead of schedule, a definition, as in schedule().\n'
	'after: only later times. Default: now.\n'
	'runs: how many times, 1 to 1000.\n'
	'Errors: TQ004 bad argument; TQ010 unknown schedule.';

-- ---- firing ------------------------------------------------------------------------------------

-- Whether the task of the last firing is live.
create function taskq_private.is_live(id bigint) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	queue_id constant int := (select t.queue_id from taskq_private.task t where t.id = is_live.id);
begin
	return queue_id is not null and exists (select from taskq_private.all_queues q where q.id = queue_id);
end
$$;

-- Submits the task of one time, with the rights of the owner; after: it waits for that task.  Returns
-- its id; of a message for a topic NULL, because it has several tasks.
create function taskq_private.submit_firing(s taskq_private.schedule, run_at timestamptz, jitter interval, after bigint)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	id bigint;
begin
	if not exists (select from pg_roles r where r.oid = s.owner_oid and r.rolname = s.owner_name) then
		raise exception using errcode = 'TQ007',
			message = format('role "%s", which owns schedule "%s", does not exist any more', s.owner_name, s.name),
			detail = 'Its tasks are submitted with the rights of that role.',
			hint = 'A member of taskq_admin can take the schedule over with taskq.schedule(), or drop it with taskq.unschedule().';
	end if;
	id := taskq_private.submit_as(taskq_private.firing(s.name, s.task, run_at, jitter)
		|| case when after is null then '{}' else jsonb_build_object('after', jsonb_build_array(after), 'after_failure', 'run') end,
		s.owner_oid);
	return case when not s.task ? 'topic' then id end;
end
$$;

-- The same; it waits for the task of the last firing, unless that ends at this moment and is not kept.
create function taskq_private.queue_firing(s taskq_private.schedule, run_at timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq_private.submit_firing(s, run_at, s.jitter, s.last_task);
exception when sqlstate 'TQ004' then
	if taskq_private.is_live(s.last_task) then
		raise;
	end if;
	return taskq_private.submit_firing(s, run_at, s.jitter, null);
end
$$;

-- Fires one time: returns the outcome, and what schedule_run has of it.  NULL: another session is in
-- the way.
create function taskq_private.fire_time(s taskq_private.schedule, run_at timestamptz, out outcome text, out task_id bigint,
	out error text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	code text;
	message text;
	detail text;
	live constant boolean := s.overlap <> 'allow' and taskq_private.is_live(s.last_task);
begin
	if live and s.overlap = 'skip' then
		outcome := 'skipped';
		return;
	end if;
	begin
		if live and s.overlap = 'replace' then
			perform taskq.cancel(s.last_task, format('replaced by the next task of schedule "%s"', s.name));
		end if;
		task_id := case when live and s.overlap = 'queue' then taskq_private.queue_firing(s, run_at)
			else taskq_private.submit_firing(s, run_at, s.jitter, null) end;
		outcome := 'submitted';
	exception
		when lock_not_available or deadlock_detected then
			null;
		when others then
			get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail;
			-- What the server is short of, or what has broken, is no matter of one schedule.
			if code ~ '^(53|58)' then
				raise;
			end if;
			outcome := 'failed';
			error := rtrim(format('%s: %s. %s', code, message, detail), '. ');
	end;
end
$$;

create function taskq_private.log_run(schedule text, run_at timestamptz, outcome text, task_id bigint, error text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	insert into taskq_private.schedule_run values (schedule, run_at, clock_timestamp(), outcome, task_id, error);
end
$$;

-- Of the times of a schedule that have come: those that are fired, at most so many at a time, and until
-- when the others were missed.
create function taskq_private.due_times(s taskq_private.schedule, now_ timestamptz, out runs timestamptz[],
	out missed_until timestamptz, out most int)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	just constant interval := interval '1 microsecond';
	before constant timestamptz := s.next_run - just;
	before_within constant timestamptz := greatest(before, now_ - s.missed_within - just);
begin
	most := 1000;
	runs := taskq_private.times_of(s, before, now_, 2);
	if cardinality(runs) = 1 and runs[1] >= now_ - interval '1 minute' then
		return;
	end if;
	case s.missed
		when 'all' then
			runs := taskq_private.times_of(s, before_within, now_, most);
			missed_until := before_within;
		when 'once' then
			runs := array_remove(array[taskq_private.last_time_of(s, before_within, now_)], null);
			missed_until := coalesce(runs[1] - just, now_);
		else
			runs := '{}';
			missed_until := now_;
	end case;
end
$$;

-- Records the times of a schedule that were missed, as one row.
create function taskq_private.log_missed(s taskq_private.schedule, until timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	most constant int := 10000;
	missed constant timestamptz[] := taskq_private.times_of(s, s.next_run - interval '1 microsecond', until, most);
	count constant int := cardinality(missed);
	last timestamptz := missed[count];
begin
	if count = 0 then
		return;
	elsif count = most then
		last := taskq_private.last_time_of(s, last - interval '1 microsecond', until);
	end if;
	perform taskq_private.log_run(s.name, last, 'missed', null, format('missed %s%s, from %s to %s',
		case when count = most then 'at least ' end, case when count = 1 then '1 time' else count || ' times' end,
		taskq_private.time_text(missed[1]), taskq_private.time_text(last)));
end
$$;

-- Fires what is due of a schedule, whose row is locked, and steps to its next time.  false: another
-- session is in the way, and the schedule stays due.  After a minute that is a failure, so that no
-- session holds up other schedules for long.
create function taskq_private.fire_schedule(s taskq_private.schedule, deadline timestamptz) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	now_ constant timestamptz := clock_timestamp();
	due record;
	run_at timestamptz;
	fired record;
	reached timestamptz := now_;	-- until then there is nothing left to fire
	blocked boolean := false;
begin
	begin
		due := taskq_private.due_times(s, now_);
	exception when others then
		-- As if the zone were not in the data any more: compute_times() tries again.
		perform taskq_private.log_run(s.name, s.next_run, 'failed', null, format('%s: %s', sqlstate, sqlerrm));
		update taskq_private.schedule t set next_run = null where t.name = s.name;
		return true;
	end;
	if due.missed_until is not null then
		perform taskq_private.log_missed(s, due.missed_until);
	end if;
	foreach run_at in array due.runs loop
		fired := taskq_private.fire_time(s, run_at);
		if fired.outcome is null and run_at > now_ - interval '1 minute' then
			blocked := true;
			reached := run_at - interval '1 microsecond';
			exit;
		end if;
		perform taskq_private.log_run(s.name, run_at, coalesce(fired.outcome, 'failed'), fired.task_id,
			case when fired.outcome is null then '55P03: another session holds a lock, such as on the key of the task'
				else fired.error end);
		s.last_task := coalesce(fired.task_id, s.last_task);
		reached := case when run_at = due.runs[cardinality(due.runs)] and cardinality(due.runs) < due.most then now_ else run_at end;
		exit when clock_timestamp() >= deadline;
	end loop;
	update taskq_private.schedule t
		set (next_run, done_until, last_task) = (taskq_private.next_time_of(s, reached), reached, s.last_task)
		where t.name = s.name;
	delete from taskq_private.schedule_run r where r.schedule = s.name and r.fired_at < (
		select x.fired_at from taskq_private.schedule_run x where x.schedule = s.name order by x.fired_at desc offset 99 limit 1);
	return not blocked;
end
$$;

-- A duty: fires schedules for max_ms or a little longer, and at most 50, so that their subtransactions
-- fit into a snapshot.  It waits a moment for a lock, and then hardly at all for further ones.
create function taskq_private.fire_schedules(max_ms int) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '10ms'
-- Plans made while the tables are small, or not analysed, must not read all of them later.  Else a firing
-- would take longer to plan its statements than to run them.
set enable_seqscan = off
set enable_sort = off
set plan_cache_mode = force_generic_plan
as $$
declare
	began constant timestamptz := clock_timestamp();
	deadline constant timestamptz := began + max_ms * interval '1 ms';
	s taskq_private.schedule%rowtype;
	fired int := 0;
	blocked int := 0;
	next timestamptz := (select min(t.next_run) from taskq_private.schedule t where not t.paused);
begin
	if next is null then
		return null;
	elsif next > began then
		return ceil(extract(epoch from next - began) * 1000);
	elsif not coalesce(taskq_private.armed(), false) then
		return null;
	end if;
	-- As the calls of clients do, before any row is locked: see src/README.md.
	begin
		lock table taskq_private.queue in row share mode;
	exception when lock_not_available then
		return 100;
	end;
	for s in
		select * from taskq_private.schedule t where not t.paused and t.next_run <= began
		order by t.next_run limit 50 for update skip locked
	loop
		if taskq_private.fire_schedule(s, deadline) then
			fired := fired + 1;
		else
			blocked := blocked + 1;
			perform set_config('lock_timeout', '1ms', true);
		end if;
		exit when fired > 0 and clock_timestamp() >= deadline;
	end loop;
	if fired > 0 then
		return 0;
	end if;
	next := (select min(t.next_run) from taskq_private.schedule t where not t.paused and t.next_run > clock_timestamp());
	return least(case when blocked > 0 then 1000 else 100 end, ceil(extract(epoch from next - clock_timestamp()) * 1000));
end
$$;

-- A duty: computes the next times again, because the data of time zones may have changed.
create function taskq_private.compute_times() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	s taskq_private.schedule%rowtype;
	next timestamptz;
begin
	-- A restore that is not complete yet.
	if taskq_private.copied() then
		return null;
	end if;
	for s in
		select * from taskq_private.schedule t where not t.paused and (t.next_run > clock_timestamp() or t.next_run is null)
	loop
		begin
			next := taskq_private.next_time_of(s, greatest(clock_timestamp(), s.done_until));
		exception when others then
			next := null;
		end;
		continue when next is not distinct from s.next_run;
		-- Not if it is being changed: then its next time is computed as well.
		perform from taskq_private.schedule t
			where t.name = s.name and not t.paused and t.next_run is not distinct from s.next_run for update skip locked;
		if found then
			update taskq_private.schedule t set next_run = next where t.name = s.name;
		end if;
	end loop;
	perform taskq_private.schedules_changed();
	return null;
end
$$;

create function taskq_private.run_schedule(schedule text, caller oid) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	s taskq_private.schedule%rowtype := taskq_private.own_schedule(schedule, caller);
	run_at constant timestamptz := clock_timestamp();
	id constant bigint := taskq_private.submit_firing(s, run_at, interval '0', null);
begin
	perform taskq_private.log_run(s.name, run_at, 'submitted', id, null);
	update taskq_private.schedule t set last_task = coalesce(id, t.last_task) where t.name = s.name;
	return id;
end
$$;

create function taskq.run_schedule(schedule text) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_run_schedule';
comment on function taskq.run_schedule is
	E'Submits the task of a schedule now, also if it is paused or its last task is still live. The times to come stay.\n'
	'schedule: its name.\n'
	'Returns the id of the task; NULL for a template of a topic.\n'
	'Errors: TQ004 bad argument; TQ007 the schedule is another role''s; TQ010 unknown schedule; and those of '
	'submit_template(), for the role that owns the schedule.';

-- ---- seeing ------------------------------------------------------------------------------------

create view taskq.schedules with (security_barrier) as
	select s.name as schedule, s.owner_name as owner, s.cron, s.every, s.timezone, s.starts, s.ends, s.overlap, s.missed,
		s.missed_within, s.jitter, s.paused,
		taskq_private.shown_templates(s.task) || case when s.task ? 'headers'
			then jsonb_build_object('headers', taskq_private.shown_headers(s.task -> 'headers')) else '{}' end as task,
		case when not s.paused then s.next_run end as next_run,
		(select r.run_at from taskq_private.schedule_run r where r.schedule = s.name order by r.fired_at desc limit 1) as last_run,
		s.last_task,
		(select r.outcome from taskq_private.schedule_run r where r.schedule = s.name order by r.fired_at desc limit 1) as last_outcome,
		s.created_at
	from taskq_private.schedule s
	where taskq_private.visible(taskq_private.template_queue(s.task))
		or taskq_private.owns_schedule(s.owner_name, s.owner_oid, (select r.oid from pg_roles r where r.rolname = current_user));
comment on view taskq.schedules is
	E'One row for each schedule that the caller may change, or whose queue it may view.\n'
	'owner: the role with whose privileges the tasks are submitted.\n'
	'task: the template, without headers that may be secret, and without those of its follow-ups.\n'
	'next_run: when it fires next; NULL while it is paused, and if there is no such time.\n'
	'last_run, last_outcome: the newest row of schedule_runs. last_task: the last task that was submitted.\n'
	'The other columns are the arguments of schedule().';

create view taskq.schedule_runs with (security_barrier) as
	select r.schedule, r.run_at, r.fired_at, r.outcome, r.task_id, r.error
	from taskq_private.schedule_run r join taskq.schedules s on s.schedule = r.schedule;
comment on view taskq.schedule_runs is
	E'The last 100 times of each schedule that the caller can see.\n'
	'run_at: the time for which it fired; of times that were missed, the last one. fired_at: when this was decided.\n'
	'outcome: submitted; skipped (the last task was still live, see overlap); missed (one row for all times that were not made '
	'up, whose number is in error); failed (see error).';

-- For status(): the schedules that lead to these queues, or all; NULL in failing: none fails.
create function taskq_private.schedules_state(queue_ids int[], out number bigint, out paused bigint, out next_run timestamptz,
	out failing text, out failed_at timestamptz, out error text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select count(*), count(*) filter (where v.paused), min(v.next_run) filter (where not v.paused),
		(array_agg(v.name order by v.failed_at desc) filter (where v.error is not null))[1], max(v.failed_at),
		(array_agg(v.error order by v.failed_at desc) filter (where v.error is not null))[1]
	from (
		select s.name, s.paused, s.next_run, r.fired_at as failed_at, r.error
		from taskq_private.schedule s
			left join lateral (select x.* from taskq_private.schedule_run x where x.schedule = s.name order by x.fired_at desc limit 1) as r
				on r.outcome = 'failed'
		where queue_ids is null or taskq_private.template_queue(s.task) in (
			select q.name from taskq_private.all_queues q where q.id = any (queue_ids))
	) as v
$$;
