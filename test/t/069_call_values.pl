# 069_call_values.pl
#		Values that calls emit: when others see them, what stays after failures and kills, what
#		happens while the executor cannot write them, rows of sets, and values on demand.

use strict;
use warnings FATAL => 'all';

use DBI ();
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => <<'END');
autovacuum = off
max_worker_processes = 12
END
my $holder = DBI->connect('dbi:Pg:' . $node->connstr('postgres'), undef, undef, { RaiseError => 1 });

sub app
{
	my ($script) = @_;

	return $node->safe_psql('postgres', "set role app; set search_path = app; $script");
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub submit_call
{
	my ($arguments) = @_;

	return app("select taskq.submit_call($arguments)");
}

sub outcome
{
	my ($id) = @_;

	wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
	return sql("select state, result from taskq.result($id)");
}

sub values_of
{
	my ($id) = @_;

	return app("select string_agg(n || ':' || value, ' ' order by n) from taskq.emitted($id, max_values => 100000)");
}

# The class and the error of the last attempt.
sub error_of
{
	my ($id) = @_;

	return sql("select class, error from taskq.attempts where task_id = $id order by attempt desc limit 1");
}

# Waits until the process of the call waits for the executor, or for a want.
sub wait_asleep
{
	my ($id) = @_;

	return wait_until('the process to wait', sub {
		sql("select pid from pg_stat_activity where query like '%task $id' and state = 'active' and wait_event_type = 'Extension'") });
}

# CPU time of a process, in hundredths of a second.
sub ticks
{
	my ($pid) = @_;
	my @stat = split / /, slurp_file("/proc/$pid/stat") =~ s/.*\) //sr;

	return $stat[11] + $stat[12];
}

sub hold
{
	return $holder->do("select pg_advisory_lock($_[0])");
}

sub let_go
{
	return $holder->do("select pg_advisory_unlock($_[0])");
}

sql(q{
	create role app login;
	create schema app authorization app;
	select taskq.alter_queue('call', events => '{started, value, finished}');
	select taskq.create_retry_policy('soon', backoff => 'fixed', base => '10 ms');
	select taskq.grant_queue('call', 'app', '{submit, view, control}')});
app(q{
	create table computed (task bigint, n int);
	create function squares(upto int, lock int default 0) returns int language plpgsql as $$begin
		for i in 1 .. upto loop perform taskq.emit(taskq.current_task(), null, to_jsonb(i * i)); end loop;
		insert into app.computed values (taskq.current_task(), upto);
		perform pg_advisory_xact_lock_shared(lock); return upto; end$$});

# ---- while the call runs -----------------------------------------------------------------------------

my $cursor = sql('select cursor from taskq.events_after()');
hold(70);
my $id = submit_call(q{'squares(int, int)', '[1000, 70]'});
wait_query($node, 'postgres', "select count(*), max(n), max(value::int) from taskq.emitted($id, max_values => 10000)", '1000|1000|1000000');
is(sql("select state from taskq.tasks where id = $id"), 'running', 'values are seen while the call goes on');
is($node->psql('postgres', q{begin; lock table } . join(', ', map { "taskq_private.event_$_" } 0 .. 9) . q{ in access exclusive mode nowait; rollback}), 0,
	'a call that has emitted does not keep old values from being removed');
let_go(70);
is(outcome($id), 'finished|1000', 'the call has its result as well');
is(sql(qq{select string_agg(event || ' ' || c, ', ' order by first) from (select event, count(*) as c, min(ord) as first
	from taskq.events_after('$cursor', 10000) with ordinality as e (cursor, at, task_id, queue, event, data, ord) where task_id = $id group by event) x}),
	'started 1, value 1000, finished 1', 'the values are in the stream, between its begin and its end');

