# 026_tls.pl
#		Receivers over TLS: whose certificates are trusted, from the executor and
#		from taskq-worker.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $dir = PostgreSQL::Test::Utils::tempdir();

sub openssl
{
	my ($output, $error);

	IPC::Run::run([ 'openssl', @_ ], '<', \undef, '>', \$output, '2>', \$error)
	  or die "openssl @_: $error";
	return;
}

# ---- authorities and certificates -----------------------------------------------------------------

our @new_key = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes');

# An authority of our own, and one that nobody trusts.
foreach my $ca (qw(ca stranger))
{
	openssl('req', '-x509', @new_key, '-days', '2', '-subj', "/CN=$ca", '-addext', 'basicConstraints=critical,CA:TRUE',
		'-keyout', "$dir/$ca.key", '-out', "$dir/$ca.pem");
}

# A certificate for names, signed by an authority, that is valid for so many days from now.
sub make_certificate
{
	my ($name, $ca, $names, $days) = @_;

	append_to_file("$dir/$name.ext", "subjectAltName=$names\n");
	openssl('req', '-new', @new_key, '-subj', '/CN=localhost', '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/$ca.pem", '-CAkey', "$dir/$ca.key", '-CAcreateserial',
		'-days', $days, '-extfile', "$dir/$name.ext", '-out', "$dir/$name.pem");
	return;
}

make_certificate('good', 'ca', 'DNS:localhost,IP:127.0.0.1', 2);
make_certificate('elsewhere', 'ca', 'DNS:hooks.example.com', 2);
make_certificate('wildcard', 'ca', 'DNS:*.localhost', 2);
make_certificate('untrusted', 'stranger', 'DNS:localhost,IP:127.0.0.1', 2);
# Its subject names localhost, but that is not where names stand once there are others.
make_certificate('subject', 'ca', 'DNS:nobody.example.com', 2);

# Signed by itself; with a short key; by an authority under ours that is not sent along.
openssl('req', '-x509', @new_key, '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
	'-keyout', "$dir/alone.key", '-out', "$dir/alone.pem");
{
	local @new_key = ('-newkey', 'rsa:1024', '-nodes');
	make_certificate('short', 'ca', 'DNS:localhost', 2);
}
openssl('req', '-new', @new_key, '-subj', '/CN=below', '-keyout', "$dir/below.key", '-out', "$dir/below.csr");
append_to_file("$dir/below.ext", "basicConstraints=critical,CA:TRUE\n");
openssl('x509', '-req', '-in', "$dir/below.csr", '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-days', 2,
	'-extfile', "$dir/below.ext", '-out', "$dir/below.pem");
make_certificate('headless', 'below', 'DNS:localhost', 2);
append_to_file("$dir/$_->[0]", $_->[1])
  foreach [ 'index', '' ], [ 'serial', '1000' ], [ 'ca.conf', "[ca]\ndefault_ca=d\n[d]\ndatabase=$dir/index\nserial=$dir/serial\n"
	  . "new_certs_dir=$dir\ndefault_md=sha256\npolicy=p\nx509_extensions=e\nunique_subject=no\n[p]\ncommonName=supplied\n"
	  . "[e]\nsubjectAltName=DNS:localhost\n" ];

