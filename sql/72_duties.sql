-- The executor's duties besides deliveries: see src/process/duties.c.  A duty does a limited
-- part of its work and returns the milliseconds until it is due again.  0: there is more work;
-- NULL: after its period.

-- Notifies the sessions that LISTEN for pull queues: see src/process/notify.c.
create function taskq_private.notify(queue_ids int[]) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_notify';

-- One step of a sweep, which looks for tasks that no session has offered: see
-- src/hints/sweep.c.  false: the sweep is not complete.
create function taskq_private.sweep() returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_sweep';

-- Statements do not tell shared memory what they write: those of a restore, or by hand.  C code
-- writes without statements, so this trigger costs it nothing.  See src/tables/attached.c.
create function taskq_private.written() returns trigger
language c volatile as 'MODULE_PATHNAME', 'taskq_written';

create trigger taskq_written after insert or update or delete or truncate on taskq_private.task
for each statement execute function taskq_private.written();
create trigger taskq_written after insert or update or delete or truncate on taskq_private.lease
for each statement execute function taskq_private.written();
create trigger taskq_written after insert or update or delete or truncate on taskq_private.waiting
for each statement execute function taskq_private.written();
create trigger taskq_written after insert or update or delete or truncate on taskq_private.prerequisite
for each statement execute function taskq_private.written();
alter table taskq_private.waiting enable always trigger taskq_written;
alter table taskq_private.prerequisite enable always trigger taskq_written;
alter table taskq_private.task enable always trigger taskq_written;
alter table taskq_private.lease enable always trigger taskq_written;

-- The next five functions run one pass: see src/life/pass.c.  max_ms: how long the pass may
-- take; NULL: only a number of rows limits it.

-- Ends attempts whose lease has run out.
create function taskq_private.take_back_leases(max_ms int default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'taskq_take_back_leases';

-- Ends tasks that were not started in time.
create function taskq_private.expire_starts(max_ms int default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'taskq_expire_starts';

-- Looks at tasks that wait for others, and lets those become due that need not wait any more: see
-- src/life/look.c.
create function taskq_private.look_at_waiting(max_ms int default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'taskq_look_at_waiting';

-- Ends the tasks of queues that were dropped: see src/life/empty.c.
create function taskq_private.empty_queues(max_ms int default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'taskq_empty_queues';

-- Forgets keys whose time is over, except keys that another session is taking.
create function taskq_private.drop_keys(max_ms int default null) returns bigint
language c volatile as 'MODULE_PATHNAME', 'taskq_drop_keys';

-- To be called after leases were changed by hand: the next pass reads the whole table.
create function taskq_private.leases_changed() returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_leases_changed';

-- Takes back some of the leases of a dead executor; returns their number, 0 when none is left.
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

-- The number of the dated table of history for a task that ends at this time and is kept so long.
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
	-- A dump that is being restored contains its dated tables.
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
			-- With defaults, for columns that an administrator has added.
			execute format('create table taskq_private.%I (like taskq_private.history including constraints including defaults '
				'including generated)', leaf);
			execute format('create index %I on taskq_private.%I (id)', leaf || '_id', leaf);
			execute format('alter table taskq_private.%I replica identity full', leaf);
			execute format('grant select on taskq_private.%I to taskq_dump', leaf);
			execute format('alter table taskq_private.history attach partition taskq_private.%I for values in (%s)', leaf, b);
		exception when duplicate_table or unique_violation then
			null;	-- another session has made the table
		end;
	end loop;
	return null;
end
$$;

-- Drops tables whose tasks are no longer kept.  This needs locks that conflict with readers.  If
-- a lock is not free, the table is left for the next time: to wait for the lock would make new
-- readers wait as well.  On a standby the drop ends sessions that read the table, such as a dump, so
-- an administrator can set the hour for it.  A table that cannot be dropped keeps no other from
-- being dropped.  Its error undoes the call that raises it, so only a call that has dropped nothing
-- does.
create function taskq_private.drop_history() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
	now constant timestamp := clock_timestamp() at time zone 'UTC';
	today constant int := to_char(now, 'YYYYMMDD')::int;
	leaf regclass;
	dropped bigint := 0;
	locked boolean := false;
	deleted bigint;
	code text;
	message text;
begin
	-- The library defines the setting; this call loads it.
	if taskq_private.copied() then
		return null;
	end if;
	delete from taskq_private.history_rest where bucket < case when bucket < 1000000 then today / 100 else today end;
	get diagnostics deleted = row_count;
	if current_setting('taskq.history_drop_hour')::int not in (-1, extract(hour from now)) then
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
			dropped := dropped + 1;
		exception
			when lock_not_available then
				locked := true;
			when others then
				get stacked diagnostics code = returned_sqlstate, message = message_text;
		end;
	end loop;
	if code is null then
		-- The end of a transaction that only reads is no change after which the executor looks again.
		return case when locked then 60000 end;
	elsif dropped + deleted > 0 then
		return 0;
	end if;
	raise exception using errcode = code, message = message;
end
$$;
