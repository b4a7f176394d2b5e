# 030_secrets.pl
#		What a task carries, and what its peer answers, is nowhere but where it belongs:
#		not in the log at its most talkative, not in the statistics, errors or
#		notifications.
#
# The secrets come in by COPY, and statements name them by columns: what a client
# writes into its own statements is its own affair.

use strict;
use warnings FATAL => 'all';

use MIME::Base64 qw(encode_base64 decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use TaskqTest;

my $pgaudit = -e `pg_config --pkglibdir` =~ s/\n//r . '/pgaudit.so';
my $node = taskq_node('main', preload => 0, extension => 0, conf => <<'END' . ($pgaudit ? <<'END' : ''));
shared_preload_libraries = 'taskq, pg_stat_statements, auto_explain'
log_min_messages = debug5
log_statement = all
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_duration = on
log_lock_waits = on
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
auto_explain.log_analyze = on
track_activity_query_size = 10000
taskq.http_connect_timeout = '500 ms'
END
shared_preload_libraries = 'taskq, pg_stat_statements, auto_explain, pgaudit'
pgaudit.log = all
pgaudit.log_parameter = on
END
add_taskq($node, 'postgres');
$node->safe_psql('postgres', 'create extension pgaudit') if $pgaudit;
my $receiver = TaskqTest::Receiver->start;
# What a worker reports is what a client says: that it is not logged with all other parameters is the administrator's to say.
$node->safe_psql('postgres', 'create role sender login; alter role sender set log_parameter_max_length = 0; alter role sender set log_parameter_max_length_on_error = 0; ' . ($pgaudit ? 'alter role sender set pgaudit.log_parameter = off; ' : '')
	  . ($node->pg_version >= 16 ? 'alter role sender set auto_explain.log_parameter_max_length = 0; ' : '') . 'grant taskq_worker to sender');
my $worker = TaskqTest::Worker->start($node, 'sender');
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql(<<'END');
create extension pg_stat_statements;
select taskq.create_retry_policy('twice', 'fixed', '20 ms', jitter => 0, max_attempts => 2);
select taskq.create_queue('inside', mode => 'push', retry => 'twice');
select taskq.create_queue('outside', mode => 'push', retry => 'twice', executor => 'external');
create table planted (url text, headers jsonb, payload jsonb, body text, error text, key text, secret text);
END
my $refused = 'http://127.0.0.1:' . TaskqTest::refused_port() . '/';
my @urls = ((map { $receiver->url($_) } '/echo', '/fail/1', '/status/500', '/status/410', '/nothing', '/reset', '/garbage', '/half',
		'/raw/escapes', '/headers/1000', '/status/302'),
	$refused, 'http://169.254.169.254/', 'http://no-such-host.invalid/', 'https://127.0.0.1:' . $receiver->port . '/');
my $n = 0;
foreach my $url (@urls)
{
	append_to_file("$dir/planted", join("\t", "$url?key=S3CR3T_URL", '{"Authorization": "Bearer S3CR3T_HEADER"}', '{"card": "S3CR3T_PAYLOAD"}',
			'S3CR3T_BODY', 'S3CR3T_ERROR', 'k' . $n++, 'whsec_' . encode_base64('S3CR3T_KEY_OF_AN_ENDPOINT', '')) . "\n");
}
sql("copy planted from '$dir/planted'");

# ---- what sessions can see of others, all the time ------------------------------------------------

my $parent = $$;
my $watcher = fork() // die "could not fork: $!";
if ($watcher == 0)
{
	my $session = $node->background_psql('postgres');
	my $seen = '';
	$session->query_safe('set auto_explain.log_min_duration = -1');
	while (getppid() == $parent && !-e "$dir/stop")
	{
		$seen .= $session->query_safe("select query, application_name from pg_stat_activity where pid <> pg_backend_pid() and query ~ ('S3CR' || '3T')");
		$seen .= join ' ', map { eval { slurp_file($_) } // '' } glob('/proc/[0-9]*/cmdline');
		usleep(5000);
	}
	$session->quit;
	append_to_file("$dir/seen.new", join(' ', $seen =~ /(S3CR3T\w*)/g));
	rename("$dir/seen.new", "$dir/seen");
	require POSIX;
	POSIX::_exit(0);
}

# ---- lives of tasks -----------------------------------------------------------------------------------

my $listener = $node->background_psql('postgres');
$listener->query_safe('listen taskq_default; listen taskq_inside; listen taskq_outside; listen taskq_endpoint');
foreach my $queue ('inside', 'outside')
{
	sql("select taskq.submit_http(url, payload, headers => headers, queue => '$queue', key => key, timeout => '700 ms') from planted");
	sql("select taskq.submit_http(url, body => convert_to(body, 'UTF8'), headers => headers, queue => '$queue', timeout => '700 ms') from planted");
}
# An endpoint, to which all sorts of arguments are given.
sql("select taskq.create_endpoint('endpoint', '" . $receiver->url('') . "', headers => headers, secret => secret, retry => 'twice') from planted limit 1");
sql("select taskq.alter_endpoint('endpoint', headers => headers, secret => secret) from planted limit 1");
sql("select taskq.rotate_secret('endpoint', secret) ~ 'whsec' from planted limit 1");
# The same by a document, also once more, when the secrets are compared.
my $document = "jsonb_build_object('endpoints', jsonb_build_object('applied', jsonb_build_object('url', 'http://192.0.2.1/', 'headers', headers, 'secret', secret)))";
is(sql("select count(*) from (select * from planted limit 1) p, taskq.apply_config($document)"), $_, 'apply_config()') foreach 1, 0;
sql("select taskq.submit_http(endpoint => 'endpoint', path => path || substr(url, strpos(url, '?')), payload => payload)"
	  . " from planted, unnest(array['/ok', '/fail/1', '/status/404']) path where key = 'k0'");
# A secret that was made inside the server.
my $made = sql("select taskq.rotate_secret('endpoint')");
my $made_bytes = unpack('H*', decode_base64($made =~ s/^whsec_//r));
sql("select taskq.rotate_secret('endpoint', secret) ~ 'whsec' from planted limit 1");
sql('create role auditor; grant pg_read_all_data to auditor');
is(sql('set role auditor; select count(*) from taskq_private.endpoint_secret'), '0', 'pg_read_all_data does not read secrets');
cmp_ok(sql('select count(*) from taskq_private.endpoint_secret'), '>', 0, 'which are there');
# Refusals.
foreach my $call ('taskq.submit_http(url, headers => jsonb_build_object(\'Host\', headers))', 'taskq.submit_http(url, headers => jsonb_build_array(headers))',
	"taskq.submit_http(url || E'\\n', payload)", "taskq.submit_http(url, payload, headers => jsonb_build_object('X', secret || E'\\n'))",
	"taskq.submit_http(url, payload, priority => 99)", "taskq.submit('default', payload, on_duplicate => 'raise', key => repeat(secret, 100))",
	"taskq.create_endpoint('bad', url, headers => headers)", "taskq.create_endpoint('bad', 'http://a.example/', secret => 'x' || secret)",
	"taskq.verify_signature('x' || secret, headers, convert_to(body, 'UTF8'))", "taskq.rotate_secret('endpoint', 'x' || secret)",
	"taskq.apply_config(jsonb_set($document, '{endpoints, applied, secret}', to_jsonb('x' || secret)))",
	"taskq.apply_config(jsonb_set($document, '{endpoints, applied, rate}', '-1'))")
{
	my ($status) = $node->psql('postgres', "select $call from planted limit 1");
	isnt($status, 0, 'refused: ' . substr($call, 0, 60));
}
# Workers.
sql("select taskq.submit('default', payload, max_attempts => 1) from planted limit 5");
sql("select taskq.fail(a.id, a.token, p.error, to_jsonb(p.error)) from taskq.acquire('default', 3) a, (select * from planted limit 1) p");
sql("select taskq.finish(a.id, a.token, p.payload) from taskq.acquire('default', 1) a, (select * from planted limit 1) p");
sql("select taskq.progress(a.id, a.token, 0.5, p.error) from taskq.acquire('default', 1) a, (select * from planted limit 1) p");
# The writing of results fails at first.
my $lock = $node->background_psql('postgres');
$lock->query_safe('begin; lock table taskq_private.attempt in exclusive mode');
wait_polls($node);
$lock->query_safe('commit');
$lock->quit;
wait_query($node, 'postgres', "select count(*) = 0 from taskq.tasks where ended_at is null and queue in ('inside', 'outside', 'endpoint')");
sql("select count(taskq.retry(id)) from taskq.tasks where state = 'dead' and queue <> 'default'");
wait_query($node, 'postgres', "select count(*) = 0 from taskq.tasks where ended_at is null and queue in ('inside', 'outside', 'endpoint')");
sql('select * from taskq.status()');

# ---- nothing is anywhere ------------------------------------------------------------------------------

append_to_file("$dir/stop", '');
waitpid($watcher, 0);
is(slurp_file("$dir/seen"), '', 'no query, application name or command line tells a secret');
my $marks = 'S3CR3T|' . substr(encode_base64('S3CR3T_KEY_OF_AN_ENDPOINT', ''), 0, 20) . '|' . unpack('H*', 'S3CR3T');
is(join(' ', map { /^.*?($marks).*$/o ? substr($_, 0, 300) : () } split /\n/, log_since($node)), '',
	'nor does the log, at debug5');
unlike(log_since($node), qr/\Q$made\E|$made_bytes/, 'nor does it tell a secret that rotate_secret() made');
SKIP:
{
	skip 'without pgaudit', 1 unless $pgaudit;
	isnt(scalar(grep { /AUDIT: SESSION.*from planted/ } split /\n/, log_since($node)), 0, 'pgaudit sees the statements of clients');
}
# auto_explain would log parameters since PostgreSQL 16, so it must not see taskq's own statements.
my $executor = wait_executor($node);
my @explained = log_since($node) =~ /^(.* plan:\n.*)$/mg;
isnt(scalar(grep { /from planted/ } @explained), 0, 'auto_explain sees the statements of clients');
is(join("\n", grep { /taskq_private\.(create|alter|own|set)_endpoint|taskq_private\.rotate_secret|\[$executor\]/ } @explained), '', 'and none of taskq\'s own');
unlike($worker->log, qr/$marks/, 'nor the worker\'s');
is(sql("select count(*) from pg_stat_statements where query ~ '$marks'"), '0', 'nor the statistics of statements');
is(sql("select count(*) from taskq.attempts where concat(error, class, worker) ~ '$marks' and error <> (select error from planted limit 1)"), '0',
	'nor an error');
is(sql("select count(*) from taskq.attempts where detail::text ~ '$marks' and class is not null"), '0', 'nor a detail of an exchange');
is(sql("select count(*) from taskq.status() s where s::text ~ '$marks'"), '0', 'nor status()');
is(sql("select count(*) from pg_stats s where s::text ~ '$marks' and schemaname = 'taskq_private' and tablename in ('endpoint', 'endpoint_secret')"), '0',
	'nor the planner\'s statistics');
my $notified = $listener->query('select 1');
like($notified, qr/Asynchronous notification/, 'sessions were notified');
unlike($notified, qr/$marks/, 'without a word of it');
$listener->quit;
cmp_ok(sql("select count(*) from taskq.tasks where url ~ 'S3CR3T'"), '>', 50, 'where it belongs it is');
cmp_ok(scalar(grep { ($_->{headers}{authorization} // '') =~ /S3CR3T_HEADER/ } $receiver->requests), '>', 20, 'and the receiver gets it');

undef $worker;
$node->stop;
done_testing();
