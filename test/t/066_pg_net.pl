# 066_pg_net.pl
#		taskq_net: the functions, views and types of pg_net over taskq.  What calls pg_net is not
#		changed, and what it sends is not lost.

use strict;
use warnings FATAL => 'all';

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# By a role that has no more than net.allow() gives.
sub app
{
	return sql("set role app; $_[0]");
}

# The message of the error of a statement of that role.
sub error
{
	my (undef, undef, $stderr) = $node->psql('postgres', "set role app; $_[0]");

	return $stderr =~ s/\A.*?ERROR:  //sr;
}

# Waits until a request has ended, and returns its answer.
sub answer
{
	my ($id) = @_;

	app("select net._await_response($id)");
	return app("select status_code, content_type, content, timed_out, error_msg from net._http_response where id = $id");
}

sub request
{
	my ($path) = @_;

	return ($receiver->wait_requests(1, $path))[0];
}

sql('create extension taskq_net');
sql('create role app login; create role other login');

# ---- who may -----------------------------------------------------------------------------

my $url = $receiver->url('');
like(error("select net.http_get('$url/ok')"), qr/^role "app" may not send requests\n.*\n.*net\.allow\('app'\)/, 'nobody may at first, and is told why');
sql("select net.allow('app')");
is(sql("select mode, retry, keep_finished, keep_dead from taskq.queues where queue = 'net'"), 'push|none|06:00:00|06:00:00',
	'allow() makes the queue, as pg_net is: one try, six hours');
sql("select net.allow('app')");
pass('once more does no harm');
my (undef, undef, $refused) = $node->psql('postgres', "set role other; select net.http_get('$url/ok')");
like($refused, qr/role "other" may not send requests/, 'others may not');

# ---- requests ------------------------------------------------------------------------------

my $get = app("select net.http_get('$url/echo/get?a=1#part', '{\"q\": \"x y\", \"ü\": \"&=\", \"none\": null}', "
	  . "'{\"X-One\": \"1\", \"User-Agent\": \"mine\", \"X-Null\": null}')");
is(answer($get), '200|||f|', 'a GET is answered');
is(request('/echo/get')->{path}, '/echo/get?a=1&q=x%20y&%C3%BC=%26%3D&none=', 'its parameters stand in the query, before the fragment');
is(request('/echo/get')->{headers}{'x-one'}, '1', 'it has its header');
like(request('/echo/get')->{headers}{'user-agent'}, qr/taskq/, 'User-Agent is taskq\'s');

my $post = app("select net.http_post('$url/echo/post', '{\"a\": [1, 2]}', headers => '{\"content-type\": \"application/json\", \"X-Two\": \"2\"}')");
is(answer($post), '200||{"a": [1, 2]}|f|', 'a POST sends its body');
is(request('/echo/post')->{method} . request('/echo/post')->{headers}{'content-type'}, 'POSTapplication/json', 'as JSON');
is(request('/echo/post')->{headers}{'x-two'}, '2', 'with its headers');
is(answer(app("select net.http_post('$url/echo/default')")), '200||{}|f|', 'the default body is {}');
is(error("select net.http_post('$url/ok', headers => '{\"Content-Type\": \"text/plain\"}')") =~ s/\n.*//sr,
	'Content-Type header must be "application/json"', 'another content type is refused as pg_net refuses it');

is(answer(app("select net.http_delete('$url/echo/gone', body => '{\"b\": 1}')")), '200||{"b": 1}|f|',
	'a DELETE may have a body');
is(answer(app("select net.http_delete('$url/echo/bare')")), '200|||f|', 'and need not');
is(request('/echo/gone')->{method}, 'DELETE', 'it is a DELETE');

# ---- what became of them ---------------------------------------------------------------------

