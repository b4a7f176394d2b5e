# 001_delivery.pl
#		Push tasks as a receiver sees them: what is sent, when, how often, and what
#		is remembered of the answer.

use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Submits a request to that path; $more are further arguments of submit_http().
sub submit
{
	my ($path, $more, $to) = @_;
	my $url = ($to // $receiver)->url($path);

	return sql("select taskq.submit_http('$url'" . (defined $more ? ", $more" : '') . ')');
}

# The requests that were made for a task.
sub requests_of
{
	my ($id) = @_;

	return grep { ($_->{task} // '') eq $id } $receiver->requests;
}

# Class, status and number of attempts of a task that has failed attempts.
sub failures_of
{
	my ($id) = @_;

	return sql("select string_agg(concat_ws(':', attempt, class, status), ' ' order by attempt)"
		  . " from taskq.attempts where task_id = $id");
}

# Several tests: a task to that path fails twice in the same way and is dead then.
sub fails_twice
{
	my ($what, $path, $failures, $more) = @_;
	my $id = submit($path, "retry => 'twice'" . ($more // ''));

	wait_state($node, $id, 'dead');
	is(failures_of($id), $failures, "$what: both attempts are recorded");
	is(scalar(requests_of($id)), 2, "$what: two requests were made");
	return $id;
}

sql("select taskq.create_retry_policy('soon', backoff => 'fixed', base => '50 ms', jitter => 0)");
sql("select taskq.create_retry_policy('twice', backoff => 'fixed', base => '50 ms', jitter => 0,"
	  . ' max_attempts => 2)');

# ---- what is sent ----------------------------------------------------------------

my $id = submit('/echo?a=1', q{'{"a": [1, null, "\u00e4"]}', headers => '{"X-Own": "yes"}'});
wait_state($node, $id, 'finished');
my ($request) = requests_of($id);
is($request->{method}, 'POST', 'a payload is sent with POST');
is($request->{path}, '/echo?a=1', 'path and query arrive as submitted');
is_deeply(JSON::PP->new->decode($request->{body}), { a => [ 1, undef, "\x{e4}" ] },
	'the payload arrives');
my %sent = %{ $request->{headers} };
is($sent{'content-type'}, 'application/json', 'it is marked as JSON');
is($sent{'x-own'}, 'yes', 'headers of the submitter are sent');
is($sent{'x-task-id'}, $id, 'X-Task-Id');
is($sent{'x-task-queue'}, 'http', 'X-Task-Queue');
is($sent{'x-task-attempt'}, '1', 'X-Task-Attempt');
like($sent{'idempotency-key'}, qr/^$id-[0-9a-f]+$/, 'Idempotency-Key');
like($sent{'user-agent'}, qr/^taskq\/[0-9.]+$/, 'User-Agent');
is($sent{host}, '127.0.0.1:' . $receiver->port, 'Host');
is(join(' ', grep { /^(accept-encoding|cookie|authorization|proxy-.*|expect)$/ } keys %sent), '',
	'and no header that nobody asked for');

is( sql("select status, headers ->> 'content-length', body = convert_to('$request->{body}', 'UTF8'),"
		  . " truncated, elapsed > '0' from taskq.response($id)"),
	join('|', 200, length($request->{body}) + 1, 't', 'f', 't'),
	'response() has status, headers and body');
is(sql("select attempt, error is null, worker is not null, started_at <= ended_at from taskq.tasks"
		  . " where id = $id"), '1|t|t|t', 'the finished task shows its one attempt');
is(failures_of($id), '', 'and no failed one');

$id = submit('/ok', q{method => 'PUT', body => '\x00ff0d0a41', headers => '{"Content-Type": "a/b"}'});
wait_state($node, $id, 'finished');
($request) = requests_of($id);
is($request->{method}, 'PUT', 'the method is sent');
is(decode_base64($request->{body}), "\x00\xff\r\nA", 'a body is sent byte for byte');
is($request->{headers}{'content-type'}, 'a/b', 'with the type that its submitter gave');

$id = submit('/ok', "method => 'GET'");
wait_state($node, $id, 'finished');
($request) = requests_of($id);
is($request->{method}, 'GET', 'GET');
is($request->{body}, '', 'has no body');
ok(!exists $request->{headers}{'content-type'}, 'and no Content-Type');

my $hook = $receiver->url('/echo/hook');
sql("select taskq.create_queue('hook', mode => 'push', url => '$hook')");
$id = sql(q{select taskq.submit('hook', '{"event": 7}')});
wait_state($node, $id, 'finished');
($request) = requests_of($id);
is("$request->{method} $request->{path}", 'POST /echo/hook',
	"submit() to a push queue posts to the queue's url");
is_deeply(JSON::PP->new->decode($request->{body}), { event => 7 }, 'the payload is the body');
is($request->{headers}{'x-task-queue'}, 'hook', 'and the queue is named');

# ---- failures and retries -----------------------------------------------------------

$id = submit('/fail/1', "'{}', retry => 'soon'");
wait_state($node, $id, 'finished');
my @requests = requests_of($id);
is(join(' ', map { $_->{headers}{'x-task-attempt'} } @requests), '1 2',
	'500, then 200: two requests with rising attempt');
is($requests[0]{headers}{'idempotency-key'}, $requests[1]{headers}{'idempotency-key'},
	'and the same Idempotency-Key');
is($requests[0]{body}, $requests[1]{body}, 'and the same body');
is(failures_of($id), '1:http:500', 'the failed attempt is remembered');
is(sql("select status from taskq.response($id)"), '200', 'response() is the last answer');
is(sql("select dns >= '0' and coalesce(connect, '0') < elapsed and tls is null and first_byte > '0' and first_byte <= elapsed"
		  . " from taskq.attempts where task_id = $id"), 't', 'and so are the times of its phases');

my $refused = 'http://127.0.0.1:' . refused_port() . '/';
$id = sql("select taskq.submit_http('$refused', retry => 'twice')");
wait_state($node, $id, 'dead');
is(failures_of($id), '1:connect 2:connect', 'connection refused: class connect, retried');

$id = submit('/hang', "timeout => '300 ms', retry => 'twice'");
wait_state($node, $id, 'dead');
is(failures_of($id), '1:timeout 2:timeout', 'no answer in time: class timeout, retried');
my $took = sql("select string_agg(extract(epoch from elapsed)::text, ' ') from taskq.attempts"
	  . " where task_id = $id");
ok(!(grep { $_ < 0.3 || $_ > 1.3 } split / /, $took), "each was given up at its timeout ($took s)");

fails_twice('closed within the body', '/short', '1:reset:200 2:reset:200');
fails_twice('404', '/nothing', '1:http:404 2:http:404');

$id = submit('/status/410', "retry => 'soon'");
wait_state($node, $id, 'dead');
is(failures_of($id), '1:http:410', '410 ends the task at once');
is(scalar(requests_of($id)), 1, 'after one request');

my $elsewhere = $receiver->url('/ok/elsewhere');
fails_twice('redirect', "/status/302?location=$elsewhere", '1:http:302 2:http:302');
is(scalar($receiver->requests('/ok/elsewhere')), 0, 'a redirect is not followed');

foreach my $status (429, 503)
{
	$id = fails_twice("$status with Retry-After", "/status/$status?ra=1",
		"1:http:$status 2:http:$status");
	@requests = requests_of($id);
	my $gap = $requests[1]{time} - $requests[0]{time};
	cmp_ok($gap, '>=', 1, "$status: Retry-After is honoured");
	cmp_ok($gap, '<', 3, sprintf('%d: and no more than that (%.3f s)', $status, $gap));
}

# ---- answers --------------------------------------------------------------------------

$id = submit('/bytes/100000');
wait_state($node, $id, 'finished');
is( sql("select status, truncated, length(body), body = convert_to(repeat('x', 65536), 'UTF8')"
		  . " from taskq.response($id)"),
	'200|t|65536|t',
	'a body longer than taskq.http_max_response is cut off and marked');

$id = submit('/nul');
wait_state($node, $id, 'finished');
is(sql("select encode(body, 'hex') from taskq.response($id)"),
	join('', map { sprintf '%02x', $_ } 0 .. 255), 'a body of any bytes is stored as it is');

$id = submit('/gzip');
wait_state($node, $id, 'finished');
is(sql("select convert_from(body, 'UTF8') from taskq.response($id)"), 'this is not gzip',
	'a body is not decoded');

# ---- transactions -------------------------------------------------------------------------

my $ok = $receiver->url('/ok/transaction');
sql(<<"EOF");
begin;
select taskq.submit_http('$ok/rolled-back');
rollback;
begin;
select taskq.submit_http('$ok/before');
savepoint s;
select taskq.submit_http('$ok/undone');
rollback to s;
select taskq.submit_http('$ok/after');
commit;
EOF
$receiver->wait_requests(2, '/ok/transaction');
$id = submit('/ok/transaction/last');
wait_state($node, $id, 'finished');
is(join(' ', sort map { $_->{path} =~ s,.*/,,r } $receiver->requests('/ok/transaction')),
	'after before last', 'what is rolled back, wholly or to a savepoint, is not sent');
is(sql("select count(*) from taskq.tasks where url ~ 'rolled-back|undone'"), '0',
	'and leaves no trace');

$id = submit('/ok', "delay => '1.2 s'");
my $due = sql("select extract(epoch from run_at) from taskq.tasks where id = $id");
wait_state($node, $id, 'finished');
($request) = requests_of($id);
cmp_ok($request->{time}, '>=', $due, 'a delayed task is not sent early');
cmp_ok($request->{time}, '<', $due + 1, sprintf('nor late (%.0f ms)', 1000 * ($request->{time} - $due)));

# ---- cancel -------------------------------------------------------------------------------

$id = submit('/hang', "retry => 'soon'");
wait_until('the request', sub { return requests_of($id) == 1 });
$took = seconds(sub {
	is(sql("select taskq.cancel($id, 'no longer wanted')"), 't', 'a request under way can be cancelled');
	wait_state($node, $id, 'cancelled');
});
cmp_ok($took, '<', 1, sprintf('it ends at once (%.2f s)', $took));
is(sql("select error from taskq.tasks where id = $id"), 'no longer wanted', 'with the reason');
wait_polls($node);
is(scalar(requests_of($id)), 1, 'and is not tried again');

# ---- arming -------------------------------------------------------------------------------

sql('select taskq.disarm()');
$id = submit('/ok');
wait_polls($node);
is(scalar(requests_of($id)), 0, 'disarm(): nothing is sent');
is(sql('select ok from taskq.status() where "check" = \'armed\''), 'f', 'status() says so');
like(log_since($node), qr/"postgres" sends nothing: the database is not armed/, 'so does the log');
sql('select taskq.arm()');
wait_state($node, $id, 'finished');
is(scalar(requests_of($id)), 1, 'arm(): it is sent');

# ---- egress -------------------------------------------------------------------------------

# The settings reach the executor when they do; from then on a task to the receiver dies.
reconfigure($node, 'taskq.http_allow' => '');
wait_until('a refusal', sub {
	$id = submit('/ok/egress', "retry => 'soon'");
	wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
	return sql("select state from taskq.tasks where id = $id") eq 'dead';
});
is(failures_of($id), '1:egress_denied', 'an address that is not allowed: dead at once');
is(scalar(requests_of($id)), 0, 'although a connection to it was there to be reused');

my $other = TaskqTest::Receiver->start;
foreach my $url ($other->url('/ok'), 'http://2130706433:' . $other->port . '/ok',
	'http://[::ffff:127.0.0.1]:' . $other->port . '/ok', 'http://localhost:' . $other->port . '/ok')
{
	$id = sql("select taskq.submit_http('$url', retry => 'soon')");
	wait_state($node, $id, 'dead');
	is(failures_of($id), '1:egress_denied', "$url is refused" =~ s/:\d{4,}//r);
}
reconfigure($node, 'taskq.http_allow' => '127.0.0.1/32, ::1');
wait_until('a delivery', sub {
	$id = submit('/ok', "retry => 'soon'", $other);
	wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
	return sql("select state from taskq.tasks where id = $id") eq 'finished';
});
($request) = $other->requests;
is($request->{connection}, 1, 'no connection was made while it was refused; it takes a reload to allow it');

# What a URL may name is narrowed by lists, and status() says which one it was.
foreach my $case (['taskq.http_ports' => '80, 443', '', 'ports'],
	['taskq.http_hosts' => 'hooks.example.com, *.localhost', '', 'hosts'], ['taskq.http_deny' => '127.0.0.0/8', '', 'deny'])
{
	my ($setting, $value, $open, $list) = @$case;

	reconfigure($node, $setting => $value);
	wait_until("a refusal by $setting", sub {
		$id = submit('/ok/list', "retry => 'soon'", $other);
		wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
		return sql("select state from taskq.tasks where id = $id") eq 'dead';
	});
	like(failures_of($id), qr/^1:egress_denied/, "$setting: refused");
	like(sql("select detail || hint from taskq.status() where \"check\" = 'last error'"),
		qr/is not allowed: .*$list.*change \Q$setting\E and reload/s, 'status() names the list');
	reconfigure($node, $setting => $open);
	wait_until("a delivery without $setting", sub {
		$id = submit('/ok', "retry => 'soon'", $other);
		wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
		return sql("select state from taskq.tasks where id = $id") eq 'finished';
	});
}

# ---- many peers that hang --------------------------------------------------------------------

reconfigure($node, 'taskq.http_max_per_host' => 32);
wait_polls($node) for 1 .. 2;
sql("select taskq.create_queue('slow', mode => 'push', url => '" . $receiver->url('/hang/0/slow') . "')");
sql("select count(taskq.submit('slow', '{}')) from generate_series(1, 500)");
$receiver->wait_requests(32, '/hang/0/slow');
wait_query($node, 'postgres', "select count(*) = 500 from taskq.tasks where queue = 'slow' and state = 'running'");
$took = seconds(sub {
	$id = sql("select taskq.submit('default', '{}')");
	is( sql("select taskq.finish(a.id, a.token) from taskq.acquire('default') a"),
		't',
		'with 500 tasks for a host that hangs, other queues work');
	sql('create table t ()');
	sql('drop table t');
	sql('vacuum taskq_private.task');
	sql("select taskq.cancel(max(id)) from taskq.tasks where queue = 'slow'");
});
cmp_ok($took, '<', 2, sprintf('and nobody waits for it (%.2f s)', $took));
my $healthy = $other->url('/ok/healthy') =~ s/127\.0\.0\.1/localhost/r;
$took = seconds(sub {
	$id = sql("select taskq.submit_http('$healthy', '{}')");
	wait_state($node, $id, 'finished');
});
cmp_ok($took, '<', 1, sprintf('a task for another host goes out at once (%.3f s)', $took));
is(scalar(my @hanging = $receiver->requests('/hang/0/slow')), 32,
	'taskq.http_max_per_host bounds what is under way to one host');
$took = seconds(sub {
	sql("select taskq.drop_queue('slow', force => true)");
	$id = submit('/ok', undef, $other);
	wait_state($node, $id, 'finished');
});
cmp_ok($took, '<', 3, sprintf('when the queue is dropped its slots are free (%.2f s)', $took));

# ---- commits that take long --------------------------------------------------------------------

# Half of the deliveries: the machine may be busy.
reconfigure($node, fsync => 'on', commit_delay => 100000, commit_siblings => 0);
sql("select count(taskq.submit_http('" . $receiver->url('/ok') . "', '{}', key => 'timed-' || i, delay => i * interval '300 ms'))"
	. ' from generate_series(1, 10) i');
wait_query($node, 'postgres', q{select count(*) = 10 from taskq.tasks where key like 'timed-%' and state = 'finished'});
cmp_ok(
	sql(q{select percentile_cont(0.5) within group (order by extract(epoch from started_at - run_at))::text from taskq.tasks where key like 'timed-%'}),
	'<', 0.05, 'the commit of a report does not put off what is due soon');

$node->stop;
log_is_clean($node);
done_testing();
