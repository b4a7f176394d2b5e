# 017_prepared.pl
#		Transactions that end otherwise than most: prepared ones, which tell nobody
#		of their commit, parts that are rolled back, and one that commits late.
#		Their tasks are found within taskq.poll_interval all the same.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $poll_ms = 500;
my $node = taskq_node('main', conf => "max_prepared_transactions = 10\ntaskq.poll_interval = '$poll_ms ms'");
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql("select taskq.create_queue('work', keep_key => '0')");
sql('create table got (id bigint, token bigint, at timestamptz)');

# The calls in one transaction that is prepared as $name; returns their results.
sub prepare
{
	my ($name, @calls) = @_;

	return sql(join("\n", 'begin;', (map { "$_;" } @calls), "prepare transaction '$name';"));
}

# Does that, and returns the server's time just before.
sub do_at
{
	my ($statement) = @_;

	my ($at) = split /\n/, sql("select clock_timestamp();\n$statement;");
	return $at;
}

# A worker that takes what comes and notes it in got, until it is dismissed.
# One that is idle has looked, found nothing, and waits.
sub hire
{
	my (%params) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir() . '/worker.sql';

	sql('truncate got');
	append_to_file($script, <<'END');
call taskq.wait_ready('work', '60 s');
insert into got select id, token, clock_timestamp() from taskq.acquire('work');
\sleep 10 ms
END
	local $ENV{PGAPPNAME} = 'worker';
	my $run = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 1, '-t', 1_000_000, '-f', $script, $node->connstr('postgres') ],
		'<', \undef, '>', \my $out, '2>', \my $err);
	wait_query($node, 'postgres', "select count(*) = 1 from pg_stat_activity
		where application_name = 'worker' and query ilike 'call taskq.wait_ready%'"
		  . ($params{idle} // 1 ? " and state = 'active' and wait_event_type = 'Extension'" : ''));
	return $run;
}

sub dismiss
{
	my ($run) = @_;

	# Its session does not notice while it waits.
	$run->signal('KILL');
	$run->finish;
	wait_query($node, 'postgres',
		"select count(pg_terminate_backend(pid)) = 0 from pg_stat_activity where application_name = 'worker'");
	return;
}

# Tests: the worker gets these tasks, the last of them not long after $at.  That
# is the poll interval, and what a busy machine needs to do anything.
sub is_offered
{
	my ($run, $what, $at, @ids) = @_;
	my $ids = join ',', sort { $a <=> $b } @ids;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_query($node, 'postgres', "select count(*) >= ${\scalar @ids} from got");
	is(sql("select string_agg(id::text, ',' order by id) from got"), $ids, "$what: offered, and nothing else is");
	my $late = sql("select round(1000 * extract(epoch from max(at) - '$at')) from got");
	cmp_ok($late, '<', $poll_ms + 1000, "$what: $late ms later");
	dismiss($run);
	is(sql('select count(*) from got where taskq.finish(id, token)'), scalar @ids, "$what: and can be finished");
	return;
}

sub state_of
{
	my ($id) = @_;

	return sql("select state, attempt, cancel_requested from taskq.tasks where id = $id");
}

# The error of a statement that may wait no longer than a moment.
sub error_of
{
	my ($statement) = @_;
	my (undef, undef, $err) = $node->psql('postgres', "set lock_timeout = '200 ms';\n$statement");

	return $err;
}

# ---- submit ------------------------------------------------------------------------------

my $id = prepare('p', "select taskq.submit('work', '1', key => 'k')");
is(sql('select count(*) from taskq.tasks'), '0', 'a prepared submit: nothing is to be seen');
is(sql("select count(*) from taskq.acquire('work')"), '0', 'nor acquired');
like(error_of("select taskq.submit('work', '2', key => 'k')"), qr/lock timeout/, 'its key is taken, if it commits');
my $worker = hire();
wait_polls($node);
is(sql('select count(*) from got'), '0', 'nor offered to a worker who waits');
my $at = do_at("commit prepared 'p'");
is_offered($worker, 'COMMIT PREPARED of a submit', $at, $id);

$id = prepare('p', "select taskq.submit('work', '1', key => 'k', start_within => '1 hour')");
sql("rollback prepared 'p'");
is( sql("select (select count(*) from taskq_private.task) + (select count(*) from taskq_private.lease) + (select count(*) from taskq_private.key)
	+ (select count(*) from taskq_private.start_limit) + (select count(*) from taskq.tasks where id = $id)"),
	'0', 'ROLLBACK PREPARED of a submit leaves no trace');
is(error_of("select taskq.submit('work', '1', key => 'k')"), '', 'and its key is free');
sql("select taskq.purge_queue('work')");

# ---- submit to a push queue -----------------------------------------------------------------

$id = prepare('p', "select taskq.submit_http('" . $receiver->url('/ok/commit') . "')");
my $other = prepare('q', "select taskq.submit_http('" . $receiver->url('/ok/rollback') . "')");
wait_polls($node);
is(scalar($receiver->requests), 0, 'a prepared push task is not sent');
$at = do_at("commit prepared 'p'");
sql("rollback prepared 'q'");
wait_state($node, $id, 'finished');
my $late = sql("select round(1000 * extract(epoch from started_at - '$at')) from taskq.tasks where id = $id");
cmp_ok($late, '<', $poll_ms + 1000, "COMMIT PREPARED: it is sent $late ms later");
wait_polls($node);
is(join(' ', map { $_->{path} } $receiver->requests), '/ok/commit', 'once, and what was rolled back is not');
is(sql("select count(*) from taskq.tasks where id = $other"), '0', 'nor to be seen');

# ---- acquire ------------------------------------------------------------------------------------

$id = sql("select taskq.submit('work')");
my (undef, $token) = split /\|/, prepare('p', "select id, token from taskq.acquire('work')");
is(sql("select count(*) from taskq.acquire('work')"), '0', 'a task of a prepared acquire is not given to another');
sql("commit prepared 'p'");
is(state_of($id), 'running|1|f', 'COMMIT PREPARED: it runs');
is(sql("select taskq.finish($id, $token)"), 't', 'and is finished with the token');

$id = sql("select taskq.submit('work')");
(undef, $token) = split /\|/, prepare('p', "select id, token from taskq.acquire('work')");
$worker = hire(idle => 0);
wait_polls($node);
is(sql('select count(*) from got'), '0', 'nor to one who keeps asking');
$at = do_at("rollback prepared 'p'");
wait_query($node, 'postgres', 'select count(*) = 1 from got');
is(state_of($id), 'running|1|f', 'ROLLBACK PREPARED: no attempt was used up');
is(sql("select taskq.finish($id, $token)"), 'f', 'the token of the acquire that never was is good for nothing');
is(sql("select token <> $token from got"), 't', 'nor given out again');
is_offered($worker, 'ROLLBACK PREPARED of an acquire', $at, $id);

# ---- finish, fail, cancel ---------------------------------------------------------------------------

# Tests: what becomes of a task that runs when the call is prepared, and then
# committed or rolled back.  In the end it is finished.
sub ends
{
	my ($what, $call, $state) = @_;

	foreach my $end ('rollback', 'commit')
	{
		my $task = sql("select taskq.submit('work')");
		my (undef, $t) = split /\|/, sql("select id, token from taskq.acquire('work')");
		prepare('p', "select " . ($call =~ s/ID/$task/r =~ s/TOKEN/$t/r));
		is(state_of($task), 'running|1|f', "a prepared $what changes nothing yet");
		like(error_of("select taskq.finish($task, $t)"), qr/lock timeout/, "but nobody else can end the task now");
		my $others = $state eq 'pending|1|f' && $end eq 'commit' ? hire() : undef;
		my $done_at = do_at("$end prepared 'p'");
		if ($others)
		{
			is_offered($others, 'COMMIT PREPARED of a fail', $done_at, $task);
			next;
		}
		is(state_of($task), $end eq 'commit' ? $state : 'running|1|f', "$what, \U$end PREPARED");
		my $ours = $end eq 'rollback' || $state =~ /running/ ? 't' : 'f';
		is(sql("select taskq.finish($task, $t)"), $ours, "$what, \U$end PREPARED: " . ($ours eq 't' ? 'it is still ours' : 'it has ended'));
	}
	return;
}

ends('finish', 'taskq.finish(ID, TOKEN)', 'finished|1|f');
ends('fail', "taskq.fail(ID, TOKEN, 'x', retry_in => '0')", 'pending|1|f');
ends('last fail', "taskq.fail(ID, TOKEN, 'x', retryable => false)", 'dead|1|f');
ends('cancel', 'taskq.cancel(ID)', 'running|1|t');

$id = sql("select taskq.submit('work')");
prepare('p', "select taskq.cancel($id)");
is(sql("select count(*) from taskq.acquire('work')"), '0', 'a pending task of a prepared cancel is not given out');
sql("commit prepared 'p'");
is(state_of($id), 'cancelled|0|f', 'COMMIT PREPARED of a cancel');
$id = sql("select taskq.submit('work')");
prepare('p', "select taskq.cancel($id)");
$worker = hire(idle => 0);
$at = do_at("rollback prepared 'p'");
is_offered($worker, 'ROLLBACK PREPARED of a cancel', $at, $id);

# Who waits for the end of a task learns of it.
$id = sql("select taskq.submit('work')");
prepare('p', "select taskq.finish(id, token, '7') from taskq.acquire('work')");
my $waiter = $node->background_psql('postgres');
$waiter->query_until(qr/waits/, "\\echo waits\ncall taskq.wait($id, '60 s');\n\\echo ready\n");
wait_query($node, 'postgres', "select count(*) = 1 from pg_stat_activity
	where query ilike 'call taskq.wait(%' and state = 'active' and wait_event_type = 'Extension'");
$at = do_at("commit prepared 'p'");
$late = seconds(sub { $waiter->query_until(qr/ready/, '') });
cmp_ok($late, '<', $poll_ms / 1000 + 1, sprintf('wait() returns %.0f ms after a COMMIT PREPARED', 1000 * $late));
$waiter->quit;

# ---- kill -9 in between --------------------------------------------------------------------------

my $running = sql("select taskq.submit('work')");
(undef, $token) = split /\|/, sql("select id, token from taskq.acquire('work', lease_for => '1 hour')");
my $waiting = sql("select taskq.submit('work', '1')");
my $new = prepare('submit', "select taskq.submit('work', '2', key => 'k')");
my $push = prepare('push', "select taskq.submit_http('" . $receiver->url('/ok/crash') . "')");
prepare('acquire', "select id from taskq.acquire('work')");
prepare('finish', "select taskq.finish($running, $token)");
kill_server($node);
$node->start;
wait_executor($node);
is(state_of($running), 'running|1|f', 'after a crash: the prepared finish is prepared');
is(state_of($waiting), 'pending|0|f', 'so is the acquire');
is(sql("select count(*) from taskq.tasks where id in ($new, $push)"), '0', 'so are the submits');
like(error_of("select taskq.submit('work', '2', key => 'k')"), qr/lock timeout/, 'with the key');
is(sql("select count(*) from taskq.acquire('work')"), '0', 'and nothing is given out');
$worker = hire(idle => 0);
wait_polls($node);
is(scalar($receiver->requests('/ok/crash')), 0, 'or sent');
sql("commit prepared 'finish'");
is(state_of($running), 'finished|1|f', 'COMMIT PREPARED of the finish');
$at = do_at("commit prepared 'submit';\nrollback prepared 'acquire'");
is_offered($worker, 'after a crash, COMMIT PREPARED of a submit, ROLLBACK PREPARED of an acquire', $at, $new, $waiting);
$at = do_at("commit prepared 'push'");
wait_state($node, $push, 'finished');
$late = sql("select round(1000 * extract(epoch from started_at - '$at')) from taskq.tasks where id = $push");
cmp_ok($late, '<', $poll_ms + 1000, "after a crash, COMMIT PREPARED of a push task: it is sent $late ms later");
is(scalar($receiver->requests('/ok/crash')), 1, 'once');

# ---- savepoints -------------------------------------------------------------------------------------

# One session, so that what a part notes for its commit meets what others note.
my $session = $node->background_psql('postgres');
my $url = $receiver->url('/ok/part');

$worker = hire();
my @parts = split /\n/, $session->query_safe(<<"END");
begin;
savepoint a;
select taskq.submit('work', '1');
select taskq.submit_http('${url}1');
rollback to a;
select taskq.submit('work', '2');
savepoint b;
select taskq.submit('work', '3');
select taskq.submit_http('${url}3');
release b;
savepoint c;
select taskq.submit('work', '4');
select taskq.submit_http('${url}4');
rollback to c;
END
$at = do_at('select');
$session->query_safe('commit');
is_offered($worker, 'parts that were released, of a transaction of which others were rolled back', $at, @parts[2, 3]);
wait_state($node, $parts[4], 'finished');
$late = sql("select round(1000 * extract(epoch from started_at - '$at')) from taskq.tasks where id = $parts[4]");
cmp_ok($late, '<', $poll_ms + 1000, "of its push tasks the one that was released is sent $late ms later");

$worker = hire();
$session->query_safe("begin;\nsavepoint a;\nselect taskq.submit('work');\nselect taskq.submit_http('${url}5');\nrollback to a;");
$session->query_safe('commit');
wait_polls($node);
is(sql('select count(*) from got'), '0', 'a transaction of which every part was rolled back brings nothing');
dismiss($worker);
is(join(' ', map { $_->{path} } $receiver->requests('/ok/part')), '/ok/part3', 'nor is anything sent of it');

# ---- a commit that comes late ---------------------------------------------------------------------------

# Whoever looks has gone past its place in the order by then.
my $early = $session->query_safe("begin;\nselect taskq.submit('work', '0')");
my $early_push = $session->query_safe("select taskq.submit_http('" . $receiver->url('/ok/early') . "')");
my $later = 300;
sql("select count(taskq.submit('work', '1')), count(taskq.submit_http('" . $receiver->url('/ok/later') . "')) from generate_series(1, $later)");
wait_until('the later ones to be worked off', sub {
	sql("select count(taskq.finish(id, token)) from taskq.acquire('work', 50)");
	return sql("select count(*) from taskq_private.task") eq '0';
});
$worker = hire();
$at = do_at('select');
$session->query_safe('commit');
is_offered($worker, "a task submitted before $later that have ended", $at, $early);
wait_state($node, $early_push, 'finished');
$late = sql("select round(1000 * extract(epoch from started_at - '$at')) from taskq.tasks where id = $early_push");
cmp_ok($late, '<', $poll_ms + 1000, "a push task: it is sent $late ms later");
$session->quit;

is_consistent($node, 'after all that');
is(sql('select count(*) from pg_prepared_xacts'), '0', 'nothing is left prepared');

$node->stop;
log_is_clean($node);
done_testing();
