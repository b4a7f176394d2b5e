-- What the executor does now and then, beside delivering.

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
			execute format('create table taskq_private.%I (like taskq_private.history)', leaf);
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
