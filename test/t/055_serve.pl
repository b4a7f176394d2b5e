# 055_serve.pl
#		taskq serve: the queue over HTTP.  What a token may do, each route, what waits,
#		Miyamoto's session, and what is refused: malformed, slow, too large, too many.

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(sha256_hex);
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

use TaskqTest;

# How many wait and vanish, 1000 in make test-all.
my $vanishing = $ENV{TASKQ_WAITERS} // 100;

my $node = taskq_node('main', conf => 'log_statement = none');
my $receiver = TaskqTest::Receiver->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $login = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=taskq_gateway';
my $json = JSON::PP->new->canonical->allow_nonref;

delete $ENV{$_} foreach grep { /^TASKQ_/ } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;
delete $ENV{$_} foreach qw(http_proxy HTTP_PROXY all_proxy);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub taskq
{
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ 'build/cli/taskq', @_ ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# ---- a gateway, and requests to it --------------------------------------------------------------

# A port that is free now.
sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;

	return $socket->sockport;
}

sub start_gateway
{
	my ($port, @options) = @_;
	my $gateway = TaskqTest::Worker->start_program('build/cli/taskq', 'serve', '-d', $login, '--listen', $port, '--tokens',
		"$dir/tokens", @options);

	$gateway->wait_log(qr/ready/);
	return $gateway;
}

my $port = free_port();
my $http = HTTP::Tiny->new(timeout => 60, keep_alive => 1);
my %tokens;

# A request as the owner of a token ('' for none): status, body as data or text, the whole response.
sub ask
{
	my ($name, $method, $path, $body, %headers) = @_;
	my %options;

	$headers{Authorization} = "Bearer $tokens{$name}" if $name ne '';
	if (defined $body)
	{
		$options{content} = ref $body ? $json->encode($body) : $body;
		$headers{'Content-Type'} //= 'application/json';
	}
	$options{headers} = \%headers;
	my $r = $http->request($method, "http://127.0.0.1:$port$path", \%options);
	my $type = $r->{headers}{'content-type'} // '';
	my $content = $type eq 'application/json' ? eval { $json->decode($r->{content}) } // $r->{content} : $r->{content};
	return ($r->{status}, $content, $r);
}

# The last response that asks() got.
my $last;

# Expects a status, and returns the body.
sub asks
{
	my ($name, $status, @request) = @_;
	my ($got, $body, $r) = ask(@request);

	is($got, $status, "$name: status") or diag(explain($body));
	$last = $r;
	return $body;
}

# Expects an error with that in its reason.
sub refuses
{
	my ($name, $status, $reason, @request) = @_;
	my $body = asks($name, $status, @request);

	like(ref $body ? $body->{reason} : $body, $reason, $name);
	return $body;
}

# The bytes of an answer to bytes; until the peer closes.
sub raw
{
	my ($bytes, $to) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to // $port) or die $!;
	my $answer = '';

	local $SIG{PIPE} = 'IGNORE';
	$socket->print($bytes);
	$socket->flush;
	while (IO::Select->new($socket)->can_read(30))
	{
		my $n = sysread($socket, $answer, 65536, length $answer);
		last if !defined $n || $n == 0 || $answer =~ /\r\n\r\n.*\}\n\z/s;
	}
	return $answer;
}

# ---- tokens ---------------------------------------------------------------------------------------

my ($status, $output, $errors) = taskq('token', 'new', 'x', 'some_role', '--ui', '--expires', '2099-01-01');
is($status, 0, 'token new');
like($output, qr/\Atq_[A-Za-z0-9_-]{43}\nx some_role [0-9a-f]{64} ui expires=2099-01-01\n\z/, 'a token and its line');
my ($token, $line) = split /\n/, $output;
is((split / /, $line)[2], sha256_hex($token), 'the line has the hash of the token');
isnt((split /\n/, (taskq('token', 'new', 'x', 'some_role'))[1])[0], $token, 'another one is made each time');
like((taskq('token', 'new', 'x', 'y', '--expires', '10d'))[1], qr/ expires=\d{4}-\d\d-\d\d$/, 'days');
is((taskq('token', 'new', 'x', 'y', '--expires', 'soon'))[0], 2, 'not a day');
is((taskq('token', 'new', 'a b', 'y'))[0], 2, 'not a name');

sql(<<'SQL');
create role shop_app; create role other_app; create role runner; create role viewer; create role ops; create role nobody;
select taskq.create_queue('mail', keep_payload => true), taskq.create_queue('other'), taskq.create_queue('slow'), taskq.create_queue('quiet'), taskq.create_queue('idle'),
	taskq.create_queue('hooks', mode => 'push');
select taskq.grant_queue('mail', 'shop_app', '{submit,view}'), taskq.grant_queue('other', 'other_app', '{submit}'),
	taskq.grant_queue('mail', 'runner', '{work}'), taskq.grant_queue('slow', 'runner', '{work}'),
	taskq.grant_queue('quiet', 'runner', '{work}'), taskq.grant_queue('idle', 'runner', '{work}');
grant taskq_reader to viewer; grant taskq_admin to ops;
create role taskq_gateway login noinherit;
grant shop_app, other_app, runner, viewer, ops, taskq_reader to taskq_gateway;
SQL
foreach ([ 'shop', 'shop_app' ], [ 'other', 'other_app' ], [ 'runner', 'runner' ], [ 'viewer', 'viewer', '--ui' ],
	[ 'ops', 'ops', '--ui' ], [ 'nobody', 'nobody' ])
{
	my ($name, @rest) = @$_;
	my ($status, $output) = taskq('token', 'new', $name, @rest, '--append', "$dir/tokens", '-q');
	chomp($tokens{$name} = $output);
}
$tokens{wrong} = 'tq_' . 'A' x 43;
is((stat "$dir/tokens")[2] & 0777, 0600, 'the file of tokens is private');
unlike(slurp_file("$dir/tokens"), qr/tq_/, 'and has no token');

($status, $output) = taskq('serve', '-d', $login, '--tokens', "$dir/tokens", '--check');
is($status, 1, '--check: a role cannot be taken');
like($output, qr/^nobody\tnobody\trefused\t.*permission denied/m, 'it tells which');
like($output, qr/^shop\tshop_app\tok\tmail: submit view$/m, 'and what the others may do');
like($output, qr/^ops\tops\tok\teverything/m, 'an administrator');
is((taskq('serve', '-d', $login, '--tokens', "$dir/tokens", '--listen', "0.0.0.0:$port"))[0], 2,
	'no address but loopback without a proxy');
is((taskq('serve', '-d', $login, '--tokens', "$dir/tokens", '--user-header', 'X-User', '--listen', $port))[0], 2,
	'no header with names except by a UNIX socket');
is((taskq('serve', '-d', $login, '--listen', $port))[0], 2, 'nobody could come in');
chmod 0644, "$dir/tokens";
like((taskq('serve', '-d', $login, '--tokens', "$dir/tokens"))[2], qr/others can read/, 'a file that others can read');
chmod 0600, "$dir/tokens";

my $gateway = start_gateway($port);

# ---- who is asking -----------------------------------------------------------------------------------

is_deeply(asks('health', 200, '', 'GET', '/healthz'), { alive => JSON::PP::true }, 'health');
is_deeply(asks('ready', 200, '', 'GET', '/readyz'), { ready => JSON::PP::true }, 'ready');
my $body = asks('no token', 401, '', 'GET', '/v1/queues');
is($last->{headers}{'www-authenticate'}, 'Bearer', 'how to come in');
is($body->{status}, 'error', 'an error');
refuses('wrong token', 401, qr/wrong or has expired/, 'wrong', 'GET', '/v1/queues');
refuses('other scheme', 401, qr/wrong/, '', 'GET', '/v1/queues', undef, Authorization => 'Basic eDp5');
is_deeply([ map { $_->{queue} } @{ asks('shop', 200, 'shop', 'GET', '/v1/queues')->{queues} } ], ['mail'], 'sees its queue alone');
is(scalar(grep { $_->{queue} eq 'other' } @{ asks('viewer', 200, 'viewer', 'GET', '/v1/queues')->{queues} }), 1, 'a reader sees all');
refuses('a role that is not granted', 403, qr/permission denied/, 'nobody', 'GET', '/v1/queues');
my $who = asks('who', 200, 'shop', 'GET', '/v1/whoami');
is_deeply([ @$who{qw(name role)}, $who->{queues} ], [ 'shop', 'shop_app', { mail => [ 'submit', 'view' ] } ], 'who it is');
ok(asks('who', 200, 'ops', 'GET', '/v1/whoami')->{privileges}{control}, 'an administrator may do all');

