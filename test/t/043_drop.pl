# 043_drop.pl
#		drop_queue() of a queue with many tasks: nobody waits for it, and for everybody
#		the queue is gone and its tasks are cancelled at once.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $many = 60_000;
my $node = taskq_node('main', conf => "autovacuum = off\nmax_wal_size = 4GB");
my $receiver = TaskqTest::Receiver->start;
my $url = $receiver->url('/ok');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Waits until nothing is left of dropped queues.
sub wait_empty
{
	wait_query($node, 'postgres', 'select count(*) = 0 from taskq_private.dropped_queue');
	is( sql('select count(*) from taskq_private.task t where not exists (select from taskq_private.all_queues q where q.id = t.queue_id)'),
		0, 'no task of it is left');
	is( sql('select count(*) from taskq_private.key k where not exists (select from taskq_private.all_queues q where q.id = k.queue_id)'),
		0, 'nor a key');
	return;
}

# ---- many tasks ---------------------------------------------------------------------------

sql(q{select taskq.create_queue('many', lease_for => '1 hour', keep_key => '1 day'), taskq.create_queue('other')});
sql("select count(*) from taskq.submit_many('many', array_fill('1'::jsonb, array[10000]), delay => '1 hour')") for 2 .. $many / 10000;
sql(q{select count(*) from taskq.submit_many('many', array_fill('1'::jsonb, array[10000]), (select array_agg('k' || i) from generate_series(1, 10000) i))});
my ($running, $token) = split /\|/, sql(q{select id, token from taskq.acquire('many', worker => 'w')});
my $failed = sql(q{select id from (select id, token from taskq.acquire('many')) a, taskq.fail(id, token, 'x', retry_in => '1 hour')});
my $ended = sql(q{select id from (select id, token from taskq.acquire('many')) a, taskq.finish(id, token, '"done"')});

# Transactions that have used the queue and do not end for now.
my $late = $node->background_psql('postgres');
my $late_task = $late->query_safe(q{begin; select taskq.submit('many', '2', key => 'late')});
my $idle = $node->background_psql('postgres');
$idle->query_safe(q{begin; select count(*) from taskq.acquire('many', 1) where false});

# A procedure that uses another queue while this one is dropped and emptied, and requests are sent.
# It commits after each call, and fails if it has to wait for a lock.
sql(q{create procedure use_other() language plpgsql as $$
begin
	perform taskq.submit('other', '1');
	commit;
	loop
		perform taskq.submit('other', '1'), (select count(*) from taskq.acquire('other') a, taskq.finish(a.id, a.token));
		commit;
		exit when exists (select from taskq_private.dropped_queue)
			and not exists (select from taskq_private.task t, taskq_private.dropped_queue d where t.queue_id = d.id and t.id % 1000 = 0);
		perform pg_sleep(0.001);
		commit;
	end loop;
end $$});
my $other = $node->background_psql('postgres', on_error_stop => 0);
$other->query_until(qr/begins/, "\\echo begins\nset lock_timeout = '50ms';\ncall use_other();\n");
wait_query($node, 'postgres', q{select count(*) > 2 from taskq.tasks where queue = 'other'});
sql("select count(taskq.submit_http('$url', '{}', delay => i * interval '20 ms')) from generate_series(1, 2000) i");

my $took = seconds(sub { is(sql(q{select taskq.drop_queue('many', force => true)}), 't', "a queue of $many tasks is dropped") });
cmp_ok($took, '<', 1.5, sprintf('at once (%.3f s)', $took));
is(sql(q{select count(*) from taskq.queues where queue = 'many'}), 0, 'it does not exist any more');
is( sql(q{select string_agg(distinct state || ' ' || error, ', ') from taskq.tasks where queue = 'many' and id <> } . $ended),
	'cancelled queue dropped', 'each of its live tasks is cancelled');
is(sql(q{select count(*) from taskq.tasks where queue = 'many'}), $many, 'and shown once');
is(sql("select state, error, ended_at is not null from taskq.result($failed)"), 'cancelled|queue dropped|t', 'result() says so');
is(sql("select state, result from taskq.tasks where id = $ended"), 'finished|"done"', 'a task that had ended stays as it was');
is(sql("select taskq.finish($running, $token)"), 'f', 'a worker has lost its lease');
is(sql("select count(*) from taskq.heartbeat($running, $token)"), 0, 'which its heartbeat tells');
is(sql("select taskq.cancel($failed)"), 'f', 'a cancelled task cannot be cancelled');
is(sql("call taskq.wait($failed, '0')"), 'cancelled|', 'nor waited for');
is(sql(q{select count(*) from taskq.workers where queue = 'many'}), 0, 'nobody works on it');
is(sql("select error from taskq.attempts where task_id = $failed"), 'x', 'what has failed before can be seen');

