# 022_notify.pl
#		Who LISTENs hears of due tasks, soon and not too often; users' commits send
#		nothing themselves.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $node = taskq_node('main', conf => "taskq.poll_interval = '60 s'\nmax_prepared_transactions = 2");
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql("select taskq.create_queue('a'), taskq.create_queue('b \"quoted\"')");
my $listener = $node->background_psql('postgres');
$listener->query_safe(qq{listen taskq_a; listen "taskq_b ""quoted"""; listen taskq_http; listen taskq_default});

# The channels of the notifications that have come since the last call.
sub heard
{
	return $listener->query_safe('select 1') =~ /Asynchronous notification "([^"]*(?:""[^"]*)*|.*?)" received/g;
}

sub wait_heard
{
	my ($what) = @_;
	my @heard;

	wait_until($what, sub { push @heard, heard(); return @heard > 0 });
	return @heard;
}

wait_executor($node);
my $start = time();
sql("select taskq.submit('a')");
my @heard = wait_heard('a notification');
is("@heard", 'taskq_a', sprintf('a submit is notified, %.2f s later', time() - $start));
cmp_ok(time() - $start, '<', 5, 'without a poll');

# ---- coalesced -------------------------------------------------------------------------------

reconfigure($node, 'taskq.notify_interval' => '1 s');
wait_query($node, 'postgres', "select setting = '1000' from pg_settings where name = 'taskq.notify_interval'");
$start = time();
sql(join '', map { "select taskq.submit('a');" } 1 .. 200);
my @all;
wait_until('the last notification', sub { push @all, heard(); return time() - $start > 2.5 });
cmp_ok(scalar @all, '>=', 1, 'of 200 commits at least one is notified');
cmp_ok(scalar @all, '<=', 4, 'and not more than one a second: ' . scalar @all);
reconfigure($node, 'taskq.notify_interval' => '20 ms');

# ---- by time -----------------------------------------------------------------------------------

# Nothing else happens in the database: only the time brings the next notification.
sql("select taskq.create_queue('later')");
$listener->query_safe('listen taskq_later');
sql("select taskq.submit('later', delay => make_interval(secs => x * 0.4)) from generate_series(1, 5) x");
$start = time();
my $taken = 0;
wait_until('the last one', sub {
	$taken += sql("select count(taskq.finish(id, token)) from taskq.acquire('later', 10)") if heard();
	return $taken == 5;
});
cmp_ok(time() - $start, '<', 45, 'each task that becomes due by time is notified, without a poll');

# ---- what is notified, and what is not ------------------------------------------------------------

sub notified
{
	my ($statement, $what, $channel) = @_;

	sql($statement);
	my @channels = wait_heard($what);
	is($channels[0], $channel, $what);
	return;
}

sql("select taskq.purge_queue('a')");
notified(q{select taskq.submit('b "quoted"')}, 'a queue with a difficult name is notified', 'taskq_b "quoted"');
notified("select taskq.submit('a', delay => '300 ms')", 'a delayed task is notified when it is due', 'taskq_a');
is(sql("select count(*) from taskq.acquire('a')"), '1', 'and can be acquired then');
notified("select taskq.release(id, token) from taskq_private.lease", 'a task given back is notified', 'taskq_a');
sql("select count(*) from taskq.acquire('a')");
notified("select taskq.fail(id, token, 'x', retry_in => '200 ms') from taskq_private.lease", 'a retry is notified', 'taskq_a');
notified("select count(*) from taskq.acquire('a', lease_for => '200 ms')", 'a lost lease is notified', 'taskq_a')
  if reconfigure($node, 'taskq.poll_interval' => '100 ms') || 1;
sql("select taskq.cancel(id) from taskq_private.task");
my $dead = sql("select id from taskq.tasks where state = 'cancelled' and queue = 'a' limit 1");
notified("select taskq.retry($dead)", 'a task brought back is notified', 'taskq_a');
notified("begin; select taskq.submit('a'); prepare transaction 'p'; commit prepared 'p'",
	'a task of a prepared transaction is notified', 'taskq_a');

# A marker on another queue comes after whatever there would have been before it.
sub silent
{
	my ($statement, $what) = @_;

	heard();
	sql($statement);
	sql("select taskq.submit('default')");
	my @channels;
	wait_until('the marker', sub { push @channels, heard(); return grep { $_ eq 'taskq_default' } @channels });
	is(join(' ', grep { $_ ne 'taskq_default' } @channels), '', $what);
	return;
}

silent("begin; select taskq.submit('a'); rollback", 'what is rolled back is not notified');
silent("select taskq.submit('a', delay => '1 hour')", 'nor is what is due much later');
silent("select taskq.submit_http('" . $receiver->url('/ok') . "')", 'nor a push task');
silent("select taskq.pause_queue('a'); select taskq.submit('a')", 'nor a task of a paused queue');

reconfigure($node, 'taskq.notify_interval' => '-1');
wait_query($node, 'postgres', "select setting = '-1' from pg_settings where name = 'taskq.notify_interval'");
wait_polls($node);
heard();
sql("select taskq.submit('default')");
wait_polls($node);
is(join(' ', heard()), '', 'switched off, nothing is');

$listener->quit;
$node->stop;
log_is_clean($node);
done_testing();