# Longer than the queue in shared memory, and what is too long.
app(q{
	create function long(size int) returns text language plpgsql as $$declare state text; begin
		for i in 1 .. 5 loop perform taskq.emit(taskq.current_task(), null, to_jsonb(repeat('x', size + i))); end loop;
		return 'all';
		exception when others then get stacked diagnostics state = returned_sqlstate; return state; end$$});
$id = submit_call(q{'long(int)', '[500000]'});
is(outcome($id), 'finished|"all"', 'long values');
is(app("select string_agg(length(value::text)::text, ' ' order by n) from taskq.emitted($id)"), '500003 500004 500005 500006 500007', 'come as they are');
is(outcome(submit_call(q{'long(int)', '[2000000]'})), 'finished|"TQ006"', 'a value that is too large is an error that the function can catch');
app(q{create function outside(id bigint, token bigint default null, value jsonb default '1') returns int language sql as 'select taskq.emit($1, $2, $3)'});
hold(70);
my $other = submit_call(q{'squares(int, int)', '[1, 70]'});
wait_query($node, 'postgres', "select count(*) from taskq.emitted($other)", '1');
$id = submit_call(qq{'outside(bigint, bigint, jsonb)', '[$other]', retry => 'none'});
is(outcome($id) . error_of($id), 'dead|exception|token must not be NULL', 'a call emits values of its own task only');
$id = submit_call(qq{'outside(bigint, bigint, jsonb)', '[$other, 1]'});
is(outcome($id), 'finished|', 'a token that is not the one of a task is lost');
let_go(70);
is(outcome($other) . values_of($other), 'finished|11:1', 'so the other has no more than it has emitted');

# A worker of a parallel query fails while a value is on its way: the error waits, or the next value would be read as the rest of it.
app(q{
	create table many_rows as select repeat('x', 500) as filler from generate_series(1, 1000);
	alter table many_rows set (parallel_workers = 1);
	create sequence stage minvalue 0;
	create function await_stage(stage int) returns void language plpgsql parallel safe as $$begin
		while (select last_value from app.stage) < stage loop perform pg_sleep(0.01); end loop; end$$;
	create function fails_in_worker(leader int) returns bool language plpgsql parallel safe as $$begin
		if pg_backend_pid() <> leader then perform app.await_stage(2); raise exception 'in a worker'; end if; return true; end$$;
	create function emits_long() returns int language plpgsql parallel restricted as $$begin
		return taskq.emit(taskq.current_task(), null, to_jsonb(repeat('x', 200000))); end$$;
	create function in_parallel() returns text language plpgsql
		set parallel_setup_cost = 0 set parallel_tuple_cost = 0 set min_parallel_table_scan_size = 0 as $$
		declare leader int := pg_backend_pid(); begin
		perform taskq.emit(taskq.current_task(), null, '1');
		perform app.await_stage(1);
		begin perform sum(app.emits_long()) from app.many_rows where app.fails_in_worker(leader); return 'no error';
		exception when raise_exception then perform taskq.emit(taskq.current_task(), null, '"then"'); return sqlerrm; end; end$$});
$id = submit_call(q{'in_parallel()', retry => 'none', timeout => '1 min'});
wait_query($node, 'postgres', "select count(*) from taskq.emitted($id)", '1');
my $executor = wait_executor($node);
kill 'STOP', $executor;
app(q{select setval('stage', 1)});
wait_asleep($id);
wait_query($node, 'postgres', "select count(*) from pg_stat_activity where backend_type = 'parallel worker'", '1');
app(q{select setval('stage', 2)});
wait_query($node, 'postgres', "select count(*) from pg_stat_activity where backend_type = 'parallel worker'", '0');
kill 'CONT', $executor;
is(outcome($id), 'finished|"in a worker"', 'an error of a parallel worker while a long value is being sent');
is(app("select string_agg(length(value::text)::text, ' ' order by n) from taskq.emitted($id)"), '1 200002 6', 'leaves all values whole');

# ---- attempts ------------------------------------------------------------------------------------------

