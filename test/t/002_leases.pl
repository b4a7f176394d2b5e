# 002_leases.pl
#		Who owns a task: leases that run out, workers side by side, tokens from
#		before a crash.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Acquires a task of queue 'work'; returns its id and token.
sub acquire
{
	my ($worker, $lease_for) = @_;

	return split /\|/,
	  sql("select id, token from taskq.acquire('work', lease_for => '$lease_for', worker => '$worker')");
}

sql("select taskq.create_queue('work')");

# ---- a lost lease --------------------------------------------------------------------

# Several tests: $take acquires the task as worker 'second', after the lease of
# worker 'first' has run out, and returns id and token.
sub hands_over
{
	my ($how, $take) = @_;
	my $id = sql("select taskq.submit('work', '{}')");
	my ($first_id, $first_token) = acquire('first', '1 s');
	is($first_id, $id, "$how: the first worker has it");
	my $lost_at = sql("select lease_until from taskq.tasks where id = $id");

	my ($second_id, $second_token) = $take->();
	is($second_id, $id, "$how: the second worker gets it");
	cmp_ok($second_token, '>', $first_token, "$how: with a greater token");
	my $late = sql("select extract(epoch from t.started_at - '$lost_at') from taskq.tasks t where id = $id");
	cmp_ok($late, '>=', 0, "$how: not before the lease has run out");
	cmp_ok($late, '<=', 2, sprintf('%s: it can be acquired %.0f ms after that', $how, 1000 * $late));
	is( sql("select attempt, class, error, worker from taskq.attempts where task_id = $id"),
		'1|lease_lost|lease lost|first',
		"$how: the lost attempt is recorded");

	is(sql("select taskq.finish($id, $first_token)"), 'f', "$how: finish with the lost lease is false");
	is(sql("select count(*) from taskq.heartbeat($id, $first_token)"), '0', "$how: heartbeat has no row");
	is(sql("select taskq.fail($id, $first_token, 'x') is null"), 't', "$how: fail is NULL");
	is(sql("select taskq.release($id, $first_token)"), 'f', "$how: release is false");
	is(sql("select state, attempt, worker from taskq.tasks where id = $id"), 'running|2|second',
		"$how: and nothing has changed");

	is(sql("select taskq.finish($id, $second_token)"), 't', "$how: the second worker can finish it");
	is(sql("select taskq.finish($id, $second_token)"), 'f', "$how: once");
	return;
}

# Looks for work again and again, in one session.
sub acquire_in_a_loop
{
	my $session = $node->background_psql('postgres');
	my $row = wait_until('a task', sub {
		return $session->query_safe(
			q{select id, token from taskq.acquire('work', lease_for => '1 min', worker => 'second')});
	});

	$session->quit;
	return split /\|/, $row;
}

# The executor puts it back at once, so a worker that looks rarely finds it too.
hands_over('executor', sub {
	wait_query($node, 'postgres', 'select state from taskq.tasks', 'pending');
	return acquire('second', '1 min');
});

reconfigure($node, 'taskq.executor' => 'off');
wait_until('the end of the executor', sub { return executor_pid($node) eq '' });
hands_over('no executor', \&acquire_in_a_loop);
reconfigure($node, 'taskq.executor' => 'on');
wait_executor($node);

# A heartbeat is what keeps it: the same lease, extended.
my $id = sql("select taskq.submit('work', '{}')");
my ($same, $token) = acquire('first', '1 s');
is( sql("select lease_until > clock_timestamp() + interval '50 s', cancel_requested"
		  . " from taskq.heartbeat($id, $token, '1 min')"),
	't|f',
	'a heartbeat extends the lease');
wait_query($node, 'postgres',
	"select clock_timestamp() > started_at + interval '1.5 s' from taskq.tasks where id = $id");
wait_polls($node);
is(sql("select taskq.finish($id, $token)"), 't', 'and the worker can finish after the first end');

