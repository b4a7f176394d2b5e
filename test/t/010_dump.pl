# 010_dump.pl
#		A dump that is restored into another database brings everything back and
#		sends nothing.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
}

# ---- something of each kind -----------------------------------------------------------

my $url = $receiver->url('/ok');
sql("select taskq.create_retry_policy('once', max_attempts => 1)");
sql("select taskq.create_queue('kept', keep_finished => '400 days', retry => 'once')");
sql("create role clerk; select taskq.grant_queue('kept', 'clerk', '{submit, view}')");
sql("select taskq.create_queue('hook', mode => 'push', url => '$url/hook')");
my $sent = sql("select taskq.submit_http('$url', '{}')");
my $gone = $receiver->url('/status/410');
my $failed = sql("select taskq.submit_http('$gone', headers => '{\"X-A\": \"b\"}')");
wait_state($node, $sent, 'finished');
wait_state($node, $failed, 'dead');
# A history of ten days, and a shipped queue that was changed.
sql("select taskq.alter_queue('default', lease_for => '2 min')");
sql("select taskq.create_queue('day' || n, keep_finished => n * interval '1 day') from generate_series(1, 10) n");
sql('select taskq_private.make_history()');
sql("select taskq.submit('day' || n) from generate_series(1, 10) n");
sql("select taskq.finish(id, token) from generate_series(1, 10) n, taskq.acquire('day' || n)");
is(sql("select count(distinct tableoid) >= 10 from taskq_private.history where queue ~ '^day'"), 't', 'ended tasks stand in ten dated tables');

sql('select taskq.stop_executor()');
my $ended = sql("select taskq.submit('kept', '{\"a\": 1}', kind => 'k')");
sql("select taskq.finish(id, token, '[1]') from taskq.acquire('kept')");
my $dead = sql("select taskq.submit('kept', '{\"b\": 2}')");
sql("select taskq.fail(id, token, 'oh', '{\"c\": 3}') from taskq.acquire('kept')");
my $leased = sql("select taskq.submit('kept', '{}')");
my ($id, $token) = split /\|/, sql("select id, token from taskq.acquire('kept', lease_for => '1 hour')");
my $once_failed = sql("select taskq.submit('default', '{}')");
sql("select taskq.fail(id, token, 'again', retry_in => '1 hour') from taskq.acquire('default')");
my $due = sql("select taskq.submit('hook', '{\"d\": 4}')");
my $delayed = sql("select taskq.submit_http('$url/delayed', delay => '2 s')");
sql("select taskq.create_queue('outside', mode => 'push', url => '$url', executor => 'external')");
sql("create role carrier; select taskq.grant_queue('outside', 'carrier', '{work}')");
my $carried = sql("select taskq.submit('outside', '{}')");
my $later = sql("select taskq.submit('default', run_at => 'infinity', priority => -3)");

# Follow-ups of a queue, of tasks that wait, run and are dead, of a lease; a topic.
sql(q{select taskq.create_queue('orders', mode => 'topic'), taskq.create_queue('bill'), taskq.create_queue('stock')});
sql(q{select taskq.subscribe('orders', 'bill', '{placed}'), taskq.subscribe('orders', 'stock')});
sql(q{select taskq.grant_queue('orders', 'clerk', '{submit}')});
sql(q{select taskq.create_queue('followed', retry => 'none', on_finish => '{"topic": "orders", "kind": "placed"}', on_dead => '{"queue": "stock", "kind": "lost"}')});
my $own = q{on_finish => '{"queue": "bill", "kind": "own"}', on_dead => '[{"queue": "bill", "kind": "dead"}, {"queue": "bill", "kind": "dead too"}]'};
my $followed_dead = sql("select taskq.submit('followed', on_finish => '{\"queue\": \"bill\", \"kind\": \"revived\"}')");
sql("select taskq.fail(id, token, 'no') from taskq.acquire('followed')");
sql("select taskq.purge_queue('stock')");
my $running = sql("select taskq.submit('followed', $own)");
my ($run_id, $run_token) = split /\|/, sql("select id, token from taskq.acquire('followed', lease_for => '1 hour')");
sql(qq{select taskq.add_follow_up($running, on_finish => '{"queue": "bill", "kind": "added"}')});
my $waiting = sql("select taskq.submit('followed', $own)");