app(q{
	create sequence tries;
	create function fails_once() returns bigint language plpgsql as $$declare try bigint := nextval('app.tries'); begin
		for i in 1 .. 3 loop perform taskq.emit(taskq.current_task(), null, to_jsonb(try), i); end loop;
		if try = 1 then raise exception 'the first try'; end if;
		for i in 1 .. 5 loop perform taskq.emit(taskq.current_task(), null, to_jsonb(try), i); end loop;
		return taskq.emit(taskq.current_task(), null, to_jsonb(try)); end$$;
	create function rolled_back() returns void language plpgsql as $$begin
		begin perform taskq.emit(taskq.current_task(), null, '1'); raise exception 'back'; exception when others then null; end;
		perform taskq.emit(taskq.current_task(), null, '2'); end$$;
	create procedure committing() language plpgsql as $$begin
		perform taskq.emit(taskq.current_task(), null, '1'); commit; perform taskq.emit(taskq.current_task(), null, '2'); end$$;
	create table told (what text);
	create function at_commit() returns trigger language plpgsql as $$begin
		perform taskq.emit(taskq.current_task(), null, to_jsonb(new.what)); return null; end$$;
	create constraint trigger at_commit after insert on told deferrable initially deferred for each row execute function at_commit();
	create function with_trigger() returns void language sql as $$insert into app.told values ('at the commit')$$;
	create function cancels_itself() returns void language plpgsql as $$begin
		perform taskq.cancel(taskq.current_task()); perform taskq.emit(taskq.current_task(), null, '1'); end$$});
$id = submit_call(q{'fails_once()', retry => 'soon'});
is(outcome($id), 'finished|6', 'an attempt that begins again');
is(values_of($id), '1:1 2:1 3:1 4:2 5:2 6:2', 'the values of a failed attempt stay, and are not written again');
$id = submit_call(q{'rolled_back()'});
outcome($id);
is(values_of($id), '1:1 2:2', 'a value is not rolled back');
$id = submit_call(q{'committing()'});
outcome($id);
is(values_of($id), '1:1 2:2', 'a procedure emits, too');
$id = submit_call(q{'with_trigger()'});
is(outcome($id), 'finished|', 'a trigger at the commit, when the task has ended for its transaction');
is(values_of($id), '1:"at the commit"', 'can emit');
$id = submit_call(q{'cancels_itself()', timeout => '10 s'});
like(outcome($id), qr/^(finished|cancelled)\|$/, 'a function that has changed its own lease does not wait for itself');
is(values_of($id), '1:1', 'and its value is written');

# Ends of processes: what the call has told is there.
hold(71);
$id = submit_call(q{'squares(int, int)', '[3, 71]', retry => 'soon', max_attempts => 2});
my $pid = wait_until('the call', sub { sql("select pid from pg_stat_activity where query like '%task $id' and wait_event = 'advisory'") });
sql("select pg_terminate_backend($pid)");
wait_until('the next attempt', sub { sql("select 1 from pg_stat_activity where query like '%task $id' and pid <> $pid and wait_event = 'advisory'") });
let_go(71);
is(outcome($id), 'finished|3', 'a process that was terminated');
is(values_of($id), '1:1 2:4 3:9 4:1 5:4 6:9', 'without numbers the next attempt goes on behind the values of the last one');
app(q{create function ends_itself() returns void language plpgsql as $$begin
	for i in 1 .. 600 loop perform taskq.emit(taskq.current_task(), null, '1'); end loop;
	perform pg_terminate_backend(pg_backend_pid()), pg_sleep(60); end$$});
