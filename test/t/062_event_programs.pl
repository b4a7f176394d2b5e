# 062_event_programs.pl
#		Events in the programs: taskq tail, and the streams of taskq serve.  Both go on from where another
#		one has ended, and miss nothing.

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use TaskqTest;

my $node = taskq_node('main', conf => 'log_statement = none');
my $database = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';
my $dir = PostgreSQL::Test::Utils::tempdir();
my $json = JSON::PP->new->canonical;

delete $ENV{$_} foreach grep { /^TASKQ_/ } keys %ENV;
$ENV{XDG_CONFIG_HOME} = $dir;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub taskq
{
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ 'build/cli/taskq', '-d', $database, @_ ], '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# ---- tail ------------------------------------------------------------------------------------------

like((taskq('tail', '--timeout', '1 ms'))[2], qr/no queue here has events; .*--events/, 'tail tells that no queue has events');
is((taskq('queue', 'create', 'mail', '--events', 'submitted,started,finished'))[0], 0, 'a queue with events');
is((taskq('queue', 'create', 'other'))[0], 0, 'and one without');
is((taskq('queue', 'alter', 'other', '--events', 'finished'))[0], 0, 'which gets some');
is((taskq('queue', 'alter', 'other', '--events', ''))[0], 0, 'and loses them');
is((taskq('queue', 'alter', 'other', '--events', 'ended'))[0], 2, 'an event that there is not');
is((taskq('queue', 'ls', '--json=queue,events'))[1],
	qq([{"queue":"call","events":[]},\n {"queue":"default","events":[]},\n {"queue":"http","events":[]},\n {"queue":"mail","events":["submitted", "started", "finished"]},\n {"queue":"other","events":[]}]\n),
	'the list of queues has them');
sql("select taskq.alter_queue('other', events => '{submitted}')");

my $tail = TaskqTest::Worker->start_program('build/cli/taskq', 'tail', '-d', $database, 'mail', '--json', '--utc');
wait_query($node, 'postgres', "select count(*) = 1 from pg_stat_activity where query like 'call taskq.wait_events%' and wait_event_type = 'Extension'");
my $id = sql("select taskq.submit('other', '1'); select taskq.submit('mail', '1', kind => 'letter', key => 'a')") =~ /(\d+)\z/ ? $1 : 0;
$tail->wait_log(qr/"submitted"/);
sql("select id from taskq.acquire('mail')");
$tail->wait_log(qr/"started"/);
$tail->signal('INT');
$tail->wait_end;
my ($first, @lines) = split /\n/, $tail->log;
my $event = $json->decode($first);
is_deeply([ @$event{qw(task_id queue event data)} ], [ $id, 'mail', 'submitted', { kind => 'letter', key => 'a' } ], 'tail prints an event');
like($event->{at}, qr/^\d{4}-\d\d-\d\dT.*\+00:00$/, 'its time');
is(scalar @lines, 2, 'of its queue alone');
like($lines[1], qr/^--after '(.*)' goes on from here$/, 'at its end it tells the cursor');
my ($cursor) = $lines[1] =~ /'(.*)'/;

# Another one goes on: from the end, and from an event.
sql("select taskq.finish(id, token) from taskq_private.lease");
is((taskq('tail', '--after', $cursor, '--timeout', '1 ms', '--json=event'))[1], qq({"event":"finished"}\n), 'another tail goes on from there');
is((taskq('tail', '--after', $event->{cursor}, '--timeout', '1 ms', '--json=event'))[1], qq({"event":"started"}\n{"event":"finished"}\n), 'or from an event');
# Filters.
sql("select taskq.submit('mail', '1', kind => 'parcel', group_key => 'g')");
is((taskq('tail', '--from-start', '--timeout', '1 ms', '--json=event,queue', $id))[1],
	qq({"event":"submitted","queue":"mail"}\n{"event":"started","queue":"mail"}\n{"event":"finished","queue":"mail"}\n), 'the events of one task, from the start');
is((taskq('tail', '--from-start', '--timeout', '1 ms', '--json=queue,event', '--event', 'submitted', 'mail', 'other'))[1],
	qq({"queue":"other","event":"submitted"}\n{"queue":"mail","event":"submitted"}\n{"queue":"mail","event":"submitted"}\n), 'some events of two queues');
