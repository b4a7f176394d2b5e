# 024_vacuum.pl
#		Dead rows of the hot tables are given back without autovacuum, when no
#		snapshot needs them; and a vacuum under way stands in nobody's way.

use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $node = taskq_node('main', conf => "autovacuum = off\n");

# More than are too few to mind.
my $many = 15000;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub pass_through
{
	my ($tasks, $database) = @_;

	$node->safe_psql($database // 'postgres',
		"select count(*) from taskq.submit_many('default', array_fill(null::jsonb, array[$tasks]));"
		  . "select taskq.purge_queue('default')");
}

my $vacuums = q{select vacuum_count from pg_stat_user_tables where schemaname = 'taskq_private' and relname = };

sub vacuums
{
	return sql($vacuums . "'$_[0]'");
}

wait_executor($node);
pass_through($many / 10);
sql("select count(*) from taskq.submit_many('default', array_fill(null::jsonb, array[10]))");
is(vacuums('task'), 0, 'a few dead rows are left alone');

# ---- behind a snapshot ---------------------------------------------------------------------

my $old = $node->background_psql('postgres');
$old->query_safe('begin isolation level repeatable read; select count(*) from taskq.tasks');
pass_through($many);
wait_query($node, 'postgres',
	"select n_dead_tup >= $many from pg_stat_user_tables where schemaname = 'taskq_private' and relname = 'task'");
# Two looks at the number of dead rows: the executor's transactions go on meanwhile.
wait_polls($node) for 1 .. 10;
is(vacuums('task'), 0, 'nothing is vacuumed while an old snapshot needs the rows');
# A holder that is not old, but keeps many dead rows, is a problem.
my $holders = q{select ok || ' ' || severity from taskq.status() where "check" = 'xmin holders'};
is(sql($holders), 'true ok', 'status() does not mind so few rows');
sql("insert into taskq_private.key select 0, i::text, i from generate_series(1, 100000) i; delete from taskq_private.key where queue_id = 0;
	create table burnt (i int)");
sql('do $$ begin for i in 1 .. 10001 loop begin insert into burnt values (i); exception when division_by_zero then null; end; end loop; end $$');
wait_query($node, 'postgres', "select ($holders) = 'false warning'");
like(sql(q{select detail from taskq.status() where "check" = 'xmin holders'}),
	qr/session with pid \d+ .*keeps rows .* have \d{6} dead rows/, 'it does so many: it names the session');
$old->query_safe('commit');
$old->quit;
wait_query($node, 'postgres', "select (${vacuums}'task') > 0");
pass('when it has gone, they are');
is(sql($holders), 'true ok', 'and status() is content');
wait_query($node, 'postgres',
	"select n_dead_tup < $many from pg_stat_user_tables where schemaname = 'taskq_private' and relname = 'task'");
wait_query($node, 'postgres', q{select count(*) = 0 from pg_stat_activity where backend_type = 'taskq vacuum'});
pass('and the process has left');

# ---- space is used again -------------------------------------------------------------------

my $size = q{select sum(pg_relation_size(c.oid)) from pg_class c
	where relnamespace = 'taskq_private'::regnamespace and relname in ('task', 'task_pkey', 'task_dispatch')};
my $before = sql($size);
for my $round (1 .. 3)
{
	my $done = vacuums('task');
	pass_through($many);
	wait_query($node, 'postgres', "select (${vacuums}'task') > $done");
	wait_query($node, 'postgres',
		q{select count(*) = 0 from pg_stat_activity where backend_type = 'taskq vacuum'});
}
cmp_ok(sql($size), '<=', 1.5 * $before, 'three times as many tasks later the tables are hardly longer');

# ---- a table that another session has locked --------------------------------------------------

my $locker = $node->background_psql('postgres');
$locker->query_safe('begin; lock table taskq_private.task in share update exclusive mode');
my $passed_over = vacuums('task');
my $log = log_size($node);
pass_through($many);
wait_log($node, qr/skipping vacuum of "task" --- lock not available/, $log);
$locker->query_safe('commit');
$locker->quit;
wait_query($node, 'postgres', "select (${vacuums}'task') > $passed_over");
pass('is passed over, and vacuumed later');
wait_query($node, 'postgres', q{select count(*) = 0 from pg_stat_activity where backend_type = 'taskq vacuum'});

# ---- a vacuum that takes long ----------------------------------------------------------------

my $running = q{select count(*) = 1 from pg_stat_activity where backend_type = 'taskq vacuum' and datname = 'other'};

sub start_slow_vacuum
{
	reconfigure($node, 'vacuum_cost_limit' => '1', 'vacuum_cost_delay' => '100ms');
	sql('create database other');
	$node->safe_psql('other', 'create extension taskq');
	wait_query($node, 'postgres',
		q{select count(*) = 1 from pg_stat_activity where backend_type = 'taskq executor' and datname = 'other'});
	pass_through($many, 'other');
	wait_query($node, 'postgres', $running);
	return time();
}

my $start = start_slow_vacuum();
my $id = $node->safe_psql('other', "select taskq.submit('default'); select count(*) from taskq.acquire('default')");
is($id =~ s/.*\n//r, 1, 'tasks come and go meanwhile');
sql('drop database other');
cmp_ok(time() - $start, '<', 10, 'DROP DATABASE stops it');

$start = start_slow_vacuum();
$node->stop('fast');
cmp_ok(time() - $start, '<', 10, 'so does a fast shutdown');
log_is_clean($node);
done_testing();
