# 014_bystanders.pl
#		What one session does or leaves undone is in nobody else's way.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "max_connections = 30");
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# ---- a transaction that stays open ---------------------------------------------------

# It has the lease of a push task that runs: its result cannot be written, and
# its lease not extended, until the transaction ends.
sql("select taskq.create_queue('short', mode => 'push', lease_for => '1 s', url => '" . $receiver->url('/slow/3000') . "')");
my $held = sql("select taskq.submit('short', '1')");
my $beside = sql("select taskq.submit('short', '2')");
$receiver->wait_requests(2);
my $session = $node->background_psql('postgres');
$session->query_safe('begin');
$session->query_safe("select taskq.cancel($held)");
my @others = map { sql("select taskq.submit_http('" . $receiver->url('/ok') . "')") } 1 .. 5;
wait_state($node, $_, 'finished') foreach @others;
pass('an uncommitted cancel() holds up no other delivery');
wait_state($node, $beside, 'finished');
is(sql("select attempt from taskq.tasks where id = $beside"), '1', 'nor makes another task lose its lease');
is(sql("select state from taskq.tasks where id = $held"), 'running', 'while its own task has to wait');
$session->query_safe('rollback');
wait_state($node, $held, 'finished');
is(sql("select attempt from taskq.tasks where id = $held"), '1', 'whose result is written after the rollback');

# It has a task in hand that is to expire.
sql("select taskq.create_queue('work')");
my $late = sql("select taskq.submit('work', start_within => '1 s')");
$session->query_safe('begin');
$session->query_safe("select count(*) from taskq.acquire('work')");
my $lapses = sql("select taskq.submit('default')");
sql("select count(*) from taskq.acquire('default', 1, '1500 ms')");
wait_query($node, 'postgres', "select state from taskq.tasks where id = $lapses", 'pending');
pass('an uncommitted acquire() keeps no other lease from being taken back');
is(sql("select state from taskq.tasks where id = $late"), 'pending', 'while its own task is left alone');
$session->query_safe('rollback');
is(sql("select count(*) from taskq.acquire('work')"), '0', 'which has expired when it is looked at next');
is(sql("select state from taskq.tasks where id = $late"), 'expired', 'and is so recorded');
$session->quit;

# ---- a task that has failed very often with very much to say -----------------------------

my $wordy = sql("select taskq.submit('work', max_attempts => 1000)");
sql(q{do $$ declare t record; begin for i in 1 .. 290 loop
	select * into t from taskq.acquire('work');
	perform taskq.fail(t.id, t.token, repeat('e', 9000), to_jsonb(repeat(i::text, 300000)), retry_in => '0');
end loop; end $$});
sql("select taskq.finish(id, token) from taskq.acquire('work')");
is(sql("select state from taskq.tasks where id = $wordy"), 'finished', 'it can be ended');
is(sql("select count(*), min(attempt), max(attempt), max(length(error)), count(detail) from taskq.attempts where task_id = $wordy"),
	'100|191|290|8192|0', 'and its last attempts are kept, without the long details');

# ---- a lease without its task ---------------------------------------------------------------

# Only damage can do this: a lease without its task.
my $broken = sql("select taskq.submit('work')");
my $fine = sql("select taskq.submit('work', priority => 5)");
sql("select count(*) from taskq.acquire('work', 2, '100 ms')");
sql("delete from taskq_private.task where id = $broken");
wait_query($node, 'postgres', "select state from taskq.tasks where id = $fine", 'pending');
wait_query($node, 'postgres', "select count(*) = 0 from taskq_private.lease where id = $broken");
pass('goes, and keeps no other from being taken back');

# ---- tokens, often enough to meet a page border of the WAL -----------------------------------

sql("select count(*) from taskq.submit_many('default', (select array_agg('1'::jsonb) from generate_series(1, 1100)))");
sql('select taskq.stop_executor()');
my ($status, undef, $err) = $node->psql('postgres',
	join("\n", ("begin; select count(*) from taskq.acquire('default', 1030); rollback;") x 1500));
is($err, '', '1500 blocks of tokens are taken without an error');

# ---- a payload stays in the mode it was submitted in ---------------------------------------------

sql("select taskq.create_queue('mode')");
$session = $node->background_psql('postgres');
$session->query_safe('begin');
$session->query_safe("select taskq.submit('mode', '\"confidential\"')");
($status, undef, $err) = $node->psql('postgres', "select taskq.alter_queue('mode', mode => 'push', url => '" . $receiver->url('/ok') . "')");
like($err, qr/queue "mode" is in use/, 'the mode is not changed under a submit that is not committed');
$session->query_safe('commit');
$session->quit;
my $dead = sql("with a as (select * from taskq.acquire('mode')) select a.id from a where taskq.fail(a.id, a.token, 'x', retryable => false) = 'dead'");
sql("select taskq.drop_queue('mode'); select taskq.create_queue('mode', mode => 'push', url => '" . $receiver->url('/ok') . "')");
($status, undef, $err) = $node->psql('postgres', "select taskq.retry($dead)");
like($err, qr/has another mode now/, 'nor is a task brought back into another mode');

$node->stop;
log_is_clean($node);
done_testing();
