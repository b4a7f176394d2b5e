# 019_dispatch.pl
#		No committed task is missed and none is given out twice, whatever way it came
#		into the queue or back to it: see dispatch.c, and test/model for its protocol.
#
# No executor runs, so nobody sweeps who has not been asked to: what the tests
# find was offered, or was unread.  Each of them begins with a queue of which all
# is read, and ends with acquiring exactly what is there.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use TaskqTest;

# As dispatch.c and lanes.h have them.
my $max_candidates = 1024;
my $max_pending = 1024;

# What an asynchronous commit wrote is lost in a crash within 10 s, if it does not
# fill a page.
my $quiet = "full_page_writes = off\nautovacuum = off\nmax_prepared_transactions = 10\nmax_connections = 60\nwal_writer_delay = '10 s'\n"
  . "taskq.executor = off\ntaskq.poll_interval = '60 s'";
my $node;
my $queue = 'work';

sub sql
{
	# Who only wants to know whether the test fails need not see the rest.
	BAIL_OUT('at the first failure') if $ENV{TASKQ_FIRST_FAILURE} && !Test::More->builder->is_passing;
	return $node->safe_psql('postgres', $_[0]);
}

sub session
{
	my $session = $node->background_psql('postgres');

	$session->set_query_timer_restart;
	return $session;
}

sub submit
{
	my ($n, %params) = @_;
	my $arguments = join '', map { ", $_ => $params{$_}" } sort keys %params;

	return "select taskq.submit_many('$queue', array_fill('1'::jsonb, array[$n])$arguments)";
}

sub acquire
{
	my ($n) = @_;

	return "select id from taskq.acquire('$queue', $n)";
}

sub ids
{
	my @ids = sort { $a <=> $b } grep { /^\d+$/ } split /\n/, join "\n", @_;

	return @ids;
}

# Everything that can be had is acquired in the given session, or each time in
# a new one, and ended.
sub take_all
{
	my ($session) = @_;
	my $statement = "with a as materialized (select id, token from taskq.acquire('$queue', 10000))
		select id from a where taskq.finish(id, token)";
	my (@taken, @ids);

	do
	{
		@ids = ids($session ? $session->query_safe($statement) : sql($statement));
		push @taken, @ids;
	} while (@ids);
	return ids(@taken);
}

# One test: these are all.
sub drains
{
	my ($what, $session, @expected) = @_;
	my @taken = take_all($session);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	# Long lists are shown by what distinguishes them.
	my %taken;
	$taken{$_}++ foreach @taken;
	my @missing = grep { !$taken{$_} } @expected;
	my %expected = map { ($_ => 1) } @expected;
	my @wrong = grep { !$expected{$_} || $taken{$_} > 1 } sort keys %taken;
	is(scalar(@missing) . ' missing, ' . scalar(@wrong) . ' wrong of ' . scalar(@expected),
		'0 missing, 0 wrong of ' . scalar(@expected), "$what: all of it, and once")
	  or diag("missing: @missing[0 .. ($#missing > 9 ? 9 : $#missing)]; wrong: @wrong[0 .. ($#wrong > 9 ? 9 : $#wrong)]");
	return;
}

# A task comes and goes, so that all before it has been read.
sub pass_by
{
	my ($session, $submitter) = @_;
	my ($id) = ids($submitter ? $submitter->query_safe(submit(1)) : sql(submit(1)));
	my @taken = take_all($session);

	die "passing by, got @taken instead of $id" unless "@taken" eq $id;
	return;
}

# ---- each node: late ones, and those that come back ------------------------------------

