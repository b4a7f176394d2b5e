-- Arming: requests are sent only from the database that was armed, so that a restored dump
-- or a copied database sends nothing by itself.

create function taskq_private.system_identifier() returns bigint
language c stable strict as 'MODULE_PATHNAME', 'taskq_system_identifier';

-- Whether requests are sent from this database; NULL: nothing was submitted here yet.
create function taskq_private.armed() returns boolean
language c stable parallel unsafe as 'MODULE_PATHNAME', 'taskq_armed';

-- Whether this database may be a copy that is not complete yet: it was never armed, or the
-- row of arm names another database.  A database after disarm() does not count as a copy.
create function taskq_private.copied() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select not coalesce(taskq_private.armed(), false) and not exists (select from taskq_private.arm a where a.database = 0)
$$;

create function taskq_private.arm_if_new() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	with armed as (
		insert into taskq_private.arm
		select taskq_private.system_identifier(), d.oid from pg_database d
		where d.datname = current_database() and not exists (select from taskq_private.arm)
		returning database)
	select taskq_private.make_history_soon(), taskq_private.poke_launcher() from armed
$$;

-- Tokens go on far above those of the original, and of leases that came from it: see token.c.
create function taskq_private.jump_tokens() returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_jump_tokens';

-- A subscriber has no dated tables for the history that its publisher sends, because their making and
-- dropping is not replicated.  Makes a table for all of it, or deletes from it what is no longer
-- kept.  Returns the number of deleted rows.
create function taskq_private.receive_history() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	today constant int := to_char(clock_timestamp() at time zone 'UTC', 'YYYYMMDD')::int;
	deleted bigint := 0;
begin
	if not taskq_private.copied() then
		raise exception using errcode = 'TQ009', message = 'this database makes its tables of history itself',
			detail = 'It is armed or was disarmed, so it does not receive the history of another database.',
			hint = 'Call taskq_private.receive_history() on a subscriber, before taskq.arm().';
	end if;
	if to_regclass('taskq_private.history_received') is null then
		create table taskq_private.history_received partition of taskq_private.history default;
		create index history_received_id on taskq_private.history_received (id);
		alter table taskq_private.history_received replica identity full;
		grant select on taskq_private.history_received to taskq_dump;
	else
		delete from taskq_private.history_received where bucket < case when bucket < 1000000 then today / 100 else today end;
		get diagnostics deleted = row_count;
	end if;
	return deleted;
end
$$;

-- Puts ids above those of the tables.  Logical replication does not bring the state of sequences.  If
-- they are behind, a part of what the publisher has given out may be missing: so they jump.
create function taskq_private.advance_ids() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	jump constant int := 1000000;
	last bigint;
begin
	last := greatest((select max(id) from taskq_private.task), (select max(id) from taskq_private.history),
		(select max(id) from taskq_private.history_rest), (select max(id) from taskq_private.key),
		(select max(task_id) from taskq_private.attempt));
	perform setval('taskq_private.task_id', last + jump) from taskq_private.task_id s where s.last_value < last;
	last := (select max(number) from taskq_private.caller);
	perform setval('taskq_private.caller_number', last + 1000) from taskq_private.caller_number s where s.last_value < last;
	last := greatest((select max(id) from taskq_private.queue), (select max(id) from taskq_private.dropped_queue));
	perform setval('taskq_private.queue_id', last + 1000) from taskq_private.queue_id s where s.last_value < last;
end
$$;

-- Makes a copy a database of its own.  A dump brings the state of sequences and the rights of
-- roles; logical replication does not.
create function taskq_private.take_over() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if to_regclass('taskq_private.history_received') is not null then
		insert into taskq_private.history_rest select * from taskq_private.history_received;
		drop table taskq_private.history_received;
	end if;
	perform taskq_private.advance_ids();
	perform taskq_private.jump_tokens();
	-- Schedules belong to the roles that have these names here.
	update taskq_private.schedule s set owner_oid = r.oid from pg_roles r where r.rolname = s.owner_name;
	-- The same for calls.
	update taskq_private.caller c set role_oid = r.oid from pg_roles r where r.rolname = c.role and r.oid <> c.role_oid;
	perform taskq_private.entitle(r.rolname) from pg_roles r where r.rolname in (select g.role from taskq_private.queue_grant g);
end
$$;

create function taskq.arm() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select taskq_private.take_over() where taskq_private.copied();
	delete from taskq_private.arm;
	insert into taskq_private.arm select taskq_private.system_identifier(), d.oid from pg_database d where d.datname = current_database();
	select taskq_private.queues_changed();
	select taskq_private.wake_executor();
	select taskq_private.poke_launcher();
	-- No commit has offered the tasks of a copy, and shared memory does not know its leases.
	select taskq_private.sweep_soon();
	select taskq_private.make_history_soon();
	select taskq_private.schedules_changed();
$$;
comment on function taskq.arm is
	'Lets requests be sent from this database. A new installation is armed by its first create_queue() or submit(). A '
	'restored dump, a copied database, a subscriber and a cluster after pg_upgrade send nothing until arm() is called. Pull '
	'queues work in any case. In a copy, arm() puts ids and tokens above those that came with it.';

create function taskq.disarm() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	delete from taskq_private.arm;
	insert into taskq_private.arm values (0, 0);
$$;
comment on function taskq.disarm is
	'Stops the sending of requests from this database, until arm() is called. Requests under way are completed.';
