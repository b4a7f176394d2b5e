# 004_shutdown.pl
#		The server stops although 50 peers do not answer, and goes on where it was.
#		For answers that come, see 045_stop.pl.

use strict;
use warnings FATAL => 'all';

use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "taskq.http_stop_timeout = 0\n");
my $receiver = TaskqTest::Receiver->start;
my $tasks = 50;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# State and attempt of all tasks, each pair once, with its number.
sub states
{
	return sql('select state, attempt, count(*) from taskq.tasks group by 1, 2 order by 1, 2');
}

# The attempts of the last requests, one a task, each once.
sub last_attempts
{
	my %attempts = map { $_->{headers}{'x-task-attempt'} => 1 } ($receiver->requests)[ -$tasks .. -1 ];

	return join ' ', sort keys %attempts;
}

# Starts the server without an executor, so that it can be seen how it was left.
sub start_idle
{
	$node->append_conf('postgresql.conf', 'taskq.executor = off');
	$node->start;
	return;
}

my $url = $receiver->url('/hang');
sql("select count(taskq.submit_http('$url', '{}')) from generate_series(1, $tasks)");
$receiver->wait_requests($tasks);

my $took = seconds(sub { $node->stop('fast') });
cmp_ok($took, '<=', 2, sprintf('fast shutdown with %d peers that hang (%.2f s)', $tasks, $took));
start_idle();
is(states(), "pending|1|$tasks", 'the tasks are pending, and the attempt is used up');

reconfigure($node, 'taskq.executor' => 'on');
$receiver->wait_requests(2 * $tasks);
is(last_attempts(), '2', 'they are sent again as the next attempt');

# However often it is told to go, what it holds is given back: the postmaster
# signals a child twice at each shutdown.
my $executor = executor_pid($node);
my $signals = 0;
$signals++ while kill('TERM', $executor) == 1;
wait_executor($node, undef, $executor);
$receiver->wait_requests(3 * $tasks);
is(last_attempts(), '3', "told to stop $signals times, it gives its tasks back once more");

# Peers that answer without an end hold nothing up either.
$url = $receiver->url('/drip/10');
sql("select count(taskq.submit_http('$url', method => 'GET')) from generate_series(1, 20)");
$receiver->wait_requests(20, '/drip');
$took = seconds(sub { $node->restart });
cmp_ok($took, '<=', 4, sprintf('restart with %d more that drip (%.2f s)', 20, $took));
sql("select taskq.cancel(id) from taskq.tasks where url = '$url'");
wait_query($node, 'postgres',
	"select count(*) from taskq.tasks where url = '$url' and state = 'cancelled'", '20');
$receiver->wait_requests(4 * $tasks, '/hang');

$took = seconds(sub { $node->stop('immediate') });
cmp_ok($took, '<=', 2, sprintf('immediate shutdown (%.2f s)', $took));
start_idle();
is(sql("select count(*) from taskq.tasks where state = 'running' and attempt = 4"), $tasks,
	'the tasks are as they were');
reconfigure($node, 'taskq.executor' => 'on');
$receiver->wait_requests(5 * $tasks, '/hang');
is(last_attempts(), '5', 'they are sent again, and a crash has used up an attempt');

$node->stop;
log_is_clean($node);
done_testing();
