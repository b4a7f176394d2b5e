# 044_copies.pl
#		Copies of a database: by dump and restore, as a template, by logical replication.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use TaskqTest;

my $node = taskq_node('main', init => [ allows_streaming => 'logical' ], conf => 'max_worker_processes = 24');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

sub sql
{
	return $node->safe_psql($_[1] // 'postgres', $_[0]);
}

# ---- tokens ---------------------------------------------------------------------------------

my %given;    # tokens of the first task, by database

# Acquires the first task and gives it back; checks that this token is a new one.
sub acquire_first
{
	my ($database, $name) = @_;
	my $token = sql("select taskq.release(id, token)::text || token from taskq.acquire('default')", $database);

	like($token, qr/^true\d+$/, "$name: the task is acquired") or return 0;
	$token =~ s/true//;
	cmp_ok($token, '<', 2**53, "$name: a token is below 2^53");
	ok(!$given{$token}++, "$name: it was not given out before");
	return $token;
}

# Uses up the eight blocks in shared memory.
sub use_up
{
	my ($database) = @_;

	sql("select taskq.create_queue('spare')", $database);
	sql("select count(taskq.submit('spare')) from generate_series(1, 8192)", $database);
	is(sql("select count(*) from taskq.acquire('spare', 8192)", $database), 8192, 'so many tokens');
	sql("select taskq.drop_queue('spare', force => true)", $database);
	return;
}

# The statement of a dump that sets the sequence.
sub setval_of_dump
{
	my ($sequence) = @_;
	my ($out) = run_command([ 'pg_restore', '-f', '-', $dump ]);

	return $out =~ /^(SELECT pg_catalog\.setval\('taskq_private\.$sequence', .*)$/m ? $1 : 'select 1';
}

sql("select taskq.submit('default', '1')");
sql("select taskq.submit('default', '2', priority => -1)");
my ($id, $held) = split /\|/, sql("select id, token from taskq.acquire('default')");
my $first = acquire_first('postgres', 'original');
cmp_ok($first, '>', $held, 'tokens grow');
my $block = sql('select last_value from taskq_private.token_block');
use_up('postgres');
is(sql('select last_value from taskq_private.token_block') - $block, 8, 'all tokens of a block are given out');

$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
sql("create database $_ template postgres") foreach qw(made1 made2);
foreach my $database (qw(restored1 restored2))
{
	sql("create database $database");
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($database), $dump ], 'pg_restore');
}

acquire_first('postgres', 'original') foreach 1 .. 3;
foreach my $database (qw(restored1 restored2 made1 made2))
{
	my $token = 0;

	foreach my $n (1 .. 3)
	{
		my $before = $token;

		$token = acquire_first($database, $database);
		cmp_ok($token, '>', $before, "$database: tokens grow");
		cmp_ok($token, '>', $first, "$database: above those of before the copy");
	}
	sql('select taskq.arm()', $database);
	cmp_ok(acquire_first($database, "$database armed"), '>', $token, "$database armed: tokens grow");
	is(sql("select taskq.finish($id, $held)", $database), 't', "$database: what ran in the original can be finished");
}
my $jumped = sql('select last_value from taskq_private.token_block', 'restored1');
acquire_first('restored1', 'restored1, rolled back') foreach 1 .. 3;
sql("begin; select taskq.acquire('default'); rollback", 'restored1') foreach 1 .. 3;
is(sql('select last_value from taskq_private.token_block', 'restored1'), $jumped, 'the counter has jumped once');

# A restore under way: tokens were given out before it sets the counter.
sql('create database early');
add_taskq($node, 'early');
sql("select taskq.submit('default')", 'early');
acquire_first('early', 'before the restore');
# Far ahead of every jump.
sql("select setval('taskq_private.token_block', 1::bigint << 41), setval('taskq_private.token_mark', 1::bigint << 31)");
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
sql(setval_of_dump($_), 'early') foreach qw(token_block token_mark token_origin);
use_up('early');
cmp_ok(acquire_first('early', 'restore under way'), '>', 2**51 + 2**42, 'the counter jumps again, from where the restore has set it');

# A dump whose counter is behind a lease, as a subscriber has it.
my $far = 2**51 + 12345;
sql("insert into taskq_private.lease select 1000, $far, now(), now() + interval '1 hour', null, null, 1, 1, false", 'made1');
sql('update taskq_private.arm set system_identifier = 1; select taskq.arm()', 'made1');
cmp_ok(acquire_first('made1', 'behind a lease'), '>', $far, 'arm() puts the counter above the tokens of leases');

