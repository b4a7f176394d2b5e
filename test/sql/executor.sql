-- The executor of a database: start, stop, state.
\set VERBOSITY terse

-- It runs; a second start changes nothing.
select taskq.start_executor();
select preloaded, held_aside, launcher_pid is not null as launched, failures, retry_at, obstacle, hint from taskq_private.executor_state();
select pid from taskq_private.executor_state() \gset
select taskq.start_executor();
select pid = :pid as same from taskq_private.executor_state();
select usename, backend_type, datname = current_database() as here, client_addr from pg_stat_activity where pid = :pid;

-- Stopped: it has ended when the call returns, and only start_executor() starts it again.
select taskq.stop_executor(), taskq.stop_executor() as again;
select count(*) from pg_stat_activity where pid = :pid;
select pid, held_aside, failures, obstacle from taskq_private.executor_state();
select taskq_private.poke_launcher(), taskq_private.wake_executor(), taskq_private.sweep_soon();
select taskq.cancel(taskq.submit('default'));
select pid is null as stays_stopped from taskq_private.executor_state();

-- Started again: another process.
select taskq.start_executor();
select pid <> :pid as another, held_aside from taskq_private.executor_state();

-- A reader may neither stop nor start it.
create role regress_reader in role taskq_reader;
set role regress_reader;
select taskq.stop_executor();
select taskq.start_executor();
reset role;
drop role regress_reader;
