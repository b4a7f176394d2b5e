# 005_extension.pl
#		DROP and CREATE EXTENSION while tasks are submitted and delivered, and where
#		something of that name is there already.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => 'log_statement = none');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
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

# Lines that executors and the launcher have written to the log since then.
sub said
{
	my ($offset) = @_;

	return grep { /executor|launcher/ } split /\n/, log_since($node, $offset);
}

# ---- under load -----------------------------------------------------------------------

my $script = PostgreSQL::Test::Utils::tempdir() . '/submit.sql';
append_to_file($script, <<"EOF");
select taskq.submit_http('http://127.0.0.1:@{[$receiver->port]}/ok', '{}');
select taskq.submit('default', '{}');
begin;
select taskq.finish(id, token) from taskq.acquire('default');
end;
EOF

delivers('before');
foreach my $round (1 .. 4)
{
	my $before = () = $receiver->requests;
	sql(q{select taskq.submit_http('} . $receiver->url('/hang') . q{') from generate_series(1, 20)});
	my ($output, $offset) = ('', log_size($node));
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', '4', '-j', '2', '-T', '60', '-f', $script, $node->connstr('postgres') ],
		'<', \undef, '>', \$output, '2>&1');
	$receiver->wait_requests($before + 200);

	my $pid = wait_executor($node);
	my $took = seconds(sub { sql('drop extension taskq') });
	cmp_ok($took, '<=', 2, sprintf('round %d: DROP EXTENSION under load (%.2f s)', $round, $took));
	$load->finish;
	my @errors = grep { /error:/ && !/does not exist|Run was aborted/ } split /\n/, $output;
	is(join("\n", @errors), '', "round $round: clients are told that it is gone");
	wait_process_gone($pid);
	cmp_ok(scalar(said($offset)), '<=', 3, "round $round: the executor leaves quietly")
	  or diag(join "\n", said($offset));

	is(sql("select count(*) from pg_catalog.pg_roles where rolname like 'taskq\\_%'"), '7',
		"round $round: the roles stay");
	add_taskq($node, 'postgres');
	delivers("round $round: created again");
}

# ---- in one transaction ------------------------------------------------------------------

my $pid = wait_executor($node);
sql('begin; drop extension taskq; create extension taskq; commit');
wait_executor($node, 'postgres', $pid);
delivers('dropped and created in one transaction');

# The executor wants to look for tasks, and has to wait: it must come through that.
$pid = wait_executor($node);
my $offset = log_size($node);
my $session = $node->background_psql('postgres');
$session->query_safe('begin');
$session->query_safe('drop extension taskq');
wait_query($node, 'template1',
	"select count(*) > 0 from pg_catalog.pg_locks where pid = $pid and not granted");
wait_log($node, qr/executor could not/, $offset);
$session->query_safe('rollback');
$session->quit;
delivers('dropped and rolled back');
is(executor_pid($node), $pid, 'the executor is the one that it was');
cmp_ok(scalar(said($offset)), '<=', 6, 'and has not filled the log')
  or diag(join "\n", said($offset));

# ---- beside a library of another version -----------------------------------------------

my (undef, undef, $error) = $node->psql('postgres', q{begin;
	update pg_catalog.pg_extension set extversion = '0.9' where extname = 'taskq';
	select taskq.submit('default')});
like($error, qr/extension taskq has version 0\.9, its library has version \d/, 'calls say that the versions differ');
like($error, qr/HINT:  Install the library of version 0\.9/, 'and what to do');

# ---- in a second database ------------------------------------------------------------------

sql('create database second');
add_taskq($node, 'second');
delivers('second database', 'second');
isnt(wait_executor($node, 'second'), executor_pid($node), 'it has an executor of its own');
sql('drop extension taskq');
wait_until('the end of the executor', sub { return executor_pid($node) eq '' });
delivers('dropped in the first database', 'second');
sql('drop extension taskq', 'second');
wait_until('the end of the executor', sub { return executor_pid($node, 'second') eq '' });

