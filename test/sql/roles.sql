-- Privileges: those of every role on every object, from the
-- catalogs, and each one tried in a session of that role.
\set VERBOSITY terse

-- The roles.
select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit, rolbypassrls
from pg_roles where rolname like 'taskq\_%' order by rolname;

-- Schema taskq has the objects that users may use, and no others.
select case relkind when 'v' then 'view' else relkind::text end as kind, relname as name from pg_class where relnamespace = 'taskq'::regnamespace
union all select case prokind when 'f' then 'function' when 'p' then 'procedure' else prokind::text end, proname
	from pg_proc where pronamespace = 'taskq'::regnamespace
union all select 'type', typname from pg_type where typnamespace = 'taskq'::regnamespace and typtype <> 'c' and typelem = 0
union all select 'operator', oprname from pg_operator where oprnamespace = 'taskq'::regnamespace
order by 1, 2;
-- Objects in it that no role may use, or that have no comment: none.
select p.oid::regprocedure as unusable from pg_proc p
	where pronamespace = 'taskq'::regnamespace and not exists (select from aclexplode(proacl) a where a.grantee <> proowner)
union all select c.oid::regclass::text::regprocedure from pg_class c
	where relnamespace = 'taskq'::regnamespace and not exists (select from aclexplode(relacl) a where a.grantee <> relowner);
select p.oid::regprocedure as undocumented from pg_proc p
	where pronamespace = 'taskq'::regnamespace and obj_description(p.oid, 'pg_proc') is null
union all select c.oid::regclass::text::regprocedure from pg_class c
	where relnamespace = 'taskq'::regnamespace and obj_description(c.oid, 'pg_class') is null;

-- Objects that taskq_owner does not own: none.
create temp view ours as select oid as namespace from pg_namespace where nspname in ('taskq', 'taskq_private');
select p.oid::regprocedure from pg_proc p join ours on pronamespace = namespace where proowner <> 'taskq_owner'::regrole;
select c.oid::regclass from pg_class c join ours on relnamespace = namespace where relowner <> 'taskq_owner'::regrole;
select t.oid::regtype from pg_type t join ours on typnamespace = namespace where typowner <> 'taskq_owner'::regrole;
select nspname, nspowner::regrole from pg_namespace join ours on oid = namespace order by nspname;

-- PUBLIC has nothing.
select 'function' as kind, p.oid::regprocedure::text as object
	from pg_proc p join ours on pronamespace = namespace, aclexplode(coalesce(proacl, acldefault('f', proowner))) a where a.grantee = 0
union all select 'relation', c.oid::regclass::text from pg_class c join ours on relnamespace = namespace, aclexplode(relacl) a
	where a.grantee = 0
union all select 'type', t.oid::regtype::text
	from pg_type t join ours on typnamespace = namespace, aclexplode(coalesce(typacl, acldefault('T', typowner))) a
	where a.grantee = 0 and typtype = 'e'
union all select 'schema', nspname from pg_namespace n join ours on n.oid = namespace, aclexplode(nspacl) a where a.grantee = 0;

-- The matrix: a letter for each role that may call the function.  It has the private
-- functions that some role may call.
create function who(oid) returns text language sql as $$
	select string_agg(case when has_function_privilege(r, $1, 'execute') then l else '-' end, '' order by n)
	from (values (1, 'taskq_admin', 'A'), (2, 'taskq_submitter', 'S'), (3, 'taskq_worker', 'W'), (4, 'taskq_reader', 'R'),
		(5, 'taskq_bgw', 'B')) as roles (n, r, l)
$$;
select who(p.oid), proname as function from pg_proc p where pronamespace = 'taskq'::regnamespace order by proname collate "C";
select who(p.oid), proname as private_function from pg_proc p where pronamespace = 'taskq_private'::regnamespace and who(p.oid) <> '-----'
order by proname collate "C";

