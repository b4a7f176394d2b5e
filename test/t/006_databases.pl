# 006_databases.pl
#		Executors and databases: who gets one, how it stands in nobody's way, what it
#		may do, and what the settings of a database can do to it.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => 'log_statement = none');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
}

# Submits $n requests that hang, in that database, and waits until they are under way.
sub hang
{
	my ($n, $path, $database) = @_;

	# They hang until the end of the test, however busy the machine is.
	sql("select count(taskq.submit_http('" . $receiver->url("/hang/0/$path") . "', '{}', timeout => '10 min'))"
		  . " from generate_series(1, $n)", $database);
	$receiver->wait_requests($n, "/hang/0/$path");
	return;
}

sub count
{
	my ($path) = @_;

	return scalar($receiver->requests("/hang/0/$path"));
}

# One test: a task that is submitted now is delivered.
sub delivers
{
	my ($what, $database) = @_;
	my $id = sql("select taskq.submit_http('" . $receiver->url('/ok') . "')", $database);

	wait_state($node, $id, 'finished', $database);
	pass("$what: tasks are delivered");
	return;
}

# One test: a command takes no longer than that.
sub quick
{
	my ($limit, $command) = @_;
	my $took = seconds(sub { sql($command) });

	cmp_ok($took, '<=', $limit, sprintf('%s takes %.2f s', $command =~ s/ '.*//r, $took));
	return;
}

# Waits until exactly these databases have an executor.
sub wait_executors
{
	my (@expected) = @_;

	wait_query($node, 'template1',
		"select string_agg(datname, ' ' order by datname) from pg_catalog.pg_stat_activity"
		  . " where backend_type = 'taskq executor'",
		join(' ', sort @expected));
	pass('executors of: ' . join(' ', sort @expected));
	return;
}

# ---- the session ---------------------------------------------------------------------

hang(50, 'busy');
my $pid = wait_executor($node);
is( sql("select a.usename, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb, r.rolreplication"
		  . " from pg_stat_activity a join pg_roles r on r.oid = a.usesysid where a.pid = $pid"),
	'taskq_bgw|f|f|f|f|f',
	'the executor is an ordinary role');
my ($out, $error) = run_command([ 'psql', '-X', '-d', $node->connstr('postgres'), '-U', 'taskq_bgw', '-c', 'select 1' ]);
is($out, '', 'no client can connect as that role');
like($error, qr/too many connections for role "taskq_bgw"/, 'because its limit is 0');

# Polls would be seen now and then; from here on the requests are all that goes on.
reconfigure($node, 'taskq.poll_interval' => '60s');
wait_query($node, 'postgres',
	"select clock_timestamp() > state_change + interval '0.6 s' from pg_stat_activity where pid = $pid");
my @samples;
foreach (1 .. 10)
{
	push @samples,
	  sql("select state, backend_xmin, backend_xid, xact_start,"
		  . " (select string_agg(distinct locktype, ' ') from pg_locks l where l.pid = a.pid)"
		  . " from pg_stat_activity a where pid = $pid");
}
is(scalar(grep { $_ ne 'idle||||advisory' } @samples), 0,
	'while requests hang it holds no snapshot, no transaction and no lock but its own')
  or diag(join "\n", @samples);
is(count('busy'), 50, '(they still hang)');
reconfigure($node, 'taskq.poll_interval' => '500ms');

# ---- commands on databases --------------------------------------------------------------

sql('create database other');
quick(1, 'drop database other');

my $space = PostgreSQL::Test::Utils::tempdir();
sql("create tablespace space location '$space'");
sql('create database app');
add_taskq($node, 'app');
hang(5, 'app', 'app');
wait_executors('app', 'postgres');

quick(2, 'alter database app rename to app2');
$receiver->wait_requests(10, '/hang/0/app');
delivers('renamed', 'app2');

quick(3, 'alter database app2 set tablespace space');
$receiver->wait_requests(15, '/hang/0/app');
delivers('moved to another tablespace', 'app2');

quick(3, 'create database copy template app2');
$receiver->wait_requests(20, '/hang/0/app');
delivers('copied', 'app2');
wait_executors('app2', 'copy', 'postgres');
wait_polls($node, 'copy');
is(sql("select count(*) from taskq.tasks where state in ('pending', 'running')", 'copy'), '5',
	'the copy has the tasks');
is(count('app'), 20, 'and sends none of them');
is(sql('select ok from taskq.status() where "check" = \'armed\'', 'copy'), 'f', 'as status() says');
sql('select taskq.arm()', 'copy');
$receiver->wait_requests(25, '/hang/0/app');
delivers('copy, armed', 'copy');

$error = ($node->psql('app2', 'drop database app2'))[2];
like($error, qr/cannot drop the currently open database/, 'a command that fails');
delivers('after a command that failed', 'app2');

# The whole of it in a transaction that is rolled back.
sql('begin; alter database app2 rename to app3; rollback');
delivers('after a renaming that was rolled back', 'app2');

quick(2, 'drop database app2');
quick(2, 'drop database copy');
wait_executors('postgres');

my $offset = log_size($node);
sql('create database forced');
add_taskq($node, 'forced');
hang(5, 'forced', 'forced');
quick(2, 'drop database forced with (force)');
wait_executors('postgres');
is(scalar(grep { /FATAL|executor of database/ } split /\n/, log_since($node, $offset)), 0,
	'an executor whose database is gone is not started again');
is(count('busy'), 50, 'all this while the first executor was busy, and undisturbed');

# ---- who gets one ----------------------------------------------------------------------

sql('create database plain');
foreach my $database (qw(one two))
{
	sql("create database $database");
	add_taskq($node, $database);
}
wait_executors('one', 'postgres', 'two');
delivers('three databases', $_) foreach qw(one two postgres);

reconfigure($node, 'taskq.databases' => 'postgres, two');
wait_executors('postgres', 'two');
$error = ($node->psql('one', "\\set VERBOSITY verbose\nselect taskq.start_executor()"))[2];
like($error, qr/TQ009:.*taskq\.databases/, 'start_executor() says which setting forbids it');
reconfigure($node, 'taskq.databases' => '*');
wait_executors('one', 'postgres', 'two');

reconfigure($node, 'taskq.executor' => 'off');
wait_query($node, 'template1',
	"select count(*) from pg_stat_activity where backend_type = 'taskq executor'", '0');
pass('taskq.executor = off stops them');
is(sql("select count(*) from taskq.tasks where state = 'pending' and attempt <= 1"), '50',
	'and they give back what they had');
like(sql('select detail from taskq.status() where "check" = \'executor\''),
	qr/taskq\.executor is off/, 'status() says why none runs');
reconfigure($node, 'taskq.executor' => 'on');
wait_executors('one', 'postgres', 'two');
sql("select count(taskq.cancel(id)) from taskq.tasks where state in ('pending', 'running')");

is(sql('select taskq.stop_executor()', 'one'), 't', 'stop_executor()');
is(executor_pid($node, 'one'), '', 'it has stopped when that returns');
is(sql('select taskq.stop_executor()', 'one'), 'f', 'once more: none was running');
like(sql('select detail from taskq.status() where "check" = \'executor\'', 'one'),
	qr/stopped/, 'status() says so');
$node->reload;
delivers('meanwhile', 'two');
is(executor_pid($node, 'one'), '', 'it stays stopped');
is(sql('select taskq.start_executor()', 'one'), 't', 'start_executor()');
isnt($pid = executor_pid($node, 'one'), '', 'it runs when that returns');
is(sql('select taskq.start_executor()', 'one'), 't', 'once more: it runs');
is(executor_pid($node, 'one'), $pid, 'and is the same');
delivers('started', 'one');

# ---- settings of a hostile owner of the database -----------------------------------------

sql("select taskq.create_retry_policy('soon', backoff => 'fixed', base => '50 ms')", 'two');

sql(<<'EOF', 'two');
create schema evil;
create function evil.clock_timestamp() returns timestamptz language plpgsql as
$$ begin raise exception 'evil function called'; end $$;
create function evil.now() returns timestamptz language plpgsql as
$$ begin raise exception 'evil function called'; end $$;
create function evil.equal(bigint, bigint) returns boolean language plpgsql as
$$ begin raise exception 'evil operator called'; end $$;
create operator evil.= (leftarg = bigint, rightarg = bigint, function = evil.equal);
create table evil.pg_database (datname name, oid oid);
create table evil.task ();
alter database two set search_path = evil, pg_catalog;
alter database two set default_transaction_read_only = on;
alter database two set default_transaction_isolation = serializable;
alter database two set default_transaction_deferrable = on;
alter database two set statement_timeout = 1;
alter database two set lock_timeout = 1;
alter database two set idle_in_transaction_session_timeout = 1;
alter database two set enable_indexscan = off;
alter database two set enable_nestloop = off;
alter database two set row_security = off;
alter database two set session_replication_role = replica;
alter database two set timezone = 'Asia/Kathmandu';
alter database two set datestyle = 'German';
alter database two set intervalstyle = 'iso_8601';
alter database two set bytea_output = 'escape';
alter database two set client_encoding = latin1;
alter database two set client_min_messages = debug5;
alter database two set role = 'taskq_reader';
EOF
$pid = executor_pid($node, 'two');
sql("select pg_terminate_backend($pid)");
wait_executor($node, 'two', $pid);
$offset = log_size($node);
# Options of a client win over the settings of a database: for us they are as usual.
my @ours = map { "-c $_" } 'search_path=public', 'default_transaction_read_only=off',
  'default_transaction_isolation=read\\\\ committed', 'statement_timeout=0', 'lock_timeout=0',
  'idle_in_transaction_session_timeout=0', 'client_encoding=utf8', 'client_min_messages=notice',
  'role=none';
my %usual = (connstr => $node->connstr('two') . " options='@ours'");
my $id = $node->safe_psql('two', "select taskq.submit_http('" . $receiver->url('/fail/1/hostile')
	  . q{', '{"a": "\u00e4"}', retry => 'soon')}, %usual);
wait_until('the end of the task', sub {
	return $node->safe_psql('two', "select state from taskq.result($id)", %usual) eq 'finished';
});
is($node->safe_psql('two', "select status, rtrim(convert_from(body, 'UTF8'), E'\n') from taskq.response($id)",
		%usual), '200|{"ok": true}', 'whatever the settings of its database, the executor delivers');
is(($receiver->requests('/fail/1/hostile'))[1]{body}, qq({"a": "\x{e4}"}), 'what was submitted');
is(scalar(grep { /evil|executor could not/ } split /\n/, log_since($node, $offset)), 0,
	'and runs no code of the owner');

# ---- databases made from a template --------------------------------------------------------

# After a restart nothing is known of the template.
sql('create extension taskq', 'template1');
$node->restart;
wait_executor($node);
sql('create database made');
wait_executor($node, 'made');
delivers('a database made from a template, which the launcher has looked at,', 'made');
# A template has no executor, and no command tells the launcher that it is none any more.
sql('create database late is_template true');
$node->restart;
wait_executor($node, 'made');
sql('alter database late is_template false');
delivers('a database that was a template until its first submit', 'late');
sql("select taskq.submit('default', '1')", 'template1');
sql('create database armed_before');
my $held = sql("select taskq.submit_http('" . $receiver->url('/ok') . "')", 'armed_before');
is(sql('select ok from taskq.status() where "check" = \'armed\'', 'armed_before'), 'f',
	'one whose template was armed is a copy');
sql('select taskq.arm()', 'armed_before');
wait_state($node, $held, 'finished', 'armed_before');
pass('arm() lets it deliver');

$node->stop;
log_is_clean($node);
done_testing();
