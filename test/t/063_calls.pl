# 063_calls.pl
#		Calls: arguments and results, failures, timeouts and cancels, the processes that call, and
#		that what a function does and the end of its task are one.

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

# As the role, to which functions and tables belong; in one session, whose settings stay.
sub app
{
	my ($script) = @_;

	return $node->safe_psql('postgres', "set role app; set search_path = app; $script");
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Submits a call as the role; returns the id.
sub submit_call
{
	my ($arguments, %params) = @_;
	my $before = $params{before} // '';

	return (split /\n/, app("$before select taskq.submit_call($arguments)"))[-1];
}

# Waits for the end of the task; returns its state and result.
sub outcome
{
	my ($id) = @_;

	wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
	return sql("select state, result from taskq.result($id)");
}

sub attempt
{
	my ($id, $columns) = @_;

	return sql("select $columns from taskq.attempts where task_id = $id order by attempt desc limit 1");
}

sub callers
{
	return sql("select count(*) from pg_stat_activity where backend_type = 'taskq call'");
}

sql(q{
	create role app login;
	create schema app authorization app;
	select taskq.grant_queue('call', 'app', '{submit, view, control}');
	create role other login;
	grant usage on schema app to other;
	select taskq.grant_queue('call', 'other', '{submit, view}')});

# ---- arguments and results -----------------------------------------------------------------------

app(q{
	create type pair as (a int, b text);
	create type mood as enum ('good', 'bad');
	create domain positive as int check (value > 0);
	create function echo_pair(pair) returns pair language sql as 'select $1';
	create function echo_pairs(pair[]) returns pair[] language sql as 'select $1';
	create function echo_mood(mood) returns mood language sql as 'select $1';
	create function echo_positive(positive) returns positive language sql as 'select $1';
	create table seen (what text)});

# The settings of the role have no influence on its arguments.
sql(q{alter role app set array_nulls = off});
app(q{create function count_nulls(given text[]) returns bigint language sql as 'select count(*) from unnest(given) g where g is null'});
is(outcome(submit_call(q{'count_nulls(text[])', '[["a", null]]'})), 'finished|1', 'arguments do not depend on settings of the role');
sql(q{alter role app reset array_nulls});
sql(q{select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'taskq call'});
wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where backend_type = 'taskq call'");

# Each type: a value as its text; what the function gets is the same, which it compares with the
# literal under settings of its own.
my %values = (
	'int2' => [ '-5', '7' ],
	'int4' => [ '42' ],
	'int8' => [ '9223372036854775807' ],
	'numeric' => [ '12345678901234567890.5', 'NaN' ],
	'float4' => [ '1.5' ],
	'float8' => [ '0.1', 'Infinity' ],
	'boolean' => [ 'true', 'false' ],
	'text' => [ q{it's "quoted" \\ text}, '' ],
	'varchar' => [ 'abc' ],
	'char(3)' => [ 'ab' ],
	'name' => [ 'abc' ],
	'bytea' => [ '\\x00ff' ],
	'date' => [ '2026-02-03' ],
	'time' => [ '01:02:03.5' ],
	'timetz' => [ '01:02:03+02' ],
	'timestamp' => [ '2026-02-03 04:05:06.7' ],
	'timestamptz' => [ '2026-02-03 04:05:06.7+03' ],
	'interval' => [ '1 mon 2 days 03:04:05' ],
	'uuid' => [ '00112233-4455-6677-8899-aabbccddeeff' ],
	'inet' => [ '10.0.0.1/8' ],
	'cidr' => [ '10.0.0.0/8' ],
	'macaddr' => [ '08:00:2b:01:02:03' ],
	'bit(3)' => [ '101' ],
	'varbit' => [ '10101' ],
	'point' => [ '(1,2)' ],
	'box' => [ '(3,4),(1,2)' ],
	'polygon' => [ '((0,0),(1,1),(1,0))' ],
	'tsvector' => [ q{'a':1 'b':2} ],
	'tsquery' => [ q{'a' & 'b'} ],
	'int4range' => [ '[1,5)' ],
	'tstzrange' => [ '["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")' ],
	'int4multirange' => [ '{[1,3),[5,7)}' ],
	'money' => [ '12.34' ],
	'regclass' => [ 'app.seen' ],
	'regtype' => [ 'integer' ],
	'xml' => [ '<a/>' ],
	'pg_lsn' => [ '0/16B3748' ],
	'int4[]' => [ '{1,2,NULL}', '{{1,2},{3,4}}' ],
	'text[]' => [ '{"a,b",c}' ],
	'timestamptz[]' => [ '{"2026-02-03 04:05:06+00"}' ],
	'app.pair' => [ '(1,x)' ],
	'app.mood' => [ 'good' ],
	'app.positive' => [ '5' ],
);
delete $values{xml} if $node->psql('postgres', q{select '<a/>'::xml}) != 0;
my $n = 0;
my @ids;
foreach my $type (sort keys %values)
{
	$n++;
	app("create function is_$n(given $type, written text) returns boolean language plpgsql as \$\$ begin"
		  . " return given::text is not distinct from (written::$type)::text; end \$\$");
	foreach my $value (@{ $values{$type} })
	{
		(my $quoted = $value) =~ s/'/''/g;
		# The session that submits has other settings than the process that calls.
		push @ids, [ "$type '$value'", submit_call("'is_$n'::regproc::oid, jsonb_build_array('$quoted'::text, '$quoted'::text)",
			before => "set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set timezone = 'Asia/Tokyo'; set extra_float_digits = -5;") ];
	}
	push @ids, [ "$type null", submit_call("'is_$n'::regproc::oid, '[null, null]'") ];
}
is(join("\n", grep { $_ } map { outcome($_->[1]) eq 'finished|true' ? '' : "$_->[0]: " . outcome($_->[1]) . attempt($_->[1], 'error') } @ids), '',
	'a value of each type, and null, comes as it was given');

is(outcome(submit_call(q{'echo_pair(pair)', '[{"b": "x", "a": 3}]'})), 'finished|{"a": 3, "b": "x"}', 'a composite from an object');
is(outcome(submit_call(q{'echo_pairs(pair[])', '[[{"a": 1}, null, {"a": 2, "b": "y"}]]'})),
	'finished|[{"a": 1, "b": null}, null, {"a": 2, "b": "y"}]', 'an array of composites');
app(q{
	create function with_defaults(a int, b int default 10, c int default 100, d jsonb default '{}') returns jsonb
	language sql as 'select jsonb_build_array(a, b, c, d)';
	create function count_all(variadic numbers int[]) returns int language sql as 'select cardinality(numbers)';
	create function outputs(a int, out b int, out c text) language sql as $$select a + 1, 'x'$$;
	create procedure output(inout a int, out b text) language plpgsql as $$begin a := a + 1; b := 'x'; end$$;
	create function nothing() returns void language sql as '';
	create function overloaded(a int) returns text language sql as $$select 'one'$$;
	create function overloaded(a int, b int default 1) returns text language sql as $$select 'two'$$;
	create function settings() returns jsonb language sql as $$select jsonb_build_object('user', current_user, 'session', session_user,
		'path', current_setting('search_path'), 'task', taskq.current_task(), 'time', clock_timestamp() > statement_timestamp())$$});
is(outcome(submit_call(q{'with_defaults(int, int, int, jsonb)', '[1]', '{"c": 7, "d": {"deep": [null]}}'})),
	'finished|[1, 10, 7, {"deep": [null]}]', 'parameters that are not given have their defaults');
is(outcome(submit_call(q{'count_all(int[])', '[[1, 2, 3]]'})), 'finished|3', 'a variadic parameter gets an array');
is(outcome(submit_call(q{'outputs(int)', '[1]'})), 'finished|{"b": 2, "c": "x"}', 'output parameters');
is(outcome(submit_call(q{'output(int)', '[1]'})), 'finished|{"a": 2, "b": "x"}', 'output parameters of a procedure');
is(outcome(submit_call(q{'nothing()'})), 'finished|', 'a function without result');
is(outcome(submit_call(q{'overloaded(int)', '[1]'})), 'finished|"one"', 'the function is the one that was named');
is(outcome(submit_call(q{'overloaded(int, int)', '[1]'})), 'finished|"two"', 'also if the number of arguments is the same');
my $id = submit_call(q{'settings()'});
outcome($id);
is(sql("select result - 'path' from taskq.tasks where id = $id"), qq({"task": $id, "time": true, "user": "app", "session": "app"}),
	'the role, and the task, inside');
is(app('select taskq.current_task() is null'), 't', 'outside of a call there is no task');

# ---- errors ----------------------------------------------------------------------------------------

app(q{
	create function boom(what text) returns void language plpgsql as $$begin
		raise exception 'boom %', what using errcode = 'P0042', detail = 'the detail', hint = 'the hint', schema = 's', table = 't', column = 'c',
			constraint = 'k'; end$$;
	create function hopeless() returns void language plpgsql as $$begin raise exception 'hopeless' using errcode = 'TQ012'; end$$;
	create sequence tries;
	create function third_time() returns bigint language plpgsql as $$begin
		if nextval('app.tries') < 3 then raise exception 'not yet'; end if; return currval('app.tries'); end$$;
	create function large() returns text language sql as $$select repeat('x', 2000000)$$});
$id = submit_call(q{'boom(text)', '["x"]', retry => 'none'});
is(outcome($id), 'dead|', 'an exception');
is(attempt($id, q{class, error, detail - 'context'}),
	'exception|boom x|{"hint": "the hint", "table": "t", "column": "c", "detail": "the detail", "schema": "s", "sqlstate": "P0042", "constraint": "k"}',
	'with all its fields');
like(attempt($id, q{detail ->> 'context'}), qr/^PL\/pgSQL function .*boom\(text\) line 2 at RAISE$/, 'and where it was raised');
$id = submit_call(q{'hopeless()', max_attempts => 5});
is(outcome($id), 'dead|', 'TQ012');
is(sql("select attempt from taskq.tasks where id = $id"), '1', 'is not tried again');
sql(q{select taskq.create_retry_policy('soon', backoff => 'fixed', base => '10 ms')});
$id = submit_call(q{'third_time()', retry => 'soon'});
is(outcome($id), 'finished|3', 'another one is');
$id = submit_call(q{'large()', retry => 'none'});
is(outcome($id), 'dead|', 'a result that is too large');
is(attempt($id, 'error'), 'result is too large', 'fails the call');

# ---- one transaction ----------------------------------------------------------------------------------

app(q{
	create table ledger (task bigint, note text);
	create function enter(note text, fails boolean default false) returns void language plpgsql as $$begin
		insert into app.ledger values (taskq.current_task(), note); if fails then raise exception 'fails'; end if; end$$;
	create procedure enter_twice(note text) language plpgsql as $$begin
		insert into app.ledger values (taskq.current_task(), note || '1'); commit;
		insert into app.ledger values (taskq.current_task(), note || '2'); end$$;
	create procedure enter_and_fail(note text) language plpgsql as $$begin
		insert into app.ledger values (taskq.current_task(), note); commit; raise exception 'too late'; end$$;
	create function deferred() returns trigger language plpgsql as $$begin
		if new.note = 'refused' then raise exception 'refused at the commit by %', current_user; end if; return null; end$$;
	create constraint trigger deferred after insert on ledger deferrable initially deferred for each row execute function deferred();
	create function wait_for(lock int) returns void language plpgsql as $$begin
		insert into app.ledger values (taskq.current_task(), 'waited'); perform pg_advisory_xact_lock(lock); end$$});
outcome(submit_call(q{'enter(text, boolean)', '["good"]'}));
outcome(submit_call(q{'enter(text, boolean)', '["bad", true]', retry => 'none'}));
$id = submit_call(q{'enter(text, boolean)', '["refused"]', retry => 'none'});
is(outcome($id), 'dead|', 'a constraint that is checked at the commit');
is(attempt($id, 'error'), 'refused at the commit by app', 'runs as the role and fails the call');
is(outcome(submit_call(q{'enter_twice(text)', '["p"]'})), 'finished|', 'a procedure that commits');
is(outcome(submit_call(q{'enter_and_fail(text)', '["q"]', retry => 'none'})), 'dead|', 'one that fails after its commit');
is(sql(q{select string_agg(note, ' ' order by note) from app.ledger}), 'good p1 p2 q', 'what failed has left nothing, but what a procedure had committed');

# A call whose lease is lost while it runs.
my $holder = DBI->connect('dbi:Pg:' . $node->connstr('postgres'), undef, undef, { RaiseError => 1 });
$holder->do('select pg_advisory_lock(77)');
$id = submit_call(q{'wait_for(int)', '[77]', max_attempts => 1});
wait_query($node, 'postgres', "select count(*) > 0 from pg_locks where locktype = 'advisory' and not granted");
sql("update taskq_private.lease set token = token + 1 where id = $id");
$holder->do('select pg_advisory_unlock(77)');
wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where backend_type = 'taskq call' and state = 'active'");
is(sql("select count(*) from app.ledger where task = $id"), '0', 'a call whose lease is lost is rolled back');
sql("update taskq_private.lease set lease_until = now() - interval '1 s' where id = $id");
is(outcome($id), 'dead|', 'and is over when the lease has run out');

# ---- timeouts and cancels -----------------------------------------------------------------------------

app(q{
	create function sleep_on(stubborn boolean) returns void language plpgsql as $$begin
		insert into app.ledger values (taskq.current_task(), 'slept');
		loop begin perform pg_sleep(3600); exception when query_canceled then if not stubborn then raise; end if; end; end loop; end$$});
$id = submit_call(q{'sleep_on(boolean)', '[false]', timeout => '100 ms', retry => 'none'});
is(outcome($id), 'dead|', 'a timeout');
is(attempt($id, 'class, error'), 'timeout|canceling statement due to statement timeout', 'ends the call');
my $stubborn = submit_call(q{'sleep_on(boolean)', '[true]', timeout => '100 ms', retry => 'none'});
my $cancelled = submit_call(q{'sleep_on(boolean)', '[false]'});
wait_state($node, $cancelled, 'running');
is(app("select taskq.cancel($cancelled, 'enough')"), 't', 'a running call is cancelled');
is(outcome($cancelled), 'cancelled|', 'and ends so at once');
wait_query($node, 'postgres', "select not exists (select from pg_stat_activity where query like '%task $cancelled' and state = 'active')");
pass('its function is stopped');
is(outcome($stubborn), 'dead|', 'a function that catches the cancel');
is(attempt($stubborn, 'class, error'), 'timeout|the call went on after its timeout, and its process was ended', 'is stopped all the same');
$stubborn = submit_call(q{'sleep_on(boolean)', '[true]'});
wait_state($node, $stubborn, 'running');
wait_query($node, 'postgres', "select count(*) = 1 from pg_stat_activity where query like '%task $stubborn' and state = 'active'");
app("select taskq.cancel($stubborn)");
wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where query like '%task $stubborn' and state = 'active'");
is(outcome($stubborn), 'cancelled|', 'also when it was cancelled');
is(sql(q{select count(*) from app.ledger where note = 'slept'}), '0', 'nothing of all these is left');

# ---- processes -------------------------------------------------------------------------------------------

$id = submit_call(q{'sleep_on(boolean)', '[false]', retry => 'soon', max_attempts => 2});
my $pid = wait_until('the call', sub { sql("select pid from pg_stat_activity where query like '%task $id' and state = 'active'") });
is(sql("select backend_type, usename, query from pg_stat_activity where pid = $pid"), "taskq call|app|app.sleep_on(boolean) -- task $id",
	'pg_stat_activity shows the function and the task');
sql("select pg_terminate_backend($pid)");
wait_query($node, 'postgres', "select count(*) = 1 from taskq.attempts where task_id = $id");
is(attempt($id, 'class, error'), 'worker_died|the process of the call has ended', 'a process that has gone');
wait_query($node, 'postgres', "select state = 'active' and pid <> $pid from pg_stat_activity where query like '%task $id'");
is(sql("select attempt from taskq.tasks where id = $id"), '2', 'and the call is made again at once');
app("select taskq.cancel($id)");

# Progress is seen before the call ends.
app(q{
	create function tell(lock int) returns text language plpgsql as $$begin
		perform taskq.progress(taskq.current_task(), null, i / 1000.0::float8, 'step ' || i) from generate_series(1, 500) i;
		perform taskq.progress(taskq.current_task(), null, 0.5, repeat('long ', 2000) || i) from generate_series(1, 50) i;
		perform taskq.progress(taskq.current_task(), null, 0.5, 'step 50');
		perform pg_advisory_xact_lock(lock); return 'told'; end$$;
	create function tell_others(id bigint) returns boolean language sql as $$select taskq.progress(id, null, 0.5)$$});
$holder->do('select pg_advisory_lock(77)');
$id = submit_call(q{'tell(int)', '[77]'});
wait_query($node, 'postgres', "select fraction::text, message from taskq.tasks where id = $id", '0.5|step 50');
is(sql("select state from taskq.tasks where id = $id"), 'running', 'progress is seen while the call goes on');
my $forged = submit_call(qq{'tell_others(bigint)', '[$id]', retry => 'none'});
is(outcome($forged), 'dead|', 'a call tells only of its own task');
is(attempt($forged, 'error'), 'token must not be NULL', 'for others it needs the token');
$holder->do('select pg_advisory_unlock(77)');
is(outcome($id), 'finished|"told"', 'the call ends');

# Places: two processes, of one role or of two.
app(q{create function hold(lock int) returns int language plpgsql as $$begin perform pg_advisory_xact_lock_shared(lock); return pg_backend_pid(); end$$;
	grant execute on function hold(int) to other});
$holder->do('select pg_advisory_lock(78)');
my @held = map { submit_call(q{'hold(int)', '[78]'}) } 1 .. 4;
wait_query($node, 'postgres', "select count(*) from pg_stat_activity where backend_type = 'taskq call' and state = 'active'", '2');
is(sql("select count(*) from taskq.tasks where state = 'running'"), '2', 'no more calls are claimed than there are places');
my $of_other = (split /\n/, $node->safe_psql('postgres', q{set role other; select taskq.submit_call('app.hold(int)', '[78]', priority => -1)}))[-1];
$holder->do('select pg_advisory_unlock(78)');
is(join(' ', map { outcome($_) =~ /^finished/ ? 1 : outcome($_) } @held, $of_other), '1 1 1 1 1', 'others wait for a place, also one of another role');
is(sql("select count(distinct result) > 1 from taskq.tasks where id = any ('{" . join(',', @held, $of_other) . "}')"), 't', 'whose process is another one');
reconfigure($node, 'taskq.call_workers' => 0);
wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where backend_type = 'taskq call'");
$id = submit_call(q{'hold(int)', '[79]'});
reconfigure($node, 'taskq.call_workers' => 1);
like(outcome($id), qr/^finished/, 'the number of places is a setting');
reconfigure($node, 'taskq.call_workers' => 2);
wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where backend_type = 'taskq call'");
pass('a process without work ends after some seconds');

# ---- stop and start --------------------------------------------------------------------------------------------

$id = submit_call(q{'sleep_on(boolean)', '[false]'});
wait_query($node, 'postgres', "select count(*) = 1 from pg_stat_activity where query like '%task $id' and state = 'active'");
is(sql('select taskq.stop_executor()'), 't', 'the executor stops');
is(sql("select state, attempt from taskq.tasks where id = $id"), 'pending|0', 'the call was given back');
is(callers(), '0', 'and its process has ended');
sql('select taskq.start_executor()');
wait_query($node, 'postgres', "select count(*) = 1 from pg_stat_activity where query like '%task $id' and state = 'active'");
app("select taskq.cancel($id)");

# A call holds up neither DROP EXTENSION nor DROP DATABASE.
sql('create database leaving');
foreach my $command ('drop extension taskq', undef)
{
	add_taskq($node, 'leaving');
	$node->safe_psql('leaving', q{select taskq.grant_queue('call', 'app', '{submit}'); set role app;
		select taskq.submit_call('pg_catalog.pg_sleep(float8)', '[3600]')});
	wait_query($node, 'postgres', "select count(*) = 1 from pg_stat_activity where datname = 'leaving' and backend_type = 'taskq call' and state = 'active'");
	$node->safe_psql('leaving', $command) if defined $command;
	wait_query($node, 'postgres', "select count(*) = 0 from pg_stat_activity where datname = 'leaving' and backend_type = 'taskq call'") if defined $command;
}
is($node->psql('postgres', 'drop database leaving'), 0, 'a call that runs does not keep its extension or its database from being dropped');

# No process is free for calls: other things go on.
$holder->disconnect;
my $receiver = TaskqTest::Receiver->start;
$node->append_conf('postgresql.conf', 'max_worker_processes = 3'); # launcher, executor, logical replication
$node->restart;
wait_executor($node);
$id = submit_call(q{'nothing()'});
wait_query($node, 'postgres', q{select detail like '%could not start a process for calls: no background worker is free%' from taskq.status() where "check" = 'failures'});
is(sql(q{select severity, hint from taskq.status() where "check" = 'failures'}), 'warning|Raise max_worker_processes and restart the server.',
	'status() says when no process is free');
my $request = sql("select taskq.submit_http('" . $receiver->url('/ok') . "')");
is(outcome($request), 'finished|', 'requests are sent all the same');
is(sql("select state, attempt from taskq.tasks where id = $id"), 'pending|0', 'the call waits, and no attempt is used up');
$node->append_conf('postgresql.conf', 'max_worker_processes = 12');
$node->restart;
is(outcome($id), 'finished|', 'until one is');

# ---- a ledger over kills -----------------------------------------------------------------------------------------

my $kills = $ENV{TASKQ_KILLS} // 5;
my $calls = 20 * $kills;
app("select count(taskq.submit_call('enter(text, boolean)', jsonb_build_array('kill ' || i), delay => i * interval '20 ms', max_attempts => 1000))"
	. " from generate_series(1, $calls) i");
my @killed;
foreach (1 .. $kills)
{
	my $victim = wait_until('a process', sub {
		sql(q{select pid from pg_stat_activity where backend_type = 'taskq call' limit 1})
		  || sql(q{select count(*) = 0 from taskq.tasks where ended_at is null}) eq 't' && 'none' });
	last if $victim eq 'none';
	push @killed, $victim if kill_backend($node, $victim);
	wait_query($node, 'postgres', 'select true');
	wait_executor($node);
}
ok(@killed > 0, 'processes were killed');
wait_query($node, 'postgres', 'select count(*) = 0 from taskq_private.task');
is(sql(q{select count(*), count(distinct note), count(distinct task) from app.ledger where note like 'kill%'}), "$calls|$calls|$calls",
	'each call has taken effect once, whatever was killed');
is(sql(q{select count(*) from taskq.tasks t where state = 'finished' and exists (select from app.ledger l where l.task = t.id and l.note like 'kill%')}), $calls,
	'and those are the finished ones');
is_consistent($node, 'after the kills');
log_is_clean($node, @killed);
done_testing();
