# 008_idle.pl
#		What an executor costs that has nothing to do, and how soon it is awake.

use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(sleep time);

use TaskqTest;

my $node = taskq_node('main', conf => <<'EOF');
autovacuum = off
log_statement = none
max_prepared_transactions = 5
taskq.poll_interval = '100ms'
EOF
my $receiver = TaskqTest::Receiver->start;
my $window = 3;
my $polls = $window * 10;

sub sql
{
	my ($statement, $database) = @_;

	return $node->safe_psql($database // 'postgres', $statement);
}

# How often a process has waited for something.
sub waits
{
	my ($pid) = @_;

	open my $status, '<', "/proc/$pid/status" or die "no process $pid: $!";
	my ($n) = map { /^voluntary_ctxt_switches:\s+(\d+)/ } <$status>;
	return $n;
}

my $start;

# It has delivered, and made its tables.
my $url = $receiver->url('/ok');
my $id = sql("select taskq.submit_http('$url', '{}')");
wait_state($node, $id, 'finished');
my $pid = wait_executor($node);
wait_polls($node);

# Rates need a span of time; all else is done in this one session.
my $session = $node->background_psql('postgres');
$session->query_safe('set stats_fetch_consistency = none');
my $counters = q{select pg_snapshot_xmax(pg_current_snapshot()), xact_commit, xact_rollback}
  . q{ from pg_stat_database where datname = 'postgres'};
my ($xmax, $commits, $rollbacks) = split /\|/, $session->query_safe($counters);
my $waits = waits($pid);
$session->query_safe("select pg_sleep($window)");
$waits = waits($pid) - $waits;
my ($xmax_then, $commits_then, $rollbacks_then) = split /\|/, $session->query_safe($counters);
$session->quit;
$commits = $commits_then - $commits;

is($xmax_then, $xmax, "idle for $polls polls: no transaction id is used");
is($rollbacks_then, $rollbacks, 'nothing is rolled back');
cmp_ok($commits, '<=', $polls / 2, "it hardly runs a transaction ($commits)");
cmp_ok($waits, '<=', 3 * $polls, "and wakes for nothing else ($waits times)");

# What else it does is rarer: see LOOK_EVERY_MS in vacuum.c, CALM_POLLS in quiet.c.
cmp_ok(seconds(sub { wait_polls($node) for 1 .. 3 }), '<', 3.5, 'it polls while transactions end');

# ---- asleep ----------------------------------------------------------------------------

# After 20 polls that found nothing changed it sleeps.
sub fall_asleep
{
	my ($pid) = @_;

	foreach (1 .. 100)
	{
		my $waits = waits($pid);

		sleep 0.3;
		return 1 if waits($pid) == $waits;
	}
	return 0;
}

# What has to be done within 5 s, although it sleeps when the statement is run.
sub wakes
{
	my ($name, $statement, $then) = @_;
	my $asleep = fall_asleep($pid);
	my $start = time();

	sql($statement);
	wait_query($node, 'postgres', $then);
	my $seconds = time() - $start;
	ok($asleep && $seconds < 5, sprintf('%s wakes it (asleep: %d, %.1f s)', $name, $asleep, $seconds));
	return;
}

reconfigure($node, 'taskq.poll_interval' => '20ms');
sql("select taskq.create_queue('pull', retry => 'none')");
sql("select taskq.submit('pull', '{}') from generate_series(1, 2)");
wakes('a lease that runs out', "select id from taskq.acquire('pull', lease_for => '100 ms')",
	"select count(*) = 1 from taskq.tasks where queue = 'pull' and state = 'dead'");
wakes('an attempt that is not ended after all', <<'EOF', "select count(*) = 2 from taskq.tasks where queue = 'pull' and state = 'dead'");
begin;
select id from taskq.acquire('pull', lease_for => '500 ms');
commit;
begin;
select taskq.finish(id, token) from taskq_private.lease;
select pg_sleep(1.5);
rollback;
EOF
wakes('a task that is not started in time', "select taskq.submit('pull', '{}', start_within => '100 ms')",
	"select count(*) = 1 from taskq.tasks where queue = 'pull' and state = 'expired'");
wakes('a schedule', q{select taskq.schedule('each', '{"queue": "pull"}', every => '1 s')},
	"select count(*) = 1 from taskq.schedule_runs where schedule = 'each'");
sql("select taskq.unschedule('each')");
$id = sql("select taskq.submit('pull', '{}', delay => '1 day')");
wakes('a delay', "select taskq.submit_http('$url/asleep', '{}', delay => '100 ms')",
	"select count(*) = 1 from taskq.tasks where queue = 'http' and state = 'finished' and url ~ 'asleep'");
wakes('a statement that writes a task', "update taskq_private.task set queue_id = (select id from taskq_private.all_queues where name = 'http'),"
	  . " url = '$url/written', method = 'POST', run_at = now() where id = $id",
	"select state = 'finished' from taskq.tasks where id = $id");
sql('create database other');
sql('create extension taskq', 'other');
my $other = wait_executor($node, 'other');
ok(fall_asleep($other), 'the executor of another database falls asleep');
$start = time();
sql('drop extension taskq', 'other');
wait_process_gone($other);
sql('create extension taskq', 'other');
wait_executor($node, 'other', $other);
cmp_ok(time() - $start, '<', 5, 'leaves when its extension is dropped, and another one comes');
sql('drop database other');

# ---- woken by a commit -----------------------------------------------------------------

# Seconds from the submitting call to the request.
sub delay_of
{
	my ($path, $statement) = @_;
	my $start = time();

	sql($statement);
	my @requests = $receiver->wait_requests(1, $path);
	return $requests[0]{time} - $start;
}

sub slowest
{
	return (sort { $a <=> $b } @_)[-1];
}

reconfigure($node, 'taskq.poll_interval' => '60s');
wait_query($node, 'postgres',
	"select clock_timestamp() > state_change + interval '0.5 s' from pg_stat_activity where pid = $pid");
my @delays = map { delay_of("/ok/direct/$_/", "select taskq.submit_http('$url/direct/$_/', '{}')") } 1 .. 20;
cmp_ok(slowest(@delays), '<', 1,
	sprintf('poll interval 60 s: the commit wakes it, 20 times (slowest %.0f ms)', 1000 * slowest(@delays)));

sql(<<'EOF');
create function order_paid(url text) returns void language plpgsql as $$
begin
	begin
		perform taskq.submit_http(url, '{}');
	exception when others then
		raise notice 'never';
	end;
end $$;
create procedure order_loop(url text) language plpgsql as $$
begin
	perform taskq.submit_http(url || '1/', '{}');
	commit;
	perform taskq.submit_http(url || '2/', '{}');
	rollback;
	perform taskq.submit_http(url || '3/', '{}');
end $$;
EOF
@delays = map { delay_of("/ok/function/$_/", "select order_paid('$url/function/$_/')") } 1 .. 5;
cmp_ok(slowest(@delays), '<', 1, 'from a function, within a subtransaction');
@delays = map { delay_of("/ok/procedure/$_/3/", "call order_loop('$url/procedure/$_/')") } 1 .. 5;
cmp_ok(slowest(@delays), '<', 1, 'from a procedure that commits');
is(scalar(grep { $_->{path} =~ m{/2/$} } $receiver->requests('/ok/procedure')), 0,
	'without what it rolled back');
@delays = map {
	delay_of("/ok/queue/$_/", "begin; select taskq.create_queue('q$_', mode => 'push', url => '$url/queue/$_/');"
		  . " select taskq.submit('q$_', '{}'); commit")
} 1 .. 5;
cmp_ok(slowest(@delays), '<', 1, 'in the transaction that creates the queue');
@delays = map {
	delay_of("/ok/delayed/$_/", "select taskq.submit_http('$url/delayed/$_/', '{}', delay => '50 ms')")
} 1 .. 5;
cmp_ok(slowest(@delays), '<', 1, 'with a delay');
is(executor_pid($node), $pid, 'by the same executor');

# ---- prepared transactions ---------------------------------------------------------------

# Nobody wakes the executor at COMMIT PREPARED: it finds these at its next poll.
reconfigure($node, 'taskq.poll_interval' => '300ms');
wait_polls($node);
sql("begin; select taskq.submit_http('$url/prepared', '{}'); prepare transaction 'p'");
wait_polls($node);
is(scalar($receiver->requests('/ok/prepared')), 0, 'nothing is sent for a prepared transaction');
my $delay = delay_of('/ok/prepared', "commit prepared 'p'");
cmp_ok($delay, '<', 1.3, sprintf('COMMIT PREPARED: found within the poll interval (%.0f ms)', 1000 * $delay));

# A sweep of many steps, between which the executor looks and finds nothing yet: the
# entries of what was consumed stay as long as somebody may want to see the rows.
my $reader = $node->background_psql('postgres');
$reader->query_safe('begin isolation level repeatable read; select count(*) from pg_class');
foreach my $queue (map { "full$_" } 1 .. 4)
{
	sql("select taskq.create_queue('$queue', keep_finished => '0')");
	sql("select count(*) from taskq.submit_many('$queue', array_fill('1'::jsonb, array[15000]))");
	foreach (1 .. 2)
	{
		sql('select count(*) from (select taskq.finish_many(array_agg(id), array_agg(token))'
			  . " from taskq.acquire('$queue', 10000)) f");
	}
}
sql("begin; select taskq.submit_http('$url/swept/' || i, '{}') from generate_series(1, 8) i; prepare transaction 'p'");
$start = time();
sql("commit prepared 'p'");
while (time() < $start + 5 && $receiver->requests('/ok/swept/') < 8)
{
	sql('select taskq_private.wake_executor()');
}
cmp_ok(scalar($receiver->requests('/ok/swept/')), '==', 8, 'also when the executor looks while a sweep is under way');
$reader->quit;

# ---- what a prepared transaction has left behind -----------------------------------------

$node->safe_psql('postgres', 'create database other');
is( $node->safe_psql(
		'other', q{
set client_min_messages = warning;
create extension taskq;
begin;
select from taskq.submit('default', '{}');
prepare transaction 'other';
rollback prepared 'other';
select from taskq.submit('default', '{}');
select count(*) from taskq_private.arm}), '1', 'its first submit has armed nothing, the next one does');

$node->stop;
log_is_clean($node);
done_testing();
