-- Calls: functions of this database, called by processes of the server.  See src/life/call.c for what
-- a task stores, src/life/call_claim.c and src/process/calls.c for what the executor does, and
-- src/process/caller.c for the process that calls.

-- The number of a role in taskq_private.caller.
create function taskq_private.make_caller(role text, role_oid oid) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	found_ int;
begin
	loop
		found_ := (select c.number from taskq_private.caller c where c.role = make_caller.role and c.role_oid = make_caller.role_oid);
		if found_ is not null then
			return found_;
		end if;
		insert into taskq_private.caller (number, role, role_oid)
			values (nextval('taskq_private.caller_number'), make_caller.role, make_caller.role_oid)
			on conflict on constraint caller_role do nothing;
	end loop;
end
$$;

create function taskq.submit_call(function regprocedure, args jsonb default '[]', kwargs jsonb default '{}', queue text default 'call',
	key text default null, priority int default 0, run_at timestamptz default null, delay interval default null,
	start_within interval default null, timeout interval default null, retry text default null, max_attempts int default null,
	kind text default null, on_duplicate text default 'keep', on_finish jsonb default null, on_dead jsonb default null,
	group_key text default null, unique_for interval default null, max_wait interval default null, trace text default null,
	after bigint[] default null, after_failure text default 'cancel', on_demand boolean default false) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_call';
comment on function taskq.submit_call is
	E'Adds a task that calls a function or procedure of this database, as part of the calling transaction. A process of the '
	'server calls it after the commit, as the current role, and again after each failure, until it succeeds or its retry policy '
	'gives up.\n'
	'function: with the types of its parameters, such as ''public.paid(jsonb)''. Not an aggregate or a window function, and none '
	'with polymorphic parameters. The rows of a function that returns a set are values of the task: see emitted().\n'
	'args: an array of arguments by position. kwargs: an object of arguments by name. The others have their defaults. They are '
	'converted to the types of the parameters now: json and jsonb as they are, arrays from JSON arrays, composite types from '
	'objects, all other types from their text; null is NULL. Each at most taskq.max_payload bytes.\n'
	'queue: a call queue. Default: call, which exists from the start.\n'
	'timeout: how long one attempt may take, 1 ms to 1 day. Default: no limit.\n'
	'on_demand: whether it waits until its values are wanted, the first one before the function begins, each other one before it '
	'goes on after the last one: see want(). It has its process meanwhile, so give it a timeout.\n'
	'The other arguments: see submit().\n'
	'What the function does and the end of its task are one transaction: if the function fails, or its task was cancelled '
	'meanwhile, nothing of it stays. A procedure that commits is not protected so.\n'
	'The result of the task is that of the function, as to_jsonb() has it; of a procedure, an object of its output parameters; of '
	'a function that returns a set, none. An '
	'error of the function fails the attempt: its message is the error, and detail has sqlstate, detail, hint, context, schema, '
	'table, column and constraint as far as there are any. With SQLSTATE TQ012 it is not tried again.\n'
	'Returns the id of the task.\n'
	'Errors: TQ001 unknown queue; TQ003 key taken; TQ004 bad argument, or one that does not fit the function; TQ005 the queue is '
	'not a call queue; TQ006 arguments too large; TQ007 no privilege submit on the queue; TQ009 the current role is a superuser, may '
	'not connect to this database, or, before PostgreSQL 17, may not log in; 42501 it may not execute the function.';

create function taskq.current_task() returns bigint
language c stable parallel restricted as 'MODULE_PATHNAME', 'taskq_current_task';
comment on function taskq.current_task is
	E'Returns the id of the task whose call is being made; NULL outside of such a call. In a call, progress(current_task(), null, '
	'...) tells how far it is, and emit(current_task(), null, ...) emits a value; others see both before the call ends.';

-- For the executor.  Claims calls that can be made; those that cannot are dead.
create function taskq_private.call_claim(max_tasks int)
returns table (id bigint, token bigint, lease_ms bigint, timeout_ms bigint, role oid, role_name text)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_call_claim';

-- Milliseconds until the next call is due; NULL: that is not known.
create function taskq_private.call_next_due() returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_call_next_due';

-- Extends leases.  Returns the ids of the calls that are to be stopped.
create function taskq_private.call_extend(ids bigint[], tokens bigint[]) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_call_extend';

-- The process of a call has gone.
create function taskq_private.call_failed(id bigint, token bigint, class text, error text, at_once boolean) returns boolean
language c volatile strict parallel unsafe as 'MODULE_PATHNAME', 'taskq_call_failed';

-- A function that is called has told something.  The executor does not wait for locks: it comes again.
create function taskq_private.call_told(id bigint, token bigint, kind int, n int, content jsonb) returns void
language c volatile strict parallel unsafe
set lock_timeout = '20ms'
as 'MODULE_PATHNAME', 'taskq_call_told';