# $worker is the session that acquires; without one each call has a session of its own.
sub late_and_back
{
	my ($what, $worker) = @_;
	my $other = session();
	my $another = session();

	my @late;
	$other->query_safe('begin');
	push @late, ids($other->query_safe(submit(1))) foreach 1 .. 3;
	pass_by($worker);
	$other->query_safe('commit');
	drains("$what, committed after later ones were consumed", $worker, @late);

	$other->query_safe('begin');
	@late = ids($other->query_safe(submit(2)));
	$other->query_safe('savepoint s');
	$other->query_safe(submit(2));
	$other->query_safe('rollback to s');
	push @late, ids($other->query_safe(submit(1)));
	pass_by($worker);
	$other->query_safe('commit');
	drains("$what, with a savepoint rolled back", $worker, @late);

	my @back = ids(sql(submit(3)));
	$other->query_safe('begin');
	is(join(' ', ids($other->query_safe(acquire(2)))), "$back[0] $back[1]", "$what, acquired");
	drains("$what, the next one meanwhile", $worker, $back[2]);
	$other->query_safe('rollback');
	drains("$what, acquired and rolled back", $worker, @back[0, 1]);

	@back = ids(sql(submit(3)));
	$other->query_safe('begin');
	$other->query_safe('savepoint s');
	$other->query_safe(acquire(2));
	$other->query_safe('rollback to s');
	drains("$what, acquired and rolled back to a savepoint", $worker, @back);
	$other->query_safe('commit');

	# While others hold what they have acquired, the rest goes on.
	@back = ids(sql(submit(4)));
	$other->query_safe('begin');
	$another->query_safe('begin');
	my @others = ids($other->query_safe(acquire(1)));
	my @anothers = ids($another->query_safe(acquire(1)));
	isnt("@others", "@anothers", "$what, two acquirers at once");
	drains("$what, the rest meanwhile", $worker, @back[2, 3]);
	$another->query_safe('rollback');
	drains("$what, the second of two rolled back", $worker, @anothers);
	$other->query_safe('rollback');
	drains("$what, and then the first", $worker, @others);

	@back = ids(sql(submit(1)));
	$other->query_safe('begin');
	$other->query_safe("select taskq.cancel($back[0])");
	drains("$what, while one is being cancelled", $worker);
	$other->query_safe('rollback');
	drains("$what, when it is not", $worker, @back);

	$_->quit foreach $other, $another;
	return;
}

