-- Events and values: what happens to tasks, and what they emit while they run.

-- ---- values ----------------------------------------------------------------------------------

create function taskq.emit(id bigint, token bigint, value jsonb, n int default null) returns int
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_emit';
comment on function taskq.emit is
	E'Emits a value of a running task. emitted() returns the values, also while the task runs and after it has ended.\n'
	'id, token: as acquire() returned them. Inside of a call, current_task() and NULL: the executor writes the value then, and it '
	'stays if the call fails or is rolled back.\n'
	'value: any JSON, up to taskq.max_payload, and at most 1000 levels deep.\n'
	'n: the number of the value, from 1. If the task has a value of that number, from an attempt before, that one stays. '
	'NULL: the next number.\n'
	'Returns the number of the value; NULL if the lease was lost, and nothing is stored then. A value is there once the '
	'transaction has committed. It is kept for taskq.keep_events.\n'
	'Errors: TQ004 bad argument; TQ006 value too large or too deep; TQ007 no privilege work on the queue; 25006 on a standby or in a '
	'read-only transaction.';

create function taskq.emitted(id bigint, after int default 0, max_values int default 1000)
returns table (n int, value jsonb, emitted_at timestamptz)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_emitted';
comment on function taskq.emitted is
	E'The values that a task has emitted, in the order of their numbers.\n'
	'id: the id of the task, live or ended.\n'
	'after: only values with a greater number.\n'
	'max_values: so many at most, 1 to 100000.\n'
	'No rows: there are none, they are no longer kept, or the caller has neither the privilege submit nor view on the queue.\n'
	'Errors: TQ004 bad argument.';

create procedure taskq.wait_emitted(id bigint, after int, timeout interval default '20 s', inout n int default null)
language c as 'MODULE_PATHNAME', 'taskq_wait_emitted';
comment on procedure taskq.wait_emitted is
	E'Waits until a task has emitted a value with a greater number than after. It holds no snapshot, lock or transaction while it '
	'waits, so CALL it by itself, outside a transaction block.\n'
	'id: the id of the task.\n'
	'after: the number of the last value that is known; 0: none.\n'
	'timeout: how long to wait at most, 0 to 1 day.\n'
	'n: returns the number of the newest value; NULL if the task has ended without another one, is not known, or the time is up.\n'
	'Errors: TQ004 bad argument; TQ009 in a transaction block, in a function, or after changes.';

create function taskq.want(id bigint, upto int) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_want';
comment on function taskq.want is
	E'Asks a live task for its values, for workers that compute them on demand, see wait_wanted(), and for calls that were '
	'submitted so, see on_demand of submit_call().\n'
	'id: the id of the task.\n'
	'upto: the values up to this number are wanted. It never falls.\n'
	'Returns false if there is no such live task, or the caller has neither the privilege submit nor control on its queue.\n'
	'Errors: TQ004 bad argument; 25006 on a standby or in a read-only transaction.';

create procedure taskq.wait_wanted(id bigint, token bigint, n int, timeout interval default '20 s', inout wanted boolean default null)
language c as 'MODULE_PATHNAME', 'taskq_wait_wanted';
comment on procedure taskq.wait_wanted is
	E'Waits until value n of a running task is wanted: see want(). For the worker of the task. It holds no snapshot, lock or '
	'transaction while it waits, so CALL it by itself, outside a transaction block, and heartbeat in between.\n'
	'id, token: as acquire() returned them.\n'
	'n: the number of the value.\n'
	'timeout: how long to wait at most, 0 to 1 day.\n'
	'wanted: returns true if the value is wanted, false if the time is up, and NULL if the lease was lost.\n'
	'Errors: TQ004 bad argument; TQ007 no privilege work on the queue; TQ009 in a transaction block, in a function, or after '
	'changes.';

-- ---- the stream --------------------------------------------------------------------------------

create function taskq.events_after(after text default null, max_events int default 100, queue text default null)
returns table (cursor text, at timestamptz, task_id bigint, queue text, event text, data jsonb)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_events_after';
comment on function taskq.events_after is
	E'The next events of the queues that the caller may view. Which changes of tasks are events is set for each queue: see events '
	'of create_queue().\n'
	'after: the cursor of the last event that was read. NULL: begins now, and returns a cursor only. start: begins with the oldest '
	'events that are kept.\n'
	'max_events: so many at most, 1 to 10000.\n'
	'queue: only the events of this queue. NULL: of all that the caller may view.\n'
	'Returns each event once, however late its transaction commits. Those of one task are in their order. A reader that keeps the '
	'cursor in the transaction in which it works on the events does that exactly once.\n'
	'If there is no event now, the only row has a new cursor and NULL in the other columns: keep that one.\n'
	'cursor: for the next call, after this event. event: the name of the change. data: submitted: kind, key, group_key; started: '
	'attempt, worker; progress: fraction, message; value: n, value; failed: attempt, class, error; lost, released: attempt; '
	'finished: attempt, and result, or truncated if it has more than 8 kB; dead, cancelled, expired: attempt, error.\n'
	'A task that fails for the last time has the events failed and dead.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege view on the queue; TQ009 if a standby has not replayed so '
	'far; TQ011 if events behind the cursor are no longer kept, or the cursor is of another database.';

