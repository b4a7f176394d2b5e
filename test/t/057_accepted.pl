# 057_accepted.pl
#		accept_202: receivers that answer 202 and report the outcome later, over the executor and
#		over taskq-worker.
#
# The test is the receiver: it reads id and token from the requests, and reports by SQL.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "taskq.http_max_inflight = 2\n");
my $receiver = TaskqTest::Receiver->start;
my $worker = TaskqTest::Worker->start($node, 'postgres', '--max-inflight', '2');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub submit
{
	my ($queue, $path, $more) = @_;
	my $url = $receiver->url($path);

	return sql("select taskq.submit_http('$url', '{}', queue => '$queue'" . ($more ? ", $more" : '') . ')');
}

# The request of that attempt of a task, and the token in it.
sub request_of
{
	my ($id, $attempt) = @_;
	my $request;

	wait_until("attempt $attempt of task $id", sub {
		($request) = grep { ($_->{task} // '') eq $id && $_->{headers}{'x-task-attempt'} == $attempt } $receiver->requests;
		return defined $request;
	});
	return $request;
}

sub token_of
{
	return request_of(@_)->{headers}{'x-task-token'};
}

sub wait_accepted
{
	my ($id) = @_;

	wait_query($node, 'postgres', "select worker || ' ' || phase from taskq.requests where task_id = $id", 'receiver accepted');
	return;
}

sql("select taskq.create_retry_policy('soon', 'fixed', '20 ms', jitter => 0, max_attempts => 3)");
sql('create role receiver login');

foreach my $executor ('builtin', 'external')
{
	my ($on, $off) = ("on_$executor", "off_$executor");
	sql(qq{
		select taskq.create_queue('$on', mode => 'push', executor => '$executor', retry => 'soon', accept_202 => true);
		select taskq.create_queue('$off', mode => 'push', executor => '$executor', retry => 'soon');
		select taskq.grant_queue('$on', 'receiver', '{work}')});

	# Without the option 202 is an end.
	my $id = submit($off, "/status/202/$off");
	wait_state($node, $id, 'finished');
	is(sql("select status from taskq.response($id)"), '202', "$executor: without accept_202, 202 is a success");
	is(token_of($id, 1), undef, 'and no token is sent');

	# 202, then finish.
	$id = submit($on, "/status/202/$on");
	wait_accepted($id);
	my $token = token_of($id, 1);
	is(sql("select state, lease_until > now() + interval '30 s' from taskq.tasks where id = $id"), 'running|t',
		"$executor: with it the task goes on");
	is(sql("set role receiver; select taskq.finish($id, $token, '{\"n\": 1}')"), 't', 'the receiver finishes it');
	is(sql("select state, result, attempt from taskq.tasks where id = $id"), 'finished|{"n": 1}|1', 'with a result');

	# More of them than requests may be under way: they hold no slot.
	my @many = map { submit($on, "/status/202/many/$on") } 1 .. 8;
	wait_accepted($_) foreach @many;
	is(sql("select count(*) from taskq.requests where queue = '$on' and phase = 'accepted'"), '8', 'eight wait for the receiver at a time');
	$id = submit($off, "/ok/$off");
	wait_state($node, $id, 'finished');
	pass('while others are sent');
	my $finished = grep { sql("select taskq.finish($_, " . token_of($_, 1) . ')') eq 't' } @many;
	is($finished, 8, 'and are finished');

	# 202, then nothing: the lease runs out, and the next attempt has another token.
	sql("select taskq.alter_queue('$on', lease_for => '300 ms')");
	$id = submit($on, "/status/202/lost/$on", 'max_attempts => 2');
	my $first = token_of($id, 1);
	my $second = token_of($id, 2);
	isnt($first, $second, "$executor: a receiver that is silent gets the task again, with another token");
	is(sql("select class, worker from taskq.attempts where task_id = $id and attempt = 1"), 'lease_lost|receiver', 'the attempt is lost');
	is(sql("select taskq.finish($id, $first)"), 'f', 'the former token is void');
	wait_state($node, $id, 'dead');
	is(sql("select error from taskq.result($id)"), 'lease lost', 'after the last attempt it is dead');
	sql("select taskq.alter_queue('$on', lease_for => '60 s')");

	# 202, then fail.
	$id = submit($on, "/status/202/fail/$on");
	wait_accepted($id);
	$token = token_of($id, 1);
	is(sql("select taskq.fail($id, $token, 'no disk', class => 'disk')"), 'pending', "$executor: the receiver lets it fail");
	$token = token_of($id, 2);
	is(sql("select class, error from taskq.attempts where task_id = $id"), 'disk|no disk', 'by its own reason');
	wait_accepted($id);

	# Cancelled meanwhile: a heartbeat tells.
	is(sql("select taskq.cancel($id, 'enough')"), 't', 'cancelled');
	is(sql("select cancel_requested from taskq.heartbeat($id, $token)"), 't', 'the receiver is told');
	is(sql("select taskq.release($id, $token)"), 't', 'and gives it back');
	is(sql("select state, error from taskq.result($id)"), 'cancelled|enough', 'which ends it');

	# It finishes before its answer comes.
	my $log = log_size($node);
	$id = submit($on, "/slow/300/$on?status=202");
	is(sql("select taskq.finish($id, " . token_of($id, 1) . ')'), 't', "$executor: finished before the answer");
	my $later = submit($off, "/slow/600/$off");
	wait_state($node, $later, 'finished');
	is(sql("select state, attempt from taskq.tasks where id = $id"), 'finished|1', 'and nothing comes after it');

	# Limits count it.
	sql("select taskq.set_limit('$on', max_running => 1)");
	my ($one, $two) = map { submit($on, "/status/202/limit/$on") } 1 .. 2;
	wait_accepted($one);
	$id = submit($off, "/ok/limit/$off");
	wait_state($node, $id, 'finished');
	is(sql("select state, attempt from taskq.tasks where id = $two"), 'pending|0', "$executor: a limit counts it");
	is(sql("select taskq.finish($one, " . token_of($one, 1) . ')'), 't', 'its end');
	wait_accepted($two);
	is(sql("select taskq.finish($two, " . token_of($two, 1) . ')'), 't', 'lets the next one start');
	sql("select taskq.set_limit('$on')");
	unlike(log_since($node, $log), qr/came too late/, 'and no answer came too late');
}

# ---- an endpoint whose receiver always finishes before it answers ---------------------------------

sql("select taskq.create_endpoint('eager', '" . $receiver->url('') . "', retry => 'none', accept_202 => true)");
sql("select taskq.submit_http(endpoint => 'eager', path => '/status/500/eager') from generate_series(1, 10)");
wait_query($node, 'postgres', "select circuit from taskq.endpoints where endpoint = 'eager'", 'open');
my $probe = sql("select taskq.submit_http(endpoint => 'eager', path => '/slow/300?status=202')");
is(sql("select taskq.finish($probe, " . token_of($probe, 1) . ')'), 't', 'a probe is finished before its answer');
wait_query($node, 'postgres', "select circuit from taskq.endpoints where endpoint = 'eager'", 'closed');
pass('the answer closes the circuit');

# ---- the server crashes ------------------------------------------------------------------------------

my %accepted = map { $_ => submit("on_$_", "/status/202/crash/$_") } 'builtin', 'external';
wait_accepted($_) foreach values %accepted;
kill_server($node);
$node->start;
wait_executor($node);
my $after = submit('off_builtin', '/ok/restarted');
wait_state($node, $after, 'finished');
foreach my $executor (sort keys %accepted)
{
	my $id = $accepted{$executor};
	is(sql("select state, attempt, worker from taskq.tasks where id = $id"), 'running|1|receiver', "$executor: the lease outlives a crash");
	is(sql("select taskq.finish($id, " . token_of($id, 1) . ')'), 't', 'and its token is good');
	is(scalar(grep { ($_->{task} // '') eq $id } $receiver->requests), 1, 'it was sent once');
}

is_consistent($node, 'after that');
undef $worker;
$node->stop;
log_is_clean($node);
done_testing();
