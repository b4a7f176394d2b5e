# 028_endpoints.pl
#		Endpoints: signed, held back, given up and restored, by the executor and by
#		taskq-worker.
#
# Signatures are computed anew here, with a library that the product does not use.

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256_base64);
use JSON::PP ();
use MIME::Base64 qw(decode_base64 encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $node = taskq_node('main', conf => "taskq.http_max_per_host = 32\n");
my $receiver = TaskqTest::Receiver->start;
my $base = $receiver->url('');
my $worker = TaskqTest::Worker->start($node, 'postgres', '--max-inflight', '50');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub secret
{
	my ($bytes) = @_;

	return 'whsec_' . encode_base64($bytes, '');
}

# An endpoint of the receiver, of which nothing is retried later than at once.
sub create
{
	my ($name, $more) = @_;

	sql("select taskq.create_endpoint('$name', '$base', retry => 'soon'" . ($more ? ", $more" : '') . ')');
	return;
}

sub submit
{
	my ($endpoint, $path, $more) = @_;

	return sql("select taskq.submit_http(endpoint => '$endpoint', path => '$path'" . ($more ? ", $more" : '') . ')');
}

sub column
{
	my ($endpoint, $column) = @_;

	return sql("select $column from taskq.endpoints where endpoint = '$endpoint'");
}

# CPU time of a process, in hundredths of a second.
sub ticks
{
	my ($pid) = @_;
	my @stat = split / /, slurp_file("/proc/$pid/stat") =~ s/.*\) //sr;

	return $stat[11] + $stat[12];
}

# One test: the request is signed with each of the secrets and no other.
sub is_signed
{
	my ($request, $what, @bytes) = @_;
	my $headers = $request->{headers};
	my $body = $request->{base64} ? decode_base64($request->{body}) : $request->{body};
	utf8::encode($body) unless $request->{base64};
	my $signed = "$headers->{'webhook-id'}.$headers->{'webhook-timestamp'}.$body";
	my $expected = join ' ', map { 'v1,' . hmac_sha256_base64($signed, $_) . '=' } @bytes;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($headers->{'webhook-signature'}, $expected, $what);
	return;
}

sql("select taskq.create_retry_policy('soon', 'fixed', '20 ms', jitter => 0, max_attempts => 1000)");
my @secrets = map { join '', map { chr } $_ .. $_ + 31 } 0, 100, 200;

# ---- what is sent ------------------------------------------------------------------------------

