# 029_faults.pl
#		What a broken or hostile peer can do: every task ends as it should, in its
#		time, and nothing else suffers.  The same for the executor and for taskq-worker.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Socket;
use Test::More;
use Time::HiRes qw(time usleep);

use TaskqTest;

my $node = taskq_node('main', conf => "taskq.http_max_inflight = 200\ntaskq.http_stop_timeout = 200\n");
my $receiver = TaskqTest::Receiver->start;
my $worker = TaskqTest::Worker->start($node, 'postgres', '--name', 'outside', '--max-inflight', 200, '--max-per-host', 200,
	'--stop-timeout', 200);
my @queues = ('inside', 'outside');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql(<<'END');
select taskq.create_retry_policy('once', max_attempts => 1);
select taskq.create_queue('inside', mode => 'push', retry => 'once');
select taskq.create_queue('outside', mode => 'push', retry => 'once', executor => 'external');
create table sent (queue text, name text, id bigint);
END

# By both senders.
sub submit
{
	my ($name, $url, $more) = @_;

	sql("insert into sent select q, '$name', taskq.submit_http('$url', '{\"n\": 1}', queue => q" . ($more ? ", $more" : '')
		  . ") from unnest(array['inside', 'outside']) q");
	return;
}

sub wait_all
{
	wait_query($node, 'postgres', 'select count(*) = 0 from sent join taskq.tasks t using (id) where t.ended_at is null');
	return;
}

# ---- what is looked at meanwhile ----------------------------------------------------------------------

$worker->wait_log(qr/connected/);
my %pid = (inside => wait_executor($node), outside => $worker->pid);

# Until the end: how many threads the senders have, and how long their transactions are.
my $watch = PostgreSQL::Test::Utils::tempdir() . '/watch';
my $parent = $$;
my $watcher = fork() // die "could not fork: $!";
if ($watcher == 0)
{
	my ($threads, $samples) = (0, 0);
	while (getppid() == $parent && !-e "$watch.stop")
	{
		foreach my $pid (values %pid)
		{
			my $n = () = glob("/proc/$pid/task/*");
			$threads = $n if $n > $threads;
		}
		$samples++;
		usleep(2000);
	}
	append_to_file("$watch.new", "$threads $samples");
	rename("$watch.new", $watch);
	require POSIX;
	POSIX::_exit(0);
}
my $sessions = $node->background_psql('postgres');
$sessions->query_safe(<<'END');
create temp table seen (longest interval, samples int);
create procedure pg_temp.look(for_ms int) language plpgsql as $$
declare
	until timestamptz := clock_timestamp() + for_ms * interval '1 ms';
	longest interval := '0';
	samples int := 0;
begin
	while clock_timestamp() < until loop
		perform pg_stat_clear_snapshot();
		longest := greatest(longest, (select max(clock_timestamp() - xact_start) from pg_stat_activity
			where backend_type = 'taskq executor' or application_name = 'taskq-worker'));
		samples := samples + 1;
		perform pg_sleep(0.005);
	end loop;
	insert into seen values (longest, samples);
end
$$;
END

sub memory
{
	my ($queue) = @_;
	my ($kb) = slurp_file("/proc/$pid{$queue}/status") =~ /^RssAnon:\s+(\d+) kB/m;

	return $kb;
}

# ---- answers ---------------------------------------------------------------------------------------------

# Some answers are judged otherwise since libcurl 8.
my $libcurl8 = `curl-config --version` =~ /^libcurl [89]/;

