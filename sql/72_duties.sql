-- What the executor does beside delivering.

-- Notifies those who LISTEN for pull queues: see src/notify.c.
create function taskq_private.notify(queue_ids int[]) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_notify';

-- Looks for due tasks that came by a way which tells nobody of them: see
-- src/sweep.c.  One step; false: there is more to look at.
create function taskq_private.sweep() returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_sweep';

-- Ends the attempt of a lease that is still as it was; false: somebody has it in hand.
create function taskq_private.lose_lease(id bigint, token bigint, lease_until timestamptz) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_lose_lease';

-- A lease that cannot be ended is left alone for a minute.
create function taskq_private.put_off(id bigint) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update taskq_private.lease l set lease_us = coalesce(l.lease_us, extract(epoch from l.lease_until - l.started_at) * 1000000),
		lease_until = clock_timestamp() + interval '1 minute' where l.id = put_off.id;
$$;

-- As lose_lease(), for a lease that must not keep others from theirs.
create function taskq_private.try_lose_lease(id bigint, token bigint, lease_until timestamptz) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq_private.lose_lease(id, token, lease_until);
exception
when lock_not_available then
	raise;	-- a table is locked: all is tried again with the next poll
when others then
	raise log 'could not take back the lease of task %: SQLSTATE %', id, sqlstate;
	perform taskq_private.put_off(id);
	return false;
end
$$;

create function taskq_private.look_ahead(queue_id int) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_look_ahead';

-- At the executor's start: takes back what the one before held when it died,
-- and finds out when the next tasks of all queues are due.
create function taskq_private.push_recover() returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	lock table taskq_private.queue in access share mode;
	select taskq_private.look_ahead(q.id) from taskq_private.all_queues q;
	select count(*) filter (where taskq_private.try_lose_lease(l.id, l.token, l.lease_until))
	from (select l.* from taskq_private.lease l join taskq_private.all_queues q on q.id = l.queue_id
		where l.worker = 'executor' and q.mode = 'push' order by l.id) as l
$$;

-- What shared memory knows of leases: see src/expiry.c.  Ids of those that have
-- run out, NULL where it may not know all; when the next one does.
create function taskq_private.lapsed() returns bigint[]
language c volatile as 'MODULE_PATHNAME', 'taskq_lapsed';

create function taskq_private.next_lapse(since timestamptz) returns timestamptz
language c volatile strict as 'MODULE_PATHNAME', 'taskq_next_lapse';

create function taskq_private.fill_leases() returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_fill_leases';

create function taskq_private.lose_lapsed(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_lose_lapsed';

-- As try_lose_lease(), for a lease that is said to have run out.
create function taskq_private.try_lose_lapsed(id bigint) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return taskq_private.lose_lapsed(id);
exception
when lock_not_available then
	raise;
when others then
	raise log 'could not take back the lease of task %: SQLSTATE %', id, sqlstate;
	perform taskq_private.put_off(id);
	return false;
end
$$;

-- Ends what was not started in time, takes expired leases back; the
-- milliseconds until there is more of either, NULL if there is none.
create function taskq_private.expire_leases() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	lapsed bigint[];
	began timestamptz;
	next timestamptz;
begin
	-- As every call of the executor begins: see executor_call() in src/queue.c.
	lock table taskq_private.queue in access share mode;
	-- What runs out during the look is still to come.
	began := clock_timestamp();
	if not taskq_private.copied() then
		perform taskq_private.expire_starts();
	end if;
	lapsed := taskq_private.lapsed();
	if lapsed is null then
		perform taskq_private.try_lose_lease(l.id, l.token, l.lease_until)
			from (select * from taskq_private.lease where lease_until <= clock_timestamp() order by id) as l;
		perform taskq_private.fill_leases();
		next := (select min(l.lease_until) from taskq_private.lease l where l.lease_until > began);
	else
		perform taskq_private.try_lose_lapsed(x.id) from (select unnest(lapsed) order by 1) as x (id);
		next := taskq_private.next_lapse(began);
	end if;
	next := least(next, (select min(start_by) from taskq_private.start_limit where start_by > began));
	-- One that has run out and is still there is looked at again when something has been committed.
	return case when next is not null then
		greatest(0, ceil(1000 * extract(epoch from next - clock_timestamp()))) end::bigint;
end
$$;

-- Ends a pending task whose time to start has passed.
create function taskq_private.expire_task(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_expire_task';

-- Ends what was not started in time.  A task that somebody has in hand at this
-- moment is left to its next claim, which looks again.
create function taskq_private.expire_starts() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	due record;
	expired bigint := 0;
begin
	for due in
		select l.ctid, l.id from taskq_private.start_limit l where l.start_by <= clock_timestamp() order by l.id for update skip locked
	loop
		begin
			if taskq_private.expire_task(due.id) then
				expired := expired + 1;
			end if;
		exception when others then
			raise log 'could not expire task %: SQLSTATE %', due.id, sqlstate;
		end;
		delete from taskq_private.start_limit l where l.ctid = due.ctid;
	end loop;
	return expired;
end
$$;

-- The dated table of history for a task that ends at that time and is kept so long.
create function taskq_private.bucket(ended_at timestamptz, keep interval) returns int
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_bucket';

-- Makes the dated tables that tasks ending today and tomorrow need.
create function taskq_private.make_history() returns void
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
		return;
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
			null;	-- somebody else has just made it
		end;
	end loop;
end
$$;

-- Forgets keys whose time is up, but those that somebody is taking over.
create function taskq_private.drop_keys() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	delete from taskq_private.key where ctid = any (array(
		select ctid from taskq_private.key where taken_until <= clock_timestamp() limit 10000 for update skip locked))
$$;

-- Drops what has expired.  Dropping needs locks that readers hold.  Where one
-- cannot be had at once it is tried again the next time: whoever comes while
-- somebody waits for such a lock waits behind him.
create function taskq_private.drop_history() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
	today constant int := to_char(clock_timestamp() at time zone 'UTC', 'YYYYMMDD')::int;
	leaf regclass;
begin
	if taskq_private.copied() then
		return;
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
end
$$;
