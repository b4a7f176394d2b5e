# 054_perfectqueue.pl
#		taskq perfectqueue: PerfectQueue's command line and its table, as its README shows them, on a
#		queue of taskq.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $port = $node->port;
my $uri = 'postgresql:///postgres?host=' . ($node->host =~ s{/}{%2F}gr) . "&port=$port";
my $ruby = IPC::Run::run([ 'sh', '-c', 'command -v ruby' ], '>', \my $path);

delete $ENV{$_} foreach grep { /^TASKQ_/ } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;
$ENV{TZ} = 'UTC';
$ENV{PATH} = "$ENV{PWD}/build/cli:$ENV{PATH}";

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Runs perfectqueue; returns status, output, errors.
sub run_it
{
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ 'perfectqueue', @_ ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# One test: its output; the exit status is 0.
sub says
{
	my ($name, $arguments, $expected) = @_;
	my ($status, $stdout, $stderr) = run_it('--database', $uri, @$arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ref $expected ? like($stdout, $expected, $name) : is($stdout, $expected, $name);
	is($status, 0, "$name: status") or diag("$stdout$stderr");
	return;
}

# One test: a mistake is told below the usage, with status 1.
sub refuses
{
	my ($name, $arguments, $expected) = @_;
	my ($status, $stdout) = run_it(@$arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($stdout, qr/\AUsage: perfectqueue \[options\] \[-- <ARGV-for-exec-or-run>\]\n.*^error: \Q$expected\E\n\z/ms, $name);
	is($status, 1, "$name: status");
	return;
}

# One test: a mistake that shows only when the database is asked.
sub fails
{
	my ($name, $arguments, $status, $expected) = @_;
	my ($got, undef, $stderr) = run_it('--database', $uri, @$arguments);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($stderr, $expected, $name);
	is($got, $status, "$name: status");
	return;
}

sub worker
{
	return TaskqTest::Worker->start_program('perfectqueue', '--database', $uri, @_);
}

sub script
{
	my ($name, $text) = @_;

	open(my $file, '>', "$dir/$name") or die;
	print $file $text;
	close($file);
	chmod 0755, "$dir/$name";
	return "$dir/$name";
}

sub id_of
{
	my ($key) = @_;

	return sql("select id from taskq.tasks where queue = 'perfectqueue' and key = '" . ($key =~ s/'/''/gr) . "' order by id desc limit 1");
}

sub wait_key
{
	my ($key, $state) = @_;

	wait_state($node, id_of($key), $state);
	return;
}

# ---- the session of the README ----------------------------------------------------------------------------

my $any = '{"any":"data"}';
says('push', [ '--table', 'perfectqueue', '--push', "unique-key-id=$any" ], "Task id=unique-key-id is submitted.\n");
is(sql("select lease_for || ' ' || keep_key from taskq.queues where queue = 'perfectqueue'"), '00:10:00 01:00:00', 'the queue is made');
is(sql("select payload #>> '{}' || ' ' || max_attempts from taskq.tasks where key = 'unique-key-id'"), "$any 2147483647", 'what was pushed');
says('push again', [ '--push', "unique-key-id=$any" ], "Task id=unique-key-id already exists.\n");
my $time = qr/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000/;
says('list', ['--list'],
	qr/\A {24}id {17}created_at {20}timeout  data\n {13}unique-key-id  $time  $time  \Q$any\E\n1 entries\.\n\z/);
says('cancel', [ '--cancel', 'unique-key-id' ], "Task id=unique-key-id is canceled.\n");
says('cancel again', [ '--cancel', 'unique-key-id' ], "Task id=unique-key-id does not exist.\n");
says('an empty list', ['--list'], qr/data\n0 entries\.\n\z/);
says('a canceled id is taken for a while', [ '--push', 'unique-key-id=' ], "Task id=unique-key-id already exists.\n");
says('data with an equals sign', [ '--push', 'equal=a=b' ], "Task id=equal is submitted.\n");
is(sql("select payload from taskq.tasks where key = 'equal'"), '"a=b"', 'it begins after the first');
says('cancel it', [ '--cancel', 'equal' ], "Task id=equal is canceled.\n");
says('-D', [ '--table', 'short', '-t', '10', '-D', '5', '--push', 'a=1' ], "Task id=a is submitted.\n");
is(sql("select lease_for || ' ' || keep_key from taskq.queues where queue = 'short'"), '00:00:10 00:00:05', 'for a queue that is made');
{
	local $ENV{TASKQ_DATABASE} = $uri;
	my ($status, $stdout) = run_it('--table', 'none', '--cancel', 'x');
	is($stdout, "Task id=x does not exist.\n", 'the database of taskq, if none is named');
	($status, $stdout, my $stderr) = run_it('--table', 'none', '--list');
	like($stdout, qr/\n0 entries\.\n\z/, 'a list of a queue that is not there');
	is($stderr, qq(queue "none" does not exist yet; --push, --exec and --run make it\n), 'which is told');
	is(sql("select count(*) from taskq.queues where queue = 'none'"), '0', 'neither makes it');
	IPC::Run::run([ 'taskq', 'perfectqueue', '--table', 'short', '--cancel', 'a' ], '>', \$stdout);
	is($stdout, "Task id=a is canceled.\n", 'as a command of taskq');
}

# ---- mistakes ------------------------------------------------------------------------------------------------

my $missing = '--list, --push, --cancel, --configure, --exec or --run is required';
refuses('no action', [], $missing);
refuses('a heartbeat over the timeout', [ '--list', '-t', '10', '-b', '11' ], '--heartbeat-interval(=11) must not be larger than --timeout(=10)');
refuses('mysql', [ '--list', '--database', 'mysql://user:password@localhost/mydb' ], 'taskq keeps its tasks in PostgreSQL');
refuses('sqlite', [ '--list', '--database', 'sqlite://test.db' ], 'taskq keeps its tasks in PostgreSQL');
refuses('simpledb', [ '--list', '--simpledb', 'd', '-k', 'K', '-s', 'S' ], 'taskq keeps its tasks in PostgreSQL, not in SimpleDB');
refuses('no number', [ '--list', '-t', 'x' ], 'invalid argument: --timeout x');
refuses('an unknown option', [ '--list', '--no-such' ], 'invalid option: --no-such');
refuses('no value', ['--push'], 'missing argument: --push');
refuses('no data', [ '--push', 'a' ], 'invalid argument: --push a');
refuses('no variable', [ '--list', '--env', 'A' ], 'invalid argument: --env A');
refuses('no file', [ '-f', "$dir/none.yaml" ], "$dir/none.yaml: No such file or directory");
says('--help', ['--help'], qr/\AUsage: perfectqueue .*^  -x, --kill-timeout SEC /ms);
fails('no such command', [ '--exec', 'no-such-program' ], 1, qr/cannot run no-such-program: there is no such command in PATH/);
fails('no such script', [ '--run', "$dir/none.rb" ], 1, qr/cannot read .*none\.rb: No such file/) if $ruby;
fails('data that is not UTF-8', [ '--push', "a=\xff" ], 1, qr/22021/);
sql(q(create role other login));
fails('no privilege to make the queue', [ '--database', "$uri&user=other", '--table', 'mine', '--push', 'a=1' ], 5, qr/permission denied/);

# ---- --exec ----------------------------------------------------------------------------------------------------

# It writes once, because the log is in the same file.
my $args = script('args.sh', qq(#!/bin/sh\nout=\$(for word; do printf '<%s>' "\$word"; done; cat)\nprintf '%s\\n' "\$out"\n));
my @exec = ('-t', '10', '-i', '1', '-v', '-w', '3');
my $worker = worker(@exec, '-r', '3600', '--env', 'OWN=x y', '--exec', $args, '--', 'my', 'cmd args');
says('push for a worker', [ '--push', "first=$any" ], qr/submitted/);
wait_key('first', 'finished');
$worker->wait_log(qr/^<my><cmd args><first>\Q$any\E\n/m);
pass('arguments, the id and the data');
$worker->wait_log(qr/acquired task id=first\n.*processing task id=first\n.*finished id=first\n/s);
pass('what the log says');
my $odd = q(it's a "key" of $HOME);
my $data = qq(two\nlines, "quotes" \\ and \x{c3}\x{a9});
says('odd ids and data', [ '--push', "$odd=$data" ], "Task id=$odd is submitted.\n");
wait_key($odd, 'finished');
$worker->wait_log(qr/^<my><cmd args><\Q$odd\E>\Q$data\E\n/m);
pass('arrive as they were');
is(sql("select payload #>> '{}' = E'two\\nlines, \"quotes\" \\\\ and \\u00e9' from taskq.tasks where id = " . id_of($odd)), '', 'nothing is kept of the data');
my $json = sql(q(select taskq.submit('perfectqueue', '{"n": 1.50}')));
wait_state($node, $json, 'finished');
$worker->wait_log(qr/^<my><cmd args><$json>\{"n": 1\.50\}\n/m);
pass('a task that has no key and another payload');
$worker->signal('TERM');
is($worker->wait_end, 0, 'SIGTERM ends it');
like($worker->log, qr/shutting down\.\.\./, 'as PerfectQueue says');

# PerfectQueue's tests of --exec: success, failure, cat, echo, 1 MiB of output.
sub exec_is
{
	my ($name, $command, $data, $state, $output, @options) = @_;

	sql("select taskq.submit('perfectqueue', to_jsonb(repeat('$data', 1)), key => '$name')");
	$worker = worker(@exec, @options, '--exec', $command);
	$state eq 'failed' ? wait_query($node, 'postgres', "select attempt > 0 from taskq.tasks where key = '$name'") : wait_key($name, $state);
	$worker->wait_log($output);
	$worker->signal('INT');
	is($worker->wait_end, 0, "exec: $name");
	return;
}
exec_is('success', script('success.sh', "#!/bin/sh\nexit 0\n"), 'x', 'finished', qr/finished id=success\n/);
exec_is('failure', script('failure.sh', "#!/bin/sh\nexit 3\n"), 'x', 'failed', qr/failed id=failure: exit status 3\n/, '-r', '3600');
is(sql(q(select state || ' ' || (run_at > now() + interval '50 min') from taskq.tasks where key = 'failure')), 'pending true', '-r');
exec_is('cat', script('cat.sh', "#!/bin/sh\ncat\n"), 'written to standard input', 'finished', qr/^written to standard input/m);
exec_is('echo', script('echo.sh', "#!/bin/sh\necho said\necho complained >&2\n"), 'x', 'finished', qr/^said\n.*stderr: complained\n/ms);
exec_is('huge', script('huge.sh', "#!/bin/sh\nhead -c 1048576 /dev/zero | tr '\\0' y\n"), 'x', 'finished', qr/(?:y{32768}){32}/);
sql(q(select taskq.cancel_key('perfectqueue', 'failure')));

# Too old, cancelled while it runs, killed.
exec_is('old', 'true', 'x', 'dead', qr/canceling expired task id=old\n/, '-e', '0');
is(sql("select error from taskq.tasks where key = 'old'"), 'expired: older than 0 s', 'the error of an expired task');
my $sleep = script('sleep.sh', "#!/bin/sh\necho begun\nexec sleep 1000\n");
sql(q(select taskq.submit('perfectqueue', '"x"', key => 'stop')));
$worker = worker('-t', '3', '-b', '1', '-v', '--exec', $sleep);
$worker->wait_log(qr/^begun$/m);
$worker->wait_log(qr/extending timeout=.* id=stop\n/);
says('cancel of a running task', [ '--cancel', 'stop' ], "Task id=stop is canceled.\n");
wait_key('stop', 'cancelled');
$worker->wait_log(qr/task id=stop is canceled\.\n/);
pass('its worker learns of it');
undef $worker;
sql(q(select taskq.submit('perfectqueue', '"x"', key => 'long')));
$worker = worker('-x', '1', '-X', '1', '-r', '3600', '--exec', script('stubborn.sh', "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 100; done\n"));
wait_query($node, 'postgres', q(select attempt > 0 and state = 'pending' from taskq.tasks where key = 'long'));
$worker->wait_log(qr/killing long\.\.\.\n.*failed id=long: killed after 1 s\n/s);
pass('the kill timeout');
undef $worker;
sql(q(select taskq.cancel_key('perfectqueue', 'long')));

# ---- a daemon --------------------------------------------------------------------------------------------------

append_to_file("$dir/pid", "999999999\n");
says('a daemon', [ '-o', "$dir/log", '-d', "$dir/pid", '--exec', 'true' ], '');
my ($pid) = slurp_file("$dir/pid") =~ /^(\d+)\n\z/;
ok(kill(0, $pid), 'its process id is in the file, instead of a stale one');
fails('a second one', [ '-o', "$dir/log2", '-d', "$dir/pid", '--exec', 'true' ], 1, qr/pid: process $pid is running/);
says('push for the daemon', [ '--push', 'd1=x' ], qr/submitted/);
wait_key('d1', 'finished');
wait_until('the log of the daemon', sub { return slurp_file("$dir/log") =~ /finished id=d1\n/ });
rename("$dir/log", "$dir/log.1");
kill('HUP', $pid);
wait_until('a new log', sub { return -e "$dir/log" });
says('push for its new log', [ '--push', 'd2=x' ], qr/submitted/);
wait_key('d2', 'finished');
wait_until('the new log', sub { return slurp_file("$dir/log") =~ /finished id=d2\n/ });
pass('SIGHUP opens the log again');
kill('TERM', $pid);
wait_until('the end of the daemon', sub { return !-e "$dir/pid" });
pass('SIGTERM ends it, and removes the file');

# ---- files of options --------------------------------------------------------------------------------------------

my $out = "$dir/my queue.yaml";
says('--configure', [ '-t', '20', '--env', 'A=b', '-v', '--run', 'myrun.rb', '--configure', $out, '--', 'my', "it's: #1" ], '');
my $yaml = slurp_file($out);
my @names = $yaml =~ /^([a-z_]+):/mg;
is("@names", 'timeout heartbeat_interval kill_timeout kill_interval poll_interval retry_wait expire delete_wait workers run run_class'
	  . ' backend_database backend_table verbose args env', 'the options in the file');
is(join(' ', $yaml =~ /^[a-z_]+: (\d+)$/mg), '20 15 200 60 1 20 345600 3600 1', 'all that are in effect');
is((stat $out)[2] & 0777, 0600, 'the file may have a password');
my ($status, $stdout) = run_it('-f', $out, '--configure', "$dir/again.yaml");
is($status, 0, 'a file is read') or diag($stdout);
is(slurp_file("$dir/again.yaml"), $yaml, 'what comes out is what went in');
run_it('-f', $out, '-t', '30', '--exec', 'true', '--configure', "$dir/third.yaml", '--', 'other');
like(slurp_file("$dir/third.yaml"), qr/^timeout: 30\nheartbeat_interval: 15\n.*^exec: 'true'\nrun_class.*^args:\n- 'other'\n/ms, 'the command line wins');
append_to_file("$dir/symbols.yaml", ":timeout: 7\n:retry_wait:\n:args: [a, \"b\\tc\"]\n:verbose: true\n");
append_to_file("$dir/more.yaml", "timeout: 8\nexec: cat\n");
run_it('-f', "$dir/symbols.yaml", '-f', "$dir/more.yaml", '--configure', "$dir/both.yaml");
like(slurp_file("$dir/both.yaml"), qr/^timeout: 8\n.*^retry_wait: 8\n.*^exec: 'cat'\n.*^verbose: true\nargs:\n- 'a'\n- "b\\tc"\n/ms, 'several files');
run_it('--run', 'myrun.rb', '--database', $uri, '--', 'my', 'cmd', 'args', '--configure', "$dir/readme.yaml");
like(slurp_file("$dir/readme.yaml"), qr/^run: 'myrun.rb'\n.*^args:\n- 'my'\n- 'cmd'\n- 'args'\n\z/ms, '--configure after the arguments, as in the README');
my $wrong = 0;
foreach (
	[ "a: 1\n", 'there is no option a' ], [ "timeout: [1]\n", 'timeout is not a list' ], [ "verbose: maybe\n", 'verbose is true or false' ],
	[ "timeout: &x 1\n", 'line 1, column 10: anchors and tags are not supported' ], [ "timeout: 1\ntimeout: 2\n", 'line 2, column 1: the key is there already' ],
	[ "timeout: {a: 1}\n", 'line 1, column 10: neither a scalar nor a list of scalars' ], [ "- 1\n", 'line 1, column 1: not a mapping' ],
	[ "timeout: 1\n---\ntimeout: 2\n", 'line 2, column 1: more than one document' ])
{
	my ($text, $message) = @$_;
	my $file = "$dir/wrong" . $wrong++ . '.yaml';

	append_to_file($file, $text);
	refuses("a file: $message", [ '-f', $file, '--list' ], "$file: $message");
}

# ---- --run ---------------------------------------------------------------------------------------------------------

SKIP:
{
	skip 'there is no ruby', 1 unless $ruby;
	# That of the README, with a class of its own name below.
	my $run = script('run.rb', <<'END');
require 'json'

class Run
  def initialize(task)
    @task = task
  end

  def run
    js = JSON.load(@task.data)
    puts "received: id=#{@task.id} #{js.inspect} #{ARGV.inspect}"
  end

  def kill
    puts "kill!"
  end
end

module My
  class Slow < Run
    def run
      raise 'refused' if @task.data == 'fail'
      puts "data #{@task.data} #{@task.created_at.is_a?(Integer)}"
      @go = Queue.new
      @go.pop if @task.data == 'wait'
    end

    def kill
      super
      @calls = (@calls || 0) + 1
      @go.push(1) if @calls == 2
    end
  end
end
END
	$worker = worker(@exec, '--run', $run, '--', 'my', 'args');
	says('push for --run', [ '--push', "r1=$any" ], qr/submitted/);
	wait_key('r1', 'finished');
	$worker->wait_log(qr/^received: id=r1 \{"any"=>"data"\} \["my", "args"\]$/m);
	pass('--run');
	$worker->signal('TERM');
	is($worker->wait_end, 0, 'it ends');
	$worker = worker(@exec, '-x', '1', '-X', '1', '-r', '3600', '--run', $run, '-C', 'My::Slow');
	says('push for a class', [ '--push', 'r2=wait' ], qr/submitted/);
	wait_key('r2', 'finished');
	$worker->wait_log(qr/killing r2\.\.\.\n.*^kill!\n.*^kill!\n.*finished id=r2$/ms);
	like($worker->log, qr/^data wait true$/m, 'its class is made with the task');
	pass('its method kill is called until it ends');
	says('push of a failure', [ '--push', 'r3=fail' ], qr/submitted/);
	$worker->wait_log(qr/failed id=r3: RuntimeError: refused\n/);
	pass('an exception is a failure');
	$json = sql(q(select taskq.submit('perfectqueue', '{"n": 1.50, "t": ",\"payload\":}}"}')));
	$worker->wait_log(qr/^data \{"n": 1\.50, "t": ",\\"payload\\":\}\}"\} true$/m);
	pass('another payload is its JSON text');
	wait_query($node, 'postgres', "select state = 'finished' from taskq.tasks where id = $json");
	undef $worker;
	is(sql("select state from taskq.tasks where id = " . id_of('r3')), 'pending', 'that is tried again');
	sql(q(select taskq.cancel_key('perfectqueue', 'r3')));
}
{
	local $ENV{PATH} = $dir;
	my $stderr = '';
	IPC::Run::run([ "$ENV{PWD}/build/cli/perfectqueue", '--database', $uri, '--run', 'x.rb' ], '<', \undef, '2>', \$stderr);
	like($stderr, qr/--run needs ruby/, 'without Ruby');
}

# ---- its table -------------------------------------------------------------------------------------------------------

sub psql
{
	my ($user, @arguments) = @_;
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=sqlstate', $node->connstr('postgres') . " user=$user", @arguments ],
		'<', \undef, '>', \$stdout, '2>', \$stderr);
	return $stdout . $stderr;
}
my $me = sql('select current_user');
my $share = '';
IPC::Run::run([ $ENV{PG_CONFIG} // 'pg_config', '--sharedir' ], '>', \$share);
$share = sql(q(select setting from pg_config where name = 'SHAREDIR'));
my $view = "$share/extension/taskq-perfectqueue.sql";
ok(-e $view, 'the script is installed');
is(psql($me, '-f', $view), '', 'it is loaded');
is(psql($me, '-f', $view), '', 'and once more');
is(psql($me, '-v', 'queue=short', '-v', 'view=Short', '-f', $view), '', 'for another queue');
my $now = time();
is(psql($me, '-c', "insert into perfectqueue (id, timeout, data, created_at) values ('unique-task-id', $now, '$any', $now)"), '', 'INSERT');
is(psql($me, '-c', "select id, timeout between $now and $now + 60, data, created_at between $now and $now + 60 from perfectqueue"),
	"unique-task-id|t|$any|t\n", 'SELECT');
like(psql($me, '-c', "insert into perfectqueue values ('unique-task-id', 0, 'x', null)"), qr/23505/, 'INSERT of an id that is there');
like(psql($me, '-c', "insert into perfectqueue values ('u', null, 'x', null)"), qr/23502/, 'INSERT of NULL');
says('the command line sees it', ['--list'], qr/unique-task-id  $time  $time  \Q$any\E\n1 entries/);
is(psql($me, '-c', "delete from perfectqueue where id = 'unique-task-id' returning id"), "unique-task-id\n", 'DELETE');
is(sql("select state from taskq.tasks where key = 'unique-task-id'"), 'cancelled', 'it is cancelled');
is(psql($me, '-c', 'select count(*) from perfectqueue'), "0\n", 'and gone');
$json = sql(q(select taskq.submit('perfectqueue', '{"n": 1.50}', delay => '1 hour')));
is(psql($me, '-c', "delete from perfectqueue where id = '$json' and timeout > extract(epoch from now()) + 3000 returning data"), qq({"n": 1.50}\n),
	'a task without a key');
is(psql($me, '-c', q(insert into "Short" values ('later', 4102444800, 'x', 0); select id, timeout, data from "Short")), "later|4102444800|x\n", 'the other queue');
is(sql("select queue || ' ' || max_attempts from taskq.tasks where key = 'later'"), 'short 2147483647', 'its task');
sql(q(create role pusher login; grant select, insert, delete on perfectqueue, "Short" to pusher, other;
	select taskq.grant_queue('perfectqueue', 'pusher', '{submit, view}')));
is(psql('pusher', '-c', "insert into perfectqueue values ('mine', 0, 'x', 0); delete from perfectqueue where id = 'mine' returning id"), "mine\n",
	'a role with privileges on the queue');
is(psql('pusher', '-c', 'select count(*) from "Short"'), "0\n", 'it sees no other queue');
like(psql('pusher', '-c', q(insert into "Short" values ('x', 0, 'x', 0))), qr/TQ001/, 'and cannot insert there');
like(psql('other', '-c', 'select count(*) from perfectqueue'), qr/42501/, 'a role without privileges');

# ---- docs/perfectqueue.md: its blocks, in their order -----------------------------------------------------------------

$ENV{TASKQ_DATABASE} = $uri;
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER} = $me;
my $doc = slurp_file('docs/perfectqueue.md');
my $blocks = 0;
while ($doc =~ /^```sh\n(.*?)^```$/gms)
{
	my $block = $1;
	my ($said, $complaint) = ('', '');

	IPC::Run::run([ 'sh', '-e', '-c', $block ], '<', \undef, '>', \$said, '2>', \$complaint, init => sub { chdir $dir });
	is($? >> 8, 0, 'docs/perfectqueue.md: block ' . ++$blocks) or diag("$block$said$complaint");
}
cmp_ok($blocks, '>=', 4, 'it has examples');
log_is_clean($node);
$node->stop;
done_testing();
