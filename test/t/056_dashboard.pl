# 056_dashboard.pl
#		The dashboard of taskq serve in a real browser: what it shows and does, for whom, behind a proxy.
#
# The browser is driven by test/lib/dashboard.py, whose lines become those of this test.
#
# TASKQ_DASHBOARD_LONG is for `make test-all`: each page also on a narrow screen, a search of 300 000 tasks, and a
# restart of the server.  TASKQ_AXE: axe-core, whose rules for WCAG 2.2 AA each page is held against.  TASKQ_PICTURES: a directory for pictures of each page, among them those in docs/images;
# TASKQ_PICTURES_SECONDS: for how long there is traffic before they are taken, so that the charts have something to show.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $taskq = abs_path('build/cli/taskq');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# ---- what there is to see ---------------------------------------------------------------------------------

sql(<<'END');
create role ops_role in role taskq_admin;
create role viewer in role taskq_reader;
create role shop_app;
create role gateway login noinherit;
grant ops_role, viewer, taskq_reader to gateway;
select taskq.create_retry_policy('twice', backoff => 'fixed', base => '0', max_attempts => 2);
select taskq.create_queue('mail', retry => 'twice'), taskq.create_queue('bulk'), taskq.create_queue('archive'),
	taskq.create_queue('reports'), taskq.set_limit('mail', max_running => 50), taskq.grant_queue('mail', 'shop_app', '{view, submit}'), taskq.pause_queue('reports');
select taskq.schedule('nightly', '{"queue": "reports", "payload": {"report": 7}}', cron => '0 3 * * *', timezone => 'Europe/Berlin');
END
my $endpoint = $receiver->url('');
sql("select taskq.create_endpoint('crm', '$endpoint')");
sql("select taskq.alter_queue('crm', keep_payload => true)");

# Dead ones with two failed attempts, running ones, pending ones, one with a number of 30 digits.
sql(<<'END');
select count(taskq.submit('mail', jsonb_build_object('to', 'ada' || i), key => 'order-' || i, kind => 'welcome')) from generate_series(1, 3) i;
do $$
declare
	t record;
begin
	for try in 1 .. 2 loop
		for t in select * from taskq.acquire('mail', 3, worker => 'worker-9') loop
			perform taskq.fail(t.id, t.token, 'mailbox full', '{"code": 552}');
		end loop;
	end loop;
end $$;
select count(taskq.submit('mail', '{"to": "bob"}')) from generate_series(1, 7);
select count(*) from taskq.acquire('mail', 2, lease_for => '1 hour', worker => 'worker-1');
select taskq.submit('default', '{"big": 123456789012345678901234567890}', delay => '1 day');
select taskq.submit('default', to_jsonb(repeat('x', 1020000)), kind => 'line', delay => '1 day');
END
is(sql("select count(*) from taskq.tasks where queue = 'mail' and state = 'dead'"), 3, 'there are dead tasks');

# Text that would like to be more, in all places that a user can fill; the receiver sends it back.
my $nasty = '</pre><script>window.pwned = 1</script><img src=x onerror="window.pwned = 2">' . "\x{202e}";
utf8::encode(my $bytes = $nasty);
sql(qq(select taskq.submit_http(endpoint => 'crm', path => '/echo', payload => to_jsonb(\$x\$$bytes\$x\$::text),
	kind => '<script>window.pwned = 3</script>', key => '"><script>window.pwned = 4</script>')));
sql("select taskq.submit_http(endpoint => 'crm', path => '/status/410', max_attempts => 1) from generate_series(1, 2)");
my $hello = sql("select taskq.submit_http(endpoint => 'crm', path => '/echo', payload => '{\"hello\": 1}')");
wait_state($node, $hello, 'finished');
wait_query($node, 'postgres', "select count(*) = 4 from taskq.tasks where queue = 'crm' and state in ('finished', 'dead')");