# Takes the table of attempts away, so that no attempt can end, and lets the lease of a task run out.
sub put_off
{
	my ($task) = @_;

	sql('alter table taskq_private.attempt rename to taken_away;'
		  . " update taskq_private.lease set started_at = timestamptz 'epoch' - (lease_until - started_at), lease_until = 'epoch' where id = $task; select taskq_private.leases_changed();"
		  . ' select taskq_private.take_back_leases(); alter table taskq_private.taken_away rename to attempt');
	is( sql("select lease_until between clock_timestamp() + interval '50 s' and clock_timestamp() + interval '1 min'"
			  . " from taskq_private.lease where id = $task"),
		't',
		'a lease that could not be taken back is left alone for a minute');
	return;
}

# One that names no time extends it by the time for which it was acquired, whatever others have named.
$id = sql("select taskq.submit('work', '{}', key => 'a', max_attempts => 1)");
(undef, $token) = acquire('first', '90 s');
my $beat = 'select count(*) from taskq.heartbeat(%s, %s%s)'
  . ' where lease_until between clock_timestamp() + interval %s and clock_timestamp() + interval %s';
for (['', 'the first'], [", '10 min'", 'one of 10 minutes', '9 min', '10 min'], ['', 'the next'])
{
	my ($extend_by, $which, @between) = @$_;
	@between = ('80 s', '90 s') unless @between;
	is(sql(sprintf $beat, $id, $token, $extend_by, map { "'$_'" } @between), '1', "$which heartbeat extends by its time");
}
put_off($id);
is(sql(sprintf $beat, $id, $token, '', "'80 s'", "'90 s'"), '1', 'and keeps its length');
is(sql("select taskq.finish($id, $token)"), 't', 'its worker can finish');
$id = sql("select taskq.submit('work', '{}', key => 'b', max_attempts => 1)");
(undef, $token) = acquire('first', '90 s');
put_off($id);
is(sql(sprintf $beat, $id, $token, '', "'80 s'", "'90 s'"), '1', 'one without a heartbeat, too');
is(sql("select taskq.finish($id, $token)"), 't', 'and its worker can finish');

# ---- a clock that was ahead ---------------------------------------------------------------

