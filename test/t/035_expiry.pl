# 035_expiry.pl
#		Leases that run out by the hundred thousand, and leases that cannot be
#		ended: neither deliveries nor other leases wait for them.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "autovacuum = off\nmax_wal_size = 4GB");
my $receiver = TaskqTest::Receiver->start;
my $url = $receiver->url('/ok');
my $many = 100_000;

# What one pass takes back at most: PASS_ROWS of pass.c, and a page of leases more.
my $most = 256 + 291;

# The deliveries that wait meanwhile, as the greatest number of ends between the time when one was
# due and its start.  This does not depend on how busy the machine is.  Two passes: the one under
# way, and one more of the same turn.  They take a few microseconds a row.
sub ends_before_a_start
{
	my ($ends) = @_;

	return sql("begin; create temp table ends on commit drop as $ends; create index on ends (at);"
		  . ' select max((select count(*) from ends e where e.at > t.run_at and e.at < t.started_at)) from taskq.tasks t'
		  . q{ where t.queue = 'http' and t.started_at is not null; commit});
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub leases
{
	return sql('select count(*) from taskq_private.lease');
}

sub state_of
{
	return sql("select state from taskq.tasks where id = $_[0]");
}

# CPU seconds of a process so far.
sub cpu_of
{
	my ($pid) = @_;
	my @fields = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;

	return ($fields[11] + $fields[12]) / 100;
}

# The leases of these tasks run out now.
sub let_lapse
{
	my ($where) = @_;

	sql("update taskq_private.lease set lease_until = clock_timestamp() where $where; select taskq_private.leases_changed()");
	return;
}

# ---- many together ---------------------------------------------------------------------

sql("select taskq.create_queue('many', lease_for => '1 hour'), taskq.create_queue('empty')");
sql("select count(*) from taskq.submit_many('many', array_fill('1'::jsonb, array[10000]))") for 1 .. $many / 10000;
sql("do \$\$ begin for i in 1 .. $many / 10000 loop perform count(*) from taskq.acquire('many', 10000); end loop; end \$\$");
is(leases(), $many, "$many tasks run");

# Without an executor sessions that acquire take leases back, too.
sql('select taskq.stop_executor()');
let_lapse('true');
is(sql('select taskq_private.take_back_leases()'), '0', 'a pass says that there are more leases to take back');
my $left = leases();
cmp_ok($left, '<', $many, 'it has taken some back');
cmp_ok($left, '>=', $many - $most, 'and not more than its limit');
my $worker = $node->background_psql('postgres');
$worker->query_safe(q{select count(*) from taskq.acquire('empty')}) for 1 .. 5;
$worker->quit;
my $taken_back = $left - leases();
cmp_ok($taken_back, '<=', 5 * $most, "an acquire without an executor takes a few back ($taken_back in five calls)");
cmp_ok($taken_back, '>=', 5 * 256, 'each one while there are more');

# Nobody waits for a pass.
my $pass = $node->background_psql('postgres');
$pass->query_safe('begin; select taskq_private.take_back_leases(5)');
nobody_waits($node, $pass, 'a pass that takes leases back stays open');
$pass->quit;

# Deliveries go on meanwhile, 50 a second.
sql("select count(taskq.submit_http('$url', '{}', delay => i * interval '20 ms')) from generate_series(1, 3000) i");
sql('select taskq.start_executor()');
my $executor = wait_executor($node);
my $cpu = cpu_of($executor);
wait_query($node, 'postgres', "select count(*) < $many / 2 from taskq_private.lease");
$cpu = cpu_of($executor) - $cpu;
cmp_ok($cpu, '<', 4, "half of the leases take $cpu s of CPU");
my ($due, $sent, $slowest) = split /\|/,
  sql(q{select count(*), count(ended_at), round(1000 * max(extract(epoch from coalesce(ended_at, clock_timestamp()) - run_at)))}
	  . q{ from taskq.tasks where queue = 'http' and run_at < clock_timestamp()});
cmp_ok($sent, '>', $due / 2, "deliveries do not wait for them ($sent of $due, the slowest took $slowest ms)");

my $between = ends_before_a_start('select ended_at as at from taskq_private.attempt');
cmp_ok($between, '<=', 2 * $most, "at most $between leases are taken back while one waits");

# A stop keeps what was done.
my $took = seconds(sub { $node->stop('fast') });
cmp_ok($took, '<=', 3, sprintf('a fast shutdown does not wait either (%.2f s)', $took));
$node->append_conf('postgresql.conf', 'taskq.executor = off');
$node->start;
$left = leases();
cmp_ok($left, '<', $many / 2, "it has undone at most the last pass ($left leases are left)");
is(sql('select count(*) from taskq_private.attempt'), $many - $left, 'each of the others was lost once');
is_consistent($node, 'after the stop');
reconfigure($node, 'taskq.executor' => 'on');
wait_query($node, 'postgres', q{select running = 0 from taskq.queue_stats('many')});
is( sql(q{select state, attempt, count(*) from taskq.tasks where queue = 'many' group by 1, 2}),
	"pending|1|$many",
	'in the end each task is back once');
sql(q{select taskq.purge_queue('http'); truncate taskq_private.task, taskq_private.attempt});

# ---- many start limits together -----------------------------------------------------------

my $late_many = 5000;

sql('select taskq.stop_executor()');
sql(q{select taskq.create_queue('late')});
sql("select count(*) from taskq.submit_many('late', array_fill('1'::jsonb, array[$late_many]), start_within => '1 hour')");
sql("update taskq_private.$_ set start_by = 'epoch'") for qw(task start_limit);
is(sql('select taskq_private.expire_starts()'), '0', 'a pass says that there are more tasks to expire');
$left = sql(q{select pending from taskq.queue_stats('late')});
cmp_ok($left, '<', $late_many, 'it has ended some');
cmp_ok($left, '>=', $late_many - 256 - 64, 'and not more than its limit');
is(sql(q{select count(*) from taskq.acquire('late', 10)}), 0, 'none can be acquired');
$pass = $node->background_psql('postgres');
$pass->query_safe('begin; select taskq_private.expire_starts(5)');
nobody_waits($node, $pass, 'a pass that expires tasks stays open');
$pass->quit;
sql("select count(taskq.submit_http('$url', '{}', delay => i * interval '20 ms')) from generate_series(1, 500) i");
sql('select taskq.start_executor()');
wait_query($node, 'postgres', "select count(*) = $late_many from taskq.tasks where queue = 'late' and state = 'expired'");
($due, $sent, $slowest) = split /\|/,
  sql(q{select count(*), count(ended_at), round(1000 * max(extract(epoch from coalesce(ended_at, clock_timestamp()) - run_at)))}
	  . q{ from taskq.tasks where queue = 'http' and state <> 'cancelled' and run_at < clock_timestamp()});
cmp_ok($sent, '>=', $due / 2, "deliveries do not wait for them ($sent of $due, the slowest took $slowest ms)");
$between = ends_before_a_start(q{select ended_at as at from taskq_private.all_history where state = 'expired'});
cmp_ok($between, '<=', 2 * (256 + 64), "at most $between tasks expire while one waits");
sql(q{select taskq.purge_queue('http')});

# ---- a lease that cannot be ended ----------------------------------------------------------

# A task that runs.
sub run_task
{
	my ($arguments, $queue) = @_;

	$queue //= 'odd';
	my $task = sql("select taskq.submit('$queue', '{}', priority => -1, $arguments)");
	is(sql("select id from taskq.acquire('$queue')"), $task, "a task with $arguments runs");
	return $task;
}

sql(q{select taskq.create_queue('odd', lease_for => '1 hour')});
create_stuck_queue($node, 'stuck', q{, lease_for => '1 hour'});
my $log = log_size($node);
my @tasks = map { run_task("key => 'k$_', max_attempts => 1", $_ == 3 ? 'stuck' : 'odd') } 1 .. 5;
my $odd = $tasks[2];
let_lapse('id in (' . join(', ', @tasks) . ')');
wait_state($node, $_, 'dead') for grep { $_ != $odd } @tasks;
is(state_of($odd), 'running', 'a task that cannot be kept does not end, and the others do');
my $is_put_off = "select lease_until between clock_timestamp() and clock_timestamp() + interval '1 min'"
  . " from taskq_private.lease where id = $odd";
wait_query($node, 'postgres', $is_put_off);
let_lapse("id = $odd");
wait_query($node, 'postgres', $is_put_off);
my $said = () = log_since($node, $log) =~ /could not take back the lease of task $odd: SQLSTATE TQ009/g;
is($said, 1, 'its lease is put off, again and again, which is said once');
end_stuck_queue($node);
let_lapse("id = $odd");
wait_state($node, $odd, 'dead');
pass('with its table it ends');

# ---- locks that are held --------------------------------------------------------------------

# For longer than anybody waits for them: no task can be kept that has ended.
my $locker = $node->background_psql('postgres');
$locker->query_safe('begin; lock table taskq_private.history, taskq_private.history_rest in share mode');
my $late = sql("select taskq.submit('odd', '{}', start_within => '100 ms')");
my $last = run_task('max_attempts => 1');
my $next = run_task('max_attempts => 2');
my $until = sql("select clock_timestamp() + interval '2.5 s'");
let_lapse("id in ($last, $next)");
wait_state($node, $next, 'pending');
is(state_of($last), 'running', 'a lease whose end meets a lock does not keep others from theirs');
wait_query($node, 'postgres', "select clock_timestamp() > '$until'");
is(state_of($late), 'pending', 'nor can a task expire');
$locker->query_safe('commit');
wait_state($node, $last, 'dead');
wait_state($node, $late, 'expired');
pass('when the lock is gone both end');

# A task that a claim has in hand when its time has passed, and gives back.
$late = sql("select taskq.submit('odd', '{}', start_within => '1 hour', priority => -16)");
is($locker->query_safe(q{begin; select id from taskq.acquire('odd')}), $late, 'a claim in time');
sql("update taskq_private.$_ set start_by = 'epoch' where id = $late") for qw(task start_limit);
wait_polls($node) for 1 .. 2;
$locker->query_safe('rollback');
$locker->quit;
wait_state($node, $late, 'expired');
pass('that is rolled back too late leaves a task that expires');
is_consistent($node, 'at the end');

$node->stop;
log_is_clean($node);
done_testing();