$id = submit_call(q{'ends_itself()', retry => 'none'});
is(outcome($id) . error_of($id), 'dead|worker_died|the process of the call has ended', 'a process that ends while the executor is behind');
is(sql("select count(*) from taskq.emitted($id, max_values => 1000)"), '600', 'its values are written all the same');
hold(71);
$id = submit_call(q{'squares(int, int)', '[3, 71]'});
wait_until('the call', sub { sql("select 1 from pg_stat_activity where query like '%task $id' and wait_event = 'advisory'") });
sql('select taskq.stop_executor()');
is(values_of($id), '1:1 2:4 3:9', 'the executor stops');
is(sql("select state, attempt from taskq.tasks where id = $id"), 'pending|0', 'and gives the call back');
app("select taskq.cancel($id)");
let_go(71);
sql('select taskq.start_executor()');
wait_executor($node);

# ---- while the executor cannot write -----------------------------------------------------------------------

# Nobody can write values meanwhile; but those there are can be read.
sub block_values
{
	$holder->begin_work;
	return $holder->do('lock table ' . join(', ', map { "taskq_private.event_$_" } 0 .. 9) . ' in share mode');
}

sql(q{select taskq.alter_queue('call', events => '{}')});
block_values();
$id = submit_call(q{'squares(int, int)', '[5]'});
wait_asleep($id);
my $before = log_size($node);
wait_query($node, 'postgres', q{select detail like '%write what calls tell%' from taskq.status() where "check" = 'failures'});
is(sql("select state from taskq.tasks where id = $id"), 'running', 'a call whose values cannot be written does not end');
my $cancelled = submit_call(q{'squares(int, int)', '[5]'});
wait_asleep($cancelled);
app("select taskq.cancel($cancelled)");
is(outcome($cancelled), 'cancelled|', 'it can be cancelled');
wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where query like '%task $cancelled' and state = 'active'");
my $late = submit_call(q{'squares(int, int)', '[5]', timeout => '500 ms', retry => 'none'});
is(outcome($late), 'dead|', 'its timeout holds');
is(error_of($late), 'timeout|canceling statement due to statement timeout', 'as for its function');
# More than may be sent and not written: it waits in the middle, where cancels are heard as well.
my $many = submit_call(q{'squares(int, int)', '[100000]'});
wait_asleep($many);
is(sql("select count(*) from app.computed where task = $many"), '0', 'a call is not far ahead of the executor');
app("select taskq.cancel($many)");
is(outcome($many), 'cancelled|', 'and can be cancelled there');
my $dead = submit_call(q{'squares(int, int)', '[5]', retry => 'none'});
sql('select pg_terminate_backend(' . wait_asleep($dead) . ')');
is(outcome($dead) . error_of($dead), 'dead|worker_died|the process of the call has ended', 'a process that has gone is noticed');
$holder->rollback;
is(outcome($id), 'finished|5', 'the call ends when they are written');
is(values_of($id), '1:1 2:4 3:9 4:16 5:25', 'each once');
is(values_of($dead), '', 'those of a dead process, which nobody could write, are lost');

block_values();
$id = submit_call(q{'squares(int, int)', '[5]'});
wait_asleep($id);
is(sql('select taskq.stop_executor()'), 't', 'the executor stops while a call waits for it');
is(sql("select state, attempt from taskq.tasks where id = $id"), 'pending|0', 'which is given back');
$holder->rollback;
sql('select taskq.start_executor()');
is(outcome($id), 'finished|5', 'and is made again');
is(values_of($id), '1:1 2:4 3:9 4:16 5:25', 'with its values');

# Progress that cannot be written is dropped, and does not keep the executor busy afterwards.
app(q{create function halfway(before int, after int) returns void language plpgsql as $$begin
	perform pg_advisory_xact_lock_shared(before);
	perform taskq.progress(taskq.current_task(), null, 0.5), pg_advisory_xact_lock_shared(after); end$$});