# The name is free.
sql(q{select taskq.create_queue('many', keep_dead => '2 days')});
my $new = sql(q{select taskq.submit('many', '3', key => 'k1')});
is(sql(q{select id from taskq.acquire('many')}), $new, 'a new queue of the name has tasks and keys of its own');
is(sql(q{select taskq.drop_queue('many', force => true)}), 't', 'and can be dropped while the old one is emptied');

# Nobody waits.
$other->query('select 1');
is($other->{stderr}, '', 'no call on another queue waits for a lock meanwhile');
$other->quit;
my ($due, $sent, $slowest_request) = split /\|/,
  sql(q{select count(*), count(ended_at), round(1000 * max(extract(epoch from coalesce(ended_at, clock_timestamp()) - run_at)))}
	  . q{ from taskq.tasks where queue = 'http' and run_at < clock_timestamp()});
cmp_ok($sent, '>', $due / 2, "requests were sent ($sent of $due, the slowest took $slowest_request ms)");

# A task that was submitted before and is committed now.
wait_polls($node) for 1 .. 3;
is(sql('select count(*) from taskq_private.dropped_queue'), 2, 'both are known as long as a transaction may submit to them');
$late->query_safe('commit');
$late->quit;
wait_query($node, 'postgres', "select state = 'cancelled' from taskq.tasks where id = $late_task");
wait_query($node, 'postgres', "select count(*) = 1 from taskq_private.all_history where id = $late_task");
pass('a task that is committed afterwards is cancelled');
$idle->query_safe('commit');
$idle->quit;
wait_empty();
is( sql(q{select state, error, count(*), count(distinct id) from taskq_private.all_history where queue = 'many' group by 1, 2 order by 1}),
	"finished||1|1\ncancelled|queue dropped|" . ($many + 1) . '|' . ($many + 1), 'each task is in the history once');
is(sql("select worker, attempt from taskq.tasks where id = $running"), 'w|1', 'with its worker');
is_consistent($node, 'at the end');

# ---- without an executor -----------------------------------------------------------------

sql('select taskq.stop_executor()');
sql(q{select taskq.create_queue('quiet')});
sql(q{select count(*) from taskq.submit_many('quiet', array_fill('1'::jsonb, array[1000]))});
sql(q{select taskq.drop_queue('quiet', force => true)});
is(sql(q{select count(*) from taskq.tasks where queue = 'quiet' and state = 'cancelled'}), 1000, 'tasks are cancelled without an executor');
my $worker = $node->background_psql('postgres');
wait_until('the end of the tasks', sub {
	$worker->query_safe(q{select count(*) from taskq.acquire('default')});
	return sql('select count(*) from taskq_private.dropped_queue') eq '0';
});
$worker->quit;
is(sql(q{select count(*) from taskq_private.all_history where queue = 'quiet'}), 1000, 'sessions that acquire end them');

# A cancelled task that is not in the history yet can be retried like those that are.
sql(q{select taskq.create_queue('quiet')});
my @quiet = map { sql(q{select taskq.submit('quiet', '1')}) } 1 .. 2;
sql(q{select taskq.submit('quiet', '1', priority => -1) from generate_series(1, 400)});
sql(q{select taskq.drop_queue('quiet', force => true)});
is(sql("select count(*) from taskq_private.task where id in ($quiet[0], $quiet[1])"), 2, 'two tasks that are left');
my ($retry_status, $retry_output, $retry_error) = $node->psql('postgres', "select taskq.retry($quiet[0])");
like($retry_error, qr/queue "quiet" does not exist/, 'retry() says that the queue of a task is gone');
sql(q{select taskq.create_queue('quiet')});
is(sql("select taskq.retry($_)"), 't', 'with a new queue of the name it retries') foreach @quiet;
is(sql(q{select string_agg(id::text, ' ' order by id) from taskq.acquire('quiet', 10)}), "@quiet", 'and the new queue has the tasks');
sql(q{select taskq.drop_queue('quiet', force => true)});

# ---- small steps -------------------------------------------------------------------------