create procedure taskq.wait_events(after text, timeout interval default '20 s', inout ready boolean default null)
language c as 'MODULE_PATHNAME', 'taskq_wait_events';
comment on procedure taskq.wait_events is
	E'Waits until events_after() has an event. It holds no snapshot, lock or transaction while it waits, so CALL it by itself, '
	'outside a transaction block. LISTEN taskq_events is another way.\n'
	'after: the cursor of the last event that was read. NULL: an event from now on.\n'
	'timeout: how long to wait at most, 0 to 1 day.\n'
	'ready: returns whether there is an event.\n'
	'Errors: as events_after(); TQ009 in a transaction block, in a function, or after changes.';

-- ---- upkeep ------------------------------------------------------------------------------------

-- Every session looks again which table is the current one, and what is gone.
create function taskq_private.events_changed() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_events_changed';

-- Empties a table of the ring, and remembers what was in it.  Fails at once if a transaction uses it,
-- or has just said what it wants of a task: meanwhile nobody can read this table.
-- What is gone is known of before, in the same transaction: see src/tables/event_rows.c.
create function taskq_private.empty_events(leaf int) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $$
begin
	execute format('lock table taskq_private.event_%s in access exclusive mode nowait', leaf);
	execute format('insert into taskq_private.demand as d (task_id, wanted, gone)
		select e.task_id, 0, max(e.n) from taskq_private.event_%s e
		where e.n is not null and exists (select from taskq_private.task t where t.id = e.task_id) group by e.task_id
		on conflict (task_id) do update set gone = greatest(d.gone, excluded.gone)', leaf);
	execute format('update taskq_private.event_state s set
		gone_xid = coalesce((select greatest(e.xid, s.gone_xid) from taskq_private.event_%1$s e where e.xid is not null
			order by e.xid desc limit 1), s.gone_xid),
		gone_number = coalesce((select greatest(e.number, s.gone_number) from taskq_private.event_%1$s e where e.xid is not null
			order by e.number desc limit 1), s.gone_number),
		gone_at = pg_current_snapshot()', leaf);
	execute format('truncate taskq_private.event_%s', leaf);
	delete from taskq_private.event_leaf l where l.leaf = empty_events.leaf;
	perform taskq_private.events_changed();
end
$$;

-- Begins the next table when the current one has an eighth of the events that are kept, or of their
-- time, and empties the oldest ones.  Returns the milliseconds until time calls for more.
create function taskq_private.trim_events() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	leaves constant int := 10;
	keep interval;
	most bigint;
	now_ constant timestamptz := clock_timestamp();
	newest bigint;
	own taskq_private.event_leaf%rowtype;
	full_ boolean;
	o record;
	due timestamptz;
begin
	-- The library defines the settings; this call loads it.
	if taskq_private.copied() then
		return null;
	end if;
	keep := current_setting('taskq.keep_events');
	most := current_setting('taskq.max_events');
	select case when s.is_called then s.last_value else 0 end into newest from taskq_private.event_number s;
	select l.* into own from taskq_private.event_state s join taskq_private.event_leaf l on l.leaf = s.current;
	full_ := newest > own.begun_behind and (newest - own.begun_behind >= most / 8 or now_ >= own.begun_at + keep / 8);
	for o in
		select l.leaf, n.begun_at as ended_at, newest - l.begun_behind as kept
		from taskq_private.event_leaf l, lateral (select x.begun_at from taskq_private.event_leaf x
			where x.begun_behind >= l.begun_behind and x.begun_at > l.begun_at order by x.begun_at limit 1) as n
		where l.leaf <> own.leaf order by l.begun_at
	loop
		if o.ended_at + keep > now_ and o.kept <= (case when full_ then most - most / 8 else most end) then
			due := o.ended_at + keep;
			exit;
		end if;
		begin
			perform taskq_private.empty_events(o.leaf);
		exception when lock_not_available then
			due := now_ + interval '1 s';
			exit;
		end;
	end loop;
	if full_ and not exists (select from taskq_private.event_leaf l where l.leaf = (own.leaf + 1) % leaves) then
		own := ((own.leaf + 1) % leaves, now_, newest);
		insert into taskq_private.event_leaf values (own.*);
		update taskq_private.event_state s set current = own.leaf;
		perform taskq_private.events_changed();
	elsif newest > own.begun_behind then
		due := least(due, greatest(own.begun_at + keep / 8, now_ + interval '1 s'));
	end if;
	return ceil(extract(epoch from due - now_) * 1000);
end
$$;

-- Forgets what is wanted of tasks that have ended.  It waits for no transaction that has just said so.
create function taskq_private.drop_demand() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	if not taskq_private.copied() then
		delete from taskq_private.demand where task_id in (select d.task_id from taskq_private.demand d
			where not exists (select from taskq_private.task t where t.id = d.task_id) for update of d skip locked);
	end if;
	return null;
end
$$;
