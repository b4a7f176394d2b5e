# 070_nat.pl
#		Workers of taskq serve behind a NAT, in network namespaces: they are killed, the NAT forgets idle
#		connections without a word, and no task is lost or left to a worker that is gone.
#
# It runs itself again in a namespace of its own, without rights outside of it.  There the gateway listens; behind
# the namespace "nat" lies the namespace "inside", in which the workers are.
#
# TASKQ_NAT_TASKS: how many tasks, 300.

use strict;
use warnings FATAL => 'all';

# The NAT lets nothing in that was not asked for, and answers nothing itself.
my $lay_out = <<'END';
set -e
mount -t tmpfs none /run
ip netns add nat
ip netns add inside
ip link set lo up
ip link add outer type veth peer name wan netns nat
ip -n nat link add lan type veth peer name eth netns inside
ip addr add 10.9.0.2/24 dev outer
ip -n nat addr add 10.9.0.1/24 dev wan
ip -n nat addr add 192.168.7.1/24 dev lan
ip -n inside addr add 192.168.7.2/24 dev eth
ip link set outer up
ip -n nat link set wan up
ip -n nat link set lan up
ip -n inside link set eth up
ip -n inside route add default via 192.168.7.1
nsenter --net=/run/netns/nat sh -c '
	echo 1 >/proc/sys/net/ipv4/ip_forward
	cd /proc/sys/net/netfilter
	echo 0 >nf_conntrack_tcp_loose
	for state in close close_wait fin_wait last_ack time_wait; do echo 1 >nf_conntrack_tcp_timeout_$state; done
	nft -f -' <<'RULES'
table ip nat {
	chain leaving { type nat hook postrouting priority 100; oifname "wan" masquerade; }
}
table ip guard {
	chain passing { type filter hook forward priority 0; policy drop; ct state established accept; iifname "lan" ct state new accept; }
	chain arriving { type filter hook input priority 0; policy drop; }
}
RULES
END

BEGIN
{
	$ENV{PATH} .= ':/usr/sbin:/sbin';
	if (!$ENV{TASKQ_TEST_NAMESPACE})
	{
		$ENV{TASKQ_TEST_NAMESPACE} = 1;
		if (system('unshare --user --net --mount --map-current-user --keep-caps true 2>/dev/null') != 0)
		{
			print "1..0 # SKIP this user may not make network namespaces\n";
			exit 0;
		}
		exec 'unshare', '--user', '--net', '--mount', '--map-current-user', '--keep-caps', $^X, (map { "-I$_" } grep { !ref } @INC), $0;
	}
}

use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $tasks = $ENV{TASKQ_NAT_TASKS} // 300;

is(system('sh', '-c', $lay_out), 0, 'a NAT between two networks');

# A command in a namespace.
sub in
{
	my ($namespace, @command) = @_;

	return ('nsenter', "--net=/run/netns/$namespace", @command);
}

# After how many seconds the NAT forgets a connection on which nothing is sent.
sub forgets_after
{
	my ($seconds) = @_;

	is(system(in('nat', 'sh', '-c', "echo $seconds >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established")), 0,
		"a NAT that forgets after $seconds s");
	return;
}

# ---- a database, and a gateway --------------------------------------------------------------------

my $node = taskq_node('main');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $url = 'http://10.9.0.2:8088';

delete $ENV{$_} foreach grep { /^TASKQ_|_proxy$/i } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql(<<'SQL');
create role far; create role watcher in role taskq_reader;
select taskq.create_queue('work', retry => 'default'), taskq.create_queue('rare'), taskq.grant_queue('work', 'far', '{work}'),
	taskq.grant_queue('rare', 'far', '{work}');
create role taskq_gateway login noinherit;
grant far, watcher, taskq_reader to taskq_gateway;
SQL
my %token;
foreach ([ 'far', 'far' ], [ 'watcher', 'watcher' ])
{
	my ($output) = run_command([ 'build/cli/taskq', 'token', 'new', @$_, '--append', "$dir/tokens" ]);
	($token{ $_->[0] }) = split /\n/, $output;
}
my $gateway = TaskqTest::Worker->start_program('build/cli/taskq', 'serve', '-d',
	'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=taskq_gateway', '--listen', '10.9.0.2:8088', '--behind-proxy',
	'--tokens', "$dir/tokens");
$gateway->wait_log(qr/ready/);

