# 037_shortage.pl
#		When this machine has too few descriptors, tasks wait and use up no attempt.  The
#		same for the executor and for taskq-worker.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

# Sets the limit of open files of a process.
sub limit_files
{
	my ($pid, $limit) = @_;

	PostgreSQL::Test::Utils::system_or_bail('prlimit', '--pid', $pid, "--nofile=$limit:");
	return;
}

# Leaves the process one descriptor that it does not use now.
sub take_files_away
{
	my ($pid) = @_;
	my $free = 0;

	$free++ while -l "/proc/$pid/fd/$free";
	limit_files($pid, $free + 1);
	return;
}

# The server inherits the limit from this process.
my $receiver = TaskqTest::Receiver->start;
my ($soft) = slurp_file('/proc/self/limits') =~ /^Max open files\s+(\d+)/m;
limit_files($$, 256);
my $node = taskq_node('main', conf => "taskq.http_max_inflight = 1000\n");
limit_files($$, $soft);

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql(<<'END');
select taskq.create_retry_policy('once', max_attempts => 1);
select taskq.create_queue('inside', mode => 'push', retry => 'once');
select taskq.create_queue('outside', mode => 'push', retry => 'once', executor => 'external');
END

sub submit
{
	my ($queue, $path, $n) = @_;

	sql("select count(taskq.submit_http('" . $receiver->url($path) . "', queue => '$queue')) from generate_series(1, $n)");
	return;
}

# All tasks have ended; what became of them, and how often they were tried.
sub outcomes
{
	wait_query($node, 'postgres', 'select count(*) = 0 from taskq.tasks where ended_at is null');
	return sql("select string_agg(distinct state || ' ' || attempt, ', ') from taskq.tasks");
}

sub failures
{
	my ($column) = @_;

	return "select $column from taskq.status() where \"check\" = 'failures'";
}

# ---- the limit bounds the requests -----------------------------------------------------------------

my $limited = qr/executor: at most (\d+) requests are sent at a time, not 1000: the limit of open files\n/;
my ($most) = wait_log($node, $limited) =~ $limited;
cmp_ok($most, '>', 20, 'the log tells how many requests the descriptors allow');
cmp_ok($most, '<', 200, 'which are fewer than configured');
submit('inside', '/slow/500', 300);
is(outcomes(), 'finished 1', 'more requests than descriptors: all are sent, none fails');
is(sql(failures('ok')), 't', 'and nothing is short');

# ---- the executor is short of descriptors ------------------------------------------------------------

sql('select taskq.stop_executor(), taskq.start_executor()');
my $pid = wait_executor($node);
# Without descriptors, an executor that has only begun would end, and another would follow it.
wait_polls($node);
my $offset = log_size($node);
take_files_away($pid);
submit('inside', '/slow/1500', 20);
wait_query($node, 'postgres', failures("detail like '%begin requests%'"));
like(sql(failures('detail')),
	qr/could not begin requests: the limit of open files of the process is reached \(SQLSTATE 53000, \d+ times since /,
	'status() tells what is short');
like(sql(failures('hint')), qr/taskq\.http_max_inflight/, 'and what to do');
limit_files($pid, 256);
is(outcomes(), 'finished 1', 'when it is no longer, all are sent, by their first attempt');
wait_query($node, 'postgres', failures('ok'));
pass('then it is over');
my @lines = log_since($node, $offset) =~ /executor: (requests .*)$/mg;
is_deeply(\@lines,
	[ 'requests have to wait, and use up no attempt: the limit of open files of the process is reached', 'requests do not have to wait any more' ],
	'the log tells when it begins and when it ends');

# ---- and taskq-worker ---------------------------------------------------------------------------------

my $worker = TaskqTest::Worker->start($node, 'postgres', '--max-per-host', 100);
$worker->wait_log(qr/connected/);
take_files_away($worker->pid);
submit('outside', '/slow/1500', 20);
$worker->wait_log(qr/requests have to wait, and use up no attempt: the limit of open files of the process is reached\n/);
limit_files($worker->pid, 256);
is(outcomes(), 'finished 1', 'the same for a worker');
limit_files($$, 64);
undef $worker;
$worker = TaskqTest::Worker->start($node, 'postgres', '--max-per-host', 100);
limit_files($$, $soft);
$worker->wait_log(qr/at most 32 requests are sent at a time, not 100: the limit of open files\n/);
submit('outside', '/slow/100', 100);
is(outcomes(), 'finished 1', 'also if it has few from the beginning');
undef $worker;
$node->stop;
log_is_clean($node);
done_testing();
