# 045_stop.pl
#		An orderly stop of a sender: it waits for answers, and a receiver that gave
#		none can tell the second request from the first.

use strict;
use warnings FATAL => 'all';

use Test::More;

use TaskqTest;

# By default 2 s; more, so that a slow machine answers in time.
my $node = taskq_node('main', conf => "taskq.http_stop_timeout = '10 s'\ntaskq.http_max_per_host = 32\n");
my $receiver = TaskqTest::Receiver->start;
my $slow = $receiver->url('/slow/1500');
my $hang = $receiver->url('/hang');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Attempt numbers of the requests with this path, each once with its number.
sub attempts
{
	my ($path) = @_;
	my %n;

	$n{ $_->{headers}{'x-task-attempt'} }++ foreach $receiver->requests($path);
	return join ' ', map { "$_:$n{$_}" } sort keys %n;
}

sub outcomes
{
	my ($queue) = @_;

	return sql("select string_agg(distinct concat_ws(':', attempt, class, error), ' ') from taskq.attempts a"
		  . " where exists (select from taskq.tasks t where t.id = a.task_id and t.queue = '$queue')");
}

sub submit
{
	my ($n, $url, $queue) = @_;

	sql("select count(taskq.submit_http('$url', '{}', queue => '$queue')) from generate_series(1, $n)");
	return;
}

sub finished
{
	my ($queue) = @_;

	return sql("select count(*) from taskq.tasks where queue = '$queue' and state = 'finished'");
}

# ---- the executor -----------------------------------------------------------------------------

submit(40, $slow, 'http');
$receiver->wait_requests(32);
my $took = seconds(sub { $node->stop('fast') });
cmp_ok($took, '<', 9, sprintf('a fast shutdown takes as long as the answers (%.2f s)', $took));
is(attempts('/slow'), '1:32', 'what waited for its host was not sent');
$node->append_conf('postgresql.conf', 'taskq.executor = off');
$node->start;
is(finished('http'), '32', 'the answers that came are stored');
is(sql("select count(*) from taskq.tasks where state = 'pending' and attempt = 0"), '8', 'the rest is given back');
reconfigure($node, 'taskq.executor' => 'on');
wait_query($node, 'postgres', "select count(*) = 40 from taskq.tasks where queue = 'http' and state = 'finished'");
is(attempts('/slow'), '1:40', 'each arrived once');

# A receiver that does not answer.
sql("select taskq.create_queue('mute', mode => 'push', lease_for => '1 hour')");
reconfigure($node, 'taskq.http_stop_timeout' => '500ms');
submit(5, $hang, 'mute');
$receiver->wait_requests(5, '/hang');
$took = seconds(sub { $node->restart });
cmp_ok($took, '<', 6, sprintf('a restart waits no longer than it may (%.2f s)', $took));
$receiver->wait_requests(10, '/hang');
is(attempts('/hang'), '1:5 2:5', 'the attempt number tells the second request from the first');
is(outcomes('mute'), '1:stopped:sender was stopped before the answer', 'and attempts says what became of the first');
sql("select count(taskq.cancel(id)) from taskq.tasks where queue = 'mute'");
wait_query($node, 'postgres', "select count(*) = 5 from taskq.tasks where queue = 'mute' and state = 'cancelled'");

# ---- stop_executor(), and DROP DATABASE, which waits for nothing ------------------------------------

reconfigure($node, 'taskq.http_stop_timeout' => '10s');
submit(3, $receiver->url('/slow/1000'), 'http');
$receiver->wait_requests(3, '/slow/1000');
is(sql('select taskq.stop_executor()'), 't', 'stop_executor()');
is(finished('http'), '43', 'waits for answers as well');
sql('select taskq.start_executor()');

$node->safe_psql('postgres', 'create database other');
add_taskq($node, 'other');
$node->safe_psql('other', "select taskq.submit_http('" . $receiver->url('/hang/other') . "')");
$receiver->wait_requests(1, '/hang/other');
$took = seconds(sub { $node->safe_psql('postgres', 'drop database other') });
cmp_ok($took, '<', 4, sprintf('DROP DATABASE waits for no answer (%.2f s)', $took));

# ---- taskq-worker -------------------------------------------------------------------------------------

sql(<<'EOS');
select taskq.create_queue('outside', mode => 'push', executor => 'external', lease_for => '1 hour');
create role sender login;
select taskq.grant_queue('outside', 'sender', '{work}');
EOS
my $worker = TaskqTest::Worker->start($node, 'sender');
submit(20, $receiver->url('/slow/1200'), 'outside');
$receiver->wait_requests(20, '/slow/1200');
$worker->signal('TERM');
is($worker->wait_end, 0, 'SIGTERM to a worker: status 0');
is(finished('outside'), '20', 'all answers are stored');

$worker = TaskqTest::Worker->start($node, 'sender', '--stop-timeout', '300');
submit(4, $receiver->url('/hang/outside'), 'outside');
$receiver->wait_requests(4, '/hang/outside');
$worker->signal('TERM');
is($worker->wait_end, 0, 'without answers: status 0');
is(sql("select count(*) from taskq.tasks where queue = 'outside' and state = 'pending' and attempt = 1"),
	'4', 'the attempts have failed');
is(outcomes('outside'), '1:stopped:sender was stopped before the answer', 'for the stop');

$node->stop;
log_is_clean($node);
done_testing();
