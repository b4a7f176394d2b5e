-- Who may call what.  Everything belongs to taskq_owner; PUBLIC has nothing.


-- What a privilege on queues consists of.  The extension's roles have one on
-- every queue; a role named in taskq_private.queue_grant has it on that queue alone: it
-- gets the same rights here, and src/grant.c looks which queue it is.
create view taskq_private.entitlements as
	select privilege, right_
	from (values
		(array['submit', 'work', 'view', 'control'], 'usage on schema taskq'),
		(array['submit', 'work', 'view', 'control'], 'usage on type taskq.state'),
		(array['work'], 'usage on schema taskq_private'),
		(array['submit'], 'execute on routine taskq.submit(text, jsonb, text, int, timestamptz, interval, interval, interval, text, int, text, text)'),
		(array['submit'], 'execute on routine taskq.submit_many(text, jsonb[], text[], timestamptz[], int, interval, interval, interval, text, int, text, text)'),
		(array['submit'], 'execute on routine taskq.submit_http(text, jsonb, text, jsonb, bytea, text, text, int, timestamptz, interval, interval, interval, text, int, text, text, text, text)'),
		(array['submit', 'control'], 'execute on routine taskq.cancel(bigint, text)'),
		(array['submit', 'control'], 'execute on routine taskq.cancel_key(text, text)'),
		(array['work'], 'execute on routine taskq.acquire(text, int, interval, text)'),
		(array['work'], 'execute on routine taskq.wait_ready(text, interval, boolean)'),
		(array['work'], 'execute on routine taskq.heartbeat(bigint, bigint, interval)'),
		(array['work'], 'execute on routine taskq.finish(bigint, bigint, jsonb)'),
		(array['work'], 'execute on routine taskq.fail(bigint, bigint, text, jsonb, interval, boolean)'),
		(array['work'], 'execute on routine taskq.release(bigint, bigint, interval)'),
		(array['work'], 'execute on routine taskq.progress(bigint, bigint, real, text)'),
		(array['work'], 'execute on routine taskq.finish_many(bigint[], bigint[], jsonb[])'),
		(array['work'], 'execute on routine taskq.heartbeat_many(bigint[], bigint[], interval)'),
		(array['work'], 'execute on routine taskq.finish_and_acquire(text, bigint[], bigint[], jsonb[], int, interval, text)'),
		(array['work'], 'execute on routine taskq_private.armed()'),
		(array['work'], 'execute on routine taskq_private.push_claim(int, text[], text)'),
		(array['work'], 'execute on routine taskq_private.push_next_due(text[], text)'),
		(array['work'], 'execute on routine taskq_private.push_report(bigint, bigint, text, text, int, bytea, bytea, boolean, interval, text, interval, jsonb)'),
		(array['work'], 'execute on routine taskq_private.push_extend(bigint[], bigint[])'),
		(array['work'], 'execute on routine taskq_private.push_release(bigint[], bigint[], interval)'),
		(array['work'], 'execute on routine taskq_private.push_queues(text[])'),
		(array['submit', 'view'], 'execute on routine taskq.result(bigint)'),
		(array['submit', 'view'], 'execute on routine taskq.response(bigint)'),
		(array['submit', 'view'], 'execute on routine taskq.wait(bigint, interval, taskq.state, jsonb)'),
		(array['view'], 'execute on routine taskq.queue_stats(text)'),
		(array['view'], 'select on taskq.tasks'),
		(array['view'], 'select on taskq.attempts'),
		(array['view'], 'select on taskq.queues'),
		(array['view'], 'select on taskq.endpoints'),
		(array['view'], 'execute on routine taskq_private.endpoint_state(int)'),
		(array['view'], 'select on taskq.workers'),
		(array['view'], 'execute on routine taskq_private.visible(text)'),
		(array['control'], 'execute on routine taskq.pause_queue(text)'),
		(array['control'], 'execute on routine taskq.resume_queue(text)'),
		(array['control'], 'execute on routine taskq.purge_queue(text)'),
		(array['control'], 'execute on routine taskq.retry(bigint, timestamptz)')
	) as e (privileges, right_), unnest(e.privileges) as privilege;

-- Makes a role's rights those that its rows in queue_grant need.
create function taskq_private.entitle(role regrole) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	e record;
begin
	for e in
		select x.right_, bool_or(exists (
			select from taskq_private.queue_grant g where g.role = entitle.role and g.privilege = x.privilege)) as needed
		from taskq_private.entitlements x group by x.right_
	loop
		if e.needed then
			execute format('grant %s to %s', e.right_, role);
		else
			execute format('revoke %s from %s', e.right_, role);
		end if;
	end loop;
end
$$;

