-- Roles and schemas.  Roles belong to the cluster: the first database that installs
-- taskq creates them, other databases find them, and DROP EXTENSION leaves them.

\echo Use "CREATE EXTENSION taskq" to load this file. \quit

do $$
declare
	wanted record;
	present pg_catalog.pg_roles%rowtype;
begin
	for wanted in
		select * from (values
			('taskq_owner', false, 'taskq: owns the extension''s objects; nobody logs in as it'),
			('taskq_admin', false, 'taskq: may call every public function and see every view'),
			('taskq_submitter', false, 'taskq: may submit tasks, cancel them and read their results'),
			('taskq_worker', false, 'taskq: may acquire tasks and end them'),
			('taskq_reader', false, 'taskq: may see tasks, queues, results and the status'),
			('taskq_dump', false, 'taskq: may read what pg_dump needs, which does not include the secrets of endpoints'),
			('taskq_bgw', true, 'taskq: the role of the background worker; no client can log in as it')
		) as r (name, login, remark)
	loop
		select * into present from pg_catalog.pg_roles where rolname = wanted.name;
		if not found then
			execute pg_catalog.format('create role %I %s %s nosuperuser nocreatedb nocreaterole noreplication nobypassrls password null %s',
				wanted.name,
				case when wanted.login then 'login' else 'nologin' end,
				-- taskq_owner uses the privileges that 90_grants.sql grants it.
				case when wanted.name = 'taskq_owner' then 'inherit' else 'noinherit' end,
				case when wanted.login then 'connection limit 0' else '' end);
			execute pg_catalog.format('comment on role %I is %L', wanted.name, wanted.remark);
			continue;
		end if;
		if present.rolsuper or present.rolcreaterole or present.rolcreatedb or present.rolreplication or present.rolbypassrls
			or present.rolcanlogin <> wanted.login
			or (wanted.login and present.rolconnlimit <> 0)
			or exists (select from pg_catalog.pg_authid a where a.oid = present.oid and a.rolpassword is not null)
		then
			raise exception using errcode = 'TQ007',
				message = pg_catalog.format('role "%s" exists with other attributes than taskq gives it', wanted.name),
				detail = 'Another user may control the role, and with it the tables or the executor of taskq.',
				hint = 'Find out what the role is used for, drop or rename it, and install taskq again.';
		end if;
		if wanted.name in ('taskq_owner', 'taskq_bgw') and exists (
			select from pg_catalog.pg_auth_members m
				join pg_catalog.pg_roles r on r.oid = m.member
			where m.roleid = present.oid and not r.rolsuper)
		then
			raise exception using errcode = 'TQ007',
				message = pg_catalog.format('role "%s" exists and has members', wanted.name),
				detail = 'Its members would control every task of this database.',
				hint = pg_catalog.format('Revoke role "%s" from its members and install taskq again.', wanted.name);
		end if;
	end loop;
end
$$;

create schema taskq;
comment on schema taskq is
	'Task queue: submit() adds a task, acquire() and finish() work on it. \df+ taskq.* describes all functions, \dv+ '
	'taskq.* all views.';

create schema taskq_private;
comment on schema taskq_private is
	'Tables of taskq, and functions that only taskq itself calls. They may change with every version.';