# A role can do what it may, and nothing is left of it on the connection.
my $id = asks('submit', 201, 'shop', 'POST', '/v1/queues/mail/tasks', { payload => { a => 1 } })->{id};
like($id, qr/\A\d+\z/, 'a task') or BAIL_OUT('no task');
refuses('submit elsewhere', 404, qr/queue "other" does not exist/, 'shop', 'POST', '/v1/queues/other/tasks', { payload => 1 });
refuses('to work', 403, qr/permission denied/, 'shop', 'POST', '/v1/queues/mail/acquire', {});
refuses('to administer', 403, qr/permission denied/, 'viewer', 'POST', '/v1/queues/mail/pause');
foreach my $i (1 .. 40)
{
	my ($ok) = ask('ops', 'GET', '/v1/workers');
	my ($refused) = ask('shop', 'GET', '/v1/grants');
	is("$ok $refused", '200 403', "connection $i keeps no role") if $i % 10 == 0 || "$ok $refused" ne '200 403';
}
is(sql("select count(*) from pg_stat_activity where usename = 'taskq_gateway' and state = 'idle in transaction'"), 0, 'no transaction is left open');
# Behind an error on the same connection others go on.
is(join(' ', map { (ask('shop', 'GET', '/v1/tasks/0/attempts'))[0] . (ask('viewer', 'POST', '/v1/arm'))[0] } 1 .. 20), join(' ', ('200403') x 20),
	'an error ends one request alone');

# ---- submit --------------------------------------------------------------------------------------------

$body = asks('submit', 201, 'shop', 'POST', '/v1/queues/mail/tasks',
	'{"payload": {"n": 12345678901234567890123456789.10, "t": "\u00e4"}, "key": "k1", "priority": 3, "delay": 3600, "kind": "x"}');
is($body->{created}, JSON::PP::true, 'a new task');
is($last->{headers}{location}, "../../tasks/$body->{id}", 'its place');
is($last->{headers}{'cache-control'}, 'no-store', 'no cache keeps it');
my $keyed = $body->{id};
is(sql("select payload->>'n', key, priority, kind, run_at > now() + '59 min' from taskq.tasks where id = $keyed"),
	'12345678901234567890123456789.10|k1|3|x|t', 'what was said came to the database, digit by digit');
is_deeply(asks('same key', 200, 'shop', 'POST', '/v1/queues/mail/tasks', { key => 'k1' }), { id => $keyed, created => JSON::PP::false }, 'the same task');
is_deeply(asks('replace', 200, 'shop', 'POST', '/v1/queues/mail/tasks', { key => 'k1', payload => 2, on_duplicate => 'replace' }),
	{ id => $keyed, created => JSON::PP::false }, 'replaced');
refuses('raise', 409, qr/key/, 'shop', 'POST', '/v1/queues/mail/tasks', { key => 'k1', on_duplicate => 'raise' });
my $first = asks('idempotency', 201, 'shop', 'POST', '/v1/queues/mail/tasks', { payload => 1 }, 'Idempotency-Key' => 'once')->{id};
is(asks('again', 200, 'shop', 'POST', '/v1/queues/mail/tasks', { payload => 1 }, 'Idempotency-Key' => 'once')->{id}, $first, 'the same key, the same task');
my $dependent = asks('prerequisites', 201, 'shop', 'POST', '/v1/queues/mail/tasks', { payload => 1, after => [ $keyed, $first + 0 ], after_failure => 'run' })->{id};
is(sql("select string_agg(task_id::text, ' ' order by task_id) from taskq.dependencies where dependent = $dependent"), "$keyed $first", 'ids as strings or numbers');
refuses('one that is not known', 400, qr/task 999999 /, 'shop', 'POST', '/v1/queues/mail/tasks', { after => ['999999'] });
refuses('what is no id', 400, qr/invalid input syntax/, 'shop', 'POST', '/v1/queues/mail/tasks', { after => ['x'] });
refuses('what is no list', 400, qr/cannot extract elements/, 'shop', 'POST', '/v1/queues/mail/tasks', { after => $first });
refuses('after_failure', 400, qr/after_failure/, 'shop', 'POST', '/v1/queues/mail/tasks', { after => [$first], after_failure => 'perhaps' });
refuses('two keys', 400, qr/differ/, 'shop', 'POST', '/v1/queues/mail/tasks', { key => 'a' }, 'Idempotency-Key' => 'b');
foreach (
	[ '{"paylod": 1}', qr/there is no member "paylod"/ ],
	[ '{"payload": 1', qr/not valid JSON/ ],
	[ '[1', qr/not valid JSON/ ],
	[ '"x"', qr/must be a JSON object/ ],
	[ '{"key": 1}', qr/"key" must be a string/ ],
	[ '{"priority": "high"}', qr/"priority" must be a number/ ],
	[ '{"key": "a", "key": "b"}', qr/given twice/ ],
	[ '{"priority": 99}', qr/priority/ ],
	[ '{"delay": "soon"}', qr/interval/ ],
	[ '{"payload": "\ud800"}', qr/not valid JSON/ ],
	[ "{\"payload\": \"\xff\"}", qr/not valid JSON/ ])
{
	refuses("body $_->[0]", 400, $_->[1], 'shop', 'POST', '/v1/queues/mail/tasks', $_->[0]);
}
is(asks('suggestion', 400, 'shop', 'POST', '/v1/queues/mail/tasks', '{"paylod": 1}')->{hint}, 'Did you mean "payload"?', 'a suggestion');
refuses('type', 415, qr/must be JSON/, 'shop', 'POST', '/v1/queues/mail/tasks', 'a=b', 'Content-Type' => 'text/plain');
refuses('unknown parameter', 400, qr/no parameter "wiat".*/, 'shop', 'GET', "/v1/tasks/$id?wiat=1");
refuses('unknown queue', 404, qr/does not exist/, 'ops', 'POST', '/v1/queues/mial/tasks', {});
unlike(slurp_file($node->logfile), qr/"a":|paylod|12345678901234567890/, 'no body is in the log of the server');
unlike($gateway->log, qr/k1|paylod|tq_/, 'nor in that of the gateway');

my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $other_trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01';
sub trace_of
{
	return sql("select coalesce(trace, 'none') from taskq.tasks where id = $_[0]");
}
is(trace_of(asks('trace', 201, 'shop', 'POST', '/v1/queues/mail/tasks', {}, traceparent => $trace)->{id}), $trace, "the request's trace is the task's");
is(trace_of(asks('another', 201, 'shop', 'POST', '/v1/queues/mail/tasks', { trace => $other_trace }, traceparent => $trace)->{id}), $other_trace,
	'unless the body says another');
is(trace_of(asks('no trace', 201, 'shop', 'POST', '/v1/queues/mail/tasks', {}, traceparent => 'x')->{id}), 'none', 'what is none is ignored');
is(trace_of(asks('batch', 201, 'shop', 'POST', '/v1/queues/mail/tasks', [ {} ], traceparent => $trace)->{ids}[0]), $trace, 'of a list, too');

is_deeply(asks('batch', 201, 'shop', 'POST', '/v1/queues/mail/tasks', [ { payload => 1, key => 'b1' }, { payload => { x => [] } }, {} ])->{ids},
	[ reverse split /\n/, sql("select id from taskq.tasks where queue = 'mail' order by id desc limit 3") ], 'a list');
my $ids = asks('lines', 201, 'shop', 'POST', '/v1/queues/mail/tasks', qq({"payload": 1}\n\n{"payload": 2}\n), 'Content-Type' => 'application/x-ndjson')->{ids};
is(scalar(@$ids), 2, 'two lines');
is(sql("select string_agg(payload::text, ',' order by id) from taskq.tasks where id in ($ids->[0], $ids->[1])"), '1,2', 'in their order');
my $count = sql("select count(*) from taskq.tasks");
refuses('a bad element', 400, qr/no member "x"/, 'shop', 'POST', '/v1/queues/mail/tasks', [ { payload => 1 }, { x => 1 } ]);
refuses('a bad line', 400, qr/object|JSON/, 'shop', 'POST', '/v1/queues/mail/tasks', qq({"payload": 1}\n1,2\n), 'Content-Type' => 'application/x-ndjson');
is(sql("select count(*) from taskq.tasks"), $count, 'all or none');
is(asks('http', 201, 'ops', 'POST', '/v1/queues/hooks/tasks',
		{ url => $receiver->url('/ok'), method => 'PUT', headers => { 'X-A' => 'b' }, body => 'aGVsbG8=' })->{created}, JSON::PP::true, 'an HTTP request');
my ($sent) = $receiver->wait_requests(1, '/ok');
is("$sent->{method} $sent->{body}", 'PUT hello', 'is sent');

# ---- look ------------------------------------------------------------------------------------------------

my $task = asks('task', 200, 'shop', 'GET', "/v1/tasks/$id");
is_deeply([ @$task{qw(id queue state payload)} ], [ $id, 'mail', 'pending', { a => 1 } ], 'a task');
like($task->{submitted_at}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*\+00:00\z/, 'times are RFC 3339');
refuses('no task', 404, qr/no such task/, 'shop', 'GET', '/v1/tasks/999999');
refuses('not shown', 404, qr/no such task/, 'shop', 'GET', '/v1/tasks/' . sql("select taskq.submit('other')"));
refuses('no number', 404, qr/is a number/, 'shop', 'GET', '/v1/tasks/x');
asks('etag', 200, 'shop', 'GET', "/v1/tasks/$id");
asks('not modified', 304, 'shop', 'GET', "/v1/tasks/$id", undef, 'If-None-Match' => $last->{headers}{etag});
my $found = asks('find', 200, 'shop', 'GET', '/v1/tasks?queue=mail&state=pending&limit=2');
is(scalar(@{ $found->{tasks} }), 2, 'two');
ok(!$found->{complete} && $found->{next}, 'there are more');
$found = asks('find on', 200, 'shop', 'GET', "/v1/tasks?queue=mail&limit=1000&after=$found->{next}");
ok($found->{complete} && !defined $found->{next}, 'all of the rest');
is(asks('by payload', 200, 'shop', 'GET', '/v1/tasks?payload=%7B%22a%22:1%7D')->{tasks}[0]{id}, $id, 'by payload');
is_deeply([ @{ asks('a preview', 200, 'shop', 'GET', '/v1/tasks?payload=%7B%22a%22:1%7D&preview=4')->{tasks}[0] }{qw(payload_start payload_bytes)} ], [ '{"a"', 8 ],
	'the beginning of a payload');
