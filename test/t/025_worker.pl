# 025_worker.pl
#		taskq-worker: sends what is not the executor's, and survives what happens
#		to it, to the database and to the receiver.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub submit
{
	my ($path, $more) = @_;
	my $url = $receiver->url($path);

	return sql("select taskq.submit_http('$url', '{\"n\": 1}', queue => 'outside'" . ($more ? ", $more" : '') . ')');
}

sub failures_of
{
	my ($id) = @_;

	return sql("select string_agg(concat_ws(':', attempt, class, status), ' ' order by attempt)"
		  . " from taskq.attempts where task_id = $id");
}

sql(<<'EOS');
select taskq.create_retry_policy('twice', backoff => 'fixed', base => '50 ms', jitter => 0, max_attempts => 2);
select taskq.create_queue('outside', mode => 'push', executor => 'external', retry => 'twice', lease_for => '2 s');
create role sender login;
select taskq.grant_queue('outside', 'sender', '{work}');
EOS

# ---- options ---------------------------------------------------------------------------------

sub run_worker
{
	my ($stdout, $stderr);
	my $ok = IPC::Run::run([ 'build/worker/taskq-worker', @_ ], '>', \$stdout, '2>', \$stderr);

	return ($? >> 8, $stdout, $stderr);
}

my ($status, $stdout, $stderr) = run_worker('--help');
is($status, 0, '--help');
like($stdout, qr/^Usage: taskq-worker/m, 'says how');
my %told = map { $_ => 1 } $stdout =~ /^  (--[a-z-]+)/mg;
my %described = map { s/\\//gr => 1 } slurp_file('worker/taskq-worker.1') =~ /^\.BI? "?(\\-\\-[a-z\\-]+)/mg;
is(join(' ', sort keys %described), join(' ', sort keys %told), 'the manual describes the same options');
($status, $stdout) = run_worker('--version');
like($stdout, qr/^taskq-worker \d+(?:\.\d+)+\n\z/, '--version');
foreach my $case (
	[[], '--database is missing'],
	[[ '--database', 'x', '--max-inflight', '0' ], 'max-inflight: "0" is not a number from 1 to 1000'],
	[[ '--database', 'x', '--allow', '10.0.0.0/33' ], 'allow: "10.0.0.0/33" has a bad prefix length'],
	[[ '--database', 'x', '--config', '/nowhere' ], '/nowhere: No such file or directory'],
	[[ '--database', 'x', 'y' ], '"y" is not an option'])
{
	my ($arguments, $error) = @$case;
	($status, $stdout, $stderr) = run_worker(@$arguments);
	is($status, 2, "$error: status 2");
	is((split /\n/, $stderr)[0], "taskq-worker: $error", 'and one line');
}

# ---- what is wrong at the start, and when it is tried again --------------------------------------

my $local = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=sender';
my $nowhere = 'host=127.0.0.1 port=' . TaskqTest::refused_port() . ' dbname=postgres';

($status, $stdout, $stderr) = run_worker('--database', $nowhere, '--once');
is($status, 1, '--once: a server that is not there ends it');
like($stderr, qr/^taskq-worker: cannot connect: .*refused|^taskq-worker: cannot connect: connection to server/, 'and it says why');
($status, $stdout, $stderr) = run_worker('--database', $local, '--queue', 'outside', '--queue', 'outsid', '--once');
is($status, 1, '--once: so does a queue that is not there');
like($stderr, qr/^taskq-worker: cannot serve --queue outsid: there is no such queue, .* work on it$/m, 'it names the queue');
unlike($stderr, qr/--queue outside:/, 'and no other');

my $waiting = TaskqTest::Worker->start($node, 'sender', '--queue', 'later', '--poll-interval', '50');
$waiting->wait_log(qr/cannot serve --queue later: .*; it is looked for with every poll$/m);
sql("select taskq.create_queue('later', mode => 'push', executor => 'external'); select taskq.grant_queue('later', 'sender', '{work}')");
my $later = sql("select taskq.submit_http('" . $receiver->url('/ok/later') . "', queue => 'later')");
wait_state($node, $later, 'finished');
pass('without --once it is served as soon as it is there');
undef $waiting;
sql("select taskq.revoke_queue('later', 'sender', '{work}')");

# ---- delivery --------------------------------------------------------------------------------

my $id = submit('/ok');
my $inside = sql("select taskq.submit_http('" . $receiver->url('/ok/inside') . "')");
wait_state($node, $inside, 'finished');
is(sql("select state from taskq.tasks where id = $id"), 'pending', 'the executor leaves external tasks alone');

my $worker = TaskqTest::Worker->start($node, 'sender', '--name', 'w1', '--max-response', '100', '--stop-timeout', '100');
wait_state($node, $id, 'finished');
my ($request) = grep { $_->{headers}{'x-task-id'} eq $id } $receiver->requests;
is($request->{headers}{'x-task-queue'}, 'outside', 'a worker sends it');
like($request->{headers}{'user-agent'}, qr{^taskq/}, 'as the executor does');
is($request->{body}, '{"n": 1}', 'with its payload');
is(sql("select status from taskq.response($id)"), '200', 'and the answer is kept');
is($worker->log, "taskq-worker: connected to database: postgres\n", 'one line a change of state');

my $start = time();
wait_state($node, submit('/ok/woken'), 'finished') for 1 .. 5;
$start = time() - $start;
note(sprintf('five tasks one after the other: %.2f s', $start));

$id = submit('/fail/1');
wait_state($node, $id, 'finished');
is(failures_of($id), '1:http:500', 'a failure is tried again');
$id = submit('/nothing');
wait_state($node, $id, 'dead');
is(failures_of($id), '1:http:404 2:http:404', 'up to the policy');
$id = submit('/hang', "timeout => '300 ms'");
wait_state($node, $id, 'dead');
is(failures_of($id), '1:timeout 2:timeout', 'timeout');
$id = submit('/garbage');
wait_state($node, $id, 'dead');
is(failures_of($id), '1:protocol 2:protocol', 'no HTTP');
$id = sql("select taskq.submit_http('http://169.254.169.254/', queue => 'outside')");
wait_state($node, $id, 'dead');
is(failures_of($id), '1:egress_denied', 'an address that is not allowed');
is(sql("select dns is not null and elapsed > '0' from taskq.attempts where task_id = $id limit 1"), 't', 'times are kept');

$id = submit('/hang', "timeout => '1 minute'");
$receiver->wait_requests(1, '/hang');
wait_state($node, $id, 'running');
is(sql("select worker from taskq.workers where queue = 'outside'"), 'w1', 'taskq.workers shows its name');
sql("select taskq.cancel($id, 'enough')");
wait_state($node, $id, 'cancelled');
pass('a cancelled task is given up');

my @ids = map { submit('/ok/many') } 1 .. 20;
push @ids, split /\n/, sql("select taskq.submit_http('" . $receiver->url('/ok/many') . "', queue => 'outside') from generate_series(1, 500)");
wait_query($node, 'postgres', "select count(*) = 520 from taskq.tasks where id in (" . join(',', @ids) . ") and state = 'finished'");
is(scalar(my @sent = $receiver->requests('/ok/many')), 520, '520 tasks, each sent once');

# ---- the database goes away --------------------------------------------------------------------

# The lease lasts as long as a restart may take.
sql("select taskq.alter_queue('outside', lease_for => '1 min')");
$id = submit('/slow/1500');
$receiver->wait_requests(1, '/slow/1500');
# A crash may undo a claim of which the log has not reached the disk yet: this commit waits for it.
sql('create table flushed ()');
$node->stop('immediate');
$worker->wait_log(qr/connection lost/);
$node->start;
$worker->wait_log(qr/connection lost.*connected to database/s);
wait_state($node, $id, 'finished');
is(scalar(my @slow = $receiver->requests('/slow/1500')), 1, 'a result that came while the database was down is reported');
sql("select taskq.alter_queue('outside', lease_for => '2 s')");
is(sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'sender'"), '1', 'it has one session');
wait_state($node, submit('/ok/again'), 'finished');
pass('and works on after that was ended');

# ---- ends ------------------------------------------------------------------------------------------

$id = submit('/hang/drain', "timeout => '1 minute', max_attempts => 5");
$receiver->wait_requests(1, '/hang/drain');
$worker->signal('TERM');
is($worker->wait_end, 0, 'SIGTERM: it ends with status 0');
is(sql("select state, attempt from taskq.tasks where id = $id"), 'pending|1', 'the attempt has failed, and its task is due');
like($worker->log, qr/taskq-worker: stopped\n\z/, 'it says so');

$worker = TaskqTest::Worker->start($node, 'sender', '--queue', 'outside');
$receiver->wait_requests(2, '/hang/drain');
kill_process($worker->pid);
$worker->wait_end;
my $other = TaskqTest::Worker->start($node, 'sender', '--queue', 'outside');
$receiver->wait_requests(3, '/hang/drain');
is(failures_of($id), '1:stopped 2:lease_lost', 'kill -9: the task runs again when its lease has run out');
sql("select taskq.cancel($id)");
wait_state($node, $id, 'cancelled');

# A second signal while the database does not answer.
my $lock = $node->background_psql('postgres');
$id = submit('/slow/700');
$receiver->wait_requests(1, '/slow/700');
$lock->query_safe("begin; lock table taskq_private.lease in access exclusive mode");
$other->signal('TERM');
wait_query($node, 'postgres',
	"select count(*) > 0 from pg_stat_activity where usename = 'sender' and wait_event_type = 'Lock'");
$other->signal('TERM');
is($other->wait_end, 143, 'a second signal ends it at once');
$lock->query_safe('rollback');
$lock->quit;

# ---- functions before and after --------------------------------------------------------------------

sql(q{create schema app;
	create table app.seen (at serial, what text);
	grant usage on schema app to sender;
	grant insert on app.seen to sender;
	grant usage on all sequences in schema app to sender;
	create function app.before(task jsonb) returns boolean language plpgsql as $$ begin
		insert into app.seen (what) values ('before ' || (task ->> 'method') || ' ' || (task ->> 'body'));
		if task ->> 'url' like '%error' then raise 'not today'; end if;
		return task ->> 'url' not like '%skipped'; end $$;
	create function app.after(task jsonb, outcome jsonb) returns void language plpgsql as $$ begin
		insert into app.seen (what) values ('after ' || (task ->> 'method') || ' ' || outcome::text);
		if task ->> 'url' like '%after' then raise 'broken'; end if; end $$});
sub seen
{
	return sql("select string_agg(what, ' | ' order by at) from app.seen");
}
$worker = TaskqTest::Worker->start($node, 'sender', '--queue', 'outside', '--before', 'app.before', '--after', 'app.after');
wait_state($node, submit('/ok/hooks'), 'finished');
is(seen(), 'before POST {"n": 1} | after POST {"class": "http", "error": null, "status": 200, "outcome": "finished"}', 'functions before and after');
wait_state($node, submit('/ok/skipped'), 'finished');
is(scalar(my @skipped = $receiver->requests('/ok/skipped')), 0, 'false: it counts as done and is not sent');
$id = submit('/ok/error', 'max_attempts => 1');
wait_state($node, $id, 'dead');
is(sql("select class || ' ' || error from taskq.attempts where task_id = $id"), 'before a function before failed: not today', 'an error fails the attempt');
is(scalar(@skipped = $receiver->requests('/ok/error')), 0, 'and nothing is sent');
wait_state($node, submit('/ok/after'), 'finished');
unlike(seen(), qr/after POST.*after POST/, 'what a function after did before its error is undone');
$worker->wait_log(qr/a function after failed, the outcome is reported without it/);
$id = submit('/status/500', 'max_attempts => 1');
wait_state($node, $id, 'dead');
like(seen(), qr/after POST \{"class": "http", "error": .*"status": 500, "outcome": "failed"\}$/, 'an outcome that is a failure');
undef $worker;

# ---- rights -----------------------------------------------------------------------------------------

sql("create role stranger login; grant usage on schema taskq_private to stranger");
$worker = TaskqTest::Worker->start($node, 'stranger');
TaskqTest::wait_until('three attempts', sub {
	return 3 <= (() = log_since($node, 0) =~ /ERROR:  permission denied for function/g);
});
$worker->wait_log(qr/permission denied for function/);
is($worker->log =~ tr/\n//, 1, 'without the right to work it says why, once for all attempts');
undef $worker;

$node->stop;
done_testing();
