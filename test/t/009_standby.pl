# 009_standby.pl
#		On a hot standby tasks can be looked at; after the promotion they are
#		delivered.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use Test::More;

use TaskqTest;

my $primary = taskq_node('primary', init => [ allows_streaming => 1 ], conf => 'taskq.executor = off');
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	my ($node, $query) = @_;

	return $node->safe_psql('postgres', $query);
}

# The SQLSTATE of an error, and its message.
sub error_of
{
	my ($node, $query) = @_;

	return ($node->psql('postgres', "\\set VERBOSITY verbose\n$query"))[2];
}

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'taskq.executor = on');
$standby->start;

my $url = $receiver->url('/ok');
my $done = sql($primary, "select taskq.submit('default', '{}')");
sql($primary, "select taskq.finish(id, token, '[1]') from taskq.acquire('default')");
my $pending = sql($primary, "select taskq.submit_http('$url', '{}')");
my $leased = sql($primary, "select taskq.submit('default', '{}')");
my ($id, $token) = split /\|/, sql($primary, "select id, token from taskq.acquire('default')");
sql($primary, q{select taskq.create_queue('clock'); select taskq.schedule('each', '{"queue": "clock"}', every => '1 s', overlap => 'allow')});
# The acquire has not waited for the disk; this does, and only what is on the disk is sent.
sql($primary, q{select pg_logical_emit_message(true, 'taskq', 'all before is flushed')});
$primary->wait_for_catchup($standby);

# ---- while it is one ------------------------------------------------------------------

is(sql($standby, 'select id, state from taskq.tasks order by id'),
	"$done|finished\n$pending|pending\n$leased|running", 'the tasks can be seen');
is(sql($standby, "select state, result from taskq.result($done)"), 'finished|[1]', 'result()');
is(sql($standby, "select count(*) from taskq.response($pending)"), '0', 'response()');
is(sql($standby, 'select count(*) > 1 from taskq.queues'), 't', 'queues');
is(sql($standby, "select pending, running from taskq.queue_stats('default')"), '0|1', 'queue_stats()');
is(sql($standby, "select value::text from taskq.metrics() where name = 'taskq_queue_pending_tasks' and labels ->> 'queue' = 'default'"),
	sql($standby, "select pending from taskq.queue_stats('default')"), 'metrics()');
like(sql($standby, q{select ok, detail from taskq.status() where "check" = 'executor'}),
	qr/^f\|.*standby/, 'status() says why none runs');
is(sql($standby, q{select string_agg("check", ', ') filter (where not ok) from taskq.status()}), 'executor, schedules',
	'no schedule fires; each other check can be made there, and finds nothing');
like(error_of($standby, "select taskq.submit('default', '{}')"), qr/ERROR:  25006:/,
	'submit() fails with 25006');
like(error_of($standby, "select taskq.submit_http('$url')"), qr/ERROR:  25006:/, 'submit_http()');
like(error_of($standby, "select * from taskq.acquire('default')"), qr/ERROR:  25006:/, 'acquire()');
like(error_of($standby, "select taskq.finish($id, $token)"), qr/ERROR:  25006:/, 'finish()');
like(error_of($standby, "select taskq.cancel($pending)"), qr/ERROR:  25006:/, 'cancel()');
like(error_of($standby, 'select taskq.arm()'), qr/ERROR:  25006:/, 'arm()');
like(error_of($standby, 'select taskq.start_executor()'), qr/ERROR:  TQ009:/,
	'start_executor() fails with TQ009');
# Of several runs, so that some are missed.
wait_query($standby, 'postgres', "select next_run < now() - interval '2 s' from taskq.schedules");
is(sql($standby, 'select count(*) from taskq.schedule_runs'), '0', 'a schedule whose time has come is not fired');
is(sql($standby, "select count(*) from pg_stat_activity where backend_type ~ 'taskq'"), '0',
	'no process of taskq runs');
is(scalar($receiver->requests), 0, 'and nothing is sent');

# Events can be read there, too: each once, also those of a transaction that was open for some time.
sql($primary, "select taskq.create_queue('told', events => '{submitted}')");
my $cursor = sql($primary, 'select cursor from taskq.events_after()');
my $open = $primary->background_psql('postgres');
$open->query_safe("begin; select taskq.submit('told', '\"late\"')");

# What comes next on the standby: the number of events, and the cursor behind them.
sub read_there
{
	$primary->wait_for_catchup($standby);
	return split /\|/, sql($standby, "select count(event) || '|' || (array_agg(cursor order by ord desc))[1] from taskq.events_after('$_[0]') with ordinality"
		  . ' as e (cursor, at, task_id, queue, event, data, ord)'), 2;
}

sql($primary, "select taskq.submit('told', '1')");
my ($count, $there) = read_there($cursor);
is($count, 1, 'an event is read on the standby');
$open->query_safe('commit');
$open->quit;
($count, $there) = read_there($there);
is($count, 1, 'and one that commits late');
is((read_there($there))[0], 0, 'once');
is(sql($standby, "call taskq.wait_events('$cursor', '1 s')"), 't', 'wait_events()');
sql($standby, 'select pg_wal_replay_pause()');
wait_query($standby, 'postgres', "select pg_get_wal_replay_pause_state() = 'paused'");
sql($primary, "select taskq.submit('told', '1')");
my $ahead = sql($primary, 'select cursor from taskq.events_after()');
like(error_of($standby, "select taskq.events_after('$ahead')"), qr/ERROR:  TQ009: the cursor is ahead of this standby/, 'a cursor that is ahead');
sql($standby, 'select pg_wal_replay_resume()');
is((read_there($there))[0], 1, 'events that come then');
sql($primary, "select taskq.drop_queue('told', force => true)");
$primary->wait_for_catchup($standby);

# ---- promoted --------------------------------------------------------------------------

$primary->stop;
$standby->promote;
wait_state($standby, $pending, 'finished');
is(join(' ', map { $_->{task} } $receiver->requests), $pending,
	'after the promotion the pending task is sent, and nothing else');
wait_query($standby, 'postgres', q{select count(*) >= 2 and count(*) = count(distinct run_at) from taskq.schedule_runs where outcome = 'submitted'});
pass('and schedules fire');
is(sql($standby, q{select count(*) from taskq.schedule_runs where outcome = 'missed'}), '1', 'the times before it were missed, but for the latest one');
sql($standby, q{select taskq.unschedule('each')});
is(sql($standby, "select taskq.finish($id, $token)"), 't', 'a lease from before can be finished');
sql($standby, "select taskq.submit('default', '{}')");
cmp_ok(sql($standby, "select token from taskq.acquire('default')"), '>', $token, 'tokens go on');
$id = sql($standby, "select taskq.submit_http('$url', '{}')");
cmp_ok($id, '>', $leased, 'so do ids');
wait_state($standby, $id, 'finished');

$standby->stop;
log_is_clean($_) foreach $primary, $standby;
done_testing();