# How many requests wait at the gateway.
sub waiting
{
	my $r = HTTP::Tiny->new->get("$url/metrics", { headers => { Authorization => "Bearer $token{watcher}" } });

	return ($r->{content} =~ /^taskq_gateway_waiting (\d+)$/m)[0] // die "no metrics: $r->{status} $r->{content}";
}

# ---- workers, some of which are killed -----------------------------------------------------------------

forgets_after(60);
# Every tenth takes a heartbeat.
sql("select count(*) from taskq.submit_many('work', array(select case when i % 10 = 0 then '\"long\"' else to_jsonb(i) end from generate_series(1, $tasks) i))");

sub start_worker
{
	my ($name) = @_;

	return IPC::Run::start([ in('inside', 'python3', dirname(__FILE__) . '/../lib/http_worker.py', $url, $token{far}, 'work', $name, "$dir/ledger") ],
		'<', \undef, '>>', "$dir/worker.out", '2>&1');
}

sub finished
{
	return sql("select count(*) from taskq.tasks where queue = 'work' and state = 'finished'");
}

my @workers = map { start_worker("w$_") } 1 .. 3;
my $kills = 0;
foreach my $share (1 .. 5)
{
	wait_until("$share sixths", sub { finished() >= $tasks * $share / 6 });
	$workers[ $share % 3 ]->kill_kill(grace => 0);
	$workers[ $share % 3 ] = start_worker('again' . ++$kills);
}
wait_until('the last task', sub { finished() == $tasks });
my %done;
$done{$_}++ foreach split /\n/, slurp_file("$dir/ledger");
is(join(',', sort { $a <=> $b } keys %done), sql("select string_agg(id::text, ',' order by id) from taskq.tasks where queue = 'work'"), 'each task was done');
my $twice = grep { $_ > 1 } values %done;
cmp_ok($twice, '<=', 5 * $kills, "only tasks of workers that were killed were done twice: $twice");
is(sql("select count(*) from taskq.attempts a join taskq.tasks t on t.id = a.task_id where t.queue = 'work' and a.class <> 'lease_lost'"), 0,
	'no attempt has failed otherwise');
like($gateway->log, qr/10\.9\.0\.1 far far POST \/v1\/queues\/work\/turn 200/, 'the gateway sees the address of the NAT alone');
$_->kill_kill(grace => 0) foreach @workers;
is(slurp_file("$dir/worker.out"), '', 'no worker has complained');

# ---- a NAT that forgets ------------------------------------------------------------------------------------

wait_until('the end of their connections', sub { waiting() == 0 });

# A request that waits for a task of a queue; curl in the namespace inside.
sub begin
{
	my ($wait) = @_;
	my %request;

	$request{run} = IPC::Run::start([ in('inside', 'curl', '-sS', '--no-keepalive', '--max-time', '90', '-w', ' %{http_code}', '-H', "Authorization: Bearer $token{far}", '-H',
			'Content-Type: application/json', '-d', '{"lease_for": 600}', "$url/v1/queues/rare/acquire?wait=$wait") ], '<', \undef, '>', \$request{out},
		'2>', \$request{err});
	return \%request;
}

# It knows longer of a connection than the gateway is silent: what waits is answered.
forgets_after(14);
my $patient = begin(30);
wait_until('one that waits', sub { waiting() == 1 });
$patient->{run}->finish;
is($patient->{out}, ' 204', 'a NAT that forgets soon still knows a connection that has waited for 30 s') or diag($patient->{err});

# It forgets at once, and drops everything: neither side is told.
forgets_after(1);
my $lost = begin(60);
my $begun = time;
wait_until('another one that waits', sub { waiting() == 1 });
wait_until('the gateway notices that nobody is there', sub { waiting() == 0 });
cmp_ok(time - $begun, '<', 55, 'before the time of the request is over');
my $id = sql("select taskq.submit('rare', '7')");
forgets_after(60);
my $next = begin(60);
$next->{run}->finish;
like($next->{out}, qr/"id":"$id".*"attempt":1,.* 200\z/s, 'its task is not claimed for the lost one, and the next worker has it');
$lost->{run}->kill_kill(grace => 0);
is($lost->{out}, '', 'the lost one never had an answer');

$gateway->signal('TERM');
is($gateway->wait_end, 0, 'the gateway ends');
TaskqTest::is_consistent($node, 'at the end');
$node->stop;
done_testing();
