-- Arming: a queue sends only in the database it was armed in, so that a dump
-- restored elsewhere, or a copied database, fires nothing by itself.

create function taskq_private.system_identifier() returns bigint
language c stable strict as 'MODULE_PATHNAME', 'taskq_system_identifier';

-- NULL: nothing was submitted here yet.
create function taskq_private.armed() returns boolean
language c stable parallel unsafe as 'MODULE_PATHNAME', 'taskq_armed';

-- Whether this may be a copy, perhaps not complete yet: nobody has armed it, or
-- somebody elsewhere.  One that was only disarmed is none.
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
	insert into taskq_private.arm
	select taskq_private.system_identifier(), d.oid from pg_database d
	where d.datname = current_database() and not exists (select from taskq_private.arm)
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
	-- Nobody has told of the rows that a restore brought.
	select taskq_private.sweep_soon();
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
