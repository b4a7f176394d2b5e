# 047_requests.pl
#		The view taskq.requests: what the executor is sending, and what waits for its host.

use strict;
use warnings FATAL => 'all';

use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => <<'EOS');
taskq.http_max_per_host = 1
taskq.http_timeout = 60s
taskq.log_dead = on
EOS
my $receiver = TaskqTest::Receiver->start;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub submit
{
	my ($path, $more) = @_;
	my $url = $receiver->url($path);

	return sql("select taskq.submit_http('$url'" . ($more ? ", $more" : '') . ')');
}

# Waits until the view shows that phase of that task.
sub wait_phase
{
	my ($id, $phase) = @_;

	wait_query($node, 'postgres', "select phase = '$phase' from taskq.requests where task_id = $id");
}

sql(<<'EOS');
select taskq.create_queue('other', mode => 'push'), taskq.create_queue('outside', mode => 'push', executor => 'external');
create role viewer;
create role sender;
select taskq.grant_queue('other', 'viewer', '{view}'), taskq.grant_queue('outside', 'sender', '{work}');
EOS

my $sent = submit('/hang');
wait_phase($sent, 'sending');
my $waits = submit('/hang/x', "queue => 'other', method => 'PUT'");
wait_phase($waits, 'waiting');
is(sql('select task_id, queue, attempt, worker, method, host, phase from taskq.requests order by task_id'),
	"$sent|http|1|executor|POST|127.0.0.1|sending\n$waits|other|1|executor|PUT|127.0.0.1|waiting",
	'the request that is sent and the one that waits for its host');
is( sql("select r.url = '" . $receiver->url('/hang/x') . "', r.since between t.started_at and clock_timestamp(), t.state"
		  . " from taskq.requests r join taskq.tasks t on t.id = r.task_id where r.task_id = $waits"),
	't|t|running', 'with its url and the time; the task is running');
is(sql("set role viewer; select task_id from taskq.requests"), $waits, 'a role sees the queues that it may view');

sql("select taskq.cancel($sent)");
wait_phase($waits, 'sending');
is(sql('select count(*) from taskq.requests'), 1, 'the next one is sent, and the first is gone');
is( sql("select r.since > t.started_at from taskq.requests r join taskq.tasks t on t.id = r.task_id"), 't',
	'since when it is sent, not since when it was claimed');
sql("select taskq.cancel($waits)");
wait_query($node, 'postgres', 'select count(*) = 0 from taskq.requests');

# What an external worker holds is shown without a phase.
my $outside = submit('/ok', "queue => 'outside'");
sql("set role sender; select count(*) from taskq_private.push_claim(1, null, 'w')");
is(sql("select task_id, worker, phase is null, since is not null from taskq.requests"), "$outside|w|t|t",
	'a claimed task of an external worker');
is( sql("select count(*) from taskq_private.lease l, taskq_private.request_phase(l.id, l.token + 1) p where p.phase is not null"),
	0, 'nothing is told to a role that does not know the token');

# ---- deaths in the log -----------------------------------------------------------------------

my $offset = log_size($node);
sql("select taskq.create_queue('work', retry => 'none')");
my $dead = sql("select taskq.submit('work', '\"private\"')");
sql("select taskq.fail(id, token, 'private error', class => 'jam') from taskq.acquire('work')");
wait_log($node, qr/LOG:  task $dead of queue "work" is dead after attempt 1: jam$/m, $offset);
unlike(log_since($node, $offset) =~ s/statement: .*//gr, qr/private error/, 'a death is logged without what was said of it');
my $refused = submit('/status/410');
wait_log($node, qr/LOG:  task $refused of queue "http" is dead after attempt 1: http$/m, $offset);

$receiver->stop;
log_is_clean($node);
done_testing();