-- The queue, the role and the privileges that grant_queue() and revoke_queue() were given.
create function taskq_private.check_grant(queue text, role text, privileges text[], out queue_id int, out grantee regrole)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	wrong text;
begin
	perform taskq_private.check_name(queue, 'queue');
	queue_id := (select q.id from taskq_private.all_queues q where q.name = queue);
	grantee := (select r.oid from pg_roles r where r.rolname = role);
	if queue_id is null then
		raise exception using errcode = 'TQ001', message = format('queue "%s" does not exist', queue),
			detail = 'No queue of that name was created in this database.',
			hint = 'taskq.create_queue() creates it; taskq.queues shows all there are.';
	end if;
	wrong := case
		when role is null or grantee is null then format('role "%s" does not exist', role)
		when role ~ '^taskq_' then format('role "%s" has its rights on every queue', role)
		when coalesce(cardinality(privileges), 0) = 0 then 'privileges must not be empty'
		when not privileges <@ array['submit', 'work', 'view', 'control'] or array_position(privileges, null) is not null
			then 'privileges must be among submit, work, view and control' end;
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong, detail = 'No right was changed.',
			hint = 'See the comment of taskq.grant_queue().';
	end if;
	-- One at a time: they change the same catalog rows.
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
	insert into taskq_private.queue_grant (queue_id, role, privilege)
		select wanted.queue_id, wanted.grantee, p from unnest(privileges) as p on conflict do nothing;
	perform taskq_private.entitle(wanted.grantee);
	perform taskq_private.queues_changed();
end
$$;
comment on function taskq.grant_queue(text, text, text[]) is
'Gives a role rights on one queue, where membership in taskq_submitter, taskq_worker or taskq_reader would give them on every queue. It needs no other grant. privileges: submit (submit tasks, cancel them, read their results), work (acquire and end them), view (see the queue and its tasks in the views, read results), control (pause, resume, purge, cancel, retry). A task of a queue on which a role has no right does not exist for it. Errors: TQ001 unknown queue, TQ004 unknown role or privilege, or a role of the extension.';

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
comment on function taskq.revoke_queue(text, text, text[]) is
'Takes back what grant_queue() gave. What the role may do as a member of another role stays. A role can be dropped once nothing is granted to it any more. Errors: as grant_queue().';

-- For drop_queue().
create function taskq_private.drop_grants(queue_id int) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	grantees regrole[];
begin
	lock table taskq_private.queue_grant in share row exclusive mode;
	with gone as (delete from taskq_private.queue_grant g where g.queue_id = drop_grants.queue_id returning g.role)
		select array_agg(distinct gone.role) into grantees from gone;
	-- A role that was dropped with DROP OWNED leaves its rows.
	perform taskq_private.entitle(r.oid) from pg_roles r where r.oid = any (grantees::oid[]);
end
$$;

create view taskq.queue_grants as
	select q.name as queue, g.role, array_agg(g.privilege order by g.privilege) as privileges
	from taskq_private.queue_grant g join taskq_private.all_queues q on q.id = g.queue_id
	group by q.name, g.role;
comment on view taskq.queue_grants is
'One row for each role that grant_queue() gave rights on a queue. Members of the extension''s own roles have theirs on every queue and are not shown.';

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
			execute pg_catalog.format('revoke all on type %s from public', o.objid::pg_catalog.regclass);
		elsif o.relkind = 'S' then
			execute pg_catalog.format('alter sequence %s owner to taskq_owner', o.objid::pg_catalog.regclass);
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

-- The extension's own roles, on every queue.
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

grant execute on function
	taskq.backoff(text, int),
	taskq.verify_signature(text, jsonb, bytea, interval),
	taskq.status()
to taskq_submitter, taskq_worker, taskq_reader, taskq_admin;

grant select on taskq.retry_policies, taskq.queue_grants to taskq_reader, taskq_admin;

grant execute on function
	taskq.create_queue(text, text, text, interval, text, interval, interval, interval, boolean, text),
	taskq.alter_queue(text, text, text, interval, text, interval, interval, interval, boolean, text),
	taskq.drop_queue(text, boolean),
	taskq.create_endpoint(text, text, jsonb, interval, int, real, text, text, text),
	taskq.alter_endpoint(text, text, jsonb, interval, int, real, text),
	taskq.rotate_secret(text, text, interval),
	taskq.create_retry_policy(text, text, interval, real, interval, int, real, int, interval, interval[]),
	taskq.drop_retry_policy(text),
	taskq.grant_queue(text, text, text[]),
	taskq.revoke_queue(text, text, text[]),
	taskq.arm(),
	taskq.disarm(),
	taskq.start_executor(),
	taskq.stop_executor()
to taskq_admin;

grant usage on schema taskq_private to taskq_bgw;
grant execute on function
	taskq_private.armed(),
	taskq_private.push_claim(int, text[], text),
	taskq_private.push_next_due(text[], text),
	taskq_private.push_report(bigint, bigint, text, text, int, bytea, bytea, boolean, interval, text, interval, jsonb),
	taskq_private.push_extend(bigint[], bigint[]),
	taskq_private.push_release(bigint[], bigint[], interval),
	taskq_private.push_recover(),
	taskq_private.expire_leases(),
	taskq_private.notify(int[]),
	taskq_private.sweep(),
	taskq_private.make_history(),
	taskq_private.drop_history(),
	taskq_private.drop_keys()
to taskq_bgw;

-- The executor of this database starts when the installation commits.
select taskq_private.poke_launcher();