hold(72);
hold(73);
$id = submit_call(q{'halfway(int, int)', '[72, 73]'});
wait_until('the call', sub { sql("select 1 from pg_stat_activity where query like '%task $id' and wait_event = 'advisory'") });
$holder->begin_work;
$holder->do('lock table taskq_private.lease in share mode');
let_go(72);
wait_query($node, 'postgres', q{select detail like '%write what calls tell%' from taskq.status() where "check" = 'failures'});
$holder->rollback;
$executor = wait_executor($node);
my $ticks = ticks($executor);
sleep 3;
cmp_ok(ticks($executor) - $ticks, '<', 15, 'an executor that could not write progress sleeps');
let_go(73);
is(outcome($id), 'finished|', 'and the call ends');

# An error that does not pass.
sql('alter function taskq_private.call_told(bigint, bigint, int, int, jsonb) rename to gone');
$id = submit_call(q{'squares(int, int)', '[5]', retry => 'none'});
is(outcome($id) . error_of($id), "dead|exception|values of task $id could not be written", 'values that can never be written fail the call');
is(sql("select detail ->> 'sqlstate', detail ->> 'hint' from taskq.attempts where task_id = $id"), 'TQ009|See taskq.status() and the log of the server for its error.',
	'and say where to look');
is(sql("select count(*) from app.computed where task = $id"), '0', 'nothing of it stays');
sql('alter function taskq_private.gone(bigint, bigint, int, int, jsonb) rename to call_told');
is(outcome(submit_call(q{'squares(int, int)', '[5]'})), 'finished|5', 'the next call is not affected');

# ---- sets -----------------------------------------------------------------------------------------------------

app(q{
	create function numbers(upto int) returns setof int language sql as 'select i from generate_series(1, upto) i';
	create function pairs() returns table (a int, b text) language sql as $$values (1, 'x'), (null, null)$$;
	create function nulls() returns setof int language sql as 'values (1), (null), (3)';
	create function no_rows() returns setof int language sql as 'select 1 where false';
	create function looped(upto int) returns setof int language plpgsql as $$begin for i in 1 .. upto loop return next i; end loop; end$$;
	create function locking(upto int) returns setof int language plpgsql as $$begin return query select i from generate_series(1, upto) i; end$$;
	create function one_by_one(upto int) returns setof int language sql as
		'select i from (select i, pg_advisory_xact_lock(80 + i) from generate_series(1, upto) i offset 0) x';
	create function row_of(i int, try bigint) returns bigint language plpgsql as $$begin
		if i = 5 and try = 3 then raise exception 'at 5'; end if; return i * try; end$$;
	create function fails_at_5() returns setof bigint language sql as
		$$select app.row_of(i, t) from (select nextval('app.tries') as t offset 0) x, generate_series(1, 8) i$$;
	create function mixed() returns setof text language plpgsql as $$begin
		perform taskq.emit(taskq.current_task(), null, '"emitted"'); return next 'row'; end$$});
foreach my $set (
	[ q{'numbers(int)', '[3]'}, '1:1 2:2 3:3', 'rows are values' ],
	[ q{'pairs()'}, '1:{"a": 1, "b": "x"} 2:{"a": null, "b": null}', 'composite rows are objects' ],
	[ q{'nulls()'}, '1:1 2:null 3:3', 'NULL is null' ],
	[ q{'no_rows()'}, '', 'no rows, no values' ],
	[ q{'looped(int)', '[3]'}, '1:1 2:2 3:3', 'rows of PL/pgSQL' ],
	[ q{'locking(int)', '[3]'}, '1:1 2:2 3:3', 'rows of a query in PL/pgSQL' ],
	[ q{'pg_catalog.generate_series(int, int)', '[5, 6]'}, '1:5 2:6', 'rows of a function in C' ],
	[ q{'mixed()'}, '1:"emitted" 2:"row"', 'with emitted values before them' ])
{
	$id = submit_call($set->[0]);
	is(outcome($id), 'finished|', "$set->[2]:");
	is(values_of($id), $set->[1], 'and the result is none');
}
hold(82);
$id = submit_call(q{'one_by_one(int)', '[3]'});
wait_query($node, 'postgres', "select string_agg(value::text, ' ') from taskq.emitted($id)", '1');
is(sql("select state from taskq.tasks where id = $id"), 'running', 'a row is seen before the next one is made');
let_go(82);
is(outcome($id) . values_of($id), 'finished|1:1 2:2 3:3', 'the others come');
sql(q{select setval('app.tries', 2)});
$id = submit_call(q{'fails_at_5()', retry => 'soon'});
is(outcome($id), 'finished|', 'a set that fails at its fifth row');
is(values_of($id), '1:3 2:6 3:9 4:12 5:20 6:24 7:28 8:32', 'begins again with the first one; what is there stays');

