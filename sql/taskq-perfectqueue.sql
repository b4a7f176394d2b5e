-- taskq-perfectqueue.sql: a view of the shape of PerfectQueue's table over a queue, for psql.
--
--   psql -v queue=jobs -v view=jobs -f "$(pg_config --sharedir)/extension/taskq-perfectqueue.sql"
--
-- Without the two variables both are perfectqueue.  The queue must be there.  The view and the two
-- functions of its triggers are made in the first schema of the search path; load the script again
-- for each further queue.  They have the rights of the role that uses the view: INSERT needs the
-- privilege submit on the queue, SELECT view, and DELETE view and submit or control.
--
-- A payload that is a JSON string is the data itself; of any other payload the data is its JSON text.

\if :{?queue}
\else
	\set queue perfectqueue
\endif
\if :{?view}
\else
	\set view perfectqueue
\endif

begin;

create or replace view :"view" (id, timeout, data, created_at) with (security_invoker = true) as
	select coalesce(t.key, t.id::text), extract(epoch from coalesce(t.lease_until, t.run_at))::bigint,
		case jsonb_typeof(t.payload) when 'string' then t.payload #>> '{}' else t.payload::text end,
		extract(epoch from t.submitted_at)::bigint
	from taskq.tasks t
	where t.queue = :'queue' and t.ended_at is null and not t.cancel_requested;
comment on view :"view" is
	E'The tasks of a queue in the shape of PerfectQueue''s table.\n'
	'id: the key of a task; the id of one that has no key.\n'
	'timeout: when it is due, or when the lease of a running task ends, in seconds since 1970.\n'
	'data: its payload.\n'
	'created_at: when it was submitted, in seconds since 1970.\n'
	'INSERT submits a task, which is due at timeout; created_at is not used. DELETE cancels.';

-- The argument of both triggers is the queue.

create or replace function taskq_perfectqueue_insert() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
	if new.id is null or new.timeout is null or new.data is null then
		raise not_null_violation using message = 'id, timeout and data must not be null',
			detail = 'No task was submitted.', hint = 'timeout is when the task is due, in seconds since 1970.';
	end if;
	perform taskq.submit(tg_argv[0], to_jsonb(new.data), key => new.id, run_at => to_timestamp(new.timeout),
		max_attempts => 2147483647, on_duplicate => 'raise');
	return new;
exception when sqlstate 'TQ003' then
	raise unique_violation using message = format('id "%s" is there already', new.id),
		detail = format('A task of queue "%s" has this key, or had it not long ago.', tg_argv[0]),
		hint = 'Use another id, or wait for the keep_key of the queue.';
end
$$;

-- A row of a task that has just ended, or been cancelled, does not count as deleted.
create or replace function taskq_perfectqueue_delete() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
	if taskq.cancel_key(tg_argv[0], old.id) then
		return old;
	end if;
	if old.id ~ '^\d{1,18}$' and exists (select from taskq.tasks t
			where t.id = old.id::bigint and t.queue = tg_argv[0] and t.key is null)
		and taskq.cancel(old.id::bigint) then
		return old;
	end if;
	return null;
end
$$;

create or replace trigger taskq_perfectqueue_insert instead of insert on :"view"
for each row execute function taskq_perfectqueue_insert(:'queue');
create or replace trigger taskq_perfectqueue_delete instead of delete on :"view"
for each row execute function taskq_perfectqueue_delete(:'queue');

commit;