refuses('payload that is none', 400, qr/must be JSON/, 'shop', 'GET', '/v1/tasks?payload=%7B%22secret');

# Large payloads make shorter pages, one after the other.
sql("select taskq.create_queue('large'); select taskq.grant_queue('large', 'shop_app', '{view}')");
my @large = split /\n/, sql("select taskq.submit('large', to_jsonb(repeat('x', 500000))) from generate_series(1, 12)");
my (@pages, @listed);
my $after = '';
do
{
	my $page = asks('a page of large tasks', 200, 'shop', 'GET', "/v1/tasks?queue=large&limit=1000$after");
	push @pages, scalar @{ $page->{tasks} };
	push @listed, map { $_->{id} } @{ $page->{tasks} };
	is($page->{complete} ? 'complete' : $page->{next}, @pages == 2 ? 'complete' : $listed[-1], 'it says whether there are more');
	$after = "&after=$listed[-1]";
} while (@pages < 2);
is("@pages", '9 3', 'a page has some megabytes');
is("@listed", join(' ', reverse @large), 'and none is left out');
is(scalar(@{ asks('previews', 200, 'shop', 'GET', '/v1/tasks?queue=large&limit=1000&preview=10')->{tasks} }), 12, 'previews are small');
sql("select taskq.drop_queue('large', true)");
is(asks('status', 200, 'ops', 'GET', '/v1/status')->{checks}[0]{check}, 'preloaded', 'status');
is(asks('result', 200, 'shop', 'GET', "/v1/tasks/$id/result")->{state}, 'pending', 'no result yet');
my $hook = sql("select id from taskq.tasks where queue = 'hooks' limit 1");
TaskqTest::wait_state($node, $hook, 'finished');
$body = asks('response', 200, 'ops', 'GET', "/v1/tasks/$hook/response");
is($last->{headers}{'x-taskq-status'}, 200, "the receiver's answer");
like($last->{headers}{'content-security-policy'}, qr/sandbox/, 'which no browser runs');
is_deeply(asks('attempts', 200, 'ops', 'GET', "/v1/tasks/$hook/attempts"), { attempts => [] }, 'no attempt has failed');

# ---- change ---------------------------------------------------------------------------------------------

is(asks('reschedule', 200, 'shop', 'POST', "/v1/tasks/$keyed/reschedule", { delay => '2 h' })->{state}, 'pending', 'rescheduled');
is(asks('cancel', 200, 'shop', 'DELETE', "/v1/tasks/$keyed?reason=by%20hand")->{state}, 'cancelled', 'cancelled');
is(sql("select error from taskq.tasks where id = $keyed"), 'by hand', 'the reason');
refuses('cancelled already', 409, qr/has ended/, 'shop', 'DELETE', "/v1/tasks/$keyed");
refuses('nothing to cancel', 404, qr/no such task/, 'shop', 'DELETE', '/v1/tasks/999999');
refuses('retry', 403, qr/permission/, 'shop', 'POST', "/v1/tasks/$keyed/retry", {});
is(asks('retry', 200, 'ops', 'POST', "/v1/tasks/$keyed/retry", {})->{state}, 'pending', 'pending again');
refuses('not ended', 409, qr/has not ended/, 'ops', 'POST', "/v1/tasks/$keyed/retry");
sql("select taskq.submit_many('other', array_agg(to_jsonb(i)), kind => 'bulk') from generate_series(1, 5) i");
is(asks('dry run', 200, 'ops', 'POST', '/v1/bulk', { action => 'cancel', filter => { queue => 'other', kind => 'bulk' }, dry_run => JSON::PP::true })->{would_do},
	5, 'what would be cancelled');
is_deeply(asks('bulk cancel', 200, 'ops', 'POST', '/v1/bulk', { action => 'cancel', filter => { queue => 'other', kind => 'bulk' }, limit => 3 }),
	{ done => 3, skipped => 0, more => JSON::PP::true }, 'three of five');
is(asks('bulk retry', 200, 'ops', 'POST', '/v1/bulk',
		{ action => 'retry', filter => { queue => 'other', kind => 'bulk', states => ['cancelled'] }, spread => '1 min' })->{done}, 3, 'and back');
refuses('no queue', 400, qr/object with a queue/, 'ops', 'POST', '/v1/bulk', { action => 'retry', filter => {} });
refuses('no action', 400, qr/retry or cancel/, 'ops', 'POST', '/v1/bulk', { action => 'drop', filter => { queue => 'mail' } });

# ---- administration ---------------------------------------------------------------------------------------

is(asks('new queue', 200, 'ops', 'PUT', '/v1/queues/made', { lease_for => '30 s' })->{changes}[0]{action}, 'create', 'a queue is made');
is(asks('the queue', 200, 'ops', 'GET', '/v1/queues/made')->{lease_for}, 30, 'as it was said');
is_deeply(asks('the same again', 200, 'ops', 'PUT', '/v1/queues/made', { lease_for => '30 s' })->{changes}, [], 'nothing to do');
is(asks('another lease', 200, 'ops', 'PUT', '/v1/queues/made?dry_run=true', { lease_for => '40 s' })->{changes}[0]{action}, 'alter', 'what would be done');
is(asks('the queue', 200, 'ops', 'GET', '/v1/queues/made')->{lease_for}, 30, 'was not done');
asks('pause', 200, 'ops', 'POST', '/v1/queues/made/pause');
is(sql("select paused from taskq.queues where queue = 'made'"), 't', 'paused');
asks('resume', 200, 'ops', 'POST', '/v1/queues/made/resume');
is(asks('purge', 200, 'ops', 'POST', '/v1/queues/made/purge')->{done}, 0, 'purged');
asks('drop', 200, 'ops', 'DELETE', '/v1/queues/made');
refuses('gone', 404, qr/does not exist/, 'ops', 'DELETE', '/v1/queues/made');
asks('endpoint', 200, 'ops', 'PUT', '/v1/endpoints/acme', { url => $receiver->url('/acme') });
is(asks('endpoints', 200, 'ops', 'GET', '/v1/endpoints')->{endpoints}[0]{endpoint}, 'acme', 'an endpoint');
like(asks('secret', 200, 'ops', 'POST', '/v1/endpoints/acme/rotate-secret', {})->{secret}, qr/^whsec_/, 'a new secret');
asks('test', 201, 'ops', 'POST', '/v1/endpoints/acme/test');
($sent) = $receiver->wait_requests(1, '/acme');
is($sent->{body}, '{"test": true}', 'a test request');
asks('policy', 200, 'ops', 'PUT', '/v1/policies/twice', { max_attempts => 2 });
is(scalar(grep { $_->{name} eq 'twice' } @{ asks('policies', 200, 'ops', 'GET', '/v1/policies')->{policies} }), 1, 'a policy');
asks('schedule', 200, 'ops', 'PUT', '/v1/schedules/nightly', { cron => '0 3 * * *', task => { queue => 'other' } });
is(asks('schedules', 200, 'ops', 'GET', '/v1/schedules')->{schedules}[0]{schedule}, 'nightly', 'a schedule');
asks('run', 201, 'ops', 'POST', '/v1/schedules/nightly/run');
asks('drop it', 200, 'ops', 'DELETE', '/v1/schedules/nightly');
ok(exists asks('config', 200, 'ops', 'GET', '/v1/config')->{queues}{mail}, 'the configuration');
is(asks('apply', 200, 'ops', 'POST', '/v1/config?dry_run=true',
		{ queues => { mail => { lease_for => '5 min' } } })->{changes}[0]{action}, 'alter', 'what would be changed');
refuses('apply', 403, qr/permission/, 'shop', 'POST', '/v1/config', {});
asks('disarm', 200, 'ops', 'POST', '/v1/disarm');
$body = refuses('strict', 503, qr/a check fails/, '', 'GET', '/readyz?strict');
like($body->{detail}, qr/\A[a-z_ ]+(, [a-z_ ]+)*\z/, 'anybody is told which check, but nothing of what it says');
asks('arm', 200, 'ops', 'POST', '/v1/arm');
my $api = asks('openapi', 200, 'shop', 'GET', '/v1/openapi.json');
ok(exists $api->{paths}{'/v1/queues/{queue}/tasks'}{post}{requestBody}, 'the routes');
cmp_ok(scalar(keys %{ $api->{paths} }), '>', 40, 'all of them');

# ---- work -----------------------------------------------------------------------------------------------