-- Only the owner has privileges on tables, and taskq_dump reads them; readers have them on views.
select nspname, c.relname, a.grantee::regrole, string_agg(a.privilege_type, ', ' order by a.privilege_type)
from pg_class c join ours on c.relnamespace = namespace join pg_namespace n on n.oid = namespace, aclexplode(c.relacl) a
where a.grantee <> c.relowner and c.relname !~ '^history_\d'
group by nspname, c.relname, a.grantee order by nspname, c.relname, a.grantee::regrole::text;

-- Schemas and types.
select 'schema' as kind, nspname as object, a.grantee::regrole, a.privilege_type
	from pg_namespace n join ours on n.oid = namespace, aclexplode(n.nspacl) a where a.grantee <> n.nspowner
union all select 'type', t.oid::regtype::text, a.grantee::regrole, a.privilege_type
	from pg_type t join ours on typnamespace = namespace, aclexplode(typacl) a where a.grantee <> t.typowner
order by 1, 2, 3, 4;

-- Definer functions pin their search_path.
select p.oid::regprocedure as unpinned from pg_proc p join ours on pronamespace = namespace where prosecdef
	and not coalesce('search_path=pg_catalog, pg_temp' = any(proconfig), false);

-- Sessions of a member of each role.
create role regress_submitter;
create role regress_worker;
create role regress_reader;
create role regress_nobody;
grant taskq_submitter to regress_submitter;
grant taskq_worker to regress_worker;
grant taskq_reader to regress_reader;
create function try(who text, call text) returns text language plpgsql as $$
declare
	result text;
begin
	execute format('set local role %I', who);
	execute 'select ' || call into result;
	reset role;
	return result;
exception when others then
	return format('%s: %s', sqlstate, sqlerrm);
end
$$;
select who, call, try(who, call) from
	unnest(array['regress_nobody', 'regress_submitter', 'regress_worker', 'regress_reader']) with ordinality as w (who, n),
	unnest(array['taskq.submit(''default'') > 0', '(select count(*) from taskq.acquire(''default''))', '(select count(*) >= 0 from taskq.tasks)',
		'(select count(*) from taskq_private.task)', 'taskq.drop_queue(''x'')', 'taskq.arm()', 'nextval(''taskq_private.task_id'')',
		'taskq_private.push_claim(1, null, null)', 'taskq_private.purge_task(1)', 'taskq_private.visible(''default'')',
		'(select count(*) > 0 from taskq.status())']) with ordinality as c (call, m)
order by w.n, c.m;

-- The executor's role can do only the executor's work.
select call, try('taskq_bgw', call) from unnest(array['taskq.submit(''default'')', '(select count(*) from taskq_private.task)', 'taskq.arm()',
	'taskq_private.armed() is null or true', 'taskq_private.visible(''default'')', 'pg_read_file(''PG_VERSION'')']) as call;

-- Objects in public and a hostile search_path have no effect.
create schema trap;
create function trap.clock_timestamp() returns timestamptz language plpgsql as $$ begin raise 'trapped'; end $$;
create function trap.trapped(text, text) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
create operator trap.= (function = trap.trapped, leftarg = text, rightarg = text);
create function trap.format(text, text) returns text language plpgsql as $$ begin raise 'trapped'; end $$;
create temp table task (id int);
create temp table queue (id int);
set search_path = trap, pg_catalog, pg_temp;
select taskq.create_queue('trap');
select taskq.submit('trap', retry => 'default') as id \gset
select id = :id as ours, token as token from taskq.acquire('trap') \gset
select taskq.fail(:id, :token, 'x', retry_in => '0 s');
select token from taskq.acquire('trap') \gset
select taskq.fail(:id, :token, 'x', retryable => false);
select state from taskq.result(:id);
select taskq.retry(:id);
select count(*) from taskq.status();
select taskq.drop_queue('trap', true);
reset search_path;
drop schema trap cascade;

drop view ours;
select taskq.finish(id, token) from taskq_private.lease;
drop function try, who;
drop role regress_submitter, regress_worker, regress_reader, regress_nobody;
