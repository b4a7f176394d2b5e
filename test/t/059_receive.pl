# 059_receive.pl
#		taskq receive: the command that answers a request, what it reads and sees, signatures, callers
#		that go away, the line of those that wait, and stops.

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256_base64);
use File::Basename qw(dirname);
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $http = HTTP::Tiny->new(timeout => 60);

delete $ENV{$_} foreach grep { /^TASKQ_|^HTTP_|_proxy$/i } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;
$ENV{HTTP_X_OWN} = 'of the receiver';
$ENV{PGPASSWORD} = 'secret';

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# ---- a receiver, and requests to it -------------------------------------------------------------

# One on a free port; the arguments are its options, "--" and the command.
sub start_receiver
{
	my $receiver = TaskqTest::Worker->start_program('build/cli/taskq', 'receive', '--listen', '0', @_);

	$receiver->wait_log(qr/ready on /);
	($receiver->{port}) = $receiver->log =~ /ready on 127\.0\.0\.1:(\d+)$/m;
	return $receiver;
}

sub ask
{
	my ($receiver, $method, $path, $body, %headers) = @_;

	return $http->request($method, "http://127.0.0.1:$receiver->{port}$path",
		{ headers => \%headers, defined $body ? (content => $body) : () });
}

# A request of which somebody reads the answer later, or never; it has two bytes, whatever length is told.
sub begin
{
	my ($receiver, $path, $length, $host) = @_;
	$host //= 'localhost';
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $receiver->{port}) or die $!;

	$socket->print("POST $path HTTP/1.1\r\nHost: $host\r\nContent-Length: " . ($length // 2) . "\r\n\r\nhi");
	$socket->flush;
	return $socket;
}

# The first bytes of its answer.
sub answer
{
	my ($socket) = @_;

	return '' unless IO::Select->new($socket)->can_read($PostgreSQL::Test::Utils::timeout_default);
	$socket->sysread(my $bytes, 65536);
	return $bytes;
}

sub content
{
	my ($file) = @_;

	return -e $file ? slurp_file($file) =~ s/\s+\z//r : '';
}

sub sends_to
{
	my ($receiver) = @_;

	reconfigure($node, 'taskq.http_allow' => '127.0.0.1', 'taskq.http_ports' => '');
	return "http://127.0.0.1:$receiver->{port}";
}

# ---- what a command reads, and what becomes of it -------------------------------------------------

my $echo = start_receiver('--', 'sh', '-c', 'cat; echo "to the log" >&2');
my $answer = ask($echo, 'POST', '/', '{"n": 12345678901234567890}');
is("$answer->{status} $answer->{headers}{'content-type'} $answer->{content}",
	'200 application/json {"n": 12345678901234567890}', 'the body is read, and the output is the answer');
$answer = ask($echo, 'PUT', '/', "no \x{c3}\x{a4} JSON");
is("$answer->{status} $answer->{headers}{'content-type'}", '200 text/plain; charset=utf-8', 'a text is told as such');
$answer = ask($echo, 'PUT', '/', "\0\xff");
is("$answer->{headers}{'content-type'} $answer->{content}", "application/octet-stream \0\xff", 'and bytes');
$answer = ask($echo, 'GET', '/');
is("$answer->{status} $answer->{content}", '200 ', 'neither body nor output');
$answer = ask($echo, 'POST', '/', 'x' x 1048576);
is("$answer->{status} " . length($answer->{content}), '200 1048576', 'the longest body');
like(answer(begin($echo, '/', 1048577)), qr/^HTTP\/1\.1 413 /, 'a longer one');
like($echo->log, qr/request: stderr: to the log\n.*request: done in \d+ ms\n/s, 'standard error goes to the log');

my $failing = start_receiver('--max-body', 100, '--', 'sh', '-c',
	'read -r what; case $what in fail) echo sorry; echo "no room" >&2; exit 3;; kill) kill -9 $$;; long) head -c 1048577 /dev/zero;; esac');
$answer = ask($failing, 'POST', '/', "fail\n");
is("$answer->{status} $answer->{content}", "500 sorry\n", 'an exit status is an error');
like($failing->log, qr/request: exit status 3: no room\n/, 'which the log tells');
$answer = ask($failing, 'POST', '/', "kill\n");
is("$answer->{status} $answer->{content}", qq(500 {"status":"error","reason":"ended by signal 9 (KILL)"}\n), 'so is a signal');
is(ask($failing, 'POST', '/', "long\n")->{status}, 500, 'an output that is too long is not cut');
is(ask($failing, 'POST', '/', 'x' x 101)->{status}, 413, '--max-body');

# ---- what it sees of a request ---------------------------------------------------------------------

my $env = start_receiver('--', 'env');
my %seen = map { /^(\w+)=(.*)$/ } split /\n/,
  ask($env, 'DELETE', '/a/b?c=$(id)', undef, 'X-Word' => 'two; words', 'X_Word' => 'other', Proxy => 'http://evil/',
	'X-Many' => [ 'a', 'b' ], Authorization => 'Bearer x')->{content};
is(join(' ', @seen{qw(REQUEST_METHOD REQUEST_URI)}), 'DELETE /a/b?c=$(id)', 'method and target');
is($seen{HTTP_X_WORD}, 'two; words', 'a header; one with an underscore is not taken for it');
is($seen{HTTP_X_MANY}, 'a, b', 'a repeated header');
ok(!exists $seen{HTTP_PROXY}, 'no header becomes the proxy of programs');
ok(!exists $seen{HTTP_X_OWN} && !exists $seen{PGPASSWORD}, 'nothing of the receiver looks like a header, and no password');

my $url = sends_to($env);
my $id = sql("select taskq.submit_http('$url/hook', '{}', key => 'a b/ä', trace => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')");
wait_state($node, $id, 'finished');
%seen = map { /^(\w+)=(.*)$/ } split /\n/, sql("select convert_from(body, 'UTF8') from taskq.response($id)");
is(join(' | ', map { $seen{$_} // '-' } qw(TASKQ_TASK_ID TASKQ_QUEUE TASKQ_ATTEMPT TASKQ_KEY CONTENT_TYPE REQUEST_URI)),
	"$id | http | 1 | a b/\x{c3}\x{a4} | application/json | /hook", 'a delivery: the task');
is($seen{TRACEPARENT}, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'and its trace');
like($env->log, qr/task $id: done in/, 'the log names the task');

# A page that a browser of this machine shows must not run the command.
is(ask($env, 'POST', '/', '{}', Origin => 'http://evil.example')->{status}, 403, 'a request of a page');
is(ask($env, 'GET', '/', undef, 'Sec-Fetch-Site' => 'cross-site')->{status}, 403, 'likewise without an origin');
{
	my $rebound = begin($env, '/', 2, 'evil.example');
	like(answer($rebound), qr/^HTTP\/1\.1 403 /, 'likewise by a name that was made to mean this machine');
}

# ---- signatures -------------------------------------------------------------------------------------

my $secret = 'whsec_' . 'c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0';
my $former = 'whsec_' . 'Zm9ybWVyIGZvcm1lciBmb3JtZXIgZm9ybWVy';
append_to_file("$dir/secrets", "$secret\n$former\n");
my $signed = start_receiver('--secret-file', "$dir/secrets", '--', 'sh', '-c', 'cat; echo run >&2');
is(ask($signed, 'POST', '/', '{}')->{status}, 401, 'without a signature');

sub sign
{
	my ($key, $time, $body) = @_;
	my $mac = hmac_sha256_base64("msg_1.$time.$body", decode_base64($key =~ s/^whsec_//r));

	return ('webhook-id' => 'msg_1', 'webhook-timestamp' => $time,
		'webhook-signature' => 'v1,AAAA v1,' . $mac . '=' x (-length($mac) % 4));
}

is(ask($signed, 'POST', '/', '{}', sign($secret, time, '{}'))->{status}, 200, 'with one');
is(ask($signed, 'POST', '/', '{}', sign($former, time, '{}'))->{status}, 200, 'by another secret of the file');
is(ask($signed, 'POST', '/', '{ }', sign($secret, time, '{}'))->{status}, 401, 'of another body');
is(ask($signed, 'POST', '/', '{}', sign($secret, time - 400, '{}'))->{status}, 401, 'of another time');
is(ask($signed, 'POST', '/', '{}', sign($secret, time + 400, '{}'))->{status}, 401, 'that has not come');
is(ask($signed, 'POST', '/', '{}', sign('AAAA' x 8, time, '{}'))->{status}, 401, 'by a secret that is not there');
is(() = $signed->log =~ /stderr: run/g, 2, 'the command has run for none of these');
sql("select taskq.create_endpoint('acme', '" . sends_to($signed) . "', secret => '$secret')");
$id = sql("select taskq.submit_http(endpoint => 'acme', payload => '[1]')");
wait_state($node, $id, 'finished');
pass('the signature of an endpoint');

# ---- callers that go away, and a line ----------------------------------------------------------------

my $slow = start_receiver('-j', 1, '--', 'sh', '-c',
	'trap "" TERM; echo $REQUEST_URI >> ' . "$dir/begun" . '; (trap - TERM; sleep 1000) & echo $! > ' . "$dir/grandchild" . '; wait');
my $first = begin($slow, '/first');
wait_until('the command', sub { content("$dir/grandchild") });
my $second = begin($slow, '/second');
my $third = begin($slow, '/third');
$second->close;
$slow->wait_log(qr/its caller has gone away/);
ok(kill(0, content("$dir/grandchild")), 'who waits goes away: nothing else ends');
my $grandchild = content("$dir/grandchild");
unlink "$dir/grandchild";
$first->close;
wait_process_gone($grandchild);
pass('whose command runs goes away: its process group is ended');
wait_until('the next', sub { content("$dir/grandchild") });
is(content("$dir/begun"), "/first\n/third", 'then the next one has its turn, but not the one that went away');
$third->close;
wait_process_gone(content("$dir/grandchild"));

# Its shell ignores the signal, and is killed 10 s later if it does not end by itself.
$slow->signal('TERM');
is($slow->wait_end, 0, 'it ends when they have ended');

# A caller that does not read its answer keeps nobody else waiting.
my $large = start_receiver('--', 'sh', '-c', 'head -c 1000000 /dev/zero');
my @lazy = map { begin($large, '/') } 1 .. 40;
is(length(ask($large, 'GET', '/')->{content}), 1000000, '40 callers that do not read');
$_->close foreach @lazy;

# ---- stops --------------------------------------------------------------------------------------------

sub start_held
{
	unlink "$dir/go", "$dir/running";
	return start_receiver('--', 'sh', '-c', "echo \$\$ > $dir/running; until [ -e $dir/go ]; do sleep 0.05; done; echo done");
}

my $held = start_held();
my $running = begin($held, '/');
my $kept = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $held->{port}) or die $!;
wait_until('the command', sub { content("$dir/running") });
$held->signal('TERM');
$held->wait_log(qr/stopping/);
$kept->print("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
$kept->flush;
like(answer($kept), qr/^HTTP\/1\.1 503 .*Retry-After: 1\r\n/s, 'while it stops, requests are refused');
is(ask($held, 'GET', '/')->{status}, 503, 'on new connections as well');
append_to_file("$dir/go", '');
like(answer($running), qr/^HTTP\/1\.1 200 .*done\n\z/s, 'what runs is answered');
is($held->wait_end, 0, 'and it ends');

$held = start_held();
$running = begin($held, '/');
my $pid = wait_until('the command', sub { content("$dir/running") });
$held->signal('TERM');
$held->wait_log(qr/stopping/);
$held->signal('TERM');
like(answer($running), qr/^HTTP\/1\.1 503 /, 'a second signal: what runs is killed');
wait_process_gone($pid);
is($held->wait_end, 0, 'and it ends');

# ---- many ----------------------------------------------------------------------------------------------

my $many = start_receiver('-j', 8, '--', 'sh', '-c', 'cat');
$url = sends_to($many);
sql("select count(taskq.submit_http('$url', to_jsonb(n))) from generate_series(1, 300) n");
wait_query($node, 'postgres', "select not exists (select from taskq.tasks where ended_at is null)");
is(sql("select count(*) from taskq.tasks where state <> 'finished'"), '0', '300 deliveries');
is(() = $many->log =~ /task \d+: done/g, 300, 'each has run once');

# ---- what it refuses -------------------------------------------------------------------------------------

append_to_file("$dir/short", "AAAA\n");
foreach my $case (
	[ [ '--', 'true' ], 2, qr/needs --listen ADDRESS/ ],
	[ [ '--listen', '0' ], 2, qr/needs a command after "--"/ ],
	[ [ '--listen', '0', 'true' ], 2, qr/needs a command after "--"/ ],
	[ [ '--listen', '0.0.0.0:0', '--', 'true' ], 2, qr/needs --secret-file/ ],
	[ [ '--listen', '0', '--', 'no-such-command' ], 1, qr/cannot run no-such-command/ ],
	[ [ '--listen', '0', '--secret-file', "$dir/short", '--', 'true' ], 1, qr/secret 1: it has less than 24 bytes/ ],
	[ [ '--listen', '0', '--secret-file', '/dev/null', '--', 'true' ], 1, qr/there is no secret/ ],
	[ [ '--listen', '0', '--jobs', '0', '--', 'true' ], 2, qr/jobs/ ])
{
	my ($arguments, $status, $message) = @$case;
	my ($out, $err);

	IPC::Run::run([ 'build/cli/taskq', 'receive', @$arguments ], '<', \undef, '>', \$out, '2>', \$err);
	is($? >> 8, $status, "refused: @$arguments");
	like($err, $message, 'it says why');
}

# ---- docs/http.md: its receiver.  067_guides.pl runs that of README.md -------------------------------

my ($line) = slurp_file(dirname(__FILE__) . '/../../docs/http.md') =~ /^taskq (receive .*)$/m;
my ($port, $shown) = ($line // '') =~ /^receive --listen (\d+) -- (.*)$/;
ok(defined $port, 'docs/http.md has a receiver');
my $described = start_receiver('--', 'sh', '-c', "cd $dir && exec $shown");
is(ask($described, 'POST', '/', '{"order": 1}')->{status}, 200, 'it answers');

done_testing();