like(answer(app("select net.http_get('$url/ok/type')")), qr/^200\|application\/json\|\{/, 'content_type');
is(answer(app("select net.http_get('$url/status/404')")) =~ s/\|.*//sr, '404', 'an answer is an answer, whatever its status');
is(scalar($receiver->requests('/status/404')), 1, 'sent once');
my $late = app("select net.http_get('$url/hang', timeout_milliseconds => 200)");
is(answer($late), '|||t|no complete answer in time', 'timed_out');
my $port = refused_port();
my $dead = app("select net.http_get('http://127.0.0.1:$port/')");
like(answer($dead), qr/^\|\|\|f\|could not connect/, 'no connection');
like(answer(app("select net.http_get('$url/nul')")), qr/\\000/, 'a body that is no text is shown, and breaks nothing');

is(app("select (r).status, (r).message, ((r).response).status_code, ((r).response).body from net._http_collect_response($post, false) r"),
	'SUCCESS|ok|200|{"a": [1, 2]}', '_http_collect_response()');
is(app("select (r).status, (r).message from net._http_collect_response($late) r"), 'ERROR|no complete answer in time', 'of one that failed');
is(app('select (r).status, (r).message from net._http_collect_response(0) r'), 'ERROR|request matching request_id not found',
	'of one that is not known');

my $hung = app("select net.http_post('$url/hang', '{\"h\": 1}', headers => '{\"Authorization\": \"Bearer secret\"}', timeout_milliseconds => 60000)");
request('/hang');
is(app("select method, url, headers, convert_from(body, 'UTF8') from net.http_request_queue where id = $hung"), "POST|$url/hang||{\"h\": 1}",
	'http_request_queue shows what has not ended, without its headers');
(undef, undef, $refused) = $node->psql('postgres', 'set role other; select * from net.http_request_queue');
like($refused, qr/permission denied/, 'who may not send does not see it');
sql("select taskq.cancel($hung)");
like(answer($hung), qr/^\|\|\|f\|/, 'what was cancelled has ended');

# ---- a trigger, as those who use pg_net write them ---------------------------------------------

sql(q{
	create table orders (id int primary key, total numeric);
	grant all on orders to app;
	create function tell() returns trigger language plpgsql as $$
	begin
		perform net.http_post(url => tg_argv[0], body => jsonb_build_object('type', tg_op, 'table', tg_table_name, 'record', new,
			'old_record', old), headers => '{"Content-type": "application/json"}'::jsonb, timeout_milliseconds => 1000);
		return new;
	end $$;
});
sql("create trigger hook after insert or update on orders for each row execute function tell('$url/ok/hook')");
app('begin; insert into orders values (1, 10); rollback');
app('insert into orders values (2, 20)');
my ($hook) = $receiver->wait_requests(1, '/ok/hook');
is_deeply(decode_json($hook->{body}), { type => 'INSERT', table => 'orders', record => { id => 2, total => 20 }, old_record => undef },
	'a trigger calls net.http_post()');
is(scalar($receiver->requests('/ok/hook')), 1, 'what is rolled back sends nothing');

# ---- what pg_net does not do ---------------------------------------------------------------------

sql("select taskq.stop_executor()");
like(error('select net.check_worker_is_up()'), qr/^the process that sends the requests is not up/, 'check_worker_is_up() when it is not');
my $kept = app("select net.http_get('$url/ok/kept')");
kill_server($node);
$node->start;
app('select net.wait_until_running(), net.check_worker_is_up(), net.wake()');
like(answer($kept), qr/^200/, 'a request survives the death of the server');

sql("select taskq.create_retry_policy('soon', 'fixed', '20 ms', jitter => 0, max_attempts => 3)");
sql("select taskq.alter_queue('net', retry => 'soon')");
my $again = app("select net.http_get('$url/fail/1')");
like(answer($again), qr/^200/, 'one line makes the requests durable: they are tried again');
is(scalar($receiver->requests('/fail/1')), 2, 'a second time');
is(sql('select net.worker_restart()'), 't', 'worker_restart()');

# ---- dump, restore, drop -----------------------------------------------------------------------------

my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'a dump');
sql('create database copy');
command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ], 'is restored without an error');
is($node->safe_psql('copy', "set role app; select content from net._http_response where id = $post"), '{"a": [1, 2]}',
	'the answers are there, and whoever could read them');

sql('drop extension taskq_net cascade');
is(sql("select count(*) from pg_namespace where nspname = 'net'"), '0', 'nothing is left of schema net');
is(sql("select mode from taskq.queues where queue = 'net'"), 'push', 'the queue and what waits in it stay');
log_is_clean($node);

done_testing();
