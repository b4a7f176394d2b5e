-- What an administrator attaches to the private tables: every kind of index, columns and checks
-- are honoured, what cannot be honoured is refused.
\set VERBOSITY terse
create extension amcheck;
select taskq.create_retry_policy('attached', backoff => 'fixed', base => '0', jitter => 0, max_attempts => 3);
select taskq.create_queue('attached', retry => 'attached', keep_key => '1 hour');

-- Every way in which C code writes a row.  Leaves tasks in every state.
create function life() returns void language plpgsql as $$
declare
	ids bigint[];
	tokens bigint[];
	n int;
begin
	perform taskq.submit('attached', jsonb_build_object('n', i), kind => 'single', start_within => '1 hour') from generate_series(1, 10) i;
	perform taskq.submit('attached', jsonb_build_object('n', i), key => 'k' || i, kind => 'keyed') from generate_series(1, 10) i;
	perform taskq.submit('attached', jsonb_build_object('n', i), key => 'k' || i, kind => 'again', on_duplicate => 'replace') from generate_series(1, 5) i;
	n := (select count(*) from taskq.submit_many('attached', array(select jsonb_build_object('n', i) from generate_series(1, 40) i), kind => 'many'));
	perform taskq.submit('attached', run_at => now() + interval '1 day', priority => 3, kind => 'later') from generate_series(1, 3) i;

	select array_agg(a.id), array_agg(a.token) into ids, tokens from taskq.acquire('attached', 40, worker => 'One') a;
	perform taskq.heartbeat(i, t), taskq.progress(i, t, 0.5, 'half') from unnest(ids[31:40], tokens[31:40]) x (i, t);
	perform taskq.finish(i, t, '{"done": 1}') from unnest(ids[1:5], tokens[1:5]) x (i, t);
	n := (select count(*) from taskq.finish_many(ids[6:15], tokens[6:15]));
	perform taskq.fail(i, t, 'oh', '{"why": "test"}') from unnest(ids[16:25], tokens[16:25]) x (i, t);
	perform taskq.fail(i, t, 'no', retryable => false) from unnest(ids[26:28], tokens[26:28]) x (i, t);
	perform taskq.release(i, t) from unnest(ids[29:32], tokens[29:32]) x (i, t);
	perform taskq.cancel(i) from unnest(ids[33:34]) i;
	perform taskq.cancel(t.id) from taskq.tasks t where t.queue = 'attached' and t.kind = 'later' and t.state = 'pending';
	perform taskq.retry(t.id, now() + interval '1 day') from taskq.tasks t where t.queue = 'attached' and t.kind = 'later' and t.state = 'cancelled';
	n := (select count(*) from taskq.finish_and_acquire('attached', ids[35:36], tokens[35:36], max_tasks => 2));
end
$$;

create temp view own_indexes as
	select c.oid, c.relname, t.relname as "table", am.amname, c.oid::regclass as name
	from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid join pg_am am on am.oid = c.relam
	where t.relnamespace = 'taskq_private'::regnamespace;

-- Each entry has its row and each row its entry.
create function sound() returns bigint language sql as $$
	select count(bt_index_check(oid, true)) from own_indexes where amname = 'btree' and name::text !~ 'history$'
$$;

-- ---- indexes ------------------------------------------------------------------------------

select life();
create index own_expression on taskq_private.task ((payload ->> 'n'));
create index own_partial on taskq_private.task (run_at) where kind = 'many';
create unique index own_unique on taskq_private.task ((payload ->> 'n')) where kind = 'unique';
create index own_gin on taskq_private.task using gin (payload);
create index own_brin on taskq_private.task using brin (submitted_at) where attempt > 0;
create index own_hash on taskq_private.task using hash (kind);
create index own_attempts on taskq_private.task (attempt) include (run_at);
create index own_worker on taskq_private.lease (lower(worker)) where fraction is not null;
alter table taskq_private.lease add constraint own_exclusion exclude (token with =);
create index own_key on taskq_private.key (length(key)) where taken_until is null;
create index own_start on taskq_private.start_limit ((id % 2)) where start_by is not null;
create index own_attempt on taskq_private.attempt ((detail ->> 'why')) where class is null;
create index own_history on taskq_private.history (queue, (payload ->> 'n')) where state = 'dead';
select life() from generate_series(1, 3);
select sound() > 10 as sound;

-- A row that the predicate leaves out has no entry: an index scan does not look at it again.
create function count_by(statement text, seqscan boolean) returns bigint language plpgsql as $$
declare
	n bigint;
