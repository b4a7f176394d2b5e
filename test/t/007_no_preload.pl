# 007_no_preload.pl
#		Without shared_preload_libraries: the same, by polling, with an executor that
#		is started by hand.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', preload => 0, conf => "taskq.poll_interval = '200ms'");
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
}

# What status() finds of the processes.
sub status
{
	my ($database) = @_;

	return sql(q{select string_agg("check" || ' ' || ok, ', ') from taskq.status()}
		  . q{ where "check" in ('preloaded', 'executor')}, $database);
}

is(sql("select count(*) from pg_stat_activity where backend_type ~ 'taskq'"), '0',
	'no background process runs');
is(status(), 'preloaded false, executor false', 'status() says so');

# ---- taskq setup -------------------------------------------------------------------------

# Runs it in a new database; returns what it printed.
sub setup
{
	my ($stdout, $stderr) = ('', '');
	my $connection = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';

	IPC::Run::run([ 'build/cli/taskq', 'setup', '-d', $connection, @_ ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8) . "\n$stdout$stderr";
}

# Sees what it is called with, instead of changing a cluster.
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/pg_conftool", qq(#!/bin/sh\necho "called: \$*"\n));
# Knows one cluster.
append_to_file("$dir/pg_lsclusters", qq(#!/bin/sh\n[ "\$*" = "--no-header 17 main" ] && echo 17 main ) . $node->port . " online postgres /data /log\n");
chmod 0755, "$dir/pg_conftool", "$dir/pg_lsclusters";
$node->safe_psql('postgres', $_) foreach ('create database one', 'create database two');
{
	local $ENV{PATH} = "$dir:$ENV{PATH}";

	like(setup('one', '--dry-run'), qr/^0\nThe library is not preloaded\..*alter system set shared_preload_libraries = 'taskq';\none: create extension taskq;\n/s,
		'setup --dry-run');
	is($node->safe_psql('one', "select count(*) from pg_extension where extname = 'taskq'"), '0', 'does nothing');
	like(setup('one', 'two', '-o', 'table'), qr/one: the extension was created\.\n✗ preloaded .*two: the extension was created\.\n✗ preloaded /s,
		'setup creates the extension in databases, and prints their status');
	like(setup('one'), qr/one: the extension is there, version [\d.]+\.\n/, 'it can be repeated');
	$node->safe_psql('postgres', "alter system set shared_preload_libraries = 'pg_stat_statements', 'auto_explain'");
	like(setup('one'), qr/shared_preload_libraries = 'pg_stat_statements', 'auto_explain', 'taskq';/, 'what is preloaded stays');
	like(setup('one', '--cluster', '17/main'),
		qr/called: 17 main set shared_preload_libraries pg_stat_statements, auto_explain, taskq\nRestart the server: pg_ctlcluster 17 main restart\n/,
		'setup --cluster');
	$node->safe_psql('postgres', "alter system set shared_preload_libraries = 'taskq'");
	like(setup('one'), qr/^0\nThe library will be preloaded at the next start/, 'what the next start changes');
	$node->safe_psql('postgres', 'alter system reset shared_preload_libraries');
	$node->safe_psql('postgres', 'create role bob login');
	like(setup('-U', 'bob'), qr/^5\n.*bob may not see shared_preload_libraries/s, 'a role that may not see the setting');
	$node->safe_psql('postgres', 'drop role bob');
	my $out = '';
	IPC::Run::run([ 'build/cli/taskq', 'setup', '-h', $node->host, '--cluster', '17/main', '--dry-run', 'one' ],
		'<', \undef, '>&', \$out, init => sub { delete @ENV{ 'PGPORT', 'TASKQ_DATABASE' } });
	is($? >> 8, 0, 'setup --cluster finds the port') or diag($out);
	like(setup('--cluster', 'main'), qr/^2\n.*is not VERSION\/NAME/s, 'no cluster');
	like(setup('--cluster', '17/other'), qr/^3\n.*there is no cluster 17\/other\n.*pg_lsclusters/s, 'a cluster that is not there');
}
$node->safe_psql('postgres', "drop database $_") foreach ('one', 'two');

# ---- the SQL API --------------------------------------------------------------------

my $id = sql(q{select taskq.submit('default', '{"a": 1}')});
my ($task, $token) = split /\|/, sql("select id, token from taskq.acquire('default', lease_for => '1 s')");
is($task, $id, 'a task can be acquired');
my ($again, $new_token);
wait_until('its lease to come back by acquire()', sub {
	($again, $new_token) = split /\|/, sql("select id, token from taskq.acquire('default')");
	return defined $again;
});
pass('its lease comes back by acquire()');
is($again, $id, 'to another worker');
isnt($new_token, $token, 'with another token');
is(sql("select taskq.finish($id, $token)"), 'f', 'the first one cannot finish it');
is(sql("select taskq.finish($id, $new_token, '[2]')"), 't', 'the second one can');
is(sql("select state, result from taskq.result($id)"), 'finished|[2]', 'it is finished');
$id = sql("select taskq.submit('default')");
($task, $token) = split /\|/, sql("select id, token from taskq.acquire('default')");
is(sql("select taskq.fail($task, $token, 'oh', retry_in => '1 hour')"), 'pending', 'fail()');
is(sql("select taskq.cancel($id)"), 't', 'cancel()');
is(sql("select taskq.retry($id)"), 't', 'retry()');
($task, $token) = split /\|/, sql("select id, token from taskq.acquire('default')");
is(sql("select taskq.release($task, $token)"), 't', 'release()');

# ---- prerequisites ---------------------------------------------------------------------

# Sessions that acquire tasks look once a second.
sub first_and_then
{
	return split /\|/, sql("select f, taskq.submit('chain', kind => 'then', after => array[f]) from taskq.submit('chain') f");
}

sql("select taskq.create_queue('chain')");
my ($first, $then) = first_and_then();
is(sql("select taskq.finish(id, token) from taskq.acquire('chain') where id = $first"), 't', 'a task that another one waits for ends');
wait_until('the task that waited', sub { return sql("select id from taskq.acquire('chain')") eq $then });
pass('a task that waited for another one is acquired');

# ---- the executor ----------------------------------------------------------------------

my $url = $receiver->url('/ok');
$id = sql("select taskq.submit_http('$url', '{}')");
is(sql('select taskq.start_executor()'), 't', 'start_executor()');
my $pid = wait_executor($node);
wait_state($node, $id, 'finished');
is(status(), 'preloaded false, executor true', 'it delivers, and status() says that it runs');
is(sql('select taskq.start_executor()'), 't', 'once more: it runs');
is(executor_pid($node), $pid, 'and is the same');
$id = sql("select taskq.submit_http('$url', '{}')");
my $took = seconds(sub { wait_state($node, $id, 'finished') });
cmp_ok($took, '<', 2, sprintf('what is submitted now is found by polling (%.2f s)', $took));
is(sql("select usename from pg_stat_activity where pid = $pid"), 'taskq_bgw', 'it is an ordinary role');

($first, $then) = first_and_then();
sql("select taskq.finish(id, token) from taskq.acquire('chain') where id = $first");
wait_query($node, 'postgres', "select run_at is not null from taskq.tasks where id = $then");
pass('the executor looks at a task that waits');
sql("select taskq.cancel($then)");

sql("select taskq.schedule('s', '{\"queue\": \"default\"}', every => '1 s', overlap => 'allow')");
$took = seconds(sub { wait_query($node, 'postgres', "select count(*) >= 2 from taskq.schedule_runs where outcome = 'submitted'") });
cmp_ok($took, '<', 4, sprintf('a schedule fires (%.2f s)', $took));
sql("select taskq.unschedule('s')");
sql(q{create role app login; select taskq.grant_queue('call', 'app', '{submit, view}')});
$id = (split /\n/, sql(q{set role app; select taskq.submit_call('pg_catalog.upper(text)', '["called"]')}))[-1];
wait_state($node, $id, 'finished');
is(sql("select result from taskq.result($id)"), '"CALLED"', 'a function is called');
$id = (split /\n/, sql(q{set role app; select taskq.submit_call('pg_catalog.generate_series(int, int)', '[7, 8]', on_demand => true)}))[-1];
is(sql("select taskq.want($id, 3)"), 't', 'rows of a set are wanted');
wait_state($node, $id, 'finished');
is(sql("select string_agg(value::text, ' ' order by n) from taskq.emitted($id)"), '7 8', 'and are values');

# A postmaster before PostgreSQL 16 that hears of the end while it accepts a connection thinks of
# the restart only when it wakes up next, which the connection for the next query makes it do.
sql("select pg_terminate_backend($pid)");
wait_process_gone($pid);
$pid = wait_executor($node, 'postgres', $pid);
pass('it comes back when its session is ended');

sql("select count(taskq.submit_http('" . $receiver->url('/hang') . "')) from generate_series(1, 10)");
$receiver->wait_requests(10, '/hang');
$took = seconds(sub { is(sql('select taskq.stop_executor()'), 't', 'stop_executor()') });
cmp_ok($took, '<', 7, sprintf('although peers hang: it waits for taskq.http_stop_timeout (%.2f s)', $took));
is(executor_pid($node), '', 'it has stopped when that returns');
wait_process_gone($pid);
is(sql("select count(*) from taskq.tasks where state = 'pending' and attempt = 1 and url ~ 'hang'"), '10',
	'and has given back what it had');
is(sql('select taskq.stop_executor()'), 'f', 'once more: none was running');
# With exit code 1, which is logged, the postmaster would start it again.
unlike(log_since($node), qr/\(PID $pid\) exited with exit code/, 'it has stopped for good');
is(status(), 'preloaded false, executor false', 'status() says so');

# ---- databases ---------------------------------------------------------------------------

sql('create database other');
add_taskq($node, 'other');
is(sql('select taskq.start_executor()', 'other'), 't', 'an executor in another database');
$id = sql("select taskq.submit_http('$url', '{}')", 'other');
wait_state($node, $id, 'finished', 'other');
is(sql('select taskq.stop_executor()', 'other'), 't', 'is stopped');
$took = seconds(sub { sql('drop database other') });
cmp_ok($took, '<', 2, sprintf('and its database can be dropped (%.2f s)', $took));

is(sql('select taskq.start_executor()'), 't', 'the first one starts again');
$receiver->wait_requests(20, '/hang');
$pid = executor_pid($node);
sql('drop extension taskq');
wait_process_gone($pid);
pass('it leaves when the extension is dropped');
add_taskq($node, 'postgres');
is(sql('select taskq.start_executor()'), 't', 'and can be started for the new one');
$id = sql("select taskq.submit_http('$url', '{}')");
wait_state($node, $id, 'finished');
$node->restart;
is(executor_pid($node), '', 'after a restart of the server it has to be started anew');

# What counts tasks takes its strongest lock first: a REINDEX waits for it, or it waits for the REINDEX.
my $reindex = $node->background_psql('postgres');
$reindex->query_safe('begin; lock table taskq_private.lease in share mode');
my $stats = IPC::Run::start([ 'psql', '-XqAt', '-c', 'select count(*) > 0 from taskq.queue_stats()', $node->connstr('postgres') ],
	'<', \undef, '>', \my $counted, '2>&1');
my $waits = "from pg_locks l join pg_locks w using (pid) where w.relation = 'taskq_private.lease'::regclass and not w.granted";
wait_query($node, 'postgres', "select count(*) > 0 $waits");
is(sql("select count(*) $waits and l.granted and l.relation = 'taskq_private.lease_pkey'::regclass"), '0', 'queue_stats() cannot deadlock with a REINDEX');
$reindex->query_safe('rollback');
$reindex->quit;
$stats->finish;
is($counted, "t\n", 'and goes on behind it');

$node->stop;
log_is_clean($node);
done_testing();