# More rows than there is room for.
sub very_many
{
	my ($what, $worker) = @_;
	my $other = session();
	my $another = session();
	my $most = $max_candidates * 3 / 4;

	$_->query_safe('begin') foreach $other, $another;
	my @late = map { ids($_->query_safe(submit($most))) } $other, $another;
	pass_by($worker);
	$_->query_safe('commit') foreach $other, $another;
	drains("$what, more late ones than candidates can be", $worker, @late);

	my $many = $max_pending + 500;
	$other->query_safe('begin');
	@late = ids($other->query_safe(submit($many)));
	pass_by($worker);
	$other->query_safe('commit');
	drains("$what, more late ones than are remembered", $worker, @late);

	$other->query_safe('begin');
	$other->query_safe(submit($many));
	pass_by($worker);
	$other->query_safe('rollback');
	drains("$what, the same rolled back", $worker);

	my @back = ids(sql(submit($many)));
	$other->query_safe('begin');
	is(scalar(ids($other->query_safe(acquire(10000)))), $many, "$what, acquired in one transaction");
	$other->query_safe('rollback');
	drains("$what, that rolled back", $worker, @back);

	@back = ids(sql(submit($many)));
	$other->query_safe('begin');
	my @kept = ids($other->query_safe(acquire($max_pending + 100)));
	$other->query_safe('savepoint s');
	my @given_back = ids($other->query_safe(acquire(100)));
	$other->query_safe('rollback to s');
	$other->query_safe('commit');
	my %kept = map { ($_ => 1) } @kept;
	drains("$what, the last hundred rolled back to a savepoint", $worker, grep { !$kept{$_} } @back);
	is(scalar(@given_back), 100, "$what, of which there were enough");
	is( sql("select count(*) from taskq_private.lease l join taskq_private.queue q on q.id = l.queue_id
			where q.name = '$queue' and taskq.finish(l.id, l.token)"),
		scalar(@kept), "$what, and the others are kept");

	$_->quit foreach $other, $another;
	return;
}

# ---- with shared memory ---------------------------------------------------------------

$node = taskq_node('main', conf => $quiet, sessions => 'new');
sql("select taskq.create_queue('work', keep_finished => '0')");
my $worker = session();
late_and_back('one queue', $worker);
very_many('one queue', $worker);

# A session that ends as it should not.
my @ids = ids(sql(submit(2)));
my (undef, $holder) = $node->psql('postgres',
	"begin; ${\acquire(2)}; select 'session ' || pg_backend_pid(); select pg_terminate_backend(pg_backend_pid())");
like($holder, qr/session \d+/, 'a session is terminated');
wait_process_gone($holder =~ /session (\d+)/);
drains('acquired by a session that was terminated', $worker, @ids);

# ---- other rows of the same task -------------------------------------------------------

# The row that a task had before it was replaced is a candidate still, behind the new one.
@ids = ids(sql(submit(1, keys => "'{k}'")));
sql("select taskq.submit('work', '2', key => 'k', priority => -1, on_duplicate => 'replace')");
sql("begin; ${\acquire(1)}; rollback");
drains('replaced by a more urgent one, acquired, rolled back', $worker, @ids);
@ids = ids(sql(submit(1, keys => "'{l}'")));
sql("select taskq.submit('work', '2', key => 'l', on_duplicate => 'replace')");
sql("begin; ${\acquire(1)}; rollback");
drains('replaced by a later one', $worker, @ids);

# ---- later ones -----------------------------------------------------------------------

my $other = session();
my @first = ids(sql("select taskq.submit('work', delay => '200 ms')"));
$other->query_safe('begin');
my @second = ids($other->query_safe("select taskq.submit('work', delay => '100 ms')"));
wait_query($node, 'postgres', "select bool_and(run_at < clock_timestamp()) from taskq.tasks where id = $first[0]");
drains('due by now', $worker, @first);
$other->query_safe('commit');
drains('committed when it was due long ago', $worker, @second);
$other->quit;

# ---- prepared transactions ---------------------------------------------------------------

sub prepared
{
	my ($statement) = @_;

	return ids(sql("begin; $statement; prepare transaction 'p'"));
}

@ids = prepared(submit(3));
pass_by();
sql("commit prepared 'p'");
drains('COMMIT PREPARED of a submit', undef, @ids);
prepared(submit(3));
pass_by();
sql("rollback prepared 'p'");
drains('ROLLBACK PREPARED of it', undef);
@ids = ids(sql(submit(3)));
is(scalar(prepared(acquire(3))), 3, 'a prepared acquire');
drains('while it is prepared', undef);
pass_by();
sql("rollback prepared 'p'");
drains('ROLLBACK PREPARED of it', undef, @ids);

# ---- rows that nobody tells of --------------------------------------------------------------

# As logical replication writes them, or a superuser.
sub sweep
{
	wait_query($node, 'postgres', 'select taskq_private.sweep()');
	return;
}

@ids = ids(sql(submit(3)));
sql('create table kept_task as select * from taskq_private.task');
sql('delete from taskq_private.task');
drains('deleted', undef);
pass_by();
sql('insert into taskq_private.task select * from kept_task');
sweep();
drains('inserted behind the position, after a sweep', undef, @ids);
sweep();
drains('and a sweep that finds nothing', undef);

# An administrator changes what was submitted: another version in the same page,
# which the index does not know, and then the first one is gone.
for my $pruned (0, 1)
{
	@ids = ids(sql(submit(2)));
	is(sql(q{begin; update taskq_private.task set payload = '"changed"';
		select n_tup_hot_upd from pg_stat_xact_all_tables where relid = 'taskq_private.task'::regclass; commit}), '2', 'changed in their pages');
	sql('vacuum taskq_private.task') if $pruned;
	drains('and acquired' . ($pruned ? ' after a vacuum' : ''), undef, @ids);
}

# ---- another file --------------------------------------------------------------------------

@ids = ids(sql(submit(5)));
drains_one('before VACUUM FULL', shift @ids);
sql('vacuum full taskq_private.task');
push @ids, ids(sql(submit(2)));
drains('after VACUUM FULL', undef, @ids);
@ids = ids(sql(submit(5)));
is(join(' ', ids(sql("begin; truncate taskq_private.task; ${\acquire(1)}; rollback"))), '', 'TRUNCATE');
push @ids, ids(sql(submit(1)));
drains('rolled back', undef, @ids);
@ids = ids(sql(submit(5)));
is(scalar(ids(sql("begin; ${\acquire(5)}; truncate taskq_private.task; rollback"))), 5, 'acquired, and then TRUNCATE');
drains('rolled back, too', undef, @ids);

sub drains_one
{
	my ($what, $id) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql("select id from taskq.acquire('work') where taskq.finish(id, token)"), $id, $what);
	return;
}