foreach my $executor ('builtin', 'external')
{
	my $name = "billing $executor";
	my $slash = $executor eq 'builtin' ? '/' : '';
	sql("select taskq.create_endpoint('$name', '$base/echo$slash', executor => '$executor', retry => 'soon', secret => '"
		  . secret($secrets[0]) . "', headers => '{\"Authorization\": \"S3CR3T_1\", \"X-Team\": \"blue\"}')");
	my $id = submit($name, "/$executor?q=a%20b",
		q{payload => '{"n": "ä"}', headers => '{"authorization": "mine", "X-Own": "1"}'});
	wait_state($node, $id, 'finished');
	my ($request) = $receiver->wait_requests(1, "/echo/$executor");
	my $headers = JSON::PP->new->ascii->encode($request->{headers});
	is($request->{path}, "/echo/$executor?q=a%20b", "$executor: the path is put behind the url");
	is($request->{headers}{authorization}, 'S3CR3T_1', 'the endpoint\'s header wins');
	is(join(' ', @{ $request->{headers} }{ 'x-team', 'x-own' }), 'blue 1', 'others are all sent');
	is($request->{headers}{'webhook-id'}, $request->{headers}{'idempotency-key'}, 'its id is the stable one');
	cmp_ok(abs($request->{headers}{'webhook-timestamp'} - $request->{time}), '<', 60, 'the time is that of now');
	is_signed($request, 'it is signed', $secrets[0]);

	# The receiver as a database.
	my $verify = sub {
		my ($secret, $given, $body, $tolerance) = @_;
		return sql("select taskq.verify_signature('$secret', '$given', '\\x" . unpack('H*', $body) . "'"
			  . (defined $tolerance ? ", '$tolerance'" : '') . ')');
	};
	my $body = $request->{body};
	utf8::encode($body);
	is($verify->(secret($secrets[0]), $headers, $body), 't', 'verify_signature() agrees');
	is($verify->(secret($secrets[1]), $headers, $body), 'f', 'not with another secret');
	is($verify->(secret($secrets[0]), $headers, '{"n": "a"}'), 'f', 'nor for another body');
	(my $later = $headers) =~ s/("webhook-timestamp":")(\d+)/$1 . ($2 + 1)/e;
	is($verify->(secret($secrets[0]), $later, $body), 'f', 'nor with another time');
	(my $shouted = $headers) =~ s/webhook-(id|timestamp|signature)/WEBHOOK-\U$1/g;
	is($verify->(secret($secrets[0]), $shouted, $body), 't', 'the case of names does not matter');
	(my $bare = $headers) =~ s/webhook-id/webhook-ID2/;
	is($verify->(secret($secrets[0]), $bare, $body), 'f', 'a header that is missing does');
	wait_until('the second after', sub { return time() > $request->{headers}{'webhook-timestamp'} + 2 });
	is($verify->(secret($secrets[0]), $headers, $body, '1 s'), 'f', 'what is too old is refused');

	# Without a body, and with one that is no text.
	submit($name, "/none/$executor");
	($request) = $receiver->wait_requests(1, "/echo/none/$executor");
	is_signed($request, 'no body is signed', $secrets[0]);
	submit($name, "/bytes/$executor", q{body => '\xff00fe'});
	($request) = $receiver->wait_requests(1, "/echo/bytes/$executor");
	is_signed($request, 'bytes are', $secrets[0]);
	$id = sql("select taskq.submit('$name', '{\"by\": \"submit()\"}')");
	wait_state($node, $id, 'finished');
	($request) = grep { ($_->{task} // '') eq $id } $receiver->requests('/echo');
	is($request->{path}, "/echo$slash", 'submit() posts to the url itself');
	is_signed($request, 'signed, too', $secrets[0]);

	# A trace, and the headers of another system: in the first attempt, and in the next ones.
	my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
	sql("select taskq.create_endpoint('traced $executor', '$base/fail/02', executor => '$executor', retry => 'soon', header_style => 'cloudtasks')");
	$id = submit("traced $executor", "/trace/$executor", "payload => '1', key => 'k 1', trace => '$trace'");
	wait_state($node, $id, 'finished');
	my @traced = map { $_->{headers} } $receiver->wait_requests(3, "/fail/02/trace/$executor");
	is(join(' ', map { join ',', $_->{traceparent} // '-', $_->{'x-task-trace'} // '-' } @traced), "$trace,- -,$trace -,$trace",
		"$executor: only the first attempt is a part of the trace");
	is(join(' ', map { my $h = $_; join ',', map { $h->{"x-cloudtasks-$_"} // '-' } qw(queuename taskname taskretrycount taskexecutioncount taskpreviousresponse) } @traced),
		"traced $executor,k%201,0,0,- traced $executor,k%201,1,0,500 traced $executor,k%201,2,0,500", 'and what Cloud Tasks would say');

	# Two secrets for a time.
	is(sql("select taskq.rotate_secret('$name', '" . secret($secrets[1]) . "')"), secret($secrets[1]), 'a new secret');
	is(column($name, 'old_secret_until > now()'), 't', 'the old one is good for a time');
	submit($name, "/rotated/$executor");
	($request) = $receiver->wait_requests(1, "/echo/rotated/$executor");
	is_signed($request, 'both sign', @secrets[1, 0]);
	is($verify->(secret($secrets[0]), JSON::PP->new->ascii->encode($request->{headers}), ''), 't',
		'who knows the old one can verify');
	my $made = sql("select taskq.rotate_secret('$name', keep_old => '0')");
	like($made, qr/^whsec_[A-Za-z0-9+\/]{43}=$/, 'one is made');
	submit($name, "/made/$executor");
	($request) = $receiver->wait_requests(1, "/echo/made/$executor");
	is_signed($request, 'and signs alone', decode_base64(substr($made, 6)));
	sql("select taskq.alter_endpoint('$name', secret => '', headers => '{}', url => '$base/ok')");
	submit($name, "/bare/$executor");
	($request) = $receiver->wait_requests(1, "/ok/bare/$executor");
	is(join(' ', grep { /^webhook|^authorization|^x-team/ } keys %{ $request->{headers} }), '', 'all can be taken away');
}

# The same in every attempt, at another time.
create('again', "secret => '" . secret($secrets[2]) . "'");
my $id = submit('again', '/fail/2', q{payload => '1'});
wait_state($node, $id, 'finished');
my @requests = $receiver->requests('/fail/2');
is(scalar(@requests), 3, 'three attempts');
is(scalar(keys %{ { map { $_->{headers}{'webhook-id'} => 1 } @requests } }), 1, 'have one id');
is_signed($_, 'each is signed', $secrets[2]) foreach @requests;

# What was submitted before goes where the endpoint is then.
create('moves');
sql("select taskq.pause_queue('moves')");
$id = submit('moves', '/ok/moved');
sql("select taskq.alter_endpoint('moves', url => '$base/echo'), taskq.resume_queue('moves')");
wait_state($node, $id, 'finished');
is(scalar($receiver->requests('/echo/ok/moved')), 1, 'a task goes to the url of the time when it is sent');

# Its own time limit.
create('short', "timeout => '100 ms'");
$id = submit('short', '/hang', 'max_attempts => 1');
wait_state($node, $id, 'dead');
is(sql("select class, elapsed between '80 ms' and '400 ms' from taskq.attempts where task_id = $id"), 'timeout|t',
	'the timeout of an endpoint');

# ---- how many ------------------------------------------------------------------------------------

my $second = TaskqTest::Worker->start($node, 'postgres');
foreach my $executor ('builtin', 'external')
{
	create("two $executor", "max_running => 2, executor => '$executor'");
	sql("select taskq.submit_http(endpoint => 'two $executor', path => '/slow/150?$executor') from generate_series(1, 8)");
	my @at = map { $_->{time} } $receiver->wait_requests(8, "/slow/150?$executor");
	my @early = grep { $at[ $_ + 2 ] - $at[$_] < 0.14 } 0 .. $#at - 2;
	is(scalar(@early), 0, "$executor: two at a time") or diag("@at");
	cmp_ok($at[-1] - $at[0], '<', 10 * 0.15, 'and the next as soon as one has ended');

	create("slowly $executor", "rate => 20, executor => '$executor'");
	sql("select taskq.submit_http(endpoint => 'slowly $executor', path => '/ok?$executor') from generate_series(1, 12)");
	$receiver->wait_requests(12, "/ok?$executor");
	wait_query($node, 'postgres', "select count(*) = 12 from taskq_private.all_history where queue = 'slowly $executor'");
	# Two at once, then one each 50 ms; by the server's clock, for the receiver's also shows how busy the machine is.
	# A claim counts from when it began, and its task from some milliseconds later.
	my $took = sql("select extract(epoch from max(started_at) - min(started_at)) from taskq_private.all_history where queue = 'slowly $executor'");
	cmp_ok($took, '>', 0.44, 'no faster than its rate');
	cmp_ok($took, '<', 2.5, 'nor much slower');
}
wait_query($node, 'postgres', 'select count(*) = 0 from taskq_private.lease');
is(sql("select count(*) from taskq.attempts a join taskq.tasks t on t.id = a.task_id where t.queue ~ '^(two|slowly)'"), 0,
	'who is held back uses up no attempt');

# ---- circuit ---------------------------------------------------------------------------------------

my $refused = 'http://127.0.0.1:' . TaskqTest::refused_port();
my @both = ('builtin', 'external');
my $circuit_log = log_size($node);
foreach my $executor (@both)
{
	create("broken $executor", "max_running => 1, executor => '$executor'");
	sql("select taskq.alter_endpoint('broken $executor', url => '$refused')");
	sql("select taskq.submit_http(endpoint => 'broken $executor', path => '/ok/$executor') from generate_series(1, 25)");
}
foreach my $executor (@both)
{
	wait_query($node, 'postgres', "select circuit = 'open' from taskq.endpoints where endpoint = 'broken $executor'");
	is(column("broken $executor", 'failures'), 10, "$executor: ten failures open the circuit");
	is(sql("select count(*) from taskq.attempts a join taskq.tasks t on t.id = a.task_id where t.queue = 'broken $executor'"),
		10, 'no other attempt is made');
}
like(sql(q{select detail from taskq.status() where "check" = 'endpoints' and not ok}), qr/"broken builtin": 10 requests in a row/,
	'status() tells');
# After a while one tries.  It finds everything as it was.
wait_query($node, 'postgres', "select count(*) = 2 from taskq.endpoints where failures = 11 and circuit = 'open'");
is(sql("select bool_and(next_start > now() + interval '7 s') from taskq.endpoints where failures = 11"), 't',
	'after the next failure the pause is longer');
sql("select taskq.alter_endpoint('broken $_', url => '$base')") foreach @both;
foreach my $executor (@both)
{
	$receiver->wait_requests(25, "/ok/$executor");
	wait_query($node, 'postgres', "select failures = 0 from taskq.endpoints where endpoint = 'broken $executor'");
	is(column("broken $executor", 'circuit'), 'closed', "$executor: a new url closes the circuit, all is sent");
}

my $circuits = log_since($node, $circuit_log);
foreach my $executor (@both)
{
	is(() = $circuits =~ /circuit of endpoint "broken $executor" has opened: 10 attempts in a row have failed/g, 1,
		"$executor: the log has one line when it opens");
	is(() = $circuits =~ /circuit of endpoint "broken $executor" has closed: the endpoint was changed/g, 1,
		"$executor: and one when it closes");
}
like($circuits, qr/DETAIL:  The last one failed with class connect\./, 'and why');

# However many there are, little is on its way when it turns out that nobody answers.
foreach my $executor (@both)
{
	create("silent $executor", "timeout => '300 ms', executor => '$executor'");
	sql("select taskq.alter_queue('silent $executor', retry => 'none')");
	sql("select taskq.submit_http(endpoint => 'silent $executor', path => '/hang/0/silent') from generate_series(1, 500)");
}
wait_query($node, 'postgres', "select count(*) = 2 from taskq.endpoints where endpoint ~ '^silent' and circuit = 'open'");
wait_query($node, 'postgres', "select count(*) = 0 from taskq.tasks where queue ~ '^silent' and state = 'running'");
# 32 are under way, and for each of the first nine failures one more is; then one at a time tries.
foreach my $executor (@both)
{
	my $dead = sql("select count(*) from taskq.tasks where queue = 'silent $executor' and state = 'dead'");
	cmp_ok($dead, '<=', 32 + 9 + column("silent $executor", 'failures') - 10,
		"$executor: a circuit that opens keeps the rest from being sent");
}
sql("select taskq.drop_queue('silent $_', force => true)") foreach @both;

# What the endpoint is not to blame for leaves the circuit closed.
create('picky');
sql("select taskq.submit_http(endpoint => 'picky', path => '/status/404', max_attempts => 1) from generate_series(1, 30)");
wait_query($node, 'postgres', "select count(*) = 30 from taskq.tasks where queue = 'picky' and state = 'dead'");
is(column('picky', "circuit || ' ' || failures"), 'closed 0', 'status 404 speaks for an endpoint that is there');

# ---- Retry-After -------------------------------------------------------------------------------------

foreach my $executor (@both)
{
	create("busy $executor", "executor => '$executor'");
	my $busy = submit("busy $executor", '/status/429?ra=2', 'max_attempts => 1');
	wait_state($node, $busy, 'dead');
	my ($asked) = map { $_->{time} } $receiver->requests('/status/429?ra=2');
	is(column("busy $executor", "next_start > now() + interval '1 s'"), 't', "$executor: an endpoint asks for a pause");
	submit("busy $executor", "/ok/after/$executor");
	my ($request) = $receiver->wait_requests(1, "/ok/after/$executor");
	cmp_ok($request->{time} - $asked, '>', 1.9, 'all its requests are held back');
}

# ---- gone -----------------------------------------------------------------------------------------

foreach my $executor (@both)
{
	my $offset = log_size($node);
	create("gone $executor", "executor => '$executor', max_running => 1");
	# That something below it is gone says nothing of the endpoint.
	my $below = submit("gone $executor", '/status/410');
	wait_state($node, $below, 'dead');
	wait_state($node, submit("gone $executor", '/ok/below'), 'finished');
	is(sql("select paused from taskq.queues where queue = 'gone $executor'"), 'f', "$executor: 410 below an endpoint ends the task alone");
	sql("select taskq.alter_endpoint('gone $executor', url => '$base/status/410')");
	# A change that is not committed yet is in the way for a while, and makes nobody busy.
	my $change = $node->background_psql('postgres');
	$change->query_safe("begin; select taskq.alter_endpoint('gone $executor', timeout => '5 s')");
	my $first = sql("select taskq.submit('gone $executor')");
	wait_state($node, $first, 'dead');
	my $next = submit("gone $executor", "/ok/gone/$executor");
	my $busy = $executor eq 'builtin' ? executor_pid($node) : $worker->pid;
	my $before = ticks($busy);
	sql('select pg_sleep(1)');
	cmp_ok(ticks($busy) - $before, '<', 30, "$executor: nobody spins meanwhile");
	$change->query_safe('commit');
	$change->quit;
	wait_state($node, $first, 'dead');
	wait_query($node, 'postgres', "select paused from taskq.queues where queue = 'gone $executor'");
	is(sql("select pause_reason from taskq.queues where queue = 'gone $executor'"),
		"the endpoint answered 410 Gone to task $first", "$executor: 410 pauses the queue");
	like(sql(q{select detail from taskq.status() where "check" = 'paused queues'}),
		qr/"gone $executor" \(the endpoint answered 410 Gone to task $first\)/, 'status() tells');
	wait_log($node, qr/endpoint "gone $executor" answered 410 Gone to task $first: its queue is paused/, $offset);
	is(sql("select state, attempt from taskq.tasks where id = $next"), 'pending|0', 'its tasks wait');
	is(scalar($receiver->requests("/ok/gone/$executor")), 0, 'nothing is sent');
	sql("select taskq.alter_endpoint('gone $executor', url => '$base')");
	is(sql("select taskq.resume_queue('gone $executor')"), 't', 'resumed');
	wait_state($node, $next, 'finished');
	is(sql("select pause_reason is null from taskq.queues where queue = 'gone $executor'"), 't', 'it goes on');
}

# ---- what nobody may know --------------------------------------------------------------------------

my (undef, undef, $refusal) = $node->psql('postgres', "select taskq.submit_http(endpoint => 'picky', method => 'TRACE')");
like($refusal, qr/invalid method/, 'TRACE, which would show what is sent, is refused');
sql('create role viewer login');
sql("select taskq.grant_queue('default', 'viewer', '{view, work}')");
is(sql('set role viewer; select count(s) from generate_series(1, 20000) g, lateral taskq_private.endpoint_state(g) s where s.failures > 0'), 0,
	'who may view another queue learns nothing of endpoints');
create('quiet', "secret => '" . secret($secrets[0]) . "', headers => '{\"X-Key\": \"S3CR3T_2\"}'");
sql('create role admin login; grant taskq_admin, taskq_reader, taskq_submitter, taskq_worker to admin');
foreach my $query ('table taskq_private.endpoint_secret', 'select secret from taskq_private.endpoint_secret', 'copy taskq_private.endpoint_secret to stdout')
{
	my ($status, $stdout, $stderr) = $node->psql('postgres', "set role admin; $query");
	like($stderr, qr/permission denied for table endpoint_secret/, "an admin may not: $query");
}
is(sql("select e::text ~ 'S3CR3T|whsec' from taskq.endpoints e where endpoint = 'quiet'"), 'f', 'the view does not show it');
is(column('quiet', 'header_names'), '{X-Key}', 'but which headers there are');
my $dump = $node->data_dir . '/../dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'a dump');
my $dumped = slurp_file($dump);
my ($hex) = unpack('H*', $secrets[0]);
unlike($dumped, qr/S3CR3T|whsec|$hex/, 'does not hold it');
# Statements that fail are logged, but not these.
$node->psql('postgres', "select taskq.create_endpoint('bad', 'http://a.example/', timeout => '2 days', secret => 'S3CR3T_3')");
$node->psql('postgres', "select taskq.create_endpoint('quiet', 'http://a.example/', headers => '{\"X\": \"S3CR3T_4\"}')");
$node->psql('postgres', "select taskq.alter_endpoint('quiet', secret => 'S3CR3T_5')");
$node->psql('postgres', "select taskq.rotate_secret('quiet', 'S3CR3T_6')");
$node->psql('postgres', "select taskq.verify_signature('S3CR3T_7', '{}', '')");
my $log = log_since($node);
my @logged = $log =~ /^.*(?:LOG:  statement|duration).*S3CR3T_[3-7].*$/mg;
$log =~ s/^.*LOG:  statement: .*\n(?:\t.*\n)*//mg;
unlike($log, qr/S3CR3T_[3-7]/, 'nor does the log when they are refused');
is(scalar($log =~ s/ERROR:  (?:invalid secret|timeout must be|queue "quiet" exists)//g), 5, 'which they were');

# ---- a dump, restored ------------------------------------------------------------------------------

create('plain');
my $signed = submit('quiet', '/ok/restored/signed', "delay => '1 hour'");
my $plain = submit('plain', '/ok/restored/plain', "delay => '1 hour'");
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'another dump');
sql('create database copy');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $dump ], 'restored');
sub copy_sql { return $node->safe_psql('copy', $_[0]) }
is(copy_sql("select string_agg(endpoint, ' ' order by endpoint) from taskq.endpoints where secrets_missing"),
	'again quiet', 'endpoints lack what a dump does not hold');
copy_sql('update taskq_private.task set run_at = now() - interval \'1 s\'');
copy_sql('select taskq.arm(), taskq.start_executor()');
wait_state($node, $plain, 'finished', 'copy');
is(copy_sql("select state, attempt from taskq.tasks where id = $signed"), 'pending|0', 'what cannot be signed is not sent');
like(copy_sql(q{select detail from taskq.status() where "check" = 'endpoints'}), qr/"again": its secret must be given again/,
	'status() tells');
copy_sql("select taskq.rotate_secret('quiet', '" . secret($secrets[2]) . "')");
is(copy_sql("select secrets_missing from taskq.endpoints where endpoint = 'quiet'"), 't', 'the secret is not all');
copy_sql(q{select taskq.alter_endpoint('quiet', headers => '{"X-Key": "S3CR3T_8"}')});
wait_state($node, $signed, 'finished', 'copy');
my ($request) = $receiver->requests('/ok/restored/signed');
is_signed($request, 'then it is sent', $secrets[2]);
is($request->{headers}{'x-key'}, 'S3CR3T_8', 'with its headers');

is_consistent($node, 'after that');
undef $_ foreach $worker, $second;
$node->stop;
log_is_clean($node);
done_testing();
