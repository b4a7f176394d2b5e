-- What the executor does beside delivering: see src/process/duties.c.  A duty does a bounded
-- part of its work and returns the milliseconds until it is due again: 0 at once, NULL after
-- its period.

-- Notifies the sessions that LISTEN for pull queues: see src/process/notify.c.
create function taskq_private.notify(queue_ids int[]) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_notify';

-- Looks for due tasks of which no session has told: see src/hints/sweep.c.  One step; false:
-- there is more to look at.
create function taskq_private.sweep() returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_sweep';

-- These two do one pass: see src/life/expire.c.  max_ms: no longer than that; NULL: only a
-- number of rows limits the pass.

-- Ends attempts whose lease has run out.
create function taskq_private.take_back_leases(max_ms int default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'taskq_take_back_leases';

-- Ends tasks that were not started in time.
create function taskq_private.expire_starts(max_ms int default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'taskq_expire_starts';

-- To be called after leases were changed by hand: the next pass reads them anew.
create function taskq_private.leases_changed() returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_leases_changed';

-- Takes back some of the leases that a dead executor held; returns how many, 0 when none is left.
create function taskq_private.recover_leases() returns bigint
language c volatile as 'MODULE_PATHNAME', 'taskq_recover_leases';

-- Finds out when the next tasks of the queue, or of all queues, are due.
create function taskq_private.look_ahead(queue_id int) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_look_ahead';

create function taskq_private.look_ahead_all() returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select count(taskq_private.look_ahead(q.id)) from taskq_private.all_queues q
$$;

-- The dated table of history for a task that ends at that time and is kept so long.
create function taskq_private.bucket(ended_at timestamptz, keep interval) returns int
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_bucket';

-- Makes the dated tables that tasks ending today and tomorrow need.
create function taskq_private.make_history() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
	b int;
	leaf text;
begin
	-- A dump that is being restored brings its own.
	if taskq_private.copied() then
		return null;
	end if;
	for b in
		select distinct taskq_private.bucket(clock_timestamp() + ahead, keep)
		from taskq_private.all_queues q, unnest(array[q.keep_finished, q.keep_dead]) as keep,
			unnest(array[interval '0', interval '1 day']) as ahead
		where keep > interval '0'
	loop
		leaf := 'history_' || b;
		continue when to_regclass('taskq_private.' || leaf) is not null;
		begin
			execute format('create table taskq_private.%I (like taskq_private.history including constraints)', leaf);
			execute format('create index %I on taskq_private.%I (id)', leaf || '_id', leaf);
			execute format('alter table taskq_private.history attach partition taskq_private.%I for values in (%s)', leaf, b);
		exception when duplicate_table or unique_violation then
			null;	-- another session has just made it
		end;
	end loop;
	return null;
end
$$;

-- Forgets some keys whose time is up, except keys that another session is taking over.
create function taskq_private.drop_keys() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	most constant int := 1000;
	dropped int;
begin
	delete from taskq_private.key where ctid = any (array(
		select ctid from taskq_private.key where taken_until <= clock_timestamp() limit most for update skip locked));
	get diagnostics dropped = row_count;
	return case when dropped = most then 0 end;
end
$$;

-- Drops tables whose tasks are kept no longer.  That needs locks that conflict with readers.  A
-- table whose lock is not free is left for the next time, because sessions that come while a lock
-- is waited for wait behind it.
create function taskq_private.drop_history() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
	today constant int := to_char(clock_timestamp() at time zone 'UTC', 'YYYYMMDD')::int;
	leaf regclass;
begin
	if taskq_private.copied() then
		return null;
	end if;
	for leaf in
		select i.inhrelid::regclass
		from pg_inherits i
			join pg_class c on c.oid = i.inhrelid,
			cast(substring(c.relname from '^history_([0-9]+)$') as int) as bucket
		where i.inhparent = 'taskq_private.history'::regclass
			and bucket < case when bucket < 1000000 then today / 100 else today end
	loop
		begin
			lock table only taskq_private.history in access exclusive mode nowait;
			execute format('lock table %s in access exclusive mode nowait', leaf);
			execute format('drop table %s', leaf);
		exception when lock_not_available then
			null;
		end;
	end loop;
	delete from taskq_private.history_rest where bucket < case when bucket < 1000000 then today / 100 else today end;
	return null;
end
$$;
