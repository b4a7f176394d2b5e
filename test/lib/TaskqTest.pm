# TaskqTest.pm
#		What TAP tests of taskq share: a server with the extension, a receiver,
#		and waiting for events.
#
#   use TaskqTest;
#   my $node = taskq_node('main');
#   my $receiver = TaskqTest::Receiver->start;
#   $node->safe_psql('postgres', "select taskq.submit_http('" . $receiver->url('/ok') . "')");
#   my @requests = $receiver->wait_requests(1);
#
# Nothing sleeps for a fixed time: every wait polls until its condition holds,
# and dies after $PostgreSQL::Test::Utils::timeout_default seconds.

package TaskqTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Socket;
use Test::More;
use Time::HiRes qw(time usleep);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use TaskqNode;

our @EXPORT = qw(
  taskq_node add_taskq wait_until wait_query wait_state wait_executor wait_polls wait_log
  executor_pid kill_process kill_backend wait_process_gone kill_server refused_port
  reconfigure seconds log_size log_since log_is_clean is_consistent
  create_stuck_queue end_stuck_queue nobody_waits);

# A started node with the library preloaded, loopback allowed as a destination,
# and the extension in database postgres.  Parameters:
#   conf => further lines for postgresql.conf
#   preload => 0: without shared_preload_libraries
#   extension => 0: without CREATE EXTENSION
#   sessions => 'new': a new session for each call, see TaskqNode.pm
#   init => further parameters of init(), in an array
sub taskq_node
{
	my ($name, %params) = @_;
	my $node = TaskqNode->adopt(PostgreSQL::Test::Cluster->new($name), sessions => $params{sessions});

	$node->init(@{ $params{init} // [] });
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'taskq'")
	  if $params{preload} // 1;
	$node->append_conf('postgresql.conf', "taskq.http_allow = '127.0.0.0/8, ::1'");
	$node->append_conf('postgresql.conf', "taskq.http_ports = ''");
	# Receivers are all on one host.
	$node->append_conf('postgresql.conf', 'taskq.http_max_per_host = 1000');
	$node->append_conf('postgresql.conf', 'restart_after_crash = on');
	# In files of the data directory, so that nothing outlives it.
	$node->append_conf('postgresql.conf', 'dynamic_shared_memory_type = mmap');
	$node->append_conf('postgresql.conf', $params{conf}) if defined $params{conf};
	$node->start;
	add_taskq($node, 'postgres') if $params{extension} // 1;
	return $node;
}

sub add_taskq
{
	my ($node, $database) = @_;

	$node->safe_psql($database, 'create extension taskq');
	return;
}

# Calls $condition until it is true and returns what it returned; dies, naming
# $what, when that takes too long.
sub wait_until
{
	my ($what, $condition, $timeout) = @_;
	my $deadline = time() + ($timeout // $PostgreSQL::Test::Utils::timeout_default);

	while (1)
	{
		my $answer = $condition->();
		return $answer if $answer;
		die "timed out waiting for $what" if time() > $deadline;
		usleep(10_000);
	}
}

# Waits until the query's output is $expected ('t' if not given).
sub wait_query
{
	my ($node, $database, $query, $expected) = @_;

	$expected = 't' unless defined $expected;
	$node->poll_query_until($database, $query, $expected)
	  or die "timed out waiting for: $query";
	return;
}

# Waits until the task is in that state.
sub wait_state
{
	my ($node, $id, $state, $database) = @_;

	wait_query($node, $database // 'postgres', "select state from taskq.tasks where id = $id", $state);
	return;
}

# Waits until the server log has a match since $offset; returns the log since then.
sub wait_log
{
	my ($node, $pattern, $offset) = @_;

	return wait_until("'$pattern' in the log", sub {
		my $log = log_since($node, $offset);
		return $log =~ $pattern ? $log : 0;
	});
}

# Waits until a database's executor has looked for tasks at least once since the
# call: it has run a transaction more than a poll interval from now.  While none
# ends but its own it has no reason to look, so this query is one; and it may sleep.
sub wait_polls
{
	my ($node, $database) = @_;
	my $poll = $node->safe_psql('template1', 'show taskq.poll_interval');
	my $since = $node->safe_psql('template1', "select clock_timestamp() + interval '$poll' * 1.5");

	$database //= 'postgres';
	$node->safe_psql($database, 'select taskq_private.wake_executor()');
	wait_query($node, 'template1',
		"select pg_current_xact_id() is not null and state_change > '$since' from pg_catalog.pg_stat_activity"
		  . " where backend_type = 'taskq executor' and datname = '$database'");
	return;
}

# Process id of a database's executor; '' if there is none.
sub executor_pid
{
	my ($node, $database) = @_;

	$database //= 'postgres';
	return $node->safe_psql('template1',
		"select pid from pg_catalog.pg_stat_activity"
		  . " where backend_type = 'taskq executor' and datname = '$database'");
}

# Waits for a database's executor, one other than $not if that is given;
# returns its process id.
sub wait_executor
{
	my ($node, $database, $not) = @_;

	return wait_until('the executor of ' . ($database // 'postgres'), sub {
		my $pid = executor_pid($node, $database);
		return $pid ne '' && $pid ne ($not // '') ? $pid : 0;
	});
}

# Changes settings for the whole server, NAME => VALUE, without a restart.  When a session has
# read them, the postmaster has told all other processes, too.
sub reconfigure
{
	my ($node, %settings) = @_;
	my $before = $node->safe_psql('postgres', 'select pg_conf_load_time()');

	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	wait_query($node, 'postgres', "select pg_conf_load_time() > '$before'");
	return;
}

# How long that takes.
sub seconds
{
	my ($work) = @_;
	my $start = time();

	$work->();
	return time() - $start;
}

# Where the server log ends now, for log_since() and wait_log().
sub log_size
{
	my ($node) = @_;

	return -s $node->logfile;
}

sub log_since
{
	my ($node, $offset) = @_;

	return PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset // 0);
}

# One test: the server log tells of no crash, but those that the test made, whose
# process ids are given, and of no stuck process.
sub log_is_clean
{
	my ($node, @killed) = @_;
	my $killed = join '|', @killed, 'none';
	my @bad = grep {
		/PANIC:|terminated by signal|invalid memory alloc|still waiting for backend|TRAP:/
		  && !/\(PID (?:$killed)\) was terminated by signal 9/
	} split /\n/, log_since($node);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join("\n", @bad), '', 'server log of node ' . $node->name . ' is clean');
	return;
}

# One test: what must hold whenever nothing is going on.
sub is_consistent
{
	my ($node, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( $node->safe_psql('postgres', q{
		select count(*) from taskq_private.lease l where not exists (select from taskq_private.task t where (t.id, t.queue_id) = (l.id, l.queue_id))
		union all select count(*) from taskq_private.task t where t.key is not null and not exists (select from taskq_private.key k
			where (k.queue_id, k.key, k.id) = (t.queue_id, t.key, t.id) and k.taken_until is null)
		union all select count(*) from taskq_private.key k where k.taken_until is null and not exists (select from taskq_private.task t
			where (t.id, t.key) = (k.id, k.key))
		union all select count(*) from taskq_private.all_history h join taskq_private.task t using (id)
		union all select count(*) - count(distinct id) from taskq_private.all_history
		union all select count(*) from taskq_private.attempt a where not exists (select from taskq_private.task t where t.id = a.task_id)
		union all select count(*) from taskq_private.task t where not exists (select from taskq_private.queue_names q where q.id = t.queue_id)
		union all select count(*) from (select t.id from taskq_private.task t where t.run_at = 'infinity' and t.retry_at is not null) t
			full join taskq_private.waiting w using (id) where t.id is null or w.id is null
		union all select count(*) from taskq_private.prerequisite p where not exists (select from taskq_private.waiting w where w.id = p.dependent)}),
		join("\n", (0) x 9), "$what: every task stands in one place, with its key and what it waits for");
	return;
}

# Creates a queue of which no task can be kept that has not finished: the tables for them are there,
# with other columns.  $arguments are those of create_queue() after the name.
sub create_stuck_queue
{
	my ($node, $name, $arguments) = @_;

	# In one transaction, or the executor would make the tables.
	$node->safe_psql('postgres', qq{begin; select taskq.create_queue('$name', keep_dead => '23 days'$arguments);
		do \$\$
		declare
			day interval;
		begin
			foreach day in array '{0, 1 day}'::interval[] loop
				execute format('create table taskq_private.%I (id int)', 'history_' || taskq_private.bucket(clock_timestamp() + day, '23 days'));
			end loop;
		end
		\$\$; commit});
	return;
}

# Drops these tables: the tasks can end.
sub end_stuck_queue
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{do $$
		declare
			wrong regclass;
		begin
			for wrong in select oid from pg_class where relname ~ '^history_[0-9]+$' and relnatts = 1 and relkind = 'r' loop
				execute format('drop table %s', wrong);
			end loop;
		end
		$$});
	return;
}

# Fails if a call waits for a lock.  The session of $holder has an open transaction; each kind of
# call, on a queue that the transaction has nothing to do with, must end although it stays open.
# So this does not depend on how busy the machine is.
#   privileges => 0: it has dropped a queue; those that do so as well or change privileges may wait
sub nobody_waits
{
	my ($node, $holder, $what, %params) = @_;
	my $privileges = q{
		create role other_role;
		select taskq.grant_queue('bystander', 'other_role', '{submit, work}'), taskq.revoke_queue('bystander', 'other_role', '{submit, work}');
		drop role other_role;
		select taskq.drop_queue('bystander', force => true), taskq.drop_queue('other endpoint', force => true)};
	my $calls = q{
		set lock_timeout = '50ms';
		select taskq.create_queue('bystander', keep_key => '1 day'), taskq.alter_queue('bystander', lease_for => '1 hour');
		select taskq.create_retry_policy('bystander'), taskq.drop_retry_policy('bystander');
		select taskq.create_endpoint('other endpoint', 'http://127.0.0.1:1/', retry => 'none');
		select taskq.alter_endpoint('other endpoint', max_running => 5), taskq.rotate_secret('other endpoint') is null;
		select taskq.submit('bystander', '1', key => 'a'), taskq.submit('bystander', '1', key => 'b', start_within => '1 hour'),
			taskq.submit('bystander', '1', key => 'a', on_duplicate => 'replace'), taskq.submit_http('http://127.0.0.1:1/', delay => '1 hour');
		select count(*) from taskq.submit_many('bystander', array_fill('1'::jsonb, array[20]), (select array_agg('k' || i) from generate_series(1, 20) i));
		create temp table got as select id, token from taskq.acquire('bystander', 10);
		select count(*) from got, taskq.heartbeat(id, token);
		select count(taskq.progress(id, token, 0.5)) from got;
		select taskq.cancel(id), taskq.release(id, token) from got limit 1;
		select taskq.fail(id, token, 'x', retryable => false), taskq.retry(id) from got offset 1 limit 1;
		select taskq.fail(id, token, 'x') from got offset 2 limit 1;
		select taskq.finish(id, token), taskq.result(id) from got offset 3 limit 1;
		select taskq.finish_many(array_agg(id), array_agg(token)) from (select * from got offset 4 limit 2) x;
		select count(*) from taskq.finish_and_acquire('bystander', '{}', '{}', null, 2);
		select taskq.cancel_key('bystander', 'k20'), taskq.pause_queue('bystander'), taskq.resume_queue('bystander'), taskq.purge_queue('bystander');
		call taskq.wait_ready('bystander', '0');
		select count(*) from taskq.tasks; select count(*) from taskq.attempts; select count(*) from taskq.workers; select count(*) from taskq.queues;
		select count(*) from taskq.queue_stats(); select count(*) from taskq.status();
		select count(*) from taskq_private.push_claim(1, '{other endpoint}', 'outside'), taskq_private.push_next_due('{other endpoint}', 'outside');
		select taskq_private.take_back_leases(5), taskq_private.expire_starts(5), taskq_private.make_history(), taskq_private.drop_keys(), taskq_private.sweep();};
	my ($status, $output, $error) = $node->psql('postgres', $calls . ($params{privileges} // 1 ? $privileges : ''));
	Test::More::is($error, '', "nobody waits while $what");
	$holder->query_safe('commit');
	$node->safe_psql('postgres', $privileges) unless $params{privileges} // 1;
	return;
}

# kill -9 for a process of the test's own servers.
sub kill_process
{
	my ($pid) = @_;

	die "no process id" unless $pid =~ /^\d+$/ && $pid > 1;
	kill('KILL', $pid) == 1 or die "could not kill $pid: $!";
	return;
}

sub wait_process_gone
{
	my ($pid, $timeout) = @_;

	wait_until("end of process $pid", sub { return !kill(0, $pid) }, $timeout);
	return;
}

# kill -9 for a process of the server, which starts again by itself: waits until it has begun to.
# False: the process had just ended by itself.
sub kill_backend
{
	my ($node, $pid) = @_;
	my $log = log_size($node);
	my $killed = sub { return log_since($node, $log) =~ /\(PID $pid\) was terminated/ };

	return 0 unless kill('KILL', $pid) == 1;
	wait_process_gone($pid);
	# The postmaster writes this as soon as the process is gone.
	for (1 .. 100)
	{
		last if $killed->();
		usleep(10_000);
	}
	return 0 unless $killed->();
	wait_log($node, qr/all server processes terminated; reinitializing/, $log);
	return 1;
}

# kill -9 for a node's postmaster.  Waits until every process of the server has
# noticed, for until then it cannot be started again; returns how many seconds
# that took.
sub kill_server
{
	my ($node, $timeout) = @_;
	my $data = $node->data_dir;
	my $postmaster = $node->{_pid};
	my $start = time();

	$node->kill9;
	wait_until('end of the server of node ' . $node->name, sub {
		return !kill(0, $postmaster) && !grep { (readlink($_) // '') eq $data } glob('/proc/[0-9]*/cwd');
	}, $timeout);
	return time() - $start;
}

# A port of 127.0.0.1 that refuses connections, and keeps refusing: it is bound
# until the test ends, and nobody listens.
my @bound;

sub refused_port
{
	socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "could not make a socket: $!";
	bind($socket, sockaddr_in(0, inet_aton('127.0.0.1'))) or die "could not bind: $!";
	push @bound, $socket;
	my ($port) = sockaddr_in(getsockname($socket));
	return $port;
}

# ---- test/lib/receiver.py ---------------------------------------------------

package TaskqTest::Receiver;

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use IPC::Run ();
use JSON::PP ();

use PostgreSQL::Test::Utils ();

# A receiver that has its port.  It ends with stop(), or with the test.
sub start
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { log => "$dir/log" }, $class;

	$self->{process} = IPC::Run::start(
		[ 'python3', dirname(__FILE__) . '/receiver.py', '--port-file', "$dir/port", '--log', $self->{log} ],
		'<', \undef, '>', "$dir/output", '2>&1');
	TaskqTest::wait_until('the receiver', sub { return -s "$dir/port" });
	$self->{port} = 0 + PostgreSQL::Test::Utils::slurp_file("$dir/port");
	return $self;
}

sub port
{
	my ($self) = @_;

	return $self->{port};
}

sub url
{
	my ($self, $path) = @_;

	return "http://127.0.0.1:$self->{port}$path";
}

# The requests so far, in the order of their arrival, as hashes: see receiver.py.
# Only those whose path begins with $path, if that is given.
sub requests
{
	my ($self, $path) = @_;

	# Those read before are remembered; a last line may not be whole yet.
	if (-e $self->{log})
	{
		my $text = PostgreSQL::Test::Utils::slurp_file($self->{log}, $self->{read} // 0);
		$text =~ s/[^\n]*\z//;
		$self->{read} += length($text);
		push @{ $self->{requests} }, map { JSON::PP::decode_json($_) } split /\n/, $text;
	}
	my @requests = @{ $self->{requests} // [] };
	return grep { !defined $path || index($_->{path}, $path) == 0 } @requests;
}

# Waits until there are at least $n of them and returns them.
sub wait_requests
{
	my ($self, $n, $path, $timeout) = @_;
	my @requests;

	TaskqTest::wait_until("request $n" . (defined $path ? " for $path" : ''),
		sub { @requests = $self->requests($path); return @requests >= $n }, $timeout);
	return @requests;
}

sub stop
{
	my ($self) = @_;

	return unless $self->{process};
	$self->{process}->signal('TERM');
	$self->{process}->finish;
	delete $self->{process};
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local $?;

	$self->stop;
	return;
}

1;

# ---- worker/taskq-worker, and other programs that run on ---------------------

package TaskqTest::Worker;

use strict;
use warnings FATAL => 'all';

use IPC::Run ();

use PostgreSQL::Test::Utils ();

# One that has begun, on database postgres of the node as the given user, with
# further options.  It ends with the test if not before.
sub start
{
	my ($class, $node, $user, @options) = @_;
	my $database = 'host=' . $node->host . ' port=' . $node->port . " dbname=postgres user=$user";

	return $class->start_program('build/worker/taskq-worker', '--database', $database, '--allow', '127.0.0.0/8, ::1',
		'--ports', '1-65535', @options);
}

# Any other program.
sub start_program
{
	my ($class, @command) = @_;
	my $self = bless { log => PostgreSQL::Test::Utils::tempdir() . '/log' }, $class;

	$self->{process} = IPC::Run::start([@command], '<', \undef, '>', $self->{log}, '2>&1');
	return $self;
}

# What it has said so far, since an offset.
sub log
{
	my ($self, $offset) = @_;

	return -e $self->{log} ? PostgreSQL::Test::Utils::slurp_file($self->{log}, $offset // 0) : '';
}

sub wait_log
{
	my ($self, $pattern, $offset) = @_;

	return TaskqTest::wait_until("'$pattern' said by the worker", sub { $self->log($offset) =~ $pattern });
}

sub pid
{
	my ($self) = @_;

	return $self->{process}{KIDS}[0]{PID};
}

sub signal
{
	my ($self, $name) = @_;

	$self->{process}->signal($name);
	return;
}

# Waits until it has ended; its exit status, or a negative signal.
sub wait_end
{
	my ($self) = @_;

	my $process = delete $self->{process};
	eval { $process->finish; 1 } or die $@;
	my $status = $process->full_result(0);
	return $status & 127 ? -($status & 127) : $status >> 8;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);

	return unless $self->{process};
	$self->{process}->signal('KILL');
	eval { $self->{process}->finish };
	return;
}
