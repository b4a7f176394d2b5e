# 052_cli_worker.pl
#		taskq work: a command for each task, commands that stay, and what becomes of
#		tasks and processes when either is killed.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

# Tasks that go through --lines while processes are killed: see suites.sh.
my $ledger_tasks = $ENV{TASKQ_KILLS} ? 50_000 : 2_000;
my $kill_each = $ENV{TASKQ_KILLS} ? 1_000 : 200;

my $node = taskq_node('main');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $database = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';

delete $ENV{$_} foreach grep { /^TASKQ_/ } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;
$ENV{TASKQ_DATABASE} = $database;
$ENV{PATH} = "$ENV{PWD}/build/cli:$ENV{PATH}";

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Runs taskq; returns status, output, errors.
sub taskq
{
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ 'build/cli/taskq', @_ ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# A worker that runs on.
sub worker
{
	return TaskqTest::Worker->start_program('build/cli/taskq', 'work', @_);
}

sub submit
{
	my ($payload, $more) = @_;

	return sql("select taskq.submit('work', ($payload)::text::jsonb" . (defined $more ? ", $more" : '') . ')');
}

# Does one task; returns its id, the exit status and what the worker said.
sub one
{
	my ($payload, $more, @arguments) = @_;
	my $id = submit($payload, $more);
	my ($status, $stdout, $stderr) = taskq('work', 'work', '--once', @arguments);

	return ($id, $status, $stderr, $stdout);
}

# One test: the result of a task done by a command.
sub result_is
{
	my ($name, $payload, $more, $arguments, $expected) = @_;
	my ($id, $status, $stderr) = one($payload, $more, @$arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql("select state || ' ' || coalesce(result::text, 'NULL') from taskq.result($id)"), "finished $expected", $name)
	  or diag($stderr);
	return;
}

# One test: state, class and error of a task whose command fails.
sub failure_is
{
	my ($name, $arguments, $expected, $status) = @_;
	my ($id, $got, $stderr) = one(1, undef, @$arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql("select state || ' ' || coalesce(class, '-') || ' ' || a.error from taskq.tasks t join taskq.attempts a on t.id = a.task_id where t.id = $id"),
		$expected, $name) or diag($stderr);
	is($got, $status // 0, "$name: exit status");
	sql("select taskq.cancel($id)");
	return $id;
}

sub mistake
{
	my ($name, $arguments, $status, $message) = @_;
	my ($got, undef, $stderr) = taskq('work', @$arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($got, $status, "$name: status");
	like($stderr, $message, $name);
	return;
}

# Writes an executable file.
sub script
{
	my ($name, $text) = @_;

	open(my $file, '>', "$dir/$name") or die;
	print $file $text;
	close($file);
	chmod 0755, "$dir/$name";
	return "$dir/$name";
}

# The process whose number a command has written, once it is there.
sub pid_in
{
	my ($name) = @_;

	return wait_until("a process id in $name", sub {
		return -s "$dir/$name" && slurp_file("$dir/$name") =~ /^(\d+)\n/ ? $1 : 0;
	});
}

# Whether a process is gone or a zombie.
sub is_dead
{
	my ($pid) = @_;

	open(my $stat, '<', "/proc/$pid/stat") or return 1;
	my $line = <$stat> // '';
	return $line eq '' || $line =~ /\) Z /;
}

sub wait_dead
{
	my ($pid, $what) = @_;

	wait_until("end of $what", sub { return is_dead($pid) });
	pass("$what is gone");
	return;
}

sub state_of
{
	my ($id) = @_;

	return sql("select state || ' ' || attempt from taskq.tasks where id = $id");
}

sql("select taskq.create_queue('work', lease_for => '1 min', retry => 'default', keep_payload => true)");
sql("select taskq.create_retry_policy('soon', backoff => 'fixed', base => '10 ms')");

# ---- what a command gets, and what its end means ------------------------------------------------------------

result_is('cat', q('{"to": "ada", "n": 1.50}'), undef, [ '--id', 'none', '--', 'cat' ], '{"n": 1.50, "to": "ada"}');
result_is('text as a result', 1, undef, [ '--', 'sh', '-c', 'echo hello' ], '"hello\n"');
result_is('no output', 1, undef, [ '--', 'true' ], 'NULL');
result_is('--result text', 1, undef, [ '--result', 'text', '--', 'sh', '-c', 'printf 1' ], '"1"');
result_is('--result none', 1, undef, [ '--result', 'none', '--', 'echo', 'x' ], 'NULL');
result_is('--stdin text', q('"a\"b"'), undef, [ '--stdin', 'text', '--id', 'none', '--', 'cat' ], '"a\"b"');
result_is('--stdin none', 1, undef, [ '--stdin', 'none', '--id', 'none', '--', 'cat' ], 'NULL');
result_is('--stdin task', q('{"a": [1]}'), q(kind => 'a"b'),
	[ '--stdin', 'task', '--result', 'json', '--id', 'none', '--', 'sed', 's/.*"kind":\("a\\\\"b"\).*"payload":\(.*\)}/[\1,\2]/' ], '["a\"b", {"a": [1]}]');
result_is('--id key', 1, q(key => 'with "quotes" and blanks'), [ '--id', 'key', '--', 'printf', '%s' ], '"with \"quotes\" and blanks"');
result_is('environment', 1, q(key => 'k'), [ '--env', 'OWN=a b', '--', 'sh', '-c',
	'echo "$TASKQ_QUEUE $TASKQ_KEY $TASKQ_ATTEMPT ${TASKQ_KIND-none} $TASKQ_REPLY_FD $OWN ${TASKQ_TOKEN:+token}"' ],
	'"work k 1 none 3 a b token\n"');
my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my @say_trace = ('--', 'sh', '-c', 'echo "${TRACEPARENT-none} ${TASKQ_TRACE-none} ${TRACESTATE-none}"');
result_is('a trace', 1, "trace => '$trace'", \@say_trace, "\"$trace none none\\n\"");
result_is('a trace in the object', 1, "trace => '$trace'",
	[ '--stdin', 'task', '--id', 'none', '--', 'sed', 's/.*"lease_until":"[^"]*","trace":"\([^"]*\)".*/"\1"/' ], "\"$trace\"");
result_is('none in the object', 1, undef, [ '--stdin', 'task', '--id', 'none', '--', 'sed', 's/.*"trace":\(null\),"payload".*/"\1"/' ], '"null"');
{
	local ($ENV{TRACEPARENT}, $ENV{TASKQ_TRACE}, $ENV{TRACESTATE}) = ('x', 'y', 'z');
	result_is('no trace of the worker', 1, undef, \@say_trace, '"none none none\n"');
}
my $retried = submit(1, "trace => '$trace'");
is((taskq('work', 'work', '--drain', '--retry-in', '0 s', '--', 'sh', '-c', "[ \$TASKQ_ATTEMPT -gt 1 ] && $say_trace[-1]"))[0], 0, 'a retry');
is(sql("select attempt || ' ' || result from taskq.tasks where id = $retried"), "2 \"none $trace none\\n\"", 'it is no part of the trace');
{
	local $ENV{PGPASSWORD} = 'secret';
	result_is('no password', 1, undef, [ '--clean-env', '--', 'sh', '-c', 'env | grep -c -e PGPASSWORD -e HOME= || :' ], "0\n" =~ s/\n//r);
}
result_is('--chdir and --rlimit', 1, undef, [ '--chdir', '/', '--rlimit', 'nofile=50', '--', 'sh', '-c', 'pwd; ulimit -n' ], '"/\n50\n"');
result_is('1 MiB of output', 1, undef, [ '--', 'sh', '-c', 'head -c 1048576 /dev/zero | tr "\0" x' ], '"' . 'x' x 65536 . '"');
result_is('what it says on descriptor 3', 1, undef, [ '--', 'sh', '-c', q(echo '{"finish":{"by":"fd 3"}}' >&3; exit 1) ], '{"by": "fd 3"}');
result_is('finished by the command itself', 1, undef,
	[ '--', 'sh', '-c', 'psql -XqAt "$TASKQ_DATABASE" -c "select taskq.finish($TASKQ_TASK_ID, $TASKQ_TOKEN, \'7\')"' ], '7');

failure_is('exit status', [ '--', 'sh', '-c', 'echo one >&2; echo "no disk" >&2; exit 3' ], 'pending exit exit status 3: no disk');
failure_is('signal', [ '--', 'sh', '-c', 'kill -SEGV $$' ], 'pending signal ended by signal 11 (SEGV)');
failure_is('--permanent-exit', [ '--permanent-exit', '2,3', '--', 'sh', '-c', 'exit 3' ], 'dead exit exit status 3', 7);
failure_is('no JSON', [ '--result', 'json', '--', 'echo', 'x y' ], 'pending result result is not JSON');
failure_is('a result that the server refuses', [ '--id', 'none', '--', 'echo', '1e999999' ],
	'pending result the result was refused: value overflows numeric format (22003)');
failure_is('fail on descriptor 3', [ '--', 'sh', '-c', q(echo '{"fail":"no such order","permanent":true,"detail":{"a":1}}' >&3) ],
	'dead - no such order', 7);
failure_is('nonsense on descriptor 3', [ '--', 'sh', '-c', q(echo 'hello' >&3; sleep 1000) ],
	'pending nonsense command answered nonsense: "hello"');
failure_is('--run-timeout', [ '--run-timeout', '0.1 s', '--id', 'none', '--', 'sleep', '1000' ], 'pending run_timeout killed after 0.1 s');
my $failed = failure_is('detail', [ '--', 'sh', '-c', 'echo "a" >&2; exit 1' ], 'pending exit exit status 1: a');
like(sql("select detail from taskq.attempts where task_id = $failed"),
	qr/^\{"ms": \d+, "exit": 1, "signal": null, "stderr": "a\\n", "user_ms": \d+, "system_ms": \d+, "max_rss_kb": \d+\}$/, 'its detail');
$failed = failure_is('--stderr-tail 0', [ '--stderr-tail', '0', '--', 'sh', '-c', 'echo "a" >&2; exit 1' ], 'pending exit exit status 1: a');
unlike(sql("select detail from taskq.attempts where task_id = $failed"), qr/stderr/, 'without standard error');

my ($id, $status, $said, $output) = one(1, undef, '--retry-in', '1 hour', '--', 'false');
is(sql("select run_at > now() + interval '50 min' from taskq.tasks where id = $id"), 't', '--retry-in');
sql("select taskq.cancel($id)");
($id, $status, $said) = one(1, undef, '--max-age', '0', '--', 'touch', "$dir/never");
is(state_of($id), 'dead 1', '--max-age');
ok(!-e "$dir/never", 'it was not run');
($id, $status, $said) = one(1, undef, '-q', '--', 'sh', '-c', q(echo '{"release":3600}' >&3));
is(state_of($id), 'pending 0', 'release on descriptor 3 uses no attempt');
sql("select taskq.cancel($id)");
($id, $status, $said) = one(q('"secret"'), undef, '-v', '--log-format', 'json', '--', 'sh', '-c', 'echo "é\"" >&2');
like($said, qr/^\{"time":"[\d-]+T[\d:.]+[+-]\d\d:\d\d","task":"$id","queue":"work","event":"acquired, attempt 1"\}$/m, 'a log as JSON');
like($said, qr/"stderr":"é\\""\}$/m, 'with standard error');
unlike($said, qr/secret/, 'no payload is in the log');
($id, $status, $said, $output) = one(1, undef, '--log', "$dir/work.log", '--result', 'none', '--', 'echo', 'here');
is($output, "here $id\n", '--result none: the output is that of the worker');
like(slurp_file("$dir/work.log"), qr/^[\d-]+ [\d:.]+ task $id: finished in [\d.e-]+ s$/m, '--log');

# ---- progress --------------------------------------------------------------------------------------------------

my $worker = worker('work', '--', 'sh', '-c', "taskq progress 40% resizing; while [ ! -e $dir/go ]; do sleep 0.01; done");
$id = submit(1);
wait_query($node, 'postgres', "select fraction = 0.4 and message = 'resizing' from taskq.tasks where id = $id");
pass('taskq progress');
append_to_file("$dir/go", '');
wait_state($node, $id, 'finished');
$worker->signal('TERM');
is($worker->wait_end, 0, 'SIGTERM ends an idle worker');
is(join(' ', (taskq('progress', '0.5'))[0]), '2', 'progress outside of a command');
{
	local $ENV{TASKQ_TASK_ID} = $id;
	local $ENV{TASKQ_TOKEN} = 1;
	is((taskq('progress', '0.5'))[0], 3, 'progress of a lost task');
}
unlink "$dir/go";
$worker = worker('work', '--', 'sh', '-c', qq(echo '{"progress":0.25,"message":"fd"}' >&3; while [ ! -e $dir/go ]; do sleep 0.01; done));
$id = submit(1);
wait_query($node, 'postgres', "select fraction = 0.25 and message = 'fd' from taskq.tasks where id = $id");
pass('progress on descriptor 3');
append_to_file("$dir/go", '');
wait_state($node, $id, 'finished');
undef $worker;

# ---- mistakes, before anything is claimed -------------------------------------------------------------------------

mistake('no queue', [ '--', 'true' ], 2, qr/needs a queue/);
mistake('no command', ['work'], 2, qr/needs a command after "--"/);
mistake('missing program', [ 'work', '--', 'no-such-program' ], 1, qr/cannot run no-such-program: there is no such command in PATH/);
mistake('missing file', [ 'work', '--', '/no/such' ], 1, qr/cannot run \/no\/such: No such file/);
mistake('unknown queue', [ 'wrok', '--', 'true' ], 1, qr/queue "wrok" does not exist \(TQ001\)\n.*hint: Did you mean "work"/s);
mistake('push queue', [ 'http', '--', 'true' ], 1, qr/queue "http" is a push queue \(TQ005\)\n.*hint: Acquire from a pull queue\.$/s);
mistake('a number of jobs', [ 'work=x', '--', 'true' ], 2, qr/is not QUEUE=JOBS/);
mistake('a duration', [ 'work', '--run-timeout', 'long', '--', 'true' ], 2, qr/--run-timeout: "long" is not a duration/);
mistake('a long heartbeat', [ 'work', '--lease', '10 s', '--heartbeat', '10 s', '--', 'true' ], 2, qr/--heartbeat must be less than --lease/);
mistake('a choice', [ 'work', '--stdin', 'all', '--', 'true' ], 2, qr/--stdin: there is no "all"/);
mistake('a signal', [ 'work', '--kill-signal', 'FOO', '--', 'true' ], 2, qr/there is no signal "FOO"/);
mistake('a limit', [ 'work', '--rlimit', 'stack=1', '--', 'true' ], 2, qr/is not NAME=N/);
sql("select taskq.create_queue('held'), taskq.pause_queue('held'), taskq.submit('held', '1')");
my @held = taskq('work', 'held', '--drain', '--', 'true');
is($held[0], 0, 'drain of a paused queue ends');
like($held[2], qr/queue "held" is paused: none of its tasks is done/, 'and says why');
sql("select taskq.drop_queue('held', true)");
mistake('a missing function before', [ 'work', '--before', 'public.nothing', '--drain', '--', 'true' ], 1, qr/function public.nothing\(jsonb\) does not exist \(42883\)/);
mistake('a missing function after', [ 'work', '--after', 'public.nothing', '--drain', '--', 'true' ], 1, qr/function public.nothing\(jsonb, jsonb\) does not exist \(42883\)/);
mistake('a missing directory', [ 'work', '--chdir', '/no/such', '--', 'true' ], 1, qr/^taskq: cannot enter \/no\/such: No such file or directory$/);
mistake('a function without its schema', [ 'work', '--before', 'f', '--', 'true' ], 2, qr/as SCHEMA.FUNCTION/);
mistake('--per-child alone', [ 'work', '--per-child', '2', '--', 'true' ], 2, qr/go with --lines/);
mistake('a dry run', [ 'work', '-n', '--', 'true' ], 2, qr/no dry run/);
mistake('no connection', [ 'work', '-d', 'host=127.0.0.1 port=' . TaskqTest::refused_port(), '--', 'true' ], 4, qr/cannot connect/);
sql('create role nobody_here login');
mistake('no privilege', [ 'work', '-U', 'nobody_here', '--', 'true' ], 5, qr/permission denied|no privilege/);

# ---- a file of options, roles ---------------------------------------------------------------------------------------

append_to_file("$dir/work.conf", qq(queue = work=2\nresult = text\ndrain = on\ncommand = sh -c 'printf "%s" "\$1 of file"' sh\nid = none\n));
$id = submit(1);
is((taskq('work', '--config', "$dir/work.conf", '--id', 'id'))[0], 0, 'a file of options');
is(sql("select result from taskq.result($id)"), qq("$id of file"), 'the command line wins');
append_to_file("$dir/work.conf", "drains = on\n");
mistake('an unknown option in it', [ '--config', "$dir/work.conf" ], 2, qr/work.conf, line 6: "drains" cannot stand in this file; did you mean "drain"\?/);
sql(q(create role "a worker"; create role login_only login; grant "a worker" to login_only; select taskq.grant_queue('work', 'a worker', '{work}')));
$id = submit(1);
is((taskq('work', 'work', '-U', 'login_only', '--role', 'a worker', '--drain', '--', 'true'))[0], 0, 'with the rights of --role');
is(state_of($id), 'finished 1', 'it worked');

# ---- queues with slots of their own -------------------------------------------------------------------------------------

sql(q(select taskq.create_queue('other', retry => 'soon')));
sql(q(select taskq.submit_many('work', array_fill('1'::jsonb, array[20])), taskq.submit_many('other', array_fill('1'::jsonb, array[20]))));
is((taskq('work', 'work=3', 'other', '--drain', '--', 'true'))[0], 0, 'two queues are drained');
is(sql("select count(*) from taskq.tasks where state = 'pending'"), '0', 'nothing is left');
my $other = sql("select taskq.submit('other', '1', max_attempts => 1)");
is((taskq('work', 'other', '--drain', '--', 'false'))[0], 7, '--drain tells that a task is dead');
is((taskq('work', 'other', '--idle-exit', '50 ms', '--', 'true'))[0], 0, '--idle-exit');

# ---- functions before and after ---------------------------------------------------------------------------------------------

sql(q{create schema app;
	create table app.seen (at serial, who text, task bigint, outcome jsonb);
	create function app.first(task jsonb) returns boolean language sql
		as $$ insert into app.seen (who, task) values ('first', (task ->> 'id')::bigint); select true $$;
	create function app.filter(task jsonb) returns boolean language plpgsql
		as $$ begin if task ->> 'payload' = 'error' then raise 'not today'; end if; return task ->> 'payload' <> 'skip'; end $$;
	create function app.after(task jsonb, outcome jsonb) returns void language sql
		as $$ insert into app.seen (who, task, outcome) values ('after', (task ->> 'id')::bigint, outcome) $$;
	create function app.last(task jsonb, outcome jsonb) returns void language plpgsql
		as $$ begin insert into app.seen (who, task, outcome) values ('last', (task ->> 'id')::bigint, outcome);
			if task ->> 'payload' = 'bad after' then raise 'broken'; end if; end $$});
my @hooks = ('--before', 'app.first', '--before', 'app.filter', '--after', 'app.last', '--after', 'app.after');
sub seen
{
	return sql("select string_agg(who || coalesce(' '::text || (outcome - 'detail'), ''), ' | ' order by at) from app.seen where task = $_[0]");
}
($id) = one(1, undef, @hooks, '--', 'echo');
is(seen($id), qq(first | after {"state": "finished", "result": $id, "outcome": "finished"} | last {"state": "finished", "result": $id, "outcome": "finished"}),
	'functions before in order, after in reverse order');
($id) = one(q('"skip"'), undef, @hooks, '--', 'touch', "$dir/skipped");
is(state_of($id), 'finished 1', 'false: it counts as done');
ok(!-e "$dir/skipped", 'and is not run');
($id) = one(q('"error"'), undef, @hooks, '--', 'touch', "$dir/skipped");
is(sql("select state || ' ' || class || ' ' || a.error from taskq.tasks t join taskq.attempts a on t.id = a.task_id where t.id = $id"),
	'pending before a function before failed: not today (P0001)', 'an error fails the attempt');
ok(!-e "$dir/skipped", 'without running it');
like(seen($id), qr/^after \{"error": "a function before failed: not today \(P0001\)", "state": "pending", "outcome": "failed"\} \| last/,
	'what a function before wrote is undone; those after learn of the failure');
sql("select taskq.cancel($id)");
($id, $status, $said) = one(q('"bad after"'), undef, @hooks, '--', 'true');
is(state_of($id), 'finished 1', 'an error of a function after does not fail the task');
like($said, qr/task $id: a function after failed, the outcome is reported without it: broken \(P0001\)/, 'the log tells');
is(seen($id), 'first', 'what those after wrote is undone');
sql(q(select taskq.submit_many('work', array['"skip"', '"error"', '1', '"bad after"', '2']::jsonb[], array['h1', 'h2', 'h3', 'h4', 'h5'])));
is((taskq('work', 'work=5', @hooks, '--drain', '--retry-in', '1 hour', '--', 'true'))[0], 0, 'many at a time');
is(sql("select string_agg(key || ' ' || state, ', ' order by key) from taskq.tasks where key like 'h_'"),
	'h1 finished, h2 pending, h3 finished, h4 finished, h5 finished', 'no task suffers from another one');
sql("select taskq.cancel_key('work', 'h2')");

# ---- processes -----------------------------------------------------------------------------------------------------------------

# A command that ignores SIGTERM and has a child that does so too.
my $stubborn = script('stubborn', <<"END");
#!/bin/sh
trap '' TERM
sh -c 'trap "" TERM; echo \$\$ >$dir/grandchild; while :; do sleep 100; done' &
while [ ! -s $dir/grandchild ]; do sleep 0.01; done
echo \$\$ >$dir/leader
while :; do sleep 100; done
END
sub forget_processes
{
	unlink "$dir/grandchild", "$dir/leader";
	return;
}

($id) = one(1, undef, '--run-timeout', '0.3 s', '--kill-after', '0.1 s', '--', $stubborn);
SKIP:
{
	skip 'it was killed before it had a grandchild', 2 unless -s "$dir/leader" && -s "$dir/grandchild";
	wait_dead(pid_in('leader'), 'a leader that ignores SIGTERM');
	wait_dead(pid_in('grandchild'), 'its grandchild that does so');
}
sql("select taskq.cancel($id)");
forget_processes();

my $leaves = script('leaves', <<"END");
#!/bin/sh
sh -c 'trap "" TERM; echo \$\$ >$dir/grandchild; while :; do sleep 100; done' &
while [ ! -s $dir/grandchild ]; do sleep 0.01; done
END
result_is('a leader that leaves a grandchild', 1, undef, [ '--', $leaves ], 'NULL');
wait_dead(pid_in('grandchild'), 'what it left behind');
forget_processes();

$worker = worker('work', '--lease', '1 s', '--', $stubborn);
$id = submit(1);
my $leader = pid_in('leader');
$worker->signal('KILL');
wait_dead($leader, 'the command of a worker that was killed');
# Under systemd the control group would end it.
kill('KILL', pid_in('grandchild'));
wait_state($node, $id, 'pending');
sql("select taskq.reschedule($id)");
is((taskq('work', 'work', '--drain', '--', 'true'))[0], 0, 'another worker goes on');
is(state_of($id), 'finished 2', 'the task runs again after its lease');
forget_processes();
undef $worker;

# A worker that is stopped loses its lease; when it goes on, it kills the command.
$worker = worker('work', '--lease', '1 s', '--kill-after', '0.1 s', '--', $stubborn);
$id = submit(1, q(retry => 'none'));
$leader = pid_in('leader');
$worker->signal('STOP');
wait_state($node, $id, 'dead');
$worker->signal('CONT');
wait_dead($leader, 'the command of a lost task');
$worker->wait_log(qr/task $id: lost/);
pass('nothing is reported for it');
forget_processes();
undef $worker;

# A long task under a short lease, and SIGTERM while it runs.
$worker = worker('work', '--lease', '0.6 s', '--', 'sh', '-c', "echo \$\$ >$dir/leader; sleep 2; echo done");
$id = submit(1);
pid_in('leader');
$worker->signal('TERM');
is($worker->wait_end, 0, 'SIGTERM: what runs may end');
is(sql("select state || ' ' || attempt || ' ' || result from taskq.tasks where id = $id"), 'finished 1 "done\n"', 'its lease was extended all the time');
forget_processes();

# It may do so for a time only.
$worker = worker('work', '--stop-timeout', '50 ms', '--kill-after', '50 ms', '--', $stubborn);
$id = submit(1);
$leader = pid_in('leader');
$worker->signal('TERM');
is($worker->wait_end, 0, '--stop-timeout');
is(state_of($id), 'pending 0', 'the task is given back, without an attempt');
wait_dead($leader, 'the command');
forget_processes();
$worker = worker('work', '--kill-after', '50 ms', '--', $stubborn);
pid_in('leader');
$worker->signal('TERM');
$worker->wait_log(qr/stopping: 1 tasks are running/);
$worker->signal('INT');
is($worker->wait_end, 0, 'a second signal');
is(state_of($id), 'pending 0', 'gives back as well');
forget_processes();

# A cancelled task.
$worker = worker('work', '--lease', '1 s', '--kill-after', '50 ms', '--', $stubborn);
$leader = pid_in('leader');
is(sql("select taskq.cancel($id)"), 't', 'a running task is cancelled');
wait_state($node, $id, 'cancelled');
wait_dead($leader, 'its command');
forget_processes();
undef $worker;

# A program that is missing later uses no attempts.
my $vanishing = script('vanishing', "#!/bin/sh\nexit 0\n");
$worker = worker('work', '--', $vanishing);
$worker->wait_log(qr/connected to database/);
unlink $vanishing;
$id = submit(1);
$worker->wait_log(qr/task $id: cannot be started: No such file.*nothing is claimed for 5 s, then one task/s);
wait_query($node, 'postgres', "select state = 'pending' and attempt = 0 from taskq.tasks where id = $id");
pass('a missing program uses no attempts');
sql("select taskq.cancel($id)");
undef $worker;

# The breaker.
$worker = worker('work', '--breaker', '3', '--', 'false');
sql(q(select taskq.submit_many('work', array_fill('1'::jsonb, array[10]), retry => 'none')));
$worker->wait_log(qr/too many failures in a row: nothing is claimed for 5 s, then one task/);
is(sql("select count(*) from taskq.tasks where queue = 'work' and state = 'pending'"), '7', 'the breaker keeps tasks from failing');
$worker->signal('TERM');
is($worker->wait_end, 0, 'it can be stopped meanwhile');
sql("select taskq.purge_queue('work')");

# The connection is lost while a command runs.
$worker = worker('work', '--', 'sh', '-c', "echo \$\$ >$dir/leader; while [ ! -e $dir/on ]; do sleep 0.01; done; echo kept");
$id = submit(1);
pid_in('leader');
is(sql(q{select count(pg_terminate_backend(pid)) from pg_stat_activity where query like '%taskq.acquire(%' and pid <> pg_backend_pid()}), '1', 'the connection is ended');
$worker->wait_log(qr/connection lost/);
append_to_file("$dir/on", '');
wait_state($node, $id, 'finished');
is(sql("select result from taskq.result($id)"), '"kept\n"', 'a result waits for the next connection');
undef $worker;
forget_processes();

# ---- commands that stay ---------------------------------------------------------------------------------------------------------

# What it shall do is in the payload.
my $handler = script('handler.py', <<'END');
#!/usr/bin/env python3
import json, os, sys, time
for line in sys.stdin:
    task = json.loads(line).get("task")
    if not task:
        print(line, end="", file=sys.stderr, flush=True)
        continue
    what = task["payload"]
    if what == "die":
        sys.exit(1)
    if what == "nonsense":
        print("hello", flush=True)
    elif what == "hang":
        print("hanging", file=sys.stderr, flush=True)
        for line in sys.stdin:
            print(line, end="", file=sys.stderr, flush=True)
        time.sleep(1000)
    elif what == "cancelled":
        print("waiting", file=sys.stderr, flush=True)
        cancel = json.loads(sys.stdin.readline())["cancel"]
        print(json.dumps({"id": cancel["id"], "fail": "heard " + cancel["reason"]}), flush=True)
    elif what == "fail":
        print(json.dumps({"id": task["id"], "fail": "full", "detail": {"code": 452}, "retry_in": 3600}), flush=True)
    elif what == "unknown":
        print(json.dumps({"id": "999999999", "finish": 1}), flush=True)
        print(json.dumps({"id": task["id"], "finish": None}), flush=True)
    else:
        print(json.dumps({"id": task["id"], "progress": 0.5}), flush=True)
        print(json.dumps({"id": task["id"], "finish": {"pid": os.getpid(), "got": what}}), flush=True)
END
my @lines = ('--lines', '--', $handler);

sub submit_many
{
	my (@payloads) = @_;

	return split /\n/, sql('select * from taskq.submit_many(\'work\', array[' . join(', ', map { "'\"$_\"'" } @payloads) . ']::jsonb[])');
}

my @ids = submit_many('a', 'b', 'c', 'd');
is((taskq('work', 'work', '--drain', @lines))[0], 0, '--lines');
is(sql("select count(*) || ' ' || count(distinct result ->> 'pid') || ' ' || string_agg(result ->> 'got', '' order by id) from taskq.tasks where id in (" . join(',', @ids) . ')'),
	'4 1 abcd', 'one process does them all');
@ids = submit_many('a', 'b', 'c', 'd');
is((taskq('work', 'work', '--drain', '--max-tasks', '2', @lines))[0], 0, '--max-tasks');
is(sql("select count(distinct result ->> 'pid') from taskq.tasks where id in (" . join(',', @ids) . ')'), '2', 'two processes do them');
@ids = submit_many(('a') x 40);
is((taskq('work', 'work=20', '--drain', '--per-child', '10', @lines))[0], 0, '--per-child');
is(sql("select count(*) || ' ' || count(distinct result ->> 'pid') from taskq.tasks where state = 'finished' and id in (" . join(',', @ids) . ')'), '40 2',
	'as many processes as are needed');
($id) = submit_many('fail');
is((taskq('work', 'work', '--drain', @lines))[0], 0, 'a failure');
is(sql("select state || ' ' || error || ' ' || (run_at > now() + interval '50 min') from taskq.tasks where id = $id"), 'pending full true', 'it is reported');
sql("select taskq.cancel($id)");
($id) = submit_many('unknown');
($status, undef, $said) = taskq('work', 'work', '--drain', @lines);
like($said, qr/a command answered for task 999999999, which it does not have/, 'an answer for no task is told');
is(state_of($id), 'finished 1', 'and nothing else');
my @again = ('--retry-in', '1 hour');
($id) = submit_many('die');
is((taskq('work', 'work', '--drain', @again, @lines))[0], 0, 'a command that ends with a task in hand');
is(sql("select error from taskq.tasks where id = $id"), 'command ended with exit status 1', 'it has failed');
sql("select taskq.cancel($id)");
($id) = submit_many('nonsense');
is((taskq('work', 'work', '--drain', @again, @lines))[0], 0, 'a command that answers nonsense');
is(sql("select error from taskq.tasks where id = $id"), 'command answered nonsense: "hello"', 'it has failed');
sql("select taskq.cancel($id)");

$worker = worker('work=2', '--lease', '1 s', '--kill-after', '50 ms', '--per-child', '2', @lines);
($id) = submit_many('cancelled');
$worker->wait_log(qr/stderr: waiting/);
sql("select taskq.cancel($id)");
wait_state($node, $id, 'cancelled');
is(sql("select error from taskq.attempts where task_id = $id"), 'heard cancelled', 'a command that stays is told of a cancel');
($id, $other) = submit_many('hang', 'a');
$worker->wait_log(qr/stderr: hanging/);
sql("select taskq.cancel($id)");
wait_state($node, $id, 'cancelled');
$worker->wait_log(qr/stderr: \{"cancel":\{"id":"$id","reason":"cancelled"\}\}/);
wait_state($node, $other, 'finished');
is(state_of($other), 'finished 1', 'one that does not end is killed, and its other task is given back');
my ($before) = submit_many('a');
wait_state($node, $before, 'finished');
$worker->signal('HUP');
my ($after) = submit_many('a');
wait_state($node, $after, 'finished');
wait_until('a new process', sub {
	my ($next) = submit_many('a');
	wait_state($node, $next, 'finished');
	return sql("select count(distinct result ->> 'pid') from taskq.tasks where id in ($before, $next)") == 2;
});
pass('SIGHUP renews the processes');
$worker->signal('TERM');
is($worker->wait_end, 0, 'SIGTERM ends them');

# Quick tasks have made the worker claim ahead.
($other, @ids) = submit_many(('a') x 30, 'cancelled', ('a') x 5);
$id = $ids[29];
$worker = worker('work', @lines);
$worker->wait_log(qr/stderr: waiting/);
my $got = 0;
wait_until('the tasks behind a slow one', sub {
	return ($got += sql("select count(taskq.finish(id, token)) from taskq.acquire('work', 10)")) == 5;
});
pass('other workers get the tasks that were claimed ahead of a slow one');
sql("select taskq.cancel($id)");
wait_state($node, $id, 'cancelled');
$worker->signal('TERM');
is($worker->wait_end, 0, 'the worker ends');

# ---- routes: which command does a task is decided by its kind ---------------------------------------------------

mkdir "$dir/app";
append_to_file("$dir/routes.conf", <<"END");
queue = work=4
stdin = text
env = SHARED=s
env = OWN=none
[route billing\@2]
command = sh -c 'printf "2 %s %s %s" "\$SHARED" "\$OWN" "\$(pwd)"; cat' sh
env = OWN=a b
chdir = $dir/app
[route billing@*]
id = none
command = sh -c 'ulimit -n >&2; exit 3'
rlimit = nofile=50
stdin = none
permanent-exit = 3
[ route lines ]
END
mistake('a heading', [ '--config', "$dir/routes.conf" ], 2, qr/routes.conf, line 15: a section is \[route PATTERN\]/);
my $conf = slurp_file("$dir/routes.conf") =~ s/\[ route lines \]/[route lines]\nlines = on\ncommand = $handler/r;
sub routes_file
{
	my ($name, $text) = @_;

	open(my $file, '>', "$dir/$name") or die;
	print $file $text;
	close($file);
	return "$dir/$name";
}
my $routes = routes_file('good.conf', $conf);
my @of_kind = map { submit(q('"data"'), "kind => '$_'") } 'billing@2', 'billing@3', 'lines';
is((taskq('work', '--config', $routes, '--drain'))[0], 7, 'a file with routes');
is(sql("select string_agg(coalesce(result ->> 'got', result::text, class || ': ' || a.error), ' | ' order by t.id) from taskq.tasks t left join taskq.attempts a on a.task_id = t.id where t.id in ("
	  . join(',', @of_kind) . ')'), qq("2 s a b $dir/appdata" | exit: exit status 3: 50 | data), 'each kind has its command, environment, directory and limits');
sql("select taskq.cancel(id) from taskq.tasks where queue = 'work' and state = 'pending'");
$id = submit(1, q(kind => 'other'));
my $plain = submit(1);
($status, undef, $said) = taskq('work', '--config', $routes, '--drain', '--no-route-delay', '1 hour');
is($status, 0, 'a kind without a route: status');
is(state_of($id), 'pending 0', 'it is left to other workers, and no attempt is used up');
is(sql("select run_at > now() + interval '50 min' from taskq.tasks where id = $id"), 't', 'with a delay');
is(state_of($plain), 'pending 0', 'so is one that has no kind');
like($said, qr/task $id: no route for kind "other"; given back for /, 'the log tells');
foreach my $times (2, 3)
{
	sql("select taskq.reschedule($id)");
	taskq('work', '--config', $routes, '--drain', '--no-route-delay', '1 hour', '--no-route-times', '2');
}
is(sql("select string_agg(state || ' ' || class || ' ' || a.error, '') from taskq.tasks t join taskq.attempts a on a.task_id = t.id where t.id = $id"),
	'dead no_route no route for kind "other"', 'not more than --no-route-times');
is((taskq('work', '--config', $routes, '--drain', '--once', '--no-route', 'dead'))[0], 0, 'nothing is due');
sql("select taskq.reschedule($plain)");
is((taskq('work', '--config', $routes, '--drain', '--no-route', 'dead'))[0], 7, '--no-route dead');
is(sql("select state || ' ' || class from taskq.tasks t join taskq.attempts a on a.task_id = t.id where t.id = $plain order by a.ended_at desc limit 1"), 'dead no_route',
	'it is dead at once');
$id = submit(1, q(kind => 'other'));
is((taskq('work', '--config', $routes, '--drain', '--', 'echo', 'default'))[0], 0, 'a command for all other kinds');
is(sql("select result #>> '{}' from taskq.tasks where id = $id"), "default $id\n", 'does it');

# A task can choose among the host's routes only.
my @hostile = ('../../bin/sh', 'billing@2; touch pwned', '$(touch pwned)', '[route x]', '*', 'billing@%', 'LINES', "'; drop table x");
sub quoted
{
	return map { "'" . s/'/''/gr . "'" } @_;
}
submit(1, "kind => $_") foreach quoted(@hostile);
taskq('work', '--config', $routes, '--drain', '--no-route', 'dead');
is(sql(q{select string_agg(kind || ' ' || class, ', ' order by t.id) from taskq.tasks t join taskq.attempts a on a.task_id = t.id where t.state = 'dead' and kind in (}
	  . join(', ', quoted(@hostile)) . ')'), join(', ', map { "$_ " . (/^billing/ ? 'exit' : 'no_route') } @hostile), 'a hostile kind finds only the routes that are there');
ok(!-e 'pwned' && !-e "$dir/app/pwned", 'and runs nothing else');
sql("select taskq.purge_queue('work')");

# A route that is broken does not stop the others, and uses up few attempts.
$routes = routes_file('broken.conf', <<"END");
queue = work=4
breaker = 3
retry-in = 1 hour
[route bad]
command = false
[route worse]
lines = on
command = false
[route gone]
command = $dir/soon-gone
[route *]
command = true
END
script('soon-gone', "#!/bin/sh\nexit 0\n");
$worker = worker('--config', $routes);
$worker->wait_log(qr/connected to database/);
unlink "$dir/soon-gone";
sql(qq(select taskq.submit_many('work', array_fill('1'::jsonb, array[20]), kind => k) from unnest(array['bad', 'worse', 'gone']) k));
$worker->wait_log(qr/route bad: too many failures in a row: its tasks are given back for 5 s, then one is tried/);
$worker->wait_log(qr/route gone: the command cannot be started: its tasks are given back for 5 s/);
my @others = split /\n/, sql(q(select taskq.submit_many('work', array_fill('1'::jsonb, array[10]))));
wait_state($node, $_, 'finished') foreach @others;
pass('the tasks of other routes are done');
is(sql("select count(*) from taskq.tasks where queue = 'work' and kind = 'gone' and attempt > 0"), '0', 'a missing program uses no attempts');
cmp_ok(sql("select count(*) from taskq.tasks where queue = 'work' and kind in ('bad', 'worse') and attempt > 0"), '<=', 16, 'and broken ones few');
$worker->signal('TERM');
is($worker->wait_end, 0, 'it ends');
sql("select taskq.purge_queue('work')");

mistake('a route twice', [ '--config', routes_file('r1.conf', "queue = work\n[route a]\ncommand = true\n[route a]\n") ], 2, qr/r1.conf, line 4: there is a route a already/);
mistake('a route without a command', [ '--config', routes_file('r2.conf', "queue = work\n[route a]\nid = none\n") ], 2, qr/r2.conf, line 2: route a has no command/);
mistake('an option of the worker in it', [ '--config', routes_file('r3.conf', "queue = work\n[route a]\ncommand = true\njobs = 3\n") ], 2, qr/r3.conf, line 4: "jobs" cannot stand in a route/);
foreach (
	[ 'misspelt', "queue = work\n[route a]\ncomand = true\n", qr/line 3: "comand" cannot stand in a route; did you mean "command"\?/ ],
	[ 'a wrong value', "queue = work\n[route a]\ncommand = true\nrun-timeout = 30 quux\n", qr/line 4: --run-timeout: "30 quux" is not a duration/ ],
	[ 'a wrong number', "queue = work\njobs = many\ncommand = true\n", qr/line 2: --jobs: "many" is not a number/ ],
	[ 'a wrong choice', "queue = work\nstdin = all\ncommand = true\n", qr/line 2: --stdin: there is no "all"/ ],
	[ 'all kinds before others', "queue = work\n[route *]\ncommand = true\n[route a]\ncommand = true\n", qr/line 4: the route \* before this one takes all tasks/ ],
	[ 'two commands', "queue = work\ncommand = true\ncommand = false\n", qr/line 3: there is a command already/ ],
	[ 'two commands of a route', "queue = work\n[route a]\ncommand = true\ncommand = false\n", qr/line 4: there is a command already/ ],
	[ 'a comment after a value', "queue = work\ncommand = true # here\n", qr/line 2: a comment is a line of its own/ ],
	[ 'an open quote', "queue = work\ncommand = sh -c 'true\n", qr/line 2: a quote is not closed/ ],
	[ 'no words', "queue = work\ncommand =\n", qr/line 2: the command is empty/ ])
{
	mistake("in a file: $_->[0]", [ '--config', routes_file('r9.conf', $_->[1]) ], 2, $_->[2]);
}
mistake('a queue in it', [ '--config', routes_file('r4.conf', "[route a]\nqueue = work\n") ], 2, qr/r4.conf, line 2: "queue" cannot stand in a route$/m);
mistake('a missing program of it', [ '--config', routes_file('r5.conf', "queue = work\n[route a]\ncommand = no-such-program\n") ], 1, qr/cannot run no-such-program/);
mistake('a long pattern', [ '--config', routes_file('r6.conf', "queue = work\n[route " . 'x' x 60 . "]\ncommand = true\n") ], 2, qr/kinds.*TQ004/);

# ---- which kinds no worker does --------------------------------------------------------------------------------------

sql(q(select taskq.submit_many('work', array_fill('1'::jsonb, array[3]), kind => k) from unnest(array['alone', 'billing@1']) k));
sql(q(select taskq.submit('work', '1', kind => 'shipping', delay => '1 hour'); select taskq.submit('other', '1')));
sub unserved
{
	my ($status, $out, $err) = taskq('ls', '--unserved', '-o', 'tsv', @_);

	return join ' | ', map { join ' ', grep { defined } (split /\t/)[ 0 .. 2 ] } split /\n/, $out . $err;
}
is(unserved(), 'other  1 | work alone 3 | work billing@1 3 | work shipping 1', 'ls --unserved');
is(unserved('other'), 'other  1', 'of a queue');
like(unserved('work', '--scan', '2'), qr/looked at 2 tasks of queue "work", which has more; --scan looks further/, 'of some tasks');
$routes = routes_file('serve.conf', "queue = work\n[route billing@*]\nlines = on\ncommand = $handler\n[route a_one]\ncommand = true\n");
$worker = worker('--config', $routes, '--no-route-delay', '1 hour');
wait_until('the worker to be known', sub { return unserved('work') !~ /billing/ });
is(unserved('work'), 'work alone 3 | work shipping 1', 'what a worker has a route for is served');
my $all = worker('work', '--poll', '1 h', '--', 'true');
wait_until('the other worker to be known', sub { return unserved('work') eq '' });
is(unserved(), 'other  1', 'a worker with a command for all kinds serves them all');
$all->signal('KILL');
undef $all;
wait_until('the end of the other worker', sub { return unserved('work') eq 'work alone 3 | work shipping 1' || unserved('work') eq 'work shipping 1' });
pass('a worker that was killed serves nothing');
$worker->signal('TERM');
is($worker->wait_end, 0, 'the first one ends');
sql(q(create role viewer login; select taskq.grant_queue('other', 'viewer', '{view}')));
is(unserved('-U', 'viewer'), 'other  1', 'a role sees the queues that it may view');
is((taskq('ls', '--unserved', '--kind', 'x'))[0], 2, '--unserved has no other filter');
sql("select taskq.purge_queue(q) from unnest(array['work', 'other']) q");

# ---- examples ------------------------------------------------------------------------------------------------

foreach ([ 'worker.sh', 'jq' ], [ 'worker.py', 'python3' ], [ 'worker.rb', 'ruby' ], [ 'worker.js', 'node' ])
{
	my ($example, $interpreter) = @$_;

	cmp_ok(scalar(() = slurp_file("examples/$example") =~ /\n/g), '<=', 40, "$example is short");
  SKIP:
	{
		skip "$example: there is no $interpreter", 4 if IPC::Run::run([ 'sh', '-c', "command -v $interpreter" ], '>', \my $path) != 1;
		my ($good, $bad) = split /\n/, sql(q{select * from taskq.submit_many('work', array['{"text": "a\"é"}', '{}']::jsonb[])});

		is((taskq('work', 'work', '--drain', '--lines', '--', "examples/$example"))[0], 7, $example);
		is(sql("select string_agg(t.state || ' ' || coalesce(t.result ->> 'text', a.error), ', ' order by t.id) from taskq.tasks t"
			  . " left join taskq.attempts a on a.task_id = t.id where t.id in ($good, $bad)") =~ s/É/é/r, q(finished A"é, dead the payload has no text), 'what it does');
		foreach my $line ('{"text": "a"}', '1')
		{
			IPC::Run::run([ "examples/$example" ], '<', \"$line\n", '>', \my $out, '2>', \my $errors);
			cmp_ok($?, '!=', 0, "$example without --lines fails, and finishes nothing") or diag("$out$errors");
		}
	}
}
sql('create table ledger (task bigint, account text, amount numeric)');
($id) = one(q('{"account": "it''s", "amount": 1.50}'), undef, '--', 'examples/credit.sh');
is(sql('select task, account, amount from ledger'), "$id|it's|1.50", 'credit.sh');
is(state_of($id), 'finished 1', 'finishes its task itself');
SKIP:
{
	skip 'routes.conf: there is no jq', 2 if IPC::Run::run([ 'sh', '-c', 'command -v jq' ], '>', \my $path) != 1;
	my @routed = map { submit(q('{"text": "a", "account": "ada", "amount": 2}'), "kind => '$_'") } 'upper@2', 'upper@1', 'credit';

	is((taskq('work', '--config', 'examples/routes.conf', '--drain'))[0], 0, 'routes.conf');
	is(sql("select string_agg(coalesce(t.result ->> 'text', l.account), ' ' order by t.id) from taskq.tasks t left join ledger l on l.task = t.id where t.id in ("
		  . join(',', @routed) . ')'), 'A A ada', 'what it does');
}

# ---- many tasks, while commands and the worker are killed ----------------------------------------------------------------------------

sql(q(select taskq.create_queue('ledger', lease_for => '2 s', retry => 'soon', keep_finished => '1 day')));
# Some tasks kill, at its first attempt, the process that has it, or its worker, after its effect and before its answer.
my $ledger = script('ledger.py', <<'END');
#!/usr/bin/env python3
import json, os, signal, sys
done = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for line in sys.stdin:
    task = json.loads(line).get("task")
    if not task:
        continue
    n = task["payload"]
    os.write(done, ("%d %s\n" % (n, task["attempt"])).encode())
    each = int(os.environ["KILL_EACH"])
    if n % each == each // 2 and task["attempt"] == 1:
        os.kill(os.getppid() if n // each % 3 == 0 else os.getpid(), signal.SIGKILL)
    print(json.dumps({"id": task["id"], "finish": n}), flush=True)
END
sql("select count(*) from taskq.submit_many('ledger', (select array_agg(to_jsonb(i)) from generate_series(1, $ledger_tasks) i), max_attempts => 1000)");
sub start_ledger
{
	return worker('ledger=20', '-q', '--breaker', '0', '--per-child', '10', '--env', "LEDGER=$dir/ledger", '--env', "KILL_EACH=$kill_each", '--lines', '--', $ledger);
}
$worker = start_ledger();
my $restarts = 0;
wait_until('the ledger', sub {
	if (is_dead($worker->pid))
	{
		$restarts++;
		$worker = start_ledger();
	}
	return sql("select pending + running = 0 from taskq.queue_stats('ledger')") eq 't';
}, 500);
cmp_ok($restarts, '>=', 1, "the worker was killed $restarts times");
$worker->signal('TERM');
is($worker->wait_end, 0, 'the worker ends');
is(sql("select count(*) || ' ' || count(*) filter (where state = 'finished') from taskq.tasks where queue = 'ledger'"), "$ledger_tasks $ledger_tasks",
	'each task has finished');
my %done;
$done{ (split / /)[0] }++ foreach split /\n/, slurp_file("$dir/ledger");
is(scalar(keys %done), $ledger_tasks, 'each was done');
my $more = 0;
$more += $_ - 1 foreach values %done;
cmp_ok($more, '<=', 20 * $ledger_tasks / $kill_each, "only what was in hand at a kill was done again: $more");
cmp_ok($more, '>=', 1, 'which happens');
is_consistent($node, 'after the kills');
log_is_clean($node);
$node->stop;
done_testing();
