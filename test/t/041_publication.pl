# 041_publication.pl
#		A publication for all tables: every call and duty works, and what they write can be
#		decoded.  Where it cannot be published, it is refused.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "wal_level = logical\nmax_replication_slots = 4", extension => 0);
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub decoded
{
	return sql(q{select count(*) from pg_logical_slot_get_binary_changes('s', null, null, 'proto_version', '1', 'publication_names', 'p')});
}

sql('create publication p for all tables');
sql("select pg_create_logical_replication_slot('s', 'pgoutput')");
add_taskq($node, 'postgres');
wait_executor($node);
is(sql(q{select relname from pg_class c where relnamespace in ('taskq'::regnamespace, 'taskq_private'::regnamespace) and relkind in ('r', 'p')
	and relreplident <> 'f' and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)}),
	'', 'every table has a primary key or an identity');

# ---- calls ------------------------------------------------------------------------------------

sql("select taskq.create_retry_policy('soon', backoff => 'fixed', base => '0', jitter => 0, max_attempts => 3)");
sql("select taskq.create_queue('work', retry => 'soon', keep_key => '10 ms')");
my $id = sql("select taskq.submit('work', '1', key => 'k', start_within => '1 hour')");
sql("select taskq.submit('work', '2', key => 'k', on_duplicate => 'replace')");
sql("select taskq.fail(id, token, 'oh') from taskq.acquire('work')");
sql("select taskq.finish(id, token) from taskq.acquire('work')");
wait_state($node, $id, 'finished');
pass('a task ends after a failed attempt');
is(sql("select taskq.cancel(taskq.submit('work'))"), 't', 'cancel()');
sql("select taskq.submit('work') from generate_series(1, 5)");
is(sql("select taskq.purge_queue('work')"), '5', 'purge_queue()');
$id = sql("select taskq.submit('work')");
sql("select taskq.fail(id, token, 'oh', retryable => false) from taskq.acquire('work')");
is(sql("select taskq.retry($id)"), 't', 'retry()');
is(sql("select taskq.drop_queue('work', true)"), 't', 'drop_queue()');
is(sql('select taskq.disarm()'), '', 'disarm()');
is(sql('select taskq.arm()'), '', 'arm()');

# ---- the executor -------------------------------------------------------------------------------

sql("select taskq.create_queue('sent', mode => 'push', retry => 'soon', lease_for => '1 s')");
$id = sql("select taskq.submit_http('" . $receiver->url('/fail/1') . "', queue => 'sent')");
wait_state($node, $id, 'finished');
pass('a request is sent, and again');
sql("select taskq.create_queue('short', retry => 'soon', lease_for => '100 ms', keep_key => '1 ms')");
my $lost = sql("select taskq.submit('short')");
sql("select count(*) from taskq.acquire('short')");
wait_query($node, 'postgres', "select class from taskq.attempts where task_id = $lost", 'lease_lost');
sql("select taskq.purge_queue('short')");
my $late = sql("select taskq.submit('short', key => 'late', start_within => '10 ms')");
wait_state($node, $late, 'expired');
wait_query($node, 'postgres', 'select count(*) from taskq_private.start_limit', '0');
wait_query($node, 'postgres', q{select clock_timestamp() > taken_until from taskq_private.key where key = 'late'});
sql('select taskq_private.drop_keys()');
is(sql(q{select count(*) from taskq_private.key where key = 'late'}), '0', 'keys are given back');
pass('leases and start limits run out');
sql('insert into taskq_private.history_rest (bucket, id, state, priority, push, attempt, max_attempts, submitted_at, run_at, ended_at, queue)
	values (20200101, 0, $$dead$$, 0, false, 1, 1, now(), now(), now(), $$x$$)');
sql('create table taskq_private.history_20200102 (like taskq_private.history including constraints);
	alter table taskq_private.history_20200102 owner to taskq_owner;
	alter table taskq_private.history attach partition taskq_private.history_20200102 for values in (20200102)');
sql('select taskq_private.drop_history()');
is(sql('select count(*) from taskq_private.history_rest where bucket = 20200101'), '0', 'ended tasks are removed');
is(sql(q{select count(*) from pg_class c join pg_inherits i on i.inhrelid = c.oid
	where i.inhparent = 'taskq_private.history'::regclass and relreplident <> 'f'}), '0', 'dated tables have an identity');
cmp_ok(decoded(), '>', 100, 'all of this can be decoded');

# ---- what cannot be published ---------------------------------------------------------------------

my $submit = "select taskq.submit('short') > 0";
is(sql($submit), 't', 'submit()');
sql('create publication filtered for table taskq_private.task where (queue_id = 1)');
my ($status, undef, $err) = $node->psql('postgres', "select taskq.purge_queue('short')");
like($err, qr/changes of table taskq_private\.task cannot be published/, 'a row filter on another column than the key is refused');
is(sql(q{select detail from taskq.status() where "check" = 'tables'}) =~ /task cannot be published/, 1, 'status() shows it');
sql(q{drop publication filtered; create publication inserts for table taskq_private.task where (queue_id = 1) with (publish = 'insert')});
is(sql("select taskq.purge_queue('short')"), '1', 'a filter of inserts is none of that');
sql('alter table taskq_private.lease replica identity nothing');
sql($submit);
($status, undef, $err) = $node->psql('postgres', "select * from taskq.acquire('short')");
like($err, qr/changes of table taskq_private\.lease cannot be published/, 'nor is a table without an identity written');
sql('alter table taskq_private.lease replica identity default');
is(sql("select count(*) from taskq.acquire('short')"), '1', 'with one it is');
cmp_ok(decoded(), '>', 0, 'and decoded');

$node->stop;
log_is_clean($node);
done_testing();
