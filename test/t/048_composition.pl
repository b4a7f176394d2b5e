# 048_composition.pl
#		At most once over kills of workers and of the server; the repair of ten
#		thousand dead tasks.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

# Nobody but those who wait for the disk writes the log, so what does not wait is lost in a kill.
my $node = taskq_node('main', conf => <<'END');
autovacuum = off
wal_writer_delay = '10 s'
shared_buffers = '16MB'
END
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# psql, with a file of statements and a file for what it prints, which it writes at once.
sub start_psql
{
	my ($name, $script) = @_;

	append_to_file("$dir/$name.sql", $script);
	return IPC::Run::start([ 'psql', '-XqAt', '-f', "$dir/$name.sql", '-o', "$dir/$name.out", $node->connstr('postgres') ],
		'<', \undef, '2>', \my $stderr);
}

sub printed_by
{
	my ($name) = @_;

	my @lines = -e "$dir/$name.out" ? split /\n/, slurp_file("$dir/$name.out") : ();

	return @lines;
}

# ---- a search that takes too long, meanwhile -------------------------------------------------

sql("select taskq.create_queue('slow')");
my $holder = $node->background_psql('postgres');
$holder->query_safe('begin; lock table taskq_private.key in access exclusive mode');
my $search = start_psql('search', <<'END');
select extract(epoch from clock_timestamp()) as t \gset
do $$ begin
	perform taskq.redrive('slow', error => 'x');
exception when query_canceled then null;
end $$;
select round(extract(epoch from clock_timestamp())::numeric - :t) >= 29;
END
my $bad = start_psql('bad', <<'END');
do $$ begin
	begin
		perform taskq.redrive('slow', error => '(');
	exception when invalid_regular_expression then null;
	end;
	perform pg_sleep(31);
end $$;
select 'goes on';
END
$search->finish;
is(join(' ', printed_by('search')), 't', 'a search may take 30 s');
$bad->finish;
is(join(' ', printed_by('bad')), 'goes on', 'and its limit does not outlive it');
$holder->quit;

# ---- at most once ----------------------------------------------------------------------------

sql("select taskq.create_queue('once', lease_for => '1 s', retry => 'none')");
sql("select count(*) from taskq.submit_many('once', array(select to_jsonb(i) from generate_series(1, 10000) i))");

# A worker has begun a task when it knows that it owns it: when psql has printed the id.  It takes
# its time, so that there are tasks for all workers of all rounds.
my %begun;
my $workers = 0;

sub start_worker
{
	my $name = 'worker' . ++$workers;

	return ($name, start_psql($name, "select id from taskq.acquire('once');\nselect pg_sleep(0.003) \\g /dev/null\n" x 2000));
}

foreach my $round (1 .. 6)
{
	my %run = map { start_worker() } 1 .. 3;
	my @victims = keys %run;

	wait_until('the workers', sub { return !grep { printed_by($_) < 20 } @victims });
	if ($round % 2)
	{
		kill_server($node);
	}
	else
	{
		$run{$_}->kill_kill foreach @victims;
	}
	foreach my $name (@victims)
	{
		eval { $run{$name}->finish };
		$begun{$_}++ foreach grep { /^\d+$/ } printed_by($name);
	}
	$node->start if $round % 2;
}
cmp_ok(scalar(keys %begun), '>', 300, scalar(keys %begun) . ' tasks were begun');
wait_query($node, 'postgres', 'select count(*) = 0 from taskq_private.lease');
{
	my ($name, $run) = start_worker();
	wait_until('a last worker', sub { return printed_by($name) > 20 });
	$run->kill_kill;
	eval { $run->finish };
	$begun{$_}++ foreach grep { /^\d+$/ } printed_by($name);
}
is(join(' ', grep { $begun{$_} > 1 } keys %begun), '', 'none of them twice');
wait_query($node, 'postgres', 'select count(*) = 0 from taskq_private.lease');
my $ids = join ',', keys %begun;
is(sql("select state, error, attempt, count(*) from taskq.tasks where id in ($ids) group by 1, 2, 3"),
	'dead|lease lost|1|' . keys %begun, 'each has ended: lease lost');

# Only a release gives it back.
my ($id, $token) = split /\|/, sql("select id, token from taskq.acquire('once', lease_for => '1 h')");
kill_server($node);
$node->start;
is(sql("select taskq.release($id, $token)"), 't', 'released after a kill');
is(sql("select state, attempt from taskq.tasks where id = $id"), 'pending|0', 'it has not begun');

# ---- the repair of many ----------------------------------------------------------------------

sql(<<'END');
select taskq.create_queue('mail', retry => 'none');
create table dead as
	select i as id from taskq.submit_many('mail', array(select jsonb_build_object('n', n, 'text',
		(select string_agg(md5(n || ' ' || m), '') from generate_series(1, 320) m)) from generate_series(1, 10000) n)) i;
END
sql("select count(taskq.fail(id, token, 'connection refused')) from taskq.acquire('mail', 1000)") foreach 1 .. 10;
is(sql("select count(*) from dead d join taskq.tasks t using (id) where t.state = 'dead'"), '10000', 'ten thousand dead tasks of 10 kB');
my ($took, $redriven, $peak) = split /\n/, sql(<<'END');
create table took as select clock_timestamp() as began;
create table answer as select taskq.redrive('mail', error => 'refused', max_tasks => 10000, spread => '1 hour') as n;
select round(1000 * extract(epoch from clock_timestamp() - began)) from took;
select n from answer;
select (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'VmHWM:\s+(\d+)'))[1];
END
is($redriven, '10000', "all were brought back, in $took ms");
cmp_ok($peak, '<', 120_000, "in $peak kB of memory");
my $even = <<'END';
select count(*), count(distinct t.id), min(t.attempt), max(t.attempt), count(distinct t.payload -> 'n'), min(length(t.payload ->> 'text')),
	max(gap) - min(gap) < interval '1 ms', round(extract(epoch from sum(gap)) / 3600, 2)
from (select t.*, t.run_at - lag(t.run_at) over (order by t.run_at) as gap from taskq.tasks t join dead using (id) where t.state = 'pending') t
END
is(sql($even), '10000|10000|0|0|10000|10240|t|1.00', 'with their ids and contents, evenly over an hour');
is(sql("select count(*) from (select t.id, lag(t.id) over (order by t.run_at) as before from taskq.tasks t join dead using (id)) x where before > id"),
	'0', 'in the order of their ends');
kill_server($node);
$node->start;
is(sql($even), '10000|10000|0|0|10000|10240|t|1.00', 'and so they are after a kill');
is(sql("select count(*) from taskq.tasks where queue = 'mail' and state = 'dead'"), '0', 'each once');

$node->stop;
log_is_clean($node);
done_testing();
