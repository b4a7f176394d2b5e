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

# ---- wait_all() ----------------------------------------------------------------------

my $all = sql("select array_agg(i) from taskq.submit_many('default', array_fill('1'::jsonb, '{300}')) i");
$run = sleepers(2, 'all', "call taskq.wait_all('$all', '60 s')");
is(sql($holds_nothing), 't', '2 sessions wait for 300 tasks, none holds a snapshot');
is(sql($locks), '0', 'or a lock');
# The last one first, one by one, in one transaction, in any way.
sql("select taskq.cancel(('$all'::bigint[])[300])");
sql("select taskq.finish(id, token) from taskq.acquire('default')") foreach 1 .. 3;
is(sql("select count(*) from taskq.acquire('default', 100) a, taskq.fail(a.id, a.token, 'x', retryable => false) f where f = 'dead'"), '100', 'some end');
is(sql("call taskq.wait_all('$all', '0')"), '104', '104 of them have');
is(sql("select count(*) from taskq.acquire('default', 195) a, taskq.finish(a.id, a.token) f where f"), '195', 'most end');
is(sql("select count(*) from woken where what = 'all'"), '0', 'they wait until the last has ended');
is(sql("select count(*) from taskq.acquire('default', 2) a, taskq.finish(a.id, a.token) f where f"), '1', 'which it does');
$run->finish;
is(sql("select count(*) from woken where what = 'all'"), '2', 'both are woken');
$late = sql("select round(1000 * extract(epoch from max(w.at) - (select max(ended_at) from taskq.results('$all')))) from woken w where what = 'all'");
cmp_ok($late, '<', 1000, "the last one $late ms after the last end, without a poll");

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
	my $left = time();
	$run->finish;
	cmp_ok(time() - $left, '<', 30, "the one that is left is woken ($order)");
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

# ---- wait_ready_any() ----------------------------------------------------------------

sql("select taskq.cancel($id)");
sql("create table ready (queue text); select taskq.create_queue('a'), taskq.create_queue('b')");
my $any = "call taskq.wait_ready_any('{a, b}', '60 s') \\gset\ninsert into ready values (:queue)";
$any = "do \$\$ declare q text; begin call taskq.wait_ready_any('{a, b}', '60 s', q); insert into ready values (q); end \$\$";

# The calls of DO blocks, as those of wait_ready() above.
sub any_sleepers
{
	my ($count, $others) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/any$count.sql";

	append_to_file($file, "$any;\n") unless -e $file;
	my @runs = map {
		IPC::Run::start([ 'psql', '-Xq', '-f', $file, $node->connstr('postgres') ], '<', \undef, '2>', \my $err)
	} 1 .. $count;
	my $asleep = $count + ($others // 0);
	wait_query($node, 'postgres', "select count(*) = $asleep from pg_stat_activity
		where query ilike '%call taskq.wait%' and pid <> pg_backend_pid() and state = 'active' and wait_event_type = 'Extension'");
	return @runs;
}

my @runs = any_sleepers(3);
is(sql($holds_nothing =~ s/ilike '/ilike '%/r . ' and pid <> pg_backend_pid()'), 't', '3 sessions wait for 2 queues, none holds a snapshot');
my $b = sql("select taskq.submit('b')");
wait_query($node, 'postgres', "select string_agg(queue, ' ') from ready", 'b');
is(sql("select count(*) from pg_stat_activity where query ilike '%call taskq.wait%' and pid <> pg_backend_pid() and state = 'active'"), '2',
	'a submit to one wakes one of them, which says which, the others sleep on');
sql("select taskq.cancel($b)");
my $submitted = time();
sql("select taskq.submit('a') from generate_series(1, 2)");
$_->finish foreach @runs;
cmp_ok(time() - $submitted, '<', 30, 'without a poll');
is(sql("select string_agg(queue, ' ' order by queue) from ready"), 'a a b', 'two submits to the other wake the other two');
sql("select taskq.purge_queue('a'); truncate ready");

# One that is woken by b and returns a passes on the wake-up.  Which session is woken is not
# said: so the two begin in either order.
foreach my $first ('any', 'only b')
{
	my ($for_any, $for_b);
	($for_any) = any_sleepers(1) if $first eq 'any';
	$for_b = sleepers(1, "b after $first", "call taskq.wait_ready('b', '60 s')");
	($for_any) = any_sleepers(1, 1) if $first ne 'any';
	my @pids = split /\n/, sql("select pid from pg_stat_activity
		where query ilike '%call taskq.wait%' and pid <> pg_backend_pid() and state = 'active' order by query ilike 'do%' desc");
	kill 'STOP', @pids;
	my @ids = map { sql("select taskq.submit('$_')") } 'b', 'a';
	kill 'CONT', $pids[0];
	$for_any->finish;
	is(sql("select string_agg(queue, ' ') from ready"), 'a', "the session for both queues returns the first ($first first)");
	my $left = time();
	kill 'CONT', $pids[1];
	$for_b->finish;
	cmp_ok(time() - $left, '<', 30, 'and the one for the second queue is woken all the same');
	sql("select taskq.cancel_many('{$ids[0], $ids[1]}'); truncate ready");
}

# By the clock.
$id = sql("select taskq.submit('b', delay => '500 ms')");
is(sql("call taskq.wait_ready_any('{a, b}', '30 s')"), 'b', 'ready when the delay is over');
is(sql("select run_at <= clock_timestamp() from taskq.tasks where id = $id"), 't', 'and not before');

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

# statement_timeout ends no call with an error: it returns before.
$id = sql("select taskq.submit('default', delay => '1 hour')");
is(sql("set statement_timeout = '800 ms'; call taskq.wait_ready('default', '60 s')"), 'f', 'wait_ready() returns before statement_timeout');
is(sql("set statement_timeout = '800 ms'; call taskq.wait($id, '60 s')"), 'pending|', 'so does wait()');
is(sql("set statement_timeout = '60 s'; call taskq.wait($id, '10 ms')"), 'pending|', 'its own timeout holds as well');

$node->stop;
log_is_clean($node);
done_testing();
