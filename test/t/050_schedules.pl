# 050_schedules.pl
#		Schedules by the clock: the table of docs/schedules.md, how late firings are, times that
#		pass while the server is down or killed, sessions that are in the way, roles that
#		go, copies of the database, many schedules at once.
#
# TASKQ_CHAOS_SECONDS is for `make soak`: a hundred kills instead of three.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use TaskqTest;

my $KILLS = $ENV{TASKQ_CHAOS_SECONDS} ? 100 : 3;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
}

sub wait_sql
{
	my ($query, $expected) = @_;

	wait_query($node, 'postgres', $query, $expected);
	return;
}

# A schedule of each second.
sub each_second
{
	my ($name, $more) = @_;

	sql("select taskq.schedule('$name', '{\"queue\": \"default\"}', every => '1 s', starts => date_trunc('second', now()) + interval '1 s'"
		  . ($more // '') . ')');
	return;
}

sub wait_runs
{
	my ($name, $outcome, $count) = @_;

	wait_sql("select count(*) >= $count from taskq.schedule_runs where schedule = '$name' and outcome = '$outcome'");
	return;
}

sub drop_all
{
	sql(q{select taskq.unschedule(schedule) from taskq.schedules});
	return;
}

# ---- the table of the documentation ----------------------------------------------------------

sub check_row
{
	my ($expression, $zone, $after, $next) = @_;
	my @next = split /, /, $next;
	my $definition = $expression =~ /^every `(.*)` from (.*)$/ ? "every => '$1', starts => '$2'"
	  : $expression =~ /^`(.*)`$/ ? "cron => '$1'" : die "neither cron nor every: $expression";
	my $found = sql("select string_agg(to_char(t at time zone 'UTC', 'YYYY-MM-DD HH24:MI\"Z\"'), ', ') from taskq.next_runs($definition,"
		  . " timezone => '$zone', after => '$after', runs => " . @next . ') t');

	is($found, $next, "$expression in $zone after $after");
	return;
}

my @rows = slurp_file(dirname(__FILE__) . '/../../docs/schedules.md')
  =~ /^\| (every `[^|]*|`[^|]*`) \| ([\w\/]+) \| (\d{4}[^|]*Z) \| ([^|]*Z) \|/mg;
cmp_ok(scalar(@rows), '>=', 4 * 17, 'docs/schedules.md has the table');
check_row(splice(@rows, 0, 4)) while @rows;

# ---- how late firings are ----------------------------------------------------------------------

# 200 firings in ten seconds: returns by how many ms all but the latest two of them were late.
sub sample
{
	my ($round) = @_;

	sql("select taskq.schedule('r${round}_' || n, '{\"queue\": \"default\"}', every => '1 s', overlap => 'allow',"
		  . q{ starts => date_trunc('second', now()) + interval '1.5 s' + n * interval '50 ms',}
		  . q{ ends => date_trunc('second', now()) + interval '11.5 s' + n * interval '50 ms') from generate_series(0, 19) n});
	wait_sql('select count(*) = 200 from taskq.schedule_runs');
	my $late = sql('select round(1000 * extract(epoch from fired_at - run_at)) from taskq.schedule_runs order by 1 desc offset 2 limit 1');
	is(sql('select string_agg(distinct outcome, $$ $$) from taskq.schedule_runs'), 'submitted', "round $round: each time has a task");
	is(sql('select count(*) from (select schedule, count(distinct date_trunc($$second$$, run_at)) as n, max(run_at) - min(run_at) as span'
			  . q{ from taskq.schedule_runs group by 1) as r where n = 10 and span = '9 s'}),
		'20', "round $round: consecutive times");
	drop_all();
	return $late;
}

my $late = 1000;
foreach my $round (1 .. 3)
{
	my $sample = sample($round);
	note("round $round: $sample ms late");
	$late = $sample if $sample < $late;
	last if $late <= 50;
}
cmp_ok($late, '<=', 50, 'of 200 firings 99 of 100 are at most 50 ms late');

# ---- the key for receivers -----------------------------------------------------------------------

sql("select taskq.schedule('call', '{\"url\": \"" . $receiver->url('/ok/call') . "\", \"method\": \"GET\"}', every => '1 s')");
my ($request) = $receiver->wait_requests(1, '/ok/call');
like($request->{headers}{'x-task-key'}, qr/^call\@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/, 'X-Task-Key');
drop_all();

# ---- a worker that takes longer --------------------------------------------------------------------

each_second("slow_$_", ", overlap => '$_'") foreach qw(skip replace allow);
wait_runs("slow_$_", 'submitted', 1) foreach qw(skip replace allow);
# The latest task of each, which its worker now holds.
my %slow = map { my ($name, @lease) = split /\|/; $name => \@lease } split /\n/, sql(
	q{select split_part(key, '@', 1), id, token from taskq.acquire('default', 1000) where key ~ '^slow_' order by id});
my $waiting = q{select count(*) from taskq.tasks where state = 'pending' and key ~ '^slow_%s@'};
my $submitted = sql(q{select count(*) from taskq.schedule_runs where schedule = 'slow_replace' and outcome = 'submitted'});
wait_runs('slow_skip', 'skipped', 2);
wait_runs("slow_$_", 'submitted', $submitted + 2) foreach qw(replace allow);
is(sql(q{select count(*) from taskq.schedule_runs where schedule = 'slow_skip' and outcome = 'submitted'}), '1', 'skip: none while the task runs');
is(sql(sprintf($waiting, 'skip')), '0', 'skip: so it is the only one');
is(sql(sprintf($waiting, 'replace')), '1', 'replace: one task waits, and those before it do not any more');
cmp_ok(sql(sprintf($waiting, 'allow')), '>=', 2, 'allow: each waits');
is(join(' ', map { sql('select cancel_requested from taskq.heartbeat(' . join(', ', @{ $slow{"slow_$_"} }) . ')') } qw(skip replace allow)),
	'f t f', 'the worker of a task that was replaced is asked to stop');
is(sql('select taskq.finish(' . join(', ', @$_) . ')'), 't', 'a worker that takes longer finishes its task') foreach values %slow;
wait_runs('slow_skip', 'submitted', 2);
drop_all();
sql("select taskq.release(id, token) from taskq_private.lease; select taskq.purge_queue('default')");

# ---- times that pass while nothing can fire -----------------------------------------------------------

# Whether each time of a schedule since its first one was submitted or counted as missed, none twice.
# Returns the number of those submitted and of those missed.
sub account
{
	my ($name, $what) = @_;
	my ($times, $submitted, $keys, $missed) = split /\|/, sql(qq{
		with r as (select * from taskq.schedule_runs where schedule = '$name'),
			t as (select key from taskq.tasks where key like '$name\@%')
		select (select extract(epoch from s.next_run - s.starts)::int from taskq.schedules s where s.schedule = '$name'),
			(select count(*) from t), (select count(distinct key) from t),
			(select coalesce(sum(substring(error from 'missed (\\d+) time')::int), 0) from r where outcome = 'missed')});

	is($keys, $submitted, "$what: $name: no time has two tasks");
	is($submitted + $missed, $times, "$what: $name: each time has a task or was missed");
	return ($submitted, $missed);
}

each_second($_, ", overlap => 'allow', missed => '$_'") foreach qw(skip once all);
wait_runs($_, 'submitted', 2) foreach qw(skip once all);
$node->stop;
usleep(3_300_000);
$node->start;
wait_sql(qq{select count(*) = 3 from (select schedule from taskq.schedule_runs
	where fired_at > pg_postmaster_start_time() and outcome = 'submitted' group by 1 having count(*) >= 2) as s});
# The number of times made up: those whose task came much later.
sub made_up
{
	my ($name) = @_;

	return sql("select count(*) from taskq.schedule_runs where schedule = '$name' and outcome = 'submitted' and fired_at - run_at > '700 ms'"
		  . ' and fired_at > pg_postmaster_start_time()');
}
my (undef, $skipped) = account('skip', 'down');
my (undef, $once) = account('once', 'down');
my (undef, $all) = account('all', 'down');
cmp_ok($skipped, '>=', 3, 'skip: all three were missed');
cmp_ok($once, '>=', 2, 'once: the latest was made up');
cmp_ok($once, '<=', $skipped, 'once: but one');
is($all, 0, 'all: none was missed');
cmp_ok(made_up('all'), '>=', 2, 'all: the times were made up');

# ---- kills -----------------------------------------------------------------------------------------------

foreach my $kill (1 .. $KILLS)
{
	usleep(int(rand($KILLS > 3 ? 5_000_000 : 1_500_000)));
	kill_server($node);
	$node->start;
	my $after = sql('select pg_postmaster_start_time()');
	wait_sql("select count(distinct schedule) = 3 from taskq.schedule_runs where fired_at > '$after' and outcome = 'submitted'");
}
foreach my $name (qw(skip once all))
{
	my ($tasks, $keys, $gaps) = split /\|/, sql(qq{select count(*), count(distinct key), max(at) - min(at) - (count(*) - 1) * interval '1 s'
		from (select key, split_part(key, '\@', 2)::timestamptz as at from taskq.tasks where key like '$name\@%') as t});
	is($keys, $tasks, "kills: $name: no time has two tasks");
	is($gaps, '00:00:00', "kills: $name: each time has one") if $name eq 'all';
}
is_consistent($node, 'after kills');
drop_all();
sql("select taskq.purge_queue('default')");

# ---- sessions that are in the way ------------------------------------------------------------------------

# A change of a schedule that is not committed, a key that is not committed, a queue that is being dropped.
each_second('free', ", overlap => 'allow'");
each_second('changed');
sql("select taskq.create_queue('going')");
my $session = $node->background_psql('postgres');
$session->query_safe("begin; select taskq.pause_schedule('changed')");
my $runs = sql("select count(*) from taskq.schedule_runs where schedule = 'changed'");
my $free = sql("select count(*) from taskq.schedule_runs where schedule = 'free'");
wait_runs('free', 'submitted', $free + 2);
is(sql("select count(*) from taskq.schedule_runs where schedule = 'changed'"), $runs, 'a schedule that is being changed waits');
$session->query_safe('rollback');
wait_sql("select count(*) > $runs from taskq.schedule_runs where schedule = 'changed'");
sql("select taskq.unschedule('changed')");

my $at = sql("select date_trunc('second', now()) + interval '2 s'");
my $key = sql("select taskq_private.time_text('$at')");
sql("select taskq.schedule('held', '{\"queue\": \"going\"}', every => '1 day', starts => '$at')");
$session->query_safe("begin; select taskq.submit('going', key => 'held\@$key')");
wait_sql("select now() > '$at'::timestamptz + interval '1 s'");
$free = sql("select count(*) from taskq.schedule_runs where schedule = 'free'");
wait_runs('free', 'submitted', $free + 2);
is(sql("select count(*) from taskq.schedule_runs where schedule = 'held'"), '0', 'a key that is held keeps one schedule waiting, and no other');
cmp_ok(sql("select count(*) from taskq.schedule_runs where schedule = 'free' and outcome = 'missed'"), '==', 0, 'others are in time');
$session->query_safe('rollback');
wait_runs('held', 'submitted', 1);
# After a minute that is a failure.
sql("select taskq.schedule('late', '{\"queue\": \"going\"}', every => '1 day', starts => date_trunc('second', now()) - interval '5 min')");
$key = sql("select taskq_private.time_text(starts) from taskq.schedules where schedule = 'late'");
$session->query_safe("begin; select taskq.submit('going', key => 'late\@$key')");
sql("update taskq_private.schedule set next_run = starts where name = 'late'; select taskq_private.schedules_changed()");
wait_runs('late', 'failed', 1);
is(sql("select error from taskq.schedule_runs where schedule = 'late'"), '55P03: another session holds a lock, such as on the key of the task',
	'a key that is held for more than a minute is a failure');
$session->query_safe('rollback');
sql("select taskq.unschedule(n), taskq.purge_queue('going') from unnest(array['held', 'late']) n");

# Deliveries go on meanwhile.
sql("select taskq.submit_http('" . $receiver->url('/ok/meanwhile') . "', delay => '1 s')");
$session->query_safe("begin; select taskq.drop_queue('going')");
$free = sql("select max(run_at) from taskq.schedule_runs where schedule = 'free'");
$receiver->wait_requests(1, '/ok/meanwhile');
pass('a queue that is being dropped holds up no request');
cmp_ok(sql("select max(run_at) - '$free' from taskq.schedule_runs where schedule = 'free'"), 'le', '00:00:01', 'schedules wait');
$session->query_safe('commit');
wait_sql("select max(run_at) > now() - interval '1 s' from taskq.schedule_runs where schedule = 'free' and outcome = 'submitted'");
pass('and go on when it is dropped');
$session->quit;
drop_all();

# ---- what is gone ------------------------------------------------------------------------------------------

sql("create role clerk login; create role leaver login; select taskq.create_queue('soon')");
sql("select taskq.grant_queue('default', r, '{submit}'), taskq.grant_queue('soon', r, '{submit}') from unnest(array['clerk', 'leaver']) r");
sql("set role clerk; select taskq.schedule('right', '{\"queue\": \"soon\"}', every => '1 s', overlap => 'allow'),"
	  . " taskq.schedule('kept', '{\"queue\": \"default\"}', every => '1 s', overlap => 'allow')");
sql("set role leaver; select taskq.schedule('owner', '{\"queue\": \"default\"}', every => '1 s', overlap => 'allow')");
each_second('queue', ", overlap => 'allow'");
sql("select taskq.create_queue('short'); select taskq.schedule('queue', '{\"queue\": \"short\"}', every => '1 s', overlap => 'allow')");
wait_runs($_, 'submitted', 1) foreach qw(right kept owner queue);
is(sql("select count(*) from taskq.tasks t join taskq.schedules s on s.last_task = t.id"), '4', 'each has its last task');
sql("select taskq.revoke_queue('soon', 'clerk', '{submit}'); select taskq.drop_queue('short', force => true)");
sql("select taskq.revoke_queue(q, 'leaver', '{submit}') from unnest(array['default', 'soon']) q; drop role leaver");
wait_runs($_, 'failed', 2) foreach qw(right owner queue);
my $kept = sql("select count(*) from taskq.schedule_runs where schedule = 'kept'");
wait_runs('kept', 'submitted', $kept + 1);
is(sql("select count(*) from taskq.schedule_runs where schedule = 'kept' and outcome = 'failed'"), '0', 'others go on');
like(sql("select detail from taskq.status() where \"check\" = 'schedules'"), qr/^Schedule "\w+" failed at .*: TQ00[17]: /, 'status() tells');
is(sql("select string_agg(distinct substring(error for 5), ' ' order by substring(error for 5)) from taskq.schedule_runs where outcome = 'failed'"),
	'TQ001 TQ007', 'why each has failed');

# ---- copies ------------------------------------------------------------------------------------------------

sql("select taskq.unschedule(schedule) from taskq.schedules where schedule <> 'kept'");
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
sql('create database copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ], 'pg_restore');
my $copied = sql('select count(*) from taskq.schedule_runs', 'copy');
cmp_ok($copied, '>', 0, 'schedules and their runs are in the dump');
wait_executor($node, 'copy');
wait_polls($node, 'copy');
is(sql('select count(*) from taskq.schedule_runs', 'copy'), $copied, 'a copy that is not armed fires nothing');
like(sql("select detail from taskq.status() where \"check\" = 'schedules'", 'copy'), qr/^This database is not armed, /, 'status() says so');
# Of several runs, so that one is missed.
wait_query($node, 'copy', "select next_run < now() - interval '2 s' from taskq.schedules");
# As in another cluster, where the role has another OID.
sql("update taskq_private.schedule set owner_oid = 1; select taskq.arm()", 'copy');
wait_query($node, 'copy', "select count(*) >= 2 from taskq.schedule_runs where outcome = 'submitted' and fired_at > now() - interval '3 s'");
is(sql("select count(*) from taskq.schedule_runs where outcome = 'missed'", 'copy'), '1', 'an armed copy makes up the latest time');
$node->safe_psql('copy', "select taskq.unschedule('kept')");
drop_all();

# ---- many at once ------------------------------------------------------------------------------------------

sql("select taskq.schedule('one', '{\"queue\": \"default\"}', every => '1 day')");
sql(q{insert into taskq_private.schedule (name, owner_name, owner_oid, task, every, timezone, overlap, missed, missed_within, jitter,
			paused, created_at, counted_from, next_run)
		select 'many' || n, owner_name, owner_oid, task, every, timezone, overlap, missed, missed_within, jitter, paused, created_at, now(), now()
		from taskq_private.schedule, generate_series(1, 10000) n});
sql('select taskq_private.schedules_changed()');
wait_sql("select count(*) = 10000 from taskq_private.schedule_run where schedule ~ '^many' and outcome = 'submitted'");
is(sql(q{select count(distinct schedule), count(distinct task_id), count(*) from taskq_private.schedule_run where schedule ~ '^many'}),
	'10000|10000|10000', '10 000 schedules that are due at once: each fires once');
# How long that takes is measured by bench/.
note('in ' . sql("select max(fired_at) - min(fired_at) from taskq_private.schedule_run where schedule ~ '^many'"));

$node->stop;
log_is_clean($node);
done_testing();