# ---- on demand ------------------------------------------------------------------------------------------------------

app(q{
	create function compute(n int) returns int language plpgsql as $$begin perform nextval('app.computations'); return n * n; end$$;
	create sequence computations;
	create function lazy(upto int) returns int language plpgsql as $$begin
		for i in 1 .. upto loop perform taskq.emit(taskq.current_task(), null, to_jsonb(app.compute(i)), i); end loop; return upto; end$$;
	create function lazy_rows(upto int) returns setof int language sql as 'select app.compute(i) from generate_series(1, upto) i'});

sub computed
{
	return sql('select case when is_called then last_value else 0 end from app.computations');
}

foreach my $function ('lazy', 'lazy_rows')
{
	app('alter sequence computations restart');
	$id = submit_call(qq{'$function(int)', '[4]', on_demand => true});
	$pid = wait_asleep($id);
	is(computed(), '0', "$function: nothing is computed before it is wanted");
	is(sql("select backend_xmin, backend_xid from pg_stat_activity where pid = $pid"), '|', 'and the wait holds no snapshot');
	is(app("select taskq.want($id, 2)"), 't', 'two values are wanted');
	wait_query($node, 'postgres', "select count(*) from taskq.emitted($id)", '2');
	wait_asleep($id);
	is(computed(), '2', 'and two are computed');
	is(app("select taskq.want($id, 1)"), 't', 'wants never fall');
	app("select taskq.want($id, 5)");
	is(outcome($id), $function eq 'lazy' ? 'finished|4' : 'finished|', 'who wants more than there are sees the end');
	is(values_of($id), '1:1 2:4 3:9 4:16', 'and all of them');
}
app('alter sequence computations restart');
$id = submit_call(q{'lazy(int)', '[10]', on_demand => true, timeout => '300 ms', retry => 'soon', max_attempts => 2});
app("select taskq.want($id, 2)");
is(outcome($id), 'dead|', 'a timeout ends the wait');
is(error_of($id), 'timeout|canceling statement due to statement timeout', 'as any timeout');
is(computed(), '2', 'the second attempt waits until something new is wanted before it begins');
foreach my $wants (0, 1)
{
	$id = submit_call(q{'lazy(int)', '[10]', on_demand => true});
	app("select taskq.want($id, 1)") if $wants;
	wait_query($node, 'postgres', "select count(*) from taskq.emitted($id)", $wants);
	wait_asleep($id);
	app("select taskq.cancel($id)");
	is(outcome($id), 'cancelled|', 'a cancel ends the wait');
	wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where query like '%task $id' and state = 'active'");
}
app(q{create function stubborn() returns int language plpgsql as $$begin
	begin perform taskq.emit(taskq.current_task(), null, '1'); exception when query_canceled then null; end; return 7; end$$});
$id = submit_call(q{'stubborn()', on_demand => true, timeout => '300 ms', retry => 'none'});
app("select taskq.want($id, 1)");
is(outcome($id), 'finished|7', 'a function that catches the cancel of a wait');

