# 068_examples.pl
#		examples/: in each language a program that submits a task in a transaction, and a
#		worker.  All of them must pass the same test.
#
# Python and JavaScript always; the others with TASKQ_EXAMPLES=all, as make test-all has it.
# A language whose interpreter or driver is not there is skipped.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $examples = abs_path(dirname(__FILE__) . '/../../examples');
# JDBC knows no UNIX sockets.
my $node = taskq_node('main', conf => "listen_addresses = '127.0.0.1'");
my $dir = PostgreSQL::Test::Utils::tempdir();
my $jar = '/usr/share/java/postgresql.jar';
my ($node_modules) = grep { -d "$_/pg" } '/usr/share/nodejs', ($ENV{TASKQ_NODE_PATH} // ());

# How a program is run, and what tells that it can be.
my %languages = (
	Python => { run => sub { ('python3', "$examples/python/" . lc "$_[0].py") }, there => 'import psycopg', by => [ 'python3', '-c' ] },
	JavaScript => { run => sub { ('node', "$examples/javascript/" . lc "$_[0].js") }, there => 'require("pg")', by => [ 'node', '-e' ] },
	Go => { run => sub { ("$dir/go-" . lc $_[0]) }, prepare => \&build_go, all => 1 },
	Java => { run => sub { ('java', '-XX:TieredStopAtLevel=1', '-cp', "$jar:$dir", $_[0]) }, prepare => \&build_java, all => 1 },
	Ruby => { run => sub { ('ruby', "$examples/ruby/" . lc "$_[0].rb") }, there => 'require "pg"', by => [ 'ruby', '-e' ], all => 1 },
	PHP => { run => sub { ('php', "$examples/php/" . lc "$_[0].php") }, there => 'exit(function_exists("pg_connect") ? 0 : 1);', by => [ 'php', '-r' ], all => 1 });

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER} = $node->safe_psql('postgres', 'select current_user');
$ENV{PGSSLMODE} = 'disable';
$ENV{TASKQ_JDBC} = 'jdbc:postgresql://127.0.0.1:' . $node->port . "/postgres?user=$ENV{PGUSER}";
$ENV{NODE_PATH} = $node_modules if $node_modules;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Runs a command to its end; returns its status, output and errors.
sub run
{
	my @command = @_;
	my ($out, $err) = ('', '');
	my $ok = eval { IPC::Run::run([@command], '<', \undef, '>', \$out, '2>', \$err); 1 };

	return ($ok ? $? >> 8 : 127, $out, $ok ? $err : $@);
}

sub build_go
{
	local @ENV{qw(GOPATH GO111MODULE GOCACHE GOFLAGS)} = ('/usr/share/gocode', 'off', "$dir/go-cache", '');
	foreach my $program ('submit', 'worker')
	{
		my ($status, undef, $err) = run('go', 'build', '-o', "$dir/go-$program", "$examples/go/$program.go");
		return $err if $status;
	}
	return '';
}

sub build_java
{
	return "no $jar" unless -e $jar;
	my ($status, undef, $err) = run('javac', '-d', $dir, '-cp', $jar, glob("$examples/java/*.java"));
	return $status ? $err : '';
}

# Why a language cannot be tried here; empty: it can.
sub missing
{
	my ($language) = @_;

	return $language->{prepare}->() if $language->{prepare};
	my ($status, $out, $err) = run(@{ $language->{by} }, $language->{there});
	return $status ? "$out$err" || 'not there' : '';
}

sub submitted
{
	my ($payload) = @_;

	return sql("select taskq.submit('receipts', '$payload')");
}