# Groups, limits, an ordered queue, keys that are held.
sql("select taskq.create_queue('line', ordered => true), taskq.set_limit('line', 7, rate => 3, per => '1 h'), taskq.set_group_limit('line', null, 2),
	taskq.set_group_limit('line', 'a', 3, weight => 5)");
sql("select taskq.submit('line', '1', group_key => 'a', key => 'held', unique_for => '1 day', max_wait => '1 h'), taskq.submit('line', '2', group_key => 'b')");
sql("insert into taskq_private.start_mark select id, 0, now() + interval '1 h' from taskq_private.queue where name = 'line'");

# A task that waits for others.
sql("select taskq.create_queue('first'), taskq.create_queue('then')");
my $first = sql("select taskq.submit('first')");
my $then = sql("select taskq.submit('then', delay => '1 ms', start_within => '1 h', after => array[$first], after_failure => 'run')");

# ---- dump and restore --------------------------------------------------------------------

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
sql('create database copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ],
	'pg_restore --exit-on-error');

foreach my $query (
	'select * from taskq.tasks order by id',
	'select * from taskq.limits order by queue, scope, group_key',
	'select * from taskq_private.flow_limit order by queue_id, scope, group_id',
	'select * from taskq_private.start_mark',
	'select id, group_id, group_key, retry_at from taskq_private.task order by id',
	'select * from taskq_private.key order by queue_id, key',
	'select * from taskq_private.waiting',
	'select * from taskq_private.prerequisite',
	'select * from taskq.attempts order by task_id, attempt',
	'select * from taskq.queues order by queue',
	'select * from taskq.queue_grants',
	'select * from taskq.subscriptions order by 1, 2',
	'select id, on_finish, on_dead from taskq_private.task order by id',
	'select id, on_finish, on_dead from taskq_private.lease order by id',
	'select * from taskq_private.retry_policy order by name',
	"select * from taskq.response($sent)",
	'select tableoid::regclass::text, id from taskq_private.history order by id',
	'select * from taskq_private.history_rest order by id')
{
	my $rows = "select r from ($query) r";
	my $before = sql($rows);
	isnt($before, '', "$query: something is there") unless $query =~ /history_rest/;
	is(sql($rows, 'copy'), $before, "$query: is the same in the copy");
}
is(sql('select count(*) from taskq.tasks'), '28', 'all tasks are there')
  or diag(sql('select id, state from taskq.tasks order by id'));

is(sql("set role clerk; select count(*) > 0, bool_and(queue = 'kept') from taskq.tasks", 'copy'), 't|t', 'rights on a queue are those of before');

# ---- the copy sends nothing --------------------------------------------------------------

wait_executor($node, 'copy');
wait_query($node, 'copy', "select clock_timestamp() > run_at from taskq.tasks where id = $delayed");
wait_polls($node, 'copy');
is(scalar($receiver->requests('/ok/')), 0, 'neither what is due nor what becomes due is sent from the copy');
is(sql(q{select ok from taskq.status() where "check" = 'armed'}, 'copy'), 'f', 'status() says why');
is(sql(q{select ok from taskq.status() where "check" = 'armed'}), 't', 'the original is armed');

my $claim = "set role carrier; select id from taskq_private.push_claim(10, null, 'carrier')";
is(sql($claim, 'copy'), '', 'nor does another program get anything to send');

# ---- and lives ------------------------------------------------------------------------------

my $new = sql("select taskq.submit('default', '{}')", 'copy');
cmp_ok($new, '>', $later, 'a new task gets a new id');
is(sql("select count(*) from taskq.tasks where id = $new", 'copy'), '1', 'that nobody has');
is(sql("select taskq.create_queue('another')", 'copy'), '', 'a new queue');
is(sql("select taskq.finish($id, $token)", 'copy'), 't', 'a lease of the original is one of the copy');
my $new_token = sql("select token from taskq.acquire('default')", 'copy');
cmp_ok($new_token, '>', $token, 'tokens go on');
is(sql("select taskq.retry($dead)", 'copy'), 't', 'a dead task can be brought back');
is(sql("select payload from taskq.acquire('kept')", 'copy'), '{"b": 2}', 'with its payload');

sub kinds
{
	return sql("select string_agg(queue || ' ' || kind, ', ' order by queue collate \"C\", kind) from taskq.tasks"
		  . " where queue in ('bill', 'stock') and state = 'pending' and kind is not null", 'copy');
}

is(sql("select taskq.finish($run_id, $run_token)", 'copy'), 't', 'a running task with follow-ups ends');
is(kinds(), 'bill added, bill own, bill placed, stock placed', 'with its own, the added one, and those of the queue and of the topic');
sql(q{select taskq.purge_queue('bill'), taskq.purge_queue('stock')}, 'copy');
is(sql("select id, taskq.fail(id, token, 'no') from taskq.acquire('followed')", 'copy'), "$waiting|dead", 'a pending one dies');
is(kinds(), 'bill dead, bill dead too, stock lost', 'with its follow-ups');
sql(q{select taskq.purge_queue('bill'), taskq.purge_queue('stock')}, 'copy');
is(sql("select taskq.retry($followed_dead)", 'copy'), 't', 'a dead one is brought back');
sql("select taskq.finish(id, token) from taskq.acquire('followed')", 'copy');
is(kinds(), 'bill placed, bill revived, stock placed', 'with its follow-ups');
is(sql(q{set role clerk; select count(*) from taskq.publish('orders', kind => 'placed')}, 'copy'), '2', 'a topic keeps subscribers and privileges');

sql("select taskq.finish(id, token) from taskq.acquire('first')", 'copy');
is(sql("select count(*) from taskq.acquire('then')", 'copy'), '0', 'a task that waits for others waits until arm()');

my $took = seconds(sub {
	sql('select taskq.arm()', 'copy');
	wait_state($node, $_, 'finished', 'copy') foreach $due, $delayed;
});
cmp_ok($took, '<', 10, sprintf('arm() finds what the restore brought (%.2f s)', $took));
wait_query($node, 'copy', "select run_at is not null from taskq.tasks where id = $then");
pass('the wait of a task whose prerequisites have ended is over');
is(sql($claim, 'copy'), $carried, 'another program gets what it is to send');
is(join(' ', sort map { $_->{path} } $receiver->requests('/ok/')), '/ok/delayed /ok/hook',
	'armed, the copy sends');
is(sql("select state from taskq.tasks where id = $due"), 'pending', 'its own, not those of the original');
is(sql('select taskq.start_executor()'), 't', 'and the original');
wait_state($node, $_, 'finished') foreach $due, $delayed;
is(scalar($receiver->requests('/ok/')), 4, 'its own');

# ---- tables of history, which no copy makes ---------------------------------------------------

sql('create database empty');
sql('create extension taskq', 'empty');
wait_executor($node, 'empty');
wait_polls($node, 'empty');
my $tables = q{select count(*) > 0 from pg_inherits where inhparent = 'taskq_private.history'::regclass};
is(sql($tables, 'empty'), 'f', 'a database that was not armed has none');
$took = seconds(sub {
	sql('select taskq.arm()', 'empty');
	wait_query($node, 'empty', $tables);
});
cmp_ok($took, '<', 20, sprintf('arm() has them made at once (%.2f s)', $took));

$node->stop;
log_is_clean($node);
done_testing();
