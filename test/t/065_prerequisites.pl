# 065_prerequisites.pl
#		Tasks that wait for others: no look is missed, whatever happens at the same time; a batch that
#		many sessions end while the executor is killed.
#
# TASKQ_MEMBERS is for `make test-all` and `make soak`: 100 000 members instead of 3 000.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use TaskqTest;

my $members = $ENV{TASKQ_MEMBERS} // 3_000;
my $node = taskq_node('main', sessions => 'new', conf => "max_connections = 80\nmax_prepared_transactions = 2\nautovacuum = off");
my @killed;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub is_up
{
	return $node->psql('postgres', 'select 1', on_error_die => 0, on_error_stop => 0) == 0;
}

# A task that lives until it is finished by its number, and one that waits for it.
sub leased
{
	my ($queue) = @_;
	my $id = sql("select taskq.submit('$queue')");

	return ($id, sql("select token from taskq.acquire('$queue', lease_for => '1 hour')"));
}

sub waits
{
	my ($id) = @_;

	return sql("select run_at is null from taskq.tasks where id = $id");
}

# One test: the wait of the task ends.
sub wait_due
{
	my ($id, $what) = @_;
	my $due = eval {
		wait_until($what, sub { return waits($id) eq 'f' }, $PostgreSQL::Test::Utils::timeout_default / 4);
	};

	ok($due, $what);
	return;
}

sql("select taskq.create_queue('in', retry => 'none'), taskq.create_queue('out', retry => 'none')");
my $one = $node->background_psql('postgres');
my $two = $node->background_psql('postgres');

# ---- an end that does not see the prerequisite ----------------------------------------------

# The task ends while it is being added: only the commit that adds it can ask for a look.
my ($id, $token) = leased('in');
$one->query_safe('begin');
my $dependent = $one->query_safe("select taskq.submit('out', after => array[$id])");
sql("select taskq.finish($id, $token)");
$one->query_safe('commit');
wait_due($dependent, 'a task ended while it was added as a prerequisite');

# The end began before, and commits after the look: only that look, again, can find it.
($id, $token) = leased('in');
$two->query_safe("begin; select taskq.finish($id, $token)");
$dependent = sql("select taskq.submit('out', after => array[$id])");
wait_polls($node);
is(waits($dependent), 't', 'while the end is not committed, the wait goes on');
$two->query_safe('commit');
wait_due($dependent, 'an end that had begun before the prerequisite was added');
$two->query_safe('begin');
($id, $token) = leased('in');
$two->query_safe("select taskq.finish($id, $token)");
$dependent = sql("select taskq.submit('out', after => array[$id])");
wait_polls($node);
$two->query_safe('rollback');
wait_polls($node);
is(waits($dependent), 't', 'one that is rolled back does not end the wait');
sql("select taskq.finish($id, $token)");
wait_due($dependent, 'its repetition does');

# A check that finds no prerequisites begins before the commit and ends after it.  A new session
# checks at its first look.
($id, $token) = leased('in');
$one->query_safe('begin');
$dependent = $one->query_safe("select taskq.submit('out', after => array[$id])");
{
	my $checker = $node->background_psql('postgres');

	$checker->query_safe('select taskq_private.look_at_waiting()');
	$checker->quit;
}
$one->query_safe('commit');
wait_polls($node);
sql("select taskq.finish($id, $token)");
wait_due($dependent, 'that none were found before does not matter');

# A prepared transaction tells nobody of its commit.
($id, $token) = leased('in');
$dependent = sql("select taskq.submit('out', after => array[$id])");
wait_polls($node);
sql("begin; select taskq.finish($id, $token); prepare transaction 'end'");
wait_polls($node);
is(waits($dependent), 't', 'a prepared end does not end the wait');
sql("commit prepared 'end'");
wait_due($dependent, 'its commit does');
($id, $token) = leased('in');
sql("begin; select taskq.submit('out', kind => 'prepared', after => array[$id]); prepare transaction 'addition'");
sql("select taskq.finish($id, $token)");
sql("commit prepared 'addition'");
wait_due(sql("select id from taskq.tasks where kind = 'prepared'"), 'a prepared addition');

# ---- an error of a dependent keeps no other -----------------------------------------------------

# The end of a task that is to be cancelled fails as long as its history cannot be written.
create_stuck_queue($node, 'stuck', ", retry => 'none'");
($id, $token) = leased('in');
my $stuck = sql("select taskq.submit('stuck', after => array[$id])");
my $other = sql("select taskq.submit('out', after => array[$id])");
sql("select taskq.fail($id, $token, 'no')");
wait_state($node, $other, 'cancelled');
is(sql("select state from taskq.tasks where id = $stuck"), 'pending', 'a task whose end fails goes on waiting');
end_stuck_queue($node);
sql('select taskq_private.sweep_soon()');
wait_state($node, $stuck, 'cancelled');
pass('and ends when it can');

# ---- a crash --------------------------------------------------------------------------------------

($id, $token) = leased('in');
$dependent = sql("select taskq.submit('out', after => array[$id])");
wait_polls($node);
# The executor does not see the end before it is killed.
my $executor = wait_executor($node);
kill('STOP', $executor) == 1 or die "could not stop $executor: $!";
sql("select taskq.finish($id, $token)");
$_->quit foreach $one, $two;
ok(kill_backend($node, $executor), 'the server starts again');
push @killed, $executor;
wait_until('the server', \&is_up);
wait_executor($node, 'postgres', $executor);
wait_due($dependent, 'a look that a crash has forgotten');