# Name of a path, and what becomes of a task: state, class, status, bytes of body, truncated.
my %answers = (
	'reset' => 'dead reset',
	'close' => 'dead reset',
	'short' => 'dead reset 200',
	'garbage' => 'dead protocol',
	'headers/1000' => 'dead too_large 200',
	'nothing' => 'dead http 404',
	'status/304' => 'dead http 304',
	'status/418' => 'dead http 418',
	'status/599' => 'dead http 599',
	'chunked' => 'finished 200 5 f',
	'chunked-endless' => 'finished 200 65536 t',
	'bytes/65536' => 'finished 200 65536 f',
	'bytes/65537' => 'finished 200 65536 t',
	'badlength' => 'dead protocol 200',
	'twice' => 'finished 200 5 f',
	'raw/endless-head' => 'dead too_large 200',
	'raw/endless-continue' => 'dead too_large',
	'raw/endless-body' => 'finished 200 65536 t',
	'raw/endless-extension' => 'dead too_large 200',
	'raw/long-line' => 'dead too_large 200',
	'raw/cookies' => 'dead too_large 200',
	'raw/continues' => 'finished 200 2 f',
	'raw/huge-length' => 'finished 200 65536 t',
	'raw/overflowing-length' => 'finished 200 1 f',
	'raw/negative-length' => 'dead protocol 200',
	'raw/wrong-length' => 'dead protocol 200',
	'raw/chunk-overflow' => 'dead reset 200',
	'raw/bad-chunk' => 'dead reset 200',
	'raw/gzip-transfer' => $libcurl8 ? 'dead protocol 200' : 'finished 200 3 f',
	'raw/no-http' => 'dead protocol',
	'raw/status-099' => 'dead protocol',
	'raw/status-1000' => $libcurl8 ? 'dead reset' : 'dead protocol',
	'raw/status-text' => 'dead protocol',
	'raw/upgrade' => 'dead protocol',
	'raw/no-content' => 'dead protocol 204',
	'raw/long-reason' => 'dead http 500',
	'raw/escapes' => 'dead http 500',
	'raw/nul-in-head' => 'dead protocol 200',
	'raw/high-bytes' => 'finished 200 256 f',
	'raw/nothing' => 'dead reset',
);

my $outcome = <<'END';
concat_ws(' ', t.state, a.class, coalesce(a.status, r.status),
	case when t.state = 'finished' then length(r.body) end, case when t.state = 'finished' then r.truncated end)
END
my $joined = 'from sent s join taskq.tasks t using (id) left join taskq.attempts a on a.task_id = t.id'
  . ' left join lateral taskq.response(t.id) r on t.state = \'finished\'';

my %before;
foreach my $round (1 .. 3)
{
	sql('truncate sent');
	submit($_, $receiver->url("/$_")) foreach sort keys %answers;
	wait_all();
	foreach my $name ($round == 1 ? sort keys %answers : ())
	{
		my $got = sql("select s.queue || ': ' || $outcome $joined where s.name = '$name' order by 1");
		is($got, "inside: $answers{$name}\noutside: $answers{$name}", $name);
	}
	%before = map { $_ => memory($_) } @queues if $round == 1;
}
cmp_ok(memory($_) - $before{$_}, '<', 2048, "$_: again and again, and the memory does not grow (kB)") foreach @queues;
is(sql("select count(*) from taskq.attempts where error ~ '[^ -~]'"), '0', 'errors are printable, whatever the peer has sent');
unlike(log_since($node), qr/\e|title/, 'and the log has nothing of it');
unlike($worker->log, qr/\e|title/, 'nor the worker\'s');
is(sql("select headers ->> 'x-high' from taskq.response((select min(id) from sent where name = 'raw/high-bytes'))"), '???????',
	'header bytes that are no text are marked');

# Wherever a redirect leads to, nobody goes.
my $elsewhere = TaskqTest::Receiver->start;
my $target = $elsewhere->port;
sql('truncate sent');
submit("to $_", $receiver->url("/status/302?location=$_"))
  foreach "http://127.0.0.1:$target/ok", "//127.0.0.1:$target/ok", "http:%5C%5C127.0.0.1:$target/ok", 'file:///etc/passwd', 'gopher://127.0.0.1/',
  'ftp://127.0.0.1/', 'http://169.254.169.254/', '/ok/here', '';
submit('to itself', $receiver->url('/status/307?location=/status/307'));
wait_all();
is(sql("select string_agg(distinct concat_ws(' ', t.state, a.class, a.status), ', ') $joined"), 'dead http 302, dead http 307', 'redirects are failures');
is(scalar($elsewhere->requests), 0, 'and lead nowhere');
is(scalar($receiver->requests('/ok/here')), 0, 'nor to another place at the same host');

# A connection that is kept belongs to nobody: neither an answer too many nor an end is taken for the next task's.
sql('truncate sent');
my $kept = TaskqTest::Receiver->start;
foreach my $n (1 .. 5)
{
	submit("twice $n", $kept->url("/twice/$n"));
	wait_all();
}
is(sql("select string_agg(distinct encode(r.body, 'escape'), ' ') $joined"), 'first', 'an answer that nobody asked for is nobody\'s');
sql('truncate sent');
foreach my $n (1 .. 6)
{
	submit("leave $n", $kept->url("/leave/$n"));
	wait_all();
}
is(sql("select string_agg(distinct concat_ws(' ', t.state, a.class), ', ') $joined"), 'finished',
	'a connection that is closed under a request: it is sent again');