begin
	perform set_config('enable_seqscan', seqscan::text, true), set_config('enable_indexscan', (not seqscan)::text, true),
		set_config('enable_bitmapscan', (not seqscan)::text, true), set_config('enable_indexonlyscan', (not seqscan)::text, true);
	execute 'select count(*) from taskq_private.' || statement into n;
	return n;
end
$$;
select statement, count_by(statement, false) = count_by(statement, true) as same, count_by(statement, true) > 0 as some
from unnest(array[
	$$task where payload ->> 'n' = '3'$$,
	$$task where kind = 'many' and run_at > '2000-01-01'$$,
	$$task where payload @> '{"n": 4}'$$,
	$$task where submitted_at > '2000-01-01' and attempt > 0$$,
	$$task where kind = 'again'$$,
	$$task where attempt = 1$$,
	$$lease where lower(worker) = 'one' and fraction is not null$$,
	$$lease where token > 0$$,
	$$key where length(key) = 2 and taken_until is null$$,
	$$start_limit where id % 2 = 1 and start_by is not null$$,
	$$attempt where detail ->> 'why' = 'test' and class is null$$,
	$$history where queue = 'attached' and state = 'dead'$$
	]) as statement;

-- A unique index of an administrator refuses its rows and no others.
select taskq.submit('attached', '{"n": 1000}', kind => 'unique') > 0 as submitted;
select taskq.submit('attached', '{"n": 1000}', kind => 'other') > 0 as submitted;
select taskq.submit('attached', '{"n": 1000}', kind => 'unique');
select count(*) from taskq.submit_many('attached', array['{"n": 1001}', '{"n": 1001}']::jsonb[], kind => 'unique');
select count(*) from taskq_private.task where kind = 'unique';

-- Expressions run as the owner, whoever calls.
create function own_function(kind text) returns text language plpgsql immutable as $$
begin
	raise notice 'current user %, search_path %', current_user, current_setting('search_path');
	return kind;
end
$$;
create index own_call on taskq_private.task (own_function(kind)) where kind = 'call';
create role attached_client in role taskq_submitter;
set role attached_client;
select taskq.submit('attached', kind => 'call') > 0 as submitted;
select current_user, current_setting('search_path') like '%public%' as path;
reset role;
drop index taskq_private.own_call;
drop function own_function;

select taskq.purge_queue('attached') > 0 as purged;
select sound() > 10 as sound;
alter table taskq_private.lease drop constraint own_exclusion;
drop index taskq_private.own_expression, taskq_private.own_partial, taskq_private.own_unique, taskq_private.own_gin,
	taskq_private.own_brin, taskq_private.own_hash, taskq_private.own_attempts, taskq_private.own_worker, taskq_private.own_key,
	taskq_private.own_start, taskq_private.own_attempt, taskq_private.own_history;

-- ---- columns and checks ---------------------------------------------------------------------

begin;
alter table taskq_private.task add own_note text, add own_number int not null default 7,
	add own_time timestamptz default clock_timestamp(), add own_attempts int generated always as (attempt * 10) stored;
alter table taskq_private.lease add own_note text;
alter table taskq_private.key add own_note text default 'a key';
alter table taskq_private.start_limit add own_note text;
alter table taskq_private.attempt add own_number bigint generated always as identity;
alter table taskq_private.history add own_archived boolean not null default false;
alter table taskq_private.task add constraint own_check check (kind <> 'bad'), alter own_number drop default, alter own_number set default 8;
select life();
select count(*) > 0 as some, bool_and(own_note is null), bool_and(own_number = 8), bool_or(own_time > now()), bool_and(own_attempts = attempt * 10),
	max(own_attempts) > 0 from taskq_private.task where submitted_at > now();
select count(*) > 0 as some, bool_and(own_note is null) from taskq_private.lease;
select count(*) > 0 as some, bool_and(own_note = 'a key') from taskq_private.key where key ~ '^k';
select count(*) > 0 as some, count(*) = count(distinct own_number) from taskq_private.attempt;
select count(*) > 0 as some, bool_and(not own_archived) from taskq_private.history where queue = 'attached';
-- What an administrator has written stays.
select taskq.submit('attached', priority => -16) as id \gset
update taskq_private.task set own_note = 'kept' where id = :id;
select taskq.fail(id, token, 'once', retry_in => '1 hour') from taskq.acquire('attached');
select own_note, own_number, own_attempts, attempt from taskq_private.task where id = :id;
savepoint before;
select taskq.submit('attached', kind => 'bad');
rollback to before;
truncate taskq_private.task;
alter table taskq_private.task alter kind set not null;
select taskq.submit('attached', kind => 'good') > 0 as submitted;
select taskq.submit('attached');
rollback to before;
select count(*) from taskq.acquire('attached');
select ok from taskq.status() where "check" = 'tables';
rollback;
-- A table of history that is made later has them, too.
begin;
alter table taskq_private.history add own_archived boolean not null default false;
select taskq.alter_queue('attached', keep_finished => '20 days');
select taskq_private.make_history();
select taskq.submit('attached', priority => -16) > 0 as submitted;
select taskq.finish(id, token) from taskq.acquire('attached');
select count(*) > 0 as some, bool_and(not own_archived) from taskq_private.history where queue = 'attached' and bucket = taskq_private.bucket(now(), '20 days');
rollback;