# ---- a batch ----------------------------------------------------------------------------------------

# Many sessions end the members, one by one and in batches; some of these add another member while
# they run.  Meanwhile a snapshot is held, so that no dead row goes, and the executor is ended.
my $clients = $members > 10_000 ? 32 : 8;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $report;

sub submit_batch
{
	my ($name) = @_;

	sql("select taskq.create_queue('$name', retry => 'none')");
	$report = sql("select taskq.submit('out', kind => '$name', after => array(select taskq.submit_many('$name', array(select to_jsonb(n) from generate_series(1, $members) n))))");
	append_to_file("$dir/$name-one.sql", <<"END");
do \$\$
declare
	t record;
begin
	for t in select * from taskq.acquire('$name') loop
		if t.id % 10 = 0 and t.payload <> '"more"' then
			perform taskq.add_prerequisites($report, array[taskq.submit('$name', '"more"')]);
		end if;
		perform taskq.finish(t.id, t.token);
	end loop;
end
\$\$;
END
	append_to_file("$dir/$name-many.sql", <<"END");
with a as materialized (select * from taskq.acquire('$name', 7)) select count(*) from taskq.finish_many(array(select id from a), array(select token from a));
END
	append_to_file("$dir/$name-rollback.sql", <<"END");
begin;
select count(taskq.finish(id, token)) from taskq.acquire('$name', 3);
rollback;
END
	return;
}

# pgbench, until $transactions of each session are done.
sub start_sessions
{
	my ($name, $transactions) = @_;

	return IPC::Run::start(['pgbench', '-n', '-c', $clients, '-j', 2, '-t', $transactions, '-f', "$dir/$name-one.sql\@6", '-f', "$dir/$name-many.sql\@2",
			'-f', "$dir/$name-rollback.sql\@1", '-h', $node->host, '-p', $node->port, 'postgres'],
		'<', \undef, '>', "$dir/$name.out", '2>', "$dir/$name.err");
}

# What pgbench has left, one by one.
sub end_rest
{
	my ($name) = @_;

	sql("select count(taskq.finish(id, token)) from taskq.acquire('$name', 10000)")
	  while sql("select count(*) from taskq.tasks where queue = '$name' and state in ('pending', 'running')") ne '0';
	return;
}

# The dependent of a batch is due once its members have ended, soon after the last one.
sub check_report
{
	my ($name) = @_;

	wait_due($report, "$name: the dependent is due");
	is(sql("select count(*) >= $members, bool_and(state = 'finished'), max(ended_at) <= (select run_at from taskq.tasks where id = $report) from taskq.tasks where queue = '$name'"),
		't|t|t', "$name: when all members had ended");
	my $late = sql("select extract(epoch from (select run_at from taskq.tasks where id = $report) - max(ended_at)) from taskq.tasks where queue = '$name'");
	cmp_ok($late, '<', 2, sprintf('%s: %.0f ms after the last one', $name, $late * 1000));
	is(sql("select count(*) from taskq.acquire('out', 100) where kind = '$name'"), '1', "$name: it runs once");
	is(sql('select count(*) from taskq_private.waiting'), '0', "$name: no task waits any more");
	is(sql('select count(*) from taskq_private.prerequisite'), '0', "$name: nothing is left");
	return;
}

my $holder = $node->background_psql('postgres');
$holder->query_safe('begin isolation level repeatable read; select count(*) from taskq_private.prerequisite');
submit_batch('held');
my $sessions = start_sessions('held', int($members / $clients / 2));
my $ends = 0;
while ($sessions->pumpable && $ends < 20)
{
	my $pid = wait_executor($node);

	last if sql("select count(*) from taskq_private.task where id in (select task_id from taskq_private.prerequisite)") eq '0';
	$ends++ if sql("select pg_terminate_backend($pid)") eq 't';
	wait_process_gone($pid);
}
$sessions->finish;
unlike(slurp_file("$dir/held.err"), qr/ERROR/, "many sessions end the members without an error, and the executor was ended $ends times");
end_rest('held');
check_report('held');
$holder->query_safe('rollback');
$holder->quit;

# The same, and the server is killed.
submit_batch('killed');
$sessions = start_sessions('killed', int($members / $clients / 2));
wait_query($node, 'postgres', "select count(*) > $members / 20 from taskq.tasks where queue = 'killed' and state = 'finished'");
$executor = wait_executor($node);
push @killed, $executor if kill_backend($node, $executor);
$sessions->finish;
wait_until('the server', \&is_up);
wait_executor($node, 'postgres', $executor);
sql("update taskq_private.lease set lease_until = now()");
wait_query($node, 'postgres', 'select count(*) = 0 from taskq_private.lease');
sql("select count(taskq.retry(id)) from taskq.tasks where queue = 'killed' and state = 'dead'");
end_rest('killed');
my $state = sql("select state, run_at is null from taskq.tasks where id = $report");
if (sql("select count(*) from taskq.attempts a join taskq.tasks t on t.id = a.task_id where t.queue = 'killed'") eq '0')
{
	check_report('killed');
}
else
{
	wait_state($node, $report, 'cancelled');
	pass('killed: the lease of a member was lost, so the dependent is cancelled');
}

is_consistent($node, 'after that');
log_is_clean($node, @killed);
done_testing();
