-- Private tables: constraints, triggers and the like, and the contents of a dump.
\set VERBOSITY terse

create temp view our_tables as select oid as relid, relname, relkind, reloptions from pg_class
	where relnamespace = 'taskq_private'::regnamespace and relname !~ '^history_\d';

-- Constraints, all with explicit names; no foreign key.
select conrelid::regclass as "table", conname as name, pg_get_constraintdef(c.oid) as definition
from pg_constraint c join our_tables on relid = conrelid where contype <> 'n' order by conrelid::regclass::text collate "C", conname;

-- Rows that only an administrator or a dump written by hand can bring.
create function refusal(statement text) returns text language plpgsql as $$
declare
	wrong text;
begin
	execute statement;
	return 'accepted';
exception when integrity_constraint_violation then
	get stacked diagnostics wrong = constraint_name;
	return wrong;
end
$$;
select taskq.create_queue('tables');
select statement, refusal(statement) from unnest(array[
	$$update taskq_private.queue set mode = 'both' where name = 'tables'$$,
	$$update taskq_private.queue set executor = 'nobody' where name = 'tables'$$,
	$$insert into taskq_private.queue_grant values (1, 'taskq_reader', 'drop')$$,
	$$insert into taskq_private.retry_policy values ('x', 'sometimes', '1 s', 1, '1 s', null, 0, 1, null, null)$$
	]) as statement;

-- No row triggers, rules or row security, which would run for each row.
select tgname from pg_trigger join our_tables on relid = tgrelid where tgtype & 1 <> 0;
select rulename from pg_rewrite join our_tables on relid = ev_class where relkind <> 'v';
select relid::regclass from our_tables join pg_class on oid = relid where relrowsecurity or relhasrules and our_tables.relkind <> 'v';

-- The tables that change most are vacuumed early.
select relname, reloptions from our_tables where reloptions is not null and relkind = 'r' order by relname;

-- A dump holds the rows of every table, except the secrets, and the state of every sequence,
-- except those that are of one database: see token.c.
select relname as not_in_dumps from our_tables
where relkind in ('r', 'p', 'S') and relid <> all (select unnest(extconfig) from pg_extension where extname = 'taskq') order by relname;

-- Changes of each table can be published.
select c.relname as without_identity from our_tables join pg_class c on c.oid = relid
where our_tables.relkind in ('r', 'p') and relreplident <> 'f' and not exists (select from pg_index i where i.indrelid = relid and i.indisprimary);

-- The tables of history have the same columns, in the same order.
select taskq_private.make_history();
create temp view history_columns as select attrelid, array_agg((attname, atttypid, attnotnull)::text order by attnum) as columns
	from pg_attribute where attnum > 0 group by attrelid;
select count(*) > 1 as several, count(distinct columns) as kinds from history_columns join pg_class on oid = attrelid
	where relnamespace = 'taskq_private'::regnamespace and relkind in ('r', 'p') and relname ~ '^history';

-- A priority outside -16 to 15, in each table of tasks, also in those that are made later.
create temp table ended (like taskq_private.history);
insert into ended (bucket, id, state, priority, push, attempt, max_attempts, submitted_at, run_at, ended_at, queue)
	values (taskq_private.bucket(now(), '1 day'), 0, 'dead', 16, false, 1, 1, now(), now(), now(), 'tables');
select to_regclass('taskq_private.history_' || bucket) is not null as has_dated_table from ended;
select taskq.submit('tables', priority => 15) > 0 as submitted;
select statement, refusal(statement) from unnest(array[
	$$update taskq_private.task set priority = 16 where priority = 15$$,
	$$update taskq_private.task set priority = -17 where priority = 15$$,
	$$update taskq_private.task set priority = -16 where priority = 15$$,
	$$insert into taskq_private.history select * from ended$$,
	$$insert into taskq_private.history_rest select * from ended$$,
	$$update ended set priority = -17$$,
	$$insert into taskq_private.history select * from ended$$,
	$$insert into taskq_private.history_rest select * from ended$$
	]) as statement;

select taskq.drop_queue('tables', true);
drop function refusal;
