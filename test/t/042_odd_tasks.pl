# 042_odd_tasks.pl
#		Tasks that cannot be handled, because somebody has changed their rows by hand
#		or a part of them is lost: claims, requests, reports, ends and duties
#		go on with the others.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', conf => "autovacuum = off\nlog_statement = none");
my $receiver = TaskqTest::Receiver->start;
my $url = $receiver->url('/ok');

# 144 kB of jsonb, 1.2 GB of text.
my $huge = '(select payload from huge)';

# Text that does not compress, so that it is stored out of line.
my $long = q{(select string_agg(md5(random()::text), '') from generate_series(1, 500))};

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Submits good tasks that are due after all odd ones.
sub submit_good
{
	my ($queue, $arguments) = @_;

	return sql("select string_agg(taskq.submit('$queue', '1', priority => 15, $arguments)::text, ', ') from generate_series(1, 20)");
}

sub count_of
{
	my ($ids, $state) = @_;

	return sql("select count(*) from taskq.tasks where id in ($ids) and state = '$state'");
}

# What is stored out of line for a table is lost, as by a disk that does not keep what it has.
sub lose_parts
{
	my ($table) = @_;

	sql("call lose_parts('taskq_private." . ($table // 'task') . "')");
	return;
}

sql('create extension pg_surgery; create table huge as select jsonb_agg(1e131071) as payload from generate_series(1, 9000)');
sql(q{create procedure lose_parts(of_table regclass) language plpgsql as $$
declare
	toast constant regclass := (select reltoastrelid from pg_class where oid = of_table);
begin
	execute format('select heap_force_kill(%L, array(select ctid from %s))', toast, toast);
end
$$});

# ---- claims --------------------------------------------------------------------------

sql(q{select taskq.create_queue('claims')});
my $odd = sql(q{select taskq.submit('claims', '1', priority => -16)});
my $odder = sql(q{select taskq.submit('claims', '1', priority => -15)});
sql("update taskq_private.task set payload = $huge where id in ($odd, $odder)");
my $good = submit_good('claims', "key => null");
is(sql(q{select count(*) from taskq.acquire('claims')}), '1', 'a claim of one task passes over two that no client can be given');
is(count_of("$odd, $odder", 'dead'), 2, 'which are dead');
is( sql("select class, error from taskq.attempts where task_id = $odd"),
	'too_large|payload has 1179666000 bytes as text',
	'and say why');
is(sql(q{select count(*) from taskq.acquire('claims', 100)}), '19', 'the others follow');
is(sql("select payload is null from taskq.tasks where id = $odd"), 't', 'a payload that cannot be shown is not kept');
my ($status, $output, $error) = $node->psql('postgres', "select taskq.retry($odd)");
like($error, qr/the content of task $odd was not kept/, 'so the task cannot be retried');
$odd = sql(q{select taskq.submit('claims', '1', priority => -16)});
sql("update taskq_private.task set payload = $huge where id = $odd");
sql(q{select taskq.submit('claims', '2')});
is(sql("select payload from taskq.finish_and_acquire('claims', '{}', '{}', null, 10)"), '2', 'so does finish_and_acquire()');
is(count_of($odd, 'dead'), 1, 'and ends the odd one');

# A part of the payload is lost.
sql(q{select taskq.create_queue('lost')});
$odd = sql("select taskq.submit('lost', to_jsonb($long), priority => -16)");
$odder = sql("select taskq.submit('lost', to_jsonb($long), priority => 15)");
lose_parts();
my $whole = sql("select taskq.submit('lost', to_jsonb($long), priority => -15)");
$good = submit_good('lost', "key => null");
is(sql(q{select id from taskq.acquire('lost')}), $whole, 'a claim passes over a task of which a part is lost');
is(sql(q{select count(*) from taskq.acquire('lost', 100)}), '20', 'the others follow');
is(count_of("$odd, $odder", 'dead'), 2, 'those that cannot be read are dead');
is( sql("select distinct class, error from taskq.attempts where task_id in ($odd, $odder)"),
	'invalid|the task cannot be read: SQLSTATE XX001', 'and say why');
$odd = sql("select taskq.submit('lost', to_jsonb($long), priority => -16)");
lose_parts();
sql(q{select taskq.submit('lost', '2')});
is(sql(q{select payload from taskq.finish_and_acquire('lost', '{}', '{}', null, 10)}), '2', 'finish_and_acquire() passes over one, too');
is(count_of($odd, 'dead'), 1, 'and ends it');

# ---- requests ------------------------------------------------------------------------

sql('select taskq.stop_executor()');
my $log = log_size($node);
my $lost_body = sql("select taskq.submit_http('$url', to_jsonb($long), priority => -16)");
my $lost_headers = sql("select taskq.submit_http('$url', headers => jsonb_build_object('X-Long', $long), priority => -16)");
lose_parts();
my $large_headers = sql("select taskq.submit_http('$url', priority => -16)");
my $large_body = sql("select taskq.submit_http('$url', priority => -16)");
sql("update taskq_private.task set headers = jsonb_build_object('X-Long', repeat('x', 100000)) where id = $large_headers");
sql("update taskq_private.task set payload = $huge where id = $large_body");
$good = sql("select string_agg(taskq.submit_http('$url', '1')::text, ', ') from generate_series(1, 20)");
sql('select taskq.start_executor()');
wait_query($node, 'postgres', "select count(*) = 20 from taskq.tasks where id in ($good) and state = 'finished'");
pass('requests are sent');
wait_state($node, $_, 'dead') for ($lost_body, $lost_headers, $large_headers, $large_body);
is( sql("select string_agg(class || ': ' || error, ', ' order by task_id) from taskq.attempts"
	  . " where task_id in ($lost_body, $lost_headers, $large_headers, $large_body)"),
	'invalid: the request cannot be made: SQLSTATE XX001, invalid: the request cannot be made: SQLSTATE XX001,'
	  . ' too_large: the request is too large, too_large: the request is too large',
	'and tasks of which none can be made are dead');
unlike(log_since($node, $log), qr/could not claim/, 'no claim has failed');

# Headers of an endpoint that are lost: its tasks fail, and those of others are sent.
sql(q{select taskq.create_retry_policy('each second', backoff => 'fixed', base => '1 s', jitter => 0, max_attempts => 1000)});
my $endpoint = q{select taskq.create_endpoint('%s', '} . $receiver->url('') . q{', headers => jsonb_build_object('X-Long', %s), retry => 'each second')};
sql(sprintf $endpoint, 'damaged', $long);
lose_parts('endpoint_secret');
sql(sprintf $endpoint, 'sound', q{'short'});
sql('select taskq.stop_executor()');
my $held = sql(q{select taskq.submit_http(endpoint => 'damaged', path => '/ok/damaged')});
$good = sql(q{select string_agg(taskq.submit_http(endpoint => 'sound', path => '/ok/sound')::text, ', ') from generate_series(1, 20)});
$log = log_size($node);
sql('select taskq.start_executor()');
wait_query($node, 'postgres', "select count(*) = 20 from taskq.tasks where id in ($good) and state = 'finished'");
wait_query($node, 'postgres', "select count(*) > 0 from taskq.attempts where task_id = $held");
is( sql("select distinct class, error from taskq.attempts where task_id = $held"),
	'internal|headers and secrets of the endpoint cannot be read: SQLSTATE XX001',
	'a task of an endpoint whose headers are lost fails, those of another are sent');
is(scalar($receiver->requests('/ok/damaged')), 0, 'it is not sent');
unlike(log_since($node, $log), qr/could not claim/, 'no claim has failed');
sql(q{select taskq.alter_endpoint('damaged', headers => '{}')});
wait_state($node, $held, 'finished');
pass('with new headers it is sent');

# ---- ends ----------------------------------------------------------------------------

# Ways for a task to be odd.
my %oddities = (
	lost => 'select 1',    # see make_odd()
	broken_origin => "update taskq_private.task set origin = to_jsonb($long) where id = ID; call lose_parts('taskq_private.task')",
	broken_follow_ups => "update taskq_private.task set on_dead = jsonb_build_array($long) where id = ID; call lose_parts('taskq_private.task');"
	  . q{ update taskq_private.lease set on_dead = '[]' where id = ID},
	broken_late => "update taskq_private.lease set on_dead = jsonb_build_array($long) where id = ID; call lose_parts('taskq_private.lease')",
	huge => "update taskq_private.task set payload = $huge where id = ID",
	tried_often => 'update taskq_private.task set attempt = 2147483647 where id = ID',
	tried_never => 'update taskq_private.task set attempt = -5 where id = ID; update taskq_private.lease set attempt = -4 where id = ID',
	old => "update taskq_private.task set submitted_at = '-infinity' where id = ID",
	without_key => 'delete from taskq_private.key where id = ID',
	without_row => 'delete from taskq_private.key where id = ID; delete from taskq_private.task where id = ID',
	without_queue => 'delete from taskq_private.key where id = ID; update taskq_private.task set queue_id = 99 where id = ID;'
	  . ' update taskq_private.lease set queue_id = 99 where id = ID',
	long_attempts => 'insert into taskq_private.attempt (task_id, attempt, started_at, ended_at, class, error)'
	  . " select ID, 0, now(), now(), repeat('c', 270000000), repeat('e', 10000000);"
	  . ' update taskq_private.task set attempt = 1 where id = ID',
	huge_attempts => 'insert into taskq_private.attempt (task_id, attempt, started_at, ended_at, detail, times, status, headers)'
	  . " select ID, 0, now(), now(), $huge, $huge, 500, $huge;"
	  . ' update taskq_private.task set attempt = 1 where id = ID');

# Submits one task for each oddity but those given; returns their ids by name.
sub submit_odd
{
	my ($queue, $arguments, @but) = @_;
	my %ids;

	foreach my $oddity (sort keys %oddities)
	{
		next if grep { $_ eq $oddity } @but;
		my $payload = $oddity eq 'lost' ? "to_jsonb($long)" : "'1'";
		$ids{$oddity} = sql("select taskq.submit('$queue', $payload, key => '$oddity', $arguments)");
	}
	return %ids;
}

sub make_odd
{
	my (%ids) = @_;

	lose_parts();
	sql($oddities{$_} =~ s/ID/$ids{$_}/gr) foreach sort keys %ids;
	return;
}

# Those of them that live, by name.
sub living
{
	my (%ids) = @_;
	my %name = reverse %ids;

	return join ', ', sort map { $name{$_} }
	  split /\n/, sql('select id from taskq_private.task where id in (' . join(', ', values %ids) . ')');
}

# Leases that run out.
sql(q{select taskq.create_retry_policy('young', max_age => '1 day')});
$log = log_size($node);
sql(q{select taskq.create_queue('leases', lease_for => '1 hour', retry => 'young')});
my %odd = submit_odd('leases', 'max_attempts => 5');
$good = submit_good('leases', 'max_attempts => 1');
sql(q{select count(*) from taskq.acquire('leases', 100)});
make_odd(%odd);
sql('update taskq_private.lease set lease_until = clock_timestamp(); select taskq_private.leases_changed()');
wait_query($node, 'postgres', 'select count(*) = 0 from taskq_private.lease');
is(count_of($good, 'dead'), 20, 'leases that run out are taken back');
is( living(%odd),
	'broken_follow_ups, broken_late, broken_origin, huge, huge_attempts, long_attempts, lost, tried_never, tried_often, without_key',
	'of odd tasks as well, which live on or have ended');
is( sql('select count(*) from taskq_private.task where id in (' . join(', ', values %odd) . ') and taskq.cancel(id)'),
	10, 'each of them can be cancelled');
is(living(%odd), '', 'and has ended');

# Reports.
sql("select taskq.create_queue('reports', mode => 'push', url => '$url', executor => 'external', retry => 'young')");
%odd = submit_odd('reports', 'max_attempts => 1', 'long_attempts');
$good = submit_good('reports', 'max_attempts => 1');
is(sql(q{select count(*) from taskq_private.push_claim(100, '{reports}', 'outside')}), 20 + keys %odd, 'a claim');
make_odd(%odd);
is( sql(q{select count(*) from taskq_private.lease, taskq_private.push_report(id, token, 'retry', 'http', 500, 'X: y', 'sorry', false, '1 s', null, null, null) r}
	  . q{ where worker = 'outside' and r}), 20 + keys(%odd) - 1, 'reports are stored, but that of a task whose queue is gone');
is(count_of($good, 'dead'), 20, 'those of good tasks');
is(living(%odd), 'tried_never, without_queue', 'and those of odd ones');
sql('update taskq_private.lease set lease_until = clock_timestamp(); select taskq_private.leases_changed()');
wait_state($node, $odd{without_queue}, 'cancelled');
pass('a task whose queue is gone is cancelled when its lease runs out');

# Cancels.
sql(q{select taskq.create_queue('cancels', retry => 'young')});
%odd = submit_odd('cancels', 'max_attempts => 5', 'without_row', 'without_queue', 'long_attempts');
$good = submit_good('cancels', 'max_attempts => 5');
make_odd(%odd);
is(sql(q{select taskq.purge_queue('cancels')}), 20 + keys %odd, 'a queue is purged');
is(count_of(join(', ', values %odd), 'cancelled'), 0 + keys %odd, 'of odd tasks, too');

# Start limits.
sql(q{select taskq.create_queue('starts', retry => 'young')});
%odd = submit_odd('starts', "start_within => '1 hour'", 'without_row', 'without_queue', 'long_attempts');
$good = submit_good('starts', 'max_attempts => 5');
make_odd(%odd);
sql("update taskq_private.$_ set start_by = 'epoch' where id in (" . join(', ', values %odd) . ')') foreach qw(task start_limit);
is(sql(q{select count(*) from taskq.acquire('starts', 100)}), 20, 'a claim meets tasks that are too late');
wait_state($node, $_, 'expired') foreach values %odd;
pass('which expire');
unlike(log_since($node, $log), qr/could not/, 'no duty has failed');

# What is left can be read and dumped.
is(sql('select count(payload) from taskq.tasks') > 0, 1, 'tasks can be looked at');
is(sql('select count(detail) + count(dns) from taskq.attempts') >= 0, 1, 'and attempts');
$node->command_ok([ 'pg_dump', '--exclude-table=huge', '--file', '/dev/null', 'postgres' ], 'the database can be dumped');

# ---- tasks that cannot end -----------------------------------------------------------

create_stuck_queue($node, 'ends', '');
$log = log_size($node);
my @late = map { sql(q{select taskq.submit('ends', '1', priority => -16, start_within => '1 hour')}) } 1 .. 3;
my $late = join ', ', @late;
sql("update taskq_private.$_ set start_by = 'epoch' where id in ($late)") foreach qw(task start_limit);
$good = submit_good('ends', 'max_attempts => 5');
is(sql(q{select count(*) from taskq.acquire('ends')}), 1, 'a claim of one task passes over three that cannot end') foreach 1 .. 20;
is(sql(q{select count(*) from taskq.acquire('ends')}), 0, 'until there is none');
wait_log($node, qr/could not expire task $late[0]: SQLSTATE TQ009/, $log);
is(count_of($late, 'pending'), 3, 'they wait');
wait_query($node, 'postgres',
	"select count(*) = 3 from taskq_private.start_limit where id in ($late) and start_by between clock_timestamp() and clock_timestamp() + interval '1 min'");
pass('for a minute, so that no duty meets them again and again');
end_stuck_queue($node);
is(sql(q{select count(*) from taskq.acquire('ends')}), 0, 'no task is due');
is(count_of($late, 'expired'), 3, 'with their table again they expire');
is_consistent($node, 'at the end');

$node->stop;
log_is_clean($node);
done_testing();
