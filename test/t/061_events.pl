# 061_events.pl
#		The stream of events: each event once, whatever commits when, over restarts of readers and
#		servers, prepared transactions and a wrap-around of transaction numbers; events that are no
#		longer kept; values of generators, also on demand.
#
# TASKQ_EVENT_SECONDS is for `make test-all`: so long the writers of the ledger write, instead of 3.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $seconds = $ENV{TASKQ_EVENT_SECONDS} // 3;
my $node = taskq_node('main', conf => "max_prepared_transactions = 10\nautovacuum = off\nwal_writer_delay = '10 s'\ntaskq.poll_interval = '500 ms'");
my $dir = PostgreSQL::Test::Utils::tempdir();
my $all = "taskq_private.event_names()";

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# The error that a statement raises: its SQLSTATE and message.
sub error_of
{
	my ($statement) = @_;

	return sql("do \$do\$ begin $statement; raise 'none'; exception when others then perform set_config('test.e', sqlstate || ' ' || sqlerrm, false); end \$do\$;
		select current_setting('test.e')");
}

# Every event that is kept, as "number task".
my $kept = join ' union all ', map { "select number, task_id, xid, kind from taskq_private.event_$_" } 0 .. 9;

sql("select taskq.create_queue('work', events => $all)");

# Whether a program that was started is still running.
sub runs
{
	my ($run) = @_;

	return eval { $run->pump_nb; 1 } && $run->pumpable;
}

# ---- the ledger ---------------------------------------------------------------------------

# A reader, whose sessions are new ones now and then.
sub reader
{
	my ($cursor) = @_;

	return { cursor => $cursor // sql('select cursor from taskq.events_after()'), seen => [] };
}

# Reads once, so many events at most, and returns their number.
sub read_some
{
	my ($reader, $most, $in) = @_;
	my $found = 0;

	foreach my $line (split /\n/, ($in // $node)->safe_psql('postgres', "select cursor, task_id, event from taskq.events_after('$reader->{cursor}', $most)"))
	{
		my ($cursor, $task, $event) = $line =~ /^(.*\|.*\|[^|]*)\|(\d*)\|(\w*)$/ or die "bad row: $line";
		$reader->{cursor} = $cursor;
		next if $event eq '';
		push @{ $reader->{seen} }, "$task $event";
		$found++;
	}
	return $found;
}

sub read_all
{
	my ($reader, $in) = @_;

	# Comes to an end also if it gets the same events again and again.
	1 while read_some($reader, 1 + int rand 400, $in) && @{ $reader->{seen} } <= last_number();
	return;
}

# One test: the reader has each event that was committed since, once, and those of a task in order.
sub has_all
{
	my ($reader, $since, $what) = @_;
	my @committed = split /\n/, sql("select e.task_id || ' ' || (taskq_private.event_names())[e.kind + 1] from ($kept) e where e.number > $since and xid is not null order by e.number");
	my (%expected, %seen);

	push @{ $expected{ (split)[0] } }, $_ foreach @committed;
	push @{ $seen{ (split)[0] } }, $_ foreach @{ $reader->{seen} };
	my @wrong = grep { join(',', @{ $expected{$_} // [] }) ne join(',', @{ $seen{$_} // [] }) } keys %{ { %expected, %seen } };
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(' ', map { "$_: " . join(',', @{ $seen{$_} // [] }) } @wrong[0 .. ($#wrong < 3 ? $#wrong : 3)]), '', "$what: each of " . @committed . ' events once, in the order of its task');
	return scalar @committed;
}

sub last_number
{
	return sql('select case when is_called then last_value else 0 end from taskq_private.event_number');
}

# Writers: transactions with pauses, savepoints and rollbacks; values, and whole lives of tasks.
append_to_file("$dir/write.sql", <<'END');
\set kind random(1, 8)
\set pause random(0, 20)
begin;
select taskq.submit('work', '1') as first \gset
select pg_sleep(:pause / 1000.0);
savepoint s;
select taskq.submit('work', '2');
\if :kind = 1
rollback to s;
\endif
\if :kind = 2
release s;
savepoint t;
select taskq.cancel(:first);
\endif
\if :kind = 3
rollback;
begin;
\endif
select pg_sleep(:pause / 2000.0);
commit;
\if :kind > 3
begin;
select coalesce(max(taskq.emit(id, token, '"v"')), 0), coalesce(bool_or(taskq.finish(id, token)), false) from taskq.acquire('work', 2);
commit;
\endif
END
my $before = last_number();
my $reader = reader();
my $long = $node->background_psql('postgres');
my $writers = IPC::Run::start([ 'pgbench', '-n', '-c', 12, '-j', 2, '-T', $seconds, '-f', "$dir/write.sql", $node->connstr('postgres') ], '<', \undef, '>', \my $out, '2>', \my $err);

# One transaction is open nearly all the time; the reader passes it all the same.
$long->query_safe("begin; select taskq.submit('work', '\"long\"')");
my $passed = 0;
my $until = time() + $seconds * 0.8;
while (time() < $until)
{
	# A new session each time now and then.
	local $node->{taskq_keeps} = rand() < 0.8 ? 1 : 0;
	$passed += read_some($reader, 1 + int rand(rand() < 0.5 ? 5 : 500));
}
cmp_ok($passed, '>', 50, 'a long transaction holds up no reader');
unlike(join("\n", @{ $reader->{seen} }), qr/long/, 'nor is it seen');
$long->query_safe('commit');
$long->quit;
ok($writers->finish, 'the writers have written') or diag($err);
read_all($reader);
my $written = has_all($reader, $before, 'writers with pauses, savepoints and rollbacks, and a long transaction');
cmp_ok($written, '>', 100, 'they were many');

# A transaction that has written when the cursor is taken, and has a greater number than all that have ended.
my $last = $node->background_psql('postgres');
$before = last_number();
$last->query_safe("begin; select count(*) from taskq.submit_many('work', array_fill('1'::jsonb, '{100}'))");
$reader = reader();
$last->query_safe('commit');
$last->quit;
read_all($reader);
has_all($reader, $before, 'the last transaction that has begun');

# From the same cursor in other steps, it is the same.
my $again = reader("$reader->{cursor}");
sql("select taskq.submit_many('work', array_agg(to_jsonb(i))) from generate_series(1, 50) i");
$before = last_number() - 50;
read_some($again, 1) for 1 .. 50;
has_all($again, $before, 'one by one');

# ---- readers that are killed ------------------------------------------------------------------

# A reader that keeps what it has read, and its cursor, in one transaction is killed again and again.  It locks
# the cursor, so that two of them, one of which is still dying, do not read the same.
sql("create table ledger (task bigint, event text); create table place as select cursor from taskq.events_after()");
append_to_file("$dir/read.sql", <<'END');
begin;
select cursor from place for update \gset
with e as materialized (select row_number() over () as n, * from taskq.events_after(:cursor, 7)),
	kept as (insert into ledger select task_id, event from e where event is not null)
	update place set cursor = (select e.cursor from e order by n desc limit 1);
commit;
END
$before = last_number();
$writers = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', $seconds, '-f', "$dir/write.sql", $node->connstr('postgres') ], '<', \undef, '>', \$out, '2>', \$err);
my $kills = 0;
while (runs($writers))
{
	my $run = IPC::Run::start([ 'pgbench', '-n', '-M', 'extended', '-c', 1, '-t', 100000, '-f', "$dir/read.sql", $node->connstr('postgres') ], '<', \undef, '>', \my $o, '2>', \my $e);
	my $goal = sql('select count(*) from ledger') + 20;
	wait_until('events in the ledger', sub { sql('select count(*) from ledger') >= $goal || !runs($writers) });
	$run->kill_kill;
	sql("select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'pgbench' and query ~ 'ledger|place'");
	$kills++;
}
$writers->finish;
while (1)
{
	my $count = sql('select count(*) from ledger');
	sql("begin; select cursor from place for update;
		with e as materialized (select row_number() over () as n, * from taskq.events_after((select cursor from place), 100)),
		kept as (insert into ledger select task_id, event from e where event is not null)
		update place set cursor = (select e.cursor from e order by n desc limit 1); commit");
	last if $count > last_number() || sql('select count(*) from ledger') == $count;
}
is(sql("with c as (select e.task_id, (taskq_private.event_names())[e.kind + 1] as event, count(*) from ($kept) e where e.number > $before and xid is not null group by 1, 2),
	l as (select task, event, count(*) from ledger group by 1, 2)
	select count(*) || coalesce(min(concat_ws(' ', ': task', task_id, task, c.event, l.event, 'was committed', c.count, 'and read', l.count)), '')
	from c full join l on (l.task, l.event) = (c.task_id, c.event) where c.count is distinct from l.count"),
	'0', "a reader that was killed $kills times: no gap, none twice");

# ---- waiting ------------------------------------------------------------------------------------

# The executor wakes those that wait, and notifies those that listen.
reconfigure($node, 'taskq.poll_interval' => '60 s');
my $listener = $node->background_psql('postgres');
$listener->query_safe('listen taskq_events');
my $cursor = sql('select cursor from taskq.events_after()');
my $waiter = IPC::Run::start([ 'psql', '-XqAt', '-c', "call taskq.wait_events('$cursor', '50 s')", $node->connstr('postgres') ], '<', \undef, '>', \my $ready, '2>', \$err);
wait_query($node, 'postgres', "select count(*) > 0 from pg_stat_activity where query like 'call taskq.wait_events%' and wait_event_type in ('Extension', 'Extension') and backend_xmin is null");
sql("select taskq.submit('work', '1')");
my $took = seconds(sub { $waiter->finish });
is($ready, "t\n", 'wait_events() finds an event');
cmp_ok($took, '<', 20, 'it was woken');
like($listener->query('select 1') . ($listener->{stderr} // '') . ($listener->{stdout} // ''), qr/1/, 'a session that listens goes on');
$listener->quit;
reconfigure($node, 'taskq.poll_interval' => '500 ms');

# ---- prepared transactions -----------------------------------------------------------------------

$before = last_number();
$reader = reader();
sql("begin; select taskq.submit('work', '1'); prepare transaction 'late'");
sql("begin; select taskq.submit('work', '1'); prepare transaction 'never'");
sql("select taskq.submit('work', '1')");
read_all($reader);
is(scalar @{ $reader->{seen} }, 1, 'prepared transactions hold up no reader');
sql("rollback prepared 'never'");
sql("commit prepared 'late'");
is(sql("call taskq.wait_events('$reader->{cursor}', '20 s')"), 't', 'the commit of a prepared transaction is found');
read_all($reader);
has_all($reader, $before, 'a prepared transaction that was committed, and one that was rolled back');

# ---- a crash ---------------------------------------------------------------------------------------

# The commit of a claim need not be durable.  What a reader has seen is.
$before = last_number();
$reader = reader();
my $task = sql("select taskq.submit('work', '1')");
sql("select count(*) from taskq.acquire('work', 1000)");
read_all($reader);
my $claimed = grep { /started/ } @{ $reader->{seen} };
cmp_ok($claimed, '>', 0, 'claims are seen');
kill_server($node);
$node->start;
sql("select count(*) from taskq.submit_many('work', array_fill('1'::jsonb, '{200}'))");
read_all($reader);
has_all($reader, $before, 'over a crash of the server');

# ---- what is no longer kept ------------------------------------------------------------------------

reconfigure($node, 'taskq.max_events' => 1000);
$reader = reader();
$before = last_number();
my $idle = reader();
# A tailer sees all, although only a part is kept at a time.
for my $i (1 .. 12)
{
	sql("select count(*) from taskq.submit_many('work', array_fill('1'::jsonb, '{250}'))");
	read_all($reader);
	wait_until('the executor to trim the events', sub { sql("select count(*) from ($kept) e") <= 1300 });
}
is(scalar @{ $reader->{seen} }, 3000, 'a tailer sees all events of a stream of which a part is kept');
cmp_ok(sql("select count(*) from ($kept) e"), '<=', 1300, 'which stays short');
like(error_of("perform taskq.events_after('$idle->{cursor}')"), qr/^TQ011 events behind the cursor are no longer kept/, 'a reader that was away too long is told');
# A table that is in use is emptied later.
my $holder = $node->background_psql('postgres');
$holder->query_safe("begin; select count(*) from taskq.events_after('$reader->{cursor}')");
my $tables = sql('select count(*) from taskq_private.event_leaf');
sql("select count(*) from taskq.submit_many('work', array_fill('1'::jsonb, '{250}'))") for 1 .. 6;
wait_polls($node);
cmp_ok(sql("select count(*) from ($kept) e"), '>', 1300, 'no table is emptied while a transaction reads it');
$holder->query_safe('commit');
$holder->quit;
wait_until('the executor to trim the events', sub { sql("select count(*) from ($kept) e") <= 1300 });
reconfigure($node, 'taskq.max_events' => 1000000, 'taskq.keep_events' => '8 s');
# By age, also if nothing comes any more.
$idle = reader();
sql("select taskq.submit('work', '1')");
wait_until('old events to go', sub { sql("select count(*) from ($kept) e") == 0 });
like(error_of("perform taskq.events_after('$idle->{cursor}')"), qr/^TQ011/, 'events are kept for their time');
reconfigure($node, 'taskq.keep_events' => '1 d');

# ---- generators --------------------------------------------------------------------------------------

sql("select taskq.create_queue('gen', retry => 'none')");

# The consumer sees value n before the producer has made value n + 1.
my $id = sql("select taskq.submit('gen', '5')");
my $token = sql("select token from taskq.acquire('gen', lease_for => '10 min')");
my @got;
for my $n (1 .. 5)
{
	sql("select taskq.emit($id, $token, '" . $n * $n . "')");
	is(sql("call taskq.wait_emitted($id, " . ($n - 1) . ")"), $n, "value $n is seen before the next one is made");
	push @got, sql("select value from taskq.emitted($id, " . ($n - 1) . ")");
}
sql("select taskq.finish($id, $token, '55')");
is(sql("call taskq.wait_emitted($id, 5)"), '', 'the end of the task ends the wait');
is("@got", '1 4 9 16 25', 'all values');
is(sql("select string_agg(value::text, ' ' order by n) from taskq.emitted($id)"), "@got", 'reading them again replays');
is(sql("select result from taskq.result($id)"), '55', 'and the result is there as well');

# A waiting consumer is woken by the commit of a value.
reconfigure($node, 'taskq.poll_interval' => '60 s');
$id = sql("select taskq.submit('gen', '5')");
$token = sql("select token from taskq.acquire('gen', lease_for => '10 min')");
$waiter = IPC::Run::start([ 'psql', '-XqAt', '-c', "call taskq.wait_emitted($id, 0, '50 s')", $node->connstr('postgres') ], '<', \undef, '>', \$ready, '2>', \$err);
wait_query($node, 'postgres', "select count(*) > 0 from pg_stat_activity where query like 'call taskq.wait_emitted%' and wait_event_type = 'Extension'");
sql("select taskq.emit($id, $token, '1')");
$took = seconds(sub { $waiter->finish });
is($ready, "1\n", 'a value wakes the consumer');
cmp_ok($took, '<', 20, 'at once');

# A producer that fails at 3 begins again: it passes n, and what is there already stays.
sql("select taskq.fail($id, $token, 'x')");
reconfigure($node, 'taskq.poll_interval' => '500 ms');
$id = sql("select taskq.submit('gen', '5', retry => 'default')");
for my $attempt (1, 2)
{
	$token = sql("select token from taskq.acquire('gen', lease_for => '10 min')");
	sql("select taskq.emit($id, $token, '\"$attempt.$_\"', $_)") for 1 .. ($attempt == 1 ? 3 : 5);
	$attempt == 1 ? sql("select taskq.fail($id, $token, 'at 3', retry_in => '0')") : sql("select taskq.finish($id, $token)");
}
is(sql("select string_agg(value #>> '{}', ' ' order by n) from taskq.emitted($id)"), '1.1 1.2 1.3 2.4 2.5', 'values stay over a failed attempt');

# On demand: 2 of 10 are wanted, 2 are computed.
$id = sql("select taskq.submit('gen', '10')");
append_to_file("$dir/lazy.sh", <<'END');
set -e
run() { psql -XqAt -v ON_ERROR_STOP=1 "$PGCONN" -c "$1"; }
IFS='|' read id token <<< $(run "select id, token from taskq.acquire('gen', lease_for => '10 min')")
for n in 1 2 3 4 5 6 7 8 9 10; do
	until [ "$(run "call taskq.wait_wanted($id, $token, $n, '10 s')")" = t ]; do
		[ -n "$(run "select * from taskq.heartbeat($id, $token)")" ] || exit 0
	done
	run "select taskq.emit($id, $token, '$((n * n))')" > /dev/null
done
END
$ENV{PGCONN} = $node->connstr('postgres');
my $lazy = IPC::Run::start([ 'bash', "$dir/lazy.sh" ], '<', \undef, '>', \$out, '2>', \$err);
is(sql("call taskq.wait_emitted($id, 0, '0')"), '', 'nothing is computed before it is wanted');
is(sql("select taskq.want($id, 1)"), 't', 'the consumer asks');
is(sql("call taskq.wait_emitted($id, 0, '30 s')"), '1', 'and gets the first');
sql("select taskq.want($id, 2)");
is(sql("call taskq.wait_emitted($id, 1, '30 s')"), '2', 'and the second');
wait_query($node, 'postgres', "select count(*) > 0 from pg_stat_activity where query like 'call taskq.wait_wanted(%, 3, %' and wait_event_type = 'Extension'");
is(sql("select count(*) from taskq.emitted($id)"), '2', '2 of 10 were wanted, 2 were computed');
sql("select taskq.cancel($id)");
sql("select taskq.drop_queue('gen', force => true)");
$lazy->kill_kill;

log_is_clean($node, $node->{killed} // ());
$node->stop;

# ---- numbers of transactions that wrap around ----------------------------------------------------------

# The next number of 32 bits is near its end.  All rows are frozen, for which no transaction may be
# open, and the log of transactions has a page for it.
my $wrap = taskq_node('wrap', conf => 'autovacuum = off');
$wrap->safe_psql('postgres', "select taskq.create_queue('work', events => $all); select taskq.create_queue('other')");
$wrap->safe_psql('postgres', 'alter database template0 allow_connections on');
$wrap->safe_psql('postgres', 'select taskq.stop_executor()');
wait_query($wrap, 'postgres',
	'select count(*) = 0 from pg_stat_activity where pid <> pg_backend_pid() and (backend_xmin is not null or backend_xid is not null)');
$wrap->safe_psql($_, 'vacuum freeze') for qw(postgres template1 template0);
$wrap->stop;
my $segment = $wrap->data_dir . '/pg_xact/0FFF';
append_to_file($segment, "\0" x (256 * 1024));
$wrap->command_ok([ 'pg_resetwal', '-x', 4294967296 - 150, '-u', 4294967296 - 100000000, '-D', $wrap->data_dir ], 'pg_resetwal');
$wrap->start;
my $own = $node;
$node = $wrap;
$before = last_number();
$reader = reader();
cmp_ok(sql('select pg_current_xact_id()'), '<', 4294967296, 'before the wrap-around');
my $open = $wrap->background_psql('postgres');
$open->query_safe("begin; select taskq.submit('work', '\"open\"')");
sql("select taskq.submit('work', '1')"), $_ % 10 || read_some($reader, 20) for 1 .. 200;
cmp_ok(sql('select pg_current_xact_id()'), '>', 4294967296, 'after it');
$open->query_safe('commit');
$open->quit;
read_all($reader);
has_all($reader, $before, 'over a wrap-around of the numbers');
$wrap->stop;

done_testing();
