-- Who may do what: every privilege of every role on every object, from the
-- catalogs, and a try of each from a session of that role.
\set VERBOSITY terse

-- The roles themselves.
select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit, rolbypassrls
from pg_roles where rolname like 'taskq\_%' order by rolname;

-- Objects that do not belong to taskq_owner: none.
select p.oid::regprocedure from pg_proc p where pronamespace = 'taskq'::regnamespace and proowner <> 'taskq_owner'::regrole;
select c.oid::regclass from pg_class c where relnamespace = 'taskq'::regnamespace and relowner <> 'taskq_owner'::regrole;
select nspowner::regrole from pg_namespace where nspname = 'taskq';

-- PUBLIC has nothing.
select 'function' as kind, p.oid::regprocedure::text as object from pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
	where pronamespace = 'taskq'::regnamespace and a.grantee = 0
union all select 'relation', c.oid::regclass::text from pg_class c, aclexplode(relacl) a
	where relnamespace = 'taskq'::regnamespace and a.grantee = 0
union all select 'type', t.oid::regtype::text from pg_type t, aclexplode(coalesce(typacl, acldefault('T', typowner))) a
	where typnamespace = 'taskq'::regnamespace and a.grantee = 0 and typtype = 'e'
union all select 'schema', 'taskq' from pg_namespace n, aclexplode(nspacl) a where nspname = 'taskq' and a.grantee = 0;

-- The matrix: a letter for each role that may call the function.
create function who(oid) returns text language sql as $$
	select string_agg(case when has_function_privilege(r, $1, 'execute') then l else '-' end, '' order by n)
	from (values (1, 'taskq_admin', 'A'), (2, 'taskq_submitter', 'S'), (3, 'taskq_worker', 'W'), (4, 'taskq_reader', 'R'),
		(5, 'taskq_bgw', 'B')) as roles (n, r, l)
$$;
select who(p.oid), proname as function from pg_proc p where pronamespace = 'taskq'::regnamespace order by proname collate "C";

-- Nobody but the owner touches a table; views are for readers.
select c.relname, a.grantee::regrole, string_agg(a.privilege_type, ', ' order by a.privilege_type)
from pg_class c, aclexplode(c.relacl) a
where c.relnamespace = 'taskq'::regnamespace and a.grantee <> c.relowner and c.relname !~ '^history_\d'
group by c.relname, a.grantee order by c.relname, a.grantee::regrole::text;

-- The rest: the schema, and types.
select 'schema' as kind, 'taskq' as object, a.grantee::regrole, a.privilege_type from pg_namespace n, aclexplode(n.nspacl) a
	where nspname = 'taskq' and a.grantee <> n.nspowner
union all select 'type', t.oid::regtype::text, a.grantee::regrole, a.privilege_type from pg_type t, aclexplode(typacl) a
	where typnamespace = 'taskq'::regnamespace and a.grantee <> t.typowner
order by 1, 2, 3, 4;

-- Definer functions are pinned, and say what they do if they are public.
select p.oid::regprocedure as unpinned from pg_proc p where pronamespace = 'taskq'::regnamespace and prosecdef
	and not coalesce('search_path=pg_catalog, pg_temp' = any(proconfig), false);
select p.oid::regprocedure as undocumented from pg_proc p where pronamespace = 'taskq'::regnamespace and proname !~ '^_'
	and obj_description(p.oid, 'pg_proc') is null
union all select c.oid::regclass::text::regprocedure from pg_class c where relnamespace = 'taskq'::regnamespace and relkind = 'v'
	and relname !~ '^_' and obj_description(c.oid, 'pg_class') is null;

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
		'(select count(*) from taskq.task)', 'taskq.drop_queue(''x'')', 'taskq.arm()', 'nextval(''taskq.task_id'')',
		'taskq._push_claim(1, null, null)', 'taskq._cancel_task(1, '''')', '(select count(*) > 0 from taskq.status())']) with ordinality as c (call, m)
order by w.n, c.m;

-- The executor's role can only do the executor's work.
select call, try('taskq_bgw', call) from unnest(array['taskq.submit(''default'')', '(select count(*) from taskq.task)', 'taskq.arm()',
	'taskq._armed() is null or true', 'pg_read_file(''PG_VERSION'')']) as call;

-- Names in public and a hostile search_path catch nothing.
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

drop function try, who;
drop role regress_submitter, regress_worker, regress_reader, regress_nobody;
