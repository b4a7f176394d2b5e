# 036_failures.pl
#		What the executor could not do stands in status() until it has been done.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "autovacuum = off\nmax_worker_processes = 4");

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
}

sub row
{
	return sql("select ok, detail, hint from taskq.status() where \"check\" = '$_[0]'", $_[1]);
}

# Waits until the row of failures matches, and returns it.
sub failing
{
	my ($pattern, $database) = @_;

	return wait_until("failures: $pattern", sub { my $row = row('failures', $database); return $row =~ $pattern ? $row : undef });
}

sub all_is_well
{
	my ($name) = @_;

	failing(qr/^t\|/);
	pass($name);
	return;
}

is(row('failures'), 't|Nothing that the executor does has failed the last time.|', 'nothing has failed');

# ---- rights that an administrator takes away -------------------------------------------------

# Submits a task that the executor can try, but not finish.
sub submit
{
	return sql("select taskq.submit_http('http://127.0.0.1:1/')");
}

sub wait_attempt
{
	return wait_query($node, 'postgres', "select count(*) > 0 from taskq.attempts where task_id = $_[0]");
}

wait_attempt(submit());
my $log = -s $node->logfile;
sql('drop owned by taskq_bgw');
my $task = submit();
like(failing(qr/claim tasks/), qr/^f\|The executor could not .*: permission denied .* \(SQLSTATE 42501, \d+ times since .*\|As a superuser, call taskq_private\.grant_executor\(\)/s,
	'DROP OWNED BY taskq_bgw: status() says what fails, and how that ends');

# The log has the first failure, and then each one whose number has doubled.
sub times_of
{
	my ($work) = @_;

	return sql("select coalesce(max(times), 0) from taskq_private.failures() where work = '$work'");
}

wait_until('five failures', sub { return times_of('claim tasks') >= 5 });
my @lines = slurp_file($node->logfile, $log) =~ /executor could not claim tasks: .*?SQLSTATE 42501, (\d+) times in a row/gs;
is_deeply([ @lines[ 0 .. 2 ] ], [ 1, 2, 4 ], 'the log has the first, the second and the fourth failure');
ok(!(grep { $_ & ($_ - 1) } @lines), 'and none between');
sql('select taskq_private.grant_executor()');
all_is_well('after grant_executor() nothing fails');
wait_attempt($task);
pass('and the task is tried');

# ---- a locked table ----------------------------------------------------------------------------

sql("select taskq.submit('default', '{}', start_within => '1 ms')");
my $locker = $node->background_psql('postgres');
$locker->query_safe('begin; lock table taskq_private.start_limit in access exclusive mode');
like(failing(qr/expire tasks/), qr/^f\|.*could not expire tasks: .*lock timeout \(SQLSTATE 55P03.*\|Another session holds a lock/s,
	'a locked table is named');
$locker->query_safe('rollback');
all_is_well('and when the lock is gone nothing fails');
wait_query($node, 'postgres', "select count(*) = 1 from taskq.tasks where state = 'expired'");
pass('the task that was to expire has expired');
$locker->quit;

# ---- an event trigger of another extension --------------------------------------------------------

sql(q{create table audit (statement text);
	create function audit() returns event_trigger language plpgsql as
		$$ begin insert into public.audit values (current_query()); end $$;
	create event trigger audit on ddl_command_end execute function audit()});
my $leaf = sql(q{select max(inhrelid::regclass::text) from pg_inherits where inhparent = 'taskq_private.history'::regclass});
sql("drop table $leaf");
sql('select taskq.disarm(); select taskq.arm()');
like(failing(qr/tables of history/), qr/could not make tables of history: permission denied for table audit/,
	'an event trigger that fails for taskq_owner is told');
is(sql("select count(*) from taskq.submit('default', '{}')"), '1', 'tasks can still be submitted');
sql('drop event trigger audit; select taskq.disarm(); select taskq.arm()');
all_is_well('without it nothing fails');
is(sql("select to_regclass('$leaf') is not null"), 't', 'and the table is there again');

# ---- a table of history that belongs to another role ------------------------------------------------

# As after pg_restore --no-owner.  An executor that begins drops old tables at once.
sub restart_executor
{
	sql('select taskq.stop_executor()');
	sql('select taskq.start_executor()');
	return;
}

sql(q{create table taskq_private.history_20200101 (like taskq_private.history including constraints);
	alter table taskq_private.history attach partition taskq_private.history_20200101 for values in (20200101)});
restart_executor();
like(failing(qr/drop tables of history/), qr/permission denied for table history_20200101 \(SQLSTATE 42501.*\|As a superuser, call taskq_private\.grant_executor/s,
	'a table that cannot be dropped is told');
sql('select taskq_private.grant_executor()');
restart_executor();
wait_query($node, 'postgres', q{select to_regclass('taskq_private.history_20200101') is null});
all_is_well('with its owner again it is dropped');

# ---- a message that is too long ---------------------------------------------------------------------

# Characters of two bytes, at odd places and at even ones: none is cut in two.
sql(q{create database utf8 encoding 'UTF8' locale 'C' template template0});
sql('create extension taskq', 'utf8');
sql("select taskq.submit('default', '1')", 'utf8');
wait_query($node, 'utf8', q{select count(*) > 0 from pg_inherits where inhparent = 'taskq_private.history'::regclass});
foreach my $before ('', 'x')
{
	sql(qq{create function fail() returns event_trigger language plpgsql as
			\$\$ begin raise exception '%', '$before' || repeat(U&'\\00e4', 300); end \$\$;
		create event trigger fail on ddl_command_end execute function fail()}, 'utf8');
	sql(q{set client_min_messages = error; select taskq.disarm()}, 'utf8');
	$leaf = sql(q{select max(inhrelid::regclass::text) from pg_inherits where inhparent = 'taskq_private.history'::regclass}, 'utf8');
	sql("alter event trigger fail disable; drop table $leaf; alter event trigger fail enable; select taskq.arm()", 'utf8');
	failing(qr/tables of history/, 'utf8');
	like(sql(q{select encode(convert_to(message, 'UTF8'), 'hex') from taskq_private.failures()}, 'utf8'), qr/^(78)?(c3a4){60,72}$/, "a long message after '$before' is cut between characters");
	sql('alter event trigger fail disable; drop event trigger fail; drop function fail(); select taskq.disarm(); select taskq.arm()', 'utf8');
	failing(qr/^t\|/, 'utf8');
}

# ---- no background worker -----------------------------------------------------------------------------

# All four are taken: by the launchers of logical replication and of taskq, and by two executors.
sql(q{select count(*) from taskq.submit_many('default', array_fill('1'::jsonb, array[10001]))});
sql(q{select taskq.purge_queue('default')});
like(failing(qr/worker for VACUUM/), qr/could not start a worker for VACUUM: no background worker is free \(SQLSTATE 53400.*\|Raise max_worker_processes/s,
	'no worker for VACUUM: status() says so');
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
wait_until('a shortage', sub { return row('executor') =~ /no background worker is free.*\|Raise max_worker_processes/s });
pass('no worker for the executor: status() says so');

$node->stop;
done_testing();