is((taskq('tail', '--from-start', '--timeout', '1 ms', '--json=data', '--kind', 'parcel'))[1], qq({"data":{"kind": "parcel", "group_key": "g"}}\n), 'of one kind');
is((taskq('tail', '--from-start', '--timeout', '1 ms', '--json=data', '--group-key', 'g'))[1], qq({"data":{"kind": "parcel", "group_key": "g"}}\n), 'of one group');
is(scalar split(/\n/, (taskq('tail', '--from-start', '--timeout', '1 ms', '--key', 'a'))[1]), 3, 'of one key');
# The others are those of ls: of tasks as they are now.
foreach ([ 3, '--state', 'finished,dead' ], [ 1, '--state', 'pending' ], [ 3, '--key-prefix', 'a' ], [ 0, '--key-prefix', 'b' ],
	[ 1, '--payload', '1' ], [ 4, '--since', '2000-01-01' ], [ 0, '--until', '2000-01-01' ], [ 0, '--error', 'x' ], [ 0, '--class', 'x' ],
	[ 0, '--worker', 'x' ], [ 3, '--state', 'finished', '--kind', 'letter' ], [ 0, '--state', 'finished', '--kind', 'parcel' ])
{
	my ($count, @filter) = @$_;
	my ($status, $out, $err) = taskq('tail', 'mail', '--from-start', '--timeout', '1 ms', @filter);
	is(scalar split(/\n/, $out), $count, "tail @filter") or diag("$status: $err");
}
# What is wrong with an option is told as ls does.
foreach ([ qr/^taskq: --state: .*"pnding".*^hint: .*"pending"/ms, '--state', 'pnding' ], [ qr/^taskq: --payload: /, '--payload', '{' ],
	[ qr/^taskq: --since: /, '--since', 'soon' ], [ qr/^taskq: --error: /, '--error', '(' ],
	[ qr/^taskq: --event: there is no event "fnished"\n(?:taskq: )?hint: .*"finished"/, '--event', 'dead,fnished' ], [ qr/^taskq: --event: /, '--event', 'x' ])
{
	my ($expected, @wrong) = @$_;
	my ($status, undef, $err) = taskq('tail', 'mail', '--from-start', '--timeout', '1 ms', @wrong);
	is($status, 2, "tail @wrong");
	like($err, $expected, 'and what is wrong');
}
my $events = sql("select array_to_string(taskq_private.event_names(), ',')");
is((taskq('tail', 'mail', '--from-start', '--timeout', '1 ms', '--event', $events))[0], 0, 'all events have names here');
is((taskq('tail', '--after', 'x', '--timeout', '1 ms'))[0], 2, 'no cursor');
is((taskq('tail', '--after', $cursor, '--from-start'))[0], 2, 'two places to begin');
like((taskq('tail', '--after', '1:1:||1,0'))[2], qr/no longer kept \(TQ011\)/, 'events that are no longer kept');

# ---- streams ---------------------------------------------------------------------------------------

my $port = do { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport };

sql("create role gate login noinherit; create role viewer; create role nobody; grant viewer, nobody, taskq_reader to gate;
	select taskq.grant_queue('mail', 'viewer', '{view}'), taskq.grant_queue('other', 'nobody', '{submit}')");

# One token for each role.
my %tokens;
foreach my $role (qw(viewer nobody))
{
	chomp($tokens{$role} = (taskq('token', 'new', $role, $role, '--append', "$dir/tokens", '-q'))[1]);
}

sub start_gateway
{
	my $gateway = TaskqTest::Worker->start_program('build/cli/taskq', 'serve', '-d', "$database user=gate", '--listen', $port, '--tokens', "$dir/tokens", '--reader', 'taskq_reader');

	$gateway->wait_log(qr/ready/);
	return $gateway;
}

# Asks for a stream.
sub open_stream
{
	my ($role, $path, @headers) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die $!;

	$socket->print(join("\r\n", "GET $path HTTP/1.1", 'Host: x', "Authorization: Bearer $tokens{$role}", @headers, '', ''));
	$socket->flush;
	return { socket => $socket, text => '' };
}

# Reads what comes next, or nothing within a second; false: it has ended.
sub next_part
{
	my ($stream) = @_;

	return 1 if !IO::Select->new($stream->{socket})->can_read(1);
	return sysread($stream->{socket}, $stream->{text}, 65536, length $stream->{text});
}

# Reads it until that has come; 'end': until it ends.
sub read_until
{
	my ($stream, $pattern) = @_;
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;

	while ($pattern eq 'end' || $stream->{text} !~ $pattern)
	{
		die "timed out waiting for $pattern in: $stream->{text}" if time() > $until;
		last if !next_part($stream);
	}
	return $stream->{text};
}

my $gateway = start_gateway();
my $stream = open_stream('viewer', '/v1/events');
like(read_until($stream, qr/id: \S+\r?\n\r?\n/), qr{^HTTP/1.1 200 .*content-type: text/event-stream}is, 'a stream begins with a cursor');
$id = sql("select taskq.submit('other', '1'); select taskq.submit('mail', '{\"x\": 1}')") =~ /(\d+)\z/ ? $1 : 0;
my $took = seconds(sub { read_until($stream, qr/event: submitted\n.*\n\n/) });
cmp_ok($took, '<', 4, 'an event comes at once');
my ($last, $data) = $stream->{text} =~ /id: (\S+)\nevent: submitted\ndata: (.*)\n\n/;
is_deeply([ @{ $json->decode($data) }{qw(task_id queue event)} ], [ $id, 'mail', 'submitted' ], 'of a queue that the role may view');
unlike($stream->{text}, qr/"other"/, 'and of no other');

# The client goes away, and another one goes on.
close $stream->{socket};
sql("select id from taskq.acquire('mail', 10)");
sql("select taskq.finish(id, token) from taskq_private.lease where id = $id");
$stream = open_stream('viewer', '/v1/events', "Last-Event-ID: $last");
read_until($stream, qr/event: finished\n/);
is(join(' ', $stream->{text} =~ /event: (\w+)\ndata: [^\n]*"task_id":"$id"/g), 'started finished', 'a client that connects again goes on');
close $stream->{socket};
$stream = open_stream('viewer', "/v1/tasks/$id/events?after=start");
read_until($stream, qr/event: finished\n/);
is(join(' ', $stream->{text} =~ /event: (\w+)/g), 'submitted started finished', 'the events of one task');
close $stream->{socket};
$stream = open_stream('viewer', '/v1/events?queue=mail&after=start');
like(read_until($stream, qr/event: finished\n/), qr/event: submitted/, 'the events of one queue');
close $stream->{socket};
# Errors are answers.
like(read_until(open_stream('nobody', '/v1/events', 'Connection: close'), 'end'), qr{^HTTP/1.1 403 }, 'a role that may view nothing');
like(read_until(open_stream('viewer', '/v1/events?queue=other', 'Connection: close'), 'end'), qr{^HTTP/1.1 404 .*TQ001}s, 'a queue that the role may not view');
like(read_until(open_stream('viewer', '/v1/events?after=x', 'Connection: close'), 'end'), qr{^HTTP/1.1 400 .*TQ004}s, 'no cursor');
like(read_until(open_stream('viewer', '/v1/events', 'Last-Event-ID: 1:1:||1,0', 'Connection: close'), 'end'), qr{^HTTP/1.1 410 .*TQ011}s, 'events that are no longer kept');

# Many events are read one part after the other, also by a client that is slow.
sql("select count(*) from taskq.submit_many('mail', array_fill('1'::jsonb, '{3000}'))");
$stream = open_stream('viewer', "/v1/events?after=$last");
# Without the heads of the chunks.
wait_until('3000 events', sub { next_part($stream); (() = ($stream->{text} =~ s/\r\n[0-9a-f]+\r\n//gri) =~ /event: submitted\n/g) >= 3000 });
pass('3000 events');
# The gateway ends with its streams.
$took = seconds(sub { $gateway->signal('TERM'); $gateway->wait_end; });
cmp_ok($took, '<', 5, 'a gateway that stops ends its streams');
read_until($stream, 'end');
unlike($gateway->log, qr/failed|error/i, 'nothing failed');

log_is_clean($node);
done_testing();
