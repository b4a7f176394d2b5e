# 003_crash.pl
#		The executor and the server killed with 100 requests under way: nothing is
#		lost, and each task ends once.

use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;
my @killed;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Submits $n tasks whose first requests hang, and waits until these are under way.
sub submit_hanging
{
	my ($n, $path, $hanging) = @_;
	my $url = $receiver->url("/hang/$hanging/$path");

	sql("select count(taskq.submit_http('$url', '{}')) from generate_series(1, $n)");
	$receiver->wait_requests($n, "/hang/$hanging/$path");
	return;
}

# The time of the first moment at which the server takes a connection.
sub time_of_readiness
{
	wait_until('the server', sub {
		return $node->psql('postgres', 'select 1', on_error_die => 0) == 0;
	});
	return time();
}

# Several tests: all $n tasks for $path ended once, with $attempts deliveries each.
sub all_ended_once
{
	my ($what, $n, $path, $attempts) = @_;

	wait_query($node, 'postgres', 'select count(*) from taskq_private.task', '0');
	my @requests = $receiver->requests("/hang/1/$path");
	my (%attempts, %keys);
	foreach my $request (@requests)
	{
		push @{ $attempts{ $request->{task} } }, $request->{headers}{'x-task-attempt'};
		$keys{ $request->{task} }{ $request->{headers}{'idempotency-key'} } = 1;
	}
	is( sql("select count(*), count(distinct id) from taskq.tasks"
			  . " where state = 'finished' and id in (" . join(', ', keys %attempts, 0) . ')'),
		"$n|$n",
		"$what: each task is finished, once");
	is(scalar(keys %attempts), $n, "$what: each was delivered");
	is(scalar(grep { join(' ', @$_) ne $attempts } values %attempts), 0, "$what: in attempts $attempts");
	is(scalar(grep { keys %$_ != 1 } values %keys), 0, "$what: with one Idempotency-Key");
	is(sql('select count(*) from taskq_private.lease') + sql('select count(*) from taskq_private.task'), 0,
		"$what: nothing of them is left behind");
	return @requests;
}

# Several tests: kills with $kill, which returns when the server takes connections again.
sub survives
{
	my ($what, $path, $kill) = @_;

	submit_hanging(100, $path, 1);
	is(sql("select count(*) from taskq.tasks where state = 'running'"), '100',
		"$what: 100 requests are under way");
	my $ready = $kill->();
	my @requests = all_ended_once($what, 100, $path, '1 2');
	my $latest = (sort { $a <=> $b } map { $_->{time} } @requests)[-1] - $ready;
	cmp_ok($latest, '<', 5,
		sprintf('%s: all were sent again %.1f s after the server was ready', $what, $latest));
	my $ids = join ', ', map { $_->{task} } @requests;
	is( sql("select attempt, class, count(*) from taskq.attempts where task_id in ($ids) group by 1, 2"),
		'1|lease_lost|100',
		"$what: the lost attempts are remembered");
	return;
}

survives('executor killed', 'executor', sub {
	push @killed, wait_executor($node);
	kill_process($killed[0]);
	wait_log($node, qr/all server processes terminated; reinitializing/);
	return time_of_readiness();
});

survives('server killed', 'server', sub {
	cmp_ok(kill_server($node), '<', 5, 'all processes of the killed server leave');
	$node->start;
	return time_of_readiness();
});

# ---- told to stop ---------------------------------------------------------------------

submit_hanging(20, 'stop', 5);
my $pid = '';
foreach my $round (1 .. 5)
{
	$pid = wait_executor($node, 'postgres', $pid);
	$receiver->wait_requests(20 * $round, '/hang/5/stop');
	is(sql("select pg_terminate_backend($pid)"), 't', "terminated for the $round. time");
}
wait_query($node, 'postgres', 'select count(*) from taskq_private.task', '0');
isnt(wait_executor($node), $pid, 'the executor has come back each time');
my @requests = $receiver->requests('/hang/5/stop');
is(scalar(@requests), 20 * 6, 'each task was sent again each time');
my %attempts;
$attempts{ $_->{headers}{'x-task-attempt'} }++ foreach @requests;
is_deeply(\%attempts, { map { $_ => 20 } 1 .. 6 }, 'each time as another attempt, because its sending had begun');
is(sql("select count(*) from taskq.tasks where state = 'finished' and attempt = 6 and url ~ '/hang/5/stop'"), '20',
	'each is finished, once');

# ---- half-way through many ------------------------------------------------------------

my $many = $receiver->url('/ok/many');
sql("select count(taskq.submit_http('$many', '{}')) from generate_series(1, 4000)");
$receiver->wait_requests(1500, '/ok/many');
push @killed, wait_executor($node);
my $log_size = log_size($node);
kill_process($killed[-1]);
wait_log($node, qr/all server processes terminated; reinitializing/, $log_size);
time_of_readiness();
wait_query($node, 'postgres', 'select count(*) from taskq_private.task', '0');
my %deliveries;
$deliveries{ $_->{task} }++ foreach $receiver->requests('/ok/many');
is(scalar(keys %deliveries), 4000, 'killed half-way through 4 000: all are delivered');
is(sql("select count(*) from taskq.tasks where state = 'finished' and id in (" . join(', ', keys %deliveries) . ')'), '4000',
	'and finished, once');
is(sql('select count(*) from taskq.tasks t where t.id in (' . join(', ', (grep { $deliveries{$_} > 1 } keys %deliveries), 0) . ')'
		  . ' and not exists (select from taskq.attempts a where a.task_id = t.id)'), '0', 'and its lost attempt is remembered');

$node->stop;
log_is_clean($node, @killed);
done_testing();
