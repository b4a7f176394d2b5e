# 021_durability.pl
#		What a crash may undo: an acquire by itself, and the finish of a queue that
#		says so.  Whatever else the caller wrote is there, and no token comes twice.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

# Nobody but those who commit writes the log, so what did not wait for it is lost.
my $node = taskq_node('main', conf => <<'END');
taskq.executor = off
autovacuum = off
wal_writer_delay = '10 s'
END
my @killed;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub crash
{
	kill_server($node);
	$node->start;
	return;
}

sub state_of
{
	return sql("select state || ' ' || attempt from taskq.tasks where id = $_[0]");
}

sub submit
{
	my ($queue) = @_;

	return sql("select taskq.submit('" . ($queue // 'default') . "')");
}

sql("create table effect (id bigint, token bigint)");
sql("select taskq.create_queue('loose', durable_finish => false)");

# The first calls read pages of the catalog that they may have to tidy, which is written, too.
submit();
sql("select taskq.finish(id, token) from taskq.acquire('default')") for 1 .. 2;

# ---- an acquire by itself ------------------------------------------------------------------

my $id = submit();
my (undef, $lost) = split /\|/, sql("select id, token from taskq.acquire('default')");
crash();
is(state_of($id), 'pending 0', 'an acquire by itself may be lost');
my (undef, $next) = split /\|/, sql("select id, token from taskq.acquire('default')");
cmp_ok($next, '>', $lost, 'and its token does not come again');
is(sql("select taskq.finish($id, $lost)"), 'f', 'nor is it good for anything');
is(sql("select taskq.finish($id, $next)"), 't', 'the new one is');
crash();
is(state_of($id), 'finished 1', 'a finish is not lost');

$id = submit();
sql("set taskq.acquire_sync = on; select count(*) from taskq.acquire('default')");
crash();
is(state_of($id), 'running 1', 'with acquire_sync an acquire is not lost');

# ---- an acquire that uses the last attempt ---------------------------------------------------

sub submit_with
{
	my ($attempts, $queue) = @_;

	return sql("select taskq.submit('" . ($queue // 'last') . "', max_attempts => $attempts)");
}

sql("select taskq.finish(id, token) from taskq_private.lease");
sql("select taskq.create_queue('last')");
$id = submit_with(1);
sql("select count(*) from taskq.acquire('last')");
crash();
is(state_of($id), 'running 1', 'an acquire that uses the only attempt is not lost');
is(sql("select taskq.fail(id, token, 'x') from taskq_private.lease"), 'dead', 'and the task does not start again');

$id = submit_with(2);
sql("set synchronous_commit = off; select count(*) from taskq.acquire('last')");
crash();
is(state_of($id), 'pending 0', 'one that uses the first of two attempts may be');
sql("select taskq.fail(id, token, 'x', retry_in => '0') from taskq.acquire('last')");
sql("set synchronous_commit = off; select count(*) from taskq.acquire('last')");
crash();
is(state_of($id), 'running 2', 'one that uses the second is not, even with synchronous_commit off');
sql("select taskq.finish(id, token) from taskq_private.lease");

my @both = (submit_with(2), submit_with(1));
sql("select count(*) from taskq.acquire('last', 2)");
crash();
is(join(', ', map { state_of($_) } @both), 'running 1, running 1', 'nor are the others of the same call');
sql("select taskq.finish(id, token) from taskq_private.lease");

@both = (submit_with(1), submit_with(2));
sql("begin; select count(*) from taskq.acquire('last'); select count(*) from taskq.acquire('last'); commit");
crash();
is(join(', ', map { state_of($_) } @both), 'running 1, running 1', 'nor is a second call in its transaction');
sql("select taskq.finish(id, token) from taskq_private.lease");

# ---- with something else in its transaction ------------------------------------------------

my $taken = "select id, token from taskq.acquire('default')";
my @with = (
	'in the same statement' => "with a as ($taken) insert into effect select * from a",
	'in a statement before' => "begin; insert into effect values (0, 0); $taken; commit",
	'in a statement after' => "begin; $taken; insert into effect values (0, 0); commit",
	'between two' => "begin; $taken; insert into effect values (0, 0); select count(*) from taskq.acquire('default'); commit",
	'in a subtransaction' => "begin; $taken; savepoint s; insert into effect values (0, 0); release s; commit",
	'in a function' => "do \$\$ begin perform taskq.acquire('default'); insert into effect values (0, 0); end \$\$",
	'by another call' => "begin; $taken; select taskq.submit('other') is not null; commit");
sql("select taskq.create_queue('other')");
while (my ($where, $statement) = splice @with, 0, 2)
{
	sql('truncate effect');
	$id = submit();
	sql($statement);
	crash();
	is(state_of($id), 'running 1', "what is written $where keeps the acquire");
	is(sql("select (select count(*) from effect) + (select count(*) from taskq.tasks where queue = 'other')"), '1', 'and itself')
	  unless $where =~ /call/;
	sql("select taskq.finish(id, token) from taskq_private.lease");
}
sql('truncate effect');
$id = submit();
sql("begin; $taken; savepoint s; insert into effect values (0, 0); rollback to s; commit");
crash();
like(state_of($id), qr/^(pending 0|running 1)$/, 'what is rolled back keeps nothing');

# ---- finish --------------------------------------------------------------------------------

$id = submit('loose');
sql("set taskq.acquire_sync = on; select count(*) from taskq.acquire('loose')");
is(sql("select taskq.finish(id, token) from taskq_private.lease where id = $id"), 't', 'finished');
crash();
is(state_of($id), 'running 1', 'without durable_finish a finish may be lost');
is(sql("select taskq.finish(id, token) from taskq_private.lease where id = $id"), 't', 'and done again');
sql('select pg_switch_wal()');

$id = submit('loose');
sql("set taskq.acquire_sync = on; select count(*) from taskq.acquire('loose')");
sql("begin; insert into effect values (1, 1); select taskq.finish(id, token) from taskq_private.lease where id = $id; commit");
crash();
is(state_of($id), 'finished 1', 'an effect in its transaction keeps it');

my ($loose, $firm) = (submit('loose'), submit());
sql("set taskq.acquire_sync = on; select count(*) from taskq.acquire('loose') a, taskq.acquire('default') b");
sql("select count(*) from taskq.finish_many((select array_agg(id order by id) from taskq_private.lease), (select array_agg(token order by id) from taskq_private.lease))");
crash();
is(state_of($loose) . ', ' . state_of($firm), 'finished 1, finished 1', 'so does the finish of a task of another queue');

$id = submit();
my $second = submit();
sql("set taskq.acquire_sync = on; select count(*) from taskq.acquire('default')");
sql("select count(*) from taskq.finish_and_acquire('default', (select array_agg(id) from taskq_private.lease), (select array_agg(token) from taskq_private.lease))");
crash();
is(state_of($id) . ', ' . state_of($second), 'finished 1, running 1', 'finish_and_acquire() is as durable as finish()');

# ---- without preload -------------------------------------------------------------------------

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$id = submit();
sql("select count(*) from taskq.acquire('default')");
crash();
is(state_of($id), 'running 1', 'without preload an acquire waits for the disk');

$node->stop;
log_is_clean($node);
done_testing();