# A transaction that has said what it wants, and stays open, does not hold up the executor.
$id = submit_call(q{'lazy(int)', '[3]', on_demand => true});
app("select taskq.want($id, 2)");
wait_query($node, 'postgres', "select count(*) from taskq.emitted($id)", '2');
wait_asleep($id);
$holder->begin_work;
$holder->do("select taskq.want($id, 2)");
sql(q{set statement_timeout = '10 s'; do $$begin
	perform taskq_private.empty_events(s.current) from taskq_private.event_state s; raise 'not locked'; exception when lock_not_available then null; end$$});
pass('removing old values does not wait for it');
app("select taskq.cancel($id)");
is(outcome($id), 'cancelled|', 'the task ends');
sql(q{insert into taskq_private.demand (task_id, wanted, gone) values (0, 1, 0)});
sql(q{set statement_timeout = '10 s'; select taskq_private.drop_demand()});
is(sql('select string_agg(task_id::text, chr(32)) from taskq_private.demand'), $id, 'wants of ended tasks are forgotten, except this one');
$holder->rollback;
sql('select taskq_private.drop_demand()');
is(sql('select count(*) from taskq_private.demand'), '0', 'later this one, too');

# Other isolation levels see wants and values that come later.
foreach my $level ('repeatable read', 'serializable')
{
	sql("alter role app set default_transaction_isolation = '$level'; select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'taskq call'");
	wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where backend_type = 'taskq call'");
	$id = submit_call(q{'lazy(int)', '[3]', on_demand => true});
	$pid = wait_asleep($id);
	is(sql("select backend_xmin from pg_stat_activity where pid = $pid"), '', "$level: no snapshot before the call");
	foreach (1 .. 4)
	{
		app("select taskq.want($id, $_)");
		wait_query($node, 'postgres', "select count(*) from taskq.emitted($id)", $_) if $_ < 4;
	}
	is(outcome($id) . values_of($id), 'finished|31:1 2:4 3:9', 'values on demand');
}
sql('alter role app reset default_transaction_isolation');

# A template has the same argument.
app('alter sequence computations restart');
$id = app(q{select taskq.submit_template('{"call": "app.lazy(int)", "args": [2], "on_demand": true}')});
wait_asleep($id);
is(computed(), '0', 'a template waits, too');
app("select taskq.want($id, 3)");
is(outcome($id), 'finished|2', 'until it is wanted');

# ---- a ledger over kills -------------------------------------------------------------------------------------------------

my $kills = $ENV{TASKQ_KILLS} // 5;
my $calls = 10 * $kills;
app(q{create table ledger (task bigint);
	create function hundred() returns setof int language sql as
	'insert into app.ledger values (taskq.current_task()); select i from generate_series(1, 100) i'});
app("select count(taskq.submit_call('hundred()', delay => i * interval '20 ms', max_attempts => 1000)) from generate_series(1, $calls) i");
my @killed;
foreach (1 .. $kills)
{
	my $victim = wait_until('a process', sub {
		sql(q{select pid from pg_stat_activity where backend_type = 'taskq call' limit 1})
		  || sql(q{select count(*) = 0 from taskq.tasks where ended_at is null and queue = 'call'}) eq 't' && 'none' });
	last if $victim eq 'none';
	push @killed, $victim if kill_backend($node, $victim);
	wait_query($node, 'postgres', 'select true');
	wait_executor($node);
}
ok(@killed > 0, 'processes were killed');
wait_query($node, 'postgres', q{select count(*) = 0 from taskq.tasks where ended_at is null and queue = 'call'});
is(sql(qq{select count(*), count(distinct task) from app.ledger}), "$calls|$calls", 'each call has taken effect once');
is(sql(qq{select count(*) from taskq.tasks t, lateral (select count(*) as c, count(distinct n) as d, max(n) as m, sum(value::int) as s
	from taskq.emitted(t.id)) e where t.id in (select task from app.ledger) and (e.c, e.d, e.m, e.s) = (100, 100, 100, 5050)}), $calls, 'and has each of its values once');
$holder->disconnect;
is_consistent($node, 'after the kills');
log_is_clean($node, @killed);
done_testing();