is_consistent($node, 'after that');
$worker->quit;

# ---- late ones while somebody reads -------------------------------------------------------------

# Reading from the left edge takes long where the index has many entries that are
# known to be dead.  What others submit with a more urgent priority meanwhile has
# come behind the reader's back, and would be missing at the end if that were not
# noticed.
my $dead = 500_000;
$queue = 'load';
sql("select taskq.create_queue('load', keep_finished => '0')");
sql("insert into taskq_private.task (id, submitted_at, run_at, queue_id, attempt, max_attempts, priority)
	select -n, now(), timestamptz '2019-01-01' + n * interval '1 s', q.id, 0, 1, 0
	from generate_series(1, $dead) n, taskq_private.queue q where q.name = 'load'");
sql('delete from taskq_private.task where id < 0');
# Who meets them in the index marks them.
sql("set enable_seqscan = off; set enable_bitmapscan = off;
	select count(*) from taskq_private.task where queue_id = (select id from taskq_private.queue where name = 'load') and priority = 0 and group_id is null");
# Nothing is remembered after a restart.
$worker->quit;
$node->restart;
@ids = ids(sql("select taskq.submit('load', priority => 1)"));

# Runs a statement in a session of its own and calls $meanwhile->() while it reads these entries.
# Returns whether it still read then, and what the statement has returned.  A session that has the
# table open reads; the watchdog is for a session that was stopped with a lock which others need.
sub while_it_reads
{
	my ($statement, $meanwhile) = @_;
	my $over = 'select pg_advisory_lock_shared(2)';
	my $gate = session();

	$gate->query_safe('select pg_advisory_lock(1), pg_advisory_lock(2)');
	# The first call in a session takes longer.
	my $reader = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "select id from taskq.acquire('work')",
			'-c', 'select pg_advisory_lock_shared(1)', '-c', $statement, '-c', $over ],
		'<', \undef, '>', \my $taken, '2>', \my $problems);
	my $pid = wait_until('the reader', sub {
		return sql("select pid from pg_locks where locktype = 'advisory' and not granted");
	});
	my $watchdog = IPC::Run::start([ 'sh', '-c', "sleep 5; kill -CONT $pid" ], '<', \undef);
	my $step = sub {
		kill 'CONT', $pid;
		usleep(1000);
		kill 'STOP', $pid;
		return sql("select case when query = '$over' then 'over' when exists
				(select from pg_locks l where l.pid = a.pid and relation = 'taskq_private.task'::regclass) then 'reads' end
			from pg_stat_activity a where a.pid = $pid");
	};

	kill 'STOP', $pid;
	$gate->query_safe('select pg_advisory_unlock(1)');
	wait_until('the reader has opened the table', $step);
	my $read_on = $step->() eq 'reads' ? 1 : 0;
	$meanwhile->();
	kill 'CONT', $pid;
	$watchdog->kill_kill;
	$gate->quit;
	ok($reader->finish, 'the reader comes to its end') or diag($problems);
	return ($read_on, $taken);
}

# Repeats a round that calls while_it_reads() until the session has read on twice.
sub repeat_while_reading
{
	my ($what, $round) = @_;
	my $rounds = 0;

	wait_until($what, sub { return ($rounds += $round->()) >= 2 });
	return;
}

repeat_while_reading('late ones', sub {
	my @late;
	my ($read_on, $taken) = while_it_reads(acquire(1), sub { @late = ids(sql(submit(3, priority => -1))) });
	my ($first) = ids($taken);
	push @ids, @late;
	drains('late ones while a session reads', undef, sort { $a <=> $b } grep { !defined $first || $_ != $first } @ids);
	sql("select count(*) from taskq_private.lease where taskq.finish(id, token)");
	$node->restart;
	@ids = ids(sql("select taskq.submit('load', priority => 1)"));
	return $read_on;
});
drains('the last one', undef, @ids);
is_consistent($node, 'after that, too');

# ---- a sweep while others submit -----------------------------------------------------------------

# A row that no session has told of, behind the position.  A sweep sees that it is there
# and unread; but before the sweep gets to it, the position passes it.
sql("select taskq.submit('load')");
sql('create table unread_task as select * from taskq_private.task');
sql('delete from taskq_private.task');
drains('deleted, too', undef);
$worker = session();
# The first call in a session takes longer.
$worker->query_safe("begin; ${\submit(1)}; rollback");
repeat_while_reading('sweeps', sub {
	sql('update unread_task set run_at = clock_timestamp()');
	@ids = ids(sql('insert into taskq_private.task select * from unread_task returning id'));
	my ($read_on, $swept) = while_it_reads('select taskq_private.sweep()', sub { push @ids, ids($worker->query_safe(submit(1))) });
	like($swept, qr/^t$/m, 'a sweep while another session submits');
	drains('a row that was passed by before a sweep got to it', undef, @ids);
	return $read_on;
});
$worker->quit;

# ---- more queues than there is memory for ---------------------------------------------------------

my $queues = 40;
$node->append_conf('postgresql.conf', "taskq.dispatch_memory = '256 kB'");
$node->restart;
sql("select taskq.create_queue('q' || n, keep_finished => '0') from generate_series(1, $queues) n");
$queue = 'work';
$worker = session();
late_and_back('little memory', $worker);
# All at once: late ones and taken ones in each queue, whose slots others take away meanwhile.
$other = session();
my $another = session();
my (%late, %back);
$_->query_safe('begin') foreach $other, $another;
foreach my $n (1 .. $queues)
{
	$queue = "q$n";
	$late{$n} = [ ids($other->query_safe(submit(2))) ];
	my ($id) = ids($worker->query_safe(submit(1)));
	$back{$n} = [ ids($another->query_safe(acquire(1))) ];
	die "got @{ $back{$n} } instead of $id" unless "@{ $back{$n} }" eq $id;
	pass_by($worker, $worker);
}
$other->query_safe('commit');
$another->query_safe('rollback');
my @all = map { (@{ $late{$_} }, @{ $back{$_} }) } 1 .. $queues;
my @got;
foreach my $n (1 .. $queues)
{
	$queue = "q$n";
	push @got, take_all($worker);
}
is(join(' ', ids(@got)), join(' ', ids(@all)), "$queues queues with little memory: all of it, and once");
$_->quit foreach $other, $another, $worker;
is_consistent($node, 'with little memory');

# ---- a slot that another queue takes while it is filled ---------------------------------------------

# Reading the queue takes long again, for nothing is remembered of it.  What is submitted meanwhile
# is a candidate until other queues take the slot; then the queue gets a new slot, of which the
# reader must not say that it has read everything.
$queue = 'load';
repeat_while_reading('slots that are taken', sub {
	sql("select count(*) from generate_series(1, $queues) n, taskq.acquire('q' || n)");
	my ($read_on, $taken) = while_it_reads(acquire(1), sub {
		@ids = ids(sql(submit(1, priority => -1)));
		# A claim would wait until the slot is filled, a submit does not.
		sql("select count(taskq.submit('q' || n)) from generate_series(1, $queues) n");
		push @ids, ids(sql(submit(1, priority => 1)));
	});
	my ($first) = ids($taken);
	drains('what was submitted while another queue took the slot', undef, grep { !defined $first || $_ != $first } @ids);
	sql("select count(*) from taskq_private.lease where taskq.finish(id, token)");
	return $read_on;
});

# ---- tokens over a crash ---------------------------------------------------------------------------

# The claim may be lost, and its token is not given out again.
$queue = 'work';
@ids = ids(sql(submit(1)));
my %tokens;
my $claims = 3;
foreach my $n (1 .. $claims)
{
	sql('checkpoint');
	my ($id, $token) = split /\|/, sql("select id, token from taskq.acquire('work')");
	kill_server($node);
	$tokens{$token}++;
	$node->start;
	# Where the claim was not lost, the task is given back.
	sql("select taskq.release(l.id, l.token) from taskq_private.lease l");
}
is(scalar(keys %tokens), $claims, 'tokens before and after crashes are all different');
drains('after crashes', undef, @ids);
is_consistent($node, 'after crashes');
$node->stop;

# ---- without shared memory ---------------------------------------------------------------------------

$node = taskq_node('alone', preload => 0, conf => $quiet, sessions => 'new');
sql("select taskq.create_queue('work', keep_finished => '0')");
$worker = session();
late_and_back('without preload', $worker);
very_many('without preload', $worker);
$worker->quit;
is_consistent($node, 'without preload');
$node->stop;

done_testing();
