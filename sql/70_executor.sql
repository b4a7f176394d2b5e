-- The executor of this database: start, stop, state.

create function taskq.start_executor() returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_start_executor';
comment on function taskq.start_executor is
	E'Starts the executor: the background worker that sends push tasks from this database and takes back expired leases. '
	'With the library preloaded it starts by itself, and this call is only needed after stop_executor(). Without, it runs '
	'until the server stops.\n'
	'Returns true if it runs, false if it has not started within 5 s.\n'
	'Errors: TQ009 if taskq.executor is off, taskq.databases does not name the database, the role taskq_bgw is missing or '
	'has other attributes, no background worker is free, or the server is a standby.';

create function taskq.stop_executor() returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_stop_executor';
comment on function taskq.stop_executor is
	E'Stops the executor of this database and returns when it has disconnected, so that the database can be dropped, '
	'renamed, moved or copied. Requests under way are broken off; their tasks run again. It stays stopped until '
	'start_executor() or a restart of the server.\n'
	'Returns true if one was running.\n'
	'Errors: TQ009 if it has not stopped within 5 s.';

-- The executor's state, for status(): whether the library is preloaded; the executor's
-- process, NULL if none runs; whether it is stopped or has left for a command; the
-- launcher's process; failed starts in a row, the time of the next one, and whether it waits for
-- a background worker; what keeps the executor from running, and what to do about that; how
-- many requests it has sent a second time in the same attempt.
create function taskq_private.executor_state()
returns table (preloaded boolean, pid int, held_aside boolean, launcher_pid int, failures int, retry_at timestamptz,
	shortage boolean, obstacle text, hint text, resent bigint)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_executor_state';

-- The backend_type of executors in pg_stat_activity.
create function taskq_private.executor_type() returns text
language c immutable parallel safe as 'MODULE_PATHNAME', 'taskq_executor_type';

-- What the executor could not do, since when, and how many times in a row.
create function taskq_private.failures() returns table (work text, sqlstate text, message text, since timestamptz,
	last timestamptz, times bigint)
language c stable parallel restricted as 'MODULE_PATHNAME', 'taskq_failures';

-- How far the executor is with the request of an attempt, and since when; NULL: not known.
create function taskq_private.request_phase(id bigint, token bigint, out phase text, out since timestamptz)
language c volatile strict as 'MODULE_PATHNAME', 'taskq_request_phase';

-- At commit the launcher checks whether this database wants an executor.
create function taskq_private.poke_launcher() returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_poke_launcher';

-- At commit the executor is woken.
create function taskq_private.wake_executor() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_wake_executor';

-- At commit the executor is told to sweep: see sweep() in 72_duties.sql.
create function taskq_private.sweep_soon() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_sweep_soon';

-- At commit the executor makes tables of history: see 72_duties.sql.
create function taskq_private.make_history_soon() returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_make_history_soon';
