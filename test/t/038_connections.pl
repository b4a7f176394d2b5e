# 038_connections.pl
#		Receivers that close connections which were kept open: that costs no attempt.  The
#		same for the executor and for taskq-worker.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $dir = PostgreSQL::Test::Utils::tempdir();

# A certificate that signs itself, for receivers of HTTP/2.
my $output;
IPC::Run::run([ 'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
	'-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', "$dir/key", '-out', "$dir/pem" ],
	'<', \undef, '>', \$output, '2>&1') or die "openssl: $output";

my $node = taskq_node('main', conf => <<"END");
taskq.http_max_per_host = 4
taskq.http_ca_file = '$dir/pem'
taskq.http2 = on
END
my $receiver = TaskqTest::Receiver->start;
my @queues = qw(inside outside);
my $worker;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub start_worker
{
	undef $worker;
	$worker = TaskqTest::Worker->start($node, 'postgres', '--max-per-host', 4, '--ca-file', "$dir/pem", '--http2', 'on', @_);
	$worker->wait_log(qr/connected/);
	return;
}

sql(<<'END');
select taskq.create_retry_policy('once', max_attempts => 1);
select taskq.create_queue('inside', mode => 'push', retry => 'once');
select taskq.create_queue('outside', mode => 'push', retry => 'once', executor => 'external');
create table sent (queue text, id bigint);
END
start_worker();

# Sends so many requests with each sender, one after the other if that is wanted.
sub send_to
{
	my ($url, $n, $one_by_one) = @_;

	sql('truncate sent');
	foreach (1 .. ($one_by_one ? $n : 1))
	{
		my $at_once = $one_by_one ? 1 : $n;

		sql("insert into sent select q, taskq.submit_http('$url', method => 'GET', queue => q)"
			  . " from unnest(array['inside', 'outside']) q, generate_series(1, $at_once)");
		wait_query($node, 'postgres', 'select count(*) = 0 from sent join taskq.tasks t using (id) where t.ended_at is null');
	}
	return;
}

# What became of them: state, class of the failure.
sub outcomes
{
	return sql("select string_agg(distinct concat_ws(' ', s.queue, t.state, a.class), ', ')"
		  . ' from sent s join taskq.tasks t using (id) left join taskq.attempts a on a.task_id = t.id');
}

sub is_finished
{
	my ($what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(outcomes(), 'inside finished, outside finished', $what);
}

# How many requests the executor has sent a second time.
sub resent
{
	return sql("select coalesce(substring(detail from 'It has sent (\\d+) requests a second time'), '0') from taskq.status() where \"check\" = 'executor'");
}

# ---- HTTP/1.1 ---------------------------------------------------------------------------------------

# The end comes just when the next request may be on its way.
send_to($receiver->url('/closing/5'), 200);
is_finished('a receiver that closes after each answer');

my $before = resent();
send_to($receiver->url('/leave'), 6, 1);
is_finished('a receiver that closes when the next request begins');
my %requests;
$requests{ $_->{task} }++ foreach $receiver->requests('/leave');
is(join(' ', map { $requests{$_} } sort keys %requests), join(' ', (1) x 12), 'each request was read once');
cmp_ok(resent() - $before, '>=', 5, 'status() tells how often requests were sent a second time');
like(log_since($node), qr/executor: requests sent a second time, because the receiver had closed the connection: \d+\n/, 'the log, too');
like($worker->log, qr/requests sent a second time, because the receiver had closed the connection: \d+\n/, 'and that of the worker');

# ---- HTTP/2 -----------------------------------------------------------------------------------------

my @peers;

# An URL of one that behaves in that way.
sub peer
{
	my ($mode) = @_;
	my $file = "$dir/port." . @peers;

	push @peers, IPC::Run::start([ 'python3', 'test/lib/h2_peer.py', $file, "$dir/pem", "$dir/key", $mode ], '<', \undef);
	TaskqTest::wait_until("the peer $mode", sub { return -e $file });
	return 'https://localhost:' . slurp_file($file) . '/';
}

my %modes = (
	refuse => 'a request that is refused', goaway => 'a connection that takes no more', vanish => 'a connection that is closed',
	http1 => 'a receiver that wants HTTP/1.1');
foreach my $mode (sort keys %modes)
{
	send_to(peer($mode), 5, 1);
	is_finished("HTTP/2: $modes{$mode}");
}

# What became of one request.
sub outcome_of
{
	my ($queue, $url) = @_;
	my $id = sql("select taskq.submit_http('$url', method => 'GET', queue => '$queue')");

	wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
	return sql("select concat_ws(' ', t.state, a.class) from taskq.tasks t left join taskq.attempts a on a.task_id = t.id where t.id = $id");
}

is(outcome_of($_, peer('twice')), 'dead reset', "$_: what is refused twice has failed") foreach @queues;

# ---- receivers that must see no request twice -------------------------------------------------------------

reconfigure($node, 'taskq.http_resend' => 'off');
start_worker('--resend', 'off');
wait_polls($node) for 1 .. 2;
$before = resent();
send_to($receiver->url('/leave/off'), 6, 1);
is(outcomes(), 'inside dead reset, inside finished, outside dead reset, outside finished', 'off: attempts fail');
is(resent(), $before, 'and nothing is sent again');
is(outcome_of($_, peer('once')), 'finished', "$_: but a receiver has not seen what it has refused") foreach @queues;

$_->kill_kill foreach @peers;
undef $worker;
$node->stop;
log_is_clean($node);
done_testing();