# The extension made anew in the same database, by a restore in place.
sql('drop extension taskq cascade; create extension taskq', 'made2');
sql("select taskq.submit('default')", 'made2');
use_up('made2');
acquire_first('made2', 'extension made anew');

# Later timelines: a token held the timeline once, and was too great from the eighth one on.
my $before = acquire_first('postgres', 'original');
$node->stop;
$node->command_ok([ 'pg_resetwal', '-l', '000000090000000000000040', '-D', $node->data_dir ], 'pg_resetwal');
$node->start;
my $after = acquire_first('postgres', 'timeline 9');
cmp_ok($after, '>', $before + 2**42, 'timeline 9: the counter has jumped');

# ---- privileges, restored in another cluster -------------------------------------------------

my $other = taskq_node('other', extension => 0);

# Restores a dump of database "team" there; returns what pg_restore says.
sub restore_team
{
	my ($database, @options) = @_;

	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('team') ], 'pg_dump');
	$other->safe_psql('template1', "create database $database");
	return (run_command([ 'pg_restore', @options, '-d', $other->connstr($database), $dump ]))[1];
}

sub may_submit
{
	my ($role, $database) = @_;
	my ($status) = $other->psql($database, "set role $role; select taskq.submit('shared')");

	return $status == 0;
}

my $grants = 'select role, privileges from taskq.queue_grants order by role';
sql('create database team');
add_taskq($node, 'team');
sql("select taskq.create_queue('shared')", 'team');
foreach my $role (qw(clerk gone lost))
{
	sql("create role $role");
	sql("select taskq.grant_queue('shared', '$role', '{submit, view}')", 'team');
}
sql('drop owned by gone; drop role gone', 'team');
$other->safe_psql('template1', 'create role clerk; create role gone');
is(sql($grants, 'team'), "clerk|{submit,view}\nlost|{submit,view}", 'a dropped role has no privileges');
like(restore_team('part'), qr/role "lost" does not exist/, 'a dump is restored where a role is missing');
is($other->safe_psql('part', $grants), 'clerk|{submit,view}', 'the other role has its privileges');
ok(may_submit('clerk', 'part'), 'and can use them');
ok(!may_submit('gone', 'part'), 'a role with the name of a dropped one cannot');
$other->safe_psql('part', 'create role lost');
ok(!may_submit('lost', 'part'), 'nor a role that is created after the restore');
$other->safe_psql('part', "select taskq.grant_queue('shared', 'lost', '{submit}')");
ok(may_submit('lost', 'part'), 'until it is granted the privilege');
is($other->safe_psql('part', $grants), "clerk|{submit,view}\nlost|{submit}", 'and this one alone');
sql('drop owned by lost; drop role lost', 'team');
is(restore_team('whole', '-1', '--exit-on-error'), '', 'with all roles that have privileges, in one transaction');
is($other->safe_psql('whole', $grants), 'clerk|{submit,view}', 'they have their privileges');
ok(!may_submit('gone', 'whole'), 'and no others');

# ---- a subscriber takes over ---------------------------------------------------------------

sub target
{
	return $other->safe_psql('target', $_[0]);
}