# Two hours ahead when these times were read from the clock, and then set back.
sub set_ahead
{
	my ($id, @columns) = @_;

	sql("update taskq_private.lease set " . join(', ', map { "$_ = $_ + interval '2 hours'" } @columns) . " where id = $id;
		select taskq_private.leases_changed()");
	return;
}

# No time of the lease lies more than its length in the future.
sub wait_set_back
{
	my ($id, $length) = @_;

	wait_query($node, 'postgres', "select greatest(started_at, extended_at) <= clock_timestamp()
		and lease_until <= clock_timestamp() + interval '$length' from taskq_private.lease where id = $id");
	return;
}

sub is_back
{
	my ($id, $what) = @_;

	wait_query($node, 'postgres', "select count(*) = 0 from taskq_private.lease where id = $id", 't');
	is(sql("select class from taskq.attempts where task_id = $id order by attempt desc limit 1"), 'lease_lost', $what);
	return;
}

my @given = qw(started_at lease_until);
my @extended = qw(extended_at lease_until);
$id = sql("select taskq.submit('work', '{}', max_attempts => 9)");
(undef, $token) = acquire('first', '2 s');
set_ahead($id, @given);
wait_set_back($id, '2 s');
pass('a lease of a clock that was ahead begins when that is seen');
is_back($id, 'and is taken back when its time is over, not two hours later');
(undef, $token) = acquire('first', '2 s');
is(sql(sprintf $beat, $id, $token, '', "'1 s'", "'2 s'"), '1', 'a heartbeat');
set_ahead($id, @extended);
wait_set_back($id, '2 s');
pass('a lease that was extended while the clock was ahead is seen, too');
is_back($id, 'and is taken back');
(undef, $token) = acquire('first', '90 s');
set_ahead($id, @given);
wait_set_back($id, '90 s');
is(sql("select taskq.finish($id, $token)"), 't', 'a worker that is alive keeps it');
$id = sql("select taskq.submit('work', '{}', timeout => '1 hour')");
(undef, $token) = acquire('first', '80 s');
is(sql(sprintf $beat, $id, $token, ", '10 min'", "'9 min'", "'10 min'"), '1', 'a long heartbeat');
set_ahead($id, @extended);
wait_set_back($id, '10 min');
is(sql("select lease_until > clock_timestamp() + interval '9 min' from taskq_private.lease where id = $id"), 't', 'stays long');
# The deadline, which is right, has shortened the extension.
sql("update taskq_private.lease set extended_at = extended_at + interval '2 hours', lease_until = deadline where id = $id;
	select taskq_private.leases_changed()");
wait_set_back($id, '90 s');
is(sql("select lease_until > clock_timestamp() + interval '70 s' from taskq_private.lease where id = $id"), 't',
	'one that its deadline has shortened keeps its length');
is(sql("select taskq.finish($id, $token)"), 't', 'both can finish');
# Given while the clock was ahead, extended afterwards.
$id = sql("select taskq.submit('work', '{}')");
(undef, $token) = acquire('first', '80 s');
is(sql(sprintf $beat, $id, $token, '', "'70 s'", "'80 s'"), '1', 'a heartbeat');
set_ahead($id, 'started_at');
wait_set_back($id, '80 s');
is(sql("select lease_until > clock_timestamp() + interval '60 s' from taskq_private.lease where id = $id"), 't',
	'an extension by the right clock stands');
is(sql("select taskq.finish($id, $token)"), 't', 'its worker can finish');

# ---- workers side by side ----------------------------------------------------------------

my $tasks = 2000;
sql("select count(taskq.submit('work', '{}')) from generate_series(1, $tasks)");
sql('create table ledger (id bigint, token bigint, client int)');
my $worker = PostgreSQL::Test::Utils::tempdir() . '/worker.sql';
append_to_file($worker, <<'EOF');
select coalesce(max(id), 0) as id, coalesce(max(token), 0) as token from taskq.acquire('work') \gset
\set give_back random(1, 10)
\if :id = 0
\elif :give_back = 1
select taskq.release(:id, :token);
\else
begin;
insert into ledger select :id, :token, :client_id where taskq.finish(:id, :token);
end;
\endif
EOF
$node->command_ok(
	[ 'pgbench', '-n', '-c', '4', '-j', '2', '-t', '700', '-f', $worker, $node->connstr('postgres') ],
	'four workers side by side meet no error');
my $together = sql('select count(*) from ledger');
cmp_ok($together, '>', $tasks / 2, "they finished $together tasks");
is(sql("select count(*) from taskq.tasks where queue = 'work' and state = 'running'"), '0',
	'and left none running');

# What they left, as they have given back some.
sql(q{insert into ledger select id, token, -1 from taskq.acquire('work', 10000)}
	  . ' where taskq.finish(id, token)');
is(sql('select count(*), count(distinct id), count(distinct token) from ledger'), "$tasks|$tasks|$tasks",
	'each task was finished exactly once');
is( sql("select count(*), count(distinct id) from taskq.tasks t join ledger l using (id)"
		  . " where state = 'finished' and attempt = 1"),
	"$tasks|$tasks",
	'each of them in its first attempt, for releasing uses none up');

# ---- rows that are no longer where a session has seen them ------------------------------------

my $session = $node->background_psql('postgres');

sub acquire_there
{
	my $id = sql("select taskq.submit('work', '{}', priority => -1)");
	my ($acquired, $number) = split /\|/,
	  $session->query_safe(q{select id, token from taskq.acquire('work', lease_for => '1 hour')});
	is($acquired, $id, 'the session has a task');
	return ($acquired, $number);
}

sub finish_there
{
	my ($task, $number) = @_;
	return $session->query_safe("select taskq.finish($task, $number)");
}

# Others before and after it, so that its place becomes another's.
sql('vacuum full taskq_private.lease');
sql("select count(taskq.submit('work', '{}')) from generate_series(1, 40)");
sql("select count(*) from taskq.acquire('work', 20)");
my @held = acquire_there();
sql("select count(*) from taskq.acquire('work', 20)");
sql('select count(taskq.finish(id, token)) from (select * from taskq_private.lease order by id limit 10) l');
sql('vacuum full taskq_private.lease');
sql('vacuum full taskq_private.task');
is(finish_there(@held), 't', 'rows that were moved are found');

@held = acquire_there();
is(sql("select count(*) from taskq.heartbeat($held[0], $held[1])"), '1', 'another session extends a lease');
is(finish_there(@held), 't', 'and it is found');

@held = acquire_there();
sql("select taskq.release($held[0], $held[1])");
my ($again_id, $newer) = acquire('other', '1 hour');
is("$again_id " . finish_there(@held), "$held[0] f", 'the lease of somebody else is not taken for the one that was');
is(finish_there($held[0], $newer), 't', 'and is found by its own token');

# A file that has become shorter: the last lease is one that the session has seen.
sql("select count(taskq.submit('work', '{}')) from generate_series(1, 1000)");
sql("select count(*) from taskq.acquire('work', 1000, worker => 'many')");
@held = acquire_there();
$session->query_safe("select * from taskq.heartbeat($held[0], $held[1])");
sql('select count(taskq.finish(id, token)) from taskq_private.lease');
wait_until('an empty file', sub {
	sql('vacuum (truncate) taskq_private.lease');
	return sql("select pg_relation_size('taskq_private.lease')") eq '0';
});
is(finish_there(@held), 'f', 'a lease that lay behind the end of the file is none');

$session->query_safe('begin; savepoint claim');
@held = acquire_there();
$session->query_safe('rollback to claim');
is(finish_there(@held), 'f', 'nor is one that was rolled back');
$session->query_safe('rollback');
($again_id, $newer) = acquire('other', '1 hour');
is($again_id, $held[0], 'its task can be acquired again');
is(sql("select taskq.finish($again_id, $newer)"), 't', 'and finished');

# As an index scan does, a look at the row's place removes the versions that nobody needs.
@held = acquire_there();
$session->query_safe("do \$\$ begin for i in 1 .. 3000 loop perform taskq.heartbeat($held[0], $held[1]); commit; end loop; end \$\$");
cmp_ok(sql("select pg_relation_size('taskq_private.lease') / 8192"), '<=', 8, 'three thousand heartbeats fit into a few pages');
is(finish_there(@held), 't', 'and the last one is found');
$session->quit;

# ---- tokens from before a crash ------------------------------------------------------------

# With synchronous_commit off an acquire can be lost.  The WAL writer flushes at once
# what comes while it hibernates, so something else has to come first; and a session
# that commits synchronously flushes for all, so there must be none: no executor.
reconfigure($node, 'taskq.executor' => 'off', 'wal_writer_delay' => '10s');
wait_until('the end of the executor', sub { return executor_pid($node) eq '' });
sql("select taskq.submit('work', '{}') from generate_series(1, 10)");
my $lost = 0;
my %stale;
foreach my $round (1 .. 3)
{
	my $session = $node->background_psql('postgres');
	$session->query_safe('set synchronous_commit = off');
	$session->query_safe('insert into ledger values (0, 0, 0)') foreach 1 .. 3;
	my ($task, $number) = split /\|/,
	  $session->query_safe(q{select id, token from taskq.acquire('work', lease_for => '1 hour')});
	ok(!exists $stale{$number}, "round $round: the token was never seen before");
	$stale{$number} = $task;
	kill_server($node);
	eval { $session->quit };
	$node->start;
	$lost++ if sql("select state from taskq.tasks where id = $task") eq 'pending';
}
cmp_ok($lost, '>', 0, "$lost of 3 acquires were lost in a crash");
my %again = map { split /\|/ }
  split /\n/, sql(q{select token, id from taskq.acquire('work', 10, lease_for => '1 hour')});
cmp_ok(scalar(keys %again), '>=', 10 - 3 + $lost, 'their tasks can be acquired again');
is(join(' ', grep { exists $stale{$_} } keys %again), '', 'with tokens that are new');
my $refused = 0;
foreach my $old (keys %stale)
{
	next if sql("select token from taskq_private.lease where id = $stale{$old}") eq $old;
	$refused++;
	is(sql("select taskq.finish($stale{$old}, $old)"), 'f', 'the token from before the crash is refused');
}
is($refused, $lost, 'each of the lost ones');

my ($other) = keys %again;
sql('create table flushed ()');
kill_server($node);
$node->start;
is(sql("select taskq.finish($again{$other}, $other)"), 't',
	'the token of an acquire that was flushed is good after a crash');

# Restarted in between, the numbers go on, too.
$node->restart;
sql("select taskq.submit('work', '{}')");
my ($last) = sql(q{select token from taskq.acquire('work')});
is(scalar(grep { $_ >= $last } keys %again, keys %stale), 0, 'tokens grow over restarts');

$node->stop;
log_is_clean($node);
done_testing();
