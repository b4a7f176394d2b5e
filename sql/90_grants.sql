-- Who may call what.  Everything belongs to taskq_owner; PUBLIC has nothing.  No
-- function is overloaded, so its name is enough to grant it.

-- What a privilege on queues consists of.  The extension's own roles have a
-- privilege on every queue.  A role named in taskq_private.queue_grant has it on
-- that queue alone: it gets the same rights here, and grant.c decides whether it
-- may use them on the queue at hand.
create view taskq_private.entitlements as
	select privilege, format(action, object) as right_
	from (values
		('{submit, work, view, control}'::text[], 'usage on schema %s', '{taskq}'::text[]),
		('{submit, work, view, control}', 'usage on type taskq.%s', '{state}'),
		('{submit, work, view, control}', 'execute on routine taskq.%s', '{_own_privileges}'),
		('{submit}', 'execute on routine taskq.%s', '{submit, submit_many, submit_http, submit_call, submit_template, publish}'),
		-- A function that is called tells of its own task.
		('{submit, work}', 'execute on routine taskq.%s', '{current_task, progress, emit}'),
		('{submit}', 'execute on routine taskq.%s', '{_created, _http_submit, _read_request}'),
		('{submit}', 'execute on routine taskq.%s', '{schedule, unschedule, pause_schedule, resume_schedule, run_schedule}'),
		('{submit, view}', 'execute on routine taskq.%s', '{next_runs}'),
		('{submit, view}', 'select on taskq.%s', '{schedules, schedule_runs}'),
		('{submit, control}', 'execute on routine taskq.%s', '{cancel, cancel_many, cancel_key, reschedule, add_follow_up,
			add_prerequisites, want}'),
		('{submit, view}', 'execute on routine taskq.%s', '{result, results, response, wait, wait_all, emitted, wait_emitted}'),
		('{work}', 'execute on routine taskq.%s', '{acquire, wait_ready, wait_ready_any, heartbeat, finish, fail, release,
			decline, serve, finish_many, heartbeat_many, finish_and_acquire, wait_wanted, _acquire_bytes}'),
		('{view}', 'execute on routine taskq.%s', '{queue_stats, metrics, group_stats, status, find_tasks, unserved, events_after,
			wait_events}'),
		('{view}', 'select on taskq.%s', '{tasks, dependencies, attempts, queues, endpoints, requests, workers, subscriptions, limits}'),
		('{control}', 'execute on routine taskq.%s', '{pause_queue, resume_queue, purge_queue, retry, redrive, subscribe, unsubscribe,
			set_limit, set_group_limit, drop_group_limit}'),
		-- The push protocol, for external workers.
		('{work}', 'usage on schema %s', '{taskq_private}'),
		('{work}', 'execute on routine taskq_private.%s', '{armed, push_queues, push_claim, push_next_due, push_report,
			push_report_many, push_extend, push_release}'),
		-- A view calls its functions with the rights of the role that reads it.
		('{view}', 'execute on routine taskq_private.%s', '{visible, endpoint_state, request_phase, shown_headers,
			shown_templates}'),
		('{submit}', 'execute on routine taskq_private.%s', '{visible, shown_headers, shown_templates}'),
		('{submit, view}', 'execute on routine taskq_private.%s', '{owns_schedule, template_queue}')
	) as e (privileges, action, objects), unnest(privileges) as privilege, unnest(objects) as object;