# However many tasks the queue has, one transaction ends a batch of 64 and begins no further one
# after 256 tasks; if an administrator's index makes each end slow, after 20 ms.
sub left_query
{
	return qq{select count(*) from taskq_private.task where queue_id = (select max(id) from taskq_private.queue_names where name = '$_[0]')};
}

sub left_of
{
	return sql(left_query($_[0]));
}

sql(q{select taskq.create_queue('large')});
sql(q{select count(*) from taskq.submit_many('large', array_fill('1'::jsonb, array[2000]), (select array_agg('k' || i) from generate_series(1, 2000) i))});
my $drop = $node->background_psql('postgres', on_error_stop => 0);
$drop->query_safe(q{begin; select taskq.drop_queue('large', force => true)});
nobody_waits($node, $drop, 'a transaction that drops a queue stays open', privileges => 0);
my $left = left_of('large');
cmp_ok($left, '<', 2000, "the drop has ended some tasks ($left of 2000 are left)");
cmp_ok($left, '>=', 2000 - 256 - 63, 'and not more than one pass ends');
cmp_ok(sql(q{select count(*) from taskq_private.key where key ~ '^k[0-9]+$'}), '>=', 2000 - 256 - 63 - 1000, 'nor many keys');
# Entries of ended tasks count as seen, and without an executor the sessions that acquire end tasks as
# well: so these entries are gone, and the transaction itself counts what it has left.
sql('vacuum taskq_private.task');
$drop->query_safe('begin; select taskq_private.empty_queues()');
my $left_then = $drop->query_safe(left_query('large'));
cmp_ok($left_then, '<', $left, 'a pass of the duty ends some tasks');
cmp_ok($left_then, '>=', $left - 256 - 63, 'and is as small');
nobody_waits($node, $drop, 'a pass that empties queues stays open');
sql(q{create function slow(text) returns text language plpgsql immutable as $$ begin perform pg_sleep(0.001); return $1; end $$;
	create index slow on taskq_private.history (slow(queue)) where queue = 'slow'});
sql(q{select taskq.create_queue('slow')});
sql(q{select count(*) from taskq.submit_many('slow', array_fill('1'::jsonb, array[400]))});
sql(q{select taskq.drop_queue('slow', force => true)});
is(left_of('slow'), 400 - 64, 'slow ends make a pass smaller');
sql('drop index taskq_private.slow');

# ---- without force -----------------------------------------------------------------------

# A transaction that stays open does not keep others from their calls while the drop waits for it.
sql(q{select taskq.start_executor(), taskq.create_queue('careful')});
$late = $node->background_psql('postgres');
$late->query_safe(q{begin; select taskq.submit('careful')});
$drop->query_until(qr/begins/, "\\echo begins\nselect taskq.drop_queue('careful');\n");
my $longest = 0;
while (sql(q{select count(*) from pg_stat_activity where query ~ '^select taskq.drop_queue' and state = 'active'}) > 0)
{
	my $this = seconds(sub { sql(q{select taskq.submit('default', '1')}) });
	$longest = $this if $this > $longest;
}
cmp_ok($longest, '<', 1, sprintf('a submit takes %.3f s meanwhile', $longest));
$drop->query('select 1');
like($drop->{stderr}, qr/queue "careful" is in use/, 'it gives up after a while');
$late->query_safe('commit');
my ($status, $output, $error) = $node->psql('postgres', q{select taskq.drop_queue('careful')});
like($error, qr/queue "careful" has live tasks/, 'a queue with tasks is not dropped');
sql(q{select taskq.purge_queue('careful')});
is(sql(q{select taskq.drop_queue('careful')}), 't', 'one without is');

# Without an executor, sessions that acquire do its work, and may stay open after it.
sql(q{select taskq.stop_executor(), taskq.create_queue('left'), taskq.create_queue('beside')});
sql(q{select taskq.submit('left', '1', key => 'k'), taskq.drop_queue('left', true)});
$late->query_safe(q{begin; select taskq.acquire('beside')});
$drop->{stderr} = '';
$drop->query_safe(q{set lock_timeout = '1 s'; select taskq.acquire('beside')}) for 1 .. 3;
pass('a session that has forgotten a queue keeps no other from acquiring');
$late->query_safe('commit');
sql(q{select taskq.start_executor()});
$late->quit;
$drop->quit;
wait_empty();
is_consistent($node, 'at last');

$node->stop;
log_is_clean($node);
done_testing();
