# 049_follow_ups.pl
#		kill -9 again and again while tasks end: there are as many follow-ups as ends,
#		and each end has its own.
#
# TASKQ_KILLS is for `make test-all` and `make soak`: 200 kills during 10 000 ends instead of 10 during 500.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $kills = $ENV{TASKQ_KILLS} // 10;
my $tasks = 50 * $kills;
# So often the whole server is killed.
my $restart = $kills < 100 ? 5 : 20;

# What does not wait for the disk is lost in a kill.
my $node = taskq_node('main', sessions => 'new', conf => <<'END');
autovacuum = off
wal_writer_delay = '10 s'
END
my $receiver = TaskqTest::Receiver->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub is_up
{
	return $node->psql('postgres', 'select 1', on_error_die => 0, on_error_stop => 0) == 0;
}

# psql, with a file of statements and a file for what it prints, which it writes at once.
sub start_psql
{
	my ($name, $script) = @_;

	append_to_file("$dir/$name.sql", $script);
	return IPC::Run::start([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$name.sql", '-o', "$dir/$name.out", $node->connstr('postgres') ],
		'<', \undef, '2>', \my $stderr);
}

sub printed_by
{
	my ($name) = @_;
	my @lines = -e "$dir/$name.out" ? split /\n/, slurp_file("$dir/$name.out") : ();

	return @lines;
}

# ---- the tasks ---------------------------------------------------------------------------

# Workers finish and fail tasks, those of "hasty" in commits that do not wait for the disk; leases
# are lost in the kills; the executor sends requests, some of which fail for good.
my $ok = $receiver->url('/ok');
my $gone = $receiver->url('/status/410');
sql(<<"END");
select taskq.create_queue('followed');
select taskq.create_queue('careful', retry => 'none', lease_for => '1 s', on_finish => '{"queue": "followed"}', on_dead => '{"queue": "followed"}');
select taskq.create_queue('hasty', retry => 'none', lease_for => '1 s', durable_finish => false, on_finish => '{"queue": "followed"}', on_dead => '{"queue": "followed"}');
select taskq.alter_queue('http', on_dead => '{"queue": "followed"}');
select count(*) from taskq.submit_many('careful', array(select to_jsonb(i) from generate_series(1, $tasks * 4 / 10) i));
select count(*) from taskq.submit_many('hasty', array(select to_jsonb(i) from generate_series(1, $tasks * 4 / 10) i));
select count(taskq.submit_http(case i % 5 when 0 then '$gone' else '$ok' end, delay => i * interval '30 ms', on_finish => '{"queue": "followed"}')) from generate_series(1, $tasks * 2 / 10) i;
END
my @statements = (
	"select count(taskq.finish(id, token, '{}')) from taskq.acquire('careful', 3);",
	"select count(taskq.fail(id, token, 'no', retryable => false)) from taskq.acquire('careful');",
	"select count(taskq.finish(id, token)) from taskq.acquire('hasty', 2);",
	"with a as materialized (select * from taskq.acquire('hasty', 5)) select count(*) from taskq.finish_many(array(select id from a), array(select token from a));",
	# Its lease is lost.
	"select count(*) from taskq.acquire('careful');",
);

# ---- the executor waits for nobody ---------------------------------------------------------------

# Its deliveries would wait with it.
sql("select taskq.create_queue('busy')");
my $holder = $node->background_psql('postgres');
$holder->query_safe("begin; select taskq.submit('busy', key => 'k')");
my $sent = sql(qq{select taskq.submit_http('$ok', on_finish => '[{"queue": "busy", "key": "k"}, {"queue": "busy"}]')});
wait_state($node, $sent, 'finished');
is(sql("select state, error from taskq.tasks where queue = 'busy' order by id"),
	"pending|\ndead|another transaction was submitting a task with the same key",
	'a key that an open transaction submits does not keep the executor');
$holder->query_safe('rollback');
$holder->quit;
is(sql("select taskq.redrive('busy')"), '1', 'the follow-up comes back');
sql("select taskq.drop_queue('busy', true)");

# ---- the kills ------------------------------------------------------------------------------

my @killed;
my $restarts = 0;
for (my $round = 1; @killed + $restarts < $kills; $round++)
{
	my @names = map { "worker$round.$_" } 1 .. 2;
	my @runs = map { start_psql($_, "select pg_backend_pid();\n" . join("\n", map { $statements[ rand @statements ] } 1 .. 2000) . "\n") } @names;

	# At any moment of their work.
	my $wanted = 2 + int(rand(8));
	wait_until('the workers', sub { return !grep { printed_by($_) < $wanted } @names });
	if ($round % $restart == 0)
	{
		kill_server($node);
		$node->start;
		$restarts++;
	}
	else
	{
		my ($pid) = printed_by($names[0]);
		if ($round % 3 == 0)
		{
			my $executor = executor_pid($node);
			$pid = $executor if $executor ne '';
		}
		push @killed, $pid if kill_backend($node, $pid);
		kill('TERM', $_->{KIDS}[0]{PID}) foreach @runs;
	}
	foreach my $run (@runs)
	{
		eval { $run->finish };
	}
	wait_until('the server', \&is_up);
}
is(scalar(@killed) + $restarts, $kills, "$kills kills, $restarts of them of the whole server");

# ---- the rest, and the account -----------------------------------------------------------------

my $rest = start_psql('rest', ($statements[0] . "\n" . $statements[3] . "\n") x 3000);
wait_query($node, 'postgres', "select count(*) = 0 from taskq_private.task where queue_id <> (select id from taskq_private.queue where name = 'followed')");
eval { $rest->kill_kill; $rest->finish };
# Tables, because a join of views over jsonb has no statistics.
sql(<<"END");
create table ends as select id, state::text from taskq.tasks where state in ('finished', 'dead') and queue <> 'followed' and id <> $sent;
create table follow_ups as select (payload ->> 'id')::bigint as id, payload ->> 'state' as state from taskq.tasks where queue = 'followed' and state = 'pending';
analyze ends, follow_ups;
END
is(sql('select count(*) from ends'), $tasks, "$tasks tasks have ended");
cmp_ok(sql("select count(*) from ends where state = 'dead'"), '>', 1.5 * $kills, 'some of them dead');
cmp_ok(sql("select count(*) from taskq.tasks where error = 'lease lost'"), '>=', $kills / 10, 'some of those by a lost lease');
is(sql('select count(*), count(distinct id) from follow_ups'), "$tasks|$tasks", 'as many follow-ups, each of another task');
is(sql('select count(*) from ends e join follow_ups f using (id, state)'), $tasks, 'and in the state in which it ended');
is(sql("select count(*) from taskq.tasks where queue = 'followed' and state <> 'pending'"), '0', 'no follow-up is dead');

$node->stop;
log_is_clean($node, @killed);
done_testing();