# ---- an application that begins anew ----------------------------------------------------------

sql('create database reset');
add_taskq($node, 'reset');
my $kept = sql("select taskq.submit('default', '\"kept\"')", 'reset');
sql('drop schema public cascade; create schema public', 'reset');
is(sql('select payload from taskq.acquire($$default$$)', 'reset'), '"kept"', 'drop schema public cascade leaves the queue');
delivers('after that', 'reset');
sql('drop extension taskq', 'reset');
sql('drop database reset');

# ---- where something is there already ---------------------------------------------------------

# As docs/operate.md says.
sub drop_roles
{
	my $page = slurp_file('docs/operate.md');
	my ($owned) = $page =~ /^(drop owned by .*);$/m;
	my ($roles) = $page =~ /^(drop role .*);$/m;

	sql($owned, $_) foreach qw(postgres second);
	sql($roles);
	return;
}

# One test: after $setup the extension cannot be installed, and leaves nothing behind.
sub refuses
{
	my ($what, $setup, $cleanup, $expected) = @_;
	my $traces = "select (select count(*) from pg_catalog.pg_roles where rolname like 'taskq%'),"
	  . " (select count(*) from pg_catalog.pg_namespace where nspname in ('taskq', 'taskq_private')),"
	  . " (select count(*) from pg_catalog.pg_extension where extname = 'taskq')";

	sql($setup);
	my $before = sql($traces);
	my ($rc, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\ncreate extension taskq");
	like($error, qr/ERROR:  $expected:/, "$what: CREATE EXTENSION refuses with $expected");
	is(sql($traces), $before, "$what: and leaves nothing behind");
	sql($cleanup);
	return;
}

drop_roles();
is(sql("select count(*) from pg_catalog.pg_roles where rolname like 'taskq%'"), 0, 'the roles can be dropped');
sql('create role mallory');
my $drop = 'drop role taskq_owner';
refuses('owner that can log in', 'create role taskq_owner login', $drop, 'TQ007');
refuses('owner with members', 'create role taskq_owner; grant taskq_owner to mallory', $drop, 'TQ007');
refuses('owner with a password', "create role taskq_owner password 'x'", $drop, 'TQ007');
refuses('owner that may create roles', 'create role taskq_owner createrole', $drop, 'TQ007');
refuses('superuser as owner', 'create role taskq_owner superuser', $drop, 'TQ007');
$drop = 'drop role taskq_bgw';
refuses('executor role for clients', 'create role taskq_bgw login', $drop, 'TQ007');
refuses('executor role with members',
	'create role taskq_bgw login connection limit 0; grant taskq_bgw to mallory', $drop, 'TQ007');
refuses('schema', 'create schema taskq', 'drop schema taskq', '42P06');
refuses('private schema', 'create schema taskq_private', 'drop schema taskq_private', '42P06');
refuses('schema of somebody', 'create schema taskq_private authorization mallory; create table taskq_private.task (id int)',
	'drop schema taskq_private cascade', '42P06');
add_taskq($node, 'postgres');
delivers('after all');

# ---- make uninstall ----------------------------------------------------------------------------

foreach my $which ('', '-worker', '-cli')
{
	my $root = PostgreSQL::Test::Utils::tempdir();
	my @make = ('make', '-s', '--no-print-directory', 'with_llvm=no', "DESTDIR=$root",
		'PG_CONFIG=' . $node->config_data('--bindir') . '/pg_config');
	my $files = sub { return scalar(grep { -f } split /\n/, qx(find $root)) };

	system(@make, "install$which");
	cmp_ok($files->(), '>=', 2, "make install$which");
	is(qx(find $root -name '*.conf' -perm /111), '', 'no file of options is a program');
	system(@make, "uninstall$which");
	is($files->(), 0, "make uninstall$which leaves nothing");
	ok(!-e "$root/usr/local/share/doc/taskq", 'and no directory of its own');
}

$node->stop;
log_is_clean($node);
done_testing();