-- Whether a role itself was granted a right of entitlements, by whichever command.
create function taskq_private.holds(role text, right_ text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select exists (select from (select substring(right_ from '\S+$') as object) as r,
		aclexplode(case when right_ like '% on schema %' then (select n.nspacl from pg_namespace n where n.nspname = r.object)
			when right_ like '% on type %' then (select t.typacl from pg_type t where t.oid = to_regtype(r.object))
			when right_ like '% on routine %' then (select p.proacl from pg_proc p where p.oid = to_regproc(r.object))
			else (select c.relacl from pg_class c where c.oid = to_regclass(r.object)) end) as a
		where a.grantee = (select o.oid from pg_roles o where o.rolname = holds.role)
			and a.privilege_type = upper(split_part(right_, ' ', 1)))
$$;

-- Gives a role the rights that its rows of queue_grant need and that it does not hold, and revokes
-- those that were given so and are not needed any more.
create function taskq_private.entitle(role text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	e record;
begin
	-- Nothing is left of an earlier role of that name.
	delete from taskq_private.granted_right g where g.role = entitle.role and not taskq_private.holds(g.role, g.right_);
	for e in
		select x.right_, bool_or(exists (
			select from taskq_private.queue_grant g where g.role = entitle.role and g.privilege = x.privilege)) as needed
		from taskq_private.entitlements x group by x.right_
	loop
		if e.needed and not taskq_private.holds(role, e.right_) then
			execute format('grant %s to %I', e.right_, role);
			insert into taskq_private.granted_right values (role, e.right_);
		elsif not e.needed and exists (select from taskq_private.granted_right g where g.role = entitle.role and g.right_ = e.right_) then
			execute format('revoke %s from %I', e.right_, role);
			delete from taskq_private.granted_right g where g.role = entitle.role and g.right_ = e.right_;
		end if;
	end loop;
end
$$;

-- A dump restored where a role is missing fails to give the rights to all other roles as well,
-- because pg_restore gives the rights on an object to all roles at once.  So the rows give them.
create function taskq_private.entitle_restored() returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform taskq_private.entitle(r.rolname) from pg_roles r where r.rolname in (select n.role from new_rows n);
	return null;
end
$$;

create trigger queue_grant_entitles after insert on taskq_private.queue_grant
referencing new table as new_rows for each statement execute function taskq_private.entitle_restored();
alter table taskq_private.queue_grant enable always trigger queue_grant_entitles;

-- Checks the arguments of grant_queue() and revoke_queue().
create function taskq_private.check_grant(queue text, role text, privileges text[], out queue_id int, out grantee text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	wrong text;
begin
	perform taskq_private.check_name(queue, 'queue');
	queue_id := (select q.id from taskq_private.all_queues q where q.name = queue);
	grantee := (select r.rolname from pg_roles r where r.rolname = role);
	if queue_id is null then
		raise exception using errcode = 'TQ001', message = format('queue "%s" does not exist', queue),
			detail = 'No queue of that name was created in this database.',
			hint = 'taskq.create_queue() creates it; taskq.queues shows all queues.';
	end if;
	wrong := case
		when role is null or grantee is null then format('role "%s" does not exist', role)
		when role ~ '^taskq_' then format('role "%s" has its privileges on every queue', role)
		when coalesce(cardinality(privileges), 0) = 0 then 'privileges must not be empty'
		when not privileges <@ array['submit', 'work', 'view', 'control'] or array_position(privileges, null) is not null
			then 'privileges must be among submit, work, view and control' end;
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong, detail = 'No privilege was changed.',
			hint = 'See the comment of taskq.grant_queue().';
	end if;
	-- One session at a time, because all change the same rows of the catalog.
	lock table taskq_private.queue_grant in share row exclusive mode;
end
$$;

create function taskq.grant_queue(queue text, role text, privileges text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted record := taskq_private.check_grant(queue, role, privileges);
begin
	-- Rows that do not count, of a role of that name that was dropped, must not begin to.
	delete from taskq_private.queue_grant g
		where g.role = wanted.grantee and not exists (select from taskq_private.valid_grants v where v.role = g.role);
	insert into taskq_private.queue_grant (queue_id, role, privilege)
		select wanted.queue_id, wanted.grantee, p from unnest(privileges) as p on conflict do nothing;
	-- For rows that were there already: their rights may have been taken away by hand.
	perform taskq_private.entitle(wanted.grantee);
	perform taskq_private.queues_changed();
end
$$;
comment on function taskq.grant_queue is
	E'Gives a role privileges on one queue. Members of taskq_submitter, taskq_worker and taskq_reader have them on every '
	'queue. The role needs no other grant. A queue on which a role has no privilege does not exist for it, nor do its tasks.\n'
	'queue: its name.\n'
	'role: its name; not one of the roles of taskq. The privileges belong to this name: a role that is renamed needs them '
	'again, and a role that is dropped and created again has none.\n'
	'privileges: submit (submit and cancel tasks, read their results), work (acquire and end tasks), view (see the queue '
	'and its tasks in the views, read results), control (pause, resume, purge and limit the queue, cancel and retry '
	'tasks).\n'
	'Errors: TQ001 unknown queue; TQ004 unknown role or privilege, or a role of taskq.';

create function taskq.revoke_queue(queue text, role text, privileges text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted record := taskq_private.check_grant(queue, role, privileges);
begin
	delete from taskq_private.queue_grant g
		where g.queue_id = wanted.queue_id and g.role = wanted.grantee and g.privilege = any (privileges);
	perform taskq_private.entitle(wanted.grantee);
	perform taskq_private.queues_changed();
end
$$;
comment on function taskq.revoke_queue is
	E'Takes back privileges that grant_queue() gave. Privileges that the role has as a member of another role stay, and so '
	'do rights that it had from GRANT before grant_queue(). A role can be dropped once nothing is granted to it any more.\n'
	'queue, role, privileges: as in grant_queue().\n'
	'Errors: TQ001 unknown queue; TQ004 unknown role or privilege, or a role of taskq.';

-- For drop_queue(): forgets the privileges on a queue.
create function taskq_private.drop_grants(queue_id int) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	grantees text[];
begin
	lock table taskq_private.queue_grant in share row exclusive mode;
	with gone as (delete from taskq_private.queue_grant g where g.queue_id = drop_grants.queue_id returning g.role)
		select array_agg(distinct gone.role) into grantees from gone;
	-- Rows of a role that was dropped after DROP OWNED, or is missing here, were among them.
	perform taskq_private.entitle(r.rolname) from pg_roles r where r.rolname = any (grantees);
end
$$;

create view taskq.queue_grants as
	select q.name as queue, g.role, array_agg(g.privilege order by g.privilege) as privileges
	from taskq_private.valid_grants g join taskq_private.all_queues q on q.id = g.queue_id
	group by q.name, g.role;
comment on view taskq.queue_grants is
	'One row for each role that has privileges on a queue from grant_queue(). Members of the roles of taskq have theirs on '
	'every queue; they are not shown. Nor are privileges of roles that do not exist here, which a restore has brought.';

-- Gives the executor's role its rights, and taskq_owner the dated tables of history: now, and again
-- after an administrator took them away, or a dump was restored without owners.
create function taskq_private.grant_executor() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	leaf regclass;
begin
	for leaf in
		select c.oid from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = 'taskq_private.history'::regclass and c.relowner <> 'taskq_owner'::regrole
	loop
		execute format('alter table %s owner to taskq_owner', leaf);
	end loop;
	execute format('grant connect on database %I to taskq_bgw', current_database());
	grant usage on schema taskq_private to taskq_bgw;
	grant execute on routine
		taskq_private.armed, taskq_private.push_claim, taskq_private.push_next_due, taskq_private.push_report,
		taskq_private.push_report_many, taskq_private.push_extend, taskq_private.push_release,
		taskq_private.call_claim, taskq_private.call_next_due, taskq_private.call_extend, taskq_private.call_failed,
		taskq_private.call_told, taskq_private.notify,
		taskq_private.look_ahead_all, taskq_private.recover_leases,
		taskq_private.take_back_leases, taskq_private.expire_starts, taskq_private.empty_queues, taskq_private.sweep,
		taskq_private.look_at_waiting, taskq_private.make_history, taskq_private.drop_history, taskq_private.drop_keys,
		taskq_private.compute_times, taskq_private.fire_schedules, taskq_private.trim_events, taskq_private.drop_demand
	to taskq_bgw;
end
$$;

do $$
declare
	o record;
begin
	for o in
		select d.classid, d.objid, c.relkind, t.typtype
		from pg_catalog.pg_depend d
			join pg_catalog.pg_extension e on e.oid = d.refobjid and e.extname = 'taskq'
			left join pg_catalog.pg_class c on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = d.objid
			left join pg_catalog.pg_type t on d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and t.oid = d.objid
		where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
	loop
		if o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass then
			execute pg_catalog.format('alter routine %s owner to taskq_owner', o.objid::pg_catalog.regprocedure);
			execute pg_catalog.format('revoke all on routine %s from public', o.objid::pg_catalog.regprocedure);
		elsif o.relkind in ('r', 'p', 'v') then
			execute pg_catalog.format('alter table %s owner to taskq_owner', o.objid::pg_catalog.regclass);
			-- What pg_dump reads and locks.  It also locks the table of secrets, of which row security shows
			-- no row to this role.  The dated tables of the history are granted when they are made.
			if o.relkind <> 'v' then
				execute pg_catalog.format('grant select on %s to taskq_dump', o.objid::pg_catalog.regclass);
			end if;
		elsif o.relkind = 'S' then
			execute pg_catalog.format('alter sequence %s owner to taskq_owner', o.objid::pg_catalog.regclass);
			execute pg_catalog.format('grant select on sequence %s to taskq_dump', o.objid::pg_catalog.regclass);
		elsif o.typtype = 'e' then
			execute pg_catalog.format('alter type %s owner to taskq_owner', o.objid::pg_catalog.regtype);
			execute pg_catalog.format('revoke all on type %s from public', o.objid::pg_catalog.regtype);
		end if;
	end loop;
end
$$;

alter schema taskq owner to taskq_owner;
alter schema taskq_private owner to taskq_owner;

-- For the xmin holders in status().
grant pg_read_all_stats to taskq_owner;

-- What the roles of taskq may do on every queue.
do $$
declare
	e record;
begin
	for e in
		select distinct x.right_, g.grantee
		from taskq_private.entitlements x join (values
			('submit', 'taskq_submitter'), ('work', 'taskq_worker'), ('view', 'taskq_reader'),
			('submit', 'taskq_admin'), ('work', 'taskq_admin'), ('view', 'taskq_admin'), ('control', 'taskq_admin'))
			as g (privilege, grantee) using (privilege)
	loop
		execute pg_catalog.format('grant %s to %I', e.right_, e.grantee);
	end loop;
end
$$;

grant execute on routine taskq.backoff, taskq.verify_signature, taskq.status
to taskq_submitter, taskq_worker, taskq_reader, taskq_admin;

grant select on taskq.retry_policies, taskq.queue_grants to taskq_reader, taskq_admin;

grant execute on routine
	taskq.create_queue, taskq.alter_queue, taskq.drop_queue,
	taskq.create_endpoint, taskq.alter_endpoint, taskq.rotate_secret,
	taskq.create_retry_policy, taskq.drop_retry_policy,
	taskq.grant_queue, taskq.revoke_queue,
	taskq.arm, taskq.disarm, taskq.start_executor, taskq.stop_executor,
	taskq.apply_config, taskq.export_config,
	-- apply_config() calls them with the rights of its caller.
	taskq_private.carry_out, taskq_private.make_call, taskq_private.config_place,
	taskq_private.replace_retry_policy
to taskq_admin;

grant usage on schema taskq, taskq_private to taskq_dump;

-- The executor.
select taskq_private.grant_executor();

-- The executor of this database starts when the installation commits.
select taskq_private.poke_launcher();