sql('create database source');
add_taskq($node, 'source');
sql("select taskq.create_retry_policy('patient', backoff => 'fixed', base => '1 hour')", 'source');
sql("select taskq.create_queue('work', retry => 'patient', lease_for => '10 s')", 'source');
sql("select taskq.grant_queue('work', 'clerk', '{work}')", 'source');
sql("select taskq.create_queue('calls', mode => 'push', url => 'http://127.0.0.1:1/')", 'source');
sql("select taskq.create_queue('clock'); select taskq.grant_queue('clock', 'clerk', '{submit}')", 'source');
sql(q{set role clerk; select taskq.schedule('tick', '{"queue": "clock"}', every => '1 s', overlap => 'allow')}, 'source');
sql('select taskq.stop_executor()', 'source');
sql('select taskq_private.make_history()', 'source');
sql("select taskq.submit('work', '0') from generate_series(1, 5)", 'source');
sql("select taskq.finish(id, token, '[1]') from taskq.acquire('work')", 'source');
my ($dead) = sql("select id from taskq.acquire('work') a where taskq.fail(id, token, 'oh', retryable => false) = 'dead'", 'source');
sql("select taskq.fail(id, token, 'later') from taskq.acquire('work')", 'source');
my ($moving, $its_token) = split /\|/, sql("select id, token from taskq.acquire('work', lease_for => '1 hour')", 'source');
sql('create publication taskq for table taskq_private.queue, taskq_private.dropped_queue, taskq_private.endpoint,
	taskq_private.queue_grant, taskq_private.retry_policy, taskq_private.task, taskq_private.lease, taskq_private.key,
	taskq_private.start_limit, taskq_private.waiting, taskq_private.prerequisite, taskq_private.flow_limit, taskq_private.start_mark, taskq_private.attempt, taskq_private.history, taskq_private.history_rest,
	taskq_private.schedule, taskq_private.schedule_run, taskq_private.arm
	with (publish_via_partition_root = true)', 'source');

reconfigure($other, 'taskq.executor', 'off');
$other->safe_psql('template1', 'create database target');
add_taskq($other, 'target');
is(target('select taskq_private.receive_history()'), '0', 'a subscriber gets a table for the history');
target("create subscription taskq connection '" . ($node->connstr('source') =~ s/'/''/gr) . "' publication taskq");
wait_query($other, 'target', "select count(*) > 10 and bool_and(srsubstate = 'r') from pg_subscription_rel");

# What comes after the first copy, also in a dated table that did not exist then.
sql("select taskq.alter_queue('work', keep_finished => '10 days')", 'source');
sql('select taskq_private.make_history()', 'source');
sql("select taskq.finish(id, token, '[2]') from taskq.acquire('work')", 'source');
my $keyed = sql("select taskq.submit('work', '1', key => 'k')", 'source');
my $call = sql("select taskq.submit('calls', '{}')", 'source');
my $short = sql("select taskq.submit('work', priority => -5)", 'source');
sql("select taskq.acquire('work', lease_for => '100 ms')", 'source');
my $tasks = 'select id, state, attempt, queue from taskq.tasks order by id';
# The claim did not wait for the disk, and its lease runs out soon.
wait_until('the same tasks', sub { return target($tasks) eq sql($tasks, 'source') });
$node->wait_for_catchup('taskq');
pass('the subscriber has the tasks');
is(target('select count(*) from taskq_private.history_received'), '3', 'and the ended ones');
is(target(q{select ok from taskq.status() where "check" = 'armed'}), 'f', 'it is not armed');
is(target(q{select count(*) from taskq.tasks where queue = 'clock'}), '0', 'and no schedule fires');

target('alter subscription taskq disable; alter subscription taskq set (slot_name = none); drop subscription taskq');
sql("select pg_drop_replication_slot('taskq')", 'source');
reconfigure($other, 'taskq.executor', 'on');
is(target('select taskq.arm()'), '', 'arm()');
wait_query($other, 'target', "select attempt = 1 and state = 'pending' from taskq.tasks where id = $short");
pass('a lease that has run out is taken back');
is(target("select to_regclass('taskq_private.history_received') is null"), 't', 'the tables of the history are made by itself again');
is(target("select result from taskq.result(1)"), '[1]', 'a result is there');
is(target("select taskq.retry($dead)"), 't', 'a dead task can be brought back');
cmp_ok(target("select taskq.submit('work')"), '>', $short, 'no id is used twice');
cmp_ok(target("select taskq.create_queue('more'); select id from taskq_private.queue where name = 'more'"), '>',
	sql('select max(id) from taskq_private.queue', 'source'), 'nor an id of a queue');
is(target("select taskq.submit('work', key => 'k')"), $keyed, 'a key is taken');
my @newer = split /\n/, target("select token from taskq.acquire('work', 10)");
cmp_ok(scalar(@newer), '>', 1, 'pending tasks are acquired');
is(scalar(grep { $_ <= $its_token } @newer), 0, 'tokens are above those of leases');
is(target("select taskq.finish($moving, $its_token)"), 't', 'a worker finishes what it has begun');
ok($other->psql('target', "set role clerk; select count(*) from taskq.acquire('work')") == 0, 'privileges are there');
wait_query($other, 'target', "select count(*) > 0 from taskq.attempts where task_id = $call");
pass('push tasks are sent');
wait_query($other, 'target', q{select count(*) > 0 from taskq.tasks where queue = 'clock'});
is(target(q{select owner from taskq.schedules where schedule = 'tick'}), 'clerk', 'schedules fire, for the roles of their names');

# ---- who can dump ----------------------------------------------------------------------------

sql('create role boss login; grant taskq_admin to boss');
sql('create database theirs owner boss');
add_taskq($node, 'theirs');
sql("select taskq.create_endpoint('e', 'https://192.0.2.1/', secret => 'whsec_' || encode(repeat('s', 32)::bytea, 'base64'))", 'theirs');
sql("select taskq_private.make_history(); select taskq.submit('default')", 'theirs');
$node->command_fails([ 'pg_dump', '-U', 'boss', '-f', $dump, $node->connstr('theirs') ], 'the owner of a database cannot dump it');
sql('grant taskq_dump to boss');
my ($out, $err) = run_command([ 'pg_dump', '-U', 'boss', $node->connstr('theirs') ]);
like($out, qr/COPY taskq_private\.task .*\n1\t/, 'a member of taskq_dump can');
is($err, '', 'and there is no warning');
unlike($out, qr/endpoint_secret/, 'the dump has no secrets');
is(sql('set role boss; select count(*) from taskq_private.endpoint_secret', 'theirs'), '0', 'nor can such a member read them');
ok($node->psql('theirs', 'set role boss; delete from taskq_private.task') != 0, 'or change anything');

# ---- the hour of the drops -------------------------------------------------------------------

my $old = q{create table taskq_private.history_20200102 (like taskq_private.history including constraints);
	alter table taskq_private.history_20200102 owner to taskq_owner;
	alter table taskq_private.history attach partition taskq_private.history_20200102 for values in (20200102)};
my $is_there = "select to_regclass('taskq_private.history_20200102') is not null";
my $hour = sql(q{select extract(hour from clock_timestamp() at time zone 'UTC' + interval '10 min')::int});
reconfigure($node, 'taskq.history_drop_hour', ($hour + 2) % 24);
wait_query($node, 'theirs', 'show taskq.history_drop_hour', ($hour + 2) % 24);
sql($old, 'theirs');
sql('select taskq_private.drop_history()', 'theirs');
is(sql($is_there, 'theirs'), 't', 'a table of the history is not dropped at another hour');
reconfigure($node, 'taskq.history_drop_hour', -1);
wait_query($node, 'theirs', 'show taskq.history_drop_hour', -1);
sql('select taskq_private.drop_history()', 'theirs');
is(sql($is_there, 'theirs'), 'f', 'and without the setting at any');
my $now = sql(q{select extract(hour from clock_timestamp() at time zone 'UTC')::int});
reconfigure($node, 'taskq.history_drop_hour', $now);
wait_query($node, 'theirs', 'show taskq.history_drop_hour', $now);
sql($old, 'theirs');
sql('select taskq_private.drop_history()', 'theirs');
ok(sql($is_there, 'theirs') eq 'f' || sql(q{select extract(hour from clock_timestamp() at time zone 'UTC')::int}) != $now, 'at its hour it is dropped');

# ---- rows that no call has written -----------------------------------------------------------

sql('create database late');
add_taskq($node, 'late');
wait_executor($node, 'late');
sql("select taskq.submit('default'); select taskq.finish(id, token) from taskq.acquire('default')", 'late');
my $columns = "(id, submitted_at, run_at, queue_id, attempt, max_attempts, priority)";
my %written = (
	'insert' => "insert into taskq_private.task $columns values (%d, now(), now() - interval '1 day', 1, 0, 5, 0)",
	'insert as a replica' => "set session_replication_role = replica; insert into taskq_private.task $columns values (%d, now(), now() - interval '1 day', 1, 0, 5, 0)",
	'copy' => "copy taskq_private.task $columns from program 'printf \"%%s\\\\t2026-01-01\\\\t2026-01-01\\\\t1\\\\t0\\\\t5\\\\t0\\\\n\" %d'");
my $row = 1000;
foreach my $how (sort keys %written)
{
	my $statement = sprintf $written{$how}, ++$row;
	my $took;

	is(sql("select count(*) from taskq.acquire('default')", 'late'), '0', "$how: no task is due");
	$node->safe_psql('late', $statement);
	$took = seconds(sub { wait_query($node, 'late', "select id from taskq.acquire('default')", $row) });
	cmp_ok($took, '<', 5, sprintf('%s: the row is offered (%.2f s)', $how, $took));
}
sql("delete from taskq_private.lease where id = $row", 'late');
my $again = seconds(sub { wait_query($node, 'late', "select id from taskq.acquire('default')", $row) });
cmp_ok($again, '<', 5, sprintf('so is one whose lease was deleted (%.2f s)', $again));

$node->stop;
$other->stop;
log_is_clean($_) foreach $node, $other;
done_testing();
