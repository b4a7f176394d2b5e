# 011_wait.pl
#		Waiting in the server: woken by the commit, holding nothing meanwhile.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

# A poll would come much later than these tests allow.
my $node = taskq_node('main', conf => "taskq.poll_interval = '60 s'\nmax_connections = 60");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql('create table woken (what text, at timestamptz)');

# Starts sessions that each make the call and then note the time.
sub sleepers
{
	my ($count, $what, $call) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir() . '/sleeper.sql';

	append_to_file($script, "$call;\ninsert into woken values ('$what', clock_timestamp());\n");
	my $run = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $count, '-j', 1, '-t', 1, '-f', $script,
			'-h', $node->host, '-p', $node->port, '-U', getpwuid($<) || 'postgres', 'postgres' ],
		'>', \my $out, '2>', \my $err);
	wait_query($node, 'postgres', "select count(*) = $count from pg_stat_activity
		where query ilike 'call taskq.wait%' and state = 'active' and wait_event_type = 'Extension'");
	return $run;
}

my $holds_nothing = "select bool_and(backend_xmin is null and backend_xid is null) from pg_stat_activity
	where query ilike 'call taskq.wait%'";
my $locks = "select count(*) from pg_locks l join pg_stat_activity a using (pid)
	where a.query ilike 'call taskq.wait%' and l.locktype <> 'virtualxid'";

# ---- wait() ------------------------------------------------------------------------

my $id = sql("select taskq.submit('default')");
my $run = sleepers(20, 'end', "call taskq.wait($id, '60 s')");
is(sql($holds_nothing), 't', '20 sessions wait for a task, none holds a snapshot');
is(sql($locks), '0', 'or a lock');
my $finish = sql("with a as (select * from taskq.acquire('default')) select taskq.finish(id, token) from a");
is($finish, 't', 'the task ends');
$run->finish;
is(sql("select count(*) from woken where what = 'end'"), '20', 'all are woken');
my $late = sql("select round(1000 * extract(epoch from max(w.at) - (select ended_at from taskq.tasks where id = $id)))
	from woken w where what = 'end'");
cmp_ok($late, '<', 1000, "the last one $late ms after the end, without a poll");

# A task ended by cancel(), by a permanent failure, by drop_queue().
for my $end (
	[ 'cancelled', "select taskq.cancel(TASK)" ],
	[ 'dead', "with a as (select * from taskq.acquire('default')) select taskq.fail(id, token, 'x', retryable => false) from a" ])
{
	my ($state, $how) = @$end;
	my $task = sql("select taskq.submit('default')");
	my $one = sleepers(1, $state, "call taskq.wait($task, '60 s')");
	sql($how =~ s{TASK}{$task}r);
	$one->finish;
	is(sql("select count(*) from woken where what = '$state'"), '1', "woken when the task is $state");
}

# ---- wait_ready() --------------------------------------------------------------------

$run = sleepers(3, 'ready', "call taskq.wait_ready('default', '60 s')");
is(sql($holds_nothing), 't', '3 sessions wait for work, none holds a snapshot');
is(sql($locks), '0', 'or a lock');
$id = sql("select taskq.submit('default')");
wait_query($node, 'postgres', "select count(*) from woken where what = 'ready'", '1');
is(sql("select count(*) from pg_stat_activity where query ilike 'call taskq.wait%' and state = 'active'"), '2',
	'a submit wakes one of them, the others sleep on');
my @more = map { sql("select taskq.submit('default')") } 1 .. 2;
$run->finish;
is(sql("select count(*) from woken where what = 'ready'"), '3', 'two more submits wake the other two');
$late = sql("select round(1000 * extract(epoch from max(w.at) - (select max(submitted_at) from taskq.tasks where id = $more[1])))
	from woken w where what = 'ready'");
cmp_ok($late, '<', 1000, "the last one $late ms after the last submit, without a poll");
sql("select taskq.cancel($_)") foreach @more;

# One that is woken and ends before it has looked passes it on.  Which of the two
# is woken is not said: in one of the two rounds it is the one that is cancelled.
sql("select taskq.cancel($id)");
for my $order ('asc', 'desc')
{
	$run = sleepers(2, "passed on $order", "call taskq.wait_ready('default', '60 s')");
	my ($first, $second) = split /\n/, sql("select pid from pg_stat_activity
		where query ilike 'call taskq.wait%' and state = 'active' order by pid $order");
	kill 'STOP', $first, $second;
	$id = sql("select taskq.submit('default')");
	sql("select pg_cancel_backend($first)");
	kill 'CONT', $first;
	wait_process_gone($first);
	kill 'CONT', $second;
	$run->finish;
	is(sql("select count(*) from woken where what = 'passed on $order'"), '1', "the one that is left is woken ($order)");
	sql("select taskq.cancel($id)");
}
$id = sql("select taskq.submit('default')");

# A delayed task wakes by the clock; one given back wakes by its commit.
sql("select taskq.cancel($id)");
$id = sql("select taskq.submit('default', delay => '500 ms')");
my ($out) = (sql("call taskq.wait_ready('default', '30 s')"));
is($out, 't', 'ready when the delay is over');
is(sql("select run_at <= clock_timestamp() from taskq.tasks where id = $id"), 't', 'and not before');
my $token = sql("select token from taskq.acquire('default')");
$run = sleepers(1, 'released', "call taskq.wait_ready('default', '60 s')");
sql("select taskq.release($id, $token)");
$run->finish;
is(sql("select count(*) from woken where what = 'released'"), '1', 'woken by a release');

# ---- in the way of nobody, ended by everybody ---------------------------------------------

sql("select taskq.cancel($id)");
$run = sleepers(1, 'cancelled call', "call taskq.wait_ready('default', '60 s')");
is(sql("select count(pg_cancel_backend(pid)) from pg_stat_activity where query ilike 'call taskq.wait%' and state = 'active'"), '1',
	'a waiting call is cancelled');
$run->finish;
my ($status, undef, $err) = $node->psql('postgres', "begin; call taskq.wait($id)");
like($err, qr/TQ009|cannot run in this transaction/, 'not in a transaction block');
($status, undef, $err) = $node->psql('postgres',
	"do \$\$ declare s taskq.state; r jsonb; begin perform taskq.submit('default'); call taskq.wait(1, '1 s', s, r); end \$\$");
like($err, qr/cannot run in this transaction/, 'nor after a submit in the same transaction');
is(sql("do \$\$ declare s taskq.state; r jsonb; begin call taskq.wait($id, '1 s', s, r); end \$\$; select 1"), '1',
	'but in a DO block that has changed nothing');

$node->stop;
log_is_clean($node);
done_testing();