# ---- the gateway, and a proxy in front of it ------------------------------------------------------------------

my %token;
foreach ([ 'ops', 'ops_role' ], [ 'viewer', 'viewer' ])
{
	my ($name, $role) = @$_;

	($token{$name}) = run_command([ $taskq, 'token', 'new', $name, $role, '--ui', '--append', "$dir/tokens" ]);
	$token{$name} =~ s/\n.*//s;
}

my ($port, $proxy) = map { PostgreSQL::Test::Cluster::get_free_port() } 1, 2;
my $gateway = IPC::Run::start([ $taskq, 'serve', '-d', 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=gateway',
	'--tokens', "$dir/tokens", '--listen', $port, '--log', "$dir/serve.log" ], '<', \undef, '>', "$dir/serve.out", '2>&1');

append_to_file("$dir/nginx.conf", <<"END");
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path $dir/body;
	proxy_temp_path $dir/proxy;
	fastcgi_temp_path $dir/fastcgi;
	uwsgi_temp_path $dir/uwsgi;
	scgi_temp_path $dir/scgi;
	server {
		listen 127.0.0.1:$proxy;
		location /a/b/ { proxy_pass http://127.0.0.1:$port/; }
	}
}
END
$ENV{PATH} .= ':/usr/sbin';
my $nginx = IPC::Run::start([ 'nginx', '-e', "$dir/nginx.log", '-c', "$dir/nginx.conf" ], '<', \undef, '>', "$dir/nginx.out", '2>&1');
TaskqTest::wait_until('nginx', sub { return -s "$dir/nginx.pid" });
TaskqTest::wait_until('the gateway', sub { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) });

# ---- the browser ---------------------------------------------------------------------------------------------------

my @ctl = ($node->installed_command('pg_ctl'), '-D', $node->data_dir, '-w');
append_to_file("$dir/config.json", encode_json({
	base => "http://127.0.0.1:$port/ui/",
	prefixed => "http://127.0.0.1:$proxy/a/b/ui/",
	tokens => { admin => $token{ops}, reader => $token{viewer} },
	psql => [ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c' ],
	stop => [ @ctl, '-m', 'fast', 'stop' ],
	start => [ @ctl, '-l', $node->logfile, 'start' ],
	large => $ENV{TASKQ_DASHBOARD_LONG} ? JSON::PP::true : JSON::PP::false,
	axe => $ENV{TASKQ_AXE},
	pictures => $ENV{TASKQ_PICTURES},
	traffic => ($ENV{TASKQ_PICTURES_SECONDS} // 0) + 0,
}));

# The browser keeps its files here, and a socket, whose path must be short.
$ENV{HOME} = $ENV{TMPDIR} = PostgreSQL::Test::Utils::tempdir_short();
my $looked = 0;
open(my $lines, '-|', 'python3', dirname(__FILE__) . '/../lib/dashboard.py', "$dir/config.json") or die "dashboard.py: $!";
while (my $line = <$lines>)
{
	chomp $line;
	if ($line =~ /^(not )?ok (.*)/)
	{
		ok(!$1, $2);
		$looked++;
	}
	else
	{
		diag($line);
	}
}
close($lines);
cmp_ok($looked, '>=', 150, 'the browser has looked at everything');
SKIP:
{
	skip 'axe-core could not be had from npm', 1 if $ENV{TASKQ_DASHBOARD_LONG} && !defined $ENV{TASKQ_AXE};
	pass('axe-core') if defined $ENV{TASKQ_AXE};
}
is($?, 0, 'and ended well');

my $log = slurp_file("$dir/serve.log");
unlike($log, qr/tq_|pwned|mailbox/, 'the log of the gateway has no token and nothing of a task');
like($log, qr/ops.*DELETE/, 'it has who changed what');

$nginx->signal('TERM');
$nginx->finish;
$gateway->signal('TERM');
ok($gateway->finish, 'the gateway ends well');

done_testing();
