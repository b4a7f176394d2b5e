-- Arming: requests are sent only from the database that was armed, so that a restored dump
-- or a copied database sends nothing by itself.

create function taskq_private.system_identifier() returns bigint
language c stable strict as 'MODULE_PATHNAME', 'taskq_system_identifier';

-- Whether requests are sent from this database; NULL: nothing was submitted here yet.
create function taskq_private.armed() returns boolean
language c stable parallel unsafe as 'MODULE_PATHNAME', 'taskq_armed';

-- Whether this may be a copy that is perhaps not complete yet: it was never armed, or the
-- row of arm names another database.  After disarm() it is not one.
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
	select taskq_private.make_history_soon() from armed
$$;

create function taskq.arm() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	delete from taskq_private.arm;
	insert into taskq_private.arm select taskq_private.system_identifier(), d.oid from pg_database d where d.datname = current_database();
	select taskq_private.queues_changed();
	select taskq_private.wake_executor();
	select taskq_private.poke_launcher();
	-- No commit has announced the tasks that a restore has brought.
	select taskq_private.sweep_soon();
	select taskq_private.make_history_soon();
$$;
comment on function taskq.arm is
	'Lets requests be sent from this database. A new installation is armed by its first create_queue() or submit(). A '
	'restored dump, a copied database and a cluster after pg_upgrade send nothing until arm() is called. Pull queues work '
	'in any case.';

create function taskq.disarm() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	delete from taskq_private.arm;
	insert into taskq_private.arm values (0, 0);
$$;
comment on function taskq.disarm is
	'Stops the sending of requests from this database, until arm() is called. Requests under way are completed.';