-- ---- what is refused -----------------------------------------------------------------------

create function own_trigger() returns trigger language plpgsql as $$ begin return null; end $$;
create table own_table (id bigint primary key);
create access method own_method type table handler heap_tableam_handler;

-- What life() says after the statement, which is undone.
create function refusal(statement text) returns text language plpgsql as $$
declare
	message text;
	detail text;
	hint text;
	shown text;
begin
	begin
		execute statement;
		shown := (select coalesce(s.hint, 'nothing') from taskq.status() s where s."check" = 'tables');
		perform life();
		raise exception 'not refused';
	exception when others then
		get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
		return format('%s %s%s', sqlstate, regexp_replace(message, 'history_\d+', 'history_DATE'),
			case when sqlstate = 'TQ009' then format(' | %s | %s%s', detail, hint, case when shown <> hint then ' | ' || shown end) end);
	end;
end
$$;

select refusal(format('create trigger own_copy after insert on taskq_private.%I for each row execute function own_trigger()', t))
	from unnest(array['task', 'lease', 'key', 'start_limit', 'attempt', 'history', 'history_rest']) t;
-- One dated table alone, which claims do not look at: status() tells it before a task ends.
select refusal(format('create trigger own_copy after insert on taskq_private.history_%s for each row execute function own_trigger()',
	taskq_private.bucket(clock_timestamp(), '1 day')));
select statement, refusal(statement) from unnest(array[
	'create trigger own_copy before update on taskq_private.task for each row execute function own_trigger()',
	'create trigger own_copy after delete on taskq_private.lease for each statement execute function own_trigger()',
	'create trigger own_copy after delete on taskq_private.attempt for each statement execute function own_trigger()',
	'create trigger own_copy after insert on taskq_private.history for each statement execute function own_trigger()',
	'create trigger own_copy after truncate on taskq_private.task for each statement execute function own_trigger()',
	'create constraint trigger own_late after insert on taskq_private.task deferrable for each row execute function own_trigger()',
	'create rule own_rule as on insert to taskq_private.task do also notify own',
	'alter table taskq_private.task add constraint own_key foreign key (id) references own_table not valid',
	'alter table own_table add constraint own_key foreign key (id) references taskq_private.task',
	'alter table taskq_private.task add constraint own_unique unique (submitted_at, id) deferrable',
	'alter table taskq_private.lease add constraint own_exclusion exclude (token with =) deferrable',
	'alter table taskq_private.task enable row level security',
	'alter table taskq_private.task enable row level security, force row level security',
	'alter table taskq_private.attempt set access method own_method',
	'alter table taskq_private.start_limit alter id type int',
	'create trigger own_copy after insert on taskq_private.task for each row execute function own_trigger();
		alter table taskq_private.task disable trigger own_copy',
	'create trigger own_copy after insert on taskq_private.task for each row execute function own_trigger();
		set local session_replication_role = replica',
	'create trigger own_copy after insert on taskq_private.task for each row execute function own_trigger();
		alter table taskq_private.task enable always trigger own_copy; set local session_replication_role = replica',
	'create trigger own_copy after insert on taskq_private.task for each row execute function own_trigger();
		alter table taskq_private.task enable replica trigger own_copy'
	]) as statement;

-- Each call says so, and a task that is refused is not lost.
select taskq.submit('attached', '"acknowledged"', priority => -16) as id \gset
select id, token from taskq.acquire('attached') \gset
create trigger own_copy after insert on taskq_private.history for each row execute function own_trigger();
\set VERBOSITY default
select taskq.finish(:id, :token);
\set VERBOSITY terse
select count(*) from taskq.acquire('attached');
select ok, regexp_replace(detail, 'history_\d+', 'history_DATE') as detail, hint from taskq.status() where "check" = 'tables';
select state, payload from taskq.tasks where id = :id;
drop trigger own_copy on taskq_private.history;
select taskq.finish(:id, :token);
select ok, detail, hint from taskq.status() where "check" = 'tables';

select taskq.drop_queue('attached', true), taskq.drop_retry_policy('attached');
drop table own_table;
drop access method own_method;
drop function life, sound, count_by, refusal, own_trigger;
drop role attached_client;
drop extension amcheck;