my %requests;
$requests{ $_->{task} }++ foreach $kept->requests('/leave');
is(join(' ', grep { $requests{$_} > 1 } keys %requests), '', 'and is read once');

# ---- time ------------------------------------------------------------------------------------------------------

# A peer that accepts no more: connections to it are never answered.
socket(my $full, PF_INET, SOCK_STREAM, 0) or die "could not make a socket: $!";
bind($full, sockaddr_in(0, inet_aton('127.0.0.1'))) && listen($full, 0) or die "could not listen: $!";
my $full_port = (sockaddr_in(getsockname($full)))[0];
my @waiting = map {
	socket(my $client, PF_INET, SOCK_STREAM | Socket::SOCK_NONBLOCK(), 0) or die "could not make a socket: $!";
	connect($client, sockaddr_in($full_port, inet_aton('127.0.0.1')));
	$client;
} 1 .. 4;

my %slow = (
	'hang' => 'hang', 'half' => 'half', 'drip' => 'drip/20', 'slow head' => 'raw/slow-head');
sql('truncate sent');
foreach my $n (1 .. 10)
{
	submit($_, $receiver->url("/$slow{$_}"), "timeout => '1500 ms', method => 'PUT'") foreach sort keys %slow;
	submit('black hole', "http://127.0.0.1:$full_port/", "timeout => '1500 ms'");
}
# Long ones that stay, so that there is always something under way.
submit('stays', $receiver->url('/hang/0/stays'), "timeout => '1 minute'") for 1 .. 20;
$receiver->wait_requests(40, '/hang/0/stays');
$sessions->query_safe('call pg_temp.look(1000)');
my @healthy = (time(), 0);
submit('healthy', $receiver->url('/ok'));
wait_query($node, 'postgres', "select count(*) = 2 from sent join taskq.tasks t using (id) where name = 'healthy' and state = 'finished'");
$healthy[1] = time();
cmp_ok($healthy[1] - $healthy[0], '<', 1, 'others are not held up');
wait_query($node, 'postgres', "select count(*) = 0 from sent join taskq.tasks t using (id) where name <> 'stays' and t.ended_at is null");
is(sql("select string_agg(distinct concat_ws(' ', s.name, a.class), ', ') $joined where s.name not in ('stays', 'healthy')"),
	'black hole timeout, drip timeout, half timeout, hang timeout, slow head timeout', 'what takes too long is given up');
is(sql("select string_agg(concat_ws(' ', s.queue, s.name, a.elapsed), ', ') $joined"
		  . " where s.name not in ('stays', 'healthy') and a.elapsed not between '1300 ms' and '1700 ms'"), '', 'when its time is up');
is(sql("select count(*) from sent join taskq.tasks t using (id) where name = 'stays' and state = 'running'"), '40', 'what has more time goes on');
my ($longest, $samples) = split /\|/, sql_of($sessions, 'select longest < interval \'400 ms\', samples from seen');
is($longest, 't', 'meanwhile no transaction stays open');
cmp_ok($samples, '>', 50, 'as was looked often');

sub sql_of
{
	my ($session, $query) = @_;

	return $session->query_safe($query) =~ s/\s+\z//r;
}

# ---- their ends ------------------------------------------------------------------------------------------------

append_to_file("$watch.stop", '');
waitpid($watcher, 0);
my ($threads, $looks) = split / /, slurp_file($watch);
is($threads, 1, 'no thread was ever started');
cmp_ok($looks, '>', 200, 'as was looked often');
foreach my $queue (@queues)
{
	my $took = seconds(sub {
		$queue eq 'inside' ? sql('select taskq.stop_executor()') : $worker->signal('TERM');
		is($worker->wait_end, 0, 'the worker ends') if $queue eq 'outside';
	});
	cmp_ok($took, '<', 2, sprintf('%s: stops at once (%.2f s)', $queue, $took));
}
is(sql("select string_agg(distinct t.state || ' ' || t.attempt, ', ') from sent join taskq.tasks t using (id) where name = 'stays'"), 'dead 1',
	'what was under way has used up its only attempt: its receiver may have read it');
$sessions->quit;
$node->stop;
log_is_clean($node);
done_testing();