sql("select taskq.purge_queue('mail')");
asks('nothing to do', 204, 'runner', 'POST', '/v1/queues/mail/acquire', {});
$ids = asks('two', 201, 'shop', 'POST', '/v1/queues/mail/tasks', [ { payload => 'x' }, { payload => 'y' } ])->{ids};
my ($work) = @{ asks('acquire', 200, 'runner', 'POST', '/v1/queues/mail/acquire', { worker => 'w1', lease_for => 30 })->{tasks} };
is_deeply([ @$work{qw(id payload attempt)} ], [ $ids->[0], 'x', 1 ], 'a task');
ok(!ref $work->{token} && $work->{token} =~ /\A\d+\z/ && $json->encode($work->{token}) =~ /^"/, 'its token is a string');
is(asks('workers', 200, 'viewer', 'GET', '/v1/workers')->{workers}[0]{worker}, 'w1', 'the worker');
asks('progress', 200, 'runner', 'POST', "/v1/tasks/$work->{id}/progress", { token => $work->{token}, fraction => 0.5, message => 'half' });
is_deeply([ @{ asks('heartbeat', 200, 'runner', 'POST', "/v1/tasks/$work->{id}/heartbeat", { token => $work->{token}, extend_by => '60 s' }) }{qw(cancel_requested)} ],
	[JSON::PP::false], 'go on');
is(asks('cancel a running one', 202, 'shop', 'DELETE', "/v1/tasks/$work->{id}")->{state}, 'cancelling', 'its worker will be told');
ok(asks('heartbeat', 200, 'runner', 'POST', "/v1/tasks/$work->{id}/heartbeat", { token => $work->{token} })->{cancel_requested}, 'it is told');
is(asks('finish', 200, 'runner', 'POST', "/v1/tasks/$work->{id}/finish", { token => $work->{token}, result => { n => 1 } })->{state}, 'finished', 'done');
is(refuses('twice', 409, qr/lease of task \d+ is lost/, 'runner', 'POST', "/v1/tasks/$work->{id}/finish", { token => $work->{token} })->{code}, 'lost', 'lost');
is_deeply(asks('result', 200, 'shop', 'GET', "/v1/tasks/$work->{id}/result")->{result}, { n => 1 }, 'the result');
my $turn = asks('turn', 200, 'runner', 'POST', '/v1/queues/mail/turn', { acquire => { max_tasks => 5 } });
is($turn->{tasks}[0]{id}, $ids->[1], 'the other one');
$turn = asks('turn', 200, 'runner', 'POST', '/v1/queues/mail/turn',
	{ finish => [ { id => $ids->[1], token => $turn->{tasks}[0]{token}, result => [] }, { id => $ids->[0], token => '1' } ], acquire => {} });
is_deeply($turn, { finished => [ $ids->[1] ], tasks => [] }, 'finished, and nothing more to do');
$id = asks('one', 201, 'shop', 'POST', '/v1/queues/mail/tasks', {})->{id};
($work) = @{ asks('acquire', 200, 'runner', 'POST', '/v1/queues/mail/acquire?wait=5', {})->{tasks} };
is(asks('release', 200, 'runner', 'POST', "/v1/tasks/$id/release", { token => $work->{token} })->{state}, 'pending', 'given back');
($work) = @{ asks('acquire', 200, 'runner', 'POST', '/v1/queues/mail/acquire', {})->{tasks} };
is(asks('fail', 200, 'runner', 'POST', "/v1/tasks/$id/fail", { token => $work->{token}, error => 'no', detail => { code => 1 }, retryable => JSON::PP::false })->{state},
	'dead', 'failed for good');
is(asks('attempts', 200, 'shop', 'GET', "/v1/tasks/$id/attempts")->{attempts}[0]{error}, 'no', 'why');
refuses('without a token', 400, qr/token/, 'runner', 'POST', "/v1/tasks/$id/finish", {});

# Of many large tasks a worker gets as many as an answer has room for, 4 MB; other workers get the others.
sql("select count(*) from taskq.submit_many('idle', array_fill(to_jsonb(repeat('x', 900000)), array[12]))");
my @served = map { asks('large ones', 200, 'runner', 'POST', '/v1/queues/idle/acquire', { max_tasks => 1000, worker => "w$_" })->{tasks} } 1, 2;
is(join(' ', map { scalar @$_ } @served), '5 5', 'as many as there is room for');
is(sql("select max(attempt) from taskq.tasks where queue = 'idle' and state = 'pending'"), 0, 'no attempt of the others is used');
push @served, asks('in turn', 200, 'runner', 'POST', '/v1/queues/idle/turn',
	{ finish => [ map { { id => $_->{id}, token => $_->{token} } } @{ shift @served } ], acquire => { max_tasks => 1000 } })->{tasks};
is(scalar @{ $served[1] }, 2, 'the others');
asks('end', 200, 'runner', 'POST', '/v1/queues/idle/turn', { finish => [ map { { id => $_->{id}, token => $_->{token} } } map { @$_ } @served ] });
is(sql("select count(*) from taskq.tasks where queue = 'idle' and state = 'finished'"), 12, 'each was done');

# ---- waiting -----------------------------------------------------------------------------------------------

# A request that is not answered at once; answer_of() reads the rest.
sub begin
{
	my ($name, $method, $path, $body) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die $!;

	$body //= '';
	$socket->print("$method $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer $tokens{$name}\r\n"
		  . ($body ne '' ? 'Content-Type: application/json' . "\r\n" : '')
		  . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
	$socket->flush;
	return $socket;
}

sub answer_of
{
	my ($socket) = @_;
	my $answer = '';

	while (IO::Select->new($socket)->can_read(60))
	{
		last unless sysread($socket, $answer, 65536, length $answer);
	}
	return $answer;
}

sub is_silent
{
	my ($socket) = @_;

	return !IO::Select->new($socket)->can_read(0);
}

# Statements that have been run as a role, to see that a waiting request has been looked at.
sub wait_listening
{
	my ($queue) = @_;

	TaskqTest::wait_query($node, 'postgres', "select count(*) > 0 from pg_stat_activity where query = 'listen \"taskq_$queue\"'");
	return;
}

my $waiting = begin('runner', 'POST', '/v1/queues/slow/acquire?wait=60', '{"worker": "far"}');
wait_listening('slow');
ok(is_silent($waiting), 'a worker waits');
$id = sql("select taskq.submit('slow', '\"now\"')");
like(answer_of($waiting), qr/^HTTP\/1.1 200 .*"id":"$id"/s, 'and gets the task when it comes');
my $start = time;
asks('a short wait', 204, 'runner', 'POST', '/v1/queues/slow/acquire?wait=0.3', {});
cmp_ok(time - $start, '<', 10, 'that ends');
refuses('too long', 400, qr/seconds, 0 to 60/, 'runner', 'POST', '/v1/queues/slow/acquire?wait=61', {});

# The first in the line gets the first.
my @line = map { begin('runner', 'POST', '/v1/queues/slow/acquire?wait=60', '{}') } 1 .. 3;
sql("select taskq.submit_many('slow', '{1,2,3}')");
is(scalar(grep { answer_of($_) =~ /"tasks":\[/ } @line), 3, 'each of three gets one');

# One who wants a group's tasks does not stand in the way of those behind.
my $choosy = begin('runner', 'POST', '/v1/queues/quiet/acquire?wait=60', '{"group_key": "g"}');
wait_listening('quiet');
my $any = begin('runner', 'POST', '/v1/queues/quiet/acquire?wait=60', '{}');
$id = sql("select taskq.submit('quiet', '\"first\"')");
like(answer_of($any), qr/"id":"$id"/, 'a task of no group');
ok(is_silent($choosy), 'is not for the one who waits for a group');
$id = sql("select taskq.submit('quiet', '\"second\"', group_key => 'g')");
like(answer_of($choosy), qr/"id":"$id"/, 'which gets its own');

$id = sql("select taskq.submit('mail', '1')");
$waiting = begin('shop', 'GET', "/v1/tasks/$id?wait=60");
my $impatient = begin('shop', 'GET', "/v1/tasks/$id?wait=0.2");
like(answer_of($impatient), qr/"state":"pending"/, 'not ended when the time is up');
ok(is_silent($waiting), 'the other one waits on');
sql("select taskq.finish(id, token, '{\"ok\": true}') from taskq.acquire('mail')");
like(answer_of($waiting), qr/"state":"finished".*"result":\{"ok": true\}/s, 'until it ends');

# One whose client has gone away gets nothing.
my $pid = $gateway->pid;
sub descriptors
{
	return scalar(() = glob("/proc/$pid/fd/*"));
}
my $before = descriptors();
my $peak;
my @gone = map { begin('runner', 'POST', '/v1/queues/slow/acquire?wait=60', '{}') } 1 .. 60;
TaskqTest::wait_until('the waiters', sub { $peak = descriptors(); return $peak >= $before + 50 });
close $_ foreach @gone;
TaskqTest::wait_until('the end of those who left', sub { descriptors() <= $peak - 50 });
$id = sql("select taskq.submit('slow', '4')");
my ($claimed) = @{ asks('left alone', 200, 'runner', 'POST', '/v1/queues/slow/acquire?wait=5', {})->{tasks} };
is("$claimed->{id} $claimed->{attempt}", "$id 1", 'what comes then is for those who are there');

# ---- Miyamoto -------------------------------------------------------------------------------------------------

my $mport = free_port();
sql("grant taskq_admin to taskq_gateway");
my $miyamoto = start_gateway($mport, '--anonymous', 'taskq_admin', '--create-queues');

# The bytes that curl -d sends, and those of the answer's body.
sub curl
{
	my (@arguments) = @_;
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ 'curl', '-sS', '--max-time', '60', @arguments ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	diag($stderr) if $stderr ne '';
	return $stdout;
}

my $worker_url = $receiver->url('/worker');
my $said = curl('-d', "task.url=$worker_url&task.countdown=0.5&foo=bar", "http://localhost:$mport/queue");
like($said, qr/\A\{"status": "scheduled", "id": "\d+"\}\n\z/, "Miyamoto's answer, byte for byte");
my ($mid) = $said =~ /"id": "(\d+)"/;
($sent) = $receiver->wait_requests(1, '/worker');
is("$sent->{method} $sent->{headers}{'content-type'} $sent->{body}", 'POST application/x-www-form-urlencoded foo=bar', 'what the worker gets');
is($sent->{headers}{'x-task-id'}, $mid, 'with the id');
$said = curl('-H', 'Content-Type: applicatoin/json', '-d', "{\"url\": \"$worker_url\", \"params\": {\"foo\": \"bar\"}}", "http://localhost:$mport/queue");
like($said, qr/\A\{"status": "scheduled", "id": "\d+"\}\n\z/, 'JSON, with the type of its README');
(undef, $sent) = $receiver->wait_requests(2, '/worker');
is("$sent->{headers}{'content-type'} $sent->{body}", 'application/x-www-form-urlencoded foo=bar', 'the same for the worker');
my $odd = 'b=%C3%A9+x&a=1&a=2&=e&c&%zz=1';
curl('-d', "task.url=$worker_url/odd&$odd", "http://localhost:$mport/queue");
($sent) = $receiver->wait_requests(1, '/worker/odd');
is($sent->{body}, $odd, 'parameters arrive as they came');
curl('-d', "task.url=$worker_url/get?q=1&task.method=GET&foo=bar", "http://localhost:$mport/queue");
($sent) = $receiver->wait_requests(1, '/worker/get');
is("$sent->{method} $sent->{path}", 'GET /worker/get?q=1&foo=bar', 'those of a GET stand behind the URL');
$said = curl('-d', "task.url=$worker_url&task.name=n1&task.eta=4000000000", "http://localhost:$mport/queue");
($mid) = $said =~ /"id": "(\d+)"/;
is(curl('-d', "task.url=$worker_url&task.name=n1", "http://localhost:$mport/queue"), "{\"status\": \"duplicate\", \"id\": \"$mid\"}\n", 'a name is used once');
like(curl("http://localhost:$mport/queue/$mid"), qr/\A\{"status": "pending", "id":"$mid","queue":"queue"/, 'a task');
like(curl("http://localhost:$mport/queue"), qr/"id":"$mid"/, 'the newest tasks');
is(curl('-X', 'DELETE', "http://localhost:$mport/queue/$mid"), "{\"status\": \"cancelled\", \"id\": \"$mid\"}\n", 'cancelled');
foreach (
	[ 'foo=bar', qr/task\.url is missing/ ],
	[ "task.url=$worker_url&task.colour=red", qr/there is no field task\.colour/ ],
	[ "task.url=$worker_url&task.url=x", qr/given twice/ ],
	[ "task.url=$worker_url&task.countdown=soon", qr/not a number of seconds/ ],
	[ '{"url": ', qr/not valid JSON/ ],
	[ '{"params": {}}', qr/task\.url is missing/ ])
{
	like(curl('-d', $_->[0], "http://localhost:$mport/queue"), qr/\A\{"status":"error","reason":"[^"]*$_->[1]/, "refused: $_->[0]");
}
like(curl('-d', 'task.url=ftp://x/', "http://localhost:$mport/queue"), qr/"status":"error","code":"TQ004"/, 'the URL is checked');
is(curl('-o', '/dev/null', '-w', '%{http_code}', '-H', 'Content-Type: text/plain', '-d', 'x', "http://localhost:$mport/queue"), '415', 'another type');
is(curl('-o', '/dev/null', '-w', '%{http_code}', '-d', 'x', "http://localhost:$mport/a/b/c"), '404', 'another path');
is(curl('-o', '/dev/null', '-w', '%{http_code}', "http://localhost:$mport/"), '404', 'no path');
unlike(slurp_file($node->logfile), qr/"url": |colour/, 'what is malformed is not in the log of the server');

# A worker that reports later: acquired by hand here.
sql("select taskq.submit('slow', '5')");
my ($mwork) = split /\n/, sql("select id || ' ' || token from taskq.acquire('slow', lease_for => '30 s')");
my ($wid, $wtoken) = split / /, $mwork;
is(curl('-X', 'POST', "http://localhost:$mport/slow/$wid/keepalive?token=$wtoken"), "{\"status\": \"running\", \"id\": \"$wid\"}\n", 'keepalive');
is(curl('-d', "token=$wtoken", "http://localhost:$mport/slow/$wid/ack"), "{\"status\": \"finished\", \"id\": \"$wid\"}\n", 'ack');
like(curl('-H', "X-Task-Token: $wtoken", '-X', 'POST', "http://localhost:$mport/slow/$wid/nack"), qr/"code":"lost"/, 'nack, too late');

# ---- who asks by a browser --------------------------------------------------------------------------------------

my @page = ('X-Taskq' => '1');
refuses('log in', 401, qr/may not log in/, '', 'POST', '/ui/login', { token => $tokens{shop} }, @page);
refuses('without the mark', 403, qr/X-Taskq/, '', 'POST', '/ui/login', { token => $tokens{ops} });
asks('log in', 204, '', 'POST', '/ui/login', { token => $tokens{ops} }, @page);
my $set = $last->{headers}{'set-cookie'};
like($set, qr/\Ataskq_session=ops\.\d+\.[0-9a-f]{64}; HttpOnly; SameSite=Strict; Path=\/; Max-Age=43200\z/, 'a session');
my ($cookie) = $set =~ /\A([^;]*)/;
asks('by cookie', 200, '', 'GET', '/v1/workers', undef, Cookie => $cookie);
refuses('a change', 403, qr/X-Taskq/, '', 'POST', '/v1/queues/mail/pause', undef, Cookie => $cookie);
asks('a change of a page', 200, '', 'POST', '/v1/queues/mail/pause', undef, Cookie => $cookie, @page, 'Sec-Fetch-Site' => 'same-origin');
refuses('of another site', 403, qr/another site/, '', 'POST', '/v1/queues/mail/resume', undef, Cookie => $cookie, @page, 'Sec-Fetch-Site' => 'cross-site');
asks('resume', 200, '', 'POST', '/v1/queues/mail/resume', undef, Cookie => "a=b; $cookie", @page);
foreach my $forged ($cookie =~ s/ops/viewer/r, $cookie =~ s/\.\d/.9/r, substr($cookie, 0, -1) . 'x', 'taskq_session=ops', "$cookie; $cookie")
{
	is((ask('', 'GET', '/v1/workers', undef, Cookie => $forged))[0], 401, 'a forged session') or diag($forged);
}
asks('log out', 204, '', 'POST', '/ui/logout', undef, @page);
like($last->{headers}{'set-cookie'}, qr/\Ataskq_session=; .*Max-Age=0/, 'out again');
is(curl('-o', '/dev/null', '-w', '%{http_code}', '-H', 'Sec-Fetch-Site: cross-site', '-d', "task.url=$worker_url", "http://localhost:$mport/queue"), '403',
	'no page of another site submits as the anonymous');
is(curl('-o', '/dev/null', '-w', '%{http_code}', '-H', 'Origin: http://x.example', '-d', "task.url=$worker_url", "http://localhost:$mport/queue"), '403',
	'nor if its browser tells the origin alone');
like(curl('-H', 'Origin: http://localhost', '-H', 'X-Taskq: 1', '-d', "task.url=$worker_url", "http://localhost:$mport/queue"), qr/scheduled/,
	'a page of ours does');
foreach my $host ('x.example', 'x.example:8088', '127.0.0.1.x.example', 'localhost.x.example')
{
	is(curl('-o', '/dev/null', '-w', '%{http_code}', '-H', "Host: $host", "http://localhost:$mport/v1/queues"), '403', "no name for the anonymous: $host");
}
foreach my $host ('127.0.0.1:8088', '[::1]:8088', 'LOCALHOST')
{
	is(curl('-o', '/dev/null', '-w', '%{http_code}', '-H', "Host: $host", "http://localhost:$mport/v1/queues"), '200', "a name: $host");
}
$body = asks('page', 200, '', 'GET', '/ui/');
like($last->{headers}{'content-security-policy'}, qr/default-src 'none'.*require-trusted-types-for 'script'/, 'a page that loads nothing else');
asks('the same page', 304, '', 'GET', '/ui/', undef, 'If-None-Match' => $last->{headers}{etag});
like(curl('-D', '-', "http://127.0.0.1:$port/ui"), qr/^HTTP\/1.1 308 .*^Location: ui\/\r$/ms, 'a relative way to the page');
foreach my $path ('/ui/../etc/passwd', '/ui/%2e%2e', '/ui/x.html', '/ui/.htaccess')
{
	is((ask('', 'GET', $path))[0], 404, "no file $path");
}

# ---- metrics ------------------------------------------------------------------------------------------------------

$body = asks('metrics', 200, 'viewer', 'GET', '/metrics');
like($body, qr/^taskq_up 1$/m, 'the database can be asked');
like($body, qr/^taskq_queue_pending_tasks\{queue="mail"\} \d+$/m, 'what it tells');
like($body, qr/^taskq_gateway_requests_total\{route="\/v1\/queues\/\{queue\}\/tasks",method="POST",code="201"\} \d+$/m, 'and what this process has done');
like($last->{headers}{'content-type'}, qr/^text\/plain; version=0\.0\.4/, 'as text');
like(asks('OpenMetrics', 200, 'viewer', 'GET', '/metrics', undef, Accept => 'application/openmetrics-text; version=1.0.0'), qr/^# EOF\n\z/m, 'or OpenMetrics');
unlike(asks('of a queue', 200, 'shop', 'GET', '/metrics'), qr/queue="slow"/, 'a role has those of its queues');
my $times = asks('times', 200, 'shop', 'GET', '/v1/queues/mail/times');
is($times->{wait}[-1][1], sql(q{select value::text from taskq.metrics() where name = 'taskq_task_wait_seconds_count' and labels ->> 'queue' = 'mail'}),
	'how many tasks of a queue have waited');
is(join(' ', map { $_->[0] } @{ $times->{wait} }), join(' ', map { $_->[0] } sort { ($a->[0] =~ /Inf/ ? 9**9**9 : $a->[0]) <=> ($b->[0] =~ /Inf/ ? 9**9**9 : $b->[0]) } @{ $times->{wait} }),
	'by the bounds of the histogram');
is_deeply(asks('of a queue that the role may not see', 200, 'shop', 'GET', '/v1/queues/slow/times'), { wait => [], run => [] }, 'nothing of others');
refuses('of none', 401, qr/token/, '', 'GET', '/metrics');

# ---- statistics ---------------------------------------------------------------------------------------------------

my $stats;
TaskqTest::wait_until('statistics', sub { ($status, $stats) = ask('shop', 'GET', '/v1/stats'); return $status == 200 });
is_deeply([ map { $_->{queue} } @{ $stats->{queues} } ], ['mail'], 'of the queue that the role may see');
is(scalar(@{ $stats->{series}{pending} }), scalar(@{ $stats->{series}{dead_per_s} }), 'series of one length');
ok(!exists $stats->{series}{wait_p50}, 'waits of several queues do not add up');
sql("select taskq.submit('quiet')");
sql("select taskq.finish(id, token) from taskq.acquire('quiet')");
my $waits = TaskqTest::wait_until('how long it waited',
	sub { my $series = (ask('viewer', 'GET', '/v1/stats?queue=quiet'))[1]{series}; return (grep { defined } @{ $series->{wait_p95} // [] }) && $series });
is(scalar(@{ $waits->{wait_p50} }), scalar(@{ $waits->{pending} }), 'as long as the others');
my ($half, $most) = map { my $name = $_; (grep { defined } @{ $waits->{$name} })[0] } qw(wait_p50 wait_p95);
ok($half > 0 && $half < $most && $most < 60, "half of the tasks waited for $half s, nearly all for $most s");
($status) = ask('shop', 'GET', "/v1/stats?after=$stats->{seq}");
ok($status == 304 || $status == 200, 'nothing new, or something');
refuses('of another queue', 404, qr/not shown/, 'shop', 'GET', '/v1/stats?queue=other');

# ---- what is malformed -----------------------------------------------------------------------------------------------

my $head = "Host: x\r\nAuthorization: Bearer $tokens{shop}\r\nContent-Type: application/json\r\nConnection: close\r\n";
my $target = 'POST /v1/queues/mail/tasks HTTP/1.1';
like(raw("$target\r\n${head}Content-Length: 2\r\n\r\n{}"), qr/^HTTP\/1.1 201 /, 'what is right');
like(raw("$target\r\n${head}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), qr/^HTTP\/1.1 201 /, 'in chunks');
my $tasks = sql('select count(*) from taskq.tasks');
my %malformed = (
	'two lengths' => "$target\r\n${head}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
	'two other lengths' => "$target\r\n${head}Content-Length: 2\r\nContent-Length: 0\r\n\r\n{}",
	'a list of lengths' => "$target\r\n${head}Content-Length: 2, 2\r\n\r\n{}",
	'both lengths' => "$target\r\n${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'both lengths, the other way' => "$target\r\n${head}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'two encodings' => "$target\r\n${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'gzip, chunked' => "$target\r\n${head}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'identity' => "$target\r\n${head}Transfer-Encoding: identity\r\n\r\n{}",
	'chunked in HTTP/1.0' => "POST /v1/queues/mail/tasks HTTP/1.0\r\n${head}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	'a length with a sign' => "$target\r\n${head}Content-Length: +2\r\n\r\n{}",
	'a negative length' => "$target\r\n${head}Content-Length: -2\r\n\r\n{}",
	'a hexadecimal length' => "$target\r\n${head}Content-Length: 0x2\r\n\r\n{}",
	'a long length' => "$target\r\n${head}Content-Length: 99999999999999999999999\r\n\r\n{}",
	'an empty length' => "$target\r\n${head}Content-Length:\r\n\r\n{}",
	'a chunk 0x2' => "$target\r\n${head}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
	'a chunk +2' => "$target\r\n${head}Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
	'a chunk -2' => "$target\r\n${head}Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
	'a chunk too large' => "$target\r\n${head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
	'two hosts' => "$target\r\nHost: y\r\n${head}Content-Length: 2\r\n\r\n{}",
	'no host' => "$target\r\nAuthorization: Bearer $tokens{shop}\r\nContent-Length: 2\r\n\r\n{}",
	'a blank before the colon' => "$target\r\n${head}Content-Length : 2\r\n\r\n{}",
	'a name with a blank' => "$target\r\n${head}X Y: 2\r\nContent-Length: 2\r\n\r\n{}",
	'a control character' => "$target\r\n${head}X: a\x01b\r\nContent-Length: 2\r\n\r\n{}",
	'another version' => "POST /v1/queues/mail/tasks HTTP/3.0\r\n${head}Content-Length: 2\r\n\r\n{}",
	'a host in the target' => "POST http://x/v1/queues/mail/tasks HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}",
	'no slash' => "POST v1/queues/mail/tasks HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}",
	'bytes in the target' => "POST /v1/queues/m\xe4il/tasks HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}",
	'a NUL in the target' => "POST /v1/queues/mail\0/tasks HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}",
	'an escaped NUL' => "POST /v1/queues/mail%00/tasks HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}",
	'no escape' => "POST /v1/queues/mail%z0/tasks HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}",
	'no UTF-8' => "POST /v1/queues/mail%ff/tasks HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}",
	'no HTTP' => "hello\r\n\r\n",
	'TLS' => "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03");
foreach my $name (sort keys %malformed)
{
	my $answer = raw($malformed{$name});
	like($answer, qr/\A(?:HTTP\/1\.[01] (?:400|404|405|413|501|505) |\z)/, "refused: $name");
	unlike($answer, qr/^HTTP\/1\.. [123]/m, "$name: no part of it is done");
}
is(sql('select count(*) from taskq.tasks'), $tasks, 'none of them made a task');

# An answer that comes before the body ends the connection: the body is not taken for a request.
foreach my $path ('/v1/nothing', '/healthz')
{
	my $inner = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die $!;

	$socket->print("POST $path HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($inner) . "\r\n\r\n$inner");
	$socket->flush;
	is(scalar(() = answer_of($socket) =~ /HTTP\/1.1 /g), 1, "one answer, and the end: $path");
}

refuses('method', 405, qr/does not know the method/, 'shop', 'PATCH', '/v1/queues');
asks('OPTIONS', 204, '', 'OPTIONS', '/v1/queues/mail');
is($last->{headers}{allow}, 'GET, HEAD, PUT, DELETE', 'OPTIONS');
$body = asks('HEAD', 200, 'shop', 'HEAD', '/v1/queues');
ok(!defined $body, 'HEAD has no body');
cmp_ok($last->{headers}{'content-length'}, '>', 10, 'but its length');
ok(!exists $last->{headers}{'access-control-allow-origin'}, 'no page of another origin reads it');
is($last->{headers}{'x-content-type-options'}, 'nosniff', 'nosniff');
refuses('no such path', 404, qr/nothing at this path/, 'shop', 'GET', '/v1/nothing');

refuses('a NUL before the body', 400, qr/not valid JSON/, 'shop', 'POST', '/v1/queues/mail/tasks', "\0{}");
refuses('a NUL between lines', 400, qr/not valid JSON/, 'shop', 'POST', '/v1/queues/mail/tasks', "{\"payload\":1}\n\0{\"payload\":2}\n",
	'Content-Type' => 'application/x-ndjson');

# ---- limits ------------------------------------------------------------------------------------------------------------

like(raw("GET /v1/tasks?key=" . 'x' x 9000 . " HTTP/1.1\r\n$head\r\n"), qr/^HTTP\/1.1 414 /, 'a long request line');
like(raw("GET /v1/queues HTTP/1.1\r\n$head" . 'X: ' . 'y' x 17000 . "\r\n\r\n"), qr/^HTTP\/1.1 431 /, 'large headers');
like(raw("GET /v1/queues HTTP/1.1\r\n$head" . join('', map { "X-$_: y\r\n" } 1 .. 101) . "\r\n"), qr/^HTTP\/1.1 431 /, 'many headers');
like(raw("$target\r\n${head}Content-Length: 99999999\r\n\r\n{"), qr/^HTTP\/1.1 413 /, 'a body that says it is too large');
my $big = '"' . 'x' x (1 << 20) . '"';
like(raw("POST /v1/tasks/1/finish HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n", length $big, $big) x 2),
	qr/^HTTP\/1.1 413 /, 'one that does not say it');
refuses('a payload that is too large', 413, qr/payload/, 'shop', 'POST', '/v1/queues/mail/tasks', { payload => 'x' x (1_200_000) });
asks('a large one', 201, 'shop', 'POST', '/v1/queues/mail/tasks', { payload => 'x' x 1_000_000 });
asks('a batch may be larger', 201, 'shop', 'POST', '/v1/queues/mail/tasks', [ map { { payload => 'x' x 900_000 } } 1 .. 3 ]);

# Ten wrong tokens in a second.
my %seen;
my $right = 0;
foreach (1 .. 200)
{
	$seen{ (ask('wrong', 'GET', '/v1/queues'))[0] }++;
	$right++ if (ask('shop', 'GET', '/v1/queues'))[0] == 200;
}
ok($seen{401} && $seen{429}, 'wrong tokens are refused, in two ways');
is($right, 200, 'a right one from the same address never is');

# Too slow: the head within 10 s, the body within 30 s; both at the same time here.
my $slow_head = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
my $silent = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
my $slow_body = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
$slow_head->print("GET /v1/queues HTTP/1.1\r\nHost: x\r\nX: ");
$slow_body->print("$target\r\n${head}Content-Length: 1000\r\n\r\n{");
$_->flush foreach $slow_head, $slow_body;
my %ended;
$start = time;
local $SIG{PIPE} = 'IGNORE';
while (keys %ended < 3 && time - $start < 90)
{
	foreach ([ 'head', $slow_head ], [ 'silent', $silent ], [ 'body', $slow_body ])
	{
		my ($name, $socket) = @$_;
		next if exists $ended{$name};
		if (IO::Select->new($socket)->can_read(0.2))
		{
			my $n = sysread($socket, my $bytes, 1000);
			$ended{$name} = time - $start if !$n;
		}
		elsif ($name ne 'silent')
		{
			$socket->print('x');
			$socket->flush;
		}
	}
}
cmp_ok($ended{head} // 99, '<', 25, 'one that dribbles its head is ended');
cmp_ok($ended{silent} // 99, '<', 25, 'one that says nothing, too');
cmp_ok($ended{body} // 99, '<', 60, 'and one that dribbles its body');
cmp_ok($ended{body} // 0, '>=', 25, 'which has more time');

# All of that was counted.
%seen = asks('metrics', 200, 'viewer', 'GET', '/metrics') =~ /^taskq_gateway_rejected_total\{reason="(\w+)"\} (\d+)$/mg;
cmp_ok($seen{$_} // 0, '>', 0, "rejected: $_") foreach qw(malformed too_large too_slow token guessing forgery);
is($seen{stopping}, 0, 'it does not stop yet');

# Clients whose request and end of sending come together.
$pid = $gateway->pid;
$before = descriptors();
$gateway->signal('STOP');
my @hasty = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) } 1 .. 20;
foreach my $socket (@hasty)
{
	$socket->print("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	$socket->flush;
	$socket->shutdown(1);
}
$gateway->signal('CONT');
foreach my $socket (@hasty)
{
	sysread($socket, my $answer, 1000);
	like($answer, qr/^HTTP\/1.1 200 /, 'they are answered');
}
undef @hasty;
$start = time;
TaskqTest::wait_until('their end', sub { descriptors() <= $before });
cmp_ok(time - $start, '<', 30, 'and do not count as connections for long');

# Connections of one address.
my @many = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) } 1 .. 80;
my $closed = 0;
TaskqTest::wait_until('those that are too many', sub { $closed = grep { $_ && IO::Select->new($_)->can_read(0) } @many; return $closed >= 10 });
cmp_ok($closed, '<=', 30, 'an address has at most 64 connections');
close $_ foreach grep { $_ } @many;

# More connections than there are descriptors.
my $short_port = free_port();
my $short = TaskqTest::Worker->start_program('sh', '-c', 'ulimit -n 40; exec "$@"', 'sh', 'build/cli/taskq', 'serve', '-d', $login, '--listen',
	$short_port, '--tokens', "$dir/tokens", '--connections', 1);
$short->wait_log(qr/ready/);
$pid = $short->pid;
@many = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $short_port) } 1 .. 50;
TaskqTest::wait_until('no more descriptors', sub { descriptors() >= 39 });
my ($slept) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m;
TaskqTest::wait_until('a rest', sub { slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m && $1 > $slept + 1 });
close $_ foreach @many;
like(raw("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", $short_port), qr/^HTTP\/1.1 200 /, 'it goes on when there are some again');
$short->signal('TERM');
is($short->wait_end, 0, 'and ends');

# ---- reload, the database goes away, stop -------------------------------------------------------------------------------

my $offset = length $gateway->log;
my $text = slurp_file("$dir/tokens");
append_to_file("$dir/tokens", "broken line\n");
$gateway->signal('HUP');
$gateway->wait_log(qr/the tokens stay as they were: line 7: /, $offset);
is((ask('shop', 'GET', '/v1/queues'))[0], 200, 'a broken file changes nothing');
open my $file, '>', "$dir/tokens" or die $!;
print $file grep { !/^ops / } split /^/, $text;
close $file;
$gateway->signal('HUP');
$gateway->wait_log(qr/the tokens were read again/, $offset);
is((ask('ops', 'GET', '/v1/queues'))[0], 401, 'a line that is gone lets nobody in');
is((ask('', 'GET', '/v1/workers', undef, Cookie => $cookie))[0], 401, 'nor does a session of it');
like($gateway->log, qr/127\.0\.0\.1 shop shop_app POST \/v1\/queues\/mail\/tasks 201 \d+ ms/, 'changes are logged');
unlike($gateway->log, qr/GET|wait=|reason|tq_|session=/, 'nothing else of them is');

$node->stop('immediate');
refuses('no database', 503, qr/connection to the database/, 'shop', 'POST', '/v1/queues/mail/tasks', {});
is((ask('', 'GET', '/readyz'))[0], 503, 'not ready');
is((ask('', 'GET', '/healthz'))[0], 200, 'but alive');
like((ask('viewer', 'GET', '/metrics'))[1], qr/^taskq_up 0$/m, 'metrics tell it, too');
$node->start;
TaskqTest::wait_until('the database', sub { (ask('shop', 'POST', '/v1/queues/mail/tasks', {}))[0] == 201 });
sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'taskq_gateway'");
TaskqTest::wait_until('connections', sub { (ask('shop', 'POST', '/v1/queues/mail/tasks', {}))[0] == 201 });

# What is under way when the database is slow, or its process is killed.
my $lock = $node->background_psql('postgres');
$lock->query_safe('begin; lock table taskq_private.task in access exclusive mode');
refuses('a lock', 503, qr/lock timeout/, 'shop', 'POST', '/v1/queues/mail/tasks', {});
is($last->{headers}{'retry-after'}, 1, 'try again');
my $lost = begin('shop', 'POST', '/v1/queues/mail/tasks', '{}');
my $backend = TaskqTest::wait_until('a statement that waits', sub { sql("select pid from pg_stat_activity where wait_event_type = 'Lock' and usename = 'taskq_gateway' and query like '%taskq.submit(%' limit 1") });
TaskqTest::kill_backend($node, $backend);
like(answer_of($lost), qr/^HTTP\/1.1 504 .*"unknown":true/s, 'what may have been done is told so');
eval { $lock->quit };
TaskqTest::wait_until('the database', sub { (ask('shop', 'POST', '/v1/queues/mail/tasks', {}))[0] == 201 });

# ---- two gateways, and nginx in front ---------------------------------------------------------------------------

my $path = "$dir/socket";
my $other = TaskqTest::Worker->start_program('python3', '-c', <<'END', $path, 'build/cli/taskq', 'serve', '-d', $login, '--tokens', "$dir/tokens",
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
os.execv(sys.argv[2], sys.argv[2:])
END
	'--behind-proxy', '--connections', '1', '--max-queued', '1', '--hide-payload');
$other->wait_log(qr/ready/);
is(curl('-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', $path, '-H', "Authorization: Bearer $tokens{shop}", 'http://x/v1/queues'), '200',
	"a supervisor's socket");

my ($sample) = slurp_file('docs/serve.md') =~ /^```nginx\n(.*?)^```$/ms;
my $nginx_port = free_port();
IPC::Run::run([ 'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-keyout', "$dir/key.pem", '-out', "$dir/cert.pem" ],
	'>', '/dev/null', '2>', '/dev/null');
$sample =~ s{/run/taskq/serve\.socket}{$path};
$sample =~ s{listen 443 ssl}{listen 127.0.0.1:$nginx_port ssl};
$sample =~ s{/etc/ssl/tasks\.pem}{$dir/cert.pem};
$sample =~ s{/etc/ssl/tasks\.key}{$dir/key.pem};
$sample =~ s|(\tlocation / \{)|\tlocation /a/b/ {\n\t\tproxy_pass http://taskq/;\n\t}\n$1|;
append_to_file("$dir/nginx.conf", <<"END");
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 256; }
http {
access_log off;
client_body_temp_path $dir/body;
proxy_temp_path $dir/proxy;
fastcgi_temp_path $dir/fastcgi;
uwsgi_temp_path $dir/uwsgi;
scgi_temp_path $dir/scgi;
$sample}
END
$ENV{PATH} .= ':/usr/sbin';
my $nginx = TaskqTest::Worker->start_program('nginx', '-e', "$dir/error.log", '-c', "$dir/nginx.conf");
TaskqTest::wait_until('nginx', sub { return -s "$dir/nginx.pid" });

my $front = "https://127.0.0.1:$nginx_port";
my @shop = ('-k', '-H', "Authorization: Bearer $tokens{shop}", '-H', 'Content-Type: application/json');
like(curl(@shop, '-d', '{"payload": 1}', "$front/v1/queues/mail/tasks"), qr/"created":true/, 'through nginx');
my $hidden = curl(@shop, "$front/v1/tasks?limit=3");
ok($hidden =~ /"state":/ && $hidden !~ /"payload/, 'lists without payloads');
like(curl(@shop, "$front/a/b/v1/queues"), qr/"queue":"mail"/, 'under a prefix');
like(curl('-k', "$front/a/b/ui/"), qr/<!DOCTYPE html>/i, 'the dashboard, too');
like(curl('-k', '-D', '-', '-H', 'X-Taskq: 1', '-H', 'Content-Type: application/json', '-d', "{\"token\":\"$tokens{viewer}\"}", "$front/ui/login"), qr/; Secure/,
	'a session over TLS');
$id = sql("select taskq.submit('mail', '1', priority => -16)");
my $through = IPC::Run::start([ 'curl', '-sS', @shop, "$front/v1/tasks/$id?wait=60" ], '<', \undef, '>', \my $waited);
TaskqTest::wait_query($node, 'postgres', "select count(*) > 0 from pg_stat_activity where query like 'select id from taskq.results%'");
sql("select taskq.cancel($id)");
$through->finish;
like($waited, qr/"state":"cancelled"/, 'one may wait through nginx');
like($other->log, qr/^\S+ \S+ 127\.0\.0\.1 shop shop_app POST \/v1\/queues\/mail\/tasks 201/m, 'the address is that of the client');
$tasks = sql('select count(*) from taskq.tasks');
foreach my $name (sort grep { !/NUL|TLS|escape|UTF-8/ } keys %malformed)
{
	IPC::Run::run([ 'openssl', 's_client', '-quiet', '-connect', "127.0.0.1:$nginx_port" ], '<', \$malformed{$name}, '>', \my $answer, '2>', '/dev/null');
	unlike($answer, qr/^HTTP\/1\.. 2/m, "refused behind nginx: $name") unless $name =~ /host in the target|a blank before|a name with a blank|no host/;
}

# The same key at both gateways at the same time.
my @parallel = map {
	my $to = $_ % 2 ? "http://127.0.0.1:$port" : $front;
	my $out = '';
	[ IPC::Run::start([ 'curl', '-sS', '-w', ' %{http_code}', @shop, '-H', 'Idempotency-Key: parallel', '-d', '{"payload": 1}', "$to/v1/queues/mail/tasks" ],
			'<', \undef, '>', \$out), \$out ]
} 1 .. 50;
$_->[0]->finish foreach @parallel;
my %answers;
$answers{ ${ $_->[1] } =~ s/\n//r }++ foreach @parallel;
is(join(' ', sort map { /(\d+)\z/ } grep { !/503\z/ } keys %answers), '200 201', 'one of 50 makes the task, the others get it') or diag(explain(\%answers));
is(sql("select count(*) from taskq.tasks where key = 'parallel'"), 1, 'there is one');

# One connection with four under way, one that waits for it, and one too many.
$lock = $node->background_psql('postgres');
$lock->query_safe('begin; lock table taskq_private.task in access exclusive mode');
@line = map {
	my $socket = IO::Socket::UNIX->new(Peer => $path) or die $!;
	$socket->print("POST /v1/queues/mail/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer $tokens{shop}\r\nContent-Length: 2\r\n\r\n{}");
	$socket->flush;
	$socket
} 1 .. 12;
TaskqTest::wait_until('too many', sub { return grep { !is_silent($_) } @line });
like(join('', map { is_silent($_) ? '' : answer_of($_) } @line), qr/too many requests wait for the database/, 'no more wait than may');
$lock->query_safe('rollback');
$lock->quit;
cmp_ok(scalar(grep { answer_of($_) =~ /^HTTP\/1.1 (?:201|503)/ } @line), '>=', 1, 'the others are answered');
$nginx->signal('TERM');
$nginx->wait_end;
$other->signal('TERM');
is($other->wait_end, 0, 'the second one ends');
unlink $path;

$waiting = begin('runner', 'POST', '/v1/queues/idle/acquire?wait=60', '{}');
$id = sql("select taskq.submit('mail')");
my $for_task = begin('shop', 'GET', "/v1/tasks/$id?wait=60");
wait_listening('idle');
$gateway->signal('TERM');
like(answer_of($waiting), qr/^HTTP\/1.1 204 /, 'at a stop those who wait are answered');
like(answer_of($for_task), qr/^HTTP\/1.1 (?:503|200) /, 'both kinds of them');
is($gateway->wait_end, 0, 'it ends');
$miyamoto->signal('TERM');
is($miyamoto->wait_end, 0, 'the other one, too');

# ---- a UNIX socket -----------------------------------------------------------------------------------

$gateway = TaskqTest::Worker->start_program('build/cli/taskq', 'serve', '-d', $login, '--listen', $path, '--tokens', "$dir/tokens", '--user-header', 'X-User',
	'--behind-proxy', '--max-waiting', $vanishing);
$gateway->wait_log(qr/ready/);
is((stat $path)[2] & 07777, 0660, 'a socket for its group');
is(curl('-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', $path, '-H', 'X-User: shop', 'http://x/v1/queues'), '200', "a proxy's word");
is(curl('-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', $path, '-H', 'X-User: nobody-else', 'http://x/v1/queues'), '401', 'a name that has no line');
like(curl('-D', '-', '--unix-socket', $path, '-H', 'X-Taskq: 1', '-H', 'X-Forwarded-Proto: https', '-H', 'Content-Type: application/json', '-d',
		"{\"token\":\"$tokens{viewer}\"}", 'http://x/ui/login'), qr/; Secure/, 'a session over TLS');

is(curl('-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', $path, '-H', 'X-User: shop', '-H', 'X-Forwarded-For: 10.0.0.8', '-H',
		'X-Forwarded-For: 10.0.0.7, 10.0.0.9', '-X', 'POST', 'http://x/v1/queues/mail/tasks'), '201', 'two headers with addresses');
$gateway->wait_log(qr/ 10\.0\.0\.9 shop shop_app POST /);
is(curl('-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', $path, '-H', 'X-User: shop', '-H', 'Origin: http://x', '-X', 'POST',
		'http://x/v1/queues/mail/tasks'), '403', 'a page needs the mark, whatever the proxy says of its reader');

# One more than may wait; all of them go away.
$pid = $gateway->pid;
$before = descriptors();
my @waiters;
foreach (0 .. $vanishing)
{
	my $socket = IO::Socket::UNIX->new(Peer => $path) or die $!;
	$socket->print("POST /v1/queues/idle/acquire?wait=60 HTTP/1.1\r\nHost: x\r\nX-User: runner\r\nContent-Length: 0\r\n\r\n");
	$socket->flush;
	push @waiters, $socket;
}
my @refused;
TaskqTest::wait_until('one too many', sub { @refused = grep { !is_silent($_) } @waiters; return @refused > 0 });
sysread($refused[0], my $refusal, 1000);
like($refusal, qr/^HTTP\/1.1 503 .*too many requests wait/s, 'one more than may wait is refused');
is(scalar(@refused), 1, 'and no other');
undef @refused;
undef @waiters;
TaskqTest::wait_until('the end of those who left', sub { descriptors() <= $before + 2 });
is(curl('-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', $path, '-H', 'X-User: runner', '-X', 'POST', 'http://x/v1/queues/idle/acquire?wait=0.1'), '204',
	'there is room again');
$gateway->signal('TERM');
is($gateway->wait_end, 0, 'it ends');
ok(!-e $path, 'its socket is gone');

TaskqTest::log_is_clean($node, $backend);
TaskqTest::is_consistent($node, 'at the end');
done_testing();