# Valid in other years.
foreach ([ 'expired', '2020', '2021' ], [ 'future', '2098', '2099' ])
{
	my ($name, $from, $to) = @$_;

	openssl('req', '-new', @new_key, '-subj', '/CN=localhost', '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
	openssl('ca', '-batch', '-config', "$dir/ca.conf", '-cert', "$dir/ca.pem", '-keyfile', "$dir/ca.key",
		'-startdate', "${from}0101000000Z", '-enddate', "${to}0101000000Z", '-in', "$dir/$name.csr", '-out', "$dir/$name.pem",
		'-notext');
}

# ---- the receiver ------------------------------------------------------------------------------------

my %servers = (
	good => ['good', 'ssl'],
	http2 => ['good', 'ssl http2'],
	modern => ['good', 'ssl http2'],
	expired => ['expired', 'ssl'],
	elsewhere => ['elsewhere', 'ssl'],
	wildcard => ['wildcard', 'ssl'],
	untrusted => ['untrusted', 'ssl'],
	subject => ['subject', 'ssl'],
	(map { $_ => [ $_, 'ssl' ] } 'alone', 'short', 'headless', 'future'),
	old => ['good', 'ssl', 'TLSv1 TLSv1.1'],
);
my %port;
my $conf = <<"END";
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
END
foreach my $name (sort keys %servers)
{
	my ($certificate, $how, $protocols) = @{ $servers{$name} };

	$port{$name} = PostgreSQL::Test::Cluster::get_free_port();
	$protocols //= 'TLSv1.2 TLSv1.3';
	$conf .= <<"END";
	server {
		listen 127.0.0.1:$port{$name} $how;
		ssl_certificate $dir/$certificate.pem;
		ssl_certificate_key $dir/$certificate.key;
		ssl_protocols $protocols;
		ssl_ciphers DEFAULT:\@SECLEVEL=0;
		location / { return 200 "\$server_protocol \$ssl_protocol \$http_x_task_attempt"; }
		location /empty { return 204; }
	}
END
}
append_to_file("$dir/nginx.conf", "$conf}\n");
$ENV{PATH} .= ':/usr/sbin';
my $nginx = IPC::Run::start([ 'nginx', '-e', "$dir/error.log", '-c', "$dir/nginx.conf" ],
	'<', \undef, '>', "$dir/nginx.out", '2>&1');
TaskqTest::wait_until('nginx', sub { return -s "$dir/nginx.pid" });

# ---- both senders ---------------------------------------------------------------------------------------

my $node = taskq_node('main', conf => "taskq.http_ca_file = '$dir/ca.pem'\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql(<<'END');
select taskq.create_retry_policy('once', max_attempts => 1);
select taskq.create_queue('inside', mode => 'push', retry => 'once');
select taskq.create_queue('outside', mode => 'push', retry => 'once', executor => 'external');
END
my $worker = TaskqTest::Worker->start($node, sql('select current_user'), '--ca-file', "$dir/ca.pem");

# What became of a request: the answer's body, or class and error.
sub outcome_of
{
	my ($queue, $server, $host, $path, $payload) = @_;
	my $url = 'https://' . ($host // 'localhost') . ":$port{$server}" . ($path // '/');
	my $id = sql("select taskq.submit_http('$url', '" . ($payload // '{}') . "', queue => '$queue', timeout => '10 s')");

	wait_query($node, 'postgres', "select ended_at is not null from taskq.tasks where id = $id");
	return sql("select coalesce((select class || ': ' || error from taskq.attempts where task_id = $id),"
		  . " (select convert_from(body, 'UTF8') from taskq.response($id)), 'nothing')");
}

foreach my $queue (qw(inside outside))
{
	is(outcome_of($queue, 'good'), 'HTTP/1.1 TLSv1.3 1', "$queue: a certificate of our authority");
	is(outcome_of($queue, 'good', '127.0.0.1'), 'HTTP/1.1 TLSv1.3 1', "$queue: for an address");
	is(outcome_of($queue, 'http2'), 'HTTP/1.1 TLSv1.3 1', "$queue: HTTP/1.1, also where HTTP/2 is offered");
	is(outcome_of($queue, 'http2', undef, '/', '"' . 'x' x 300_000 . '"'), 'HTTP/1.1 TLSv1.3 1', "$queue: a large body that is not read");
	is(outcome_of($queue, 'http2', undef, '/empty'), 'nothing', "$queue: 204");
	like(outcome_of($queue, 'expired'), qr/^tls: TLS: .*expired/, "$queue: an expired certificate");
	like(outcome_of($queue, 'elsewhere'), qr/^tls: TLS: .*(name|match)/, "$queue: for another host");
	like(outcome_of($queue, 'wildcard'), qr/^tls: TLS: .*(name|match)/, "$queue: for what is below the host");
	like(outcome_of($queue, 'untrusted'), qr/^tls: TLS: .*(issuer|self-signed)/, "$queue: of another authority");
	like(outcome_of($queue, 'subject'), qr/^tls: TLS: .*(name|match)/, "$queue: with the name in its subject alone");
	like(outcome_of($queue, 'alone'), qr/^tls: TLS: .*self-signed/, "$queue: signed by itself");
	like(outcome_of($queue, 'short'), qr/^tls: TLS: .*(key too (small|short|weak)|weak)/, "$queue: with a short key");
	like(outcome_of($queue, 'headless'), qr/^tls: TLS: .*issuer/, "$queue: of an authority that it does not send along");
	like(outcome_of($queue, 'future'), qr/^tls: TLS: .*not yet valid/, "$queue: not valid yet");
	like(outcome_of($queue, 'old'), qr/^tls: TLS: .*(version|alert|protocol)/, "$queue: TLS 1.1");
}
is( sql("select count(*) from taskq.attempts where class = 'tls' and first_byte is null and dns is not null"),
	'20', 'what has not come so far has no time');

# ---- HTTP/2 -------------------------------------------------------------------------------------------------

reconfigure($node, 'taskq.http2' => 'on');
undef $worker;
$worker = TaskqTest::Worker->start($node, sql('select current_user'), '--ca-file', "$dir/ca.pem", '--http2', 'on');
# A connection that is there is used on, whatever is spoken on it: this is another server.
wait_polls($node) for 1 .. 2;
foreach my $queue (qw(inside outside))
{
	is(outcome_of($queue, 'modern'), 'HTTP/2.0 TLSv1.3 1', "$queue: HTTP/2 where it is offered");
	is(outcome_of($queue, 'good'), 'HTTP/1.1 TLSv1.3 1', "$queue: HTTP/1.1 elsewhere");
	is(outcome_of($queue, 'modern', undef, '/', '"' . 'x' x 16_000 . '"'), 'HTTP/2.0 TLSv1.3 1', "$queue: a body that is not read");
	is(outcome_of($queue, 'modern', undef, '/', '"' . 'x' x 300_000 . '"'), 'HTTP/1.1 TLSv1.3 1', "$queue: a large one goes by HTTP/1.1");
	is(outcome_of($queue, 'modern', undef, '/empty'), 'nothing', "$queue: 204");
	like(outcome_of($queue, 'untrusted'), qr/^tls: TLS: .*(issuer|self-signed)/, "$queue: of another authority");
	sql("select taskq.submit_http('https://localhost:$port{modern}/', to_jsonb(repeat('x', 10000)), queue => '$queue') from generate_series(1, 1000)");
}
wait_query($node, 'postgres', "select count(*) = 0 from taskq.tasks where ended_at is null");
is(sql("select count(*) from taskq.tasks where state <> 'finished' and payload = to_jsonb(repeat('x', 10000))"), '0',
	'two thousand on few connections: all are answered');
my $last = sql("select max(taskq.submit_http('https://localhost:$port{modern}/empty', '{}', queue => queue))"
	  . " from (values ('inside'), ('outside')) q (queue), generate_series(1, 250)");
wait_query($node, 'postgres', "select count(*) = 0 from taskq.tasks where ended_at is null");
is( sql("select string_agg(distinct t.state || coalesce(' ' || a.class || ': ' || a.error, ''), ', ')"
	  . " from taskq.tasks t left join taskq.attempts a on a.task_id = t.id where t.id between $last - 499 and $last"),
	'finished', 'an answer that does not wait for the body is an answer');

# One that cuts its answers short.
my $peer = IPC::Run::start([ 'python3', 'test/lib/h2_peer.py', "$dir/h2_port", "$dir/good.pem", "$dir/good.key", 'short' ], '<', \undef);
TaskqTest::wait_until('the peer', sub { return -e "$dir/h2_port" });
$port{short_answers} = PostgreSQL::Test::Utils::slurp_file("$dir/h2_port");
$last = sql("select max(taskq.submit_http('https://localhost:$port{short_answers}/', to_jsonb(repeat('x', 16000)), queue => queue,"
	  . " timeout => '3 s')) from (values ('inside'), ('outside')) q (queue), generate_series(1, 20)");
wait_query($node, 'postgres', "select count(*) = 0 from taskq.tasks where ended_at is null");
is(sql("select count(*) from taskq.tasks where id between $last - 39 and $last and state = 'finished'"), '0',
	'half an answer is none');
cmp_ok(sql("select count(*) from taskq.attempts where task_id between $last - 39 and $last and class = 'reset'"), '>', 0,
	'but a connection that broke');
$peer->kill_kill;

reconfigure($node, 'taskq.http2' => 'off');
TaskqTest::wait_until('HTTP/1.1', sub { outcome_of('inside', 'modern') =~ m{^HTTP/1} });
pass('it takes a reload to end it');

# ---- other authorities ------------------------------------------------------------------------------------

reconfigure($node, 'taskq.http_ca_file' => '');
TaskqTest::wait_until('a refusal', sub { outcome_of('inside', 'good') =~ /^tls: / });
pass("the system's do not include ours, whatever connection stands");
reconfigure($node, 'taskq.http_ca_file' => "$dir/nowhere.pem");
TaskqTest::wait_until('another refusal', sub { outcome_of('inside', 'http2') =~ /^tls: / });
pass('a file that is not there has none');
reconfigure($node, 'taskq.http_ca_file' => "$dir/ca.pem");
TaskqTest::wait_until('an answer', sub { outcome_of('inside', 'good') =~ /^HTTP/ });
pass('it takes a reload to change it');

undef $worker;
$nginx->signal('TERM');
$nginx->finish;
$node->stop;
log_is_clean($node);
done_testing();