# The same for each language.
sub try_language
{
	my ($name, $run) = @_;

	sql('truncate orders, receipt');
	sql("select taskq.purge_queue('receipts')");

	# The data and the task: both, once, or none.
	my ($status, $id, $err) = run($run->('Submit'), 7);
	chomp $id;
	is($status, 0, "$name: submit") or diag($err);
	is(sql("select t.payload, t.key, o.state from taskq.tasks t, orders o where t.id = $id"), '{"order": 7}|receipt-7|paid', "$name: the task and the data");
	is((run($run->('Submit'), 7))[1], "$id\n", "$name: a repeat prints the same id");
	my $count = sql('select count(*) from taskq.tasks');
	isnt((run($run->('Submit'), -1))[0], 0, "$name: a mistake");
	is(sql('select count(*) from taskq.tasks'), $count, "$name: leaves no task");

	# The worker does what is there, and fails what it cannot do.
	my ($out, $errors) = ('', '');
	my $worker = IPC::Run::start([ $run->('Worker'), 'receipts' ], '<', \undef, '>', \$out, '2>', \$errors);
	wait_state($node, $id, 'finished');
	is(sql("select result ->> 'text' from taskq.result($id)"), 'order 7 is paid', "$name: the result");
	is(sql('select order_id, text from receipt'), '7|order 7 is paid', "$name: the effect");
	my $bad = submitted('{"disorder": 1}');
	wait_state($node, $bad, 'dead');
	like(sql("select error from taskq.result($bad)"), qr/order/, "$name: an error");
	my $again = submitted('{"order": 7}');
	wait_state($node, $again, 'dead');
	like(sql("select error from taskq.result($again)"), qr/duplicate key/, "$name: an error of the database");

	# It keeps its lease, and stops what is cancelled.
	my $slow = submitted('{"order": 8, "seconds": 600}');
	wait_state($node, $slow, 'running');
	my $lease = sql("select lease_until from taskq.tasks where id = $slow");
	wait_query($node, 'postgres', "select lease_until > '$lease'::timestamptz + interval '1 s' from taskq.tasks where id = $slow");
	is(sql("select attempt from taskq.tasks where id = $slow"), '1', "$name: heartbeats keep the lease");
	sql("select taskq.cancel($slow, 'enough')");
	wait_state($node, $slow, 'cancelled');
	pass("$name: a cancelled task is stopped");

	# A worker that was stopped and lost its lease changes nothing.
	my $lost = sql(q{select taskq.submit('receipts', '{"order": 9, "seconds": 0.3}', retry => 'default')});
	wait_state($node, $lost, 'running');
	$worker->signal('STOP');
	my $token = wait_until('the lease to be lost', sub { sql("select token from taskq.acquire('receipts', lease_for => '10 min')") });
	$worker->signal('CONT');
	my $after = submitted('{"order": 10}');
	wait_state($node, $after, 'finished');
	is(sql('select count(*) from receipt where order_id = 9'), '0', "$name: no effect after a lost lease");
	is(sql("select taskq.finish($lost, $token)"), 't', "$name: the other worker finishes the task");

	# It connects again: after it has waited, and while it works.
	my $terminate = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend' and query ~ 'taskq'";
	sql($terminate);
	my $reconnected = submitted('{"order": 11}');
	wait_state($node, $reconnected, 'finished');
	pass("$name: connects again");
	my $cut = sql(q{select taskq.submit('receipts', '{"order": 13, "seconds": 1}', retry => 'default')});
	wait_state($node, $cut, 'running');
	sql($terminate);
	wait_state($node, $cut, 'finished');
	is(sql('select count(*) from receipt where order_id = 13'), '1', "$name: one effect after a lost connection");

	# It gives its task back at the end.
	my $last = submitted('{"order": 12, "seconds": 600}');
	wait_state($node, $last, 'running');
	$worker->signal('TERM');
	$worker->finish;
	# A Java virtual machine tells of the signal.
	ok($worker->result(0) == 0 || $worker->full_result(0) >> 8 == 143 || ($worker->full_result(0) & 127) == 15, "$name: told to stop, it ends") or diag($errors);
	is(sql("select state, attempt from taskq.tasks where id = $last"), 'pending|0', "$name: and gives its task back");
	return;
}

$node->psql('postgres', slurp_file("$examples/schema.sql"), on_error_die => 1);
sql("select taskq.alter_queue('receipts', lease_for => '2 s', retry => 'none', keep_key => '0')");
foreach my $name (sort keys %languages)
{
	my $language = $languages{$name};
	foreach my $file (glob("$examples/" . lc($name) . '/*'))
	{
		cmp_ok(scalar(() = slurp_file($file) =~ /\n/g), '<=', 100, "$file is short");
	}
  SKIP:
	{
		skip "$name: only in make test-all", 1 if $language->{all} && ($ENV{TASKQ_EXAMPLES} // '') ne 'all';
		my $why = missing($language);
		skip "$name: " . (split /\n/, $why)[0], 1 if $why;
		try_language($name, $language->{run});
	}
}
$node->stop;
done_testing();
