# 060_gateway.pl
#		taskq serve beside a database that does not answer: a new connection that stays silent, or falls
#		silent after the login or a LISTEN, and a server that is frozen.  The gateway goes on, and no request
#		waits for ever.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use HTTP::Tiny;
use IO::Poll qw(POLLHUP);
use IO::Socket::UNIX;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $node = taskq_node('main');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $socket = $node->host . '/.s.PGSQL.' . $node->port;

delete $ENV{$_} foreach grep { /^TASKQ_|_proxy$/i } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub set_mode
{
	my ($mode) = @_;

	open my $file, '>', "$dir/mode.new" or die $!;
	print $file $mode;
	close $file;
	rename "$dir/mode.new", "$dir/mode" or die $!;
	return;
}

# ---- a gateway behind a relay --------------------------------------------------------------------

sql("create role taskq_gateway login noinherit; grant taskq_admin, taskq_reader to taskq_gateway");
set_mode('pass');
my $relay = IPC::Run::start([ 'python3', dirname(__FILE__) . '/../lib/relay.py', "$dir/relay", "$dir/mode", $socket ], '<', \my $in);
wait_until('the relay', sub { -s "$dir/relay" });
my $gateway = TaskqTest::Worker->start_program('build/cli/taskq', 'serve', '--listen', "$dir/http", '--anonymous', 'taskq_admin',
	'--connections', '2', '-d', 'host=127.0.0.1 port=' . slurp_file("$dir/relay") . ' dbname=postgres user=taskq_gateway');
$gateway->wait_log(qr/ready/);

# A request that began: its socket.
sub begin
{
	my ($method, $path, $body) = @_;
	my $client = IO::Socket::UNIX->new(Peer => "$dir/http") or die $!;

	$client->print("$method $path HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
		  . length($body // '') . "\r\n\r\n" . ($body // ''));
	$client->flush;
	return $client;
}

# The status and the body of its answer.
sub answer
{
	my ($client) = @_;
	my $text = '';

	local $SIG{ALRM} = sub { die 'no answer' };
	alarm $PostgreSQL::Test::Utils::timeout_default;
	while ($client->sysread($text, 65536, length $text)) { }
	alarm 0;
	my ($status, $body) = $text =~ /\AHTTP\/1\.1 (\d+) .*?\r\n\r\n(.*)\z/s;
	return ($status // 0, $body // '');
}

sub ask
{
	return answer(begin(@_));
}

# All connections of the gateway end, and are made again.
sub disconnect
{
	return sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'taskq_gateway'");
}

sub works
{
	my ($name) = @_;

	wait_until($name, sub { (ask('GET', '/v1/whoami'))[0] == 200 });
	return pass($name);
}

# Whether the gateway itself answers: while it waits in one place for the database, it does not.
sub is_lively
{
	my ($name) = @_;
	my $begin = time;
	my ($status) = ask('GET', '/healthz');

	ok($status == 200 && time - $begin < 2, "$name: the gateway itself answers at once");
	return;
}

works('through the relay');

# A client that does not read its answer, for the end of this file.
sql("select taskq.submit('default', to_jsonb(repeat('x', 1000000)), delay => '1 hour') from generate_series(1, 5)");
my $lazy = begin('GET', '/v1/tasks?queue=default&limit=5');
my $lazy_since = time;
is($lazy->sysread(my $byte, 1), 1, 'a large answer begins');

# ---- new connections that fall silent --------------------------------------------------------------

foreach my $mode (qw(mute login))
{
	set_mode($mode);
	disconnect();
	wait_query($node, 'postgres', "select count(*) = 2 from pg_stat_activity where usename = 'taskq_gateway'") if $mode eq 'login';
	is_lively($mode);
	my ($status, $body) = ask('GET', '/v1/whoami');
	# 504 if it was sent before the end of its connection was noticed.
	like($status, qr/^50[34]$/, "$mode: a request is told that the database does not answer");
	is_lively("$mode, after that");
	set_mode('pass');
	works("$mode: it connects again when the database answers");
}

# ---- the connection that listens falls silent --------------------------------------------------------

# It is made when somebody waits.
set_mode('listen');
my $waiting = begin('POST', '/v1/queues/default/acquire?wait=20', '{}');
wait_query($node, 'postgres', "select count(*) = 3 from pg_stat_activity where usename = 'taskq_gateway'");
is_lively('listen');
sql("select taskq.submit('default', '1')");
my ($status, $body) = answer($waiting);
is($status, 200, 'who waits gets the task without a notification');
set_mode('pass');
$waiting = begin('POST', '/v1/queues/default/acquire?wait=60', '{}');
wait_query($node, 'postgres', "select count(*) > 0 from pg_stat_activity where usename = 'taskq_gateway' and query ~ '^listen'");
pass('and it listens again when the database answers');
sql("select taskq.submit('default', '2')");
is((answer($waiting))[0], 200, 'and the next who waits gets the next task');

# ---- a frozen server ----------------------------------------------------------------------------------

works('before the freeze');
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
my @processes = ($postmaster, split /\s+/, `ps -o pid= --ppid $postmaster` =~ s/^\s+//r);
kill 'STOP', @processes;
# Each connection prepares that statement with its first one, so that it has one at a time.
my @held = map { begin('POST', '/v1/queues/default/tasks', '{"payload":' . $_ . '}') } 1 .. 12;
is_lively('frozen');
my @answers = map { [ answer($_) ] } @held;
kill 'CONT', reverse @processes;
is(join(' ', sort map { $_->[0] } @answers), join(' ', (503) x 10, (504) x 2), 'what was sent gets 504, what was not, 503');
is(() = (join ' ', map { $_->[1] } @answers) =~ /"unknown": ?true/g, 2, 'of what was sent it is not known whether it was done');
works('it goes on when the server does');

# ---- the client that has read nothing since ----------------------------------------------------------

sub lazy_is_connected
{
	my $poll = IO::Poll->new;

	$poll->mask($lazy => POLLHUP);
	return $poll->poll(0) == 0;
}

ok(lazy_is_connected(), 'the client that reads nothing is connected');
wait_until('the end of its connection', sub { !lazy_is_connected() });
cmp_ok(time - $lazy_since, '>', 60, 'a client that reads nothing is given up after a while');
is((ask('GET', '/healthz'))[0], 200, 'without harm to others');
$lazy->close;

$gateway->signal('TERM');
is($gateway->wait_end, 0, 'it ends');
$relay->kill_kill;
$node->stop;
done_testing();
